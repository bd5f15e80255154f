#include "apps/watch.h"

#include "base/arena.h"
#include "os/disk.h"

enum { FILES_MAX = 16, LOOK_BYTES_MAX = 128 * 1024 };

struct watch {
    struct arena *memory; /* holds this struct */
    struct loop_timer *timer;
    void (*changed)(void *subject);
    void *subject;
    str paths[FILES_MAX];
    int64_t seen[FILES_MAX];
    int count;
    bool moved; /* they had changed at the last look */
};

static const enum setting settings[] = {
    CONF_ROUTES_FILE,           CONF_TLS_CERT_FILE,        CONF_TLS_KEY_FILE,
    CONF_TLS_CLIENT_CA_FILE,    CONF_UPSTREAM_TLS_CA_FILE, CONF_UPSTREAM_TLS_CERT_FILE,
    CONF_UPSTREAM_TLS_KEY_FILE,
};

/* Notes when each was changed last; tells whether any of that is new. */
static bool look(struct watch *self)
{
    struct arena *arena = arena_open(LOOK_BYTES_MAX);
    bool is_new = false;

    for (int i = 0; i < self->count; i++) {
        int64_t at = disk_changed_us(arena, self->paths[i]);
        is_new = is_new || at != self->seen[i];
        self->seen[i] = at;
    }
    arena_close(arena);
    return is_new;
}

/* Of a certificate and its key one may be written before the other: they are read when nothing has
 * moved since the last look. */
static void on_tick(void *subject)
{
    struct watch *self = subject;
    bool is_new = look(self);

    if (!is_new && self->moved)
        self->changed(self->subject);
    self->moved = is_new;
}

static void add(struct watch *self, str path)
{
    ASSERT(self->count < FILES_MAX);
    if (path.len > 0)
        self->paths[self->count++] = str_copy(self->memory, path);
}

struct watch *watch_start(struct loop *loop, const struct conf *conf,
                          void (*changed)(void *subject), void *subject)
{
    ASSERT(loop && conf && changed);

    uint32_t interval_ms = (uint32_t)conf_int(conf, CONF_RELOAD_INTERVAL);
    if (interval_ms == 0)
        return NULL;

    struct arena *memory = arena_open(LOOK_BYTES_MAX);
    struct watch *self = arena_new(memory, struct watch);
    self->memory = memory;
    self->changed = changed;
    self->subject = subject;
    add(self, conf_path(conf));
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        add(self, conf_text(conf, settings[i]));
    (void)look(self);
    self->timer = loop_timer_open(loop, on_tick, self);
    loop_timer_start(self->timer, interval_ms, interval_ms);
    return self;
}

void watch_end(struct watch *watch)
{
    if (!watch)
        return;
    loop_timer_close(watch->timer);
    arena_close(watch->memory);
}
