"""Slow models get full batches: callers who are known to come back are waited for, a moment, and nobody else."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from serving import MODEL, Probe, serving

# Callers who wait for each reply and come back some time later, and a model that takes the same time for each batch, on
# a clock of their own. Of each batch: its size, how long its first request waited for it while the model was idle, and
# when it ended.
SIMULATION = """\
import heapq, json, math, random, time
from types import SimpleNamespace
from probe.server.core.batching import BatchQueue
from probe.server.core.model_thread import ModelThread

def batches(callers, pause, seconds=lambda number: 0.2, most=32, count=60):
    queue, now, idle_since, ended = BatchQueue(most), 0.0, 0.0, []
    arrivals = [(index / 1000, index) for index in range(callers)]

    def receive():
        while arrivals and arrivals[0][0] <= now:
            at, caller = heapq.heappop(arrivals)
            job = SimpleNamespace(queued=at, deadline=math.inf, caller=caller)
            queue.add(job)

    while len(ended) < count:
        receive()
        wait = None if queue.is_empty else queue.seconds_until_due(now)
        if wait is None:
            now = arrivals[0][0]
        elif wait:
            now = min([now + wait, *(at for at, _ in arrivals[:1])])
        else:
            batch, started = queue.take_batch(), now
            now += seconds(len(ended))
            receive()
            queue.answered(len(batch), started, now)
            waited = started - max(idle_since, min(job.queued for job in batch))
            idle_since = now
            ended.append((len(batch), waited, now))
            for job in batch:
                heapq.heappush(arrivals, (now + pause(len(ended)), job.caller))
    return ended

def wait_of_the_first_of_16(deadline, queue=None):
    queue, now = queue or BatchQueue(32), time.monotonic()
    for _ in range(10):
        for _ in range(16):
            queue.add(SimpleNamespace(queued=now, deadline=math.inf))
        now += 0.2
        queue.answered(len(queue.take_batch()), now - 0.2, now)
    queue.add(SimpleNamespace(queued=now, deadline=now + deadline))
    return queue.seconds_until_due(now)

def waits_before_and_in_a_drain():
    thread = ModelThread(None, None, None, None, {"Predict": 32})
    (queue,) = thread._queues
    wait_of_the_first_of_16(math.inf, queue)
    before = thread._seconds_until_due(queue)
    thread.expect_no_more()
    thread._receive(0)
    return [before, thread._seconds_until_due(queue)]

chance = random.Random(1)
soon = lambda number: chance.uniform(0.002, 0.006)
late = lambda number: chance.uniform(0.1, 0.2)
results = {
    **{f"{callers} callers": batches(callers, soon) for callers in (1, 2, 5, 16, 33, 40, 64)},
    "one of them late": batches(16, lambda number: soon(0) if chance.random() < 15 / 16 else 0.1),
    "unbatched": batches(16, soon, most=1),
    "fast": batches(64, soon, lambda number: 0.0005, count=600),
    "late": batches(16, late),
    "later no more": batches(16, lambda number: soon(0) if number < 20 else late(0)),
    "hung once": batches(16, soon, lambda number: 30 if number == 20 else 0.2),
    "drain": waits_before_and_in_a_drain(),
    "hurries": {seconds: wait_of_the_first_of_16(seconds) for seconds in (0.1, 0.23, 0.3)},
}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def batches(probe: Probe) -> Any:
    return json.loads(probe.python("-c", SIMULATION).stdout)


def rate(ended: Any, first: int = 10) -> float:
    """Requests a second, from a batch on."""
    return sum(size for size, _, _ in ended[first:]) / (ended[-1][2] - ended[first - 1][2])


def waits(ended: Any) -> list[float]:
    return [waited for _, waited, _ in ended]


def test_callers_who_come_back_get_full_batches(batches: Any) -> None:
    rates = {callers: rate(batches[f"{callers} callers"]) for callers in (2, 5, 16, 33, 40, 64)}
    assert all(value > 0.95 * min(callers, 32) / 0.2 for callers, value in rates.items()), rates


def test_one_who_is_late_does_not_hold_up_the_others(batches: Any) -> None:
    assert rate(batches["one of them late"]) > 0.85 * 16 / 0.2


@pytest.mark.parametrize("kind", ["1 callers", "64 callers", "unbatched", "fast", "late"])
def test_nobody_waits_for_nothing(batches: Any, kind: str) -> None:
    """A lone caller; full batches; a fast model; callers who do not come back."""
    assert max(waits(batches[kind])) < 1e-9


@pytest.mark.parametrize("kind", ["16 callers", "one of them late", "later no more", "hung once"])
def test_a_wait_is_a_small_part_of_a_batch(batches: Any, kind: str) -> None:
    assert 0 < max(waits(batches[kind])) < 0.2 / 8 + 1e-9


def test_callers_who_come_back_no_more_are_soon_not_waited_for(batches: Any) -> None:
    assert max(waits(batches["later no more"])[30:]) == 0
    assert sum(waits(batches["later no more"])[20:]) < 0.1


def test_a_wait_ends_early_where_a_deadline_would_pass(batches: Any) -> None:
    """Such that a batch, and an eighth more, is done before."""
    assert batches["hurries"] == pytest.approx({"0.1": 0, "0.23": 0.005, "0.3": 0.025})


def test_no_batch_waits_in_a_drain(batches: Any) -> None:
    before, after = batches["drain"]
    assert before > 0
    assert after == 0


@pytest.mark.slow
def test_a_slow_model_gets_all_of_its_callers_at_once(probe: Probe, tmp_path: Path) -> None:
    slow = MODEL.replace("        modes = [", "        time.sleep(0.3)\n        modes = [", 1)
    slow = slow.replace("import threading", "import threading\nimport time", 1)
    with serving(probe.with_model(slow, tmp_path / "slow")) as server:

        def ask_again_and_again() -> None:
            for _ in range(14):
                assert server.predict(1).result == 2

        callers = [threading.Thread(target=ask_again_and_again) for _ in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        sizes = [len(batch) for batch in server.batches()]
        assert sizes.count(16) > 5, sizes
