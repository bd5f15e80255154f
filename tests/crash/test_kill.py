"""The shop is killed (kill -9) at random moments under concurrent orders and restarted; then its
books are checked, per order, against what clients were told. SEED=n plays a schedule again,
KILLS=n kills more often."""

import copy
import json
import os
import re
import threading
import time
import uuid

import httpx
import pytest
from books import Told, check_books, read_books
from shop import Shop, accepted, new_key, pages, seeded, until

KILLS = int(os.environ.get("KILLS") or 24)
CLIENTS = 14
SECONDS_MAX = 170
PRICES = {"plenty": 1000, "some": 250, "scarce": 4999, "pair": 333}
STOCK = {"plenty": 100000, "some": 2000, "scarce": 40, "pair": 500}
TOKENS = (
    ["approve"] * 12
    + ["decline"] * 2
    + ["timeout", "timeout-decline", "late", "twice", "webhook", "webhook-decline"]
)
MOVING = ("pending", "unknown", "authorized", "voiding", "refunding")
SETTINGS = {"PAYMENT_TIMEOUT": "300ms", "PAYMENT_SWEEP_INTERVAL": "500ms", "PAYMENT_LANES": "16"}


class Kept:
    """An answer as it is compared: without what belongs to the request alone."""

    @staticmethod
    def of(answer):
        body = answer.json()
        body.pop("trace_id", None)
        return answer.status_code, body


class Client(threading.Thread):
    """A customer who orders until told to stop, and asks under one key until there is an answer."""

    def __init__(self, run, random):
        super().__init__(daemon=True)
        self.run_, self.random = run, random
        self.person = run.shop.customer()
        self.told, self.mine, self.failure = [], [], None

    def run(self):
        try:
            while not self.run_.stopping.is_set():
                self.order()
                if self.mine and self.random.random() < 0.15:
                    self.cancel(self.random.choice(self.mine))
                if self.told and self.random.random() < 0.3:
                    self.repeat(self.random.choice(self.told[-20:]))
        except Exception as failure:  # noqa: BLE001: told by the test
            self.failure = failure

    def ask(self, send):
        """Sends until a definite answer comes, through kills, restarts and a shop in trouble."""
        while True:
            try:
                answer = send()
                if (
                    answer.status_code < 500
                    and answer.status_code != 429
                    and not (
                        answer.status_code == 409
                        and answer.json()["code"] in ("idempotency.in_flight", "version.conflict")
                    )
                ):
                    return answer
            except (httpx.TransportError, json.JSONDecodeError):
                pass
            assert time.monotonic() < self.run_.deadline, "no answer any more"
            self.run_.up.wait(1.0)
            time.sleep(0.01)

    def body(self):
        choice = self.random
        lines = [
            (sku, choice.randint(1, 3))
            for sku in choice.choices(list(STOCK), k=choice.randint(1, 3))
        ]
        payment = (
            {"provider": "manual"}
            if choice.random() < 0.05
            else {"provider": "simulator", "token": choice.choice(TOKENS)}
        )
        return lines, {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
            "payment": payment,
        }

    def send(self, key, body, prefer):
        return self.ask(
            lambda: self.person.post("/orders", key=key, json=body, headers={"Prefer": prefer})
        )

    def order(self):
        lines, body = self.body()
        key, prefer = new_key(), self.random.choice(
            ["wait=1", "wait=3", "wait=10", "respond-async"]
        )
        told = Told(self.person.id, key, lines)
        told.body, told.prefer = body, prefer
        answer = self.send(key, body, prefer)
        assert answer.status_code in (201, 202, 402, 409), f"{answer.status_code} {answer.text}"
        told.answers.append(Kept.of(answer))
        self.told.append(told)
        if answer.status_code in (201, 202):
            self.mine.append(answer.json()["id"])

    def repeat(self, told):
        told.answers.append(
            Kept.of(self.send(told.key, told.body, self.random.choice(["wait=1", told.prefer])))
        )

    def cancel(self, order_id):
        key = new_key()
        answers = [self.ask(lambda: self.person.cancel(order_id, key=key)) for _ in range(2)]
        assert all(answer.status_code in (200, 409) for answer in answers), answers[0].text
        if answers[0].status_code == 200:
            assert Kept.of(answers[0]) == Kept.of(
                answers[1]
            ), "a repeated cancel heard another answer"


