"""The branch of an update: its name, its commit with the trailers that say what it was made from, and its reference.

A commit counts as ours if its trailers agree with the commit itself: they name its parent and its tree. So a branch
that somebody has added commits to, rebased or amended is theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, GitError, git

PREFIX = "protoserve/"
_TRAILER = re.compile(r"Protoserve-(\w+): (.+)")
_UNSAFE = re.compile(r"[^\w.+-]+|\.{2,}")
_LONGEST_NAME = 100
_DIGITS = 8  # of a hash in a name
_MAX_BYTES = 2**20  # of a commit that is read
_ZERO = re.compile("0+")
_NO_REFERENCE = ""


class IdentityError(ProtoserveError):
    """Git does not know who commits."""


@dataclass(frozen=True, slots=True)
class Made:
    """What an update's commit is made from: the hash of the template's commit with its name, that of the project's
    commit, the project's folder, and the answers of `--set`; whether `--check` has passed; the files with conflicts;
    the branch that the update is for, "" for the repository's default branch."""

    version: str
    template: str
    base: str
    folder: str
    answers: Mapping[str, str]
    checked: bool = False
    conflicts: tuple[str, ...] = ()
    onto: str = ""

    @property
    def branch(self) -> str:
        """The branch: `protoserve/VERSION`, with the folder, `onto`, and a hash of the answers, where given."""
        parts = [_word(self.version)]
        if self.folder:
            parts.append(_path_word(self.folder))
        name = "-".join(parts)
        if self.onto:
            name += f".onto-{_path_word(self.onto)}"
        if self.answers:
            name += f".set-{_digest(json.dumps(self.answers, sort_keys=True))}"
        return PREFIX + name

    def is_same_update(self, other: Made) -> bool:
        """Whether both are the same update of the same commit, whatever came of it."""
        return self._of_any_result() == other._of_any_result()

    def is_same_change(self, other: Made) -> bool:
        """Whether both change the same project's answers, or only its version, wherever they start and lead to."""
        return (self.folder, self.answers, self.onto) == (other.folder, other.answers, other.onto)

    def _of_any_result(self) -> Made:
        return replace(self, version="", checked=False, conflicts=())


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a branch; `made` is None if it is somebody else's."""

    hash: str
    title: str
    summary: str
    made: Made | None


@dataclass(frozen=True, slots=True)
class BareRepository:
    """A mirror, in which git runs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variable that names it: git looks for no bare repository itself."""
        return {"GIT_DIR": str(self.folder)}

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        place: Path = NOWHERE,
        exit_codes: Collection[int] = (0,),
        seconds: float = 120.0,
    ) -> bytes:
        """What a git command prints, which runs in the folder `place`. Raises GitError."""
        variables = {**self.environment, **(env or {})}
        return git(place, *arguments, stdin=stdin, env=variables, exit_codes=exit_codes, seconds=seconds)

    def line(self, *arguments: str, stdin: bytes = b"") -> str:
        """The one line that a git command prints. Raises GitError."""
        return os.fsdecode(self.git(*arguments, stdin=stdin).rstrip(b"\n"))

    def reference(self, name: str) -> str | None:
        """The hash that a reference has, None if there is none."""
        output = self.git("for-each-ref", "--format=%(objectname) %(refname)", name).decode(errors="replace")
        values = {found: value for value, _, found in (line.partition(" ") for line in output.splitlines())}
        return values.get(name)

    def set_reference(self, name: str, commit: str, before: str | None) -> None:
        """Lets a reference name a commit, unless it has changed from `before`. Raises GitError."""
        self.git("update-ref", "--no-deref", name, commit, before or _NO_REFERENCE)

    def commit(self, value: str) -> Commit:
        """A commit, and whether it is ours. Raises GitError."""
        content = self.git("cat-file", "commit", value)[:_MAX_BYTES].decode(errors="replace")
        head, _, message = content.partition("\n\n")
        headers = [line.partition(" ")[::2] for line in head.splitlines()]
        title, _, rest = message.partition("\n\n")
        summary, _, last = rest.rstrip("\n").rpartition("\n\n")
        trailers = [match.groups() for line in last.splitlines() if (match := _TRAILER.fullmatch(line))]
        parents = [text for name, text in headers if name == "parent"]
        made = _read(trailers)
        tree = next((text for name, text in headers if name == "tree"), "")
        if made is None or parents != [made.base] or ("Tree", tree) not in trailers:
            return Commit(value, title, "", None)
        return Commit(value, title, summary, made)

    def write_commit(self, made: Made, tree: str, title: str, summary: str) -> Commit:
        """Writes a commit of the user's; no reference names it yet. Raises GitError."""
        message = f"{title}\n\n{summary.strip()}\n\n{_trailers(made, tree)}\n"
        options = ("-c", "i18n.commitEncoding=utf-8", "commit-tree", tree, "-p", made.base, "-F", "-")
        value = self.line(*options, stdin=message.encode("utf-8", "backslashreplace"))
        return Commit(value, title, summary.strip(), made)

    def tree_with(self, commit: str, folder: str, tree: str) -> str:
        """The tree of a commit with another tree in place of one of its folders, "" for the root. Raises GitError."""
        parts = PurePosixPath(folder).parts
        for depth in range(len(parts), 0, -1):
            above = "/".join(parts[: depth - 1])
            entries = self.git("ls-tree", "-z", f"{commit}:{above}").split(b"\0")[:-1]
            name = os.fsencode(parts[depth - 1])
            others = [entry for entry in entries if entry.partition(b"\t")[2] != name]
            listed = b"".join(entry + b"\0" for entry in [*others, b"040000 tree %b\t%b" % (tree.encode(), name)])
            tree = self.line("mktree", "-z", "--missing", stdin=listed)
        return tree


