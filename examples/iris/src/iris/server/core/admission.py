"""Whether a call is taken, and how much is in progress."""

import asyncio
import threading
from datetime import UTC, datetime
from types import TracebackType

from ..logs import logger
from .outcomes import CANNOT_ANSWER, Broken, Failure, Outcome
from .state import ServerState, State

# States in which no call is taken, and what its caller gets to read.
REFUSALS = {
    State.LOADING: "the model is still loading",
    State.READY: "the model is still loading",
    State.BROKEN: CANNOT_ANSWER,
    State.NEEDS_RESTART: CANNOT_ANSWER,
    State.DRAINING: "the server is stopping",
    State.STOPPED: "the server is stopping",
    State.FAILED: "the server is stopping",
}


LOG_SECONDS = 10  # between two lines about refused calls


class RefusalLog:
    """Logs how many calls are refused for a setting: the first at once, then a count every LOG_SECONDS.

    Made on the event loop; any thread may count.
    """

    def __init__(self, setting: str, value: int) -> None:
        self._setting, self._value, self._count = setting, value, 0
        self._since: datetime | None = None  # the time of the last line, while another is due
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()

    def add(self) -> None:
        """One more call is refused."""
        with self._lock:
            self._count += 1
            if self._since is not None:
                return
            self._since = datetime.now(UTC)
        self._write()

    def _write(self) -> None:
        """Writes the line, and is called again later, until a time without refusals."""
        with self._lock:
            count, since = self._count, self._since
            self._count, self._since = 0, datetime.now(UTC) if count else None
        if count and since:
            text = "requests refused since %s UTC: %d (RESOURCE_EXHAUSTED, above %s=%d)"
            logger.warning(text, f"{since:%H:%M:%S}", count, self._setting, self._value)
            self._loop.call_soon_threadsafe(self._loop.call_later, LOG_SECONDS, self._write)


class Admission:
    """Takes or refuses calls, and counts what is in flight. Any thread may ask.

    A `with` statement counts a call until its end; it raises Failure if the call is refused.

    `open_calls` counts calls that were taken and have not ended; a stop waits for them. `held_requests` counts those
    that the model's thread holds, including abandoned ones, so that they cannot pile up behind a slow one.
    """

    def __init__(self, state: ServerState, max_in_flight: int) -> None:
        self.open_calls = 0
        self.held_requests = 0
        self._state, self._max_in_flight = state, max_in_flight
        self._refusals = RefusalLog("MAX_IN_FLIGHT", max_in_flight)
        self._lock = threading.Lock()

    def refusal(self) -> Failure | None:
        """Why no call is taken in the current state; None if calls are taken."""
        state = self._state
        if state.current not in REFUSALS:
            return None
        if state.words and state.follows_evidence:
            return Broken(state.words)
        return Failure(Outcome.UNAVAILABLE, REFUSALS[state.current])

    def enter(self) -> None:
        """Counts a call until it leaves; raises Failure if it is refused."""
        if not self._state.is_serving and (refusal := self.refusal()):
            raise refusal
        with self._lock:
            in_flight = max(self.open_calls, self.held_requests)
            if in_flight < self._max_in_flight:
                self.open_calls += 1
                return
        self._refusals.add()
        raise Failure(Outcome.RESOURCE_EXHAUSTED, f"{in_flight} requests are in flight already")

    def leave(self) -> None:
        """A call that had entered has ended."""
        with self._lock:
            self.open_calls -= 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def hold(self, requests: int) -> None:
        """The model's thread gets so many requests more."""
        with self._lock:
            self.held_requests += requests

    def release(self, requests: int) -> None:
        """The model's thread has answered so many requests."""
        with self._lock:
            self.held_requests -= requests
