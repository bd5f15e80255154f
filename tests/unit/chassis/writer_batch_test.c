#include "chassis/writer_batch.h"

#include "chassis/inbox.h"
#include "shelf.h"

enum { MANY = 64 };

struct bench {
    struct shelf *shelf;
    struct batch_room room;
};

static void close_room(void *subject) { batch_room_done(&((struct bench *)subject)->room); }

static struct bench *bench_open(struct test *t)
{
    struct bench *bench = arena_new(t->arena, struct bench);
    bench->shelf = shelf_open(t);
    batch_room_init(&bench->room, t->arena, bench->shelf->db);
    arena_defer(t->arena, close_room, bench);
    return bench;
}

/* Makes the outcome of a member whose counter is called "refused" an error, without a row. */
static err add_some(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct sql_counter_add *row = writes[i]->subject;
        if (str_starts(row->name, STR("refused")))
            outcomes[i] = fail(tx->arena, STOCK_INSUFFICIENT, "no more of it");
        else
            TRY(sql_counter_add(tx, row, NULL));
    }
    return OK;
}

/* The same under another name: a group of its own. */
static err add_others(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    return add_some(tx, writes, count, outcomes);
}

static struct inbox_claim *event(struct test *t, const char *key, int64_t number)
{
    struct inbox_claim *claim = arena_new(t->arena, struct inbox_claim);
    *claim =
        (struct inbox_claim){ .topic = STR("orders.v1"), .key = str_of_z(key), .number = number };
    return claim;
}

static int64_t head_of(struct bench *bench, const char *key)
{
    struct test *t = bench->shelf->t;
    struct db_reader *reader = NULL;
    int64_t number = -1;
    CHECK_OK(db_read_begin(bench->shelf->db, t->arena, &reader));
    err error = inbox_head_of(reader, t->arena, STR("orders.v1"), str_of_z(key), &number);
    db_read_end(reader);
    CHECK_OK(error);
    return number;
}

static const struct sql_counter_add ONE_CUP = { STR("cup"), 1 }, ONE_TEA = { STR("tea"), 1 },
                                    REFUSED = { STR("refused"), 1 };

TEST(a_member_that_is_refused_leaves_no_row_claim_head_event_or_answer)
{
    struct bench *bench = bench_open(t);
    struct told told[2];
    struct write *writes[2] = { shelf_write(bench->shelf, add_some, &REFUSED, &told[0]),
                                shelf_write(bench->shelf, add_some, &ONE_CUP, &told[1]) };
    writes[0]->once = shelf_claim(bench->shelf, "key", "body", 0);
    writes[0]->answer = shelf_answer("placed");
    writes[0]->inbox = event(t, "7", 1);
    shelf_announce(writes[0], "7", 1);

    batch_run(&bench->room, writes, 2);

    CHECK_INT(told[0].end, WRITE_DONE);
    CHECK_ERR(told[0].outcome, STOCK_INSUFFICIENT);
    CHECK_OK(told[1].outcome);
    CHECK_INT(shelf_counter(bench->shelf, "refused"), -1);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 1);
    CHECK_INT(shelf_find(bench->shelf, writes[0]->once, NULL), ONCE_NEW);
    CHECK_INT(shelf_outbox_count(bench->shelf), 0);
    CHECK_INT(head_of(bench, "7"), 0);
    CHECK(!bench->room.announced);
}

TEST(all_of_a_member_is_there_after_the_commit)
{
    struct bench *bench = bench_open(t);
    struct told told;
    struct write *write = shelf_write(bench->shelf, add_some, &ONE_CUP, &told);
    write->once = shelf_claim(bench->shelf, "key", "body", 0);
    write->answer = shelf_answer("placed");
    write->inbox = event(t, "7", 1);
    shelf_announce(write, "7", 1);
    shelf_announce(write, "7", 2);

    batch_run(&bench->room, &write, 1);

    str answer;
    CHECK_OK(told.outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 1);
    CHECK_INT(shelf_find(bench->shelf, write->once, &answer), ONCE_ANSWERED);
    CHECK_STR(answer, "placed");
    CHECK_INT(shelf_outbox_count(bench->shelf), 2);
    CHECK_INT(head_of(bench, "7"), 1);
    CHECK(bench->room.announced);
}

