"""A template and its questions, as Copier reads them: the only module that uses what Copier does not document.

Copier's `Question` renders texts, choices, conditions, defaults and validators; that an answer is accepted here means
that Copier accepts it. See docs/decisions/0029-protoserve-asks.md.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from copier._main import Worker
from copier._types import MISSING as MISSING
from copier._types import Phase
from copier._user_data import AnswersMap
from copier._user_data import Question as Question
from copier.errors import CopierError, TaskError, UserMessageError
from jinja2 import TemplateError
from plumbum import ProcessExecutionError, local

from protoserve.platform import interrupts
from protoserve.platform.credentials import without_credentials
from protoserve.platform.git import reason
from protoserve.project.copier_environment import copier_environment
from protoserve.project.new import NewError
from protoserve.project.template_source import Template
from protoserve.project.user_folders import copier_cache
from protoserve.schema.mapping_reader import nearest

# What a wrong answer, or a mistake in a team's copier.yml, raises in Copier.
COPIER_ERRORS = (UserMessageError, CopierError, TemplateError, yaml.YAMLError, ValueError, TypeError, KeyError)
_INVALID_CHOICE = re.compile(r"Invalid choice for '\w+': (?P<answer>.*) is not in \[(?P<choices>.*)\]", re.DOTALL)
_TYPES = {"int": "an integer", "float": "a number", "json": "valid JSON", "yaml": "valid YAML"}


class ReportedError(NewError):
    """The project was not created, and the reason has been printed, as by a task of the template that failed."""


class CopierSession:
    """One creation: first the questions, one after the other, then the project."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def template_folder(self) -> Path:
        """The template's files: a clone, or the folder that was named."""
        return Path(self._worker.template.local_abspath)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all questions."""
        return tuple(map(str, self._worker.template.questions_data))

    @property
    def secrets(self) -> frozenset[str]:
        """The names of questions whose answers must not be kept."""
        return frozenset(self._worker.template.secret_questions)

    def start(self, data: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Forgets all answers; `data` are answers given beforehand, `defaults` take the place of the template's."""
        worker = self._worker
        worker.answers = AnswersMap(
            user_defaults={**worker.user_defaults, **defaults},
            init=dict(data),
            last=worker.subproject.last_answers,
            metadata=worker.template.metadata,
            external=worker._external_data(),
        )

    def print_first_message(self) -> None:
        """Prints what the template says before its questions (_message_before_copy)."""
        with self._loud():
            self._worker._print_message(self._worker.template.message_before_copy)

    def print_last_message(self) -> None:
        """Prints what the template says of the new project (_message_after_copy)."""
        with self._loud():
            self._worker._print_message(self._worker.template.message_after_copy)

    def questions(self) -> Iterator[Question]:
        """The questions in their order; each is rendered with the answers recorded so far."""
        worker = self._worker
        with Phase.use(Phase.PROMPT):
            for name, details in worker.template.questions_data.items():
                yield Question(
                    answers=worker.answers,
                    context=worker._render_context(),
                    jinja_env=worker.jinja_env,
                    settings=worker.settings,
                    var_name=name,
                    **details,
                )

    def record(self, question: Question, answer: Any) -> None:
        """Records a parsed answer, which later questions may use."""
        self._worker.answers.user[question.var_name] = answer

    def skip(self, question: Question) -> None:
        """Records the default, if there is one, of a question that is not asked; the project does not record it."""
        self._worker.answers.hide(question.var_name)
        default = question.get_default()
        if default is not MISSING:
            self.record(question, default)

    def discard_data(self, question: Question) -> None:
        """Forgets the answer that was given beforehand."""
        self._worker.answers.init.pop(question.var_name, None)

    def create(self, data: Mapping[str, Any]) -> None:
        """Creates the project from these answers and the defaults of all other questions.

        Raises ReportedError if a task failed, NewError for every other error of Copier.
        """
        self._worker.data.clear()
        self._worker.data.update(data)
        self._worker.defaults = True
        try:
            self._worker.run_copy()
        except TaskError:
            raise ReportedError("the generator failed") from None
        except COPIER_ERRORS as error:
            raise NewError(words(error)) from None

    @contextmanager
    def _loud(self) -> Iterator[None]:
        self._worker.quiet = False
        try:
            yield
        finally:
            self._worker.quiet = True


