"""make bench: CPU per operation of Duka and of peers, alternating in one run; ratios with their range.

    bench/run [PART …] [--rounds N] [--seconds S]     (parts: bench/README.md)

Servers run on one core, the load on the other. A figure is the median of the rounds, with the smallest and the largest.
After each run the rows are counted, not the answers. What cannot be had is skipped with its reason."""
import argparse
import base64
import concurrent.futures
import contextlib
import ctypes
import hashlib
import http.client
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path

from apart import DukaApart, DukaApartOnPostgresql
from events import bench_events
from gateways import DukaGateway, Envoy, NginxCopy, NginxProxy, Service, answer_of
from grown import grown
from load import HERE, LOAD_CORE, SERVER_CORE, all_good, lua_file, wrk
from peers import PORT, Api, Duka, DukaOnPostgresql, GoReference, InnerCall, Nginx, Skipped, pss_kib
from restart import bench_restart

def measured(peer, load, settle=lambda: None):
    """CPU microseconds of a peer per operation that `load` counts."""
    before = peer.cpu_us()
    count = load()
    settle()
    return (peer.cpu_us() - before) / count


def report(name, ours, theirs, at_most):
    """Ratios of the rounds: ours over theirs."""
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    middle = statistics.median(ratios)
    verdict = "holds" if middle <= at_most else "MISSED"
    print(f"{name}: {statistics.median(ours):.1f} us against {statistics.median(theirs):.1f} us; ratio "
          f"{middle:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}), at most {at_most:.2f}: {verdict}", flush=True)
    return middle <= at_most


def bench_product(folder, options):
    """A product read through the gateway, against nginx answering a body of the same size itself."""
    duka = Duka(Path(folder) / "product", SERVER_CORE)
    duka.start()
    try:
        duka.seed(1000, 1)
        body = json.dumps(Api(duka.port).call("GET", "/products/product-7")[1])
        nginx = Nginx(Path(folder) / "nginx", SERVER_CORE, body)
        nginx.start()
        ours, theirs = [], []
        try:
            for _ in range(options.rounds):
                ours.append(measured(duka, lambda: all_good(
                    wrk(duka.port, "/", options.seconds, 64, "products.lua", [1000]))))
                theirs.append(measured(nginx, lambda: all_good(wrk(nginx.port, "/", options.seconds, 64))))
        finally:
            nginx.stop()
        print(f"memory of the whole shop after it: {pss_kib(duka.process.pid) / 1024:.1f} MiB")
        return report("product read / nginx", ours, theirs, 2)
    finally:
        duka.stop()


def order_load(duka, tokens, options, connections, products=1000):
    """Orders to `confirmed`, counted as rows."""
    before = duka.orders().get("confirmed", 0)
    ports = [duka.port] + [replica.port for replica in getattr(duka, "replicas", [])]
    with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
        ended = list(pool.map(lambda port: wrk(port, "/orders", options.seconds, connections // len(ports), "orders.lua",
                                               ["duka", tokens, products]), ports))
    requests, bad = sum(one[0] for one in ended), sum(one[1] for one in ended)
    duka.settle()
    rows = duka.orders()
    count = rows.get("confirmed", 0) - before
    if bad or count < requests or set(rows) - {"confirmed"}:
        raise RuntimeError(f"{requests} answers, {bad} bad, {count} new confirmed orders, rows {rows}")
    return count


def go_load(go, tokens, options, connections):
    requests, bad = wrk(go.port, "/orders", options.seconds, connections, "orders.lua", ["go", tokens, 1000])
    if bad:
        raise RuntimeError(f"the reference refused {bad} of {requests} orders")
    return requests


def order_against_go(folder, options, duka, name, connections, at_most):
    go = GoReference(Path(folder) / "go", SERVER_CORE)
    try:
        go.start()
        duka.start()
        ours_tokens = lua_file(folder, "duka-tokens", duka.seed(1000, 50))
        go_tokens = lua_file(folder, "go-tokens", go.tokens(50))
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(measured(duka, lambda: order_load(duka, ours_tokens, options, connections)))
            theirs.append(measured(go, lambda: go_load(go, go_tokens, options, connections)))
        return report(name, ours, theirs, at_most)
    finally:
        duka.stop()
        go.stop()


