"""The check of a project by the policy of its template, as `make check` runs it, and of policy.yaml itself."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from protoserve import policy
from protoserve.platform import answers
from protoserve.platform.plain_text import visible
from protoserve.platform.reading import read_if_exists
from protoserve.policy import Policy, Violation
from protoserve.policy.model import UNEDITED
from protoserve.project.compared_file import compared

_MAX_DIFF = 200  # lines of one file


def check(project: Path, template: Path) -> int:
    """Exit code 0, or 1 with what the policy of the template does not allow. Raises ProtoserveError and OSError.

    Of files that must not be edited, the difference is printed.
    """
    rules = policy.load(template)
    if rules.allows_everything:
        return 0
    recorded = answers.load(project)
    violations = list(_violations(project, template, rules, recorded))
    for item in violations:
        if item.exception is None:
            print(f"protoserve: {visible(item.line)}", file=sys.stderr)
        else:
            print(f"note: {visible(item.sentence)}", file=sys.stderr)
    return int(any(item.exception is None for item in violations))


def check_policy(template: Path) -> int:
    """Exit code 0 and what the policy of a template is about. Raises PolicyError.

    A glob that matches no file of a project with the default answers may be a mistake, which a note says.
    """
    rules = policy.load(template)
    print(f"{policy.FILE} allows everything" if rules.allows_everything else f"{policy.FILE} is valid: {_about(rules)}")
    if rules.file_rules:
        from protoserve.policy.patterns import globs
        from protoserve.project.template_paths import template_paths

        paths = template_paths(template, {})
        for pattern in [pattern for block in rules.file_rules for pattern in block.globs]:
            if not any(map(globs([pattern]), paths)):
                text = f"{pattern} matches no file of a project with the default answers"
                print(f"note: {visible(text)}", file=sys.stderr)
    return 0


def _about(rules: Policy) -> str:
    parts = ["answers"] if rules.answer_rules is not None else []
    parts += ["files"] if rules.file_rules else []
    parts += ["contract"] if rules.contract_rules else []
    if count := len(rules.exceptions):
        ended = sum(made.ended(date.today()) for made in rules.exceptions)
        parts.append(f"{count} {'exception' if count == 1 else 'exceptions'}" + (f" ({ended} ended)" if ended else ""))
    return ", ".join(parts)


def _violations(project: Path, template: Path, rules: Policy, recorded: Mapping[str, Any]) -> Iterator[Violation]:
    today, name = date.today(), recorded.get("project_name")
    yield from rules.answers(recorded, today)
    # Their imports take time, and most policies need one of them or none.
    if rules.file_rules:
        from protoserve.project.rendered_files import rendered_files

        yield from _of_files(project, rendered_files(template, recorded, rules.governs_file), rules, name)
    if rules.contract_rules:
        from protoserve.schema import project_schemas

        schemas = project_schemas.load(project_schemas.read(project), str(recorded["package"]))
        yield from rules.contract(schemas.contracts, name, today)


def _of_files(project: Path, rendered: Mapping[str, bytes], rules: Policy, name: Any) -> Iterator[Violation]:
    states = {path: compared(project, path, content) for path, content in rendered.items()}
    edited, deleted = ([path for path, state in states.items() if state == kind] for kind in ("edited", "deleted"))
    for item in rules.files(edited, deleted, name, date.today()):
        if item.rule == UNEDITED and item.exception is None and item.where in edited:
            print(visible("\n".join(_difference(project, item.where, rendered[item.where]))))
        yield item


def _difference(project: Path, path: str, wanted: bytes) -> list[str]:
    """From what the template has to what the project has, in lines."""
    content = read_if_exists(project / path, project) or b""
    before, after = (data.decode("utf-8", "replace").splitlines() for data in (wanted, content))
    lines = list(difflib.unified_diff(before, after, f"template/{path}", path, lineterm=""))
    more = len(lines) - _MAX_DIFF
    return [*lines[:_MAX_DIFF], f"... and {more} more lines"] if more > 0 else lines
