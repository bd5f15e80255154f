/* All that an order can become: every state that any moves lead to, and lives of many moves beside
 * a bank and a warehouse. */
#include "order_bank.h"
#include "tests/lib/test.h"

static const struct actor PROVIDER = { .kind = ACTOR_PROVIDER };
static const struct actor STAFF = { .kind = ACTOR_STAFF, .id = { { 2 } } };
static const struct actor CUSTOMER = { .kind = ACTOR_CUSTOMER, .id = { { 9 } } };

enum { HOLD_UNTIL = 1000 };

/* Two of one SKU on two lines, and another. */
static struct order *placed(struct test *t, const char *provider)
{
    static const struct currency eur = { "EUR" };
    struct order_line *lines = arena_array(t->arena, struct order_line, 3);
    struct order *order = arena_new(t->arena, struct order);
    lines[0] = (struct order_line){ .sku = STR("mug"), .quantity = 2, .unit_price = { 500, eur } };
    lines[1] = (struct order_line){ .sku = STR("tea"), .quantity = 1, .unit_price = { 250, eur } };
    lines[2] = (struct order_line){ .sku = STR("mug"), .quantity = 3, .unit_price = { 400, eur } };
    CHECK_OK(order_place(t->arena, (struct uuid){ { 1 } }, CUSTOMER.id, lines, 3, 77, order));
    order->provider = str_of_z(provider);
    return order;
}

/* As it is read from the database: the moves so far are forgotten. */
static void forget(struct order *order) { order->steps_count = order->events_count = 0; }

/* ---- all that is reachable, and nothing else ---- */

/* The tables of the moves, as the docs tell them. */
static const char *const status_moves[] = {
    "placed reserved",     "placed rejected",      "placed cancelling",
    "reserved confirmed",  "reserved rejected",    "reserved cancelling",
    "confirmed completed", "confirmed cancelling", "cancelling cancelled",
};
static const char *const payment_moves[] = {
    "none pending",      "pending unknown",    "pending authorized",  "pending captured",
    "pending declined",  "pending voided",     "unknown authorized",  "unknown captured",
    "unknown declined",  "unknown voided",     "authorized captured", "authorized voiding",
    "authorized voided", "captured refunding", "captured refunded",   "voiding voided",
    "voiding captured",  "refunding refunded",
};
static const char *const fulfilment_moves[] = {
    "none partial",     "none fulfilled",      "partial partial",    "partial fulfilled",
    "partial returned", "fulfilled delivered", "fulfilled returned", "delivered returned",
};

enum { STATES_MAX = 4000, MOVES = 16 };

struct walked {
    struct order order;
    struct order_line lines[3];
};

struct reach {
    struct test *t;
    struct walked states[STATES_MAX];
    int count;
    bool status[8][8], payment[11][11], fulfilment[6][6];
};

static bool is_same(const struct order *a, const struct order *b)
{
    for (int i = 0; i < 3; i++)
        if (a->lines[i].shipped != b->lines[i].shipped)
            return false;
    return a->status == b->status && a->payment == b->payment && a->fulfilment == b->fulfilment &&
           a->captured_minor == b->captured_minor && a->refunded_minor == b->refunded_minor &&
           str_equal(a->provider, b->provider);
}

/* Adds a state that is new; forgets the moves that led to it. */
static void reach_state(struct reach *reach, const struct order *order)
{
    for (int i = 0; i < reach->count; i++)
        if (is_same(&reach->states[i].order, order))
            return;
    ASSERT(reach->count < STATES_MAX);
    struct walked *state = &reach->states[reach->count++];
    state->order = *order;
    memcpy(state->lines, order->lines, sizeof state->lines);
    state->order.lines = state->lines;
    forget(&state->order);
}

/* One of all the moves there are; what it answers is not looked at. */
static err try_move(struct arena *arena, struct order *order, int move)
{
    struct shipment_line shipment[ORDER_LINES_MAX] = { { STR("mug"), 1 } };
    size_t one = 1, all = 0;
    switch (move) {
    case 0: return order_reserve(arena, order, HOLD_UNTIL);
    case 1: return order_refuse_stock(arena, order);
    case 2: return order_cancel(arena, order, CUSTOMER, STR(""));
    case 3: return order_expire(arena, order, HOLD_UNTIL);
    case 4: return order_record_payment(arena, order, order->total, STAFF);
    case 5: return order_ship(arena, order, shipment, &one, STAFF);
    case 6: return order_ship(arena, order, shipment, &all, STAFF);
    case 7: return order_deliver(arena, order, STAFF);
    case 8: return order_refund(arena, order, false, STAFF, STR(""));
    case 9: return order_refund(arena, order, true, STAFF, STR(""));
    default: return order_learn_payment(arena, order, (enum payment_known)(move - 10), PROVIDER);
    }
}

