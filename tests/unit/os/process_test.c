#include "os/clock.h"
#include "os/process.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TEST(process_memory_grows_with_what_is_touched)
{
    enum { BYTES = 32 * 1024 * 1024 };
    int64_t before = process_resident_bytes();
    CHECK(before > 100 * 1024);

    volatile char *bytes = arena_alloc(t->arena, BYTES, 16);
    for (size_t i = 0; i < BYTES; i += 1024)
        bytes[i] = 1;
    CHECK(process_resident_bytes() >= before + BYTES / 2);
}

TEST(process_cpu_time_grows_with_work)
{
    int64_t before = process_cpu_us(), until = clock_mono_us() + 5000000;
    volatile unsigned work = 0;
    while (process_cpu_us() < before + 20000) {
        for (int i = 0; i < 10000; i++)
            work += 1;
        CHECK(clock_mono_us() < until + 60000000);
    }
    CHECK(process_cpu_us() > before);
}

TEST(process_started_before_now_and_not_long_ago)
{
    time_us started = process_started_at();
    CHECK(started <= clock_wall_us());
    CHECK(started > clock_wall_us() - 3600 * TIME_SECOND);
    CHECK_INT(process_started_at(), started);
}

TEST(process_id_is_ours) { CHECK_INT(process_id(), getpid()); }

TEST(process_on_terminal_tells_a_pipe_from_one)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(!process_on_terminal(ends[1]));
    close(ends[0]);
    close(ends[1]);
    CHECK(!process_on_terminal(-1));

    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0)
        SKIP("no pseudo-terminals here");
    CHECK(process_on_terminal(terminal));
    close(terminal);
}

TEST(process_raise_files_goes_up_to_what_is_allowed_and_never_down)
{
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit low = { .rlim_cur = 64, .rlim_max = before.rlim_max };
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);

    CHECK_INT(process_raise_files(32), 64);
    CHECK_INT(process_raise_files(100), 100);
    if (before.rlim_max < (rlim_t)1 << 40)
        CHECK_INT(process_raise_files((int64_t)1 << 40), before.rlim_max);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* ---- the service manager ---- */

static int manager_listen(str name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, name.ptr, name.len);
    if (name.ptr[0] == '@')
        address.sun_path[0] = '\0';
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.len)) == 0);
    return fd;
}

static str heard(struct test *t, int fd)
{
    char *room = arena_alloc(t->arena, 64, 1);
    ssize_t got = recv(fd, room, 64, 0);
    close(fd);
    return str_of(room, got > 0 ? (size_t)got : 0);
}

TEST(process_notify_manager_reaches_a_socket_of_a_path_and_of_an_abstract_name)
{
    str path = str_format(t->arena, "/tmp/duka-test-manager-%d", (int)getpid());
    str name = str_format(t->arena, "@duka-test-manager-%d", (int)getpid());
    int by_path = manager_listen(path);
    int by_name = manager_listen(name);
    process_notify_manager(path, STR("READY=1"));
    process_notify_manager(name, STR("STOPPING=1"));
    CHECK_STR(heard(t, by_path), "READY=1");
    CHECK_STR(heard(t, by_name), "STOPPING=1");
    unlink(str_z(t->arena, path));
}

TEST(process_notify_manager_is_silent_where_nobody_listens)
{
    char long_path[300] = "/";
    memset(long_path + 1, 'x', sizeof long_path - 2);
    const char *names[] = { "", "/", "relative", "/tmp/duka-nobody-is-here", long_path };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        process_notify_manager(str_of_z(names[i]), STR("READY=1"));
}
