"""The state of the server: what health reports and what admission goes by."""

import asyncio
from enum import Enum, auto


class State(Enum):
    """The states, in the order in which a server goes through them; those of MODEL_STATES change with the evidence."""

    LOADING = auto()
    """The model is not loaded, or has not answered its sample requests yet."""
    READY = auto()
    """The model has answered a sample request of every method."""
    SERVING = auto()
    """Calls are answered, and health says so. The only state in which health is SERVING."""
    BROKEN = auto()
    """The model does not even answer its sample request, or says that it cannot answer. New calls are refused."""
    NEEDS_RESTART = auto()
    """The model hangs, or has been broken for BROKEN_SECONDS: `liveness` is NOT_SERVING too."""
    LAME_DUCK = auto()
    """The server was asked to stop, and health says so; calls are still taken, as balancers have not seen that yet."""
    DRAINING = auto()
    """New calls are refused; those that were taken are answered."""
    STOPPED = auto()
    """The drain is over; nothing is answered any more."""
    FAILED = auto()
    """The model cannot be loaded, or its thread broke: the process ends with 1."""

    @property
    def is_final(self) -> bool:
        return self in (State.STOPPED, State.FAILED)


MODEL_STATES = (State.SERVING, State.BROKEN, State.NEEDS_RESTART)


class ServerState:
    """The current state, for whoever has to know it. All of this is for the event loop's thread.

    The lifecycle leads from state to state. While the server serves, the evidence moves it between MODEL_STATES; once
    it stops, it stops, whatever the model does.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.become(State.LOADING)
        self.words = ""
        """Why the model says that it is broken, for callers; empty if it says nothing."""

    @property
    def is_alive(self) -> bool:
        """Whether a restart would not help, as far as the server knows."""
        return self.current not in (State.NEEDS_RESTART, State.FAILED)

    @property
    def follows_evidence(self) -> bool:
        """Whether the model decides on the state: not while the server starts or stops."""
        return self.current in MODEL_STATES

    def become(self, state: State) -> None:
        """For the lifecycle: changes the state and wakes all that wait for a change."""
        self.current = state
        self.is_serving = state is State.SERVING  # like the next one asked for every request, so it is an attribute
        self.needs_restart = state is State.NEEDS_RESTART
        self._changed.set()
        self._changed = asyncio.Event()

    def judge(self, state: State, words: str = "") -> None:
        """For the evidence: changes the state to one of MODEL_STATES, unless the server starts or stops."""
        if self.follows_evidence:
            self.words = words
            if state is not self.current:
                self.become(state)

    async def change(self) -> None:
        """Waits until the state changes."""
        await self._changed.wait()
