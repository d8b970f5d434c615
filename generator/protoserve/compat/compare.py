"""Two contracts, and every change from one to the other."""

from __future__ import annotations

from protoserve.compat.change import Break, Change, Changes
from protoserve.compat.message_pairs import counterparts, reach
from protoserve.compat.rules import enums, fields, imports
from protoserve.compat.rules.documentation import compare_documentation
from protoserve.compat.rules.proto_options import compare_name_style, compare_options, compare_place
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Method, Where, same_type

STABILITY_WITHDRAWN = "stability-withdrawn"  # breaks nobody yet, and lets the next change do so


def compare(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Every change, sorted by path and rule; empty for contracts that say the same.

    Both must have all their numbers (see `protoserve.schema.assign_numbers`). What a change breaks depends on where it
    is: each message and enum is judged for the directions in which methods of both contracts use it, through fields,
    lists, maps, oneofs and streams; one that is used in both is judged for both.
    """
    changes = Changes()
    compare_documentation(old, new, "doc", new.where("doc"), changes)
    _compare_status(old, new, changes)
    if old.package != new.package:
        why = f"the package is {new.package}, was {old.package}: the path of every method has another name"
        remedy = f"keep {old.package} beside it: `protoserve version` makes a new version and leaves the old one there"
        changes.add("package", new.where("package"), "package-changed", {Break.WIRE}, why, remedy)
    if old.service != new.service:
        why = f"the service is {new.service}, was {old.service}: calls of the old name fail"
        changes.add(
            "service", new.where("service"), "service-renamed", {Break.WIRE}, why, f"keep the name {old.service}"
        )
    compare_name_style(old, new, new.where("names"), changes)
    compare_options(old.options, new.options, "", new.where("options"), changes)
    where = new.where("service_options")
    compare_options(old.service_options, new.service_options, "service", where, changes)
    imports.compare_imports(old, new, changes)
    _compare_methods(old, new, changes)
    met = reach(old, new)
    for first, second in met.messages:
        before, after = old.message(first), new.message(second)
        assert before is not None
        assert after is not None
        used = met.of_message((first, second))
        path = after.where.path or f"messages.{after.name}"
        compare_documentation(before, after, path, after.where, changes)
        compare_options(before.options, after.options, path, after.where, changes)
        compare_place(old, before, new, after, path, changes)
        fields.compare_fields(old, new, before, after, used, changes)
    for (first, second), directions in met.enums.items():
        was, now = old.enum(first), new.enum(second)
        assert was is not None
        assert now is not None
        compare_place(old, was, new, now, now.where.path or f"enums.{now.name}", changes)
        enums.compare_enums(was, now, frozenset(directions), changes)
    _compare_definitions(old, new, changes)
    return tuple(changes)


def _compare_status(old: Contract, new: Contract, changes: Changes) -> None:
    if old.status == new.status:
        return
    if new.status == "stable":
        changes.add("status", new.where("status"), "declared-stable", (), "breaking changes are refused from now on")
    else:
        remedy = "keep `status: stable`; what breaks callers is a new version, `protoserve version v2`"
        why = "the contract was stable: callers rely on it"
        changes.add("status", new.where("status"), STABILITY_WITHDRAWN, (), why, remedy)


def _compare_methods(old: Contract, new: Contract, changes: Changes) -> None:
    after = {method.name: method for method in new.methods}
    holders = _Holders(old, new)
    for was in old.methods:
        now = after.pop(was.name, None)
        path = was.where.path or f"methods.{was.name}"
        if now is None:
            why = "the method is gone: its callers get UNIMPLEMENTED"
            remedy = "keep it, and let its doc say what to use instead"
            changes.add(path, holders.where(path), "method-removed", {Break.WIRE}, why, remedy)
            continue
        compare_documentation(was, now, path, now.where, changes)
        compare_options(was.options, now.options, path, now.where, changes)
        _compare_streams(was, now, path, changes)
        _compare_served(was, now, path, changes)
        for part, before, later in (
            ("request", was.request.name, now.request.name),
            ("response", was.response.name, now.response.name),
        ):
            if not same_type(old, before, new, later):
                _report_message_name(now, f"{path}.{part}", before, later, changes)
    for method in after.values():
        changes.add(method.where.path or f"methods.{method.name}", method.where, "method-added", (), "new")


def _compare_streams(was: Method, now: Method, path: str, changes: Changes) -> None:
    if (was.client_streaming, was.streaming) == (now.client_streaming, now.streaming):
        return
    form = "a stream of replies" if now.streaming else "one reply"
    if was.client_streaming != now.client_streaming:
        form = f"{'a stream of requests' if now.client_streaming else 'one request'} and gives {form}"
    why = f"it {'answers with' if ' and ' not in form else 'takes'} {form} now: callers who expect the other form fail"
    remedy = "keep it, and add a method of the other form"
    changes.add(f"{path}.streaming", now.where, "streaming-changed", {Break.WIRE}, why, remedy)


def _compare_served(was: Method, now: Method, path: str, changes: Changes) -> None:
    if was.served and not now.served:
        why = "the method is not served any more: its callers get UNIMPLEMENTED"
        remedy = "serve it, and let its doc say what to use instead"
        changes.add(f"{path}.served", now.where, "method-unserved", {Break.WIRE}, why, remedy)
    elif now.served and not was.served:
        changes.add(f"{path}.served", now.where, "method-served", (), "its callers get replies now")


class _Holders:
    """Places in the new schema of what held something that is gone."""

    def __init__(self, old: Contract, new: Contract) -> None:
        self._old = {method.name: index for index, method in reversed([*enumerate(old.methods)])}
        self._new = {method.name: method for method in reversed(new.methods)}
        self._contract = new

    def where(self, path: str) -> Where:
        """Of the method in which the path was, or of the one that took its place."""
        first, *inner = path.split(".")
        index = self._old.get(inner[0]) if first == "methods" and inner else None
        if index is None:
            return self._contract.where(first)
        if (same := self._new.get(inner[0])) is not None:
            return same.where
        at_its_place = self._contract.methods[index : index + 1]
        return next((item.where for item in at_its_place if item.name not in self._old), self._contract.where(first))


def _report_message_name(now: Method, path: str, before: str, after: str, changes: Changes) -> None:
    why = f"the message is {after}, was {before}: what it holds is compared by itself, its name is another in code"
    changes.add(path, now.where, "message-renamed", {Break.SOURCE}, why, f"write `message: {before}`")


def _compare_definitions(old: Contract, new: Contract, changes: Changes) -> None:
    """Reports messages and enums that the new contract lacks, under their name at least, and those that are new."""
    kept, holders = counterparts(old, new), _Holders(old, new)
    for message in old.all_messages():
        name = message.name
        if name not in kept:
            path = message.where.path or f"messages.{name}"
            why = f"the message is gone, or has another name: code that names {name} does not compile"
            remedy = f"keep {name}, even where nothing uses it"
            changes.add(path, holders.where(path), "message-removed", {Break.SOURCE}, why, remedy)
    there_before = set(kept.values())
    for message in new.all_messages():
        if message.name not in there_before:
            changes.add(message.where.path or f"messages.{message.name}", message.where, "message-added", (), "new")
    for name in old.tensors():
        if name not in new.tensors():
            tensor, where = reserved_names.tensor(name), new.where("methods")
            why = f"no shape of {name} has a named dimension now, so {tensor} is gone"
            remedy = "keep one field that uses it"
            changes.add(f"messages.{tensor}", where, "message-removed", {Break.SOURCE}, why, remedy)
    for enum in old.enums:
        if enum.name not in kept:
            enums.report_removed_enum(enum, new.where("enums"), changes)
    for enum in new.enums:
        if enum.name not in there_before:
            changes.add(enum.where.path or f"enums.{enum.name}", enum.where, "enum-added", (), "new")
