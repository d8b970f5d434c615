"""Processes that a model starts, in the ways of the common libraries."""

from __future__ import annotations

import time
from importlib import util
from pathlib import Path

import pytest

from serving import Probe, Server, serving, starting

BASE = '''\
import json, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from .contract import CountResponse, EchoResponse, PredictResponse

ARTIFACT = Path("artifacts/model.txt")
print(json.dumps({"imports": os.getpid(), "server": "probe.server" in sys.modules}), flush=True)


def double(value):
    return 2 * value


class Rows:
    """A data set of PyTorch."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return double(self.values[index])


class Model:
    def __init__(self, artifact):
        self.pool = None

    def predict(self, batch):
        values = [request.value for request in batch]
        return [PredictResponse(result=float(each), vector=np.zeros(3, np.float32)) for each in self.doubled(values)]

    def doubled(self, values):
        WAY

    def count(self, request):
        yield CountResponse(index=0)

    def echo(self, batch):
        return [EchoResponse(text=request.text) for request in batch]
'''
KEPT = """\
if self.pool is None:
            self.pool = {pool}
        return self.pool.map(double, values)"""
# What a model does for each batch, by the module that it needs.
WAYS = {
    "a pool for each batch": ("", "with multiprocessing.Pool(2) as pool: return pool.map(double, values)"),
    "a pool that is kept": ("", KEPT.format(pool="multiprocessing.Pool(2)")),
    "an executor that is kept": ("", KEPT.format(pool="ProcessPoolExecutor(2)")),
    "an executor for each batch": (
        "",
        "with ProcessPoolExecutor(2) as pool: return list(pool.map(double, values))",
    ),
    "a process": (
        "",
        "process = multiprocessing.Process(target=double, args=(1,)); process.start(); process.join()\n"
        "        assert process.exitcode == 0\n"
        "        return map(double, values)",
    ),
    "joblib": (
        "joblib",
        "from joblib import Parallel, delayed\n        return Parallel(2)(delayed(double)(each) for each in values)",
    ),
    "joblib by multiprocessing": (
        "joblib",
        "from joblib import Parallel, delayed\n"
        "        return Parallel(2, backend='multiprocessing')(delayed(double)(each) for each in values)",
    ),
    "a DataLoader of PyTorch": (
        "torch",
        "from torch.utils.data import DataLoader\n"
        "        return DataLoader(Rows(values), batch_size=None, num_workers=2)",
    ),
}


def model_of(way: str) -> str:
    return BASE.replace("WAY", way)


def is_running(pid: int) -> bool:
    """Whether a process exists that has not ended."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ask_often(server: Server, times: int) -> None:
    for value in range(times):
        assert server.predict(float(value)).result == 2 * value


@pytest.mark.each_transport
def test_a_model_may_use_processes(probe: Probe, tmp_path: Path) -> None:
    """With fork it hangs within 20 calls, most often at once."""
    way = "with multiprocessing.Pool(2) as pool: return map(double, pool.map(abs, values))"
    with serving(probe.with_model(model_of(way), tmp_path / "project")) as server:
        ask_often(server, 10)
        server.terminate()
        assert server.ended() == 0


def test_a_start_method_of_the_authors_own_is_refused_with_what_to_write(probe: Probe, tmp_path: Path) -> None:
    source = model_of("return []").replace(
        "class Model:", 'multiprocessing.set_start_method("spawn")\n\n\nclass Model:'
    )
    with starting(probe.with_model(source, tmp_path / "project")) as server:
        assert server.ended() == 1
        assert 'write multiprocessing.get_context("spawn")' in server.messages("CRITICAL")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_ways_of_the_libraries(probe: Probe, tmp_path: Path, way: str) -> None:
    needed, code = WAYS[way]
    if needed and util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    with serving(probe.with_model(model_of(code), tmp_path / "project")) as server:
        ask_often(server, 5)
        server.terminate()
        assert server.ended() == 0
        imports = [line for line in server.told.json() if "imports" in line]
        assert [line["server"] for line in imports] == [True] + [False] * (len(imports) - 1)
        pids = [line["imports"] for line in imports]
        end = time.monotonic() + 10
        while any(map(is_running, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        assert [pid for pid in pids if is_running(pid)] == [], server.log.all
