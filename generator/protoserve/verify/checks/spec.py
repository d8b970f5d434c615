"""`spec-shape`, `spec-probes`, `spec-image`, `spec-routes`: what a container specification asks of the platform."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.verify.checks.base import KINDS, Check
from protoserve.verify.report import Finding, Verdict, skipped
from protoserve.verify.session import Session
from protoserve.verify.spec import image as images
from protoserve.verify.spec import probes as probing
from protoserve.verify.spec import routes as routing
from protoserve.verify.spec.faults import Fault, finding
from protoserve.verify.spec.model import Spec


def shape(spec: Spec, session: Session | None) -> Finding:
    found = finding(spec.file, spec.faults, f"{spec.about}: keys and types are right")
    if found.verdict is Verdict.PASS and spec.unchecked:
        return skipped(f"nothing was found by hand; {spec.unchecked}")
    return found


def probes(spec: Spec, session: Session | None) -> Finding:
    count = sum(len(container.probes) for container in spec.containers)
    fine = f"{count} probe{'s' * (count != 1)}, each asks in a way and at a pace that fits"
    target = session is not None and session.web is None and spec.platform == "kubernetes"
    return finding(spec.file, probing.faults(spec, target), fine)


def image(spec: Spec, session: Session | None) -> Finding:
    names = [str(container.image.value) for container in spec.containers if container.image is not None]
    return finding(spec.file, images.faults(spec), ", ".join(dict.fromkeys(names)) or "no image is named")


def routes(spec: Spec, session: Session | None) -> Finding:
    if session is None:
        return skipped("there is no target to ask: give HOST:PORT, a project or --image beside --spec")
    if not routing.containers(spec, session):
        return skipped("which of the containers the target is cannot be told")
    faults: Iterator[Fault] = routing.faults(spec, session)
    return finding(spec.file, faults, "the server has every name, port and route that was asked for")


_KINDS = (*KINDS, "spec")
SHAPE = Check("spec-shape", "the specification has the platform's keys and types", shape, kinds=_KINDS)
PROBES = Check("spec-probes", "its probes can work and leave a loading model alone", probes, "spec-shape", kinds=_KINDS)
IMAGE = Check("spec-image", "its image is where the platform takes it from", image, kinds=_KINDS)
ROUTES = Check("spec-routes", "the server has what it names", routes, "health-serving", kinds=_KINDS)
