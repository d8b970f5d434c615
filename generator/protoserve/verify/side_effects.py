"""Methods that verify does not call: by what their names say, or because the user says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from protoserve.verify.address import UsageError
from protoserve.verify.interface import Interface, Method

# A method with one of these words in its name changes the server, its models or its data.
_CHANGING = frozenset(
    "abort activate add append archive attach ban cancel clear close commit configure create deactivate delete "
    "deploy deregister destroy detach disable drain drop enable enqueue erase evict exit fit flush import ingest "
    "insert install kill load lock migrate modify move mutate offload patch pause preload publish purge push put "
    "quit reboot recover refresh register release reload remove rename replace reset resize restart restore "
    "resume retrain revert revoke rollback save scale send set shut shutdown sleep start stop store submit "
    "suspend swap switch sync terminate train undeploy undo uninstall unload unlock unregister unset update "
    "upgrade upload upsert wake wipe write".split()
)
# One that starts with these only answers, unless it then does something else: PredictLoad, but not PredictAndUpdate.
_ANSWERING = frozenset(
    "check classify count describe detect embed estimate explain find forecast get has infer is list predict query "
    "rank read recommend score search show translate watch".split()
)
_THEN = frozenset(("and", "or", "then"))
NO_CALL = "--no-call"  # the reason of a method that the user excluded; that of others is a word of their name
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def changing_word(name: str) -> str | None:
    """The word that says that a method of this name changes something, in lower case; None if none does.

    Words are those of CamelCase and of snake_case: `ModelUnload`, `unload_model` and `UNLOAD` have `unload`.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if words[:1] and words[0] in _ANSWERING and _THEN.isdisjoint(words):
        return None
    return next((word for word in words if word in _CHANGING), None)


def left_alone(interface: Interface, call: Sequence[str], no_call: Sequence[str]) -> dict[str, str]:
    """Why each method that must not be called is left alone, by its path.

    `call` and `no_call` are names, `Method` or `package.Service/Method`: the arguments of --call and --no-call.
    Raises UsageError for one that no method has.
    """
    called = _named(interface, call, "--call")
    excluded = _named(interface, no_call, NO_CALL)
    if both := next((path for path in called if path in excluded), None):
        raise UsageError(f"{both.lstrip('/')} is in --call and in --no-call: remove it from one of them")
    reasons: dict[str, str] = {}
    for method in interface.methods:
        if method.path in excluded:
            reasons[method.path] = NO_CALL
        elif method.path not in called and (word := changing_word(method.name)) is not None:
            reasons[method.path] = word
    return reasons


def _named(interface: Interface, names: Iterable[str], option: str) -> set[str]:
    """The paths of the methods with these names; several services may have a method of one name."""
    paths: set[str] = set()
    for name in names:
        found = [method.path for method in interface.methods if name.lstrip("/") in _names(method)]
        if not found:
            known = ", ".join(method.path.lstrip("/") for method in interface.methods) or "none"
            raise UsageError(f"{option} {name}: the contract has no such method; the methods are: {known}")
        paths.update(found)
    return paths


def _names(method: Method) -> tuple[str, ...]:
    """What a user may call it."""
    service = method.service.rpartition(".")[2]
    return method.name, f"{service}/{method.name}", method.path.lstrip("/"), f"{method.service}.{method.name}"
