"""Names for the code in remedies: those of the user's own .proto, in Python."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from protoserve.verify.interface import Method


def module(proto: str) -> str:
    """The module that protoc makes of a .proto, as `prediction_pb2`."""
    return proto.rpartition("/")[2].removesuffix(".proto").replace("-", "_") + "_pb2"


def new_message(message: Descriptor, arguments: str = "...") -> str:
    """The code that makes a message, as `prediction_pb2.PredictResponse(...)`."""
    return f"{module(message.file.name)}.{message.name}({arguments})"


def service_module(method: Method) -> str:
    """The module with the servicer of the method's service, as `prediction_pb2_grpc`."""
    return f"{module(method.file)}_grpc"


def check_of_field(method: Method) -> str:
    """A line that refuses a request of the method without its first field."""
    field = next(iter(method.input.fields), None)
    if field is None:
        return "if not self.accepts(request):"
    if field.has_presence:
        return f'if not request.HasField("{field.name}"):'
    return f"if not request.{field.name}:"


def first_field(method: Method) -> str:
    """The name of the first field of the method's request."""
    field: FieldDescriptor | None = next(iter(method.input.fields), None)
    return "request" if field is None else str(field.name)
