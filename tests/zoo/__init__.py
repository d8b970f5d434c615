"""Small real servers for `protoserve verify`: healthy ones, and ones with a single fault.

`python -m zoo NAME PORT` runs the server NAME, with this folder's parent and the stubs of zoo.proto on the path. Each
module of servers has a table of rows, which say what verify must report; tests/verify/test_zoo.py runs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Every server by its name: a function that listens on the given port, and returns when the server ends.
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
    """One line of the table: what `verify` reports about the server `name`.

    `fails` is the one check that fails, None for a healthy server. All of `words` are in the text of that check or, if
    none fails, of those that warn, which must be among `warns`. A server that `reflects` is verified with its
    reflection and with --proto, others with --proto only. `options` are further arguments of the command; `{zoo}` and
    `{certificates}` in them stand for folders. `proto` is a file in this folder, `host` the name in the address.
    An `unjudged` one gets that verdict, and no other, if it is verified without --proto; one with `asks` gets it in any
    case, and its report asks for that.
    `listens` is whether the server ever opens its port, `slow` marks rows that need more than this environment. Servers
    that are `started` belong to a project, and the run starts and stops them itself.
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
    unjudged: bool = False
    asks: str = ""
