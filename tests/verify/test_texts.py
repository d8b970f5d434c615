"""What servers of other makes say: real texts, where they are from, and what the checks take them for."""

from __future__ import annotations

import grpc
import pytest

from protoserve.verify.checks.implemented import _NO_METHOD, _NO_SERVICE, _STOCK_TEXT
from protoserve.verify.error_texts import (
    ABOUT_DATA,
    NO_REASON,
    NO_SUCH_FIELD,
    UNREADABLE_REQUEST,
    UNSERIALIZABLE_REPLY,
    may_be_loading,
    says_not_ready,
)
from protoserve.verify.grpc_client import Reply
from protoserve.verify.sample_requests import lengths_in

UNIMPLEMENTED = [
    ("unknown service zoo.v1.PredictionService", "service", "grpc-go, server.go"),
    ("Service is unimplemented.", "service", "grpc-dotnet, ServerCallHandlerFactory"),
    ("unknown method Predict for service zoo.v1.PredictionService", "method", "grpc-go, server.go"),
    ("method Predict not implemented", "method", "protoc-gen-go-grpc, Unimplemented...Server"),
    ("Method not implemented!", "method", "grpcio-tools, the base class"),
    ("Method zoo.v1.PredictionService/Predict is unimplemented", "method", "grpc-java, ServerCalls"),
    ("Method is unimplemented.", "method", "grpc-dotnet"),
    ("The server does not implement the method Predict", "method", "grpc-js 1.14.7, seen"),
    ("The server does not implement the method /zoo.v1.PredictionService/Predict", None, "grpc-js 1.14.7, seen"),
    ("Method not found!", None, "grpcio 1.85, seen"),
    ("Method not found: zoo.v1.PredictionService/Predict", None, "grpc-java, ServerImpl"),
    ("", None, "tonic, C++"),
]


@pytest.mark.parametrize(("text", "lacks", "source"), UNIMPLEMENTED, ids=[row[2] for row in UNIMPLEMENTED])
def test_what_is_missing(text: str, lacks: str | None, source: str) -> None:
    told = {"service": bool(_NO_SERVICE.search(text)), "method": bool(_NO_METHOD.search(text))}
    assert [name for name, found in told.items() if found] == ([lacks] if lacks else []), source
    assert _STOCK_TEXT.search(text), source


@pytest.mark.parametrize("text", ["ended", "Explain is not implemented any more: call v2", "the method was removed"])
def test_words_of_an_author_are_no_stock_text(text: str) -> None:
    assert not _STOCK_TEXT.search(text)


_AIO = "Unexpected <class 'TypeError'>: descriptor 'SerializeToString' for 'google._upb._message.Message' objects"
BROKEN = [
    ("Exception deserializing request!", "unread", "grpcio 1.85, seen"),
    ("Unexpected <class 'google.protobuf.message.DecodeError'>: Error parsing message", "unread", "grpcio aio"),
    ("Error deserializing request", "unread", "grpc-js 1.14.7, seen"),
    ("Error deserializing request: index out of range: 3 + 10 > 4", "unread", "grpc-js with details"),
    (
        "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
        "unread",
        "grpc-go, server.go",
    ),
    ("grpc: error unmarshalling request: string field contains invalid UTF-8", "unread", "temporal's README"),
    ("grpc: failed to unmarshal the received message: proto: cannot parse", "unread", "grpc-go, rpc_util.go"),
    ("Invalid protobuf byte sequence", "unread", "grpc-java, ProtoLiteUtils"),
    (
        "failed to decode Protobuf message: CloudEvent.id: invalid wire type: Varint (expected LengthDelimited)",
        "unread",
        "prost, as tonic hands it on",
    ),
    ("Failed to serialize response!", "unsent", "grpcio 1.85, seen"),
    (f"{_AIO} doesn't apply to a 'list' object", "unsent", "grpcio 1.85 aio, seen"),
    ("Error serializing response", "unsent", "grpc-js 1.14.7, seen"),
    ("Error serializing response: .zoo.v1.PredictResponse: object expected", "unsent", "protobufjs"),
    ("grpc: error while marshaling: proto: Marshal called with nil", "unsent", "grpc-go, rpc_util.go"),
    ("grpc: error while marshaling: string field contains invalid UTF-8", "unsent", "grpc-go, a reply"),
    ('Exception calling application: Protocol message R has no "score" field.', "field", "protobuf for Python"),
    ("Application error processing RPC", "silent", "grpc-java, ServerImpl"),
    ("Exception was thrown by handler.", "silent", "grpc-dotnet"),
    ("Unknown error", "silent", "grpc-js 1.14.7, seen"),
    ("", "silent", "C++, tonic"),
    ("Exception calling application: X has 1 features, but SVC is expecting 4 features as input.", "data", "sklearn"),
    ("Exception calling application: cannot reshape array of size 1 into shape (17)", "data", "numpy"),
    ("cannot identify image file <_io.BytesIO object at 0x7f>", "data", "Pillow"),
    ("Exception calling application: Expecting value: line 1 column 1 (char 0)", "data", "json"),
    ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x", "data", "onnxruntime"),
    ("Exception calling application: 'model'", None, "KeyError"),
    ("Unexpected <class 'KeyError'>: 'model'", None, "KeyError, aio"),
    ("Exception calling application: 'NoneType' object has no attribute 'predict'", None, "no model"),
    ("no model", None, "grpc-js, an Error"),
]


