"""Orders: placing, reading, cancelling, shipping, giving back, and what stock says to each."""

import uuid

import pytest
from shop import ADDRESS, accepted, items, new_key, pages, refused, until

HAPPY = [
    "placed",
    "reserved",
    "payment.pending",
    "payment.authorized",
    "confirmed",
    "payment.captured",
]


@pytest.fixture
def sku(staff):
    """A SKU with 10 on hand at 12.99."""
    return staff.new_sku(on_hand=10, price=1299)


def paid(customer, lines, **rest):
    """A confirmed order whose money was captured."""
    order = accepted(customer.place(lines, **rest), 201)
    return customer.order_becomes(order["id"], status="confirmed", payment_status="captured")


# ---- placing ----


def test_an_order_is_placed_paid_and_read_back(staff, customer, sku):
    other = staff.new_sku(price=250)
    answer = customer.place([(sku, 2), (other, 3)], shipping_address=ADDRESS)
    order = accepted(answer, 201)
    assert (
        answer.headers["location"] == f"/orders/{order['id']}"
        and uuid.UUID(order["id"]).version == 7
    )
    assert (order["status"], order["customer_id"]) == ("confirmed", customer.id)
    assert order["total"] == {"amount": 2 * 1299 + 3 * 250, "currency": "EUR"}
    assert [
        (line["sku"], line["quantity"], line["shipped"], line["total"]["amount"])
        for line in order["lines"]
    ] == [(sku, 2, 0, 2598), (other, 3, 0, 750)]
    assert order["shipping_address"] == ADDRESS and order["fulfilment_status"] == "none"

    order = customer.order_becomes(order["id"], payment_status="captured")
    assert order["paid"] == order["total"]
    assert sorted(customer.timeline(order["id"])) == sorted(HAPPY)
    assert customer.timeline(order["id"])[0] == "placed"
    assert staff.levels(sku) == (10, 2, 8)


def test_an_order_goes_to_an_address_of_ones_own(shop, customer, sku):
    saved = accepted(customer.post("/users/me/addresses", json=ADDRESS), 201)
    order = accepted(customer.place(sku, address_id=saved["id"]), 201)
    assert order["shipping_address"] == ADDRESS
    accepted(customer.put(f"/users/me/addresses/{saved['id']}", json={**ADDRESS, "city": "Kisumu"}))
    assert customer.order(order["id"])["shipping_address"] == ADDRESS

    refused(
        shop.customer().place(sku, address_id=saved["id"]),
        422,
        "order.address_unknown",
        "/address_id",
    )
    refused(
        customer.place(sku, address_id=saved["id"], shipping_address=ADDRESS),
        422,
        "field.invalid",
        "/address_id",
    )


def test_what_is_no_order_is_refused_and_holds_nothing(staff, customer, sku):
    refused(customer.place("no-such-sku"), 422, "order.sku_unknown", "/lines/0/sku")
    refused(
        customer.place([(sku, 1), ("nothing", 1), ("none", 1)]),
        422,
        "order.sku_unknown",
        "/lines/1/sku",
        "/lines/2/sku",
    )
    refused(customer.place([]), 422, "field.invalid", "/lines")
    refused(customer.place([(sku, 1)] * 101), 422, "field.invalid", "/lines")
    for quantity in (0, -1, 10001, 1.5, "1"):
        refused(customer.place([(sku, quantity)]), 422, "field.invalid", "/lines/0/quantity")
    refused(customer.place(sku, "gold"), 422, "payment.token_invalid", "/payment/token")
    refused(
        customer.place(sku, provider="bank"), 422, "payment.provider_unknown", "/payment/provider"
    )
    refused(
        customer.post("/orders", key=new_key(), json={"lines": [{"sku": sku, "quantity": 1}]}),
        422,
        "field.invalid",
        "/payment",
    )
    refused(
        customer.place(sku, shipping_address={"name": "Amina"}),
        422,
        "field.invalid",
        "/shipping_address/line1",
        "/shipping_address/city",
        "/shipping_address/country",
    )
    assert staff.levels(sku) == (10, 0, 10)
    accepted(customer.place(sku), 201)
    assert staff.levels(sku) == (10, 1, 9)


