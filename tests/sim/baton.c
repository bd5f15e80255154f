#include "tests/sim/baton.h"

#include "base/err.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/sim/fiber.h"
#include "tests/sim/stream.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-01T00:00:00Z, when every run begins. */
static const int64_t WALL_EPOCH_US = INT64_C(1767225600) * 1000000;
static const int64_t NEVER = INT64_MAX;

enum {
    MONO_START_US = 1000 * 1000, /* not 0: that is "never" to some */
    SPURIOUS_ONE_IN = 64,        /* waits that end for no reason */
    NAME_BYTES = 24,
    STEPS_ON_ABORT = 20,
    VISITS_MAX = 8
};

/* As much as os/sync gives to a thread. */
#if defined(__SANITIZE_ADDRESS__)
enum { STACK_BYTES = 4 * 512 * 1024 };
#else
enum { STACK_BYTES = 512 * 1024 };
#endif

enum point {
    POINT_TAKE,
    POINT_DROP,
    POINT_WAIT,
    POINT_WAKE,
    POINT_START,
    POINT_JOIN,
    POINT_SLEEP,
    POINT_YIELD,
    POINT_END
};

static const char *const point_names[] = {
    [POINT_TAKE] = "takes a lock", [POINT_DROP] = "dropped a lock",   [POINT_WAIT] = "waits",
    [POINT_WAKE] = "woke",         [POINT_START] = "starts a thread", [POINT_JOIN] = "joins",
    [POINT_SLEEP] = "sleeps",      [POINT_YIELD] = "yields",          [POINT_END] = "ends",
};

/* What a thread waits for. */
enum waits { WAITS_NOT, WAITS_LOCK, WAITS_COND, WAITS_JOIN, WAITS_SLEEP, WAITS_NO_MORE };

/* Where a thread is: at home first, then at each process that it visits from there. */
struct visit {
    int process;
    bool killed;     /* the process was, since it came */
    jmp_buf *escape; /* to where it leaves then; NULL at home, where it ends, and outside */
};

/* A thread under the baton. Freed by baton_stop only: the trace names it. */
struct runner {
    struct baton *run_of;
    int index; /* in order of their start */
    char name[NAME_BYTES];
    enum waits waits;
    const void *waits_on;          /* the lock, the condition or the runner */
    int64_t deadline_us, since_us; /* until when, and from when on it waits */
    bool timed_out;
    int live_at, ready_at; /* its places in the lists of the baton */
    struct fiber *fiber;   /* its stack */
    bool is_main, is_joined;
    void (*run)(void *);
    void *subject;
    struct visit visits[VISITS_MAX];
    int depth;           /* the visit that it is at */
    struct runner *next; /* of all */
};

struct step {
    const struct runner *runner;
    enum point point;
    int64_t now_us;
};

/* Only who has the baton reads or writes this. */
struct baton {
    uint64_t seed;
    struct stream schedule, test, bytes;
    uint64_t preempt_one_in; /* chosen by the seed: some runs switch all the time, some rarely */
    int64_t now_us, wall_jumped_us, drift_us_max;
    int64_t deadline_next_us; /* no deadline is earlier; one as early may be gone */
    uint64_t steps, hash;
    uint64_t conds_made;
    int lock_waiters;

    struct runner *all;
    int runners_made;
    struct runner *live[BATON_THREADS_MAX], *ready[BATON_THREADS_MAX];
    int live_count, ready_count;
    int dead_count; /* killed threads, which are never joined */
    uint64_t steps_max;
    int64_t now_us_max;
    void (*exceeded)(void *subject);
    void *exceeded_subject;
    struct step trace[BATON_TRACE_MAX];
};

static struct baton *baton;
static _Thread_local struct runner *me;
static uint64_t stopped_steps, stopped_hash; /* of the run before */
static struct sigaction abort_before;
static char destroyed; /* its address is the holder of a lock that is done */

/* ---- Numbers ---- */

static bool chance(uint64_t one_in) { return stream_next(&baton->schedule) % one_in == 0; }

static int pick(int count)
{
    ASSERT(count > 0);
    return (int)(stream_next(&baton->schedule) % (uint64_t)count);
}

/* ---- Who can run ---- */

