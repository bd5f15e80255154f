#include "os/process.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PROC_BYTES_MAX = 1024, STAT_STARTED_FIELD = 22 };

/* A small file of /proc, whole, into the caller's room; empty if it cannot be read. */
static str read_proc(const char *path, char out[PROC_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return STR("");

    ssize_t got;
    do {
        got = read(fd, out, PROC_BYTES_MAX);
    } while (got < 0 && errno == EINTR);
    (void)close(fd);
    return str_of(out, got > 0 ? (size_t)got : 0);
}

/* The number that is the n-th of the words, from 1; 0 where it is not there. */
static int64_t word_number(str words, int n)
{
    int64_t number = 0;
    str word = STR_NONE;

    for (str rest = words; rest.ptr && n > 0; n--)
        word = str_cut(&rest, ' ');
    if (n > 0 || !str_to_int64(str_trim(word), 0, INT64_MAX, &number))
        return 0;
    return number;
}

int64_t process_resident_bytes(void)
{
    char room[PROC_BYTES_MAX];
    return word_number(read_proc("/proc/self/statm", room), 2) * sysconf(_SC_PAGESIZE);
}

int64_t process_cpu_us(void)
{
    struct rusage usage;
    int rc = getrusage(RUSAGE_SELF, &usage);
    ASSERT(rc == 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * TIME_SECOND + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    ASSERT(rc == 0);
    return now.tv_sec * TIME_SECOND + now.tv_nsec / 1000;
}

/* /proc tells it in ticks since boot; the name of the program, in parentheses, may hold anything.
 */
static time_us read_started_at(void)
{
    char room[PROC_BYTES_MAX];
    str stat = read_proc("/proc/self/stat", room);
    ptrdiff_t name_end = -1;

    for (size_t i = 0; i < stat.len; i++)
        if (stat.ptr[i] == ')')
            name_end = (ptrdiff_t)i;
    if (name_end < 0)
        return 0;
    int64_t ticks =
        word_number(str_slice(stat, (size_t)name_end + 2, stat.len), STAT_STARTED_FIELD - 2);
    int64_t up_us = ticks * (TIME_SECOND / sysconf(_SC_CLK_TCK));
    return clock_us(CLOCK_REALTIME) - (clock_us(CLOCK_BOOTTIME) - up_us);
}

time_us process_started_at(void)
{
    static time_us started_at; /* atomic */

    time_us known = __atomic_load_n(&started_at, __ATOMIC_RELAXED);
    if (known == 0) {
        known = read_started_at();
        __atomic_store_n(&started_at, known, __ATOMIC_RELAXED);
    }
    return known;
}

int64_t process_id(void) { return getpid(); }

bool process_on_terminal(int fd) { return isatty(fd) == 1; }

int64_t process_raise_files(int64_t wanted)
{
    struct rlimit limit;
    int rc = getrlimit(RLIMIT_NOFILE, &limit);
    ASSERT(rc == 0 && wanted > 0);

    if (limit.rlim_cur < (rlim_t)wanted) {
        struct rlimit raised = limit;
        raised.rlim_cur = limit.rlim_max < (rlim_t)wanted ? limit.rlim_max : (rlim_t)wanted;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

void process_notify_manager(str socket_name, str state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = socket_name.len;
    if (len < 2 || len >= sizeof address.sun_path ||
        (socket_name.ptr[0] != '/' && socket_name.ptr[0] != '@'))
        return;

    memcpy(address.sun_path, socket_name.ptr, len);
    if (socket_name.ptr[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state.ptr, state.len, MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}
