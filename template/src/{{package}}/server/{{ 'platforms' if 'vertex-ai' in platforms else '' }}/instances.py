"""The contract in JSON: `instances` in, `predictions` out, each by protobuf's own mapping.

An instance is the request message as an object, with the fields' names as in the .proto or in lowerCamelCase.
`parameters` are fields of the request too: each instance gets those that it does not set itself.
https://protobuf.dev/programming-guides/json/
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from ...contract.methods import Method
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest, Violation
from ..errors import Failure
from .misfits import described, fields, fits, misfits, slot

BODY = '{"instances": [...], "parameters": {...}}, in which parameters may be missing'


class Codec:
    """Bodies of HTTP calls to and from what `method` takes and gives."""

    def __init__(self, method: Method) -> None:
        found = descriptor_pool.Default().FindMethodByName(method.path[1:].replace("/", "."))
        self._decode = method.decode
        self._request: type[Message] = GetMessageClass(found.input_type)
        self._response: type[Message] = GetMessageClass(found.output_type)

    def decode(self, body: bytes) -> list[Any]:
        """The requests in a body; raises InvalidRequest with what is wrong with all of them."""
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"the body is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise InvalidRequest(f"the body must be {BODY}; got {described(found)}")
        instances, parameters = found.get("instances"), found.get("parameters")
        problems: list[Violation] = []
        if not isinstance(instances, list):
            wanted = "is required" if instances is None else f"must be a list; got {described(instances)}"
            problems.append(Violation("instances", wanted))
        given = {} if parameters is None else parameters
        problems += misfits(given, self._request, "parameters")
        requests = [] if problems else list(self._requests(instances or [], given, problems))
        if problems:
            first, *others = problems[:MAX_VIOLATIONS]
            raise InvalidRequest(first.description, field=first.field, others=others)
        return requests

    def encode(self, replies: Sequence[bytes]) -> bytes:
        """The body with a prediction for each reply; empty lists and maps are there, as what a caller may loop over."""
        messages = map(self._response.FromString, replies)
        options: Any = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        return json.dumps({"predictions": [MessageToDict(message, **options) for message in messages]}).encode()

    def _requests(self, instances: list[Any], parameters: dict[str, Any], problems: list[Violation]) -> Iterator[Any]:
        for index, instance in enumerate(instances):
            if len(problems) >= MAX_VIOLATIONS:
                return
            at = f"instances[{index}]"
            if parameters and isinstance(instance, dict):
                instance = _with_parameters(instance, parameters, self._request)
            try:
                if not isinstance(instance, dict):
                    raise ParseError
                message = ParseDict(instance, self._request())
                yield self._decode(message.SerializeToString())
            except InvalidRequest as error:
                problems += below(at, error.violations)
            except (ParseError, ValueError, RecursionError):
                problems += self._wrong(instance, at)

    def _wrong(self, instance: Any, at: str) -> list[Violation]:
        """Where an instance does not fit its message, and what the contract says of the rest of it."""
        found = misfits(instance, self._request, at)
        if any(item.field == at for item in found):
            return found
        known = fields(self._request)
        bad = {_root(item.field.removeprefix(f"{at}.")) for item in found}
        bad |= {name for key in bad & known.keys() for name in (known[key].name, slot(known[key]))}
        rest = {name: value for name, value in instance.items() if name in known and slot(known[name]) not in bad}
        if not fits(rest, self._request):
            return found
        try:
            self._decode(ParseDict(rest, self._request()).SerializeToString())
        except InvalidRequest as error:
            found += below(at, [item for item in error.violations if _root(item.field) not in bad])
        return found


def below(at: str, found: Sequence[Violation]) -> list[Violation]:
    """The violations of what lies at a path of the body, as those of the body."""
    return [Violation(f"{at}.{item.field}".rstrip("."), item.description) for item in found]


def _root(path: str) -> str:
    """The field of the message in which a path begins."""
    return path.partition(".")[0].partition("[")[0]


def violations(failure: Failure) -> list[Violation]:
    """The field violations that a failure carries, as the model found them."""
    details = next((value for key, value in failure.metadata if key == "grpc-status-details-bin"), b"")
    status, bad = Status.FromString(details if isinstance(details, bytes) else b""), BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return [Violation(item.field, item.description) for item in bad.field_violations]


def _with_parameters(instance: dict[str, Any], parameters: dict[str, Any], kind: type[Message]) -> dict[str, Any]:
    """The instance with those parameters that it does not set, whose oneof it does not set either."""
    known = fields(kind)
    taken = {slot(known[name]) for name in instance if name in known}
    return {**{name: value for name, value in parameters.items() if slot(known[name]) not in taken}, **instance}
