#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "os/workers.h"
#include "tests/lib/test.h"
#include "tests/sim/baton.h"

#include <stdio.h>

enum { SECOND = 1000 * 1000, SEEDS = 200 };

/* ---- A child that is expected to die ---- */

/* Runs it in a child and gives what the child wrote to stderr; it must end by abort(). */
static const char *words_of_death(struct test *t, void (*run)(void))
{
    enum { ROOM = 64 * 1024 };
    int ends[2];
    fflush(stdout);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        run();
        _exit(0);
    }
    close(ends[1]);
    char *words = arena_array(t->arena, char, ROOM);
    size_t len = 0;
    for (ssize_t got; (got = read(ends[0], words + len, ROOM - 1 - len)) > 0;)
        len += (size_t)got;
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        FAIL("expected an abort, got status %d: %s", status, words);
    return words;
}

static void check_says(const char *words, const char *part)
{
    if (!strstr(words, part))
        FAIL("expected \"%s\" in: %s", part, words);
}

/* ---- Runs to compare ---- */

struct scene {
    struct lock lock;
    struct cond changed;
    int counter; /* changed under no lock: a race, on purpose */
    int tickets;
    uint64_t drawn;
};

static void add_racily(void *subject)
{
    struct scene *scene = subject;
    for (int i = 0; i < 20; i++) {
        int seen = scene->counter;
        sync_yield();
        scene->counter = seen + 1;
    }
}

/* What two threads make of a counter without a lock, under a seed. */
static int race(uint64_t seed)
{
    struct scene scene = { .counter = 0 };
    baton_start(seed);
    struct thread *one = thread_start("one", &add_racily, &scene);
    struct thread *two = thread_start("two", &add_racily, &scene);
    thread_join(one);
    thread_join(two);
    baton_stop();
    return scene.counter;
}

TEST(many_seeds_lose_different_counts_in_a_race)
{
    bool seen[41] = { false };
    int different = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        int counter = race(seed);
        CHECK(counter >= 2 && counter <= 40);
        different += !seen[counter];
        seen[counter] = true;
    }
    CHECK(different > 8);
}

TEST(a_seed_loses_the_same_count_each_time)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        int first = race(seed);
        uint64_t hash = baton_trace_hash(), steps = baton_steps();
        CHECK_INT(race(seed), first);
        CHECK(baton_trace_hash() == hash);
        CHECK(baton_steps() == steps && steps > 40);
    }
}

/* Some of everything: locks, waits with and without deadlines, sleeps, random bytes. */
static void take_part(void *subject)
{
    struct scene *scene = subject;
    for (int i = 0; i < 30; i++) {
        uint64_t drawn = random_u64();
        lock_take(&scene->lock);
        scene->drawn = scene->drawn * 31 + drawn;
        if (drawn % 3 == 0) {
            scene->tickets++;
            cond_wake_one(&scene->changed);
        } else if (drawn % 3 == 1) {
            int64_t deadline = clock_mono_us() + (int64_t)(drawn % 1000);
            while (scene->tickets == 0 && cond_wait_until(&scene->changed, &scene->lock, deadline))
                ;
            scene->tickets -= scene->tickets > 0;
        }
        lock_drop(&scene->lock);
        if (drawn % 5 == 0)
            sleep_until(clock_mono_us() + (int64_t)(drawn % 300));
    }
}

struct outcome {
    uint64_t hash, steps, drawn, decided;
    int64_t mono, wall;
    struct uuid id;
};

static struct outcome play(uint64_t seed)
{
    struct scene scene = { .counter = 0 };
    struct thread *threads[6];
    baton_start(seed);
    lock_init(&scene.lock);
    cond_init(&scene.changed);
    for (int i = 0; i < 6; i++)
        threads[i] = thread_start("plays", &take_part, &scene);
    for (int i = 0; i < 6; i++)
        thread_join(threads[i]);
    cond_done(&scene.changed);
    lock_done(&scene.lock);
    struct outcome outcome = { .drawn = scene.drawn,
                               .decided = baton_random(),
                               .id = id_new(),
                               .mono = clock_mono_us(),
                               .wall = clock_wall_us() };
    baton_stop();
    outcome.hash = baton_trace_hash();
    outcome.steps = baton_steps();
    return outcome;
}

