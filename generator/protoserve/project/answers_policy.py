"""What the policy of a template says when a project is created or updated, whichever program does it.

A newly given answer that is not allowed is refused. A recorded one is kept, and reported: Copier replaces an answer
that a validator refuses by the default, so no validator knows the policy.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from protoserve import policy
from protoserve.platform import answers, plain_yaml
from protoserve.platform.git import GitError, git
from protoserve.platform.plain_text import one_line
from protoserve.policy import NotAllowedError, PolicyError

_UNDO = "; a bare `copier update` is undone by `git reset --hard` and `git clean -fd`"


def refuse_created(project: Path, template: Path) -> None:
    """Refuses the answers that a new project records, except those that it had committed already.

    Raises NotAllowedError, and PolicyError for a policy that cannot be used.
    """
    if (project / answers.FILE).is_file():
        _refuse(template, _committed(project), answers.load(project))


def refuse_given(template: Path, recorded: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuses answers given to an update in place of the recorded ones; raises as `refuse_created`."""
    if given:
        _refuse(template, recorded, {**recorded, **given})


def after_update(project: Path, template: Path, given: Collection[str], *, asked: bool) -> None:
    """Refuses answers that were typed at a prompt or `given` to an update that has merged, and reports recorded ones.

    Raises NotAllowedError.
    """
    now, before = answers.load(project), _committed(project)
    try:
        rules = policy.load(template)
    except PolicyError as error:
        print(f"protoserve: the policy cannot be used: {str(error).splitlines()[0]}", file=sys.stderr)
        return
    changed = now.keys() if asked else set(given)
    unchanged = {name: value for name, value in now.items() if name not in changed}
    without_given = {**unchanged, **{name: before[name] for name in changed if name in before}}
    if changed and (refused := rules.new_answers(without_given, now, date.today())):
        raise NotAllowedError(refused, _UNDO)
    for item in rules.answers(now, date.today()):
        if item.exception is None:
            text = f"kept, though the policy does not allow it: {item.sentence}"
            print(f"protoserve: {one_line(text)}", file=sys.stderr)


def _refuse(template: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if refused := policy.load(template).new_answers(before, now, date.today()):
        raise NotAllowedError(refused)


def _committed(project: Path) -> dict[str, Any]:
    """The answers in the project's last commit; none if there is no such commit."""
    try:
        content = plain_yaml.load(git(project, "show", f"HEAD:./{answers.FILE}").decode("utf-8", "replace"))
    except (GitError, yaml.YAMLError):
        return {}
    return {str(name): value for name, value in content.items()} if isinstance(content, dict) else {}
