#include "chassis/db_faults.h"
#include "counter.h"
#include "os/clock.h"

enum { MS = 1000 };

static const unsigned CUSTOMER = ROLE_BIT_CUSTOMER, STAFF = ROLE_BIT_STAFF;
static const char THING[] = "{\"sku\":\"mug\",\"quantity\":1}";

static struct answer_seen ask(struct inline_client *client, const char *method, const char *target,
                              const char *header)
{
    return inline_request(client, method, target, (const char *const[]){ header, NULL }, STR_NONE);
}

/* ---- reading ---- */

TEST(a_read_answers_with_its_message_and_its_etag)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER), anyone = counter_anyone(counter);
    CHECK_STATUS(counter_add(counter, &user, "mug", 5), 200);
    CHECK_STATUS(counter_add(counter, &user, "mug", 2), 200);
    struct answer_seen answer = inline_get(&anyone, "/counters/mug");
    CHECK_STATUS(answer, 200);
    CHECK_STR(answer.content_type, "application/json");
    CHECK_STR(inline_text(t, &answer, "/on_hand"), "7");
    CHECK_STR(inline_header(&answer, "etag"), "\"v2\"");
    CHECK_PROBLEM(inline_get(&anyone, "/counters/cup"), 404, "not_found");
}

TEST(who_has_the_version_already_hears_304_without_a_body)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER), anyone = counter_anyone(counter);
    CHECK_STATUS(counter_add(counter, &user, "mug", 5), 200);
    static const char *const same[] = { "If-None-Match: \"v1\"", "If-None-Match: W/\"v1\"",
                                        "If-None-Match: \"x\", \"v1\"", "If-None-Match: *" };
    for (int i = 0; i < 4; i++) {
        struct answer_seen answer = ask(&anyone, "GET", "/counters/mug", same[i]);
        CHECK_STATUS(answer, 304);
        CHECK_STR(inline_header(&answer, "etag"), "\"v1\"");
        CHECK_INT(answer.body.len, 0);
        CHECK(!answer.content_type.ptr);
    }
    CHECK_STATUS(ask(&anyone, "GET", "/counters/mug", "If-None-Match: \"v2\""), 200);
}

TEST(head_is_handled_as_get)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    CHECK_STATUS(counter_add(counter, &user, "mug", 5), 200);
    struct answer_seen answer = ask(&user, "HEAD", "/counters/mug", NULL);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_header(&answer, "etag"), "\"v1\"");
    CHECK_STATUS(ask(&user, "HEAD", "/counters/none", NULL), 404);
}

TEST(a_path_that_nobody_serves_is_404_and_a_method_that_it_does_not_take_405)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);
    CHECK_PROBLEM(inline_get(&anyone, "/nothing"), 404, "route.unknown");
    CHECK_PROBLEM(inline_get(&anyone, "/quote"), 404, "route.unknown");
    struct answer_seen answer = ask(&anyone, "PATCH", "/counters/mug", NULL);
    CHECK_PROBLEM(answer, 405, "route.method_not_allowed");
    CHECK_STR(inline_header(&answer, "allow"), "GET, HEAD, POST, PUT, DELETE");
}

TEST(who_may_not_call_is_refused_before_the_handler_runs)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter), user = counter_user(counter, CUSTOMER),
                         staff = counter_user(counter, STAFF);
    struct answer_seen answer =
        counter_post(&anyone, "/counters/mug", "k", counter_body(counter, 1, ""));
    CHECK_PROBLEM(answer, 401, "auth.token_missing");
    CHECK(inline_header(&answer, "www-authenticate").len > 0);
    CHECK_PROBLEM(inline_delete(&user, "/counters/mug"), 403, "auth.role_missing");
    CHECK_INT(counter_handled(counter), 0);
    CHECK_STATUS(inline_delete(&staff, "/counters/mug"), 204);

    user.token = STR("not.a.token");
    CHECK_STATUS(inline_get(&user, "/memory/mug"), 200); /* browsing goes on */
    CHECK_PROBLEM(inline_delete(&user, "/counters/mug"), 401, "auth.token_invalid");
}

