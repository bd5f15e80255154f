#include "chassis/metrics_push.h"

#include "chassis/metrics_otlp.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/sync.h"

#include <string.h>

enum { PUSH_BYTES_MAX = 64 * 1024 * 1024, TELL_EVERY_US = 60000000 };

struct metrics_push {
    struct arena *memory; /* holds this */
    struct metrics_push_config config;
    struct fetch *fetch;
    struct arena *arena; /* of a request */
    struct thread *thread;
    int64_t told_us; /* when a failure was logged last */
    struct series *sent, *refused, *failures;

    struct lock lock; /* of what follows */
    struct cond wake;
    bool closing;
    int64_t give_up_us;
};

static bool is_over(void *subject)
{
    struct metrics_push *self = subject;
    lock_take(&self->lock);
    bool is_over = self->closing && clock_mono_us() >= self->give_up_us;
    lock_drop(&self->lock);
    return is_over;
}

static void tell_failure(struct metrics_push *self, const struct fetch_answer *answer)
{
    int64_t now_us = clock_mono_us();
    series_add(self->failures, 1);
    if (self->told_us > 0 && now_us - self->told_us < TELL_EVERY_US)
        return;
    self->told_us = now_us;
    LOG(LOG_WARN, "export.failed", LOG_TEXT("what", STR("metrics")),
        LOG_TEXT("url", self->config.url), LOG_NUMBER("status", answer->status),
        LOG_TEXT("error", answer->error ? err_describe(self->arena, answer->error) : STR("")));
}

static void send(struct metrics_push *self)
{
    struct fetch_answer answer = { .status = 0 };
    struct fetch_request request = { .method = "POST",
                                     .url = self->config.url,
                                     .headers_count = self->config.headers_count + 1,
                                     .timeout_ms = self->config.timeout_ms };
    arena_reset(self->arena);
    request.headers[0] = (struct fetch_header){ "Content-Type", STR("application/x-protobuf") };
    memcpy(request.headers + 1, self->config.headers,
           (size_t)self->config.headers_count * sizeof request.headers[0]);
    request.body =
        metrics_otlp(self->arena, self->config.source, process_started_at(), clock_wall_us());
    fetch_all(self->fetch, self->arena, &request, &answer, 1);
    if (!answer.error && answer.status >= 200 && answer.status < 300) {
        series_add(self->sent, 1);
        return;
    }
    if (!answer.error && answer.status >= 400 && answer.status < 500)
        series_add(self->refused, 1);
    tell_failure(self, &answer);
}

/* Waits for the next time; false: it closes. */
static bool waits(struct metrics_push *self)
{
    int64_t until_us = clock_mono_us() + self->config.interval_us;
    lock_take(&self->lock);
    while (!self->closing && cond_wait_until(&self->wake, &self->lock, until_us))
        ;
    bool is_closing = self->closing;
    lock_drop(&self->lock);
    return !is_closing;
}

static void run(void *subject)
{
    struct metrics_push *self = subject;
    bool goes_on = true;
    while (goes_on) {
        goes_on = waits(self);
        send(self);
    }
}

static void keep_config(struct metrics_push *self, const struct metrics_push_config *config)
{
    self->config = *config;
    self->config.url = str_copy(self->memory, config->url);
    for (int i = 0; i < config->headers_count; i++) {
        struct fetch_header *header = &self->config.headers[i];
        header->name = str_z(self->memory, str_of_z(header->name));
        header->value = str_copy(self->memory, header->value);
    }
}

struct metrics_push *metrics_push_open(const struct metrics_push_config *config)
{
    ASSERT(config && config->url.len > 0 && config->source && config->interval_us > 0);
    ASSERT(config->headers_count <= EXPORT_HEADERS_MAX);

    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct metrics_push *self = arena_new(memory, struct metrics_push);
    *self = (struct metrics_push){ .memory = memory, .arena = arena_open(PUSH_BYTES_MAX) };
    keep_config(self, config);
    self->fetch = fetch_open(&(struct fetch_config){ .ca = config->ca,
                                                     .cert = config->cert,
                                                     .key = config->key,
                                                     .give_up = is_over,
                                                     .subject = self });
    self->sent = metric_series(METRIC_EXPORTED, "metrics", "sent", NULL);
    self->refused = metric_series(METRIC_EXPORTED, "metrics", "refused", NULL);
    self->failures = metric_series(METRIC_EXPORT_FAILURES, "metrics", NULL, NULL);
    lock_init(&self->lock);
    cond_init(&self->wake);
    self->thread = thread_start("metrics", run, self);
    return self;
}

void metrics_push_close(struct metrics_push *push, int64_t patience_us)
{
    if (!push)
        return;
    lock_take(&push->lock);
    push->closing = true;
    push->give_up_us = clock_mono_us() + patience_us;
    cond_wake_all(&push->wake);
    lock_drop(&push->lock);
    thread_join(push->thread);
    cond_done(&push->wake);
    lock_done(&push->lock);
    fetch_close(push->fetch);
    arena_close(push->arena);
    arena_close(push->memory);
}
