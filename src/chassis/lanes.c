#include "chassis/lanes.h"
#include "chassis/obs.h"
#include "chassis/service_inside.h"
#include "os/sync.h"

/* A subject that was given and is not done. */
struct given {
    struct uuid subject;
    struct given *next; /* of those that wait, or of those that are free */
    struct given *next_of_bucket;
    bool taken, again; /* again: given once more while a lane has it */
};

/* The call that a subject is run in. There are more of them than lanes, for one is kept until its
 * write is on disk. */
struct lane_seat {
    struct lanes *lanes;
    struct call *call;
    struct given *given;
    struct lane_seat *next; /* of those that are free, or of those that came back */
    /* Of one that leaves its lane. */
    void (*ask)(void *self, void *state);
    err (*then)(void *self, struct call *call, void *state);
    void *state;
};

enum { BUCKETS = 1024, SEATS_A_LANE = 2 };

struct lanes {
    struct arena *arena;
    struct service *service;
    const char *name;
    err (*run)(void *self, struct call *call, struct uuid subject);
    struct lock lock;
    struct cond wake;
    struct thread *threads[LANES_MAX];
    int threads_count, threads_max;
    int working, idle;           /* lanes that have the processor, and those without a subject */
    int out;                     /* subjects that are away, by waiting or without a lane */
    bool called;                 /* a lane was woken or begun, and is not there yet */
    struct given *first, **last; /* those that wait, in the order in which they came */
    struct lane_seat *back, **back_last; /* those that came back, the same */
    struct given *free;
    int given_count; /* there were, at most */
    struct given *buckets[BUCKETS];
    struct lane_seat *seats; /* the free ones */
    int seats_count, seats_taken;
    bool stopping;
};

struct lanes_stats lanes_stats_of(struct lanes *lanes)
{
    ASSERT(lanes);
    lock_take(&lanes->lock);
    struct lanes_stats stats = { .name = lanes->name,
                                 .threads = lanes->threads_count,
                                 .threads_max = lanes->threads_max,
                                 .working = lanes->working,
                                 .out = lanes->out };
    for (const struct given *given = lanes->first; given; given = given->next)
        stats.waiting++;
    lock_drop(&lanes->lock);
    return stats;
}

static int64_t ask_threads(void *lanes) { return lanes_stats_of(lanes).threads_max; }
static int64_t ask_waiting(void *lanes) { return lanes_stats_of(lanes).waiting; }

static int64_t ask_busy(void *lanes)
{
    struct lanes_stats stats = lanes_stats_of(lanes);
    return stats.working + stats.out;
}

static void ask_gauges(struct lanes *lanes, bool on)
{
    metric_ask(METRIC_POOL_THREADS, lanes->name, on ? ask_threads : NULL, lanes);
    metric_ask(METRIC_POOL_BUSY, lanes->name, on ? ask_busy : NULL, lanes);
    metric_ask(METRIC_QUEUE_LENGTH, lanes->name, on ? ask_waiting : NULL, lanes);
}

struct lanes *lanes_open(struct service *service, const char *name,
                         err (*run)(void *self, struct call *call, struct uuid subject))
{
    ASSERT(service && name && run);
    struct arena *arena = arena_open(SIZE_MAX);
    struct lanes *lanes = arena_new(arena, struct lanes);
    *lanes = (struct lanes){ .arena = arena, .service = service, .name = name, .run = run };
    lanes->last = &lanes->first;
    lanes->back_last = &lanes->back;
    lock_init(&lanes->lock);
    cond_init(&lanes->wake);
    ASSERT(service->lanes_count < SERVICE_LANES_MAX);
    service->lanes[service->lanes_count++] = lanes;
    ask_gauges(lanes, true);
    return lanes;
}

void lanes_close(struct lanes *lanes)
{
    if (!lanes)
        return;
    ASSERT(lanes->threads_count == 0);
    ask_gauges(lanes, false);
    cond_done(&lanes->wake);
    lock_done(&lanes->lock);
    arena_close(lanes->arena);
}

/* ---- the table and the queue; the lock is held ---- */

static struct given **bucket_of(struct lanes *lanes, struct uuid subject)
{
    return &lanes->buckets[str_hash(str_of(subject.bytes, sizeof subject.bytes)) % BUCKETS];
}

static struct given *find(struct lanes *lanes, struct uuid subject)
{
    struct given *given = *bucket_of(lanes, subject);
    while (given && !uuid_equal(given->subject, subject))
        given = given->next_of_bucket;
    return given;
}

static void lane_run(void *self);

static bool has_seat(const struct lanes *lanes)
{
    return lanes->seats || lanes->seats_count < SEATS_A_LANE * lanes->threads_max;
}

/* Whether a lane could go on with something. */
static bool has_work(const struct lanes *lanes)
{
    return lanes->back || (lanes->first && lanes->out < lanes->threads_max && has_seat(lanes));
}

