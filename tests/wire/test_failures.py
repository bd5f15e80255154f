"""docs/failures.md, cell by cell: what a shop, in one process or apart, does while one thing that it needs is away, and that what waited
goes on once it is back."""

import contextlib

import pytest

import brokers
import postgresql
from shop import Shop, accepted, free_port, new_email, new_key, refused, until
from tcp_proxy import Proxy

SERVICES = ("users", "products", "orders")
PATIENCE = {"PAYMENT_TIMEOUT": "4s", "DATABASE_STATEMENT_TIMEOUT": "5s"}


class World:
    """A shop with people, a product and orders from before, and the thing that goes away."""

    def __init__(self, shop, away, back):
        self.shop, self.go_away, self.come_back = shop, away, back
        self.customer, self.staff = shop.customer(), shop.staff
        self.product = self.staff.create_product(on_hand=1000)
        self.sku = self.product["variants"][0]["sku"]
        self.key = new_key()
        self.order = accepted(self.customer.place(self.sku, key=self.key), 201)
        self.unpaid = accepted(self.customer.place(self.sku, provider="manual"), 201)
        self.email = new_email("known")
        body = {"email": self.email, "password": "correct horse battery", "name": "Known"}
        accepted(shop.anonymous().post("/users", json=body), 201)
        accepted(self.log_in())
        accepted(self.browse())
        accepted(self.show())

    def log_in(self):
        body = {"email": self.email, "password": "correct horse battery"}
        return self.shop.anonymous().post("/users/login", json=body)

    def browse(self):
        return self.shop.anonymous().get("/products", params={"limit": 5})

    def show(self):
        return self.shop.anonymous().get(f"/products/{self.product['id']}")

    def pay(self):
        total = self.unpaid["total"]
        return self.staff.record_payment(self.unpaid["id"], total["amount"], total["currency"])

    def waits(self, answer, status):
        """Not settled; confirmed once what was away is back."""
        order = accepted(answer, 202)
        assert order["status"] == status
        assert answer.headers["location"].endswith(order["id"])
        self.come_back()
        self.customer.order_becomes(order["id"], 60, status="confirmed")
        return order["id"]


def away(answer, code="db.unavailable"):
    """Refused for now."""
    refused(answer, 503, code)
    assert int(answer.headers["retry-after"]) > 0


@contextlib.contextmanager
def world(place, go_away, come_back, **settings):
    shop = Shop(place, **{**PATIENCE, **settings}).start()
    try:
        made = World(shop, go_away, come_back)
        go_away()
        yield made
        assert "panic" not in shop.log_path.read_text()
    finally:
        shop.kill()


# ---- The broker ----


@pytest.fixture(scope="module")
def without_broker(running, tmp_path_factory):
    broker = running.get("Rabbitmq")
    settings = broker.settings()
    state = {"away": False}

    def go():
        broker.away()
        state["away"] = True

    def back():
        if state["away"]:
            broker.back()
            state["away"] = False

    with world(tmp_path_factory.mktemp("broker") / "data", go, back, **settings) as made:
        yield made
    back()
    broker.forget(settings["BUS_PREFIX"])


def test_browse_without_the_broker(without_broker):
    accepted(without_broker.browse())


def test_log_in_without_the_broker(without_broker):
    accepted(without_broker.log_in())


def test_use_a_token_without_the_broker(without_broker):
    accepted(without_broker.customer.get("/users/me"))


def test_read_without_the_broker(without_broker):
    assert without_broker.customer.order(without_broker.order["id"])["status"] == "confirmed"


def test_pay_without_the_broker(without_broker):
    assert accepted(without_broker.pay())["status"] == "confirmed"


def test_place_without_the_broker(without_broker):
    """The last of them: it comes back."""
    without_broker.waits(without_broker.customer.place(without_broker.sku, wait=1), "placed")


# ---- A database ----


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    why = postgresql.missing()
    if why:
        pytest.skip(why)
    with postgresql.Server() as server:
        yield server


