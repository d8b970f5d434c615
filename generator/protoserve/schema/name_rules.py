"""Names of a draft: that each can be used, and that no two are the same where they meet."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable

from protoserve.platform.yaml_tree import Place
from protoserve.schema import reserved_names, well_known_types
from protoserve.schema.mapping_reader import Section
from protoserve.schema.reserved_names import Complaint
from protoserve.schema.unchecked_contract import Draft, EnumDraft, MessageDraft, ValueDraft


def check(draft: Draft) -> None:
    if draft.package:
        _report_complaint(draft.section, "package", reserved_names.package(draft.package, exact=draft.exact))
    service = reserved_names.identifier if draft.exact else reserved_names.pascal
    _report_complaint(draft.section, "service", service(draft.service, "service"))
    for method in draft.methods:
        _report_complaint(method.section, None, reserved_names.method(method.name, exact=draft.exact))
    _report_clashes(
        [(m.name, m.section, "method") for m in draft.methods], reserved_names.snake, "in Python and in file names"
    )
    _check_type_names(draft)
    for message in draft.all_messages():
        _check_fields(message, exact=draft.exact or message.imported is not None)
    for enum in draft.enums:
        _check_values(enum)
    _value_scope(draft)
    _check_stub_names(draft)


def _report_complaint(section: Section, key: str | None, complaint: Complaint | None) -> None:
    if complaint is not None:
        section.report(key, *complaint)


def _report_clashes(
    items: Iterable[tuple[str, Section, str]], form: Callable[[str], str], where: str, remedy: str = "rename one"
) -> None:
    """Reports names that are equal, or become so in the form that they take `where`."""
    first: dict[str, tuple[str, Section, str]] = {}
    for name, section, what in items:
        taken = first.setdefault(form(name).replace("_", "").lower(), (name, section, what))
        if taken[1] is section:
            continue
        line = taken[1].place.line
        if taken[0] == name:
            message = f"the {what} {name!r} has the name of the {taken[2]} on line {line}"
        else:
            message = f"the {what} {name!r} and the {taken[2]} {taken[0]!r} (line {line}) are one name {where}"
        section.report("message" if "message" in section else None, message, remedy)


def _check_type_names(draft: Draft) -> None:
    """Messages, enums and the service share one scope in the .proto, and one module in Python."""
    items: list[tuple[str, Section, str]] = []
    for enum in draft.enums:
        _report_complaint(enum.section, None, _kind_complaint(enum, "enum", draft))
        items.append((enum.name, enum.section, "enum"))
    for message in draft.messages:
        if message.name not in well_known_types.FILES:
            _report_complaint(message.section, None, _kind_complaint(message, "message", draft))
        items.append((message.name, message.section, "message"))
    shared = {id(message) for message in draft.messages}
    for method in draft.methods:
        for body in (method.request, method.response):
            if id(body) not in shared and body.section is not method.section:
                # A wrong name of the method is reported there; here only one that the author wrote.
                if "message" in body.section:
                    _report_complaint(
                        body.section, "message", reserved_names.kind(body.name, "message", exact=draft.exact)
                    )
                items.append((body.name, body.section, "message"))
    _report_clashes(items, lambda name: reserved_names.snake(draft.python_names[name]), "in Python")
    _check_nesting(draft)
    if not draft.exact:
        _check_hidden_by_methods(draft)
    fields = [item.field for message in draft.all_messages() for item in message.fields]
    tensors = {reserved_names.tensor(field.type): field for field in fields if field.dynamic and field.scalar}
    own = {message.name for message in draft.all_messages() if message.imported is None}
    own |= {enum.name for enum in draft.enums if enum.imported is None}
    for name, section, what in items:
        if name not in own:
            continue
        if name == draft.service:
            section.report(None, f"the {what} {name!r} has the name of the service", f"rename the {what}")
        elif name in tensors:
            reason = f"the message that is made for shapes with named dimensions, as {tensors[name].name!r} has"
            section.report(None, f"{name!r} is {reason}", f"rename the {what}")


def _kind_complaint(kind: MessageDraft | EnumDraft, what: str, draft: Draft) -> Complaint | None:
    """An imported .proto has names in any style, whatever the schema's own are."""
    return reserved_names.kind(kind.in_proto, what, exact=draft.exact or kind.imported is not None)


def _check_nesting(draft: Draft) -> None:
    """A name with a dot is that of a message or an enum inside a message."""
    kinds: list[MessageDraft | EnumDraft] = [*draft.enums]
    kinds += [item for item in draft.all_messages() if item.name not in well_known_types.FILES]
    for kind in kinds:
        outer = kind.name.rpartition(".")[0]
        around = draft.message_names.get(outer)
        if "." in kind.in_proto and (around is None or around.imported is not kind.imported):
            kind.section.report(None, f"{kind.name!r} needs a message {outer!r} to be in", f"define {outer!r} too")
    for message in draft.messages:
        around = draft.message_names.get(message.name.rpartition(".")[0])
        if message.after is not None and (around is None or message.after not in {f.name for f in around.fields}):
            remedy = "name one, or take `after` out"
            message.section.report("after", f"{message.after!r} is not a field of the message around this one", remedy)


def _check_hidden_by_methods(draft: Draft) -> None:
    """Inside a service protoc takes a method's name for the method, also where a message is meant."""
    methods = {method.name for method in draft.methods}
    for method in draft.methods:
        for kind, body in (("request", method.request), ("response", method.response)):
            inner = method.section.section(kind)
            if body.name in methods and inner is not None:
                inner.report(
                    "message", f"{body.name!r} is a method too, and the .proto means that", "rename the message"
                )


