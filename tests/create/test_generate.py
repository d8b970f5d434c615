"""`generate` and `generate --check` in a project: what they write, refuse, repair, and never touch."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from protoserve import cli
from protoserve.platform.blocked_paths import BlockedPathError
from protoserve.platform.files import write_all
from protoserve.platform.open_folder import OpenFolder
from protoserve.project import generate as generated
from support import ROOT, Project, run


@pytest.fixture
def project(iris: Project, tmp_path: Path) -> Project:
    """A copy of the default project to write into."""
    shutil.copytree(iris.path, tmp_path / "iris", ignore=shutil.ignore_patterns("__pycache__"))
    return Project(tmp_path / "iris", "iris")


def generate(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return project.python("scripts/generate.py", *arguments, check=False)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def edit(project: Project, old: str, new: str) -> None:
    path = project.path / "schema.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_fresh_project_has_nothing_to_generate(project: Project) -> None:
    before = content(project.path)
    assert generate(project, "--check").returncode == 0
    done = generate(project)
    assert (done.returncode, done.stdout) == (0, "all generated files match schema.yaml\n")
    assert content(project.path) == before


def test_output_says_nothing_of_date_version_or_machine(project: Project) -> None:
    for name, data in content(project.path).items():
        text = data.decode(errors="replace")
        assert str(project.path) not in text, name
        if name.startswith(("src/iris/contract", "src/iris/v1", "proto")):
            assert "Do not edit" in text, name
            assert "Protobuf Python Version" not in text, name


def test_output_does_not_depend_on_the_run(fraud: Project, tmp_path: Path) -> None:
    """Nothing follows from the order of a set, the clock or the folder."""
    made = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        shutil.copytree(fraud.path, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("proto", "src/acme", "src/fraud/contract", ".protoserve"):
            shutil.rmtree(folder / name)
        done = Project(folder, "fraud").python("scripts/generate.py", env={"PYTHONHASHSEED": seed})
        assert "wrote proto/acme/fraud/v1/prediction.proto" in done.stdout
        made.append(content(folder))
    assert made[0] == made[1] == content(fraud.path)


def test_check_prints_a_diff_and_writes_nothing(project: Project) -> None:
    edit(project, "maximum: 30", "maximum: 25")
    before = content(project.path)
    done = generate(project, "--check")
    assert done.returncode == 1
    assert "--- a/src/iris/contract/v1.py\n+++ b/src/iris/contract/v1.py\n" in done.stdout
    assert "+  // Unit: cm. From 0 to 25. " in done.stdout
    assert content(project.path) == before


def test_a_new_field_gets_a_number_and_the_comment_stays(project: Project) -> None:
    edit(
        project,
        "        - name: sepal_width\n",
        "        - name: mood  # how it feels\n          type: string\n        - name: sepal_width\n",
    )
    done = generate(project)
    assert done.returncode == 0, done.stderr
    assert "wrote schema.yaml" in done.stdout
    text = (project.path / "schema.yaml").read_text(encoding="utf-8")
    assert "        - name: mood  # how it feels\n          number: 5\n          type: string\n" in text
    assert "optional string mood = 5;" in (project.path / "proto/iris/v1/prediction.proto").read_text(encoding="utf-8")
    assert generate(project, "--check").returncode == 0


def test_a_wrong_schema_writes_nothing(project: Project) -> None:
    edit(project, "number: 2", "number: 1")
    before = content(project.path)
    done = generate(project)
    assert done.returncode == 1
    assert "schema.yaml:" in done.stderr
    assert "number" in done.stderr
    assert content(project.path) == before


def test_what_lies_in_the_way_of_generated_files_is_named(project: Project, tmp_path: Path) -> None:
    """A folder, a file for a folder, a pipe, a link out of the project, but not a link to a folder in it."""
    (project.path / "src/iris/v1").rename(project.path / "stubs")
    (project.path / "src/iris/v1").symlink_to("../../stubs")
    shutil.move(project.path / "src/iris/contract", tmp_path / "contract")
    (project.path / "src/iris/contract").symlink_to("../../../contract")
    shutil.rmtree(project.path / "tests/requests")
    (project.path / "tests/requests").write_text("mine", encoding="utf-8")
    for name, make in ((".protoserve/schema.json", Path.mkdir), ("proto/iris/v1/prediction.proto", os.mkfifo)):
        (project.path / name).unlink()
        make(project.path / name)
    edit(project, "maximum: 30", "maximum: 25")
    before = content(tmp_path)
    for check in (generated.generate, generated.check):
        with pytest.raises(BlockedPathError) as refusal:
            check(project.path)
        assert str(refusal.value).split("\nprotoserve: ") == [
            ".protoserve/schema.json is a folder, and the generator writes a file there: move it away",
            "proto/iris/v1/prediction.proto is a named pipe, and the generator writes a file there: move it away",
            "src/iris/contract is a link to ../../../contract, and the generator writes a folder there: put a folder "
            "in its place",
            "tests/requests is a file, and the generator writes a folder there: move it away",
        ]
    assert content(tmp_path) == before


@pytest.mark.parametrize("failing", ["create", "fdopen", "replace"])
def test_a_full_disk_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a temporary name")

    monkeypatch.setattr(OpenFolder if failing == "create" else os, failing, full)
    with pytest.raises(OSError, match="No space left") as error:
        write_all(tmp_path, {"a.txt": b"new", "b/c.txt": b"new"})
    monkeypatch.undo()
    assert error.value.filename == str(tmp_path / "a.txt")
    assert content(tmp_path) == {"a.txt": b"old"}
    assert not (tmp_path / "b").exists()


def test_hand_edits_of_generated_files_are_undone_and_others_kept(project: Project) -> None:
    proto = project.path / "proto/iris/v1/prediction.proto"
    original = proto.read_bytes()
    proto.write_bytes(original.replace(b"double", b"float"))
    (project.path / "tests/requests/mine.json").write_text("{}", encoding="utf-8")
    model = project.path / "src/iris/model.py"
    model.write_text("# mine\n", encoding="utf-8")
    assert generate(project).returncode == 0
    assert proto.read_bytes() == original
    assert model.read_text(encoding="utf-8") == "# mine\n"
    assert (project.path / "tests/requests/mine.json").exists()


def test_what_the_schema_no_longer_gives_is_removed(project: Project) -> None:
    edit(project, "package: iris.v1", "package: acme.flowers.v2")
    done = generate(project)
    assert done.returncode == 0, done.stderr
    assert "removed src/iris/v1/prediction_pb2.py" in done.stdout
    assert not (project.path / "src/iris/v1").exists()
    assert not (project.path / "proto/iris").exists()
    assert not (project.path / "src/iris/contract/v1.py").exists()
    assert (project.path / "src/acme/flowers/v2/prediction_pb2.py").is_file()
    assert not (project.path / "src/acme/__init__.py").exists()
    assert generate(project, "--check").returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="folders are not read-only on Windows")
@pytest.mark.parametrize("failing", ["src/iris/contract", "tests/requests"])
def test_writing_is_all_or_nothing(project: Project, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk says no at one file, wherever that one stands in the order."""
    from protoserve.emit import generated_files as codegen

    edit(project, "maximum: 30", "maximum: 25")
    edit(project, "example: 5.1", "example: 6.1")
    before = content(project.path)
    real = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        if failing in str(target):
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(OSError, match="No space"):
        codegen.apply(codegen.plan(project.path, "iris"))
    assert content(project.path) == before


