"""Events that come twice, late, or cannot be read: each has its effect once, or lies among the dead
letters; the others go on."""

import re
import uuid

import pytest
from shop import Shop, accepted, until


# Bounded, one broker stands for the others.
WHOLE = [pytest.param(kind, marks=pytest.mark.whole) for kind in ("Kafka", "Elasticmq", "Moto")]


@pytest.fixture(params=["Rabbitmq", *WHOLE])
def broker(request, running):
    return running.get(request.param)


def told(shop, metric, **labels):
    """The sum of a metric's samples that have these labels."""
    text = shop.http.get(shop.ops + "/metrics").text
    total = 0
    for found, value in re.findall(rf"^{metric}\{{(.*)\}} (\d+)$", text, re.M):
        if all(f'{name}="{wanted}"' in found for name, wanted in labels.items()):
            total += int(value)
    return total


def test_what_is_delivered_twice_and_late_has_its_effect_once(broker, tmp_path):
    settings = broker.settings()
    with Shop(tmp_path / "data", **settings) as shop:
        again = broker.overhear(settings["BUS_PREFIX"], "orders.v1")
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=50)
        orders = [accepted(customer.place([(sku, 2)]), 201)["id"] for _ in range(5)]
        accepted(customer.cancel(orders[0]))
        customer.order_becomes(orders[0], status="cancelled")
        until(lambda: shop.staff.levels(sku) == (50, 8, 42), what="the holds of four orders")

        before = told(shop, "duka_reactions_total", service="products", outcome="repeated")
        count = again()
        assert count >= 10
        until(
            lambda: told(shop, "duka_reactions_total", service="products", outcome="repeated")
            >= before + count,
            30,
            "all repeats to be seen",
        )
        assert shop.staff.levels(sku) == (50, 8, 42)
        assert told(shop, "duka_dead_letters_total") == 0
        accepted(customer.place(sku), 201)
    broker.forget(settings["BUS_PREFIX"])


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_others_go_on(broker, tmp_path):
    settings = broker.settings()
    shop = Shop(tmp_path / "data", **settings).start()
    try:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=50)
        accepted(customer.place(sku), 201)
        whole = {
            "id": str(uuid.uuid4()),
            "source": "/orders",
            "specversion": "1.0",
            "type": "orders.v1.OrderPlaced",
            "subject": str(uuid.uuid4()),
            "number": "1",
        }
        broken = [
            ({}, b"no CloudEvent at all"),
            ({**whole, "id": "7"}, b""),
            ({**whole, "specversion": "0.3"}, b""),
            (whole, b"\xff\xff\xff no protobuf"),
        ]
        for headers, body in broken:
            broker.inject(settings["BUS_PREFIX"], "orders.v1", headers, body)
        until(
            lambda: told(shop, "duka_dead_letters_total", service="products") == len(broken),
            30,
            "four dead letters",
        )
        letters = [line.split() for line in shop.dukactl("dead-letters", "list").stdout.splitlines()]
        assert len(letters) == len(broken) and {letter[1] for letter in letters} == {"orders.v1"}
        shop.dukactl("dead-letters", "requeue", *letters[0][:3])  # tried again, and put aside again
        until(
            lambda: told(shop, "duka_dead_letters_total", service="products") > len(broken),
            30,
            "the first letter to be tried again",
        )
        for letter in letters:
            shop.dukactl("dead-letters", "skip", *letter[:4])
        listed = shop.dukactl("dead-letters", "list").stdout.splitlines()
        assert len(listed) == len(broken) and all(", skipped, " in line for line in listed), listed
        for _ in range(3):
            accepted(customer.place(sku), 201)
        assert shop.stop() == 0
        faults = [line for line in shop.faults() if '"event.dead"' not in line]
        assert not faults, faults[:5]
    finally:
        shop.kill()
        broker.forget(settings["BUS_PREFIX"])
