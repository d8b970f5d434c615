"""The class that implements the service is recognised however a project gets from it to the server."""

# A row of a table is one line.
# ruff: noqa: E501
from __future__ import annotations

import ast
from pathlib import Path

import pytest

from adopt.shapes import PROTO
from protoserve.intake.proto.convert import from_proto
from protoserve.project.adopt import AdoptError, existing_project, servicer
from protoserve.schema.load import loads
from protoserve.schema.model import Contract

ADD = "from x_pb2_grpc import add_ScorerServicer_to_server\n"
SCORE = "    def Score(self, request, context): return 1\n"
IMPLEMENTATION = {"svc.py": f"class S(object):\n{SCORE}"}
# Files, and the class that is expected, with its file.
PROJECTS = {
    "a base class that is no servicer": ({"a.py": f"from x_pb2_grpc import Scorer, add_ScorerServicer_to_server\nclass S(Scorer):\n{SCORE}add_ScorerServicer_to_server(S(), s)\n"}, "S a.py"),
    "all names of the stubs": ({"a.py": f"from x_pb2_grpc import *\nclass S(Scorer):\n{SCORE}add_ScorerServicer_to_server(S(), s)\n"}, "S a.py"),
    "an alias of the function": ({"a.py": f"from x_pb2_grpc import add_ScorerServicer_to_server as add\nclass S:\n{SCORE}add(S(), s)\n"}, "S a.py"),
    "the function in a variable": ({"a.py": f"import x_pb2_grpc as g\nadd = g.add_ScorerServicer_to_server\nclass S:\n{SCORE}add(S(), s)\n"}, "S a.py"),
    "an alias of the base": ({"a.py": f"import g\nBase = g.ScorerServicer\nclass S(Base):\n{SCORE}"}, "S a.py"),
    "an alias in another file": ({"a.py": f"from b import *\nclass S(Base):\n{SCORE}", "b.py": "from g import ScorerServicer as Base\n"}, "S a.py"),
    "a base class in another file": ({"a.py": ADD + "from b import Base\nclass S(Base): pass\nadd_ScorerServicer_to_server(S(), s)\n", "b.py": f"class Base:\n{SCORE}"}, "Base b.py"),
    "a class in another file": ({"a.py": ADD + "from lib import svc\nadd_ScorerServicer_to_server(svc.S(1), s)\n", **IMPLEMENTATION}, "S svc.py"),
    "an attribute of an object": ({"a.py": ADD + "from svc import S\nclass A:\n  def __init__(self): self.servicer = S()\n  def run(self): add_ScorerServicer_to_server(self.servicer, s)\n", **IMPLEMENTATION}, "S svc.py"),
    "a factory in another file": ({"a.py": ADD + "from b import make\nasync def main(): add_ScorerServicer_to_server(await make(), s)\n", "b.py": "from svc import S\nasync def make():\n  it = S()\n  return it\n", **IMPLEMENTATION}, "S svc.py"),
    "a class method": ({"a.py": ADD + "from svc import S\nadd_ScorerServicer_to_server(S.create(), s)\n", **IMPLEMENTATION}, "S svc.py"),
    "a parameter": ({"a.py": ADD + "from svc import S\ndef serve(servicer): add_ScorerServicer_to_server(servicer, s)\nserve(S())\n", **IMPLEMENTATION}, "S svc.py"),
    "a parameter that is annotated": ({"a.py": ADD + "def serve(servicer: 'S'): add_ScorerServicer_to_server(servicer, s)\n", **IMPLEMENTATION}, "S svc.py"),
    "an argument by name, wrapped": ({"a.py": ADD + "from svc import S\nadd_ScorerServicer_to_server(server=s, servicer=traced(S()))\n", **IMPLEMENTATION}, "S svc.py"),
    "a table of classes": ({"a.py": ADD + "from svc import S\nTABLE = {'a': S}\nadd_ScorerServicer_to_server(TABLE[x](), s)\n", **IMPLEMENTATION}, "S svc.py"),
    "one of two": ({"a.py": ADD + "from svc import S\na, b = S(), 1\nadd_ScorerServicer_to_server(a or None, s)\n", **IMPLEMENTATION}, "S svc.py"),
    "a context": ({"a.py": ADD + "from svc import S\nwith S() as it: add_ScorerServicer_to_server(it, s)\n", **IMPLEMENTATION}, "S svc.py"),
    "a base class beside the servicer": ({"a.py": f"class M:\n{SCORE}class S(M, g.ScorerServicer): pass\n"}, "M a.py"),
    "a method that is assigned": ({"a.py": "class S(g.ScorerServicer):\n  def predict(self, r, c): pass\n  Score = predict\n"}, "S a.py"),
    "handlers one by one": ({"a.py": f"class S:\n{SCORE}grpc.unary_unary_rpc_method_handler(S().Score)\n"}, "S a.py"),
    "circles": ({"a.py": ADD + "class S(S): pass\na = b\nb = a\ndef f(): return f()\nadd_ScorerServicer_to_server(f() or a or S(), s)\n"}, None),
    "a client": ({"a.py": f"class Client:\n{SCORE}"}, None),
    "another service": ({"a.py": f"class S(g.OtherServicer):\n{SCORE}g.add_OtherServicer_to_server(S(), s)\n"}, None),
}  # fmt: skip


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("proto") / "scorer.proto"
    path.write_text(PROTO, encoding="utf-8")
    return loads(from_proto(path, ""))


