/* How a call goes on once it has begun: what a repeated key hears, and what waits for its subject
 * to settle. */
#include "chassis/db_faults.h"
#include "chassis/service_state.h"
#include "counter.h"
#include "os/clock.h"

enum { MS = 1000 };

static const unsigned CUSTOMER = ROLE_BIT_CUSTOMER;
static const char THING[] = "{\"sku\":\"mug\",\"quantity\":1}";

/* ---- keys ---- */

TEST(a_key_is_wanted_where_the_contract_says_so)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *body = counter_body(counter, 1, "");
    char longest[256] = { 0 }, longer[257] = { 0 };
    memset(longest, 'k', 255);
    memset(longer, 'k', 256);
    CHECK_PROBLEM(inline_post(&user, "/counters/mug", body), 400, "idempotency.key_required");
    static const char *const wrong[] = { "", "a b", "caf\xc3\xa9", "a\x7f" };
    for (int i = 0; i < 4; i++)
        CHECK_PROBLEM(counter_post(&user, "/counters/mug", wrong[i], body), 400,
                      "idempotency.key_required");
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", longer, body), 400,
                  "idempotency.key_required");
    CHECK_STATUS(counter_post(&user, "/counters/mug", longest, body), 200);
}

TEST(a_repeat_hears_the_first_answer_and_does_nothing)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *body = counter_body(counter, 5, "");
    struct answer_seen first = counter_post(&user, "/counters/mug", "key", body);
    CHECK_STATUS(first, 200);
    CHECK(!inline_is_replayed(&first));
    CHECK_STATUS(counter_add(counter, &user, "mug", 1), 200);
    for (int i = 0; i < 3; i++) {
        struct answer_seen again = counter_post(&user, "/counters/mug", "key", body);
        CHECK_STATUS(again, 200);
        CHECK(inline_is_replayed(&again));
        CHECK_STR(again.body, first.body);
    }
    CHECK_INT(counter_value(counter, "mug"), 6);

    counter_reopen(counter);
    counter_start(counter);
    struct answer_seen again = counter_post(&user, "/counters/mug", "key", body);
    CHECK(inline_is_replayed(&again));
    CHECK_STR(again.body, first.body);
    CHECK_STR(inline_header(&first, "etag"), "\"v1\"");
    CHECK_STR(inline_header(&again, "etag"), "\"v1\"");
}

TEST(a_refusal_is_not_told_where_nobody_knows_whether_the_key_has_its_answer)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *refused = counter_body(counter, 5, "fail");
    int status = 409;
    for (int i = 0; i < 100 && status == 409; i++) { /* the relay and timers read as well */
        db_fail_at(service_db(counter->service), DB_STEP_READ, 1, DB_FAULT_FAILED);
        status = counter_post(&user, "/counters/mug", "key", refused).status;
    }
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", "key", refused), 409, "stock.conflict");
    CHECK_INT(status, 500);
}

TEST(a_repeat_hears_what_was_decided_under_the_lock)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *body = counter_body(counter, 2, "");
    CHECK_STATUS(counter_add(counter, &user, "mug", 5), 200);
    struct answer_seen first = counter_post(&user, "/counters/mug/taken", "key", body);
    CHECK_STR(inline_text(t, &first, "/on_hand"), "3");
    CHECK_STATUS(counter_post(&user, "/counters/mug/taken", "other", body), 200);
    struct answer_seen again = counter_post(&user, "/counters/mug/taken", "key", body);
    CHECK(inline_is_replayed(&again));
    CHECK_STR(again.body, first.body);
    CHECK(inline_header(&first, "etag").len > 0);
    CHECK_STR(inline_header(&again, "etag"), inline_header(&first, "etag"));
    CHECK_INT(counter_value(counter, "mug"), 1);
}

TEST(a_key_with_another_body_is_refused)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    CHECK_STATUS(counter_post(&user, "/counters/mug", "key", counter_body(counter, 5, "")), 200);
    CHECK_PROBLEM(counter_post(&user, "/counters/mug", "key", counter_body(counter, 6, "")), 422,
                  "idempotency.key_reused");
    /* Another spelling of the same body is the same. */
    struct answer_seen again = counter_post(
        &user, "/counters/mug", "key", "{ \"reason\": \"received\", \"delta\": 5 , \"note\":\"\"}");
    CHECK(inline_is_replayed(&again));
    CHECK_INT(counter_value(counter, "mug"), 5);
}

