"""A headless Chromium, driven over the pipes of its debugging protocol; needs nothing but the browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager

KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}


class Browser:
    """One tab. ``trouble`` gathers what its console complained about, ``asked`` every address it loaded."""

    def __init__(self, process, send, receive):
        self.process, self._send, self._receive = process, send, receive
        self._buffer, self._count, self.session = b"", 0, None
        self.trouble, self.asked = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (heard := self._hear()).get("id") != number:
            pass
        assert "error" not in heard, heard
        return heard["result"]

    def _hear(self):
        while b"\0" not in self._buffer:
            piece = os.read(self._receive, 1 << 20)
            assert piece, "the browser has gone"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        name, told = message.get("method"), message.get("params", {})
        if name == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.trouble.append(told["exceptionDetails"]["text"])
        if name == "Log.entryAdded":
            self.trouble.append(told["entry"]["text"])
        return message

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def run(self, script):
        """Evaluate JavaScript in the page and return its value."""
        got = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def until(self, script, seconds=20):
        """Wait until JavaScript is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            assert time.monotonic() < end, f"never came true: {script}"
            time.sleep(0.03)

    def press(self, key, times=1):
        for _ in range(times):
            text = {"Enter": "\r", " ": " "}.get(key, "")
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else "",
                          windowsVirtualKeyCode=KEYS.get(key, 0))  # fmt: skip

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


@contextmanager
def browser():
    """Start a browser; its absence is a failure that says what to do."""
    program = shutil.which("chromium")
    assert program, "there is no chromium: run tests/peers/system.sh"
    to_child, send = os.pipe()
    receive, from_child = os.pipe()

    def pipes():
        first, second = os.dup(to_child), os.dup(from_child)
        os.dup2(first, 3)
        os.dup2(second, 4)

    folder = tempfile.mkdtemp(prefix="browser-")
    process = subprocess.Popen(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--remote-debugging-pipe", "--window-size=1200,1400", f"--user-data-dir={folder}"],
        preexec_fn=pipes, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_child)
    os.close(from_child)
    try:
        yield Browser(process, send, receive)
    finally:
        process.kill()
        process.wait()
        os.close(send)
        os.close(receive)
        shutil.rmtree(folder, ignore_errors=True)
