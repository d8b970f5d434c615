"""Fills a new project: its first schema, the seeds that become the author's, and the generated files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from protoserve.compat import baseline
from protoserve.emit import generated_files
from protoserve.platform.files import path_of
from protoserve.platform.plain_text import one_line
from protoserve.schema.initial_text import seed
from protoserve.schema.load import load, loads
from protoserve.schema.presets import is_for_engine, preset_data, presets
from protoserve.seeds import first_files, frameworks

# The answer to the question `serve` by default.
ALL_METHODS = "all"


def create(project: Path, package: str, framework: str, schema: str, serve: str = ALL_METHODS) -> int:
    """Writes the files that do not exist yet, all or none; the arguments are answers to the questions of these names.

    Raises SchemaError and OSError.
    """
    path = project / generated_files.SCHEMA
    if path.exists():
        contract, data = load(path, default_package=f"{package}.v1"), None
        plan = generated_files.plan(project, package)
    else:
        text = first_schema(schema, package, Path(os.environ.get("PWD", ".")), _print_note, serve)
        contract, data = loads(text), preset_data(schema) if schema in presets() else None
        plan = generated_files.plan(project, package, {generated_files.SCHEMA: text})
    texts = first_files.first_files(
        contract, package, frameworks.load(framework), data, async_streams=is_for_engine(schema)
    )
    content = {name: text.encode() for name, text in texts.items()}
    generated_files.apply(replace(plan, seeds={**plan.seeds, **content}))
    schema_text = plan.files[generated_files.SCHEMA].decode()
    baseline.remember(project, {generated_files.SCHEMA: schema_text}, committed=False)
    return 0


def _print_note(text: str) -> None:
    print(f"note: {one_line(text)}", file=sys.stderr)


def first_schema(
    schema: str,
    package: str,
    folder: Path,
    note: Callable[[str], None] = lambda text: None,
    serve: str | None = None,
) -> str:
    """The text of schema.yaml for the answer `schema`, in which a path counts from `folder`.

    `note` gets a line about what it leaves out of a .proto; `serve` says which of its methods are served, None all that
    can be. Raises SchemaError.
    """
    if not schema.strip().endswith(".proto") or "->" in schema:
        return seed(schema, package, folder)
    # They import protobuf, which only this needs.
    from protoserve.intake.proto.convert import from_proto
    from protoserve.intake.proto.include import from_environment

    return from_proto(folder / path_of(schema.strip()), package, from_environment(folder), note, serve)
