#include "base/money.h"
#include "tests/lib/test.h"

static struct currency currency(const char *letters)
{
    struct currency out;

    CHECK_OK(currency_parse(NULL, str_of_z(letters), &out));
    return out;
}

static struct money money(int64_t minor, const char *letters)
{
    return (struct money){ minor, currency(letters) };
}

TEST(currencies_have_the_decimals_of_iso_4217)
{
    CHECK_INT(currency_decimals(currency("EUR")), 2);
    CHECK_INT(currency_decimals(currency("USD")), 2);
    CHECK_INT(currency_decimals(currency("JPY")), 0);
    CHECK_INT(currency_decimals(currency("ISK")), 0);
    CHECK_INT(currency_decimals(currency("KWD")), 3);
    CHECK_INT(currency_decimals(currency("CLF")), 4);
    CHECK_INT(currency_decimals(currency("AED")), 2); /* the first */
    CHECK_INT(currency_decimals(currency("ZWG")), 2); /* the last */
}

TEST(the_table_of_currencies_is_in_order)
{
    static const char *const CODES[] = {
#define CURRENCY(code, decimals) #code,
#include "base/currencies.tbl"
#undef CURRENCY
    };

    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++) {
        CHECK(i == 0 || strcmp(CODES[i - 1], CODES[i]) < 0);
        CHECK_STR(currency(CODES[i]).letters, CODES[i]);
    }
}

TEST(what_is_no_current_currency_is_refused)
{
    static const char *const WRONG[] = { "",    "E",   "EU",  "EURO", "eur", "Eur", "DEM", "XXX",
                                         "XTS", "XAU", "BGN", "AAA",  "ZZZ", "   ", "123" };
    struct currency out;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK_ERR(currency_parse(t->arena, str_of_z(WRONG[i]), &out), MONEY_CURRENCY_UNKNOWN);
    CHECK_ERR(currency_parse(t->arena, STR_NONE, &out), MONEY_CURRENCY_UNKNOWN);
}

TEST(a_currency_that_nobody_set_has_no_decimals)
{
    CHECK_PANICS(currency_decimals((struct currency){ "" }));
}

TEST(currencies_are_equal_by_their_letters)
{
    CHECK(currency_equal(currency("EUR"), currency("EUR")));
    CHECK(!currency_equal(currency("EUR"), currency("USD")));
}

TEST(zero_has_a_currency) { CHECK_MONEY(money_zero(currency("JPY")), money(0, "JPY")); }

TEST(amounts_of_one_currency_add_up)
{
    struct money sum;

    CHECK_OK(money_add(t->arena, money(450, "EUR"), money(-1000, "EUR"), &sum));
    CHECK_MONEY(sum, money(-550, "EUR"));
}

TEST(a_sum_may_replace_its_own_part)
{
    struct money total = money(1, "EUR");

    CHECK_OK(money_add(t->arena, total, money(2, "EUR"), &total));
    CHECK_MONEY(total, money(3, "EUR"));
}

TEST(amounts_of_two_currencies_are_never_added)
{
    struct money sum = money(7, "EUR");

    CHECK_ERR(money_add(t->arena, money(1, "EUR"), money(1, "USD"), &sum), MONEY_CURRENCY_MIXED);
    CHECK_MONEY(sum, money(7, "EUR"));
}

TEST(a_sum_stays_inside_what_duka_handles)
{
    struct money sum, most = money(MONEY_MINOR_MAX, "EUR"), least = money(-MONEY_MINOR_MAX, "EUR");

    CHECK_OK(money_add(t->arena, most, money_zero(most.currency), &sum));
    CHECK_MONEY(sum, most);
    CHECK_OK(money_add(t->arena, most, least, &sum));
    CHECK_ERR(money_add(t->arena, most, money(1, "EUR"), &sum), MONEY_OVERFLOW);
    CHECK_ERR(money_add(t->arena, least, money(-1, "EUR"), &sum), MONEY_OVERFLOW);
    CHECK_ERR(money_add(t->arena, money(INT64_MAX, "EUR"), money(INT64_MAX, "EUR"), &sum),
              MONEY_OVERFLOW);
    CHECK_ERR(money_add(t->arena, money(INT64_MIN, "EUR"), money(-1, "EUR"), &sum), MONEY_OVERFLOW);
}

TEST(an_amount_is_taken_so_many_times)
{
    struct money product;

    CHECK_OK(money_times(t->arena, money(450, "EUR"), 3, &product));
    CHECK_MONEY(product, money(1350, "EUR"));
    CHECK_OK(money_times(t->arena, money(-450, "EUR"), 2, &product));
    CHECK_MONEY(product, money(-900, "EUR"));
    CHECK_OK(money_times(t->arena, money(450, "EUR"), 0, &product));
    CHECK_MONEY(product, money(0, "EUR"));
}

