/* From the bus to reactions: each event takes effect once, in order per key, in the transaction of
 * its effect.
 *
 * A batch is worked on in rounds. A round takes at most one event of each key, runs their reactions
 * one after the other, hands all writes over together and waits for the commit. What cannot be
 * applied yet is kept in this service's own database (held) and acked: it comes again when what it
 * follows has been applied. What can never be applied goes to the dead letters and parks its key.
 */
#include "base/planted.h"
#include "chassis/dead_letters.h"
#include "chassis/service_inside.h"
#include "chassis/trace_call.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>

enum { EVENT_ARENA_BYTES = 4 * 1024 * 1024, HELD_A_TICK = 100 };

enum fate {
    FATE_OPEN,    /* not worked on yet */
    FATE_RUNNING, /* its write is with the writer */
    FATE_AGAIN,   /* runs again: its version moved, or a statement failed */
    FATE_TAKEN,   /* has its effect, or had it before, or is kept here: acked */
    FATE_FAILED,  /* nothing is kept: the bus brings it again */
};

struct delivery {
    struct consumer *consumer;
    const struct bus_event *event;
    const struct reaction_spec *reaction; /* NULL: not ours, only its number counts */
    struct arena *arena;
    struct call *call;
    struct inbox_claim claim;
    enum inbox_source source;
    enum fate fate;
    int runs;
    enum write_end end;
    err outcome;
    struct trace_place place; /* of this run */
};

struct consumer {
    struct service *service;
    struct lock lock;
    struct cond wake;
    int running; /* writes of this round that are with the writer */
    struct delivery *deliveries;
    struct arena **arenas; /* one for each delivery, kept */
    struct lock turn;      /* the bus and the timer take turns */
    struct series **ok, **repeated, **held, **retried,
        **dead; /* by index of the reaction; the last is "other" */
    struct series *dead_letters, *delay;
};

static struct consumer_faults faults_now;

void consumer_use_faults(const struct consumer_faults *faults)
{
    faults_now = faults ? *faults : (struct consumer_faults){ 0 };
}

/* ---- opening ---- */

static struct series **open_outcome(struct service *service, const char *outcome)
{
    int count = service->spec->reactions_count;
    struct series **series = arena_array(service->arena, struct series *, (size_t)count + 1);
    for (int i = 0; i <= count; i++)
        series[i] =
            metric_series(METRIC_REACTIONS, service->spec->name,
                          i < count ? service->spec->reactions[i].event->name : "other", outcome);
    return series;
}

struct consumer *consumer_open(struct service *service)
{
    struct consumer *consumer = arena_new(service->arena, struct consumer);
    consumer->service = service;
    consumer->deliveries = arena_array(service->arena, struct delivery, BUS_BATCH_MAX);
    consumer->arenas = arena_array(service->arena, struct arena *, BUS_BATCH_MAX);
    consumer->ok = open_outcome(service, "ok");
    consumer->repeated = open_outcome(service, "repeated");
    consumer->held = open_outcome(service, "held");
    consumer->retried = open_outcome(service, "retried");
    consumer->dead = open_outcome(service, "dead");
    consumer->dead_letters = metric_series(METRIC_DEAD_LETTERS, service->spec->name, NULL, NULL);
    consumer->delay = metric_series(METRIC_EVENT_DELAY_SECONDS, service->spec->name, NULL, NULL);
    lock_init(&consumer->lock);
    lock_init(&consumer->turn);
    cond_init(&consumer->wake);
    return consumer;
}

void consumer_close(struct consumer *consumer)
{
    if (!consumer)
        return;
    for (int i = 0; i < BUS_BATCH_MAX; i++)
        arena_close(consumer->arenas[i]);
    cond_done(&consumer->wake);
    lock_done(&consumer->turn);
    lock_done(&consumer->lock);
}

/* ---- one event ---- */

static int reaction_index(const struct delivery *delivery)
{
    const struct service_spec *spec = delivery->consumer->service->spec;
    return delivery->reaction ? (int)(delivery->reaction - spec->reactions) : spec->reactions_count;
}