TEST(a_key_belongs_to_its_caller_and_its_path)
{
    struct counter *counter = counter_started(t);
    struct inline_client one = counter_user(counter, CUSTOMER),
                         other = counter_user(counter, CUSTOMER);
    const char *body = counter_body(counter, 5, "");
    CHECK_STATUS(counter_post(&one, "/counters/mug", "key", body), 200);
    struct answer_seen answer = counter_post(&other, "/counters/mug", "key", body);
    CHECK(answer.status == 200 && !inline_is_replayed(&answer));
    answer = counter_post(&one, "/counters/cup", "key", body);
    CHECK(answer.status == 200 && !inline_is_replayed(&answer));
    CHECK_INT(counter_value(counter, "mug"), 10);
    CHECK_INT(counter_value(counter, "cup"), 5);
}

TEST(of_many_with_one_key_at_once_one_takes_effect_and_all_hear_its_answer)
{
    enum { MANY = 24 };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *pending[MANY];
    const char *body = counter_body(counter, 5, "");
    for (int i = 0; i < MANY; i++)
        pending[i] = counter_send(&user, "/counters/mug", "key", body);
    int replayed = 0;
    str first = STR_NONE;
    for (int i = 0; i < MANY; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        CHECK_STATUS(answer, 200);
        replayed += inline_is_replayed(&answer);
        first = first.ptr ? first : answer.body;
        CHECK_STR(answer.body, first);
    }
    CHECK_INT(replayed, MANY - 1);
    CHECK_INT(counter_value(counter, "mug"), 5);
}

/* ---- settling ---- */

static struct uuid placed_id(struct counter *counter)
{
    struct test *t = counter->t;
    struct db_reader *reader = NULL;
    struct sql_thing_newest_row row;
    bool found = false;
    CHECK_OK(db_read_begin(service_db(counter->service), t->arena, &reader));
    err error = sql_thing_newest(reader, t->arena, &row, &found);
    db_read_end(reader);
    CHECK_OK(error);
    CHECK(found);
    return row.id;
}

static bool one_thing(void *counter) { return counter_things(counter) == 1; }

/* Places a thing; gives its id once it is on disk. */
static struct inline_pending *place(struct counter *counter, struct inline_client *user,
                                    const char *prefer, struct uuid *id)
{
    const char *const headers[] = { "Idempotency-Key: key", prefer, NULL };
    struct inline_pending *pending = inline_send(user, "POST", "/things", headers, str_of_z(THING));
    CHECK(inline_until(one_thing, counter));
    *id = placed_id(counter);
    return pending;
}

static const char *location(struct test *t, struct uuid id)
{
    return str_z(t->arena, str_format(t->arena, "/things/%" STR_F, STR_A(uuid_text(t->arena, id))));
}

TEST(a_call_that_waits_hears_the_answer_that_the_settling_write_fixes)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    sleep_until(clock_mono_us() + 50 * MS);
    CHECK(!inline_is_answered(pending));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 201);
    CHECK_STR(inline_text(t, &answer, "/reason"), "settled");
    CHECK_STR(inline_header(&answer, "location"), location(t, id));
    CHECK(!inline_is_replayed(&answer));

    struct answer_seen again = counter_post(&user, "/things", "key", THING);
    CHECK_STATUS(again, 201);
    CHECK(inline_is_replayed(&again));
    CHECK_STR(again.body, answer.body);
    CHECK_STR(inline_header(&again, "location"), location(t, id));
    CHECK_INT(counter_things(counter), 1);
}

TEST(a_call_that_waits_hears_the_error_that_the_settling_write_fixes)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    CHECK_OK(counter_settle(counter, id, "declined", 0));
    CHECK_PROBLEM(inline_wait(pending), 402, "payment.declined");
    struct answer_seen again = counter_post(&user, "/things", "key", THING);
    CHECK_PROBLEM(again, 402, "payment.declined");
    CHECK_STR(inline_text(t, &again, "/detail"), "declined");
}

