"""`python -m` this module is the process behind `fallback.py`, which writes to its standard input.

The first line says what to answer, as JSON; each further one is a state of the server. When standard input ends, so has
the server, and so does this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool

from ...core.state import ServerState, State
from ...logs import configure, logger
from ..grpc_server import make_server
from ..other_methods import OtherMethods, add_other_methods

LOOK_SECONDS = 1.0  # between two looks whether the server is still this process's parent
END_SECONDS = 0.2  # for the last answers of health watches


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # which a terminal or a supervisor sends to the server as well
        signal.signal(number, signal.SIG_IGN)
    setup = json.loads(sys.stdin.buffer.readline() or "null")
    if setup is not None:
        configure(setup["log_level"], setup["log_format"])
        asyncio.run(_Process(setup).run())
        shutil.rmtree(Path(setup["path"]).parent, ignore_errors=True)


class _Process:
    """`setup` is the first line of standard input."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._setup = setup
        self._server_pid = os.getppid()
        self._heard = State.LOADING
        self._has_heard = asyncio.Event()

    async def run(self) -> None:
        """Answers until the server stops, or has ended."""
        self._state = ServerState()
        server = make_server([("grpc.max_send_message_length", -1)])
        methods = OtherMethods(self._setup["services"], self._setup["unserved"], _pool(self._setup["files"]))
        add_other_methods(server, self._state, methods)
        server.add_insecure_port(f"unix:{self._setup['path']}")
        await server.start()
        print("ready", flush=True)
        tasks = [asyncio.create_task(work) for work in (self._follow(), self._until_orphaned(), self._judge())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not self._state.current.is_final:  # which ends health watches
            self._state.become(State.FAILED)
        await server.stop(END_SECONDS)

    async def _follow(self) -> None:
        """Follows the states of the server, until one is final or the server has ended."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._heard = State[line.decode().strip()]
            self._has_heard.set()
            self._become(self._heard)
            if self._heard.is_final:
                return

    async def _until_orphaned(self) -> None:
        """Until the server has ended although another process holds the other end of standard input: a fork of it."""
        while os.getppid() == self._server_pid:
            await asyncio.sleep(LOOK_SECONDS)

    async def _judge(self) -> None:
        """Health does not say SERVING for a server that shows no sign of life, which loading may take any time for."""
        while True:
            self._has_heard.clear()
            try:
                await asyncio.wait_for(self._has_heard.wait(), self._setup["timeout_seconds"])
            except TimeoutError:
                if self._heard is not State.LOADING and self._become(State.NEEDS_RESTART):
                    logger.error("NOT_SERVING: the server shows no sign of life (MODEL_TIMEOUT_SECONDS)")

    def _become(self, state: State) -> bool:
        """Returns whether that is a change."""
        is_change = state is not self._state.current
        if is_change:
            self._state.become(state)
        return is_change


def _pool(files: list[str]) -> DescriptorPool:
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(b64decode(file))
    return pool


if __name__ == "__main__":
    main()
