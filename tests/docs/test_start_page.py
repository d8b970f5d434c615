"""docs/start.md is followed to the letter: its commands, in their order, in terminals that know nothing else.

The commands are taken from the page, so that one which was changed is run as changed. What the page shows below a
command is compared with what the command prints.
"""

from __future__ import annotations

import math
import random
import re
import shlex
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirror import fetched_mirror
from plain_python import plain_python
from support import ROOT, copy_template, run, scrubbed

pexpect = pytest.importorskip("pexpect")  # it needs a pseudo-terminal

PAGE = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")

# Blocks that are not run here, by their first line, and why.
NOT_RUN = {
    "copier copy --trust TEMPLATE iris": "other ways to the same project: tests/create goes them all",
}
PATIENCE = 600  # seconds for a block
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
QUESTION = "\N{MICROPHONE}"  # what Copier begins every question with
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class Block:
    """Commands of the page, the prose between them and the commands before, and what is shown below them."""

    commands: str
    prose: str
    shown: str
    line: int

    @property
    def serves(self) -> bool:
        """Whether the last command goes on until Ctrl-C."""
        return self.commands.rstrip().endswith("make serve")

    @property
    def stops_the_server(self) -> bool:
        """Whether the reader was told to stop the server before these commands."""
        return "Ctrl-C" in self.prose


def blocks(page: str) -> Iterator[Block]:
    fences = list(re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert 2 * len(fences) == page.count("```"), "a fence that is not at the start of its line"
    before = 0  # where the commands before end
    for index, fence in enumerate(fences):
        if fence[1] != "sh":
            assert fence[1] == "text", fence[0]
            assert index, "something is shown before there is a command"
            continue
        below = fences[index + 1] if index + 1 < len(fences) else None
        shown = below[2] if below is not None and below[1] == "text" else ""
        prose = re.sub(r"^```.*?^```$", "", page[before : fence.start()], flags=re.MULTILINE | re.DOTALL)
        yield Block(fence[2], prose, shown, page.count("\n", 0, fence.start()) + 1)
        before = fence.end()


BLOCKS = list(blocks(PAGE))


def agree(shown: str, printed: str) -> bool:
    """Whether two lines are the same but for the last digits of their numbers."""
    if NUMBER.split(shown) != NUMBER.split(printed):
        return False
    numbers = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(one), float(other), rel_tol=0.02, abs_tol=1e-4) for one, other in numbers)


def is_in(shown: str, printed: str) -> bool:
    """Whether the lines that are shown stand in what was printed, one below the other."""
    wanted, there = shown.splitlines(), [line.rstrip() for line in printed.splitlines()]
    return any(all(map(agree, wanted, there[at : at + len(wanted)])) for at in range(len(there) - len(wanted) + 1))


class Terminal:
    """A reader's shell: what a block exports, and the folder that it goes to, are there in the next one."""

    def __init__(self, folder: Path, environment: Mapping[str, str], state: Path) -> None:
        self.environment, self.state = dict(environment), state
        self.state.write_text(f"cd {shlex.quote(str(folder))}\n", encoding="utf-8")

    @property
    def folder(self) -> Path:
        """Where it is by now."""
        return Path(shlex.split(self.state.read_text(encoding="utf-8").splitlines()[-1])[1])

    def start(self, commands: str) -> Any:
        """The process of a block, on a terminal of its own."""
        state = shlex.quote(str(self.state))
        script = f". {state}\n{commands}\n{{ export -p; echo \"cd '$PWD'\"; }} > {state}\n"
        return pexpect.spawn(
            "/bin/sh", ["-ec", script], env=self.environment, timeout=PATIENCE, encoding="utf-8", dimensions=(50, 1000)
        )

    def run(self, block: Block, commands: str) -> None:
        """Runs a block to its end, takes the default of whatever is asked, and compares what it prints."""
        child, printed = self.start(commands), ""
        while child.expect([QUESTION, pexpect.EOF]) == 0:
            printed += child.before
            child.send("\r")
        printed = ANSI.sub("", printed + child.before)
        child.close()
        wanted = 1 if block.shown.startswith("INVALID_ARGUMENT") else 0
        assert child.exitstatus == wanted, f"line {block.line}: exited {child.exitstatus}\n{commands}\n{printed}"
        assert is_in(block.shown, printed), f"line {block.line}: shown is\n{block.shown}\nprinted is\n{printed}"

    def serve(self, commands: str) -> Any:
        """The process of a block whose server says that it serves."""
        child = self.start(commands)
        served = child.expect([r"serving \w+\.v1\.PredictionService", pexpect.EOF]) == 0
        assert served, f"{commands}\n{child.before}"
        return child


