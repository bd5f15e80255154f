#!/usr/bin/env python3
"""Checks that new migrations only expand: while a version is rolled out, and after it is rolled back, the older programs run on the same
tables, so nothing that they read or write may go away, change its name or its type, or become narrower.

    tools/migrations/check.py --base COMMIT      the migrations that HEAD has and COMMIT has not; and none of COMMIT's may have changed
    tools/migrations/check.py FILE…              these, as if they were new

What an older program does not use any more is dropped by a later version (the contract step): a comment `-- contract: WHY` right before
the statement allows it, where no query of COMMIT names it any more.
"""
import argparse
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIALECTS = ("sqlite", "postgresql")
PLACE = re.compile(r"(?P<room>.*)/migrations/(?P<dialect>sqlite|postgresql)/(?P<name>\d{4}_\w+\.sql)$")
CONTRACT = re.compile(r"--\s*contract:\s*(\S[^\n]*)\n[ \t]*$")
PIECES = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|;", re.S)
NAME = r'(?:if (?:not )?exists )?(?:only )?"?([\w.]+)"?'


class Finding(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class Statement(NamedTuple):
    """One statement: in lower case, its comments gone, its texts empty, on one line."""

    text: str
    line: int
    contract: str  # why it may take something away, or ""


def statements_of(text):
    """The statements of a migration."""
    found, start, plain = [], 0, []

    def end(at):
        words = " ".join("".join(plain).split()).lower()
        if words:
            first = start + len(re.match(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", text[start:at], re.S).group())
            marked = CONTRACT.search(text[:first])
            found.append(Statement(words, text.count("\n", 0, first) + 1, marked.group(1) if marked else ""))

    at = 0
    for piece in PIECES.finditer(text):
        plain.append(text[at:piece.start()])
        at = piece.end()
        if piece.group() == ";":
            end(piece.start())
            start, plain = at, []
        elif piece.group().startswith('"'):
            plain.append(piece.group())
        else:
            plain.append(" " if piece.group()[0] in "-/" else "''")
    plain.append(text[at:])
    end(len(text))
    return found


# What takes away from the older programs: (pattern, what it does, what to do instead). The last group of a pattern, if it has one, is
# the name that no query may use any more before a contract step takes it away.
LATER = "leave it, and drop it in a later version, by a step marked `-- contract: WHY`"
REFUSED = [
    (rf"^drop table {NAME}", "drops a table", LATER),
    (rf"^drop view {NAME}", "drops a view", LATER),
    (r"^drop (?:type|function|sequence|schema|trigger|domain)\b.*? ([\w.]+)", "drops what older programs may use", LATER),
    (r"^truncate\b(?: table)? (\w+)", "empties a table", LATER),
    (r"^delete from (\w+)$", "empties a table", LATER),
]
REFUSED_IN_ALTER = [
    (r"^drop (?:column )?(?:if exists )?(?!constraint\b|default\b|not null\b)(\w+)", "drops a column", LATER),
    (r"^drop constraint (?:if exists )?(\w+)", "drops a constraint, which `on conflict` of older programs may need", LATER),
    (r"^rename to (\w+)", "renames a table", "make the new one beside it, write to both, and drop the old one in a later version"),
    (r"^rename (?:column )?(\w+) to", "renames a column",
     "add the new one, write both, and drop the old one in a later version"),
    (r"^alter (?:column )?(\w+) (?:set data )?type\b", "changes a type", "add a column of the new type beside it"),
    (r"^alter (?:column )?(\w+) set not null", "makes a column `not null`, though older programs may write null",
     "add `check (… is not null) not valid`, and do this once no older program runs"),
    (r"^alter (?:column )?(\w+) drop default", "drops a default, which inserts of older programs may need", LATER),
    (r"^add (?:constraint \w+ )?(?:unique|primary key|exclude|foreign key)\b",
     "adds a constraint, which writes of older programs may break", "do this once no older program runs (`-- contract: WHY`)"),
    (r"^add (?:constraint \w+ )?check\b(?!.*\bnot valid$)", "adds a check, which rows and writes of older programs may break",
     "add it `not valid`, or do this once no older program runs (`-- contract: WHY`)"),
]
ADD_COLUMN = re.compile(r"^add (?:column )?(?:if not exists )?(?!constraint\b|unique\b|primary\b|check\b|foreign\b|exclude\b)(\w+) (.*)$")


def actions_of(rest):
    """The actions of an ALTER TABLE, at the commas outside of brackets."""
    depth, start = 0, 0
    for at, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield rest[start:at].strip()
            start = at + 1
    yield rest[start:].strip()


def problems_of(text, fresh):
    """What a statement takes away: (what it does, what to do instead, the name that it takes away or None). `fresh` holds the tables that
    this change makes: no older program knows them; it is added to."""
    made = re.match(rf"^create (?:temp(?:orary)? |unlogged )?table {NAME}", text)
    if made:
        fresh.add(made.group(1))
        return
    unique = re.match(rf"^create unique index (?:concurrently )?{NAME} on (?:only )?(\w+)", text)
    if unique and unique.group(2) not in fresh:
        yield ("makes a unique index on a table that is there: writes of older programs may break it",
               "do this once no older program runs (`-- contract: WHY`)", None)
    for pattern, does, instead in REFUSED:
        found = re.search(pattern, text)
        if found and found.group(1) not in fresh:
            yield does, instead, found.group(1)
    altered = re.match(rf"^alter table {NAME} (.*)$", text)
    if not altered or altered.group(1) in fresh:
        return
    for action in actions_of(altered.group(2)):
        for pattern, does, instead in REFUSED_IN_ALTER:
            found = re.search(pattern, action)
            if found:
                takes = does.startswith(("drops", "renames"))
                yield does, instead, (altered.group(1) if action.startswith("rename to") else found.group(1)) if takes else None
        column = ADD_COLUMN.match(action)
        if column and "not null" in column.group(2) and not re.search(r"\bdefault\b|\bgenerated\b", column.group(2)):
            yield (f"adds {column.group(1)} `not null` without a default: inserts of older programs do not name it",
                   "give it a default, or let it be null", None)


def check_text(path, text, fresh, queries):
    """Findings of one new migration. `queries` is the text of all queries that run now, by which a contract step is judged."""
    for statement in statements_of(text):
        for does, instead, name in problems_of(statement.text, fresh):
            if not statement.contract:
                yield Finding(path, statement.line, f"{does}: {instead}")
            elif name and re.search(rf"\b{re.escape(name)}\b", queries):
                yield Finding(path, statement.line, f"{does}, and queries of the version that runs name `{name}`: ship one that does not "
                                                    "first")


def check_names(paths, all_paths):
    """Findings of the names of new migrations: both engines have the same, and numbers only grow."""
    for path in paths:
        place = PLACE.match(path)
        if not place:
            yield Finding(path, 1, "is no migration by its name: ROOM/migrations/sqlite|postgresql/NNNN_words.sql")
            continue
        other = DIALECTS[place["dialect"] == DIALECTS[0]]
        twin = f"{place['room']}/migrations/{other}/{place['name']}"
        if twin not in all_paths:
            yield Finding(path, 1, f"has no {twin}: the two engines go by the same numbers")
        number = int(place["name"][:4])
        same = [one for one in all_paths if one != path and one.startswith(f"{place['room']}/migrations/{place['dialect']}/{number:04}_")]
        if same:
            yield Finding(path, 1, f"has the number of {same[0]}: take the next one")
        before = f"{place['room']}/migrations/{place['dialect']}/{number - 1:04}_"
        if number > 1 and not any(one.startswith(before) for one in all_paths):
            yield Finding(path, 1, f"leaves out number {number - 1:04}")


def check(files, all_paths, queries):
    """Findings of new migrations, {path: text}."""
    yield from check_names(sorted(files), all_paths)
    fresh = {}
    for path in sorted(files):
        place = PLACE.match(path)
        room = place and (place["room"], place["dialect"])
        yield from check_text(path, files[path], fresh.setdefault(room, set()), queries)


# ---- Of a commit ----


def git(*words):
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"tools/migrations: git {' '.join(words[:3])}: {done.stderr.strip()}")
    return done.stdout


def listed(commit):
    return [path for path in git("ls-tree", "-r", "-z", "--name-only", commit, "src").split("\0") if path]


def check_base(base):
    """(findings, how many migrations are new) of HEAD against a commit."""
    migrations = [path for path in listed("HEAD") if PLACE.match(path)]
    older = {path for path in listed(base) if "/migrations/" in path and path.endswith(".sql")}
    changed = set(git("diff", "--name-only", "--no-renames", "-z", base, "HEAD", "--", "src").split("\0"))
    found = [Finding(path, 1, "was changed, and databases have run it as it was: put the change into a new migration")
             for path in sorted(older & changed)]
    queries = "\n".join(git("show", f"{base}:{path}").lower() for path in listed(base) if re.search(r"/queries[\w.]*\.sql$", path))
    files = {path: git("show", f"HEAD:{path}") for path in migrations if path not in older}
    return found + list(check(files, set(migrations), queries)), len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--base", metavar="COMMIT")
    given = parser.parse_args()
    if bool(given.files) == bool(given.base):
        parser.error("give files, or --base COMMIT")
    if given.base:
        found, count = check_base(given.base)
    else:
        files = {path: pathlib.Path(path).read_text(encoding="utf-8") for path in given.files}
        found, count = [one for path in files for one in check_text(path, files[path], set(), "")], len(files)
    for one in found:
        print(one)
    print(f"{count} new migrations, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
