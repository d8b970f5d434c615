"""Health follows the evidence that the model answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from scripted import NO, RESTART, SCRIPTS, Script, Seen, follow, scripted
from serving import Lines, Probe


@pytest.fixture(scope="module")
def life(
    request: pytest.FixtureRequest, probe: Probe, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Future[Seen]], Lines]]:
    """What is seen of the server of each chosen script, and the log of all.

    All run at the same time: they wait more than they compute.
    """
    names = {item.name for item in request.session.items}
    chosen = [each for each in SCRIPTS if f"{test_health_over_time.__name__}[{each.title}]" in names]
    folder = tmp_path_factory.mktemp("scripts")
    with scripted(probe, chosen, folder) as (clients, log), ThreadPoolExecutor(len(chosen)) as pool:
        pairs = zip(clients, chosen, strict=True)
        yield {script.title: pool.submit(follow, client, script) for client, script in pairs}, log


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.title)
def test_health_over_time(script: Script, life: tuple[dict[str, Future[Seen]], Lines]) -> None:
    seen, log = life
    result = seen[script.title].result()
    assert result.health == list(script.health)
    assert result.ends == list(script.ends)
    assert result.later == script.later
    if NO in script.health[1:] or RESTART in script.health:
        reasons = [line["message"] for line in log.json() if line["message"].startswith("NOT_SERVING: ")]
        assert any(script.log in reason for reason in reasons), reasons