TEST(who_does_not_want_to_wait_hears_202_and_so_does_its_repeat)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, "Prefer: respond-async", &id);
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 202);
    CHECK_STR(inline_text(t, &answer, "/reason"), "placed");
    CHECK_STR(inline_header(&answer, "location"), location(t, id));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    struct answer_seen again = counter_post(&user, "/things", "key", THING);
    CHECK_STATUS(again, 202);
    CHECK(inline_is_replayed(&again));
    CHECK_STR(again.body, answer.body);
}

TEST(when_its_time_is_up_a_call_hears_how_things_stand_and_that_answer_stands)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    int64_t began_us = clock_mono_us();
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=1", &id);
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 202);
    CHECK_STR(inline_header(&answer, "location"), location(t, id));
    int64_t took_us = clock_mono_us() - began_us;
    CHECK(took_us >= 1000 * MS && took_us < 9000 * MS);
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    CHECK_STATUS(counter_post(&user, "/things", "key", THING), 202);
}

TEST(who_leaves_does_not_wait_and_what_it_wrote_stays_with_its_key)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    int64_t began_us = clock_mono_us();
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    inline_leave(pending);
    CHECK_PROBLEM(inline_wait(pending), 499, "call.cancelled");
    CHECK(clock_mono_us() - began_us < 9000 * MS);

    /* No answer was fixed by that: a repeat waits as the first did, and hears how it settled. */
    const char *const headers[] = { "Idempotency-Key: key", "Prefer: wait=10", NULL };
    pending = inline_send(&user, "POST", "/things", headers, str_of_z(THING));
    sleep_until(clock_mono_us() + 50 * MS);
    CHECK(!inline_is_answered(pending));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 201);
    CHECK(inline_is_replayed(&answer));
    CHECK_INT(counter_things(counter), 1);
}

TEST(without_a_preference_a_call_waits_a_second)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    int64_t began_us = clock_mono_us();
    CHECK_STATUS(inline_wait(place(counter, &user, NULL, &id)), 202);
    int64_t took_us = clock_mono_us() - began_us;
    CHECK(took_us >= 1000 * MS && took_us < 9000 * MS);
}

TEST(a_repeat_of_a_call_that_waits_waits_as_well)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *repeats[8];
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    const char *const headers[] = { "Idempotency-Key: key", "Prefer: wait=10", NULL };
    for (int i = 0; i < 8; i++)
        repeats[i] = inline_send(&user, "POST", "/things", headers, str_of_z(THING));
    sleep_until(clock_mono_us() + 50 * MS);
    for (int i = 0; i < 8; i++)
        CHECK(!inline_is_answered(repeats[i]));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 201);
    for (int i = 0; i < 8; i++) {
        struct answer_seen again = inline_wait(repeats[i]);
        CHECK_STATUS(again, 201);
        CHECK(inline_is_replayed(&again));
        CHECK_STR(again.body, answer.body);
    }
    CHECK_INT(counter_things(counter), 1);
}

TEST(a_repeat_that_does_not_want_to_wait_fixes_202_for_all)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    const char *const headers[] = { "Idempotency-Key: key", "Prefer: respond-async", NULL };
    struct answer_seen again = inline_request(&user, "POST", "/things", headers, str_of_z(THING));
    CHECK_STATUS(again, 202);
    CHECK(inline_is_replayed(&again));
    struct answer_seen answer = inline_wait(pending);
    CHECK_STATUS(answer, 202);
    CHECK(!inline_is_replayed(&answer));
    CHECK_STR(answer.body, again.body);
}

TEST(a_write_that_settles_its_own_subject_answers_at_once)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    for (int i = 0; i < 50; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "key-%d", i));
        struct answer_seen answer =
            counter_post(&user, "/things", key, "{\"sku\":\"settled\",\"quantity\":1}");
        CHECK_STATUS(answer, 201);
        CHECK_STR(inline_text(t, &answer, "/reason"), "settled");
    }
}

TEST(a_settled_answer_that_cannot_be_read_leaves_the_key_open_for_a_repeat)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    counter_set(counter, KNOB_STANDING, 1);
    CHECK_PROBLEM(inline_wait(place(counter, &user, "Prefer: wait=1", &id)), 503, "db.unavailable");
    CHECK_STATUS(counter_post(&user, "/things", "key", THING), 202);
    CHECK_INT(counter_things(counter), 1);
}

