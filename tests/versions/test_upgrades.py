"""What is carried over from one version to the next by itself, and what the author is asked for."""

from __future__ import annotations

import copy
import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import random_schemas
from conftest import FRAUD
from protoserve.emit import generated_files, upgrade_modules
from protoserve.schema import reserved_names
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.load import loads
from protoserve.schema.model import Contract, Message
from protoserve.schema.presets import preset_text, presets
from protoserve.schema.version_text import kept, renewed
from support import run
from versions.the_shop import TO_V2, V1

counter = itertools.count()

SCHEMA = """\
package: a.{version}
enums:
  Kind: {{values: [{{name: small, number: 1}}, {{name: large, number: 2}}{enum}]}}
messages:
  Part:
    fields:
      - {{name: mass, number: 1, type: float64{part}}}
methods:
  Predict:
    request:
      fields: [{request}]
    response:
      fields: [{response}]
"""

A = "name: a, number: 1"
# A field of v1's request, the same field in v2, and the methods that the author must write for it.
FIELDS: list[tuple[str, str, str]] = [
    ("type: float64", "type: float64", ""),
    ("type: float64", "type: float64, required: false", ""),
    ("type: float64, required: false", "type: float64", "predict_request_a"),
    ("type: float64, required: false", "type: float64, default: 1", ""),
    ("type: float64, default: 1", "type: float64", ""),
    ("type: int32", "type: int64", ""),
    ("type: int64", "type: int32", "predict_request_a"),
    ("type: int64, minimum: 0, maximum: 9", "type: int64, minimum: 0, maximum: 10", ""),
    ("type: int64, minimum: 0, maximum: 10", "type: int64, minimum: 0, maximum: 9", "predict_request_a"),
    ("type: uint8", "type: int32", "predict_request_a"),  # the order of the table: only up
    ("type: int8", "type: int32", ""),
    ("type: int32", "type: float64", "predict_request_a"),
    ("type: float32", "type: float64", ""),
    ("type: float64", "type: float32", "predict_request_a"),
    ("type: float64, allow_nan: true", "type: float64", "predict_request_a"),
    ("type: float64, unit: cm", "type: float64, unit: mm", "predict_request_a"),
    ("type: float64, doc: One.", "type: float64, doc: Two., source: x", ""),
    ("type: bytes, media_type: image/png", "type: bytes, media_type: image/jpeg", "predict_request_a"),
    ("type: string, max_length: 5", "type: string, max_length: 6", ""),
    ("type: string, max_length: 6", "type: string, max_length: 5", "predict_request_a"),
    ("type: string", "type: string, min_length: 1", "predict_request_a"),
    ("type: string", "type: string, pattern: '^a'", "predict_request_a"),
    ("type: string, pattern: '^a'", "type: string", ""),
    ("type: string", "type: bytes", "predict_request_a"),
    ("type: string, repeated: true, max_items: 3", "type: string, repeated: true, max_items: 4", ""),
    ("type: string, repeated: true, max_items: 4", "type: string, repeated: true, max_items: 3", "predict_request_a"),
    ("type: string, repeated: true", "type: string, repeated: true, min_items: 1", "predict_request_a"),
    ("type: string", "type: string, repeated: true", "predict_request_a"),
    ("type: float32, shape: [3]", "type: float32, shape: [3]", ""),
    ("type: float32, shape: [3]", "type: float32, shape: [4]", "predict_request_a"),
    ("type: float32, shape: [n]", "type: float32, shape: [3]", "predict_request_a"),
    ("type: float32, shape: [3]", "type: float64, shape: [3]", "predict_request_a"),
    ("type: float32, shape: [3]", "type: float32, shape: [3], maximum: 1", "predict_request_a"),
    ("key: string, value: int64", "key: string, value: int64", ""),
    ("key: string, value: int64", "key: int64, value: int64", "predict_request_a"),
    ("type: Kind", "type: Kind", ""),
    ("type: Kind", "type: string", "predict_request_a"),
    ("type: Kind", "type: Part", "predict_request_a"),
    ("type: Part", "type: Part", ""),
    ("type: Part", "type: Part, repeated: true", "predict_request_a"),
    ("key: string, value: Part", "key: string, value: Part", ""),
    ("type: json", "type: json", ""),
    ("type: timestamp", "type: duration", "predict_request_a"),
]


def made(older: str, newer: str) -> upgrade_modules.Upgrade:
    old, new = (loads(numbered(text)) for text in (older, newer))
    return upgrade_modules.derive_upgrade(old, new)


