"""The command line."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

from protoserve.compat import arguments as evolving
from protoserve.platform import answers
from protoserve.platform.errors import exit_code
from protoserve.project import template_source
from protoserve.project.status import options as status_options
from protoserve.verify import options

# The questions of copier.yml, each an option of `protoserve new`.
QUESTIONS = (
    *("project_name", "package", "description", "framework", "port", "schema", "python_version", "platforms"),
    *("vertex_project", "vertex_region", "vertex_repository", "vertex_machine"),
)
SEVERAL = frozenset({"platforms"})  # those whose answer is a list


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 with the reason on standard error; 2 for arguments that are none."""
    given = _parser().parse_args(arguments)
    return exit_code(lambda: int(given.run(given)), given.failure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="protoserve", description="gRPC model servers that a serving platform accepts the first time."
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("protoserve"))
    commands = parser.add_subparsers(title="commands", required=True)

    new = commands.add_parser("new", help="create a project", description="Creates a project in a folder.")
    new.add_argument("dest", metavar="DEST", help="the folder of the project; made where it is not there")
    _add_questions(new, QUESTIONS)
    new.set_defaults(run=_new, failure=1)

    adopt = commands.add_parser(
        "adopt",
        help="bring a project that was made by hand under the template",
        description="Takes over a project's .proto and adds the template to it, in a git repository with nothing to "
        "commit. No line of code is changed; what goes into model.py is told. Exit code 0: adopted; 1: refused or "
        "failed, the project is as it was.",
    )
    adopt.add_argument("project", metavar="DIR", type=Path, help="the folder of the project")
    adopt.add_argument("--proto", metavar="FILE", type=Path, help="the .proto; default: the only one with a service")
    adopt.add_argument("--servicer", metavar="FILE", type=Path, help="the Python file of the servicer; default: all")
    _add_questions(adopt, tuple(name for name in QUESTIONS if name != "schema"))
    adopt.set_defaults(run=_adopt, failure=1)

    generate = commands.add_parser(
        "generate",
        help="write what a project's schema.yaml gives",
        description="Writes .proto, stubs, contract and sample requests from schema.yaml, with the generator of the "
        "template version that the project records.",
    )
    generate.add_argument("project", metavar="PROJECT", nargs="?", type=Path, default=Path(), help="default: here")
    generate.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff where files differ")
    evolving.accept_breaking(generate)
    generate.set_defaults(run=_generate, failure=1)

    version = commands.add_parser(
        "version",
        help="start a new version of a project's contract beside the old one, or end an old one",
        description="Keeps the contract as schemas/v1.yaml and starts v2 in schema.yaml; the server serves both. Runs "
        "the generator of the template version that the project records. Exit code 0, or 1 with nothing changed.",
    )
    evolving.version(version)
    evolving.project(version)
    version.set_defaults(run=_version, failure=1)

    diff = commands.add_parser(
        "diff",
        help="say what changed in a project's contract since a git revision, and for whom that breaks something",
        description="Compares schema.yaml and schemas/*.yaml with those of a git revision. Exit code 0: compatible; 1: "
        "something breaks for callers; 2: it could not run.",
    )
    evolving.diff(diff)
    evolving.project(diff)
    diff.set_defaults(run=_diff, failure=2)

    renumber = commands.add_parser(
        "renumber",
        help="settle numbers that two merged branches have both taken",
        description="Gives a field or value that is not on the main branch yet another number, in the text of "
        "schema.yaml, where a merge left one number twice. Exit code 0: no number stands twice; 1: it could not.",
    )
    evolving.renumber(renumber)
    evolving.project(renumber)
    renumber.set_defaults(run=_renumber, failure=1)

    verify = commands.add_parser(
        "verify",
        help="say why a platform refuses a model server",
        description="Does to a gRPC model server what a serving platform does, and says what fails, why, and what to "
        "change. Exit code 0: no check failed; 1: one did; 2: it could not run.",
    )
    options.add_arguments(verify)
    verify.set_defaults(run=_verify, failure=2)

    update = commands.add_parser(
        "update",
        help="bring a project to another version of its template",
        description="Merges what changed in the template into a project: all of it, or nothing. Exit code 0: done; "
        "3: done, with conflicts in the files that are named; 1: refused or failed, the project is as it was.",
    )
    update.add_argument("project", metavar="PROJECT", nargs="?", type=Path, default=Path(), help="default: here")
    update.add_argument(
        "--to",
        metavar="REV",
        help="a tag, branch or commit of the template; latest: its newest tag, which is the default without --set",
    )
    update.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="another answer to a question; without --to the version of the template stays",
    )
    update.add_argument("--dry-run", action="store_true", help="change nothing, and print the diff")
    update.add_argument("--smoke", action="store_true", help="run the project's check and smoke; undone if they fail")
    update.add_argument(
        "--format", choices=("markdown", "json"), default="markdown", help="of the summary; default: %(default)s"
    )
    update.set_defaults(run=_update, failure=1)

    status = commands.add_parser(
        "status",
        help="say how a project stands to its template, answers and schema",
        description="Looks at a project and writes nothing. Exit code 0: what counts is as it should be; 1: something "
        "needs doing; 2: it could not be found out.",
    )
    status_options.add_arguments(status)
    status.set_defaults(run=_status, failure=2)
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE, such as port=9000")
    return name, value