def bench_order(folder, options, connections=256, at_most=1 / 5):
    """A placed order, two lines, signed in, fsync on, to `confirmed`, against the Go reference on PostgreSQL."""
    duka = Duka(Path(folder) / "order", SERVER_CORE)
    return order_against_go(folder, options, duka, f"order, {connections} connections / Go on PostgreSQL", connections, at_most)


def bench_order64(folder, options):
    """The same with fewer buyers at once."""
    return bench_order(folder, options, 64, 1 / 4)


def bench_hot(folder, options):
    """A flash sale: all orders on ten products, against the same spread over a thousand."""
    duka = Duka(Path(folder) / "hot", SERVER_CORE)
    try:
        duka.start()
        tokens = lua_file(folder, "hot-tokens", duka.seed(1000, 50))
        hot, spread = [], []
        for _ in range(options.rounds):
            hot.append(measured(duka, lambda: order_load(duka, tokens, options, 256, 10)))
            spread.append(measured(duka, lambda: order_load(duka, tokens, options, 256)))
        return report("order on ten products / on a thousand", hot, spread, 1.2)
    finally:
        duka.stop()


def argon2id(password, passes, memory_bytes):
    """A hash by libsodium; its text says what it asks for, by which it is verified."""
    sodium, out, octets = ctypes.CDLL("libsodium.so.23"), ctypes.create_string_buffer(128), password.encode()
    sodium.sodium_init()  # chooses the fastest code for this processor
    if sodium.crypto_pwhash_str_alg(out, octets, ctypes.c_ulonglong(len(octets)), ctypes.c_ulonglong(passes),
                                    ctypes.c_size_t(memory_bytes), 2):
        raise RuntimeError("argon2id failed")
    return out.value.decode()


def argon2id_us(count):
    """CPU of one argon2id (19 MiB, 2 passes) by the library itself."""
    started = time.process_time()
    for _ in range(count):
        argon2id("a long password for the bench", 2, 19 << 20)
    return (time.process_time() - started) * 1e6 / count


def run_us_by_thread(pid):
    """How long each thread of a process has run so far, by its name, in microseconds."""
    ran = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        ran[name] = ran.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1000
    return ran


def signin_us(duka, accounts, options, connections):
    """A sign-in by thread, in microseconds of each; those that hash and do nothing else apart."""
    before = run_us_by_thread(duka.process.pid)
    count, bad = wrk(duka.port, "/", options.seconds, connections, "signin.lua", [accounts, duka.PASSWORD])
    if bad > count / 100:  # who hashes in spare time may find none on a core that is full, and a few hear 503
        raise RuntimeError(f"{bad} of {count} answers were not 2xx")
    ran = {name: (us - before.get(name, 0)) / count for name, us in run_us_by_thread(duka.process.pid).items()}
    hashed = sum(us for name, us in ran.items() if name.startswith("hash-"))
    return {name: us for name, us in ran.items() if not name.startswith("hash-")}, hashed


def tell_signin(name, rounds):
    totals = [sum(one.values()) for one in rounds]
    good = at_most(f"{name} ({min(totals):.0f} to {max(totals):.0f})", statistics.median(totals), 200, "us")
    shares = {thread: statistics.median([one.get(thread, 0) for one in rounds]) for thread in rounds[0]}
    print("  its threads: " + ", ".join(f"{thread} {us:.0f}" for thread, us in sorted(shares.items()) if us >= 1), flush=True)
    return good


def bench_signin(folder, options):
    """What a sign-in costs beyond argon2id itself, by the time of all threads but those that hash and do nothing else: taken from
    the whole it would drown in the noise of the hash, which is a hundred times as much. One at a time behind argon2id, where each has
    a commit of its own and finds caches that 19 MiB have gone through; and 32 at once with a hash that asks for 8 KiB."""
    duka, accounts = Duka(Path(folder) / "signin", SERVER_CORE), 1000
    duka.start()
    try:
        duka.seed(10, accounts)
        alone, at_once, hashed = [], [], []
        for _ in range(options.rounds):
            by_library = argon2id_us(50)
            rest, hash_us = signin_us(duka, accounts, options, 1)
            alone.append(rest)
            hashed.append(hash_us / by_library)
        if not 0.5 < statistics.median(hashed) < 2:
            raise RuntimeError(f"the threads that hash took {statistics.median(hashed):.2f} of a hash for each sign-in")
        users = sqlite3.connect(duka.folder / "data/users.db")
        users.execute("update users set password_hash = ?", (argon2id(duka.PASSWORD, 1, 8192),))
        users.commit()
        users.close()
        for _ in range(options.rounds):
            at_once.append(signin_us(duka, accounts, options, 32)[0])
        good = [tell_signin("sign-in beyond argon2id, one at a time behind it", alone),
                tell_signin("sign-in beyond argon2id, 32 at once without it", at_once)]
        print(f"  the hash by a thread of its own: {statistics.median(hashed):.2f} of one by the library", flush=True)
        return all(good)
    finally:
        duka.stop()


