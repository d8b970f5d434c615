"""The author's first files, rendered for a contract and a framework."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from protoserve.emit.formatting import format_python
from protoserve.emit.python_templates import jinja_environment
from protoserve.schema.model import Contract
from protoserve.schema.types import Kind
from protoserve.seeds.example_methods import ExampleMethod, example_methods, names
from protoserve.seeds.frameworks import FOLDER, Framework

# Functions at the end of base_model.py.jinja, each rendered where a method's code calls it.
_HELPERS = {"words", "image", "statistics", "finite", "scale"}
DATA = "data/examples.csv"
_SEVERAL_MODELS = "models.zip"
_MODEL_REQUIREMENTS = "# What your model needs at run time, one requirement a line; then `make lock`.\n"
_TRAIN_REQUIREMENTS = "# What only train.py needs, one requirement a line; then `make setup`. It is not in the image.\n"


def first_files(
    contract: Contract, package: str, framework: Framework, data: str | None, *, async_streams: bool = False
) -> dict[str, str]:
    """The text of each file that belongs to the author from the start, by its path in the project.

    `data` is the text of a CSV file with a column for each field of the request and one for the label; without it
    train.py makes up its data. With `async_streams`, methods that stream are async generators.
    """
    methods = example_methods(contract, framework)
    helpers = names(*(part for method in methods for part in (*method.row, method.reply))) & _HELPERS
    packed = bool(framework.one_file_per) and sum(len(method.files) for method in methods) > 1
    values = {
        "package": package,
        "methods": methods,
        "alone": len(methods) == 1,
        "packed": packed,
        "helpers": helpers,
        "async_streams": async_streams,
        "artifact": _SEVERAL_MODELS if packed else framework.artifact,
        "distribution": framework.distribution,
        "contract_names": ", ".join(_contract_names(contract)),
        "data": DATA if data is not None else "",
        "parsed": _parsed_columns(methods[0]) if data is not None else "",
    }
    templates = {
        f"src/{package}/model.py": f"{framework.name}/model.py.jinja",
        "train.py": f"{framework.name}/train.py.jinja",
        "tests/test_model.py": "test_model.py.jinja",
    }
    environment = jinja_environment(FOLDER)
    files = _formatted(
        {path: environment.get_template(template).render(values) for path, template in templates.items()},
        {package, contract.folder.split("/")[0]},
    )
    model_requirements = [*framework.requirements, *(["pillow>=12"] if "image" in helpers else [])]
    files["requirements/model.txt"] = _MODEL_REQUIREMENTS + _lines(model_requirements)
    files["requirements/train.txt"] = _TRAIN_REQUIREMENTS + _lines(framework.train_requirements)
    if data is not None:
        files[DATA] = data
    return files


def _contract_names(contract: Contract) -> Iterator[str]:
    """Everything that a seed may import from the contract; the formatter takes out what it does not use."""
    yield from ("METHODS", "InvalidRequest")
    yield from (message.name for message in contract.all_messages())
    yield from (enum.name for enum in contract.enums)


def _parsed_columns(method: ExampleMethod) -> str:
    """The arguments that make a request from `row`, a row of a preset's CSV file."""
    parsers = {Kind.FLOAT: "float({})", Kind.INT: "int({})"}
    arguments = []
    for field in method.method.request.fields:
        kind = field.scalar.kind if field.scalar is not None else Kind.STRING
        column = f'row["{field.name}"]'
        arguments.append(f"{field.attribute}={parsers.get(kind, '{}').format(column)}")
    return ", ".join(arguments)


def _lines(requirements: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in requirements)


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
