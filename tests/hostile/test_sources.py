"""Sources of a template: each form that is taken, and what is refused before anything runs."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hostile.situations import bounded, make_outside
from protoserve import cli
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import SourceError, refuse_source
from protoserve.project.update import template_versions
from releases import Work
from support import ROOT

TAKEN = [
    *("/x/y", "../t", "~/t", "t", "./a:b", "/a:b/c", "nowhere", "git+/x"),
    *("file:///x/y", "git+file:///x", "https://h/x.git", "HTTPS://h/x", "git+https://h/x", "https://[::1]:80/x"),
    *("https://user:TOKEN@host/x.git", "https://user%40corp:TO%2FKEN@host/a@b", "https://h/x.git?access_token=T"),
    *("ssh://git@host/x", "ssh://host:22/~u/x", "ssh://git:T@host/x", "git+ssh://git@h/x"),
    *("git@host:o/r.git", "git+git@host:x", "me@host:~/x", "gh:o/r", "gh:/o/r.git", "gl:g/s/r"),
]
REFUSED = [
    *("fd::17", "ext::sh -c x", "ext::sh -c x/y", "git+ext::sh", "codecommit::us://x", "git@host::x"),
    *("-x", "git+-x", "--upload-pack=x:y", "ssh://-oProxyCommand=x/y", "ssh://u@-oP/x", "ssh://-u@h/x"),
    *("git@-oX:y", "git@host:-x", "ssh://h/-x", "ssh://h:-1/x", "https://-h/x"),
    *("git://h/x", "http://h/x", "ftp://h/x", "rsync://h/x", "file://host/x", "host:path"),
    *("a\nb", "https://h/x\n", "/x\x1b[1m", "/x\u202e", "", "x" * 5000, "gh:", "gh:-x/../z?"),
    *("/dev/zero", "file:///dev/zero", "{outside}/pipe", "file://{outside}/pipe"),
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/generate.py of a project."""
    specification = importlib.util.spec_from_file_location("generate", ROOT / "examples/iris/scripts/generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", TAKEN)
def test_forms_that_are_taken(source: str, script: ModuleType) -> None:
    refuse_source(source, Path("/nowhere"), "--template")
    assert script._is_source(source)


@pytest.mark.skipif(sys.platform == "win32", reason="has drives")
@pytest.mark.parametrize("source", REFUSED)
def test_forms_that_are_refused(source: str, script: ModuleType, tmp_path: Path) -> None:
    source = source.replace("{outside}", str(make_outside(tmp_path / "outside")))
    with pytest.raises(SourceError, match="--template must be a folder, a URL of https, ssh or file,"):
        refuse_source(source, tmp_path, "--template")
    assert not script._is_source(source)


@pytest.mark.parametrize(
    "command", ["update", "generate", "new", "adopt", pytest.param("status", marks=pytest.mark.slow)]
)
def test_every_command_refuses_before_anything_runs(
    command: str, work: Work, by_hand: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    evil = f"ext::sh -c touch% {ran}"
    line = next(line for line in work.read(".copier-answers.yml").splitlines() if line.startswith("_src_path"))
    work.edit(".copier-answers.yml", line, f'_src_path: "{evil}"')
    work.commit()
    arguments = {
        "new": ["new", str(tmp_path / "made"), "--defaults", "--template", evil],
        "adopt": ["adopt", str(by_hand), "--defaults", "--template", evil],
    }.get(command, [command, str(work.path)])
    with bounded(60):
        if command == "status":
            printed = work.status(check=False).stdout
        else:
            assert cli.main(arguments) == 1
            printed = capfd.readouterr().err
    assert "must be a folder, a URL of https, ssh or file" in printed
    assert not ran.exists()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("version", ["--orphan=x", "v1\n\x1b[1m"])
def test_a_recorded_version_is_not_an_option_of_git(version: str, tmp_path: Path) -> None:
    with pytest.raises(ProtoserveError, match="which is not a version: restore it from git") as error:
        template_versions.recorded(tmp_path, {"_src_path": "gh:a/b", "_commit": version})
    assert "\x1b" not in str(error.value)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []
        stopped = threading.Event()

        def take() -> None:
            server.settimeout(0.1)
            while not stopped.is_set():
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        yield int(server.getsockname()[1])
        stopped.set()
        thread.join()
        for connection in taken:
            connection.close()


def test_a_server_that_does_not_answer_is_given_up(
    silent_port: int, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_versions, "SECONDS_TO_ANSWER", 1.0)
    started = time.monotonic()
    with pytest.raises(template_versions.UnreachableTemplateError, match="did not finish within 1 seconds"):
        template_versions.available(work.path, f"https://127.0.0.1:{silent_port}/x.git")
    assert time.monotonic() - started < 15
