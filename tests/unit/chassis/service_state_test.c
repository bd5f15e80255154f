#include "chassis/service_state.h"

#include "counter.h"

TEST(a_service_at_rest_says_so)
{
    struct counter *counter = counter_started(t);
    struct service_state state;
    service_state_of(counter->service, &state);
    CHECK_STR(str_of_z(state.name), "counter");
    CHECK_STR(str_of_z(state.engine), "sqlite");
    CHECK(state.is_started);
    CHECK_INT(state.database_away_us, 0);
    CHECK_INT(state.in_flight, 0);
    CHECK_INT(state.waiting, 0);
    CHECK(state.database.readers_max > 0);
}

struct seen {
    struct service *service;
    struct service_state before;
};

/* The writer counts after it has told who wrote. */
static bool has_counted(void *subject)
{
    const struct seen *seen = subject;
    struct service_state now;
    service_state_of(seen->service, &now);
    return now.writer.writes > seen->before.writer.writes &&
           now.writer.batches > seen->before.writer.batches;
}

TEST(what_was_written_is_counted)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct seen seen = { .service = counter->service };
    service_state_of(counter->service, &seen.before);
    CHECK_STATUS(counter_post(&user, "/counters/mug", "key", counter_body(counter, 1, "")), 200);
    CHECK(inline_until(has_counted, &seen));
}
