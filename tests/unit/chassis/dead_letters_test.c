#include "chassis/dead_letters.h"

#include "os/clock.h"
#include "shelf.h"

static err hand_over(struct shelf *shelf, write_batch *batch, const void *subject)
{
    struct told told;
    struct write *write = shelf_write(shelf, batch, subject, &told);
    shelf_submit_all(shelf, &write, 1);
    CHECK_INT(told.end, WRITE_DONE);
    return told.outcome;
}

static struct bus_event event_of(const char *key, int64_t number)
{
    return (struct bus_event){ .id = shelf_id((int)number),
                               .type = STR("orders.v1.OrderPlaced"),
                               .topic = STR("orders.v1"),
                               .key = str_of_z(key),
                               .number = number,
                               .payload = STR("payload"),
                               .at = 77 };
}

static void put(struct shelf *shelf, const char *key, int64_t number, const char *error)
{
    struct dead_letter letter = { .event = event_of(key, number),
                                  .error = str_of_z(error),
                                  .tries = 2 };
    CHECK_OK(hand_over(shelf, dead_letter_put, &letter));
}

static struct dead_letter_place place_of(const char *key, int64_t number)
{
    return (struct dead_letter_place){ .topic = STR("orders.v1"),
                                       .key = str_of_z(key),
                                       .number = number };
}

static struct dead_letter *list(struct shelf *shelf, struct dead_letter_place after, size_t *count)
{
    struct db_reader *reader;
    struct dead_letter *letters;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(dead_letters_list(reader, shelf->t->arena, &after, 10, &letters, count));
    db_read_end(reader);
    return letters;
}

static struct dead_letter *requeued(struct shelf *shelf, size_t *count)
{
    struct db_reader *reader;
    struct dead_letter *letters;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(dead_letters_requeued(reader, shelf->t->arena, 10, &letters, count));
    db_read_end(reader);
    return letters;
}

static bool is_parked(struct shelf *shelf, const char *key)
{
    struct db_reader *reader;
    bool parked;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(dead_letters_park(reader, shelf->t->arena, STR("orders.v1"), str_of_z(key), &parked));
    db_read_end(reader);
    return parked;
}

static enum write_end run(struct shelf *shelf, struct write *write, err *outcome)
{
    return writer_submit_and_wait(shelf->writer, write, outcome);
}

TEST(a_letter_comes_whole_and_parks_its_key)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "it cannot be read");
    put(shelf, "7", 2, "");
    CHECK(is_parked(shelf, "7"));
    CHECK(!is_parked(shelf, "8"));

    size_t count;
    struct dead_letter *letters =
        list(shelf, (struct dead_letter_place){ .topic = STR("") }, &count);
    CHECK_INT(count, 2);
    CHECK_STR(letters[0].error, "it cannot be read");
    CHECK_STR(letters[0].state, "dead");
    CHECK_INT(letters[0].tries, 2);
    CHECK(letters[0].at > 0);
    CHECK(uuid_equal(letters[0].event.id, shelf_id(1)));
    CHECK_STR(letters[0].event.payload, "payload");
    CHECK_INT(letters[0].event.at, 77);
    CHECK_INT(letters[1].event.number, 2);
    letters = list(shelf, place_of("7", 1), &count);
    CHECK_INT(count, 1);
    CHECK_INT(letters[0].event.number, 2);
}

TEST(parked_keys_are_listed_by_page)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "why");
    put(shelf, "7", 2, "");
    put(shelf, "8", 4, "why");
    struct db_reader *reader;
    struct dead_letter_place *keys, none = { .topic = STR("") };
    size_t count;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(dead_letters_parked(reader, t->arena, &none, 10, &keys, &count));
    CHECK_INT(count, 2);
    CHECK_STR(keys[0].key, "7");
    CHECK_OK(dead_letters_parked(reader, t->arena, &keys[0], 10, &keys, &count));
    CHECK_INT(count, 1);
    CHECK_STR(keys[0].key, "8");
    db_read_end(reader);
}

