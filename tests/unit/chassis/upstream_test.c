#include "chassis/upstream.h"

#include "os/disk.h"
#include "tests/lib/certificates.h"
#include "tests/unit/chassis/upstream_fixture.h"

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static struct gate *gate_to(struct test *t, const struct fixture *fixture,
                            const char *const *settings)
{
    return gate_open(t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", fixture->port)),
                     settings);
}

TEST(a_request_goes_on_and_its_answer_comes_back)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);
    struct asked_of *asked = gate_request(gate, "POST", "/echo?a=b");

    asked->request.body = STR("hello");
    asked_of_header(asked, "x-one", "1");
    CHECK_INT(gate_ask(asked), 200);
    str body = text_str(&asked->body);
    CHECK(has(body, "POST /echo query=a=b "));
    CHECK(has(body, "\nx-one=1\n"));
    CHECK(has(body, "\ncontent-length=5\n"));
    CHECK(has(body, "\nx-caller=for /echo\n"));
    CHECK(has(body, "body=hello"));
    CHECK_STR(asked->request.response.content_type, "text/plain");
    gate_close(gate);
    fixture_close(fixture);
}

TEST(a_client_of_http_1_is_served_through_it)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);

    int fd = client_connect(gate->port);
    client_send(fd, STR("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"));
    str answer = client_read_answer(t->arena, fd, true);
    CHECK_INT(answer_status(answer), 200);
    CHECK(has(answer_body(answer), "GET /echo"));
    client_send(fd, STR("HEAD /big?5000 HTTP/1.1\r\nHost: h\r\n\r\n"));
    answer = client_read_answer(t->arena, fd, false);
    CHECK_STR(answer_header(answer, STR("Content-Length")), "5000");
    client_send(fd, STR("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, false)), 204);
    close(fd);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(where_nobody_listens_it_says_so_at_once)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);
    fixture_close(fixture);

    struct asked_of *asked = gate_request(gate, "GET", "/echo");
    CHECK_INT(gate_ask(asked), 503);
    CHECK_STR(asked_of_answer(asked, "Retry-After"), "1");
    CHECK(has(text_str(&asked->body), "upstream.unavailable"));
    CHECK(has(text_str(&asked->body), "connection refused"));
    CHECK(!upstream_ready(gate->upstream));
    gate_close(gate);
}

TEST(an_upstream_that_is_no_place_or_has_no_tls_is_refused_at_the_start)
{
    struct loop *loop = loop_open();
    struct upstream_config config = { .name = "other", .setting = "OTHER_URL" };
    const struct conf *conf;
    struct upstream *upstream;
    char *argv[] = { (char *)(uintptr_t) "test", NULL }, *environment[] = { NULL };

    CHECK_OK(conf_load(t->arena, 1, argv, environment, &conf, NULL));
    config.conf = conf;
    config.url = STR("nowhere");
    CHECK_ERR(upstream_open(t->arena, loop, &config, &upstream), SETTING_INVALID);
    config.url = STR("https://orders");
    CHECK_ERR(upstream_open(t->arena, loop, &config, &upstream), SETTING_INVALID);
    config.url = STR("http://orders");
    CHECK_OK(upstream_open(t->arena, loop, &config, &upstream));
    CHECK(upstream_ready(upstream));
    upstream_close(upstream);
    upstream_close(NULL);
    loop_close(loop);
}

TEST(a_unix_socket_is_asked_like_a_host)
{
    struct fixture *fixture = fixture_of(t);
    const char *url = str_z(t->arena, str_format(t->arena, "unix:%s/orders.sock", test_folder(t)));
    fixture->config.address = str_of_z(url);
    fixture_start(fixture);
    struct gate *gate = gate_open(t, url, NULL);

    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(what_is_under_way_when_it_closes_is_told_so)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);
    struct asked_of *asked = gate_request(gate, "POST", "/hold");

    gate_send(asked);
    fixture_wait_held(fixture, 1);
    gate_close(gate);
    CHECK_INT(asked->done, 1);
    CHECK_INT(asked->request.response.status, 503);
    CHECK(has(text_str(&asked->body), "this program stops"));
    fixture_release(fixture);
    fixture_close(fixture);
}

/* ---- TLS ---- */

struct mutual {
    const char *folder;
    struct certificate root, orders, gateway, stranger;
    struct fixture *fixture;
};