def _add_questions(command: argparse.ArgumentParser, questions: tuple[str, ...]) -> None:
    for name in questions:
        option, about = f"--{name.replace('_', '-')}", "answers the question of that name"
        if name in SEVERAL:
            about += ": names by comma, or the option again for each"
            command.add_argument(option, help=about, type=answers.names, action="extend", metavar="NAME[,NAME]")
        else:
            command.add_argument(option, help=about)
    command.add_argument(
        "--defaults", action="store_true", help="ask nothing: take the default of every other question"
    )
    command.add_argument("--template", metavar="URL", help="another template than the one this protoserve came with")
    command.add_argument("--ref", metavar="REVISION", help="the template's git tag, branch or commit")


def _answered(given: argparse.Namespace, questions: tuple[str, ...] = QUESTIONS) -> dict[str, object]:
    return {name: getattr(given, name) for name in questions if getattr(given, name, None) is not None}


def _verify(given: argparse.Namespace) -> int:
    # gRPC, too, takes its time to import.
    from protoserve.verify.command import main

    return main(given)


def _update(given: argparse.Namespace) -> int:
    from protoserve.project.update.command import update

    return update(given)


def _status(given: argparse.Namespace) -> int:
    from protoserve.project.status.command import main

    return main(given)


def _diff(given: argparse.Namespace) -> int:
    from protoserve.compat.diff_command import diff

    return diff(given)


def _renumber(given: argparse.Namespace) -> int:
    from protoserve.compat.renumber_command import main

    return main(given)


def _new(given: argparse.Namespace) -> int:
    # Copier takes most of a second to import.
    from protoserve.project.new import new

    return new(Path(given.dest), _answered(given), defaults=given.defaults, template=given.template, ref=given.ref)


def _adopt(given: argparse.Namespace) -> int:
    from protoserve.project.adopt.command import main

    return main(given, _answered(given))


def _generate(given: argparse.Namespace) -> int:
    flags = (("--check", given.check), ("--accept-breaking", given.accept_breaking))
    return _by_script(given.project, [flag for flag, wanted in flags if wanted])


def _version(given: argparse.Namespace) -> int:
    return _by_script(given.project, ["version", *([given.version] if given.version else ["--drop", given.drop])])


def _by_script(project: Path, arguments: list[str]) -> int:
    """Has the project's own script run the generator that the project records."""
    recorded = answers.read(project)
    script = project / "scripts" / "generate.py"
    if not script.is_file():
        raise answers.AnswersError(f"{script} is missing: restore it from git, or run `copier recopy --trust`")
    ours, theirs = importlib.metadata.version("protoserve"), recorded.get("_commit", "no version")
    if not _same(ours, theirs):
        print(f"protoserve: this is {ours}; using the generator of the project's template, {theirs}", file=sys.stderr)
    return subprocess.run([sys.executable, str(script), *arguments], check=False).returncode


def _same(ours: str, theirs: str) -> bool:
    """Whether a recorded version of the template is that of this protoserve: by its number, or by its commit."""
    described = re.fullmatch(r"(?:(.+)-\d+-g)?([0-9a-f]{7,64})", theirs)
    if (described[1] if described and described[1] else theirs).removeprefix("v") == ours:
        return True
    return described is not None and (template_source.commit() or "").startswith(described[2])