TEST(the_same_seed_gives_the_same_run)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct outcome first = play(seed), second = play(seed);
        CHECK_BYTES(&first, &second, sizeof first);
    }
}

TEST(another_process_runs_a_seed_the_same_way)
{
    struct outcome ours = play(11), theirs = { .hash = 0 };
    int ends[2];
    fflush(stdout);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        theirs = play(11);
        _exit(write(ends[1], &theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    close(ends[1]);
    CHECK_INT(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_BYTES(&ours, &theirs, sizeof ours);
}

TEST(different_seeds_give_different_runs)
{
    uint64_t hashes[50];
    for (uint64_t seed = 0; seed < 50; seed++) {
        hashes[seed] = play(seed).hash;
        for (uint64_t before = 0; before < seed; before++)
            CHECK(hashes[before] != hashes[seed]);
    }
}

/* ---- Time ---- */

struct sleeper {
    int64_t until_us, woke_us;
    int *turns, turn;
};

static void sleep_once(void *subject)
{
    struct sleeper *sleeper = subject;
    sleep_until(sleeper->until_us);
    sleeper->woke_us = clock_mono_us();
    sleeper->turn = ++*sleeper->turns;
}

TEST(sleepers_wake_in_order_and_an_hour_is_short)
{
    int turns = 0;
    struct sleeper sleepers[5];
    struct thread *threads[5];
    int64_t began = clock_mono_us();
    baton_start(3);
    int64_t start = clock_mono_us();
    for (int i = 0; i < 5; i++) {
        sleepers[i] = (struct sleeper){ .until_us = start + (5 - i) * INT64_C(3600) * SECOND,
                                        .turns = &turns };
        threads[i] = thread_start("sleeps", &sleep_once, &sleepers[i]);
    }
    for (int i = 0; i < 5; i++)
        thread_join(threads[i]);
    int64_t took = clock_mono_us() - start;
    baton_stop();
    for (int i = 0; i < 5; i++) {
        CHECK_INT(sleepers[i].turn, 5 - i);
        CHECK(sleepers[i].woke_us >= sleepers[i].until_us);
        CHECK(sleepers[i].woke_us < sleepers[i].until_us + 100);
    }
    CHECK(took >= 5 * INT64_C(3600) * SECOND && took < 5 * INT64_C(3600) * SECOND + 1000);
    CHECK(clock_mono_us() - began < 60 * SECOND);
}

TEST(the_wall_follows_virtual_time_and_can_jump)
{
    time_us epoch;
    CHECK(time_parse(STR("2026-01-01T00:00:00Z"), &epoch));
    baton_start(1);
    CHECK(clock_wall_us() >= epoch && clock_wall_us() < epoch + 100);
    sleep_until(clock_mono_us() + 10 * SECOND);
    time_us wall = clock_wall_us();
    CHECK(wall >= epoch + 10 * SECOND && wall < epoch + 10 * SECOND + 100);

    int64_t mono = clock_mono_us();
    baton_wall_jump(-3600 * INT64_C(1000000));
    baton_wall_jump(60 * SECOND);
    CHECK(clock_wall_us() < wall - 3000 * INT64_C(1000000));
    CHECK(clock_mono_us() >= mono && clock_mono_us() < mono + 100);
    baton_stop();
}

static void set_after_a_while(void *subject)
{
    sleep_until(clock_mono_us() + 1000);
    *(bool *)subject = true;
}

TEST(loops_that_poll_come_to_an_end)
{
    bool set = false;
    baton_start(5);
    struct thread *thread = thread_start("sets", &set_after_a_while, &set);
    while (!set)
        sync_yield();
    for (int64_t until = clock_mono_us() + 500; clock_mono_us() < until;)
        ;
    thread_join(thread);
    baton_stop();
    CHECK(set);
}

TEST(a_wait_times_out_only_when_nobody_can_run_or_its_time_is_over)
{
    struct scene scene = { .counter = 0 };
    int woken = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        baton_start(seed);
        lock_init(&scene.lock);
        cond_init(&scene.changed);
        lock_take(&scene.lock);
        int64_t deadline = clock_mono_us() + 10 * SECOND;
        while (cond_wait_until(&scene.changed, &scene.lock, deadline))
            woken++;
        CHECK(clock_mono_us() >= deadline && clock_mono_us() < deadline + 100);
        CHECK(!cond_wait_until(&scene.changed, &scene.lock, deadline));
        lock_drop(&scene.lock);
        cond_done(&scene.changed);
        lock_done(&scene.lock);
        baton_stop();
    }
    CHECK(woken < 10); /* for no reason: rare, but possible */
}

/* ---- Waking ---- */

static void wait_for_ticket(void *subject)
{
    struct scene *scene = subject;
    lock_take(&scene->lock);
    while (scene->tickets == 0)
        cond_wait(&scene->changed, &scene->lock);
    scene->tickets--;
    scene->counter++;
    lock_drop(&scene->lock);
}

TEST(any_waiter_may_be_woken_first)
{
    struct scene scene;
    struct thread *threads[3];
    uint64_t hash_first = 0;
    bool differs = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        memset(&scene, 0, sizeof scene);
        baton_start(seed);
        lock_init(&scene.lock);
        cond_init(&scene.changed);
        for (int i = 0; i < 3; i++)
            threads[i] = thread_start("waits", &wait_for_ticket, &scene);
        for (int i = 0; i < 3; i++) {
            lock_take(&scene.lock);
            scene.tickets++;
            lock_drop(&scene.lock);
            cond_wake_one(&scene.changed);
        }
        for (int i = 0; i < 3; i++)
            thread_join(threads[i]);
        CHECK_INT(scene.counter, 3);
        cond_done(&scene.changed);
        lock_done(&scene.lock);
        baton_stop();
        differs = differs || (seed > 0 && baton_trace_hash() != hash_first);
        hash_first = baton_trace_hash();
    }
    CHECK(differs);
}

static void take_and_add(void *subject)
{
    struct scene *scene = subject;
    for (int i = 0; i < 20; i++) {
        lock_take(&scene->lock);
        int seen = scene->counter;
        sync_yield();
        scene->counter = seen + 1;
        lock_drop(&scene->lock);
    }
}

TEST(a_lock_keeps_others_out_under_every_seed)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct scene scene = { .counter = 0 };
        struct thread *threads[4];
        baton_start(seed);
        lock_init(&scene.lock);
        for (int i = 0; i < 4; i++)
            threads[i] = thread_start("adds", &take_and_add, &scene);
        for (int i = 0; i < 4; i++)
            thread_join(threads[i]);
        lock_done(&scene.lock);
        baton_stop();
        CHECK_INT(scene.counter, 80);
    }
}

