/* From the outbox to the bus: takes what is unsent, publishes it in order, and deletes it once the
 * bus has acked.
 *
 * What is under way is kept in memory only. After a crash all of it is still in the outbox and is
 * sent again; inboxes ignore what they have had. A pass goes on from the last event that was taken;
 * every SCAN_US, while something is unsent, a pass begins at the front again, so that nothing
 * depends on events becoming visible in the order of their positions.
 *
 * Where several replicas share the database, only the one that holds the lease sends; it looks
 * again every SCAN_US, for others commit too. One that was held up for longer than its lease may
 * send what another has sent: inboxes ignore it. */
#include "base/planted.h"
#include "chassis/lease.h"
#include "chassis/outbox.h"
#include "chassis/service_inside.h"
#include "chassis/trace_call.h"
#include "os/clock.h"

#include <stdio.h>

enum {
    TAKE_MAX = BUS_BATCH_MAX,
    UNDER_WAY_MAX = 8192,
    SCAN_US = 250000,
    RELAY_ARENA_BYTES = 64 * 1024 * 1024
};

struct relay {
    struct service *service;
    struct lease lease; /* the thread's */
    struct lock lock;
    struct cond wake;
    struct thread *thread;
    struct arena *arena;      /* of one pass */
    struct arena *drop_arena; /* of the deletion in flight */
    struct write *drop;       /* the deletion in flight, or NULL */
    bool drop_ended;          /* it is on disk, and to be forgotten */
    int64_t *under_way; /* positions published and not yet acked: open addressing; 0 is free, -1 was
                           freed */
    int under_way_count;
    struct uuid *acked; /* events to delete */
    int acked_count;
    int64_t after;         /* the last position taken in this pass */
    int64_t drop_after_us; /* a deletion that failed rests until then */
    bool poked, stopping;
    bool sends; /* this replica does; atomic */
    struct series *sent, *delay;
    bool unsure; /* the outbox could not be read: something may be unsent */
};

static int slot_of(int64_t position)
{
    return (int)(((uint64_t)position * 0x9e3779b97f4a7c15U) >> 49) % (2 * UNDER_WAY_MAX);
}

static int find_slot(const struct relay *relay, int64_t position)
{
    for (int i = slot_of(position);; i = (i + 1) % (2 * UNDER_WAY_MAX)) {
        if (relay->under_way[i] == position)
            return i;
        if (relay->under_way[i] == 0)
            return -1;
    }
}

static void add_under_way(struct relay *relay, int64_t position)
{
    int i = slot_of(position);
    while (relay->under_way[i] > 0)
        i = (i + 1) % (2 * UNDER_WAY_MAX);
    relay->under_way[i] = position;
    relay->under_way_count++;
}

static void drop_under_way(struct relay *relay, int64_t position)
{
    int i = find_slot(relay, position);
    ASSERT(i >= 0);
    int next = (i + 1) % (2 * UNDER_WAY_MAX);
    relay->under_way[i] = relay->under_way[next] == 0 ? 0 : -1;
    for (int j = i; relay->under_way[j] == 0;) { /* freed marks before a free slot lead nowhere */
        j = (j + 2 * UNDER_WAY_MAX - 1) % (2 * UNDER_WAY_MAX);
        if (relay->under_way[j] != -1)
            break;
        relay->under_way[j] = 0;
    }
    relay->under_way_count--;
}

struct relay *relay_open(struct service *service)
{
    struct relay *relay = arena_new(service->arena, struct relay);
    relay->service = service;
    if (PLANTED(relay_cursor)) /* as if it were kept, and moved on before the bus has acked */
        relay->after = outbox_position(uuid_v7(clock_wall_us() / TIME_MS, 0, 0));
    relay->arena = arena_open(RELAY_ARENA_BYTES);
    relay->drop_arena = arena_open(RELAY_ARENA_BYTES);
    relay->under_way = arena_array(service->arena, int64_t, 2 * UNDER_WAY_MAX);
    relay->acked = arena_array(service->arena, struct uuid, UNDER_WAY_MAX);
    relay->sent = metric_series(METRIC_EVENTS_SENT, service->spec->name, NULL, NULL);
    relay->delay = metric_series(METRIC_OUTBOX_SECONDS, service->spec->name, NULL, NULL);
    lease_init(&relay->lease, service->db, "relay");
    lock_init(&relay->lock);
    cond_init(&relay->wake);
    return relay;
}

void relay_close(struct relay *relay)
{
    if (!relay)
        return;
    ASSERT(!relay->thread && !relay->drop);
    lease_done(&relay->lease);
    arena_close(relay->arena);
    arena_close(relay->drop_arena);
    cond_done(&relay->wake);
    lock_done(&relay->lock);
}

void relay_poke(struct relay *relay)
{
    lock_take(&relay->lock);
    relay->poked = true;
    cond_wake_one(&relay->wake);
    lock_drop(&relay->lock);
}

bool relay_sends(const struct relay *relay)
{
    return __atomic_load_n(&relay->sends, __ATOMIC_RELAXED);
}

