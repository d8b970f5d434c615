"""A real Chromium, driven over a pipe by the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
# Without the sandbox, which root cannot have, and without /dev/shm, which is small in containers.
_OPTIONS = "--headless --remote-debugging-pipe --no-sandbox --disable-dev-shm-usage --disable-gpu --hide-scrollbars"


def executable() -> str:
    """The path of Chromium; skips the test without one, and fails where PROTOSERVE_CHROMIUM says `required`."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        assert os.environ.get("PROTOSERVE_CHROMIUM") != "required", "Chromium is not installed"
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    return path


class Page:
    """A page in the browser. `events` are those of the network, the log and the console since it was opened."""

    def __init__(self, requests: Any, replies: Any) -> None:
        self._requests, self._replies = requests, replies
        self._id = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol; what happens meanwhile is kept in `events`."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        self._requests.write(json.dumps(message).encode() + b"\0")
        self._requests.flush()
        while (reply := self._read()).get("id") != self._id:
            self.events.append(reply)
        assert "error" not in reply, (method, reply["error"])
        result: dict[str, Any] = reply["result"]
        return result

    def _read(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._replies.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            message += byte
        reply: dict[str, Any] = json.loads(message)
        return reply

    def open(self, path: Path, fragment: str = "") -> None:
        """Loads a file, with what follows `#` in the address, and waits for it. Forgets earlier events."""
        self._load("about:blank")  # since another fragment alone would not load the page again
        self._load(f"{path.as_uri()}{fragment}")

    def _load(self, url: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, script: str) -> Any:
        """The value of an expression in the page, which may be a promise."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def key(self, key: str, text: str = "") -> None:
        """Presses a key."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def emulate(self, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "screen") -> None:
        """Sets the window's size, what the system prefers, and the medium."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of what is visible, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])


@contextmanager
def browser() -> Iterator[Page]:
    """A page in a new browser with a profile of its own, which ends with it."""
    path = executable()
    from_us, to_us = os.pipe(), os.pipe()

    def connect() -> None:
        # The descriptors that --remote-debugging-pipe reads and writes.
        read, write = os.dup(from_us[0]), os.dup(to_us[1])
        os.dup2(read, 3)
        os.dup2(write, 4)

    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [path, *_OPTIONS.split(), f"--user-data-dir={profile}"]
        process = subprocess.Popen(command, preexec_fn=connect, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(from_us[0])
        os.close(to_us[1])
        try:
            with open(from_us[1], "wb") as requests, open(to_us[0], "rb") as replies:
                page = Page(requests, replies)
                yield page
                page.call("Browser.close")
                process.wait(10)
        finally:
            process.kill()
            process.wait()
