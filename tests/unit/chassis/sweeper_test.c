#include "chassis/sweeper.h"

#include "counter.h"
#include "os/clock.h"

TEST(a_sweep_that_held_the_writer_too_long_takes_half_as_many_rows)
{
    CHECK_INT(sweep_next_rows(64, 256, SWEEP_BATCH_US_MAX + 1), 32);
    CHECK_INT(sweep_next_rows(1, 256, 1000000), 1);
    CHECK_INT(sweep_next_rows(3, 256, 1000000), 1);
}

TEST(one_that_was_quick_takes_twice_as_many_up_to_the_most)
{
    CHECK_INT(sweep_next_rows(64, 256, 0), 128);
    CHECK_INT(sweep_next_rows(200, 256, SWEEP_BATCH_US_MAX / 4), 256);
    CHECK_INT(sweep_next_rows(256, 256, 0), 256);
    CHECK_INT(sweep_next_rows(64, 256, SWEEP_BATCH_US_MAX), 64); /* just right */
}

/* ---- a table of so many rows ---- */

enum { ROWS = 3000 };
struct pile {
    int64_t left;
    int32_t most;    /* rows in one write */
    int writes;      /* atomic */
    int counts;      /* atomic */
    bool is_blocked; /* atomic: counting it takes for as long */
    int64_t count_us;
};
static struct pile pile;

static err sweep_pile(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    (void)tx;
    (void)before;
    *dropped = pile.left < rows_max ? pile.left : rows_max;
    pile.left -= *dropped;
    pile.most = rows_max > pile.most ? rows_max : pile.most;
    __atomic_add_fetch(&pile.writes, 1, __ATOMIC_SEQ_CST);
    return OK;
}

static err count_pile(struct db_reader *reader, struct arena *arena, int64_t *rows)
{
    (void)reader;
    (void)arena;
    rows[0] = pile.left;
    __atomic_add_fetch(&pile.counts, 1, __ATOMIC_SEQ_CST);
    sleep_until(clock_mono_us() + pile.count_us);
    while (__atomic_load_n(&pile.is_blocked, __ATOMIC_SEQ_CST))
        sleep_until(clock_mono_us() + 1000);
    return OK;
}

static err look_at_pile(struct db_reader *reader, struct arena *arena, const time_us *before,
                        bool *due)
{
    (void)reader;
    (void)arena;
    CHECK(before[0] < clock_wall_us() - 3599 * TIME_SECOND);
    due[0] = pile.left > 0;
    return OK;
}

static const struct swept PILE[] = { { "pile", 3600 * TIME_SECOND, 100, sweep_pile } };
static const struct swept_room ROOM = { PILE, 1, count_pile, look_at_pile };

static void run_once(struct counter *counter)
{
    struct call *job = service_job_open(counter->service, "test");
    CHECK_OK(sweeper_run(NULL, job));
    service_job_close(job);
}

static bool is_told(struct test *t, const char *line)
{
    return strstr(str_z(t->arena, metrics_text(t->arena, METRICS_PROMETHEUS)), line) != NULL;
}

TEST(a_pile_goes_in_small_writes_and_the_rest_has_to_wait_for_its_turn)
{
    struct counter *counter = counter_open(t);
    pile = (struct pile){ .left = ROWS };
    service_sweeps(counter->service, &ROOM);
    run_once(counter);
    CHECK_INT(pile.most, 100);
    CHECK(pile.left > 0);
    CHECK_INT(pile.writes, 20);
    while (pile.left > 0)
        run_once(counter);
    CHECK(is_told(t, "duka_table_rows{service=\"counter\",table=\"pile\"} 0\n"));
    CHECK(is_told(t, "duka_swept_rows_total{service=\"counter\",table=\"pile\"} 3000\n"));
    CHECK(is_told(t, "duka_table_rows{service=\"counter\",table=\"once\"} 0\n"));
}

TEST(where_nothing_is_due_nothing_is_written)
{
    struct counter *counter = counter_open(t);
    pile = (struct pile){ 0 };
    service_sweeps(counter->service, &ROOM);
    int64_t before = writer_stats_of(service_writer(counter->service)).writes;
    run_once(counter);
    CHECK_INT(pile.writes, 0);
    CHECK_INT(writer_stats_of(service_writer(counter->service)).writes, before);
}

/* ---- its thread ---- */

static int ticks;

static err tick(void *self, struct call *call)
{
    (void)self;
    (void)call;
    __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
    return OK;
}

static void wait_for(const int *number, int wanted)
{
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (__atomic_load_n(number, __ATOMIC_SEQ_CST) < wanted && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + 1000);
    CHECK(__atomic_load_n(number, __ATOMIC_SEQ_CST) >= wanted);
}

TEST(nothing_that_is_due_waits_for_a_count)
{
    struct counter *counter = counter_open(t);
    pile = (struct pile){ .is_blocked = true };
    service_sweeps(counter->service, &ROOM);
    service_every(counter->service, "tick", 1, tick);
    counter_start(counter);
    wait_for(&pile.counts, 1);
    __atomic_store_n(&ticks, 0, __ATOMIC_SEQ_CST);
    wait_for(&ticks, 20);
    CHECK_INT(__atomic_load_n(&pile.counts, __ATOMIC_SEQ_CST), 1);
    __atomic_store_n(&pile.is_blocked, false, __ATOMIC_SEQ_CST);
    counter_close(counter);
}

TEST(a_count_that_takes_long_is_rare)
{
    struct counter *counter = counter_open(t);
    pile = (struct pile){ .left = 10 * ROWS, .count_us = 20000 };
    service_sweeps(counter->service, &ROOM);
    counter_start(counter);
    while (__atomic_load_n(&pile.writes, __ATOMIC_SEQ_CST) <= 10 * ROWS / 100)
        sleep_until(clock_mono_us() + 1000);
    counter_close(counter);
    CHECK(pile.writes / 20 >= 15); /* turns that went on at once, each after a commit */
    CHECK(pile.counts >= 1 && pile.counts <= 5);
}
