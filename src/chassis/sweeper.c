#include "chassis/sweeper.h"

#include "chassis/audit.h"
#include "chassis/dead_letters.h"
#include "chassis/inbox.h"
#include "chassis/service_inside.h"
#include "chassis/spool.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"
#include "os/sync.h"

enum {
    ROOMS_MAX = 2,
    ROUNDS_MAX = 20,
    SPOOL_CHUNKS = 4 /* a mebibyte */,
    ROWS_FIRST = 64,
    COUNT_SHARE = 100 /* it counts for a hundredth of its time */
};

/* Clocks of two machines may differ: rows are kept a little longer than what asks for them may be
 * old. */
static const int64_t clocks_differ_us = 3600 * INT64_C(1000000);

/* A table with what was learned of it. */
struct sweeping {
    const struct swept *swept;
    struct series *rows_gauge, *forgotten, *held;
    int32_t rows_next;
    time_us before;
    int64_t dropped;
};

struct sweeper {
    struct service *service;
    struct timers *timers; /* its own: see the header */
    struct timer *timer;
    bool stopping;    /* atomic */
    struct lock turn; /* one sweep at a time */
    struct swept_room rooms[ROOMS_MAX];
    struct sweeping *sweepings[ROOMS_MAX];
    int rooms_count;
    struct swept own[SWEEP_TABLES_MAX]; /* the chassis's */
    int64_t counted_at; /* how many commits there were when rows were counted last; -1: never */
    int64_t count_due_us;
};

int32_t sweep_next_rows(int32_t rows, int32_t rows_max, int64_t took_us)
{
    ASSERT(rows > 0 && rows_max > 0);
    if (took_us > SWEEP_BATCH_US_MAX)
        return rows > 1 ? rows / 2 : 1;
    if (took_us * 4 > SWEEP_BATCH_US_MAX)
        return rows;
    return rows > rows_max / 2 ? rows_max : rows * 2;
}

/* ---- one table ---- */

static err sweep_batch(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        struct sweeping *sweeping = writes[i]->subject;
        const struct swept *swept = sweeping->swept;
        int64_t began_us = clock_mono_us();
        TRY(swept->sweep(tx, sweeping->before, sweeping->rows_next, &sweeping->dropped));
        int64_t took_us = clock_mono_us() - began_us;
        series_time(sweeping->held, took_us);
        sweeping->rows_next = sweep_next_rows(sweeping->rows_next, swept->rows_max, took_us);
        outcomes[i] = OK;
    }
    return OK;
}

/* A few writes; true where more is due, which has to wait for its turn. */
static err sweep_table(struct call *call, struct sweeping *sweeping, bool *more)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        TRY(job_write(call, write_new(call->arena, sweep_batch, sweeping)));
        series_add(sweeping->forgotten, sweeping->dropped);
        if (sweeping->dropped == 0)
            return OK;
    }
    *more = true;
    return OK;
}

/* ---- one room ---- */

static err sweep_room(struct sweeper *sweeper, struct call *call, int at, bool *more)
{
    const struct swept_room *room = &sweeper->rooms[at];
    time_us before[SWEEP_TABLES_MAX];
    bool due[SWEEP_TABLES_MAX] = { false };
    struct db_reader *reader;
    for (int i = 0; i < room->count; i++)
        before[i] = sweeper->sweepings[at][i].before = call->now - room->tables[i].kept_us;
    TRY(call_reader(call, &reader));
    TRY(room->look(reader, call->arena, before, due));
    call_read_end(call);
    for (int i = 0; i < room->count; i++)
        if (due[i] && room->tables[i].sweep)
            TRY(sweep_table(call, &sweeper->sweepings[at][i], more));
    return OK;
}

static err count_room(struct sweeper *sweeper, struct db_reader *reader, struct arena *arena,
                      int at)
{
    const struct swept_room *room = &sweeper->rooms[at];
    int64_t rows[SWEEP_TABLES_MAX];
    TRY(room->count_rows(reader, arena, rows));
    for (int i = 0; i < room->count; i++)
        series_set(sweeper->sweepings[at][i].rows_gauge, rows[i]);
    return OK;
}

/* Where nothing was committed since, nothing is counted: a shop without work sleeps. (Another
 * replica counts what it commits.) */
static err count_all(struct sweeper *sweeper, struct call *call)
{
    int64_t commits = writer_stats_of(sweeper->service->writer).batches;
    if (commits == sweeper->counted_at)
        return OK;
    struct db_reader *reader;
    int64_t began_us = clock_mono_us();
    TRY(db_read_aside(sweeper->service->db, call->arena, &reader));
    err error = OK;
    for (int i = 0; i < sweeper->rooms_count && error == OK; i++)
        error = count_room(sweeper, reader, call->arena, i);
    db_read_end(reader);
    int64_t ended_us = clock_mono_us();
    sweeper->count_due_us = ended_us + COUNT_SHARE * (ended_us - began_us);
    if (error == OK)
        sweeper->counted_at = commits;
    return error;
}

static err run_turn(struct sweeper *sweeper, struct call *call, bool counts_anyway, bool *more)
{
    for (int i = 0; i < sweeper->rooms_count; i++)
        TRY(sweep_room(sweeper, call, i, more));
    if (!counts_anyway && clock_mono_us() < sweeper->count_due_us)
        return OK;
    return count_all(sweeper, call);
}

