#include "chassis/admin.h"
#include "gen/duka.h"
#include "os/disk.h"
#include "os/sync.h"
#include "tests/lib/client.h"
#include "tests/lib/inline.h"

#include <sys/stat.h>

/* ---- A service with one call for operators ---- */

static err make_thing(void *self, struct call *call, const void *in)
{
    (void)self;
    return call_answer(call, in);
}

static const struct path_piece things_pieces[] = { { .literal = "/operator/things" } };
static const struct path_piece public_pieces[] = { { .literal = "/things" } };
static const struct call_spec toy_calls[] = {
    { .name = "toy.v1.Toy/MakeThing",
      .short_name = "toy.make_thing",
      .index = 0,
      .method = HTTP_POST,
      .routed = true,
      .path = "/operator/things",
      .pieces = things_pieces,
      .pieces_count = 1,
      .body = BODY_NONE,
      .body_field = -1,
      .request = &duka_empty_spec,
      .response = &duka_empty_spec,
      .access = ACCESS_OPERATOR,
      .deadline_ms = 5000,
      .status = 200,
      .handle = make_thing },
    { .name = "toy.v1.Toy/Look",
      .short_name = "toy.look",
      .index = 1,
      .method = HTTP_GET,
      .routed = true,
      .path = "/things",
      .pieces = public_pieces,
      .pieces_count = 1,
      .body_field = -1,
      .request = &duka_empty_spec,
      .response = &duka_empty_spec,
      .access = ACCESS_ANYONE,
      .deadline_ms = 5000,
      .status = 200,
      .handle = make_thing },
};
static const struct service_spec toy_spec = { .name = "toy", .calls = toy_calls, .calls_count = 2 };
static const struct db_schema toy_schema = { .service = "toy" };

/* ---- An admin over it ---- */

struct fixture {
    struct test *t;
    struct house *house;
    struct service *toy;
    struct admin *admin;
    struct workers *workers;
    bool is_open, is_warm, is_linked;
    struct inline_client near, socket;
};

static enum admin_health ask_flag(void *flag, const char **words)
{
    *words = *(bool *)flag ? NULL : "it is closed";
    return *(bool *)flag ? ADMIN_WELL : ADMIN_FAILED;
}

static enum admin_health ask_weak(void *flag, const char **words)
{
    *words = *(bool *)flag ? NULL : "it limps";
    return *(bool *)flag ? ADMIN_WELL : ADMIN_DEGRADED;
}

/* Pages of others: one is answered on the loop, one by a worker. */
static err show_name(void *self, struct request *request)
{
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .body = str_of_z(self) };
    return OK;
}

static void handle(void *admin, struct request *request) { admin_handle(admin, request); }

static void fixture_close(void *subject)
{
    struct fixture *fixture = subject;
    admin_close(fixture->admin, 0, NULL, NULL);
    workers_close(fixture->workers);
    service_stop(fixture->toy);
    service_close(fixture->toy);
}

/* Settings as inline_house takes them. */
static struct fixture *fixture_open(struct test *t, const char *const *settings)
{
    struct fixture *fixture = arena_new(t->arena, struct fixture);
    *fixture = (struct fixture){ .t = t, .house = inline_house(t, settings), .is_open = true };
    fixture->is_warm = fixture->is_linked = true;
    fixture->workers = workers_open("pages", 1, 4);

