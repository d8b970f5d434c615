"""What a worker does for one project: the update in a scratch repository, and its files as a tree of the mirror."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from protoserve.fleet.git_access import without_filters, without_prompts
from protoserve.fleet.update.branches import BareRepository
from protoserve.fleet.update.run_folder import share_lock
from protoserve.platform.errors import ProtoserveError, os_reason
from protoserve.platform.git import git_paths
from protoserve.platform.git.settings import added_variables
from protoserve.platform.printing import listed
from protoserve.policy import NotAllowedError
from protoserve.project.answers_policy import refuse_given
from protoserve.project.update import summary
from protoserve.project.update.compute import Update, compute_update
from protoserve.project.update.request import Target, read_request
from protoserve.project.update.scratch import Committed, committed_files, patch, scratch_repository
from protoserve.project.update.template_checkouts import Checkouts
from protoserve.project.update.template_versions import Versions, compare

SETTINGS = "worker.json"  # in the temporary folder
_NO_FILTER = ("unspecified", "unset")
_IGNORING = ".gitignore"


@dataclass(frozen=True, slots=True)
class Request:
    """One update: of the project's `folder` in a commit of a mirror, to a version of a template.

    `versions` are those of the template, which `template` identifies among the settings of the worker.
    """

    mirror: str
    commit: str
    folder: str
    name: str
    template: str
    versions: Mapping[str, Any]
    version: str
    answers: Mapping[str, str]
    write_tree: bool
    write_conflicts: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it. `error` is empty unless it failed, and `is_refusal` says that trying again is of no use.

    `tree` is that of the whole repository, "" if none was written; without `changed`, there is nothing to do.
    """

    error: str = ""
    is_refusal: bool = False
    changed: bool = False
    tree: str = ""
    before: str = ""
    after: str = ""
    conflicts: tuple[str, ...] = ()
    summary: str = ""
    diff: str = ""


def prepare() -> Callable[[Any], int]:
    """Imports what updates need, starts the generators, and returns what updates one project."""
    import protoserve.project.update.merge  # noqa: F401
    from protoserve.project.update.compiled_templates import share_compiled_templates
    from protoserve.project.update.preloaded_generator import PreloadedGenerators
    from protoserve.project.update.quick_copier import preload

    settings = json.loads(Path(tempfile.gettempdir(), SETTINGS).read_text(encoding="utf-8"))
    lock = share_lock(Path(settings["lock"]))
    os.environ.update(without_prompts())
    filters = [setting.partition("=")[::2] for setting in without_filters()[1::2]]
    os.environ.update(added_variables(filters, os.environ))
    templates = Path(settings["compiled"])
    share_compiled_templates(templates)
    generators = PreloadedGenerators(templates, lock)
    checkouts = {name: Checkouts(Path(place[0]), Path(place[1])) for name, place in settings["templates"].items()}
    for name, commit in settings["targets"]:
        checkout = checkouts[name].at(commit)
        generators.start(checkout.folder)
        preload(checkout)
    return partial(_answer, checkouts, generators.run_step)


def _answer(checkouts: Mapping[str, Checkouts], run_step: Any, data: dict[str, Any]) -> int:
    """Writes the answer to standard output, as JSON."""
    request = Request(**data)
    try:
        answer = _updated(request, checkouts[request.template], run_step)
    except NotAllowedError as error:
        answer = Answer(error=str(error), is_refusal=True)
    except ProtoserveError as error:
        answer = Answer(error=str(error))
    except OSError as error:
        answer = Answer(error=f"{error.filename or 'the disk'}: {os_reason(error)}")
    json.dump(asdict(answer), sys.stdout)
    return 0


