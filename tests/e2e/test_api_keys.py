"""API keys: how servers call. Which routes they may call is told by test_auth.py; here their life, in one process and apart.
(Apart on PostgreSQL too: tests/wire runs test_apart.py there.)"""

import re
import time
import zlib
from datetime import datetime, timedelta, timezone

import pytest
from shop import Person, Shop, accepted, new_email, new_key, one_process, pages, refused, until

ALL = ("products_read", "products_write", "stock_read", "stock_write", "orders_read", "orders_write", "orders_fulfil", "users_read")


@pytest.fixture(scope="module", params=["one", "apart"])
def shop(request, tmp_path_factory):
    with Shop(tmp_path_factory.mktemp(request.param) / "data", apart=request.param == "apart") as running:
        yield running
    running.forget_databases()


def with_secret(shop, secret):
    person = Person(shop.http, shop.url)
    person.token = secret
    return person


def listed(shop, key_id):
    return next(one for one in pages(lambda **rest: shop.admin.get("/users/api-keys", **rest), limit=100)[0] if one["id"] == key_id)


def in_seconds(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_erp_restocks_and_a_warehouse_fulfils_by_keys(shop):
    erp = shop.new_api_key("products_write", "products_read", "stock_write", "stock_read")
    warehouse = shop.new_api_key("orders_read", "orders_fulfil")
    name = "erp-" + new_key()[:8]
    report = erp.import_csv(f"Handle,Title,Variant SKU,Variant Price,Published\n{name},Beans,{name},4.50,true\n".encode())
    assert report["status"] == "done"
    accepted(erp.adjust(name, delta=5))
    assert erp.levels(name)[0] == 5

    customer = shop.customer()
    order = accepted(customer.place(name), 201)["id"]
    waiting = pages(lambda **rest: warehouse.get("/orders", **rest), scope="all", status="confirmed")[0]
    assert order in [one["id"] for one in waiting]
    key = new_key()
    shipped = accepted(warehouse.fulfil(order, key=key))
    again = warehouse.fulfil(order, key=key)
    assert accepted(again) == shipped and again.headers["idempotent-replayed"] == "true"
    refused(warehouse.refund(order), 403, "auth.scope_missing")
    refused(warehouse.adjust(name, delta=5), 403, "auth.scope_missing")
    refused(erp.get("/orders", params={"scope": "all"}), 403, "auth.scope_missing")
    # Each is named where one asks who did it.
    entries = accepted(shop.admin.get("/orders/audit", params={"subject": order}))["items"]
    assert [(one["actor"], one["actor_id"], one["call"]) for one in entries] == [("key", warehouse.id, "orders.create_fulfilment")]
    moved = accepted(shop.admin.get("/products/audit", params={"actor_id": erp.id}))["items"]
    assert {one["actor"] for one in moved} == {"key"} and "products.adjust_stock" in {one["call"] for one in moved}


def test_a_key_is_nobodys_customer(shop):
    key, sku = shop.new_api_key(*ALL), shop.staff.new_sku()
    for method, path in [("GET", "/users/me"), ("DELETE", "/users/me"), ("POST", "/users/logout"), ("GET", "/users/me/sessions")]:
        refused(key.request(method, path), 403, "auth.scope_missing")
    refused(key.place(sku), 403, "auth.scope_missing")
    refused(key.get("/orders"), 422, "field.invalid", "/scope")
    accepted(key.get("/orders", params={"scope": "all"}))
    # And no admin, with whatever scopes.
    refused(key.post("/users/api-keys", json={"name": "another", "scopes": list(ALL)}), 403, "auth.scope_missing")
    refused(key.put(f"/users/{shop.staff.id}/roles", json={"roles": ["admin"]}), 403, "auth.scope_missing")


def test_drafts_are_shown_to_a_key_with_the_scope_only(shop):
    draft = shop.staff.create_product(status="draft")
    reader, other = shop.new_api_key("products_read"), shop.new_api_key("stock_read")
    assert accepted(reader.get(f"/products/{draft['id']}"))["status"] == "draft"
    refused(other.get(f"/products/{draft['id']}"), 404, "not_found")
    accepted(reader.get("/products", params={"status": "draft"}))
    refused(other.get("/products", params={"status": "draft"}), 403, "auth.scope_missing")
    accepted(other.get("/products"))


def test_a_secret_is_told_once_and_kept_as_a_digest(shop):
    made = accepted(shop.admin.post("/users/api-keys", json={"name": "till", "scopes": ["orders_read", "stock_read"]}), 201)
    secret = made.pop("secret")
    assert re.fullmatch("duka_[0-9a-f]{72}", secret)
    assert int(secret[-8:], 16) == zlib.crc32(secret[:-8].encode())
    assert made["prefix"] == secret[:13] and made["created_by"] == shop.admin.id
    assert made["scopes"] == ["stock_read", "orders_read"]
    assert listed(shop, made["id"]) == made
    assert not {"expires_at", "used_at", "revoked_at"} & made.keys()
    kept = shop.rows("users", "select * from api_keys")
    told = repr(kept) + "".join(path.read_text(errors="replace") for path in [shop.log_path])
    assert secret not in told and secret[5:69] not in told
    if not shop.database_prefix:
        for path in shop.data.glob("*.db*"):
            assert secret.encode() not in path.read_bytes() and bytes.fromhex(secret[5:69]) not in path.read_bytes()
    entries = accepted(shop.admin.get("/users/audit", params={"subject": made["id"]}))["items"]
    assert [one["call"] for one in entries] == ["users.create_api_key"]


def test_what_is_no_key_is_refused_and_lets_nobody_in(shop):
    key = shop.new_api_key("orders_read")
    good = key.token
    wrong = "duka_" + "ab" * 32
    changed = good[:40] + ("0" if good[40] != "0" else "1") + good[41:]
    bad = [good[:-1], good + "0", changed, good.upper().replace("DUKA_", "duka_"), "duka_", "DUKA_" + good[5:],
           wrong + format(zlib.crc32(wrong.encode()), "08x")]  # fmt: skip
    for door, path in shop.key_probes():
        for secret in bad:
            refused(with_secret(shop, secret).at(door).get(path), 401, "auth.token_invalid")
        assert key.at(door).get(path).status_code != 401
    # Where anyone may call, a key that is not good counts as none.
    accepted(with_secret(shop, changed).get("/products"))
    for header in ("Basic " + good, good, "Bearer  " + good):
        assert shop.anonymous().get("/orders", headers={"Authorization": header}).status_code == 401
    refused(shop.anonymous().get("/orders", params={"access_token": good}), 401, "auth.token_missing")


@pytest.mark.parametrize(
    "members, pointer",
    [
        ({"scopes": ["orders_read"]}, "/name"),
        ({"name": "n" * 101, "scopes": ["orders_read"]}, "/name"),
        ({"name": "till"}, "/scopes"),
        ({"name": "till", "scopes": []}, "/scopes"),
        ({"name": "till", "scopes": ["orders_read", "everything"]}, "/scopes/1"),
        ({"name": "till", "scopes": ["orders_read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "till", "scopes": ["orders_read"], "expires_at": "tomorrow"}, "/expires_at"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(shop, members, pointer):
    before = len(shop.rows("users", "select 1 from api_keys"))
    refused(shop.admin.post("/users/api-keys", json=members), 422, "field.invalid", pointer)
    refused(shop.admin.post("/users/api-keys", json={"name": "till", "scopes": ["stock_read"], "secret": "duka_"}), 422, "field.unknown")
    assert len(shop.rows("users", "select 1 from api_keys")) == before
    accepted(shop.admin.post("/users/api-keys", json={"name": "till", "scopes": ["stock_read"], "expires_at": in_seconds(60)}), 201)


def test_a_revoked_key_is_refused_everywhere_within_five_seconds_and_no_other(shop):
    key, other = shop.new_api_key("orders_read"), shop.new_api_key("orders_read")
    assert shop.admin.delete(f"/users/api-keys/{key.id}").status_code == 204
    for door, path in shop.key_probes():
        until(lambda: key.at(door).get(path).status_code == 401, 5, f"refused at {door}")
        refused(key.at(door).get(path), 401, "auth.token_invalid")
        assert other.at(door).get(path).status_code != 401
    revoked_at = listed(shop, key.id)["revoked_at"]
    assert shop.admin.delete(f"/users/api-keys/{key.id}").status_code == 204, "again"
    assert listed(shop, key.id)["revoked_at"] == revoked_at
    refused(shop.admin.delete("/users/api-keys/" + shop.admin.id), 404, "not_found")
    calls = [one["call"] for one in accepted(shop.admin.get("/users/audit", params={"subject": key.id}))["items"]]
    assert calls[-1] == "users.create_api_key" and "users.revoke_api_key" in calls


def test_a_key_expires(shop):
    key = shop.new_api_key("orders_read", expires_at=in_seconds(10))  # every door has to hear of it before
    accepted(key.get("/orders", params={"scope": "all"}))
    until(lambda: key.get("/orders").status_code == 401, 20, "expired")
    for door, path in shop.key_probes():
        refused(key.at(door).get(path), 401, "auth.token_expired")


def test_when_a_key_was_used_is_told_to_about_ten_minutes(shop):
    key = shop.new_api_key("stock_read")
    key.get("/users/me")
    used_at = until(lambda: listed(shop, key.id).get("used_at"), 30, "used_at")
    at = datetime.fromisoformat(used_at.replace("Z", "+00:00")).timestamp()
    assert at % 600 == 0 and -5 < time.time() - at < 660
    key.get("/users/me")  # in the same step: nothing is written
    unused = accepted(shop.admin.post("/users/api-keys", json={"name": "idle", "scopes": ["stock_read"]}), 201)
    assert "used_at" not in listed(shop, unused["id"])


def test_a_key_outlives_the_admin_who_made_it(shop):
    leaver = shop.new_account("admin", email=new_email("leaver"))
    made = accepted(leaver.post("/users/api-keys", json={"name": "till", "scopes": ["orders_read"]}), 201)
    assert leaver.delete("/users/me").status_code == 204
    key = with_secret(shop, made["secret"])
    until(lambda: key.get("/orders", params={"scope": "all"}).status_code == 200, 5, "known")
    assert listed(shop, made["id"])["created_by"] == leaver.id, "an id that leads to nobody"
    refused(shop.admin.get("/users/" + leaver.id), 404, "not_found")


def test_keys_are_listed_page_by_page_newest_first(shop):
    names = [f"page {i}" for i in range(5)]
    for name in names:
        accepted(shop.admin.post("/users/api-keys", json={"name": name, "scopes": ["stock_read"]}), 201)
    found, count = pages(lambda **rest: shop.admin.get("/users/api-keys", **rest), limit=2)
    assert [one["name"] for one in found[:5]] == names[::-1] and count >= 3
    assert len({one["id"] for one in found}) == len(found)
    assert all("secret" not in one for one in found)


def test_the_operator_makes_lists_and_revokes_keys(shop):
    made = shop.dukactl("api-keys", "create", "--name", "the ERP", "--scopes", "products_write,stock_write")
    secret = re.search("^secret: (duka_[0-9a-f]{72})$", made.stdout, re.M)[1]
    key_id = re.search("id ([0-9a-f-]{36})", made.stdout)[1]
    told = shop.dukactl("api-keys", "list").stdout
    line = next(line for line in told.splitlines() if key_id in line)
    assert "the ERP" in line and "products_write,stock_write" in line and secret[:13] in line and secret not in told
    key, sku = with_secret(shop, secret), shop.staff.new_sku()
    until(lambda: key.adjust(sku, delta=1).status_code == 200, 5, "known")
    assert "created_by" not in listed(shop, key_id)

    shop.dukactl("api-keys", "revoke", key_id)
    until(lambda: key.adjust(sku, delta=1).status_code == 401, 5, "revoked")
    assert "revoked" in next(line for line in shop.dukactl("api-keys", "list").stdout.splitlines() if key_id in line)
    wrong = shop.dukactl("api-keys", "create", "--name", "x", "--scopes", "everything", check=False)
    assert wrong.returncode == 1 and "scopes/0" in wrong.stderr
    assert shop.dukactl("api-keys", "revoke", shop.admin.id, check=False).returncode == 1
    assert shop.dukactl("api-keys", "create", "--scopes", "stock_read", check=False).returncode == 2
    entries = accepted(shop.admin.get("/users/audit", params={"subject": key_id}))["items"]
    assert [(one["actor"], one["call"]) for one in entries] == [
        ("operator", "users.revoke_api_key"), ("operator", "users.create_api_key")]  # fmt: skip


def test_each_key_has_a_rate_limit_of_its_own(new_shop):
    shop = new_shop(RATE_LIMIT=40).start()
    one, other = shop.new_api_key("orders_read"), shop.new_api_key("orders_read")
    # Each on a connection of its own: one that hears 429 twice is read again a second later, and then there is a token.
    asked = {"params": {"scope": "all"}, "headers": {"Connection": "close"}}
    statuses = [one.get("/orders", **asked).status_code for _ in range(60)]
    assert statuses[0] == 200 and statuses[-1] == 429
    refused(one.get("/orders", **asked), 429, "rate.exceeded")
    accepted(other.get("/orders", **asked))
    # A key that is not good is counted by address, and takes nothing from anybody else's.
    bad = with_secret(shop, one.token[:-1])
    assert {bad.get("/orders").status_code for _ in range(60)} == {401, 429}
    accepted(other.get("/orders", **asked))


@one_process("restore fills one DATA_DIR; apart each is restored by itself (test_apart.py)")
def test_keys_are_in_a_backup_and_a_shop_has_at_most_256(new_shop, tmp_path):
    shop = new_shop().start()
    if shop.database_prefix:
        pytest.skip("dukactl backs up SQLite; on PostgreSQL pg_dump does")
    key = shop.new_api_key("orders_read")
    shop.dukactl("backup", str(tmp_path / "backup.tar"))
    shop.stop()
    shop.dukactl("restore", "--replace", str(tmp_path / "backup.tar"))
    shop.start()
    accepted(key.get("/orders", params={"scope": "all"}))
    for _ in range(255):
        made = accepted(shop.admin.post("/users/api-keys", json={"name": "n", "scopes": ["stock_read"]}), 201)
    body = {"name": "one more", "scopes": ["stock_read"]}
    refused(shop.admin.post("/users/api-keys", json=body), 409, "api_keys.too_many")
    assert shop.admin.delete("/users/api-keys/" + made["id"]).status_code == 204
    accepted(shop.admin.post("/users/api-keys", json=body), 201)


def test_revoked_and_expired_keys_are_forgotten_after_their_time(new_shop):
    shop = new_shop(API_KEY_RETENTION="2s", SWEEP_INTERVAL="1s").start()
    lasting = shop.new_api_key("stock_read")
    revoked = shop.new_api_key("stock_read")
    expired = shop.new_api_key("stock_read", expires_at=in_seconds(10))  # every door has to hear of it before
    assert shop.admin.delete("/users/api-keys/" + revoked.id).status_code == 204
    assert "revoked_at" in listed(shop, revoked.id)

    def ids():
        return {one["id"] for one in accepted(shop.admin.get("/users/api-keys"))["items"]}

    until(lambda: not ids() & {revoked.id, expired.id}, 40, "forgotten")
    assert lasting.id in ids()
    refused(revoked.get("/orders"), 401, "auth.token_invalid")
    assert lasting.get("/orders").status_code == 403


def test_a_route_of_the_gateway_that_wants_a_role_takes_a_key_by_the_scope_of_its_call(new_shop, tmp_path):
    (tmp_path / "routes.yaml").write_text(
        "- path: /users\n  upstream: service:users\n"
        "- path: /products/stock\n  upstream: service:products\n  access: admin\n"
        "- path: /products\n  upstream: service:products\n  access: staff\n"
        "- path: /orders\n  upstream: service:orders\n  access: customer\n"
    )
    shop = new_shop(ROUTES_FILE=tmp_path / "routes.yaml").start()
    key, reader, sku = shop.new_api_key("orders_read", "stock_read"), shop.new_api_key("products_read"), shop.staff.new_sku()
    accepted(key.get("/orders", params={"scope": "all"}))
    refused(reader.get("/orders", params={"scope": "all"}), 403, "auth.scope_missing")
    accepted(reader.get("/products"))
    refused(key.get("/products"), 403, "auth.scope_missing")
    refused(key.get("/products/nothing/is/here"), 403, "auth.scope_missing")
    refused(key.get(f"/products/stock/{sku}"), 403, "auth.scope_missing")  # the route is for admins
    accepted(shop.admin.get(f"/products/stock/{sku}"))
    assert accepted(key.at(shop.doors["products"]).get(f"/products/stock/{sku}"))["sku"] == sku
