#include "chassis/trace.h"

#include "base/text.h"
#include "os/clock.h"
#include "tests/lib/test.h"
#include "tests/unit/chassis/trace_fixture.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static const uint8_t NO_PARENT[SPAN_ID_BYTES];

/* ---- contexts ---- */

TEST(a_traceparent_is_read_as_it_was_written)
{
    struct trace_context context;
    char text[TRACEPARENT_LEN + 1];
    static const char *const words[] = { "00-" TRACE "-" PARENT "-01",
                                         "00-" TRACE "-" PARENT "-00" };
    for (size_t i = 0; i < 2; i++) {
        CHECK(trace_context_read(str_of_z(words[i]), &context));
        CHECK_INT(context.sampled, i == 0);
        trace_context_write(&context, text);
        CHECK_STR(text, words[i]);
    }
    CHECK(trace_context_read(STR("01-" TRACE "-" PARENT "-03-more"), &context));
    CHECK(context.sampled);
}

TEST(what_is_no_traceparent_is_in_no_trace)
{
    static const char *const wrong[] = { "",
                                         "00-" TRACE "-" PARENT "-0",
                                         "00-" TRACE "-" PARENT "-01-more",
                                         "ff-" TRACE "-" PARENT "-01",
                                         "00-" TRACE "-0000000000000000-01",
                                         "00-00000000000000000000000000000000-" PARENT "-01",
                                         "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
                                         "00-" TRACE "-" PARENT "-zz" };
    struct trace_context context;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(!trace_context_read(str_of_z(wrong[i]), &context));
        CHECK(!context.sampled && context.trace_id[0] == 0);
    }
    CHECK_INT(trace_context_of("", "", true).sampled, false);
    CHECK_INT(trace_context_of(TRACE, PARENT, true).trace_id[0], 0x0a);
}

/* ---- sampling ---- */

TEST(a_tracestate_is_carried_behind_its_traceparent)
{
    str parent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    str carried = trace_carry(t->arena, parent, STR(" shop=1,other=x "));
    CHECK_STR(trace_carried_parent(carried), str_z(t->arena, parent));
    CHECK_STR(trace_carried_state(carried), "shop=1,other=x");
    struct trace_context context;
    CHECK(trace_context_read(trace_carried_parent(carried), &context));
    CHECK(!trace_context_read(carried, &context));

    static char long_state[TRACESTATE_BYTES_MAX + 2] = "a=";
    memset(long_state + 2, 'x', TRACESTATE_BYTES_MAX - 1);
    const str left_out[] = { STR_NONE,       STR(""),
                             STR("no list"), STR("a=\nb"),
                             STR("a=\x80"),  str_of(long_state, TRACESTATE_BYTES_MAX + 1) };
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++) {
        carried = trace_carry(t->arena, parent, left_out[i]);
        CHECK_STR(carried, str_z(t->arena, parent));
        CHECK(!trace_carried_state(carried).ptr);
    }
    CHECK(!trace_carry(t->arena, STR_NONE, STR("a=b")).ptr); /* without a trace it says nothing */
    CHECK_INT(trace_carried_parent(STR_NONE).len, 0);
    CHECK(!trace_carried_state(STR_NONE).ptr);
}

TEST(where_nothing_is_recorded_a_decision_that_came_stays)
{
    struct trace_context context = context_of(TRACE);
    CHECK(!trace_is_on());
    CHECK(trace_decide(context.trace_id, true, true));
    CHECK(!trace_decide(context.trace_id, true, false));
    CHECK(!trace_decide(context.trace_id, false, false));
}

TEST(a_sampler_that_looks_at_the_parent_keeps_its_decision)
{
    struct trace_context context = context_of(TRACE);
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_NONE, .parent_based = true });
    CHECK(trace_decide(context.trace_id, true, true));
    CHECK(!trace_decide(context.trace_id, true, false));
    CHECK(!trace_decide(context.trace_id, false, false));
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    CHECK(trace_decide(context.trace_id, true, false));
}

