"""What the tests of overload share: a shop as it is released on one processor, and its load on the other. It measures, and so
it is no part of `make test` but for a sample (test_sample.py): `make overload` runs it, alone on the machine."""

import contextlib
import json
import math
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
PATIENCE_MS = 900  # after a second the kernel sends a SYN again: so much work more of the client's, for who is about to give up
PEAK_S = 8
CLIENT_SHARE_MAX, CLIENT_LATE_MS_MAX = 0.95, 100  # of its processor; 99 of 100 people come no later than they should


def pin(pid, processor):
    """All threads of a process."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {processor})


def slices_of(pid, share, period_us=5000):
    """Gives it no more than that share of its processor, by the kernel's quota, as the limit of a container does; a way to end it."""
    both = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")
    parent = next((one for one in both if (one / "cgroup.procs").exists()), both[1])
    group = parent / f"duka-overload-{pid}"
    try:
        group.mkdir()
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{share * period_us:.0f} {period_us}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(period_us))
            (group / "cpu.cfs_quota_us").write_text(f"{share * period_us:.0f}")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as cause:
        pytest.skip(f"the kernel's quota of processor time is not ours to give: {cause}")
    return group.rmdir


class Load:
    """A way to ask: the request as it is sent."""

    def __init__(self, shop, place, name, method, path, headers=(), body=""):
        self.port = shop.addresses["listen"].rsplit(":", 1)[1]
        self.file = place / (name + ".request")
        lines = [f"{method} {path} HTTP/1.1", "Host: shop", *headers]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.file.write_text("\r\n".join(lines) + "\r\n\r\n" + body)

    def begin(self, rate, seconds, patience_ms=PATIENCE_MS, tries=1, addresses=ADDRESSES, warm=0):
        """Comes at that rate; gives a function that waits for the end and gives what came of it, the `warm` first seconds left out."""
        words = [OPEN_LOOP, self.port, rate, warm, seconds, patience_ms, tries, addresses, self.file]
        process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: os.sched_setaffinity(0, {PROCESSORS[-1]}))

        def end():
            out, _ = process.communicate(timeout=warm + seconds + 30)
            assert process.returncode == 0
            return json.loads(out)

        return end

    def run(self, rate, seconds, **rest):
        return self.begin(rate, seconds, **rest)()

    def near_peak(self, first=100, seconds=1.5):
        """About the most that is served a second: the rate is raised until no more comes of it."""
        best, rate = 0.0, first
        while True:
            done = self.run(rate, seconds)
            best = max(best, done["goodput"])
            if done["goodput"] < 0.75 * rate or rate > 100_000:
                return best
            rate *= 1.4

    def steady(self, rate):
        """As it is at that rate once it has gone on for a while, its database's checkpoints among it."""
        os.sync()  # what others have left to be written would take the disk meanwhile
        return self.run(rate, PEAK_S, warm=1) | {"rate": rate}

    def peak(self, first=100):
        """What it is like where the most is served a second: the rate is raised until some are refused. How long it takes there is told
        by the best of those where some were refused: where nobody is, nobody waits."""
        rate, runs = self.near_peak(first), []
        while len(runs) < 2 or not is_full(runs[-1]):
            runs.append(self.steady(rate))
            rate *= 1.1
        best, fullest = (max(some, key=lambda done: done["goodput"]) for some in (runs, filter(is_full, runs)))
        return best | {"full_p99_ms": fullest["try_p99_ms"]}


def is_full(done):
    return done["goodput"] < 0.95 * done["rate"]


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
    """Makes a shop on the first processor, or on a share of it; it must end well."""
    if len(PROCESSORS) < 2:
        pytest.skip("the load needs a processor of its own")
    if not OPEN_LOOP.exists():
        pytest.skip("build/asan has not been built")
    made, ends = [], []

    def make(share=None, **settings):
        # Mails to a folder follow the orders for seconds, a file with an fsync each: at its best there would be none yet.
        common = {"LOG_LEVEL": "error", "CONNECTIONS_MAX": "10000", "SETTLE_TARGET": "100ms", "MAIL_URL": "none",
                  "CONNECTIONS_PER_ADDRESS_MAX": "0"}
        shop = Shop(tmp_path / "data", **{**common, **settings}).start()
        made.append(shop)
        pin(shop.process.pid, PROCESSORS[0])
        if share:
            ends.append(slices_of(shop.process.pid, share))
        return shop

    yield make
    for shop in made:
        shop.kill()
    for end in ends:
        end()


def normal_again(load, rate, p99_ms):
    """Seconds until a modest load is served whole and as fast as before. Who came last may still wait when it ends."""
    began = time.monotonic()
    while True:
        done = load.run(rate, 0.5)
        on_their_way = math.ceil(rate * done["try_p99_ms"] / 1000)
        if done["served"] >= 0.98 * (done["came"] - on_their_way) and done["try_p99_ms"] <= p99_ms:
            return time.monotonic() - began - 0.5
        assert time.monotonic() - began < NORMAL_AGAIN_S + 10, f"not as before: {done}"


def reads(shop, place):
    """Pages of a catalogue of a few hundred products, as a shopper searches them."""
    shop.dukactl("seed", "--products", "300")
    return Load(shop, place, "reads", "GET", "/products?q=bowl&limit=20")


def large_pages(shop, place):
    shop.dukactl("seed", "--products", "300")
    return Load(shop, place, "large-pages", "GET", "/products?limit=100")


def orders(shop, place, lines=1):
    customer, skus = shop.customer(), [shop.staff.new_sku(on_hand=900_000_000) for _ in range(lines)]
    body = json.dumps({"lines": [{"sku": sku, "quantity": 1} for sku in skus], "payment": {"provider": "simulator", "token": "approve"}})
    headers = [f"Authorization: Bearer {customer.token}", "Idempotency-Key: key-@@@@@@@@", "Prefer: wait=1"]
    return Load(shop, place, "orders", "POST", "/orders", headers, body)


def sign_ins(shop, place):
    customer = shop.customer()
    body = json.dumps({"email": customer.email, "password": customer.password})
    return Load(shop, place, "sign-ins", "POST", "/users/login", body=body)


def baskets(shop, place):
    return orders(shop, place, lines=10)


LOADS = {"reads": reads, "large pages": large_pages, "orders": orders, "baskets": baskets, "sign-ins": sign_ins}


def address(shop):
    host, port = shop.addresses["listen"].split(":")
    return host, int(port)