def at_most(name, value, limit, unit):
    """One figure that has a limit of its own."""
    print(f"{name}: {value:.2f} {unit}, at most {limit} {unit}: {'holds' if value <= limit else 'MISSED'}", flush=True)
    return value <= limit


def idle_connections(port, count):
    """Connections that have asked once and now say nothing."""
    kept = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"GET /products?limit=1 HTTP/1.1\r\nHost: bench\r\n\r\n")
        kept.append(one)
        one.recv(65536)
    return kept


def most_memory_while(load, sizes):
    """The most that each of sizes() (PSS by name, in KiB) was while load() ran, in MiB."""
    most = sizes()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(load)
        while not done.done():
            most = {name: max(most[name], size) for name, size in sizes().items()}
            time.sleep(0.1)
        done.result()
    return {name: size / 1024 for name, size in most.items()}


def bench_idle(folder, options):
    """The whole shop with data and nothing to do: from exec to ready, memory, CPU; with 9 000 idle connections; and under orders."""
    duka = Duka(Path(folder) / "idle", SERVER_CORE, CONNECTIONS_MAX="10000")
    duka.start()
    try:
        tokens = duka.seed(1000, 50)
        duka.stop()
        started = time.monotonic()
        duka.start(poll_s=0.001)
        good = [at_most("ready, from exec to the first 200", (time.monotonic() - started) * 1000, 100, "ms")]
        time.sleep(2)
        good.append(at_most("idle memory (PSS)", pss_kib(duka.process.pid) / 1024, 20, "MiB"))
        before = duka.cpu_us()
        time.sleep(30)
        good.append(at_most("idle CPU", (duka.cpu_us() - before) / 30e6 * 100, 0.1, "%"))
        kept = idle_connections(duka.port, 9000)
        good.append(at_most("memory with 9 000 idle connections (PSS)", pss_kib(duka.process.pid) / 1024, 80, "MiB"))
        for one in kept:
            one.close()
        duka.stop()
        duka.start()
        tokens = lua_file(folder, "tokens", tokens)
        most = most_memory_while(lambda: order_load(duka, tokens, options, 64), lambda: {"duka": pss_kib(duka.process.pid)})
        print(f"memory under orders of 64 connections (PSS): {most['duka']:.1f} MiB")
        return all(good)
    finally:
        duka.stop()


def bench_batch(folder, options):
    """Batched writes against batches of one, the same orders, 256 connections."""
    batched = Duka(Path(folder) / "batched", SERVER_CORE, port=PORT + 30)
    single = Duka(Path(folder) / "single", SERVER_CORE, port=PORT + 40, WRITE_BATCH_MAX="1")
    try:
        batched.start()
        single.start()
        tokens = [lua_file(folder, f"tokens-{i}", one.seed(1000, 50)) for i, one in enumerate((batched, single))]
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(measured(batched, lambda: order_load(batched, tokens[0], options, 256)))
            theirs.append(measured(single, lambda: order_load(single, tokens[1], options, 256)))
        return report("order, batched / batches of one", ours, theirs, 1 / 4)
    finally:
        batched.stop()
        single.stop()


@contextlib.contextmanager
def scraped(ops_port, every_s=1):
    """Asks for /metrics as Prometheus would, but more often."""
    over = threading.Event()

    def scrape():
        while not over.wait(every_s):
            with urllib.request.urlopen(f"http://127.0.0.1:{ops_port}/metrics", timeout=10) as answer:
                answer.read()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(scrape)
        try:
            yield
        finally:
            over.set()
            done.result()


