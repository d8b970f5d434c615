"""The model's thread: it loads the model, then computes what is queued, in batches where the method is unary.

It takes all that is queued, up to the maximum: a lone request is computed at once, and batches grow with the load.
Only callers of a slow model who are known to come back are waited for, a moment (`batching`).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue

from ...contract.methods import Handler, Method
from ...contract.violations import InvalidReply, ModelBroken, shown
from ..tracebacks import described
from .batching import BatchQueue
from .jobs import StreamJob, UnaryJob
from .outcomes import Failure, Outcome, abandoned, classify


@dataclass(frozen=True)
class LoadedModel:
    """The handler of each method, by the method's path, and the model's own `ready`, if it has one."""

    handlers: Mapping[str, Handler]
    ready: Callable[[], object] | None = None


@dataclass(frozen=True)
class ModelLoaded:
    """The model is loaded; from now on jobs are computed."""


@dataclass(frozen=True)
class ModelFailed:
    """The model cannot be loaded, or its thread broke later: no job will be computed any more.

    `reason` is the error as text, made in the model's thread.
    """

    error: BaseException
    reason: str


@dataclass(slots=True, eq=False)
class Work:
    """What the model is computing: a batch or a step of a stream of `method`, or its `ready` where that is None.

    `since` is a time of `time.monotonic`.
    """

    method: Method | None
    since: float


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """Asks the model's `ready`, between two batches; `on_answer` gets None for yes, and otherwise why not."""

    on_answer: Callable[[Failure | None], object]


class Wake(Enum):
    """Why the thread should stop waiting, other than for new jobs."""

    STREAMS = auto()
    """A stream has room for another reply, or is abandoned."""
    LAST = auto()
    """Nobody comes back any more: what waits is computed at once."""
    STOP = auto()


SENT_TOGETHER = 2**16  # bytes of replies, at most and one more: large ones must not wait for each other in memory
NO_REPLY = object()  # in place of a reply, after a stream's last