TEST(the_first_of_a_batch_wins_a_key_and_the_others_are_repeats)
{
    struct bench *bench = bench_open(t);
    struct told told[3];
    struct write *writes[3];
    for (int i = 0; i < 3; i++) {
        writes[i] = shelf_write(bench->shelf, add_some, &ONE_CUP, &told[i]);
        writes[i]->once = shelf_claim(bench->shelf, i == 1 ? "other" : "key", "body", 0);
        writes[i]->answer = shelf_answer(i == 0 ? "first" : "later");
    }
    batch_run(&bench->room, writes, 3);

    str answer;
    CHECK_INT(told[0].end, WRITE_DONE);
    CHECK_INT(told[1].end, WRITE_DONE);
    CHECK_INT(told[2].end, WRITE_REPEATED);
    CHECK_OK(told[2].outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 2);
    CHECK_INT(shelf_find(bench->shelf, writes[2]->once, &answer), ONCE_ANSWERED);
    CHECK_STR(answer, "first");
}

TEST(a_key_of_an_earlier_batch_is_a_repeat)
{
    struct bench *bench = bench_open(t);
    struct told told;
    for (int i = 0; i < 3; i++) {
        struct write *write = shelf_write(bench->shelf, add_some, &ONE_CUP, &told);
        write->once = shelf_claim(bench->shelf, "key", "body", 0);
        write->answer = shelf_answer("placed");
        batch_run(&bench->room, &write, 1);
        CHECK_INT(told.end, i == 0 ? WRITE_DONE : WRITE_REPEATED);
    }
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 1);
}

TEST(a_key_whose_first_use_was_refused_can_be_used_again)
{
    struct bench *bench = bench_open(t);
    struct told told;
    const struct sql_counter_add *rows[] = { &REFUSED, &ONE_CUP };
    for (int i = 0; i < 2; i++) {
        struct write *write = shelf_write(bench->shelf, add_some, rows[i], &told);
        write->once = shelf_claim(bench->shelf, "key", "body", 0);
        write->answer = shelf_answer("placed");
        batch_run(&bench->room, &write, 1);
    }
    CHECK_INT(told.end, WRITE_DONE);
    CHECK_OK(told.outcome);
}

TEST(of_those_that_fix_an_answer_exactly_one_wins)
{
    struct bench *bench = bench_open(t);
    struct told told[4];
    struct write *placing = shelf_write(bench->shelf, add_some, &ONE_CUP, &told[0]);
    placing->once = shelf_claim(bench->shelf, "key", "body", 5);
    batch_run(&bench->room, &placing, 1);
    CHECK_INT(shelf_find(bench->shelf, placing->once, NULL), ONCE_IN_FLIGHT);

    struct write *settling[3];
    for (int i = 0; i < 3; i++) {
        settling[i] = shelf_write(bench->shelf, i == 0 ? add_some : NULL, &REFUSED, &told[i + 1]);
        settling[i]->answers_subject = shelf_id(5);
        settling[i]->subject_answer = shelf_answer(i == 1 ? "second" : "other");
    }
    batch_run(&bench->room, settling, 3);
    CHECK(!settling[0]->answer_won);
    CHECK(settling[1]->answer_won);
    CHECK(!settling[2]->answer_won);

    str answer;
    CHECK_INT(shelf_find(bench->shelf, placing->once, &answer), ONCE_ANSWERED);
    CHECK_STR(answer, "second");
    batch_run(&bench->room, &settling[2], 1);
    CHECK(!settling[2]->answer_won);
}

static void say_decided(struct write *write) { write->answer = shelf_answer("decided"); }

TEST(an_answer_that_is_decided_under_the_lock_is_kept)
{
    struct bench *bench = bench_open(t);
    struct told told;
    struct write *write = shelf_write(bench->shelf, add_some, &ONE_CUP, &told);
    write->once = shelf_claim(bench->shelf, "key", "body", 0);
    write->make_answer = say_decided;
    batch_run(&bench->room, &write, 1);

    str answer;
    CHECK_INT(shelf_find(bench->shelf, write->once, &answer), ONCE_ANSWERED);
    CHECK_STR(answer, "decided");
}

TEST(a_key_that_nobody_answers_is_a_broken_invariant)
{
    struct bench *bench = bench_open(t);
    struct told told;
    struct write *write = shelf_write(bench->shelf, add_some, &ONE_CUP, &told);
    write->once = shelf_claim(bench->shelf, "key", "body", 0);
    CHECK_PANICS(batch_run(&bench->room, &write, 1));
}

/* ---- events consumed ---- */

