"""The row of a status about the policy of the recorded version: what of a project it does not allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from protoserve import policy
from protoserve.platform import answers
from protoserve.policy import Policy, PolicyError, Violation
from protoserve.project.status.recorded_template import Rendered
from protoserve.project.status.report import Row, State
from protoserve.schema import project_schemas
from protoserve.schema.errors import SchemaError

NAME = "policy"


def policy_row(
    project: Path, template: Path, recorded: Mapping[str, Any], rendered: Rendered, files: Row, today: date
) -> Row:
    """The project against the policy in the folder of its template's version; `files` is the row of template files.

    `details` have a line for each violation, in `rules` the rule of each, and in `excepted` those that are allowed for
    now.
    """
    try:
        rules = policy.load(template)
    except PolicyError as error:
        first = str(error).splitlines()[0]
        return Row(NAME, State.UNKNOWN, first, {}, "correct policy.yaml in the template, and release it")
    if rules.allows_everything:
        has_file = (template / policy.FILE).exists()
        return Row(NAME, State.OK, "allows everything" if has_file else "no policy")
    if rules.file_rules and files.state is State.UNKNOWN:
        return Row(NAME, State.UNKNOWN, files.text)
    project_name = recorded.get("project_name")
    violations = rules.answers(recorded, today)
    if rules.file_rules:
        violations += rules.files(*_edited_and_deleted(rendered, files), project_name, today)
    try:
        violations += _contract(project, rules, recorded, today)
    except SchemaError as error:
        return Row(NAME, State.TODO, str(error).splitlines()[0], _details(violations), "edit schema.yaml")
    return _row(violations)


def _row(violations: Sequence[Violation]) -> Row:
    details = _details(violations)
    excepted = f"{len(details['excepted'])} excepted for now" if "excepted" in details else ""
    if "violations" not in details:
        return Row(NAME, State.OK, excepted or "all as it allows", details)
    count = len(details["violations"])
    text = f"{count} not allowed: {', '.join(dict.fromkeys(details['rules']))}"
    counted = [item for item in violations if item.exception is None]
    remedies = list(dict.fromkeys(item.remedy for item in counted))
    remedy = remedies[0] if len(remedies) == 1 else "see the lines below"
    return Row(NAME, State.TODO, f"{text}; {excepted}" if excepted else text, details, remedy)


def _details(violations: Sequence[Violation]) -> dict[str, list[str]]:
    counted = [item for item in violations if item.exception is None]
    details = {
        "violations": [item.line for item in counted],
        "rules": [item.rule for item in counted],
        "excepted": [f"{item.where}: {item.sentence}" for item in violations if item.exception is not None],
    }
    return {kind: lines for kind, lines in details.items() if lines}


def _edited_and_deleted(rendered: Rendered, files: Row) -> tuple[list[str], list[str]]:
    """The template's files that are not as it has them; what lies in the way of one counts as an edit of it."""
    unchanged, deleted = files.details["unchanged"], files.details["deleted"]
    paths = (path.relative_to(rendered.folder).as_posix() for path in rendered.folder.rglob("*") if path.is_file())
    return sorted({*paths}.difference(unchanged, deleted, [answers.FILE])), deleted


def _contract(project: Path, rules: Policy, recorded: Mapping[str, Any], today: date) -> list[Violation]:
    """What the project's contracts break. Raises SchemaError for one that is not sound."""
    if not rules.contract_rules:
        return []
    schemas = project_schemas.load(project_schemas.read(project), str(recorded["package"]))
    return rules.contract(schemas.contracts, recorded.get("project_name"), today)
