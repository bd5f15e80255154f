"""The shop is killed (kill -9) at random moments under concurrent orders and restarted; then its
books are checked, per order, against what clients were told. SEED=n plays a schedule again,
KILLS=n kills more often."""

import copy
import os
import uuid

import pytest
from books import Told, check_books, read_books
from rush import Run
from shop import seeded

KILLS = int(os.environ.get("KILLS") or 24)
@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The whole play, once; what came of it is looked at by the tests."""
    played = Run(tmp_path_factory.mktemp("kill"), seeded())
    try:
        played.play(KILLS)
        played.settle()
        # The last one: what is read now is what the disk has.
        played.shop.kill()
        played.books = read_books(played.shop.data, played.shop.data.parent / "copy")
        yield played
    finally:
        played.shop.kill()


def test_the_books_agree_with_what_clients_were_told_after_every_kill(run, tell):
    told = run.told()
    answers = [told.answers[0][0] for told in told]
    tell(
        f"{KILLS} kills, {len(told)} orders told: "
        + ", ".join(f"{answers.count(status)} × {status}" for status in (201, 202, 402, 409))
        + f"; {sum(len(one.answers) - 1 for one in told)} repeats; ready again within "
        f"{max(run.restarts) * 1000:.0f} ms"
    )
    faults = check_books(told, run.books, run.adjusted())
    assert faults == [], f"{len(faults)} faults, the first:\n" + "\n".join(faults[:20])


def test_every_kind_of_answer_came(run):
    answers = [told.answers[0][0] for told in run.told()]
    assert len(answers) >= 5 * KILLS, "clients were at work"
    for status in (201, 202, 402, 409):
        assert answers.count(status) > 0, f"nobody heard {status}"
    assert sum(len(told.answers) > 1 for told in run.told()) >= KILLS, "keys were repeated"
    states = {order["status"] for order in run.listed}
    assert {"confirmed", "completed", "rejected", "cancelled"} <= states
    assert any(
        len({sku for sku, _ in told.lines}) < len(told.lines) for told in run.told()
    ), "a SKU on two lines"


def test_the_api_tells_what_the_files_say(run):
    assert {order["id"] for order in run.listed} == set(run.books.orders)
    for order in run.listed:
        kept = run.books.orders[order["id"]]
        assert (order["status"], order["payment_status"], order["version"]) == (
            kept["status"],
            kept["payment"],
            kept["version"],
        )
        assert order["paid"]["amount"] == kept["captured_minor"] - kept["refunded_minor"]
    for sku, level in run.levels.items():
        kept = run.books.stock[sku]
        assert (level["on_hand"], level["reserved"]) == (kept["on_hand"], kept["reserved"])
        assert level["available"] == kept["on_hand"] - kept["reserved"] >= 0


# ---- the checker itself: each planted fault must be seen ----


def some_told(told, status):
    return next(one for one in told if one.answers[0][0] == status)


def some_order(books, **members):
    return next(
        order
        for order in books.orders.values()
        if all(order[name] == value for name, value in members.items())
    )


def lose_an_order(told, books, adjusted):
    del books.orders[some_told(told, 201).order_id()]


def double_an_order(told, books, adjusted):
    order = books.orders[some_told(told, 201).order_id()]
    twin = {**order, "id": str(uuid.uuid4())}
    books.orders[twin["id"]] = twin
    for table in (books.lines, books.steps, books.holds, books.payments):
        if order["id"] in table:
            table[twin["id"]] = table[order["id"]]


def tell_another_answer(told, books, adjusted):
    one = some_told(told, 201)
    one.answers.append((201, {**one.answers[0][1], "id": str(uuid.uuid4())}))


def forget_an_answer(told, books, adjusted):
    told[0].answers.clear()


def double_a_hold(told, books, adjusted):
    """One order's hold is doubled and another's is gone: the global sum stays."""
    one, other = [
        holds
        for order, holds in books.holds.items()
        if books.orders[order]["status"] == "confirmed"
    ][:2]
    one[0]["quantity"] += 1
    other[0]["quantity"] -= 1


def sell_twice(told, books, adjusted):
    books.stock["scarce"]["reserved"] += 1


def lose_a_ledger_entry(told, books, adjusted):
    books.ledger["plenty"].pop(0)


def go_negative(told, books, adjusted):
    books.stock["some"]["on_hand"] = -1


def miss_an_adjustment(told, books, adjusted):
    adjusted["plenty"] += 1


def take_money_for_nothing(told, books, adjusted):
    books.payments[
        some_order(books, status="rejected", provider="simulator", payment="declined")["id"]
    ]["known"] = 3


def take_money_without_an_order(told, books, adjusted):
    order = some_order(books, status="confirmed", payment="captured", provider="simulator")
    books.payments[str(uuid.uuid4())] = books.payments[order["id"]]


def ask_for_another_amount(told, books, adjusted):
    books.payments[some_order(books, payment="captured", provider="simulator")["id"]][
        "amount_minor"
    ] += 1


def leave_an_order_unsettled(told, books, adjusted):
    some_order(books, status="confirmed")["status"] = "reserved"


def confirm_what_was_refused(told, books, adjusted):
    books.orders[some_told(told, 409).order_id()].update(status="confirmed", payment="captured")


def leave_an_event(told, books, adjusted):
    books.left_over["orders.outbox"] = 1


def capture_twice(told, books, adjusted):
    books.steps[some_order(books, payment="captured")["id"]].append("payment.captured")


FAULTS = [
    lose_an_order,
    double_an_order,
    tell_another_answer,
    forget_an_answer,
    double_a_hold,
    sell_twice,
    lose_a_ledger_entry,
    go_negative,
    miss_an_adjustment,
    take_money_for_nothing,
    take_money_without_an_order,
    ask_for_another_amount,
    leave_an_order_unsettled,
    confirm_what_was_refused,
    leave_an_event,
    capture_twice,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_seen(run, plant):
    told, books, adjusted = copy.deepcopy((run.told(), run.books, run.adjusted()))
    before = set(check_books(told, books, adjusted))
    plant(told, books, adjusted)
    assert set(check_books(told, books, adjusted)) - before, "the checker saw nothing"
