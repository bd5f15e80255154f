#include "tests/fuzz/net_fake.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 100000, TIMERS_MAX = 64, TOLD_BYTES_MAX = 32 * 1024 * 1024, CONNECTS_MAX = 16 };

struct loop_timer {
    struct loop *loop;
    void (*run)(void *subject);
    void *subject;
    int64_t at_ms; /* 0: not set */
    uint32_t repeat_ms;
};

struct loop {
    struct loop_task *posted, **posted_last;
    struct loop_task *later, **later_last;
    struct loop_timer *timers[TIMERS_MAX];
    int timers_count;
    int64_t now_ms;
    struct net_listener *listener;
};

struct net_listener {
    struct loop *loop;
    net_accepted *accepted;
    void *subject;
    size_t room_bytes;
};

struct net_connection {
    struct loop *loop;
    const struct net_events *events; /* NULL: closed, or not owned yet */
    void *subject;
    bool reading, ended, closed, waiting, dropped, shut;
    size_t takes;
    char *told;
    size_t told_len, told_cap;
    str waits[2];
    struct net_connection *next_closed;
    alignas(max_align_t) char room[];
};

static bool is_here;
static struct net_connection *connects[CONNECTS_MAX];
static int connects_count;

/* ---- the loop ---- */

struct loop *loop_open(void)
{
    struct loop *loop = calloc(1, sizeof *loop);
    ASSERT(loop);
    loop->posted_last = &loop->posted;
    loop->later_last = &loop->later;
    loop->now_ms = 1000;
    is_here = true; /* there is but one thread */
    return loop;
}

void loop_close(struct loop *loop)
{
    if (!loop)
        return;
    net_fake_turn(loop);
    ASSERT(loop->timers_count == 0 && !loop->listener);
    free(loop);
}

bool loop_is_here(const struct loop *loop)
{
    ASSERT(loop);
    return is_here;
}

int64_t loop_now_ms(const struct loop *loop) { return loop->now_ms; }

void loop_post(struct loop *loop, struct loop_task *task)
{
    ASSERT(loop && task && task->run);
    task->next = NULL;
    *loop->posted_last = task;
    loop->posted_last = &task->next;
}

void loop_later(struct loop *loop, struct loop_task *task)
{
    ASSERT(loop && task && task->run);
    task->next = NULL;
    *loop->later_last = task;
    loop->later_last = &task->next;
}

static struct loop_task *pop(struct loop_task **first, struct loop_task ***last)
{
    struct loop_task *task = *first;
    if (!task)
        return NULL;
    *first = task->next;
    if (!*first)
        *last = first;
    return task;
}

void net_fake_turn(struct loop *loop)
{
    struct loop_task *task;

    for (int i = 0; loop->posted || loop->later; i++) {
        ASSERT(i < TURNS_MAX && "the loop never comes to rest");
        task = pop(&loop->posted, &loop->posted_last);
        if (!task)
            task = pop(&loop->later, &loop->later_last);
        if (task)
            task->run(task);
    }
}

struct loop_timer *loop_timer_open(struct loop *loop, void (*run)(void *subject), void *subject)
{
    ASSERT(loop && run && loop->timers_count < TIMERS_MAX);
    struct loop_timer *timer = calloc(1, sizeof *timer);
    ASSERT(timer);
    *timer = (struct loop_timer){ .loop = loop, .run = run, .subject = subject };
    loop->timers[loop->timers_count++] = timer;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint32_t delay_ms, uint32_t repeat_ms)
{
    ASSERT(timer);
    timer->at_ms = timer->loop->now_ms + delay_ms;
    timer->repeat_ms = repeat_ms;
}

void loop_timer_stop(struct loop_timer *timer)
{
    ASSERT(timer);
    timer->at_ms = 0;
}

void loop_timer_close(struct loop_timer *timer)
{
    if (!timer)
        return;
    struct loop *loop = timer->loop;
    for (int i = 0; i < loop->timers_count; i++)
        if (loop->timers[i] == timer)
            loop->timers[i] = loop->timers[--loop->timers_count];
    free(timer);
}

