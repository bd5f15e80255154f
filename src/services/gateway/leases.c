#include "services/gateway/leases.h"

#include <string.h>

enum { WAYS = 8, US_IN_MS = 1000, US_IN_S = 1000000 };

/* What one client has. */
struct lease {
    uint8_t key[LEASE_KEY_BYTES];
    bool is_used, asked, was_empty;
    int32_t left;             /* leased and not used */
    int32_t owed, owed_asked; /* let in on credit: not told yet; told, and not answered */
    int64_t touched_us, asked_us;
    int64_t left_until_us;  /* when the slice has run out of time */
    int64_t empty_until_us; /* nothing can be left before that */
    int64_t window_us, shared_remaining;
};

struct leases {
    struct lease (*places)[WAYS];
    size_t places_count; /* a power of two */
    uint64_t seed;
};

struct leases *leases_new(struct arena *arena, int clients_max, uint64_t seed)
{
    ASSERT(arena && clients_max > 0);

    struct leases *leases = arena_new(arena, struct leases);
    leases->places_count = 1;
    while (leases->places_count * WAYS < (size_t)clients_max)
        leases->places_count *= 2;
    leases->places = arena_alloc_array(arena, leases->places_count, sizeof(leases->places[0]),
                                       alignof(struct lease));
    leases->seed = seed;
    return leases;
}

/* A part of the quota, but some requests at least, and never more than all. */
static int64_t part_of(int64_t quota, int64_t parts)
{
    int64_t part = quota / parts < INT32_MAX / 2 ? quota / parts : INT32_MAX / 2;
    if (part < LEASE_MIN)
        part = LEASE_MIN;
    return part < quota ? part : quota;
}

int64_t lease_slice(int64_t quota) { return part_of(quota, LEASE_SLICES); }

int64_t lease_credit(int64_t quota) { return part_of(quota, LEASE_CREDITS); }

/* ---- The table ---- */

static void key_of(uint8_t key[LEASE_KEY_BYTES], uint8_t class, const struct limit_client *client)
{
    key[0] = class;
    key[1] = (uint8_t)client->kind;
    memcpy(key + 2, client->bytes, sizeof(client->bytes));
}

static struct lease *place_of(struct leases *leases, const uint8_t key[LEASE_KEY_BYTES])
{
    uint64_t hash = leases->seed;
    for (int i = 0; i < LEASE_KEY_BYTES; i++)
        hash = (hash ^ key[i]) * UINT64_C(0x9fb21c651e98df25);
    hash ^= hash >> 32;
    return leases->places[hash & (leases->places_count - 1)];
}

static struct lease *find(struct leases *leases, const uint8_t key[LEASE_KEY_BYTES])
{
    struct lease *place = place_of(leases, key);
    for (int i = 0; i < WAYS; i++)
        if (place[i].is_used && memcmp(place[i].key, key, LEASE_KEY_BYTES) == 0)
            return &place[i];
    return NULL;
}

/* Takes the place of who was not seen for the longest time; what that one has leased is lost. */
static struct lease *add(struct leases *leases, const uint8_t key[LEASE_KEY_BYTES])
{
    struct lease *place = place_of(leases, key), *oldest = place;
    for (int i = 1; i < WAYS; i++)
        if (!place[i].is_used || (oldest->is_used && place[i].touched_us < oldest->touched_us))
            oldest = &place[i];
    *oldest = (struct lease){ .is_used = true };
    memcpy(oldest->key, key, LEASE_KEY_BYTES);
    return oldest;
}

/* ---- Taking ---- */

/* An asking that was lost may have been heard: what was owed with it is owed again, for otherwise
 * nobody would pay for it. */
static void forget_ask(struct lease *lease)
{
    lease->asked = false;
    lease->owed += lease->owed_asked;
    lease->owed_asked = 0;
}

static void let_time_pass(struct lease *lease, int64_t now_us)
{
    if (lease->left_until_us <= now_us)
        lease->left = 0;
    if (lease->asked && lease->asked_us + LEASE_LOST_MS * US_IN_MS <= now_us)
        forget_ask(lease);
    lease->touched_us = now_us;
}

static bool take(struct lease *lease, int64_t credit, int64_t now_us)
{
    if (lease->left > 0) {
        lease->left--;
        return true;
    }
    if (lease->was_empty)
        credit = 1;
    if (now_us < lease->empty_until_us || lease->owed + lease->owed_asked >= credit)
        return false;
    lease->owed++;
    return true;
}

static int32_t wait_of(const struct lease *lease, int64_t now_us)
{
    int64_t us = lease->empty_until_us - now_us;
    return us <= 0 ? 1 : (int32_t)((us + US_IN_S - 1) / US_IN_S);
}

struct lease_verdict leases_take(struct leases *leases, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us,
                                 struct lease_ask *ask)
{
    ASSERT(leases && limit && client && ask);
    ASSERT(limit->quota > 0 && now_us > 0);
    uint8_t key[LEASE_KEY_BYTES];
    int64_t slice = lease_slice(limit->quota);

    key_of(key, class, client);
    struct lease *lease = find(leases, key);
    if (!lease)
        lease = add(leases, key);
    lease->window_us = limit->window_us;
    let_time_pass(lease, now_us);
    struct lease_verdict verdict = { .allowed = take(lease, lease_credit(limit->quota), now_us) };
    verdict.remaining = lease->left + lease->shared_remaining;
    if (!verdict.allowed)
        verdict.retry_after_s = wait_of(lease, now_us);
    verdict.asks = !lease->asked && lease->left <= slice / 2 && lease->empty_until_us <= now_us;
    if (verdict.asks) {
        *ask = (struct lease_ask){ .owed = lease->owed, .wants = slice - lease->left };
        memcpy(ask->key, key, sizeof(ask->key));
        lease->asked = true;
        lease->asked_us = now_us;
        lease->owed_asked = lease->owed;
        lease->owed = 0;
    }
    return verdict;
}

/* ---- Answers ---- */

void leases_tell(struct leases *leases, const struct lease_told *told, int64_t now_us)
{
    ASSERT(leases && told && now_us > 0);
    struct lease *lease = find(leases, told->key);
    if (!lease || !lease->asked)
        return; /* forgotten meanwhile */

    if (!told->known) {
        forget_ask(lease);
        return;
    }
    lease->asked = false;
    lease->owed_asked = 0;
    lease->was_empty = told->granted == 0;
    lease->shared_remaining = told->remaining;
    lease->empty_until_us = told->granted == 0 ? now_us + told->wait_us : 0;
    lease->left_until_us = now_us + lease->window_us;
    lease->left += (int32_t)told->granted;
    int32_t paid = lease->owed < lease->left ? lease->owed : lease->left;
    lease->left -= paid;
    lease->owed -= paid;
}

void leases_forget_ask(struct leases *leases, const struct lease_ask *ask)
{
    ASSERT(leases && ask);
    struct lease *lease = find(leases, ask->key);
    if (lease && lease->asked)
        forget_ask(lease);
}