static void count(const struct delivery *delivery, struct series **series)
{
    series_add(series[reaction_index(delivery)], 1);
}

static const struct reaction_spec *reaction_of(const struct service *service, str type)
{
    for (int i = 0; i < service->spec->reactions_count; i++)
        if (str_equal(str_of_z(service->spec->reactions[i].event->name), type))
            return &service->spec->reactions[i];
    return NULL;
}

static void delivery_done(struct write *write, enum write_end end, err outcome)
{
    struct delivery *delivery = write->owner;
    struct consumer *consumer = delivery->consumer;
    if (end == WRITE_DONE && outcome == OK)
        dispatch_committed(consumer->service, write);
    lock_take(&consumer->lock);
    delivery->end = end;
    delivery->outcome = outcome;
    if (--consumer->running == 0)
        cond_wake_one(&consumer->wake);
    lock_drop(&consumer->lock);
}

/* Begins the call of a reaction, from nothing. */
static void begin_call(struct delivery *delivery)
{
    struct service *service = delivery->consumer->service;
    arena_reset(delivery->arena);
    delivery->call = arena_new(delivery->arena, struct call);
    *delivery->call = (struct call){ .arena = delivery->arena,
                                     .service = service,
                                     .reaction = delivery->reaction,
                                     .now = clock_wall_us(),
                                     .deadline_us = INT64_MAX };
    str traceparent = str_copy(delivery->arena, delivery->event->traceparent);
    delivery->call->traceparent = trace_begin_part(&delivery->place, delivery->arena, traceparent);
}

/* Each run is a span: with its outcome, and the reason where it comes again. */
static void tell_run(const struct delivery *delivery, const char *outcome, err error)
{
    enum { NAME_BYTES = 128 };
    const struct bus_event *event = delivery->event;
    bool failed = delivery->fate == FATE_FAILED || strcmp(outcome, "dead") == 0;
    if (!delivery->reaction ||
        !span_is_kept(&delivery->place.here, delivery->place.since_us, failed))
        return;
    char name[NAME_BYTES], id[UUID_TEXT_LEN];
    struct span span;
    int len = snprintf(name, sizeof name, "process %" STR_F, STR_A(event->type));
    uuid_write(event->id, id);
    span_begin_late(&span, &delivery->place.here, delivery->place.parent_id, SPAN_CONSUMER,
                    delivery->consumer->service->spec->name,
                    str_of(name, len < NAME_BYTES ? (size_t)len : (size_t)NAME_BYTES - 1),
                    delivery->place.since_us, failed);
    span_text(&span, "messaging.operation.type", STR("process"));
    span_text(&span, "messaging.destination.name", event->topic);
    span_text(&span, "messaging.message.id", str_of(id, sizeof id));
    span_text(&span, "duka.event.key", event->key);
    span_number(&span, "duka.event.number", event->number);
    if (event->at > 0) /* how long it was on its way: in the outbox, at a broker, held */
        span_number(&span, "duka.event.delay_ms", (clock_wall_us() - event->at) / TIME_MS);
    span_text(&span, "duka.reaction", str_of_z(delivery->reaction->short_name));
    span_text(&span, "duka.outcome", str_of_z(outcome));
    if (delivery->runs > 1)
        span_number(&span, "duka.run", delivery->runs);
    if (error != OK && failed)
        span_fail(&span, err_word(error->code));
    else if (error != OK)
        span_text(&span, "duka.reason", err_word(error->code));
    span_end(&span);
}

