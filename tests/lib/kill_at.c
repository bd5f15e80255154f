/* Ends the program that it is loaded into (LD_PRELOAD) by kill -9 at a chosen system call: the k-th
 * of a kind, before it is made or after it, counted over all threads from the moment on at which it
 * was armed. A test arms it and reads the count in a file that both map (KILL_AT_FILE). */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, WRITE, SYNC, SEND, RENAME };

struct order {
    _Atomic int kind;  /* NONE: nothing happens and nothing is counted */
    _Atomic int at;    /* 0: only counts */
    _Atomic int after; /* the call is made first */
    _Atomic int count;
};

static struct order nobody, *order = &nobody;

__attribute__((constructor)) static void map_order(void)
{
    const char *path = getenv("KILL_AT_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *found = fd < 0
                      ? MAP_FAILED
                      : mmap(NULL, sizeof(struct order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (found != MAP_FAILED)
        order = found;
}

static void end(void)
{
    (void)syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), SIGKILL);
    for (;;)
        (void)pause();
}

/* The call has been made. */
static long then(int last, long answer)
{
    if (last)
        end();
    return answer;
}

/* True where the call is to be made and then to be the last. */
static int comes(enum kind kind)
{
    if (atomic_load(&order->kind) != (int)kind)
        return 0;
    int at = atomic_load(&order->at);
    if (atomic_fetch_add(&order->count, 1) + 1 != at)
        return 0;
    if (!atomic_load(&order->after))
        end();
    return 1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    int last = comes(WRITE);
    return then(last, syscall(SYS_pwrite64, fd, bytes, len, at));
}

int fdatasync(int fd)
{
    int last = comes(SYNC);
    return (int)then(last, syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    int last = comes(SYNC);
    return (int)then(last, syscall(SYS_fsync, fd));
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    int last = comes(SEND);
    return then(last, syscall(SYS_write, fd, bytes, len));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int last = comes(SEND);
    return then(last, syscall(SYS_writev, fd, parts, count));
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    int last = comes(SEND);
    return then(last, syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int last = comes(SEND);
    return then(last, syscall(SYS_sendmsg, fd, message, flags));
}

int rename(const char *from, const char *to)
{
    int last = comes(RENAME);
    return (int)then(last, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
