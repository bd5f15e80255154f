#include "chassis/http_addresses.h"

#include "chassis/proxies.h"

#include <string.h>

enum { PLACES = 8192, V6_BYTES = 8 };

struct http_addresses {
    uint64_t seed;
    uint32_t most, counts[PLACES];
};

struct http_addresses *http_addresses_new(struct arena *arena, uint32_t most, uint64_t seed)
{
    ASSERT(arena && most > 0);
    struct http_addresses *addresses = arena_new(arena, struct http_addresses);
    addresses->most = most;
    addresses->seed = seed;
    return addresses;
}

/* A multiply and fold of 64 bits (as in wyhash): with a secret seed not to be steered. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static int place_of(const struct http_addresses *addresses, str peer)
{
    struct address address = { { 0 } };
    uint64_t parts[2];

    if (address_parse(peer, &address) && !address_is_v4(&address))
        memset(address.bytes + V6_BYTES, 0, ADDRESS_BYTES - V6_BYTES);
    memcpy(parts, address.bytes, sizeof parts);
    uint64_t hash = fold(parts[0] ^ addresses->seed, parts[1] ^ UINT64_C(0x9e3779b97f4a7c15));
    hash = fold(hash ^ addresses->seed, UINT64_C(0xe7037ed1a0b428db));
    return (int)(hash % PLACES);
}

int http_addresses_enter(struct http_addresses *addresses, str peer)
{
    ASSERT(addresses);
    int place = place_of(addresses, peer);
    if (addresses->counts[place] >= addresses->most)
        return HTTP_ADDRESS_NONE;
    addresses->counts[place]++;
    return place;
}

void http_addresses_leave(struct http_addresses *addresses, int place)
{
    ASSERT(addresses && place >= 0 && place < PLACES && addresses->counts[place] > 0);
    addresses->counts[place]--;
}
