"""What commands and servers cost with all processes that they start: time, CPU time, memory at its peak (Linux)."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

_SAMPLE_SECONDS = 0.1
_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Run:
    """A command that has ended. `peak_bytes` is 0 unless memory was measured.

    `cpu_seconds` is user and system time of the command and of what it has started, also if that outlived it.
    """

    exit_code: int
    output: bytes
    errors: bytes
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], memory: bool = False) -> Run:
    """Runs the command.

    Memory is the sum over its processes of the share of each in what it uses (PSS), so pages that processes share after
    a fork count once. It is looked at ten times a second. Nothing else may be started by this process meanwhile.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        _adopt_orphans()
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        peak, ended = [0], Event()
        watch = Thread(target=_watch, args=(process.pid, peak, ended))
        if memory:
            watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu_seconds = usage.ru_utime + usage.ru_stime + _cpu_seconds_of_orphans()
        ended.set()
        if memory:
            watch.join()
        output.seek(0)
        errors.seek(0)
        return Run(process.returncode, output.read(), errors.read(), seconds, cpu_seconds, peak[0])


def _adopt_orphans() -> None:
    """Makes this process the parent of what the processes that it starts leave behind (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _cpu_seconds_of_orphans() -> float:
    """Waits until all that the command has left behind has ended, too."""
    seconds = 0.0
    with suppress(ChildProcessError):
        while True:
            _, _, usage = os.wait4(-1, 0)
            seconds += usage.ru_utime + usage.ru_stime
    return seconds


def descendants(process: int) -> Iterator[int]:
    """A process and those that it or its descendants have started."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                # After the name in parentheses, which may contain anything: the state, then the parent.
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting = [process]
    while waiting:
        waiting += children.get(waiting[0], [])
        yield waiting.pop(0)


def cpu_seconds(process: int) -> float:
    """User and system time so far of a process and its descendants that run now."""
    ticks = 0
    for pid in descendants(process):
        with suppress(OSError):
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _watch(process: int, peak: list[int], ended: Event) -> None:
    while not ended.wait(_SAMPLE_SECONDS):
        peak[0] = max(peak[0], sum(map(_share_of_memory, descendants(process))))


def _share_of_memory(process: int) -> int:
    """The bytes of memory that count for a process; 0 if it has ended."""
    try:
        lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
