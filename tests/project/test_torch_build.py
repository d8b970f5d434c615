"""Which build of torch a PyTorch project installs, pins and puts into its image: make, pip and uv in a small internet.

The internet is one proxy: it answers for every host itself, with TLS, from a folder for each host, and notes who was
asked. So all is as it is in the real one, but for the packages: wheels that hold next to nothing.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from packaging.requirements import Requirement

from plain_python import plain_python
from support import ROOT, Project, create, run, scrubbed, tool
from zoo.tls import issue

pytestmark = pytest.mark.slow  # real packages, uv and make

PYPI, PYTORCH, COMPANY = "pypi.org", "download.pytorch.org", "index.example.com"
LINUX = f"manylinux_2_28_{platform.machine()}"
VERSION = "2.13.0"
MIRROR = f"https://{COMPANY}/pytorch-cpu/simple"

# As much of setuptools as `pip install --editable` needs.
BUILD_BACKEND = """\
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    lines = [line for name in ("server", "model") for line in open(f"requirements/{name}.txt").read().splitlines()]
    requires = "".join(f"Requires-Dist: {line}\\n" for line in lines if line and not line.startswith("#"))
    name, info = "thing-0.1.0-py3-none-any.whl", "thing-0.1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("thing.pth", str(pathlib.Path("src").absolute()))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: thing\\nVersion: 0.1.0\\n{requires}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


class Internet(ThreadingHTTPServer):
    """A proxy for https that answers itself, from `folder`/HOST/PATH; `asked` has the addresses without the scheme."""

    daemon_threads = True

    def __init__(self, folder: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Visitor)
        self.folder = folder
        self.asked: list[str] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def handle_error(self, request: object, client_address: object) -> None:
        """A client may hang up whenever it likes."""


class Visitor(SimpleHTTPRequestHandler):
    """One connection: CONNECT first, then what is asked inside of it."""

    server: Internet
    protocol_version = "HTTP/1.1"
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        self.server.asked.append(self.host + self.path)
        super().do_GET()

    def translate_path(self, path: str) -> str:
        self.directory = str(self.server.folder / self.host)
        return super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at `asked`."""


@dataclass(frozen=True)
class Workshop:
    """A PyTorch project on a machine whose internet is the small one."""

    path: Path
    internet: Internet
    environment: dict[str, str] = field(repr=False)

    def make(self, *arguments: str, **variables: str) -> str:
        """What make prints; `internet.asked` then has what it asked."""
        self.internet.asked.clear()
        return run(["make", *arguments], cwd=self.path, env={**self.environment, **variables}).stdout

    @property
    def asked(self) -> set[str]:
        """The hosts that were asked."""
        return {address.partition("/")[0] for address in self.internet.asked}

    def locked(self, **variables: str) -> str:
        """The version of torch for Linux in the lock that make writes, and whether it asks for CUDA."""
        self.make("lock", **variables)
        lock = (self.path / "requirements.lock").read_text(encoding="utf-8")
        assert "--hash=sha256:" in lock
        assert "://" not in lock
        assert re.search(r"^numpy==2", lock, re.MULTILINE)
        (version,) = re.findall(r"^torch==(\S+) (?!; sys_platform == 'darwin')", lock, re.MULTILINE)
        return f"{version} with CUDA" if "nvidia-cuda==" in lock else str(version)

    def image_indexes(self, *arguments: str, **variables: str) -> dict[str, str]:
        """The settings of the pip.conf that `make image` hands to the build as a secret."""
        (self.path / "requirements.lock").touch()
        output = self.make("image", "DOCKER=printenv INDEX_CONF; echo", *arguments, **variables)
        assert "--build-arg PIP_" not in output, "build arguments are recorded in the image"
        if "--secret id=pip_conf,env=INDEX_CONF" not in output:
            return {}
        return {name: value.strip() for name, value in re.findall(r"^(\S+) = (.+)$", output, re.MULTILINE)}


def wheel(
    index: Path,
    name: str,
    version: str,
    tag: str = "py3-none-any",
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Puts a wheel into an index, with the text of its files by their path."""
    folder = index / name.lower().replace("_", "-").replace(".", "-")
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
        made.writestr(f"{stem}.dist-info/METADATA", metadata + "".join(f"Requires-Dist: {one}\n" for one in requires))
        made.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        made.writestr(f"{stem}.dist-info/RECORD", "")


