#include "tests/unit/chassis/http_fixture.h"

#include "os/clock.h"

enum { BIG_MAX = 32 * 1024 * 1024 };

static const char ROUTE[] = "test.route";

/* ---- The handler ---- */

static void echo(struct request *request)
{
    struct text out = text_init(request->arena, 1024);
    text_add_format(&out, "%" STR_F " %" STR_F " query=%" STR_F " method=%d peer=%" STR_F "\n",
                    STR_A(request->method_text), STR_A(request->path), STR_A(request->query),
                    (int)request->method, STR_A(request->peer_address));
    for (int i = 0; i < request->headers_count; i++)
        text_add_format(&out, "%" STR_F "=%" STR_F "\n", STR_A(request->headers[i].name),
                        STR_A(request->headers[i].value));
    text_add_format(&out, "body=%" STR_F, STR_A(request->body));
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .body = text_str(&out) };
    request_respond(request);
}

static void big(struct request *request)
{
    int64_t count = 0;
    ASSERT(str_to_int64(request->query, 0, BIG_MAX, &count));
    char *bytes = arena_alloc(request->arena, (size_t)count + 1, 1);
    memset(bytes, 'b', (size_t)count);
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .body = str_of(bytes, (size_t)count) };
    request_respond(request);
}

struct echo_work {
    struct work work;
    struct request *request;
};

static void run_echo(struct work *work) { echo(((struct echo_work *)work)->request); }

/* ---- Bodies and answers in pieces: each is taken or made by a worker ---- */

struct pieces {
    struct body_stream body;
    struct answer_stream answer;
    struct work work;
    struct fixture *fixture;
    struct request *request;
    int64_t count, bytes, odd; /* pieces; odd: of another length than STREAM_PIECE_BYTES */
    bool breaks;
    char *room;
};

static void run_take(struct work *work)
{
    struct pieces *pieces = (struct pieces *)((char *)work - offsetof(struct pieces, work));
    struct request *request = pieces->request;
    pieces->count++;
    pieces->bytes += (int64_t)request->body.len;
    pieces->odd += request->body.len != STREAM_PIECE_BYTES;
    if (pieces->count == 2 && str_equal(request->query, STR("fail")))
        request->failure = fail(request->arena, DB_FULL, "as the test says");
    request->taken(request);
}

static void take(struct request *request)
{
    struct pieces *pieces = (struct pieces *)request->stream;
    ASSERT(workers_submit(pieces->fixture->workers, &pieces->work, WORK_NORMAL));
}

static struct pieces *pieces_of(struct fixture *fixture, struct request *request)
{
    struct pieces *pieces = arena_new(request->arena, struct pieces);
    *pieces = (struct pieces){ .fixture = fixture, .request = request };
    return pieces;
}

static void begin_spool(struct fixture *fixture, struct request *request)
{
    struct pieces *pieces = pieces_of(fixture, request);
    pieces->body.take = take;
    pieces->work.run = run_take;
    request->stream = &pieces->body;
}

static void tell_spool(struct request *request)
{
    const struct pieces *pieces = (struct pieces *)request->stream;
    request->response = (struct response){ .status = 200, .content_type = STR("text/plain") };
    request->response.body = pieces ? str_format(request->arena, "pieces=%lld bytes=%lld odd=%lld",
                                                 (long long)pieces->count, (long long)pieces->bytes,
                                                 (long long)pieces->odd)
                                    : STR("none");
    request_respond(request);
}

static struct pieces *pieces_of_answer(struct request *request)
{
    return (struct pieces *)((char *)request->response.stream - offsetof(struct pieces, answer));
}

/* The n-th has n bytes; every third is empty, but for the first. */
static void make(struct pieces *pieces)
{
    int64_t n = pieces->bytes++;
    bool is_empty = n > 0 && n % 3 == 2;
    pieces->request->response.body = str_of(pieces->room, is_empty ? 0 : (size_t)n + 1);
    pieces->answer.ended = !pieces->breaks && pieces->bytes == pieces->count;
    pieces->answer.failed = pieces->breaks && pieces->bytes > pieces->count;
}

static void run_make(struct work *work)
{
    struct pieces *pieces = (struct pieces *)((char *)work - offsetof(struct pieces, work));
    make(pieces);
    pieces->request->made(pieces->request);
}

static void next_piece(struct request *request)
{
    struct pieces *pieces = pieces_of_answer(request);
    ASSERT(workers_submit(pieces->fixture->workers, &pieces->work, WORK_NORMAL));
}

static void end_pieces(struct request *request)
{
    __atomic_fetch_add(&pieces_of_answer(request)->fixture->pieces_ended, 1, __ATOMIC_SEQ_CST);
}

