"""The command `protoserve`: its subcommands, and what each of them runs."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from protoserve import generator_cli
from protoserve.fleet import options as fleet_options
from protoserve.platform import answers, interrupts
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError, exit_code
from protoserve.platform.git import clear_environment
from protoserve.platform.reading import read_bytes
from protoserve.project import include_folders, questions, template_source
from protoserve.project.status import options as status_options
from protoserve.project.update.options import UPDATE
from protoserve.shared_commands import DIFF, GENERATE, RENUMBER, VERSION, Command, add_commands, build_parser
from protoserve.verify import options as verify_options

_MAX_SCRIPT = 2**20  # bytes of scripts/generate.py


def main(arguments: list[str] | None = None) -> int:
    """The exit code of the command, whose errors go to standard error; 2 if the arguments are not understood."""
    clear_environment()
    words = list(sys.argv[1:] if arguments is None else arguments)
    server_command: tuple[str, ...] = ()
    if words[:1] == ["verify"]:
        words, server_command = verify_options.split_command(words)
    options = parser().parse_args(words)
    options.server_command = server_command
    command: Command = options.command
    handler = {**HANDLERS, **FLEET_HANDLERS}[command]
    return exit_code(lambda: handler(options), command.failure)


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; its result has the chosen one as `command`."""
    program = "gRPC model servers that a serving platform accepts the first time."
    result = build_parser("protoserve", program, [*HANDLERS, FLEET])
    result.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version, its commit and its template")
    return result


class _ShowVersion(argparse.Action):
    """Prints the version, the commit and the source of the template; git is asked only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            source = without_credentials(template_source.template().source)
        except template_source.OriginError:
            source = "unknown"
        commit = template_source.commit() or "unknown"
        print(f"{importlib.metadata.version('protoserve')} (commit {commit}, template {source})")
        parser.exit()


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", metavar="DEST", help="the folder of the project; created if it does not exist")
    questions.add_options(parser, questions.questions(), {"project_name": "the name of DEST"})
    include_folders.add_option(parser)
    _add_template(parser)


def _add_adopt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="DIR", type=Path, help="the folder of the project")
    parser.add_argument("--proto", metavar="FILE", type=Path, help="the .proto; default: the only one with a service")
    include_folders.add_option(parser)
    parser.add_argument("--servicer", metavar="FILE", type=Path, help="the Python file of the servicer; default: all")
    asked = [question for question in questions.questions() if question.name != "schema"]  # the .proto is the schema
    defaults = {
        "project_name": "the name of DIR",
        "framework": "python",
        "ci": "gitlab beside a .gitlab-ci.yml, else github",
    }
    questions.add_options(parser, asked, defaults)
    _add_template(parser)


def _add_template(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--defaults", action="store_true", help="ask nothing: take the default of every other question")
    parser.add_argument(
        "--data",
        metavar="NAME=VALUE",
        type=questions.named_answer,
        action="append",
        default=[],
        help="the answer to a question of another template; may be repeated",
    )
    parser.add_argument(
        "--answers", metavar="FILE", type=Path, help="a YAML file with answers; what is missing or wrong in it is asked"
    )
    parser.add_argument("--template", metavar="URL", help="another template than the one this protoserve came with")
    parser.add_argument("--ref", metavar="REVISION", help="the template's git tag, branch or commit")


def _new(options: argparse.Namespace) -> int:
    def command() -> int:
        # Importing Copier takes most of a second.
        from protoserve.project.new.command import new

        with include_folders.given(options.include):
            return new(options, questions.given_answers(options))

    return interrupts.stoppable(command, "nothing was created")


def _adopt(options: argparse.Namespace) -> int:
    from protoserve.project.adopt.command import main

    with include_folders.given(options.include):
        return main(options, questions.given_answers(options))


def _generate(options: argparse.Namespace) -> int:
    flags = {"--check": options.check, "--accept-breaking": options.accept_breaking}
    return _run_recorded_generator(options.project, [flag for flag, is_set in flags.items() if is_set])


def _version(options: argparse.Namespace) -> int:
    change = [options.version] if options.version else ["--drop", options.drop]
    return _run_recorded_generator(options.project, ["version", *change])


def _verify(options: argparse.Namespace) -> int:
    # Importing gRPC takes its time, too.
    from protoserve.verify.command import main

    return main(options)


def _status(options: argparse.Namespace) -> int:
    from protoserve.project.status.command import status

    return status(options)


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, FLEET_HANDLERS)


def _fleet_status(options: argparse.Namespace) -> int:
    from protoserve.fleet.status.command import status

    return status(options)


def _fleet_report(options: argparse.Namespace) -> int:
    from protoserve.fleet.report_command import report

    return report(options)


def _fleet_update(options: argparse.Namespace) -> int:
    from protoserve.fleet.update.command import update

    return update(options)


def _run_recorded_generator(project: Path, arguments: list[str]) -> int:
    """The exit code of the project's own scripts/generate.py, which runs the generator that the project records."""
    recorded = answers.read(project)
    script = project / "scripts" / "generate.py"
    if not script.is_file():
        raise ProtoserveError(f"{script} is missing: restore it from git, or run `copier recopy --trust`")
    read_bytes(script, project, _MAX_SCRIPT)
    installed, version = importlib.metadata.version("protoserve"), recorded.get("_commit", "no version")
    if not _is_same_version(installed, version):
        print(
            f"protoserve: this is {installed}; using the generator of the project's template, {version}",
            file=sys.stderr,
        )
    return subprocess.run([sys.executable, str(script), *arguments], check=False).returncode


