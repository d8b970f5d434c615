"""Hand-made projects of many shapes, as their authors might have them, with what a first `make check` could stumble over."""

# A row of a file is one line.
# ruff: noqa: E501
from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from releases import commit, git

PROTO = """\
syntax = "proto3";
package scorer;
message In { string text = 1; }
message Out { float score = 1; }
service Scorer { rpc Score(In) returns (Out); }
"""
SERVER = """\
import grpc, heavy_library
from concurrent import futures
import scorer_pb2 as pb, scorer_pb2_grpc as pbg
class ScorerServicer(pbg.ScorerServicer):
  def Score(self, request, context):
      return pb.Out(score = heavy_library.score(request.text))
"""
UNFORMATTED = "import os, sys\nx  =  [1,2 ,3]\n"
NOTEBOOK = '{"cells": [{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {}, "outputs": [], "source": ["import os\\n", "x  =  1"]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n'
NEEDS_COVERAGE = "[pytest]\naddopts = --cov=app --strict\ntestpaths = spec\nminversion = 99\n"


@dataclass(frozen=True)
class Shape:
    """A project's files; `ignored` are on the disk and not in git, `links` are symbolic, `folder` is the project's."""

    files: dict[str, str | bytes]
    ignored: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folder: str = "."

    def write(self, root: Path) -> Path:
        """The project's folder in a repository in `root`, committed."""
        for name, content in {**self.files, **self.ignored}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for name, target in self.links.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(target, root / name)
        git(root, "init", "--quiet", "--initial-branch=main")
        commit(root, "as it was made")
        return root / self.folder


