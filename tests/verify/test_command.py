"""The command against real servers: forms of output, exit codes, arguments, interruptions, TLS."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import grpc
import pytest

from protoserve import cli
from protoserve.verify.checks import CHECKS
from protoserve.verify.options import FORMATS
from support import tool
from zoo.process import free_port, running
from zoo.proto import PROTO
from zoo.tls import issue

ESCAPE = "\x1b"


def command(*arguments: str | Path) -> list[str]:
    return [tool("protoserve"), "verify", *map(str, arguments)]


@dataclass(frozen=True)
class Done:
    """What a run left: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def verify(*arguments: str | Path, cwd: Path | None = None) -> Done:
    """The command, run in this process: most of a run would be the start of another one."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with chdir(cwd or Path.cwd()), redirect_stdout(out), redirect_stderr(err):
            code = cli.main(["verify", *map(str, arguments)])
    except SystemExit as stopped:  # argparse, when it does not understand the arguments
        code = int(stopped.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return Done(code, out.buffer.getvalue().decode(), err.getvalue())


def verify_alone(*arguments: str | Path, **environment: str) -> Done:
    """The command as a process of its own; nothing that it does may show a traceback."""
    env = {**os.environ, **environment}
    done = subprocess.run(command(*arguments), env=env, capture_output=True, text=True, check=False, timeout=90)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def ids(done: Done) -> dict[str, str]:
    """The verdicts by check, from JSON."""
    return {check["id"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with running("sync") as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def faulty() -> Iterator[str]:
    with running("not-overridden") as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def silent() -> Iterator[tuple[str, socket.socket]]:
    """A server that takes connections and says nothing, so that a run waits for it; `accept` tells that it does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        yield f"127.0.0.1:{listening.getsockname()[1]}", listening


class TestForms:
    @pytest.mark.parametrize("format", FORMATS)
    def test_a_healthy_server(self, healthy: str, format: str) -> None:
        done = verify(healthy, "--format", format)
        assert (done.returncode, done.stderr) == (0, "")
        self.parsed(format, done.stdout, "pass")

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_faulty_server(self, faulty: str, format: str) -> None:
        done = verify(faulty, "--format", format)
        assert (done.returncode, done.stderr) == (1, "")
        self.parsed(format, done.stdout, "fail")

    def parsed(self, format: str, out: str, verdict: str) -> None:
        if format == "json":
            assert json.loads(out)["verdict"] == verdict
        elif format == "junit":
            suites = ElementTree.fromstring(out)
            assert int(suites.attrib["failures"]) == (verdict == "fail")
        else:
            whole = out.splitlines()[0] if format == "markdown" else out.rpartition("\n\n")[2]
            assert re.search(rf"(?:^| ){verdict}(?::|$)", whole)
            assert "implemented" in out

    def test_a_file_has_a_line_for_each_check_and_no_escapes(self, healthy: str) -> None:
        done = verify_alone(healthy, FORCE_COLOR="1", TERM="xterm-256color")
        assert ESCAPE not in done.stdout
        shown = [line.split()[:2] for line in done.stdout.partition("\n\n")[0].splitlines()]
        assert shown == [[verdict, name] for name, verdict in ids(verify(healthy, "--format", "json")).items()]

    def test_the_fault_is_told_with_its_cause_and_code(self, faulty: str) -> None:
        out = verify(faulty).stdout
        assert "\nfail implemented: every method is implemented\n" in out
        assert "UNIMPLEMENTED" in out
        assert "\n            def Predict(self, request, context):\n" in out
        assert max(len(line) for line in out.partition("fail implemented:")[2].splitlines()) < 120

    @pytest.mark.parametrize(
        "format", [FORMATS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in FORMATS[1:])]
    )
    def test_a_locale_without_letters_ends_no_run(self, healthy: str, format: str) -> None:
        done = verify_alone(healthy, "--format", format, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert (done.returncode, done.stderr) == (0, "")


class TestTerminal:
    """On a terminal, which needs one."""

    def run(self, where: str, **environment: str) -> str:
        pexpect = pytest.importorskip("pexpect")
        program, *arguments = command(where)
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        child = pexpect.spawn(program, arguments, env=env, encoding="utf-8", timeout=60, dimensions=(24, 80))
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 1
        return str(child.before)

    def test_it_says_what_is_running(self, faulty: str) -> None:
        out = self.run(faulty)
        assert ESCAPE in out
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out)
        for check in CHECKS:
            if check.id in ("reachable", "implemented"):
                assert f"{check.id}: {check.title}" in plain
        assert "fail implemented: every method is implemented\r\n" in plain

    def test_no_color(self, faulty: str) -> None:
        out = self.run(faulty, NO_COLOR="1")
        assert ESCAPE not in out
        assert "fail implemented: every method is implemented\r\n" in out


