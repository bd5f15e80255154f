"""Reads C as far as the rules need it: without comments and strings, functions, prototypes, includes, macros.

It is a scanner, not a parser; it knows the form that this project's code has.
"""
import fnmatch
import pathlib
import re
from functools import cached_property
from typing import NamedTuple


class Finding(NamedTuple):
    """Something that breaks a rule, and where."""

    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class Function(NamedTuple):
    """A function that a file defines: its first line, its last, whether only this file sees it."""

    name: str
    line: int
    line_last: int
    is_static: bool


class Include(NamedTuple):
    """One #include: the name between the quotes or brackets."""

    line: int
    name: str
    is_system: bool


TOKENS = re.compile(
    r"""(?P<block>/\*.*?\*/) | (?P<line>//[^\n]*) | (?P<string>"(?:\\.|[^"\\\n])*") | (?P<char>'(?:\\.|[^'\\\n])*')""",
    re.S | re.X)

ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")


def blank(text):
    """The same text with every character but newlines replaced by a space."""
    return re.sub(r"[^\n]", " ", text)


class File:
    """A text file of the tree, by its path from the root."""

    def __init__(self, path, text):
        self.path, self.text = path, text

    @cached_property
    def lines(self):
        return self.text.split("\n")

    def line_of(self, offset):
        """The number of the line that holds this character."""
        return self.text.count("\n", 0, offset) + 1

    @cached_property
    def code(self):
        """The text with comments blanked, and the insides of strings and characters."""
        def replace(found):
            piece = found.group()
            if found.lastgroup in ("string", "char"):
                return piece[0] + " " * (len(piece) - 2) + piece[-1]
            return blank(piece)
        return TOKENS.sub(replace, self.text)

    @cached_property
    def plain(self):
        """The code without preprocessor lines (and what continues them)."""
        return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda found: blank(found.group()), self.code, flags=re.M)

    @cached_property
    def strings(self):
        """Every string literal: (line, what stands between its quotes). Neighbours count as one, as for the compiler."""
        found, end = [], None
        for token in TOKENS.finditer(self.text):
            if token.lastgroup != "string" or self.code[token.start()] != '"':
                continue
            inside = token.group()[1:-1]
            if end is not None and not self.code[end:token.start()].strip():
                found[-1] = (found[-1][0], found[-1][1] + inside)
            else:
                found.append((self.line_of(token.start()), inside))
            end = token.end()
        return found

    @cached_property
    def comments(self):
        """Every comment: (first line, last line, text)."""
        return [(self.line_of(token.start()), self.line_of(token.end() - 1), token.group())
                for token in TOKENS.finditer(self.text) if token.lastgroup in ("block", "line")]

    @cached_property
    def includes(self):
        return [Include(self.line_of(found.start()), found.group(2), found.group(1) == "<")
                for found in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', self.text, re.M)]

    @cached_property
    def macros(self):
        """Every #define: (line, name, its whole text with comments blanked)."""
        return [(self.line_of(found.start()), found.group(1), found.group())
                for found in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(?:[^\n]*\\\n)*[^\n]*", self.code, re.M)]

    @cached_property
    def statements(self):
        """What stands outside all braces: (start, end, text, has_body), a body being replaced by '{}'."""
        found, depth, start, head = [], 0, 0, None
        for token in re.finditer(r"[{};]", self.plain):
            sign, at = token.group(), token.start()
            if sign == "{":
                if depth == 0:
                    head = self.plain[start:at]
                depth += 1
            elif sign == "}":
                depth = max(0, depth - 1)
                if depth == 0 and head is not None and is_function_head(head):
                    found.append((start, at, head, True))
                    start, head = at + 1, None
            elif depth == 0:
                found.append((start, at, self.plain[start:at], False))
                start, head = at + 1, None
        return found

    def first_line(self, start):
        """The line of the first character that is not white space, from this offset on."""
        gap = len(self.plain[start:]) - len(self.plain[start:].lstrip())
        return self.line_of(start + gap)

    @cached_property
    def functions(self):
        functions = []
        for start, end, head, has_body in self.statements:
            if has_body:
                functions.append(Function(name_of(head), self.first_line(start), self.line_of(end),
                                          bool(re.search(r"\bstatic\b", head))))
        return functions

    @cached_property
    def prototypes(self):
        """Declarations of functions: (name, first line, last line)."""
        found = []
        for start, end, text, has_body in self.statements:
            bare = ATTRIBUTE.sub("", text).strip()
            if has_body or "{" in bare or "=" in bare or re.match(r"(typedef|_Static_assert|static_assert)\b", bare):
                continue
            if re.search(r"[\w*]\s+\**\w+\s*\(", bare) or re.search(r"\w\s*\*+\w+\s*\(", bare):
                found.append((name_of(text), self.first_line(start), self.line_of(end)))
        return found


def is_function_head(head):
    """Tells whether the text before a '{' declares a function (and not a struct, enum, union or value)."""
    bare = ATTRIBUTE.sub("", head).strip()
    outside = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", bare))
    return bare.endswith(")") and "=" not in outside


def name_of(head):
    """The name of the function that a head declares; of TEST(x), x."""
    found = re.search(r"(\w+)\s*\(", ATTRIBUTE.sub("", head))
    if not found:
        return "?"
    if found.group(1) == "TEST":
        inner = re.search(r"TEST\s*\(\s*(\w+)", head)
        return inner.group(1) if inner else "TEST"
    return found.group(1)


class Tree:
    """Files by path. The rules read a tree, so that a self-test can plant one."""

    def __init__(self, texts):
        self.files = {path: File(path, text) for path, text in sorted(texts.items())}

    @classmethod
    def of_folder(cls, root):
        """What the rules may read of the project."""
        texts = {}
        for folder in ("src", "tests", "contracts", "bench"):
            for path in pathlib.Path(root, folder).rglob("*"):
                wanted = path.suffix in (".c", ".h", ".tbl") or path.name == "meson.build"
                if wanted and path.is_file():
                    texts[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
        return cls(texts)

    def matching(self, *patterns):
        """The files whose path matches one of the patterns ('*' also crosses '/')."""
        return [file for path, file in self.files.items() if matches(path, *patterns)]


def matches(path, *patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
