"""What comes of an answer to the question for the schema: the .proto, and a sample request of its first method."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from protoserve.emit import proto, samples
from protoserve.project.create import first_schema
from protoserve.schema.load import loads


@dataclass(frozen=True, slots=True)
class Preview:
    """The text of a .proto without its comments, the name of a method, and a request to it as JSON."""

    proto: str
    method: str
    request: str

    def as_json(self) -> str:
        """The same, for `from_json`."""
        return json.dumps(asdict(self))


def from_json(text: str) -> Preview:
    """The preview that another process printed. Raises ValueError, TypeError and KeyError."""
    fields = json.loads(text)
    return Preview(str(fields["proto"]), str(fields["method"]), str(fields["request"]))


def preview(schema: str, package: str, folder: Path, serve: str | None = None) -> Preview:
    """Of the answers to these questions; a path is relative to `folder`, without `serve` all is served that can be.

    Raises SchemaError with every problem.
    """
    contract = loads(first_schema(schema, package, folder, serve=serve))
    method = contract.served_methods[0]
    text = re.sub(r"^[ ]*//.*\n", "", proto.render(contract), flags=re.MULTILINE)
    return Preview(text.strip(), method.name, samples.as_json(contract, method.request))
