"""Builds and runs the tests in C that belong to one service, as the stages of `make test` do (scripts/lib/stages.py), and no others."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import stages  # noqa: E402

# Its rooms, its whole without a socket, and for the shop the floors that all stand on.
PROGRAMS = {
    "users": ["unit-users", "api-users"],
    "products": ["unit-products", "api-products"],
    "orders": ["unit-orders", "api-shop", "sim-saga"],
    "gateway": ["unit-gateway", "api-gateway"],
    "duka": ["unit-base", "unit-os", "unit-chassis", "unit-data", "unit-service", "api-shop"],
}
SECONDS_MAX = 1800


def programs_of(kind, names):
    """The programs of these names that Meson lists; one that it does not know is a mistake of the table above."""
    found = [program for suite in ("unit", "api", "sim") for program in stages.suite_programs(kind, suite, "") if program.name in names]
    missing = set(names) - {program.name for program in found}
    if missing:
        raise SystemExit(f"scripts/pipeline/unit.py: build/{kind} has no tests {', '.join(sorted(missing))}")
    return found


def main(service):
    total, names = stages.Counts(), PROGRAMS[service]
    stages.LOGS.mkdir(parents=True, exist_ok=True)
    for kind in ("asan", "tsan"):
        here = [name for name in names if kind == "asan" or not name.startswith("sim-")]
        subprocess.run(["scripts/build", kind, *(f"tests/{name}" for name in here)], cwd=ROOT, check=True)
        total.add(stages.run_stage(stages.Stage(f"{service}-{kind}", SECONDS_MAX, programs_of(kind, here), parallel=True)))
    print(f"counts: passed={total.passed} failed={total.failed} skipped={total.skipped}")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
