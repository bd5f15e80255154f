"""Accounts: registration, sign-in, sessions, profile, addresses, roles, suspension, keys."""

import base64
import json
import time

import jwt
import pytest
from shop import (
    ADDRESS,
    PASSWORD,
    STAFF_PASSWORD,
    Person,
    accepted,
    items,
    new_email,
    pages,
    refused,
    stops_working,
)

# ---- registering ----


def test_a_customer_registers_and_logs_in(anonymous):
    email = new_email()
    made = anonymous.post(
        "/users", json={"email": email, "password": PASSWORD, "name": "Zoë", "phone": "+254"}
    )
    account = accepted(made, 201)
    assert made.headers["location"] == "/users/me"
    assert (account["email"], account["name"], account["phone"]) == (email, "Zoë", "+254")
    assert (
        account["roles"] == ["customer"]
        and account["status"] == "active"
        and account["version"] == 1
    )
    assert "password" not in made.text

    tokens = accepted(anonymous.post("/users/login", json={"email": email, "password": PASSWORD}))
    assert tokens["token_type"] == "Bearer" and 0 < tokens["expires_in"] <= 600
    me = anonymous.get("/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert accepted(me)["id"] == account["id"]


def test_an_address_is_taken_in_whatever_case(anonymous):
    email = new_email()
    body = {"email": email, "password": PASSWORD}
    accepted(anonymous.post("/users", json=body), 201)
    refused(anonymous.post("/users", json={**body, "email": email.upper()}), 409, "email.taken")
    accepted(anonymous.post("/users/login", json={**body, "email": email.upper()}))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b@example.com",
        "a b@example.com",
        "a\u0007@example.com",
        "@example.com",
        "a@",
        "x" * 65 + "@example.com",
    ],
)
def test_what_is_no_address_is_refused(anonymous, email):
    refused(
        anonymous.post("/users", json={"email": email, "password": PASSWORD}),
        422,
        "field.invalid",
        "/email",
    )


def test_weak_passwords_are_refused_and_long_ones_are_taken_whole(anonymous):
    def register(password):
        email = new_email()
        return email, anonymous.post("/users", json={"email": email, "password": password})

    refused(register("1234567")[1], 422, "field.invalid", "/password")
    refused(register("password123")[1], 422, "password.weak")
    refused(register("x" * 257)[1], 422, "field.invalid", "/password")
    refused(register("abc\u0000defgh")[1], 422, "field.invalid", "/password")

    long = "ü" * 100 + "\t\n \u2603"
    email, made = register(long)
    accepted(made, 201)
    refused(
        anonymous.post("/users/login", json={"email": email, "password": long[:-1]}),
        401,
        "auth.credentials_invalid",
    )
    accepted(anonymous.post("/users/login", json={"email": email, "password": long}))


def test_bodies_are_read_strictly(anonymous):
    email = new_email()
    fine = {"email": email, "password": PASSWORD}
    refused(anonymous.post("/users", json={**fine, "role": "admin"}), 422, "field.unknown", "/role")
    twice = '{"email":"%s","email":"%s","password":"%s"}' % (email, email, PASSWORD)
    kind = {"Content-Type": "application/json"}
    refused(anonymous.post("/users", content=twice, headers=kind), 400, "json.duplicate_member")
    refused(anonymous.post("/users", content='{"email":', headers=kind), 400, "json.malformed")
    refused(
        anonymous.post("/users", content="[" * 1000 + "]" * 1000, headers=kind),
        400,
        "json.too_deep",
    )
    refused(
        anonymous.post("/users", content=b'{"email":"\xff"}', headers=kind), 400, "json.malformed"
    )
    refused(
        anonymous.post("/users", content="a=b", headers={"Content-Type": "text/plain"}),
        415,
        "http.media_type",
    )
    refused(anonymous.post("/users", json={"password": PASSWORD}), 422, "field.invalid", "/email")
    accepted(anonymous.post("/users", json=fine), 201)


# ---- signing in ----