/* ---- Producers and consumers over a pool ---- */

struct parcel {
    struct work work;
    struct market *market;
    int laps; /* how often it comes back before it is done */
};

struct market {
    struct workers *pool;
    struct lock lock;
    struct cond settled;
    int submitted, refused, done;
    struct parcel parcels[4][25];
    int producers;
};

static void parcel_run(struct work *work)
{
    struct parcel *parcel = (struct parcel *)work;
    struct market *market = parcel->market;
    sync_yield();
    if (parcel->laps-- > 0) {
        workers_resume(market->pool, work);
        return;
    }
    lock_take(&market->lock);
    market->done++;
    lock_drop(&market->lock);
    cond_wake_all(&market->settled);
}

static void produce(void *subject)
{
    struct market *market = subject;
    lock_take(&market->lock);
    struct parcel *parcels = market->parcels[market->producers++];
    lock_drop(&market->lock);
    for (int i = 0; i < 25; i++) {
        parcels[i] = (struct parcel){ .work.run = &parcel_run, .market = market, .laps = i % 3 };
        bool taken =
            workers_submit(market->pool, &parcels[i].work, i % 2 ? WORK_URGENT : WORK_NORMAL);
        lock_take(&market->lock);
        market->submitted += taken;
        market->refused += !taken;
        lock_drop(&market->lock);
    }
}

