#include "base/err.h"
#include "tests/lib/test.h"

TEST(an_error_tells_its_code_its_detail_and_its_place)
{
    err error = fail(t->arena, ORDER_EMPTY, "%d lines", 0);

    CHECK_ERR(error, ORDER_EMPTY);
    CHECK_STR(error->detail, "0 lines");
    CHECK(strstr(error->place, "err_test.c:") != NULL);
    CHECK_INT(error->fields_count, 0);
    CHECK(error->cause == OK);
    CHECK(error->subject.ptr == NULL);
}

TEST(a_detail_that_repeats_bytes_of_a_client_is_text_all_the_same)
{
    err error = fail(t->arena, MEDIA_TYPE_UNSUPPORTED, "not %" STR_F, STR_A(STR("a\xff/b")));
    CHECK_STR(error->detail, "not a\xef\xbf\xbd/b");
    error = fail(t->arena, MEDIA_TYPE_UNSUPPORTED, "not %" STR_F, STR_A(STR("a\xc3\xbc/b")));
    CHECK_STR(error->detail, "not a\xc3\xbc/b");
}

TEST(a_refused_field_is_named_by_its_pointer)
{
    err error = fail_field(t->arena, FIELD_INVALID, STR("/lines/0"), "at least %d", 1);

    CHECK_ERR(error, FIELD_INVALID);
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].pointer, "/lines/0");
    CHECK_STR(error->fields[0].message, "at least 1");
    CHECK_STR(error->detail, "at least 1");
}

TEST(an_error_lies_over_its_cause)
{
    err cause = fail(t->arena, OS_FAILED, "no such file");
    err error = fail_over(t->arena, SETTING_INVALID, cause, "%s", "KEYS_DIR");

    CHECK_ERR(error, SETTING_INVALID);
    CHECK(error->cause == cause);
}

TEST(without_an_arena_an_error_is_a_constant_with_the_words_of_its_code)
{
    err error = fail(NULL, OUT_OF_MEMORY, "%d bytes", 7);

    CHECK_ERR(error, OUT_OF_MEMORY);
    CHECK_STR(error->detail, err_words(OUT_OF_MEMORY));
    CHECK(fail(NULL, OUT_OF_MEMORY, "again") == error);
    CHECK_ERR(fail_field(NULL, FIELD_INVALID, STR("/x"), "no"), FIELD_INVALID);
    CHECK_ERR(fail_over(NULL, DB_FAILED, error, "no"), DB_FAILED);
}

static err step(struct arena *arena, bool works)
{
    return works ? OK : fail(arena, NOT_FOUND, "step");
}

static err two_steps(struct arena *arena, bool first, bool second, int *steps)
{
    *steps = 0;
    TRY(step(arena, first));
    *steps = 1;
    TRY(step(arena, second));
    *steps = 2;
    return OK;
}

TEST(try_returns_the_first_error_upward)
{
    int steps;

    CHECK_OK(two_steps(t->arena, true, true, &steps));
    CHECK_INT(steps, 2);
    CHECK_ERR(two_steps(t->arena, true, false, &steps), NOT_FOUND);
    CHECK_INT(steps, 1);
    CHECK_ERR(two_steps(t->arena, false, true, &steps), NOT_FOUND);
    CHECK_INT(steps, 0);
}

TEST(a_copy_outlives_the_arena_of_the_original)
{
    struct arena *call = arena_open(64 * 1024);
    err cause = fail(call, DB_FULL, "disk %d", 1);
    struct err_value value = *fail_field(call, FIELD_INVALID, STR("/a"), "wrong %d", 2);

    value.cause = cause;
    value.subject = str_format(call, "order-%d", 3);
    value.retry_after_s = 4;
    err copy = err_copy(t->arena, &value);
    arena_close(call);

    CHECK_ERR(copy, FIELD_INVALID);
    CHECK_STR(copy->detail, "wrong 2");
    CHECK_STR(copy->fields[0].pointer, "/a");
    CHECK_STR(copy->fields[0].message, "wrong 2");
    CHECK_STR(copy->subject, "order-3");
    CHECK_INT(copy->retry_after_s, 4);
    CHECK_ERR(copy->cause, DB_FULL);
    CHECK_STR(copy->cause->detail, "disk 1");
    CHECK_OK(err_copy(t->arena, OK));
}

