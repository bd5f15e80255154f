#include "chassis/task.h"

#include "base/planted.h"
#include "chassis/answer.h"
#include "chassis/answer_stream.h"
#include "chassis/audit.h"
#include "chassis/binding.h"
#include "chassis/hints.h"
#include "chassis/once.h"
#include "os/clock.h"
#include <stdio.h>

enum { ANSWER_ROOM_BYTES = 16 * 1024 * 1024 }; /* above the ceiling, for what must be told */

static void phase_repeat(struct task *task);
static bool is_led_by_first(struct task *task);

/* ---- the end ---- */

/* Forgets what was put into the response for an outcome that did not come. */
static void clear_response(struct task *task)
{
    struct response *response = &task->request->response;
    response->status = response->headers_count = 0;
    response->stream = NULL;
    response->body = response->content_type = STR_NONE;
}

static void count_call(struct task *task, err error)
{
    const struct call_spec *spec = task->call.spec;
    struct service *service = task->service;
    bool ours =
        error && err_http_status(error) >= 500 && err_kind_of(error->code) != ERR_UNIMPLEMENTED;
    struct series **calls = ours ? service->calls_failed : service->calls_refused;
    series_add((error ? calls : service->calls_ok)[spec->index], 1);
    request_time(task->request, service->calls_time[spec->index]);
    trace_tell_call(&task->place, service->spec->name, spec, task->request, error);
    flights_drop(&service->flights, &task->flight, error ? err_word(error->code) : STR("ok"));
    if (!ours)
        return;
    bool is_theirs = task->request->grpc && error->code == CALL_DEADLINE; /* grpc-timeout */
    bool is_passing = error->code == CALL_OVERLOADED || error->code == UPSTREAM_UNAVAILABLE;
    LOG(is_passing || is_theirs ? LOG_WARN : LOG_ERROR, "call.failed",
        LOG_TEXT("call", str_of_z(spec->short_name)),
        LOG_TEXT("error", err_describe(task->call.arena, error)),
        LOG_TEXT("trace_id", str_of_z(task->request->trace_id)));
}

/* From here on the task may be gone, and the service once it was told that this call has ended. */
static void respond(struct task *task)
{
    struct service *service = task->service;
    arena_guard(task->call.arena, NULL);
    request_respond(task->request);
    dispatch_leave(service);
}

void task_fail(struct task *task, err error)
{
    call_read_end(&task->call);
    count_call(task, error);
    response_problem(task->request, error);
    respond(task);
}

/* Whole answers to plain requests only: what stands under a path is for everyone. */
static void keep_in_cache(struct task *task)
{
    const struct request *request = task->request;
    const struct response *response = &request->response;
    if (uuid_is_nil(task->call.shows) || response->status != 200 || request->query.ptr ||
        request->grpc)
        return;
    struct cached answer = { .body = response->body,
                             .content_type = response->content_type,
                             .etag = task->call.etag,
                             .until_us = task->cache_until_us };
    cache_put(task->service->cache, request->path, task->call.shows, task->cache_mark, &answer);
}

static void answer_message_now(struct task *task, const void *message, int status)
{
    call_read_end(&task->call);
    binding_answer(&task->call, task->request, message, status);
    keep_in_cache(task);
    count_call(task, OK);
    respond(task);
}

/* The answer comes in pieces: what is counted for it ends with its last one. */
static void answer_in_pieces(struct task *task)
{
    bool goes_on;
    call_read_end(&task->call);
    err error = answer_stream_begin(task->service, &task->call, task->request, &goes_on);
    if (error != OK) {
        task_fail(task, error);
        return;
    }
    count_call(task, OK);
    if (!goes_on) {
        respond(task);
        return;
    }
    arena_guard(task->call.arena, NULL);
    request_respond(task->request);
}

/* Where the database is away nobody changes anything: what is ready is shown, however old. */
static bool answer_old(struct task *task, err error)
{
    if (!err_is(error, DB_UNAVAILABLE) ||
        !service_fill_from_cache(task->service, task->request, task->call.spec, INT64_MIN))
        return false;
    call_read_end(&task->call);
    count_call(task, OK);
    respond(task);
    return true;
}

