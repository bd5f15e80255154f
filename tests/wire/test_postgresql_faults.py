"""The whole shop on PostgreSQL under load, while the server, the connections and the shop itself are ended again and again. Then
its books are checked, per order, against what clients were told. SEED=n plays a schedule again."""

import concurrent.futures
import signal
import time

import pytest
from books import check_books, read_books_of_postgresql
from conftest import WHOLE
from rush import Run
from shop import Shop, accepted, seeded, until
from tcp_proxy import Proxy

ROUNDS = 8 if WHOLE else 2
CLIENTS = 8


class PostgresRun(Run):
    """A shop on databases of its own; `port` is where it finds the server."""

    def __init__(self, place, server, prefix, port=None, **settings):
        self.server, self.prefix = server, prefix
        urls = server.prepare(prefix, password="an 'odd' p@ss:word/")
        if port:
            urls = {name: url.replace(f":{server.port}/", f":{port}/") for name, url in urls.items()}
        direct = Shop(place / "migrate", **urls)
        direct.dukactl("migrate")
        super().__init__(place, seeded(), clients=CLIENTS, seconds_max=240, **urls, **settings)
        self.urls = urls

    def check(self, tell, what):
        """Settles, and holds the books against what was told."""
        self.settle()
        for service in ("orders", "products"):  # the metrics tell of one replica only
            until(lambda: not self.server.rows("outbox", f"duka_{self.prefix}{service}"), 30, "all events to be sent")
        books = read_books_of_postgresql(self.server, self.prefix)
        told = self.told()
        answers = [one.answers[0][0] for one in told]
        tell(f"{what}: {len(told)} orders told: " + ", ".join(f"{answers.count(code)} × {code}" for code in (201, 202, 402, 409)))
        faults = check_books(told, books, self.adjusted())
        assert faults == [], f"{len(faults)} faults, the first:\n" + "\n".join(faults[:20])
        assert answers.count(201) > 0
        for replica in self.replicas:
            broken = [line for line in replica.log().splitlines() if "panic" in line]
            assert not broken, broken[:5]


class ServerEnds(PostgresRun):
    """The server is restarted, and killed with all its processes."""

    turn = 0

    def hit(self):
        self.live(1.0)
        self.turn += 1
        if self.turn % 2:
            self.server.stop(signal.SIGINT)
        else:
            self.server.crash()
        time.sleep(self.random.choice([0.0, 0.5, 1.5]))
        self.probe(503)
        self.server.start()
        self.probe(200)

    def probe(self, status):
        """Away is not ready, and back is ready again, with no request of anybody's in between."""
        until(lambda: self.shop.http.get(self.shop.ops + "/readyz").status_code == status, 20, f"/readyz to say {status}")
        told = self.shop.http.get(self.shop.ops + "/readyz").json()
        assert told["ready"] == (status == 200) or told["not_ready"], told


def test_the_server_is_restarted_and_crashes_under_load(postgres, tmp_path, tell):
    run = ServerEnds(tmp_path, postgres, "ends_")
    try:
        run.play(ROUNDS, type(run).hit)
        run.check(tell, f"{ROUNDS} restarts and crashes of PostgreSQL")
    finally:
        run.shop.kill()


class CommitsCut(PostgresRun):
    """Connections are cut before COMMIT reached the server, and after it was done and before its answer came back."""

    def hit(self):
        for how in ("before", "after"):
            self.live(self.random.uniform(0.02, 0.1))
            self.proxy.cut(how, b"commit\0")
            until(lambda: self.proxy.plan is None, 10, f"a commit to be cut {how}")
        if self.random.random() < 0.2:
            self.proxy.cut_all()


def test_connections_are_cut_around_commit(postgres, tmp_path, tell):
    proxy = Proxy(postgres.port)
    CommitsCut.proxy = proxy
    run = CommitsCut(tmp_path, postgres, "cut_", port=proxy.port)
    try:
        run.play(ROUNDS * 8, type(run).hit)
        assert min(proxy.cuts.values()) >= ROUNDS * 8
        run.check(tell, f"commits cut: {proxy.cuts['before']} before they were sent, {proxy.cuts['after']} after")
    finally:
        run.shop.kill()
        proxy.close()


class ShopKilled(PostgresRun):
    def hit(self):
        self.live(self.random.uniform(0.2, 1.0))
        self.up.clear()
        self.shop.kill()
        self.shop.start()
        self.up.set()


@pytest.mark.whole
def test_the_shop_is_killed_under_load(postgres, tmp_path, tell):
    run = ShopKilled(tmp_path, postgres, "killed_")
    try:
        run.play(ROUNDS * 2, type(run).hit)
        run.check(tell, f"{ROUNDS * 2} kills of the shop")
    finally:
        run.shop.kill()


