"""The command: checks the folder, asks, creates the project, and keeps the answers where that fails."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protoserve import policy
from protoserve.platform import interrupts
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import is_file, path_of
from protoserve.project import kept_answers, questions, template_source
from protoserve.project.new import destination
from protoserve.project.new.copier_session import CopierSession, ReportedError, open_session
from protoserve.project.new.questionnaire import Questionnaire


def new(options: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Exit code 0, or 1 if the project cannot be created. Raises ProtoserveError and KeyboardInterrupt.

    `given` are the answers of the command line. Whatever happens, the folder is complete or as it was.
    """
    dest = destination.check(options.dest)
    source = template_source.chosen(options.template, options.ref)
    with interrupts.scratch_folder(), open_session(source, dest, {"project_name": dest.resolve().name}) as session:
        session.print_first_message()
        questionnaire = make_questionnaire(session, options, with_absolute_path(given), Path.cwd())
        try:
            with answers_kept_on_failure(questionnaire, options, ["protoserve", "new", options.dest], dest, Path()):
                _create(session, dest, questionnaire.run())
        except ReportedError:
            return 1
        session.print_last_message()
    if Path(source.source).is_dir():
        print(
            f"note: the project records {source.source} as its template, a folder of this machine. For a project that "
            "others work on, give the template's URL: --template",
            file=sys.stderr,
        )
    return 0


def make_questionnaire(
    session: CopierSession, options: argparse.Namespace, given: Mapping[str, Any], folder: Path
) -> Questionnaire:
    """The questions, asked at the terminal if there is one; the path of a schema is relative to `folder`.

    Raises ProtoserveError for a file of --answers, or a policy of the template, that cannot be used.
    """
    kept = with_absolute_path(kept_answers.read(options.answers)) if options.answers else {}
    names = {question.name: question.option for question in questions.questions()}
    rules = policy.load(session.template_folder)
    if options.defaults or not _at_terminal():
        return Questionnaire(session, given, kept, None, options.defaults, {}, names, rules)
    from protoserve.project.new.prompts import TerminalPrompter  # takes a moment to import
    from protoserve.project.new.schema_question import SchemaQuestion, other_generator

    schema = SchemaQuestion(folder, other_generator(session.template_folder))
    judges = {schema.name: schema.judge, schema.served_name: schema.judge_served}
    return Questionnaire(session, given, kept, TerminalPrompter(schema), False, judges, names, rules)


def _at_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


@contextmanager
def answers_kept_on_failure(
    questionnaire: Questionnaire, options: argparse.Namespace, command: list[str], project: Path, folder: Path
) -> Iterator[None]:
    """Prints the reason of a failure and keeps what was answered at prompts, with the command that continues.

    `command` is what the user called, `folder` where the file goes. Raises ReportedError for errors for the user.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ProtoserveError) and not isinstance(error, ReportedError):
            print(error.report(), file=sys.stderr)
        elif isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            print(f"protoserve: {where}{error.strerror or error}; nothing was changed", file=sys.stderr)
        if questionnaire.asked:
            given = [(f"--{name}", getattr(options, name)) for name in ("template", "ref") if getattr(options, name)]
            given += [("--include", str(folder)) for folder in options.include]
            command = [*command, *(part for option in given for part in option)]
            kept = {name: answer for name, answer in questionnaire.data.items() if name not in questionnaire.secrets}
            kept_answers.keep(kept, project.resolve().name, command, "--answers", folder)
        if isinstance(error, (ProtoserveError, OSError)):
            raise ReportedError("the project was not created") from None
        raise


def with_absolute_path(data: Mapping[str, Any]) -> dict[str, Any]:
    """The answers; where that for the schema is the path of a file, it is absolute, as the generator runs elsewhere."""
    schema = data.get("schema")
    if isinstance(schema, str) and "->" not in schema and is_file(path_of(schema)):
        return {**data, "schema": os.path.abspath(path_of(schema))}
    return dict(data)


def _create(session: CopierSession, dest: Path, data: Mapping[str, Any]) -> None:
    with destination.emptied_on_failure(dest), interrupts.silenced_when_interrupted():
        session.create(with_absolute_path(data))