TEST(events_of_one_key_take_effect_in_order_inside_one_batch)
{
    struct bench *bench = bench_open(t);
    struct told told[5];
    struct write *writes[5];
    const int64_t numbers[] = { 1, 2, 2, 3, 5 };
    for (int i = 0; i < 5; i++) {
        writes[i] = shelf_write(bench->shelf, add_some, &ONE_CUP, &told[i]);
        writes[i]->inbox = event(t, "7", numbers[i]);
    }
    batch_run(&bench->room, writes, 5);

    CHECK_INT(told[0].end, WRITE_DONE);
    CHECK_INT(told[1].end, WRITE_DONE);
    CHECK_INT(told[2].end, WRITE_REPEATED);
    CHECK_OK(told[3].outcome);
    CHECK_ERR(told[4].outcome, TRANSITION_NOT_YET);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 3);
    CHECK_INT(head_of(bench, "7"), 3);
}

TEST(what_follows_an_event_that_failed_does_not_take_effect)
{
    struct bench *bench = bench_open(t);
    struct told told[4];
    struct write *writes[4];
    const struct sql_counter_add *rows[] = { &ONE_CUP, &REFUSED, &ONE_CUP, &ONE_TEA };
    for (int i = 0; i < 4; i++) {
        writes[i] = shelf_write(bench->shelf, add_some, rows[i], &told[i]);
        writes[i]->inbox = event(t, i == 3 ? "8" : "7", i == 3 ? 1 : i + 1);
        shelf_announce(writes[i], "x", 1);
    }
    batch_run(&bench->room, writes, 4);

    CHECK_OK(told[0].outcome);
    CHECK_ERR(told[1].outcome, STOCK_INSUFFICIENT);
    CHECK_ERR(told[2].outcome, TRANSITION_NOT_YET);
    CHECK_OK(told[3].outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 1);
    CHECK_INT(shelf_counter(bench->shelf, "tea"), 1);
    CHECK_INT(head_of(bench, "7"), 1);
    CHECK_INT(head_of(bench, "8"), 1);
    CHECK_INT(shelf_outbox_count(bench->shelf), 2);
    for (int i = 0; i < 4; i++)
        CHECK_INT(told[i].order, i + 1);
}

/* What ran when, as letters. */
static char ran[8];

static void note_ran(char letter, size_t count)
{
    for (size_t i = strlen(ran); count > 0 && i + 1 < sizeof ran; i++, count--)
        ran[i] = letter;
}

static err note_a(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx, (void)writes, (void)outcomes;
    note_ran('a', count);
    return OK;
}

static err note_b(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx, (void)writes, (void)outcomes;
    note_ran('b', count);
    return OK;
}

TEST(members_of_one_function_run_together)
{
    struct bench *bench = bench_open(t);
    struct told told[4];
    struct write *writes[4];
    memset(ran, 0, sizeof ran);
    for (int i = 0; i < 4; i++)
        writes[i] = shelf_write(bench->shelf, i % 2 ? note_b : note_a, NULL, &told[i]);
    batch_run(&bench->room, writes, 4);
    CHECK_STR((const char *)ran, "aabb");
}

TEST(an_event_never_runs_before_the_one_that_it_follows)
{
    struct bench *bench = bench_open(t);
    struct told told[4];
    struct write *writes[4];
    memset(ran, 0, sizeof ran);
    for (int i = 0; i < 4; i++) {
        writes[i] = shelf_write(bench->shelf, i == 1 ? note_b : note_a, NULL, &told[i]);
        writes[i]->inbox = event(t, i < 3 ? "7" : "8", i < 3 ? i + 1 : 1);
    }
    batch_run(&bench->room, writes, 4);
    CHECK_STR((const char *)ran, "aaba"); /* 7/1 8/1, 7/2, 7/3 */
}

TEST(an_event_that_loses_its_key_does_not_move_the_head)
{
    struct bench *bench = bench_open(t);
    struct told told[2];
    struct write *writes[2];
    for (int i = 0; i < 2; i++) {
        writes[i] = shelf_write(bench->shelf, add_some, &ONE_CUP, &told[i]);
        writes[i]->once = shelf_claim(bench->shelf, "key", "body", 0);
        writes[i]->answer = shelf_answer("placed");
        writes[i]->inbox = event(t, i == 0 ? "7" : "8", i == 0 ? 2 : 1);
    }
    /* The first has the key but comes early, the second has no key: nothing happens at all. */
    batch_run(&bench->room, writes, 2);
    CHECK_ERR(told[0].outcome, TRANSITION_NOT_YET);
    CHECK_INT(told[1].end, WRITE_REPEATED);
    CHECK_INT(head_of(bench, "7") + head_of(bench, "8"), 0);
    CHECK_INT(shelf_find(bench->shelf, writes[0]->once, NULL), ONCE_NEW);
}

