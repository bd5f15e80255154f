#include "os/clock.h"
#include "os/process.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <sys/resource.h>

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
