"""Random work of an author in a project of the small template, and a random next release of that template.

A plan is a list of steps, each of which changes one path on one side. It can be printed, and made shorter.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from releases import Work, git, release
from small_template import FIRST, NAMES, PORT

RENAMES = Path("generator") / "renames.txt"
# New files, of the template or of the author, and those that lie where the other side has a folder or a file.
NEW = ("extra/one.txt", "extra/two.txt", "docs/added.md", "docs/added too.md")
IN_THE_WAY = ("docs/deep", "notes/inside.txt", "README.md/inside.txt", "extra")
_NEW_NAMES = ("extra/one.txt", "extra/two.txt", "docs/moved.md", "moved.txt")


class Change(Protocol):
    """Changes `name` below `root`; `word` is in no line yet."""

    def __call__(self, root: Path, name: str, word: str, draw: random.Random) -> None: ...


@dataclass(frozen=True)
class Step:
    """`kind` is a key of one of the tables below, and `seed` makes the choices in it."""

    kind: str
    name: str
    seed: int

    def __str__(self) -> str:
        return f'Step("{self.kind}", "{self.name}", {self.seed})'  # as a test can have it


@dataclass(frozen=True)
class Plan:
    """What the author commits, what the template's release changes, and what the author does not commit."""

    committed: tuple[Step, ...]
    released: tuple[Step, ...]
    uncommitted: tuple[Step, ...] = ()
    folder: str = "."  # of the project in its repository
    port: str | None = None  # the answer to change
    seed: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: in {self.folder}, port {self.port}"]
        for side in ("committed", "released", "uncommitted"):
            lines += [f"  {side:<12} {step}" for step in getattr(self, side)]
        return "\n".join(lines)


def shorter(plan: Plan) -> Iterable[Plan]:
    """The plans with one step less, or one complication less."""
    for side in ("committed", "released", "uncommitted"):
        steps = getattr(plan, side)
        for index in range(len(steps)):
            yield replace(plan, **{side: steps[:index] + steps[index + 1 :]})
    if plan.folder != ".":
        yield replace(plan, folder=".")
    if plan.port is not None:
        yield replace(plan, port=None)


# --- the content of a file, by both sides


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _lines(path: Path) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", path.read_bytes()) if _is_regular(path) else []


def _write(path: Path, lines: list[bytes]) -> None:
    if _is_regular(path):  # what another step made of it stays that
        path.write_bytes(b"".join(lines))


def _place(path: Path, draw: random.Random) -> int:
    return draw.randrange(max(1, len(_lines(path))))


def insert(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], f"{word} inserted\n".encode(), *lines[place:]])


def replace_line(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], f"{word} replaced\n".encode(), *lines[place + 1 :]])


def replace_half(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    new = [f"{word} replaced {number}\n".encode() for number in range(6)]
    _write(root / name, [*lines[:place], *new, *lines[place + 6 :]])


def delete_line(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], *lines[place + 1 :]])


def append_without_end(root: Path, name: str, word: str, draw: random.Random) -> None:
    _write(root / name, [*_lines(root / name), f"{word} appended".encode()])


def end_lines_as_dos(root: Path, name: str, word: str, draw: random.Random) -> None:
    _write(root / name, [line.rstrip(b"\r\n") + b"\r\n" for line in _lines(root / name)])


def write_latin1(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], f"{word} naïve\n".encode("latin-1"), *lines[place:]])


def write_odd_line(root: Path, name: str, word: str, draw: random.Random) -> None:
    """Spaces at its end, or what some programs take for the end of a line, a patch or a conflict."""
    odd = draw.choice(["{}  \t", "{}\f", "{}\rodd", "{}\u2028odd", "--- {}", "======= {}"])
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], f"{odd.format(word)}\n".encode(), *lines[place:]])


def write_null(root: Path, name: str, word: str, draw: random.Random) -> None:
    lines, place = _lines(root / name), _place(root / name, draw)
    _write(root / name, [*lines[:place], f"{word} \0 null\n".encode(), *lines[place:]])


def empty(root: Path, name: str, word: str, draw: random.Random) -> None:
    _write(root / name, [])


def toggle_executable(root: Path, name: str, word: str, draw: random.Random) -> None:
    path = root / name
    if _is_regular(path):
        path.chmod(path.stat().st_mode ^ 0o111)


# --- files and folders, by both sides


