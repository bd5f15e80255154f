/* A small service with hand-written tables, for the tests of the chassis: it can be made to do
 * everything that a handler or a reaction may do, also what none of the shop's does.
 *
 *   GET    /counters             a page of counters, with a cursor
 *   GET    /counters/{sku}       one counter, with an ETag
 *   POST   /counters/{sku}       adds `delta` by compare-and-swap, once; announces orders.v1
 *   PUT    /counters/{sku}       the same with If-Match, not once
 *   POST   /counters/{sku}/taken takes `delta` under the lock, once
 *   DELETE /counters/{sku}       for staff
 *   POST   /things               places a thing, once; answers when it settles
 *   POST   /raw/{provider}       a body of text/csv
 *   POST   /spool/{sku}          a body of text/csv, as a stream; kept unless the SKU is "dropped"
 *   GET    /pieces/{sku}         an answer in as many pieces as the SKU says; "0" fails at once
 *   GET    /memory/{sku}         on the caller's thread
 *   GET    /password/{sku}       on a password lane
 *   GET    /brief/{sku}          with a deadline of 200 ms
 *
 * A `note` in the body (or the SKU of a GET) says what else happens: see enum knob. Its reactions
 * to StockReserved write the event's key and number down; the key says what else happens. */
#pragma once
#include "chassis/places.h"
#include "chassis/service_inside.h"
#include "gen/counter.sql.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "tests/lib/inline.h"

enum counter_call {
    COUNTER_LIST,
    COUNTER_GET,
    COUNTER_ADD,
    COUNTER_PUT,
    COUNTER_TAKE,
    COUNTER_DELETE,
    COUNTER_PLACE,
    COUNTER_RAW,
    COUNTER_SPOOL,
    COUNTER_PIECES,
    COUNTER_MEMORY,
    COUNTER_PASSWORD,
    COUNTER_BRIEF,
    COUNTER_QUOTE, /* for neighbours; without a path */
    COUNTER_CALLS
};

/* How often from now on something goes wrong; the handlers count down. */
enum knob {
    KNOB_CONFLICT, /* the batch function of add finds another version */
    KNOB_STANDING, /* a thing as it stands cannot be read */
    KNOB_REFUSE,   /* a reaction to a key "refused…" fails for good */
    KNOB_AWAY,     /* a reaction to a key "away…" finds the database away */
    KNOB_MOVED,    /* the write of a reaction to a key "moved…" finds another version */
    KNOB_KNOWN,    /* a handler with the note "asks" need not ask any more */
    KNOBS
};

enum { COUNTER_HEARD_MAX = 8192, COUNTER_KEY_MAX = 40, COUNTER_LINE_MAX = 2 };

struct counter_heard {
    struct uuid id;
    char key[COUNTER_KEY_MAX];
    int64_t number;
};

struct counter {
    struct test *t;
    struct house *inlined;
    struct house house; /* with a bus of its own for each opening */
    struct workers *own_workers;
    struct service *service;
    struct service_config config;
    bool started;

    int knobs[KNOBS]; /* atomic */
    int handled;      /* how often a handler or reaction began; atomic */
    struct lock lock;
    struct cond changed;
    bool gate_shut; /* a handler with the note "gate" or "asks" waits while it is */
    int at_gate;
    struct places places; /* with whom the note "asks" leads to: one at a time */

    /* The events of orders.v1 that another service hears of it. */
    struct counter_heard heard[COUNTER_HEARD_MAX];
    int heard_count;
    int refuses; /* it takes none of so many deliveries */
};

extern const struct service_spec counter_spec;

/* A counter service on a fresh database, not started; closed when the test ends. It may have
 * workers of its own, which it closes. */
struct counter *counter_open(struct test *t);
struct counter *counter_open_with(struct test *t, struct workers *workers);

/* Starts the service and its bus. */
void counter_start(struct counter *counter);

/* Stops and closes; opens the same database again. */
void counter_close(struct counter *counter);
void counter_reopen(struct counter *counter);

/* A started one. */
struct counter *counter_started(struct test *t);

/* Who calls it: nobody known, or a signed-in user. */
struct inline_client counter_anyone(struct counter *counter);
struct inline_client counter_user(struct counter *counter, unsigned roles);

/* POST with a key; `json` as it is sent. */
struct inline_pending *counter_send(struct inline_client *client, const char *target,
                                    const char *key, const char *json);
struct answer_seen counter_post(struct inline_client *client, const char *target, const char *key,
                                const char *json);

/* Adds to a counter under a key that nobody else uses. */
struct answer_seen counter_add(struct counter *counter, struct inline_client *user,
                               const char *name, int delta);

/* {"delta":…, "reason":"received", "note":"…"} */
const char *counter_body(struct counter *counter, int delta, const char *note);

/* What stands in the database. -1: no such counter. */
int64_t counter_value(struct counter *counter, const char *name);
int64_t counter_things(struct counter *counter);

/* "key number, key number, …" of what reactions wrote, in order. */
const char *counter_notes(struct counter *counter);
int64_t counter_outbox(struct counter *counter);

/* Settles a thing as a job would: with this answer's status, or with an error where it is 0. */
err counter_settle(struct counter *counter, struct uuid id, const char *state, int status);

/* The gate of handlers with the note "gate". */
void counter_shut_gate(struct counter *counter);
void counter_open_gate(struct counter *counter);
void counter_wait_gate(struct counter *counter, int count);
void counter_pass_gate(struct counter *counter);

/* Takes the one place there is, and passes the gate with it. */
err counter_ask(struct counter *counter, struct call *call);

/* Announces events of a key, as one write of a job. */
void counter_announce(struct counter *counter, const char *key, int64_t first, int64_t last);

/* Events of products.v1: StockReserved, VariantPriced (state); and their delivery as the bus does
 * it. */
struct bus_event counter_event(struct counter *counter, const char *key, int64_t number);
struct bus_event counter_price(struct counter *counter, const char *sku, int64_t number,
                               int64_t amount);
size_t counter_deliver(struct counter *counter, const struct bus_event *events, size_t count);

/* How many events the other service has heard. */
int counter_heard_count(struct counter *counter);

int counter_handled(const struct counter *counter);
void counter_set(struct counter *counter, enum knob knob, int times);
