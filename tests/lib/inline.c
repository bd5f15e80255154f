#include "tests/lib/inline.h"
#include "os/clock.h"
#include "os/random.h"
#include <stdio.h>

enum { SETTINGS_GIVEN_MAX = 60, HEADERS_SENT_MAX = 32, REQUEST_ARENA_BYTES_MAX = 16 << 20 };

/* A request under way. Lives in its own arena, as those of a socket do. */
struct inline_pending {
    struct request request;
    struct inline_house *house;
    struct test *t;
    struct lock lock;
    struct cond answered;
    bool is_answered;
    struct inline_pending *next, **link;
};

struct inline_house {
    struct house house;
    struct inline_pending *pending; /* not answered, or not waited for */
    bool bus_runs;
};

static const uint8_t TEST_SEED[ED25519_SEED_BYTES] = "a key of the tests, known to all";

/* ---- the house ---- */

static void pending_close(struct inline_pending *pending)
{
    *pending->link = pending->next;
    if (pending->next)
        pending->next->link = pending->link;
    cond_done(&pending->answered);
    lock_done(&pending->lock);
    arena_close(pending->request.arena);
}

static void house_close(void *subject)
{
    struct inline_house *own = subject;
    workers_close(own->house.password_lanes);
    workers_close(own->house.workers);
    bus_close(own->house.bus);
    auth_close(own->house.auth);
    while (own->pending)
        pending_close(own->pending);
}

static const struct conf *conf_of(struct test *t, const char *const *settings)
{
    char *environment[SETTINGS_GIVEN_MAX];
    int count = 0;
    str folder = str_format(t->arena, "DATA_DIR=%s", test_folder(t));
    environment[count++] = (char *)(uintptr_t)str_z(t->arena, folder);
    bool names_durable = false;
    for (; settings && *settings; settings++) {
        CHECK(count < SETTINGS_GIVEN_MAX - 2);
        names_durable = names_durable || str_starts(str_of_z(*settings), STR("DATABASE_DURABLE="));
        environment[count++] = (char *)(uintptr_t)*settings;
    }
    if (!names_durable)
        environment[count++] = (char *)(uintptr_t) "DATABASE_DURABLE=false";
    environment[count] = NULL;

    const struct conf *conf;
    char *arguments[] = { (char *)(uintptr_t) "test", NULL };
    CHECK_OK(conf_load(t->arena, 1, arguments, environment, &conf, NULL));
    return conf;
}

struct house *inline_house(struct test *t, const char *const *settings)
{
    crypto_init();
    const struct conf *conf = conf_of(t, settings);
    struct inline_house *own = arena_new(t->arena, struct inline_house);
    own->house = (struct house){
        .conf = conf,
        .workers = workers_open("worker", 4, 1024),
        .password_lanes = workers_open("password", 2, 256),
        .auth =
            auth_open(&(struct auth_config){ .issuer = conf_text(conf, CONF_TOKEN_ISSUER),
                                             .audience = conf_text(conf, CONF_TOKEN_AUDIENCE) }),
        .bus = bus_open_local(4096, NULL),
    };
    arena_defer(t->arena, house_close, own);
    return &own->house;
}

static struct inline_house *own_of(struct house *house)
{
    return (struct inline_house *)((char *)house - offsetof(struct inline_house, house));
}

static void stop_bus(void *bus) { bus_stop(bus); }

void inline_start(struct test *t, struct house *house)
{
    struct inline_house *own = own_of(house);
    CHECK(!own->bus_runs);
    own->bus_runs = true;
    bus_start(house->bus);
    arena_defer(t->arena, stop_bus, house->bus);
}

/* ---- the client ---- */

struct inline_client inline_client(struct test *t, struct house *house,
                                   void (*handle)(void *self, struct request *request), void *self)
{
    return (struct inline_client){ .t = t, .house = house, .handle = handle, .self = self };
}

void inline_handle_service(void *service, struct request *request)
{
    service_handle(service, request);
}

void inline_sign_in(struct inline_client *client, struct uuid user, unsigned roles)
{
    struct test *t = client->t;
    const struct conf *conf = client->house->conf;
    struct ed25519_key pair = ed25519_of_seed(TEST_SEED);
    struct auth_key key = { .kid = "test" };
    memcpy(key.public, pair.public, sizeof key.public);
    auth_set_keys(client->house->auth, &key, 1);

    time_us now = clock_wall_us();
    struct token_claims claims = { .user = user,
                                   .session = id_new(),
                                   .version = 1,
                                   .roles = roles,
                                   .issued_at = now,
                                   .expires_at = now + 600 * TIME_SECOND };
    client->token = token_make(t->arena, STR("test"), &pair, conf_text(conf, CONF_TOKEN_ISSUER),
                               conf_text(conf, CONF_TOKEN_AUDIENCE), &claims);
}

