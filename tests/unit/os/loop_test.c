#include "os/loop.h"

#include "os/clock.h"
#include "os/net.h"
#include "os/sync.h"
#include "tests/lib/client.h"
#include "tests/lib/test.h"

#include <unistd.h>

enum { THREADS = 4, POSTS = 5000 };

struct counted {
    struct loop_task task;
    struct loop *loop;
    int *order, *next;
    int number;
};

static void note(struct loop_task *task)
{
    struct counted *counted = (struct counted *)task;
    counted->order[(*counted->next)++] = counted->number;
}

TEST(what_one_thread_posts_runs_in_order)
{
    struct loop *loop = loop_open();
    int order[3], next = 0;
    struct counted tasks[3];

    for (int i = 0; i < 3; i++) {
        tasks[i] = (struct counted){ .task.run = note, .order = order, .next = &next, .number = i };
        loop_post(loop, &tasks[i].task);
    }
    loop_stop(loop);
    loop_run(loop);

    CHECK_INT(next, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(order[i], i);
    loop_close(loop);
}

TEST(what_was_posted_and_not_run_runs_at_the_close)
{
    struct loop *loop = loop_open();
    int order[1], next = 0;
    struct counted counted = { .task.run = note, .order = order, .next = &next };

    loop_post(loop, &counted.task);
    loop_close(loop);
    CHECK_INT(next, 1);
}

struct chain {
    struct loop_task task, last;
    struct loop *loop;
    bool has_run;
};

static void end_chain(struct loop_task *task)
{
    ((struct chain *)((char *)task - offsetof(struct chain, last)))->has_run = true;
}

static void post_the_last(struct loop_task *task)
{
    struct chain *chain = (struct chain *)task;
    loop_post(chain->loop, &chain->last);
}

TEST(what_is_posted_at_the_close_runs_too)
{
    struct loop *loop = loop_open();
    struct chain chain = { .task.run = post_the_last, .last.run = end_chain, .loop = loop };

    loop_post(loop, &chain.task);
    loop_close(loop);
    CHECK(chain.has_run);
}

struct poster {
    struct loop *loop;
    struct loop_task tasks[POSTS];
    struct thread *thread;
};
static int posts_run;
static struct loop *posts_loop;

static void count_post(struct loop_task *task)
{
    (void)task;
    ASSERT(loop_is_here(posts_loop));
    if (++posts_run == THREADS * POSTS)
        loop_stop(posts_loop);
}

static void post_all(void *subject)
{
    struct poster *poster = subject;
    for (int i = 0; i < POSTS; i++) {
        poster->tasks[i].run = count_post;
        loop_post(poster->loop, &poster->tasks[i]);
    }
}

TEST(each_post_of_many_threads_runs_once_on_the_loops_thread)
{
    struct loop *loop = loop_open();
    struct poster *posters = arena_array(t->arena, struct poster, THREADS);

    posts_run = 0;
    posts_loop = loop;
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = loop;
        posters[i].thread = thread_start("poster", post_all, &posters[i]);
    }
    loop_run(loop);
    for (int i = 0; i < THREADS; i++)
        thread_join(posters[i].thread);

    CHECK_INT(posts_run, THREADS * POSTS);
    loop_close(loop);
}

static void post_again(struct loop_task *task)
{
    struct counted *counted = (struct counted *)task;
    if (--counted->number > 0)
        loop_post(counted->loop, task);
    else
        loop_stop(counted->loop);
}

TEST(a_task_may_post_itself_again)
{
    struct loop *loop = loop_open();
    struct counted counted = { .task.run = post_again, .loop = loop, .number = 5 };

    loop_post(loop, &counted.task);
    loop_run(loop);
    CHECK_INT(counted.number, 0);
    loop_close(loop);
}

TEST(a_loop_can_be_stopped_twice_and_run_again)
{
    struct loop *loop = loop_open();

    loop_stop(loop);
    loop_stop(loop);
    loop_run(loop);
    loop_stop(loop);
    loop_run(loop);
    loop_close(loop);
}

