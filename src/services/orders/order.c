#include "services/orders/order.h"
#include "base/planted.h"

#define BIT(state) (1U << (state))

/* ---- the tables of allowed moves ---- */

static const unsigned status_moves[] = {
    [ORDER_PLACED] = BIT(ORDER_RESERVED) | BIT(ORDER_REJECTED) | BIT(ORDER_CANCELLING),
    [ORDER_RESERVED] = BIT(ORDER_CONFIRMED) | BIT(ORDER_REJECTED) | BIT(ORDER_CANCELLING),
    [ORDER_CONFIRMED] = BIT(ORDER_COMPLETED) | BIT(ORDER_CANCELLING),
    [ORDER_COMPLETED] = 0,
    [ORDER_REJECTED] = 0,
    [ORDER_CANCELLING] = BIT(ORDER_CANCELLED),
    [ORDER_CANCELLED] = 0,
};

static const unsigned payment_moves[] = {
    [PAYMENT_NONE] = BIT(PAYMENT_PENDING),
    [PAYMENT_PENDING] = BIT(PAYMENT_UNKNOWN) | BIT(PAYMENT_AUTHORIZED) | BIT(PAYMENT_CAPTURED) |
                        BIT(PAYMENT_IS_DECLINED) | BIT(PAYMENT_VOIDED),
    [PAYMENT_UNKNOWN] = BIT(PAYMENT_AUTHORIZED) | BIT(PAYMENT_CAPTURED) | BIT(PAYMENT_IS_DECLINED) |
                        BIT(PAYMENT_VOIDED),
    [PAYMENT_AUTHORIZED] = BIT(PAYMENT_CAPTURED) | BIT(PAYMENT_VOIDING) | BIT(PAYMENT_VOIDED),
    [PAYMENT_CAPTURED] = BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_REFUNDED),
    [PAYMENT_IS_DECLINED] = 0,
    [PAYMENT_VOIDING] = BIT(PAYMENT_VOIDED) | BIT(PAYMENT_CAPTURED),
    [PAYMENT_VOIDED] = 0,
    [PAYMENT_REFUNDING] = BIT(PAYMENT_REFUNDED),
    [PAYMENT_REFUNDED] = 0,
};

static const unsigned fulfilment_moves[] = {
    [FULFILMENT_NONE] = BIT(FULFILMENT_PARTIAL) | BIT(FULFILMENT_FULFILLED),
    [FULFILMENT_PARTIAL] =
        BIT(FULFILMENT_PARTIAL) | BIT(FULFILMENT_FULFILLED) | BIT(FULFILMENT_RETURNED),
    [FULFILMENT_FULFILLED] = BIT(FULFILMENT_DELIVERED) | BIT(FULFILMENT_RETURNED),
    [FULFILMENT_DELIVERED] = BIT(FULFILMENT_RETURNED),
    [FULFILMENT_RETURNED] = 0,
};

static const char *const status_words[] = { NULL,        "placed",   "reserved",   "confirmed",
                                            "completed", "rejected", "cancelling", "cancelled" };
static const char *const payment_words[] = { NULL,         "none",      "pending",  "unknown",
                                             "authorized", "captured",  "declined", "voiding",
                                             "voided",     "refunding", "refunded" };
static const char *const fulfilment_words[] = { NULL,        "none",      "partial",
                                                "fulfilled", "delivered", "returned" };
static const char *const actor_words[] = { "customer", "staff", "system", "provider" };

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static int word_of(const char *const *words, int count, str word)
{
    for (int i = 1; i < count; i++)
        if (str_equal(str_of_z(words[i]), word))
            return i;
    return 0;
}

const char *order_status_word(enum order_status status) { return status_words[status]; }
const char *payment_status_word(enum payment_status status) { return payment_words[status]; }
const char *fulfilment_status_word(enum fulfilment_status status)
{
    return fulfilment_words[status];
}
const char *payment_known_word(enum payment_known known)
{
    static const char *const words[] = { "unknown",  "pending", "authorized", "captured",
                                         "declined", "voided",  "refunded" };
    ASSERT(known <= KNOWN_REFUNDED);
    return words[known];
}

