"""The shop as four programs on a real broker, and all that it says of itself taken by a real OpenTelemetry Collector: one order
that goes well, one refused by its payment, one that a restart of the broker delays. Are the traces whole, are the numbers those
of the shop's books, are the lines of an order found by its trace, in OpenSearch too?"""

import collections
import itertools
import json
import re
import time

import pytest
import yaml
from brokers import Missing, Rabbitmq
from collectors import Opensearch, Otelcol
from listener import Listener
from shop import ROOT, Shop, accepted, items, refused, until
from test_traces import new_trace, place

whole = pytest.mark.whole
LOGS = ROOT / "deploy" / "observability" / "logs"
PRICE = 1299
STATE = "vendor=planted"
Told = collections.namedtuple("Told", "shop customer traces orders listener delay heard")


# ---- what the collector has handed on ----


def value_of(attribute):
    (value,) = attribute["value"].values()
    return value


def attributes_of(message):
    return {one["key"]: value_of(one) for one in message.get("attributes", ())}


def parts(listener, path, resources, scopes, records):
    """(attributes of the resource, record) of all that came to that path."""
    for at, body in list(listener.bodies):
        if at != path:
            continue
        for resource in json.loads(body)[resources]:
            about = attributes_of(resource["resource"])
            for scope in resource[scopes]:
                for record in scope[records]:
                    yield about, record


def spans_of(listener, trace):
    return [(about["service.name"], span) for about, span in parts(listener, "/traces", "resourceSpans", "scopeSpans", "spans")
            if span["traceId"] == trace]


def lines_of(listener, trace):
    return [(about["service.name"], line) for about, line in parts(listener, "/logs", "resourceLogs", "scopeLogs", "logRecords")
            if line.get("traceId") == trace]


def sums(listener, name, **labels):
    """What the programs together count, as each told it last."""
    last = {}
    for about, metric in parts(listener, "/metrics", "resourceMetrics", "scopeMetrics", "metrics"):
        if metric["name"] != name:
            continue
        data = metric.get("sum") or metric.get("gauge") or metric["histogram"]
        for point in data["dataPoints"]:
            own = attributes_of(point)
            if labels.items() <= own.items():
                number = point.get("asInt", point.get("asDouble", point.get("count", 0)))
                last[about["service.instance.id"], tuple(sorted(own.items()))] = float(number)
    return sum(last.values())


# ---- the shop ----


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder, listener, running = tmp_path_factory.mktemp("whole"), Listener(), []
    try:
        for one in (Rabbitmq(folder / "rabbitmq"), Otelcol(folder / "otelcol", listener)):
            running.append(one.start())
        broker, collector = running
        settings = broker.settings()
        with Shop(folder / "data", apart=True, LOG_LEVEL="debug", **settings, **collector.settings()) as shop:
            customer, sku = shop.customer(), shop.staff.new_sku(on_hand=10, price=PRICE)
            hear = broker.hear(settings["BUS_PREFIX"], "orders.v1")
            traces = {what: new_trace() for what in ("good", "refused", "late")}
            orders = {"good": accepted(place(customer, sku, {**traces["good"][1], "tracestate": STATE}), 201)["id"]}
            refused(place(customer, sku, traces["refused"][1], token="decline"), 402, "payment.declined")
            customer.order_becomes(orders["good"], payment_status="captured")
            events = until(lambda: [event for event in hear() if event.attributes["subject"] == orders["good"]], 20, "its events")
            delay = break_the_broker(shop, broker, customer, sku, traces["late"], orders)
            yield Told(shop, customer, {what: trace for what, (trace, _) in traces.items()}, orders, listener, delay, events)
    except Missing as why:
        pytest.skip(str(why))
    finally:
        for one in running:
            one.kill()
        listener.close()


