"""Faults planted on purpose: each rule must find its own, and must let the sound neighbour of it pass."""
import objects
from rules import COLUMNS_MAX, FILE_LINES_MAX, FUNCTION_LINES_MAX, RULES
from source import Finding, Tree

HEADER = "/* What it is for. */\n#pragma once\n"


def body(lines):
    """A function of that many lines."""
    return "static void long_one(void)\n{\n" + "    step();\n" * (lines - 3) + "}\n"


# (rule, name, a planted tree, the place where it must be found; None where nothing must be)
CASES = [
    ("includes_go_down", "base includes os", {"src/base/a.c": '#include "os/clock.h"\n'}, "src/base/a.c:1"),
    ("includes_go_down", "os includes chassis", {"src/os/a.h": '\n#include "chassis/http.h"\n'}, "src/os/a.h:2"),
    ("includes_go_down", "chassis includes a service", {"src/chassis/a.c": '#include "services/orders/order.h"\n'}, "src/chassis/a.c:1"),
    ("includes_go_down", "chassis includes a service's messages", {"src/chassis/a.c": '#include "gen/orders.h"\n'}, "src/chassis/a.c:1"),
    ("includes_go_down", "a service includes a neighbour", {"src/services/users/a.c": '#include "services/orders/order.h"\n'},
     "src/services/users/a.c:1"),
    ("includes_go_down", "a service includes os", {"src/services/users/a.c": '#include "os/clock.h"\n'}, "src/services/users/a.c:1"),
    ("includes_go_down", "a service reads a neighbour's tables", {"src/services/users/store.c": '#include "gen/orders.sql.h"\n'},
     "src/services/users/store.c:1"),
    ("includes_go_down", "a program looks into a service", {"src/apps/a.c": '#include "services/orders/store.h"\n'}, "src/apps/a.c:1"),
    ("includes_go_down", "stairs down", {
        "src/base/a.c": '#include "base/b.h"\n#include "errors.tbl"\n', "src/os/a.c": '#include "base/b.h"\n',
        "src/chassis/a.c": '#include "os/b.h"\n#include "gen/duka.h"\n#include <stdio.h>\n',
        "src/services/users/store.c": '#include "gen/users.sql.h"\n#include "gen/orders.h"\n#include "services/users/user.h"\n',
        "src/apps/duka.c": '#include "services/orders/service.h"\n'}, None),

    ("no_include_cycles", "two headers hold each other", {
        "src/base/a.h": '#include "base/b.h"\n', "src/base/b.h": '#include "base/a.h"\n'}, "src/base/b.h:1"),
    ("no_include_cycles", "two headers share a third", {
        "src/base/a.h": '#include "base/c.h"\n', "src/base/b.h": '#include "base/c.h"\n#include "base/a.h"\n', "src/base/c.h": ""}, None),

    ("vendors_have_one_room", "SQLite in a service", {"src/services/users/store.c": "#include <sqlite3.h>\n"}, "src/services/users/store.c:1"),
    ("vendors_have_one_room", "libuv in the chassis", {"src/chassis/a.c": "#include <uv.h>\n"}, "src/chassis/a.c:1"),
    ("vendors_have_one_room", "quoted instead", {"src/chassis/a.c": '#include "yyjson.h"\n'}, "src/chassis/a.c:1"),
    ("vendors_have_one_room", "an unknown library", {"src/chassis/a.c": "#include <zlib.h>\n"}, "src/chassis/a.c:1"),
    ("vendors_have_one_room", "each in its room", {
        "src/chassis/db_sqlite.c": "#include <sqlite3.h>\n#include <sys/stat.h>\n", "src/os/loop.c": "#include <uv.h>\n",
        "src/base/json.c": "#include <yyjson.h>\n"}, None),

    ("functions_are_short", "one line too many", {"src/base/a.c": "\n" + body(FUNCTION_LINES_MAX + 1)}, "src/base/a.c:2"),
    ("functions_are_short", "a long test", {"tests/unit/a_test.c": body(FUNCTION_LINES_MAX + 9).replace("static void long_one(void)", "TEST(x)")},
     "tests/unit/a_test.c:1"),
    ("functions_are_short", "as long as allowed; a table may be longer", {
        "src/base/a.c": body(FUNCTION_LINES_MAX) + "static const int table[] = {\n" + "    1,\n" * 200 + "};\n"}, None),

    ("files_are_short", "one line too many", {"src/base/a.c": "int a;\n" * (FILE_LINES_MAX + 1)}, f"src/base/a.c:{FILE_LINES_MAX + 1}"),
    ("files_are_short", "as long as allowed", {"src/base/a.c": "int a;\n" * FILE_LINES_MAX, "contracts/a.tbl": "\n" * 2000}, None),

    ("lines_are_short", "one column too many", {"src/base/a.c": "int a;\n" + "x" * (COLUMNS_MAX + 1) + "\n"}, "src/base/a.c:2"),
    ("lines_are_short", "a tab", {"src/base/a.c": "\tint a;\n"}, "src/base/a.c:1"),
    ("lines_are_short", "white space at the end", {"src/base/a.c": "int a; \n"}, "src/base/a.c:1"),
    ("lines_are_short", "columns are characters", {"src/base/a.c": "/*" + "ß" * (COLUMNS_MAX - 4) + "*/\n"}, None),

    ("comments_are_blocks", "a // comment", {"src/base/a.c": "int a; // of C++\n"}, "src/base/a.c:1"),
    ("comments_are_blocks", "an address in a string", {"src/base/a.c": 'str a = STR("https://example.org"); /* // */\n'}, None),

    ("headers_open_with_words", "no words", {"src/base/a.h": "#pragma once\n"}, "src/base/a.h:1"),
    ("headers_open_with_words", "no guard", {"src/base/a.h": "/* Words. */\n"}, "src/base/a.h:1"),
    ("headers_open_with_words", "both", {"src/base/a.h": HEADER}, None),

    ("prototypes_are_documented", "no words", {"src/base/a.h": HEADER + "\nint order_count(struct arena *arena);\n"}, "src/base/a.h:4"),
    ("prototypes_are_documented", "words apart", {"src/base/a.h": HEADER + "\n/* Words. */\n\nvoid *order_open(void);\n"}, "src/base/a.h:6"),
    ("prototypes_are_documented", "attributes", {
        "src/base/a.h": HEADER + "\nerr make(int a, ...)\n    __attribute__((format(printf, 4, 5), warn_unused_result));\n"}, "src/base/a.h:4"),
    ("prototypes_are_documented", "alone, in a group, beside; values and inlines", {
        "src/base/a.h": HEADER + "\n/* Words. */\nint a(void);\n\n/* Both. */\nint b(int x);\nint c(int x,\n      int y);\n\n"
                        "struct table {\n    int (*open)(void *self);\n};\n\nextern const int values[];\n"
                        "static inline int d(void) { return a(); }\n\nint e(void); /* words */\n"}, None),

    ("one_macro_returns", "another macro", {"src/base/a.h": "#define GIVE(x) \\\n    do { \\\n        return x; \\\n    } while (0)\n"}, "src/base/a.h:1"),
    ("one_macro_returns", "TRY, and a comment", {"src/base/a.h": "#define TRY(x) return x\n#define A 1 /* return */\n"}, None),

    ("goto_has_its_floors", "in a service", {"src/services/users/a.c": "void f(void)\n{\n    goto end;\n}\n"}, "src/services/users/a.c:3"),
    ("goto_has_its_floors", "in os", {"src/os/a.c": "goto end;\n", "src/chassis/db_sqlite.c": "goto end;\n"}, None),

    ("typedefs_are_few", "a struct", {"src/os/a.h": "typedef struct loop loop;\n"}, "src/os/a.h:1"),
    ("typedefs_are_few", "a struct with a body", {"src/os/a.h": "typedef struct {\n    int a;\n} loop;\n"}, "src/os/a.h:1"),
    ("typedefs_are_few", "the two words, and functions", {
        "src/base/a.h": "typedef struct str {\n    int a;\n} str;\ntypedef const struct e *err;\ntypedef err handler(void *self);\n"}, None),

    ("units_are_mirrored", "no test", {"src/base/a.c": "int a(void)\n{\n    return 1;\n}\n"}, "src/base/a.c:1"),
    ("units_are_mirrored", "a test, private functions, tested elsewhere", {
        "src/base/a.c": "int a(void)\n{\n}\n", "tests/unit/base/a_test.c": "", "src/base/b.c": "static int b(void)\n{\n}\n",
        "src/services/users/api.c": "err c(void)\n{\n}\n", "src/apps/duka.c": "int main(void)\n{\n}\n"}, None),

    ("sources_are_listed", "a forgotten file", {"src/base/meson.build": "files('b.c')\n", "src/base/a.c": "", "src/base/b.c": ""}, "src/base/a.c:1"),
    ("sources_are_listed", "a forgotten test", {"tests/meson.build": "", "tests/unit/base/a_test.c": ""}, "tests/unit/base/a_test.c:1"),
    ("sources_are_listed", "all named", {
        "src/base/meson.build": "files('a.c')\n", "src/base/a.c": "", "tests/meson.build": "files('unit/base/a_test.c')\n",
        "tests/unit/base/a_test.c": "", "src/apps/meson.build": "foreach app : ['duka']\n", "src/apps/duka.c": ""}, None),

    ("memory_comes_from_arenas", "malloc in a service", {"src/services/users/a.c": "void f(void)\n{\n    g(malloc(1));\n}\n"}, "src/services/users/a.c:3"),
    ("memory_comes_from_arenas", "free in the chassis", {"src/chassis/a.c": "free (x);\n"}, "src/chassis/a.c:1"),
    ("memory_comes_from_arenas", "in its rooms, and words like it", {
        "src/base/arena.c": "malloc(1);\n", "src/os/a.c": "free(x);\n", "src/chassis/db_sqlite.c": "free(x);\n",
        "src/chassis/a.c": 'list_free(x); x->free(y); /* free(x) */ say("free(x)");\n'}, None),

    ("nothing_unsafe_is_called", "sprintf", {"src/base/a.c": "int a;\nsprintf(a, b);\n"}, "src/base/a.c:2"),
    ("nothing_unsafe_is_called", "strcpy in a test", {"tests/unit/a_test.c": "strcpy(a, b);\n"}, "tests/unit/a_test.c:1"),
    ("nothing_unsafe_is_called", "snprintf", {"src/base/a.c": "snprintf(a, b, c);\n"}, None),

    ("system_stays_below", "the clock in a service", {"src/services/users/a.c": "int a = time(NULL);\n"}, "src/services/users/a.c:1"),
    ("system_stays_below", "a thread in the chassis", {"src/chassis/a.c": "pthread_mutex_lock(&a);\n"}, "src/chassis/a.c:1"),
    ("system_stays_below", "a file in base", {"src/base/a.c": 'fopen("a", "r");\n'}, "src/base/a.c:1"),
    ("system_stays_below", "below, and words like it", {
        "src/os/a.c": "open(a, b);\nfsync(c);\n", "src/chassis/a.c": "disk->open(a); db_open(b); time_parse(c); self.time(d);\n"}, None),

    ("settings_come_from_conf", "getenv in a service", {"src/services/users/a.c": 'getenv("A");\n'}, "src/services/users/a.c:1"),
    ("settings_come_from_conf", "getenv in its room", {"src/chassis/conf.c": 'getenv("A");\n'}, None),

    ("sql_lies_in_sql_files", "a select", {"src/services/users/store.c": 'run("select id "\n    "from users");\n'}, "src/services/users/store.c:1"),
    ("sql_lies_in_sql_files", "an insert in the chassis", {"src/chassis/a.c": '\nrun("INSERT INTO outbox values (1)");\n'}, "src/chassis/a.c:2"),
    ("sql_lies_in_sql_files", "a driver's words, and words for people", {
        "src/chassis/db_sqlite.c": 'run("begin immediate"); run("pragma x");\n', "src/base/a.c": 'say("Select one; update it; delete it.");\n'}, None),

    ("no_float_near_money", "double in a service", {"src/services/orders/a.h": "double total;\n"}, "src/services/orders/a.h:1"),
    ("no_float_near_money", "float in money", {"src/base/money.c": "(float)x;\n"}, "src/base/money.c:1"),
    ("no_float_near_money", "double elsewhere, and the word", {"src/os/a.c": "double x;\n", "src/services/orders/a.c": "/* double */ double_it();\n"}, None),

    ("rules_of_services_are_pure", "a call in a rule", {"src/services/orders/order.c": "err f(struct call *call);\n"}, "src/services/orders/order.c:1"),
    ("rules_of_services_are_pure", "a transaction in a view", {"src/services/orders/view.h": "\nerr f(struct tx *tx);\n"}, "src/services/orders/view.h:2"),
    ("rules_of_services_are_pure", "where they belong", {
        "src/services/orders/api.c": "struct call *call;\n", "src/services/orders/store.h": "struct tx *tx;\n",
        "src/services/orders/order.c": "struct caller *x;\n"}, None),

    ("tables_have_words", "no sentence", {"contracts/errors.tbl": 'ERROR(A, "a", INVALID, "")\n'}, "contracts/errors.tbl:1"),
    ("tables_have_words", "a word is no sentence", {"contracts/settings.tbl": '/* x */\nSETTING(PORT, "3000", INT, "Port")\n'}, "contracts/settings.tbl:2"),
    ("tables_have_words", "there twice", {
        "contracts/errors.tbl": 'ERROR(A, "a", INVALID, "It is not.")\nERROR(A, "b", INVALID, "It is not.")\n'}, "contracts/errors.tbl:2"),
    ("tables_have_words", "sentences", {
        "contracts/errors.tbl": 'ERROR(A, "a", INVALID, "It is (a, b) not.")\nERROR(B, "b", INVALID,\n      "It is "\n      "not here.")\n'}, None),
]

