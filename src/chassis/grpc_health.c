#include "chassis/grpc_health.h"

#include "base/err.h"
#include "chassis/protobuf.h"

enum { REQUEST_SERVICE = 1, RESPONSE_STATUS = 1 };

static bool is_serving(const struct grpc_served *served, bool draining)
{
    return !draining && served->is_ready(served->subject);
}

enum grpc_health grpc_health_of(const struct grpc_served *served, int count, bool draining,
                                str service)
{
    ASSERT(served && count >= 0);
    enum grpc_health health = GRPC_HEALTH_SERVICE_UNKNOWN;

    if (service.len == 0)
        health = draining ? GRPC_HEALTH_NOT_SERVING : GRPC_HEALTH_SERVING;
    for (int i = 0; i < count; i++) {
        bool is_it = str_equal(str_of_z(served[i].name), service);
        if (is_it)
            health = GRPC_HEALTH_SERVING;
        if ((is_it || service.len == 0) && !is_serving(&served[i], draining))
            return GRPC_HEALTH_NOT_SERVING;
    }
    return health;
}

bool grpc_health_read(str message, str *service)
{
    return protobuf_find(message, REQUEST_SERVICE, service);
}

void grpc_health_write(struct text *out, enum grpc_health health)
{
    protobuf_add_number(out, RESPONSE_STATUS, health);
}