/* Sees to it that a lane is at work where there is something to do. */
static void call_lane(struct lanes *lanes)
{
    if (lanes->working > 0 || lanes->called || !has_work(lanes))
        return;
    if (lanes->idle > 0) {
        lanes->called = true;
        cond_wake_one(&lanes->wake);
    } else if (lanes->threads_count < lanes->threads_max && !lanes->stopping) {
        lanes->called = true;
        lanes->threads[lanes->threads_count++] = thread_start(lanes->name, lane_run, lanes);
    }
}

static void queue(struct lanes *lanes, struct given *given)
{
    given->next = NULL;
    *lanes->last = given;
    lanes->last = &given->next;
    call_lane(lanes);
}

/* Room is made when it is first needed, and kept: NULL where there is none. */
static struct given *find_room(struct lanes *lanes)
{
    struct given *given = lanes->free;
    if (given) {
        lanes->free = given->next;
    } else if (lanes->given_count < LANES_ROOM) {
        lanes->given_count++;
        given = arena_new(lanes->arena, struct given);
    }
    return given;
}

static void add(struct lanes *lanes, struct uuid subject)
{
    struct given *given = find_room(lanes);
    if (!given)
        return;
    struct given **bucket = bucket_of(lanes, subject);
    *given = (struct given){ .subject = subject, .next_of_bucket = *bucket };
    *bucket = given;
    queue(lanes, given);
}

static struct given *take(struct lanes *lanes)
{
    struct given *given = lanes->first;
    if (!given)
        return NULL;
    lanes->first = given->next;
    if (!lanes->first)
        lanes->last = &lanes->first;
    given->taken = true;
    return given;
}

static void done(struct lanes *lanes, struct given *given)
{
    given->taken = false;
    if (given->again) {
        given->again = false;
        queue(lanes, given);
        return;
    }
    struct given **link = bucket_of(lanes, given->subject);
    while (*link != given)
        link = &(*link)->next_of_bucket;
    *link = given->next_of_bucket;
    given->next = lanes->free;
    lanes->free = given;
}

/* ---- giving and running ---- */

void lanes_give(struct lanes *lanes, struct uuid subject)
{
    ASSERT(lanes && !uuid_is_nil(subject));
    lock_take(&lanes->lock);
    struct given *given = find(lanes, subject);
    if (!given)
        add(lanes, subject);
    else if (given->taken)
        given->again = true;
    lock_drop(&lanes->lock);
}

void lanes_offer(struct lanes *lanes, struct uuid subject)
{
    ASSERT(lanes && !uuid_is_nil(subject));
    lock_take(&lanes->lock);
    if (!find(lanes, subject))
        add(lanes, subject);
    lock_drop(&lanes->lock);
}

/* Frees the seat; its subject is done. */
static void leave(struct lane_seat *seat)
{
    struct lanes *lanes = seat->lanes;
    lock_take(&lanes->lock);
    done(lanes, seat->given);
    seat->next = lanes->seats;
    lanes->seats = seat;
    lanes->seats_taken--;
    if (lanes->stopping)
        cond_wake_all(&lanes->wake);
    else
        call_lane(lanes);
    lock_drop(&lanes->lock);
}

/* ---- away and back ---- */

void lanes_away(struct call *call)
{
    ASSERT(call && call->seat);
    struct lanes *lanes = call->seat->lanes;
    call_read_end(call); /* nobody holds a snapshot while it waits */
    lock_take(&lanes->lock);
    lanes->out++;
    lanes->working--;
    call_lane(lanes);
    lock_drop(&lanes->lock);
}

void lanes_back(struct call *call)
{
    ASSERT(call && call->seat);
    struct lanes *lanes = call->seat->lanes;
    lock_take(&lanes->lock);
    lanes->out--;
    lanes->working++;
    lock_drop(&lanes->lock);
}

void lanes_leave(struct call *call, void (*ask)(void *self, void *state),
                 err (*then)(void *self, struct call *call, void *state), void *state)
{
    ASSERT(call && call->seat && ask && then);
    call->seat->ask = ask;
    call->seat->then = then;
    call->seat->state = state;
}

void lanes_return(struct call *call)
{
    ASSERT(call && call->seat && call->seat->then);
    struct lane_seat *seat = call->seat;
    struct lanes *lanes = seat->lanes;
    lock_take(&lanes->lock);
    lanes->out--;
    seat->next = NULL;
    *lanes->back_last = seat;
    lanes->back_last = &seat->next;
    call_lane(lanes);
    lock_drop(&lanes->lock);
}

static void log_failed(const struct lane_seat *seat, err error)
{
    LOG(LOG_WARN, "lane.failed", LOG_TEXT("lane", str_of_z(seat->lanes->name)),
        LOG_TEXT("subject", uuid_text(seat->call->arena, seat->given->subject)),
        LOG_TEXT("error", err_describe(seat->call->arena, error)));
}