OBJECT_CASES = [
    ("the clock in a service", "build/x/src/services/orders/liborders.a.p/order.c.o:                 U time\n", "src/services/orders/order.c:1"),
    ("a thread in the chassis", "src/chassis/libchassis.a.p/http.c.o: U pthread_create@GLIBC_2.34\n", "src/chassis/http.c:1"),
    ("fortified open", "src/base/libbase.a.p/str.c.o: U __open64_2\n", "src/base/str.c:1"),
    ("fortified sprintf", "src/os/libos.a.p/disk.c.o: U __sprintf_chk\n", "src/os/disk.c:1"),
    ("malloc in a service", "src/services/users/libusers.a.p/user.c.o: U malloc\n", "src/services/users/user.c:1"),
    ("what may be", "src/os/libos.a.p/disk.c.o: U open64\nsrc/base/libbase.a.p/arena.c.o: U malloc\n"
                    "src/base/libbase.a.p/str.c.o: U __vsnprintf_chk\nlibyyjson.a.p/build_deps_yyjson_yyjson.c.o: U malloc\n", None),
]


def judge(found, place):
    """What is wrong with the findings of a planted tree: the fault was not seen, or more than it."""
    places = [f"{finding.path}:{finding.line}" for finding in found]
    if place is None:
        return [Finding("tools/tidy/selftest.py", 0, f"nothing is wrong, but: {finding}") for finding in found]
    if place not in places:
        return [Finding("tools/tidy/selftest.py", 0, f"not found at {place}; found: {places}")]
    return []


def run():
    """Plants each fault; gives (name, what is wrong) for each, and for each rule that has none."""
    by_name = {rule.__name__: rule for rule in RULES}
    for rule, name, texts, place in CASES:
        yield f"{rule}: {name}", judge(list(by_name[rule](Tree(texts))), place)
    for rule in by_name:
        planted = [place for case_rule, _, _, place in CASES if case_rule == rule]
        if not any(planted) or None not in planted:
            yield f"{rule}: planted", [Finding("tools/tidy/selftest.py", 0, f"{rule} has no fault, or no sound neighbour")]


def run_objects():
    """The same for the rules over object files."""
    for name, listing, place in OBJECT_CASES:
        yield f"objects: {name}", judge(list(objects.findings(objects.undefined_of(listing))), place)
