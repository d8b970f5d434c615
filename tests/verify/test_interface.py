"""Contracts from .proto files as they lie about, and addresses as they are typed."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from protoserve.verify.address import Address, Tls, UsageError, parse
from protoserve.verify.interface import from_proto
from zoo.tls import certificates

ZOO = Path(__file__).parent.parent / "zoo"
RICH = ZOO / "foreign/rich_pb/v1/service.proto"


def test_all_kinds_of_methods_are_known_by_their_path() -> None:
    found = from_proto(RICH, [ZOO / "foreign"])
    kinds = {method.path: (method.takes_stream, method.gives_stream) for method in found.methods}
    assert kinds == {
        "/rich.v1.RichService/Single": (False, False),
        "/rich.v1.RichService/Collect": (True, False),
        "/rich.v1.RichService/Talk": (True, True),
        "/rich.v1.RichService/Ping": (False, False),
        "/rich.v1.AdminService/Reload": (False, False),
    }
    assert found.services == ("rich.v1.RichService", "rich.v1.AdminService")


def test_without_a_root_the_package_tells_it(tmp_path: Path) -> None:
    folder = tmp_path / "acme" / "v1"
    folder.mkdir(parents=True)
    (folder / "parts.proto").write_text('syntax = "proto3"; package acme.v1; message Part {}')
    head = 'syntax = "proto3";\npackage acme.v1;\nimport "acme/v1/parts.proto";\n'
    (folder / "service.proto").write_text(head + "service S { rpc Do(Part) returns (Part); }")
    assert [method.path for method in from_proto(folder / "service.proto").methods] == ["/acme.v1.S/Do"]


def test_a_root_may_lie_elsewhere_and_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "third_party").mkdir()
    (tmp_path / "third_party" / "part.proto").write_text('syntax = "proto3"; message Part {}')
    text = 'syntax = "proto3"; import "part.proto"; service S { rpc Do(Part) returns (Part); }'
    (tmp_path / "service.proto").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert from_proto(Path("service.proto"), [Path("third_party")]).services == ("S",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('syntax = "proto3"; message M {}', "it does not define a service"),
        ('syntax = "proto3"; import "away.proto"; service S {}', "-I FOLDER"),
        ("nonsense", "protoc refuses it"),
    ],
)
def test_a_wrong_proto_is_told(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.proto"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        from_proto(file)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80, False),
        (":50051", "127.0.0.1", 50051, False),
        ("[::1]:50051", "::1", 50051, False),
        ("http://model:80/", "model", 80, False),
        ("grpcs://model:443", "model", 443, True),
    ],
)
def test_addresses_as_they_are_typed(text: str, host: str, port: int, tls: bool) -> None:
    found = parse(text)
    assert found == Address(host, port, Tls() if tls else None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dns:///model:80", Address("model", 80)),
        ("dns://10.0.0.1/model", Address("model", 443)),
        ("dns:model:80", Address("model", 80)),
        ("ipv4:10.0.0.2:80", Address("10.0.0.2", 80)),
        ("ipv6:[::1]:80", Address("::1", 80)),
        ("unix:run/it.sock", Address("localhost", 0, socket_path="run/it.sock")),
        ("unix:/run/it.sock", Address("localhost", 0, socket_path="/run/it.sock")),
        ("unix:///run/it.sock", Address("localhost", 0, socket_path="/run/it.sock")),
        ("unix-abstract:it", Address("localhost", 0, socket_path="\0it")),
    ],
)
def test_targets_as_grpc_names_them(text: str, address: Address) -> None:
    assert parse(text) == replace(address, target=text)
    assert str(parse(text)) == text


def test_what_is_no_address() -> None:
    assert parse("dns:///") is None
    assert parse("some/folder") is None
    with pytest.raises(UsageError, match="the port must be an integer from 1 to 65535"):
        parse("model:70000")


def test_authorities_are_read_and_a_wrong_file_is_told(tmp_path: Path) -> None:
    authority = certificates() / "ca.pem"
    assert Tls(authority).roots() == authority.read_bytes()
    assert isinstance(Tls(authority).context(), ssl.SSLContext)
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(UsageError, match="no certificate in PEM format"):
        Tls(tmp_path / "no.pem").roots()
    with pytest.raises(UsageError, match="cannot be read"):
        Tls(tmp_path / "away.pem").roots()