TEST(each_code_has_a_word_of_its_own_that_leads_back_to_it)
{
    for (enum err_code code = 0; code < ERR_CODES_COUNT; code++) {
        CHECK(err_word(code).len > 0);
        CHECK_INT(err_code_of(err_word(code)), code);
        CHECK(str_ends(err_words(code), STR(".")));
        CHECK(err_kind_of(code) < ERR_KINDS_COUNT);
    }
}

TEST(a_word_that_is_none_gives_no_code)
{
    CHECK_INT(err_code_of(STR("order.unheard_of")), ERR_CODES_COUNT);
    CHECK_INT(err_code_of(STR_NONE), ERR_CODES_COUNT);
}

TEST(words_and_kinds_come_from_the_table)
{
    CHECK_STR(err_word(STOCK_INSUFFICIENT), "stock.insufficient");
    CHECK_INT(err_kind_of(STOCK_INSUFFICIENT), ERR_CONFLICT);
    CHECK_INT(err_kind_of(ORDER_EMPTY), ERR_INVALID);
}

TEST(the_description_holds_the_whole_chain_on_one_line)
{
    err cause = err_make(t->arena, OS_FAILED, "a.c:1", "gone");
    err error = err_make_over(t->arena, DB_FAILED, "b.c:2", cause, "insert");

    CHECK_STR(err_describe(t->arena, error),
              "db.failed: insert (b.c:2) <- os.failed: gone (a.c:1)");
}

TEST(the_description_names_refused_fields)
{
    err error = err_make_field(t->arena, FIELD_INVALID, "c.c:3", STR("/sku"), "too long");

    CHECK_STR(err_describe(t->arena, error), "field.invalid: too long [/sku: too long] (c.c:3)");
}

TEST(success_is_described_as_such) { CHECK_STR(err_describe(t->arena, OK), "ok"); }

TEST(an_error_is_of_one_code_only)
{
    err error = fail(t->arena, NOT_FOUND, "it");

    CHECK(err_is(error, NOT_FOUND));
    CHECK(!err_is(error, DB_FAILED));
    CHECK(!err_is(OK, NOT_FOUND));
}

TEST(a_code_outside_the_table_panics)
{
    CHECK_PANICS(err_word(ERR_CODES_COUNT));
    CHECK_PANICS((void)!fail(t->arena, ERR_CODES_COUNT, "x"));
}

/* What panic() writes to stderr, in a child process. */
static str report_of_a_panic(struct arena *arena, const char *context)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        panic_context(context);
        panic("orders.c:7", "total >= 0", "order_place");
    }
    close(ends[1]);

    struct text report = text_init(arena, 1024);
    char bytes[256];
    for (ssize_t len; (len = read(ends[0], bytes, sizeof bytes)) > 0;)
        text_add(&report, str_of(bytes, (size_t)len));
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return text_str(&report);
}

TEST(a_panic_tells_the_place_the_condition_and_the_call_in_hand)
{
    str report = report_of_a_panic(t->arena, "orders.CreateOrder trace=42");

    CHECK(
        str_starts(report, STR("panic: orders.c:7: order_place: broken invariant: total >= 0\n")));
    CHECK(str_find(report, STR("orders.CreateOrder trace=42\n")) > 0);
}

TEST(a_panic_outside_a_call_needs_no_context)
{
    CHECK_STR(report_of_a_panic(t->arena, NULL),
              "panic: orders.c:7: order_place: broken invariant: total >= 0\n");
}

TEST(an_assert_that_holds_goes_on) { ASSERT(1 + 1 == 2); }
