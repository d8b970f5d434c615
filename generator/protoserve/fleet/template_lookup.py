"""What a fleet's projects need of its templates, looked up once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protoserve.fleet.git_access import without_prompts
from protoserve.platform.git import GitError
from protoserve.project.recorded_version import MissingVersionError, RecordedTemplateError, recorded_folder
from protoserve.project.update import template_versions
from protoserve.project.update.template_versions import Versions


@dataclass
class TemplateLookup:
    """The versions of each template, or git's reason why they cannot be listed; and the folders of versions."""

    versions: Mapping[str, Versions | str]
    spare_cache: Path
    _folders: dict[tuple[str, str, str], Future[Path]] = field(default_factory=dict)
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def folder(self, template: str, recorded: Mapping[str, Any]) -> Path:
        """The folder of the version that answers record, of this template whatever they say of it.

        Raises RecordedTemplateError, MissingVersionError if the template does not have it.
        """
        commit = str(recorded.get("_commit"))
        key = (template, commit, template_versions.recorded_hash(recorded, commit))
        with self._looking:
            is_first = key not in self._folders
            folder = self._folders.setdefault(key, Future())
        if is_first:
            try:
                trusted = {**recorded, "_src_path": template}
                folder.set_result(recorded_folder(Path(), trusted, self.spare_cache, lambda note: None))
            except (RecordedTemplateError, MissingVersionError) as error:
                folder.set_exception(error)
            except BaseException as error:
                folder.set_exception(error)
                raise
        return folder.result()


def listed_versions(templates: Iterable[str]) -> dict[str, Versions | str]:
    """The versions of each template, or git's reason."""
    found: dict[str, Versions | str] = {}
    for template in templates:
        try:
            found[template] = template_versions.listed(template, without_prompts())
        except GitError as error:
            found[template] = str(error)
    return found
