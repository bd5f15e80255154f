/* Spans as a test sees them: kept in the order in which they ended. */
#pragma once
#include "chassis/trace.h"
#include "tests/lib/test.h"

#include <string.h>

enum { SPANS_TAKEN_MAX = 32 };

struct spans_taken {
    int count;
    struct arena *arena;
    const struct span *spans[SPANS_TAKEN_MAX];
    const void *records[SPANS_TAKEN_MAX];
    size_t sizes[SPANS_TAKEN_MAX];
};

static inline void spans_take(void *subject, const void *head, size_t head_size, const void *links,
                              size_t links_size)
{
    struct spans_taken *taken = subject;
    CHECK(taken->count < SPANS_TAKEN_MAX && head_size <= sizeof(struct span));
    char *record = arena_alloc(taken->arena, head_size + links_size, alignof(max_align_t));
    memcpy(record, head, head_size);
    if (links_size > 0)
        memcpy(record + head_size, links, links_size);
    taken->records[taken->count] = record;
    taken->sizes[taken->count] = head_size + links_size;
    taken->spans[taken->count++] = span_of_record(record);
}

static inline void spans_forget(void *subject)
{
    (void)subject;
    trace_use(NULL);
}

/* Records with that sampler until the test ends. */
static inline void spans_record(struct test *t, struct spans_taken *taken,
                                struct trace_config config)
{
    taken->arena = t->arena;
    config.take = spans_take;
    config.subject = taken;
    trace_use(&config);
    arena_defer(t->arena, spans_forget, NULL);
}

/* In a trace that is sampled. */
static inline struct trace_context context_of(const char *trace_id)
{
    return trace_context_of(trace_id, "b7ad6b7169203331", true);
}

/* How many attributes it has. */
static inline int span_attributes_count(const struct span *span)
{
    struct span_attribute attribute;
    int count = 0;
    for (str rest = span_attributes(span); span_next_attribute(&rest, &attribute);)
        count++;
    return count;
}

static inline bool span_find(const struct span *span, const char *key, struct span_attribute *out)
{
    for (str rest = span_attributes(span); span_next_attribute(&rest, out);)
        if (str_equal(out->key, str_of_z(key)))
            return true;
    return false;
}

/* An attribute; STR_NONE, or INT64_MIN, where there is none. */
static inline str span_word(const struct span *span, const char *key)
{
    struct span_attribute found;
    return span_find(span, key, &found) && found.is_text ? found.text : STR_NONE;
}

static inline int64_t span_value(const struct span *span, const char *key)
{
    struct span_attribute found;
    return span_find(span, key, &found) && !found.is_text ? found.number : INT64_MIN;
}

/* The span of that name, which must be there. */
static inline const struct span *span_named(const struct spans_taken *taken, const char *name)
{
    for (int i = 0; i < taken->count; i++)
        if (str_equal(span_name(taken->spans[i]), str_of_z(name)))
            return taken->spans[i];
    FAIL("no span %s", name);
}
