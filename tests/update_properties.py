"""What must be true of every update, whatever an author did and whatever the release of a template brings.

A `Bench` carries out a plan of `random_updates` and says which of these properties do not hold.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from subprocess import CompletedProcess

from commands import run_copy
from protoserve.project.lost_edits.renamed_files import later_names, parse_table
from protoserve.project.status.rows import conflicts
from random_updates import RENAMES, Plan, commit_all, publish, write_project
from releases import Work, environment, git
from small_template import NAMES, PORT

PROTOSERVE, COPIER, COPIER_REJECTING = "protoserve", "copier", "copier --conflict rej"
_OURS = ".copier-answers.yml"


@dataclass(frozen=True)
class Entry:
    """A file or a link, as git sees it."""

    mode: str
    content: bytes

    @property
    def lines(self) -> list[bytes]:
        """Those of a file; of a link, its target."""
        return [line for line in self.content.split(b"\n") if line]

    @property
    def is_link(self) -> bool:
        return self.mode == "120000"


Tree = dict[str, Entry]


def tree_on_disk(root: Path) -> Tree:
    tree = {}
    for folder, folders, files in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]:
            path = Path(folder, name)
            key = path.relative_to(root).as_posix()
            if path.is_symlink():
                tree[key] = Entry("120000", os.fsencode(path.readlink()))
            else:
                tree[key] = Entry("100755" if path.stat().st_mode & 0o100 else "100644", path.read_bytes())
    return tree


def tree_of_template(folder: Path, port: str) -> Tree:
    """The files that Copier makes of it, but for those with a name or a content that says something of the project."""
    tree = {}
    for name, entry in tree_on_disk(folder / "template").items():
        if name.endswith("generate.py.jinja") or "{{" in name:
            continue
        content = entry.content
        if name.endswith(".jinja"):  # Jinja's line ends
            content = re.sub(rb"\r\n?", b"\n", content.replace(b"{{ port }}", port.encode()))
        tree[name.removesuffix(".jinja")] = Entry(entry.mode, content)
    return tree


@dataclass(frozen=True)
class Situation:
    """Before an update: `committed` and `on_disk` are the author's, `base` and `theirs` the template's files."""

    work: Work
    base: Tree
    committed: Tree
    on_disk: Tree
    theirs: Tree
    renames: list[tuple[str, str]]
    git_state: str
    program: str

    def later(self, name: str) -> str:
        """The name that the template's file has after the update."""
        if name in self.theirs:
            return name
        return next((later for later in reversed([*later_names(name, self.renames)]) if later in self.theirs), name)

    @cached_property
    def pairs(self) -> list[tuple[str | None, str | None]]:
        """The name of each file of the template before and after the update, None where it has no such file."""
        origins = {self.later(name): name for name in self.base if self.later(name) != name}
        new = [(name if name in self.base else origins.get(name), name) for name in self.theirs]
        known = {old for old, _ in new}
        return [*new, *((old, None) for old in self.base if old not in known)]

    @cached_property
    def obstacles(self) -> set[str]:
        """The paths for whose sake an update may be refused."""
        found = {name for name, entry in self.on_disk.items() if self.committed.get(name, entry) != entry}
        found |= {name for name in self.committed if name not in self.on_disk}
        untracked = self.on_disk.keys() - self.committed.keys()
        found |= untracked & self.theirs.keys()
        for mine in self.on_disk:
            found |= {mine for theirs in self.theirs if _is_inside(mine, theirs) or _is_inside(theirs, mine)}
        if self.program != PROTOSERVE:  # Copier removes untracked files, and cannot take skipped ones back from git
            found |= untracked & self.base.keys()
            found |= {line[2:] for line in git(self.work.path, "ls-files", "-v").splitlines() if line[0] in "Ss"}
        return found | {name for name, entry in self.on_disk.items() if entry.is_link and name in self.base}


