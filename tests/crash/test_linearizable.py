"""Histories of concurrent calls against a shop that is killed (kill -9) and restarted: adjustments of stock, reservations by
orders under keys, reads. Porcupine (tests/clients/linearizable) tells whether each call could have had its effect at one
moment between its beginning and its answer. A call without an answer is open-ended: it may have its effect later, or never.

SEED=n begins a history again, KILLS=n kills more often (make linearizable)."""

import itertools
import json
import os
import shutil
import subprocess
import threading
import time

import httpx
import pytest
from shop import ROOT, Shop, new_key, seeded

KILLS = int(os.environ.get("KILLS") or 3)
CLIENTS, SKUS, ON_HAND = 6, 4, 12
CALLS_BETWEEN = 110  # from kill to kill
PLANTED = 20  # faults of one kind at most, until the checker sees them
ANSWERS = {201: "done", 200: "done", 202: "unknown", 402: "unknown"}
REFUSALS = {"stock.insufficient", "stock.negative"}


def checker():
    found = shutil.which("linearizable", path=f"{ROOT}/build/tools")
    if not found:
        pytest.skip("linearizable is not in build/tools: scripts/wire-tools builds it where there is Go")
    return found


def judge(history, place):
    """What the checker says of a history: its exit code and words."""
    path = place / "history.json"
    path.write_text("".join(json.dumps(call) + "\n" for call in history))
    said = subprocess.run([checker(), path], capture_output=True, text=True, timeout=300)
    return said.returncode, said.stdout + said.stderr


class Client(threading.Thread):
    """Somebody who adjusts, orders and reads, and writes down what was asked when and what was answered."""

    def __init__(self, run, number, random):
        super().__init__(daemon=True)
        self.run_, self.number, self.random = run, number, random
        self.staff, self.person = run.shop.staff, run.shop.customer()
        self.calls, self.failure = [], None

    def run(self):
        try:
            while not self.run_.stopping.is_set():
                self.random.choice([self.read, self.adjust, self.order, self.order, self.find])()
                self.run_.count += 1
        except Exception as failure:  # noqa: BLE001: told by the test
            self.failure = failure

    def tell(self, object_, kind, begin, **told):
        self.calls.append({"client": self.number, "object": object_, "kind": kind, "begin": begin, "end": time.monotonic_ns(), **told})

    def ask(self, send, again=True):
        """The definite answer, through kills and restarts; None where it stays open."""
        while True:
            try:
                answer = send()
                told = answer.json()
                busy = answer.status_code >= 500 or told.get("code") in ("idempotency.in_flight", "version.conflict")
                if not busy:
                    return answer
            except (httpx.TransportError, json.JSONDecodeError):
                pass
            if not again or time.monotonic() > self.run_.deadline:
                return None
            self.run_.up.wait(1.0)
            time.sleep(0.01)

    def read(self):
        sku = self.random.choice(self.run_.skus)
        begin = time.monotonic_ns()
        answer = self.ask(lambda: self.staff.get(f"/products/stock/{sku}"), again=False)
        if answer is not None:
            stock = answer.json()
            self.tell(f"stock:{sku}", "read", begin, on_hand=stock["on_hand"], reserved=stock["reserved"])

    def adjust(self):
        """Repeats the key until there is an answer, but for one in eight: that stays open."""
        sku, delta, key = self.random.choice(self.run_.skus), self.random.randint(-3, 4) or 5, new_key()
        again = self.random.random() > 0.12
        begin = time.monotonic_ns()
        answer = self.ask(lambda: self.staff.adjust(sku, key=key, delta=delta), again)
        told = {} if answer is None else answer.json()
        done = answer is not None and answer.status_code == 200
        assert answer is None or done or told["code"] in REFUSALS, told
        self.tell(f"stock:{sku}", "adjust", begin, quantity=delta, answer="unknown" if answer is None else "done" if done else "refused",
                  **({"on_hand": told["on_hand"], "reserved": told["reserved"]} if done else {}))
        if answer is None:
            self.calls[-1]["end"] = 0

    def order(self):
        sku, quantity, key = self.random.choice(self.run_.skus), self.random.randint(1, 3), new_key()
        wait = self.random.choice([5, 5, 5, None])
        begin = time.monotonic_ns()
        answer = self.ask(lambda: self.person.place([(sku, quantity)], key=key, wait=wait))
        if answer is None:
            raise AssertionError("no answer any more")
        told = answer.json()
        outcome = "refused" if told.get("code") in REFUSALS else ANSWERS[answer.status_code]
        self.tell(f"stock:{sku}", "order", begin, quantity=quantity, answer=outcome)
        if outcome == "unknown":
            self.calls[-1]["end"] = 0
        order = told["id"] if answer.status_code in (201, 202) else told["subject"]
        self.tell(f"key:{key}", "place", begin, id=order, answer="done")
        self.run_.keys.append((self.person, sku, quantity, wait, key, order))

    def find(self):
        """A key of anybody's again, or the order that it made."""
        if not self.run_.keys:
            return
        person, sku, quantity, wait, key, order = self.random.choice(self.run_.keys[-20:])
        begin = time.monotonic_ns()
        if self.random.random() < 0.5:
            answer = self.ask(lambda: person.get(f"/orders/{order}"))
            self.tell(f"key:{key}", "find", begin, id=order, answer="found" if answer.status_code == 200 else "missing")
        else:
            told = self.ask(lambda: person.place([(sku, quantity)], key=key, wait=wait)).json()
            self.tell(f"key:{key}", "place", begin, id=told.get("subject") or told["id"], answer="done")


