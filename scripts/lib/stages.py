"""Runs the stages of `make test` one after the other and sums what they count. scripts/test calls it in build/venv.

A stage is a list of programs. What a program counts is read from its last "counts: passed=… failed=… skipped=…" line, or
from pytest's XML; a program that ends badly without a failed count counts as one failure. A stage whose files do not exist
yet is not listed. The last line printed is "N passed, N failed, N skipped".
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LOGS = BUILD / "logs"
WHOLE = os.environ.get("DUKA_CONFORMANCE") == "whole"
COUNTS = re.compile(r"^counts: passed=(\d+) failed=(\d+) skipped=(\d+)\s*$", re.M)

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:"
                    "allow_user_segv_handler=0:abort_on_error=0:exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lib/lsan.supp:print_suppressions=0",
    "TSAN_OPTIONS": f"suppressions={ROOT}/tests/lib/tsan.supp:halt_on_error=0:exitcode=66:"
                    "second_deadlock_stack=1",
}


class Counts:
    """Tests passed, failed and skipped, and why a stage counts a failure of its own."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed {self.failed} failed {self.skipped} skipped"


class Program:
    """A command of a stage: how it is run, and where its counts are found."""

    def __init__(self, name, command, xml=None, counts=True, environment=None):
        self.name, self.command, self.xml, self.counts = name, [str(word) for word in command], xml, counts
        self.environment = environment or {}


class Stage:
    """A named list of programs with a time limit. `parallel` programs run side by side."""

    def __init__(self, name, seconds_max, programs, parallel=False):
        self.name, self.seconds_max, self.programs, self.parallel = name, seconds_max, programs, parallel


