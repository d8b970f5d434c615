"""The questions: what they accept, what they say of the rest, and that nothing is left behind."""

from __future__ import annotations

import argparse
import keyword
import random
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from protoserve import cli
from protoserve.cli import main
from protoserve.platform import answers
from protoserve.project.questions import ADOPTED
from protoserve.schema.errors import SchemaError
from protoserve.schema.initial_text import seed
from protoserve.schema.presets import presets
from protoserve.schema.signature import signature_to_yaml
from protoserve.seeds.frameworks import frameworks
from support import ROOT, create

COPIER_YML = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"port": 80}, "integer from 1024 to 65535"),
    ({"port": 65536}, "integer from 1024 to 65535"),
    ({"port": "http"}, "integer from 1024 to 65535"),
    ({"port": True}, "integer from 1024 to 65535"),
    ({"port": 9000.5}, "integer from 1024 to 65535"),
    ({"package": "Iris"}, "lower-case"),
    ({"package": "2fast"}, "start with a letter"),
    ({"package": "my-model"}, "underscores"),
    ({"package": "_private"}, "start with a letter"),
    ({"package": "class"}, "keyword"),
    ({"package": "match"}, "keyword"),
    ({"package": "json"}, "Python's own"),
    ({"package": "grpc"}, "library"),
    ({"package": "sklearn"}, "library"),
    ({"package": "numpy"}, "library"),
    ({"package": "tests"}, "library, folder or script"),
    ({"package": "predict"}, "library, folder or script"),
    ({"package": "con"}, "Windows"),
    ({"package": "lpt1"}, "Windows"),
    ({"framework": "fortran"}, "framework"),
    ({"python_version": "3.8"}, "python_version"),
    ({"project_name": " "}, "name"),
    ({"description": "two\nlines"}, "one line"),
    ({"platforms": ["kubernets"]}, "'kubernets' is not in ['vertex-ai', 'kubernetes']"),
    ({"platforms": "kubernetes"}, "platforms must be a list, such as [vertex-ai, kubernetes]"),
    ({"platforms": "vertex-ai,kubernetes"}, "platforms must be a list"),
    ({"platforms": ""}, "platforms must be a list"),
    ({"platforms": 5}, "platforms must be a list"),
    ({"platforms": {"kubernetes": True}}, "platforms must be a list"),
    ({"platforms": ["vertex-ai"], "port": 8080}, "port must not be 8080"),
    ({"platforms": ["vertex-ai"], "vertex_project": "123456"}, "must be a project id"),
    ({"platforms": ["vertex-ai"], "vertex_project": "My Project"}, "must be a project id"),
    ({"platforms": ["vertex-ai"], "vertex_region": "us-central1-a"}, "must be a region"),
    ({"platforms": ["vertex-ai"], "vertex_region": "global"}, "must be a region"),
    ({"platforms": ["vertex-ai"], "vertex_repository": "Models"}, "must be a repository name"),
    ({"platforms": ["vertex-ai"], "vertex_machine": "large"}, "must be a machine type"),
    ({"schema": ""}, "preset"),
    ({"schema": "tabuler"}, "must be a preset"),
    ({"schema": "x: float64 ->"}, "a signature must be"),
    ({"schema": "x float64 -> y: float64"}, "a signature must be"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_wrong_answer_is_refused_and_leaves_nothing(
    template: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception, match=re.escape(said)):
        create(template, tmp_path / "new", **given)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "schema",
    [
        "x: float64 -> y: float64",
        "a:int32,b?:string[]->stream token:string",
        "image?: uint8[height, width, 3], tags: map<string, float64> -> label: Kind(a|b), p: float32[2]",
        "./some/folder/fraud.yaml",
        "fraud.yml",
        "tabular",
    ],
)
def test_the_question_for_a_schema_takes_every_form(schema: str) -> None:
    """The validator alone: what it lets through is judged by the generator."""
    assert schema_complaint(schema) == ""


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            "Tenure (months): float64 -> b: bool",
            "underscores only, not Tenure (months): write tenure_months",
        ),
        ("a: bool, 2nd: bool -> b: bool", "not 2nd: write x_2nd"),
        ("a: Kind(very small|large) -> b: bool", "not very small: write very_small"),
        ("a: float32[-1, 224] -> b: bool", "must have a name, not -1: write float32[batch, 224]"),
        ("a: float32[3, ?] -> b: bool", "must have a name, not ?"),
    ],
)
def test_the_question_for_a_schema_offers_the_name_that_can_be(schema: str, said: str) -> None:
    assert said in schema_complaint(schema)


