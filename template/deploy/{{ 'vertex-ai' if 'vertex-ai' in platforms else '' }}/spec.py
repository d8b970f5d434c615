"""Read container_spec.yaml and check what Vertex AI would refuse or ignore in it.

`python spec.py` prints the problems, and exits with 1 if there are any. The check parses the file with the API's own
type: nothing of its content may get lost.
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
    """The file's content, with `image` in place of its own. Prints the problems and exits if there are any.

    A project that is still the default answer is a problem only for `sending`.
    """
    spec = read(image)
    problems, unset = list(faults(spec)), list(defaults(spec))
    for problem in (*problems, *unset):
        print(f"{FILE.name}: {problem}", file=sys.stderr)
    if problems or (sending and unset):
        raise SystemExit(1)
    return spec


def read(image: str | None = None) -> dict[str, Any]:
    try:
        spec = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SystemExit(f"{FILE.name}{at}: {error.problem}") from error
    if not isinstance(spec, dict):
        raise SystemExit(f"{FILE.name}: must be a mapping with the keys {', '.join(KEYS)}")
    if image and isinstance(spec.get("containerSpec"), dict):
        spec["containerSpec"] |= {"imageUri": image}
    return spec


def parsed(container: dict[str, Any]) -> Any:
    """The API's message. Raises ParseError where the API answers 400."""
    return json_format.ParseDict(container, ModelContainerSpec.pb(ModelContainerSpec()), ignore_unknown_fields=False)


def faults(spec: dict[str, Any]) -> Iterator[str]:
    """The problems, one line each."""
    for name in spec.keys() - KEYS.keys():
        yield f"{name} is not a valid key; valid keys are {', '.join(KEYS)}"
    for name, kind in KEYS.items():
        if not isinstance(spec.get(name), kind):
            yield f"{name} must be {_NAMES[kind]}; got {spec.get(name)!r}"
    container = spec.get("containerSpec")
    if not isinstance(container, dict):
        return
    try:
        kept = json_format.MessageToDict(parsed(container))
    except json_format.ParseError as error:
        yield f"containerSpec: Vertex AI refuses it with 400: {_one_line(error)}"
        return
    yield from _dropped(container, kept, "containerSpec")
    yield from _mistakes(kept)
    uri = spec.get("artifactUri")
    if uri and not str(uri).startswith("gs://"):
        yield f"artifactUri must be empty or gs://BUCKET/FOLDER; got {uri}"


def defaults(spec: dict[str, Any]) -> Iterator[str]:
    """The answers that are still the defaults."""
    container = spec.get("containerSpec")
    image = str(container.get("imageUri")) if isinstance(container, dict) else ""
    if "my-project" in (spec.get("project"), *image.split("/")):
        yield "my-project is the default answer, not a project of yours: set project and imageUri"


_NAMES: dict[type, str] = {str: "a string", int: "a number", dict: "a mapping"}


def _dropped(written: Any, kept: Any, at: str) -> Iterator[str]:
    """Where the API's type differs from the file, for example for empty values and misspelt keys."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for name, value in written.items():
            if name in kept:
                yield from _dropped(value, kept[name], f"{at}.{name}")
            elif "_" in name:
                yield f"{at}.{name}: write it in camelCase, as the API does: pipelines silently ignore other names"
            else:
                yield f"{at}.{name}: {value!r} is silently ignored: empty and zero mean not set"
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for index, (one, other) in enumerate(zip(written, kept, strict=True)):
            yield from _dropped(one, other, f"{at}[{index}]")
    elif written != kept:
        yield f"{at}: {written!r} becomes {kept!r}: write that"


def _mistakes(container: dict[str, Any]) -> Iterator[str]:
    """What the type permits but the platform cannot use."""
    image = container.get("imageUri", "")
    if not image.split("/")[0].endswith(("-docker.pkg.dev", "gcr.io")):
        yield f"containerSpec.imageUri: Vertex AI requires an image in Artifact Registry; got {image or 'none'}"
    if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
        yield "containerSpec.imageUri: use a version or a digest: `latest` changes with each push"
    for name in ("predictRoute", "healthRoute"):
        if not container.get(name, "").startswith("/"):
            yield f"containerSpec.{name}: must be a path, such as /{name.removesuffix('Route')}"
    ports, grpc = ([port.get("containerPort") for port in container.get(key, ())] for key in ("ports", "grpcPorts"))
    if not ports:
        yield "containerSpec.ports: must have the HTTP port, such as [{containerPort: 8080}]"
    if set(ports) & set(grpc):
        yield f"containerSpec.grpcPorts: {grpc} must differ from ports, {ports}"
    for variable in container.get("env", ()):
        if str(variable.get("name", "")).startswith("AIP_"):
            yield f"containerSpec.env: {variable['name']} is set by the platform: remove it"
    for name in ("startupProbe", "healthProbe", "livenessProbe"):
        probe = container.get(name, {})
        asked = probe.get("grpc", {}).get("port")
        if asked is not None and asked not in grpc[:1]:
            yield f"containerSpec.{name}: uses gRPC port {asked}, but grpcPorts[0] is {(grpc or ['not set'])[0]}"
        if probe and probe.get("periodSeconds", 10) >= probe.get("timeoutSeconds", 1):
            yield f"containerSpec.{name}: periodSeconds must be below timeoutSeconds"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def main() -> None:
    parser = argparse.ArgumentParser(description="List what Vertex AI would refuse or ignore in container_spec.yaml.")
    parser.add_argument("--image", help="the image to use instead of imageUri")
    parser.add_argument("--print", metavar="KEY", help="print only the value of this key, or of containerSpec.KEY")
    options = parser.parse_args()
    if options.print:
        spec = read(options.image)
        value = spec.get(options.print) or (spec.get("containerSpec") or {}).get(options.print)
        if not value:
            raise SystemExit(f"{FILE.name}: has neither {options.print} nor containerSpec.{options.print}")
        print(value)
        return
    checked(options.image)
    print(f"{FILE.name}: valid for Vertex AI")


if __name__ == "__main__":
    main()