TEST(after_a_restart_a_repeat_waits_for_an_answer_that_is_not_fixed_yet)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct uuid id;
    counter_set(counter, KNOB_STANDING, 1); /* so that the stop leaves it open, as a kill would */
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    counter_reopen(counter);
    CHECK_STATUS(inline_wait(pending), 503);
    counter_start(counter);

    const char *const headers[] = { "Idempotency-Key: key", "Prefer: wait=10", NULL };
    struct inline_pending *again = inline_send(&user, "POST", "/things", headers, str_of_z(THING));
    sleep_until(clock_mono_us() + 50 * MS);
    CHECK(!inline_is_answered(again));
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    struct answer_seen answer = inline_wait(again);
    CHECK_STATUS(answer, 201);
    CHECK(inline_is_replayed(&answer));
    CHECK_INT(counter_things(counter), 1);
}

/* ---- time is up, and the subject settles, at the same moment ---- */

struct clash {
    struct counter *counter;
    struct uuid id;
};

static void let_time_be_up(void *subject)
{
    dispatch_due(((struct clash *)subject)->counter->service, INT64_MAX);
}

TEST(of_settling_and_time_one_wins_and_its_answer_stands_for_all)
{
    enum { TIMES = 60 };
    struct counter *counter = counter_started(t);
    int settled = 0;
    for (int i = 0; i < TIMES; i++) {
        struct inline_client user = counter_user(counter, CUSTOMER);
        const char *const headers[] = { "Idempotency-Key: key", "Prefer: wait=10", NULL };
        struct inline_pending *pending[3];
        for (int j = 0; j < 3; j++)
            pending[j] = inline_send(&user, "POST", "/things", headers, str_of_z(THING));
        while (counter_things(counter) < i + 1)
            sleep_until(clock_mono_us() + MS / 2);
        struct clash clash = { counter, placed_id(counter) };
        struct thread *thread = thread_start("time", let_time_be_up, &clash);
        CHECK_OK(counter_settle(counter, clash.id, "settled", 201));
        thread_join(thread);

        struct answer_seen answer = inline_wait(pending[0]);
        CHECK(answer.status == 201 || answer.status == 202);
        settled += answer.status == 201;
        for (int j = 1; j < 3; j++)
            CHECK_INT(inline_wait(pending[j]).status, answer.status);
        CHECK_INT(counter_post(&user, "/things", "key", THING).status, answer.status);
    }
    CHECK_INT(counter_things(counter), TIMES);
    CHECK(settled > 0);
}

/* ---- many who ask a neighbour ---- */

static bool is_line(struct counter *counter, int count)
{
    lock_take(&counter->places.lock);
    bool is_so = counter->places.line_count == count;
    lock_drop(&counter->places.lock);
    return is_so;
}

static bool one_waits(void *counter) { return is_line(counter, 1); }
static bool two_wait(void *counter) { return is_line(counter, 2); }

/* Two threads, and a neighbour that takes one call at a time: `*first` is with it. */
static struct counter *asking_counter(struct test *t, struct inline_pending **first)
{
    struct counter *counter = counter_open_with(t, workers_open("asking", 2, 8));
    struct inline_client user = counter_user(counter, CUSTOMER);
    counter_start(counter);
    counter_shut_gate(counter);
    *first = counter_send(&user, "/counters/mug", "first", counter_body(counter, 1, "asks"));
    counter_wait_gate(counter, 1);
    return counter;
}

TEST(who_finds_no_place_with_a_neighbour_waits_for_one_without_a_thread)
{
    struct inline_pending *first;
    struct counter *counter = asking_counter(t, &first);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *asks = counter_body(counter, 1, "asks");
    struct inline_pending *second = counter_send(&user, "/counters/tea", "second", asks);
    struct inline_pending *third = counter_send(&user, "/counters/jar", "third", asks);
    CHECK(inline_until(two_wait, counter));
    CHECK_STATUS(counter_add(counter, &user, "cup", 1), 200); /* the other thread is free */
    CHECK_PROBLEM(counter_post(&user, "/counters/pot", "fourth", asks), 503,
                  "upstream.unavailable"); /* the line is full */
    counter_open_gate(counter);
    CHECK_STATUS(inline_wait(first), 200);
    CHECK_STATUS(inline_wait(second), 200);
    CHECK_STATUS(inline_wait(third), 200);
    CHECK_STATUS(counter_post(&user, "/counters/pot", "fourth", asks), 200);
    CHECK_INT(counter_value(counter, "tea") + counter_value(counter, "jar"), 2);
}

