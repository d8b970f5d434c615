"""The questions of copier.yml as options of the command line: `protoserve new` and `protoserve adopt`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from protoserve.platform import answers
from protoserve.project.template_source import questions_file

ADOPTED = "adopted"  # what `protoserve adopt` itself answers


@dataclass(frozen=True, slots=True)
class Question:
    """A question of copier.yml; `default` is a value, or a Jinja template that yields one."""

    name: str
    text: str
    default: Any
    choices: tuple[str, ...]
    multiselect: bool
    condition: str = ""  # on earlier answers, for a question that is not always asked

    @property
    def option(self) -> str:
        """The option that answers it, such as --project-name."""
        return f"--{self.name.replace('_', '-')}"


@cache
def questions() -> tuple[Question, ...]:
    """The questions of the template that this protoserve comes with, in their order. Raises OriginError."""
    entries = yaml.safe_load(questions_file().read_text(encoding="utf-8"))
    return tuple(
        _question(name, entry) for name, entry in entries.items() if not name.startswith("_") and name != ADOPTED
    )


def add_options(
    parser: argparse.ArgumentParser, asked: Iterable[Question], default_texts: Mapping[str, str] = {}
) -> None:
    """Adds an option for each question; `default_texts` describe defaults other than those of copier.yml, by name."""
    asked = tuple(asked)
    for question in asked:
        default = default_texts.get(question.name) or _describe_default(question, asked)
        text = _help(question, default).replace("%", "%%")
        if question.multiselect:
            parser.add_argument(question.option, help=text, type=answers.names, action="extend", metavar="NAME[,NAME]")
        else:
            parser.add_argument(question.option, help=text)


def given_answers(options: argparse.Namespace) -> dict[str, Any]:
    """The answers among parsed options, by the names of their questions; an option of its own outranks --data."""
    named = {question.name: getattr(options, question.name, None) for question in questions()}
    return dict(options.data) | {name: answer for name, answer in named.items() if answer is not None}


def named_answer(text: str) -> tuple[str, str]:
    """The name and the value in NAME=VALUE. Raises ArgumentTypeError."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE, such as team=fraud")
    return name, value


def _question(name: str, entry: Any) -> Question:
    """A question from its entry in copier.yml, which is a default alone in the short form."""
    fields = entry if isinstance(entry, dict) else {"default": entry}
    choices = fields.get("choices", ())
    values = choices.values() if isinstance(choices, dict) else choices
    text = " ".join(fields.get("help", f"The answer to {name}").split())
    condition = re.fullmatch(r"\{\{\s*(.*?)\s*\}\}", str(fields.get("when", "")))
    return Question(
        name,
        text,
        fields.get("default"),
        tuple(map(str, values)),
        bool(fields.get("multiselect", False)),
        condition[1] if condition else "",
    )


def _help(question: Question, default: str) -> str:
    facts = [f"default: {default}"]
    if question.choices:
        facts.insert(0, f"{'any' if question.multiselect else 'one'} of: {', '.join(question.choices)}")
    if question.condition:
        facts.append(f"only if {question.condition}")
    return f"{question.text} [{'; '.join(facts)}]"


def _describe_default(question: Question, asked: Iterable[Question]) -> str:
    """The default, or the options that it is computed from."""
    if isinstance(question.default, list):
        return ", ".join(question.default) or "none"
    text = str(question.default)
    if "{{" not in text and "{%" not in text:
        return text
    sources = [other.option for other in asked if re.search(rf"\b{other.name}\b", text)]
    return f"from {' and '.join(sources)}"
