"""The first text of a project's `schema.yaml`, from the answer to the question for a schema."""

from __future__ import annotations

from pathlib import Path

from protoserve.platform.files import is_file, path_of
from protoserve.platform.yaml_tree import Mapping, parse
from protoserve.schema import reserved_names
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.json_schema import MODELINE
from protoserve.schema.load import loads, read_text
from protoserve.schema.mapping_reader import nearest
from protoserve.schema.presets import preset_text, presets
from protoserve.schema.signature import signature_to_yaml


def seed(answer: str, package: str, cwd: Path) -> str:
    """The schema that `answer` names, complete: `package` (`<package>.v1` where it has none) and all numbers.

    `answer` is a preset's name, a one-line signature, or the path of a schema file from `cwd`; `package` is the
    project's Python package. Raises SchemaError.
    """
    answer = answer.strip()
    proto_package = f"{package}.v1"
    if "->" in answer:
        return _complete(signature_to_yaml(answer, proto_package), "signature", proto_package)
    if answer in presets():
        return _complete(preset_text(answer), f"the preset {answer}", proto_package)
    path = cwd / path_of(answer)
    if path.suffix.lower() in _TABLES:
        message = f"{answer!r} is a table, not a schema"
        raise SchemaError(
            "schema", [Problem(1, 1, "", message, "give its columns as a signature: `NAME: TYPE, ... -> NAME: TYPE`")]
        )
    if not answer or (path.suffix not in (".yaml", ".yml") and not is_file(path)):
        raise SchemaError("schema", [Problem(1, 1, "", f"{answer!r} is not a schema", _remedy(answer))])
    return _complete(read_text(path), str(path), proto_package)


_TABLES = (".csv", ".tsv", ".parquet", ".xls", ".xlsx")


def _remedy(answer: str) -> str:
    guess = nearest(answer, presets())
    meant = f"did you mean {guess!r}? Else " if guess else ""
    return (
        f"{meant}give a preset ({', '.join(presets())}), a signature such as `length: float64 -> score: float32`,"
        " or the path of a .yaml or .proto file"
    )


def _complete(text: str, file: str, proto_package: str) -> str:
    # The first look names places in the author's file, before anything is inserted.
    contract = loads(text, file, default_package=proto_package)
    clash = reserved_names.clash(contract.module, proto_package.partition(".")[0])
    if clash is not None:
        lines = enumerate(text.splitlines(), 1)
        line = next((number for number, line in lines if contract.package in line), 1)
        raise SchemaError(file, [Problem(line, 1, "package", *clash)])
    return numbered(_with_head(with_package(text, file, proto_package)), file)


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with_head(text: str) -> str:
    """The line for the editor first, in place of one that points elsewhere."""
    first, _, rest = text.partition("\n")
    body = rest if first.lstrip().startswith("# yaml-language-server:") else text
    return f"{MODELINE}{_line_end(text)}{body}"


def with_package(text: str, file: str, proto_package: str) -> str:
    """The text with a `package`, before its first key where it has none."""
    root = parse(text)
    assert isinstance(root, Mapping)  # it has been loaded
    if any(key.text == "package" for key, _ in root.entries):
        return text
    start = root.place.start
    if root.flow:
        return f"{text[: start + 1]}package: {proto_package}, {text[start + 1 :]}"
    indent = " " * (root.place.column - 1)
    return f"{text[:start]}package: {proto_package}{_line_end(text)}{indent}{text[start:]}"
