"""Runs the fuzzers of tests/fuzz. scripts/fuzz and the stage `fuzz` of make test call it, in build/venv.

    fuzz.py sample NAME      what make test runs: seeds, what was found before, and RUNS changed inputs, by build/asan; and
                             the fault that is planted in the fuzzer is seen
    fuzz.py run NAMES        libFuzzer (build/fuzz) for MINUTES of processor time each, JOBS at once; sums in docs/fuzzing.tsv
    fuzz.py find NAMES       libFuzzer finds the planted fault from the seeds: after how many runs
    fuzz.py cover NAMES      what of its reader each fuzzer reaches (build/cover), by seeds and by what has grown
"""
import collections
import concurrent.futures
import datetime
import hashlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
FOUND = ROOT / "tests" / "fuzz" / "regressions"
GROWN = BUILD / "corpus"
TABLE = ROOT / "docs" / "fuzzing.tsv"
COLUMNS = ["fuzzer", "commit", "date", "cpu_s", "runs", "found"]
RUNS, SEED = 3000, 7
BATCH_S = 30
INPUT_BYTES_MAX = {"http1": 65536, "http2": 65536, "csv": 16384, "upstream": 65536}

# What each reads by: the files whose branches are counted.
READERS = {
    "csv": ["services/products/csv.c", "services/products/import.c", "services/products/product.c"],
    "cursor": ["chassis/call.c"],
    "event_direct": ["chassis/bus_direct_door.c", "chassis/bus_direct_events.c", "chassis/bus_direct_sign.c", "chassis/cloudevent.c"],
    "event_kafka": ["chassis/cloudevent.c"],
    "event_rabbitmq": ["chassis/cloudevent.c"],
    "event_sqs": ["chassis/bus_sqs.c", "chassis/cloudevent.c"],
    "hpack": ["chassis/http2.c", "chassis/http_head.c"],
    "http1": ["chassis/http_parse.c", "chassis/http_connection.c", "chassis/http_head.c", "chassis/http_body.c"],
    "http2": ["chassis/http2.c", "chassis/http2_write.c", "chassis/http2_guard.c", "chassis/grpc_door.c", "chassis/grpc_reflection.c",
              "chassis/grpc_health.c"],
    "inner": ["chassis/inner.c"],
    "json": ["base/json.c", "chassis/message.c", "chassis/message_json.c", "chassis/message_rules.c"],
    "jwt": ["chassis/token.c"],
    "protobuf": ["chassis/protobuf.c", "chassis/gzip.c", "chassis/message.c", "chassis/message_rules.c"],
    "request": ["chassis/binding.c", "chassis/router.c", "chassis/request.c", "chassis/http_head.c"],
    "routes": ["services/gateway/routes.c"],
    "settings": ["chassis/conf.c", "chassis/conf_file.c", "chassis/setting.c"],
    "upstream": ["chassis/http2_client.c", "chassis/upstream_fields.c", "chassis/grpc_status.c"],
    "url": ["chassis/bus_url.c", "chassis/upstream_url.c", "chassis/proxies.c", "services/gateway/cors.c", "base/time.c"],
}
NAMES = list(READERS)


def program(kind, name):
    return BUILD / kind / "tests" / "fuzz" / f"fuzz-{name}"


def make_seeds(folder):
    """All seeds and planted inputs, anew."""
    subprocess.run([sys.executable, "-B", ROOT / "tests" / "fuzz" / "seeds.py", folder], check=True)
    return pathlib.Path(folder)


def corpora(seeds, name, *more):
    """The folders that a fuzzer begins with."""
    return [folder for folder in (seeds / name, FOUND / name, *more) if folder.is_dir() and any(folder.iterdir())]


def keep(name, crash):
    """What broke a fuzzer becomes a file of the project."""
    data = crash.read_bytes()
    place = FOUND / name / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place.relative_to(ROOT)


# ---- by our own driver ----


