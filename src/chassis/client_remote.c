/* A call to a neighbour in another process: a message of gRPC over an upstream, whose loop does the
 * talking while the caller's thread waits. */
#include "chassis/client_inside.h"
#include "chassis/grpc.h"
#include "chassis/grpc_status.h"
#include "chassis/places.h"
#include "chassis/service.h"
#include "chassis/trace.h"
#include "chassis/upstream.h"
#include "chassis/write.h"
#include "os/clock.h"
#include "os/sync.h"

#include <string.h>

enum {
    ARENAS_KEPT = 8,
    ANSWER_BYTES_MAX = 4 * 1024 * 1024, /* as gRPC's clients have it */
    ARENA_BYTES_MAX = 8 * ANSWER_BYTES_MAX,
    HEADERS_OWN = 2,
    LOOK_US = 50000, /* how often who waits looks whether its own client is still there */
    TRACE_AT = 3,    /* in a traceparent */
    TRACE_LEN = 32,
    SPAN_AT = 36,
    SPAN_LEN = 16
};

struct remote {
    struct client_remote config;
    struct arena *memory;
    struct places places; /* of the calls under way */
    struct lock lock;
    struct arena *arenas[ARENAS_KEPT]; /* for the next calls */
    int arenas_count;
};

/* A call under way; lies in an arena of its own, for the loop puts the answer there. */
struct ask {
    struct request request;
    struct header headers[HEADERS_OWN + 1 + CLIENT_ADDED_MAX]; /* one: tracestate */
    struct remote *remote;
    struct arena *arena;
    struct cond told;
    struct text body; /* of the answer */
    bool is_told, is_too_long, is_broken;
    struct loop_task leave; /* tells the loop that the caller's client has left */
    bool is_leaving;        /* until it has heard */
};

/* Lies in the caller's arena. */
struct asking {
    struct ask *ask; /* NULL: it has ended */
};

struct remote *remote_open(const struct client_remote *config)
{
    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct remote *remote = arena_new(memory, struct remote);
    *remote = (struct remote){ .config = *config, .memory = memory };
    places_init(&remote->places, config->calls_max, config->waiting_max);
    lock_init(&remote->lock);
    return remote;
}

void remote_close(struct remote *remote)
{
    if (!remote)
        return;
    places_done(&remote->places);
    for (int i = 0; i < remote->arenas_count; i++)
        arena_close(remote->arenas[i]);
    lock_done(&remote->lock);
    arena_close(remote->memory);
}

/* ---- A place ---- */

/* NULL where too many wait for this neighbour. */
static struct ask *ask_begin(struct remote *remote, struct place_turn *turn)
{
    struct arena *arena = NULL;

    if (!places_take(&remote->places, turn))
        return NULL;
    lock_take(&remote->lock);
    if (remote->arenas_count > 0)
        arena = remote->arenas[--remote->arenas_count];
    lock_drop(&remote->lock);
    if (!arena)
        arena = arena_open(ARENA_BYTES_MAX);
    struct ask *ask = arena_new(arena, struct ask);
    *ask = (struct ask){ .remote = remote, .arena = arena };
    cond_init(&ask->told);
    return ask;
}

/* Also called where the ceiling of the caller's arena ends it. */
static void ask_end(void *subject)
{
    struct asking *asking = subject;
    struct ask *ask = asking->ask;
    if (!ask)
        return;
    struct remote *remote = ask->remote;
    struct arena *arena = ask->arena;

    asking->ask = NULL;
    cond_done(&ask->told);
    arena_reset(arena);
    lock_take(&remote->lock);
    bool is_kept = remote->arenas_count < ARENAS_KEPT;
    if (is_kept)
        remote->arenas[remote->arenas_count++] = arena;
    lock_drop(&remote->lock);
    if (!is_kept)
        arena_close(arena);
    places_give(&remote->places); /* the last: the client may be closed now */
}

/* ---- The answer, on the loop ---- */

static void tell(struct ask *ask)
{
    struct remote *remote = ask->remote;

    lock_take(&remote->lock);
    ask->is_told = true;
    cond_wake_one(&ask->told);
    lock_drop(&remote->lock);
}

static void on_answer(struct request *request)
{
    struct ask *ask = request->transport;

    if (!request->response.stream) {
        tell(ask);
        return;
    }
    ask->body = text_init(ask->arena, 2 * request->response.body.len + 1);
    request->made(request);
}

/* A piece of a long one. */
static void on_piece(struct request *request)
{
    struct ask *ask = request->transport;
    struct answer_stream *stream = request->response.stream;

    ask->is_broken = stream->failed;
    ask->is_too_long = ask->body.len + request->response.body.len > ANSWER_BYTES_MAX;
    if (!ask->is_too_long)
        text_add(&ask->body, request->response.body);
    if (!stream->ended && !stream->failed && !ask->is_too_long) {
        stream->next(request);
        return;
    }
    stream->end(request);
    tell(ask);
}

/* ---- The request ---- */

