"""The commands of a project's Makefile, in an environment with what `make setup` installs.

tests/docs/test_start_page.py and tests/create/test_other_ways.py run `make setup` itself.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from support import Project, run
from workplace import Workplace

pytestmark = pytest.mark.slow


def test_check_on_a_fresh_clone_trains_the_model_and_passes(workplace: Workplace) -> None:
    done = workplace.make("check")
    assert (workplace.path / "artifacts" / "model.skops.sha256").exists()
    assert " passed" in done.stdout


def test_check_fails_when_a_generated_file_was_edited(workplace: Workplace) -> None:
    generated = workplace.path / "src" / "iris" / "contract" / "v1.py"
    before = generated.read_bytes()
    try:
        generated.write_bytes(before + b"\n# edited\n")
        done = workplace.make("check", check=False)
        assert done.returncode != 0
        assert "-# edited" in done.stdout
        workplace.make("generate")
        assert generated.read_bytes() == before
    finally:
        generated.write_bytes(before)


def test_what_lies_in_artifacts_is_never_replaced(workplace: Workplace) -> None:
    workplace.make("artifact")  # trains, where the tests above did not
    artifact = workplace.path / "artifacts" / "model.skops"
    seal = artifact.with_name("model.skops.sha256")
    good, sealed = artifact.read_bytes(), seal.read_bytes()
    try:
        artifact.write_bytes(good + b"x")
        done = workplace.make("serve", check=False)
        assert "artifacts/model.skops is damaged or another one" in done.stderr
        seal.unlink()  # mine, and not sealed: the server warns
        workplace.make("artifact")
        assert artifact.read_bytes() == good + b"x"
        artifact.unlink()
        seal.write_bytes(sealed)
        assert "model.skops does not exist" in workplace.make("image", "DOCKER=false", check=False).stderr
    finally:
        artifact.write_bytes(good)
        seal.write_bytes(sealed)


def test_a_model_from_elsewhere_needs_no_train_py(workplace: Workplace) -> None:
    script = workplace.path / "train.py"
    kept = script.rename(workplace.path / "train.kept")
    try:
        assert "There is no train.py: put a model into artifacts/" in workplace.make("model", check=False).stderr
        run([workplace.path / ".venv" / "bin" / "python", "-m", "mypy"], cwd=workplace.path)
    finally:
        kept.rename(script)


@pytest.mark.parametrize(
    ("lock", "packages"),
    [
        ("requirements.lock", {"grpcio", "scikit-learn", "skops", "numpy"}),
        ("requirements-dev.lock", {"grpcio", "scikit-learn", "mypy", "pytest", "ruff", "grpcio-tools"}),
    ],
)
def test_lock_pins_everything_with_hashes_and_names_no_index(
    workplace: Workplace, lock: str, packages: set[str]
) -> None:
    if not (workplace.path / lock).exists():
        workplace.make("lock")
    text = (workplace.path / lock).read_text(encoding="utf-8")
    pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages <= {line.partition("==")[0] for line in pinned}
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "://" not in text


def test_setup_installs_what_the_lock_pins(fresh: Workplace) -> None:
    assert "--require-hashes" not in fresh.make("-n", "setup").stdout
    (fresh.path / "requirements-dev.lock").touch()
    commands = fresh.make("-n", "setup").stdout.splitlines()
    installed = [line.partition(" --disable-pip-version-check ")[2] for line in commands if " pip install " in line]
    assert installed == [
        "--require-hashes --requirement requirements-dev.lock",
        "--editable . --requirement requirements/dev.txt --requirement requirements/train.txt",
    ]


def test_predict_says_when_nothing_listens(workplace: Workplace) -> None:
    done = workplace.make("predict", "ARGS=--target localhost:1", check=False)
    assert done.returncode != 0
    assert "Does a server listen on localhost:1?" in done.stderr


def test_targets_of_the_authors_own(workplace: Workplace) -> None:
    own = workplace.path / "local.mk"
    own.write_text("IMAGE = mine:1\nhello:  ## mine\n\t@echo hello from $(IMAGE)\n", encoding="utf-8")
    try:
        assert workplace.make("hello").stdout == "hello from mine:1\n"
        assert "make hello" in workplace.make().stdout
    finally:
        own.unlink()


@pytest.fixture
def fresh(iris: Project, tmp_path: Path) -> Workplace:
    shutil.copytree(iris.path, tmp_path / "fresh", ignore=shutil.ignore_patterns("__pycache__"))
    return Workplace(tmp_path / "fresh")


def test_setup_says_which_pythons_are_supported(fresh: Workplace) -> None:
    done = fresh.make("setup", f"PYTHON={sys.executable}", "SUPPORTED_PYTHONS=3.98 3.99", check=False)
    assert done.returncode != 0
    assert "needs one of 3.98 3.99" in done.stderr
    assert not (fresh.path / ".venv").exists()


@pytest.mark.parametrize(
    "target", ["generate", "diff", "renumber", "check", "model", "serve", "predict", "smoke", "lock", "image"]
)
def test_before_setup_every_target_says_so(fresh: Workplace, target: str) -> None:
    done = fresh.make(target, check=False)
    assert done.returncode != 0
    assert "run 'make setup' first" in done.stderr


# Makes an environment in which pip fails, or succeeds, as $PIP says.
STAND_IN = """\
#!/bin/sh
case "$*" in
    -V) echo Python 3.12.1 ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *pip\\ install*) $PIP ;;
