/* Runs the tests of a program under cmocka, which catches what ends a test early, and tells the
 * outcome in our words. */
#include "tests/lib/test.h"

/* cmocka has a macro of the same name as ours; it is used here only, and not that one. */
#undef fail
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#undef fail

#include <ftw.h>
#include <limits.h>
#include <stdio.h>

enum outcome { OUTCOME_NONE, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

static struct test_case *cases_first, **cases_end = &cases_first;

static struct {
    struct test_case *running;
    enum outcome outcome;
    int passed, failed, skipped;
    bool verbose;
} state;

void test_register(struct test_case *test_case)
{
    *cases_end = test_case;
    cases_end = &test_case->next;
}

/* ---- How a test ends ---- */

void test_fail(const char *file, int line, const char *format, ...)
{
    printf("FAIL %s (%s:%d): ", state.running->test.name, file, line);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);

    state.outcome = OUTCOME_FAILED;
    _fail(file, line);
    abort(); /* _fail does not return from inside a test */
}

void test_skip(const char *why)
{
    printf("SKIP %s: %s\n", state.running->test.name, why);
    state.outcome = OUTCOME_SKIPPED;
    _skip(state.running->test.file, 0);
    abort();
}

/* Names the test that ends the program; only calls that are safe in a signal handler. */
static void name_running(const char *what)
{
    const char *name = state.running ? state.running->test.name : "(none)";
    const char *const words[] = { "FAIL ", name, ": ", what, "\n" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (write(STDOUT_FILENO, words[i], strlen(words[i])) < 0)
            return;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    name_running("ran for too long; the tests after it did not run");
    _exit(124);
}

static void on_abort(int signal_number)
{
    name_running("panicked or aborted; the tests after it did not run");
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void on_sanitizer(void)
{
    name_running("a sanitizer stopped it; the tests after it did not run");
}

/* There in builds with a sanitizer only. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static int set_up(void **context)
{
    state.running = *context;
    state.outcome = OUTCOME_NONE;
    state.running->test.arena = arena_open(TEST_ARENA_BYTES_MAX);
    if (state.verbose)
        printf("RUN  %s\n", state.running->test.name);
    fflush(stdout);
    alarm(TEST_SECONDS_MAX);
    return 0;
}

static void run_one(void **context)
{
    struct test_case *test_case = *context;
    test_case->run(&test_case->test);
    state.outcome = OUTCOME_PASSED;
}

/* Runs after each test, also after one that a signal ended: that one has told nothing yet. */
static int tear_down(void **context)
{
    struct test_case *test_case = *context;
    alarm(0);
    arena_close(test_case->test.arena);
    test_case->test.arena = NULL;
    if (state.outcome == OUTCOME_NONE) {
        printf("FAIL %s (%s): died of a signal\n", test_case->test.name, test_case->test.file);
        state.outcome = OUTCOME_FAILED;
    }
    state.passed += state.outcome == OUTCOME_PASSED;
    state.failed += state.outcome == OUTCOME_FAILED;
    state.skipped += state.outcome == OUTCOME_SKIPPED;
    fflush(stdout);
    return 0;
}

/* ---- Folders ---- */

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static void remove_folder(void *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

const char *test_folder(struct test *t)
{
    const char *parent = getenv("TMPDIR");
    str template = str_format(t->arena, "%s/duka-test-XXXXXX", parent ? parent : "/tmp");
    char *path = arena_alloc(t->arena, template.len + 1, 1);
    memcpy(path, template.ptr, template.len);
    if (!mkdtemp(path))
        FAIL("no folder at %s", path);
    arena_defer(t->arena, remove_folder, path);
    return path;
}

/* ---- Checks ---- */

void test_check_ok(const char *file, int line, const char *words, err error)
{
    if (error == OK)
        return;
    str told = err_describe(state.running->test.arena, error);
    test_fail(file, line, "%s: expected success, got %" STR_F, words, STR_A(told));
}

void test_check_err(const char *file, int line, const char *words, err error, enum err_code code)
{
    str expected = err_word(code);
    if (error == OK)
        test_fail(file, line, "%s: expected %" STR_F ", got success", words, STR_A(expected));
    if (error->code == code)
        return;
    str told = err_describe(state.running->test.arena, error);
    test_fail(file, line, "%s: expected %" STR_F ", got %" STR_F, words, STR_A(expected),
              STR_A(told));
}

void test_check_str(const char *file, int line, const char *words, str actual, str expected)
{
    if (!str_equal(actual, expected))
        test_fail(file, line, "%s: expected \"%" STR_F "\", got \"%" STR_F "\"", words,
                  STR_A(expected), STR_A(actual));
}

void test_check_int(const char *file, int line, const char *words, int64_t actual, int64_t expected)
{
    if (actual != expected)
        test_fail(file, line, "%s: expected %lld, got %lld", words, (long long)expected,
                  (long long)actual);
}

void test_check_bytes(const char *file, int line, const char *words, const void *actual,
                      const void *expected, size_t len)
{
    const unsigned char *a = actual, *b = expected;
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            test_fail(file, line, "%s: byte %zu: expected 0x%02x, got 0x%02x", words, i, b[i],
                      a[i]);
}

void test_check_money(const char *file, int line, const char *words, struct money actual,
                      struct money expected)
{
    if (actual.minor != expected.minor ||
        memcmp(actual.currency.letters, expected.currency.letters, 3) != 0)
        test_fail(file, line, "%s: expected %lld %.3s, got %lld %.3s", words,
                  (long long)expected.minor, expected.currency.letters, (long long)actual.minor,
                  actual.currency.letters);
}

bool test_check_panics(const char *file, int line, const char *words)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        test_fail(file, line, "no process could be forked");
    if (child == 0) {
        /* The report of the panic is expected; it would read as a fault in the log. */
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        return true;
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        ;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        test_fail(file, line, "%s: expected a panic, but it went on", words);
    return false;
}

/* ---- The program ---- */

static bool is_chosen(const struct test_case *test_case, const char *word)
{
    return !word || strstr(test_case->test.name, word) || strstr(test_case->test.file, word);
}

/* Gives cmocka the chosen tests. What it prints goes to a file nobody reads: ours is one line for
 * each failure. */
static void run_all(const char *word)
{
    size_t count = 0;
    for (struct test_case *at = cases_first; at; at = at->next)
        count += is_chosen(at, word);
    if (count == 0)
        return;

    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    size_t filled = 0;
    for (struct test_case *at = cases_first; at; at = at->next)
        if (is_chosen(at, word))
            tests[filled++] = (struct CMUnitTest){ at->test.name, run_one, set_up, tear_down, at };

    char path[PATH_MAX];
    const char *parent = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/duka-cmocka-%d.xml", parent ? parent : "/tmp", (int)getpid());
    setenv("CMOCKA_XML_FILE", path, 1);
    setenv("CMOCKA_MESSAGE_OUTPUT", "XML", 1);
    _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    remove(path);
    free(tests);
}

int main(int argc, char **argv)
{
    const char *word = NULL;
    bool lists = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            state.verbose = true;
        else if (strcmp(argv[i], "-l") == 0)
            lists = true;
        else if (argv[i][0])
            word = argv[i];
    }
    if (lists) {
        for (struct test_case *at = cases_first; at; at = at->next)
            if (is_chosen(at, word))
                printf("%s %s\n", at->test.file, at->test.name);
        return 0;
    }

    signal(SIGALRM, on_alarm);
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(on_sanitizer);
    run_all(word);
    printf("counts: passed=%d failed=%d skipped=%d\n", state.passed, state.failed, state.skipped);
    return state.failed ? 1 : 0;
}
