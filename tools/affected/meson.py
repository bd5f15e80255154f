"""Reads what the meson.build files say of this project: which sources a library and a program have, and what is generated from what.

It runs the files as Meson does, as far as this project uses the language: values, lists, dictionaries, foreach, if, and the
functions that name files or targets. Of everything else (compilers, libraries of others) it knows nothing, and needs nothing.
"""
import pathlib
import posixpath
import re
from typing import NamedTuple

TOKEN = re.compile(r"""
    (?P<skip>[ \t]+|\\\n|\#[^\n]*) | (?P<newline>\n) | '''(?P<long>.*?)''' | f?'(?P<text>(?:\\.|[^'\\\n])*)' | (?P<number>\d+)
    | (?P<name>[A-Za-z_]\w*) | (?P<sign>\+=|==|!=|<=|>=|[-+*/%()\[\]{}:,.?=<>])""", re.X | re.S)
WORDS = {"and", "or", "not", "in", "if", "elif", "else", "endif", "foreach", "endforeach", "true", "false"}


class MesonError(Exception):
    """A meson.build that this reader cannot read."""


class Token(NamedTuple):
    kind: str
    text: str
    line: int


class Unknown:
    """A value that only Meson itself could know. Whatever is done to it gives another one."""

    def __bool__(self):
        return False


UNKNOWN = Unknown()


class Target:
    """A library, a program or a dependency: its own sources, and the targets that it is linked with."""

    def __init__(self, sources=(), links=()):
        self.sources, self.links = list(sources), list(links)

    def all_sources(self, seen=None):
        """The sources of everything that is linked, this one included."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return set()
        seen.add(id(self))
        return set(self.sources).union(*(link.all_sources(seen) for link in self.links))


class Made:
    """A file that the build generates; `makes` is all that its generator reads."""

    def __init__(self, name, inputs):
        self.name, self.inputs = name, inputs


def tokens_of(path, text):
    """The tokens of a file; newlines inside of brackets do not count."""
    found, at, line, depth = [], 0, 1, 0
    while at < len(text):
        token = TOKEN.match(text, at)
        if not token:
            raise MesonError(f"{path}:{line}: this reader does not know {text[at:at + 20]!r}")
        kind, value = token.lastgroup, token.group(token.lastgroup)
        if kind == "sign":
            depth += (value in "([{") - (value in ")]}")
        if kind == "long":
            kind = "text"
        if kind != "skip" and not (kind == "newline" and depth):
            found.append(Token("word" if kind == "name" and value in WORDS else kind, value, line))
        line += token.group().count("\n")
        at = token.end()
    return found + [Token("newline", "\n", line), Token("end", "", line)]


def flat(values):
    """Lists in lists, as one."""
    for value in values if isinstance(values, (list, tuple)) else [values]:
        if isinstance(value, (list, tuple)):
            yield from flat(value)
        else:
            yield value


class Reader:
    """Runs one project's files. `programs` and `made` are what came of it."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.names = {"root": "/"}
        self.programs, self.libraries, self.made, self.files = {}, {}, {}, []

    def run(self, folder):
        """Runs the meson.build of a folder, in the names that earlier ones left."""
        path = posixpath.join(folder, "meson.build")
        try:
            text = (self.root / path).read_text(encoding="utf-8")
        except OSError as error:
            raise MesonError(f"{path}: {error.strerror}") from error
        self.files.append(path)
        Run(self, path, folder, tokens_of(path, text)).block(True, ("end",))

    # ---- The functions that say something; all others are unknown ----

    def path_of(self, folder, name):
        """A name as a path from the root."""
        if name.startswith("/"):
            return posixpath.normpath(name.lstrip("/"))
        return posixpath.normpath(posixpath.join(folder, name))

    def sources_of(self, folder, values):
        """Paths, of names, files and what is generated; what is unknown has none."""
        paths = []
        for value in flat(values):
            if isinstance(value, Made):
                paths += value.inputs
            elif isinstance(value, Path):
                paths.append(str(value))
            elif isinstance(value, str):
                paths.append(self.path_of(folder, value))
        return paths

    def target(self, folder, sources, named):
        links = [value for key in ("link_with", "dependencies") for value in flat(named.get(key, [])) if isinstance(value, Target)]
        return Target(self.sources_of(folder, [*sources, named.get("sources", [])]), links)

    def call(self, folder, function, given, named):
        """What a call of one of Meson's functions gives."""
        if function == "files":
            return [Path(path) for path in self.sources_of(folder, given)]
        if function == "subdir":
            self.run(posixpath.join(folder, given[0]))
        elif function in ("static_library", "library", "shared_library"):
            self.libraries[given[0]] = self.target(folder, given[1:], named)
            return self.libraries[given[0]]
        elif function == "executable":
            self.programs[given[0]] = self.target(folder, given[1:], named)
            return self.programs[given[0]]
        elif function == "declare_dependency":
            return self.target(folder, [], named)
        elif function in ("custom_target", "vcs_tag", "configure_file"):
            inputs = self.sources_of(folder, [named.get("input", []), named.get("depend_files", [])])
            made = [Made(self.path_of(folder, name), inputs) for name in flat(named.get("output", [])) if isinstance(name, str)]
            self.made.update({one.name: one for one in made})
            return made
        return UNKNOWN


