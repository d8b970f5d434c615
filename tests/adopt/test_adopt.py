"""A project made by hand comes under the template, keeps its code, and its old client notices nothing."""

# A row of the table of refusals stays on its line.
# ruff: noqa: E501
from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from adopt.conftest import Adopted
from adopt.handmade import HAND_MADE
from protoserve.cli import main
from protoserve.intake.proto.convert import differs
from protoserve.intake.proto.source import read
from protoserve.project.adopt import existing_project, requirements, template_files
from protoserve.schema.load import load
from releases import commit, edit, git
from support import ROOT, Project, run, tool


def test_no_line_of_code_is_changed(adopted: Adopted) -> None:
    folder = adopted.project.path
    changed = git(folder, "diff", "--name-only", "HEAD").split()
    assert not [name for name in changed if name.endswith((".py", ".pyi", ".proto"))]
    for name in changed:
        was = git(folder, "show", f"HEAD:{name}")
        if name == ".gitignore":
            assert (folder / name).read_text(encoding="utf-8").startswith(was)
        else:
            assert (folder / f"{name}{template_files.ASIDE}").read_text(encoding="utf-8") == was
            assert f"{name}{template_files.ASIDE}" in adopted.report
    for name, text in adopted.made.files.items():
        if name not in changed:
            assert (folder / name).read_text(encoding="utf-8") == text


def test_the_contract_is_the_authors(adopted: Adopted) -> None:
    folder = adopted.project.path
    theirs = folder / next(name for name in adopted.made.files if name.endswith(".proto"))
    ours = folder / "proto" / load(folder / "schema.yaml").folder / "prediction.proto"
    assert differs(read(theirs).descriptor, read(ours).descriptor) is None
    recorded = (folder / ".copier-answers.yml").read_text(encoding="utf-8")
    assert f"schema: {theirs.relative_to(folder).as_posix()}\n" in recorded


def test_what_moves_is_reported_with_its_place(adopted: Adopted) -> None:
    folder = adopted.project.path
    places = re.findall(r"^ +(\S+\.py):(\d+)  (\S.*?)(?: +-> .+)?$", adopted.report, re.MULTILINE)
    assert len(places) > 2
    for name, line, what in places:
        text = (folder / name).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        word = (
            re.split(r"[(.=]", what.split(" = ")[0].removesuffix("(...)"))[-1].split()[-1]
            if "abort" not in what
            else "abort"
        )
        assert word in text, (name, line, what)


WORDS = {
    "greeter": (
        *(
            "server.py:25  def SayHello ",
            "Model.say_hello(self, batch: Sequence[HelloRequest]) -> Sequence[HelloReply]",
        ),
        "context.abort(grpc.StatusCode.INVALID_ARGUMENT)",
        "requirements.txt:2  emoji==2.1.0  -> requirements/model.txt",
        *("python -m greeter.server", "greeter_pb2.py"),
    ),
    "vision": (
        *(
            "async def detect ",
            "Model.watch(self, request: DetectRequest) -> Iterator[DetectReply]",
            "not implemented: Describe",
        ),
        "context.write(...)",
    ),
}


def test_the_report_names_all_of_it(adopted: Adopted) -> None:
    assert "Git ignores" not in adopted.report
    assert not [words for words in WORDS[adopted.made.name] if words not in adopted.report], adopted.report


def test_generated_files_are_as_the_schema_says(adopted: Adopted) -> None:
    folder = adopted.project.path
    command = [sys.executable, "-m", "protoserve.generator_cli", "generate", "--check", str(folder)]
    run(command, cwd=folder)


def serve(project: Project, tmp_path: Path, ask: Callable[[int], str]) -> str:
    """What `ask` says of the project's own server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**project.environment, "HOST": "127.0.0.1", "PORT": str(port)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", f"{project.package}.server"]
        process = subprocess.Popen(command, cwd=project.path, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait(port, process, log)
        return ask(port)
    finally:
        process.kill()
        process.wait()


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until health says SERVING."""
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        for state in watch(HealthCheckRequest(), timeout=60, wait_for_ready=True):
            if state.status == HealthCheckResponse.SERVING:
                return
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace"))


