"""Reads `policy.yaml`: to a `Policy`, or to everything that is wrong with it, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import one_line
from protoserve.platform.reading import NotTextError, UnreadableFileError, read_text
from protoserve.platform.yaml_tree import Mapping, Scalar, Sequence, YamlError, parse
from protoserve.policy.model import (
    ANSWERS,
    PACKAGE,
    REQUEST_FIELDS,
    STATUS,
    UNDELETED,
    UNEDITED,
    ContractRules,
    FileRules,
    Policy,
    PolicyException,
)
from protoserve.schema.errors import Problem
from protoserve.schema.mapping_reader import Problems, Section, TooManyProblems, nearest, plain, shown

if TYPE_CHECKING:
    from protoserve.policy.answer_rules import AnswerRules

FILE = "policy.yaml"
_MAX_BYTES = 2**16
_CONFIGURATIONS = ("copier.yml", "copier.yaml")
_KEYS = ("answers", "files", "contract", "exceptions")
_RULES = (UNEDITED, UNDELETED, PACKAGE, STATUS, REQUEST_FIELDS)
_STATUSES = ("draft", "stable")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(\[\])?")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class PolicyError(ProtoserveError):
    """A policy that cannot be used. `problems` are sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(_line(problem) for problem in self.problems))

    def report(self) -> str:
        """The text as it is: each line begins with its place, as editors and CI know it."""
        return str(self)


def _line(problem: Problem) -> str:
    path = f"{problem.path}: " if problem.path else ""
    return one_line(f"{FILE}:{problem.line}:{problem.column}: {path}{problem.message}; {problem.remedy}")


def load(template: Path) -> Policy:
    """The policy of the template in this folder; without a policy.yaml it allows everything. Raises PolicyError."""
    file = template / FILE
    try:
        text = read_text(file, template, _MAX_BYTES)
    except FileNotFoundError:
        if file.is_symlink():  # a team that has a policy, which would be lost without a word
            reason, remedy = "the file is a link that leads to no file", "put the file itself there"
            raise PolicyError([Problem(1, 1, "", reason, remedy)]) from None
        return Policy()
    except NotTextError as error:
        raise PolicyError([Problem(1, 1, "", f"the file is {error.reason}", "save it as UTF-8")]) from None
    except UnreadableFileError as error:
        raise PolicyError([Problem(1, 1, "", f"the file is {error.reason}", error.remedy)]) from None
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror}"
        raise PolicyError([Problem(1, 1, "", reason, "check its permissions")]) from None
    return loads(text, questions(template))


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a template: their names, None if they cannot be known, and those whose answers are secret."""

    names: tuple[str, ...] | None
    secrets: frozenset[str]


def questions(template: Path) -> Questions:
    """What copier.yml asks. Names are unknown if it includes other files, or cannot be read, which Copier reports."""
    for name in _CONFIGURATIONS:
        try:
            content = yaml.load(read_text(template / name, template), _Loader)  # a SafeLoader
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict) and all(isinstance(key, str) for key in content):
            names = tuple(key for key in content if not key.startswith("_"))
            secret = {key for key in names if isinstance(content[key], dict) and content[key].get("secret")}
            return Questions(names, frozenset(secret) | set(map(str, content.get("_secret_questions") or ())))
    return Questions(None, frozenset())


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads copier.yml with plain values only: it fails at Copier's own tags, such as !include."""


def loads(text: str, asked: Questions) -> Policy:
    """The policy in a text. Raises PolicyError."""
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return Policy()
    problems = Problems()
    try:
        root = parse(text)
        if isinstance(root, Mapping):
            policy = _Reader(problems, asked).policy(root)
        else:
            problems.add(root.place, "", "a policy must be a mapping", f"begin with one of {', '.join(_KEYS)}")
    except YamlError as error:
        faults = (Problem(f.place.line, f.place.column, "", f.message, f.remedy) for f in error.faults)
        raise PolicyError(faults) from None
    except TooManyProblems:
        raise PolicyError(problems.items) from None
    if problems.items:
        raise PolicyError(problems.items)
    return policy


