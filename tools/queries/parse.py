"""Reads queries.sql: heads, declarations, statements. The format stands in generate.py."""
import re
from dataclasses import dataclass, field

HEAD = re.compile(r"^-- ([A-Za-z0-9_]+):\s*(\w+)( each)?\s*(?:--.*)?$")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
KINDS = ("run", "one", "maybe", "many")
EACH_KINDS = ("maybe", "many")
TYPES = ("uuid", "text", "bytes", "int64", "int32", "bool", "time", "currency")
NULLABLE = ("uuid", "text", "bytes", "time", "currency")
PARAMS_MAX = 100
C_WORDS = set(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "bool true false asm typeof".split())

# What a `$1` may not be read in: texts, quoted names, comments.
PIECES = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|"
                    r"\$(?P<number>\d+)|\$(?P<name>[a-z_]\w*)|\{(?P<part>\w+)\}|;", re.S)


class Problem(Exception):
    """Something wrong in the input: the place, and what to do."""

    def __init__(self, path, line, words):
        super().__init__(f"{path}:{line}: {words}")


@dataclass
class Column:
    name: str
    type: str
    nullable: bool


@dataclass
class Part:
    """A piece of statements that several of them have."""
    line: int
    sql: str
    is_used: bool = False


@dataclass
class Query:
    name: str
    kind: str
    line: int
    each: bool = False  # has a form that asks for many parameters at once
    params: list = field(default_factory=list)
    columns: list = field(default_factory=list)
    sql: str = ""
    sql_line: int = 0
    writes: bool = False  # told by check.py


def parse_columns(path, line, text, what):
    columns = []
    for part in text.split(","):
        words = part.split()
        if len(words) != 2:
            raise Problem(path, line, f"cannot read '{part.strip()}' in the {what}: write `name type`, "
                                      "and comments only after the declaration's line")
        name, kind = words
        nullable = kind.endswith("?")
        kind = kind.rstrip("?")
        if not NAME.match(name) or name in C_WORDS:
            raise Problem(path, line, f"'{name}' cannot be a field of a struct: use another name, in lower case "
                                      "(a comment? The declaration, or `-- none`, comes before it)")
        if kind not in TYPES:
            raise Problem(path, line, f"there is no type '{kind}' ({name}): use one of {', '.join(TYPES)}")
        if nullable and kind not in NULLABLE:
            raise Problem(path, line, f"{kind} has no null ({name}): drop the `?` and write coalesce({name}, …)")
        if any(column.name == name for column in columns):
            raise Problem(path, line, f"'{name}' stands twice in the {what}: name one of them otherwise")
        columns.append(Column(name, kind, nullable))
    return columns


def parse_declaration(path, line, text, query):
    """`id uuid -> status text`, already joined to one line."""
    if text.strip() == "none":
        text = ""
    before, arrow, after = text.partition("->")
    if before.strip():
        query.params = parse_columns(path, line, before, "parameters")
    if arrow:
        if not after.strip():
            raise Problem(path, line, "no columns after `->`: name them, or drop the arrow")
        query.columns = parse_columns(path, line, after, "columns")
    if query.kind == "run" and query.columns:
        raise Problem(path, line, f"{query.name} is a `run` and gives no columns: make it one, maybe or many")
    if query.kind != "run" and not query.columns:
        raise Problem(path, line, f"{query.name} is `{query.kind}` and must declare its columns: "
                                  "`-- param type -> column type`")
    if len(query.params) > PARAMS_MAX:
        raise Problem(path, line, f"{len(query.params)} parameters: at most {PARAMS_MAX}")


def finish_statement(path, query, text, parts):
    """Drops comments, puts parts in, turns $n and $name into ?n, and takes the `;` off the end."""
    used, ends = set(), []
    numbers = {param.name: number for number, param in enumerate(query.params, 1)}

    def put_in(name):
        if name not in parts:
            raise Problem(path, query.sql_line, f"there is no part {name}: write `-- {name}: part` and what it is, or name another")
        parts[name].is_used = True
        return PIECES.sub(piece, parts[name].sql)

    def piece(match):
        token = match.group(0)
        if token.startswith("--") or token.startswith("/*"):
            return " "
        if token == ";":
            ends.append(match.start())
            return ";"
        if match["part"]:
            return put_in(match["part"])
        if match["name"] and match["name"] not in numbers:
            raise Problem(path, query.sql_line, f"{query.name} uses {token}, which is not declared: add it to the line under the head")
        if match["name"] or match["number"]:
            number = numbers[match["name"]] if match["name"] else int(match["number"])
            used.add(number)
            return f"?{number}"
        return token

    sql = PIECES.sub(piece, text)
    if len(ends) != 1 or not sql.rstrip().endswith(";"):
        raise Problem(path, query.sql_line, f"{query.name} must be one statement that ends with `;`")
    declared = set(range(1, len(query.params) + 1))
    for number in sorted(used - declared):
        raise Problem(path, query.sql_line, f"{query.name} uses ${number}, which is not declared: "
                                            "add it to the line under the head")
    for number in sorted(declared - used):
        raise Problem(path, query.sql_line, f"{query.name} never uses ${number} "
                                            f"({query.params[number - 1].name}): drop it or use it")
    lines = [" ".join(line.split()) if "'" not in line else line.rstrip() for line in sql.rstrip()[:-1].split("\n")]
    query.sql = "\n".join(line for line in lines if line.strip())


