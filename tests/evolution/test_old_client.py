"""A client of the first version of a stable contract, and the server of its tenth compatible one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from evolution.work import Work
from serving import Probe, serving
from support import create, run

FIRST = """\
package: rent.v1
status: stable
service: RentService
enums:
  District: {values: [{name: centre, number: 1}, {name: north, number: 2}]}
  Grade: {values: [{name: low, number: 1}, {name: high, number: 2}]}
messages:
  Room:
    fields:
      - {name: area, number: 1, type: float64, minimum: 1, maximum: 100}
      - {name: note, number: 2, type: string, required: false, max_length: 20}
methods:
  Predict:
    request:
      fields:
        - {name: rooms, number: 1, type: Room, repeated: true, max_items: 5}
        - {name: district, number: 2, type: District}
        - {name: floor, number: 3, type: int8}
        - {name: card, number: 4, type: string, oneof: payer}
        - {name: account, number: 5, type: int64, oneof: payer}
        - {name: years, number: 6, type: int32}
    response:
      fields:
        - {name: rent, number: 1, type: float64, minimum: 0}
        - {name: grade, number: 2, type: Grade}
        - {name: parts, number: 3, key: string, value: float64}
  Explain:
    streaming: server
    request: {fields: [{name: rent, number: 1, type: float64}]}
    response: {fields: [{name: text, number: 1, type: string, max_length: 100}]}
"""
ROOM = "      - {name: note, number: 2, type: string, required: false, max_length: 20}\n"
YEARS = "        - {name: years, number: 6, type: int32}\n"
PARTS = "        - {name: parts, number: 3, key: string, value: float64}\n"
# Nine versions after the first, each by an edit that breaks nobody.
# ruff: noqa: E501
EDITS = [
    (ROOM, f"{ROOM}      - {{name: balcony, number: 3, type: bool, default: false}}\n"),
    (PARTS, f"{PARTS}        - {{name: currency, number: 4, type: string}}\n"),
    ("{name: north, number: 2}]", "{name: north, number: 2}, {name: south, number: 3}]"),
    ("maximum: 100}", "maximum: 500, unit: m2}"),
    ("number: 3, type: int8}", "number: 3, type: int16}"),
    ("{name: rent, number: 1, type: float64, minimum: 0}", "{name: rent, number: 1, type: float64, minimum: 0, maximum: 1e6}"),
    (YEARS, "        - {name: years, number: 6, type: int32, required: false, deprecated: true}\n"),
    ("oneof: payer}\n        - {name: years", "oneof: payer}\n        - {name: voucher, number: 7, type: string, oneof: payer}\n        - {name: years"),
    ("max_length: 100}", "min_length: 1, max_length: 80}, {name: index, number: 2, type: int32}"),
]  # fmt: skip

MODEL = '''\
"""Of the tenth version."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rent.contract import District, ExplainRequest, ExplainResponse, Grade, PredictRequest, PredictResponse

ARTIFACT = Path("artifacts/model.txt")


class Model:
    def __init__(self, artifact: Path) -> None:
        pass

    def predict(self, batch: Sequence[PredictRequest], /) -> Sequence[PredictResponse]:
        return [self.one(request) for request in batch]

    def one(self, request: PredictRequest) -> PredictResponse:
        parts = {f"room {index}": room.area * (12 if room.balcony else 10) for index, room in enumerate(request.rooms)}
        parts["district"] = 100.0 if request.district is District.NORTH else 0.0
        parts["floor"], parts["years"] = float(request.floor), float(request.years or 0)
        parts["account"] = float(request.account or 0)
        return PredictResponse(rent=500.0, grade=Grade.HIGH, parts=parts, currency="EUR")

    def explain(self, request: ExplainRequest, /) -> Iterator[ExplainResponse]:
        for index in range(3):
            yield ExplainResponse(text=f"{index} of {request.rent}", index=index)
'''


def test_the_first_client_and_the_tenth_server(template: Path, tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(FIRST, encoding="utf-8")
    answers = {"project_name": "Rent", "package": "rent", "framework": "python"}
    project = create(template, tmp_path / "rent", schema=str(tmp_path / "first.yaml"), **answers)
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    out = [f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    run(
        [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", *out, "proto/rent/v1/prediction.proto"], cwd=project.path
    )

    work = Work(project.path, project.path)
    work.git("init", "--quiet")
    work.commit("version 1")
    for number, edit in enumerate(EDITS, 2):
        work.edit(edit)
        assert work.run("diff", "--stable-only") == 0, edit
        work.commit(f"version {number}")
    assert work.run("diff", "HEAD~9") == 0
    assert work.git("rev-list", "--count", "HEAD") == "10"
    assert work.generate() == 0

    (work.path / "src/rent/model.py").write_text(MODEL, encoding="utf-8")
    (work.path / "artifacts/model.txt").write_text("plain\n", encoding="utf-8")
    project.python(
        "-c",
        "from pathlib import Path; from rent.server.artifact import seal; seal(Path('artifacts/model.txt'), 'numpy')",
    )
    with serving(Probe(project.path, "rent")) as server:
        client = Path(__file__).with_name("old_client.py")
        done = run([sys.executable, client, stubs, f"127.0.0.1:{server.port}"], cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said.pop("knows") == ["account", "card", "district", "floor", "rooms", "years"]
    assert said == {
        "predict": {
            "rent": 500.0,
            "grade": "GRADE_HIGH",
            "parts": {
                "room 0": 205.0,
                "room 1": 40.0,
                "district": 100.0,
                "floor": -1.0,
                "years": 3.0,
                "account": 2.0**40,
            },
        },
        "grade": "GRADE_HIGH",
        "explain": [{"text": f"{index} of 500.0"} for index in range(3)],
        "wrong": [
            ["rooms[0].area", "must be from 1 to 500; got 0.0"],
            ["payer", "one of card, account, voucher is required"],
        ],
    }