def test_a_draft_cannot_be_ordered(staff, customer):
    draft = staff.create_product(status="draft")
    refused(customer.place(draft["variants"][0]["sku"]), 422, "order.sku_unknown", "/lines/0/sku")


def test_an_order_that_nobody_waits_for_is_answered_at_once(customer, sku):
    answer = customer.place(sku, "late", wait=None)
    order = accepted(answer, 202)
    assert answer.headers["location"] == f"/orders/{order['id']}" and order["status"] == "placed"
    customer.order_becomes(order["id"], status="confirmed", payment_status="captured")


def test_an_order_is_waited_for_as_long_as_asked(customer, sku):
    slow = accepted(customer.place(sku, "late", wait=1), 202)
    assert slow["status"] == "reserved" and slow["hold_until"] > slow["created_at"]
    assert accepted(customer.place(sku, "late", wait=10), 201)["status"] == "confirmed"
    settled = customer.order_becomes(slow["id"], status="confirmed")
    assert "hold_until" not in settled


def test_short_lines_are_named_and_nothing_is_held(staff, customer, sku):
    scarce = staff.new_sku(on_hand=1)
    body = refused(
        customer.place([(sku, 1), (scarce, 2)]), 409, "stock.insufficient", "/lines/1/quantity"
    )
    order = customer.order(body["subject"])
    assert (order["status"], order["reason"], order["payment_status"]) == (
        "rejected",
        "stock.insufficient",
        "none",
    )
    assert customer.timeline(order["id"]) == ["placed", "rejected"]
    assert staff.levels(sku) == (10, 0, 10) and staff.levels(scarce) == (1, 0, 1)
    accepted(customer.place([(sku, 1), (scarce, 1)]), 201)
    assert staff.levels(scarce) == (1, 1, 0)


def test_a_declined_payment_rejects_the_order_and_frees_its_stock(staff, customer, sku):
    body = refused(customer.place([(sku, 4)], "decline"), 402, "payment.declined")
    order = customer.order(body["subject"])
    assert (order["status"], order["reason"], order["payment_status"]) == (
        "rejected",
        "payment.declined",
        "declined",
    )
    until(lambda: staff.levels(sku) == (10, 0, 10), what="the stock to be free")


def test_the_price_of_the_time_of_placing_stands(staff, customer):
    product = staff.create_product(price=1000)
    sku, path = product["variants"][0]["sku"], f"/products/{product['id']}"
    before = accepted(customer.place(sku), 201)

    tag = staff.get(path).headers["etag"]
    variants = [{"sku": sku, "price": {"amount": 1500, "currency": "EUR"}}]
    accepted(staff.patch(path, json={"variants": variants}, headers={"If-Match": tag}))

    def dearer():
        return (
            customer.place(sku, expected_total={"amount": 1500, "currency": "EUR"}).status_code
            == 201
        )

    until(dearer, what="the new price to arrive")
    refused(
        customer.place(sku, expected_total={"amount": 1000, "currency": "EUR"}),
        409,
        "price.changed",
        "/expected_total",
    )
    refused(
        customer.place(sku, expected_total={"amount": 1500, "currency": "USD"}),
        409,
        "price.changed",
        "/expected_total",
    )
    assert customer.order(before["id"])["total"]["amount"] == 1000


# ---- reading ----


def test_orders_are_ones_own(shop, staff, customer, sku):
    other = shop.customer()
    order = accepted(customer.place(sku), 201)
    for path in (f"/orders/{order['id']}", f"/orders/{order['id']}/timeline"):
        refused(other.get(path), 404, "not_found")
        refused(shop.anonymous().get(path), 401, "auth.token_missing")
        accepted(staff.get(path))
    refused(other.cancel(order["id"]), 404, "not_found")
    assert items(other.get("/orders")) == []
    refused(customer.get("/orders", params={"scope": "all"}), 403, "auth.role_missing")
    refused(
        customer.get("/orders", params={"customer_id": other.id}),
        422,
        "field.invalid",
        "/customer_id",
    )
    refused(customer.get(f"/orders/{uuid.uuid4()}"), 404, "not_found")