TEST(a_place_that_is_not_needed_any_more_goes_to_the_next)
{
    struct inline_pending *first;
    struct counter *counter = asking_counter(t, &first);
    struct inline_client user = counter_user(counter, CUSTOMER);
    const char *asks = counter_body(counter, 1, "asks");
    struct inline_pending *second = counter_send(&user, "/counters/tea", "second", asks);
    CHECK(inline_until(one_waits, counter));
    struct inline_pending *third = counter_send(&user, "/counters/jar", "third", asks);
    CHECK(inline_until(two_wait, counter));
    counter_set(counter, KNOB_KNOWN, 1); /* for the second */
    counter_open_gate(counter);
    CHECK_STATUS(inline_wait(first), 200);
    CHECK_STATUS(inline_wait(second), 200);
    CHECK_STATUS(inline_wait(third), 200);
    CHECK_INT(counter->places.taken, 0);
}

TEST(who_is_late_leaves_or_ends_over_its_ceiling_gives_its_place_to_the_next)
{
    struct inline_pending *first;
    struct counter *counter = asking_counter(t, &first);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct inline_pending *late = inline_send(&user, "GET", "/brief/asks", NULL, STR_NONE);
    CHECK(inline_until(one_waits, counter));
    struct inline_pending *leaves =
        counter_send(&user, "/counters/tea", "leaves", counter_body(counter, 1, "asks"));
    CHECK(inline_until(two_wait, counter));
    inline_leave(leaves);
    sleep_until(clock_mono_us() + 250 * MS); /* the deadline of the first */
    counter_open_gate(counter);
    CHECK_STATUS(inline_wait(first), 200);
    CHECK_PROBLEM(inline_wait(late), 504, "call.deadline");
    CHECK_PROBLEM(inline_wait(leaves), 499, "call.cancelled");

    counter_shut_gate(counter);
    first = counter_send(&user, "/counters/mug", "again", counter_body(counter, 1, "asks"));
    counter_wait_gate(counter, 1);
    struct inline_pending *huge =
        counter_send(&user, "/counters/tea", "huge", counter_body(counter, 1, "asks-huge"));
    CHECK(inline_until(one_waits, counter));
    struct inline_pending *last =
        counter_send(&user, "/counters/jar", "last", counter_body(counter, 1, "asks"));
    CHECK(inline_until(two_wait, counter));
    counter_open_gate(counter);
    CHECK_PROBLEM(inline_wait(huge), 413, "call.too_large");
    CHECK_STATUS(inline_wait(last), 200);
    CHECK_STATUS(inline_wait(first), 200);
    CHECK_INT(counter->places.taken, 0);
}

/* ---- who is looked at ---- */

TEST(a_call_that_waits_is_in_flight_until_it_has_its_answer)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, CUSTOMER);
    struct flight_seen seen[4];
    struct uuid id;
    int count;
    struct flights *flights = service_flights(counter->service);
    CHECK_INT(flights_list(flights, seen, 4, &count), 0);
    struct inline_pending *pending = place(counter, &user, "Prefer: wait=10", &id);
    CHECK_INT(flights_list(flights, seen, 4, &count), 1);
    CHECK_STR(str_of_z(seen[0].call), "counter.COUNTER_PLACE");
    CHECK_STR(str_of_z(seen[0].state), "waiting");
    struct service_state state;
    service_state_of(counter->service, &state);
    CHECK_INT(state.in_flight, 1);
    CHECK_INT(state.waiting, 1);
    CHECK_OK(counter_settle(counter, id, "settled", 201));
    (void)inline_wait(pending);
    CHECK_INT(flights_list(flights, seen, 4, &count), 0);
}
