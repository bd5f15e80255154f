"""Logs: every line is one object of JSON with stable keys, belongs to a trace, and holds nothing that somebody gave us in trust."""

import json
import secrets
import signal

import pytest
from listener import Listener
from shop import Shop, accepted, until
from test_traces import new_trace, place

ALWAYS = {"time", "level", "event"}


class Planted:
    """Words that must be found nowhere, each where a person or an operator would put it."""

    def __init__(self):
        self.words = []

    def word(self, what):
        word = f"plant{what}{secrets.token_hex(5)}"
        self.words.append(word)
        return word

    def found_in(self, text):
        text = text.lower()
        return [word for word in self.words if word.lower() in text]


def lead_a_life(shop, planted):
    """What people do and get wrong, with planted words wherever they may write some."""
    word, http = planted.word, shop.http
    email, password = word("mail") + "@example.com", word("password")
    _, headers = new_trace()
    agent = {**headers, "User-Agent": word("agent"), "Cookie": word("cookie"), "Referer": "http://x/" + word("referer")}
    body = {"email": email, "password": password, "name": word("name"), "phone": "+49" + word("phone")}
    accepted(http.post(shop.url + "/users", json=body, headers=agent), 201)
    assert http.post(shop.url + "/users", json={**body, "email": word("notmail")}, headers=agent).status_code == 422
    assert http.post(shop.url + "/users/login", json={"email": email, "password": word("wrong")}).status_code == 401
    told = accepted(http.post(shop.url + "/users/login", json={"email": email, "password": password}, headers=agent))
    planted.words += [told["access_token"].split(".")[2], told["refresh_token"]]
    bearer = {**headers, "Authorization": "Bearer " + told["access_token"]}
    assert http.get(shop.url + "/users/me", headers={"Authorization": "Bearer " + word("token")}).status_code == 401
    address = {"name": word("receiver"), "line1": word("street"), "city": word("city"), "postal_code": "12345", "country": "DE"}
    http.post(shop.url + "/users/me/addresses", json=address, headers=bearer)
    sku = shop.staff.new_sku(on_hand=3)
    for token in ("approve", "decline", word("cardtoken")):
        http.post(shop.url + "/orders", headers={**bearer, "Idempotency-Key": word("key"), "Prefer": "wait=5"}, json={
            "lines": [{"sku": sku, "quantity": 1}], "shipping_address": address, "payment": {"provider": "simulator", "token": token}})
    orders = accepted(http.get(shop.url + "/orders", headers=bearer))["items"]
    assert len(orders) >= 2
    http.post(shop.url + f"/orders/{orders[0]['id']}/cancel", json={"reason": word("reason")},
              headers={**bearer, "Idempotency-Key": secrets.token_hex(8)})
    http.get(shop.url + "/products", params={"q": word("search")})
    http.get(shop.url + "/products", params={word("parameter"): "1"})
    http.post(shop.url + "/users", content=b'{"email": "' + word("broken").encode(), headers={"content-type": "application/json"})
    http.post(shop.url + "/users/password/forgot", json={"email": email})
    http.request("DELETE", shop.url + "/users/me", json={"password": password}, headers=bearer)


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "apart"])
def test_nothing_that_was_given_in_trust_is_found_in_logs_spans_or_metrics(apart, tmp_path):
    listener, planted = Listener(), Planted()
    try:
        settings = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": listener.url,
                    "OTEL_EXPORTER_OTLP_HEADERS": "x-key=" + planted.word("otlp"), "OTEL_BSP_SCHEDULE_DELAY": "50",
                    "OTEL_BSP_MAX_QUEUE_SIZE": "65536", "OPS_TOKEN": planted.word("ops"), "LOG_LEVEL": "debug"}
        with Shop(tmp_path / "data", apart=apart, **settings) as shop:
            lead_a_life(shop, planted)
            metrics = shop.metrics()
            shop.stop()
            log = shop.log()
        exported = b" ".join(body for _, body in listener.bodies).decode("latin-1")
        assert len(planted.words) > 20 and "orders.create_order" in log + exported
        assert planted.found_in(log) == [] and planted.found_in(metrics) == [] and planted.found_in(exported) == []
        assert planted.found_in(log + planted.words[3]) == [planted.words[3]], "and a planted one is found"
        assert {path for path, _ in listener.bodies} == {"/v1/traces", "/v1/logs"}
        lines = [json.loads(line) for line in log.splitlines()]  # every line is one
        assert all(ALWAYS <= line.keys() for line in lines)
    finally:
        listener.close()


def test_no_input_makes_a_line_of_its_own(tmp_path):
    with Shop(tmp_path / "data", LOG_LEVEL="debug") as shop:
        forged = '"}\n{"time":"x","level":"error","event":"forged"}'
        for path in ("/products/%0a%7b%22event%22%3a%22forged%22%7d", "/products/%e2%80%a8forged", '/products/"},{"event":"forged"'):
            shop.http.get(shop.url + path, headers={"X-Request-Id": "a\u2028b".encode("utf-8"), "User-Agent": "forged"})
        shop.http.post(shop.url + "/users/login", json={"email": forged, "password": forged})
        customer, sku = shop.customer(), shop.staff.new_sku()
        place(customer, sku, {}, token="approve")
        lines = until(lambda: [json.loads(line) for line in shop.log().splitlines()], what="lines")
        assert len(lines) > 3 and not any(line["event"] == "forged" for line in lines)


def test_the_lines_of_a_request_are_found_by_its_trace(tmp_path):
    with Shop(tmp_path / "data", apart=False) as shop:
        customer = shop.customer()
        trace_id, headers = new_trace()
        accepted(customer.get("/users/me", headers=headers))
        line = until(lambda: [e for e in shop.log_entries() if e.get("trace_id") == trace_id], what="its line")[0]
        assert len(line["span_id"]) == 16 and len(line["user"]) == 16 and line["request_id"]
        me = accepted(customer.get("/users/me"))
        assert me["id"] not in shop.log(), "who it was is a hash"


def test_levels_change_while_it_runs(tmp_path):
    file = tmp_path / "duka.yaml"
    file.write_text("log_level: error\n")
    shop = Shop(tmp_path / "data", apart=False, DUKA_CONFIG=str(file)).start()
    try:
        customer = shop.customer()
        accepted(customer.get("/users/me"))
        assert not any(entry["event"] == "http.request" for entry in shop.log_entries())

        def told(event):
            accepted(customer.get("/users/me"))
            return any(entry["event"] == event for entry in shop.log_entries())

        file.write_text("log_level: info\n")
        shop.process.send_signal(signal.SIGHUP)
        until(lambda: told("http.request"), what="a line of that level")
        file.write_text("log_level: loud\n")
        shop.process.send_signal(signal.SIGHUP)
        until(lambda: told("settings.refused"), what="a refusal")
        assert "LOG_LEVEL" in shop.log()
        file.write_text("log_level: error\n")
        shop.process.send_signal(signal.SIGHUP)

        def is_quiet():
            before = len(shop.log_entries())
            accepted(customer.get("/users/me"))
            accepted(customer.get("/users/me"))
            return len(shop.log_entries()) == before

        until(is_quiet, what="quiet again")
        assert shop.stop() == 0
        assert [line for line in shop.faults() if "settings.refused" not in line] == []
    finally:
        shop.kill()
