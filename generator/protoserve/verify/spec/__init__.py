"""The specification of a container that `--spec FILE` names: for Vertex AI, or manifests for Kubernetes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protoserve.verify.address import UsageError
from protoserve.verify.spec import kubernetes, tree, vertex
from protoserve.verify.spec.model import Spec

__all__ = ["Spec", "load"]

_WANTED = (
    "it should be a container specification for Vertex AI (containerSpec: {imageUri: ...}, a Model with it, a compiled "
    "pipeline with an UnmanagedContainerModel), or Kubernetes manifests (apiVersion: ..., kind: Deployment)"
)


def load(file: Path, region: str = "") -> Spec:
    """Reads the file; `region` is where the model goes, where the file does not say it or is wrong.

    Raises UsageError, with the place, where it is no specification.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}:1:1: the file is no text in UTF-8; {_WANTED}") from None
    documents = tree.parse(text, str(file))
    for document in documents:
        if not document.is_mapping:
            raise UsageError(f"{file}:{document.line}:{document.column}: {document.shown()} is no mapping; {_WANTED}")
    found = kubernetes.read(str(file), documents) or vertex.read(str(file), documents)
    if found is None:
        place = f"{file}:{documents[0].line}:{documents[0].column}" if documents else f"{file}:1:1"
        keys = ", ".join(list(documents[0].keys)[:6]) if documents else ""
        seen = f"no specification (its keys are {keys})" if keys else "the file is empty"
        raise UsageError(f"{place}: {seen}; {_WANTED}")
    return replace(found, region=region or found.region)