@contextlib.contextmanager
def without_database(server, service, place):
    urls = server.prepare(f"away_{service}_")
    direct = Shop(place / "migrate", **urls)
    direct.dukactl("migrate")
    proxy = Proxy(server.port)
    name = f"DATABASE_URL_{service.upper()}"
    urls[name] = urls[name].replace(f":{server.port}/", f":{proxy.port}/")
    try:
        with world(place / "data", proxy.away, proxy.back, **urls) as made:
            yield made
    finally:
        proxy.close()


@pytest.fixture(scope="module")
def without_users(databases, tmp_path_factory):
    with without_database(databases, "users", tmp_path_factory.mktemp("users")) as made:
        yield made


@pytest.fixture(scope="module")
def without_products(databases, tmp_path_factory):
    with without_database(databases, "products", tmp_path_factory.mktemp("products")) as made:
        yield made


@pytest.fixture(scope="module")
def without_orders(databases, tmp_path_factory):
    with without_database(databases, "orders", tmp_path_factory.mktemp("orders")) as made:
        yield made


def test_browse_without_users(without_users):
    accepted(without_users.browse())


def test_log_in_without_users(without_users):
    away(without_users.log_in())


def test_use_a_token_without_users(without_users):
    accepted(without_users.customer.get("/orders"))
    accepted(without_users.staff.get(f"/products/stock/{without_users.sku}"))


def test_place_without_users(without_users):
    assert accepted(without_users.customer.place(without_users.sku), 201)["status"] == "confirmed"


def test_read_without_users(without_users):
    without_users.customer.order(without_users.order["id"])


def test_pay_without_users(without_users):
    assert accepted(without_users.pay())["status"] == "confirmed"


def test_users_is_whole_again_once_its_database_is(without_users):
    without_users.come_back()
    until(lambda: without_users.log_in().status_code == 200, 30, "people to log in again")


def test_browse_without_products(without_products):
    """Lists are read anew each time; a product that was asked for before is in memory."""
    away(without_products.browse())
    accepted(without_products.show())
    accepted(without_products.show())


def test_log_in_without_products(without_products):
    accepted(without_products.log_in())


def test_use_a_token_without_products(without_products):
    accepted(without_products.customer.get("/users/me"))


def test_read_without_products(without_products):
    without_products.customer.order(without_products.order["id"])


def test_pay_without_products(without_products):
    assert accepted(without_products.pay())["status"] == "confirmed"


def test_place_without_products(without_products):
    """The last of them: it comes back."""
    without_products.waits(without_products.customer.place(without_products.sku, wait=1), "placed")
    accepted(without_products.browse())


def test_browse_without_orders(without_orders):
    accepted(without_orders.browse())


def test_log_in_without_orders(without_orders):
    accepted(without_orders.log_in())


def test_use_a_token_without_orders(without_orders):
    accepted(without_orders.customer.get("/users/me"))
    accepted(without_orders.staff.get(f"/products/stock/{without_orders.sku}"))


def test_place_without_orders(without_orders):
    away(without_orders.customer.place(without_orders.sku))


def test_read_without_orders(without_orders):
    away(without_orders.customer.get(f"/orders/{without_orders.order['id']}"))


def test_pay_without_orders(without_orders):
    away(without_orders.pay())


def test_orders_is_whole_again_once_its_database_is(without_orders):
    without_orders.come_back()
    until(lambda: without_orders.pay().status_code == 200, 30, "the payment to be taken")
    assert accepted(without_orders.customer.place(without_orders.sku), 201)["status"] == "confirmed"


# ---- Redis ----


@pytest.fixture(scope="module")
def without_redis(tmp_path_factory):
    place = tmp_path_factory.mktemp("redis")
    try:
        redis = brokers.Redis(place / "redis").start()
    except brokers.Missing as why:
        pytest.skip(str(why))
    try:
        with world(place / "data", redis.kill, redis.start, LIMITS_REDIS_URL=redis.url) as made:
            page = made.shop.ops + "/metrics"
            until(lambda: "duka_rate_limits_shared 0" in made.shop.http.get(page).text, 15, "it to be seen as away")
            yield made
    finally:
        redis.kill()


