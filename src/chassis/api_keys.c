#include "chassis/api_keys.h"
#include "base/arena.h"
#include "os/sync.h"

#include <string.h>

#define PREFIX STR("duka_")
enum { CHECKSUM_BYTES = 4, HEX_DIGITS = 2 * (API_KEY_RANDOM_BYTES + CHECKSUM_BYTES) };

#define STEP_US (API_KEY_USED_STEP_S * TIME_SECOND)

/* A key, and the beginnings of the steps of its last use, as seen and as told. */
struct slot {
    struct api_key_known known;
    time_us used_at, told_at;
};

struct api_keys {
    struct lock lock;
    struct arena *arena;
    bool is_heard;
    struct uuid mark;
    struct slot *slots;
    size_t count;
};

/* ---- Secrets ---- */

static str checksum_of(struct arena *arena, str text)
{
    uint32_t crc = crc32_of(text);
    const uint8_t bytes[CHECKSUM_BYTES] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16),
                                            (uint8_t)(crc >> 8), (uint8_t)crc };
    return hex(arena, str_of(bytes, sizeof bytes));
}

str api_key_secret(struct arena *arena, const uint8_t bytes[API_KEY_RANDOM_BYTES])
{
    ASSERT(arena && bytes);
    struct text out = text_init(arena, PREFIX.len + HEX_DIGITS);
    text_add(&out, PREFIX);
    text_add(&out, hex(arena, str_of(bytes, API_KEY_RANDOM_BYTES)));
    text_add(&out, checksum_of(arena, text_str(&out)));
    return text_str(&out);
}

bool api_key_is_meant(str token) { return str_starts(token, PREFIX); }

err api_key_digest(struct arena *arena, str secret, struct sha256 *out)
{
    ASSERT(arena && out);
    size_t len = PREFIX.len + HEX_DIGITS, signed_len = len - 2 * CHECKSUM_BYTES;
    if (!api_key_is_meant(secret) || secret.len != len)
        return fail(arena, TOKEN_INVALID, "an API key is duka_ and %d digits", HEX_DIGITS);
    str checksum = checksum_of(arena, str_slice(secret, 0, signed_len));
    if (!str_equal(checksum, str_slice(secret, signed_len, len)))
        return fail(arena, TOKEN_INVALID,
                    "the API key's checksum does not hold: it was not copied whole");
    *out = sha256_of(secret);
    return OK;
}

/* ---- What is known ---- */

struct api_keys *api_keys_open(void)
{
    struct arena *arena =
        arena_open(sizeof(struct api_keys) + API_KEYS_MAX * sizeof(struct slot) + 4096);
    struct api_keys *keys = arena_new(arena, struct api_keys);
    keys->arena = arena;
    keys->slots = arena_array(arena, struct slot, API_KEYS_MAX);
    lock_init(&keys->lock);
    return keys;
}

void api_keys_close(struct api_keys *keys)
{
    if (!keys)
        return;
    lock_done(&keys->lock);
    arena_close(keys->arena);
}

static const struct slot *slot_of(const struct slot *slots, size_t count, struct uuid id)
{
    for (size_t i = 0; i < count; i++)
        if (uuid_equal(slots[i].known.id, id))
            return &slots[i];
    return NULL;
}

void api_keys_set(struct api_keys *keys, const struct api_key_known *known, size_t count,
                  struct uuid mark)
{
    ASSERT(keys && (known || count == 0));
    ASSERT(count <= API_KEYS_MAX);

    struct arena *scratch = arena_open(API_KEYS_MAX * sizeof(struct slot));
    struct slot *slots = arena_array(scratch, struct slot, count);
    lock_take(&keys->lock);
    for (size_t i = 0; i < count; i++) {
        const struct slot *before = slot_of(keys->slots, keys->count, known[i].id);
        slots[i] = before ? *before : (struct slot){ 0 };
        slots[i].known = known[i];
    }
    if (count > 0)
        memcpy(keys->slots, slots, count * sizeof *slots);
    keys->count = count;
    keys->mark = mark;
    keys->is_heard = true;
    lock_drop(&keys->lock);
    arena_close(scratch);
}

bool api_keys_mark(struct api_keys *keys, struct uuid *mark)
{
    ASSERT(keys && mark);
    lock_take(&keys->lock);
    bool is_heard = keys->is_heard;
    if (is_heard)
        *mark = keys->mark;
    lock_drop(&keys->lock);
    return is_heard;
}

static str bytes_of(const struct sha256 *digest)
{
    return str_of(digest->bytes, sizeof digest->bytes);
}

err api_keys_find(struct api_keys *keys, struct arena *arena, const struct sha256 *digest,
                  time_us now, struct api_key_known *out)
{
    ASSERT(keys && arena && digest && out);

    bool is_found = false, is_good = false;
    lock_take(&keys->lock);
    bool is_heard = keys->is_heard;
    for (size_t i = 0; i < keys->count && !is_found; i++) {
        struct slot *slot = &keys->slots[i];
        is_found = secret_equal(bytes_of(&slot->known.digest), bytes_of(digest));
        is_good = is_found && (slot->known.expires_at == 0 || slot->known.expires_at > now);
        if (is_good) {
            slot->used_at = now - now % STEP_US;
            *out = slot->known;
        }
    }
    lock_drop(&keys->lock);

    if (!is_heard)
        return fail(arena, AUTH_UNAVAILABLE, "no API key was heard of from Users yet");
    if (!is_found)
        return fail(arena, TOKEN_INVALID, "the API key is unknown, or was revoked");
    if (!is_good)
        return fail(arena, TOKEN_EXPIRED, "the API key has expired");
    return OK;
}

size_t api_keys_take_uses(struct api_keys *keys, struct api_key_use *out)
{
    ASSERT(keys && out);
    size_t count = 0;
    lock_take(&keys->lock);
    for (size_t i = 0; i < keys->count; i++) {
        struct slot *slot = &keys->slots[i];
        if (slot->used_at <= slot->told_at)
            continue;
        slot->told_at = slot->used_at;
        out[count++] = (struct api_key_use){ slot->known.id, slot->used_at };
    }
    lock_drop(&keys->lock);
    return count;
}