def _updated(request: Request, checkouts: Checkouts, run_step: Any) -> Answer:
    from protoserve.project.update.merge import merge
    from protoserve.project.update.quick_copier import quick_update

    mirror = BareRepository(Path(request.mirror))
    tree = mirror.line("rev-parse", f"{request.commit}:{request.folder}")
    committed = Committed(request.name, tree, mirror.folder, mirror.environment)
    with scratch_repository(committed) as folder:
        project = read_request(folder, list(request.answers.items()))
        refuse_given(checkouts.at(request.version).folder, project.before, project.data)
        compared = compare(project.recorded, Versions(**request.versions))
        source = project.recorded.source
        with quick_update(source, checkouts, run_step) as run_update:
            quick_merge = partial(merge, run_update=run_update)
            update = compute_update(folder, project, Target(request.version, compared), quick_merge)
        return Answer(
            changed=bool(update.names),
            before=update.outcome.before,
            after=update.outcome.after,
            conflicts=update.outcome.conflicts,
            summary=summary.as_markdown(update.outcome),
            tree=_tree(request, mirror, folder, tree, update),
            diff="" if request.write_tree else patch(folder).decode(errors="replace"),
        )


def _tree(request: Request, mirror: BareRepository, folder: Path, before: str, update: Update) -> str:
    """The tree of the repository with the update, which is what `git add --all` would commit after a lone one."""
    if not update.names or not request.write_tree or (update.unmerged and not request.write_conflicts):
        return ""
    committed = committed_files(folder)
    added = [name for name in update.names if name not in committed]
    ignored = _ignored(request, mirror, folder, added)
    names = [name for name in update.names if name not in ignored]
    _refuse_filtered(folder, names)
    with tempfile.TemporaryDirectory(prefix="index-") as temporary:
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index"), "GIT_WORK_TREE": str(folder)}
        listed_names = b"".join(os.fsencode(name) + b"\0" for name in names)
        mirror.git("read-tree", before, env=own)
        options = ("update-index", "--add", "--remove", "-z", "--stdin")
        mirror.git(*options, stdin=listed_names, env=own, place=folder)
        tree = mirror.git("write-tree", "--missing-ok", env=own).decode().strip()
    return mirror.tree_with(request.commit, request.folder, tree)


def _ignored(request: Request, mirror: BareRepository, folder: Path, added: Iterable[str]) -> set[str]:
    """Those of the new files that git ignores by the rules of the project and of the folders above it."""
    prefix = PurePosixPath(request.folder)
    paths = b"".join(os.fsencode(str(prefix / name)) + b"\0" for name in added)
    if not paths:
        return set()
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        root = Path(temporary)
        (root / prefix).mkdir(parents=True, exist_ok=True)
        for above in prefix.parents:
            name = (above / _IGNORING).as_posix()
            if mirror.git("ls-tree", "-z", request.commit, "--", name).startswith(b"100"):
                (root / name).write_bytes(mirror.git("cat-file", "blob", f"{request.commit}:{name}"))
        for path in folder.rglob(_IGNORING):
            if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(folder).parts:
                copy = root / prefix / path.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        own = {"GIT_WORK_TREE": temporary}
        options = ("check-ignore", "--no-index", "-z", "--stdin")
        output = mirror.git(*options, stdin=paths, env=own, place=root, exit_codes=(0, 1))
    names = [os.fsdecode(path) for path in output.split(b"\0") if path]
    return {PurePosixPath(name).relative_to(prefix).as_posix() for name in names}


def _refuse_filtered(folder: Path, names: list[str]) -> None:
    """Raises ProtoserveError for files that git would pass through a filter, such as that of LFS: none runs here."""
    paths = b"".join(os.fsencode(name) + b"\0" for name in names)
    fields = git_paths(folder, "check-attr", "-z", "--stdin", "filter", stdin=paths)
    filtered = [name for name, value in zip(fields[0::3], fields[2::3], strict=False) if value not in _NO_FILTER]
    if filtered:
        raise ProtoserveError(
            f"{listed(filtered)}: git stores this through a filter, and a fleet runs none of a repository's: use "
            "`protoserve update` in a clone"
        )
