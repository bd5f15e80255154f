/* What Orders does by itself: the calls to payment providers, the end of holds, callbacks, money
 * without an order. */
#include "chassis/request.h"
#include "os/clock.h"
#include "os/sync.h"
#include "services/orders/inside.h"

enum {
    LANES_MAX = 64,
    GIVEN_MAX = 1024,
    DUE_A_TICK = 512,
    EXPIRED_A_TICK = 100,
    LISTED_A_TICK = 200,
    TRIES_A_MOVE = 5,
    CALLBACK_ARENA_BYTES = 1024 * 1024,
};
static const int64_t backoff_us_min = 250 * 1000, backoff_us_max = 60 * 1000000;
static const int64_t orphan_age_us = 60 * INT64_C(1000000);
static const int64_t events_kept_us = 30 * 86400 * INT64_C(1000000);

/* ---- the lanes: few threads that call providers, fed with orders whose job is due ---- */

/* Orders that were given and are not done, in a table by id: an order is in one lane at a time. */
struct given {
    struct uuid order; /* nil: free */
    bool taken, again; /* again: given once more while a lane has it */
    int64_t turn;
};

struct lanes {
    struct orders *self;
    struct lock lock;
    struct cond wake;
    struct thread *threads[LANES_MAX];
    int threads_count;
    struct given given[GIVEN_MAX];
    int given_count, waiting;
    int64_t turns;
    bool stopping;
};

struct lanes *lanes_open(struct orders *self)
{
    struct lanes *lanes = arena_new(self->arena, struct lanes);
    lanes->self = self;
    lock_init(&lanes->lock);
    cond_init(&lanes->wake);
    return lanes;
}

void lanes_close(struct lanes *lanes)
{
    if (!lanes)
        return;
    ASSERT(lanes->threads_count == 0);
    cond_done(&lanes->wake);
    lock_done(&lanes->lock);
}

static struct given *given_find(struct lanes *lanes, struct uuid order, struct given **free)
{
    *free = NULL;
    for (int i = 0; i < GIVEN_MAX; i++) {
        struct given *given = &lanes->given[i];
        if (uuid_is_nil(given->order)) {
            if (!*free)
                *free = given;
        } else if (uuid_equal(given->order, order))
            return given;
    }
    return NULL;
}

void lanes_give(struct lanes *lanes, struct uuid order)
{
    struct given *room;
    lock_take(&lanes->lock);
    struct given *given = given_find(lanes, order, &room);
    if (given)
        given->again = given->taken;
    else if (room) { /* where there is none, the timer gives it later from the table of jobs */
        *room = (struct given){ .order = order, .turn = ++lanes->turns };
        lanes->given_count++;
        lanes->waiting++;
        cond_wake_one(&lanes->wake);
    }
    lock_drop(&lanes->lock);
}

/* The one that has waited longest. */
static struct given *take_given(struct lanes *lanes)
{
    struct given *first = NULL;
    for (int i = 0; lanes->waiting > 0 && i < GIVEN_MAX; i++) {
        struct given *given = &lanes->given[i];
        if (!uuid_is_nil(given->order) && !given->taken && (!first || given->turn < first->turn))
            first = given;
    }
    if (first) {
        first->taken = true;
        lanes->waiting--;
    }
    return first;
}

static void done_given(struct lanes *lanes, struct given *given)
{
    given->taken = false;
    if (given->again) {
        given->again = false;
        given->turn = ++lanes->turns;
        lanes->waiting++;
    } else {
        given->order = (struct uuid){ { 0 } };
        lanes->given_count--;
    }
}

/* ---- one payment job ---- */

static enum payment_known ask_provider(struct orders *self, struct call *call, enum payment_job job,
                                       const struct order *order)
{
    const struct provider *provider = orders_provider(self, order->provider);
    struct payment payment = { .id = order->id,
                               .amount = order->total,
                               .token = order->payment_token };
    ASSERT(provider);
    switch (job) {
    case JOB_AUTHORIZE:
        return provider->authorize(provider->self, call->arena, &payment, self->payment_timeout_us);
    case JOB_CAPTURE:
        return provider->capture(provider->self, call->arena, &payment, self->payment_timeout_us);
    case JOB_VOID:
        return provider->void_(provider->self, call->arena, &payment, self->payment_timeout_us);
    case JOB_REFUND:
        return provider->refund(provider->self, call->arena, &payment, self->payment_timeout_us);
    case JOB_NONE: break;
    }
    ASSERT(false);
    return KNOWN_UNKNOWN;
}

