#include "chassis/waiters.h"
#include "base/err.h"
#include <string.h>

static struct waiter **bucket_of(struct waiters *waiters, struct uuid subject)
{
    uint64_t tail; /* the random part of a version 7 id */
    memcpy(&tail, subject.bytes + 8, sizeof(tail));
    return &waiters->buckets[(tail >> 20) % WAITERS_BUCKETS];
}

void waiters_init(struct waiters *waiters)
{
    memset(waiters, 0, sizeof(*waiters));
    lock_init(&waiters->lock);
}

void waiters_done(struct waiters *waiters)
{
    ASSERT(waiters->count == 0);
    lock_done(&waiters->lock);
}

void waiters_add(struct waiters *waiters, struct waiter *waiter)
{
    ASSERT(!waiter->waiting && !uuid_is_nil(waiter->subject));
    lock_take(&waiters->lock);
    struct waiter **bucket = bucket_of(waiters, waiter->subject);
    waiter->next = *bucket;
    *bucket = waiter;
    waiter->waiting = true;
    waiters->count++;
    lock_drop(&waiters->lock);
}

/* Unlinks *link and gives it. */
static struct waiter *unlink_at(struct waiters *waiters, struct waiter **link)
{
    struct waiter *waiter = *link;
    *link = waiter->next;
    waiter->next = NULL;
    waiter->waiting = false;
    waiters->count--;
    return waiter;
}

/* With the lock held. */
static bool drop(struct waiters *waiters, struct uuid subject, const struct waiter *waiter)
{
    for (struct waiter **link = bucket_of(waiters, subject); *link; link = &(*link)->next)
        if (*link == waiter) {
            unlink_at(waiters, link);
            return true;
        }
    return false;
}

bool waiters_drop(struct waiters *waiters, struct uuid subject, const struct waiter *waiter)
{
    lock_take(&waiters->lock);
    bool dropped = drop(waiters, subject, waiter);
    lock_drop(&waiters->lock);
    return dropped;
}

bool waiters_on_disk(struct waiters *waiters, struct waiter *waiter)
{
    lock_take(&waiters->lock);
    waiter->on_disk = true;
    bool called = waiter->called && drop(waiters, waiter->subject, waiter);
    lock_drop(&waiters->lock);
    return called;
}

/* `all`, or those only whose write is on disk. */
static struct waiter *take(struct waiters *waiters, struct uuid subject, bool all)
{
    struct waiter *taken = NULL;
    lock_take(&waiters->lock);
    for (struct waiter **link = bucket_of(waiters, subject); *link;) {
        bool is_of_it = uuid_equal((*link)->subject, subject);
        if (!is_of_it || (!all && !(*link)->on_disk)) {
            (*link)->called = (*link)->called || is_of_it;
            link = &(*link)->next;
            continue;
        }
        struct waiter *waiter = unlink_at(waiters, link);
        waiter->next = taken;
        taken = waiter;
    }
    lock_drop(&waiters->lock);
    return taken;
}

struct waiter *waiters_take(struct waiters *waiters, struct uuid subject)
{
    return take(waiters, subject, true);
}

struct waiter *waiters_call(struct waiters *waiters, struct uuid subject)
{
    return take(waiters, subject, false);
}

size_t waiters_subjects(struct waiters *waiters, struct uuid *subjects, size_t max)
{
    size_t count = 0;
    lock_take(&waiters->lock);
    for (int i = 0; waiters->count > 0 && i < WAITERS_BUCKETS; i++)
        for (const struct waiter *one = waiters->buckets[i]; one && count < max; one = one->next)
            if (one->on_disk)
                subjects[count++] = one->subject;
    lock_drop(&waiters->lock);
    return count;
}

struct waiter *waiters_take_due(struct waiters *waiters, int64_t now_us)
{
    struct waiter *taken = NULL;
    lock_take(&waiters->lock);
    for (int i = 0; waiters->count > 0 && i < WAITERS_BUCKETS; i++)
        for (struct waiter **link = &waiters->buckets[i]; *link;) {
            if (!(*link)->on_disk || (*link)->until_us > now_us) {
                link = &(*link)->next;
                continue;
            }
            struct waiter *waiter = unlink_at(waiters, link);
            waiter->next = taken;
            taken = waiter;
        }
    lock_drop(&waiters->lock);
    return taken;
}

bool waiters_hurry(struct waiters *waiters, const struct waiter *waiter)
{
    bool found = false;
    lock_take(&waiters->lock);
    for (int i = 0; waiters->count > 0 && i < WAITERS_BUCKETS && !found; i++)
        for (struct waiter *at = waiters->buckets[i]; at && !found; at = at->next) {
            found = at == waiter;
            if (found)
                at->until_us = 0;
        }
    lock_drop(&waiters->lock);
    return found;
}

int waiters_count(struct waiters *waiters)
{
    lock_take(&waiters->lock);
    int count = waiters->count;
    lock_drop(&waiters->lock);
    return count;
}
