"""A change of password, and sessions seen and ended one by one."""

from shop import PASSWORD, accepted, items, refused, stops_working

PASSWORD_NEW = "incorrect zebra battery"


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(shop, anonymous):
    person = shop.customer()
    other = person.at(person.door).log_in()
    body = {"old_password": PASSWORD, "password": PASSWORD_NEW}

    refused(
        person.put("/users/me/password", json={**body, "old_password": "not this one"}),
        422,
        "password.wrong",
        "/old_password",
    )
    refused(
        person.put("/users/me/password", json={**body, "password": "password123"}),
        422,
        "password.weak",
        "/password",
    )
    refused(anonymous.put("/users/me/password", json=body), 401, "auth.token_missing")
    accepted(other.get("/users/me"))

    assert person.put("/users/me/password", json=body).status_code == 204
    stops_working(other)
    refused(
        anonymous.post("/users/refresh", json={"refresh_token": other.refresh_token}),
        401,
        "auth.refresh_invalid",
    )
    accepted(person.get("/users/me"))
    accepted(person.post("/users/refresh", json={"refresh_token": person.refresh_token}))

    login = {"email": person.email, "password": PASSWORD}
    refused(anonymous.post("/users/login", json=login), 401, "auth.credentials_invalid")
    accepted(anonymous.post("/users/login", json={**login, "password": PASSWORD_NEW}))


def test_sessions_are_seen_and_ended_one_by_one(shop):
    person, stranger = shop.customer(), shop.customer()
    phone = person.at(person.door)
    login = {"email": person.email, "password": PASSWORD}
    tokens = accepted(
        phone.post("/users/login", json=login, headers={"User-Agent": "Phone/1.0", "Authorization": ""})
    )
    phone.token, phone.refresh_token = tokens["access_token"], tokens["refresh_token"]

    listed = items(person.get("/users/me/sessions"))
    assert [one["current"] for one in listed] == [False, True]
    assert listed[0]["user_agent"] == "Phone/1.0"
    assert listed[0]["created_at"] <= listed[0]["used_at"] < listed[0]["expires_at"]
    path = f"/users/me/sessions/{listed[0]['id']}"

    refused(stranger.delete(path), 404, "not_found")
    refused(person.delete("/users/me/sessions/none"), 422, "field.invalid", "/id")
    accepted(phone.get("/users/me"))
    assert person.delete(path).status_code == 204
    stops_working(phone)
    stops_working(phone.at(shop.doors["orders"]), "/orders")  # a program of its own, where they run apart
    refused(person.delete(path), 404, "not_found")
    assert [one["current"] for one in items(person.get("/users/me/sessions"))] == [True]
