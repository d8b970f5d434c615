"""Every single change of the table has its verdict, in a request, in a response, and where a message is in both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import grpc_tools
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolution.changes import CONTEXTS, EVERYTHING, ROWS, TEXTS, WHOLE, Row, Texts, Whole
from protoserve.compat.change import Break, Change
from protoserve.compat.compare import compare
from protoserve.compat.rules.documentation import KEYS, PLACES
from protoserve.compat.rules.fields import JUDGED_KEYS
from protoserve.emit import proto
from protoserve.schema import model
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.field_keys import FIELD_KEYS, NOBODY
from protoserve.schema.load import loads
from protoserve.schema.model import Contract
from random_schemas import schemas
from support import run, tool

IN_CONTEXT = [(row, context) for row in ROWS for context in CONTEXTS]


contract = cache(loads)


@cache
def changes(old: str, new: str) -> tuple[Change, ...]:
    return compare(contract(old), contract(new))


def edited(case: Whole) -> str:
    assert EVERYTHING.count(case.old) == 1, case.old
    return EVERYTHING.replace(case.old, case.new)


def pairs() -> Iterator[tuple[str, str, str, bool]]:
    """All changes of the table: name, schema before and after, and whether something breaks."""
    for row, context in IN_CONTEXT:
        yield f"{row.name}, {context}", *row.schemas(context), row.breaking(context)
    for case in WHOLE:
        yield case.name, EVERYTHING, edited(case), case.breaking
    for text in TEXTS:
        yield text.name, text.old, text.new, text.breaking


def test_the_table_is_large_and_has_no_name_twice() -> None:
    names = [row.name for row in (*ROWS, *WHOLE)]
    assert len(names) == len(set(names)) >= 150
    assert {(row.request, row.response) for row in ROWS} == {(a, b) for a in (True, False) for b in (True, False)}


@pytest.mark.parametrize(("row", "context"), IN_CONTEXT, ids=lambda item: getattr(item, "name", item))
def test_verdict(row: Row, context: str) -> None:
    reported = changes(*row.schemas(context))
    broken = {kind for change in reported for kind in change.breaks}
    assert bool(broken) == row.breaking(context), reported
    assert bool(reported) == bool(row.rule), reported
    if broken or not (row.request or row.response):
        assert not row.rule or row.rule in {change.rule for change in reported}
    if context != "both":
        assert not broken & ({Break.REQUEST, Break.RESPONSE} - {Break(context)}), reported
    elif not broken & {Break.WIRE, Break.JSON, Break.SOURCE}:
        assert broken == {
            kind for kind, label in ((Break.REQUEST, row.request), (Break.RESPONSE, row.response)) if label
        }


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_verdict_of_the_whole(case: Whole) -> None:
    reported = changes(EVERYTHING, edited(case))
    assert any(change.breaking for change in reported) == case.breaking, reported
    assert case.rule in {change.rule for change in reported}


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_verdict_of_texts(case: Texts) -> None:
    reported = changes(case.old, case.new)
    assert any(change.breaking for change in reported) == case.breaking, reported
    assert case.rule in {change.rule for change in reported}, reported


def test_a_change_says_all_that_its_reader_needs() -> None:
    for name, old, new, _ in pairs():
        reported = changes(old, new)
        assert list(reported) == sorted(reported), name
        assert len({(change.path, change.rule) for change in reported}) == len(reported), name
        for change in reported:
            assert change.path, name
            assert change.why, name
            assert bool(change.remedy) == change.breaking, change


def test_a_rename_breaks_json_alone() -> None:
    for row in ROWS:
        if row.name in ("field renamed", "value renamed"):
            for context in CONTEXTS:
                assert [change.breaks for change in changes(*row.schemas(context)) if change.breaking] == [
                    (Break.JSON,)
                ]


def test_a_done_rename_says_nothing_any_more() -> None:
    (row,) = (row for row in ROWS if row.name == "field renamed")
    _, after = row.schemas("both")
    assert changes(after, after) == ()
    _, dropped = (text.replace(", renamed_from: a", "") for text in row.schemas("both"))
    assert changes(after, dropped) == ()


# Attributes of the model, each with a row of the table in which nothing else differs: no attribute can be forgotten.
KINDS = (model.Contract, model.ImportedFile, model.Method, model.Message, model.Field, model.Enum, model.EnumValue)
# What a contract is made of is judged as what it is.
PARTS = {"imports", "methods", "enums", "messages", "request", "response", "fields", "values", "reserved"}


def differing(old: object, new: object) -> set[str]:
    """`Kind.attribute` for all that differs between two things of the model, looking into what they are made of."""
    names: set[str] = set()
    for item in fields(type(old)):  # type: ignore[arg-type]
        before, after = getattr(old, item.name), getattr(new, item.name)
        if item.name in ("where", "file") or before == after:
            continue
        names.add(f"{type(old).__name__}.{item.name}")
        many = isinstance(before, tuple) and isinstance(after, tuple)
        for was, now in zip(before, after, strict=False) if many else [(before, after)]:
            if isinstance(was, (*KINDS, model.Reserved)):
                names |= differing(was, now)
    return names


def test_every_attribute_of_the_model_is_judged_or_listed_as_harmless() -> None:
    judged: set[str] = set()
    for _, old, new, _ in pairs():
        if changes(old, new):
            judged |= differing(contract(old), contract(new))
    wanted = {f"{kind.__name__}.{item.name}" for kind in (*KINDS, model.Reserved) for item in fields(kind)}
    silent = {name for name in wanted if name.partition(".")[2] in ("where", "file")}
    assert {name.partition(".")[2] for name in silent} <= set(PLACES)
    silent.add("Field.python_name")  # follows from the name
    assert wanted - judged - silent == set()


def test_every_key_of_a_field_has_a_rule_or_breaks_nobody() -> None:
    keys = {row.name for row in FIELD_KEYS}
    assert keys - JUDGED_KEYS == set()
    assert JUDGED_KEYS - keys == set()
    harmless = {row.attribute for row in FIELD_KEYS if row.breaks == NOBODY}
    assert harmless == {*KEYS, "deprecated", "renamed_from"} - {"after"}


# buf, which sees what protoc sees: with the rules of FACTS.md it must never find a break that we do not.
RULES = (
    *("WIRE_JSON", "FIELD_SAME_CARDINALITY", "RPC_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE"),
    *("PACKAGE_MESSAGE_NO_DELETE", "PACKAGE_NO_DELETE"),
)


def image(contracts: list[Contract], folder: Path, name: str) -> Path:
    """The descriptors of all contracts in one file; each must be of a package of its own."""
    names = []
    for contract in contracts:
        texts = {item.path: proto.render_import(contract, item) for item in contract.imports}
        for file, text in {**texts, proto.path_of(contract): proto.render(contract)}.items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        names.append(proto.path_of(contract))
    out = folder / f"{name}.binpb"
    include = Path(grpc_tools.__file__).parent / "_proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder / name}", f"-I{include}", "--include_imports"]
    run([*command, f"--descriptor_set_out={out}", *names], cwd=folder)
    return out


def breaking(old: Path, new: Path, folder: Path) -> dict[str, set[str]]:
    """The rules of buf that are broken, by the package's own part: `r12` of `acme.r12.v1`."""
    (folder / "buf.yaml").write_text(json.dumps({"version": "v2", "breaking": {"use": RULES}}), encoding="utf-8")
    done = subprocess.run(
        [tool("buf"), "breaking", new, "--against", old, "--error-format", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 100), done.stderr
    broken_rules: dict[str, set[str]] = defaultdict(set)
    for line in done.stdout.splitlines():
        said = json.loads(line)
        part = re.search(r"\bacme[./](r\d+)[./]", f"{said.get('path')} {said['message']}")
        if "google.protobuf" in said["message"] and part is None:
            continue  # the last user of an imported file has gone
        assert part is not None, line
        broken_rules[part[1]].add(said["type"])
    return broken_rules


def test_never_milder_than_buf(tmp_path: Path) -> None:
    cases = list(pairs())
    sides: tuple[list[Contract], list[Contract]] = ([], [])
    for index, (_, old, new, _) in enumerate(cases):
        for side, text in zip(sides, (old, new), strict=True):
            apart = text.replace("acme.", f"acme.r{index}.").replace("common/", f"acme/r{index}/common/")
            side.append(contract(apart))
    broken_rules = breaking(image(sides[0], tmp_path, "old"), image(sides[1], tmp_path, "new"), tmp_path)
    assert len(broken_rules) > 100
    milder = {
        name: broken_rules[f"r{index}"]
        for index, (name, old, new, _) in enumerate(cases)
        if broken_rules[f"r{index}"] and not any(change.breaking for change in changes(old, new))
    }
    assert milder == {}


def text_of(data: object) -> str:
    return numbered(yaml.safe_dump(data, sort_keys=False))


def without_unused_messages(data: dict[str, Any]) -> dict[str, Any]:
    """The schema without messages that no method uses: no change of those breaks a caller, whatever buf says of it."""
    messages = data.get("messages") or {}
    bodies = [body for method in data["methods"].values() for body in (method["request"], method["response"])]
    used: dict[str, Any] = {}
    while bodies:
        for field in bodies.pop()["fields"]:
            for name in {field.get("type"), field.get("value")} & messages.keys() - used.keys():
                used[name] = messages[name]
                bodies.append(messages[name])
    kept = {name: body for name, body in messages.items() if name in used}
    rest = {key: value for key, value in data.items() if key != "messages"}
    return {**rest, "messages": kept} if kept else rest


@st.composite
def steps(draw: st.DrawFn) -> tuple[Contract, Contract]:
    """A contract, and the same after some small edits, of which each may break something or not."""
    before = text_of({"package": "acme.v1", **without_unused_messages(draw(schemas()))})
    data = yaml.safe_load(before)
    bodies = [body for method in data["methods"].values() for body in (method["request"], method["response"])]
    bodies += (data.get("messages") or {}).values()
    for _ in range(draw(st.integers(1, 3))):
        body = draw(st.sampled_from(bodies))
        fields = body["fields"]
        if not fields:
            continue
        field = draw(st.sampled_from(fields))
        edit = draw(st.sampled_from(EDITS))
        if edit == "drop":
            fields.remove(field)
            if draw(st.booleans()):
                body["reserved"] = {"numbers": [field["number"]], "names": [field["name"]]}
        elif edit == "swap":
            other = draw(st.sampled_from(fields))
            field["number"], other["number"] = other["number"], field["number"]
        elif edit == "rename":
            field["name"] = "renamed"
        elif edit == "optional":
            field["required"] = not field.get("required", True)
        elif edit == "list":
            field["repeated"] = True
        elif edit == "oneof":
            field.pop("oneof", None) or field.update(oneof="other")
        elif edit == "presence":
            body["presence"] = "implicit"
        else:
            kept = {key: field[key] for key in ("name", "number")}
            like = draw(st.sampled_from([item for one in bodies for item in one["fields"]]))
            field.clear()
            field.update({**like, **kept})
    method = draw(st.sampled_from(sorted(data["methods"])))
    if draw(st.integers(0, 9)) == 0:
        data["methods"][method]["streaming"] = "server"
    try:
        return loads(before), loads(text_of(data))
    except SchemaError:
        return loads(before), loads(before)


EDITS = ("drop", "swap", "rename", "optional", "list", "oneof", "presence", "retype", "retype", "retype")


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(st.lists(steps(), min_size=20, max_size=20))
def test_never_milder_than_buf_over_random_edits(cases: list[tuple[Contract, Contract]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = ([], [])  # type: ignore[var-annotated]
        for index, pair in enumerate(cases):
            for side, one in zip(sides, pair, strict=True):
                side.append(replace(one, package=f"acme.r{index}.v1"))
        broken_rules = breaking(
            image(sides[0], Path(folder), "old"), image(sides[1], Path(folder), "new"), Path(folder)
        )
    for index, (old, new) in enumerate(cases):
        rules = broken_rules.get(f"r{index}", set())
        assert not rules or any(change.breaking for change in compare(old, new)), (rules, old, new)


@settings(max_examples=12, deadline=None)
@given(schemas(), schemas())
def test_any_two_contracts(first: dict[str, object], second: dict[str, object]) -> None:
    old, new = (loads(text_of({"package": "drawn.v1", **data})) for data in (first, second))
    assert compare(old, old) == ()
    reported = compare(old, new)
    assert all(change.path and change.why for change in reported)
    assert bool(reported) == (first != second) or not reported
