#include "chassis/throttle.h"
#include "base/arena.h"
#include "base/err.h"
#include "os/random.h"
#include "os/sync.h"

enum { WAYS = 8, SEED_BYTES = 32 };

struct bucket {
    uint64_t key;
    time_us full_at; /* the theoretical arrival time: the bucket is full where that is past */
};

struct throttle {
    struct arena *arena;
    struct lock lock; /* over the places */
    struct bucket (*places)[WAYS];
    size_t places_count; /* a power of two */
    uint8_t seed[SEED_BYTES];
};

struct throttle *throttle_open(int keys_max)
{
    ASSERT(keys_max > 0);
    struct arena *arena = arena_open(SIZE_MAX);
    struct throttle *throttle = arena_new(arena, struct throttle);
    throttle->arena = arena;
    throttle->places_count = 1;
    while (throttle->places_count * WAYS < (size_t)keys_max)
        throttle->places_count *= 2;
    throttle->places = arena_alloc_array(arena, throttle->places_count, sizeof(throttle->places[0]),
                                         alignof(struct bucket));
    random_bytes(throttle->seed, sizeof throttle->seed);
    lock_init(&throttle->lock);
    return throttle;
}

void throttle_close(struct throttle *throttle)
{
    if (!throttle)
        return;
    lock_done(&throttle->lock);
    arena_close(throttle->arena);
}

struct throttle_key throttle_key_of(struct throttle *throttle, str class, str first, str second)
{
    ASSERT(throttle);
    uint8_t parts[3 * SHA256_BYTES]; /* digests, so that no text runs into the next */
    const str texts[] = { class, first, second };
    for (int i = 0; i < 3; i++) {
        struct sha256 hash = sha256_of(texts[i]);
        memcpy(parts + i * SHA256_BYTES, hash.bytes, SHA256_BYTES);
    }
    struct sha256 mac =
        hmac_sha256(str_of(throttle->seed, SEED_BYTES), str_of(parts, sizeof parts));
    struct throttle_key key;
    memcpy(&key.bits, mac.bytes, sizeof key.bits);
    key.bits |= 1; /* 0 is an empty bucket */
    return key;
}

/* The key's bucket, or the one in its place that is nearest to full. */
static struct bucket *bucket_of(struct throttle *throttle, struct throttle_key key)
{
    struct bucket *place = throttle->places[(key.bits >> 8) & (throttle->places_count - 1)];
    struct bucket *fullest = place;
    for (int i = 0; i < WAYS; i++) {
        if (place[i].key == key.bits)
            return &place[i];
        if (place[i].full_at < fullest->full_at)
            fullest = &place[i];
    }
    return fullest;
}

time_us throttle_wait(struct throttle *throttle, struct throttle_key key,
                      const struct throttle_rule *rule, time_us now)
{
    ASSERT(throttle && rule && now > 0);
    if (rule->quota <= 0)
        return 0;
    lock_take(&throttle->lock);
    const struct bucket *bucket = bucket_of(throttle, key);
    time_us full_at = bucket->key == key.bits ? bucket->full_at : 0;
    lock_drop(&throttle->lock);
    time_us missing = full_at > now ? full_at - now : 0;
    time_us over = missing + rule->window / rule->quota - rule->window;
    return over > 0 ? over : 0;
}

void throttle_count(struct throttle *throttle, struct throttle_key key,
                    const struct throttle_rule *rule, time_us now)
{
    ASSERT(throttle && rule && now > 0);
    if (rule->quota <= 0)
        return;
    lock_take(&throttle->lock);
    struct bucket *bucket = bucket_of(throttle, key);
    time_us from = bucket->key == key.bits && bucket->full_at > now ? bucket->full_at : now;
    time_us full_at = from + rule->window / rule->quota;
    /* More than empty it cannot be: whoever goes on waits no longer for it. */
    *bucket =
        (struct bucket){ .key = key.bits,
                         .full_at = full_at < now + rule->window ? full_at : now + rule->window };
    lock_drop(&throttle->lock);
}
