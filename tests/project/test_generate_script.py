"""A project's scripts/generate.py: exactly the generator that the answers record, from wherever they say."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from support import copier_jinja

ANSWERS_FILE = ".copier-answers.yml"
GIT = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], env=os.environ | GIT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Project:
    """A project that has nothing but the script and its answers, and a cache of its own."""

    root: Path
    cache: Path

    def answers(self, **answers: Any) -> None:
        (self.root / ANSWERS_FILE).write_text("# by Copier\n" + yaml.safe_dump(answers, allow_unicode=True))

    def generate(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.root / "scripts" / "generate.py", *arguments],
            env=os.environ | {"XDG_CACHE_HOME": str(self.cache)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def clones(self) -> list[Path]:
        return sorted((self.cache / "protoserve").iterdir())

    def hidden(self, name: str) -> Path:
        """A folder for PYTHONPATH in which importing that module fails as if it were not installed."""
        folder = self.root.parent / "hidden"
        folder.mkdir()
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})\n")
        return folder

    def module(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("generate", self.root / "scripts" / "generate.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture
def project(tmp_path: Path) -> Project:
    script = copier_jinja().get_template("template/scripts/generate.py.jinja")
    text = script.render(_copier_conf=SimpleNamespace(answers_file=ANSWERS_FILE))
    (tmp_path / "project" / "scripts").mkdir(parents=True)
    (tmp_path / "project" / "scripts" / "generate.py").write_text(text)
    return Project(tmp_path / "project", tmp_path / "cache")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with two commits, of which the first has the tag v1.2.0; its generator prints commit and arguments."""
    folder = tmp_path / "my template"
    (folder / "generator").mkdir(parents=True)
    git(folder, "init", "--quiet")
    for name in ("first", "second"):
        (folder / "generator" / "run.py").write_text(
            f"import sys\nprint({name!r}, sys.argv[1:])\nsys.exit(3 if '--check' in sys.argv else 0)\n"
        )
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", name)
        if name == "first":
            git(folder, "tag", "v1.2.0")
    return folder


