"""Where this project's stubs share a package with another distribution.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import importlib
from pathlib import Path


def join_packages(*parents: str) -> None:
    """Adds this project's folders to packages that another distribution may own, without hiding either."""
    root = Path(__file__).parents[2]
    for name in parents:
        folder = str(root.joinpath(*name.split(".")))
        package = importlib.import_module(name)
        if folder not in package.__path__:
            package.__path__.append(folder)
