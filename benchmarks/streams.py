"""How long streams take side by side, against one of them alone.

    python benchmarks/streams.py [STREAMS]

A stream has 40 tokens, and the model waits 50 ms for each. So many streams (8) run at the same time: of an async
generator, of a generator with as many STREAM_THREADS, and of a generator in the model's thread, which computes them by
turns; on each transport that is installed. Every token is checked. A ratio of at most 1.1 is wanted for the first two.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from importlib import util
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from running import generated

from support import Project, copy_template, create

TOKENS, TOKEN_SECONDS = 40, 0.05
ROUNDS = 3
SCHEMA = """\
package: count.v1
service: CountService
methods:
  Count:
    streaming: server
    request: {fields: [{name: number, number: 1, type: int64, maximum: 100, example: 3}]}
    response: {fields: [{name: number, number: 1, type: int64}]}
"""
SEAL = "from pathlib import Path; from count.server.artifact import seal; seal(Path('artifacts/model.txt'), 'numpy')"
SYNC = f"""\
import time
from pathlib import Path

from .contract import CountResponse

ARTIFACT = Path("artifacts/model.txt")

class Model:
    def __init__(self, artifact):
        pass

    def count(self, request):
        for number in range(1, request.number + 1):
            time.sleep({TOKEN_SECONDS})
            yield CountResponse(number=number)
"""
ASYNC = SYNC.replace("    def count", "    async def count").replace("import time", "import asyncio")
ASYNC = ASYNC.replace("time.sleep", "await asyncio.sleep")


def main() -> int:
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    transports = ["grpcio", *(["native"] if util.find_spec("pygrpc_native") else [])]
    with tempfile.TemporaryDirectory() as temporary:
        project = counting_project(Path(temporary))
        for transport in transports:
            print(f"TRANSPORT={transport}")
            measure(project, "async generator", ASYNC, streams, TRANSPORT=transport)
            measure(
                project, f"STREAM_THREADS={streams}", SYNC, streams, TRANSPORT=transport, STREAM_THREADS=str(streams)
            )
            measure(project, "STREAM_THREADS=1", SYNC, streams, TRANSPORT=transport)
    return 0


def counting_project(folder: Path) -> Project:
    (folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    answers = {"project_name": "Count", "package": "count", "framework": "python"}
    project = create(
        copy_template(folder / "protoserve"), folder / "count", schema=str(folder / "schema.yaml"), **answers
    )
    (project.path / "src/count/model.py").write_text(SYNC, encoding="utf-8")
    (project.path / "artifacts/model.txt").write_text("count\n", encoding="utf-8")
    project.python("-c", SEAL)
    return project


def measure(project: Project, name: str, model: str, streams: int, **settings: str) -> None:
    """Prints the medians of some rounds."""
    (project.path / "src/count/model.py").write_text(model, encoding="utf-8")
    with generated(project, **settings) as server:
        rounds = [asyncio.run(seconds(server.ports["grpc"], streams)) for _ in range(ROUNDS)]
    alone, together = zip(*rounds, strict=True)
    one, all_ = statistics.median(alone), statistics.median(together)
    print(f"    {name:20} 1 stream {one:5.2f} s, {streams} streams {all_:5.2f} s, ratio {all_ / one:4.2f}", flush=True)


async def seconds(port: int, streams: int) -> tuple[float, float]:
    """How long one stream takes, and so many at the same time."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_stream("/count.v1.CountService/Count")

        async def take() -> None:
            replies = [reply async for reply in call(bytes([8, TOKENS]))]  # field 1, as a varint
            assert replies == [bytes([8, number]) for number in range(1, TOKENS + 1)]

        started = time.perf_counter()
        await take()
        alone = time.perf_counter() - started
        started = time.perf_counter()
        await asyncio.gather(*(take() for _ in range(streams)))
        return alone, time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