static err forget_sevens(struct tx *tx, void *subject)
{
    (void)subject;
    return events_forget(tx, STR("the-seventh"));
}

TEST(what_waits_and_speaks_of_a_person_is_forgotten_and_no_other)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    struct dead_letter about = { .event = event_of("7", 1), .error = STR("why"), .tries = 1 };
    about.event.payload = STR("\x0a\x0bthe-seventh\x12\x03mug");
    CHECK_OK(hand_over(shelf, dead_letter_put, &about));
    put(shelf, "8", 1, "the-seventh is not in its payload");
    struct bus_event early = event_of("9", 2), other = event_of("10", 2);
    early.payload = about.event.payload;
    CHECK_OK(hand_over(shelf, inbox_hold, &early));
    CHECK_OK(hand_over(shelf, inbox_hold, &other));
    shelf_stop(shelf);

    shelf_do(shelf, forget_sevens, NULL);
    size_t count;
    struct dead_letter *left = list(shelf, (struct dead_letter_place){ .topic = STR("") }, &count);
    CHECK_INT(count, 1);
    CHECK_STR(left[0].event.key, "8");
    struct db_reader *reader;
    struct backlog backlog;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(inbox_held_backlog(reader, t->arena, &backlog));
    CHECK_INT(backlog.rows_count, 1);
    db_read_end(reader);
}

TEST(an_event_that_was_held_is_held_no_more_when_it_dies)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    struct bus_event event = event_of("7", 3);
    CHECK_OK(hand_over(shelf, inbox_hold, &event));
    put(shelf, "7", 3, "why");
    struct db_reader *reader;
    struct backlog backlog;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(inbox_held_backlog(reader, t->arena, &backlog));
    CHECK_INT(backlog.rows_count, 0);
    CHECK_OK(dead_letters_backlog(reader, t->arena, &backlog));
    CHECK_INT(backlog.rows_count, 1);
    CHECK(backlog.oldest_at > 0);
    db_read_end(reader);
}

TEST(requeued_letters_come_in_order_until_one_dies_again)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    for (int i = 1; i <= 3; i++)
        put(shelf, "7", i, "why");
    size_t count;
    requeued(shelf, &count);
    CHECK_INT(count, 0);

    struct dead_letter_place place = place_of("7", 0), other = place_of("8", 0);
    CHECK_ERR(hand_over(shelf, dead_letters_requeue, &other), NOT_FOUND);
    CHECK_OK(hand_over(shelf, dead_letters_requeue, &place));
    struct dead_letter *letters = requeued(shelf, &count);
    CHECK_INT(count, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(letters[i].event.number, i + 1);
    CHECK_INT(letters[0].tries, 2);

    put(shelf, "7", 1, "again");
    requeued(shelf, &count);
    CHECK_INT(count, 0);
    letters = list(shelf, place_of("7", 0), &count);
    CHECK_STR(letters[0].state, "dead");
    CHECK_STR(letters[0].error, "again");
    CHECK_INT(letters[0].tries, 4);
}

TEST(a_requeued_letter_that_applies_is_dropped_with_its_claim)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "why");
    struct write *write = write_new(t->arena, NULL, NULL);
    struct inbox_claim claim = {
        .topic = STR("orders.v1"), .key = STR("7"), .number = 1, .source = INBOX_DEAD
    };
    write->inbox = &claim;
    err outcome;
    CHECK_INT(run(shelf, write, &outcome), WRITE_DONE);
    CHECK_OK(outcome);
    CHECK(!is_parked(shelf, "7"));
    size_t count;
    list(shelf, place_of("7", 0), &count);
    CHECK_INT(count, 0);
}

