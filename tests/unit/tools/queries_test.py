"""tools/queries: what it makes of queries and migrations, and how it refuses wrong ones: with the place and what to do.
Run by Meson; an argument runs the tests whose name or file holds it."""
import contextlib
import io
import pathlib
import re
import sqlite3
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "queries"))

import counted  # noqa: E402
import generate  # noqa: E402

CUPS = """create table cups (
    id blob primary key not null,
    name text not null,
    price integer not null,
    chipped_at integer
) strict, without rowid;
"""
INSERT = """-- cup_insert: run
-- id uuid, name text,
-- price int64, chipped_at time?
-- A comment.
insert into cups (id, name, price, chipped_at) values ($1, $2, $3, $4);
"""


def run(queries, migrations=(("0001_cups.sql", CUPS),)):
    """(exit status, what it said, the header, the source)."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "queries.sql").write_text(queries, encoding="utf-8")
        paths = []
        for file, text in migrations:
            (folder / file).write_text(text, encoding="utf-8")
            paths.append(str(folder / file))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = generate.main(["--service", "shop", "--out", str(folder), str(folder / "queries.sql"), *paths])
        if status:
            return status, said.getvalue().replace(name + "/", ""), "", ""
        return status, "", (folder / "shop.sql.h").read_text(), (folder / "shop.sql.c").read_text()


class Made(unittest.TestCase):
    """What good input becomes."""

    def header(self, queries):
        status, said, header, _ = run(queries)
        self.assertEqual((status, said), (0, ""))
        return re.sub(r"\s+", " ", header)

    def source(self, queries):
        return run(queries)[3]

    def test_a_run_has_one_and_many(self):
        header = self.header(INSERT)
        self.assertIn("struct sql_cup_insert { struct uuid id; str name; int64_t price; time_us chipped_at; "
                      "/* or null */ };", header)
        self.assertIn("err sql_cup_insert(struct tx *tx, const struct sql_cup_insert *params, int64_t *changed)", header)
        self.assertIn("err sql_cup_insert_many(struct tx *tx, const struct sql_cup_insert *params, size_t count, "
                      "int64_t *changed)", header)
        self.assertNotIn("sql_tx_", header)

    def test_a_run_without_parameters_has_no_argument_for_them(self):
        header = self.header("-- clear: run\n-- none\n-- Why.\ndelete from cups;\n")
        self.assertIn("err sql_clear(struct tx *tx, int64_t *changed)", header)
        self.assertNotIn("_many", header)
        self.assertEqual(header, self.header("-- clear: run\n-- none\n-- Why.\ndelete from cups;\n"))
        self.assertIn("err sql_clear(struct tx *tx", self.header("-- clear: run\ndelete from cups;\n"))

    def test_reads_have_a_form_for_snapshots_and_one_for_transactions(self):
        row = "struct sql_cup_row *row"
        for kind, out in (("one", row), ("maybe", row + ", bool *found"),
                          ("many", "struct sql_cup_row **rows, size_t *count")):
            header = self.header(f"-- cup: {kind}\n-- id uuid -> name text\nselect name from cups where id = $1;\n")
            self.assertIn("err sql_cup(struct db_reader *reader, struct arena *arena, const struct sql_cup *params, "
                          + out + ")", header)
            self.assertIn(f"err sql_tx_cup(struct tx *tx, const struct sql_cup *params, {out})", header)

    def test_what_returns_rows_of_a_change_is_for_transactions_only(self):
        header = self.header("-- take: maybe\n-- id uuid -> price int64\n"
                             "delete from cups where id = $1 returning price;\n")
        self.assertIn("err sql_tx_take(", header)
        self.assertNotIn("db_reader", header)
        self.assertIn(".writes = true", self.source("-- take: maybe\n-- id uuid -> price int64\n"
                                                    "delete from cups where id = $1 returning price;\n"))

    def test_parameters_are_by_number(self):
        source = self.source("-- up: run\n-- id uuid, price int64\n"
                             "update cups set price = $2, name = '$1 ''--' /* $3 */ -- $4\nwhere id = $1 and price < $2;\n")
        self.assertIn("price = ?2, name = '$1 ''--'", source)
        self.assertIn("where id = ?1 and price < ?2", source)
        self.assertNotIn("$3", source)
        self.assertNotIn("$4", source)

    def test_the_schema_has_queries_and_migrations_in_order(self):
        source = self.source(INSERT)
        self.assertIn('.service = "shop"', source)
        self.assertIn(".queries_count = 1", source)
        self.assertIn('{ 1, "cups",', source)
        self.assertIn('"create table cups (\\n"', source)
        self.assertIn('{ "chipped_at", COLUMN_TIME, true, offsetof(struct sql_cup_insert, chipped_at) }', source)

    def test_the_same_input_gives_the_same_output(self):
        self.assertEqual(run(INSERT), run(INSERT))


    def test_each_asks_for_many_parameters_at_once(self):
        header = self.header("-- c: maybe each\n-- id uuid -> name text\nselect name from cups where id = $1;\n"
                             "-- d: many each\n-- price int64 -> name text\nselect name from cups where price = $1;\n")
        self.assertIn("sql_c_each(struct db_reader *reader, struct arena *arena, const struct sql_c *params, size_t params_count, "
                      "struct sql_c_row *rows, bool *found)", header)
        self.assertIn("sql_tx_d_each(struct tx *tx, const struct sql_d *params, size_t params_count, struct sql_d_row **rows, "
                      "size_t *counts)", header)

    def test_each_is_refused_where_there_is_nothing_to_ask_many_times(self):
        for head in ("run each\n-- id uuid\ndelete from cups where id = $1;\n", "one each\n-- -> n int64\nselect count(*) from cups;\n",
                     "many each\n-- -> name text\nselect name from cups;\n"):
            status, said, _, _ = run("-- c: " + head)
            self.assertEqual(status, 1)
            self.assertIn("`each` asks", said)


class Refused(unittest.TestCase):
    """What wrong input hears: place and remedy."""

    def refuse(self, queries, place, *words, migrations=(("0001_cups.sql", CUPS),)):
        status, said, _, _ = run(queries, migrations)
        self.assertEqual(status, 1, queries)
        self.assertTrue(said.startswith(place + ": "), said)
        for word in words:
            self.assertIn(word, said)

    def test_heads(self):
        self.refuse("-- Cup: run\ndelete from cups;\n", "queries.sql:1", "lower case")
        self.refuse("-- cup: fetch\nselect 1;\n", "queries.sql:1", "run, one, maybe, many")
        self.refuse("select 1;\n", "queries.sql:1", "without a head")
        self.refuse(INSERT + INSERT, "queries.sql:6", "rename one")
        self.refuse(INSERT + INSERT.replace("cup_insert", "cup_insert_many"), "queries.sql:6", "sql_cup_insert_many")

    def test_declarations(self):
        self.refuse("-- c: one\nselect 1;\n", "queries.sql:2", "must declare its columns")
        self.refuse("-- c: run\n-- -> id uuid\ndelete from cups;\n", "queries.sql:2", "gives no columns")
        self.refuse("-- c: one\n-- ->\nselect 1;\n", "queries.sql:2")
        self.refuse("-- c: one\n-- -> n float\nselect 1;\n", "queries.sql:2", "no type 'float'", "uuid, text")
        self.refuse("-- c: one\n-- -> n int64?\nselect 1;\n", "queries.sql:2", "coalesce")
        self.refuse("-- c: one\n-- -> long int64\nselect 1;\n", "queries.sql:2", "another name")
        self.refuse("-- c: one\n-- -> n int64, n int64\nselect 1, 2;\n", "queries.sql:2", "twice")
        self.refuse("-- c: run\n-- Drops all.\ndelete from cups;\n", "queries.sql:2", "`-- none`")

    def test_statements(self):
        self.refuse("-- c: run\ndelete from cups\n", "queries.sql:2", "one statement that ends with `;`")
        self.refuse("-- c: run\ndelete from cups; delete from cups;\n", "queries.sql:2", "one statement")
        self.refuse("-- c: run\ndelete from cups where id = $1;\n", "queries.sql:2", "$1, which is not declared")
        self.refuse("-- c: run\n-- id uuid, n int64\ndelete from cups where id = $1;\n", "queries.sql:3", "never uses $2")
        self.refuse("-- c: run\ndelete from mugs;\n", "queries.sql:2", "SQLite refuses c", "no such table: mugs")
        self.refuse("-- c: run\nselect 1;\n", "queries.sql:2", "changes nothing")

    def test_columns_are_held_against_the_statement(self):
        self.refuse("-- c: many\n-- -> id uuid\nselect id, name from cups;\n", "queries.sql:3", "gives 2 columns")
        self.refuse("-- c: many\n-- -> name text, id uuid\nselect id, name from cups;\n", "queries.sql:3", "same order")

    def test_migrations(self):
        self.refuse(INSERT, "1_cups.sql:1", "NNNN_name.sql", migrations=[("1_cups.sql", CUPS)])
        self.refuse(INSERT, "0002_cups.sql:1", "next number is 0001", migrations=[("0002_cups.sql", CUPS)])
        self.refuse(INSERT, "0002_more.sql:3", "SQLite refuses",
                    migrations=[("0001_cups.sql", CUPS), ("0002_more.sql", "create table a (b integer) strict;\n\noops;\n")])
        self.refuse(INSERT, "0001_cups.sql:1", "STRICT", migrations=[("0001_cups.sql", CUPS.replace("strict, ", ""))])
        self.refuse(INSERT, "0001_cups.sql:1", "REAL",
                    migrations=[("0001_cups.sql", CUPS.replace("price integer", "price real"))])


class PostgreSQL(unittest.TestCase):
    """The same queries for the other engine."""

    CUPS_THERE = "create table cups (id uuid primary key, name text not null, price bigint not null, chipped_at bigint);\n"

    def files(self, queries, others="", theirs="0001_cups.sql"):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "postgresql").mkdir()
            paths = [folder / "0001_cups.sql", folder / "postgresql" / theirs]
            paths[0].write_text(CUPS, encoding="utf-8")
            paths[1].write_text(self.CUPS_THERE, encoding="utf-8")
            (folder / "queries.sql").write_text(queries, encoding="utf-8")
            if others:
                paths.append(folder / "queries.postgresql.sql")
                paths[-1].write_text(others, encoding="utf-8")
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                status = generate.main(["--service", "shop", "--out", str(folder), str(folder / "queries.sql"), *map(str, paths)])
            source = "" if status else (folder / "shop.sql.c").read_text()
            return status, said.getvalue().replace(name + "/", ""), re.sub(r'\s+', " ", source.replace('\\n"', '"').replace('"', ""))

    def made(self, queries, others=""):
        status, said, source = self.files(queries, others)
        self.assertEqual((status, said), (0, ""))
        return source

    def test_an_insert_of_many_is_one_unnest(self):
        source = self.made(INSERT)
        self.assertIn("values ($1, $2, $3, $4)", source)
        self.assertIn("select a.p1, a.p2, a.p3, a.p4 from unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[]) as a(p1, p2, p3, p4)",
                      source)
        self.assertIn("MANY_COUNT", source)

    def test_conflicts_are_told_apart_by_their_key(self):
        source = self.made("-- c: run\n-- id uuid, name text, price int64\n"
                           "insert into cups (id, name, price) values ($1, $2, $3) on conflict (id) do nothing;\n")
        self.assertIn("on conflict (id) do nothing returning id", source)
        self.assertIn(".key = 0x1, .answer = MANY_INSERTED", source)
        source = self.made("-- c: run\n-- id uuid, name text, price int64\ninsert into cups (id, name, price) "
                           "values ($1, $2, $3) on conflict (id) do update set name = $2 where cups.price < $3;\n")
        self.assertIn("do update set name = excluded.name where cups.price < excluded.price returning id", source)
        self.assertIn("MANY_KEYS", source)

    def test_an_update_and_a_delete_tell_which_rows_of_the_source_they_touched(self):
        source = self.made("-- c: run\n-- id uuid, price_before int64, price int64\n"
                           "update cups set price = $3 where id = $1 and price = $2;\n")
        self.assertIn("update cups set price = a.p3 from unnest($1::uuid[], $2::int8[], $3::int8[]) with ordinality "
                      "as a(p1, p2, p3, nth) where id = a.p1 and price = a.p2 returning a.nth", source)
        self.assertIn(".key = 0x1, .answer = MANY_ORDINALS", source)  # price changes: it does not tell rows apart
        source = self.made("-- c: run\n-- id uuid\ndelete from cups where id = $1;\n")
        self.assertIn("delete from cups using unnest($1::uuid[]) with ordinality as a(p1, nth) where id = a.p1 returning a.nth", source)

    EACH = "-- c: maybe each\n-- id uuid -> name text\nselect name from cups where id = $1;\n"

    def test_a_read_for_each_of_many_is_one_select_that_runs_for_one_after_the_other(self):
        source = self.made(self.EACH)
        self.assertIn("select a.nth, r.* from unnest((select $1::uuid[])) with ordinality as a(p1, nth), "
                      "lateral (select * from (select name from cups where id = a.p1) as q offset 0) as r(c1)", source)
        self.assertIn(".answer = MANY_ROWS", source)
        status, said, _ = self.files(self.EACH, self.EACH.replace("maybe each", "maybe"))
        self.assertEqual(status, 1)
        self.assertIn("is declared otherwise", said)

    def test_what_cannot_be_derived_goes_one_by_one(self):
        for query in ("-- c: run\n-- price int64\nupdate cups set price = $1;\n",
                      "-- c: run\n-- price int64\ndelete from cups where price < $1;\n",
                      "-- c: run\n-- id uuid\ndelete from cups where id in (select id from cups where id = $1 limit 1);\n",
                      "-- c: maybe\n-- id uuid -> name text\nselect name from cups where id = $1;\n"):
            self.assertIn(".many = NULL", self.made(query))

    def test_a_text_that_looks_like_a_parameter_stays(self):
        self.assertIn("set name = '?1' where", self.made("-- c: run\n-- id uuid\nupdate cups set name = '?1' where id = $1;\n"))

    def test_another_statement_takes_the_place_of_the_same_name(self):
        query = "-- c: maybe\n-- id uuid -> name text\nselect name from cups where id = $1;\n"
        source = self.made(query, query.replace("select name", "select upper(name)"))
        self.assertIn(".sql = select upper(name) from cups where id = $1", source)
        for other, words in ((query.replace("-- c:", "-- d:"), "has no d"),
                             (query.replace("name text", "name bytes"), "declared otherwise")):
            status, said, _ = self.files(query, other)
            self.assertEqual(status, 1)
            self.assertIn(words, said)

    PART = ("-- dear: part -- a comment\n-- and another\nprice > $least\n"
            "-- c: many\n-- id uuid, least int64 -> name text\nselect name from cups where id <> $id and {dear};\n"
            "-- d: one\n-- least int64 -> n int64\nselect count(*) from cups where {dear} or name = '{dear} $least';\n")

    def test_a_part_stands_in_each_statement_that_names_it_with_that_statements_parameters(self):
        source = self.made(self.PART)
        self.assertIn("where id <> $1 and price > $2", source)
        self.assertIn("where price > $1 or name = '{dear} $least'", source)

    def test_another_part_takes_the_place_of_the_same_name(self):
        source = self.made(self.PART, "-- dear: part\nprice >= $least\n")
        self.assertIn("where id <> $1 and price >= $2", source)
        self.assertIn("?2", source)  # SQLite's own is as it was
        for other, words in (("-- cheap: part\nprice < 1\n", "has no part cheap"),
                             ("-- dear: part\nprice >= $most\n", "uses $most, which is not declared")):
            status, said, _ = self.files(self.PART, other)
            self.assertEqual(status, 1)
            self.assertIn(words, said)

    def test_a_part_is_refused_where_it_is_none_or_nobodys(self):
        for query, words in ((self.PART.replace("{dear}", "{deer}"), "there is no part deer"),
                             (self.PART.replace("-- dear", "-- cheap: part\nprice < 3\n-- dear"), "no statement has the part cheap"),
                             (self.PART.replace("price > $least\n", ";\n"), "without `;`"),
                             (self.PART.replace("price > $least\n", "{dear}\n"), "without other parts")):
            status, said, _ = self.files(query)
            self.assertEqual(status, 1)
            self.assertIn(words, said)

    def test_both_engines_go_by_the_same_numbers(self):
        status, said, _ = self.files(INSERT, theirs="0001_mugs.sql")
        self.assertEqual(status, 1)
        self.assertIn("same numbers and names", said)


class Plans(unittest.TestCase):
    """What SQLite makes of queries of the shop that would walk a table of any length without the index that they are meant
    to go by. Asked of empty tables, as it is at a start: it has no statistics in either."""

    def plan_of(self, service, name):
        tables = sqlite3.connect(":memory:")
        for path in sorted((ROOT / "src/services" / service / "migrations/sqlite").glob("*.sql")):
            tables.executescript(path.read_text())
        text = (ROOT / "src/services" / service / "queries.sql").read_text()
        body = re.search(rf"^-- {name}: .*?^(?=[^-])(.*?);", text, re.M | re.S).group(1)
        numbered = re.sub(r"\$(\d+)", r"?\1", body)
        values = [""] * len(set(re.findall(r"\?\d+", numbered)))
        return [row[3] for row in tables.execute("explain query plan " + numbered, values)]

    def test_a_handle_that_a_file_had_before_is_found_by_the_index_of_handles(self):
        plan = self.plan_of("products", "import_line_of")
        self.assertTrue(any("import_lines_by_handle (import=? AND handle=?)" in step for step in plan), plan)
        self.assertFalse([step for step in plan if step.endswith("PRIMARY KEY (import=?)")], plan)

    def test_sessions_beyond_the_newest_hundred_are_found_among_those_that_live(self):
        plan = self.plan_of("users", "sessions_beyond")
        self.assertTrue(any("sessions_by_user (user_id=? AND ended_at=?)" in step for step in plan), plan)
        self.assertFalse([step for step in plan if "TEMP B-TREE" in step], plan)


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
