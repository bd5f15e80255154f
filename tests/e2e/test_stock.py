"""Stock: what is sold once is not sold twice, and every unit can be accounted for."""

import concurrent.futures
import statistics
import time

import pytest
from shop import accepted, new_key, refused, until

BUYERS = 200


def accounts(staff, sku):
    """The stock of a SKU agrees with its ledger; gives on hand, reserved, available."""
    ledger, levels = staff.ledger(sku), staff.levels(sku)
    on_hand, reserved, available = levels
    assert on_hand == sum(entry["delta"] for entry in ledger) == ledger[0]["on_hand_after"]
    assert available == on_hand - reserved >= 0 and reserved >= 0
    running = 0
    for entry in reversed(ledger):
        running += entry["delta"]
        assert entry["on_hand_after"] == running >= 0
    return levels


def test_one_of_200_buyers_gets_the_last_unit_and_the_others_hear_so_in_their_first_answer(
    shop, staff, tell
):
    sku = staff.new_sku(on_hand=1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        buyers = list(pool.map(lambda _: shop.customer("buyer"), range(BUYERS)))

    def buy(buyer):
        started = time.monotonic()
        answer = buyer.place(sku, wait=10)
        return answer, time.monotonic() - started

    with concurrent.futures.ThreadPoolExecutor(BUYERS) as pool:
        answers = list(pool.map(buy, buyers))

    won = [answer for answer, _ in answers if answer.status_code == 201]
    lost = [answer for answer, _ in answers if answer.status_code != 201]
    waits = sorted(waited for _, waited in answers)
    tell(
        f"{BUYERS} buyers of one unit waited: median {statistics.median(waits) * 1000:.0f} ms, "
        f"p95 {waits[int(len(waits) * 0.95)] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms"
    )
    assert len(won) == 1 and accepted(won[0], 201)["status"] == "confirmed"
    for answer in lost:
        refused(answer, 409, "stock.insufficient", "/lines/0/quantity")
        assert "idempotent-replayed" not in answer.headers
    assert accounts(staff, sku) == (1, 1, 0)


def test_many_orders_at_once_share_what_there_is(shop, staff):
    sku, buyers = staff.new_sku(on_hand=25), [shop.customer() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: buyers[i % 4].place([(sku, 2)]), range(40)))
    assert sorted(answer.status_code for answer in answers) == [201] * 12 + [409] * 28
    assert accounts(staff, sku) == (25, 24, 1)


def test_a_sku_on_two_lines_counts_as_their_sum(staff, customer):
    sku = staff.new_sku(on_hand=5)
    refused(
        customer.place([(sku, 3), (sku, 3)]),
        409,
        "stock.insufficient",
        "/lines/0/quantity",
        "/lines/1/quantity",
    )
    assert accounts(staff, sku) == (5, 0, 5)
    order = accepted(customer.place([(sku, 3), (sku, 2)]), 201)
    assert [line["quantity"] for line in order["lines"]] == [3, 2]
    assert accounts(staff, sku) == (5, 5, 0)

    customer.order_becomes(order["id"], payment_status="captured")
    part = accepted(staff.fulfil(order["id"], lines=[{"sku": sku, "quantity": 4}]))
    assert [line["shipped"] for line in part["lines"]] == [3, 1]
    until(lambda: staff.levels(sku) == (1, 1, 0), what="four to have left")
    accepted(staff.fulfil(order["id"]))
    until(lambda: staff.levels(sku) == (0, 0, 0), what="the last to have left")
    accounts(staff, sku)


def test_orders_over_the_same_skus_in_turned_order_do_not_stand_in_each_others_way(shop, staff):
    one, two, buyers = (
        staff.new_sku(on_hand=20),
        staff.new_sku(on_hand=20),
        [shop.customer() for _ in range(4)],
    )
    lines = [[(one, 1), (two, 1)], [(two, 1), (one, 1)]]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: buyers[i % 4].place(lines[i % 2]), range(40)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 20
    assert accounts(staff, one) == accounts(staff, two) == (20, 20, 0)


# ---- adjusting ----


