#!/usr/bin/env python3
"""Writes dashboards/*.json, Grafana's form, from the table below; a test holds the files equal to it.

A panel is (title, unit, {legend: PromQL}). Every query is run by `make test-observe` against a Prometheus that scraped a
running shop: one without a result fails.
"""
import json
import pathlib

RATE = "[$__rate_interval]"


def rate(metric, by, more=""):
    return f"sum by ({by}) (rate({metric}{{{more}}}{RATE}))" if by else f"sum(rate({metric}{{{more}}}{RATE}))"


def quantile(q, metric, by="", more=""):
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{more}}}{RATE})))"


def service(name):
    of = f'service="{name}"'
    return [
        ("Calls", "reqps", {"{{call}}": rate("duka_calls_total", "call", of)}),
        ("Calls that failed or were refused", "reqps", {"{{call}} {{outcome}}": rate("duka_calls_total", "call, outcome", of + ',outcome!="ok"')}),
        ("Time of a call, 99 %", "s", {"{{call}}": quantile(0.99, "duka_call_duration_seconds", "call", of)}),
        ("Writes and commits", "ops", {"writes": rate("duka_writes_total", "", of), "commits": rate("duka_commits_total", "", of)}),
        ("Calls in flight", "short", {"{{instance}} all": f"duka_calls_in_flight{{{of}}}", "{{instance}} wait for their order": f"duka_calls_waiting{{{of}}}"}),
        ("Writes that wait", "short", {"{{instance}}": f"duka_writer_queue{{{of}}}"}),
        ("Outbox", "short", {"{{instance}}": f"duka_outbox_backlog{{{of}}}"}),
        ("Events taken", "ops", {"{{outcome}}": rate("duka_reactions_total", "outcome", of)}),
        ("Rows of bookkeeping", "short", {"{{table}}": f"duka_table_rows{{{of}}}"}),
    ]


