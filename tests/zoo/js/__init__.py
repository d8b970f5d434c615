"""Servers in JavaScript, by @grpc/grpc-js: `js-MODE` runs server.js with that mode."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from zoo import Row, server

_HERE = Path(__file__).parent

_QUICK = ("--timeout", "3")
ROWS = (
    Row("js-healthy", slow=True),
    Row("js-silent-healthy", slow=True, reflects=False),
    Row("js-method-missing", "implemented", ("no Predict", "overridden"), slow=True),
    Row("js-not-registered", "implemented", ("never added",), slow=True),
    Row("js-array", "serialization", ("returned something other than this message",), slow=True),
    Row("js-json", "serialization", ("returned something other than this message",), slow=True),
    Row("js-nothing", "serialization", ("returned something other than this message",), slow=True),
    Row("js-wrong-type", "serialization", ("returned something other than this message",), slow=True),
    Row("js-other-names", None, ("0 bytes", "JavaScript"), frozenset({"serialization"}), slow=True),
    Row("js-error", "serialization", ("raised an exception", "no model"), options=_QUICK, slow=True),
    Row("js-throws", None, ("Unknown error", "--request"), frozenset({"serialization"}), options=_QUICK, slow=True),
    Row(
        "js-throws",
        "serialization",
        ("raised an exception", "does not give the reason"),
        options=("--request", "Predict={zoo}/valid.json", *_QUICK),
        slow=True,
    ),
    Row("js-raises-after", "bad-input", ("fails for the request that it answered before",), reflects=False, slow=True),
    Row("js-hangs-after", "bad-input", ("only Predict does not answer",), options=_QUICK, reflects=False, slow=True),
    Row("js-dies-after", "bad-input", ("ends the server's process",), options=_QUICK, reflects=False, slow=True),
    Row("js-early", "health-honest", ("before Predict can answer", "Unknown error"), reflects=False, slow=True),
    Row(
        "js-yields-nothing",
        None,
        ("ended without a zoo.v1.Reason",),
        frozenset({"serialization"}),
        reflects=False,
        slow=True,
    ),
    Row("js-rejects", "implemented", ("connection broke",), slow=True, options=("--only", "implemented")),
)


@functools.cache
def node_modules() -> Path:
    """The packages from npm, installed once for this package.json on this machine."""
    wanted = (_HERE / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"protoserve-zoo-js-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.copy(_HERE / "package.json", folder)
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
            (folder / "done").touch()
    return folder / "node_modules"


def _runs(mode: str) -> None:
    @server(f"js-{mode}")
    def run(port: int) -> None:
        os.environ["NODE_PATH"] = str(node_modules())
        os.execvp("node", ["node", str(_HERE / "server.js"), mode, str(port)])


for _mode in sorted({row.name.removeprefix("js-") for row in ROWS}):
    _runs(_mode)