def drive(name, *arguments, planted=False):
    """The driver of build/asan in a folder of its own: (exit code, what it said, the input that broke it or None)."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FUZZ_CRASHES": folder, "FUZZ_PLANT": "overread" if planted else "",
                       "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "") + ":abort_on_error=1"}
        done = subprocess.run([program("asan", name), *arguments], env=environment, capture_output=True, cwd=folder)
        crash = pathlib.Path(folder) / "crash-input"
        kept = keep(name, crash) if crash.exists() and not planted else None
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace"), kept


def sample(name):
    """Passed: nothing is found in seeds, regressions and changed inputs; and the planted fault is."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(folder)
        folders, needle = corpora(seeds, name), seeds / "planted" / name
        files = sum(1 for place in folders for _ in place.iterdir())
        code, said, kept = drive(name, f"-runs={RUNS}", f"-seed={SEED}", *folders, needle)
        plain = code == 0 and f"inputs: {files + 1} from files, {RUNS} changed" in said
        if not plain:
            print(said, f"fuzz-{name} ended with {code}" + (f"; the input is {kept}" if kept else ""), sep="\n")
        code, said, _ = drive(name, needle, planted=True)
        seen = code != 0 and "heap-buffer-overflow" in said
        if not seen:
            print(said, f"fuzz-{name} ended with {code} and did not see the planted fault", sep="\n")
    print(f"counts: passed={plain + seen} failed={2 - plain - seen} skipped=0")
    return 0 if plain and seen else 1


# ---- by libFuzzer ----


