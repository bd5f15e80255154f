/* What the drivers of brokers share: the queue of what is to be published and the thread that
 * publishes it, a thread and a line for each consumer, and connections that are made anew, after
 * longer and longer pauses, when they break.
 *
 * A driver gives a table of operations on a connection ("wire"). They may block, but look at
 * bus_remote_stopping at least every BUS_SLICE_MS. A wire is used by one thread. An error ends the
 * wire: what was published on it and not confirmed is published again, in order, and what was
 * caught on it and not acked is forgotten here, for the broker brings it again. */
#pragma once
#include "base/arena.h"
#include "chassis/bus_driver.h"
#include "chassis/bus_line.h"

enum {
    BUS_SLICE_MS = 200,
    BUS_CONNECT_MS = 5000, /* for a broker to answer when a wire is opened */
    BUS_CONFIRM_MS = 20000 /* for it to confirm what was published */
};

struct bus_remote;
struct bus_side;
struct bus_wire; /* the driver's */

/* What is caught from the broker and not acked yet. */
struct bus_delivery {
    struct bus_item item; /* first */
    struct bus_event event;
    int64_t caught_us;
    uint64_t tag;  /* the driver's: where it stands */
    int lane;      /* the driver's: in what */
    char *receipt; /* the driver's, or NULL */
};

struct bus_wire_ops {
    const char *name;
    /* A wire to publish on; makes topics, and the queues of consumers that are known. */
    err (*open_publisher)(void *driver, struct arena *arena, struct bus_wire **out);
    /* Publishes in order and waits until the broker has each on disk: confirmed[i] then. */
    err (*publish)(struct bus_wire *wire, struct arena *arena,
                   const struct bus_event *const *events, size_t count, bool *confirmed);
    /* A wire for a consumer. */
    err (*open_consumer)(void *driver, struct arena *arena, struct bus_side *side,
                         struct bus_wire **out);
    /* Waits at most `wait_ms` for events; hands over what is there by bus_remote_catch. */
    err (*receive)(struct bus_wire *wire, struct arena *arena, int wait_ms);
    /* They have their effect. */
    err (*ack)(struct bus_wire *wire, struct arena *arena, struct bus_delivery *const *deliveries,
               size_t count);
    /* The bus stops, and these were not taken: others may have them at once. May be NULL. */
    void (*release)(struct bus_wire *wire, struct arena *arena,
                    struct bus_delivery *const *deliveries, size_t count);
    /* How many wait at the broker; -1 where it cannot be told now. May be NULL. */
    err (*waiting)(struct bus_wire *wire, struct arena *arena, int64_t *out);
    /* What was caught longer ago is forgotten, for the broker gives it to another; 0: never. */
    int64_t caught_us_max;
    void (*close)(struct bus_wire *wire);
    /* Frees what the driver holds besides wires. */
    void (*free)(void *driver);
};

/* A bus over such a driver, which it owns. */
struct bus *bus_remote_open(const struct bus_wire_ops *ops, void *driver,
                            const struct bus_config *config);

/* All that listen, here and elsewhere: whoever publishes sees to their queues first. Gives how many
 * there are; at most BUS_KNOWN_MAX. */
enum { BUS_KNOWN_MAX = BUS_CONSUMERS_MAX + BUS_LISTENERS_MAX };
int bus_remote_known(struct bus *bus, struct bus_subscription out[BUS_KNOWN_MAX]);
const struct bus_subscription *bus_side_subscription(const struct bus_side *side);

/* The bus stops: whoever waits gives up. */
bool bus_remote_stopping(struct bus *bus);
bool bus_side_stopping(const struct bus_side *side);

/* Hands an event over to the side's line; it is copied, and so is the receipt. On its thread. */
void bus_side_catch(struct bus_side *side, const struct bus_event *event, uint64_t tag, int lane,
                    str receipt);

/* Nothing that was caught rests here: a receive may wait for as long as it likes. */
bool bus_side_is_idle(const struct bus_side *side);

/* Forgets what was caught and not acked: the broker brings it again, here or elsewhere. */
void bus_side_forget(struct bus_side *side);
