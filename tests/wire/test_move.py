"""dukactl move: a shop on SQLite with orders in every state, killed while some are under way, goes on on PostgreSQL as if nothing
had been."""

import uuid

import pytest
from shop import Shop, accepted, new_key, until

SERVICES = ("users", "products", "orders")
OK, FAULTS, IN_USE = 0, 3, 4
HEAD = "Handle,Title,Published,Tags,Variant SKU,Variant Inventory Qty,Variant Price\n"


def sell(shop):
    """Orders in every state, and what else lies in tables; ends with a kill in the middle of new ones."""
    staff, customer = shop.staff, shop.customer()
    sku, rare = staff.new_sku(on_hand=500), staff.new_sku(on_hand=1)
    staff.import_csv(HEAD + "".join(f"vase-{i},Glazed Vase {i},true,kiln,V-{i},7,9\n" for i in range(300)))
    later = accepted(staff.post("/products/categories", json={"handle": "later", "name": "Later"}), 201)
    child = accepted(staff.post("/products/categories", json={"handle": "child", "name": "Child"}), 201)
    parent = accepted(staff.post("/products/categories", json={"handle": "parent", "name": "Parent"}), 201)
    changed = staff.get(f"/products/categories/{child['id']}")
    accepted(staff.patch(f"/products/categories/{child['id']}", json={"parent": "parent"},
                         headers={"If-Match": changed.headers.get("etag", '"v1"')}))
    key = new_key()
    first = customer.place([(sku, 2)], key=key)
    orders = {"done": accepted(first, 201)["id"]}
    for name in ("half", "open", "back", "gone"):
        orders[name] = accepted(customer.place([(sku, 4)]), 201)["id"]
    for name in orders:
        customer.order_becomes(orders[name], payment_status="captured")
    accepted(staff.fulfil(orders["done"]))
    accepted(staff.fulfil(orders["half"], lines=[{"sku": sku, "quantity": 1}]))
    accepted(staff.fulfil(orders["back"]))
    accepted(staff.refund(orders["back"], restock=True))
    accepted(customer.cancel(orders["gone"]))
    customer.order_becomes(orders["gone"], status="cancelled")
    customer.order_becomes(orders["back"], payment_status="refunded")
    orders["short"] = customer.place([(rare, 2)]).json()["subject"]
    orders["declined"] = customer.place(sku, token="decline").json()["subject"]
    orders["manual"] = accepted(customer.place(sku, provider="manual"), 201)["id"]
    orders["late"] = accepted(customer.place(sku, token="timeout", wait=0), 202)["id"]
    orders["called"] = accepted(customer.place(sku, token="webhook", wait=0), 202)["id"]
    server = shop.new_api_key("stock_read")
    under_way = [customer.place(sku, wait=None) for _ in range(30)]
    shop.kill()
    orders.update({f"under way {i}": accepted(one, 202)["id"] for i, one in enumerate(under_way)})
    return {"customer": customer, "server": server, "sku": sku, "key": key, "first": first, "orders": orders, "child": child["id"],
            "parent": parent["id"], "later": later["id"], "levels": None}


@pytest.fixture(scope="module")
def sold(tmp_path_factory):
    """The shop's data folder, at rest, and what was sold."""
    shop = Shop(tmp_path_factory.mktemp("sold") / "data", SWEEP_INTERVAL="200ms").start()
    return shop, sell(shop)


@pytest.fixture(scope="module")
def target(postgres):
    """Databases for the shop, empty."""
    prefix = f"move{uuid.uuid4().hex[:8]}_"
    yield postgres.prepare(prefix, password="m0ve-it"), prefix
    postgres.forget(prefix)