class Clerk(Client):
    """Staff: ship, give back, count, and record payments by hand, under keys."""

    def __init__(self, run, random):
        super().__init__(run, random)
        self.person = run.shop.staff
        self.adjusted = {sku: 0 for sku in STOCK}

    def order(self):
        act = self.random.choice(
            [self.ship, self.ship, self.give_back, self.count, self.book_payment]
        )
        act()
        time.sleep(0.005)

    def some_order(self, status):
        page = self.ask(
            lambda: self.person.get(
                "/orders", params={"scope": "all", "status": status, "limit": 30}
            )
        )
        orders = page.json()["items"]
        return self.random.choice(orders) if orders else None

    def twice(self, send):
        """Does something under one key, and once more: the same must be heard."""
        key = new_key()
        first = self.ask(lambda: send(key))
        if first.status_code == 200:
            again = self.ask(lambda: send(key))
            assert Kept.of(first) == Kept.of(again), "a repeat heard another answer"
        return first

    def ship(self):
        order = self.some_order("confirmed")
        if not order:
            return
        open_lines = [line for line in order["lines"] if line["shipped"] < line["quantity"]]
        line = self.random.choice(open_lines) if open_lines else None
        part = [{"sku": line["sku"], "quantity": 1}] if line and self.random.random() < 0.4 else []
        self.twice(lambda key: self.person.fulfil(order["id"], key=key, lines=part))

    def give_back(self):
        order = self.some_order(self.random.choice(["confirmed", "completed"]))
        if order:
            restock = self.random.random() < 0.5
            self.twice(lambda key: self.person.refund(order["id"], key=key, restock=restock))

    def count(self):
        sku, delta = self.random.choice(list(STOCK)), self.random.randint(-2, 3)
        if (
            delta
            and self.twice(
                lambda key: self.person.adjust(sku, key=key, delta=delta, reason="corrected")
            ).status_code
            == 200
        ):
            self.adjusted[sku] += delta

    def book_payment(self):
        order = self.some_order("reserved")
        if order and order["payment_provider"] == "manual":
            self.twice(
                lambda key: self.person.record_payment(
                    order["id"], order["total"]["amount"], key=key
                )
            )


