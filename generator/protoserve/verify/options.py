"""The arguments of `protoserve verify`. Imports nothing that takes time: every command's parser has them."""

from __future__ import annotations

import argparse
from pathlib import Path

PLATFORMS = ("generic", "kubernetes", "vertex")
FORMATS = ("terminal", "json", "junit", "sarif", "markdown")
TIMEOUT = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds target and options."""
    add = parser.add_argument
    add("target", metavar="TARGET", nargs="?", help="HOST:PORT of a server, or the folder of a project")
    add("--platform", choices=PLATFORMS, default="generic", help="whose demands to check; default: %(default)s")
    waits = "how long to wait for the server to be ready, in seconds; default: %(default)g"
    add("--timeout", type=_seconds, default=TIMEOUT, metavar="SECONDS", help=waits)
    add("--only", type=_ids, default=(), metavar="ID,ID", help="run these checks, and what they build upon")
    add("--skip", type=_ids, default=(), metavar="ID,ID", help="leave these checks out")
    add("--format", choices=FORMATS, default="terminal", help="of the report on standard output; default: %(default)s")

    add = parser.add_argument_group("the contract", "Without these, what the server's reflection tells.").add_argument
    add("--proto", type=Path, metavar="FILE", help="the .proto file that defines the service")
    roots = "where the imports of --proto start; several times for several folders"
    add("-I", dest="includes", action="append", type=Path, default=[], metavar="FOLDER", help=roots)
    add("--project", type=Path, metavar="FOLDER", help="the protoserve project that has the contract")
    request = "a valid request in protobuf's JSON; several times for several methods"
    add("--request", action="append", default=[], metavar="[METHOD=]FILE", help=request)

    add = parser.add_argument_group("the connection").add_argument
    add("--tls", action="store_true", help="speak TLS")
    add("--ca", type=Path, metavar="FILE", help="PEM file of the authorities to trust; means --tls")
    add("--tls-name", metavar="NAME", help="the name that the certificate is made for; means --tls")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 3600 seconds")
    return seconds


def _ids(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
