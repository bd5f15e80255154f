#include "chassis/cache.h"
#include "base/arena.h"
#include "base/err.h"
#include "os/sync.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

/* In two tables, by path and by subject, and in the order of their age. */
struct entry {
    struct cached answer; /* first: what is found is the entry */
    struct cache *cache;
    struct entry *next_of_path, *next_of_subject;
    struct entry *older, *newer;
    struct uuid subject;
    str path;
    size_t bytes;
    int holders; /* the cache itself, and each answer that is under way */
};

struct cache {
    struct arena *own; /* of the tables: what no bucket was needed of takes no memory */
    struct lock lock;
    struct entry *by_path[BUCKETS], *by_subject[BUCKETS];
    int64_t changed[BUCKETS]; /* by subject: the mark of the last change in the bucket */
    struct entry *oldest, *newest;
    size_t bytes, bytes_max;
    int64_t mark, entries, hits, misses;
};

static size_t path_bucket(str path) { return str_hash(path) % BUCKETS; }

static size_t subject_bucket(struct uuid subject)
{
    return str_hash(str_of(subject.bytes, sizeof subject.bytes)) % BUCKETS;
}

struct cache *cache_open(size_t bytes_max)
{
    struct arena *own = arena_open(sizeof(struct cache));
    struct cache *cache = arena_new(own, struct cache);
    cache->own = own;
    cache->bytes_max = bytes_max;
    lock_init(&cache->lock);
    return cache;
}

/* ---- taking entries out; the lock is held ---- */

static void let_go(struct entry *entry)
{
    ASSERT(entry->holders > 0);
    if (--entry->holders == 0)
        free(entry);
}

static void leave_tables(struct cache *cache, struct entry *entry)
{
    struct entry **link = &cache->by_path[path_bucket(entry->path)];
    while (*link != entry)
        link = &(*link)->next_of_path;
    *link = entry->next_of_path;

    link = &cache->by_subject[subject_bucket(entry->subject)];
    while (*link != entry)
        link = &(*link)->next_of_subject;
    *link = entry->next_of_subject;
}

static void take_out(struct cache *cache, struct entry *entry)
{
    leave_tables(cache, entry);
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    cache->bytes -= entry->bytes;
    cache->entries--;
    let_go(entry);
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest)
        take_out(cache, cache->oldest);
    lock_done(&cache->lock);
    arena_close(cache->own);
}

/* ---- finding ---- */

static struct entry *find(struct cache *cache, str path)
{
    struct entry *entry = cache->by_path[path_bucket(path)];
    while (entry && !str_equal(entry->path, path))
        entry = entry->next_of_path;
    return entry;
}

const struct cached *cache_find(struct cache *cache, str path)
{
    ASSERT(cache);
    lock_take(&cache->lock);
    struct entry *entry = find(cache, path);
    if (entry)
        entry->holders++;
    *(entry ? &cache->hits : &cache->misses) += 1;
    lock_drop(&cache->lock);
    return entry ? &entry->answer : NULL;
}

void cache_release(void *cached)
{
    struct entry *entry = cached;
    struct cache *cache = entry->cache;
    lock_take(&cache->lock);
    let_go(entry);
    lock_drop(&cache->lock);
}

/* ---- keeping and dropping ---- */

int64_t cache_mark(struct cache *cache)
{
    lock_take(&cache->lock);
    int64_t mark = cache->mark;
    lock_drop(&cache->lock);
    return mark;
}

static str keep(char **at, str s)
{
    memcpy(*at, s.ptr ? s.ptr : "", s.len);
    str kept = str_of(*at, s.len);
    *at += s.len;
    return kept;
}

/* One block holds the entry and its bytes. */
static struct entry *entry_of(struct cache *cache, str path, struct uuid subject,
                              const struct cached *answer)
{
    size_t bytes = sizeof(struct entry) + path.len + answer->body.len + answer->content_type.len +
                   answer->etag.len;
    struct entry *entry = bytes <= cache->bytes_max ? calloc(1, bytes) : NULL;
    if (!entry)
        return NULL;
    char *at = (char *)(entry + 1);
    *entry = (struct entry){ .cache = cache, .subject = subject, .bytes = bytes, .holders = 1 };
    entry->path = keep(&at, path);
    entry->answer = (struct cached){ .body = keep(&at, answer->body),
                                     .content_type = keep(&at, answer->content_type),
                                     .etag = keep(&at, answer->etag),
                                     .until_us = answer->until_us };
    return entry;
}

static void put_in(struct cache *cache, struct entry *entry)
{
    size_t path = path_bucket(entry->path), subject = subject_bucket(entry->subject);
    entry->next_of_path = cache->by_path[path];
    cache->by_path[path] = entry;
    entry->next_of_subject = cache->by_subject[subject];
    cache->by_subject[subject] = entry;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
    cache->bytes += entry->bytes;
    cache->entries++;
}

void cache_put(struct cache *cache, str path, struct uuid subject, int64_t mark,
               const struct cached *answer)
{
    ASSERT(cache && answer && !uuid_is_nil(subject));
    struct entry *entry = entry_of(cache, path, subject, answer);
    if (!entry)
        return;
    lock_take(&cache->lock);
    bool changed_since = cache->changed[subject_bucket(subject)] > mark;
    struct entry *there = find(cache, path);
    if (changed_since || (there && there->answer.until_us >= answer->until_us)) {
        let_go(entry);
    } else {
        if (there)
            take_out(cache, there);
        while (cache->bytes + entry->bytes > cache->bytes_max)
            take_out(cache, cache->oldest);
        put_in(cache, entry);
    }
    lock_drop(&cache->lock);
}

void cache_drop(struct cache *cache, struct uuid subject)
{
    ASSERT(cache);
    lock_take(&cache->lock);
    size_t bucket = subject_bucket(subject);
    cache->changed[bucket] = ++cache->mark;
    for (struct entry *entry = cache->by_subject[bucket], *next; entry; entry = next) {
        next = entry->next_of_subject;
        if (uuid_equal(entry->subject, subject))
            take_out(cache, entry);
    }
    lock_drop(&cache->lock);
}

struct cache_stats cache_stats_of(struct cache *cache)
{
    lock_take(&cache->lock);
    struct cache_stats stats = { .entries = cache->entries,
                                 .bytes = (int64_t)cache->bytes,
                                 .hits = cache->hits,
                                 .misses = cache->misses };
    lock_drop(&cache->lock);
    return stats;
}
