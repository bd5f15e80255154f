"""The part `restart` of the bench: a shop with 10^6 orders is killed (kill -9) under load, with thousands of orders under way, and
started again. Told: from exec to ready, to the answer of the first order that is placed, and until all that were open are settled
but those that wait for a hand. Every second time its files are on the disk only, as after a restart of the machine."""
import os
import sqlite3
import statistics
import subprocess
import threading
import time

from grown import grown
from load import wrk
from peers import PORT, Api, pss_kib

PRODUCTS = 1000
LOAD_S, KILLED_AFTER_S = 8, 4
SETTLED_WITHIN_S = 600
READY_MS, FIRST_ORDER_MS = 300, 500


def books_of(shop, name):
    return sqlite3.connect(f"file:{shop.folder}/data/{name}.db?mode=ro", uri=True)


def moving(shop):
    """What is under way, from tables that are short: events not sent, payments to be asked for, callbacks to come."""
    orders = books_of(shop, "orders").execute("select (select count(*) from outbox), (select count(*) from payment_jobs)").fetchone()
    callbacks = books_of(shop, "payments-simulator").execute("select count(*) from callbacks").fetchone()
    return orders[0], orders[1], callbacks[0]


def forget_pages(shop):
    """Drops its files from the page cache."""
    for file in (shop.folder / "data").iterdir():
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def kill_under_load(shop, tokens):
    """kill -9 in the middle of orders that are paid by callback, a second after they are reserved, and some by hand."""
    def load():
        try:
            wrk(shop.port, "/orders", LOAD_S, 256, "orders.lua", ["duka", tokens, PRODUCTS, "open"])
        except (RuntimeError, subprocess.CalledProcessError):
            pass  # it is killed meanwhile

    loading = threading.Thread(target=load)
    loading.start()
    time.sleep(KILLED_AFTER_S)
    shop.process.kill()
    shop.process.wait()
    loading.join()


def first_order(shop, token, key):
    """Asks for one under its key until it is taken."""
    body = {"lines": [{"sku": "SKU1", "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}}
    while True:
        try:
            status, answer = Api(shop.port).call("POST", "/orders", body, token, {"Idempotency-Key": key, "Prefer": "wait=10"})
        except OSError:
            status = None
        if status in (201, 202):
            return status, answer["status"]
        time.sleep(0.001)


def restart(shop, token, cold, number):
    """One kill and one start; gives its three times in seconds."""
    if cold:
        forget_pages(shop)
    log_bytes = {file.name: file.stat().st_size for file in (shop.folder / "data").glob("*-wal")}
    began = time.monotonic()
    shop.start(poll_s=0.001)
    ready = time.monotonic() - began
    status, state = first_order(shop, token, f"restart-{time.time()}-{number}")
    first = time.monotonic() - began
    open_now = moving(shop)
    while any(moving(shop)):
        if time.monotonic() - began > SETTLED_WITHIN_S:
            raise RuntimeError(f"not settled after {SETTLED_WITHIN_S} s: {moving(shop)}")
        time.sleep(0.02)
    settled = time.monotonic() - began
    print(f"{'files on disk only' if cold else 'files in memory'}: ready after {ready * 1000:.0f} ms, first order after {first * 1000:.0f} ms "
          f"({status}, {state}); then {open_now[0]} events, {open_now[1]} payments, {open_now[2]} callbacks were open, all settled after "
          f"{settled:.1f} s; logs of {sum(log_bytes.values()) / 2**20:.1f} MiB read; PSS {pss_kib(shop.process.pid) / 1024:.0f} MiB", flush=True)
    return ready, first, settled


def bench_restart(_, options):
    shop, tokens = grown(PRODUCTS, options.million, PORT + 80, "settled")
    try:
        api, times = Api(shop.port), {False: [], True: []}
        for number in range(2 * options.rounds):
            token = shop.login(api, "bench-0@example.com")
            kill_under_load(shop, tokens)
            times[number % 2 == 1].append(restart(shop, token, number % 2 == 1, number))
            api = Api(shop.port)
        rows = shop.orders()
        print(f"{sum(rows.values())} orders: " + ", ".join(f"{count} {status}" for status, count in sorted(rows.items())))
        good = True
        for cold, found in times.items():
            where = "on disk only" if cold else "in memory"
            for which, (what, most) in enumerate((("ready", READY_MS), ("first order", FIRST_ORDER_MS))):
                middle = statistics.median(one[which] for one in found) * 1000
                good = good and middle <= most
                print(f"restart, files {where}, {what}: {middle:.0f} ms, at most {most}: {'holds' if middle <= most else 'MISSED'}")
        left = set(rows) - {"confirmed", "rejected", "reserved", "cancelled"}
        if left:
            raise RuntimeError(f"not settled: {rows}")
        return good
    finally:
        shop.stop()