def time_of_metrics(duka, count=100):
    """How long /metrics takes with all series of a shop that has sold, in both forms, on a connection that is kept."""
    good = []
    ops = http.client.HTTPConnection("127.0.0.1", duka.ops_port, timeout=10)
    for form in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        took = []
        for _ in range(count):
            began = time.perf_counter()
            ops.request("GET", "/metrics", headers={"Accept": form})
            text = ops.getresponse().read()
            took.append((time.perf_counter() - began) * 1000)
        series = sum(1 for line in text.splitlines() if not line.startswith(b"#"))
        good.append(at_most(f"/metrics, {series} lines of values, {form.split(';')[0]} (median of {count})", statistics.median(took), 5, "ms"))
    return all(good)


def bench_tracing(folder, options):
    """Orders with a tenth of them traced and sent to a collector, and /metrics asked for each second, against the same without
    either; a round of each in turn. nginx stands for the collector: it takes and forgets, and leaves its core to the load (one in
    Python beside wrk made batches smaller, and orders dearer, than the spans themselves)."""
    collector = Nginx(Path(folder) / "collector", LOAD_CORE, "{}")
    traced = Duka(Path(folder) / "traced", SERVER_CORE, port=PORT + 30, OTEL_TRACES_EXPORTER="otlp",
                  OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}", OTEL_TRACES_SAMPLER="parentbased_traceidratio",
                  OTEL_TRACES_SAMPLER_ARG="0.1", OTEL_BSP_MAX_QUEUE_SIZE="65536")
    quiet = Duka(Path(folder) / "quiet", SERVER_CORE, port=PORT + 40)
    try:
        collector.start()
        traced.start()
        quiet.start()
        tokens = [lua_file(folder, f"tokens-{i}", one.seed(1000, 50)) for i, one in enumerate((traced, quiet))]
        ours, theirs = [], []
        for _ in range(options.rounds):
            with scraped(traced.ops_port):
                ours.append(measured(traced, lambda: order_load(traced, tokens[0], options, 64)))
            theirs.append(measured(quiet, lambda: order_load(quiet, tokens[1], options, 64)))
        outcomes = {outcome: traced.metric(f'duka_exported_total{{what="traces",outcome="{outcome}"}}')
                    for outcome in ("sent", "dropped", "refused")}
        orders = traced.orders()["confirmed"]
        print(f"{orders} orders traced to a tenth; spans {outcomes}, {outcomes['sent'] / orders:.1f} an order", flush=True)
        holds = report("order, a tenth traced and metrics asked for / neither", ours, theirs, 1.05)
        holds &= time_of_metrics(traced)
        return holds and outcomes["sent"] > orders and not outcomes["dropped"] and not outcomes["refused"]
    finally:
        traced.stop()
        quiet.stop()
        collector.stop()


def bench_inner(folder, options):
    """A call between two services by gRPC, 64 at once over one connection, each side against nginx answering a request."""
    service = InnerCall(Path(folder) / "inner", SERVER_CORE)
    nginx = Nginx(Path(folder) / "nginx", SERVER_CORE, "x" * 120)
    service.start()
    try:
        nginx.start()
        answered, asked, theirs, waited = [], [], [], []
        for _ in range(options.rounds):
            before = service.cpu_us()
            count, used = service.ask("ask", 64, options.seconds, LOAD_CORE)
            answered.append((service.cpu_us() - before) / count)
            asked.append(used / count)
            count, used = service.ask("wait", 16, options.seconds, LOAD_CORE)
            waited.append(used / count)
            theirs.append(measured(nginx, lambda: all_good(wrk(nginx.port, "/", options.seconds, 64))))
        print(f"a call that 16 threads wait for costs its caller {statistics.median(waited):.1f} us", flush=True)
        good = report("inner call, who answers / nginx", answered, theirs, 1.0)
        return report("inner call, who asks / nginx", asked, theirs, 1.0) and good
    finally:
        nginx.stop()
        service.stop()


