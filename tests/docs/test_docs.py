"""The documentation says what the code does: settings, keys, types, every schema with what becomes of it, and links."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest
from google.protobuf import json_format

from protoserve.emit import contract_module, generated_files, proto
from protoserve.project.questions import ADOPTED
from protoserve.schema import parse
from protoserve.schema.errors import SchemaError
from protoserve.schema.field_keys import FIELD_KEYS
from protoserve.schema.load import load, loads
from protoserve.schema.signature import signature_to_yaml
from protoserve.schema.types import ALIASES, MAP_KEYS, SCALARS
from protoserve.verify import interface
from protoserve.verify.conformance import request_violations
from support import ROOT, Project

DOCS = ROOT / "docs"
SCHEMA = (DOCS / "schema.md").read_text(encoding="utf-8")
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])

# What a fragment of fields stands in, and what a fragment without methods is completed with.
RESPONSE = "    response: {fields: [{name: ok, number: 1, type: bool}]}\n"
KINDS = """\
enums: {Channel: {values: [{name: online, number: 1}, {name: in_store, number: 2}]}}
messages: {Point: {fields: [{name: x, number: 1, type: float64}, {name: y, number: 2, type: float64}]}}
"""
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Example:
    """A `yaml` block and the blocks below it, which say what it becomes; `before` is the block above it."""

    text: str
    line: int
    before: tuple[str, str]
    results: list[tuple[str, str]] = field(default_factory=list)

    @property
    def schema(self) -> str:
        """The block as a whole schema: fields in a request, and a method where there is none."""
        if self.text.startswith("- "):
            fields = textwrap.indent(self.text, " " * 8)
            return f"{KINDS}methods:\n  Predict:\n    request:\n      fields:\n{fields}{RESPONSE}"
        if re.search(r"^methods:", self.text, re.MULTILINE):
            return self.text
        return f"{self.text}methods:\n  Predict:\n    request: {{fields: []}}\n{RESPONSE}"

    @property
    def errors(self) -> str:
        """What the page says is wrong with the schema; empty for a sound one."""
        return "".join(
            text for language, text in self.results if language == "text" and text.startswith("schema.yaml:")
        )


def examples() -> list[Example]:
    found: list[Example] = []
    before = ("", "")
    for match in _FENCE.finditer(SCHEMA):
        language, text = match[1], match[2]
        if language == "yaml":
            found.append(Example(text, SCHEMA.count("\n", 0, match.start()) + 1, before))
        elif found:
            found[-1].results.append((language, text))
        before = (language, text)
    return found


EXAMPLES = examples()


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def contains(whole: list[str], part: list[str]) -> bool:
    """Whether the lines of `part` stand in `whole`, one below the other."""
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.line}")
def test_every_schema_becomes_what_stands_below_it(example: Example) -> None:
    if example.errors:
        with pytest.raises(SchemaError) as caught:
            loads(example.schema, default_package="demo.v1")
        assert f"{caught.value}\n" == example.errors
        return
    contract = loads(example.schema, default_package="demo.v1")
    if example.before[0] == "text" and "->" in example.before[1]:
        assert signature_to_yaml(example.before[1].strip(), contract.package) == example.text
    made = {
        "proto": "\n".join(
            [proto.render(contract), *(proto.render_import(contract, item) for item in contract.imports)]
        ),
        "python": contract_module.render_version(contract, contract.package.partition(".")[0]),
    }
    for language, text in example.results:
        if language == "proto":
            assert contains(lines(made["proto"]), lines(text)), made["proto"]
        elif language == "python":
            assert [line for line in lines(text) if line not in lines(made["python"])] == [], made["python"]


def test_the_examples_are_found() -> None:
    languages = [language for example in EXAMPLES for language, _ in example.results]
    assert len(EXAMPLES) > 15
    assert min(languages.count("proto"), languages.count("python")) > 10
    assert sum(bool(example.errors) for example in EXAMPLES) >= 2


def test_the_error_of_the_one_line_form_is_told_as_shown() -> None:
    (line,) = re.findall(r"^```text\n(.*->.*)\n```\n\n```text\nsignature:", SCHEMA, re.MULTILINE)
    with pytest.raises(SchemaError) as caught:
        signature_to_yaml(line, "demo.v1")
    assert f"```text\n{caught.value}\n```" in SCHEMA


def test_every_key_is_in_the_reference() -> None:
    keys = {
        *parse.ROOT_KEYS,
        *parse.IMPORT_KEYS,
        *parse.ENUM_KEYS,
        *parse.VALUE_KEYS,
        *parse.METHOD_KEYS,
        *parse.BODY_KEYS,
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in SCHEMA] == []


def test_the_table_of_a_fields_keys_is_that_of_the_generator() -> None:
    rows = [f"| `{row.name}` | {row.used_for} | {row.description} | {row.breaks} |" for row in FIELD_KEYS]
    table = "\n".join(["| key | for | meaning | a change breaks |", "|---|---|---|---|", *rows])
    assert f"### Of a field\n\n{table}\n\n" in SCHEMA, table


def test_every_type_is_in_the_table() -> None:
    table = SCHEMA.partition("## Types")[2].partition("\n## ")[0]
    rows = {row[1]: row[0] for row in re.finditer(r"^\| `(\w+)` \|.*$", table, re.MULTILINE)}
    assert list(rows) == list(SCALARS)
    for name, scalar in SCALARS.items():
        assert rows[name].startswith(f"| `{name}` | `{scalar.proto}` | `"), name
        assert (f"`np.{name}" in rows[name]) == (scalar.dtype is not None), name
    assert all(f"`{name}`" in table for name in (*ALIASES, *MAP_KEYS))


# A request whose fields have the limits of the table of violations, by their paths there.
LIMITED = """\
package: limited.v1
enums: {Channel: {values: [{name: online, number: 1}, {name: in_store, number: 2}]}}
messages: {Point: {fields: [{name: x, type: float64}, {name: y, type: float64}]}}
methods:
  Predict:
    request:
      fields:
        - {name: a, type: float64, minimum: 0, maximum: 30}
        - {name: b, type: int32, minimum: 0}
        - {name: c, type: int8}
        - {name: d, type: float64}
        - {name: e, type: string, min_length: 2, max_length: 5}
        - {name: f, type: bytes, max_length: 2}
        - {name: g, type: string, pattern: '^[a-z]+$'}
        - {name: h, type: Channel}
        - {name: i, type: string, repeated: true, max_items: 2}
        - {name: j, key: string, value: float64, maximum: 1}
        - {name: points, type: Point, repeated: true}
        - {name: k, type: float32, shape: [3], minimum: 0, maximum: 1}
        - {name: l, type: uint8, shape: [2, 2]}
        - {name: m, type: float32, shape: [rows, 4]}
        - {name: n, type: float32, shape: [rows]}
        - {name: card, type: string, oneof: means}
        - {name: account, type: int64, oneof: means}
        - {name: o, type: timestamp}
        - {name: p, type: duration}
    response: {fields: [{name: ok, type: bool}]}
