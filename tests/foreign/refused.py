"""Files that cannot be taken over: each with the line, the path and words of what is told."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = 'syntax = "proto3";\npackage a.v1;\n'
SERVICE = "service S { rpc Do(M) returns (M); }\n"


@dataclass(frozen=True)
class Refused:
    name: str
    text: str
    line: int
    path: str
    words: str


def file(*lines: str, head: str = HEAD, service: str = SERVICE) -> str:
    """A file whose own lines begin on line 3."""
    return head + "".join(f"{line}\n" for line in lines) + service


REFUSED = [
    Refused("proto2", file("message M { optional int32 a = 1; }", head='syntax = "proto2";\npackage a.v1;\n'), 1,
            "syntax", "proto2 is not supported"),
    Refused("no syntax is proto2", file("message M { required int32 a = 1; }", head="package a.v1;\n\n"), 1,
            "syntax", "proto2 is not supported"),
    Refused("an edition", file("message M { int32 a = 1; }", head='edition = "2023";\npackage a.v1;\n'), 1,
            "edition", "an edition is not supported"),
    Refused("a group", file("message M { optional group G = 1 { optional int32 a = 2; } }",
            head='syntax = "proto2";\npackage a.v1;\n'), 1, "syntax", "proto2 is not supported"),
    Refused("another file", file('import "acme/common.proto";', "message M { acme.Money a = 1; }"), 3,
            "import acme/common.proto", "the file was not found in"),
    Refused("a stream of requests", file("message M {}", service="service S { rpc Do(stream M) returns (M); }"), 4,
            "S.Do", "a stream of requests is not supported"),
    Refused("streams in both directions", file("message M {}",
            service="service S {\n  rpc Do(stream M) returns (stream M);\n}"), 5,
            "S.Do", "streams in both directions are not supported"),
    Refused("an option that is not UTF-8", file(r'option go_package = "\xff";', "message M {}"), 3,
            "options", "the value of go_package is not UTF-8"),
    Refused("a name in JSON that is not UTF-8", file(r'message M { bool a = 1 [json_name = "\xff"]; }'), 3,
            "M.a", "the value of json_name is not UTF-8"),
    Refused("two services", file("message M {}", "service T { rpc Do(M) returns (M); }"), 5,
            "S", "a second service beside T"),
    Refused("no service", file("message M {}", service=""), 1, "", "the file has no service"),
    Refused("a service without methods", file("message M {}", service="service S {}"), 4, "S", "has no method"),
    Refused("a field that protobuf's JSON needs", file("message M {", "  bool ListFields = 1;", "}"), 4,
            "M.ListFields", "would hide what protobuf's own Python needs"),
    Refused("a field that Python needs", file("message M { string __init__ = 1; }"), 3,
            "M.__init__", "would hide what protobuf's own Python needs"),
    Refused("a method of messages as an inner message", file("message M { Clear a = 1;", "message Clear {} }"), 4,
            "M.Clear", "'Clear' would hide an attribute that protobuf's Python needs"),
    Refused("the descriptor as a message", file("message M { a.v1.DESCRIPTOR a = 1; }", "message DESCRIPTOR {}"), 4,
            "DESCRIPTOR", "would hide an attribute"),
    Refused("a value without letters", file("message M { E e = 1; }", "enum E { E_A = 0; __ = 1; }"), 4,
            "E.__", "a name that Python cannot use for a value"),
    Refused("two classes of one name", file("message M { N n = 1; message N {} }", "message MN {}"), 4,
            "MN", "are one name in Python"),
    Refused("a field that the stubs need for a message", file("message M { def def_ = 1;", "message def {} }"), 4,
            "M.def", "need the name 'def_'"),
    Refused("a value that the stubs need for another", file("message M { E e = 1; enum E { None = 0; }",
            "enum F { None_ = 0; } }"), 3, "M.E.None", "need the name 'None_'"),
    Refused("two values of one name", file("message M { E e = 1; }", "enum E { A = 0; b = 1; B = 2; }"), 4,
            "", "Enum name B has the same name as b"),
    Refused("a message that is a scalar here", file("message M { .a.v1.json a = 1; }", "message json {}"), 4,
            "json", "is the name of a type"),
    Refused("a type of protobuf's that has no form here", file('import "google/protobuf/struct.proto";',
            "message M { google.protobuf.NullValue a = 1; }"), 4,
            "M.a", "google.protobuf.NullValue is not supported"),
    Refused("protobuf's timestamp as a request", file('import "google/protobuf/timestamp.proto";', "message M {}",
            service="service S { rpc Do(google.protobuf.Timestamp) returns (M); }"), 5,
            "S.Do", "google.protobuf.Timestamp as a message of a method"),
    Refused("a package in the project", file("message M {}", head='syntax = "proto3";\npackage proj.server.v1;\n'), 2,
            "package", "is a module of the project itself"),
    Refused("the health service", file("message M {}", head='syntax = "proto3";\npackage grpc.health.v1;\n'), 2,
            "package", "grpc.health.v1 is gRPC's own health service"),
    Refused("reflection", file("message M {}", head='syntax = "proto3";\npackage grpc.reflection.v1alpha;\n'), 2,
            "package", "gRPC's own reflection service"),
    Refused("protobuf's package", file("message M {}", head='syntax = "proto3";\npackage google.protobuf;\n'), 2,
            "package", "protobuf's own package"),
    Refused("a name too long for a file", file("message M {}",
            service=f"service S {{ rpc {'Long' * 60}(M) returns (M); }}"), 4, f"S.{'Long' * 60}", "has 240 characters"),
    Refused("a package too long for folders", file("message M {}",
            head=f'syntax = "proto3";\npackage import.{"long." * 60}v1;\n'), 2, "package", "longer than a path"),
    Refused("what protoc refuses", file("message M { int32 a = 1; int32 b = 1; }"), 3, "", "already been used"),
    Refused("no .proto at all", "package: iris.v1\n", 1, "", "Expected identifier"),
]  # fmt: skip
