"""Numbers and names of what is gone, written into `reserved` in the text of a schema; every other byte stays."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.platform.yaml_tree import Mapping, Node, Place, Scalar, Sequence
from protoserve.schema.load import draft_of
from protoserve.schema.mapping_reader import Section
from protoserve.schema.model import Reserved
from protoserve.schema.text_edits import Edit, applied, failed, reads_as
from protoserve.schema.unchecked_contract import EnumDraft, MessageDraft

# A plain word that YAML reads as something else than a text.
_NO_TEXT = {"true", "false", "null"}


def reserve(text: str, file: str, left: dict[str, Reserved]) -> str:
    """The schema with these numbers and names reserved, by the name of their message or enum.

    Raises SchemaError for a schema that is not sound, and where the text is written in a way that is not foreseen.
    """
    package = "unnamed.v1"
    draft = draft_of(text, file, default_package=package)
    edits: list[Edit] = []
    owners: list[MessageDraft | EnumDraft] = [*draft.all_messages(), *draft.enums]
    for owner in owners:
        more = left.get(draft.python_names[owner.name])
        if more is None or not (more.ranges or more.names):
            continue
        edits.extend(_edits(text, owner, more))
        owner.reserved = Reserved(owner.reserved.ranges + more.ranges, owner.reserved.names + more.names)
    if not edits:
        return text
    result = applied(text, edits)
    if not reads_as(result, draft.finished(file), package):
        raise failed(text, file, edits, "`reserved`", "write it yourself: `reserved: {numbers: [...], names: [...]}`")
    return result


def _edits(text: str, owner: MessageDraft | EnumDraft, more: Reserved) -> Iterator[Edit]:
    numbers = [str(low) if low == high else f'"{low} to {high}"' for low, high in more.ranges]
    names = [f'"{name}"' if name.lower() in _NO_TEXT else name for name in more.names]
    section = owner.section
    there = section.node_of("reserved")
    if isinstance(there, Mapping) and there.entries:
        inner = section.section("reserved")
        assert inner is not None  # it has been read as one
        # A key that is new comes below the list that gets longer, where both end at one place.
        for key, items in sorted((("numbers", numbers), ("names", names)), key=lambda item: item[0] not in inner):
            if items:
                yield from _extended(text, inner, key, items)
        return
    parts = [f"{key}: [{', '.join(items)}]" for key, items in (("numbers", numbers), ("names", names)) if items]
    value = f"{{{', '.join(parts)}}}"
    if there is not None:  # `reserved:` with nothing, or with `{}`
        yield _given(text, section.keys["reserved"].place, there, value)
    else:
        yield _added(text, section, f"reserved: {value}")


def _given(text: str, key: Place, node: Node, value: str) -> Edit:
    """A value in place of an empty one."""
    if isinstance(node, Scalar) and not node.text:
        colon = text.index(":", key.end) + 1
        return Edit(colon, colon, f" {value}")
    return Edit(node.place.start, node.place.end, value)


def _added(text: str, section: Section, entry: str) -> Edit:
    """A new key at the end of a mapping: behind its last value in braces, on a line of its own otherwise."""
    if not section.node.entries:
        start = section.node.place.start
        if text.startswith("{", start):
            return Edit(start + 1, start + 1, entry)
        return _given(text, section.place, Scalar(section.node.place, "", None, False), f"{{{entry}}}")
    end = _end(section.node.entries[-1][1])
    if section.node.flow:
        return Edit(end, end, f", {entry}")
    return _line(text, end, section.node.entries[0][0].place.column, entry)


def _line(text: str, end: int, column: int, content: str) -> Edit:
    """A line below the one on which `end` is; a comment there stays where it is."""
    line_end = "\r\n" if "\r\n" in text else "\n"
    indent = " " * (column - 1)
    newline = text.find("\n", max(end - 1, 0))
    if newline < 0:
        return Edit(len(text), len(text), f"{line_end}{indent}{content}")
    return Edit(newline + 1, newline + 1, f"{indent}{content}{line_end}")


def _end(node: Node) -> int:
    """Where the last thing that a node says ends: a block ends, for YAML, only where the next one begins."""
    if isinstance(node, Sequence) and node.items and not node.flow:
        return _end(node.items[-1])
    if isinstance(node, Mapping) and node.entries and not node.flow:
        return _end(node.entries[-1][1])
    return node.place.end


def _extended(text: str, section: Section, key: str, items: list[str]) -> Iterator[Edit]:
    """More items of a list; the list itself where it is not there."""
    node = section.node_of(key)
    if node is None:
        yield _added(text, section, f"{key}: [{', '.join(items)}]")
    elif isinstance(node, Sequence) and node.items:
        end = _end(node.items[-1])
        if node.flow:
            yield Edit(end, end, "".join(f", {item}" for item in items))
        else:
            column = node.items[0].place.column - 2
            for item in items:
                yield _line(text, end, column, f"- {item}")
    else:
        yield _given(text, section.keys[key].place, node, f"[{', '.join(items)}]")