@pytest.mark.parametrize("name", PROJECTS)
def test_the_class_is_recognised(name: str, contract: Contract) -> None:
    files, expected = PROJECTS[name]
    described = servicer.servicers(contract, {file: ast.parse(text) for file, text in files.items()})
    assert [f"{each.name} {each.file}" for each in described] == ([expected] if expected else [])
    assert [each.missing for each in described if each.missing] == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("return 1", "Model.score(self, batch: "),
        ("await context.abort(1)", "Model.score(self, batch: "),
        ("return await self.engine.score(request)", "async Model.score(self, request: "),
        ("async with self.engine: return 1", "async Model.score(self, request: "),
    ],
)
def test_a_handler_that_awaits_more_than_its_context_becomes_async(body: str, where: str, contract: Contract) -> None:
    source = f"from g import ScorerServicer\nclass S(ScorerServicer):\n    async def Score(self, request, context):\n        {body}\n"
    (described,) = servicer.servicers(contract, {"a.py": ast.parse(source)})
    assert described.methods[0].instead.startswith(where)


def test_a_file_that_is_named_is_taken_or_the_reason_is_given(contract: Contract, tmp_path: Path) -> None:
    files = {
        "ours.py": f"class Scores(SomethingElse):\n{SCORE}",
        "none.py": "class Other:\n    def score(self): pass\n",
        "x_pb2_grpc.py": "",
        "broken.py": "x = (\n",
        "new.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "linked.py").symlink_to("ours.py")
    trees, unreadable = servicer.parse(tmp_path, ["broken.py", "none.py", "ours.py", "x_pb2_grpc.py"])
    assert unreadable == ["broken.py"]
    assert existing_project.python_file(tmp_path, Path("linked.py"), trees) == "ours.py"
    (scores,) = servicer.servicers(contract, trees, only="ours.py")
    assert scores.name == "Scores"
    assert servicer.servicers(contract, trees, only="none.py") == []
    for option, words in {
        ".": "is a folder: name the Python file",
        "nowhere.py": "is not a file",
        "x_pb2_grpc.py": "has stubs, which protoc writes",
        "broken.py": "broken.py:1:5: Python cannot parse it: '(' was never closed",
        "new.py": "is not a committed Python file",
    }.items():
        with pytest.raises(AdoptError, match="--servicer ") as caught:
            existing_project.python_file(tmp_path, tmp_path / option, trees)
        assert words in str(caught.value)
