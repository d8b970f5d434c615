"""Memory, descriptors and threads of a server under half an hour of mixed calls.

    python benchmarks/soak.py [--minutes 30] [--rate 200] [--transport grpcio] [--json FILE]

The calls are of every kind that a server meets: valid, malformed, outside of the contract, oversized, cancelled,
expired, of methods that do not exist, from new connections, from connections that speak no HTTP/2, streams that are
read to their end or not, and watches of health. Each must end as it should: with the right reply, or with the right
status.

Every ten seconds the calls pause, and what the server has then is a sample, so calls in flight do not count. Memory is
what is the server's own (RssAnon), summed over its processes. After the first fifth of the time, which is the warm-up,
all three must be flat: memory by less than LEAK_KB kilobytes in 1,000 calls, descriptors and threads without more in
the last third than in the first. Exits with 1 if one is not, or if a call ended otherwise than it should. Needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from process_tree import descendants
from running import CLIENT_CORE, generated, pin

from support import copy_template, create

LEAK_KB = 5.0
ROUND_SECONDS, REST_SECONDS = 10.0, 1.0
WARM_UP = 0.2
WATCHES, MOST_AT_ONCE = 4, 100
MAX_REQUEST_BYTES = 65_536
GRPC_POOL = "event_engine"

SCHEMA = """\
package: mixed.v1
service: MixedService
methods:
  Add:
    request:
      fields:
        - {name: left, number: 1, type: float64, minimum: 0, maximum: 1000}
        - {name: right, number: 2, type: float64, minimum: 0, maximum: 1000}
        - {name: seconds, number: 3, type: float64, default: 0}
        - {name: note, number: 4, type: string, required: false}
    response:
      fields:
        - {name: sum, number: 1, type: float64}
  Count:
    streaming: server
    request:
      fields:
        - {name: to, number: 1, type: int32, minimum: 1, maximum: 1000}
        - {name: seconds, number: 2, type: float64, default: 0}
    response:
      fields:
        - {name: number, number: 1, type: int32}
        - {name: text, number: 2, type: string}
"""
MODEL = """\
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixed.contract import AddRequest, AddResponse, CountRequest, CountResponse

ARTIFACT = Path("artifacts/model.txt")


class Model:
    def __init__(self, artifact: Path) -> None:
        pass

    def add(self, batch: Sequence[AddRequest]) -> Sequence[AddResponse]:
        time.sleep(max(request.seconds for request in batch))
        return [AddResponse(sum=request.left + request.right) for request in batch]

    def count(self, request: CountRequest) -> Iterator[CountResponse]:
        for number in range(request.to):
            time.sleep(request.seconds)
            yield CountResponse(number=number, text="word " * 20)
