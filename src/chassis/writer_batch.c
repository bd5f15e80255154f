#include "chassis/writer_batch.h"

#include "base/arena.h"
#include "base/planted.h"
#include "chassis/audit.h"
#include "chassis/db_driver.h"
#include "chassis/inbox.h"
#include "chassis/obs.h"
#include "chassis/once.h"
#include "chassis/outbox.h"
#include "chassis/trace_call.h"
#include "os/clock.h"
#include "os/sync.h"

#include <string.h>

enum { BATCH_BYTES_MAX = 64 * 1024 * 1024, RUNS_AGAIN_MAX = 5, RUN_AGAIN_US = 5000 };

struct member {
    struct write *write;
    enum write_end end;
    err outcome;
    bool active;     /* its rows are in the transaction, or will be */
    bool once_taken; /* its key was claimed in this transaction */
    bool barred;     /* see inbox.h */
    size_t entry;    /* of its inbox claim */
    size_t group;
    /* As it was handed over: what a batch function may add to, for it may run again. */
    struct outbox_event **events_tail;
    struct answer answer, subject_answer;
    struct uuid answers_subject;
    struct trace_place place; /* of its write, where its trace is recorded */
};

struct batch {
    struct batch_room *room;
    struct member *members;
    size_t count;
    struct tx tx;
    struct inbox_batch inbox;
    size_t written; /* events */
    bool again;     /* a member rests on another that failed */
    bool has_begun; /* the transaction of this attempt */
};

/* Members of the same batch function, in order. */
struct group {
    write_batch *run;
    size_t first, count;
};

static const struct err_value TOO_LARGE = {
    .code = CALL_TOO_LARGE,
    .detail = { "a write, or its error, needs more memory than its arena may hold", 64 },
    .place = ERR_PLACE,
};

/* ---- claims ---- */

static void refuse(struct member *member, enum write_end end, err outcome)
{
    member->active = false;
    member->end = end;
    member->outcome = outcome;
}

static err claim_once(struct batch *batch)
{
    struct arena *arena = batch->room->arena;
    const struct once_claim **claims = arena_array(arena, const struct once_claim *, batch->count);
    struct member **owners = arena_array(arena, struct member *, batch->count);
    bool *taken = arena_array(arena, bool, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (member->write->once) {
            owners[count] = member;
            claims[count++] = member->write->once;
        }
    }
    TRY(once_take(&batch->tx, claims, count, taken));
    for (size_t i = 0; i < count; i++) {
        owners[i]->once_taken = taken[i];
        if (!taken[i])
            refuse(owners[i], WRITE_REPEATED, OK);
    }
    return OK;
}

static err claim_inbox(struct batch *batch)
{
    struct arena *arena = batch->room->arena;
    struct inbox_batch *inbox = &batch->inbox;
    *inbox =
        (struct inbox_batch){ .entries = arena_array(arena, struct inbox_entry, batch->count) };
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (!member->active || !member->write->inbox)
            continue;
        member->entry = inbox->count++;
        inbox->entries[member->entry].claim = member->write->inbox;
        inbox->entries[member->entry].barred = member->barred;
    }
    TRY(inbox_judge(&batch->tx, inbox));

    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (!member->active || !member->write->inbox)
            continue;
        const struct inbox_claim *claim = member->write->inbox;
        enum inbox_verdict verdict = inbox->entries[member->entry].verdict;
        if (verdict == INBOX_REPEATED)
            refuse(member, WRITE_REPEATED, OK);
        else if (verdict == INBOX_TOO_OLD)
            refuse(member, WRITE_DONE,
                   fail(arena, EVENT_TOO_OLD, "event %lld of %" STR_F " %" STR_F,
                        (long long)claim->number, STR_A(claim->topic), STR_A(claim->key)));
        else if (verdict == INBOX_EARLY)
            refuse(member, WRITE_DONE,
                   fail(arena, TRANSITION_NOT_YET,
                        "event %lld of %" STR_F " %" STR_F " came before those that it follows",
                        (long long)claim->number, STR_A(claim->topic), STR_A(claim->key)));
    }
    return OK;
}

/* ---- batch functions ---- */

