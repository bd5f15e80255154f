"""Two shops on the same databases: an order that one has taken and the other settles is told at once, by a hint over NOTIFY; and where
hints are lost, by the look that each takes once a second."""

import re
import statistics
import threading
import time

import httpx
import pytest
from shop import Shop, until

LOOK_S = 1.0  # LOOK_US of timers.c: how often a waiting call looks by itself
ORDERS = 12
LISTENERS = "from pg_stat_activity where application_name = 'duka listens'"


def hints_heard(shop):
    text = httpx.get(shop.ops + "/metrics", trust_env=False).text
    return int(re.search(r'^duka_hints_heard_total\{service="orders"\} (\d+)', text, re.M).group(1))


@pytest.fixture
def pair(postgres, tmp_path):
    """The first holds the leases, so that its relay sends all events, to itself; the second only takes orders."""
    prefix = "wake_" + tmp_path.name[-6:].replace("-", "_").lower() + "_"
    urls = postgres.prepare(prefix, password="secret")
    Shop(tmp_path / "migrate", apart=False, **urls).dukactl("migrate")
    first = Shop(tmp_path / "first", apart=False, **urls).start()
    second = Shop(tmp_path / "second", apart=False, KEYS_DIR=first.data / "keys", **urls)
    try:
        until(lambda: len(leases(postgres, prefix)) == 3, 20, "the first to hold all leases")
        second.start()
        yield first, second
    finally:
        first.kill()
        second.kill()
        postgres.forget(prefix)


def leases(postgres, prefix):
    return [row for name in ("users", "products", "orders") for row in postgres.rows("leases", f"duka_{prefix}{name}")]


def place(shop, buyer, sku):
    """How long the answer took, in seconds."""
    began = time.monotonic()
    answer = buyer.place(sku, wait=10)
    assert answer.status_code == 201, answer.text
    return time.monotonic() - began


def ready_pair(pair):
    first, second = pair
    sku = first.staff.new_sku(on_hand=1000)
    buyer = second.customer()
    until(lambda: place(second, buyer, sku) < 9, 30, "orders to go through")
    return second, buyer, sku


def test_an_order_that_the_other_replica_settles_is_told_well_before_the_next_look(pair, tell):
    shop, buyer, sku = ready_pair(pair)
    before = hints_heard(shop)
    times = sorted(place(shop, buyer, sku) for _ in range(ORDERS))
    assert hints_heard(shop) >= before + ORDERS
    tell(f"settled by the other replica, told after {statistics.median(times) * 1000:.0f} ms (median), {times[-1] * 1000:.0f} ms (longest)")
    assert statistics.median(times) < LOOK_S / 2


def test_where_the_hints_are_lost_orders_settle_by_looking(pair, postgres, tell):
    shop, buyer, sku = ready_pair(pair)
    over = threading.Event()

    def keep_killing():
        while not over.is_set():
            postgres.psql(f"select pg_terminate_backend(pid) {LISTENERS}")

    killing = threading.Thread(target=keep_killing)
    killing.start()
    try:
        times = sorted(place(shop, buyer, sku) for _ in range(4))
    finally:
        over.set()
        killing.join()
    tell(f"with the listening connections killed again and again: {times[0]:.2f} to {times[-1]:.2f} s")
    assert times[-1] < 5 * LOOK_S
    until(lambda: int(postgres.psql(f"select count(*) {LISTENERS}")) >= 6, 20, "all to listen again")
    before = hints_heard(shop)
    assert min(place(shop, buyer, sku) for _ in range(4)) < LOOK_S
    assert hints_heard(shop) > before


def test_a_product_that_the_other_replica_has_changed_is_not_shown_from_memory_for_long(pair):
    first, second = pair
    product = first.staff.create_product()
    anyone, path = second.anonymous(), f"/products/{product['id']}"
    assert anyone.get(path).json()["title"] == product["title"]
    tag = first.staff.get(path).headers["etag"]
    changed = first.staff.patch(path, json={"title": "Another"}, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    until(lambda: anyone.get(path).json()["title"] == "Another", 5 * LOOK_S, "the other's change")
