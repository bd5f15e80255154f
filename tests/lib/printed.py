"""The shop as `make run` and `make apart` start it, with a data directory and ports of its own, and the lines that they print."""

import contextlib
import os
import re
import socket
import subprocess

from shop import ROOT, free_port, until


def three_free_ports():
    """The first of three that lie side by side."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + 3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return str(first)


class Run:
    """scripts/run, or another command that comes to it."""

    def __init__(self, place, command=(str(ROOT / "scripts/run"),), folder=None, **settings):
        self.place, self.command, self.folder = place, list(command), folder
        self.ports = {
            "LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "OPS_ADDR": f"127.0.0.1:{free_port()}",
        }
        clean = {name: value for name, value in os.environ.items() if not name.endswith("SAN_OPTIONS")}
        self.environment = {**clean, **self.ports, "DATA_DIR": str(place / "data"), "DRAIN_TIME": "0", **settings}
        self.process = None

    def start(self, name, seconds=120):
        self.log = self.place / name
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_printed():
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count("# ---- to here") == 2

        until(is_printed, seconds, "the lines to be printed")
        return self.log

    def stop(self, number, seconds=30):
        """Tells the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)
        return self.process.wait(timeout=seconds)

    def lines(self, phase):
        """Pastes the lines; `phase` is "first" or "again"."""
        done = subprocess.run(
            [str(ROOT / "tests/e2e/printed_lines.sh"), phase, str(self.log)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        print(done.stdout)
        counts = re.findall(r"^counts: passed=(\d+) failed=(\d+) skipped=\d+$", done.stdout, re.M)
        assert (
            done.returncode == 0 and counts and int(counts[-1][0]) >= 10 and counts[-1][1] == "0"
        ), (done.stdout + done.stderr)
