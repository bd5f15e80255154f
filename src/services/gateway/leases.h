/* What this gateway has leased of quotas that all gateways share: slices, in a table of fixed size.
 * Pure: the caller tells the time, and somebody else asks Redis (chassis/quota_share.h).
 *
 * A request takes from the slice of its client. Half way through it the next one is asked for, so
 * that nobody waits. A client that is new here, or outruns the answers, is let in on credit, up to
 * an eighth of its quota; the credit is told with the next asking, and comes out of the shared
 * quota. Where nothing was left, requests are refused until something must have come back, and then
 * one is let in on credit. So each gateway allows at most an eighth more than the quota, and holds
 * at most a sixteenth that it does not use. */
#pragma once
#include "services/gateway/limits.h"

enum {
    LEASE_SLICES = 16,    /* in a quota */
    LEASE_CREDITS = 8,    /* likewise */
    LEASE_MIN = 4,        /* requests of a slice, or on credit */
    LEASE_LOST_MS = 2000, /* after which an asking that was not answered is asked anew */
    LEASE_KEY_BYTES = 18
};

/* What is to be asked for. */
struct lease_ask {
    uint8_t key[LEASE_KEY_BYTES]; /* whose */
    int64_t owed;                 /* let in on credit since the last asking */
    int64_t wants;
};

/* What was answered. */
struct lease_told {
    uint8_t key[LEASE_KEY_BYTES];
    bool known; /* false: nobody answered; the rest is not there */
    int64_t granted;
    int64_t remaining; /* of the shared quota, for all */
    int64_t wait_us;   /* until something comes back, where nothing remains */
};

struct lease_verdict {
    bool allowed;
    bool asks;         /* *ask is filled */
    int64_t remaining; /* as far as is known */
    int32_t retry_after_s;
};

struct leases;

/* A table for about `clients_max` clients in the arena (64 bytes each). */
struct leases *leases_new(struct arena *arena, int clients_max, uint64_t seed);

/* The size of a slice of a quota, and how many may be let in on credit. */
int64_t lease_slice(int64_t quota);
int64_t lease_credit(int64_t quota);

/* Takes one request. */
struct lease_verdict leases_take(struct leases *leases, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us,
                                 struct lease_ask *ask);

/* An asking was answered. */
void leases_tell(struct leases *leases, const struct lease_told *told, int64_t now_us);

/* An asking found no room, or nobody to hear it. */
void leases_forget_ask(struct leases *leases, const struct lease_ask *ask);