static void run_market(struct market *market, uint64_t seed)
{
    struct thread *threads[4];
    memset(market, 0, sizeof *market);
    baton_start(seed);
    lock_init(&market->lock);
    cond_init(&market->settled);
    market->pool = workers_open("market", 1 + (int)(seed % 4), 5 + (int)(seed % 50));
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start("produces", &produce, market);
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    lock_take(&market->lock);
    while (market->done < market->submitted)
        cond_wait(&market->settled, &market->lock);
    lock_drop(&market->lock);
    workers_close(market->pool);
    cond_done(&market->settled);
    lock_done(&market->lock);
    baton_stop();
}

TEST(every_parcel_is_done_once_under_200_seeds)
{
    struct market *market = arena_new(t->arena, struct market);
    int refused = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run_market(market, seed);
        CHECK_INT(market->done, market->submitted);
        CHECK_INT(market->submitted + market->refused, 100);
        refused += market->refused;
        if (seed % 20 == 0) {
            uint64_t hash = baton_trace_hash();
            run_market(market, seed);
            CHECK(baton_trace_hash() == hash);
        }
    }
    CHECK(refused > 0); /* the full queue was met as well */
}

/* ---- Death ---- */

static struct lock lock_a, lock_b;

static void take_b_then_a(void *subject)
{
    (void)subject;
    lock_take(&lock_b);
    sleep_until(clock_mono_us() + 1000);
    lock_take(&lock_a);
}

static void embrace(void)
{
    baton_start(4711);
    lock_init(&lock_a);
    lock_init(&lock_b);
    lock_take(&lock_a);
    (void)thread_start("embracer", &take_b_then_a, NULL);
    sleep_until(clock_mono_us() + 1000);
    lock_take(&lock_b);
}

TEST(a_deadlock_names_who_waits_for_what)
{
    const char *words = words_of_death(t, &embrace);
    check_says(words, "deadlock with seed 4711");
    check_says(words, "main waits for lock");
    check_says(words, "held by embracer");
    check_says(words, "embracer waits for lock");
    check_says(words, "held by main");
    check_says(words, "seed 4711, the last ");
    check_says(words, "takes a lock");
}

static struct cond never;

static void wait_for_nothing(void *subject)
{
    (void)subject;
    lock_take(&lock_a);
    for (;;)
        cond_wait(&never, &lock_a);
}

static void forget_to_wake(void)
{
    baton_start(8);
    lock_init(&lock_a);
    cond_init(&never);
    thread_join(thread_start("forgotten", &wait_for_nothing, NULL));
}

TEST(a_wake_up_that_was_forgotten_is_a_deadlock)
{
    const char *words = words_of_death(t, &forget_to_wake);
    check_says(words, "deadlock with seed 8");
    check_says(words, "main waits for the end of forgotten");
    check_says(words, "forgotten waits on condition 1");
}

static void tell_and_end(void *subject)
{
    dprintf(2, "given up: %s\n", (const char *)subject);
    baton_tell_waits(2);
    abort();
}

/* One waits for what never comes, and another looks after it for ever. */
static void go_on_for_ever(uint64_t steps_max, int64_t virtual_us_max)
{
    baton_start(15);
    baton_bound(steps_max, virtual_us_max, tell_and_end, "bound");
    lock_init(&lock_a);
    cond_init(&never);
    (void)thread_start("patient", wait_for_nothing, NULL);
    for (;;)
        sleep_until(clock_mono_us() + SECOND);
}

static void exceed_steps(void) { go_on_for_ever(1000, INT64_MAX / 2); }
static void exceed_time(void) { go_on_for_ever(UINT64_MAX, 60 * SECOND); }

TEST(a_run_that_does_not_end_names_who_waits_for_what)
{
    void (*const ways[])(void) = { exceed_steps, exceed_time };
    for (int i = 0; i < 2; i++) {
        const char *words = words_of_death(t, ways[i]);
        check_says(words, "given up: bound");
        check_says(words, "patient waits on condition 1 since ");
        check_says(words, "    at 0x");
    }
}

