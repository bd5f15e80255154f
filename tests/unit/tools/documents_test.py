"""What the documents at the top say of the source is so: files and functions that they name exist, the diff of CONTRIBUTING.md
is the commit's, and the contract holds the surface that was decided."""
import pathlib
import re
import subprocess
import sys
import unittest

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONTRACTS = sorted((ROOT / "contracts").glob("*/v1/*.proto"))

# Where a path that a document names may begin.
ROOMS = ("", "src", "src/base", "src/os", "src/chassis", "src/services", "src/services/orders", "contracts")
PATH = re.compile(r"(?![/.~])[\w./*\[\]-]+(?:/|\.(?:c|h|\[ch\]|sql|tbl|py|proto|md|json|build))")
FUNCTION = re.compile(r"[a-z]+(?:_[a-z]+)+")


def words_of(text):
    """What stands in backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def paths_of(text):
    """The paths that a document names, in backticks, in links and as files of a diff."""
    named = [word.split(": ")[0] for word in words_of(text)]
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    return {word for word in named if PATH.fullmatch(word)} | set(linked) | set(re.findall(r"^\+\+\+ b/(\S+)", text, re.M))


def is_there(path):
    return any(next((ROOT / room).glob(path.rstrip("/")), None) for room in ROOMS)


def functions_of(text):
    """The functions, tables and members that a document names."""
    return {word.split(": ")[-1] for word in words_of(text) if FUNCTION.fullmatch(word.split(": ")[-1])}


def source_words():
    kinds = ("*.c", "*.h", "*.sql", "*.proto", "*.tbl")
    files = [path for room in ("src", "contracts") for kind in kinds for path in (ROOT / room).rglob(kind)]
    return set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))


def hunks_of(diff):
    """{file: its lines} of a diff, without what says nothing of the change."""
    files = {}
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            lines = files.setdefault(line[6:], [])
        elif files and line[:1] in ("+", "-") and not line.startswith("--- "):
            lines.append(line)
    return files


# ---- The surface, as it was decided: who may call what ----

SURFACE = {
    "anyone": """
        POST /users | POST /users/login | POST /users/refresh | POST /users/password/forgot | POST /users/password/reset
        POST /users/email/verify | GET /users/.well-known/jwks.json | GET /products | GET /products/{id}
        GET /products/categories | POST /orders/payments/{provider}/events""",
    "customer": """
        POST /users/logout | GET /users/me | PATCH /users/me | DELETE /users/me
        GET /users/me/addresses | POST /users/me/addresses | GET /users/me/addresses/{id} | PUT /users/me/addresses/{id}
        DELETE /users/me/addresses/{id} | GET /users/me/sessions | DELETE /users/me/sessions/{id} | PUT /users/me/password
        POST /users/me/export | POST /orders | GET /orders | GET /orders/{id} | GET /orders/{id}/timeline
        POST /orders/{id}/cancel""",
    "staff": """
        GET /users | GET /users/{id} | POST /users/{id}/suspend | POST /users/{id}/restore
        POST /products | PATCH /products/{id} | DELETE /products/{id} | POST /products/categories
        PATCH /products/categories/{id} | DELETE /products/categories/{id} | POST /products/imports
        GET /products/imports/{id} | GET /products/export | GET /products/stock/{sku}
        POST /products/stock/{sku}/adjustments | GET /products/stock/{sku}/ledger | POST /orders/{id}/payments
        POST /orders/{id}/fulfilments | POST /orders/{id}/refunds""",
    "admin": "PUT /users/{id}/roles",
    "neighbour": "products Quote | users FindAddress | users ChangesSince | products ChangesSince",
}

# What is known to be missing. A call that comes is taken off here.
MISSING = {"neighbour products ChangesSince"}


def decided():
    return {f"{who} {call.strip()}" for who, calls in SURFACE.items() for call in re.split(r"[|\n]", calls) if call.strip()}


def promised(text):
    """{"who METHOD path"} of a contract; a neighbour's call is named by its service and its own name."""
    calls = set()
    service = re.search(r"^package (\w+)\.v1;", text, re.M)[1]
    for name, body in re.findall(r"^  rpc (\w+)\(.*?\{\n(.*?)^  \}", text, re.M | re.S):
        who = re.search(r'access: "(\w+)"', body)[1]
        routes = re.findall(r'\b(get|post|put|patch|delete): "([^"]+)"', body)
        calls |= {f"{who} {method.upper()} {path}" for method, path in routes} or {f"{who} {service} {name}"}
    return calls