TEST(a_ratio_keeps_that_part_of_traces_and_the_same_at_every_service)
{
    struct spans_taken taken = { .count = 0 };
    int kept[3] = { 0 };
    static const double ratios[] = { 0, 0.1, 1 };
    for (int r = 0; r < 3; r++) {
        spans_record(t, &taken,
                     (struct trace_config){ .sampler = SAMPLE_RATIO, .ratio = ratios[r] });
        for (uint64_t i = 0; i < 10000; i++) {
            uint8_t trace_id[TRACE_ID_BYTES] = { 1 };
            uint64_t bits = i * UINT64_C(0x9e3779b97f4a7c15);
            for (int b = 0; b < 8; b++)
                trace_id[8 + b] = (uint8_t)(bits >> (56 - 8 * b));
            kept[r] += trace_decide(trace_id, false, false);
        }
    }
    CHECK_INT(kept[0], 0);
    CHECK(kept[1] > 900 && kept[1] < 1100);
    CHECK_INT(kept[2], 10000);
}

/* ---- spans ---- */

TEST(a_span_is_taken_with_all_that_was_said_of_it)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context parent = context_of(TRACE), other = context_of(TRACE);
    struct span span;
    other.span_id[0] = 9;
    span_begin(&span, &parent, SPAN_CLIENT, "orders", STR("order_by_id"));
    span_text(&span, "db.system.name", STR("sqlite"));
    span_number(&span, "db.operation.batch.size", 7);
    span_link(&span, &other, 1);
    span_fail(&span, STR("db.failed"));
    span_end(&span);

    CHECK_INT(taken.count, 1);
    const struct span *seen = taken.spans[0];
    CHECK_STR(span_name(seen), "order_by_id");
    CHECK_STR(span_word(seen, "db.system.name"), "sqlite");
    CHECK_STR(span_word(seen, "error.type"), "db.failed");
    CHECK_INT(span_value(seen, "db.operation.batch.size"), 7);
    CHECK_INT(seen->links_count, 1);
    CHECK_INT(span_links(seen)[0].span_id[0], 9);
    CHECK(seen->failed && seen->kind == SPAN_CLIENT);
    CHECK_BYTES(seen->parent_id, parent.span_id, SPAN_ID_BYTES);
    CHECK_BYTES(seen->context.trace_id, parent.trace_id, TRACE_ID_BYTES);
    CHECK(memcmp(seen->context.span_id, parent.span_id, SPAN_ID_BYTES) != 0);
    CHECK(seen->start_us > clock_wall_us() - 60 * TIME_SECOND && seen->start_us <= clock_wall_us());
}

TEST(what_finds_no_room_in_a_span_is_left_out_and_the_rest_stays)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context parent = context_of(TRACE);
    struct span span;
    char long_text[2 * SPAN_BODY_BYTES_MAX];
    memset(long_text, 'x', sizeof long_text);
    span_begin(&span, &parent, SPAN_INTERNAL, "orders", str_of(long_text, sizeof long_text));
    span_number(&span, "number", INT64_MIN);
    span_text(&span, "short", STR("kept"));
    span_text(&span, "a", str_of(long_text, sizeof long_text));
    span_text(&span, "b", STR("none left"));
    span_number(&span, "c", 1);
    struct trace_context *others = arena_array(t->arena, struct trace_context, SPAN_LINKS_MAX + 5);
    span_link(&span, others, SPAN_LINKS_MAX + 5);
    span_end(&span);
    const struct span *seen = taken.spans[0];
    CHECK_INT(span_name(seen).len, SPAN_NAME_BYTES_MAX);
    CHECK_STR(span_word(seen, "short"), "kept");
    CHECK(span_word(seen, "a").len > SPAN_BODY_BYTES_MAX / 2);
    CHECK_INT(span_attributes_count(seen), 3);
    CHECK(seen->body_len <= SPAN_BODY_BYTES_MAX && seen->body_len > SPAN_BODY_BYTES_MAX - 4);
    CHECK_INT(seen->links_count, SPAN_LINKS_MAX);
    CHECK_INT(seen->links_left_out, 5);
}

