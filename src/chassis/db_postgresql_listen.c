#include "chassis/db_postgresql.h"

#include "base/arena.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CHANNEL_BYTES = 80,
    PAYLOAD_BYTES_MAX = 7900, /* the server takes 7 999 */
    UNTOLD_BYTES_MAX = 64 * 1024,
    LISTEN_ARENA_BYTES = 1024 * 1024,
    HERE_US = 10 * 1000 * 1000,
    OTHERS_US = 3 * HERE_US, /* who was not heard of for so long is gone */
    AGAIN_US_MIN = 50 * 1000,
    AGAIN_US_MAX = 5 * 1000 * 1000,
};

struct db_listener {
    struct db_postgresql *owner;
    struct db_connection *connection; /* the thread's */
    struct thread *thread;
    struct arena *arena; /* of one turn */
    void (*heard)(void *subject, str word);
    void *subject;
    char channel[CHANNEL_BYTES], name[UUID_TEXT_LEN + 1];
    int woken; /* an eventfd */

    struct lock lock; /* of what follows */
    char untold[UNTOLD_BYTES_MAX];
    size_t untold_len;
    bool stopping;

    int64_t others_until_us; /* atomic */
    int64_t here_us;         /* when we are to tell again that we are here */
    int64_t again_us;        /* how long to wait before the next try to connect */
};