    str url = str_format(t->arena, "sqlite:%" STR_F "/toy.db",
                         STR_A(conf_text(fixture->house->conf, CONF_DATA_DIR)));
    struct service_config config = {
        .spec = &toy_spec, .schema = &toy_schema, .house = fixture->house, .database_url = url
    };
    CHECK_OK(service_open(t->arena, &config, &fixture->toy));
    struct admin_check checks[] = { { "stock", ask_flag, &fixture->is_open },
                                    { "cache", ask_flag, &fixture->is_warm },
                                    { "bus", ask_weak, &fixture->is_linked } };
    static char quick[] = "quick", slow[] = "slow";
    const struct admin_page pages[] = { { "/debug", false, false, show_name, quick },
                                        { "/debug/slow/", true, true, show_name, slow } };
    fixture->admin =
        admin_open(&(struct admin_config){ .conf = fixture->house->conf,
                                           .checks = checks,
                                           .checks_count = 3,
                                           .pages = arena_copy(t->arena, pages, sizeof pages),
                                           .pages_count = 2,
                                           .workers = fixture->workers,
                                           .services = &fixture->toy,
                                           .services_count = 1 });
    arena_defer(t->arena, fixture_close, fixture);
    inline_start(t, fixture->house);
    service_start(fixture->toy);
    fixture->near = inline_client(t, fixture->house, handle, fixture->admin);
    fixture->socket = fixture->near;
    fixture->socket.operator_ = true;
    return fixture;
}

static struct inline_client with_token(struct fixture *fixture, const char *token)
{
    struct inline_client client = fixture->near;
    client.token = str_of_z(token);
    return client;
}

static const char *const far_settings[] = { "OPS_ADDR=0.0.0.0:0", "OPS_TOKEN=s3cret", NULL };

/* ---- Probes ---- */

TEST(admin_is_ready_once_started_and_while_its_checks_hold)
{
    struct fixture *fixture = fixture_open(t, NULL);
    struct answer_seen answer = inline_get(&fixture->near, "/readyz");
    CHECK_STATUS(answer, 503);
    CHECK(str_starts(answer.body, STR("{\"ready\":false,\"not_ready\":[\"starting\"],")));

    admin_started(fixture->admin);
    answer = inline_get(&fixture->near, "/readyz");
    CHECK_STATUS(answer, 200);
    CHECK_STR(answer.body,
              "{\"ready\":true,\"not_ready\":[],\"degraded\":[],\"checks\":["
              "{\"name\":\"program\",\"state\":\"ok\"},{\"name\":\"stock\",\"state\":\"ok\"},"
              "{\"name\":\"cache\",\"state\":\"ok\"},{\"name\":\"bus\",\"state\":\"ok\"}]}");
    CHECK_STR(answer.content_type, "application/json");
    CHECK_STR(inline_header(&answer, "cache-control"), "no-store");

    fixture->is_open = fixture->is_warm = false;
    answer = inline_get(&fixture->near, "/readyz");
    CHECK_STATUS(answer, 503);
    CHECK(str_starts(answer.body,
                     STR("{\"ready\":false,\"not_ready\":[\"stock\",\"cache\"],\"degraded\":[],")));
    CHECK(str_find(answer.body, STR("{\"name\":\"stock\",\"state\":\"failed\","
                                    "\"detail\":\"it is closed\"}")) > 0);
    fixture->is_open = fixture->is_warm = true;
    CHECK_STATUS(inline_get(&fixture->near, "/readyz"), 200);
}

TEST(admin_that_is_degraded_is_ready_and_says_what_that_means)
{
    struct fixture *fixture = fixture_open(t, NULL);
    admin_started(fixture->admin);
    fixture->is_linked = false;
    struct answer_seen answer = inline_get(&fixture->near, "/readyz");
    CHECK_STATUS(answer, 200);
    CHECK(str_starts(answer.body, STR("{\"ready\":true,\"not_ready\":[],\"degraded\":[\"bus\"],")));
    CHECK(str_find(answer.body, STR("{\"name\":\"bus\",\"state\":\"degraded\","
                                    "\"detail\":\"it limps\"}")) > 0);
    fixture->is_open = false; /* and what has failed unreadies it, but does not end its life */
    CHECK_STATUS(inline_get(&fixture->near, "/readyz"), 503);
    answer = inline_get(&fixture->near, "/livez");
    CHECK_STATUS(answer, 200);
    CHECK(str_starts(answer.body, STR("{\"live\":true,\"not_ready\":[\"stock\"],")));
}

