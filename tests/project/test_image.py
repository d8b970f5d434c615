"""The container: `make image` and `make image-smoke` with a real engine, and what is in the image."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from support import Project, run
from workplace import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.docker]

DOCKER = os.environ.get("DOCKER", "docker")
IMAGE = "protoserve-test:iris"


@pytest.fixture(scope="module")
def image(workplace: Workplace) -> Iterator[str]:
    """The image, built from files that only their owner may read; `make image-smoke` has run it already."""
    for folder in ("src", "artifacts"):
        for path in (workplace.path / folder).rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
    netrc = workplace.path / ".netrc"
    netrc.write_text("machine index.invalid login somebody password hunter2\n", encoding="utf-8")
    done = workplace.make("image-smoke", f"DOCKER={DOCKER}", f"IMAGE={IMAGE}", f"NETRC={netrc}")
    assert f"{IMAGE}: not root, read-only, SERVING, healthy, answers, stops with 0" in done.stdout
    yield IMAGE
    docker("image", "rm", "--force", IMAGE)


def docker(*arguments: str, check: bool = True, cwd: Path = Path()) -> str:
    done = run([DOCKER, *arguments], cwd=cwd, env=os.environ | {"DOCKER_BUILDKIT": "1"}, check=check)
    return done.stdout + done.stderr


def config(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", "--type", "image", image))[0]["Config"]
    return found


def test_configuration(image: str) -> None:
    found = config(image)
    assert found["User"] == "10001:10001"
    assert found["Cmd"] == ["python", "-m", "iris.server"]
    assert found["Healthcheck"]["Test"] == ["CMD", "python", "-m", "iris.server.healthcheck"]
    assert list(found["ExposedPorts"]) == ["9000/tcp"]
    assert "PORT=9000" in found["Env"]
    labels = {name.rpartition(".")[2]: value for name, value in found["Labels"].items()}
    assert labels["title"] == "iris"
    assert labels["version"] == "0.1.0"


def test_nothing_in_it_that_only_builds_or_trains(image: str) -> None:
    files = docker("run", "--rm", image, "find", "/app", "-type", "f").splitlines()
    assert {"/app/artifacts/model.skops", "/app/src/iris/server/__main__.py"} <= set(files)
    assert {path.split("/")[2] for path in files} == {"artifacts", "src"}
    assert not [path for path in files if path.endswith(("train.py", ".csv", "requirements.lock"))]
    packages = docker("run", "--rm", image, "sh", "-c", "ls /venv/lib/python*/site-packages").split()
    assert {"grpc", "numpy", "sklearn"} <= set(packages)
    assert not {"pip", "setuptools", "grpc_tools", "mypy", "pytest"} & set(packages)
    assert "none" in docker("run", "--rm", image, "sh", "-c", "command -v cc gcc c++ make || echo none")


def test_all_bytecode_is_there_and_is_used(image: str) -> None:
    """Else every start on a read-only file system compiles all modules anew."""
    code = "import iris.server.transports.grpcio.servicer as m, os; print(os.path.exists(m.__cached__), m.__file__)"
    told = docker("run", "--rm", image, "python", "-v", "-c", code)
    assert "True /app/src/iris/server/transports/grpcio/servicer.py" in told
    assert re.findall(r"code object from '/(?:app|venv)/.*\.py'", told) == []


def test_no_trace_of_credentials(image: str) -> None:
    assert "hunter2" not in docker("history", "--no-trunc", image)
    found = docker(
        "run", "--rm", "--user=0", image, "sh", "-c", "grep -rl hunter2 /app /venv /root /etc /tmp || echo none"
    )
    assert found.strip() == "none"


def test_the_artifact_can_be_mounted_instead(image: str, workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.path / "artifacts", tmp_path / "models")
    for path in (tmp_path / "models").iterdir():
        path.chmod(0o644)
    (tmp_path / "models").chmod(0o755)
    mount = ["--volume", f"{tmp_path / 'models'}:/models:ro", "--env", "MODEL_PATH=/models/model.skops"]
    container = docker("run", "--detach", "--read-only", *mount, image).strip()
    try:
        with subprocess.Popen([DOCKER, "logs", "--follow", container], stderr=subprocess.PIPE, text=True) as log:
            assert log.stderr is not None
            told = [*takewhile(lambda line: "serving iris.v1" not in line, log.stderr)]  # or all, when it ends
            log.kill()
        assert any("loading /models/model.skops" in line for line in told), told
    finally:
        docker("rm", "--force", container)


def test_an_image_without_an_artifact_builds_and_says_what_it_misses(
    image: str, workplace: Workplace, tmp_path: Path
) -> None:
    context = _context(workplace, tmp_path)
    for path in (context / "artifacts").glob("model*"):
        path.unlink()
    docker("build", "--quiet", "--tag", f"{IMAGE}-empty", ".", cwd=context)
    try:
        told = docker("run", "--rm", f"{IMAGE}-empty", check=False)
        assert "MODEL_PATH" in told
    finally:
        docker("image", "rm", "--force", f"{IMAGE}-empty")


def test_a_lock_that_lacks_a_dependency_is_refused(image: str, workplace: Workplace, tmp_path: Path) -> None:
    context = _context(workplace, tmp_path)
    with (context / "requirements" / "model.txt").open("a", encoding="utf-8") as file:
        file.write("\niniconfig>=2\n")
    told = docker("build", "--progress=plain", ".", check=False, cwd=context)
    assert "requirements.lock does not fit requirements/*.txt: run 'make lock'" in told


def test_an_image_that_is_no_server_is_refused(image: str, workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {image}\nCMD ["python", "-c", "print(1 + 1)"]\n', encoding="utf-8")
    docker("build", "--quiet", "--tag", f"{IMAGE}-none", ".", cwd=tmp_path)
    try:
        python = workplace.path / ".venv" / "bin" / "python"
        smoke = [python, "scripts/image_smoke.py", "--docker", DOCKER, f"{IMAGE}-none"]
        done = run(smoke, cwd=workplace.path, check=False)
        assert done.returncode == 1
        assert "the server ended before it was SERVING" in done.stderr
        assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={IMAGE}-none").strip() == ""
    finally:
        docker("image", "rm", "--force", f"{IMAGE}-none")


def _context(workplace: Workplace, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache")
    return Path(shutil.copytree(workplace.path, tmp_path / "context", ignore=ignored))


def test_an_unseen_schema_goes_the_same_way(fraud: Project, tmp_path: Path) -> None:
    """Two methods, one of them streamed, a foreign proto package, no framework: built, run, asked, stopped."""
    shutil.copytree(fraud.path, tmp_path / "fraud", ignore=shutil.ignore_patterns("__pycache__"))
    work = Workplace(tmp_path / "fraud")
    work.set_up()
    try:
        done = work.make("image-smoke", f"DOCKER={DOCKER}", "IMAGE=protoserve-test:fraud")
    finally:
        docker("image", "rm", "--force", "protoserve-test:fraud", check=False)
    assert "answers, stops with 0" in done.stdout


def test_without_a_lock_the_build_says_what_to_run(iris: Project, tmp_path: Path) -> None:
    context = shutil.copytree(iris.path, tmp_path / "new", ignore=shutil.ignore_patterns("__pycache__"))
    for builder in ("0", "1"):
        environment = os.environ | {"DOCKER_BUILDKIT": builder, "BUILDKIT_PROGRESS": "plain"}
        done = run([DOCKER, "build", "."], cwd=context, env=environment, check=False)
        assert done.returncode != 0
        assert "There is no requirements.lock yet: run 'make lock' and build again\n" in done.stdout + done.stderr
