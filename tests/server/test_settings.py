"""Settings by environment, and the log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving import Probe, error_of, serving, starting
from support import ROOT

WRONG = {
    "PORT": ("70000", "PORT must be an integer from 0 to 65535; got '70000'"),
    "HOST": ("not a host", "HOST must be a host name or an address, with IPv6 in brackets; got 'not a host'"),
    "TRANSPORT": ("http", "TRANSPORT must be one of grpcio, native; got 'http'"),
    "MODEL_SHA256": ("abc", "MODEL_SHA256 must be 64 hexadecimal digits; got 'abc'"),
    "MAX_BATCH_SIZE": ("0", "MAX_BATCH_SIZE must be an integer from 1 to 1048576; got '0'"),
    "UNBATCHED_METHODS": (
        "Predict, Guess",
        "UNBATCHED_METHODS must name methods of the contract (Predict, v1.Predict, Count, v1.Count, Echo, v1.Echo); "
        "got Guess",
    ),
    "STREAM_THREADS": ("2000", "STREAM_THREADS must be an integer from 1 to 1024; got '2000'"),
    "MAX_IN_FLIGHT": ("many", "MAX_IN_FLIGHT must be an integer from 1 to 1048576; got 'many'"),
    "MAX_REQUEST_BYTES": ("4MB", "MAX_REQUEST_BYTES must be an integer from 1 to 2147483647; got '4MB'"),
    "DRAIN_SECONDS": ("-1", "DRAIN_SECONDS must be a number of seconds from 0 to 86400; got '-1'"),
    "LAME_DUCK_SECONDS": ("nan", "LAME_DUCK_SECONDS must be a number of seconds from 0 to 86400; got 'nan'"),
    "MODEL_TIMEOUT_SECONDS": ("0", "MODEL_TIMEOUT_SECONDS must be a number of seconds from 0.1 to 86400; got '0'"),
    "BROKEN_SECONDS": ("-0.1", "BROKEN_SECONDS must be a number of seconds from 0 to 86400; got '-0.1'"),
    "READY_SECONDS": ("inf", "READY_SECONDS must be a number of seconds from 0.1 to 86400; got 'inf'"),
    "KEEPALIVE_SECONDS": ("0", "KEEPALIVE_SECONDS must be a number of seconds from 0.1 to 86400; got '0'"),
    "KEEPALIVE_TIMEOUT_SECONDS": (
        "x",
        "KEEPALIVE_TIMEOUT_SECONDS must be a number of seconds from 0.1 to 86400; got 'x'",
    ),
    "MAX_CONNECTION_IDLE_SECONDS": (
        "never",
        "MAX_CONNECTION_IDLE_SECONDS must be a number of seconds from 0.1 to 86400; got 'never'",
    ),
    "MAX_CONNECTION_AGE_SECONDS": (
        "5m",
        "MAX_CONNECTION_AGE_SECONDS must be a number of seconds from 0.1 to 86400; got '5m'",
    ),
    "MAX_CONNECTION_AGE_GRACE_SECONDS": (
        "-1",
        "MAX_CONNECTION_AGE_GRACE_SECONDS must be a number of seconds from 0 to 86400; got '-1'",
    ),
    "LOG_LEVEL": ("LOUD", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR; got 'LOUD'"),
    "LOG_FORMAT": ("xml", "LOG_FORMAT must be one of auto, json, text; got 'xml'"),
    "LOG_REQUESTS": ("perhaps", "LOG_REQUESTS must be true or false; got 'perhaps'"),
}


def test_all_wrong_settings_are_reported_at_once_and_nothing_starts(probe: Probe) -> None:
    with starting(probe, **{name: value for name, (value, _) in WRONG.items()}) as server:
        assert server.ended() == 1
        (line,) = server.log.ended()
        assert line["level"] == "CRITICAL"
        for _, message in WRONG.values():
            assert message in line["message"]


NATIVE = """\
import sys
from probe.server.settings import Settings
from probe.server.transports import transport_class

def use(**environ):
    try:
        print(transport_class(Settings(transport="native"), environ).__name__)
    except ValueError as error:
        print(error)

use(MAX_CONNECTION_AGE_SECONDS=" ", MAX_BATCH_SIZE="7")
use(MAX_CONNECTION_AGE_SECONDS="300")
for name in [name for name in sys.modules if ".native" in name]:
    del sys.modules[name]