static void answer_pieces(struct fixture *fixture, struct request *request)
{
    struct pieces *pieces = pieces_of(fixture, request);
    ASSERT(str_to_int64(request->query, 2, 100000, &pieces->count));
    pieces->breaks = str_equal(request->path, STR("/broken"));
    pieces->room = arena_alloc(request->arena, (size_t)pieces->count + 1, 1);
    memset(pieces->room, 'p', (size_t)pieces->count);
    pieces->answer = (struct answer_stream){ .next = next_piece, .end = end_pieces };
    pieces->work.run = run_make;
    make(pieces);
    request->response.status = 200;
    request->response.content_type = STR("text/plain");
    request->response.stream = &pieces->answer;
    request_respond(request);
}

/* ---- A talk: what is heard is said again ---- */

struct echo_talk {
    struct talk talk; /* first */
    struct fixture *fixture;
    struct text in, out;
    bool asked, heard_all, gone;
};

static void say(struct request *request)
{
    struct echo_talk *echo = (struct echo_talk *)request->talk;
    if (!echo->asked || (echo->in.len == 0 && !echo->heard_all && !echo->gone))
        return;
    echo->asked = false;
    echo->out.len = 0;
    text_add(&echo->out, text_str(&echo->in));
    request->response.body = text_str(&echo->out);
    echo->in.len = echo->talk.unread = 0;
    echo->talk.answer.ended = echo->heard_all;
    request->made(request);
}

static void on_next(struct request *request)
{
    ((struct echo_talk *)request->talk)->asked = true;
    say(request);
}

static void on_heard(struct request *request, str bytes, bool ended)
{
    struct echo_talk *echo = (struct echo_talk *)request->talk;
    text_add(&echo->in, bytes);
    echo->talk.unread = echo->in.len;
    echo->heard_all = ended;
    say(request);
}

static void on_gone(struct request *request)
{
    ((struct echo_talk *)request->talk)->gone = true;
    say(request);
}

static void on_talk_end(struct request *request)
{
    struct echo_talk *echo = (struct echo_talk *)request->talk;
    __atomic_fetch_add(&echo->fixture->pieces_ended, 1, __ATOMIC_SEQ_CST);
}

static void begin_talk(struct fixture *fixture, struct request *request)
{
    struct echo_talk *echo = arena_new(request->arena, struct echo_talk);
    *echo = (struct echo_talk){ .talk = { .answer = { .next = on_next, .end = on_talk_end },
                                          .hear = on_heard,
                                          .gone = on_gone },
                                .fixture = fixture,
                                .in = text_init(request->arena, 1024),
                                .out = text_init(request->arena, 1024) };
    request->talk = &echo->talk;
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .stream = &echo->talk.answer };
}

static void handle(void *self, struct request *request)
{
    struct fixture *fixture = self;

    request->route = ROUTE;
    request_identify(request);
    if (str_equal(request->path, STR("/worker"))) {
        struct echo_work *work = arena_new(request->arena, struct echo_work);
        *work = (struct echo_work){ .work.run = run_echo, .request = request };
        ASSERT(workers_submit(fixture->workers, &work->work, WORK_NORMAL));
    } else if (str_equal(request->path, STR("/hold"))) {
        lock_take(&fixture->lock);
        fixture->held[fixture->held_count++] = request;
        lock_drop(&fixture->lock);
    } else if (str_equal(request->path, STR("/big"))) {
        big(request);
    } else if (str_equal(request->path, STR("/spool"))) {
        tell_spool(request);
    } else if (str_equal(request->path, STR("/pieces")) ||
               str_equal(request->path, STR("/broken"))) {
        answer_pieces(fixture, request);
    } else if (str_equal(request->path, STR("/shed"))) {
        response_problem(request, fail(request->arena, CALL_OVERLOADED, "no time"));
        request_respond(request);
    } else if (str_equal(request->path, STR("/limited"))) {
        response_problem(request, fail(request->arena, RATE_LIMIT_EXCEEDED, "too many"));
        request_respond(request);
    } else if (str_equal(request->path, STR("/none"))) {
        request->response = (struct response){ .status = 204 };
        request_respond(request);
    } else {
        echo(request);
    }
}

static uint32_t body_bytes_max(void *self, struct request *request, bool *refused)
{
    struct fixture *fixture = self;
    int64_t count;

    if (str_equal(request->path, STR("/limit"))) {
        ASSERT(str_to_int64(request->query, 0, BIG_MAX, &count));
        return (uint32_t)count;
    }
    if (str_equal(request->path, STR("/spool")))
        begin_spool(fixture, request);
    if (str_equal(request->path, STR("/talk")))
        begin_talk(fixture, request);
    if (str_equal(request->path, STR("/refuse"))) {
        request_identify(request);
        response_problem(request, fail(request->arena, TOKEN_MISSING, "no token"));
        *refused = true;
        return 0;
    }
    return fixture->config.body_bytes_max;
}

static void served(void *self, const struct request *request, int64_t took_us)
{
    struct fixture *fixture = self;
    __atomic_fetch_add(&fixture->served_us_negative, took_us < 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fixture->last_status, request->response.status, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&fixture->served, 1, __ATOMIC_SEQ_CST);
}

