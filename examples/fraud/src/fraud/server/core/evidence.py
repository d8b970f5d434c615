"""The evidence that the model answers, which health follows.

After FAILURES calls of a method in a row that the model failed, the server asks it with a sample request of its own,
so that callers whose requests break the model for themselves alone cannot end the service. A model that fails the
sample is broken, and is asked again until it answers. A model that does not come back from a call hangs. It can also
say by itself that it cannot answer: by ModelBroken, and by its method `ready`.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from ...contract.methods import Method
from ..logs import logger
from ..texts import escaped
from .calls import Calls
from .model_runners import ModelRunners
from .outcomes import Broken, Failure, Outcome
from .runners import ReadyCheck, Runner, Work
from .state import ServerState, State

FAILURES = 3  # in a row, after which the sample is asked
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds between two samples
POLL_SECONDS = 1.0  # between two looks at the model's thread
REASON_BYTES = 512
READY = "ready()"


class FailureCount:
    """Counts the calls in a row that the model failed, by method; calls `doubt` when the sample should be asked.

    For the threads of the model.
    """

    def __init__(self, doubt: Callable[[Method, Failure], object]) -> None:
        self._doubt = doubt
        self._in_a_row: dict[str, int] = {}
        self._lock = threading.Lock()

    def observe(self, method: Method, failure: Failure | None) -> None:
        """The model answered calls of a method, or failed one. A failure that is the caller's says nothing of it."""
        if failure is None:
            self._in_a_row[method.path] = 0
        elif failure.is_the_models:
            with self._lock:
                self._in_a_row[method.path] = in_a_row = self._in_a_row.get(method.path, 0) + 1
            if in_a_row % FAILURES == 0 or isinstance(failure, Broken):
                self._doubt(method, failure)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long the model may take, by the settings of these names, in seconds."""

    model_timeout_seconds: float
    broken_seconds: float
    ready_seconds: float


class Evidence:
    """Judges whether the model can answer, and moves the server's state accordingly. For the event loop's thread.

    The state is SERVING while nothing is broken: no method, by its label, and not `ready()`.
    """

    def __init__(self, state: ServerState, runners: ModelRunners, calls: Calls, patience: Patience) -> None:
        self._state, self._runners, self._calls, self._patience = state, runners, calls, patience
        self._broken: dict[str, str] = {}  # what is broken, and the model's own words on that, for callers
        self._since = 0.0
        self._needs_restart = False
        self._restart_timer: asyncio.TimerHandle | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch_for_hang(self) -> None:
        """Begins to watch how long the model takes."""
        self._run("hang", self._watch_for_hang())

    def watch_ready(self) -> None:
        """Begins to ask the model's `ready` again and again, if it has one."""
        if self._runners.has_ready:
            self._run(READY, self._watch_ready())

    async def until_ready(self) -> None:
        """Waits until the model's `ready`, if it has one, returns True; raises Failure if it hangs."""
        if not self._runners.has_ready:
            return
        limit = self._patience.model_timeout_seconds
        logged = ""
        while True:
            try:
                failure = await asyncio.wait_for(self._ask_ready(), limit)
            except TimeoutError:
                text = f"it has not returned within {limit:g} s (MODEL_TIMEOUT_SECONDS)"
                raise Failure(Outcome.UNAVAILABLE, text) from None
            if failure is None:
                self._answered(READY)
                return
            if (reason := _reason(failure)) != logged:
                logger.warning("waiting for the model's ready(): %s", reason)
                logged = reason
            await asyncio.sleep(min(POLL_SECONDS, self._patience.ready_seconds))

    def doubt(self, method: Method, failure: Failure) -> None:
        """The model failed too many calls of a method, or said that it is broken: it is asked with the sample."""
        if not self._state.follows_evidence:
            return
        pause = 0.0
        if isinstance(failure, Broken):
            self._fail(method.label, f"{method.label}: {_reason(failure)}", failure.words)
            pause = FIRST_PAUSE
        self._ask(method, pause)

    def _ask(self, method: Method, pause: float) -> None:
        if method.label not in self._tasks:
            self._run(method.label, self._ask_until_answered(method, pause))

    async def _ask_until_answered(self, method: Method, pause: float) -> None:
        """Sends the sample request of a method until it is answered."""
        await asyncio.sleep(pause)
        while self._state.follows_evidence:
            failure = await self._calls.probe(method)
            if failure is None:
                del self._tasks[method.label]  # from here on a new doubt needs a new task
                self._answered(method.label)
                return
            reason = f"{method.label} fails, and does not answer its sample request: {_reason(failure)}"
            self._fail(method.label, reason, failure.words if isinstance(failure, Broken) else "")
            pause = min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _watch_ready(self) -> None:
        while True:
            await asyncio.sleep(self._patience.ready_seconds)
            failure = await self._ask_ready()
            if failure is None:
                self._answered(READY)
            else:
                words = failure.words if isinstance(failure, Broken) else ""
                self._fail(READY, f"the model's ready(): {_reason(failure)}", words)

    async def _ask_ready(self) -> Failure | None:
        """Why the model's `ready` does not say True. Its time counts from its call: a busy model is not unready."""
        loop, seconds = asyncio.get_running_loop(), self._patience.ready_seconds
        answer: asyncio.Future[Failure | None] = loop.create_future()
        check = ReadyCheck(lambda failure: loop.call_soon_threadsafe(_set_result, answer, failure))
        self._runners.check_ready(check)
        while not answer.done():
            await asyncio.wait([answer], timeout=min(POLL_SECONDS, seconds))
            if time.monotonic() - check.began > seconds:
                self._fail(READY, f"the model's ready() has not returned within {seconds:g} s (READY_SECONDS)")
        return answer.result()

    async def _watch_for_hang(self) -> None:
        """Looks every second at what the model computes."""
        limit = self._patience.model_timeout_seconds
        known: set[Work] = set()  # what takes too long
        while True:
            now = time.monotonic()
            works = self._runners.works()
            overdue = {work: runner for runner, work in works if now - work.since >= limit}
            for work, runner in overdue.items():
                if work not in known:
                    self._give_up(work, runner)
            known = set(overdue)
            self._doubt_silence(now)
            self._runners.warn_if_blocked()
            next_due = min((work.since + limit for _, work in works if work not in known), default=math.inf)
            await asyncio.sleep(min(POLL_SECONDS, limit, max(0.0, next_due - time.monotonic())))

    def _give_up(self, work: Work, runner: Runner) -> None:
        """Something takes too long: ends its call, and those that wait for it too."""
        limit = self._patience.model_timeout_seconds
        reason = f"has not come back within {limit:g} s (MODEL_TIMEOUT_SECONDS)"
        if not runner.is_stuck(work):
            assert work.job is not None
            job, name = work.job, work.job.method.label
            logger.error("%s (request %s) %s, while others have", name, job.request_id, reason)
            self._calls.exchanges.fail_waiting(lambda waiting: waiting is job)
            return
        name = READY if work.method is None else work.method.label
        self._fail(name, f"{name} {reason}")
        self._ask_for_restart(f"{name} {reason}")
        self._calls.exchanges.fail_waiting(lambda job: self._runners.waits_for(job, runner, work))
        if work.method is not None:
            self._ask(work.method, 0.0)  # with the sample, which is answered when it comes back

    def _doubt_silence(self, now: float) -> None:
        """Asks methods of which nothing comes back before their callers give up, who may all have short deadlines."""
        seconds = self._patience.model_timeout_seconds / 10
        for silence in self._runners.silences():
            if silence.given_up >= FAILURES and now - silence.since >= seconds and self._state.follows_evidence:
                self._ask(silence.method, 0.0)

    def _fail(self, name: str, reason: str, words: str = "") -> None:
        """Something is broken; the first time, the log says why."""
        if not self._broken:
            self._since = time.monotonic()
            seconds = self._patience.broken_seconds
            text = f"the model has not answered for {seconds:g} s (BROKEN_SECONDS)"
            self._restart_timer = asyncio.get_running_loop().call_later(seconds, self._ask_for_restart, text)
        if name not in self._broken:
            logger.error("NOT_SERVING: %s", escaped(reason, REASON_BYTES))
        self._broken[name] = words
        self._judge()

    def _ask_for_restart(self, reason: str) -> None:
        """What is broken may not recover without a restart."""
        if self._needs_restart or not self._state.follows_evidence:
            return
        logger.error("liveness is NOT_SERVING: %s", reason)
        self._needs_restart = True
        self._judge()

    def _answered(self, name: str) -> None:
        """Something is not broken, or no longer."""
        if self._broken.pop(name, None) is None or self._broken:
            return
        if self._restart_timer is not None:
            self._restart_timer.cancel()
        self._needs_restart = False
        logger.warning("SERVING again: the model answers, after %.1f s", time.monotonic() - self._since)
        self._judge()

    def _judge(self) -> None:
        words = next(filter(None, self._broken.values()), "")
        broken = State.NEEDS_RESTART if self._needs_restart else State.BROKEN
        self._state.judge(broken if self._broken else State.SERVING, words)

    def _run(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Runs a task, of which there is one of each name."""
        self._tasks[name] = asyncio.create_task(work)


def _reason(failure: Failure) -> str:
    """What the log says of a failure, in one line: the calls that failed before left the rest there."""
    return failure.reason.partition("\n")[0] or failure.message


def _set_result(future: asyncio.Future[Failure | None], result: Failure | None) -> None:
    if not future.done():  # nobody may wait any more
        future.set_result(result)