def run_program(program, log, deadline):
    """Runs one program into its log file; gives (exit code, or None when it ran out of time)."""
    environment = {**os.environ, **SANITIZERS, **program.environment}
    with open(log, "wb") as out:
        process = subprocess.Popen(program.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass
            return None
        finally:
            # A program takes along whatever it started and left running.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def counts_of_xml(path):
    """Counts of a JUnit file as pytest writes it."""
    counts = Counts()
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        counts.add(Counts(tests - failed - skipped, failed, skipped))
    return counts


def counts_of_program(program, code, text):
    """What a program that ended with `code` and printed `text` counts, and a sentence where that is not all it told."""
    counts, told = Counts(), False
    if program.xml:
        try:
            counts, told = counts_of_xml(program.xml), True
        except (OSError, xml.etree.ElementTree.ParseError):
            pass
    if not told:  # also of a program that could not run at all, and says so
        found = COUNTS.findall(text)
        if found:
            counts, told = Counts(*map(int, found[-1])), True

    if code is None:
        counts.add(Counts(failed=1))
        return counts, "ran out of time"
    if program.xml and code == 5 and not counts.failed:
        return counts, ""  # pytest: nothing was selected
    if code != 0 and not counts.failed:
        counts.add(Counts(failed=1))
        return counts, f"ended with {code}" + (" after its counts" if told else " without counts")
    if code == 0 and program.counts and not told:
        counts.add(Counts(failed=1))
        return counts, "told no counts"
    return counts, ""


def show(program, text, why):
    """Prints the output of a program that failed, in full but for what would flood a terminal."""
    print(f"---- {program.name}" + (f": {why}" if why else ""))
    lines = text.splitlines()
    if not program.counts and any(line.startswith("FAILED:") for line in lines):
        lines = lines[[line.startswith("FAILED:") for line in lines].index(True):]  # not the configuring before
    if len(lines) > 3000:
        lines = lines[:1500] + [f"… {len(lines) - 3000} lines, see the log …"] + lines[-1500:]
    for line in lines:
        # The closing line of this run is the only one of its form.
        print("  | " + line if re.match(r"[\s=]*(\w+:\s*)?\d+ (passed|failed|skipped)\b", line) else line)
    sys.stdout.flush()


def run_stage(stage):
    """Runs all programs of a stage, prints those that failed, gives the sum."""
    started = time.monotonic()
    deadline = started + stage.seconds_max
    total = Counts()

    def run(program):
        log = LOGS / f"{stage.name}.{program.name}.log"
        code = run_program(program, log, deadline)
        text = log.read_text(errors="replace")
        return program, text, *counts_of_program(program, code, text)

    print(f"[{stage.name}] …", flush=True)
    workers = (os.cpu_count() or 1) + (stage.name in WAITING) if stage.parallel else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for program, text, counts, why in pool.map(run, stage.programs):
            total.add(counts)
            if counts.failed:
                show(program, text, why)
            for line in text.splitlines():
                if line.startswith("told: ") or counts.skipped and line.startswith("SKIP"):
                    print("  " + line)
    print(f"[{stage.name}] {time.monotonic() - started:.1f} s: {total}", flush=True)
    return total


# ---- What the stages are ----


def prefix_of(kind):
    """What programs of build/KIND are run under: gcc's TSan cannot live with every way to lay out memory at random."""
    if kind == "tsan" and subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0:
        return ["setarch", "-R"]
    return []


def suite_programs(kind, suite, word):
    """The test programs of a Meson suite in build/KIND."""
    path = BUILD / kind / "meson-info" / "intro-tests.json"
    if not path.exists():
        return []
    prefix = prefix_of(kind)
    return [Program(test["name"], prefix + test["cmd"] + ([word] if word else []), environment={"DUKA_BUILD": str(BUILD / kind)})
            for test in json.loads(path.read_text()) if f"duka:{suite}" in test["suite"] or suite in test["suite"]]


def pytest_programs(folder, word, kind, name=None):
    """pytest over a folder that has tests; the programs under test come from build/KIND."""
    path = ROOT / "tests" / folder
    if not any(path.glob("**/test_*.py")):
        return []
    result = LOGS / f"{name or folder}.xml"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--tb=short", "-p", "no:cacheprovider",
               f"--junitxml={result}", *(["-k", word] if word else []), path]
    apps = BUILD / kind / "src" / "apps"
    return [Program("pytest", command, xml=result, environment={
        "DUKA_BUILD": str(BUILD / kind), "DUKA_BIN": str(apps / "duka"), "DUKACTL_BIN": str(apps / "dukactl"),
        "PYTHONDONTWRITEBYTECODE": "1"})]


def on_postgresql(program):
    """The program, with a PostgreSQL of its own (or skipped, where there is none)."""
    program.name += "-postgresql"
    program.command = [sys.executable, "tests/lib/postgresql.py", *program.command]
    return program


# Modules of the e2e suite that ask of a database what the others ask: on PostgreSQL they run in `make test-wire` only.
# So do those that mostly wait, for mails, expiry and large files.
NOT_OF_THE_DATABASE = ("api_keys", "clients", "cors", "debug", "discovery", "gateway", "hostile_peers", "import_streams", "mail",
                       "mutual_tls", "openapi", "ops", "order_mails", "printed_lines", "refusals", "rotation", "scripts", "tls",
                       "tokens")

# And those that never do: dukactl's backup and check, and what lists tables, read files of SQLite; floods of HTTP/2 are
# to be answered whole.
NOT_FOR_POSTGRESQL = ("dukactl", "http2", "install", "make_postgresql", "retention")


def fuzz_programs(word):
    """Every fuzzer over its seeds and a bounded number of changed ones, and its planted fault (scripts/lib/fuzz.py)."""
    names = sorted(path.name.removeprefix("fuzz-") for path in (BUILD / "asan" / "tests" / "fuzz").glob("fuzz-*") if path.is_file())
    script = ROOT / "scripts" / "lib" / "fuzz.py"
    twin = BUILD / "asan" / "tests" / "fuzz" / "wire-twin"
    judged = [Program("wire-twin", [sys.executable, "-B", "tests/fuzz/wire_twin.py", twin])] if names and word in "wire-twin" else []
    return judged + [Program(name, [sys.executable, "-B", script, "sample", name]) for name in names if word in name]


