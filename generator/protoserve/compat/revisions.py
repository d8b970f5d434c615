"""Revisions that git does not have here, and the command that gets them."""

from __future__ import annotations

import re

from protoserve.platform.git import Repository

_BACK = re.compile(r"HEAD((?:~[0-9]*|\^)+)")
_HASH = re.compile(r"[0-9a-f]{4,64}")


def unknown(repository: Repository, revision: str) -> str:
    """What is said of a revision that git does not know, in one line with the command that fetches it.

    A shallow clone has few commits, and often follows one branch only: what is fetched is then FETCH_HEAD, and nothing
    else names it.
    """
    name = revision.removeprefix("origin/")
    if not repository.shallow:
        return f"git knows no {revision} here: check its name, or fetch it (`git fetch origin {name}`) as FETCH_HEAD"
    back = _BACK.fullmatch(revision)
    if back:
        steps = sum(int(count or 1) for count in re.findall(r"[~^]([0-9]*)", back[1]))
        return f"git knows no {revision} in this shallow clone: get more of its history, `git fetch --deepen={steps}`"
    if _HASH.fullmatch(name) or re.search(r"[~^@]", name):
        return f"git knows no {revision} in this shallow clone: get all of its history, `git fetch --unshallow`"
    fetch = f"`git fetch --depth=1 origin {name}`"
    return f"git knows no {revision} in this shallow clone: check its name, or fetch it ({fetch}) as FETCH_HEAD"
