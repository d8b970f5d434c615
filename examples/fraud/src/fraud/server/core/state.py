"""The state of the server: what health reports and what admission goes by."""

import asyncio
from enum import Enum, auto


class State(Enum):
    """From the start to the end; a server may leave out the states between LOADING and BROKEN."""

    LOADING = auto()
    """The model is not loaded, or has not answered its sample requests yet."""
    READY = auto()
    """The model has answered a sample request of every method."""
    SERVING = auto()
    """Calls are answered, and health says so. The only state in which health is SERVING."""
    LAME_DUCK = auto()
    """The server is to stop and health says so; calls are still taken, since balancers have not seen that yet."""
    DRAINING = auto()
    """New calls are refused; those that were taken are answered."""
    STOPPED = auto()
    """All calls that will be answered have been."""
    BROKEN = auto()
    """The model cannot be loaded or cannot answer."""

    @property
    def is_final(self) -> bool:
        return self in (State.STOPPED, State.BROKEN)


class ServerState:
    """The current state, for whoever has to know it. All of this is for the event loop's thread."""

    def __init__(self) -> None:
        self.current = State.LOADING
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        return self.current is State.SERVING

    def become(self, state: State) -> None:
        """Changes the state and wakes all that wait for a change."""
        self.current = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Waits until the state changes."""
        await self._changed.wait()
