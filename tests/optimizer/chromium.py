"""A headless Chromium, driven over its DevTools pipe: what a page asks for, complains about, and shows."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_DEADLINE = 90.0
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
)


@dataclass
class Opened:
    """What came of opening a page.

    Attributes:
        requests: Addresses asked for, the page's own excepted, blocked ones included.
        complaints: Console messages, script errors and entries of the browser's log.
        values: Result of each script that was asked for.
    """

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


class Browser:
    """A running browser; one page is open at a time."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._last = 0
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, *scripts: str, width: int = 1080, scheme: str = "light", media: str = "") -> Opened:
        """Open a file and return what happened until it stood still, and what the scripts say."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme_wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", {"media": media, "features": scheme_wanted})
        self._events.clear()
        self._call("Page.navigate", {"url": page.as_uri()})
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._read())
        self._value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")
        opened = Opened(values=[self._value(script) for script in scripts])
        for event in self._events:
            _note(event["method"], event["params"], page.as_uri(), opened)
        return opened

    def _value(self, script: str) -> Any:
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        return self._call("Runtime.evaluate", asked)["result"].get("value")

    def _call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params or {}}
        if not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._last:
            self._events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + _DEADLINE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._from, 1 << 16) if ready else b""
            assert data, "the browser fell silent"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed


def _note(method: str, params: dict[str, Any], own: str, opened: Opened) -> None:
    if method == "Network.requestWillBeSent" and params["request"]["url"] != own:
        opened.requests.append(params["request"]["url"])
    elif method == "Runtime.consoleAPICalled":
        opened.complaints.append(f"console: {[one.get('value') for one in params['args']]}")
    elif method == "Runtime.exceptionThrown":
        opened.complaints.append(f"script: {params['exceptionDetails']['text']}")
    elif method == "Log.entryAdded":
        opened.complaints.append(f"log: {params['entry']['text']}")


def find() -> str | None:
    """Return the browser's path, None where it is not installed."""
    return shutil.which("chromium")


@contextmanager
def running(program: str) -> Iterator[Browser]:
    """Start a browser with a profile of its own; it is gone at the end, and its profile as well."""
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()
    with tempfile.TemporaryDirectory(prefix="edgeopt-chromium-", ignore_cleanup_errors=True) as profile:
        command = [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        # The browser reads DevTools messages from descriptor 3 and writes them to 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{read_end} 4>&{write_end}', "bash", *command]
        process = subprocess.Popen(
            shell, pass_fds=(read_end, write_end), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(read_end)
        os.close(write_end)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            process.terminate()
            process.wait(timeout=30)
            os.close(to_browser)
            os.close(from_browser)
