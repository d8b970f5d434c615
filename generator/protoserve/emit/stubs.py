"""protoc's part: messages, gRPC stubs and the .pyi of both, without protoc's own headers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import grpc_tools

# protoc writes `Mapping` without type parameters; in a class with a field `float` it takes later floats for that field.
_UNTYPED = "# mypy: ignore-errors\n"
_LEADING_COMMENTS = re.compile(r"\A(?:#[^\n]*\n)+")


def compile_proto(root: Path, proto: str, out: Path, header: str) -> None:
    """Compiles `root/proto` into `out`, at the path of its package; every file begins with the line `header`.

    Raises RuntimeError with protoc's words: a sound contract always compiles, so it is a fault of protoserve's.
    """
    plugin = _plugin(root)
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={root}",
        f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
        f"--plugin=protoc-gen-mypy_grpc={plugin}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        proto,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"protoc refused {proto}:\n{done.stderr.strip()}")
    folder = out / Path(proto).parent
    for path in sorted(folder.glob("*_pb2*")):
        text = path.read_text(encoding="utf-8")
        head = f"# {header}\n{_UNTYPED if path.name.endswith('_pb2.pyi') else ''}"
        path.write_text(f"{head}{_LEADING_COMMENTS.sub('', text)}", encoding="utf-8")
    (folder / "__init__.py").write_text(f"# {header}\n", encoding="utf-8")


def _plugin(folder: Path) -> Path:
    """An executable for protoc that runs mypy-protobuf with this very interpreter, wherever its script lies."""
    script = folder / "protoc-gen-mypy_grpc.py"
    script.write_text("from mypy_protobuf.main import grpc\n\ngrpc()\n", encoding="utf-8")
    if os.name == "nt":
        launcher = script.with_suffix(".bat")
        launcher.write_text(f'@"{sys.executable}" "{script}"\n', encoding="utf-8")
        return launcher
    launcher = script.with_suffix("")
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n', encoding="utf-8")
    launcher.chmod(0o755)
    return launcher
