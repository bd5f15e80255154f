#include "chassis/trace.h"

#include "base/text.h"
#include "chassis/protobuf.h"
#include "os/clock.h"
#include "os/random.h"

#include <string.h>

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, WALL_SEEN_US = 100000 };

static struct {
    bool is_on;
    struct trace_config config;
    uint64_t bound; /* of 63 bits of the trace's id: those below are sampled */
} setup;

static _Thread_local struct trace_here here_now;

/* ---- contexts ---- */

void trace_hex(const uint8_t *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

/* What a digit is worth, and one; 0 is no digit. Only lower case, as the standard wants it. */
static const uint8_t HEX_VALUES[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

/* By look-up, and judged once at the end: which digit comes next nobody can guess, not even the
 * processor. */
static bool hex_read(const char *text, size_t count, uint8_t *out)
{
    bool is_hex = true;

    for (size_t i = 0; i < count; i++) {
        unsigned high = HEX_VALUES[(uint8_t)text[2 * i]];
        unsigned low = HEX_VALUES[(uint8_t)text[2 * i + 1]];
        is_hex &= (high > 0) & (low > 0);
        out[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return is_hex;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool is_tracestate(str state)
{
    if (state.len == 0 || state.len > TRACESTATE_BYTES_MAX || str_find_byte(state, '=') < 0)
        return false;
    for (size_t i = 0; i < state.len; i++)
        if (state.ptr[i] < ' ' || state.ptr[i] > '~')
            return false;
    return true;
}

str trace_carry(struct arena *arena, str traceparent, str tracestate)
{
    ASSERT(arena);
    str state = str_trim(tracestate);
    if (traceparent.len == 0 || !is_tracestate(state))
        return traceparent;
    return str_format(arena, "%" STR_F " %" STR_F, STR_A(traceparent), STR_A(state));
}

/* As nearly all are: such a one is not looked through. */
static bool is_parent_alone(str carried)
{
    return carried.len == TRACEPARENT_LEN && carried.ptr[FLAGS_AT - 1] == '-';
}

str trace_carried_parent(str carried)
{
    return is_parent_alone(carried) ? carried : str_cut(&carried, ' ');
}

str trace_carried_state(str carried)
{
    if (is_parent_alone(carried))
        return STR_NONE;
    (void)str_cut(&carried, ' ');
    return carried;
}

bool trace_context_read(str text, struct trace_context *out)
{
    ASSERT(out);
    struct trace_context read = { .sampled = false };
    uint8_t version, flags;

    *out = (struct trace_context){ .sampled = false };
    if (text.len < TRACEPARENT_LEN || text.ptr[2] != '-' || text.ptr[SPAN_AT - 1] != '-' ||
        text.ptr[FLAGS_AT - 1] != '-')
        return false;
    if (!hex_read(text.ptr, 1, &version) || version == 0xff ||
        !hex_read(text.ptr + TRACE_AT, TRACE_ID_BYTES, read.trace_id) ||
        !hex_read(text.ptr + SPAN_AT, SPAN_ID_BYTES, read.span_id) ||
        !hex_read(text.ptr + FLAGS_AT, 1, &flags))
        return false;
    if (text.len > TRACEPARENT_LEN && (version == 0 || text.ptr[TRACEPARENT_LEN] != '-'))
        return false;
    if (is_zero(read.trace_id, TRACE_ID_BYTES) || is_zero(read.span_id, SPAN_ID_BYTES))
        return false;
    read.sampled = flags & 1;
    *out = read;
    return true;
}

bool trace_may_be_sampled(str carried)
{
    return carried.len >= TRACEPARENT_LEN &&
           ((HEX_VALUES[(uint8_t)carried.ptr[FLAGS_AT + 1]] - 1U) & 1);
}

struct trace_context trace_context_of(const char *trace_id, const char *span_id, bool sampled)
{
    ASSERT(trace_id && span_id);
    struct trace_context context = { .sampled = sampled };

    if (!trace_id[0] || !hex_read(trace_id, TRACE_ID_BYTES, context.trace_id) || !span_id[0] ||
        !hex_read(span_id, SPAN_ID_BYTES, context.span_id))
        context = (struct trace_context){ .sampled = false };
    return context;
}

void trace_context_write(const struct trace_context *context, char out[TRACEPARENT_LEN + 1])
{
    ASSERT(context && out);

    memcpy(out, "00-", TRACE_AT);
    trace_hex(context->trace_id, TRACE_ID_BYTES, out + TRACE_AT);
    out[SPAN_AT - 1] = '-';
    trace_hex(context->span_id, SPAN_ID_BYTES, out + SPAN_AT);
    memcpy(out + FLAGS_AT - 1, context->sampled ? "-01" : "-00", sizeof "-01");
}

str trace_context_text(struct arena *arena, const struct trace_context *context)
{
    ASSERT(arena && context);
    char *text = arena_array(arena, char, TRACEPARENT_LEN + 1);
    trace_context_write(context, text);
    return str_of(text, TRACEPARENT_LEN);
}

/* ---- what is sampled ---- */

void trace_use(const struct trace_config *config)
{
    ASSERT(!config || config->take);

    setup.is_on = config != NULL;
    if (!config)
        return;
    setup.config = *config;
    setup.bound = config->ratio >= 1 ? UINT64_MAX : (uint64_t)(config->ratio * 0x1p63);
}

bool trace_is_on(void) { return setup.is_on; }

/* The ratio looks at the last 63 bits of the id, as OpenTelemetry's SDKs do: whoever decides by a
 * larger ratio keeps what one with a smaller keeps. */
static bool is_in_ratio(const uint8_t trace_id[TRACE_ID_BYTES])
{
    uint64_t bits = 0;

    for (size_t i = TRACE_ID_BYTES / 2; i < TRACE_ID_BYTES; i++)
        bits = bits << 8 | trace_id[i];
    return bits >> 1 < setup.bound;
}

bool trace_decide(const uint8_t trace_id[TRACE_ID_BYTES], bool has_parent, bool parent_sampled)
{
    if (!setup.is_on)
        return has_parent && parent_sampled;
    if (has_parent && setup.config.parent_based)
        return parent_sampled;
    if (setup.config.sampler == SAMPLE_RATIO)
        return is_in_ratio(trace_id);
    return setup.config.sampler == SAMPLE_ALL;
}

struct trace_context trace_root(void)
{
    struct trace_context root = { .sampled = false };
    if (!setup.is_on)
        return root;
    random_bytes(root.trace_id, sizeof root.trace_id);
    root.sampled = trace_decide(root.trace_id, false, false);
    return root;
}

void span_new_id(struct trace_context *context)
{
    ASSERT(context);
    static _Thread_local uint64_t state;

    if (state == 0)
        state = random_u64();
    state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64: nobody has to guess it, and it is cheap */
    uint64_t bits = state;
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    bits = (bits ^ bits >> 31) | 1; /* never zero */
    memcpy(context->span_id, &bits, SPAN_ID_BYTES);
}

/* ---- spans ---- */

static void begin(struct span *span, enum span_kind kind, const char *service, str name)
{
    span->recorded = true;
    span->failed = false;
    span->end_us = 0;
    span->kind = (uint8_t)kind;
    span->links_count = span->links_left_out = 0;
    span->links = NULL;
    span->service = service;
    name = utf8_head(name, SPAN_NAME_BYTES_MAX);
    if (name.len > 0)
        memcpy(span->body, name.ptr, name.len);
    span->name_len = span->body_len = (uint16_t)name.len;
}

void span_begin_since(struct span *span, const struct trace_context *parent, enum span_kind kind,
                      const char *service, str name, int64_t start_us)
{
    ASSERT(span && parent && service);

    span->recorded = false;
    if (!setup.is_on || !parent->sampled)
        return;
    begin(span, kind, service, name);
    span->context = *parent;
    memcpy(span->parent_id, parent->span_id, SPAN_ID_BYTES);
    span_new_id(&span->context);
    span->start_us = start_us;
}

void span_begin(struct span *span, const struct trace_context *parent, enum span_kind kind,
                const char *service, str name)
{
    ASSERT(parent);
    bool is_recorded = setup.is_on && parent->sampled;
    span_begin_since(span, parent, kind, service, name, is_recorded ? clock_mono_us() : 0);
}

void span_begin_here_since(struct span *span, enum span_kind kind, str name, int64_t start_us)
{
    ASSERT(span);

    span->recorded = false;
    if (here_now.context)
        span_begin_since(span, here_now.context, kind, here_now.service, name, start_us);
}

void span_begin_here(struct span *span, enum span_kind kind, str name)
{
    span_begin_here_since(span, kind, name, here_now.context ? clock_mono_us() : 0);
}

static bool is_slow(int64_t start_us)
{
    return setup.config.slow_us > 0 && clock_mono_us() - start_us >= setup.config.slow_us;
}

bool span_is_kept(const struct trace_context *context, int64_t start_us, bool failed)
{
    ASSERT(context);
    if (!setup.is_on || is_zero(context->trace_id, TRACE_ID_BYTES))
        return false;
    return context->sampled || failed || is_slow(start_us);
}

void span_begin_late(struct span *span, const struct trace_context *context,
                     const uint8_t parent_id[SPAN_ID_BYTES], enum span_kind kind,
                     const char *service, str name, int64_t start_us, bool failed)
{
    ASSERT(span && context && parent_id && service);

    span->recorded = false;
    if (!span_is_kept(context, start_us, failed))
        return;
    begin(span, kind, service, name);
    span->context = *context;
    if (is_zero(context->span_id, SPAN_ID_BYTES))
        span_new_id(&span->context);
    memcpy(span->parent_id, parent_id, SPAN_ID_BYTES);
    span->start_us = start_us;
    if (!context->sampled)
        span_text(span, "duka.kept", failed ? STR("error") : STR("slow"));
}

void span_ended_at(struct span *span, int64_t end_us)
{
    if (span->recorded)
        span->end_us = end_us;
}

/* opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto: Span.attributes, a KeyValue of
 * a key and an AnyValue. Written in its place, for a span has a dozen of them. */
enum {
    TAG_NUMBER = 0,
    TAG_BYTES = 2,
    SPAN_ATTRIBUTES = 9,
    PAIR_KEY = 1,
    PAIR_VALUE = 2,
    VALUE_STRING = 1,
    VALUE_INT = 3,
    /* The tags and lengths of an attribute, at most: 2 bytes a length, for a body is short. */
    ATTRIBUTE_FRAME_BYTES = 4 * (1 + 2),
    VARINT_BYTES_MAX = 10
};

static char *put_varint(char *at, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *at++ = (char)(number | 0x80);
    *at++ = (char)number;
    return at;
}

static size_t varint_len(uint64_t number)
{
    size_t len = 1;
    for (; number >= 0x80; number >>= 7)
        len++;
    return len;
}

static char *put_length(char *at, int field, size_t len)
{
    *at++ = (char)(field << 3 | TAG_BYTES);
    return put_varint(at, len);
}

static char *put_bytes(char *at, int field, const char *bytes, size_t len)
{
    at = put_length(at, field, len);
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

static size_t framed(size_t len) { return 1 + varint_len(len) + len; }

/* The key of an attribute whose value is an AnyValue of that length, up to it. */
static char *put_key(char *at, str key, size_t value_len)
{
    at = put_length(at, SPAN_ATTRIBUTES, framed(key.len) + framed(value_len));
    at = put_bytes(at, PAIR_KEY, key.ptr, key.len);
    return put_length(at, PAIR_VALUE, value_len);
}

/* The room that is left for the value of an attribute; 0: for none. */
static size_t room_for(const struct span *span, str key)
{
    size_t left = SPAN_BODY_BYTES_MAX - (size_t)span->body_len;
    size_t taken = key.len + ATTRIBUTE_FRAME_BYTES;
    return span->recorded && left > taken ? left - taken : 0;
}

void span_text(struct span *span, const char *key_z, str value)
{
    ASSERT(span && key_z);
    str key = str_of_z(key_z);
    size_t room = room_for(span, key);
    if (room == 0)
        return;
    value = utf8_head(value, room); /* collectors refuse a whole batch for half a character */
    char *end = put_key(span->body + span->body_len, key, framed(value.len));
    end = put_bytes(end, VALUE_STRING, value.ptr, value.len);
    span->body_len = (uint16_t)(end - span->body);
}

void span_number(struct span *span, const char *key_z, int64_t value)
{
    ASSERT(span && key_z);
    str key = str_of_z(key_z);
    if (room_for(span, key) < VARINT_BYTES_MAX)
        return;
    char *end = put_key(span->body + span->body_len, key, 1 + varint_len((uint64_t)value));
    *end++ = (char)(VALUE_INT << 3 | TAG_NUMBER);
    end = put_varint(end, (uint64_t)value);
    span->body_len = (uint16_t)(end - span->body);
}

void span_fail(struct span *span, str type)
{
    if (!span->recorded)
        return;
    span->failed = true;
    span_text(span, "error.type", type);
}

void span_link(struct span *span, const struct trace_context *others, size_t count)
{
    ASSERT(others || count == 0);
    if (!span->recorded)
        return;
    size_t taken = count < SPAN_LINKS_MAX ? count : SPAN_LINKS_MAX;
    span->links = others;
    span->links_count = (uint16_t)taken;
    span->links_left_out = (uint16_t)(count - taken);
}

/* ---- records ---- */

static size_t head_size(const struct span *span)
{
    return offsetof(struct span, body) + span->body_len;
}

/* How far the wall clock is from the monotonic one; looked at anew after a while, for the wall may
 * be set. Of those who look at the same time one's view stays, and all of them are good. */
static int64_t wall_distance_us(int64_t now_us)
{
    static int64_t distance_us, seen_us;
    int64_t age_us = now_us - __atomic_load_n(&seen_us, __ATOMIC_ACQUIRE);

    if (age_us < 0 || age_us >= WALL_SEEN_US) {
        int64_t seen = clock_mono_us();
        __atomic_store_n(&distance_us, clock_wall_us() - seen, __ATOMIC_RELAXED);
        __atomic_store_n(&seen_us, seen, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&distance_us, __ATOMIC_RELAXED);
}

void span_end(struct span *span)
{
    ASSERT(span);
    if (!span->recorded)
        return;
    span->recorded = false;
    int64_t end_us = span->end_us > 0 ? span->end_us : clock_mono_us();
    span->took_us = end_us > span->start_us ? end_us - span->start_us : 0;
    span->start_us += wall_distance_us(end_us);

    setup.config.take(setup.config.subject, span, head_size(span), span->links,
                      span->links_count * sizeof span->links[0]);
}

const struct span *span_of_record(const void *record)
{
    ASSERT(record && (uintptr_t)record % alignof(struct span) == 0);
    return record;
}

str span_name(const struct span *span)
{
    ASSERT(span);
    return str_of(span->body, span->name_len);
}

str span_attributes(const struct span *span)
{
    ASSERT(span && span->body_len >= span->name_len);
    return str_of(span->body + span->name_len, (size_t)span->body_len - span->name_len);
}

const struct trace_context *span_links(const struct span *span)
{
    ASSERT(span);
    return (const struct trace_context *)(const void *)(span->body + span->body_len);
}

/* An AnyValue of ours: a text or a number. */
static void read_value(str value, struct span_attribute *out)
{
    struct protobuf_field field = { .number = 0 };
    enum protobuf_read read = protobuf_next(&value, &field);
    ASSERT(read == PROTOBUF_FIELD);
    out->is_text = field.number == VALUE_STRING;
    out->text = out->is_text ? field.bytes : STR_NONE;
    out->number = out->is_text ? 0 : (int64_t)field.value;
}

bool span_next_attribute(str *rest, struct span_attribute *out)
{
    ASSERT(rest && out);
    struct protobuf_field pair, part;
    if (rest->len == 0)
        return false;
    enum protobuf_read read = protobuf_next(rest, &pair);
    ASSERT(read == PROTOBUF_FIELD && pair.number == SPAN_ATTRIBUTES);
    while (protobuf_next(&pair.bytes, &part) == PROTOBUF_FIELD)
        if (part.number == PAIR_KEY)
            out->key = part.bytes;
        else
            read_value(part.bytes, out);
    return true;
}

/* ---- where a thread is ---- */

struct trace_here trace_enter(const struct trace_context *context, const char *service)
{
    struct trace_here before = here_now;
    bool is_recorded = setup.is_on && context && context->sampled;
    here_now = (struct trace_here){ is_recorded ? context : NULL, service };
    return before;
}

void trace_leave(struct trace_here before) { here_now = before; }

const struct trace_context *trace_here(void) { return here_now.context; }
