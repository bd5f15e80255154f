"""The part `events` of the bench: how long an event is under way, for each bus, beside what the bus takes by itself.

Orders are placed one at a time by one client. The shop measures from the transaction of an event to its effect on disk at
the consumer (duka_event_delay_seconds); each order's mean is taken, and the median of the orders told. In the same run and
on the same broker bus_raw.c sends messages by the same library with the same settings, one at a time."""

import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from peers import ROOT, Api, Duka, Skipped

RAW = ROOT / "build/release/bus-raw"
ORDERS, MESSAGES = 150, 200
AIM_MS = 1.0  # beyond the bus's own time


def told(duka):
    """Sums and counts of the delays, and of commits, by service."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{duka.ops_port}/metrics", timeout=10).read().decode()

    def of(metric):
        return {who: float(value) for who, value in re.findall(rf'^{metric}\{{service="(\w+)"\}} (\S+)$', text, re.M)}

    return {
        "sum": of("duka_event_delay_seconds_sum"),
        "count": of("duka_event_delay_seconds_count"),
        "commit_s": of("duka_commit_duration_seconds_sum"),
        "commits": of("duka_commits_total"),
    }


def raw_ms(*words):
    """The median of what the bus takes by itself."""
    done = subprocess.run([RAW, *map(str, words), str(MESSAGES)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"bus-raw {words[0]}: {done.stderr}")
    return statistics.median(map(int, done.stdout.split())) / 1000


def order_delays(duka, token, sku):
    """Of each order: the mean delay of its events in milliseconds, by consumer; and the mean commit, over all."""
    api, found, first = Api(duka.port), {}, told(duka)
    before = first
    for i in range(ORDERS):
        status, answer = api.call(
            "POST", "/orders", {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}},
            token, {"Idempotency-Key": f"events-{i}-{time.monotonic_ns()}", "Prefer": "wait=10"})  # fmt: skip
        if status != 201:
            raise RuntimeError(f"an order was answered {status}: {answer}")
        time.sleep(0.1)  # for what follows the answer
        after = told(duka)
        for who, count in after["count"].items():
            if (came := count - before["count"].get(who, 0)) > 0:
                took = after["sum"][who] - before["sum"].get(who, 0)
                found.setdefault(who, []).append(1000 * took / came)
        before = after
    commits = sum(before["commits"].values()) - sum(first["commits"].values())
    commit_s = sum(before["commit_s"].values()) - sum(first["commit_s"].values())
    return found, commit_s / commits * 1000


def measure(folder, name, settings, own):
    """One bus; `own` gives its own time in milliseconds, once before and once after."""
    duka = Duka(Path(folder) / name, 0, **settings)
    duka.start()
    try:
        token = duka.seed(10, 1)[0]
        api = Api(duka.port)
        sku = api.call("GET", "/products?limit=1")[1]["items"][0]["variants"][0]["sku"]
        alone = [own()]
        delays, commit_ms = order_delays(duka, token, sku)
        alone.append(own())
    finally:
        duka.stop()
    by_itself = statistics.mean(alone)
    p50 = statistics.median(delays["products"])
    beyond = p50 - by_itself
    others = ", ".join(f"{who} {statistics.median(ms):.2f}" for who, ms in sorted(delays.items()) if who != "products")
    print(f"event on {name}: p50 {p50:.2f} ms at products ({others}); the bus by itself {by_itself:.2f} ms "
          f"({min(alone):.2f}-{max(alone):.2f}); beyond it {beyond:.2f} ms, of which two "
          f"commits {2 * commit_ms:.2f}; aim {AIM_MS:.0f} ms: {'holds' if beyond <= AIM_MS else 'missed'}", flush=True)  # fmt: skip


def on_a_broker(folder, kind):
    """Starts it; gives its settings, what measures it, and what ends it."""
    import brokers

    try:
        broker = getattr(brokers, kind)(Path(folder) / f"broker-{kind}").start()
    except brokers.Missing as why:
        raise Skipped(str(why)) from None
    if kind == "Kafka":
        from confluent_kafka.admin import NewTopic

        admin = broker.admin()
        for made in admin.create_topics([NewTopic("raw", 16, 1)]).values():
            made.result(30)
        words = ("kafka", f"127.0.0.1:{broker.port}", "raw")
    elif kind == "Rabbitmq":
        words = ("rabbitmq", "127.0.0.1", broker.port, "raw")
    else:
        words = ("sqs", broker.client().create_queue(QueueName="raw.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"])
    return broker.settings(), lambda: raw_ms(*words), broker.kill


def without_a_broker():
    """The direct bus: pushes go to the shop's own doors. By itself it is a POST to one of them, which is refused."""
    doors = {"users": 3971, "products": 3972, "orders": 3973}
    settings = {f"{name.upper()}_ADDR": f"127.0.0.1:{port}" for name, port in doors.items()}
    settings["BUS_URL"] = "direct:?" + "&".join(f"{name}=http://127.0.0.1:{port}" for name, port in doors.items())
    settings["BUS_PASSWORD"] = "a secret of all services of the bench"
    return settings, lambda: raw_ms("http", "http://127.0.0.1:3972/internal/events/products"), lambda: None


def bench_events(folder, _options):
    """Every bus that can be had."""
    sys.path.insert(0, str(ROOT / "tests/lib"))
    try:
        import brokers  # noqa: F401
    except ImportError as why:
        raise Skipped(f"the brokers of the tests: {why} (scripts/bootstrap test)") from None
    subprocess.run([ROOT / "scripts/build", "release", "bus-raw"], check=True, capture_output=True)
    measure(folder, "local", {}, lambda: 0.0)
    settings, own, _ = without_a_broker()
    measure(folder, "direct", settings, own)
    for kind in ("Rabbitmq", "Kafka", "Elasticmq"):
        try:
            settings, own, end = on_a_broker(folder, kind)
        except Skipped as why:
            print(f"event on {kind}: SKIPPED: {why}")
            continue
        try:
            measure(folder, kind, settings, own)
        finally:
            end()
    return True
