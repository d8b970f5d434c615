"""What an update of a project needs, checked before Copier changes anything."""

from __future__ import annotations

from pathlib import Path

from protoserve.platform import answers
from protoserve.platform.errors import ProtoserveError
from protoserve.project import git_settings
from protoserve.schema import project_schemas


def check_update(project: Path, *, package: str, framework: str, schema: str) -> int:
    """Refuses answers that cannot change, settings of git that do harm, and schemas with errors.

    The answers are those of the command line, "" for none. Raises ProtoserveError.
    """
    recorded = answers.read(project)
    if schema and schema != recorded.get("schema"):
        raise ProtoserveError("schema cannot change after creation: edit schema.yaml, then run `make generate`")
    for name, answer in (("package", package), ("framework", framework)):
        if answer and answer != recorded[name]:
            raise ProtoserveError(
                f"{name} cannot change after creation: it stays {recorded[name]} (to have {answer}, create a new "
                "project and move model.py and schema.yaml over)"
            )
    harmful = list(git_settings.harmful_settings(project))
    if harmful:
        raise ProtoserveError("\nprotoserve: ".join(harmful))
    project_schemas.load(project_schemas.read(project), recorded["package"])
    return 0
