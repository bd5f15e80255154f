#include "chassis/redis.h"

#include "chassis/bus_url.h"
#include "chassis/fetch_pipe.h"
#include "os/clock.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

enum { PORT_STANDARD = 6379, ROOM_BYTES = 16 * 1024, WORDS_MAX = 4 + REDIS_ARGUMENTS_MAX };

struct redis {
    struct arena *memory; /* holds this struct */
    struct redis_config config;
    struct fetch_config files;
    str url, database;
    char sha[41];
    struct fetch_pipe *pipe; /* NULL: not connected */
    redisReader *reader;
};

static const char *path_of(struct arena *arena, str path)
{
    return path.len > 0 ? str_z(arena, path) : NULL;
}

static err read_url(struct arena *arena, struct redis *redis)
{
    struct bus_url url;
    str host;
    int port;

    TRY(bus_url_parse(redis->memory, redis->config.url, &url));
    bool is_tls = str_equal(url.scheme, STR("rediss"));
    if (!is_tls && !str_equal(url.scheme, STR("redis")))
        return fail(arena, SETTING_INVALID, "its scheme is redis or rediss");
    if (!bus_url_host(&url, PORT_STANDARD, &host, &port))
        return fail(arena, SETTING_INVALID, "it has no host");
    bool is_six = str_find_byte(host, ':') >= 0;
    redis->url = str_format(redis->memory, "%s://%s%" STR_F "%s:%d", is_tls ? "https" : "http",
                            is_six ? "[" : "", STR_A(host), is_six ? "]" : "", port);
    redis->database = url.path.ptr ? url.path : STR("");
    if (redis->config.user.len == 0)
        redis->config.user = url.user;
    if (redis->config.password.len == 0)
        redis->config.password = url.password;
    return OK;
}

err redis_open(struct arena *arena, const struct redis_config *config, struct redis **out)
{
    enum { MEMORY_BYTES_MAX = 256 * 1024 };
    ASSERT(arena && config && config->script && config->timeout_ms > 0 && out);

    struct arena *memory = arena_open(MEMORY_BYTES_MAX);
    struct redis *redis = arena_new(memory, struct redis);
    redis->memory = memory;
    redis->config = *config;
    redis->config.url = str_copy(memory, config->url);
    redis->config.user = str_copy(memory, config->user);
    redis->config.password = str_copy(memory, config->password);
    redis->files = (struct fetch_config){ .ca = path_of(memory, config->ca),
                                          .cert = path_of(memory, config->cert),
                                          .key = path_of(memory, config->key) };
    err error = read_url(arena, redis);
    if (error) {
        error = err_copy(arena, error);
        redis_close(redis);
        return error;
    }
    *out = redis;
    return OK;
}

static void disconnect(struct redis *redis)
{
    fetch_pipe_close(redis->pipe);
    redis->pipe = NULL;
    if (redis->reader)
        redisReaderFree(redis->reader);
    redis->reader = NULL;
}

void redis_close(struct redis *redis)
{
    if (!redis)
        return;
    disconnect(redis);
    arena_close(redis->memory);
}

/* ---- One command after the other, one answer after the other ---- */

