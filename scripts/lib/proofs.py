"""Goes on with the seeds of the simulation where the last run stopped, and keeps what came of them in docs/proofs.tsv: a row
for each run of seeds, with its date, commit and machine. `scripts/sim --resume` calls it.

    proofs.py run PROGRAM LAST [JOBS]    seeds up to LAST, JOBS at once
    proofs.py sum                        the rows in words
"""
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "proofs.tsv"
COLUMNS = ["date", "commit", "machine", "first", "last", "failed", "requests", "orders", "events", "restarts", "kills", "faults",
           "virtual_s", "steps", "failed_seeds"]
SUMS = ["requests", "orders", "events", "restarts", "kills", "faults", "virtual_s", "steps"]
CHUNK = 100
NONE = "-"  # of an empty cell
LINE = re.compile(r"seed (\d+): (\d+) requests, (\d+) orders, (\d+) events, (\d+) restarts, (\d+) crashes, (\d+) faults,"
                  r" (\d+) s of virtual time, (\d+) steps")


def read():
    """The rows, as dictionaries."""
    if not TABLE.exists():
        return []
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [dict(zip(lines[0].split("\t"), ("" if cell == NONE else cell for cell in line.split("\t")))) for line in lines[1:] if line]


def write(rows):
    """All of it, or nothing of it."""
    text = "\t".join(COLUMNS) + "\n" + "".join("\t".join(str(row[name]) or NONE for name in COLUMNS) + "\n" for row in rows)
    partial = TABLE.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(TABLE)


def commit():
    """The commit of the build: what SIM_COMMIT says, else that of the tree, which must be clean."""
    if os.environ.get("SIM_COMMIT"):
        return os.environ["SIM_COMMIT"]
    changed = subprocess.run(["git", "status", "--porcelain", "--", "src", "tests/sim"], cwd=ROOT, capture_output=True, text=True,
                             check=True).stdout
    if changed:
        sys.exit("There are changes that no commit has: what is counted must be repeatable.")
    return subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout.strip()


def machine():
    """What it is, not whose."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def run_chunk(program, first, last, jobs):
    """Runs seeds; gives their sums and those that failed."""
    environment = {**os.environ, "SEEDS": f"{first}-{last}", "JOBS": str(jobs), "SHRINK": "0"}
    environment.pop("SEED", None)
    environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # each seed is a new process: fresh pages are a tenth of it
    told = subprocess.run([program, "seed_"], env=environment, capture_output=True, text=True, errors="replace", check=False)
    sums, seen = dict.fromkeys(SUMS, 0), set()
    for match in LINE.finditer(told.stdout):
        seen.add(int(match[1]))
        for name, value in zip(SUMS, match.groups()[1:]):
            sums[name] += int(value)
    failed = [seed for seed in range(first, last + 1) if seed not in seen]
    if failed:
        log = ROOT / "build" / "logs" / f"sim-{first}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(told.stdout + told.stderr, encoding="utf-8")
        print(f"failed: {failed}; see {log.relative_to(ROOT)}", flush=True)
    return sums, failed


def add(rows, row):
    """To the last row where it goes on with it, else as a new one."""
    before = rows[-1] if rows else None
    if before and all(before[name] == row[name] for name in ("date", "commit", "machine")) and \
            int(before["last"]) + 1 == row["first"]:
        before["last"] = row["last"]
        for name in [*SUMS, "failed"]:
            before[name] = int(before[name]) + row[name]
        before["failed_seeds"] = " ".join(filter(None, [before["failed_seeds"], row["failed_seeds"]]))
    else:
        rows.append(row)


def run(program, last, jobs):
    """Chunk by chunk: what is interrupted loses one."""
    the_commit, the_machine = commit(), machine()
    while True:
        rows = read()
        first = max((int(row["last"]) for row in rows), default=0) + 1
        if first > last:
            return
        to = min(first + CHUNK - 1, last)
        sums, failed = run_chunk(program, first, to, jobs)
        add(rows, {"date": datetime.date.today().isoformat(), "commit": the_commit, "machine": the_machine, "first": first, "last": to,
                   "failed": len(failed), "failed_seeds": " ".join(map(str, failed)), **sums})
        write(rows)
        print(f"seeds {first} to {to}: {len(failed)} failed", flush=True)


def tell():
    """The rows in words."""
    rows = read()
    seeds = sum(int(row["last"]) - int(row["first"]) + 1 for row in rows)
    failed = sum(int(row["failed"]) for row in rows)
    sums = {name: sum(int(row[name]) for row in rows) for name in SUMS}
    print(f"{seeds} seeds, {failed} failed: {sums['requests']} requests, {sums['orders']} orders, {sums['events']} events,"
          f" {sums['faults']} faults, {sums['kills']} kills, {sums['restarts']} restarts, {sums['virtual_s'] // 3600} hours of"
          " virtual time")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"] and len(sys.argv) in (4, 5):
        run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) == 5 else os.cpu_count() or 1)
        tell()
    elif sys.argv[1:] == ["sum"]:
        tell()
    else:
        sys.exit(__doc__)
