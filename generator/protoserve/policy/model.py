"""A policy as plain data, and what breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.printing import printable
from protoserve.schema.model import Contract, Field, Method
from protoserve.schema.types import ALIASES

if TYPE_CHECKING:
    from protoserve.policy.answer_rules import AnswerRules

ANSWERS = "answers"
UNEDITED, UNDELETED = "files.unedited", "files.undeleted"
PACKAGE, STATUS, REQUEST_FIELDS = "contract.package", "contract.status", "contract.request_fields"
# The answer that an exception names a project by.
PROJECT = "project_name"


@dataclass(frozen=True, slots=True)
class PolicyException:
    """What one project may do against a rule, `until` that day and on it."""

    project: str
    rule: str
    until: date
    why: str

    def ended(self, today: date) -> bool:
        return today > self.until


@dataclass(frozen=True, slots=True)
class Violation:
    """What breaks a rule: `where` is the file of the answers, a file of the template, or a place in a schema.

    With an `exception` it is allowed for now. `ended` is an exception that no longer holds.
    """

    rule: str
    where: str
    message: str
    why: str
    remedy: str
    exception: PolicyException | None = None
    ended: PolicyException | None = None

    @property
    def sentence(self) -> str:
        """The one form in which a violation is reported: what is not allowed, why, and the rule."""
        text = f"{self.message}: {self.why} ({self.rule} in policy.yaml)"
        if self.exception is not None:
            return f"{text}; excepted until {self.exception.until}: {self.exception.why}"
        if self.ended is not None:
            return f"{text}; its exception ended on {self.ended.until}"
        return text

    @property
    def line(self) -> str:
        """The sentence with its place and the remedy."""
        return f"{printable(self.where)}: {self.sentence}; {self.remedy}"


class NotAllowedError(ProtoserveError):
    """Answers that a policy does not allow; there is a line for each violation."""

    def __init__(self, violations: Iterable[Violation], remedy: str = "") -> None:
        super().__init__("\n".join(f"{item.sentence}{remedy}" for item in violations))

    def report(self) -> str:
        """The lines, each with the name of the program."""
        return ProtoserveError(str(self).replace("\n", "\nprotoserve: ")).report()


@dataclass(frozen=True, slots=True)
class FileRules:
    """A block of `files`: whether a path must stay as the template has it, or must not be deleted.

    `globs` are all of its globs, as they were written.
    """

    unedited: Callable[[str], bool]
    undeleted: Callable[[str], bool]
    why: str
    globs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContractRules:
    """A block of `contract`: what each contract must have; None where the block does not say it.

    `matches` is whether a whole text matches the pattern `package`; `request_fields` are types by names.
    """

    package: str | None
    matches: Callable[[str], bool]
    status: str | None
    request_fields: Mapping[str, str]
    why: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What a team allows. One without rules allows everything."""

    answer_rules: AnswerRules | None = None
    file_rules: tuple[FileRules, ...] = ()
    contract_rules: tuple[ContractRules, ...] = ()
    exceptions: tuple[PolicyException, ...] = ()

    @property
    def allows_everything(self) -> bool:
        return not (self.answer_rules or self.file_rules or self.contract_rules)

    def answers(self, answers: Mapping[str, Any], today: date) -> list[Violation]:
        """What breaks the rules of answers; `answers` are those of a project, as recorded or as given."""
        if self.answer_rules is None:
            return []
        return self._with_exceptions(self.answer_rules.violations(answers), answers.get(PROJECT), today)

    def new_answers(self, before: Mapping[str, Any], answers: Mapping[str, Any], today: date) -> list[Violation]:
        """What breaks the rules of answers, is not excepted, and was not so with the answers `before`."""
        earlier = {(item.rule, item.message) for item in self.answers(before, today)} if before else set()
        return [
            item
            for item in self.answers(answers, today)
            if item.exception is None and (item.rule, item.message) not in earlier
        ]

    def answer(self, name: str, answers: Mapping[str, Any], today: date) -> list[Violation]:
        """What the answer to one question breaks, without exception; `answers` are those so far, with that one.

        Only rules are judged whose answers are all among them.
        """
        if self.answer_rules is None:
            return []
        broken = self.answer_rules.violations_at(name, answers)
        judged = self._with_exceptions(broken, answers.get(PROJECT), today)
        return [item for item in judged if item.exception is None]

    def files(self, edited: Iterable[str], deleted: Iterable[str], project: Any, today: date) -> list[Violation]:
        """What breaks the rules of files; the paths are those of template files, `project` is the answer."""
        edits = [(path, "edited") for path in edited] + [(path, "deleted") for path in deleted]
        broken = [item for path, how in sorted(edits) for rules in self.file_rules for item in _file(rules, path, how)]
        return self._with_exceptions(broken, project, today)

    def governs_file(self, path: str) -> bool:
        """Whether a rule is about this template file."""
        return any(rules.unedited(path) or rules.undeleted(path) for rules in self.file_rules)

    def contract(self, contracts: Iterable[Contract], project: Any, today: date) -> list[Violation]:
        """What breaks the rules of contracts; each version of a project's contract is judged."""
        judged = [_contract(rules, contract) for contract in contracts for rules in self.contract_rules]
        broken = [item for items in judged for item in items]
        return self._with_exceptions(broken, project, today)

    def _with_exceptions(self, broken: Iterable[Violation], project: Any, today: date) -> list[Violation]:
        return [self._with_exception(item, str(project), today) for item in broken]

    def _with_exception(self, item: Violation, project: str, today: date) -> Violation:
        """The violation with the exception that holds longest, if there is one."""
        granted = [made for made in self.exceptions if (made.project, made.rule) == (project, item.rule)]
        if not granted:
            return item
        last = max(granted, key=lambda made: made.until)
        return replace(item, ended=last) if last.ended(today) else replace(item, exception=last)


