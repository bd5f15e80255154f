/* What stands behind bus.h: a table of functions for each driver. Only bus.c and the drivers
 * include this. A driver embeds `struct bus` as the first member of its own. */
#pragma once
#include "chassis/bus.h"
#include "chassis/bus_url.h"

enum { BUS_CONSUMERS_MAX = 8 };

struct bus_driver {
    void (*subscribe)(struct bus *bus, const struct bus_consumer *consumer,
                      const char *const *topics, int topics_count);
    err (*setup)(struct arena *arena, struct bus *bus); /* NULL: nothing to make */
    void (*start)(struct bus *bus);
    void (*stop)(struct bus *bus);
    void (*close)(struct bus *bus);
    void (*publish)(struct bus *bus, const struct bus_event *events, size_t count,
                    void (*acked)(void *subject, const struct uuid *ids, size_t count),
                    void *subject);
    int64_t (*backlog)(struct bus *bus);
    const char *name; /* NULL: `name_of` tells it */
    const char *(*name_of)(const struct bus *bus);
    bool (*is_up)(struct bus *bus);                            /* NULL: always */
    bool (*receive)(struct bus *bus, struct request *request); /* NULL: nothing is pushed to it */
};

struct bus {
    const struct bus_driver *driver;
};

/* Ends the words of an error: our account may not make what is missing at the broker. */
#define BUS_SET_UP_WORDS "run dukactl bus setup with an account that may make it"

/* A consumer and what it listens to. */
struct bus_subscription {
    struct bus_consumer consumer;
    const char *topics[BUS_TOPICS_MAX];
    int topics_count;
};

/* Fills a subscription; more topics than it holds are a broken invariant. */
void bus_subscription_set(struct bus_subscription *subscription,
                          const struct bus_consumer *consumer, const char *const *topics,
                          int topics_count);

/* Tells whether it listens to a topic. */
bool bus_subscription_has(const struct bus_subscription *subscription, str topic);

/* Topics that a wire has seen to; begin with all zero. What does not fit is new each time. */
struct bus_topics {
    char names[16][64];
    int count;
};

/* Tells whether a topic is among them; adds it. */
bool bus_topics_has(const struct bus_topics *topics, str topic);
void bus_topics_add(struct bus_topics *topics, str topic);

/* What names at the broker begin with: "staging." for the prefix "staging", nothing for none. */
str bus_prefix(struct arena *arena, const struct bus_config *config, char separator);

/* A copy of an event with its bytes, in one block behind `head` bytes of the caller's own; freed by
 * free(). */
void *bus_event_keep(size_t head, const struct bus_event *event, struct bus_event *out);

/* ---- the drivers ---- */

/* Each opens its driver; SETTING_INVALID where its URL or the settings that it needs are wrong. */
err bus_open_rabbitmq(struct arena *arena, const struct bus_config *config,
                      const struct bus_url *url, struct bus **out);
err bus_open_kafka(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                   struct bus **out);
err bus_open_direct(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                    struct bus **out);
err bus_open_sqs(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                 struct bus **out);