static struct runner *runner_in_hand(void)
{
    ASSERT(baton && me); /* else a thread calls that the baton did not start */
    return me;
}

static void live_add(struct runner *runner)
{
    ASSERT(baton->live_count < BATON_THREADS_MAX);
    runner->live_at = baton->live_count;
    baton->live[baton->live_count++] = runner;
}

static void live_drop(struct runner *runner)
{
    struct runner *last = baton->live[--baton->live_count];
    last->live_at = runner->live_at;
    baton->live[last->live_at] = last;
}

static void ready_add(struct runner *runner)
{
    if (runner->waits == WAITS_LOCK)
        baton->lock_waiters--;
    runner->waits = WAITS_NOT;
    runner->waits_on = NULL;
    runner->deadline_us = NEVER;
    runner->ready_at = baton->ready_count;
    baton->ready[baton->ready_count++] = runner;
}

static void ready_drop(struct runner *runner)
{
    struct runner *last = baton->ready[--baton->ready_count];
    last->ready_at = runner->ready_at;
    baton->ready[last->ready_at] = last;
}

static int waiting_count(enum waits waits, const void *on)
{
    int count = 0;
    for (int i = 0; i < baton->live_count; i++)
        count += baton->live[i]->waits == waits && baton->live[i]->waits_on == on;
    return count;
}

/* Readies one of those who wait for it, any. */
static void ready_one(enum waits waits, const void *on)
{
    int count = waiting_count(waits, on);
    if (count == 0)
        return;

    int chosen = pick(count);
    for (int i = 0; i < baton->live_count; i++) {
        struct runner *runner = baton->live[i];
        if (runner->waits == waits && runner->waits_on == on && chosen-- == 0) {
            ready_add(runner);
            return;
        }
    }
}

static void ready_all(enum waits waits, const void *on)
{
    for (int i = 0; i < baton->live_count; i++) {
        struct runner *runner = baton->live[i];
        if (runner->waits == waits && runner->waits_on == on)
            ready_add(runner);
    }
}

/* Readies those whose time has come. */
static void ready_due(void)
{
    baton->deadline_next_us = NEVER;
    for (int i = 0; i < baton->live_count; i++) {
        struct runner *runner = baton->live[i];
        if (runner->deadline_us <= baton->now_us) {
            runner->timed_out = true;
            ready_add(runner);
        } else if (runner->deadline_us < baton->deadline_next_us) {
            baton->deadline_next_us = runner->deadline_us;
        }
    }
}

/* ---- What is told ---- */

/* In the program, as addr2line(1) takes them. */
static void report_places(int fd, const struct runner *runner)
{
    enum { PLACES_MAX = 12 };
    extern const char __executable_start;
    const void *places[PLACES_MAX];
    int count = runner->fiber ? fiber_places(runner->fiber, places, PLACES_MAX) : 0;
    for (int i = 0; i < count; i++)
        dprintf(fd, "%s0x%tx", i ? " " : "    at ", (const char *)places[i] - &__executable_start);
    if (count > 0)
        dprintf(fd, "\n");
}

static void report_wait(int fd, const struct runner *runner)
{
    const struct runner *other;
    int64_t since_us = baton->now_us - runner->since_us;

    dprintf(fd, "  %s ", runner->name);
    switch (runner->waits) {
    case WAITS_NOT: dprintf(fd, "can run\n"); return;
    case WAITS_LOCK:
        other = ((const struct lock *)runner->waits_on)->holder;
        dprintf(fd, "waits for lock %p, held by %s", runner->waits_on,
                other ? other->name : "nobody");
        break;
    case WAITS_COND:
        dprintf(fd, "waits on condition %" PRIu64, ((const struct cond *)runner->waits_on)->sim_id);
        break;
    case WAITS_JOIN:
        other = runner->waits_on;
        dprintf(fd, "waits for the end of %s", other->name);
        break;
    case WAITS_SLEEP: dprintf(fd, "sleeps"); break;
    case WAITS_NO_MORE: dprintf(fd, "has ended\n"); return;
    }
    dprintf(fd, " since %" PRId64 " ms", since_us / 1000);
    if (runner->deadline_us != NEVER)
        dprintf(fd, ", for %" PRId64 " ms more", (runner->deadline_us - baton->now_us) / 1000);
    dprintf(fd, "\n");
    report_places(fd, runner);
}

