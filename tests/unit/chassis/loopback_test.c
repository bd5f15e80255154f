#include "chassis/loopback.h"
#include "counter.h"
#include "os/clock.h"

TEST(a_post_from_inside_is_a_strangers_at_the_same_door)
{
    struct counter *counter = counter_started(t);
    struct header key = { STR("idempotency-key"), STR("from-inside") };
    int before = counter_handled(counter);
    loopback_post(counter->service, STR("/none"), key, STR("{}"));
    CHECK_INT(counter_handled(counter), before);

    /* Without a token the door is shut, as it is for everyone. */
    loopback_post(counter->service, STR("/counters/a"), key,
                  STR("{\"delta\":1,\"reason\":\"received\"}"));
    sleep_until(clock_mono_us() + 20000);
    CHECK_INT(counter_handled(counter), before);
}
