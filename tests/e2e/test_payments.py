"""Payments: every token of the simulated provider, payments by hand, callbacks, holds that end."""

import hashlib
import hmac
import json
import uuid

import pytest
from shop import accepted, new_key, refused, until

SECRET = "a secret that only the provider and the shop know"
SETTINGS = {"PAYMENT_TIMEOUT": "3s", "PAYMENT_SIMULATOR_SECRET": SECRET}


@pytest.fixture
def sku(staff):
    return staff.new_sku(on_hand=10, price=1000)


def callback(
    person, payment_id, status, event_id=None, secret=SECRET, provider="simulator", changes=None
):
    """Sends what a provider would send; `changes` go into the body after it was signed."""
    body = {"event_id": event_id or new_key(), "payment_id": payment_id, "status": status}
    signed = json.dumps(body)
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Simulator-Signature": signature}
    content = json.dumps({**body, **changes}) if changes else signed
    return person.post(f"/orders/payments/{provider}/events", content=content, headers=headers)


# ---- the simulated provider ----

# What each token does: the first answer (status, code), then the order and its payment at the end.
TOKENS = {
    "approve": (201, None, "confirmed", "captured"),
    "decline": (402, "payment.declined", "rejected", "declined"),
    "timeout": (201, None, "confirmed", "captured"),
    "timeout-decline": (402, "payment.declined", "rejected", "declined"),
    "late": (201, None, "confirmed", "captured"),
    "twice": (201, None, "confirmed", "captured"),
    "webhook": (201, None, "confirmed", "captured"),
    "webhook-decline": (402, "payment.declined", "rejected", "declined"),
}


@pytest.fixture(scope="module")
def played(shop, staff):
    """One order for each token, all placed at once and answered: token -> (answer, SKU)."""
    import concurrent.futures

    person = shop.customer()
    skus = {token: staff.new_sku(on_hand=10, price=1000) for token in TOKENS}
    with concurrent.futures.ThreadPoolExecutor(len(TOKENS)) as pool:
        answers = {token: pool.submit(person.place, [(skus[token], 2)], token) for token in TOKENS}
        return person, {token: (answers[token].result(), skus[token]) for token in TOKENS}


@pytest.mark.parametrize("token", TOKENS)
def test_every_token_of_the_simulated_provider_does_what_it_says(staff, played, token):
    person, answers = played
    answer, sku = answers[token]
    first, code, status, payment = TOKENS[token]
    order_id = refused(answer, first, code)["subject"] if code else accepted(answer, first)["id"]
    order = person.order_becomes(order_id, status=status, payment_status=payment)
    assert order["paid"]["amount"] == (2000 if payment == "captured" else 0)
    steps = person.timeline(order_id)
    assert len(steps) == len(set(steps)), "no step is taken twice"
    assert ("payment.unknown" in steps) == token.startswith("timeout")
    held = 2 if status == "confirmed" else 0
    until(lambda: staff.levels(sku) == (10, held, 10 - held), what="the stock to agree")


def test_an_unknown_payment_keeps_its_hold(shop, staff, sku):
    person = shop.customer()
    order = accepted(person.place([(sku, 2)], "timeout", wait=None), 202)
    person.order_becomes(order["id"], status="reserved")

    def is_confirmed():
        assert staff.levels(sku) == (10, 2, 8)
        return person.order(order["id"])["status"] == "confirmed"

    until(is_confirmed, what="the payment to be known")
    steps = person.timeline(order["id"])
    assert steps.index("payment.unknown") < steps.index("payment.authorized")


# ---- by hand ----


def test_a_manual_payment_waits_until_staff_record_it(staff, customer, sku):
    order = accepted(customer.place([(sku, 2)], provider="manual"), 201)
    assert (order["status"], order["payment_status"]) == ("reserved", "pending")
    assert order["hold_until"] > order["created_at"] and staff.levels(sku) == (10, 2, 8)

    refused(customer.record_payment(order["id"], 2000), 403, "auth.role_missing")
    refused(staff.record_payment(order["id"], 1999), 422, "payment.amount", "/amount")
    refused(staff.record_payment(order["id"], 2000, "USD"), 422, "payment.amount", "/amount")
    key = new_key()
    paid = accepted(staff.record_payment(order["id"], 2000, key=key))
    assert (paid["status"], paid["payment_status"], paid["paid"]["amount"]) == (
        "confirmed",
        "captured",
        2000,
    )
    again = staff.record_payment(order["id"], 2000, key=key)
    assert accepted(again) == paid and again.headers["idempotent-replayed"] == "true"
    refused(staff.record_payment(order["id"], 2000), 409, "order.state")


