"""Which files a version of a template writes, by their names alone: a render would take many times as long."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from protoserve.platform import answers

_CONFIGURATIONS = ("copier.yml", "copier.yaml")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads copier.yml without what Copier's own tags, such as !include, would add."""


_Loader.add_multi_constructor("!", lambda *_: None)


def template_paths(template: Path, given: Mapping[str, Any]) -> list[str]:
    """The paths, below a project, of the files that Copier writes from the folder `template` with these answers.

    Questions without an answer have their default. A name that needs more than that, such as another filter than
    Jinja's, is left out.
    """
    configuration = _configuration(template)
    environment = _environment(configuration)
    context: dict[str, Any] = {"_copier_conf": {"answers_file": answers.FILE}}
    for name, question in configuration.items():
        if isinstance(question, dict) and not name.startswith("_"):
            context[name] = _rendered(environment, question.get("default"), context)
    context |= given
    folder = template / str(_rendered(environment, configuration.get("_subdirectory", ""), context) or "")
    excluded = [_rendered(environment, pattern, context) for pattern in configuration.get("_exclude") or ()]
    suffix = str(configuration.get("_templates_suffix", ".jinja"))
    rendered_part = cache(partial(_rendered, environment, context=context))
    paths = []
    for name in _files(folder):
        path = _path(rendered_part(part) for part in PurePosixPath(name.removesuffix(suffix)).parts)
        if path is not None and not _is_excluded(path, [str(pattern) for pattern in excluded if pattern]):
            paths.append(path)
    return sorted(paths)


def _configuration(template: Path) -> dict[str, Any]:
    """The content of copier.yml; empty if it cannot be read, which Copier reports."""
    for name in _CONFIGURATIONS:
        try:
            content = yaml.load((template / name).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict):
            return {str(key): value for key, value in content.items()}
    return {}


def _environment(configuration: Mapping[str, Any]) -> SandboxedEnvironment:
    """Jinja with the delimiters that the template sets."""
    options = configuration.get("_envops")
    delimiters = {name: value for name, value in (options or {}).items() if name.endswith("_string")}
    return SandboxedEnvironment(undefined=StrictUndefined, **delimiters)


def _rendered(environment: SandboxedEnvironment, value: Any, context: Mapping[str, Any]) -> Any:
    """A text of the template, None if it needs more than Jinja and the answers; any other value as it is."""
    starts = (environment.block_start_string, environment.variable_start_string, environment.comment_start_string)
    if not isinstance(value, str) or not any(start in value for start in starts):
        return value
    try:
        return environment.from_string(value).render(context)
    except (TemplateError, TypeError, ValueError):
        return None


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from ((Path(parent) / name).relative_to(folder).as_posix() for name in names)


def _path(rendered_parts: Iterable[Any]) -> str | None:
    """The path in a project of a file of the template, None if it has none or cannot be known."""
    parts = list(rendered_parts)
    if not all(parts):  # Copier leaves out what has an empty part
        return None
    path = PurePosixPath(*parts)
    return None if path.is_absolute() or ".." in path.parts else str(path)


def _is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of these patterns, which are those of .gitignore, matches the path or a folder above it."""
    above = [PurePosixPath(path), *PurePosixPath(path).parents[:-1]]
    for pattern in patterns:
        anchored = "/" in pattern.strip("/") or pattern.startswith("/")
        matched = (str(item) if anchored else item.name for item in above)
        if any(fnmatchcase(text, pattern.strip("/")) for text in matched):
            return True
    return False
