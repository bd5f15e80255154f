#include "os/clock.h"
#include "os/dial.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include <sys/socket.h>
#include <sys/un.h>

/* A server of one connection: reads until it has seen a full stop, says its words, closes. */
struct server {
    str path;
    int listener;
    const char *words;
    size_t repeats;
    bool says_nothing;
    char heard[64];
    struct thread *thread;
};

static struct sockaddr_un address_of(str path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    CHECK(path.len < sizeof address.sun_path);
    memcpy(address.sun_path, path.ptr, path.len);
    return address;
}

static void serve(void *subject)
{
    struct server *server = subject;
    int fd = accept(server->listener, NULL, NULL);
    size_t len = 0;
    while (len < sizeof server->heard - 1 && !strchr(server->heard, '.')) {
        ssize_t got = read(fd, server->heard + len, sizeof server->heard - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    if (server->says_nothing)
        sleep_until(clock_mono_us() + 400 * TIME_MS);
    for (size_t i = 0; i < server->repeats; i++)
        if (send(fd, server->words, strlen(server->words), MSG_NOSIGNAL) < 0)
            break;
    close(fd);
}

static void server_start(struct test *t, struct server *server)
{
    server->path = str_format(t->arena, "%s/socket", test_folder(t));
    struct sockaddr_un address = address_of(server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(server->listener >= 0);
    CHECK(bind(server->listener, (const struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(server->listener, 1) == 0);
    server->thread = thread_start("server", serve, server);
}

static void server_stop(struct server *server)
{
    thread_join(server->thread);
    close(server->listener);
}

TEST(what_is_said_until_the_end_is_the_answer)
{
    struct server server = { .words = "hello ", .repeats = 3 };
    str answer;
    server_start(t, &server);
    err error = dial_unix(t->arena, server.path, STR("ask."), 100, 5000, &answer);
    server_stop(&server);
    CHECK_OK(error);
    CHECK_STR(answer, "hello hello hello ");
    CHECK_STR(server.heard, "ask.");
}

TEST(an_answer_larger_than_a_buffer_is_read_whole)
{
    struct server server = { .words = "0123456789", .repeats = 20000 };
    str answer;
    server_start(t, &server);
    err error = dial_unix(t->arena, server.path, STR("ask."), 200000, 5000, &answer);
    server_stop(&server);
    CHECK_OK(error);
    CHECK_INT(answer.len, 200000);
}

TEST(an_answer_over_its_limit_is_refused)
{
    struct server server = { .words = "0123456789", .repeats = 20000 };
    str answer;
    server_start(t, &server);
    err error = dial_unix(t->arena, server.path, STR("ask."), 199999, 5000, &answer);
    server_stop(&server);
    CHECK_ERR(error, OS_FAILED);
}

TEST(a_silent_peer_is_given_up)
{
    struct server server = { .words = "too late", .repeats = 1, .says_nothing = true };
    str answer;
    server_start(t, &server);
    err error = dial_unix(t->arena, server.path, STR("ask."), 100, 50, &answer);
    server_stop(&server);
    CHECK_ERR(error, UPSTREAM_UNAVAILABLE);
}

TEST(where_nobody_listens_the_error_says_so)
{
    str answer, path = str_format(t->arena, "%s/socket", test_folder(t));
    err error = dial_unix(t->arena, path, STR("ask."), 100, 5000, &answer);
    CHECK_ERR(error, UPSTREAM_UNAVAILABLE);
    CHECK(str_find(error->detail, STR("no socket")) == 0);

    struct sockaddr_un address = address_of(path); /* one that a dead process left behind */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    close(fd);
    error = dial_unix(t->arena, path, STR("ask."), 100, 5000, &answer);
    CHECK_ERR(error, UPSTREAM_UNAVAILABLE);
    CHECK(str_find(error->detail, STR("nobody listens")) == 0);
}

TEST(a_path_too_long_for_a_socket_is_an_error_that_says_what_to_do)
{
    str answer;
    err error =
        dial_unix(t->arena, str_format(t->arena, "/%0107d", 0), STR("ask."), 100, 5000, &answer);
    CHECK_ERR(error, OS_FAILED);
    CHECK(str_find(error->detail, STR("DATA_DIR")) > 0);
}

/* ---- Step by step ---- */

TEST(a_dial_is_sent_to_and_received_from_in_steps)
{
    struct server server = { .words = "hello ", .repeats = 2, .says_nothing = true };
    struct dial *dial;
    char room[64], heard[64];
    size_t len, all = 0;
    bool waited, closed;
    server_start(t, &server);
    CHECK_ERR(dial_open(t->arena, str_format(t->arena, "%s/none", test_folder(t)), 1000, &dial),
              UPSTREAM_UNAVAILABLE);
    CHECK_OK(dial_open(t->arena, server.path, 10000, &dial));
    CHECK_OK(dial_send(dial, STR("one "), &closed));
    CHECK_OK(dial_send(dial, STR("two."), &closed));
    CHECK(!closed);
    CHECK_OK(dial_receive(dial, room, sizeof room, 1, &len, &waited));
    CHECK(waited && len == 0); /* it thinks before it speaks */
    do {
        CHECK_OK(dial_receive(dial, room, sizeof room, 10000, &len, &waited));
        CHECK(!waited && all + len < sizeof heard);
        memcpy(heard + all, room, len);
        all += len;
    } while (len > 0);
    CHECK_STR(str_of(heard, all), "hello hello ");
    dial_close(dial);
    dial_close(NULL);
    server_stop(&server);
    CHECK_STR(str_of_z(server.heard), "one two.");
}