static void note_moves(struct reach *reach, const struct order *from, const struct order *to)
{
    int status = from->status, payment = from->payment;
    for (int i = 0; i < to->steps_count; i++) {
        str what = str_of_z(to->steps[i].what);
        if (str_starts(what, STR("payment."))) {
            int next = payment_status_of(str_slice(what, strlen("payment."), what.len));
            reach->payment[payment][next] = true;
            payment = next;
        } else if (order_status_of(what)) {
            reach->status[status][order_status_of(what)] = true;
            status = order_status_of(what);
        }
    }
    ASSERT(status == (int)to->status && payment == (int)to->payment);
    bool moved = to->fulfilment != from->fulfilment;
    for (int i = 0; i < 3; i++)
        moved = moved || to->lines[i].shipped != from->lines[i].shipped;
    if (moved)
        reach->fulfilment[from->fulfilment][to->fulfilment] = true;
}

/* A state with money that is not whole, or moves without steps, is never reached. */
static void check_state(const struct order *order)
{
    order_assert(order);
    CHECK(order->captured_minor == 0 || order->captured_minor == order->total.minor);
    CHECK(order->refunded_minor == 0 || order->refunded_minor == order->captured_minor);
    CHECK(order->steps_count <= ORDER_STEPS_MAX && order->events_count <= ORDER_EVENTS_MAX);
}

static void explore(struct reach *reach, const char *provider)
{
    struct test *t = reach->t;
    int first = reach->count;
    reach_state(reach, placed(t, provider));
    for (int i = first; i < reach->count; i++)
        for (int move = 0; move <= MOVES; move++) {
            struct walked to = reach->states[i];
            to.order.lines = to.lines;
            struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
            err error = try_move(arena, &to.order, move);
            bool moved = error == OK;
            arena_close(arena);
            if (!moved)
                continue;
            check_state(&to.order);
            note_moves(reach, &reach->states[i].order, &to.order);
            reach_state(reach, &to.order);
        }
}

static void check_moves(struct test *t, const char *const *moves, int count, int states,
                        const bool *seen, int (*state_of)(str word),
                        const char *(*word_of)(int state))
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        str rest = str_of_z(moves[i]);
        int from = state_of(str_cut(&rest, ' ')), to = state_of(rest);
        CHECK(from > 0 && to > 0);
        if (!seen[from * states + to])
            FAIL("never moved: %s", moves[i]);
    }
    for (int from = 1; from < states; from++)
        for (int to = 1; to < states; to++)
            if (seen[from * states + to]) {
                bool known = false;
                str move = str_format(t->arena, "%s %s", word_of(from), word_of(to));
                for (int i = 0; i < count; i++)
                    known = known || str_equal(str_of_z(moves[i]), move);
                if (!known)
                    FAIL("moved: %" STR_F, STR_A(move));
                found++;
            }
    CHECK_INT(found, count);
}

static int status_state(str word) { return order_status_of(word); }
static int payment_state(str word) { return payment_status_of(word); }
static int fulfilment_state(str word) { return fulfilment_status_of(word); }
static const char *status_text(int state) { return order_status_word((enum order_status)state); }
static const char *payment_text(int state)
{
    return payment_status_word((enum payment_status)state);
}
static const char *fulfilment_text(int state)
{
    return fulfilment_status_word((enum fulfilment_status)state);
}

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

TEST(every_move_of_the_tables_is_made_and_no_other)
{
    struct reach *reach = arena_new(t->arena, struct reach);
    reach->t = t;
    explore(reach, "simulator");
    explore(reach, "manual");
    check_moves(t, status_moves, COUNT_OF(status_moves), 8, &reach->status[0][0], status_state,
                status_text);
    check_moves(t, payment_moves, COUNT_OF(payment_moves), 11, &reach->payment[0][0], payment_state,
                payment_text);
    check_moves(t, fulfilment_moves, COUNT_OF(fulfilment_moves), 6, &reach->fulfilment[0][0],
                fulfilment_state, fulfilment_text);
    CHECK(reach->count > 60);
}

/* ---- a bank and a warehouse beside it ---- */

TEST(however_100000_moves_fall_the_books_agree)
{
    enum { MOVES_MAX = 100000 };
    int moves = 0, orders = 0;
    uint64_t seed = 0x5eed;
    while (moves < MOVES_MAX) {
        struct arena *arena = arena_open(SIZE_MAX);
        const char *complaint = bank_live(arena, seed + (uint64_t)orders, &moves);
        arena_close(arena);
        if (complaint)
            FAIL("seed %llu: %s", (unsigned long long)(seed + (uint64_t)orders), complaint);
        orders++;
    }
    CHECK(orders > 500);
}
