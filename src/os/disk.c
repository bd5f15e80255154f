/* Files by system calls. Each public function first asks the arena for all it needs, then makes the
 * calls, and makes its error at last, with every descriptor closed. */
#include "os/disk.h"

#include "base/arena.h"
#include "base/time.h"
#include "os/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DISK_READ_BYTES_MIN = 4096, /* room for files whose size says 0, as in /proc */
    DISK_FD_PATIENCE_MS = 100,  /* how long a full pipe may hold up a line of the log */
    DISK_LOCK_BYTES_MAX = 32
};

/* What went wrong below: which step, and its errno. No step: nothing did. */
struct trouble {
    const char *step;
    int number;
};

static const struct trouble no_trouble = { NULL, 0 };

static struct trouble trouble_at(const char *step) { return (struct trouble){ step, errno }; }

static err fail_path(struct arena *arena, struct trouble trouble, str path)
{
    return fail(arena, OS_FAILED, "cannot %s %" STR_F ": %s", trouble.step, STR_A(path),
                strerror(trouble.number));
}

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Keeps errno, so that it can stand between a step that failed and its trouble. */
static void close_fd(int fd)
{
    int number = errno;
    (void)close(fd);
    errno = number;
}

/* Reads until the end or until `room` is full. */
static struct trouble read_up_to(const char *path, char *out, size_t room, size_t *len)
{
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return trouble_at("open");

    size_t done = 0;
    while (done < room) {
        ssize_t got = read(fd, out + done, room - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            struct trouble trouble = trouble_at("read");
            close_fd(fd);
            return trouble;
        }
        if (got == 0)
            break;
        done += (size_t)got;
    }
    close_fd(fd);
    *len = done;
    return no_trouble;
}

err disk_read(struct arena *arena, str path, size_t bytes_max, str *out)
{
    ASSERT(arena && path.ptr && out);
    ASSERT(bytes_max > 0 && bytes_max < SIZE_MAX / 4);

    const char *z = str_z(arena, path);
    struct stat info;
    if (stat(z, &info) < 0)
        return fail_path(arena, trouble_at("open"), path);

    /* One byte more than we expect shows whether there is more: then it has grown since, or never
     * told its size; again with twice the room. */
    size_t room = info.st_size > 0 ? (size_t)info.st_size + 1 : DISK_READ_BYTES_MIN;
    for (;; room *= 2) {
        if (room > bytes_max + 1)
            room = bytes_max + 1;
        char *bytes = arena_array(arena, char, room);
        size_t len = 0;
        struct trouble trouble = read_up_to(z, bytes, room, &len);
        if (trouble.step)
            return fail_path(arena, trouble, path);
        if (len > bytes_max)
            return fail(arena, OS_FAILED, "%" STR_F " is longer than %zu bytes", STR_A(path),
                        bytes_max);
        if (len < room) {
            *out = str_of(bytes, len);
            return OK;
        }
    }
}

/* The directory that a path lies in. */
static str parent_of(str path)
{
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    while (path.len > 0 && path.ptr[path.len - 1] != '/')
        path.len--;
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path.len > 0 ? path : STR(".");
}

/* Makes what was created, renamed or removed in a directory last. */
static struct trouble sync_dir(const char *path)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return trouble_at("open the directory of");

    struct trouble trouble = fsync(fd) < 0 ? trouble_at("sync the directory of") : no_trouble;
    close_fd(fd);
    return trouble;
}