void baton_tell_waits(int fd)
{
    if (!baton)
        return;
    dprintf(fd, "Who waits for what (places: addr2line -fpe PROGRAM PLACE …):\n");
    for (int i = 0; i < baton->live_count; i++)
        report_wait(fd, baton->live[i]);
}

_Noreturn static void deadlock(void)
{
    dprintf(2, "baton: deadlock with seed %" PRIu64 ": nobody can run, nobody waits for a time\n",
            baton->seed);
    baton_tell_waits(2);
    abort();
}

static void on_abort(int signal_number)
{
    baton_trace_last(STEPS_ON_ABORT);
    sigaction(signal_number, &abort_before, NULL);
    raise(signal_number);
}

/* ---- Passing the baton ---- */

/* Who runs next: anyone who can; if nobody can, time goes on to the earliest deadline. */
static struct runner *choose(void)
{
    if (baton->ready_count == 0) {
        ready_due();
        if (baton->ready_count == 0) {
            if (baton->deadline_next_us == NEVER)
                deadlock();
            baton->now_us = baton->deadline_next_us;
            ready_due();
        }
    }
    return baton->ready[pick(baton->ready_count)];
}

/* ---- A process that is killed ---- */

/* Never runs again. */
static void bury(struct runner *runner)
{
    if (runner->waits == WAITS_NOT)
        ready_drop(runner);
    else if (runner->waits == WAITS_LOCK)
        baton->lock_waiters--;
    live_drop(runner);
    runner->waits = WAITS_NO_MORE;
    runner->deadline_us = NEVER;
    baton->dead_count++;
}

static struct visit *visit_of(struct runner *runner) { return &runner->visits[runner->depth]; }

/* A thread whose home was killed ends, with its stack as it is; one that visits leaves. */
static void leave_if_killed(struct runner *self)
{
    const struct visit *visit = visit_of(self);
    if (!visit->killed)
        return;
    if (visit->escape)
        longjmp(*visit->escape, 1);
    ASSERT(self->depth == 0);
    bury(self);
    fiber_leave(self->fiber, choose()->fiber);
}

static void begin_visit(struct runner *self, int process, jmp_buf *escape)
{
    ASSERT(self->depth + 1 < VISITS_MAX && !visit_of(self)->killed);
    self->depth++;
    *visit_of(self) = (struct visit){ .process = process, .escape = escape };
}

/* True if it was killed meanwhile. */
static bool end_visit(struct runner *self)
{
    bool was_killed = visit_of(self)->killed;
    self->depth--;
    leave_if_killed(self);
    return was_killed;
}

bool baton_inside(int process, void (*run)(void *subject), void *subject)
{
    ASSERT(process != BATON_OUTSIDE);
    jmp_buf escape;
    begin_visit(runner_in_hand(), process, &escape);
    if (setjmp(escape) == 0)
        run(subject);
    return !end_visit(runner_in_hand());
}

void baton_outside(void (*run)(void *subject), void *subject)
{
    struct runner *self = runner_in_hand();
    begin_visit(self, BATON_OUTSIDE, NULL);
    run(subject);
    (void)end_visit(self);
}

int baton_process(void) { return baton && me ? visit_of(me)->process : BATON_OUTSIDE; }

static void kill_of(struct runner *runner, int process)
{
    for (int i = 0; i <= runner->depth; i++)
        if (runner->visits[i].process == process)
            runner->visits[i].killed = true;
}

void baton_kill(int process)
{
    struct runner *self = runner_in_hand();
    ASSERT(process != BATON_OUTSIDE);
    for (int i = baton->live_count - 1; i >= 0; i--) {
        struct runner *runner = baton->live[i];
        bool was_killed = visit_of(runner)->killed;
        kill_of(runner, process);
        if (runner == self || was_killed || !visit_of(runner)->killed)
            continue;
        if (!visit_of(runner)->escape)
            bury(runner);
        else if (runner->waits != WAITS_NOT)
            ready_add(runner);
    }
    /* Who had ended by itself: the thread that was going to join it is no more. */
    for (struct runner *runner = baton->all; runner; runner = runner->next)
        if (runner->waits == WAITS_NO_MORE)
            kill_of(runner, process);
    leave_if_killed(self);
}

