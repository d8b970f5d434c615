"""The command: examines the project, makes a new one in a temporary folder, then writes all of its files or none."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from plumbum import local

from protoserve.emit.generated_files import SCHEMA, apply
from protoserve.intake.proto import include
from protoserve.intake.proto.convert import from_proto
from protoserve.platform import answers, interrupts
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import visible
from protoserve.platform.printing import LISTED, printable
from protoserve.platform.reading import read_bytes
from protoserve.project import template_source
from protoserve.project.adopt import AdoptError, existing_project, git_rules, requirements, servicer, template_files
from protoserve.project.adopt.definitions import Trees
from protoserve.project.adopt.report import Report
from protoserve.project.new.command import answers_kept_on_failure, make_questionnaire
from protoserve.project.new.copier_session import ReportedError, open_session
from protoserve.project.questions import ADOPTED
from protoserve.schema import reserved_names
from protoserve.schema.load import load, loads
from protoserve.schema.model import Contract


def main(arguments: argparse.Namespace, data: dict[str, Any]) -> int:
    """Exit code 0, or 1 with the reason on standard error and the project unchanged; `data` are the given answers."""
    try:
        _adopt(arguments, data)
    except ReportedError:
        pass
    except ProtoserveError as error:
        print(error.report(), file=sys.stderr)
    except OSError as error:
        print(f"protoserve: {visible(str(error))}", file=sys.stderr)
    else:
        return 0
    print("protoserve: nothing was changed", file=sys.stderr)
    return 1


def _adopt(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    project: Path = arguments.project
    listed = existing_project.committed_files(project)
    readable = existing_project.readable_files(project, listed)
    proto = existing_project.service_proto(project, readable, arguments.proto)
    contract = loads(from_proto(project / proto, "", include.from_environment(Path.cwd())))
    trees, unreadable = servicer.parse(project, [name for name in readable if name.endswith(".py")])
    for name in unreadable[:LISTED]:
        print(f"note: {printable(name)} was skipped: Python cannot parse it", file=sys.stderr)
    if len(unreadable) > LISTED:
        print(f"note: {len(unreadable) - LISTED} more files were skipped", file=sys.stderr)
    if arguments.servicer is not None:
        _servicers(arguments, contract, trees)  # refused before anything is asked
    old_requirements = requirements.declared(project, readable)
    with interrupts.scratch_folder() as temporary:
        new_project = temporary / project.resolve().name
        defaults = _defaults(project, data, listed)
        _create(arguments, data, defaults, proto, new_project, template_files.package_inits(readable))
        package = answers.read(new_project)["package"]
        contract = load(new_project / SCHEMA)  # which knows the methods that are served
        servicers = _servicers(arguments, contract, trees)
        files, reasons = template_files.template_files(project, new_project, listed)
        reasons += template_files.name_clashes(project, new_project, package, contract)
        if not reasons:  # git refuses to look beyond a link
            reasons += git_rules.obstacles(project, [*files.new])
        if reasons:
            raise AdoptError("\n".join(reasons))
        _add_ignore_rules(project, files)
        to_bring_over = requirements.to_bring_over(old_requirements, new_project, files.renamed)
        apply(files.plan(project))
    report = Report(
        contract=contract,
        package=package,
        proto=proto,
        files=files,
        servicers=servicers,
        requirements=to_bring_over,
        stubs=[name for name in listed if existing_project.STUB.search(name)],
        ignored=git_rules.ignored(project, files.new),
        builds=existing_project.builds(listed, files.renamed),
        in_subfolder=bool(existing_project.prefix(project)),
        has_environment=(project / ".venv").exists(),
    )
    print(visible("\n".join(report.lines())))


def _servicers(arguments: argparse.Namespace, contract: Contract, trees: Trees) -> list[servicer.Servicer]:
    """The classes that implement the service, in the file of --servicer if it is given. Raises AdoptError."""
    if arguments.servicer is None:
        return servicer.servicers(contract, trees)
    name = existing_project.python_file(arguments.project, arguments.servicer, trees)
    servicers = servicer.servicers(contract, trees, only=name)
    if not servicers:
        methods = ", ".join(method.name for method in contract.methods)
        raise AdoptError(
            f"{name} has no class that derives from {contract.service}Servicer, is added to a server by "
            f"add_{contract.service}Servicer_to_server, or has a method of it ({methods}): name another file"
        )
    return servicers


def _add_ignore_rules(project: Path, files: template_files.TemplateFiles) -> None:
    """Adds rules to .gitignore, so that the author's rules do not keep the template's files out of git."""
    rules = git_rules.exceptions(project, [*files.new])
    where = files.new if ".gitignore" in files.new else files.merged
    if rules:
        content = where.get(".gitignore") or read_bytes(project / ".gitignore", project)
        where[".gitignore"] = content + (b"" if content.endswith(b"\n") else b"\n") + rules


def _create(
    arguments: argparse.Namespace,
    data: dict[str, Any],
    defaults: dict[str, Any],
    proto: str,
    new_project: Path,
    package_inits: list[str],
) -> None:
    """A new project with the .proto as its schema, inside the author's packages."""
    project: Path = arguments.project
    source = template_source.chosen(arguments.template, arguments.ref)
    for name in package_inits:
        (new_project / name).parent.mkdir(parents=True, exist_ok=True)
        (new_project / name).write_bytes(existing_project.content(project, name))
    # The generator resolves the path of the .proto in the folder where the command was called, which it reads from PWD;
    # Copier's tasks run in plumbum's environment.
    with local.env(PWD=str(project.resolve())), open_session(source, new_project, defaults) as session:
        given = {**data, "schema": proto} | ({ADOPTED: True} if ADOPTED in session.names else {})
        questionnaire = make_questionnaire(session, arguments, given, project)
        # Beside the project: a file in it that is not committed would stop the next try.
        folder, command = project.resolve().parent, ["protoserve", "adopt", str(project)]
        with answers_kept_on_failure(questionnaire, arguments, command, project, folder):
            session.create(questionnaire.run())


def _defaults(project: Path, data: dict[str, Any], listed: list[str]) -> dict[str, Any]:
    """The default answers: the folder's name, a free package, any class as a model, and the CI that it has."""
    name = str(data.get("project_name") or project.resolve().name)
    package = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    taken = any((project / path).exists() for path in (f"src/{package}", package, f"{package}.py"))
    if taken or reserved_names.package(f"{package}.v1") is not None:
        package = f"{package}_server" if package[:1].isalpha() else f"model_{package}".rstrip("_")
    return {"project_name": name, "package": package, "framework": "python", "ci": existing_project.ci(listed)}