@contextmanager
def open_session(template: Template, dest: Path, default_answers: Mapping[str, Any]) -> Iterator[CopierSession]:
    """Fetches the template, for a project in `dest`. Raises NewError if it cannot be fetched or read."""
    # Copier's tasks run in plumbum's environment, which is the one that this process began with.
    with (
        copier_cache(),
        local.env(TMPDIR=tempfile.gettempdir()),
        Worker(
            src_path=template.source,
            dst_path=dest,
            vcs_ref=template.ref,
            user_defaults=dict(default_answers),
            unsafe=True,
            quiet=True,
        ) as worker,
    ):
        session = CopierSession(worker)
        # Copier has its own form for warnings and for errors in copier.yml.
        with warnings.catch_warnings(record=True) as caught, redirect_stderr(io.StringIO()):
            try:
                # The steps of the template run later, with the user's own settings and hooks.
                with copier_environment():
                    session.names  # noqa: B018  # fetches the template
                    worker.template.commit, worker.template.git_index_modes  # noqa: B018
            except (*COPIER_ERRORS, OSError) as error:
                interrupts.raise_if_received()  # what Copier cleaned up may have failed because of it
                raise NewError(f"the template {template.source} cannot be read: {_unreadable(error)}") from None
        for warning in caught:
            print(f"note: {without_credentials(str(warning.message))}", file=sys.stderr)
        yield session


def _unreadable(error: BaseException) -> str:
    """Why Copier could not fetch or read a template."""
    if isinstance(error, ProcessExecutionError):
        return reason(str(error.stderr))
    return words(error.__cause__ if isinstance(error.__cause__, yaml.YAMLError) else error)


def parse(question: Question, answer: Any) -> Any:
    """The answer in the type of the question; ValueError with words if it is not allowed."""
    try:
        parsed = question.parse_answer(answer)
    except COPIER_ERRORS as error:
        refused = _INVALID_CHOICE.fullmatch(str(error))
        if refused is not None:
            raise ValueError(_not_a_choice(question, refused["answer"], refused["choices"])) from None
        kind = "a list, such as [a, b]" if question.multiselect else _TYPES.get(question.get_type_name(), "another")
        raise ValueError(f"{question.var_name} must be {kind}, not {_shortened(str(answer))}") from None
    try:
        question.validate_answer(parsed)
    except ValueError as error:
        raise ValueError(words(error)) from None
    return parsed


def _not_a_choice(question: Question, answer: str, choices: str) -> str:
    """An error with the choices that there are; `answer` and `choices` are quoted, as Copier has them."""
    allowed = [choice.strip("'") for choice in choices.split(", ")]
    guess = nearest(answer.strip("'"), allowed)
    meant = f"; did you mean {guess}?" if guess else ""
    count = "some of" if question.multiselect else "one of"
    return f"{question.var_name} must be {count} {', '.join(allowed)}, not {answer}{meant}"


def lenient_default(question: Question) -> Question:
    """The question without its validator, and without a default that it does not allow: Copier would fail on it."""
    lenient = replace(question, validator="")
    try:
        lenient.get_default()
    except COPIER_ERRORS:
        return replace(lenient, default=MISSING)
    return lenient


def words(error: BaseException) -> str:
    """An error of Copier for its user: "port must be 1" for "Validation error for question 'port': must be 1"."""
    text = str(error).strip() or type(error).__name__
    prefix, separator, message = text.partition("': ")
    if not separator or not prefix.startswith("Validation error for question '"):
        return text
    name = prefix.rpartition("'")[2]
    return f"{name} {message}" if message.startswith("must ") else message


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