static err react(struct delivery *delivery)
{
    const struct bus_event *event = delivery->event;
    struct call *call = delivery->call;
    if (event->type.len == 0)
        return fail(call->arena, EVENT_UNDECODABLE, "it is no CloudEvent that can be read");
    if (!delivery->reaction)
        return OK;
    const char *name = delivery->consumer->service->spec->name;
    if (faults_now.refuses && faults_now.refuses(faults_now.self, name, event))
        return fail(call->arena, EVENT_UNDECODABLE, "a test refuses it");
    void *message;
    err error =
        message_unpack(call->arena, event->payload, delivery->reaction->event->message, &message);
    if (error == OK)
        error = message_validate(call->arena, delivery->reaction->event->message, message);
    if (error != OK)
        return fail_over(call->arena, EVENT_UNDECODABLE, error, "its payload cannot be read");
    return delivery->reaction->handle(delivery->consumer->service->config.self, call, message);
}

/* Runs the reaction up to its write. Over the arena's ceiling it is a poison event. */
static err run_reaction(struct delivery *delivery)
{
    panic_context(delivery->reaction ? delivery->reaction->short_name : "event");
    jmp_buf guard;
    err error;
    struct trace_here before =
        trace_enter(&delivery->place.here, delivery->consumer->service->spec->name);
    if (setjmp(guard) == 0) {
        arena_guard(delivery->arena, &guard);
        error = react(delivery);
    } else {
        static const struct err_value too_large = { .code = CALL_TOO_LARGE, .place = ERR_PLACE };
        arena_raise(delivery->arena, ARENA_CHUNK_BYTES); /* for its dead letter */
        error = &too_large;
    }
    trace_leave(before);
    arena_guard(delivery->arena, NULL);
    panic_context(NULL);
    return error;
}

/* Whether the head of its key may have been forgotten since it was applied. */
static bool is_old(const struct delivery *delivery)
{
    const struct conf *conf = delivery->consumer->service->config.house->conf;
    int64_t kept_us = conf_int(conf, CONF_INBOX_RETENTION) * TIME_MS;
    return delivery->event->at > 0 && delivery->event->at < delivery->call->now - kept_us;
}

static struct write *claimed_write(struct delivery *delivery)
{
    const struct bus_event *event = delivery->event;
    struct call *call = delivery->call;
    struct write *write = call->write ? call->write : write_new(call->arena, NULL, NULL);
    delivery->claim =
        (struct inbox_claim){ .topic = event->topic,
                              .key = event->key,
                              .number = event->number,
                              .event_id = event->id,
                              .state = delivery->reaction && delivery->reaction->event->state,
                              .last = delivery->reaction && delivery->reaction->event->last,
                              .old = is_old(delivery),
                              .source = delivery->source };
    write->inbox = &delivery->claim;
    write->owner = delivery;
    write->done = delivery_done;
    return write;
}

/* ---- what becomes of those that cannot be applied ---- */

static bool keep(struct delivery *delivery, write_batch *batch, const void *subject)
{
    struct write *write = write_new(delivery->arena, batch, (void *)(uintptr_t)subject);
    err outcome;
    writer_submit_and_wait(delivery->consumer->service->writer, write, &outcome);
    return outcome == OK;
}

/* Kept until what it follows has been applied. */
static void hold(struct delivery *delivery)
{
    count(delivery, delivery->consumer->held);
    bool kept = delivery->source != INBOX_BUS || PLANTED(held_forgotten) ||
                keep(delivery, inbox_hold, delivery->event);
    delivery->fate = kept ? FATE_TAKEN : FATE_FAILED;
}

static void bury(struct delivery *delivery, err why)
{
    struct dead_letter letter = { .event = *delivery->event,
                                  .error = err_describe(delivery->arena, why),
                                  .tries = delivery->runs };
    count(delivery, delivery->consumer->dead);
    LOG(LOG_ERROR, "event.dead", LOG_TEXT("event", letter.event.type),
        LOG_TEXT("key", letter.event.key), LOG_NUMBER("number", letter.event.number),
        LOG_TEXT("error", letter.error));
    bool kept = PLANTED(letter_lost) || keep(delivery, dead_letter_put, &letter);
    if (kept) /* whoever is called by this number finds the letter */
        series_add(delivery->consumer->dead_letters, 1);
    delivery->fate = kept ? FATE_TAKEN : FATE_FAILED;
}

