"""A wrong policy.yaml: what is said of it, and where. One that is right, or absent, says nothing."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from policies import AUDITED, TODAY, read
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.yaml_tree import parse
from protoserve.policy import PolicyError, load
from protoserve.schema.mapping_reader import plain
from support import ROOT

SHIPPED = ROOT / "policy.yaml"
RULE = "answers: {properties: {port: {minimum: 1, why: w}}}\n"

# A policy, and how the lines about it begin, after "policy.yaml:".
WRONG: list[tuple[str, list[str]]] = [
    ("answer: {}", ["1:1: answer: unknown key 'answer'; did you mean 'answers'?"]),
    ("- a", ["1:1: a policy must be a mapping; begin with one of answers, files, contract, exceptions"]),
    ("answers: [a]", ["1:10: answers: the rules of answers must be a mapping"]),
    ("answers: {why: w}\nanswers: {why: w}", ["2:1: answers: the key appears twice (first on line 1)"]),
    (
        "answers:\n  properties:\n    port: {minimun: 1, why: w}",
        ["3:12: answers.properties.port.minimun: unknown key 'minimun'; did you mean 'minimum'?"],
    ),
    ("answers: {properties: {port: {minimum: 1}}}", ["1:30: answers.properties.port: why is missing; say why"]),
    ("answers: {properties: {port: {minimum: 1, why: ''}}}", ["1:48: answers.properties.port.why: why is empty"]),
    ("answers: {properties: {port: false}}", ["1:30: answers.properties.port: why is missing"]),
    (
        "answers: {properties: {prot: true}}",
        ["1:24: answers: the template has no question 'prot'; did you mean 'port'?"],
    ),
    (
        "answers: {required: [frame], why: w}",
        ["1:22: answers: the template has no question 'frame'; did you mean 'framework'?"],
    ),
    (
        "answers: {properties: {port: {minimum: a, why: w}}}",
        ["1:40: answers.properties.port.minimum: 'a' is not of type 'number'"],
    ),
    (
        "answers: {properties: {port: {enum: a, why: w}}}",
        ["1:37: answers.properties.port.enum: 'a' is not of type 'array'"],
    ),
    ("answers: {properties: {port: 3}}", ["1:30: answers.properties.port: a rule must be a mapping"]),
    (
        "answers: {properties: {port: {minimum: 1, why: w}, port: {why: w}}}",
        ["1:52: answers.properties.port: the key appears twice"],
    ),
    ("answers: {$ref: '#', why: w}", ["1:11: answers.$ref: unknown key '$ref'; write the schema out"]),
    (
        "answers: {properties: {port: {format: date, why: w}}}",
        ["1:31: answers.properties.port.format: unknown key 'format'; write a `pattern`"],
    ),
    (
        "answers: {properties: {port: {pattern: '(?=a)', why: w}}}",
        ["1:40: answers.properties.port.pattern: '(?=a)' is not an RE2 pattern"],
    ),
    (
        "answers: {patternProperties: {'(': {const: 1}}, why: w}",
        ["1:31: answers.patternProperties: '(' is not an RE2 pattern"],
    ),
    ("files: {unedited: [a]}", ["1:8: files: why is missing; say why"]),
    ("files: {why: w}", ["1:8: files: a block of files needs unedited or undeleted"]),
    ("files: [{unedited: a, why: w}]", ["1:20: files[0].unedited: 'unedited' must be a list, not the text 'a'"]),
    (
        "files: {unedited: [/a, ./b, ../c, d/, 'e**', '[f', 7], why: w}",
        [
            "1:20: files.unedited: a glob must begin",
            "1:24: ",
            "1:29: ",
            "1:35: files.unedited: a glob must match files, not a folder; write d/**",
            "1:39: files.unedited: ** must stand alone",
            "1:46: files.unedited: '[f' is not a glob",
            "1:52: files.unedited: a glob must be a text",
        ],
    ),
    ("contract: {status: stabel, why: w}", ["1:20: contract.status: status must be draft or stable, not 'stabel'"]),
    ("contract: {package: '(', why: w}", ["1:21: contract.package: '(' is not a pattern of RE2"]),
    ("contract: {why: w}", ["1:11: contract: a block of contract needs package, status or request_fields"]),
    (
        "contract: {request_fields: {a b: string}, why: w}",
        ["1:34: contract.request_fields.a b: 'a b' is not the name of a field"],
    ),
    (
        "contract: {request_fields: {id: [string]}, why: w}",
        ["1:33: contract.request_fields.id: 'id' must be a text, not a list"],
    ),
    ("contract: stable", ["1:11: contract: this must be a mapping"]),
    (
        f"{RULE}exceptions: [{{project: x, rule: answers.port, until: 2027-02-30, why: w}}]",
        ["2:54: exceptions[0].until: until must be a date, not '2027-02-30'; write it as 2027-03-31"],
    ),
    (f"{RULE}exceptions: [{{project: x, rule: answers.port, until: soon, why: w}}]", ["2:54: "]),
    (
        f"{RULE}exceptions: [{{project: x, rule: answer.port, until: 2027-02-03, why: w}}]",
        ["2:33: exceptions[0].rule: the policy has no rule 'answer.port'; did you mean 'answers.port'?"],
    ),
    (
        f"{RULE}exceptions: [{{rule: answers.port, until: 2027-02-03}}]",
        ["2:14: exceptions[0]: project is missing", "2:14: exceptions[0]: why is missing"],
    ),
    ("answers: &a {why: w}", ["1:10: an anchor (&a)"]),
    ("a: {b", ["1:6: "]),
    ("<<<<<<< HEAD\n=======\n>>>>>>> x", ["1:1: a merge-conflict marker"]),
]


@pytest.mark.parametrize(("text", "lines"), WRONG, ids=[text.replace("\n", " ")[:60] for text, _ in WRONG])
def test_a_wrong_policy(text: str, lines: list[str]) -> None:
    with pytest.raises(PolicyError) as error:
        read(text)
    said = str(error.value).splitlines()
    assert len(said) == len(lines), said
    for line, beginning in zip(said, lines, strict=True):
        assert line.startswith(f"policy.yaml:{beginning}")
        assert "; " in line  # what to do


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    assert load(tmp_path).allows_everything
    path = tmp_path / "policy.yaml"
    for content, said in {
        b"\xff": "the file is not UTF-8",
        b"#" * (2**16 + 1): "the file is larger than",
    }.items():
        path.write_bytes(content)
        with pytest.raises(PolicyError, match=said):
            load(tmp_path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(PolicyError, match="a link that leads out"):
        load(tmp_path)
    path.unlink()
    path.symlink_to("moved.yaml")
    with pytest.raises(PolicyError, match="a link that leads to no file"):
        load(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(PolicyError, match="a folder, not a regular file"):
        load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "answers: " + "{not: " * 60 + "{}" + "}" * 60,
        "answers: {why: w, properties: {port: {pattern: '" + "(a*)*" * 190 + "$'}}}",
        "answers: {why: w, properties: {port: {anyOf: [" + "{minimum: 1}, " * 4000 + "]}}}",
        "files: {why: w, unedited: ['" + "*a" * 499 + "b']}",
        "files: {why: w, unedited: [" + "a, " * 20_000 + "]}",
        "answers: {why: w, properties: {" + ", ".join(f"x{number}: 1" for number in range(5000)) + "}}",
    ],
    ids=["deep", "pattern", "wide", "glob", "many globs", "many problems"],
)
def test_a_hostile_policy_takes_bounded_time(text: str) -> None:
    """It is refused, or it judges."""
    start = time.process_time()
    try:
        policy = read(text)
        policy.answers({"port": "a" * 5000}, TODAY)
        policy.files(["a" * 2000, "b/" * 100 + "c"], [], "x", TODAY)
    except ProtoserveError:
        pass
    assert time.process_time() - start < 10


def test_the_shipped_policy_allows_everything_and_its_example_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "protoserve.policy.answer_rules", None)  # it imports jsonschema, which takes time
        assert load(ROOT).allows_everything
    schema = json.loads((ROOT / "generator/protoserve/policy/policy.schema.json").read_text(encoding="utf-8"))
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") for line in lines)
    start = next(number for number, line in enumerate(lines) if line.startswith("# answers:"))
    example = "".join(f"{line.removeprefix('#').removeprefix(' ')}\n" for line in lines[start:])
    (tmp_path / "copier.yml").write_bytes((ROOT / "copier.yml").read_bytes())
    (tmp_path / "policy.yaml").write_text(example, encoding="utf-8")
    policy = load(tmp_path)
    assert policy.answer_rules is not None
    assert (len(policy.file_rules), len(policy.contract_rules)) == (1, 3)
    assert [made.project for made in policy.exceptions] == ["legacy-churn"]
    for text in (example, AUDITED, "files:", "{}"):
        jsonschema.Draft202012Validator(schema).validate(_as_json(text))
    for text in ("files: {unedited: [a]}", "file: {}", "contract: {why: w}"):
        assert not jsonschema.Draft202012Validator(schema).is_valid(_as_json(text))


def test_the_page_shows_policies_that_are_right() -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    first, second = re.findall("```yaml\n(.*?)```", page, re.DOTALL)
    (said,) = [item.sentence for item in read(first).answers({"port": 7000}, TODAY)]
    assert f"```text\n{said}\n".replace("7000", "7001") in page
    wanted = {
        "framework": "sklearn",
        "python_version": 3.13,
        "platforms": "[kubernetes, vertex-ai]",
        "transport": "native",
    }
    assert [item.message for item in read(second).answers(wanted, TODAY)] == [
        "transport must be grpcio, not native",
        "each of platforms must be kubernetes, not vertex-ai",
        "python_version must be 3.12, not 3.13",
    ]


def _as_json(text: str) -> object:
    return plain(parse(text))