TEST(admin_that_drains_is_alive_but_not_ready)
{
    struct fixture *fixture = fixture_open(t, NULL);
    admin_started(fixture->admin);
    admin_drain(fixture->admin);
    struct answer_seen answer = inline_get(&fixture->near, "/readyz");
    CHECK_STATUS(answer, 503);
    CHECK(str_starts(answer.body, STR("{\"ready\":false,\"not_ready\":[\"draining\"],")));
    CHECK_STATUS(inline_get(&fixture->near, "/livez"), 200);
    CHECK_STATUS(inline_get(&fixture->near, "/startupz"), 200);
}

TEST(admin_tells_when_it_has_started)
{
    struct fixture *fixture = fixture_open(t, NULL);
    struct answer_seen answer = inline_get(&fixture->near, "/startupz");
    CHECK_STATUS(answer, 503);
    CHECK(str_starts(answer.body, STR("{\"started\":false,\"not_ready\":[\"starting\"],")));
    CHECK_STATUS(inline_get(&fixture->near, "/livez"), 200);
    admin_started(fixture->admin);
    answer = inline_get(&fixture->near, "/startupz");
    CHECK_STATUS(answer, 200);
    CHECK(str_starts(answer.body, STR("{\"started\":true,\"not_ready\":[],")));
}

TEST(admin_probes_need_no_token_anywhere)
{
    struct fixture *fixture = fixture_open(t, far_settings);
    admin_started(fixture->admin);
    CHECK_STATUS(inline_get(&fixture->near, "/livez"), 200);
    CHECK_STATUS(inline_get(&fixture->near, "/readyz"), 200);
    CHECK_STATUS(inline_get(&fixture->near, "/startupz"), 200);
}

/* ---- Pages ---- */

