#include "chassis/inbox.h"

#include "os/clock.h"
#include "shelf.h"

enum { ENTRIES = 6 };

struct judging {
    struct inbox_entry entries[ENTRIES];
    struct inbox_claim claims[ENTRIES];
    struct inbox_batch batch;
    bool stands;
    bool fails[ENTRIES];
};

static void add(struct judging *judging, const char *key, int64_t number, bool state)
{
    size_t at = judging->batch.count++;
    judging->claims[at] = (struct inbox_claim){
        .topic = STR("orders.v1"), .key = str_of_z(key), .number = number, .state = state
    };
    judging->entries[at] = (struct inbox_entry){ .claim = &judging->claims[at] };
    judging->batch.entries = judging->entries;
}

/* Judges, applies all that may but those that fail, settles, saves. */
static err run(struct tx *tx, void *subject)
{
    struct judging *judging = subject;
    TRY(inbox_judge(tx, &judging->batch));
    for (size_t i = 0; i < judging->batch.count; i++)
        judging->entries[i].applied =
            judging->entries[i].verdict == INBOX_APPLY && !judging->fails[i];
    judging->stands = inbox_settle(&judging->batch);
    return judging->stands ? inbox_save(tx, &judging->batch) : OK;
}

static int64_t head_of(struct shelf *shelf, const char *key)
{
    struct db_reader *reader;
    int64_t number;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(inbox_head_of(reader, shelf->t->arena, STR("orders.v1"), str_of_z(key), &number));
    db_read_end(reader);
    return number;
}

/* Takes the events 1..number of a key. */
static void move_head(struct shelf *shelf, const char *key, int64_t number)
{
    for (int64_t i = 1; i <= number; i++) {
        struct judging judging = { 0 };
        add(&judging, key, i, false);
        shelf_do(shelf, run, &judging);
        CHECK_INT(judging.entries[0].verdict, INBOX_APPLY);
    }
}

TEST(the_next_event_applies_a_known_one_is_repeated_and_a_later_one_is_early)
{
    struct shelf *shelf = shelf_open(t);
    move_head(shelf, "7", 3);
    struct judging judging = { 0 };
    add(&judging, "7", 3, false);
    add(&judging, "7", 5, false);
    add(&judging, "7", 4, false);
    add(&judging, "7", 1, false);
    add(&judging, "8", 1, false);
    add(&judging, "9", 2, false);
    shelf_do(shelf, run, &judging);

    const enum inbox_verdict verdicts[] = { INBOX_REPEATED, INBOX_EARLY, INBOX_APPLY,
                                            INBOX_REPEATED, INBOX_APPLY, INBOX_EARLY };
    for (int i = 0; i < ENTRIES; i++)
        CHECK_INT(judging.entries[i].verdict, verdicts[i]);
    CHECK_INT(head_of(shelf, "7"), 4);
    CHECK_INT(head_of(shelf, "8"), 1);
    CHECK_INT(head_of(shelf, "9"), 0);
    CHECK_INT(judging.batch.keys_count, 3); /* each head was read once */
}

TEST(of_events_that_carry_state_the_last_number_wins)
{
    struct shelf *shelf = shelf_open(t);
    struct judging judging = { 0 };
    add(&judging, "sku", 4, true);
    add(&judging, "sku", 2, true);
    add(&judging, "sku", 9, true);
    shelf_do(shelf, run, &judging);
    CHECK_INT(judging.entries[0].verdict, INBOX_APPLY);
    CHECK_INT(judging.entries[1].verdict, INBOX_REPEATED);
    CHECK_INT(judging.entries[2].verdict, INBOX_APPLY);
    CHECK_INT(head_of(shelf, "sku"), 9);
}

TEST(a_state_that_failed_does_not_keep_a_later_one_away)
{
    struct shelf *shelf = shelf_open(t);
    struct judging judging = { .fails = { true } };
    add(&judging, "sku", 1, true);
    add(&judging, "sku", 2, true);
    shelf_do(shelf, run, &judging);
    CHECK(judging.stands);
    CHECK_INT(head_of(shelf, "sku"), 2);
}

