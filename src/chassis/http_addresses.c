#include "chassis/http_addresses.h"

#include "chassis/proxies.h"

enum { PLACES = 8192 };

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

static int place_of(const struct http_addresses *addresses, str peer)
{
    struct address address = { { 0 } };
    (void)address_of_customer(peer, &address);
    return (int)(address_hash(address.bytes, addresses->seed, 0) % PLACES);
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