DASHBOARDS = {
    "shop": ("Shop", [
        ("Orders by state reached", "ops", {"{{status}}": rate("duka_orders_total", "status")}),
        ("Orders today", "short", {"{{status}}": "sum by (status) (increase(duka_orders_total[24h]))"}),
        ("Time to settle", "s", {"50 %": quantile(0.5, "duka_order_settle_seconds"), "99 %": quantile(0.99, "duka_order_settle_seconds")}),
        ("Money captured and given back today", "short", {"{{currency}} captured": "sum by (currency) (increase(duka_revenue_minor_units_total[24h]))", "{{currency}} given back": "sum by (currency) (increase(duka_refunds_minor_units_total[24h]))"}),
        ("Wishes for stock by outcome", "ops", {"{{outcome}}": rate("duka_holds_total", "outcome"), "hold ran out": rate("duka_holds_expired_total", "")}),
        ("SKUs sold out today", "short", {"sold out": "sum(increase(duka_stock_outs_total[24h]))"}),
        ("A provider's answer", "s", {"{{provider}} 99 %": quantile(0.99, "duka_payment_duration_seconds", "provider")}),
        ("Payments by outcome", "ops", {"{{provider}} {{outcome}}": rate("duka_payments_total", "provider, outcome")}),
        ("Requests", "reqps", {"{{status}}": rate("duka_http_requests_total", "status")}),
        ("Failures, share of all (goal 0.001)", "percentunit", {"5 min": "duka:availability_failures:ratio_rate5m", "6 h": "duka:availability_failures:ratio_rate6h"}),
        ("Slow orders, share of all (goal 0.01)", "percentunit", {"5 min": "duka:order_latency_failures:ratio_rate5m", "6 h": "duka:order_latency_failures:ratio_rate6h"}),
        ("Programs up", "short", {"{{instance}}": 'up{job="duka"}'}),
        ("Memory", "bytes", {"{{instance}}": "duka_process_resident_bytes"}),
        ("CPU", "percentunit", {"{{instance}}": f"rate(duka_process_cpu_seconds_total{RATE})"}),
    ]),
    "users": ("Users", service("users")),
    "products": ("Products", service("products")),
    "orders": ("Orders", service("orders")),
    "gateway": ("Gateway", [
        ("Requests by route", "reqps", {"{{route}}": rate("duka_http_requests_total", "route")}),
        ("Requests by status", "reqps", {"{{status}}": rate("duka_http_requests_total", "status")}),
        ("Time by route, 99 %", "s", {"{{route}}": quantile(0.99, "duka_http_request_duration_seconds", "route")}),
        ("Connections", "short", {"{{instance}}": "duka_connections"}),
        ("Refused by rate limits", "reqps", {"{{class}}": rate("duka_rate_limited_total", "class")}),
        ("Upstream by outcome", "reqps", {"{{upstream}} {{outcome}}": rate("duka_upstream_requests_total", "upstream, outcome")}),
        ("Upstream time, 99 %", "s", {"{{upstream}}": quantile(0.99, "duka_upstream_duration_seconds", "upstream")}),
        ("Sent again", "reqps", {"{{upstream}} {{reason}}": rate("duka_upstream_retries_total", "upstream, reason")}),
        ("Connections made", "ops", {"{{upstream}} {{outcome}}": rate("duka_upstream_connects_total", "upstream, outcome")}),
        ("Addresses, and those left alone", "short", {"{{upstream}} known": "max by (upstream) (duka_upstream_addresses)", "{{upstream}} pauses in 1 h": "sum by (upstream) (increase(duka_upstream_pauses_total[1h]))"}),
        ("Breakers that are open", "short", {"{{instance}} {{upstream}}": "duka_upstream_paused_addresses"}),
        ("Loop of the sockets, busy", "percentunit", {"{{instance}}": f"rate(duka_loop_busy_seconds_total{RATE})"}),
        ("Work that waits for a thread", "short", {"{{instance}} {{pool}}": "duka_queue_length"}),
        ("The oldest of it waits", "s", {"{{instance}} {{pool}}": "duka_queue_age_seconds"}),
        ("Threads that have work", "percentunit", {"{{instance}} {{pool}}": "duka_pool_busy_threads / duka_pool_threads"}),
        ("Work refused for want of room", "ops", {"{{instance}} {{pool}}": f"rate(duka_pool_refused_total{RATE})"}),
        ("Certificate ends in", "s", {"{{instance}}": "duka_tls_certificate_expires_seconds - time()"}),
    ]),
    "saga": ("Saga and outbox", [
        ("Time to settle", "s", {"50 %": quantile(0.5, "duka_order_settle_seconds"), "99 %": quantile(0.99, "duka_order_settle_seconds")}),
        ("Orders refused or cancelled", "ops", {"{{status}}": rate("duka_orders_total", "status", 'status=~"rejected|cancelled"')}),
        ("From commit to effect, 99 %", "s", {"{{service}}": quantile(0.99, "duka_event_delay_seconds", "service")}),
        ("Outbox backlog", "short", {"{{service}}": "sum by (service) (duka_outbox_backlog)"}),
        ("Events by outcome", "ops", {"{{service}} {{outcome}}": rate("duka_reactions_total", "service, outcome")}),
        ("Dead letters", "short", {"{{service}}": "sum by (service) (increase(duka_dead_letters_total[1h]))"}),
    ]),
    "database": ("Database", [
        ("Writes", "ops", {"{{service}}": rate("duka_writes_total", "service")}),
        ("Databases that answer", "short", {"{{instance}} {{service}}": "duka_database_up"}),
        ("Writes in a commit", "short", {"{{service}} 50 %": quantile(0.5, "duka_batch_writes", "service"), "{{service}} 99 %": quantile(0.99, "duka_batch_writes", "service")}),
        ("Time of a commit", "s", {"{{service}} 50 %": quantile(0.5, "duka_commit_duration_seconds", "service"), "{{service}} 99 %": quantile(0.99, "duka_commit_duration_seconds", "service")}),
        ("Share of the time in commits", "percentunit", {"{{service}}": rate("duka_commit_duration_seconds_sum", "service")}),
        ("Writes that wait", "short", {"{{service}}": "sum by (service) (duka_writer_queue)"}),
        ("Readers that are busy", "percentunit", {"{{instance}} {{service}}": "duka_database_readers_busy / duka_database_readers_max"}),
        ("Reads", "ops", {"{{service}}": rate("duka_database_reads_total", "service")}),
        ("Statements that the database failed", "ops", {"{{service}}": rate("duka_database_failures_total", "service")}),
        ("Size of SQLite's files", "bytes", {"{{service}}": "max by (service) (duka_database_size_bytes)"}),
        ("Statements and round trips", "ops", {"{{service}} statements": rate("duka_database_statements_total", "service"), "{{service}} round trips": rate("duka_database_round_trips_total", "service")}),
        ("Rows of bookkeeping", "short", {"{{service}} {{table}}": "sum by (service, table) (duka_table_rows)"}),
        ("Rows forgotten", "ops", {"{{service}} {{table}}": rate("duka_swept_rows_total", "service, table")}),
        ("Sweeper holds the writer, 99 %", "s", {"{{service}}": quantile(0.99, "duka_sweep_duration_seconds", "service")}),
    ]),
    "bus": ("Bus", [
        ("Connected", "short", {"{{instance}} {{bus}}": "duka_bus_up"}),
        ("Events sent", "ops", {"{{service}}": rate("duka_events_sent_total", "service")}),
        ("From commit to the bus, 99 %", "s", {"{{service}}": quantile(0.99, "duka_outbox_delay_seconds", "service")}),
        ("Given and not acked", "short", {"{{instance}}": "duka_bus_backlog"}),
        ("Connections made", "short", {"{{instance}} {{bus}}": "increase(duka_bus_connects_total[1h])"}),
        ("Outbox backlog", "short", {"{{service}}": "sum by (service) (duka_outbox_backlog)"}),
        ("From commit to effect, 99 %", "s", {"{{service}}": quantile(0.99, "duka_event_delay_seconds", "service")}),
        ("Events taken", "ops", {"{{service}} {{outcome}}": rate("duka_reactions_total", "service, outcome")}),
        ("Events that wait for a consumer (brokers)", "short", {"{{consumer}}": "max by (consumer) (duka_bus_waiting)"}),
    ]),
    "cluster": ("Cluster", [
        ("Replicas ready, of wanted", "short", {"{{deployment}}": "kube_deployment_status_replicas_available", "{{deployment}} wanted": "kube_deployment_spec_replicas"}),
        ("Autoscaler: replicas and maximum", "short", {"{{horizontalpodautoscaler}}": "kube_horizontalpodautoscaler_status_current_replicas", "{{horizontalpodautoscaler}} maximum": "kube_horizontalpodautoscaler_spec_max_replicas"}),
        ("Restarts in 1 h", "short", {"{{pod}}": "sum by (pod) (increase(kube_pod_container_status_restarts_total[1h]))"}),
        ("CPU of containers", "short", {"{{pod}}": f'sum by (pod) (rate(container_cpu_usage_seconds_total{{container!=""}}{RATE}))'}),
        ("Memory of containers", "bytes", {"{{pod}}": 'sum by (pod) (container_memory_working_set_bytes{container!=""})'}),
        ("Throttled, share of periods", "percentunit", {"{{pod}}": f"sum by (pod) (rate(container_cpu_cfs_throttled_periods_total{RATE})) / sum by (pod) (rate(container_cpu_cfs_periods_total{RATE}))"}),
        ("Free on volumes", "percentunit", {"{{persistentvolumeclaim}}": "kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes"}),
        ("CPU of nodes in use", "percentunit", {"{{instance}}": f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}{RATE}))'}),
        ("Memory of nodes available", "percentunit", {"{{instance}}": "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"}),
        ("Free on disks of nodes", "percentunit", {"{{instance}} {{mountpoint}}": 'node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"} / node_filesystem_size_bytes'}),
    ]),
}


def panel(i, title, unit, queries):
    source = {"type": "prometheus", "uid": "prometheus"}
    targets = [{"refId": chr(ord("A") + n), "expr": expr.replace("{}", ""), "legendFormat": legend, "datasource": source}
               for n, (legend, expr) in enumerate(queries.items())]
    return {"id": i + 1, "type": "timeseries", "title": title, "datasource": source, "targets": targets,
            "gridPos": {"h": 8, "w": 12, "x": 12 * (i % 2), "y": 8 * (i // 2)},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []}}


def dashboards():
    """The text of each file, by its name."""
    return {name + ".json": json.dumps({
        "uid": "duka-" + name, "title": "Duka: " + title, "tags": ["duka"], "schemaVersion": 39, "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"}, "timezone": "browser", "editable": False, "templating": {"list": []},
        "panels": [panel(i, *each) for i, each in enumerate(panels)],
    }, indent=2) + "\n" for name, (title, panels) in DASHBOARDS.items()}


if __name__ == "__main__":
    for name, text in dashboards().items():
        (pathlib.Path(__file__).parent / "dashboards" / name).write_text(text)
