"""Idempotency-Key: a repeat hears the first answer, and nothing is done twice."""

import concurrent.futures
import time

import pytest
from shop import accepted, items, new_key, refused, until


@pytest.fixture
def sku(staff):
    return staff.new_sku(on_hand=10, price=1000)


def is_replay(first, again):
    """The same answer, marked."""
    assert again.headers.get("idempotent-replayed") == "true"
    assert "idempotent-replayed" not in first.headers
    body, repeated = first.json(), again.json()
    for problem in (body, repeated):
        problem.pop("trace_id", None)
    assert (first.status_code, body) == (again.status_code, repeated)
    assert first.headers.get("location") == again.headers.get("location")
    assert first.headers.get("etag") == again.headers.get("etag")
    assert first.status_code >= 400 or first.headers["etag"].startswith('"v')


def orders_of(person):
    return [order["id"] for order in items(person.get("/orders", params={"limit": 100}))]


def test_a_repeat_hears_the_first_answer_though_the_order_moved_on(shop, staff, sku):
    person, key = shop.customer(), new_key()
    first = person.place(sku, key=key)
    order = accepted(first, 201)
    accepted(staff.fulfil(person.order_becomes(order["id"], payment_status="captured")["id"]))
    is_replay(first, person.place(sku, key=key))
    assert orders_of(person) == [order["id"]]


def test_202_is_an_answer_too(shop, sku):
    person, key = shop.customer(), new_key()
    first = person.place(sku, key=key, wait=None)
    order = accepted(first, 202)
    person.order_becomes(order["id"], status="confirmed")
    is_replay(first, person.place(sku, key=key, wait=10))
    assert orders_of(person) == [order["id"]]


@pytest.mark.parametrize(
    "token, quantity, status, code",
    [("approve", 11, 409, "stock.insufficient"), ("decline", 1, 402, "payment.declined")],
)
def test_refusals_that_made_an_order_are_repeated(shop, staff, sku, token, quantity, status, code):
    person, key = shop.customer(), new_key()
    first = person.place([(sku, quantity)], token, key=key)
    refused(first, status, code)
    accepted(staff.adjust(sku, delta=100))
    is_replay(first, person.place([(sku, quantity)], token, key=key))
    assert len(orders_of(person)) == 1
    accepted(person.place([(sku, quantity)]), 201)


def test_answers_to_invalid_requests_are_not_kept(shop, sku):
    person, key = shop.customer(), new_key()
    refused(person.place([(sku, 0)], key=key), 422, "field.invalid", "/lines/0/quantity")
    refused(person.place("no-such-sku", key=key), 422, "order.sku_unknown", "/lines/0/sku")
    refused(
        person.place(sku, key=key, expected_total={"amount": 1, "currency": "EUR"}),
        409,
        "price.changed",
    )
    order = accepted(person.place(sku, key=key), 201)
    assert orders_of(person) == [order["id"]]


def test_the_same_key_with_another_body_is_refused(shop, sku):
    person, key = shop.customer(), new_key()
    first = person.place(sku, key=key)
    order = accepted(first, 201)
    refused(person.place([(sku, 2)], key=key), 422, "idempotency.key_reused")
    is_replay(first, person.place(sku, key=key))
    assert orders_of(person) == [order["id"]]


def test_bodies_are_compared_by_what_they_say(shop, sku):
    person, key = shop.customer(), new_key()
    first = person.place(sku, key=key)
    spaced = (
        '{ "payment": {"token": "approve", "provider": "simulator"},\n'
        ' "lines": [{"quantity": 1, "sku": "%s"}] }'
    )
    again = person.post(
        "/orders", key=key, content=spaced % sku, headers={"Content-Type": "application/json"}
    )
    is_replay(first, again)


@pytest.mark.parametrize("key", [None, "", "a" * 256, "two words", "käse".encode()])
def test_a_key_is_1_to_255_visible_ascii_characters(shop, sku, key):
    person = shop.customer()
    body = {
        "lines": [{"sku": sku, "quantity": 1}],
        "payment": {"provider": "simulator", "token": "approve"},
    }
    refused(person.post("/orders", key=key, json=body), 400, "idempotency.key_required")
    accepted(person.post("/orders", key="a" * 255, json=body), 201)


def test_keys_belong_to_their_caller_and_their_call(shop, staff, sku):
    one, other, key = shop.customer(), shop.customer(), new_key()
    order = accepted(one.place(sku, key=key), 201)
    assert accepted(other.place(sku, key=key), 201)["id"] != order["id"]
    cancelled = one.cancel(order["id"], key=key)
    accepted(cancelled)
    assert "idempotent-replayed" not in cancelled.headers


def test_a_repeat_waits_while_the_first_is_at_work(shop, sku):
    person, key = shop.customer(), new_key()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        started = time.monotonic()
        answers = [
            answer.result()
            for answer in [
                pool.submit(person.place, sku, "late", key=key, wait=10) for _ in range(4)
            ]
        ]
    assert time.monotonic() - started > 1.5, "each waited for the payment that came late"
    orders = [accepted(answer, 201) for answer in answers]
    assert all(order == orders[0] for order in orders) and orders[0]["status"] == "confirmed"
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == [
        "",
        "true",
        "true",
        "true",
    ]
    assert orders_of(person) == [orders[0]["id"]]


def test_other_moves_are_done_once_too(shop, staff, sku):
    person = shop.customer()
    key = new_key()
    first = staff.adjust(sku, key=key, delta=5)
    assert accepted(first)["on_hand"] == 15
    is_replay(first, staff.adjust(sku, key=key, delta=5))
    refused(staff.adjust(sku, key=key, delta=6), 422, "idempotency.key_reused")
    assert staff.levels(sku)[0] == 15

    order = accepted(person.place([(sku, 4)]), 201)["id"]
    person.order_becomes(order, payment_status="captured")
    key = new_key()
    first = staff.fulfil(order, key=key, lines=[{"sku": sku, "quantity": 1}])
    assert accepted(first)["fulfilment_status"] == "partial"
    is_replay(first, staff.fulfil(order, key=key, lines=[{"sku": sku, "quantity": 1}]))
    until(lambda: staff.levels(sku) == (14, 3, 11), what="one to have left")

    key = new_key()
    first = staff.refund(order, key=key)
    accepted(first)
    is_replay(first, staff.refund(order, key=key))

    other = accepted(person.place(sku), 201)["id"]
    key = new_key()
    first = person.cancel(other, key=key)
    accepted(first)
    is_replay(first, person.cancel(other, key=key))
    assert person.timeline(other).count("cancelling") == 1
