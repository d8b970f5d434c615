"""What the server serves: the methods of every version of a project's contract, as one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protoserve.emit import upgrade_modules
from protoserve.emit.proto import HEADER
from protoserve.emit.python_templates import render
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Method


@dataclass(frozen=True, slots=True)
class OlderVersion:
    """A version that upgrades answer: the module of its upgrade, and an expression for each of its methods."""

    version: str
    upgrade: str
    methods: list[str]


def render_served(contracts: Sequence[Contract]) -> str:
    """`PACKAGE/contract/served.py`; `contracts` are newest first. Not yet formatted."""
    newest, *older = contracts
    versions = [
        OlderVersion(
            contract.version,
            f"{contract.version}_to_{newer[0].version}",
            [_method(contract, method, newer) for method in contract.served_methods],
        )
        for index, contract in enumerate(older)
        if (newer := contracts[index::-1])
    ]
    modules = [*(contract.version for contract in contracts), *(version.upgrade for version in versions)]
    unserved = {
        contract.full_service: [method.name for method in contract.methods if not method.served]
        for contract in contracts
    }
    return render(
        "served",
        header=HEADER,
        newest=newest,
        older=versions,
        modules=modules,
        unserved={service: names for service, names in unserved.items() if names},
    )


def _instance(contract: Contract) -> str:
    """The constant that holds the author's upgrade from a version."""
    return f"FROM_{contract.version.upper()}"


def _method(contract: Contract, method: Method, newer: Sequence[Contract]) -> str:
    """What answers `method` of an older version; `newer` are the versions above it, the next one first."""
    steps, at = [], contract
    current = method
    for above in newer:
        next_method = upgrade_modules.counterpart(above, current)
        if next_method is None:
            break
        steps.append(_step(at, current, above, next_method))
        at, current = above, next_method
    last = f"{at.version}.METHODS[{at.served_methods.index(current)}]"
    if at is not newer[-1]:
        last = f"steps.retired_method({last}, {_instance(at)}.{current.attribute})"
    if not steps:
        return last
    index = contract.served_methods.index(method)
    return f"steps.upgraded_method({contract.version}.METHODS[{index}], {last}, {', '.join(steps)})"


def _step(older: Contract, method: Method, newer: Contract, newer_method: Method) -> str:
    name, instance = method.attribute, _instance(older)
    message = older.full_name(method.request)
    arguments = [
        f"upgrade={instance}.{name}_request",
        f"downgrade={instance}.{name}_response",
        f"check={newer.version}.write_{reserved_names.snake(newer_method.request.name)}",
        f'older="{message}"',
        f'newer="{newer.version}"',
        f"renamed={instance}.renamed",
    ]
    return f"steps.Step({', '.join(arguments)})"
