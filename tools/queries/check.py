"""Applies the migrations to a database in memory and prepares every query there."""
import os
import re
import sqlite3
from dataclasses import dataclass

from parse import Problem

FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


@dataclass
class Migration:
    number: int
    name: str
    path: str
    sql: str


def load_migrations(paths):
    migrations = []
    for path in paths:
        match = FILE.match(os.path.basename(path))
        if not match:
            raise Problem(path, 1, "a migration is called NNNN_name.sql")
        with open(path, encoding="utf-8") as source:
            migrations.append(Migration(int(match.group(1)), match.group(2), path, source.read()))
    migrations.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise Problem(migration.path, 1, f"the next number is {expected:04}: migrations go up by one, without gaps")
    return migrations


def statements_of(sql):
    """Each statement with the line it begins at."""
    line, start, text = 1, 1, ""
    for piece in sql.splitlines(keepends=True):
        if not text.strip():
            text, start = "", line
        text += piece
        line += 1
        if sqlite3.complete_statement(text):
            yield start, text
            text = ""
    if re.sub(r"--[^\n]*", "", text).strip():
        yield start, text


def apply_migration(database, migration):
    for line, statement in statements_of(migration.sql):
        try:
            database.executescript(statement)
        except sqlite3.Error as error:
            raise Problem(migration.path, line, f"SQLite refuses the statement: {error}") from error


def check_tables(database, migration):
    for _, name, kind, _, _, strict in database.execute("pragma table_list").fetchall():
        if kind != "table" or name.startswith("sqlite_"):
            continue
        if not strict:
            raise Problem(migration.path, 1, f"table {name} is not STRICT: end it with `) strict;`")
        for column in database.execute(f"pragma table_info({name})"):
            if column[2].upper() == "REAL":
                raise Problem(migration.path, 1, f"{name}.{column[1]} is REAL: money, time and counts are integers")


def check_columns(path, query, database):
    """Runs a reading query over empty tables: as many columns as declared, and none at another's place."""
    try:
        cursor = database.execute(query.sql, [None] * len(query.params))
    except sqlite3.Error:
        return  # a function refuses null; the count is checked again when the service opens its database
    given = [column[0] for column in cursor.description]
    cursor.close()
    declared = [column.name for column in query.columns]
    if len(given) != len(declared):
        raise Problem(path, query.sql_line, f"{query.name} gives {len(given)} columns ({', '.join(given)}) but "
                                            f"declares {len(declared)} ({', '.join(declared)}): make them agree")
    for at, name in enumerate(given):
        if name != declared[at] and name in declared and given.count(name) == 1:
            raise Problem(path, query.sql_line, f"{query.name}: column {at + 1} is {name} but is declared as "
                                                f"{declared[at]}: put them into the same order")


def check_queries(path, queries, migrations):
    database = sqlite3.connect(":memory:", isolation_level=None)
    for migration in migrations:
        apply_migration(database, migration)
        check_tables(database, migration)
    for query in queries:
        try:
            program = database.execute("explain " + query.sql, [None] * len(query.params)).fetchall()
        except sqlite3.Error as error:
            raise Problem(path, query.sql_line, f"SQLite refuses {query.name}: {error}") from error
        query.writes = any(step[1] == "Transaction" and step[3] != 0 for step in program)
        if query.kind == "run" and not query.writes:
            raise Problem(path, query.sql_line, f"{query.name} changes nothing: make it one, maybe or many")
        if not query.writes:
            check_columns(path, query, database)
    database.close()
