/* grpc.health.v1: the health of the services behind a door, by the names of their contracts; the
 * empty name is all of them. Reads and writes its messages. */
#pragma once
#include "base/str.h"

/* A service of a door. */
struct grpc_served {
    const char *name; /* "orders.v1.Orders" */
    bool (*is_ready)(void *subject);
    void *subject;
};

enum grpc_health {
    GRPC_HEALTH_SERVING = 1,
    GRPC_HEALTH_NOT_SERVING = 2,
    GRPC_HEALTH_SERVICE_UNKNOWN = 3
};

/* How a service is; nothing is serving while the door drains. */
enum grpc_health grpc_health_of(const struct grpc_served *served, int count, bool draining,
                                str service);

/* Reads a HealthCheckRequest. False where it is broken. */
bool grpc_health_read(str message, str *service);

/* Writes a HealthCheckResponse. */
void grpc_health_write(struct text *out, enum grpc_health health);
