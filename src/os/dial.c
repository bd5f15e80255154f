#include "os/dial.h"
#include "base/arena.h"
#include "os/clock.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 4096 };

struct dial {
    struct arena *arena;
    str path;
    int fd;
    int64_t deadline_us;
    int64_t timeout_ms; /* of a step */
    bool is_broken;     /* the other side takes no more */
};

static err fail_errno(const struct dial *self, const char *step)
{
    return fail(self->arena, OS_FAILED, "%s %" STR_F ": %s", step, STR_A(self->path),
                strerror(errno));
}

/* Waits until the socket can be read or written. */
static err wait_for(const struct dial *self, short events)
{
    for (;;) {
        int64_t left_us = self->deadline_us - clock_mono_us();
        struct pollfd one = { .fd = self->fd, .events = events };
        int ready = left_us > 0 ? poll(&one, 1, (int)(left_us / TIME_MS) + 1) : 0;
        if (ready > 0)
            return OK;
        if (ready == 0)
            return fail(self->arena, UPSTREAM_UNAVAILABLE, "%" STR_F " does not answer in time",
                        STR_A(self->path));
        if (errno != EINTR)
            return fail_errno(self, "waiting for");
    }
}

static err send_all(struct dial *self, str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(self->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            bytes = str_slice(bytes, (size_t)sent, bytes.len);
        else if (errno == EAGAIN)
            TRY(wait_for(self, POLLOUT));
        else if (errno == EPIPE || errno == ECONNRESET) {
            self->is_broken = true;
            return OK; /* it answers before it has heard all: what it says is read next */
        } else if (errno != EINTR)
            return fail_errno(self, "writing to");
    }
    return OK;
}

static err read_all(const struct dial *self, size_t bytes_max, str *out)
{
    struct text text = text_init(self->arena, READ_BYTES);
    char piece[READ_BYTES];
    for (;;) {
        ssize_t got = recv(self->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            *out = text_str(&text);
            return OK;
        }
        if (got > 0 && text.len + (size_t)got > bytes_max)
            return fail(self->arena, OS_FAILED, "%" STR_F " answers with more than %zu bytes",
                        STR_A(self->path), bytes_max);
        if (got > 0)
            text_add(&text, str_of(piece, (size_t)got));
        else if (errno == EAGAIN)
            TRY(wait_for(self, POLLIN));
        else if (errno != EINTR)
            return fail_errno(self, "reading from");
    }
}

static err connect_to(const struct dial *self)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (self->path.len >= sizeof address.sun_path)
        return fail(self->arena, OS_FAILED,
                    "%" STR_F ": a socket's path has at most %zu bytes; choose a shorter DATA_DIR",
                    STR_A(self->path), sizeof address.sun_path - 1);
    memcpy(address.sun_path, self->path.ptr, self->path.len);

    if (connect(self->fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return OK;
    if (errno == ENOENT || errno == ENOTDIR)
        return fail(self->arena, UPSTREAM_UNAVAILABLE, "no socket %" STR_F, STR_A(self->path));
    if (errno == ECONNREFUSED)
        return fail(self->arena, UPSTREAM_UNAVAILABLE, "nobody listens at %" STR_F,
                    STR_A(self->path));
    return fail_errno(self, "connecting to");
}

static err exchange(struct dial *self, str bytes, size_t answer_bytes_max, str *answer)
{
    TRY(connect_to(self));
    TRY(send_all(self, bytes));
    return read_all(self, answer_bytes_max, answer);
}

err dial_unix(struct arena *arena, str path, str bytes, size_t answer_bytes_max, int64_t timeout_ms,
              str *answer)
{
    ASSERT(arena && path.len > 0 && answer && timeout_ms > 0);

    struct dial self = { .arena = arena,
                         .path = path,
                         .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         .deadline_us = clock_mono_us() + timeout_ms * TIME_MS };
    if (self.fd < 0)
        return fail_errno(&self, "a socket for");
    err error = exchange(&self, bytes, answer_bytes_max, answer);
    close(self.fd);
    return error;
}

/* ---- step by step ---- */

err dial_open(struct arena *arena, str path, int64_t timeout_ms, struct dial **out)
{
    ASSERT(arena && path.len > 0 && timeout_ms > 0 && out);

    struct dial *self = arena_new(arena, struct dial);
    *self = (struct dial){ .arena = arena,
                           .path = path,
                           .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                           .timeout_ms = timeout_ms };
    if (self->fd < 0)
        return fail_errno(self, "a socket for");
    err error = connect_to(self);
    if (error != OK) {
        close(self->fd);
        return error;
    }
    *out = self;
    return OK;
}

err dial_send(struct dial *dial, str bytes, bool *closed)
{
    ASSERT(dial && closed);

    dial->deadline_us = clock_mono_us() + dial->timeout_ms * TIME_MS;
    dial->is_broken = false;
    err error = send_all(dial, bytes);
    *closed = dial->is_broken;
    return error;
}

err dial_receive(struct dial *dial, char *bytes, size_t room, int64_t wait_ms, size_t *len,
                 bool *waited)
{
    ASSERT(dial && bytes && room > 0 && len && waited);

    int64_t deadline_us = clock_mono_us() + wait_ms * TIME_MS;
    *len = 0;
    *waited = false;
    for (;;) {
        ssize_t got = recv(dial->fd, bytes, room, MSG_DONTWAIT);
        if (got >= 0) {
            *len = (size_t)got;
            return OK;
        }
        if (errno == ECONNRESET)
            return OK;
        if (errno != EAGAIN && errno != EINTR)
            return fail_errno(dial, "reading from");
        int64_t left_us = deadline_us - clock_mono_us();
        struct pollfd one = { .fd = dial->fd, .events = POLLIN };
        *waited = left_us <= 0;
        if (*waited)
            return OK;
        if (poll(&one, 1, (int)(left_us / TIME_MS) + 1) < 0 && errno != EINTR)
            return fail_errno(dial, "waiting for");
    }
}

void dial_close(struct dial *dial)
{
    if (dial)
        close(dial->fd);
}
