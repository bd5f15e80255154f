/* The oracle: what clients know of the shop from what they asked and heard. Plain arrays, no
 * database. Each answer is held against what was heard before; the books are held against all of it
 * at the end (check.h).
 *
 * Only who has the baton touches it, and it never waits: so it needs no lock. */
#pragma once
#include "base/arena.h"
#include "base/json.h"
#include "base/uuid.h"
#include "chassis/spec.h"
#include "tests/sim/plan.h"

enum {
    MODEL_ORDERS_MAX = 1500,
    MODEL_KEYS_MAX = 3000,
    MODEL_PRICES_MAX = 200,
    MODEL_LINES_MAX = 4,
    MODEL_PARCELS_MAX = 12,
    MODEL_VERSIONS_MAX = 40,
};

struct model_sku {
    char sku[24], product[UUID_TEXT_LEN + 1];
    int64_t initial, adjusted;
    int64_t prices[MODEL_PRICES_MAX]; /* each that may ever have been in force */
    int prices_count;
};

struct model_line {
    int sku, quantity;
};

struct model_parcel {
    char id[UUID_TEXT_LEN + 1];
    int64_t units[PLAN_SKUS_MAX];
};

/* An order that somebody was told of. */
struct model_order {
    char id[UUID_TEXT_LEN + 1];
    struct uuid customer;
    struct model_line lines[MODEL_LINES_MAX];
    int lines_count;
    const char *token; /* of the simulator; "manual" */
    int64_t total;
    bool cancelled, paid_by_hand, refunded, restocked,
        delivered;     /* asked for, and answered with 2xx */
    bool is_uncertain; /* its buyer is gone, and with him what an attempt came to */
    struct model_parcel parcels[MODEL_PARCELS_MAX];
    int parcels_count;
    int64_t version_seen;                /* the greatest */
    uint64_t states[MODEL_VERSIONS_MAX]; /* what each version looked like; 0: not seen */
    uint64_t bodies[MODEL_VERSIONS_MAX]; /* its body under the ETag */
};

enum ask_kind {
    ASK_READ,
    ASK_PLACE,
    ASK_CANCEL,
    ASK_FULFIL,
    ASK_REFUND,
    ASK_PAY,
    ASK_DELIVER,
    ASK_ADJUST,
    ASK_OTHER, /* writes without a key */
};

/* A key, and the one answer that it has. */
struct model_key {
    struct uuid who;
    const char *path, *key, *body; /* the body that it was concluded with */
    enum ask_kind kind;
    const char *body_first; /* that was sent with it */
    bool has_two_bodies;
    bool is_concluded, was_late; /* late: some attempt heard "try again" */
    int sent;                    /* attempts */
    int64_t gone_at_us;          /* when one heard that who it was about is gone; 0: never */
    int unmarked;                /* answers that were not marked as replays */
    int64_t due_us; /* when the first of those who wait under it has waited long enough */
    int64_t first_us, slowest_sent_us, slowest_at_us;
    int status;
    const char *answer, *location;
    struct model_order *order; /* that it placed */
};

/* The wall clock was put to `to`, by so much. */
struct model_jump {
    int64_t to;
    int64_t by_us;
};

struct model {
    struct arena *arena;
    const struct plan *plan;
    struct model_sku skus[PLAN_SKUS_MAX];
    int skus_count;
    struct model_order *orders;
    int orders_count;
    struct model_key *keys;
    int keys_count, asked, answered;
    bool flips_answers, unmarks_answers; /* planted faults */
    bool is_erased;                      /* the account asked to be forgotten, and was heard */
    bool erasure_asked;                  /* it asked */
    struct uuid account;                 /* whose it is */
    int keys_uncertain;                  /* that may be kept without an answer that anybody heard */
    struct model_jump jumps[PLAN_WALL_JUMPS_MAX];
    int jumps_count;
};

/* What is known of the one account of a run: its e-mail address, name, street; NULL ends it. */
extern const char *const model_account[];

/* What is asked. */
struct ask {
    enum ask_kind kind;
    enum http_method method;
    const char *path, *query, *body; /* NULL: none */
    const char *content_type;        /* NULL: JSON */
    const char *key, *prefer, *if_match, *signature;
    struct model_key *kept; /* of `key` */
    struct uuid who;
    struct model_order
        *order; /* of ASK_CANCEL … ASK_PAY; the version seen is noted when it is sent */
    int64_t version_seen;
    struct model_line lines[MODEL_LINES_MAX]; /* of ASK_PLACE */
    int lines_count;
    const char *token;
    int32_t wait_ms;
    bool restock;
    int sku;                 /* of ASK_ADJUST */
    int64_t delta, expected; /* expected: -1 where there is no compare-and-swap */
};

/* What was answered. */
struct reply {
    int status;
    str body, code, location, etag;
    bool is_replay;
    const struct json *json; /* NULL where the body is none */
    int64_t sent_us, at_us;
    bool shop_stopped; /* meanwhile */
};

enum heard { HEARD_CONCLUDED, HEARD_REFUSED, HEARD_LATER };

/* Opens the oracle in the arena. */
void model_init(struct model *model, struct arena *arena, const struct plan *plan);

/* The wall clock has just jumped. */
void model_jumped(struct model *model, int64_t to, int64_t by_us);

/* By how much the wall clock was put back between a decision and the time `at` that its write
 * bears: a write is dated when its batch begins, within half a second of the decision. */
int64_t model_put_back_us(const struct model *model, int64_t at);

/* The key of a caller, as it stands so far. */
struct model_key *model_key_of(struct model *model, const struct ask *ask);

/* Holds an answer against what is known and learns from it; a rule that it breaks ends the run. */
enum heard model_hear(struct model *model, const struct ask *ask, const struct reply *reply);

/* The order of that id, or NULL. */
struct model_order *model_order_of(struct model *model, str id);

/* The place of a SKU by its name, or -1. */
int model_sku_of(const struct model *model, str sku);

/* A price that may be in force from now on. */
void model_price(struct model *model, int sku, int64_t minor);

/* Units of a SKU that an order asks for, and that its parcels hold. */
int64_t model_ordered(const struct model_order *order, int sku);
int64_t model_shipped(const struct model_order *order, int sku);

/* Members of a JSON object; absent gives NULL, empty, -1. */
const struct json *peek(const struct json *object, const char *name);
str peek_text(const struct json *object, const char *name);
int64_t peek_int(const struct json *object, const char *name);