bool baton_has_killed(void) { return baton && baton->dead_count > 0; }

/* Lets anyone who can run go on; that may be the caller. */
static void switch_any(struct runner *self)
{
    struct runner *next = choose();
    if (next == self)
        return;
    fiber_switch(self->fiber, next->fiber);
    leave_if_killed(self);
}

static void give_up(void)
{
    void (*exceeded)(void *subject) = baton->exceeded;
    baton->exceeded = NULL; /* what it looks at may take steps */
    exceeded(baton->exceeded_subject);
}

static void step(struct runner *self, enum point point)
{
    baton->now_us++;
    baton->trace[baton->steps++ % BATON_TRACE_MAX] =
        (struct step){ .runner = self, .point = point, .now_us = baton->now_us };

    uint64_t who_and_what = (uint64_t)self->index << 8 | (uint64_t)point;
    baton->hash = mix(baton->hash ^ who_and_what) + (uint64_t)baton->now_us;
    if (baton->deadline_next_us <= baton->now_us)
        ready_due();
    if (baton->exceeded && (baton->steps > baton->steps_max || baton->now_us > baton->now_us_max))
        give_up();
}

/* A step at which the caller could go on, and mostly does. */
static void step_may_switch(struct runner *self, enum point point)
{
    step(self, point);
    if (chance(baton->preempt_one_in))
        switch_any(self);
}

/* Goes on when another has readied it, or at the deadline: then false. */
static bool block(struct runner *self, enum waits waits, const void *on, int64_t deadline_us)
{
    ready_drop(self);
    self->waits = waits;
    self->waits_on = on;
    self->since_us = baton->now_us;
    self->deadline_us = deadline_us;
    self->timed_out = false;
    if (waits == WAITS_LOCK)
        baton->lock_waiters++;
    if (deadline_us < baton->deadline_next_us)
        baton->deadline_next_us = deadline_us;
    switch_any(self);
    return !self->timed_out;
}

/* ---- Locks and conditions ---- */

static void baton_lock_init(struct lock *lock)
{
    (void)runner_in_hand();
    lock->holder = NULL;
}

static void baton_lock_done(struct lock *lock)
{
    (void)runner_in_hand();
    ASSERT(lock->holder == NULL);
    ASSERT(waiting_count(WAITS_LOCK, lock) == 0);
    lock->holder = &destroyed;
}

static void hold(struct runner *self, struct lock *lock)
{
    while (lock->holder) {
        ASSERT(lock->holder != &destroyed);
        (void)block(self, WAITS_LOCK, lock, NEVER);
    }
    lock->holder = self;
}

static void release(struct runner *self, struct lock *lock)
{
    ASSERT(lock->holder == self);
    lock->holder = NULL;
    if (baton->lock_waiters > 0)
        ready_one(WAITS_LOCK, lock);
}

static void baton_lock_take(struct lock *lock)
{
    struct runner *self = runner_in_hand();
    ASSERT(lock->holder != self);
    step_may_switch(self, POINT_TAKE);
    hold(self, lock);
}

static void baton_lock_drop(struct lock *lock)
{
    struct runner *self = runner_in_hand();
    release(self, lock);
    step_may_switch(self, POINT_DROP);
}

static void baton_cond_init(struct cond *cond)
{
    (void)runner_in_hand();
    cond->sim_id = ++baton->conds_made;
}

static void baton_cond_done(struct cond *cond)
{
    (void)runner_in_hand();
    ASSERT(cond->sim_id != 0);
    ASSERT(waiting_count(WAITS_COND, cond) == 0);
    cond->sim_id = 0;
}

static bool baton_cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_us)
{
    struct runner *self = runner_in_hand();
    ASSERT(cond->sim_id != 0);

    release(self, lock);
    step(self, POINT_WAIT);
    bool woken = deadline_us > baton->now_us;
    if (!woken || chance(SPURIOUS_ONE_IN))
        switch_any(self);
    else
        woken = block(self, WAITS_COND, cond, deadline_us);
    hold(self, lock);
    return woken;
}

static void baton_cond_wait(struct cond *cond, struct lock *lock)
{
    (void)baton_cond_wait_until(cond, lock, NEVER);
}

