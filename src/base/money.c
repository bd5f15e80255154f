#include "base/money.h"
#include "base/arena.h"

struct currency_entry {
    char letters[4];
    uint8_t decimals;
};

static const struct currency_entry CURRENCIES[] = {
#define CURRENCY(code, decimals) { #code, decimals },
#include "base/currencies.tbl"
#undef CURRENCY
};

enum {
    CURRENCIES_COUNT = sizeof CURRENCIES / sizeof CURRENCIES[0],
    CURRENCY_LETTERS = 3,
    DECIMALS_MAX = 4,
};

static const struct currency_entry *currency_find(const char *letters)
{
    size_t from = 0, to = CURRENCIES_COUNT;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = memcmp(letters, CURRENCIES[middle].letters, CURRENCY_LETTERS);
        if (order == 0)
            return &CURRENCIES[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

err currency_parse(struct arena *arena, str text, struct currency *out)
{
    ASSERT(out);

    const struct currency_entry *entry =
        text.len == CURRENCY_LETTERS ? currency_find(text.ptr) : NULL;
    if (!entry)
        return fail(arena, MONEY_CURRENCY_UNKNOWN,
                    "a currency is three capital letters of ISO 4217, such as EUR");

    memcpy(out->letters, entry->letters, sizeof out->letters);
    return OK;
}

int currency_decimals(struct currency currency)
{
    const struct currency_entry *entry = currency_find(currency.letters);

    ASSERT(entry);
    return entry->decimals;
}

bool currency_equal(struct currency a, struct currency b)
{
    return memcmp(a.letters, b.letters, CURRENCY_LETTERS) == 0;
}

struct money money_zero(struct currency currency)
{
    return (struct money){ .minor = 0, .currency = currency };
}

static bool is_handled(int64_t minor)
{
    return minor >= -MONEY_MINOR_MAX && minor <= MONEY_MINOR_MAX;
}

err money_add(struct arena *arena, struct money a, struct money b, struct money *out)
{
    ASSERT(out);

    int64_t sum;
    if (!currency_equal(a.currency, b.currency))
        return fail(arena, MONEY_CURRENCY_MIXED, "%.3s and %.3s", a.currency.letters,
                    b.currency.letters);
    if (__builtin_add_overflow(a.minor, b.minor, &sum) || !is_handled(sum))
        return fail(arena, MONEY_OVERFLOW, "%lld + %lld %.3s is too much", (long long)a.minor,
                    (long long)b.minor, a.currency.letters);

    *out = (struct money){ .minor = sum, .currency = a.currency };
    return OK;
}

err money_times(struct arena *arena, struct money a, int64_t times, struct money *out)
{
    ASSERT(times >= 0);
    ASSERT(out);

    int64_t product;
    if (__builtin_mul_overflow(a.minor, times, &product) || !is_handled(product))
        return fail(arena, MONEY_OVERFLOW, "%lld x %lld %.3s is too much", (long long)times,
                    (long long)a.minor, a.currency.letters);

    *out = (struct money){ .minor = product, .currency = a.currency };
    return OK;
}

/* Appends decimal digits to a number; false where one is none, or the number grows too large. */
static bool add_digits(str digits, int64_t *number)
{
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        *number = *number * 10 + (digits.ptr[i] - '0');
        if (*number > MONEY_MINOR_MAX)
            return false;
    }
    return true;
}

/* The fraction brought to the currency's decimals: zeros beyond them say nothing. */
static bool add_fraction(str fraction, size_t decimals, int64_t *minor)
{
    static const char ZEROS[DECIMALS_MAX] = { '0', '0', '0', '0' };

    while (fraction.len > decimals && fraction.ptr[fraction.len - 1] == '0')
        fraction.len--;
    return fraction.len <= decimals && add_digits(fraction, minor) &&
           add_digits(str_of(ZEROS, decimals - fraction.len), minor);
}

err money_parse(struct arena *arena, str text, struct currency currency, struct money *out)
{
    ASSERT(out);

    size_t decimals = (size_t)currency_decimals(currency);
    str fraction = text;
    str whole = str_cut(&fraction, '.');
    bool is_well_formed = whole.len > 0 && (!fraction.ptr || fraction.len > 0);
    int64_t minor = 0;

    if (!is_well_formed || !add_digits(whole, &minor) || !add_fraction(fraction, decimals, &minor))
        return fail(arena, MONEY_INVALID,
                    "an amount in %.3s is digits with at most %zu decimals behind a point",
                    currency.letters, decimals);

    *out = (struct money){ .minor = minor, .currency = currency };
    return OK;
}

str money_text(struct arena *arena, struct money money)
{
    int decimals = currency_decimals(money.currency);
    uint64_t unit = 1;
    for (int i = 0; i < decimals; i++)
        unit *= 10;

    uint64_t size = money.minor < 0 ? -(uint64_t)money.minor : (uint64_t)money.minor;
    const char *sign = money.minor < 0 ? "-" : "";
    if (decimals == 0)
        return str_format(arena, "%s%llu", sign, (unsigned long long)size);
    return str_format(arena, "%s%llu.%0*llu", sign, (unsigned long long)(size / unit), decimals,
                      (unsigned long long)(size % unit));
}
