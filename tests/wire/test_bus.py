"""The face of the bus against each real broker (tests/wire/bus_test.c), and what happens to it
while the broker is away."""

import os
import pathlib
import re
import subprocess

import pytest
from brokers import Sqs

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
    patience = {"BUS_TEST_SECONDS": "240"} if isinstance(broker, Sqs) else {}  # ten events a request, by a server in Python
    (passed, failed, skipped), told = conform({**broker.settings(), **patience}, seconds=900 if patience else 200)
    tell(f"{type(broker).__name__}: {passed} facts of the bus hold")
    assert failed == 0 and passed > 0, told[-6000:]
    assert skipped == 0, told[-2000:]


def test_the_local_bus_does_what_the_face_promises():
    (passed, failed, skipped), told = conform({"BUS_URL": "local:"})
    assert failed == 0 and passed >= 8, told
    assert skipped == 1, "only what needs a broker"


def test_the_direct_bus_does_what_the_face_promises(tell):
    (passed, failed, skipped), told = conform({"BUS_URL": "direct:", "BUS_PASSWORD": "a secret of all services"})
    tell(f"direct: {passed} facts of the bus hold")
    assert failed == 0 and passed >= 9, told[-6000:]
    assert skipped == 1, "only what needs a broker"


def test_requests_to_sqs_are_signed_as_it_wants(running):
    settings = running.get("Moto").settings()
    (passed, failed, _), told = conform(settings, "an_event_that_nobody")
    assert (passed, failed) == (1, 0), told[-3000:]

    for wrong in ({"BUS_PASSWORD": "another"}, {"BUS_USER": "AKIANOBODY"}):
        refused = {**settings, **wrong, "BUS_TEST_SECONDS": "3"}
        (passed, failed, _), told = conform(refused, "an_event_that_nobody")
        assert (passed, failed) == (0, 1), told[-3000:]
        assert "403" in told, told[-3000:]


@pytest.mark.whole
def test_a_wrong_password_is_told_and_nothing_is_acked(running):
    rabbitmq = running.get("Rabbitmq")
    wrong = {"BUS_URL": rabbitmq.url, "BUS_PASSWORD": "secret-word", "BUS_TEST_SECONDS": "3"}
    (passed, failed, _), told = conform(wrong, "an_event_that_nobody")
    assert (passed, failed) == (0, 1)
    assert "BUS_PASSWORD" in told and "secret-word" not in told, told[-3000:]
