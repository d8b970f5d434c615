"""How servers word their errors: what a text says about the request, the reply, and the state of the server.

tests/verify/test_texts.py has real texts of each kind, with their sources.
"""

from __future__ import annotations

import re

import grpc

from protoserve.verify.grpc_client import Reply

# The server could not parse the request: gRPC Python (sync, aio), grpc-js, grpc-go, Java, tonic, C#.
UNREADABLE_REQUEST = re.compile(
    r"exception deserializing request|error deserializing request|error parsing message with type"
    r"|error unmarshalling request|failed to unmarshal|cannot parse invalid wire-format"
    r"|string field contains invalid utf-8"
    r"|invalid protobuf byte sequence|failed to decode protobuf message|invalid wire ?type"
    r"|(?<![a-z])decodeerror|invalidprotocolbufferexception|protocol message end-group|end-group tag"
    r"|invalid tag|index out of range: \d+ \+ \d+ >|error in server deserializing",
    re.I,
)
# The method returned something else than the message. Tried first: Go reports invalid UTF-8 in a reply in the same way.
UNSERIALIZABLE_REPLY = re.compile(
    r"failed to serialize response|error serializing response|serializetostring|error while marshaling"
    r"|failed to marshal|failed to encode|must be instance of same class"
    r"|\.\w+: (?:object|array|number|string|integer\S*) expected",
    re.I,
)
RETURNED_TYPE = re.compile(
    r"'(list|dict|tuple|str|NoneType|ndarray|numpy\.ndarray|int|float|bytes|set|DataFrame)' object"
)
# The method's code uses a field that the message does not have.
NO_SUCH_FIELD = re.compile(r"message (\w+) has no \"(\w+)\" field|no field \"(\w+)\" in protocol message", re.I)
# gRPC's client received longer headers or trailers than it accepts.
TOO_MUCH_METADATA = re.compile(r"received (?:initial |trailing )?metadata size exceeds")
# A model complains about its data: that speaks against a generated request, not against the server.
ABOUT_DATA = re.compile(
    r"shape|feature|dimension|\bndim|broadcast|(?<!un)expect|could not convert|cannot convert|invalid literal"
    r"|cannot identify|decod|too (?:short|few|many|small|long)|length|\bsize|out of (?:range|bounds)|missing|required"
    r"|must |should |not (?:a )?valid|invalid|unsupported|unknown (?:label|categor|model|token)|nan\b",
    re.I,
)
# The server asks for something that is not in the message. The header of a file is in it.
ABOUT_METADATA = re.compile(
    r"\bmetadata\b|(?<!csv )(?<!wav )(?<!file )(?<!image )(?<!column )\bheaders?\b(?! (?:row|line)\b)", re.I
)
# The error does not say what happened.
NO_REASON = re.compile(
    r"^$|^application error processing rpc$|^exception was thrown by handler\.?$|^unknown error$"
    r"|^internal(?: server)? error\.?$|^stream removed$",
    re.I,
)

# The server says that it cannot answer yet, or no longer, whatever the request is.
_NOT_READY = re.compile(
    r"\bnot (?:yet )?(?:been )?(?:loaded|ready|initiali[sz]ed|started|warm|available|deployed|running)\b"
    r"|\b(?:is|are|still|being|currently|yet) (?:loading|initiali[sz]ing|starting|warming)\b"
    r"|^(?:loading|initiali[sz]ing|starting|warming)\b|\bno model (?:is )?(?:loaded|available)\b"
    r"|\bfailed to load\b|\bshut(?:ting)? ?down\b|\bunloaded\b",
    re.I,
)
# ... unless it quotes what a generated request asks for: then it has no model of that name.
_OF_A_GUESS = re.compile(r"""['"`]text(?:_[\d.]+)?['"`]""")
# Something that the code uses is not there: most often a model that has not been loaded.
_NOTHING_THERE = re.compile(
    r"'NoneType' object|of (?:null|undefined)\b|nil pointer|NullPointer|null reference|object has no attribute", re.I
)
_STATES = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
)
EXCEPTIONS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


def says_not_ready(reply: Reply) -> bool:
    """Whether the error describes a state of the server, such as "model is not loaded", and not the request."""
    if reply.code is grpc.StatusCode.UNAVAILABLE:
        return not reply.connection_lost
    text = reply.details
    return reply.code in _STATES and bool(_NOT_READY.search(text)) and not _OF_A_GUESS.search(text)


def may_be_loading(reply: Reply) -> bool:
    """Whether the error may end by itself once the server has loaded its model.

    An exception whose text is about the reply or the request will not.
    """
    if says_not_ready(reply):
        return True
    about_messages = (UNSERIALIZABLE_REPLY, UNREADABLE_REQUEST, NO_SUCH_FIELD)
    if reply.code not in EXCEPTIONS or any(pattern.search(reply.details) for pattern in about_messages):
        return False
    return bool(_NOTHING_THERE.search(reply.details)) or not ABOUT_DATA.search(reply.details)
