#include "tests/sim/client.h"
#include "chassis/token.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/sim/dice.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum {
    TRIES_MAX = 400,
    ALLOCATIONS_MAX = 20000, /* of one request */
    ANSWER_WITHIN_US = 120 * 1000 * 1000,
    LOOK_US = 50 * 1000, /* how often one looks whether the shop is still there */
    TOKEN_LIFE_S = 600,
    TOKEN_LEFT_S = 120,
    HEADERS_SENT_MAX = 8,
    AT_ONCE_MAX = 32,
};

struct exchange {
    struct request request;
    struct client_of_shop *client;
    struct program *program; /* that it is sent to */
    struct ask *ask;
    struct reply reply;
    struct lock lock;
    struct cond answered;
    bool is_answered, is_being_answered;
    int stops_before, crashes_before;
};

/* ---- who ---- */

void client_init(struct client_of_shop *client, struct world *world, struct model *model,
                 struct check *check, const char *name, unsigned roles)
{
    *client = (struct client_of_shop){ .world = world,
                                       .model = model,
                                       .check = check,
                                       .user = id_new(),
                                       .roles = roles,
                                       .version = 1 };
    snprintf(client->name, sizeof client->name, "%s", name);
}

static str token_of(struct client_of_shop *client, struct arena *arena)
{
    time_us now = clock_wall_us();
    bool is_fresh = client->token_until > now + TOKEN_LEFT_S * TIME_SECOND &&
                    client->token_until <= now + TOKEN_LIFE_S * TIME_SECOND;
    if (!is_fresh && client->roles) {
        const struct conf *conf = client->world->conf;
        struct token_claims claims = { .user = client->user,
                                       .session = client->user,
                                       .version = client->version,
                                       .roles = client->roles,
                                       .issued_at = now,
                                       .expires_at = now + TOKEN_LIFE_S * TIME_SECOND };
        str token = token_make(arena, str_of_z(world_kid), &client->world->key,
                               conf_text(conf, CONF_TOKEN_ISSUER),
                               conf_text(conf, CONF_TOKEN_AUDIENCE), &claims);
        ASSERT(token.len < sizeof client->token);
        snprintf(client->token, sizeof client->token, "%" STR_F, STR_A(token));
        client->token_until = claims.expires_at;
    }
    return str_of_z(client->token);
}

const char *client_new_key(struct client_of_shop *client)
{
    int count = ++client->keys_made; /* every other key is somebody else's, too */
    return str_z(client->model->arena, str_format(client->model->arena, "%s-%d",
                                                  count % 2 ? client->name : "key", count));
}

void client_think(struct client_of_shop *client, int64_t us_max)
{
    (void)client;
    if (us_max > 0)
        sleep_until(clock_mono_us() + dice_us(us_max));
    else
        sync_yield();
}

/* ---- the answer ---- */

static str header_of(const struct request *request, str name)
{
    const struct response *response = &request->response;
    for (int i = 0; i < response->headers_count; i++)
        if (str_equal_fold(response->headers[i].name, name))
            return response->headers[i].value;
    for (int i = 0; i < request->extra_count; i++)
        if (str_equal_fold(request->extra[i].name, name))
            return request->extra[i].value;
    return STR_NONE;
}

static void read_reply(struct exchange *exchange)
{
    const struct response *response = &exchange->request.response;
    struct reply *reply = &exchange->reply;
    reply->status = response->status;
    reply->body = response->content_type.ptr ? response->body : STR("");
    reply->location = header_of(&exchange->request, STR("location"));
    reply->etag = header_of(&exchange->request, STR("etag"));
    reply->is_replay =
        str_equal(header_of(&exchange->request, STR("idempotent-replayed")), STR("true"));
    reply->at_us = clock_mono_us();
    reply->shop_stopped = exchange->client->world->stops != exchange->stops_before;
    if (reply->body.len > 0) {
        err error = json_read(exchange->request.arena, reply->body, &reply->json);
        RULE(error == OK, "answers", "%s: a body that is no JSON: %" STR_F, exchange->ask->path,
             STR_A(reply->body));
    }
    if (reply->status >= 400)
        reply->code = peek_text(reply->json, "code");
}

static void tell_reply(const struct exchange *exchange)
{
    const struct reply *reply = &exchange->reply;
    str id = peek_text(reply->json, reply->status < 400 ? "id" : "subject");
    story_tell("%s <- %d%s %s %s%s %" STR_F " %" STR_F " %" STR_F "%" STR_F "/%" STR_F "/%" STR_F
               " v%lld",
               exchange->client->name, reply->status, reply->is_replay ? " (replay)" : "",
               exchange->ask->path, exchange->ask->key ? "key " : "",
               exchange->ask->key ? exchange->ask->key : "", STR_A(reply->code), STR_A(id),
               STR_A(peek_text(reply->json, "detail")), STR_A(peek_text(reply->json, "status")),
               STR_A(peek_text(reply->json, "payment_status")),
               STR_A(peek_text(reply->json, "fulfilment_status")),
               (long long)peek_int(reply->json, "version"));
}

