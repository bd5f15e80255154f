"""A real Prometheus over the running shop: its numbers are the books', every query of every panel and rule gives something, an
alert fires and clears."""

import http.server
import importlib.util
import json
import os
import re
import shutil
import threading

import httpx
import pytest
import yaml
from brokers import Missing
from prometheus import PLACE, Alertmanager, Prometheus, page_of, panels, promtool, rules
from shop import Shop, accepted, free_port, refused, until

CLUSTER = (PLACE.parents[1] / "tests" / "observe" / "cluster.prom")


class Door(http.server.ThreadingHTTPServer):
    """Tells the samples of a cluster (written by hand: there is none here), and takes Alertmanager's webhooks."""

    daemon_threads = True

    def __init__(self):
        self.alerts, self.lock = [], threading.Lock()
        super().__init__(("127.0.0.1", free_port()), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def told(self, name, status):
        with self.lock:
            return [one for one in self.alerts if one["labels"]["alertname"] == name and one["status"] == status]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = CLUSTER.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.alerts += body["alerts"]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A shop of four programs, with orders in it, and who watches it: (shop, Prometheus, webhook's door, orders confirmed)."""
    if os.environ.get("OBSERVE") != "whole":
        pytest.skip("it takes about a minute: make test-observe")
    place = tmp_path_factory.mktemp("watched")
    door = Door()
    watchers = []
    try:
        manager = Alertmanager(place / "alertmanager", f"http://{door.address}")
        # The exporter of traces, away, has its series in every program.
        settings = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
                    "SWEEP_INTERVAL": "1s"}
        with Shop(place / "data", apart=True, **settings) as shop:
            doors = [shop.addresses["ops"], *shop.services_ops.values()]
            prometheus = Prometheus(place / "prometheus", {"duka": doors, "cluster": [door.address]}, manager)
            for one in (manager, prometheus):
                watchers.append(one.start())
            prometheus.await_targets()
            customer, sku = shop.customer(), shop.staff.new_sku()
            for _ in range(2):  # a rate is seen of what grows between two scrapes
                for _ in range(3):
                    accepted(customer.place(sku), 201)
                seen = prometheus.number("sum(duka_orders_total)") or 0
                refused(customer.place(sku, token="decline"), 402, "payment.declined")
                until(lambda: prometheus.number("sum(duka_orders_total)") > seen, 60, "a scrape of the orders")
            yield shop, prometheus, door, 6
    except Missing as why:
        pytest.skip(str(why))
    finally:
        for one in watchers:
            one.kill()
        door.shutdown()
        door.server_close()


def test_the_numbers_are_those_of_the_books(watched):
    _, prometheus, _, confirmed = watched
    wanted = {
        'sum(duka_orders_total{status="placed"})': confirmed + 2,
        'sum(duka_orders_total{status="confirmed"})': confirmed,
        'sum(duka_orders_total{status="rejected"})': 2,
        'sum(duka_http_requests_total{route="orders.create_order",status="201"})': confirmed,
        'sum(duka_http_requests_total{route="orders.create_order",status="402"})': 2,
        'sum(duka_payments_total{outcome="declined"})': 2,
        "sum(duka_outbox_backlog)": 0,
    }
    for expression, value in wanted.items():
        until(lambda: prometheus.number(expression) == value, 60, f"{expression} = {value}")


def test_every_query_of_every_panel_gives_something(watched):
    _, prometheus, _, _ = watched
    for dashboard, panel, expression in panels():
        if "duka_bus_waiting" in expression:
            continue  # of a broker: this shop pushes from one program to the other
        until(lambda: prometheus.query(expression), 60, f"{dashboard}, {panel}: a result of {expression}")


def as_values(expression):
    """An alert's expression with comparisons that give 0 or 1: what is quiet gives something, too."""
    return re.sub(r"(?<![=!~<>])(>=|<=|==|>|<)(?![=~])(?! bool)", r"\1 bool", expression)


def test_every_query_of_every_rule_gives_something(watched):
    _, prometheus, _, _ = watched
    seen = 0
    for file, rule in rules():
        name = rule.get("alert") or rule["record"]
        expression = as_values(rule["expr"]) if "alert" in rule else rule["expr"]
        until(lambda: prometheus.query(expression), 60, f"{file}, {name}: a result of {expression}")
        seen += 1
    assert seen > 30
    assert not prometheus.query(as_values('duka_orders_total{status="nothing"} > 0')), "an empty result is seen"
    for group in prometheus.ask("/api/v1/rules")["data"]["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule


def test_an_exemplar_leads_to_the_trace(watched):
    _, prometheus, _, _ = watched

    def exemplars():
        found = prometheus.ask("/api/v1/query_exemplars", query='duka_http_request_duration_seconds_bucket{route="orders.create_order"}',
                               start="0", end="9999999999")["data"]
        return [each["labels"]["trace_id"] for series in found for each in series["exemplars"]]

    found = until(exemplars, 30, "an exemplar of POST /orders")
    assert all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in found)


def test_an_alert_fires_and_clears(watched):
    shop, _, door, _ = watched
    assert not door.told("DukaDown", "firing")
    shop.stop_service("products")
    (fired, *_) = until(lambda: door.told("DukaDown", "firing"), 60, "DukaDown to reach the webhook")
    assert fired["labels"]["severity"] == "page" and fired["labels"]["instance"] == shop.services_ops["products"]
    shop.start_service("products")
    until(lambda: door.told("DukaDown", "resolved"), 60, "DukaDown to clear")


def test_both_forms_of_metrics_are_well_formed(watched):
    shop, _, _, _ = watched
    open_text = httpx.get(shop.ops + "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"},
                          trust_env=False)
    assert open_text.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert open_text.text.endswith("# EOF\n") and "# TYPE duka_http_requests counter" in open_text.text
    plain = httpx.get(shop.ops + "/metrics", trust_env=False)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4") and "# EOF" not in plain.text