static void baton_cond_wake_one(struct cond *cond)
{
    struct runner *self = runner_in_hand();
    ASSERT(cond->sim_id != 0);
    ready_one(WAITS_COND, cond);
    step_may_switch(self, POINT_WAKE);
}

static void baton_cond_wake_all(struct cond *cond)
{
    struct runner *self = runner_in_hand();
    ASSERT(cond->sim_id != 0);
    ready_all(WAITS_COND, cond);
    step_may_switch(self, POINT_WAKE);
}

/* ---- Threads and time ---- */

static struct runner *runner_make(const char *name)
{
    struct runner *runner = calloc(1, sizeof(*runner));
    ASSERT(runner);
    runner->run_of = baton;
    if (me && me->run_of == baton)
        runner->visits[0].process = visit_of(me)->process;
    runner->index = baton->runners_made++;
    (void)snprintf(runner->name, sizeof(runner->name), "%s", name);
    runner->next = baton->all;
    baton->all = runner;
    live_add(runner);
    ready_add(runner);
    return runner;
}

static void runner_main(void *subject)
{
    struct runner *self = me = subject;

    self->run(self->subject);
    step(self, POINT_END);
    ready_drop(self);
    live_drop(self);
    self->waits = WAITS_NO_MORE;
    ready_all(WAITS_JOIN, self);
    fiber_leave(self->fiber, choose()->fiber);
}

static struct thread *baton_thread_start(const char *name, void (*run)(void *), void *subject)
{
    struct runner *self = runner_in_hand(), *runner = runner_make(name);
    runner->run = run;
    runner->subject = subject;
    runner->fiber = fiber_make(&runner_main, runner, STACK_BYTES);
    step_may_switch(self, POINT_START);
    return (struct thread *)(void *)runner;
}

static void baton_thread_join(struct thread *thread)
{
    struct runner *self = runner_in_hand(), *runner = (void *)thread;
    ASSERT(runner != self && !runner->is_joined);

    step_may_switch(self, POINT_JOIN);
    while (runner->waits != WAITS_NO_MORE)
        (void)block(self, WAITS_JOIN, runner, NEVER);
    fiber_free(runner->fiber);
    runner->fiber = NULL;
    runner->is_joined = true;
}

static void baton_sleep_until(int64_t deadline_us)
{
    struct runner *self = runner_in_hand();
    step(self, POINT_SLEEP);
    if (deadline_us <= baton->now_us)
        switch_any(self);
    else
        (void)block(self, WAITS_SLEEP, NULL, deadline_us);
}

static void baton_yield(void)
{
    struct runner *self = runner_in_hand();
    step(self, POINT_YIELD);
    switch_any(self);
}

static int64_t baton_mono_us(void)
{
    (void)runner_in_hand();
    return ++baton->now_us;
}

/* Of a thread by its place in the order of their start. */
static int64_t drift_of(const struct runner *runner)
{
    if (baton->drift_us_max == 0 || runner->visits[runner->depth].process == BATON_OUTSIDE)
        return 0;
    uint64_t number = mix(baton->seed ^ mix((uint64_t)runner->index + 1));
    return (int64_t)(number % (uint64_t)(2 * baton->drift_us_max)) - baton->drift_us_max;
}

static time_us baton_wall_us(void)
{
    int64_t since_us = baton_mono_us() - MONO_START_US;
    return WALL_EPOCH_US + since_us + baton->wall_jumped_us + drift_of(me);
}

static void baton_bytes(void *out, size_t count)
{
    (void)runner_in_hand();
    for (unsigned char *at = out; count > 0;) {
        uint64_t word = stream_next(&baton->bytes);
        size_t part = count < sizeof(word) ? count : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        count -= part;
    }
}

