/* Whom to ask, how often to ask again, whom to leave alone: the arithmetic of an upstream. Pure:
 * time and chance are given. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* One address: left alone for a while after it failed; then one request shows how it is. */
struct breaker {
    int failures;     /* one after the other */
    int openings;     /* one after the other */
    int64_t until_ms; /* left alone until then; 0: it is not */
    bool tried;       /* the one that shows it is under way */
};

enum { BREAKER_TIMES_MAX = 5 /* doublings of the time that it is left alone */ };

/* Tells whether it may be asked now; and notes that it is. */
bool breaker_allows(const struct breaker *breaker, int64_t now_ms);
void breaker_ask(struct breaker *breaker);

/* It did well: all is forgotten. */
void breaker_succeed(struct breaker *breaker);

/* It failed: after `failures_max` in a row, or where it was being tried, it is left alone. True
 * where that begins now. `random` spreads the times. */
bool breaker_fail(struct breaker *breaker, int64_t now_ms, int failures_max, uint32_t pause_ms,
                  uint64_t random);

/* Leaves it alone at once: nobody listens there. */
void breaker_open(struct breaker *breaker, int64_t now_ms, uint32_t pause_ms, uint64_t random);

/* What may be asked twice: each request earns a part of a repeat. */
struct retry_budget {
    int64_t percents; /* 100 are one repeat */
};

enum { RETRY_BUDGET_MAX = 1000 /* ten repeats */ };

/* A request came; each is worth `percent`, and a budget of 0 never repeats anything. */
void retry_budget_earn(struct retry_budget *budget, int percent);

/* Takes one repeat out of it; false where there is none left. */
bool retry_budget_spend(struct retry_budget *budget);

/* The lesser of two loads that chance picks; `count` of them, at least one. */
int pick_of_two(const int *loads, int count, uint64_t random);
