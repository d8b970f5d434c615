"""Whether a call is taken, and how much is in progress."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

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
    """Logs how many calls are refused for a setting: the first at once, then a count every LOG_SECONDS."""

    def __init__(self, setting: str, value: int) -> None:
        self._setting, self._value, self._count = setting, value, 0
        self._since: datetime | None = None  # the time of the last line, while another is due

    def add(self) -> None:
        """One more call is refused."""
        self._count += 1
        if self._since is None:
            self._since = datetime.now(UTC)
            self._write()

    def _write(self) -> None:
        """Writes the line, and is called again later, until a time without refusals."""
        if self._count == 0:
            self._since = None
            return
        text = "requests refused since %s UTC: %d (RESOURCE_EXHAUSTED, above %s=%d)"
        logger.warning(text, f"{self._since:%H:%M:%S}", self._count, self._setting, self._value)
        self._count, self._since = 0, datetime.now(UTC)
        asyncio.get_running_loop().call_later(LOG_SECONDS, self._write)


class Admission:
    """Takes or refuses calls, and counts what is in flight.

    `open_calls` counts calls that were taken and have not ended; a stop waits for them. `held_requests` counts those
    that the model's thread holds, including abandoned ones, so that they cannot pile up behind a slow one.
    """

    def __init__(self, state: ServerState, max_in_flight: int) -> None:
        self.open_calls = 0
        self.held_requests = 0
        self._state, self._max_in_flight = state, max_in_flight
        self._refusals = RefusalLog("MAX_IN_FLIGHT", max_in_flight)

    def refusal(self) -> Failure | None:
        """Why no call is taken in the current state; None if calls are taken."""
        state = self._state
        if state.current not in REFUSALS:
            return None
        if state.words and state.follows_evidence:
            return Broken(state.words)
        return Failure(Outcome.UNAVAILABLE, REFUSALS[state.current])

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a call until its end; raises Failure if it is refused."""
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        in_flight = max(self.open_calls, self.held_requests)
        if in_flight >= self._max_in_flight:
            self._refusals.add()
            raise Failure(Outcome.RESOURCE_EXHAUSTED, f"{in_flight} requests are in flight already")
        self.open_calls += 1
        try:
            yield
        finally:
            self.open_calls -= 1
