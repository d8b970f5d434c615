"""Answers reach a project's files as data, whatever they say: no file says anything else because of one."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

import hostile_texts
from protoserve.platform.plain_text import plain
from support import copier_jinja, create

HARMLESS = {"project_name": "words", "description": "words"}
LENGTHS = {"project_name": 80, "description": 200}
# The files of the template that contain such an answer, by their names in a project.
TEMPLATES = {
    "README.md": "README.md.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    "Dockerfile": "Dockerfile.jinja",
    "deploy/vertex-ai/container_spec.yaml": (
        "deploy/{{ 'vertex-ai' if 'vertex-ai' in platforms else '' }}/container_spec.yaml.jinja"
    ),
    ".copier-answers.yml": "{{_copier_conf.answers_file}}.jinja",
}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answers(seed: int) -> Iterator[dict[str, str]]:
    """Hostile answers that the questions accept, without end."""
    texts = hostile_texts.Texts(seed)
    while True:
        given = {key: texts.next(key, lines=False, controls=True)[:most] for key, most in LENGTHS.items()}
        if all(map(words, given.values())):
            yield given


@pytest.mark.slow
def test_only_some_files_contain_an_answer(template: Path, tmp_path: Path) -> None:
    """The rest of what Copier writes is the same to the byte, the title apart in nothing that a program reads."""
    platforms = {"package": "words", "platforms": ["vertex-ai", "kubernetes"], "framework": "python"}
    hostile = {"project_name": '{{ 7 * 7 }} """\\', "description": "${{ x }} <script>'\x1b[31m`$(touch canary)`\u202e"}
    create(template, tmp_path / "hostile", alone=True, **hostile, **platforms)
    create(template, tmp_path / "harmless", alone=True, **HARMLESS, **platforms)
    made, harmless = files(tmp_path / "hostile"), files(tmp_path / "harmless")
    assert made.keys() == harmless.keys()
    assert {name for name in made if made[name] != harmless[name]} == TEMPLATES.keys()
    recorded = yaml.safe_load(made[".copier-answers.yml"])
    assert {name: recorded[name] for name in hostile} == hostile


def rendered(
    given: dict[str, str], templates: dict[str, str] = TEMPLATES, answers_file: str = ".copier-answers.yml"
) -> dict[str, str]:
    """Files of a project as Copier renders them."""
    vertex = {"vertex_project": "p", "vertex_region": "r", "vertex_repository": "x", "vertex_machine": "m"}
    values: dict[str, Any] = {"package": "words", "framework": "python", "port": "9000", "python_version": "3.12"}
    values |= {**given, **vertex, "platforms": ["vertex-ai"], "ci": "github", "transport": "grpcio", "adopted": False}
    conf = SimpleNamespace(answers_file=answers_file, vcs_ref_hash=None)
    return {
        name: copier_jinja().get_template(f"template/{path}").render(values, _copier_conf=conf, _copier_answers=values)
        for name, path in templates.items()
    }


@pytest.mark.parametrize("number", [10, pytest.param(150, marks=pytest.mark.slow)])
def test_no_answer_changes_what_a_file_says(number: int) -> None:
    harmless = structures(rendered(HARMLESS))
    for given in islice(answers(number), number):
        made = rendered(given)
        for name, structure in structures(made).items():
            assert structure == harmless[name], (name, given)
        check_that_it_reads_as_it_was_given(made, given)


def structures(made: dict[str, str]) -> dict[str, object]:
    return {name: hostile_texts.structure(name, text.encode()) for name, text in made.items()}


def check_that_it_reads_as_it_was_given(made: dict[str, str], given: dict[str, str]) -> None:
    name, description = (words(given[key]) for key in HARMLESS)
    assert words(tomllib.loads(made["pyproject.toml"])["project"]["description"]) == description
    assert words(yaml.safe_load(made["deploy/vertex-ai/container_spec.yaml"])["displayName"]) == name
    _, title, _, _, paragraph, *_ = MarkdownIt("commonmark").parse(made["README.md"])
    assert ["".join(child.content for child in token.children or ()) for token in (title, paragraph)] == [
        name,
        description,
    ]
    label = next(line for line in made["Dockerfile"].splitlines() if line.startswith("LABEL"))
    assert shlex.split(label.removesuffix("\\"))[1].partition("=")[2].replace("\\$", "$") == name
    recorded = yaml.safe_load(made[".copier-answers.yml"])
    assert (words(recorded["project_name"]), words(recorded["description"])) == (name, description)


def words(text: str) -> str:
    """The text without characters that act, on one line."""
    return " ".join(plain(text).split())


def test_the_name_of_the_answers_file_is_a_name_wherever_it_stands() -> None:
    """A user may choose it: `copier copy --answers-file`."""
    workflows = (".github/workflows/ci.yml", ".github/workflows/template-update.yml", ".gitlab-ci.yml")
    paths = ("scripts/generate.py", *workflows, "README.md")
    templates = {path: f"{path}.jinja" for path in paths}
    name = f'"""\n      - run: {hostile_texts.SHELL}\n`<b>`\\N{{"\\'
    made, harmless = (rendered(HARMLESS, templates, file) for file in (name, ".copier-answers.yml"))
    assert structures(made) == structures(harmless)