sys.modules["pygrpc_native"] = None
use()
"""


def test_what_the_native_transport_cannot_keep_is_refused_by_name(probe: Probe) -> None:
    """Also where its package is missing; nothing is refused that is not set."""
    used, refused, missing = probe.python("-c", NATIVE).stdout.splitlines()
    assert used == "NativeTransport"
    assert refused == (
        "MAX_CONNECTION_AGE_SECONDS cannot be kept by TRANSPORT=native: it does not close connections by their age or "
        "idle time; unset it, or set TRANSPORT=grpcio"
    )
    pin = next(line for line in lines(ROOT / "generator/requirements/dev.in") if line.startswith("pygrpc-native"))
    assert pin in lines(ROOT / "template/requirements/server.txt.jinja")
    package = pin.partition(";")[0]
    assert missing.startswith(f"TRANSPORT=native needs the package {package}, which cannot be imported (")
    assert missing.endswith(
        f"; add the line {package} to requirements/model.txt and run `make setup lock`, or set TRANSPORT=grpcio"
    )


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_settings_in_force_are_logged_once(probe: Probe) -> None:
    with serving(probe, MAX_BATCH_SIZE="7", LOG_REQUESTS="TRUE", MAX_IN_FLIGHT=" ", DRAIN_SECONDS="2.5") as server:
        (line,) = [line for line in server.log.json() if line["message"].startswith("Settings(")]
        for text in ("max_batch_size=7", "log_requests=True", "max_in_flight=256", "drain_seconds=2.5", "port=0"):
            assert text in line["message"]


def test_a_contract_that_bounds_its_requests_bounds_what_is_received(probe: Probe) -> None:
    code = (
        "from dataclasses import replace\n"
        "from probe import contract\n"
        "from probe.server.settings import Settings\n"
        "m = contract.METHODS[0]\n"
        "for bound in (None, 10, 16_000_000, 2**40):\n"
        "    print(Settings.read({}, [replace(m, max_request_bytes=bound)]).max_request_bytes)\n"
    )
    assert probe.python("-c", code).stdout.split() == ["33554432", "4194304", "17000000", "2147483647"]


@pytest.mark.each_transport
def test_every_line_of_the_log_is_json(probe: Probe) -> None:
    with serving(probe, LOG_REQUESTS="true") as server:
        server.predict(1, metadata=[("x-request-id", "from-the-caller")])
        server.predict(2)
        error_of(lambda: server.predict(-1))
        error_of(lambda: server.predict(1, "raise"))
        list(server.count(3))
        server.terminate()
        assert server.ended() == 0
        lines = server.log.ended()
        assert len(lines) == len(server.log.all)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"]) for line in lines)
        requests = [line for line in lines if "ms" in line]
        assert [(line["method"], line["code"]) for line in requests] == [
            ("v1.Predict", "OK"),
            ("v1.Predict", "OK"),
            ("v1.Predict", "INVALID_ARGUMENT"),
            ("v1.Predict", "INTERNAL"),
            ("v1.Count", "OK"),
        ]
        assert requests[0]["request_id"] == "from-the-caller"
        made = [line["request_id"] for line in requests[1:]]
        assert len(set(made)) == 4
        assert all(0 < line["ms"] < 30_000 for line in requests)
        (failed,) = [line for line in lines if "error" in line]
        assert failed["request_id"] == requests[3]["request_id"]


def test_pythons_warnings_are_lines_of_the_log_too(probe: Probe, tmp_path: Path) -> None:
    with serving(probe, MODEL_PATH=str(probe.artifact("warning", tmp_path))) as server:
        assert "UserWarning: the model is old" in server.messages("WARNING")
        assert len(server.log.json()) == len(server.log.all)


def test_requests_are_not_logged_unless_asked_for(probe: Probe) -> None:
    with serving(probe) as server:
        server.predict(1)
        server.terminate()
        assert server.ended() == 0
        assert not [line for line in server.log.ended() if "ms" in line]


@pytest.mark.parametrize(("level", "loud"), [("warning", False), ("INFO", True)])
def test_the_level_and_the_form_of_the_log_can_be_set(probe: Probe, level: str, loud: bool) -> None:
    with starting(probe, LOG_LEVEL=level, LOG_FORMAT="text", MODEL_PATH="nothing") as server:
        assert server.ended() == 1
        server.log.ended()
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ", line) for line in server.log.all)
        assert ("listening on" in "\n".join(server.log.all)) is loud
        assert "CRITICAL loading the model failed" in server.log.all[-1]