def overload_programs(word):
    """All of it, or the sample that measures nothing."""
    programs = pytest_programs("overload", word, "release")
    if os.environ.get("OVERLOAD") != "whole":
        for program in programs:
            program.command = program.command[:-1] + [ROOT / "tests" / "overload" / "test_sample.py"]
    return programs


# Modules of the wire that go beside those of the brokers: where something is away, and PostgreSQL's.
AWAY = ("failures", "limits", "move", "postgresql_faults", "postgresql_setup", "wake")


def wire_programs(word):
    """What only real servers can show: suite wire and tests/wire; the data room and the whole shop on PostgreSQL."""
    rooms = suite_programs("asan", "wire", word)
    for program in rooms:
        if program.name == "wire-data":
            on_postgresql(program)
    shop = [on_postgresql(program) for program in pytest_programs("e2e", word, "release", "e2e-postgresql")]
    left_out = NOT_FOR_POSTGRESQL + (() if os.environ.get("WIRE") == "whole" else NOT_OF_THE_DATABASE)
    for program in shop:
        program.command += [f"--ignore=tests/e2e/test_{name}.py" for name in left_out]
    away = pytest_programs("wire", word, "asan", "wire-away")
    brokers = pytest_programs("wire", word, "asan")
    for program in away:  # waits for time-outs: beside the others, with a broker of its own
        program.name, program.command = "away", program.command[:-1] + [f"tests/wire/test_{name}.py" for name in AWAY]
    for program in brokers:
        program.command += [f"--ignore=tests/wire/test_{name}.py" for name in AWAY]
    return shop + brokers + away + rooms  # the longest first


# What the sanitizers of a build must see, one planted fault at a time: the test that has it, and the words that name it.
PLANTED = {
    "asan": [("overflows", "signed integer overflow"), ("reads_what_was_freed", "heap-use-after-free")],
    "tsan": [("races", "data race")],
}


def check_planted(kind):
    """The test layer itself and the sanitizers of build/KIND: their planted faults must all be seen."""
    folder = BUILD / kind / "tests"
    seen, unseen = "echo 'counts: passed=1 failed=0 skipped=0'", "exit 1"
    expected = "counts: passed=3 failed=10 skipped=1"
    scripts = [("planted", f"out=$('{folder}/planted' 2>&1); printf '%s\\n' \"$out\" | grep -qx '{expected}' && "
                           f"{seen} || {{ echo \"$out\"; echo 'expected: {expected}'; {unseen}; }}")]
    for test, words in PLANTED[kind]:
        command = " ".join([*prefix_of(kind), f"'{folder}/planted-sanitizers'", test])
        scripts.append((f"planted-{test}", f"out=$({command} 2>&1); code=$?; "
                        f"[ $code -ne 0 ] && printf '%s\\n' \"$out\" | grep -q '{words}' && {seen} || "
                        f"{{ echo \"$out\"; echo \"expected: {words}, and a bad end (it was $code)\"; {unseen}; }}"))
    return [Program(name, ["sh", "-c", script]) for name, script in scripts]


