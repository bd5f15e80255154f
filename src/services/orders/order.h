/* An order, its three states, and the rules it obeys. Pure: no clock, no database, no network.
 *
 * Every function that changes an order is a move: it checks the tables of allowed moves, notes the
 * step in the order's timeline and tells which events the step announces. `order_wants` then says
 * which call to the payment provider is due. */
#pragma once
#include "base/money.h"
#include "base/time.h"
#include "base/uuid.h"

enum {
    ORDER_LINES_MAX = 100,
    ORDER_QUANTITY_MAX = 10000,
    ORDER_STEPS_MAX = 8,
    ORDER_EVENTS_MAX = 4
};

/* Numbers are those of the contract (orders.proto); a test holds them equal. */
enum order_status {
    ORDER_PLACED = 1,
    ORDER_RESERVED,
    ORDER_CONFIRMED,
    ORDER_COMPLETED,
    ORDER_REJECTED,
    ORDER_CANCELLING,
    ORDER_CANCELLED
};
enum payment_status {
    PAYMENT_NONE = 1,
    PAYMENT_PENDING,
    PAYMENT_UNKNOWN,
    PAYMENT_AUTHORIZED,
    PAYMENT_CAPTURED,
    PAYMENT_IS_DECLINED,
    PAYMENT_VOIDING,
    PAYMENT_VOIDED,
    PAYMENT_REFUNDING,
    PAYMENT_REFUNDED
};
enum fulfilment_status {
    FULFILMENT_NONE = 1,
    FULFILMENT_PARTIAL,
    FULFILMENT_FULFILLED,
    FULFILMENT_DELIVERED,
    FULFILMENT_RETURNED
};

/* What the provider is to be asked next. */
enum payment_job { JOB_NONE, JOB_AUTHORIZE, JOB_CAPTURE, JOB_VOID, JOB_REFUND };

/* What a provider says that a payment is. */
enum payment_known {
    KNOWN_UNKNOWN,
    KNOWN_PENDING,
    KNOWN_AUTHORIZED,
    KNOWN_CAPTURED,
    KNOWN_DECLINED,
    KNOWN_VOIDED,
    KNOWN_REFUNDED
};

enum order_event {
    EVENT_PLACED,
    EVENT_CONFIRMED,
    EVENT_CLOSED,
    EVENT_SHIPPED,
    EVENT_RETURNED,
    EVENT_REFUNDED
};

/* Who does a step. */
enum actor_kind { ACTOR_CUSTOMER, ACTOR_STAFF, ACTOR_SYSTEM, ACTOR_PROVIDER };
struct actor {
    enum actor_kind kind;
    struct uuid id; /* nil for system and provider */
};

struct order_line {
    str sku, title, variant_title;
    int32_t quantity, shipped;
    struct money unit_price;
};

/* One entry of the timeline. */
struct order_step {
    const char *what; /* "placed", "payment.authorized", … */
    struct actor actor;
    str reason;
};

struct order {
    struct uuid id, customer;
    enum order_status status;
    enum payment_status payment;
    enum fulfilment_status fulfilment;
    struct order_line *lines; /* borrowed from the arena of the call */
    size_t lines_count;
    struct money total;
    int64_t captured_minor, refunded_minor;
    str provider, payment_token;
    str address;     /* packed duka.Address; empty where nothing is shipped */
    str reason;      /* why it was rejected or cancelled */
    str traceparent; /* where it was placed; none where spans are not recorded */
    time_us hold_until, created_at, updated_at;
    int64_t version;      /* of the row that was read; 0: new */
    int64_t event_number; /* of the last event that was announced */

    /* What the moves since it was read have done. */
    struct order_step steps[ORDER_STEPS_MAX];
    int steps_count;
    enum order_event events[ORDER_EVENTS_MAX];
    int events_count;
};

/* A short line, as Products told it. */
struct order_short {
    str sku;
    int64_t wanted, available;
};

