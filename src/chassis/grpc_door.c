#include "chassis/grpc_door.h"

#include "chassis/grpc.h"
#include "chassis/grpc_reflection.h"

enum { US_IN_MS = 1000 };

struct grpc_talk;

/* A call of the door's own. */
struct own_call {
    const char *path;
    const char *route; /* for logs and metrics */
    bool reflection;
    /* One message of a stream came. Adds to talk->out, or fails. NULL: it is unary. */
    err (*hear)(struct grpc_talk *talk, str message);
};

/* A stream at work; lies in the arena of its request. */
struct grpc_talk {
    struct talk talk; /* first: the request points at it */
    struct grpc_talk *older, *newer;
    struct grpc_door *door;
    struct request *request;
    const struct own_call *call;
    struct text in, out; /* what was heard and not answered; messages in the piece in hand */
    bool asked;          /* the transport waits for the next piece */
    bool heard_all, gone, ends;
    err failure;     /* that it ends with */
    int64_t late_ms; /* its deadline, by the loop's clock; INT64_MAX: none */
    int64_t quiet_since_ms;
    struct grpc_reflection reflection;
    bool watches;
    str watched;
    enum grpc_health told; /* 0: nothing yet */
};

struct grpc_door {
    struct arena *memory; /* holds this struct */
    struct arena *scratch;
    struct loop *loop;
    struct loop_timer *timer; /* NULL: closed; the last talk to leave frees it */
    const struct grpc_served *served;
    int served_count;
    bool reflects, draining, stopped;
    struct grpc_talk *talks;
    int talks_count;
};

/* ---- The calls ---- */

static enum grpc_health health_of(const struct grpc_door *door, str service)
{
    return grpc_health_of(door->served, door->served_count, door->draining, service);
}

static err hear_question(struct grpc_talk *talk, str message)
{
    struct arena *scratch = talk->door->scratch;
    struct text answer = text_init(scratch, 1024);

    if (!grpc_reflection_answer(&talk->reflection, scratch, message, &answer))
        return fail(talk->request->arena, PROTOBUF_MALFORMED, "the request cannot be decoded");
    grpc_frame(scratch, &talk->out, text_str(&answer), grpc_packs(talk->request));
    return OK;
}

static err hear_watched(struct grpc_talk *talk, str message)
{
    str service;

    if (talk->watches || !grpc_health_read(message, &service))
        return fail(talk->request->arena, PROTOBUF_MALFORMED, "Watch takes one HealthCheckRequest");
    talk->watched = str_copy(talk->request->arena, service);
    talk->watches = true;
    return OK;
}

static const struct own_call CALLS[] = {
    { "/grpc.health.v1.Health/Check", "grpc.health_check", false, NULL },
    { "/grpc.health.v1.Health/Watch", "grpc.health_watch", false, hear_watched },
    { "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "grpc.reflection", true,
      hear_question },
    { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "grpc.reflection", true,
      hear_question },
};

static const struct own_call *call_of(const struct grpc_door *door, const struct request *request)
{
    for (size_t i = 0; request->grpc && i < sizeof(CALLS) / sizeof(CALLS[0]); i++)
        if (str_equal(request->path, str_of_z(CALLS[i].path)))
            return CALLS[i].reflection && !door->reflects ? NULL : &CALLS[i];
    return NULL;
}

/* ---- A talk ---- */

static void door_free(struct grpc_door *door)
{
    arena_close(door->scratch);
    arena_close(door->memory);
}

static void talk_leave(struct grpc_talk *talk)
{
    struct grpc_door *door = talk->door;

    if (talk->newer)
        talk->newer->older = talk->older;
    else
        door->talks = talk->older;
    if (talk->older)
        talk->older->newer = talk->newer;
    if (--door->talks_count > 0)
        return;
    if (door->timer)
        loop_timer_stop(door->timer);
    else
        door_free(door);
}

/* Answers what was heard, and tells what changed, until a piece is full. */
static void work(struct grpc_talk *talk)
{
    struct arena *arena = talk->request->arena;
    str encoding = request_header(talk->request, STR("grpc-encoding"));
    enum grpc_taken taken = GRPC_MESSAGE;
    str rest = text_str(&talk->in), message;

    while (!talk->ends && talk->out.len < GRPC_TALK_BYTES_MAX && taken == GRPC_MESSAGE) {
        err error = OK;
        taken =
            grpc_take(talk->door->scratch, encoding, GRPC_TALK_BYTES_MAX, &rest, &message, &error);
        if (taken == GRPC_MESSAGE)
            error = talk->call->hear(talk, message);
        if (error) {
            talk->ends = true;
            talk->failure = err_copy(arena, error);
        }
        arena_reset(talk->door->scratch);
    }
    memmove(talk->in.ptr, rest.ptr, rest.len);
    talk->in.len = rest.len;
    talk->talk.unread = talk->in.len;
}

