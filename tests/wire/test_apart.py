"""The services as programs of their own: everything that holds in one process holds here."""

import collections
import os
import pathlib
import subprocess
import sys
import threading

import postgresql
import pytest
from books import check_books, read_books, read_books_of_postgresql
from conftest import WHOLE
from rush import Run
from shop import ROOT, Shop, accepted, seeded, told, until
from suite import run_suite

KILLS = 20 if WHOLE else 3

# They bring their own programs, apart or not, wherever they run.
OF_THEMSELVES = ["test_apart.py", "test_discovery.py", "test_make_postgresql.py", "test_mutual_tls.py", "test_printed_lines.py"]

# What reads the files of SQLite, or floods more than its readers take (as in scripts/lib/stages.py).
NOT_FOR_POSTGRESQL = ["test_dukactl.py", "test_http2.py", "test_install.py", "test_retention.py"]

# Every topology of the README, on a whole run; RabbitMQ on either store in a bounded one.
BROKERS = ["Rabbitmq", *(pytest.param(kind, marks=pytest.mark.whole) for kind in ("Kafka", "Elasticmq", "Moto"))]


@pytest.fixture(params=BROKERS)
def broker(request, running):
    return running.get(request.param)


def test_an_order_goes_through_four_programs_and_a_broker(broker, tmp_path):
    settings = broker.settings()
    with Shop(tmp_path / "data", apart=True, **settings) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=2)
        order = accepted(customer.place([(sku, 2)]), 201)
        assert order["status"] == "confirmed" and shop.staff.levels(sku) == (2, 2, 0)
        refused = customer.place(sku)
        assert refused.status_code == 409 and refused.json()["code"] == "stock.insufficient"
        accepted(shop.staff.fulfil(order["id"]))
        assert customer.timeline(order["id"])[-1] == "completed"
        until(lambda: shop.staff.levels(sku) == (0, 0, 0), 10, "the goods have left the shelf")
    broker.forget(settings["BUS_PREFIX"])


def held(run, tell, what):
    faults = check_books(run.told(), run.books, run.adjusted())
    assert faults == [], f"{len(faults)} faults, the first:\n" + "\n".join(faults[:20])
    answers = [told.answers[0][0] for told in run.told()]
    assert answers.count(201) > 0 and answers.count(201) + answers.count(202) >= 10, "clients were at work"
    tell(f"{what}: {KILLS} kills of one program, {len(answers)} orders told")


def test_the_books_hold_when_any_program_is_killed_under_load(broker, tmp_path, tell):
    settings = broker.settings(apart=True)
    run = Run(tmp_path, seeded(), clients=8, **settings)
    try:
        run.play(KILLS, Run.crash_one)
        run.settle()
        run.shop.kill()
        run.books = read_books(run.shop.data, tmp_path / "copy")
    finally:
        run.shop.kill()
        broker.forget(settings["BUS_PREFIX"])
    held(run, tell, f"apart on SQLite and {type(broker).__name__}")


def test_the_books_hold_when_replicas_are_killed_under_load_on_postgresql(broker, postgres, tmp_path, tell):
    """Two of each service; any of them, or the gateway, is killed at any moment."""
    prefix = "apart_" + type(broker).__name__.lower() + "_"
    settings = {**postgres.prepare(prefix, password="a password"), **broker.settings(apart=True, replicas=2)}
    Shop(tmp_path / "migrate", **{k: v for k, v in settings.items() if k.startswith("DATABASE")}).dukactl("migrate")
    run = Run(tmp_path, seeded(), clients=8, seconds_max=240, **settings)
    try:
        run.play(KILLS, Run.crash_one)
        run.settle()
        run.books = read_books_of_postgresql(postgres, prefix)
    finally:
        run.shop.kill()
        broker.forget(settings["BUS_PREFIX"])
        postgres.forget(prefix)
    held(run, tell, f"apart, two replicas of each, on PostgreSQL and {type(broker).__name__}")


