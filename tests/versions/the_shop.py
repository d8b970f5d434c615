"""A project that lives through three versions of its contract: its schemas, its models, its upgrades."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from serving import Probe
from support import run

V1 = """\
package: shop.v1
status: stable
service: ShopService
enums:
  Colour: {values: [{name: red, number: 1}, {name: green, number: 2}]}
messages:
  Item:
    fields:
      - {name: sku, number: 1, type: string, max_length: 20}
      - {name: amount, number: 2, type: float64, minimum: 0, maximum: 1000}
methods:
  Predict:
    request:
      fields:
        - {name: items, number: 1, type: Item, repeated: true, max_items: 100}
        - {name: colour, number: 2, type: Colour}
        - {name: hint, number: 3, type: string, required: false}
    response:
      fields:
        - {name: total, number: 1, type: float64, minimum: 0}
        - {name: colour, number: 2, type: Colour}
  Count:
    streaming: server
    request:
      fields:
        - {name: until, number: 1, type: int64, minimum: 0, maximum: 1000000, example: 3}
    response:
      fields:
        - {name: index, number: 1, type: int64, minimum: 0}
  Explain:
    request:
      fields:
        - {name: text, number: 1, type: string}
    response:
      fields:
        - {name: text, number: 1, type: string}
"""

MODEL = '''\
"""The model of the shop, as it speaks {version}."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from {package}.contract import {names}

ARTIFACT = Path("artifacts/model.txt")


class Model:
    """Adds up, counts, and explains."""

    def __init__(self, artifact: Path) -> None:
        self.name = artifact.read_text(encoding="utf-8")
{methods}'''

MODEL_V1 = """
    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        for request in batch:
            for index, item in enumerate(request.items):
                if item.amount == 666:
                    raise InvalidRequest("is a bad number", field=f"items[{index}].amount")
        return [
            PredictResponse(total=sum((item.amount for item in request.items), 0.0), colour=request.colour)
            for request in batch
        ]

    def count(self, request: CountRequest) -> Iterator[CountResponse]:
        for index in range(request.until):
            yield CountResponse(index=index)

    def explain(self, batch: Sequence[ExplainRequest]) -> Sequence[ExplainResponse]:
        return [ExplainResponse(text=f"because: {request.text}") for request in batch]
"""

# v2: amounts are whole cents, every request names its currency, there is one more colour, and nothing explains.
TO_V2 = (
    (
        "      - {name: amount, number: 2, type: float64, minimum: 0, maximum: 1000}\n",
        "      - {name: cents, number: 3, type: int64, minimum: 0, maximum: 100000}\n",
    ),
    ("{name: green, number: 2}", "{name: green, number: 2}, {name: blue, number: 3}"),
    (
        "        - {name: hint, number: 3, type: string, required: false}\n",
        "        - {name: currency, number: 4, type: string, min_length: 3, max_length: 3, example: EUR}\n",
    ),
    (
        "        - {name: total, number: 1, type: float64, minimum: 0}\n",
        "        - {name: total, number: 3, type: int64}\n",
    ),
    (V1[V1.index("  Explain:") :], ""),
)

MODEL_V2 = '''
    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        for request in batch:
            for index, item in enumerate(request.items):
                if item.cents == 66600:
                    raise InvalidRequest("is a bad number", field=f"items[{index}].cents")
                if item.sku == "wrong colour":
                    return [PredictResponse(total=1, colour=Colour.BLUE) for _ in batch]
                if item.sku == "foreign":
                    raise InvalidRequest("is not sold for", field="currency")
        return [
            PredictResponse(total=sum(item.cents for item in request.items), colour=request.colour) for request in batch
        ]

    def count(self, request: CountRequest) -> Iterator[CountResponse]:
        for index in range(request.until):
            yield CountResponse(index=index)

    def explain_v1(self, text: str) -> str:
        """Kept for callers of v1."""
        return f"because: {text}"
'''

UPGRADE_V1 = '''\
"""How callers of v1 are answered by a model that speaks v2."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, final

from ..contract import v1, v2
from ..contract.v1_to_v2 import Carried

if TYPE_CHECKING:
    from ..model import Model


@final
class Upgrade(Carried):
    """v1's requests as v2's, v2's replies as v1's."""

    renamed: ClassVar[Mapping[str, str]] = {"items.cents": "items.amount"}

    def item_to_v2_cents(self, value: v1.Item) -> int:
        return round(value.amount * 100)

    def predict_request_currency(self, request: v1.PredictRequest) -> str:
        return "EUR"

    def predict_response_total(self, response: v2.PredictResponse) -> float:
        return response.total / 100

    def colour_to_v1_else(self, value: v2.Colour) -> v1.Colour:
        return v1.Colour.GREEN

    def explain(self, model: "Model", batch: Sequence[v1.ExplainRequest]) -> Sequence[v1.ExplainResponse]:
        return [v1.ExplainResponse(text=model.explain_v1(request.text)) for request in batch]
'''

# v3: the stream has another name for its end, and takes fewer at once.
TO_V3 = (
    (
        "        - {name: until, number: 1, type: int64, minimum: 0, maximum: 1000000, example: 3}\n",
        "        - {name: limit, number: 2, type: int32, minimum: 0, maximum: 1000, example: 3, renamed_from: until}\n",
    ),
)

MODEL_V3 = MODEL_V2.replace("request.until", "request.limit")

UPGRADE_V2 = '''\
"""How callers of v2 are answered by a model that speaks v3."""

from typing import final

from .. import contract
from ..contract import v2
from ..contract.v2_to_v3 import Carried


@final
class Upgrade(Carried):
    """v2's requests as v3's, v3's replies as v2's."""

    def count_request_limit(self, request: v2.CountRequest) -> int:
        if request.until > 1000:
            raise contract.InvalidRequest("is more than 1000, the most since v3", field="until")
        return request.until
'''


def model(version: str, methods: str, names: str) -> str:
    """The text of model.py."""
    return MODEL.format(version=version, package="shop", names=names, methods=methods)


@dataclass(frozen=True)
class Shop(Probe):
    """The project, and the folder with the stubs of v1 alone."""

    stubs: Path = Path()

    @property
    def schema(self) -> Path:
        return self.path / "schema.yaml"

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=T", "-c", "user.email=t@e", "-c", "commit.gpgsign=false"]
        return run(["git", *identity, *arguments], cwd=self.path).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a step")

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def edit(self, *edits: tuple[str, str]) -> None:
        """Replaces texts of schema.yaml that are there once."""
        text = self.schema.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.schema.write_text(text, encoding="utf-8")

    def content(self) -> dict[str, bytes]:
        """All files but git's, by their paths."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        names = {path.relative_to(self.path).as_posix(): path for path in files}
        skipped = (".git/", ".mypy_cache/", ".ruff_cache/", ".pytest_cache/")
        return {
            name: path.read_bytes()
            for name, path in names.items()
            if not name.startswith(skipped) and "__pycache__" not in name
        }

    def copy(self, folder: Path) -> Shop:
        shutil.copytree(self.path, folder)
        return Shop(folder, self.package, stubs=self.stubs)
