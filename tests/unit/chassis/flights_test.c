#include "chassis/flights.h"

#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <string.h>

static struct flight flight_of(const char *call)
{
    return (struct flight){ .call = call,
                            .trace_id = "0af7651916cd43dd8448eb211c80319c",
                            .state = "queued",
                            .since_us = clock_mono_us() };
}

TEST(flights_are_listed_the_oldest_first_and_leave_in_any_order)
{
    struct flights flights;
    struct flight_seen seen[4];
    int count;
    flights_init(&flights, 0);
    struct flight a = flight_of("a"), b = flight_of("b"), c = flight_of("c");
    flights_add(&flights, &a);
    flights_add(&flights, &b);
    flights_add(&flights, &c);
    flight_is(&b, "running");
    CHECK_INT(flights_list(&flights, seen, 2, &count), 3);
    CHECK_INT(count, 2);
    CHECK_STR(str_of_z(seen[0].call), "a");
    CHECK_STR(str_of_z(seen[1].call), "b");
    CHECK_STR(str_of_z(seen[1].state), "running");
    CHECK_STR(str_of_z(seen[1].trace_id), "0af7651916cd43dd8448eb211c80319c");

    flights_drop(&flights, &b, STR("ok"));
    CHECK_INT(flights_list(&flights, seen, 4, &count), 2);
    CHECK_STR(str_of_z(seen[1].call), "c");
    flights_drop(&flights, &b, STR("ok")); /* once more is nothing */
    CHECK_INT(flights_list(&flights, seen, 4, &count), 2);
    flights_drop(&flights, &a, STR("ok"));
    flights_drop(&flights, &c, STR("ok"));
    CHECK_INT(flights_list(&flights, seen, 4, &count), 0);
    CHECK_INT(count, 0);
}

TEST(flights_keep_those_that_were_slow_the_newest_first)
{
    struct flights flights;
    struct flight_slow slow[FLIGHTS_SLOW_MAX];
    flights_init(&flights, 1000000);
    struct flight quick = flight_of("quick");
    flights_add(&flights, &quick);
    flights_drop(&flights, &quick, STR("ok"));
    CHECK_INT(flights_list_slow(&flights, slow), 0);

    for (int i = 0; i < FLIGHTS_SLOW_MAX + 3; i++) {
        struct flight late = flight_of(i % 2 ? "odd" : "even");
        late.since_us -= 1000000 + i * 1000;
        flights_add(&flights, &late);
        flights_drop(&flights, &late, STR("call.deadline"));
    }
    CHECK_INT(flights_list_slow(&flights, slow), FLIGHTS_SLOW_MAX);
    CHECK_STR(str_of_z(slow[0].call), "even");
    CHECK_STR(slow[0].outcome, "call.deadline");
    CHECK(slow[0].took_us > slow[1].took_us && slow[0].took_us >= 1034000);
    CHECK(slow[FLIGHTS_SLOW_MAX - 1].took_us < slow[0].took_us);
    CHECK(slow[0].at > 0);
}

TEST(flights_without_a_bound_keep_nothing)
{
    struct flights flights;
    struct flight_slow slow[FLIGHTS_SLOW_MAX];
    flights_init(&flights, 0);
    struct flight late = flight_of("late");
    late.since_us -= 60000000;
    flights_add(&flights, &late);
    flights_drop(&flights, &late, STR("ok"));
    CHECK_INT(flights_list_slow(&flights, slow), 0);
}

enum { THREADS = 4, TIMES = 2000 };

static void come_and_go(void *subject)
{
    struct flights *flights = subject;
    struct flight_seen seen[THREADS];
    int count;
    for (int i = 0; i < TIMES; i++) {
        struct flight flight = flight_of("many");
        flights_add(flights, &flight);
        flight_is(&flight, "running");
        if (i % 16 == 0)
            (void)flights_list(flights, seen, THREADS, &count);
        flights_drop(flights, &flight, STR("ok"));
    }
}

TEST(flights_of_many_threads_are_listed_while_they_come_and_go)
{
    struct flights flights;
    struct flight_seen seen[1];
    struct thread *threads[THREADS];
    int count;
    flights_init(&flights, 1);
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start("flight", come_and_go, &flights);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK_INT(flights_list(&flights, seen, 1, &count), 0);
}