static void tell_health(struct grpc_talk *talk)
{
    enum grpc_health health = health_of(talk->door, talk->watched);
    struct text answer = text_init(talk->door->scratch, 16);
    if (!talk->watches || talk->ends || health == talk->told)
        return;

    grpc_health_write(&answer, health);
    grpc_frame(talk->door->scratch, &talk->out, text_str(&answer), false);
    arena_reset(talk->door->scratch);
    talk->told = health;
}

/* All was heard and answered. */
static void judge_end(struct grpc_talk *talk)
{
    if (talk->ends || !talk->heard_all || talk->out.len > 0 || talk->watches)
        return;

    talk->ends = true;
    if (talk->in.len > 0)
        talk->failure =
            fail(talk->request->arena, PROTOBUF_MALFORMED, "the last message is cut short");
    else if (!talk->call->reflection)
        talk->failure = fail(talk->request->arena, PROTOBUF_MALFORMED, "there is no message");
}

/* Gives the transport its next piece, if there is one by now. */
static void step(struct grpc_talk *talk)
{
    struct request *request = talk->request;
    struct response *response = &request->response;
    if (!talk->asked)
        return;

    talk->out.len = 0;
    work(talk);
    tell_health(talk);
    judge_end(talk);
    if (talk->out.len == 0 && !talk->ends && !talk->gone)
        return;
    talk->asked = false;
    talk->quiet_since_ms = loop_now_ms(talk->door->loop);
    response->body = text_str(&talk->out);
    if (talk->out.len == 0 && !talk->gone) {
        talk->talk.answer.ended = true;
        if (talk->failure)
            grpc_fail(request, talk->failure);
    }
    request->made(request);
}

static void end_with(struct grpc_talk *talk, enum err_code code, const char *words)
{
    if (!talk->ends)
        talk->failure = fail(talk->request->arena, code, "%s", words);
    talk->ends = true;
    step(talk);
}

/* ---- What the transport tells ---- */

static struct grpc_talk *talk_of(struct request *request)
{
    return (struct grpc_talk *)request->talk;
}

static void on_next(struct request *request)
{
    talk_of(request)->asked = true;
    step(talk_of(request));
}

static void on_heard(struct request *request, str bytes, bool ended)
{
    struct grpc_talk *talk = talk_of(request);

    text_add(&talk->in, bytes);
    talk->talk.unread = talk->in.len;
    talk->heard_all = ended;
    talk->quiet_since_ms = loop_now_ms(talk->door->loop);
    step(talk);
}

static void on_gone(struct request *request)
{
    talk_of(request)->gone = true;
    step(talk_of(request));
}

static void on_end(struct request *request) { talk_leave(talk_of(request)); }

/* ---- Time ---- */

static void on_tick(void *subject)
{
    struct grpc_door *door = subject;
    int64_t now_ms = loop_now_ms(door->loop);

    for (struct grpc_talk *talk = door->talks, *older; talk; talk = older) {
        older = talk->older;
        if (talk->late_ms <= now_ms)
            end_with(talk, CALL_DEADLINE, "its grpc-timeout has passed");
        else if (talk->call->reflection && talk->quiet_since_ms + GRPC_TALK_IDLE_MS <= now_ms)
            end_with(talk, CALL_DRAINING, "nothing was asked for a long time");
        else
            step(talk);
    }
}

/* ---- Requests ---- */

bool grpc_door_is_for(const struct grpc_door *door, const struct request *request)
{
    ASSERT(door && request);
    return call_of(door, request) != NULL;
}

