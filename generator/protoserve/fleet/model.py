"""A fleet: its projects and the templates that it trusts, as `fleet.yaml` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protoserve.platform.credentials import without_credentials


@dataclass(frozen=True, slots=True)
class Project:
    """A project of a fleet.

    `source` is the URL or path in `fleet.yaml`, and `address` what git is asked for: the same URL, or the absolute
    path. `folder` is the project's folder in the repository, with slashes, "" for its root; `branch` is "" for the
    repository's default branch.
    """

    source: str
    address: str
    branch: str = ""
    folder: str = ""
    owner: str = ""
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What reports call it: the source without credentials, with `#folder` where there is one."""
        source = without_credentials(self.source)
        return f"{source}#{self.folder}" if self.folder else source


@dataclass(frozen=True, slots=True)
class Fleet:
    """The projects in the order of `fleet.yaml`; `templates` are sources of templates, paths among them absolute."""

    file: Path
    templates: tuple[str, ...]
    projects: tuple[Project, ...]