class TestExit:
    def test_nothing_listens(self) -> None:
        done = verify(f"127.0.0.1:{free_port()}", "--timeout", "0.5")
        assert (done.returncode, done.stderr) == (1, "")
        assert "fail reachable" in done.stdout

    @pytest.mark.parametrize("form", ["json", "terminal"])
    def test_a_report_that_cannot_be_written(self, healthy: str, form: str) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command(healthy, "--only", "reachable", "--format", form),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
        assert (done.returncode, done.stderr) == (
            2,
            "protoserve: the report cannot be written: No space left on device\n",
        )

    def test_only_may_be_given_several_times(self, healthy: str) -> None:
        done = verify(healthy, "--only", "reachable", "--only", "health-service", "--format", "json")
        assert list(ids(done)) == ["reachable", "health-service"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "say what to verify: HOST:PORT"),
            (["nowhere"], "nowhere is neither HOST:PORT, unix:PATH, dns:///HOST:PORT nor a folder"),
            (["127.0.0.1:70000"], "the port must be an integer from 1 to 65535"),
            (["127.0.0.1:0"], "the port must be an integer from 1 to 65535"),
            (["empty"], "empty is not a protoserve project"),
            (["HEALTHY", "--only", "nothing"], "unknown check nothing; the checks are: "),
            (["HEALTHY", "--skip", "reachable,nothing"], "unknown check nothing; the checks are: "),
            (["HEALTHY", "--proto", "none.proto"], "none.proto: the file does not exist"),
            (["HEALTHY", "--proto", "broken.proto"], "broken.proto: protoc refuses it"),
            (["HEALTHY", "--proto", "messages.proto"], "messages.proto: it does not define a service"),
            (["HEALTHY", "--project", "empty"], "schema.yaml"),
            (["HEALTHY", "--proto", PROTO, "--request", "Predict=none.json"], "none.json: cannot be read"),
            (["HEALTHY", "--proto", PROTO, "--request", "Predict=broken.json"], "not a zoo.v1.PredictRequest"),
            (["HEALTHY", "--proto", PROTO, "--request", "Predict=other.json"], "not a zoo.v1.PredictRequest"),
            (["HEALTHY", "--proto", PROTO, "--request", "other.json"], "name its method, METHOD=FILE.json"),
            (["HEALTHY", "--request", "Predict=broken.json"], "not a zoo.v1.PredictRequest"),
            (["HEALTHY", "--request", "Nothing=other.json"], "the methods are: Predict, Explain"),
            (["HEALTHY", "--ca", "none.pem"], "none.pem: cannot be read"),
            (["HEALTHY", "--proto", PROTO, "--request", "Predict=list.json"], "must be an object with the fields of"),
            (["HEALTHY", "--proto", PROTO, "-I", "nowhere"], "-I nowhere: the folder does not exist"),
            (["HEALTHY", "--proto", "empty"], "empty: this is a folder"),
            (["HEALTHY", "--only", ","], "must name at least one check"),
            (["HEALTHY", "--only", "reachable", "--skip", "reachable"], "is in --only and in --skip"),
            (["HEALTHY", "--timeout", "0"], "must be more than 0"),
            (["HEALTHY", "--timeout", "soon"], "must be more than 0"),
            (["HEALTHY", "--format", "yaml"], "invalid choice: 'yaml'"),
            (["HEALTHY", "--platform", "moon"], "invalid choice: 'moon'"),
            (
                ["HEALTHY", "--port", "9"],
                "--port has no effect on the address of a server, only on a command or an image",
            ),
            (["HEALTHY", "--memory", "4g"], "--memory has no effect on the address of a server, only on an image"),
            (
                ["HEALTHY", "--grace", "5"],
                "on the address of a server, only on a project, a command or an image: remove",
            ),
            (["HEALTHY", "--region", "x"], "--region has no effect without --spec"),
            (["HEALTHY", "--instance", "list.json"], "--instance has no effect without an HTTP side"),
            (["--http", "127.0.0.1:1", "--tls"], "--tls has no effect on --http HOST:PORT alone"),
            (["--spec", "x.yaml", "--call", "A"], "--call has no effect on a specification alone, only on a server"),
            (["--ca", "x.pem", "--", "true"], "--ca has no effect on a command, only on the address of a server"),
        ],
        ids=lambda value: "-".join(Path(word).name for word in value) if isinstance(value, list) else "",
    )
    def test_it_could_not_run(self, healthy: str, tmp_path: Path, arguments: list[str | Path], words: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "broken.proto").write_text('syntax = "proto3";\nservice {', encoding="utf-8")
        (tmp_path / "messages.proto").write_text('syntax = "proto3";\nmessage Message {}', encoding="utf-8")
        (tmp_path / "broken.json").write_text("{", encoding="utf-8")
        (tmp_path / "list.json").write_text("[5.1, 3.5]", encoding="utf-8")
        (tmp_path / "other.json").write_text('{"nothing": 1}', encoding="utf-8")
        given = [healthy if word == "HEALTHY" else word for word in arguments]
        done = verify(*given, "--format", "json", cwd=tmp_path) if "--format" not in given else verify(*given)
        assert done.returncode == 2
        assert done.stdout == ""
        reason = [line for line in done.stderr.splitlines() if words in line]
        assert len(reason) == 1, done.stderr
        assert re.match("protoserve(?: verify)?: ", reason[0])
        told_in_full = ("usage:", "protoc", "ParseError", "Available Fields")  # where others tell it, in their lines
        if not any(words in done.stderr for words in told_in_full):
            assert done.stderr == f"{reason[0]}\n"


