"""A person who leaves: gone from every table of every service and from the files beneath them; the books stay."""

import re
import sqlite3
import subprocess
import time
import uuid

import postgresql
import pytest
from shop import ADDRESS, PASSWORD, SERVICES, Person, accepted, items, new_key, refused, until

SETTINGS = {"ERASURE_INTERVAL": "10s"}


def marks(tag):
    """What is planted about a person: each is looked for in every database file."""
    return {
        name: f"{name}-planted-{tag}"
        for name in ("email", "name", "phone", "line", "ordered", "why", "staffwhy", "agent", "parcel")
    }


def contents(shop):
    """What is kept: the files of SQLite as they are, logs and freed pages included; of PostgreSQL, all rows of all tables."""
    urls = {name: shop.environment().get(f"DATABASE_URL_{name.upper()}", "") for name in SERVICES}
    for name, url in urls.items():
        if url.startswith("postgresql:"):
            dump = [str(postgresql.BINARIES / "pg_dump"), "--data-only", url]
            yield name, subprocess.run(dump, check=True, capture_output=True).stdout
    for path in sorted(shop.data.glob("*.db*")):
        yield path.name, path.read_bytes()


def found_in_files(shop, texts):
    """Which of the texts stand where; in a dump, bytes stand as hexadecimal."""
    found = set()
    for name, content in contents(shop):
        for text in texts:
            plain = text.encode()
            if plain in content or plain.hex().encode() in content:
                found.add((name, text))
    return found


def join(shop, planted):
    person = Person(shop.http, shop.url, f"{planted['email']}@example.com", PASSWORD)
    body = {
        "email": person.email,
        "password": PASSWORD,
        "name": planted["name"],
        "phone": planted["phone"],
    }
    person.id = accepted(person.post("/users", json=body), 201)["id"]
    login = {"email": person.email, "password": PASSWORD}
    tokens = accepted(
        person.post("/users/login", json=login, headers={"User-Agent": planted["agent"]})
    )
    person.token, person.refresh_token = tokens["access_token"], tokens["refresh_token"]
    accepted(person.post("/users/me/addresses", json={**ADDRESS, "line1": planted["line"]}), 201)
    return person


def wait_forgotten(shop, planted, seconds=30):
    until(lambda: not found_in_files(shop, planted), seconds, "the person to be gone from the files")


def test_a_person_goes_from_every_file_and_the_books_stay(shop, staff):
    planted = marks("one")
    person, sku = join(shop, planted), staff.new_sku(price=1000)
    address = {**ADDRESS, "line1": planted["ordered"]}
    key = new_key()
    done = accepted(person.place(sku, key=key, shipping_address=address), 201)["id"]
    person.order_becomes(done, payment_status="captured")
    accepted(staff.fulfil(done, carrier="post", tracking=planted["parcel"]))
    dropped = accepted(person.place(sku, provider="manual", shipping_address=address), 201)["id"]
    accepted(person.cancel(dropped, reason=planted["why"]))
    accepted(staff.post(f"/users/{person.id}/suspend", json={"reason": planted["staffwhy"]}))
    accepted(staff.post(f"/users/{person.id}/restore"))
    person.log_in()
    before = {name: {text for _, text in found_in_files(shop, [text])} for name, text in planted.items()}
    assert all(before.values()), f"the search must find what is planted: {before}"

    started = time.monotonic()
    assert person.delete("/users/me").status_code == 204
    until(lambda: person.get("/orders").status_code == 401, 5, "the token to be refused")
    assert time.monotonic() - started < 5.5
    refused(staff.get(f"/users/{person.id}"), 404, "not_found")
    wait_forgotten(shop, planted.values())

    order = staff.order(done)
    assert (order["total"]["amount"], order["paid"]["amount"]) == (1000, 1000)
    assert order["status"] == "completed" and order["customer_id"] == person.id
    assert "shipping_address" not in order
    assert staff.order(dropped)["status"] == "cancelled"
    steps = items(staff.get(f"/orders/{dropped}/timeline"))
    assert "cancelled" in [step["what"] for step in steps]
    assert not any(step.get("reason") == planted["why"] for step in steps)
    assert staff.levels(sku)[0] == 99
    assert done in {one["id"] for one in items(staff.get("/orders", params={"scope": "all"}))}


def test_others_keep_what_is_theirs(shop, staff):
    planted, stays = marks("goes"), marks("stays")
    person, other = join(shop, planted), join(shop, stays)
    sku = staff.new_sku()
    address = {**ADDRESS, "line1": stays["ordered"]}
    kept = accepted(other.place(sku, shipping_address=address), 201)["id"]
    assert person.delete("/users/me").status_code == 204
    wait_forgotten(shop, planted.values())
    assert other.order(kept)["shipping_address"]["line1"] == stays["ordered"]
    assert accepted(other.get("/users/me"))["name"] == stays["name"]


