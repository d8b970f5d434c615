"""Asks the questions of a template in their order, and judges each answer when it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from protoserve.platform.errors import ProtoserveError
from protoserve.policy import NotAllowedError, Policy, Violation
from protoserve.project.new import NewError
from protoserve.project.new.copier_session import COPIER_ERRORS, MISSING, CopierSession, Question, parse, words

# Why a policy does not allow an answer to the question that is asked; None if it does.
WhyNot = Callable[[Any], str | None]
# Raises ProtoserveError for an answer that the generator would refuse. The second argument has the answers so far.
Judge = Callable[[str, Mapping[str, Any]], None]


class StartOver(Exception):
    """Begin again with the first question."""


class Prompter(Protocol):
    """Asks at a terminal."""

    def show(self, question: Question) -> None:
        """Shows what is asked."""

    def ask(self, question: Question, text: str | None, why_not: WhyNot) -> Any:
        """The raw answer; `text` is what stands in the prompt, None for the question's default.

        A choice or a default that is not allowed by `why_not` cannot be taken.
        """

    def refuse(self, reason: Exception) -> None:
        """Shows why the last answer is not allowed."""

    def confirm(self, question: Question, answer: Any, answers: Mapping[str, Any]) -> bool:
        """Shows what comes of an allowed answer; False asks the question again. Raises StartOver."""


@dataclass(slots=True)
class Questionnaire:
    """The questions of one creation.

    `given` are answers of the command line, of which a wrong one is refused before anything is asked; `kept` are
    answers of a file, of which a wrong one is asked again. Without a prompter nothing is asked. `options` are those of
    the command line, by the names of their questions. `policy` is that of the template.
    """

    session: CopierSession
    given: Mapping[str, Any]
    kept: Mapping[str, Any]
    prompter: Prompter | None
    use_defaults: bool
    judges: Mapping[str, Judge]
    options: Mapping[str, str]
    policy: Policy
    asked: bool = False
    # The answers so far: as Copier takes them, as the template sees them.
    data: dict[str, Any] = field(default_factory=dict)
    _parsed: dict[str, Any] = field(default_factory=dict)
    _unanswered: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the questions whose answers must not be kept."""
        return self.session.secrets

    def run(self) -> dict[str, Any]:
        """The answers to all questions that are asked, as data for Copier. Raises ProtoserveError."""
        self._refuse_unknown_names()
        if self.prompter is not None:
            self._check_given()
        changed: dict[str, Any] = {}
        while True:
            try:
                return self._once(changed)
            except StartOver:
                changed = self._changed()

    def _once(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        self.data.clear()
        self._parsed.clear()
        self.session.start({**self.kept, **self.given}, changed)
        for question in self.session.questions():
            try:
                self._answer(question)
            except COPIER_ERRORS as error:
                if self._unanswered:
                    continue  # it may depend on one of them
                raise NewError(words(error)) from None
        if self._unanswered:
            raise NewError(_unanswered([self._option(name) for name in self._unanswered]))
        self._check_all()
        return self.data

    def _check_all(self) -> None:
        """Judges the answers together by the policy; at a terminal, all that was asked is asked again.

        Raises NotAllowedError and StartOver.
        """
        refused = self.policy.new_answers({}, self._parsed, date.today())
        if not refused:
            return
        error = NotAllowedError(refused)
        if self.prompter is None or not self.asked:
            raise error
        self.prompter.refuse(error)
        raise StartOver

    def _check_given(self) -> None:
        """Refuses a wrong answer of the command line before anything is asked; raises NewError."""
        self.session.start(self.given, {})
        for question in self.session.questions():
            try:
                if question.var_name in self.given and question.get_when():
                    self._take(question, self.given[question.var_name])
                else:
                    with suppress(*COPIER_ERRORS):
                        self._record_default(question)
            except COPIER_ERRORS as error:
                if "is undefined" not in str(error):  # it depends on an answer that is not known yet
                    raise NewError(words(error)) from None

    def _answer(self, question: Question) -> None:
        name = question.var_name
        if not question.get_when():
            if name in self.given or name in self.kept:
                raise NewError(_not_asked(question))
            self.session.skip(question)
        elif name in self.given:
            self._take_or_ask(question, self.given[name])
        elif name in self.kept:
            self._take_or_ask(question, self.kept[name])
        elif self.use_defaults or not question.get_ask():
            self._take_default(question)
        elif self.prompter is None:
            self._unanswered.append(name)
            self._record_default(question)
        else:
            self._ask(question, self.prompter, None)

    def _take(self, question: Question, answer: Any) -> None:
        """Records an answer. Raises ValueError and ProtoserveError if it is not allowed."""
        name = question.var_name
        if name in self.judges and isinstance(answer, str):
            self.judges[name](answer, self._parsed)  # first, since its errors name the place
        parsed = parse(question, answer)
        if refused := self._violations(name, parsed):
            raise NotAllowedError(refused)
        # Copier parses texts once more.
        self.data[name] = answer if isinstance(parsed, str) or question.multiselect else parsed
        self._parsed[name] = parsed
        self.session.record(question, parsed)

    def _take_or_ask(self, question: Question, answer: Any) -> None:
        """Records an answer that was given beforehand; at a terminal, a wrong one is asked."""
        try:
            self._take(question, answer)
        except (ProtoserveError, ValueError) as error:
            if self.prompter is None:
                raise
            self.session.discard_data(question)
            self._ask(question, self.prompter, error, answer if isinstance(answer, str) else None)

    def _take_default(self, question: Question) -> None:
        """Copier computes the default by itself: it is only judged here."""
        if not self._record_default(question):
            if question.get_ask():
                raise NewError(f"{question.var_name} has no default: answer it with {self._option(question.var_name)}")
            return
        if refused := self._violations(question.var_name, self._parsed[question.var_name]):
            raise NotAllowedError(refused, f"; answer it with {self._option(question.var_name)}")
        judge = self.judges.get(question.var_name)
        if judge is not None:
            judge(self._parsed[question.var_name], self._parsed)

    def _violations(self, name: str, answer: Any) -> list[Violation]:
        """What the answer to a question breaks of the policy, with the answers before it."""
        return self.policy.answer(name, {**self._parsed, name: answer}, date.today())

    def _record_default(self, question: Question) -> bool:
        """Whether there is a default, which is recorded. Raises ValueError if the question does not allow it."""
        default = question.get_default()
        if default is MISSING:
            return False
        self._parsed[question.var_name] = default
        self.session.record(question, default)
        return True

    def _ask(self, question: Question, prompter: Prompter, reason: Exception | None, text: str | None = None) -> None:
        """Asks until the answer is allowed and confirmed; a refused text stays in the prompt."""
        self.asked = True

        def why_not(answer: Any) -> str | None:
            refused = self._violations(question.var_name, answer)
            return refused[0].why if refused else None

        prompter.show(question)
        while True:
            if reason is not None:
                prompter.refuse(reason)
            answer = prompter.ask(question, text, why_not)
            text = answer if isinstance(answer, str) else None
            try:
                self._take(question, answer)
            except (ProtoserveError, ValueError) as error:
                reason = error
                continue
            reason = None
            if prompter.confirm(question, self._parsed[question.var_name], self._parsed):
                return

    def _refuse_unknown_names(self) -> None:
        known = set(self.session.names)
        for name in (*self.given, *self.kept):
            if name not in known:
                raise NewError(
                    f"{name} is not a question of this template: leave it out. Its questions: "
                    f"{', '.join(self.session.names)}"
                )

    def _option(self, name: str) -> str:
        """How the command line answers a question."""
        return self.options.get(name, f"--data {name}=...")

    def _changed(self) -> dict[str, Any]:
        """The answers that differ from their defaults, which stay when all questions are asked again."""
        self.session.start({}, {})
        changed = {}
        for question in self.session.questions():
            name = question.var_name
            try:
                default = question.get_default()
            except COPIER_ERRORS:
                default = MISSING
            if name in self._parsed:
                if name in self.data and self._parsed[name] != default:
                    changed[name] = self.data[name]
                self.session.record(question, self._parsed[name])
        return changed


def _not_asked(question: Question) -> str:
    condition = " ".join(str(question.when).split()).removeprefix("{{").removesuffix("}}").strip()
    return (
        f"{question.var_name} is answered, but with these answers it is not asked (its condition: {condition}): "
        "leave it out, or change what it depends on"
    )


def _unanswered(options: list[str]) -> str:
    return (
        f"there is no terminal to ask at, and these questions are not answered: {', '.join(options)}. "
        "Add these options, or --defaults to take the defaults"
    )
