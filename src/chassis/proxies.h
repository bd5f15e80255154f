/* Who a request comes from: the peer, or whoever stands behind proxies that we trust. Pure.
 *
 * X-Forwarded-For is a list that each proxy lengthens at its right end; all of it that was written
 * before the first trusted proxy is hearsay. So the client is the right-most address that is not a
 * trusted proxy. With no trusted proxies (the default) the header counts for nothing. */
#pragma once
#include "chassis/request.h"

enum { PROXIES_MAX = 64, ADDRESS_BYTES = 16, PREFIX_MAX = 64 };

/* An IP address; IPv4 lies in IPv6 as ::ffff:a.b.c.d. */
struct address {
    uint8_t bytes[ADDRESS_BYTES];
};

/* Reads an IPv4 or IPv6 address. No port, no brackets, no zone. */
bool address_parse(str text, struct address *out);

/* It is an IPv4 one. */
bool address_is_v4(const struct address *address);

/* What one customer gets: IPv4 whole, IPv6 by /64. False for what is no address. */
bool address_of_customer(str text, struct address *out);

/* A hash of sixteen bytes, fast, and with a secret seed not to be steered. */
uint64_t address_hash(const uint8_t bytes[ADDRESS_BYTES], uint64_t seed, uint64_t salt);

struct proxy_range {
    struct address first;
    int bits; /* of the 128 */
};

struct proxies {
    const struct proxy_range *ranges;
    int count;
};

/* Reads "10.0.0.0/8, 2001:db8::/32, 192.0.2.1". Fails with SETTING_INVALID naming what is wrong. */
err proxies_parse(struct arena *arena, str text, struct proxies *out);

/* Tells whether the address is that of a trusted proxy. */
bool proxies_have(const struct proxies *proxies, const struct address *address);

/* The same of an address as text; not of what is none. */
bool proxies_have_text(const struct proxies *proxies, str text);

/* The client's address as text, borrowed from the request. */
str client_address_of(const struct proxies *proxies, const struct request *request);

/* Puts back what a trusted proxy has taken off the path, by its X-Forwarded-Prefix ("/users", as
 * Ingress controllers tell where they rewrite), and drops the header, so that a second call changes
 * nothing. What is no plain prefix, or comes from elsewhere, counts for nothing. */
void forwarded_prefix_restore(const struct proxies *proxies, struct request *request);

/* Drops headers that only our own services may say of a caller ("x-duka-…"). */
void internal_headers_drop(struct request *request);
