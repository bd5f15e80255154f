/* Orders to rows and back: reads on a snapshot, writes as batch functions. */
#pragma once
#include "chassis/call.h"
#include "chassis/recent.h"
#include "services/orders/view.h"

enum {
    ORDERS_PAGE_MAX = 100,
    TAKEN_EVENT_ID_MAX = 100,
    /* A job is asked again after this time, then after twice as long, up to a minute. */
    JOB_WAIT_US_MIN = 250 * 1000,
    JOB_WAIT_US_MAX = 60 * 1000000,
    /* One that is due still later was left by a clock that went back (those of replicas differ by
     * less): it is due now. */
    JOB_ASTRAY_US = 2 * JOB_WAIT_US_MAX,
    /* A new one is with a lane of who saved it: so long nobody else looks for it. */
    JOB_GRACE_US = 1000 * 1000
};

/* An order that was read and moved, to be saved where nobody else has moved it meanwhile. */
struct order_save {
    struct order order;
    enum payment_job job_was, job; /* before and after the moves */
    bool settled_was;
    time_us at;                          /* when it was moved */
    bool ask_again;                      /* the job stays, and is due later */
    const struct fulfilment *fulfilment; /* a parcel that leaves now, or NULL */
    const struct order_short *shorts;    /* why stock was refused */
    size_t shorts_count;
    str event_provider, event_id; /* the callback that told it: taken once; none else */
    /* Of one that is placed: prices that come from memory, to be held against the table; those that
     * have changed are dropped from there. */
    const struct price *prices;
    size_t prices_count;
    struct recent *prices_kept; /* by recent_id_of_text of the SKU */
};

/* Fails with NOT_FOUND. */
err store_find_order(struct db_reader *reader, struct arena *arena, struct uuid id,
                     struct order *out);
err store_find_fulfilments(struct db_reader *reader, struct arena *arena, struct uuid order,
                           const struct fulfilment **fulfilments, size_t *count);
err store_find_steps(struct db_reader *reader, struct arena *arena, struct uuid order,
                     struct past_step **steps, size_t *count);

/* Whether a callback of a provider was taken before. */
err store_is_event_taken(struct db_reader *reader, struct arena *arena, str provider, str event_id,
                         bool *taken);

/* Tells whether there is such an order. */
err store_has_order(struct db_reader *reader, struct arena *arena, struct uuid id, bool *found);

/* Our copies of the prices of `skus`; those that we do not have are not `known`. */
err store_find_prices(struct db_reader *reader, struct arena *arena, const str *skus, size_t count,
                      struct price *out);

/* A page of orders, newest first, before (`before`, `before_id`); of one customer, or of all where
 * `customer` is nil. `status` is a word or empty. */
struct order_page {
    struct uuid customer;
    str status;
    time_us before;
    struct uuid before_id;
    int32_t count;
};
err store_list_orders(struct db_reader *reader, struct arena *arena, const struct order_page *page,
                      struct order **orders, size_t *count);

/* Ids of orders whose hold has run out. */
err store_find_expired(struct db_reader *reader, struct arena *arena, time_us now,
                       int32_t count_max, struct uuid **ids, size_t *count);

/* Payment jobs that are due, and those that a clock that went back left far ahead. */
struct due_job {
    struct uuid order;
    enum payment_job kind;
    int32_t tries;
};
err store_find_due_jobs(struct db_reader *reader, struct arena *arena, time_us now,
                        int32_t count_max, struct due_job **jobs, size_t *count);

/* When the next job falls due, and the next hold ends; INT64_MAX where there is none. */
err store_find_next_job(struct db_reader *reader, struct arena *arena, time_us *due_at);
err store_find_next_expiry(struct db_reader *reader, struct arena *arena, time_us *ends_at);

/* ---- batch functions ---- */

/* Subjects: struct order_save with a new order. */
err store_place_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                       err *outcomes);

/* Subjects: struct order_save. VERSION_CONFLICT where somebody else was first, also to take the
 * callback; a callback that moves nothing may be taken twice. */
err store_save_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                      err *outcomes);

/* Subjects: struct price. The last number wins. */
err store_save_prices(struct tx *tx, struct write *const *writes, size_t writes_count,
                      err *outcomes);

/* Callbacks taken before that time are forgotten, at most `rows_max`. */
err store_sweep_payment_events(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);

/* For chassis/sweeper.h: payment_events, payment_jobs, erasures. */
err store_orders_rows(struct db_reader *reader, struct arena *arena, int64_t *rows);
err store_orders_due(struct db_reader *reader, struct arena *arena, const time_us *before,
                     bool *due);

/* ---- people who are to be forgotten: store_forget.c ---- */

enum { FORGET_COUNT = 100 };
struct erasure {
    struct uuid customer;
    time_us asked_at;
    struct uuid *orders; /* that are forgotten now */
    size_t orders_count;
    bool is_rest_open;            /* others are still to be shipped */
    struct sha256_bytes *answers; /* kept under idempotency keys */
    size_t answers_count;
    time_us due_at; /* when to look again; 0: it is done */
};

/* Erasures that are due, and when the first of all is: INT64_MAX where there is none. */
err store_find_erasures(struct db_reader *reader, struct arena *arena, time_us now,
                        int32_t count_max, struct erasure **out, size_t *count, time_us *next_at);

/* Fills in what can be forgotten now: at most FORGET_COUNT orders, and as many answers. */
err store_find_forgettable(struct db_reader *reader, struct arena *arena, struct erasure *erasure);

/* Subjects: struct erasure. Asked for; and done as far as it says. */
err store_add_erasures(struct tx *tx, struct write *const *writes, size_t writes_count,
                       err *outcomes);
err store_forget_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                        err *outcomes);