static void wake(const struct db_listener *self)
{
    uint64_t one = 1;
    while (write(self->woken, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* ---- telling ---- */

/* With the lock held. What finds no room is left out: it is a hint. */
static bool add_word(struct db_listener *self, str word)
{
    if (self->untold_len + word.len + 1 > UNTOLD_BYTES_MAX)
        return false;
    str spaced = str_of(self->untold, self->untold_len);
    for (ptrdiff_t at; (at = str_find(spaced, word)) >= 0;) {
        size_t end = (size_t)at + word.len;
        if (end == spaced.len || spaced.ptr[end] == ' ')
            return false; /* it goes out already */
        spaced = str_slice(spaced, end, spaced.len);
    }
    self->untold[self->untold_len++] = ' ';
    memcpy(self->untold + self->untold_len, word.ptr, word.len);
    self->untold_len += word.len;
    return true;
}

static bool has_others(const struct db_listener *self)
{
    return clock_mono_us() < __atomic_load_n(&self->others_until_us, __ATOMIC_ACQUIRE);
}

static bool is_plain(str word)
{
    for (size_t i = 0; i < word.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789:-", word.ptr[i]))
            return false;
    return word.len > 0 && word.len <= DB_WORD_MAX;
}

void postgresql_tell(struct db *db, str word)
{
    struct db_listener *self = ((struct db_postgresql *)db)->listener;
    ASSERT(is_plain(word));
    if (!self || !has_others(self))
        return;
    lock_take(&self->lock);
    bool is_first = self->untold_len == 0;
    bool is_new = add_word(self, word);
    lock_drop(&self->lock);
    if (is_first && is_new)
        wake(self);
}

/* As many words as go into one payload, each behind a space. With the lock held. */
static str take_words(struct db_listener *self)
{
    size_t room = PAYLOAD_BYTES_MAX - UUID_TEXT_LEN, len = self->untold_len;
    if (len > room) {
        len = room;
        while (self->untold[len] != ' ')
            len--;
    }
    str words = str_copy(self->arena, str_of(self->untold, len));
    memmove(self->untold, self->untold + len, self->untold_len - len);
    self->untold_len -= len;
    return words;
}

/* All that gathered, in as few notifications as it goes into. It travels in a transaction of its
 * own, so that no commit that matters waits in the server's line of those that notify. */
static err tell_gathered(struct db_listener *self)
{
    for (;;) {
        str nothing;
        lock_take(&self->lock);
        str words = take_words(self);
        lock_drop(&self->lock);
        if (words.len == 0)
            return OK;
        str sql = str_format(self->arena, "select pg_notify('%s', '%s%" STR_F "')", self->channel,
                             self->name, STR_A(words));
        TRY(postgresql_ask(self->connection, self->arena, str_z(self->arena, sql), &nothing));
    }
}

static err tell_here(struct db_listener *self)
{
    int64_t now_us = clock_mono_us();
    if (now_us < self->here_us)
        return OK;
    self->here_us = now_us + HERE_US;
    lock_take(&self->lock);
    add_word(self, STR("here"));
    lock_drop(&self->lock);
    return OK;
}

/* ---- hearing ---- */

static void hear(struct db_listener *self, str payload)
{
    str from = str_cut(&payload, ' ');
    if (str_equal(from, str_of_z(self->name)))
        return;
    if (!has_others(self))
        self->here_us = 0; /* one that is new hears at once that we are here */
    __atomic_store_n(&self->others_until_us, clock_mono_us() + OTHERS_US, __ATOMIC_RELEASE);
    while (payload.len > 0) {
        str word = str_cut(&payload, ' ');
        if (!str_equal(word, STR("here")))
            self->heard(self->subject, word);
    }
}

static void hear_all(struct db_listener *self)
{
    PGnotify *notify;
    while (self->connection->handle && (notify = PQnotifies(self->connection->handle))) {
        hear(self, str_of_z(notify->extra));
        PQfreemem(notify);
    }
}

/* ---- the thread ---- */

/* Connected, or again connected: what was told meanwhile is lost. */
static err listen_again(struct db_listener *self)
{
    char sql[CHANNEL_BYTES + 128];
    str nothing;
    if (self->connection->handle && PQstatus(self->connection->handle) == CONNECTION_OK)
        return OK;
    TRY(postgresql_connect(self->connection, self->arena));
    snprintf(sql, sizeof sql,
             "set application_name = 'duka listens'; set synchronous_commit = off; listen %s",
             self->channel);
    TRY(postgresql_ask(self->connection, self->arena, sql, &nothing));
    self->here_us = 0;
    self->heard(self->subject, STR(DB_HINTS_LOST));
    return OK;
}

static err turn(struct db_listener *self)
{
    TRY(listen_again(self));
    if (!PQconsumeInput(self->connection->handle))
        return postgresql_error(self->connection, self->arena, NULL, "listen");
    hear_all(self);
    TRY(tell_here(self));
    TRY(tell_gathered(self));
    hear_all(self); /* what came with the answers */
    return OK;
}

/* Until something comes from the server, is to be told, or the time is up. */
static void rest(struct db_listener *self, int64_t until_us)
{
    int64_t left_us = until_us - clock_mono_us();
    struct pollfd fds[2] = { { .fd = self->woken, .events = POLLIN }, { .fd = -1 } };
    if (self->connection->handle)
        fds[1] = (struct pollfd){ .fd = PQsocket(self->connection->handle), .events = POLLIN };
    poll(fds, 2, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
    uint64_t count;
    if (fds[0].revents && read(self->woken, &count, sizeof count) < 0)
        ASSERT(errno == EINTR || errno == EAGAIN);
}

static bool is_stopping(struct db_listener *self)
{
    lock_take(&self->lock);
    bool stopping = self->stopping;
    lock_drop(&self->lock);
    return stopping;
}

static void run(void *subject)
{
    struct db_listener *self = subject;
    while (!is_stopping(self)) {
        arena_reset(self->arena);
        if (turn(self) == OK) {
            self->again_us = AGAIN_US_MIN;
            rest(self, self->here_us);
            continue;
        }
        postgresql_disconnect(self->connection);
        rest(self, clock_mono_us() + self->again_us);
        self->again_us = 2 * self->again_us < AGAIN_US_MAX ? 2 * self->again_us : AGAIN_US_MAX;
    }
    postgresql_disconnect(self->connection);
}

/* ---- opening and closing ---- */

void postgresql_listen(struct db *db, void (*heard)(void *subject, str word), void *subject)
{
    struct db_postgresql *owner = (struct db_postgresql *)db;
    ASSERT(!owner->listener);
    struct db_listener *self = arena_new(owner->arena, struct db_listener);
    *self = (struct db_listener){ .owner = owner,
                                  .connection = postgresql_connection_new(owner, false),
                                  .arena = arena_open(LISTEN_ARENA_BYTES),
                                  .heard = heard,
                                  .subject = subject,
                                  .woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                  .again_us = AGAIN_US_MIN };
    ASSERT(self->woken >= 0);
    snprintf(self->channel, sizeof self->channel, "duka_%s", db->schema->service);
    snprintf(self->name, sizeof self->name, "%" STR_F,
             STR_A(uuid_text(owner->arena, owner->writer_id)));
    lock_init(&self->lock);
    owner->listener = self;
    self->thread = thread_start("listen", &run, self);
}

void postgresql_unlisten(struct db *db)
{
    struct db_postgresql *owner = (struct db_postgresql *)db;
    struct db_listener *self = owner->listener;
    if (!self)
        return;
    lock_take(&self->lock);
    self->stopping = true;
    lock_drop(&self->lock);
    wake(self);
    thread_join(self->thread);
    owner->listener = NULL;
    close(self->woken);
    lock_done(&self->lock);
    arena_close(self->arena);
}
