#include "base/json.h"
#include "base/text.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include "tests/unit/chassis/trace_fixture.h"

#include <stdio.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- A clock that stands, and the log in a file ---- */

static int64_t now_us = 5000 * TIME_SECOND;

static int64_t stand_mono(void) { return __atomic_load_n(&now_us, __ATOMIC_RELAXED); }
static time_us stand_wall(void) { return INT64_C(1767225600123456); } /* 2026-01-01 */
static const struct clock_ops standing = { .mono_us = stand_mono, .wall_us = stand_wall };

static struct {
    int stdout_before;
    str path;
} capture;

static void begin(struct test *t, enum log_level least, bool json)
{
    capture.path = str_format(t->arena, "%s/log", test_folder(t));
    fflush(stdout);
    capture.stdout_before = dup(1);
    int file = open(str_z(t->arena, capture.path), O_WRONLY | O_CREAT | O_APPEND, 0600);
    CHECK(capture.stdout_before >= 0 && file >= 0);
    dup2(file, 1);
    close(file);
    clock_use(&standing);
    now_us += 2 * TIME_SECOND; /* each test has its own second */
    log_setup(least, json);
}

static str end(struct test *t)
{
    dup2(capture.stdout_before, 1);
    close(capture.stdout_before);
    clock_use(&clock_machine);
    log_setup(LOG_INFO, false);
    str bytes;
    CHECK_OK(disk_read(t->arena, capture.path, 16 << 20, &bytes));
    return bytes;
}

static int lines_of(str text)
{
    int count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    return count;
}

/* The string or number of a member, as text. */
static str member(struct test *t, str line, const char *name)
{
    const struct json *object;
    CHECK_OK(json_read(t->arena, line, &object));
    const struct json *value = json_member(object, str_of_z(name));
    if (!value)
        return STR_NONE;
    return json_kind_of(value) == JSON_STRING ? json_string(value)
           : json_kind_of(value) == JSON_BOOL ? STR("true")
                                              : json_number_text(value);
}

/* ---- */

TEST(log_line_is_one_json_object)
{
    begin(t, LOG_INFO, true);
    LOG(LOG_WARN, "order.placed", LOG_TEXT("order", STR("o-1")), LOG_NUMBER("lines", -3));
    CHECK_STR(end(t), "{\"time\":\"2026-01-01T00:00:00.123456Z\",\"level\":\"warn\",\"event\":"
                      "\"order.placed\",\"order\":\"o-1\",\"lines\":-3}\n");
}

TEST(log_line_is_text_for_people)
{
    begin(t, LOG_INFO, false);
    LOG(LOG_INFO, "shop.ready", LOG_TEXT("address", STR("0.0.0.0:3000")),
        LOG_TEXT("words", STR("two words")), LOG_TEXT("none", STR_NONE), LOG_NUMBER("n", 7));
    CHECK_STR(end(t), "00:00:00.123 info  shop.ready address=0.0.0.0:3000 words=\"two words\" "
                      "none=\"\" n=7\n");
}

struct heard {
    int count;
    char line[512];
};

static void hear(void *subject, const char *line, size_t len)
{
    struct heard *heard = subject;
    CHECK(len < sizeof heard->line);
    memcpy(heard->line, line, len);
    heard->line[len] = '\0';
    heard->count++;
}

TEST(log_lines_go_to_an_exporter_as_json_whatever_people_see)
{
    struct heard heard = { .count = 0 };
    for (int json = 0; json < 2; json++) {
        begin(t, LOG_INFO, json);
        log_use(hear, &heard);
        LOG(LOG_DEBUG, "t.below", LOG_NUMBER("n", 1));
        LOG(LOG_WARN, "t.exported", LOG_TEXT("a", STR("b\n")));
        log_use(NULL, NULL);
        LOG(LOG_WARN, "t.alone", LOG_NUMBER("n", 1));
        CHECK_INT(lines_of(end(t)), 2);
        CHECK_INT(heard.count, json + 1);
        CHECK_STR(member(t, str_of_z(heard.line), "event"), "t.exported");
        CHECK_STR(member(t, str_of_z(heard.line), "a"), "b\n");
    }
}

TEST(log_lines_of_a_thread_in_a_span_say_so_unless_they_name_another)
{
    struct spans_taken taken = { .count = 0 };
    struct trace_context here =
        trace_context_of("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", true);
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    begin(t, LOG_INFO, true);
    struct trace_here before = trace_enter(&here, "orders");
    LOG(LOG_INFO, "t.inside", LOG_NUMBER("n", 1));
    str inside = end(t);
    begin(t, LOG_INFO, true);
    LOG(LOG_INFO, "t.other", LOG_TEXT("trace_id", STR("x")));
    trace_leave(before);
    str other = end(t);
    CHECK_STR(member(t, inside, "trace_id"), "0af7651916cd43dd8448eb211c80319c");
    CHECK_STR(member(t, inside, "span_id"), "b7ad6b7169203331");
    CHECK_STR(member(t, other, "trace_id"), "x");
    CHECK(str_find(other, STR("span_id")) < 0);
}