def claims_of(token):
    """What a token says (its payload, unverified)."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def check_duties(gateway, token):
    """It does what gateways.py says is seen of it."""
    broken = token[:-8] + "AAAAAAAA"
    said = [answer_of(gateway.port, path, one)[0] for path, one in (
        ("/orders/1", token), ("/orders/1", broken), ("/orders/1", "none"), ("/products/1", token))]
    if said != [200, 401, 401, 403]:
        raise RuntimeError(f"{gateway.name} answers {said} to a good token, a broken one, none, and one without the role")
    _, headers, body = answer_of(gateway.port, "/orders/told", token, dict.fromkeys(gateway.IDENTITY, "forged"))
    told = json.loads(body)
    who = [told[name] for name in gateway.IDENTITY]
    trace = told["traceparent"]
    good = {"the service is told who calls": all(value not in ("", "forged") for value in who), "and no token": not told["authorization"],
            "a trace": re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace) and headers.get("traceparent", "")[:35] == trace[:35],
            "a request id": told["x-request-id"] and told["x-request-id"] == headers.get("X-Request-Id"),
            "what is left to the user": headers.get("RateLimit") or headers.get("X-RateLimit-Remaining")}
    missing = [duty for duty, seen in good.items() if not seen]
    if missing:
        raise RuntimeError(f"{gateway.name} lacks {missing}: {told}, {headers.items()}")


def proxied(gateway, token, options):
    """Requests through a gateway; each left a line of log where it writes one."""
    logs = hasattr(gateway, "lines")
    before = gateway.lines() if logs else 0
    count = all_good(wrk(gateway.port, "/orders/1", options.seconds, 64, token=token))
    end = time.monotonic() + 10  # for what waits to be written
    while logs and gateway.lines() - before < count:
        if time.monotonic() > end:
            raise RuntimeError(f"{gateway.name} logged {gateway.lines() - before} of {count} requests")
        time.sleep(0.1)
    return count


def bench_proxy(folder, options):
    """The gateway alone, with its duties, before one stand-in service: against nginx proxying plainly, and Envoy with the
    same duties, in the faster of its two ways to the service. What nginx takes to copy bytes is told beside it."""
    folder = Path(folder)
    service = Service(folder / "service", LOAD_CORE, "x" * 300, port=PORT + 80)
    duka = DukaGateway(folder / "duka", SERVER_CORE, service, LOAD_CORE)
    nginx = NginxProxy(folder / "nginx", SERVER_CORE, service)
    copy = NginxCopy(folder / "copy", SERVER_CORE, service, port=PORT + 94)
    peers = [duka, nginx, copy]
    try:
        service.start()
        duka.start()
        token = duka.account("bench@example.com")
        jwks = Api(duka.port).call("GET", "/users/.well-known/jwks.json")[1]
        envoys = [Envoy(folder / f"envoy-{i}", SERVER_CORE, service, jwks, claims_of(token), http2=i == 1, port=PORT + 92 + i)
                  for i in range(2)]
        peers += envoys
        for peer in peers[1:]:
            peer.start()
        for peer in (duka, *envoys):
            check_duties(peer, token)
        used = {peer: [] for peer in peers}
        for _ in range(options.rounds):
            for peer in peers:
                used[peer].append(measured(peer, lambda: proxied(peer, token, options)))
    finally:
        for peer in (*peers, service):
            peer.stop()
    medians = {peer: statistics.median(figures) for peer, figures in used.items()}
    envoy = min(envoys, key=medians.get)
    print(f"Envoy to the service: HTTP/1.1 {medians[envoys[0]]:.1f} us, HTTP/2 {medians[envoys[1]]:.1f} us")
    print(f"nginx that copies bytes: {medians[copy]:.1f} us, {medians[copy] / medians[envoy]:.2f} of Envoy")
    good = report("gateway with its duties / nginx proxying plainly", used[duka], used[nginx], 1.2)
    return report("gateway with its duties / Envoy with the same", used[duka], used[envoy], 1 / 4) and good


def bench_apart(folder, options):
    """The same orders: four programs on SQLite that push events to each other, against one process."""
    apart = DukaApart(Path(folder) / "apart", SERVER_CORE, port=PORT + 30)
    whole = Duka(Path(folder) / "whole", SERVER_CORE)
    try:
        apart.start()
        whole.start()
        tokens = [lua_file(folder, f"tokens-{i}", one.seed(1000, 50)) for i, one in enumerate((apart, whole))]
        ours, theirs, each = [], [], {name: [] for name in apart.programs}
        for _ in range(options.rounds):
            before = {name: apart.cpu_us_of(name) for name in each}
            count = order_load(apart, tokens[0], options, 256)
            for name, figures in each.items():
                figures.append((apart.cpu_us_of(name) - before[name]) / count)
            ours.append(sum(figures[-1] for figures in each.values()))
            theirs.append(measured(whole, lambda: order_load(whole, tokens[1], options, 256)))
        print("an order apart: " + ", ".join(f"{name} {statistics.median(each[name]):.1f} us" for name in each))
        return report("order, four programs on SQLite / one process", ours, theirs, 2)
    finally:
        apart.stop()
        whole.stop()


def bench_idle_apart(folder, options):
    """Each of the four programs, with data and nothing to do: from exec to ready, and memory; and that under orders."""
    apart, good = DukaApart(Path(folder) / "idle", SERVER_CORE), []
    try:
        apart.start()
        tokens = lua_file(folder, "tokens", apart.seed(1000, 50))
        ready = {name: [] for name in apart.programs}
        for _ in range(options.rounds):
            for name, figures in ready.items():
                apart.stop_one(name)
                started = time.monotonic()
                apart.start_one(name, poll_s=0.001)
                figures.append((time.monotonic() - started) * 1000)
        time.sleep(5)
        for name, figures in ready.items():
            good.append(at_most(f"{name}: ready, from exec to the first 200", statistics.median(figures), 50, "ms"))
            good.append(at_most(f"{name}: idle memory (PSS)", apart.pss_kib_of(name) / 1024, 8, "MiB"))
        before = {name: apart.cpu_us_of(name) for name in ready}
        time.sleep(20)
        for name in ready:
            print(f"{name}: idle CPU {(apart.cpu_us_of(name) - before[name]) / 20e6 * 100:.2f} %")
        most = most_memory_while(lambda: order_load(apart, tokens, options, 64), lambda: {name: apart.pss_kib_of(name) for name in ready})
        print("memory under orders of 64 connections (PSS): " + ", ".join(f"{name} {most[name]:.1f} MiB" for name in most))
        return all(good)
    finally:
        apart.stop()


ROWS_TO_SWEEP = 100_000


def fill_bookkeeping(data):
    """Rows whose retention was over long ago: idempotency keys of Orders, reservations with two holds of Products."""
    with sqlite3.connect(data / "orders.db") as orders:
        orders.executemany("insert into once (name, body_hash, subject, status, answer, answered_at, created_at)"
                           " values (?, ?, ?, 201, ?, 1, 1)",
                           ((os.urandom(32), bytes(32), os.urandom(16), b"x" * 600) for _ in range(ROWS_TO_SWEEP)))
    with sqlite3.connect(data / "products.db") as products:
        ids = [os.urandom(16) for _ in range(ROWS_TO_SWEEP)]
        products.executemany("insert into reservations values (?, 'reserved', 1, 1)", ((one,) for one in ids))
        for sku in ("SKU1", "SKU2"):
            products.executemany("insert into holds values (?, ?, 1, 1, 0, 0)", ((one, sku) for one in ids))
        products.executemany("insert into inbox_heads (topic, key, number, at) values ('orders.v1', ?, 4, 1)",
                             ((str(uuid.UUID(bytes=one)),) for one in ids))
    orders.close()
    products.close()


def holds_of(metrics, service):
    """How many sweeps of a service held the writer, and the buckets, in milliseconds, of the 99th in 100 and the longest."""
    buckets = re.findall(rf'duka_sweep_duration_seconds_bucket{{service="{service}",le="([^"]+)"}} (\d+)', metrics)
    count = int(buckets[-1][1])

    def bound_of(share):
        return 1000 * float(next(bound for bound, below in buckets if int(below) >= share * count))

    return count, bound_of(0.99), bound_of(1)


def bench_sweep(folder, _):
    """How long the sweeper holds the writer at once, where 100 000 rows are due in each of two tables."""
    duka = Duka(Path(folder) / "sweep", SERVER_CORE)
    duka.start()
    duka.seed(10, 1)
    duka.stop()
    fill_bookkeeping(duka.folder / "data")
    swept = Duka(Path(folder) / "sweep", SERVER_CORE, SWEEP_INTERVAL="100ms")
    swept.start()
    try:
        began = time.monotonic()
        left = 1
        while left and time.monotonic() < began + 300:
            time.sleep(0.5)
            metrics = urllib.request.urlopen(f"http://127.0.0.1:{swept.ops_port}/metrics").read().decode()
            rows = re.findall(r'duka_table_rows{service="(?:orders|products)",table="(?:once|reservations)"} (\d+)', metrics)
            left = sum(map(int, rows)) if len(rows) >= 2 else 1
        print(f"{2 * ROWS_TO_SWEEP - left} of {2 * ROWS_TO_SWEEP} rows forgotten in {time.monotonic() - began:.0f} s")
        good = [left == 0]
        for service, what in (("orders", "idempotency keys"), ("products", "reservations, their holds and heads")):
            count, most, longest = holds_of(metrics, service)
            print(f"longest of {count} sweeps of {what}: {longest:.2f} ms, what else ran on the core included")
            good.append(at_most("99 of 100 hold the writer for", most, 5, "ms"))
        return all(good)
    finally:
        swept.stop()


class Latency:
    """wrk in the background, at a pace of its own: how long reads take, the slowest but one in a hundred."""

    def __init__(self, port, seconds, products):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c8", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s",
             str(HERE / "paced.lua"), f"http://127.0.0.1:{port}/", "--", str(products)], stdout=subprocess.PIPE, text=True)

    def p99_us(self):
        told = self.process.communicate()[0]
        if re.search("Non-2xx|Socket errors", told):
            raise RuntimeError(f"reads were refused: {told}")
        number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()
        return float(number) * {"us": 1, "ms": 1000, "s": 1e6}[unit]


def flood(duka, seconds, watch):
    """Sign-ins from 64 connections, as fast as they are answered: how many came in, of how many. Calls `watch` meanwhile."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c64", f"-d{seconds}s", "--timeout", "30s", "-s",
               str(HERE / "signin.lua"), f"http://127.0.0.1:{duka.port}/", "--", "1", duka.PASSWORD]
    wave = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while wave.poll() is None:
        watch()
        time.sleep(0.1)
    told = wave.communicate()[0]
    answers = int(re.search(r"(\d+) requests in", told).group(1))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    good = answers - (int(refused.group(1)) if refused else 0)
    if good == 0:
        raise RuntimeError(f"nobody of {answers} came in")
    return good, answers