"""


Code = grpc.StatusCode


class WrongEnd(Exception):
    """A call did not end as it should."""


@dataclass(frozen=True)
class Sample:
    """What the server has while no call is in flight, after so many calls."""

    seconds: float
    calls: int
    memory_kb: int
    descriptors: int
    threads: int
    # Of gRPC's own pool, which gets another one whenever its work has waited, as it does on a busy machine.
    pool_threads: int


class Caller:
    """Makes calls of every kind to one server; `messages` is the module of its stubs."""

    def __init__(self, port: int, messages: Any, rng: random.Random) -> None:
        self._port = port
        self._messages = messages
        self._random = rng
        self._lasting = [self._connect() for _ in range(3)]
        # How many calls of a hundred are of each kind.
        self._kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.valid: 29,
            self.malformed: 6,
            self.outside_of_the_contract: 6,
            self.unknown_method: 3,
            self.oversized: 4,
            self.cancelled: 10,
            self.expired: 8,
            self.new_connection: 7,
            self.no_http2: 3,
            self.reset_connection: 3,
            self.stream: 8,
            self.cancelled_stream: 5,
            self.expired_stream: 3,
            self.health: 3,
            self.health_watch: 2,
        }

    def choose(self, count: int) -> list[Callable[[], Awaitable[None]]]:
        """The kinds of the next calls."""
        return self._random.choices(list(self._kinds), list(self._kinds.values()), k=count)

    async def close(self) -> None:
        """Closes the lasting connections."""
        for channel in self._lasting:
            await channel.close()

    async def valid(self) -> None:
        await self._add(self._channel())

    async def malformed(self) -> None:
        await _ends(Code.INVALID_ARGUMENT, self._call("Add", b"\x09\x01"))

    async def outside_of_the_contract(self) -> None:
        await _ends(Code.INVALID_ARGUMENT, self._call("Add", self._add_request(left=-1.0)))

    async def unknown_method(self) -> None:
        await _ends(Code.UNIMPLEMENTED, self._call("Subtract", self._add_request()))

    async def oversized(self) -> None:
        await _ends(Code.RESOURCE_EXHAUSTED, self._call("Add", self._add_request(note="x" * 2 * MAX_REQUEST_BYTES)))

    async def cancelled(self) -> None:
        call = self._call("Add", self._add_request(seconds=0.002))
        await asyncio.sleep(self._random.uniform(0, 0.005))
        if call.cancel():
            await _ends(Code.CANCELLED, call)

    async def expired(self) -> None:
        seconds = self._random.uniform(0.0005, 0.003)
        await _ends(Code.DEADLINE_EXCEEDED, self._call("Add", self._add_request(seconds=0.02), timeout=seconds))

    async def new_connection(self) -> None:
        async with self._connect() as channel:
            await self._add(channel)

    async def no_http2(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(reader.read(), 20)
        writer.close()

    async def reset_connection(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(5))
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def stream(self) -> None:
        length = self._random.randint(1, 40)
        numbers = [self._number(reply) async for reply in self._count(length, timeout=20)]
        if numbers != list(range(length)):
            raise WrongEnd(f"{len(numbers)} replies of {length}")

    async def cancelled_stream(self) -> None:
        call = self._count(1000, seconds=0.001)
        for wanted in range(self._random.randint(1, 5)):
            if self._number(await call.read()) != wanted:
                raise WrongEnd("a reply is missing")
        call.cancel()
        await _ends(Code.CANCELLED, call)

    async def expired_stream(self) -> None:
        call = self._count(1000, seconds=0.001, timeout=self._random.uniform(0.005, 0.03))
        await _ends(Code.DEADLINE_EXCEEDED, call)

    async def health(self) -> None:
        reply = await health_pb2_grpc.HealthStub(self._channel()).Check(health_pb2.HealthCheckRequest(), timeout=20)
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            raise WrongEnd(f"health is {reply.status}")

    async def health_watch(self) -> None:
        async with self.watching():
            await asyncio.sleep(self._random.uniform(0, 0.5))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """A watch of health, which is cancelled in the end."""
        call = health_pb2_grpc.HealthStub(self._channel()).Watch(health_pb2.HealthCheckRequest())
        if (await call.read()).status != health_pb2.HealthCheckResponse.SERVING:
            raise WrongEnd("the watch does not begin with SERVING")
        yield
        if call.done():
            raise WrongEnd(f"the watch ended with {await call.code()}")
        call.cancel()

    def _connect(self) -> Any:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=options)

    def _channel(self) -> Any:
        return self._random.choice(self._lasting)

    async def _add(self, channel: Any) -> None:
        request = self._add_request()
        reply = self._messages.AddResponse.FromString(await _method(channel, "Add")(request, timeout=20))
        left_and_right = self._messages.AddRequest.FromString(request)
        if reply.sum != left_and_right.left + left_and_right.right:
            raise WrongEnd(f"the sum is {reply.sum}")

    def _add_request(self, **values: Any) -> bytes:
        numbers = {"left": self._random.uniform(0, 1000), "right": self._random.uniform(0, 1000)}
        return bytes(self._messages.AddRequest(**numbers | values).SerializeToString())

    def _call(self, method: str, request: bytes, timeout: float = 20) -> Any:
        return _method(self._channel(), method)(request, timeout=timeout)

    def _count(self, length: int, seconds: float = 0, timeout: float | None = None) -> Any:
        request = self._messages.CountRequest(to=length, seconds=seconds).SerializeToString()
        return self._channel().unary_stream("/mixed.v1.MixedService/Count")(request, timeout=timeout)

    def _number(self, reply: bytes) -> int:
        return int(self._messages.CountResponse.FromString(reply).number)


def _method(channel: Any, name: str) -> Any:
    return channel.unary_unary(f"/mixed.v1.MixedService/{name}")


async def _ends(code: grpc.StatusCode, call: Any) -> None:
    """Waits for the end of a call; raises WrongEnd if it has another status."""
    if (ended := await call.code()) != code:
        raise WrongEnd(f"{ended.name} instead of {code.name}: {await call.details()}")


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
        answers = {"package": "mixed", "framework": "python", "schema": str(folder / "schema.yaml")}
        project = create(copy_template(folder / "protoserve"), folder / "mixed", **answers)
        (project.path / "src/mixed/model.py").write_text(MODEL, encoding="utf-8")
        (project.path / "artifacts/model.txt").touch()
        sys.path.insert(0, str(project.path / "src"))
        settings = {"MAX_REQUEST_BYTES": str(MAX_REQUEST_BYTES)}
        if arguments.transport:
            settings["TRANSPORT"] = arguments.transport
        with generated(project, **settings) as server:
            pin(0, CLIENT_CORE)
            samples, ends = asyncio.run(soak(server.pid, server.ports["grpc"], arguments))
    verdicts = judge(samples)
    wrong = {name: count for name, count in ends.items() if ": " in name}
    if wrong:
        verdicts["calls"] = f"WRONG: {wrong}"
    for name, verdict in verdicts.items():
        print(f"{name:12} {verdict}")
    if arguments.json:
        result = {"transport": arguments.transport or "default", "ends": ends, "verdicts": verdicts}
        arguments.json.write_text(json.dumps(result | {"samples": [asdict(sample) for sample in samples]}, indent=1))
    return int(any(not verdict.startswith("flat") for verdict in verdicts.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mixed calls to a server, and what they leave behind.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--transport", help="the setting TRANSPORT; without it, the default")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--json", type=Path, help="a file for the samples and the verdicts")
    return parser.parse_args()


async def soak(pid: int, port: int, arguments: argparse.Namespace) -> tuple[list[Sample], Counter[str]]:
    """Samples of the server, and how many calls of each kind there were; those that ended wrongly count as others."""
    messages = import_module("mixed.v1.prediction_pb2")  # of the project that was made just now
    caller = Caller(port, messages, random.Random(arguments.seed))
    ends: Counter[str] = Counter()
    samples: list[Sample] = []
    start = time.monotonic()
    while time.monotonic() - start < arguments.minutes * 60:
        await _round(caller, arguments.rate, ends)
        await asyncio.sleep(REST_SECONDS)
        samples.append(_sample(pid, time.monotonic() - start, ends.total()))
        print(samples[-1], file=sys.stderr, flush=True)
    await caller.close()
    return samples, ends


async def _round(caller: Caller, rate: int, ends: Counter[str]) -> None:
    """Calls of all kinds at this rate, or more slowly if MOST_AT_ONCE are open; and watches, until all have ended."""
    room = asyncio.Semaphore(MOST_AT_ONCE)

    async def make(kind: Callable[[], Awaitable[None]]) -> None:
        name = kind.__name__
        try:
            await asyncio.wait_for(kind(), 60)
        except (WrongEnd, grpc.aio.AioRpcError, OSError, TimeoutError) as error:
            name = f"{name}: {' '.join(str(error).split())[:200]}"
        ends[name] += 1

    async def watch() -> None:
        async with caller.watching():
            await asyncio.sleep(ROUND_SECONDS)

    tasks = [asyncio.create_task(make(watch)) for _ in range(WATCHES)]
    end = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < end:
        for kind in caller.choose(max(1, rate // 20)):
            await room.acquire()
            tasks.append(asyncio.create_task(make(kind)))
            tasks[-1].add_done_callback(lambda _: room.release())
        await asyncio.sleep(0.05)
    await asyncio.gather(*tasks)


def _sample(pid: int, seconds: float, calls: int) -> Sample:
    memory = descriptors = 0
    threads: Counter[bool] = Counter()
    for folder in (Path("/proc", str(process)) for process in descendants(pid)):
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        memory += int(status["RssAnon"].split()[0])
        descriptors += len(os.listdir(folder / "fd"))
        threads.update(path.read_text().strip() == GRPC_POOL for path in folder.glob("task/*/comm"))
    return Sample(round(seconds, 1), calls, memory, descriptors, threads[False], threads[True])


def judge(samples: Sequence[Sample]) -> dict[str, str]:
    """A verdict on memory, descriptors and threads, each of which begins with "flat" or "GROWS"."""
    after = [sample for sample in samples if sample.seconds > WARM_UP * samples[-1].seconds]
    third = max(1, len(after) // 3)
    slope = memory_slope(after)
    grown = slope * (after[-1].calls - after[0].calls) / 1000
    verdicts = {
        "memory": f"{'flat' if slope < LEAK_KB else 'GROWS'}: {slope:+.2f} KB in 1,000 calls,"
        f" {grown:+.0f} KB of {after[-1].memory_kb} in {after[-1].calls - after[0].calls} calls after the warm-up"
    }
    for name in ("descriptors", "threads"):
        counts = [getattr(sample, name) for sample in after]
        first, last = statistics.median(counts[:third]), statistics.median(counts[-third:])
        verdict = "flat" if last <= first else "GROWS"
        verdicts[name] = f"{verdict}: {first:g} at first, {last:g} at last, {max(counts)} at most"
    verdicts["threads"] += f"; besides {max(sample.pool_threads for sample in after)} of gRPC's pool at most"
    return verdicts


def memory_slope(samples: Sequence[Sample]) -> float:
    """Kilobytes in 1,000 calls: the median of the slopes between all pairs of samples (Theil and Sen)."""
    slopes = [
        (later.memory_kb - earlier.memory_kb) * 1000 / (later.calls - earlier.calls)
        for index, earlier in enumerate(samples)
        for later in samples[index + 1 :]
    ]
    return statistics.median(slopes) if slopes else 0.0


if __name__ == "__main__":
    sys.exit(main())
