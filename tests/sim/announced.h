/* What the shop has announced on its bus: each event by its number under a topic and key. */
#pragma once
#include "base/arena.h"
#include "base/uuid.h"
#include "chassis/bus.h"

enum { ANNOUNCED_MAX = 16384 };

struct announced_event {
    uint64_t key_hash; /* of topic and key */
    int64_t number;    /* 0: an empty place */
    struct uuid id;
};

struct announced_key {
    uint64_t hash;
    int count; /* 0: an empty place */
    int64_t greatest;
};

/* Both by open addressing. */
struct announced {
    struct announced_event *events;
    struct announced_key *keys;
    int events_count;
};

void announced_init(struct announced *announced, struct arena *arena);

/* An event has one id for ever, however often it is published: else a rule is broken. */
void announced_note(struct announced *announced, const struct bus_event *event);

/* How many numbers there were under a topic and key, and the greatest. */
void announced_of(const struct announced *announced, str topic, str key, int *count,
                  int64_t *greatest);