PASSWORD_LANES, ARGON2_MIB = 2, 19


def bench_flood(folder, options):
    """Reads while sign-ins flood, against quiet; and memory in another flood, for to measure it holds up the one measured."""
    duka = Duka(Path(folder) / "flood", SERVER_CORE, PASSWORD_LANES=str(PASSWORD_LANES))
    duka.start()
    try:
        duka.seed(1000, 1)
        quiet, flooded = [], []
        for _ in range(options.rounds):
            quiet.append(Latency(duka.port, options.seconds, 1000).p99_us())
            reads = Latency(duka.port, options.seconds, 1000)
            good, answers = flood(duka, options.seconds, lambda: None)
            flooded.append(reads.p99_us())
        memory = []
        flood(duka, options.seconds, lambda: memory.append(pss_kib(duka.process.pid)))
        print(f"the last flood: {answers} sign-ins, {good} let in, the others told when to come back")
        held = report("read p99 while sign-ins flood / quiet", flooded, quiet, 2.0)
        return at_most("memory in the flood (PSS)", max(memory) / 1024, PASSWORD_LANES * ARGON2_MIB + 20, "MiB") and held
    finally:
        duka.stop()


# ---- a million ----

# What is measured at both sizes: name, wrk's script, connections (few, so that none is refused while the machine is busy),
# the script's arguments. `%d` is how many products there are.
GROWN_READS = (
    ("product read", "products.lua", 16, ["%d"]),
    ("list page", "lists.lua", 8, ["/products?limit=20"]),
    ("list page, by price", "lists.lua", 8, ["/products?limit=20&sort=price"]),
    ("list page, far in", "lists.lua", 8, ["/products?limit=20&sort=title&after=AFTER"]),
)
# Told and not judged: a word that all products have is read through for as long as it is.
GROWN_SEARCH = ("search", "lists.lua", 2, ["/products?limit=20&q=product+500"])


