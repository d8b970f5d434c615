"""What the server serves: the methods of every version of a project's contract, as one module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protoserve.emit import upgrade_modules
from protoserve.emit.proto import HEADER
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Method


def render(contracts: Sequence[Contract]) -> str:
    """`PACKAGE/contract/served.py`; `contracts` are newest first. Not yet formatted."""
    return "\n".join(_module(contracts)) + "\n"


def _module(contracts: Sequence[Contract]) -> Iterator[str]:
    newest, *older = contracts
    yield f'"""All that the server serves: every version of the service, the newest first.\n\n{HEADER}\n"""\n'
    yield "from types import ModuleType"
    yield "from typing import TYPE_CHECKING\n"
    for contract in older:
        yield f"from ..upgrade import {contract.version} as upgrade_{contract.version}"
    versions = [contract.version for contract in contracts]
    pairs = [f"{old.version}_to_{new.version}" for new, old in zip(contracts, older, strict=False)]
    yield f"from . import {', '.join([*(['steps'] if older else []), *versions, *pairs])}"
    yield "from .methods import Method, missing_methods\n"
    yield "if TYPE_CHECKING:"
    yield "    from pathlib import Path\n"
    yield "    from ..model import Model\n"
    yield f"    def load_model(artifact: Path) -> {newest.version}.ModelInterface:"
    yield '        """Never called: the type checker reports here what class Model lacks of the interface."""'
    yield "        return Model(artifact)\n"
    yield "__all__ = ['METHODS', 'SERVICES', 'Method', 'missing_code']\n"
    for contract, pair in zip(older, pairs, strict=True):
        yield f"{_instance(contract)}: {pair}.Carried = steps.made(upgrade_{contract.version}.Upgrade)"
    yield "SERVICES: dict[str, tuple[Method, ...]] = {"
    yield f"    {newest.version}.SERVICE: {newest.version}.METHODS,"
    for index, contract in enumerate(older):
        yield f"    {contract.version}.SERVICE: ("
        for method in contract.methods:
            yield f"        {_answered(contract, method, contracts[index::-1])},"
        yield "    ),"
    yield "}"
    yield "METHODS = tuple(method for methods in SERVICES.values() for method in methods)\n"
    yield "\ndef missing_code(module: ModuleType) -> str:"
    yield '    """What the author must still write before this can be served, empty when nothing is."""'
    yield f"    missing = missing_methods(module, {newest.version}.ModelInterface, {newest.version}.METHODS)"
    yield f"    return '; '.join({'[*missing, *steps.unfinished]' if older else 'missing'})"


def _instance(contract: Contract) -> str:
    return f"FROM_{contract.version.upper()}"


def _answered(contract: Contract, method: Method, newer: Sequence[Contract]) -> str:
    """What answers `method` of an older version; `newer` are the versions above it, the next one first."""
    steps, at = [], contract
    current = method
    for above in newer:
        kept = upgrade_modules.kept(at, above, current)
        if kept is None:
            break
        steps.append(_step(at, current, above, kept))
        at, current = above, kept
    last = f"{at.version}.METHODS[{at.methods.index(current)}]"
    if at is not newer[-1]:
        last = f"steps.alone({last}, {_instance(at)}.{reserved_names.snake(current.name)})"
    if not steps:
        return last
    index = contract.methods.index(method)
    return f"steps.through({contract.version}.METHODS[{index}], {last}, {', '.join(steps)})"


def _step(older: Contract, method: Method, newer: Contract, kept: Method) -> str:
    name, instance = reserved_names.snake(method.name), _instance(older)
    message = f"{older.package}.{method.request.in_proto}".lstrip(".")
    given = [
        f"upgrade={instance}.{name}_request",
        f"downgrade={instance}.{name}_response",
        f"check={newer.version}.write_{reserved_names.snake(kept.request.name)}",
        f'older="{message}"',
        f'newer="{newer.version}"',
        f"renamed={instance}.renamed",
    ]
    return f"steps.Step({', '.join(given)})"
