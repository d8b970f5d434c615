"""What `make smoke` says: the cause of a failure, first and once, and which model was served."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import Project, create

# A project's scripts import its package, so they run in a process of their own: one for all rows.
REPORT = """\
import json, signal, sys
sys.path.insert(0, "scripts")
import smoke_report
for log in json.load(sys.stdin):
    print("\\n".join(smoke_report.causes(smoke_report.entries(log))), end="\\0")
print(smoke_report.ending(1), smoke_report.ending(-signal.SIGKILL), smoke_report.ending(-signal.SIGSEGV), sep="\\0")
"""


def logged(level: str, message: str, error: str = "") -> str:
    return json.dumps({"time": "", "level": level, "message": message, **({"error": error} if error else {})})


def traceback(path: str, message: str, code: str = "x = 1") -> str:
    own = f'  File "{path}/src/small/model.py", line 7, in predict\n    {code}\n'
    return (
        "Traceback (most recent call last):\n"
        f'  File "{path}/src/small/server/loading.py", line 24, in load\n    model = module.Model(path)\n'
        f"{own}           ^^^^^\n"
        f'  File "{path}/.venv/lib/python3.12/site-packages/skops/io.py", line 9, in load\n    raise\n{message}'
    )


@pytest.fixture(scope="module")
def small(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that starts quickly, trained."""
    project = create(
        template,
        tmp_path_factory.mktemp("small") / "small",
        package="small",
        framework="python",
        schema="x: float64 -> y: float64",
    )
    project.python("train.py")
    return project


@pytest.fixture
def copy(small: Project, tmp_path: Path) -> Project:
    shutil.copytree(small.path, tmp_path / "copy")
    return Project(tmp_path / "copy", "small")


def causes(project: Project, *logs: str) -> list[str]:
    done = project.python("-c", f"import io, sys; sys.stdin = io.StringIO({json.dumps(logs)!r})\n{REPORT}")
    return done.stdout.removesuffix("\n").split("\0")


def test_the_cause_comes_with_the_authors_own_lines(small: Project) -> None:
    path = str(small.path)
    wrong = traceback(path, "KeyError: 'x'")
    chained = (
        f"{traceback(path, chr(10).join(['ValueError: torn', 'in line 2']))}\n\n"
        "The above exception was the direct cause of the following exception:\n\n" + traceback(path, "OSError: no")
    )
    library = 'Traceback (most recent call last):\n  File "/usr/lib/a.py", line 3, in f\n    g()\nOSError: no'
    place = f'  File "{path}/src/small/model.py", line 3\n    def (:\n        ^\n'
    syntax = f"Traceback (most recent call last):\n{place}SyntaxError: x"
    segfault = (
        "Fatal Python error: Segmentation fault\n\nThread 0x1 (most recent call first):\n"
        f'  File "/usr/lib/threading.py", line 5 in wait\n\nCurrent thread 0x2 (most recent call first):\n'
        f'  File "/usr/lib/ctypes.py", line 519 in string_at\n  File "{path}/src/small/model.py", line 8 in load\n'
        f'  File "{path}/src/small/model.py", line 4 in __init__\n  File "{path}/src/small/server/a.py", line 1 in run'
    )
    *found, exited, killed, crashed = causes(
        small,
        logged("INFO", "loading") + "\n" + logged("CRITICAL", "loading failed: KeyError: 'x'\nDo this.", wrong),
        logged("CRITICAL", "loading failed: OSError: no", chained),
        logged("CRITICAL", "loading failed: OSError: no", library),
        logged("CRITICAL", "loading failed: SyntaxError: x", syntax),
        f"hello\n{logged('INFO', 'serving')}\n{segfault}\n",
        f"hello\n{library}\n",
        "\n".join(map(str, range(100))) + "\n",
        "",
        logged("ERROR", "\n".join(["many"] * 1000), traceback(path, "\n".join(["many"] * 1000))),
    )
    assert found[:8] == [
        "loading failed: KeyError: 'x'\n  src/small/model.py:7: x = 1\nDo this.",
        "loading failed: OSError: no\n  src/small/model.py:7: x = 1\n"
        "caused by ValueError: torn\nin line 2\n  src/small/model.py:7: x = 1",
        "loading failed: OSError: no\n  /usr/lib/a.py:3: g()",
        "loading failed: SyntaxError: x\n  src/small/model.py:3: def (:",
        "Fatal Python error: Segmentation fault\n  src/small/model.py:4, in __init__\n  src/small/model.py:8, in load",
        "OSError: no\n  /usr/lib/a.py:3: g()",
        "Its log says no reason. The last lines:\n" + "\n".join(f"  {number}" for number in range(90, 100)),
        "",
    ]
    assert found[8].count("\n") < 40
    assert exited == "it exited with 1"
    assert "memory" in killed
    assert "SIGSEGV" in crashed


