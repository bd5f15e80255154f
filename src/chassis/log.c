/* The log: each event one line, and no lock. A line is one write(2), but lines that are gathered:
 * of those as many go together as fit.
 *
 * What is written at once is no longer than what a pipe takes as a whole (PIPE_BUF), so that lines
 * of threads, and of processes that share the pipe, do not mix. */
#include "chassis/obs.h"

#include "base/text.h"
#include "base/time.h"
#include "chassis/trace.h"
#include "os/clock.h"
#include "os/disk.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

_Static_assert(LOG_LINE_BYTES_MAX == PIPE_BUF, "a line is no longer than a pipe takes as a whole");

enum {
    LOG_VALUE_BYTES_MAX = 2048, /* of one value, as it is written; so that others find room too */
    LOG_END_BYTES = 32,         /* kept free for what ends a line that was cut */
    NUMBER_BYTES = 24,
    LOG_EVENTS_MAX = 512,
    LOG_LINES_A_SECOND = 20
};

static struct {
    atomic_int least;
    atomic_bool json;
    void (*take)(void *subject, const char *line, size_t len);
    void *taker;
} setup = { .least = LOG_INFO };

/* How often each event came of late: the hash of its name, and the second with the count in it. */
static struct pace {
    atomic_uint_fast64_t event;            /* 0: free */
    atomic_uint_fast64_t second_and_count; /* 32 bits each */
} paces[LOG_EVENTS_MAX];

void log_setup(enum log_level least, bool json)
{
    atomic_store_explicit(&setup.least, (int)least, memory_order_relaxed);
    atomic_store_explicit(&setup.json, json, memory_order_relaxed);
}

void log_use(void (*take)(void *subject, const char *line, size_t len), void *subject)
{
    if (take)
        setup.taker = subject; /* it stays for those who have just looked */
    __atomic_store_n(&setup.take, take, __ATOMIC_RELEASE);
}

/* ---- The pace of each event ---- */

static struct pace *pace_of(const char *event)
{
    uint64_t hash = str_hash(str_of_z(event)) | 1;

    for (size_t i = 0; i < LOG_EVENTS_MAX; i++) {
        struct pace *pace = &paces[(hash + i) % LOG_EVENTS_MAX];
        uint_fast64_t known = atomic_load_explicit(&pace->event, memory_order_relaxed);
        if (known == 0 && atomic_compare_exchange_strong(&pace->event, &known, hash))
            return pace;
        if (known == hash)
            return pace;
    }
    return &paces[hash % LOG_EVENTS_MAX]; /* shared: more names than anybody has written */
}

/* Tells whether a line of this event may leave now, and how many were left out before it. */
static bool may_leave(const char *event, uint64_t *left_out)
{
    struct pace *pace = pace_of(event);
    uint64_t second = (uint64_t)(clock_mono_us() / TIME_SECOND) & UINT32_MAX;
    uint_fast64_t old = atomic_load_explicit(&pace->second_and_count, memory_order_relaxed);
    uint64_t count, new;

    do {
        count = old & UINT32_MAX;
        bool is_same = old >> 32 == second;
        *left_out = !is_same && count > LOG_LINES_A_SECOND ? count - LOG_LINES_A_SECOND : 0;
        if (!is_same)
            count = 0;
        else if (count == UINT32_MAX)
            return false;
        new = second << 32 | (count + 1);
    } while (!atomic_compare_exchange_weak(&pace->second_and_count, &old, new));
    return count < LOG_LINES_A_SECOND;
}

/* ---- A line ---- */

/* Written where it is to be gathered, or in a room of its own. */
struct line {
    char *bytes; /* LOG_LINE_BYTES_MAX of them */
    size_t len;
    bool json, cut;
};

static bool add(struct line *line, str s)
{
    if (line->len + s.len > LOG_LINE_BYTES_MAX - LOG_END_BYTES)
        return false;
    memcpy(line->bytes + line->len, s.ptr, s.len);
    line->len += s.len;
    return true;
}

