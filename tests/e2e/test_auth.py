"""Who may call what: every route, by everybody, through the gateway and at each service."""

import hashlib
import hmac
import json

import pytest
from shop import ADDRESS, PASSWORD, accepted, new_email, new_key, refused

SECRET = "simulator-secret"
HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant Price\n"
METHODS = ("get", "put", "post", "delete", "patch")


class World:
    """Things to call about. What a call uses up is made anew for each call that may do so."""

    def __init__(self, shop):
        self.shop, self.staff, self.admin = shop, shop.staff, shop.admin
        self.anonymous, self.owner, self.other = (
            shop.anonymous(),
            shop.customer("owner"),
            shop.customer("other"),
        )
        self.kept = {}
        self.caller = None  # who calls now

    def once(self, make):
        """What `make` makes, made once."""
        if make not in self.kept:
            self.kept[make] = make()
        return self.kept[make]

    def sku(self):
        return self.staff.new_sku(on_hand=10000)

    def order(self):
        """A confirmed order of the owner, paid."""
        order = accepted(self.owner.place(self.once(self.sku)), 201)["id"]
        return self.owner.order_becomes(order, payment_status="captured")["id"]

    def shipped_order(self):
        order = self.order()
        accepted(self.staff.fulfil(order))
        return order

    def manual_order(self):
        return accepted(self.owner.place(self.once(self.sku), provider="manual"), 201)["id"]

    def address(self):
        return accepted(self.owner.post("/users/me/addresses", json=ADDRESS), 201)["id"]

    def session(self):
        """Another session of the owner."""
        self.owner.at(self.owner.door).log_in()
        listed = accepted(self.owner.get("/users/me/sessions"))["items"]
        return next(one["id"] for one in listed if not one["current"])

    def reset_token(self):
        person = self.shop.customer("forgetful")
        self.anonymous.post("/users/password/forgot", json={"email": person.email})
        return self.shop.link_token(person.email, "reset-password")

    def verify_token(self):
        return self.shop.link_token(self.shop.customer("verified").email, "verify-email")

    def product(self):
        return self.staff.create_product()["id"]

    def category(self):
        return accepted(self.staff.post("/products/categories", json={"name": new_key()}), 201)[
            "id"
        ]

    def import_job(self):
        return self.staff.import_csv(HEADER)["id"]

    def user(self):
        return self.shop.customer("subject").id

    def leaver(self, role):
        """Somebody of a role who may be erased."""
        is_customer = role in ("other", "owner")
        return self.shop.customer("leaver") if is_customer else self.shop.new_account(role)

    def suspended(self):
        user = self.user()
        accepted(self.staff.post(f"/users/{user}/suspend", json={}))
        return user

    def document(self):
        return accepted(self.anonymous.get("/openapi.json"))

    def api_key(self):
        body = {"name": "for nobody", "scopes": ["stock_read"]}
        return accepted(self.admin.post("/users/api-keys", json=body), 201)["id"]

    def server(self, scopes):
        """A server with an API key of these scopes, made once."""
        if scopes not in self.kept:
            self.kept[scopes] = self.shop.new_api_key(*scopes)
        return self.kept[scopes]

    def signed_event(self):
        body = json.dumps(
            {"event_id": new_key(), "payment_id": new_key(), "status": "authorized"}
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return {
            "content": body,
            "headers": {"Content-Type": "application/json", "Simulator-Signature": signature},
        }


def line_of(world):
    return [{"sku": world.once(world.sku), "quantity": 1}]


def place_body(world):
    return {"lines": line_of(world), "payment": {"provider": "simulator", "token": "approve"}}


# Every route: who may call it, what it is about (the name of World's maker), what is sent, what
# success is. Access: anyone; customer (any signed-in user); own (others see nothing); own+staff;
# staff; admin.
ROUTES = {
    ("POST", "/users"): (
        "anyone",
        None,
        lambda w: {"json": {"email": new_email(), "password": PASSWORD}},
        201,
    ),
    ("POST", "/users/login"): (
        "anyone",
        None,
        lambda w: {"json": {"email": w.owner.email, "password": PASSWORD}},
        200,
    ),
    ("POST", "/users/refresh"): (
        "anyone",
        None,
        lambda w: {"json": {"refresh_token": w.owner.at(w.owner.door).log_in().refresh_token}},
        200,
    ),
    ("POST", "/users/password/forgot"): (
        "anyone",
        None,
        lambda w: {"json": {"email": new_email()}},
        204,
    ),
    ("POST", "/users/password/reset"): (
        "anyone",
        None,
        lambda w: {"json": {"token": w.reset_token(), "password": PASSWORD}},
        204,
    ),
    ("POST", "/users/email/verify"): (
        "anyone",
        None,
        lambda w: {"json": {"token": w.verify_token()}},
        204,
    ),
    ("POST", "/users/me/email/verification"): ("unverified", None, lambda w: {}, 204),
    ("POST", "/users/logout"): ("customer", None, lambda w: {}, 204),
    ("GET", "/users/.well-known/jwks.json"): ("anyone", None, lambda w: {}, 200),
    ("GET", "/users/me"): ("customer", None, lambda w: {}, 200),
    ("PATCH", "/users/me"): (
        "customer",
        None,
        lambda w: {"json": {}, "headers": {"If-Match": "*"}},
        200,
    ),
    ("DELETE", "/users/me"): ("customer", None, lambda w: {}, 204),
    ("POST", "/users/me/export"): ("customer", None, lambda w: {}, 200),
    ("PUT", "/users/me/password"): (
        "customer",
        None,
        lambda w: {"json": {"old_password": w.caller.password, "password": w.caller.password}},
        204,
    ),
    ("GET", "/users/me/sessions"): ("customer", None, lambda w: {}, 200),
    ("DELETE", "/users/me/sessions/{id}"): ("own", "session", lambda w: {}, 204),
    ("GET", "/users/me/addresses"): ("customer", None, lambda w: {}, 200),
    ("POST", "/users/me/addresses"): ("customer", None, lambda w: {"json": ADDRESS}, 201),
    ("GET", "/users/me/addresses/{id}"): ("own", "address", lambda w: {}, 200),
    ("PUT", "/users/me/addresses/{id}"): ("own", "address", lambda w: {"json": ADDRESS}, 200),
    ("DELETE", "/users/me/addresses/{id}"): ("own", "address", lambda w: {}, 204),
    ("GET", "/users"): ("staff", None, lambda w: {}, 200),
    ("GET", "/users/{id}"): ("staff", "user", lambda w: {}, 200),
    ("POST", "/users/{id}/suspend"): ("staff", "user", lambda w: {"json": {}}, 200),
    ("POST", "/users/{id}/restore"): ("staff", "suspended", lambda w: {}, 200),
    ("PUT", "/users/{id}/roles"): (
        "admin",
        "user",
        lambda w: {"json": {"roles": ["customer"]}},
        200,
    ),
    ("GET", "/users/audit"): ("admin", None, lambda w: {}, 200),
    ("GET", "/users/api-keys"): ("admin", None, lambda w: {}, 200),
    ("POST", "/users/api-keys"): (
        "admin",
        None,
        lambda w: {"json": {"name": "till", "scopes": ["orders_read"]}},
        201,
    ),
    ("DELETE", "/users/api-keys/{id}"): ("admin", "api_key", lambda w: {}, 204),
    ("GET", "/products/audit"): ("admin", None, lambda w: {}, 200),
    ("GET", "/orders/audit"): ("admin", None, lambda w: {}, 200),
    ("GET", "/products"): ("anyone", None, lambda w: {}, 200),
    ("GET", "/products/{id}"): ("anyone", "product", lambda w: {}, 200),
    ("POST", "/products"): (
        "staff",
        None,
        lambda w: {
            "json": {
                "title": "T",
                "handle": "t-" + new_key(),
                "variants": [{"price": {"amount": 1, "currency": "EUR"}}],
            }
        },
        201,
    ),
    ("PATCH", "/products/{id}"): (
        "staff",
        "product",
        lambda w: {"json": {"title": "New"}, "headers": {"If-Match": "*"}},
        200,
    ),
    ("DELETE", "/products/{id}"): (
        "staff",
        "product",
        lambda w: {"headers": {"If-Match": "*"}},
        204,
    ),
    ("GET", "/products/categories"): ("anyone", None, lambda w: {}, 200),
    ("POST", "/products/categories"): ("staff", None, lambda w: {"json": {"name": new_key()}}, 201),
    ("PATCH", "/products/categories/{id}"): (
        "staff",
        "category",
        lambda w: {"json": {"name": new_key()}},
        200,
    ),
    ("DELETE", "/products/categories/{id}"): ("staff", "category", lambda w: {}, 204),
    ("POST", "/products/imports"): (
        "staff",
        None,
        lambda w: {"content": HEADER, "headers": {"Content-Type": "text/csv"}},
        202,
    ),
    ("GET", "/products/imports/{id}"): ("staff", "import_job", lambda w: {}, 200),
    ("GET", "/products/export"): ("staff", None, lambda w: {}, 200),
    ("GET", "/products/stock/{sku}"): ("staff", "sku", lambda w: {}, 200),
    ("POST", "/products/stock/{sku}/adjustments"): (
        "staff",
        "sku",
        lambda w: {"json": {"delta": 1, "reason": "received"}, "key": new_key()},
        200,
    ),
    ("GET", "/products/stock/{sku}/ledger"): ("staff", "sku", lambda w: {}, 200),
    ("POST", "/orders"): (
        "customer",
        None,
        lambda w: {"json": place_body(w), "key": new_key(), "headers": {"Prefer": "wait=10"}},
        201,
    ),
    ("GET", "/orders"): ("customer", None, lambda w: {}, 200),
    ("GET", "/orders/{id}"): ("own+staff", "order", lambda w: {}, 200),
    ("GET", "/orders/{id}/timeline"): ("own+staff", "order", lambda w: {}, 200),
    ("POST", "/orders/{id}/cancel"): (
        "own+staff",
        "order",
        lambda w: {"json": {}, "key": new_key()},
        200,
    ),
    ("POST", "/orders/{id}/payments"): (
        "staff",
        "manual_order",
        lambda w: {"json": {"amount": {"amount": 1299, "currency": "EUR"}}, "key": new_key()},
        200,
    ),
    ("POST", "/orders/{id}/fulfilments"): (
        "staff",
        "order",
        lambda w: {"json": {}, "key": new_key()},
        200,
    ),
    ("POST", "/orders/{id}/deliveries"): (
        "staff",
        "shipped_order",
        lambda w: {"json": {}, "key": new_key()},
        200,
    ),
    ("POST", "/orders/{id}/refunds"): (
        "staff",
        "order",
        lambda w: {"json": {}, "key": new_key()},
        200,
    ),
    ("POST", "/orders/payments/{provider}/events"): (
        "anyone",
        None,
        lambda w: w.signed_event(),
        204,
    ),
}
ROLES = ("anonymous", "other", "owner", "staff", "admin")

# What each role hears where it may not: (status, code). None: it may.
VERIFIED = (409, "user.state")  # the operator made the account
MISSING, ROLE, HIDDEN = (401, "auth.token_missing"), (403, "auth.role_missing"), (404, "not_found")
REFUSALS = {
    "anyone": {},
    "customer": {"anonymous": MISSING},
    "unverified": {"anonymous": MISSING, "staff": VERIFIED, "admin": VERIFIED},
    "own": {"anonymous": MISSING, "other": HIDDEN, "staff": HIDDEN, "admin": HIDDEN},
    "own+staff": {"anonymous": MISSING, "other": HIDDEN},
    "staff": {"anonymous": MISSING, "other": ROLE, "owner": ROLE},
    "admin": {"anonymous": MISSING, "other": ROLE, "owner": ROLE, "staff": ROLE},
}


@pytest.fixture(scope="module")
def world(shop):
    return World(shop)


def test_every_route_of_the_document_is_in_the_table(shop):
    document = accepted(shop.anonymous().get("/openapi.json"))
    routes = {
        (method.upper(), path)
        for path, calls in document["paths"].items()
        for method in calls
        if method in METHODS
    }
    assert routes == set(ROUTES)


def check_route(world, method, path, door):
    """Everybody calls the route and hears what the table says; refusals change nothing."""
    access, subject, request_of, success = ROUTES[method, path]
    maker = getattr(world, subject) if subject else None
    uses_up = method != "GET"
    for role in ROLES:
        leaves = (method, path) == ("DELETE", "/users/me") and role not in REFUSALS[access]
        person = world.leaver(role) if leaves else getattr(world, role)
        person = world.caller = person.at(door)
        refusal = REFUSALS[access].get(role)
        about = ""
        if maker:
            about = maker() if uses_up and not refusal else world.once(maker)
        if path == "/users/logout" and not refusal:
            person.log_in()
        url = path.replace("{id}", about).replace("{sku}", about).replace("{provider}", "simulator")
        before = world.admin.get(f"/orders/{about}").content if subject == "order" else None
        answer = person.request(method, url, **request_of(world))
        if refusal:
            refused(answer, *refusal)
            assert before is None or world.admin.get(f"/orders/{about}").content == before
        else:
            assert answer.status_code == success, f"{role}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("method, path", ROUTES, ids=map(" ".join, ROUTES))
def test_a_route_answers_those_who_may_call_it_through_the_gateway(world, method, path):
    check_route(world, method, path, world.shop.url)


@pytest.mark.parametrize("method, path", ROUTES, ids=map(" ".join, ROUTES))
def test_a_route_answers_those_who_may_call_it_directly_at_its_service(world, method, path):
    check_route(world, method, path, world.shop.doors[path.split("/")[1]])


def scope_of(document, method, path):
    """The scope with which an API key may make a call, as the document says; None: no key may."""
    asked = document["paths"][path][method.lower()]["security"]
    named = [scheme["api_key"] for scheme in asked if "api_key" in scheme]
    return named[0][0] if named else None


def check_route_by_keys(world, method, path, door):
    """A key with the one scope that the contract names is served; one with all others is refused, and nothing changes."""
    document = world.once(world.document)
    access, subject, request_of, success = ROUTES[method, path]
    scope = scope_of(document, method, path)
    every = tuple(document["components"]["schemas"]["Scope"]["enum"])
    maker = getattr(world, subject) if subject else None
    about = maker() if maker else ""
    url = path.replace("{id}", about).replace("{sku}", about).replace("{provider}", "simulator")
    before = world.admin.get(f"/orders/{about}").content if subject == "order" else None

    others = world.server(tuple(one for one in every if one != scope)).at(door)
    world.caller = others
    answer = others.request(method, url, **request_of(world))
    if access == "anyone":
        assert answer.status_code == success, answer.text
    else:
        told = refused(answer, 403, "auth.scope_missing")
        assert (scope or "for people") in told["detail"]
        assert before is None or world.admin.get(f"/orders/{about}").content == before
    if scope:
        sent = request_of(world)
        if path == "/orders":
            sent["params"] = {"scope": "all"}
        answer = world.server((scope,)).at(door).request(method, url, **sent)
        assert answer.status_code == success, answer.text


@pytest.mark.parametrize("method, path", ROUTES, ids=map(" ".join, ROUTES))
def test_a_route_answers_an_api_key_with_its_scope_through_the_gateway(world, method, path):
    check_route_by_keys(world, method, path, world.shop.url)


@pytest.mark.parametrize("method, path", ROUTES, ids=map(" ".join, ROUTES))
def test_a_route_answers_an_api_key_with_its_scope_directly_at_its_service(world, method, path):
    check_route_by_keys(world, method, path, world.shop.doors[path.split("/")[1]])


def test_calls_of_neighbours_and_of_the_operator_cannot_be_reached(world):
    account = {"email": new_email(), "password": "a password of fifteen", "roles": ["admin"]}
    for door in (world.shop.url, world.shop.doors["users"]):
        server = world.server(("users_read", "orders_read", "products_write"))
        for person in (world.anonymous, world.owner, world.admin, server):
            person = person.at(door)
            assert person.post("/operator/users", json=account).status_code == 404
            assert person.put("/operator/users/password", json=account).status_code == 404
            for name in ("FindAddress", "ChangesSince"):
                assert person.post(f"/users.v1.Users/{name}", json={}).status_code == 404
    assert world.owner.at(world.shop.url).get("/users/me").status_code == 200


def test_headers_that_claim_an_identity_are_dropped(world):
    claims = {
        "X-User-Id": world.admin.id,
        "X-Roles": "admin",
        "X-Duka-Identity": "admin",
        "Duka-Identity": "admin",
        "X-Forwarded-User": world.admin.id,
        "X-Operator": "true",
    }
    for door in (world.shop.url, world.shop.doors["users"]):
        refused(world.anonymous.at(door).get("/users", headers=claims), *MISSING)
        refused(world.owner.at(door).get("/users", headers=claims), *ROLE)
        accepted(world.admin.at(door).get("/users", headers=claims))
        key = world.server(("stock_read",)).at(door)
        refused(key.get("/users", headers=claims), 403, "auth.scope_missing")


def test_a_stale_token_does_not_keep_anyone_from_browsing(world):
    stale = {"Authorization": "Bearer e30.e30.e30"}
    accepted(world.anonymous.get("/products", headers=stale))
    refused(world.anonymous.get("/orders", headers=stale), 401, "auth.token_invalid")
    refused(
        world.anonymous.get("/orders", headers={"Authorization": "Basic YTpi"}),
        401,
        "auth.token_invalid",
    )


def test_a_service_answers_only_its_own_paths(world):
    for name, door in world.shop.doors.items():
        for path in ("/users/.well-known/jwks.json", "/products", "/orders"):
            status = world.owner.at(door).get(path).status_code
            assert status == (200 if path.split("/")[1] == name else 404), (name, path)