def stop(server: Any) -> None:
    """Ctrl-C, which goes to all that runs on the terminal."""
    server.sendintr()
    server.expect(pexpect.EOF)
    assert "stopping, with 0 requests in flight" in server.before, server.before


def free_port() -> int:
    """A port that no client is given meanwhile: the reader needs minutes until the server listens on it."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port from 20000 to 29999 is free")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The template of this checkout as a git repository with a release."""
    folder = copy_template(tmp_path / "released" / "protoserve")
    shutil.copy2(ROOT / ".gitignore", folder)  # pip builds in the clone, which must not count as a change to it
    for command in ("init --quiet", "add --all", "commit --quiet --message=release", "tag v0.1.0"):
        run(["git", *command.split()], cwd=folder, env=scrubbed(home=tmp_path))
    return folder


@pytest.fixture
def environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Python, git and make, an empty home, a folder of the packages that pip takes, and a port that is free here.

    tests/mirror.py has pip take them from the index, which is most of the time of an installation.
    """
    (tmp_path / "home").mkdir()
    packages = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(fetched_mirror(tmp_path_factory) / "wheels")}
    here = {**packages, "PIP_COMPILE": "0", "PORT": str(free_port()), "TERM": "xterm"}
    return {**scrubbed(plain_python(tmp_path_factory), home=tmp_path / "home"), **here}


@pytest.mark.slow
def test_the_commands_lead_to_a_served_model_of_the_readers_own(
    released: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    first = terminal = Terminal(work, environment, tmp_path / "first")
    server = None
    try:
        for block in BLOCKS:
            commands = block.commands.replace("TEMPLATE", str(released))
            if server is not None and block.stops_the_server:
                stop(server)
                server, terminal = None, first
            if block.commands.startswith(tuple(NOT_RUN)):
                continue
            if block.serves:
                assert server is None, f"line {block.line}: the page did not say to stop the other server"
                server = first.serve(commands)
                terminal = Terminal(first.folder, environment, tmp_path / "second")
            else:
                terminal.run(block, commands)
        assert server is None, "the page does not say how to stop the server"
    finally:
        if server is not None:
            server.close(force=True)
    assert (work / "rent" / "requirements" / "model.txt").read_text(encoding="utf-8").endswith("pandas>=2.2\n")


@pytest.mark.parametrize("first_line", NOT_RUN)
def test_what_is_not_run_stands_on_the_page(first_line: str) -> None:
    assert sum(block.commands.startswith(f"{first_line}\n") for block in BLOCKS) == 1


def test_the_commands_are_found() -> None:
    """Serving, asking in a second terminal, stopping; what is shown belongs to a command."""
    assert sum(block.serves for block in BLOCKS) == 2
    assert sum(block.stops_the_server for block in BLOCKS) == 2
    assert sum(bool(block.shown) for block in BLOCKS) == PAGE.count("```text\n") > 3


def test_lines_agree_but_for_the_last_digits() -> None:
    assert is_in("a: 0.973 on 150\nwrote b\n", "$ make\na: 0.980 on 150\nwrote b\n")
    assert not is_in("a: 0.973 on 150\nwrote b\n", "a: 0.5 on 150\nwrote b\n")
    assert not is_in("a: 0.973 on 150\nwrote b\n", "a: 0.973 on 150\nwrote c\n")
    assert not is_in("a\nb\n", "a\nc\nb\n")