def break_the_broker(shop, broker, customer, sku, trace, orders):
    """An order is taken while the broker is away, and goes on when it is back. For how long it was held up, at least."""
    broker.away()
    doors = ["http://" + shop.services_ops[name] for name in ("orders", "products")]
    until(lambda: all("bus" in shop.http.get(door + "/readyz").json()["degraded"] for door in doors), 30, "a degraded bus")
    for door in doors:
        ready = shop.http.get(door + "/readyz")
        assert ready.status_code == 200 and ready.json()["ready"], "who can still serve is ready"
    began = time.monotonic()
    body = {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}}
    answer = customer.post("/orders", json=body, key="late-" + trace[0], headers={**trace[1], "Prefer": "respond-async"})
    orders["late"] = accepted(answer, 202)["id"]
    page = shop.http.get(f"{doors[0]}/debug/orders/{orders['late']}").text
    assert re.search(r"outbox.*OrderPlaced", re.sub(r"<[^>]+>", " ", page)), "the page says where it is stuck"
    assert 'duka_bus_up{bus="rabbitmq"} 0' in shop.http.get(doors[0] + "/metrics").text
    time.sleep(2)
    delay = time.monotonic() - began
    broker.back()
    customer.order_becomes(orders["late"], seconds=60, payment_status="captured")
    until(lambda: all(not shop.http.get(door + "/readyz").json()["degraded"] for door in doors), 30, "a bus that is well")
    return delay


# ---- traces ----


@whole
@pytest.mark.parametrize("what, last", [("good", "payment capture"), ("late", "payment capture"),
                                        ("refused", "process orders.v1.OrderClosed")])
def test_each_order_is_one_connected_trace_in_the_collector(told, what, last):
    found = []

    def is_whole():
        found[:] = spans_of(told.listener, told.traces[what])
        ids = {span["spanId"] for _, span in found}
        return any(span["name"] == last for _, span in found) and \
            len([span for _, span in found if span.get("parentSpanId") not in ids]) == 1

    until(is_whole, 30, f"the trace of the order that was {what}")
    assert {"duka-gateway", "duka-orders", "duka-products"} <= {service for service, _ in found}


@whole
def test_the_trace_of_the_late_order_says_where_it_waited(told):
    took = {}
    for what in ("good", "late"):
        found = [attributes_of(span) for service, span in spans_of(told.listener, told.traces[what])
                 if (service, span["name"]) == ("duka-products", "process orders.v1.OrderPlaced")]
        took[what] = max(int(each["duka.event.delay_ms"]) / 1e3 for each in found)
    assert took["late"] >= told.delay > took["good"], (took, told.delay)


@whole
def test_the_trace_of_the_refused_order_says_by_what(told):
    (outcome,) = [attributes_of(span)["duka.payment.outcome"] for _, span in spans_of(told.listener, told.traces["refused"])
                  if span["name"] == "payment authorize"]
    assert outcome == "declined"


@whole
def test_a_tracestate_goes_with_events(told):
    assert {event.attributes.get("tracestate") for event in told.heard} == {STATE}
    assert all(re.fullmatch(rf"00-{told.traces['good']}-[0-9a-f]{{16}}-01", event.attributes["traceparent"]) for event in told.heard)


# ---- numbers ----


@whole
def test_the_numbers_in_the_collector_are_those_of_the_books(told):
    books = items(told.customer.get("/orders"))
    states = collections.Counter(order["status"] for order in books)
    paid = sum(order["paid"]["amount"] for order in books)
    assert len(books) == 3 and states["rejected"] == 1 and paid == 2 * PRICE
    wanted = [
        ("duka_orders_total", {"status": "placed"}, len(books)),
        ("duka_orders_total", {"status": "confirmed"}, len(books) - states["rejected"]),
        ("duka_orders_total", {"status": "rejected"}, states["rejected"]),
        ("duka_revenue_minor_units_total", {"currency": "EUR"}, paid),
        ("duka_refunds_minor_units_total", {}, 0),
        ("duka_holds_total", {"outcome": "reserved"}, len(books)),
        ("duka_holds_total", {"outcome": "refused"}, 0),
        ("duka_payments_total", {"outcome": "declined"}, 1),
        ("duka_payments_total", {"outcome": "captured"}, 2),
        ("duka_order_settle_seconds", {}, len(books)),
        ("duka_outbox_backlog", {}, 0),
        ("duka_bus_up", {"bus": "rabbitmq"}, 3),
    ]
    for name, labels, number in wanted:
        until(lambda: sums(told.listener, name, **labels) == number, 20,
              f"{name} {labels} = {number}, not {sums(told.listener, name, **labels)}")