/* Saves what was learned. Others may move the order meanwhile: then it is read again. */
static err save_known(struct orders *self, struct call *call, struct uuid id,
                      enum payment_known known, bool *moved)
{
    for (int i = 0; i < TRIES_A_MOVE; i++) {
        struct order_save *save = arena_new(call->arena, struct order_save);
        TRY(orders_load(self, call, id, save));
        TRY(order_learn_payment(call->arena, &save->order, known,
                                (struct actor){ .kind = ACTOR_PROVIDER }));
        call_read_end(call);
        *moved = save->order.steps_count > 0;
        if (!*moved)
            return OK;
        call->write = NULL;
        TRY(orders_hand_over(self, call, save, store_save_orders));
        err error = job_write(call, call->write);
        if (!err_is(error, VERSION_CONFLICT))
            return error;
    }
    return fail(call->arena, VERSION_CONFLICT, "the order is changed again and again");
}

static err postpone(struct call *call, struct uuid order, enum payment_job kind, int32_t tries)
{
    int64_t wait_us = backoff_us_min << (tries < 10 ? tries : 10);
    struct job_postponement *subject = arena_new(call->arena, struct job_postponement);
    *subject = (struct job_postponement){
        .order = order,
        .kind = kind,
        .due_at = clock_wall_us() + (wait_us < backoff_us_max ? wait_us : backoff_us_max)
    };
    return job_write(call, write_new(call->arena, store_postpone_jobs, subject));
}

static err run_payment(struct orders *self, struct call *call, struct uuid id)
{
    struct order_save before;
    struct db_reader *reader;
    struct due_job job;
    bool due, moved;
    TRY(orders_load(self, call, id, &before));
    TRY(call_reader(call, &reader));
    TRY(store_find_job(reader, call->arena, id, &job, &due));
    call_read_end(call);
    if (!due || before.job_was != job.kind)
        return OK; /* done meanwhile */
    enum payment_known known = ask_provider(self, call, job.kind, &before.order);
    TRY(save_known(self, call, id, known, &moved));
    if (known == KNOWN_UNKNOWN || !moved)
        TRY(postpone(call, id, job.kind, job.tries));
    return OK;
}

static void lane_run(void *subject)
{
    struct lanes *lanes = subject;
    struct call *call = service_job_open(lanes->self->service, "payment");
    lock_take(&lanes->lock);
    while (!lanes->stopping) {
        struct given *given = take_given(lanes);
        if (!given) {
            cond_wait(&lanes->wake, &lanes->lock);
            continue;
        }
        struct uuid order = given->order;
        lock_drop(&lanes->lock);
        service_job_reset(call);
        err error = run_payment(lanes->self, call, order);
        if (error != OK) /* the job stays in its table and comes again */
            LOG(LOG_WARN, "payment.failed", LOG_TEXT("order_id", uuid_text(call->arena, order)),
                LOG_TEXT("error", err_describe(call->arena, error)));
        lock_take(&lanes->lock);
        done_given(lanes, given);
    }
    lock_drop(&lanes->lock);
    service_job_close(call);
}

void lanes_start(struct lanes *lanes, int count)
{
    ASSERT(count >= 1 && count <= LANES_MAX);
    for (int i = 0; i < count; i++)
        lanes->threads[lanes->threads_count++] = thread_start("payments", lane_run, lanes);
}

void lanes_stop(struct lanes *lanes)
{
    lock_take(&lanes->lock);
    lanes->stopping = true;
    cond_wake_all(&lanes->wake);
    lock_drop(&lanes->lock);
    for (int i = 0; i < lanes->threads_count; i++)
        thread_join(lanes->threads[i]);
    lanes->threads_count = 0;
}

/* ---- timers ---- */

/* Jobs that wait for another try, that were left by a crash, or that found no room. */
err orders_give_due_payments(void *subject, struct call *call)
{
    struct orders *self = subject;
    struct db_reader *reader;
    struct due_job *jobs;
    size_t count;
    TRY(call_reader(call, &reader));
    TRY(store_find_due_jobs(reader, call->arena, call->now, DUE_A_TICK, &jobs, &count));
    for (size_t i = 0; i < count; i++)
        lanes_give(self->lanes, jobs[i].order);
    return OK;
}