/* The first group of that function from `least` on, or a new one. */
static size_t group_for(struct group *groups, size_t *groups_count, size_t least, write_batch *run)
{
    size_t at = least;
    while (at < *groups_count && groups[at].run != run)
        at++;
    if (at == *groups_count)
        groups[(*groups_count)++] = (struct group){ .run = run };
    groups[at].count++;
    return at;
}

/* Members with the same function together, but an event never before one that it follows: where two
 * functions take turns under one key, one of them runs twice. */
static size_t form_groups(struct batch *batch, struct group *groups)
{
    size_t groups_count = 0;
    size_t *least = arena_array(batch->room->arena, size_t, batch->inbox.keys_count);
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        struct write *write = member->write;
        if (!member->active || !write->batch)
            continue;
        if (write->inbox && write->inbox->number > 0) {
            size_t *of_key = &least[batch->inbox.entries[member->entry].key];
            *of_key = group_for(groups, &groups_count, *of_key, write->batch);
            member->group = *of_key;
        } else {
            member->group = group_for(groups, &groups_count, 0, write->batch);
        }
    }
    size_t first = 0;
    for (size_t i = 0; i < groups_count; i++) {
        groups[i].first = first;
        first += groups[i].count;
        groups[i].count = 0; /* counted again while it is filled */
    }
    return groups_count;
}

static err run_groups(struct batch *batch)
{
    struct arena *arena = batch->room->arena;
    struct group *groups = arena_array(arena, struct group, batch->count);
    struct write **writes = arena_array(arena, struct write *, batch->count);
    struct member **owners = arena_array(arena, struct member *, batch->count);
    err *outcomes = arena_array(arena, err, batch->count);
    size_t groups_count = form_groups(batch, groups);
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (!member->active || !member->write->batch)
            continue;
        struct group *group = &groups[member->group];
        size_t at = group->first + group->count++;
        writes[at] = member->write;
        owners[at] = member;
    }
    for (size_t i = 0; i < groups_count; i++) {
        const struct group *group = &groups[i];
        TRY(group->run(&batch->tx, writes + group->first, group->count, outcomes + group->first));
        if (tx_is_gone(&batch->tx))
            return fail(arena, DB_FAILED, "the engine has rolled the transaction back");
        for (size_t j = group->first; j < group->first + group->count; j++)
            if (outcomes[j] != OK)
                refuse(owners[j], WRITE_DONE, outcomes[j]);
    }
    return OK;
}

/* ---- what follows the rows ---- */

static void settle(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (member->active && member->write->inbox)
            batch->inbox.entries[member->entry].applied = true;
    }
    if (inbox_settle(&batch->inbox))
        return;
    batch->again = true;
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        if (member->active && member->write->inbox && batch->inbox.entries[member->entry].barred)
            member->barred = true;
    }
}

static err take_claims_back(struct batch *batch)
{
    const struct once_claim **claims =
        arena_array(batch->room->arena, const struct once_claim *, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct member *member = &batch->members[i];
        if (member->once_taken && !member->active && !PLANTED(claim_stays))
            claims[count++] = member->write->once;
    }
    return once_take_back(&batch->tx, claims, count);
}

static err keep_answers(struct batch *batch)
{
    struct arena *arena = batch->room->arena;
    const struct once_claim **claims = arena_array(arena, const struct once_claim *, batch->count);
    const struct answer **answers = arena_array(arena, const struct answer *, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct member *member = &batch->members[i];
        const struct write *write = member->write;
        if (!member->active || !write->once)
            continue;
        /* A key without a subject is answered by its own write, or never. */
        ASSERT(write->answer.known || !uuid_is_nil(write->once->subject));
        if (write->answer.known) {
            claims[count] = write->once;
            answers[count++] = &write->answer;
        }
    }
    return once_keep(&batch->tx, claims, answers, count);
}

