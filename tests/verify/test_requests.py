"""Requests that are made up from the types, and those that are given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protoserve.verify.address import UsageError
from protoserve.verify.interface import Interface, from_files, from_proto
from protoserve.verify.sample_requests import LENGTHS, Requests, example_message, read_requests

ZOO = Path(__file__).parent.parent / "zoo"
SCALARS = [t for t in range(1, 19) if t not in (FieldDescriptorProto.TYPE_GROUP, FieldDescriptorProto.TYPE_MESSAGE)]


@pytest.fixture(scope="module")
def zoo() -> Interface:
    return from_proto(ZOO / "zoo.proto")


@pytest.fixture(scope="module")
def rich() -> Interface:
    return from_proto(ZOO / "foreign/rich_pb/v1/service.proto", [ZOO / "foreign"])


def test_every_kind_of_field_is_filled_as_validators_want_it(rich: Interface) -> None:
    message: Any = example_message(rich.methods[0].input, 4)
    told = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert told["at"] == "2026-01-01T00:00:00Z"
    assert told["window"] == {"length": "1s"}
    assert (told["settings"], told["value"], told["values"]) == ({"text": 1.0}, 1.0, [1.0])
    assert told["wrapped"] == 1.0
    assert not {"any", "mask"} & told.keys()
    assert (told["user_email"], told["created_date"]) == ("text@example.com", "2026-01-01")
    assert told["palette"] == ["COLOUR_RED"] * 4
    assert told["shape"] == ["1", "4"]
    assert "children" not in told["tree"]
    assert message.WhichOneof("input") == "node"


def test_proto2_has_its_required_fields() -> None:
    message: Any = example_message(from_proto(ZOO / "foreign/legacy_pb/legacy.proto").methods[0].input, 2)
    assert message.IsInitialized()
    assert message.kind == 1


def test_guesses_differ_in_length_and_what_the_server_speaks_of_comes_next(zoo: Interface) -> None:
    method = zoo.methods[0]
    told: list[int] = []
    found = []
    for request in Requests(zoo, {}).candidates(method, told):
        message: Any = method.request()
        message.ParseFromString(request.data)
        found.append(len(message.values))
        if len(found) == 2:
            told.append(29)
    assert found == [1, 4, 29, *LENGTHS[2:]]


def test_what_was_settled_on_is_the_only_candidate(zoo: Interface) -> None:
    requests, method = Requests(zoo, {}), zoo.methods[0]
    first, second, *_ = requests.candidates(method)
    assert requests.of(method) == first
    requests.settle(method, second)
    assert list(requests.candidates(method)) == [second]


_LABELS = st.sampled_from([1, 1, 1, 3])


@st.composite
def files(draw: Any) -> descriptor_pb2.FileDescriptorProto:
    """A .proto of a few messages that have each other, and themselves, as fields."""
    file = descriptor_pb2.FileDescriptorProto(name="any.proto", package="any", syntax="proto3")
    enum = file.enum_type.add(name="E")
    enum.value.add(name="ZERO", number=0)
    enum.value.add(name="ONE", number=1)
    count = draw(st.integers(1, 5))
    for index in range(count):
        message = file.message_type.add(name=f"M{index}")
        for number in range(1, draw(st.integers(1, 8)) + 1):
            kind = draw(st.sampled_from([*SCALARS, *[FieldDescriptorProto.TYPE_MESSAGE] * 8]))
            field = message.field.add(name=f"f{number}", number=number, type=kind, label=draw(_LABELS))
            if kind == FieldDescriptorProto.TYPE_MESSAGE:
                field.type_name = f".any.M{draw(st.integers(0, count - 1))}"
            elif kind == FieldDescriptorProto.TYPE_ENUM:
                field.type_name = ".any.E"
    file.service.add(name="S").method.add(name="Do", input_type=".any.M0", output_type=".any.M0")
    return file


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files(), st.sampled_from(LENGTHS))
def test_any_types_give_a_bounded_message_always_the_same(
    file: descriptor_pb2.FileDescriptorProto, length: int
) -> None:
    descriptor = from_files([file], ["any.S"], "test").methods[0].input
    started = time.monotonic()
    data = example_message(descriptor, length).SerializeToString(deterministic=True)
    assert time.monotonic() - started < 5
    assert len(data) < 4 * 2**20
    assert example_message(descriptor, length).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize(
    "form",
    [
        "Predict={file}",
        "PredictionService/Predict={file}",
        "zoo.v1.PredictionService/Predict={file}",
        "/zoo.v1.PredictionService/Predict={file}",
        "zoo.v1.PredictionService.Predict={file}",
    ],
)
def test_a_request_names_its_method(form: str, zoo: Interface) -> None:
    found = read_requests(zoo, [form.format(file=ZOO / "valid.json")], None)
    assert list(found) == ["/zoo.v1.PredictionService/Predict"]
    assert not next(iter(found.values())).guess


def test_a_file_is_for_the_method_that_it_is_called_after(zoo: Interface, tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    folder.mkdir()
    (folder / "Explain.json").write_text('{"height": 1}')
    assert list(read_requests(zoo, [str(folder / "Explain.json")], None)) == ["/zoo.v1.PredictionService/Explain"]


@pytest.mark.parametrize(
    ("text", "content", "words"),
    [
        ("Nothing={file}", "{}", "the methods are: Predict, Explain"),
        ("{file}", "{}", "name its method"),
        ("Predict={file}", '{"heigth": 1}', 'no field named "heigth"'),
        ("Predict={file}", "{", "not a zoo.v1.PredictRequest in protobuf's JSON"),
        ("Predict={file}", None, "cannot be read"),
    ],
)
def test_a_wrong_request_is_told(text: str, content: str | None, words: str, zoo: Interface, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_requests(zoo, [text.format(file=file)], None)
    assert words in str(caught.value)
