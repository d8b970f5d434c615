"""`protoserve new`: the same questions as `copier copy`, asked by Copier itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import copier
from copier.errors import CopierError, TaskError, UserMessageError

from protoserve.project import template_source


def new(dest: Path, data: dict[str, Any], *, defaults: bool, template: str | None, ref: str | None) -> int:
    """Creates the project; 0, or 1 with the reason on standard error and nothing left of a new folder."""
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        print(f"protoserve: {dest} exists and is not empty: choose another folder", file=sys.stderr)
        return 1
    source = template_source.given(template, ref) if template else template_source.template()
    schema = data.get("schema")
    if isinstance(schema, str) and Path(schema).is_file():
        data = {**data, "schema": os.path.abspath(schema)}
    try:
        copier.run_copy(
            source.source,
            dest,
            data=data,
            user_defaults={"project_name": dest.resolve().name},
            defaults=defaults,
            unsafe=True,
            vcs_ref=ref or source.ref,
        )
    except TaskError:
        return 1  # the generator has said why
    except (UserMessageError, CopierError, ValueError) as error:
        # Copier has no type of its own for an answer that a validator refuses: it is a ValueError.
        print(f"protoserve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("protoserve: stopped; nothing was created", file=sys.stderr)
        return 1
    if Path(source.source).is_dir():
        print(
            f"note: the project records {source.source} as its template, a folder of this machine. For a project that "
            "others work on, give the template's URL: --template",
            file=sys.stderr,
        )
    return 0