/* Gives a kept answer: the one that stands under the key, for the first call as for its repeats. */
static void answer_kept(struct task *task, const struct answer *answer)
{
    struct arena *arena = task->call.arena;
    if (answer->problem) {
        task_fail(task, answer_error(arena, answer));
        return;
    }
    void *message;
    err error = message_unpack(arena, answer->message, task->call.spec->response, &message);
    if (error != OK)
        task_fail(task, error);
    else
        answer_message_now(task, message, answer->status);
}

/* ---- phases ---- */

void task_run(struct work *work)
{
    struct task *task = (struct task *)((char *)work - offsetof(struct task, work));
    char context[160];
    snprintf(context, sizeof(context), "%s trace_id=%s", task->call.spec->short_name,
             task->request->trace_id);
    panic_context(context);
    struct trace_here before = trace_enter(&task->place.here, task->service->spec->name);
    jmp_buf guard;
    flight_is(&task->flight, "running");
    if (setjmp(guard) == 0) {
        arena_guard(task->call.arena, &guard);
        task->phase(task);
    } else if (task->is_on_disk) {
        /* What was done cannot be refused any more: it is told once more, with room. */
        task->is_on_disk = false;
        arena_raise(task->call.arena, ANSWER_ROOM_BYTES);
        clear_response(task);
        task_run(work);
    } else {
        static const struct err_value too_large = { .code = CALL_TOO_LARGE, .place = ERR_PLACE };
        place_turn_end(&task->turn);
        arena_raise(task->call.arena, ARENA_CHUNK_BYTES);
        clear_response(task);
        task_fail(task, &too_large);
    }
    trace_leave(before);
    panic_context(NULL);
}

/* Goes on with another phase on a worker. */
static void resume(struct task *task, void (*phase)(struct task *))
{
    arena_guard(task->call.arena, NULL);
    task->phase = phase;
    flight_is(&task->flight, "queued");
    workers_resume(task->service->config.house->workers, &task->work);
}

static void phase_fail(struct task *task)
{
    clear_response(task);
    task_fail(task, task->failure);
}

static void phase_settled(struct task *task) { answer_kept(task, &task->settled); }

/* The batch function has made the answer. */
static void phase_answer_made(struct task *task)
{
    const struct call *call = &task->call;
    answer_message_now(task, call->answer, call->answer_status);
}

static void tell_answer_made(struct task *task)
{
    task->is_on_disk = true;
    resume(task, phase_answer_made);
}

/* ---- waiting for the subject to settle ---- */

static struct waiter waiter_of(const struct task *task, struct uuid subject, bool on_disk)
{
    return (struct waiter){ .subject = subject,
                            .until_us = clock_mono_us() + task->call.wait_ms * INT64_C(1000),
                            .on_disk = on_disk };
}

/* The task may be gone afterwards, if its write is on disk. */
static void begin_to_wait(struct task *task)
{
    struct service *service = task->service;
    flight_is(&task->flight, "waiting");
    if (request_is_left(task->request))
        task->waiter.until_us = 0;
    waiters_add(&service->waiters, &task->waiter);
    timers_watch_waiters(service->timers);
}

/* The client has gone: what is queued is not begun, and nobody waits for what was handed over. On
 * the transport's loop, while a worker may have the task. */
void task_left(void *subject)
{
    struct task *task = subject;
    if (task->call.spec->settles)
        (void)waiters_hurry(&task->service->waiters, &task->waiter);
}

static bool end_if_left(struct task *task)
{
    bool is_left = request_is_left(task->request);
    if (is_left)
        task_fail(task, fail(task->call.arena, CALL_CANCELLED, "the client has left"));
    return is_left;
}

static struct task *task_of_waiter(struct waiter *waiter)
{
    return (struct task *)((char *)waiter - offsetof(struct task, waiter));
}

