"""What to say of a revision that is not in this clone, with the command that fetches it."""

from __future__ import annotations

import re

from protoserve.platform.git import Repository

_HASH = re.compile(r"[0-9a-f]{4,64}")


def describe_unknown(repository: Repository, revision: str) -> str:
    """One line that says that git does not have the revision, and how to fetch it.

    A shallow clone has few commits, and often follows a single branch: what is fetched is then only FETCH_HEAD.
    """
    name = revision.removeprefix("origin/")
    if not repository.shallow:
        return (
            f"git does not have {revision} here: check its name, or fetch it (`git fetch origin {name}`) as FETCH_HEAD"
        )
    missing = f"git does not have {revision} in this shallow clone"
    if _HASH.fullmatch(name) or re.search(r"[~^@]", name):
        return f"{missing}: get all of its history, `git fetch --unshallow`"
    return f"{missing}: check its name, or fetch it (`git fetch --depth=1 origin {name}`) as FETCH_HEAD"