static err fix_answers(struct batch *batch)
{
    struct arena *arena = batch->room->arena;
    struct uuid *subjects = arena_array(arena, struct uuid, batch->count);
    const struct answer **answers = arena_array(arena, const struct answer *, batch->count);
    struct write **writes = arena_array(arena, struct write *, batch->count);
    bool *won = arena_array(arena, bool, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct write *write = batch->members[i].write;
        if (!batch->members[i].active || uuid_is_nil(write->answers_subject))
            continue;
        subjects[count] = write->answers_subject;
        answers[count] = &write->subject_answer;
        writes[count++] = write;
    }
    TRY(once_fix(&batch->tx, subjects, answers, count, won));
    for (size_t i = 0; i < count; i++)
        writes[i]->answer_won = won[i];
    return OK;
}

static err put_events(struct batch *batch)
{
    struct write **writes = arena_array(batch->room->arena, struct write *, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->members[i].active && batch->members[i].write->events &&
            !(PLANTED(outbox_forgets) && i == 1))
            writes[count++] = batch->members[i].write;
    return outbox_put(&batch->tx, writes, count, &batch->room->position_last, &batch->written);
}

static err put_audit(struct batch *batch)
{
    const struct audit_entry **entries =
        arena_array(batch->room->arena, const struct audit_entry *, batch->count);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->members[i].active && batch->members[i].write->audit)
            entries[count++] = batch->members[i].write->audit;
    return count > 0 ? audit_put(&batch->tx, entries, count) : OK;
}

/* ---- one attempt ---- */

/* As if nothing had happened yet: events and answers of a former attempt are forgotten. */
static void restore(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct member *member = &batch->members[i];
        struct write *write = member->write;
        *member->events_tail = NULL;
        write->events_tail = member->events_tail;
        write->answer = member->answer;
        write->subject_answer = member->subject_answer;
        write->answers_subject = member->answers_subject;
        write->answer_won = false;
        member->active = true;
        member->end = WRITE_DONE;
        member->outcome = OK;
        member->once_taken = false;
    }
}

/* Claims and rows. */
static err begin_and_apply(struct batch *batch)
{
    struct batch_room *room = batch->room;
    batch->has_begun = false;
    TRY(tx_begin(room->db, room->arena, clock_wall_us(), &batch->tx));
    batch->has_begun = true;
    TRY(claim_once(batch));
    TRY(claim_inbox(batch));
    TRY(run_groups(batch));
    for (size_t i = 0; i < batch->count; i++) {
        struct write *write = batch->members[i].write;
        if (batch->members[i].active && write->make_answer)
            write->make_answer(write);
    }
    settle(batch);
    return OK;
}

/* A planted bug: what is announced is committed, and may be published, before the rows are. */
static err commit_events_first(struct batch *batch)
{
    tx_rollback(&batch->tx);
    TRY(tx_begin(batch->room->db, batch->room->arena, clock_wall_us(), &batch->tx));
    TRY(put_events(batch));
    TRY(tx_commit(&batch->tx));
    restore(batch);
    return begin_and_apply(batch);
}

static void count_commit(struct batch_room *room, int64_t took_us, size_t writes)
{
    room->commit_us += took_us;
    room->commits++;
    if (!room->commit_time)
        return;
    series_time(room->commit_time, took_us);
    series_size(room->sizes, (int64_t)writes);
}

static err attempt(struct batch *batch)
{
    struct batch_room *room = batch->room;
    TRY(begin_and_apply(batch));
    if (batch->again)
        return OK;
    if (PLANTED(publish_before_commit))
        TRY(commit_events_first(batch));

    TRY(take_claims_back(batch));
    TRY(inbox_save(&batch->tx, &batch->inbox));
    if (!PLANTED(publish_before_commit))
        TRY(put_events(batch));
    TRY(put_audit(batch));
    TRY(keep_answers(batch));
    TRY(fix_answers(batch));

    sync_yield(); /* a simulation may let others run between the rows and the disk */
    int64_t began_us = clock_mono_us();
    TRY(tx_commit(&batch->tx));
    count_commit(room, clock_mono_us() - began_us, batch->count);
    room->announced |= batch->written > 0;
    for (size_t i = 0; room->on_changed && i < batch->tx.changed_count; i++)
        room->on_changed(room->on_changed_subject, batch->tx.changed[i]);
    return OK;
}

