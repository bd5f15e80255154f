#include "base/time.h"
#include "base/arena.h"
#include "base/err.h"

enum {
    DAYS_PER_ERA = 146097,          /* 400 years of the Gregorian calendar */
    DAYS_FROM_ERA_TO_1970 = 719468, /* from 0000-03-01 */
    SECONDS_PER_DAY = 86400,
    YEAR_MAX = 9999,
};

/* 9999-12-31T23:59:59.999999Z */
#define TIME_LAST (INT64_C(253402300800) * TIME_SECOND - 1)

struct date {
    int year, month, day;
};

struct clock_time {
    struct date date;
    int hour, minute, second, us;
};

/* The proleptic Gregorian date of a day (0 is 1970-01-01), counting years from March so that the
 * leap day is a year's last: http://howardhinnant.github.io/date_algorithms.html */
static struct date date_of_days(int64_t days)
{
    int64_t shifted = days + DAYS_FROM_ERA_TO_1970;
    int64_t era = shifted / DAYS_PER_ERA;
    int64_t day_of_era = shifted % DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    return (struct date){
        .year = (int)(year_of_era + era * 400 + (month <= 2)),
        .month = (int)month,
        .day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
}

static int64_t days_of_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - DAYS_FROM_ERA_TO_1970;
}

static int days_in_month(int year, int month)
{
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (month == 2)
        return is_leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static struct clock_time clock_time_of(time_us at)
{
    ASSERT(at >= 0 && at <= TIME_LAST);

    int64_t seconds = at / TIME_SECOND;
    int second_of_day = (int)(seconds % SECONDS_PER_DAY);
    return (struct clock_time){
        .date = date_of_days(seconds / SECONDS_PER_DAY),
        .hour = second_of_day / 3600,
        .minute = second_of_day / 60 % 60,
        .second = second_of_day % 60,
        .us = (int)(at % TIME_SECOND),
    };
}

/* Writes `number` in exactly `digits` digits and gives what follows. */
static char *put(char *out, int number, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + digits;
}

static char *put_clock(char *out, const struct clock_time *clock)
{
    out = put(out, clock->hour, 2);
    *out++ = ':';
    out = put(out, clock->minute, 2);
    *out++ = ':';
    return put(out, clock->second, 2);
}

size_t time_write(time_us at, char begin[TIME_TEXT_MAX])
{
    struct clock_time clock = clock_time_of(at);
    char *out = put(begin, clock.date.year, 4);

    *out++ = '-';
    out = put(out, clock.date.month, 2);
    *out++ = '-';
    out = put(out, clock.date.day, 2);
    *out++ = 'T';
    out = put_clock(out, &clock);
    if (clock.us != 0) {
        *out++ = '.';
        out = clock.us % 1000 == 0 ? put(out, clock.us / 1000, 3) : put(out, clock.us, 6);
    }
    *out++ = 'Z';
    return (size_t)(out - begin);
}

str time_text(struct arena *arena, time_us at)
{
    char *out = arena_alloc(arena, TIME_TEXT_MAX, 1);

    return str_of(out, time_write(at, out));
}

/* Takes exactly `digits` digits off the front of `rest`, inside [min, max]. */
static bool take(str *rest, size_t digits, int min, int max, int *out)
{
    int64_t number;
    str head = str_slice(*rest, 0, digits);

    if (head.len != digits || head.ptr[0] == '-' || !str_to_int64(head, min, max, &number))
        return false;
    *rest = str_slice(*rest, digits, rest->len);
    *out = (int)number;
    return true;
}

/* Takes one byte that is `byte` or its lower-case letter. */
static bool take_byte(str *rest, char byte)
{
    if (rest->len == 0 || (rest->ptr[0] != byte && (byte < 'A' || rest->ptr[0] != (byte | 0x20))))
        return false;
    *rest = str_slice(*rest, 1, rest->len);
    return true;
}

static bool take_date(str *rest, struct date *out)
{
    struct date date;

    if (!take(rest, 4, 0, YEAR_MAX, &date.year) || !take_byte(rest, '-') ||
        !take(rest, 2, 1, 12, &date.month) || !take_byte(rest, '-') ||
        !take(rest, 2, 1, days_in_month(date.year, date.month), &date.day))
        return false;
    *out = date;
    return true;
}

/* Digits behind the point, as microseconds; finer ones are cut off. */
static bool take_fraction(str *rest, int *us)
{
    size_t digits = 0;

    *us = 0;
    for (; rest->len > 0 && rest->ptr[0] >= '0' && rest->ptr[0] <= '9'; digits++) {
        if (digits < 6)
            *us = *us * 10 + (rest->ptr[0] - '0');
        *rest = str_slice(*rest, 1, rest->len);
    }
    for (size_t i = digits; i < 6; i++)
        *us *= 10;
    return digits > 0;
}

static bool take_clock(str *rest, struct clock_time *clock)
{
    if (!take(rest, 2, 0, 23, &clock->hour) || !take_byte(rest, ':') ||
        !take(rest, 2, 0, 59, &clock->minute) || !take_byte(rest, ':') ||
        !take(rest, 2, 0, 60, &clock->second))
        return false;
    clock->us = 0;
    return !take_byte(rest, '.') || take_fraction(rest, &clock->us);
}

static bool take_offset(str *rest, int *seconds)
{
    int hour, minute, sign = 1;

    *seconds = 0;
    if (take_byte(rest, 'Z'))
        return true;
    if (take_byte(rest, '-'))
        sign = -1;
    else if (!take_byte(rest, '+'))
        return false;
    if (!take(rest, 2, 0, 23, &hour) || !take_byte(rest, ':') || !take(rest, 2, 0, 59, &minute))
        return false;
    *seconds = sign * (hour * 3600 + minute * 60);
    return true;
}

bool time_parse(str text, time_us *out)
{
    ASSERT(out);

    struct clock_time clock;
    int offset_s;
    if (!take_date(&text, &clock.date) || !take_byte(&text, 'T') || !take_clock(&text, &clock) ||
        !take_offset(&text, &offset_s) || text.len > 0)
        return false;

    int64_t seconds = days_of_date(clock.date) * SECONDS_PER_DAY + clock.hour * 3600 +
                      clock.minute * 60 + clock.second - offset_s;
    /* A leap second can only end a day of UTC; it reads as the second after it. */
    if (clock.second == 60 && seconds % SECONDS_PER_DAY != 0)
        return false;

    time_us at = seconds * TIME_SECOND + clock.us;
    if (at < 0 || at > TIME_LAST)
        return false;
    *out = at;
    return true;
}

void time_http(time_us at, char out[30])
{
    static const char DAYS[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    ASSERT(out);
    struct clock_time clock = clock_time_of(at);
    int64_t days = at / TIME_SECOND / SECONDS_PER_DAY;

    memcpy(out, DAYS + 3 * (days % 7), 3);
    memcpy(out + 3, ", ", 2);
    out = put(out + 5, clock.date.day, 2);
    *out++ = ' ';
    memcpy(out, MONTHS + 3 * (clock.date.month - 1), 3);
    out[3] = ' ';
    out = put(out + 4, clock.date.year, 4);
    *out++ = ' ';
    out = put_clock(out, &clock);
    memcpy(out, " GMT", sizeof " GMT");
}