void grpc_door_begin(struct grpc_door *door, struct request *request)
{
    ASSERT(door && request);
    const struct own_call *call = call_of(door, request);
    struct arena *arena = request->arena;
    int64_t timeout_us;
    bool is_taken = call && call->hear && !door->stopped && door->talks_count < GRPC_TALKS_MAX &&
                    grpc_timeout(arena, request, &timeout_us) == OK;
    if (!is_taken)
        return; /* it is answered when it is complete */

    struct grpc_talk *talk = arena_new(arena, struct grpc_talk);
    int64_t now_ms = loop_now_ms(door->loop);
    *talk = (struct grpc_talk){
        .talk = { .answer = { .next = on_next, .end = on_end }, .hear = on_heard, .gone = on_gone },
        .older = door->talks,
        .door = door,
        .request = request,
        .call = call,
        .in = text_init(arena, 1024),
        .out = text_init(arena, 1024),
        .late_ms = timeout_us < 0 ? INT64_MAX : now_ms + timeout_us / US_IN_MS,
        .quiet_since_ms = now_ms,
        .reflection = { .served = door->served, .served_count = door->served_count },
    };
    if (door->talks)
        door->talks->newer = talk;
    door->talks = talk;
    if (door->talks_count++ == 0)
        loop_timer_start(door->timer, GRPC_TALK_TICK_MS, GRPC_TALK_TICK_MS);
    request->route = call->route;
    request->talk = &talk->talk;
    grpc_answer_begin(request);
    request->response.stream = &talk->talk.answer;
}

static err check(const struct grpc_door *door, struct request *request)
{
    struct text answer = text_init(request->arena, 16);
    str message, service;

    TRY(grpc_message(request->arena, request, GRPC_TALK_BYTES_MAX, &message));
    if (!grpc_health_read(message, &service))
        return fail(request->arena, PROTOBUF_MALFORMED, "the request cannot be decoded");
    enum grpc_health health = health_of(door, service);
    if (health == GRPC_HEALTH_SERVICE_UNKNOWN)
        return fail(request->arena, NOT_FOUND, "There is no service %" STR_F " here",
                    STR_A(service));
    grpc_health_write(&answer, health);
    grpc_answer_bytes(request, text_str(&answer));
    return OK;
}

/* A stream that did not become a talk: why. */
static err why_no_talk(const struct grpc_door *door, struct request *request)
{
    int64_t timeout_us;

    TRY(grpc_timeout(request->arena, request, &timeout_us));
    if (door->stopped)
        return fail(request->arena, CALL_DRAINING, "this door closes");
    if (door->talks_count >= GRPC_TALKS_MAX)
        return fail(request->arena, CALL_OVERLOADED, "%d streams are open here", GRPC_TALKS_MAX);
    return fail(request->arena, PROTOBUF_MALFORMED, "there is no message");
}

void grpc_door_handle(struct grpc_door *door, struct request *request)
{
    ASSERT(door && request && !request->talk);
    const struct own_call *call = call_of(door, request);
    ASSERT(call);

    request->route = call->route;
    err error = call->hear ? why_no_talk(door, request) : check(door, request);
    if (error)
        response_problem(request, error);
    request_respond(request);
}

/* ---- Opening and closing ---- */

struct grpc_door *grpc_door_open(struct loop *loop, const struct grpc_served *served,
                                 int served_count, bool reflects)
{
    enum { MEMORY_BYTES_MAX = 64 * 1024, SCRATCH_BYTES_MAX = 4 * 1024 * 1024 };
    ASSERT(loop && served && served_count >= 0);

    struct arena *memory = arena_open(MEMORY_BYTES_MAX);
    struct grpc_door *door = arena_new(memory, struct grpc_door);
    *door = (struct grpc_door){
        .memory = memory,
        .scratch = arena_open(SCRATCH_BYTES_MAX),
        .loop = loop,
        .served = arena_copy(memory, served, (size_t)served_count * sizeof(served[0])),
        .served_count = served_count,
        .reflects = reflects,
    };
    door->timer = loop_timer_open(loop, on_tick, door);
    return door;
}

void grpc_door_drain(struct grpc_door *door)
{
    ASSERT(door);
    door->draining = true;
    on_tick(door);
}

void grpc_door_stop(struct grpc_door *door)
{
    ASSERT(door);
    door->draining = door->stopped = true;
    for (struct grpc_talk *talk = door->talks, *older; talk; talk = older) {
        older = talk->older;
        end_with(talk, CALL_DRAINING, "this door closes");
    }
}

void grpc_door_close(struct grpc_door *door)
{
    if (!door)
        return;
    loop_timer_close(door->timer);
    door->timer = NULL;
    if (door->talks_count == 0)
        door_free(door);
}
