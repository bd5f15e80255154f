/* A payment provider: whoever moves the money. One face, a table of functions for each provider.
 *
 * Every call carries the payment's own id (the order's), so that asking again after a crash or a
 * time-out is the same call, and answers with what the payment *is*, not with whether the call
 * worked: news may come late, twice, or by callback only. Calls may block up to `timeout_us`; they
 * run on a payment lane, never on a worker. A provider that can be asked without waiting has
 * `ready` and `send`, too: then no thread waits for its answers. */
#pragma once
#include "services/orders/order.h"

/* What is asked for. */
struct payment {
    struct uuid id; /* the order's */
    struct money amount;
    str token; /* what the storefront got from the provider */
};

/* A payment as the provider lists it. */
struct payment_listed {
    struct uuid id;
    enum payment_known known;
    time_us at;
};

/* What a callback says, once its signature has been checked. */
struct payment_event {
    str id; /* the provider's own id of the event: taken once */
    struct uuid payment;
    enum payment_known known;
};

/* A question to a provider, and where its answer goes. */
struct payment_question {
    enum payment_job job;
    struct payment payment;
    /* Called once, on any thread, which must not wait in it: its answer, and that it touches
     * nothing of the question any more. */
    void (*answered)(void *subject, enum payment_known known);
    void *subject;
};

struct provider {
    const char *name;
    void *self;
    /* Tells whether the provider could know this token at all: checked when an order is placed. */
    bool (*is_token)(void *self, str token);
    /* Each answers with what the payment is afterwards; KNOWN_UNKNOWN when no answer came in time,
     * KNOWN_PENDING when it will come by callback. */
    enum payment_known (*authorize)(void *self, struct arena *arena, const struct payment *payment,
                                    int64_t timeout_us);
    enum payment_known (*capture)(void *self, struct arena *arena, const struct payment *payment,
                                  int64_t timeout_us);
    enum payment_known (*void_)(void *self, struct arena *arena, const struct payment *payment,
                                int64_t timeout_us);
    enum payment_known (*refund)(void *self, struct arena *arena, const struct payment *payment,
                                 int64_t timeout_us);
    /* The same without waiting, in two steps: `ready` makes what `send` will send, in the memory of
     * `arena`; NULL where this one has to be waited for. `send` neither waits nor allocates, and
     * the arena is the provider's from then on until it has answered. NULL where it has no such
     * way. */
    void *(*ready)(void *self, struct arena *arena, const struct payment_question *question);
    void (*send)(void *self, void *ready);
    enum payment_known (*get)(void *self, struct arena *arena, struct uuid payment,
                              int64_t timeout_us);
    /* Payments that are authorized or captured and changed since `since`, oldest first, at most
     * `count_max`. */
    err (*list)(void *self, struct arena *arena, time_us since, int count_max,
                struct payment_listed **listed, size_t *count);
    /* Reads a callback. Fails with PAYMENT_SIGNATURE, JSON_MALFORMED, FIELD_INVALID. */
    err (*read_event)(void *self, struct arena *arena, str payload, str signature,
                      struct payment_event *event);
    /* Callbacks that a provider in this process has to send now: `send` is called for each; `next`
     * is when the next one falls due (INT64_MAX: none). NULL where it has no callbacks. */
    err (*tick)(void *self, struct arena *arena, time_us now,
                void (*send)(void *subject, str payload, str signature), void *subject,
                time_us *next);
};
