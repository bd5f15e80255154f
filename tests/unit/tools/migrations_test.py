"""tools/migrations: what a new migration may not do while older programs run, each beside what it may."""
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("migrations_check", ROOT / "tools" / "migrations" / "check.py")
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

# (refused, a word of why, the allowed one beside it)
PAIRS = [
    ("drop table orders;", "drops a table", "create table parcels (id uuid primary key not null);"),
    ("DROP TABLE IF EXISTS orders;", "drops a table", "create table if not exists parcels (id uuid not null unique);"),
    ("alter table orders drop column reason;", "drops a column", "alter table orders add column note text;"),
    ("alter table orders drop reason;", "drops a column", "alter table orders add note text;"),
    ("alter table orders rename column reason to why;", "renames a column", "alter table orders add column why text not null default '';"),
    ("alter table orders rename reason to why;", "renames a column", "alter table orders add why text not null default '';"),
    ("alter table orders rename to purchases;", "renames a table", "create table purchases (id uuid);"),
    ("alter table orders add column why text not null;", "without a default", "alter table orders add column why text;"),
    ("alter table orders add why text collate \"C\" not null check (why <> '');", "without a default",
     "alter table orders add why text not null default 'none' check (why <> '');"),
    ("alter table orders add column a bigint, add column b bigint not null;", "adds b `not null`",
     "alter table orders add column a bigint, add column b bigint not null default (1 + 2);"),
    ("alter table orders alter column reason set not null;", "makes a column `not null`", "alter table orders alter column reason drop not null;"),
    ("alter table orders alter column total_minor type integer;", "changes a type", "alter table orders add column total_big bigint;"),
    ("alter table orders alter reason set data type text;", "changes a type", "alter table orders alter reason set default '';"),
    ("alter table orders alter column reason drop default;", "drops a default", "alter table orders alter column reason set default 'x';"),
    ("alter table orders drop constraint orders_pkey;", "drops a constraint", "alter table orders set (fillfactor = 35);"),
    ("alter table orders add constraint c check (total_minor > 0);", "adds a check",
     "alter table orders add constraint c check (total_minor > 0) not valid;"),
    ("alter table orders add constraint c unique (customer);", "adds a constraint", "create index c on orders (customer);"),
    ("alter table orders add foreign key (customer) references users (id);", "adds a constraint",
     "create table parcels (id uuid, order_id uuid references orders (id));"),
    ("create unique index one on orders (customer);", "makes a unique index",
     "create table parcels (id uuid);\ncreate unique index one on parcels (id);"),
    ("truncate orders;", "empties a table", "update orders set reason = '' where reason = 'x';"),
    ("delete from orders;", "empties a table", "delete from orders where created_at < 5;"),
    ("drop type mood;", "older programs may use", "drop index orders_on_hold;"),
    ("drop view seen;", "drops a view", "create view seen as select id from orders;"),
    # Words in texts, names and comments are no statements.
    ("-- harmless\ndrop /* really */ table orders;", "drops a table", "-- drop table orders;\nselect 'drop table orders; drop table users';"),
]


def found(text, fresh=(), queries=""):
    return [f"{one.line}: {one.message}" for one in check.check_text("x.sql", text, set(fresh), queries)]


class Statements(unittest.TestCase):
    """One migration."""

    def test_each_refusal_stands_beside_what_is_allowed(self):
        for refused, why, allowed in PAIRS:
            with self.subTest(refused):
                self.assertTrue(any(why in one for one in found(refused)), found(refused))
                self.assertEqual(found(allowed), [])

    def test_what_a_change_made_itself_it_may_change(self):
        text = "create table draft (id uuid);\nalter table draft rename to parcels;\ndrop table draft;\n"
        self.assertEqual(found(text), [])
        self.assertEqual(len(found(text.split("\n", 1)[1])), 2)

    def test_the_place_is_that_of_the_statement(self):
        self.assertEqual([one.split(":")[0] for one in found("-- words\n\nselect 1;\n\n-- more\ndrop table a;\ndrop table b;")], ["6", "7"])

    def test_a_contract_step_says_why_and_waits_until_nobody_reads(self):
        step = "-- contract: 0.4 reads orders.why instead\nalter table orders drop column reason;"
        self.assertEqual(found(step, queries="select why from orders"), [])
        refused = found(step, queries="select reason from orders")
        self.assertEqual(len(refused), 1)
        self.assertIn("name `reason`: ship one that does not first", refused[0])
        # A marker counts for the statement behind it alone, and needs a reason.
        self.assertEqual(len(found(step + "\ndrop table other;")), 1)
        self.assertEqual(len(found("-- contract:\ndrop table other;")), 1)
        self.assertEqual(len(found("-- contract: x\nselect 1;\ndrop table other;")), 1)

    def test_the_migrations_there_are_expand_but_for_three_steps_before_the_first_release(self):
        taken = {path.relative_to(ROOT).as_posix(): found(path.read_text(encoding="utf-8")) for path in ROOT.glob("src/**/migrations/*/*.sql")}
        self.assertGreater(len(taken), 20)
        self.assertEqual(sorted(path for path, findings in taken.items() if findings), [
            "src/chassis/migrations/postgresql/0006_in_place.sql",
            "src/services/products/migrations/postgresql/0002_spooled_imports.sql",
            "src/services/products/migrations/sqlite/0002_spooled_imports.sql"])