def fill(folder: Path, requirements: Sequence[Requirement]) -> None:
    """PyPI with the CUDA build, PyTorch's index, and a company's: a mirror of both, with a build of its own."""
    cuda = ["nvidia-cuda; platform_system == 'Linux'"]
    pypi, company, mirror = (
        folder / PYPI / "simple",
        folder / COMPANY / "simple",
        folder / COMPANY / "pytorch-cpu/simple",
    )
    pytorch = folder / PYTORCH / "whl"
    backend = {"setuptools/__init__.py": "", "setuptools/build_meta.py": BUILD_BACKEND}
    for index in (pypi, company):
        for wanted in requirements:
            if wanted.name != "torch":
                lower = [one.version for one in wanted.specifier if one.operator in (">=", "==")]
                wheel(index, wanted.name, *(lower or ["1.0"]))
        wheel(index, "setuptools", "80.0", files=backend)
        wheel(index, "nvidia-cuda", "13.0")
        for system in (LINUX, "macosx_11_0_arm64", "win_amd64"):
            wheel(index, "torch", VERSION, f"py3-none-{system}", requires=cuda)
    wheel(company, "torch", f"{VERSION}+company", f"py3-none-{LINUX}")
    for index, build in ((pytorch / "cpu", "cpu"), (mirror, "cpu"), (pytorch / "cu130", "cu130")):
        for system in (LINUX, "win_amd64"):
            requires = cuda if build != "cpu" else []
            wheel(index, "torch", f"{VERSION}+{build}", f"py3-none-{system}", requires=requires)
        wheel(index, "numpy", "1.9")  # what else is there is older than what PyPI has
    for index in (pytorch / "cpu", mirror):
        wheel(index, "torch", VERSION, "py3-none-macosx_11_0_arm64")
    wheel(pytorch / "cu130", "nvidia-cuda", "13.0")


def certificate(folder: Path) -> Path:
    """A certificate for the hosts, of the authority in authority.pem; its key is beside it."""
    issue(folder, "authority", internet=(PYPI, PYTORCH, COMPANY))
    return folder / "internet.pem"


