"""The services as programs of their own, with the gateway before them: what one of them alone, and all together, serve
and refuse. Without a broker here (the direct bus); with brokers, PostgreSQL and replicas in tests/wire/test_apart.py."""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tarfile
import time

import httpx
import pytest
from shop import SERVICES, ROOT, Shop, accepted, free_port, items, new_key, program, refused, told, until

IDENTITY = "X-Duka-Identity"


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    with Shop(tmp_path_factory.mktemp("apart") / "data", apart=True) as running:
        yield running


def inner_token(key, audience, who, roles=1, lives=20, session="00000000-0000-7000-8000-000000000001", kind="u"):
    """What one program says to another of who calls, made as src/chassis/inner.h says."""
    now = int(time.time())
    fields = [audience, "gateway", kind, who, session, 1, roles, 0, now + lives, "192.0.2.7", now + lives]
    encoded = base64.urlsafe_b64encode("|".join(map(str, fields)).encode()).rstrip(b"=").decode()
    mac = hmac.new(key.encode(), f"v1.{encoded}".encode(), hashlib.sha256).digest()
    return f"v1.{encoded}." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_the_gateway_leads_to_each_service_and_each_answers_by_itself_too(apart):
    customer = apart.customer()
    for door in (apart.url, apart.doors["users"]):
        assert accepted(customer.at(door).get("/users/me"))["id"] == customer.id
    product = apart.staff.create_product()
    for door in (apart.url, apart.doors["products"]):
        assert accepted(customer.at(door).get(f"/products/{product['id']}"))["id"] == product["id"]
    for door in (apart.url, apart.doors["orders"]):
        assert accepted(customer.at(door).get("/orders"))["items"] == []
    refused(customer.at(apart.doors["users"]).get("/products"), 404, "route.unknown")
    refused(apart.anonymous().get("/orders"), 401, "auth.token_missing")