def smoke(project: Project, **env: str) -> tuple[int, str]:
    """As `make smoke` does it, in CI: there pytest's own summary would repeat each failure in full."""
    pytest = ("-m", "pytest", "-rN", "-p", "no:cacheprovider", "tests/test_smoke.py")
    done = project.python(*pytest, env={"SMOKE_SECONDS": "60", "CI": "true", **env}, check=False)
    return done.returncode, done.stdout


def edit(project: Project, edits: Mapping[str, str]) -> None:
    path = project.path / "src" / "small" / "model.py"
    text = path.read_text(encoding="utf-8")
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


IMPORT = {"import numpy as np\n": "import numpy as np\nfrom features import scale\n"}
HANG = {
    "        with np.load(": "        threading.Event().wait()\n        with np.load(",
    "import numpy": "import threading\nimport numpy",
}
CAUSE = """\
The server does not start: it exited with 1.
loading the model failed: ModuleNotFoundError: No module named 'features'
  src/small/model.py:LINE: from features import scale
If features is a package from an index, add it to requirements/model.txt and run `make lock setup`.
If it is a module of your own, which the artifact may need too, put it into src/ (src/features.py).

For the server's log: make smoke LOGS=1
"""


def test_a_server_that_does_not_start_is_explained_once(copy: Project) -> None:
    edit(copy, IMPORT)
    code, printed = smoke(copy)
    assert code == 1
    assert CAUSE in re.sub(r"model.py:\d+", "model.py:LINE", printed)
    assert printed.count("No module named 'features'") == 1
    assert len(printed.splitlines()) < 30
    assert "1 error" in printed
    assert "\\n" not in printed
    code, printed = smoke(copy, LOGS="1")
    assert "The server's log:\nINFO Settings(" in printed
    assert 'model.py", line' in printed


def test_a_server_that_hangs_is_asked_where(copy: Project) -> None:
    edit(copy, HANG)
    code, printed = smoke(copy, SMOKE_SECONDS="3")
    assert code == 1
    assert re.search(r"not SERVING after 3 s .*\n  src/small/model.py:\d+, in __init__\n", printed)


def test_the_model_that_was_served_is_named(copy: Project) -> None:
    artifact = copy.path / "artifacts" / "model.npz"
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    code, printed = smoke(copy)
    assert code == 0
    section = printed.partition("the model that was served")[2]
    assert f"\nartifacts/model.npz\nSHA-256 {digest}\nwritten just now (" in section
    assert "), by train.py\n" in section
    artifact.with_name("model.npz.sha256").write_text(f"{digest}  model.npz\n", encoding="utf-8")
    maker = "import sys; sys.path.insert(0, 'scripts'); import smoke_report; from pathlib import Path;"
    ask = f"{maker} print(smoke_report._maker(Path('artifacts/model.npz')))"
    assert copy.python("-c", ask).stdout == "not by train.py; sealed by hand\n"
    artifact.with_name("model.npz.sha256").unlink()
    assert copy.python("-c", ask).stdout == (
        "not by train.py; to have the server check that it stays the same: "
        "(cd artifacts && sha256sum model.npz > model.npz.sha256)\n"
    )


def test_training_does_not_replace_a_model_that_was_put_there(copy: Project) -> None:
    artifact = copy.path / "artifacts" / "model.npz"
    seal = artifact.with_name("model.npz.sha256")
    copy.python("train.py")  # over its own
    mine = artifact.read_bytes() + b"mine"
    artifact.write_bytes(mine)
    for prepare in (
        lambda: None,
        seal.unlink,
        lambda: seal.write_text(f"{hashlib.sha256(mine).hexdigest()}  model.npz\n"),
    ):
        prepare()
        for command in (["train.py"], ["scripts/check_artifact.py", "--before-training"]):
            done = copy.python(*command, check=False)
            assert (done.returncode, done.stderr.count("\n")) == (1, 2)
            assert "artifacts/model.npz was not sealed by train.py, which would replace it." in done.stderr
        assert artifact.read_bytes() == mine
    copy.python("train.py", env={"REPLACE": "1"})
    assert artifact.read_bytes() != mine
    sealed = seal.read_text(encoding="utf-8")
    seal.unlink()  # as after a train.py that does not seal
    copy.python("scripts/check_artifact.py", "--after-training")
    assert "# sealed by train.py\n" in seal.read_text()
    copy.python("scripts/check_artifact.py", "--before-training")
    seal.write_text(seal.read_text().replace("by train.py", "by ipykernel_launcher.py"), encoding="utf-8")
    assert copy.python("scripts/check_artifact.py", "--before-training", check=False).returncode == 1
    seal.write_text(re.sub("# sealed by .*\n", "", sealed), encoding="utf-8")  # as earlier versions wrote it
    copy.python("train.py")
    (copy.path / "artifacts" / "words.txt").write_text("beside the model", encoding="utf-8")
    copy.python("scripts/check_artifact.py", "--before-training")