void dispatch_committed(struct service *service, const struct write *write)
{
    if (uuid_is_nil(write->answers_subject) || !write->answer_won)
        return;
    hint_settled(service, write->answers_subject);
    struct waiter *waiter = waiters_take(&service->waiters, write->answers_subject);
    while (waiter) {
        struct task *task = task_of_waiter(waiter);
        waiter = waiter->next;
        arena_raise(task->call.arena, write->subject_answer.message.len); /* nobody catches here */
        task->settled = answer_copy(task->call.arena, &write->subject_answer);
        resume(task, phase_settled);
    }
}

/* Lost the race for the answer: whoever won it, that answer stands. */
static void phase_read_standing(struct task *task)
{
    struct db_reader *reader;
    err error = call_reader(&task->call, &reader);
    if (error == OK)
        error = once_find_subject(reader, task->call.arena, task->waiter.subject, &task->settled);
    if (error == OK && !task->settled.known)
        error = fail(task->call.arena, IDEMPOTENCY_IN_FLIGHT, "its answer is not fixed yet");
    if (error != OK)
        task_fail(task, error);
    else
        answer_kept(task, &task->settled);
}

/* Registered first, then looked at once more: an answer fixed in between is not missed. */
static void wait_on(struct task *task)
{
    struct service *service = task->service;
    struct uuid subject = task->waiter.subject;
    begin_to_wait(task);
    if (once_is_answered(service->db, subject) &&
        waiters_drop(&service->waiters, subject, &task->waiter))
        resume(task, phase_read_standing);
}

/* It is said to have settled on another replica; where that was said too soon, it waits on. */
static void phase_look(struct task *task)
{
    struct db_reader *reader;
    err error = call_reader(&task->call, &reader);
    if (error == OK)
        error = once_find_subject(reader, task->call.arena, task->waiter.subject, &task->settled);
    if (error == OK && task->settled.known) {
        answer_kept(task, &task->settled);
        return;
    }
    call_read_end(&task->call);
    arena_guard(task->call.arena, NULL);
    task->waiter.called = false;
    wait_on(task);
}

void dispatch_settled_elsewhere(struct service *service, struct uuid subject)
{
    struct waiter *waiter = waiters_call(&service->waiters, subject);
    while (waiter) {
        struct task *task = task_of_waiter(waiter);
        waiter = waiter->next;
        resume(task, phase_look);
    }
}

static void time_up_done(struct write *write, enum write_end end, err outcome)
{
    struct task *task = write->owner;
    ASSERT(end == WRITE_DONE);
    task->failure = outcome;
    task->settled = write->subject_answer;
    if (outcome != OK)
        resume(task, phase_fail);
    else if (write->answer_won) {
        dispatch_committed(task->service, write);
        resume(task, phase_settled);
    } else
        resume(task, phase_read_standing);
}

/* Time is up: the answer is 202 with the subject as it stands, unless another was fixed. */
static void phase_time_up(struct task *task)
{
    struct service *service = task->service;
    const void *message;
    if (end_if_left(task)) /* a repeat of its key waits anew */
        return;
    err error =
        service->config.standing(service->config.self, &task->call, task->waiter.subject, &message);
    if (error != OK) {
        task_fail(task, error);
        return;
    }
    call_read_end(&task->call);
    struct write *write = write_new(task->call.arena, NULL, NULL);
    write_answer_subject(write, task->waiter.subject, task->call.spec->response, message, 202);
    write->owner = task;
    write->done = time_up_done;
    arena_guard(task->call.arena, NULL);
    writer_submit(service->writer, write);
}

void dispatch_due(struct service *service, int64_t now_us)
{
    struct waiter *waiter = waiters_take_due(&service->waiters, now_us);
    while (waiter) {
        struct task *task = task_of_waiter(waiter);
        waiter = waiter->next;
        resume(task, phase_time_up);
    }
}

/* ---- the write ---- */

