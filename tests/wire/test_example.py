"""The example of docs/examples reads orders.v1 from each broker with nothing of ours but the
contracts."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from brokers import Sqs
from shop import ROOT, Shop, accepted, until


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """The contracts, compiled for Python as the README beside the example says."""
    place = tmp_path_factory.mktemp("gen")
    site = next(path for path in map(pathlib.Path, sys.path) if (path / "google/api").is_dir())
    contracts = ROOT / "contracts"
    files = [*contracts.glob("duka/*.proto"), contracts / "orders/v1/orders.proto"]
    subprocess.run(
        ["protoc", "-I", contracts, "-I", site, f"--python_out={place}", *files], check=True
    )
    return place


class Example:
    """The example, running; what it printed so far."""

    def __init__(self, place, messages, settings):
        self.path = place / "example.out"
        words = {
            "PYTHONPATH": str(messages),
            "BUS_PREFIX": settings["BUS_PREFIX"],
            "AWS_ACCESS_KEY_ID": settings.get("BUS_USER", "x"),
            "AWS_SECRET_ACCESS_KEY": settings.get("BUS_PASSWORD", "x"),
        }
        with open(self.path, "wb") as out, open(place / "example.err", "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "docs/examples/consume.py", settings["BUS_URL"]],
                env={**os.environ, **words},
                stdout=out,
                stderr=errors,
            )

    def events(self):
        assert self.process.poll() is None, self.path.with_suffix(".err").read_text()
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def close(self):
        self.process.kill()
        self.process.wait()


def test_the_example_reads_what_happens_to_an_order(broker, tmp_path, messages):
    settings = broker.settings()
    early = type(broker).__name__ != "Kafka"  # a queue hears what comes after it was made
    example = Example(tmp_path, messages, settings) if early else None
    try:
        if early:
            until(lambda: is_there(broker, settings["BUS_PREFIX"]), 30, "the example's queue")
        with Shop(tmp_path / "data", **settings) as shop:
            order = accepted(shop.customer().place(shop.staff.new_sku()), 201)
            example = example or Example(tmp_path, messages, settings)
            wanted = {"orders.v1.OrderPlaced", "orders.v1.OrderConfirmed"}
            until(lambda: {event["type"] for event in example.events()} >= wanted, 30, "the events")
            events = example.events()
    finally:
        if example:
            example.close()
        broker.forget(settings["BUS_PREFIX"])
    assert [event["data"]["order_id"] for event in events] == [order["id"]] * len(events)
    assert [event["data"]["number"] for event in events] == [
        str(number) for number in range(1, len(events) + 1)
    ]
    assert len({event["id"] for event in events}) == len(events)


def is_there(broker, prefix):
    """The example has made its queue."""
    if isinstance(broker, Sqs):
        return broker.client().list_queues(QueueNamePrefix=prefix).get("QueueUrls")
    import pika

    connection = broker.connect()
    try:
        connection.channel().queue_declare(f"{prefix}.example", passive=True)
        return True
    except pika.exceptions.ChannelClosedByBroker:
        return False
    finally:
        connection.close()
