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
    configuration = read_configuration(template)
    environment = SandboxedEnvironment(undefined=StrictUndefined, **_delimiters(configuration))
    return sorted(sources(template, configuration, environment, context(configuration, environment, given)))


def context(
    configuration: Mapping[str, Any], environment: SandboxedEnvironment, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What the names of a template's files, and the files, can use: an answer, or the default, to each question."""
    result: dict[str, Any] = {"_copier_conf": {"answers_file": answers.FILE}}
    for name, question in configuration.items():
        if isinstance(question, dict) and not name.startswith("_"):
            result[name] = given.get(name, _rendered(environment, question.get("default"), result))
    return {**result, **given}


def sources(
    template: Path, configuration: Mapping[str, Any], environment: SandboxedEnvironment, context: Mapping[str, Any]
) -> dict[str, Path]:
    """The files of a template by the paths, below a project, that Copier writes them to."""
    folder = template / str(_rendered(environment, configuration.get("_subdirectory", ""), context) or "")
    excluded = [_rendered(environment, pattern, context) for pattern in configuration.get("_exclude") or ()]
    suffix = templates_suffix(configuration)
    rendered_part = cache(partial(_rendered, environment, context=context))
    files: dict[str, Path] = {}
    for name in sorted(_files(folder)):  # of a file and a template of its name, Copier takes the latter
        path = _path(rendered_part(part) for part in PurePosixPath(name.removesuffix(suffix)).parts)
        if path is not None and not _is_excluded(path, [str(pattern) for pattern in excluded if pattern]):
            files[path] = folder / name
    return files


def templates_suffix(configuration: Mapping[str, Any]) -> str:
    """How the names of files end that are rendered; the others are copied."""
    return str(configuration.get("_templates_suffix", ".jinja"))


def read_configuration(template: Path) -> dict[str, Any]:
    """The content of copier.yml; empty if it cannot be read, which Copier reports."""
    for name in _CONFIGURATIONS:
        try:
            content = yaml.load((template / name).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict):
            return {str(key): value for key, value in content.items()}
    return {}


def _delimiters(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Those of Jinja that the template sets."""
    options = configuration.get("_envops")
    return {name: value for name, value in (options or {}).items() if name.endswith("_string")}


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