static bool write_all(int fd, str bytes)
{
    while (bytes.len > 0) {
        ssize_t done = write(fd, bytes.ptr, bytes.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        bytes = str_slice(bytes, (size_t)done, bytes.len);
    }
    return true;
}

static struct trouble write_new(const char *path, str bytes, mode_t mode)
{
    int fd = open_retry(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return trouble_at("make a file beside");

    struct trouble trouble = no_trouble;
    if (!write_all(fd, bytes))
        trouble = trouble_at("write");
    else if (fchmod(fd, mode) < 0)
        trouble = trouble_at("set the mode of");
    else if (fsync(fd) < 0)
        trouble = trouble_at("sync");

    if (close(fd) < 0 && !trouble.step)
        trouble = trouble_at("close");
    if (trouble.step)
        (void)unlink(path);
    return trouble;
}

err disk_write(struct arena *arena, str path, str bytes, unsigned mode)
{
    ASSERT(arena && path.ptr && path.len > 0 && path.ptr[path.len - 1] != '/');
    ASSERT((mode & ~07777U) == 0);

    str dir = parent_of(path);
    str name = path;
    for (ptrdiff_t slash; (slash = str_find_byte(name, '/')) >= 0;)
        name = str_slice(name, (size_t)slash + 1, name.len);
    const char *dir_z = str_z(arena, dir), *path_z = str_z(arena, path);
    const char *beside =
        str_z(arena, str_format(arena, "%" STR_F "/.%" STR_F ".%08x.tmp", STR_A(dir), STR_A(name),
                                (unsigned)(random_u64() >> 32)));

    struct trouble trouble = write_new(beside, bytes, (mode_t)mode);
    if (!trouble.step && rename(beside, path_z) < 0) {
        trouble = trouble_at("rename over");
        (void)unlink(beside);
    }
    if (!trouble.step)
        trouble = sync_dir(dir_z);
    return trouble.step ? fail_path(arena, trouble, path) : OK;
}

static err make_dir(struct arena *arena, str path)
{
    const char *z = str_z(arena, path), *parent = str_z(arena, parent_of(path));

    if (mkdir(z, 0700) == 0) {
        struct trouble trouble = sync_dir(parent);
        return trouble.step ? fail_path(arena, trouble, path) : OK;
    }
    struct trouble trouble = trouble_at("make the directory");
    struct stat info;
    if (stat(z, &info) == 0) { /* whatever mkdir said: on a read-only mount it is not EEXIST */
        if (S_ISDIR(info.st_mode))
            return OK;
        trouble.number = ENOTDIR;
    }
    return fail_path(arena, trouble, path);
}

err disk_make_dirs(struct arena *arena, str path)
{
    ASSERT(arena && path.ptr && path.len > 0);

    for (size_t i = 1; i < path.len; i++) {
        if (path.ptr[i] == '/' && path.ptr[i - 1] != '/')
            TRY(make_dir(arena, str_slice(path, 0, i)));
    }
    return make_dir(arena, path);
}

bool disk_exists(struct arena *arena, str path)
{
    ASSERT(arena && path.ptr);
    struct stat info;
    return stat(str_z(arena, path), &info) == 0;
}

str disk_real(struct arena *arena, str path)
{
    ASSERT(arena);
    char real[PATH_MAX];

    if (path.len == 0 || !realpath(str_z(arena, path), real))
        return path;
    return str_copy(arena, str_of_z(real));
}

err disk_remove(struct arena *arena, str path)
{
    ASSERT(arena && path.ptr && path.len > 0);
    const char *z = str_z(arena, path), *dir = str_z(arena, parent_of(path));

    if (unlink(z) < 0)
        return errno == ENOENT ? OK : fail_path(arena, trouble_at("remove"), path);

    struct trouble trouble = sync_dir(dir);
    return trouble.step ? fail_path(arena, trouble, path) : OK;
}

/* The names of a directory: how many, how many bytes with their NULs, and, where there is room for
 * them, the names. */
struct names {
    char *bytes;
    size_t bytes_room;
    size_t bytes_len, count;
};

static struct trouble read_names(const char *path, struct names *names)
{
    DIR *dir = opendir(path);
    if (!dir)
        return trouble_at("open the directory");

    names->bytes_len = names->count = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        size_t bytes = strlen(entry->d_name) + 1;
        if (names->bytes_len + bytes <= names->bytes_room)
            memcpy(names->bytes + names->bytes_len, entry->d_name, bytes);
        names->bytes_len += bytes;
        names->count++;
    }
    struct trouble trouble = errno != 0 ? trouble_at("read the directory") : no_trouble;
    (void)closedir(dir);
    return trouble;
}

static int name_compare(const void *a, const void *b)
{
    return str_compare(*(const str *)a, *(const str *)b);
}

err disk_list(struct arena *arena, str path, str **names, size_t *count)
{
    ASSERT(arena && path.ptr && names && count);

    const char *z = str_z(arena, path);
    struct names found = { .bytes_room = 0 };
    for (;;) { /* first to see how much it is; again when it has grown in between */
        struct trouble trouble = read_names(z, &found);
        if (trouble.step)
            return fail_path(arena, trouble, path);
        if (found.bytes_len <= found.bytes_room)
            break;
        found.bytes_room = found.bytes_len;
        found.bytes = arena_array(arena, char, found.bytes_room);
    }

    str *sorted = arena_array(arena, str, found.count);
    size_t at = 0;
    for (size_t i = 0; i < found.count; i++) {
        sorted[i] = str_of_z(found.bytes + at);
        at += sorted[i].len + 1;
    }
    ASSERT(at == found.bytes_len);
    if (found.count > 1)
        qsort(sorted, found.count, sizeof(*sorted), &name_compare);
    *names = sorted;
    *count = found.count;
    return OK;
}

struct disk_lock {
    int fd;
};

/* Takes the lock of an open file and writes our pid into it. If another has the lock, gives
 * EWOULDBLOCK and what the file says about its holder. */
static struct trouble lock_file(int fd, char said[DISK_LOCK_BYTES_MAX])
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        struct trouble trouble = trouble_at("lock");
        ssize_t got = pread(fd, said, DISK_LOCK_BYTES_MAX - 1, 0);
        said[got > 0 ? got : 0] = '\0';
        return trouble;
    }
    int len = snprintf(said, DISK_LOCK_BYTES_MAX, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, said, (size_t)len, 0) != len)
        return trouble_at("write");
    return no_trouble;
}

