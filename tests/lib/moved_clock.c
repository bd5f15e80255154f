/* Moves the wall clock of the program that it is loaded into (LD_PRELOAD), and of no other, by the
 * seconds that a file says (MOVED_CLOCK_FILE: an int64), which a test changes while it runs. The
 * monotonic clock stays. (libfaketime 0.9.10 breaks absolute sleeps by the monotonic one.) */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t nothing, *moved = &nothing;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("MOVED_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *found = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, fd, 0);

    if (found != MAP_FAILED)
        moved = found;
}

static int (*real(void))(clockid_t, struct timespec *)
{
    static int (*_Atomic found)(clockid_t, struct timespec *);

    if (!found)
        found = (int (*)(clockid_t, struct timespec *))(uintptr_t)dlsym(RTLD_NEXT, "clock_gettime");
    return found;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int answer = real()(clock, out);

    if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += atomic_load(moved);
    return answer;
}

int gettimeofday(struct timeval *restrict out, void *restrict unused)
{
    struct timespec now;

    (void)unused;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
