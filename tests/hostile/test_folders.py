"""Commands in a folder with files that somebody made to stop them, to lead them elsewhere, or to take all memory."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.situations import PLACES, SITUATIONS, bounded, check_output, everything, make_outside, put
from protoserve import cli, generator_cli
from protoserve.emit import generated_files
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import write_all
from protoserve.platform.reading import MAX_BYTES, files_below, read_bytes
from protoserve.project.adopt import servicer
from releases import Work, commit, environment, git
from support import tool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links and named pipes")

_SECONDS = 30  # for a command that is refused in a fraction of one; the machine may be busy
# In this process, and without what starts another one.
COMMANDS: dict[str, Callable[[Path], int]] = {
    "diff": lambda project: cli.main(["diff", "--project", str(project)]),
    "renumber": lambda project: cli.main(["renumber", "--project", str(project)]),
    "check": lambda project: generator_cli.main(["generate", str(project), "--check"]),
    "generate": lambda project: generator_cli.main(["generate", str(project)]),
    "version": lambda project: generator_cli.main(["version", "v2", "--project", str(project)]),
    "drop": lambda project: generator_cli.main(["version", "--drop", "v1", "--project", str(project)]),
    "verify": lambda project: cli.main(["verify", str(project)]),
}
SITUATION_OF_EACH = [
    ("generate", "a named pipe", ".protoserve/last/schema.yaml"),
    ("generate", "a link to a pipe", "tests/requests/Predict.json"),
    ("generate", "a link to a folder outside", "src"),
    ("generate", "names that lead out", ".protoserve/generated.txt"),
    ("generate", "a file of 10 GB", ".protoserve/generated.txt"),
    ("check", "a link to a file outside", "tests/requests/Predict.json"),
    ("check", "aliases that grow", ".copier-answers.yml"),
    ("check", "a link to a device without end", "src/iris/contract/v1.py"),
    ("check", "deep folders", ".protoserve/last/schema.yaml"),
    ("diff", "deep flows", ".copier-answers.yml"),
    ("diff", "a named pipe", ".gitignore"),
    ("renumber", "a link to a file outside", "schema.yaml"),
    ("version", "a link to a folder outside", "schemas/v0.yaml"),
    ("verify", "a socket", "schema.yaml"),
]


@pytest.fixture(autouse=True)
def without_stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """protoc makes them in processes of its own, which take most of the time."""
    monkeypatch.setattr(generated_files, "_compiled", lambda *_: {})


def attack(command: str, situation: str, place: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a command with the situation at that place, and checks what must hold."""
    outside = make_outside(project.parent / "outside")
    put(situation, project / place, outside)
    before = everything(outside)
    with bounded(_SECONDS):
        code = COMMANDS[command](project)
    check_output(f"{command} with {situation} at {place}", code, *capsys.readouterr())
    assert everything(outside) == before
    assert not (project.parent / "kept.txt").exists()
    assert (project / ".git" / "HEAD").exists() or place.startswith(".git")


