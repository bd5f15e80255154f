"""Customers who keep the shop busy through its Ingress while something happens to it, at a pace; what each heard, and what failed.

A request is sent once, without a second try: what fails is told, and what was answered is held against the books."""

import collections
import random
import threading
import time

import httpx
from books import Told
from shop import Person, new_email, new_key, patiently, told

HOST = "api.yourdomain.com"
PASSWORD = "correct horse battery"
GOOD = {200, 201, 202, 204}


class Customer(Person):
    """Someone with an account, made through the door."""

    @classmethod
    def new(cls, door, url=None):
        person = cls(door, url or door.url, new_email(), PASSWORD)
        answer = patiently(lambda: person.post("/users", json={"email": person.email, "password": PASSWORD, "name": "Amina"}))
        assert answer.status_code == 201, told(answer)
        person.id = answer.json()["id"]
        return person.log_in()


class Load:
    """Some customers at work between `with` and its end: each places an order, reads it, browses and looks at the account, with a
    pause between."""

    def __init__(self, shop, customers=4, pause=0.05):
        self.shop, self.pause = shop, pause
        self.stopping = threading.Event()
        self.answers, self.failed, self.lock = collections.Counter(), [], threading.Lock()
        self.people = [shop.person() for _ in range(customers)]
        self.threads = [threading.Thread(target=self.work, args=(one,), daemon=True) for one in self.people]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        self.seconds = time.monotonic() - self.began

    @property
    def count(self):
        return sum(self.answers.values())

    def note(self, kind, send):
        """Sends once; gives the answer, None where there was none."""
        try:
            answer = send()
        except httpx.HTTPError as failure:
            with self.lock:
                self.answers[kind, type(failure).__name__] += 1
                self.failed.append(f"{time.monotonic() - self.began:.1f} s {kind}: {failure!r}")
            return None
        with self.lock:
            self.answers[kind, answer.status_code] += 1
            if answer.status_code not in GOOD:
                self.failed.append(f"{time.monotonic() - self.began:.1f} s {kind}: {told(answer)}")
        return answer

    def work(self, person):
        choice = random.Random(person.id)
        while not self.stopping.is_set():
            lines, key = [(self.shop.sku, choice.randint(1, 3))], new_key()
            one = Told(person.id, key, lines)
            with self.lock:
                self.shop.told.append(one)
            answer = self.note("order", lambda: person.place(lines, key=key))
            if answer is not None and answer.status_code in GOOD:
                body = answer.json()
                one.answers.append((answer.status_code, body))
                self.note("history", lambda: person.get(f"/orders/{body['id']}"))
            self.note("catalog", lambda: person.get("/products?limit=3"))
            self.note("account", lambda: person.get("/users/me"))
            self.stopping.wait(self.pause * choice.uniform(0.5, 1.5))

    def steps(self, count=40, seconds=30):
        """Waits until so many more were answered."""
        goal, deadline = self.count + count, time.monotonic() + seconds
        while self.count < goal:
            assert time.monotonic() < deadline, f"the load stands still: {self.failed[-3:]}"
            time.sleep(0.1)

    def __str__(self):
        return f"{self.count} requests in {self.seconds:.0f} s, {len(self.failed)} failed"