@pytest.fixture(scope="module")
def torch(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A PyTorch project as it is made; no test writes into it."""
    folder = tmp_path_factory.mktemp("torch") / "thing"
    return create(template, folder, project_name="thing", package="thing", framework="pytorch")


@pytest.fixture(scope="module")
def internet(torch: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    folder = tmp_path_factory.mktemp("internet")
    text = "".join(path.read_text(encoding="utf-8") for path in (torch.path / "requirements").glob("*.txt"))
    fill(folder, [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")])
    with Internet(folder, certificate(folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def workshop(torch: Project, internet: Internet, tmp_path: Path) -> Workshop:
    """A copy of the project with what `make lock` and `make image` want to find."""
    path = tmp_path / "thing"
    shutil.copytree(torch.path, path)
    (path / "artifacts").mkdir(exist_ok=True)
    (path / "artifacts" / "model.pt2").touch()
    (path / "scripts" / "check_artifact.py").write_text("", encoding="utf-8")  # there are no libraries for it
    tools = path / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").symlink_to(sys.executable)
    (tools / "uv").symlink_to(tool("uv"))
    authority = str(internet.folder / "authority.pem")
    environment = {
        **{name: value for name, value in scrubbed(home=tmp_path).items() if "CERT" not in name and "_CA_" not in name},
        "HTTPS_PROXY": f"http://127.0.0.1:{internet.server_port}",
        "SSL_CERT_FILE": authority,
        "PIP_CERT": authority,
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
    }
    return Workshop(path, internet, environment)


def installed(folder: Path) -> str:
    """The version of torch in site-packages, and whether CUDA's libraries are there."""
    (found,) = folder.glob("torch-*.dist-info")
    version = found.name.removeprefix("torch-").removesuffix(".dist-info")
    return f"{version} with CUDA" if list(folder.glob("nvidia_cuda-*")) else version


@pytest.mark.parametrize(
    ("variables", "version", "hosts"),
    [
        ({}, f"{VERSION}+cpu", {PYPI, PYTORCH}),
        ({"TORCH_BACKEND": "cu130"}, f"{VERSION}+cu130 with CUDA", {PYPI, PYTORCH}),
        ({"TORCH_BACKEND": ""}, f"{VERSION} with CUDA", {PYPI}),
        ({"PIP_INDEX_URL": f"https://{COMPANY}/simple"}, f"{VERSION}+company", {COMPANY}),
        ({"UV_DEFAULT_INDEX": f"https://{COMPANY}/simple"}, f"{VERSION}+company", {COMPANY}),
        ({"PIP_EXTRA_INDEX_URL": MIRROR}, f"{VERSION}+cpu", {PYPI, PYTORCH, COMPANY}),
    ],
    ids=["default", "gpu", "pypi", "pip-index", "uv-index", "additional"],
)
def test_setup_installs(
    workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
    variables: dict[str, str],
    version: str,
    hosts: set[str],
) -> None:
    shutil.rmtree(workshop.path / ".venv")
    workshop.make("setup", f"PYTHON={plain_python(tmp_path_factory) / 'python3'}", **variables)
    (packages,) = workshop.path.glob(".venv/lib/python*/site-packages")
    assert installed(packages) == version
    assert workshop.asked == hosts


OWN = [
    {"PIP_INDEX_URL": f"https://{COMPANY}/simple"},
    {"UV_DEFAULT_INDEX": f"https://{COMPANY}/simple"},
    {"UV_DEFAULT_INDEX": f"company=https://{COMPANY}/simple"},
    {"UV_INDEX_URL": f"https://{COMPANY}/simple"},
]


def test_the_lock_has_the_cpu_build(workshop: Workshop) -> None:
    assert workshop.locked() == f"{VERSION}+cpu"
    assert workshop.asked == {PYPI, PYTORCH}


def test_the_lock_follows_the_setting(workshop: Workshop) -> None:
    """Also where a lock of another build is there already; the setting stands in local.mk, or is given to make."""
    assert workshop.locked() == f"{VERSION}+cpu"
    (workshop.path / "local.mk").write_text("TORCH_BACKEND = cu130\n", encoding="utf-8")
    assert workshop.locked() == f"{VERSION}+cu130 with CUDA"
    workshop.make("lock", "TORCH_BACKEND=")
    assert workshop.asked == {PYPI}
    workshop.make("lock", "TORCH_BACKEND=cpu")
    assert f"\ntorch=={VERSION}+cpu " in (workshop.path / "requirements.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize("own", OWN, ids=str)
def test_an_index_of_ones_own_is_asked_alone(workshop: Workshop, own: dict[str, str]) -> None:
    assert workshop.locked(**own) == f"{VERSION}+company"
    assert workshop.asked == {COMPANY}
    assert PYTORCH not in workshop.make("-n", "setup", "lock", "image", **own)
    assert PYTORCH in workshop.make("-n", "setup", "lock", "image")


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_so_is_one_that_only_uv_can_use(workshop: Workshop, name: str) -> None:
    assert PYTORCH not in workshop.make("-n", "setup", "lock", "image", **{name: "file:///srv/index"})


def test_a_mirror_of_pytorchs_index(workshop: Workshop) -> None:
    """As docs/air-gapped.md says it."""
    page = (ROOT / "docs" / "air-gapped.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n([^`]*UV_INDEX_STRATEGY[^`]*)```", page)
    told = run(["sh", "-c", f"{block}env"], cwd=workshop.path, env={"PATH": os.defpath}).stdout
    variables = dict(re.findall(r"^((?:PIP|UV)_\w+)=(.*)$", told, re.MULTILINE))
    assert workshop.locked(**variables) == f"{VERSION}+cpu"
    assert workshop.asked == {COMPANY}
    assert workshop.image_indexes(**variables) == {
        "index-url": f"https://{COMPANY}/simple",
        "extra-index-url": MIRROR,
    }


def test_without_a_network_nobody_is_asked(workshop: Workshop, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for index in (workshop.internet.folder / PYPI / "simple", workshop.internet.folder / PYTORCH / "whl" / "cpu"):
        for path in index.rglob("*.whl"):
            shutil.copy2(path, wheels)
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    assert workshop.locked(**variables) == f"{VERSION}+cpu"
    assert workshop.asked == set()
    assert PYTORCH not in workshop.make("-n", "setup", "lock", "image", **variables)


def test_the_image_is_built_with_what_the_lock_says(workshop: Workshop, tmp_path: Path) -> None:
    """pip finds every hash of the lock with the indexes of the build, as the Dockerfile runs it."""
    assert workshop.locked() == f"{VERSION}+cpu"
    indexes = workshop.image_indexes()
    assert indexes == {"extra-index-url": f"https://{PYTORCH}/whl/cpu"}
    command = [sys.executable, "-m", "pip", "install", "--no-compile", "--target", tmp_path / "venv"]
    environment = {**workshop.environment, "PIP_EXTRA_INDEX_URL": indexes["extra-index-url"]}
    run([*command, "--require-hashes", "--requirement", "requirements.lock"], cwd=workshop.path, env=environment)
    assert installed(tmp_path / "venv") == f"{VERSION}+cpu"


def test_indexes_of_the_image(workshop: Workshop) -> None:
    pytorch = f"https://{PYTORCH}/whl"
    assert workshop.image_indexes("TORCH_BACKEND=cu130") == {"extra-index-url": f"{pytorch}/cu130"}
    assert workshop.image_indexes("TORCH_BACKEND=") == {}
    both = {"extra-index-url": f"{MIRROR} {pytorch}/cpu"}
    assert workshop.image_indexes(PIP_EXTRA_INDEX_URL=MIRROR) == both
    assert workshop.image_indexes(f"PIP_EXTRA_INDEX_URL={MIRROR}") == both
    assert workshop.image_indexes("PIP_CONF=pip.conf") == {}


def test_the_commands_of_the_readme_are_those_of_make(workshop: Workshop) -> None:
    readme = (workshop.path / "README.md").read_text(encoding="utf-8")
    for target, expected in {
        "setup": [f"--extra-index-url https://{PYTORCH}/whl/cpu"],
        "lock": ["--torch-backend cpu"],
    }.items():
        flags = r"--(?:extra-index-url|torch-backend)[ =]\S+"
        (row,) = re.findall(rf"^\| `make {target}` .*$", readme, re.MULTILINE)
        output = workshop.make("-n", target).replace("'", "")
        assert set(re.findall(flags, row.replace("`", " "))) == set(re.findall(flags, output)) == set(expected)
    (row,) = re.findall(r"^\| `make image` .*$", readme, re.MULTILINE)
    assert f"--build-arg PIP_EXTRA_INDEX_URL={workshop.image_indexes()['extra-index-url']}" in row


def test_ci_installs_by_make(torch: Project) -> None:
    """Hence the CPU build: the workflow has no index and no setting of its own."""
    text = (torch.path / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    commands = [step["run"] for step in yaml.safe_load(text)["jobs"]["check"]["steps"] if "run" in step]
    assert commands[0] == "make setup"
    assert all(command.startswith("make ") for command in commands)
    assert not re.search(r"env:|TORCH|INDEX", text)


def test_other_frameworks_know_nothing_of_it(iris: Project) -> None:
    said = run(["make", "-n", "setup", "lock", "image"], cwd=iris.path, env=scrubbed(home=iris.path)).stdout
    assert "pip install" in said
    assert "uv pip compile" in said
    assert "docker build" in said
    files = ["Makefile", "Dockerfile", "README.md", ".github/workflows/ci.yml", "requirements/model.txt"]
    told = said + "".join((iris.path / name).read_text(encoding="utf-8") for name in files)
    assert not re.search("torch", told, re.IGNORECASE)
