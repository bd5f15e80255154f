#include "services/gateway/limits.h"

#include <string.h>

enum { WAYS = 8 }; /* buckets that may lie in one place of the table */

#define NS_A_US INT64_C(1000)
#define NS_A_SECOND INT64_C(1000000000)

/* The theoretical arrival time of GCRA says all about a bucket: it is full where that is past.
 * Nanoseconds, so that the pace of large quotas is not rounded away. */
struct bucket {
    uint8_t client[16];
    uint8_t kind, class;
    int64_t full_at_ns;
};

struct limits {
    struct bucket (*places)[WAYS];
    size_t places_count; /* a power of two */
    uint64_t seed;
};

struct limit_client limit_client_of_address(str text)
{
    struct limit_client client = { .kind = LIMIT_CLIENT_OTHER };
    struct address address;

    if (!address_of_customer(text, &address))
        return client;
    client.kind = LIMIT_CLIENT_ADDRESS;
    memcpy(client.bytes, address.bytes, sizeof(client.bytes));
    return client;
}

struct limit_client limit_client_of_user(struct uuid user)
{
    struct limit_client client = { .kind = LIMIT_CLIENT_USER };
    memcpy(client.bytes, user.bytes, sizeof(client.bytes));
    return client;
}

struct limits *limits_new(struct arena *arena, int clients_max, uint64_t seed)
{
    ASSERT(arena);
    ASSERT(clients_max > 0);

    struct limits *limits = arena_new(arena, struct limits);
    limits->places_count = 1;
    while (limits->places_count * WAYS < (size_t)clients_max)
        limits->places_count *= 2;
    limits->places = arena_alloc_array(arena, limits->places_count, sizeof(limits->places[0]),
                                       alignof(struct bucket));
    limits->seed = seed;
    return limits;
}

static struct bucket *place_of(struct limits *limits, uint8_t class,
                               const struct limit_client *client)
{
    uint64_t salt = (uint64_t)client->kind << 8 | class;
    uint64_t hash = address_hash(client->bytes, limits->seed, salt);
    return limits->places[hash & (limits->places_count - 1)];
}

/* The client's bucket, or the one in its place that is nearest to full. */
static struct bucket *bucket_of(struct limits *limits, uint8_t class,
                                const struct limit_client *client, bool *found)
{
    struct bucket *place = place_of(limits, class, client), *fullest = place;

    for (int i = 0; i < WAYS; i++) {
        struct bucket *bucket = &place[i];
        *found = bucket->full_at_ns != 0 && bucket->kind == client->kind &&
                 bucket->class == class &&
                 memcmp(bucket->client, client->bytes, sizeof(bucket->client)) == 0;
        if (*found)
            return bucket;
        if (bucket->full_at_ns < fullest->full_at_ns)
            fullest = bucket;
    }
    return fullest;
}

static int32_t seconds_up(int64_t ns)
{
    return ns <= 0 ? 0 : (int32_t)((ns + NS_A_SECOND - 1) / NS_A_SECOND);
}

/* What holds of a bucket that lacks `missing_ns` of being full, and whether one more fits. */
static struct limit_verdict judge(const struct limit *limit, int64_t missing_ns)
{
    int64_t window_ns = limit->window_us * NS_A_US, step_ns = window_ns / limit->quota;
    int64_t over_ns = missing_ns + step_ns - window_ns;
    int64_t remaining = missing_ns >= window_ns ? 0 : (window_ns - missing_ns) / step_ns;

    return (struct limit_verdict){
        .allowed = over_ns <= 0,
        .remaining = remaining < limit->quota ? remaining : limit->quota,
        .reset_s = seconds_up(missing_ns),
        .retry_after_s = seconds_up(over_ns),
    };
}

static struct limit_verdict take(struct limits *limits, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us, bool takes)
{
    ASSERT(limits && limit && client);
    ASSERT(now_us > 0);
    if (limit->quota <= 0)
        return (struct limit_verdict){ .allowed = true };
    ASSERT(limit->window_us > 0 && limit->quota <= limit->window_us * NS_A_US);

    bool found = false;
    int64_t now_ns = now_us * NS_A_US;
    struct bucket *bucket = bucket_of(limits, class, client, &found);
    int64_t missing_ns = found && bucket->full_at_ns > now_ns ? bucket->full_at_ns - now_ns : 0;
    struct limit_verdict verdict = judge(limit, missing_ns);
    if (!takes || !verdict.allowed)
        return verdict;

    missing_ns += limit->window_us * NS_A_US / limit->quota;
    memcpy(bucket->client, client->bytes, sizeof(bucket->client));
    bucket->kind = (uint8_t)client->kind;
    bucket->class = class;
    bucket->full_at_ns = now_ns + missing_ns;
    verdict = judge(limit, missing_ns);
    verdict.allowed = true;
    verdict.retry_after_s = 0;
    return verdict;
}

struct limit_verdict limits_take(struct limits *limits, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us)
{
    return take(limits, class, limit, client, now_us, true);
}

struct limit_verdict limits_peek(struct limits *limits, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us)
{
    return take(limits, class, limit, client, now_us, false);
}

int limits_count(const struct limits *limits, int64_t now_us)
{
    ASSERT(limits);

    int count = 0;
    for (size_t i = 0; i < limits->places_count; i++)
        for (int j = 0; j < WAYS; j++)
            count += limits->places[i][j].full_at_ns > now_us * NS_A_US;
    return count;
}
