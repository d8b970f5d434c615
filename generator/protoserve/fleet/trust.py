"""Which templates a fleet runs.

What a project records is data: it only chooses among the templates of `fleet.yaml`. What is fetched and run is always
the source that `fleet.yaml` has, never the one that a project wrote, so two spellings of one address may count as the
same without a risk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from protoserve.platform.git.sources import address as git_address
from protoserve.platform.git.sources import is_url

_SCP = re.compile(r"(?:(?P<user>\w[\w.-]*)@)(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\s]+):(?P<path>.+)")
_DEFAULT_PORTS = {"https": 443, "ssh": 22}


def trusted_source(recorded: str, project: Path | None, templates: Iterable[str]) -> str | None:
    """The template of the fleet that a project's `_src_path` names, as the fleet has it; None for any other.

    A relative path counts from the folder `project`; without one, as for a project behind a URL, it names nothing.
    """
    if not is_url(recorded):
        expanded = os.path.expanduser(recorded.removeprefix("git+"))
        if project is None and not os.path.isabs(expanded):
            return None
        recorded = str((project or Path()) / expanded)
    wanted = identity(recorded)
    return next((template for template in templates if identity(template) == wanted), None)


def identity(source: str) -> str:
    """The same text for all spellings of one source: a URL in any of git's forms, or an absolute path.

    `gh:o/n`, `https://github.com/o/n.git`, `https://user:token@github.com/o/n` and `git@github.com:o/n` are one.
    """
    address = git_address(source)
    if scp := _SCP.fullmatch(address):
        return _of_host(scp["host"], _of_user("ssh", scp["user"]), scp["path"].lstrip("/"))
    try:
        parts = urlsplit(address) if is_url(source) else None
        if parts is None or parts.scheme.lower() == "file":
            return _of_path(address if parts is None else unquote(parts.path))
        scheme = parts.scheme.lower().removeprefix("git+")
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(scheme)) else f":{scheme}:{parts.port}"
    except ValueError:  # a host or port that cannot be, or a path with a null
        return address
    rest = "".join(f"{mark}{text}" for mark, text in (("?", parts.query), ("#", parts.fragment)) if text)
    return _of_host(parts.hostname or "", _of_user(scheme, parts.username) + port, parts.path) + rest


def _of_user(scheme: str, user: str | None) -> str:
    """What is left of a user: with ssh another one than git has repositories of its own; with https it only logs in."""
    return f"{user}@" if scheme == "ssh" and user not in (None, "", "git") else ""


def _of_host(host: str, access: str, path: str) -> str:
    return f"//{access}{host.lower()}/{path.strip('/').removesuffix('.git').rstrip('/')}"


def _of_path(path: str) -> str:
    """A folder with links followed; git takes NAME.git where there is no NAME."""
    if not os.path.exists(path) and os.path.exists(f"{path}.git"):
        path = f"{path}.git"
    return os.path.realpath(path)
