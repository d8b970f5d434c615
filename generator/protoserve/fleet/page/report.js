"use strict";

// Everything shown is in the page's data, and gets into the page as text, never as HTML.
// What is filtered and sorted is in the address, after the #: `#version=v1.0.0&sort=name` is a view to keep or share.

const { projects, versions, words } = JSON.parse(document.getElementById("data").textContent);
const table = document.querySelector(".projects > table");
const rows = [...table.tBodies[0].rows];
const form = document.querySelector(".filters");
const title = document.getElementById("projects");
const count = document.querySelector(".shown output");
const chips = document.querySelector(".chips");
const openAll = document.querySelector(".open-all");
const opened = new Map(); // from a project's index to the row with its details
let arranged = { by: "", order: [...rows.keys()] }; // the order of the rows, by their indexes
const SEVERITY = ["ok", "edited", "todo", "unknown"];
const MOST_OPENED = 50;
const THEME = "protoserve-fleet-theme";
const MOST_DIFFS_UNFOLDED = 3;

// Filters: each decides whether a project is shown.

const FILTERS = {
  q: (project, text) => text.toLowerCase().split(/\s+/).every((word) => searchable(project).includes(word)),
  verdict: (project, verdict) => project.verdict === verdict,
  version: (project, version) => project.version === version,
  owner: (project, owner) => project.owner === owner,
  label: (project, label) => project.labels.includes(label),
  row: (project, wanted) => project.rows.some((row) => `${row.name}:${row.state}` === wanted),
  rule: (project, rule) => project.rules.includes(rule),
  excepted: (project, rule) => project.excepted.includes(rule),
  file: (project, file) => project.edited.includes(file) || project.deleted.includes(file),
  project: (project, address) => project.address === address,
};

/** All texts of a project in lower case, put together when somebody first searches. */
function searchable(project) {
  project.searchable ??= texts(project).join("\n").toLowerCase();
  return project.searchable;
}

function texts(value) {
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(texts) : [String(value)];
}

// Orders: each returns what to compare, the smallest first.

function sortKey(column) {
  if (column === "version") return (project) => -versions.indexOf(project.version); // the oldest first
  if (!column.startsWith("row:")) return (project) => project.name.toLowerCase();
  const name = column.slice("row:".length);
  return (project) => {
    const row = project.rows.find((each) => each.name === name);
    return row ? -SEVERITY.indexOf(row.state) * 1e6 - Math.min(row.count, 1e5) : 1;
  };
}

function sorted(column, descending) {
  const order = projects.map((_, index) => index);
  if (!column) return order;
  const keys = projects.map(sortKey(column));
  const sign = descending ? -1 : 1;
  return order.sort((a, b) => sign * (keys[a] > keys[b] ? 1 : keys[a] < keys[b] ? -1 : 0) || a - b);
}

// The address

function view() {
  return new URLSearchParams(location.hash.slice(1));
}

function changeView(name, value) {
  const wanted = view();
  if (value) wanted.set(name, value);
  else wanted.delete(name);
  history.replaceState(null, "", `#${wanted}`);
  show();
}

/** Shows what the address says. */
function show() {
  const wanted = view();
  const active = Object.keys(FILTERS).filter((name) => wanted.get(name));
  const shown = projects.map((project) => active.every((name) => FILTERS[name](project, wanted.get(name))));
  arrange(wanted.get("sort") ?? "");
  rows.forEach((row, index) => {
    if (row.hidden === shown[index]) row.hidden = !shown[index];
    if (opened.has(index)) opened.get(index).hidden = !shown[index];
  });
  const total = shown.filter(Boolean).length;
  const noun = projects.length === 1 ? "project" : "projects";
  count.value = total === projects.length ? `${total} ${noun}` : `${total} of ${projects.length} ${noun}`;
  for (const control of form.elements) {
    const value = wanted.get(control.name) ?? "";
    if (control.value !== value) control.value = value;
  }
  showChips(active, wanted);
  if (wanted.get("project") && total === 1) openProject(shown.indexOf(true));
  showOpenAll();
}

/** Sorts the rows by a column, given as its name, after a `-` if descending. */
function arrange(sort) {
  if (sort === arranged.by) return;
  const descending = sort.startsWith("-");
  const column = sort.replace(/^-/, "");
  const order = sorted(column, descending);
  arranged = { by: sort, order };
  table.tBodies[0].append(...order.flatMap((index) => [rows[index], opened.get(index)].filter(Boolean)));
  for (const heading of table.tHead.rows[0].cells) {
    heading.removeAttribute("aria-sort");
    if (heading.dataset.sort === column) heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }
}

/** A button for each filter, to remove it. */
function showChips(active, wanted) {
  const buttons = active.map((name) => {
    const button = element("button", { type: "button" }, describe(name, wanted.get(name)));
    button.ariaLabel = `Remove the filter ${button.textContent}`;
    button.addEventListener("click", () => {
      changeView(name, "");
      title.focus({ preventScroll: true }); // as the button is gone
    });
    return button;
  });
  chips.replaceChildren(...buttons);
}