static struct loop_timer *next_due(struct loop *loop, int64_t until_ms)
{
    struct loop_timer *next = NULL;

    for (int i = 0; i < loop->timers_count; i++) {
        struct loop_timer *timer = loop->timers[i];
        if (timer->at_ms > 0 && timer->at_ms <= until_ms && (!next || timer->at_ms < next->at_ms))
            next = timer;
    }
    return next;
}

void net_fake_pass(struct loop *loop, int64_t ms)
{
    int64_t until_ms = loop->now_ms + ms;
    struct loop_timer *timer;

    while ((timer = next_due(loop, until_ms))) {
        if (timer->at_ms > loop->now_ms)
            loop->now_ms = timer->at_ms;
        timer->at_ms = timer->repeat_ms > 0 ? loop->now_ms + timer->repeat_ms : 0;
        timer->run(timer->subject);
        net_fake_turn(loop);
    }
    loop->now_ms = until_ms;
}

/* ---- connections, as their owner sees them ---- */

static struct net_connection *connection_new(struct loop *loop, size_t room_bytes)
{
    struct net_connection *connection = calloc(1, sizeof *connection + room_bytes);
    ASSERT(connection);
    connection->loop = loop;
    connection->takes = SIZE_MAX;
    return connection;
}

err net_listen(struct arena *arena, struct loop *loop, str address, const char *setting,
               size_t room_bytes, net_accepted *accepted, void *subject, struct net_listener **out)
{
    (void)arena, (void)address, (void)setting;
    ASSERT(!loop->listener);
    struct net_listener *listener = calloc(1, sizeof *listener);
    ASSERT(listener);
    *listener = (struct net_listener){
        .loop = loop, .accepted = accepted, .subject = subject, .room_bytes = room_bytes
    };
    loop->listener = listener;
    *out = listener;
    return OK;
}

void net_listener_use_tls(struct net_listener *listener, struct tls_context *context)
{
    (void)listener, (void)context;
}

int net_listener_port(const struct net_listener *listener)
{
    (void)listener;
    return 1;
}

void net_listener_close(struct net_listener *listener)
{
    if (!listener)
        return;
    listener->loop->listener = NULL;
    free(listener);
}

void *net_room(struct net_connection *connection) { return connection->room; }

void net_own(struct net_connection *connection, const struct net_events *events, void *subject)
{
    ASSERT(!connection->events && events);
    connection->events = events;
    connection->subject = subject;
    connection->reading = true;
}

void net_pause(struct net_connection *connection)
{
    ASSERT(connection->events);
    connection->reading = false;
}

void net_resume(struct net_connection *connection)
{
    ASSERT(connection->events);
    connection->reading = !connection->ended;
}

static void tell(struct net_connection *connection, str bytes)
{
    size_t need = connection->told_len + bytes.len;

    ASSERT(need < TOLD_BYTES_MAX);
    if (need > connection->told_cap) {
        connection->told_cap = 2 * need;
        connection->told = realloc(connection->told, connection->told_cap);
        ASSERT(connection->told);
    }
    if (bytes.len > 0)
        memcpy(connection->told + connection->told_len, bytes.ptr, bytes.len);
    connection->told_len = need;
}

enum net_written net_write(struct net_connection *connection, str head, str body)
{
    ASSERT(connection->events && !connection->waiting && head.len > 0 && !connection->shut);

    str first = str_slice(head, 0, connection->takes);
    str second =
        first.len == head.len ? str_slice(body, 0, connection->takes - first.len) : STR("");
    tell(connection, first);
    tell(connection, second);
    connection->waits[0] = str_slice(head, first.len, SIZE_MAX);
    connection->waits[1] = str_slice(body, second.len, SIZE_MAX);
    connection->waiting = connection->waits[0].len + connection->waits[1].len > 0;
    return connection->waiting ? NET_WAITING : NET_WRITTEN;
}

void net_shutdown(struct net_connection *connection)
{
    ASSERT(connection->events && !connection->waiting);
    connection->shut = true;
}

static void release(struct net_connection *connection)
{
    if (!connection->closed || !connection->dropped)
        return;
    free(connection->told);
    free(connection);
}

