"""The probe: a project whose model does what a test tells it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import SCHEMA, Probe, Server, make_probe, serving
from support import create


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform == "win32":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="these tests stop servers by signals"))


@pytest.fixture(scope="session")
def probe(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    schema = str(folder / "schema.yaml")
    return make_probe(
        create(template, folder / "probe", project_name="Probe", package="probe", framework="python", schema=schema)
    )


@pytest.fixture(scope="module")
def server(probe: Probe) -> Iterator[Server]:
    """One server for tests that leave it as they found it."""
    with serving(probe) as running:
        yield running
