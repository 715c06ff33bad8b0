"""Headless Chromium through its debugging pipe: opens pages, runs scripts in them, says what a reader sees."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest


class Page:
    """One tab. ``call`` is a method of the DevTools protocol.

    trouble : what its console complained about. asked : every address it loaded.
    """

    def __init__(self, to_browser, from_browser):
        self.to_browser, self.from_browser = to_browser, from_browser
        self.numbers, self.session, self.unread = itertools.count(1), None, b""
        self.trouble, self.asked = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self.unread:
            read = os.read(self.from_browser, 1 << 20)
            assert read, "the browser ended"
            self.unread += read
        message, _, self.unread = self.unread.partition(b"\0")
        return self._noted(json.loads(message))

    def _noted(self, message):
        name, told = message.get("method"), message.get("params", {})
        if name == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.trouble.append(told["exceptionDetails"]["text"])
        if name == "Log.entryAdded":
            self.trouble.append(told["entry"]["text"])
        return message

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path):
        """Load a file, or an address."""
        self.call("Page.navigate", url=path if isinstance(path, str) else path.as_uri())

    def press(self, key, times=1):
        """Press Tab or Enter."""
        number, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=number)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=number)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def choose_file(self, selector, path):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def shoot(self, path):
        """Write a picture of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def before_load(self, script):
        """Run a script in every page that is opened from now on, before its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def wait(self, script, seconds=20.0):
        """The value of a script as soon as it is true, or what it is when the time is over."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script)) and time.monotonic() < end:
            time.sleep(0.01)
        return value


@contextmanager
def opened(tmp_path):
    """A browser with one tab; the test fails where there is no browser."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("there is no chromium: run tests/peers/system.sh")
    browser_reads, to_browser = os.pipe()
    from_browser, browser_writes = os.pipe()
    command = (
        f"exec {program} --headless --no-sandbox --disable-gpu --user-data-dir={tmp_path / 'profile'} "
        f"--remote-debugging-pipe about:blank 3<&{browser_reads} 4>&{browser_writes} 2>{tmp_path / 'chromium.log'}"
    )
    process = subprocess.Popen(["bash", "-c", command], pass_fds=(browser_reads, browser_writes))
    os.close(browser_reads), os.close(browser_writes)
    try:
        page = Page(to_browser, from_browser)
        yield page
        page.session = None
        page.call("Browser.close")
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to_browser), os.close(from_browser)