def test_browse_without_redis(without_redis):
    accepted(without_redis.browse())


def test_log_in_without_redis(without_redis):
    accepted(without_redis.log_in())


def test_use_a_token_without_redis(without_redis):
    accepted(without_redis.customer.get("/users/me"))


def test_place_without_redis(without_redis):
    assert accepted(without_redis.customer.place(without_redis.sku), 201)["status"] == "confirmed"


def test_read_without_redis(without_redis):
    without_redis.customer.order(without_redis.order["id"])


def test_pay_without_redis(without_redis):
    assert accepted(without_redis.pay())["status"] == "confirmed"


# ---- The payment provider ----


@pytest.fixture(scope="module")
def without_provider(tmp_path_factory):
    """An order is under way whose payment the provider does not answer; it will, when it is asked again."""
    with world(tmp_path_factory.mktemp("provider") / "data", lambda: None, lambda: None) as made:
        made.waiting = made.customer.place(made.sku, "timeout", wait=1)
        yield made


def test_browse_without_the_provider(without_provider):
    accepted(without_provider.browse())


def test_log_in_without_the_provider(without_provider):
    accepted(without_provider.log_in())


def test_use_a_token_without_the_provider(without_provider):
    accepted(without_provider.customer.get("/users/me"))


def test_read_without_the_provider(without_provider):
    without_provider.customer.order(without_provider.order["id"])


def test_pay_without_the_provider(without_provider):
    assert accepted(without_provider.pay())["status"] == "confirmed"


def test_place_without_the_provider(without_provider):
    order = without_provider.waits(without_provider.waiting, "reserved")
    assert "payment.unknown" in without_provider.customer.timeline(order)


# ---- One of two gateways ----


@pytest.fixture(scope="module")
def without_a_gateway(tmp_path_factory):
    """Two gateways before the same services; the one that people came by is killed, and they ask the other."""
    shop = Shop(tmp_path_factory.mktemp("gateway") / "data", apart=True, **PATIENCE).start()
    first, shop.process, other = shop.process, None, None
    try:
        door = f"127.0.0.1:{free_port()}"
        at = {"LISTEN_ADDR": door, "OPS_ADDR": f"127.0.0.1:{free_port()}", "DATA_DIR": str(shop.data / "other")}
        other = shop._launch("duka-gateway", {**shop.environment_of("gateway"), **at})
        shop._await_ready(other, "http://" + at["OPS_ADDR"], 30.0)
        made = World(shop, first.kill, lambda: None)
        made.go_away()
        first.wait()
        shop.url = made.customer.door = made.staff.door = "http://" + door
        yield made
        assert "panic" not in shop.log_path.read_text()
    finally:
        for gateway in (first, other):
            if gateway:
                gateway.kill()
                gateway.wait()
        shop.kill()


def test_browse_without_a_gateway(without_a_gateway):
    accepted(without_a_gateway.browse())


def test_log_in_without_a_gateway(without_a_gateway):
    accepted(without_a_gateway.log_in())


def test_use_a_token_without_a_gateway(without_a_gateway):
    """One that was made by way of the other."""
    accepted(without_a_gateway.customer.get("/users/me"))


def test_read_without_a_gateway(without_a_gateway):
    made = without_a_gateway
    assert made.customer.order(made.order["id"])["status"] == "confirmed"


def test_pay_without_a_gateway(without_a_gateway):
    assert accepted(without_a_gateway.pay())["status"] == "confirmed"


def test_place_without_a_gateway(without_a_gateway):
    """What was placed by the one is the same order when its key comes again by the other."""
    made = without_a_gateway
    assert accepted(made.customer.place(made.sku), 201)["status"] == "confirmed"
    again = made.customer.place(made.sku, key=made.key)
    assert accepted(again, 201)["id"] == made.order["id"] and again.headers["idempotent-replayed"] == "true"


