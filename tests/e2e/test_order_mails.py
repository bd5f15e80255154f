"""Mails about orders by a real SMTP server: each step of an order is told once, whatever is killed between."""

import time

import pytest
from mailserver import MailServer, text_of
from shop import until
from test_mail import mail_settings

FIRST_VERIFY = 1  # the mail of the registration comes before all others


@pytest.fixture
def server():
    running = MailServer().start()
    yield running
    running.stop()


def subjects(server, person):
    return [message["Subject"].removeprefix("Mugs & More: ") for message in server.to(person.email)]


def hears(server, person, *wanted):
    """Waits for these subjects after the one of the registration, in any order, and checks that no others follow. A consumer of SQS
    that was killed held its events for 30 s."""
    until(lambda: len(subjects(server, person)) >= 1 + len(wanted), 60, f"{wanted}")
    time.sleep(1.2)  # more than a tick of the table of mails
    heard = subjects(server, person)
    assert sorted(heard) == sorted(["please confirm your e-mail address", *wanted]), heard


CONFIRMED, REJECTED = "your order is confirmed", "your order could not be taken"
SHIPPED, CANCELLED = "your order is on its way", "your order is cancelled"
REFUNDED = "your money is on its way back"


def test_each_step_of_an_order_is_told_to_its_buyer_once_and_to_nobody_else(server, new_shop):
    with new_shop(**mail_settings(server)) as shop:
        sku = shop.staff.new_sku(on_hand=5, price=1299)
        other = shop.customer()
        ships, cancels, fails, declines = (shop.customer() for _ in range(4))

        shipped = ships.place([(sku, 2)]).json()["id"]
        assert shop.staff.fulfil(shipped, lines=[{"sku": sku, "quantity": 1}]).status_code == 200
        assert shop.staff.fulfil(shipped).status_code == 200
        ships.order_becomes(shipped, payment_status="captured")
        assert shop.staff.refund(shipped).status_code == 200
        cancelled = cancels.place(sku).json()["id"]
        cancels.order_becomes(cancelled, payment_status="captured")
        assert cancels.cancel(cancelled).status_code == 200
        assert fails.place([(sku, 50)]).status_code == 409
        assert declines.place(sku, "decline").status_code == 402

        hears(server, ships, CONFIRMED, SHIPPED, SHIPPED, REFUNDED)
        hears(server, cancels, CONFIRMED, CANCELLED, REFUNDED)
        hears(server, fails, REJECTED)
        hears(server, declines, REJECTED)
        hears(server, other)
        texts = {message["Subject"]: text_of(message) for message in server.to(ships.email)}
        confirmed = texts["Mugs & More: " + CONFIRMED]
        assert "your order of 25.98 EUR" in confirmed
        assert f"https://shop.example/orders/{shipped}" in confirmed
        assert "25.98 EUR" in texts["Mugs & More: " + REFUNDED]
        assert "enough in stock" in text_of(server.to(fails.email)[-1])
        assert "declined" in text_of(server.to(declines.email)[-1], "html")


def test_a_kill_between_an_event_and_its_mail_loses_none_and_doubles_none(new_shop):
    server = MailServer()  # is away at first: every mail waits in its table
    shop = new_shop(**mail_settings(server)).start()
    sku = shop.staff.new_sku()
    people = [shop.customer() for _ in range(6)]
    orders = [person.place(sku).json()["id"] for person in people]
    until(lambda: shop.rows("users", "select count(*) from mail_jobs")[0][0] == 12, 20, "the jobs")
    shop.kill()
    shop.start()
    for order in orders[:3]:
        assert shop.staff.fulfil(order).status_code == 200
    shop.kill()  # wherever the events are by now
    server.start()
    try:
        shop.start()
        for index, person in enumerate(people):
            hears(server, person, CONFIRMED, *([SHIPPED] if index < 3 else []))
        shop.close()
    finally:
        server.stop()


def test_a_mail_whose_taking_was_not_heard_comes_again_under_the_same_id(server, new_shop):
    with new_shop(**mail_settings(server)) as shop:
        sku = shop.staff.new_sku()
        person = shop.customer()
        server.wait(person.email)
        server.dies = 1
        assert person.place(sku).status_code == 201
        until(lambda: len(server.to(person.email)) == 3, 20, "the repeat")
        _, first, second = server.to(person.email)
        assert first["Message-ID"] == second["Message-ID"]
        assert first["Subject"] == second["Subject"]


def test_who_has_erased_the_account_hears_nothing_more(server, new_shop):
    with new_shop(**mail_settings(server)) as shop:
        sku = shop.staff.new_sku()
        person, other = shop.customer(), shop.customer()
        orders = [one.place(sku).json()["id"] for one in (person, other)]
        hears(server, person, CONFIRMED)
        assert person.delete("/users/me").status_code == 204
        for order in orders:
            assert shop.staff.fulfil(order).status_code == 200
        hears(server, other, CONFIRMED, SHIPPED)
        hears(server, person, CONFIRMED)
        assert shop.rows("users", "select count(*) from mail_jobs")[0][0] == 0


def test_a_shop_chooses_which_mails_it_sends(server, new_shop):
    with new_shop(**mail_settings(server, MAIL_ORDER_CONFIRMED="false")) as shop:
        sku = shop.staff.new_sku()
        person = shop.customer()
        order = person.place(sku).json()["id"]
        assert shop.staff.fulfil(order).status_code == 200
        hears(server, person, SHIPPED)
