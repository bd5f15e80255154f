#include "chassis/db_faults.h"
#include "chassis/dead_letters.h"
#include "counter.h"

enum { MANY = 512 };

/* Delivers events "key number, key number, …" of one batch; how many were taken. */
static size_t deliver(struct counter *counter, const char *events)
{
    struct arena *arena = counter->t->arena;
    struct bus_event batch[64];
    size_t count = 0;
    for (str rest = str_of_z(events); rest.ptr; count++) {
        str number = str_trim(str_cut(&rest, ','));
        str key = str_cut(&number, ' ');
        int64_t n;
        ASSERT(count < 64 && str_to_int64(number, 0, INT32_MAX, &n));
        batch[count] = counter_event(counter, str_z(arena, key), n);
    }
    return counter_deliver(counter, batch, count);
}

/* What the timer does. */
static void retry_held(struct counter *counter)
{
    struct call *call = service_job_open(counter->service, "held");
    err error = consumer_retry_held(counter->service->consumer, call);
    bool well = error == OK;
    service_job_close(call);
    CHECK(well);
}

static int64_t held(struct counter *counter)
{
    struct db_reader *reader = NULL;
    struct backlog backlog = { 0 };
    CHECK_OK(db_read_begin(service_db(counter->service), counter->t->arena, &reader));
    err error = inbox_held_backlog(reader, counter->t->arena, &backlog);
    db_read_end(reader);
    CHECK_OK(error);
    return backlog.rows_count;
}

/* The letters that are dead, skipped or requeued. */
static size_t letters(struct counter *counter, struct dead_letter **out)
{
    struct db_reader *reader = NULL;
    size_t count = 0;
    struct dead_letter_place first = { STR(""), STR(""), 0 };
    CHECK_OK(db_read_begin(service_db(counter->service), counter->t->arena, &reader));
    err error = dead_letters_list(reader, counter->t->arena, &first, 100, out, &count);
    db_read_end(reader);
    CHECK_OK(error);
    return count;
}

static void run_write(struct counter *counter, struct write *write)
{
    err outcome;
    writer_submit_and_wait(service_writer(counter->service), write, &outcome);
    CHECK_OK(outcome);
}

static void requeue(struct counter *counter, const char *key)
{
    struct dead_letter_place *place = arena_new(counter->t->arena, struct dead_letter_place);
    *place = (struct dead_letter_place){ STR("products.v1"), str_of_z(key), 0 };
    run_write(counter, write_new(counter->t->arena, dead_letters_requeue, place));
}

/* ---- effects ---- */

TEST(each_event_takes_effect_once_and_in_order_under_its_key)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "a 1, b 1, a 2, c 1, a 3"), 5);
    CHECK_STR(counter_notes(counter), "a 1, b 1, c 1, a 2, a 3"); /* in rounds */
    CHECK_INT(deliver(counter, "a 1, b 1, a 2, c 1, a 3"), 5);
    CHECK_INT(deliver(counter, "a 3, a 3, b 2, b 2"), 4);
    CHECK_STR(counter_notes(counter), "a 1, b 1, c 1, a 2, a 3, b 2");
}

TEST(what_took_effect_is_known_after_a_restart)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "a 1, a 2"), 2);
    counter_reopen(counter);
    CHECK_INT(deliver(counter, "a 1, a 2, a 3"), 3);
    CHECK_STR(counter_notes(counter), "a 1, a 2, a 3");
}

TEST(a_whole_batch_is_applied)
{
    struct counter *counter = counter_open(t);
    struct bus_event *events = arena_array(t->arena, struct bus_event, MANY);
    for (int i = 0; i < MANY; i++)
        events[i] = counter_event(counter, str_z(t->arena, str_format(t->arena, "key-%d", i % 300)),
                                  1 + i / 300);
    CHECK_INT(counter_deliver(counter, events, MANY), MANY);
    CHECK_INT(counter_deliver(counter, events, MANY), MANY);
    int commas = 0;
    for (const char *at = counter_notes(counter); *at; at++)
        commas += *at == ',';
    CHECK_INT(commas + 1, MANY);
}

