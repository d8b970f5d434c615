"""Reads a server's services through gRPC server reflection, v1 or v1alpha (the same messages).

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from protoserve.verify.address import UsageError
from protoserve.verify.grpc_client import USUAL_BYTES, Client, Reply
from protoserve.verify.interface import Interface, from_files, own_services, well_known
from protoserve.verify.reply_cost import records

_PATHS = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))
_TIMEOUT = 3.0
# Seconds for everything that is asked of reflection, more than the descriptors of a large API take.
_TOTAL_SECONDS = 6.0
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_MAX_FILES = 200
_MAX_SERVICES = 1000
_MAX_RECORDS = 500_000  # of all descriptors; the largest public APIs have a tenth of it
MOST_OF_REFLECTION = (
    f"at most {USUAL_BYTES >> 20} MiB in a message, {_MAX_SERVICES} services, {_MAX_FILES} files and {_MAX_RECORDS} "
    "entries in these"
)
# After its answer a stream may take this long to end by itself, so that servers do not log a cancelled call.
_STREAM_END_SECONDS = 0.5


class Reflection:
    """The services that a server lists (`services`, None without reflection), and their descriptors.

    `hangs` says that the server has reflection, but it does not answer; `refusal` is its answer if it refuses the
    caller; `too_large` says that it sends more than verify receives.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until = time.monotonic() + _TOTAL_SECONDS
        self._path: str | None = None
        self._records = 0
        self.hangs = self.too_large = False
        self.refusal: Reply | None = None
        self.services = self._list()

    def interface(self) -> Interface | None:
        """The methods of all its own services; None if it lists none, or not all descriptors can be read."""
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        described = []
        for service in own_services(self.services or ()):
            answer = self._files(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
            if answer:
                files |= {file.name: file for file in answer}
                described.append(service)
        while missing := {name for file in files.values() for name in file.dependency} - files.keys():
            for name in sorted(missing):
                if len(files) > _MAX_FILES:
                    self.too_large = True
                    return None
                files |= {file.name: file for file in self._imported(name)}
        if not described or self.too_large:
            return None
        try:
            return from_files(files.values(), described, "reflection")
        except UsageError:
            return None

    def _imported(self, name: str) -> Sequence[descriptor_pb2.FileDescriptorProto]:
        """The file `name` that another imports, and what the server sends with it.

        Many servers lack google/protobuf/*.proto, or files that only define options: an empty file replaces one that
        the server does not have. If a type of it is needed, `from_files` raises.
        """
        if (well_known_file := well_known(name)) is not None:
            return [well_known_file]
        files = self._files(reflection_pb2.ServerReflectionRequest(file_by_filename=name))
        if any(file.name == name for file in files):
            return files
        return [*files, descriptor_pb2.FileDescriptorProto(name=name)]

    def _list(self) -> tuple[str, ...] | None:
        for path in _PATHS:
            self._path = path
            reply = self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
            if reply is not None and reply.HasField("list_services_response"):
                return self._names(reply)
            if self.hangs or self.too_large:
                break
        return None

    def _names(self, reply: reflection_pb2.ServerReflectionResponse) -> tuple[str, ...]:
        services = reply.list_services_response.service
        self.too_large = len(services) > _MAX_SERVICES
        return tuple(service.name for service in services[:_MAX_SERVICES])

    def _files(self, request: reflection_pb2.ServerReflectionRequest) -> Sequence[descriptor_pb2.FileDescriptorProto]:
        reply = self._ask(request)
        if reply is None:
            return []
        serialized = reply.file_descriptor_response.file_descriptor_proto
        for data in serialized:
            self._records += records(descriptor_pb2.FileDescriptorProto.DESCRIPTOR, data, _MAX_RECORDS)
        if self._records > _MAX_RECORDS:
            self.too_large = True
            return []
        try:
            return [descriptor_pb2.FileDescriptorProto.FromString(data) for data in serialized]
        except DecodeError:
            return []

    def _ask(self, request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse | None:
        assert self._path is not None
        timeout = min(_TIMEOUT, self._until - time.monotonic())
        if timeout <= 0:
            return None
        call = self._client.start(self._path, request.SerializeToString(), timeout, stream=True, many=True)
        reply = call.reply(seconds=_STREAM_END_SECONDS)
        if not reply.messages:
            self.too_large = self.too_large or bool(reply.too_large)
            self.hangs = self.hangs or reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
            if reply.code in _REFUSALS:
                self.refusal = reply
            return None
        try:
            return reflection_pb2.ServerReflectionResponse.FromString(reply.messages[0])
        except DecodeError:
            return None
