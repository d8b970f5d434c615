"""Where a contract breaks rules of `buf lint`, on purpose or because its .proto is a foreign one.

A comment above what breaks a rule says so to buf, and stands in no descriptor. See
https://buf.build/docs/lint/rules/ for the rules of STANDARD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Enum, EnumValue, Field, ImportedFile, Message, Method

_LOWER = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_UPPER = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")


def ignored(indent: str, rules: Iterator[str]) -> Iterator[str]:
    """The comments that say so, a line each."""
    yield from (f"{indent}// buf:lint:ignore {rule}" for rule in rules)


def of_package(contract: Contract) -> Iterator[str]:
    if contract.folder != contract.package.replace(".", "/"):
        yield "PACKAGE_DIRECTORY_MATCH"
    places = [(item.package, item.path.rpartition("/")[0]) for item in contract.imports]
    if any(package == contract.package and folder != contract.folder for package, folder in places):
        yield "PACKAGE_SAME_DIRECTORY"
    if any(package != contract.package and folder == contract.folder for package, folder in places):
        yield "DIRECTORY_SAME_PACKAGE"
    yield from _of_package_name(contract.package)


def _of_package_name(package: str) -> Iterator[str]:
    if not all(_LOWER.fullmatch(part) for part in package.split(".")):
        yield "PACKAGE_LOWER_SNAKE_CASE"
    if reserved_names.version(package) is None:
        yield "PACKAGE_VERSION_SUFFIX"


def of_imported_package(file: ImportedFile) -> Iterator[str]:
    """Somebody else chose the path, which only by chance is the one that the package asks for."""
    folder = file.path.rpartition("/")[0]
    if folder != file.package.replace(".", "/"):
        yield from ("PACKAGE_DIRECTORY_MATCH", "PACKAGE_SAME_DIRECTORY", "DIRECTORY_SAME_PACKAGE")
    yield from _of_package_name(file.package)


def of_service(contract: Contract) -> Iterator[str]:
    if not _PASCAL.fullmatch(contract.service):
        yield "SERVICE_PASCAL_CASE"
    if not contract.service.endswith("Service"):
        yield "SERVICE_SUFFIX"


def of_method(contract: Contract, method: Method) -> Iterator[str]:
    if not _PASCAL.fullmatch(method.name):
        yield "RPC_PASCAL_CASE"
    used = [name for other in contract.methods for name in (other.request.name, other.response.name)]
    if used.count(method.request.name) > 1 or used.count(method.response.name) > 1:
        yield "RPC_REQUEST_RESPONSE_UNIQUE"
    standard = ("", contract.service)
    if method.request.in_proto not in {f"{prefix}{method.name}Request" for prefix in standard}:
        yield "RPC_REQUEST_STANDARD_NAME"
    if method.response.in_proto not in {f"{prefix}{method.name}Response" for prefix in standard}:
        yield "RPC_RESPONSE_STANDARD_NAME"


def of_message(message: Message) -> Iterator[str]:
    if not _PASCAL.fullmatch(message.in_proto.rpartition(".")[2]):
        yield "MESSAGE_PASCAL_CASE"


def of_field(field: Field) -> Iterator[str]:
    if not _LOWER.fullmatch(field.name):
        yield "FIELD_LOWER_SNAKE_CASE"


def of_oneof(name: str) -> Iterator[str]:
    if not _LOWER.fullmatch(name):
        yield "ONEOF_LOWER_SNAKE_CASE"


def of_enum(enum: Enum) -> Iterator[str]:
    if not _PASCAL.fullmatch(enum.in_proto.rpartition(".")[2]):
        yield "ENUM_PASCAL_CASE"
    if ("allow_alias", True) in enum.options:
        yield "ENUM_NO_ALLOW_ALIAS"


def of_value(enum: Enum, value: EnumValue) -> Iterator[str]:
    if not enum.exact:
        return
    if not value.name.startswith(f"{reserved_names.snake(enum.in_proto.rpartition('.')[2]).upper()}_"):
        yield "ENUM_VALUE_PREFIX"
    if not _UPPER.fullmatch(value.name):
        yield "ENUM_VALUE_UPPER_SNAKE_CASE"
    if value.number == 0 and not value.name.endswith("_UNSPECIFIED"):
        yield "ENUM_ZERO_VALUE_SUFFIX"
