"""What container_spec.yaml says, and what Vertex AI would refuse or drop of it.

`python spec.py` prints that, with exit code 1 where there is something. The judge is the API's own type: what it makes
of the file must be what the file says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.cloud.aiplatform_v1.types import ModelContainerSpec
from google.protobuf import json_format

FILE = Path(__file__).with_name("container_spec.yaml")
KEYS = {
    "project": str,
    "region": str,
    "displayName": str,
    "artifactUri": str,
    "machineType": str,
    "minReplicas": int,
    "maxReplicas": int,
    "containerSpec": dict,
}


def checked(image: str | None = None, *, sending: bool = True) -> dict[str, Any]:
    """The file's content, with another image if one is given; prints what is wrong with it, and exits where that is so.

    A project that is still the default answer counts only where something is sent there.
    """
    found = read(image)
    problems, unset = list(faults(found)), list(defaults(found))
    for problem in (*problems, *unset):
        print(f"{FILE.name}: {problem}", file=sys.stderr)
    if problems or (sending and unset):
        raise SystemExit(1)
    return found


def read(image: str | None = None) -> dict[str, Any]:
    try:
        found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SystemExit(f"{FILE.name}{at}: {error.problem}") from error
    if not isinstance(found, dict):
        raise SystemExit(f"{FILE.name}: must be a mapping with the keys {', '.join(KEYS)}")
    if image and isinstance(found.get("containerSpec"), dict):
        found["containerSpec"] |= {"imageUri": image}
    return found


def parsed(container: dict[str, Any]) -> Any:
    """The API's message; raises ParseError as the API refuses with 400."""
    return json_format.ParseDict(container, ModelContainerSpec.pb(ModelContainerSpec()), ignore_unknown_fields=False)


def faults(found: dict[str, Any]) -> Iterator[str]:
    """What is wrong, a line each."""
    for name in found.keys() - KEYS.keys():
        yield f"there is no key {name}; there are: {', '.join(KEYS)}"
    for name, kind in KEYS.items():
        if not isinstance(found.get(name), kind):
            yield f"{name} must be there, {_NAMES[kind]}; got {found.get(name)!r}"
    container = found.get("containerSpec")
    if not isinstance(container, dict):
        return
    try:
        kept = json_format.MessageToDict(parsed(container))
    except json_format.ParseError as error:
        yield f"containerSpec: Vertex AI refuses it with 400: {_one_line(error)}"
        return
    yield from _dropped(container, kept, "containerSpec")
    yield from _mistakes(kept)
    uri = found.get("artifactUri")
    if uri and not str(uri).startswith("gs://"):
        yield f"artifactUri must be empty or gs://BUCKET/FOLDER; got {uri}"


def defaults(found: dict[str, Any]) -> Iterator[str]:
    """What nobody has answered yet."""
    container = found.get("containerSpec")
    image = str(container.get("imageUri")) if isinstance(container, dict) else ""
    if "my-project" in (found.get("project"), *image.split("/")):
        yield "my-project is the default answer, not a project of yours: set project and imageUri"


_NAMES: dict[type, str] = {str: "a text", int: "a number", dict: "a mapping"}


def _dropped(written: Any, kept: Any, at: str) -> Iterator[str]:
    """Where the API's type holds something else than what is written, as for empty values and other names of keys."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for name, value in written.items():
            if name in kept:
                yield from _dropped(value, kept[name], f"{at}.{name}")
            elif "_" in name:
                yield f"{at}.{name}: write it in camelCase, as the API does: pipelines drop other names without a word"
            else:
                yield f"{at}.{name}: {value!r} is dropped without a word: empty and zero count as not set"
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for index, (one, other) in enumerate(zip(written, kept, strict=True)):
            yield from _dropped(one, other, f"{at}[{index}]")
    elif written != kept:
        yield f"{at}: {written!r} becomes {kept!r}: write that"


def _mistakes(container: dict[str, Any]) -> Iterator[str]:
    """What the type allows, and what does not work then."""
    image = container.get("imageUri", "")
    if not image.split("/")[0].endswith(("-docker.pkg.dev", "gcr.io")):
        yield f"containerSpec.imageUri: Vertex AI takes images from Artifact Registry; got {image or 'none'}"
    if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
        yield "containerSpec.imageUri: give a version or a digest: what `latest` is changes with each push"
    for name in ("predictRoute", "healthRoute"):
        if not container.get(name, "").startswith("/"):
            yield f"containerSpec.{name}: must be a path, such as /{name.removesuffix('Route')}"
    ports, grpc = ([port.get("containerPort") for port in container.get(key, ())] for key in ("ports", "grpcPorts"))
    if not ports:
        yield "containerSpec.ports: must have the port of HTTP, such as [{containerPort: 8080}]"
    if set(ports) & set(grpc):
        yield f"containerSpec.grpcPorts: {grpc} must be other ports than ports, {ports}"
    for variable in container.get("env", ()):
        if str(variable.get("name", "")).startswith("AIP_"):
            yield f"containerSpec.env: {variable['name']} is the platform's to set"
    for name in ("startupProbe", "healthProbe", "livenessProbe"):
        probe = container.get(name, {})
        asked = probe.get("grpc", {}).get("port")
        if asked is not None and asked not in grpc[:1]:
            yield f"containerSpec.{name}: asks port {asked} by gRPC, and grpcPorts[0] is {(grpc or ['not set'])[0]}"
        if probe and probe.get("periodSeconds", 10) >= probe.get("timeoutSeconds", 1):
            yield f"containerSpec.{name}: periodSeconds must be below timeoutSeconds"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def main() -> None:
    parser = argparse.ArgumentParser(description="Say what Vertex AI would refuse or drop of container_spec.yaml.")
    parser.add_argument("--image", help="another image than imageUri")
    parser.add_argument("--print", metavar="KEY", help="print the value of this key, or of containerSpec.KEY, alone")
    given = parser.parse_args()
    if given.print:
        found = read(given.image)
        value = found.get(given.print) or (found.get("containerSpec") or {}).get(given.print)
        if not value:
            raise SystemExit(f"{FILE.name}: there is no {given.print}, nor containerSpec.{given.print}")
        print(value)
        return
    checked(given.image)
    print(f"{FILE.name}: Vertex AI takes it as it is written")


if __name__ == "__main__":
    main()
