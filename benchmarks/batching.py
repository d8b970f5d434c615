"""Requests a second of a slow model, against what its batches could answer at most.

    python benchmarks/batching.py [SECONDS]

A batch takes 200 ms, whether it has one request or 32, the most. Callers wait for each reply before they ask again. The
ideal is a batch of all of them, or 32, every 200 ms; the batches of two methods take turns. Each kind of load gets so
many seconds (10), after two in which it settles. Every reply is checked. For 16 callers a ratio of at least 0.9 is
wanted, and for a lone one as good as 1.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from running import generated

from support import copy_template, create

BATCH_SECONDS, MAX_BATCH_SIZE = 0.2, 32
SETTLE_SECONDS = 2.0
METHOD = """
    request: {fields: [{name: number, number: 1, type: int64}]}
    response: {fields: [{name: number, number: 1, type: int64}]}"""
SEAL = "from pathlib import Path; from slow.server.artifact import seal; seal(Path('artifacts/model.txt'), 'numpy')"
SCHEMA = f"package: slow.v1\nservice: SlowService\nmethods:\n  First:{METHOD}\n  Second:{METHOD}\n"
MODEL = f"""\
import time
from pathlib import Path

from .contract import FirstResponse, SecondResponse

ARTIFACT = Path("artifacts/model.txt")

class Model:
    def __init__(self, artifact):
        pass

    def first(self, batch):
        time.sleep({BATCH_SECONDS})
        return [FirstResponse(number=request.number) for request in batch]

    def second(self, batch):
        time.sleep({BATCH_SECONDS})
        return [SecondResponse(number=request.number) for request in batch]
"""


@dataclass(frozen=True)
class Load:
    """So many callers of each method, who wait for a random time of at most `pause` seconds before they ask again."""

    callers: int
    methods: tuple[str, ...] = ("First",)
    pause: float = 0.0

    @property
    def ideal(self) -> float:
        """Requests a second, if a caller waited for nothing but the model."""
        turn = BATCH_SECONDS * len(self.methods)
        in_step = self.callers * len(self.methods) / (turn + self.pause / 2)
        return min(in_step, MAX_BATCH_SIZE / BATCH_SECONDS)

    def __str__(self) -> str:
        texts = [f"{self.callers} callers" if self.callers > 1 else "1 caller"]
        if len(self.methods) > 1:
            texts.append(f"of each of {len(self.methods)} methods")
        if self.pause:
            texts.append(f"who pause for up to {self.pause * 1000:.0f} ms")
        return " ".join(texts)


LOADS = [
    *(Load(callers) for callers in (1, 5, 16, 33, 40, 64)),
    Load(16, pause=0.01),
    Load(16, pause=0.1),
    Load(16, pause=1),
    Load(16, methods=("First", "Second")),
]


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
        answers = {"project_name": "Slow", "package": "slow", "framework": "python"}
        schema = str(folder / "schema.yaml")
        project = create(copy_template(folder / "protoserve"), folder / "slow", schema=schema, **answers)
        (project.path / "src/slow/model.py").write_text(MODEL, encoding="utf-8")
        (project.path / "artifacts/model.txt").write_text("slow\n", encoding="utf-8")
        project.python("-c", SEAL)
        with generated(project) as server:
            for load in LOADS:
                ends = asyncio.run(answered(server.ports["grpc"], load, seconds))
                print(line(load, [waited for waited, end in ends], seconds), flush=True)
    return 0


def line(load: Load, waits: list[float], seconds: float) -> str:
    rate = len(waits) / seconds
    slowest = statistics.quantiles(waits, n=20)[-1] * 1000
    text = f"{load!s:45} {rate:5.1f} requests/s, {rate / load.ideal:4.2f} of {load.ideal:5.1f}"
    return f"{text}; median {statistics.median(waits) * 1000:3.0f} ms, 95 % within {slowest:3.0f}"


async def answered(port: int, load: Load, seconds: float) -> list[tuple[float, float]]:
    """How long each request that was answered in the time waited, and when it was answered."""
    start = time.monotonic() + SETTLE_SECONDS
    end = start + seconds
    ends: list[tuple[float, float]] = []
    options = [("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:

        async def call_again_and_again(method: str, number: int) -> None:
            ask = channel.unary_unary(f"/slow.v1.SlowService/{method}")
            request = bytes([8, number])  # field 1, as a varint; the reply has the same number in the same field
            while (began := time.monotonic()) < end:
                assert await ask(request) == request
                ends.append((time.monotonic() - began, time.monotonic()))
                await asyncio.sleep(random.uniform(0, load.pause))

        await asyncio.gather(
            *(call_again_and_again(method, number + 1) for method in load.methods for number in range(load.callers))
        )
    return [each for each in ends if start <= each[1] < end]


if __name__ == "__main__":
    sys.exit(main())
