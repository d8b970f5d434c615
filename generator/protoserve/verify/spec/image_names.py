"""Image names that a platform refuses, or that mean another image tomorrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protoserve.verify.spec.container_spec import Spec
from protoserve.verify.spec.fault_report import Fault, fail, warn
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
# Google's own images for predictions exist as :latest only.
_PREBUILT = re.compile(r"(us|europe|asia)-docker\.pkg\.dev/vertex-ai/")
# The regions in a multi-region of Artifact Registry, by the start of their names.
_MULTI_REGIONS = {"us": ("us-",), "europe": ("europe-",), "eu": ("europe-",), "asia": ("asia-",)}


@dataclass(frozen=True, slots=True)
class _Image:
    """The parts of an image's name. `region` is that of Google's registry, empty for its older global host."""

    host: str
    tag: str
    digest: str
    is_on_google: bool
    region: str


def faults(spec: Spec) -> Iterator[Fault]:
    for container in spec.containers:
        node = container.image
        if node is None or not node.is_text or not node.value:
            continue  # spec-shape reports it
        if any(placeholder in node.value for placeholder in ("{{", "${", "$(")):
            continue
        image = _parse(node.value)
        if image is None:
            yield _invalid_name(node)
            continue
        if spec.platform == "vertex" and not image.is_on_google:
            yield _wrong_registry(node, image)
        else:
            yield from _wrong_region(spec, node, image)
        if not image.digest and image.tag in ("", "latest") and not _PREBUILT.match(node.value):
            yield _moving_tag(node, image)


def _parse(name: str) -> _Image | None:
    reference = _REFERENCE.fullmatch(name)
    if reference is None:
        return None
    host = reference["host"] or ""
    google = _ARTIFACT_REGISTRY.fullmatch(host) or _GCR.fullmatch(host)
    region = (google["region"] or "") if google else ""
    return _Image(host, reference["tag"] or "", reference["digest"] or "", google is not None, region)


def _invalid_name(node: Node) -> Fault:
    name = str(node.value)
    cause = "An image's name must be HOST/PATH:TAG or HOST/PATH@sha256:DIGEST."
    if "://" in name:
        cause += " It must not start with https:// as a URL does."
    elif name != name.lower():
        cause += " Its path must be in lower case."
    example = f"us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{short_name(name)}:1.0"
    return fail(
        node,
        f"{node.shown(120)} is not a valid image name",
        f"{cause} The platform refuses it (InvalidImageName).",
        f"Write, for example: {example}",
    )


def short_name(name: str) -> str:
    """`iris` for `host:5000/team/iris:1.0@sha256:...`."""
    return re.split(r"[@:]", name.rstrip("/").rpartition("/")[2].lower())[0].strip() or "NAME"


def _wrong_registry(node: Node, image: _Image) -> Fault:
    registry = image.host or "Docker Hub, as its name has no registry"
    name = short_name(node.value)
    return fail(
        node,
        f"the image is on {registry}",
        "Vertex AI takes images only from Artifact Registry (and the former Container Registry, gcr.io); UploadModel "
        "fails for any other registry.",
        f"""
        Push it to Artifact Registry in the model's region, and let Vertex AI's service agent read it:
            docker tag {node.value} us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{name}:1.0
            docker push us-central1-docker.pkg.dev/PROJECT/REPOSITORY/{name}:1.0
        """,
    )


def _wrong_region(spec: Spec, node: Node, image: _Image) -> Iterator[Fault]:
    region = spec.region
    if not region or not image.region or image.region == region:
        return
    if region.startswith(_MULTI_REGIONS.get(image.region, ())):
        return
    seen = f"the image is in {image.region}, the model goes to {region}"
    remedy = f"""
        Push the image to a repository there:
            {region}-docker.pkg.dev/PROJECT/REPOSITORY/{short_name(node.value)}:{image.tag or "1.0"}
        """
    if spec.platform == "vertex" and not image.host.endswith("gcr.io"):
        cause = (
            "The image must be in the region to which the model is uploaded, or in a multi-region (us, europe, asia) "
            "that contains it; otherwise UploadModel fails."
        )
        yield fail(node, seen, cause, remedy)
    else:
        yield warn(node, seen, "Each start pulls the image across regions, which is slow and costs money.", remedy)


def _moving_tag(node: Node, image: _Image) -> Fault:
    seen = "the image has no tag, which means latest" if not image.tag else "the image's tag is latest"
    return warn(
        node,
        seen,
        "The image behind it changes with each push, so what runs may not be what was verified, and there is nothing "
        "to roll back to.",
        """
        Use a version, or best the digest that `docker push` prints:
            NAME@sha256:...
        """,
    )
