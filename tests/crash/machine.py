"""The kill machine: a shop as it is released, on a store and a bus, under customers and clerks who keep it busy (tests/lib/rush.py),
while it is hit again and again. In the end everything settles, and the books are held, per order, against what clients were told.

`make crash` runs it for as many hits as are asked for, in rounds of a shop each, and adds what came of them to docs/kills.tsv.
`make test` runs a few of each (test_machine.py).
"""

import argparse
import contextlib
import datetime
import fcntl
import os
import pathlib
import random
import re
import resource
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

for name in ("duka", "dukactl"):
    os.environ.setdefault(name.upper() + "_BIN", str(ROOT / "build/release/src/apps" / name))

import brokers  # noqa: E402
import postgresql  # noqa: E402
from books import Told, check_books, read_books, read_books_of_postgresql  # noqa: E402
from rush import Kept, Run  # noqa: E402
from shop import Shop, new_key, until  # noqa: E402

TABLE = ROOT / "docs" / "kills.tsv"
COLUMNS = ("date", "commit", "store", "bus", "how", "hits", "orders", "repeats", "faults", "restart_ms_most", "seeds")
BUSES = {"local": None, "rabbitmq": "Rabbitmq", "kafka": "Kafka", "sqs": "Elasticmq", "direct": "Direct"}
STORES = ("sqlite", "postgresql")
ROUND = 200  # hits of one shop; then its books are read
SECONDS_A_HIT = 6
MIB = 1024 * 1024


class Missing(Exception):
    """Why a way to hit the shop cannot be had here."""


# ---- Ways to hit it; each leaves a shop that serves ----


def soon(random):
    """How long it lives until it is hit again. Mostly not for long: orders of all ages, the unknown payments of some seconds ago among
    them, are under way after a few milliseconds, and a hit costs what is sold before it."""
    return random.uniform(0.02, 0.12) if random.random() < 0.75 else random.uniform(0.1, 0.35)


def be_at_work(run):
    """Lives until somebody has heard of an order since it was hit, and a while more: what takes long to begin again, as where there is
    a broker, has nothing to lose before."""
    before, until_ = len(run.told()), time.monotonic() + 3
    while len(run.told()) == before and time.monotonic() < until_:
        run.live(0.005)
    run.live(soon(run.random))


def kill(run):
    """kill -9 in the middle of whatever it does."""
    be_at_work(run)
    run.kill()


def kill_while_it_recovers(run):
    """Once more, at any moment of its start."""
    be_at_work(run)
    run.up.clear()
    run.shop.kill()
    for _ in range(run.random.randint(1, 3)):
        run.shop.launch()
        time.sleep(run.random.uniform(0, 0.08))
        run.shop.kill()
    run.kill()


def stop_and_go(run):
    """SIGSTOP, and SIGCONT some time later: it wakes up late for everything."""
    run.live(run.random.uniform(0.05, 0.5))
    run.shop.process.send_signal(signal.SIGSTOP)
    time.sleep(run.random.choice([0.01, 0.2, 1.5, 4]))
    run.shop.process.send_signal(signal.SIGCONT)


def fill_the_disk(run):
    """Not a byte is left for a while; sometimes it is killed meanwhile."""
    run.live(run.random.uniform(0.05, 0.5))
    ballast = run.place / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb") as file:
        while True:
            file.write(b"x" * 65536)
            file.flush()
    with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
        while True:
            file.write(b"x")
    run.live(run.random.uniform(0.05, 1.0))
    if run.random.random() < 0.3:
        run.up.clear()
        run.shop.kill()
        ballast.unlink()
        run.kill()
    else:
        ballast.unlink()
    run.live(0.2)


def take_its_files(run):
    """No descriptor is to be had for a while: nothing can be accepted or opened."""
    run.live(run.random.uniform(0.05, 0.5))
    now = len(os.listdir(f"/proc/{run.shop.process.pid}/fd"))
    with limit(run.shop.process.pid, resource.RLIMIT_NOFILE, max(3, now - run.random.randint(0, 4))):
        run.live(run.random.uniform(0.05, 0.8))
    run.live(0.1)


