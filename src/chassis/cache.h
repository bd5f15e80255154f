/* Ready answers of public reads, in memory, bounded by bytes: a hit is answered on the loop thread,
 * with no worker, no database and no encoding.
 *
 * An entry stands under the path of its request and carries the id of the one resource that it
 * shows. The writer drops what a commit has changed before anyone hears of that commit, so nobody
 * who was told of a change reads what was there before. An answer made from an older snapshot is
 * not taken in. Thread-safe. */
#pragma once
#include "base/str.h"
#include "base/uuid.h"

struct cache;

/* An answer that is kept: borrowed until cache_release. */
struct cached {
    str body, content_type, etag;
};

/* A cache of at most `bytes_max`, 0 for none. The caller closes it. */
struct cache *cache_open(size_t bytes_max);

/* All that was found must have been released. Accepts NULL. */
void cache_close(struct cache *cache);

/* The answer under a path, or NULL. Release it once it has been sent. */
const struct cached *cache_find(struct cache *cache, str path);
void cache_release(void *cached);

/* Where the cache stands now: taken before the snapshot that an answer is made from. */
int64_t cache_mark(struct cache *cache);

/* Keeps an answer about `subject` that was made from a snapshot taken after `mark`; not where the
 * subject has changed since. The oldest entries make room. */
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