err disk_lock_take(struct arena *arena, str path, struct disk_lock **out)
{
    ASSERT(arena && path.ptr && path.len > 0 && out);

    const char *z = str_z(arena, path);
    int fd = open_retry(z, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return fail_path(arena, trouble_at("open"), path);

    char said[DISK_LOCK_BYTES_MAX];
    struct trouble trouble = lock_file(fd, said);
    if (trouble.step) {
        close_fd(fd);
        if (trouble.number != EWOULDBLOCK)
            return fail_path(arena, trouble, path);
        int64_t pid; /* not there yet if the holder is just starting */
        if (!str_to_int64(str_trim(str_of_z(said)), 1, INT32_MAX, &pid))
            return fail(arena, DB_LOCKED, "another process holds %" STR_F, STR_A(path));
        return fail(arena, DB_LOCKED, "process %ld holds %" STR_F, (long)pid, STR_A(path));
    }

    struct disk_lock *lock = malloc(sizeof(*lock));
    ASSERT(lock);
    lock->fd = fd;
    *out = lock;
    return OK;
}

void disk_lock_drop(struct disk_lock *lock)
{
    if (!lock)
        return;
    ASSERT(lock->fd >= 0);
    /* The last descriptor of the open file frees the lock; nobody else has one. */
    (void)close(lock->fd);
    free(lock);
}

int64_t disk_changed_us(struct arena *arena, str path)
{
    ASSERT(arena && path.ptr);
    struct stat info;
    if (stat(str_z(arena, path), &info) < 0)
        return 0;
    return (int64_t)info.st_mtim.tv_sec * TIME_SECOND + info.st_mtim.tv_nsec / 1000;
}

void disk_write_fd(int fd, str bytes)
{
    ASSERT(fd >= 0);
    while (bytes.len > 0) {
        ssize_t done = write(fd, bytes.ptr, bytes.len);
        if (done >= 0) {
            bytes = str_slice(bytes, (size_t)done, bytes.len);
            continue;
        }
        if (errno == EINTR)
            continue;
        struct pollfd writable = { .fd = fd, .events = POLLOUT };
        if (errno != EAGAIN || poll(&writable, 1, DISK_FD_PATIENCE_MS) != 1)
            return;
    }
}
