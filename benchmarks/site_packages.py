"""What a project installs, against what a server written by hand for the same model would install.

    python benchmarks/site_packages.py [FRAMEWORK ...]

For sklearn, onnx, xgboost, lightgbm and python where none is named. One fresh environment gets the project with its
requirements; the other gets what the framework asks for (requirements/model.txt), grpcio with health checking,
reflection and status, and a package of the same stubs, at the same versions. A project without a framework asks for
nothing: its model works with numpy, which is then installed by hand, too. Prints the bytes of the files in both
site-packages, in MB and with the bytecode that pip compiles, and their ratio, wanted at most 1.02; exits with 1 where
it is more. Needs a package index.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import Project, copy_template, create, run

FRAMEWORKS = ("sklearn", "onnx", "xgboost", "lightgbm", "python")
WANTED = 1.02

BY_HAND = ("grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status")
BESIDES = {"python": ("numpy",)}
IMPORTS = "grpc_health.v1.health, grpc_reflection.v1alpha.reflection, grpc_status.rpc_status"

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "iris"
version = "0.1.0"

[tool.setuptools.package-data]
"*" = ["*.pyi"]
"""


def main() -> int:
    frameworks = sys.argv[1:] or FRAMEWORKS
    if unknown := sorted(set(frameworks).difference(FRAMEWORKS)):
        print(f"not measured: {', '.join(unknown)}; there are: {', '.join(FRAMEWORKS)}", file=sys.stderr)
        return 2
    fits = True
    with tempfile.TemporaryDirectory() as temporary:
        template = copy_template(Path(temporary) / "protoserve")
        for framework in frameworks:
            folder = Path(temporary) / framework
            project = create(template, folder / "iris", framework=framework)
            sizes = {
                "project": install_project(project, folder / "project"),
                "by hand": install_by_hand(project, folder, framework),
            }
            fits &= report(framework, sizes)
            shutil.rmtree(folder)
    return 0 if fits else 1


def install_project(project: Project, environment: Path) -> int:
    """Bytes of what the project needs to serve, the project included."""
    requirements = ["--requirement", "requirements/server.txt", "--requirement", "requirements/model.txt", "."]
    install(environment, *requirements, cwd=project.path)
    run([python(environment), "-B", "-c", "import iris.model, iris.server.lifecycle"], cwd=environment)
    return size(environment)


def install_by_hand(project: Project, folder: Path, framework: str) -> int:
    """Bytes of what a server by hand needs, at the versions that the project got; the stubs included."""
    frozen = pip(folder / "project", "freeze", "--quiet", cwd=folder)
    constraints = [line for line in frozen.splitlines() if "==" in line]
    (folder / "constraints.txt").write_text("\n".join(constraints) + "\n", encoding="utf-8")
    stubs = folder / "stubs"
    shutil.copytree(project.path / "src" / "iris" / "v1", stubs / "iris" / "v1")
    (stubs / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    requirements = [
        *("--constraint", "constraints.txt", "--requirement", str(project.path / "requirements" / "model.txt")),
        *(*BY_HAND, *BESIDES.get(framework, ()), str(stubs)),
    ]
    environment = folder / "hand"
    install(environment, *requirements, cwd=folder)
    run([python(environment), "-B", "-c", f"import iris.v1.prediction_pb2_grpc, {IMPORTS}"], cwd=environment)
    return size(environment)


def install(environment: Path, *requirements: str, cwd: Path) -> None:
    """A new environment with these requirements and nothing else, not even pip."""
    run([sys.executable, "-m", "venv", "--without-pip", environment], cwd=cwd)
    pip(environment, "install", "--quiet", *requirements, cwd=cwd)


def pip(environment: Path, *arguments: str, cwd: Path) -> str:
    """What the pip of this interpreter prints for an environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python(environment)]
    return run([*command, *arguments], cwd=cwd).stdout


def python(environment: Path) -> Path:
    return environment / "bin" / "python"


def size(environment: Path) -> int:
    """Bytes of the files in site-packages."""
    (packages,) = environment.glob("lib/python*/site-packages")
    return sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())


def report(framework: str, sizes: dict[str, int]) -> bool:
    """Prints the comparison; whether the project installs as little as wanted."""
    ratio = sizes["project"] / sizes["by hand"]
    told = ", ".join(f"{name} {value / 1e6:.2f} MB" for name, value in sizes.items())
    print(f"{framework:8} {told}, ratio {ratio:.4f}, wanted at most {WANTED}", flush=True)
    return ratio <= WANTED


if __name__ == "__main__":
    sys.exit(main())