const char *actor_word(enum actor_kind kind) { return actor_words[kind]; }

enum order_status order_status_of(str word)
{
    return (enum order_status)word_of(status_words, COUNT(status_words), word);
}

enum payment_status payment_status_of(str word)
{
    return (enum payment_status)word_of(payment_words, COUNT(payment_words), word);
}

enum fulfilment_status fulfilment_status_of(str word)
{
    return (enum fulfilment_status)word_of(fulfilment_words, COUNT(fulfilment_words), word);
}

/* ---- what always holds ---- */

static bool is_money_back(enum payment_status payment)
{
    return payment == PAYMENT_NONE || payment == PAYMENT_IS_DECLINED || payment == PAYMENT_VOIDED ||
           payment == PAYMENT_REFUNDED;
}

static int32_t shipped_of(const struct order *order)
{
    int32_t shipped = 0;
    for (size_t i = 0; i < order->lines_count; i++)
        shipped += order->lines[i].shipped;
    return shipped;
}

static bool is_all_shipped(const struct order *order)
{
    for (size_t i = 0; i < order->lines_count; i++)
        if (order->lines[i].shipped < order->lines[i].quantity)
            return false;
    return true;
}

void order_assert(const struct order *order)
{
    ASSERT(order->captured_minor >= 0 && order->captured_minor <= order->total.minor);
    ASSERT(order->refunded_minor >= 0 && order->refunded_minor <= order->captured_minor);
    ASSERT(order->status != ORDER_CANCELLED || is_money_back(order->payment));
    ASSERT(order->status != ORDER_REJECTED || is_money_back(order->payment));
    ASSERT(order->status != ORDER_PLACED || order->payment == PAYMENT_NONE);
    ASSERT(order->fulfilment == FULFILMENT_NONE || order->status == ORDER_CONFIRMED ||
           order->status == ORDER_COMPLETED);
    ASSERT((order->fulfilment == FULFILMENT_NONE) == (shipped_of(order) == 0));
    ASSERT(order->payment != PAYMENT_CAPTURED || order->captured_minor == order->total.minor);
    ASSERT(order->payment != PAYMENT_REFUNDED || order->refunded_minor == order->captured_minor);
}

/* ---- moving ---- */

static void note(struct order *order, const char *what, struct actor actor, str reason)
{
    ASSERT(order->steps_count < ORDER_STEPS_MAX);
    order->steps[order->steps_count++] =
        (struct order_step){ .what = what, .actor = actor, .reason = reason };
}

static void announce(struct order *order, enum order_event event)
{
    ASSERT(order->events_count < ORDER_EVENTS_MAX);
    order->events[order->events_count++] = event;
}

static const struct actor by_system = { .kind = ACTOR_SYSTEM };

static void move_status(struct order *order, enum order_status to, struct actor actor, str reason)
{
    ASSERT(status_moves[order->status] & BIT(to));
    order->status = to;
    note(order, order_status_word(to), actor, reason);
    if (to == ORDER_CONFIRMED)
        announce(order, EVENT_CONFIRMED);
    if (to == ORDER_REJECTED || to == ORDER_CANCELLING)
        announce(order, EVENT_CLOSED);
    if (to == ORDER_CANCELLED && PLANTED(hold_two_owners))
        announce(order, EVENT_CLOSED);
    if (to == ORDER_REJECTED || to == ORDER_CANCELLING)
        order->reason = reason;
}

static void move_payment(struct order *order, enum payment_status to, struct actor actor)
{
    static const char *const steps[] = {
        [PAYMENT_PENDING] = "payment.pending",       [PAYMENT_UNKNOWN] = "payment.unknown",
        [PAYMENT_AUTHORIZED] = "payment.authorized", [PAYMENT_CAPTURED] = "payment.captured",
        [PAYMENT_IS_DECLINED] = "payment.declined",  [PAYMENT_VOIDING] = "payment.voiding",
        [PAYMENT_VOIDED] = "payment.voided",         [PAYMENT_REFUNDING] = "payment.refunding",
        [PAYMENT_REFUNDED] = "payment.refunded",
    };
    ASSERT(payment_moves[order->payment] & BIT(to));
    order->payment = to;
    if (to == PAYMENT_CAPTURED)
        order->captured_minor = order->total.minor;
    if (to == PAYMENT_REFUNDED)
        order->refunded_minor = order->captured_minor;
    note(order, steps[to], actor, STR_NONE);
    if (to == PAYMENT_REFUNDED)
        announce(order, EVENT_REFUNDED);
}

