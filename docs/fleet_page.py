"""Makes docs/fleet-page.png: the page of `protoserve fleet status --format html`, of an invented fleet.

python docs/fleet_page.py        (with `pip install -e '.[dev]'` and Chromium; takes seconds)
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from fleet.chromium import browser  # noqa: E402
from fleet.reports import EXCEPTION, PORT, ROWS, UNREACHABLE, diff_of, report, row  # noqa: E402
from protoserve.fleet.page import render  # noqa: E402
from protoserve.policy import Violation  # noqa: E402

OWNERS = ("risk", "growth", "pricing", "logistics")
MODELS = "fraud churn claims credit demand eta forecast ltv pricing ranking returns routing search stock uplift".split()
VERSIONS = {"v2.4.0": 60, "v2.3.1": 24, "v2.2.0": 11, "v1.9.0": 5}
EDITS = {
    "Dockerfile": 26,
    ".github/workflows/ci.yml": 19,
    "pyproject.toml": 16,
    "README.md": 14,
    "Makefile": 9,
    "src/{package}/server/logs.py": 6,
    ".pre-commit-config.yaml": 4,
    "tests/test_smoke.py": 3,
}
DOCKERFILE = "Dockerfile must be as the template has it, and it is edited"
UNEDITED = Violation("files.unedited", "Dockerfile", DOCKERFILE, "the base image is audited", "undo it")
FRAMEWORK = "framework must be python or sklearn, not xgboost"
ON_CALL = Violation("answers.framework", "framework", FRAMEWORK, "other frameworks have no on-call team", "change it")


def main() -> int:
    chance = random.Random(17)
    projects = [project(chance, owner, model) for model in MODELS for owner in OWNERS]
    with tempfile.TemporaryDirectory() as folder, browser() as page:
        file = Path(folder, "fleet.html")
        file.write_text(render(report(projects), "1 December 2026, 08:00 UTC"), encoding="utf-8")
        page.emulate(width=1280, height=1560)
        page.open(file)
        picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(96).save(HERE / "fleet-page.png", optimize=True)
    return 0


def project(chance: random.Random, owner: str, model: str) -> dict[str, Any]:
    """A project with chances of being behind, edited, or not allowed, like those of projects that people have."""

    def happens(per_cent: int) -> bool:
        return chance.random() * 100 < per_cent

    data: dict[str, Any] = {"project": f"https://git.example/{owner}/{model}.git", "owner": owner, "version": ""}
    if happens(3):
        return {**data, "verdict": "unknown", "rows": [row("repository", "unknown", UNREACHABLE)]}
    version = chance.choices([*VERSIONS], [*VERSIONS.values()])[0]
    edited = [name for name, per_cent in EDITS.items() if happens(per_cent)]
    files = {"edited": edited, "deleted": [], "unchanged": [name for name in EDITS if name not in edited]}
    allowed = {PORT: not happens(7), ON_CALL: not happens(6), UNEDITED: "Dockerfile" not in edited or not happens(40)}
    violations = [violation for violation, kept in allowed.items() if not kept]
    policy = {"violations": [violation.line for violation in violations]}
    if happens(3):
        policy["excepted"] = [f"{PORT.where}: {replace(PORT, exception=EXCEPTION).sentence}"]
    states = dict.fromkeys(ROWS, "ok") | {"files": "edited" if edited else "ok"}
    states |= {name: "todo" for name in ("answers", "generated", "conflicts", "contract") if happens(4)}
    states |= {
        "template": "ok" if version == next(iter(VERSIONS)) else "todo",
        "policy": "todo" if violations else "ok",
    }
    details = {"files": files, "policy": policy}
    rows = [row(name, state, "", details.get(name)) for name, state in states.items()]
    verdict = "todo" if "todo" in states.values() else "ok"
    labels = ["eu"] if happens(40) else []
    diff = "".join(diff_of(name, 1) for name in edited)
    return {**data, "verdict": verdict, "version": version, "labels": labels, "rows": rows, "diff": diff}


if __name__ == "__main__":
    raise SystemExit(main())
