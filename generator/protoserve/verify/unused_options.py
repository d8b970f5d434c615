"""Refuses options that a run would ignore, since whoever gives one expects that it matters."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from protoserve.verify.address import UsageError
from protoserve.verify.options import GRACE, MEMORY, docker_command

# The kinds of target as users know them; `http` is --http without a target.
_KINDS = {
    "address": "the address of a server",
    "http": "--http HOST:PORT alone",
    "project": "a project",
    "command": "a command",
    "image": "an image",
    "spec": "a specification alone",
}
_SERVERS = ("address", "http", "project", "command", "image")
_STARTED = ("project", "command", "image")
# Option, attribute, value if it is not given, and the kinds of target that it applies to.
_APPLIES_TO: tuple[tuple[str, str, Any, tuple[str, ...]], ...] = (
    ("--port", "port", None, ("command", "image")),
    ("--docker", "docker", docker_command, ("image",)),
    ("--memory", "memory", MEMORY, ("image",)),
    ("--writable", "writable", False, ("image",)),
    ("--grace", "grace", GRACE, _STARTED),
    ("--tls", "tls", False, ("address",)),
    ("--ca", "ca", None, ("address",)),
    ("--tls-name", "tls_name", None, ("address",)),
    ("--project", "project", None, ("address", "http", "command", "image")),
    ("--proto", "proto", None, _SERVERS),
    ("--request", "request", [], _SERVERS),
    ("--call", "call", [], _SERVERS),
    ("--no-call", "no_call", [], _SERVERS),
    ("--metadata", "metadata", [], _SERVERS),
    ("--instance", "instance", None, _SERVERS),
)


def refuse(options: argparse.Namespace, kind: str) -> None:
    """Raises UsageError for an option that has no effect on this kind of target, unless it has its default value."""
    kind = "http" if kind == "address" and options.target is None else kind
    for option, attribute, default, kinds in _APPLIES_TO:
        value = getattr(options, attribute)
        if value != (default() if callable(default) else default) and kind not in kinds:
            raise UsageError(f"{option} has no effect on {_KINDS[kind]}, only on {_any_of(kinds)}: remove it")
    for problem in _missing_companions(options, kind):
        raise UsageError(problem)


def _any_of(kinds: tuple[str, ...]) -> str:
    if kinds == _SERVERS:
        return "a server"
    *others, last = (_KINDS[kind] for kind in kinds)
    return f"{', '.join(others)} or {last}" if others else last


def _missing_companions(options: argparse.Namespace, kind: str) -> Iterator[str]:
    """What is wrong with options that need another one."""
    if options.region and options.spec is None:
        yield "--region has no effect without --spec: add --spec FILE, or remove --region"
    has_http = options.http is not None or (options.platform == "vertex" and kind in ("command", "image"))
    if options.instance is not None and not has_http:
        yield "--instance has no effect without an HTTP side: add --http HOST:PORT, or remove --instance"
