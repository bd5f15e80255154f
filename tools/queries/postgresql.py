"""The same queries for PostgreSQL: their text, what queries.postgresql.sql says otherwise, and for a `run` the form that takes
many rows in one statement over unnest.

A statement has such a form where it can be derived safely:

  insert into T (…) values (…) [on conflict …]     -> insert into T (…) select … from unnest(…) …
  update T set … where C = $n [and …]              -> update T set … from unnest(…) with ordinality … returning its ordinality
  delete from T where C = $n [and …]               -> delete from T using unnest(…) with ordinality … returning its ordinality
  select …  (a maybe or many with `each`)          -> select the ordinality, r.* from unnest(…) with ordinality …, lateral (select …) r

All others are sent one by one, in a pipeline. `key` names the parameters by which two rows of the source would meet in one row
of the target: PostgreSQL would take only one of them, so the driver sends such an array one by one, too.
"""
import os
import re

from parse import Problem, parse_parts, parse_statements

ARRAYS = {"uuid": "uuid", "text": "text", "bytes": "bytea", "int64": "int8", "int32": "int4", "bool": "bool", "time": "int8",
          "currency": "text"}
TEXT = r"'(?:[^']|'')*'"
PARAM = re.compile(rf"({TEXT})|\?(\d+)")
INSERT = re.compile(r"^insert into (\w+) \(([^()]*)\) values \((.*)\)(?: on conflict(?: \(([^()]*)\))? do (nothing|update set .*))?$")
UPDATE = re.compile(r"^update (\w+) set (.*?) where (.*)$")
DELETE = re.compile(r"^delete from (\w+) where (.*)$")
KEYS_MAX = 63


class Form:
    """What PostgreSQL is sent: one row, and many (None: one by one)."""

    def __init__(self, sql, many=None, key=(), answer="COUNT"):
        self.sql, self.many, self.key, self.answer = sql, many, tuple(key), answer


def replaced(sql, name):
    """The statement with each parameter written as name(number)."""
    return PARAM.sub(lambda match: match.group(1) or name(int(match.group(2))), sql)


def plain(sql):
    return replaced(sql, lambda number: f"${number}")


def split_top(text, separator):
    """Parts of a text between separators that stand in no parentheses and no quotes."""
    parts, depth, at, begin, quoted = [], 0, 0, 0, False
    while at < len(text):
        byte = text[at]
        if byte == "'":
            quoted = not quoted
        elif not quoted and byte in "()":
            depth += 1 if byte == "(" else -1
        elif not quoted and depth == 0 and text.startswith(separator, at):
            parts.append(text[begin:at].strip())
            at += len(separator)
            begin = at
            continue
        at += 1
    return parts + [text[begin:].strip()]


def source(query, ordinality, hidden=False):
    """`hidden`: the planner does not look at how long the arrays are, and makes one plan for all."""
    arrays = ", ".join(f"(select ${at}::{ARRAYS[param.type]}[])" if hidden else f"${at}::{ARRAYS[param.type]}[]"
                       for at, param in enumerate(query.params, 1))
    names = ", ".join(f"p{at}" for at in range(1, len(query.params) + 1))
    if ordinality:
        return f"unnest({arrays}) with ordinality as a({names}, nth)"
    return f"unnest({arrays}) as a({names})"


def in_source(sql):
    return replaced(sql, lambda number: f"a.p{number}")


def inserted(query, match):
    table, columns, values, target, action = match.groups()
    columns, values = [column.strip() for column in columns.split(",")], split_top(values, ",")
    if len(columns) != len(values):
        return None
    fed = {}
    for column, value in zip(columns, values):
        if re.fullmatch(r"\?\d+", value):
            fed.setdefault(int(value[1:]), column)
    many = f"insert into {table} ({', '.join(columns)}) select {in_source(', '.join(values))} from {source(query, False)}"
    if not action:
        return Form(plain(query.sql), many)
    keys = [] if not target else [
        next((number for number, column in fed.items() if column == name.strip()), 0) for name in target.split(",")]
    if 0 in keys:
        return None
    if action != "nothing":
        numbers = {int(match.group(2)) for match in PARAM.finditer(action) if match.group(2)}
        if not keys or not numbers <= fed.keys():
            return None
        action = replaced(action, lambda number: f"excluded.{fed[number]}")
    many += f" on conflict{f' ({target})' if target else ''} do {action}"
    if not keys:
        return Form(plain(query.sql), many, answer="UNKNOWN")
    return Form(plain(query.sql), many + f" returning {', '.join(fed[key] for key in keys)}", keys,
                "INSERTED" if action == "nothing" else "KEYS")


