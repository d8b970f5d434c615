"""The contract in JSON: `instances` in, `predictions` out, each by protobuf's own mapping.

An instance is the request message as an object, with the fields' names as in the .proto or in lowerCamelCase.
`parameters` are fields of the request too: each instance gets those that it does not set itself.
https://protobuf.dev/programming-guides/json/
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ...contract.methods import Method
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest, Violation
from ..json_violations import (
    UNFIT,
    fields,
    fits,
    has_integer_keys,
    json_kind,
    json_violations,
    repeated_integer_keys,
    slot,
)
from .json_body import TooManyItems, read_json

BODY = '{"instances": [...], "parameters": {...}}, in which parameters may be missing'


class TooLarge(Exception):
    """A call that asks for more work than a limit allows; the text names the limit."""


class Codec:
    """From the body of an HTTP call to requests of a method, and from its replies to the body of the answer.

    The methods may take seconds. Both call `check` every few milliseconds; it raises an error once nobody waits.
    """

    def __init__(self, method: Method, *, max_items: int, max_instances: int, max_bytes: int) -> None:
        descriptor = descriptor_pool.Default().FindMethodByName(method.path[1:].replace("/", "."))
        self._decode = method.decode
        self._request: type[Message] = GetMessageClass(descriptor.input_type)
        self._descriptor = cast(Any, self._request.DESCRIPTOR)  # the types of protobuf have two kinds of them
        self._fields = fields(self._request)
        self._has_integer_keys = has_integer_keys(self._descriptor)
        self._response: type[Message] = GetMessageClass(descriptor.output_type)
        self._max_items, self._max_instances, self._max_bytes = max_items, max_instances, max_bytes

    def decode(self, body: bytes, check: Callable[[], None]) -> list[object]:
        """The requests in a body; raises TooLarge, and InvalidRequest with what is wrong with all of them."""
        try:
            content = read_json(body, self._max_items, check)
        except TooManyItems:
            raise TooLarge(f"the body holds more than {self._max_items} values, twice MAX_REQUEST_ELEMENTS") from None
        if not isinstance(content, dict):
            raise InvalidRequest(f"the body must be {BODY}; got {json_kind(content)}")
        instances, parameters = content.get("instances"), content.get("parameters")
        if parameters is None:
            parameters = {}
        violations = _not_a_list(instances)
        if parameters:
            violations += json_violations(parameters, self._request, "parameters")
        if parameters and not violations and self._has_integer_keys:
            violations += repeated_integer_keys(parameters, self._descriptor, "parameters")
        requests: list[object] = []
        if not violations:
            shared = ParseDict(parameters, self._request()) if parameters else self._request()
            self._refuse_too_much(len(content["instances"]), parameters, shared)
            requests = list(self._requests(content["instances"], parameters, shared, violations, check))
        if violations:
            first, *others = violations[:MAX_VIOLATIONS]
            raise InvalidRequest(first.description, field=first.field, others=others)
        return requests

    def encode(self, replies: Sequence[bytes], check: Callable[[], None]) -> bytes:
        """The body with a prediction for each reply; empty lists and maps are there, as what a caller may loop over."""
        predictions = []
        for reply in replies:
            check()
            prediction = MessageToDict(
                self._response.FromString(reply),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            predictions.append(json.dumps(prediction))
        return f'{{"predictions": [{", ".join(predictions)}]}}'.encode()

    def _refuse_too_much(self, count: int, parameters: dict[str, Any], shared: Message) -> None:
        """Raises TooLarge for more instances than allowed, and for parameters that are too much for so many."""
        if count > self._max_instances:
            raise TooLarge(f"the body has {count} instances, more than HTTP_MAX_INSTANCES, {self._max_instances}")
        about = f"parameters count once for each instance, and {count} times theirs"
        if (size := self._request.ByteSize(shared)) * count > self._max_bytes:
            raise TooLarge(f"{about}, {size} bytes, is more than HTTP_MAX_BYTES, {self._max_bytes}")
        if (items := _items(parameters)) * count > self._max_items:
            raise TooLarge(f"{about}, {items} values, is more than {self._max_items}, twice MAX_REQUEST_ELEMENTS")

    def _requests(
        self,
        instances: list[Any],
        parameters: dict[str, Any],
        shared: Message,
        violations: list[Violation],
        check: Callable[[], None],
    ) -> Iterator[object]:
        """The requests of the instances that keep the contract; what the others break is added to `violations`.

        `shared` is the message of the parameters.
        """
        for index, instance in enumerate(instances):
            if len(violations) >= MAX_VIOLATIONS:
                return
            check()
            at = f"instances[{index}]"
            try:
                if not isinstance(instance, dict):
                    raise ParseError
                message = self._request()
                if parameters:
                    self._request.CopyFrom(message, shared)
                    _clear_taken(message, instance, self._fields)
                ParseDict(instance, message)
                if self._has_integer_keys:
                    violations += islice(repeated_integer_keys(instance, self._descriptor, at), MAX_VIOLATIONS)
                yield self._decode(self._request.SerializeToString(message))
            except InvalidRequest as error:
                violations += below(at, error.violations)
            except UNFIT:
                if parameters and isinstance(instance, dict):
                    instance = _with_parameters(instance, parameters, self._fields)
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


def _clear_taken(message: Message, instance: dict[str, Any], known: dict[str, FieldDescriptor]) -> None:
    """Takes those parameters out of a message that an instance sets itself, or whose oneof it sets."""
    kind = type(message)  # to call what a field of the same name hides in the message itself
    for name in instance:
        field = known.get(name)
        if field is None:
            continue
        if field.containing_oneof is None:
            kind.ClearField(message, field.name)
        elif (member := kind.WhichOneof(message, field.containing_oneof.name)) is not None:
            kind.ClearField(message, member)


def _with_parameters(
    instance: dict[str, Any], parameters: dict[str, Any], known: dict[str, FieldDescriptor]
) -> dict[str, Any]:
    """The instance with those parameters that it does not set, whose oneof it does not set either."""
    taken = {slot(known[name]) for name in instance if name in known}
    return {**{name: value for name, value in parameters.items() if slot(known[name]) not in taken}, **instance}


def _items(value: Any) -> int:
    """How many values are in a list or an object, at any depth."""
    count, left = 0, [value]
    while left:
        inside = left.pop()
        values = inside.values() if isinstance(inside, dict) else inside
        count += len(values)
        left += [each for each in values if isinstance(each, dict | list)]
    return count