TEST(a_skipped_letter_lets_the_rest_of_its_key_go_on)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "why");
    put(shelf, "7", 2, "");
    err outcome;
    run(shelf, dead_letter_skip(t->arena, place_of("7", 2), false), &outcome);
    CHECK_ERR(outcome, TRANSITION_NOT_YET);
    CHECK_INT(run(shelf, dead_letter_skip(t->arena, place_of("7", 1), false), &outcome),
              WRITE_DONE);
    CHECK_OK(outcome);

    size_t count;
    struct dead_letter *letters = requeued(shelf, &count);
    CHECK_INT(count, 1);
    CHECK_INT(letters[0].event.number, 2);
    letters = list(shelf, place_of("7", 0), &count);
    CHECK_INT(count, 2);
    CHECK_STR(letters[0].state, "skipped");
    CHECK_INT(run(shelf, dead_letter_skip(t->arena, place_of("7", 1), false), &outcome),
              WRITE_REPEATED);
    CHECK_INT(run(shelf, dead_letter_skip(t->arena, place_of("7", 2), false), &outcome),
              WRITE_DONE);
    CHECK(!is_parked(shelf, "7"));
}

TEST(a_letter_that_could_not_be_read_has_no_number_and_can_be_skipped)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "unreadable-7", 0, "why");
    err outcome;
    CHECK_INT(run(shelf, dead_letter_skip(t->arena, place_of("unreadable-7", 0), false), &outcome),
              WRITE_DONE);
    CHECK_OK(outcome);
    CHECK(!is_parked(shelf, "unreadable-7"));
    run(shelf, dead_letter_skip(t->arena, place_of("unreadable-7", 0), false), &outcome);
    CHECK_ERR(outcome, NOT_FOUND);
}

TEST(skipping_what_does_not_wait_moves_nothing)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    err outcome;
    run(shelf, dead_letter_skip(t->arena, place_of("9", 1), false), &outcome);
    CHECK_ERR(outcome, NOT_FOUND);
    struct db_reader *reader;
    int64_t number;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(inbox_head_of(reader, t->arena, STR("orders.v1"), STR("9"), &number));
    db_read_end(reader);
    CHECK_INT(number, 0);
}

static err sweep(struct tx *tx, void *subject)
{
    int64_t dropped;
    return dead_letters_sweep(tx, *(time_us *)subject, 10, &dropped);
}

TEST(the_sweeper_drops_what_was_skipped_long_ago_only)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "why");
    put(shelf, "8", 1, "why");
    err outcome;
    run(shelf, dead_letter_skip(t->arena, place_of("7", 1), false), &outcome);
    shelf_stop(shelf);

    time_us before = clock_wall_us() - 3600 * TIME_SECOND;
    size_t count;
    shelf_do(shelf, sweep, &before);
    list(shelf, (struct dead_letter_place){ .topic = STR("") }, &count);
    CHECK_INT(count, 2);
    before = clock_wall_us() + 3600 * TIME_SECOND;
    shelf_do(shelf, sweep, &before);
    struct dead_letter *letters =
        list(shelf, (struct dead_letter_place){ .topic = STR("") }, &count);
    CHECK_INT(count, 1);
    CHECK_STR(letters[0].event.key, "8");
}

TEST(what_is_known_of_a_key_is_listed_with_its_place)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    put(shelf, "7", 1, "why");
    put(shelf, "7", 2, "");
    put(shelf, "8", 1, "why");
    shelf_stop(shelf);

    struct event_known *events;
    struct db_reader *reader;
    size_t count;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(events_of_key(reader, t->arena, STR("7"), 10, &events, &count));
    CHECK_INT(count, 2);
    CHECK_STR(events[1].place, "dead");
    CHECK_STR(events[1].type, "orders.v1.OrderPlaced");
    CHECK_INT(events[1].number, 2);
    CHECK_OK(events_of_key(reader, t->arena, STR("9"), 10, &events, &count));
    CHECK_INT(count, 0);
    db_read_end(reader);
}
