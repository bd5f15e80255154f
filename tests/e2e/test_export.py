"""What the shop keeps of a person is given to that person, whole, and to nobody else."""

import json

from shop import PASSWORD, accepted, refused

AGENT = "marker-agent/1.0"


def follow(person, path):
    """All items that a call of `elsewhere` gives, page by page."""
    found, after = [], ""
    while True:
        page = accepted(person.get(path + after))
        found += page["items"]
        if "next" not in page:
            return found
        after = "&after=" + page["next"]


def whole(person):
    """The export, with what it says is elsewhere."""
    export = accepted(person.post("/users/me/export"))
    return export, {path: follow(person, path) for path in export["elsewhere"]}


def test_a_person_gets_everything_that_is_kept_and_nothing_of_others(shop):
    sku = shop.staff.new_sku(on_hand=1000)
    person, other = shop.customer("marker-name", phone="+254 1"), shop.customer("stranger")
    login = {"email": person.email, "password": PASSWORD}
    accepted(person.post("/users/login", json=login, headers={"User-Agent": AGENT}))
    home = {"name": "marker-home", "line1": "Moi Avenue 1", "city": "Nairobi", "country": "KE"}
    accepted(person.post("/users/me/addresses", json=home), 201)
    accepted(other.post("/users/me/addresses", json={**home, "name": "others-home"}), 201)
    sent_to = {**home, "name": "marker-parcel"}
    orders = [accepted(person.place(sku, shipping_address=sent_to), 201)["id"] for _ in range(3)]
    accepted(other.place(sku, shipping_address={**home, "name": "others-parcel"}), 201)
    accepted(person.cancel(orders[0], reason="marker-reason"))
    accepted(shop.staff.post(f"/users/{person.id}/suspend", json={"reason": "marker-suspended"}))
    accepted(shop.staff.post(f"/users/{person.id}/restore"))
    person.log_in()

    export, elsewhere = whole(person)
    assert export["user"] == accepted(person.get("/users/me"))
    assert export["addresses"] == accepted(person.get("/users/me/addresses"))["items"]
    assert export["sessions"] == accepted(person.get("/users/me/sessions"))["items"]
    steps = [step["what"] for step in export["history"]]
    assert steps == ["restored", "suspended", "registered"], steps
    assert {order["id"] for order in elsewhere["/orders?limit=100"]} == set(orders)
    said = json.dumps([export, elsewhere])
    for marker in ("name", "home", "parcel", "reason", "suspended"):
        assert f"marker-{marker}" in said, marker
    assert "others-" not in said and other.email not in said and other.id not in said
    assert "argon2" not in said and person.refresh_token not in said


def test_sessions_of_an_export_tell_where_they_were_made(shop):
    person = shop.customer()
    login = {"email": person.email, "password": PASSWORD}
    accepted(person.post("/users/login", json=login, headers={"User-Agent": AGENT}))
    export = accepted(person.post("/users/me/export"))
    assert AGENT in [session.get("user_agent") for session in export["sessions"]]
    assert [session["current"] for session in export["sessions"]].count(True) == 1


def test_more_orders_than_a_page_are_all_given(shop):
    sku = shop.staff.new_sku(on_hand=1000)
    person = shop.customer()
    placed = {person.place(sku, wait=None).json()["id"] for _ in range(105)}
    _, elsewhere = whole(person)
    assert {order["id"] for order in elsewhere["/orders?limit=100"]} == placed


def test_nobody_exports_without_being_signed_in_and_nothing_is_sent_with_it(shop):
    refused(shop.anonymous().post("/users/me/export"), 401, "auth.token_missing")
    person = shop.customer()
    query = person.post("/users/me/export", params={"user_id": shop.staff.id})
    refused(query, 400, "query.malformed")
    accepted(person.post("/users/me/export"))