class Replicas(PostgresRun):
    """Two shops on the same databases; now one, now the other is killed, or stopped for longer than its leases last."""

    turn = 0

    def hit(self):
        self.live(1.0)
        self.turn += 1
        victim = self.replicas[self.turn % 2]
        if self.turn % 3 == 1:
            victim.process.send_signal(signal.SIGSTOP)
            time.sleep(6.5)
            victim.process.send_signal(signal.SIGCONT)
        else:
            victim.kill()
            time.sleep(0.2)
            victim.start()


def test_two_replicas_share_the_databases(postgres, tmp_path, tell):
    run = Replicas(tmp_path, postgres, "two_")
    other = Shop(tmp_path / "other", **{**run.shop.settings, "KEYS_DIR": str(run.shop.data / "keys")})
    try:
        run.replicas.append(other.start())
        run.play(ROUNDS, type(run).hit)
        run.check(tell, f"two replicas, {ROUNDS} times one was killed or held up")
    finally:
        run.shop.kill()
        other.kill()


class Grow(PostgresRun):
    """One shop becomes four on the same databases and the same broker, and one again; in between, whoever relays is stopped for
    longer than its lease lasts."""

    def hit(self):
        self.live(1.0)
        for another in self.others:
            self.replicas.append(another.start())
            self.live(2.0)
        for victim in self.replicas[:2]:
            victim.process.send_signal(signal.SIGSTOP)
            time.sleep(6.5)
            victim.process.send_signal(signal.SIGCONT)
            self.live(1.0)
        for leaving in self.others:
            self.replicas.remove(leaving)
            assert leaving.stop() == 0
            self.live(1.0)


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["Rabbitmq", "Kafka", "Elasticmq", "Moto"])
def test_one_replica_becomes_four_and_one_again_on_a_broker(kind, running, postgres, tmp_path, tell):
    broker = running.get(kind)
    given = broker.settings()
    run = Grow(tmp_path, postgres, f"grow_{kind.lower()}_", **given)
    shared = {**run.shop.settings, "KEYS_DIR": str(run.shop.data / "keys")}
    run.others = [Shop(tmp_path / f"other{number}", **shared) for number in range(3)]
    try:
        run.play(1, type(run).hit)
        run.check(tell, f"{kind}: one replica, four, and one again")
    finally:
        run.shop.kill()
        for other in run.others:
            other.kill()
        broker.forget(given["BUS_PREFIX"])


# What another replica does that applies a parcel's event: it has the rows, waits until somebody waits for them, and commits.
OTHER_REPLICA = """
begin;
select 1 from inbox_heads where topic = 'orders.v1' and key = '{order}' for update;
select 1 from stock where sku = '{sku}' for update;
do $$ begin
    for i in 1..1000 loop
        exit when exists (select 1 from pg_locks where not granted);
        perform pg_sleep(0.01);
    end loop;
end $$;
update inbox_heads set number = number + 1 where topic = 'orders.v1' and key = '{order}';
update holds set shipped = quantity where order_id = '{order}';
update stock set on_hand = on_hand - 3, reserved = reserved - 3 where sku = '{sku}';
commit;
"""


def test_an_event_that_another_replica_applies_meanwhile_is_no_dead_letter(postgres, tmp_path):
    """Were its head read before, its rows after the other's commit, it would look as if nothing were left to ship."""
    prefix = "meanwhile_"
    settings = postgres.prepare(prefix, password="a password")
    Shop(tmp_path / "migrate", **settings).dukactl("migrate")

    def waiting(service, table):
        return postgres.rows(f"(select count(*) from {table})", f"duka_{prefix}{service}")[0]["count"]

    with Shop(tmp_path / "data", **settings) as shop, concurrent.futures.ThreadPoolExecutor(1) as pool:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=5)
        order = accepted(customer.place([(sku, 3)]), 201)
        customer.order_becomes(order["id"], payment_status="captured")
        until(lambda: waiting("orders", "outbox") == 0, 30, "all events of the order to be heard")
        other = pool.submit(postgres.psql, OTHER_REPLICA.format(sku=sku, order=order["id"]), f"duka_{prefix}products")
        until(lambda: waiting("products", "pg_locks where mode = 'RowShareLock' and relation = 'stock'::regclass"), 10, "its lock")
        accepted(shop.staff.fulfil(order["id"]))
        other.result()
        until(lambda: waiting("orders", "outbox") == 0, 30, "the event to be heard")
        assert waiting("products", "dead_letters") == 0 and shop.staff.levels(sku) == (2, 0, 2), shop.log_tail()
    postgres.forget(prefix)
