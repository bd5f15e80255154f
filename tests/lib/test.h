/* The words of the tests: a thin layer over cmocka.
 *
 *     TEST(splits_at_the_first_comma)
 *     {
 *         CHECK_STR(first_of(t->arena, STR("a,b")), "a");
 *     }
 *
 * A test registers itself; its name is a sentence. It has an arena, `t->arena`, that is closed when
 * it ends, however it ends. A check that does not hold ends the test and prints one line; checks
 * belong to the test's own thread. A program of tests ends with one line, "counts: passed=…
 * failed=… skipped=…". `PROGRAM [-v] [-l] [WORD]` runs those whose name or file holds the word.
 * This is not a place for helpers of one room: those lie beside its tests. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/money.h"
#include "base/str.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_ARENA_BYTES_MAX = 64 * 1024 * 1024, TEST_SECONDS_MAX = 120 };

struct test {
    struct arena *arena;
    const char *name;
    const char *file;
};

struct test_case {
    struct test test;
    void (*run)(struct test *t);
    struct test_case *next;
};

/* Adds a test to the program; called by TEST before main. */
void test_register(struct test_case *test_case);

/* Ends the running test: prints its line. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the running test as skipped, with the reason. */
_Noreturn void test_skip(const char *why);

/* A new folder that is removed with all that is in it when the test ends. */
const char *test_folder(struct test *t);

/* What the CHECK macros call: they compare, and end the test with both values where they differ. */
void test_check_ok(const char *file, int line, const char *words, err error);
void test_check_err(const char *file, int line, const char *words, err error, enum err_code code);
void test_check_str(const char *file, int line, const char *words, str actual, str expected);
void test_check_int(const char *file, int line, const char *words, int64_t actual,
                    int64_t expected);
void test_check_bytes(const char *file, int line, const char *words, const void *actual,
                      const void *expected, size_t len);
void test_check_money(const char *file, int line, const char *words, struct money actual,
                      struct money expected);

/* Forks for CHECK_PANICS: true in the child, which must die of SIGABRT; false in the parent, once
 * it has. */
bool test_check_panics(const char *file, int line, const char *words);

static inline str test_str_itself(str s) { return s; }

#define TEST(title)                                                                                \
    static void test_##title##_(struct test *t);                                                   \
    static struct test_case test_##title##_case_ = { .test = { .name = #title, .file = __FILE__ }, \
                                                     .run = test_##title##_ };                     \
    __attribute__((constructor)) static void test_##title##_add_(void)                             \
    {                                                                                              \
        test_register(&test_##title##_case_);                                                      \
    }                                                                                              \
    static void test_##title##_(struct test *t __attribute__((unused)))

/* Skips the test from here on. */
#define SKIP(why) test_skip(why)

/* Fails the test, with words as printf takes them. */
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition) \
    ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "CHECK(%s)", #condition))

/* Succeeded; or failed with this code. */
#define CHECK_OK(error) test_check_ok(__FILE__, __LINE__, #error, (error))
#define CHECK_ERR(error, code) test_check_err(__FILE__, __LINE__, #error, (error), (code))

/* The same text. Each side is a str or a C string; an absent str and an empty one are equal. */
#define CHECK_STR(actual, expected) \
    test_check_str(__FILE__, __LINE__, #actual, TEST_STR_(actual), TEST_STR_(expected))
#define TEST_STR_(s) \
    _Generic((s), str : test_str_itself, char * : str_of_z, const char * : str_of_z)(s)

/* The same integer, enum value or truth. */
#define CHECK_INT(actual, expected) \
    test_check_int(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(expected))

/* The same bytes, amount. */
#define CHECK_BYTES(actual, expected, len) \
    test_check_bytes(__FILE__, __LINE__, #actual, (actual), (expected), (len))
#define CHECK_MONEY(actual, expected) \
    test_check_money(__FILE__, __LINE__, #actual, (actual), (expected))

/* The statement breaks an invariant: in a child process, it dies of it. */
#define CHECK_PANICS(statement)                                  \
    do {                                                         \
        if (test_check_panics(__FILE__, __LINE__, #statement)) { \
            statement;                                           \
            _exit(0);                                            \
        }                                                        \
    } while (0)
