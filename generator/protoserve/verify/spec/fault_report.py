"""Faults in a specification, each with its place, and the finding that reports them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import dedent

from protoserve.verify.report import Finding, Verdict
from protoserve.verify.spec.tree import Node


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `seen` is the fact at the node, without its place. A `warn` breaks nothing by itself."""

    node: Node
    seen: str
    cause: str
    remedy: str
    verdict: Verdict = Verdict.FAIL


def fail(node: Node, seen: str, cause: str, remedy: str) -> Fault:
    return Fault(node, seen, cause, dedent(remedy).strip())


def warn(node: Node, seen: str, cause: str, remedy: str) -> Fault:
    return Fault(node, seen, cause, dedent(remedy).strip(), Verdict.WARN)


def finding(file: str, faults: Iterable[Fault], pass_text: str) -> Finding:
    """One finding for all faults, in the order of the file; `pass_text` is what was seen if there are none.

    If something fails, warnings are left for the next run.
    """
    ordered = sorted(dict.fromkeys(faults), key=lambda fault: (fault.node.line, fault.node.column))
    reported = [fault for fault in ordered if fault.verdict is Verdict.FAIL] or ordered
    if not reported:
        return Finding(Verdict.PASS, pass_text)
    return Finding(
        reported[0].verdict,
        "\n".join(f"{location(file, fault.node)}: {fault.seen}" for fault in reported),
        "\n".join(dict.fromkeys(fault.cause for fault in reported)),
        "\n\n".join(dict.fromkeys(fault.remedy for fault in reported)),
    )


def location(file: str, node: Node) -> str:
    """`file:line:column: path`; without the path for a whole document."""
    position = f"{file}:{node.line}:{node.column}"
    return f"{position}: {node.path}" if node.path else position


def similar_key(name: str, known: Iterable[str]) -> str | None:
    """The known key that `name` most likely stands for, None if none is similar."""
    names = {_normalised(key): key for key in known}
    if (same := names.get(_normalised(name))) is not None:
        return same
    close = difflib.get_close_matches(_normalised(name), names, 1, 0.75)
    return names[close[0]] if close else None


def _normalised(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
