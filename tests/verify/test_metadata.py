"""`--metadata`: sent with every call, and never printed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from protoserve import cli
from protoserve.verify import metadata
from protoserve.verify.address import UsageError
from protoserve.verify.options import FORMATS
from zoo.process import running, verify_here
from zoo.proto import PROTO

SECRET = "s3cr3t-0123456789-abcdefghijklmnopqrstuvwxyz"


def test_values_come_from_the_argument_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "of the environment")
    (tmp_path / "token").write_text("of a file\n", encoding="utf-8")
    arguments = ["A=b=c", "x-env=env:TOKEN", f"x-file=@{tmp_path}/token", "x-bin=AAE", "empty="]
    pairs = (("a", "b=c"), ("x-env", "of the environment"), ("x-file", "of a file"), ("x-bin", b"\0\1"), ("empty", ""))
    sent = metadata.read(arguments)
    assert sent.pairs == pairs
    assert sent.headers["x-bin"] == "AAE="
    assert "environment" not in repr(sent)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (SECRET, "must be KEY=VALUE"),
        (f"a b={SECRET}", "a key consists of"),
        (f"grpc-timeout={SECRET}", "belongs to gRPC"),
        (f"Content-Type={SECRET}", "belongs to gRPC"),
        (f"key={SECRET}\n", "printable ASCII"),
        (f"key={SECRET}\u00e9", "printable ASCII"),
        (f"key-bin={SECRET}!", "must be base64"),
        ("key=env:NO_SUCH_NAME", "no variable NO_SUCH_NAME"),
        ("key=@/no/such/file", "/no/such/file: cannot be read"),
        ("key=@/dev/zero", "at most"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_its_value(
    argument: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "127.0.0.1:1", f"--metadata={argument}"]) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert SECRET not in out.err + out.out


def test_no_form_of_a_value_is_printed() -> None:
    encoded = base64.b64encode(SECRET.encode()).decode()
    quoted = '"1\\2"3'
    sent = metadata.read([f"authorization=Bearer {SECRET}", f"key-bin={encoded}", f"quoted={quoted}", "short=abc"])
    text = f"{SECRET} Bearer {SECRET}, {SECRET[:20]}... {encoded} {SECRET!r} {quoted!r} abc"
    hidden = sent.hide(text)
    assert SECRET[:12] not in hidden
    assert encoded[:12] not in hidden
    assert "1\\" not in hidden
    assert hidden.endswith("abc")  # too short to be one, or to be hidden


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with running("guarded") as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("format", FORMATS)
def test_a_server_that_repeats_it_does_not_reveal_it(
    guarded: str, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--proto", str(PROTO), "--metadata", f"authorization=Bearer {SECRET}", "--format", format]
    cli.main(["verify", guarded, *arguments, "--only", "serialization,health-service"])
    out = capsys.readouterr()
    assert "***" in out.out
    assert SECRET[:12] not in out.out + out.err


def test_it_is_in_the_headers_of_http() -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("x-key", ""))
            self.send_response(401)
            self.end_headers()
            self.wfile.write(f"not {seen[-1]}".encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_port}"
        _, report = verify_here("--platform", "vertex", "--http", where, "--metadata", f"x-key={SECRET}")
        server.shutdown()
    assert set(seen) == {SECRET}
    assert SECRET[:12] not in json.dumps(report)
    assert "not ***" in json.dumps(report)


def test_an_error_of_the_run_does_not_reveal_it() -> None:
    with pytest.raises(UsageError) as caught:
        verify_here("127.0.0.1:1", "--proto", f"{SECRET}.proto", "--metadata", f"key={SECRET}")
    assert SECRET not in str(caught.value)
