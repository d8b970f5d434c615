"""The frameworks: one folder each, with the seeds of model.py and train.py, requirements and artifact format."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from protoserve.emit.formatting import format_python
from protoserve.schema.model import Contract, Field, Message
from protoserve.seeds import datasets, features, packing, responses
from protoserve.seeds.identifiers import Seeded, seeded
from protoserve.seeds.synthetic import Synthetic

_HERE = Path(__file__).parent
_SEVERAL = "models.zip"
_MODEL_REQUIREMENTS = "# What your model needs at run time, one requirement a line; then `make lock`.\n"
_TRAIN_REQUIREMENTS = "# What only train.py needs, one requirement a line; then `make setup`. It is not in the image.\n"


@dataclass(frozen=True, slots=True)
class Framework:
    """What `framework.toml` says: `distribution` is the PyPI name whose version goes with an artifact.

    `one_file_per` is "method" or "output" where a file of the framework's format holds just one model, else "".
    """

    name: str
    title: str
    distribution: str
    artifact: str
    requirements: tuple[str, ...]
    train_requirements: tuple[str, ...]
    one_file_per: str

    def files(self, item: Seeded) -> tuple[str, ...]:
        """What the files of one method's model are called, without their suffix."""
        if self.one_file_per != "output" or item.classify or item.outputs == 1:
            return (item.attribute,)
        return tuple(f"{item.attribute}_{index}" for index in range(item.outputs))


def frameworks() -> tuple[str, ...]:
    """The names of all frameworks."""
    return tuple(sorted(path.parent.name for path in _HERE.glob("*/framework.toml")))


def load(name: str) -> Framework:
    """One framework; raises KeyError for a name that is none."""
    path = _HERE / name / "framework.toml"
    if name not in frameworks():
        raise KeyError(name)
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    return Framework(
        name,
        said["title"],
        said["distribution"],
        said["artifact"],
        tuple(said["requirements"]),
        tuple(said.get("train_requirements", ())),
        said.get("one_file_per", ""),
    )


def seeds(contract: Contract, package: str, framework: Framework, data: str | None) -> dict[str, str]:
    """The files that are the author's from the start, by their path in the project.

    `data` is the text of a CSV file with a column for each field of the request and one for the label; without it
    train.py draws synthetic requests.
    """
    methods = [replace(item, outputs=_outputs(contract, item)) for item in seeded(contract)]
    methods = [replace(item, files=framework.files(item)) for item in methods]
    packed = bool(framework.one_file_per) and sum(len(item.files) for item in methods) > 1
    common = {
        "package": package,
        "methods": methods,
        "alone": len(methods) == 1,
        "packed": packed,
        "artifact": _SEVERAL if packed else framework.artifact,
        "distribution": framework.distribution,
        "contract_names": _contract_names(contract),
    }
    model, train = f"{framework.name}/model.py.jinja", f"{framework.name}/train.py.jinja"
    files = {
        f"src/{package}/model.py": _render(model, **common, **_model(contract, methods, packed=packed)),
        "train.py": _render(train, **common, **_train(contract, methods, packed=packed, has_data=data is not None)),
        "tests/test_model.py": _render("test_model.py.jinja", package=package),
    }
    files = _formatted(files, {package, contract.folder.split("/")[0]})
    files["requirements/model.txt"] = _MODEL_REQUIREMENTS + _lines([*framework.requirements, *_decoders(contract)])
    files["requirements/train.txt"] = _TRAIN_REQUIREMENTS + _lines(framework.train_requirements)
    if data is not None:
        files[datasets.PATH] = data
    return files


def _render(name: str, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values)


def _decoders(contract: Contract) -> list[str]:
    """What the example model needs to read the files that a request may hold."""
    fields = (field for method in contract.methods for field in _reachable(contract, method.request, set()))
    return ["pillow>=12"] if any(features.is_image(field) for field in fields) else []


def _reachable(contract: Contract, message: Message, seen: set[str]) -> Iterator[Field]:
    seen.add(message.name)
    for field in message.fields:
        yield field
        inner = contract.message(field.type)
        if inner is not None and inner.name not in seen:
            yield from _reachable(contract, inner, seen)


def _lines(requirements: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in requirements)


def _model(contract: Contract, methods: list[Seeded], *, packed: bool) -> dict[str, object]:
    """What only the seed of model.py needs."""
    rows, replies = features.Features(contract), responses.Responses(contract)
    for item in methods:
        rows.add(item)
        replies.add(item)
    functions = [packing.UNPACK] if packed else []
    functions += [*rows.functions.values(), *replies.functions.values()]
    functions += [features.HELPERS[name] for name in sorted(rows.helpers)]
    functions += [responses.HELPERS[name] for name in sorted(replies.helpers)]
    imports = ["import io", "import zipfile", "import zlib", "from collections.abc import Iterator, Sequence"]
    imports += ["from datetime import UTC, datetime, timedelta", "from pathlib import Path"]
    imports += ["from typing import Any, TypeVar\n", "import numpy as np", "from numpy.typing import NDArray"]
    imports += ["from PIL import Image"]
    if "pick" in replies.helpers:
        functions.append('E = TypeVar("E")\n')
    return {"imports": "\n".join(imports), "functions": "\n\n".join(_helpers_last(functions))}


def _helpers_last(functions: Iterable[str]) -> list[str]:
    """Type variables first, then functions in the order in which a reader meets them."""
    return sorted(functions, key=lambda text: text.startswith("def "))


def _train(contract: Contract, methods: list[Seeded], *, packed: bool, has_data: bool) -> dict[str, object]:
    """What only the seed of train.py needs."""
    synthetic = Synthetic(contract)
    functions = [packing.PACK] if packed else []
    for item in methods:
        if has_data:
            functions.append(datasets.from_csv(contract, item))
        else:
            synthetic.add(item.method.request, item.random)
            functions.append(datasets.drawn(item))
    imports = ["import csv", "import io", "import zipfile", "from collections.abc import Mapping"]
    imports += ["from datetime import UTC, datetime, timedelta", "from pathlib import Path", "from typing import Any\n"]
    imports += ["import numpy as np", "from numpy.typing import NDArray", "from PIL import Image"]
    return {
        "data": datasets.PATH if has_data else "",
        "imports": "\n".join(imports),
        "model_names": ", ".join(item.features for item in methods),
        "functions": "\n\n".join([*functions, *synthetic.functions.values()]),
    }


def _outputs(contract: Contract, item: Seeded) -> int:
    """How many numbers the model of one method gives for a row."""
    replies = responses.Responses(contract)
    replies.add(item)
    return replies.outputs[item.attribute]


def _contract_names(contract: Contract) -> str:
    """Everything a seed may need of the contract; what it does not use, the formatter takes out again."""
    names = [*(message.name for message in contract.all_messages()), *(enum.name for enum in contract.enums)]
    return ", ".join([*names, "InvalidRequest"])


def _formatted(files: dict[str, str], first_party: set[str]) -> dict[str, str]:
    """The files without unused imports and as `ruff format` leaves them."""
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        root = Path(temporary)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        format_python(root, first_party)
        return {name: (root / name).read_text(encoding="utf-8") for name in files}
