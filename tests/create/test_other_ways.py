"""Ways in that need more than a network: pipx, an index of one's own, no network at all, a larger repository.

The packages are real wheels, fetched once by the commands of docs/air-gapped.md; after that PyPI is dead.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mirror import block, fetched_mirror, released_template
from plain_python import plain_python
from support import run, scrubbed, tool

pytestmark = pytest.mark.slow
# Two groups of tests, which take minutes each, share nothing but the mirror.
WITH_AN_INDEX = pytest.mark.xdist_group("with an index of one's own")
WITHOUT_A_NETWORK = pytest.mark.xdist_group("without a network")

DOCKER = shutil.which(os.environ.get("DOCKER", "docker")) or "docker"
PASSWORD = "only-for-this-index-8471"
# Where nothing listens: what asks anyone but this machine fails.
DEAD = "http://127.0.0.1:9"


def offline(*folders: Path, home: Path, **settings: str) -> dict[str, str]:
    """An environment as of `scrubbed` from which only this machine can be reached, without settings of pip or uv."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), DEAD)
    local = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    tools = {"PIP_CONFIG_FILE": os.devnull, "PIP_COMPILE": "0", "UV_PYTHON_DOWNLOADS": "never"}
    return {**scrubbed(*folders, home=home), **proxies, **local, **tools, **settings}