static void command_add(struct text *out, const str *words, int count)
{
    const char *pointers[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    char *bytes = NULL;

    ASSERT(count <= WORDS_MAX);
    for (int i = 0; i < count; i++) {
        pointers[i] = words[i].ptr ? words[i].ptr : "";
        lengths[i] = words[i].len;
    }
    long long len = redisFormatCommandArgv(&bytes, count, pointers, lengths);
    ASSERT(len > 0);
    text_add(out, str_of(bytes, (size_t)len));
    redisFreeCommand(bytes);
}

/* The next answer, which the caller frees. */
static err receive(struct redis *redis, struct arena *arena, int64_t deadline_us, redisReply **out)
{
    char *room = arena_alloc(arena, ROOM_BYTES, 1);
    void *reply = NULL;
    size_t len;

    for (;;) {
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
            return fail(arena, UPSTREAM_UNAVAILABLE, "what answers is not Redis: %s",
                        redis->reader->errstr);
        if (reply)
            break;
        TRY(fetch_pipe_receive(redis->pipe, arena, room, ROOM_BYTES, deadline_us, &len));
        if (redisReaderFeed(redis->reader, room, len) != REDIS_OK)
            return fail(arena, UPSTREAM_UNAVAILABLE, "its answer is too large");
    }
    *out = reply;
    return OK;
}

static err refusal_of(struct arena *arena, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return fail(arena, UPSTREAM_UNAVAILABLE, "it says: %.*s", (int)reply->len, reply->str);
    return OK;
}

/* ---- Connecting ---- */

static err ask_one(struct redis *redis, struct arena *arena, const str *words, int count,
                   int64_t deadline_us, redisReply **out)
{
    struct text command = text_init(arena, 1024);

    command_add(&command, words, count);
    TRY(fetch_pipe_send(redis->pipe, arena, text_str(&command), deadline_us));
    TRY(receive(redis, arena, deadline_us, out));
    err error = refusal_of(arena, *out);
    if (error)
        freeReplyObject(*out);
    return error;
}

static err say_hello(struct redis *redis, struct arena *arena, int64_t deadline_us)
{
    const struct redis_config *config = &redis->config;
    redisReply *reply;

    if (config->password.len > 0) {
        str words[] = { STR("AUTH"), config->user, config->password };
        bool has_user = config->user.len > 0;
        if (!has_user)
            words[1] = config->password;
        TRY(ask_one(redis, arena, words, has_user ? 3 : 2, deadline_us, &reply));
        freeReplyObject(reply);
    }
    if (redis->database.len > 0) {
        str words[] = { STR("SELECT"), redis->database };
        TRY(ask_one(redis, arena, words, 2, deadline_us, &reply));
        freeReplyObject(reply);
    }
    str words[] = { STR("SCRIPT"), STR("LOAD"), str_of_z(config->script) };
    TRY(ask_one(redis, arena, words, 3, deadline_us, &reply));
    bool is_sha = reply->type == REDIS_REPLY_STRING && reply->len == sizeof(redis->sha) - 1;
    if (is_sha)
        memcpy(redis->sha, reply->str, sizeof(redis->sha) - 1);
    freeReplyObject(reply);
    return is_sha ? OK : fail(arena, UPSTREAM_UNAVAILABLE, "it takes no script");
}

static err connect_to(struct redis *redis, struct arena *arena, int64_t deadline_us)
{
    if (redis->pipe)
        return OK;
    TRY(fetch_pipe_open(arena, redis->url, &redis->files, redis->config.timeout_ms, &redis->pipe));
    redis->reader = redisReaderCreate();
    ASSERT(redis->reader);
    return say_hello(redis, arena, deadline_us);
}

/* ---- Calls ---- */

static err send_calls(struct redis *redis, struct arena *arena, const struct redis_call *calls,
                      size_t count, int64_t deadline_us)
{
    struct text out = text_init(arena, 256 * (count + 1));
    str ping = STR("PING");

    for (size_t i = 0; i < count; i++) {
        str words[WORDS_MAX] = { STR("EVALSHA"), str_of_z(redis->sha), STR("1"), calls[i].key };
        for (int j = 0; j < REDIS_ARGUMENTS_MAX; j++)
            words[4 + j] = str_format(arena, "%lld", (long long)calls[i].arguments[j]);
        command_add(&out, words, 4 + REDIS_ARGUMENTS_MAX);
    }
    if (count == 0)
        command_add(&out, &ping, 1);
    return fetch_pipe_send(redis->pipe, arena, text_str(&out), deadline_us);
}

static err read_numbers(struct arena *arena, const redisReply *reply, int64_t *out)
{
    TRY(refusal_of(arena, reply));
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != REDIS_NUMBERS_MAX)
        return fail(arena, UPSTREAM_UNAVAILABLE, "its answer is no array of %d", REDIS_NUMBERS_MAX);
    for (int i = 0; i < REDIS_NUMBERS_MAX; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return fail(arena, UPSTREAM_UNAVAILABLE, "its answer is no array of numbers");
        out[i] = reply->element[i]->integer;
    }
    return OK;
}

static err run(struct redis *redis, struct arena *arena, struct redis_call *calls, size_t count)
{
    enum { US_IN_MS = 1000 };
    int64_t deadline_us = clock_mono_us() + (int64_t)redis->config.timeout_ms * US_IN_MS;
    redisReply *reply;

    TRY(connect_to(redis, arena, deadline_us));
    TRY(send_calls(redis, arena, calls, count, deadline_us));
    for (size_t i = 0; i < (count > 0 ? count : 1); i++) {
        TRY(receive(redis, arena, deadline_us, &reply));
        err error =
            count > 0 ? read_numbers(arena, reply, calls[i].numbers) : refusal_of(arena, reply);
        freeReplyObject(reply);
        TRY(error);
    }
    return OK;
}

err redis_run(struct redis *redis, struct arena *arena, struct redis_call *calls, size_t count)
{
    ASSERT(redis && arena && (calls || count == 0) && count <= REDIS_CALLS_MAX);

    err error = run(redis, arena, calls, count);
    if (error)
        disconnect(redis);
    return error;
}
