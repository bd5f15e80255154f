"""The rules of the house, one function each: it reads a tree and gives its findings. STYLE.md has the reasons."""
import re

from source import Finding, matches

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
COLUMNS_MAX = 100

C = ("src/*.c", "src/*.h")
C_AND_TESTS = C + ("tests/*.c", "tests/*.h", "bench/*.c", "bench/*.h")

# Rooms in which a library of others, or Linux itself, is spoken to.
DRIVERS = ("src/os/*", "src/chassis/*_sqlite*", "src/chassis/*_postgresql*", "src/chassis/bus_rabbitmq*", "src/chassis/bus_kafka*",
           "src/chassis/fetch*", "src/chassis/redis*")
# Drivers of a service: whoever moves the money, sends the mail.
PROVIDERS = "src/services/*/providers/*"

# ---- Who may include whom ----

SERVICE = re.compile(r"src/services/(\w+)/")
TABLES = ("*.tbl",)
# Generated from contracts/ but of no service: these the chassis may know.
COMMON_MESSAGES = ("gen/duka*.h", "gen/google*.h", "gen/timestamp*.h", "gen/field_mask*.h", "gen/openapi.h")


def allowed_includes(path):
    """Patterns of the quoted includes that a file of src/ may have."""
    service = SERVICE.match(path)
    if path.startswith("src/base/"):
        return ("base/*",) + TABLES
    if path.startswith("src/os/"):
        return ("os/*", "base/*") + TABLES
    if path.startswith("src/chassis/"):
        return ("chassis/*", "os/*", "base/*", "gen/chassis.sql.h") + COMMON_MESSAGES + TABLES
    if matches(path, PROVIDERS):
        return (f"services/{service.group(1)}/*", "chassis/*", "os/*", "base/*", "gen/*") + TABLES
    if service:
        return (f"services/{service.group(1)}/*", "chassis/*", "base/*", "gen/*") + TABLES
    if path.startswith("src/apps/"):
        return ("apps/*", "services/*/service.h", "gen/*", "chassis/*", "os/*", "base/*") + TABLES
    return ("*",)


def includes_go_down(tree):
    """base <- os <- chassis <- services <- apps; a service sees no other; its SQL is its own."""
    for file in tree.matching(*C):
        service = SERVICE.match(file.path)
        for include in file.includes:
            if include.is_system:
                continue
            if not matches(include.name, *allowed_includes(file.path)):
                yield Finding(file.path, include.line, f'"{include.name}" is not below this floor')
            elif service and include.name.endswith(".sql.h") and include.name != f"gen/{service.group(1)}.sql.h" \
                    and not matches(include.name, f"gen/{service.group(1)}_*.sql.h"):
                yield Finding(file.path, include.line, f'"{include.name}" holds the tables of a neighbour')


def no_include_cycles(tree):
    """Headers form no circle."""
    graph = {}
    for file in tree.matching(*C):
        graph[file.path] = [(f"src/{include.name}", include.line) for include in file.includes
                            if not include.is_system and f"src/{include.name}" in tree.files]
    done, open_now = set(), []

    def walk(path):
        open_now.append(path)
        for target, line in graph.get(path, []):
            if target in open_now:
                circle = open_now[open_now.index(target):] + [target]
                yield Finding(path, line, "circle of includes: " + " -> ".join(circle))
            elif target not in done:
                yield from walk(target)
        open_now.pop()
        done.add(path)

    for path in graph:
        if path not in done:
            yield from walk(path)


# Vendor header -> the rooms that may include it. A library is known in one room only.
VENDORS = {
    "uv.h": ("src/os/*",),
    "openssl/evp.h": ("src/base/crypto*", "src/os/tls*"),
    "openssl/sha.h": ("src/base/crypto*",),
    "openssl/*": ("src/os/tls*",),
    "nghttp2/*": ("src/chassis/http2*", "tests/*"),
    "llhttp.h": ("src/chassis/http*",),
    "yyjson.h": ("src/base/json*",),
    "sodium.h": ("src/base/crypto*",),
    "sodium/*": ("src/base/crypto*",),
    "sqlite3.h": ("src/chassis/db_sqlite*",),
    "libpq-fe.h": ("src/chassis/db_postgresql*",),
    "zlib.h": ("src/chassis/gzip*",),
    "utf8proc.h": ("src/base/text*",),
    "yaml.h": ("src/chassis/conf*", "src/services/gateway/*"),
    "amqp*.h": ("src/chassis/bus_rabbitmq*",),
    "librdkafka/*": ("src/chassis/bus_kafka*",),
    "hiredis/*": ("src/chassis/redis*",),
    "curl/*": ("src/chassis/fetch*", "src/chassis/mailer*"),
    "protobuf-c/*": ("src/chassis/*", "src/services/*"),
}