TEST(query_parameters_are_known_and_come_once)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);
    CHECK_STATUS(inline_get(&anyone, "/counters?limit=1"), 200);
    static const char *const wrong[] = { "/counters?page=1",     "/counters?limit=1&limit=1",
                                         "/counters?limit=%zz",  "/counters?limit=%00",
                                         "/counters?limit=1&&a", "/counters/mug?limit=1",
                                         "/memory/mug?sku=cup" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_PROBLEM(inline_get(&anyone, wrong[i]), 400, "query.malformed");
    CHECK_PROBLEM(inline_get(&anyone, "/counters?limit=x"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&anyone, "/counters?limit=101"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&anyone, "/memory/%zz"), 400, "path.malformed");
}

TEST(bodies_have_the_media_type_that_the_call_takes)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *const json[] = { "Idempotency-Key: k", "Content-Type: text/json", NULL };
    const char *const csv[] = { "Content-Type: Text/CSV; charset=utf-8", NULL };
    CHECK_PROBLEM(inline_request(&user, "POST", "/counters/mug", json, STR("{}")), 415,
                  "http.media_type");
    CHECK_STATUS(inline_request(&user, "POST", "/raw/x", csv, STR("a,b")), 204);
    CHECK_PROBLEM(inline_request(&user, "POST", "/raw/x", NULL, STR("a,b")), 415,
                  "http.media_type");
    CHECK_PROBLEM(inline_request(&user, "GET", "/memory/mug", NULL, STR("{}")), 422,
                  "field.unknown");
}

TEST(a_body_that_cannot_be_bound_names_what_is_wrong)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", "k", "{"), 400, "json.malformed");
    struct answer_seen answer =
        counter_post(&user, "/counters/mug", "k", "{\"reason\":\"received\",\"deltas\":1}");
    CHECK_PROBLEM(answer, 422, "field.unknown");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/deltas");
    answer = counter_post(&user, "/counters/mug", "k", "{\"delta\":1}");
    CHECK_PROBLEM(answer, 422, "field.invalid");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/reason");
    CHECK_INT(counter_handled(counter), 0);
}

/* ---- writing ---- */

TEST(an_answer_leaves_when_its_write_is_on_disk)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    for (int i = 1; i <= 20; i++) {
        CHECK_STATUS(counter_add(counter, &user, "mug", 1), 200);
        CHECK_INT(counter_value(counter, "mug"), i);
    }
}

TEST(if_match_is_wanted_and_compared)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    str body = str_of_z(counter_body(counter, 3, ""));
    CHECK_STATUS(counter_add(counter, &user, "mug", 1), 200);
    CHECK_PROBLEM(inline_request(&user, "PUT", "/counters/mug", NULL, body), 428,
                  "version.required");
    const char *const stale[] = { "If-Match: \"v0\"", NULL }, *const weak[] = {
        "If-Match: W/\"v1\"", NULL
    };
    CHECK_PROBLEM(inline_request(&user, "PUT", "/counters/mug", stale, body), 412, "version.stale");
    CHECK_PROBLEM(inline_request(&user, "PUT", "/counters/mug", weak, body), 412, "version.stale");
    CHECK_INT(counter_value(counter, "mug"), 1);

    const char *const right[] = { "If-Match: \"v0\", \"v1\"", NULL }, *const any[] = {
        "If-Match: *", NULL
    };
    struct answer_seen answer = inline_request(&user, "PUT", "/counters/mug", right, body);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_header(&answer, "etag"), "\"v2\"");
    CHECK_STATUS(inline_request(&user, "PUT", "/counters/mug", any, body), 200);
    CHECK_INT(counter_value(counter, "mug"), 7);
}

TEST(a_version_that_moved_runs_the_handler_again)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    counter_set(counter, KNOB_CONFLICT, 4);
    struct answer_seen answer = counter_add(counter, &user, "mug", 5);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/on_hand"), "5");
    CHECK_INT(counter_handled(counter), 5);
    CHECK_INT(counter_value(counter, "mug"), 5);
}