TEST(what_applied_after_one_that_failed_is_barred)
{
    struct shelf *shelf = shelf_open(t);
    struct judging judging = { .fails = { false, true } };
    for (int i = 1; i <= 3; i++)
        add(&judging, "7", i, false);
    add(&judging, "8", 1, false);
    shelf_do(shelf, run, &judging);
    CHECK(!judging.stands);
    CHECK(!judging.entries[0].barred);
    CHECK(judging.entries[2].barred);
    CHECK(!judging.entries[3].barred);

    shelf_do(shelf, run, &judging); /* once more, with what was learnt */
    CHECK(judging.stands);
    CHECK_INT(judging.entries[2].verdict, INBOX_EARLY);
    CHECK_INT(head_of(shelf, "7"), 1);
    CHECK_INT(head_of(shelf, "8"), 1);
}

TEST(an_event_without_a_number_always_applies)
{
    struct shelf *shelf = shelf_open(t);
    for (int i = 0; i < 2; i++) {
        struct judging judging = { 0 };
        add(&judging, "7", 0, false);
        shelf_do(shelf, run, &judging);
        CHECK_INT(judging.entries[0].verdict, INBOX_APPLY);
    }
    CHECK_INT(head_of(shelf, "7"), 0);
}

/* ---- forgetting ---- */

struct sweeping {
    time_us before;
    int64_t dropped;
};

static err sweep(struct tx *tx, void *subject)
{
    struct sweeping *sweeping = subject;
    return inbox_sweep(tx, sweeping->before, 10, &sweeping->dropped);
}

static err forget(struct tx *tx, void *subject)
{
    (void)subject;
    return inbox_forget(tx, STR("orders.v1"), STR("7"));
}

static void take(struct shelf *shelf, const char *key, int64_t number, bool last)
{
    struct judging judging = { 0 };
    add(&judging, key, number, false);
    judging.claims[0].last = last;
    shelf_do(shelf, run, &judging);
    CHECK_INT(judging.entries[0].verdict, INBOX_APPLY);
}

TEST(keys_that_are_over_are_forgotten_in_time_and_no_others)
{
    struct shelf *shelf = shelf_open(t);
    take(shelf, "7", 1, false);
    take(shelf, "8", 1, true);
    take(shelf, "9", 1, false);
    take(shelf, "9", 2, true);
    struct sweeping sweeping = { .before = clock_wall_us() - 60 * TIME_SECOND };
    shelf_do(shelf, sweep, &sweeping);
    CHECK_INT(sweeping.dropped, 0); /* too young */
    sweeping.before = clock_wall_us() + 60 * TIME_SECOND;
    shelf_do(shelf, sweep, &sweeping);
    CHECK_INT(sweeping.dropped, 2);
    CHECK_INT(head_of(shelf, "7"), 1); /* may go on */
    CHECK_INT(head_of(shelf, "8"), 0);
    CHECK_INT(head_of(shelf, "9"), 0);
    shelf_do(shelf, forget, NULL);
    CHECK_INT(head_of(shelf, "7"), 0);
}

TEST(an_old_event_without_a_head_is_neither_applied_nor_dropped_unless_a_person_says_so)
{
    static const struct {
        bool old, state, has_head;
        enum inbox_source source;
        enum inbox_verdict verdict;
    } cases[] = {
        { true, false, false, INBOX_BUS, INBOX_TOO_OLD },
        { false, false, false, INBOX_BUS, INBOX_APPLY },
        { true, false, false, INBOX_DEAD, INBOX_APPLY }, /* requeued by hand */
        { true, true, false, INBOX_BUS, INBOX_APPLY },   /* the newest state is the state */
        { true, false, true, INBOX_BUS, INBOX_REPEATED },
    };
    struct shelf *shelf = shelf_open(t);
    take(shelf, "head", 1, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct judging judging = { 0 };
        char key[8];
        key[0] = (char)('a' + i);
        key[1] = 0;
        add(&judging, cases[i].has_head ? "head" : key, 1, cases[i].state);
        judging.claims[0].old = cases[i].old;
        judging.claims[0].source = cases[i].source;
        shelf_do(shelf, run, &judging);
        CHECK_INT(judging.entries[0].verdict, cases[i].verdict);
    }
}

