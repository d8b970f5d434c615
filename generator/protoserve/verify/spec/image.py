"""Names of images that a platform refuses, or that mean another image tomorrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protoserve.verify.spec.faults import Fault, fail, warn
from protoserve.verify.spec.model import Spec
from protoserve.verify.spec.tree import Node

# https://github.com/distribution/reference: host and port, path, tag, digest.
_REFERENCE = re.compile(
    r"(?:(?P<host>[\w.-]+\.[\w.-]+(?::\d+)?|[\w-]+:\d+(?=/)|localhost)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ARTIFACT_REGISTRY = re.compile(r"(?P<region>[a-z0-9-]+)-docker\.pkg\.dev")
_GCR = re.compile(r"(?:(?P<region>us|eu|asia)\.)?gcr\.io")
# Google's own images for predictions are only to be had as :latest.
_PREBUILT = re.compile(r"(us|europe|asia)-docker\.pkg\.dev/vertex-ai/")
# Which regions a multi-region of Artifact Registry holds, by how their names begin.
_CONTINENTS = {"us": ("us-",), "europe": ("europe-",), "eu": ("europe-",), "asia": ("asia-",)}


@dataclass(frozen=True, slots=True)
class _Image:
    """An image's name, taken apart. `region` is that of Google's registry, empty for its older global host."""

    host: str
    tag: str
    digest: str
    google: bool
    region: str


def faults(spec: Spec) -> Iterator[Fault]:
    for container in spec.containers:
        node = container.image
        if node is None or not node.is_text or not node.value:
            continue  # spec-shape tells
        if "{{" in node.value or "${" in node.value or "$(" in node.value:
            continue  # a placeholder
        image = _read(node.value)
        if image is None:
            yield _no_name(node)
            continue
        wrong = list(_registry(spec, node, image))
        wrong += [] if wrong else _region(spec, node, image)
        yield from wrong
        if not image.digest and image.tag in ("", "latest") and not _PREBUILT.match(node.value):
            yield _moves(node, image)


def _read(name: str) -> _Image | None:
    found = _REFERENCE.fullmatch(name)
    if found is None:
        return None
    host = found["host"] or ""
    google = _ARTIFACT_REGISTRY.fullmatch(host) or _GCR.fullmatch(host)
    region = (google["region"] or "") if google else ""
    return _Image(host, found["tag"] or "", found["digest"] or "", google is not None, region)


def _no_name(node: Node) -> Fault:
    name = str(node.value)
    why = "An image's name is HOST/PATH:TAG or HOST/PATH@sha256:DIGEST."
    if "://" in name:
        why += " It is no URL: it has no https:// before it."
    elif name != name.lower():
        why += " Its path has lower-case letters only."
    return fail(
        node,
        f"{node.shown(120)} is no name of an image",
        f"{why} The platform refuses it (InvalidImageName).",
        f"Write, for example: us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{_last(name)}:1.0".replace(":1.0:", ":"),
    )


def _last(name: str) -> str:
    return re.split(r"[@:]", name.rstrip("/").rpartition("/")[2].lower())[0].strip() or "NAME"


def _registry(spec: Spec, node: Node, image: _Image) -> Iterator[Fault]:
    if spec.platform == "vertex" and not image.google:
        where = image.host or "Docker Hub, as it names no registry"
        yield fail(
            node,
            f"the image is on {where}",
            "Vertex AI takes images from Artifact Registry (and what was Container Registry, gcr.io) only; UploadModel "
            "fails for any other registry.",
            f"""
            Push it to Artifact Registry in the model's region, and let Vertex AI's service agent read there:
                docker tag {node.value} us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{_last(node.value)}:1.0
                docker push us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{_last(node.value)}:1.0
            """,
        )


def _region(spec: Spec, node: Node, image: _Image) -> Iterator[Fault]:
    region = spec.region
    if not region or not image.region or image.region == region:
        return
    if image.region in _CONTINENTS and region.startswith(_CONTINENTS[image.region]):
        return  # a multi-region that holds it
    seen = f"the image is in {image.region}, the model goes to {region}"
    remedy = f"""
        Push the image to a repository there:
            {region}-docker.pkg.dev/PROJECT/REPOSITORY/{_last(node.value)}:{image.tag or "1.0"}
        """
    if spec.platform == "vertex" and not image.host.endswith("gcr.io"):
        cause = (
            "Vertex AI wants the image in the region that the model is uploaded to, or in a multi-region (us, europe, "
            "asia) that holds it; else UploadModel fails."
        )
        yield fail(node, seen, cause, remedy)
    else:
        yield warn(node, seen, "Each start pulls the image across regions: slow, and paid for.", remedy)


def _moves(node: Node, image: _Image) -> Fault:
    seen = "the image has no tag, which means latest" if not image.tag else "the image's tag is latest"
    return warn(
        node,
        seen,
        "Which image that is changes with each push: what runs is not what was verified, and cannot be rolled back to.",
        """
        Give a version, or best the digest that `docker push` prints:
            NAME@sha256:...
        """,
    )
