/* A service's timers: one thread that runs its jobs in turn and watches the time of waiting calls.
 */
#include "chassis/hints.h"
#include "chassis/trace.h"
#include "os/clock.h"

#include <stdio.h>

enum { TIMERS_MAX = 16, WAITERS_TICK_US = 20000, LOOK_US = 1000000 };

struct timer {
    struct timers *timers;
    const char *name;
    int64_t interval_us, due_us;
    int64_t rests_to_us; /* 0: it does not rest */
    err (*run)(void *self, struct call *call);
    void *self;
};

struct timers {
    struct service *service;
    struct lock lock;
    struct cond wake;
    struct thread *thread;
    struct timer timers[TIMERS_MAX];
    int count;
    bool stopping, watching;
    int64_t look_us; /* the thread's */
    int64_t stirs;   /* atomic */
    bool resting;    /* some timer is; atomic */
};

struct timers *timers_open(struct service *service)
{
    struct timers *timers = arena_new(service->arena, struct timers);
    timers->service = service;
    lock_init(&timers->lock);
    cond_init(&timers->wake);
    return timers;
}

void timers_close(struct timers *timers)
{
    if (!timers)
        return;
    ASSERT(!timers->thread);
    cond_done(&timers->wake);
    lock_done(&timers->lock);
}

struct timer *timers_add(struct timers *timers, const char *name, uint32_t interval_ms,
                         err (*run)(void *self, struct call *call), void *self)
{
    ASSERT(timers->count < TIMERS_MAX && !timers->thread && interval_ms > 0);
    struct timer *timer = &timers->timers[timers->count++];
    *timer = (struct timer){ .timers = timers,
                             .name = name,
                             .interval_us = interval_ms * INT64_C(1000),
                             .run = run,
                             .self = self };
    return timer;
}

void timer_poke(struct timer *timer)
{
    struct timers *timers = timer->timers;
    lock_take(&timers->lock);
    timer->due_us = 0; /* before all that are due by their time */
    timer->rests_to_us = 0;
    cond_wake_one(&timers->wake);
    lock_drop(&timers->lock);
}

/* Ends every rest. With the lock held. */
static void wake_all(struct timers *timers)
{
    for (int i = 0; i < timers->count; i++)
        timers->timers[i].rests_to_us = 0;
    __atomic_store_n(&timers->resting, false, __ATOMIC_SEQ_CST);
}

void timers_stir(struct timers *timers)
{
    __atomic_add_fetch(&timers->stirs, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&timers->resting, __ATOMIC_SEQ_CST))
        return;
    lock_take(&timers->lock);
    wake_all(timers);
    cond_wake_one(&timers->wake);
    lock_drop(&timers->lock);
}

void job_rest(struct call *call, time_us until)
{
    ASSERT(call);
    call->rests_until_ = until;
}

/* Lies down, unless it was poked, or something was committed, since the job began. */
static void lie_down(struct timers *timers, struct timer *timer, int64_t rest_us, int64_t stirs)
{
    lock_take(&timers->lock);
    bool is_poked = timer->due_us == 0;
    timer->rests_to_us = is_poked ? 0 : clock_mono_us() + rest_us;
    __atomic_store_n(&timers->resting, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&timers->stirs, __ATOMIC_SEQ_CST) != stirs)
        wake_all(timers);
    lock_drop(&timers->lock);
}

void timers_watch_waiters(struct timers *timers)
{
    lock_take(&timers->lock);
    if (!timers->watching) {
        timers->watching = true;
        cond_wake_one(&timers->wake);
    }
    lock_drop(&timers->lock);
}

/* How long the job of the call lets its timer rest; 0: not at all. */
static int64_t rest_of(const struct call *call)
{
    /* What other replicas commit does not end our rests. */
    int64_t rest_max_ms = db_is_shared(call->service->db) ? TIMER_REST_SHARED_MS : TIMER_REST_MS;
    int64_t rest_max_us = rest_max_ms * INT64_C(1000);
    time_us now = clock_wall_us();
    if (call->rests_until_ <= now)
        return 0;
    return call->rests_until_ - now < rest_max_us ? call->rests_until_ - now : rest_max_us;
}

/* A timer begins from nothing and mostly finds nothing: only a run that failed or was slow leaves a
 * span, in a trace of its own. What it does for an order goes on in the order's. */
