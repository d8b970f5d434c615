"""`make policy`, which `make check` runs: the policy of the recorded version, without Copier."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from policies import AUDITED
from protoserve.generator_cli import main
from protoserve.platform import answers
from protoserve.project import policy_command
from protoserve.project.rendered_files import RenderError, rendered_files
from support import ROOT, Project


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """The template of this checkout, with the policy AUDITED."""
    template = tmp_path / "template"
    template.mkdir()
    for name in ("template", "generator", "copier.yml"):
        (template / name).symlink_to(ROOT / name)
    (template / "policy.yaml").write_text(AUDITED, encoding="utf-8")
    return template


@pytest.mark.parametrize("name", ["iris", "fraud"])
def test_each_file_of_the_template_is_rendered_as_copier_does(name: str) -> None:
    example = ROOT / "examples" / name
    rendered = rendered_files(ROOT, answers.load(example), lambda path: True)
    assert len(rendered) > 50
    assert [path for path, content in rendered.items() if (example / path).read_bytes() != content] == []


def test_a_project_that_edits_what_is_audited(
    audited: Path, iris: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "iris"
    shutil.copytree(iris.path, project, ignore=shutil.ignore_patterns(".venv", "artifacts"))
    dockerfile = project / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text(encoding="utf-8") + "USER root\n", encoding="utf-8")
    (project / "src/iris/server/transports/health.py").unlink()
    (project / "Makefile").write_text("mine\n", encoding="utf-8")
    assert policy_command.check(project, audited) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("--- template/Dockerfile\n+++ Dockerfile\n")
    assert printed.out.rstrip().endswith("+USER root")
    said = [line.removeprefix("protoserve: ").partition(": ") for line in printed.err.splitlines()]
    assert [(where, message.split("; ")[0]) for where, _, message in said] == [
        (
            "Dockerfile",
            "Dockerfile must be as the template has it, and it is edited: the base image and the server are audited "
            "(files.unedited in policy.yaml)",
        ),
        (
            "src/iris/server/transports/health.py",
            "src/iris/server/transports/health.py must be as the template has it, and it is deleted: the base image "
            "and the server are audited (files.unedited in policy.yaml)",
        ),
        (
            "schema.yaml:3:10",
            "package must match risk[.].*, not be iris.v1: the gateway finds models by this prefix "
            "(contract.package in policy.yaml)",
        ),
        (
            "schema.yaml:19:7",
            "the request of Predict must have the field request_id, of type string: the audit joins the logs by it "
            "(contract.request_fields in policy.yaml)",
        ),
    ]


def test_a_file_that_only_copier_can_render(audited: Path, tmp_path: Path) -> None:
    own = audited / "template"
    own.unlink()
    own.mkdir()
    (own / "Dockerfile.jinja").write_text("{{ _copier_conf.src_path }}", encoding="utf-8")
    with pytest.raises(RenderError, match=r"template/Dockerfile.jinja of the template can only be rendered by Copier"):
        rendered_files(audited, answers.load(ROOT / "examples/iris"), lambda path: True)


def test_the_template_checks_its_own_policy(
    audited: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["policy"]) == 0
    assert capsys.readouterr().out == "policy.yaml allows everything\n"
    assert policy_command.check_policy(audited) == 0
    assert capsys.readouterr().out == "policy.yaml is valid: answers, files, contract, 1 exception\n"
    monkeypatch.setattr("protoserve.generator_cli._TEMPLATE", audited)
    (audited / "policy.yaml").write_text("files: {unedited: [Dokerfile, Dockerfile], why: w}\n", encoding="utf-8")
    assert main(["policy"]) == 0
    assert capsys.readouterr().err == "note: Dokerfile matches no file of a project with the default answers\n"
    (audited / "policy.yaml").write_text("answer: x\n", encoding="utf-8")
    assert main(["policy"]) == 1
    assert "policy.yaml:1:1: answer: unknown key 'answer'; did you mean 'answers'?" in capsys.readouterr().err