static void move_fulfilment(struct order *order, enum fulfilment_status to)
{
    ASSERT(fulfilment_moves[order->fulfilment] & BIT(to));
    order->fulfilment = to;
}

static bool may_learn(const struct order *order, enum payment_status to)
{
    return (payment_moves[order->payment] & BIT(to)) != 0;
}

/* ---- placing ---- */

static err line_total(struct arena *arena, const struct order_line *line, struct money *out)
{
    if (line->quantity < 1 || line->quantity > ORDER_QUANTITY_MAX)
        return fail(arena, ORDER_QUANTITY_INVALID, "%d x %" STR_F, line->quantity,
                    STR_A(line->sku));
    return money_times(arena, line->unit_price, line->quantity, out);
}

err order_place(struct arena *arena, struct uuid id, struct uuid customer, struct order_line *lines,
                size_t lines_count, time_us now, struct order *out)
{
    ASSERT(arena && out && !uuid_is_nil(id));
    if (lines_count == 0)
        return fail(arena, ORDER_EMPTY, "no lines");
    if (lines_count > ORDER_LINES_MAX)
        return fail(arena, ORDER_TOO_LONG, "%zu lines, at most %d", lines_count, ORDER_LINES_MAX);

    struct money total = money_zero(lines[0].unit_price.currency);
    for (size_t i = 0; i < lines_count; i++) {
        struct money line;
        TRY(line_total(arena, &lines[i], &line));
        TRY(money_add(arena, total, line, &total));
    }
    *out = (struct order){ .id = id,
                           .customer = customer,
                           .status = ORDER_PLACED,
                           .payment = PAYMENT_NONE,
                           .fulfilment = FULFILMENT_NONE,
                           .lines = lines,
                           .lines_count = lines_count,
                           .total = total,
                           .created_at = now,
                           .updated_at = now };
    note(out, "placed", (struct actor){ .kind = ACTOR_CUSTOMER, .id = customer }, STR_NONE);
    announce(out, EVENT_PLACED);
    order_assert(out);
    return OK;
}

/* ---- stock ---- */

err order_reserve(struct arena *arena, struct order *order, time_us hold_until)
{
    ASSERT(arena && order);
    if (order->status != ORDER_PLACED)
        return OK;
    move_status(order, ORDER_RESERVED, by_system, STR_NONE);
    move_payment(order, PAYMENT_PENDING, by_system);
    order->hold_until = hold_until;
    order_assert(order);
    return OK;
}

err order_refuse_stock(struct arena *arena, struct order *order)
{
    ASSERT(arena && order);
    if (order->status != ORDER_PLACED)
        return OK;
    move_status(order, ORDER_REJECTED, by_system, STR("stock.insufficient"));
    order_assert(order);
    return OK;
}

/* ---- money ---- */

bool order_is_manual(const struct order *order)
{
    return str_equal(order->provider, STR("manual"));
}

/* All is shipped and paid: nothing is left to do. */
static void complete_if_done(struct order *order, struct actor actor)
{
    bool all_left =
        order->fulfilment == FULFILMENT_FULFILLED || order->fulfilment == FULFILMENT_DELIVERED;
    if (order->status == ORDER_CONFIRMED && all_left && order->payment == PAYMENT_CAPTURED)
        move_status(order, ORDER_COMPLETED, actor, STR_NONE);
}

static void learn_money_is_there(struct order *order, enum payment_status to, struct actor actor)
{
    if (!may_learn(order, to))
        return;
    move_payment(order, to, actor);
    if (order->status == ORDER_RESERVED)
        move_status(order, ORDER_CONFIRMED, by_system, STR_NONE);
    else if (order->status == ORDER_CANCELLING)
        move_payment(order, to == PAYMENT_CAPTURED ? PAYMENT_REFUNDING : PAYMENT_VOIDING,
                     by_system);
    complete_if_done(order, by_system);
}

