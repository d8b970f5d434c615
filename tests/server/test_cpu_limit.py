"""The number of threads of numerical libraries: that of the CPUs which the container may use."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from support import server_module


@pytest.fixture(scope="module")
def cpu_limit() -> ModuleType:
    return server_module("cpu_limit")


def system(folder: Path, **files: str) -> Path:
    """A root folder with `proc/self/cgroup` and other files below `sys/fs/cgroup`; `__` stands for a slash."""
    for name, text in files.items():
        base = folder / "proc/self" if name == "cgroup" else folder / "sys/fs/cgroup"
        path = base / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        pytest.param({"cgroup": "0::/\n", "cpu_max": "150000 100000\n"}, 1.5, id="v2-in-a-container"),
        pytest.param({"cgroup": "0::/\n", "cpu_max": "max 100000\n"}, None, id="v2-without-a-limit"),
        pytest.param(
            {"cgroup": "0::/a/b\n", "a__b__cpu_max": "max 100000\n", "a__cpu_max": "200000 100000\n"}, 2, id="v2-above"
        ),
        pytest.param({"cgroup": "0::/../other\n", "cpu_max": "50000 100000\n"}, 0.5, id="v2-outside-of-the-namespace"),
        pytest.param(
            {
                "cgroup": "2:cpuacct:/\n1:cpu:/docker/abc\n0::/\n",
                "cpu__cpu_cfs_quota_us": "400000\n",
                "cpu__cpu_cfs_period_us": "100000\n",
            },
            4,
            id="v1-in-a-container",
        ),
        pytest.param(
            {"cgroup": "4:cpu,cpuacct:/\n", "cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"},
            None,
            id="v1-without-a-limit",
        ),
        pytest.param({}, None, id="not-linux"),
        pytest.param({"cgroup": "0::/\n", "cpu_max": "\x00\xff nonsense\n"}, None, id="nonsense"),
    ],
)
def test_the_limit(cpu_limit: ModuleType, tmp_path: Path, files: dict[str, str], limit: float | None) -> None:
    assert cpu_limit.cpu_limit(system(tmp_path, **files)) == limit


@pytest.mark.parametrize(
    ("quota", "threads"), [(50_000, "1"), (100_000, "1"), (290_000, "2"), (800_000, ""), (900_000, "")]
)
def test_threads_follow_the_limit(
    cpu_limit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, threads: str
) -> None:
    monkeypatch.setattr(cpu_limit, "usable_cpus", lambda: 8)
    root = system(tmp_path, cgroup="0::/\n", cpu_max=f"{quota} 100000\n")
    environment: dict[str, str] = {}
    text = cpu_limit.limit_threads(environment, root)
    assert environment.get("OMP_NUM_THREADS", "") == threads
    assert (f"OMP_NUM_THREADS={threads}, since the CPU limit is {quota / 100_000:g}" in text) is bool(threads)


def test_the_environment_decides(cpu_limit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_limit, "usable_cpus", lambda: 8)
    environment = {"OMP_NUM_THREADS": "5"}
    assert cpu_limit.limit_threads(environment, system(tmp_path, cgroup="0::/\n", cpu_max="100000 100000\n")) == ""
    assert environment == {"OMP_NUM_THREADS": "5"}
