"""Where a finished branch goes: to the project's repository, and to the command that opens a request for it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protoserve.fleet.git_access import without_prompts
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.fleet.update.branches import BareRepository, Commit
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import GitError
from protoserve.platform.git.sources import is_remote
from protoserve.platform.plain_text import visible

_SECONDS_TO_PUSH = 600.0
_SECONDS_TO_OPEN = 600.0
_LINES = 5  # of what a failed command has printed
# Git starts this in a repository on this machine, whose own hooks and settings would run there.
_RECEIVE = (
    "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.alternateRefsCommand=true -c receive.autogc=false "
    "-c protocol.ext.allow=never receive-pack"
)
# What `git push --porcelain` prints of a reference that was not changed: `!`, the two names, and the reason.
_REFUSED = re.compile(rb"^!\t[^\t\n]*\t(.*)$", re.MULTILINE)
# In a mirror: which commit of a branch the command of --open has seen.
_OPENED = "refs/protoserve/opened/"


class PublishingError(ProtoserveError):
    """The branch is ready in the mirror, and did not get further."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """What `--push`, `--push-option` and `--open` say; the command runs with the variables `environment`."""

    push: bool
    push_options: Sequence[str]
    command: str | None
    environment: Mapping[str, str]

    def publish(self, project: Project, mirror: Mirror, commit: Commit, state: str) -> bool:
        """Pushes the branch and opens a request for it, unless that is done; whether it is in the repository.

        Raises PublishingError.
        """
        assert commit.made is not None
        branch = commit.made.branch
        seen = mirror.branch(branch)
        if self.push and seen != commit.hash:
            self._push(mirror, branch, commit, seen)
            seen = commit.hash
        repository = BareRepository(mirror.folder)
        opened = repository.reference(f"{_OPENED}{branch}")
        if self.command is not None and opened != commit.hash:
            self._open(project, mirror, commit, state)
            repository.set_reference(f"{_OPENED}{branch}", commit.hash, opened)
        return seen == commit.hash

    def _push(self, mirror: Mirror, branch: str, commit: Commit, seen: str | None) -> None:
        reference = f"refs/heads/{branch}"
        options = ["--porcelain", "--no-verify", f"--force-with-lease={reference}:{seen or ''}"]
        options += [f"--push-option={option}" for option in self.push_options]
        if not is_remote(mirror.address):
            options.append(f"--receive-pack={_RECEIVE}")
        command = ("push", *options, "--", mirror.address, f"{commit.hash}:{reference}")
        repository, access = BareRepository(mirror.folder), without_prompts()
        try:
            output = repository.git(*command, env=access, exit_codes=(0, 1), seconds=_SECONDS_TO_PUSH)
        except GitError as error:
            raise PublishingError(f"it cannot be pushed: {error}") from None
        if refused := _REFUSED.search(output):
            reason = visible(refused[1].decode(errors="replace"))
            if "stale info" in reason:
                raise PublishingError(f"somebody has pushed {branch} meanwhile, so it was not replaced: run this again")
            raise PublishingError(f"{branch} cannot be pushed: {reason}")

    def _open(self, project: Project, mirror: Mirror, commit: Commit, state: str) -> None:
        assert self.command is not None
        with tempfile.TemporaryDirectory(prefix="open-") as folder:
            variables = {**self.environment, **_variables(project, mirror, commit, state, Path(folder))}
            try:
                done = subprocess.run(
                    self.command,
                    shell=True,
                    cwd=folder,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    check=False,
                    timeout=_SECONDS_TO_OPEN,
                )
            except subprocess.TimeoutExpired:
                raise PublishingError(f"--open was not done within {_SECONDS_TO_OPEN:.0f} seconds") from None
        if done.returncode != 0:
            raise PublishingError(f"--open failed with exit code {done.returncode}: {last_lines(done.stdout)}")


def last_lines(output: bytes) -> str:
    """The last lines that a command has printed, on one line."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return visible(without_credentials(" / ".join(lines[-_LINES:]))) or "it printed nothing"


def _variables(project: Project, mirror: Mirror, commit: Commit, state: str, folder: Path) -> dict[str, str]:
    """The variables of the command of `--open`, as docs/fleet.md lists them."""
    made = commit.made
    assert made is not None
    summary = folder / "summary.md"
    summary.write_text(f"{commit.summary}\n", encoding="utf-8")
    return {
        "PROTOSERVE_PROJECT": project.name,
        "PROTOSERVE_URL": os.fspath(mirror.address),
        "PROTOSERVE_FOLDER": project.folder,
        "PROTOSERVE_OWNER": project.owner,
        "PROTOSERVE_BRANCH": made.branch,
        "PROTOSERVE_BASE": project.branch or mirror.default_branch,
        "PROTOSERVE_COMMIT": commit.hash,
        "PROTOSERVE_VERSION": made.version,
        "PROTOSERVE_TITLE": commit.title,
        "PROTOSERVE_SUMMARY": str(summary),
        "PROTOSERVE_CONFLICTS": str(len(made.conflicts)),
        "PROTOSERVE_STATE": state,
        "PROTOSERVE_MIRROR": str(mirror.folder),
    }
