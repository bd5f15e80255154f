#include "chassis/service_state.h"

#include "chassis/service_inside.h"
#include "os/clock.h"

void service_state_of(struct service *service, struct service_state *out)
{
    ASSERT(service && out);
    int64_t away_us = db_away_us(service->db);
    *out = (struct service_state){
        .name = service->spec->name,
        .is_started = service->started,
        .engine = db_engine(service->db),
        .database_away_us = away_us > 0 ? clock_mono_us() - away_us + 1 : 0,
        .database = db_stats_of(service->db),
        .writer = writer_stats_of(service->writer),
        .outbox = relay_backlog(service->relay),
        .sends = relay_sends(service->relay),
        .in_flight = __atomic_load_n(&service->calls_under_way, __ATOMIC_RELAXED),
        .waiting = waiters_count(&service->waiters),
        .lanes_count = service->lanes_count,
    };
    for (int i = 0; i < service->lanes_count; i++)
        out->lanes[i] = lanes_stats_of(service->lanes[i]);
}

struct flights *service_flights(struct service *service)
{
    ASSERT(service);
    return &service->flights;
}