static void learn_declined(struct order *order, struct actor actor)
{
    if (!may_learn(order, PAYMENT_IS_DECLINED))
        return;
    move_payment(order, PAYMENT_IS_DECLINED, actor);
    if (order->status == ORDER_RESERVED)
        move_status(order, ORDER_REJECTED, by_system, STR("payment.declined"));
    else if (order->status == ORDER_CANCELLING)
        move_status(order, ORDER_CANCELLED, by_system, STR_NONE);
}

/* Also unasked: an authorization can lapse at the provider. */
static void learn_voided(struct order *order, struct actor actor)
{
    bool unshipped = order->fulfilment == FULFILMENT_NONE;
    if (!may_learn(order, PAYMENT_VOIDED))
        return;
    if (order->status == ORDER_CONFIRMED && !unshipped)
        return; /* goods are out: it stays authorized in our books until people decide */
    if (order->status == ORDER_RESERVED || order->status == ORDER_CONFIRMED)
        move_status(order, ORDER_CANCELLING, by_system, STR("payment.voided"));
    move_payment(order, PAYMENT_VOIDED, actor);
    if (order->status == ORDER_CANCELLING)
        move_status(order, ORDER_CANCELLED, by_system, STR_NONE);
}

/* Also unasked: people can give money back at the provider. Then it had been captured, even if
 * nobody told us, and what was not shipped is free again. */
static void learn_refunded(struct order *order, struct actor actor)
{
    bool asked = order->payment == PAYMENT_REFUNDING;
    if (may_learn(order, PAYMENT_CAPTURED))
        move_payment(order, PAYMENT_CAPTURED, actor);
    if (!may_learn(order, PAYMENT_REFUNDED))
        return;
    bool unshipped = order->fulfilment == FULFILMENT_NONE;
    if ((order->status == ORDER_RESERVED || order->status == ORDER_CONFIRMED) && unshipped)
        move_status(order, ORDER_CANCELLING, by_system, STR("payment.refunded"));
    else if (!asked && order->fulfilment == FULFILMENT_PARTIAL)
        announce(order, EVENT_CLOSED);
    move_payment(order, PAYMENT_REFUNDED, actor);
    if (order->status == ORDER_CANCELLING)
        move_status(order, ORDER_CANCELLED, by_system, STR_NONE);
    else if (order->status == ORDER_CONFIRMED)
        move_status(order, ORDER_COMPLETED, by_system, STR_NONE);
}

err order_learn_payment(struct arena *arena, struct order *order, enum payment_known known,
                        struct actor actor)
{
    ASSERT(arena && order);
    switch (known) {
    case KNOWN_PENDING: break;
    case KNOWN_UNKNOWN:
        if (order->payment == PAYMENT_PENDING)
            move_payment(order, PAYMENT_UNKNOWN, actor);
        break;
    case KNOWN_AUTHORIZED: learn_money_is_there(order, PAYMENT_AUTHORIZED, actor); break;
    case KNOWN_CAPTURED: learn_money_is_there(order, PAYMENT_CAPTURED, actor); break;
    case KNOWN_DECLINED: learn_declined(order, actor); break;
    case KNOWN_VOIDED: learn_voided(order, actor); break;
    case KNOWN_REFUNDED: learn_refunded(order, actor); break;
    }
    order_assert(order);
    return OK;
}

err order_record_payment(struct arena *arena, struct order *order, struct money amount,
                         struct actor actor)
{
    ASSERT(arena && order);
    if (!order_is_manual(order) || order->status != ORDER_RESERVED ||
        order->payment != PAYMENT_PENDING)
        return fail(arena, ORDER_STATE,
                    "no payment by hand is awaited: the order is %s, its payment %s",
                    order_status_word(order->status), payment_status_word(order->payment));
    if (amount.minor != order->total.minor ||
        !currency_equal(amount.currency, order->total.currency))
        return fail_field(arena, PAYMENT_AMOUNT, STR("/amount"), "the order asks for %lld %s",
                          (long long)order->total.minor, order->total.currency.letters);
    learn_money_is_there(order, PAYMENT_CAPTURED, actor);
    order_assert(order);
    return OK;
}

