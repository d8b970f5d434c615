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
from typing import Any, NoReturn

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


class _Process:
    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._setup = setup
        self._server_pid = os.getppid()
        self._last_state = State.LOADING
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Answers until the server stops."""
        self._state = ServerState()
        server = make_server([("grpc.max_send_message_length", -1)])
        methods = OtherMethods(self._setup["services"], self._setup["unserved"], _pool(self._setup["files"]))
        add_other_methods(server, self._state, methods)
        server.add_insecure_port(f"unix:{self._setup['path']}")
        await server.start()
        print("ready", flush=True)
        reading = asyncio.create_task(self._read())
        watching = asyncio.create_task(self._watch())
        await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
        await server.stop(END_SECONDS)

    async def _read(self) -> None:
        """Follows the states of the server, until one is final."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._last_state = State[line.decode().strip()]
            self._heard.set()
            self._become(self._last_state)
            if self._last_state.is_final:
                return
        self._end_with_server()

    async def _watch(self) -> None:
        """Health must not say SERVING for a server that shows no sign of life."""
        while True:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), self._setup["timeout_seconds"])
            except TimeoutError:
                if self._last_state is not State.LOADING:  # which may take any time, with the lock held
                    logger.error("NOT_SERVING: the server has not said anything for MODEL_TIMEOUT_SECONDS")
                    self._become(State.NEEDS_RESTART)

    def _become(self, state: State) -> None:
        if state is not self._state.current:
            self._state.become(state)

    def _end_with_server(self) -> NoReturn:
        shutil.rmtree(Path(self._setup["path"]).parent, ignore_errors=True)
        os._exit(0)


def _pool(files: list[str]) -> DescriptorPool:
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(b64decode(file))
    return pool


if __name__ == "__main__":
    main()
