#include "chassis/hashing.h"

#include "base/arena.h"
#include "os/clock.h"
#include "os/spare.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <sched.h>

static const uint8_t SALT[16] = "0123456789abcdef";

/* A hash from here and one from there are the same, and each is told from another's. */
static void check_all(struct test *t, struct spare *spare)
{
    str phc, plain;
    CHECK_OK(hashing_hash(spare, t->arena, STR("correct horse battery"), SALT, &phc));
    CHECK_OK(password_hash(t->arena, STR("correct horse battery"), SALT, &plain));
    CHECK(str_equal(phc, plain));
    CHECK(hashing_verify(spare, phc, STR("correct horse battery")));
    CHECK(!hashing_verify(spare, phc, STR("correct horse")));
    CHECK(!hashing_verify(spare, phc, STR("")));
    CHECK(!hashing_verify(spare, STR("no hash"), STR("correct horse battery")));
    CHECK(!hashing_verify(spare, STR_NONE, STR_NONE));
}

TEST(the_same_in_spare_time_and_here)
{
    check_all(t, NULL);
    struct spare *spare = spare_open("hash", 1);
    check_all(t, spare);
    spare_close(spare);
}

TEST(a_password_or_hash_of_any_length_is_judged)
{
    struct spare *spare = spare_open("hash", 1);
    char *longest = arena_array(t->arena, char, 4000);
    for (int i = 0; i < 4000; i++)
        longest[i] = 'a';
    str phc;
    CHECK_OK(hashing_hash(spare, t->arena, str_of(longest, 4000), SALT, &phc));
    CHECK(hashing_verify(spare, phc, str_of(longest, 4000)));
    CHECK(!hashing_verify(spare, phc, str_of(longest, 3999)));
    CHECK(!hashing_verify(spare, str_of(longest, 4000), STR("a")));
    spare_close(spare);
}

static void hold(void *subject)
{
    int **gate = subject;
    while (sched_getscheduler(0) == SCHED_IDLE && !__atomic_load_n(*gate, __ATOMIC_ACQUIRE))
        sleep_until(clock_mono_us() + 1000);
}

TEST(without_spare_time_it_is_done_here)
{
    int open = 0, *gate = &open;
    struct spare *spare = spare_open("hash", 1);
    spare_run(spare, hold, &gate, sizeof gate, 1000); /* its thread has something that lasts */
    CHECK_INT(spare_late_count(spare), 1);
    check_all(t, spare);
    __atomic_store_n(&open, 1, __ATOMIC_RELEASE);
    spare_close(spare);
}
