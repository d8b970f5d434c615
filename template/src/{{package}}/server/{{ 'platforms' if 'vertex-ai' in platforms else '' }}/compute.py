"""Many requests at once for the model: the instances of one HTTP call."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ...contract.methods import Method
from ..batcher import Job
from ..errors import Failure
from ..servicer import Servicer


async def compute(
    servicer: Servicer, method: Method, requests: Sequence[Any], request_id: str, seconds: float
) -> list[bytes | Failure]:
    """What becomes of `requests` to a unary method, in their order. They reach the batcher in one go.

    Raises TimeoutError after `seconds`. Who gives up on them (as by cancelling this) has none computed that waits.
    """
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    outcomes: dict[int, bytes | Failure] = {}

    def settle() -> None:
        servicer.in_flight -= len(requests)
        answered.set()

    def answer(index: int, outcome: Any) -> None:  # in the model's thread, which comes back to the loop only once
        outcomes[index] = outcome
        if len(outcomes) == len(requests):
            loop.call_soon_threadsafe(settle)

    deadline = time.monotonic() + seconds
    jobs = [Job(method, request, f"{request_id}/{index}", deadline) for index, request in enumerate(requests)]
    for index, job in enumerate(jobs):
        job.answer = partial(answer, index)
    if jobs:
        servicer.in_flight += len(jobs)
        servicer.batcher.put(jobs)
        try:
            async with asyncio.timeout(seconds):
                await answered.wait()
        finally:
            for job in jobs:
                job.cancelled = True
    return [outcomes[index] for index in range(len(jobs))]
