"""One bare mirror for each repository, in the user's cache: fetched when the repository has changed, and only then.

A mirror has the repository's branches as `refs/remotes/origin/*` and its tags. Where a server offers it, it lacks the
contents of files, which git fetches when they are checked out. It is made in another place and then renamed, so that a
run that is ended leaves none that is incomplete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protoserve.fleet.cache_folder import cache_folder
from protoserve.fleet.git_access import without_prompts
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, GitError, git
from protoserve.platform.git.sources import SECONDS_TO_ANSWER, is_remote

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

_SECONDS_TO_FETCH = 600.0
_MOST_REFERENCES = 200_000
_AT_ONCE = 16
_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_REFSPECS = (f"+{_BRANCHES}*:refs/remotes/origin/*", f"+{_TAGS}*:{_TAGS}*")
_FETCHED = "protoserve-references"  # in a mirror: what the repository listed when it was last fetched


class MirrorError(ProtoserveError):
    """A repository cannot be read: git's reason, without credentials."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror that is up to date; `references` are those of the repository, with their hashes.

    `default_branch` is the one that HEAD names there, "" if there is none.
    """

    address: str
    folder: Path
    default_branch: str
    references: Mapping[str, str]

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been committed to the repository."""
        return not self.references

    def branch(self, name: str) -> str | None:
        """The commit of a branch, None if there is none of that name; "" names the default branch."""
        return self.references.get("HEAD" if not name else f"{_BRANCHES}{name}")

    @property
    def tags(self) -> Mapping[str, str]:
        """The hashes of the tags; an annotated one has a hash of its own."""
        own = {name: value for name, value in self.references.items() if not name.endswith("^{}")}
        return {name.removeprefix(_TAGS): value for name, value in own.items() if name.startswith(_TAGS)}


def mirrors(addresses: Collection[str], done: Callable[[str], None]) -> dict[str, Mirror | MirrorError]:
    """The mirrors of these repositories, several fetched at once; for one that cannot be read, the error.

    `done` is called with each address that is finished.
    """
    without_prompts()  # computed once, before the threads begin

    def one(address: str) -> Mirror | MirrorError:
        try:
            return mirror(address)
        except MirrorError as error:
            return error
        finally:
            done(address)

    unique = list(dict.fromkeys(addresses))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return dict(zip(unique, pool.map(one, unique), strict=True))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def mirror(address: str, *, whole: bool = False) -> Mirror:
    """The mirror of a repository, as the repository is now; a `whole` one lacks no contents. Raises MirrorError."""
    try:
        listing = _listing(address)
        name = hashlib.sha256(address.encode()).hexdigest()[:24]
        folder = cache_folder("mirrors") / f"{name}{'-whole' if whole else ''}.git"
        default_branch, references = _parsed(listing)
        if references and _fetched(folder) != listing:
            _bring_up_to_date(folder, address, listing, references, whole=whole)
        return Mirror(address, folder, default_branch, references)
    except (GitError, OSError) as error:
        raise MirrorError(without_credentials(str(error))) from None


def _listing(address: str) -> str:
    """What the repository lists: HEAD, branches and tags."""
    patterns = ("HEAD", f"{_BRANCHES}*", f"{_TAGS}*")
    command = ("ls-remote", "--symref", "--", address, *patterns)
    listing = os.fsdecode(git(NOWHERE, *command, env=without_prompts(), seconds=SECONDS_TO_ANSWER))
    if listing.count("\n") > _MOST_REFERENCES:
        raise MirrorError(f"it has more than {_MOST_REFERENCES} branches and tags")
    return listing


def _parsed(listing: str) -> tuple[str, dict[str, str]]:
    """The default branch, and the hash of each reference."""
    default, references = "", {}
    for line in listing.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            default = value.removeprefix("ref: ").removeprefix(_BRANCHES) if name == "HEAD" else default
        elif name == "HEAD" or name.startswith((_BRANCHES, _TAGS)):
            references[name] = value
    return default, references


def _fetched(folder: Path) -> str | None:
    try:
        return (folder / _FETCHED).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def _bring_up_to_date(folder: Path, address: str, listing: str, references: Mapping[str, str], *, whole: bool) -> None:
    with locked(folder):
        if _fetched(folder) == listing:  # another run was faster
            return
        if folder.exists():
            _fetch(folder, address, listing, whole=whole)
            return
        made = folder.with_name(f"{folder.name}.unfinished")  # a run that was ended may have left it
        shutil.rmtree(made, ignore_errors=True)
        try:
            object_format = "sha256" if len(next(iter(references.values()))) == 64 else "sha1"
            git(NOWHERE, "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(made))
            git(NOWHERE, "--git-dir", str(made), "config", "remote.origin.url", address)
            _fetch(made, address, listing, whole=whole)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _fetch(folder: Path, address: str, listing: str, *, whole: bool) -> None:
    options = ["--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
    if is_remote(address) and not whole:
        options.append("--filter=blob:none")
    command = ("--git-dir", str(folder), "fetch", *options, "origin", *_REFSPECS)
    git(NOWHERE, *command, env=without_prompts(), seconds=_SECONDS_TO_FETCH)
    written = folder / f"{_FETCHED}.new"
    written.write_text(listing, encoding="utf-8", errors="surrogateescape")
    written.replace(folder / _FETCHED)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Waits until no other run fetches into the mirror. The lock ends with the process. Raises MirrorError."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        last = time.monotonic() + _SECONDS_TO_FETCH
        while not _lock(descriptor):
            if time.monotonic() > last:
                raise MirrorError("another run has been fetching it for too long: end that run, and try again")
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True
