"""The face of the bus against each real broker (tests/wire/bus_test.c), and what happens to it
while the broker is away."""

import os
import pathlib
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("DUKA_BUILD") or pathlib.Path(__file__).parents[2] / "build/asan")
PROGRAM = BUILD / "tests" / "wire-bus"


def conform(settings, *words, seconds=200):
    """Runs the conformance program; gives what it counted, and what it printed."""
    done = subprocess.run(
        [str(PROGRAM), *words],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    found = re.findall(r"^counts: passed=(\d+) failed=(\d+) skipped=(\d+)$", done.stdout, re.M)
    assert found, done.stdout[-4000:]
    return tuple(map(int, found[-1])), done.stdout


def test_the_driver_does_what_the_face_promises(broker, tell):
    (passed, failed, skipped), told = conform(broker.settings())
    tell(f"{type(broker).__name__}: {passed} facts of the bus hold")
    assert failed == 0 and passed > 0, told[-6000:]
    assert skipped == 0, told[-2000:]


def test_the_local_bus_does_what_the_face_promises():
    (passed, failed, skipped), told = conform({"BUS_URL": "local:"})
    assert failed == 0 and passed >= 8, told
    assert skipped == 1, "only what needs a broker"
