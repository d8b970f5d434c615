"""Run the image as a strict platform would, and fail if such a platform would refuse it.

The container gets a read-only root file system, no capabilities, and no privilege escalation. It must not run as root.
It must become SERVING, pass its own HEALTHCHECK, answer every sample request, and exit with 0 when it is stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from typing import Any

import grpc
import smoke_report
from grpc_client import METHODS, NotServing, call, connect, explain, parse_request, sample_file, wait_until_serving

RESTRICTIONS = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


class Refused(Exception):
    """The image or its container fails a requirement. The message says which."""


class Docker:
    """Runs commands of docker or podman; `command` may have several words, such as `sudo docker`."""

    def __init__(self, command: str) -> None:
        self.command = shlex.split(command)

    def __call__(self, *arguments: str) -> str:
        """The standard output of `docker ARGUMENTS`. Raises Refused with its error output if it fails."""
        try:
            done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        except OSError as error:
            raise Refused(f"{self.command[0]} cannot be run: {error.strerror}") from error
        if done.returncode != 0:
            raise Refused(f"`{shlex.join([*self.command, *arguments])}` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def log(self, container: str) -> str:
        """What the container has printed, with the paths of this project's own files in place of the image's."""
        done = subprocess.run(
            [*self.command, "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.stdout.decode(errors="replace").replace('"/app/src/', f'"{smoke_report.PROJECT}/src/')

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        objects: list[dict[str, Any]] = json.loads(self("inspect", "--type", kind, name))
        return objects[0]

    def running(self, container: str) -> bool:
        return bool(self.inspect("container", container)["State"]["Running"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the image without privileges, send it requests, stop it.")
    parser.add_argument("image")
    parser.add_argument("--docker", default="docker", metavar="COMMAND", help="default: %(default)s")
    options = parser.parse_args()
    docker = Docker(options.docker)
    container = ""
    try:
        config = docker.inspect("image", options.image)["Config"]
        port = _check(config)
        container = docker("run", "--detach", *RESTRICTIONS, f"--publish=127.0.0.1::{port}", options.image)
        _ask(docker, container, _address(docker, container, port))
        docker("exec", container, *config["Healthcheck"]["Test"][1:])
        docker("stop", "-t", "60", container)
        code = docker.inspect("container", container)["State"]["ExitCode"]
        if code != 0:
            raise Refused(f"the container ended with {code} after SIGTERM, not with 0")
    except (Refused, NotServing) as error:
        print(f"{options.image}: {error}", file=sys.stderr)
        if container:
            log = smoke_report.entries(docker.log(container))
            text = smoke_report.readable(log) if os.environ.get("LOGS") else "\n".join(smoke_report.causes(log))
            print(text, file=sys.stderr)
        return 1
    finally:
        if container:
            subprocess.run([*docker.command, "rm", "--force", "--volumes", container], capture_output=True, check=False)
    print(f"{options.image}: not root, read-only, SERVING, healthy, answers, stops with 0")
    return 0


def _check(config: dict[str, Any]) -> str:
    """The port that the image exposes, such as "8080/tcp". Raises Refused if its configuration is incomplete."""
    user = config.get("User", "").partition(":")[0]
    if not user.isdecimal() or int(user) == 0:
        raise Refused(f"its user is {user or 'root'!r}: platforms require a number other than 0")
    if (config.get("Healthcheck") or {}).get("Test", [""])[0] != "CMD":
        raise Refused("it has no HEALTHCHECK in exec form")
    port = next((value.partition("=")[2] for value in config.get("Env") or () if value.startswith("PORT=")), "")
    if f"{port}/tcp" not in (config.get("ExposedPorts") or ()):
        raise Refused(f"it does not expose its PORT, {port or 'which is not set'}")
    return f"{port}/tcp"


def _address(docker: Docker, container: str, port: str) -> str:
    """The address of the container's port on this machine. Raises NotServing if the container has exited already."""
    try:
        return docker("port", container, port).splitlines()[0]
    except Refused as error:
        if docker.running(container):
            raise
        raise NotServing("the server ended before it was SERVING") from error


def _ask(docker: Docker, container: str, target: str) -> None:
    """Wait for the server at `target` and send it every sample request. Raises NotServing and Refused."""
    with connect(target) as channel:
        wait_until_serving(channel, alive=lambda: docker.running(container))
        for method in {method.path: method for method in METHODS.values()}.values():
            request = parse_request(method, sample_file(method).read_text(encoding="utf-8"))
            try:
                next(call(channel, method, request), None)
            except grpc.RpcError as error:
                if not (method.retired and error.code() is grpc.StatusCode.UNIMPLEMENTED):
                    raise Refused(f"{method.label} failed: " + "\n".join(explain(error))) from error


if __name__ == "__main__":
    raise SystemExit(main())
