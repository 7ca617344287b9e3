"""Headless Chromium for tests, driven over its DevTools pipe: JSON, parted by zero bytes, on descriptors 3
and 4.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_S = 60.0
SHIFT = 8
KEYS = {
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    " ": (32, " "),
    "Escape": (27, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
}
_LAUNCHER = """
import fcntl, os, sys
to, fro = (fcntl.fcntl(int(given), fcntl.F_DUPFD, 10) for given in sys.argv[1:3])
os.dup2(to, 3)
os.dup2(fro, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""  # puts the two ends where the browser looks for them


def chromium() -> str | None:
    """The browser's program, or None where this machine has none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """A running browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._rest = b""
        self._n = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What the browser answers; events that come meanwhile are kept."""
        self._n += 1
        message: dict[str, Any] = {"id": self._n, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            got = self._next(PATIENCE_S)
            if got.get("id") == self._n:
                assert "error" not in got, f"{method}: {got['error']}"
                result: dict[str, Any] = got["result"]
                return result
            self.events.append(got)

    def page(self, url: str, *, width: int = 1280, height: int = 860, dark: bool = False) -> Page:
        """A new page of that size, in a context of its own, at that address and loaded."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Page.navigate", url=url)
        return page

    def _next(self, timeout_s: float) -> dict[str, Any]:
        end = time.monotonic() + timeout_s
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Page:
    """A page in the browser."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers for this page."""
        return self.browser.call(method, self.session, **parameters)

    def js(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """The value of the expression as soon as it is true."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.js(expression)):
            if time.monotonic() > end:
                raise AssertionError(f"{expression} did not become true; the page says: {self.text('body')}")
            time.sleep(0.02)
        return value

    def text(self, selector: str) -> str:
        """The text of the first element, as it is rendered; empty where there is none, or it is hidden."""
        return str(self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements."""
        found: list[str] = self.js(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
        )
        return found

    def close(self) -> None:
        """Closes the page and what its context holds."""
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def click(self, selector: str) -> None:
        """Presses the first element."""
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def write(self, selector: str, text: str) -> None:
        """Puts the text into a field instead of what is there, as pasting it does."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.js(f"{field}.focus(), {field}.value = {json.dumps(text)}")
        self.js(f"{field}.dispatchEvent(new Event('input', {{ bubbles: true }}))")

    def press(self, *keys: str) -> None:
        """Presses keys of the keyboard; a plus sign joins Shift to one: Shift+Tab."""
        for key in keys:
            held, _, name = key.rpartition("+")
            code, text = KEYS[name]
            about = {
                "key": name,
                "code": "Space" if name == " " else name,
                "windowsVirtualKeyCode": code,
                "modifiers": SHIFT if held else 0,
            }
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def give_files(self, selector: str, *files: Path) -> None:
        """Chooses files in a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def requests(self) -> list[dict[str, Any]]:
        """What the page asked the network for, in order."""
        events = [e["params"]["request"] for e in self._events("Network.requestWillBeSent")]
        return [request for request in events if not request["url"].startswith("about:")]

    def complaints(self) -> list[str]:
        """Exceptions of the page's scripts, and what its content security policy refused."""
        raised = [str(e["params"]["exceptionDetails"]) for e in self._events("Runtime.exceptionThrown")]
        logged = [e["params"]["entry"] for e in self._events("Log.entryAdded")]
        return raised + [
            str(entry["text"]) for entry in logged if entry["source"] not in ("network", "recommendation")
        ]

    def _events(self, method: str) -> list[dict[str, Any]]:
        self.js("0")  # what was sent before has come with its answer
        return [
            e for e in self.browser.events if e.get("method") == method and e.get("sessionId") == self.session
        ]


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Browser]:
    """A browser while the block runs; `profile` is an empty folder for it."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [
        sys.executable,
        "-c",
        _LAUNCHER,
        str(theirs_in),
        str(theirs_out),
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
        "about:blank",
    ]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, pass_fds=(theirs_in, theirs_out), stdin=nothing, stdout=nothing, stderr=nothing
    )
    os.close(theirs_in)
    os.close(theirs_out)
    browser = Browser(ours_out, ours_in)
    try:
        browser.call("Browser.getVersion")
        yield browser
        browser.call("Browser.close")
    finally:
        os.close(ours_out)
        os.close(ours_in)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
