#include "os/loop_uv.h"

#include "os/clock.h"
#include "os/sync.h"

#include <signal.h>
#include <stdlib.h>

/* A turn costs some 20 us whomever it finds: it asks the kernel, writes the log, writes to each
 * service and reads from it, once for all who talk. Where these are a few of many, that is much for
 * each; so after such a turn more may gather. Who talks alone does not wait, where many talk at
 * once there is no need to, and where rests bring no more than this they end for a while. */
enum {
    REST_US = 100,
    REST_HEARD_MIN = 4,
    REST_HEARD_MAX = 32,
    REST_WORTH = 20,     /* heard behind it */
    REST_VAIN_MAX = 4,   /* in a row */
    REST_NOT_TURNS = 256 /* after which it is tried again */
};

struct loop_timer {
    uv_timer_t uv;
    void (*run)(void *subject);
    void *subject;
};

static _Thread_local const struct loop *loop_here;

/* Takes all that was posted, oldest first. */
static struct loop_task *posted_take(struct loop *loop)
{
    struct loop_task *newest = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQUIRE);
    struct loop_task *oldest = NULL;

    while (newest) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void posted_run(struct loop *loop)
{
    for (struct loop_task *task = posted_take(loop), *next; task; task = next) {
        next = task->next; /* before it runs, for then it may be gone */
        task->run(task);
    }
}

static void later_run(struct loop *loop)
{
    while (loop->later) {
        struct loop_task *task = loop->later;
        loop->later = task->next;
        task->run(task); /* may add another */
    }
}

static void rest(struct loop *loop)
{
    int64_t from_us = clock_mono_us();

    sleep_until(from_us + REST_US);
    __atomic_fetch_add(&loop->rested_us, clock_mono_us() - from_us, __ATOMIC_RELAXED);
}

/* Tells whether to rest behind a turn in which so many were heard. */
static bool is_to_rest(struct loop *loop, int heard)
{
    if (!loop->may_rest)
        return false;
    if (loop->has_rested)
        loop->rests_in_vain = heard < REST_WORTH ? loop->rests_in_vain + 1 : 0;
    if (loop->rests_in_vain == REST_VAIN_MAX) {
        loop->rests_in_vain = 0;
        loop->no_rest_turns = REST_NOT_TURNS;
    }
    if (loop->no_rest_turns > 0) {
        loop->no_rest_turns--;
        return false;
    }
    return heard >= REST_HEARD_MIN && heard <= REST_HEARD_MAX;
}

static void on_turn_end(uv_check_t *check)
{
    struct loop *loop = check->data;
    int heard = loop->heard;

    later_run(loop);
    (void)uv_idle_stop(&loop->no_sleep);
    loop->heard = 0;
    loop->has_rested = is_to_rest(loop, heard);
    if (loop->has_rested)
        rest(loop);
}

static void on_idle(uv_idle_t *idle) { (void)idle; }

void loop_later(struct loop *loop, struct loop_task *task)
{
    ASSERT(loop && task && task->run);

    task->next = NULL;
    if (loop->later) {
        loop->later_last->next = task;
    } else {
        loop->later = task;
        (void)uv_idle_start(&loop->no_sleep, &on_idle);
    }
    loop->later_last = task;
}

static void on_wake(uv_async_t *wake) { posted_run(wake->data); }

static void on_stop(struct loop_task *task)
{
    struct loop *loop = (struct loop *)((char *)task - offsetof(struct loop, stop));
    __atomic_store_n(&loop->stopping, false, __ATOMIC_RELEASE);
    uv_stop(&loop->uv);
}

struct loop *loop_open(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    ASSERT(loop);
    loop->read_buffer = malloc(LOOP_READ_BYTES);
    ASSERT(loop->read_buffer);

    int rc = uv_loop_init(&loop->uv);
    ASSERT(rc == 0);
    rc = uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    ASSERT(rc == 0);
    rc = uv_async_init(&loop->uv, &loop->wake, &on_wake);
    ASSERT(rc == 0);
    rc = uv_check_init(&loop->uv, &loop->turn_end);
    ASSERT(rc == 0);
    rc = uv_idle_init(&loop->uv, &loop->no_sleep);
    ASSERT(rc == 0);
    loop->wake.data = loop->turn_end.data = loop;
    (void)uv_check_start(&loop->turn_end, &on_turn_end);
    loop->stop.run = &on_stop;
    (void)signal(SIGPIPE, SIG_IGN);
    return loop;
}

void loop_run(struct loop *loop)
{
    ASSERT(loop);
    ASSERT(!loop_here);

    loop_here = loop;
    __atomic_store_n(&loop->since_us, clock_mono_us(), __ATOMIC_RELAXED);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop_here = NULL;
}

