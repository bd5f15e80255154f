#include "chassis/http2.h"

#include "os/clock.h"
#include "tests/unit/chassis/http2_client.h"
#include "tests/unit/chassis/http_fixture.h"

TEST(a_large_answer_comes_whole_through_small_windows)
{
    static const int windows[] = { 0, 1000, 65536 };
    struct fixture *fixture = fixture_open(t);

    for (size_t i = 0; i < 3; i++) {
        struct h2 *h2 = h2_open(t, fixture->port, windows[i]);
        const struct h2_answer *answer =
            h2_read(h2, h2_ask(h2, "GET", "/big?3000000", NULL, STR_NONE));
        CHECK_INT(answer->status, 200);
        CHECK_INT(answer->body.len, 3000000);
        CHECK_STR(h2_header(answer, "content-length"), "3000000");
        h2_close(h2);
    }
    fixture_close(fixture);
}

TEST(an_answer_without_a_body_ends_with_its_headers)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    const struct h2_answer *answer = h2_read(h2, h2_ask(h2, "HEAD", "/big?5000", NULL, STR_NONE));
    CHECK_INT(answer->status, 200);
    CHECK_STR(h2_header(answer, "content-length"), "5000");
    CHECK_INT(answer->body.len, 0);
    answer = h2_read(h2, h2_ask(h2, "GET", "/none", NULL, STR_NONE));
    CHECK_INT(answer->status, 204);
    CHECK(!h2_header(answer, "content-length").ptr);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_slow_peer_does_not_hold_up_its_own_other_streams)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 1000);

    int32_t big = h2_ask(h2, "GET", "/big?2000000", NULL, STR_NONE);
    int32_t small = h2_ask(h2, "GET", "/echo", NULL, STR_NONE);
    CHECK_INT(h2_read(h2, small)->status, 200);
    CHECK_INT(h2_read(h2, big)->body.len, 2000000);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(an_answer_that_nobody_takes_is_given_up)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.write_timeout_ms = 150;
    fixture_start(fixture);
    struct h2 *h2 = h2_open_raw(t, fixture->port);
    h2->is_raw = false;
    nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    CHECK_INT(nghttp2_submit_settings(h2->session, 0, &none, 1), 0);

    const struct h2_answer *answer = h2_read(h2, h2_ask(h2, "GET", "/big?5000", NULL, STR_NONE));
    CHECK(answer->closed && !answer->ended);
    CHECK_INT(answer->reset_code, NGHTTP2_CANCEL);
    CHECK_INT(h2_read(h2, h2_ask(h2, "HEAD", "/big?5000", NULL, STR_NONE))->status, 200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_peer_that_does_not_read_its_socket_is_closed)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.write_timeout_ms = 200;
    fixture_start(fixture);
    struct h2 *h2 = h2_open(t, fixture->port, 0x7fffffff);
    CHECK_INT(nghttp2_session_set_local_window_size(h2->session, 0, 0, 0x7fffffff), 0);

    h2_ask(h2, "GET", "/big?30000000", NULL, STR_NONE);
    h2_pass(h2, 0);
    fixture_wait(&fixture->served, 1); /* given up, and told so */
    h2_close(h2);
    fixture_close(fixture);
}
