"""The async methods of a model, on an event loop of its own: each call and each stream is a task there.

The loop has a thread of its own, so that a model which blocks it by mistake holds up its own calls and nothing else:
health, the limits and the other methods do not wait for it.
"""

import asyncio
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from ...contract.violations import InvalidReply, shown
from ..logs import logger
from ..tracebacks import described
from .jobs import NO_REPLY, SENT_TOGETHER, Job, StreamJob, UnaryJob
from .outbox import Outbox
from .outcomes import Abandoned, Failure, classify
from .runners import LoadedModel, ModelFailed, Observe, ReadyCheck, Silence, Work, Works, why_not_ready

T = TypeVar("T")

BLOCKED_SECONDS = 1.0  # for which the loop does not turn, after which the log says so
WARNING_SECONDS = 10.0  # between two lines about that, at least
SERVER, PACKAGE = Path(__file__).parents[1], Path(__file__).parents[2]
BLOCKED = (
    "the model has blocked its event loop for %.1f s, and all async calls wait: %s. "
    "Await something that does not block, call what blocks by asyncio.to_thread, or write the method without async"
)


class ModelTasks(threading.Thread):
    """Computes jobs of async methods. `begin` starts it, if the model has any.

    `report`, `observe` and `send` are as for `ModelThread`; `new_loop` makes the event loop. At most `max_tasks` are
    computed at a time: admission lets in as many calls, but over HTTP a call may have many requests.
    """

    def __init__(
        self,
        report: Callable[[ModelFailed], object],
        observe: Observe,
        send: Callable[[], object],
        new_loop: Callable[[], asyncio.AbstractEventLoop],
        max_tasks: int,
    ) -> None:
        super().__init__(name="model-loop", daemon=True)  # a model that hangs must not keep the process from ending
        self._report, self._observe, self._send, self._new_loop = report, observe, send, new_loop
        self._max_tasks = max_tasks
        self._model = LoadedModel({})
        self._works = Works()
        self._is_running = threading.Event()
        self._is_stopping = False
        self._tasks: dict[UnaryJob | StreamJob | ReadyCheck, asyncio.Task[None]] = {}
        self._running_count = 0
        self._waiting: deque[UnaryJob | StreamJob] = deque()  # until fewer are running
        self._rooms: dict[StreamJob, asyncio.Event] = {}  # set when a stream may have room for another reply
        self._unsent_bytes, self._will_send = 0, False
        self._pinged: float | None = None  # the time of a question to the loop that it has not answered yet
        self._next_warning = 0.0

    def begin(self) -> None:
        """Starts the thread and its loop, unless they run."""
        if not self.is_alive():
            self.start()
            self._is_running.wait()

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns on the running loop. Raises what it raises."""
        result: Future[T] = Future()
        self._loop.call_soon_threadsafe(_settle, result, function)
        return result.result()

    def use(self, model: LoadedModel) -> None:
        """From now on jobs are computed by this model."""
        self._model = model

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._run_until_stopped())
        except BaseException as error:  # SystemExit in a task that the model made: the server must hear of every end
            self._is_running.set()
            self._report(ModelFailed(error, described(error)))

    async def _run_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox = Outbox(self._loop)
        self._stopped = asyncio.Event()
        self._is_running.set()
        await self._stopped.wait()

    def stop(self) -> list[threading.Thread]:
        """Has the thread cancel what it computes and end; returns it, if it was started."""
        if not self.is_alive():
            return []
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._stopped.set)
        return [self]

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        for job in jobs:
            self._works.begin(job)  # here, since a loop that is blocked begins nothing
            self._inbox.add(self._begin, job)
        self._inbox.send()

    def look_at(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        for job in jobs:
            self._inbox.add(self._look_at, job)
        self._inbox.send()

    def check_ready(self, check: ReadyCheck) -> None:
        """Has the loop ask the model's async `ready`. Any thread may call this."""
        self._inbox.add(self._begin, check)
        self._inbox.send()

    def works(self) -> Sequence[Work]:
        return self._works.all()

    def silences(self) -> Sequence[Silence]:
        """Of which methods nothing comes back."""
        return self._works.silences()

    def is_stuck(self, work: Work) -> bool:
        return self._works.is_stuck(work)

    def waits_for(self, job: Job, work: Work) -> bool:
        return job.method is work.method

    def warn_if_blocked(self) -> None:
        """Logs where the model blocks its loop, if it does. For one other thread, which calls this every second."""
        now = time.monotonic()
        if self._pinged is None:
            if self._works.all():
                self._pinged = now
                self._loop.call_soon_threadsafe(self._answer_ping)
        elif now - self._pinged >= BLOCKED_SECONDS and now >= self._next_warning:
            self._next_warning = now + WARNING_SECONDS
            logger.warning(BLOCKED, now - self._pinged, _place(sys._current_frames().get(self.ident or 0)))

    def _answer_ping(self) -> None:
        self._pinged = None

    def _begin(self, item: UnaryJob | StreamJob | ReadyCheck) -> None:
        """Starts a task, or has a job wait for one that ends."""
        if isinstance(item, ReadyCheck):
            self._loop.create_task(self._ask_ready(item))
        elif self._running_count < self._max_tasks or item.is_probe:
            self._compute(item)
        else:
            self._works.forget(item)
            self._waiting.append(item)

    def _compute(self, job: UnaryJob | StreamJob) -> None:
        """Starts a task, which is in `_tasks` once it runs: before that it cannot be cancelled."""
        self._running_count += 1
        self._loop.create_task(self._stream(job) if isinstance(job, StreamJob) else self._answer(job))

    def _look_at(self, job: UnaryJob | StreamJob) -> None:
        task = self._tasks.get(job)
        if task is not None and job.cancelled:
            task.cancel()
        elif isinstance(job, StreamJob) and job in self._rooms:
            self._rooms[job].set()

    async def _ask_ready(self, check: ReadyCheck) -> None:
        self._tasks[check] = _current_task()
        check.began = time.monotonic()
        try:
            answer = await self._model.ready()  # type: ignore[misc]  # it is async
        except BaseException as error:
            failure: Failure | None = classify(error)
        else:
            failure = why_not_ready(lambda: answer)
        del self._tasks[check]
        check.on_answer(failure)

    async def _answer(self, job: UnaryJob) -> None:
        """Computes the reply to a request."""
        self._tasks[job] = _current_task()
        failure: Failure | None = None
        try:
            data = await self._unless_abandoned(job, self._reply(job))
        except BaseException as error:  # SystemExit too: whatever a model raises concerns its request alone
            failure = job.failure(error)
        self._end(job, failure)
        job.on_result(failure or data)
        self._send_soon(0 if failure else len(data))

    def _handler(self, job: Job) -> Callable[[object], Any]:
        return self._model.handlers[job.method.path]

    async def _reply(self, job: UnaryJob) -> bytes:
        with self._step(job):
            reply = await self._handler(job)(job.request)
        if isinstance(reply, list | tuple):
            raise InvalidReply("reply", "one reply, since an async method gets one request, not a batch", shown(reply))
        return job.method.encode(reply)

    async def _stream(self, job: StreamJob) -> None:
        """Computes the replies of a stream."""
        self._tasks[job], self._rooms[job] = _current_task(), asyncio.Event()
        failure: Failure | None = None
        try:
            await self._unless_abandoned(job, self._replies(job))
        except BaseException as error:
            failure = job.failure(error)
        del self._rooms[job]
        self._end(job, failure)
        job.on_end(failure)
        self._send_soon(0)

    async def _replies(self, job: StreamJob) -> None:
        replies = self._handler(job)(job.request)
        try:
            while True:
                with self._step(job):
                    reply = await anext(replies, NO_REPLY)
                if reply is NO_REPLY:
                    return
                data = job.method.encode(reply)
                job.give(data)
                self._send_soon(len(data))
                await asyncio.sleep(0)  # a stream that waits for nothing must not hold up the others
                await self._until_room(job)
        finally:
            self._works.begin(job)
            await replies.aclose()  # the model's `finally` blocks run now, not some day

    async def _until_room(self, job: StreamJob) -> None:
        """Waits until there is room for another reply."""
        room = self._rooms[job]
        while not job.needs_a_turn():
            room.clear()
            await room.wait()

    @contextmanager
    def _step(self, job: UnaryJob | StreamJob) -> Iterator[None]:
        """A call or a step of a stream, in which the model may wait for something."""
        self._works.begin(job)
        try:
            yield
        except asyncio.CancelledError:
            self._works.give_up(job)
            raise
        except BaseException:
            self._works.end(job)
            raise
        self._works.end(job)

    async def _unless_abandoned(self, job: Job, compute: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns. It gets CancelledError when the caller goes or the deadline passes."""
        timeout = asyncio.timeout(None if job.deadline == math.inf else job.deadline - time.monotonic())
        try:
            if job.is_abandoned():
                compute.close()
                raise Abandoned
            async with timeout:
                return await compute
        except TimeoutError:
            if timeout.expired():
                raise Abandoned from None
            raise
        except asyncio.CancelledError:
            if job.cancelled or self._is_stopping:
                raise Abandoned from None
            raise

    def _end(self, job: UnaryJob | StreamJob, failure: Failure | None) -> None:
        del self._tasks[job]
        self._works.forget(job)
        self._observe(job.method, failure)
        self._running_count -= 1
        if self._waiting:
            self._compute(self._waiting.popleft())

    def _send_soon(self, size: int) -> None:
        """Sends what this turn of the loop comes to, together; more than a few large replies before that."""
        self._unsent_bytes += size
        if self._unsent_bytes > SENT_TOGETHER:
            self._send_now()
        elif not self._will_send:
            self._will_send = True
            self._loop.call_soon(self._send_now)

    def _send_now(self) -> None:
        self._unsent_bytes, self._will_send = 0, False
        self._send()


def _settle(result: Future[T], function: Callable[[], T]) -> None:
    try:
        result.set_result(function())
    except BaseException as error:
        result.set_exception(error)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _place(frame: FrameType | None) -> str:
    """The line of the project's own code in a thread's stack, else the innermost line."""
    innermost = frame
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE) and not path.is_relative_to(SERVER):
            break
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "unknown code"
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
