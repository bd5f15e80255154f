/* Faults planted on purpose: every way in which a test can end. scripts/test runs this program and
 * expects exactly these outcomes, so that a check that cannot fail is noticed. */
#include "tests/lib/test.h"
#include <stdio.h>

static err refused(struct arena *arena) { return fail(arena, HTTP_MALFORMED, "planted"); }

TEST(passes_on_truth)
{
    CHECK(1 + 1 == 2);
    CHECK_STR(str_format(t->arena, "%d", 12), "12");
    CHECK_STR("a", STR("a"));
    CHECK_INT(-1, -1);
    CHECK_OK(OK);
    CHECK_ERR(refused(t->arena), HTTP_MALFORMED);
    CHECK_BYTES("abc", "abc", 3);
    CHECK_MONEY(((struct money){ 5, { "EUR" } }), ((struct money){ 5, { "EUR" } }));
}

TEST(passes_on_an_expected_panic) { CHECK_PANICS(ASSERT(1 == 2)); }

TEST(passes_with_a_folder)
{
    const char *folder = test_folder(t);
    CHECK(access(folder, R_OK | W_OK | X_OK) == 0);
    FILE *file = fopen(str_z(t->arena, str_format(t->arena, "%s/left", folder)), "w");
    CHECK(file && fclose(file) == 0);
}

TEST(fails_on_a_lie) { CHECK(1 + 1 == 3); }

TEST(fails_on_an_error) { CHECK_OK(refused(t->arena)); }

TEST(fails_on_success_where_an_error_is_due) { CHECK_ERR(OK, HTTP_MALFORMED); }

TEST(fails_on_another_error) { CHECK_ERR(refused(t->arena), JSON_MALFORMED); }

TEST(fails_on_another_text) { CHECK_STR("a", "b"); }

TEST(fails_on_another_number) { CHECK_INT(1, 2); }

TEST(fails_on_other_bytes) { CHECK_BYTES("abc", "abd", 3); }

TEST(fails_on_another_currency)
{
    CHECK_MONEY(((struct money){ 5, { "EUR" } }), ((struct money){ 5, { "USD" } }));
}

TEST(fails_where_no_panic_comes) { CHECK_PANICS((void)0); }

TEST(fails_on_a_signal) { raise(SIGSYS); }

TEST(is_skipped) { SKIP("planted"); }
