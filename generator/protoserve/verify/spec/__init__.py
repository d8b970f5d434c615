"""Reads the container specification that `--spec FILE` names: for Vertex AI, or manifests for Kubernetes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protoserve.platform.reading import NotTextError, UnreadableFileError, read_text
from protoserve.verify.address import UsageError
from protoserve.verify.spec import kubernetes_manifests, tree, vertex_containers
from protoserve.verify.spec.container_spec import Spec

__all__ = ["Spec", "load"]

_MAX_BYTES = 4 * 2**20
_EXPECTED = (
    "expected a container specification for Vertex AI (containerSpec: {imageUri: ...}, a Model with it, a compiled "
    "pipeline with an UnmanagedContainerModel), or Kubernetes manifests (apiVersion: ..., kind: Deployment)"
)


def load(file: Path, region: str = "") -> Spec:
    """Reads the file. `region`, if given, says where the model goes, whatever the file says.

    Raises UsageError with the place if the file is not a specification.
    """
    try:
        text = read_text(file, most=_MAX_BYTES).removeprefix("\ufeff")
    except NotTextError:
        raise UsageError(f"{file}:1:1: the file is not text in UTF-8; {_EXPECTED}") from None
    except UnreadableFileError as error:
        raise UsageError(f"{error} {_EXPECTED}") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    documents = tree.parse(text, str(file))
    if not documents:
        raise UsageError(f"{file}:1:1: the file is empty; {_EXPECTED}")
    for document in documents:
        if not document.is_mapping:
            place = f"{file}:{document.line}:{document.column}"
            raise UsageError(f"{place}: {document.shown()} is not a mapping; {_EXPECTED}")
    spec = kubernetes_manifests.read(str(file), documents) or vertex_containers.read(str(file), documents)
    if spec is None:
        place = f"{file}:{documents[0].line}:{documents[0].column}"
        keys = ", ".join(list(documents[0].keys)[:6]) or "none"
        raise UsageError(f"{place}: not a specification (its keys are {keys}); {_EXPECTED}")
    return replace(spec, region=region or spec.region)
