"""The JSON Schema of a schema file, for completion and early errors in an editor."""

from __future__ import annotations

import json
from pathlib import Path

from protoserve.schema.field_keys import FIELD_KEYS
from protoserve.schema.types import ALIASES, SCALARS

# Where a project keeps it, and the line that points an editor to it:
# https://github.com/redhat-developer/yaml-language-server#using-inlined-schema
PATH = ".protoserve/schema.json"
MODELINE = f"# yaml-language-server: $schema={PATH}"


def json_schema() -> str:
    """The text of the JSON Schema (draft 2020-12).

    It judges the structure alone: names that exist, numbers that are free and limits that fit are `load`'s.
    """
    schema = json.loads(Path(__file__).with_name("schema.schema.json").read_text(encoding="utf-8"))
    schema["$defs"]["type"]["anyOf"][0]["enum"] = [*SCALARS, *ALIASES]
    schema["$defs"]["field"]["properties"] = {
        row.name: {"description": row.description, **row.json} for row in FIELD_KEYS
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
