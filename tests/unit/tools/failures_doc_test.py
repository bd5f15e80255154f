"""docs/failures.md: a table without a hole, and each of its cells names the test of that cell, which exists."""
import pathlib
import re
import sys
import unittest

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
COLUMNS = {"browse": "browse", "log in": "log_in", "use a live token": "use_a_token", "place": "place",
           "read own order": "read", "pay (recorded by staff)": "pay"}
ROWS = {"the broker (RabbitMQ)": "the_broker", "Users' database": "users", "Products' database": "products",
        "Orders' database": "orders", "Redis": "redis", "the payment provider's answer": "the_provider",
        "one of two gateways": "a_gateway",
        "`duka-users`": "the_users_program", "`duka-products`": "the_products_program",
        "`duka-orders`": "the_orders_program"}


def rows(text):
    """The cells of each line of the table, without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def faults(text, tests):
    """What is wrong with the page, by the text of the tests."""
    table = rows(text)
    if not table or table[0][1:] != list(COLUMNS) or [row[0] for row in table[1:]] != list(ROWS):
        return ["the table has other rows or columns"]
    found = []
    for row in table[1:]:
        for column, cell in zip(table[0][1:], row[1:]):
            name = f"test_{COLUMNS[column]}_without_{ROWS[row[0]]}"
            if re.findall(r"`(test_\w+)`", cell) != [name]:
                found.append(f"{row[0]} × {column} names not {name} alone")
            elif not cell.replace(f"`{name}`", "").strip():
                found.append(f"{row[0]} × {column} says nothing")
            if not re.search(rf"^def {name}\(", tests, re.M):
                found.append(f"there is no {name}")
    return found


class FailuresDoc(unittest.TestCase):
    """The page, and what the check sees in a page that is wrong."""

    @classmethod
    def setUpClass(cls):
        cls.text = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
        cls.tests = (ROOT / "tests" / "wire" / "test_failures.py").read_text(encoding="utf-8")

    def test_each_cell_names_its_test(self):
        self.assertEqual(faults(self.text, self.tests), [])

    def test_a_cell_without_its_test_is_seen(self):
        page = self.text.replace("`test_pay_without_users`", "")
        self.assertEqual(len(faults(page, self.tests)), 1)
        page = self.text.replace("works `test_pay_without_users`", "`test_pay_without_users`")
        self.assertEqual(len(faults(page, self.tests)), 1)

    def test_a_test_that_is_not_there_is_seen(self):
        tests = self.tests.replace("def test_pay_without_users(", "def test_pay_without_them(")
        self.assertEqual(faults(self.text, tests), ["there is no test_pay_without_users"])

    def test_a_row_that_is_missing_is_seen(self):
        page = "\n".join(line for line in self.text.splitlines() if not line.startswith("| Redis"))
        self.assertEqual(faults(page, self.tests), ["the table has other rows or columns"])


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
