"""The frameworks: one folder each, with the seeds of model.py and train.py, requirements and artifact format."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from protoserve.codegen.formatting import format_python
from protoserve.contract.model import Contract
from protoserve.frameworks import datasets, features, responses
from protoserve.frameworks.naming import Seeded, seeded
from protoserve.frameworks.synthetic import Synthetic

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Framework:
    """What `framework.toml` says: `distribution` is the PyPI name whose version goes with an artifact."""

    name: str
    title: str
    distribution: str
    artifact: str
    requirements: tuple[str, ...]


def frameworks() -> tuple[str, ...]:
    """The names of all frameworks."""
    return tuple(sorted(path.parent.name for path in _HERE.glob("*/framework.toml")))


def load(name: str) -> Framework:
    """One framework; raises KeyError for a name that is none."""
    path = _HERE / name / "framework.toml"
    if name not in frameworks():
        raise KeyError(name)
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    return Framework(name, said["title"], said["distribution"], said["artifact"], tuple(said["requirements"]))


def seeds(contract: Contract, package: str, framework: Framework, data: str | None) -> dict[str, str]:
    """The files that are the author's from the start, by their path in the project.

    `data` is the text of a CSV file with a column for each field of the request and one for the label; without it
    train.py draws synthetic requests.
    """
    methods = seeded(contract)
    files = {
        f"src/{package}/model.py": _model(contract, package, framework, methods),
        "train.py": _train(contract, package, framework, methods, data is not None),
        "tests/test_model.py": _environment().get_template("test_model.py.jinja").render(package=package),
    }
    files = _formatted(files, {package, contract.package.split(".")[0]})
    files["requirements/model.txt"] = _requirements(framework)
    if data is not None:
        files[datasets.PATH] = data
    return files


def _environment() -> Environment:
    loader = FileSystemLoader(_HERE)
    return Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


def _requirements(framework: Framework) -> str:
    head = "# What your model needs at run time, one requirement a line; then `make lock`.\n"
    return head + "".join(f"{line}\n" for line in framework.requirements)


def _model(contract: Contract, package: str, framework: Framework, methods: list[Seeded]) -> str:
    rows, replies = features.Features(contract), responses.Responses(contract)
    for item in methods:
        rows.add(item.method.request, item.features)
        replies.add(item)
    functions = [*rows.functions.values(), *replies.functions.values()]
    functions += [features.HELPERS[name] for name in sorted(rows.helpers)]
    functions += [responses.HELPERS[name] for name in sorted(replies.helpers)]
    imports = ["import zlib", "from collections.abc import Iterator, Sequence"]
    imports += ["from datetime import UTC, datetime, timedelta", "from pathlib import Path"]
    imports += ["from typing import Any, TypeVar\n", "import numpy as np", "from numpy.typing import NDArray"]
    if "pick" in replies.helpers:
        functions.append('E = TypeVar("E")\n')
    template = _environment().get_template(f"{framework.name}/model.py.jinja")
    return template.render(
        package=package,
        artifact=framework.artifact,
        methods=methods,
        imports="\n".join(imports),
        contract_names=_contract_names(contract),
        functions="\n\n".join(_helpers_last(functions)),
    )


def _helpers_last(functions: Iterable[str]) -> list[str]:
    """Type variables first, then functions in the order in which a reader meets them."""
    return sorted(functions, key=lambda text: text.startswith("def "))


def _train(contract: Contract, package: str, framework: Framework, methods: list[Seeded], has_data: bool) -> str:
    synthetic = Synthetic(contract)
    functions = []
    for item in methods:
        if has_data:
            functions.append(datasets.from_csv(contract, item))
        else:
            synthetic.add(item.method.request, item.random)
            functions.append(datasets.drawn(contract, item, responses_of(contract, item)))
    imports = ["import csv", "from datetime import UTC, datetime, timedelta", "from typing import Any\n"]
    imports += ["import numpy as np", "from numpy.typing import NDArray"]
    template = _environment().get_template(f"{framework.name}/train.py.jinja")
    return template.render(
        package=package,
        distribution=framework.distribution,
        methods=methods,
        data=datasets.PATH if has_data else "",
        any_classify=any(item.classify for item in methods),
        any_regress=any(not item.classify for item in methods),
        any_synthetic=not has_data,
        imports="\n".join(imports),
        contract_names=_contract_names(contract),
        model_names=", ".join(item.features for item in methods),
        functions="\n\n".join([*functions, *synthetic.functions.values()]),
    )


def responses_of(contract: Contract, item: Seeded) -> int:
    """How many outputs the model of one method has."""
    replies = responses.Responses(contract)
    replies.add(item)
    return replies.outputs[item.attribute]


def _contract_names(contract: Contract) -> str:
    """Everything a seed may need of the contract; what it does not use, the formatter takes out again."""
    return ", ".join([message.name for message in contract.all_messages()] + [enum.name for enum in contract.enums])


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
