"""The model's thread: it loads the model, then computes what is queued, in batches where the method is unary.

It takes all that is queued, up to the maximum, and there is no timer: a lone request is computed at once, and batches
grow with the load.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue

from ...contract.methods import Handler
from ...contract.violations import InvalidReply, shown
from .jobs import StreamJob, UnaryJob
from .outcomes import Failure, abandoned


@dataclass(frozen=True)
class ModelLoaded:
    """The model is loaded; from now on jobs are computed."""


@dataclass(frozen=True)
class ModelFailed:
    """The model cannot be loaded, or its thread broke later: no job will be computed any more."""

    error: BaseException


class Wake(Enum):
    """Why the thread should stop waiting, other than for new jobs."""

    STREAMS = auto()
    """A stream has room for another reply, or is abandoned."""
    STOP = auto()


NO_REPLY = object()  # in place of a reply, after a stream's last


class ModelThread(threading.Thread):
    """Loads the model with `load`, which returns the handler of each method by its path, and computes jobs with it.

    `report` is called from this thread. `max_batch_sizes` are the most requests that a method gets at once, by path.
    """

    def __init__(
        self,
        load: Callable[[], Mapping[str, Handler]],
        report: Callable[[ModelLoaded | ModelFailed], object],
        max_batch_sizes: Mapping[str, int],
    ) -> None:
        super().__init__(name="model", daemon=True)  # a model that hangs must not keep the process from ending
        self._load, self._report, self._max_batch_sizes = load, report, max_batch_sizes
        self._handlers: Mapping[str, Handler] = {}
        self._queue: SimpleQueue[Sequence[UnaryJob | StreamJob] | Wake] = SimpleQueue()
        self._waiting: dict[str, deque[UnaryJob]] = {path: deque() for path in max_batch_sizes}
        self._streams: list[StreamJob] = []
        self._stopping = False

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        """Queues jobs; those that come together can be computed together. Any thread may call this."""
        self._queue.put(jobs)

    def look_at_streams(self) -> None:
        """Has the thread look at its streams, after a reply was sent or a stream was cancelled."""
        self._queue.put(Wake.STREAMS)

    def stop(self, timeout: float) -> bool:
        """Ends the thread after what it is computing; False if that takes longer than `timeout` seconds."""
        self._queue.put(Wake.STOP)
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._handlers = self._load()
            self._report(ModelLoaded())
            self._compute_until_stopped()
        except BaseException as error:  # SystemExit too: the server must hear of every end of this thread
            self._report(ModelFailed(error))

    def _compute_until_stopped(self) -> None:
        idle = True
        while True:
            self._receive(wait=idle)
            if self._stopping:
                return
            idle = not self._turn()

    def _receive(self, *, wait: bool) -> None:
        """Takes all that is queued; with `wait`, at least one item."""
        while wait or not self._queue.empty():
            item = self._queue.get()
            wait = False
            if item is Wake.STOP:
                self._stopping = True
            elif not isinstance(item, Wake):
                for job in item:
                    self._add(job)

    def _add(self, job: UnaryJob | StreamJob) -> None:
        if isinstance(job, StreamJob):
            self._streams.append(job)
        else:
            self._waiting[job.method.path].append(job)

    def _turn(self) -> bool:
        """Computes one batch of every method and one reply of every stream; False if there was nothing to do."""
        waiting = [path for path, jobs in self._waiting.items() if jobs]
        for path in waiting:
            self._compute(self._next_batch(path))
        streams = [stream for stream in self._streams if stream.needs_a_turn()]
        for stream in streams:
            self._advance(stream)
        return bool(waiting or streams)

    def _next_batch(self, path: str) -> list[UnaryJob]:
        jobs = self._waiting[path]
        return [jobs.popleft() for _ in range(min(self._max_batch_sizes[path], len(jobs)))]

    def _compute(self, jobs: list[UnaryJob]) -> None:
        """Computes jobs of one method. If the model raises, halves are tried until the request at fault is alone."""
        batches = [jobs]
        while batches:
            batch = _without_abandoned(batches.pop())
            if not batch:
                continue
            try:
                replies = self._ask(batch)
            except BaseException as error:  # SystemExit too: whatever a model raises concerns its requests alone
                if len(batch) == 1:
                    batch[0].on_result(batch[0].failure(error))
                else:
                    half = len(batch) // 2
                    batches += [batch[half:], batch[:half]]
                continue
            for index, job in enumerate(batch):
                job.on_result(_encoded(job, replies, index))

    def _ask(self, batch: Sequence[UnaryJob]) -> Sequence[object] | InvalidReply:
        """The model's replies, or what is wrong with all of them. Raises what the model raises."""
        handler = self._handlers[batch[0].method.path]
        replies = handler([job.request for job in batch])
        if isinstance(replies, Sequence) and len(replies) == len(batch):
            return replies
        return InvalidReply("reply", f"a sequence of {len(batch)}, one for each request", shown(replies))

    def _advance(self, stream: StreamJob) -> None:
        """Computes the next reply of a stream; ends it after its last, when it fails and when it is abandoned."""
        failure: Failure | None = None
        try:
            if stream.is_abandoned():
                raise abandoned()
            if stream.replies is None:
                handler = self._handlers[stream.method.path]
                stream.replies = iter(handler(stream.request))  # type: ignore[call-overload]  # raises if not iterable
            reply = next(stream.replies, NO_REPLY)
            if reply is not NO_REPLY:
                stream.on_reply(stream.method.encode(reply))
                stream.computed += 1
                return
        except BaseException as error:
            failure = stream.failure(error)
        self._streams.remove(stream)
        stream.on_end(_close(stream) or failure)


def _without_abandoned(jobs: Sequence[UnaryJob]) -> list[UnaryJob]:
    """The jobs that somebody waits for; the others are answered, which frees their places."""
    wanted = []
    for job in jobs:
        if job.is_abandoned():
            job.on_result(abandoned())
        else:
            wanted.append(job)
    return wanted


def _encoded(job: UnaryJob, replies: Sequence[object] | InvalidReply, index: int) -> bytes | Failure:
    if isinstance(replies, InvalidReply):
        return job.failure(replies)
    try:
        return job.method.encode(replies[index])
    except BaseException as error:
        return job.failure(error)


def _close(stream: StreamJob) -> Failure | None:
    """Has the `finally` blocks of the model's generator run now, not some day; returns what went wrong in them."""
    try:
        if isinstance(stream.replies, Generator):
            stream.replies.close()
    except BaseException as error:
        return stream.failure(error)
    return None
