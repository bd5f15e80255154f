"""make bench: CPU per operation of Duka and of peers, alternating in one run; ratios with their range.

    bench/run [product] [order] [batch] [--rounds N] [--seconds S]

Servers run on one core, the load on the other. A figure is the median of the rounds, with the smallest and the largest.
After each run the rows are counted, not the answers. What cannot be had is skipped with its reason."""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import Api, Duka, GoReference, Nginx, Skipped, pss_kib

HERE = Path(__file__).resolve().parent
SERVER_CORE, LOAD_CORE = 0, 1


def wrk(port, path, seconds, connections, script=None, args=()):
    """Runs wrk; gives its requests and how many of them were not 2xx."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    if script:
        command += ["-s", str(HERE / script)]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}", "--", *map(str, args)], text=True,
                          capture_output=True, check=True)
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = re.search(r"Socket errors: (.*)", done.stdout)
    if errors:
        raise RuntimeError(f"wrk: {errors.group(1)}")
    return requests, int(bad.group(1)) if bad else 0


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


def lua_file(folder, name, values):
    path = Path(folder) / name
    path.write_text("\n".join(values) + "\n")
    return path


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
        return report("product read / nginx", ours, theirs, 2.5)
    finally:
        duka.stop()


def all_good(result):
    requests, bad = result
    if bad:
        raise RuntimeError(f"{bad} of {requests} answers were not 2xx")
    return requests


def order_load(duka, tokens, options, connections):
    """Orders to `confirmed`, counted as rows."""
    before = duka.orders().get("confirmed", 0)
    requests, bad = wrk(duka.port, "/orders", options.seconds, connections, "orders.lua", ["duka", tokens, 1000])
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


def bench_order(folder, options):
    """A placed order, two lines, signed in, fsync on, to `confirmed`, against the Go reference on PostgreSQL."""
    duka = Duka(Path(folder) / "order", SERVER_CORE)
    go = GoReference(Path(folder) / "go", SERVER_CORE)
    try:
        go.start()
        duka.start()
        ours_tokens = lua_file(folder, "duka-tokens", duka.seed(1000, 50))
        go_tokens = lua_file(folder, "go-tokens", go.tokens(50))
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(measured(duka, lambda: order_load(duka, ours_tokens, options, 256)))
            theirs.append(measured(go, lambda: go_load(go, go_tokens, options, 256)))
        return report("order, 256 connections / Go on PostgreSQL", ours, theirs, 1 / 3)
    finally:
        duka.stop()
        go.stop()


def bench_batch(folder, options):
    """Batched writes against batches of one, the same orders, 256 connections."""
    batched = Duka(Path(folder) / "batched", SERVER_CORE, port=3930)
    single = Duka(Path(folder) / "single", SERVER_CORE, port=3940, WRITE_BATCH_MAX="1")
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


BENCHES = {"product": bench_product, "order": bench_order, "batch": bench_batch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[*BENCHES, []], help="all where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    missed = 0
    for name in options.which or BENCHES:
        with tempfile.TemporaryDirectory(prefix="duka-bench-") as folder:
            try:
                missed += not BENCHES[name](folder, options)
            except Skipped as reason:
                print(f"{name}: SKIPPED: {reason}")
    sys.exit(1 if missed else 0)


main()
