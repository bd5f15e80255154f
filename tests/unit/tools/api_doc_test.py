"""docs/api.md: every numbered statement names tests, every test that it names exists, and so does every setting."""
import pathlib
import re
import sys
import unittest

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
STATEMENT = re.compile(r"^- \*\*(\d+)\.(\d+)\*\* (.*?)(?=^- \*\*|^## |\Z)", re.M | re.S)
NAMED = re.compile(r"`([a-z0-9_/]+\.(?:py|c)) (\w+)`")


def statements(text):
    """[((section, number), words)] of a page."""
    return [((int(found[1]), int(found[2])), found[3]) for found in STATEMENT.finditer(text)]


def exists(file, name):
    path = ROOT / "tests" / file
    if not path.is_file():
        return False
    form = rf"^def {name}\(" if file.endswith(".py") else rf"^TEST\({name}\)"
    return re.search(form, path.read_text(encoding="utf-8"), re.M) is not None


def faults(text):
    """What is wrong with a page."""
    found, seen = [], []
    for place, words in statements(text):
        name = "%d.%d" % place
        tests = NAMED.findall(words)
        if not tests:
            found.append(f"{name} names no test")
        found += [f"{name}: there is no {file} {test}" for file, test in tests if not exists(file, test)]
        seen.append(place)
    for section in {place[0] for place in seen}:
        numbers = [number for part, number in seen if part == section]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"section {section} is numbered {numbers}")
    return found


class ApiDoc(unittest.TestCase):
    """The page, and what the check sees in a page that is wrong."""

    @classmethod
    def setUpClass(cls):
        cls.text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

    def test_every_statement_names_tests_that_exist(self):
        self.assertEqual(faults(self.text), [])
        self.assertGreater(len(statements(self.text)), 70)

    def test_every_statement_is_seen(self):
        self.assertEqual(len(re.findall(r"^- \*\*\d+\.\d+", self.text, re.M)), len(statements(self.text)))

    def test_a_statement_without_a_test_is_seen(self):
        self.assertEqual(faults("- **1.1** So it is.\n"), ["1.1 names no test"])

    def test_a_test_that_is_not_there_is_seen(self):
        page = "- **1.1** So it is. `e2e/test_auth.py test_nobody`\n"
        self.assertEqual(faults(page), ["1.1: there is no e2e/test_auth.py test_nobody"])

    def test_a_gap_in_the_numbers_is_seen(self):
        page = "- **1.2** So. `e2e/test_openapi.py test_every_example_fits_its_schema`\n"
        self.assertEqual(faults(page), ["section 1 is numbered [2]"])

    def test_settings_that_are_named_exist(self):
        table = (ROOT / "contracts" / "settings.tbl").read_text(encoding="utf-8")
        known = set(re.findall(r"^SETTING\((\w+),", table, re.M))
        named = set(re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b", self.text))
        self.assertEqual(named - known, set())


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
