"""`make run`: the lines that it prints, pasted as they are, before and after a restart."""

import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest
from shop import ROOT, free_port, until

CATALOG = ROOT / "deploy" / "demo" / "catalog.csv"
RELEASE = ROOT / "build" / "release" / "src" / "apps"

pytestmark = pytest.mark.skipif(
    not (RELEASE / "duka").exists(),
    reason="build/release has not been built: scripts/build release",
)


class Run:
    """scripts/run with a data directory and ports of its own."""

    def __init__(self, place):
        self.place = place
        self.ports = {
            "LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "OPS_ADDR": f"127.0.0.1:{free_port()}",
        }
        clean = {
            name: value for name, value in os.environ.items() if not name.endswith("SAN_OPTIONS")
        }
        self.environment = {
            **clean,
            **self.ports,
            "DATA_DIR": str(place / "data"),
            "DRAIN_TIME": "0",
        }
        self.process = None

    def start(self, name):
        self.log = self.place / name
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [str(ROOT / "scripts/run")],
                env=self.environment,
                stdout=out,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_printed():
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count("# ---- to here") == 2

        until(is_printed, 120, "the lines to be printed")
        return self.log

    def stop(self, number):
        """Tells the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)
        return self.process.wait(timeout=30)

    def lines(self, phase):
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


@pytest.fixture
def run(tmp_path):
    started = Run(tmp_path)
    yield started
    if started.process and started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()


@pytest.mark.skipif(not CATALOG.exists(), reason="deploy/demo/catalog.csv is not there yet")
def test_the_printed_lines_work_as_they_are_before_and_after_a_restart(run):
    first = run.start("first.log").read_text()
    run.lines("first")
    assert run.stop(signal.SIGINT) == 0, run.log.read_text()
    password = re.search(r"^    password +(\S+)$", first, re.M).group(1)
    kept = [
        path
        for path in run.place.rglob("*")
        if path.is_file() and path != run.log and password.encode() in path.read_bytes()
    ]
    assert kept == [], "the password is on no disk"
    run.start("again.log")
    run.lines("again")
    assert run.stop(signal.SIGTERM) == 0, run.log.read_text()


def test_what_stops_duka_is_told_and_its_code_passed_on(run):
    host, port = run.ports["LISTEN_ADDR"].split(":")
    with socket.create_server((host, int(port))):
        done = subprocess.run(
            [str(ROOT / "scripts/run")],
            env=run.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    assert done.returncode not in (0, None) and "LISTEN_ADDR" in done.stdout + done.stderr
    done = subprocess.run(
        [str(ROOT / "scripts/run")],
        env={**run.environment, "DATA_DIR": "/proc/duka"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode not in (0, None) and "DATA_DIR" in done.stdout + done.stderr
    assert not pathlib.Path("/proc/duka").exists()
