"""Send a request to a running server and print the reply as JSON. The default is the sample request.

    python scripts/predict.py
    python scripts/predict.py METHOD --target host:port --data '{"field": 1}'

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
from grpc_client import METHODS, NotServing, call, connect, explain, parse_request, sample_file, wait_until_serving

from iris import contract
from iris.server.default_port import DEFAULT_PORT


def main() -> int:
    options = _arguments()
    method = METHODS[options.method]
    source = "--data" if options.data is not None else options.request or str(sample_file(method))
    try:
        text = options.data if options.data is not None else _read(source)
        request = parse_request(method, text)
    except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
        print(f"{source} is not a valid request of {method.name}: {error}", file=sys.stderr)
        return 2
    try:
        with connect(options.target, options.service_config) as channel:
            if options.wait:
                wait_until_serving(channel, alive=lambda: True, seconds=options.wait)
            for reply in call(channel, method, request, timeout=options.timeout):
                fields = json_format.MessageToDict(reply, preserving_proto_field_name=True)
                print(json.dumps(fields, indent=None if method.streaming else 2, ensure_ascii=False), flush=True)
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
    body.add_argument("--request", metavar="FILE", help="the request, in protobuf's JSON; - reads standard input")
    body.add_argument("--data", metavar="JSON", help="the request itself, in protobuf's JSON")
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


def _read(source: str) -> str:
    return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
