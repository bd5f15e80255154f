#include "chassis/quota_share.h"

#include "base/arena.h"
#include "chassis/obs.h"
#include "chassis/redis.h"
#include "os/clock.h"
#include "os/sync.h"

enum {
    RETRY_US = 1000000, /* between tries while it is away */
    LOOK_US = 2000000,  /* it is asked so often whether it is there when nobody asks */
    SCRATCH_BYTES_MAX = 8 * 1024 * 1024
};

/* A token bucket by its theoretical arrival time, in microseconds of Redis's own clock. What was
 * taken on credit is booked even where nothing is left, up to one window of debt. A slice is at
 * most half of what is left, so that no one holds the last of it. */
static const char SCRIPT[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local owed, wants = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local quota, window = tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local step = window / quota\n"
    "local tat = tonumber(redis.call('GET', KEYS[1]) or 0)\n"
    "if tat < now then tat = now end\n"
    "tat = math.min(tat + owed * step, now + 2 * window)\n"
    "local room = math.floor((now + window - tat) / step + 0.001)\n"
    "local granted = 0\n"
    "if room > 0 then granted = math.min(wants, math.max(1, math.floor(room / 2))) end\n"
    "tat = tat + granted * step\n"
    "if tat > now then\n"
    "  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX',\n"
    "             string.format('%.0f', math.ceil((tat - now) / 1000) + 1))\n"
    "end\n"
    "local left = math.max(0, room - granted)\n"
    "local wait = 0\n"
    "if left == 0 then wait = math.max(1, math.ceil(tat + step - now - window)) end\n"
    "return { granted, left, wait }\n";

struct quota_share {
    struct arena *memory; /* holds this struct */
    str prefix;
    struct redis *redis;
    struct series *asked[2]; /* by outcome */
    struct thread *thread;
    struct lock lock;
    struct cond wake;
    bool stopping; /* under the lock, as all below */
    struct quota_ask *asks;
    int asks_count;
    struct quota_told *told;
    int told_count;
    bool is_there; /* atomic */
    bool has_told; /* atomic */
};

/* ---- Its thread ---- */

static int64_t ask_is_there(void *share) { return quota_share_is_there(share); }

static void note_there(struct quota_share *share, struct arena *arena, err error)
{
    bool was_there = __atomic_exchange_n(&share->is_there, error == OK, __ATOMIC_SEQ_CST);

    if (error && was_there)
        LOG(LOG_WARN, "limits.redis_away", LOG_TEXT("error", err_describe(arena, error)),
            LOG_TEXT("meanwhile", STR("each gateway limits by itself")));
    else if (!error && !was_there)
        LOG(LOG_INFO, "limits.redis_there");
}

static str key_of(struct quota_share *share, struct arena *arena, const struct quota_ask *ask)
{
    struct text key = text_init(arena, 128);
    text_add(&key, share->prefix);
    for (int i = 0; i < ask->key_len; i++)
        text_add_format(&key, "%02x", ask->key[i]);
    return text_str(&key);
}

/* Asks Redis; gives what became of each. */
static void run_batch(struct quota_share *share, struct arena *arena, const struct quota_ask *asks,
                      int count, struct quota_told *told)
{
    struct redis_call *calls = arena_array(arena, struct redis_call, REDIS_CALLS_MAX);

    for (int i = 0; i < count; i++)
        calls[i] = (struct redis_call){ .key = key_of(share, arena, &asks[i]),
                                        .arguments = { asks[i].owed, asks[i].wants, asks[i].quota,
                                                       asks[i].window_us } };
    err error = redis_run(share->redis, arena, calls, (size_t)count);
    note_there(share, arena, error);
    series_add(share->asked[error ? 1 : 0], count);
    for (int i = 0; i < count; i++)
        told[i] = (struct quota_told){ .ask = asks[i],
                                       .known = error == OK,
                                       .granted = calls[i].numbers[0],
                                       .remaining = calls[i].numbers[1],
                                       .wait_us = calls[i].numbers[2] };
}

/* Waits for something to ask, or until it is to be seen whether Redis is there. Gives how many were
 * taken; -1 at the end. */
static int wait_for_asks(struct quota_share *share, struct quota_ask *out)
{
    int64_t until_us = clock_mono_us() + (quota_share_is_there(share) ? LOOK_US : RETRY_US);
    bool is_time = false;

    lock_take(&share->lock);
    while (!share->stopping && share->asks_count == 0 && !is_time)
        is_time = !cond_wait_until(&share->wake, &share->lock, until_us);
    int count = share->asks_count < REDIS_CALLS_MAX ? share->asks_count : REDIS_CALLS_MAX;
    memcpy(out, share->asks, (size_t)count * sizeof(out[0]));
    share->asks_count -= count;
    memmove(share->asks, share->asks + count, (size_t)share->asks_count * sizeof(out[0]));
    if (share->stopping)
        count = -1;
    lock_drop(&share->lock);
    return count;
}

/* Nobody comes by to take them: the oldest go. */
static void put_told(struct quota_share *share, const struct quota_told *told, int count)
{
    lock_take(&share->lock);
    int over = share->told_count + count - QUOTA_ASKS_MAX;
    if (over > 0) {
        share->told_count -= over;
        memmove(share->told, share->told + over, (size_t)share->told_count * sizeof(told[0]));
    }
    memcpy(share->told + share->told_count, told, (size_t)count * sizeof(told[0]));
    share->told_count += count;
    __atomic_store_n(&share->has_told, share->told_count > 0, __ATOMIC_RELEASE);
    lock_drop(&share->lock);
}

static void run(void *subject)
{
    struct quota_share *share = subject;
    struct arena *arena = arena_open(SCRATCH_BYTES_MAX);
    struct quota_ask asks[REDIS_CALLS_MAX];
    struct quota_told told[REDIS_CALLS_MAX];
    int count;

    while ((count = wait_for_asks(share, asks)) >= 0) {
        run_batch(share, arena, asks, count, told);
        put_told(share, told, count);
        arena_reset(arena);
    }
    arena_close(arena);
}

/* ---- Whoever asks ---- */

bool quota_share_is_there(const struct quota_share *share)
{
    return share && __atomic_load_n(&share->is_there, __ATOMIC_ACQUIRE);
}

bool quota_share_ask(struct quota_share *share, const struct quota_ask *ask)
{
    ASSERT(share && ask && ask->key_len > 0 && ask->key_len <= QUOTA_KEY_BYTES_MAX);
    ASSERT(ask->quota > 0 && ask->window_us > 0 && ask->owed >= 0 && ask->wants >= 0);

    lock_take(&share->lock);
    bool has_room = share->asks_count < QUOTA_ASKS_MAX && quota_share_is_there(share);
    if (has_room)
        share->asks[share->asks_count++] = *ask;
    lock_drop(&share->lock);
    if (has_room)
        cond_wake_one(&share->wake);
    return has_room;
}

int quota_share_take(struct quota_share *share, struct quota_told *told, int max)
{
    ASSERT(share && told && max > 0);
    if (!__atomic_load_n(&share->has_told, __ATOMIC_ACQUIRE))
        return 0;

    lock_take(&share->lock);
    int count = share->told_count < max ? share->told_count : max;
    memcpy(told, share->told, (size_t)count * sizeof(told[0]));
    share->told_count -= count;
    memmove(share->told, share->told + count, (size_t)share->told_count * sizeof(told[0]));
    __atomic_store_n(&share->has_told, share->told_count > 0, __ATOMIC_RELEASE);
    lock_drop(&share->lock);
    return count;
}

/* ---- Opening and closing ---- */

err quota_share_open(struct arena *arena, const struct conf *conf, struct quota_share **out)
{
    enum { MEMORY_BYTES_MAX = 1024 * 1024 };
    ASSERT(arena && conf && out);
    struct redis_config config = {
        .url = conf_text(conf, CONF_LIMITS_REDIS_URL),
        .user = conf_text(conf, CONF_LIMITS_REDIS_USER),
        .password = conf_text(conf, CONF_LIMITS_REDIS_PASSWORD),
        .ca = conf_text(conf, CONF_LIMITS_REDIS_TLS_CA_FILE),
        .cert = conf_text(conf, CONF_LIMITS_REDIS_TLS_CERT_FILE),
        .key = conf_text(conf, CONF_LIMITS_REDIS_TLS_KEY_FILE),
        .timeout_ms = (int)conf_int(conf, CONF_LIMITS_REDIS_TIMEOUT),
        .script = SCRIPT,
    };
    struct redis *redis;

    *out = NULL;
    if (config.url.len == 0)
        return OK;
    err error = redis_open(arena, &config, &redis);
    if (error)
        return fail_over(arena, SETTING_INVALID, error, "LIMITS_REDIS_URL: %" STR_F,
                         STR_A(error->detail));

    struct arena *memory = arena_open(MEMORY_BYTES_MAX);
    struct quota_share *share = arena_new(memory, struct quota_share);
    share->memory = memory;
    share->redis = redis;
    share->prefix = str_copy(memory, conf_text(conf, CONF_LIMITS_REDIS_PREFIX));
    share->asks = arena_array(memory, struct quota_ask, QUOTA_ASKS_MAX);
    share->told = arena_array(memory, struct quota_told, QUOTA_ASKS_MAX);
    share->asked[0] = metric_series(METRIC_RATE_LIMIT_LEASES, "ok", NULL, NULL);
    share->asked[1] = metric_series(METRIC_RATE_LIMIT_LEASES, "failed", NULL, NULL);
    share->is_there = true; /* so that one that is away is told at the first look */
    lock_init(&share->lock);
    cond_init(&share->wake);
    struct quota_told none;
    struct arena *scratch = arena_open(SCRATCH_BYTES_MAX);
    run_batch(share, scratch, NULL, 0, &none); /* as it is at the start */
    arena_close(scratch);
    metric_ask(METRIC_RATE_LIMITS_SHARED, NULL, ask_is_there, share);
    share->thread = thread_start("quota-share", run, share);
    *out = share;
    return OK;
}

void quota_share_close(struct quota_share *share)
{
    if (!share)
        return;
    metric_ask(METRIC_RATE_LIMITS_SHARED, NULL, NULL, NULL);
    lock_take(&share->lock);
    share->stopping = true;
    lock_drop(&share->lock);
    cond_wake_all(&share->wake);
    thread_join(share->thread);
    redis_close(share->redis);
    cond_done(&share->wake);
    lock_done(&share->lock);
    arena_close(share->memory);
}
