"""Every call refuses what it cannot take: generated from the document and from the table of valid requests (test_auth),
so that a new route cannot be forgotten. Each refusal is checked by status, code and place; what is there is the same
afterwards; and the same call is allowed beside it."""

import copy
import json
import re
import time

import pytest
from shop import accepted, new_key, refused, told, until
from test_auth import METHODS, ROUTES, World

JSON = {"Content-Type": "application/json"}
BODIES = [route for route in ROUTES if route[0] in ("POST", "PUT", "PATCH")]


def says(route, word):
    """Whether the valid request of a route holds a word: a part of it, or a header."""
    return word in str(ROUTES[route][2].__code__.co_consts)


JSON_BODIES = [route for route in BODIES if says(route, "'json'")]
BIG = 300 * 1024

# Members that a client would like to set and may not, wherever the contract does not have them.
CLAIMS = {
    "role": "admin",
    "roles": ["admin"],
    "id": "0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a001",
    "user_id": "0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a001",
    "customer_id": "0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a001",
    "price": 1,
    "unit_price": {"amount": 1, "currency": "EUR"},
    "total": {"amount": 1, "currency": "EUR"},
    "paid": {"amount": 1, "currency": "EUR"},
    "status": "completed",
    "payment_status": "captured",
    "version": 99,
    "created_at": "2020-01-01T00:00:00Z",
    "update_mask": "email",
    "__proto__": {"admin": True},
}
NO_NUMBERS = [
    "1.5",
    "1e2",
    "1e400",
    "-1e400",
    "1.0",
    "0.01",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999",
    '"1"',
    "true",
    "[1]",
    "{}",
]
NO_JSON = [
    "{",
    "{]",
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":NaN}',
    '{"a":0x1}',
    "{'a':1}",
    "{a:1}",
    '{"a":1,}',
    '{"a":1} x',
    '{"a":"\t"}',
    '{"a":"\\x"}',
    "\ufeff{}",
    '{"a":1 /* */}',
    "nul",
    '{"a"}',
]


@pytest.fixture(scope="module")
def world(shop):
    return World(shop)


@pytest.fixture(scope="module")
def document(shop):
    return accepted(shop.anonymous().get("/openapi.json"))


def everything(world):
    """What staff and the owner see of the shop: the same before and after a refusal."""
    asked = [
        (world.admin, "/users?limit=5"),
        (world.admin, "/products?limit=5"),
        (world.admin, "/products?status=draft&limit=5"),
        (world.admin, "/products/categories"),
        (world.admin, "/orders?scope=all&limit=5"),
        (world.admin, f"/products/stock/{world.once(world.sku)}/ledger?limit=5"),
        (world.owner, "/users/me"),
        (world.owner, "/users/me/addresses"),
    ]
    return [accepted(person.get(path)) for person, path in asked]


def quiet(world):
    """The same, once what earlier calls set off has come to rest."""
    seen = [None]

    def rests():
        if "BUS_URL" in world.shop.settings or world.shop.apart:
            time.sleep(0.3)  # a broker, or a push, brings what was set off a while later
        last, seen[0] = seen[0], everything(world)
        return seen[0] == last

    until(rests, 20, "rest")
    return seen[0]


class Call:
    """A valid request for a route, to be spoilt."""

    def __init__(self, world, method, path):
        self.world, self.method, self.path = world, method, path
        access, subject, request_of, self.success = ROUTES[method, path]
        roles = {"anyone": "owner", "customer": "owner", "own": "owner", "own+staff": "owner"}
        ends = path in ("/users/logout", "/users/me/password") or access == "unverified"
        ends = ends or (method, path) == ("DELETE", "/users/me")
        self.person = world.shop.customer() if ends else getattr(world, roles.get(access, "admin"))
        world.caller = self.person
        self.request = request_of(world)
        about = getattr(world, subject)() if subject else ""
        self.url = re.sub("{(id|sku)}", about, path).replace("{provider}", "simulator")

    @property
    def body(self):
        return copy.deepcopy(self.request.get("json"))

    def send(self, body=None, *, raw=None, query="", drop=(), **headers):
        """Sends it with another body, as JSON or as bytes, other headers, or without some."""
        given = dict(self.request.get("headers", {}))
        if raw is None and body is None and "content" in self.request:
            raw = self.request["content"]
        if raw is None:
            wanted = self.request.get("json") if body is None else body
            raw = json.dumps(wanted) if wanted is not None else b""
        if raw and "Content-Type" not in given:
            given |= JSON
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if name not in drop}
        key = self.request.get("key") if "Idempotency-Key" not in drop else None
        return self.person.request(
            self.method, self.url + query, key=key, headers=given, content=raw
        )

    def is_allowed(self):
        answer = self.send()
        assert answer.status_code == self.success, told(answer)