class Run:
    """A shop under load, killed again and again."""

    def __init__(self, place, random):
        self.random = random
        self.shop = Shop(place / "data", **SETTINGS).start()
        self.stopping, self.up = threading.Event(), threading.Event()
        self.deadline = time.monotonic() + SECONDS_MAX
        for sku in STOCK:
            self.shop.staff.create_product(
                variants=[
                    {
                        "sku": sku,
                        "price": {"amount": PRICES[sku], "currency": "EUR"},
                        "on_hand": STOCK[sku],
                    }
                ]
            )
        seeds = [random.getrandbits(64) for _ in range(CLIENTS + 2)]
        maker = type(random)
        self.clients = [Client(self, maker(seed)) for seed in seeds[:CLIENTS]]
        self.clerks = [Clerk(self, maker(seed)) for seed in seeds[CLIENTS:]]
        self.restarts = []

    def crash(self):
        """Lives a while, is killed in the middle of whatever it does, and comes back."""
        until_ = time.monotonic() + self.random.uniform(0.05, 1.2)
        while time.monotonic() < until_:
            assert self.shop.process.poll() is None, (
                "duka ended by itself:\n" + self.shop.log_tail()
            )
            time.sleep(0.005)
        self.up.clear()
        self.shop.kill()
        started = time.monotonic()
        self.shop.start()
        self.restarts.append(time.monotonic() - started)
        self.up.set()

    def play(self):
        everyone = self.clients + self.clerks
        self.up.set()
        for one in everyone:
            one.start()
        for _ in range(KILLS):
            self.crash()
            for one in everyone:
                assert one.failure is None, repr(one.failure)
        self.stopping.set()
        for one in everyone:
            one.join(60)
            assert one.failure is None, repr(one.failure)
            assert not one.is_alive(), "a client hears nothing any more"

    def told(self):
        return [told for client in self.clients for told in client.told]

    def adjusted(self):
        return {sku: sum(clerk.adjusted[sku] for clerk in self.clerks) for sku in STOCK}

    def orders(self):
        """Every order, as the API tells it."""
        staff = self.shop.staff
        return pages(lambda **rest: staff.get("/orders", **rest), scope="all", limit=100)[0]

    def settle(self):
        """Ends by hand what waits for a hand, then waits until nothing moves any more."""
        for order in self.orders():
            if order["payment_provider"] == "manual" and order["status"] == "reserved":
                accepted(self.shop.staff.cancel(order["id"]))
            if order["payment_provider"] == "manual" and order["status"] == "cancelling":
                accepted(self.shop.staff.refund(order["id"]))

        def is_quiet():
            orders = self.orders()
            if any(
                order["status"] in ("placed", "reserved", "cancelling")
                or order["payment_status"] in MOVING
                for order in orders
            ):
                return None
            return orders

        self.listed = until(is_quiet, 60, "every order to settle")
        until(lambda: self.backlog() == 0, 30, "all events to be delivered")
        self.levels = {sku: self.shop.staff.stock(sku) for sku in STOCK}

    def backlog(self):
        """Events that wait, by the metrics."""
        text = self.shop.http.get(self.shop.ops + "/metrics").text
        told = re.findall(r"^duka_outbox_backlog\{.*\} (\d+)$", text, re.M)
        assert len(told) >= 2, "orders and products announce events"
        return sum(map(int, told))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The whole play, once; what came of it is looked at by the tests."""
    played = Run(tmp_path_factory.mktemp("kill"), seeded())
    try:
        played.play()
        played.settle()
        # The last one: what is read now is what the disk has.
        played.shop.kill()
        played.books = read_books(played.shop.data, played.shop.data.parent / "copy")
        yield played
    finally:
        played.shop.kill()


def test_the_books_agree_with_what_clients_were_told_after_every_kill(run, tell):
    told = run.told()
    answers = [told.answers[0][0] for told in told]
    tell(
        f"{KILLS} kills, {len(told)} orders told: "
        + ", ".join(f"{answers.count(status)} × {status}" for status in (201, 202, 402, 409))
        + f"; {sum(len(one.answers) - 1 for one in told)} repeats; ready again within "
        f"{max(run.restarts) * 1000:.0f} ms"
    )
    faults = check_books(told, run.books, run.adjusted())
    assert faults == [], f"{len(faults)} faults, the first:\n" + "\n".join(faults[:20])


def test_every_kind_of_answer_came(run):
    answers = [told.answers[0][0] for told in run.told()]
    assert len(answers) >= 5 * KILLS, "clients were at work"
    for status in (201, 202, 402, 409):
        assert answers.count(status) > 0, f"nobody heard {status}"
    assert sum(len(told.answers) > 1 for told in run.told()) >= KILLS, "keys were repeated"
    states = {order["status"] for order in run.listed}
    assert {"confirmed", "completed", "rejected", "cancelled"} <= states
    assert any(
        len({sku for sku, _ in told.lines}) < len(told.lines) for told in run.told()
    ), "a SKU on two lines"


def test_the_api_tells_what_the_files_say(run):
    assert {order["id"] for order in run.listed} == set(run.books.orders)
    for order in run.listed:
        kept = run.books.orders[order["id"]]
        assert (order["status"], order["payment_status"], order["version"]) == (
            kept["status"],
            kept["payment"],
            kept["version"],
        )
        assert order["paid"]["amount"] == kept["captured_minor"] - kept["refunded_minor"]
    for sku, level in run.levels.items():
        kept = run.books.stock[sku]
        assert (level["on_hand"], level["reserved"]) == (kept["on_hand"], kept["reserved"])
        assert level["available"] == kept["on_hand"] - kept["reserved"] >= 0


# ---- the checker itself: each planted fault must be seen ----


def some_told(told, status):
    return next(one for one in told if one.answers[0][0] == status)


def some_order(books, **members):
    return next(
        order
        for order in books.orders.values()
        if all(order[name] == value for name, value in members.items())
    )


def lose_an_order(told, books, adjusted):
    del books.orders[some_told(told, 201).order_id()]


def double_an_order(told, books, adjusted):
    order = books.orders[some_told(told, 201).order_id()]
    twin = {**order, "id": str(uuid.uuid4())}
    books.orders[twin["id"]] = twin
    for table in (books.lines, books.steps, books.holds, books.payments):
        if order["id"] in table:
            table[twin["id"]] = table[order["id"]]


def tell_another_answer(told, books, adjusted):
    one = some_told(told, 201)
    one.answers.append((201, {**one.answers[0][1], "id": str(uuid.uuid4())}))


def forget_an_answer(told, books, adjusted):
    told[0].answers.clear()


def double_a_hold(told, books, adjusted):
    """One order's hold is doubled and another's is gone: the global sum stays."""
    one, other = [
        holds
        for order, holds in books.holds.items()
        if books.orders[order]["status"] == "confirmed"
    ][:2]
    one[0]["quantity"] += 1
    other[0]["quantity"] -= 1


def sell_twice(told, books, adjusted):
    books.stock["scarce"]["reserved"] += 1


def lose_a_ledger_entry(told, books, adjusted):
    books.ledger["plenty"].pop(0)


def go_negative(told, books, adjusted):
    books.stock["some"]["on_hand"] = -1


def miss_an_adjustment(told, books, adjusted):
    adjusted["plenty"] += 1


def take_money_for_nothing(told, books, adjusted):
    books.payments[
        some_order(books, status="rejected", provider="simulator", payment="declined")["id"]
    ]["known"] = 3


def take_money_without_an_order(told, books, adjusted):
    order = some_order(books, status="confirmed", payment="captured", provider="simulator")
    books.payments[str(uuid.uuid4())] = books.payments[order["id"]]


def ask_for_another_amount(told, books, adjusted):
    books.payments[some_order(books, payment="captured", provider="simulator")["id"]][
        "amount_minor"
    ] += 1


def leave_an_order_unsettled(told, books, adjusted):
    some_order(books, status="confirmed")["status"] = "reserved"


def confirm_what_was_refused(told, books, adjusted):
    books.orders[some_told(told, 409).order_id()].update(status="confirmed", payment="captured")


def leave_an_event(told, books, adjusted):
    books.left_over["orders.outbox"] = 1


def capture_twice(told, books, adjusted):
    books.steps[some_order(books, payment="captured")["id"]].append("payment.captured")


FAULTS = [
    lose_an_order,
    double_an_order,
    tell_another_answer,
    forget_an_answer,
    double_a_hold,
    sell_twice,
    lose_a_ledger_entry,
    go_negative,
    miss_an_adjustment,
    take_money_for_nothing,
    take_money_without_an_order,
    ask_for_another_amount,
    leave_an_order_unsettled,
    confirm_what_was_refused,
    leave_an_event,
    capture_twice,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_seen(run, plant):
    told, books, adjusted = copy.deepcopy((run.told(), run.books, run.adjusted()))
    before = set(check_books(told, books, adjusted))
    plant(told, books, adjusted)
    assert set(check_books(told, books, adjusted)) - before, "the checker saw nothing"