class Documents(unittest.TestCase):
    """The documents, and what the checks see in documents that are wrong."""

    @classmethod
    def setUpClass(cls):
        names = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md", "SECURITY.md")
        cls.texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}

    def test_every_file_that_is_named_exists(self):
        for name, text in self.texts.items():
            self.assertEqual([path for path in paths_of(text) if not is_there(path)], [], name)
        self.assertGreater(len(paths_of(self.texts["ARCHITECTURE.md"])), 25)
        self.assertGreater(len(paths_of(self.texts["CONTRIBUTING.md"])), 10)

    def test_every_function_that_the_walks_name_exists(self):
        words = source_words()
        for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
            foreign = {"pg_xact_status"}  # PostgreSQL's
            self.assertEqual(functions_of(self.texts[name]) - words - foreign, set(), name)
        self.assertGreater(len(functions_of(self.texts["ARCHITECTURE.md"])), 8)

    def test_every_folder_of_the_house_exists(self):
        house = re.search(r"^## The house\n+```\n(.*?)^```", self.texts["ARCHITECTURE.md"], re.M | re.S)[1]
        folders = re.findall(r"^ {0,2}([\w/]+/)", house, re.M)
        self.assertGreaterEqual(len(folders), 8)
        self.assertEqual([folder for folder in folders if not is_there(folder)], [])

    def test_the_defaults_that_the_readme_tells_are_those_of_the_settings(self):
        table = (ROOT / "contracts" / "settings.tbl").read_text(encoding="utf-8")
        known = dict(re.findall(r'^SETTING\((\w+), \w+, "([^"]*)"', table, re.M))
        told = {}
        for names, defaults in re.findall(r"^\| (`[A-Z_`, ]+) \| (`[^|]+`) \|", self.texts["README.md"], re.M):
            told.update(zip(re.findall(r"`(\w+)`", names), re.findall(r"`([^`]+)`", defaults)))
        self.assertEqual(told, {name: known.get(name) for name in told})
        self.assertEqual((told["LISTEN_ADDR"], told["OPS_ADDR"]), ("0.0.0.0:3000", "127.0.0.1:9000"))
        self.assertGreater(len(told), 6)

    def test_each_topology_has_its_command_and_a_test_that_exists(self):
        table = re.search(r"^\| shape \| started by \| held by \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", self.texts["README.md"], re.M)[1]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        self.assertGreaterEqual(len(rows), 9)
        tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
        for shape, command, held in rows:
            self.assertRegex(command, r"^`.*make (run|apart)`$", shape)
            for name in re.findall(r"`(test_\w+)`", held):
                self.assertRegex(tests, rf"(?m)^def {name}\(", shape)
            self.assertRegex(held, r"`(tests/|make test)|the same \[", shape)

    def test_a_file_or_function_that_is_gone_is_seen(self):
        text = "The `chassis/nowhere.c` calls `nobody_calls`; `orders/api.c: orders_create_order` and [this](docs/gone.md)."
        self.assertEqual(sorted(path for path in paths_of(text) if not is_there(path)), ["chassis/nowhere.c", "docs/gone.md"])
        self.assertEqual(functions_of(text) - source_words(), {"nobody_calls"})

    def test_the_diff_that_is_shown_is_that_of_the_commit(self):
        text = self.texts["CONTRIBUTING.md"]
        subject = re.search(r'^The commit "([^"]+)"', text, re.M)[1]
        git = ["git", "-C", str(ROOT), "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"]
        try:
            found = subprocess.run([*git, "log", "--format=%H", "--fixed-strings", "--grep", subject],
                                   capture_output=True, text=True, check=True).stdout.split()
        except (OSError, subprocess.CalledProcessError):
            found = []
        if not found:
            self.skipTest("the commit is not in this history (no git, or a shallow clone)")
        diff = subprocess.run([*git, "show", "--format=", "-U0", "--no-color", "--no-ext-diff", found[-1]],
                              capture_output=True, text=True, check=True).stdout
        made = hunks_of(diff)
        self.assertIn("contracts/openapi/duka.json", made)
        made.pop("contracts/openapi/duka.json")  # the fifth place is not shown
        shown = hunks_of("\n".join(re.findall(r"^```diff\n(.*?)^```", text, re.M | re.S)))
        self.assertEqual(shown, made)
        self.assertGreater(sum(map(len, made.values())), 40)


class Surface(unittest.TestCase):
    """The contract against what was decided."""

    def test_all_that_was_decided_is_in_the_contract_but_what_is_known_to_be_missing(self):
        calls = set().union(*(promised(path.read_text(encoding="utf-8")) for path in CONTRACTS))
        self.assertGreater(len(calls), 45)
        self.assertEqual(sorted(decided() - calls - MISSING), [])
        self.assertEqual(sorted(MISSING & calls), [], "is there now: take it off the list")
        self.assertEqual(sorted(MISSING - decided()), [])

    def test_every_service_answers_for_its_health_and_describes_itself(self):
        for service, package in (("health/v1/health.proto", "grpc.health.v1"),
                                 ("reflection/v1/reflection.proto", "grpc.reflection.v1")):
            self.assertIn(f"package {package};", (ROOT / "contracts" / "grpc" / service).read_text(encoding="utf-8"))

    def test_a_call_that_another_role_may_call_is_seen(self):
        text = (ROOT / "contracts/orders/v1/orders.proto").read_text(encoding="utf-8")
        at = text.index("/fulfilments")
        opened = text[:at] + text[at:].replace('access: "staff"', 'access: "anyone"', 1)
        self.assertEqual(promised(text) - promised(opened), {"staff POST /orders/{id}/fulfilments"})


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