def remove(root: Path, name: str, word: str, draw: random.Random) -> None:
    if (root / name).is_file() or (root / name).is_symlink():
        (root / name).unlink()


def make_folder(root: Path, name: str, word: str, draw: random.Random) -> None:
    """A folder with a file takes the place of a file."""
    remove(root, name, word, draw)
    add(root, f"{name}/inside.txt", word, draw)


def add(root: Path, name: str, word: str, draw: random.Random) -> None:
    """Writes a new file where nothing is."""
    path = root / name
    if not _is_free(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(f"{word} new {number}\n".encode() for number in range(5)))


def move(root: Path, name: str, word: str, draw: random.Random) -> None:
    _move(root, name, draw.choice(_NEW_NAMES))


def _move(root: Path, name: str, new: str) -> bool:
    """Whether it was possible."""
    if not (root / name).is_file() or not _is_free(root / new):
        return False
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / name).rename(root / new)
    return True


def _is_free(path: Path) -> bool:
    above = any(parent.is_file() or parent.is_symlink() for parent in path.parents)
    return not above and not path.exists() and not path.is_symlink()


CONTENT: dict[str, Change] = {
    "insert": insert,
    "replace": replace_line,
    "replace half": replace_half,
    "delete a line": delete_line,
    "append without end": append_without_end,
    "DOS line ends": end_lines_as_dos,
    "Latin-1": write_latin1,
    "odd line": write_odd_line,
    "NUL": write_null,
    "empty": empty,
    "mode": toggle_executable,
}
FILES: dict[str, Change] = {"remove": remove, "folder": make_folder, "add": add, "move": move}

# --- the author alone


def link(root: Path, name: str, word: str, draw: random.Random) -> None:
    target = draw.choice([f"{word} nowhere", "schema.yaml", "docs"])
    remove(root, name, word, draw)
    if not (root / name).exists() and (root / name).parent.is_dir():
        (root / name).symlink_to(target)


def _ignore(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"/{name}\n")


def ignore(root: Path, name: str, word: str, draw: random.Random) -> None:
    _ignore(root / ".gitignore", name)


def exclude(root: Path, name: str, word: str, draw: random.Random) -> None:
    """As `ignore`, in the repository's own list."""
    folder = Path(git(root, "rev-parse", "--show-toplevel").strip())
    path = (root / name).relative_to(folder).as_posix()
    _ignore(folder / ".git" / "info" / "exclude", path)


def untrack(root: Path, name: str, word: str, draw: random.Random) -> None:
    """The file is ignored, and git has it no longer."""
    ignore(root, name, word, draw)
    insert(root, name, word, draw)
    git(root, "rm", "--quiet", "--cached", "--ignore-unmatch", "--force", "--", name)


AUTHOR: dict[str, Change] = {
    **CONTENT,
    **FILES,
    "link": link,
    "ignore": ignore,
    "exclude": exclude,
    "untrack": untrack,
}


def _edit_hidden(flag: str) -> Change:
    def change(root: Path, name: str, word: str, draw: random.Random) -> None:
        if (root / name).is_file() and git(root, "ls-files", "--", name):
            git(root, "update-index", flag, "--", name)
            insert(root, name, word, draw)

    return change


def edit_uncommitted(root: Path, name: str, word: str, draw: random.Random) -> None:
    insert(root, name, word, draw)


def edit_staged(root: Path, name: str, word: str, draw: random.Random) -> None:
    insert(root, name, word, draw)
    if git(root, "ls-files", "--", name):
        git(root, "add", "--", name)


def add_ignored(root: Path, name: str, word: str, draw: random.Random) -> None:
    """A new file, where the repository's own list ignores it."""
    exclude(root, name, word, draw)
    add(root, name, word, draw)


def _hide(root: Path, name: str, word: str, draw: random.Random) -> None:
    if git(root, "ls-files", "--", name):
        git(root, "update-index", "--skip-worktree", "--", name)


UNCOMMITTED: dict[str, Change] = {
    "skip-worktree, edited": _edit_hidden("--skip-worktree"),
    "assume-unchanged, edited": _edit_hidden("--assume-unchanged"),
    "skip-worktree": _hide,
    "edited": edit_uncommitted,
    "staged": edit_staged,
    "new and ignored": add_ignored,
}

# --- the template alone: `root` is its folder `template`


def _record_rename(root: Path, old: str, new: str) -> None:
    with (root.parent / RENAMES).open("a", encoding="utf-8") as file:
        file.write(f"{old} -> {new}\n")