static err run_all(struct sweeper *sweeper, struct call *call, bool counts_anyway)
{
    bool more = false;
    lock_take(&sweeper->turn);
    err error = run_turn(sweeper, call, counts_anyway, &more);
    lock_drop(&sweeper->turn);
    if (more)
        timer_poke(sweeper->timer);
    return error;
}

err sweeper_run(void *self, struct call *call)
{
    (void)self;
    return run_all(call->service->sweeper, call, true);
}

static err run_by_timer(void *self, struct call *call)
{
    (void)self;
    struct sweeper *sweeper = call->service->sweeper;
    err error = run_all(sweeper, call, false);
    return __atomic_load_n(&sweeper->stopping, __ATOMIC_RELAXED) ? OK : error;
}

/* ---- the tables of the chassis ---- */

static err count_own(struct db_reader *reader, struct arena *arena, int64_t *rows)
{
    struct sql_bookkeeping_counts_row row;
    TRY(sql_bookkeeping_counts(reader, arena, &row));
    const int64_t counts[] = { row.once_count,   row.heads_count, row.letters_count,
                               row.spools_count, row.audit_count, row.outbox_count,
                               row.held_count };
    memcpy(rows, counts, sizeof counts);
    return OK;
}

static err look_own(struct db_reader *reader, struct arena *arena, const time_us *before, bool *due)
{
    struct sql_bookkeeping_due params = { before[0], before[1], before[2], before[3], before[4] };
    struct sql_bookkeeping_due_row row;
    TRY(sql_bookkeeping_due(reader, arena, &params, &row));
    const bool answers[] = { row.once_due, row.heads_due, row.letters_due, row.spools_due,
                             row.audit_due };
    memcpy(due, answers, sizeof answers);
    return OK;
}

static void add_own(struct sweeper *sweeper, const struct conf *conf)
{
    int64_t heads_us = conf_int(conf, CONF_INBOX_RETENTION) * TIME_MS + clocks_differ_us;
    const struct swept own[] = {
        { "once", conf_int(conf, CONF_ONCE_RETENTION) * TIME_MS, SWEEP_ROWS_MAX, once_sweep },
        { "inbox_heads", heads_us, SWEEP_ROWS_MAX, inbox_sweep },
        { "dead_letters", conf_int(conf, CONF_DEAD_LETTER_RETENTION) * TIME_MS, SWEEP_ROWS_MAX,
          dead_letters_sweep },
        { "spools", conf_int(conf, CONF_SPOOL_RETENTION) * TIME_MS, SPOOL_CHUNKS, spool_sweep },
        { "audit", conf_int(conf, CONF_AUDIT_RETENTION) * TIME_MS, SWEEP_ROWS_MAX, audit_sweep },
        { .table = "outbox" },     /* goes with the broker's ack */
        { .table = "inbox_held" }, /* goes when the gap before it closes */
    };
    memcpy(sweeper->own, own, sizeof own);
    struct swept_room room = { sweeper->own, (int)(sizeof own / sizeof own[0]), count_own,
                               look_own };
    service_sweeps(sweeper->service, &room);
}

/* ---- opening ---- */

void service_sweeps(struct service *service, const struct swept_room *room)
{
    ASSERT(service && room && room->count > 0 && room->count <= SWEEP_TABLES_MAX);
    struct sweeper *sweeper = service->sweeper;
    const char *name = service->spec->name;
    ASSERT(sweeper->rooms_count < ROOMS_MAX);
    struct sweeping *sweepings = arena_array(service->arena, struct sweeping, (size_t)room->count);
    for (int i = 0; i < room->count; i++) {
        const struct swept *swept = &room->tables[i];
        ASSERT(!swept->sweep || swept->rows_max > 0);
        sweepings[i] = (struct sweeping){
            .swept = swept,
            .rows_gauge = metric_series(METRIC_TABLE_ROWS, name, swept->table, NULL),
            .forgotten = metric_series(METRIC_SWEPT, name, swept->table, NULL),
            .held = metric_series(METRIC_SWEEP_SECONDS, name, NULL, NULL),
            .rows_next = swept->rows_max < ROWS_FIRST ? swept->rows_max : ROWS_FIRST,
        };
    }
    sweeper->sweepings[sweeper->rooms_count] = sweepings;
    sweeper->rooms[sweeper->rooms_count++] = *room;
}

struct sweeper *sweeper_open(struct service *service)
{
    const struct conf *conf = service->config.house->conf;
    struct sweeper *sweeper = arena_new(service->arena, struct sweeper);
    sweeper->service = service;
    sweeper->counted_at = -1;
    lock_init(&sweeper->turn);
    service->sweeper = sweeper;
    add_own(sweeper, conf);
    sweeper->timers = timers_open(service);
    sweeper->timer = timers_add(sweeper->timers, "sweep",
                                (uint32_t)conf_int(conf, CONF_SWEEP_INTERVAL), run_by_timer, NULL);
    return sweeper;
}

void sweeper_start(struct sweeper *sweeper) { timers_start(sweeper->timers); }

void sweeper_stop(struct sweeper *sweeper)
{
    __atomic_store_n(&sweeper->stopping, true, __ATOMIC_RELAXED);
    db_end_aside(sweeper->service->db);
    timers_stop(sweeper->timers);
}

void sweeper_close(struct sweeper *sweeper)
{
    if (!sweeper)
        return;
    timers_close(sweeper->timers);
    lock_done(&sweeper->turn);
}
