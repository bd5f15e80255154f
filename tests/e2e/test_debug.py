"""The operators' pages and probes: what runs now, one order's life, and what each check says; drawn by a real browser."""

import base64
import re
import secrets
import signal
import threading
import uuid

import httpx
import pytest
from browser import CHROMIUM, Page
from shop import ROOT, Shop, accepted, free_port, one_process, until

SETTINGS = {"TRACE_URL": "http://traces.example/trace/{trace_id}", "OTEL_TRACES_EXPORTER": "otlp", "TRACE_SLOW": "800ms",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "LOG_LEVEL": "error"}


def page(shop, path, ops=None, **rest):
    return shop.http.get((ops or shop.ops) + path, **rest)


def orders_door(shop):
    """Where the program that has Orders tells."""
    return f"http://{shop.services_ops['orders']}" if shop.apart else shop.ops


def text_of(answer, status=200):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text and not re.search(r"""(src|href)=["']?//|@import|url\(""", answer.text)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


# ---- probes ----


def test_the_probes_tell_of_each_check(shop):
    told = accepted(page(shop, "/readyz"))
    names = [check["name"] for check in told["checks"]]
    wanted = ["program", "keys"] if shop.apart else [
        "program", "users", "users.database", "products", "products.database", "orders", "orders.database", "keys", "bus"]
    assert set(wanted) <= set(names), names
    assert {check["state"] for check in told["checks"]} == {"ok"}
    assert told["ready"] is True and told["not_ready"] == [] and told["degraded"] == []
    assert accepted(page(shop, "/livez"))["live"] is True
    assert accepted(page(shop, "/startupz"))["started"] is True


# ---- one order ----