def _is_inside(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def git_state(project: Path) -> str:
    """HEAD, and git's index with its flags."""
    return git(project, "rev-parse", "HEAD") + git(project, "ls-files", "-s", "-v") + git(project, "status", "-s")


def committed_tree(project: Path) -> Tree:
    listed = [line.partition("\t") for line in git(project, "ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]]
    entries = _entries(project, [(mode, blob) for mode, _, blob in (attributes.split() for attributes, _, _ in listed)])
    return {name: entry for (_, _, name), entry in zip(listed, entries, strict=True)}


def _entries(project: Path, blobs: list[tuple[str, str]]) -> Iterator[Entry]:
    """The entries with these modes and blobs."""
    names = "".join(f"{blob}\n" for _, blob in blobs).encode()
    command = ["git", "cat-file", "--batch"]
    rest = subprocess.run(command, cwd=project, input=names, capture_output=True, check=True).stdout
    for mode, _ in blobs:
        header, _, rest = rest.partition(b"\n")
        size = int(header.split()[2])  # fails if git has no such blob
        yield Entry(mode, rest[:size])
        rest = rest[size + 1 :]


@dataclass(frozen=True)
class Result:
    """After an update: what lies there, and what it printed."""

    situation: Situation
    done: CompletedProcess[str]
    on_disk: Tree
    unmerged: dict[str, dict[str, Entry]]
    left: list[str]

    @property
    def printed(self) -> str:
        return self.done.stdout + self.done.stderr

    def asks_for(self, names: Iterable[str]) -> bool:
        """Whether a note asks the author to look at one of these files."""
        try:
            notes: list[str] = json.loads(self.done.stdout)["notes"]
        except ValueError:  # bare Copier prints what its migrations print
            notes = [line.removeprefix("protoserve: ") for line in self.printed.splitlines()]
        starts = tuple(f"{name}{mark}" for name in names for mark in (":", " "))
        return any(note.startswith(starts) and "your edits are in it" not in note for note in notes)

    def in_conflict(self, *names: str | None) -> bool:
        return any(name in self.unmerged or f"{name}.rej" in self.on_disk for name in names)

    def lines(self, *names: str) -> set[bytes]:
        """All lines that these files have, in a conflict or not."""
        entries = [self.on_disk[name] for name in names if name in self.on_disk]
        entries += [entry for name in names for entry in self.unmerged.get(name, {}).values()]
        rejected = [self.on_disk[f"{name}.rej"] for name in names if f"{name}.rej" in self.on_disk]
        added = {line[1:] for entry in rejected for line in entry.lines if line.startswith(b"+")}
        return {line for entry in entries for line in entry.lines} | added

    @property
    def conflicts(self) -> set[str]:
        """The files that wait for the author."""
        return {*self.unmerged, *(name for name in self.on_disk if name.endswith(".rej"))}


def unmerged_entries(project: Path) -> dict[str, dict[str, Entry]]:
    listed = [line.partition("\t") for line in git(project, "ls-files", "--unmerged", "-z").split("\0")[:-1]]
    parts = [attributes.split() for attributes, _, _ in listed]
    found: dict[str, dict[str, Entry]] = {}
    entries = _entries(project, [(mode, blob) for mode, blob, _ in parts]) if parts else ()
    for (_, _, name), (_, _, stage), entry in zip(listed, parts, entries, strict=True):
        found.setdefault(name, {})[stage] = entry
    return found


# --- the properties; each yields a line for what is wrong


def after_refusal(result: Result) -> Iterator[str]:
    before = result.situation
    if result.on_disk != before.on_disk:
        yield f"refused, but changed {_differing(before.on_disk, result.on_disk)}"
    if git_state(before.work.path) != before.git_state:
        yield "refused, but git's index changed"
    if not before.obstacles and not git(before.work.path, "status", "-s"):
        yield "refused without a reason"
    dirty = "repository is dirty" in result.printed  # Copier's words
    named = {str(path) for name in before.obstacles for path in (PurePosixPath(name), *PurePosixPath(name).parents)} - {
        "."
    }
    if before.obstacles and not dirty and not any(name in result.printed for name in named):
        yield f"the message names none of {sorted(before.obstacles)}: {result.printed}"


def lost_lines(result: Result) -> Iterator[str]:
    """Lines of the author's that are nowhere."""
    before = result.situation
    for tree in (before.committed, before.on_disk):
        for name, entry in tree.items():
            if name in _generated(before) or name == _OURS:
                continue
            own = set(entry.lines) - set(before.base[name].lines if name in before.base else ())
            lost = own - result.lines(name, before.later(name))
            if lost:
                yield f"{name}: lines of the author are lost: {sorted(lost)}"


def changed_own_files(result: Result) -> Iterator[str]:
    before = result.situation
    known = {name for pair in before.pairs for name in pair}
    for name, entry in before.on_disk.items():
        if name in known or name in _generated(before) or name == _OURS:
            continue
        if result.on_disk.get(name) != entry:
            yield f"{name}: a file of the author's has changed"
    new = result.on_disk.keys() - before.on_disk.keys() - known - _generated(before)
    for name in new - {f"{name}.rej" for name in known}:
        yield f"{name}: nobody has such a file"


def wrong_merges(result: Result) -> Iterator[str]:
    before = result.situation
    for old, new in before.pairs:
        name = new or old
        assert name is not None
        mine = before.committed.get(old) if old in before.committed else None
        occupied = old != new and new is not None and new in before.committed
        if old is None and new is not None:
            mine, occupied = before.committed.get(new), False
        crossed = any(_is_inside(name, other) or _is_inside(other, name) for other in before.on_disk)
        hidden = any(before.on_disk.get(part) != before.committed.get(part) for part in (old, new) if part)
        if occupied or crossed or hidden:
            continue  # that its lines are there is all that matters
        merge = Merge(old, new, before.base.get(old or ""), mine, before.theirs.get(new or ""))
        yield from (f"{name}: {line}" for line in merge.wrong(result))


@dataclass(frozen=True)
class Merge:
    """A file of the template: its names, and what each side has."""

    old: str | None
    new: str | None
    base: Entry | None
    mine: Entry | None
    theirs: Entry | None

    def wrong(self, result: Result) -> Iterator[str]:
        there = result.on_disk.get(self.new or self.old or "")
        conflict = result.in_conflict(self.old, self.new)
        expected = self._expected()
        if expected is not None:
            if there != (expected[0] if expected else None):
                yield f"is {_shown(there)}, not {_shown(expected[0] if expected else None)}"
            if conflict:
                yield "is a conflict without reason"
            return
        names = [name for name in (self.old, self.new) if name is not None]
        if self.theirs is None or self.mine is None:
            if not conflict and not result.asks_for(names):
                yield "one side removed what the other changed, and nobody says so"
            return
        if conflict:
            lost = set(self.theirs.lines) - set(self.base.lines if self.base else ()) - result.lines(*names)
            if lost:
                yield f"is a conflict without the template's {sorted(lost)}"
        elif there is None:
            yield "is gone"
        elif not result.asks_for(names):
            yield from self._wrong_lines(there)
        if there is not None and not there.is_link and not self.mine.is_link and there.mode != self._mode():
            yield f"has the mode {there.mode}, not {self._mode()}"

    def _expected(self) -> tuple[Entry, ...] | None:
        """The one right result, () for none; None if it takes a merge."""
        if self.mine == self.base:
            return (self.theirs,) if self.theirs else ()
        if self.mine is not None and self.mine.is_link and self.old != self.new:
            return None  # where a link leads depends on its place
        if self.theirs == self.base or self.mine == self.theirs:
            return (self.mine,) if self.mine else ()
        if self.mine is None:
            return ()
        if self.base is None or self.mine.is_link:
            return None
        if self.theirs is None:  # but for its mode it may be the template's
            return () if self.mine.content == self.base.content else None
        if self.theirs.content in (self.base.content, self.mine.content):
            return (Entry(self._mode(), self.mine.content),)
        return (Entry(self._mode(), self.theirs.content),) if self.mine.content == self.base.content else None

    def _mode(self) -> str:
        assert self.mine is not None
        assert self.theirs is not None
        if self.base is None or self.mine.is_link:
            return self.mine.mode
        return self.mine.mode if self.mine.mode != self.base.mode else self.theirs.mode

    def _wrong_lines(self, there: Entry) -> Iterator[str]:
        assert self.mine is not None
        assert self.theirs is not None
        base, mine, theirs = (set(side.lines if side else ()) for side in (self.base, self.mine, self.theirs))
        expected = (mine & theirs) | (mine - base) | (theirs - base)
        if set(there.lines) != expected:
            missing, surplus = expected - set(there.lines), set(there.lines) - expected
            yield f"lacks {sorted(missing)} and has {sorted(surplus)} in vain, without a conflict"
        for side in (self.mine, self.theirs):
            kept = [line for line in side.lines if line in set(there.lines)]
            if kept != [line for line in there.lines if line in set(side.lines)]:
                yield "has its lines in another order"


def wrong_reports(result: Result) -> Iterator[str]:
    """Of `protoserve update` itself."""
    outcome = json.loads(result.done.stdout)
    if set(outcome["conflicts"]) != set(result.unmerged):
        yield f"reports conflicts in {outcome['conflicts']}, git in {sorted(result.unmerged)}"
    if (result.done.returncode == 3) != bool(result.unmerged):
        yield f"exit code {result.done.returncode}, git has {len(result.unmerged)} conflicts"
    listed, changed = {file["path"] for file in outcome["files"]}, _differing(result.situation.on_disk, result.on_disk)
    if not {*changed} - {_OURS} <= listed <= {*changed, *result.unmerged}:
        yield f"lists {sorted(listed)}, but {changed} changed"


def wrong_index(result: Result) -> Iterator[str]:
    project = result.situation.work.path
    for name, entry in result.on_disk.items():
        marked = b"<<<<<<< before updating" in entry.content
        if marked and name not in result.unmerged:
            yield f"{name}: has markers, but git knows no conflict"
    if git(project, "fsck", "--no-dangling", "--no-progress").strip():
        yield "git fsck complains"
    staged = set(git(project, "diff", "--cached", "--name-only", "--relative", "-z").split("\0")) - {""}
    if staged - result.unmerged.keys():
        yield f"staged {sorted(staged - result.unmerged.keys())}"


def anything(result: Result) -> Iterator[str]:
    if "Traceback" in result.printed:
        yield "a traceback"
    if result.left:
        yield f"left in the temporary folder: {result.left}"


def _generated(situation: Situation) -> set[str]:
    names = situation.on_disk[".protoserve/generated.txt"].content.decode().split("\n")
    return {*names, ".protoserve/generated.txt", "schema.yaml"}


def _shown(entry: Entry | None) -> str:
    return "nothing" if entry is None else f"{entry.mode} {entry.content!r}"


def _differing(one: Tree, other: Tree) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


# --- running them


@dataclass(frozen=True)
class Bench:
    """Where plans are carried out."""

    template: Path
    first: Work
    folder: Path

    def faults(self, plan: Plan, program: str = PROTOSERVE) -> list[str]:
        """What the update of this plan does wrong, a line each."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            tag = f"v2.{len(git(self.template, 'tag').split())}.0"
            publish(self.template, plan, tag)
            work = write_project(self.first, plan, Path(folder, "project"))
            situation = self._situation(plan, work, program)
            return list(self._wrong(situation, plan, tag, program, Path(folder, "tmp")))

    def _situation(self, plan: Plan, work: Work, program: str) -> Situation:
        renames = parse_table((self.template / RENAMES).read_text(encoding="utf-8"), "iris")
        theirs = tree_of_template(self.template, plan.port or "9000")
        base = {name: entry for name, entry in tree_on_disk(self.first.path).items() if name in (*NAMES, PORT)}
        state = git_state(work.path)
        committed, on_disk = committed_tree(work.path), tree_on_disk(work.path)
        return Situation(work, base, committed, on_disk, theirs, renames, state, program)

    def _wrong(self, before: Situation, plan: Plan, tag: str, program: str, temporary: Path) -> Iterator[str]:
        temporary.mkdir()
        result = self._update(before, plan, tag, program, temporary)
        yield from anything(result)
        if result.done.returncode not in (0, 3):
            yield from after_refusal(result)
            return
        for check in (lost_lines, changed_own_files, wrong_merges, wrong_index):
            yield from check(result)
        if program == PROTOSERVE:
            yield from wrong_reports(result)
        yield from self._wrong_status(result)
        if not result.conflicts:
            yield from self._wrong_second_update(result, plan, tag)

    def _update(self, before: Situation, plan: Plan, tag: str, program: str, temporary: Path) -> Result:
        answers = [f"port={plan.port}"] if plan.port else []
        if program == PROTOSERVE:
            arguments = [f"--to={tag}", "--format=json", *(f"--set={answer}" for answer in answers)]
        else:
            data = (f"--data={answer}" for answer in answers)
            arguments = ["--trust", "--defaults", "--quiet", f"--vcs-ref={tag}", *data]
        if program == COPIER_REJECTING:
            arguments.append("--conflict=rej")
        project = before.work.path
        done = self._run(program.split()[0], "update", *arguments, work=before.work, temporary=temporary)
        left = [path.name for path in temporary.iterdir()]
        return Result(before, done, tree_on_disk(project), unmerged_entries(project), left)

    def _run(self, program: str, *arguments: str, work: Work, temporary: Path | None = None) -> CompletedProcess[str]:
        variables = {"TMPDIR": str(temporary)} if temporary else {}
        env = {**environment(work.home), **variables}
        return run_copy(program, *arguments, cwd=work.path, env=env, check=False, copies_generator=True)

    def _wrong_status(self, result: Result) -> Iterator[str]:
        row = conflicts(result.situation.work.path)
        if (row.state == "todo") != bool(result.conflicts):
            yield f"status says of conflicts: {row.text}"

    def _wrong_second_update(self, result: Result, plan: Plan, tag: str) -> Iterator[str]:
        work = result.situation.work
        commit_all(work.path)
        if git(work.path, "status", "-s"):
            return
        again = self._run("protoserve", "update", f"--to={tag}", work=work)
        if again.returncode != 0 or "nothing to do" not in again.stdout:
            yield f"the second update: {again.returncode} {again.stdout}{again.stderr}"
        if tree_on_disk(work.path) != result.on_disk:
            yield "the second update changes something"