/* Units of one SKU that are shipped together. */
struct shipment_line {
    str sku;
    int32_t quantity;
};

/* Makes a placed order of priced lines. Fails with ORDER_EMPTY, ORDER_TOO_LONG,
 * ORDER_QUANTITY_INVALID, MONEY_OVERFLOW or MONEY_CURRENCY_MIXED. */
err order_place(struct arena *arena, struct uuid id, struct uuid customer, struct order_line *lines,
                size_t lines_count, time_us now, struct order *out);

/* Products hold all its lines: placed -> reserved; the payment is asked for, and the hold runs
 * until `hold_until`. A no-op for an order that is past it (it was cancelled meanwhile). */
err order_reserve(struct arena *arena, struct order *order, time_us hold_until);

/* Products had too little: placed -> rejected. A no-op for an order that is past it. */
err order_refuse_stock(struct arena *arena, struct order *order);

/* What is known of its payment moves it: confirmed, rejected, cancelled, completed. Older news than
 * what is known are a no-op, so that answers, callbacks and repeats may come in any order. */
err order_learn_payment(struct arena *arena, struct order *order, enum payment_known known,
                        struct actor actor);

/* Cancels before the first fulfilment: ORDER_STATE afterwards. Reached at once where no money
 * moved, else when it is back. */
err order_cancel(struct arena *arena, struct order *order, struct actor actor, str reason);

/* The hold ran out: as order_cancel, but a no-op for an order that is not waiting for money, or
 * whose payment is unknown. */
err order_expire(struct arena *arena, struct order *order, time_us now);

/* The money of a manual payment came. Fails with ORDER_STATE, PAYMENT_AMOUNT. */
err order_record_payment(struct arena *arena, struct order *order, struct money amount,
                         struct actor actor);

/* Ships `shipment` (all that is left where count is 0; then it is filled: room for
 * ORDER_LINES_MAX). Fails with ORDER_STATE, FULFILMENT_INVALID. */
err order_ship(struct arena *arena, struct order *order, struct shipment_line *shipment,
               size_t *shipment_count, struct actor actor);

/* All its parcels have arrived. Fails with ORDER_STATE before the last one has left. */
err order_deliver(struct arena *arena, struct order *order, struct actor actor);

/* Whether its units may still come back into stock: Products remembers an order for `return_us`
 * after it was placed. Fails with RETURN_TOO_LATE. */
err order_may_return(struct arena *arena, const struct order *order, time_us now,
                     int64_t return_us);

/* Gives all of the money back. With nothing shipped it is a cancellation; with `restock`, shipped
 * units return. Fails with ORDER_STATE, REFUND_INVALID. */
err order_refund(struct arena *arena, struct order *order, bool restock, struct actor actor,
                 str reason);

/* Which call to the provider is due. `capture_at_confirm`: else money is captured with the first
 * fulfilment. */
enum payment_job order_wants(const struct order *order, bool capture_at_confirm);

/* Confirmed, rejected, cancelled or on the way to it; or reserved and waiting for a manual payment:
 * what POST /orders waits for. */
bool order_is_settled(const struct order *order);

/* Waits for somebody to record a payment by hand. */
bool order_is_manual(const struct order *order);

/* Why it was rejected or cancelled, where the shop itself says so ("hold.expired"); none where
 * people gave the reason, or gave none. */
str order_reason_of_shop(const struct order *order);

/* What an order of this state may still become; asserted after every move. */
void order_assert(const struct order *order);

/* The words of the states, as in the contract, and back (0 if unknown). */
const char *order_status_word(enum order_status status);
const char *payment_status_word(enum payment_status status);
const char *fulfilment_status_word(enum fulfilment_status status);
const char *actor_word(enum actor_kind kind);
const char *payment_known_word(enum payment_known known);
enum order_status order_status_of(str word);
enum payment_status payment_status_of(str word);
enum fulfilment_status fulfilment_status_of(str word);