def test_an_order_is_told_with_its_states_money_stock_events_and_trace(shop, staff):
    customer, sku = shop.customer(), staff.new_sku(on_hand=5)
    trace = secrets.token_hex(16)
    body = {"lines": [{"sku": sku, "quantity": 2}], "payment": {"provider": "simulator", "token": "approve"},
            "shipping_address": {"name": "Planted Name", "line1": "Planted Street 7", "city": "Planted City",
                                 "postal_code": "10115", "country": "DE"}}
    order = accepted(customer.post("/orders", json=body, key=secrets.token_hex(8),
                                   headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01", "Prefer": "wait=10"}), 201)
    customer.order_becomes(order["id"], payment_status="captured")
    answer = page(shop, f"/debug/orders/{order['id']}", orders_door(shop))
    text = text_of(answer)
    for words in (order["id"], sku, "placed", "reserved", "confirmed", "payment.captured", "captured", f"{2 * 1299} EUR"):
        assert words in text, (words, text)
    assert f'href="http://traces.example/trace/{trace}"' in answer.text
    assert "Planted" not in answer.text and customer.id not in answer.text and customer.email not in answer.text
    assert page(shop, f"/debug/orders?id={order['id']}", orders_door(shop)).text[:40] == answer.text[:40]
    if not shop.apart:
        assert re.search(rf"Reservation reserved .*{sku} 2 0 0 0", text), text
        assert re.search(r"products applied orders\.v1", text), text

    said = shop.dukactl("explain", order["id"]).stdout
    for words in ("payment.captured", f"trace       {trace}", "provider says captured", "none is due"):
        assert words in said, (words, said)


def test_an_order_that_waits_for_its_provider_says_what_is_due(shop, staff):
    customer, sku = shop.customer(), staff.new_sku()
    waiting = accepted(customer.place(sku, token="timeout", wait=0), 202)
    customer.order_becomes(waiting["id"], payment_status="pending")
    text = text_of(page(shop, f"/debug/orders/{waiting['id']}", orders_door(shop)))
    assert re.search(r"Call that is due authorize, tried \d+ times since \d{4}-", text), text


def test_words_that_somebody_wrote_are_not_shown(shop, staff):
    customer, sku = shop.customer(), staff.new_sku()
    order = accepted(customer.place(sku), 201)
    accepted(customer.cancel(order["id"], reason="planted <b>words</b> of mine"))
    answer = page(shop, f"/debug/orders/{order['id']}", orders_door(shop))
    assert "planted" not in answer.text and "(somebody&#39;s words)" in answer.text
    assert "planted" not in shop.dukactl("explain", order["id"]).stdout


def test_what_is_no_order_is_told_on_a_page(shop):
    assert "Nothing is known" in text_of(page(shop, f"/debug/orders/{uuid.uuid4()}"), 404)
    for wrong in ("/debug/orders/etc", "/debug/orders/%3Cscript%3E", "/debug/orders?id=7", "/debug/orders"):
        assert "No order" in text_of(page(shop, wrong), 400), wrong


# ---- now ----


def test_now_shows_calls_pools_writers_databases_and_the_slow(shop, staff):
    customer, sku = shop.customer(), staff.new_sku()
    slow = accepted(customer.place(sku, token="timeout", wait=1), 202)
    assert slow["status"] in ("placed", "reserved")
    text = text_of(page(shop, "/debug", orders_door(shop)))
    for words in ("Health", "Calls in flight", "Slow calls", "Pools and queues", "requests", "payments of orders", "Writers",
                  "Databases", "Events on their way out"):
        assert words in text, (words, text)
    assert re.search(r"orders \((sqlite|postgresql)\) there", text), text
    assert re.search(r"orders\.create_order 1\.\d\d s ok", text), text
    if shop.apart:
        assert "closed" in text_of(page(shop, "/debug")), "breakers, at the gateway"


def test_a_call_in_flight_is_seen(shop, staff):
    customer, sku = shop.customer(), staff.new_sku()
    thread = threading.Thread(target=customer.place, args=(sku, "timeout"), kwargs={"wait": 3})
    thread.start()
    try:
        until(lambda: "orders.create_order waiting" in text_of(page(shop, "/debug", orders_door(shop))), 5, "it to be seen")
    finally:
        thread.join()
    until(lambda: "orders.create_order waiting" not in text_of(page(shop, "/debug", orders_door(shop))), 5, "it to be gone")


ROUTES = """
- {path: /users, upstream: "service:users"}
- {path: /products, upstream: "service:products"}
- {path: /orders, upstream: "service:orders"}
- {path: /by-url, rewrite: /orders, upstream: "%s", timeout: 9s}
- {path: /nowhere, upstream: "%s", timeout: 2s}
"""


@pytest.mark.parametrize("is_apart", [True, False], ids=["apart", "one process"])
def test_a_gateway_shows_where_its_routes_lead_by_url_and_what_it_has_passed_on(is_apart, tmp_path):
    file, nobody = tmp_path / "routes.yaml", f"http://127.0.0.1:{free_port()}"
    shop = Shop(tmp_path / "data", apart=is_apart, ROUTES_FILE=file, INNER_KEY="k" * 32, TRACE_SLOW="800ms")
    there = shop.doors["orders"]
    file.write_text(ROUTES % (there, nobody))
    shop.start()

    def now():
        return text_of(page(shop, "/debug"))

    try:
        customer, sku = shop.customer(), shop.staff.new_sku()
        assert f"{nobody} no address is known yet 0 closed 0 0, 0 wait" in now() and f"{there} no address" in now(), now()
        assert ("Writers" in now()) == (not is_apart), "of a gateway alone there are none"
        body = {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "timeout"}}
        thread = threading.Thread(target=customer.post, args=("/by-url",),
                                  kwargs={"json": body, "key": secrets.token_hex(8), "headers": {"Prefer": "wait=2"}})
        thread.start()
        try:
            until(lambda: "gateway.url passed on" in now() and f"{there} 127.0.0.1 1 closed 0 1, 0 wait" in now(), 5, "it to be seen")
        finally:
            thread.join()
        until(lambda: "gateway.url passed on" not in now(), 5, "it to be gone")
        assert re.search(r"gateway\.url [12]\.\d+ s ok", now()), now()
        for _ in range(8):
            assert shop.http.get(shop.url + "/nowhere").status_code in (502, 503, 504)
        broken = re.escape(f"{nobody} 127.0.0.1 0 open for ")
        assert re.search(broken + r"[\d.]+ \w+ \d+ 0, 0 wait", now()), now()
        accepted(customer.get("/orders"))
        names = [name for name in ("users", "products", "orders") if re.search(rf" {name} 127\.0\.0\.1 \d+ closed", now())]
        assert names == (["users", "products", "orders"] if is_apart else []), now()
        file.write_text((ROUTES % (there, nobody)).split("- {path: /nowhere")[0])
        shop.process.send_signal(signal.SIGHUP)
        until(lambda: nobody not in now() and there in now(), 10, "the way that no route names any more to be gone")
    finally:
        shop.close()


# ---- who may look ----


@one_process("the door is of one code")
def test_beyond_loopback_the_pages_want_the_token(new_shop):
    shop = new_shop(OPS_TOKEN="the operators word")
    shop.settings["OPS_ADDR"] = shop.addresses["ops"].replace("127.0.0.1", "0.0.0.0")
    door = shop.start().ops
    for path in ("/debug", "/debug/settings", f"/debug/orders/{uuid.uuid4()}", "/debug/orders"):
        answer = shop.http.get(door + path)
        assert answer.status_code == 401 and "Basic" in answer.headers["www-authenticate"], path
        assert shop.http.get(door + path, headers={"Authorization": "Bearer another"}).status_code == 401, path
        for good in ("Bearer the operators word", "Basic " + base64.b64encode(b"me:the operators word").decode()):
            assert shop.http.get(door + path, headers={"Authorization": good}).status_code in (200, 400, 404), path
    assert shop.http.get(door + "/livez").status_code == 200, "a probe has no token"
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(shop.data / "duka.sock"))) as socket:
        assert socket.get("http://duka/debug").status_code == 200, "who can open the socket is an operator"
    shop.close()


# ---- as people see them ----


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_them_without_asking_anybody(shop, staff, tmp_path, scheme):
    if not CHROMIUM:
        pytest.skip("no Chromium: scripts/bootstrap test")
    customer, sku = shop.customer(), staff.new_sku()
    order = accepted(customer.place(sku), 201)
    customer.order_becomes(order["id"], payment_status="captured")
    door = orders_door(shop)
    pictures = ROOT / "build" / "logs" / "debug"
    pictures.mkdir(parents=True, exist_ok=True)
    with Page(tmp_path / "profile", 1200, 1500) as seen:
        seen.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for name, path in (("now", "/debug"), ("order", f"/debug/orders/{order['id']}")):
            seen.open(door + path, "document.readyState === 'complete' && document.querySelector('h1') !== null")
            seen.picture(pictures / f"{name}-{scheme}.png")
            background = seen.value("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark"), background
            assert seen.value("document.documentElement.scrollWidth <= window.innerWidth"), "no part is wider than the page"
            assert seen.complaints() == []
        asked = {url for url in seen.requests() if not url.startswith(door + "/debug") and not url.endswith("favicon.ico")}
        assert asked <= {"about:blank"}, asked
