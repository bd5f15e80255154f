"""The way to the collector: Zipkin's, one that is away, one that refuses, what is sampled; no request waits for any of it."""

import os
import pathlib
import time

import pytest
from browser import CHROMIUM, Page
from listener import Listener
from shop import ROOT, Shop, accepted, free_port, until
from test_traces import SERVICES, is_captured, names, new_trace, place, unconnected

WHOLE = os.environ.get("OBSERVE") == "whole"
AWAY_SECONDS = 600 if WHOLE else 3


def resident(shop):
    status = pathlib.Path(f"/proc/{shop.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def exported(shop, outcome):
    for line in shop.metrics().splitlines():
        if line.startswith(f'duka_exported_total{{what="traces",outcome="{outcome}"}}'):
            return float(line.split()[-1])
    return 0


@pytest.mark.whole
def test_an_order_is_one_trace_in_zipkin(zipkin, tmp_path):
    with Shop(tmp_path / "data", **zipkin.settings()) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=2)
        trace_id, headers = new_trace()
        accepted(place(customer, sku, headers), 201)
        # Zipkin writes the names in lower case.
        spans = zipkin.trace_with(trace_id, lambda found: "payment capture" in names(found)
                                  and "process orders.v1.ordernews" in names(found)
                                  and len([s for s in found if s.parent not in {o.id for o in found}]) == 1)
        assert unconnected(spans, headers) == []
        assert SERVICES <= {span.service for span in spans}
        (door,) = [s for s in spans if (s.service, s.name) == ("duka-gateway", "post /orders")]
        assert door.kind == "server" and door.tags["http.response.status_code"] == "201"
        assert exported(shop, "sent") >= len(spans) and exported(shop, "refused") == 0
        if CHROMIUM:  # as a person sees it
            pictures = ROOT / "build" / "logs" / "observe"
            pictures.mkdir(parents=True, exist_ok=True)
            with Page(tmp_path / "profile", 1400, 1600) as page:
                page.open(f"{zipkin.api}/zipkin/traces/{trace_id}",
                          "document.body?.innerText.toLowerCase().includes('duka-products')")
                page.picture(pictures / "zipkin.png")
                seen = page.value("document.body.innerText").lower()
                assert "duka-gateway" in seen and "duka-orders" in seen, seen


def test_while_the_collector_is_away_orders_go_on_and_memory_stays(tmp_path, tell):
    away = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
            "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "512", "ACCESS_TOKEN_TTL": "1h"}  # it lasts for twelve minutes
    shop = Shop(tmp_path / "data", apart=False, **away)
    shop.apps = ROOT / "build" / "release" / "src" / "apps"  # sanitizers keep what was freed
    if not (shop.apps / "duka").exists():
        pytest.skip("no release build: scripts/build release")
    with shop:
        customer, sku = shop.customer(), shop.staff.new_sku(on_hand=1000000)
        warm = time.monotonic() + AWAY_SECONDS / 5
        while time.monotonic() < warm:  # what grows at first has grown: caches of pages, arenas, the exporter's rooms
            accepted(place(customer, sku, {}), 201)
        until(lambda: exported(shop, "dropped") > 0, 20, "spans that found no room")
        before, orders, end = resident(shop), 0, time.monotonic() + AWAY_SECONDS
        while time.monotonic() < end:
            accepted(place(customer, sku, {}), 201)
            orders += 1
        grown = resident(shop) - before
        assert grown < 8 << 20, f"{grown} bytes more for {orders} orders: the spans of each are some 50 KB"
        assert exported(shop, "dropped") > 20 * orders
        assert '"event":"export.failed"' in shop.log().replace(" ", "")
        began = time.monotonic()
        shop.stop()
        assert time.monotonic() - began < 20, "it ends all the same"
        tell(f"collector away for {AWAY_SECONDS} s and {orders} orders: {grown / 1024 / 1024:.1f} MiB more")


def test_a_collector_that_refuses_or_is_slow_costs_spans_and_no_request(tmp_path):
    listener = Listener(status=400, delay=1.0)
    try:
        settings = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": listener.url,
                    "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=planted-secret", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with Shop(tmp_path / "data", **settings) as shop:
            customer, sku = shop.customer(), shop.staff.new_sku()
            for _ in range(5):
                accepted(place(customer, sku, {}), 201)
            until(lambda: exported(shop, "refused") > 0, 20, "a refusal")
            assert exported(shop, "sent") == 0
            assert "planted-secret" not in shop.log()
        assert listener.headers[0]["x-tenant"] == "planted-secret"
        assert {path for path, _ in listener.bodies} == {"/v1/traces"}
        assert listener.headers[0]["Content-Type"] == "application/x-protobuf"
    finally:
        listener.close()


def test_a_trace_that_is_not_sampled_leaves_nothing_but_its_faults(jaeger, tmp_path):
    settings = jaeger.settings(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0", TRACE_SLOW="2500ms",
                               PAYMENT_TIMEOUT="200ms")
    with Shop(tmp_path / "data", **settings) as shop:
        customer, sku = shop.customer(), shop.staff.new_sku()
        quiet_id, quiet = new_trace("00")
        accepted(place(customer, sku, quiet), 201)
        failed_id, failed = new_trace("00")
        accepted(place(customer, sku, failed, token="timeout"), 201)
        asked_id, asked = new_trace("01")
        answer = accepted(place(customer, sku, asked), 201)
        assert answer["status"] == "confirmed"
        jaeger.trace_with(asked_id, is_captured)
        kept = jaeger.trace_with(failed_id, lambda found: "payment authorize" in names(found))
        assert {(span.name, span.tags["duka.kept"]) for span in kept} <= {
            ("payment authorize", "error"), ("POST /orders", "slow")}
        assert [span for span in jaeger.trace(quiet_id) if span.tags.get("duka.kept") != "slow"] == []
        told = customer.get("/orders").headers["traceparent"]
        assert told.endswith("-00"), "and whoever hears of it knows"


def test_a_call_that_was_slow_is_kept(jaeger, tmp_path):
    with Shop(tmp_path / "data", **jaeger.settings(OTEL_TRACES_SAMPLER="parentbased_always_off", TRACE_SLOW="1ms")) as shop:
        trace_id, headers = new_trace("00")
        body = {"email": f"{trace_id}@example.com", "password": "a long password indeed", "name": "N"}
        accepted(shop.http.post(shop.url + "/users", json=body, headers=headers), 201)  # argon2id takes longer than that
        spans = jaeger.trace_with(trace_id, lambda found: len(found) >= 2)
        assert {span.tags["duka.kept"] for span in spans} == {"slow"}
        assert "POST /users" in names(spans, "duka-gateway") and "POST /users" in names(spans, "duka-users")


@pytest.mark.parametrize("name, value", [("OTEL_TRACES_EXPORTER", "jaeger"), ("OTEL_TRACES_SAMPLER", "often"),
                                         ("OTEL_TRACES_SAMPLER_ARG", "1.5"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")])
def test_a_setting_that_cannot_be_stops_the_start_and_is_named(name, value, tmp_path):
    shop = Shop(tmp_path / "data", apart=False, **{"OTEL_TRACES_EXPORTER": "otlp", name: value})
    with pytest.raises(AssertionError, match=name):
        shop.start()
    shop.close()
