"""A headless Chromium, driven through the DevTools protocol over a pipe: no package and no port is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXECUTABLE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60
"""Seconds to wait for any answer."""


class Page:
    """One page of a browser: what it says and does is kept in ``complaints`` and ``requests``."""

    def __init__(self, to: int, answers: int, *, network: bool) -> None:
        self._to, self._answers, self._buffer, self._last = to, answers, b"", 0
        self.complaints: list[str] = []
        """Errors, warnings and refusals, of scripts and of the browser."""
        self.requests: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._session = ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        # Workers are targets of their own, and their errors are complaints too.
        self.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        # Without a network, what the page would load from there is a complaint.
        if not network:
            offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.send("Network.emulateNetworkConditions", **offline)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        number = self._post(method, params, self._session)
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _post(self, method: str, params: dict[str, Any], session: str) -> int:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._last

    def open(
        self, place: Path | str, *, width: int, height: int = 900, dark: bool = False, scripts: bool = True
    ) -> None:
        """Load a file or an address in a window of that width, and wait until it is drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        self._events.clear()
        self.send("Page.navigate", url=place if isinstance(place, str) else place.as_uri())
        self._wait(lambda event: event["method"] == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key as a user does."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    def point(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what is seen, or the whole length of the page, as PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **(self._clip() if whole else {}))
        path.write_bytes(base64.b64decode(data["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        result = self.send(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True, printBackground=False
        )
        return base64.b64decode(result["data"])

    def _clip(self) -> dict[str, Any]:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _wait(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        while not any(map(wanted, self._events)):
            self._note(self._read())

    def _note(self, event: dict[str, Any]) -> None:
        if "method" not in event:  # an answer that nobody waits for
            return
        self._events.append(event)
        params = event.get("params", {})
        match event["method"]:
            case "Target.attachedToTarget":
                self._post("Runtime.enable", {}, params["sessionId"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium said nothing for {PATIENCE} s")
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium is gone")
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def page(profile: Path, *flags: str, network: bool = False) -> Iterator[Page]:
    """Start a browser with its profile in ``profile``; it is ended with the block."""
    assert EXECUTABLE is not None
    commands, to = os.pipe()
    answers, from_ = os.pipe()

    def pipes() -> None:
        """Chromium reads commands from descriptor 3 and answers on 4."""
        high = (os.dup2(commands, 100), os.dup2(from_, 101))
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    browser = subprocess.Popen(
        [
            EXECUTABLE,
            "--headless",
            "--no-sandbox",  # as root in a container there is none
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            *(flags or ("--disable-gpu",)),
        ],
        preexec_fn=pipes,
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(from_)
    try:
        yield Page(to, answers, network=network)
    finally:
        browser.kill()
        browser.wait()
        os.close(to)
        os.close(answers)