static void see_here(struct loop_task *task)
{
    struct counted *counted = (struct counted *)task;
    counted->number = loop_is_here(counted->loop);
    loop_stop(counted->loop);
}

TEST(only_the_thread_that_runs_it_is_here)
{
    struct loop *loop = loop_open(), *other = loop_open();
    struct counted counted = { .task.run = see_here, .loop = loop };

    CHECK(!loop_is_here(loop));
    loop_post(loop, &counted.task);
    loop_run(loop);
    CHECK_INT(counted.number, true);
    CHECK(!loop_is_here(loop));
    CHECK(!loop_is_here(other));
    loop_close(loop);
    loop_close(other);
}

/* ---- Timers ---- */

struct ticks {
    struct loop *loop;
    struct loop_timer *timer;
    int count, stop_at;
};

static void tick(void *subject)
{
    struct ticks *ticks = subject;
    if (++ticks->count == ticks->stop_at)
        loop_stop(ticks->loop);
}

TEST(a_timer_runs_once_after_its_delay)
{
    struct loop *loop = loop_open();
    struct ticks ticks = { .loop = loop, .stop_at = 1 };
    struct loop_timer *timer = loop_timer_open(loop, tick, &ticks);
    int64_t began_us = clock_mono_us();

    loop_timer_start(timer, 20, 0);
    loop_run(loop);
    CHECK_INT(ticks.count, 1);
    CHECK(clock_mono_us() - began_us >= 19000);
    loop_timer_close(timer);
    loop_close(loop);
}

TEST(a_timer_repeats_until_it_is_stopped)
{
    struct loop *loop = loop_open();
    struct ticks ticks = { .loop = loop, .stop_at = 3 }, end = { .loop = loop, .stop_at = 1 };
    struct loop_timer *timer = loop_timer_open(loop, tick, &ticks);
    struct loop_timer *end_timer = loop_timer_open(loop, tick, &end);

    loop_timer_start(timer, 1, 1);
    loop_run(loop);
    CHECK_INT(ticks.count, 3);

    loop_timer_stop(timer);
    loop_timer_start(end_timer, 20, 0);
    loop_run(loop);
    CHECK_INT(ticks.count, 3);
    loop_timer_close(timer);
    loop_timer_close(end_timer);
    loop_close(loop);
}

TEST(a_timer_that_is_started_anew_forgets_what_was_set)
{
    struct loop *loop = loop_open();
    struct ticks ticks = { .loop = loop, .stop_at = 1 };
    struct loop_timer *timer = loop_timer_open(loop, tick, &ticks);
    int64_t began_us = clock_mono_us();

    loop_timer_start(timer, 60000, 0);
    loop_timer_start(timer, 5, 0);
    loop_run(loop);
    CHECK_INT(ticks.count, 1);
    CHECK(clock_mono_us() - began_us < 30 * INT64_C(1000000));
    loop_timer_close(timer);
    loop_close(loop);
}

static void close_itself(void *subject)
{
    struct ticks *ticks = subject;
    loop_timer_close(ticks->timer);
    loop_stop(ticks->loop);
}

TEST(a_timer_may_be_closed_while_it_runs)
{
    struct loop *loop = loop_open();
    struct ticks ticks = { .loop = loop };

    ticks.timer = loop_timer_open(loop, close_itself, &ticks);
    loop_timer_start(ticks.timer, 0, 1);
    loop_run(loop);
    loop_timer_close(NULL);
    loop_close(loop);
}

TEST(the_time_of_the_loop_is_monotonic_milliseconds)
{
    struct loop *loop = loop_open();
    int64_t before = loop_now_ms(loop);
    struct ticks ticks = { .loop = loop, .stop_at = 1 };
    struct loop_timer *timer = loop_timer_open(loop, tick, &ticks);

    loop_timer_start(timer, 10, 0);
    loop_run(loop);
    CHECK(loop_now_ms(loop) >= before + 10);
    loop_timer_close(timer);
    loop_close(loop);
}

/* ---- The rest ---- */

