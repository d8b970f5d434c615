"""What a run of the checks found, as plain data: the forms of output read it, the checks make its findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent

# How a check ends that is about gRPC where a platform needs none: what builds upon it is then not judged either.
HTTP_ONLY = "speaks HTTP only"


class Verdict(StrEnum):
    """`warn` is what deserves a look and breaks nothing; `skip` was not judged, and says why."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict: what was seen (bytes, status, time), and where it is bad the likely cause and the remedy, with code.

    A skip says in `seen` why.
    """

    verdict: Verdict
    seen: str
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The finding of the check `id`, which took `seconds`."""

    id: str
    finding: Finding
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run against `target`; `requests` is how many calls were sent, `stopped` why a run ended early."""

    target: str
    platform: str
    outcomes: tuple[Outcome, ...]
    requests: int = 0
    seconds: float = 0.0
    stopped: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst that was found: fail, else warn, else pass."""
        found = {outcome.finding.verdict for outcome in self.outcomes}
        return next((v for v in (Verdict.FAIL, Verdict.WARN) if v in found), Verdict.PASS)

    @property
    def exit_code(self) -> int:
        """0 when no check failed, 1 when one did or the run was interrupted."""
        return 1 if self.stopped or self.verdict is Verdict.FAIL else 0


def passed(seen: str) -> Finding:
    return Finding(Verdict.PASS, seen)


def skipped(why: str) -> Finding:
    return Finding(Verdict.SKIP, why)


def failed(seen: str, cause: str, remedy: str) -> Finding:
    """`remedy` may be indented as the code that it stands in."""
    return Finding(Verdict.FAIL, seen, cause, dedent(remedy).strip())


def warned(seen: str, cause: str, remedy: str) -> Finding:
    return Finding(Verdict.WARN, seen, cause, dedent(remedy).strip())
