/* The metrics of what was answered: by route and status, without making a name for each request.
 *
 * Routes are told apart by the address of their name: names are constants, or live as long as this.
 * For one thread. */
#pragma once
#include "chassis/obs.h"

enum { TRAFFIC_ROUTES_MAX = 128, TRAFFIC_STATUSES_MAX = 8 };

struct traffic_status {
    int status;
    struct series *requests;
};

struct traffic_route {
    const char *name; /* NULL: free */
    struct series *seconds;
    struct traffic_status statuses[TRAFFIC_STATUSES_MAX];
};

/* Zeroed at first. */
struct traffic {
    struct traffic_route routes[TRAFFIC_ROUTES_MAX];
};

/* Counts an answer, and how long it took; trace_id is that of a recorded trace, or empty. */
void traffic_note(struct traffic *traffic, const char *route, int status, int64_t took_us,
                  str trace_id);