/* A database that is away says nothing about the event: it comes again. */
static bool is_passing(err error)
{
    enum err_kind kind = err_kind_of(error->code);
    return kind == ERR_UNAVAILABLE || kind == ERR_STORAGE_FULL || kind == ERR_DEADLINE ||
           error->code == VERSION_CONFLICT;
}

/* Another run may go better: its version moved, or a statement failed, which may be the disk as
 * well as the event. */
static bool is_worth_another_run(const struct delivery *delivery, err error)
{
    return delivery->runs < RUNS_MAX &&
           (err_is(error, VERSION_CONFLICT) || err_is(error, DB_FAILED));
}

static void judge(struct delivery *delivery, err error)
{
    struct consumer *consumer = delivery->consumer;
    const char *outcome = "dead";
    if (error == OK) {
        outcome = delivery->end == WRITE_REPEATED ? "repeated" : "ok";
        count(delivery, delivery->end == WRITE_REPEATED ? consumer->repeated : consumer->ok);
        if (delivery->end != WRITE_REPEATED && delivery->event->at > 0)
            series_time(consumer->delay, clock_wall_us() - delivery->event->at);
        delivery->fate = FATE_TAKEN;
    } else if (is_worth_another_run(delivery, error)) {
        outcome = "again";
        delivery->fate = FATE_AGAIN;
    } else if (err_is(error, TRANSITION_NOT_YET)) {
        outcome = "held";
        hold(delivery);
    } else if (is_passing(error)) {
        outcome = "retried";
        count(delivery, consumer->retried);
        delivery->fate = FATE_FAILED;
    } else {
        bury(delivery, error);
    }
    tell_run(delivery, outcome, error);
}

/* ---- rounds ---- */

static bool is_same_key(const struct bus_event *a, const struct bus_event *b)
{
    return str_equal(a->key, b->key) && str_equal(a->topic, b->topic);
}

/* Keys of a round, by hash: a key that is there already waits for the next round. */
struct round_keys {
    const struct bus_event *slots[2 * BUS_BATCH_MAX];
};

static bool add_key(struct round_keys *keys, const struct bus_event *event)
{
    size_t i = str_hash(event->key) % (2 * BUS_BATCH_MAX);
    for (; keys->slots[i]; i = (i + 1) % (2 * BUS_BATCH_MAX))
        if (is_same_key(keys->slots[i], event))
            return false;
    keys->slots[i] = event;
    return true;
}

/* Runs one reaction on the round's snapshot, which the first that reads takes; gives its write, or
 * NULL where it was judged at once. */
static struct write *start(struct delivery *delivery, struct db_reader **snapshot)
{
    delivery->runs++;
    delivery->end = WRITE_DONE;
    begin_call(delivery);
    delivery->call->reader_ = *snapshot;
    err error = run_reaction(delivery);
    *snapshot = delivery->call->reader_;
    delivery->call->reader_ = NULL;
    if (error == OK) {
        delivery->fate = FATE_RUNNING;
        return claimed_write(delivery);
    }
    db_read_end(*snapshot); /* nobody holds one while a dead letter is written */
    *snapshot = NULL;
    judge(delivery, error);
    return NULL;
}

static size_t run_round(struct consumer *consumer, size_t events_count)
{
    struct write *writes[BUS_BATCH_MAX];
    size_t writes_count = 0;
    struct round_keys keys = { 0 };
    struct db_reader *snapshot = NULL;
    for (size_t i = 0; i < events_count; i++) {
        struct delivery *delivery = &consumer->deliveries[i];
        if (delivery->fate != FATE_OPEN && delivery->fate != FATE_AGAIN)
            continue;
        if (!add_key(&keys, delivery->event))
            continue;
        struct write *write = start(delivery, &snapshot);
        if (write)
            writes[writes_count++] = write;
    }
    db_read_end(snapshot);
    if (writes_count == 0)
        return 0;
    lock_take(&consumer->lock);
    consumer->running = (int)writes_count;
    lock_drop(&consumer->lock);
    writer_submit_many(consumer->service->writer, writes, writes_count);
    lock_take(&consumer->lock);
    while (consumer->running > 0)
        cond_wait(&consumer->wake, &consumer->lock);
    lock_drop(&consumer->lock);
    for (size_t i = 0; i < events_count; i++)
        if (consumer->deliveries[i].fate == FATE_RUNNING)
            judge(&consumer->deliveries[i], consumer->deliveries[i].outcome);
    return writes_count;
}