def conditions(query, where, assigned):
    """The parameters that the columns of a condition must be equal to, but for columns that the statement itself changes."""
    keys = []
    for part in split_top(where, " and "):
        found = re.fullmatch(r"(\w+) = \?(\d+)", part)
        if found and found.group(1) not in assigned:
            keys.append(int(found.group(2)))
    return keys


def changed(query, match):
    table, sets, where = match.groups()
    assigned = {part.split("=")[0].strip() for part in split_top(sets, ",")}
    keys = conditions(query, where, assigned)
    many = f"update {table} set {in_source(sets)} from {source(query, True)} where {in_source(where)} returning a.nth"
    return Form(plain(query.sql), many, keys, "ORDINALS") if keys else None


def deleted(query, match):
    table, where = match.groups()
    keys = conditions(query, where, set())
    many = f"delete from {table} using {source(query, True)} where {in_source(where)} returning a.nth"
    return Form(plain(query.sql), many, keys, "ORDINALS") if keys else None


def asked(query, flat):
    """Each row with the place of its parameters, by which the driver puts them into order; under one place they come as the query
    orders them. `offset 0` keeps the planner from mixing the select with the rest: it is run for one place after the other, by the
    index that it would use alone, and one that locks does so in the order of the parameters."""
    columns = ", ".join(f"c{at}" for at in range(1, len(query.columns) + 1))
    return Form(plain(query.sql), f"select a.nth, r.* from {source(query, True, hidden=True)}, "
                                  f"lateral (select * from ({in_source(flat)}) as q offset 0) as r({columns})", answer="ROWS")


def form_of(query):
    """The forms of a query whose text is PostgreSQL's."""
    flat = " ".join(query.sql.split())
    if query.each:
        return asked(query, flat)
    if query.kind == "run" and query.params and len(query.params) <= KEYS_MAX:
        body = flat.lower()
        simple = "returning" not in body and not re.search(r"\b(select|from|using|or)\b", re.sub(r"^(delete from|insert into)", "", body))
        for pattern, derive in ((INSERT, inserted), (UPDATE, changed), (DELETE, deleted)):
            match = pattern.match(flat)
            form = derive(query, match) if match and simple else None
            if form:
                form.sql = plain(query.sql)
                return form
    return Form(plain(query.sql))


def override(path, base_path, queries):
    """The queries of `base_path` for PostgreSQL: queries.postgresql.sql says some statements and parts otherwise."""
    with open(path, encoding="utf-8") as other_text, open(base_path, encoding="utf-8") as base_text:
        text, base = other_text.read(), base_text.read()
    parts = parse_parts(base_path, base)
    theirs = parse_parts(path, text)
    for name, part in theirs.items():
        if name not in parts:
            raise Problem(path, part.line, f"queries.sql has no part {name}: this file only says otherwise what stands there")
    others = {query.name: query for query in parse_statements(path, text, {**parts, **theirs})}
    known = {query.name: query for query in queries}
    for name, other in others.items():
        query = known.get(name)
        if not query:
            raise Problem(path, other.line, f"queries.sql has no {name}: this file only says otherwise what stands there")
        if (query.kind, query.each, query.params, query.columns) != (other.kind, other.each, other.params, other.columns):
            raise Problem(path, other.line, f"{name} is declared otherwise than in queries.sql: only its statement may differ")
    texts = [others.get(query.name, query) for query in parse_statements(base_path, base, {**parts, **theirs})]
    for name, part in theirs.items():
        if not part.is_used:
            raise Problem(path, part.line, f"no statement has the part {name}: drop it")
    return texts


def is_postgresql(path):
    """Whether a file is PostgreSQL's alone: queries.postgresql.sql, or a migration in a folder of that name."""
    return path.endswith(".postgresql.sql") or os.path.basename(os.path.dirname(path)) == "postgresql"


def check_numbers(sqlite, postgresql):
    """Both engines have the same migrations by number and name."""
    for one, other in zip(sqlite, postgresql):
        if (one.number, one.name) != (other.number, other.name):
            raise Problem(other.path, 1, f"SQLite's is {one.number:04}_{one.name}: migrations of both engines go by the same "
                                         "numbers and names")
    if len(sqlite) != len(postgresql):
        raise Problem((sqlite + postgresql)[-1].path, 1, f"SQLite has {len(sqlite)} migrations, PostgreSQL {len(postgresql)}: "
                                                         "add the other's")
