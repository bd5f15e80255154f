"""The public door: limits, addresses behind proxies, request ids, what it refuses, routes."""

import re
import signal
import socket
import time

import pytest
from shop import PASSWORD, accepted, new_email, refused, until

SETTINGS = {
    "RATE_LIMIT": "60000",
    "HEAD_TIMEOUT": "1s",
    "BODY_TIMEOUT": "1s",
    "IDLE_TIMEOUT": "2s",
    "HEAD_BYTES_MAX": "8KiB",
    "TARGET_BYTES_MAX": "2KiB",
}


def limits_of(answer):
    """What RateLimit and RateLimit-Policy say: left, seconds, of how many, in how many seconds."""
    left = re.search(r";\s*r=(\d+)", answer.headers["ratelimit"])
    again = re.search(r";\s*t=(\d+)", answer.headers["ratelimit"])
    quota = re.search(r";\s*q=(\d+)", answer.headers["ratelimit-policy"])
    window = re.search(r";\s*w=(\d+)", answer.headers["ratelimit-policy"])
    assert left and quota and window, (
        answer.headers["ratelimit"],
        answer.headers["ratelimit-policy"],
    )
    return int(left[1]), int(again[1]) if again else None, int(quota[1]), int(window[1])


def talk(shop, *pieces, seconds=10.0, pause=0.0):
    """Sends bytes over a connection of its own; gives everything that comes until it is closed."""
    host, port = shop.addresses["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as peer:
        for piece in pieces:
            peer.sendall(piece.encode() if isinstance(piece, str) else piece)
            time.sleep(pause)
        heard = b""
        while True:
            try:
                some = peer.recv(65536)
            except ConnectionResetError:
                return heard
            if not some:
                return heard
            heard += some


def is_refused_raw(heard, status, code):
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), heard[:500]
    assert (
        b"application/problem+json" in head.lower() and b"connection: close" in head.lower()
    ), head
    assert b'"code":"%s"' % code.encode() in body, body


# ---- limits on how often ----


def test_answers_say_how_much_is_left(shop, customer):
    first, second = customer.get("/users/me"), customer.get("/users/me")
    left, _, quota, window = limits_of(first)
    assert quota == 60000 and window == 60 and left < quota
    assert limits_of(second)[0] <= left + 1
    assert "retry-after" not in first.headers


def test_too_many_requests_are_refused_until_retry_after(new_shop):
    shop = new_shop(RATE_LIMIT="120").start()
    person = shop.anonymous()
    answers = [person.get("/products") for _ in range(140)]
    passed = [answer for answer in answers if answer.status_code == 200]
    stopped = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(passed) <= 130 and stopped
    refused(stopped[-1], 429, "rate.exceeded")
    assert limits_of(stopped[-1])[0] == 0
    seconds = int(stopped[-1].headers["retry-after"])
    assert 1 <= seconds <= 60
    until(lambda: person.get("/products").status_code == 200, seconds + 2, "to be let in again")
    shop.close()


def test_signing_in_is_limited_more_strictly(new_shop):
    shop = new_shop(RATE_LIMIT_SIGN_IN="5").start()
    person = shop.anonymous()
    email = new_email()
    calls = [
        lambda: person.post("/users", json={"email": new_email(), "password": PASSWORD}),
        lambda: person.post("/users/login", json={"email": email, "password": "not this one"}),
        lambda: person.post("/users/refresh", json={"refresh_token": "x"}),
    ]
    answers = [calls[i % 3]() for i in range(12)]
    assert 5 <= len([answer for answer in answers if answer.status_code != 429]) <= 7
    refused(answers[-1], 429, "rate.exceeded")
    accepted(person.get("/products"))
    shop.close()


