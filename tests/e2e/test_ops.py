"""What an operator sees: probes, metrics, settings, starts that fail, stops that lose nothing."""

import collections
import concurrent.futures
import re
import secrets
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest
from shop import ROOT, Person, accepted, new_email, new_key, one_process, program, refused, until

SETTING = re.compile(r'^SETTING\((\w+), (\w+), "([^"]*)"', re.M)
SETTINGS_TABLE = SETTING.findall((ROOT / "contracts/settings.tbl").read_text())
METRICS = re.findall(
    r'^METRIC\(\w+, (\w+), "(\w+)"', (ROOT / "contracts/metrics.tbl").read_text(), re.M
)


# Told where services are in other processes, where gateways share their limits, and where something is exported.
NOT_OF_ONE_PROCESS = ("duka_upstream_", "duka_rate_limits_shared", "duka_rate_limit_leases_", "duka_export")


def run(shop, *words, **settings):
    """Runs duka to its end, which must come by itself; gives what it printed and its code."""
    done = subprocess.run(
        [str(program("duka")), *words],
        env={**shop.environment(), **settings},
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    return done.returncode, done.stdout + done.stderr


def ops(shop, path, **rest):
    return shop.http.get(shop.ops + path, **rest)


# ---- probes, metrics, version ----


def test_the_probes_answer_without_a_token(shop):
    for path in ("/livez", "/readyz", "/startupz"):
        assert ops(shop, path).status_code == 200, path
    assert ops(shop, "/nothing").status_code == 404
    assert Person(shop.http, shop.url).get("/livez").status_code == 404, "not at the public door"


def test_metrics_are_prometheus_text_and_count_what_happens(shop, staff, customer):
    def samples():
        found = collections.Counter()
        for door in shop.ops_doors():
            answer = shop.http.get(door + "/metrics")
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
            found.update(parse_metrics(answer.text))
        return found

    sku = staff.new_sku()
    before = samples()
    for _ in range(3):
        accepted(customer.place(sku), 201)
    refused(customer.place("no-such-sku"), 422, "order.sku_unknown")
    until(
        lambda: total(samples(), "duka_orders_total", status="confirmed")
        - total(before, "duka_orders_total", status="confirmed")
        == 3,
        what="three confirmed orders",
    )
    after = samples()
    assert total(after, "duka_http_requests_total", status="422") > total(
        before, "duka_http_requests_total", status="422"
    )
    assert total(after, "duka_commits_total", service="orders") > total(
        before, "duka_commits_total", service="orders"
    )
    until(
        lambda: total(samples(), "duka_outbox_backlog") == 0, what="an outbox without backlog"
    )
    for kind, name in METRICS:
        if name.startswith(NOT_OF_ONE_PROCESS):
            continue
        sample = name + "_count" if kind in ("TIME", "SIZE") else name
        assert any(key[0] == sample for key in after), f"{name} is not told"


def parse_metrics(text):
    """Reads Prometheus text strictly; gives {(name, labels): value}."""
    types, samples = {}, {}
    value = r"[0-9.eE+-]+|[+-]Inf|NaN"
    line_form = re.compile(r'([a-zA-Z_:]\w*)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (%s)' % value)
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge", "histogram"), line
            types[name] = kind
        elif line.startswith("#"):
            assert line.startswith("# HELP ") or line == "# EOF", line
        else:
            found = line_form.fullmatch(line)
            assert found, f"not a sample: {line}"
            name, labels, number = found.groups()
            base = re.sub("_(bucket|sum|count)$", "", name)
            assert name in types or types.get(base) == "histogram", f"no TYPE before {line}"
            key = name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            assert key not in samples, f"twice: {line}"
            samples[key] = float(number)
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    """Buckets grow, the last is the count."""
    series = {}
    for (sample, labels), value in samples.items():
        if sample == name + "_bucket":
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    for labels, buckets in series.items():
        counts = [value for _, value in sorted(buckets)]
        assert counts == sorted(counts) and max(buckets)[0] == float("inf"), name
        assert counts[-1] == samples[name + "_count", labels], name


def total(samples, name, **labels):
    return sum(
        value
        for (sample, pairs), value in samples.items()
        if sample == name and labels.items() <= dict(pairs).items()
    )


def test_the_version_is_told(shop):
    version = accepted(ops(shop, "/version"))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", version["version"])
    assert version["version"] in run(shop, "--version")[1]


def test_logs_are_json_lines_with_the_trace_of_the_request(shop, customer):
    trace = "0af7651916cd43dd8448eb211c80319c"
    told = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-Id": "find-me"}

    def logged():
        # Where much happens, some lines of one kind are left out: asked again until one is there.
        accepted(customer.get("/users/me", headers=told))
        return [entry for entry in shop.log_entries() if entry.get("trace_id") == trace]

    entry = until(logged, what="the request in the log")[0]
    assert entry["request_id"] == "find-me" and entry["status"] == 200
    text = shop.log()
    for secret in (customer.token, customer.email, customer.password):
        assert secret not in text


def test_the_access_log_tells_who_asked_what_how_long_it_took_and_how_much_was_sent(shop):
    person = shop.anonymous()

    def logged(method, path, **rest):
        """The answer to a call, and its line in the log."""
        trace = secrets.token_hex(16)
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Forwarded-For": "203.0.113.9"}
        began = time.monotonic()
        answer = person.request(method, path, headers=headers, **rest)
        took_us = (time.monotonic() - began) * 1e6
        found = [entry for entry in shop.log_entries() if entry.get("trace_id") == trace and "route" in entry]
        if not found:
            return None  # where much happens, some lines of one kind are left out: asked again
        assert len(found) == 1 and 0 < found[0]["duration_us"] <= took_us, (found, took_us)
        return answer, found[0]

    answer, entry = until(lambda: logged("GET", "/products?limit=1&q=who+looks+for+this"), what="a served call")
    told = {"method": "GET", "path": "/products", "status": 200, "client": "127.0.0.1"}
    assert told.items() <= entry.items(), entry
    assert entry["bytes"] == len(answer.content) and entry["request_id"] == answer.headers["x-request-id"]
    assert "error" not in entry and entry["level"] == "info"

    body = {"email": "nobody@example.com", "password": "a wrong word that nobody has"}
    answer, entry = until(lambda: logged("POST", "/users/login", json=body), what="a refused call")
    told = {"method": "POST", "path": "/users/login", "status": 401, "client": "127.0.0.1"}
    assert told.items() <= entry.items(), entry
    assert entry["bytes"] == len(answer.content)
    assert shop.apart or entry["error"] == answer.json()["code"], "a gateway by itself does not look into answers"
    for secret in ("who+looks", "who looks", *body.values()):
        assert secret not in shop.log(), "what was asked for, and by whom, is nobody's to keep"


# ---- settings ----


def test_help_lists_every_setting_with_its_default(shop):
    code, text = run(shop, "--help")
    assert code == 0
    for name, _, default in SETTINGS_TABLE:
        assert name in text or "--" + name.lower().replace("_", "-") in text, name
        assert not default or default in text, (name, default)


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("RATE_LIMIT", "many", "0"),
        ("WORKERS", "0", "64"),
        ("WORKERS", "65", "64"),
        ("DRAIN_TIME", "7 parsecs", "ms"),
        ("HEAD_BYTES_MAX", "1GiB", "1048576|1 ?MiB"),
        ("DATABASE_DURABLE", "perhaps", "true"),
        ("LOG_LEVEL", "loud", "debug"),
        ("LOG_FORMAT", "xml", "json"),
        ("PAYMENT_CAPTURE", "never", "fulfil"),
        ("SHOP_CURRENCY", "EURO", "3|ISO"),
        ("SHOP_CURRENCY", "XQZ", "ISO"),
        ("LISTEN_ADDR", "nowhere", "port|address"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "CIDR|/"),
        ("DATABASE_URL_ORDERS", "mysql:x", "sqlite:"),
        ("ROUTES_FILE", "/nonexistent/routes.yaml", "(?i)no such|read"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(new_shop, name, value, allowed):
    code, text = run(new_shop(), **{name: value})
    assert code not in (0, None) and name in text and value in text, text
    assert re.search(allowed, text), f"what is allowed is not told: {text}"


def test_settings_come_from_flags_environment_and_file_in_this_order(new_shop, tmp_path):
    shop = new_shop()
    file = tmp_path / "duka.yaml"
    file.write_text("workers: 0\n")
    code, text = run(shop, DUKA_CONFIG=str(file))
    assert code != 0 and "WORKERS" in text
    code, text = run(shop, "--workers", "77", DUKA_CONFIG=str(file), WORKERS="66")
    assert code != 0 and "77" in text and "66" not in text
    file.write_text("no_such_thing: 1\n")
    code, text = run(shop, DUKA_CONFIG=str(file))
    assert code != 0 and "no_such_thing" in text.lower()
    code, text = run(shop, "--no-such-flag=1")
    assert code != 0 and "no-such-flag" in text


def test_a_secret_comes_from_a_file_and_is_never_shown(new_shop, tmp_path):
    file = tmp_path / "secret"
    file.write_text("unspeakable\n")
    shop = new_shop(PAYMENT_SIMULATOR_SECRET_FILE=file).start()
    shown = shop.dukactl("config").stdout
    assert "payment_simulator_secret: (hidden)" in shown and "unspeakable" not in shown
    assert "rate_limit: 0 " in shown
    shop.close()
    assert "unspeakable" not in shop.log()
    code, text = run(new_shop(), PAYMENT_SIMULATOR_SECRET="unspeakable" * 100)
    assert code != 0 and "PAYMENT_SIMULATOR_SECRET" in text and "unspeakable" not in text


# ---- starts that fail ----


@one_process("it starts duka; each program begins by the same code")
@pytest.mark.parametrize(
    "setting, door", [("LISTEN_ADDR", "listen"), ("OPS_ADDR", "ops"), ("ORDERS_ADDR", "orders")]
)
def test_a_taken_port_is_named_with_its_setting(new_shop, setting, door):
    shop = new_shop()
    host, port = shop.addresses[door].split(":")
    with socket.create_server((host, int(port))):
        code, text = run(shop)
    assert code not in (0, None) and setting in text and shop.addresses[door] in text, text
    shop.start().close()


def test_a_directory_that_cannot_be_written_is_named_with_its_setting(new_shop):
    code, text = run(new_shop(), DATA_DIR="/proc/duka")
    assert code not in (0, None) and "DATA_DIR" in text and "/proc/duka" in text, text


@one_process("its lock is on the folder of all; replicas are many on purpose")
def test_a_second_copy_on_the_same_data_is_refused(new_shop):
    shop = new_shop().start()
    second = new_shop()
    code, text = run(second, DATA_DIR=str(shop.data))
    assert code not in (0, None) and "DATA_DIR" in text and str(shop.data) in text, text
    accepted(shop.customer().get("/users/me"))
    shop.close()


# ---- stopping ----


def test_what_is_in_flight_is_answered_before_the_end(new_shop):
    shop = new_shop().start()
    customer, sku = shop.customer(), shop.staff.new_sku()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(customer.place, sku, "late", wait=10) for _ in range(5)]
        until(
            lambda: len(accepted(customer.get("/orders"))["items"]) == 5, what="five orders at work"
        )
        started = time.monotonic()
        shop.process.send_signal(signal.SIGTERM)
        orders = [accepted(answer.result(), answer.result().status_code) for answer in answers]
    assert all(answer.result().status_code in (201, 202) for answer in answers)
    assert shop.wait_end() == 0 and time.monotonic() - started < 15

    shop.start()
    for order in orders:
        customer.order_becomes(order["id"], status="confirmed", payment_status="captured")
    shop.close()


def test_a_stop_is_announced_before_the_door_closes(new_shop):
    shop = new_shop(DRAIN_TIME="3s").start()
    customer = shop.customer()
    shop.process.send_signal(signal.SIGTERM)
    until(lambda: ops(shop, "/readyz").status_code == 503, 2.0, "not ready")
    assert ops(shop, "/livez").status_code == 200
    accepted(Person(httpx.Client(trust_env=False), shop.url).get("/products"))
    accepted(customer.get("/users/me"))
    assert shop.wait_end() == 0
    with pytest.raises(httpx.ConnectError):
        Person(httpx.Client(trust_env=False), shop.url).get("/products")


def test_the_service_manager_hears_when_it_is_ready_reloads_and_stops(new_shop, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.settimeout(20)
        shop = new_shop(NOTIFY_SOCKET=str(tmp_path / "manager")).start()
        assert manager.recv(64) == b"READY=1"
        assert ops(shop, "/readyz").status_code == 200
        shop.process.send_signal(signal.SIGHUP)
        assert [manager.recv(64), manager.recv(64)] == [b"RELOADING=1", b"READY=1"]
        shop.process.send_signal(signal.SIGTERM)
        assert manager.recv(64) == b"STOPPING=1"
        assert shop.wait_end() == 0


def test_an_interrupt_from_the_terminal_stops_it_too(new_shop):
    shop = new_shop().start()
    shop.process.send_signal(signal.SIGINT)
    assert shop.wait_end() == 0


def test_a_stop_under_load_loses_no_order(new_shop):
    shop = new_shop().start()
    sku = shop.staff.new_sku(on_hand=100000)
    people, stopping, told = [shop.customer() for _ in range(4)], threading.Event(), []

    def keep_buying(person):
        while not stopping.is_set():
            try:
                answer = person.place(sku, wait=None)
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                told.append((person, answer.json()["id"]))
            elif answer.status_code == 503:
                return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(keep_buying, person) for person in people]
        until(lambda: len(told) > 40, what="forty orders")
        shop.process.send_signal(signal.SIGTERM)
        code = shop.wait_end()
        stopping.set()
        for loop in loops:
            loop.result()
    assert code == 0
    shop.start()
    for person, order in told:
        person.order_becomes(order, status="confirmed")
    shop.close()


# ---- keeping ----


def test_everything_is_still_there_after_a_restart(new_shop):
    shop = new_shop().start()
    staff, customer = shop.staff, shop.customer()
    sku = staff.new_sku(on_hand=5)
    key = new_key()
    order = accepted(customer.place([(sku, 2)], key=key), 201)
    order = customer.order_becomes(order["id"], payment_status="captured")
    assert shop.stop() == 0

    shop.start()
    assert (
        customer.order(order["id"]) == order
    ), "the old token still works, and the order is as it was"
    again = customer.place([(sku, 2)], key=key)
    assert (
        accepted(again, 201)["id"] == order["id"] and again.headers["idempotent-replayed"] == "true"
    )
    assert staff.levels(sku) == (5, 2, 3)
    accepted(customer.log_in().get("/users/me"))
    shop.close()


def test_a_lost_password_of_staff_is_mended_while_the_shop_runs(shop):
    email, mended = new_email("staff"), "a mended word of the staff"
    shop.new_account("staff", email)
    shop.dukactl("users", "password", email, "--password-stdin", stdin=mended + "\n")
    accepted(Person(shop.http, shop.url, email, mended).log_in().get("/users"))


def test_dukactl_says_what_to_do_where_no_shop_runs(new_shop):
    done = new_shop().dukactl(
        "users",
        "create",
        "--email",
        new_email(),
        "--role",
        "staff",
        "--password-stdin",
        stdin="a password of fifteen\n",
        check=False,
    )
    assert done.returncode != 0 and "DATA_DIR" in done.stdout + done.stderr