TEST(admin_pages_tell_what_they_should)
{
    struct fixture *fixture = fixture_open(t, (const char *const[]){ "OPS_TOKEN=s3cret", NULL });
    struct answer_seen answer = inline_get(&fixture->near, "/metrics");
    CHECK_STATUS(answer, 200);
    CHECK_STR(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
    CHECK(str_find(answer.body, STR("# TYPE duka_calls_total counter")) > 0);

    answer = inline_get(&fixture->near, "/version");
    CHECK_STATUS(answer, 200);
    CHECK(inline_text(t, &answer, "/version").len > 0);
    CHECK(inline_text(t, &answer, "/sqlite").len > 0);

    answer = inline_get(&fixture->near, "/debug/settings");
    CHECK_STATUS(answer, 200);
    CHECK(str_find(answer.body, STR("# ops_token: (hidden)")) > 0);
    CHECK(str_find(answer.body, STR("s3cret")) < 0);
}

TEST(admin_shows_pages_of_others_by_their_path_or_its_beginning)
{
    struct fixture *fixture = fixture_open(t, NULL);
    CHECK_STR(inline_get(&fixture->near, "/debug").body, "quick");
    CHECK_STR(inline_get(&fixture->near, "/debug/slow/7").body, "slow");
    CHECK_PROBLEM(inline_get(&fixture->near, "/debug/slo"), 404, "route.unknown");
    CHECK_PROBLEM(inline_get(&fixture->near, "/debug/"), 404, "route.unknown");
    CHECK_PROBLEM(inline_post(&fixture->near, "/debug", "{}"), 405, "route.method_not_allowed");
}

TEST(admin_pages_of_others_want_the_token_beyond_loopback_also_as_a_browser_sends_it)
{
    struct fixture *fixture = fixture_open(t, far_settings);
    struct answer_seen answer = inline_get(&fixture->near, "/debug");
    CHECK_PROBLEM(answer, 401, "auth.token_missing");
    CHECK_PROBLEM(inline_get(&fixture->near, "/debug/slow/7"), 401, "auth.token_missing");
    struct inline_client right = with_token(fixture, "s3cret"), wrong = with_token(fixture, "else");
    CHECK_STR(inline_get(&right, "/debug").body, "quick");
    CHECK_STR(inline_get(&right, "/debug/slow/7").body, "slow");
    CHECK_PROBLEM(inline_get(&wrong, "/debug"), 401, "auth.token_invalid");
    CHECK_STR(inline_get(&fixture->socket, "/debug").body, "quick");

    static const char *const good[] = { "Authorization: Basic b3BlcmF0b3I6czNjcmV0", NULL };
    static const char *const bad[] = { "Authorization: Basic b3BlcmF0b3I6ZWxzZQ==", NULL };
    static const char *const broken[] = { "Authorization: Basic !", NULL };
    struct inline_client *near = &fixture->near;
    CHECK_STR(inline_request(near, "GET", "/debug", good, STR_NONE).body, "quick");
    CHECK_PROBLEM(inline_request(near, "GET", "/debug", bad, STR_NONE), 401, "auth.token_invalid");
    CHECK_PROBLEM(inline_request(near, "GET", "/debug", broken, STR_NONE), 401,
                  "auth.token_invalid");
}

TEST(admin_knows_no_other_page_and_no_other_method)
{
    struct fixture *fixture = fixture_open(t, NULL);
    CHECK_PROBLEM(inline_get(&fixture->near, "/"), 404, "route.unknown");
    CHECK_PROBLEM(inline_get(&fixture->near, "/livez/"), 404, "route.unknown");
    CHECK_PROBLEM(inline_get(&fixture->near, "/debugger"), 404, "route.unknown");
    struct answer_seen answer = inline_post(&fixture->near, "/metrics", "{}");
    CHECK_PROBLEM(answer, 405, "route.method_not_allowed");
    CHECK_STR(inline_header(&answer, "allow"), "GET, HEAD");
    CHECK_STATUS(inline_request(&fixture->near, "HEAD", "/livez", NULL, STR_NONE), 200);
}

/* ---- Tokens ---- */

TEST(admin_beyond_loopback_wants_the_token)
{
    static const char *const paths[] = { "/metrics", "/version", "/debug/settings" };
    struct fixture *fixture = fixture_open(t, far_settings);
    struct inline_client right = with_token(fixture, "s3cret");
    struct inline_client wrong = with_token(fixture, "s3cres");
    struct inline_client longer = with_token(fixture, "s3cret2");
    for (int i = 0; i < 3; i++) {
        struct answer_seen answer = inline_get(&fixture->near, paths[i]);
        CHECK_PROBLEM(answer, 401, "auth.token_missing");
        CHECK(str_starts(inline_header(&answer, "www-authenticate"), STR("Bearer")));
        CHECK_PROBLEM(inline_get(&wrong, paths[i]), 401, "auth.token_invalid");
        CHECK_PROBLEM(inline_get(&longer, paths[i]), 401, "auth.token_invalid");
        CHECK_STATUS(inline_get(&right, paths[i]), 200);
        CHECK_STATUS(inline_get(&fixture->socket, paths[i]), 200);
    }
    const char *basic[] = { "authorization: Basic s3cret", NULL };
    CHECK_STATUS(inline_request(&fixture->near, "GET", "/version", basic, STR_NONE), 401);
    const char *lower[] = { "authorization: bearer s3cret", NULL };
    CHECK_STATUS(inline_request(&fixture->near, "GET", "/version", lower, STR_NONE), 200);
}

TEST(admin_beyond_loopback_without_a_token_set_opens_to_nobody)
{
    struct fixture *fixture =
        fixture_open(t, (const char *const[]){ "OPS_ADDR=10.0.0.1:9000", NULL });
    struct inline_client empty = with_token(fixture, "");
    CHECK_PROBLEM(inline_get(&empty, "/version"), 401, "auth.token_invalid");
    CHECK_PROBLEM(inline_get(&fixture->near, "/metrics"), 401, "auth.token_missing");
    CHECK_STATUS(inline_get(&fixture->socket, "/version"), 200);
}

TEST(admin_metrics_can_be_opened_alone)
{
    struct fixture *fixture = fixture_open(
        t, (const char *const[]){ "OPS_ADDR=[::]:9000", "OPS_METRICS_OPEN=true", NULL });
    CHECK_STATUS(inline_get(&fixture->near, "/metrics"), 200);
    CHECK_STATUS(inline_get(&fixture->near, "/version"), 401);
    CHECK_STATUS(inline_get(&fixture->near, "/debug/settings"), 401);
}

TEST(admin_knows_which_addresses_are_loopback)
{
    static const struct {
        const char *setting;
        int status;
    } cases[] = {
        { "OPS_ADDR=127.0.0.1:9000", 200 },  { "OPS_ADDR=127.8.9.10:1", 200 },
        { "OPS_ADDR=[::1]:9000", 200 },      { "OPS_ADDR=unix:/tmp/ops.sock", 200 },
        { "OPS_ADDR=:9000", 401 },           { "OPS_ADDR=0.0.0.0:9000", 401 },
        { "OPS_ADDR=[::]:9000", 401 },       { "OPS_ADDR=127.example.org:9000", 401 },
        { "OPS_ADDR=1127.0.0.1:9000", 401 },
    };
    struct house *house = inline_house(t, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *environment[] = { (char *)(uintptr_t)cases[i].setting, NULL };
        char *argv[] = { (char *)(uintptr_t) "duka" };
        const struct conf *conf;
        CHECK_OK(conf_load(t->arena, 1, argv, environment, &conf, NULL));
        struct admin *admin = admin_open(&(struct admin_config){ .conf = conf });
        struct inline_client client = inline_client(t, house, handle, admin);
        struct answer_seen answer = inline_get(&client, "/version");
        admin_close(admin, 0, NULL, NULL);
        if (answer.status != cases[i].status)
            FAIL("%s: status %d", cases[i].setting, answer.status);
    }
}

/* ---- Calls of the services ---- */

TEST(admin_takes_calls_of_operators_and_staff_on_the_socket_only)
{
    struct fixture *fixture = fixture_open(t, NULL);
    CHECK_STATUS(inline_request(&fixture->socket, "POST", "/operator/things", NULL, STR_NONE), 200);
    CHECK_PROBLEM(inline_request(&fixture->near, "POST", "/operator/things", NULL, STR_NONE), 404,
                  "route.unknown");
    CHECK_PROBLEM(inline_request(&fixture->socket, "POST", "/operator/nothing", NULL, STR_NONE),
                  404, "route.unknown");
    CHECK_STATUS(inline_get(&fixture->socket, "/things"), 200);
    CHECK_PROBLEM(inline_get(&fixture->near, "/things"), 404, "route.unknown");

    struct answer_seen answer = inline_get(&fixture->socket, "/operator/things");
    CHECK_PROBLEM(answer, 405, "route.method_not_allowed");
    CHECK_STR(inline_header(&answer, "allow"), "POST");
}

static err say(void *self, struct request *request)
{
    struct fixture *fixture = self;
    if (request->body.len > 0)
        return fail(request->arena, FIELD_INVALID, "as the test says");
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("text/plain"),
                                           .body = fixture->is_open ? STR("open") : STR("shut") };
    return OK;
}