class Names(unittest.TestCase):
    """What both engines have."""

    ROOM = "src/services/orders/migrations"

    def names(self, *new):
        there = {f"{self.ROOM}/{dialect}/0001_orders.sql" for dialect in check.DIALECTS}
        new = [f"{self.ROOM}/{name}" for name in new]
        return [str(one) for one in check.check_names(new, there | set(new))]

    def test_a_migration_is_in_both_engines_under_the_next_number(self):
        self.assertEqual(self.names("sqlite/0002_x.sql", "postgresql/0002_x.sql"), [])
        self.assertIn("has no src/services/orders/migrations/postgresql/0002_x.sql", self.names("sqlite/0002_x.sql")[0])
        self.assertIn("has no", self.names("sqlite/0002_x.sql", "postgresql/0002_y.sql")[0])
        self.assertIn("leaves out number 0002", self.names("sqlite/0003_x.sql", "postgresql/0003_x.sql")[0])
        self.assertIn("has the number of", self.names("sqlite/0001_x.sql", "postgresql/0001_x.sql")[0])
        self.assertIn("is no migration by its name", self.names("sqlite/x.sql")[0])


class Commits(unittest.TestCase):
    """A real repository: what HEAD has and the base has not."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.enterContext(mock.patch.object(check, "ROOT", self.folder))
        check.git("init", "-q")
        self.write("queries.sql", "-- load: one\nselect reason from orders where id = $1;\n")
        self.both("0001_orders.sql", "create table orders (id uuid, reason text);\n")
        self.base = self.commit()

    def write(self, name, text):
        path = self.folder / "src/services/orders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def both(self, name, text):
        for dialect in check.DIALECTS:
            self.write(f"migrations/{dialect}/{name}", text)

    def commit(self):
        check.git("add", "-A")
        check.git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "x")
        return check.git("rev-parse", "HEAD").strip()

    def test_a_change_that_expands_passes_and_one_that_takes_away_is_refused(self):
        self.both("0002_why.sql", "alter table orders add column why text;\n")
        expanded = self.commit()
        self.assertEqual(check.check_base(self.base), ([], 2))
        self.both("0003_gone.sql", "-- contract: 0.4 reads why\nalter table orders drop column reason;\n")
        self.commit()
        found_here, count = check.check_base(expanded)
        self.assertEqual((len(found_here), count), (2, 2))
        self.assertIn("name `reason`", found_here[0].message)

    def test_the_drop_passes_one_version_later(self):
        self.write("queries.sql", "-- load: one\nselect why from orders where id = $1;\n")
        shipped = self.commit()
        self.both("0002_gone.sql", "-- contract: 0.4 reads why\nalter table orders drop column reason;\n")
        self.commit()
        self.assertEqual(check.check_base(shipped), ([], 2))
        self.assertEqual(len(check.check_base(self.base)[0]), 2)

    def test_a_migration_that_ran_stays_as_it_is(self):
        self.both("0001_orders.sql", "create table orders (id uuid, reason text, more text);\n")
        self.commit()
        found_here, count = check.check_base(self.base)
        self.assertEqual((len(found_here), count), (2, 0))
        self.assertIn("was changed", found_here[0].message)

    def test_a_base_that_is_not_there_is_told(self):
        with self.assertRaises(SystemExit) as caught:
            check.check_base("f" * 40)
        self.assertIn("tools/migrations: git", str(caught.exception))
        done = subprocess.run([sys.executable, "-B", str(ROOT / "tools/migrations/check.py")], capture_output=True, text=True)
        self.assertIn("give files, or --base COMMIT", done.stderr)


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
