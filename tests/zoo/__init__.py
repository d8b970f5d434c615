"""Real small servers, healthy ones and such with one fault each, for `protoserve verify` to look at.

`python -m zoo NAME PORT` runs the server NAME, with this folder's parent and the stubs of zoo.proto on the path. Each
module of servers has a table of rows, which say what verify must find; tests/verify/test_zoo.py goes through them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Every server by its name: it listens on the port that it is given, and returns when it ends.
SERVERS: dict[str, Callable[[int], None]] = {}


def server(name: str) -> Callable[[Callable[[int], None]], Callable[[int], None]]:
    """Makes a function the server of this name."""

    def keep(run: Callable[[int], None]) -> Callable[[int], None]:
        assert name not in SERVERS
        SERVERS[name] = run
        return run

    return keep


@dataclass(frozen=True)
class Row:
    """One line of the table: what `verify` finds in the server `name`.

    `fails` is the one check that fails, None for a healthy server; its cause (or what was seen) has all of `words`, or
    where none fails, what the checks in `warns` say, which may warn. `reflects` is whether the server has reflection:
    it is then verified by that and by --proto, else by --proto only. `options` are further arguments of the command,
    in which `{zoo}` and `{certificates}` stand for folders. `proto` lies in this folder, `host` is under what name the
    server is asked, `listens` whether it ever opens its port, `slow` marks what needs more than this environment.
    `started` servers are a project's, which the run starts and stops itself.
    """

    name: str
    fails: str | None = None
    words: tuple[str, ...] = ()
    warns: frozenset[str] = frozenset()
    reflects: bool = True
    options: tuple[str, ...] = field(default=())
    proto: str = "zoo.proto"
    host: str = "127.0.0.1"
    listens: bool = True
    slow: bool = False
    started: bool = False
