/* One request to an upstream and its answer: sent, perhaps sent again, passed back whole or piece
 * by piece. */
#include "base/arena.h"
#include "chassis/grpc.h"
#include "chassis/trace_call.h"
#include "chassis/upstream_inside.h"
#include "os/clock.h"

#include <string.h>

enum {
    ATTEMPTS_MAX = 5,
    REPEATS_MAX = 2,               /* of one that may have begun */
    SPARE_BYTES = 2 * 1024 * 1024, /* headers, and two pieces of an answer */
    BODY_FIRST_BYTES = 1024
};

/* ---- The beginning and the end ---- */

static void list(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;

    call->older = upstream->calls;
    if (upstream->calls)
        upstream->calls->newer = call;
    upstream->calls = call;
}

static void leave_queue(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    struct upstream_call **at = &upstream->waiting, *before = NULL;

    while (*at != call) {
        before = *at;
        at = &(*at)->next;
    }
    *at = call->next;
    if (!*at && upstream->waiting_last == call)
        upstream->waiting_last = before;
    call->next = NULL;
    call->is_waiting = false;
    upstream->waiting_count--;
}

/* Nobody may be left thinking that it is still tried with this one. */
static void leave_peer(struct upstream_call *call)
{
    if (call->peer)
        call->peer->breaker.tried = false;
    call->peer = NULL;
}

/* It is over: nothing of it is known here any more. */
static void unlist(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;

    if (call->is_waiting)
        leave_queue(call);
    if (call->h2.client)
        http2_call_cancel(&call->h2);
    leave_peer(call);
    if (call->newer)
        call->newer->older = call->older;
    else
        upstream->calls = call->older;
    if (call->older)
        call->older->newer = call->newer;
    call->newer = call->older = NULL;
    call->upstream = NULL;
}

/* The request is gone before its end: its client has left. */
static void abandon(void *subject)
{
    struct upstream_call *call = subject;

    if (call->upstream)
        unlist(call);
}

static void wait_until(struct upstream_call *call, int64_t deadline_ms)
{
    call->deadline_ms = deadline_ms;
    upstream_wake_at(call->upstream, deadline_ms);
}

static int64_t timeout_ms(const struct upstream_call *call)
{
    return conf_int(call->upstream->config.conf, CONF_UPSTREAM_TIMEOUT);
}

/* For the other side to take a piece, or to give one. */
static void wait_for_piece(struct upstream_call *call)
{
    wait_until(call, loop_now_ms(call->upstream->loop) + timeout_ms(call));
}

static err error_of(struct arena *arena, enum err_code code, const char *service, const char *why)
{
    return fail(arena, code, "%s: %s", service, why);
}

/* The attempt has ended; `why` it came to nothing, or NULL. */
static void tell_attempt(struct upstream_call *call, enum err_code code, const char *why)
{
    struct trace_attempt attempt = { .to = call->upstream->config.name,
                                     .since_us = call->attempt_us,
                                     .number = call->attempts,
                                     .failed = why != NULL,
                                     .word = why ? err_word(code) : STR_NONE,
                                     .why = why };
    trace_tell_attempt(call->request, &attempt);
}

static void count(const struct upstream *upstream, enum err_code code)
{
    series_add(code == UPSTREAM_UNAVAILABLE ? upstream->unavailable
               : code == CALL_DEADLINE      ? upstream->deadline
               : code == CALL_CANCELLED     ? upstream->cancelled
                                            : upstream->failed,
               1);
}

/* Hands what has gathered to the transport; the service may send as much again. */
static void hand_over(struct upstream_call *call)
{
    struct text before = call->other;

    call->other = call->body;
    call->body = before;
    call->body.len = 0;
    call->request->response.body = call->other.len > 0 ? text_str(&call->other) : STR_NONE;
    if (call->h2.client && call->other.len > 0)
        http2_call_consume(&call->h2, call->other.len);
    call->answer.ended = call->ended;
    call->answer.failed = call->broken;
}

static void piece_give(struct upstream_call *call)
{
    call->asked = false;
    call->deadline_ms = INT64_MAX; /* the transport's turn */
    hand_over(call);
    call->request->made(call->request);
}

