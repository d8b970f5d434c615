"""One method as the templates of model.py and train.py see it: names, expressions and the model's outputs."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from protoserve.schema.model import Contract, Enum, Field, Method
from protoserve.schema.types import Kind
from protoserve.seeds.feature_code import request_row
from protoserve.seeds.frameworks import Framework
from protoserve.seeds.reply_code import ReplyCode, at_end_of_stream, value_range


@dataclass(frozen=True, slots=True)
class ExampleMethod:
    """The example model's part in one method.

    `features` and `response` name its functions in model.py, `row` and `reply` are what these return. The row may hold
    `getter`, a constant that reads the attributes `columns` of a wide request at once. The model gives
    `outputs` numbers for a row. `classes` is the enum whose values it classifies into, None where it gives numbers.
    `files` are the names of its model files in the artifact, without suffix.
    """

    method: Method
    attribute: str
    features: str
    response: str
    row: tuple[str, ...]
    getter: str
    columns: tuple[str, ...]
    reply: str
    outputs: int
    classes: Enum | None
    label: Field | None
    files: tuple[str, ...]

    @property
    def classify(self) -> bool:
        return self.classes is not None

    @property
    def slice(self) -> str:
        """Which of the request's fields the `columns` are, as a slice; empty if all are."""
        names = [field.attribute for field in self.method.request.fields]
        if len(names) == len(self.columns):
            return ""
        start = names.index(self.columns[0])
        return f"[{start}:{start + len(self.columns)}]"

    @property
    def reads_request(self) -> bool:
        """Whether the reply's size depends on the request."""
        return "request" in names(self.reply)

    @property
    def reads_outputs(self) -> bool:
        """Whether the reply holds anything that the model gave."""
        return "outputs" in names(self.reply)

    @property
    def has_end(self) -> bool:
        """Whether the last reply of the stream has fields that the others lack."""
        return any(at_end_of_stream(self.method, field) for field in self.method.response.fields)


def names(*expressions: str) -> set[str]:
    """The names that Python expressions use; what stands in their literals is none."""
    tree = ast.parse(f"[{', '.join(expressions)}]")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def example_methods(contract: Contract, framework: Framework) -> list[ExampleMethod]:
    """The methods of a contract; their functions have plain names where there is a single method."""
    return [_example(contract, framework, method) for method in contract.served_methods]


def _example(contract: Contract, framework: Framework, method: Method) -> ExampleMethod:
    attribute = method.attribute
    prefix = "" if len(contract.served_methods) == 1 else f"{attribute}_"
    label: Field | None = None
    enum: Enum | None = None
    classification = _classification(contract, method)
    if classification is not None:
        label, scores, enum = classification
        best = f"list({enum.name})[int(outputs.argmax())]"
        reply = f"{method.response.name}({label.attribute}={best}, {scores.attribute}=outputs)"
        outputs = len(enum.members)
    else:
        code = ReplyCode(contract, method)
        reply, outputs = code.expression, code.count
    files: tuple[str, ...] = (attribute,)
    if framework.one_file_per == "output" and enum is None and outputs > 1:
        files = tuple(f"{attribute}_{output}" for output in range(outputs))
    getter = "COLUMNS" if not prefix else f"{attribute.upper()}_COLUMNS"
    row, columns = request_row(contract, method.request, getter)
    return ExampleMethod(
        method=method,
        attribute=attribute,
        features=f"{prefix}features",
        response=f"{prefix}response",
        row=row or ("0.0",),
        getter=getter,
        columns=columns,
        reply=reply,
        outputs=outputs,
        classes=enum,
        label=label,
        files=files,
    )


def _classification(contract: Contract, method: Method) -> tuple[Field, Field, Enum] | None:
    """The label, the scores and the enum of a reply that is one enum and a probability for each of its values."""
    fields = method.response.fields
    labels = [field for field in fields if contract.enum(field.type) and not (field.repeated or field.is_map)]
    arrays = [field for field in fields if field.shape is not None and field.scalar and field.scalar.kind is Kind.FLOAT]
    if method.streaming or len(fields) != 2 or len(labels) != 1 or len(arrays) != 1 or any(f.oneof for f in fields):
        return None
    (label,), (scores,) = labels, arrays
    enum = contract.enum(label.type)
    if enum is None or len(enum.members) < 2 or scores.shape != (len(enum.members),) or value_range(scores) != (0, 1):
        return None
    return label, scores, enum