/* ---- the transaction fails as a whole ---- */

TEST(of_64_the_one_whose_statement_fails_is_told_and_63_succeed)
{
    for (int bad = 0; bad < MANY; bad += 21) {
        struct bench *bench = bench_open(t);
        struct told told[MANY];
        struct write *writes[MANY];
        for (int i = 0; i < MANY; i++) {
            struct sql_counter_set *row = arena_new(t->arena, struct sql_counter_set);
            row->name = str_format(t->arena, "counter %d", i);
            row->value = i == bad ? -1 : 1; /* the check of the table refuses it */
            writes[i] = shelf_write(bench->shelf, shelf_set, row, &told[i]);
            shelf_announce(writes[i], "7", i + 1);
        }
        batch_run(&bench->room, writes, MANY);
        for (int i = 0; i < MANY; i++) {
            CHECK_INT(told[i].order, i + 1);
            if (i == bad)
                CHECK_ERR(told[i].outcome, DB_FAILED);
            else
                CHECK_OK(told[i].outcome);
        }
        CHECK_INT(shelf_sum(bench->shelf), MANY - 1);
        CHECK_INT(shelf_outbox_count(bench->shelf), MANY - 1);
    }
}

static err add_and_announce(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        shelf_announce(writes[i], "inside", 1);
        writes[i]->answer = shelf_answer("inside");
    }
    return add_some(tx, writes, count, outcomes);
}

/* Four writes of one batch, under keys that no other round has. */
static void set_out(struct bench *bench, int round, struct told told[4], struct write *writes[4])
{
    struct test *t = bench->shelf->t;
    for (int i = 0; i < 4; i++) {
        writes[i] =
            shelf_write(bench->shelf, i < 2 ? add_and_announce : add_others, &ONE_CUP, &told[i]);
        shelf_announce(writes[i], "before", 1);
        str key = str_format(t->arena, "%d/%d", round, i % 2);
        writes[i]->inbox = event(t, str_z(t->arena, key), i / 2 + 1);
    }
    str key = str_format(t->arena, "key %d", round);
    writes[0]->once = shelf_claim(bench->shelf, str_z(t->arena, key), "body", 0);
}

/* Lets step after step fail, until the batch has no such step any more. A fault comes once, so all
 * four are told OK in the end; and nothing of them is there twice. */
static void walk_faults(struct test *t, enum db_step step, enum db_fault fault)
{
    struct bench *bench = bench_open(t);
    bool reached = true;
    for (int nth = 1; reached; nth++) {
        struct told told[4];
        struct write *writes[4];
        set_out(bench, nth, told, writes);
        int64_t before = db_steps_taken(bench->shelf->db, step);
        db_fail_at(bench->shelf->db, step, nth, fault);
        batch_run(&bench->room, writes, 4);
        reached = db_steps_taken(bench->shelf->db, step) - before >= nth;
        CHECK(nth < 200);

        for (int i = 0; i < 4; i++) {
            CHECK_INT(told[i].end, WRITE_DONE);
            CHECK_OK(told[i].outcome);
        }
        str answer;
        CHECK_INT(shelf_counter(bench->shelf, "cup"), 4 * nth);
        CHECK_INT(shelf_outbox_count(bench->shelf), 6 * nth);
        CHECK_INT(head_of(bench, str_z(t->arena, writes[2]->inbox->key)), 2);
        CHECK_INT(head_of(bench, str_z(t->arena, writes[3]->inbox->key)), 2);
        CHECK_INT(shelf_find(bench->shelf, writes[0]->once, &answer), ONCE_ANSWERED);
        CHECK_STR(answer, "inside");
    }
    db_fail_at(bench->shelf->db, step, 1, DB_FAULT_NONE);
}

TEST(whatever_statement_fails_once_nothing_is_lost_or_doubled)
{
    walk_faults(t, DB_STEP_STATEMENT, DB_FAULT_FAILED);
    walk_faults(t, DB_STEP_STATEMENT, DB_FAULT_GONE);
    walk_faults(t, DB_STEP_STATEMENT, DB_FAULT_FULL);
}

