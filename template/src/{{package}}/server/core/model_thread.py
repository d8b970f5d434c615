"""The model's thread: it loads the model, then computes what is queued, in batches where the method is unary.

It takes all that is queued, up to the maximum: a lone request is computed at once, and batches grow with the load.
Only callers of a slow model who are known to come back are waited for, a moment (`batching`).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import Enum, auto
from queue import Empty, SimpleQueue

from ...contract.methods import Handler, Method
from ...contract.violations import InvalidReply, ModelBroken, shown
from ..tracebacks import described
from .batching import BatchQueue
from .jobs import SENT_TOGETHER, Job, StreamJob, UnaryJob
from .outcomes import Abandoned, Failure
from .runners import LoadedModel, ModelFailed, ModelLoaded, Observe, ReadyCheck, Work, Works, why_not_ready
from .streams import StreamTurns


class Wake(Enum):
    """Why the thread should stop waiting, other than for new jobs."""

    STREAMS = auto()
    """A stream has room for another reply, or is abandoned."""
    LAST = auto()
    """Nobody comes back any more: what waits is computed at once."""
    STOP = auto()


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
        observe: Observe,
        send: Callable[[], object],
        max_batch_sizes: Mapping[str, int],
    ) -> None:
        super().__init__(name="model", daemon=True)  # a model that hangs must not keep the process from ending
        self._load, self._report, self._observe, self._send = load, report, observe, send
        self._model = LoadedModel({})
        self._queue: SimpleQueue[Sequence[UnaryJob | StreamJob] | ReadyCheck | Wake] = SimpleQueue()
        self._waiting = {path: BatchQueue(size) for path, size in max_batch_sizes.items()}
        self._queues = list(self._waiting.values())
        self._questions: deque[UnaryJob | ReadyCheck] = deque()  # of the server's own, which come first
        self._work: Work | None = None  # a batch, or `ready`
        self._stream_works = Works()
        self._streams = StreamTurns(self._handler, self._stream_works, observe, send)
        self._expects_more = True
        self._stopping = False

    def _handler(self, method: Method) -> Handler:
        return self._model.handlers[method.path]

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        """Queues jobs; those that come together can be computed together. Any thread may call this."""
        self._queue.put(jobs)

    def check_ready(self, check: ReadyCheck) -> None:
        """Has the thread ask the model's `ready`. Any thread may call this."""
        self._queue.put(check)

    def look_at(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        if any(isinstance(job, StreamJob) for job in jobs):  # the others are looked at when their turn comes
            self._queue.put(Wake.STREAMS)

    def expect_no_more(self) -> None:
        """Has the thread compute at once what it has: no more requests come. Any thread may call this."""
        self._queue.put(Wake.LAST)

    def works(self) -> Sequence[Work]:
        work = self._work
        return [*self._stream_works.all(), *([] if work is None else [work])]

    def is_stuck(self, work: Work) -> bool:
        """It computes one thing at a time."""
        return True

    def waits_for(self, job: Job, work: Work) -> bool:
        return True

    def stop(self) -> list[threading.Thread]:
        """Has the thread end after what it is computing; returns it, if it was started."""
        self._queue.put(Wake.STOP)
        return [self] if self.is_alive() else []

    def run(self) -> None:
        try:
            self._model = self._load()
            self._report(ModelLoaded(self._model))
            self._compute_until_stopped()
        except BaseException as error:  # SystemExit too: the server must hear of every end of this thread
            self._report(ModelFailed(error, described(error)))

    def _compute_until_stopped(self) -> None:
        seconds: float | None = None
        while not self._stopping:  # which a turn may learn, too, since it looks at the queue after each batch
            self._receive(seconds)
            if not self._stopping:
                seconds = self._turn()

    def _receive(self, seconds: float | None) -> None:
        """Takes all that is queued; waits at most so many seconds for the first item, or for ever if that is None."""
        while seconds != 0 or not self._queue.empty():
            try:
                item = self._queue.get(timeout=seconds)
            except Empty:
                return
            seconds = 0
            if isinstance(item, Wake):
                self._stopping |= item is Wake.STOP
                self._expects_more &= item is not Wake.LAST
            elif isinstance(item, ReadyCheck):
                self._questions.append(item)
            else:
                for job in item:
                    self._add(job)

    def _add(self, job: UnaryJob | StreamJob) -> None:
        if isinstance(job, StreamJob):
            self._streams.add(job)
        elif job.is_probe:
            self._questions.append(job)
        else:
            self._waiting[job.method.path].add(job)

    def _turn(self) -> float | None:
        """Computes one batch of every method that has one due, and one reply of every stream.

        Returns how many seconds there is nothing to do, unless something comes; None for as long as nothing comes.
        """
        self._answer_questions()
        for queue in self._queues:
            if self._seconds_until_due(queue) == 0:
                self._compute(queue)
        if self._streams.take() or self._questions:
            return 0
        waits = [wait for queue in self._queues if (wait := self._seconds_until_due(queue)) is not None]
        return min(waits, default=None)

    def _seconds_until_due(self, queue: BatchQueue) -> float | None:
        """How long the next batch waits; None if there is none."""
        if queue.is_empty:
            return None
        return queue.seconds_until_due(time.monotonic()) if self._expects_more else 0

    def _answer_questions(self) -> None:
        while self._questions:
            self._answer(self._questions.popleft())

    def _answer(self, question: UnaryJob | ReadyCheck) -> None:
        """Computes a probe, alone, or asks the model's `ready`."""
        if isinstance(question, UnaryJob):
            self._compute_batch([question])
            return
        assert self._model.ready is not None
        question.began = time.monotonic()
        self._work = Work(None, question.began)
        failure = why_not_ready(self._model.ready)
        self._work = None
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
        self._work = Work(batch[0].method, time.monotonic())
        halves = self._try(batch)
        self._work = None
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
        wanted = f"a sequence of {len(batch)}, one for each request"
        if isinstance(replies, Coroutine):
            replies.close()  # or Python would warn that nobody awaits it
            wanted += " (a method that awaits is `async def`, and gets one request)"
        return InvalidReply("reply", wanted, shown(replies))


def _without_abandoned(jobs: Sequence[UnaryJob]) -> list[UnaryJob]:
    """The jobs that somebody waits for; the others are answered, which frees their places."""
    wanted = []
    for job in jobs:
        if job.is_abandoned():
            job.on_result(Abandoned())
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
