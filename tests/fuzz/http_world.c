#include "tests/fuzz/http_world.h"

#include "chassis/grpc_door.h"
#include "chassis/http_head.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "tests/fuzz/fuzz.h"

enum { HELD_MAX = 256, PIECES = 5, ASKED_BYTES_MAX = 16 * 1024 * 1024 };

static struct {
    struct loop *loop;
    struct http_server *server;
    struct grpc_door *door;
    struct arena *memory;
    struct text asked;
    int streams_open;
    int64_t requests_before;
    struct request *held[HELD_MAX];
    int held_count;
} world;

/* ---- time: that of the loop ---- */

static int64_t mono_us(void) { return loop_now_ms(world.loop) * TIME_MS; }
static time_us wall_us(void) { return 1700000000 * TIME_SECOND + mono_us(); }

/* ---- what holds of every request ---- */

static bool has_control(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t')
            return true;
    return false;
}

static void check_headers(const struct request *request)
{
    static const char *const once[] = { "host", "content-type", "authorization", "idempotency-key",
                                        "if-match" };

    FUZZ_CHECK(request->headers_count <= HEADERS_MAX);
    for (int i = 0; i < request->headers_count; i++) {
        str name = request->headers[i].name, value = request->headers[i].value;
        FUZZ_CHECK(name.len > 0 && str_equal(name, str_lower(request->arena, name)));
        FUZZ_CHECK(!has_control(name) && str_find_byte(name, ' ') < 0);
        FUZZ_CHECK(!has_control(value) && str_equal(value, str_trim(value)));
    }
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        FUZZ_CHECK(request_header_count(request, str_of_z(once[i])) <= 1);
}

static void check_request(const struct request *request)
{
    FUZZ_CHECK(request->path.len > 0 && request->path.ptr[0] == '/');
    FUZZ_CHECK(request->path.len <= WORLD_TARGET_BYTES_MAX);
    FUZZ_CHECK(str_find_byte(request->path, '?') < 0 && str_find_byte(request->path, '#') < 0);
    FUZZ_CHECK(!has_control(request->path) && !has_control(request->query));
    FUZZ_CHECK(request->body.len <= WORLD_BODY_BYTES_MAX || request->stream);
    check_headers(request);
}

static void write_down(const struct request *request)
{
    struct text *out = &world.asked;

    FUZZ_CHECK(out->len < ASKED_BYTES_MAX);
    text_add(out, request->method_text);
    text_add_byte(out, ' ');
    text_add(out, request->path);
    if (request->query.ptr)
        text_add_byte(out, '?');
    text_add(out, request->query);
    for (int i = 0; i < request->headers_count; i++) {
        text_add_byte(out, '|');
        text_add(out, request->headers[i].name);
        text_add_byte(out, '=');
        text_add(out, request->headers[i].value);
    }
    text_add_byte(out, '|');
    text_add(out, request->body);
    text_add_byte(out, '\n');
}

/* ---- bodies in pieces ---- */

struct spool {
    struct body_stream body; /* first */
    size_t taken;
};

static void take(struct request *request)
{
    struct spool *spool = (struct spool *)request->stream;

    FUZZ_CHECK(request->body.len <= STREAM_PIECE_BYTES);
    spool->taken += request->body.len;
    if (spool->taken > WORLD_BODY_BYTES_MAX / 2)
        request->failure = fail(request->arena, DB_FULL, "as the fuzzer says");
    request->taken(request);
}

struct pieces {
    struct answer_stream answer; /* first */
    int made;
};

static void next_piece(struct request *request)
{
    struct pieces *pieces = (struct pieces *)request->response.stream;

    pieces->made++;
    FUZZ_CHECK(pieces->made <= PIECES);
    request->response.body = pieces->made == 2 ? STR("") : STR("a piece");
    pieces->answer.ended = pieces->made == PIECES;
    request->made(request);
}

static void end_pieces(struct request *request)
{
    (void)request;
    world.streams_open--;
}

static void answer_in_pieces(struct request *request)
{
    struct pieces *pieces = arena_new(request->arena, struct pieces);

    pieces->answer = (struct answer_stream){ .next = next_piece, .end = end_pieces };
    world.streams_open++;
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .body = STR("the first"),
                                           .stream = &pieces->answer };
}

/* ---- the handler ---- */