static void tell_run(const struct timer *timer, int64_t since_us, err error)
{
    enum { NAME_BYTES = 64 };
    static const uint8_t no_parent[SPAN_ID_BYTES];
    char name[NAME_BYTES];
    struct span span;
    struct trace_context context = trace_root();
    context.sampled = false;
    int len = snprintf(name, sizeof name, "timer %s", timer->name);
    span_begin_late(&span, &context, no_parent, SPAN_INTERNAL, service_name(timer->timers->service),
                    str_of(name, len < NAME_BYTES ? (size_t)len : (size_t)NAME_BYTES - 1), since_us,
                    error != OK);
    if (error != OK)
        span_fail(&span, err_word(error->code));
    span_end(&span);
}

static void run_timer(struct timers *timers, struct timer *timer)
{
    int64_t since_us = clock_mono_us();
    int64_t stirs = __atomic_load_n(&timers->stirs, __ATOMIC_SEQ_CST);
    struct call *call = service_job_open(timers->service, timer->name);
    err error = service_job_run(call, timer->name, timer->run, timer->self);
    /* A job leaves its work in its table: it is tried again at the next tick. */
    if (error != OK)
        LOG(LOG_WARN, "job.failed", LOG_TEXT("job", str_of_z(timer->name)),
            LOG_TEXT("error", err_describe(call->arena, error)));
    tell_run(timer, since_us, error);
    int64_t rest_us = error == OK ? rest_of(call) : 0;
    service_job_close(call);
    if (rest_us > 0)
        lie_down(timers, timer, rest_us, stirs);
}

static int64_t due_of(const struct timer *timer)
{
    return timer->rests_to_us > timer->due_us ? timer->rests_to_us : timer->due_us;
}

/* The timer that has been due for longest, or NULL; *next_us is when the next one will be. With the
 * lock held. */
static struct timer *take_due(struct timers *timers, int64_t now_us, int64_t *next_us)
{
    struct timer *first = NULL;
    for (int i = 0; i < timers->count; i++)
        if (!first || due_of(&timers->timers[i]) < due_of(first))
            first = &timers->timers[i];
    *next_us = first ? due_of(first) : INT64_MAX;
    if (*next_us > now_us)
        return NULL;
    first->due_us = now_us + first->interval_us;
    first->rests_to_us = 0;
    return first;
}

/* Who begins to wait while the lock is down says so again. */
static void watch_waiters(struct timers *timers, int64_t now_us)
{
    timers->watching = false;
    lock_drop(&timers->lock);
    dispatch_due(timers->service, now_us);
    if (now_us >= timers->look_us) { /* what replicas tell each other may be lost */
        hints_look(timers->service);
        timers->look_us = clock_mono_us() + LOOK_US;
    }
    int left = waiters_count(&timers->service->waiters);
    lock_take(&timers->lock);
    timers->watching = timers->watching || left > 0;
}

static void timers_run(void *subject)
{
    struct timers *timers = subject;
    int64_t waiters_us = 0;
    lock_take(&timers->lock);
    while (!timers->stopping) {
        int64_t now_us = clock_mono_us(), next_us;
        if (timers->watching && now_us >= waiters_us) {
            waiters_us = now_us + WAITERS_TICK_US;
            watch_waiters(timers, now_us);
            continue;
        }
        struct timer *timer = take_due(timers, now_us, &next_us);
        if (timer) {
            lock_drop(&timers->lock);
            run_timer(timers, timer);
            lock_take(&timers->lock);
            continue;
        }
        if (timers->watching && waiters_us < next_us)
            next_us = waiters_us;
        if (next_us == INT64_MAX)
            cond_wait(&timers->wake, &timers->lock);
        else
            cond_wait_until(&timers->wake, &timers->lock, next_us);
    }
    lock_drop(&timers->lock);
}

void timers_start(struct timers *timers)
{
    timers->thread = thread_start("timers", timers_run, timers);
}

void timers_stop(struct timers *timers)
{
    if (!timers->thread)
        return;
    lock_take(&timers->lock);
    timers->stopping = true;
    cond_wake_one(&timers->wake);
    lock_drop(&timers->lock);
    thread_join(timers->thread);
    timers->thread = NULL;
}
