#include "services/gateway/traffic.h"

#include <stdint.h>
#include <stdio.h>

static struct series *requests_series(const char *route, int status)
{
    char text[12];
    (void)snprintf(text, sizeof(text), "%d", status);
    return metric_series(METRIC_HTTP_REQUESTS, route, text, NULL);
}

/* The place of a route, made where it is new; NULL where the table is full. */
static struct traffic_route *route_of(struct traffic *traffic, const char *name)
{
    size_t at = (size_t)((uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15) >> 40);

    for (size_t i = 0; i < TRAFFIC_ROUTES_MAX; i++) {
        struct traffic_route *route = &traffic->routes[(at + i) % TRAFFIC_ROUTES_MAX];
        if (route->name == name)
            return route;
        if (!route->name) {
            route->name = name;
            route->seconds = metric_series(METRIC_HTTP_SECONDS, name, NULL, NULL);
            return route;
        }
    }
    return NULL;
}

static struct series *requests_of(struct traffic_route *route, int status)
{
    for (int i = 0; i < TRAFFIC_STATUSES_MAX; i++) {
        struct traffic_status *known = &route->statuses[i];
        if (known->status == status)
            return known->requests;
        if (known->status == 0) {
            *known = (struct traffic_status){ status, requests_series(route->name, status) };
            return known->requests;
        }
    }
    return requests_series(route->name, status);
}

void traffic_note(struct traffic *traffic, const char *route, int status, int64_t took_us,
                  str trace_id)
{
    ASSERT(traffic && route);
    ASSERT(status > 0);

    struct traffic_route *known = route_of(traffic, route);
    series_time_traced(known ? known->seconds
                             : metric_series(METRIC_HTTP_SECONDS, route, NULL, NULL),
                       took_us, trace_id);
    series_add(known ? requests_of(known, status) : requests_series(route, status), 1);
}
