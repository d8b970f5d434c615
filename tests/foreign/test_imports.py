"""Imports of a .proto: where they are looked for, what is left out, and what is refused, with its place."""

from __future__ import annotations

import importlib.metadata
import os
import time
from pathlib import Path

import pytest

from protoserve import cli
from protoserve.emit import generated_files, proto
from protoserve.intake.proto import include
from protoserve.intake.proto.convert import from_proto
from protoserve.intake.proto.text_scan import scan
from protoserve.schema import project_schemas
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from releases import commit, git
from support import run, tool

ROOT = """\
syntax = "proto3";
package acme.serving;
import "common/tensor.proto";
message Request { acme.common.Tensor tensor = 1; }
message Response {}
service Scoring { rpc Score(Request) returns (Response); }
"""
TENSOR = 'syntax = "proto3";\npackage acme.common;\nmessage Tensor { repeated float values = 1; }\n'


def write(folder: Path, **texts: str) -> Path:
    """Writes .proto files by path, `__` standing for `/`; the path of the first one."""
    paths = []
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.proto"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths[0]


def problems(path: Path, *includes: Path) -> list[str]:
    """What is refused: file, line, path and message."""
    with pytest.raises(SchemaError) as caught:
        from_proto(path, "proj", includes)
    assert all(item.remedy for item in caught.value.problems)
    return [
        f"{Path(item.file or caught.value.file).name}:{item.line}: {item.path}: {item.message}"
        for item in caught.value.problems
    ]


def imported(path: Path, *includes: Path) -> list[str]:
    return [item.path for item in loads(from_proto(path, "proj", includes)).imports]


def test_a_file_is_looked_for_above_the_proto_up_to_the_repository(tmp_path: Path) -> None:
    path = write(tmp_path / "repo", acme__serving__v1__root=ROOT, common__tensor=TENSOR)
    assert "the file was not found in" in problems(path)[0]  # three folders up, and the package has two parts
    (tmp_path / "repo" / ".git").mkdir()
    assert imported(path) == ["common/tensor.proto"]
    (tmp_path / "repo" / "acme" / ".git").mkdir()
    assert len(problems(path)) == 1


def test_without_a_repository_the_package_says_how_far(tmp_path: Path) -> None:
    path = write(tmp_path, acme__serving__root=ROOT, common__tensor=TENSOR)
    assert imported(path) == ["common/tensor.proto"]
    assert include.folders_above(path, ROOT) == [tmp_path / "acme/serving", tmp_path / "acme", tmp_path]


def test_given_folders_come_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a", root=ROOT, common__tensor=TENSOR.replace("values", "near"))
    write(tmp_path / "b", common__tensor=TENSOR)
    assert "near" in from_proto(path, "proj")
    assert "near" not in from_proto(path, "proj", [tmp_path / "b"])
    assert problems(path, tmp_path / "none") == ["none:1: : the folder does not exist"]


def test_one_file_with_two_paths_is_one_file(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    other = 'syntax = "proto3";\npackage acme.other;\nimport public "protos/common/tensor.proto";\n'
    other += "message Other { acme.common.Tensor tensor = 1; }\n"
    root = ROOT.replace("message Response {}", "message Response { acme.other.Other other = 1; }")
    root = root.replace('import "common', 'import "protos/other.proto"; import "common')
    path = write(tmp_path / "protos", root=root, other=other, common__tensor=TENSOR)
    assert set(imported(path)) == {"protos/other.proto", "protos/common/tensor.proto"}


def test_a_missing_file_hides_no_other_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        root="""\
syntax = "proto3";
package acme.serving;
import "nowhere/tensor.proto";
import "../up.proto";
import "common/old.proto";
message Request {
  nowhere.Tensor tensor = 1;
  nowhere.Tensor.Kind kind = 2;
  .up.Up up = 3 [(nowhere.rules) = {a: 1}];
  common.Old old = 4;
}
service Scoring {
  rpc Score(stream Request) returns (.nowhere.Reply);
}
service Other { rpc Score(Request) returns (Request); }
""",
        common__old='syntax = "proto2";\npackage common;\nmessage Old { required int32 a = 1; }\n',
    )
    told = problems(path)
    wanted = [
        "root.proto:3: import nowhere/tensor.proto: the file was not found in",
        "root.proto:4: import ../up.proto: the path of an import is relative",
        "root.proto:13: Scoring.Score: a stream of requests is not",
        "root.proto:15: Other: a second service",
        "old.proto:1: syntax: proto2 is not supported",
    ]
    for start in wanted:
        assert any(line.startswith(start) for line in told), (start, told)
    assert not any("defined" in line or "stand_in" in line for line in told)


