"""The threads of numerical libraries follow the CPU limit of the container.

OpenMP (scikit-learn, XGBoost, LightGBM, PyTorch), OpenBLAS and MKL start a thread for every CPU of the machine, also in
a container that may use two of 64. The kernel then stops all of them for most of the time, and calls wait.
"""

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

THREADS = "OMP_NUM_THREADS"  # OpenBLAS and MKL obey it as well, unless their own variables are set
SYSTEM = Path("/")


def limit_threads(environment: MutableMapping[str, str], system: Path = SYSTEM) -> str:
    """Sets the number of threads, unless the environment has it; returns a line for the log, empty if nothing was set.

    It must be called before the libraries are imported.
    """
    limit = cpu_limit(system)
    if THREADS in environment or limit is None or limit >= usable_cpus():
        return ""
    threads = max(int(limit), 1)  # rounded down, since threads that wait for each other use their whole CPU
    environment[THREADS] = str(threads)
    return f"{THREADS}={threads}, since the CPU limit is {limit:g}; set it to choose another number"


def cpu_limit(system: Path = SYSTEM) -> float | None:
    """How many CPUs this process may use by the limits of its control groups; None without a limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files for version 2, for version 1
    https://docs.kernel.org/scheduler/sched-bwc.html.
    """
    return min(_limits(system), default=None)


def usable_cpus() -> int:
    """The CPUs on which this process can run: a library starts no more threads than that."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits(system: Path) -> Iterator[float]:
    """The limit of each group that the process is in, from the inside out."""
    for line in _text(system / "proc/self/cgroup").splitlines():
        hierarchy, _, group = line.partition(":")
        controllers, _, name = group.partition(":")
        if hierarchy == "0":
            for folder in _folders(system / "sys/fs/cgroup", name):
                quota, _, period = _text(folder / "cpu.max").partition(" ")
                yield from _quotient(quota, period)
        elif "cpu" in controllers.split(","):
            for folder in _folders(system / "sys/fs/cgroup/cpu", name):
                yield from _quotient(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _folders(root: Path, name: str) -> Iterator[Path]:
    """The folder of a group and those above it. In a container, the root may be that of the container's own group."""
    group = root / name.lstrip("/")
    yield group
    yield from (folder for folder in group.parents if folder.is_relative_to(root))


def _quotient(quota: str, period: str) -> Iterator[float]:
    """The CPUs that a quota allows; nothing for one without a limit, `max` in version 2 and -1 in version 1."""
    try:
        allowed, of = int(quota), int(period)
    except ValueError:
        return
    if allowed > 0 and of > 0:
        yield allowed / of


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:  # not on Linux, not mounted, or not ours to read
        return ""