SHAPES = {
    "an old conftest.py": Shape(
        {
            "proto/scorer.proto": PROTO,
            "service.py": SERVER,
            "requirements.txt": "heavy-library>=1\n",
            "conftest.py": "import heavy_library\npytest_plugins = ['heavy_library.fixtures']\n",
            "tests/conftest.py": "import service\n",
            "tests/test_service.py": "import service\ndef test_x(fixture_of_theirs): pass\n",
            "tests/unit/conftest.py": "import service\n",
            "tests/unit/test_smoke.py": "import service\n",
        }
    ),
    "setup.py and setup.cfg": Shape(
        {
            "setup.py": "from setuptools import setup\nimport app\nsetup(version=app.__version__, setup_requires=['heavy'])\n",
            "setup.cfg": "[metadata]\nname = scorer\nversion = attr: app.__version__\n[options]\npackages = find:\ninstall_requires =\n  heavy-library\n[tool:pytest]\naddopts = --cov\n[mypy]\nstrict = nonsense\n",
            "tox.ini": "[pytest]\naddopts = --cov\n[testenv]\ncommands = pytest\n",
            "MANIFEST.in": "include app/protos/*.proto\n",
            "app/__init__.py": "import heavy_library\n__version__ = '1'\n",
            "app/protos/scorer.proto": PROTO,
            "app/service.py": SERVER,
            "app/tests/__init__.py": "",
            "app/tests/test_service.py": "from app import service\n",
            "app/scorer_pb2.py": "import google.protobuf.nothing\n",
        }
    ),
    "a src layout with poetry, buf and every ini file": Shape(
        {
            "pyproject.toml": "[tool.poetry]\nname = 'scorer'\n[tool.black]\nline-length = 88\n[tool.pytest.ini_options]\naddopts = '--cov'\n",
            "poetry.lock": "",
            "ruff.toml": "line-length = 40\n[lint]\nselect = ['ALL']\n",
            "mypy.ini": "[mypy]\nplugins = heavy_library.mypy\n",
            "pytest.ini": NEEDS_COVERAGE,
            ".pre-commit-config.yaml": "repos: []\n",
            "buf.work.yaml": "version: v1\ndirectories: [proto]\n",
            "proto/buf.yaml": "version: v1\nlint: {use: [NONSENSE]}\n",
            "proto/acme/scorer/v1/scorer.proto": PROTO.replace("package scorer", "package acme.scorer.v1"),
            "proto/acme/scorer/v1/broken.proto": "message {\n",
            "src/acme_scorer/__init__.py": "",
            "src/acme_scorer/__main__.py": SERVER,
            "src/acme_scorer/old.py": UNFORMATTED,
            ".gitignore": "*_pb2*.py*\n",
        },
        ignored={"src/acme_scorer/scorer_pb2.py": "import nothing\nx: int = ''\n"},
    ),
    "notebooks, Python 2 and strange names": Shape(
        {
            "scorer.proto": PROTO,
            "server.py": SERVER.replace("\n", "\r\n"),
            "notebooks/explore.ipynb": NOTEBOOK,
            "old/python2.py": "print 'x'\nexec 'y'\n",
            "old/cut off.py": "def f(:\n",
            "old/[id]{a}*?!.py": UNFORMATTED,
            'old/quo"te\\back.py': UNFORMATTED,
            "old/öffentlich 模型.py": UNFORMATTED,
            "old/latin.py": "# -*- coding: latin-1 -*-\nx  = 'ä'\n".encode("latin-1"),
            "old/bom.py": b"\xef\xbb\xbfimport os\n",
            "old/null.py": b"\x00\x01\x02",
            "old/empty.py": "",
            "stubs/scorer.pyi": "def f( x) : ...\n",
            "README.md": "# Scorer\n\n```python\nx  =  [1,2]\n```\n",
            "docs/use.md": "# Use\n\n```python\nx  =  [1,2]\n```\n",
            "docs/plain.md": "# Plain\n",
            "-dash.py": UNFORMATTED,
            "src/broken_in_src.py": "def f(:\n",
            "tests/broken.py": "def f(:\n",
            "tests/test_broken.py": "def f(:\n",
        }
    ),
    "tests with settings of their own": Shape(
        {
            "api/scorer.proto": PROTO,
            "tests/__init__.py": '"""Ours."""\n',
            "tests/pytest.ini": NEEDS_COVERAGE,
            "tests/ruff.toml": "line-length = 40\n",
            "tests/pyproject.toml": "[tool.ruff]\nline-length = 40\n",
            "tests/setup.cfg": "[tool:pytest]\naddopts = --cov\n",
            "tests/conftest.py": "import heavy_library\n",
            "tests/integration/__init__.py": "import heavy_library\n",
            "tests/integration/test_smoke.py": "import heavy_library\n",
            "tests/helpers.py": "import heavy_library\n",
            "app/main.py": SERVER,
        }
    ),
    "makefiles, locks and workflows": Shape(
        {
            "protos/scorer.proto": PROTO,
            "Makefile": "check:\n\tfalse\n",
            "makefile": "check:\n\tfalse\n",
            "GNUmakefile": "check smoke test:\n\tfalse\n",
            "local.mk": "BIN := /nowhere\n",
            "requirements/base.txt": "heavy-library\n",
            "requirements/dev.txt": "-r base.txt\n",
            "requirements/train.txt": "heavy-library\n",
            "requirements.txt": "-r requirements/base.txt\n",
            "requirements.lock": "heavy-library==1\n",
            "requirements-dev.lock": "heavy-library==1\n",
            "deploy/prod/prod.mk": "check:\n\tfalse\n",
            "deploy/prod/requirements-dev.txt": "heavy-library\n",
            ".github/workflows/ci.yml": "on: push\n",
            ".github/workflows/nightly.yml": "on: push\n",
            ".gitlab-ci.yml": "test: {script: pytest}\n",
            ".hadolint.yaml": "failure-threshold: nonsense\n",
            ".editorconfig": "[*]\nindent_style = tab\n",
            "Dockerfile": "FROM python\n",
            "docker-compose.yml": "services: {}\n",
            "server.py": SERVER,
            "scripts/__init__.py": "import heavy_library\n",
            "scripts/run.py": UNFORMATTED,
        }
    ),
    "a folder of a larger repository": Shape(
        {
            "conftest.py": "import heavy_library\n",
            "pytest.ini": NEEDS_COVERAGE,
            "ruff.toml": "line-length = 40\n",
            "pyproject.toml": "[tool.ruff]\nline-length = 40\n",
            ".gitignore": "*.lock\nproto/\n",
            "libs/shared.py": UNFORMATTED,
            "services/scorer/api/scorer.proto": PROTO,
            "services/scorer/server.py": SERVER,
        },
        folder="services/scorer",
    ),
    "rules that ignore the template's files": Shape(
        {
            "scorer.proto": PROTO,
            "server.py": SERVER,
            ".gitignore": "*_pb2*\n*.txt\n.*\n!.gitignore\nscripts/\n/src\nproto/**\ntest*\nlib/\n*.lock\n",
        },
        ignored={"scripts/secret.py": UNFORMATTED, "src/scratch.py": UNFORMATTED, "tests/scratch.py": UNFORMATTED},
    ),
    "links": Shape(
        {"app/scorer.proto": PROTO, "app/server.py": SERVER, "app/lib/x.py": UNFORMATTED, "src/keep.txt": ""},
        links={
            "server.py": "app/server.py",
            "scorer.proto": "app/scorer.proto",
            "outside.py": "/etc/hostname",
            "outside.proto": "/etc/hostname",
            "broken.py": "nowhere.py",
            "src/lib": "../app/lib",
            "tests/lib": "../app/lib",
            "loop": "loop",
            "requirements.txt": "/etc/hosts",
        },
    ),
    "projects inside, and folders with names of libraries": Shape(
        {
            "scorer.proto": PROTO,
            "libs/client/pyproject.toml": "[tool.ruff]\nrequired-version = '==0.0.1'\n",
            "libs/client/x.py": UNFORMATTED,
            "libs/broken/ruff.toml": "nonsense = 1\n",
            "libs/broken/sub/x.py": UNFORMATTED,
            "template/{{cookiecutter.name}}/pyproject.toml": "{{ nonsense\n",
            "template/{{cookiecutter.name}}/x.py": "{{ nonsense\n",
            "google/rpc/status.proto": 'syntax = "proto3";\npackage google.rpc;\n',
            "grpc/health.proto": 'syntax = "proto3";\n',
            "numpy/notes.md": "",
            "pytest/x.py": UNFORMATTED,
            "app/grpc/__init__.py": "",
            "app/logging.py": SERVER,
            "src/app/types.py": UNFORMATTED,
            "src/py.typed": "",
            "src/__init__.py": "import heavy_library\n",
            "src/grpc/x.py": UNFORMATTED,
        }
    ),
}

_OF_ONE_PROJECT = (
    "an old conftest.py",
    "setup.py and setup.cfg",
    "notebooks, Python 2 and strange names",
    "makefiles, locks and workflows",
    "links",
    "projects inside, and folders with names of libraries",
)


def combined() -> dict[str, Shape]:
    """The shapes with those in one project that fit together, since a project takes seconds to check."""
    parts = [SHAPES[name] for name in _OF_ONE_PROJECT]
    files = {name: content for part in parts for name, content in part.files.items()}
    links = {name: target for part in parts for name, target in part.links.items() if name not in files}
    others = {name: shape for name, shape in SHAPES.items() if name not in _OF_ONE_PROJECT}
    return {"six of them": Shape(files, links=links), **others}