TEST(a_text_that_is_cut_has_no_half_of_a_character)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context parent = context_of(TRACE);
    char euros[3 * SPAN_BODY_BYTES_MAX];
    for (size_t i = 0; i < sizeof euros; i++)
        euros[i] = "\xe2\x82\xac"[i % 3];
    for (size_t shift = 0; shift < 3; shift++) {
        struct span span;
        span_begin(&span, &parent, SPAN_INTERNAL, "orders", str_of(euros, sizeof euros));
        span_text(&span, "shift", str_of("xx", shift));
        span_text(&span, "a", str_of(euros, sizeof euros));
        span_end(&span);
        const struct span *seen = taken.spans[shift];
        CHECK(utf8_valid(span_name(seen)) && utf8_valid(span_word(seen, "a")));
        CHECK(span_word(seen, "a").len > SPAN_BODY_BYTES_MAX / 2);
    }
}

TEST(attributes_of_every_length_and_number_are_read_as_they_were_said)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context parent = context_of(TRACE);
    char text[SPAN_BODY_BYTES_MAX];
    memset(text, 'x', sizeof text);
    static const int64_t numbers[] = { 0, 1, 127, 128, INT64_MAX, -1, INT64_MIN };
    static const size_t lengths[] = { 0,   1,   100, 119, 120, 121, 122, 123, 124,
                                      125, 126, 127, 128, 129, 300, 511, 512, 700 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct span span;
        taken.count = 0;
        span_begin(&span, &parent, SPAN_INTERNAL, "orders", STR("n"));
        span_text(&span, "text", str_of(text, lengths[i]));
        span_number(&span, "number", numbers[i % (sizeof numbers / sizeof numbers[0])]);
        span_end(&span);
        CHECK_INT(span_attributes_count(taken.spans[0]), 2);
        CHECK_INT(span_word(taken.spans[0], "text").len, lengths[i]);
        CHECK(span_value(taken.spans[0], "number") ==
              numbers[i % (sizeof numbers / sizeof numbers[0])]);
    }
}