# ---- A program, where the services run apart ----


@contextlib.contextmanager
def without_program(name, place):
    state = {"away": False}

    def go():
        shop.kill_service(name)
        state["away"] = True

    def back():
        if state["away"]:
            shop.start_service(name)
            state["away"] = False

    shop = Shop(place / "data", apart=True, **PATIENCE).start()
    try:
        made = World(shop, go, back)
        go()
        yield made
        assert "panic" not in shop.log_path.read_text()
    finally:
        shop.kill()


@pytest.fixture(scope="module")
def without_the_users_program(tmp_path_factory):
    with without_program("users", tmp_path_factory.mktemp("users-program")) as made:
        yield made


@pytest.fixture(scope="module")
def without_the_products_program(tmp_path_factory):
    with without_program("products", tmp_path_factory.mktemp("products-program")) as made:
        yield made


@pytest.fixture(scope="module")
def without_the_orders_program(tmp_path_factory):
    with without_program("orders", tmp_path_factory.mktemp("orders-program")) as made:
        yield made


def test_browse_without_the_users_program(without_the_users_program):
    accepted(without_the_users_program.browse())


def test_log_in_without_the_users_program(without_the_users_program):
    away(without_the_users_program.log_in(), "upstream.unavailable")


def test_use_a_token_without_the_users_program(without_the_users_program):
    accepted(without_the_users_program.customer.get("/orders"))
    away(without_the_users_program.customer.get("/users/me"), "upstream.unavailable")


def test_place_without_the_users_program(without_the_users_program):
    made = without_the_users_program
    assert accepted(made.customer.place(made.sku), 201)["status"] == "confirmed"


def test_read_without_the_users_program(without_the_users_program):
    made = without_the_users_program
    assert made.customer.order(made.order["id"])["status"] == "confirmed"


def test_pay_without_the_users_program(without_the_users_program):
    assert accepted(without_the_users_program.pay())["status"] == "confirmed"


def test_browse_without_the_products_program(without_the_products_program):
    away(without_the_products_program.browse(), "upstream.unavailable")


def test_log_in_without_the_products_program(without_the_products_program):
    accepted(without_the_products_program.log_in())


def test_use_a_token_without_the_products_program(without_the_products_program):
    accepted(without_the_products_program.customer.get("/users/me"))


def test_read_without_the_products_program(without_the_products_program):
    made = without_the_products_program
    assert made.customer.order(made.order["id"])["status"] == "confirmed"


def test_pay_without_the_products_program(without_the_products_program):
    assert accepted(without_the_products_program.pay())["status"] == "confirmed"


def test_place_without_the_products_program(without_the_products_program):
    """The last of them: it comes back."""
    made = without_the_products_program
    made.waits(made.customer.place(made.sku, wait=1), "placed")


def test_browse_without_the_orders_program(without_the_orders_program):
    accepted(without_the_orders_program.browse())


def test_log_in_without_the_orders_program(without_the_orders_program):
    accepted(without_the_orders_program.log_in())


def test_use_a_token_without_the_orders_program(without_the_orders_program):
    accepted(without_the_orders_program.customer.get("/users/me"))


def test_read_without_the_orders_program(without_the_orders_program):
    made = without_the_orders_program
    away(made.customer.get(f"/orders/{made.order['id']}"), "upstream.unavailable")


def test_pay_without_the_orders_program(without_the_orders_program):
    away(without_the_orders_program.pay(), "upstream.unavailable")


def test_place_without_the_orders_program(without_the_orders_program):
    """The last of them: it comes back, and the same key is taken then."""
    made = without_the_orders_program
    key = new_key()
    away(made.customer.place(made.sku, key=key), "upstream.unavailable")
    made.come_back()
    until(lambda: made.customer.place(made.sku, key=key).status_code == 201, 20, "the order")
