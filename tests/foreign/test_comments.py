"""The comments and options of a foreign .proto reach a project's files as data, whatever they say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostile_texts
from protoserve.emit import generated_files
from protoserve.intake.proto.convert import from_proto
from support import ROOT, run, tool

OWN = """\
%(above)s
syntax = "proto3"; %(behind)s
%(above)spackage hostile.v1; %(behind)s
%(above)simport "other.proto"; %(behind)s
%(above)soption java_package = %(option)s; %(behind)s
option go_package = %(option)s;
%(above)smessage Request { %(behind)s
  %(above)sreserved 5; %(behind)s
  %(above)sstring a = 1 [json_name = %(name)s]; %(behind)s
  %(above)soneof choice { %(behind)s
    %(above)sother.Other b = 2; %(behind)s
    Kind c = 3; %(behind)s
  } %(behind)s
} %(behind)s
%(above)senum Kind { %(behind)s
  %(above)sKIND_UNSPECIFIED = 0; %(behind)s
  KIND_B = 1; %(behind)s
} %(behind)s
%(above)sservice Hostile { %(behind)s
  %(above)srpc Ask(Request) returns (Request); %(behind)s
  rpc Chat(Request) returns (stream Request) { %(behind)s
    %(above)soption deprecated = true; %(behind)s
  } %(behind)s
} %(behind)s
"""
OTHER = """\
%(above)ssyntax = "proto3"; %(behind)s
%(above)spackage other; %(behind)s
%(above)smessage Other { %(behind)s
  %(above)sint32 x = 1; %(behind)s
} %(behind)s
"""


class Parts(dict[str, str]):
    """What stands in the places of a .proto; without a seed it is harmless."""

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        self._texts = hostile_texts.Texts(seed)
        self._comments = 0

    def __missing__(self, place: str) -> str:
        if place == "option":
            return _literal(self._texts.next(place, controls=True))
        if place == "name":
            return _literal(f"x{self._texts.next(place, lines=False)}x")
        return f"{self._comment()}\n\n{self._comment()}\n" if place == "above" else self._comment()

    def _comment(self) -> str:
        """A comment that begins with words: a block and lines by turns, the worst one and random ones by turns."""
        self._comments += 1
        place = "comment" if self._comments % 4 < 2 else f"comment {self._comments}"
        text = self._texts.next(place, controls=True).replace("\0", "")  # which would end the file for protoc
        if self._comments % 2:
            return f"/* words {text.replace('*/', '* /').replace('/*', '/ *')} */"
        return "\n".join(f"// words {line}" for line in text.split("\n")) + "\n"


def _literal(text: str) -> str:
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def write(folder: Path, seed: int | None) -> Path:
    """A .proto and one that it imports, with such texts everywhere."""
    folder.mkdir()
    given = Parts(seed)
    (folder / "other.proto").write_bytes((OTHER % given).encode())
    (folder / "own.proto").write_bytes((OWN % given).encode())
    return folder / "own.proto"


def files(proto: Path) -> Iterator[tuple[str, bytes]]:
    text = from_proto(proto, "words")
    yield from generated_files.plan(Path("no-project"), "words", {"schema.yaml": text}).files.items()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 5))])
def test_no_text_of_a_proto_changes_what_a_file_says(seed: int, tmp_path: Path) -> None:
    made, harmless = dict(files(write(tmp_path / "hostile", seed))), dict(files(write(tmp_path / "harmless", None)))
    assert made.keys() == harmless.keys()
    for name, content in made.items():
        assert hostile_texts.structure(name, content) == hostile_texts.structure(name, harmless[name]), name
    for name in ("proto/hostile/v1/prediction.proto", "src/hostile/v1/prediction_pb2_grpc.py"):
        assert b"words" in made[name], f"comments are still in {name}"


# What Python must not be asked for while the modules of a project are imported.
WATCHED = """\
import importlib, pathlib, sys

def watch(event, arguments):
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn") or (
        event == "open" and "canary" in str(arguments[0])
    ):
        print("not allowed:", event, arguments, flush=True)
        raise SystemExit(3)

sys.addaudithook(watch)
for path in sorted(pathlib.Path("src").rglob("*.py")):
    if "server" not in path.parts and path.name != "model.py":
        name = ".".join(path.relative_to("src").with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(name)
"""


@pytest.mark.slow
def test_a_project_of_a_hostile_proto_runs_none_of_it(template: Path, tmp_path: Path) -> None:
    """By the real commands: it is made, stays as it was made, is clean for every linter, and imports as any other."""
    proto = write(tmp_path / "hostile\n package: x", 1)
    answers = ('project_name={{ 7 * 7 }} """ $(touch canary)', "description=`touch canary`'\\")
    command = [sys.executable, "-m", "protoserve", "new", "made", "--template", template, "--schema", proto]
    command += ["--package=words", "--framework=python", *(f"--data={answer}" for answer in answers), "--defaults"]
    run(command, cwd=tmp_path)
    project = tmp_path / "made"
    generator = {**os.environ, "PROTOSERVE_GENERATOR": str(ROOT)}
    run([sys.executable, "scripts/generate.py", "--check"], cwd=project, env=generator)
    lint_python = ["ruff", "check", "--no-cache", "src/words/contract", "scripts", "tests", "train.py"]
    for tool_name, *arguments in (["buf", "lint"], ["buf", "format", "--diff", "--exit-code"], lint_python):
        run([tool(tool_name), *arguments], cwd=project)
    run([sys.executable, "-c", WATCHED], cwd=project, env={**os.environ, "PYTHONPATH": "src"})
    run(["make", "-n", "check", "image"], cwd=project)
    assert not list(tmp_path.rglob(hostile_texts.CANARY))
