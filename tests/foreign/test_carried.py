"""A foreign .proto becomes a schema whose .proto has the very same descriptor, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from jsonschema import Draft202012Validator

from foreign.refused import REFUSED, Refused
from protoserve.emit import contract_module, proto
from protoserve.intake.proto.convert import from_proto
from protoserve.intake.proto.source import compiled
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.json_schema import json_schema
from protoserve.schema.load import loads
from support import run, tool

PROTOS = sorted(Path(__file__).with_name("protos").glob("*.proto"))


def descriptor(text: str) -> FileDescriptorProto:
    """What protoc makes of a .proto, without its comments, its path, and the order of its imports."""
    made = compiled(text, "x.proto")
    imports = sorted(made.dependency)
    for name in ("name", "source_code_info", "dependency"):
        made.ClearField(name)
    made.dependency.extend(imports)
    return made


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_the_descriptor_stays_the_same(path: Path) -> None:
    schema = from_proto(path, "proj")
    ours = proto.render(loads(schema))
    assert descriptor(ours) == descriptor(path.read_text(encoding="utf-8"))
    assert numbered(schema) == schema  # nothing is left to be filled in
    Draft202012Validator(json.loads(json_schema())).validate(yaml.safe_load(schema))
    compile(contract_module.render_version(loads(schema), "proj"), "v1.py", "exec")


def test_there_are_many_shapes() -> None:
    assert len(PROTOS) >= 8


def test_buf_lints_and_formats_them(tmp_path: Path) -> None:
    template = Path(__file__).resolve().parents[2] / "template" / "buf.yaml"
    for path in PROTOS:
        contract = loads(from_proto(path, "proj"))
        target = tmp_path / path.stem / "proto" / proto.path_of(contract)
        target.parent.mkdir(parents=True)
        target.write_text(proto.render(contract), encoding="utf-8")
        (tmp_path / path.stem / "buf.yaml").write_bytes(template.read_bytes())
        run([tool("buf"), "lint"], cwd=tmp_path / path.stem)
        run([tool("buf"), "format", "--diff", "--exit-code"], cwd=tmp_path / path.stem)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_carried_is_refused_by_name(case: Refused, tmp_path: Path) -> None:
    path = tmp_path / "their.proto"
    path.write_text(case.text, encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        from_proto(path, "proj")
    assert caught.value.file == str(path)
    told = [(p.line, p.path) for p in caught.value.problems if case.words in p.message]
    assert (case.line, case.path) in told, caught.value
    assert all(problem.remedy for problem in caught.value.problems)


COMMENTED = """\
syntax = "proto3";
package a.v1;
/* Serves
 * people. */
service S {
  // Does: it.
  rpc Do(M) returns (M);
}
// =====
/// Deviates /// a bit: /etc.
/// -----
enum E {
  E_ZERO = 0; ///< Behind.
  /** One line. **/
  E_ONE = 1;
  /*! Star
   *! marked.
   * * a bullet */
  E_TWO = 2;
}
// buf:lint:ignore MESSAGE_PASCAL_CASE
// A \\ "part"\tof it
//
//   - one
message M {
  int32 a = 1;  // {Behind} it.
}
"""


def test_what_has_no_comment_gets_none_that_is_false() -> None:
    """A message that several methods have, in both directions, or none: all of them are told, or nothing is."""
    text = """
package: a.v1
service: S
names: exact
messages:
  Asked: {fields: [{name: part, number: 1, type: Asked.Part}]}
  Asked.Part: {fields: []}
  Told: {fields: [{name: a, number: 1, type: int32, oneof: o, required: false}]}
  Left: {fields: []}
methods:
  Do: {request: {message: Asked}, response: {message: Told}}
  Say: {request: {message: Asked}, response: {message: Asked}, streaming: server}
"""
    lines = [line.strip() for line in proto.render(loads(text)).splitlines()]
    above = {line: lines[index - 1] for index, line in enumerate(lines)}
    assert above["message Asked {"] == "// Request of Do and Say and response of Say."
    assert above["message Part {}"] == "// Part, a part of other messages."
    assert above["message Told {"] == "// Response of Do."
    assert above["message Left {}"] == "// Left."
    assert above["oneof o {"] == "// At most one of these may be set."
    assert "// Say answers one request with a stream of replies." in lines


def test_comments_become_docs(tmp_path: Path) -> None:
    path = tmp_path / "their.proto"
    path.write_text(COMMENTED, encoding="utf-8")
    contract = loads(from_proto(path, "proj"))
    assert contract.doc == "Serves\npeople."
    assert contract.methods[0].doc == "Does: it."
    assert contract.messages[0].doc == 'A \\ "part" of it\n\n- one'
    assert contract.messages[0].fields[0].doc == "{Behind} it."
    assert contract.enums[0].doc == "Deviates /// a bit: /etc."
    assert [value.doc for value in contract.enums[0].values] == ["Behind.", "One line.", "Star\nmarked.\n* a bullet"]


def test_no_reason_hides_another(tmp_path: Path) -> None:
    path = tmp_path / "their.proto"
    path.write_text(
        """\
syntax = "proto2";
package grpc.health.v1;
import public "google/protobuf/any.proto";
message M { optional google.protobuf.Any a = 1; extensions 5; }
extend M { optional int32 b = 5; }
service S { rpc Do(stream M) returns (M); }
service T { rpc Do(M) returns (M); }
""",
        encoding="utf-8",
    )
    with pytest.raises(SchemaError) as caught:
        from_proto(path, "proj")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 5, 6, 7]
    text = path.read_text(encoding="utf-8").replace('"proto2"', '"proto3"').replace("optional ", "")
    path.write_text(text.replace("extensions 5; }\nextend M { int32 b = 5; }", "bool True = 2; bool Clear = 3; }\n"))
    with pytest.raises(SchemaError) as caught:
        from_proto(path, "proj")
    assert {problem.path for problem in caught.value.problems} >= {"package", "M.True", "M.Clear", "S.Do", "T"}