int64_t loop_busy_us(struct loop *loop)
{
    enum { NS_A_US = 1000 };
    ASSERT(loop);
    int64_t since_us = __atomic_load_n(&loop->since_us, __ATOMIC_RELAXED);
    if (since_us == 0)
        return 0;
    int64_t waited_us = (int64_t)(uv_metrics_idle_time(&loop->uv) / NS_A_US) +
                        __atomic_load_n(&loop->rested_us, __ATOMIC_RELAXED);
    int64_t busy_us = clock_mono_us() - since_us - waited_us;
    return busy_us > 0 ? busy_us : 0;
}

void loop_let_rest(struct loop *loop)
{
    ASSERT(loop);
    loop->may_rest = true;
}

void loop_stop(struct loop *loop)
{
    ASSERT(loop);

    if (!__atomic_exchange_n(&loop->stopping, true, __ATOMIC_ACQ_REL))
        loop_post(loop, &loop->stop);
}

void loop_close(struct loop *loop)
{
    if (!loop)
        return;

    ASSERT(!loop_here);
    loop_here = loop; /* what was posted belongs to the loop, and this thread stands in for it */
    while (loop->later ||
           __atomic_load_n(&loop->posted, __ATOMIC_RELAXED)) { /* they may post more */
        posted_run(loop);
        later_run(loop);
    }
    while (loop->lookups_count > 0) /* the resolver's threads hold what they work on */
        (void)uv_run(&loop->uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&loop->turn_end, NULL);
    uv_close((uv_handle_t *)&loop->no_sleep, NULL);
    for (int i = 0; i < loop->signals_count; i++)
        uv_close((uv_handle_t *)&loop->signals[i].uv, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* a stop that nobody heard yet ends one turn early */
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop_here = NULL;

    int rc = uv_loop_close(&loop->uv);
    ASSERT(rc == 0 && "somebody left a timer, a listener or a connection open");
    free(loop->read_buffer);
    free(loop->plain_buffer);
    free(loop);
}

bool loop_is_here(const struct loop *loop)
{
    ASSERT(loop);
    return loop_here == loop;
}

int64_t loop_now_ms(const struct loop *loop)
{
    ASSERT(loop);
    return (int64_t)uv_now(&loop->uv);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    ASSERT(loop);
    ASSERT(task && task->run);

    struct loop_task *head = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);
    do {
        task->next = head;
    } while (!__atomic_compare_exchange_n(&loop->posted, &head, task, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));

    /* Who found the stack empty wakes the loop, which takes the stack whole: one wake-up a batch.
     */
    if (!head) {
        int rc = uv_async_send(&loop->wake);
        ASSERT(rc == 0);
    }
}

/* ---- Timers ---- */

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *timer = uv->data;
    timer->run(timer->subject);
}

static void on_timer_closed(uv_handle_t *uv) { free(uv->data); }

struct loop_timer *loop_timer_open(struct loop *loop, void (*run)(void *subject), void *subject)
{
    ASSERT(loop);
    ASSERT(run);

    struct loop_timer *timer = calloc(1, sizeof(*timer));
    ASSERT(timer);
    int rc = uv_timer_init(&loop->uv, &timer->uv);
    ASSERT(rc == 0);
    timer->uv.data = timer;
    timer->run = run;
    timer->subject = subject;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint32_t delay_ms, uint32_t repeat_ms)
{
    ASSERT(timer);
    int rc = uv_timer_start(&timer->uv, &on_timer, delay_ms, repeat_ms);
    ASSERT(rc == 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    ASSERT(timer);
    (void)uv_timer_stop(&timer->uv);
}

void loop_timer_close(struct loop_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, &on_timer_closed);
}

/* ---- Signals ---- */

static void on_signal(uv_signal_t *uv, int number)
{
    struct loop_signal *signal = uv->data;
    (void)number;
    signal->run(signal->subject);
}

void loop_on_signal(struct loop *loop, int signal, void (*run)(void *subject), void *subject)
{
    ASSERT(loop);
    ASSERT(run);
    ASSERT(loop->signals_count < LOOP_SIGNALS_MAX);

    struct loop_signal *slot = &loop->signals[loop->signals_count++];
    *slot = (struct loop_signal){ .run = run, .subject = subject };
    int rc = uv_signal_init(&loop->uv, &slot->uv);
    ASSERT(rc == 0);
    slot->uv.data = slot;
    rc = uv_signal_start(&slot->uv, &on_signal, signal);
    ASSERT(rc == 0);
}
