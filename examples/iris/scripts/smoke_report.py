"""What `make smoke` says of the server under test: why it failed, from its log, and which model it served."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from iris.server.artifact import how_to_seal, read_seal, sha256

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = PROJECT / "src" / "iris"
NOT_THE_AUTHORS = (SOURCES / "server", SOURCES / "contract", PROJECT / ".venv", PROJECT / "scripts")

MAX_FRAMES = 8
MAX_LINES = 30  # of one message
LAST_LINES = 10  # of a log that has no error
TRACEBACK = "Traceback (most recent call last):"
# In a traceback, and in what faulthandler prints when the process crashes; the code follows in the former alone.
FRAME = re.compile(r' *File "(?P<path>.+?)", line (?P<line>\d+)(?:,)? ?(?:in (?P<name>.+))?\n?(?: {4}(?P<code>.*))?')


@dataclass(frozen=True)
class Entry:
    """A line of the server's log: one that the server wrote, or what anything else printed."""

    level: str
    message: str
    error: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        return self.level in ("ERROR", "CRITICAL")


def entries(text: str) -> list[Entry]:
    """The log as entries. Lines that are not the server's own are one entry where they follow each other."""
    result: list[Entry] = []
    printed: list[str] = []
    for line in [*text.splitlines(), None]:
        entry = _parsed(line) if line is not None else None
        if entry is None and line is not None:
            printed.append(line)
            continue
        if printed:
            result.append(_printed(printed))
            printed = []
        if entry is not None:
            result.append(entry)
    return result


def readable(log: Sequence[Entry]) -> str:
    """The whole log, with tracebacks as they are."""
    lines = [f"{entry.level} {entry.message}".strip() + (f"\n{entry.error}" if entry.error else "") for entry in log]
    return "\n".join(lines)


def causes(log: Sequence[Entry]) -> list[str]:
    """What went wrong, as lines: each error in the order of the log, with the author's own lines of code."""
    lines: list[str] = []
    for entry in log:
        if entry.is_error:
            message = entry.message.splitlines()
            own = max(1, len(_last_message(entry.error).splitlines())) if entry.error else len(message)
            lines += [*_cut(message[:own]), *_places(entry.error), *message[own:]]  # a remedy comes after the place
    if not lines:
        last = [line for entry in log[-LAST_LINES:] for line in entry.message.splitlines()][-LAST_LINES:]
        lines = ["Its log says no reason. The last lines:", *(f"  {line}" for line in last)] if last else []
    return lines


def ending(code: int) -> str:
    """How the process of a server ended, from its exit code."""
    if code >= 0:
        return f"it exited with {code}"
    name = signal.Signals(-code).name
    about = {"SIGKILL": "by the system, which does that when memory runs out", "SIGSEGV": "a crash in native code"}
    return f"it was killed by {name}" + (f": {about[name]}" if name in about else "")


def served_model(log: Sequence[Entry]) -> str:
    """Which model the server loaded: file, digest, when it was written and by whom. Empty if it loaded none."""
    loaded = [entry.fields for entry in log if "artifact" in entry.fields]
    if not loaded:
        return ""
    path = Path(loaded[-1]["artifact"])  # relative to the project's folder, where the server runs
    place = PROJECT / path
    if not place.exists():
        return ""
    digest = loaded[-1].get("sha256") or (sha256(place) if place.is_file() else None)
    written = datetime.fromtimestamp(place.stat().st_mtime)
    content = f"SHA-256 {digest}" if digest else "a folder"
    return f"{path}\n{content}\nwritten {_ago(written)}, {_maker(path)}"


def _ago(time: datetime) -> str:
    seconds = (datetime.now() - time).total_seconds()
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit} ago ({time:%Y-%m-%d %H:%M})"
    return f"just now ({time:%Y-%m-%d %H:%M:%S})"


def _maker(path: Path) -> str:
    seal = read_seal(PROJECT / path)
    if seal is None:
        return f"not by train.py; to have the server check that it stays the same: {how_to_seal(path)}"
    if seal.script is None:
        return "sealed by an earlier version of this project"
    return f"by {seal.script}" if seal.script else "not by train.py; sealed by hand"


def _parsed(line: str) -> Entry | None:
    """The entry of a line that the server logged; None for any other."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not {"level", "message"} <= record.keys():
        return None
    return Entry(str(record["level"]), str(record["message"]), str(record.get("error", "")), record)


def _printed(lines: Sequence[str]) -> Entry:
    """What something else than the server's log printed; an error if it is a traceback or a crash."""
    text = "\n".join(lines)
    if TRACEBACK in text:
        return Entry("ERROR", _last_message(text), text)
    crash = re.search(r"^Fatal Python error: .*", text, re.MULTILINE)
    if crash is None:
        return Entry("", text)
    aborted = "Aborted" in crash[0]  # most likely by SIGABRT from the test, which then says why
    return Entry("ERROR", "" if aborted else crash[0], text[crash.start() :])


def _last_message(traceback: str) -> str:
    """The type and the message of the exception that a traceback ends with; empty if there is none."""
    if TRACEBACK not in traceback:
        return ""
    lines = traceback.rpartition(TRACEBACK)[2].splitlines()
    first = next((index for index, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return "\n".join(lines[first:]) or traceback.splitlines()[-1]


def _places(error: str) -> Iterator[str]:
    """The author's lines in a traceback; of the exceptions that caused the last one, type and message as well."""
    if error.startswith("Fatal Python error"):
        yield from _places_of_crash(error)
        return
    *before, last = error.split(TRACEBACK)
    yield from _frames(last)
    for block in reversed(before[1:]):
        message = _last_message(TRACEBACK + block).split("\n\n")[0]
        yield from _cut(f"caused by {message}".splitlines())
        yield from _frames(block)


def _places_of_crash(dump: str) -> Iterator[str]:
    """The author's lines of the thread that has any; faulthandler has the innermost call first."""
    for thread in re.split(r"^(?:Current thread|Thread) ", dump, flags=re.MULTILINE)[1:]:
        inner_first = [frame for frame in FRAME.finditer(thread) if _is_authors(frame["path"])]
        if inner_first:
            yield from map(_shown, reversed(inner_first[:MAX_FRAMES]))
            return


def _frames(block: str) -> Iterator[str]:
    """The author's lines, the outermost call first; without any, the innermost call of all."""
    frames = list(FRAME.finditer(block))
    own = [frame for frame in frames if _is_authors(frame["path"])]
    lines = dict.fromkeys(map(_shown, own or frames[-1:]))  # a line with a comprehension is two frames
    yield from list(lines)[-MAX_FRAMES:]


def _is_authors(path: str) -> bool:
    place = Path(path)
    return place.is_relative_to(PROJECT) and not any(place.is_relative_to(folder) for folder in NOT_THE_AUTHORS)


def _shown(frame: re.Match[str]) -> str:
    path = Path(frame["path"])
    name = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    code = f": {frame['code'].strip()}" if frame["code"] else f", in {frame['name']}" if frame["name"] else ""
    return f"  {name}:{frame['line']}{code}"


def _cut(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"... ({more} lines more)"] if more > 0 else list(lines)