def far_in(port):
    """The cursor of a page that begins in the middle of the catalog, by title."""
    api = Api(port)
    path, after = "/products?limit=100&sort=title", None
    for _ in range(5):
        after = api.call("GET", path + (f"&after={after}" if after else ""))[1]["next"]
    return after


def bench_million(_, options):
    """Each read and an order where there are 10^6 products and 10^6 orders, against 10^3 of each. The cache of ready answers
    is off on both sides, for it would hide the tables; what it does is measured by `product`."""
    large = options.million
    small_shop, small_tokens = grown(1000, 1000, PORT + 60)
    large_shop, large_tokens = grown(large, large, PORT + 70)
    sizes = ((small_shop, 1000, small_tokens), (large_shop, large, large_tokens))
    try:
        good = []
        for name, script, connections, args in (*GROWN_READS, GROWN_SEARCH):
            figures = ([], [])
            for _ in range(options.rounds):
                for (shop, size, _tokens), found in zip(sizes, figures):
                    given = [arg.replace("%d", str(size)).replace("AFTER", far_in(shop.port)) for arg in args]
                    found.append(measured(shop, lambda: all_good(wrk(shop.port, "/", options.seconds, connections, script, given))))
            limit = math.inf if name == "search" else 1.5
            good.append(report(f"{name}, {large} / 1000", figures[1], figures[0], limit))
        figures = ([], [])
        for _ in range(options.rounds):
            for (shop, size, tokens), found in zip(sizes, figures):
                found.append(measured(shop, lambda: order_load(shop, tokens, options, 256, size)))
        good.append(report(f"order, {large} / 1000", figures[1], figures[0], 1.5))
        return all(good)
    finally:
        small_shop.stop()
        large_shop.stop()


