"""The zoo's .proto, and its stubs as the package `zoo_pb`; and those of the contracts in foreign/."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTO = Path(__file__).with_name("zoo.proto")
FOREIGN = Path(__file__).with_name("foreign")


@functools.cache
def stubs() -> Path:
    """The folder that has `zoo_pb/`, made once for each process that starts servers; theirs have it on their path."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = folder / "proto" / "zoo_pb"
    source.mkdir(parents=True)
    (source / PROTO.name).write_bytes(PROTO.read_bytes())
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source.parent}", f"--python_out={folder}"]
    subprocess.run([*command, f"--grpc_python_out={folder}", f"zoo_pb/{PROTO.name}"], cwd=source.parent, check=True)
    names = [str(file.relative_to(FOREIGN)) for file in sorted(FOREIGN.rglob("*.proto"))]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FOREIGN}", f"--python_out={folder}"]
    subprocess.run([*command, f"--grpc_python_out={folder}", *names], cwd=FOREIGN, check=True)
    return folder