esac
"""


def test_after_a_setup_that_failed_every_target_asks_for_another(fresh: Workplace, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(STAND_IN, encoding="utf-8")
    python.chmod(0o755)
    setup = ("setup", f"PYTHON={python}")
    assert fresh.make(*setup, "PIP=false", check=False).returncode != 0
    (fresh.path / ".venv" / "torn").touch()
    for target in ("serve", "smoke", "test", "predict", "check", "generate", "model", "image"):
        done = fresh.make(target, check=False)
        assert done.returncode != 0
        assert done.stderr.startswith("The last 'make setup' did not finish: run it again.\n")
        assert "Traceback" not in done.stderr
    fresh.make(*setup, "PIP=true")
    assert not (fresh.path / ".venv" / "torn").exists()
    assert fresh.make("predict").stdout == ""
    fresh.make(*setup, "PIP=true")
    assert (fresh.path / ".venv" / "bin" / "python").exists()


def test_the_default_target_only_tells(fresh: Workplace) -> None:
    before = sorted(os.listdir(fresh.path))
    assert "make image-smoke" in fresh.make().stdout
    assert sorted(os.listdir(fresh.path)) == before


@pytest.mark.parametrize(
    ("variables", "secrets"),
    [
        ({"PIP_INDEX_URL": "https://index.example"}, ["id=pip_conf,env=INDEX_CONF"]),
        ({"PIP_INDEX_URL": "https://index.example", "PIP_CONF": "/my pip.conf"}, ["id=pip_conf,src=/my pip.conf"]),
        ({"NETRC": "/etc/netrc"}, ["id=netrc,src=/etc/netrc"]),
        ({}, []),
    ],
    ids=["index", "pip.conf", "netrc", "none"],
)
def test_make_passes_an_index_and_credentials_as_secrets(
    fresh: Workplace, variables: dict[str, str], secrets: list[str]
) -> None:
    """Every build argument is kept with the image; what a secret holds is not."""
    (fresh.path / ".venv").symlink_to(sys.prefix)
    (fresh.path / "requirements.lock").touch()
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("INDEX_URL", "NETRC"))}
    assignments = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "image", "DOCKER=echo", *assignments]
    done = run(command, cwd=fresh.path, env={**environment, "PYTHONPATH": "src"})
    (build,) = [line for line in done.stdout.splitlines() if line.startswith("build ")]
    assert re.findall(r"--secret (id=.*?)(?= --| \.$|  )", build) == secrets
    assert "PIP_" not in build