TEST(log_without_fields_is_a_line_too)
{
    begin(t, LOG_INFO, true);
    log_event(LOG_ERROR, "disk.full", NULL, 0);
    CHECK_STR(end(t), "{\"time\":\"2026-01-01T00:00:00.123456Z\",\"level\":\"error\",\"event\":"
                      "\"disk.full\"}\n");
}

TEST(log_below_the_level_is_silent)
{
    begin(t, LOG_WARN, true);
    LOG(LOG_DEBUG, "quiet.debug", LOG_NUMBER("n", 1));
    LOG(LOG_INFO, "quiet.info", LOG_NUMBER("n", 1));
    LOG(LOG_WARN, "loud.warn", LOG_NUMBER("n", 1));
    LOG(LOG_ERROR, "loud.error", LOG_NUMBER("n", 1));
    str text = end(t);
    CHECK_INT(lines_of(text), 2);
    CHECK(str_find(text, STR("quiet")) < 0);
}

TEST(log_input_cannot_forge_a_line_or_order_a_terminal)
{
    static const struct {
        str value;
        const char *back; /* as JSON gives it back; NULL: as it was */
    } cases[] = {
        { { "a\n{\"event\":\"x\"}", 15 }, NULL },
        { { "a\r\tb\x1b[31m\x7f", 10 }, NULL },
        { { "nul\0byte", 8 }, NULL },
        { { "quote\" slash\\ end", 17 }, NULL },
        { { "next\xc2\x85line \xe2\x80\xa8 \xe2\x80\xae", 18 }, NULL },
        { { "bad\xff\xc3(\xed\xa0\x80", 9 },
          "bad\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd"
          "\xef\xbf\xbd\xef\xbf\xbd" },
        { { "cut\xe2\x82", 5 }, "cut\xef\xbf\xbd\xef\xbf\xbd" },
        { { "Gr\xc3\xb6\xc3\x9f"
            "e \xe2\x82\xac \xf0\x9f\x98\x80",
            16 },
          NULL },
    };
    for (int json = 0; json < 2; json++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            begin(t, LOG_INFO, json == 1);
            LOG(LOG_INFO, "forged", LOG_TEXT("value", cases[i].value), LOG_NUMBER("after", 1));
            str text = end(t);
            CHECK_INT(lines_of(text), 1);
            CHECK(utf8_valid(text));
            CHECK(!text_has_control(str_slice(text, 0, text.len - 1), false));
            if (json == 0)
                continue;
            CHECK_STR(member(t, text, "value"),
                      cases[i].back ? str_of_z(cases[i].back) : cases[i].value);
            CHECK_STR(member(t, text, "after"), "1");
        }
}

TEST(log_line_never_exceeds_four_kib_and_says_what_was_cut)
{
    char *big = arena_alloc(t->arena, 9000, 1);
    static const char fill[] = { 'x', '\n', '\xff', '"' };
    for (int json = 0; json < 2; json++)
        for (size_t f = 0; f < sizeof fill; f++)
            for (size_t len = 1800; len < 9000; len += 601) {
                memset(big, fill[f], len);
                begin(t, LOG_INFO, json == 1);
                LOG(LOG_INFO, "big", LOG_TEXT("a", str_of(big, len)),
                    LOG_TEXT("b", str_of(big, len)), LOG_TEXT("c", str_of(big, len)),
                    LOG_NUMBER("d", 5));
                str text = end(t);
                CHECK_INT(lines_of(text), 1);
                CHECK(text.len <= 4096);
                CHECK(str_find(text, STR("cut")) > 0);
                if (json == 1)
                    CHECK_STR(member(t, text, "cut"), "true");
            }
}

TEST(log_line_that_fits_is_not_cut)
{
    char big[2000];
    memset(big, 'x', sizeof big);
    begin(t, LOG_INFO, true);
    LOG(LOG_INFO, "fits", LOG_TEXT("a", str_of(big, sizeof big)), LOG_NUMBER("d", 5));
    str text = end(t);
    CHECK_INT(member(t, text, "a").len, 2000);
    CHECK(!member(t, text, "cut").ptr);
}