/* ---- held ---- */

static void hold(struct shelf *shelf, const char *key, int64_t number)
{
    struct bus_event event = { .id = shelf_id((int)number),
                               .type = STR("orders.v1.OrderPlaced"),
                               .topic = STR("orders.v1"),
                               .key = str_of_z(key),
                               .number = number,
                               .payload = STR("payload"),
                               .traceparent = STR("00-trace-01"),
                               .at = 77 };
    struct told told;
    struct write *write = shelf_write(shelf, inbox_hold, &event, &told);
    shelf_submit_all(shelf, &write, 1);
    CHECK_INT(told.end, WRITE_DONE);
    CHECK_OK(told.outcome);
}

static struct bus_event *ready(struct shelf *shelf, size_t *count)
{
    struct db_reader *reader;
    struct bus_event *events;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(inbox_held_ready(reader, shelf->t->arena, 10, &events, count));
    db_read_end(reader);
    return events;
}

TEST(a_held_event_is_ready_once_its_gap_has_closed)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    hold(shelf, "7", 3);
    hold(shelf, "7", 2);
    hold(shelf, "7", 2); /* once more is nothing */
    hold(shelf, "8", 2);
    size_t count;
    ready(shelf, &count);
    CHECK_INT(count, 0);

    shelf_stop(shelf);
    move_head(shelf, "7", 1);
    struct bus_event *events = ready(shelf, &count);
    CHECK_INT(count, 1);
    CHECK(uuid_equal(events[0].id, shelf_id(2)));
    CHECK_STR(events[0].type, "orders.v1.OrderPlaced");
    CHECK_STR(events[0].topic, "orders.v1");
    CHECK_STR(events[0].key, "7");
    CHECK_INT(events[0].number, 2);
    CHECK_STR(events[0].payload, "payload");
    CHECK_STR(events[0].traceparent, "00-trace-01");
    CHECK_INT(events[0].at, 77);
}

TEST(held_events_of_a_key_come_in_order)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    for (int64_t number = 5; number > 1; number--)
        hold(shelf, "7", number);
    struct db_reader *reader;
    struct bus_event *events;
    size_t count;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(
        inbox_held_of_key(reader, t->arena, STR("orders.v1"), STR("7"), 3, 2, &events, &count));
    db_read_end(reader);
    CHECK_INT(count, 2);
    CHECK_INT(events[0].number, 3);
    CHECK_INT(events[1].number, 4);
}

static int64_t held_count(struct shelf *shelf)
{
    struct db_reader *reader;
    struct backlog backlog;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(inbox_held_backlog(reader, shelf->t->arena, &backlog));
    db_read_end(reader);
    CHECK((backlog.rows_count > 0) == (backlog.oldest_at > 0));
    return backlog.rows_count;
}

TEST(a_held_event_leaves_its_table_when_it_applies_or_is_repeated)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    hold(shelf, "7", 1);
    hold(shelf, "7", 2);
    hold(shelf, "7", 9);
    shelf_stop(shelf);
    move_head(shelf, "7", 1); /* by another way */
    CHECK_INT(held_count(shelf), 3);

    struct judging judging = { 0 };
    add(&judging, "7", 1, false);
    add(&judging, "7", 2, false);
    add(&judging, "7", 9, false);
    for (int i = 0; i < 3; i++)
        judging.claims[i].source = INBOX_HELD;
    shelf_do(shelf, run, &judging);
    CHECK_INT(held_count(shelf), 1);
    CHECK_INT(head_of(shelf, "7"), 2);
}
