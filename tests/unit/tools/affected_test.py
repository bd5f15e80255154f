"""tools/affected: which services a change touches, on made-up changes of each floor, and what a planted fault of the tool breaks."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "affected"))

import affected  # noqa: E402
import graph  # noqa: E402
from meson import MesonError, Reader  # noqa: E402

ALL = ["users", "products", "orders", "gateway", "duka"]

# (what is changed, whom it touches): each floor, each kind of file.
CHANGES = [
    ("floor 0", ["src/base/str.c"], ALL),
    ("floor 0, a header", ["src/base/money.h"], ALL),
    ("floor 1", ["src/os/net.c"], ALL),
    ("floor 2", ["src/chassis/writer.c"], ALL),
    ("floor 2, a migration", ["src/chassis/migrations/postgresql/0001_bookkeeping.sql"], ALL),
    ("one service", ["src/services/orders/order.c"], ["orders", "duka"]),
    ("a header of one service", ["src/services/products/stock.h"], ["products", "duka"]),
    ("its queries", ["src/services/users/queries.sql"], ["users", "duka"]),
    ("its migration", ["src/services/orders/migrations/sqlite/0001_orders.sql"], ["orders", "duka"]),
    ("its provider's migration", ["src/services/orders/providers/migrations/postgresql/0001_simulator.sql"], ["orders", "duka"]),
    ("its mails", ["src/services/users/mails/verify.html"], ["users", "duka"]),
    ("its image", ["src/services/orders/Dockerfile"], ["orders"]),
    ("its sources' list", ["src/services/orders/meson.build"], ["orders", "duka"]),
    ("the gateway", ["src/services/gateway/routes.c"], ["gateway", "duka"]),
    ("the gateway's page", ["src/services/gateway/docs.html"], ["gateway", "duka"]),
    ("two services", ["src/services/users/api.c", "src/services/products/api.c"], ["users", "products", "duka"]),
    ("a file of a service that is gone", ["src/services/orders/was_here.c"], ["orders", "duka"]),
    # Orders asks Products by its client and reacts to its events; the gateway has the routes. Users hears nothing of Products.
    ("a contract, its neighbours' clients", ["contracts/products/v1/products.proto"], ["products", "orders", "gateway", "duka"]),
    # Users and Products react to Orders' events.
    ("a contract, whoever reacts", ["contracts/orders/v1/orders.proto"], ALL),
    # Every program that runs apart follows Users' keys and revocations by its client.
    ("a contract that all programs call", ["contracts/users/v1/users.proto"], ALL),
    ("what contracts share", ["contracts/duka/common.proto"], ALL),
    ("errors", ["contracts/errors.tbl"], ALL),
    ("settings", ["contracts/settings.tbl"], ALL),
    ("a generator", ["tools/contracts/c_tables.py"], ALL),
    ("a program", ["src/apps/orders.c"], ["orders"]),
    ("a service as programs see it", ["src/apps/member_users.c"], ["users", "duka"]),
    ("the whole shop", ["src/apps/duka.c"], ["duka"]),
    ("the operator's tool", ["src/apps/dukactl.c"], ["duka"]),
    ("the public door", ["src/apps/front.c"], ["gateway", "duka"]),
    ("the chassis of programs", ["src/apps/program.c"], ALL),
    ("how all is built", ["meson.build"], ALL),
    ("how all is built, a script", ["scripts/build"], ALL),
    ("pinned sources", ["tools/sources.txt"], ALL),
    ("documents", ["README.md", "docs/api.md", "src/services/orders/README.md"], []),
    ("tests", ["tests/unit/services/orders/order_test.c", "tests/e2e/test_orders.py"], []),
    ("what was shipped", ["deploy/gitops/dev/orders/kustomization.yaml"], []),
    ("a pipeline", [".github/workflows/service.yml", ".gitlab/orders.yml", "jenkins/orders/Jenkinsfile"], []),
    ("documents and a service", ["README.md", "src/services/users/user.c"], ["users", "duka"]),
    ("a file that nobody knows", ["what/is/this.xyz"], ALL),
    ("nothing", [], []),
]

# Tests that changed: whose tests are to be run.
TESTED = [
    ("of one service", ["tests/unit/services/orders/order_test.c"], ["orders"]),
    ("of one service, as a whole", ["tests/api/users_test.c"], ["users"]),
    ("of one service, from outside", ["tests/e2e/test_products.py"], ["products"]),
    ("of a lower floor", ["tests/unit/base/str_test.c"], ALL),
    ("of all", ["tests/e2e/test_sessions.py"], ALL),
    ("documents are no tests", ["tests/clients/README.md"], []),
]


def git(folder, *words):
    return subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True,
                          capture_output=True, text=True).stdout.strip()


class MadeUpChanges(unittest.TestCase):
    """The table above, over this project."""

    judge = affected.Judge(ROOT)

    def test_each_change_touches_whom_it_should(self):
        for name, paths, expected in CHANGES:
            with self.subTest(name):
                self.assertEqual(affected.affected(ROOT, paths, judge=self.judge), expected)

    def test_a_changed_test_is_run_and_ships_nothing(self):
        for name, paths, expected in TESTED:
            with self.subTest(name):
                self.assertEqual(affected.affected(ROOT, paths, judge=self.judge), [])
                self.assertEqual(affected.affected(ROOT, paths, with_tests=True, judge=self.judge), expected)

    def test_every_file_of_the_table_is_there_or_said_to_be_gone(self):
        told = {"src/services/orders/was_here.c", "what/is/this.xyz", "deploy/gitops/dev/orders/kustomization.yaml",
                ".gitlab/orders.yml", "jenkins/orders/Jenkinsfile", ".github/workflows/service.yml"}
        for path in {path for _, paths, _ in CHANGES + TESTED for path in paths} - told:
            self.assertTrue((ROOT / path).is_file(), path)

    def test_planted_blindness_for_includes_misses_neighbours_clients(self):
        with mock.patch.object(graph.Graph, "includes_of", lambda self, path: []):
            blind = affected.Judge(ROOT)
        wrong = [name for name, paths, expected in CHANGES if affected.affected(ROOT, paths, judge=blind) != expected]
        self.assertIn("a contract, its neighbours' clients", wrong)


class Copy(unittest.TestCase):
    """A copy of what the tool reads, committed, for tests that change it; each begins with it as it was."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for name in ("src", "contracts", "tools", "deploy/docker"):
            shutil.copytree(ROOT / name, cls.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        git(cls.folder, "init", "-q")
        cls.first = cls.commit()

    def setUp(self):
        git(self.folder, "checkout", "-q", "--force", "--detach", self.first)

    @classmethod
    def commit(cls, path=None, text="\n"):
        if path:
            (cls.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with open(cls.folder / path, "a", encoding="utf-8") as file:
                file.write(text)
        git(cls.folder, "add", "-A")
        git(cls.folder, "commit", "-q", "-m", "x")
        return git(cls.folder, "rev-parse", "HEAD")

    def edit(self, path, change):
        file = self.folder / path
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


class WhatCannotBeRead(Copy):
    """Then every service counts as changed."""

    def test_a_build_file_that_is_not_understood_touches_all(self):
        self.assertEqual(affected.affected(self.folder, ["src/services/orders/order.c"]), ["orders", "duka"])
        self.edit("src/apps/meson.build", lambda text: text + "\nforeach x : [1]\n")
        with mock.patch("sys.stderr"):
            self.assertEqual(affected.affected(self.folder, ["src/services/orders/order.c"]), ALL)

    def test_an_image_whose_program_is_not_named_touches_all(self):
        self.edit("src/services/orders/Dockerfile", lambda text: "FROM scratch\n")
        with mock.patch("sys.stderr"):
            self.assertEqual(affected.affected(self.folder, ["README.md"]), ALL)

    def test_a_new_include_between_services_is_followed(self):
        changed = ["src/services/products/stock.h"]
        self.assertEqual(affected.affected(self.folder, changed), ["products", "duka"])
        self.edit("src/services/users/api.c", lambda text: '#include "services/products/stock.h"\n' + text)
        self.assertEqual(affected.affected(self.folder, changed), ["users", "products", "duka"])

    def test_whoever_publishes_has_the_contracts_of_those_who_listen(self):
        changed = ["contracts/orders/v1/orders.proto"]
        self.edit("contracts/users/v1/users.proto", lambda text: text.replace('reacts: "orders.v1.OrderNews"', ""))
        # Users reacts to nothing of Orders any more, and announces what Orders listens to.
        self.assertIn("users", affected.affected(self.folder, changed))
        with mock.patch.object(graph.Graph, "event_contracts", lambda self, units: set()):  # planted: blind for that
            self.assertNotIn("users", affected.affected(self.folder, changed))


class Commits(Copy):
    """What changed is asked of git."""

    def ask(self, *words):
        script = ROOT / "tools/affected/affected.py"
        done = subprocess.run([sys.executable, "-B", str(script), "--root", str(self.folder), *words], capture_output=True, text=True)
        return done.stdout.split() if done.returncode == 0 else done.stderr

    def test_a_range_is_what_differs_between_two_commits(self):
        self.commit("src/services/orders/order.c")
        self.assertEqual(self.ask("--base", self.first), ["orders", "duka"])
        self.assertEqual(self.ask("--base", "HEAD"), [])
        self.assertEqual(self.ask("--base", self.first, "--is", "orders"), ["yes"])
        self.assertEqual(self.ask("--base", self.first, "--is", "users"), ["no"])

    def test_a_renamed_file_counts_where_it_was_and_where_it_is(self):
        git(self.folder, "mv", "src/services/orders/README.md", "src/services/users/user_notes.c")
        self.commit()
        self.assertEqual(self.ask("--base", self.first), ["users", "duka"])

    def test_a_branch_is_compared_with_where_it_left(self):
        git(self.folder, "checkout", "-q", "-b", "branch", self.first)
        self.commit("src/services/orders/order.c")
        git(self.folder, "checkout", "-q", "-b", "other", self.first)
        other = self.commit("src/services/users/user.c")
        git(self.folder, "checkout", "-q", "branch")
        self.assertEqual(self.ask("--base", other), ["orders", "duka"])
        # An older tree against a newer one is what differs: it goes back.
        newer = self.commit("src/services/orders/order.c")
        git(self.folder, "checkout", "-q", "--detach", self.first)
        self.assertEqual(self.ask("--base", newer), ["orders", "duka"])

    def test_a_base_that_is_not_there_touches_all(self):
        self.assertEqual(self.ask("--base", "0" * 40), ALL)
        self.assertEqual(self.ask("--base", "f" * 40), ALL)

    def test_what_a_service_shipped_last_is_its_base(self):
        self.assertEqual(self.ask("--shipped"), ALL)
        for name in ALL:
            self.commit(f"deploy/gitops/dev/{name}/kustomization.yaml", f"commonAnnotations:\n  duka.dev/commit: {self.first}\n")
        self.assertEqual(self.ask("--shipped"), [])
        users = self.commit("src/services/users/user.c")
        orders = self.commit("src/services/orders/order.c")
        self.assertEqual(self.ask("--shipped"), ["users", "orders", "duka"])
        # Orders ships; Users' pipeline failed, and the whole shop's did: a later change does not make them forgotten.
        path = self.folder / "deploy/gitops/dev/orders/kustomization.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace(self.first, orders), encoding="utf-8")
        self.commit()
        self.assertEqual(self.ask("--shipped"), ["users", "duka"])
        self.assertNotEqual(users, orders)

    def test_what_is_asked_wrongly_is_told(self):
        self.assertIn("give paths, or --base COMMIT, or --shipped", self.ask())
        self.assertIn("invalid choice: 'order'", self.ask("--shipped", "--is", "order"))


class BuildFiles(unittest.TestCase):
    """The reader of meson.build."""

    def read(self, text):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (pathlib.Path(folder.name) / "meson.build").write_text(text, encoding="utf-8")
        reader = Reader(folder.name)
        reader.run("")
        return reader

    def test_programs_have_the_sources_of_all_that_they_are_linked_with(self):
        reader = self.read("""
low = static_library('low', 'low.c')  # the floor
low_dep = declare_dependency(link_with: low, dependencies: [dependency('threads')])
parts = { 'a': [files('a.c'), low_dep], 'b': [files('b.c'), []] }
members = {}
foreach name, part : parts
  lib = static_library('member_' + name, part[0], dependencies: [part[1]])
  members += { name: declare_dependency(link_with: lib) }
endforeach
if host_machine.system() == 'linux' and not false
  extra = files('never.c')
elif 'a' in ['a']
  extra = files('extra.c')
else
  extra = files('never.c')
endif
executable('one', 'one.c', extra, dependencies: [members['a'], declare_dependency(sources: files('more.c'))])
executable('two', 'two.c', dependencies: members['b'])
""")
        self.assertEqual(reader.programs["one"].all_sources(), {"one.c", "extra.c", "a.c", "low.c", "more.c"})
        self.assertEqual(reader.programs["two"].all_sources(), {"two.c", "b.c"})

    def test_what_is_generated_knows_what_it_is_made_from(self):
        reader = self.read("""
inputs = files('a.tbl')
inputs += files('b' + '.tbl', root / 'c' / 'd.tbl')
custom_target('x', input: inputs, output: ['x.h', 'x.c'], depend_files: files('gen.py'), command: [python, '@INPUT@'])
""")
        self.assertEqual(sorted(reader.made["x.h"].inputs), ["a.tbl", "b.tbl", "c/d.tbl", "gen.py"])

    def test_a_mistake_is_told_with_its_place(self):
        for text, words in [("a = [1, 2\n", "meson.build:"), ("if true\na = 1\n", "elif or else or endif is missing"),
                            ("x = `a`\n", "meson.build:1: this reader does not know '`a`"), ("foreach a [1]\n", "':' was expected")]:
            with self.assertRaises(MesonError) as caught:
                self.read(text)
            self.assertIn(words, str(caught.exception))


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
