#include "chassis/lanes.h"
#include "chassis/obs.h"
#include "os/sync.h"

/* A subject that was given and is not done. */
struct given {
    struct uuid subject;
    struct given *next; /* of those that wait, or of those that are free */
    struct given *next_of_bucket;
    bool taken, again; /* again: given once more while a lane has it */
};

enum { BUCKETS = 256 };

struct lanes {
    struct arena *arena;
    struct service *service;
    const char *name;
    err (*run)(void *self, struct call *call, struct uuid subject);
    struct lock lock;
    struct cond wake;
    struct thread *threads[LANES_MAX];
    int threads_count;
    struct given *first, **last; /* those that wait, in the order in which they came */
    struct given *free;
    struct given *buckets[BUCKETS];
    bool stopping;
};

struct lanes *lanes_open(struct service *service, const char *name,
                         err (*run)(void *self, struct call *call, struct uuid subject))
{
    ASSERT(service && name && run);
    struct arena *arena = arena_open(SIZE_MAX);
    struct lanes *lanes = arena_new(arena, struct lanes);
    struct given *room = arena_array(arena, struct given, LANES_ROOM);
    *lanes = (struct lanes){ .arena = arena, .service = service, .name = name, .run = run };
    lanes->last = &lanes->first;
    for (int i = 0; i < LANES_ROOM; i++) {
        room[i].next = lanes->free;
        lanes->free = &room[i];
    }
    lock_init(&lanes->lock);
    cond_init(&lanes->wake);
    return lanes;
}

void lanes_close(struct lanes *lanes)
{
    if (!lanes)
        return;
    ASSERT(lanes->threads_count == 0);
    cond_done(&lanes->wake);
    lock_done(&lanes->lock);
    arena_close(lanes->arena);
}

/* ---- the table and the queue; the lock is held ---- */

static struct given **bucket_of(struct lanes *lanes, struct uuid subject)
{
    return &lanes->buckets[str_hash(str_of(subject.bytes, sizeof subject.bytes)) % BUCKETS];
}

static struct given *find(struct lanes *lanes, struct uuid subject)
{
    struct given *given = *bucket_of(lanes, subject);
    while (given && !uuid_equal(given->subject, subject))
        given = given->next_of_bucket;
    return given;
}

static void queue(struct lanes *lanes, struct given *given)
{
    given->next = NULL;
    *lanes->last = given;
    lanes->last = &given->next;
    cond_wake_one(&lanes->wake);
}

static void add(struct lanes *lanes, struct uuid subject)
{
    struct given *given = lanes->free;
    if (!given)
        return;
    lanes->free = given->next;
    struct given **bucket = bucket_of(lanes, subject);
    *given = (struct given){ .subject = subject, .next_of_bucket = *bucket };
    *bucket = given;
    queue(lanes, given);
}

static struct given *take(struct lanes *lanes)
{
    struct given *given = lanes->first;
    if (!given)
        return NULL;
    lanes->first = given->next;
    if (!lanes->first)
        lanes->last = &lanes->first;
    given->taken = true;
    return given;
}

static void done(struct lanes *lanes, struct given *given)
{
    given->taken = false;
    if (given->again) {
        given->again = false;
        queue(lanes, given);
        return;
    }
    struct given **link = bucket_of(lanes, given->subject);
    while (*link != given)
        link = &(*link)->next_of_bucket;
    *link = given->next_of_bucket;
    given->next = lanes->free;
    lanes->free = given;
}

/* ---- giving and running ---- */

void lanes_give(struct lanes *lanes, struct uuid subject)
{
    ASSERT(lanes && !uuid_is_nil(subject));
    lock_take(&lanes->lock);
    struct given *given = find(lanes, subject);
    if (!given)
        add(lanes, subject);
    else if (given->taken)
        given->again = true;
    lock_drop(&lanes->lock);
}

struct item {
    struct lanes *lanes;
    struct uuid subject;
};

static err run_item(void *self, struct call *call)
{
    const struct item *item = self;
    return item->lanes->run(service_self(item->lanes->service), call, item->subject);
}

static void run_one(struct lanes *lanes, struct call *call, struct uuid subject)
{
    struct item item = { lanes, subject };
    service_job_reset(call);
    err error = service_job_run(call, lanes->name, run_item, &item);
    if (error != OK) /* it stays in its table and is given again */
        LOG(LOG_WARN, "lane.failed", LOG_TEXT("lane", str_of_z(lanes->name)),
            LOG_TEXT("subject", uuid_text(call->arena, subject)),
            LOG_TEXT("error", err_describe(call->arena, error)));
}

static void lane_run(void *self)
{
    struct lanes *lanes = self;
    struct call *call = service_job_open(lanes->service, lanes->name);
    lock_take(&lanes->lock);
    while (!lanes->stopping) {
        struct given *given = take(lanes);
        if (!given) {
            cond_wait(&lanes->wake, &lanes->lock);
            continue;
        }
        struct uuid subject = given->subject;
        lock_drop(&lanes->lock);
        run_one(lanes, call, subject);
        lock_take(&lanes->lock);
        done(lanes, given);
    }
    lock_drop(&lanes->lock);
    service_job_close(call);
}

void lanes_start(struct lanes *lanes, int count)
{
    ASSERT(lanes && count >= 1 && count <= LANES_MAX && lanes->threads_count == 0);
    for (int i = 0; i < count; i++)
        lanes->threads[lanes->threads_count++] = thread_start(lanes->name, lane_run, lanes);
}

void lanes_stop(struct lanes *lanes)
{
    ASSERT(lanes);
    lock_take(&lanes->lock);
    lanes->stopping = true;
    cond_wake_all(&lanes->wake);
    lock_drop(&lanes->lock);
    for (int i = 0; i < lanes->threads_count; i++)
        thread_join(lanes->threads[i]);
    lanes->threads_count = 0;
}
