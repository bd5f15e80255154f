"""scripts/lib/stages.py: what counts as passed, failed and skipped, which stages there are, what is printed."""
import contextlib
import io
import pathlib
import re
import sys
import tempfile
import time
import unittest
from unittest import mock

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import fuzz  # noqa: E402
import stages  # noqa: E402

TOLD = "counts: passed=2 failed=0 skipped=1\n"


def counted_of(code, text, xml=None, counts=True):
    """What stages.py counts of a program that ended so: (passed, failed, skipped, why)."""
    program = stages.Program("one", ["true"], xml=xml, counts=counts)
    found, why = stages.counts_of_program(program, code, text)
    return found.passed, found.failed, found.skipped, why


def runs(process):
    """Whether a process is there and has not ended."""
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class OneProgram(unittest.TestCase):
    """What is counted of one program."""

    def test_its_last_counts_are_taken(self):
        self.assertEqual(counted_of(0, "counts: passed=9 failed=0 skipped=0\n" + TOLD), (2, 0, 1, ""))

    def test_a_bad_end_is_a_failure_though_all_its_tests_passed(self):
        self.assertEqual(counted_of(66, TOLD), (2, 1, 1, "ended with 66 after its counts"))
        self.assertEqual(counted_of(-11, ""), (0, 1, 0, "ended with -11 without counts"))

    def test_what_it_counts_as_failed_is_not_counted_twice(self):
        self.assertEqual(counted_of(1, "counts: passed=2 failed=3 skipped=0\n"), (2, 3, 0, ""))

    def test_a_program_that_tells_nothing_or_does_not_end_is_a_failure(self):
        self.assertEqual(counted_of(0, "all well\n"), (0, 1, 0, "told no counts"))
        self.assertEqual(counted_of(0, "built\n", counts=False), (0, 0, 0, ""))
        self.assertEqual(counted_of(None, TOLD), (2, 1, 1, "ran out of time"))

    def test_the_counts_of_pytest_are_those_of_its_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "result.xml"
            path.write_text('<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"/></testsuites>')
            self.assertEqual(counted_of(1, "", xml=path), (3, 2, 2, ""))
            self.assertEqual(counted_of(2, "", xml=path.with_name("none.xml"))[1], 1)


class Run(unittest.TestCase):
    """A run of stages that are made up: what it prints, and how it ends."""

    def run_stages(self, *arguments, **scripts):
        """The printed lines, and the exit code, of stages that run these shell scripts."""
        made = {name: (20, [], lambda word, name=name, text=text: [stages.Program(name, ["sh", "-c", text])])
                for name, text in scripts.items()}
        printed = io.StringIO()
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder, mock.patch.object(stages, "STAGES", made), \
                mock.patch.object(stages, "LOGS", pathlib.Path(folder)), \
                mock.patch.object(sys, "argv", ["stages.py", *arguments]), contextlib.redirect_stdout(printed):
            code = stages.main()
        return printed.getvalue().splitlines(), code

    def test_each_stage_tells_its_seconds_and_the_last_line_is_the_sum(self):
        lines, code = self.run_stages("--stage", "made-", **{
            "made-one": "echo 'counts: passed=4 failed=0 skipped=0'",
            "made-other": "echo 'SKIP that: no such thing here'; echo 'counts: passed=1 failed=0 skipped=2'"})
        self.assertEqual((lines[-1], code), ("5 passed, 0 failed, 2 skipped", 0))
        for name, counts in (("made-one", "4 passed 0 failed 0 skipped"), ("made-other", "1 passed 0 failed 2 skipped")):
            self.assertTrue(any(re.fullmatch(rf"\[{name}\] \d+\.\d s: {counts}", line) for line in lines), lines)
        self.assertIn("  SKIP that: no such thing here", lines)
        self.assertEqual(sum(bool(re.match(r"\d+ passed, ", line)) for line in lines), 1, "no other line looks like the last")

    def test_one_failure_makes_the_run_fail_and_is_shown(self):
        lines, code = self.run_stages("--stage", "made-", **{
            "made-good": "echo 'counts: passed=4 failed=0 skipped=0'",
            "made-bad": "echo 'why it went wrong'; echo '4 passed, 0 failed, 0 skipped'; exit 3"})
        self.assertEqual((lines[-1], code), ("4 passed, 1 failed, 0 skipped", 1))
        self.assertIn("why it went wrong", lines)
        self.assertEqual(sum(bool(re.match(r"\d+ passed, ", line)) for line in lines), 1)

    def test_a_run_in_which_nothing_passed_is_no_success(self):
        self.assertEqual(self.run_stages("--stage", "made-nothing")[1], 1)

    def test_what_a_program_left_running_is_ended(self):
        with tempfile.TemporaryDirectory() as folder:
            left = pathlib.Path(folder) / "left"
            lines, _ = self.run_stages("--stage", "made-", **{
                "made-one": f"sleep 300 & echo $! > '{left}'; echo 'counts: passed=1 failed=0 skipped=0'"})
            self.assertEqual(lines[-1], "1 passed, 0 failed, 0 skipped")
            deadline = time.monotonic() + 10
            while runs(left.read_text().strip()) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertFalse(runs(left.read_text().strip()))


class Stages(unittest.TestCase):
    """The stages of make test."""

    def test_everything_there_is_is_among_them(self):
        needs = {name: kinds for name, (_, kinds, _) in stages.STAGES.items()}
        for name, kind in (("unit-asan", "asan"), ("api-asan", "asan"), ("sim", "asan"), ("fuzz", "asan"), ("e2e", "asan"),
                           ("crash", "release"), ("unit-tsan", "tsan"), ("api-tsan", "tsan")):
            self.assertIn(kind, needs[name])
        for folder in ("e2e", "crash", "conformance", "wire"):
            self.assertTrue(list((ROOT / "tests" / folder).glob("test_*.py")), folder)
            self.assertIn(folder, stages.STAGES)

    def test_every_fuzzer_is_built_has_seeds_and_names_what_it_reads(self):
        folder = ROOT / "tests" / "fuzz"
        written = {path.stem for path in folder.glob("*.c") if re.search(r"^void fuzz_run\(", path.read_text(encoding="utf-8"), re.M)}
        built = set(re.findall(r"^  '(\w+)': \[files", (folder / "meson.build").read_text(encoding="utf-8"), re.M))
        seeds = (folder / "seeds.py").read_text(encoding="utf-8")
        self.assertTrue(written)
        self.assertEqual(written, built)
        self.assertEqual(written, set(fuzz.NAMES))
        self.assertEqual(written, set(re.findall(r"^def seeds_(\w+)\(", seeds, re.M)))
        for files in fuzz.READERS.values():
            for path in files:
                self.assertTrue((ROOT / "src" / path).is_file(), path)

    def test_the_builds_have_the_sanitizers_that_they_are_called_after(self):
        script = (ROOT / "scripts" / "build").read_text(encoding="utf-8")
        self.assertRegex(script, r"\nasan\) .*-Db_sanitize=address,undefined")
        self.assertRegex(script, r"\ntsan\) .*-Db_sanitize=thread")
        self.assertEqual({kind: len(faults) for kind, faults in stages.PLANTED.items()}, {"asan": 2, "tsan": 1})


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