# What belongs to C and Linux and may stand anywhere; rooms for what it does are given by other rules.
SYSTEM = set("""assert.h complex.h ctype.h dirent.h dlfcn.h endian.h errno.h fcntl.h fenv.h float.h fnmatch.h ftw.h getopt.h
    glob.h ifaddrs.h inttypes.h iso646.h langinfo.h libgen.h limits.h locale.h math.h netdb.h poll.h pthread.h pwd.h regex.h
    sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h
    stdlib.h stdnoreturn.h string.h strings.h syslog.h termios.h threads.h time.h ucontext.h unistd.h wchar.h
    execinfo.h malloc.h""".split())
SYSTEM_FOLDERS = ("sys/*", "netinet/*", "arpa/*", "linux/*", "net/*")


def vendors_have_one_room(tree):
    """A library's header is included in its room only; a new library needs a room here first."""
    for file in tree.matching(*C):
        for include in file.includes:
            rooms = next((rooms for name, rooms in VENDORS.items() if matches(include.name, name)), None)
            if rooms and not matches(file.path, *rooms):
                yield Finding(file.path, include.line, f"<{include.name}> belongs in {' or '.join(rooms)}")
            elif include.is_system and not rooms and include.name not in SYSTEM \
                    and not matches(include.name, *SYSTEM_FOLDERS):
                yield Finding(file.path, include.line, f"<{include.name}> has no room in tools/tidy/rules.py")


# ---- Size and form ----


def functions_are_short(tree):
    """A function has at most 70 lines, signature and braces included."""
    for file in tree.matching(*C_AND_TESTS):
        for function in file.functions:
            lines = function.line_last - function.line + 1
            if lines > FUNCTION_LINES_MAX:
                yield Finding(file.path, function.line, f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}")


def files_are_short(tree):
    """A file has at most 800 lines; tables and generated code may be longer."""
    for file in tree.matching(*C_AND_TESTS):
        lines = len(file.lines) - (file.lines[-1] == "")
        if lines > FILE_LINES_MAX:
            yield Finding(file.path, lines, f"{lines} lines, at most {FILE_LINES_MAX}")


def lines_are_short(tree):
    """A line has at most 100 columns, no tab and no white space at its end."""
    for file in tree.matching(*C_AND_TESTS):
        for number, line in enumerate(file.lines, 1):
            if len(line) > COLUMNS_MAX:
                yield Finding(file.path, number, f"{len(line)} columns, at most {COLUMNS_MAX}")
            if "\t" in line or line != line.rstrip():
                yield Finding(file.path, number, "a tab, or white space at the end of the line")


def comments_are_blocks(tree):
    """Comments have the form of C's first: a block."""
    for file in tree.matching(*C_AND_TESTS):
        for line, _, text in file.comments:
            if text.startswith("//"):
                yield Finding(file.path, line, "a // comment")


def headers_open_with_words(tree):
    """A header opens with what it is for, and is guarded by #pragma once."""
    for file in tree.matching("src/*.h", "tests/*.h"):
        if not file.text.lstrip().startswith("/*"):
            yield Finding(file.path, 1, "no words on what this module is for")
        if not re.search(r"^#pragma once$", file.text, re.M):
            yield Finding(file.path, 1, "no #pragma once")


def prototypes_are_documented(tree):
    """A comment stands over each prototype of a header, or over the group without a blank line that it is in."""
    for file in tree.matching("src/*.h", "tests/lib/*.h"):
        for name, first, last in file.prototypes:
            block = first
            while block > 1 and file.lines[block - 2].strip():
                block -= 1
            if not any(block <= comment_first <= last for comment_first, _, _ in file.comments):
                yield Finding(file.path, first, f"{name} has no words")


def one_macro_returns(tree):
    """TRY is the only macro that returns from the function it stands in."""
    for file in tree.matching(*C_AND_TESTS):
        for line, name, text in file.macros:
            if name != "TRY" and re.search(r"\breturn\b", text):
                yield Finding(file.path, line, f"{name} hides a return")


def goto_has_its_floors(tree):
    """goto lives in floors 0 and 1 and in drivers."""
    for file in tree.matching(*C):
        if matches(file.path, "src/base/*", *DRIVERS):
            continue
        yield from calls(file, r"\bgoto\b", "goto above the floors that may have it")


def typedefs_are_few(tree):
    """Only `str` and `err` are words of their own; else it is struct x, enum x."""
    for file in tree.matching(*C):
        for found in re.finditer(r"\btypedef\s+(?:const\s+)?(?:struct|enum|union)\b[^;{]*(?:\{[^}]*\})?[^;]*?\b(\w+)\s*;",
                                 file.plain):
            if found.group(1) not in ("str", "err") and "(" not in found.group():
                yield Finding(file.path, file.line_of(found.start()), f"typedef {found.group(1)}")