@pytest.mark.parametrize(("command", "situation", "place"), SITUATION_OF_EACH)
def test_a_command(command: str, situation: str, place: str, work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    attack(command, situation, place, work.path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_at_every_place(
    situation: str, sound: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each meets one command, in turn."""
    commands = list(COMMANDS)
    for number, place in enumerate(PLACES):
        project = tmp_path / str(number) / "iris"
        shutil.copytree(sound.path, project, symlinks=True)
        attack(commands[(number + len(situation)) % len(commands)], situation, place, project, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["status", "diff", "generate", "renumber", "update", "verify", "adopt"])
def test_a_hundred_hostile_files(command: str, work: Work, by_hand: Path, tmp_path: Path) -> None:
    """Real processes, with a limit of memory and of the size of files."""
    project = by_hand if command == "adopt" else work.path
    outside = make_outside(tmp_path / "outside")
    _fill(project, outside)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "hostile", "--allow-empty")
    arguments = {
        "diff": ["diff", "--project", str(project)],
        "renumber": ["renumber", "--project", str(project)],
        "generate": ["generate", str(project), "--check"],
        "update": ["update", str(project), "--dry-run"],
        "adopt": ["adopt", str(project), "--defaults", "--framework", "python"],
    }.get(command, [command, str(project)])
    before, started = everything(outside), time.monotonic()
    done = subprocess.run(
        [tool("protoserve"), *arguments],
        cwd=tmp_path,
        env=environment(work.home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=180,
        check=False,
        preexec_fn=_limit,
    )
    check_output(command, done.returncode, done.stdout, done.stderr)
    assert time.monotonic() - started < 150
    assert everything(outside) == before


_COMMITTED = [situation for situation in SITUATIONS if situation != "a file of 10 GB"]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 2**20, 256 * 2**20))


def _fill(project: Path, outside: Path) -> None:
    """A hundred files and more, at names that commands search: of every situation, and with odd names."""
    for number in range(6):
        for index, situation in enumerate(_COMMITTED):
            folder = ("data", "docs", "tests/own", "src/own", "scripts/own", "protos/own")[number]
            suffix = (".py", ".proto", ".yaml", ".md", ".json", ".rej")[(index + number) % 6]
            put(situation, project / folder / f"{number}-{index}{suffix}", outside)
    # git, which these tests call to commit, would read it.
    put("a file of 10 GB", project / "artifacts/model.skops", outside)
    with (project / ".git/info/exclude").open("a", encoding="utf-8") as file:
        file.write("artifacts/\n")
    names = [b"line\nbreak.py", b"\x1b[31mred.py", "\u202egnp.py".encode(), b"-rf.py", b"\xff\xfe.md", b"a" * 250]
    for name in names:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_text("print(1)\n", encoding="utf-8")


@pytest.mark.slow
def test_adopt_neither_waits_nor_writes_elsewhere(by_hand: Path, template: Path, tmp_path: Path) -> None:
    """What git has as links, and a pipe in place of a file that git is set not to look at."""
    outside = make_outside(tmp_path / "outside")
    for name, target in (("README.md", "/dev/zero"), ("src", str(outside)), (".github", str(outside / "pipe"))):
        put("a link to nothing", by_hand / name, outside)
        (by_hand / name).unlink()
        (by_hand / name).symlink_to(target)
    commit(by_hand, "links")
    git(by_hand, "update-index", "--skip-worktree", "requirements.txt")
    put("a named pipe", by_hand / "requirements.txt", outside)
    before = everything(outside)
    with bounded(60):
        assert cli.main(["adopt", str(by_hand), "--template", str(template), "--defaults"]) == 1
    assert everything(outside) == before


def test_names_of_others_are_shown_escaped(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\n\x1b[31m\u202eb"
    (work.path / "src/iris/contract/v1.py").unlink()
    (work.path / "src/iris/contract/v1.py").mkdir()
    (work.path / "src/iris").rename(work.path / "src/kept")
    (work.path / "src/iris").symlink_to(f"/{name}")
    assert generator_cli.main(["generate", str(work.path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"protoserve: src/iris is a link to /a\n\x1b[31m\u202eb, and the generator writes a folder")


@pytest.mark.slow
def test_python_that_would_fill_the_memory_is_not_parsed(tmp_path: Path) -> None:
    """A tree takes hundreds of times the memory of its text. What has a server is searched first."""
    (tmp_path / "many.py").write_text("a\n" * 1_900_000, encoding="utf-8")
    for number in range(10):
        (tmp_path / f"{number}.py").write_text("a\n" * 150_000, encoding="utf-8")
    (tmp_path / "server.py").write_text("import grpc\n", encoding="utf-8")
    with bounded(60, more_bytes=2 * 2**30):
        trees, unreadable = servicer.parse(tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert "server.py" in trees
    assert {"many.py", "9.py"} <= {*unreadable}


def test_a_file_is_read_if_it_is_one_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    outside = make_outside(tmp_path / "outside")
    (project / "folder").mkdir(parents=True)
    (project / "file").write_bytes(b"content")
    (project / "folder/link").symlink_to("../file")
    (project / "elsewhere").symlink_to(outside)
    (project / "large").write_bytes(b"x" * 11)
    assert read_bytes(project / "folder/link", project) == b"content"
    assert read_bytes(outside / "kept.txt") == b"kept\n"
    for path, reason in (
        ("elsewhere/kept.txt", "is a link that leads out of the project: put the file itself there"),
        ("folder", "is a folder, not a regular file: put the file itself there"),
        ("large", "is larger than 10 bytes: is it the right file?"),
    ):
        with pytest.raises(ProtoserveError, match=reason):
            read_bytes(project / path, project, most=10)
    with pytest.raises(FileNotFoundError):
        read_bytes(project / "nothing", project)
    put("a file of 10 GB", project / "file", outside)
    with pytest.raises(ProtoserveError, match=f"larger than {MAX_BYTES >> 20} MiB"):
        read_bytes(project / "file", project)


def test_folders_are_searched_to_a_depth(tmp_path: Path) -> None:
    make_outside(tmp_path / "outside")
    put("deep folders", tmp_path / "deep", tmp_path / "outside")
    with pytest.raises(ProtoserveError, match="more than 100 folders in folders"):
        files_below(tmp_path / "deep")
    (tmp_path / "few").mkdir()
    (tmp_path / "few/link").symlink_to(tmp_path / "outside")
    assert files_below(tmp_path / "few") == [tmp_path / "few/link"]


@pytest.mark.parametrize("name", ["../kept.txt", "/kept.txt", "a/../../kept.txt", ".git/config", "a/.GIT/config", ""])
def test_no_name_leads_out_of_the_project(name: str, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    for contents, removed in (({name: b"x"}, ()), ({}, [name])):
        with pytest.raises(ProtoserveError, match="is not the path of a file in the project"):
            write_all(tmp_path / "project", contents, removed)
    assert list((tmp_path / "project").iterdir()) == []


def test_a_link_that_appears_while_files_are_written_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody replaces a folder by a link after it was looked at."""
    project = tmp_path / "project"
    outside = make_outside(tmp_path / "outside")
    (project / "src").mkdir(parents=True)
    before = everything(outside)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        (project / "src").rename(project / "moved")
        (project / "src").symlink_to(outside)
        monkeypatch.setattr(os, "replace", real)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No such file"):
        write_all(project, {"src/kept.txt": b"theirs"})
    assert everything(outside) == before
