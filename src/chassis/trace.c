#include "chassis/trace.h"

#include "os/clock.h"
#include "os/random.h"

#include <string.h>

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };

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

/* Only lower case, as the standard wants it. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(const char *text, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
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

str trace_carried_parent(str carried) { return str_cut(&carried, ' '); }

str trace_carried_state(str carried)
{
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
    span->attributes_count = 0;
    span->links_count = span->links_left_out = 0;
    span->links = NULL;
    span->service = service;
    size_t len = name.len < SPAN_TEXT_BYTES_MAX ? name.len : SPAN_TEXT_BYTES_MAX;
    if (len > 0)
        memcpy(span->text, name.ptr, len);
    span->name_len = span->text_len = (uint16_t)len;
}

void span_begin(struct span *span, const struct trace_context *parent, enum span_kind kind,
                const char *service, str name)
{
    ASSERT(span && parent && service);

    span->recorded = false;
    if (!setup.is_on || !parent->sampled)
        return;
    begin(span, kind, service, name);
    span->context = *parent;
    memcpy(span->parent_id, parent->span_id, SPAN_ID_BYTES);
    span_new_id(&span->context);
    span->start_us = clock_mono_us();
}

void span_begin_here(struct span *span, enum span_kind kind, str name)
{
    ASSERT(span);

    span->recorded = false;
    if (here_now.context)
        span_begin(span, here_now.context, kind, here_now.service, name);
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

void span_began_at(struct span *span, int64_t start_us)
{
    if (span->recorded)
        span->start_us = start_us;
}

void span_ended_at(struct span *span, int64_t end_us)
{
    if (span->recorded)
        span->end_us = end_us;
}

static struct span_attribute *attribute_add(struct span *span, const char *key)
{
    if (!span->recorded || span->attributes_count == SPAN_ATTRIBUTES_MAX)
        return NULL;
    struct span_attribute *attribute = &span->attributes[span->attributes_count++];
    *attribute = (struct span_attribute){ .key = key };
    return attribute;
}

void span_text(struct span *span, const char *key, str value)
{
    struct span_attribute *attribute = attribute_add(span, key);
    if (!attribute)
        return;
    size_t room = SPAN_TEXT_BYTES_MAX - (size_t)span->text_len;
    size_t len = value.len < room ? value.len : room;
    attribute->is_text = true;
    attribute->at = span->text_len;
    attribute->len = (uint16_t)len;
    if (len > 0)
        memcpy(span->text + span->text_len, value.ptr, len);
    span->text_len = (uint16_t)(span->text_len + len);
}

void span_number(struct span *span, const char *key, int64_t value)
{
    struct span_attribute *attribute = attribute_add(span, key);
    if (attribute)
        attribute->number = value;
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
    return offsetof(struct span, text) + span->text_len;
}

void span_end(struct span *span)
{
    ASSERT(span);
    if (!span->recorded)
        return;
    span->recorded = false;
    int64_t now_us = clock_mono_us();
    int64_t end_us = span->end_us > 0 ? span->end_us : now_us;
    span->took_us = end_us > span->start_us ? end_us - span->start_us : 0;
    span->start_us += clock_wall_us() - now_us;

    setup.config.take(setup.config.subject, span, head_size(span), span->links,
                      span->links_count * sizeof span->links[0]);
}

void span_read(struct arena *arena, const void *record, struct span *out)
{
    ASSERT(arena && record && out);
    memcpy(out, record, offsetof(struct span, text));
    size_t head = head_size(out);
    memcpy(out->text, (const char *)record + offsetof(struct span, text), out->text_len);
    out->links =
        arena_copy(arena, (const char *)record + head, out->links_count * sizeof out->links[0]);
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
