/* How many requests a client may make: token buckets in the form of GCRA, in a table of fixed size.
 * Pure: the caller tells the time.
 *
 * A bucket holds `quota` requests and refills evenly, one each window / quota, so a client may make
 * its quota at once and then goes on at that pace. Only buckets that are not full are remembered.
 * Where too many clients come at once, the bucket that is nearest to full is forgotten: the table
 * errs by letting somebody in, never by refusing a client for what another did. */
#pragma once
#include "chassis/proxies.h"

#include "base/uuid.h"

enum { LIMIT_CLASS_MAX = 255 };

/* Requests in a window; quota 0: no limit. */
struct limit {
    int64_t quota;
    int64_t window_us;
};

enum limit_client_kind { LIMIT_CLIENT_OTHER, LIMIT_CLIENT_ADDRESS, LIMIT_CLIENT_USER };

/* Whom a bucket belongs to. */
struct limit_client {
    enum limit_client_kind kind;
    uint8_t bytes[16];
};

/* A client by address: IPv4 whole, IPv6 by /64, for that is what one customer gets. What is no
 * address (a Unix socket) is one client. */
struct limit_client limit_client_of_address(str address);

/* A client by the user who is signed in. */
struct limit_client limit_client_of_user(struct uuid user);

struct limit_verdict {
    bool allowed;
    int64_t remaining;     /* requests that could be made now, after this one */
    int32_t reset_s;       /* until the bucket is full again */
    int32_t retry_after_s; /* until one more is allowed; 0 where it is */
};

struct limits;

/* A table for about `clients_max` buckets in the arena (32 bytes each). The seed keeps others from
 * choosing addresses that meet in one place of the table. */
struct limits *limits_new(struct arena *arena, int clients_max, uint64_t seed);

/* Takes one request out of the client's bucket of a class, if there is one. `now_us` only grows. */
struct limit_verdict limits_take(struct limits *limits, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us);

/* The same without taking. */
struct limit_verdict limits_peek(struct limits *limits, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us);

/* How many buckets are remembered. */
int limits_count(const struct limits *limits, int64_t now_us);
