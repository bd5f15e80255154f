/* What Orders does by itself: the calls to payment providers, the end of holds, callbacks, money
 * without an order. */
#include "base/planted.h"
#include "chassis/loopback.h"
#include "chassis/trace_call.h"
#include "services/orders/inside.h"

enum {
    DUE_A_TICK = 512,
    EXPIRED_A_TICK = 100,
    LISTED_PAGE = 1024, /* more than change in one moment, so that a page gets on */
    PAGES_A_TICK = 64,
    ERASURES_A_TICK = 20,
};
static const int64_t orphan_age_us = 60 * INT64_C(1000000);

/* ---- one payment job ---- */

/* In the call's arena, from the question to the answer. */
struct payment_run {
    struct orders *self;
    struct call *call;
    struct order_save *save;
    const struct provider *provider;
    void *ready; /* the question, where nobody waits for its answer */
    enum payment_known known;
    struct trace_place place;
    time_us asked_at;
};

/* The question to the provider, in the trace of its order; with the reason where money goes back.
 */
static void tell_payment(const struct payment_run *run)
{
    static const char *const names[] = { [JOB_NONE] = "payment",
                                         [JOB_AUTHORIZE] = "payment authorize",
                                         [JOB_CAPTURE] = "payment capture",
                                         [JOB_VOID] = "payment void",
                                         [JOB_REFUND] = "payment refund" };
    const struct order *order = &run->save->order;
    bool failed = run->known == KNOWN_UNKNOWN;
    if (!span_is_kept(&run->place.here, run->place.since_us, failed))
        return;
    struct span span;
    span_begin_late(&span, &run->place.here, run->place.parent_id, SPAN_CLIENT, "orders",
                    str_of_z(names[run->save->job_was]), run->place.since_us, failed);
    span_text(&span, "duka.order.id", uuid_text(run->call->arena, order->id));
    span_text(&span, "duka.order.status", str_of_z(order_status_word(order->status)));
    span_text(&span, "duka.payment.provider", str_of_z(run->provider->name));
    span_text(&span, "duka.payment.outcome", str_of_z(payment_known_word(run->known)));
    if (order_reason_of_shop(order).len > 0)
        span_text(&span, "duka.reason", order_reason_of_shop(order));
    if (failed)
        span_fail(&span, STR("payment.unknown"));
    span_end(&span);
}

static struct payment payment_of(const struct order *order)
{
    struct payment payment = { .id = order->id,
                               .amount = order->total,
                               .token = order->payment_token };
    if (PLANTED(double_capture) && order->payment == PAYMENT_UNKNOWN) /* a repeat is another call */
        payment.id.bytes[15] ^= 1;
    return payment;
}

static enum payment_known ask(const struct payment_run *run)
{
    const struct provider *provider = run->provider;
    struct arena *arena = run->call->arena;
    int64_t timeout_us = run->self->payment_timeout_us;
    struct payment payment = payment_of(&run->save->order);
    switch (run->save->job_was) {
    case JOB_AUTHORIZE: return provider->authorize(provider->self, arena, &payment, timeout_us);
    case JOB_CAPTURE: return provider->capture(provider->self, arena, &payment, timeout_us);
    case JOB_VOID: return provider->void_(provider->self, arena, &payment, timeout_us);
    case JOB_REFUND: return provider->refund(provider->self, arena, &payment, timeout_us);
    case JOB_NONE: break;
    }
    ASSERT(false);
    return KNOWN_UNKNOWN;
}

/* A capture or a void that is declined says nothing of the money: the provider is asked what the
 * payment is now. Where that too is declined, it holds nothing of the buyer's for us any more. (A
 * callback that says declined cannot decide this: it may be older than the authorization.) */
static enum payment_known look_closer(const struct payment_run *run)
{
    enum payment_job job = run->save->job_was;
    if (run->known != KNOWN_DECLINED || (job != JOB_CAPTURE && job != JOB_VOID))
        return run->known;
    lanes_away(run->call);
    enum payment_known known = run->provider->get(
        run->provider->self, run->call->arena, run->save->order.id, run->self->payment_timeout_us);
    lanes_back(run->call);
    return known == KNOWN_DECLINED ? KNOWN_VOIDED : known;
}

/* Saves what was learned on the order as it was read before the provider was asked. If others have
 * moved it meanwhile, the lane runs this again: a repeat of the call is the same call. */