def _check_fields(message: MessageDraft, *, exact: bool) -> None:
    first: dict[str, Section] = {}
    in_json: dict[str, str] = {}
    for item in message.fields:
        _report_complaint(item.section, "name", reserved_names.field(item.name, exact=exact))
        if (item.field.json_name or "").startswith("[") and (item.field.json_name or "").endswith("]"):
            # https://protobuf.dev/programming-guides/json/: an extension is written so
            item.section.report("json_name", "a name in JSON must not be in brackets", "write it without them")
        taken = first.setdefault(item.name, item.section)
        if taken is not item.section:
            remedy = "rename one, or take it out if two branches added the same field"
            item.section.report("name", f"the field {item.name!r} appears twice (first on line {_line(taken)})", remedy)
            continue
        other = in_json.setdefault(item.field.json_name or reserved_names.json_name(item.name), item.name)
        if other != item.name:
            item.section.report(
                "name", f"{item.name!r} and {other!r} (line {_line(first[other])}) are one name in JSON", "rename one"
            )
    _check_renamed_from([(item.name, item.field.renamed_from, item.section) for item in message.fields], "field", str)
    for oneof, members in message.oneofs().items():
        section = members[0].section
        _report_complaint(section, "oneof", reserved_names.field(oneof, "oneof", exact=exact))
        if oneof in first:
            problem = f"the oneof {oneof!r} has the name of the field on line {_line(first[oneof])}"
            section.report("oneof", problem, "rename one of them")


def _check_renamed_from(items: list[tuple[str, str | None, Section]], what: str, form: Callable[[str], str]) -> None:
    """Reports a `renamed_from` that names what is still there, or what another one says it was."""
    names_now = {form(name): section for name, _, section in items}
    taken: dict[str, str] = {}
    for name, earlier, section in items:
        if earlier is None:
            continue
        remedy = f"write the name that the {what} had before, or take `renamed_from` out"
        if form(earlier) in names_now:
            problem = f"{earlier!r} is the name of a {what} that still exists (line {_line(names_now[form(earlier)])})"
            section.report("renamed_from", problem, remedy)
        elif form(earlier) in taken:
            section.report("renamed_from", f"{taken[form(earlier)]!r} was {earlier!r} already", remedy)
        taken[form(earlier)] = name


def _line(section: Section) -> int:
    return section.at("name").line


def _check_values(enum: EnumDraft) -> None:
    first: dict[str, tuple[str, Place]] = {}
    for item in enum.values:
        name, where = item.value.name, item.value.where
        place = _place(item)
        complaint = reserved_names.value(name, exact=enum.exact)
        if complaint is not None:
            enum.section.problems.add(place, where.path, *complaint)
        taken = first.setdefault(reserved_names.value_attribute(name), (name, place))
        if taken[1] is place:
            continue
        same = "appears twice" if taken[0] == name else f"is {taken[0]!r} in other letters"
        message = f"the value {name!r} {same} (first on line {taken[1].line})"
        enum.section.problems.add(place, where.path, message, "rename one of them")
    sections = [(item.value, item.source) for item in enum.values if isinstance(item.source, Section)]
    _check_renamed_from([(value.name, value.renamed_from, section) for value, section in sections], "value", str.upper)


def _check_stub_names(draft: Draft) -> None:
    """The stubs have `None_` for a type, a value or a method `None`: nothing in its scope may be called that."""
    kinds: list[MessageDraft | EnumDraft] = [*draft.all_messages(), *draft.enums]
    renamed = [(_full_name(kind, draft), kind.section.place, kind.section.path, kind.section) for kind in kinds]
    for enum in draft.enums:
        scope = _full_name(enum, draft).rpartition(".")[0]
        renamed += [
            (f"{scope}.{item.value.name}", _place(item), item.value.where.path, enum.section) for item in enum.values
        ]
    renamed += [
        (f"{draft.service}.{item.name}", item.section.place, item.section.path, item.section) for item in draft.methods
    ]
    there = {name for name, *_ in renamed}
    for message in draft.all_messages():
        names = {*(item.name for item in message.fields), *message.oneofs()}
        there |= {f"{_full_name(message, draft)}.{name}" for name in names}
    for name, place, path, section in renamed:
        last = name.rpartition(".")[2]
        if keyword.iskeyword(last) and f"{name}_" in there:
            problem = f"Python's stubs need the name '{last}_' for {last!r}, and something beside it has that name"
            section.problems.add(place, path, problem, "rename one of the two")


def _full_name(kind: MessageDraft | EnumDraft, draft: Draft) -> str:
    return f"{draft.package if kind.imported is None else kind.imported.package}.{kind.in_proto}"


def _place(item: ValueDraft) -> Place:
    return item.source.at("name") if isinstance(item.source, Section) else item.source.place


def _value_scope(draft: Draft) -> None:
    """In a .proto the values of all enums of a package share one scope."""
    first: dict[str, tuple[EnumDraft, str]] = {}
    for enum in draft.enums:
        written = [] if enum.exact else [("unspecified", enum.section.place, enum.section.path)]
        written += [(item.value.name, _place(item), item.value.where.path) for item in enum.values]
        scope = draft.package if enum.imported is None else enum.imported.package
        outer, _, inner = enum.in_proto.rpartition(".")
        for name, place, path in written:
            full = f"{outer}.{name if enum.exact else reserved_names.enum_value(inner, name)}".lstrip(".")
            other, said = first.setdefault(f"{scope}.{full}", (enum, name))
            if other is not enum and reserved_names.snake(other.name) != reserved_names.snake(enum.name):
                message = f"{enum.name}.{name} and {other.name}.{said} are both {full} in the .proto"
                enum.section.problems.add(place, path, message, "rename a value or an enum")
