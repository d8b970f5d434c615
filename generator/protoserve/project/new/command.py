"""The command: checks the folder, asks, creates the project, and keeps the answers where that fails."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protoserve.platform import interrupts
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import is_file, path_of
from protoserve.project import template_source
from protoserve.project.new import destination, kept_answers
from protoserve.project.new.copier_session import CopierSession, GeneratorError, open_session
from protoserve.project.new.prompts import TerminalPrompter
from protoserve.project.new.questionnaire import Questionnaire
from protoserve.project.new.schema_question import SchemaQuestion


def new(options: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Exit code 0, or 1 if a task failed, which has printed why. Raises ProtoserveError and KeyboardInterrupt.

    `given` are the answers of the command line. Whatever happens, the folder is complete or as it was.
    """
    dest = destination.check(options.dest)
    source = template_source.chosen(options.template, options.ref)
    with interrupts.scratch_folder(), open_session(source, dest, {"project_name": dest.resolve().name}) as session:
        session.print_first_message()
        questionnaire = make_questionnaire(session, options, given)
        data = questionnaire.run()
        try:
            _create(session, dest, data)
        except (ProtoserveError, OSError) as error:
            if questionnaire.asked:
                _keep(session, options, data)
            if isinstance(error, GeneratorError):
                return 1
            raise
        session.print_last_message()
    if Path(source.source).is_dir():
        print(
            f"note: the project records {source.source} as its template, a folder of this machine. For a project that "
            "others work on, give the template's URL: --template",
            file=sys.stderr,
        )
    return 0


def make_questionnaire(session: CopierSession, options: argparse.Namespace, given: Mapping[str, Any]) -> Questionnaire:
    """The questions, asked at the terminal if there is one. Raises ProtoserveError for a file of --answers."""
    schema = SchemaQuestion()
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return Questionnaire(
        session,
        with_absolute_path(given),
        with_absolute_path(kept_answers.read(options.answers)) if options.answers else {},
        TerminalPrompter(schema) if at_terminal else None,
        options.defaults,
        {schema.name: schema.judge},
    )


def with_absolute_path(data: Mapping[str, Any]) -> dict[str, Any]:
    """The answers; where that for the schema is the path of a file, it is absolute, as the generator runs elsewhere."""
    schema = data.get("schema")
    if isinstance(schema, str) and "->" not in schema and is_file(path_of(schema)):
        return {**data, "schema": os.path.abspath(path_of(schema))}
    return dict(data)


def _create(session: CopierSession, dest: Path, data: Mapping[str, Any]) -> None:
    with destination.emptied_on_failure(dest), interrupts.silenced_when_interrupted():
        session.create(with_absolute_path(data))


def _keep(session: CopierSession, options: argparse.Namespace, data: Mapping[str, Any]) -> None:
    kept = {name: answer for name, answer in data.items() if name not in session.secrets}
    command = ["protoserve", "new", options.dest]
    for name in ("template", "ref"):
        if getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    kept_answers.keep(kept, Path(options.dest).resolve().name, [*command, "--answers"])
