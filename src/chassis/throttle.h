/* How often something may happen under a key: token buckets (GCRA) in a table of fixed size, for
 * what a service counts by itself (wrong passwords of one account). What a client may ask at all is
 * the gateway's (limits.h).
 *
 * Only buckets that are not full are remembered; where there is no room the one nearest to full is
 * forgotten: it errs by letting something through. In memory: a restart forgets, each replica
 * counts for itself. Thread-safe; the caller tells the time. */
#pragma once
#include "base/crypto.h"
#include "base/time.h"

struct throttle;

/* So many in that time; quota 0: no limit. */
struct throttle_rule {
    int64_t quota;
    time_us window;
};

/* A key: 64 bits of a digest, so that no address is kept. */
struct throttle_key {
    uint64_t bits;
};

/* A table of about `keys_max` buckets. The caller closes. */
struct throttle *throttle_open(int keys_max);
void throttle_close(struct throttle *throttle); /* accepts NULL */

/* The key of a class ("login") and up to two texts. The seed of the process is in it, so that
 * nobody can choose keys that meet. */
struct throttle_key throttle_key_of(struct throttle *throttle, str class, str first, str second);

/* How long until one more is allowed; 0: now. Takes nothing. */
time_us throttle_wait(struct throttle *throttle, struct throttle_key key,
                      const struct throttle_rule *rule, time_us now);

/* Counts one, allowed or not. */
void throttle_count(struct throttle *throttle, struct throttle_key key,
                    const struct throttle_rule *rule, time_us now);