def commit():
    """The commit of the build: what FUZZ_COMMIT says, else that of the tree; "-dirty" where what is fuzzed has changes that it has not."""
    if os.environ.get("FUZZ_COMMIT"):
        return os.environ["FUZZ_COMMIT"]

    def told(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = told("status", "--porcelain", "--", "src", "contracts", "tests/fuzz")
    return (told("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def is_quick(fuzzer, path):
    """Whether an input takes no long time: libFuzzer counts the time of the clock, of which a busy machine may give it nothing."""
    process = subprocess.Popen([fuzzer, "-timeout=600", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    return status == 0 and used.ru_utime < 10


def libfuzzer(name, folders, arguments, planted_too=False):
    """One run in a process of its own: (seconds of processor time, runs, what it said, input that broke it or None)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program("fuzz", name), f"-artifact_prefix={folder}/", "-print_final_stats=1", "-rss_limit_mb=2048", "-timeout=20",
                   f"-max_len={INPUT_BYTES_MAX.get(name, 4096)}", *arguments, *folders]
        environment = {**os.environ, "FUZZ_PLANT": "overread" if planted_too else ""}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
        said = process.stdout.read().decode(errors="replace")
        _, _, used = os.wait4(process.pid, 0)
        broken = [path for path in pathlib.Path(folder).iterdir() if path.name.startswith(("crash-", "leak-", "timeout-", "oom-"))
                  and not (path.name.startswith("timeout-") and is_quick(command[0], path))]
        counted = re.findall(r"stat::number_of_executed_units: (\d+)", said) or re.findall(r"^#(\d+)\s", said, re.M)
        kept = None
        if broken and not planted_too:
            kept = keep(name, broken[0])
        return used.ru_utime + used.ru_stime, int(counted[-1]) if counted else 0, said, kept or (broken[0].name if broken else None)


ADDING = threading.Lock()


def add_up(name, cpu_s, runs, found):
    """Keeps the sums of a fuzzer at a commit."""
    with ADDING:
        lines = TABLE.read_text().splitlines()[1:] if TABLE.exists() else []
        rows = collections.OrderedDict()
        for line in lines:
            row = line.split("\t")
            rows[row[0], row[1]] = row
        row = rows.setdefault((name, commit()), [name, commit(), "", "0", "0", "0"])
        row[2] = datetime.date.today().isoformat()
        for column, more in ((3, round(cpu_s)), (4, runs), (5, found)):
            row[column] = str(int(row[column]) + more)
        partial = TABLE.with_suffix(".partial")
        partial.write_text("\t".join(COLUMNS) + "\n" + "".join("\t".join(row) + "\n" for row in rows.values()))
        partial.replace(TABLE)


def fuzz(name, seconds):
    """For so much processor time, or until something is found: (cpu, runs, kept)."""
    used, runs, kept = 0.0, 0, None
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(folder)
        while used < seconds and not kept:
            more, units, said, kept = libfuzzer(name, [grown, *corpora(seeds, name)], [f"-max_total_time={BATCH_S}"])
            used, runs = used + more, runs + units
            covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
            print(f"{name:15} {used / 60:6.2f} of {seconds / 60:.2f} min   {runs:>11,} runs   "
                  f"{covered[-1][0] if covered else '?':>6} edges   {covered[-1][2] if covered else '?':>5} inputs", flush=True)
            add_up(name, more, units, int(kept is not None))
            if kept:
                print(said[-6000:])
                print(f"{name}: FOUND {kept}; again: build/fuzz/tests/fuzz/fuzz-{name} {kept}", flush=True)
            elif units == 0:
                sys.exit(said[-3000:] + f"\n{name}: it did not run")
    return used, runs, kept


def run(names):
    minutes = float(os.environ.get("MINUTES") or 1)
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        done = dict(zip(names, pool.map(lambda name: fuzz(name, minutes * 60), names)))
    found = [str(kept) for _, _, kept in done.values() if kept]
    print(f"{len(names)} fuzzers, {sum(used for used, _, _ in done.values()) / 60:.1f} minutes of processor time, "
          f"{sum(runs for _, runs, _ in done.values()):,} runs, {len(found)} found; sums in {TABLE.relative_to(ROOT)}")
    return 1 if found else 0


def find(names):
    """Each planted fault, from the seeds alone, in MINUTES (5) at most."""
    missed, seconds = 0, round(60 * float(os.environ.get("MINUTES") or 5))
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            seeds = make_seeds(folder)
            grown = pathlib.Path(folder) / "grown"
            grown.mkdir()
            used, runs, said, kept = libfuzzer(name, [grown, *corpora(seeds, name)], [f"-max_total_time={seconds}", "-seed=1"], True)
        if kept and "heap-buffer-overflow" in said:
            print(f"{name:15} found after {runs:,} runs, {used:.0f} s of processor time", flush=True)
        else:
            missed += 1
            print(f"{name:15} NOT FOUND in {runs:,} runs, {used:.0f} s of processor time", flush=True)
    return 1 if missed else 0


# ---- what is reached ----


def cover(names):
    """Branches of each reader that its fuzzer takes, as rows of Markdown."""
    print("| fuzzer | reader | branches | lines |\n|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            seeds = make_seeds(folder)
            raw, data = f"{folder}/raw", f"{folder}/data"
            subprocess.run([program("cover", name), *corpora(seeds, name, GROWN / name)], check=True, cwd=folder, capture_output=True,
                           env={**os.environ, "LLVM_PROFILE_FILE": raw})
            subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", data], check=True)
            told = subprocess.run(["llvm-cov", "export", "-summary-only", f"-instr-profile={data}", program("cover", name)], check=True,
                                  capture_output=True, text=True).stdout
        for file in json.loads(told)["data"][0]["files"]:
            path = pathlib.Path(file["filename"]).resolve()
            reader = str(path.relative_to(ROOT / "src")) if path.is_relative_to(ROOT / "src") else ""
            branches, lines = file["summary"]["branches"], file["summary"]["lines"]
            if reader in READERS[name]:
                print(f"| {name} | {reader} | {branches['covered']} of {branches['count']} ({branches['percent']:.0f} %) | "
                      f"{lines['covered']} of {lines['count']} ({lines['percent']:.0f} %) |", flush=True)
    return 0


def main():
    way, names = sys.argv[1], sys.argv[2:] or NAMES
    for name in names:
        if name not in READERS:
            sys.exit(f"There is no fuzzer \"{name}\"; there are: {', '.join(NAMES)}.")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if way == "sample":
        return sample(names[0])
    return {"run": run, "find": find, "cover": cover}[way](names)


if __name__ == "__main__":
    sys.exit(main())