static void guard_arenas(struct batch *batch, jmp_buf *guard)
{
    arena_guard(batch->room->arena, guard);
    for (size_t i = 0; i < batch->count; i++)
        arena_guard(batch->members[i].write->arena, guard);
}

/* An arena over its ceiling, be it the batch's or a member's, fails the attempt. */
static err attempt_guarded(struct batch *batch)
{
    jmp_buf guard;
    err error;
    if (setjmp(guard)) {
        error = &TOO_LARGE;
    } else {
        guard_arenas(batch, &guard);
        error = attempt(batch);
    }
    guard_arenas(batch, NULL);
    return error;
}

/* Attempts until no member rests on one that failed: each time at least one more is barred. */
static err attempt_all(struct batch *batch)
{
    err error;
    do {
        arena_reset(batch->room->arena);
        restore(batch);
        batch->again = false;
        batch->tx = (struct tx){ .db = batch->room->db };
        error = attempt_guarded(batch);
        if (error != OK || batch->again)
            tx_rollback(&batch->tx);
    } while (error == OK && batch->again);
    return error;
}

/* ---- spans ---- */

/* Gives the first member whose trace is recorded: what the batch does is told there, and the spans
 * of the others are linked with it. NULL: there is none. */
static struct member *begin_spans(struct batch_room *room, size_t count)
{
    struct member *first = NULL;
    if (!trace_is_on())
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct member *member = &room->members[i];
        struct trace_place *place = &member->place;
        str carried = member->write->traceparent;
        if (!trace_may_be_sampled(carried) ||
            !trace_context_read(trace_carried_parent(carried), &place->here))
            continue;
        ASSERT(place->here.sampled);
        memcpy(place->parent_id, place->here.span_id, SPAN_ID_BYTES);
        span_new_id(&place->here);
        first = first ? first : member;
    }
    return first;
}

/* From being handed over until its outcome is known; before it is told, for then it is gone. */
static void tell_write(const struct batch_room *room, const struct member *member, err outcome)
{
    const struct trace_place *place = &member->place;
    if (!place->here.sampled)
        return;
    const char *service = room->db->schema->service;
    struct span span;
    span_begin_since(&span, &place->here, SPAN_INTERNAL, service, STR("wait for the writer"),
                     member->write->handed_us);
    span_ended_at(&span, room->began_us);
    span_end(&span);
    span_begin_late(&span, &place->here, place->parent_id, SPAN_INTERNAL, service, STR("write"),
                    member->write->handed_us, false);
    span_link(&span, &room->span, 1);
    if (member->end == WRITE_REPEATED)
        span_text(&span, "duka.outcome", STR("repeated"));
    else if (outcome != OK)
        span_text(&span, "duka.outcome", err_word(outcome->code));
    span_end(&span);
}

static void tell_batch(const struct batch_room *room, const struct member *first, size_t count,
                       size_t runs)
{
    struct span span;
    span_begin_late(&span, &room->span, first->place.here.span_id, SPAN_INTERNAL,
                    room->db->schema->service, STR("batch"), room->began_us, false);
    span_number(&span, "db.operation.batch.size", (int64_t)count);
    if (runs > 1) /* it failed as a whole, and was run again in parts */
        span_number(&span, "duka.run", (int64_t)runs);
    struct trace_context others[SPAN_LINKS_MAX]; /* of more it is told how many there are */
    size_t others_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &room->members[i];
        if (!member->place.here.sampled || member == first)
            continue;
        if (others_count < SPAN_LINKS_MAX)
            others[others_count] = member->place.here;
        others_count++;
    }
    span_link(&span, others, others_count);
    span_end(&span);
}

/* ---- telling ---- */

/* The error in the memory of whom it is told to. */
static err copied(struct write *write, err outcome)
{
    jmp_buf guard;
    err copy;
    if (setjmp(guard)) {
        copy = &TOO_LARGE;
    } else {
        arena_guard(write->arena, &guard);
        copy = err_copy(write->arena, outcome);
    }
    arena_guard(write->arena, NULL);
    return copy;
}