/* A stream hears of it when it asks for the next piece; else the transport has the answer now. */
void upstream_call_fail(struct upstream_call *call, enum err_code code, const char *why)
{
    ASSERT(call && call->upstream && why);
    struct request *request = call->request;

    err error = error_of(request->arena, code, call->upstream->config.name, why);
    count(call->upstream, code);
    tell_attempt(call, code, why);
    unlist(call);
    if (call->responded) {
        call->broken = true;
        if (call->asked)
            piece_give(call);
        return;
    }
    if (call->streams && !call->complete) {
        call->failure = error;
        if (call->piece) {
            call->piece = false;
            request->failure = error;
            request->taken(request);
        }
        return;
    }
    response_problem(request, error);
    request_respond(request);
}

/* Its client has left: the service need not go on. */
static void on_left(void *subject)
{
    struct upstream_call *call = subject;

    if (call->upstream)
        upstream_call_fail(call, CALL_CANCELLED, "the client has left");
}

/* ---- Sending ---- */

static void enqueue(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;

    call->next = NULL;
    call->is_waiting = true;
    call->refusals = upstream->refusals;
    if (upstream->waiting)
        upstream->waiting_last->next = call;
    else
        upstream->waiting = call;
    upstream->waiting_last = call;
    upstream->waiting_count++;
}

/* In its place of the queue, or refused where that is full. */
static void wait_for_link(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;

    if (upstream->waiting_count >= conf_int(upstream->config.conf, CONF_UPSTREAM_WAITING_MAX)) {
        upstream_call_fail(call, UPSTREAM_UNAVAILABLE, "too many requests wait for a connection");
        return;
    }
    enqueue(call);
    upstream_look(upstream);
}

static size_t on_give(struct http2_call *h2, char *room, size_t room_len, bool *ended)
{
    struct upstream_call *call = (struct upstream_call *)h2;
    struct request *request = call->request;
    size_t len = 0;

    if (!call->streams || call->piece) {
        len = request->body.len - call->given;
        len = len < room_len ? len : room_len;
        if (len > 0)
            memcpy(room, request->body.ptr + call->given, len);
        call->given += len;
    }
    if (!call->streams) {
        *ended = call->given == request->body.len;
    } else if (call->piece && call->given == request->body.len) {
        call->piece = false;
        call->used_up = true;
        call->deadline_ms = INT64_MAX; /* the client's turn; its transport watches it */
        request->taken(request);
    } else if (!call->piece) {
        *ended = call->complete;
    }
    return len;
}

static bool on_field(struct http2_call *h2, str name, str value, bool trailer)
{
    struct upstream_call *call = (struct upstream_call *)h2;

    return upstream_answer_field(call->request->arena, call->request, name, value, trailer);
}

static void on_head(struct http2_call *h2);
static void on_body(struct http2_call *h2, str bytes);
static void on_ended(struct http2_call *h2);
static void on_failed(struct http2_call *h2, enum http2_failure failure, const char *why);

static const struct http2_call_events EVENTS = { .field = on_field,
                                                 .head = on_head,
                                                 .body = on_body,
                                                 .ended = on_ended,
                                                 .failed = on_failed,
                                                 .give = on_give };

void upstream_call_send(struct upstream_call *call, struct upstream_link *link)
{
    ASSERT(call && !call->is_waiting && !call->h2.client && link && link->client);
    struct upstream *upstream = call->upstream;
    struct request *request = call->request;
    struct header *fields = /* not zeroed in vain */
        arena_grow(request->arena, NULL, 0, HTTP2_CLIENT_FIELDS_MAX * sizeof *fields);
    struct header added[UPSTREAM_ADDED_MAX];
    int added_count = 0;
    int64_t now_ms = loop_now_ms(upstream->loop);
    int64_t left_ms =
        call->deadline_ms == INT64_MAX ? timeout_ms(call) : call->deadline_ms - now_ms;

    request->response = (struct response){ 0 };
    call->head = call->ended = false;
    call->given = 0;
    call->attempts++;
    trace_begin_attempt(request);
    if (request->asked_span_id[0])
        call->attempt_us = clock_mono_us();
    call->peer = link->peer;
    if (upstream->config.add_headers)
        added_count = upstream->config.add_headers(upstream->config.self, request, added);
    int fields_count =
        upstream_fields(request->arena, request, upstream->url.tls, upstream->url.authority,
                        left_ms * TIME_MS, added, added_count, fields);
    http2_client_ask(link->client, &call->h2, &EVENTS, fields, fields_count,
                     call->streams || request->body.len > 0);
    upstream_wake_at(upstream,
                     now_ms + conf_int(upstream->config.conf, CONF_UPSTREAM_PING_INTERVAL));
}

