#include "chassis/grpc_door.h"

#include "chassis/grpc.h"
#include "tests/lib/test.h"

#define WATCH "/grpc.health.v1.Health/Watch"
#define CHECK_PATH "/grpc.health.v1.Health/Check"
#define INFO "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* A door over one service, and a transport that notes what it is told. */
struct set {
    struct loop *loop;
    struct grpc_door *door;
    bool ready;
    int made, responded;
};

static struct set *set_now;

static bool is_ready(void *subject) { return ((struct set *)subject)->ready; }
static void on_made(struct request *request) { (void)request, set_now->made++; }
static void on_respond(struct request *request) { (void)request, set_now->responded++; }

static struct set *set_open(struct test *t, bool reflects)
{
    struct set *set = set_now = arena_new(t->arena, struct set);
    struct grpc_served served = { "orders.v1.Orders", is_ready, set };
    set->ready = true;
    set->loop = loop_open();
    set->door = grpc_door_open(set->loop, &served, 1, reflects);
    return set;
}

static void set_close(struct set *set)
{
    grpc_door_close(set->door);
    loop_close(set->loop);
}

static struct request *request_to(struct test *t, const char *path, const char *timeout)
{
    struct request *request = arena_new(t->arena, struct request);
    *request = (struct request){ .arena = t->arena,
                                 .method = HTTP_POST,
                                 .grpc = true,
                                 .path = str_of_z(path),
                                 .made = on_made,
                                 .respond = on_respond };
    request->headers = arena_array(t->arena, struct header, 1);
    if (timeout)
        request->headers[request->headers_count++] =
            (struct header){ STR("grpc-timeout"), str_of_z(timeout) };
    return request;
}

static str framed(struct test *t, const char *message)
{
    struct text out = text_init(t->arena, 64);
    grpc_frame(t->arena, &out, str_of_z(message), false);
    return text_str(&out);
}

/* The transport asks for a piece: whether it was made at once. */
static bool next(struct request *request)
{
    int before = set_now->made;
    request->response.stream->next(request);
    return set_now->made > before;
}

static bool hear(struct request *request, str bytes, bool ended)
{
    int before = set_now->made;
    request->talk->hear(request, bytes, ended);
    return set_now->made > before;
}

static void end(struct request *request) { request->response.stream->end(request); }

TEST(it_is_for_its_own_calls_and_for_reflection_only_where_that_is_wanted)
{
    struct set *set = set_open(t, true);
    CHECK(grpc_door_is_for(set->door, request_to(t, CHECK_PATH, NULL)));
    CHECK(grpc_door_is_for(set->door, request_to(t, WATCH, NULL)));
    CHECK(grpc_door_is_for(set->door, request_to(t, INFO, NULL)));
    CHECK(!grpc_door_is_for(set->door, request_to(t, "/orders.v1.Orders/GetOrder", NULL)));
    struct request *rest = request_to(t, WATCH, NULL);
    rest->grpc = false;
    CHECK(!grpc_door_is_for(set->door, rest));
    set_close(set);

    set = set_open(t, false);
    CHECK(grpc_door_is_for(set->door, request_to(t, WATCH, NULL)));
    CHECK(!grpc_door_is_for(set->door, request_to(t, INFO, NULL)));
    set_close(set);
}

static int check(struct test *t, struct set *set, str body)
{
    struct request *request = request_to(t, CHECK_PATH, NULL);
    request->body = body;
    grpc_door_handle(set->door, request);
    return request->response.grpc_status == 0 ? request->response.body.ptr[6]
                                              : -request->response.grpc_status;
}

TEST(check_tells_how_a_service_is_now)
{
    struct set *set = set_open(t, true);
    CHECK_INT(check(t, set, framed(t, "")), GRPC_HEALTH_SERVING);
    CHECK_INT(check(t, set, framed(t, "\x0a\x10orders.v1.Orders")), GRPC_HEALTH_SERVING);
    CHECK_INT(check(t, set, framed(t, "\x0a\x01x")), -5);
    CHECK_INT(check(t, set, framed(t, "\x0a\x09x")), -3);
    CHECK_INT(check(t, set, STR("")), -3);
    set->ready = false;
    CHECK_INT(check(t, set, framed(t, "")), GRPC_HEALTH_NOT_SERVING);
    set->ready = true;
    grpc_door_drain(set->door);
    CHECK_INT(check(t, set, framed(t, "")), GRPC_HEALTH_NOT_SERVING);
    CHECK_INT(set->responded, 7);
    set_close(set);
}

TEST(watch_tells_each_change_and_stays_open)
{
    struct set *set = set_open(t, true);
    struct request *request = request_to(t, WATCH, NULL);

    grpc_door_begin(set->door, request);
    CHECK_INT(request->response.status, 200);
    CHECK(!next(request)); /* nothing was asked yet */
    CHECK(!hear(request, str_slice(framed(t, ""), 0, 3), false));
    CHECK(hear(request, str_slice(framed(t, ""), 3, 2), true));
    CHECK_BYTES(request->response.body.ptr, "\0\0\0\0\2\x08\1", 7);
    CHECK(!next(request));
    set->ready = false;
    grpc_door_drain(set->door); /* looks at once */
    CHECK_INT(set->made, 2);
    CHECK_BYTES(request->response.body.ptr, "\0\0\0\0\2\x08\2", 7);
    CHECK(!next(request));
    CHECK(!request->talk->answer.ended);
    grpc_door_stop(set->door);
    CHECK(request->talk->answer.ended);
    CHECK_INT(request->response.grpc_status, 14);
    end(request);
    set_close(set);
}