# ---- Mirrors: what exists is tested and built ----

# Files whose functions are tested by path of another kind, and why.
TESTED_ELSEWHERE = {
    "src/apps/*.c": "main programs: tests/e2e",
    "src/chassis/bus_remote.c": "needs a broker: tests/wire",
    "src/chassis/bus_rabbitmq.c": "needs a broker: tests/wire",
    "src/chassis/bus_kafka.c": "needs a broker: tests/wire",
    "src/chassis/bus_sqs.c": "needs a broker: tests/wire",
    "src/chassis/fetch.c": "needs a server: tests/wire, by the bus on SQS",
    "src/chassis/fetch_pipe.c": "needs a server: tests/wire, by Redis",
    "src/chassis/redis.c": "needs a server: tests/wire",
    "src/chassis/quota_share.c": "needs a server: tests/wire",
    "src/services/*/service.c": "composition: tests/api",
    "src/services/*/api*.c": "needs the service whole: tests/api",
    "src/services/*/reactions.c": "needs the service whole: tests/api",
    "src/services/*/jobs.c": "needs the service whole: tests/api",
    "src/services/*/store*.c": "needs a database: tests/api",
}


def units_are_mirrored(tree):
    """src/a/x.c that others call has tests/unit/a/x_test.c."""
    for file in tree.matching("src/*.c"):
        public = [function for function in file.functions if not function.is_static]
        test = file.path.replace("src/", "tests/unit/", 1).removesuffix(".c") + "_test.c"
        if public and test not in tree.files and not matches(file.path, *TESTED_ELSEWHERE):
            yield Finding(file.path, public[0].line, f"no {test}")


def sources_are_listed(tree):
    """Every .c file is named in a meson.build: one that is not is neither compiled nor run."""
    named = set()
    for build in tree.matching("*meson.build"):
        folder = build.path.removesuffix("meson.build")
        named.update(folder + name for name in re.findall(r"'([^'\n]+\.c)'", build.text))
        if folder == "src/apps/":
            named.update(f"{folder}{name}.c" for name in re.findall(r"'([a-z_]+)'", build.text))
    for file in tree.matching("src/*.c", "tests/*.c"):
        if file.path not in named:
            yield Finding(file.path, 1, "is in no meson.build")


# ---- What is called where ----


def calls(file, pattern, message):
    """Findings for each place where the pattern matches the code, but not behind '.' or '->' (a member's name)."""
    for found in re.finditer(pattern, file.plain):
        before = file.plain[max(0, found.start() - 2):found.start()].rstrip()
        if not before.endswith((".", "->")):
            yield Finding(file.path, file.line_of(found.start()), message.format(*found.groups()))


def call_of(names):
    return r"\b(" + "|".join(names) + r")\s*\("


ALLOCATION = ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf", "vasprintf",
              "aligned_alloc", "posix_memalign")
# The bus and the cache hold what comes and goes one by one, bounded: no arena has that life.
ALLOCATION_ROOMS = ("src/base/arena.c", "src/chassis/bus*", "src/chassis/cache.c") + DRIVERS


def memory_comes_from_arenas(tree):
    """malloc and its kin: in the arena, in src/os and in drivers."""
    for file in tree.matching(*C):
        if not matches(file.path, *ALLOCATION_ROOMS):
            yield from calls(file, call_of(ALLOCATION), "{0}() outside the arena, src/os and drivers")


BANNED = ("strcpy", "stpcpy", "strcat", "strncat", "strncpy", "sprintf", "vsprintf", "atoi", "atol", "atoll", "atof", "gets",
          "strtok", "alloca", "tmpnam", "mktemp")


def nothing_unsafe_is_called(tree):
    """Functions that write past an end or hide an error have no place at all."""
    for file in tree.matching(*C_AND_TESTS):
        yield from calls(file, call_of(BANNED), "{0}()")


# What only src/os and drivers may do: threads, clocks, chance, sockets, files. Also read from the object files.
SYSTEM_CALLS = ("time", "clock_gettime", "gettimeofday", "nanosleep", "clock_nanosleep", "usleep", "sleep", "getrandom",
                "getentropy", "rand", "random", "socket", "socketpair", "accept4", "epoll_create1", "open", "openat", "creat",
                "fopen", "fsync", "fdatasync", "fork", "getaddrinfo")
SYSTEM_CALL = re.compile(r"^(?:" + "|".join(SYSTEM_CALLS) + r"|pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+)$")