static err expire(struct orders *self, struct call *call, struct uuid id)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    TRY(orders_load(self, call, id, save));
    TRY(order_expire(call->arena, &save->order, call->now));
    call_read_end(call);
    if (save->order.steps_count == 0)
        return OK;
    call->write = NULL;
    TRY(orders_hand_over(self, call, save, store_save_orders));
    err error = job_write(call, call->write);
    return err_is(error, VERSION_CONFLICT)
               ? OK
               : error; /* somebody moved it: looked at again at the next tick */
}

err orders_expire_holds(void *subject, struct call *call)
{
    struct db_reader *reader;
    struct uuid *ids;
    size_t count;
    TRY(call_reader(call, &reader));
    TRY(store_find_expired(reader, call->arena, call->now, EXPIRED_A_TICK, &ids, &count));
    for (size_t i = 0; i < count; i++)
        TRY(expire(subject, call, ids[i]));
    return OK;
}

/* A provider in this process sends its callbacks through the same door as one outside. */
static void callback_answered(struct request *request) { arena_close(request->arena); }

static void send_callback(void *subject, str payload, str signature)
{
    struct orders *self = subject;
    struct arena *arena = arena_open(CALLBACK_ARENA_BYTES);
    struct request *request = arena_new(arena, struct request);
    struct header *headers = arena_array(arena, struct header, 2);
    headers[0] = (struct header){ .name = STR("content-type"), .value = STR("application/json") };
    headers[1] =
        (struct header){ .name = STR("simulator-signature"), .value = str_copy(arena, signature) };
    *request = (struct request){ .arena = arena,
                                 .method = HTTP_POST,
                                 .method_text = STR("POST"),
                                 .path = STR("/orders/payments/simulator/events"),
                                 .headers = headers,
                                 .headers_count = 2,
                                 .body = str_copy(arena, payload),
                                 .peer_address = STR("simulator"),
                                 .received_us = clock_mono_us(),
                                 .respond = callback_answered };
    request_identify(request);
    service_handle(self->service, request);
}

err orders_send_callbacks(void *subject, struct call *call)
{
    struct orders *self = subject;
    for (int i = 0; i < self->providers_count; i++) {
        const struct provider *provider = &self->providers[i];
        if (provider->tick)
            TRY(provider->tick(provider->self, call->arena, call->now, send_callback, self));
    }
    return OK;
}

/* ---- money without an order ---- */

static err give_back(struct orders *self, struct call *call, const struct provider *provider,
                     const struct payment_listed *listed)
{
    struct payment payment = { .id = listed->id };
    enum payment_known known =
        listed->known == KNOWN_CAPTURED
            ? provider->refund(provider->self, call->arena, &payment, self->payment_timeout_us)
            : provider->void_(provider->self, call->arena, &payment, self->payment_timeout_us);
    LOG(LOG_WARN, "payment.orphan", LOG_TEXT("payment_id", uuid_text(call->arena, listed->id)),
        LOG_TEXT("provider", str_of_z(provider->name)), LOG_NUMBER("known", known));
    return OK;
}

static err sweep_provider(struct orders *self, struct call *call, const struct provider *provider)
{
    struct payment_listed *listed;
    size_t count;
    TRY(provider->list(provider->self, call->arena, self->swept_to, LISTED_A_TICK, &listed,
                       &count));
    for (size_t i = 0; i < count && listed[i].at < call->now - orphan_age_us; i++) {
        struct order_save save;
        err error = orders_load(self, call, listed[i].id, &save);
        if (err_is(error, NOT_FOUND))
            TRY(give_back(self, call, provider, &listed[i]));
        else
            TRY(error);
        self->swept_to = listed[i].at;
    }
    return OK;
}

err orders_sweep_orphans(void *subject, struct call *call)
{
    struct orders *self = subject;
    for (int i = 0; i < self->providers_count; i++)
        TRY(sweep_provider(self, call, &self->providers[i]));
    return OK;
}

err orders_sweep_payment_events(void *subject, struct call *call)
{
    (void)subject;
    time_us *before = arena_new(call->arena, time_us);
    *before = call->now - events_kept_us;
    return job_write(call, write_new(call->arena, store_sweep_payment_events, before));
}
