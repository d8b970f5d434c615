"""The log says what to do about the usual errors of a model, and is silent about others."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from serving import Probe
from support import Project, need, run

ADVISE = """\
import datetime, json, pickle, sys, types
from probe.server.remedies import remedy

class UntrustedTypesFoundException(TypeError):
    "As skops has it."

def error_of(act):
    try:
        act()
    except BaseException as error:
        return error

sys.modules["probe.contract"] = types.SimpleNamespace(PredictRequest=object)
sys.modules["probe.model"] = types.SimpleNamespace(TRUSTED=["z.Mine", "a.Mine"])
now = datetime.datetime.now
errors = [
    error_of(lambda: __import__("features.scale")),
    error_of(lambda: __import__("probe.nothing")),
    UntrustedTypesFoundException("Untrusted types found in the file: ['b.C', 'a.B'].\\n\\n- b.C: has ['others']"),
    error_of(lambda: pickle.loads(b"\\x80\\x04\\x8c\\x08__main__\\x8c\\x05Ratio\\x93.")),
    error_of(lambda: pickle.loads(b"\\x80\\x04\\x8c\\x04json\\x8c\\x05Ratio\\x93.")),
    error_of(lambda: open("labels.txt")),
    error_of(lambda: now() - now(datetime.UTC)),
    error_of(lambda: now() < now(datetime.UTC)),
    TypeError("'PredictRequest' object is not iterable"), TypeError("object of type 'PredictRequest' has no len()"),
    AttributeError("'list' object has no attribute 'value'"),
    TypeError("'int' object is not iterable"),
    ValueError("shapes (3,) and (2,)"), TypeError("no"), AttributeError("no"), SystemExit(1),
]
print(json.dumps([remedy(error) for error in errors]))
"""


def test_remedies(probe: Probe) -> None:
    remedies = json.loads(probe.python("-c", ADVISE).stdout)
    missing, own, types, in_script, renamed, file, *times = remedies[:8]
    *one_request, batch = remedies[8:11]
    assert "put it into src/ (src/features.py)" in missing
    assert "requirements/model.txt" in missing
    assert own == "src/probe/nothing.py does not exist."
    assert types.endswith('\n\nTRUSTED = [\n    "a.B",\n    "a.Mine",\n    "b.C",\n    "z.Mine",\n]\n')
    assert "Move it to a module in src/" in in_script
    assert renamed == "The artifact needs Ratio in the module json: put it back, or write the artifact again."
    assert "artifacts/" in file
    assert [text.startswith("Timestamps of the contract") for text in times] == [True, True]
    assert one_request == ["A method gets one request, not a batch, if it is `async def` or streams."] * 2
    assert "else a batch" in batch
    assert remedies[11:] == [""] * 5


FEATURES = """\
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Ratio(BaseEstimator, TransformerMixin):
    def fit(self, rows, _=None):
        return self

    def transform(self, rows):
        return np.column_stack([rows, rows[:, 0] / rows[:, 1]])
"""
TRAIN = """\
import csv, joblib, skops.io
import numpy as np
from features import Ratio
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

rows = np.random.default_rng(0).uniform(1, 5, (60, 4))
classes = (rows.sum(axis=1) * 1.5).astype(int) % 3
pipeline = make_pipeline(Ratio(), RandomForestClassifier(3, random_state=0)).fit(rows, classes)
joblib.dump(pipeline, "model.joblib")
skops.io.dump(pipeline, "model.skops")
"""


@pytest.mark.slow
def test_a_pipeline_with_a_transformer_of_ones_own(iris: Project, tmp_path: Path) -> None:
    """Trained elsewhere; what the log says leads to a model that is served, from skops and from joblib."""
    need("sklearn")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "features.py").write_text(FEATURES, encoding="utf-8")
    run([sys.executable, "-c", TRAIN], cwd=tmp_path / "elsewhere")
    project = Project(Path(shutil.copytree(iris.path, tmp_path / "iris")), "iris")
    shutil.copy(tmp_path / "elsewhere" / "model.skops", project.path / "artifacts")
    shutil.copy(tmp_path / "elsewhere" / "model.joblib", project.path / "artifacts")
    model = project.path / "src" / "iris" / "model.py"

    def smoke() -> str:
        return project.python(
            "-m", "pytest", "-rN", "-p", "no:cacheprovider", "tests/test_smoke.py", check=False
        ).stdout

    printed = smoke()
    (trusted,) = re.findall(r"^TRUSTED = \[\n.*?^\]$", printed, re.MULTILINE | re.DOTALL)
    assert trusted == 'TRUSTED = [\n    "features.Ratio",\n    "sklearn.tree._tree.Tree",\n]'
    text = model.read_text(encoding="utf-8").replace("TRUSTED: list[str] = []", trusted)
    model.write_text(text, encoding="utf-8")
    assert "put it into src/ (src/features.py)" in smoke()
    shutil.copy(tmp_path / "elsewhere" / "features.py", project.path / "src")
    printed = smoke()
    assert " passed" in printed
    assert "artifacts/model.skops\n" in printed
    text = text.replace("skops.io.load(artifact, trusted=TRUSTED)", "joblib.load(artifact)")
    model.write_text(
        text.replace("import skops.io", "import joblib").replace("model.skops", "model.joblib"), encoding="utf-8"
    )
    printed = smoke()
    assert " passed" in printed
    assert "artifacts/model.joblib\n" in printed
