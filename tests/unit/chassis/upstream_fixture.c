#include "tests/unit/chassis/upstream_fixture.h"

#include "chassis/tls_files.h"
#include "os/clock.h"

#include <stdio.h>

enum { REQUEST_BYTES_MAX = 64 * 1024 * 1024, BODY_BYTES_MAX = 32 * 1024 * 1024 };

/* ---- The server ---- */

static void handle(void *self, struct request *request)
{
    struct gate *gate = self;

    if (!request->trace_id[0])
        request_identify(request);
    upstream_forward(gate->upstream, request);
}

static uint32_t body_bytes_max(void *self, struct request *request, bool *refused)
{
    struct gate *gate = self;
    (void)refused;

    if (str_starts(request->path, STR("/spool"))) {
        request_identify(request);
        upstream_stream(gate->upstream, request);
    }
    return BODY_BYTES_MAX;
}

static void served(void *self, const struct request *request, int64_t took_us)
{
    struct gate *gate = self;
    (void)request, (void)took_us;
    __atomic_fetch_add(&gate->served, 1, __ATOMIC_SEQ_CST);
}

static void listen_on(struct gate *gate)
{
    struct http_config config = {
        .address = STR("127.0.0.1:0"),
        .setting = "LISTEN_ADDR",
        .head_bytes_max = 64 * 1024,
        .target_bytes_max = 8 * 1024,
        .body_bytes_max = BODY_BYTES_MAX,
        .head_timeout_ms = 20000,
        .body_timeout_ms = 20000,
        .idle_timeout_ms = 20000,
        .write_timeout_ms = 20000,
        .connections_max = 1000,
        .arena_bytes_max = 8 * 1024 * 1024,
    };
    struct http_handler handler = {
        .self = gate, .body_bytes_max = body_bytes_max, .handle = handle, .served = served
    };
    CHECK_OK(http_open(gate->t->arena, gate->loop, &config, &handler, &gate->server));
    gate->port = http_port(gate->server);
}

static const struct conf *conf_of(struct test *t, const char *const *settings)
{
    static char *const environment[] = { NULL };
    char *argv[UPSTREAM_SETTINGS_MAX + 1] = { (char *)(uintptr_t) "test" };
    const struct conf *conf;
    int argc = 1;

    for (; settings && *settings; settings++) {
        CHECK(argc < UPSTREAM_SETTINGS_MAX);
        argv[argc++] = (char *)(uintptr_t)*settings;
    }
    CHECK_OK(conf_load(t->arena, argc, argv, environment, &conf, NULL));
    return conf;
}

static int add_headers(void *self, const struct request *request,
                       struct header added[UPSTREAM_ADDED_MAX])
{
    (void)self;
    added[0] = (struct header){ STR("x-caller"),
                                str_format(request->arena, "for %" STR_F, STR_A(request->path)) };
    return 1;
}

static void run_loop(void *subject) { loop_run(subject); }

struct gate *gate_open(struct test *t, const char *url, const char *const *settings)
{
    struct gate *gate = arena_new(t->arena, struct gate);
    const struct conf *conf = conf_of(t, settings);
    struct upstream_config config = { .name = "other",
                                      .url = str_of_z(url),
                                      .setting = "OTHER_URL",
                                      .conf = conf,
                                      .add_headers = add_headers };

    gate->t = t;
    gate->loop = loop_open();
    if (str_starts(config.url, STR("https:")))
        CHECK_OK(tls_files_open_client(t->arena, conf, &gate->tls));
    config.tls = gate->tls;
    CHECK_OK(upstream_open(t->arena, gate->loop, &config, &gate->upstream));
    listen_on(gate);
    gate->thread = thread_start("gate", run_loop, gate->loop);
    return gate;
}

static void on_closed(void *subject)
{
    struct gate *gate = subject;
    __atomic_fetch_add(&gate->closed, 1, __ATOMIC_SEQ_CST);
}