int64_t relay_backlog(struct relay *relay)
{
    lock_take(&relay->lock);
    int64_t backlog = relay->under_way_count;
    lock_drop(&relay->lock);
    return backlog;
}

/* ---- acks and deletion ---- */

/* An event's id says, to a millisecond, when it was committed. */
static void count_acked(const struct relay *relay, const struct uuid *ids, size_t count)
{
    int64_t now_ms = clock_wall_us() / TIME_MS;
    for (size_t i = 0; i < count; i++)
        series_time(relay->delay, (now_ms - uuid_v7_ms(ids[i])) * TIME_MS);
    series_add(relay->sent, (int64_t)count);
}

/* Told by the bus, on any thread. */
static void relay_acked(void *subject, const struct uuid *ids, size_t count)
{
    struct relay *relay = subject;
    count_acked(relay, ids, count);
    lock_take(&relay->lock);
    for (size_t i = 0; i < count; i++) {
        ASSERT(relay->acked_count < UNDER_WAY_MAX);
        relay->acked[relay->acked_count++] = ids[i];
    }
    cond_wake_one(&relay->wake);
    lock_drop(&relay->lock);
}

static void drop_done(struct write *write, enum write_end end, err outcome)
{
    struct relay *relay = write->owner;
    const struct outbox_acked *dropped = write->subject;
    ASSERT(end == WRITE_DONE);
    lock_take(&relay->lock);
    relay->drop_ended = outcome == OK;
    relay->drop_after_us = 0;
    if (outcome != OK) {
        for (size_t i = 0; i < dropped->count; i++)
            relay->acked[relay->acked_count++] = dropped->ids[i];
        relay->drop = NULL;
        relay->drop_after_us = clock_mono_us() + SCAN_US;
    }
    cond_wake_one(&relay->wake);
    lock_drop(&relay->lock);
}

/* What is deleted is forgotten by the thread that reads, between two reads: a snapshot from before
 * the deletion still has it, and it would be sent again. With the lock held. */
static void forget_dropped(struct relay *relay)
{
    if (!relay->drop_ended)
        return;
    const struct outbox_acked *dropped = relay->drop->subject;
    for (size_t i = 0; i < dropped->count; i++)
        drop_under_way(relay, outbox_position(dropped->ids[i]));
    relay->drop_ended = false;
    relay->drop = NULL;
}

static bool can_drop(const struct relay *relay)
{
    return relay->acked_count > 0 && !relay->drop && clock_mono_us() >= relay->drop_after_us;
}

/* Hands over a deletion of all that was acked; one at a time. With the lock held. */
static struct write *take_acked(struct relay *relay)
{
    if (!can_drop(relay))
        return NULL;
    arena_reset(relay->drop_arena);
    size_t count = (size_t)relay->acked_count;
    struct outbox_acked *dropped = arena_new(relay->drop_arena, struct outbox_acked);
    dropped->ids = arena_copy(relay->drop_arena, relay->acked, count * sizeof(relay->acked[0]));
    dropped->count = count;
    relay->acked_count = 0;
    relay->drop = write_new(relay->drop_arena, outbox_drop, dropped);
    relay->drop->owner = relay;
    relay->drop->done = drop_done;
    return relay->drop;
}

/* ---- publishing ---- */

static err read_unsent(struct relay *relay, struct bus_event **events, size_t *count)
{
    struct db_reader *reader;
    TRY(db_read_begin(relay->service->db, relay->arena, &reader));
    err error = outbox_after(reader, relay->arena, relay->after, TAKE_MAX, events, count);
    db_read_end(reader);
    return error;
}

static bool has_room(const struct relay *relay) { return relay->under_way_count < UNDER_WAY_MAX; }

/* Leaves out what is under way. With the lock held. */
static size_t mark_new(struct relay *relay, struct bus_event *events, size_t count)
{
    size_t fresh = 0;
    for (size_t i = 0; i < count && has_room(relay); i++) {
        int64_t position = outbox_position(events[i].id);
        relay->after = position;
        if (find_slot(relay, position) >= 0)
            continue;
        add_under_way(relay, position);
        events[fresh++] = events[i];
    }
    return fresh;
}

/* What follows from an event follows from its being sent. Gives where each of them is in its trace,
 * or NULL where none is recorded. */
static struct trace_place *begin_sending(struct relay *relay, struct bus_event *events,
                                         size_t count)
{
    if (!trace_is_on() || count == 0)
        return NULL;
    struct trace_place *places = arena_array(relay->arena, struct trace_place, count);
    for (size_t i = 0; i < count; i++)
        if (trace_may_be_sampled(events[i].traceparent))
            events[i].traceparent =
                trace_begin_part(&places[i], relay->arena, events[i].traceparent);
    return places;
}