def git(folder: Path, *commands: str) -> None:
    for command in commands:
        run(["git", *shlex.split(command)], cwd=folder, env=scrubbed(home=folder.parent))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of this checkout as a git repository with a release."""
    return released_template(tmp_path_factory)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has nothing but `python3`, the one of the tests, for a PATH."""
    return plain_python(tmp_path_factory)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page says to carry over, fetched as it says, and pipx."""
    return fetched_mirror(tmp_path_factory)


@dataclass
class Index:
    """A package index on this machine that wants a name and a password; `asked` has the projects it was asked for."""

    port: int
    asked: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"

    @property
    def url_with_password(self) -> str:
        return self.url.replace("//", f"//somebody:{PASSWORD}@")


@pytest.fixture(scope="module")
def index(mirror: Path) -> Iterator[Index]:
    """The wheels of the mirror, by the simple repository API (https://peps.python.org/pep-0503/)."""
    allowed = "Basic " + base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
    wheels: dict[str, list[str]] = {}
    for path in sorted((mirror / "wheels").iterdir()):
        wheels.setdefault(re.sub(r"[-_.]+", "-", path.name.partition("-")[0]).lower(), []).append(path.name)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, _, name = self.path.strip("/").partition("/")
            if self.headers["Authorization"] != allowed:
                self.answer(401, b"")
            elif kind == "files":
                self.answer(200, (mirror / "wheels" / name).read_bytes(), "application/octet-stream")
            elif name in wheels:
                index.asked.add(name)
                links = "".join(f'<a href="/files/{file}">{file}</a>\n' for file in wheels[name])
                self.answer(200, f"<!DOCTYPE html>\n{links}".encode())
            else:
                self.answer(404, b"")

        def answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index = Index(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield index
        server.shutdown()


# --- pipx


@pytest.fixture(scope="module")
def pipx(mirror: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with pipx."""
    folder = tmp_path_factory.mktemp("pipx") / "venv"
    environment = offline(home=folder.parent, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(mirror / "wheels"))
    run([python / "python3", "-m", "venv", folder], cwd=mirror)
    run([folder / "bin/python", "-m", "pip", "install", "--quiet", "pipx"], cwd=mirror, env=environment)
    return folder / "bin"


def copy(*command: str, template: str | Path) -> list[str | Path]:
    return [*command, "copy", "--trust", "--defaults", "--data", "framework=python", template, "made"]


def reason(said: str) -> str:
    """The one line in which protoserve says why; the commands in it stand between backticks."""
    (line,) = [line for line in said.splitlines() if line.startswith("protoserve:")]
    return line


def assert_made(project: Path) -> None:
    assert "_commit: v0.1.0\n" in (project / ".copier-answers.yml").read_text(encoding="utf-8")
    for name in ("schema.yaml", "train.py", "src/iris/model.py", "src/iris/v1/prediction_pb2.py"):
        assert (project / name).is_file(), name


@WITH_AN_INDEX
def test_pipx_run_without_uv_says_how_pipx_brings_it(pipx: Path, released: Path, index: Index, tmp_path: Path) -> None:
    environment = offline(pipx, home=tmp_path, PIP_INDEX_URL=index.url_with_password)
    command = copy("pipx", "run", "copier", template=released)
    done = run(command, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    said = reason(done.stderr)
    assert "grpcio-tools==" in said
    assert "/copier._vcs" not in said, "a clone that is gone by now"
    assert not (tmp_path / "made").exists()
    # What it says to do, done; the generator's uv then takes the index that is set for pip.
    (remedy,) = re.findall(r"`(pipx run .*) \.\.\.`", said)
    run(copy(*shlex.split(remedy), template=released), cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")
    assert "grpcio-tools" in index.asked


@WITH_AN_INDEX
def test_pipx_run_with_uv_on_the_path(pipx: Path, released: Path, index: Index, python: Path, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "uv").symlink_to(tool("uv"))
    # pipx itself then works through uv, which reads its own variables.
    environment = offline(pipx, commands, home=tmp_path, UV_DEFAULT_INDEX=index.url_with_password)
    run(copy("pipx", "run", "copier", template=released), cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")


@WITH_AN_INDEX
def test_pipx_install_without_uv_says_what_to_inject(pipx: Path, released: Path, index: Index, tmp_path: Path) -> None:
    environment = offline(pipx, tmp_path / ".local/bin", home=tmp_path, PIP_INDEX_URL=index.url_with_password)
    run(["pipx", "install", "copier"], cwd=tmp_path, env=environment)
    done = run(copy("copier", template=released), cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    (remedy,) = re.findall(r"`(pipx inject .*?)`", reason(done.stderr))
    run(shlex.split(remedy), cwd=tmp_path, env=environment)
    run(copy("copier", template=released), cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")


# --- an index of one's own


@dataclass(frozen=True)
class Company:
    """A project made by `uvx` behind the index, and the environment that it was made in."""

    path: Path
    environment: dict[str, str]
    output: str

    def make(self, *arguments: str) -> str:
        done = run(["make", *arguments], cwd=self.path, env=self.environment)
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["password in the URL, set for uv", "password in netrc, set for pip and uv"])
def company(
    request: pytest.FixtureRequest,
    released: Path,
    index: Index,
    python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Company:
    """Created, set up and locked; nothing but uv, Python and make is there."""
    home = tmp_path_factory.mktemp("company")
    (home / "bin").mkdir()
    for name in ("uv", "uvx"):
        (home / "bin" / name).symlink_to(tool(name))
    if "URL" in request.param:
        settings = {"UV_INDEX_URL": index.url_with_password}
    else:
        (home / "netrc").write_text(f"machine 127.0.0.1 login somebody password {PASSWORD}\n", encoding="utf-8")
        (home / "netrc").chmod(0o600)
        settings = {"UV_DEFAULT_INDEX": index.url, "PIP_INDEX_URL": index.url, "NETRC": str(home / "netrc")}
    environment = offline(home / "bin", python, home=home, **settings)
    index.asked.clear()
    run(copy("uvx", "copier", template=released), cwd=home, env=environment)
    made = Company(home / "made", environment, "")
    return Company(made.path, environment, made.make("setup", "model", "lock"))


@WITH_AN_INDEX
def test_creating_setup_and_lock_ask_the_index_alone(company: Company, index: Index) -> None:
    assert_made(company.path)
    assert {"copier", "grpcio-tools", "setuptools", "grpcio-health-checking", "mypy"} <= index.asked
    lock = (company.path / "requirements.lock").read_text(encoding="utf-8")
    assert re.search(r"^grpcio==", lock, re.MULTILINE)


@WITH_AN_INDEX
def test_the_password_is_in_no_file_and_in_no_output(company: Company) -> None:
    assert PASSWORD not in company.output
    for path in company.path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    assert "127.0.0.1" not in (company.path / "requirements.lock").read_text(encoding="utf-8")


@WITH_AN_INDEX
@pytest.mark.docker
def test_the_image_is_built_from_the_index_and_keeps_no_password(company: Company, index: Index) -> None:
    image = "protoserve-test:company"
    index.asked.clear()
    proxies = f"--network=host --no-cache --build-arg HTTPS_PROXY={DEAD} --build-arg NO_PROXY=127.0.0.1"
    try:
        said = company.make("image-smoke", f"DOCKER={DOCKER}", f"IMAGE={image}", f"DOCKER_BUILD_ARGS={proxies}")
        assert "answers, stops with 0" in said
        assert PASSWORD not in said
        assert "grpcio" in index.asked
        for name, content in saved(image):
            assert PASSWORD.encode() not in content, name
    finally:
        run([DOCKER, "image", "rm", "--force", image], cwd=company.path, check=False)


def saved(image: str) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, and the configuration with the history."""
    archive = run_binary([DOCKER, "save", image])
    with tarfile.open(fileobj=io.BytesIO(archive)) as whole:
        for part in whole:
            opened = whole.extractfile(part) if part.isfile() else None
            if opened is None:
                continue
            content = opened.read()
            if part.name.endswith(".json"):
                yield part.name, content
                continue
            try:
                with tarfile.open(fileobj=io.BytesIO(content)) as layer:
                    for member in layer:
                        file = layer.extractfile(member) if member.isfile() else None
                        if file is not None:
                            yield f"{part.name}: {member.name}", file.read()
            except tarfile.ReadError:
                yield part.name, content


def run_binary(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# --- no network


@pytest.fixture(scope="module")
def carried(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the mirror only what the page says to carry, in another place."""
    folder = tmp_path_factory.mktemp("carried")
    for name in ("protoserve.git", "wheels"):
        shutil.copytree(mirror / name, folder / name, copy_function=os.link)
    return folder


@pytest.fixture(scope="module")
def isolated(carried: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A project made, set up, smoke-tested and locked without a network, by the commands of the page."""
    home = tmp_path_factory.mktemp("isolated")
    environment = offline(python, home=home, MIRROR=str(carried))
    done = run(["sh", "-euc", block("protoserve new iris")], cwd=home, env=environment)
    folder = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(carried / "wheels")}
    return Company(home / "iris", {**environment, **folder}, done.stdout)


@WITHOUT_A_NETWORK
def test_without_a_network_a_project_is_made_and_locked(isolated: Company) -> None:
    assert_made(isolated.path)
    assert "passed" in isolated.output
    assert re.search(r"^scikit-learn==", (isolated.path / "requirements.lock").read_text("utf-8"), re.MULTILINE)


@WITHOUT_A_NETWORK
def test_without_a_network_the_generator_comes_from_the_mirror(isolated: Company) -> None:
    assert "all generated files match schema.yaml" in isolated.make("generate")


@WITHOUT_A_NETWORK
def test_without_a_network_the_generator_runs_through_uv(carried: Path, python: Path, tmp_path: Path) -> None:
    """Copier alone, from the wheels; uv gets the settings of pip."""
    environment = offline(
        tmp_path / "venv/bin", python, home=tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(carried / "wheels")
    )
    run(["python3", "-m", "venv", "venv"], cwd=tmp_path, env=environment)
    run(["venv/bin/pip", "install", "--quiet", "copier", "uv"], cwd=tmp_path, env=environment)
    run(copy("copier", template=f"git+file://{carried}/protoserve.git"), cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")


@WITHOUT_A_NETWORK
@pytest.mark.docker
def test_without_a_network_the_image_is_built_from_served_wheels(isolated: Company) -> None:
    proxies = f"--network=host --no-cache --build-arg HTTP_PROXY={DEAD} --build-arg HTTPS_PROXY={DEAD}"
    commands = block("http.server").replace("--network=host", f"'{proxies} --build-arg NO_PROXY=127.0.0.1'")
    environment = {**isolated.environment, "MAKEFLAGS": f"DOCKER={DOCKER} IMAGE=protoserve-test:isolated"}
    try:
        # Where a command fails, the server of wheels must not stay.
        done = run(
            ["sh", "-euc", f"trap 'kill $! 2>/dev/null || true' EXIT\n{commands}"], cwd=isolated.path, env=environment
        )
        assert "answers, stops with 0" in done.stdout
    finally:
        run([DOCKER, "image", "rm", "--force", "protoserve-test:isolated"], cwd=isolated.path, check=False)


# --- a larger repository
@WITHOUT_A_NETWORK
def test_a_project_lives_in_a_folder_of_a_larger_repository(mirror: Path, python: Path, tmp_path: Path) -> None:
    """Created, generated, checked and updated there, beside work of others that is not committed."""
    template, whole = tmp_path / "template", tmp_path / "whole"
    run(["git", "clone", "--quiet", mirror / "protoserve.git", template], cwd=tmp_path)
    project = whole / "services" / "iris"
    project.parent.mkdir(parents=True)
    (whole / "README.md").write_text("Everything we run.\n", encoding="utf-8")
    git(whole, "init --quiet", "add --all", "commit --quiet --message=start")
    environment = offline(
        Path(sys.executable).parent,
        python,
        home=tmp_path,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(mirror / "wheels"),
    )
    create = ["copier", "copy", "--trust", "--defaults", "--data=framework=python", template, "services/iris"]
    run(create, cwd=whole, env=environment)
    assert_made(project)
    git(whole, "add --all", "commit --quiet --message=iris")

    schema = project / "schema.yaml"
    schema.write_text(
        schema.read_text(encoding="utf-8").replace("Predict the species", "Guess the species"), encoding="utf-8"
    )
    run(["make", "setup", "generate"], cwd=project, env=environment)
    run(["make", "check"], cwd=project, env=environment)
    changed = run(["git", "status", "--porcelain"], cwd=whole, env=environment).stdout.split()[1::2]
    assert changed
    assert all(path.startswith("services/iris/") for path in changed)
    (whole / ".github/workflows").mkdir(parents=True)
    git(whole, "mv services/iris/.github/workflows/ci.yml .github/workflows/iris.yml")
    git(whole, "add --all", "commit --quiet --message=schema")

    # What others have not committed is theirs, and what was moved away stays away.
    (whole / "README.md").write_text("Everything that we run.\n", encoding="utf-8")
    with (template / "template/README.md.jinja").open("a", encoding="utf-8") as file:
        file.write("\nA newer line.\n")
    git(template, "commit --all --quiet --message=newer", "tag v0.2.0")
    run(["copier", "update", "--trust", "--defaults"], cwd=project, env=environment)
    assert (project / "README.md").read_text(encoding="utf-8").endswith("A newer line.\n")
    changed = run(["git", "status", "--porcelain"], cwd=whole, env=environment).stdout.splitlines()
    assert changed == [" M README.md", " M services/iris/.copier-answers.yml", " M services/iris/README.md"]
    run(["make", "generate"], cwd=project, env=environment)