class TestChoice:
    def test_what_a_check_builds_upon_is_shown_too(self, healthy: str) -> None:
        found = ids(verify(healthy, "--only", "serialization", "--format", "json"))
        assert found == {"reachable": "pass", "implemented": "pass", "serialization": "pass"}

    def test_what_is_skipped_says_so_and_the_rest_is_judged(self, healthy: str) -> None:
        done = verify(healthy, "--skip", "implemented", "--format", "json")
        found = ids(done)
        assert {"reachable", "implemented", "serialization", "health-service", "shutdown"} <= found.keys()
        assert (found["implemented"], found["serialization"]) == ("skip", "pass")
        assert '"seen": "left out by --skip"' in done.stdout

    def test_a_fault_that_is_skipped_is_told_by_no_other_check(self, faulty: str) -> None:
        done = verify(faulty, "--skip", "implemented", "--only", "serialization", "--format", "json")
        assert done.returncode == 0
        assert ids(done) == {"reachable": "pass", "implemented": "skip", "serialization": "pass"}


@pytest.fixture(scope="module")
def silent_about_itself() -> Iterator[str]:
    """A server without reflection."""
    with running("sync-without-reflection") as port:
        yield f"127.0.0.1:{port}"


class TestUnjudged:
    def test_without_a_contract_a_run_has_not_passed(self, silent_about_itself: str) -> None:
        done = verify(silent_about_itself)
        below_the_table = done.stdout.partition("\n\n")[2]
        assert done.returncode == 3
        assert below_the_table.startswith("unjudged: implemented, serialization could not be judged: ")
        assert "--proto FILE" in " ".join(below_the_table.partition("\n\n")[0].split())
        assert done.stdout.rpartition("\n\n")[2].startswith("unjudged: ")

    @pytest.mark.parametrize(
        "choice", [("--only", "health-honest"), ("--skip", "implemented,serialization"), ("--proto", str(PROTO))]
    )
    def test_what_is_left_out_on_purpose_is_no_gap(self, silent_about_itself: str, choice: tuple[str, str]) -> None:
        done = verify(silent_about_itself, *choice, "--format", "json")
        assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "pass")


class TestInterrupted:
    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
    def test_what_there_was_is_printed(self, sent: signal.Signals) -> None:
        with running("hangs") as port:
            child = subprocess.Popen(
                command(f"127.0.0.1:{port}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert child.stdout is not None
            first = child.stdout.readline()  # as soon as the check has ended, not at the end of the run
            assert first.startswith("pass  reachable")
            child.send_signal(sent)
            out, err = child.communicate(timeout=30)
        assert (child.returncode, err) == (1, "")
        assert out.startswith("\ninterrupted: only the checks above were run to their end\ninterrupted: 1 passed in ")

    @pytest.mark.parametrize("format", [name for name in FORMATS if name != "terminal"])
    def test_machines_get_what_there_was(self, format: str) -> None:
        with silent() as (where, listening):
            child = subprocess.Popen(
                command(where, "--format", format), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            with listening.accept()[0]:
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=30)
        assert (child.returncode, err) == (1, "")
        assert "interrupted" in out
        if format == "json":
            assert json.loads(out)["checks"] == []

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_reader_that_goes_away(self, healthy: str, format: str) -> None:
        child = subprocess.Popen(
            command(healthy, "--only", "implemented", "--format", format),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        with child.stderr:
            err = child.stderr.read()
        assert (child.wait(30), err) == (0, "")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own, `ca.pem`, and what it signed for `model.example`, `server.pem`."""
    folder = tmp_path_factory.mktemp("certificates")
    issue(folder, "ca", server=("model.example",))
    return folder


@pytest.fixture
def secure(certificates: Path) -> Iterator[str]:
    """A healthy server that speaks TLS."""
    from grpc_health.v1 import health, health_pb2_grpc

    from zoo import tables

    base = tables.calls.base
    chain = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    base.add(base.Servicer(), server)
    checks: Any = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    checks.set(base.SERVICE, base.SERVING)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([chain]))
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


class TestTls:
    def test_an_authority_of_ones_own(self, secure: str, certificates: Path) -> None:
        trust = ("--tls", "--ca", certificates / "ca.pem", "--tls-name", "model.example")
        done = verify(secure, *trust, "--proto", PROTO, "--only", "serialization", "--format", "json")
        assert done.returncode == 0, done.stdout
        assert set(ids(done).values()) == {"pass"}

    def test_an_authority_that_nobody_knows(self, secure: str) -> None:
        done = verify(secure, "--tls", "--only", "reachable", "--timeout", "1")
        assert done.returncode == 1
        assert "--ca FILE" in done.stdout

    def test_plain_where_tls_is_spoken(self, secure: str) -> None:
        done = verify(secure, "--only", "reachable", "--timeout", "1")
        assert done.returncode == 1
        assert "speaks TLS" in done.stdout