def leaves(value, pointer=""):
    """Each scalar of a body: its pointer, and how to set another."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in list(members):
        place = f"{pointer}/{name}"
        if isinstance(one, (dict, list)):
            yield from leaves(one, place)
        else:
            yield place, one, lambda new, name=name: value.__setitem__(name, new)


def spoilt(call, pointer, text):
    """The body with another text, as it stands, at a place."""
    body = call.body
    for place, _, put in leaves(body):
        if place == pointer:
            put("@@here@@")
    return json.dumps(body).replace('"@@here@@"', text).encode()


@pytest.mark.parametrize("route", JSON_BODIES, ids=" ".join)
def test_a_body_that_is_no_json_is_refused(world, route):
    call = Call(world, *route)
    before = quiet(world)
    for text in NO_JSON:
        refused(call.send(raw=text.encode()), 400, "json.malformed")
    for body in (
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a\x00":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b'{"\\ud800":1}',
        '{"a":1}'.encode("utf-16"),
    ):
        refused(call.send(raw=body), 400, "json.malformed")
    for text in ("[" * 600 + "]" * 600, '{"a":' * 600 + "1" + "}" * 600):
        refused(call.send(raw=text.encode()), 400, "json.too_deep")
    twice = '{"a":1,"a":1}'
    refused(call.send(raw=twice.encode()), 400, "json.duplicate_member")
    assert call.send(raw=b"[]").status_code in (400, 422) and call.send(raw=b"7").status_code in (
        400,
        422,
    )
    assert everything(world) == before
    call.is_allowed()


@pytest.mark.parametrize("route", JSON_BODIES, ids=" ".join)
def test_a_member_that_is_named_twice_is_refused(world, route):
    call = Call(world, *route)
    before = quiet(world)
    for name, value in call.body.items():
        text = json.dumps(call.body)[1:]
        for spelt in (json.dumps(name), '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'):
            body = "{%s:%s,%s" % (spelt, json.dumps(value), text)
            refused(call.send(raw=body.encode()), 400, "json.duplicate_member")
    assert everything(world) == before
    call.is_allowed()


@pytest.mark.parametrize("route", JSON_BODIES, ids=" ".join)
def test_members_that_a_call_does_not_know_are_refused_by_name(world, document, route):
    call = Call(world, *route)
    before = quiet(world)
    schema = document["paths"][route[1]][route[0].lower()]["requestBody"]["content"][
        "application/json"
    ]["schema"]
    known = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]["properties"]
    for name, value in {"surprise": 1, **CLAIMS}.items():
        if name not in known:
            refused(call.send({**call.body, name: value}), 422, "field.unknown", f"/{name}")
    assert everything(world) == before
    call.is_allowed()


@pytest.mark.parametrize("route", JSON_BODIES, ids=" ".join)
def test_values_of_the_wrong_type_or_range_are_refused_at_their_place(world, route):
    call = Call(world, *route)
    before = quiet(world)
    for pointer, value, _ in leaves(call.body):
        wrong = (
            NO_NUMBERS
            if isinstance(value, int)
            else ["7", "true", "[]", "{}", '["x"]', '"\\u0000"', '"a\\u0000b"']
        )
        for text in wrong:
            answer = call.send(raw=spoilt(call, pointer, text))
            body = refused(answer, 422, "field.invalid")
            assert pointer in [error["pointer"] for error in body["errors"]], (text, told(answer))
    assert everything(world) == before
    call.is_allowed()


@pytest.mark.parametrize("route", BODIES, ids=" ".join)
def test_a_body_that_is_too_large_or_of_another_type_is_refused(world, route):
    call = Call(world, *route)
    before = quiet(world)
    if route != ("POST", "/products/imports"):
        refused(call.send(raw=b" " * BIG), 413, "http.body_too_large")
    if call.request.get("json") is not None or "content" in call.request:
        raw = call.request.get("content") or json.dumps(call.body)
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/json+xml",
            "",
        ):
            refused(call.send(raw=raw, Content_Type=kind), 415, "http.media_type")
    assert everything(world) == before
    call.is_allowed()


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_query_that_a_call_does_not_know_is_refused(world, route):
    call = Call(world, *route)
    before = quiet(world)
    for query in (
        "?surprise=1",
        "?is_admin=true",
        "?id=x",
        "?%00=1",
        "?limit=1&limit=1",
        "?a=%ff",
        "?a=%zz",
    ):
        refused(call.send(query=query), 400, "query.malformed")
    assert everything(world) == before
    call.is_allowed()


def paths(document):
    return {
        path: {method.upper() for method in calls if method in METHODS}
        for path, calls in document["paths"].items()
    }


def test_every_method_that_a_path_does_not_take_is_refused_with_those_it_takes(world, document):
    tried = 0
    for path, methods in paths(document).items():
        subject = next(ROUTES[method, path][1] for method in methods)
        about = world.once(getattr(world, subject)) if subject else ""
        url = re.sub("{(id|sku)}", about, path).replace("{provider}", "simulator")
        takes = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "QUERY",
        } - takes:
            answer = world.admin.request(method, url)
            assert answer.status_code == 405, told(answer)
            if method != "HEAD":
                refused(answer, 405, "route.method_not_allowed")
            assert set(answer.headers["allow"].split(", ")) == takes, told(answer)
            tried += 1
        assert not methods & {"GET"} or world.admin.get(url).status_code in (200, 404)
    assert tried > 100


WITH_PATH = [route for route in ROUTES if "{" in route[1]]


@pytest.mark.parametrize("route", WITH_PATH, ids=" ".join)
def test_paths_that_try_to_be_others_are_refused(world, route):
    call = Call(world, *route)
    before = quiet(world)
    wanted = call.url
    start = route[1].index("{")
    rest = route[1][route[1].index("}") + 1 :]
    for trick in ("%00", "a%00b", "%ff", "%c0%ae", "%zz", "%", "%2", "%ed%a0%80"):
        call.url = route[1][:start] + trick + rest
        refused(call.send(), 400, "path.malformed")
    for trick in (
        "..",
        ".",
        "%2e%2e",
        "..%2f..",
        "%2e%2e%2f",
        "x%2fy",
        "%5c",
        "x;y",
        "%3f",
        "*",
        "-1",
        "0",
        "null",
        "' or 1=1 --",
        "%27%20or%20%271%27=%271",
        "${7*7}",
        "a" * 300,
    ):
        call.url = route[1][:start] + trick.replace(" ", "%20") + rest
        answer = world.admin.http.request(
            call.method,
            call.person.door + call.url,
            headers={
                "Authorization": "Bearer " + call.person.token,
                "If-Match": "*",
                "Idempotency-Key": new_key(),
                **JSON,
            },
            content=json.dumps(call.body) if call.body is not None else b"{}",
        )
        assert answer.status_code in (400, 401, 404, 405, 415, 422), told(answer)
    assert everything(world) == before
    call.url = wanted
    call.is_allowed()


# ---- keys and versions ----

ONCE = [route for route in ROUTES if says(route, "'key'")]


def test_every_call_that_moves_stock_or_money_wants_a_key(document):
    wanting = {
        (method.upper(), path)
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        if method in METHODS
        and {"$ref": "#/components/parameters/IdempotencyKey"} in call.get("parameters", [])
    }
    assert wanting == set(ONCE) and len(wanting) >= 6


@pytest.mark.parametrize("route", ONCE, ids=" ".join)
def test_a_key_is_wanted_has_a_form_and_belongs_to_one_body(world, route):
    call = Call(world, *route)
    before = quiet(world)
    refused(call.send(drop=("Idempotency-Key",)), 400, "idempotency.key_required")
    for key in ("", "a b", "a\tb", "x" * 256, b"\xc3\xa4"):
        call.request["key"] = key
        refused(call.send(), 400, "idempotency.key_required")
    assert everything(world) == before
    call.request["key"] = new_key()
    call.is_allowed()
    after = everything(world)
    other = (
        {"reason": "another body"}
        if "/products/stock" not in route[1]
        else {"note": "another body"}
    )
    if route[1] == "/orders":
        other = {"lines": [{**call.body["lines"][0], "quantity": 2}]}
    if route[1].endswith("/payments"):
        other = {"reference": "another body"}
    if route[1].endswith("/fulfilments"):
        other = {"carrier": "another body"}
    if route[1].endswith("/deliveries"):
        return  # its body has no members
    refused(call.send({**call.body, **other}), 422, "idempotency.key_reused")
    assert len(everything(world)[4]["items"]) == len(after[4]["items"])
    again = call.send()
    assert again.status_code == call.success and again.headers["idempotent-replayed"] == "true"


MATCHED = [route for route in ROUTES if says(route, "If-Match")]


def test_every_call_that_changes_what_is_shared_wants_a_version(document):
    wanting = {
        (method.upper(), path)
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        if method in METHODS
        and {"$ref": "#/components/parameters/IfMatch"} in call.get("parameters", [])
    }
    assert wanting == set(MATCHED) and wanting


@pytest.mark.parametrize("route", MATCHED, ids=" ".join)
def test_a_version_is_wanted_and_must_be_the_one_in_force(world, route):
    call = Call(world, *route)
    before = accepted(call.person.get(call.url))
    refused(call.send(drop=("If-Match",)), 428, "version.required")
    for stale in ('"v999"', '"v0"', 'W/"v1"', '"x"', '"v999", "v998"'):
        refused(call.send(If_Match=stale), 412, "version.stale")
    assert accepted(call.person.get(call.url)) == before
    etag = call.person.get(call.url).headers["etag"]
    answer = call.send(If_Match=etag)
    assert answer.status_code == call.success, told(answer)


# ---- cursors ----

LISTS = {
    "/products": lambda w: (w.admin, [w.product() for _ in range(3)]),
    "/orders": lambda w: (w.owner, [w.order() for _ in range(3)]),
    "/users": lambda w: (w.admin, [w.user() for _ in range(3)]),
    "/products/stock/{sku}/ledger": lambda w: (
        w.admin,
        [accepted(w.staff.adjust(w.once(w.sku), delta=1)) for _ in range(3)],
    ),
    "/users/api-keys": lambda w: (w.admin, [w.api_key() for _ in range(3)]),
    "/users/audit": lambda w: (w.admin, [w.suspended() for _ in range(3)]),
    "/products/audit": lambda w: (w.admin, [w.product() for _ in range(3)]),
    "/orders/audit": lambda w: (w.admin, [w.shipped_order() for _ in range(3)]),
}


def test_every_list_that_is_read_in_pages_is_in_the_table(document):
    paged = {
        path
        for path, calls in document["paths"].items()
        if "get" in calls
        and any(
            parameter.get("name") == "after" for parameter in calls["get"].get("parameters", [])
        )
    }
    assert paged - {"/products/imports/{id}"} == set(LISTS)


def test_a_cursor_expires(new_shop):
    shop = new_shop(CURSOR_TTL="1s").start()
    for _ in range(2):
        shop.staff.create_product()
    http = shop.anonymous()
    cursor = accepted(http.get("/products", params={"limit": 1}))["next"]
    accepted(http.get("/products", params={"limit": 1, "after": cursor}))
    time.sleep(1.3)
    refused(http.get("/products", params={"limit": 1, "after": cursor}), 400, "cursor.invalid")


@pytest.mark.parametrize("path", LISTS)
def test_a_changed_cursor_is_refused(world, path):
    person, _ = LISTS[path](world)
    url = path.replace("{sku}", world.once(world.sku))
    cursor = accepted(person.get(url, params={"limit": 1}))["next"]
    for at in range(0, len(cursor), max(1, len(cursor) // 24)):
        changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        if at < len(cursor) - 1:  # of the last character some bits are padding
            refused(person.get(url, params={"limit": 1, "after": changed}), 400, "cursor.invalid")
    for changed in (
        cursor + "A",
        cursor[:-4],
        cursor[: len(cursor) // 2],
        "x",
        "AAAA",
        cursor + cursor,
        "0",
        "null",
    ):
        refused(person.get(url, params={"limit": 1, "after": changed}), 400, "cursor.invalid")
    for other in LISTS:
        if other != path:
            stranger, _ = world.admin, None
            foreign = accepted(
                stranger.get(other.replace("{sku}", world.once(world.sku)), params={"limit": 1})
            )
            if "next" in foreign:
                answer = person.get(url, params={"limit": 1, "after": foreign["next"]})
                refused(answer, 400, "cursor.invalid")
    accepted(person.get(url, params={"limit": 1, "after": cursor}))
