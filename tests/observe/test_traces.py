"""Traces: one order is one trace, from the door through every service, event and payment, as the collector shows it."""

import re
import secrets

import pytest
from shop import Shop, accepted

SERVICES = {"duka-gateway", "duka-orders", "duka-products"}


def new_trace(flags="01"):
    """Its id, and the headers of a client that begins it."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"}


def place(customer, sku, headers, token="approve", quantity=1):
    body = {"lines": [{"sku": sku, "quantity": quantity}], "payment": {"provider": "simulator", "token": token}}
    return customer.post("/orders", json=body, key=secrets.token_hex(8), headers={**headers, "Prefer": "wait=10"})


def names(spans, service=None):
    return {span.name for span in spans if service in (None, span.service)}


def only(spans, service, name):
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


def unconnected(spans, headers):
    """Those that do not hang, by their parents, on the span that the client named."""
    outside, ids = headers["traceparent"].split("-")[2], {span.id for span in spans}
    return [span for span in spans if span.parent != outside and span.parent not in ids]


def is_captured(spans):
    """All has come of an order that went well: its last event and what follows its capture."""
    return SERVICES <= {span.service for span in spans} and "payment capture" in names(spans) and \
        "process orders.v1.OrderNews" in names(spans, "duka-users") and not unfinished(spans)


def unfinished(spans):
    """Parents that have not come yet."""
    ids = {span.id for span in spans}
    return [span for span in spans if span.parent not in ids][1:]


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "apart"])
def test_an_order_is_one_trace_in_jaeger(apart, jaeger, tmp_path, tell):
    with Shop(tmp_path / "data", apart=apart, **jaeger.settings()) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=2)
        trace_id, headers = new_trace()
        order = accepted(place(customer, sku, headers), 201)
        spans = jaeger.trace_with(trace_id, is_captured)
        assert unconnected(spans, headers) == []
        door = only(spans, "duka-gateway", "POST /orders")
        assert door.kind == "server" and door.tags["http.response.status_code"] == 201
        assert re.fullmatch("[0-9a-f]{16}", door.tags["enduser.pseudo.id"])
        call = only(spans, "duka-orders", "POST /orders")
        assert call.kind == "server" and call.tags["duka.call"] == "orders.create_order"
        if apart:
            client = next(span for span in spans if span.id == call.parent)
            assert (client.service, client.kind, client.parent) == ("duka-gateway", "client", door.id)
        assert {"wait for a worker", "write", "wait for the writer", "batch", "commit", "order_insert", "outbox_insert",
                "send orders.v1.OrderPlaced", "process products.v1.StockReserved", "payment authorize",
                "payment capture"} <= names(spans, "duka-orders")
        assert {"process orders.v1.OrderPlaced", "send products.v1.StockReserved"} <= names(spans, "duka-products")
        kinds = {span.name.split()[0]: span.kind for span in spans if re.match(r"(send|process) \w+\.v1\.", span.name)}
        assert kinds == {"send": "producer", "process": "consumer"}
        for span in spans:
            if span.name == "payment authorize":
                assert span.tags["duka.order.id"] == order["id"] and span.tags["duka.payment.outcome"] == "authorized"
            if span.kind == "client" and "db.system.name" in span.tags:
                assert span.tags["db.query.summary"] == span.name and re.fullmatch("[a-z_]+", span.name)
        assert not any(span.failed for span in spans)
        assert order["id"] not in customer_words(spans), "an id is an attribute, never part of a name"
        tell(f"an order is {len(spans)} spans of {len({s.service for s in spans})} services")


def customer_words(spans):
    return " ".join(span.name for span in spans)


def test_a_refusal_and_what_it_takes_back_stand_in_the_trace_with_their_reasons(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings()) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=1)
        trace_id, headers = new_trace()
        assert place(customer, sku, headers, token="decline").status_code == 402
        spans = jaeger.trace_with(trace_id, lambda found: "process orders.v1.OrderClosed" in names(found)
                                  and "POST /orders" in names(found, "duka-gateway") and not unfinished(found))
        assert unconnected(spans, headers) == []
        asked = only(spans, "duka-orders", "payment authorize")
        assert asked.tags["duka.payment.outcome"] == "declined"
        door = only(spans, "duka-gateway", "POST /orders")
        assert door.tags["error.type"] == "payment.declined" and not door.failed, "a refusal is no fault of ours"
        freed = only(spans, "duka-products", "process orders.v1.OrderClosed")
        assert freed.tags["duka.outcome"] == "ok", "the hold goes back in the same trace"


def test_each_try_of_a_payment_is_a_span_and_one_without_an_answer_failed(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings(PAYMENT_TIMEOUT="200ms")) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=1)
        trace_id, headers = new_trace()
        accepted(place(customer, sku, headers, token="timeout"), 201)
        spans = jaeger.trace_with(trace_id, is_captured)
        tries = sorted((s for s in spans if s.name == "payment authorize"), key=lambda span: span.start)
        assert [span.tags["duka.payment.outcome"] for span in tries][0] == "unknown" and len(tries) > 1
        assert tries[0].failed and tries[0].tags["error.type"] == "payment.unknown"
        assert tries[-1].tags["duka.payment.outcome"] == "authorized" and not tries[-1].failed


def test_the_mail_about_an_order_is_sent_in_its_trace(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings()) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=1)
        trace_id, headers = new_trace()
        accepted(place(customer, sku, headers), 201)
        spans = jaeger.trace_with(trace_id, lambda found: "send mail" in names(found) and is_captured(found))
        assert unconnected(spans, headers) == []
        mail = only(spans, "duka-users", "send mail")
        assert mail.kind == "client" and mail.tags["duka.mail.kind"] == "order_confirmed" and not mail.failed
        assert customer.email not in str([span.tags for span in spans])


@pytest.mark.whole
def test_members_of_a_batch_are_linked_with_it(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings()) as shop:
        people, sku = [shop.customer() for _ in range(6)], shop.staff.new_sku(on_hand=100)
        traces = []
        for _ in range(5):  # until two of them met in a batch: they need not, on an idle machine
            begun = [new_trace() for _ in people]
            for person, (_, headers) in zip(people, begun):
                body = {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}}
                answer = person.post("/orders", json=body, key=secrets.token_hex(8),
                                     headers={**headers, "Prefer": "respond-async"})
                assert answer.status_code in (201, 202), answer.text
            traces += [trace for trace, _ in begun]
        linked = []
        for trace in traces:
            spans = jaeger.trace_with(trace, is_captured)
            batches = {span.id: span for span in spans if span.name == "batch"}
            for span in spans:
                if span.name == "write":
                    (link,) = span.links
                    assert link[1] in batches or link[0] != trace
                    linked += [link] if link[0] != trace else []
            for batch in batches.values():
                assert batch.tags["db.operation.batch.size"] >= 1 + len(batch.links)
        for trace, batch in linked[:5]:
            there = next(span for span in jaeger.trace(trace) if span.id == batch)
            assert there.name == "batch" and there.links, "and the batch names its members"


def test_passwords_are_a_span_of_their_own_and_are_told_nowhere(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings()) as shop:
        email, password = "planted-" + secrets.token_hex(6) + "@example.com", "planted-" + secrets.token_hex(8)
        trace_id, headers = new_trace()
        body = {"email": email, "password": password, "name": "Planted Name"}
        accepted(shop.http.post(shop.url + "/users", json=body, headers=headers), 201)
        login_id, login = new_trace()
        accepted(shop.http.post(shop.url + "/users/login", json={"email": email, "password": password}, headers=login))
        made = jaeger.trace_with(trace_id, lambda found: "password hash" in names(found) and "commit" in names(found))
        known = jaeger.trace_with(login_id, lambda found: "password verify" in names(found))
        for planted in ("planted", "Planted Name"):
            assert planted not in repr(made) + repr(known), "nothing of a person stands in a span"
