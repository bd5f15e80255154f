#include "chassis/flights.h"

#include "os/clock.h"

#include <sched.h>
#include <stdio.h>

static void take(struct flights *flights)
{
    while (atomic_flag_test_and_set_explicit(&flights->lock, memory_order_acquire))
        (void)sched_yield();
}

static void drop(struct flights *flights)
{
    atomic_flag_clear_explicit(&flights->lock, memory_order_release);
}

void flights_init(struct flights *flights, int64_t slow_us)
{
    ASSERT(flights && slow_us >= 0);
    *flights = (struct flights){ .lock = ATOMIC_FLAG_INIT, .slow_us = slow_us };
}

void flights_add(struct flights *flights, struct flight *flight)
{
    ASSERT(flights && flight && flight->call && flight->trace_id && flight->state);
    take(flights);
    flight->next = NULL;
    flight->previous = flights->newest;
    if (flights->newest)
        flights->newest->next = flight;
    else
        flights->oldest = flight;
    flights->newest = flight;
    flight->is_listed = true;
    flights->count++;
    drop(flights);
}

/* Under the lock. */
static void keep_slow(struct flights *flights, const struct flight *flight, str outcome,
                      int64_t took_us)
{
    struct flight_slow *slow = &flights->slow[flights->slow_count++ % FLIGHTS_SLOW_MAX];
    *slow = (struct flight_slow){
        .call = flight->call, .outcome = outcome, .took_us = took_us, .at = clock_wall_us()
    };
    (void)snprintf(slow->trace_id, sizeof slow->trace_id, "%s", flight->trace_id);
}

/* Under the lock. */
static void take_out(struct flights *flights, struct flight *flight)
{
    if (flight->previous)
        flight->previous->next = flight->next;
    else
        flights->oldest = flight->next;
    if (flight->next)
        flight->next->previous = flight->previous;
    else
        flights->newest = flight->previous;
    flight->is_listed = false;
    flights->count--;
}

void flights_drop(struct flights *flights, struct flight *flight, str outcome)
{
    ASSERT(flights && flight && outcome.ptr);
    take(flights);
    if (flight->is_listed) {
        int64_t took_us = clock_mono_us() - flight->since_us;
        take_out(flights, flight);
        if (flights->slow_us > 0 && took_us >= flights->slow_us)
            keep_slow(flights, flight, outcome, took_us);
    }
    drop(flights);
}

int flights_list(struct flights *flights, struct flight_seen *out, int max, int *count)
{
    ASSERT(flights && out && max > 0 && count);
    *count = 0;
    take(flights);
    for (const struct flight *flight = flights->oldest; flight && *count < max;
         flight = flight->next) {
        struct flight_seen *seen = &out[(*count)++];
        *seen = (struct flight_seen){ .call = flight->call,
                                      .state = __atomic_load_n(&flight->state, __ATOMIC_RELAXED),
                                      .since_us = flight->since_us };
        (void)snprintf(seen->trace_id, sizeof seen->trace_id, "%s", flight->trace_id);
    }
    int all = flights->count;
    drop(flights);
    return all;
}

int flights_list_slow(struct flights *flights, struct flight_slow out[FLIGHTS_SLOW_MAX])
{
    ASSERT(flights && out);
    take(flights);
    int kept = flights->slow_count < FLIGHTS_SLOW_MAX ? flights->slow_count : FLIGHTS_SLOW_MAX;
    for (int i = 0; i < kept; i++)
        out[i] = flights->slow[(flights->slow_count - 1 - i) % FLIGHTS_SLOW_MAX];
    drop(flights);
    return kept;
}