def rename(root: Path, name: str, word: str, draw: random.Random) -> None:
    """As `move`, with a row in the table of renames."""
    new = draw.choice(_NEW_NAMES)
    if not (root / name).exists():  # what got a name from another step gets one more
        name = next((other for other in _NEW_NAMES if (root / other).is_file()), name)
    if _move(root, name, new):
        _record_rename(root, name, new)


def rename_folder(root: Path, name: str, word: str, draw: random.Random) -> None:
    old = PurePosixPath(name).parent.as_posix()
    if old not in (".", "scripts") and (root / old).is_dir() and not (root / "renamed").exists():
        (root / old).rename(root / "renamed")
        _record_rename(root, f"{old}/", "renamed/")


def replace_folder(root: Path, name: str, word: str, draw: random.Random) -> None:
    """A file takes the place of a folder."""
    folder = PurePosixPath(name).parent.as_posix()
    if folder not in (".", "scripts") and (root / folder).is_dir():
        shutil.rmtree(root / folder)
        add(root, folder, word, draw)


TEMPLATE: dict[str, Change] = {
    **CONTENT,
    **FILES,
    "rename": rename,
    "rename folder": rename_folder,
    "file for folder": replace_folder,
}

# How often each kind is drawn; content is what people change most.
_COMMON = {"insert": 6, "replace": 6, "replace half": 3, "delete a line": 4, "mode": 3, "remove": 3, "add": 3}


def random_plan(seed: int) -> Plan:
    """One in three has no conflicts, one in five has folders and files in each other's way, or hidden edits."""
    draw = random.Random(seed)
    names = [*NAMES, PORT]
    draw.shuffle(names)
    middle = len(names) // 2
    mine, theirs = (names[:middle], names[middle:]) if draw.random() < 0.33 else (names[:-4], names[4:])
    crossing, hidden = draw.random() < 0.2, draw.random() < 0.2
    return Plan(
        tuple(_steps(draw, AUTHOR, mine, draw.randint(10, 25), crossing=crossing)),
        tuple(_steps(draw, TEMPLATE, theirs, draw.randint(10, 25), crossing=crossing)),
        tuple(_steps(draw, UNCOMMITTED, names, draw.randint(1, 2), crossing=crossing)) if hidden else (),
        draw.choice((".", ".", ".", "services/iris")),
        draw.choice((None, None, "9100")),
        seed,
    )


def _steps(
    draw: random.Random, table: dict[str, Change], names: list[str], count: int, *, crossing: bool
) -> Iterator[Step]:
    kinds = [kind for kind in table if crossing or kind not in ("folder", "file for folder")]
    new = [*NEW, *IN_THE_WAY] if crossing else [*NEW]
    for kind in draw.choices(kinds, [_COMMON.get(kind, 2) for kind in kinds], k=count):
        yield Step(kind, draw.choice(new if kind in ("add", "new and ignored") else names), draw.randrange(10**6))


def take(steps: Iterable[Step], table: dict[str, Change], root: Path, who: str) -> None:
    for number, step in enumerate(steps):
        name = step.name
        if who == "theirs" and name == PORT:
            if step.kind not in CONTENT or step.kind == "Latin-1":
                continue  # Copier renders this file
            name = f"{PORT}.jinja"
        table[step.kind](root, name, f"{who} {number} {step.name}", random.Random(step.seed))


def publish(template: Path, plan: Plan, tag: str) -> None:
    """Adds the plan's release to the template, beside those of other plans."""
    git(template, "checkout", "--quiet", "--detach", FIRST)
    take(plan.released, TEMPLATE, template / "template", "theirs")
    (template / "NUMBER").write_text(tag, encoding="utf-8")  # so that there is something to commit
    release(template, tag)


def commit_all(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "work")


def write_project(first: Work, plan: Plan, repository: Path) -> Work:
    """A copy of the project, in which the author has worked."""
    work = Work((repository / plan.folder).resolve(), first.home)
    if plan.folder == ".":
        shutil.copytree(first.path, repository, symlinks=True)
    else:
        shutil.copytree(first.path, work.path, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        git(repository, "init", "--quiet", "--initial-branch=main")
        commit_all(work.path)
    take(plan.committed, AUTHOR, work.path, "mine")
    commit_all(work.path)
    take(plan.uncommitted, UNCOMMITTED, work.path, "hidden")
    return work
