"""What platforms want of the server besides gRPC: an adapter each, in `platforms`, which only some projects have."""

from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol

from .core.calls import Calls
from .core.state import ServerState


class Adapter(Protocol):
    """A platform's class `Adapter`. It is made from the environment and raises ValueError with all that is wrong there.

    It runs on the server's event loop, handles no signals, and gives its calls to `Calls`, so that limits, batches and
    a stop count them all.
    """

    def __init__(self, environ: Mapping[str, str], /) -> None: ...

    def fetch(self, artifact: Path, /) -> Path | None:
        """Where the platform has the model's artifact, known as `artifact`; None where it says nothing of one.

        Runs in the model's thread, where it may take its time; raises LoadError.
        """

    async def start(self, calls: Calls, state: ServerState, /) -> None:
        """Listens at once, long before the model is loaded; if it cannot, logs why and ends the process with 1."""

    async def stop(self) -> None:
        """Closes what `start` opened. Nothing is in flight any more, unless the server gives up on it."""


def platform_adapters(environ: Mapping[str, str]) -> list[Adapter]:
    """The adapter of every platform; raises ValueError for settings that are wrong.

    A module in `platforms` with a class `Adapter` is a platform's; the others are what adapters share.
    """
    package = util.find_spec(".platforms", __package__)
    if package is None or package.origin is None:  # a folder without __init__.py is what an update left behind
        return []
    names = [module.name for module in iter_modules(package.submodule_search_locations)]
    modules = [import_module(f".platforms.{name}", __package__) for name in names]
    return [module.Adapter(environ) for module in modules if hasattr(module, "Adapter")]