class _Reader:
    """Reads the parts of a policy, and collects what is wrong with them."""

    def __init__(self, problems: Problems, asked: Questions) -> None:
        self._problems = problems
        self._asked = asked

    def policy(self, root: Mapping) -> Policy:
        top = Section(root, "", self._problems)
        top.allow(_KEYS)
        answer_rules = self._answer_rules(top)
        files = [self._files(block) for block in self._blocks(top, "files")]
        contract = [self._contract(block) for block in self._blocks(top, "contract")]
        exceptions = [self._exception(block) for block in self._blocks(top, "exceptions")]
        return Policy(
            answer_rules, tuple(filter(None, files)), tuple(filter(None, contract)), tuple(filter(None, exceptions))
        )

    def _answer_rules(self, top: Section) -> AnswerRules | None:
        node = top.node_of(ANSWERS)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return None
        if not isinstance(node, Mapping):
            top.report(ANSWERS, "the rules of answers must be a mapping", "write `properties:` below `answers:`")
            return None
        # jsonschema takes a moment to import.
        from protoserve.policy import answer_schema
        from protoserve.policy.answer_rules import AnswerRules

        before = len(self._problems.items)
        answer_schema.check(node, ANSWERS, self._problems, self._asked.names)
        return AnswerRules(plain(node), self._asked.secrets) if len(self._problems.items) == before else None

    def _blocks(self, top: Section, key: str) -> list[Section]:
        """The mappings of a list, or the only one."""
        node = top.node_of(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return []
        items = node.items if isinstance(node, Sequence) else (node,)
        blocks = []
        for number, item in enumerate(items):
            path = f"{key}[{number}]" if isinstance(node, Sequence) else key
            if isinstance(item, Mapping):
                blocks.append(Section(item, path, self._problems))
            else:
                self._problems.add(item.place, path, "this must be a mapping", "write `key: value` pairs")
        return blocks

    def _files(self, block: Section) -> FileRules | None:
        from protoserve.policy.patterns import globs

        block.allow(("unedited", "undeleted", "why"))
        before = len(self._problems.items)
        unedited, undeleted = self._globs(block, "unedited"), self._globs(block, "undeleted")
        why = self._why(block)
        if not unedited and not undeleted and len(self._problems.items) == before:
            block.report(None, "a block of files needs unedited or undeleted", "write a list of globs, or take it out")
        if len(self._problems.items) > before:
            return None
        return FileRules(globs(unedited), globs(undeleted), why, (*unedited, *undeleted))

    def _globs(self, block: Section, key: str) -> list[str]:
        from protoserve.policy.patterns import fault_of_glob

        patterns = []
        for item in block.items(key, "globs") or ():
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                self._problems.add(item.place, f"{block.path}.{key}", "a glob must be a text", "write it in quotes")
            elif fault := fault_of_glob(item.value):
                self._problems.add(item.place, f"{block.path}.{key}", *fault)
            else:
                patterns.append(item.value)
        return patterns

    def _contract(self, block: Section) -> ContractRules | None:
        from protoserve.policy.patterns import PatternError, whole

        block.allow(("package", "status", "request_fields", "why"))
        before = len(self._problems.items)
        package, status, fields = block.text("package"), block.text("status"), self._request_fields(block)
        if status is not None and status not in _STATUSES:
            block.report("status", f"status must be {' or '.join(_STATUSES)}, not {shown(status)}", "write stable")
        why = self._why(block)
        try:
            matches = whole(package or "")
        except PatternError:
            remedy = r"write it in RE2's syntax, such as risk\..*"
            block.report("package", f"{shown(package or '')} is not a pattern of RE2", remedy)
        if package is None and status is None and not fields and len(self._problems.items) == before:
            block.report(None, "a block of contract needs package, status or request_fields", "write one of them")
        if len(self._problems.items) > before:
            return None
        return ContractRules(package, matches, status, fields, why)

    def _request_fields(self, block: Section) -> dict[str, str]:
        section = block.section("request_fields")
        fields: dict[str, str] = {}
        for name in section.keys if section is not None else ():
            assert section is not None
            wanted = section.text(name)
            if not _FIELD.fullmatch(name):
                section.report(name, f"{shown(name)} is not the name of a field", "write one such as request_id")
            elif wanted is not None and not _TYPE.fullmatch(wanted):
                section.report(name, f"{shown(wanted)} is not a type", "write one such as string, int64 or string[]")
            elif wanted is not None:
                fields[name] = wanted
        return fields

    def _exception(self, block: Section) -> PolicyException | None:
        block.allow(("project", "rule", "until", "why"))
        before = len(self._problems.items)
        project, rule = self._needed(block, "project"), self._needed(block, "rule")
        until, why = self._date(block), self._why(block)
        if rule:
            self._check_rule(block, rule)
        if len(self._problems.items) > before or until is None:
            return None
        return PolicyException(project, rule, until, why)

    def _check_rule(self, block: Section, rule: str) -> None:
        names = self._asked.names
        known = [*_RULES, ANSWERS, *(f"{ANSWERS}.{name}" for name in names or ())]
        if rule in known or (names is None and rule.startswith(f"{ANSWERS}.")):
            return
        guess = nearest(rule, known)
        remedy = f"did you mean {guess!r}?" if guess else f"write answers.NAME or one of {', '.join(_RULES)}"
        block.report("rule", f"the policy has no rule {shown(rule)}", remedy)

    def _date(self, block: Section) -> date | None:
        text = self._needed(block, "until")
        try:
            if not _DATE.fullmatch(text):
                raise ValueError
            return date.fromisoformat(text)
        except ValueError:
            if text:
                block.report("until", f"until must be a date, not {shown(text)}", "write it as 2027-03-31")
            return None

    def _why(self, block: Section) -> str:
        return self._needed(block, "why", "say why, for those who read it: `why: the server is audited`")

    def _needed(self, block: Section, key: str, remedy: str = "") -> str:
        """A text that must be there; empty if it is not, which is reported."""
        if key not in block:
            block.report(None, f"{key} is missing", remedy or f"write `{key}: ...`")
            return ""
        text = block.text(key)
        if text == "":
            block.report(key, f"{key} is empty", remedy or f"write `{key}: ...`")
        return text or ""
