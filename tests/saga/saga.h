/* The saga of a few orders as a graph of states: each edge is one durable step that the shop, the
 * bank or a person can take, each node all that is on disk or on its way. The rules are those of
 * orders/order.c and products/reservation.c, called as the services call them; what lies between
 * (bus, inbox, outbox, compare-and-swap, payment lanes, the bank) is told here in few lines.
 *
 * What a fault can do is an edge too: an event comes again, early or late (the inbox is asked), an
 * answer of the bank is lost before or after the bank has acted, a lane dies before it has saved,
 * a callback comes late, twice or never, the hold runs out, a person cancels, ships or refunds in
 * between. A crash loses only what no row holds, which is what a lane knows: so it is the lane's
 * death, and the repeats that follow are the repeats above.
 *
 * saga_search visits every state that can be reached, in breadth, and checks in each one what
 * always holds, and that the shop comes to rest from there with its books in order once faults end.
 */
#pragma once
#include "base/arena.h"
#include "services/orders/order.h"
#include "services/products/reservation.h"

enum { SAGA_ORDERS_MAX = 3, SAGA_SKUS_MAX = 2, SAGA_EVENTS_MAX = 8 };

/* An event of an order as it lies in the outbox, or went on from there: at its number, less one. */
struct saga_event {
    uint8_t kind : 4;           /* enum order_event */
    uint8_t mugs : 2, teas : 2; /* that leave or return */
};

/* What Orders reads and saves in one piece. */
struct saga_row {
    uint8_t status, payment, fulfilment; /* 0: not placed yet */
    uint8_t shipped[SAGA_SKUS_MAX];
    uint8_t captured, refunded; /* whole, or not at all */
    uint8_t events_count;
    struct saga_event events[SAGA_EVENTS_MAX];
};

/* A payment lane between the bank's answer and the row. */
struct saga_lane {
    uint8_t busy, known;
    uint8_t stale;       /* the row was saved by somebody else since */
    struct saga_row row; /* as it was read; kept only where a planted fault needs it */
};

/* One order, wherever it lies. */
struct saga_order {
    struct saga_row row;
    struct saga_lane lane;
    uint8_t heard; /* Products' inbox: the last number that took effect */

    uint8_t reservation; /* enum reservation_state */
    uint8_t held[SAGA_SKUS_MAX], sent[SAGA_SKUS_MAX], back[SAGA_SKUS_MAX];
    uint8_t answer; /* Products' event: 0 none yet, 1 reserved, 2 refused */
    uint8_t answer_heard;

    uint8_t bank;     /* enum payment_known: what the bank's books say; 0: it was never asked */
    uint8_t captures; /* how often it took the money */
    uint8_t news;     /* bits of what callbacks may still say */
};

struct saga_state {
    uint8_t on_hand[SAGA_SKUS_MAX], reserved[SAGA_SKUS_MAX];
    /* Planted: a level as somebody read it, to write it back later. */
    uint8_t read_by, read_reserved[SAGA_SKUS_MAX];
    struct saga_order orders[SAGA_ORDERS_MAX]; /* last: fewer orders are fewer bytes */
};

/* Bugs that a saga can have; each is planted in the world between the rules. */
enum saga_bug {
    BUG_NONE,
    BUG_INBOX_GONE,          /* an event that comes again takes effect again */
    BUG_INBOX_UNORDERED,     /* an event that comes early takes effect early */
    BUG_COMPENSATION_LOST,   /* OrderClosed is never announced */
    BUG_HOLD_FREED_BY_TIME,  /* Products frees a hold as well, when its time is up */
    BUG_VERSION_GONE,        /* a lane saves over what others have saved meanwhile */
    BUG_DOUBLE_CAPTURE,      /* each try to capture is a new payment */
    BUG_TIMEOUT_IS_NO,       /* an answer that never came counts as a refusal */
    BUG_CAPTURE_UNCONFIRMED, /* the money is taken before the order is confirmed on disk */
    BUG_STOCK_READ_THEN_WRITTEN,
    BUG_RELAY_CURSOR,   /* an event that became visible late is passed over */
    BUG_VOID_FORGOTTEN, /* cancelling does not give an authorization back */
    BUGS_COUNT
};
const char *saga_bug_name(enum saga_bug bug);

/* What is searched: who takes part, and which faults and people there are. */
struct saga_plan {
    int orders_count, skus_count;
    uint8_t wanted[SAGA_ORDERS_MAX][SAGA_SKUS_MAX];
    uint8_t on_hand[SAGA_SKUS_MAX];
    bool capture_at_confirm;
    bool declines, pends, lapses; /* what the bank may say besides yes */
    bool loses;                   /* answers and lanes are lost */
    bool callbacks;               /* the bank tells by itself, late and in any order */
    bool cancels, expires;        /* before it is shipped */
    bool ships, parcels, refunds; /* parcels: unit by unit */
    enum saga_bug bug;
    size_t states_max; /* 0: all of them */
};

struct saga_found {
    size_t states, edges, depth;
    bool is_whole;         /* there are no more states */
    const char *complaint; /* NULL: what should hold holds */
};

/* Searches. Where something is wrong, it prints the shortest way there, step by step. Memory lies
 * in the arena (some 100 bytes a state). */
struct saga_found saga_search(struct arena *arena, const struct saga_plan *plan);

/* ---- the world; saga_world.c ---- */

/* One step to another state. */
struct saga_step {
    const char *what;
    int order;
    struct saga_state to;
};

enum { SAGA_STEPS_MAX = 160 };

struct saga_state saga_begin(const struct saga_plan *plan);

/* All steps that lead on from a state, into `steps`; gives their number. `arena` is reset. Fills
 * *complaint with what a step has broken. */
int saga_steps(struct arena *arena, const struct saga_plan *plan, const struct saga_state *state,
               struct saga_step *steps, const char **complaint);

/* What always holds: NULL, or what does not. */
const char *saga_check(const struct saga_plan *plan, const struct saga_state *state);

/* Lets the shop come to rest without faults and people, and checks its books. */
const char *saga_rest(struct arena *arena, const struct saga_plan *plan,
                      const struct saga_state *state);