static void write_done(struct write *write, enum write_end end, err outcome)
{
    struct task *task = write->owner;
    struct service *service = task->service;
    bool waits = !uuid_is_nil(task->call.settles) && task->call.wait_ms > 0;
    if (waits && (end == WRITE_REPEATED || outcome != OK)) {
        bool dropped = waiters_drop(&service->waiters, task->call.settles, &task->waiter);
        ASSERT(dropped);
    }
    if (end == WRITE_REPEATED) {
        resume(task, phase_repeat);
        return;
    }
    /* Where it fixed its own answer, this call is woken here and may be gone. */
    bool woken = waits && outcome == OK && write->answer_won &&
                 uuid_equal(write->answers_subject, task->call.settles);
    if (outcome == OK)
        dispatch_committed(service, write);
    if (woken)
        return;
    task->failure = outcome;
    if (err_is(outcome, VERSION_CONFLICT) && task->runs < RUNS_MAX)
        resume(task, task_run_handler);
    else if (outcome != OK)
        resume(task, phase_fail);
    else if (waits) {
        if (waiters_on_disk(&service->waiters, &task->waiter))
            resume(task, phase_look);
    } else if (task->request->response.status != 0) {
        count_call(task, OK);
        respond(task);
    } else
        tell_answer_made(task);
}

/* Called by the writer inside the transaction, after the batch function: the answer of a call that
 * is decided under the lock. */
static void make_answer(struct write *write)
{
    struct call *call = &((struct task *)write->owner)->call;
    if (call->answer_view)
        call->answer = call->answer_view(call->arena, call->answer_subject);
    if (write->once && uuid_is_nil(write->once->subject))
        write->answer = (struct answer){ .known = true,
                                         .status = call->answer_status,
                                         .message = message_pack(call->arena, call->answer) };
}

/* Hands over. What can be said already is put into the response now, on the worker, and held until
 * the commit. */
static void hand_over(struct task *task)
{
    struct call *call = &task->call;
    struct write *write = call->write;
    bool settles = !uuid_is_nil(call->settles);
    if (call->idempotency_key.ptr) {
        task->once.subject = settles && call->wait_ms > 0 ? call->settles : (struct uuid){ { 0 } };
        write->once = &task->once;
    }
    audit_mark(call, task->in);
    call_read_end(&task->call);
    write->owner = task;
    write->done = write_done;
    write->make_answer = make_answer;
    if (settles && call->wait_ms > 0) {
        task->waiter = waiter_of(task, call->settles, false);
        begin_to_wait(task);
        if (request_is_left(task->request)) /* it can be found now: no leaving is missed */
            (void)waiters_hurry(&task->service->waiters, &task->waiter);
    } else {
        flight_is(&task->flight, "writing");
        if (!call->answer_view)
            binding_answer(call, task->request, call->answer, call->answer_status);
    }
    arena_guard(call->arena, NULL);
    writer_submit(task->service->writer, write);
}

/* ---- running ---- */

static void reset_call(struct task *task)
{
    struct call *call = &task->call;
    call_read_end(&task->call);
    clear_response(task);
    call->write = NULL;
    call->answer = NULL;
    call->answer_view = NULL;
    call->make_piece = NULL;
    call->answer_status = 0;
    call->settles = (struct uuid){ { 0 } };
    call->etag = call->location = STR_NONE;
    call->shows = (struct uuid){ { 0 } };
    if (call->spec->access == ACCESS_ANYONE && call->spec->method == HTTP_GET)
        task->cache_mark = cache_mark(task->service->cache);
    task->cache_until_us =
        db_is_shared(task->service->db) ? clock_mono_us() + CACHE_SHARED_US : INT64_MAX;
    call->now = clock_wall_us();
}

void task_turn_came(struct place_turn *turn)
{
    resume((struct task *)((char *)turn - offsetof(struct task, turn)), task_run_handler);
}

/* So many are with a neighbour that it found no place: it runs again when it has one. True where it
 * does; the task may be gone then. */
static bool wait_for_turn(struct task *task, err error)
{
    if (!err_is(error, UPSTREAM_UNAVAILABLE) || !task->turn.places)
        return false;
    call_read_end(&task->call);
    task->failure = error;
    task->runs--; /* it has done nothing yet */
    arena_guard(task->call.arena, NULL);
    flight_is(&task->flight, "waiting");
    if (!place_turn_wait(&task->turn))
        resume(task, phase_fail);
    return true;
}