void net_close(struct net_connection *connection)
{
    ASSERT(!connection->closed);
    connection->events = NULL;
    connection->closed = true;
    connection->reading = false;
    release(connection);
}

str net_peer(const struct net_connection *connection)
{
    (void)connection;
    return STR("192.0.2.7");
}

bool net_is_unix(const struct net_connection *connection)
{
    (void)connection;
    return false;
}

bool net_is_tls(const struct net_connection *connection)
{
    (void)connection;
    return false;
}

str net_protocol(const struct net_connection *connection)
{
    (void)connection;
    return STR_NONE;
}

const char *net_failure(const struct net_connection *connection)
{
    (void)connection;
    return "";
}

bool net_address_read(str host, uint16_t port, struct net_address *out)
{
    (void)snprintf(out->text, sizeof out->text, "%" STR_F, STR_A(host));
    out->port = port;
    return true;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    return a->port == b->port && strcmp(a->text, b->text) == 0;
}

str net_address_text(struct arena *arena, const struct net_address *address)
{
    return str_format(arena, "%s:%d", address->text, address->port);
}

struct net_connection *net_connect(struct loop *loop, const struct net_address *address,
                                   struct tls_context *tls, str name, size_t room_bytes,
                                   const struct net_events *events, void *subject,
                                   const char **failure)
{
    (void)address, (void)tls, (void)name, (void)failure;
    struct net_connection *connection = connection_new(loop, room_bytes);
    connection->events = events;
    connection->subject = subject ? subject : connection->room;
    connection->reading = true;
    ASSERT(connects_count < CONNECTS_MAX);
    connects[connects_count++] = connection;
    return connection;
}

/* ---- the other side ---- */

struct net_connection *net_fake_accept(struct loop *loop)
{
    struct net_listener *listener = loop->listener;
    ASSERT(listener);
    struct net_connection *connection = connection_new(loop, listener->room_bytes);
    listener->accepted(listener->subject, connection);
    return connection;
}

struct net_connection *net_fake_connected(int index)
{
    return index < connects_count ? connects[index] : NULL;
}

size_t net_fake_send(struct net_connection *connection, str bytes)
{
    if (!connection->events || !connection->reading || connection->ended || bytes.len == 0)
        return 0;

    /* As large as its bytes, and gone when the owner returns. */
    char *lent = malloc(bytes.len);
    ASSERT(lent);
    memcpy(lent, bytes.ptr, bytes.len);
    connection->events->bytes(connection->subject, lent, bytes.len);
    free(lent);
    return bytes.len;
}

void net_fake_open(struct net_connection *connection)
{
    if (connection->events && connection->events->opened)
        connection->events->opened(connection->subject);
}

bool net_fake_end(struct net_connection *connection, bool broken)
{
    if (!connection->events || connection->ended || (!broken && !connection->reading))
        return false;
    connection->ended = true;
    connection->reading = false;
    connection->events->ended(connection->subject, broken);
    return true;
}

void net_fake_takes(struct net_connection *connection, size_t bytes) { connection->takes = bytes; }

void net_fake_read(struct net_connection *connection, bool whole)
{
    if (!connection->events || !connection->waiting)
        return;
    if (whole) {
        tell(connection, connection->waits[0]);
        tell(connection, connection->waits[1]);
    }
    connection->waiting = false;
    connection->events->written(connection->subject, whole);
}

str net_fake_told(struct net_connection *connection)
{
    return str_of(connection->told ? connection->told : "", connection->told_len);
}

void net_fake_forget(struct net_connection *connection) { connection->told_len = 0; }

bool net_fake_is_closed(const struct net_connection *connection) { return connection->closed; }

void net_fake_drop(struct net_connection *connection)
{
    for (int i = 0; i < connects_count; i++)
        if (connects[i] == connection)
            connects[i] = connects[--connects_count];
    connection->dropped = true;
    release(connection);
}

bool net_is_left(const struct net_connection *connection)
{
    (void)connection;
    return false;
}

void net_listener_limit(struct net_listener *listener, int count)
{
    (void)listener;
    (void)count;
}
