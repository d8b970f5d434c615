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

from ...contract.methods import Method
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest, Violation
from ..json_violations import fields, fits, json_kind, json_violations, slot

BODY = '{"instances": [...], "parameters": {...}}, in which parameters may be missing'


class Codec:
    """From the body of an HTTP call to requests of a method, and from its replies to the body of the answer."""

    def __init__(self, method: Method) -> None:
        descriptor = descriptor_pool.Default().FindMethodByName(method.path[1:].replace("/", "."))
        self._decode = method.decode
        self._request: type[Message] = GetMessageClass(descriptor.input_type)
        self._response: type[Message] = GetMessageClass(descriptor.output_type)

    def decode(self, body: bytes) -> list[object]:
        """The requests in a body; raises InvalidRequest with what is wrong with all of them."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from None
        if not isinstance(content, dict):
            raise InvalidRequest(f"the body must be {BODY}; got {json_kind(content)}")
        instances, parameters = content.get("instances"), content.get("parameters")
        if parameters is None:
            parameters = {}
        violations = [*_not_a_list(instances), *json_violations(parameters, self._request, "parameters")]
        requests: list[object] = []
        if not violations:
            requests = list(self._requests(content["instances"], parameters, violations))
        if violations:
            first, *others = violations[:MAX_VIOLATIONS]
            raise InvalidRequest(first.description, field=first.field, others=others)
        return requests

    def encode(self, replies: Sequence[bytes]) -> bytes:
        """The body with a prediction for each reply; empty lists and maps are there, as what a caller may loop over."""
        predictions = [
            MessageToDict(
                self._response.FromString(reply),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for reply in replies
        ]
        return json.dumps({"predictions": predictions}).encode()

    def _requests(
        self, instances: list[Any], parameters: dict[str, Any], violations: list[Violation]
    ) -> Iterator[object]:
        """The requests of the instances that keep the contract; what the others break is added to `violations`."""
        for index, instance in enumerate(instances):
            if len(violations) >= MAX_VIOLATIONS:
                return
            at = f"instances[{index}]"
            if parameters and isinstance(instance, dict):
                instance = _with_parameters(instance, parameters, self._request)
            try:
                if not isinstance(instance, dict):
                    raise ParseError
                message = ParseDict(instance, self._request())
                yield self._decode(self._request.SerializeToString(message))
            except InvalidRequest as error:
                violations += below(at, error.violations)
            except (ParseError, ValueError, RecursionError):
                violations += self._violations(instance, at)

    def _violations(self, instance: Any, at: str) -> list[Violation]:
        """Where an instance is not the JSON of its message, and what the fields that are break of the contract."""
        violations = json_violations(instance, self._request, at)
        if any(violation.field == at for violation in violations):
            return violations
        known = fields(self._request)
        bad = {_root(violation.field.removeprefix(f"{at}.")) for violation in violations}
        bad |= {name for key in bad & known.keys() for name in (known[key].name, slot(known[key]))}
        rest = {name: value for name, value in instance.items() if name in known and slot(known[name]) not in bad}
        if not fits(rest, self._request):
            return violations
        try:
            self._decode(self._request.SerializeToString(ParseDict(rest, self._request())))
        except InvalidRequest as error:
            violations += below(at, [each for each in error.violations if _root(each.field) not in bad])
        return violations


def _not_a_list(instances: object) -> list[Violation]:
    if instances is None:
        return [Violation("instances", "is required")]
    if not isinstance(instances, list):
        return [Violation("instances", f"must be a list; got {json_kind(instances)}")]
    return []


def below(at: str, violations: Sequence[Violation]) -> list[Violation]:
    """The violations of what lies at a path of the body, as those of the body."""
    return [Violation(f"{at}.{each.field}".rstrip("."), each.description) for each in violations]


def _root(path: str) -> str:
    """The field of the message in which a path begins."""
    return path.partition(".")[0].partition("[")[0]


def _with_parameters(instance: dict[str, Any], parameters: dict[str, Any], kind: type[Message]) -> dict[str, Any]:
    """The instance with those parameters that it does not set, whose oneof it does not set either."""
    known = fields(kind)
    taken = {slot(known[name]) for name in instance if name in known}
    return {**{name: value for name, value in parameters.items() if slot(known[name]) not in taken}, **instance}