@pytest.mark.whole
@pytest.mark.parametrize("store", ["SQLite", "PostgreSQL"])
@pytest.mark.parametrize("kind", ["Direct", "Rabbitmq", "Kafka", "Elasticmq", "Moto"])
def test_the_e2e_suite_passes_with_the_services_apart(running, kind, store, tell):
    """Every topology of programs apart: each bus, on either store. Without a broker each shop has doors of its own."""
    environment, words, left_out = {"SHOP_APART": "1"}, [], OF_THEMSELVES
    if kind != "Direct":
        given = running.get(kind).settings()
        names = {"BUS_URL": "SHOP_BUS_URL", "BUS_USER": "SHOP_BUS_USER", "BUS_PASSWORD": "SHOP_BUS_PASSWORD"}
        environment.update({names[name]: value for name, value in given.items() if name in names})
    if store == "PostgreSQL":
        if why := postgresql.missing():
            pytest.skip(why)
        words = [sys.executable, f"{ROOT}/tests/lib/postgresql.py"]
        left_out = OF_THEMSELVES + NOT_FOR_POSTGRESQL
    tell(f"e2e apart, {store}, {kind}: {run_suite(f'apart.{store}.{kind}', environment, words, left_out)}")


def older():
    """The programs of an earlier commit, which scripts/older builds once (DUKA_OLDER_APPS: that were built already)."""
    if given := os.environ.get("DUKA_OLDER_APPS"):
        return pathlib.Path(given)
    done = subprocess.run([f"{ROOT}/scripts/older"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"there is no earlier version: {done.stderr.strip()[-400:]}")
    return pathlib.Path(done.stdout.strip())


@pytest.mark.parametrize("before", ["the same", pytest.param("an older", marks=pytest.mark.whole)])
def test_a_rolling_change_under_load_loses_no_request(before, running, postgres, tmp_path, tell):
    """Each replica in turn is asked to end and another takes its place, as a rolling update does; nobody hears of it. From an older
    version to this one and back again: each reads what the other has written and announced."""
    broker, prefix = running.get("Rabbitmq"), f"rolling_{before[-4:]}_"
    old = older() if before == "an older" else None
    settings = {**postgres.prepare(prefix, password="a password"), **broker.settings(DRAIN_TIME="300ms", WORKERS=8)}
    Shop(tmp_path / "migrate", **{k: v for k, v in settings.items() if k.startswith("DATABASE")}).dukactl("migrate")
    answers, surprises, stopping = collections.Counter(), [], threading.Event()

    def shopper(person, sku):
        while not stopping.is_set():
            for kind, answer in (
                ("order", person.place(sku, wait=5)),
                ("history", person.get("/orders")),
                ("catalog", person.get("/products?limit=3")),
                ("account", person.get("/users/me")),
            ):
                answers[kind, answer.status_code] += 1
                if answer.status_code >= 400:
                    surprises.append(told(answer))

    def roll(shop, apps):
        shop.apps = apps
        for name in shop.instances:
            shop.stop_service(name)
            shop.start_service(name)

    def waits(service, table):
        return postgres.rows(f"(select count(*) from {table})", f"duka_{prefix}{service}")[0]["count"]

    shop = Shop(tmp_path / "data", apart=True, replicas=2, **settings)
    shop.apps = old
    with shop:
        if old:  # its gateway left a replica alone for seconds after it was back: what is asked here is of services
            shop.apps = None
            shop.restart_gateway()
        people = [(shop.customer(), shop.staff.new_sku(on_hand=100000)) for _ in range(4)]
        threads = [threading.Thread(target=shopper, args=one) for one in people]
        for thread in threads:
            thread.start()
        roll(shop, None)
        if old:
            roll(shop, old)
        stopping.set()
        for thread in threads:
            thread.join(60)
        for service in ("products", "orders"):
            until(lambda: waits(service, "outbox") == 0, 60, f"an empty outbox of {service}")
            assert waits(service, "dead_letters") == 0, shop.log_tail()
        for person, _ in people:
            until(lambda: {o["status"] for o in accepted(person.get("/orders"))["items"]} == {"confirmed"}, 60, "settled")
    broker.forget(settings["BUS_PREFIX"])
    postgres.forget(prefix)
    tell(f"rolled {len(shop.instances)} programs from {before} version under "
         + ", ".join(f"{n} {k} → {c}" for (k, c), n in sorted(answers.items())))
    assert sum(answers.values()) > 40, "they were at work"
    lost = {what: count for what, count in answers.items() if what[1] not in (200, 201, 202)}
    assert not lost, (lost, surprises)