def test_a_history_is_read_in_pages_newest_first(shop, staff, sku):
    person = shop.customer()
    made = [accepted(person.place(sku), 201)["id"] for _ in range(5)]
    found, count = pages(lambda **rest: person.get("/orders", **rest), limit=2)
    assert [order["id"] for order in found] == made[::-1] and count == 3
    found, _ = pages(
        lambda **rest: staff.get("/orders", **rest), limit=2, scope="all", customer_id=person.id
    )
    assert [order["id"] for order in found] == made[::-1]

    accepted(person.cancel(made[0]))
    person.order_becomes(made[0], status="cancelled")
    cancelled = items(person.get("/orders", params={"status": "cancelled"}))
    assert [order["id"] for order in cancelled] == made[:1]
    refused(person.get("/orders", params={"status": "lost"}), 422, "field.invalid", "/status")
    refused(person.get("/orders", params={"after": "AAAA"}), 400, "cursor.invalid")


def test_an_order_that_has_not_changed_is_not_sent_again(customer, sku):
    order = paid(customer, sku)
    path = f"/orders/{order['id']}"
    tag = customer.get(path).headers["etag"]
    assert tag == f'"v{order["version"]}"'
    assert customer.get(path, headers={"If-None-Match": tag}).status_code == 304


# ---- cancelling ----


def test_a_cancelled_order_gives_money_and_stock_back(staff, customer, sku):
    order = paid(customer, [(sku, 3)])
    answer = accepted(customer.cancel(order["id"], reason="changed my mind"))
    assert answer["status"] in ("cancelling", "cancelled") and answer["reason"] == "changed my mind"
    order = customer.order_becomes(order["id"], status="cancelled", payment_status="refunded")
    assert order["paid"]["amount"] == 0
    until(lambda: staff.levels(sku) == (10, 0, 10), what="the stock to be free")
    refused(customer.cancel(order["id"]), 409, "order.state")
    entry = next(
        e
        for e in items(customer.get(f"/orders/{order['id']}/timeline"))
        if e["what"] == "cancelling"
    )
    assert (entry["actor"], entry["actor_id"], entry["reason"]) == (
        "customer",
        customer.id,
        "changed my mind",
    )


def test_what_has_been_shipped_cannot_be_cancelled(staff, customer, sku):
    order = paid(customer, [(sku, 2)])
    accepted(staff.fulfil(order["id"], lines=[{"sku": sku, "quantity": 1}]))
    refused(customer.cancel(order["id"]), 409, "order.state")
    assert customer.order(order["id"])["status"] == "confirmed"


def test_an_order_is_cancelled_while_its_payment_is_still_out(staff, customer, sku):
    order = accepted(customer.place([(sku, 5)], "webhook", wait=None), 202)
    customer.order_becomes(order["id"], status="reserved")
    accepted(customer.cancel(order["id"]))
    order = customer.order_becomes(order["id"], status="cancelled")
    assert order["payment_status"] in ("voided", "refunded") and order["paid"]["amount"] == 0
    until(lambda: staff.levels(sku) == (10, 0, 10), what="the stock to be free")


# ---- shipping ----