def bench_postgresql(folder, options):
    """A placed order to `confirmed`, all services on PostgreSQL, against the Go reference on its own, 256 connections."""
    duka = DukaOnPostgresql(Path(folder) / "postgresql", SERVER_CORE)
    return order_against_go(folder, options, duka, "order on PostgreSQL, 256 connections / Go on PostgreSQL", 256, 1 / 2)


def bench_apart_postgresql(folder, options):
    """The same by four programs that push events to each other, through the gateway: their CPU and the server's."""
    apart = DukaApartOnPostgresql(Path(folder) / "apart", SERVER_CORE, port=PORT + 30)
    return order_against_go(folder, options, apart, "order apart on PostgreSQL, 256 connections / Go on PostgreSQL", 256, 1 / 2)


def bench_hot_postgresql(folder, options):
    """A flash sale on PostgreSQL with three shops on the same databases, against the same orders spread over a thousand."""
    duka = DukaOnPostgresql(Path(folder) / "hot", SERVER_CORE)
    try:
        duka.start(replicas=3)
        tokens = lua_file(folder, "hot-tokens", duka.seed(1000, 50))
        hot, spread = [], []
        for _ in range(options.rounds):
            hot.append(measured(duka, lambda: order_load(duka, tokens, options, 256, 10)))
            spread.append(measured(duka, lambda: order_load(duka, tokens, options, 256)))
        return report("order on ten products / on a thousand, PostgreSQL, three replicas", hot, spread, 1.5)
    finally:
        duka.stop()


def bench_statements(folder, options):
    """What the engines are asked for an order on its whole way, captures included: statements, round trips, commits."""
    for name, shop in (("SQLite", Duka(Path(folder) / "sqlite", SERVER_CORE)),
                       ("PostgreSQL", DukaOnPostgresql(Path(folder) / "postgresql", SERVER_CORE))):
        try:
            shop.start()
            tokens = lua_file(folder, f"{name}-tokens", shop.seed(1000, 50))
            order_load(shop, tokens, options, 256)
            shop.settle()
            before = shop.counters()
            count = order_load(shop, tokens, options, 256)
            shop.settle()
            after = shop.counters()
            for service in ("users", "products", "orders"):
                per = [(after[service][i] - before[service][i]) / count for i in range(3)]
                print(f"{name} {service}: per order {per[0]:.2f} statements, {per[1]:.3f} round trips, {per[2]:.4f} commits")
        finally:
            shop.stop()
    return True


BENCHES = {"product": bench_product, "order": bench_order, "order64": bench_order64, "batch": bench_batch,
           "hot": bench_hot, "postgresql": bench_postgresql, "hot-postgresql": bench_hot_postgresql,
           "apart-postgresql": bench_apart_postgresql, "statements": bench_statements,
           "signin": bench_signin, "idle": bench_idle, "inner": bench_inner, "tracing": bench_tracing,
           "proxy": bench_proxy, "apart": bench_apart, "idle-apart": bench_idle_apart, "sweep": bench_sweep,
           "flood": bench_flood, "million": bench_million, "restart": bench_restart, "events": bench_events}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[*BENCHES, []], help="all where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--million", type=int, default=1_000_000, help="how many products and orders `million` has, and orders `restart`")
    options = parser.parse_args()
    missed = 0
    for name in options.which or BENCHES:
        with tempfile.TemporaryDirectory(prefix="duka-bench-") as folder:
            try:
                missed += not BENCHES[name](folder, options)
            except Skipped as reason:
                print(f"{name}: SKIPPED: {reason}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