TEST(a_signal_is_told_on_the_loop_and_does_nothing_else)
{
    struct loop *loop = loop_open();
    struct ticks hup = { .loop = loop, .stop_at = 2 };

    loop_on_signal(loop, SIGHUP, tick, &hup);
    kill(getpid(), SIGHUP);
    struct ticks first = { .loop = loop, .stop_at = 1 };
    struct loop_timer *timer = loop_timer_open(loop, tick, &first);
    loop_timer_start(timer, 20, 0);
    loop_run(loop);
    CHECK_INT(hup.count, 1);

    kill(getpid(), SIGHUP);
    loop_run(loop);
    CHECK_INT(hup.count, 2);
    loop_timer_close(timer);
    loop_close(loop);
}

TEST(a_loop_is_not_closed_over_an_open_timer)
{
    struct loop *loop = loop_open();
    struct loop_timer *timer = loop_timer_open(loop, tick, NULL);

    CHECK_PANICS(loop_close(loop));
    loop_timer_close(timer);
    loop_close(loop);
    loop_close(NULL);
}

/* ---- Rests ---- */

enum { TALKERS_MAX = 8 };

/* Who talk at once, again when all were heard, to a loop that then stops. */
struct talkers {
    struct loop *loop;
    struct net_connection *connections[TALKERS_MAX];
    int fds[TALKERS_MAX];
    int count, accepted, heard, turns_left;
};

static void talk(struct talkers *talkers)
{
    talkers->heard = 0;
    for (int i = 0; i < talkers->count; i++)
        client_send(talkers->fds[i], STR("hello"));
}

static void on_talk(void *subject, const char *bytes, size_t len)
{
    struct talkers *talkers = subject;
    (void)bytes, (void)len;

    if (++talkers->heard < talkers->count)
        return;
    if (--talkers->turns_left > 0)
        talk(talkers);
    else
        loop_stop(talkers->loop);
}

static void on_talk_ended(void *subject, bool broken) { (void)subject, (void)broken; }

static void on_talk_written(void *subject, bool whole) { (void)subject, (void)whole; }

static void on_talker(void *subject, struct net_connection *connection)
{
    static const struct net_events events = { .bytes = on_talk,
                                              .ended = on_talk_ended,
                                              .written = on_talk_written };
    struct talkers *talkers = subject;

    talkers->connections[talkers->accepted++] = connection;
    net_own(connection, &events, talkers);
}

static int rests;

static void note_rest(int64_t deadline_us)
{
    rests++;
    sync_machine.sleep_until(deadline_us);
}

/* How often the loop rests while `count` talk in so many turns. */
static int rests_of(struct test *t, int count, int turns, bool may_rest)
{
    struct talkers talkers = { .loop = loop_open(), .count = count, .turns_left = turns };
    struct net_listener *listener;
    struct sync_ops noting = sync_machine;
    noting.sleep_until = note_rest;

    if (may_rest)
        loop_let_rest(talkers.loop);
    CHECK_OK(net_listen(t->arena, talkers.loop, STR("127.0.0.1:0"), "LISTEN_ADDR", 0, on_talker,
                        &talkers, &listener));
    for (int i = 0; i < count; i++)
        talkers.fds[i] = client_connect(net_listener_port(listener));
    talk(&talkers);
    rests = 0;
    sync_use(&noting);
    loop_run(talkers.loop);
    sync_use(&sync_machine);
    for (int i = 0; i < count; i++) {
        net_close(talkers.connections[i]);
        close(talkers.fds[i]);
    }
    net_listener_close(listener);
    loop_close(talkers.loop);
    return rests;
}

TEST(a_loop_rests_when_some_talk_until_that_brings_nothing_but_not_when_one_does)
{
    CHECK_INT(rests_of(t, 1, 20, true), 0);
    CHECK_INT(rests_of(t, TALKERS_MAX, 1, true), 1);
    CHECK_INT(rests_of(t, TALKERS_MAX, 20, true), 4);
}

TEST(a_loop_that_shares_its_process_with_other_work_never_rests)
{
    CHECK_INT(rests_of(t, TALKERS_MAX, 20, false), 0);
}
