#include "chassis/ask_stream.h"

#include "os/disk.h"
#include "tests/unit/chassis/http_fixture.h"

/* The HTTP server of the tests at a unix socket, as the operators' door is. */
static struct fixture *at_socket(struct test *t)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.address = str_format(t->arena, "unix:%s/socket", test_folder(t));
    fixture->config.body_bytes_max = 16 * 1024 * 1024;
    fixture_start(fixture);
    return fixture;
}

static str socket_of(struct fixture *fixture)
{
    return str_slice(fixture->config.address, 5, fixture->config.address.len);
}

struct seen {
    struct text text;
    int64_t done, total;
    int waits;
    struct arena *refuses;
};

static err take(void *self, str piece)
{
    struct seen *seen = self;
    if (seen->refuses)
        return fail(seen->refuses, OS_FAILED, "as the test says");
    text_add(&seen->text, piece);
    return OK;
}

static void progress(void *self, int64_t done, int64_t total)
{
    struct seen *seen = self;
    CHECK(done >= seen->done);
    seen->done = done;
    seen->total = total;
}

TEST(a_file_is_sent_up_whole_and_told_of_on_the_way)
{
    struct fixture *fixture = at_socket(t);
    str file = str_format(t->arena, "%s/file", test_folder(t));
    char *bytes = arena_alloc(t->arena, 700000, 1);
    struct seen seen = { 0 };
    struct asked asked;
    memset(bytes, 'f', 700000);
    CHECK_OK(disk_write(t->arena, file, str_of(bytes, 700000), 0600));
    CHECK_OK(ask_upload(t->arena, socket_of(fixture), "/spool", "text/csv", file, progress, &seen,
                        &asked));
    CHECK_INT(asked.status, 200);
    CHECK_STR(asked.body, "pieces=3 bytes=700000 odd=1");
    CHECK_INT(seen.done, 700000);
    CHECK_INT(seen.total, 700000);

    CHECK_OK(
        ask_upload(t->arena, socket_of(fixture), "/refuse", "text/csv", file, NULL, NULL, &asked));
    CHECK_INT(asked.status, 401);
    CHECK_ERR(ask_upload(t->arena, socket_of(fixture), "/spool", "text/csv", STR("/none"), NULL,
                         NULL, &asked),
              OS_FAILED);
    fixture_close(fixture);
    CHECK_ERR(ask_upload(t->arena, STR("/none"), "/spool", "text/csv", file, NULL, NULL, &asked),
              UPSTREAM_UNAVAILABLE);
}

TEST(a_body_comes_down_whole_in_chunks_and_otherwise)
{
    struct fixture *fixture = at_socket(t);
    struct seen seen = { .text = text_init(t->arena, 1024) };
    struct asked asked;
    int64_t wanted = 0;
    for (int n = 0; n < 600; n++)
        wanted += n % 3 == 2 ? 0 : n + 1;
    CHECK_OK(ask_download(t->arena, socket_of(fixture), "/pieces?600", take, &seen, &asked));
    CHECK_INT(asked.status, 200);
    CHECK_INT(seen.text.len, wanted);

    seen.text.len = 0;
    CHECK_OK(ask_download(t->arena, socket_of(fixture), "/big?300000", take, &seen, &asked));
    CHECK_INT(seen.text.len, 300000);

    seen.text.len = 0;
    CHECK_ERR(ask_download(t->arena, socket_of(fixture), "/broken?30", take, &seen, &asked),
              UPSTREAM_FAILED);
    seen.refuses = t->arena;
    CHECK_ERR(ask_download(t->arena, socket_of(fixture), "/big?3000", take, &seen, &asked),
              OS_FAILED);
    fixture_close(fixture);
}

static void waiting(void *self)
{
    struct seen *seen = self;
    seen->waits++;
}

TEST(an_answer_is_waited_for_with_signs_of_life)
{
    struct fixture *fixture = at_socket(t);
    struct seen seen = { 0 };
    struct asked asked;
    CHECK_OK(ask_patiently(t->arena, socket_of(fixture), "POST", "/echo", STR("{\"a\":1}"), waiting,
                           &seen, &asked));
    CHECK_INT(asked.status, 200);
    CHECK(str_find(asked.body, STR("body={\"a\":1}")) > 0);
    CHECK_ERR(
        ask_patiently(t->arena, STR("/none"), "GET", "/echo", STR_NONE, waiting, &seen, &asked),
        UPSTREAM_UNAVAILABLE);
    fixture_close(fixture);
}