def test_a_wrong_password_and_an_unknown_address_sound_the_same(anonymous, customer):
    wrong = refused(
        anonymous.post("/users/login", json={"email": customer.email, "password": "not this one"}),
        401,
        "auth.credentials_invalid",
    )
    nobody = refused(
        anonymous.post("/users/login", json={"email": new_email(), "password": PASSWORD}),
        401,
        "auth.credentials_invalid",
    )
    assert wrong["detail"] == nobody["detail"] and wrong["title"] == nobody["title"]
    accepted(anonymous.post("/users/login", json={"email": customer.email, "password": PASSWORD}))


def test_refreshing_rotates_and_a_token_used_twice_ends_the_session(shop):
    person = shop.customer()
    first = person.refresh_token
    second = accepted(person.post("/users/refresh", json={"refresh_token": first}))
    assert second["refresh_token"] != first
    person.token = second["access_token"]
    accepted(person.get("/users/me"))

    refused(
        person.post("/users/refresh", json={"refresh_token": first}), 401, "auth.refresh_invalid"
    )
    refused(
        person.post("/users/refresh", json={"refresh_token": second["refresh_token"]}),
        401,
        "auth.refresh_invalid",
    )
    stops_working(person)
    accepted(person.log_in().get("/users/me"))


def test_logging_out_ends_this_session_everywhere_within_five_seconds_and_no_other(shop):
    person = shop.customer()
    other = person.at(person.door).log_in()
    accepted(person.at(shop.doors["orders"]).get("/orders"))
    logged_out = time.monotonic()
    assert person.post("/users/logout").status_code == 204
    stops_working(person)
    refused(person.get("/orders"), 401, "auth.token_revoked")
    stops_working(person.at(shop.doors["orders"]), "/orders", since=logged_out)  # a program of its own, where they run apart
    refused(person.at(shop.doors["users"]).get("/users/me"), 401, "auth.token_revoked")
    accepted(other.at(shop.doors["orders"]).get("/orders"))
    refused(
        person.post("/users/refresh", json={"refresh_token": person.refresh_token}),
        401,
        "auth.refresh_invalid",
    )
    accepted(other.get("/users/me"))


def test_a_session_beyond_a_hundred_ends_the_oldest_and_no_other(shop):
    oldest = shop.customer()
    second = oldest.at(oldest.door).log_in()
    newest = [oldest.at(oldest.door).log_in() for _ in range(98)][-1]
    assert len(accepted(second.get("/users/me/sessions"))["items"]) == 100
    accepted(oldest.get("/users/me"))

    accepted(newest.at(newest.door).log_in().get("/users/me"))
    assert len(accepted(second.get("/users/me/sessions"))["items"]) == 100
    refused(oldest.post("/users/refresh", json={"refresh_token": oldest.refresh_token}), 401, "auth.refresh_invalid")
    stops_working(oldest)
    accepted(second.get("/users/me"))
    accepted(newest.get("/users/me"))


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.", "Bearer", "a b"])
def test_what_is_no_token_is_refused(anonymous, customer, token):
    answer = anonymous.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    refused(answer, 401, "auth.token_invalid")
    accepted(customer.get("/users/me"))


def forge(token, **changes):
    """The token with other claims, under the old signature."""
    head, _, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    body = jwt.utils.base64url_encode(json.dumps({**claims, **changes}).encode()).decode()
    return f"{head}.{body}.{signature}"


def test_a_forged_token_is_refused(anonymous, customer):
    claims = jwt.decode(customer.token, options={"verify_signature": False})
    none = jwt.encode(claims, None, algorithm="none")
    hmac = jwt.encode(
        claims,
        "x" * 40,
        algorithm="HS256",
        headers={"kid": jwt.get_unverified_header(customer.token)["kid"]},
    )
    for token in (forge(customer.token, roles=["admin"]), none, hmac, customer.token[:-4] + "AAAA"):
        refused(
            anonymous.get("/users/me", headers={"Authorization": f"Bearer {token}"}),
            401,
            "auth.token_invalid",
        )