def test_an_order_that_is_still_to_be_shipped_keeps_its_address_until_it_is(shop, staff):
    planted = marks("open")
    person, sku = join(shop, planted), staff.new_sku()
    address = {**ADDRESS, "line1": planted["ordered"]}
    order = accepted(person.place(sku, shipping_address=address), 201)["id"]
    person.order_becomes(order, payment_status="captured")
    assert person.delete("/users/me").status_code == 204
    rest = [text for name, text in planted.items() if name != "ordered"]
    wait_forgotten(shop, rest)
    assert staff.order(order)["shipping_address"]["line1"] == planted["ordered"]
    accepted(staff.fulfil(order))
    wait_forgotten(shop, planted.values(), 45)
    assert "shipping_address" not in staff.order(order)


def test_a_kept_answer_about_a_person_is_forgotten_and_does_nothing_again(shop, staff):
    planted = marks("kept")
    person, sku = join(shop, planted), staff.new_sku()
    address = {**ADDRESS, "line1": planted["ordered"]}
    order = accepted(person.place(sku, shipping_address=address), 201)["id"]
    person.order_becomes(order, payment_status="captured")
    key = new_key()
    shipped = accepted(staff.fulfil(order, key=key))
    assert shipped["shipping_address"]["line1"] == planted["ordered"]
    assert person.delete("/users/me").status_code == 204
    wait_forgotten(shop, planted.values())
    refused(staff.fulfil(order, key=key), 404, "not_found")
    assert staff.levels(sku)[0] == 99


def change(shop, service, sql):
    """Changes a database of a shop that does not run, as no program of ours would. Bytes stand as X'…'."""
    assert shop.process is None
    url = shop.environment().get(f"DATABASE_URL_{service.upper()}", "")
    if url.startswith("postgresql:"):
        sql = re.sub("X'([0-9a-f]{32})'", r"'\1'", sql)  # a UUID
        sql = re.sub("X'([0-9a-f]*)'", r"'\\x\1'", sql)
        subprocess.run([str(postgresql.BINARIES / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url], input=sql, text=True, check=True)
        return
    with sqlite3.connect(shop.data / f"{service}.db") as database:
        database.executescript(sql)
    database.close()


def news(customer, text):
    """An OrderNews of somebody, in hexadecimal: news_id, number, order_id, customer_id, a kind, a reason."""
    fields = ((1, f"{uuid.uuid4()}.rejected"), (3, str(uuid.uuid4())), (4, customer), (7, text))
    return (b"".join(bytes([i << 3 | 2, len(value)]) + value.encode() for i, value in fields) + b"\x10\x01\x28\x02").hex()


def test_events_about_a_person_that_wait_or_were_put_aside_go_with_them(new_shop):
    shop = new_shop(**SETTINGS).start()
    planted = {**marks("waits"), "letter": "letter-planted", "why": "error-planted", "held": "held-planted"}
    person = join(shop, planted)
    stays = {"letter": "letter-of-another"}
    other = str(uuid.uuid4())
    shop.stop()
    event = ("'orders-news.v1', '{key}', {number}, X'" + "00" * 16 + "', 'orders.v1.OrderNews', X'{payload}', 1")
    letter = "insert into dead_letters (topic, key, number, event_id, type, payload, event_at, error, tries, state, at)"
    held = "insert into inbox_held (topic, key, number, event_id, type, payload, event_at, at)"
    change(shop, "users", "\n".join((
        f"{letter} values ({event.format(key='a', number=1, payload=news(person.id, planted['letter']))}, '{planted['why']}', 1, 'dead', 1);",
        f"{letter} values ({event.format(key='b', number=1, payload=news(other, stays['letter']))}, 'other', 1, 'dead', 1);",
        f"{held} values ({event.format(key='c', number=2, payload=news(person.id, planted['held']))}, 1);",
    )))
    shop.start()
    texts = [planted[name] for name in ("email", "letter", "why", "held")]
    assert {text for _, text in found_in_files(shop, texts)} == set(texts)
    person.log_in()
    assert person.delete("/users/me").status_code == 204
    wait_forgotten(shop, texts)
    assert found_in_files(shop, stays.values()), "what is about others stays until a person decides"
    shop.close()


@pytest.mark.parametrize("who", ["staff", "admin"])
def test_staff_can_leave_too(shop, who):
    shop.new_account("admin")
    person = shop.new_account(who)
    assert person.delete("/users/me").status_code == 204
    until(lambda: person.get("/users/me").status_code == 401, 5, "the token to be refused")
