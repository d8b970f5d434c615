"""Versions of one template, each checked out once for all projects that an update takes to it or from it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from protoserve.platform.git import NOWHERE, GitError, git, git_line

_FACTS = "facts.json"
_TEMPLATE = "template"
# What Copier checks out is the template as it was committed: no setting of the user converts its lines.
_AS_COMMITTED = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
_HASH = re.compile("[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Checkout:
    """One version of a template: its files, the commit as `git describe` names it, the hash of the commit, its version
    by PEP 440, and the modes of its files in git. Nobody writes into `folder`."""

    folder: Path
    described: str
    hash: str
    version: str | None
    modes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Checkouts:
    """Checkouts in subfolders of `folder`, made from the bare repository `git_dir` with all objects of the template,
    which has its branches as those of a remote.

    Several processes may make the same one at once.
    """

    git_dir: Path
    folder: Path

    def commit(self, revision: str) -> str:
        """The hash of the commit that a tag, branch or hash names in the template. Raises GitError."""
        for name in (revision, f"refs/remotes/origin/{revision}"):
            options = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            output = git(NOWHERE, *options, env={"GIT_DIR": str(self.git_dir)}, exit_codes=(0, 1, 128))
            if commit := output.decode(errors="replace").strip():
                return commit
        raise GitError(f"the template has no {revision}")

    def at(self, revision: str) -> Checkout:
        """The checkout of a tag, branch or hash. Raises GitError."""
        commit = self.commit(revision)
        place = self.folder / commit
        if not (place / _FACTS).is_file():
            self._make(commit, place)
        facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
        return Checkout(place / _TEMPLATE, **facts)

    def _make(self, commit: str, place: Path) -> None:
        """Checks a commit out in a folder that gets its name when it is complete."""
        from protoserve.project.update.quick_copier import read_facts

        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=self.folder, ignore_cleanup_errors=True) as scratch:
            made = Path(scratch) / "made"
            clone = made / _TEMPLATE
            options = ("--quiet", "--no-checkout", "--shared")
            git(NOWHERE, *_AS_COMMITTED, "clone", *options, "--", str(self.git_dir), str(clone))
            git(clone, *_AS_COMMITTED, "checkout", "--quiet", "--detach", commit)
            submodules = ("submodule", "--quiet", "update", "--checkout", "--init", "--recursive", "--force")
            git(clone, *submodules, env={"GIT_TERMINAL_PROMPT": "0"})
            facts = asdict(read_facts(clone, git_line(clone, "rev-parse", "HEAD")))
            del facts["folder"]
            (made / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
            try:
                made.rename(place)
            except OSError:
                if not (place / _FACTS).is_file():  # another process was not faster
                    raise
