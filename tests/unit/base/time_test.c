#include "base/time.h"
#include "tests/lib/test.h"
#include <stdio.h>

#define DAY (86400 * TIME_SECOND)
/* Of RFC 9110's own example date. */
#define NOVEMBER_1994 (INT64_C(784111777) * TIME_SECOND)

static time_us time_of(const char *text)
{
    time_us at = -1;

    if (!time_parse(str_of_z(text), &at))
        FAIL("\"%s\" was not read", text);
    return at;
}

TEST(times_are_written_in_utc)
{
    CHECK_STR(time_text(t->arena, 0), "1970-01-01T00:00:00Z");
    CHECK_STR(time_text(t->arena, NOVEMBER_1994), "1994-11-06T08:49:37Z");
    CHECK_STR(time_text(t->arena, INT64_C(253402300799) * TIME_SECOND), "9999-12-31T23:59:59Z");
}

TEST(fractions_are_written_where_there_are_some)
{
    CHECK_STR(time_text(t->arena, 500 * TIME_MS), "1970-01-01T00:00:00.500Z");
    CHECK_STR(time_text(t->arena, 1), "1970-01-01T00:00:00.000001Z");
    CHECK_STR(time_text(t->arena, 123456), "1970-01-01T00:00:00.123456Z");
    CHECK_STR(time_text(t->arena, INT64_C(253402300800) * TIME_SECOND - 1),
              "9999-12-31T23:59:59.999999Z");
}

TEST(a_time_outside_the_years_panics)
{
    CHECK_PANICS(time_text(t->arena, -1));
    CHECK_PANICS(time_text(t->arena, INT64_C(253402300800) * TIME_SECOND));
}

TEST(leap_years_are_those_of_gregory)
{
    CHECK_INT(time_of("2000-03-01T00:00:00Z") - time_of("2000-02-28T00:00:00Z"), 2 * DAY);
    CHECK_INT(time_of("2024-03-01T00:00:00Z") - time_of("2024-02-28T00:00:00Z"), 2 * DAY);
    CHECK_INT(time_of("2023-03-01T00:00:00Z") - time_of("2023-02-28T00:00:00Z"), DAY);
    CHECK_INT(time_of("2100-03-01T00:00:00Z") - time_of("2100-02-28T00:00:00Z"), DAY);
    CHECK_STR(time_text(t->arena, time_of("2400-02-29T12:00:00Z")), "2400-02-29T12:00:00Z");
}

static int days_of(int year, int month)
{
    static const int DAYS[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return DAYS[month - 1] + (month == 2 && leap);
}

TEST(every_day_to_2401_follows_the_day_before)
{
    time_us at = 0;

    for (int year = 1970; year <= 2401; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= days_of(year, month); day++, at += DAY) {
                char expected[48];
                snprintf(expected, sizeof expected, "%04d-%02d-%02dT00:00:00Z", year, month, day);
                if (!str_equal(time_text(t->arena, at), str_of_z(expected)))
                    FAIL("%s is wrong", expected);
            }
        }
        arena_reset(t->arena);
    }
}

TEST(what_is_written_is_read_back)
{
    for (time_us at = 0; at < INT64_C(253402300800) * TIME_SECOND; at += INT64_C(9876543210987)) {
        time_us again;
        CHECK(time_parse(time_text(t->arena, at), &again));
        CHECK_INT(again, at);
        arena_reset(t->arena);
    }
}

TEST(offsets_are_taken_into_account)
{
    CHECK_INT(time_of("1994-11-06T09:49:37+01:00"), NOVEMBER_1994);
    CHECK_INT(time_of("1994-11-06T03:19:37-05:30"), NOVEMBER_1994);
    CHECK_INT(time_of("1994-11-07T08:48:37+23:59"), NOVEMBER_1994);
    CHECK_INT(time_of("1994-11-06T08:49:37-00:00"), NOVEMBER_1994);
    CHECK_INT(time_of("1969-12-31T23:00:00-01:00"), 0);
}

TEST(letters_may_be_small) { CHECK_INT(time_of("1994-11-06t08:49:37z"), NOVEMBER_1994); }

TEST(fractions_of_any_length_are_read_and_cut_to_microseconds)
{
    CHECK_INT(time_of("1970-01-01T00:00:00.5Z"), 500000);
    CHECK_INT(time_of("1970-01-01T00:00:00.000001Z"), 1);
    CHECK_INT(time_of("1970-01-01T00:00:00.1234569Z"), 123456);
    CHECK_INT(time_of("1970-01-01T00:00:00.123456789012345678901234567890Z"), 123456);
    CHECK_INT(time_of("1970-01-01T00:00:00.0Z"), 0);
}

TEST(a_leap_second_reads_as_the_second_after_it)
{
    CHECK_INT(time_of("2016-12-31T23:59:60Z"), time_of("2017-01-01T00:00:00Z"));
    CHECK_INT(time_of("2017-01-01T00:59:60+01:00"), time_of("2017-01-01T00:00:00Z"));
    CHECK_INT(time_of("2016-12-31T23:59:60.5Z"), time_of("2017-01-01T00:00:00.5Z"));
}

TEST(what_is_no_time_is_refused)
{
    static const char *const WRONG[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31 09:30:00Z",
        "2026-1-31T09:30:00Z",
        "26-01-31T09:30:00Z",
        "12026-01-31T09:30:00Z",
        "2026-00-31T09:30:00Z",
        "2026-13-31T09:30:00Z",
        "2026-01-00T09:30:00Z",
        "2026-01-32T09:30:00Z",
        "2026-04-31T09:30:00Z",
        "2026-02-29T09:30:00Z",
        "2100-02-29T09:30:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:60:00Z",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30:61Z",
        "2026-01-31T09:30Z",
        "2026-01-31T09:30:00.Z",
        "2026-01-31T09:30:00,5Z",
        "2026-01-31T09:30:00.5",
        "2026-01-31T09:30:00ZZ",
        "2026-01-31T09:30:00Z ",
        "2026-01-31T09:30:00+24:00",
        "2026-01-31T09:30:00+01:60",
        "2026-01-31T09:30:00+0100",
        "2026-01-31T09:30:00+01",
        "2026-01-31T-9:30:00Z",
        "2026-01-31T09:-3:00Z",
        "-026-01-31T09:30:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    };
    time_us at = 7;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        if (time_parse(str_of_z(WRONG[i]), &at))
            FAIL("\"%s\" was read", WRONG[i]);
    CHECK(!time_parse(STR_NONE, &at));
    CHECK_INT(at, 7);
}

TEST(the_date_header_is_that_of_rfc_9110)
{
    char out[30];

    time_http(NOVEMBER_1994, out);
    CHECK_STR(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    time_http(999999, out);
    CHECK_STR(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    time_http(time_of("2024-02-29T23:59:59Z"), out);
    CHECK_STR(out, "Thu, 29 Feb 2024 23:59:59 GMT");
    time_http(time_of("9999-12-31T23:59:59Z"), out);
    CHECK_STR(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}
