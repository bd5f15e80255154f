#!/usr/bin/env python3
"""Reads the source for what a compiler does not see. Each rule is one test, and so is each planted fault of the self-test.

    tools/tidy/tidy.py                    the rules over the source
    tools/tidy/tidy.py --objects FOLDER   the rules over the object files of a build folder
"""
import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import objects  # noqa: E402
import selftest  # noqa: E402
from rules import RULES  # noqa: E402
from source import Finding, Tree  # noqa: E402


def exemptions():
    """The entries of exempt.txt: {(rule, path): line}."""
    entries = {}
    for number, line in enumerate((HERE / "exempt.txt").read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            rule, path, reason = (piece.strip() for piece in line.split("|", 2))
            if not reason:
                raise SystemExit(f"tools/tidy/exempt.txt:{number}: no reason")
            entries[rule, path] = number
    return entries


class Outcome:
    """Counts tests and prints each that failed."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def tell(self, name, findings):
        if findings:
            self.failed += 1
            for finding in findings:
                print(f"FAIL {name}: {finding}")
        else:
            self.passed += 1


def check_source(outcome):
    """Runs every rule over the project, then every planted fault."""
    tree, allowed, used = Tree.of_folder(ROOT), exemptions(), set()
    for rule in RULES:
        found = []
        for finding in rule(tree):
            if (rule.__name__, finding.path) in allowed:
                used.add((rule.__name__, finding.path))
            else:
                found.append(finding)
        outcome.tell(rule.__name__, found)
    outcome.tell("exemptions_are_needed", [
        Finding("tools/tidy/exempt.txt", line, f"{rule} is kept by {path}: the exemption is not needed")
        for (rule, path), line in allowed.items() if (rule, path) not in used])
    for name, findings in selftest.run():
        outcome.tell(f"selftest {name}", findings)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", metavar="FOLDER")
    given = parser.parse_args()

    outcome = Outcome()
    if given.objects:
        found, count = objects.objects_keep_their_floor(given.objects)
        outcome.tell("objects_keep_their_floor", found)
        for name, findings in selftest.run_objects():
            outcome.tell(f"selftest {name}", findings)
        print(f"{count} object files read")
    else:
        check_source(outcome)
    print(f"counts: passed={outcome.passed} failed={outcome.failed} skipped=0")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
