#include "counter.h"
#include "os/clock.h"

TEST(a_service_is_ready_between_its_start_and_its_stop)
{
    struct counter *counter = counter_open(t);
    CHECK(!service_ready(NULL));
    CHECK(!service_ready(counter->service));
    counter_start(counter);
    CHECK(service_ready(counter->service));
    bus_stop(counter->house.bus);
    service_stop(counter->service);
    CHECK(!service_ready(counter->service));
    service_stop(counter->service); /* once more is nothing */
    service_stop(NULL);
    service_close(NULL);
}

TEST(a_service_that_was_never_started_can_be_closed_and_opened_again)
{
    struct counter *counter = counter_open(t);
    counter_reopen(counter);
    counter_reopen(counter);
    counter_start(counter);
    CHECK(service_ready(counter->service));
}

TEST(its_parts_can_be_asked_for)
{
    struct counter *counter = counter_open(t);
    CHECK_STR(service_name(counter->service), "counter");
    CHECK(service_self(counter->service) == counter);
    CHECK(service_db(counter->service) && service_writer(counter->service));
}

TEST(a_database_that_cannot_be_opened_leaves_nothing_behind)
{
    struct counter *counter = counter_open(t);
    struct service_config config = counter->config;
    struct service *second = NULL;
    CHECK_ERR(service_open(t->arena, &config, &second), DB_LOCKED);
    config.database_url = STR("oracle:x");
    CHECK_ERR(service_open(t->arena, &config, &second), SETTING_INVALID);
    CHECK(!second);
}

TEST(a_route_can_be_asked_for_without_a_call)
{
    struct counter *counter = counter_open(t);
    struct request request = { .method = HTTP_GET, .path = STR("/counters/mug") };
    unsigned allow;
    CHECK_INT(service_route(counter->service, &request, &allow)->index, COUNTER_GET);
    request.method = HTTP_PATCH;
    CHECK(!service_route(counter->service, &request, &allow));
    CHECK(allow & (1U << HTTP_PUT));
    request.path = STR("/nothing");
    CHECK(!service_route(counter->service, &request, &allow));
    CHECK_INT(allow, 0);
}

/* ---- jobs ---- */

static err conflict(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx;
    for (size_t i = 0; i < count; i++)
        outcomes[i] = fail(writes[i]->arena, VERSION_CONFLICT, "as the test says");
    return OK;
}

TEST(a_job_hears_of_a_version_that_moved_and_decides_itself)
{
    struct counter *counter = counter_started(t);
    struct call *call = service_job_open(counter->service, "test");
    struct db_reader *reader;
    err read = call_reader(call, &reader);
    err error = job_write(call, write_new(call->arena, conflict, NULL));
    bool conflicts = err_is(error, VERSION_CONFLICT), holds = call->reader_ != NULL;
    service_job_close(call);
    CHECK_OK(read);
    CHECK(conflicts);
    CHECK(!holds); /* nobody holds a snapshot while it waits */
}

TEST(a_job_is_reset_to_a_new_snapshot_new_memory_and_a_new_time)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct call *call = service_job_open(counter->service, "test");
    struct sql_counter_by_name_row row;
    struct db_reader *reader;
    bool found[3];
    struct sql_counter_by_name mug = { STR("mug") };
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            service_job_reset(call);
        if (call_reader(call, &reader) != OK ||
            sql_counter_by_name(reader, call->arena, &mug, &row, &found[i]) != OK)
            break;
        if (i == 0)
            CHECK_STATUS(counter_post(&user, "/counters/mug", "k", counter_body(counter, 1, "")),
                         200);
    }
    time_us now = call->now;
    arena_alloc(call->arena, 1 << 20, 1);
    sleep_until(clock_mono_us() + 1000);
    service_job_reset(call);
    bool fresh = call->now > now && arena_used(call->arena) < 4096 && !call->reader_;
    service_job_close(call);
    CHECK(!found[0] && !found[1] && found[2]); /* the same snapshot until the reset */
    CHECK(fresh);
}

/* ---- one life after the other ---- */

TEST(what_was_answered_before_a_stop_is_there_after_it_and_nothing_else)
{
    enum { LIVES = 4, EACH = 10 };
    struct counter *counter = counter_open(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    int64_t done = 0;
    for (int life = 0; life < LIVES; life++) {
        struct inline_pending *pending[EACH];
        counter_start(counter);
        for (int i = 0; i < EACH; i++) {
            const char *key = str_z(t->arena, str_format(t->arena, "key-%d-%d", life, i));
            pending[i] = counter_send(&user, "/counters/mug", key, counter_body(counter, 1, ""));
        }
        counter_reopen(counter); /* while they run */
        for (int i = 0; i < EACH; i++)
            done += inline_wait(pending[i]).status == 200;
        CHECK_INT(counter_value(counter, "mug"), done);
    }
    CHECK(done > 0);
}