TEST(a_product_stays_inside_what_duka_handles)
{
    struct money product;

    CHECK_OK(money_times(t->arena, money(MONEY_MINOR_MAX / 10, "EUR"), 10, &product));
    CHECK_MONEY(product, money(MONEY_MINOR_MAX, "EUR"));
    CHECK_ERR(money_times(t->arena, money(MONEY_MINOR_MAX / 10 + 1, "EUR"), 10, &product),
              MONEY_OVERFLOW);
    CHECK_ERR(money_times(t->arena, money(-MONEY_MINOR_MAX, "EUR"), 2, &product), MONEY_OVERFLOW);
    CHECK_ERR(money_times(t->arena, money(2, "EUR"), INT64_MAX, &product), MONEY_OVERFLOW);
}

TEST(taking_an_amount_less_than_no_times_panics)
{
    struct money product;

    CHECK_PANICS((void)!money_times(t->arena, money(1, "EUR"), -1, &product));
}

static void check_parses(struct arena *arena, const char *text, const char *letters, int64_t minor)
{
    struct money out;

    CHECK_OK(money_parse(arena, str_of_z(text), currency(letters), &out));
    CHECK_MONEY(out, money(minor, letters));
}

TEST(amounts_are_read_as_shops_write_them)
{
    check_parses(t->arena, "9.99", "EUR", 999);
    check_parses(t->arena, "9.5", "EUR", 950);
    check_parses(t->arena, "1200", "EUR", 120000);
    check_parses(t->arena, "1200", "JPY", 1200);
    check_parses(t->arena, "0.001", "KWD", 1);
    check_parses(t->arena, "0.0001", "CLF", 1);
    check_parses(t->arena, "0", "EUR", 0);
    check_parses(t->arena, "007.10", "EUR", 710);
    check_parses(t->arena, "10000000000000.00", "EUR", MONEY_MINOR_MAX);
}

TEST(decimals_beyond_the_currency_must_be_zeros)
{
    check_parses(t->arena, "9.9900", "EUR", 999);
    check_parses(t->arena, "1200.00", "JPY", 1200);
}

TEST(what_is_no_amount_is_refused)
{
    static const char *const WRONG[] = {
        "",
        ".",
        "9.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1,50",
        " 1",
        "1 ",
        "1.2.3",
        "9.999",
        "0x10",
        "EUR 1",
        "1_000",
        "9.9a",
        "1.-5",
        "9.9-",
        "\xd9\xa1",
        "10000000000000.01",
        "99999999999999999999999999",
    };
    struct money out;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK_ERR(money_parse(t->arena, str_of_z(WRONG[i]), currency("EUR"), &out), MONEY_INVALID);
    CHECK_ERR(money_parse(t->arena, STR("1.5"), currency("JPY"), &out), MONEY_INVALID);
    CHECK_ERR(money_parse(t->arena, STR("1\0"), currency("JPY"), &out), MONEY_INVALID);
    CHECK_ERR(money_parse(t->arena, STR_NONE, currency("JPY"), &out), MONEY_INVALID);
}

TEST(amounts_are_written_in_the_decimals_of_their_currency)
{
    CHECK_STR(money_text(t->arena, money(999, "EUR")), "9.99");
    CHECK_STR(money_text(t->arena, money(5, "EUR")), "0.05");
    CHECK_STR(money_text(t->arena, money(0, "EUR")), "0.00");
    CHECK_STR(money_text(t->arena, money(-5, "EUR")), "-0.05");
    CHECK_STR(money_text(t->arena, money(-12345, "EUR")), "-123.45");
    CHECK_STR(money_text(t->arena, money(1200, "JPY")), "1200");
    CHECK_STR(money_text(t->arena, money(1, "KWD")), "0.001");
    CHECK_STR(money_text(t->arena, money(MONEY_MINOR_MAX, "EUR")), "10000000000000.00");
    CHECK_STR(money_text(t->arena, money(INT64_MIN, "EUR")), "-92233720368547758.08");
}

TEST(a_text_that_was_written_reads_as_the_same_amount)
{
    for (int64_t minor = 1; minor < MONEY_MINOR_MAX; minor = minor * 7 + 3) {
        struct money out;
        str text = money_text(t->arena, money(minor, "TND"));

        CHECK_OK(money_parse(t->arena, text, currency("TND"), &out));
        CHECK_MONEY(out, money(minor, "TND"));
    }
}