static void tell(const struct batch_room *room, const struct member *member)
{
    struct write *write = member->write;
    err outcome = member->outcome == OK || member->outcome == &TOO_LARGE
                      ? member->outcome
                      : copied(write, member->outcome);
    tell_write(room, member, outcome);
    if (outcome == OK && member->end == WRITE_DONE && write->after)
        write->after(write);
    if (write->done)
        write->done(write, member->end, outcome); /* the write may be gone now */
}

/* Where the server went away in the middle, nothing was kept, and the same batch runs again on a
 * new connection; one that others were in the way of runs again alone. A server that is away when
 * it begins has been waited for. */
static err attempt_patiently(struct batch *batch)
{
    err error = attempt_all(batch);
    for (int i = 0; i < RUNS_AGAIN_MAX; i++) {
        bool went_away =
            err_is(error, DB_UNAVAILABLE) && batch->has_begun && db_is_shared(batch->room->db);
        bool was_busy = err_is(error, DB_BUSY) && batch->count == 1;
        if (!went_away && !was_busy)
            break;
        sleep_until(clock_mono_us() + ((int64_t)RUN_AGAIN_US << i));
        error = attempt_all(batch);
    }
    return error;
}

static void run_members(struct batch_room *room, struct member *members, size_t count)
{
    struct batch batch = { .room = room, .members = members, .count = count };
    for (size_t i = 0; i < count; i++)
        members[i].barred = false;
    room->runs++;

    err error = attempt_patiently(&batch);
    error = PLANTED(group_lost) && count > 1 ? OK : error;
    bool is_away = err_is(error, DB_UNAVAILABLE) && db_is_shared(room->db);
    bool can_split = !is_away && !err_is(error, DB_UNCERTAIN);
    if (error != OK && count > 1 && can_split) {
        run_members(room, members, count / 2);
        run_members(room, members + count / 2, count - count / 2);
        return;
    }
    for (size_t i = 0; error != OK && i < count; i++)
        refuse(&members[i], WRITE_DONE, error);
    sync_yield();
    for (size_t i = 0; i < count; i++)
        tell(room, &members[i]);
}

void batch_run(struct batch_room *room, struct write *const *writes, size_t count)
{
    ASSERT(room && room->db && writes && count > 0 && count <= WRITES_BATCH_MAX);

    for (size_t i = 0; i < count; i++) {
        struct write *write = writes[i];
        ASSERT(write->arena && write->events_tail);
        room->members[i] = (struct member){
            .write = write,
            .events_tail = write->events_tail,
            .answer = write->answer,
            .subject_answer = write->subject_answer,
            .answers_subject = write->answers_subject,
        };
    }
    room->announced = false;
    room->runs = 0;
    const struct member *first = begin_spans(room, count);
    if (!first) {
        run_members(room, room->members, count);
        return;
    }
    room->began_us = clock_mono_us();
    room->span = first->place.here;
    span_new_id(&room->span);
    struct trace_here before = trace_enter(&room->span, room->db->schema->service);
    run_members(room, room->members, count);
    trace_leave(before);
    tell_batch(room, first, count, room->runs);
}

/* ---- the room ---- */

/* Where the outbox of a former run ends. */
static int64_t find_position(struct batch_room *room)
{
    struct tx tx;
    int64_t position = 0;
    err error = tx_begin(room->db, room->arena, clock_wall_us(), &tx);
    if (error == OK) {
        error = outbox_newest(&tx, &position);
        tx_rollback(&tx);
    }
    /* Where the server is away just now, new events stand behind the old ones by the clock. */
    if (error != OK && !err_is(error, DB_UNAVAILABLE))
        panic(ERR_PLACE, "the outbox cannot be read",
              str_z(room->arena, err_describe(room->arena, error)));
    return position;
}

void batch_room_init(struct batch_room *room, struct arena *life, struct db *db)
{
    ASSERT(room && life && db);
    *room = (struct batch_room){
        .db = db,
        .arena = arena_open(BATCH_BYTES_MAX),
        .members = arena_array(life, struct member, WRITES_BATCH_MAX),
    };
    room->position_last = find_position(room);
}

void batch_room_done(struct batch_room *room)
{
    ASSERT(room);
    arena_close(room->arena);
}
