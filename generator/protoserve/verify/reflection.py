"""What a server tells about itself through gRPC server reflection, v1 or v1alpha (the same messages).

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
from protoserve.verify.client import Client
from protoserve.verify.interface import Interface, from_files, own, well_known

_PATHS = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))
_TIMEOUT = 3.0
# All that is asked of reflection together: more than the descriptors of a large API take.
_WHOLE = 6.0
_MOST_FILES = 200
# A stream that gave its answer has this long to end by itself, so that no server logs a call that was cut off.
_END = 0.5


class Reflection:
    """The services that a server lists (`services` is None where it has no reflection), and their descriptors.

    `hangs` is whether it has reflection that does not answer.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until = time.monotonic() + _WHOLE
        self._path: str | None = None
        self.hangs = False
        self.services = self._list()

    def interface(self) -> Interface | None:
        """The methods of all its own services; None where it tells of none, or not enough."""
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
                files |= {file.name: file for file in self._imported(wanted)}
        if not known:
            return None
        try:
            return from_files(files.values(), known, "reflection")
        except UsageError:
            return None

    def _imported(self, name: str) -> Sequence[descriptor_pb2.FileDescriptorProto]:
        """The file `name` that another imports, and what the server sends with it.

        Many servers do not have google/protobuf/*.proto, or files that give nothing but options: an empty file stands
        for one that is nowhere to be had. Where a type of it was needed, `from_files` finds out.
        """
        if (ours := well_known(name)) is not None:
            return [ours]
        found = self._files(reflection_pb2.ServerReflectionRequest(file_by_filename=name))
        if any(file.name == name for file in found):
            return found
        return [*found, descriptor_pb2.FileDescriptorProto(name=name)]

    def _list(self) -> tuple[str, ...] | None:
        for path in _PATHS:
            self._path = path
            reply = self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
            if reply is not None and reply.HasField("list_services_response"):
                return tuple(service.name for service in reply.list_services_response.service)
            if self.hangs:
                break
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
        timeout = min(_TIMEOUT, self._until - time.monotonic())
        if timeout <= 0:
            return None
        call = self._client.start(self._path, request.SerializeToString(), timeout, stream=True, many=True)
        reply = call.reply(seconds=_END)
        if not reply.messages:
            self.hangs = self.hangs or reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
            return None
        try:
            return reflection_pb2.ServerReflectionResponse.FromString(reply.messages[0])
        except DecodeError:
            return None
