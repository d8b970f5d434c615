"""The generator's own command line, which generator/run.py starts in a project."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from protoserve.platform.errors import exit_code
from protoserve.project.update.options import UPDATE
from protoserve.shared_commands import (
    AFTER_UPDATE,
    ANSWERS_REFUSED,
    BEFORE_UPDATE,
    CREATE,
    DIFF,
    GENERATE,
    POLICY,
    PREVIEW,
    RENUMBER,
    SCHEMA_REFUSED,
    VERSION,
    Command,
    build_parser,
)

# The folder of this version of the template, with copier.yml.
_TEMPLATE = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """The exit code of the command, whose errors go to standard error."""
    options = build_parser("run.py", "The generator of this template.", HANDLERS).parse_args(arguments)
    command: Command = options.command
    return exit_code(lambda: HANDLERS[command](options), command.failure)


def prepare() -> None:
    """Imports and compiles what `generate` needs, for a process that is copied for each of many projects."""
    from protoserve.emit import python_templates
    from protoserve.project import generate  # noqa: F401

    python_templates.compile_all()


def _create(options: argparse.Namespace) -> int:
    from protoserve.policy import NotAllowedError
    from protoserve.project.answers_policy import refuse_created
    from protoserve.project.create import create
    from protoserve.schema.errors import SchemaError

    try:
        refuse_created(Path(), _TEMPLATE)
        return create(Path(), options.package, options.framework, options.schema, options.serve)
    except SchemaError as error:
        print(error.report(), file=sys.stderr)
        return SCHEMA_REFUSED
    except NotAllowedError as error:
        print(error.report(), file=sys.stderr)
        return ANSWERS_REFUSED


def _preview(options: argparse.Namespace) -> int:
    from protoserve.project.preview import preview
    from protoserve.schema.errors import SchemaError

    try:
        print(preview(options.schema, options.package, Path(), options.serve).as_json())
    except SchemaError as error:
        print(error.report(), file=sys.stderr)
        return SCHEMA_REFUSED
    return 0


def _generate(options: argparse.Namespace) -> int:
    from protoserve.project.generate import check, generate

    if options.check:
        return check(options.project)
    return generate(options.project, accept_breaking=options.accept_breaking)


def _version(options: argparse.Namespace) -> int:
    from protoserve.compat import version_command

    return version_command.command(options.project, options.version, options.drop)


def diff(options: argparse.Namespace) -> int:
    """Runs `diff`, for `protoserve` too."""
    from protoserve.compat import diff_command

    return diff_command.diff(options)


def renumber(options: argparse.Namespace) -> int:
    """Runs `renumber`, for `protoserve` too."""
    from protoserve.compat import renumber_command

    return renumber_command.main(options)


def update(options: argparse.Namespace) -> int:
    """Runs `update`, for `protoserve` too."""
    from protoserve.project.update.command import update

    return update(options)


def _policy(options: argparse.Namespace) -> int:
    from protoserve.project.policy_command import check, check_policy

    return check_policy(_TEMPLATE) if options.project is None else check(options.project, _TEMPLATE)


def _before_update(options: argparse.Namespace) -> int:
    from protoserve.project.before_update import check_update

    return check_update(Path(), _TEMPLATE, json.loads(options.answers))


def _after_update(options: argparse.Namespace) -> int:
    from protoserve.project.answers_policy import after_update
    from protoserve.project.generate import generate

    after_update(Path(), _TEMPLATE, json.loads(options.given), asked=options.asked == "yes")
    return generate(Path())


HANDLERS: dict[Command, Callable[[argparse.Namespace], int]] = {
    CREATE: _create,
    PREVIEW: _preview,
    GENERATE: _generate,
    VERSION: _version,
    DIFF: diff,
    RENUMBER: renumber,
    POLICY: _policy,
    BEFORE_UPDATE: _before_update,
    AFTER_UPDATE: _after_update,
    UPDATE: update,
}


if __name__ == "__main__":
    sys.exit(main())
