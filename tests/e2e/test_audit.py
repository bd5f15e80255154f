"""Who of the staff changed what: every call of theirs that changes something leaves a row, and nothing else does."""

import pytest
from shop import accepted, items, new_key, pages, refused
from test_auth import REFUSALS, ROUTES, World


@pytest.fixture(scope="module")
def world(shop):
    return World(shop)


def entries(shop, service, **query):
    return pages(lambda **rest: shop.admin.get(f"/{service}/audit", **rest), limit=100, **query)[0]


def newest(shop, service):
    found = items(shop.admin.get(f"/{service}/audit", params={"limit": 1}))
    return found[0] if found else {"id": None}


# What staff and admins change: the routes of the document that are theirs, and a customer's that staff may make for others.
CHANGES = [
    (method, path)
    for (method, path), (access, *_) in ROUTES.items()
    if method != "GET" and access in ("staff", "admin", "own+staff")
]


def test_there_are_calls_to_look_at():
    assert len(CHANGES) >= 15
    assert ("POST", "/orders/{id}/cancel") in CHANGES
    assert ("PUT", "/users/{id}/roles") in CHANGES


@pytest.mark.parametrize("method, path", CHANGES, ids=map(" ".join, CHANGES))
def test_what_staff_changes_leaves_who_what_and_the_request(shop, world, method, path):
    access, subject, request_of, success = ROUTES[method, path]
    service = path.split("/")[1]
    about = getattr(world, subject)() if subject else ""
    url = path.replace("{id}", about).replace("{sku}", about)
    who = world.admin if access == "admin" else world.staff
    world.caller = who
    request = request_of(world)
    if path.endswith("/roles"):
        request["json"] = {"roles": ["customer", "staff"]}
    before = newest(shop, service)

    refusal = REFUSALS[access]["other"]
    refused(world.other.request(method, url, **request), *refusal)
    assert newest(shop, service) == before, "a refused call left a row"

    headers = {**request.pop("headers", {}), "X-Request-Id": "audit-" + new_key()}
    answer = who.request(method, url, headers=headers, **request)
    assert answer.status_code == success, answer.text
    row = newest(shop, service)
    assert row["id"] != before["id"], "no row"
    assert row["actor"] == ("admin" if who is world.admin else "staff")
    assert row["actor_id"] == who.id
    assert row["request_id"] == headers["X-Request-Id"]
    assert row["call"].startswith(service + ".")
    assert row["subject"] == (about or answer.json()["id"])
    found = entries(shop, service, subject=row["subject"])
    assert row in found and {entry["subject"] for entry in found} == {row["subject"]}


def test_a_repeat_leaves_no_second_row_and_what_a_customer_does_leaves_none(shop, world):
    order, key = world.order(), new_key()
    first, again = (shop.staff.fulfil(order, key=key) for _ in range(2))
    assert first.status_code == 200 and again.headers["idempotent-replayed"] == "true"
    found = entries(shop, "orders", subject=order)
    assert [entry["call"] for entry in found] == ["orders.create_fulfilment"]
    own = world.order()
    accepted(world.owner.cancel(own))
    assert entries(shop, "orders", subject=own) == []


def test_what_the_operator_does_is_told_as_the_operators(shop):
    person = shop.new_account("staff")
    found = entries(shop, "users", subject=person.id)
    assert [(entry["actor"], entry["call"]) for entry in found] == [
        ("operator", "users.operator_create_user")
    ]
    assert "actor_id" not in found[0]


def test_the_trail_is_read_by_page_by_subject_and_by_account(shop, world):
    sku = shop.staff.new_sku()
    for _ in range(5):
        accepted(shop.staff.adjust(sku, delta=1))
    found, count = pages(
        lambda **rest: shop.admin.get("/products/audit", **rest), subject=sku, limit=2
    )
    assert len(found) == 5 and count == 3
    assert len({entry["id"] for entry in found}) == 5
    assert [entry["at"] for entry in found] == sorted((e["at"] for e in found), reverse=True)
    by_staff = entries(shop, "products", actor_id=shop.staff.id)
    assert {entry["actor_id"] for entry in by_staff} == {shop.staff.id}
    assert entries(shop, "products", actor_id=world.owner.id) == []
    bad = shop.admin.get("/products/audit", params={"after": "AAAAAAAAAAAAAAAA"})
    refused(bad, 400, "cursor.invalid")
    refused(shop.staff.get("/products/audit"), 403, "auth.role_missing")


def test_the_trail_holds_ids_only(shop, world):
    user = world.user()
    accepted(shop.staff.post(f"/users/{user}/suspend", json={"reason": "Zanzibar"}))
    assert entries(shop, "users", subject=user)
    said = str([entries(shop, service) for service in ("users", "products", "orders")])
    assert "@" not in said and "Zanzibar" not in said