TEST(an_event_that_nobody_reacts_to_counts_under_its_key)
{
    struct counter *counter = counter_open(t);
    struct bus_event events[] = { counter_event(counter, "a", 1), counter_event(counter, "a", 2) };
    events[0].type = STR("products.v1.StockRefused");
    CHECK_INT(counter_deliver(counter, events, 2), 2);
    CHECK_STR(counter_notes(counter), "a 2");
    CHECK_INT(counter_handled(counter), 1);
}

TEST(a_reaction_may_do_nothing)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "nothing 1, nothing 2"), 2);
    CHECK_INT(deliver(counter, "nothing 1, nothing 2"), 2);
    CHECK_STR(counter_notes(counter), "");
    CHECK_INT(held(counter), 0);
}

TEST(of_events_that_carry_state_the_last_number_wins)
{
    struct counter *counter = counter_open(t);
    struct bus_event five = counter_price(counter, "mug", 5, 500),
                     three = counter_price(counter, "mug", 3, 300),
                     nine = counter_price(counter, "mug", 9, 900);
    CHECK_INT(counter_deliver(counter, &five, 1), 1);
    CHECK_INT(counter_deliver(counter, &three, 1), 1);
    CHECK_INT(counter_deliver(counter, &nine, 1), 1);
    CHECK_INT(counter_deliver(counter, &five, 1), 1);
    CHECK_STR(counter_notes(counter), "mug 500, mug 900");
    CHECK_INT(held(counter), 0);
}

/* ---- early ones ---- */

TEST(an_early_event_is_kept_and_applied_when_the_gap_closes)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "a 3"), 1);
    CHECK_INT(deliver(counter, "a 2, b 1"), 2);
    CHECK_STR(counter_notes(counter), "b 1");
    CHECK_INT(held(counter), 2);
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "b 1");

    counter_reopen(counter);
    CHECK_INT(deliver(counter, "a 1"), 1);
    CHECK_STR(counter_notes(counter), "b 1, a 1");
    retry_held(counter);
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "b 1, a 1, a 2, a 3");
    CHECK_INT(held(counter), 0);
    CHECK_INT(deliver(counter, "a 2, a 3, a 4"), 3);
    CHECK_STR(counter_notes(counter), "b 1, a 1, a 2, a 3, a 4");
}

TEST(a_kept_event_that_comes_by_the_bus_as_well_is_applied_once)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "a 2"), 1);
    CHECK_INT(deliver(counter, "a 2"), 1);
    CHECK_INT(held(counter), 1);
    CHECK_INT(deliver(counter, "a 1, a 2"), 2);
    CHECK_STR(counter_notes(counter), "a 1, a 2");
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "a 1, a 2");
    CHECK_INT(held(counter), 0);
}

TEST(a_shuffled_batch_is_applied_in_order_after_all)
{
    struct counter *counter = counter_open(t);
    CHECK_INT(deliver(counter, "a 4, a 2, a 5, a 1, a 3"), 5);
    for (int i = 0; i < 4; i++)
        retry_held(counter);
    CHECK_STR(counter_notes(counter), "a 1, a 2, a 3, a 4, a 5");
    CHECK_INT(held(counter), 0);
}

/* ---- what goes wrong for a while ---- */

TEST(a_version_that_moved_runs_the_reaction_again_at_once)
{
    struct counter *counter = counter_open(t);
    counter_set(counter, KNOB_MOVED, 4);
    CHECK_INT(deliver(counter, "moved 1, b 1, moved 2"), 3);
    CHECK_STR(counter_notes(counter), "b 1, moved 1, moved 2");
    CHECK_INT(counter_handled(counter), 4 + 1 + 1 + 1);
}