def _file(rules: FileRules, path: str, how: str) -> Iterator[Violation]:
    shown = printable(path)
    remedy = "`make policy` shows the difference: undo it"
    if how == "deleted":
        remedy = f"bring it back from git: `git log --diff-filter=D -- {shown}` names the commit that deleted it"
    if rules.unedited(path):
        message = f"{shown} must be as the template has it, and it is {how}"
        yield Violation(UNEDITED, path, message, rules.why, remedy)
    elif how == "deleted" and rules.undeleted(path):
        yield Violation(UNDELETED, path, f"{shown} must not be deleted", rules.why, remedy)


def _contract(rules: ContractRules, contract: Contract) -> Iterator[Violation]:
    if rules.package is not None and not rules.matches(contract.package):
        message = f"package must match {rules.package}, not be {contract.package}"
        yield Violation(PACKAGE, _place(contract, "package"), message, rules.why, f"edit {contract.file}")
    if rules.status is not None and contract.status != rules.status:
        message = f"status must be {rules.status}, not {contract.status}"
        remedy = f"write `status: {rules.status}` in {contract.file}, then `make generate`"
        yield Violation(STATUS, _place(contract, "status"), message, rules.why, remedy)
    requests: dict[str, Method] = {}
    for method in contract.methods:
        requests.setdefault(method.request.name, method)
    for method in requests.values():
        yield from _request(rules, contract, method)


def _request(rules: ContractRules, contract: Contract, method: Method) -> Iterator[Violation]:
    fields = {item.name: item for item in method.request.fields}
    for name, wanted in rules.request_fields.items():
        item = fields.get(name)
        if item is None:
            message = f"the request of {method.name} must have the field {name}, of type {wanted}"
            is_list = ", repeated: true" if wanted.endswith("[]") else ""
            entry = f"{{name: {name}, type: {wanted.removesuffix('[]')}{is_list}}}"
            remedy = f"add {entry} to its fields in {contract.file}, then `make generate`"
            where = method.request.where if method.request.where.line else method.where
        elif (actual := _type(item)) != canonical_type(wanted):
            message = f"{name} in the request of {method.name} must be of type {wanted}, not {actual}"
            remedy = f"change its type in {contract.file}, then `make generate`"
            where = item.where
        else:
            continue
        yield Violation(REQUEST_FIELDS, f"{contract.file}:{where.line}:{where.column}", message, rules.why, remedy)


def _type(item: Field) -> str:
    """The type of a field; that of a list ends in []."""
    if item.is_map:
        return f"map<{item.key}, {item.type}>"
    return f"{item.type}[]" if item.repeated else item.type


def canonical_type(text: str) -> str:
    """A type as `_type` gives it: `float` is a name of float32."""
    return re.sub(r"\w+", lambda word: ALIASES.get(word[0], word[0]), text)


def _place(contract: Contract, key: str) -> str:
    where = contract.where(key)
    return f"{contract.file}:{where.line}:{where.column}"
