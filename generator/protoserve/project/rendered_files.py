"""Some of a template's files as Copier writes them, without Copier, which a project's own environment does not have.

The generator does this for the files that a policy is about; `protoserve status` compares all files with a render of
Copier's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from protoserve.platform import answers
from protoserve.platform.errors import ProtoserveError
from protoserve.project.template_paths import context, read_configuration, sources, templates_suffix

_EXTENSION = "jinja2_ansible_filters.AnsibleCoreFiltersExtension"  # which Copier has, too


class RenderError(ProtoserveError):
    """A file needs more of Copier than answers, Jinja, and the filters."""


def rendered_files(template: Path, recorded: Mapping[str, Any], wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The content of the template's files with the recorded answers, by their paths in a project, if `wanted`.

    Raises RenderError.
    """
    configuration = read_configuration(template)
    environment = _environment(template, configuration)
    known = context(configuration, environment, _typed(configuration, recorded))
    files = sources(template, configuration, environment, known)
    suffix = templates_suffix(configuration)
    return {
        path: _content(environment, template, file, known) if file.name.endswith(suffix) else file.read_bytes()
        for path, file in files.items()
        if path != answers.FILE and wanted(path)
    }


def _environment(template: Path, configuration: Mapping[str, Any]) -> SandboxedEnvironment:
    """Jinja as Copier has it for this template."""
    options = dict(configuration.get("_envops") or {})
    undefined = StrictUndefined if str(options.pop("undefined", "")).endswith("StrictUndefined") else Undefined
    options.setdefault("keep_trailing_newline", True)
    return SandboxedEnvironment(
        loader=FileSystemLoader(template), extensions=[_EXTENSION], undefined=undefined, **options
    )


def _typed(configuration: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded answers as templates see them: that to a question for a text is one, even where it is recorded as
    the number that it spells."""
    texts = {
        name for name, question in configuration.items() if isinstance(question, dict) and question.get("type") == "str"
    }
    return {
        name: str(value) if name in texts and isinstance(value, (int, float)) else value
        for name, value in recorded.items()
        if not name.startswith("_")
    }


def _content(environment: SandboxedEnvironment, template: Path, file: Path, known: Mapping[str, Any]) -> bytes:
    name = file.relative_to(template).as_posix()
    try:
        return environment.get_template(name).render(known).encode()
    except (TemplateError, TypeError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise RenderError(f"{name} of the template can only be rendered by Copier ({reason})") from None
