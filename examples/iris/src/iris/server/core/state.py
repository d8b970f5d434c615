"""The state of the server: what health reports and what admission goes by."""

import asyncio
from enum import Enum, auto


class State(Enum):
    """In this order; BROKEN comes instead of READY if the model cannot be loaded, or after SERVING."""

    LOADING = auto()
    """The model is not loaded, or has not answered its sample requests yet."""
    READY = auto()
    """The model has answered a sample request of every method."""
    SERVING = auto()
    """Calls are answered, and health says so. The only state in which health is SERVING."""
    LAME_DUCK = auto()
    """The server was asked to stop, and health says so; calls are still taken, as balancers have not seen that yet."""
    DRAINING = auto()
    """New calls are refused; those that were taken are answered."""
    STOPPED = auto()
    """The drain is over; nothing is answered any more."""
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
