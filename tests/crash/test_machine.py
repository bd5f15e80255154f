"""A sample of the kill machine (machine.py), whose amounts are those of `make crash`: one shop hit in every way, and one that
is killed at the system calls of single orders. SEED=n plays one again, HITS=n hits more often."""

import os
import pathlib
import random

import machine
import pytest

from shop import seeded

HITS = int(os.environ.get("HITS") or 14)  # each way twice
CALLS = int(os.environ.get("CALLS") or 12)


@pytest.fixture
def world(tmp_path):
    made = machine.World("sqlite", "local", tmp_path)
    yield made
    made.close()


def played(world, way, hits, tmp_path):
    try:
        return machine.play(world, way, hits, tmp_path, seeded().getrandbits(32))
    except machine.Missing as why:
        pytest.skip(str(why))


def told_by(done):
    return f"{done['hits']} hits, {done['orders']} orders told, {done['repeats']} repeats, ready again within {done['restart_ms_most']} ms"


def test_the_books_hold_however_the_shop_is_hit(world, tmp_path, tell):
    done = played(world, "mixed", HITS, tmp_path)
    tell(told_by(done))
    assert done["faults"] == []
    assert done["orders"] >= 5 * HITS, "clients were at work"


def test_the_books_hold_when_it_is_killed_at_the_calls_of_an_order(world, tmp_path, tell):
    done = played(world, "calls", CALLS, tmp_path)
    tell(f"{told_by(done)}; an order makes {done['calls'] // 2} of them")
    assert done["faults"] == []
    assert done["hits"] >= CALLS // 2, "it was killed there"


@pytest.mark.parametrize("kind", machine.KINDS)
def test_a_kill_at_a_call_happens_before_it_or_after_it(tmp_path, kind):
    """The helper itself: where it strikes before, the call has had no effect, and after, it has."""
    calls = machine.Calls(tmp_path, random.Random(1), {"LOG_LEVEL": "warn"})
    try:
        calls.arm(kind, 0, 0)
        calls.order()
        machine.until(lambda: calls.count() > 0, 10, f"an order to {kind}")
        assert calls.kill(kind, 1, 0) and calls.kill(kind, 1, 1)
    finally:
        calls.run.shop.kill()


def test_what_was_done_is_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "TABLE", pathlib.Path(tmp_path) / "kills.tsv")
    row = dict.fromkeys(machine.COLUMNS, "1") | {"hits": 10, "faults": 0, "restart_ms_most": 80, "seeds": "-"}
    machine.add_row(row)
    machine.add_row(row | {"hits": 5, "faults": 2, "restart_ms_most": 90, "seeds": "7"})
    machine.add_row(row | {"how": "stop"})
    lines = [line.split("\t") for line in machine.TABLE.read_text().splitlines()]
    assert [dict(zip(lines[0], line))["hits"] for line in lines[1:]] == ["15", "10"]
    assert dict(zip(lines[0], lines[1]))["faults"] == "2" and dict(zip(lines[0], lines[1]))["seeds"] == "7"