static err learn(void *subject, struct call *call, void *state)
{
    struct orders *self = subject;
    const struct payment_run *run = state;
    struct order_save *save = run->save;
    enum payment_known known = look_closer(run);
    tell_payment(run);
    series_add(self->answered[run->provider - self->providers][known], 1);
    call->now = call_time(call); /* the provider may have taken its time */
    series_time(self->asked_time[run->provider - self->providers], call->now - run->asked_at);
    known = PLANTED(retry_endless) ? KNOWN_UNKNOWN : known;
    TRY(order_learn_payment(call->arena, &save->order, known,
                            (struct actor){ .kind = ACTOR_PROVIDER }));
    save->ask_again = known == KNOWN_UNKNOWN || save->order.steps_count == 0;
    return orders_hand_over(self, call, save, store_save_orders);
}

static void send(void *self, void *state)
{
    (void)self;
    const struct payment_run *run = state;
    run->provider->send(run->provider->self, run->ready);
}

static void take_answer(void *subject, enum payment_known known)
{
    struct payment_run *run = subject;
    run->known = known;
    lanes_return(run->call);
}

/* Whether the provider can be asked without waiting for it. */
static bool make_ready(struct payment_run *run)
{
    const struct provider *provider = run->provider;
    struct payment_question question = { .job = run->save->job_was,
                                         .payment = payment_of(&run->save->order),
                                         .answered = take_answer,
                                         .subject = run };
    run->ready =
        provider->ready ? provider->ready(provider->self, run->call->arena, &question) : NULL;
    return run->ready != NULL;
}

/* How long an order took until its money was asked for tells whether more can be let in: it was
 * with Products, and in the line before the lanes. What comes later is the provider's time. */
static void tell_reached(const struct payment_run *run)
{
    const struct order *order = &run->save->order;
    if (run->save->job_was == JOB_AUTHORIZE && order->payment == PAYMENT_PENDING)
        service_reached(run->self->service, run->asked_at - order->created_at);
}

err orders_run_payment(void *subject, struct call *call, struct uuid id)
{
    struct orders *self = subject;
    struct order_save *save = arena_new(call->arena, struct order_save);
    TRY(orders_load_recent(self, call, id, save));
    if (save->job_was == JOB_NONE)
        return OK; /* done meanwhile */

    struct payment_run *run = arena_new(call->arena, struct payment_run);
    *run = (struct payment_run){ .self = self,
                                 .call = call,
                                 .save = save,
                                 .provider = orders_provider(self, save->order.provider) };
    ASSERT(run->provider);
    run->asked_at = call_time(call);
    tell_reached(run);
    call->traceparent = trace_begin_part(&run->place, call->arena, save->order.traceparent);
    if (make_ready(run)) {
        lanes_leave(call, send, learn, run);
        return OK;
    }
    lanes_away(call);
    run->known = ask(run);
    lanes_back(call);
    return learn(self, call, run);
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
    time_us next;
    TRY(store_find_due_jobs(reader, call->arena, call->now, DUE_A_TICK, &jobs, &count));
    TRY(store_find_next_job(reader, call->arena, &next));
    job_rest(call, next);
    for (size_t i = 0; i < count; i++)
        lanes_offer(self->lanes, jobs[i].order);
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
    struct trace_place place;
    struct span span;
    call->traceparent = trace_begin_part(&place, call->arena, save->order.traceparent);
    TRY(orders_hand_over(self, call, save, store_save_orders));
    err error = job_write(call, call->write);
    span_begin_late(&span, &place.here, place.parent_id, SPAN_INTERNAL, "orders",
                    STR("expire hold"), place.since_us, false);
    span_text(&span, "duka.order.id", uuid_text(call->arena, id));
    span_text(&span, "duka.reason", order_reason_of_shop(&save->order));
    trace_tell_error(&span, error);
    span_end(&span);
    /* Somebody moved it: looked at again at the next tick. */
    return err_is(error, VERSION_CONFLICT) ? OK : error;
}

err orders_expire_holds(void *subject, struct call *call)
{
    struct db_reader *reader;
    struct uuid *ids;
    size_t count;
    TRY(call_reader(call, &reader));
    time_us next;
    TRY(store_find_expired(reader, call->arena, call->now, EXPIRED_A_TICK, &ids, &count));
    TRY(store_find_next_expiry(reader, call->arena, &next));
    struct uuid expired[EXPIRED_A_TICK]; /* each order begins with an empty arena */
    ASSERT(count <= EXPIRED_A_TICK);
    memcpy(expired, ids, count * sizeof expired[0]);
    for (size_t i = 0; i < count; i++) {
        service_job_reset(call);
        err error = expire(subject, call, expired[i]);
        if (error != OK) /* it hinders no other, and comes again at the next tick */
            LOG(LOG_WARN, "hold.failed", LOG_TEXT("order_id", uuid_text(call->arena, expired[i])),
                LOG_TEXT("error", err_describe(call->arena, error)));
    }
    job_rest(call, next);
    return OK;
}

/* A provider in this process sends its callbacks through the same door as one outside. */
static void send_callback(void *subject, str payload, str signature)
{
    struct orders *self = subject;
    struct header header = { STR("simulator-signature"), signature };
    loopback_post(self->service, STR("/orders/payments/simulator/events"), header, payload);
}

