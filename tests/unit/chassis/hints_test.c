#include "chassis/hints.h"

#include "counter.h"
#include "os/clock.h"
#include "os/random.h"

static const char THING[] = "{\"sku\":\"mug\",\"quantity\":1}";

static void hear(struct counter *counter, const char *kind, struct uuid about)
{
    struct arena *arena = counter->t->arena;
    hints_hear(counter->service,
               str_format(arena, "%s:%" STR_F, kind, STR_A(uuid_text(arena, about))));
}

static bool is_waiting(void *subject)
{
    struct counter *counter = subject;
    struct uuid id;
    return waiters_subjects(&counter->service->waiters, &id, 1) == 1;
}

/* A call that waits, and what it waits for. */
static struct inline_pending *place(struct counter *counter, struct inline_client *user,
                                    struct uuid *id)
{
    const char *const headers[] = { "Idempotency-Key: key", "Prefer: wait=10", NULL };
    struct inline_pending *pending = inline_send(user, "POST", "/things", headers, str_of_z(THING));
    CHECK(inline_until(is_waiting, counter));
    CHECK_INT(waiters_subjects(&counter->service->waiters, id, 1), 1);
    return pending;
}

TEST(who_was_called_too_soon_waits_on_and_hears_the_answer)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, &id);
    hear(counter, "settled", id);
    hear(counter, "settled", id_new()); /* nobody's here */
    CHECK(inline_until(is_waiting, counter));
    CHECK(!inline_is_answered(pending));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    CHECK_STATUS(inline_wait(pending), 201);
}

TEST(however_often_it_is_called_it_is_answered_once)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, &id);
    for (int i = 0; i < 200; i++) {
        hear(counter, "settled", id);
        if (i == 100)
            CHECK_OK(counter_settle(counter, id, "settled", 201));
    }
    CHECK_STATUS(inline_wait(pending), 201);
    CHECK_INT(waiters_count(&counter->service->waiters), 0);
}

TEST(what_has_changed_elsewhere_leaves_the_cache)
{
    struct counter *counter = counter_started(t);
    struct cache *cache = counter->service->cache;
    struct uuid mug = id_new(), pot = id_new();
    struct cached answer = { STR("{}"), STR("application/json"), STR("\"v1\""), INT64_MAX };
    cache_put(cache, STR("/counters/mug"), mug, cache_mark(cache), &answer);
    cache_put(cache, STR("/counters/pot"), pot, cache_mark(cache), &answer);
    int64_t before = cache_stats_of(cache).entries;
    hear(counter, "changed", mug);
    hear(counter, "changed", mug);
    CHECK_INT(cache_stats_of(cache).entries, before > 0 ? before - 1 : 0);
}

TEST(words_that_nobody_knows_do_nothing)
{
    struct counter *counter = counter_started(t);
    hints_hear(counter->service, STR("later"));
    hints_hear(counter->service, STR("settled:"));
    hints_hear(counter->service, STR("settled:mug"));
    hints_hear(counter->service, STR("outbox"));
    hints_hear(counter->service, STR(DB_HINTS_LOST));
    CHECK(service_ready(counter->service));
}

TEST(one_process_alone_tells_nobody)
{
    struct counter *counter = counter_started(t);
    hint_outbox(counter->service);
    hint_settled(counter->service, id_new());
    hint_changed(counter->service, id_new());
    CHECK(service_ready(counter->service));
}
