"""Tests of the model itself, without a server: yours to extend. They load the artifact that `make model` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fraud.contract import METHODS, Method
from fraud.model import ARTIFACT, Model


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(ARTIFACT)


def replies_to(model: Model, method: Method, requests: Sequence[Any]) -> list[list[Any]]:
    """For each request the model's replies: one, or all that it streams."""
    call = getattr(model, method.attribute)
    if method.streaming:
        return [list(call(request)) for request in requests]
    return [[reply] for reply in call(requests)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_reply_to_the_sample_request_fits_the_contract(model: Model, method: Method) -> None:
    request = method.decode(method.sample())
    (replies,) = replies_to(model, method, [request])
    assert replies
    for reply in replies:
        method.encode(reply)  # raises InvalidReply if it does not fit


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_request_of_a_batch_gets_a_reply(model: Model, method: Method) -> None:
    request = method.decode(method.sample())
    batch = replies_to(model, method, [request] * 3)
    assert len(batch) == 3
    for replies in batch:
        for reply in replies:
            method.encode(reply)
