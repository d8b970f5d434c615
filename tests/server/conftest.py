"""The probe: a project whose model does what a test tells it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serving import SCHEMA, Probe, Server, make_probe, serving
from support import create


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform == "win32":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="these tests stop servers by signals"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked so run with each transport; with the second one, only those that share a server are quick."""
    if "transport" in metafunc.fixturenames and metafunc.definition.get_closest_marker("each_transport"):
        is_quick = "server" in metafunc.fixturenames and "hostile" not in metafunc.definition.path.name
        marks = () if is_quick else pytest.mark.slow
        transports = ["grpcio", pytest.param("native", marks=marks)]
        metafunc.parametrize("transport", transports, indirect=True, scope="session")


@pytest.fixture(scope="session")
def transport(request: pytest.FixtureRequest) -> str:
    """The server's setting TRANSPORT."""
    return str(getattr(request, "param", "grpcio"))


@pytest.fixture(scope="session")
def probe(probe_project: Probe, transport: str) -> Probe:
    return replace(probe_project, transport=transport)


@pytest.fixture(scope="session")
def probe_project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
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
