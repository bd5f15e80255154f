"""What the tests of the cluster share: the cluster itself, and a shop on it that was brought up by the lines of docs/deploy.md."""

import json
import os
import pathlib
import secrets
import sys
import uuid

import httpx
import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE), str(ROOT / "tools/kubernetes"), str(ROOT / "tools/contracts")]

import images  # noqa: E402
from books import Told, check_books, read_books_of_postgresql  # noqa: E402
from certificates import Authority  # noqa: E402
from deployed import Door  # noqa: E402
from kube import DEPLOY, SHOP, Kube, Missing, block  # noqa: E402
from load import HOST, Customer, Load  # noqa: E402
from shop import Person, accepted, until  # noqa: E402
from telling import pytest_terminal_summary, tell  # noqa: E402,F401

SERVICES = ("users", "products", "orders")
APPS = ("users-service", "products-service", "orders-service", "gateway-service")
ADMIN = "owner@shop.example"

# The ways in: what is applied for each, and who answers then.
WAYS = {
    "gateway": ((DEPLOY / "base/api-gateway-ingress.yaml",), "gateway"),
    "straight": ((DEPLOY / "base/straight-ingress.yaml",), "straight"),
    "rewriting": ((DEPLOY / "components/ingress-traefik/rewriting-ingress.yaml",), "straight"),
    "gateway-api": ((DEPLOY / "components/gateway-api/gateway.yaml", DEPLOY / "components/gateway-api/routes.yaml"), "gateway"),
}


class Database:
    """The PostgreSQL of the tests, asked inside its pod. What books.py wants of a server."""

    def __init__(self, kube):
        self.kube = kube

    def psql(self, sql, database="postgres"):
        words = ["-n", "data", "exec", "-i", "deploy/postgresql", "--", "/usr/lib/postgresql/15/bin/psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
                 "-h", "/tmp", "-U", "postgres", "-d", database, "-f", "-"]
        return self.kube.run(*words, stdin=sql).stdout

    def rows(self, table, database):
        rows = json.loads(self.psql(f"select coalesce(json_agg(t), '[]') from {table} t", database))
        return rows

    def prepare(self, prefix=""):
        """An empty database and a role for each service; gives their URLs."""
        urls = {}
        for service in SERVICES:
            name, password = f"duka_{prefix}{service}", secrets.token_hex(16)
            if not self.psql(f"select 1 from pg_roles where rolname = '{name}'").strip():
                self.psql(f"create role {name} login;")
            self.psql(f"alter role {name} password '{password}';")
            self.psql(f"drop database if exists {name} with (force);")
            self.psql(f"create database {name} owner {name} template template0 encoding 'UTF8' locale 'C';")
            urls[service] = f"postgresql://{name}:{password}@postgresql.data/{name}"
        return urls



class ClusterShop:
    """A shop on the cluster, and who calls it from outside."""

    def __init__(self, kube, database, authority, admin_password):
        self.kube, self.database, self.authority = kube, database, authority
        self.admin_password, self.told, self.sku = admin_password, [], None
        self.address = kube.node_address()
        self.door = self.door_at()

    def door_at(self, host=HOST, scheme="https"):
        return Door(self.address, self.authority.path, host, scheme)

    @property
    def staff(self):
        return Person(self.door, self.door.url, ADMIN, self.admin_password).log_in()

    def person(self):
        return Customer.new(self.door)

    def answers(self):
        """The gateway has its services, and they have their keys."""
        try:
            return self.door.get(self.door.url + "/products").status_code == 200
        except OSError:
            return False

    def create_product(self, staff, on_hand):
        name = "thing-" + uuid.uuid4().hex[:12]
        variant = {"sku": name, "price": {"amount": 1299, "currency": "EUR"}, "on_hand": on_hand}
        body = {"title": name, "handle": name, "status": "active", "variants": [variant]}
        return accepted(staff.post("/products", json=body), 201)["variants"][0]["sku"]

    def note(self, customer, order):
        """An order of one piece that was placed by hand, for the books."""
        self.told.append(Told(customer.id, order["id"], [(self.sku, 1)], [(201, order)]))

    def load(self, **rest):
        return Load(self, **rest)

    def adopt(self):
        """Of requests that were lost on purpose: what they did is asked of the books, by the only order of their customer and lines that
        nobody was told of."""
        known = {one.order_id() for one in self.told if one.answers}
        lost = [one for one in self.told if not one.answers]
        books = read_books_of_postgresql(self.database)
        for order in books.orders.values():
            if order["id"] in known:
                continue
            lines = [(line["sku"], line["quantity"]) for line in books.lines[order["id"]]]
            one = next((one for one in lost if one.person == order["customer"] and one.lines == lines), None)
            if one:
                lost.remove(one)
                one.answers.append((202, {"id": order["id"], "status": order["status"]}))

    def check_books(self):
        """Every order that was told of is in the books once, with its stock and money; nothing is left over. Of a request that was
        not answered nobody knows, so there must have been none."""
        def settled():
            orders = self.database.psql("select count(*) from orders where status not in ('confirmed','completed','rejected','cancelled')",
                                        "duka_orders")
            left = self.database.psql("select (select count(*) from outbox) + (select count(*) from payment_jobs)", "duka_orders")
            return orders.strip() == "0" and left.strip() == "0" and self.database.psql(
                "select count(*) from outbox", "duka_products").strip() == "0"

        until(settled, 60, "every order to settle")
        faults = check_books([one for one in self.told if one.answers], read_books_of_postgresql(self.database), {})
        assert faults == [], f"{len(faults)} faults, the first:\n" + "\n".join(faults[:20])
        return len(self.told)


