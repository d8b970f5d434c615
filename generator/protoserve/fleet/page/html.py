"""The page's text: the template filled in, with style, script and data inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from protoserve.fleet.page import summary
from protoserve.fleet.page.diffs import Diff
from protoserve.fleet.page.projects import STATES, Project, Row, of_every_project, read_projects
from protoserve.platform.plain_text import in_json, one_line

_HERE = Path(__file__).parent


def render(document: Mapping[str, Any], created: str) -> str:
    """The page of the JSON document of `fleet status`; `created` is the time of the report, for people."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"link": _link, "words": STATES}
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    projects = read_projects(document)
    return environment.get_template("report.html.jinja").render(
        created=created,
        shard=one_line(str(document.get("shard") or "")),
        content_policy=_content_policy(style, script),
        style=style,
        script=script,
        data=_script_data(projects),
        projects=projects,
        ok=sum(project.verdict == "ok" for project in projects),
        owners=sorted({project.owner for project in projects} - {""}),
        labels=sorted({label for project in projects for label in project.labels}),
        verdicts=summary.verdicts(projects),
        versions=summary.versions(projects),
        columns=summary.columns(projects),
        checks=summary.checks(projects),
        rules=summary.rules(projects),
        drift=summary.drift(projects),
    )


def _link(**filters: str) -> str:
    """The address, within the page, that shows only projects of which this is true."""
    return f"#{urlencode(filters)}"


def _content_policy(style: str, script: str) -> str:
    """A Content-Security-Policy that allows this style and this script, and no request at all.

    See https://www.w3.org/TR/CSP3/; the only image is the icon, which is part of the page.
    """
    sources = {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    sources |= {"style-src": _hash(style), "script-src": _hash(script)}
    return "; ".join(f"{directive} {source}" for directive, source in sources.items())


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _script_data(projects: Sequence[Project]) -> str:
    """What the script searches and shows on a click, as JSON that ends no script element and starts no comment."""
    data = [_fields(project) for project in projects]
    versions = [part.name for part in summary.versions(projects)]
    text = in_json({"words": STATES, "versions": versions, "projects": data})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _fields(project: Project) -> dict[str, Any]:
    """The project as JSON can have it, without the files that it has as the template does."""
    left_out = ("unchanged", "findings", "package")
    data = {field.name: getattr(project, field.name) for field in fields(project) if field.name not in left_out}
    return data | {
        "rules": summary.rules_of(project, excepted=False),
        "excepted": summary.rules_of(project, excepted=True),
        "rows": [_as_dict(row) for row in project.rows],
        "diffs": [_as_dict(diff) | {"file": of_every_project(diff.path, project.package)} for diff in project.diffs],
    }


def _as_dict(item: Row | Diff) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}