def test_adjustments_go_by_delta_or_by_count_with_a_reason(staff, customer):
    sku = staff.new_sku(on_hand=10)
    stock = accepted(staff.adjust(sku, delta=5, note="a pallet"))
    assert (stock["on_hand"], stock["reserved"], stock["available"]) == (15, 0, 15)
    accepted(staff.adjust(sku, delta=-3, reason="damaged"))
    accepted(staff.adjust(sku, on_hand={"quantity": 20}, reason="counted"))
    assert accounts(staff, sku) == (20, 0, 20)
    entries = staff.ledger(sku)
    assert [(e["kind"], e["delta"], e["on_hand_after"], e.get("reason")) for e in entries] == [
        ("adjusted", 8, 20, "counted"),
        ("adjusted", -3, 12, "damaged"),
        ("adjusted", 5, 15, "received"),
        ("initial", 10, 10, None),
    ]
    assert entries[2]["note"] == "a pallet" and entries[2]["actor_id"] == staff.id

    refused(customer.adjust(sku, delta=1), 403, "auth.role_missing")
    refused(customer.get(f"/products/stock/{sku}"), 403, "auth.role_missing")
    refused(staff.adjust(sku, delta=1, reason="magic"), 422, "field.invalid", "/reason")
    refused(
        staff.post(f"/products/stock/{sku}/adjustments", key=new_key(), json={"delta": 1}),
        422,
        "field.invalid",
        "/reason",
    )
    assert staff.adjust(sku, reason="counted").status_code == 422
    refused(
        staff.adjust(sku, reason="counted", on_hand={}), 422, "field.invalid", "/on_hand/quantity"
    )
    assert staff.adjust(sku, delta=1, on_hand={"quantity": 3}).status_code == 422
    refused(staff.adjust("no-such-sku", delta=1), 404, "not_found")
    assert accounts(staff, sku) == (20, 0, 20)


def test_an_adjustment_can_be_a_compare_and_swap(staff):
    sku = staff.new_sku(on_hand=10)
    refused(staff.adjust(sku, delta=1, expected_on_hand={"quantity": 9}), 409, "stock.conflict")
    accepted(staff.adjust(sku, delta=1, expected_on_hand={"quantity": 10}))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: staff.adjust(sku, delta=1, expected_on_hand={"quantity": 11}), range(8)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert accounts(staff, sku) == (12, 0, 12)


def test_stock_that_is_promised_is_not_adjusted_away(staff, customer):
    sku = staff.new_sku(on_hand=10)
    accepted(customer.place([(sku, 6)]), 201)
    refused(staff.adjust(sku, delta=-5, reason="lost"), 409, "stock.negative")
    refused(staff.adjust(sku, on_hand={"quantity": 5}, reason="counted"), 409, "stock.negative")
    assert accounts(staff, sku) == (10, 6, 4)
    accepted(staff.adjust(sku, delta=-4, reason="lost"))
    assert accounts(staff, sku) == (6, 6, 0)


def test_the_ledger_is_read_in_pages(staff):
    sku = staff.new_sku(on_hand=1)
    for i in range(7):
        accepted(staff.adjust(sku, delta=i + 1))
    whole = staff.ledger(sku)
    first = accepted(staff.get(f"/products/stock/{sku}/ledger", params={"limit": 3}))
    rest = accepted(
        staff.get(f"/products/stock/{sku}/ledger", params={"limit": 100, "after": first["next"]})
    )
    assert first["items"] + rest["items"] == whole and len(whole) == 8 and "next" not in rest
    refused(
        staff.get(f"/products/stock/{sku}/ledger", params={"after": "AAAA"}), 400, "cursor.invalid"
    )


@pytest.mark.parametrize("quantity", [1, 10000])
def test_the_equation_of_the_ledger_holds_through_a_life(staff, customer, quantity):
    sku = staff.new_sku(on_hand=3 * quantity)
    shipped, returned, cancelled = (
        accepted(customer.place([(sku, quantity)]), 201)["id"] for _ in range(3)
    )
    assert accounts(staff, sku) == (3 * quantity, 3 * quantity, 0)
    for order in (shipped, returned, cancelled):
        customer.order_becomes(order, payment_status="captured")
    accepted(staff.fulfil(shipped))
    accepted(staff.fulfil(returned))
    accepted(staff.refund(returned, restock=True))
    accepted(customer.cancel(cancelled))
    accepted(staff.adjust(sku, delta=7))
    until(
        lambda: staff.levels(sku) == (2 * quantity + 7, 0, 2 * quantity + 7),
        what="everything to have its place",
    )
    sums = {}
    for entry in staff.ledger(sku):
        sums[entry["kind"]] = sums.get(entry["kind"], 0) + entry["delta"]
    assert sums == {
        "initial": 3 * quantity,
        "adjusted": 7,
        "shipped": -2 * quantity,
        "returned": quantity,
    }
    accounts(staff, sku)