@pytest.fixture(scope="session")
def kube():
    try:
        taken = Kube.take()
        images.load(taken)
    except Missing as missing:
        pytest.skip(str(missing))
    return taken


@pytest.fixture(scope="session")
def database(kube):
    kube.run("apply", "-f", HERE / "manifests/postgresql.yaml")
    kube.rolled_out("postgresql", namespace="data")
    return Database(kube)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def deployed(kube, database, authority):
    """The lines of docs/deploy.md from nothing to a shop that answers. What another run has left goes first."""
    kube.run("delete", "namespace", SHOP, "--ignore-not-found", "--wait", seconds=180)
    urls = database.prepare()
    certificate, key = authority.make("api", dns=(HOST,))
    settings = {
        **{f"DATABASE_URL_{service.upper()}": url for service, url in urls.items()},
        "ADMIN_EMAIL": ADMIN, "ADMIN_PASSWORD": secrets.token_urlsafe(24), "TLS_CERT": certificate, "TLS_KEY": key,
        "CA": authority.path, "ADDRESS": kube.node_address(), "INGRESS_NAMESPACE": os.environ.get("DUKA_INGRESS_NAMESPACE", "ingress"),
    }
    kube.sh(block("namespace"), **settings)
    kube.sh(block("secrets"), **settings)
    kube.sh(block("settings"), **settings)
    # Nobody who tests is to be slowed down: the limits have tests of their own.
    kube.patch("configmap", "duka-environment", {"data": {"RATE_LIMIT": "100000000", "RATE_LIMIT_SIGN_IN": "100000000"}})
    kube.sh(block("migrate"), **settings)
    for name in ("users", "products", "orders", "gateway"):
        kube.sh(block(name), **settings)
    kube.sh(block("ingress"), **settings)
    kube.sh(block("wait"), **settings)
    return settings


@pytest.fixture(scope="session")
def shop(kube, database, authority, deployed):
    made = ClusterShop(kube, database, authority, deployed["ADMIN_PASSWORD"])
    until(made.answers, 60, "the shop to answer through the Ingress")
    made.sku = made.create_product(until(lambda: admin_of(made), 60, "the first admin"), on_hand=10_000_000)
    return made


@pytest.fixture
def by(kube, shop):
    """Puts another way in place of the gateway's Ingress, which comes back afterwards."""
    applied = []

    def put(way):
        paths, answers = WAYS[way]
        kube.run("-n", SHOP, "delete", "ingress", "--all")
        until(lambda: routed_by(shop) is None, 30, "no way in")
        for path in paths:
            kube.run("apply", "-f", path)
            applied.append(path)
        until(lambda: routed_by(shop) == answers, 60, f"the way {way}")

    yield put
    for path in applied:
        kube.run("delete", "-f", path, "--ignore-not-found")
    kube.run("apply", "-f", *WAYS["gateway"][0])
    until(lambda: routed_by(shop) == "gateway", 30, "the gateway's Ingress again")


def routed_by(shop):
    """Who answers: only the gateway tells of limits."""
    try:
        answer = shop.door.get(shop.door.url + "/products?limit=1")
    except httpx.HTTPError:  # with no way in the controller shows a certificate of its own
        return None
    if answer.status_code != 200:
        return None
    return "gateway" if "ratelimit-policy" in answer.headers else "straight"


def pytest_collection_modifyitems(items):
    """The tests that place orders which the books of the others know nothing of come last."""
    items.sort(key=lambda item: item.path.name == "test_end_to_end.py")


def admin_of(made):
    try:
        return made.staff
    except AssertionError:
        return None