TEST(admin_runs_actions_on_a_worker_for_who_comes_by_the_socket)
{
    struct fixture *fixture = fixture_open(t, NULL);
    struct workers *workers = workers_open("action", 1, 8);
    struct admin_action actions[] = { { HTTP_POST, "/operator/say", say, fixture } };
    struct admin *admin = admin_open(&(struct admin_config){
        .conf = fixture->house->conf, .actions = actions, .actions_count = 1, .workers = workers });
    struct inline_client near = inline_client(t, fixture->house, handle, admin), socket = near;
    socket.operator_ = true;
    struct answer_seen answer = inline_request(&socket, "POST", "/operator/say", NULL, STR_NONE);
    CHECK_STATUS(answer, 200);
    CHECK_STR(answer.body, "open");
    CHECK_PROBLEM(inline_post(&socket, "/operator/say", "{}"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&socket, "/operator/say"), 405, "route.method_not_allowed");
    CHECK_PROBLEM(inline_post(&near, "/operator/say", "{}"), 404, "route.unknown");
    workers_close(workers);
    admin_close(admin, 0, NULL, NULL);
}

/* ---- Sockets ---- */

static void run_loop(void *loop) { loop_run(loop); }

static void on_closed(void *loop) { loop_stop(loop); }

struct closing {
    struct loop_task task;
    struct fixture *fixture;
    struct loop *loop;
};

