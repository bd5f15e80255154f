#include "order_bank.h"
#include "base/arena.h"

enum { NEWS_MAX = 64, MOVES_MAX = 80, SETTLE_MAX = 100 };

static const struct actor PROVIDER_ = { .kind = ACTOR_PROVIDER };
static const struct actor STAFF_ = { .kind = ACTOR_STAFF, .id = { { 2 } } };

struct bank {
    struct arena *arena;
    uint64_t chance;
    struct order order;
    bool capture_at_confirm, manual;
    enum payment_known payment; /* what the bank knows; KNOWN_UNKNOWN: it was never asked */
    bool asked;
    enum payment_known news[NEWS_MAX];
    int news_count;
    /* The warehouse. */
    bool asked_stock, answered_stock;
    int64_t held, shipped, returned;
    int closed, refunded;
    int *moves;
};

/* xorshift64*: 0 <= n < bound. */
static int pick(struct bank *bank, int bound)
{
    bank->chance ^= bank->chance >> 12;
    bank->chance ^= bank->chance << 25;
    bank->chance ^= bank->chance >> 27;
    return (int)((bank->chance * UINT64_C(2685821657736338717) >> 33) % (unsigned)bound);
}

static int64_t ordered(const struct bank *bank)
{
    int64_t units = 0;
    for (size_t i = 0; i < bank->order.lines_count; i++)
        units += bank->order.lines[i].quantity;
    return units;
}

static int64_t sent(const struct bank *bank)
{
    int64_t units = 0;
    for (size_t i = 0; i < bank->order.lines_count; i++)
        units += bank->order.lines[i].shipped;
    return units;
}

/* The warehouse hears the events of the last move. */
static const char *hear(struct bank *bank)
{
    struct order *order = &bank->order;
    for (int i = 0; i < order->events_count; i++) {
        switch (order->events[i]) {
        case EVENT_PLACED: bank->asked_stock = true; break;
        case EVENT_CONFIRMED: break;
        case EVENT_REFUNDED:
            if (bank->refunded++)
                return "refunded twice";
            break;
        case EVENT_SHIPPED:
            if (bank->closed)
                return "shipped after it was closed";
            bank->held -= sent(bank) - bank->shipped;
            bank->shipped = sent(bank);
            break;
        case EVENT_RETURNED:
            if (bank->returned)
                return "returned twice";
            bank->returned = bank->shipped;
            break;
        case EVENT_CLOSED:
            if (bank->closed++)
                return "closed twice";
            bank->held = 0;
            break;
        }
    }
    (*bank->moves)++;
    order->steps_count = order->events_count = 0;
    if (bank->held < 0 || bank->shipped > ordered(bank))
        return "more was shipped than was held";
    order_assert(order);
    return NULL;
}

static void tell(struct bank *bank)
{
    if (bank->news_count < NEWS_MAX)
        bank->news[bank->news_count++] = bank->payment;
}

/* The bank does what it is asked, if it still can; its answer may be lost or late. */
static err run_job(struct bank *bank)
{
    enum payment_job job = order_wants(&bank->order, bank->capture_at_confirm);
    if (job == JOB_NONE)
        return OK;
    if (job == JOB_AUTHORIZE && !bank->asked) {
        static const enum payment_known decided[] = { KNOWN_AUTHORIZED, KNOWN_AUTHORIZED,
                                                      KNOWN_DECLINED, KNOWN_PENDING,
                                                      KNOWN_CAPTURED };
        bank->payment = decided[pick(bank, 5)];
    } else if (bank->payment == KNOWN_PENDING && pick(bank, 2)) {
        bank->payment = pick(bank, 2) ? KNOWN_AUTHORIZED : KNOWN_DECLINED;
    } else if (job == JOB_CAPTURE && bank->payment == KNOWN_AUTHORIZED) {
        bank->payment = KNOWN_CAPTURED;
    } else if (job == JOB_VOID && bank->payment == KNOWN_AUTHORIZED) {
        bank->payment = KNOWN_VOIDED;
    } else if (job == JOB_REFUND && bank->payment == KNOWN_CAPTURED) {
        bank->payment = KNOWN_REFUNDED;
    }
    bank->asked = true;
    tell(bank);
    int fate = pick(bank, 4);
    if (fate == 0)
        return order_learn_payment(bank->arena, &bank->order, KNOWN_UNKNOWN, PROVIDER_);
    return fate == 1 ? OK
                     : order_learn_payment(bank->arena, &bank->order, bank->payment, PROVIDER_);
}

/* News in any order; some come again. */
static err hear_news(struct bank *bank)
{
    if (bank->news_count == 0)
        return OK;
    int at = pick(bank, bank->news_count);
    enum payment_known known = bank->news[at];
    if (pick(bank, 3))
        bank->news[at] = bank->news[--bank->news_count];
    return order_learn_payment(bank->arena, &bank->order, known, PROVIDER_);
}

/* What people do at the bank, without asking us. */
static err meddle(struct bank *bank)
{
    if (bank->payment == KNOWN_AUTHORIZED)
        bank->payment = KNOWN_VOIDED;
    else if (bank->payment == KNOWN_CAPTURED)
        bank->payment = KNOWN_REFUNDED;
    tell(bank);
    return OK;
}

static err answer_stock(struct bank *bank)
{
    if (!bank->asked_stock || bank->answered_stock)
        return OK;
    bank->answered_stock = true;
    if (pick(bank, 8) == 0)
        return order_refuse_stock(bank->arena, &bank->order);
    if (!bank->closed) /* a close that came before leaves a tombstone */
        bank->held = ordered(bank);
    return order_reserve(bank->arena, &bank->order, 1000);
}

