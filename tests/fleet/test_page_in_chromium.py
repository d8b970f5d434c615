"""What people do with the page of a fleet, in a real Chromium, and what the page does not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.chromium import Page, browser
from fleet.reports import document, project, report
from fleet.test_page import WORST, hostile
from protoserve.fleet.page import render

pytestmark = pytest.mark.slow

SHOWN = "[...document.querySelectorAll('.project:not([hidden]) th')].map(cell => cell.firstElementChild.textContent)"
COUNT = "document.querySelector('output').value"
# The contrast of every text with what is behind it (https://www.w3.org/TR/WCAG22/#contrast-minimum), if it is too low.
LOW_CONTRAST = """(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const painted = (colours) => {
    const key = colours.join();
    if (!known.has(key)) known.set(key, luminance(drawn(colours)));
    return known.get(key);
  };
  const drawn = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const parents = (item) => (item ? [...parents(item.parentElement), item] : []);
  const low = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const item = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !item.checkVisibility() || item.closest(".unseen, .skip, script")) continue;
    const behind = parents(item).map((parent) => getComputedStyle(parent).backgroundColor);
    const [text, ground] = [[...behind, getComputedStyle(item).color], behind].map(painted);
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < 4.5) low.add(`${item.tagName}.${item.className} ${texts.currentNode.data.trim()} ${ratio.toFixed(2)}`);
  }
  return [...low];
})()"""

# What the content policy stops of things that would ask a server or act, if they had got into the page.
SMUGGLED = """(async () => {
  const stopped = [];
  document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
  document.body.insertAdjacentHTML("beforeend", "<img src='http://127.0.0.1:9/'><iframe src='http://127.0.0.1:9/'>");
  for (const [name, text] of [["script", "window.canary = 1"], ["style", "p { color: red }"]]) {
    document.body.append(Object.assign(document.createElement(name), { textContent: text }));
  }
  await fetch("http://127.0.0.1:9/").catch(() => {});
  await new Promise((done) => setTimeout(done, 100));
  return stopped;
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    """The one browser of these tests."""
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of 40 projects."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "40.html").write_text(render(document(40), "1 December 2026"), encoding="utf-8")
    return folder


@pytest.fixture
def page(chromium: Page, pages: Path) -> Page:
    """The page of 40 projects, as a new visitor with a light theme sees it; it fails if the console has errors."""
    chromium.emulate()
    chromium.open(pages / "40.html")
    return chromium


def errors(page: Page) -> list[Any]:
    """What the console reports, exceptions included."""
    kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    return [event["params"] for event in page.events if event["method"] in kinds]


def requested(page: Page) -> list[str]:
    """The addresses of all requests, of which those of the page itself need no network."""
    sent = (event["params"] for event in page.events if event["method"] == "Network.requestWillBeSent")
    return [event["request"]["url"] for event in sent]


def click(page: Page, selector: str, number: int = 0) -> None:
    """Clicks in the middle of an element."""
    page.run(f"document.querySelectorAll('{selector}')[{number}].scrollIntoView({{block: 'center'}})")
    box = page.run(f"document.querySelectorAll('{selector}')[{number}].getBoundingClientRect().toJSON()")
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, **place)
    page.run("new Promise((done) => setTimeout(done, 20))")  # the event of another address comes afterwards


def choose(page: Page, name: str, value: str) -> None:
    """Gives a control of the filters a value, as typing or choosing does."""
    control = f"document.querySelector('.filters [name={name}]')"
    page.run(f"{control}.value = {value!r}; {control}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def test_projects_are_sorted_filtered_and_searched(page: Page) -> None:
    assert page.run(COUNT) == "40 projects"
    click(page, ".projects thead button", 0)
    assert page.run(SHOWN)[:3] == ["team/model-0", "team/model-1", "team/model-10"]
    click(page, ".projects thead button", 0)
    assert page.run(SHOWN)[:2] == ["team/model-9", "team/model-8"]
    sorted_by = "document.querySelector('[aria-sort=descending] button')"
    assert page.run(f"{sorted_by}.textContent") == "Project"
    assert page.run(f"getComputedStyle({sorted_by}, '::after').content") == '" \N{DOWNWARDS ARROW}"'
    click(page, 'thead [data-sort="version"] button')
    assert page.run("[...document.querySelectorAll('td.version')].map((cell) => cell.textContent)")[::12] == [
        *("unknown", "v1.9.0", "v1.10.0", "v2.0.0")
    ]
    click(page, 'thead [data-sort="row:policy"] button')
    assert set(page.run(SHOWN)[:8]) == {f"team/model-{number}" for number in range(0, 40, 5)}
    click(page, ".versions tbody a", 1)
    assert page.run(COUNT) == "12 of 40 projects"
    assert page.run("document.activeElement.textContent") == "Projects"
    choose(page, "owner", "risk")
    assert page.run(SHOWN) == [f"team/model-{number}" for number in (4, 10, 16, 22, 28, 34)]
    choose(page, "q", "Edit model-22")
    assert page.run(SHOWN) == ["team/model-22"]
    for _ in range(3):
        click(page, ".chips button")
    assert page.run(COUNT) == "40 projects"
    click(page, ".drift tbody a", 2)
    assert set(page.run(SHOWN)) == {f"team/model-{number}" for number in (3, 7, 11, 15, 23, 27, 31, 35)}
    click(page, ".rules tbody a")
    assert page.run(COUNT) == "8 of 40 projects"
    click(page, ".rules td a")
    assert set(page.run(SHOWN)) == {f"team/model-{number}" for number in range(1, 40, 5)}
    click(page, ".checks tbody a", 0)
    assert page.run("document.querySelector('.chips').innerText") == "template: to do"
    assert page.run(COUNT) == "24 of 40 projects"
    click(page, ".figures a", 2)
    assert page.run(SHOWN) == [f"team/model-{number}" for number in (9, 19, 29, 39)]
    assert errors(page) == []


def test_a_click_or_a_key_shows_a_project_with_its_diff(page: Page, pages: Path) -> None:
    click(page, ".project td.version", 1)
    details = page.run("document.querySelector('.details').innerText")
    assert "https://git.example/team/model-1.git" in details
    assert "-of the template\n+edit 1 of the team" in details
    click(page, ".project td.version", 1)
    assert page.run("document.querySelectorAll('.details').length") == 0
    page.run("document.querySelector('.project button').focus()")
    page.key("Enter", "\r")
    assert page.run("document.activeElement.ariaExpanded") == "true"
    shown = "document.getElementById(document.activeElement.getAttribute('aria-controls'))"
    assert page.run(f"{shown}.className") == "details"
    click(page, ".open-all")
    assert page.run("document.querySelectorAll('.details').length") == 40
    # The address of one view, with the diff of the file that it is about.
    page.open(pages / "40.html", "#file=Makefile&project=https://git.example/team/model-3.git")
    assert page.run("[...document.querySelectorAll('.diff[open] summary')].map(item => item.innerText)") == [
        "Makefile+1\N{MINUS SIGN}1"
    ]
    assert errors(page) == []


def test_the_theme_is_that_of_the_system_until_somebody_chooses(page: Page, pages: Path) -> None:
    dark = "getComputedStyle(document.body).backgroundColor"
    light_paper = page.run(dark)
    page.emulate(scheme="dark")
    dark_paper = page.run(dark)
    assert dark_paper != light_paper
    click(page, ".themes label", 1)
    assert page.run(dark) == light_paper
    page.open(pages / "40.html")
    assert page.run(dark) == light_paper
    page.run("document.getElementById('theme-light').focus()")
    page.key("ArrowLeft")
    assert page.run(dark) == dark_paper
    assert errors(page) == []


def test_nothing_is_requested_even_by_what_gets_in(page: Page, pages: Path) -> None:
    page.run("openAll.click()")
    assert [url for url in requested(page) if not url.startswith("data:")] == [(pages / "40.html").as_uri()]
    assert errors(page) == []
    assert set(page.run(SMUGGLED)) == {"img-src", "connect-src", "script-src-elem", "style-src-elem", "frame-src"}
    assert page.run("window.canary") is None


def test_texts_of_projects_do_not_act(chromium: Page, pages: Path) -> None:
    chromium.emulate()
    (pages / "hostile.html").write_text(render(report([hostile(text) for text in WORST]), "now"), encoding="utf-8")
    chromium.open(pages / "hostile.html")
    chromium.run("openAll.click(); document.querySelectorAll('.diff').forEach((diff) => { diff.open = true; })")
    for part in (".rules a", ".versions a", ".drift a", "thead button"):
        for number in range(chromium.run(f"document.querySelectorAll('{part}').length")):
            chromium.run(f"document.querySelectorAll('{part}')[{number}].click()")
    assert chromium.run("typeof canary") == "undefined"
    assert chromium.run("document.querySelectorAll('img, iframe, object, [onerror], [onmouseover]').length") == 0
    assert chromium.run("document.scripts.length") == 2
    assert errors(chromium) == []
    assert [url for url in requested(chromium) if not url.startswith("data:")] == [(pages / "hostile.html").as_uri()]


def test_it_can_be_read_by_everybody(page: Page) -> None:
    page.run("[0, 1, 2, 3, 39].forEach(openProject)")
    for scheme in ("light", "dark"):
        page.emulate(scheme=scheme)
        assert page.run(LOW_CONTRAST) == []
    headings = page.run("[...document.querySelectorAll('h1, h2, h3')].map((item) => item.tagName)")
    assert headings[:7] == ["H1", *["H2"] * 5, "H3"]
    assert page.run("[...document.querySelectorAll('table')].every((item) => item.caption.textContent)")
    assert page.run("[...document.querySelectorAll('th')].every((item) => item.scope)")
    named = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if role(node) in INTERACTIVE]
    assert len(named) > 50
    assert [node for node in named if not node["name"]["value"].strip()] == []
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    page.key("Tab")
    assert page.run("document.activeElement.className") == "skip"


INTERACTIVE = ("button", "link", "textbox", "searchbox", "combobox", "radio", "DisclosureTriangle")


def role(node: dict[str, Any]) -> str:
    return str(node.get("role", {}).get("value"))


def test_it_fits_a_telephone_and_prints(page: Page) -> None:
    page.run("document.querySelectorAll('.project button')[1].click()")
    page.emulate(width=390)
    assert page.run("document.documentElement.scrollWidth") == 390
    page.emulate(width=800, scheme="dark", media="print")
    seen = "document.querySelector('{}').checkVisibility()"
    assert [page.run(seen.format(part)) for part in (".filters", ".themes", ".open-all")] == [False] * 3
    assert page.run(seen.format(".details .diff pre"))
    assert page.run("getComputedStyle(document.body).color") == "rgb(23, 25, 28)"
    page.emulate(media="")
    assert page.pdf().startswith(b"%PDF-")


def test_without_its_script_it_is_a_table(chromium: Page, pages: Path) -> None:
    chromium.emulate()
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(pages / "40.html")
        visible = "[...document.querySelectorAll('{}')].filter((item) => item.checkVisibility()).length"
        shown = [chromium.run(visible.format(part)) for part in (".project", "noscript", ".filters", ".open-all")]
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert shown == [40, 1, 0, 0]


def test_a_part_without_projects_has_a_page(chromium: Page, pages: Path) -> None:
    chromium.emulate()
    (pages / "0.html").write_text(render(report([]), "now"), encoding="utf-8")
    chromium.open(pages / "0.html")
    assert chromium.run(COUNT) == "0 projects"
    assert errors(chromium) == []


def test_thousands_of_projects_are_filtered_at_once(chromium: Page, pages: Path) -> None:
    chromium.emulate()
    many = [project(number) for number in range(2000)]
    (pages / "2000.html").write_text(render(report(many), "now"), encoding="utf-8")
    chromium.open(pages / "2000.html")
    chromium.run("changeView('sort', '-name'); openAll.click()")
    assert chromium.run("document.querySelectorAll('.project')[1].nextSibling.className") == "details"
    assert chromium.run("document.querySelectorAll('.details').length") == 50
    choose(chromium, "q", "nothing")  # the first search puts the texts together
    spent = """(() => {
      const start = performance.now();
      changeView("q", "model-777");
      document.body.offsetHeight;
      return performance.now() - start;
    })()"""
    assert chromium.run(spent) < 1000
    assert chromium.run(COUNT) == "1 of 2000 projects"
