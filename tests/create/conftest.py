"""A template with every form of a question, keys typed ahead at its prompts, and what mypy knows of frameworks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from protoserve.project.new import command as new_command
from support import Project, made_once

# A template with every form of a question, and nothing that takes long.
FORMS = """\
_subdirectory: template
---
!include team.yml
---
team: fraud
owner:
  type: str
  placeholder: somebody@example.com
  help: |-
    Who owns it?
      - a person or a team; 模型的所有者是谁请输入一个电子邮件地址例如谢谢
  validator: "{% if '@' not in owner %}must be an address with an @, such as somebody@example.com{% endif %}"
gpu: {type: bool, default: false, help: "With a GPU?"}
replicas: {type: int, default: 2}
ratio: {type: float, default: 0.5}
limits: {type: yaml, default: 7}
labels: {type: json, default: [1, 2], multiline: true}
folder: {type: path, default: .}
token: {type: str, secret: true, default: none}
tier:
  type: str
  default: "{{ 'gold' if gpu else 'bronze' }}"
  choices: "{{ (['gold', 'silver'] if gpu else ['bronze']) | to_json }}"
size:
  type: int
  default: 4
  choices:
    Medium: {value: 4}
    Large: {value: 64, validator: "{% if gpu %}needs less than a GPU{% endif %}"}
    A size that no machine has but that has a name which is longer than this terminal is wide: 1
zones:
  type: str
  multiselect: true
  choices: [a, b, c]
  default: [b]
  validator: "{% if not zones %}must have at least one{% endif %}"
computed: {type: str, default: "{{ owner }} {{ size }}", when: false}
only_cpu: {type: str, default: x86, when: "{{ not gpu }}"}
silent: {type: str, default: quiet, ask: false}
"""


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms") / "template"
    (folder / "template").mkdir(parents=True)
    (folder / "copier.yml").write_text(FORMS, encoding="utf-8")
    (folder / "team.yml").write_text("included: from another file\n", encoding="utf-8")
    answers = folder / "template" / "{{_copier_conf.answers_file}}.jinja"
    answers.write_text("{{ _copier_answers | to_nice_yaml }}", encoding="utf-8")
    return folder


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Types ahead at the prompts of a command that runs in this process."""
    monkeypatch.setattr(new_command, "_at_terminal", lambda: True)
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe.send_text


# What the seeds, and models of one's own, import of the frameworks' libraries.
LIBRARIES = ("lightgbm", "onnxruntime", "skl2onnx", "sklearn", "skops", "torch", "xgboost")


@pytest.fixture(scope="session")
def mypy_knows_frameworks(
    mypy_knows_libraries: None, _mypy_cache: Path, iris: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As `mypy_knows_libraries`, and the libraries of all frameworks, which are several times as much to read."""

    def fill(folder: Path) -> None:
        shutil.copytree(_mypy_cache, folder)
        imports = folder / "imports.py"
        installed = (name for name in LIBRARIES if find_spec(name) is not None)
        imports.write_text("".join(f"import {name}\n" for name in installed), encoding="utf-8")
        iris.python("-m", "mypy", str(imports), env={"MYPY_CACHE_DIR": str(folder)})

    shutil.copytree(made_once(tmp_path_factory, "mypy of frameworks", fill), _mypy_cache, dirs_exist_ok=True)