static enum http_method method_of(const char *method)
{
    static const char *const names[HTTP_METHODS_COUNT] = {
        [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "TRACE",
    };
    for (int i = 0; i < HTTP_METHODS_COUNT; i++)
        if (strcmp(names[i], method) == 0)
            return (enum http_method)i;
    FAIL("no method %s", method);
}

static void add_header(struct request *request, str name, str value)
{
    CHECK(request->headers_count < HEADERS_SENT_MAX);
    request->headers[request->headers_count++] =
        (struct header){ str_lower(request->arena, name), str_copy(request->arena, value) };
}

static void add_headers(struct inline_client *client, struct request *request,
                        const char *const *headers)
{
    request->headers = arena_array(request->arena, struct header, HEADERS_SENT_MAX);
    for (; headers && *headers; headers++) {
        str rest = str_of_z(*headers);
        str name = str_cut(&rest, ':');
        add_header(request, name, str_trim(rest));
    }
    if (client->token.ptr && !request_header(request, STR("authorization")).ptr)
        add_header(request, STR("authorization"),
                   str_format(request->arena, "Bearer %" STR_F, STR_A(client->token)));
    if (request->body.len > 0 && !request_header(request, STR("content-type")).ptr)
        add_header(request, STR("content-type"), STR("application/json"));
}

/* Told of an answer, and of each further piece of one. */
static void on_answer(struct request *request)
{
    struct inline_pending *pending = request->transport;
    lock_take(&pending->lock);
    ASSERT(!pending->is_answered);
    pending->is_answered = true;
    cond_wake_all(&pending->answered);
    lock_drop(&pending->lock);
}

void inline_leave(struct inline_pending *pending) { request_leave(&pending->request); }

struct inline_pending *inline_send(struct inline_client *client, const char *method,
                                   const char *target, const char *const *headers, str body)
{
    struct inline_house *house = own_of(client->house);
    struct arena *arena = arena_open(REQUEST_ARENA_BYTES_MAX);
    struct inline_pending *pending = arena_new(arena, struct inline_pending);
    *pending = (struct inline_pending){
        .house = house, .t = client->t, .next = house->pending, .link = &house->pending
    };
    if (house->pending)
        house->pending->link = &pending->next;
    house->pending = pending;
    lock_init(&pending->lock);
    cond_init(&pending->answered);

    str query = str_copy(arena, str_of_z(target));
    str path = str_cut(&query, '?');
    str address = client->operator_     ? STR("unix")
                  : client->address.ptr ? client->address
                                        : STR("192.0.2.1");
    struct request *request = &pending->request;
    *request = (struct request){ .arena = arena,
                                 .method = method_of(method),
                                 .method_text = str_copy(arena, str_of_z(method)),
                                 .path = path,
                                 .query = query,
                                 .body = str_copy(arena, body),
                                 .peer_address = str_copy(arena, address),
                                 .operator_socket = client->operator_,
                                 .received_us = clock_mono_us(),
                                 .respond = on_answer,
                                 .made = on_answer,
                                 .transport = pending };
    request->client_address = request->peer_address;
    add_headers(client, request, headers);
    request_identify(request);
    client->handle(client->self, request);
    return pending;
}

bool inline_is_answered(struct inline_pending *pending)
{
    lock_take(&pending->lock);
    bool is_answered = pending->is_answered;
    lock_drop(&pending->lock);
    return is_answered;
}

static void see_header(struct test *t, struct answer_seen *seen, const struct header *header)
{
    seen->headers[seen->headers_count++] =
        (struct header){ str_lower(t->arena, header->name), str_copy(t->arena, header->value) };
}

static void wait_answer(struct inline_pending *pending)
{
    int64_t deadline_us = clock_mono_us() + INLINE_WAIT_MS * TIME_MS;
    bool in_time = true;
    lock_take(&pending->lock);
    while (!pending->is_answered && in_time)
        in_time = cond_wait_until(&pending->answered, &pending->lock, deadline_us);
    bool is_answered = pending->is_answered;
    lock_drop(&pending->lock);

    const struct request *request = &pending->request;
    if (!is_answered)
        FAIL("no answer to %" STR_F " %" STR_F, STR_A(request->method_text), STR_A(request->path));
}

/* The body, asked for piece by piece where it comes so. */
static str see_body(struct inline_pending *pending)
{
    struct test *t = pending->t;
    struct response *response = &pending->request.response;
    struct answer_stream *stream = response->stream;
    if (!stream)
        return str_copy(t->arena, response->body);
    struct text body = text_init(t->arena, response->body.len + 1);
    text_add(&body, response->body);
    while (!stream->ended) {
        pending->is_answered = false;
        stream->next(&pending->request);
        wait_answer(pending);
        CHECK(!stream->failed);
        text_add(&body, response->body);
    }
    stream->end(&pending->request);
    return text_str(&body);
}

struct answer_seen inline_wait(struct inline_pending *pending)
{
    struct test *t = pending->t;
    wait_answer(pending);
    const struct request *request = &pending->request;
    const struct response *response = &request->response;
    struct answer_seen seen = { .status = response->status };
    if (response->content_type.ptr)
        seen.content_type = str_copy(t->arena, response->content_type);
    seen.body = see_body(pending);
    for (int i = 0; i < response->headers_count; i++)
        see_header(t, &seen, &response->headers[i]);
    for (int i = 0; i < request->extra_count; i++)
        see_header(t, &seen, &request->extra[i]);
    pending_close(pending);
    return seen;
}

struct answer_seen inline_request(struct inline_client *client, const char *method,
                                  const char *target, const char *const *headers, str body)
{
    return inline_wait(inline_send(client, method, target, headers, body));
}

struct answer_seen inline_get(struct inline_client *client, const char *target)
{
    return inline_request(client, "GET", target, NULL, STR_NONE);
}

struct answer_seen inline_post(struct inline_client *client, const char *target, const char *json)
{
    return inline_request(client, "POST", target, NULL, str_of_z(json));
}

struct answer_seen inline_put(struct inline_client *client, const char *target, const char *json)
{
    return inline_request(client, "PUT", target, NULL, str_of_z(json));
}

struct answer_seen inline_delete(struct inline_client *client, const char *target)
{
    return inline_request(client, "DELETE", target, NULL, STR_NONE);
}

/* ---- looking at answers ---- */

str inline_header(const struct answer_seen *answer, const char *name)
{
    for (int i = 0; i < answer->headers_count; i++)
        if (str_equal(answer->headers[i].name, str_of_z(name)))
            return answer->headers[i].value;
    return STR_NONE;
}

bool inline_is_replayed(const struct answer_seen *answer)
{
    return str_equal(inline_header(answer, "idempotent-replayed"), STR("true"));
}

static const struct json *step(const struct json *value, str name)
{
    int64_t index;
    if (json_kind_of(value) == JSON_OBJECT)
        return json_member(value, name);
    if (json_kind_of(value) != JSON_ARRAY || !str_to_int64(name, 0, INT32_MAX, &index))
        return NULL;
    struct json_walk walk = json_walk_of(value);
    for (int64_t i = 0; json_next(&walk); i++)
        if (i == index)
            return walk.value;
    return NULL;
}

str inline_text(struct test *t, const struct answer_seen *answer, const char *pointer)
{
    const struct json *value;
    CHECK_OK(json_read(t->arena, answer->body, &value));
    str rest = str_of_z(pointer);
    str before = str_cut(&rest, '/');
    CHECK(before.len == 0);
    while (rest.ptr && value)
        value = step(value, str_cut(&rest, '/'));
    if (!value)
        return STR_NONE;

    switch (json_kind_of(value)) {
    case JSON_NULL: return STR("null");
    case JSON_BOOL: return json_bool(value) ? STR("true") : STR("false");
    case JSON_NUMBER: return json_number_text(value);
    case JSON_STRING: return json_string(value);
    case JSON_ARRAY:
    case JSON_OBJECT: return str_format(t->arena, "%zu", json_count(value));
    }
    return STR_NONE;
}

void inline_check_status(const char *file, int line, struct answer_seen answer, int status)
{
    if (answer.status != status)
        test_fail(file, line, "expected status %d, got %d: %" STR_F, status, answer.status,
                  STR_A(answer.body));
}

void inline_check_problem(const char *file, int line, struct test *t, struct answer_seen answer,
                          int status, const char *word)
{
    inline_check_status(file, line, answer, status);
    test_check_str(file, line, "content type", answer.content_type,
                   STR("application/problem+json"));
    str code = inline_text(t, &answer, "/code");
    if (!str_equal(code, str_of_z(word)))
        test_fail(file, line, "expected %s, got %" STR_F, word, STR_A(answer.body));
}

bool inline_until(bool (*is_so)(void *subject), void *subject)
{
    int64_t deadline_us = clock_mono_us() + INLINE_WAIT_MS * TIME_MS;
    while (!is_so(subject)) {
        if (clock_mono_us() > deadline_us)
            return false;
        sleep_until(clock_mono_us() + 5 * TIME_MS);
    }
    return true;
}
