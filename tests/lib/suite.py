"""The e2e suite as a test of its own: run whole in a topology, its counts told, and what failed shown as pytest shows it."""

import os
import re
import subprocess
import sys

from shop import ROOT

SHOWN_MAX = 100_000  # characters


def failures_in(printed):
    """The part of pytest's output that tells of failures, each whole, and its summary."""
    begins = re.search(r"^=+ (?:FAILURES|ERRORS) =+$", printed, re.M)
    told = printed[begins.start():] if begins else printed
    if len(told) <= SHOWN_MAX:
        return told
    return f"{told[:SHOWN_MAX]}\n… {len(told) - SHOWN_MAX} characters, see the log …\n{told[-6000:]}"


def run_suite(name, environment, words=(), left_out=()):
    """Runs the suite, under the command `words` if there is one; gives its counts as pytest tells them. Where it fails this
    raises with what failed; all that was printed is in build/logs under `name`."""
    log = ROOT / "build" / "logs" / f"e2e.{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        done = subprocess.run(
            [*words, sys.executable, "-m", "pytest", "-q", "-ra", "--tb=short", "-p", "no:cacheprovider"]
            + [f"{ROOT}/tests/e2e", *(f"--ignore={ROOT}/tests/e2e/{one}" for one in left_out)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    printed = log.read_text(errors="replace")
    counts = (re.findall(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in ", printed, re.M) or ["no counts"])[-1]
    assert done.returncode == 0 and "passed" in counts, f"{name}: {counts}; whole in {log}\n{failures_in(printed)}"
    return counts
