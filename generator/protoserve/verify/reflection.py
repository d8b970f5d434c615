"""What a server tells about itself through gRPC server reflection, v1 or v1alpha (the same messages).

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from protoserve.verify.address import UsageError
from protoserve.verify.client import Client
from protoserve.verify.interface import Interface, from_files, own

_PATHS = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))
_TIMEOUT = 3.0
_MOST_FILES = 200


class Reflection:
    """The services that a server lists (`services` is None where it has no reflection), and their descriptors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._path: str | None = None
        self.services = self._list()

    def interface(self) -> Interface | None:
        """The methods of all its own services; None where it tells of none, or not enough. Raises UsageError."""
        names = own(self.services or ())
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        known = []
        for name in names:
            found = self._files(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
            if found:
                files |= {file.name: file for file in found}
                known.append(name)
        while missing := {name for file in files.values() for name in file.dependency} - files.keys():
            if len(files) > _MOST_FILES:
                return None
            for wanted in sorted(missing):
                found = self._files(reflection_pb2.ServerReflectionRequest(file_by_filename=wanted))
                if not any(file.name == wanted for file in found):
                    return None
                files |= {file.name: file for file in found}
        if not known:
            return None
        try:
            return from_files(files.values(), known, "reflection")
        except UsageError:
            return None

    def _list(self) -> tuple[str, ...] | None:
        for path in _PATHS:
            self._path = path
            reply = self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
            if reply is not None:
                return tuple(service.name for service in reply.list_services_response.service)
        return None

    def _files(self, request: reflection_pb2.ServerReflectionRequest) -> Sequence[descriptor_pb2.FileDescriptorProto]:
        reply = self._ask(request)
        if reply is None:
            return []
        try:
            serialized = reply.file_descriptor_response.file_descriptor_proto
            return [descriptor_pb2.FileDescriptorProto.FromString(data) for data in serialized]
        except DecodeError:
            return []

    def _ask(self, request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse | None:
        assert self._path is not None
        reply = self._client.call(self._path, request.SerializeToString(), _TIMEOUT, stream=True, many=True)
        if reply.code is not grpc.StatusCode.OK or not reply.messages:
            return None
        try:
            return reflection_pb2.ServerReflectionResponse.FromString(reply.messages[0])
        except DecodeError:
            return None
