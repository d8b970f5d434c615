"""What a fleet's projects need of its templates, looked up once for all of them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protoserve.fleet.git_access import without_prompts
from protoserve.platform.git import GitError
from protoserve.project.recorded_version import recorded_folder
from protoserve.project.status.recorded_template import copy_without_git
from protoserve.project.update import template_versions
from protoserve.project.update.template_versions import Versions


@dataclass(frozen=True, slots=True)
class VersionFolders:
    """The folder of a version of a template in the user's cache, and a copy of it that Copier takes as it is."""

    folder: Path
    without_git: Path


@dataclass
class TemplateLookup:
    """The versions of each template, or git's reason why they cannot be listed; and the folders of versions.

    What is kept for this run only goes into the folder `scratch`.
    """

    versions: Mapping[str, Versions | str]
    scratch: Path
    _folders: dict[tuple[str, str, str], Future[VersionFolders]] = field(default_factory=dict)
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def version(self, template: str, recorded: Mapping[str, Any]) -> VersionFolders:
        """The folders of the version that answers record, of this template whatever they say of it.

        Raises RecordedTemplateError, MissingVersionError if the template does not have it.
        """
        commit = str(recorded.get("_commit"))
        key = (template, commit, template_versions.recorded_hash(recorded, commit))
        with self._looking:
            is_first = key not in self._folders
            folders = self._folders.setdefault(key, Future())
        if is_first:
            try:
                folders.set_result(self._folders_of({**recorded, "_src_path": template}))
            except BaseException as error:  # the other projects of this version have it, too
                folders.set_exception(error)
        return folders.result()

    def _folders_of(self, recorded: Mapping[str, Any]) -> VersionFolders:
        folder = recorded_folder(Path(), recorded, self.scratch / "cache", lambda note: None)
        copy = Path(tempfile.mkdtemp(prefix="version-", dir=self.scratch)) / "template"
        copy_without_git(folder, copy)
        return VersionFolders(folder, copy)


def listed_versions(templates: Iterable[str]) -> dict[str, Versions | str]:
    """The versions of each template, or git's reason."""
    listed: dict[str, Versions | str] = {}
    for template in templates:
        try:
            listed[template] = template_versions.listed(template, without_prompts())
        except GitError as error:
            listed[template] = str(error)
    return listed
