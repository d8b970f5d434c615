"""Where a fleet keeps what it has fetched and judged."""

from __future__ import annotations

import os
from pathlib import Path

from protoserve.platform.errors import ProtoserveError, os_reason


def cache_folder(*names: str) -> Path:
    """A folder of the fleet's cache, `~/.cache/protoserve/fleet` or below XDG_CACHE_HOME; it is made if needed.

    Only the user can read it, since repositories may be private. Raises ProtoserveError if it cannot be made.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoserve" / "fleet"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
    except RuntimeError:
        raise ProtoserveError("this user has no home folder for the cache: set XDG_CACHE_HOME to a folder") from None
    except OSError as error:
        raise ProtoserveError(
            f"{error.filename} cannot be made ({os_reason(error)}): set XDG_CACHE_HOME to a folder that can be written"
        ) from None
    return folder