TEST(whether_a_trace_may_be_sampled_is_seen_by_its_flag)
{
    CHECK(trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-01")));
    CHECK(trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-03")));
    CHECK(trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-01 shop=1")));
    CHECK(!trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-00")));
    CHECK(!trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-02 shop=1")));
    CHECK(!trace_may_be_sampled(STR("00-" TRACE "-" PARENT "-0")));
    CHECK(!trace_may_be_sampled(STR_NONE));
}

static int64_t mono_of_test, wall_of_test;
static int64_t told_mono(void) { return mono_of_test; }
static time_us told_wall(void) { return wall_of_test; }

static void use_machine(void *subject)
{
    (void)subject;
    clock_use(&clock_machine);
}

/* The start, by the wall, of a span of two seconds that ended one second ago. */
static int64_t start_of_span(struct spans_taken *taken)
{
    struct trace_context parent = context_of(TRACE);
    struct span span;
    taken->count = 0;
    span_begin_since(&span, &parent, SPAN_INTERNAL, "orders", STR("n"),
                     mono_of_test - 3 * TIME_SECOND);
    span_ended_at(&span, mono_of_test - TIME_SECOND);
    span_end(&span);
    CHECK_INT(taken->spans[0]->took_us, 2 * TIME_SECOND);
    return taken->spans[0]->start_us;
}

TEST(a_span_is_told_by_the_wall_clock_also_after_that_was_set)
{
    static const struct clock_ops clock = { told_mono, told_wall };
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    arena_defer(t->arena, use_machine, NULL);
    mono_of_test = clock_mono_us() + 3600 * TIME_SECOND;
    wall_of_test = 1000000 * TIME_SECOND;
    clock_use(&clock);
    CHECK_INT(start_of_span(&taken), wall_of_test - 3 * TIME_SECOND);
    mono_of_test += TIME_SECOND; /* time passes */
    wall_of_test += TIME_SECOND;
    CHECK_INT(start_of_span(&taken), wall_of_test - 3 * TIME_SECOND);
    mono_of_test += TIME_SECOND; /* and somebody puts the clock back */
    wall_of_test -= 7200 * TIME_SECOND;
    CHECK_INT(start_of_span(&taken), wall_of_test - 3 * TIME_SECOND);
}

TEST(of_a_trace_that_is_not_sampled_nothing_is_taken_but_what_failed_or_was_slow)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL, .slow_us = TIME_SECOND });
    struct trace_context here = context_of(TRACE);
    int64_t now_us = clock_mono_us();
    struct span span;
    here.sampled = false;
    span_begin(&span, &here, SPAN_CLIENT, "orders", STR("a"));
    CHECK(!span.recorded);
    span_end(&span);
    span_begin_late(&span, &here, NO_PARENT, SPAN_SERVER, "orders", STR("b"), now_us, false);
    span_end(&span);
    CHECK_INT(taken.count, 0);
    span_begin_late(&span, &here, NO_PARENT, SPAN_SERVER, "orders", STR("c"), now_us, true);
    span_end(&span);
    span_begin_late(&span, &here, NO_PARENT, SPAN_SERVER, "orders", STR("d"),
                    now_us - 2 * TIME_SECOND, false);
    span_end(&span);
    CHECK_INT(taken.count, 2);
    CHECK_STR(span_word(taken.spans[0], "duka.kept"), "error");
    CHECK_STR(span_word(taken.spans[1], "duka.kept"), "slow");
    CHECK(taken.spans[1]->took_us >= 2 * TIME_SECOND);
}

TEST(a_span_that_has_no_id_yet_gets_one_when_it_is_kept)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context here = context_of(TRACE);
    struct span span;
    memset(here.span_id, 0, SPAN_ID_BYTES);
    span_begin_late(&span, &here, NO_PARENT, SPAN_SERVER, "orders", STR("a"), clock_mono_us(),
                    false);
    span_end(&span);
    CHECK(memcmp(taken.spans[0]->context.span_id, NO_PARENT, SPAN_ID_BYTES) != 0);
}

/* ---- where a thread is ---- */

TEST(what_a_thread_does_belongs_to_the_span_that_it_is_in)
{
    struct spans_taken taken = { .count = 0 };
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context outer = context_of(TRACE), unsampled = outer;
    struct span span;
    unsampled.sampled = false;

    span_begin_here(&span, SPAN_CLIENT, STR("nowhere"));
    CHECK(!span.recorded && !trace_here());
    struct trace_here before = trace_enter(&outer, "orders");
    struct trace_here inner = trace_enter(&unsampled, "orders");
    CHECK(!trace_here());
    trace_leave(inner);
    CHECK(trace_here() == &outer);
    span_begin_here(&span, SPAN_CLIENT, STR("here"));
    span_end(&span);
    trace_leave(before);
    CHECK(!trace_here());
    CHECK_INT(taken.count, 1);
    CHECK_BYTES(taken.spans[0]->parent_id, outer.span_id, SPAN_ID_BYTES);
    CHECK_STR(taken.spans[0]->service, "orders");
}

TEST(a_trace_that_begins_by_itself_is_sampled_as_the_sampler_decides)
{
    struct spans_taken taken = { .count = 0 };
    struct trace_context none = trace_root();
    CHECK(!none.sampled && none.trace_id[0] == 0 && none.trace_id[15] == 0);
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    struct trace_context a = trace_root(), b = trace_root();
    CHECK(a.sampled && b.sampled && memcmp(a.trace_id, b.trace_id, TRACE_ID_BYTES) != 0);
    struct span span;
    span_begin(&span, &a, SPAN_CLIENT, "users", STR("send mail"));
    span_end(&span);
    CHECK_INT(taken.count, 1);
    static const uint8_t no_parent[SPAN_ID_BYTES];
    CHECK_BYTES(taken.spans[0]->parent_id, no_parent, SPAN_ID_BYTES);
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_NONE });
    CHECK(!trace_root().sampled);
}

TEST(where_nothing_is_recorded_no_span_is)
{
    struct trace_context parent = context_of(TRACE);
    struct span span;
    span_begin(&span, &parent, SPAN_CLIENT, "orders", STR("a"));
    CHECK(!span.recorded);
    CHECK(!span_is_kept(&parent, 0, true));
    struct trace_here before = trace_enter(&parent, "orders");
    CHECK(!trace_here());
    trace_leave(before);
}