# Every stage after the builds, in order: its seconds at most, the builds it needs, its programs for a chosen word.
STAGES = {
    "objects": (300, ["release"], lambda word: [] if word else [
        Program("objects", [sys.executable, "tools/tidy/tidy.py", "--objects", "build/release"]),
        Program("linked", [sys.executable, "-B", "tools/affected/linked.py", "build/release"])]),
    "unit-asan": (600, ["asan"], lambda word: ([] if word else check_planted("asan")) + suite_programs("asan", "unit", word)),
    "unit-tsan": (900, ["tsan"], lambda word: ([] if word else check_planted("tsan")) + suite_programs("tsan", "unit", word)),
    "api-asan": (600, ["asan"], lambda word: suite_programs("asan", "api", word)),
    "api-tsan": (900, ["tsan"], lambda word: suite_programs("tsan", "api", word)),
    "sim": (900, ["asan"], lambda word: suite_programs("asan", "sim", word)),
    "fuzz": (120, ["asan"], fuzz_programs),
    "e2e": (1200, ["asan", "release"], lambda word: pytest_programs("e2e", word, "asan")),
    # Traces and logs by real collectors, where scripts/observe-tools has put them (`make test-observe` does).
    "observe": (1800 if os.environ.get("OBSERVE") == "whole" else 300, ["asan", "release"],
                lambda word: pytest_programs("observe", word, "asan")),
    # Bounded by count and seed to about a minute; `make conformance` runs it whole.
    "conformance": (3600 if WHOLE else 240, ["asan"], lambda word: pytest_programs("conformance", word, "asan")),
    # `make overload` runs it whole, alone on the machine: it measures.
    "overload": (1800 if os.environ.get("OVERLOAD") == "whole" else 180, ["asan", "release"], overload_programs),
    "crash": (900, ["asan", "release"], lambda word: suite_programs("asan", "crash", word)
              + pytest_programs("crash", word, "release")),
    # The pipelines by the judges that scripts/pipeline-tools has put there; `make test-pipelines` runs the jobs of one service, too.
    "pipelines": (10800 if os.environ.get("PIPELINES") == "whole" else 600, [], lambda word: pytest_programs("pipelines", word, "release")),
    # Real brokers and databases, bounded; `make test-wire` runs all of it.
    "wire": (10800 if os.environ.get("WIRE") == "whole" else 300, ["asan", "release"], lambda word: wire_programs(word)),
}
PARALLEL = {"unit-asan", "unit-tsan", "api-asan", "api-tsan", "fuzz", "wire"}
WAITING = {"wire"}  # for brokers, more than it works: one program more at once


def arguments():
    parser = argparse.ArgumentParser(description="Runs the stages of the tests.")
    parser.add_argument("--word", default="", help="only tests whose name or file holds it (a room: orders)")
    parser.add_argument("--stage", default="", help="only stages whose name holds it (unit, api, e2e, tidy, …)")
    return parser.parse_args()


def run_all(given):
    """Runs the chosen stages; gives their names and counts, in order."""
    results, broken = [], set()
    if not given.word and given.stage in "tidy":
        results.append(("tidy", run_stage(Stage("tidy", 300, [Program("tidy", [sys.executable, "tools/tidy/tidy.py"])]))))

    chosen = [name for name in STAGES if given.stage in name]
    for kind in ("asan", "tsan", "release"):
        name = f"build-{kind}"
        if given.stage in name or any(kind in STAGES[stage][1] for stage in chosen):
            # A build that fails is one failure; one that succeeds is no test.
            counts = run_stage(Stage(name, 1800, [Program(kind, ["scripts/build", kind], counts=False)]))
            results.append((name, counts))
            if counts.failed:
                broken.add(kind)

    for name in chosen:
        seconds_max, needs, programs_of = STAGES[name]
        programs = programs_of(given.word)
        if not programs:
            continue
        if broken.intersection(needs):
            print(f"[{name}] not run: {', '.join(sorted(broken.intersection(needs)))} did not build", flush=True)
            results.append((name, Counts(failed=1)))
        else:
            results.append((name, run_stage(Stage(name, seconds_max, programs, name in PARALLEL))))
    return results


def main():
    given = arguments()
    LOGS.mkdir(parents=True, exist_ok=True)
    started, total = time.monotonic(), Counts()
    results = run_all(given)
    for _, counts in results:
        total.add(counts)

    print(f"\nAll stages in {time.monotonic() - started:.0f} s; logs in {LOGS.relative_to(ROOT)}")
    for name, counts in results:
        print(f"  {name:14} {counts}")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