def take_its_memory(run):
    """No more of it is to be had for a while. It may end, as a process without memory does, and is then started again."""
    run.live(run.random.uniform(0.05, 0.5))
    pid = run.shop.process.pid
    size = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ProcessLookupError), limit(pid, resource.RLIMIT_AS, size + run.random.choice([0, MIB, 16 * MIB])):
        deadline = time.monotonic() + run.random.uniform(0.05, 0.8)
        while time.monotonic() < deadline and run.shop.process.poll() is None:
            time.sleep(0.005)
    if run.shop.process.poll() is not None:
        run.kill()
    run.live(0.1)


@contextlib.contextmanager
def limit(pid, what, soft):
    """A soft limit of another process, for a while."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, what, before)


def move_the_clock(run):
    """Its wall clock, and nobody else's, jumps: less than a day, for so long are keys kept. Who has no good token any more logs in."""
    run.live(run.random.uniform(0.05, 0.4))
    set_clock(run.place, run.random.choice([0, 0, 5, -5, 20, -20, 36000, -36000]))
    if run.random.random() < 0.2:
        run.kill()
    run.live(0.3)


def set_clock(place, seconds):
    """As tests/lib/moved_clock.c reads it."""
    (place / "data").mkdir(parents=True, exist_ok=True)
    path = place / "data" / "clock"
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.write(struct.pack("q", seconds))


WAYS = {
    "mixed": None,  # each of those below that can be had, by chance
    "calls": None,  # kill -9 at the first, second, … system call of a kind that one order makes
    "kill": kill,
    "start": kill_while_it_recovers,
    "stop": stop_and_go,
    "disk": fill_the_disk,
    "files": take_its_files,
    "memory": take_its_memory,
    "clock": move_the_clock,
    "store": None,  # kill -9 of the database, of the broker: of those that there are
    "bus": None,
}


def kill_the_store(world):
    def hit(run):
        run.live(run.random.uniform(0.1, 1.0))
        world.server.crash()
        time.sleep(run.random.uniform(0, 1.0))
        world.server.start()
        run.live(0.5)

    return hit


def kill_the_bus(world):
    def hit(run):
        run.live(run.random.uniform(0.1, 1.0))
        world.broker.away()
        run.live(run.random.uniform(0, 1.0))
        world.broker.back()
        run.live(0.5)

    return hit


def hit_by_chance(world):
    ways = [kill, kill_while_it_recovers, stop_and_go, fill_the_disk, take_its_files, take_its_memory, move_the_clock]
    ways += [kill_the_store(world)] * bool(world.server) + [kill_the_bus(world)] * bool(world.broker)
    each = []

    def hit(run):
        if not each:  # all of them, before one comes again
            each.extend(ways)
            run.random.shuffle(each)
        each.pop()(run)

    return hit


# ---- What it stands on ----


class World:
    """A store and a bus, for as many shops as are asked for."""

    def __init__(self, store, bus, place):
        self.store, self.bus, self.server, self.broker = store, bus, None, None
        try:
            if store == "postgresql":
                if why := postgresql.missing():
                    raise Missing(why)
                self.server = postgresql.Server(durable=True).start()
            if BUSES[bus]:
                self.broker = getattr(brokers, BUSES[bus])(place / "broker").start()
        except brokers.Missing as why:
            self.close()
            raise Missing(str(why)) from None

    def settings(self, prefix, way):
        given = self.broker.settings() if self.broker else {}
        if self.server:
            given = {**self.server.prepare(prefix), **given}
        if way in ("clock", "mixed"):
            given = {**given, "LD_PRELOAD": preloaded("moved-clock.so")}
        return {"LOG_LEVEL": "warn", **given}

    def hit(self, way):
        if way == "store" and not self.server or way == "bus" and not self.broker:
            raise Missing(f"there is no {way} of its own to kill")
        return {"store": kill_the_store, "bus": kill_the_bus, "mixed": hit_by_chance}[way](self) if WAYS[way] is None else WAYS[way]

    def books(self, run, prefix):
        if self.server:
            return read_books_of_postgresql(self.server, prefix)
        with tempfile.TemporaryDirectory() as elsewhere:  # its own disk may be small, and full
            return read_books(run.shop.data, elsewhere)

    def close(self):
        if self.broker:
            self.broker.kill()
        if self.server:
            self.server.close()


def preloaded(name):
    """A helper of ours that the shop is started with: made by the tests' build, whatever build the shop is of."""
    found = ROOT / "build/asan/tests" / name
    if not found.exists():
        raise Missing("build/asan has not been built")
    return str(found)


