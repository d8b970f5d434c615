"""What the checks of one run share: the connection, the contract, the requests, and how the server became ready."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.schema.model import Contract
from protoserve.verify import health_client, readiness
from protoserve.verify.address import Address
from protoserve.verify.call_log import CallLog
from protoserve.verify.grpc_client import Call, Client, Reply
from protoserve.verify.health_client import CHECK_TIMEOUT, Health
from protoserve.verify.http_client import HttpClient
from protoserve.verify.interface import Interface, Method
from protoserve.verify.metadata import NONE, Metadata
from protoserve.verify.options import GRACE
from protoserve.verify.readiness import Readiness
from protoserve.verify.reflection import Reflection
from protoserve.verify.request_search import find_accepted_request, hung
from protoserve.verify.sample_requests import Request, Requests, read_requests
from protoserve.verify.side_effects import left_alone
from protoserve.verify.targets import Started

_IMPATIENT = 5.0  # seconds for a call once another method has taken all of --timeout


@dataclass(slots=True)
class Session:
    """A run against one server. Times are in seconds; `started` and `ends` are `time.monotonic`'s."""

    address: Address
    client: Client
    timeout: float
    ends: float
    platform: str = "generic"
    process: Started | None = None  # the server that this run started; None if it was running before
    grace: float = GRACE  # how long that server may take to stop
    interface: Interface | None = None  # None until a contract is known
    request_files: tuple[str, ...] = ()  # the arguments of --request
    call: tuple[str, ...] = ()  # the arguments of --call
    no_call: tuple[str, ...] = ()  # the arguments of --no-call
    left_alone: dict[str, str] = field(default_factory=dict)  # why a method is not called, by its path
    project: Path | None = None  # a project with sample requests
    metadata: Metadata = NONE  # what every call sends
    requests: Requests | None = None
    reflection: Reflection | None = None  # None until the server was asked
    web: HttpClient | None = None  # the HTTP side, if there is one
    replies: dict[str, Reply] = field(default_factory=dict)  # by path of method: the answer to its valid request
    stopped: dict[str, str] = field(default_factory=dict)  # by path of a method that stopped answering: who reports it
    failing: set[str] = field(default_factory=set)  # paths of the methods whose failure the current check reports
    backlogged: set[str] = field(default_factory=set)  # paths of methods that still work off calls that were given up
    changed: set[str] = field(default_factory=set)  # paths of methods known to answer with something else than before
    lost: bool = False  # whether the current check reports that the whole server stopped answering
    unresponsive: str = ""  # the check that reports that the whole server stopped answering
    not_serving_until: float | None = None  # when health last said NOT_SERVING while the server started
    health_answered: bool = False  # whether Check was ever answered, even with an error
    started: float = field(default_factory=time.monotonic)
    _logs: defaultdict[str, CallLog] = field(default_factory=lambda: defaultdict(CallLog))
    _readiness: Readiness | None = None

    def left(self) -> float:
        """How many seconds remain of the run."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods that are called."""
        methods = () if self.interface is None else self.interface.methods
        return tuple(method for method in methods if method.path not in self.left_alone)

    def contract_of(self, method: Method) -> Contract | None:
        """The schema that has the method, or None if only its types are known."""
        return None if self.interface is None else self.interface.contract_of(method)

    def reflect(self) -> None:
        """Asks the server's reflection, which is the contract unless another was given. Raises UsageError."""
        self.reflection = Reflection(self.client)
        if self.interface is None:
            self.interface = self.reflection.interface()
            self.prepare_calls()

    def prepare_calls(self) -> None:
        """Sets which methods of the interface are called, and reads the requests that were given. Raises UsageError."""
        if self.interface is not None:
            self.left_alone = left_alone(self.interface, self.call, self.no_call)
            self.requests = Requests(self.interface, read_requests(self.interface, self.request_files, self.project))

    def request(self, method: Method) -> Request:
        """The valid request of the method."""
        assert self.requests is not None
        return self.requests.of(method)

    def reply_bytes(self, method: Method) -> int:
        """The size of the reply to the valid request, 0 if there is none."""
        reply = self.replies.get(method.path)
        return 0 if reply is None else sum(map(len, reply.messages))

    def start(self, method: Method, data: bytes, timeout: float) -> Call:
        """Starts a call, without waiting for its answer. Its end is in the method's log."""
        call = self.client.start(method.path, data, timeout, stream=method.takes_stream, many=method.gives_stream)
        call.on_end = self.log(method).add
        return call

    def log(self, method: Method) -> CallLog:
        """What became of the method's calls so far."""
        return self._logs[method.path]

    def ask(self, method: Method, data: bytes, timeout: float | None = None) -> Reply:
        """Calls a method; the timeout is that of --timeout unless another is given."""
        return self.start(method, data, self.timeout if timeout is None else timeout).reply()

    def health(self, service: str, timeout: float = CHECK_TIMEOUT) -> Health:
        """Calls the health service's Check once."""
        health = health_client.check(self.client, service, timeout)
        self.health_answered = self.health_answered or health.answered
        return health

    def age(self) -> float:
        """Seconds since the start of the server, or of the run if it was running before."""
        return time.monotonic() - self.started

    def readiness(self) -> Readiness:
        """How the server became ready; the first call waits for that."""
        if self.reflection is None:
            self.reflect()
        if self._readiness is None:
            self._readiness = readiness.wait_until_ready(self)
        return self._readiness

    def answer_all(self) -> None:
        """Fills `replies`, once the server is ready. Raises UsageError."""
        settled = self.readiness().settled_reply
        if settled is not None and hung(self, settled):  # it need not hang a second time
            self.replies.setdefault(self.methods[0].path, settled)
        for method in self.methods:
            if method.path not in self.replies:
                some_hang = any(hung(self, reply) for reply in self.replies.values())
                self.replies[method.path] = find_accepted_request(self, method, _IMPATIENT if some_hang else None)

    def server_ended(self) -> bool:
        """Whether the server was started by this run and has ended by itself."""
        return self.process is not None and self.process.ended()

    def exit_note(self) -> str:
        """The exit code and last lines of the log of a server that has ended, to follow what was seen; else empty."""
        return f"; {self.process.exit_report()}" if self.process is not None and self.process.ended() else ""