/* From its commit until the bus has it: how long it lay in the outbox. */
static void tell_sent(const struct relay *relay, const struct trace_place *places,
                      const struct bus_event *events, size_t count)
{
    enum { NAME_BYTES = 128 };
    int64_t wall_us = clock_wall_us() - clock_mono_us();
    for (size_t i = 0; places && i < count; i++) {
        if (!places[i].here.sampled)
            continue;
        char name[NAME_BYTES], id[UUID_TEXT_LEN];
        struct span span;
        int len = snprintf(name, sizeof name, "send %" STR_F, STR_A(events[i].type));
        uuid_write(events[i].id, id);
        span_begin_late(&span, &places[i].here, places[i].parent_id, SPAN_PRODUCER,
                        relay->service->spec->name,
                        str_of(name, len < NAME_BYTES ? (size_t)len : (size_t)NAME_BYTES - 1),
                        events[i].at - wall_us, false);
        span_text(&span, "messaging.operation.type", STR("send"));
        span_text(&span, "messaging.destination.name", events[i].topic);
        span_text(&span, "messaging.message.id", str_of(id, sizeof id));
        span_text(&span, "duka.event.key", events[i].key);
        span_number(&span, "duka.event.number", events[i].number);
        span_number(&span, "messaging.batch.message_count", (int64_t)count);
        span_end(&span);
    }
}

/* Takes and publishes once; true when there may be more. */
static bool publish_some(struct relay *relay)
{
    struct bus_event *events = NULL;
    size_t count = 0;
    arena_reset(relay->arena);
    lock_take(&relay->lock);
    forget_dropped(relay);
    lock_drop(&relay->lock);
    err error = read_unsent(relay, &events, &count);
    if (error != OK)
        LOG(LOG_WARN, "relay.failed", LOG_TEXT("service", str_of_z(relay->service->spec->name)),
            LOG_TEXT("error", err_describe(relay->arena, error)));
    lock_take(&relay->lock);
    relay->unsure = error != OK;
    size_t fresh = mark_new(relay, events, count);
    bool room = has_room(relay);
    relay->poked = relay->poked || !room; /* goes on when acks make room */
    lock_drop(&relay->lock);
    struct trace_place *places = begin_sending(relay, events, fresh);
    if (fresh > 0)
        bus_publish(relay->service->config.house->bus, events, fresh, relay_acked, relay);
    tell_sent(relay, places, events, fresh);
    return room && count == TAKE_MAX;
}

/* Begins at the front again from time to time, while something is unsent. With the lock held. */
static void scan_again(struct relay *relay, int64_t *scan_us)
{
    int64_t now_us = clock_mono_us();
    if (now_us < *scan_us)
        return;
    *scan_us = now_us + SCAN_US;
    relay->after = PLANTED(relay_cursor) ? relay->after : 0;
    relay->poked = true;
}

/* Whether this replica may send. With the lock held, which is dropped meanwhile. */
static bool may_send(struct relay *relay)
{
    lock_drop(&relay->lock);
    bool may = lease_hold(&relay->lease, relay->service->writer);
    lock_take(&relay->lock);
    return may;
}

static void work_once(struct relay *relay, bool sends)
{
    struct write *drop = take_acked(relay);
    bool publish = sends && relay->poked && has_room(relay);
    if (publish)
        relay->poked = false;
    lock_drop(&relay->lock);
    if (drop)
        writer_submit(relay->service->writer, drop);
    while (publish && publish_some(relay) && lease_hold(&relay->lease, relay->service->writer))
        ;
    lock_take(&relay->lock);
}

/* Until something is to be done: at once when woken, else at the next scan, or when the lease wants
 * to be renewed. With the lock held. */
static void rest(struct relay *relay, bool scans, int64_t scan_us)
{
    int64_t until_us = lease_due_us(&relay->lease);
    if (scans && scan_us < until_us)
        until_us = scan_us;
    if (until_us == INT64_MAX)
        cond_wait(&relay->wake, &relay->lock);
    else
        cond_wait_until(&relay->wake, &relay->lock, until_us);
}

static void relay_run(void *subject)
{
    struct relay *relay = subject;
    int64_t scan_us = 0;
    lock_take(&relay->lock);
    bool is_shared = db_is_shared(relay->service->db);
    while (!relay->stopping) {
        bool sends = !is_shared || may_send(relay);
        __atomic_store_n(&relay->sends, sends, __ATOMIC_RELAXED);
        forget_dropped(relay);
        bool scans = relay->under_way_count > 0 || relay->unsure || (is_shared && sends);
        if (scans || relay->poked)
            scan_again(relay, &scan_us);
        bool can_publish = sends && relay->poked && has_room(relay);
        if (can_publish || can_drop(relay))
            work_once(relay, sends);
        else if (!relay->stopping)
            rest(relay, scans, scan_us);
    }
    while (relay->drop && !relay->drop_ended)
        cond_wait(&relay->wake, &relay->lock);
    forget_dropped(relay);
    lock_drop(&relay->lock);
    lease_give_up(&relay->lease, relay->service->writer);
}

void relay_start(struct relay *relay)
{
    relay_poke(relay); /* a former run may have left something */
    relay->thread = thread_start("relay", relay_run, relay);
}

void relay_stop(struct relay *relay)
{
    if (!relay->thread)
        return;
    lock_take(&relay->lock);
    relay->stopping = true;
    cond_wake_one(&relay->wake);
    lock_drop(&relay->lock);
    thread_join(relay->thread);
    relay->thread = NULL;
}