/* ---- Again ---- */

static bool is_repeatable(const struct request *request)
{
    return request->repeatable || request->method == HTTP_GET || request->method == HTTP_HEAD ||
           request_header(request, STR("idempotency-key")).len > 0;
}

static bool may_go_again(struct upstream_call *call, bool not_begun)
{
    struct upstream *upstream = call->upstream;

    if (call->used_up || call->responded || call->attempts >= ATTEMPTS_MAX || upstream->closing)
        return false;
    if (not_begun) {
        series_add(upstream->retried_not_begun, 1);
        return true;
    }
    if (call->attempts > REPEATS_MAX || !is_repeatable(call->request) ||
        !retry_budget_spend(&upstream->budget))
        return false;
    series_add(upstream->retried_repeatable, 1);
    return true;
}

static void go_again(struct upstream_call *call, const char *why)
{
    tell_attempt(call, UPSTREAM_UNAVAILABLE, why);
    call->avoid = call->peer;
    leave_peer(call);
    call->body.len = 0;
    call->fresh = false;
    wait_for_link(call);
}

/* ---- The answer ---- */

static struct upstream_call *call_of_answer(const struct request *request)
{
    return (struct upstream_call *)((char *)request->response.stream -
                                    offsetof(struct upstream_call, answer));
}

static void next(struct request *request)
{
    struct upstream_call *call = call_of_answer(request);
    ASSERT(!call->upstream || loop_is_here(call->upstream->loop));

    call->asked = true;
    if (call->body.len > 0 || call->ended || call->broken)
        piece_give(call);
    else
        wait_for_piece(call);
}

static void end(struct request *request) { abandon(call_of_answer(request)); }

/* The answer goes to the transport whole. */
static void respond_whole(struct upstream_call *call)
{
    struct request *request = call->request;
    struct response *response = &request->response;

    if (call->body.len > 0)
        response->body = text_str(&call->body);
    if (request->method != HTTP_HEAD)
        response->head_length = 0;
    tell_attempt(call, 0, NULL);
    unlist(call);
    request_respond(request);
}

/* The first piece of it. */
static void respond_in_pieces(struct upstream_call *call)
{
    struct request *request = call->request;

    tell_attempt(call, 0, NULL);
    call->responded = true;
    call->deadline_ms = INT64_MAX;
    call->answer = (struct answer_stream){ .next = next, .end = end };
    request->response.head_length = 0;
    request->response.stream = &call->answer;
    hand_over(call);
    request_respond(request);
}

/* Its request is whole, too: a stream's answer waits for that. */
static bool may_respond(const struct upstream_call *call)
{
    return !call->streams || call->complete;
}

/* "Try again", and there is somebody else to try. */
static bool is_worth_another(struct upstream_call *call)
{
    enum { UNAVAILABLE = 503, GRPC_UNAVAILABLE = 14 };
    const struct response *response = &call->request->response;
    bool is_away = response->status == UNAVAILABLE ||
                   (response->grpc_told && response->grpc_status == GRPC_UNAVAILABLE);

    return is_away && is_repeatable(call->request) &&
           upstream_has_other(call->upstream, call->peer) && may_go_again(call, false);
}

