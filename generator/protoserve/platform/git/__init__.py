"""Runs git, and describes the repository that a project lies in, which may be larger than the project.

Every git command of protoserve goes through `run`, so that its answer does not depend on the user's settings. The
package needs nothing but the standard library of Python 3.10, since an update ends in the interpreter of Copier.
"""

from protoserve.platform.git.command import NOWHERE, git, git_line, git_paths, run, status
from protoserve.platform.git.errors import GitError, reason
from protoserve.platform.git.repository import (
    Repository,
    find_repository,
    is_partial,
    object_format,
    repository_with_commits,
)
from protoserve.platform.git.repository_settings import filters_of_the_repository
from protoserve.platform.git.settings import clear_environment, set_environment
from protoserve.platform.git.sources import SourceError, refuse_source

__all__ = [
    "NOWHERE",
    "GitError",
    "Repository",
    "SourceError",
    "clear_environment",
    "filters_of_the_repository",
    "find_repository",
    "git",
    "git_line",
    "git_paths",
    "is_partial",
    "object_format",
    "reason",
    "refuse_source",
    "repository_with_commits",
    "run",
    "set_environment",
    "status",
]
