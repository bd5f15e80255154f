#include "os/disk_stream.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk_stream {
    struct arena *arena;
    str path;
    int fd;
};

static err fail_errno(struct arena *arena, const char *step, str path)
{
    return fail(arena, OS_FAILED, "cannot %s %" STR_F ": %s", step, STR_A(path), strerror(errno));
}

static err open_stream(struct arena *arena, str path, int flags, const char *step,
                       struct disk_stream **out)
{
    struct disk_stream *stream = arena_new(arena, struct disk_stream);
    const char *name = str_z(arena, path);

    *stream = (struct disk_stream){ .arena = arena, .path = path };
    do {
        stream->fd = open(name, flags | O_CLOEXEC, 0600);
    } while (stream->fd < 0 && errno == EINTR);
    if (stream->fd < 0)
        return fail_errno(arena, step, path);
    *out = stream;
    return OK;
}

err disk_stream_read(struct arena *arena, str path, struct disk_stream **out)
{
    ASSERT(arena && path.len > 0 && out);
    return open_stream(arena, path, O_RDONLY, "open", out);
}

err disk_stream_write(struct arena *arena, str path, bool replaces, struct disk_stream **out)
{
    ASSERT(arena && path.len > 0 && out);
    return open_stream(arena, path, O_WRONLY | O_CREAT | (replaces ? O_TRUNC : O_EXCL), "make",
                       out);
}

int64_t disk_stream_bytes(const struct disk_stream *stream)
{
    struct stat found;

    ASSERT(stream);
    return fstat(stream->fd, &found) == 0 ? found.st_size : 0;
}

err disk_stream_take(struct disk_stream *stream, char *bytes, size_t room, size_t *len)
{
    ASSERT(stream && bytes && len);

    *len = 0;
    while (*len < room) {
        ssize_t got = read(stream->fd, bytes + *len, room - *len);
        if (got == 0)
            break;
        if (got > 0)
            *len += (size_t)got;
        else if (errno != EINTR)
            return fail_errno(stream->arena, "read", stream->path);
    }
    return OK;
}

err disk_stream_put(struct disk_stream *stream, str bytes)
{
    ASSERT(stream);

    while (bytes.len > 0) {
        ssize_t put = write(stream->fd, bytes.ptr, bytes.len);
        if (put >= 0)
            bytes = str_slice(bytes, (size_t)put, bytes.len);
        else if (errno != EINTR)
            return fail_errno(stream->arena, "write", stream->path);
    }
    return OK;
}

err disk_stream_sync(struct disk_stream *stream)
{
    ASSERT(stream);
    return fsync(stream->fd) == 0 ? OK : fail_errno(stream->arena, "sync", stream->path);
}

void disk_stream_close(struct disk_stream *stream)
{
    if (stream)
        (void)close(stream->fd);
}

err disk_rename(struct arena *arena, str from, str to)
{
    ASSERT(arena && from.len > 0 && to.len > 0);

    size_t end = to.len;
    while (end > 0 && to.ptr[end - 1] != '/')
        end--;
    str folder = end > 1 ? str_slice(to, 0, end - 1) : end == 1 ? STR("/") : STR(".");
    const char *old_name = str_z(arena, from), *new_name = str_z(arena, to);
    const char *folder_name = str_z(arena, folder);
    if (rename(old_name, new_name) != 0)
        return fail_errno(arena, "rename", from);
    int fd = open(folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(arena, "open", folder);
    err error = fsync(fd) == 0 ? OK : fail_errno(arena, "sync", folder);
    (void)close(fd);
    return error;
}

int64_t disk_bytes(struct arena *arena, str path)
{
    struct stat found;

    ASSERT(arena);
    return stat(str_z(arena, path), &found) == 0 ? found.st_size : 0;
}
