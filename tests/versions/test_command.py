"""`version` in a project: what it starts, what it ends, what it refuses, and that nothing is ever half done."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from protoserve import generator_cli
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.presets import preset_text, presets
from protoserve.schema.version_text import kept, renewed
from versions.the_shop import TO_V2, UPGRADE_V1, Shop


def version(shop: Shop, *arguments: str) -> int:
    """Runs the generator's command in this process, as generator/run.py does."""
    return generator_cli.main(["version", "--project", str(shop.path), *arguments])


def generate(shop: Shop, *arguments: str) -> int:
    return generator_cli.main(["generate", str(shop.path), *arguments])


@pytest.fixture(scope="module")
def second_shop(first_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop with v2 beside v1, committed; nobody writes into it."""
    shop = first_shop.copy(tmp_path_factory.mktemp("second") / "shop")
    assert version(shop, "v2") == 0
    shop.commit()
    return shop


@pytest.fixture
def second(second_shop: Shop, tmp_path: Path) -> Shop:
    """The same, to write into."""
    return second_shop.copy(tmp_path / "shop")


def test_a_new_version_begins_as_a_copy_beside_the_old_one(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    before = shop.schema.read_text(encoding="utf-8")
    assert version(shop, "v2") == 0
    assert capsys.readouterr().out.startswith("wrote schema.yaml\nwrote schemas/v1.yaml\n")
    after = shop.schema.read_text(encoding="utf-8")
    assert after == before.replace("package: shop.v1", "package: shop.v2").replace("status: stable", "status: draft")
    old = (shop.path / "schemas/v1.yaml").read_text(encoding="utf-8")
    assert old == before.replace("$schema=.protoserve", "$schema=../.protoserve")
    assert generate(shop, "--check") == 0
    for name in ("proto/shop/v1/prediction.proto", "src/shop/contract/v1.py", "src/shop/v1/prediction_pb2.py"):
        assert "from schemas/v1.yaml. Do not edit: change schemas/v1.yaml" in (shop.path / name).read_text("utf-8")
        assert "from schema.yaml" in (shop.path / name.replace("v1", "v2")).read_text("utf-8")
    assert sorted(path.name for path in (shop.path / "tests/requests/v1").iterdir()) == [
        "Count.json",
        "Explain.json",
        "Predict.json",
    ]
    assert (shop.path / "src/shop/upgrade/v1.py").is_file()


def test_an_upgrade_is_the_authors(second: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade = second.path / "src/shop/upgrade/v1.py"
    second.edit(*TO_V2)
    assert generate(second) == 0
    told = capsys.readouterr().err
    assert "src/shop/upgrade/v1.py: write `def predict_request_currency(self, " in told
    ignored = "what v1's callers send there is ignored"
    assert f"note: v2 does not have Item.amount, PredictRequest.hint of v1: {ignored}\n" in told
    upgrade.write_text(UPGRADE_V1, encoding="utf-8")
    assert generate(second) == 0
    assert "src/shop/upgrade" not in capsys.readouterr().err
    assert upgrade.read_text(encoding="utf-8") == UPGRADE_V1
    upgrade.unlink()
    assert generate(second, "--check") == 1
    assert "+++ b/src/shop/upgrade/v1.py" in capsys.readouterr().out
    assert generate(second) == 0
    assert upgrade.is_file()


REFUSED = {
    ("v1",): "v1 exists already: v2 follows v1",
    ("v1beta1",): "v1beta1 is older than v1 in schema.yaml: take v2",
    ("two",): "'two' is not a valid version: v2 follows v1",
    ("v0",): "'v0' is not a valid version",
    ("--drop", "v1"): "v1 is the newest version, which the model implements: it cannot be dropped",
    ("--drop", "v7"): "there is no v7 to drop: this project has v1",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_cannot_be_is_refused_in_one_line(
    first_shop: Shop, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = first_shop.content()
    assert version(first_shop, *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"protoserve: {REFUSED[arguments]}")
    assert first_shop.content() == before


def test_uncommitted_and_unsound_schemas_are_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.edit(("maximum: 1000}", "maximum: 2000}"))
    before = shop.content()
    assert version(shop, "v2") == 1
    assert "schema.yaml has changes that are not committed: commit or stash them, v1 will stay" in (
        capsys.readouterr().err
    )
    shop.edit(("number: 2, type: float64", "number: 1, type: float64"))
    assert version(shop, "v2") == 1
    assert capsys.readouterr().err.startswith("schema.yaml:11:32: messages.Item")
    shop.git("checkout", "--quiet", "schema.yaml")
    (shop.path / "schemas").mkdir()
    shop.write("schemas/v3.yaml", shop.schema.read_text(encoding="utf-8"))
    assert version(shop, "v2") == 1
    assert capsys.readouterr().err.startswith("schemas/v3.yaml:1:1: package: this is the schema of v1; call it")
    shop.write("schemas/v3.yaml", shop.schema.read_text(encoding="utf-8").replace("shop.v1", "shop.v3"))
    assert version(shop, "v2") == 1
    assert "v3 is not older than v1 in schema.yaml" in capsys.readouterr().err
    assert before.keys() == shop.content().keys() - {"schemas/v3.yaml"}


def test_without_git_a_version_can_begin_and_none_can_end(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(shop.path / ".git")
    assert version(shop, "v2") == 0
    before = shop.content()
    assert version(shop, "--drop", "v1") == 1
    assert "is not in a git repository: commit it first, they are removed, and only git keeps them" in (
        capsys.readouterr().err
    )
    assert shop.content() == before


@pytest.mark.skipif(os.name == "nt", reason="folders are not read-only on Windows")
@pytest.mark.parametrize("failing", ["schemas/v1.yaml", "contract/served.py", "upgrade/v1.py"])
def test_a_version_begins_whole_or_not_at_all(shop: Shop, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.content()
    real = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        if str(target).endswith(failing):
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr("os.replace", replace)
    assert version(shop, "v2") == 1
    assert shop.content() == before


def test_the_oldest_version_ends_by_command(second: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    second.edit(*TO_V2)
    second.write("src/shop/upgrade/v1.py", UPGRADE_V1)
    second.write("tests/test_old.py", "from shop.contract import v1\n\nprint(v1.SERVICE)\n")
    second.write("ops.md", "Load is measured with\n`make predict METHOD=v1.Predict`.\n")
    assert generate(second) == 0
    capsys.readouterr()

    # What git does not have is not removed.
    before = second.content()
    assert version(second, "--drop", "v1") == 1
    assert "src/shop/upgrade/v1.py has changes that are not committed" in capsys.readouterr().err
    assert second.content() == before

    second.commit()
    assert version(second, "--drop", "v1") == 0
    told = capsys.readouterr().out
    assert "removed schemas/v1.yaml\n" in told
    assert "src/shop/upgrade/v1.py had item_to_v2_cents, predict_request_currency, " in told
    assert "tests/test_old.py:1 still mentions v1\ntests/test_old.py:3 still mentions v1\n" in told
    assert re.findall("^(.*?):.* still mentions v1$", told, re.MULTILINE) == ["ops.md", *["tests/test_old.py"] * 2]
    left = {name for name in second.content() if "v1" in name or "upgrade" in name or "steps" in name}
    assert left == set()
    assert not (second.path / "schemas").exists()
    assert generate(second) == 0
    assert generate(second, "--check") == 0
    second.commit()
    assert generate(second) == 0


def test_versions_end_in_the_order_in_which_they_began(second: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert version(second, "v3") == 0
    second.commit()
    capsys.readouterr()
    assert version(second, "--drop", "v2") == 1
    assert "callers of v1 reach the model through v2: drop v1 first" in capsys.readouterr().err
    assert version(second, "--drop", "v1") == 0
    assert (second.path / "src/shop/upgrade/v2.py").is_file()
    assert (second.path / "src/shop/upgrade/__init__.py").is_file()
    assert generate(second, "--check") == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["plain", "quoted", "comment", "flow", "missing"])
def test_only_package_and_status_change_in_the_text(form: str, end: str) -> None:
    body = "status: stable  # promised\nmethods: {Predict: {request: {fields: []}, response: {fields: []}}}\n"
    head = {
        "plain": "package: a.v1\n",
        "quoted": 'package: "a.v1"\n',
        "comment": "# ours\npackage: a.v1  # the first\n",
        "missing": "# ours\n",
    }
    text = head.get(form, "") + body
    if form == "flow":
        text = "{package: a.v1, methods: {Predict: {request: {fields: []}, response: {fields: []}}}}\n"
    text = text.replace("\n", end)
    new = renewed(text, loads(text, default_package="a.v1"), "a.v2")
    assert (loads(new).package, loads(new).status) == ("a.v2", "draft")
    expected = text.replace('"a.v1"', "a.v2").replace("a.v1", "a.v2").replace("stable", "draft")
    assert new == (expected if form != "missing" else expected.replace("status", f"package: a.v2{end}status"))
    assert loads(kept(text, loads(text, default_package="a.v1"))).package == "a.v1"


def test_every_preset_can_be_renewed() -> None:
    for name in presets():
        text = preset_text(name)
        contract = loads(text, default_package="iris.v1")
        assert loads(renewed(text, contract, "iris.v2")).package == "iris.v2"
        with pytest.raises(SchemaError):
            loads(text)
