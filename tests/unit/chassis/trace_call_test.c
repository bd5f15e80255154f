#include "chassis/trace_call.h"

#include "os/clock.h"
#include "tests/unit/chassis/trace_fixture.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define OUTER "00f067aa0ba902b7"

static const struct call_spec CALL = { .name = "orders.v1.Orders/CreateOrder",
                                       .short_name = "orders.create_order",
                                       .path = "/orders" };

static struct request *request_of(struct test *t, bool sampled)
{
    struct request *request = arena_new(t->arena, struct request);
    *request = (struct request){ .arena = t->arena,
                                 .method_text = STR("POST"),
                                 .path = STR("/orders"),
                                 .received_us = clock_mono_us(),
                                 .trace_id = TRACE,
                                 .span_id = SPAN,
                                 .parent_id = OUTER,
                                 .request_id = "r-1",
                                 .sampled = sampled };
    request->response.status = 201;
    return request;
}

TEST(a_call_at_its_own_door_is_the_span_of_its_request)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, true);
    struct trace_place place;
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    CHECK_STR(trace_begin_call(&place, request), "00-" TRACE "-" SPAN "-01");
    trace_tell_call(&place, "orders", &CALL, request, OK);
    const struct span *span = span_named(&taken, "POST /orders");
    CHECK_INT(span->kind, SPAN_SERVER);
    CHECK_BYTES(span->context.span_id, context_of(TRACE).span_id, SPAN_ID_BYTES);
    CHECK_BYTES(span->parent_id, trace_context_of(TRACE, OUTER, true).span_id, SPAN_ID_BYTES);
    CHECK_INT(span_value(span, "http.response.status_code"), 201);
    CHECK_STR(span_word(span, "duka.call"), "orders.create_order");
    CHECK_STR(span_word(span, "duka.request.id"), "r-1");
}

TEST(a_call_behind_the_gateway_is_a_part_of_the_request)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, true);
    struct trace_place place;
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    request->teller = "gateway";
    str traceparent = trace_begin_call(&place, request);
    CHECK(!str_equal(traceparent, STR("00-" TRACE "-" SPAN "-01")));
    trace_tell_call(&place, "orders", &CALL, request,
                    fail(t->arena, CALL_OVERLOADED, "too much at once"));
    trace_tell_request("gateway", request);
    const struct span *part = taken.spans[0], *whole = taken.spans[1];
    CHECK_BYTES(part->parent_id, whole->context.span_id, SPAN_ID_BYTES);
    CHECK(part->failed && !whole->failed);
    CHECK_STR(span_word(part, "error.type"), err_word(CALL_OVERLOADED));
}

TEST(a_refusal_is_told_and_is_no_failure)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, true);
    struct trace_place place;
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    (void)trace_begin_call(&place, request);
    trace_tell_call(&place, "orders", &CALL, request, fail(t->arena, NOT_FOUND, "none"));
    CHECK_STR(span_word(taken.spans[0], "error.type"), err_word(NOT_FOUND));
    CHECK(!taken.spans[0]->failed);
}

TEST(of_what_is_not_sampled_only_a_fault_is_told)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, false);
    struct trace_place place;
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    request->teller = "gateway";
    CHECK_STR(trace_begin_call(&place, request), "00-" TRACE "-" SPAN "-00");
    trace_tell_call(&place, "orders", &CALL, request, OK);
    trace_tell_request("gateway", request);
    CHECK_INT(taken.count, 0);
    trace_tell_call(&place, "orders", &CALL, request, fail(t->arena, DB_FAILED, "disk"));
    CHECK_INT(taken.count, 1);
    CHECK_STR(span_word(taken.spans[0], "duka.kept"), "error");
}

TEST(a_call_of_grpc_has_the_names_of_grpc)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, true);
    struct trace_place place;
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    request->grpc = true;
    (void)trace_begin_call(&place, request);
    trace_tell_call(&place, "orders", &CALL, request, fail(t->arena, NOT_FOUND, "none"));
    const struct span *span = span_named(&taken, "orders.v1.Orders/CreateOrder");
    CHECK_STR(span_word(span, "rpc.service"), "orders.v1.Orders");
    CHECK_STR(span_word(span, "rpc.method"), "CreateOrder");
    CHECK_INT(span_value(span, "rpc.grpc.status_code"), 5);
}

TEST(each_attempt_at_another_process_is_a_span_that_it_hears_of)
{
    struct spans_taken taken = { .count = 0 };
    struct request *request = request_of(t, true);
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    trace_begin_attempt(request);
    CHECK_STR(request_traceparent_asked(t->arena, request),
              request_traceparent(t->arena, request)); /* nobody tells of the request */
    request->teller = "gateway";
    trace_begin_attempt(request);
    str first = request_traceparent_asked(t->arena, request);
    CHECK(!str_equal(first, request_traceparent(t->arena, request)));
    trace_tell_attempt(request, &(struct trace_attempt){ .to = "orders",
                                                         .since_us = clock_mono_us(),
                                                         .number = 1,
                                                         .failed = true,
                                                         .word = STR("upstream.unavailable"),
                                                         .why = "nobody listens" });
    trace_begin_attempt(request);
    trace_tell_attempt(request, &(struct trace_attempt){
                                    .to = "orders", .since_us = clock_mono_us(), .number = 2 });
    trace_tell_attempt(request, &(struct trace_attempt){ .to = "orders", .number = 2 });
    CHECK_INT(taken.count, 2); /* an attempt is told once */
    CHECK(taken.spans[0]->failed && !taken.spans[1]->failed);
    CHECK_STR(span_word(taken.spans[0], "duka.reason"), "nobody listens");
    CHECK_INT(span_value(taken.spans[1], "http.request.resend_count"), 1);
    CHECK_INT(taken.spans[1]->kind, SPAN_CLIENT);
}

TEST(what_follows_an_event_follows_its_own_span)
{
    struct spans_taken taken = { .count = 0 };
    struct trace_place place;
    str sampled = STR("00-" TRACE "-" SPAN "-01"), unsampled = STR("00-" TRACE "-" SPAN "-00");
    CHECK_STR(trace_begin_part(&place, t->arena, sampled), sampled); /* nothing is recorded */
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    CHECK_STR(trace_begin_part(&place, t->arena, unsampled), unsampled);
    CHECK(!place.here.sampled);
    str next = trace_begin_part(&place, t->arena, sampled);
    CHECK(!str_equal(next, sampled) && str_starts(next, STR("00-" TRACE "-")));
    CHECK_BYTES(place.parent_id, context_of(TRACE).span_id, SPAN_ID_BYTES);
    CHECK_STR(trace_begin_part(&place, t->arena, STR("")), "");
    CHECK(!place.here.sampled);
}

TEST(a_wait_is_a_span_from_when_it_began)
{
    struct spans_taken taken = { .count = 0 };
    struct trace_context here = context_of(TRACE);
    spans_record(t, &taken, (struct trace_config){ .parent_based = true });
    struct trace_here before = trace_enter(&here, "orders");
    trace_tell_wait("wait for a worker", clock_mono_us() - TIME_SECOND);
    trace_leave(before);
    CHECK(span_named(&taken, "wait for a worker")->took_us >= TIME_SECOND);
}