static void break_an_invariant(void)
{
    baton_start(99);
    sync_yield();
    ASSERT(baton_random() == 0 && baton_random() == 1);
}

TEST(a_broken_invariant_tells_the_seed_and_the_last_steps)
{
    const char *words = words_of_death(t, &break_an_invariant);
    check_says(words, "broken invariant");
    check_says(words, "seed 99, the last 1 of 1 steps");
    check_says(words, "main            yields");
}

static void take_twice(void)
{
    baton_start(1);
    lock_init(&lock_a);
    lock_take(&lock_a);
    lock_take(&lock_a);
}

static void drop_what_is_free(void)
{
    baton_start(1);
    lock_init(&lock_a);
    lock_drop(&lock_a);
}

static void drop_a(void *subject)
{
    (void)subject;
    lock_drop(&lock_a);
}

static void drop_what_another_holds(void)
{
    baton_start(1);
    lock_init(&lock_a);
    lock_take(&lock_a);
    thread_join(thread_start("drops", &drop_a, NULL));
}

static void undo_while_held(void)
{
    baton_start(1);
    lock_init(&lock_a);
    lock_take(&lock_a);
    lock_done(&lock_a);
}

static void take_after_undo(void)
{
    baton_start(1);
    lock_init(&lock_a);
    lock_done(&lock_a);
    lock_take(&lock_a);
}

static void undo_while_waited_on(void)
{
    baton_start(1);
    lock_init(&lock_a);
    cond_init(&never);
    (void)thread_start("waits", &wait_for_nothing, NULL);
    sleep_until(clock_mono_us() + SECOND);
    cond_done(&never);
}

static void wait_without_the_lock(void)
{
    baton_start(1);
    lock_init(&lock_a);
    cond_init(&never);
    cond_wait(&never, &lock_a);
}

static void wake_what_was_never_made(void)
{
    struct cond cond = { .sim_id = 0 };
    baton_start(1);
    cond_wake_all(&cond);
}

static void stop_while_others_live(void)
{
    baton_start(1);
    lock_init(&lock_a);
    cond_init(&never);
    (void)thread_start("waits", &wait_for_nothing, NULL);
    baton_stop();
}

static void call_from_outside(void)
{
    baton_start(1);
    sync_machine.thread_join(sync_machine.thread_start("outsider", &drop_a, NULL));
}

TEST(misuse_is_a_broken_invariant)
{
    CHECK_PANICS(take_twice());
    CHECK_PANICS(drop_what_is_free());
    CHECK_PANICS(drop_what_another_holds());
    CHECK_PANICS(undo_while_held());
    CHECK_PANICS(take_after_undo());
    CHECK_PANICS(undo_while_waited_on());
    CHECK_PANICS(wait_without_the_lock());
    CHECK_PANICS(wake_what_was_never_made());
    CHECK_PANICS(stop_while_others_live());
    CHECK_PANICS(call_from_outside());
    CHECK_PANICS(baton_trace_last(1));
    CHECK_PANICS(baton_wall_jump(1));
}

static void start_over(void)
{
    baton_start(1);
    lock_init(&lock_a);
    cond_init(&never);
    (void)thread_start("left behind", &wait_for_nothing, NULL);
    sleep_until(clock_mono_us() + SECOND);
    int counter = race(5);
    CHECK_INT(race(5), counter);
    abort(); /* how words_of_death ends */
}

TEST(a_run_that_a_failed_check_left_is_given_up_by_the_next)
{
    const char *words = words_of_death(t, &start_over);
    if (strstr(words, "baton"))
        FAIL("expected no report, got: %s", words);
}

TEST(after_the_stop_the_machine_is_back)
{
    baton_start(1);
    baton_stop();
    int64_t before = clock_mono_us();
    sleep_until(before + 2000);
    CHECK(clock_mono_us() >= before + 2000);
    CHECK(random_u64() != random_u64());
}
