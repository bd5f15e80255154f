"""The door that neighbours push events to: who may, from where, and what becomes of an event that was
pushed while its consumer was killed."""

import hashlib
import hmac
import time
import uuid

import httpx
import pytest
from shop import Shop, accepted, refused, until

PATH = "/internal/events/products"


@pytest.fixture
def direct(running):
    return running.get("Direct")


def event(secret, body=b"\xff\xff no protobuf", path=PATH, at=None):
    """An event as a neighbour sends it, by hand: its headers and its body."""
    attributes = {
        "topic": "orders.v1",
        "id": str(uuid.uuid4()),
        "source": "/orders",
        "specversion": "1.0",
        "type": "orders.v1.OrderPlaced",
        "subject": str(uuid.uuid4()),
        "number": "1",
        "length": str(len(body)),
    }
    seconds = int(at or time.time())
    text = "".join(f"{name}:{value}\n" for name, value in attributes.items()).encode() + b"\n" + body
    mac = hmac.new(secret.encode(), f"{seconds}\n{path}\n".encode() + text, hashlib.sha256).hexdigest()
    return {"duka-signature": f"t={seconds},v1={mac}"}, text


def push(base, secret, **how):
    headers, body = event(secret, **how)
    return httpx.post(base + PATH, headers=headers, content=body, timeout=30)


def test_an_event_is_taken_from_a_neighbour_only_and_never_through_the_gateway(direct, tmp_path):
    shop = Shop(tmp_path / "data", **direct.settings()).start()
    try:
        door = f"http://127.0.0.1:{direct.doors['products']}"
        dead = "select count(*) from dead_letters"
        refused(push(shop.url, direct.SECRET), 404, "route.unknown")
        assert push(door, "a secret that somebody has guessed").status_code == 401
        assert push(door, direct.SECRET, at=time.time() - 3600).status_code == 401
        headers, _ = event(direct.SECRET)
        assert httpx.post(door + PATH, headers=headers, content=b"other").status_code == 401
        assert shop.rows("products", dead) == [(0,)]

        assert push(door, direct.SECRET).status_code == 204, "it lies among the dead letters now"
        assert shop.rows("products", dead) == [(1,)]
        accepted(shop.customer().place(shop.staff.new_sku()), 201)
    finally:
        shop.kill()


def test_what_a_killed_consumer_did_not_take_comes_when_it_is_back(direct, tmp_path):
    settings = direct.settings()
    shop = Shop(tmp_path / "data", **settings).start()
    try:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=50)
        accepted(customer.place(sku), 201)
        direct.away()
        orders = [accepted(customer.place(sku, wait=0), 202)["id"] for _ in range(5)]
        shop.kill()
        direct.back()
        shop.start()
        for order in orders:
            customer.order_becomes(order, 60, status="confirmed")
        until(lambda: shop.staff.levels(sku) == (50, 6, 44), what="a hold for each order")
        until(lambda: shop.rows("orders", "select count(*) from outbox") == [(0,)], what="nothing unsent")
    finally:
        shop.kill()


def test_services_apart_need_no_broker_and_one_that_was_killed_hears_all_when_it_is_back(tmp_path):
    shop = Shop(tmp_path / "data", apart=True, BUS_PASSWORD="what all services of a test sign with")
    where = "&".join(f"{name}=http://{shop.instances[name]}" for name in ("users", "products", "orders"))
    shop.settings["BUS_URL"] = f"direct:?{where}"
    with shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=50)
        order = accepted(customer.place([(sku, 2)]), 201)
        accepted(shop.staff.fulfil(order["id"]))
        until(lambda: shop.staff.levels(sku) == (48, 0, 48), 10, "the goods have left the shelf")

        shop.kill_service("products")
        orders = [accepted(customer.place(sku, wait=0), 202)["id"] for _ in range(5)]
        shop.start_service("products")
        for order in orders:
            customer.order_becomes(order, 60, status="confirmed")
        until(lambda: shop.staff.levels(sku) == (48, 5, 43), 10, "a hold for each order")