"""
WRONG = {
    "a": 99,
    "b": -1,
    "c": 200,
    "d": "NaN",
    "e": "x",
    "f": "AAAA",
    "g": "A",
    "h": 0,
    "i": ["x", "y", "z"],
    "j": {"x": 5},
    "points": [{"x": 1}],
    "k": [0, 2, 0],
    "l": "AAAA",
    "m": {"shape": [3, 5], "values": [0] * 15},
    "n": {"shape": [3], "values": [0] * 3},
}
# `a` is missing, and `m` is right, so that `n` is wrong.
OTHERWISE_WRONG = {**WRONG, "m": {"shape": [3, 4], "values": [0] * 12}, "n": {"shape": [2], "values": [0] * 2}}
del OTHERWISE_WRONG["a"]


def test_the_table_of_violations_is_the_servers(tmp_path: Path) -> None:
    """By the checks of `verify`, which another test holds to the words of the server."""
    (tmp_path / "schema.yaml").write_text(LIMITED, encoding="utf-8")
    generated_files.apply(generated_files.plan(tmp_path, "limited"))
    (method,) = interface.from_project(tmp_path).methods
    reported = []
    for values in (WRONG, OTHERWISE_WRONG):
        request = json_format.ParseDict(values, method.request())
        request.o.seconds = request.p.seconds = 10**14
        reported += request_violations(load(tmp_path / "schema.yaml"), "Predict", request)
    table = SCHEMA.partition("| the schema says | path | violation |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\|.* \| `([^|`]+)` \| `([^|`]+)` \|$", table, re.MULTILINE)
    assert len(rows) == len(table.splitlines()) - 1
    assert {f"{path}: {text}" for path, text in rows} == set(reported)


def test_the_tables_of_settings_are_the_servers(iris: Project) -> None:
    source = """\
import dataclasses, json
from iris.server.settings import Settings
from iris.server.transports.native.transport import NativeTransport

settings = [(f.name.upper(), f.metadata["default"], f.metadata["meaning"]) for f in dataclasses.fields(Settings)]
print(json.dumps([settings, list(NativeTransport.CANNOT_KEEP.items())]))
"""
    page = (DOCS / "server.md").read_text(encoding="utf-8")
    for title, rows in zip(("Settings", "Transports"), json.loads(iris.python("-c", source).stdout), strict=True):
        section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
        wanted = [f"| `{name}` | {' | '.join(others)} |" for name, *others in rows]
        assert [line for line in section.splitlines() if line.startswith("| `")] == wanted


def test_every_question_is_in_the_table() -> None:
    table = (DOCS / "start.md").read_text(encoding="utf-8").partition("## The questions")[2].partition("\n## ")[0]
    asked = re.findall(r"^([a-z]\w*):$", (ROOT / "copier.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [name for name in asked if name != ADOPTED]


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links and images that are no URLs; code is left out."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and most renderers give to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = unquote(target).partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_index_has_every_page() -> None:
    index = set(links(DOCS / "README.md"))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"README.md"}
    assert pages <= index


def test_every_page_has_the_same_list_of_the_authors_files() -> None:
    start, update = ((DOCS / name).read_text(encoding="utf-8") for name in ("start.md", "update.md"))
    readme = (ROOT / "template" / "README.md.jinja").read_text(encoding="utf-8").replace("{{ package }}", "PACKAGE")
    lists = [re.search(r"\| yours \| (.*?) \|", page) for page in (start, update)]
    lists.append(re.search(r"\*\*Yours:\*\* (.*?)everything that you add", readme, re.DOTALL))
    one, *others = [set(re.findall(r"`([^`]+)`", each[1])) for each in lists if each]
    assert others == [one, one]