def split_declaration(lines):
    """The declaration among the `--` lines under a head: it goes on after a `,` or `->`."""
    taken = []
    for line in lines:
        taken.append(line)
        if not line.rstrip().endswith((",", "->")):
            break
    return " ".join(taken)


def sections(path, text):
    """The lines of the file, and (name, kind, each, first line, last line) of what stands under each head."""
    lines = text.split("\n")
    heads = [i for i, line in enumerate(lines) if HEAD.match(line)]
    first = heads[0] if heads else len(lines)
    for i, line in enumerate(lines[:first]):
        if line.strip() and not line.startswith("--"):
            raise Problem(path, i + 1, "a statement without a head: write `-- name: run|one|maybe|many` above it")
    return lines, [(*HEAD.match(lines[start]).groups(), start, end) for start, end in zip(heads, heads[1:] + [len(lines)])]


def parse_parts(path, text):
    """The parts of the file, by name."""
    lines, found = sections(path, text)
    parts = {}
    for name, kind, _, start, end in found:
        if kind != "part":
            continue
        body = "\n".join(line for line in lines[start + 1:end] if not line.startswith("--")).strip()
        if not NAME.match(name) or name in parts:
            raise Problem(path, start + 1, f"'{name}' cannot be the name of a part: use lower case, digits and `_`, each name once")
        if not body or ";" in body or "{" in body:
            raise Problem(path, start + 1, f"the part {name} must be a piece of a statement, without `;` and without other parts")
        parts[name] = Part(start + 1, body)
    return parts


def parse_statements(path, text, parts):
    """The queries of a file, whose statements have these parts."""
    lines, found = sections(path, text)
    queries = [parse_query(path, lines, section, parts) for section in found if section[1] != "part"]
    check_names(path, queries)
    return queries


def parse_queries(path, text):
    """The queries of a file that stands by itself."""
    parts = parse_parts(path, text)
    queries = parse_statements(path, text, parts)
    for name, part in parts.items():
        if not part.is_used:
            raise Problem(path, part.line, f"no statement has the part {name}: write {{{name}}} in one, or drop it")
    return queries


def parse_query(path, lines, section, parts):
    name, kind, each, start, end = section
    query = Query(name, kind, start + 1, each=each is not None)
    if not NAME.match(name):
        raise Problem(path, query.line, f"'{name}' cannot be a name: use lower case, digits and `_`")
    if kind not in KINDS:
        raise Problem(path, query.line, f"'{kind}' is no kind of query: use one of {', '.join(KINDS)}, or part")
    body = start + 1
    comments = []
    while body < end and lines[body].startswith("--"):
        comments.append(lines[body][2:].strip())
        body += 1
    parse_declaration(path, start + 2, split_declaration(comments), query)
    if query.each and (kind not in EACH_KINDS or not query.params):
        raise Problem(path, query.line, f"`each` asks a maybe or many for many parameters at once: {name} is not one, or has none")
    query.sql_line = body + 1
    finish_statement(path, query, "\n".join(lines[body:end]), parts)
    return query


def check_names(path, queries):
    """All names that are made of a query must differ from those of the others."""
    seen = {}
    for query in queries:
        names = [query.name, "tx_" + query.name]
        if query.kind == "run":
            names.append(query.name + "_many")
        if query.each:
            names += [query.name + "_each", "tx_" + query.name + "_each"]
        if query.columns:
            names.append(query.name + "_row")
        for name in names:
            if name in seen:
                raise Problem(path, query.line, f"'{query.name}' makes the name sql_{name}, as line {seen[name]} "
                                                "does: rename one")
            seen[name] = query.line
