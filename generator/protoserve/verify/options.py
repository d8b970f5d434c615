"""The arguments of `protoserve verify`. Imports nothing slow, because every command builds this parser."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

PLATFORMS = ("generic", "kubernetes", "vertex")
FORMATS = ("terminal", "json", "junit", "markdown")
TIMEOUT = 20.0
GRACE = 30.0  # seconds from SIGTERM to SIGKILL, as Kubernetes gives by default
MEMORY = "2g"


def split_command(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The arguments of `protoserve verify`, and the command that starts the server: what follows the first `--`."""
    words = list(arguments)
    if "--" not in words:
        return words, ()
    end = words.index("--")
    return words[:end], tuple(words[end + 1 :])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the target and the options. `split_command` takes the command away before, and sets `server_command`."""
    parser.usage = "%(prog)s [options] TARGET\n       %(prog)s [options] -- COMMAND [ARGUMENT ...]"
    parser.set_defaults(server_command=())
    add = parser.add_argument
    target = "HOST:PORT, unix:PATH or dns:///HOST:PORT of a server, or the folder of a project; or -- COMMAND"
    add("target", metavar="TARGET", nargs="?", help=target)
    add("--image", metavar="IMAGE", help="a container image instead of TARGET; it is run as a platform runs it")
    add("--platform", choices=PLATFORMS, default="generic", help="whose requirements to check; default: %(default)s")
    timeout = "how long to wait for the server to be ready, in seconds; default: %(default)g"
    add("--timeout", type=_seconds, default=TIMEOUT, metavar="SECONDS", help=timeout)
    grace = "how long a server that verify started may take to end after SIGTERM, in seconds; default: %(default)g"
    add("--grace", type=_seconds, default=GRACE, metavar="SECONDS", help=grace)
    only = "run these checks and the checks that they depend on"
    add("--only", type=_ids, action="extend", default=[], metavar="ID,ID", help=only)
    add("--skip", type=_ids, action="extend", default=[], metavar="ID,ID", help="leave these checks out")
    add("--format", choices=FORMATS, default="terminal", help="of the report on standard output; default: %(default)s")
    _add_contract(parser)
    _add_calls(parser)
    _add_connection(parser)
    _add_specification(parser)
    _add_command(parser)
    _add_image(parser)
    _add_http(parser)


def _add_contract(parser: argparse.ArgumentParser) -> None:
    about = "Without these options the contract comes from the server's reflection."
    add = parser.add_argument_group("the contract", about).add_argument
    add("--proto", type=Path, metavar="FILE", help="the .proto file that defines the service")
    includes = "a folder in which the imports of --proto start; may be repeated"
    add("-I", dest="includes", action="append", type=Path, default=[], metavar="FOLDER", help=includes)
    add("--project", type=Path, metavar="FOLDER", help="a protoserve project with the contract")
    request = "a valid request in protobuf's JSON; may be repeated for other methods"
    add("--request", action="append", default=[], metavar="[METHOD=]FILE", help=request)


def _add_calls(parser: argparse.ArgumentParser) -> None:
    about = (
        "Methods whose names say that they change something (Shutdown, LoadModel, delete_user) are left alone. NAME is "
        "a method, or package.Service/Method."
    )
    add = parser.add_argument_group("which methods are called", about).add_argument
    call = "call this method in spite of its name; may be repeated"
    add("--call", action="append", default=[], metavar="NAME", help=call)
    no_call = "leave this method alone, too; may be repeated"
    add("--no-call", action="append", default=[], metavar="NAME", help=no_call)


def _add_connection(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the connection").add_argument
    add("--tls", action="store_true", help="use TLS")
    add("--ca", type=Path, metavar="FILE", help="a PEM file of the authorities to trust; implies --tls")
    add("--tls-name", metavar="NAME", help="the name in the server's certificate; implies --tls")
    metadata = (
        "sent with every call, and as a header over HTTP; env:NAME is the value of a variable, @FILE the content of a "
        "file; the value is never printed; may be repeated"
    )
    add("--metadata", action="append", default=[], metavar="KEY=VALUE", help=metadata)


def _add_specification(parser: argparse.ArgumentParser) -> None:
    about = "For Vertex AI (a Model, ModelUploadOp, a compiled pipeline) or Kubernetes; can be checked without TARGET."
    add = parser.add_argument_group("a specification", about).add_argument
    add("--spec", type=Path, metavar="FILE", help="the YAML or JSON that configures the container on the platform")
    add("--region", default="", metavar="REGION", help="where the model goes, such as us-central1")


def _add_command(parser: argparse.ArgumentParser) -> None:
    about = (
        "After `--`, the command that starts a server here. It gets a free port in PORT, and in place of {port} in its "
        "arguments. It is watched from its start, and stopped with SIGTERM: protoserve verify -- python server.py"
    )
    add = parser.add_argument_group("a command, or an image", about).add_argument
    port = "the gRPC port of the command, or of the container; default: a free one, or one that the image EXPOSEs"
    add("--port", type=_port, metavar="N", help=port)


def _add_image(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("an image").add_argument
    engine = "the container engine's command; default: $DOCKER, else docker"
    add("--docker", default=docker_command(), metavar="COMMAND", help=engine)
    add("--memory", type=_memory, default=MEMORY, metavar="SIZE", help="its memory limit; default: %(default)s")
    add("--writable", action="store_true", help="let it write to its whole root file system, not only to /tmp")


def _add_http(parser: argparse.ArgumentParser) -> None:
    about = "As Vertex AI uses it, at the routes in AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE, else /health and /predict."
    add = parser.add_argument_group("the HTTP side", about).add_argument
    http = "the HTTP address of a running server; without TARGET it has no gRPC"
    add("--http", metavar="HOST:PORT", help=http)
    add("--instance", type=Path, metavar="FILE", help="an instance that the model accepts, as JSON")


def docker_command() -> str:
    """The container engine's command unless --docker names another."""
    return os.environ.get("DOCKER") or "docker"


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError("must be an integer from 1 to 65535")
    return int(text)


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[bkmg]?", text, re.ASCII | re.IGNORECASE):
        raise argparse.ArgumentTypeError("must be a size such as 512m or 4g")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 3600 seconds")
    return seconds


def _ids(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("must name at least one check")
    return names