@contextlib.contextmanager
def small_disk(way, place):
    """A disk of its own for the shop that is to find it full."""
    if way not in ("disk", "mixed"):
        yield place
        return
    place = place / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=700", "none", place], capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing("no disk can be mounted here: " + done.stderr.strip())
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


# ---- Kills at the calls of one order ----

KINDS = {"write": 1, "sync": 2, "send": 3, "rename": 4}  # as tests/lib/kill_at.c has them


class Calls:
    """A shop of which the k-th write, fdatasync, send or rename of an order is the last, before it is made or after it."""

    def __init__(self, place, source, settings):
        (place / "data").mkdir()
        self.file = place / "data" / "kill_at"
        self.file.write_bytes(bytes(16))
        settings = {**settings, "LD_PRELOAD": preloaded("kill-at.so"), "KILL_AT_FILE": str(self.file)}
        self.run = Run(place, source, clients=1, seconds_max=3600, **settings)
        self.run.place, self.client = place, self.run.clients[0]
        self.run.up.set()

    def arm(self, kind, at, after):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("4i", KINDS[kind] if kind else 0, at, after, 0))

    def count(self):
        return struct.unpack("4i", self.file.read_bytes())[3]

    def order(self):
        """One order, under a key that is asked until there is an answer."""
        told = Told(self.client.person.id, new_key(), [("plenty", 1)])
        body = {"lines": [{"sku": "plenty", "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}}
        told.answers.append(Kept.of(self.client.send(told.key, body, "wait=10")))
        told.answers.append(Kept.of(self.client.send(told.key, body, "wait=10")))
        self.client.told.append(told)

    def all_of_them(self):
        """Every call of an order, by kind: ("write", 1, before), …"""
        found = []
        for kind in KINDS:
            self.arm(kind, 0, 0)
            self.order()
            time.sleep(1.0)  # what follows the answer: the capture, the mail
            found += [(kind, at, after) for at in range(1, self.count() + 1) for after in (0, 1)]
        self.arm(None, 0, 0)
        return found

    def kill(self, kind, at, after):
        """True where it came so far."""
        self.arm(kind, at, after)
        self.run.up.clear()
        failures = []

        def order():
            try:
                self.order()
            except Exception as failure:  # noqa: BLE001: raised below
                failures.append(failure)

        buyer = threading.Thread(target=order)
        buyer.start()
        try:
            self.run.shop.process.wait(3)
            came = True
        except subprocess.TimeoutExpired:
            came = False
        self.arm(None, 0, 0)
        if came:
            self.run.kill()
        self.run.up.set()
        buyer.join()
        if failures:
            raise failures[0]
        return came


def play_calls(world, hits, place, seed):
    """Kills at as many calls of one order as are asked for: all in their order, or some by chance."""
    source = random.Random(seed)
    calls = Calls(place, source, {"LOG_LEVEL": "warn"})
    run = calls.run
    try:
        found = calls.all_of_them()
        chosen = found * (hits // len(found)) + source.sample(found, hits % len(found))
        came = sum(calls.kill(*one) for one in chosen)
        run.settle()
        run.shop.kill()
        books = world.books(run, "")
    finally:
        run.shop.kill()
    return row_of(run, books, came) | {"calls": len(found)}


# ---- A round: a shop, its hits, its books ----


def play(world, way, hits, place, seed):
    """Hits one shop; gives what came of it as the numbers of a row."""
    if way == "calls":
        if world.store != "sqlite" or world.bus != "local":
            raise Missing("an order's own calls are counted in one process on SQLite")
        return play_calls(world, hits, place, seed)
    source = random.Random(seed)
    prefix = "k" + secrets.token_hex(4) + "_"
    hit = world.hit(way)
    settings = world.settings(prefix, way)
    if world.server:
        Shop(place / "migrated", **settings).dukactl("migrate")
    with small_disk(way, place) as place:
        if way in ("clock", "mixed"):
            set_clock(place, 0)
            settings["MOVED_CLOCK_FILE"] = str(place / "data" / "clock")
        run = Run(place, source, seconds_max=120 + hits * SECONDS_A_HIT, **settings)
        run.place = place
        try:
            run.play(hits, hit)
            if way in ("clock", "mixed"):
                set_clock(place, 0)
                run.shop.staff.log_in()
            run.settle()
            run.shop.kill()  # what is read now is what the disk has
            books = world.books(run, prefix)
        finally:
            run.shop.kill()
            if world.server:
                world.server.forget(prefix)
            if world.broker:
                world.broker.forget(settings["BUS_PREFIX"])
        return row_of(run, books, hits)


def row_of(run, books, hits):
    told = run.told()
    # Without memory for a thread it ends, as os/sync.h says, and is started again.
    ours = [line for line in run.shop.log().splitlines()
            if re.search(r"panic|Sanitizer|sandbox\.refused", line) and "machine_thread_start" not in line]
    return {
        "hits": hits,
        "orders": len(told),
        "repeats": sum(len(one.answers) - 1 for one in told),
        "faults": check_books(told, books, run.adjusted()) + ours,
        "restart_ms_most": round(1000 * max(run.restarts, default=0)),
    }


# ---- docs/kills.tsv ----


def commit():
    changed = subprocess.run(["git", "status", "--porcelain", "--", "src", "contracts"], cwd=ROOT, capture_output=True, text=True)
    if changed.stdout.strip():
        sys.exit("There are changes that no commit has: what is counted must be repeatable.")
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def table_alone():
    """Several machines may be at work at once, and add to one table."""
    place = os.open(TABLE.parent, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def add_row(row):
    """One row for a day, commit and way: what is done more is added to it."""
    with table_alone():
        add_row_alone(row)


def add_row_alone(row):
    lines = TABLE.read_text().splitlines() if TABLE.exists() else ["\t".join(COLUMNS)]
    rows = [dict(zip(COLUMNS, line.split("\t"))) for line in lines[1:]]
    same = [one for one in rows if all(one[name] == row[name] for name in ("date", "commit", "store", "bus", "how"))]
    if same:
        for name in ("hits", "orders", "repeats", "faults"):
            same[0][name] = str(int(same[0][name]) + int(row[name]))
        same[0]["restart_ms_most"] = str(max(int(same[0]["restart_ms_most"]), int(row["restart_ms_most"])))
        if row["seeds"] != "-":
            same[0]["seeds"] = row["seeds"] if same[0]["seeds"] == "-" else same[0]["seeds"] + " " + row["seeds"]
    else:
        rows.append({name: str(row[name]) for name in COLUMNS})
    partial = TABLE.with_suffix(".partial")
    partial.write_text("\t".join(COLUMNS) + "\n" + "".join("\t".join(one[name] for name in COLUMNS) + "\n" for one in rows))
    partial.replace(TABLE)


def main():
    parser = argparse.ArgumentParser(description="Hits a shop under load again and again, and checks its books.")
    parser.add_argument("--hits", type=int, default=200)
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--bus", choices=BUSES, default="local")
    parser.add_argument("--how", choices=WAYS, default="kill")
    parser.add_argument("--seed", type=int, help="plays one round again, as a row names it")
    given = parser.parse_args()
    of, left, bad = commit(), given.hits, 0
    with tempfile.TemporaryDirectory(prefix="duka-crash-") as folder:
        world = World(given.store, given.bus, pathlib.Path(folder))
        try:
            while left > 0:
                hits, seed = min(left, ROUND), given.seed if given.seed is not None else secrets.randbits(32)
                place = pathlib.Path(folder) / f"round-{left}"
                place.mkdir()
                done = play(world, given.how, hits, place, seed)
                faults, calls = done.pop("faults"), done.pop("calls", 0)
                row = {**done, "faults": len(faults), "date": datetime.date.today().isoformat(), "commit": of, "store": given.store,
                       "bus": given.bus, "how": given.how, "seeds": str(seed) if faults else "-"}
                if given.seed is None:
                    add_row(row)
                left, bad = left - hits, bad + bool(faults)
                print(f"{done['hits']} x {given.how}{f' of {calls}' if calls else ''} on {given.store}/{given.bus}: {done['orders']} orders told, {len(faults)} faults, "
                      f"ready again within {done['restart_ms_most']} ms, seed {seed}", flush=True)
                print("".join(f"  {fault}\n" for fault in faults[:20]), end="", flush=True)
                shutil.rmtree(place, ignore_errors=True)
        except Missing as why:
            sys.exit(f"Not run: {why}")
        finally:
            world.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