TEST(after_five_runs_the_bus_brings_it_again)
{
    struct counter *counter = counter_open(t);
    counter_set(counter, KNOB_MOVED, 6);
    CHECK_INT(deliver(counter, "a 1, moved 1, b 1"), 1);
    CHECK_STR(counter_notes(counter), "a 1, b 1"); /* the others are not held up */
    CHECK_INT(deliver(counter, "moved 1, b 1"), 2);
    CHECK_STR(counter_notes(counter), "a 1, b 1, moved 1");
    struct dead_letter *none;
    CHECK_INT(letters(counter, &none), 0);
}

TEST(an_error_that_passes_is_neither_acked_nor_a_dead_letter)
{
    struct counter *counter = counter_open(t);
    counter_set(counter, KNOB_AWAY, 3);
    CHECK_INT(deliver(counter, "away 1, away 2"), 0);
    CHECK_INT(deliver(counter, "away 1, b 1"), 0); /* what is behind it comes again, too */
    CHECK_INT(deliver(counter, "away 1, away 2, b 1"), 3);
    CHECK_STR(counter_notes(counter), "b 1, away 1, away 2");
    struct dead_letter *none;
    CHECK_INT(letters(counter, &none), 0);
    CHECK_INT(held(counter), 0);
}

/* ---- what cannot be applied ---- */

TEST(an_event_that_is_refused_for_good_is_put_aside_and_its_key_waits)
{
    struct counter *counter = counter_open(t);
    struct dead_letter *found;
    counter_set(counter, KNOB_REFUSE, 1);
    CHECK_INT(deliver(counter, "refused 1, b 1, refused 2"), 3);
    CHECK_INT(deliver(counter, "refused 3, b 2"), 2);
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "b 1, b 2");

    CHECK_INT(letters(counter, &found), 1);
    CHECK_INT(found[0].event.number, 1);
    CHECK_STR(found[0].state, "dead");
    CHECK(str_find(found[0].error, STR("order.state")) >= 0);
    CHECK_INT(held(counter), 2);

    requeue(counter, "refused");
    for (int i = 0; i < 3; i++)
        retry_held(counter);
    CHECK_STR(counter_notes(counter), "b 1, b 2, refused 1, refused 2, refused 3");
    CHECK_INT(letters(counter, &found), 0);
    CHECK_INT(held(counter), 0);
}

static bool refuses_second(void *self, const char *consumer, const struct bus_event *event)
{
    int *refused = self;
    bool is_second = event->number == 2;
    *refused += is_second;
    return is_second && str_equal(str_of_z(consumer), STR("counter"));
}

TEST(an_event_that_a_test_refuses_is_put_aside_until_it_is_requeued)
{
    int refused = 0;
    struct dead_letter *found;
    struct counter *counter = counter_open(t);
    consumer_use_faults(&(struct consumer_faults){ .self = &refused, .refuses = refuses_second });
    CHECK_INT(deliver(counter, "a 1, a 2, a 3, b 1"), 4);
    consumer_use_faults(NULL);
    CHECK_INT(refused, 1);
    CHECK_STR(counter_notes(counter), "a 1, b 1");
    CHECK_INT(letters(counter, &found), 1);
    CHECK_STR(found[0].state, "dead");
    requeue(counter, "a");
    for (int i = 0; i < 2; i++)
        retry_held(counter);
    CHECK_STR(counter_notes(counter), "a 1, b 1, a 2, a 3");
    CHECK_INT(letters(counter, &found), 0);
}

TEST(a_letter_that_fails_again_is_dead_again)
{
    struct counter *counter = counter_open(t);
    struct dead_letter *found;
    counter_set(counter, KNOB_REFUSE, 3);
    CHECK_INT(deliver(counter, "refused 1"), 1);
    for (int tries = 2; tries <= 3; tries++) {
        requeue(counter, "refused");
        retry_held(counter);
        CHECK_INT(letters(counter, &found), 1);
        CHECK_STR(found[0].state, "dead");
        CHECK_INT(found[0].tries, tries);
        retry_held(counter); /* nobody asked for it */
        CHECK_INT(counter_handled(counter), tries);
    }
    requeue(counter, "refused");
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "refused 1");
}