def test_an_order_is_shipped_in_parts_until_it_is_completed(staff, customer, sku):
    other = staff.new_sku(on_hand=10)
    order = paid(customer, [(sku, 3), (other, 1)])
    path = order["id"]
    refused(customer.fulfil(path), 403, "auth.role_missing")
    refused(
        staff.fulfil(path, lines=[{"sku": sku, "quantity": 4}]),
        422,
        "fulfilment.invalid",
        "/lines/0/quantity",
    )
    refused(
        staff.fulfil(path, lines=[{"sku": "other", "quantity": 1}]),
        422,
        "fulfilment.invalid",
        "/lines/0/quantity",
    )

    part = accepted(
        staff.fulfil(path, lines=[{"sku": sku, "quantity": 2}], carrier="Posta", tracking="KE1")
    )
    assert (part["status"], part["fulfilment_status"]) == ("confirmed", "partial")
    assert [line["shipped"] for line in part["lines"]] == [2, 0]
    parcel = part["fulfilments"][0]
    assert (parcel["carrier"], parcel["tracking"]) == ("Posta", "KE1")
    assert parcel["lines"] == [{"sku": sku, "quantity": 2}]
    until(lambda: staff.levels(sku) == (8, 1, 7), what="two to have left the house")

    whole = accepted(staff.fulfil(path))
    assert (whole["status"], whole["fulfilment_status"], len(whole["fulfilments"])) == (
        "completed",
        "fulfilled",
        2,
    )
    until(
        lambda: staff.levels(sku) == (7, 0, 7) and staff.levels(other) == (9, 0, 9),
        what="all to have left",
    )
    refused(staff.fulfil(path), 409, "order.state")
    assert customer.timeline(path)[-3:] == ["shipped", "shipped", "completed"]


def test_an_unpaid_order_is_not_shipped(staff, customer, sku):
    order = accepted(customer.place(sku, provider="manual"), 201)
    refused(staff.fulfil(order["id"]), 409, "order.state")
    accepted(staff.record_payment(order["id"], order["total"]["amount"]))
    accepted(staff.fulfil(order["id"]))


def test_a_shipped_order_is_recorded_as_delivered(staff, customer, sku):
    order = paid(customer, [(sku, 2)])
    deliver = f"/orders/{order['id']}/deliveries"
    refused(staff.post(deliver, key=new_key(), json={}), 409, "order.state")
    accepted(staff.fulfil(order["id"]))
    refused(customer.post(deliver, key=new_key(), json={}), 403, "auth.role_missing")
    delivered = accepted(staff.post(deliver, key=new_key(), json={}))
    assert (delivered["status"], delivered["fulfilment_status"]) == ("completed", "delivered")
    assert customer.timeline(order["id"])[-1] == "delivered"
    refused(staff.post(deliver, key=new_key(), json={}), 409, "order.state")
    until(lambda: staff.levels(sku) == (8, 0, 8), what="two to have left the house")


# ---- giving back ----


def test_a_refund_before_shipping_is_a_cancellation(staff, customer, sku):
    order = paid(customer, [(sku, 2)])
    refused(customer.refund(order["id"]), 403, "auth.role_missing")
    accepted(staff.refund(order["id"], reason="out of season"))
    customer.order_becomes(order["id"], status="cancelled", payment_status="refunded")
    until(lambda: staff.levels(sku) == (10, 0, 10), what="the stock to be free")
    refused(staff.refund(order["id"]), 409, "refund.invalid")


def test_a_refund_with_restock_puts_shipped_units_back(staff, customer, sku):
    order = paid(customer, [(sku, 3)])
    accepted(staff.fulfil(order["id"]))
    until(lambda: staff.levels(sku) == (7, 0, 7), what="three to have left")
    accepted(staff.refund(order["id"], restock=True))
    order = customer.order_becomes(order["id"], payment_status="refunded")
    assert (order["status"], order["fulfilment_status"], order["paid"]["amount"]) == (
        "completed",
        "returned",
        0,
    )
    until(lambda: staff.levels(sku) == (10, 0, 10), what="three to be back")
    kinds = [(entry["kind"], entry["delta"]) for entry in staff.ledger(sku)]
    assert kinds == [("returned", 3), ("shipped", -3), ("initial", 10)]


def test_a_refund_of_a_half_shipped_order_frees_the_other_half(staff, customer, sku):
    order = paid(customer, [(sku, 4)])
    accepted(staff.fulfil(order["id"], lines=[{"sku": sku, "quantity": 1}]))
    accepted(staff.refund(order["id"]))
    order = customer.order_becomes(order["id"], payment_status="refunded", status="completed")
    until(lambda: staff.levels(sku) == (9, 0, 9), what="the rest to be free")
    refused(staff.fulfil(order["id"]), 409, "order.state")
