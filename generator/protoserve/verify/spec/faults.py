"""What is wrong in a specification, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import dedent

from protoserve.verify.report import Finding, Verdict
from protoserve.verify.spec.tree import Node


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `seen` is the fact at the node, without its place. A `warn` breaks nothing by itself."""

    node: Node
    seen: str
    cause: str
    remedy: str
    verdict: Verdict = Verdict.FAIL


def fail(node: Node, seen: str, cause: str, remedy: str) -> Fault:
    return Fault(node, seen, cause, dedent(remedy).strip())


def warn(node: Node, seen: str, cause: str, remedy: str) -> Fault:
    return Fault(node, seen, cause, dedent(remedy).strip(), Verdict.WARN)


def finding(file: str, faults: Iterable[Fault], fine: str) -> Finding:
    """One finding for all the faults, in the order of the file; `fine` is what was seen where there are none.

    Where something fails, what only deserves a look waits for the next run.
    """
    found = sorted(dict.fromkeys(faults), key=lambda fault: (fault.node.line, fault.node.column))
    fails = [fault for fault in found if fault.verdict is Verdict.FAIL]
    told = fails or found
    if not told:
        return Finding(Verdict.PASS, fine)
    return Finding(
        told[0].verdict,
        "\n".join(f"{place(file, fault.node)}: {fault.seen}" for fault in told),
        "\n".join(dict.fromkeys(fault.cause for fault in told)),
        "\n\n".join(dict.fromkeys(fault.remedy for fault in told)),
    )


def place(file: str, node: Node) -> str:
    """`file:line:column: path`; the path is empty for a whole document."""
    where = f"{file}:{node.line}:{node.column}"
    return f"{where}: {node.path}" if node.path else where


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The key that was meant, None where none is near."""
    names = {_plain(key): key for key in known}
    if (same := names.get(_plain(name))) is not None:
        return same
    close = difflib.get_close_matches(_plain(name), names, 1, 0.75)
    return names[close[0]] if close else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