static struct tls_context *server_context;

static void act_use_tls(struct fixture *fixture) { http_use_tls(fixture->server, server_context); }

static void put(struct test *t, const struct mutual *mutual, const char *name, str bytes)
{
    CHECK_OK(
        disk_write(t->arena, str_format(t->arena, "%s/%s", mutual->folder, name), bytes, 0600));
}

/* A server that wants certificates of its authority, and of them only the gateway's. */
static struct mutual mutual_of(struct test *t)
{
    struct mutual mutual = { .folder = test_folder(t), .fixture = fixture_open(t) };
    str names[] = { STR("gateway.shop") };

    mutual.root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    mutual.orders = certificate_make(
        t, (struct certificate_wish){ .name = "o", .dns = "localhost", .issuer = &mutual.root });
    mutual.gateway = certificate_make(
        t, (struct certificate_wish){ .name = "g", .dns = "gateway.shop", .issuer = &mutual.root });
    mutual.stranger = certificate_make(
        t, (struct certificate_wish){ .name = "s", .dns = "stranger", .issuer = &mutual.root });
    put(t, &mutual, "root.pem", mutual.root.pem);
    put(t, &mutual, "g.pem", mutual.gateway.pem);
    put(t, &mutual, "g.key", mutual.gateway.key);
    put(t, &mutual, "s.pem", mutual.stranger.pem);
    put(t, &mutual, "s.key", mutual.stranger.key);
    struct tls_config config = { .certificate = mutual.orders.pem,
                                 .key = mutual.orders.key,
                                 .authorities = mutual.root.pem,
                                 .names = names,
                                 .names_count = 1,
                                 .certificate_name = "CERT",
                                 .key_name = "KEY",
                                 .authorities_name = "CA" };
    CHECK_OK(tls_open(t->arena, &config, &server_context));
    fixture_do(mutual.fixture, act_use_tls);
    return mutual;
}

/* The status of a request to it as `host`, showing the certificate `who` ("g", "s" or NULL). */
static int ask_as(struct test *t, const struct mutual *mutual, const char *host, const char *who,
                  const char *names, const char **body)
{
    const char *settings[6] = { str_z(
        t->arena, str_format(t->arena, "--upstream-tls-ca-file=%s/root.pem", mutual->folder)) };
    int count = 1;

    if (who) {
        settings[count++] =
            str_z(t->arena,
                  str_format(t->arena, "--upstream-tls-cert-file=%s/%s.pem", mutual->folder, who));
        settings[count++] =
            str_z(t->arena,
                  str_format(t->arena, "--upstream-tls-key-file=%s/%s.key", mutual->folder, who));
    }
    if (names)
        settings[count++] = str_z(t->arena, str_format(t->arena, "--upstream-tls-names=%s", names));
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "https://%s:%d", host, mutual->fixture->port)),
        settings);
    struct asked_of *asked = gate_request(gate, "POST", "/echo");
    int status = gate_ask(asked);
    *body = str_z(t->arena, text_str(&asked->body));
    gate_close(gate);
    return status;
}

TEST(under_mutual_tls_both_must_be_who_they_should_be)
{
    struct mutual mutual = mutual_of(t);
    const char *body;

    CHECK_INT(ask_as(t, &mutual, "localhost", "g", NULL, &body), 200);
    CHECK_INT(ask_as(t, &mutual, "127.0.0.1", "g", "localhost", &body), 200);
    CHECK_INT(ask_as(t, &mutual, "127.0.0.1", "g", NULL, &body), 503);
    CHECK(has(str_of_z(body), "IP address mismatch"));
    CHECK_INT(ask_as(t, &mutual, "localhost", "g", "products", &body), 503);
    CHECK(has(str_of_z(body), "ostname mismatch"));
    CHECK_INT(ask_as(t, &mutual, "localhost", "s", NULL, &body), 503);
    CHECK_INT(ask_as(t, &mutual, "localhost", NULL, NULL, &body), 503);
    CHECK_INT(http_stats_of(mutual.fixture->server).requests, 2);
    fixture_close(mutual.fixture);
}

TEST(a_server_without_tls_is_not_talked_to_in_clear)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "https://localhost:%d", fixture->port)), NULL);

    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 503);
    CHECK_INT(http_stats_of(fixture->server).requests, 0);
    gate_close(gate);
    fixture_close(fixture);
}