TEST(watch_of_an_unknown_service_says_so_and_stays_open)
{
    struct set *set = set_open(t, true);
    struct request *request = request_to(t, WATCH, NULL);

    grpc_door_begin(set->door, request);
    hear(request, framed(t, "\x0a\x01x"), true);
    CHECK(next(request));
    CHECK_BYTES(request->response.body.ptr, "\0\0\0\0\2\x08\3", 7);
    CHECK(!next(request));
    request->talk->gone(request);
    CHECK_INT(set->made, 2);
    CHECK(!request->talk->answer.ended);
    end(request);
    set_close(set);
}

TEST(a_stream_of_questions_is_answered_in_order_and_ends_with_the_last)
{
    struct set *set = set_open(t, true);
    struct request *request = request_to(t, INFO, NULL);

    grpc_door_begin(set->door, request);
    CHECK(!next(request));
    CHECK(hear(request, framed(t, "\x3a\x01*"), false));
    CHECK(str_find(request->response.body, STR("orders.v1.Orders")) > 0);
    CHECK_INT(request->talk->unread, 0);
    CHECK(!hear(request, framed(t, "\x22\x01x"), false)); /* while a piece is sent: it waits */
    CHECK_INT(request->talk->unread, 8);
    CHECK(next(request));
    CHECK(str_find(request->response.body, STR("There is no symbol x")) > 0);
    CHECK_INT(request->talk->unread, 0);
    CHECK(!next(request));
    CHECK(hear(request, STR(""), true));
    CHECK(request->talk->answer.ended);
    CHECK_INT(request->response.grpc_status, 0);
    end(request);
    set_close(set);
}

/* The status that a stream ends with once these bytes were all of it. */
static int status_after(struct test *t, struct set *set, const char *path, str bytes)
{
    struct request *request = request_to(t, path, NULL);
    grpc_door_begin(set->door, request);
    hear(request, bytes, true);
    while (!request->talk->answer.ended && next(request)) {
    }
    CHECK(request->talk->answer.ended);
    end(request);
    return request->response.grpc_status;
}

TEST(what_cannot_be_read_ends_a_stream_with_a_status)
{
    struct set *set = set_open(t, true);
    CHECK_INT(status_after(t, set, INFO, framed(t, "\x3a\x01*")), 0);
    CHECK_INT(status_after(t, set, INFO, STR("")), 0);
    CHECK_INT(status_after(t, set, WATCH, STR("")), 3);
    CHECK_INT(status_after(t, set, INFO, str_slice(framed(t, "\x3a\x01*"), 0, 7)), 3);
    CHECK_INT(status_after(t, set, INFO, framed(t, "\x3a\x09*")), 3);
    CHECK_INT(status_after(t, set, INFO, str_of("\2\0\0\0\0", 5)), 3);
    CHECK_INT(status_after(t, set, INFO, str_of("\0\0\1\0\0", 5)), 8);
    CHECK_INT(status_after(t, set, INFO, str_of("\1\0\0\0\0", 5)), 12);
    set_close(set);
}

TEST(a_time_out_ends_a_stream_and_a_wrong_one_begins_none)
{
    struct set *set = set_open(t, true);
    struct request *request = request_to(t, WATCH, "0n");

    grpc_door_begin(set->door, request);
    hear(request, framed(t, ""), true);
    CHECK(next(request));
    CHECK(!next(request));
    grpc_door_drain(set->door);
    CHECK(request->talk->answer.ended);
    CHECK_INT(request->response.grpc_status, 4);
    end(request);
    request = request_to(t, WATCH, "soon");
    grpc_door_begin(set->door, request);
    CHECK(!request->talk);
    grpc_door_handle(set->door, request);
    CHECK_INT(request->response.grpc_status, 3);
    set_close(set);
}

TEST(so_many_streams_are_open_and_no_more)
{
    struct set *set = set_open(t, true);
    struct request *requests[GRPC_TALKS_MAX];

    for (int i = 0; i < GRPC_TALKS_MAX; i++) {
        requests[i] = request_to(t, WATCH, NULL);
        grpc_door_begin(set->door, requests[i]);
        CHECK(requests[i]->talk);
    }
    struct request *one_more = request_to(t, WATCH, NULL);
    grpc_door_begin(set->door, one_more);
    CHECK(!one_more->talk);
    grpc_door_handle(set->door, one_more);
    CHECK_INT(one_more->response.grpc_status, 14);
    end(requests[7]);
    grpc_door_begin(set->door, one_more);
    CHECK(one_more->talk);
    end(one_more);
    for (int i = 0; i < GRPC_TALKS_MAX; i++)
        if (i != 7)
            end(requests[i]);
    set_close(set);
}