TEST(after_five_runs_a_call_hears_of_the_conflict)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    counter_set(counter, KNOB_CONFLICT, 5);
    const char *body = counter_body(counter, 5, "");
    struct answer_seen answer = counter_post(&user, "/counters/mug", "key", body);
    CHECK_PROBLEM(answer, 409, "version.conflict");
    CHECK(!inline_header(&answer, "etag").ptr);
    CHECK_INT(counter_handled(counter), 5);
    CHECK_INT(counter_value(counter, "mug"), -1);

    answer = counter_post(&user, "/counters/mug", "key", body); /* nothing was kept */
    CHECK_STATUS(answer, 200);
    CHECK(!inline_is_replayed(&answer));
}

TEST(of_many_at_once_each_is_counted_or_told_so)
{
    enum { MANY = 60 };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *pending[MANY];
    int64_t told = 0;
    for (int i = 0; i < MANY; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "key-%d", i));
        pending[i] = counter_send(&user, "/counters/mug", key, counter_body(counter, 1, ""));
    }
    for (int i = 0; i < MANY; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        CHECK(answer.status == 200 || answer.status == 409);
        told += answer.status == 200;
    }
    CHECK(told > 0);
    CHECK_INT(counter_value(counter, "mug"), told);
}

TEST(an_answer_that_is_decided_under_the_lock_tells_what_was_decided)
{
    enum { MANY = 30 };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *pending[MANY];
    bool seen[MANY] = { false };
    int refused = 0;
    CHECK_STATUS(counter_add(counter, &user, "mug", 20), 200);
    for (int i = 0; i < MANY; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "key-%d", i));
        pending[i] = counter_send(&user, "/counters/mug/taken", key, counter_body(counter, 1, ""));
    }
    for (int i = 0; i < MANY; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        if (answer.status != 200) {
            CHECK_PROBLEM(answer, 409, "stock.negative");
            refused++;
            continue;
        }
        int64_t left;
        CHECK(str_to_int64(inline_text(t, &answer, "/on_hand"), 0, MANY - 1, &left));
        CHECK(!seen[left]); /* each saw its own number */
        seen[left] = true;
    }
    CHECK_INT(refused, 10);
    CHECK_INT(counter_value(counter, "mug"), 0);
}

/* ---- what goes wrong ---- */

TEST(an_error_of_the_handler_is_told_and_nothing_is_kept)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", "key", counter_body(counter, 1, "fail")),
                  409, "stock.conflict");
    struct answer_seen answer =
        counter_post(&user, "/counters/mug", "key", counter_body(counter, 1, ""));
    CHECK_STATUS(answer, 200);
    CHECK(!inline_is_replayed(&answer));
}

TEST(a_fault_of_ours_does_not_tell_its_detail)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);
    struct answer_seen answer = inline_get(&anyone, "/memory/broken");
    CHECK_PROBLEM(answer, 500, "db.failed");
    CHECK(str_find(answer.body, STR("secret")) < 0);
}

TEST(a_call_over_the_ceiling_of_its_arena_is_refused_and_the_next_one_is_well)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER), anyone = counter_anyone(counter);
    for (int i = 0; i < 40; i++) { /* more than there are connections to read with */
        struct answer_seen answer = inline_get(&anyone, "/counters/huge");
        CHECK_PROBLEM(answer, 413, "call.too_large");
    }
    CHECK_PROBLEM(inline_get(&anyone, "/memory/huge"), 413, "call.too_large");
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", "key", counter_body(counter, 1, "huge")),
                  413, "call.too_large");
    CHECK_STATUS(counter_add(counter, &user, "mug", 1), 200);
    CHECK_STATUS(inline_get(&anyone, "/counters/mug"), 200);
}

TEST(an_answer_under_the_lock_that_is_too_large_takes_its_write_back)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    CHECK_STATUS(counter_add(counter, &user, "huge-view", 5), 200);
    CHECK_PROBLEM(
        counter_post(&user, "/counters/huge-view/taken", "key", counter_body(counter, 1, "")), 413,
        "call.too_large");
    CHECK_INT(counter_value(counter, "huge-view"), 5);
}

