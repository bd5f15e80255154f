/* Money: an integer of minor units and its ISO 4217 currency. No rounding, no floats, no overflow
 * unseen. */
#pragma once
#include "base/err.h"

struct currency {
    char letters[4]; /* three capital letters and a NUL */
};

struct money {
    int64_t minor;
    struct currency currency;
};

/* The largest amount that Duka handles, in minor units; far below 2^53, so that JSON numbers keep
 * it exactly. */
#define MONEY_MINOR_MAX INT64_C(1000000000000000)

/* Reads "EUR". Fails with MONEY_CURRENCY_UNKNOWN if it is not a current ISO 4217 code. */
err currency_parse(struct arena *arena, str text, struct currency *out);

/* How many decimals a currency has (EUR 2, JPY 0, KWD 3). */
int currency_decimals(struct currency currency);

/* Tells whether both are the same currency. */
bool currency_equal(struct currency a, struct currency b);

/* No money, in a currency. */
struct money money_zero(struct currency currency);

/* a + b. Fails with MONEY_CURRENCY_MIXED or MONEY_OVERFLOW. */
err money_add(struct arena *arena, struct money a, struct money b, struct money *out);

/* a * times, times >= 0. Fails with MONEY_OVERFLOW. */
err money_times(struct arena *arena, struct money a, int64_t times, struct money *out);

/* Reads a decimal amount as shops write it ("9.99", "1200", "9.5") in the currency's decimals.
 * Fails with MONEY_INVALID for anything else: signs, exponents, more decimals than the currency has
 * (unless they are zeros), overflow. */
err money_parse(struct arena *arena, str text, struct currency currency, struct money *out);

/* "9.99" in the currency's decimals, without the currency. */
str money_text(struct arena *arena, struct money money);