class Path(str):
    """A path from the root, as files() gives it."""


class Run:
    """One file: statements and expressions, by recursive descent. What is not taken (`live` is false) is parsed and not done."""

    def __init__(self, reader, path, folder, tokens):
        self.reader, self.path, self.folder, self.tokens, self.at = reader, path, folder, tokens, 0

    # ---- Tokens ----

    def peek(self, *texts):
        token = self.tokens[self.at]
        return token.kind in ("sign", "word") and token.text in texts

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, text):
        token = self.next()
        if token.kind not in ("sign", "word") or token.text != text:
            raise MesonError(f"{self.path}:{token.line}: {text!r} was expected, not {token.text!r}")

    def skip(self, text):
        if self.peek(text):
            self.at += 1
            return True
        return False

    # ---- Statements ----

    def block(self, live, ends):
        """Statements up to one of the words `ends`, which is left."""
        while True:
            token = self.tokens[self.at]
            if token.kind == "newline":
                self.at += 1
            elif token.kind == "end" or token.kind == "word" and token.text in ends:
                if "end" in ends or token.kind == "word":
                    return
                raise MesonError(f"{self.path}:{token.line}: {' or '.join(ends)} is missing")
            else:
                self.statement(live)

    def statement(self, live):
        if self.skip("if"):
            return self.branches(live)
        if self.skip("foreach"):
            return self.loop(live)
        token, sign = self.tokens[self.at], self.tokens[self.at + 1]
        if token.kind == "name" and sign.kind == "sign" and sign.text in ("=", "+="):
            self.at += 2
            value = self.expression(live)
            if live:
                names = self.reader.names
                names[token.text] = value if sign.text == "=" else self.add(names.get(token.text, UNKNOWN), value)
            return None
        return self.expression(live)

    def branches(self, live):
        """What follows an if. A condition that is unknown counts as false: it asks for compilers and machines."""
        done = False
        while True:
            taken = live and not done and bool(self.expression(live and not done))
            if not (live and not done):
                self.expression(False) if self.tokens[self.at].kind != "newline" else None
            self.block(taken, ("elif", "else", "endif"))
            done = done or taken
            if self.skip("elif"):
                continue
            if self.skip("else"):
                self.block(live and not done, ("endif",))
            return self.take("endif")

    def loop(self, live):
        names = [self.next().text]
        if self.skip(","):
            names.append(self.next().text)
        self.take(":")
        values = self.expression(live)
        start = self.at
        rounds = list(values.items()) if isinstance(values, dict) else [(value,) for value in values] if isinstance(values, list) else []
        for values in rounds if live else []:
            self.at = start
            self.reader.names.update(zip(names, values))
            self.block(True, ("endforeach",))
        if not (live and rounds):
            self.block(False, ("endforeach",))
        return self.take("endforeach")

    # ---- Expressions ----

    @staticmethod
    def add(left, right):
        if isinstance(left, list):
            return left + (right if isinstance(right, list) else [right])
        if isinstance(left, dict) and isinstance(right, dict):
            return {**left, **right}
        return left + right if isinstance(left, str) and isinstance(right, str) else UNKNOWN

    def expression(self, live):
        value = self.any_of(live)
        if self.skip("?"):
            yes = self.expression(live)
            self.take(":")
            no = self.expression(live)
            return yes if value else no
        return value

    def any_of(self, live):
        value = self.all_of(live)
        while self.skip("or"):
            right = self.all_of(live)
            value = bool(value) or bool(right)
        return value

    def all_of(self, live):
        value = self.compared(live)
        while self.skip("and"):
            right = self.compared(live)
            value = bool(value) and bool(right)
        return value

    def compared(self, live):
        if self.skip("not"):
            return not self.compared(live)
        value = self.sum(live)
        if self.peek("==", "!=", "<", ">", "<=", ">="):
            sign = self.next().text
            right = self.sum(live)
            return value == right if sign == "==" else value != right if sign == "!=" else UNKNOWN
        is_not = self.peek("not")
        if self.skip("not") or self.peek("in"):
            self.take("in")
            right = self.sum(live)
            return (isinstance(right, (list, dict)) and value in right) != is_not
        return value

    def sum(self, live):
        value = self.joined(live)
        while self.peek("+", "-"):
            value = self.add(value, self.joined(live)) if self.next().text == "+" else UNKNOWN
        return value

    def joined(self, live):
        value = self.postfix(live)
        while self.peek("/", "*", "%"):
            sign, right = self.next().text, self.postfix(live)
            is_path = sign == "/" and isinstance(value, str) and isinstance(right, str)
            value = posixpath.join(value, right) if is_path else UNKNOWN
        return value

    def postfix(self, live):
        token = self.tokens[self.at]
        if token.kind == "name" and self.tokens[self.at + 1] [:2] == ("sign", "("):
            self.at += 1
            given, named = self.arguments(live)
            value = self.reader.call(self.folder, token.text, given, named) if live else UNKNOWN
        else:
            value = self.primary(live)
        while self.peek(".", "["):
            if self.skip("["):
                key = self.expression(live)
                self.take("]")
                try:
                    value = value[int(key) if isinstance(key, str) and isinstance(value, list) else key]
                except (TypeError, KeyError, IndexError, ValueError):
                    value = UNKNOWN
            else:
                self.take(".")
                name = self.next().text
                given, _ = self.arguments(live)
                value = self.method(value, name, given)
        return value

    @staticmethod
    def method(value, name, given):
        """What a method gives; only those of strings and lists are known."""
        if isinstance(value, str):
            if name in ("endswith", "startswith", "strip"):
                return getattr(value, name)(*given)
            if name == "format":
                return re.sub(r"@(\d+)@", lambda found: str(given[int(found.group(1))]), value)
        if name == "length" and isinstance(value, (list, dict)):
            return str(len(value))
        return value if name == "to_list" and isinstance(value, list) else UNKNOWN

    def arguments(self, live):
        given, named = [], {}
        self.take("(")
        while not self.skip(")"):
            value, key = None, None
            if self.tokens[self.at].kind == "name" and self.tokens[self.at + 1][:2] == ("sign", ":"):
                key = self.next().text
                self.take(":")
            value = self.expression(live)
            if key:
                named[key] = value
            else:
                given.append(value)
            if not self.peek(")"):
                self.take(",")
        return given, named

    def primary(self, live):
        token = self.next()
        if token.kind in ("text", "number"):
            return token.text
        if token.kind == "word" and token.text in ("true", "false"):
            return token.text == "true"
        if token.kind == "name":
            return self.reader.names.get(token.text, UNKNOWN)
        if token.kind == "sign" and token.text == "-":
            return self.primary(live)
        if token.kind == "sign" and token.text == "(":
            value = self.expression(live)
            self.take(")")
            return value
        if token.kind == "sign" and token.text in "[{":
            return self.collection(live, token.text)
        raise MesonError(f"{self.path}:{token.line}: {token.text!r} was not expected here")

    def collection(self, live, opened):
        end, values, pairs = {"[": "]", "{": "}"}[opened], [], {}
        while not self.skip(end):
            value = self.expression(live)
            if opened == "{":
                self.take(":")
                pairs[value] = self.expression(live)
            else:
                values.append(value)
            if not self.peek(end):
                self.take(",")
        return pairs if opened == "{" else values