TEST(whatever_begin_or_commit_fails_once_nothing_is_lost_or_doubled)
{
    walk_faults(t, DB_STEP_BEGIN, DB_FAULT_FAILED);
    walk_faults(t, DB_STEP_COMMIT, DB_FAULT_FAILED);
    walk_faults(t, DB_STEP_COMMIT, DB_FAULT_GONE);
}

TEST(a_single_write_whose_transaction_fails_hears_why)
{
    struct bench *bench = bench_open(t);
    struct told told;
    struct write *write = shelf_write(bench->shelf, add_some, &ONE_CUP, &told);
    db_fail_at(bench->shelf->db, DB_STEP_COMMIT, 1, DB_FAULT_FULL);
    batch_run(&bench->room, &write, 1);
    CHECK_ERR(told.outcome, DB_FULL);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), -1);

    batch_run(&bench->room, &write, 1);
    CHECK_OK(told.outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 1);
}

static err swallow_a_lost_transaction(struct tx *tx, struct write *const *writes, size_t count,
                                      err *outcomes)
{
    (void)add_some(tx, writes, count, outcomes);
    return OK;
}

TEST(a_batch_function_cannot_hide_that_the_transaction_is_gone)
{
    struct bench *bench = bench_open(t);
    struct told told[2];
    struct write *writes[2];
    for (int i = 0; i < 2; i++)
        writes[i] = shelf_write(bench->shelf, swallow_a_lost_transaction, &ONE_CUP, &told[i]);
    db_fail_at(bench->shelf->db, DB_STEP_STATEMENT, 1, DB_FAULT_GONE);
    batch_run(&bench->room, writes, 2);
    CHECK_OK(told[0].outcome);
    CHECK_OK(told[1].outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 2);
}

static err eat_memory(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(((const struct sql_counter_add *)writes[i]->subject)->name, STR("tea")))
            arena_alloc(writes[i]->arena, 128 * 1024, 1);
    return add_some(tx, writes, count, outcomes);
}

TEST(a_member_over_the_ceiling_of_its_arena_fails_alone)
{
    struct bench *bench = bench_open(t);
    struct arena *small = arena_open(64 * 1024);
    struct told told[3];
    struct write *writes[3];
    for (int i = 0; i < 3; i++)
        writes[i] = shelf_write(bench->shelf, eat_memory, i == 1 ? &ONE_TEA : &ONE_CUP, &told[i]);
    writes[1]->arena = small;
    batch_run(&bench->room, writes, 3);
    CHECK_OK(told[0].outcome);
    CHECK_ERR(told[1].outcome, CALL_TOO_LARGE);
    CHECK_OK(told[2].outcome);
    CHECK_INT(shelf_counter(bench->shelf, "cup"), 2);
    CHECK_INT(shelf_counter(bench->shelf, "tea"), -1);
    arena_close(small);
}

/* ---- what caches are told ---- */

static struct uuid changed[8];
static size_t changed_count;
static void note_changed(void *subject, struct uuid what)
{
    struct told *told = subject;
    CHECK_INT(told->order, 0); /* before anyone hears of it */
    changed[changed_count++ % 8] = what;
}

static err change_things(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    tx_note_change(tx, shelf_id(1));
    TRY(add_some(tx, writes, count, outcomes));
    tx_note_change(tx, shelf_id(2));
    return OK;
}

TEST(what_a_commit_changed_is_told_before_its_members_and_not_for_what_was_rolled_back)
{
    struct bench *bench = bench_open(t);
    struct told told;
    struct write *write = shelf_write(bench->shelf, change_things, &ONE_CUP, &told);
    bench->room.on_changed = note_changed;
    bench->room.on_changed_subject = &told;
    changed_count = 0;
    db_fail_at(bench->shelf->db, DB_STEP_COMMIT, 1, DB_FAULT_FULL);
    batch_run(&bench->room, &write, 1);
    CHECK_ERR(told.outcome, DB_FULL);
    CHECK_INT(changed_count, 0);

    told.order = 0;
    batch_run(&bench->room, &write, 1);
    CHECK_OK(told.outcome);
    CHECK_INT(changed_count, 2);
    CHECK(uuid_equal(changed[0], shelf_id(1)));
    CHECK(uuid_equal(changed[1], shelf_id(2)));
}