function describe(name, value) {
  if (name === "q") return `search: ${value}`;
  if (name === "verdict") return `verdict: ${words[value] ?? value}`;
  if (name !== "row") return `${name}: ${value}`;
  const [row, state] = value.split(":");
  return `${row}: ${words[state] ?? state}`;
}

// Details

function element(name, properties, ...children) {
  const result = Object.assign(document.createElement(name), properties);
  result.append(...children.filter((child) => child !== null));
  return result;
}

function openProject(index) {
  if (opened.has(index)) return;
  const cell = element("td", { colSpan: rows[index].cells.length }, ...details(projects[index]));
  const row = element("tr", { className: "details", id: `details-${index}` }, cell);
  opened.set(index, row);
  rows[index].after(row);
  markOpened(index, true);
}

function closeProject(index) {
  opened.get(index)?.remove();
  opened.delete(index);
  markOpened(index, false);
}

function markOpened(index, isOpened) {
  const button = rows[index].querySelector("button");
  button.ariaExpanded = String(isOpened);
  if (isOpened) button.setAttribute("aria-controls", `details-${index}`);
  else button.removeAttribute("aria-controls");
}

function details(project) {
  const file = view().get("file");
  const unfolded = (diff) => (file ? diff.file === file : project.diffs.length <= MOST_DIFFS_UNFOLDED);
  const diffs = project.diffs.map((diff) => showDiff(diff, unfolded(diff)));
  return [
    element("p", { className: "address" }, address(project)),
    element("p", { className: "about" }, Object.entries(project.about).map(([key, value]) => `${key} ${value}`).join(" · ")),
    element("dl", {}, ...project.rows.map((row) => showRow(row))),
    diffs.length ? element("h3", {}, "Template files, against a fresh render") : null,
    ...diffs,
  ].filter(Boolean);
}

function address(project) {
  if (!/^https?:\/\//.test(project.address)) return project.address;
  return element("a", { href: project.address, rel: "noreferrer noopener", target: "_blank" }, project.address);
}

function showRow(row) {
  const lines = Object.entries(row.details).flatMap(([kind, values]) => values.map((value) => `${kind}: ${value}`));
  if (row.cut) lines.push(`and ${row.cut} more`);
  return element(
    "div",
    {},
    element("dt", {}, row.name),
    element("dd", { className: row.state }, words[row.state]),
    element(
      "dd",
      {},
      row.text,
      row.counts || !["todo", "unknown"].includes(row.state) ? null : " (does not count)",
      lines.length ? element("ul", {}, ...lines.map((line) => element("li", {}, line))) : null,
      row.remedy ? element("p", {}, "To do: ", element("code", {}, row.remedy)) : null,
    ),
  );
}

const KINDS_OF_LINE = { "+": "add", "-": "del", "@": "at", "(": "at", "\\": "at" };

function showDiff(diff, unfolded) {
  const lines = diff.text.split("\n").map((line) => element("span", { className: KINDS_OF_LINE[line[0]] ?? "" }, line || " "));
  return element(
    "details",
    { className: "diff", open: unfolded },
    element(
      "summary",
      {},
      diff.path,
      element("span", { className: "plus" }, `+${diff.added}`),
      element("span", { className: "minus" }, `−${diff.removed}`),
    ),
    diff.text ? element("pre", { tabIndex: 0 }, ...lines) : null,
    diff.cut ? element("p", {}, `${diff.cut} more lines of this diff are not part of the page.`) : null,
  );
}

/** The rows that "Open all" is about: those that are shown, up to a number that a browser draws at once. */
function firstShown() {
  return arranged.order.filter((index) => !rows[index].hidden).slice(0, MOST_OPENED);
}

function showOpenAll() {
  const indexes = firstShown();
  const all = indexes.length === rows.filter((row) => !row.hidden).length;
  openAll.hidden = indexes.length === 0;
  openAll.textContent = indexes.every((index) => opened.has(index)) ? "Close all" : all ? "Open all" : `Open the first ${MOST_OPENED}`;
}

// What people do

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => changeView(event.target.name, event.target.value));

table.tHead.addEventListener("click", (event) => {
  const column = event.target.closest("th").dataset.sort;
  const next = { [column]: `-${column}`, [`-${column}`]: "" };
  changeView("sort", next[view().get("sort")] ?? column);
});

table.tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest(".project");
  if (!row || getSelection().toString()) return;
  const index = rows.indexOf(row);
  if (opened.has(index)) closeProject(index);
  else openProject(index);
  showOpenAll();
});

openAll.addEventListener("click", () => {
  const indexes = firstShown();
  const change = indexes.every((index) => opened.has(index)) ? closeProject : openProject;
  indexes.forEach(change);
  showOpenAll();
});

addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return; // the link to the table
  show();
  scrollToProjects();
});

function scrollToProjects() {
  title.scrollIntoView();
  title.focus({ preventScroll: true });
}

// The theme is kept where the browser keeps anything for a page.

for (const radio of document.querySelectorAll("[name=theme]")) {
  radio.addEventListener("change", () => remember(radio.value));
  if (radio.value === remembered()) radio.checked = true;
}

function remember(theme) {
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // Then the switch holds until the page is left.
  }
}

function remembered() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null;
  }
}

show();
if (location.hash.includes("=")) scrollToProjects();
