#include "tests/sim/announced.h"
#include "tests/sim/story.h"

static uint64_t key_hash(str topic, str key) { return str_hash(topic) * 31 + str_hash(key); }

void announced_init(struct announced *announced, struct arena *arena)
{
    announced->events = arena_array(arena, struct announced_event, ANNOUNCED_MAX);
    announced->keys = arena_array(arena, struct announced_key, ANNOUNCED_MAX);
    announced->events_count = 0;
}

/* Its place, or the one that it would have. */
static struct announced_event *place_of(const struct announced *announced, uint64_t hash,
                                        int64_t number)
{
    size_t i = (hash + (uint64_t)number) % ANNOUNCED_MAX;
    for (; announced->events[i].number; i = (i + 1) % ANNOUNCED_MAX)
        if (announced->events[i].key_hash == hash && announced->events[i].number == number)
            break;
    return &announced->events[i];
}

static struct announced_key *key_of(const struct announced *announced, uint64_t hash)
{
    size_t i = hash % ANNOUNCED_MAX;
    while (announced->keys[i].count > 0 && announced->keys[i].hash != hash)
        i = (i + 1) % ANNOUNCED_MAX;
    return &announced->keys[i];
}

void announced_note(struct announced *announced, const struct bus_event *event)
{
    uint64_t hash = key_hash(event->topic, event->key);
    struct announced_event *known = place_of(announced, hash, event->number);
    RULE(!known->number || uuid_equal(known->id, event->id), "events",
         "two events are number %lld of %" STR_F " %" STR_F, (long long)event->number,
         STR_A(event->topic), STR_A(event->key));
    if (known->number)
        return;
    ASSERT(announced->events_count++ < ANNOUNCED_MAX / 2);
    *known = (struct announced_event){ hash, event->number, event->id };
    struct announced_key *key = key_of(announced, hash);
    key->hash = hash;
    key->count++;
    if (event->number > key->greatest)
        key->greatest = event->number;
}

void announced_of(const struct announced *announced, str topic, str key, int *count,
                  int64_t *greatest)
{
    const struct announced_key *known = key_of(announced, key_hash(topic, key));
    *count = known->count;
    *greatest = known->greatest;
}
