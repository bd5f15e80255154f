#include "chassis/export.h"

#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"

#include <string.h>

enum { ENCODE_BYTES_MAX = 64 * 1024 * 1024, LOG_EVERY_US = 60000000 };

/* Records one behind the other, each aligned. */
struct room {
    char *bytes;
    size_t used;
    struct export_record *records;
    size_t count;
};

struct exporter {
    struct arena *memory; /* holds this */
    struct export_config config;
    struct room rooms[2];
    struct thread *thread;
    struct fetch *fetch;
    struct arena *arena; /* of a request */
    int64_t told_us;     /* when a failure was logged last */

    struct lock lock; /* of what follows */
    struct cond wake;
    struct room *gathers;
    bool closing;
    int64_t give_up_us; /* once it closes */

    struct export_stats stats; /* by relaxed atomics */
    struct series *sent, *dropped, *refused, *failures;
};

/* ---- counting ---- */

static void count(struct series *series, int64_t *total, size_t n)
{
    __atomic_fetch_add(total, (int64_t)n, __ATOMIC_RELAXED);
    series_add(series, (int64_t)n);
}

struct export_stats export_stats_of(const struct exporter *exporter)
{
    ASSERT(exporter);
    const struct export_stats *stats = &exporter->stats;
    return (struct export_stats){
        .sent = __atomic_load_n(&stats->sent, __ATOMIC_RELAXED),
        .dropped = __atomic_load_n(&stats->dropped, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&stats->refused, __ATOMIC_RELAXED),
        .failures = __atomic_load_n(&stats->failures, __ATOMIC_RELAXED),
    };
}

/* ---- gathering ---- */

void export_put(struct exporter *exporter, const void *bytes, size_t size, const void *more,
                size_t more_size)
{
    ASSERT(exporter && bytes && size > 0 && size + more_size <= EXPORT_RECORD_BYTES_MAX);
    size_t room_size = (size + more_size + 7) & ~(size_t)7;

    lock_take(&exporter->lock);
    struct room *room = exporter->gathers;
    bool has_room = room->count < exporter->config.records_max &&
                    room->used + room_size <= exporter->config.bytes_max;
    if (has_room) {
        char *at = room->bytes + room->used;
        memcpy(at, bytes, size);
        if (more_size > 0)
            memcpy(at + size, more, more_size);
        room->records[room->count++] = (struct export_record){ at, size + more_size };
        room->used += room_size;
        if (room->count == exporter->config.batch_max)
            cond_wake_one(&exporter->wake);
    }
    lock_drop(&exporter->lock);
    if (!has_room)
        count(exporter->dropped, &exporter->stats.dropped, 1);
}

/* The room that has gathered, once there is something in it and its time has come; NULL: the end.
 */
static struct room *take_room(struct exporter *self)
{
    struct room *room = NULL;

    lock_take(&self->lock);
    int64_t until_us = clock_mono_us() + self->config.delay_us;
    while (!self->closing && self->gathers->count < self->config.batch_max)
        if (!cond_wait_until(&self->wake, &self->lock, until_us)) {
            if (self->gathers->count > 0)
                break;
            until_us = clock_mono_us() + self->config.delay_us;
        }
    if (self->gathers->count > 0) {
        room = self->gathers;
        self->gathers = room == &self->rooms[0] ? &self->rooms[1] : &self->rooms[0];
    }
    lock_drop(&self->lock);
    return room;
}

/* ---- sending ---- */

static bool is_over(void *subject)
{
    struct exporter *self = subject;
    lock_take(&self->lock);
    bool is_over = self->closing && clock_mono_us() >= self->give_up_us;
    lock_drop(&self->lock);
    return is_over;
}

/* Rests before the next attempt, or until it closes; by chance somewhat shorter, so that not all
 * programs come back at once. */
static void rest(struct exporter *self, int attempt)
{
    int64_t rest_us = EXPORT_RETRY_US;
    for (int i = 0; i < attempt && rest_us < EXPORT_RETRY_MAX_US; i++)
        rest_us *= 2;
    rest_us = rest_us < EXPORT_RETRY_MAX_US ? rest_us : EXPORT_RETRY_MAX_US;
    rest_us -= (int64_t)(random_u64() % (uint64_t)(rest_us / 4));
    int64_t until_us = clock_mono_us() + rest_us;

    lock_take(&self->lock);
    while (!self->closing && cond_wait_until(&self->wake, &self->lock, until_us))
        ;
    bool is_closing = self->closing;
    lock_drop(&self->lock);
    if (is_closing)
        sleep_until(clock_mono_us() + EXPORT_RETRY_US / 10);
}