static size_t sequence_length(unsigned char first)
{
    return first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* The code point of a valid sequence of two or three bytes; of longer ones none is of interest. */
static unsigned code_point(str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (s.len == 2)
        return (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
    return s.len == 3 ? (p[0] & 0x0fU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU) : UINT_MAX;
}

/* What a terminal or a viewer may take for the end of a line, or for an order to it. */
static bool is_control(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* The first character of `rest` as it may stand between quotes; moves past it. */
static str escape(str *rest, char room[8])
{
    unsigned char first = (unsigned char)rest->ptr[0];
    str raw = str_slice(*rest, 0, first < 0x80 ? 1 : sequence_length(first));
    unsigned c = first;

    if (first >= 0x80) {
        bool is_valid = utf8_valid(raw);
        c = is_valid ? code_point(raw) : 0xfffd;
        if (!is_valid)
            raw.len = 1;
    }
    *rest = str_slice(*rest, raw.len, rest->len);

    if (c == '"' || c == '\\' || c == '\n') {
        room[0] = '\\';
        room[1] = (char)(c == '\n' ? 'n' : c);
        return str_of(room, 2);
    }
    if (c == 0xfffd || is_control(c))
        return str_of(room, (size_t)snprintf(room, 8, "\\u%04x", c & 0xffff));
    return raw;
}

static bool is_harmless(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

/* Eight bytes at once; some that are harmless may be taken for others. */
static bool are_harmless(const char *bytes)
{
    enum { BYTE_MAX = 0xff, DEL = 0x7f };
    const uint64_t ones = UINT64_MAX / BYTE_MAX, highs = ones << 7;
    uint64_t eight;

    memcpy(&eight, bytes, sizeof eight);
    uint64_t odd = eight | (eight - ones * ' ') | ((eight ^ ones * DEL) - ones) |
                   ((eight ^ ones * '"') - ones) | ((eight ^ ones * '\\') - ones);
    return (odd & highs) == 0;
}

/* What of a value stands as it is: not one character by the other, for most are like that. */
static str harmless_run(str *rest)
{
    size_t len = 0;

    while (rest->len - len >= sizeof(uint64_t) && are_harmless(rest->ptr + len))
        len += sizeof(uint64_t);
    /* The rest by the last eight, most of which were seen already. */
    if (len > 0 && rest->len - len < sizeof(uint64_t) &&
        are_harmless(rest->ptr + rest->len - sizeof(uint64_t)))
        len = rest->len;
    while (len < rest->len && is_harmless(rest->ptr[len]))
        len++;
    str run = str_of(rest->ptr, len);
    *rest = str_slice(*rest, len, rest->len);
    return run;
}

/* As much of a value as has room, escaped; between quotes it is a string of JSON. */
static void add_escaped(struct line *line, str value)
{
    size_t end = line->len + LOG_VALUE_BYTES_MAX;
    char room[8];

    while (value.len > 0) {
        str before = value, piece = harmless_run(&value);
        if (piece.len > 0 && line->len + piece.len <= end && add(line, piece))
            continue;
        value = before; /* an odd one, or what has room of a run */
        piece = escape(&value, room);
        if (line->len + piece.len > end || !add(line, piece)) {
            line->cut = true;
            return;
        }
    }
}

static void add_quoted(struct line *line, str value)
{
    if (add(line, STR("\""))) {
        add_escaped(line, value);
        line->bytes[line->len++] = '"'; /* into what is kept free for the end */
    }
}

/* In text a plain word needs no quotes. */
static bool is_plain(str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return value.len > 0 && value.len < LOG_VALUE_BYTES_MAX;
}

static str number_text(char room[NUMBER_BYTES], int64_t number)
{
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    size_t at = NUMBER_BYTES;

    do {
        room[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        room[--at] = '-';
    return str_of(room + at, NUMBER_BYTES - at);
}

static void add_field(struct line *line, const struct log_field *field)
{
    size_t start = line->len;
    char room[NUMBER_BYTES];
    bool is_whole = add(line, line->json ? STR(",\"") : STR(" ")) &&
                    add(line, str_of_z(field->key)) &&
                    add(line, line->json ? STR("\":") : STR("="));

    if (is_whole && field->kind == LOG_INT)
        is_whole = add(line, number_text(room, field->number));
    else if (is_whole && !line->json && is_plain(field->text))
        is_whole = add(line, field->text);
    else if (is_whole)
        add_quoted(line, field->text);
    if (!is_whole) {
        line->len = start;
        line->cut = true;
    }
}

static const char *const level_words[] = { "debug", "info", "warn", "error" };

static void begin_json(struct line *line, enum log_level level, const char *event, time_us now)
{
    char time[TIME_TEXT_MAX];

    add(line, STR("{\"time\":\""));
    add(line, str_of(time, time_write(now, time)));
    add(line, STR("\",\"level\":\""));
    add(line, str_of_z(level_words[level]));
    add(line, STR("\",\"event\":"));
    add_quoted(line, str_of_z(event));
}

/* "09:30:00.123 info  shop.ready" */
static void begin_text(struct line *line, enum log_level level, const char *event, time_us now)
{
    char head[48];
    int64_t ms = now / 1000;
    int len = snprintf(head, sizeof head, "%02d:%02d:%02d.%03d %-5s ", (int)(ms / 3600000 % 24),
                       (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000),
                       level_words[level]);

    add(line, str_of(head, (size_t)len));
    add_escaped(line, str_of_z(event));
}

static void end_line(struct line *line)
{
    str end = line->json ? STR("}\n") : STR("\n");
    if (line->cut)
        end = line->json ? STR(",\"cut\":true}\n") : STR(" cut=true\n");

    ASSERT(line->len + end.len <= LOG_LINE_BYTES_MAX);
    memcpy(line->bytes + line->len, end.ptr, end.len);
    line->len += end.len;
}

/* The span that the thread is in, where the fields do not say it. */
static void add_trace(struct line *line, const struct log_field *fields, int count)
{
    const struct trace_context *here = trace_here();
    char trace_id[2 * TRACE_ID_BYTES + 1], span_id[2 * SPAN_ID_BYTES + 1];

    if (!here)
        return;
    for (int i = 0; i < count; i++)
        if (strcmp(fields[i].key, "trace_id") == 0)
            return;
    trace_hex(here->trace_id, TRACE_ID_BYTES, trace_id);
    trace_hex(here->span_id, SPAN_ID_BYTES, span_id);
    add_field(line, &LOG_TEXT("trace_id", str_of_z(trace_id)));
    add_field(line, &LOG_TEXT("span_id", str_of_z(span_id)));
}

/* A whole line, from `room` on; gives how long it is. */
static size_t make_line_as(bool json, char *room, enum log_level level, const char *event,
                           uint64_t left_out, const struct log_field *fields, int count)
{
    struct line line = { .bytes = room, .json = json };

    if (line.json)
        begin_json(&line, level, event, clock_wall_us());
    else
        begin_text(&line, level, event, clock_wall_us());
    if (left_out > 0)
        add_field(&line, &LOG_NUMBER("left_out", (int64_t)left_out));
    for (int i = 0; i < count; i++)
        add_field(&line, &fields[i]);
    add_trace(&line, fields, count);
    end_line(&line);
    return line.len;
}

static size_t make_line(char *room, enum log_level level, const char *event, uint64_t left_out,
                        const struct log_field *fields, int count)
{
    bool json = atomic_load_explicit(&setup.json, memory_order_relaxed);
    size_t len = make_line_as(json, room, level, event, left_out, fields, count);
    void (*take)(void *, const char *, size_t) = __atomic_load_n(&setup.take, __ATOMIC_ACQUIRE);

    if (take && json) {
        take(setup.taker, room, len - 1);
    } else if (take) {
        char as_json[LOG_LINE_BYTES_MAX];
        size_t json_len = make_line_as(true, as_json, level, event, left_out, fields, count);
        take(setup.taker, as_json, json_len - 1);
    }
    return len;
}

static bool is_wanted(enum log_level level)
{
    ASSERT(level >= LOG_DEBUG && level <= LOG_ERROR);
    return (int)level >= atomic_load_explicit(&setup.least, memory_order_relaxed);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, int count)
{
    char room[LOG_LINE_BYTES_MAX];
    uint64_t left_out = 0;
    ASSERT(event);
    if (!is_wanted(level) || (level > LOG_DEBUG && !may_leave(event, &left_out)))
        return;
    disk_write_fd(1, str_of(room, make_line(room, level, event, left_out, fields, count)));
}

/* ---- Lines that are gathered ---- */

void log_gather(struct log_lines *lines, enum log_level level, const char *event,
                const struct log_field *fields, int count)
{
    ASSERT(lines && event);
    if (!is_wanted(level))
        return;

    size_t len = make_line(lines->bytes + lines->len, level, event, 0, fields, count);
    if (lines->len + len > LOG_LINE_BYTES_MAX) { /* no room beside those before it */
        size_t before = lines->len;
        log_flush(lines);
        memmove(lines->bytes, lines->bytes + before, len);
    }
    lines->len += len;
}

void log_flush(struct log_lines *lines)
{
    ASSERT(lines);
    if (lines->len > 0)
        disk_write_fd(1, str_of(lines->bytes, lines->len));
    lines->len = 0;
}
