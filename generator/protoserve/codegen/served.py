"""What the server serves: the methods of every version of a project's contract, as one module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protoserve.codegen.proto import HEADER
from protoserve.contract.model import Contract


def render(contracts: Sequence[Contract]) -> str:
    """`PACKAGE/contract/served.py`; `contracts` are newest first. Not yet formatted."""
    return "\n".join(_module(contracts)) + "\n"


def _module(contracts: Sequence[Contract]) -> Iterator[str]:
    newest = contracts[0].version
    yield f'"""All that the server serves: every version of the service, the newest first.\n\n{HEADER}\n"""\n'
    yield "from types import ModuleType\n"
    yield f"from . import checks, {newest}"
    yield "from .checks import Method\n"
    yield "SERVICES: dict[str, tuple[Method, ...]] = {"
    yield f"    {newest}.SERVICE: {newest}.METHODS,"
    yield "}"
    yield "__all__ = ['METHODS', 'SERVICES', 'Method', 'missing']\n"
    yield "METHODS = tuple(method for methods in SERVICES.values() for method in methods)"
    yield "\ndef missing(module: ModuleType) -> str:"
    yield '    """What the author must still write before this can be served, empty when nothing is."""'
    yield f"    return '; '.join(checks.missing(module, {newest}.ModelInterface, {newest}.METHODS))"