@whole
def test_metrics_are_told_with_their_units_and_kinds(told):
    found = {metric["name"]: metric for _, metric in parts(told.listener, "/metrics", "resourceMetrics", "scopeMetrics", "metrics")}
    assert found["duka_commit_duration_seconds"]["unit"] == "s" and "histogram" in found["duka_commit_duration_seconds"]
    assert found["duka_orders_total"]["sum"]["isMonotonic"] is True
    assert found["duka_orders_total"]["sum"]["aggregationTemporality"] in (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")
    assert "gauge" in found["duka_process_resident_bytes"] and found["duka_process_resident_bytes"]["unit"] == "By"
    assert all(metric["description"] for metric in found.values()) and len(found) > 50
    for metric in found.values():
        for point in metric.get("histogram", {}).get("dataPoints", ()):
            assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
            assert sum(map(int, point["bucketCounts"])) == int(point.get("count", 0))


# ---- lines ----


@whole
def test_the_lines_of_an_order_are_found_by_its_trace_in_the_collector(told):
    until(lambda: lines_of(told.listener, told.traces["refused"]), 20, "its lines")
    events = {line["body"]["stringValue"] for _, line in lines_of(told.listener, told.traces["refused"])}
    assert "http.refused" in events, events


def renames():
    """Filebeat's own table of names, so that what is delivered is what is tried."""
    processors = yaml.safe_load((LOGS / "filebeat.yml").read_text())["processors"]
    (fields,) = [one["rename"]["fields"] for one in processors if "rename" in one]
    return {each["from"]: each["to"] for each in fields}


@whole
def test_the_lines_of_an_order_are_found_by_its_trace_in_opensearch(told, tmp_path):
    """Its own API, with the index template that is delivered; the test stands for Filebeat, with Filebeat's table of names."""
    try:
        search = Opensearch(tmp_path / "opensearch").start()
    except Missing as why:
        pytest.skip(str(why))
    try:
        search.ask("PUT", "/_index_template/duka", json=json.loads((LOGS / "index-template.json").read_text()))
        names, entries = renames(), told.shop.log_entries()
        lines = []
        for entry in entries:
            document = {names.get(key, key): value for key, value in entry.items() if key != "time"}
            lines += [json.dumps({"create": {}}), json.dumps({"@timestamp": entry["time"], **document})]
        done = search.ask("POST", "/logs-duka-default/_bulk?refresh=true", content="\n".join(lines) + "\n",
                          headers={"content-type": "application/x-ndjson"})
        assert not done["errors"], [each for each in done["items"] if each["create"]["status"] >= 300][:3]
        for what, event in (("refused", "http.refused"), ("good", "http.request")):
            found = search.ask("POST", "/logs-duka-default/_search", json={
                "size": 100, "query": {"term": {"trace.id": told.traces[what]}}, "sort": [{"@timestamp": "asc"}]})
            hits = [hit["_source"] for hit in found["hits"]["hits"]]
            assert event in {hit["event.action"] for hit in hits}, hits
            mine = [entry for entry in entries if entry.get("trace_id") == told.traces[what]]
            assert len(hits) == len(mine) > 0
        slow = search.ask("POST", "/logs-duka-default/_search", json={"size": 0, "query": {"range": {"duration_us": {"gt": 0}}}})
        assert slow["hits"]["total"]["value"] > 0, "a time is a number"
        nothing = search.ask("POST", "/logs-duka-default/_search", json={"query": {"term": {"trace.id": "0" * 32}}})
        assert nothing["hits"]["total"]["value"] == 0
    finally:
        search.kill()


# ---- the files for tools that are not here ----


def test_the_files_of_log_shippers_are_read_and_agree_on_the_names():
    table = renames()
    logstash = (LOGS / "logstash.conf").read_text()
    for old, new in table.items():
        assert f'"{old}" => "[{new.replace(".", "][")}]"' in logstash, old
    template = json.loads((LOGS / "index-template.json").read_text())["template"]["mappings"]["properties"]
    for new in table.values():
        place = template
        for name in new.split("."):
            place = place[name].get("properties", place[name])
        assert place["type"] in ("keyword", "short", "long"), new
    for name in ("promtail.yaml", "fluent-bit.yaml", "filebeat.yml"):
        assert yaml.safe_load((LOGS / name).read_text())
    objects = [json.loads(line) for line in (LOGS / "kibana.ndjson").read_text().splitlines()]
    known = {(one["type"], one["id"]) for one in objects}
    refs = itertools.chain.from_iterable(one["references"] for one in objects)
    assert all((ref["type"], ref["id"]) in known for ref in refs) and len(objects) >= 3
