"""A foreign .proto becomes a schema whose .proto has the very same descriptor, or is refused by name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from jsonschema import Draft202012Validator

from foreign import plain
from foreign.refused import REFUSED, Refused
from protoserve.emit import contract_module, proto, samples
from protoserve.intake.proto.convert import from_proto
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.json_schema import json_schema
from protoserve.schema.load import loads
from protoserve.schema.model import Contract
from support import run, tool

PROTOS = sorted(
    path
    for path in Path(__file__).with_name("protos").glob("*.proto")
    if "\nservice " in path.read_text(encoding="utf-8")  # the others are imported
)


@cache
def schema_of(path: Path) -> str:
    """The schema that a file becomes."""
    return from_proto(path, "proj")


def texts(contract: Contract) -> dict[str, str]:
    """Every .proto of a contract, by its path."""
    own = {proto.path_of(contract): proto.render(contract)}
    return own | {item.path: proto.render_import(contract, item) for item in contract.imports}


def descriptors(path: Path, scratch: Path, root: Path) -> dict[str, FileDescriptorProto]:
    """What protoc makes of a .proto and of what it imports, by path, without protobuf's own files.

    They lack what is not carried: paths, imports, custom options, and services of imported files.
    """
    made = FileDescriptorSet.FromString(plain.compiled(path, scratch, root=root)).file
    result = {file.name: file for file in made if not file.name.startswith("google/protobuf/")}
    for name, file in result.items():
        file.DiscardUnknownFields()
        for key in ("name", "dependency", "public_dependency", "extension"):
            file.ClearField(key)
        if name != path.relative_to(root).as_posix():
            file.ClearField("service")
        clear_empty_options(file)
    return result


def clear_empty_options(part: Message) -> None:
    """Takes out what is left where all options were custom ones."""
    for field, value in part.ListFields():
        if field.name == "options" and not value.ListFields():
            part.ClearField("options")
        elif field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                clear_empty_options(item)


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_the_descriptors_stay_the_same(path: Path, tmp_path: Path) -> None:
    """Of the file itself and of each file that it uses types of."""
    schema = schema_of(path)
    contract = loads(schema)
    for name, text in texts(contract).items():
        (tmp_path / "proto" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proto" / name).write_text(text, encoding="utf-8")
    ours = descriptors(tmp_path / "proto" / proto.path_of(contract), tmp_path, tmp_path / "proto")
    theirs = descriptors(path, tmp_path, path.parent)
    ours[path.name] = ours.pop(proto.path_of(contract))
    assert ours == {name: theirs[name] for name in ours}
    assert numbered(schema) == schema  # nothing is left to be filled in
    Draft202012Validator(json.loads(json_schema())).validate(yaml.safe_load(schema))
    compile(contract_module.render_version(loads(schema), "proj"), "v1.py", "exec")


def test_there_are_many_shapes() -> None:
    assert len(PROTOS) >= 8


def test_buf_lints_and_formats_them(tmp_path: Path) -> None:
    template = Path(__file__).resolve().parents[2] / "template" / "buf.yaml"
    for path in PROTOS:
        for name, text in texts(loads(schema_of(path))).items():
            target = tmp_path / path.stem / "proto" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
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
    assert [problem.line for problem in caught.value.problems] == [1, 2, 5, 6, 7]
    text = path.read_text(encoding="utf-8").replace('"proto2"', '"proto3"').replace("optional ", "")
    path.write_text(
        text.replace("extensions 5; }\nextend M { int32 b = 5; }", "bool ListFields = 2; bool DESCRIPTOR = 3; }\n")
    )
    with pytest.raises(SchemaError) as caught:
        from_proto(path, "proj")
    assert {problem.path for problem in caught.value.problems} >= {
        "package",
        "M.ListFields",
        "M.DESCRIPTOR",
        "S.Do",
        "T",
    }


STREAMS = next(path for path in PROTOS if path.stem == "streams")


@pytest.mark.parametrize(
    ("serve", "served", "note"),
    [
        (None, ["Predict", "Watch", "Info"], "not served, callers get UNIMPLEMENTED: PredictStream, Upload"),
        ("Info, Predict", ["Predict", "Info"], "UNIMPLEMENTED: PredictStream, Upload, Watch"),
    ],
)
def test_methods_that_are_not_served_stay_in_the_proto(serve: str | None, served: list[str], note: str) -> None:
    notes: list[str] = []
    contract = loads(from_proto(STREAMS, "proj", note=notes.append, serve=serve))
    assert [method.name for method in contract.served_methods] == served
    assert len(notes) == 1
    assert notes[0].endswith(note)


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ("all", ["9:3: Predictor.PredictStream: streams in both", "12:3: Predictor.Upload: a stream of req"]),
        ("Upload", ["12:3: Predictor.Upload: a stream of requests is not supported; answer the question serve with the"
                    " other methods, --serve Predict,Watch,Info"]),
        ("Predict,Train", ["6:1: Predictor: the service does not have the method 'Train'"]),
    ],
)  # fmt: skip
def test_methods_that_cannot_be_served_are_refused(serve: str, said: list[str]) -> None:
    with pytest.raises(SchemaError) as caught:
        from_proto(STREAMS, "proj", serve=serve)
    assert len(caught.value.problems) == len(said)
    for words in said:
        assert words in str(caught.value)


def test_messages_in_messages_make_no_sample_without_end(tmp_path: Path) -> None:
    levels = [
        f"message M{level} {{ {' '.join(f'M{level + 1} f{field} = {field};' for field in range(1, 6))} }}"
        for level in range(14)
    ]
    path = tmp_path / "deep.proto"
    text = "\n".join(['syntax = "proto3";', "package a.v1;", *levels, "message M14 { int32 a = 1; }"])
    path.write_text(f"{text}\nservice S {{ rpc Do(M0) returns (M0); }}\n", encoding="utf-8")
    contract = loads(from_proto(path, "proj"))
    request = contract.methods[0].request
    assert len(samples.as_json(contract, request)) < 100_000
    assert len(contract_module.render_version(contract, "proj")) < 100_000