class Run:
    """A shop that is killed while clients are at work."""

    def __init__(self, place, random):
        self.random = random
        self.shop = Shop(place / "data", HOLD_TIME="1h").start()
        self.skus = [self.shop.staff.new_sku(on_hand=ON_HAND) for _ in range(SKUS)]
        begin = time.monotonic_ns()
        self.history = [{"client": CLIENTS, "object": f"stock:{sku}", "kind": "adjust", "quantity": ON_HAND, "begin": begin,
                         "end": begin + 1, "answer": "done", "on_hand": ON_HAND, "reserved": 0} for sku in self.skus]
        self.stopping, self.up, self.count, self.keys = threading.Event(), threading.Event(), 0, []
        self.deadline = time.monotonic() + 60 + 10 * KILLS
        self.clients = [Client(self, number, type(random)(random.getrandbits(64))) for number in range(CLIENTS)]

    def work(self):
        """Until so many more calls were made."""
        until = self.count + CALLS_BETWEEN
        while self.count < until and time.monotonic() < self.deadline:
            assert self.shop.process.poll() is None, "duka ended by itself:\n" + self.shop.log_tail()
            for client in self.clients:
                assert client.failure is None, repr(client.failure)
            time.sleep(0.002)

    def play(self):
        self.up.set()
        for client in self.clients:
            client.start()
        for _ in range(KILLS):
            self.work()
            self.up.clear()
            self.shop.kill()
            self.shop.start()
            self.up.set()
        self.work()
        self.stopping.set()
        for client in self.clients:
            client.join(60)
            assert client.failure is None and not client.is_alive(), repr(client.failure)
        self.history += sorted((call for client in self.clients for call in client.calls), key=lambda call: call["begin"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    checker()
    played = Run(tmp_path_factory.mktemp("linearizable"), seeded())
    try:
        played.play()
        yield played
    finally:
        played.shop.kill()


def test_each_call_had_its_effect_at_one_moment_through_every_kill(run, tmp_path, tell):
    code, said = judge(run.history, tmp_path)
    kinds = [call["kind"] + " " + call.get("answer", "") for call in run.history]
    tell(f"{KILLS} kills, {said.splitlines()[-1]}: " + ", ".join(f"{kinds.count(kind)} × {kind.strip()}" for kind in sorted(set(kinds))))
    assert code == 0, said


def test_there_was_something_to_judge(run):
    answered = [call for call in run.history if call["end"]]
    for kind, answer in (("adjust", "done"), ("order", "done"), ("order", "refused"), ("place", "done"), ("find", "found")):
        assert any(call["kind"] == kind and call.get("answer") == answer for call in answered), (kind, answer)
    overlaps = sum(a["end"] > b["begin"] and a["client"] != b["client"] for a, b in zip(answered, answered[1:]))
    assert overlaps > len(answered) / 4, "calls are at work at the same time"


# ---- the checker itself: each planted fault must be seen ----


def read_the_past(history):
    """A read is answered from a copy that is older than an adjustment that was answered before it began."""
    for at, call in enumerate(history):
        before = [other for other in history[:at] if other["object"] == call["object"] and other["end"] and other["end"] < call["begin"]
                  and "on_hand" in other]
        if call["kind"] == "read" and before and (before[0]["on_hand"], before[0]["reserved"]) != (call["on_hand"], call["reserved"]):
            call.update(on_hand=before[0]["on_hand"], reserved=before[0]["reserved"])
            yield at


def lose_an_adjustment(history):
    """What was answered has no effect: no later answer shows it."""
    for at, call in enumerate(history):
        if call["kind"] == "adjust" and call["answer"] == "done" and call["client"] != CLIENTS:
            del history[at]
            yield at


def reserve_twice(history):
    for at, call in enumerate(history):
        if call["kind"] == "order" and call["answer"] == "done":
            history.insert(at, dict(call))
            yield at


def make_two_orders_of_a_key(history):
    for at, call in enumerate(history):
        if call["kind"] == "place" and sum(other["object"] == call["object"] for other in history) > 1:
            call["id"] = "another"
            yield at


def forget_an_order(history):
    for at, call in enumerate(history):
        if call["kind"] == "find" and call["answer"] == "found":
            call["answer"] = "missing"
            yield at


@pytest.mark.parametrize(
    "plant", [read_the_past, lose_an_adjustment, reserve_twice, make_two_orders_of_a_key, forget_an_order], ids=lambda plant: plant.__name__
)
def test_a_planted_fault_is_seen(run, tmp_path, plant):
    """One more in the history until the checker sees it: where calls stay open, what an older read says may still be true."""
    history = json.loads(json.dumps(run.history))
    code, said = 0, "there is no place for it"
    for _ in itertools.islice(plant(history), PLANTED):
        code, said = judge(history, tmp_path)
        if code:
            break
    assert code == 1 and "not linearizable" in said, said