def system_stays_below(tree):
    """No thread, clock, chance, socket or file outside src/os and drivers, so that a simulation can stand in for them."""
    pattern = r"\b(" + "|".join(SYSTEM_CALLS) + r"|pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+)\s*\("
    for file in tree.matching(*C):
        if not matches(file.path, *DRIVERS):
            yield from calls(file, pattern, "{0}() outside src/os and drivers")


ENVIRONMENT_ROOMS = ("src/chassis/conf*", "src/os/*")


def settings_come_from_conf(tree):
    """getenv in the room of the settings only: every setting is in its table."""
    for file in tree.matching(*C):
        if not matches(file.path, *ENVIRONMENT_ROOMS):
            yield from calls(file, call_of(("getenv", "secure_getenv")), "{0}() outside chassis/conf")


SQL = re.compile(r"\s*(select\s|insert\s+(or\s+\w+\s+)?into\b|update\s+\w+\s+set\b|delete\s+from\b|replace\s+into\b|"
                 r"create\s+(unique\s+|virtual\s+|temp\w*\s+)?(table|index|view|trigger)\b|alter\s+table\b|"
                 r"drop\s+(table|index|view|trigger)\b|with\s+\w+\s*(\([^)]*\))?\s+as\s*\()", re.I)


# A driver asks its server about the server: what it is, which transactions it knows.
ABOUT_SERVER = re.compile(r"\s*select (pg_\w+|to_regclass|current_setting)\(", re.I)


def sql_lies_in_sql_files(tree):
    """No SQL in C; a driver's pragma, begin, commit, savepoint and questions about its server are its own words."""
    for file in tree.matching(*C):
        for line, text in file.strings:
            word = text.split(None, 1)[0] if text.strip() else ""
            if matches(file.path, "src/chassis/db_postgresql*") and ABOUT_SERVER.match(text):
                continue
            if SQL.match(text) and not word.istitle():  # "Select a user." is a sentence
                yield Finding(file.path, line, f"SQL outside a .sql file: {text[:40]!r}")


def no_float_near_money(tree):
    """No float or double in services or with money."""
    for file in tree.matching("src/services/*.c", "src/services/*.h", "src/base/money*"):
        yield from calls(file, r"\b(float|double)\b", "{0}")


IMPURE = re.compile(r"src/services/\w+/((service|api(_\w+)?|reactions|jobs|inside|store(_\w+)?)\.[ch]|providers/\w+\.[ch])$")


def rules_of_services_are_pure(tree):
    """In a service, only service, api*, reactions, jobs, store* and drivers of providers know of calls, transactions,
    databases; inside.h is what they share."""
    for file in tree.matching("src/services/*.c", "src/services/*.h"):
        if not IMPURE.match(file.path):
            yield from calls(file, r"\bstruct\s+(call|tx|db)\b", "struct {0} in a pure file")


# ---- Tables ----

ENTRY = re.compile(r"^([A-Z][A-Z_0-9]*)\((.*?)\)\s*$", re.M | re.S)


def entries_of(file):
    """The entries of a table: (line, macro, text of the arguments)."""
    text = re.sub(r"/\*.*?\*/", lambda found: blank_comment(found.group()), file.text, flags=re.S)
    return [(file.line_of(found.start()), found.group(1), found.group(2)) for found in ENTRY.finditer(text)]


def blank_comment(text):
    return re.sub(r"[^\n]", " ", text)


def tables_have_words(tree):
    """Each error, setting and metric has a sentence for people, and is there once."""
    for file in tree.matching("contracts/errors.tbl", "contracts/settings.tbl", "contracts/metrics.tbl"):
        seen = {}
        for line, macro, arguments in entries_of(file):
            words = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', arguments.split(",")[-1] if arguments.count('"') < 2
                                       else last_strings(arguments)))
            name = arguments.split(",")[0].strip()
            if len(words.split()) < 2 or not words.rstrip().endswith((".", "?", "!")):
                yield Finding(file.path, line, f"{macro}({name}) has no sentence")
            if (macro, name) in seen:
                yield Finding(file.path, line, f"{name} is already at line {seen[macro, name]}")
            seen[macro, name] = line


def last_strings(arguments):
    """The literal, or neighbouring literals, that end the arguments."""
    found = re.search(r'((?:"(?:\\.|[^"\\])*"\s*)+)$', arguments.strip())
    return found.group(1) if found else ""


RULES = [
    includes_go_down, no_include_cycles, vendors_have_one_room,
    functions_are_short, files_are_short, lines_are_short, comments_are_blocks, headers_open_with_words,
    prototypes_are_documented, one_macro_returns, goto_has_its_floors, typedefs_are_few,
    units_are_mirrored, sources_are_listed,
    memory_comes_from_arenas, nothing_unsafe_is_called, system_stays_below, settings_come_from_conf,
    sql_lies_in_sql_files, no_float_near_money, rules_of_services_are_pure,
    tables_have_words,
]