def test_the_tag_is_cloned_once_and_arguments_and_exit_code_pass_through(project: Project, template: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    first = project.generate("--check")
    assert first.returncode == 3
    assert first.stdout == f"first ['generate', {str(project.root)!r}, '--check']\n"
    assert "fetching" in first.stderr
    again = project.generate()
    assert (again.returncode, again.stderr) == (0, "")
    assert len(project.clones()) == 1


def test_a_command_gets_the_project_and_its_own_arguments(project: Project, template: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    done = project.generate("diff", "origin/main", "--format", "json")
    wanted = ["diff", "--project", str(project.root), "origin/main", "--format", "json"]
    assert done.stdout == f"first {wanted}\n"
    project.answers(_src_path="/nowhere", _commit="v1.2.0")
    assert project.generate().returncode == 1
    assert project.generate("diff").returncode == 2, "1 would be a verdict"


@pytest.mark.parametrize("form", ["describe", "short", "full"])
def test_every_form_in_which_copier_records_a_commit(project: Project, template: Path, form: str) -> None:
    commit = {
        "describe": lambda: git(template, "describe", "--tags"),
        "short": lambda: git(template, "rev-parse", "--short", "HEAD"),
        "full": lambda: git(template, "rev-parse", "HEAD"),
    }[form]()
    project.answers(_src_path=str(template), _commit=commit)
    assert project.generate().stdout.startswith("second")


@pytest.mark.parametrize("form", ["{}", "../my template", "file://{}", "git+file://{}"])
def test_every_form_in_which_copier_records_a_place(project: Project, template: Path, form: str) -> None:
    project.answers(_src_path=form.format(template), _commit="v1.2.0")
    done = project.generate()
    assert done.stdout.startswith("first"), done.stderr


@pytest.mark.parametrize(
    ("recorded", "cloned"),
    [
        ("gh:owner/repo", "https://github.com/owner/repo.git"),
        ("gh:/owner/repo.git", "https://github.com/owner/repo.git"),
        ("gl:group/sub/repo", "https://gitlab.com/group/sub/repo.git"),
        ("https://example.com/repo", "https://example.com/repo"),
        ("git+https://example.com/repo.git", "https://example.com/repo.git"),
        ("git@example.com:owner/repo.git", "git@example.com:owner/repo.git"),
        ("ssh://git@example.com/repo", "ssh://git@example.com/repo"),
    ],
)
def test_remote_places(project: Project, recorded: str, cloned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project.answers(_src_path=recorded, _commit="v1.2.0")
    script = project.module()
    monkeypatch.setattr(script, "_clone", lambda url, commit: (url, commit))
    assert script.find_template() == (cloned, "v1.2.0")


def test_a_short_form_is_fetched_through_git_with_its_configuration(project: Project, template: Path) -> None:
    project.answers(_src_path="gh:owner/repo", _commit="v1.2.0")
    mirror = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/owner/repo.git"}
    done = project.generate(**mirror, GIT_CONFIG_KEY_0=f"url.file://{template}.insteadOf")
    assert done.stdout.startswith("first"), done.stderr


def test_a_folder_that_is_no_repository_is_used_as_it_is(project: Project, template: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(template / "generator", plain / "generator")
    project.answers(_src_path=str(plain))
    assert project.generate().stdout.startswith("second")
    assert not project.cache.exists()


def test_a_tag_that_moved_in_a_folder_is_followed(project: Project, template: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    assert project.generate().stdout.startswith("first")
    git(template, "tag", "--force", "v1.2.0", "HEAD")
    assert project.generate().stdout.startswith("second")


def test_the_override_of_template_developers(project: Project, template: Path) -> None:
    done = project.generate(PROTOSERVE_GENERATOR=str(template))
    assert done.stdout.startswith("second")


def test_inside_a_git_hook(project: Project, template: Path) -> None:
    """git exports where its repository is to hooks; the clone must not land there."""
    project.answers(_src_path=str(template), _commit="v1.2.0")
    done = project.generate(GIT_DIR=str(project.root / ".git"), GIT_INDEX_FILE="index", GIT_WORK_TREE=str(project.root))
    assert done.stdout.startswith("first"), done.stderr


def test_several_at_once_share_one_whole_clone(project: Project, template: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    command = [sys.executable, project.root / "scripts" / "generate.py"]
    environment = os.environ | {"XDG_CACHE_HOME": str(project.cache)}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0].split()[0] for process in running] == ["first"] * 4
    assert len(project.clones()) == 1


def test_a_clone_that_a_cleaner_emptied_is_made_again(project: Project, template: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    project.generate()
    (clone,) = project.clones()
    (clone / "generator" / "run.py").unlink()
    assert project.generate().stdout.startswith("first")
    assert project.clones() == [clone]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"_src_path": "{template}", "_commit": "v9.9.9"}, "v9.9.9"),
        ({"_src_path": "file:///nowhere/at/all", "_commit": "v1.2.0"}, "file:///nowhere/at/all"),
        ({"_src_path": "https://127.0.0.1:1/repo.git", "_commit": "v1.2.0"}, "https://127.0.0.1:1/repo.git"),
        ({"_src_path": "nowhere", "_commit": "v1.2.0"}, "repository 'nowhere' does not exist"),
        ({"_src_path": "{project}", "_commit": "v1.2.0"}, "not a git repository"),
        ({"_src_path": "{template}", "_commit": "--force"}, "--force"),
        ({"_src_path": "--upload-pack=x:y", "_commit": "v1.2.0"}, "--upload-pack=x"),
        ({"_commit": "v1.2.0"}, "_src_path"),
    ],
)
def test_a_version_that_cannot_be_fetched(
    project: Project, template: Path, answers: dict[str, str], reason: str
) -> None:
    project.answers(**{key: value.format(template=template, project=project.root) for key, value in answers.items()})
    done = project.generate(GIT_CEILING_DIRECTORIES=str(project.root.parent))
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr.splitlines()[-1]
    assert all(line.startswith("generate: ") for line in done.stderr.splitlines())
    assert not project.cache.exists() or project.clones() == []


def test_without_answers_or_git(project: Project, template: Path) -> None:
    assert "cannot be read" in project.generate().stderr
    project.answers(_src_path=str(template), _commit="v1.2.0")
    assert "git is not installed" in project.generate(PATH="/nonexistent").stderr


def test_a_cache_that_cannot_be_written(project: Project, template: Path, tmp_path: Path) -> None:
    project.answers(_src_path=str(template), _commit="v1.2.0")
    project.cache.write_text("a file")
    done = project.generate()
    assert done.returncode == 1
    assert "XDG_CACHE_HOME" in done.stderr.splitlines()[-1]


def test_an_interpreter_without_pyyaml(project: Project) -> None:
    done = project.generate(PYTHONPATH=str(project.hidden("yaml")))
    assert done.returncode == 1
    assert done.stderr == "generate: PyYAML is not installed here: run `make setup`, then use .venv/bin/python\n"