/* ---- The server ---- */

struct fixture *fixture_of(struct test *t)
{
    struct fixture *fixture = arena_new(t->arena, struct fixture);
    fixture->arena = t->arena;
    fixture->config = (struct http_config){
        .address = STR("127.0.0.1:0"),
        .setting = "LISTEN_ADDR",
        .head_bytes_max = 4096,
        .target_bytes_max = 1024,
        .body_bytes_max = 1024 * 1024,
        .head_timeout_ms = 20000,
        .body_timeout_ms = 20000,
        .idle_timeout_ms = 20000,
        .write_timeout_ms = 20000,
        .connections_max = 1000,
        .arena_bytes_max = 64 * 1024 * 1024,
    };
    lock_init(&fixture->lock);
    return fixture;
}

static void run_loop(void *subject) { loop_run(subject); }

void fixture_start(struct fixture *fixture)
{
    struct http_handler handler = {
        .self = fixture,
        .body_bytes_max = body_bytes_max,
        .is_proxy = fixture->is_proxy,
        .handle = handle,
        .served = served,
    };
    fixture->loop = loop_open();
    CHECK_OK(
        http_open(fixture->arena, fixture->loop, &fixture->config, &handler, &fixture->server));
    fixture->port = http_port(fixture->server);
    fixture->workers = workers_open("test", 2, 100);
    fixture->thread = thread_start("http-test", run_loop, fixture->loop);
}

struct fixture *fixture_open(struct test *t)
{
    struct fixture *fixture = fixture_of(t);
    fixture_start(fixture);
    return fixture;
}

static void run_act(struct loop_task *task)
{
    struct fixture *fixture = (struct fixture *)((char *)task - offsetof(struct fixture, task));
    fixture->act(fixture);
    __atomic_fetch_add(&fixture->acted, 1, __ATOMIC_SEQ_CST);
}

void fixture_do(struct fixture *fixture, void (*act)(struct fixture *fixture))
{
    int before = __atomic_load_n(&fixture->acted, __ATOMIC_SEQ_CST);
    fixture->act = act;
    fixture->task.run = run_act;
    loop_post(fixture->loop, &fixture->task);
    fixture_wait(&fixture->acted, before + 1);
}

static void on_closed(void *subject)
{
    struct fixture *fixture = subject;
    __atomic_fetch_add(&fixture->closed, 1, __ATOMIC_SEQ_CST);
}

static void act_close(struct fixture *fixture)
{
    http_close(fixture->server, fixture->config.idle_timeout_ms, on_closed, fixture);
}

void fixture_close_server(struct fixture *fixture, uint32_t grace_ms)
{
    fixture->config.idle_timeout_ms = grace_ms;
    fixture_do(fixture, act_close);
}

void fixture_end(struct fixture *fixture)
{
    fixture_wait(&fixture->closed, 1);
    loop_stop(fixture->loop);
    thread_join(fixture->thread);
    workers_close(fixture->workers);
    loop_close(fixture->loop);
    lock_done(&fixture->lock);
    CHECK_INT(fixture->served_us_negative, 0);
}

void fixture_close(struct fixture *fixture)
{
    fixture_close_server(fixture, CLIENT_WAIT_MS);
    fixture_end(fixture);
}

/* ---- Waiting ---- */

void fixture_wait(int *counter, int least)
{
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < least) {
        if (clock_mono_us() > deadline_us)
            FAIL("waited in vain for %d, there are %d", least, *counter);
        sleep_until(clock_mono_us() + 200);
    }
}

static int held_count(struct fixture *fixture)
{
    lock_take(&fixture->lock);
    int count = fixture->held_count;
    lock_drop(&fixture->lock);
    return count;
}

void fixture_wait_held(struct fixture *fixture, int count)
{
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (held_count(fixture) < count) {
        if (clock_mono_us() > deadline_us)
            FAIL("waited in vain for %d held requests", count);
        sleep_until(clock_mono_us() + 200);
    }
}

void fixture_release(struct fixture *fixture)
{
    lock_take(&fixture->lock);
    struct request *request = fixture->held[0];
    fixture->held_count--;
    memmove(fixture->held, fixture->held + 1,
            (size_t)fixture->held_count * sizeof fixture->held[0]);
    lock_drop(&fixture->lock);
    echo(request);
}

/* ---- Asking ---- */

str fixture_ask(struct fixture *fixture, str bytes)
{
    int fd = client_connect(fixture->port);
    client_send(fd, bytes);
    str answer = client_read_answer(fixture->arena, fd, !str_starts(bytes, STR("HEAD ")));
    close(fd);
    return answer;
}

str fixture_ask_all(struct fixture *fixture, str bytes)
{
    int fd = client_connect(fixture->port);
    client_send(fd, bytes);
    str answer = client_read_all(fixture->arena, fd);
    close(fd);
    return answer;
}