err orders_send_callbacks(void *subject, struct call *call)
{
    struct orders *self = subject;
    time_us first = INT64_MAX;
    for (int i = 0; i < self->providers_count; i++) {
        const struct provider *provider = &self->providers[i];
        time_us next = INT64_MAX;
        if (provider->tick)
            TRY(provider->tick(provider->self, call->arena, call->now, send_callback, self, &next));
        first = next < first ? next : first;
    }
    job_rest(call, first);
    return OK;
}

/* ---- money without an order ---- */

static bool give_back(struct orders *self, struct call *call, const struct provider *provider,
                      const struct payment_listed *listed)
{
    struct payment payment = { .id = listed->id };
    enum payment_known known =
        listed->known == KNOWN_CAPTURED
            ? provider->refund(provider->self, call->arena, &payment, self->payment_timeout_us)
            : provider->void_(provider->self, call->arena, &payment, self->payment_timeout_us);
    LOG(LOG_WARN, "payment.orphan", LOG_TEXT("payment_id", uuid_text(call->arena, listed->id)),
        LOG_TEXT("provider", str_of_z(provider->name)), LOG_NUMBER("known", known));
    return known == KNOWN_VOIDED || known == KNOWN_REFUNDED;
}

/* Looks at a page of what the provider holds; `goes_on` where there may be more that is old enough.
 */
static err sweep_page(struct orders *self, struct call *call, const struct provider *provider,
                      bool *goes_on)
{
    struct payment_listed *listed;
    size_t count;
    *goes_on = false;
    TRY(provider->list(provider->self, call->arena, self->swept_to, LISTED_PAGE, &listed, &count));
    for (size_t i = 0; i < count; i++) {
        struct db_reader *reader;
        bool found;
        if (listed[i].at >= call->now - orphan_age_us)
            return OK; /* its order may be on its way */
        TRY(call_reader(call, &reader));
        TRY(store_has_order(reader, call->arena, listed[i].id, &found));
        if (!found)
            call_read_end(call); /* nobody holds a snapshot while it waits */
        if (!found && !give_back(self, call, provider, &listed[i]))
            return OK; /* the next sweep begins with it */
        self->swept_to = listed[i].at;
    }
    *goes_on = count == LISTED_PAGE;
    return OK;
}

/* A start begins with the oldest payment, and a busy shop takes more than a page between two
 * sweeps. */
err orders_sweep_orphans(void *subject, struct call *call)
{
    struct orders *self = subject;
    for (int i = 0; i < self->providers_count; i++) {
        bool goes_on = true;
        for (int page = 0; goes_on && page < PAGES_A_TICK; page++) {
            service_job_reset(call);
            TRY(sweep_page(self, call, &self->providers[i], &goes_on));
        }
    }
    return OK;
}

/* ---- people who are to be forgotten ---- */

static void forget_in_files(struct write *write) { db_forget(service_db(write->after_subject)); }

/* What is ready goes now. Then once more when the last token of the person has ended, for an order
 * that was placed meanwhile; and for as long as there are orders to be shipped. */
static err forget_person(struct orders *self, struct call *call, const struct erasure *due)
{
    struct erasure *erasure = arena_copy(call->arena, due, sizeof *due);
    struct db_reader *reader;
    TRY(call_reader(call, &reader));
    TRY(store_find_forgettable(reader, call->arena, erasure));
    call_read_end(call);

    bool goes_on = erasure->orders_count == FORGET_COUNT || erasure->answers_count == FORGET_COUNT;
    time_us last_token_at = erasure->asked_at + self->forget_again_us;
    if (goes_on)
        erasure->due_at = call->now;
    else if (call->now < last_token_at)
        erasure->due_at = last_token_at;
    else if (erasure->is_rest_open)
        erasure->due_at = call->now + self->forget_again_us;
    struct write *write = write_new(call->arena, store_forget_orders, erasure);
    write->after = forget_in_files;
    write->after_subject = self->service;
    return job_write(call, write);
}

err orders_forget_people(void *subject, struct call *call)
{
    struct db_reader *reader;
    struct erasure *found, due[ERASURES_A_TICK];
    size_t count;
    time_us next_at;
    TRY(call_reader(call, &reader));
    TRY(store_find_erasures(reader, call->arena, call->now, ERASURES_A_TICK, &found, &count,
                            &next_at));
    if (count == 0)
        job_rest(call, next_at);
    else
        memcpy(due, found, count * sizeof due[0]); /* each begins with an empty arena */
    for (size_t i = 0; i < count; i++) {
        service_job_reset(call);
        TRY(forget_person(subject, call, &due[i]));
    }
    return OK;
}