def test_its_own_server_answers_before_anything_is_moved(adopted: Adopted, tmp_path: Path) -> None:
    assert serve(adopted.project, tmp_path, lambda port: "serving") == "serving"


def test_the_old_client_gets_equal_replies_when_the_code_has_moved(adopted: Adopted, tmp_path: Path) -> None:
    folder = tmp_path / adopted.made.name
    shutil.copytree(adopted.project.path, folder, symlinks=True)
    project = Project(folder, adopted.project.package)
    model = adopted.made.model.format(package=project.package)
    (folder / "src" / project.package / "model.py").write_text(model, encoding="utf-8")
    assert adopted.replies
    assert serve(project, tmp_path, adopted.ask) == adopted.replies


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
def test_a_moved_project_passes_its_own_checks(adopted: Adopted, tmp_path: Path) -> None:
    folder = tmp_path / adopted.made.name
    shutil.copytree(adopted.project.path, folder, symlinks=True)
    project = Project(folder, adopted.project.package)
    model = adopted.made.model.format(package=project.package)
    (folder / "src" / project.package / "model.py").write_text(model, encoding="utf-8")
    (folder / "train.py").write_text('"""There is nothing to train."""\n', encoding="utf-8")
    if adopted.made.name == "vision":  # of which the sample that was made up gets no box
        edit(
            folder / "schema.yaml",
            "required: false, allow_nan: true}",
            "required: false, allow_nan: true, example: 0.5}",
        )
        run([sys.executable, "-m", "protoserve.generator_cli", "generate", str(folder)], cwd=folder)
    for name in adopted.made.files:  # what is no longer needed, and buf's and pytest's would be the author's matter
        if name.endswith(".py"):
            (folder / name).unlink()
    for name in folder.glob("**/*_pb2*.py"):
        if "prediction" not in name.name:
            name.unlink()
    project.python("-m", "ruff", "check", ".")
    project.python("-m", "ruff", "format", "--check", ".")
    project.python("-m", "mypy")
    run([tool("buf"), "lint"], cwd=folder)
    run([tool("buf"), "format", "--diff", "--exit-code"], cwd=folder)
    project.python("-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_an_update_finds_a_project_like_any_other(adopted: Adopted, tmp_path: Path) -> None:
    if adopted.made.name == "vision":
        pytest.skip("one of them shows it")
    folder = tmp_path / adopted.made.name
    shutil.copytree(adopted.project.path, folder, symlinks=True)
    edit(folder / "Makefile", ".DEFAULT_GOAL := help", "# Mine.\n.DEFAULT_GOAL := help")
    commit(folder, "adopted")
    run([tool("protoserve"), "update", str(folder), "--to", "v1.1.0"], cwd=tmp_path)
    assert "_commit: v1.1.0" in (folder / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "could not answer" in (folder / "src" / adopted.project.package / "server/core/outcomes.py").read_text(
        encoding="utf-8"
    )
    assert "# Mine." in (folder / "Makefile").read_text(encoding="utf-8")
    commit(folder, "updated")
    assert git(folder, "diff", "--name-only", "HEAD~1").split()
    for name, text in adopted.made.files.items():
        if name.endswith(".py"):
            assert (folder / name).read_text(encoding="utf-8") == text


def test_the_page_shows_the_report(adopted: Adopted) -> None:
    page = (ROOT / "docs" / "adopt.md").read_text(encoding="utf-8")
    if adopted.made.name == "greeter":
        (shown,) = re.findall(r"^```text\n(Adopted:.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert shown in adopted.report
        for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            whole = adopted.made.files["server.py"] + adopted.made.model.format(package="greeter")
            known = {line.strip() for line in whole.splitlines()}
            assert [line for line in code.splitlines() if line.strip() not in known] == []
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", page.partition("## What happens")[0], re.MULTILINE | re.DOTALL)
    assert "protoserve adopt greeter" in commands


GREETER = HAND_MADE[0]
REFUSALS = {
    "uncommitted": ({}, {"words.py": "x = 1\n", "new.txt": ""}, (), "has changes that are not committed"),
    "no repository": ({".git": None}, {}, (), "is not in a git repository: run `git init` and commit the project"),
    "adopted already": ({".copier-answers.yml": "package: a\n"}, {}, (), "it is already a protoserve project"),
    "no service": ({"protos/greeter.proto": 'syntax = "proto3";\n'}, {}, (), "has a service: name one with --proto FILE"),
    "two services": ({"b.proto": 'syntax = "proto3";\nservice B {\n}\n'}, {}, (), "several files have a service (b.proto, "),
    "another .proto": ({}, {}, ("--proto", "nowhere.proto"), "nowhere.proto is not a file"),
    "not to be carried": (
        {"protos/greeter.proto": GREETER.files["protos/greeter.proto"].replace("(HelloRequest)", "(stream HelloRequest)")},
        {}, (), "protos/greeter.proto:15:3: Greeter.SayHello: a stream of requests is not supported",
    ),
    "no such servicer": ({}, {}, ("--servicer", "words.py"), "words.py has no class that derives from GreeterServicer, is added to a server by add_GreeterServicer_to_server, or"),
    "all that is in the way": (
        {
            "train.py": "x = 1\n", "tests/test_smoke.py": "", "requirements": "x", ".github": Path("protos"),
            "greeter/__init__.py": "", "helloworld.py": "", "helloworld/__init__.py": "import greeter_pb2\n",
            "artifacts/model.pkl": "", "schemas/user.yaml": "", "tests/requests/a/b.json": "",
            "scripts/inspect.py": "", "tests/smoke_report.py": "", "tests/__init__.py": "import words\n",
        },
        {}, ("--package", "greeter"),
        "yours would be lost: .github (a link, and a folder of the template), requirements (a folder of the template), "
        "tests/test_smoke.py, train.py; rename and commit\n"
        "greeter exists, so the package cannot be greeter: try --package greeter_server\n"
        "helloworld.py hides the package helloworld of the new stubs: rename it and commit\n"
        "helloworld/__init__.py has imports, and the new stubs are in that package: importing them would load the old stubs "
        "too, and one process cannot load both. Remove the imports and commit\n"
        "scripts/inspect.py hides Python's inspect from the template's scripts: rename it and commit\n"
        "tests/smoke_report.py hides scripts/smoke_report.py from the template's tests: rename it and commit\n"
        "tests/__init__.py has imports, which the template's tests would run: move them to conftest.py and commit\n"
        "schemas/user.yaml: files of these names are read as versions of the contract: rename and commit\n"
        "tests/requests/a/b.json: files of these names are read as sample requests: rename and commit\n"
        "artifacts/ has model.pkl, and the template keeps the served model there",
    ),
    "rules of git": (
        {"src/.gitignore": "*.py\n", ".gitattributes": "*.yaml eol=crlf\n"}, {}, (),
        "src/.gitignore ignores files of the template, and they must be committed: change its rules and commit\n"
        ".gitattributes gives CRLF to files of the template (.pre-commit-config.yaml, ...), which are compared byte by byte: "
        "limit eol=crlf to your own files and commit",
    ),
    "an answer that is none": ({}, {}, ("--port", "80"), "port"),
    "a template that is none": ({}, {}, ("--template", "nowhere"), "nowhere"),
}  # fmt: skip


@pytest.fixture(scope="module")
def greeter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return GREETER.write(tmp_path_factory.mktemp("greeter") / "greeter")


@pytest.mark.usefixtures("generator_in_process")
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_changes_nothing(
    name: str, greeter: Path, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed, loose, options, words = REFUSALS[name]
    folder = tmp_path / "greeter"
    shutil.copytree(greeter, folder, symlinks=True)
    for path, text in (committed | loose).items():
        if text is None:
            shutil.rmtree(folder / path)
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, Path):
            (folder / path).symlink_to(text)
        else:
            (folder / path).write_text(text, encoding="utf-8")
        if path in committed:
            git(folder, "add", "--force", path)
            git(folder, "commit", "--quiet", "--message=More")
    before = everything(folder)
    given = ["adopt", str(folder), "--template", str(template), "--defaults", *options]
    assert main(given) == 1
    out, err = capsys.readouterr()
    assert words in err
    assert "nothing was changed" in err
    assert out == ""
    assert everything(folder) == before


def everything(folder: Path) -> dict[str, bytes | None]:
    """All of a folder but git's own notes, empty folders too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".git" not in path.relative_to(folder).parts
    }


def test_requirements_that_the_new_ones_lack_are_reported(tmp_path: Path) -> None:
    texts = {
        "requirements.txt": "grpcio==1.60.0 --hash=sha256:00\n# the model\nscikit_learn==1.4.2  # pinned\n-r more/x.txt\n"
        "-e .\ngit+https://example.com/x.git#egg=x\nnumpy==2.1\n",
        "more/x.txt": "joblib\n",
        "pyproject.toml": '[project]\ndependencies = [\n  "pandas>=2",\n  "joblib>1",\n  "pytest",\n]\n'
        "[tool.poetry.dependencies]\npython = '^3.11'\ntorch = '^2.1'\nnumpy = '*'\nxgboost = {version = '2'}\n",
        "setup.cfg": "[options]\ninstall_requires =\n  scipy>1\n  pandas\n",
        "setup.py": "setup(name='x', install_requires=['requests', *more])\n",
        "new/requirements/model.txt": "# Yours.\n",
        "new/requirements/server.txt": "grpcio>=1.85.1\nnumpy>=2.0\nprotobuf>=7\n",
        "new/requirements/dev.txt": "pytest>=9\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    old = requirements.declared(tmp_path, list(texts))
    notes = requirements.to_bring_over(old, tmp_path / "new", {"pyproject.toml": "pyproject.toml.before-adopt"})
    assert [(note.where, note.what, note.instead) for note in notes] == [
        ("requirements.txt:3", "scikit_learn==1.4.2", "requirements/model.txt"),
        ("requirements.txt:6", "git+https://example.com/x.git#egg=x", "requirements/model.txt"),
        ("more/x.txt:1", "joblib", "requirements/model.txt"),
        ("pyproject.toml.before-adopt:3", "pandas>=2", "requirements/model.txt"),
        ("pyproject.toml.before-adopt:9", "torch ^2.1", "requirements/model.txt"),
        ("pyproject.toml.before-adopt:11", "xgboost", "requirements/model.txt"),
        ("setup.cfg:3", "scipy>1", "requirements/model.txt"),
        ("setup.py:1", "requests", "requirements/model.txt"),
    ]


@pytest.mark.parametrize(
    ("files", "ci"),
    [
        (["server.py"], "github"),
        (["server.py", ".gitlab-ci.yml"], "gitlab"),
        ([".github/workflows/test.yml", ".gitlab-ci.yml"], "github"),
    ],
)
def test_the_ci_that_a_project_has_is_kept(files: list[str], ci: str) -> None:
    assert existing_project.ci(files) == ci


@pytest.mark.usefixtures("generator_in_process")
def test_a_failure_while_writing_changes_nothing(
    greeter: Path, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an interrupt, when half of the files are there."""
    from protoserve.platform import files as project

    folder = tmp_path / "greeter"
    shutil.copytree(greeter, folder, symlinks=True)
    before, calls, replace = everything(folder), [], project.os.replace

    def fail(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 20:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(project.os, "replace", fail)
    assert main(["adopt", str(folder), "--template", str(template), "--defaults"]) == 1
    assert len(calls) >= 20
    assert everything(folder) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_it_asks_as_protoserve_new_does(template: Path, tmp_path: Path) -> None:
    from terminal import ENTER, Terminal

    HAND_MADE[0].write(tmp_path / "greeter")
    adopt = [tool("protoserve"), "adopt", "greeter", "--template", template, "--data", "serve=all"]
    with Terminal(adopt, cwd=tmp_path, columns=80) as terminal:
        for question, keys in (
            ("project called", ENTER),
            ("Python package", f"class{ENTER}"),
            ("package must not be class", f"_a{ENTER}"),
            ("does it serve", ENTER),
            ("made with", ENTER),
            ("which port", f"8500{ENTER}"),
            ("Which Python", ENTER),
            ("which platforms", ENTER),
        ):
            terminal.prompt(question)
            terminal.send(keys)
        assert terminal.wait() == 0, terminal.text()
        assert "Adopted: helloworld.Greeter" in terminal.text()
    answers = (tmp_path / "greeter" / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "package: class_a\n" in answers
    assert "port: 8500\n" in answers
