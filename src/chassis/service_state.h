/* How a service stands at this moment, for the operators' pages and for metrics. */
#pragma once
#include "chassis/flights.h"
#include "chassis/lanes.h"

enum { SERVICE_STATE_LANES_MAX = 4 };

struct service_state {
    const char *name;
    bool is_started;
    const char *engine;       /* "sqlite", "postgresql" */
    int64_t database_away_us; /* for how long it has not answered; 0: it does */
    struct db_stats database;
    struct writer_stats writer;
    int64_t outbox;         /* events taken from the outbox and not acked by the bus */
    bool sends;             /* it is this replica that sends them */
    int in_flight, waiting; /* calls; and those of them that wait for their subject to settle */
    struct lanes_stats lanes[SERVICE_STATE_LANES_MAX];
    int lanes_count;
};

/* Looks at counters and lengths of queues; waits for nothing. Any thread. */
void service_state_of(struct service *service, struct service_state *out);

/* Its calls in flight and its slow ones; see flights.h. */
struct flights *service_flights(struct service *service);
