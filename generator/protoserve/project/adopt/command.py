"""The command: looks first, makes the new project in a folder of its own, then writes all of it or nothing."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import copier
from copier.errors import CopierError, TaskError, UserMessageError
from plumbum import local

from protoserve.emit.generated_files import apply
from protoserve.intake.proto.convert import from_proto
from protoserve.platform import answers
from protoserve.platform.git import clear_hook_variables, git_paths
from protoserve.project import template_source
from protoserve.project.adopt import AdoptError, dependencies, files, find, report, servicer
from protoserve.project.adopt.belongings import belongings
from protoserve.schema import reserved_names
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads


def main(given: argparse.Namespace, data: dict[str, Any]) -> int:
    """Exit code 0, or 1 with the reason on standard error and the project as it was; `data` are the answers given."""
    clear_hook_variables()
    try:
        _adopt(given, data)
    except SchemaError as error:
        print(error, file=sys.stderr)
    except (AdoptError, answers.AnswersError, template_source.OriginError) as error:
        print(f"protoserve: {error}", file=sys.stderr)
    except TaskError:
        pass  # the generator has said why
    except (UserMessageError, CopierError, ValueError, OSError) as error:
        print(f"protoserve: {error}", file=sys.stderr)
    else:
        return 0
    print("protoserve: nothing was changed", file=sys.stderr)
    return 1


def _adopt(given: argparse.Namespace, data: dict[str, Any]) -> None:
    project: Path = given.project
    listed = find.files(project)
    proto = find.the_proto(project, listed, given.proto)
    contract = loads(from_proto(project / proto, ""))
    trees, broken = servicer.parse(project, [name for name in listed if name.endswith(".py")])
    for name in broken:
        print(f"note: {name} is no Python that can be read, and was left out", file=sys.stderr)
    found = servicer.servicers(contract, _only(project, trees, given.servicer))
    if given.servicer is not None and not found:
        raise AdoptError(f"{given.servicer} has no class that derives from {contract.service}Servicer")
    needs = [(item, belongings(project, trees, item)) for item in found]
    had = dependencies.declared(project, listed)
    source = template_source.chosen(given.template, given.ref)
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        made = Path(temporary) / project.resolve().name
        for name in files.inits(listed):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes((project / name).read_bytes())
        # The generator reads the path of the .proto from where the command was called; tasks see plumbum's environment.
        with local.env(PWD=str(project.resolve())):
            copier.run_copy(
                source.source,
                made,
                data={**data, "schema": proto},
                user_defaults=_defaults(project, data),
                defaults=given.defaults,
                unsafe=True,
                quiet=True,
                vcs_ref=source.ref,
            )
        package = answers.read(made)["package"]
        files.check_names(project, package, contract)
        adopted = files.adoption(project, made)
        wanted = dependencies.missing(had, made, adopted.aside, files.ASIDE)
        apply(adopted.plan(project))
    stubs = [name for name in listed if re.search(r"_pb2(?:_grpc)?\.pyi?$", name)]
    served = servicer.serving(trees, contract)
    told = report.lines(contract, package, proto, adopted, needs, wanted, served, stubs, _ignored(project, adopted))
    print("\n".join(told))


def _only(project: Path, trees: list[Any], given: Path | None) -> list[Any]:
    """The files in which the servicer is looked for."""
    if given is None:
        return trees
    path = given if given.is_absolute() or given.is_file() else project / given
    wanted = [(name, tree) for name, tree in trees if (project / name).resolve() == path.resolve()]
    if not wanted:
        raise AdoptError(f"{given} is no committed Python file of {project}")
    return wanted


def _defaults(project: Path, data: dict[str, Any]) -> dict[str, Any]:
    """What is offered: the folder's name, a package that is free, and any class as a model."""
    name = str(data.get("project_name") or project.resolve().name)
    package = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    taken = any((project / place).exists() for place in (f"src/{package}", package, f"{package}.py"))
    if taken or reserved_names.package(f"{package}.v1") is not None:
        package = f"{package}_server" if package[:1].isalpha() else f"model_{package}".rstrip("_")
    return {"project_name": name, "package": package, "framework": "python"}


def _ignored(project: Path, adopted: files.Adoption) -> list[str]:
    """What was written, should be committed, and is ignored by the author's rules; the template has some itself."""
    listed = "\0".join(name for name in adopted.new if not name.startswith((".protoserve/", "artifacts/"))).encode()
    return sorted(git_paths(project, "check-ignore", "--no-index", "-z", "--stdin", stdin=listed, exit_codes=(0, 1)))