def schema(version: str, request: str, response: str = "{name: r, type: float64}", **more: str) -> str:
    return SCHEMA.format(version=version, request=request, response=response, **{"enum": "", "part": "", **more})


@pytest.mark.parametrize(("was", "becomes", "needed"), FIELDS)
def test_what_fits_is_carried_over_and_what_may_not_is_asked_for(was: str, becomes: str, needed: str) -> None:
    found = made(schema("v1", f"{{{A}, {was}}}"), schema("v2", f"{{{A}, {becomes}}}"))
    assert " ".join(item.name for item in found.abstract_methods) == needed
    # In a reply the same is judged the other way round.
    found = made(
        schema("v1", "", f"{{{A}, {becomes}}}"),
        schema("v2", "", f"{{{A}, {was}}}"),
    )
    assert " ".join(item.name for item in found.abstract_methods) == needed.replace("request", "response")


A_OR_B = "{name: a, type: string, oneof: way}, {name: b, type: string, oneof: way}"
OPTIONAL = A_OR_B.replace("oneof: way", "oneof: way, required: false")
OPTIONAL_C = "{name: c, type: string, oneof: way, required: false}"
REQUESTS: dict[str, tuple[str, str, str]] = {
    "a required field is new": ("", "{name: a, type: string}", "predict_request_a"),
    "an optional field is new": ("", "{name: a, type: string, required: false}", ""),
    "a list is new": ("", "{name: a, type: string, repeated: true}", ""),
    "a list that is never empty is new": (
        "",
        "{name: a, type: string, repeated: true, min_items: 1}",
        "predict_request_a",
    ),
    "a field with a default is new": ("", "{name: a, type: int32, default: 3}", ""),
    "a field is gone": ("{name: a, type: string}", "", ""),
    "a field is renamed": ("{name: a, type: string}", "{name: b, type: string, renamed_from: a}", ""),
    "a field is renamed, unsaid": ("{name: a, type: string}", "{name: b, type: string}", "predict_request_b"),
    "an earlier rename says nothing": (
        "{name: b, type: string, renamed_from: a}",
        "{name: a, type: string}",
        "predict_request_a",
    ),
    "a renamed field is narrower": (
        "{name: a, type: string}",
        "{name: b, type: string, max_length: 3, renamed_from: a}",
        "predict_request_b",
    ),
    "a oneof is the same": (A_OR_B, A_OR_B, ""),
    "a oneof gets a member": (A_OR_B, f"{A_OR_B}, {{name: c, type: string, oneof: way}}", ""),
    "a oneof loses a member": (f"{A_OR_B}, {{name: c, type: string, oneof: way}}", A_OR_B, "predict_request_way"),
    "an optional oneof loses a member": (f"{OPTIONAL}, {OPTIONAL_C}", OPTIONAL, ""),
    "a oneof is required": (OPTIONAL, A_OR_B, "predict_request_way"),
    "a oneof is new": ("", A_OR_B, "predict_request_way"),
    "a field becomes one of two": ("{name: a, type: string}", A_OR_B, ""),
    "two fields become one of two": (
        "{name: a, type: string}, {name: b, type: string}",
        A_OR_B,
        "predict_request_way",
    ),
    "one of two becomes a field": (A_OR_B, "{name: a, type: string}", "predict_request_a"),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_fields_that_come_and_go(case: str) -> None:
    older, newer, needed = REQUESTS[case]
    found = made(schema("v1", older), schema("v2", newer))
    assert " ".join(item.name for item in found.abstract_methods) == needed


def test_enums_and_messages_are_carried_over_once_and_told_where_they_differ() -> None:
    both = "{name: k, type: Kind}, {name: p, type: Part}"
    many = "{name: q, type: Part, repeated: true}, {name: m, key: string, value: Part}"
    older = schema("v1", f"{both}, {many}", both, part=", maximum: 9")
    newer = schema("v2", f"{both}, {many}", both, part=", maximum: 8", enum=", {name: huge, number: 3}")
    found = made(older, newer)
    # v1's Part may hold more than v2's, and v2's Kind has a value that v1's has not.
    assert [item.name for item in found.abstract_methods] == ["part_to_v2_mass", "kind_to_v1_else"]
    assert found.abstract_methods[0].doc == "The mass of v2's Part: v2 allows only at most 8, and v1 more."
    assert found.abstract_methods[1].doc == "What stands in v1 for HUGE, which its Kind does not have."
    renamed = schema("v2", f"{both}, {many}", both, part=", maximum: 9").replace(
        "{name: large, number: 2}", "{name: big, number: 2, renamed_from: large}"
    )
    assert made(older, renamed).abstract_methods == ()


def test_methods_that_are_gone_or_stream_otherwise_are_the_authors() -> None:
    text = V1.replace("shop.v1", "shop.v2").replace("    streaming: server\n", "").replace(*TO_V2[-1])
    found = made(V1, text)
    assert [(item.name, item.signature) for item in found.abstract_methods] == [
        ("count", "model: Model, request: v1.CountRequest, /) -> Iterator[v1.CountResponse]"),
        ("explain", "model: Model, batch: Sequence[v1.ExplainRequest], /) -> Sequence[v1.ExplainResponse]"),
    ]
    assert "one of the two is a stream" in found.abstract_methods[0].doc


def test_renames_that_the_schema_tells_need_no_word_in_paths() -> None:
    older = schema("v1", "{name: p, type: Part}")
    newer = schema("v2", "{name: q, type: Part, renamed_from: p}").replace(
        "name: mass, number: 1", "name: weight, number: 1, renamed_from: mass"
    )
    text = upgrade_modules.render_upgrade(made(older, newer), "a")
    assert "renamed: ClassVar[Mapping[str, str]] = {'q': 'p', 'q.weight': 'p.mass'}" in text


# Of the schema with every kind of field: one thing of each kind that cannot be carried over.
FRAUD_CHANGES = (
    ("{name: in_store, number: 2}", "{name: in_shop, number: 3}"),
    ("name: account, number: 7, type: string, oneof: means", "name: iban, number: 17, type: string, oneof: means"),
    ("maximum: 10000}", "maximum: 9}"),
    ("shape: [items, 4]", "shape: [items, 5]"),
    ("shape: [2, 2, 3]", "shape: [3, 2, 2]"),
    ("{name: context, number: 3, type: json, required: false}", "{name: context, number: 3, type: json}"),
    ("type: duration", "type: timestamp"),
    (
        "{name: counters, number: 5, key: string, value: int64}",
        "{name: counters, number: 5, key: string, value: int32}",
    ),
    ("max_items: 50", "max_items: 49"),
    ("{name: country, number: 2,", "{name: country, number: 2, unit: ISO,"),
)


def completed(made: upgrade_modules.Upgrade) -> str:
    """An upgrade whose author wrote every method that is asked for, with nothing in it."""
    old, new = made.older.version, made.newer.version
    lines = [
        "from __future__ import annotations",
        "from collections.abc import Iterator, Sequence",
        "from datetime import datetime, timedelta",
        "from typing import TYPE_CHECKING, Any, final",
        "import numpy as np",
        "from numpy.typing import NDArray",
        f"from ..contract import {old}, {new}",
        "from ..contract.reading import Json",
        f"from ..contract.{made.module} import Carried",
        "if TYPE_CHECKING:",
        "    from ..model import Model",
        "class Asked(Exception): ...",
        "@final",
        "class Upgrade(Carried):",
        "    def __init__(self) -> None: ...",
    ]
    for item in made.abstract_methods:
        lines += [f"    def {item.name}(self, {item.signature}:", "        raise Asked"]
    return "\n".join(lines) + "\n"


def write(folder: Path, package: str, texts: dict[str, str]) -> generated_files.Plan:
    """The generated files of some schemas, a model that has no method, and upgrades that are complete."""
    plan = generated_files.plan(folder, package, texts)
    generated_files.apply(plan)
    for step in plan.upgrades:
        path = folder / f"src/{package}/upgrade/{step.older.version}.py"
        path.write_text(completed(step), encoding="utf-8")
    (folder / f"src/{package}/__init__.py").write_text("", encoding="utf-8")
    # The author's class has whatever the contract asks of it: the types of everything else are what this is about.
    (folder / f"src/{package}/model.py").write_text(MODEL, encoding="utf-8")
    return plan


MODEL = """\
from pathlib import Path
from typing import Any

Anything: Any = object


class Model(Anything):  # type: ignore[misc]
    def __init__(self, artifact: Path) -> None: ...
"""


@pytest.mark.slow
def test_for_any_schema_the_types_are_right(tmp_path: Path) -> None:
    """What is seeded, what is generated, and the signatures of what the author is asked for: mypy --strict."""
    sources = {f"preset_{name}": preset_text(name) for name in presets()} | {"fraud_x": FRAUD, "shop_x": V1}
    for name, text in sources.items():
        default = f"{name}.v1"
        contract = loads(numbered(text), default_package=default)
        package = contract.package.rpartition(".")[0]
        same = renewed(numbered(text), contract, f"{package}.v2")
        third = same.replace(f"{package}.v2", f"{package}.v3")
        if name == "shop_x":
            for old, new in TO_V2:
                third = third.replace(old, new)
        if name == "fraud_x":
            for old, new in FRAUD_CHANGES:
                assert old in third
                third = third.replace(old, new)
        texts = {"schema.yaml": third, "schemas/v2.yaml": same, "schemas/v1.yaml": kept(numbered(text), contract)}
        plan = write(tmp_path, name, texts)
        seeded = plan.seeds[f"src/{name}/upgrade/v1.py"]
        (tmp_path / f"src/{name}/upgrade/v1.py").write_bytes(seeded)  # v2 is a copy: nothing is asked for
        assert bool(plan.upgrades[1].abstract_methods) == (name in ("shop_x", "fraud_x"))
        (tmp_path / generated_files.MANIFEST).unlink()  # each lies beside the others
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nmypy_path = src\nexplicit_package_bases = true\n"
        "disable_error_code = import-untyped\n[mypy-*.prediction_pb2]\ndisable_error_code = type-arg\n",
        encoding="utf-8",
    )
    run([sys.executable, "-m", "mypy", "src"], cwd=tmp_path)


