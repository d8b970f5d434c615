"""What platforms want of the server beside gRPC: one module each, which is here when the platform was chosen.

A module with a class `Adapter` is a platform's; the others are what adapters share. An adapter runs on the server's own
loop, hears of no signal, and gives its requests to the servicer, so that limits, batches and a stop count them all.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol

from ..health import Health
from ..servicer import Servicer


class Platform(Protocol):
    """An adapter. It is made from the environment and raises ValueError, which says all that is wrong with that."""

    def __init__(self, environ: Mapping[str, str], /) -> None: ...

    def fetch(self, artifact: Path, /) -> Path | None:
        """Where the platform has the model's artifact, known as `artifact`; None where it says nothing of one.

        Runs in the model's thread, where it may take its time; raises LoadError.
        """

    async def start(self, servicer: Servicer, health: Health, /) -> None:
        """Listens at once, long before the model is loaded; where it cannot, logs why and ends the process with 1."""

    async def stop(self) -> None:
        """Closes what `start` opened. Nothing is in flight any more, unless the server gives up on it."""


def adapters(environ: Mapping[str, str]) -> list[Platform]:
    """The adapter of every platform; raises ValueError for settings that are wrong."""
    modules = [import_module(f".{found.name}", __package__) for found in iter_modules(__path__)]
    return [module.Adapter(environ) for module in modules if hasattr(module, "Adapter")]