def test_tokens_verify_with_the_published_keys_in_another_library(anonymous, customer):
    keys = accepted(anonymous.get("/users/.well-known/jwks.json"))["keys"]
    head = jwt.get_unverified_header(customer.token)
    key = next(key for key in keys if key["kid"] == head["kid"])
    assert (key["kty"], key["crv"], key["alg"], head["alg"]) == ("OKP", "Ed25519", "EdDSA", "EdDSA")
    assert len(base64.urlsafe_b64decode(key["x"] + "=")) == 32
    claims = jwt.decode(
        customer.token, jwt.PyJWK(key).key, algorithms=["EdDSA"], audience="duka", issuer="duka"
    )
    assert claims["sub"] == customer.id and claims["exp"] - claims["iat"] == 600 and claims["sid"]


# ---- the profile ----


def test_a_profile_changes_by_the_members_that_are_sent(shop):
    person = shop.customer(phone="1")
    before = person.get("/users/me")
    tag = before.headers["etag"]
    refused(person.patch("/users/me", json={"name": "Zuri"}), 428, "version.required")
    refused(
        person.patch("/users/me", json={"name": "Zuri"}, headers={"If-Match": '"999"'}),
        412,
        "version.stale",
    )
    changed = person.patch("/users/me", json={"name": "Zuri"}, headers={"If-Match": tag})
    account = accepted(changed)
    assert (account["name"], account["phone"], account["version"]) == ("Zuri", "1", 2)
    assert changed.headers["etag"] != tag
    refused(
        person.patch("/users/me", json={"name": "Late"}, headers={"If-Match": tag}),
        412,
        "version.stale",
    )
    assert accepted(person.get("/users/me"))["name"] == "Zuri"
    unchanged = person.get("/users/me", headers={"If-None-Match": changed.headers["etag"]})
    assert unchanged.status_code == 304 and not unchanged.content


def test_addresses_are_kept_changed_and_removed(shop):
    person, other = shop.customer(), shop.customer()
    made = person.post("/users/me/addresses", json=ADDRESS)
    saved = accepted(made, 201)
    path = f"/users/me/addresses/{saved['id']}"
    assert made.headers["location"] == path and saved["address"] == ADDRESS
    refused(other.get(path), 404, "not_found")
    refused(other.put(path, json=ADDRESS), 404, "not_found")
    refused(other.delete(path), 404, "not_found")

    moved = {**ADDRESS, "city": "Mombasa", "line2": "Floor 2"}
    assert accepted(person.put(path, json=moved))["address"] == moved
    assert [one["address"] for one in items(person.get("/users/me/addresses"))] == [moved]
    refused(
        person.post("/users/me/addresses", json={**ADDRESS, "country": "Kenya"}),
        422,
        "field.invalid",
        "/country",
    )
    refused(
        person.post("/users/me/addresses", json={"name": "x"}),
        422,
        "field.invalid",
        "/line1",
        "/city",
        "/country",
    )
    assert person.delete(path).status_code == 204
    refused(person.get(path), 404, "not_found")
    assert items(person.get("/users/me/addresses")) == []


def test_an_account_keeps_fifty_addresses(shop):
    person = shop.customer()
    for _ in range(50):
        accepted(person.post("/users/me/addresses", json=ADDRESS), 201)
    refused(person.post("/users/me/addresses", json=ADDRESS), 409, "addresses.too_many")
    assert len(items(person.get("/users/me/addresses"))) == 50


# ---- staff ----


def test_staff_find_accounts(shop, staff):
    people = [shop.customer() for _ in range(5)]
    assert [
        user["id"] for user in items(staff.get("/users", params={"email": people[2].email.upper()}))
    ] == [people[2].id]
    found, count = pages(lambda **rest: staff.get("/users", **rest), limit=2, role="customer")
    ids = [user["id"] for user in found]
    assert len(ids) == len(set(ids)) and count > 2
    assert [one for one in ids if one in {person.id for person in people}] == [
        p.id for p in reversed(people)
    ]
    assert accepted(staff.get(f"/users/{people[0].id}"))["email"] == people[0].email
    refused(staff.get("/users/00000000-0000-7000-8000-000000000000"), 404, "not_found")
    refused(staff.get("/users/none"), 422, "field.invalid", "/id")
    refused(people[0].get(f"/users/{people[0].id}"), 403, "auth.role_missing")
    refused(staff.get("/users", params={"after": "AAAA"}), 400, "cursor.invalid")


