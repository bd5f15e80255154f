"""Peers that send or read as slowly as they can (slowhttptest), many at once: others are served meanwhile."""

import os
import shutil
import subprocess
import time

import pytest
from shop import Shop

TOOL = shutil.which("slowhttptest")
WHOLE = os.environ.get("DUKA_CONFORMANCE") == "whole"
PEERS, SECONDS = ("900", "60") if WHOLE else ("200", "6")

# How each attacks: headers without end, bodies without end, ranges, answers that are not read.
ATTACKS = {
    "slow headers": ["-H", "-i", "1", "-x", "24"],
    "slow bodies": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-t", "POST"],
    "slow reading": ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "1", "-k", "3"],
    "overlapping ranges": ["-R", "-a", "10", "-b", "3000"],
}

pytestmark = pytest.mark.skipif(not TOOL, reason="slowhttptest is not installed")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with Shop(
        tmp_path_factory.mktemp("slow") / "data",
        HEAD_TIMEOUT="2s",
        BODY_TIMEOUT="2s",
        IDLE_TIMEOUT="2s",
        WRITE_TIMEOUT="2s",
        RATE_LIMIT=0,
    ) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_served_while_slow_peers_hold_on(shop, attack, tmp_path):
    target = shop.url + ("/users/login" if attack == "slow bodies" else "/openapi.json")
    command = [
        TOOL,
        *ATTACKS[attack],
        "-c",
        PEERS,
        "-r",
        "200",
        "-l",
        SECONDS,
        "-u",
        target,
        "-p",
        "3",
    ]
    with open(tmp_path / "log", "wb") as log:
        attacker = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=tmp_path
        )
        try:
            worst, count = 0.0, 0
            while attacker.poll() is None:
                started = time.monotonic()
                answer = shop.anonymous().get("/products?limit=1", timeout=10)
                worst = max(worst, time.monotonic() - started)
                assert answer.status_code == 200
                count += 1
                time.sleep(0.05)
        finally:
            if attacker.poll() is None:
                attacker.kill()
            attacker.wait()
    told = (tmp_path / "log").read_text(errors="replace")
    assert count > 5, told
    assert worst < 5.0, f"an answer took {worst:.1f} s\n{told[-2000:]}"


def test_slow_peers_are_let_go(shop):
    """After the attacks nothing of them is left: the shop says how many connections it has."""
    deadline = time.monotonic() + 15
    while True:
        metrics = shop.http.get(shop.ops + "/metrics").text
        line = next(
            line
            for line in metrics.splitlines()
            if "connections" in line and not line.startswith("#")
        )
        if float(line.split()[-1]) <= 20:
            break
        assert time.monotonic() < deadline, line
        time.sleep(0.2)