/* What OTLP says may be sent again, and where nobody answered. */
static bool is_passing(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

static void tell_failure(struct exporter *self, const struct fetch_answer *answer)
{
    int64_t now_us = clock_mono_us();
    count(self->failures, &self->stats.failures, 1);
    if (self->told_us > 0 && now_us - self->told_us < LOG_EVERY_US)
        return;
    self->told_us = now_us;
    LOG(LOG_WARN, "export.failed", LOG_TEXT("what", str_of_z(self->config.name)),
        LOG_TEXT("url", self->config.url), LOG_NUMBER("status", answer->status),
        LOG_TEXT("error", answer->error ? err_describe(self->arena, answer->error) : STR("")));
}

static struct fetch_answer post(struct exporter *self, const struct export_record *records,
                                size_t records_count)
{
    struct fetch_request request = { .method = "POST",
                                     .url = self->config.url,
                                     .headers_count = self->config.headers_count + 1,
                                     .timeout_ms = self->config.timeout_ms };
    struct fetch_answer answer = { .status = 0 };

    arena_reset(self->arena);
    request.headers[0] = (struct fetch_header){ "Content-Type", self->config.content_type };
    memcpy(request.headers + 1, self->config.headers,
           (size_t)self->config.headers_count * sizeof request.headers[0]);
    request.body = self->config.encode(self->arena, self->config.subject, records, records_count);
    fetch_all(self->fetch, self->arena, &request, &answer, 1);
    return answer;
}

/* Sends one batch, again and again while that may help. */
static void send(struct exporter *self, const struct export_record *records, size_t records_count)
{
    int64_t began_us = clock_mono_us();

    for (int attempt = 0;; attempt++) {
        struct fetch_answer answer = post(self, records, records_count);
        if (!answer.error && answer.status >= 200 && answer.status < 300) {
            count(self->sent, &self->stats.sent, records_count);
            return;
        }
        tell_failure(self, &answer);
        if (!answer.error && !is_passing(answer.status)) {
            count(self->refused, &self->stats.refused, records_count);
            return;
        }
        if (is_over(self) || clock_mono_us() - began_us >= EXPORT_PATIENCE_US) {
            count(self->dropped, &self->stats.dropped, records_count);
            return;
        }
        rest(self, attempt);
    }
}

static void run(void *subject)
{
    struct exporter *self = subject;

    for (struct room *room; (room = take_room(self));) {
        for (size_t at = 0; at < room->count; at += self->config.batch_max) {
            size_t left = room->count - at;
            send(self, room->records + at,
                 left < self->config.batch_max ? left : self->config.batch_max);
        }
        room->count = room->used = 0;
    }
}

/* ---- opening and closing ---- */

static void keep_config(struct exporter *self, const struct export_config *config)
{
    self->config = *config;
    self->config.url = str_copy(self->memory, config->url);
    self->config.content_type = str_copy(self->memory, config->content_type);
    for (int i = 0; i < config->headers_count; i++) {
        struct fetch_header *header = &self->config.headers[i];
        header->name = str_z(self->memory, str_of_z(header->name));
        header->value = str_copy(self->memory, header->value);
    }
}

static void open_series(struct exporter *self)
{
    const char *name = self->config.name;
    self->sent = metric_series(METRIC_EXPORTED, name, "sent", NULL);
    self->dropped = metric_series(METRIC_EXPORTED, name, "dropped", NULL);
    self->refused = metric_series(METRIC_EXPORTED, name, "refused", NULL);
    self->failures = metric_series(METRIC_EXPORT_FAILURES, name, NULL, NULL);
}

struct exporter *export_open(const struct export_config *config)
{
    ASSERT(config && config->name && config->encode && config->url.len > 0);
    ASSERT(config->records_max > 0 && config->bytes_max >= EXPORT_RECORD_BYTES_MAX);
    ASSERT(config->batch_max > 0 && config->batch_max <= EXPORT_BATCH_MAX);
    ASSERT(config->headers_count <= EXPORT_HEADERS_MAX);

    struct arena *memory = arena_open(SIZE_MAX);
    struct exporter *self = arena_new(memory, struct exporter);
    *self = (struct exporter){ .memory = memory };
    keep_config(self, config);
    for (int i = 0; i < 2; i++)
        self->rooms[i] = (struct room){
            .bytes = arena_alloc(memory, config->bytes_max, alignof(max_align_t)),
            .records = arena_array(memory, struct export_record, config->records_max),
        };
    self->gathers = &self->rooms[0];
    self->arena = arena_open(ENCODE_BYTES_MAX);
    self->fetch = fetch_open(&(struct fetch_config){ .ca = config->ca,
                                                     .cert = config->cert,
                                                     .key = config->key,
                                                     .give_up = is_over,
                                                     .subject = self });
    open_series(self);
    lock_init(&self->lock);
    cond_init(&self->wake);
    self->thread = thread_start(config->name, run, self);
    return self;
}

void export_close(struct exporter *exporter, int64_t patience_us)
{
    if (!exporter)
        return;
    lock_take(&exporter->lock);
    exporter->closing = true;
    exporter->give_up_us = clock_mono_us() + patience_us;
    cond_wake_all(&exporter->wake);
    lock_drop(&exporter->lock);
    thread_join(exporter->thread);
    cond_done(&exporter->wake);
    lock_done(&exporter->lock);
    fetch_close(exporter->fetch);
    arena_close(exporter->arena);
    arena_close(exporter->memory);
}