/* One worker, which waits at the gate. */
static struct counter *busy_counter(struct test *t, int queue_max, struct inline_pending **busy)
{
    struct counter *counter = counter_open_with(t, workers_open("busy", 1, queue_max));
    struct inline_client anyone = counter_anyone(counter);
    counter_start(counter);
    counter_shut_gate(counter);
    *busy = inline_send(&anyone, "GET", "/counters/gate", NULL, STR_NONE);
    counter_wait_gate(counter, 1);
    return counter;
}

TEST(a_call_that_waited_beyond_its_deadline_is_not_begun)
{
    struct inline_pending *busy;
    struct counter *counter = busy_counter(t, 8, &busy);
    struct inline_client anyone = counter_anyone(counter);
    struct inline_pending *late = inline_send(&anyone, "GET", "/brief/mug", NULL, STR_NONE);
    sleep_until(clock_mono_us() + 250 * MS);
    counter_open_gate(counter);
    CHECK_PROBLEM(inline_wait(late), 504, "call.deadline");
    CHECK_PROBLEM(inline_wait(busy), 404, "not_found");
    CHECK_INT(counter_handled(counter), 1);
}

TEST(when_the_queue_is_full_a_call_hears_when_to_come_again)
{
    struct inline_pending *busy;
    struct counter *counter = busy_counter(t, 2, &busy);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *queued[2];
    for (int i = 0; i < 2; i++)
        queued[i] = inline_send(&user, "GET", "/counters/mug", NULL, STR_NONE);
    struct answer_seen answer = inline_get(&user, "/counters/mug");
    CHECK_PROBLEM(answer, 503, "call.overloaded");
    CHECK_STR(inline_header(&answer, "retry-after"), "1");
    CHECK_STATUS(inline_get(&user, "/memory/mug"), 200);   /* needs no worker */
    CHECK_STATUS(inline_get(&user, "/password/mug"), 200); /* has its own lanes */
    counter_open_gate(counter);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(inline_wait(queued[i]), 404);
    CHECK_STATUS(inline_wait(busy), 404);
}

TEST(a_call_that_reads_memory_only_is_answered_on_the_callers_thread)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);
    struct inline_pending *pending = inline_send(&anyone, "GET", "/memory/mug", NULL, STR_NONE);
    CHECK(inline_is_answered(pending));
    CHECK_STATUS(inline_wait(pending), 200);
}

TEST(what_is_queued_when_its_client_leaves_is_not_begun)
{
    struct inline_pending *busy;
    struct counter *counter = busy_counter(t, 8, &busy);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *left = inline_send(&user, "GET", "/counters/mug", NULL, STR_NONE);
    struct inline_pending *stays = inline_send(&user, "GET", "/counters/mug", NULL, STR_NONE);
    inline_leave(left);
    counter_open_gate(counter);
    CHECK_PROBLEM(inline_wait(left), 499, "call.cancelled");
    CHECK_PROBLEM(inline_wait(stays), 404, "not_found");
    CHECK_PROBLEM(inline_wait(busy), 404, "not_found");
    CHECK_INT(counter_handled(counter), 2);
}

/* ---- the end ---- */

TEST(a_service_that_stops_answers_those_who_wait_and_refuses_who_comes)
{
    enum { MANY = 20 };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *pending[MANY];
    for (int i = 0; i < MANY; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "Idempotency-Key: key-%d", i));
        const char *const headers[] = { key, "Prefer: wait=10", NULL };
        pending[i] = inline_send(&user, "POST", "/things", headers, str_of_z(THING));
    }
    bus_stop(counter->house.bus);
    service_stop(counter->service); /* some are queued, some are being written, some wait */
    for (int i = 0; i < MANY; i++) {
        CHECK(inline_is_answered(pending[i]));
        CHECK_STATUS(inline_wait(pending[i]), 202);
    }
    CHECK(!service_ready(counter->service));
    struct answer_seen answer = inline_get(&user, "/counters/mug");
    CHECK_PROBLEM(answer, 503, "call.draining");
    CHECK(inline_header(&answer, "retry-after").len > 0);
    CHECK_INT(counter_things(counter), MANY);
}