TEST(a_letter_that_is_given_up_lets_those_behind_it_go_on)
{
    struct counter *counter = counter_open(t);
    counter_set(counter, KNOB_REFUSE, 1);
    CHECK_INT(deliver(counter, "refused 1, refused 2"), 2);
    struct dead_letter_place place = { STR("products.v1"), STR("refused"), 1 };
    run_write(counter, dead_letter_skip(t->arena, place, false));
    retry_held(counter);
    CHECK_STR(counter_notes(counter), "refused 2");
    CHECK_INT(deliver(counter, "refused 1"), 1);
    CHECK_STR(counter_notes(counter), "refused 2");
}

TEST(a_payload_that_cannot_be_read_is_a_dead_letter)
{
    struct counter *counter = counter_open(t);
    struct dead_letter *found;
    struct bus_event event = counter_event(counter, "a", 1);
    event.payload = STR("\xff\xff\xff");
    CHECK_INT(counter_deliver(counter, &event, 1), 1);
    CHECK_INT(letters(counter, &found), 1);
    CHECK(str_find(found[0].error, STR("event.undecodable")) >= 0);
    CHECK_STR(found[0].event.payload, "\xff\xff\xff");
    CHECK_INT(counter_handled(counter), 0);
}

TEST(a_reaction_over_the_ceiling_of_its_arena_is_a_dead_letter)
{
    struct counter *counter = counter_open(t);
    struct dead_letter *found;
    CHECK_INT(deliver(counter, "huge-1 1, huge-2 1, a 1"), 3);
    CHECK_INT(letters(counter, &found), 2);
    CHECK(str_find(found[0].error, STR("call.too_large")) >= 0);
    CHECK_STR(counter_notes(counter), "a 1");
    CHECK_INT(deliver(counter, "a 2, b 1, c 1"), 3); /* with the same arenas */
    CHECK_STR(counter_notes(counter), "a 1, a 2, b 1, c 1");
}

/* ---- the database fails at each step ---- */

/* Brings events as the bus does until all are taken. */
static void bring(struct counter *counter, const struct bus_event *events, size_t count)
{
    for (int tries = 0; count > 0; tries++) {
        CHECK(tries < 50);
        size_t taken = counter_deliver(counter, events, count);
        events += taken;
        count -= taken;
    }
}

/* Whether step `nth` of this kind was reached. */
static bool survives(struct test *t, enum db_step step, int64_t nth)
{
    struct counter *counter = counter_open(t);
    struct bus_event events[5] = { counter_event(counter, "a", 2), counter_event(counter, "a", 1),
                                   counter_event(counter, "b", 1), counter_event(counter, "a", 3),
                                   counter_event(counter, "huge", 1) };
    struct db *db = service_db(counter->service);
    db_fail_at(db, step, nth, DB_FAULT_FAILED);
    bring(counter, events, 5);
    struct call *call = service_job_open(counter->service, "held");
    for (int i = 0; i < 4; i++) { /* the timer tries again at its next tick */
        service_job_reset(call);
        err tried = consumer_retry_held(counter->service->consumer, call);
        (void)tried;
    }
    service_job_close(call);
    bool reached = db_steps_taken(db, step) >= nth;
    db_fail_at(db, step, 0, DB_FAULT_NONE);

    const char *notes = counter_notes(counter);
    struct dead_letter *found;
    CHECK(strcmp(notes, "b 1, a 1, a 2, a 3") == 0 || strcmp(notes, "a 1, b 1, a 2, a 3") == 0);
    CHECK_INT(letters(counter, &found), 1);
    CHECK_INT(held(counter), 0);
    counter_close(counter);
    return reached;
}

TEST(whichever_step_fails_each_event_takes_effect_once)
{
    static const enum db_step steps[] = { DB_STEP_BEGIN, DB_STEP_STATEMENT, DB_STEP_COMMIT,
                                          DB_STEP_READ };
    for (int i = 0; i < 4; i++) {
        int64_t nth = 1;
        while (nth < 40 && survives(t, steps[i], nth))
            nth++;
        CHECK(nth > 2);
    }
}
