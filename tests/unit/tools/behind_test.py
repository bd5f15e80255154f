"""tools/behind.py: a pin that is older than what Debian has is named, and one that is not is not."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import behind  # noqa: E402

PLAIN = "Package: curl\nBinary: curl\nVersion: 7.88.1-10+deb12u5\n\nPackage: zlib\nVersion: 1:1.2.13.dfsg-1\n"
SECURITY = "Package: curl\nVersion: 7.88.1-10+deb12u15\n\nPackage: other\nVersion: 9\n"
INDEXES = {"bookworm": PLAIN, "bookworm-security": SECURITY}
TRACKER = {
    "curl": {
        "CVE-1": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "7.88.1-10+deb12u15", "urgency": "high"}}},
        "CVE-2": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
        "CVE-3": {"releases": {"bookworm": {"status": "open", "urgency": "medium"}}},
        "CVE-4": {"releases": {"trixie": {"status": "open", "urgency": "high"}}},
        "CVE-5": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "high"}}},
    }
}


class Archive(unittest.TestCase):
    def test_the_newest_of_all_suites_is_held_against_the_pin(self):
        self.assertEqual(behind.behind_archive({"curl": "7.88.1-10+deb12u15", "zlib": "1:1.2.13.dfsg-1"}, INDEXES), [])
        self.assertEqual(behind.behind_archive({"curl": "7.88.1-10+deb12u14"}, INDEXES),
                         ["curl 7.88.1-10+deb12u14 is behind 7.88.1-10+deb12u15 of bookworm-security"])

    def test_versions_are_dpkgs(self):
        self.assertTrue(behind.is_older("1.9", "1.10"))
        self.assertFalse(behind.is_older("1:1.0", "2.0"))

    def test_what_no_list_has_is_named(self):
        self.assertEqual(behind.behind_archive({"gone": "1"}, INDEXES), ["gone 1 is in no list of the archive"])


class Tracker(unittest.TestCase):
    def test_holes_that_are_mended_since_or_open_are_named_and_no_others(self):
        self.assertEqual(behind.known_holes({"curl": "7.88.1-10+deb12u14"}, TRACKER), [
            "curl 7.88.1-10+deb12u14 has CVE-1, which 7.88.1-10+deb12u15 mends",
            "curl 7.88.1-10+deb12u14 has CVE-3, which Debian has not mended"])
        self.assertEqual(behind.known_holes({"curl": "7.88.1-10+deb12u15"}, TRACKER),
                         ["curl 7.88.1-10+deb12u15 has CVE-3, which Debian has not mended"])


class Whole(unittest.TestCase):
    def run_with(self, version, *words):
        pin = f"debian curl {version} curl.tar.gz {'a' * 64} curl 7.88.1 curl\n"
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "tools").mkdir()
            (place / "tools" / "sources.txt").write_text(pin)
            (place / "bookworm-security.sources").write_text(SECURITY)
            (place / "tracker.json").write_text(json.dumps(TRACKER))
            words = [word.format(place) for word in (*words, "{}/bookworm-security.sources")]
            out = io.StringIO()
            with mock.patch.object(behind, "ROOT", place), mock.patch.object(behind, "linked_packages", dict), \
                    mock.patch.object(sys, "argv", ["behind.py", *words]), contextlib.redirect_stdout(out):
                return behind.main(), out.getvalue()

    def test_it_ends_badly_where_something_is_behind_and_says_what_it_could_not_judge(self):
        code, said = self.run_with("7.88.1-10+deb12u15")
        self.assertEqual(code, 0)
        self.assertIn("skipped: Debian's security tracker", said)
        code, said = self.run_with("7.88.1-10+deb12u14")
        self.assertEqual(code, 1)
        self.assertIn("is behind", said)

    def test_with_the_tracker_nothing_is_skipped(self):
        code, said = self.run_with("7.88.1-10+deb12u15", "--tracker", "{}/tracker.json")
        self.assertEqual((code, "skipped" in said), (1, False))
        self.assertIn("CVE-3", said)


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