@pytest.mark.parametrize(
    ("recorded", "same"),
    [
        ("v0.1.0", True),
        ("0.1.0", True),
        ("v0.1.0-3-g2043abc", True),
        ("v0.2.0-3-g2043abc", False),
        ("v0.2.0-3-g1234567", True),
        ("1234567", True),
        ("2043abc", False),
        ("v0.2.0", False),
        ("main", False),
    ],
)
def test_another_version_is_reported_and_the_same_is_not(
    recorded: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protoserve.project.template_source.commit", lambda: "1234567890abcdef")
    assert cli._is_same_version("0.1.0", recorded) is same


def test_the_command_line_uses_the_recorded_generator(project: Project) -> None:
    command = [sys.executable, "-m", "protoserve", "generate", str(project.path), "--check"]
    done = run(command, cwd=project.path.parent)
    assert "using the generator of the project's template" in done.stderr
    done = run([sys.executable, "-m", "protoserve", "generate"], cwd=project.path.parent, check=False)
    assert done.returncode == 1
    assert "is not a protoserve project" in done.stderr


def test_run_py_parses_and_an_update_ends_with_the_standard_library_alone() -> None:
    """Copier's interpreter may hold neither what the generator needs nor protoserve."""
    generator = ROOT / "generator"
    listed = run([sys.executable, "-S", "-E", str(generator / "run.py"), "--help"], cwd=generator).stdout
    assert [name for name in ("create", "generate", "after-update") if name not in listed] == []
    code = f"import sys; sys.path.insert(0, {str(generator)!r}); import protoserve.project.lost_edits"
    run([sys.executable, "-S", "-E", "-c", code], cwd=generator)
