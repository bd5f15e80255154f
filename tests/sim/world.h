/* The whole shop on a folder, under the baton: opened, stopped and opened again; its door for
 * requests; the bus with the faults of the plan. */
#pragma once
#include "apps/shop.h"
#include "base/crypto.h"
#include "tests/sim/plan.h"

enum { EVENTS_MAX = 16384, BANK_SECRET_BYTES = 20 };

/* An event as it was announced. */
struct announced {
    uint64_t key_hash; /* of topic and key */
    int64_t number;
    struct uuid id;
};

struct world {
    const struct plan *plan;
    struct arena *arena; /* as long as the run */
    str folder;
    const struct conf *conf;
    struct shop *shop;
    struct arena *opening; /* of shop_open */

    struct lock lock;
    struct cond changed;
    bool is_open; /* somebody listens */
    int under_way, stops;

    bool faults_on;
    bool loses_for_ever; /* a planted fault */
    int lost_for_ever;
    struct announced *events; /* open addressing by key and number */
    int events_count;

    struct ed25519_key key; /* signs the tokens of clients */
};

/* The key that signs tokens: its file in the folder of keys has this name. */
extern const char *const world_kid;

/* Makes the folder's keys; nothing runs yet. */
void world_init(struct world *world, struct arena *arena, const struct plan *plan, str folder);
void world_done(struct world *world);

/* Opens and starts the shop on the folder. */
void world_open(struct world *world);

/* Stops it cleanly: who waits is answered, nobody listens afterwards; then closes it. */
void world_stop(struct world *world);
void world_close(struct world *world);

/* The disk of a service is full for one step, soon. */
void world_fill_disk(struct world *world);

/* Gives a request to the service that its path begins with; false if nobody listens. Whoever
 * answers it calls world_answered. */
bool world_hand(struct world *world, struct request *request);
void world_answered(struct world *world);

/* The numbers that were announced under a topic and key: how many, and the greatest. */
void world_announced(const struct world *world, str topic, str key, int *count, int64_t *greatest);
