"""How an event lies at each broker: what others rely on who consume without anything of ours. The order of a key is kept by
its partition, routing key or group; the attributes of CloudEvents stand beside the payload."""

import uuid
import zlib

import pytest
from shop import Shop, accepted, until

SHARDS = 16


# Bounded, one broker stands for the others.
WHOLE = [pytest.param(kind, marks=pytest.mark.whole) for kind in ("Kafka", "Elasticmq", "Moto")]


@pytest.fixture(params=["Rabbitmq", *WHOLE])
def broker(request, running):
    return running.get(request.param)


def unit_of(broker, key):
    """What orders the events of a key there."""
    shard = zlib.crc32(key.encode()) % SHARDS
    return {"Kafka": shard, "Rabbitmq": f"{shard:02d}"}.get(type(broker).__name__, key)


def test_an_event_lies_there_in_the_unit_of_its_key_with_its_attributes(broker, tmp_path):
    settings, came = broker.settings(), []
    heard = broker.hear(settings["BUS_PREFIX"], "orders.v1")

    def confirmed():
        came.extend(heard())
        return [one for one in came if one.attributes.get("type") == "orders.v1.OrderConfirmed"]

    with Shop(tmp_path / "data", **settings) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=50)
        orders = [accepted(customer.place(sku), 201)["id"] for _ in range(6)]
        until(lambda: len({one.attributes["subject"] for one in confirmed()}) == 6, 60, "six confirmed orders")
    broker.forget(settings["BUS_PREFIX"])

    assert len({one.attributes["id"] for one in came}) == len(came), "each has an id of its own"
    for one in came:
        told = one.attributes
        assert uuid.UUID(told["id"]).version == 7 and told["specversion"] == "1.0" and told["source"] == "/orders"
        assert told["type"].startswith("orders.v1.") and told["time"].endswith("Z") and told["subject"] in orders
        assert one.headers["content-type"] == "application/protobuf" and 0 < len(one.body) <= 65536
        assert one.unit == unit_of(broker, told["subject"])
        assert one.key in (None, told["subject"]) and one.dedup in (None, told["id"])
    for order in orders:
        numbers = [int(one.attributes["number"]) for one in came if one.attributes["subject"] == order]
        assert numbers == list(range(1, len(numbers) + 1)), "in order, none is missing"
