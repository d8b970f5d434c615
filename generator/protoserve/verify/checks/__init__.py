"""The checks, in the order in which they run: those of the methods before those that flood the health service."""

from __future__ import annotations

from protoserve.verify.checks import (
    bad_input,
    concurrency,
    deadline,
    health_honest,
    health_service,
    http_health,
    http_predict,
    image,
    implemented,
    message_size,
    reachable,
    serialization,
    shutdown,
    spec,
)
from protoserve.verify.checks.check import Check

CHECKS: tuple[Check, ...] = (
    spec.SHAPE,
    spec.PROBES,
    spec.IMAGE,
    image.ARCHITECTURE,
    image.USER,
    image.SIZE,
    reachable.CHECK,
    implemented.CHECK,
    serialization.CHECK,
    bad_input.CHECK,
    deadline.CHECK,
    message_size.CHECK,
    concurrency.CHECK,
    health_service.SERVICE,
    health_service.SERVING,
    spec.ROUTES,
    health_honest.CHECK,
    http_health.CHECK,
    http_predict.CHECK,
    shutdown.CHECK,  # last: it stops the server
)
