"""`protoserve new`: the same questions as `copier copy`, asked by Copier itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import copier
from copier.errors import CopierError, TaskError, UserMessageError

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import is_file
from protoserve.project import template_source


class NewError(ProtoserveError):
    """The project was not created."""


def new(dest: Path, data: dict[str, Any], *, defaults: bool, template: str | None, ref: str | None) -> int:
    """Creates the project; exit code 1 if the generator failed, which has printed why. Raises ProtoserveError.

    `data` answers questions; `defaults` answers all others by their defaults. Copier removes a new folder on failure.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise NewError(f"{dest} exists and is not empty: choose another folder")
    source = template_source.chosen(template, ref)
    schema = data.get("schema")
    if isinstance(schema, str) and "->" not in schema and is_file(Path(schema)):
        data = {**data, "schema": os.path.abspath(schema)}
    try:
        copier.run_copy(
            source.source,
            dest,
            data=data,
            user_defaults={"project_name": dest.resolve().name},
            defaults=defaults,
            unsafe=True,
            vcs_ref=source.ref,
        )
    except TaskError:
        return 1
    except (UserMessageError, CopierError, ValueError) as error:
        # For an answer that a validator refuses, Copier raises a plain ValueError.
        raise NewError(str(error)) from None
    if Path(source.source).is_dir():
        print(
            f"note: the project records {source.source} as its template, a folder of this machine. For a project that "
            "others work on, give the template's URL: --template",
            file=sys.stderr,
        )
    return 0
