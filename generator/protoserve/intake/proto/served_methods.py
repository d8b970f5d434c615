"""Which methods of a foreign service the server answers; the others stay in the .proto and are UNIMPLEMENTED."""

from __future__ import annotations

import re
from collections.abc import Iterator

from protoserve.intake.proto.source import Source
from protoserve.schema.errors import Problem

# The answer to the question `serve` for every method.
ALL = "all"


def names(source: Source, serve: str | None) -> list[str]:
    """The methods to serve, for the answer to the question; for None all that can be, if there are some."""
    methods = source.descriptor.service[0].method
    can_be = [method.name for method in methods if not method.client_streaming]
    if serve is None and can_be:
        return can_be
    if serve is None or serve.strip() == ALL:
        return [method.name for method in methods]
    return [name for name in re.split(r"[\s,]+", serve) if name]


def problems(source: Source, serve: str | None) -> Iterator[Problem]:
    """What keeps the methods from being served: streams of requests, and names that the service does not have."""
    if not source.descriptor.service:
        return
    service = source.descriptor.service[0]
    served = names(source, serve)
    can_be = [method.name for method in service.method if not method.client_streaming]
    for index, method in enumerate(service.method):
        if method.client_streaming and method.name in served:
            what = "a stream of requests is" if not method.server_streaming else "streams in both directions are"
            remedy = "take one request, with a repeated field for what is many"
            if can_be:
                remedy = (
                    f"answer the question serve with the other methods, --serve {','.join(can_be)}: "
                    f"{method.name} then stays in the .proto and is answered UNIMPLEMENTED"
                )
            yield source.problem((6, 0, 2, index), f"{service.name}.{method.name}", f"{what} not supported", remedy)
    known = [method.name for method in service.method]
    for name in served:
        if name not in known:
            message = f"the service does not have the method {name!r} that is to be served"
            yield source.problem((6, 0), service.name, message, f"name some of {', '.join(known)}, or write {ALL}")


def note(source: Source, serve: str | None) -> str:
    """A line about the methods that are not served; empty where all are."""
    served = names(source, serve)
    left = [method.name for method in source.descriptor.service[0].method if method.name not in served]
    if not left:
        return ""
    return f"{source.file}: not served, callers get UNIMPLEMENTED: {', '.join(left)}"