static void on_head(struct http2_call *h2)
{
    struct upstream_call *call = (struct upstream_call *)h2;

    call->head = true;
    series_time(call->upstream->seconds, clock_mono_us() - call->began_us);
    if (!is_worth_another(call))
        return;
    http2_call_cancel(&call->h2);
    go_again(call, "it is away, and another is there");
}

/* It will not fit into what is sent before somebody takes it, or nobody knows. */
static bool is_long(const struct upstream_call *call)
{
    int64_t told = call->request->response.head_length;

    return told == 0 || told > HTTP2_CLIENT_WINDOW_BYTES;
}

static void on_body(struct http2_call *h2, str bytes)
{
    struct upstream_call *call = (struct upstream_call *)h2;

    if (!call->body.ptr)
        call->body = text_init(call->request->arena,
                               bytes.len > BODY_FIRST_BYTES ? bytes.len : (size_t)BODY_FIRST_BYTES);
    text_add(&call->body, bytes);
    if (call->responded ? call->asked : is_long(call) && may_respond(call)) {
        call->fresh = true;
        upstream_turn_soon(call->upstream);
    }
}

void upstream_call_turn(struct upstream_call *call)
{
    ASSERT(call && call->upstream);

    if (call->responded && call->asked)
        piece_give(call);
    else if (!call->responded && call->head && !call->ended && may_respond(call))
        respond_in_pieces(call);
}

/* What was asked for as gRPC must answer as that. */
static bool is_answer(const struct request *request)
{
    return !request->grpc || request->response.grpc_told;
}

static void on_ended(struct http2_call *h2)
{
    struct upstream_call *call = (struct upstream_call *)h2;

    call->ended = true;
    upstream_peer_did_well(call->peer);
    call->peer = NULL;
    if (!call->responded && may_respond(call) && !is_answer(call->request)) {
        upstream_call_fail(call, UPSTREAM_FAILED, "it does not speak gRPC");
        return;
    }
    if (!call->responded)
        series_add(call->upstream->ok, 1);
    if (call->responded && call->asked)
        piece_give(call);
    else if (!call->responded && may_respond(call))
        respond_whole(call);
    else if (call->piece) { /* the answer came first: nobody wants the rest of the body */
        call->piece = false;
        call->request->taken(call->request);
    }
}

/* The answer breaks off in mid-body: too late for another status. */
static void break_off(struct upstream_call *call, const char *why)
{
    struct upstream *upstream = call->upstream;

    call->broken = true;
    series_add(upstream->failed, 1);
    LOG(LOG_WARN, "upstream.broken_off", LOG_TEXT("upstream", str_of_z(upstream->config.name)),
        LOG_TEXT("reason", str_of_z(why)), LOG_TEXT("trace_id", str_of_z(call->request->trace_id)));
    if (call->asked)
        piece_give(call);
}

static void on_failed(struct http2_call *h2, enum http2_failure failure, const char *why)
{
    struct upstream_call *call = (struct upstream_call *)h2;
    bool not_begun = failure == HTTP2_NOT_BEGUN;

    if (!not_begun)
        upstream_peer_failed(call->peer);
    if (call->responded)
        break_off(call, why);
    else if (failure != HTTP2_BAD_ANSWER && may_go_again(call, not_begun))
        go_again(call, why);
    else
        upstream_call_fail(call, not_begun ? UPSTREAM_UNAVAILABLE : UPSTREAM_FAILED, why);
}

void upstream_call_expire(struct upstream_call *call)
{
    ASSERT(call && call->upstream);

    call->deadline_ms = INT64_MAX;
    if (call->peer && !call->head)
        upstream_peer_failed(call->peer);
    if (!call->responded) {
        upstream_call_fail(call, CALL_DEADLINE, "it does not answer in time");
        return;
    }
    if (call->h2.client)
        http2_call_cancel(&call->h2);
    break_off(call, "it gives nothing more");
}

/* ---- Requests ---- */

static struct upstream_call *call_new(struct upstream *upstream, struct request *request)
{
    arena_raise(request->arena, SPARE_BYTES);
    struct upstream_call *call = arena_new(request->arena, struct upstream_call);
    *call = (struct upstream_call){ .upstream = upstream,
                                    .request = request,
                                    .deadline_ms = INT64_MAX,
                                    .began_us = clock_mono_us() };
    return call;
}