def _is_same_version(installed: str, recorded: str) -> bool:
    """Whether the recorded version of a template is that of this protoserve, by its number or by its commit."""
    described = re.fullmatch(r"(?:(.+)-\d+-g)?([0-9a-f]{7,64})", recorded)
    if (described[1] if described and described[1] else recorded).removeprefix("v") == installed:
        return True
    return described is not None and (template_source.commit() or "").startswith(described[2])


FLEET = Command(
    "fleet",
    "see and update many projects of one template",
    "Works on the projects that fleet.yaml lists.",
    _add_fleet,
)
FLEET_HANDLERS: dict[Command, Callable[[argparse.Namespace], int]] = {
    fleet_options.STATUS: _fleet_status,
    fleet_options.REPORT: _fleet_report,
    fleet_options.UPDATE: _fleet_update,
}
HANDLERS: dict[Command, Callable[[argparse.Namespace], int]] = {
    Command(
        "new",
        "create a project",
        "Creates a project in a folder. Each question has an option; those without one are asked.",
        _add_new,
    ): _new,
    Command(
        "adopt",
        "bring a project that was made by hand under the template",
        "Takes over a project's .proto and adds the template to it, in a git repository with nothing to commit. No "
        "line of code is changed; a report lists what goes into model.py. Exit code 0: adopted; 1: refused or failed, "
        "the project is as it was.",
        _add_adopt,
    ): _adopt,
    GENERATE: _generate,
    VERSION: _version,
    DIFF: generator_cli.diff,
    RENUMBER: generator_cli.renumber,
    Command(
        "verify",
        "find out why a platform refuses a model server",
        "Does to a gRPC model server what a serving platform does, and reports what fails, why, and what to change. "
        "Exit code 0: no check failed; 1: one did; 2: it could not run; 3: what decides could not be judged.",
        verify_options.add_arguments,
        failure=2,
    ): _verify,
    UPDATE: generator_cli.update,
    Command(
        "status",
        "show how a project compares to its template, answers and schema",
        "Looks at a project and writes nothing. Exit code 0: everything that counts is as it should be; 1: something "
        "needs to be done; 2: something could not be determined.",
        status_options.add_arguments,
        failure=2,
    ): _status,
}