# ---- the files by themselves ----


def test_promtool_and_amtool_take_the_files():
    if not shutil.which("promtool"):
        pytest.skip("no promtool here: apt-get install prometheus")
    for words in (("check", "config", "prometheus.yml"), ("check", "rules", "rules/alerts.yml", "rules/recording.yml"),
                  ("test", "rules", "tests/alerts.yml")):
        code, text = promtool(*words)
        assert code == 0, text


def test_every_alert_has_its_runbook_and_a_route():
    pages = set()
    for _, rule in rules():
        if "alert" not in rule:
            continue
        page = page_of(rule)
        assert page.exists(), f"{rule['alert']} has no {page}"
        assert rule["alert"] in page.read_text().splitlines()[0] and rule["labels"]["severity"] in ("page", "ticket")
        pages.add(page)
    assert len(pages) > 20


def test_the_dashboards_are_those_of_their_table():
    spec = importlib.util.spec_from_file_location("dashboards", PLACE / "dashboards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = {path.name: path.read_text() for path in (PLACE / "dashboards").glob("*.json")}
    assert written == module.dashboards(), "run deploy/observability/dashboards.py"


def test_the_configuration_for_a_cluster_is_read_and_names_what_it_watches():
    """Debian's Prometheus is built without discovery by Kubernetes, so this file is not run."""
    jobs = {job["job_name"] for job in yaml.safe_load((PLACE / "prometheus.kubernetes.yml").read_text())["scrape_configs"]}
    assert jobs == {"duka", "kube-state-metrics", "kubelet", "cadvisor", "node"}


def test_the_set_is_read_and_the_files_that_it_names_are_there():
    """There is no Docker here: nothing of it is run."""
    services = yaml.safe_load((PLACE / "compose.yaml").read_text())["services"]
    assert {"prometheus", "alertmanager", "grafana", "collector", "jaeger", "loki"} <= services.keys()
    for name, service in services.items():
        assert ":" in service["image"], f"{name} names its version"
        for volume in service.get("volumes", ()):
            assert (PLACE / volume.split(":")[0]).exists(), volume
    for path in (PLACE / "provisioning").rglob("*.yaml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1