enum payment_job order_wants(const struct order *order, bool capture_at_confirm)
{
    if (order_is_manual(order))
        return JOB_NONE;
    switch (order->payment) {
    case PAYMENT_PENDING:
    case PAYMENT_UNKNOWN: return JOB_AUTHORIZE;
    case PAYMENT_AUTHORIZED:
        return capture_at_confirm || order->fulfilment != FULFILMENT_NONE ? JOB_CAPTURE : JOB_NONE;
    case PAYMENT_VOIDING: return JOB_VOID;
    case PAYMENT_REFUNDING: return JOB_REFUND;
    case PAYMENT_NONE:
    case PAYMENT_CAPTURED:
    case PAYMENT_IS_DECLINED:
    case PAYMENT_VOIDED:
    case PAYMENT_REFUNDED: break;
    }
    return JOB_NONE;
}

/* ---- cancelling ---- */

static void start_cancelling(struct order *order, struct actor actor, str reason)
{
    move_status(order, ORDER_CANCELLING, actor, reason);
    if (order->payment == PAYMENT_AUTHORIZED)
        move_payment(order, PAYMENT_VOIDING, by_system);
    else if (order->payment == PAYMENT_CAPTURED)
        move_payment(order, PAYMENT_REFUNDING, by_system);
    else if (order->payment == PAYMENT_PENDING && order_is_manual(order))
        move_payment(order, PAYMENT_VOIDED, by_system);
    if (is_money_back(order->payment))
        move_status(order, ORDER_CANCELLED, by_system, STR_NONE);
}

static bool is_in_cancel_window(const struct order *order)
{
    return (order->status == ORDER_PLACED || order->status == ORDER_RESERVED ||
            order->status == ORDER_CONFIRMED) &&
           order->fulfilment == FULFILMENT_NONE && order->payment != PAYMENT_REFUNDING;
}

err order_cancel(struct arena *arena, struct order *order, struct actor actor, str reason)
{
    ASSERT(arena && order);
    if (!is_in_cancel_window(order))
        return fail(arena, ORDER_STATE,
                    "the order is %s and its fulfilment %s: it cannot be cancelled any more",
                    order_status_word(order->status), fulfilment_status_word(order->fulfilment));
    start_cancelling(order, actor, reason.len ? reason : STR("cancelled"));
    order_assert(order);
    return OK;
}

err order_expire(struct arena *arena, struct order *order, time_us now)
{
    ASSERT(arena && order);
    if (order->status != ORDER_RESERVED || order->payment != PAYMENT_PENDING ||
        now < order->hold_until)
        return OK;
    start_cancelling(order, by_system, STR("hold.expired"));
    order_assert(order);
    return OK;
}

/* ---- shipping and giving back ---- */

static struct order_line *open_line(struct order *order, str sku)
{
    for (size_t i = 0; i < order->lines_count; i++)
        if (str_equal(order->lines[i].sku, sku) &&
            order->lines[i].shipped < order->lines[i].quantity)
            return &order->lines[i];
    return NULL;
}

static size_t all_that_is_left(const struct order *order, struct shipment_line *shipment)
{
    size_t count = 0;
    for (size_t i = 0; i < order->lines_count; i++) {
        const struct order_line *line = &order->lines[i];
        if (line->shipped < line->quantity)
            shipment[count++] =
                (struct shipment_line){ .sku = line->sku,
                                        .quantity = line->quantity - line->shipped };
    }
    return count;
}

/* A SKU may stand on several lines of the order: they are filled in turn. */
static err ship_line(struct arena *arena, struct order *order, const struct shipment_line *part,
                     size_t index)
{
    int32_t left = part->quantity;
    for (struct order_line *line; left > 0 && (line = open_line(order, part->sku)) != NULL;) {
        int32_t open = line->quantity - line->shipped;
        int32_t taken = left < open ? left : open;
        line->shipped += taken;
        left -= taken;
    }
    if (left > 0 || part->quantity < 1)
        return fail_field(
            arena, FULFILMENT_INVALID, str_format(arena, "/lines/%zu/quantity", index),
            "%d of %" STR_F " are more than is left to ship", part->quantity, STR_A(part->sku));
    return OK;
}

