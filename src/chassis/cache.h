/* Ready answers of public reads, in memory, bounded by bytes: a hit is answered on the loop thread,
 * with no worker, no database and no encoding.
 *
 * An entry stands under the path of its request and carries the id of the one resource that it
 * shows. The writer drops what a commit has changed before anyone hears of that commit, so nobody
 * who was told of a change reads what was there before. An answer made from an older snapshot is
 * not taken in. What others may change (replicas on one database) is given for CACHE_SHARED_US, and
 * then asked for anew. Thread-safe. */
#pragma once
#include "base/str.h"
#include "base/uuid.h"

enum { CACHE_SHARED_US = 1000000 }; /* how old an answer may be that others may have changed */

struct cache;

/* An answer that is kept: borrowed until cache_release. */
struct cached {
    str body, content_type, etag;
    int64_t until_us; /* monotonic: when it is to be asked for anew; INT64_MAX: not before a drop */
};

/* A cache of at most `bytes_max`, 0 for none. The caller closes it. */
struct cache *cache_open(size_t bytes_max);

/* All that was found must have been released. Accepts NULL. */
void cache_close(struct cache *cache);

/* The answer under a path, also one that is to be asked for anew, or NULL. Release it once it has
 * been sent. */
const struct cached *cache_find(struct cache *cache, str path);
void cache_release(void *cached);

/* Where the cache stands now: taken before the snapshot that an answer is made from. */
int64_t cache_mark(struct cache *cache);

/* Keeps an answer about `subject` that was made from a snapshot taken after `mark`; not where the
 * subject has changed since. It takes the place of one that is to be asked for anew sooner. The
 * oldest entries make room. */
void cache_put(struct cache *cache, str path, struct uuid subject, int64_t mark,
               const struct cached *answer);

/* Drops what shows a subject. */
void cache_drop(struct cache *cache, struct uuid subject);

/* For metrics. */
struct cache_stats {
    int64_t entries, bytes, hits, misses;
};
/* How full it is, and how often it had the answer. */
struct cache_stats cache_stats_of(struct cache *cache);
