"""The commands of a project's Makefile, in the environment that its own `make setup` made."""

from __future__ import annotations

import os
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


def test_lock_pins_everything_with_hashes_and_names_no_index(workplace: Workplace) -> None:
    workplace.make("lock")
    lock = (workplace.path / "requirements.lock").read_text(encoding="utf-8")
    pinned = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert {"grpcio", "scikit-learn", "skops", "numpy"} <= {line.partition("==")[0] for line in pinned}
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "://" not in lock


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
    done = fresh.make("setup", f"PYTHON={sys.executable}", "SUPPORTED=3.98 3.99", check=False)
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


def test_the_default_target_only_tells(fresh: Workplace) -> None:
    before = sorted(os.listdir(fresh.path))
    assert "make image-smoke" in fresh.make().stdout
    assert sorted(os.listdir(fresh.path)) == before


def test_make_passes_credentials_as_secrets_only(fresh: Workplace) -> None:
    """Every build argument is kept with the build; what a secret holds is not."""
    (fresh.path / ".venv").symlink_to(sys.prefix)
    (fresh.path / "requirements.lock").touch()
    given = ["PIP_CONF=/etc/my pip.conf", "NETRC=/etc/netrc", "PIP_INDEX_URL=https://index.example", "DOCKER=echo"]
    done = run(["make", "image", *given], cwd=fresh.path, env={**os.environ, "PYTHONPATH": "src"})
    (called,) = [line for line in done.stdout.splitlines() if line.startswith("build ")]
    assert "--secret id=pip_conf,src=/etc/my pip.conf" in called
    assert "--secret id=netrc,src=/etc/netrc" in called
    assert "--build-arg PIP_INDEX_URL=https://index.example" in called
