"""Small schemas that ask for much: refused at the field, in bounded time and memory; and large ones, in linear time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from protoserve.emit import proto, samples
from protoserve.intake.proto import source
from protoserve.schema.errors import MAX_PROBLEMS, SchemaError
from protoserve.schema.load import loads

HEAD = "package: iris.v1\nmethods:\n  Predict:\n    request: {fields: [{name: a, number: 1, type: M0}]}\n"
RESPONSE = "    response: {fields: [{name: z, number: 1, type: bool}]}\n"


def schema(*messages: str) -> str:
    """A schema whose request has a field of the first of these messages, M0; each is the list of its fields."""
    lines = (f"  M{index}: {{fields: [{fields}]}}\n" for index, fields in enumerate(messages))
    return f"{HEAD}{RESPONSE}messages:\n{''.join(lines)}"


def nested(levels: int, *names: str, more: str = "") -> str:
    """Messages in each other, each with fields of these names for the next."""
    inner = [
        ", ".join(f"{{name: {name}, number: {i + 1}, type: M{level + 1}{more}}}" for i, name in enumerate(names))
        for level in range(levels)
    ]
    return schema(*inner, "{name: x, number: 1, type: int32}")


def one(keys: str) -> str:
    return schema(f"{{name: x, number: 1, {keys}}}")


def sample_of(text: str) -> str:
    contract = loads(text)
    return samples.as_json(contract, contract.methods[0].request)


HUNDRED = ", repeated: true, min_items: 100"
TOO_LARGE = (
    (nested(60, "left", "right"), "50000 values", "left"),
    (nested(5, "next", more=HUNDRED), "15 MiB", "next"),
    (nested(200, "next"), "in 91 others", "next"),
    (one("type: float64, repeated: true, min_items: 134217728"), "lower `min_items`", "x"),
    (one("key: string, value: string, min_items: 134217728"), "lower `min_items`", "x"),
    (one("type: string, min_length: 134217728"), "lower `min_length`", "x"),
    (one("type: bytes, min_length: 134217728"), "lower `min_length`", "x"),
    (one("type: uint8, shape: [134217728]"), "name a dimension", "x"),
    (one("type: int64, shape: [rows, 3], min_items: 134217728"), "lower `min_items`", "x"),
    (one('type: string, pattern: "((((((a*)*)*)*)*)*)*b{900}"'), "no sample value could be made", "x"),
    (one('type: string, pattern: "([a-z]{30}){30}", max_length: 10'), "no sample value could be made", "x"),
)


@pytest.mark.parametrize(("text", "words", "field"), TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_a_sample_that_would_be_too_large_is_refused_at_the_field(text: str, words: str, field: str) -> None:
    with pytest.raises(SchemaError, match=rf"schema.yaml:\d+:\d+: messages\.M\d+\.fields\.{field}") as caught:
        sample_of(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text", [nested(200, "next", "other", more=", required: false"), nested(80, "next")], ids=["optional", "required"]
)
def test_what_may_be_left_out_is_left_out(text: str) -> None:
    assert len(sample_of(text)) < 100_000


def test_thousands_of_problems_are_cut() -> None:
    unknown = ", ".join(f"{{name: f{n}, number: {n + 1}, type: Unknown{n}}}" for n in range(1000))
    with pytest.raises(SchemaError) as caught:
        loads(schema(unknown))
    assert len(caught.value.problems) == MAX_PROBLEMS


def test_thousands_of_problems_that_protoc_prints_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "iris.proto"
    path.write_text(f'syntax = "proto3";\npackage iris.v1;\n/*{" /*" * 10_000} */\n', encoding="utf-8")
    with pytest.raises(SchemaError, match="inside block comment") as caught:
        source.read(path)
    assert len(caught.value.problems) == MAX_PROBLEMS


def test_a_long_cycle_is_named_by_its_beginning() -> None:
    ring = [f"{{name: next, number: 1, type: M{(n + 1) % 300}}}" for n in range(300)]
    with pytest.raises(SchemaError, match=r"M0 needs M1 needs .* needs \.\.\. needs M0") as caught:
        loads(schema(*ring))
    assert len(str(caught.value)) < 300 * MAX_PROBLEMS


@pytest.mark.parametrize("name", ["a" * 201, "a" * 100_000])
def test_a_long_name_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match=f"has {len(name)} characters") as caught:
        loads(one("type: bool").replace("name: x", f"name: {name}"))
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["chain", "wide", "methods"])
def test_loading_and_rendering_take_linear_time(shape: str) -> None:
    def seconds(count: int) -> float:
        chain = nested(count, "next", more=", required: false")
        wide = schema(", ".join(f"{{name: f{n}, number: {n + 1}, type: int32}}" for n in range(count)))
        method = "  P{0}:\n    request: {{fields: []}}\n    response: {{fields: []}}\n"
        many = f"package: iris.v1\nmethods:\n{''.join(method.format(n) for n in range(count))}"
        text = {"chain": chain, "wide": wide, "methods": many}[shape]
        started = time.process_time()
        proto.render(loads(text))
        return time.process_time() - started

    assert seconds(2000) < 4 * seconds(1000) + 0.5  # 2 where it is linear, 4 where it is quadratic, plus a margin


@pytest.mark.slow
@pytest.mark.parametrize("text", [TOO_LARGE[0][0], TOO_LARGE[3][0]], ids=["tree", "items"])
def test_the_command_refuses_it_within_bounds(text: str, tmp_path: Path) -> None:
    """With a gigabyte of address space and 60 seconds: before any file is written."""
    (tmp_path / "large.yaml").write_text(text, encoding="utf-8")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); "
        "from protoserve import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", limited, "new", "made", "--defaults", "--schema", "large.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "messages.M" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists() or not any((tmp_path / "made").iterdir())
