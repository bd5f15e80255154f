"""What dukactl bus setup makes at a broker, and an account that may use it and make nothing."""

import os
import subprocess

import pytest
from shop import Shop, accepted, free_port

DUKACTL = os.environ.get("DUKACTL_BIN", "build/asan/src/apps/dukactl")
SERVICES = "orders hears products.v1 users.v1\nproducts hears orders.v1\nusers hears orders-news.v1\n"


def set_up(settings):
    """dukactl bus setup; gives its exit code and what it said."""
    done = subprocess.run(
        [DUKACTL, "bus", "setup"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


# ---- dukactl bus setup ----


def queues_of(broker, prefix):
    """What there is at the broker of a shop with that prefix."""
    kind = type(broker).__name__
    if kind == "Rabbitmq":
        return [name for name in broker.ctl("-q", "list_queues", "name").split() if name.startswith(prefix)]
    if kind == "Kafka":
        topics = broker.admin().list_topics(timeout=10).topics
        return [
            f"{name}.{part}" for name in topics if name.startswith(prefix) for part in topics[name].partitions
        ]
    return broker.client().list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])


def test_setup_makes_what_all_services_need_and_again_is_nothing(broker):
    settings = broker.settings()
    wanted = {"Rabbitmq": 3 * 16, "Kafka": 4 * 16, "Elasticmq": 3, "Moto": 3}[type(broker).__name__]
    assert queues_of(broker, settings["BUS_PREFIX"]) == []
    for _ in range(2):
        assert set_up(settings) == (0, SERVICES, "")
        assert len(queues_of(broker, settings["BUS_PREFIX"])) == wanted
    broker.forget(settings["BUS_PREFIX"])


@pytest.mark.parametrize("bus", ["local:", ""])
def test_a_bus_without_a_broker_needs_none(bus):
    assert set_up({"BUS_URL": bus} if bus else {}) == (0, "local: needs no set-up\n", "")


@pytest.mark.parametrize("scheme", ["amqp", "kafka", "sqs"])
def test_a_broker_that_is_away_is_told_with_its_address(scheme):
    port = free_port()
    tail = "/?region=x&plain=true" if scheme == "sqs" else ""
    code, out, error = set_up(
        {"BUS_URL": f"{scheme}://127.0.0.1:{port}{tail}", "BUS_USER": "u", "BUS_PASSWORD": "secret-word"}
    )
    assert (code, out) == (1, "")
    assert "bus.unavailable" in error and f"127.0.0.1:{port}" in error and "secret-word" not in error


@pytest.mark.parametrize(
    "url, wanted", [("nats://h", "kafka(s)://"), ("kafka://", "kafka://host:9092"), ("sqs://h/", "region")]
)
def test_a_wrong_url_is_told_with_what_is_allowed(url, wanted):
    code, out, error = set_up({"BUS_URL": url})
    assert (code, out) == (1, "") and "BUS_URL" in error and wanted in error, error


# ---- an account that may use what is there, and make nothing ----


def place_an_order(settings, place):
    with Shop(place, **settings) as shop:
        accepted(shop.customer().place(shop.staff.new_sku()), 201)


def test_an_account_that_may_make_nothing_sells_once_rabbitmq_is_set_up(running, tmp_path):
    broker = running.get("Rabbitmq")
    settings = broker.settings()
    prefix = settings["BUS_PREFIX"]
    broker.account(prefix, "word", "^$", rf"^{prefix}\.\w+\.v1$", rf"^{prefix}\.duka\.")
    modest = {**settings, "BUS_USER": prefix, "BUS_PASSWORD": "word"}

    code, _, error = set_up(modest)
    assert code == 1 and "dukactl bus setup" in error and "bus.refused" in error, error
    assert set_up(settings)[0] == 0
    assert set_up(modest) == (0, SERVICES, "")
    place_an_order(modest, tmp_path / "data")
    broker.forget(prefix)