static void identify(struct request *request, const struct call *caller)
{
    str trace = caller->traceparent;

    if (trace.len >= SPAN_AT + SPAN_LEN) {
        memcpy(request->trace_id, trace.ptr + TRACE_AT, TRACE_LEN);
        memcpy(request->span_id, trace.ptr + SPAN_AT, SPAN_LEN);
        request->sampled = str_ends(trace_carried_parent(trace), STR("1"));
    }

    request->teller = caller->service ? service_name(caller->service) : NULL; /* the follower's */
    if (caller->request)
        memcpy(request->request_id, caller->request->request_id, sizeof(request->request_id));
}

static void fill(struct ask *ask, const struct call *caller, const struct call_spec *spec,
                 const void *in)
{
    const struct client_remote *config = &ask->remote->config;
    struct request *request = &ask->request;
    struct text body = text_init(ask->arena, 256);

    grpc_frame(ask->arena, &body, message_pack(ask->arena, in), false);
    *request =
        (struct request){ .arena = ask->arena,
                          .method = HTTP_POST,
                          .method_text = STR("POST"),
                          .path = str_format(ask->arena, "/%s", spec->name),
                          .headers = ask->headers,
                          .body = text_str(&body),
                          .grpc = true,
                          .received_us = clock_mono_us(),
                          .deadline_us = caller->deadline_us == INT64_MAX ? 0 : caller->deadline_us,
                          .repeatable = true,
                          .respond = &on_answer,
                          .made = &on_piece,
                          .transport = ask };
    identify(request, caller);
    ask->headers[0] = (struct header){ STR("content-type"), STR("application/grpc+proto") };
    ask->headers[1] = (struct header){ STR("grpc-accept-encoding"), STR("identity") };
    request->headers_count = HEADERS_OWN;
    str state = trace_carried_state(caller->traceparent);
    if (state.len > 0)
        ask->headers[request->headers_count++] =
            (struct header){ STR("tracestate"), str_copy(ask->arena, state) };
    if (config->add_headers)
        request->headers_count += config->add_headers(config->self, caller, ask->arena,
                                                      ask->headers + request->headers_count);
}

static void on_leave(struct loop_task *task)
{
    struct ask *ask = (struct ask *)((char *)task - offsetof(struct ask, leave));
    struct remote *remote = ask->remote;

    lock_take(&remote->lock);
    bool is_told = ask->is_told;
    lock_drop(&remote->lock);
    if (!is_told)
        request_leave(&ask->request);
    lock_take(&remote->lock);
    ask->is_leaving = false;
    cond_wake_one(&ask->told);
    lock_drop(&remote->lock);
}

/* Whose client leaves meanwhile does not wait on. */
static void wait_for(struct ask *ask, const struct request *outer)
{
    bool is_left = false;

    lock_take(&ask->remote->lock);
    while (!ask->is_told || ask->is_leaving) {
        if (!outer || is_left) {
            cond_wait(&ask->told, &ask->remote->lock);
            continue;
        }
        cond_wait_until(&ask->told, &ask->remote->lock, clock_mono_us() + LOOK_US);
        is_left = request_is_left(outer);
        if (!is_left || ask->is_told)
            continue;
        ask->is_leaving = true;
        ask->leave.run = &on_leave;
        loop_post(upstream_loop(ask->remote->config.upstream), &ask->leave);
    }
    lock_drop(&ask->remote->lock);
}

static err read_answer(struct ask *ask, struct arena *arena, const struct call_spec *spec,
                       const void **out)
{
    str rest = ask->body.ptr ? text_str(&ask->body) : ask->request.response.body, bytes;
    void *message;
    err error;

    if (ask->is_too_long)
        return fail(arena, UPSTREAM_FAILED, "%s answers with more than %d bytes", spec->short_name,
                    ANSWER_BYTES_MAX);
    if (ask->is_broken)
        return fail(arena, UPSTREAM_FAILED, "%s breaks off in its answer", spec->short_name);
    TRY(grpc_status_error(arena, &ask->request.response));
    enum grpc_taken taken = grpc_take(arena, STR_NONE, ANSWER_BYTES_MAX, &rest, &bytes, &error);
    if (taken == GRPC_MESSAGE && rest.len == 0)
        error = message_unpack(arena, bytes, spec->response, &message);
    else if (taken != GRPC_FAILED)
        error = fail(arena, PROTOBUF_MALFORMED, "it is not one message");
    if (error)
        return fail_over(arena, UPSTREAM_FAILED, error, "the answer of %s cannot be read",
                         spec->short_name);
    *out = message;
    return OK;
}

err remote_call(struct remote *remote, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out)
{
    ASSERT(remote && caller && spec && in && out);
    ASSERT(!writer_is_here()); /* it would hold the rows that it has locked */

    if (clock_mono_us() > caller->deadline_us)
        return fail(caller->arena, CALL_DEADLINE, "no time is left to ask %s", spec->short_name);
    TRY(message_validate(caller->arena, spec->request, in));
    struct asking *asking = arena_new(caller->arena, struct asking);
    struct ask *ask = asking->ask = ask_begin(remote, caller->turn);
    if (!ask)
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%d calls wait for this neighbour already",
                    remote->config.calls_max);
    arena_defer(caller->arena, &ask_end, asking);
    fill(ask, caller, spec, in);
    call_read_end(caller);
    upstream_forward(remote->config.upstream, &ask->request);
    wait_for(ask, caller->request);
    err error = read_answer(ask, caller->arena, spec, out);
    ask_end(asking);
    return error;
}
