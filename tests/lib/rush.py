"""Customers and clerks who keep a shop busy while something is broken, and who ask under one key
until there is an answer. What they were told is then held against the books (books.py).

Used by tests/crash (the shop is killed) and tests/wire (its broker is)."""

import copy
import json
import re
import threading
import time

import httpx
from books import Told
from brokers import not_taken
from shop import Shop, accepted, new_key, pages, until

CLIENTS = 14
SECONDS_MAX = 170
SETTLE_S = 180  # at most, on a machine that has little time for it
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

    @property
    def person(self):
        """The same person, at any of the replicas."""
        person = copy.copy(self._person)
        person.url = self.random.choice(self.run_.replicas).url
        return person

    @person.setter
    def person(self, person):
        self._person = person

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
                if answer.status_code == 401:  # the clock has moved past the token
                    self.log_in_again()
                elif (
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

    def log_in_again(self):
        """Where it can be done now; whoever asks comes again."""
        try:
            self._person.log_in()
        except AssertionError:
            pass

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
    """A shop under load, hit again and again: `hit(run)` breaks something and mends it."""

    def __init__(self, place, random, clients=CLIENTS, seconds_max=SECONDS_MAX, **settings):
        self.random = random
        self.shop = Shop(place / "data", **SETTINGS, **settings).start()
        self.replicas = [self.shop]
        self.stopping, self.up = threading.Event(), threading.Event()
        self.deadline = time.monotonic() + seconds_max
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
        seeds = [random.getrandbits(64) for _ in range(clients + 2)]
        maker = type(random)
        self.clients = [Client(self, maker(seed)) for seed in seeds[:clients]]
        self.clerks = [Clerk(self, maker(seed)) for seed in seeds[clients:]]
        self.restarts = []

    def live(self, seconds):
        """Lets it work for a while."""
        until_ = time.monotonic() + seconds
        while time.monotonic() < until_:
            assert self.shop.process.poll() is None, (
                "duka ended by itself:\n" + self.shop.log_tail()
            )
            time.sleep(0.005)

    def crash(self):
        """Lives a while, is killed in the middle of whatever it does, and comes back."""
        self.live(self.random.uniform(0.05, 1.2))
        self.kill()

    def kill(self):
        """Is killed at this moment, and comes back."""
        self.up.clear()
        self.shop.kill()
        started = time.monotonic()
        self.shop.start(seconds=SETTLE_S)
        self.restarts.append(time.monotonic() - started)
        self.up.set()

    def crash_one(self):
        """The same for one program of a shop that runs apart; the gateway among them."""
        self.live(self.random.uniform(0.05, 1.2))
        name = self.random.choice(["gateway", *self.shop.services])
        self.up.clear()
        started = time.monotonic()
        if name == "gateway":
            self.shop.restart_gateway()
        else:
            self.shop.kill_service(name)
            self.shop.start_service(name)
        self.restarts.append(time.monotonic() - started)
        self.up.set()

    def play(self, hits, hit=crash):
        everyone = self.clients + self.clerks
        self.up.set()
        for one in everyone:
            one.start()
        for _ in range(hits):
            hit(self)
            for one in everyone:
                assert one.failure is None, repr(one.failure)
        self.stopping.set()
        for one in everyone:
            one.join(SETTLE_S)
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

    def end_by_hand(self, orders):
        """What waits for a hand would wait until its hold runs out."""
        for order in orders:
            if order["payment_provider"] == "manual" and order["status"] == "reserved":
                accepted(self.shop.staff.cancel(order["id"]))
            if order["payment_provider"] == "manual" and order["status"] == "cancelling":
                accepted(self.shop.staff.refund(order["id"]))

    def settle(self):
        """Waits until nothing moves any more. An order whose event is late begins to wait for a hand late, so this looks
        again each time."""

        def is_quiet():
            orders = self.orders()
            if any(
                order["status"] in ("placed", "reserved", "cancelling")
                or order["payment_status"] in MOVING
                for order in orders
            ):
                self.end_by_hand(orders)
                return None
            return orders

        self.listed = until(is_quiet, SETTLE_S, "every order to settle")
        until(lambda: self.backlog() == 0, SETTLE_S, "all events to be delivered")
        self.wait_for_consumers()
        self.levels = {sku: self.shop.staff.stock(sku) for sku in STOCK}

    def reactions(self):
        """How many events were taken so far, by the metrics."""
        text = self.shop.metrics()
        return sum(map(int, re.findall(r"^duka_reactions_total\{.*\} (\d+)$", text, re.M)))

    def wait_for_consumers(self):
        """A broker has what the outboxes have not: waits until nobody takes anything any more, and none is held for one who was
        killed (SQS gives that out again after half a minute)."""
        if "BUS_URL" not in self.shop.settings and not self.shop.apart:
            return
        deadline, quiet, seen = time.monotonic() + SETTLE_S, time.monotonic(), self.reactions()
        while time.monotonic() - quiet < 1.5:
            assert time.monotonic() < deadline, "events still come"
            time.sleep(0.1)
            if (now := self.reactions()) != seen or not_taken(self.shop.settings):
                quiet, seen = time.monotonic(), now

    def backlog(self):
        """Events that wait, by the metrics."""
        text = self.shop.metrics()
        told = re.findall(r"^duka_outbox_backlog\{.*\} (\d+)$", text, re.M)
        assert len(told) >= 2, "orders and products announce events"
        return sum(map(int, told))
