"""The model's thread: it loads the model, then computes what is queued, in batches where the method is unary.

It takes all that is queued, up to the maximum, and no timer exists: a lone request is computed at once, and batches
grow with the load. How a reply travels back is the job's own business, so nothing here knows gRPC's server.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from ..contract.methods import Method
from ..contract.violations import InvalidReply, shown
from .errors import DROPPED, Failure, failure

RUN_AHEAD = 16  # replies of a stream that may wait for a slow client


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way to the model; `deadline` is `time.monotonic`'s. Who gives up on it sets `cancelled`.

    `answer` is called from the model's thread, exactly once, with the reply's bytes or a Failure. That of a stream gets
    the bytes of every reply (who sends one on counts it in `sent`), then, once, a Failure or None.
    """

    method: Method
    request: Any
    request_id: str
    deadline: float
    answer: Callable[[bytes | Failure | None], object] = field(init=False)
    cancelled: bool = False
    replies: Iterator[object] | None = None
    made: int = 0
    sent: int = 0

    def unwanted(self) -> bool:
        return self.cancelled or time.monotonic() > self.deadline

    def failure(self, error: BaseException) -> Failure:
        return failure(error, self.method.label, self.request_id)


class Batcher(threading.Thread):
    """Computes jobs, at most `sizes` of a path at once; tells None when the model is loaded, or what went wrong."""

    def __init__(self, load: Callable[[], Any], tell: Callable[[Any], object], sizes: dict[str, int]) -> None:
        super().__init__(name="model", daemon=True)  # a model that hangs must not keep the process from ending
        self._load, self._tell, self._sizes = load, tell, sizes
        self._queue: SimpleQueue[Sequence[Job]] = SimpleQueue()
        self._waiting: dict[str, deque[Job]] = {path: deque() for path in sizes}
        self._streams: list[Job] = []
        self._stopping = False
        self.put = self._queue.put  # () makes the thread look at its streams: one was sent on, or is unwanted

    def stop(self, timeout: float) -> bool:
        """Ends the thread after the step it is at; False if that takes longer than `timeout` seconds."""
        self._stopping = True
        self.put(())
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._model = self._load()
            self._tell(None)
            busy = False
            while not self._stopping:
                while not busy or not self._queue.empty():  # waits only when there is nothing else to do
                    jobs, busy = self._queue.get(), True
                    for job in jobs:
                        (self._streams if job.method.streaming else self._waiting[job.method.path]).append(job)
                busy = self._turn()
        except BaseException as error:  # SystemExit too, or nobody would hear of it
            self._tell(error)

    def _turn(self) -> bool:
        """One batch of every method and one reply of every stream; False when there was nothing to do."""
        batches = {path: jobs for path, jobs in self._waiting.items() if jobs}
        for path, jobs in batches.items():
            self._compute(path, [jobs.popleft() for _ in range(min(self._sizes[path], len(jobs)))])
        streams = [job for job in self._streams if job.made - job.sent < RUN_AHEAD or job.unwanted()]
        for job in streams:
            self._advance(job)
        return bool(batches or streams)

    def _compute(self, path: str, jobs: list[Job]) -> None:
        """Answers `jobs` of one method. A batch that fails is halved, until the request at fault fails alone."""
        batches = [jobs]
        while batches:
            jobs = batches.pop()
            for job in [job for job in jobs if job.unwanted()]:
                jobs.remove(job)
                job.answer(Failure(*DROPPED))
            try:
                replies = self._model[path]([job.request for job in jobs]) if jobs else []
                fits = isinstance(replies, Sequence) and len(replies) == len(jobs)
            except BaseException as error:  # SystemExit too: whatever a model raises concerns its requests alone
                if half := len(jobs) // 2:
                    batches += [jobs[half:], jobs[:half]]
                else:
                    jobs[0].answer(jobs[0].failure(error))
                continue
            wanted = f"a sequence of {len(jobs)}, one for each request"
            for index, job in enumerate(jobs):
                try:
                    if not fits:
                        raise InvalidReply("reply", wanted, shown(replies))
                    outcome: bytes | Failure = job.method.encode(replies[index])
                except BaseException as error:
                    outcome = job.failure(error)
                job.answer(outcome)

    def _advance(self, stream: Job) -> None:
        """Answers with the next reply of `stream`; ends it after the last one, and when it fails or is unwanted."""
        outcome = None
        try:
            if stream.unwanted():
                raise Failure(*DROPPED)
            if stream.replies is None:
                stream.replies = iter(self._model[stream.method.path](stream.request))
            for reply in stream.replies:  # the next one
                stream.answer(stream.method.encode(reply))
                stream.made += 1
                return
        except BaseException as error:
            outcome = stream.failure(error)
        self._streams.remove(stream)
        try:
            if isinstance(stream.replies, Generator):
                stream.replies.close()  # its `finally` blocks run now, not some day
        except BaseException as error:
            outcome = stream.failure(error)
        stream.answer(outcome)
