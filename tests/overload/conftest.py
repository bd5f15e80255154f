"""What the tests of overload share: a shop as it is released on one processor, and its load on the other. It measures, and so
it is no part of `make test` but for a sample (test_sample.py): `make overload` runs it, alone on the machine."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "e2e")]

for name in ("duka", "dukactl"):
    os.environ.setdefault(name.upper() + "_BIN", str(ROOT / "build/release/src/apps" / name))

from shop import Shop, until  # noqa: E402
from telling import pytest_terminal_summary, tell  # noqa: E402,F401

PROCESSORS = sorted(os.sched_getaffinity(0))
OPEN_LOOP = ROOT / "build/asan/tests/open-loop"  # not of DUKA_BUILD: the release build has no programs of tests
GROWTH_MIB_MAX = 48
NORMAL_AGAIN_S = 5.0
ADDRESSES = 16  # from one a client has 28 000 ports, and looks for a free one the longer the more are taken


def pin(pid, processor):
    """All threads of a process."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {processor})


class Load:
    """A way to ask: the request as it is sent."""

    def __init__(self, shop, place, name, method, path, headers=(), body=""):
        self.port = shop.addresses["listen"].rsplit(":", 1)[1]
        self.file = place / (name + ".request")
        lines = [f"{method} {path} HTTP/1.1", "Host: shop", *headers]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.file.write_text("\r\n".join(lines) + "\r\n\r\n" + body)

    def begin(self, rate, seconds, patience_ms=1000, tries=1, addresses=ADDRESSES):
        """Comes at that rate; gives a function that waits for the end and gives what came of it."""
        words = [OPEN_LOOP, self.port, rate, seconds, patience_ms, tries, addresses, self.file]
        process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: os.sched_setaffinity(0, {PROCESSORS[-1]}))

        def end():
            out, _ = process.communicate(timeout=seconds + 30)
            assert process.returncode == 0
            return json.loads(out)

        return end

    def run(self, rate, seconds, **rest):
        return self.begin(rate, seconds, **rest)()

    def peak(self, first=100, seconds=1.5):
        """The most that is served a second, and what it is like there: the rate is raised until no more comes of it."""
        best, rate = None, first
        while True:
            done = self.run(rate, seconds)
            if best is None or done["goodput"] > best["goodput"]:
                best = done
            if done["goodput"] < 0.75 * rate or rate > 100_000:
                return best
            rate *= 1.4


class Watch:
    """Whether it says that it is well, and how much memory it takes, while something goes on."""

    def __init__(self, shop):
        self.shop, self.stopping, self.worst, self.failures, self.asked = shop, threading.Event(), 0.0, [], 0
        self.before = self.most = self.resident_mib()

    def resident_mib(self):
        text = pathlib.Path(f"/proc/{self.shop.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def __enter__(self):
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def look(self):
        with httpx.Client(timeout=5) as http:
            while not self.stopping.wait(0.2):
                for probe in ("/livez", "/readyz"):
                    began = time.monotonic()
                    try:
                        status = http.get(self.shop.ops + probe).status_code
                    except httpx.TransportError as failure:
                        status = repr(failure)
                    self.worst = max(self.worst, time.monotonic() - began)
                    self.asked += 1
                    if status != 200:
                        self.failures.append(f"{probe}: {status}")
                self.most = max(self.most, self.resident_mib())

    def check(self):
        assert self.asked > 0 and self.failures == [], f"not well: {self.failures[:5]}"
        assert self.most - self.before < GROWTH_MIB_MAX, f"{self.before:.0f} MiB before, {self.most:.0f} MiB at most"


@pytest.fixture
def overloaded(tmp_path):
    """Makes a shop on the first processor; it must end well."""
    if len(PROCESSORS) < 2:
        pytest.skip("the load needs a processor of its own")
    if not OPEN_LOOP.exists():
        pytest.skip("build/asan has not been built")
    made = []

    def make(**settings):
        # Mails to a folder follow the orders for seconds, a file with an fsync each: at its best there would be none yet.
        common = {"LOG_LEVEL": "error", "CONNECTIONS_MAX": "10000", "SETTLE_TARGET": "100ms", "MAIL_URL": "none",
                  "CONNECTIONS_PER_ADDRESS_MAX": "0"}
        shop = Shop(tmp_path / "data", **{**common, **settings}).start()
        made.append(shop)
        pin(shop.process.pid, PROCESSORS[0])
        return shop

    yield make
    for shop in made:
        shop.kill()


def normal_again(load, rate, p99_ms):
    """Seconds until a modest load is served whole and as fast as before. Who came last may still wait when it ends."""
    began = time.monotonic()
    while True:
        done = load.run(rate, 0.5)
        on_their_way = rate * done["try_p99_ms"] / 1000
        if done["served"] >= 0.98 * (done["came"] - on_their_way) and done["try_p99_ms"] <= p99_ms:
            return time.monotonic() - began - 0.5
        assert time.monotonic() - began < NORMAL_AGAIN_S + 10, f"not as before: {done}"


def reads(shop, place):
    """Pages of a catalogue of a few hundred products, as a shopper searches them."""
    shop.dukactl("seed", "--products", "300")
    return Load(shop, place, "reads", "GET", "/products?q=bowl&limit=20")


def orders(shop, place):
    customer, sku = shop.customer(), shop.staff.new_sku(on_hand=900_000_000)
    body = json.dumps({"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}})
    headers = [f"Authorization: Bearer {customer.token}", "Idempotency-Key: key-@@@@@@@@", "Prefer: wait=1"]
    return Load(shop, place, "orders", "POST", "/orders", headers, body)


def sign_ins(shop, place):
    customer = shop.customer()
    body = json.dumps({"email": customer.email, "password": customer.password})
    return Load(shop, place, "sign-ins", "POST", "/users/login", body=body)


LOADS = {"reads": reads, "orders": orders, "sign-ins": sign_ins}


def address(shop):
    host, port = shop.addresses["listen"].split(":")
    return host, int(port)