def move(shop, service, settings, code=OK, words=()):
    """What dukactl says of the move of a service."""
    done = shop.dukactl("move", service, "--to", settings[f"DATABASE_URL_{service.upper()}"], *words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == code, (done.returncode, said)
    return said


def test_a_shop_with_orders_in_every_state_goes_on_on_postgresql(sold, target, postgres):
    shop, seen = sold
    settings, prefix = target
    orders, sku = seen["orders"], seen["sku"]

    def psql(service, sql):
        return postgres.psql(sql, database=f"duka_{prefix}{service}")

    for service in SERVICES:
        said = move(shop, service, settings)
        assert "0 tables differ" in said and f"set DATABASE_URL_{service.upper()}" in said, said

    # Interrupted: some of it is not there yet. The next run puts that alone.
    psql("orders", "delete from timeline where version > 2; delete from payment_jobs")
    said = move(shop, "orders", settings)
    assert "0 tables differ" in said and ", 0 put now" not in said.splitlines()[0], said
    assert ", 0 put now" in move(shop, "orders", settings).splitlines()[0]

    # The target is not the source's any more: told by table, and not called done.
    psql("products", "update stock set on_hand = on_hand + 1")
    said = move(shop, "products", settings, FAULTS)
    assert "products_stock" in said and "not the same" in said and "set DATABASE_URL" not in said, said
    psql("products", "update stock set on_hand = on_hand - 1")
    psql("users", "insert into mail_jobs select gen_random_uuid(), 'reset', null, 'x', null, 0, null, '', 0, 1, 1")
    assert "users_mail_jobs" in move(shop, "users", settings, FAULTS)
    psql("users", "delete from mail_jobs where email_key = 'x'")

    # The shop on SQLite runs: no move. It has gone on meanwhile: what was carried is not what it has now.
    shop.start()
    assert "stop it" in move(shop, "users", settings, IN_USE)
    shop.staff.new_sku(on_hand=5)
    shop.kill()
    assert "--fresh" in move(shop, "products", settings, FAULTS)
    for service in SERVICES:
        assert "0 tables differ" in move(shop, service, settings, OK, ["--fresh"])

    moved = Shop(shop.data, **settings)
    with moved:
        moved.staff  # pylint: disable=pointless-statement
        customer = seen["customer"].at(moved.url)
        customer.http = moved.http
        assert accepted(customer.get("/users/me"))["email"] == customer.email  # its token, under the same keys
        server = seen["server"].at(moved.url)
        server.http = moved.http
        assert server.stock(sku)["sku"] == sku
        again = customer.place([(sku, 2)], key=seen["key"])
        assert again.headers["idempotent-replayed"] == "true" and again.json() == seen["first"].json()

        def settled():
            states = {name: customer.order(order) for name, order in orders.items()}
            waiting = [name for name, order in states.items() if order["payment_status"] not in (
                "captured", "declined", "refunded", "voided", "none") and name != "manual"]
            return None if waiting else states

        states = until(settled, 60, "all orders to settle")
        assert {name: order["status"] for name, order in states.items() if "under way" not in name} == {
            "done": "completed", "half": "confirmed", "open": "confirmed", "back": "completed", "gone": "cancelled",
            "short": "rejected", "declined": "rejected", "manual": "reserved", "late": "confirmed", "called": "confirmed"}
        assert all(order["status"] == "confirmed" for name, order in states.items() if "under way" in name)
        staff = moved.staff
        open_units = 3 + 4 + 1 + 1 + 1 + 30  # half's rest, open, manual, late, called, those that were under way
        on_hand = 500 - 2 - 1
        until(lambda: staff.levels(sku) == (on_hand, open_units, on_hand - open_units), 20, "stock to agree")
        accepted(staff.fulfil(orders["open"]))
        found = accepted(customer.get("/products?q=glaz+kiln&limit=100"))["items"]
        assert len(found) == 100
        category = accepted(customer.get("/products/categories"))["items"]
        assert {"later", "child", "parent"} <= {one["handle"] for one in category}
        new = staff.new_sku(on_hand=3)  # numbers go on behind those that were carried
        assert accepted(customer.place(new), 201)["status"] == "confirmed"
        assert "stop it" in move(moved, "orders", settings, IN_USE)
    said = moved.dukactl("check").stdout  # the books on PostgreSQL, the provider's beside ours
    assert ": 0 faults" in said and f"{len(orders) + 1} orders" in said, said


def test_the_move_names_what_it_cannot_do(sold, target, tmp_path):
    shop, _ = sold
    settings, _ = target
    for words, said in (
        (["move", "users"], "--to"),
        (["move", "stock", "--to", settings["DATABASE_URL_USERS"]], "none of"),
        (["move", "users", "--to", f"sqlite:{tmp_path}/x.db"], "from sqlite"),
        (["move", "users", "--from", f"sqlite:{tmp_path}/none.db", "--to", settings["DATABASE_URL_USERS"]], "there is no"),
    ):
        done = shop.dukactl(*words, check=False)
        assert done.returncode in (1, 2) and said in done.stdout + done.stderr, (words, done)