def test_a_service_takes_paths_whose_prefix_a_trusted_proxy_took_off(tmp_path, apart):
    """As Ingress controllers rewrite: the header tells what was there. Others may say what they like."""
    with Shop(tmp_path / "data", apart=True, TRUSTED_PROXIES="127.0.0.0/8") as shop:
        customer, product = shop.customer(), shop.staff.create_product()

        def ask(service, path, door=None, **rest):
            return customer.at(door or shop.doors[service]).get(path, headers={"X-Forwarded-Prefix": f"/{service}"}, **rest)

        assert accepted(ask("users", "/me"))["id"] == customer.id
        assert accepted(ask("users", "/.well-known/jwks.json"))["keys"]
        assert accepted(ask("products", "/" + product["handle"]))["id"] == product["id"]
        assert len(accepted(ask("products", "/", params={"limit": 1}))["items"]) == 1
        placed = customer.at(shop.doors["orders"]).request(
            "POST", "/", key=new_key(), headers={"X-Forwarded-Prefix": "/orders", "Prefer": "wait=10"},
            json={"lines": [{"sku": product["variants"][0]["sku"], "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}})
        assert placed.headers["location"] == f"/orders/{accepted(placed, 201)['id']}"
        assert len(accepted(ask("orders", "/"))["items"]) == 1
        refused(customer.at(shop.doors["users"]).get("/me"), 404, "route.unknown")
        assert accepted(ask("users", "/users/me", door=shop.url))["id"] == customer.id  # the gateway's paths are whole
    refused(apart.customer().at(apart.doors["users"]).get("/me", headers={"X-Forwarded-Prefix": "/users"}), 404, "route.unknown")


def test_a_program_is_ready_once_it_has_heard_the_keys(tmp_path):
    """Else a pod that was just made would answer 503 to every token. It waits for ten seconds, no longer: what needs no account is served
    without Users."""
    shop = Shop(tmp_path / "data", apart=True)
    gateway = shop._launch("duka-gateway", shop.environment_of("gateway"))
    try:
        def readiness():
            try:
                return shop.http.get(shop.ops + "/readyz")
            except httpx.TransportError:
                return None

        began = time.monotonic()
        answer = until(readiness, 20, "the operators' door")
        assert answer.status_code == 503 and "keys" in answer.json()["not_ready"], answer.text
        until(lambda: readiness().status_code == 200, 20, "ready all the same")
        assert readiness().json()["degraded"][0] == "keys"
        assert time.monotonic() - began > 8
        gateway.kill()
        gateway.wait()
        shop.start_service("users")
        gateway = shop._launch("duka-gateway", shop.environment_of("gateway"))
        until(lambda: (found := readiness()) and found.status_code == 200, 8, "ready, for Users is there")
    finally:
        gateway.kill()
        gateway.wait()
        shop.kill()


def test_the_metrics_tell_how_the_services_are_reached(apart):
    accepted(apart.anonymous().get("/products"))
    told = apart.http.get(apart.ops + "/metrics").text
    assert re.search(r'^duka_upstream_requests_total\{upstream="products",outcome="\w+"\} [1-9]', told, re.M)
    assert re.search(r'^duka_upstream_duration_seconds_count\{upstream="products"\} [1-9]', told, re.M)
    assert re.search(r'^duka_upstream_connects_total\{upstream="products",outcome="\w+"\} [1-9]', told, re.M)
    assert re.search(r'^duka_upstream_addresses\{upstream="products"\} 1$', told, re.M)


def test_a_file_goes_up_and_comes_down_through_the_gateway_in_pieces(apart):
    words = "beans from the hills " * 30
    rows = "".join(f"piece-{i},Piece {i},{words},piece-{i},{i + 1}.00\n" for i in range(1500))
    content = "Handle,Title,Body (HTML),Variant SKU,Variant Price\n" + rows
    assert len(content) > 3 * 256 * 1024, "more than a piece of a stream"
    report = apart.staff.import_csv(content.encode(), seconds=120)
    assert report["status"] == "done"
    export = apart.staff.get("/products/export")
    assert export.status_code == 200 and "piece-1499," in export.text
    assert export.text.count("\n") > 1500
    refused(
        apart.customer().post("/products/imports", content=content.encode(), headers={"Content-Type": "text/csv"}),
        403,
        "auth.role_missing",
    )


def test_who_calls_is_believed_of_our_own_programs_only(apart):
    customer, at = apart.customer(), {}
    for name in SERVICES:
        at[name] = apart.anonymous().at(apart.doors[name])
    paths = {"users": "/users/me", "products": "/products/imports/" + customer.id, "orders": "/orders"}
    roles = {"users": 1, "products": 2, "orders": 1}
    for name, person in at.items():
        good = inner_token(apart.inner_key, name, customer.id, roles[name])
        other = inner_token(apart.inner_key, "gateway", customer.id, roles[name])
        forged = inner_token("0" * 64, name, customer.id, roles[name])
        old = inner_token(apart.inner_key, name, customer.id, roles[name], lives=-60)
        assert person.get(paths[name], headers={IDENTITY: good}).status_code in (200, 404), name
        for bad in (other, forged, old, good[:-1], "", "v1..", good.replace("v1.", "v2.")):
            refused(person.get(paths[name], headers={IDENTITY: bad}), 401, "auth.token_missing")
    # From outside the header is dropped, whoever made it.
    good = inner_token(apart.inner_key, "users", customer.id)
    refused(apart.anonymous().get("/users/me", headers={IDENTITY: good}), 401, "auth.token_missing")


def test_a_call_for_neighbours_is_hidden_from_everybody_else(apart):
    path = "/users.v1.Users/ChangesSince"
    headers = {"Content-Type": "application/grpc", "TE": "trailers"}
    for person in (apart.customer(), apart.admin, apart.anonymous().at(apart.doors["users"])):
        answer = person.post(path, content=b"\0\0\0\0\0", headers=headers)
        assert answer.status_code in (404, 501, 415), answer.text


def test_a_revoked_token_is_refused_by_every_program_within_five_seconds(apart):
    customer = apart.customer()
    assert customer.post("/users/logout").status_code == 204
    for door in (apart.url, apart.doors["orders"]):
        until(lambda: customer.at(door).get("/orders").status_code == 401, 5, f"refused at {door}")
    refused(customer.get("/orders"), 401, "auth.token_revoked")


def test_an_api_key_is_known_to_every_program_and_revoked_within_five_seconds(apart):
    key, sku = apart.new_api_key("stock_write", "orders_read"), apart.staff.new_sku()
    for door in (apart.url, apart.doors["products"]):
        accepted(key.at(door).adjust(sku, delta=1))
        refused(key.at(door).get(f"/products/stock/{sku}"), 403, "auth.scope_missing")
        refused(key.at(door).post("/products", json={}), 403, "auth.scope_missing")
    for door in (apart.url, apart.doors["orders"]):
        accepted(key.at(door).get("/orders", params={"scope": "all"}))
    apart.restart_gateway()
    until(lambda: key.get("/orders", params={"scope": "all"}).status_code == 200, 10, "known to a new gateway")

    def used_at():
        listed = accepted(apart.admin.get("/users/api-keys"))["items"]
        return next(one for one in listed if one["id"] == key.id).get("used_at")

    assert until(used_at, 10, "where it was used comes to Users")
    assert apart.admin.delete("/users/api-keys/" + key.id).status_code == 204
    for door, path in apart.key_probes():
        until(lambda: key.at(door).get(path).status_code == 401, 5, f"refused at {door}")
    assert apart.staff.levels(sku)[0] == 102


def test_the_scopes_of_a_key_travel_and_no_role_with_them(apart):
    at, sku = apart.anonymous().at(apart.doors["products"]), apart.staff.new_sku()
    stock_read, products_write = 1 << 3, 1 << 2
    path = f"/products/stock/{sku}"

    def ask(scopes, kind="k"):
        token = inner_token(apart.inner_key, "products", apart.admin.id, roles=scopes, kind=kind)
        return at.get(path, headers={IDENTITY: token})

    assert accepted(ask(stock_read))["on_hand"] == 100
    refused(ask(products_write), 403, "auth.scope_missing")
    refused(ask(0), 403, "auth.scope_missing")
    refused(ask(1 << 31), 401, "auth.token_missing")  # no scope that there can be: not believed at all
    refused(ask(8, kind="u"), 401, "auth.token_missing")  # nor a role
    assert accepted(ask(2, kind="u"))["on_hand"] == 100


def test_while_users_is_away_a_key_goes_on_for_a_minute(apart):
    key = apart.new_api_key("orders_read")
    apart.kill_service("users")
    accepted(key.get("/orders", params={"scope": "all"}))
    apart.start_service("users")
    until(lambda: apart.admin.get("/users/api-keys").status_code == 200, 10, "users again")


def test_a_service_that_is_away_is_told_and_the_others_go_on(apart):
    customer = apart.customer()
    product = apart.staff.create_product()
    apart.kill_service("orders")
    answer = customer.get("/orders")
    refused(answer, 503, "upstream.unavailable")
    assert accepted(customer.get(f"/products/{product['id']}")) and accepted(customer.get("/users/me"))
    apart.start_service("orders")
    until(lambda: customer.get("/orders").status_code == 200, 10, "orders again")


def test_while_users_is_away_a_live_token_goes_on_and_nobody_logs_in(apart):
    customer, sku = apart.customer(), apart.staff.new_sku()
    apart.kill_service("users")
    refused(
        apart.anonymous().post("/users/login", json={"email": customer.email, "password": customer.password}),
        503,
        "upstream.unavailable",
    )
    assert accepted(customer.get("/orders"))["items"] == []
    assert apart.staff.levels(sku)[2] == 100, "staff too, for a minute"
    apart.start_service("users")
    until(lambda: customer.get("/users/me").status_code == 200, 10, "users again")


def test_a_gateway_that_starts_while_users_is_away_learns_the_keys_when_it_is_back(tmp_path):
    shop = Shop(tmp_path / "data", apart=True)
    with shop:
        customer = shop.customer()
        shop.kill_service("users")
        shop.restart_gateway("startupz")
        ready = shop.http.get(shop.ops + "/readyz")
        assert ready.status_code == 503 and ready.json()["not_ready"] == ["keys"], "nobody is known here"
        assert shop.http.get(shop.ops + "/livez").status_code == 200, "and a new start would not mend that"
        assert accepted(shop.anonymous().get("/products"))["items"] == []
        shop.start_service("users")
        until(lambda: shop.http.get(shop.ops + "/readyz").status_code == 200, 10, "a gateway that is ready")
        until(lambda: customer.get("/users/me").status_code == 200, 10, "keys")


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("duka-gateway", {}, "INNER_KEY is not set"),
        ("duka-gateway", {"INNER_KEY": "short"}, "INNER_KEY has 5 bytes; give at least 32"),
        ("duka-users", {"INNER_KEY_SECOND": "k" * 32}, "INNER_KEY_SECOND is set, but INNER_KEY is not"),
        ("duka-gateway", {"INNER_KEY": "k" * 32, "ORDERS_URL": "ftp://orders"}, "ORDERS_URL"),
        ("duka", {"DATABASE_URL": "sqlite:users.db"}, "DATABASE_URL_USERS"),
    ],
)
def test_a_setting_that_does_not_fit_the_program_stops_its_start(name, settings, words, tmp_path):
    done = subprocess.run(
        [str(program(name))],
        env={"DATA_DIR": str(tmp_path), "LISTEN_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0", **settings},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1 and words in done.stderr and done.stderr.startswith(name + ": "), done.stderr


def test_a_service_alone_serves_on_its_embedded_database_and_says_what_it_lacks(tmp_path):
    """As `docker run -p 3000:3000 users-service` would."""
    shop = Shop(tmp_path / "data", apart=True, BUS_URL="local:")
    shop.inner_key = ""
    shop.start_service("users")
    try:
        person = shop.anonymous().at(shop.doors["users"])
        body = {"email": "amina@example.com", "password": "correct horse battery", "name": "Amina"}
        accepted(person.post("/users", json=body), 201)
        person.email, person.password = body["email"], body["password"]
        assert accepted(person.log_in().get("/users/me"))["email"] == body["email"]
        assert '"inner.no_key"' in shop.log() and '"bus.none"' in shop.log()
        (version,) = subprocess.run(
            [str(program("duka-users")), "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert version.startswith("duka-users ")
    finally:
        shop.kill()


def dukactl(environment, *words):
    done = subprocess.run(
        [str(program("dukactl")), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_service_is_backed_up_by_itself_and_restored_and_the_shop_goes_on(tmp_path):
    backup, placed = {}, []
    with Shop(tmp_path / "data", apart=True) as shop:
        if shop.database_prefix:
            code, said = dukactl(shop.environment_of("orders"), "backup", str(tmp_path / "orders.tar"))
            assert code == 1 and "use pg_dump" in said, said
            return
        staff, customer = shop.staff, shop.customer()
        sku = staff.new_sku(on_hand=10)
        placed.append(accepted(customer.place(sku), 201)["id"])
        customer.order_becomes(placed[0], payment_status="captured")
        for name, keeps_keys in (("users", True), ("products", False), ("orders", False)):
            backup[name] = tmp_path / f"{name}.tar"
            code, said = dukactl(shop.environment_of(name), "backup", str(backup[name]))
            assert code == 0, said
            with tarfile.open(backup[name]) as tar:
                kept = tar.getnames()
            assert f"{name}.db" in kept and any(one.startswith("keys/") for one in kept) == keeps_keys, kept

    new = tmp_path / "new"
    for name, tar in backup.items():
        clean = {"PATH": os.environ["PATH"], "DATA_DIR": str(new / name)}
        code, said = dukactl(clean, "restore", str(tar))
        assert code == 0 and ": 0 faults" in said and "a part of the shop" in said, said
        assert [path.name for path in (new / name).glob("*.db")].count(f"{name}.db") == 1
        code, said = dukactl(clean, "restore", str(tar))
        assert code == 1 and "--replace" in said, said
        code, said = dukactl(clean, "restore", "--replace", str(tar))
        assert code == 0 and (new / name / "before-restore" / f"{name}.db").exists(), said
        code, said = dukactl({**clean, "DATABASE_URL": "sqlite:x.db"}, "restore", str(tar))
        assert code == 2 and "must not be set" in said, said
    # The three of them in one folder are a whole shop.
    one = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "one")}
    for tar in backup.values():
        code, said = dukactl(one, "restore", str(tar))
        assert code == 0, said
    code, said = dukactl(one, "check")
    assert code == 0 and "1 orders" in said and ": 0 faults" in said, said

    places = {f"DATABASE_URL_{name.upper()}": f"sqlite:{new}/{name}/{name}.db" for name in backup}
    with Shop(tmp_path / "again", apart=True, KEYS_DIR=new / "users" / "keys", **places) as shop:
        customer.http, customer.door = shop.http, shop.url
        assert customer.order(placed[0])["payment_status"] == "captured"  # by the token of before
        accepted(customer.place(sku), 201)
        staff.http, staff.door = shop.http, shop.url
        assert staff.levels(sku) == (10, 2, 8)


def test_many_at_once_order_what_orders_has_not_heard_of(tmp_path):
    """Without a bus it hears of no price and asks Products for each, two at a time: the others wait for their turn."""
    with Shop(tmp_path / "data", apart=True, BUS_URL="local:", WORKERS=4) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=1000)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: customer.place(sku, wait=None), range(96)))
        assert {answer.status_code for answer in answers} == {202}, [told(answer) for answer in answers if answer.status_code != 202][:5]


def test_events_wait_in_the_outbox_where_no_broker_is_named(tmp_path):
    with Shop(tmp_path / "data", apart=True, BUS_URL="local:") as shop:
        sku = shop.staff.new_sku()
        assert shop.staff.levels(sku)[0] == 100
        assert shop.rows("products", "select count(*) from outbox")[0][0] > 0
        del shop.settings["BUS_URL"]  # pushed to the others from now on
        for name in ("orders", "products"):
            shop.kill_service(name)
            shop.start_service(name)
        until(lambda: shop.rows("products", "select count(*) from outbox")[0][0] == 0, 10, "an empty outbox")


def counted(shop, ops, series):
    """The value of a series of one program, 0 where it is not there."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", shop.http.get(ops + "/metrics").text, re.M)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("resets", [True, False], ids=["reset", "closed"])
def test_who_leaves_is_not_waited_for_and_the_order_stays_under_its_key(apart, resets):
    customer, sku, key = apart.customer(), apart.staff.new_sku(on_hand=5), new_key()
    told = 'duka_upstream_requests_total{upstream="orders",outcome="cancelled"}'
    ended = 'duka_calls_total{service="orders",call="orders.create_order",outcome="refused"}'
    orders_ops = "http://" + apart.services_ops["orders"]
    before = counted(apart, apart.ops, told), counted(apart, orders_ops, ended)
    body = {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "timeout"}}
    host, port = apart.addresses["listen"].split(":")
    leaving = http.client.HTTPConnection(host, int(port))
    headers = {"Authorization": "Bearer " + customer.token, "Idempotency-Key": key, "Prefer": "wait=10"}
    leaving.request("POST", "/orders", json.dumps(body), {**headers, "Content-Type": "application/json"})
    (placed,) = until(lambda: items(customer.get("/orders")), 10, "the order")
    if resets:
        leaving.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leaving.close()
    until(lambda: counted(apart, apart.ops, told) == before[0] + 1, 8, "the stream is cancelled")
    until(lambda: counted(apart, orders_ops, ended) == before[1] + 1, 8, "the service waits no more")
    again = customer.post("/orders", key=key, json=body, headers={"Prefer": "respond-async"})
    assert accepted(again, 202)["id"] == placed["id"] and again.headers["idempotent-replayed"] == "true"
    assert len(items(customer.get("/orders"))) == 1
    stays = customer.post("/orders", key=new_key(), json=body, headers={"Prefer": "wait=1"})
    assert accepted(stays, 202)["id"] != placed["id"]  # who stays is waited with


ROUTES = """
- {path: /users, upstream: "service:users"}
- {path: /orders, upstream: "service:orders"}
- {path: /elsewhere, rewrite: /products, upstream: "%(url)s", timeout: 5s}
- path: /products
  upstream:
    - {to: "service:products", weight: %(usual)d}
    - {to: "%(url)s", weight: %(next)d}
"""


@pytest.mark.parametrize("is_apart", [True, False], ids=["apart", "one process"])
def test_part_of_the_callers_goes_to_another_version_each_always_the_same_way(is_apart, tmp_path):
    file, url = tmp_path / "routes.yaml", f"http://127.0.0.1:{free_port()}"

    def write(usual, next_, text=ROUTES):
        file.write_text(text % {"url": url, "usual": usual, "next": next_})

    def reload(word):
        before = shop.log().count(word)
        shop.process.send_signal(signal.SIGHUP)
        until(lambda: shop.log().count(word) > before, 10, word)

    write(50, 50)
    shop = Shop(tmp_path / "data", apart=is_apart, ROUTES_FILE=file, INNER_KEY="k" * 32).start()
    places = {"LISTEN_ADDR": url[7:], "OPS_ADDR": f"127.0.0.1:{free_port()}", "DATA_DIR": str(tmp_path / "next")}
    places["DATABASE_URL_PRODUCTS"] = f"sqlite:{tmp_path}/next/products.db"  # other goods: one sees where one is
    other = shop._launch("duka-products", {**shop.environment_of("products"), **places})
    try:
        shop._await_ready(other, "http://" + places["OPS_ADDR"], 30)
        staff = shop.staff
        made = until(lambda: (lambda a: a if a.status_code == 201 else None)(staff.at(url).post("/products", json={
            "title": "New", "handle": "only-there", "status": "active",
            "variants": [{"sku": "there", "price": {"amount": 1, "currency": "EUR"}}]})), 20, "its keys")
        path = "/products/" + accepted(made, 201)["handle"]
        people = [shop.customer() for _ in range(16)]
        ways = [{person.get(path).status_code for _ in range(4)} for person in people]
        assert all(len(way) == 1 for way in ways) and set.union(*ways) == {200, 404}, ways
        told = f'duka_upstream_requests_total{{upstream="{url}",outcome="ok"}}'
        assert counted(shop, shop.ops, told) > 0
        assert accepted(shop.anonymous().get("/elsewhere/only-there"))["handle"] == "only-there"

        write(0, 100)
        reload("routes.reloaded")
        assert {person.get(path).status_code for person in people} == {200}
        accepted(staff.post("/products", json={"title": "Staff too", "handle": "x", "variants": [
            {"sku": "x", "price": {"amount": 1, "currency": "EUR"}}]}), 201)

        write(0, 0)  # refused, with its line; the old ones stay
        reload("routes.refused")
        assert "routes.yaml:7: the weights are all 0" in shop.log()
        assert people[0].get(path).status_code == 200

        other.kill()  # it is away: so it is told, and the others' traffic goes on
        refused(people[0].get(path), 503, "upstream.unavailable")
        write(100, 0)
        reload("routes.reloaded")
        assert {person.get(path).status_code for person in people} == {404}
    finally:
        other.kill()
        other.wait()
        shop.kill()


def test_an_order_goes_through_four_programs_without_a_broker(apart):
    customer, sku = apart.customer(), apart.staff.new_sku(on_hand=2)
    order = accepted(customer.place([(sku, 2)]), 201)
    assert order["status"] == "confirmed" and apart.staff.levels(sku) == (2, 2, 0)
    refused(customer.place(sku), 409, "stock.insufficient")
    accepted(apart.staff.fulfil(order["id"]))
    until(lambda: apart.staff.levels(sku) == (0, 0, 0), 10, "the goods have left the shelf")