def test_the_question_for_a_schema_refuses_no_signature_that_the_generator_takes() -> None:
    rng = random.Random(5)
    tokens = ["a", "b", "?", ":", "int32", ",", "->", "stream ", "[", "3", "n", "]", "(", "|", ")", "<", ">", " "]
    lines = ["-> stream token: string", "a: map<string, E(x|y)> -> b: E"]
    for _ in range(400):
        line = list("a: E(x|y), b?: int32[3,n] -> c: map<string,F(x)>")
        at = rng.randrange(len(line) + 1)
        line[at : at + rng.randint(0, 2)] = rng.choice(tokens)
        lines.append("".join(line))
    taken = [line for line in lines if _generator_takes(line)]
    assert len(taken) > 30
    assert [line for line in taken if schema_complaint(line)] == []


def _generator_takes(line: str) -> bool:
    try:
        signature_to_yaml(line, "a.v1")
    except SchemaError:
        return False
    return True


def schema_complaint(answer: str) -> str:
    """What the validator alone says of an answer for the schema."""
    environment = copier._jinja_ext.SandboxedEnvironment(
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"]
    )
    said = environment.from_string(COPIER_YML["schema"]["validator"]).render(schema=answer)
    return " ".join(said.split())


def test_a_signature_that_only_the_generator_can_judge_leaves_nothing(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(copier.errors.TaskError):
        create(template, tmp_path / "new", by_copier=True, schema="x: flaot64 -> y: float64")
    assert "did you mean" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_schema_file_with_an_error_is_reported_by_line_and_leaves_nothing(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "wrong.yaml"
    schema.write_text("methods:\n  Predict:\n    requst: {}\n", encoding="utf-8")
    with pytest.raises(copier.errors.TaskError):
        create(template, tmp_path / "new", by_copier=True, schema=str(schema))
    assert f"{schema}:3:5: methods.Predict" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "package"),
    [("Fraud scores, v2!", "fraud_scores_v2"), ("2fast", "model_2fast"), ("json", "json_model"), ("\u6570", "model")],
)
def test_the_package_comes_from_the_name(questions_alone: Path, tmp_path: Path, name: str, package: str) -> None:
    """The default is always allowed: Copier cannot ask a question whose default is not."""
    project = create(questions_alone, tmp_path / "new", alone=True, project_name=name)
    assert answers.read(project.path)["package"] == package


