#include "chassis/recent.h"
#include "base/err.h"
#include "os/clock.h"
#include "os/sync.h"
#include <string.h>

struct kept {
    struct uuid id;
    int64_t since_us;
    size_t len; /* 0: nothing is kept here */
    alignas(max_align_t) char bytes[];
};

struct recent {
    struct arena *arena;
    struct lock lock;
    struct recent_limits limits;
    struct kept **slots; /* by the id's hash; made when first used */
};

struct recent *recent_open(struct recent_limits limits)
{
    ASSERT(limits.count_max > 0 && limits.bytes_max > 0 && limits.age_us_max > 0);
    struct arena *arena = arena_open(SIZE_MAX);
    struct recent *recent = arena_new(arena, struct recent);
    recent->arena = arena;
    recent->limits = limits;
    recent->slots = arena_array(arena, struct kept *, limits.count_max);
    lock_init(&recent->lock);
    return recent;
}

void recent_close(struct recent *recent)
{
    if (!recent)
        return;
    lock_done(&recent->lock);
    arena_close(recent->arena);
}

static struct kept **slot_of(struct recent *recent, struct uuid id)
{
    return &recent->slots[str_hash(str_of(id.bytes, sizeof id.bytes)) % recent->limits.count_max];
}

void recent_put(struct recent *recent, struct uuid id, const void *bytes, size_t len)
{
    ASSERT(recent && (bytes || len == 0));
    lock_take(&recent->lock);
    struct kept **slot = slot_of(recent, id);
    if (!*slot)
        *slot = arena_alloc(recent->arena, sizeof **slot + recent->limits.bytes_max,
                            alignof(max_align_t));
    struct kept *kept = *slot;
    kept->id = id;
    kept->since_us = clock_mono_us();
    kept->len = len <= recent->limits.bytes_max ? len : 0;
    if (kept->len > 0)
        memcpy(kept->bytes, bytes, len);
    lock_drop(&recent->lock);
}

static str find(struct recent *recent, struct arena *arena, struct uuid id, bool stays)
{
    ASSERT(recent && arena);
    /* Before the lock: an arena that is full leaves by a jump. */
    char *bytes = arena_grow(arena, NULL, 0, recent->limits.bytes_max); /* not zeroed in vain */
    str found = STR_NONE;
    lock_take(&recent->lock);
    struct kept *kept = *slot_of(recent, id);
    if (kept && kept->len > 0 && uuid_equal(kept->id, id)) {
        if (clock_mono_us() - kept->since_us <= recent->limits.age_us_max) {
            memcpy(bytes, kept->bytes, kept->len);
            found = str_of(bytes, kept->len);
        }
        kept->len = stays ? kept->len : 0;
    }
    lock_drop(&recent->lock);
    return found;
}

str recent_take(struct recent *recent, struct arena *arena, struct uuid id)
{
    return find(recent, arena, id, false);
}

str recent_look(struct recent *recent, struct arena *arena, struct uuid id)
{
    return find(recent, arena, id, true);
}

struct uuid recent_id_of_text(str key)
{
    struct uuid id = { { 0 } };
    uint64_t hash = str_hash(key), len = key.len;
    memcpy(id.bytes, &hash, sizeof hash);
    memcpy(id.bytes + sizeof hash, &len, sizeof len);
    return id;
}

/* The text itself stands before its value. */
void recent_put_text(struct recent *recent, struct arena *arena, str key, str value)
{
    ASSERT(recent && arena);
    struct text both = text_init(arena, key.len + value.len);
    text_add(&both, key);
    text_add(&both, value);
    recent_put(recent, recent_id_of_text(key), both.ptr, both.len);
}

str recent_look_text(struct recent *recent, struct arena *arena, str key)
{
    str both = recent_look(recent, arena, recent_id_of_text(key));
    return both.ptr && str_starts(both, key) ? str_slice(both, key.len, both.len) : STR_NONE;
}