def test_a_missing_file_that_declares_options_alone_is_not_needed(tmp_path: Path) -> None:
    text = ROOT.replace('import "common', 'import "validate/validate.proto";\nimport "common').replace(
        "tensor = 1;", "tensor = 1 [deprecated = true, (validate.rules).message = {required: true}];"
    )
    path = write(tmp_path, root=text, common__tensor=TENSOR)
    notes: list[str] = []
    schema = from_proto(path, "proj", note=notes.append)
    assert "deprecated: true" in schema
    assert "validate" not in schema
    assert [note.partition(".proto: ")[2].partition(":")[0] for note in notes] == [
        "custom options are left out, they change nothing on the wire",
        "imports that were not found are left out, as no type of theirs is used",
    ]
    assert "validate.rules" in notes[0]


def test_definitions_of_options_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        root="""\
syntax = "proto3";
package acme.serving;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FieldOptions { string unit = 50000; }
message Request { int32 a = 1 [(unit) = "cm"]; extend google.protobuf.MessageOptions { string owner = 50001; } }
service Scoring { rpc Score(Request) returns (Request); }
""",
    )
    notes: list[str] = []
    assert "unit" not in from_proto(path, "proj", note=notes.append)
    assert "owner" in notes[0]
    assert "unit" in notes[0]


def test_what_cannot_be_followed_is_refused_at_its_place(tmp_path: Path) -> None:
    """A cycle, a file that is not valid, a folder in place of a file, a link that leads out."""
    cycle = TENSOR.replace("message", 'import "root.proto";\nmessage')
    path = write(tmp_path / "cycle", root=ROOT, common__tensor=cycle)
    chain = "root.proto -> tensor.proto -> root.proto"
    assert problems(path) == [f"tensor.proto:3: import root.proto: the file imports itself: {chain}"]
    path = write(tmp_path / "broken", root=ROOT, common__tensor=TENSOR.replace("float values", "float"))
    assert problems(path) == ["tensor.proto:3: : Expected field name"]
    path = write(tmp_path / "folder", root=ROOT)
    (tmp_path / "folder/common/tensor.proto").mkdir(parents=True)
    assert "the file was not found in" in problems(path)[0]
    path = write(tmp_path / "link", root=ROOT)
    (tmp_path / "link/.git").mkdir()
    write(tmp_path / "outside", tensor=TENSOR)
    (tmp_path / "link/common").symlink_to(tmp_path / "outside")
    assert "a link leads out of the folders" in problems(path)[0]
    assert imported(path, tmp_path / "outside") == ["common/tensor.proto"]
    path = write(
        tmp_path / "bytes", root=ROOT.replace('import "common', 'import "more\x1b[31m.proto";\nimport "common')
    )
    (tmp_path / "bytes/common").mkdir()
    (tmp_path / "bytes/common/tensor.proto").write_bytes(b"syntax\xff")
    told = problems(path)
    assert told[0].startswith("root.proto:3: import more\\x1b[31m.proto...: the file was not found in"), told
    assert told[1].startswith("tensor.proto:1: : the byte 0xff is not UTF-8"), told


def test_how_much_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"many__f{index}" for index in range(6)]
    imports = "".join(f'import "{name.replace("__", "/")}.proto";\n' for name in names)
    path = write(tmp_path, root=ROOT.replace('import "common', f'{imports}import "common'), common__tensor=TENSOR)
    write(tmp_path, **dict.fromkeys(names, 'syntax = "proto3";\n'))
    assert imported(path) == ["common/tensor.proto"]
    monkeypatch.setattr(include, "MAX_FILES", 6)
    assert "it leads to more than 6 files" in problems(path)[0]
    monkeypatch.undo()
    monkeypatch.setattr(include, "MAX_CHARACTERS", 400)
    assert "it leads to more than" in problems(path)[0]


