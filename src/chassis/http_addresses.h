/* How many connections each address has open, so that one of them does not take the place of all:
 * IPv4 whole, IPv6 by /64, for that is what one customer gets. Counted by a keyed hash, so two
 * addresses may share a count (one pair in 8 192), and with it their bound. Pure. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

#include <stdint.h>

struct http_addresses;

enum { HTTP_ADDRESS_NONE = -1 };

/* Lets `most` in of each. The seed keeps others from choosing addresses that share a count. */
struct http_addresses *http_addresses_new(struct arena *arena, uint32_t most, uint64_t seed);

/* One more from there: what is to be given back to http_addresses_leave, or HTTP_ADDRESS_NONE where
 * it has as many as it may. What is no address is one. */
int http_addresses_enter(struct http_addresses *addresses, str peer);
void http_addresses_leave(struct http_addresses *addresses, int place);