static bool is_open(const struct consumer *consumer, size_t events_count)
{
    for (size_t i = 0; i < events_count; i++)
        if (consumer->deliveries[i].fate == FATE_OPEN || consumer->deliveries[i].fate == FATE_AGAIN)
            return true;
    return false;
}

static void set_out(struct consumer *consumer, const struct bus_event *events, size_t events_count,
                    enum inbox_source source)
{
    for (size_t i = 0; i < events_count; i++) {
        if (!consumer->arenas[i])
            consumer->arenas[i] = arena_open(EVENT_ARENA_BYTES);
        consumer->deliveries[i] =
            (struct delivery){ .consumer = consumer,
                               .event = &events[i],
                               .reaction = reaction_of(consumer->service, events[i].type),
                               .arena = consumer->arenas[i],
                               .source = source };
    }
}

static void work_on(struct consumer *consumer, const struct bus_event *events, size_t events_count,
                    enum inbox_source source)
{
    set_out(consumer, events, events_count, source);
    while (is_open(consumer, events_count))
        run_round(consumer, events_count);
}

/* Memory of the batch is given back but for the first chunks of a few. */
static void settle_down(struct consumer *consumer, size_t events_count)
{
    enum { ARENAS_KEPT = 64 };
    for (size_t i = 0; i < events_count; i++) {
        if (i >= ARENAS_KEPT) {
            arena_close(consumer->arenas[i]);
            consumer->arenas[i] = NULL;
        } else
            arena_reset(consumer->arenas[i]);
    }
}

size_t consumer_take(void *self, const struct bus_event *events, size_t events_count)
{
    struct consumer *consumer = self;
    ASSERT(consumer && events && events_count <= BUS_BATCH_MAX);
    lock_take(&consumer->turn);
    work_on(consumer, events, events_count, INBOX_BUS);
    size_t taken = 0;
    while (taken < events_count &&
           (consumer->deliveries[taken].fate == FATE_TAKEN || PLANTED(ack_before_effect)))
        taken++;
    settle_down(consumer, events_count);
    lock_drop(&consumer->turn);
    return taken;
}

/* ---- held events, and dead letters that were requeued ---- */

/* What applied or was repeated is dropped from its table by its claim; the rest stays there. */
static void work_on_kept(struct consumer *consumer, const struct bus_event *events,
                         size_t events_count, enum inbox_source source)
{
    if (events_count == 0)
        return;
    lock_take(&consumer->turn);
    work_on(consumer, events, events_count, source);
    settle_down(consumer, events_count);
    lock_drop(&consumer->turn);
}

err consumer_retry_held(struct consumer *consumer, struct call *call)
{
    struct db_reader *reader;
    struct bus_event *events;
    struct dead_letter *letters;
    size_t events_count, letters_count;
    TRY(call_reader(call, &reader));
    TRY(inbox_held_ready(reader, call->arena, HELD_A_TICK, &events, &events_count));
    TRY(dead_letters_requeued(reader, call->arena, HELD_A_TICK, &letters, &letters_count));
    call_read_end(call);
    if (events_count == 0 && letters_count == 0)
        job_rest(call, INT64_MAX);
    work_on_kept(consumer, events, events_count, INBOX_HELD);
    struct bus_event *requeued = arena_array(call->arena, struct bus_event, letters_count);
    for (size_t i = 0; i < letters_count; i++)
        requeued[i] = letters[i].event;
    work_on_kept(consumer, requeued, letters_count, INBOX_DEAD);
    return OK;
}
