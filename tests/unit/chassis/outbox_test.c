#include "chassis/outbox.h"

#include "os/clock.h"
#include "os/random.h"
#include "shelf.h"

static struct bus_event *events_after(struct shelf *shelf, int64_t position, int32_t max,
                                      size_t *count)
{
    struct db_reader *reader;
    struct bus_event *events;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(outbox_after(reader, shelf->t->arena, position, max, &events, count));
    db_read_end(reader);
    return events;
}

struct putting {
    struct write **writes;
    size_t count, written;
    int64_t position_last;
};

static err put(struct tx *tx, void *subject)
{
    struct putting *putting = subject;
    return outbox_put(tx, putting->writes, putting->count, &putting->position_last,
                      &putting->written);
}

/* Three events of two writes. */
static struct putting put_three(struct shelf *shelf, int64_t position_last)
{
    struct test *t = shelf->t;
    struct putting putting = { .count = 2, .position_last = position_last };
    putting.writes = arena_array(t->arena, struct write *, 2);
    for (int i = 0; i < 2; i++)
        putting.writes[i] = write_new(t->arena, NULL, NULL);
    putting.writes[0]->traceparent = STR("00-trace-01");
    shelf_announce(putting.writes[0], "7", 1);
    shelf_announce(putting.writes[0], "7", 2);
    shelf_announce(putting.writes[1], "8", 1);
    shelf_do(shelf, put, &putting);
    return putting;
}

TEST(a_position_is_the_time_and_sequence_of_the_id)
{
    struct uuid id = uuid_v7(INT64_C(1769851800123), 0xabc, 99);
    CHECK_INT(outbox_position(id), INT64_C(1769851800123) << 12 | 0xabc);
    struct uuid before = id_new(), after = id_new();
    CHECK(outbox_position(before) < outbox_position(after));
}

TEST(events_come_whole_and_in_order)
{
    struct shelf *shelf = shelf_open(t);
    struct putting putting = put_three(shelf, 0);
    CHECK_INT(putting.written, 3);

    size_t count;
    struct bus_event *events = events_after(shelf, 0, 10, &count);
    CHECK_INT(count, 3);
    const int64_t numbers[] = { 1, 2, 1 };
    for (int i = 0; i < 3; i++) {
        CHECK_STR(events[i].type, "shelf.v1.Moved");
        CHECK_STR(events[i].topic, "shelf.v1");
        CHECK_STR(events[i].key, i < 2 ? "7" : "8");
        CHECK_INT(events[i].number, numbers[i]);
        CHECK_STR(events[i].payload, "moved");
        CHECK_STR(events[i].traceparent, i < 2 ? "00-trace-01" : "");
        CHECK(events[i].at > 0);
    }
    CHECK_INT(outbox_position(events[2].id), putting.position_last);
    events = events_after(shelf, outbox_position(events[0].id), 1, &count);
    CHECK_INT(count, 1);
    CHECK_INT(events[0].number, 2);
}

TEST(new_events_stand_behind_old_ones_also_after_the_clock_went_back)
{
    struct shelf *shelf = shelf_open(t);
    int64_t future = ((clock_wall_us() / 1000 + 86400000) << 12) | 0xffe;
    struct putting putting = put_three(shelf, future);
    CHECK_INT(putting.position_last, future + 3);

    size_t count;
    struct bus_event *events = events_after(shelf, future, 10, &count);
    CHECK_INT(count, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(outbox_position(events[i].id), future + i + 1);
}

static err find_newest(struct tx *tx, void *subject) { return outbox_newest(tx, subject); }

TEST(the_newest_position_is_found_again)
{
    struct shelf *shelf = shelf_open(t);
    int64_t position = -1;
    shelf_do(shelf, find_newest, &position);
    CHECK_INT(position, 0);
    struct putting putting = put_three(shelf, 0);
    shelf_do(shelf, find_newest, &position);
    CHECK_INT(position, putting.position_last);
}

TEST(what_the_bus_has_acked_is_dropped)
{
    struct shelf *shelf = shelf_open(t);
    put_three(shelf, 0);
    size_t count;
    struct bus_event *events = events_after(shelf, 0, 10, &count);
    struct uuid ids[] = { events[2].id, events[0].id, id_new() };
    struct outbox_acked acked = { ids, 3 };
    struct told told;
    struct write *write = shelf_write(shelf, outbox_drop, &acked, &told);
    shelf_start(shelf);
    shelf_submit_all(shelf, &write, 1);
    CHECK_OK(told.outcome);

    events = events_after(shelf, 0, 10, &count);
    CHECK_INT(count, 1);
    CHECK_INT(events[0].number, 2);
}

TEST(the_backlog_tells_how_many_and_since_when)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct backlog backlog;
    put_three(shelf, 0);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(outbox_backlog(reader, t->arena, &backlog));
    db_read_end(reader);
    CHECK_INT(backlog.rows_count, 3);
    CHECK(backlog.oldest_at > 0 && backlog.oldest_at <= clock_wall_us());
}