def require_identity() -> None:
    """Raises IdentityError if git cannot say who commits."""
    try:
        git(NOWHERE, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
        git(NOWHERE, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
    except GitError:
        raise IdentityError(
            "git does not know who commits the updates: `git config --global user.name NAME` and `git config --global "
            "user.email ADDRESS`"
        ) from None


def _trailers(made: Made, tree: str) -> str:
    lines = [
        f"Protoserve-Version: {made.version}",
        f"Protoserve-Template: {made.template}",
        f"Protoserve-Base: {made.base}",
        f"Protoserve-Folder: {json.dumps(made.folder)}",
        f"Protoserve-Set: {json.dumps(made.answers, sort_keys=True)}",
        *([f"Protoserve-Onto: {json.dumps(made.onto)}"] if made.onto else []),
        *(f"Protoserve-Conflict: {json.dumps(name)}" for name in made.conflicts),
        *(["Protoserve-Checked: yes"] if made.checked else []),
        f"Protoserve-Tree: {tree}",
    ]
    return "\n".join(lines)


def _read(trailers: list[tuple[str, ...]]) -> Made | None:
    """What trailers say; None if they are not those of an update."""
    one = {name: value for name, value in trailers if name != "Conflict"}
    try:
        return Made(
            one["Version"],
            one["Template"],
            one["Base"],
            str(json.loads(one["Folder"])),
            {str(name): str(value) for name, value in json.loads(one["Set"]).items()},
            one.get("Checked") == "yes",
            tuple(_conflicts(trailers)),
            str(json.loads(one.get("Onto", '""'))),
        )
    except (KeyError, ValueError, AttributeError):
        return None


def _conflicts(trailers: list[tuple[str, ...]]) -> Iterator[str]:
    for name, value in trailers:
        if name == "Conflict":
            yield str(json.loads(value))


def _word(text: str) -> str:
    """A text as a part of a branch's name (https://git-scm.com/docs/git-check-ref-format)."""
    word = _UNSAFE.sub("-", text).strip("-.").removesuffix(".lock")[:_LONGEST_NAME]
    return word if word == text else f"{word}-{_digest(text)}"


def _path_word(path: str) -> str:
    """A folder or branch as a part of a branch's name, with a hash where another one would give the same."""
    word = path.replace("/", "-")
    return word if re.fullmatch(r"[A-Za-z0-9_/]+", path) else f"{_word(word)}-{_digest(path)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