@contextmanager
def importing(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder / "src"))
    try:
        yield
    finally:
        sys.path.remove(str(folder / "src"))


@st.composite
def changed(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a next version: fields and values of the one before that went, came, or became others."""
    new = copy.deepcopy(schema)
    for enum in new["enums"].values():
        enum["values"] = draw(st.lists(st.sampled_from(random_schemas.WORDS), min_size=1, max_size=4, unique=True))
    bodies = [*new["messages"].values()]
    for method in new["methods"].values():
        bodies += [method["request"], method["response"]]
    for body in bodies:
        fields = []
        for field in body["fields"]:
            fate = draw(st.sampled_from(["same", "same", "same", "gone", "other", "optional", "renamed"]))
            if fate == "other":
                field = {"name": field["name"], **draw(random_schemas.field_of([*new["enums"]], []))}
            elif fate == "optional" and not field.keys() & {"repeated", "key", "oneof"}:
                field = {**field, "required": not field.get("required", True)}
            elif fate == "renamed":
                field = {**field, "name": f"new_{field['name']}", "renamed_from": field["name"]}
            if fate != "gone":
                fields.append(field)
        body["fields"] = fields
    return new


@random_schemas.examples(4)
@given(older=random_schemas.schemas(), data=st.data())
def test_what_is_carried_over_fits_whatever_the_schemas_and_values(
    tmp_path_factory: pytest.TempPathFactory, older: dict[str, Any], data: st.DataObject
) -> None:
    carry_over(tmp_path_factory, older, data)


@pytest.mark.slow
@random_schemas.examples(8)
@given(older=random_schemas.schemas(), data=st.data())
def test_what_is_carried_over_fits_in_more_schemas(
    tmp_path_factory: pytest.TempPathFactory, older: dict[str, Any], data: st.DataObject
) -> None:
    carry_over(tmp_path_factory, older, data)


def carry_over(tmp_path_factory: pytest.TempPathFactory, older: dict[str, Any], data: st.DataObject) -> None:
    """Carries values from a version to the next and back; each fits the contract that it arrives in."""
    package = f"pair{next(counter)}"
    folder = tmp_path_factory.mktemp(package)
    newer = data.draw(changed(older))
    texts = {
        "schema.yaml": json.dumps({"package": f"{package}.v2", **newer}),
        "schemas/v1.yaml": json.dumps({"package": f"{package}.v1", **older}),
    }
    plan = write(folder, package, texts)
    (step,) = plan.upgrades
    with importing(folder):
        served = importlib.import_module(f"{package}.contract.served")
        upgrade = importlib.import_module(f"{package}.upgrade.v1")
    modules = {version: getattr(served, version) for version in ("v1", "v2")}
    for method in step.older.methods:
        other = upgrade_modules.counterpart(step.newer, method)
        assert other is not None
        name = reserved_names.snake(method.name)
        up = (f"{name}_request", step.older, method.request, step.newer, other.request)
        down = (f"{name}_response", step.newer, other.response, step.older, method.response)
        for conversion, source, given_, target, wanted in (up, down):
            value = data.draw(random_schemas.values(source, given_, modules[source.version]))
            convert = getattr(served.FROM_V1, conversion)
            try:
                fits(modules[target.version], target, wanted, convert(value))
            except upgrade.Asked:
                assert step.abstract_methods


def fits(module: ModuleType, contract: Contract, message: Message, value: Any) -> None:
    """Raises InvalidReply where the value breaks the contract."""
    assert contract.message(message.name) is not None
    getattr(module, f"write_{reserved_names.snake(message.name)}")(value, "")