@pytest.mark.parametrize(
    "part", ["/*", "[", "(", "option (", '"', "[(a)=1,", "option (a) = {;", "}option(a)", "import"]
)
def test_a_text_is_scanned_in_time(part: str) -> None:
    text = part * (50_000 // len(part))
    begin = time.process_time()
    assert len(scan(text).text) == len(text)
    assert time.process_time() - begin < 2


def test_comments_and_texts_are_no_imports_and_no_options() -> None:
    scanned = scan(
        """\
// import "a.proto";
/* option (x) = 1; import "b.proto"; */
option java_package = "import \\"c.proto\\"; option (x) = 1;";
import 'd.proto';
message M { int32 option = 1 [deprecated = true]; string import = 2 [json_name = "[(x) = 1]"]; }
"""
    )
    assert [item.path for item in scanned.imports] == ["d.proto"]
    assert scanned.options == ()


def test_googles_common_files_come_with_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ROOT.replace("common/tensor", "google/rpc/status").replace("acme.common.Tensor", ".google.rpc.Status")
    path = write(tmp_path, root=text)
    assert imported(path) == ["google/rpc/status.proto"]

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(SchemaError, match=f"install {include.LIBRARY}"):
        from_proto(path, "proj")


def test_the_list_of_googles_files_is_that_of_their_package() -> None:
    from protoserve.emit.imported_stubs import LIBRARY_FILES

    files = importlib.metadata.files(include.LIBRARY) or []
    assert {str(file) for file in files if file.suffix == ".proto"} == LIBRARY_FILES


def test_versions_share_an_imported_file(tmp_path: Path) -> None:
    path = write(tmp_path, root=ROOT.replace("acme.serving", "acme.serving.v1"), common__tensor=TENSOR)
    older = from_proto(path, "proj")
    newer = older.replace("acme.serving.v1", "acme.serving.v2").replace("allow_nan: true", "maximum: 1")
    texts = {"schema.yaml": newer, "schemas/v1.yaml": older}
    plan = generated_files.plan(tmp_path, "proj", texts)
    assert sum("tensor_pb2.py" in name for name in plan.files) == 2  # .py and .pyi
    paths = generated_files.paths(tmp_path, project_schemas.load(texts, "proj"), "proj")
    assert sorted(paths) == sorted({*plan.files, *plan.seeds} - texts.keys())
    changed = newer.replace("values, number: 1", "values, number: 2")
    with pytest.raises(SchemaError, match=r"common/tensor.proto is not what it is in schema.yaml"):
        generated_files.plan(tmp_path, "proj", texts | {"schema.yaml": changed})


def test_the_generated_proto_has_no_path_of_an_import(tmp_path: Path) -> None:
    text = ROOT.replace("acme.serving", "acme.serving.v1").replace("common/tensor", "acme/serving/v1/prediction")
    path = write(tmp_path, root=text, acme__serving__v1__prediction=TENSOR)
    contract = loads(from_proto(path, "proj"))
    assert proto.path_of(contract) == "acme/serving/v1/prediction_service.proto"


@pytest.mark.slow
def test_the_folders_reach_the_generator(template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of `protoserve new -I`, of `protoserve adopt -I`, and of the environment under bare Copier."""
    path = write(tmp_path / "protos", root=ROOT)
    write(tmp_path / "shared", common__tensor=TENSOR)
    new = ["new", str(tmp_path / "new"), "--defaults", "--framework", "python", "--schema", str(path)]
    new += ["--template", str(template)]
    assert cli.main(new) == 1
    assert "-I FOLDER" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()
    assert cli.main([*new, "-I", str(tmp_path / "shared")]) == 0
    assert (tmp_path / "new" / "proto" / "common" / "tensor.proto").exists()
    command = [tool("copier"), "copy", "--trust", "--defaults", "--quiet", "--data", f"schema={path}"]
    environment = os.environ | {"PROTOSERVE_INCLUDE": str(tmp_path / "shared")}
    run([*command, str(template), "copied"], cwd=tmp_path, env=environment)
    assert (tmp_path / "copied" / "proto" / "common" / "tensor.proto").exists()
    old = tmp_path / "old"
    write(old, root=ROOT)
    git(old, "init", "--quiet")
    commit(old, "by hand")
    adopt = ["adopt", str(old), "--defaults", "--template", str(template), "-I", str(tmp_path / "shared")]
    assert cli.main(adopt) == 0
    assert (old / "proto" / "common" / "tensor.proto").exists()