def test_a_manual_order_is_cancelled_and_its_stock_is_free(staff, customer, sku):
    order = accepted(customer.place([(sku, 2)], provider="manual"), 201)
    answer = accepted(customer.cancel(order["id"]))
    assert (answer["status"], answer["payment_status"]) == ("cancelled", "voided")
    until(lambda: staff.levels(sku) == (10, 0, 10), what="the stock to be free")
    refused(staff.record_payment(order["id"], 2000), 409, "order.state")


def test_a_payment_of_another_provider_is_not_recorded_by_hand(staff, customer, sku):
    order = accepted(customer.place(sku), 201)
    refused(staff.record_payment(order["id"], 1000), 409, "order.state")


# ---- callbacks ----


def test_a_signed_callback_moves_the_order_once(anonymous, customer, sku):
    order = accepted(customer.place(sku, "webhook", wait=None), 202)
    customer.order_becomes(order["id"], status="reserved")
    event = new_key()
    for _ in range(3):
        assert callback(anonymous, order["id"], "authorized", event).status_code == 204
    customer.order_becomes(order["id"], status="confirmed")
    # The provider tells it as well, under a number of its own.
    customer.order_becomes(order["id"], payment_status="captured")
    steps = customer.timeline(order["id"])
    assert steps.count("payment.authorized") == 1 and steps.count("confirmed") == 1


def test_a_forged_callback_moves_nothing(anonymous, customer, sku):
    order = accepted(customer.place(sku, provider="manual"), 201)
    forged = [
        callback(anonymous, order["id"], "authorized", secret="simulator-secret"),
        callback(anonymous, order["id"], "declined", changes={"status": "authorized"}),
        anonymous.post(
            "/orders/payments/simulator/events",
            json={"event_id": "1", "payment_id": order["id"], "status": "authorized"},
        ),
    ]
    for answer in forged:
        refused(answer, 401, "payment.signature")
    # Signed, but by a provider that has nothing to do with this order.
    refused(callback(anonymous, order["id"], "captured"), 422, "field.invalid", "/payment_id")
    assert customer.order(order["id"])["payment_status"] == "pending"


def test_callbacks_that_cannot_be_read_are_refused(anonymous, customer, sku):
    order = accepted(customer.place(sku, "webhook"), 201)
    assert callback(anonymous, order["id"], "authorized", provider="nobank").status_code == 404
    refused(callback(anonymous, order["id"], "melted"), 422, "field.invalid", "/status")
    refused(callback(anonymous, "none", "authorized"), 422, "field.invalid", "/payment_id")
    refused(
        callback(anonymous, order["id"], "authorized", "x" * 101), 422, "field.invalid", "/event_id"
    )
    # Money that we know no order of: the sweeper's; the provider need not repeat it.
    assert callback(anonymous, str(uuid.uuid4()), "authorized").status_code == 204


def test_late_news_change_nothing(anonymous, customer, sku):
    order = accepted(customer.place(sku), 201)
    order = customer.order_becomes(order["id"], payment_status="captured")
    for status in ("authorized", "declined", "pending"):
        assert callback(anonymous, order["id"], status).status_code == 204
    assert customer.order(order["id"]) == order


# ---- with settings of their own ----


def test_a_hold_that_runs_out_frees_the_stock(new_shop):
    shop = new_shop(HOLD_TIME="1s").start()
    staff, customer = shop.staff, shop.customer()
    sku = staff.new_sku(on_hand=3, price=1000)
    order = accepted(customer.place([(sku, 3)], provider="manual"), 201)
    refused(customer.place(sku), 409, "stock.insufficient", "/lines/0/quantity")
    order = customer.order_becomes(order["id"], status="cancelled", payment_status="voided")
    assert order["reason"] == "hold.expired"
    until(lambda: staff.levels(sku) == (3, 0, 3), what="the stock to be free")
    refused(staff.record_payment(order["id"], 3000), 409, "order.state")
    accepted(customer.place([(sku, 3)]), 201)
    shop.close()


def test_money_is_captured_with_the_first_parcel_where_the_shop_wants_that(new_shop):
    shop = new_shop(PAYMENT_CAPTURE="fulfil").start()
    staff, customer = shop.staff, shop.customer()
    sku = staff.new_sku(on_hand=3, price=1000)
    kept, gone = (accepted(customer.place(sku), 201) for _ in range(2))
    accepted(customer.cancel(gone["id"]))
    customer.order_becomes(gone["id"], status="cancelled", payment_status="voided")
    assert customer.order(kept["id"])["payment_status"] == "authorized"
    accepted(staff.fulfil(kept["id"]))
    order = customer.order_becomes(kept["id"], status="completed", payment_status="captured")
    assert order["paid"]["amount"] == 1000
    shop.close()
