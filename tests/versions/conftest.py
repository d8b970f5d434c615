"""The shop: a project with one stable version, in git, and the stubs that its first clients were compiled with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import create, run
from versions.the_shop import MODEL_V1, V1, Shop, model


@pytest.fixture(scope="session")
def first_shop(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop with v1; nobody writes into it."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "v1.yaml").write_text(V1, encoding="utf-8")
    made = create(
        template,
        folder / "shop",
        project_name="Shop",
        package="shop",
        framework="python",
        schema=str(folder / "v1.yaml"),
    )
    stubs = folder / "stubs"
    stubs.mkdir()
    protoc = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-Iproto",
        f"--python_out={stubs}",
        f"--grpc_python_out={stubs}",
    ]
    run([*protoc, "proto/shop/v1/prediction.proto"], cwd=made.path)
    shop = Shop(made.path, made.package, stubs=stubs)
    names = ", ".join(f"{name}Re{kind}" for name in ("Count", "Explain", "Predict") for kind in ("quest", "sponse"))
    shop.write("src/shop/model.py", model("v1", MODEL_V1, f"(\n    {names}, InvalidRequest\n)"))
    shop.write("train.py", '"""Writes the artifact."""\n')
    shop.write("artifacts/model.txt", "plain")
    shop.python("-c", "from pathlib import Path; from shop.server.artifact import seal; "
                "seal(Path('artifacts/model.txt'), 'numpy')")  # fmt: skip
    shop.git("init", "--quiet")
    shop.commit()
    return shop


@pytest.fixture
def shop(first_shop: Shop, tmp_path: Path) -> Shop:
    """The shop with v1, to write into."""
    return first_shop.copy(tmp_path / "shop")