static void begin(struct upstream_call *call)
{
    list(call);
    arena_defer(call->request->arena, &abandon, call);
    call->request->left_subject = call;
    call->request->left = &on_left;
    retry_budget_earn(&call->upstream->budget,
                      (int)conf_int(call->upstream->config.conf, CONF_UPSTREAM_RETRIES));
}

/* Which is sooner: what the caller said, or what gRPC's client did. */
static int64_t deadline_of(const struct upstream_call *call)
{
    const struct request *request = call->request;
    int64_t now_us = clock_mono_us(), timeout_us;
    int64_t deadline_us =
        request->deadline_us > 0 ? request->deadline_us : now_us + timeout_ms(call) * TIME_MS;

    if (request->grpc && grpc_timeout(request->arena, request, &timeout_us) == OK &&
        timeout_us >= 0 && request->received_us + timeout_us < deadline_us)
        deadline_us = request->received_us + timeout_us;
    int64_t left_us = deadline_us - now_us;
    return loop_now_ms(call->upstream->loop) +
           (left_us > 0 ? (left_us + TIME_MS - 1) / TIME_MS : 0);
}

static void forward(struct upstream_call *call)
{
    begin(call);
    int64_t deadline_ms = deadline_of(call);
    if (request_is_left(call->request)) {
        on_left(call);
        return;
    }
    if (deadline_ms <= loop_now_ms(call->upstream->loop)) {
        upstream_call_fail(call, CALL_DEADLINE, "no time is left to ask it");
        return;
    }
    wait_until(call, deadline_ms);
    wait_for_link(call);
}

static void on_forward(struct loop_task *task)
{
    forward((struct upstream_call *)((char *)task - offsetof(struct upstream_call, task)));
}

/* All pieces have come: now the answer, which may be there. */
static void finish_stream(struct upstream_call *call)
{
    struct request *request = call->request;

    call->complete = true;
    if (!call->upstream) {
        response_problem(request, call->failure);
        request_respond(request);
        return;
    }
    ASSERT(loop_is_here(call->upstream->loop));
    wait_until(call, deadline_of(call));
    if (call->ended) {
        respond_whole(call);
        return;
    }
    if (call->h2.client)
        http2_call_resume(&call->h2);
    if (call->body.len > 0 && is_long(call)) {
        call->fresh = true;
        upstream_turn_soon(call->upstream);
    }
}

static void take(struct request *request)
{
    struct upstream_call *call =
        (struct upstream_call *)((char *)request->stream - offsetof(struct upstream_call, stream));

    if (!call->upstream) {
        request->failure = call->failure;
        request->taken(request);
        return;
    }
    ASSERT(loop_is_here(call->upstream->loop) && !call->piece);
    if (call->ended) {
        request->taken(request);
        return;
    }
    call->piece = true;
    call->given = 0;
    wait_for_piece(call);
    if (call->h2.client)
        http2_call_resume(&call->h2);
}

bool upstream_has_stream(const struct request *request)
{
    ASSERT(request);
    return request->stream && request->stream->take == take;
}

void upstream_stream(struct upstream *upstream, struct request *request)
{
    ASSERT(upstream && request && request->arena && !request->stream && !request->grpc);
    ASSERT(loop_is_here(upstream->loop));

    struct upstream_call *call = call_new(upstream, request);
    call->streams = true;
    call->stream.take = take;
    request->stream = &call->stream;
    begin(call);
    wait_for_link(call);
}

void upstream_forward(struct upstream *upstream, struct request *request)
{
    ASSERT(upstream && request && request->arena);

    if (upstream_has_stream(request)) {
        finish_stream((struct upstream_call *)((char *)request->stream -
                                               offsetof(struct upstream_call, stream)));
        return;
    }
    struct upstream_call *call = call_new(upstream, request);
    call->task.run = &on_forward;
    if (loop_is_here(upstream->loop))
        forward(call);
    else
        loop_post(upstream->loop, &call->task);
}