class ModelThread(threading.Thread):
    """Loads the model with `load`, and computes jobs with it.

    `report`, `observe` and `send` are called from this thread: `observe` with a method and a failure, or None for a
    batch or a stream that was answered, and `send` when jobs have got what a batch or a step of a stream came to.
    `max_batch_sizes` are the most requests that a method gets at once, by path.
    """

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        report: Callable[[ModelLoaded | ModelFailed], object],
        observe: Callable[[Method, Failure | None], object],
        send: Callable[[], object],
        max_batch_sizes: Mapping[str, int],
    ) -> None:
        super().__init__(name="model", daemon=True)  # a model that hangs must not keep the process from ending
        self.work: Work | None = None
        """What the model is computing; None while it has nothing to do. For every thread to read."""
        self._load, self._report, self._observe, self._send = load, report, observe, send
        self._model = LoadedModel({})
        self._queue: SimpleQueue[Sequence[UnaryJob | StreamJob] | ReadyCheck | Wake] = SimpleQueue()
        self._waiting = {path: BatchQueue(size) for path, size in max_batch_sizes.items()}
        self._questions: deque[UnaryJob | ReadyCheck] = deque()  # of the server's own, which come first
        self._streams: list[StreamJob] = []
        self._expects_more = True
        self._stopping = False

    @property
    def has_ready(self) -> bool:
        """Whether the model, once it is loaded, has a method `ready`."""
        return self._model.ready is not None

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        """Queues jobs; those that come together can be computed together. Any thread may call this."""
        self._queue.put(jobs)

    def check_ready(self, check: ReadyCheck) -> None:
        """Has the thread ask the model's `ready`. Any thread may call this."""
        self._queue.put(check)

    def look_at_streams(self) -> None:
        """Has the thread look at its streams, after a reply was sent or a stream was cancelled."""
        self._queue.put(Wake.STREAMS)

    def expect_no_more(self) -> None:
        """Has the thread compute at once what it has: no more requests come. Any thread may call this."""
        self._queue.put(Wake.LAST)

    def stop(self, timeout: float) -> bool:
        """Ends the thread after what it is computing; False if that takes longer than `timeout` seconds."""
        self._queue.put(Wake.STOP)
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._model = self._load()
            self._report(ModelLoaded())
            self._compute_until_stopped()
        except BaseException as error:  # SystemExit too: the server must hear of every end of this thread
            self._report(ModelFailed(error, described(error)))

    def _compute_until_stopped(self) -> None:
        seconds: float | None = None
        while True:
            self._receive(seconds)
            if self._stopping:
                return
            seconds = self._turn()

    def _receive(self, seconds: float | None) -> None:
        """Takes all that is queued; waits at most so many seconds for the first item, or for ever if that is None."""
        while seconds != 0 or not self._queue.empty():
            try:
                item = self._queue.get(timeout=seconds)
            except Empty:
                return
            seconds = 0
            if item is Wake.STOP:
                self._stopping = True
            elif item is Wake.LAST:
                self._expects_more = False
            elif isinstance(item, ReadyCheck):
                self._questions.append(item)
            elif not isinstance(item, Wake):
                for job in item:
                    self._add(job)

    def _add(self, job: UnaryJob | StreamJob) -> None:
        if isinstance(job, StreamJob):
            self._streams.append(job)
        elif job.is_probe:
            self._questions.append(job)
        else:
            self._waiting[job.method.path].add(job)

    def _turn(self) -> float | None:
        """Computes one batch of every method that has one due, and one reply of every stream.

        Returns how many seconds there is nothing to do, unless something comes; None for as long as nothing comes.
        """
        self._answer_questions()
        now = time.monotonic()
        waits = {path: queue.seconds_until_due(now) for path, queue in self._waiting.items()}
        due = [path for path, wait in waits.items() if wait == 0 or not (wait is None or self._expects_more)]
        for path in due:
            self._compute(self._waiting[path])
        streams = [stream for stream in self._streams if stream.needs_a_turn()]
        for stream in streams:
            self._advance(stream)
        if due or streams:
            return 0
        return min((wait for wait in waits.values() if wait is not None), default=None)

    def _answer_questions(self) -> None:
        while self._questions:
            self._answer(self._questions.popleft())

    def _answer(self, question: UnaryJob | ReadyCheck) -> None:
        """Computes a probe, alone, or asks the model's `ready`."""
        if isinstance(question, UnaryJob):
            self._compute_batch([question])
            return
        self.work = Work(None, time.monotonic())
        failure = _why_not_ready(self._model.ready)
        self.work = None
        question.on_answer(failure)

    def _compute(self, queue: BatchQueue) -> None:
        """Computes a batch. If the model raises, halves are tried until the request at fault is alone."""
        started = time.monotonic()
        jobs = queue.take_batch()
        batches = [jobs]
        while batches:
            batches += self._compute_batch(batches.pop())
            self._receive(0)
            if batches:  # health must not wait for all of them
                self._answer_questions()
        queue.answered(len(jobs), started, time.monotonic())

    def _compute_batch(self, jobs: list[UnaryJob]) -> list[list[UnaryJob]]:
        """Computes jobs as one batch; returns what to try instead of it, the last first."""
        batch = _without_abandoned(jobs)
        if len(batch) < len(jobs):
            self._send()
        if not batch:
            return []
        self.work = Work(batch[0].method, time.monotonic())
        halves = self._try(batch)
        self.work = None
        self._send()
        return halves

    def _try(self, batch: list[UnaryJob]) -> list[list[UnaryJob]]:
        """Computes a batch; returns what to try instead of it, the last first."""
        try:
            replies = self._ask(batch)
        except BaseException as error:  # SystemExit too: whatever a model raises concerns its requests alone
            if len(batch) > 1 and not isinstance(error, ModelBroken):
                half = len(batch) // 2
                return [batch[half:], batch[:half]]
            for job in batch:
                self._fail(job, job.failure(error))
            return []
        is_answered = False
        unsent_bytes = 0
        for index, job in enumerate(batch):
            result = _encoded(job, replies, index)
            if isinstance(result, Failure):
                self._fail(job, result)
                continue
            is_answered = True
            job.on_result(result)
            unsent_bytes += len(result)
            if unsent_bytes > SENT_TOGETHER:
                self._send()
                unsent_bytes = 0
        if is_answered:  # once for all: this is what most batches come to
            self._observe(batch[0].method, None)
        return []

    def _fail(self, job: UnaryJob, failure: Failure) -> None:
        self._observe(job.method, failure)
        job.on_result(failure)

    def _ask(self, batch: Sequence[UnaryJob]) -> Sequence[object] | InvalidReply:
        """The model's replies, or what is wrong with all of them. Raises what the model raises."""
        handler = self._model.handlers[batch[0].method.path]
        replies = handler([job.request for job in batch])
        if isinstance(replies, Sequence) and len(replies) == len(batch):
            return replies
        return InvalidReply("reply", f"a sequence of {len(batch)}, one for each request", shown(replies))

    def _advance(self, stream: StreamJob) -> None:
        """Computes the next reply of a stream; ends it after its last, when it fails and when it is abandoned."""
        self.work = Work(stream.method, time.monotonic())
        is_over, failure = self._step(stream)
        if is_over:
            failure = _close(stream) or failure
            self._streams.remove(stream)
            self._observe(stream.method, failure)
            stream.on_end(failure)
        self.work = None
        self._send()

    def _step(self, stream: StreamJob) -> tuple[bool, Failure | None]:
        """Sends the next reply of a stream; returns whether it is over, and then why it failed, if it did."""
        try:
            if stream.is_abandoned():
                raise abandoned()
            if stream.replies is None:
                handler = self._model.handlers[stream.method.path]
                stream.replies = iter(handler(stream.request))  # type: ignore[call-overload]  # raises if not iterable
            reply = next(stream.replies, NO_REPLY)
            if reply is NO_REPLY:
                return True, None
            data = stream.method.encode(reply)
            stream.on_reply(data)
            stream.computed += 1
            stream.computed_bytes += len(data)
            return False, None
        except BaseException as error:
            return True, stream.failure(error)


def _why_not_ready(ready: Callable[[], object] | None) -> Failure | None:
    """None if the model says that it is ready, or leaves that to its samples."""
    if ready is None:
        return None
    try:
        answer = ready()
        if answer not in (True, False):  # numpy's and PyTorch's are equal to them
            raise TypeError(f"ready() must return True or False, got {shown(answer)}")
    except BaseException as error:
        return classify(error)
    return None if answer else Failure(Outcome.UNAVAILABLE, "", reason="it returned False")


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