@pytest.mark.parametrize(("text", "kind", "source"), BROKEN, ids=[f"{row[2]}-{row[1]}" for row in BROKEN])
def test_what_broke(text: str, kind: str | None, source: str) -> None:
    """In the order in which the check asks."""
    kinds = {
        "unsent": UNSERIALIZABLE_REPLY,
        "unread": UNREADABLE_REQUEST,
        "field": NO_SUCH_FIELD,
        "silent": NO_REASON,
        "data": ABOUT_DATA,
    }
    assert next((name for name, words in kinds.items() if words.search(text)), None) == kind, source


C = grpc.StatusCode
STATES = [
    # code, text, whether it describes the server's state, and whether loading may end it
    (C.UNAVAILABLE, "", True, True),
    (C.UNAVAILABLE, "failed to connect to all addresses", False, False),
    (C.FAILED_PRECONDITION, "Model is not loaded", True, True),
    (C.INVALID_ARGUMENT, "Model iris is not ready yet.", True, True),  # MLServer
    (C.INTERNAL, "the model is still loading", True, True),
    (C.UNKNOWN, "Exception calling application: no model loaded", True, True),
    (C.UNKNOWN, "Exception calling application: 'NoneType' object has no attribute 'predict'", False, True),
    (C.UNKNOWN, "Unexpected <class 'AttributeError'>: 'Servicer' object has no attribute 'model'", False, True),
    (C.UNKNOWN, "Server method handler threw error Cannot read properties of null (reading 'run')", False, True),
    (C.INTERNAL, "runtime error: invalid memory address or nil pointer dereference", False, True),
    (C.UNKNOWN, "Exception calling application: 'model'", False, True),
    (C.UNKNOWN, "", False, True),
    (C.INTERNAL, "Failed to serialize response!", False, False),
    (C.UNKNOWN, f"{_AIO} doesn't apply to a 'NoneType' object", False, False),
    (C.INTERNAL, "Exception deserializing request!", False, False),
    (C.UNKNOWN, "Exception calling application: X has 1 features, but SVC is expecting 4 features", False, False),
    (C.NOT_FOUND, "model 'text' is not loaded", False, False),  # it quotes a generated request
    (C.NOT_FOUND, "unknown model text", False, False),
    (C.INVALID_ARGUMENT, "values: must have 4 items", False, False),
    (C.FAILED_PRECONDITION, "the account is closed", False, False),
    (C.OK, "", False, False),
]


@pytest.mark.parametrize(
    ("code", "text", "is_state", "may_end"), STATES, ids=[f"{row[0].name}-{row[1]}" for row in STATES]
)
def test_what_describes_the_state_of_the_server(
    code: grpc.StatusCode, text: str, is_state: bool, may_end: bool
) -> None:
    reply = Reply(code, text, (), 0.0)
    assert (says_not_ready(reply), may_be_loading(reply)) == (is_state, may_end)


@pytest.mark.parametrize(
    "text",
    ["json.decoder.JSONDecodeError: Extra data", "'utf-8' codec can't decode byte 0x89: UnicodeDecodeError"],
)
def test_another_decoder_is_not_protobuf(text: str) -> None:
    assert not UNREADABLE_REQUEST.search(text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("X has 1 features, but SVC is expecting 30 features as input.", 30),
        ("values: must have 13 items", 13),
        ("expected 4 values, got 2", 4),
        ("Got: 1 Expected: 12", 12),
        ("shapes (1,2) and (8,3) not aligned: 2 (dim 1) != 8 (dim 0)", 8),
    ],
)
def test_the_number_that_a_server_speaks_of_is_tried_first(text: str, first: int) -> None:
    assert lengths_in(text)[0] == first


def test_no_number_no_length() -> None:
    assert lengths_in("wrong, 3.14 of 1000000 times") == []