def test_suspending_ends_what_an_account_could_do_until_it_is_restored(shop, staff, anonymous):
    person = shop.customer()
    assert (
        accepted(staff.post(f"/users/{person.id}/suspend", json={"reason": "chargebacks"}))[
            "status"
        ]
        == "suspended"
    )
    stops_working(person)
    refused(
        anonymous.post("/users/refresh", json={"refresh_token": person.refresh_token}),
        401,
        "auth.refresh_invalid",
    )
    login = {"email": person.email, "password": PASSWORD}
    refused(anonymous.post("/users/login", json=login), 403, "user.suspended")
    refused(
        anonymous.post("/users/login", json={**login, "password": "not this one"}),
        401,
        "auth.credentials_invalid",
    )
    refused(staff.post(f"/users/{person.id}/suspend", json={}), 409, "user.state")

    assert accepted(staff.post(f"/users/{person.id}/restore"))["status"] == "active"
    refused(staff.post(f"/users/{person.id}/restore"), 409, "user.state")
    accepted(person.log_in().get("/users/me"))


def test_staff_accounts_are_suspended_by_admins_only(shop, staff, admin):
    colleague = shop.new_account("staff")
    refused(staff.post(f"/users/{colleague.id}/suspend", json={}), 403, "auth.role_missing")
    accepted(colleague.get("/users"))
    accepted(admin.post(f"/users/{colleague.id}/suspend", json={}))
    stops_working(colleague)


def test_roles_are_given_and_taken_by_admins(shop, staff, admin):
    person = shop.customer()
    body = {"roles": ["customer", "staff"]}
    refused(staff.put(f"/users/{person.id}/roles", json=body), 403, "auth.role_missing")
    assert sorted(accepted(admin.put(f"/users/{person.id}/roles", json=body))["roles"]) == [
        "customer",
        "staff",
    ]
    stops_working(person)
    accepted(person.log_in().get("/users"))
    accepted(admin.put(f"/users/{person.id}/roles", json={"roles": ["customer"]}))
    stops_working(person)
    refused(person.log_in().get("/users"), 403, "auth.role_missing")
    refused(
        admin.put(f"/users/{person.id}/roles", json={"roles": []}), 422, "field.invalid", "/roles"
    )
    refused(
        admin.put(f"/users/{person.id}/roles", json={"roles": ["king"]}),
        422,
        "field.invalid",
        "/roles/0",
    )


def test_the_operator_makes_accounts_and_mends_a_lost_password(shop, anonymous):
    email = new_email("staff")
    person = shop.new_account("staff", email)
    assert accepted(person.get("/users/me"))["roles"] == ["staff"]
    again = shop.dukactl(
        "users",
        "create",
        "--email",
        email,
        "--role",
        "staff",
        "--password-stdin",
        stdin=STAFF_PASSWORD + "\n",
        check=False,
    )
    assert again.returncode != 0 and "email.taken" in again.stdout + again.stderr
    short = shop.dukactl(
        "users",
        "create",
        "--email",
        new_email(),
        "--role",
        "staff",
        "--password-stdin",
        stdin="short one\n",
        check=False,
    )
    assert short.returncode != 0 and "password" in (short.stdout + short.stderr).lower()

    mended = "another long word for people behind it"
    shop.dukactl("users", "password", email, "--password-stdin", stdin=mended + "\n")
    refused(
        anonymous.post("/users/login", json={"email": email, "password": STAFF_PASSWORD}),
        401,
        "auth.credentials_invalid",
    )
    stops_working(person)
    accepted(Person(shop.http, shop.url, email, mended).log_in().get("/users"))
    unknown = shop.dukactl(
        "users", "password", new_email(), "--password-stdin", stdin=mended + "\n", check=False
    )
    assert unknown.returncode != 0 and "not_found" in unknown.stdout + unknown.stderr
