"""Each node of the tree knows its place, whatever stands around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protoserve.platform.yaml_tree import Mapping, Node, Scalar, Sequence, YamlError, parse

PIECES = (
    *("a: ", "é: ", "😀: ", '"k": ', "- ", "\n", "\r\n", "\n  ", "\n    ", "  "),
    *("{", "}", "[", "]", ", ", "{a: , b: }", "[x, , y]", "{}", "[]", "{a: 1, b: [é, 😀]}"),
    *(
        "x",
        "12",
        "two words",
        "is it? a?b ?",
        "😀",
        '"q\\u00e9"',
        "'it''s'",
        '"a\n  b"',
        "|\n  text\n",
        ">-\n  é\n",
        "~",
    ),
    *("# comment\n", " # é", "# {", "---\n", "...\n"),
)
texts = st.builds(
    lambda bom, parts: bom + "".join(parts),
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.sampled_from(PIECES), max_size=12),
)


def nodes(node: Node) -> Iterator[Node]:
    """The node and all that is below it."""
    yield node
    children = [inner for entry in node.entries for inner in entry] if isinstance(node, Mapping) else []
    for child in node.items if isinstance(node, Sequence) else children:
        assert node.place.start <= child.place.start <= child.place.end <= max(node.place.end, child.place.end)
        yield from nodes(child)


@given(texts)
@example("\ufeffa: 😀\r\nb: [, x]")
@example("\ufeff{a: , b: , 😀: {c: }}")
@example("a: # é😀\r\n  - {b: , c: x} # d\r\n  -\r\n")
def test_every_place_cuts_the_node_out_of_the_text(text: str) -> None:
    try:
        root = parse(text)
    except YamlError:
        return
    for node in nodes(root):
        start, end = node.place.start, node.place.end
        written = text[start:end]
        before = text[:start]
        assert node.place.line == before.count("\n") + 1
        assert node.place.column == start - (before.rfind("\n") + 1) + 1
        if not isinstance(node, Scalar):
            assert not node.flow or (written[0], written[-1]) in {("[", "]"), ("{", "}")} or ": " in written
        elif node.quoted:
            assert (written[0], written[-1]) in {('"', '"'), ("'", "'")} or written[0] in "|>"
        else:
            assert written.split() == node.text.split()


@pytest.mark.parametrize(
    ("text", "value", "place"),
    [
        ("a: no", "no", (3, 5)),
        ("a: 0o17", 15, (3, 7)),
        ("a: 017", 17, (3, 6)),
        ("a: 12:30", "12:30", (3, 8)),
        ("a: 1_000", "1_000", (3, 8)),
        ("a:\nb: 1", None, (2, 2)),
        ("{a: , b: 1}", None, (3, 3)),
        ("{a: Is it? Or ?, b: c}", "Is it? Or ?", (4, 15)),
        ("\ufeffa: 😀 # b", "😀", (4, 5)),
    ],
)
def test_the_first_value(text: str, value: object, place: tuple[int, int]) -> None:
    root = parse(text)
    assert isinstance(root, Mapping)
    node = root.entries[0][1]
    assert isinstance(node, Scalar)
    assert (node.value, (node.place.start, node.place.end)) == (value, place)
