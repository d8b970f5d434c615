"""The page of a fleet: one file, whatever the projects are called and contain. Nothing of a project acts in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fleet.reports import diff_of, document, project, report
from protoserve.cli import main
from protoserve.fleet.fair_share import fair_share
from protoserve.fleet.page import render
from protoserve.fleet.page.diffs import read_diffs
from protoserve.fleet.page.projects import short_name
from protoserve.fleet.page.summary import per_cent, version_order

WORST = [
    "</script><script>canary = 1</script>",
    "<!--<script>",
    "]]><img src=x onerror=canary=1>",
    '" onmouseover="canary=1" x=\'',
    "{{ 7 * 7 }} {% raw %}",
    "\u2028\u2029 \u202eexe.fdp \x1b[31m \x00 \ud800",
    "&lt;b&gt; &amp;",
]


class Elements(HTMLParser):
    """The page's elements in their order, with the text of those whose text is not HTML."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in self.raw:
            self.raw[tag].append("")
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in self.raw:
            self.raw[self.cdata_elem][-1] += data
        else:
            self.texts.append(data)


def hostile(text: str) -> dict[str, Any]:
    """A project in which every text is this one, too."""
    made = project(1)
    for key in ("project", "project_name", "branch", "commit", "template", "owner", "version"):
        made[key] += text
    made["labels"] = [text]
    for row in made["rows"]:
        row["said"] += text
        row["remedy"] += text
        row["details"] = {kind: [*lines, text] for kind, lines in row["details"].items()} | {text: [text]}
    made["rows"][-1]["details"]["violations"] = [f"x: {text} (answers.x in policy.yaml); {text}"]
    made["diff"] = diff_of("Dockerfile" + text.splitlines()[0], 1).replace(" first", f" first {text}")
    return made


def test_no_text_becomes_an_element_an_attribute_or_a_script() -> None:
    harmless = Elements(render(report([hostile("words/of a path")] * len(WORST)), "now"))
    page = render(report([hostile(text) for text in WORST]), "now")
    elements = Elements(page)
    names = {name for name, _ in elements.attributes}
    assert names == {name for name, _ in harmless.attributes}
    assert set(elements.tags) == set(harmless.tags)
    assert elements.tags.count("script") == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", page)
    data, _ = elements.raw["script"]
    assert not set("<>&").intersection(data)
    assert "\\u202eexe.fdp" in json.loads(data)["projects"][5]["name"]


def test_the_content_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else() -> None:
    elements = Elements(render(document(3), "now"))
    content = next(value for name, value in elements.attributes if name == "content" and "default-src" in value)
    policy = dict(directive.split(" ", 1) for directive in content.split("; "))
    _, script = elements.raw["script"]
    (style,) = elements.raw["style"]
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "style-src": f"'sha256-{sha256(style)}'",
        "script-src": f"'sha256-{sha256(script)}'",
    }
    addresses = [value for name, value in elements.attributes if name in ("src", "href", "action", "srcset", "style")]
    assert all(address.startswith(("#", "data:")) for address in addresses)


def sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_what_the_page_counts() -> None:
    page = render(document(40), "now")
    text = " ".join("".join(Elements(page).texts).split())
    text = text.replace("\N{EN DASH}", "-").replace("\N{MULTIPLICATION SIGN}", "x")
    assert "9 of 40 projects are as they should be" in text
    assert "v2.0.0 12 30 % v1.10.0 12 30 % v1.9.0 12 30 % unknown 4 10 %" in text
    found = "port must be at least 8000, not 7000: the mesh routes these x 8"
    excepted = "excepted until 2027-03-31: moves with the old gateway x 8"
    assert f"answers.port 8 8 {found} {excepted}" in text
    assert "Dockerfile 26 - 72 %" in text
    assert "src/{package}/server/logs.py 8 - 22 %" in text


def test_the_page_of_joined_parts_is_printed(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for part in (1, 2):
        listed = [project(number) for number in range(4) if number % 2 == part % 2]
        path = tmp_path / f"{part}.json"
        path.write_text(json.dumps({**report(listed), "shard": f"{part}/2"}), encoding="utf-8")
    code = main(["fleet", "report", *map(str, sorted(tmp_path.iterdir())), "--format", "html"])
    page = capfdbinary.readouterr().out.decode()
    assert code == 1
    assert page.startswith("<!doctype html>\n")
    assert "<b>1</b> of <b>4</b> projects are as they should be</h1>" in page
    assert re.search(r"<time>\d{1,2} \w+ 20\d\d, \d\d:\d\d UTC</time>", page)


def test_two_hundred_projects_with_long_diffs_are_less_than_5_mb() -> None:
    long = document(200)
    edited = "".join(f"+{'<a> ' * 50}{line}\n" for line in range(60))
    for number, item in enumerate(long["projects"]):
        item["diff"] = f"--- a/Makefile\n+++ b/Makefile\n@@ -0,0 +1,60 @@\n{edited}" * (1 + number % 2)
    page = render(long, "now").encode()
    assert 3_500_000 < len(page) < 5_000_000
    assert b"more lines" in page


def test_a_diff_is_split_into_its_files_although_lines_look_like_headers() -> None:
    text = (
        "--- a/notes.md\n+++ b/notes.md\n@@ -1,2 +1,2 @@\n--- a/x\n+++ b/y\n same\n\\ No newline at end of file\n"
        "--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-\ta https://user:secret@host/ line\x1b\n"
    )
    notes, gone = read_diffs(text, 10_000)
    assert (notes.path, notes.added, notes.removed, notes.cut) == ("notes.md", 1, 1, 0)
    assert (gone.path, gone.added, gone.removed) == ("gone", 0, 1)
    assert gone.text == "@@ -1 +0,0 @@\n-\ta https://host/ line\\x1b"
    short, _ = read_diffs(text, 40)
    assert short.text == "@@ -1,2 +1,2 @@"
    assert short.cut == 4


@pytest.mark.parametrize(
    ("sizes", "budget", "share"), [([], 10, 0), ([3, 4], 10, 4), ([1, 20, 30], 21, 10), ([9, 9, 9], 10, 3)]
)
def test_large_diffs_share_what_small_ones_leave(sizes: list[int], budget: int, share: int) -> None:
    assert fair_share(sizes, budget) == share
    assert sum(min(size, share) for size in sizes) <= budget


def test_names_and_shares_for_people() -> None:
    for address in ("https://git.example/a/risk/fraud.git", "git@git.example:risk/fraud", "../models/risk/fraud/"):
        assert short_name(address) == "risk/fraud"
    assert short_name("https://git.example/mono.git#services/churn") == "mono#services/churn"
    assert [per_cent(count, 1000) for count in (0, 1, 400, 999, 1000)] == ["0 %", "< 1 %", "40 %", "99 %", "100 %"]
    newest_first = ["v1.10.0-2-g2043abc", "v1.10.0", "v1.10.0rc1", "v1.9.0", "unknown"]
    assert sorted(newest_first, key=version_order, reverse=True) == newest_first