static const struct sync_ops baton_sync = {
    .lock_init = &baton_lock_init,
    .lock_done = &baton_lock_done,
    .lock_take = &baton_lock_take,
    .lock_drop = &baton_lock_drop,
    .cond_init = &baton_cond_init,
    .cond_done = &baton_cond_done,
    .cond_wait = &baton_cond_wait,
    .cond_wait_until = &baton_cond_wait_until,
    .cond_wake_one = &baton_cond_wake_one,
    .cond_wake_all = &baton_cond_wake_all,
    .thread_start = &baton_thread_start,
    .thread_join = &baton_thread_join,
    .sleep_until = &baton_sleep_until,
    .yield = &baton_yield,
};
static const struct clock_ops baton_clock = {
    .mono_us = &baton_mono_us,
    .wall_us = &baton_wall_us,
};
static const struct random_ops baton_random_ops = { .bytes = &baton_bytes };

/* ---- What a test calls ---- */

void baton_start(uint64_t seed)
{
    bool abandoned = baton != NULL;

    baton = calloc(1, sizeof(*baton));
    ASSERT(baton);
    baton->seed = seed;
    baton->schedule = stream_of(mix(seed) ^ 1);
    baton->test = stream_of(mix(seed) ^ 2);
    baton->bytes = stream_of(mix(seed) ^ 3);
    baton->preempt_one_in = UINT64_C(2) << stream_next(&baton->schedule) % 6;
    baton->now_us = MONO_START_US;
    baton->deadline_next_us = NEVER;
    me = NULL;
    struct runner *runner = runner_make("main");
    runner->fiber = fiber_of_caller();
    runner->is_main = true;
    me = runner;

    sync_use(&baton_sync);
    clock_use(&baton_clock);
    random_use(&baton_random_ops);
    if (!abandoned) {
        struct sigaction action = { .sa_handler = &on_abort };
        sigaction(SIGABRT, &action, &abort_before);
    }
}

static void runners_free(void)
{
    for (struct runner *runner = baton->all, *next; runner; runner = next) {
        next = runner->next;
        bool was_killed = runner->visits[0].killed;
        ASSERT(runner->is_main || runner->is_joined || was_killed); /* else it was not joined */
        fiber_free(runner->fiber);
        free(runner);
    }
}

void baton_stop(void)
{
    (void)runner_in_hand();
    for (int i = 0; baton->live_count > 1 && i < baton->live_count; i++)
        report_wait(2, baton->live[i]);
    ASSERT(baton->live_count == 1);

    sync_use(&sync_machine);
    clock_use(&clock_machine);
    random_use(&random_machine);
    sigaction(SIGABRT, &abort_before, NULL);
    stopped_steps = baton->steps;
    stopped_hash = baton->hash;
    runners_free();
    free(baton);
    baton = NULL;
    me = NULL;
}

void baton_bound(uint64_t steps_max, int64_t virtual_us_max, void (*exceeded)(void *subject),
                 void *subject)
{
    (void)runner_in_hand();
    ASSERT(exceeded);
    baton->steps_max = steps_max;
    baton->now_us_max = MONO_START_US + virtual_us_max;
    baton->exceeded = exceeded;
    baton->exceeded_subject = subject;
}

void baton_wall_jump(int64_t us)
{
    (void)runner_in_hand();
    baton->wall_jumped_us += us;
}

void baton_wall_drift(int64_t us_max)
{
    (void)runner_in_hand();
    baton->drift_us_max = us_max;
}

uint64_t baton_random(void)
{
    (void)runner_in_hand();
    return stream_next(&baton->test);
}

uint64_t baton_trace_hash(void) { return baton ? baton->hash : stopped_hash; }

uint64_t baton_steps(void) { return baton ? baton->steps : stopped_steps; }

void baton_trace_last(int n)
{
    ASSERT(baton && n >= 0);

    uint64_t kept = baton->steps < BATON_TRACE_MAX ? baton->steps : BATON_TRACE_MAX;
    uint64_t count = (uint64_t)n < kept ? (uint64_t)n : kept;
    dprintf(2, "baton: seed %" PRIu64 ", the last %" PRIu64 " of %" PRIu64 " steps:\n", baton->seed,
            count, baton->steps);
    for (uint64_t at = baton->steps - count; at < baton->steps; at++) {
        const struct step *kept_step = &baton->trace[at % BATON_TRACE_MAX];
        dprintf(2, "  %8" PRIu64 "  %6" PRId64 ".%06" PRId64 " s  %-15s %s\n", at,
                kept_step->now_us / 1000000, kept_step->now_us % 1000000, kept_step->runner->name,
                point_names[kept_step->point]);
    }
}