static err pay_by_hand(struct bank *bank)
{
    err error = order_record_payment(bank->arena, &bank->order, bank->order.total, STAFF_);
    if (error == OK)
        bank->payment = KNOWN_CAPTURED;
    return error;
}

static err refund(struct bank *bank)
{
    err error = order_refund(bank->arena, &bank->order, pick(bank, 2), STAFF_, STR(""));
    if (error == OK && bank->manual)
        bank->payment = KNOWN_REFUNDED;
    return error;
}

static err ship_some(struct bank *bank)
{
    struct shipment_line shipment[ORDER_LINES_MAX];
    struct order_line lines[8];
    size_t count = pick(bank, 3) ? 1 : 0;
    const struct order_line *line = &bank->order.lines[pick(bank, (int)bank->order.lines_count)];
    shipment[0] = (struct shipment_line){ line->sku, 1 + pick(bank, 3) };
    memcpy(lines, bank->order.lines, sizeof *lines * bank->order.lines_count);
    err error = order_ship(bank->arena, &bank->order, shipment, &count, STAFF_);
    if (error != OK) /* as a handler: what failed is not saved */
        memcpy(bank->order.lines, lines, sizeof *lines * bank->order.lines_count);
    return error;
}

static err move(struct bank *bank)
{
    struct order *order = &bank->order;
    switch (pick(bank, 16)) {
    case 0:
    case 1: return answer_stock(bank);
    case 2: return pick(bank, 6) ? OK : order_cancel(bank->arena, order, STAFF_, STR(""));
    case 3: return order_expire(bank->arena, order, pick(bank, 2000));
    case 4: return bank->manual ? pay_by_hand(bank) : OK;
    case 5: return ship_some(bank);
    case 6: return order_deliver(bank->arena, order, STAFF_);
    case 7: return pick(bank, 4) ? OK : refund(bank);
    case 8: return bank->manual || pick(bank, 8) ? OK : meddle(bank);
    case 9:
    case 10:
    case 11: return hear_news(bank);
    default: return run_job(bank);
    }
}

/* ---- when all has been said ---- */

/* What the order shows is what the bank knows. */
static const char *check_money(const struct bank *bank)
{
    const struct order *order = &bank->order;
    bool holds = bank->payment == KNOWN_CAPTURED;
    bool goods_are_out = order->payment == PAYMENT_AUTHORIZED &&
                         order->fulfilment != FULFILMENT_NONE && bank->payment == KNOWN_VOIDED;
    if (goods_are_out) /* people decide */
        return NULL;
    if ((order->captured_minor - order->refunded_minor == order->total.minor) != holds)
        return "the order shows other money than the bank holds";
    if ((order->status == ORDER_CANCELLED || order->status == ORDER_REJECTED) &&
        (holds || bank->payment == KNOWN_AUTHORIZED))
        return "money was taken for an order that is over";
    if (order->status == ORDER_CANCELLING && !bank->manual)
        return "it is never cancelled";
    return NULL;
}

static const char *check_units(const struct bank *bank)
{
    const struct order *order = &bank->order;
    bool over = order->status == ORDER_CANCELLED || order->status == ORDER_REJECTED ||
                order->status == ORDER_COMPLETED;
    if (over && bank->held != 0)
        return "units are held for an order that is over";
    if (!over && !bank->closed && bank->answered_stock && order->status != ORDER_CANCELLING &&
        bank->held != ordered(bank) - bank->shipped)
        return "units are not held for an order that is open";
    return NULL;
}

static const char *settle(struct bank *bank)
{
    for (int i = 0; i < SETTLE_MAX; i++) {
        err errors[] = { answer_stock(bank), run_job(bank), hear_news(bank) };
        (void)errors;
        const char *complaint = hear(bank);
        if (complaint)
            return complaint;
    }
    bank->news_count = 0;
    if (bank->asked) { /* the last word is heard */
        err error = order_learn_payment(bank->arena, &bank->order, bank->payment, PROVIDER_);
        (void)error;
    }
    const char *complaint = hear(bank);
    complaint = complaint ? complaint : check_money(bank);
    return complaint ? complaint : check_units(bank);
}

static void place(struct bank *bank)
{
    static const struct currency eur = { "EUR" };
    static const char *const skus[] = { "mug", "tea", "mug" };
    size_t count = (size_t)(1 + pick(bank, 3));
    struct order_line *lines = arena_array(bank->arena, struct order_line, count);
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct order_line){ .sku = str_of_z(skus[i]),
                                        .quantity = 1 + pick(bank, 3),
                                        .unit_price = { 100 + pick(bank, 900), eur } };
    err error = order_place(bank->arena, (struct uuid){ { 1 } }, (struct uuid){ { 9 } }, lines,
                            count, 1, &bank->order);
    ASSERT(error == OK);
    bank->manual = pick(bank, 4) == 0;
    bank->capture_at_confirm = pick(bank, 2);
    bank->order.provider = bank->manual ? STR("manual") : STR("simulator");
}

const char *bank_live(struct arena *arena, uint64_t seed, int *moves)
{
    struct bank *bank = arena_new(arena, struct bank);
    *bank = (struct bank){ .arena = arena,
                           .chance = seed * UINT64_C(0x9e3779b97f4a7c15) | 1,
                           .moves = moves };
    place(bank);
    const char *complaint = hear(bank);
    for (int i = 0; i < MOVES_MAX && !complaint; i++) {
        err error = move(bank);
        (void)error; /* a move that is refused leaves all as it was */
        complaint = hear(bank);
    }
    return complaint ? complaint : settle(bank);
}