def test_each_client_has_limits_of_its_own_behind_trusted_proxies_only(new_shop):
    def let_in(shop, forwarded):
        person = shop.anonymous()
        return sum(
            person.get("/products", headers={"X-Forwarded-For": forwarded(i)}).status_code == 200
            for i in range(30)
        )

    shop = new_shop(RATE_LIMIT="10", TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8").start()
    assert let_in(shop, lambda i: f"203.0.113.{i}") == 30, "each is another client"
    assert (
        let_in(shop, lambda i: f"198.51.100.{i}, 192.0.2.7, 10.1.2.3") <= 12
    ), "right-most untrusted"
    assert let_in(shop, lambda i: f"2001:db8::{i:x}") <= 12, "one /64 is one client"
    assert let_in(shop, lambda i: f"2001:db8:1:{i:x}::1") == 30, "another /64 is another"
    shop.close()

    shop = new_shop(RATE_LIMIT="10").start()
    assert let_in(shop, lambda i: f"203.0.113.{i}") <= 12, "nobody is believed"
    shop.close()


# ---- request ids and traces ----


def test_every_answer_has_a_request_id_and_keeps_the_one_it_was_given(anonymous):
    given = anonymous.get("/products", headers={"X-Request-Id": "order-form-17"})
    assert given.headers["x-request-id"] == "order-form-17"
    ids = {
        anonymous.get(path).headers["x-request-id"]
        for path in ("/products", "/products", "/nothing")
    }
    assert len(ids) == 3 and all(ids)
    for bad in ("x" * 65, "two words", "ä".encode()):
        answer = anonymous.get("/products", headers={"X-Request-Id": bad})
        assert answer.headers["x-request-id"] not in (bad, "") and answer.status_code == 200


def test_a_trace_goes_on_where_it_is_well_formed(anonymous):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = anonymous.get("/nothing", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert refused(answer, 404, "route.unknown")["trace_id"] == trace
    assert answer.headers["traceparent"].split("-")[1] == trace
    for bad in (f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-x-y-01", ""):
        answer = anonymous.get("/nothing", headers={"traceparent": bad})
        assert refused(answer, 404, "route.unknown")["trace_id"] not in (trace, "0" * 32)


# ---- what it refuses by itself ----


def test_unknown_paths_and_methods_are_refused_as_problems(anonymous, customer):
    for path in ("/", "/nothing", "/users/me/nothing", "/orders/a/b/c", "/Products", "/products/"):
        assert customer.get(path).status_code == 404, path
    refused(anonymous.get("/nothing"), 404, "route.unknown")
    answer = anonymous.delete("/orders")
    refused(answer, 405, "route.method_not_allowed")
    assert {"GET", "POST"} <= set(re.split(", *", answer.headers["allow"]))
    refused(anonymous.request("PATCH", "/users/login"), 405, "route.method_not_allowed")
    refused(anonymous.request("BREW", "/products"), 501, "http.method_unknown")
    accepted(anonymous.get("/products"))


def test_a_path_is_read_as_it_is_meant(anonymous, staff):
    sku = staff.new_sku()
    assert staff.get(f"/products/stock/%{ord(sku[0]):02X}{sku[1:]}").json()["sku"] == sku
    refused(staff.get("/products/stock/%00"), 400, "path.malformed")
    refused(staff.get("/products/stock/%zz"), 400, "path.malformed")
    refused(staff.get("/products/stock/%ff"), 400, "path.malformed")
    for path in ("/products/../users", "/products/%2e%2e/users", "//users", "/products/..%2fusers"):
        assert anonymous.http.get(anonymous.door + path).status_code in (400, 401, 404), path


def test_what_is_too_large_is_refused(shop, anonymous, customer):
    refused(anonymous.get("/products?q=" + "a" * 3000), 414, "http.target_too_long")
    refused(
        anonymous.get("/products", headers={"X-Large": "a" * 9000}), 431, "http.headers_too_large"
    )
    refused(customer.post("/orders", key="k", content=b" " * 65537), 413, "http.body_too_large")
    heard = talk(shop, "POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    is_refused_raw(heard, 413, "http.body_too_large")
    heard = talk(
        shop,
        "POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"8000\r\n" + b" " * 0x8000 + b"\r\n"] * 3,
    )
    is_refused_raw(heard, 413, "http.body_too_large")
    accepted(anonymous.get("/products?q=" + "a" * 150))


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /products HTTP/1.1\r\n\r\n",
        "GET /products HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /products HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /products HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        "GET /pro ducts HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
    ids=[
        "no host",
        "two hosts",
        "space before colon",
        "nul",
        "space in target",
        "length and chunked",
        "two lengths",
        "bad chunk",
        "tls",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(shop, request_text):
    is_refused_raw(talk(shop, request_text), 400, "http.malformed")


def test_other_versions_are_refused(shop):
    is_refused_raw(talk(shop, "GET /products HTTP/3.0\r\nHost: x\r\n\r\n"), 505, "http.version")


def test_slow_peers_are_not_waited_for(shop, anonymous):
    started = time.monotonic()
    is_refused_raw(talk(shop, "GET /products HTTP/1.1\r\nHost: x\r\n"), 408, "http.timeout")
    assert 0.8 < time.monotonic() - started < 6
    head = "POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    is_refused_raw(talk(shop, head), 408, "http.timeout")
    assert talk(shop) == b"", "an idle connection is closed without a word"
    accepted(anonymous.get("/products"))


def test_pipelined_requests_are_answered_in_order(shop):
    one = "GET /products?limit=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: {}\r\n{}\r\n"
    heard = talk(
        shop, "".join(one.format(i, "Connection: close\r\n" if i == 9 else "") for i in range(10))
    )
    assert [int(i) for i in re.findall(rb"(?i)x-request-id: (\d+)", heard)] == list(range(10))
    assert heard.count(b"HTTP/1.1 200 ") == 10


# ---- routes from a file ----

ROUTES = """
- path: /users
  upstream: service:users
- path: /products
  upstream: service:products
- path: /orders
  upstream: service:orders
  access: customer
"""


def test_routes_are_read_again_at_a_hang_up(new_shop, tmp_path):
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)
    shop = new_shop(ROUTES_FILE=file).start()
    person = shop.anonymous()
    accepted(person.get("/products"))

    def hang_up(text):
        file.write_text(text)
        shop.process.send_signal(signal.SIGHUP)

    hang_up(ROUTES.replace("- path: /products\n  upstream: service:products\n", ""))
    until(lambda: person.get("/products").status_code == 404, what="the route to be gone")
    refused(person.get("/products"), 404, "route.unknown")
    accepted(person.get("/users/.well-known/jwks.json"))
    hang_up("- path: /users\n  upstream: service:nobody\n")
    until(lambda: "service:nobody" in shop.log(), what="the mistake in the log")
    accepted(person.get("/users/.well-known/jwks.json"))
    hang_up(ROUTES)
    until(lambda: person.get("/products").status_code == 200, what="the route to be back")
    shop.kill()
