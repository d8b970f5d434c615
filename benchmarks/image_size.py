"""The size of a project's image, against the least that someone would write by hand for the same model.

    python benchmarks/image_size.py [FRAMEWORK ...]

For sklearn and onnx where none is named. The image by hand has the same base, the same lock, the same stubs and
artifact, the server of by_hand.py, and a Dockerfile of one stage. Each image is started once, so that only what serves
is measured. Prints the sizes, also without the base, and their ratio, wanted at most 1.05; exits with 1 where it is
more. Needs a Docker engine with BuildKit, the base image and a package index; DOCKER names the command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import Project, copy_template, create, run, tool

HERE = Path(__file__).resolve().parent
DOCKER = os.environ.get("DOCKER", "docker")
PYTHON = "3.12"
BASE = f"python:{PYTHON}-slim"
WANTED = 1.05

DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY artifacts artifacts
COPY iris iris
COPY server.py .
CMD ["python", "server.py"]
"""

# What by_hand.py, which serves scikit-learn, has in other words for another framework.
REWORDED: dict[str, dict[str, str]] = {
    "sklearn": {},
    "onnx": {
        "import skops.io\n": "import onnxruntime\n",
        "skops.io.load(artifact)": "onnxruntime.InferenceSession(artifact)",
        "self.estimator.predict_proba(np.array([row]))[0]": (
            'self.estimator.run(["probabilities"], {"X": np.array([row])})[0][0]'
        ),
        "model.skops": "model.onnx",
    },
}


def main() -> int:
    frameworks = sys.argv[1:] or list(REWORDED)
    if unknown := sorted(set(frameworks).difference(REWORDED)):
        print(f"no image by hand for {', '.join(unknown)}; there are: {', '.join(REWORDED)}", file=sys.stderr)
        return 2
    if not docker("image", "ls", "--quiet", BASE):  # BuildKit would build upon it without keeping it
        docker("pull", "--quiet", BASE)
    fits = True
    with tempfile.TemporaryDirectory() as temporary:
        template = copy_template(Path(temporary) / "protoserve")
        for framework in frameworks:
            folder = Path(temporary) / framework
            project = make_project(template, folder / "iris", framework)
            tags = {kind: f"protoserve-benchmark:{framework}-{kind}" for kind in ("project", "hand")}
            try:
                build(project.path, tags["project"])
                build(write_by_hand(project, folder / "hand", framework), tags["hand"])
                sizes = {kind: size(tag) for kind, tag in tags.items()}
                for tag in tags.values():
                    start(tag)
            finally:
                docker("image", "rm", "--force", *tags.values(), check=False)
            fits &= report(framework, sizes, size(BASE))
    return 0 if fits else 1


def make_project(template: Path, dest: Path, framework: str) -> Project:
    """A project as its author has it before `make image`: trained and locked."""
    project = create(template, dest, framework=framework, python_version=PYTHON)
    project.python("train.py")
    lock = [tool("uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", PYTHON]
    requirements = ["requirements/server.txt", "requirements/model.txt"]
    run([*lock, "--no-python-downloads", "--output-file", "requirements.lock", *requirements], cwd=dest)
    return project


def write_by_hand(project: Project, folder: Path, framework: str) -> Path:
    """The folder that the image by hand is built from."""
    folder.mkdir()
    shutil.copy2(project.path / "requirements.lock", folder)
    shutil.copytree(project.path / "artifacts", folder / "artifacts")
    shutil.copytree(project.path / "src" / "iris" / "v1", folder / "iris" / "v1")
    server = (HERE / "by_hand.py").read_text(encoding="utf-8")
    for words, others in REWORDED[framework].items():
        assert words in server, f"by_hand.py has no more: {words}"
        server = server.replace(words, others)
    (folder / "server.py").write_text(server, encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    return folder


def docker(*arguments: str, check: bool = True) -> str:
    done = run([DOCKER, *arguments], cwd=HERE, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=check)
    return done.stdout.strip()


def build(context: Path, tag: str) -> None:
    docker("build", "--quiet", "--build-arg", f"BASE_IMAGE={BASE}", "--tag", tag, str(context))


def start(tag: str) -> None:
    """Returns when a container of the image says that it serves, and ends it; fails when it ends without that."""
    # The process here is only the engine's client: the container does not end with it, but by its name.
    name = tag.replace(":", "-")
    process = subprocess.Popen(
        [DOCKER, "run", "--rm", "--name", name, tag], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    told = []
    for line in process.stderr:
        told.append(line)
        if "serving" in line:
            break
    else:
        raise RuntimeError(f"{tag} does not serve:\n{''.join(told)}")
    docker("rm", "--force", name)
    process.communicate()


def size(image: str) -> int:
    """Bytes of an image, with its base."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def report(framework: str, sizes: dict[str, int], base: int) -> bool:
    """Prints the comparison; whether the project's image is as small as wanted."""
    ratio = sizes["project"] / sizes["hand"]
    above = {kind: (value - base) / 1e6 for kind, value in sizes.items()}
    for kind, name in (("project", "project"), ("hand", "by hand")):
        print(f"{framework:8} {name:8} {sizes[kind] / 1e6:8.2f} MB, {above[kind]:8.2f} MB of it on top of {BASE}")
    print(
        f"{framework:8} ratio {ratio:.4f}, wanted at most {WANTED}; "
        f"of what is on top {above['project'] / above['hand']:.4f}",
        flush=True,
    )
    return ratio <= WANTED


if __name__ == "__main__":
    sys.exit(main())