static void close_now(struct loop_task *task)
{
    struct closing *closing = (struct closing *)task;
    admin_close(closing->fixture->admin, 1000, on_closed, closing->loop);
    closing->fixture->admin = NULL;
}

static str ask(struct test *t, int fd, const char *request)
{
    client_send(fd, str_of_z(request));
    str answer = client_read_answer(t->arena, fd, true);
    close(fd);
    return answer;
}

TEST(admin_listens_on_its_address_and_on_a_socket_of_its_owner)
{
    struct fixture *fixture =
        fixture_open(t, (const char *const[]){ "OPS_ADDR=127.0.0.1:0", NULL });
    struct loop *loop = loop_open();
    CHECK_OK(admin_listen(fixture->admin, t->arena, loop));
    admin_started(fixture->admin);
    int port = admin_port(fixture->admin);
    const char *socket =
        str_z(t->arena, str_format(t->arena, "%" STR_F "/duka.sock",
                                   STR_A(conf_text(fixture->house->conf, CONF_DATA_DIR))));
    struct stat info;
    CHECK(stat(socket, &info) == 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    struct thread *thread = thread_start("admin", run_loop, loop);

    static const char post[] = "POST /operator/things HTTP/1.1\r\nHost: duka\r\n\r\n";
    str answer = ask(t, client_connect(port), "GET /readyz HTTP/1.1\r\nHost: duka\r\n\r\n");
    CHECK_INT(answer_status(answer), 200);
    CHECK(str_starts(answer_body(answer), STR("{\"ready\":true,\"not_ready\":[],")));
    CHECK(answer_header(answer, STR("X-Request-Id")).len > 0);
    CHECK_INT(answer_status(ask(t, client_connect(port), post)), 404);
    CHECK_INT(answer_status(ask(t, client_connect_unix(socket), post)), 200);
    answer = ask(t, client_connect_unix(socket), "GET /metrics HTTP/1.1\r\nHost: duka\r\n\r\n");
    CHECK_INT(answer_status(answer), 200);
    CHECK(str_find(answer_body(answer), STR("duka_process_resident_bytes ")) > 0);
    CHECK(str_starts(answer_header(answer, STR("Content-Type")), STR("text/plain;")));
    answer = ask(t, client_connect_unix(socket),
                 "GET /metrics HTTP/1.1\r\nHost: duka\r\n"
                 "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");
    CHECK(str_starts(answer_header(answer, STR("Content-Type")),
                     STR("application/openmetrics-text;")));
    CHECK(str_ends(answer_body(answer), STR("\n# EOF\n")));

    struct closing closing = { { .run = close_now }, fixture, loop };
    loop_post(loop, &closing.task);
    thread_join(thread);
    loop_close(loop);
    CHECK(!disk_exists(t->arena, str_of_z(socket)));
}

TEST(admin_names_the_setting_of_an_address_that_is_taken)
{
    struct fixture *fixture =
        fixture_open(t, (const char *const[]){ "OPS_ADDR=127.0.0.1:0", NULL });
    struct loop *loop = loop_open();
    CHECK_OK(admin_listen(fixture->admin, t->arena, loop));
    const char *address =
        str_z(t->arena, str_format(t->arena, "OPS_ADDR=127.0.0.1:%d", admin_port(fixture->admin)));
    struct fixture *second = fixture_open(t, (const char *const[]){ address, NULL });
    err error = admin_listen(second->admin, t->arena, loop);
    CHECK_ERR(error, ADDRESS_TAKEN);
    CHECK(str_find(error->detail, STR("OPS_ADDR")) >= 0);

    admin_close(second->admin, 0, NULL, NULL);
    admin_close(fixture->admin, 0, on_closed, loop);
    second->admin = fixture->admin = NULL;
    loop_run(loop);
    loop_close(loop);
}