static void seat_written(struct write *write, enum write_end end, err outcome)
{
    struct lane_seat *seat = write->owner;
    ASSERT(end == WRITE_DONE);
    if (outcome == OK)
        dispatch_committed(seat->lanes->service, write);
    else if (err_is(outcome, VERSION_CONFLICT))
        lanes_give(seat->lanes, seat->given->subject);
    else
        log_failed(seat, outcome);
    leave(seat);
}

static err run_seat(void *self, struct call *call)
{
    const struct lane_seat *seat = self;
    struct lanes *lanes = seat->lanes;
    void *service = service_self(lanes->service);
    return seat->then ? seat->then(service, call, seat->state)
                      : lanes->run(service, call, seat->given->subject);
}

static void begin(struct lane_seat *seat)
{
    service_job_reset(seat->call);
    seat->call->seat = seat;
    seat->then = NULL;
    seat->ask = NULL;
}

/* Asks once the arena is nobody's: whoever answers may use it. The seat may be back before this
 * returns. */
static void go_out(struct lane_seat *seat)
{
    struct lanes *lanes = seat->lanes;
    void (*ask)(void *self, void *state) = seat->ask;
    seat->ask = NULL;
    lock_take(&lanes->lock);
    lanes->out++;
    lock_drop(&lanes->lock);
    ask(service_self(lanes->service), seat->state);
}

static void run_one(struct lane_seat *seat)
{
    struct call *call = seat->call;
    err error = service_job_run(call, seat->lanes->name, run_seat, seat);
    call_read_end(call); /* nobody holds a snapshot while it waits */
    if (error == OK && seat->ask) {
        go_out(seat);
    } else if (error == OK && call->write) {
        call->write->owner = seat;
        call->write->done = seat_written;
        writer_submit(call->service->writer, call->write);
    } else {
        if (error != OK)
            log_failed(seat, error);
        leave(seat);
    }
}

/* The lock is held. */
static struct lane_seat *free_seat(struct lanes *lanes)
{
    struct lane_seat *seat = lanes->seats;
    if (seat) {
        lanes->seats = seat->next;
        return seat;
    }
    seat = arena_new(lanes->arena, struct lane_seat);
    seat->lanes = lanes;
    seat->call = service_job_open(lanes->service, lanes->name);
    lanes->seats_count++;
    return seat;
}

/* A seat that came back, or one with the next subject in it, or NULL. The lock is held. */
static struct lane_seat *sit_down(struct lanes *lanes, bool *is_new)
{
    *is_new = !lanes->back;
    if (!has_work(lanes))
        return NULL;
    struct lane_seat *seat = lanes->back;
    if (seat) {
        lanes->back = seat->next;
        if (!lanes->back)
            lanes->back_last = &lanes->back;
        return seat;
    }
    seat = free_seat(lanes);
    lanes->seats_taken++;
    seat->given = take(lanes);
    return seat;
}

/* Those that are out come back before the lanes end. */
static bool goes_on(const struct lanes *lanes)
{
    return !lanes->stopping || lanes->out > 0 || lanes->back;
}

/* Nothing that waits is begun when the lanes end. */
static struct lane_seat *next_seat(struct lanes *lanes, bool *is_new)
{
    return lanes->stopping && !lanes->back ? NULL : sit_down(lanes, is_new);
}

static void lane_run(void *self)
{
    struct lanes *lanes = self;
    lock_take(&lanes->lock);
    lanes->called = false;
    while (goes_on(lanes)) {
        bool is_new;
        struct lane_seat *seat = next_seat(lanes, &is_new);
        if (!seat) {
            lanes->idle++;
            cond_wait(&lanes->wake, &lanes->lock);
            lanes->idle--;
            lanes->called = false;
            continue;
        }
        lanes->working++;
        lock_drop(&lanes->lock);
        if (is_new)
            begin(seat);
        run_one(seat);
        lock_take(&lanes->lock);
        lanes->working--;
    }
    cond_wake_all(&lanes->wake);
    lock_drop(&lanes->lock);
}

void lanes_start(struct lanes *lanes, int count_max)
{
    ASSERT(lanes && count_max >= 1 && count_max <= LANES_MAX && lanes->threads_max == 0);
    lock_take(&lanes->lock);
    lanes->threads_max = count_max;
    call_lane(lanes);
    lock_drop(&lanes->lock);
}

void lanes_stop(struct lanes *lanes)
{
    ASSERT(lanes);
    lock_take(&lanes->lock);
    lanes->stopping = true;
    cond_wake_all(&lanes->wake);
    lock_drop(&lanes->lock);
    for (int i = 0; i < lanes->threads_count; i++)
        thread_join(lanes->threads[i]);

    lock_take(&lanes->lock);
    lanes->threads_count = lanes->threads_max = 0;
    while (lanes->seats_taken > 0)
        cond_wait(&lanes->wake, &lanes->lock);
    for (; lanes->seats; lanes->seats = lanes->seats->next)
        service_job_close(lanes->seats->call);
    lock_drop(&lanes->lock);
}