/* Tells whether it still makes sense; where it does not, it is over. */
static bool is_in_time(struct task *task)
{
    struct arena *arena = task->call.arena;
    bool is_left = request_is_left(task->request);
    if (!is_left && clock_mono_us() <= task->call.deadline_us)
        return true;
    place_turn_end(&task->turn); /* while there is a task: others wait for it */
    task_fail(task, is_left ? fail(arena, CALL_CANCELLED, "the client has left")
                            : fail(arena, CALL_DEADLINE, "it waited too long for its turn"));
    return false;
}

static void run_handler(struct task *task)
{
    struct call *call = &task->call;
    task->runs++;
    if (!is_in_time(task))
        return;
    err error = call->spec->handle(task->service->config.self, call, task->in);
    if (wait_for_turn(task, error))
        return;
    place_turn_end(&task->turn);
    if (error != OK) {
        if (!answer_old(task, error) && !is_led_by_first(task))
            task_fail(task, error);
        return;
    }
    ASSERT(call->answer || call->answer_view || call->make_piece);
    if (call->write)
        hand_over(task);
    else if (is_led_by_first(task))
        return;
    else if (call->make_piece && task->request->grpc)
        task_fail(task, fail(call->arena, RPC_UNKNOWN, "this call gives a file: ask by HTTP"));
    else if (call->make_piece)
        answer_in_pieces(task);
    else
        answer_message_now(task, call->answer, call->answer_status);
}

void task_run_handler(struct task *task)
{
    reset_call(task);
    run_handler(task);
}

/* ---- repeats ---- */

/* The first call is still at work, or its process ended: waits as the first does. */
static void wait_with_first(struct task *task, struct uuid subject)
{
    call_read_end(&task->call);
    service_mark_replayed(task->request);
    arena_guard(task->call.arena, NULL);
    task->waiter = waiter_of(task, subject, true);
    wait_on(task);
}

static err find_repeat(struct task *task, enum once_found *found, struct answer *answer,
                       struct uuid *subject)
{
    struct db_reader *reader;
    TRY(call_reader(&task->call, &reader));
    return once_find(reader, task->call.arena, &task->once, found, answer, subject);
}

/* Where a key that is known leads: to the first call's answer, to its waiting, or to a refusal. */
static void follow_first(struct task *task, enum once_found found, const struct answer *answer,
                         struct uuid subject)
{
    reset_call(task);
    if (found == ONCE_OTHER_BODY) {
        task_fail(task, fail(task->call.arena, IDEMPOTENCY_KEY_REUSED,
                             "the key was used with another body"));
    } else if (found == ONCE_IN_FLIGHT) {
        wait_with_first(task, subject);
    } else {
        ASSERT(found == ONCE_ANSWERED);
        service_mark_replayed(task->request);
        answer_kept(task, answer);
    }
}

/* A new key is not looked up before its call is run: its claim decides, in the transaction of the
 * write. A handler that refuses, or finds nothing to write, may have seen what the first call with
 * the key has done: then that one is asked. */
static bool is_led_by_first(struct task *task)
{
    struct answer answer = { 0 };
    struct uuid subject = { { 0 } };
    enum once_found found = ONCE_NEW;
    if (!task->call.idempotency_key.ptr)
        return false;
    call_read_end(&task->call);
    err error = find_repeat(task, &found, &answer, &subject);
    if (error == OK && found == ONCE_NEW)
        return false;
    if (error == OK)
        follow_first(task, found, &answer, subject);
    else
        task_fail(task, error); /* nobody knows whether the first call has its answer */
    return true;
}

/* Somebody has claimed the key: looks it up and goes where it leads. Where the first call came to
 * nothing meanwhile, this one is the first. */
static void phase_repeat(struct task *task)
{
    struct answer answer = { 0 };
    struct uuid subject = { { 0 } };
    enum once_found found;
    reset_call(task);
    err error = find_repeat(task, &found, &answer, &subject);
    if (error == OK && found == ONCE_NEW && task->runs >= RUNS_MAX)
        error =
            fail(task->call.arena, IDEMPOTENCY_IN_FLIGHT, "others use this key at the same time");
    if (error != OK)
        task_fail(task, error);
    else if (found == ONCE_NEW)
        task_run_handler(task);
    else
        follow_first(task, found, &answer, subject);
}