@pytest.fixture(scope="module")
def questions_alone(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The questions and the file that records the answers, without the rest of the template and its generator."""
    folder = tmp_path_factory.mktemp("questions") / "template"
    for name in ("copier.yml", "generator/reserved.jinja", "template/{{_copier_conf.answers_file}}.jinja"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(template / name, folder / name)
    text = (folder / "copier.yml").read_text(encoding="utf-8")
    (folder / "copier.yml").write_text(text.partition("\n_tasks:")[0], encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ([], []),
        (["--platforms", ""], []),
        (["--platforms", "kubernetes,vertex-ai"], ["vertex-ai", "kubernetes"]),
        (["--platforms", "kubernetes", "--platforms", "[vertex-ai]"], ["vertex-ai", "kubernetes"]),
        (["--platforms", " kubernetes, "], ["kubernetes"]),
    ],
)
def test_several_platforms_are_one_option_or_several(
    questions_alone: Path, tmp_path: Path, options: list[str], recorded: list[str]
) -> None:
    project = tmp_path / "new"
    assert main(["new", str(project), "--defaults", "--template", str(questions_alone), *options]) == 0
    assert yaml.safe_load((project / answers.FILE).read_text(encoding="utf-8"))["platforms"] == recorded
    assert answers.names(answers.read(project)["platforms"]) == recorded


def test_an_unknown_platform_is_refused_in_one_line(
    questions_alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "new"
    assert (
        main(["new", str(project), "--defaults", "--template", str(questions_alone), "--platforms", "kubernets"]) == 1
    )
    said = "protoserve: platforms must be some of vertex-ai, kubernetes, not 'kubernets'; did you mean kubernetes?"
    assert said in capsys.readouterr().err.splitlines()
    assert not project.exists()


@pytest.mark.parametrize("written", ["[vertex-ai, kubernetes]", "[ 'kubernetes' ]", "[]"])
def test_copier_takes_a_list_as_text(questions_alone: Path, tmp_path: Path, written: str) -> None:
    """As `copier copy --data` gives it, and as `answers.read` does."""
    project = create(questions_alone, tmp_path / "new", alone=True, platforms=written)
    recorded = yaml.safe_load((project.path / answers.FILE).read_text(encoding="utf-8"))["platforms"]
    assert recorded == yaml.safe_load(written)


def test_platforms_that_are_no_list_any_more_stop_what_reads_them(template: Path, tmp_path: Path) -> None:
    """Copier would drop the answer, and remove the platforms' files in the next update."""
    project = create(template, tmp_path / "new", alone=True)
    recorded = project.path / answers.FILE
    recorded.write_text(
        recorded.read_text(encoding="utf-8").replace("platforms: []", "platforms: kubernetes"), encoding="utf-8"
    )
    with pytest.raises(answers.AnswersError, match=r"platforms must be a list, such as \[kubernetes\]"):
        answers.read(project.path)


def option_help(command: str, name: str) -> str:
    """What `protoserve COMMAND --help` says of the question's option, on one line."""
    parser = cli.parser()
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    options = commands.choices[command]._option_string_actions
    return str(options[f"--{name.replace('_', '-')}"].help)


def test_every_question_is_an_option_has_help_and_no_framework_is_forgotten() -> None:
    for name, question in COPIER_YML.items():
        if not name.startswith("_") and name != ADOPTED:  # which `protoserve adopt` answers by itself
            entry = option_help("new", name)
            assert " ".join(question["help"].split()) in entry
            assert "default: " in entry
            choices = question.get("choices", ())
            assert all(value in entry for value in (choices.values() if isinstance(choices, dict) else choices))
    assert option_help("new", "package").endswith("[default: from --project-name]")
    assert set(COPIER_YML["framework"]["choices"].values()) == set(frameworks())
    for name in presets():
        assert name in COPIER_YML["schema"]["validator"]


def test_packages_with_the_name_of_a_script_are_reserved() -> None:
    """Each such name would be two modules, to the type checker and to Python when it runs the script."""
    text = (ROOT / "generator" / "reserved.jinja").read_text(encoding="utf-8")
    reserved = set(re.findall(r"libraries = '([^']*)'", text)[0].split())
    folders = (ROOT / "template" / "scripts", next((ROOT / "template" / "deploy").glob("*vertex-ai*")))
    names = [path.name for folder in folders for path in folder.glob("*.py*")]
    scripts = {name for text in names for name in re.findall(r"(\w+)\.py", text)}
    assert {"predict", "spec"} <= scripts
    assert scripts | {"train"} <= reserved


def test_reserved_packages_are_those_of_this_python() -> None:
    text = (ROOT / "generator" / "reserved.jinja").read_text(encoding="utf-8")
    reserved = set(re.findall(r"python = '([^']*)'", text)[0].split())
    modules = {name.lower() for name in sys.stdlib_module_names if not name.startswith("_")}
    assert {name.lower() for name in (*keyword.kwlist, *keyword.softkwlist)} - {"_"} | modules <= reserved


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (", ".join(f"column_{index}: float64" for index in range(30)) + " -> y: Bool", "unknown type 'Bool'"),
        ("a" * 5000, "is not a schema"),
        (f"{'a' * 5000}.yaml", "cannot be read"),
        ("~nobody-has-this-name/a.yaml", "does not exist"),
    ],
)
def test_an_answer_that_no_path_can_be_is_refused_in_words(answer: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=said):
        seed(answer, "iris", tmp_path)


def test_new_takes_a_signature_of_many_fields(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema = ", ".join(f"column_number_{index}: float64" for index in range(18)) + " -> churn: bool"
    command = ["new", "wide", "--template", str(template), "--framework", "python", "--defaults", "--schema", schema]
    assert main(command) == 0
    assert "column_number_17" in Path("wide/schema.yaml").read_text(encoding="utf-8")
