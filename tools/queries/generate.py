#!/usr/bin/env python3
"""Makes gen/X.sql.h and gen/X.sql.c of a service's queries.sql and migrations.

    generate.py --service orders --out FOLDER queries.sql 0001_orders.sql 0002_more.sql …

THE FORMAT of queries.sql. Each query is a head, a declaration, comments, and one statement that ends with `;`:

    -- order_insert: run
    -- id uuid, customer uuid, status text, total_minor int64, currency currency
    -- Lines that follow the declaration are comments: why, not what.
    insert into orders (id, customer, status, total_minor, currency) values ($1, $2, $3, $4, $5);

    -- order_by_id: maybe
    -- id uuid -> customer uuid, status text, cancelled_at time?
    select customer, status, cancelled_at from orders where id = $1;

    -- orders_count: one
    -- -> orders_count int64
    select count(*) from orders;

    -- stock_take: many
    -- sku text, units int32,
    -- at time -> sku text, left_units int32
    update stock set units = units - $2, at = $3 where sku = $1 returning sku, units;

    -- marks_clear: run
    delete from marks;

1. The head is `-- name: kind`; a comment may follow on the same line after another `--`. Kinds:
   run     no rows               -> sql_NAME(tx, params, changed), sql_NAME_many(tx, params, count, changed)
   one     NOT_FOUND if no row   -> sql_NAME(reader, arena, params, row),          sql_tx_NAME(tx, params, row)
   maybe   *found tells          -> sql_NAME(reader, arena, params, row, found),   sql_tx_NAME(tx, params, row, found)
   many    an array              -> sql_NAME(reader, arena, params, rows, count),  sql_tx_NAME(tx, params, rows, count)
   A one, maybe or many that changes rows (`returning`) has the sql_tx_ form only. All return err.
   `maybe each` and `many each` have a second form, which asks for many parameters at once (one statement on PostgreSQL, a loop on
   SQLite): sql_NAME_each(reader, arena, params, count, rows, found), with an entry of both for each parameter; of a many
   sql_NAME_each(reader, arena, params, count, rows, counts), rows of all in one array, counts[i] of them for params[i]; and sql_tx_NAME_each.
   `changed` may be NULL: how many rows were touched (of _many: an array of `count` such numbers).
2. The declaration is the first `--` line after the head: parameters, then `->` and the columns of a row. A declaration
   goes on in the next `--` line if it ends with `,` or `->`. A run without parameters has none, or `-- none` where
   comments follow. $1 is the first parameter, and so on; each parameter is used, any number of times, in any order.
   Columns are by position; their names become the fields of the struct.
   A statement names a parameter by its number or by its name, `$customer`.
3. What several statements have is a part: `-- name: part`, comments, and the piece itself, without `;`. A statement takes it in by
   `{name}`; the parameters in it are those of the statement, so a part names them by name.
4. Types: uuid (struct uuid, 16 bytes), text and bytes (str), int64, int32, bool, time (time_us), currency (struct
   currency). A trailing `?` lets it be null: text? bytes? STR_NONE, uuid? the nil id, time? 0, currency? no letters.
   Numbers and bool have no null: write coalesce(…). A null in a column without `?` is an error when it is read.
5. Structs: sql_NAME (the parameters; none, and no argument either, for a query without parameters), sql_NAME_row.
   Rows and their texts are copied into the arena.
6. Also generated: `const struct db_schema SERVICE_schema` with the queries and the migrations.

PostgreSQL: files in a folder `postgresql` are its migrations, by the same numbers and names. Its queries are the same; where the
dialects differ, queries.postgresql.sql has the same head, declaration and another statement, or another part of the same name. What
many rows in one statement look like is derived (postgresql.py). They are prepared where there is a server: at each start, and by
the tests.

Migrations are files NNNN_name.sql, numbered from 0001 without gaps; they are only ever added. Each table is STRICT and
holds no REAL. Every query is prepared against them here, so a wrong one stops the build with its file and line.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from check import check_queries, load_migrations  # noqa: E402
from emit import emit_header, emit_source  # noqa: E402
from parse import Problem, parse_queries  # noqa: E402
from postgresql import check_numbers, form_of, is_postgresql, override  # noqa: E402


def write_if_changed(path, text):
    """Leaves an unchanged file alone, so that nothing is compiled anew for it."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as old:
            if old.read() == text:
                return
    with open(path, "w", encoding="utf-8") as new:
        new.write(text)


def main(arguments):
    parser = argparse.ArgumentParser(description="Makes C of queries.sql and migrations.")
    parser.add_argument("--service", required=True, help="prefix of the external names")
    parser.add_argument("--out", required=True, help="folder of SERVICE.sql.h and SERVICE.sql.c")
    parser.add_argument("queries", help="queries.sql")
    parser.add_argument("migrations", nargs="+", help="NNNN_name.sql, in order; PostgreSQL's too")
    options = parser.parse_args(arguments)

    ours = [path for path in options.migrations if not is_postgresql(path)]
    others = [path for path in options.migrations if is_postgresql(path)]
    forms, theirs = None, []
    try:
        migrations = load_migrations(ours)
        with open(options.queries, encoding="utf-8") as source:
            queries = parse_queries(options.queries, source.read())
        check_queries(options.queries, queries, migrations)
        if others:
            texts = queries
            for path in others:
                if path.endswith(".postgresql.sql"):
                    texts = override(path, options.queries, queries)
            theirs = load_migrations([path for path in others if not path.endswith(".postgresql.sql")])
            check_numbers(migrations, theirs)
            forms = [form_of(query) for query in texts]
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1

    os.makedirs(options.out, exist_ok=True)
    base = os.path.join(options.out, options.service + ".sql")
    write_if_changed(base + ".h", emit_header(options.service, queries))
    write_if_changed(base + ".c", emit_source(options.service, queries, migrations, forms, theirs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
