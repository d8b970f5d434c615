"""Send a request to a running server and print the reply as JSON. The default is the sample request.

    python scripts/predict.py
    python scripts/predict.py METHOD --target host:port --data '{"field": 1}'
    python scripts/predict.py --data @request.json      # from a file; from standard input with --data @-

The exit code is 1 if the server answers with an error, and 2 if the request is invalid.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_client import (
    METHODS,
    NotServing,
    call,
    connect,
    explain,
    parse_request,
    request_violations,
    sample_file,
    visible,
    wait_until_serving,
)

from fraud import contract
from fraud.contract import Method
from fraud.server.default_port import DEFAULT_PORT


class InvalidData(Exception):
    """The request cannot be read, or is not that of its method. The message says why."""


def main() -> int:
    options = _arguments()
    method = METHODS[options.method]
    try:
        request = _request(method, options.data or f"@{options.request or sample_file(method)}")
    except InvalidData as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with connect(options.target, options.service_config) as channel:
            if options.wait:
                wait_until_serving(channel, alive=lambda: True, seconds=options.wait)
            for reply in call(channel, method, request, timeout=options.timeout):
                fields = json_format.MessageToDict(reply, preserving_proto_field_name=True)
                text = json.dumps(fields, indent=None if method.streaming else 2, ensure_ascii=False)
                print(visible(text), flush=True)
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except NotServing as error:
        print(f"{options.target}: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print("\n".join(explain(error)), file=sys.stderr)
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            print(f"Does a server listen on {options.target}? `make serve` starts one.", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a request to a running server and print the reply as JSON.")
    parser.add_argument("method", nargs="?", choices=METHODS, default=contract.METHODS[0].name, metavar="METHOD")
    parser.add_argument(
        "--target",
        default=f"localhost:{os.environ.get('PORT') or DEFAULT_PORT}",
        metavar="HOST:PORT",
        help="where the server listens (default: %(default)s)",
    )
    body = parser.add_mutually_exclusive_group()
    data = "the request, in protobuf's JSON; @FILE reads a file, @- standard input"
    body.add_argument("--data", metavar="JSON", help=data)
    body.add_argument("--request", metavar="FILE", help="the same as --data @FILE")
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="first wait for the server to be SERVING")
    balance = "gRPC's service config, in JSON: balancing, retries"
    parser.add_argument("--service-config", type=_service_config, metavar="FILE", help=balance)
    return parser.parse_args()


def _service_config(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} is not a service config: {error}") from error
    return text


def _request(method: Method, data: str) -> Message:
    """The request in `data`, which is JSON, or `@FILE`, or `@-` for standard input. Raises InvalidData."""
    source = data[1:] if data.startswith("@") else "--data"
    source = "standard input" if source == "-" else source
    try:
        text = _read(data).decode("utf-8-sig")
        return parse_request(method, text)
    except OSError as error:
        raise InvalidData(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidData(f"{source} must be text in UTF-8, but byte {error.start} is not") from error
    except json_format.ParseError as error:
        raise InvalidData("\n".join(_violations(method, source, text, str(error)))) from error


def _read(data: str) -> bytes:
    if data == "@-":
        return sys.stdin.buffer.read()
    return Path(data[1:]).expanduser().read_bytes() if data.startswith("@") else os.fsencode(data)


def _violations(method: Method, source: str, text: str, reason: str) -> list[str]:
    """Why a text is not a request of the method, as lines; `reason` is protobuf's."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        is_file = len(text) < 200 and Path(text).is_file()
        return [f"{source} is not JSON: {error}" + (f"; for what is in this file, write @{text}" if is_file else "")]
    violations = request_violations(method, value)
    if not violations:
        return [f"{source} is not a request of {method.name}: {' '.join(reason.split())}"]
    return [f"{source} is not a request of {method.name}:", *violations]


if __name__ == "__main__":
    raise SystemExit(main())
