/* Faults planted on purpose for the sanitizers: one test for each, run by itself. scripts/test
 * expects that the build's sanitizer names it and that the program ends badly, so that a build
 * whose sanitizer is off, or whose faults no longer count, is noticed. */
#include "tests/lib/test.h"
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

TEST(overflows)
{
    volatile int most = INT_MAX;
    printf("%d\n", most + 1);
}

TEST(reads_what_was_freed)
{
    char *volatile bytes = malloc(8);
    CHECK(bytes);
    bytes[0] = 'a';
    free(bytes);
    printf("%c\n", bytes[0]);
}

static int shared;

static void *count(void *unused)
{
    shared++;
    return unused;
}

TEST(races)
{
    pthread_t one, other;
    CHECK(pthread_create(&one, NULL, count, NULL) == 0);
    CHECK(pthread_create(&other, NULL, count, NULL) == 0);
    CHECK(pthread_join(one, NULL) == 0 && pthread_join(other, NULL) == 0);
    printf("%d\n", shared);
}
