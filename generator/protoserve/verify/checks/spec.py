"""`spec-shape`, `spec-probes`, `spec-image`, `spec-routes`: what a container specification asks of the platform."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.verify.checks import stopping
from protoserve.verify.checks.check import KINDS, Check
from protoserve.verify.report import Finding, Verdict, skipped
from protoserve.verify.session import Session
from protoserve.verify.spec import image_names, probe_rules, server_match
from protoserve.verify.spec.container_spec import Spec
from protoserve.verify.spec.fault_report import Fault, finding


def shape(spec: Spec, session: Session | None) -> Finding:
    if spec.platform != "kubernetes":
        return finding(spec.file, spec.faults, f"{spec.about}: keys and types are right")
    others = "keys and types are not checked here (`kubectl apply --dry-run=server` checks them)"
    if not spec.faults and not spec.judged:
        return skipped(f"{spec.about}: {others}")
    return finding(spec.file, spec.faults, f"{spec.about}: {spec.judged}; {others}")


def probes(spec: Spec, session: Session | None) -> Finding:
    count = sum(len(container.probes) for container in spec.containers)
    pass_text = f"{count} probe{'s' * (count != 1)}, each asks in a way and at a pace that fits"
    if count == 0:
        pass_text = "no container has a probe"
    has_grpc_target = session is not None and session.web is None and spec.platform == "kubernetes"
    return finding(spec.file, probe_rules.faults(spec, has_grpc_target), pass_text)


def image(spec: Spec, session: Session | None) -> Finding:
    names = [str(container.image.value) for container in spec.containers if container.image is not None]
    return finding(spec.file, image_names.faults(spec), ", ".join(dict.fromkeys(names)) or "no image is named")


def routes(spec: Spec, session: Session | None) -> Finding:
    if session is None:
        return skipped("no target to ask: add HOST:PORT, a project or --image beside --spec")
    if not server_match.containers(spec, session):
        return skipped("it is not known which of the containers the target is")
    faults: Iterator[Fault] = server_match.faults(spec, session)
    judged = finding(spec.file, faults, "the server has every name, port and route that the specification names")
    if not session.health_answered or judged.verdict is Verdict.FAIL:
        return judged
    return stopping.server_is_gone(session, session.health("").reply, 'Check of ""') or judged


_KINDS = (*KINDS, "spec")
SHAPE = Check("spec-shape", "the specification has the platform's keys and types", shape, kinds=_KINDS)
PROBES = Check("spec-probes", "its probes can work and leave a loading model alone", probes, "spec-shape", kinds=_KINDS)
IMAGE = Check("spec-image", "its image is where the platform takes it from", image, kinds=_KINDS)
ROUTES = Check("spec-routes", "the server has what it names", routes, "health-serving", kinds=_KINDS)
