"""A real browser: Chromium without a window, told what to do through its pipe (the DevTools protocol)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium")


class Page:
    """One page of a browser, what it asked for and what it complained of."""

    def __init__(self, folder, width=1400, height=1000):
        to_us, from_it = os.pipe()
        to_it, from_us = os.pipe()
        command = [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
            f"--user-data-dir={folder}",
            "--remote-debugging-pipe",
            "about:blank",
        ]

        def give_the_pipe():
            ours = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (to_it, from_it)]
            os.dup2(ours[0], 3)
            os.dup2(ours[1], 4)

        self.process = subprocess.Popen(
            command,
            preexec_fn=give_the_pipe,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it)
        os.close(from_it)
        self.reader, self.writer, self.unread = to_us, from_us, b""
        self.number, self.session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for room in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{room}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.reader)
        os.close(self.writer)

    def _message(self, deadline):
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.reader], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self.reader, 1 << 20)
            assert piece, "the browser has ended"
            self.unread += piece
        one, _, self.unread = self.unread.partition(b"\0")
        return json.loads(one)

    def call(self, method, seconds=60.0, **params):
        """A command of the protocol; its result. Events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def value(self, script):
        """What an expression of the page is; promises are waited for."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def open(self, url, until, seconds=60.0):
        """Goes there, and waits until an expression of the page is true."""
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + seconds
        while not self.value(until):
            assert time.monotonic() < deadline, f"{url}: never was {until}"
            time.sleep(0.05)

    def requests(self):
        """The URLs that the page asked for."""
        return [told["request"]["url"] for method, told in self.events if method == "Network.requestWillBeSent"]

    def complaints(self):
        """Exceptions, errors and warnings: what a developer would see in the console."""
        found = []
        for method, told in self.events:
            if method == "Runtime.exceptionThrown":
                found.append(told["exceptionDetails"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(told["args"])
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"])
        return found

    def picture(self, path):
        """What is to be seen now, as a PNG."""
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