static void act_close(struct gate *gate)
{
    http_close(gate->server, CLIENT_WAIT_MS, on_closed, gate);
}

static void run_act(struct loop_task *task)
{
    struct gate *gate = (struct gate *)((char *)task - offsetof(struct gate, task));
    gate->act(gate);
    __atomic_fetch_add(&gate->acted, 1, __ATOMIC_SEQ_CST);
}

void gate_do(struct gate *gate, void (*act)(struct gate *gate))
{
    int before = __atomic_load_n(&gate->acted, __ATOMIC_SEQ_CST);
    gate->act = act;
    gate->task.run = run_act;
    loop_post(gate->loop, &gate->task);
    fixture_wait(&gate->acted, before + 1);
}

void gate_close(struct gate *gate)
{
    gate_do(gate, act_close);
    fixture_wait(&gate->closed, 1);
    loop_stop(gate->loop);
    thread_join(gate->thread);
    upstream_close(gate->upstream);
    tls_close(gate->tls);
    loop_close(gate->loop);
}

/* ---- Requests without a server ---- */

static void hear_piece(struct asked_of *asked)
{
    text_add(&asked->body, asked->request.response.body);
    __atomic_store_n(&asked->heard, (int)text_str(&asked->body).len, __ATOMIC_SEQ_CST);
}

static void answered(struct request *request)
{
    struct asked_of *asked = request->transport;

    asked->body = text_init(request->arena, 4096);
    hear_piece(asked);
    if (request->response.stream)
        request->response.stream->next(request);
    else
        __atomic_store_n(&asked->done, 1, __ATOMIC_SEQ_CST);
}

static void made(struct request *request)
{
    struct asked_of *asked = request->transport;
    struct answer_stream *stream = request->response.stream;

    hear_piece(asked);
    asked->broken = stream->failed;
    if (!stream->ended && !stream->failed) {
        stream->next(request);
        return;
    }
    stream->end(request);
    __atomic_store_n(&asked->done, 1, __ATOMIC_SEQ_CST);
}

static void close_arena(void *arena) { arena_close(arena); }

struct asked_of *gate_request(struct gate *gate, const char *method, const char *path)
{
    struct asked_of *asked = arena_new(gate->t->arena, struct asked_of);
    struct arena *arena = arena_open(REQUEST_BYTES_MAX);
    str target = str_of_z(path);
    static const char *const words[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };

    arena_defer(gate->t->arena, close_arena, arena);
    asked->gate = gate;
    asked->request = (struct request){ .arena = arena,
                                       .method = HTTP_OTHER,
                                       .method_text = str_of_z(method),
                                       .headers = asked->headers,
                                       .received_us = clock_mono_us(),
                                       .peer_address = STR("test"),
                                       .respond = answered,
                                       .made = made,
                                       .transport = asked };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], method) == 0)
            asked->request.method = (enum http_method)i;
    asked->request.path = str_cut(&target, '?');
    asked->request.query = target;
    request_identify(&asked->request);
    return asked;
}

void asked_of_header(struct asked_of *asked, const char *name, const char *value)
{
    struct request *request = &asked->request;
    request->headers[request->headers_count++] = (struct header){ str_of_z(name), str_of_z(value) };
}

void gate_send(struct asked_of *asked) { upstream_forward(asked->gate->upstream, &asked->request); }

void gate_wait(struct asked_of *asked) { fixture_wait(&asked->done, 1); }

int gate_ask(struct asked_of *asked)
{
    gate_send(asked);
    gate_wait(asked);
    return asked->request.response.status;
}

str asked_of_answer(const struct asked_of *asked, const char *name)
{
    const struct response *response = &asked->request.response;

    for (int i = 0; i < response->headers_count; i++)
        if (str_equal_fold(response->headers[i].name, str_of_z(name)))
            return response->headers[i].value;
    return STR_NONE;
}
