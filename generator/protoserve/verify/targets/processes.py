"""A process and those that it has started, from Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
# In /proc/PID/stat, after the program's name in parentheses.
_PARENT, _GROUP, _STARTED = 1, 2, 19


def family(first: int) -> dict[int, str]:
    """When each of them was started, by its process id: the process, its descendants, and its group, whose id is the
    same number. Empty where the system does not say.
    """
    facts: dict[int, list[str]] = {}
    with contextlib.suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdecimal() and (words := _facts(int(entry.name))):
                facts[int(entry.name)] = words
    members = {pid for pid, words in facts.items() if pid == first or int(words[_GROUP]) == first}
    while more := {pid for pid, words in facts.items() if int(words[_PARENT]) in members} - members:
        members |= more
    return {pid: facts[pid][_STARTED] for pid in members}


def kill(members: Mapping[int, str]) -> None:
    """SIGKILL for each process of a `family` that is still there."""
    for pid, started in members.items():
        if (words := _facts(pid)) and words[_STARTED] == started:  # not another one that has its number now
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _facts(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return []