static uint32_t body_bytes_max(void *self, struct request *request, bool *refused)
{
    (void)self;
    if (grpc_door_is_for(world.door, request)) {
        grpc_door_begin(world.door, request);
        return WORLD_BODY_BYTES_MAX;
    }
    if (str_equal(request->path, STR("/spool"))) {
        struct spool *spool = arena_new(request->arena, struct spool);
        spool->body.take = take;
        request->stream = &spool->body;
    }
    if (str_equal(request->path, STR("/refuse"))) {
        request_identify(request);
        response_problem(request, fail(request->arena, TOKEN_MISSING, "no token"));
        *refused = true;
    }
    return WORLD_BODY_BYTES_MAX;
}

static void answer(struct request *request)
{
    if (str_equal(request->path, STR("/pieces")))
        answer_in_pieces(request);
    else
        request->response = (struct response){ .status = 200,
                                               .content_type = STR("text/plain"),
                                               .body = request->body };
    request_respond(request);
}

static void handle(void *self, struct request *request)
{
    (void)self;
    request->route = "fuzz";
    request_identify(request);
    check_request(request);
    write_down(request);
    if (grpc_door_is_for(world.door, request)) {
        grpc_door_handle(world.door, request);
    } else if (str_equal(request->path, STR("/hold")) && world.held_count < HELD_MAX) {
        world.held[world.held_count++] = request;
    } else {
        answer(request);
    }
}

static void served(void *self, const struct request *request, int64_t took_us)
{
    (void)self;
    FUZZ_CHECK(request->response.status >= 100 && request->response.status < 600);
    FUZZ_CHECK(took_us >= 0);
}

bool world_answer_held(void)
{
    if (world.held_count == 0)
        return false;
    struct request *request = world.held[0];
    world.held_count--;
    memmove(world.held, world.held + 1, (size_t)world.held_count * sizeof world.held[0]);
    answer(request);
    return true;
}

/* ---- the world ---- */

static bool is_ready(void *subject)
{
    (void)subject;
    return true;
}

struct loop *world_begin(void)
{
    static const struct clock_ops clock = { .mono_us = mono_us, .wall_us = wall_us };
    static const struct grpc_served services[] = { { .name = "orders.v1.Orders",
                                                     .is_ready = is_ready } };
    const struct http_config config = {
        .address = STR("127.0.0.1:1"),
        .setting = "LISTEN_ADDR",
        .head_bytes_max = WORLD_HEAD_BYTES_MAX,
        .target_bytes_max = WORLD_TARGET_BYTES_MAX,
        .body_bytes_max = WORLD_BODY_BYTES_MAX,
        .head_timeout_ms = 1000,
        .body_timeout_ms = 1000,
        .idle_timeout_ms = 1000,
        .write_timeout_ms = 1000,
        .connections_max = 100,
        .arena_bytes_max = 8 * 1024 * 1024,
    };
    const struct http_handler handler = { .body_bytes_max = body_bytes_max,
                                          .handle = handle,
                                          .served = served };

    world.memory = arena_open(SIZE_MAX);
    world.asked = text_init(world.memory, 4096);
    world.loop = loop_open();
    clock_use(&clock);
    log_setup(LOG_ERROR, false);
    FUZZ_CHECK(http_open(world.memory, world.loop, &config, &handler, &world.server) == OK);
    world.door = grpc_door_open(world.loop, services, 1, true);
    return world.loop;
}

str world_asked(void) { return text_str(&world.asked); }

int world_requests(void)
{
    return (int)(http_stats_of(world.server).requests - world.requests_before);
}

void world_forget(void)
{
    world.asked.len = 0;
    world.requests_before = http_stats_of(world.server).requests;
}

void world_end(struct loop *loop, struct net_connection *connection)
{
    net_fake_turn(loop);
    /* Where its half was closed before it has left a second later, and what was said last has its
     * time. */
    if (!net_fake_end(connection, true))
        net_fake_pass(loop, 5000);
    net_fake_turn(loop);
    while (world_answer_held())
        net_fake_turn(loop);
    net_fake_turn(loop);
    FUZZ_CHECK(net_fake_is_closed(connection));
    net_fake_drop(connection);
}

void world_check_empty(void)
{
    FUZZ_CHECK(http_stats_of(world.server).connections == 0);
    FUZZ_CHECK(world.held_count == 0);
    FUZZ_CHECK(world.streams_open == 0);
}