err order_ship(struct arena *arena, struct order *order, struct shipment_line *shipment,
               size_t *shipment_count, struct actor actor)
{
    ASSERT(arena && order && shipment && shipment_count);
    bool paid = order->payment == PAYMENT_AUTHORIZED || order->payment == PAYMENT_CAPTURED;
    if (order->status != ORDER_CONFIRMED || !paid || order->fulfilment == FULFILMENT_RETURNED)
        return fail(arena, ORDER_STATE, "the order is %s, its payment %s: it cannot be shipped",
                    order_status_word(order->status), payment_status_word(order->payment));
    if (*shipment_count == 0)
        *shipment_count = all_that_is_left(order, shipment);
    if (*shipment_count == 0)
        return fail(arena, FULFILMENT_INVALID, "nothing is left to ship");
    for (size_t i = 0; i < *shipment_count; i++)
        TRY(ship_line(arena, order, &shipment[i], i));
    move_fulfilment(order, is_all_shipped(order) ? FULFILMENT_FULFILLED : FULFILMENT_PARTIAL);
    note(order, "shipped", actor, STR_NONE);
    announce(order, EVENT_SHIPPED);
    complete_if_done(order, actor);
    order_assert(order);
    return OK;
}

err order_deliver(struct arena *arena, struct order *order, struct actor actor)
{
    ASSERT(arena && order);
    if (order->fulfilment != FULFILMENT_FULFILLED)
        return fail(arena, ORDER_STATE,
                    "its fulfilment is %s: only what was shipped whole can arrive",
                    fulfilment_status_word(order->fulfilment));
    move_fulfilment(order, FULFILMENT_DELIVERED);
    note(order, "delivered", actor, STR_NONE);
    order_assert(order);
    return OK;
}

err order_may_return(struct arena *arena, const struct order *order, time_us now, int64_t return_us)
{
    ASSERT(arena && order && return_us > 0);
    if (now - order->created_at <= return_us)
        return OK;
    return fail(arena, RETURN_TOO_LATE, "it was placed %lld days ago; units come back for %lld",
                (long long)((now - order->created_at) / (86400 * TIME_SECOND)),
                (long long)(return_us / (86400 * TIME_SECOND)));
}

err order_refund(struct arena *arena, struct order *order, bool restock, struct actor actor,
                 str reason)
{
    ASSERT(arena && order);
    bool by_hand_due = order_is_manual(order) && order->payment == PAYMENT_REFUNDING;
    if (by_hand_due) { /* a cancelled manual payment: the money went back by hand */
        learn_refunded(order, actor);
        order_assert(order);
        return OK;
    }
    if (order->payment != PAYMENT_CAPTURED)
        return fail(arena, REFUND_INVALID, "the payment is %s: there is nothing to give back",
                    payment_status_word(order->payment));
    if (order->fulfilment == FULFILMENT_NONE) {
        start_cancelling(order, actor, reason.len ? reason : STR("refunded"));
    } else {
        if (restock) {
            move_fulfilment(order, FULFILMENT_RETURNED);
            note(order, "returned", actor, STR_NONE);
            announce(order, EVENT_RETURNED);
        }
        if (!is_all_shipped(order))
            announce(order, EVENT_CLOSED); /* what was not shipped is free again */
        move_payment(order, PAYMENT_REFUNDING, actor);
    }
    if (order_is_manual(order))
        learn_refunded(order, actor);
    order_assert(order);
    return OK;
}

bool order_is_settled(const struct order *order)
{
    switch (order->status) {
    case ORDER_PLACED: return false;
    case ORDER_RESERVED: return order_is_manual(order);
    case ORDER_CONFIRMED:
    case ORDER_COMPLETED:
    case ORDER_REJECTED:
    case ORDER_CANCELLING:
    case ORDER_CANCELLED: return true;
    }
    return false;
}

str order_reason_of_shop(const struct order *order)
{
    static const str reasons[] = { STR("stock.insufficient"), STR("payment.declined"),
                                   STR("payment.voided"), STR("payment.refunded"),
                                   STR("hold.expired") };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (str_equal(order->reason, reasons[i]))
            return reasons[i];
    return STR_NONE;
}