static void hear_answer(void *subject)
{
    struct exchange *exchange = subject;
    struct program *program = exchange->program;
    int crashes_before = exchange->crashes_before;
    exchange->is_being_answered = true;
    read_reply(exchange);
    tell_reply(exchange);
    check_now(exchange->client->check);
    check_answer(exchange->client->check, exchange->ask, &exchange->reply);
    lock_take(&exchange->lock);
    ASSERT(!exchange->is_answered);
    exchange->is_answered = true;
    cond_wake_all(&exchange->answered);
    lock_drop(&exchange->lock); /* from here on it may be gone */
    world_answered(program, crashes_before);
}

/* Runs on the thread that answers: the books are looked at in the very moment. */
static void on_answer(struct request *request)
{
    struct exchange *exchange = request->transport;
    world_answering(exchange->client->world);
    baton_outside(hear_answer, exchange);
}

/* ---- the request ---- */

static void add_header(struct request *request, const char *name, str value)
{
    ASSERT(request->headers_count < HEADERS_SENT_MAX);
    request->headers[request->headers_count++] =
        (struct header){ str_of_z(name), str_copy(request->arena, value) };
}

static void add_headers(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    const struct ask *ask = exchange->ask;
    str token = token_of(exchange->client, request->arena);
    request->headers = arena_array(request->arena, struct header, HEADERS_SENT_MAX);
    if (token.len > 0)
        add_header(request, "authorization",
                   str_format(request->arena, "Bearer %" STR_F, STR_A(token)));
    if (ask->body)
        add_header(request, "content-type",
                   str_of_z(ask->content_type ? ask->content_type : "application/json"));
    if (ask->key)
        add_header(request, "idempotency-key", str_of_z(ask->key));
    if (ask->prefer)
        add_header(request, "prefer", str_of_z(ask->prefer));
    if (ask->if_match)
        add_header(request, "if-match", str_of_z(ask->if_match));
    if (ask->signature)
        add_header(request, "simulator-signature", str_of_z(ask->signature));
}

static const char *const method_names[HTTP_METHODS_COUNT] = { [HTTP_GET] = "GET",
                                                              [HTTP_POST] = "POST",
                                                              [HTTP_PUT] = "PUT",
                                                              [HTTP_PATCH] = "PATCH",
                                                              [HTTP_DELETE] = "DELETE" };

static void make_request(struct exchange *exchange, struct arena *arena)
{
    const struct ask *ask = exchange->ask;
    exchange->request =
        (struct request){ .arena = arena,
                          .method = ask->method,
                          .method_text = str_of_z(method_names[ask->method]),
                          .path = str_copy(arena, str_of_z(ask->path)),
                          .query = ask->query ? str_copy(arena, str_of_z(ask->query)) : STR_NONE,
                          .body = ask->body ? str_copy(arena, str_of_z(ask->body)) : STR(""),
                          .peer_address = STR("192.0.2.1"),
                          .client_address = STR("192.0.2.1"),
                          .received_us = clock_mono_us(),
                          .operator_socket = exchange->client->is_operator,
                          .respond = on_answer,
                          .transport = exchange };
    add_headers(exchange);
    request_identify(&exchange->request);
}

/* All who wait under a key hear the answer that the first of them gets whose time is up. */
static void note_wait(const struct ask *ask)
{
    int64_t due_us = clock_mono_us() + ask->wait_ms * TIME_MS;
    if (ask->kept && (ask->kept->due_us == 0 || due_us < ask->kept->due_us))
        ask->kept->due_us = due_us;
}

