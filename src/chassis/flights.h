/* Calls in flight: what a service works on at this moment, and which calls were slow of late. For
 * people who look at the operators' pages; nothing is decided by it. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/time.h"

#include <stdatomic.h>

enum { FLIGHTS_SLOW_MAX = 32, FLIGHT_TRACE_BYTES = 33 };

/* Embedded by whoever is in flight; strings live as long as it. */
struct flight {
    struct flight *next, *previous;
    const char *call;     /* "orders.create_order" */
    const char *trace_id; /* 32 hexadecimal digits, or "" */
    const char *state;    /* of static storage; atomic, see flight_is */
    int64_t since_us;     /* monotonic */
    bool is_listed;       /* under the lock */
};

/* One that has ended and took long. */
struct flight_slow {
    const char *call;
    char trace_id[FLIGHT_TRACE_BYTES];
    str outcome; /* "ok", or the word of its error; of static storage */
    int64_t took_us;
    time_us at; /* wall: when it ended */
};

struct flights {
    atomic_flag lock; /* held for some stores; where the simulator looks on, no step of its own */
    struct flight *oldest, *newest;
    int count;
    int64_t slow_us; /* what took as long is kept; 0: nothing is */
    struct flight_slow slow[FLIGHTS_SLOW_MAX];
    int slow_count; /* ever; the newest stands at (slow_count - 1) % FLIGHTS_SLOW_MAX */
};

/* Makes it, embedded. */
void flights_init(struct flights *flights, int64_t slow_us);

/* One begins; `flight` is filled but for its links. Any thread, like all below. */
void flights_add(struct flights *flights, struct flight *flight);

/* It does something else from now on: "queued", "running", "writing", "waiting". */
static inline void flight_is(struct flight *flight, const char *state)
{
    __atomic_store_n(&flight->state, state, __ATOMIC_RELAXED);
}

/* It has ended; once more is nothing. */
void flights_drop(struct flights *flights, struct flight *flight, str outcome);

/* A copy, for a page. */
struct flight_seen {
    const char *call, *state;
    char trace_id[FLIGHT_TRACE_BYTES];
    int64_t since_us;
};

/* Copies of those in flight, the oldest first, at most `max`; gives how many there are in all. */
int flights_list(struct flights *flights, struct flight_seen *out, int max, int *count);

/* Copies of the slow ones, the newest first; gives how many. */
int flights_list_slow(struct flights *flights, struct flight_slow out[FLIGHTS_SLOW_MAX]);
