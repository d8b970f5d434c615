"""A folder that looks like a project of protoserve, and whose server is one of the zoo: the run starts it then."""

from __future__ import annotations

from pathlib import Path

from support import ROOT
from zoo.proto import stubs

_MAIN = """\
import os, sys
sys.path[:0] = {path!r}
from zoo import SERVERS, tables
SERVERS[{name!r}](int(os.environ["PORT"]))
"""


def project(name: str, folder: Path) -> Path:
    """Makes the folder; it is to be verified with --proto, which its schema leaves open."""
    server = folder / "src" / "zoo_project" / "server"
    server.mkdir(parents=True)
    main = _MAIN.format(path=[str(ROOT / "tests"), str(stubs())], name=name)
    (server / "__main__.py").write_text(main, encoding="utf-8")
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "model.bin.sha256").write_text("", encoding="utf-8")
    (folder / "schema.yaml").write_text("package: zoo.v1\n", encoding="utf-8")
    (folder / ".copier-answers.yml").write_text("package: zoo_project\nframework: python\n", encoding="utf-8")
    return folder