TEST(log_event_that_floods_is_held_and_the_rest_told)
{
    begin(t, LOG_DEBUG, true);
    for (int i = 0; i < 50; i++) {
        LOG(LOG_WARN, "flood.warn", LOG_NUMBER("n", i));
        LOG(LOG_DEBUG, "flood.debug", LOG_NUMBER("n", i));
    }
    LOG(LOG_WARN, "flood.other", LOG_NUMBER("n", 0));
    now_us += TIME_SECOND;
    LOG(LOG_WARN, "flood.warn", LOG_NUMBER("n", 50));
    LOG(LOG_WARN, "flood.warn", LOG_NUMBER("n", 51));
    str text = end(t);

    CHECK_INT(lines_of(text), 20 + 50 + 1 + 2);
    CHECK(str_find(text, STR("\"left_out\":30,\"n\":50}")) > 0);
    CHECK(str_find(text, STR("\"flood.warn\",\"n\":51}")) > 0);
}

TEST(log_lines_that_are_gathered_are_all_there_in_order_and_wait_until_they_are_flushed)
{
    static struct log_lines lines;
    struct log_field field = LOG_NUMBER("n", 0);

    begin(t, LOG_INFO, true);
    log_gather(&lines, LOG_INFO, "gather.first", &field, 1);
    str early;
    CHECK_OK(disk_read(t->arena, capture.path, 16 << 20, &early));
    for (int i = 1; i < 500; i++) {
        field.number = i;
        log_gather(&lines, LOG_INFO, "gather.info", &field, 1);
        log_gather(&lines, LOG_DEBUG, "gather.debug", &field, 1);
    }
    log_flush(&lines);
    log_flush(&lines);
    str text = end(t), rest = text;
    CHECK_INT(early.len, 0);
    CHECK_INT(lines_of(text), 500);
    for (int i = 0; i < 500; i++)
        CHECK_STR(member(t, str_cut(&rest, '\n'), "n"),
                  str_z(t->arena, str_format(t->arena, "%d", i)));
}

TEST(log_lines_that_are_gathered_go_out_in_pieces_that_a_pipe_takes_as_a_whole)
{
    static struct log_lines lines;
    char big[2000], seen[65536];
    int ends[2];
    memset(big, 'x', sizeof big);
    struct log_field fields[] = { LOG_TEXT("a", STR_NONE), LOG_TEXT("b", STR_NONE) };

    CHECK(pipe2(ends, O_DIRECT | O_NONBLOCK) == 0); /* each write is a packet of its own */
    begin(t, LOG_INFO, true);
    dup2(ends[1], 1);
    for (size_t i = 0; i < 10; i++) {
        fields[0].text = fields[1].text = str_of(big, 1 + 211 * i);
        log_gather(&lines, LOG_INFO, "gather.big", fields, 2);
    }
    log_flush(&lines);
    (void)end(t);
    int found = 0;
    for (ssize_t len; (len = read(ends[0], seen, sizeof seen)) > 0;) {
        CHECK(len <= 4096 && seen[len - 1] == '\n');
        found += lines_of(str_of(seen, (size_t)len));
    }
    CHECK_INT(found, 10);
    close(ends[0]);
    close(ends[1]);
}

TEST(log_numbers_of_all_sizes_are_written)
{
    begin(t, LOG_INFO, true);
    LOG(LOG_INFO, "numbers", LOG_NUMBER("least", INT64_MIN), LOG_NUMBER("none", 0),
        LOG_NUMBER("most", INT64_MAX), LOG_NUMBER("minus", -7));
    str text = end(t);
    CHECK_STR(member(t, text, "least"), "-9223372036854775808");
    CHECK_STR(member(t, text, "none"), "0");
    CHECK_STR(member(t, text, "most"), "9223372036854775807");
    CHECK_STR(member(t, text, "minus"), "-7");
}

TEST(log_knows_more_events_than_it_counts_apart)
{
    begin(t, LOG_INFO, true);
    for (int i = 0; i < 600; i++)
        log_event(LOG_INFO, str_z(t->arena, str_format(t->arena, "event.%d", i)), NULL, 0);
    CHECK(lines_of(end(t)) > 550);
}

enum { THREADS = 4, LINES = 500 };

static void write_lines(void *subject)
{
    char fill[600];
    memset(fill, 'a' + *(int *)subject, sizeof fill);
    for (int i = 0; i < LINES; i++)
        LOG(LOG_DEBUG, "thread.line", LOG_TEXT("fill", str_of(fill, sizeof fill)));
    for (int i = 0; i < LINES; i++)
        LOG(LOG_INFO, "thread.flood", LOG_NUMBER("n", i));
}

TEST(log_lines_of_threads_do_not_mix)
{
    struct thread *threads[THREADS];
    int numbers[THREADS];

    begin(t, LOG_DEBUG, true);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = thread_start("logger", write_lines, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    str text = end(t);

    CHECK_INT(lines_of(text), THREADS * LINES + 20);
    for (str rest = text, line; rest.len > 0 && (line = str_cut(&rest, '\n'), true);) {
        str fill = member(t, line, "fill");
        for (size_t i = 1; i < fill.len; i++)
            CHECK(fill.ptr[i] == fill.ptr[0]);
    }
}
