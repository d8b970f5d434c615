"""The text of a schema as that of its next version, and as what is kept of it."""

from __future__ import annotations

from dataclasses import replace

from protoserve.platform.yaml_tree import Mapping, Node, Scalar, parse
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.initial_text import with_package
from protoserve.schema.json_schema import MODELINE, PATH
from protoserve.schema.load import loads
from protoserve.schema.model import Contract, without_places


def kept(text: str, contract: Contract) -> str:
    """The schema for a folder of its own: it says its package, and an editor finds the JSON Schema from there."""
    text = with_package(text, contract.file, contract.package)
    return text.replace(MODELINE, MODELINE.replace(PATH, f"../{PATH}"), 1)


def renewed(text: str, contract: Contract, package: str) -> str:
    """The schema under another package, a draft again, and otherwise to the letter.

    Raises SchemaError where the text is such that its package cannot be replaced.
    """
    text = with_package(text, contract.file, contract.package)
    root = parse(text)
    assert isinstance(root, Mapping)  # it has been loaded
    for key, node in sorted(root.entries, key=lambda entry: entry[1].place.start, reverse=True):
        if key.text == "package":
            text = _replaced(text, node, package)
        elif key.text == "status":
            text = _replaced(text, node, "draft")
    wanted = without_places(replace(contract, package=package, status="draft"))
    if without_places(loads(text, contract.file)) != wanted:
        problem = Problem(1, 1, "package", "the version could not be replaced", "write `package: NAME.v1` on one line")
        raise SchemaError(contract.file, [problem])
    return text


def _replaced(text: str, node: Node, value: str) -> str:
    assert isinstance(node, Scalar)
    return f"{text[: node.place.start]}{value}{text[node.place.end :]}"