struct exchange *client_send(struct client_of_shop *client, struct ask *ask)
{
    struct arena *arena = arena_open(SIZE_MAX);
    struct exchange *exchange = arena_new(arena, struct exchange);
    struct program *program = world_program(client->world, str_of_z(ask->path));
    ask->who = client->user;
    if (ask->key && !ask->kept)
        ask->kept = model_key_of(client->model, ask);
    if (ask->kept && !ask->kept->body_first)
        ask->kept->body_first = str_z(client->model->arena, str_of_z(ask->body));
    if (ask->kept && !str_equal(str_of_z(ask->kept->body_first), str_of_z(ask->body)))
        ask->kept->has_two_bodies = true;
    if (ask->kept)
        ask->kept->sent++;
    ask->version_seen = ask->order ? ask->order->version_seen : 0;
    note_wait(ask);
    *exchange = (struct exchange){ .client = client,
                                   .program = program,
                                   .ask = ask,
                                   .stops_before = client->world->stops,
                                   .crashes_before = program->crashes,
                                   .reply.sent_us = clock_mono_us() };
    lock_init(&exchange->lock);
    cond_init(&exchange->answered);
    make_request(exchange, arena);
    if (client->fail_allocation > 0)
        arena_fail_at(arena, client->fail_allocation);
    story_tell("%s -> %s %s%s%s %s%s %s %s", client->name, method_names[ask->method], ask->path,
               ask->query ? "?" : "", ask->query ? ask->query : "", ask->key ? "key " : "",
               ask->key ? ask->key : "", ask->prefer ? ask->prefer : "",
               ask->body ? ask->body : "");
    client->model->asked++;
    if (world_hand(program, &exchange->request))
        return exchange;
    story_tell("%s: nobody listens", client->name);
    client_done(exchange);
    return NULL;
}

/* A call that was killed in the middle may hold what only its process could give back: to undo it
 * is to wait for locks of the dead. */
void client_done(struct exchange *exchange)
{
    if (!exchange)
        return;
    cond_done(&exchange->answered);
    lock_done(&exchange->lock);
    if (exchange->program->crashes == exchange->crashes_before)
        arena_close(exchange->request.arena);
}

const struct reply *client_reply(const struct exchange *exchange) { return &exchange->reply; }

/* The shop was killed before it answered: nobody will. */
static bool is_lost(const struct exchange *exchange)
{
    return !exchange->is_being_answered && exchange->program->crashes != exchange->crashes_before;
}

/* Nobody knows what became of it. */
static enum heard hear_nothing(struct exchange *exchange)
{
    story_tell("%s: %s %s is cut off", exchange->client->name, method_names[exchange->ask->method],
               exchange->ask->path);
    if (exchange->ask->kept)
        exchange->ask->kept->was_late = true;
    return HEARD_LATER;
}

enum heard client_hear(struct exchange *exchange)
{
    int64_t until_us = clock_mono_us() + ANSWER_WITHIN_US;
    lock_take(&exchange->lock);
    while (!exchange->is_answered && clock_mono_us() < until_us && !is_lost(exchange))
        cond_wait_until(&exchange->answered, &exchange->lock,
                        exchange->client->world->plan->crashes > 0 ? clock_mono_us() + LOOK_US
                                                                   : until_us);
    bool is_answered = exchange->is_answered;
    lock_drop(&exchange->lock);
    if (!is_answered && is_lost(exchange))
        return hear_nothing(exchange);
    RULE(is_answered, "answers", "%s: no answer to %s %s in %d s", exchange->client->name,
         method_names[exchange->ask->method], exchange->ask->path, ANSWER_WITHIN_US / 1000000);
    /* The wall clock may have jumped while its token was on the way: it signs in anew. */
    bool has_token = exchange->client->roles != 0;
    if (exchange->reply.status == 401 && has_token && exchange->client->model->plan->wall_jumps > 0)
        return HEARD_LATER;
    return model_hear(exchange->client->model, exchange->ask, &exchange->reply);
}

static void wait_to_try_again(struct client_of_shop *client)
{
    client_think(client, 300 * TIME_MS);
}

struct exchange *client_ask(struct client_of_shop *client, struct ask *ask)
{
    int tries_max = client->fails_allocations ? ALLOCATIONS_MAX : TRIES_MAX;
    for (int i = 0; i < tries_max; i++) {
        client->fail_allocation = client->fails_allocations ? i + 1 : 0;
        client->allocations_failed += client->fails_allocations && i > 0;
        struct exchange *exchange = client_send(client, ask);
        if (exchange && client_hear(exchange) != HEARD_LATER)
            return exchange;
        client_done(exchange);
        wait_to_try_again(client);
    }
    story_violated("answers", "%s: %s was asked %d times", client->name, ask->path, tries_max);
}

void client_ask_all(struct client_of_shop *client, struct ask *asks, int asks_count)
{
    struct exchange *exchanges[AT_ONCE_MAX];
    ASSERT(asks_count <= AT_ONCE_MAX);
    for (int i = 0; i < asks_count; i++) {
        exchanges[i] = client_send(client, &asks[i]);
        if (dice_one_in(3))
            client_think(client, 3 * TIME_MS);
    }
    for (int i = 0; i < asks_count; i++) {
        bool is_over = exchanges[i] && client_hear(exchanges[i]) != HEARD_LATER;
        client_done(exchanges[i]);
        if (!is_over)
            client_done(client_ask(client, &asks[i]));
    }
}
