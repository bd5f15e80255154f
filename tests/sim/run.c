#include "tests/sim/run.h"
#include "base/planted.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/sim/baton.h"
#include "tests/sim/dice.h"
#include "tests/sim/faults.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STAFF_MAX = 2, OPERATOR_ASKS = 8, REST_TRIES_MAX = 600, WHY_BYTES = 300 };

/* A run takes some hundred thousand steps and some minutes. */
enum { STEPS_MAX = 3 * 1000 * 1000 };
static const int64_t virtual_us_max = INT64_C(6) * 3600 * TIME_SECOND;

struct cast {
    struct person shoppers[PLAN_SHOPPERS_MAX], staff[STAFF_MAX], bank, operator_;
    struct run *run;
    struct thread *gremlin;
    bool gremlin_has_gone;
};

/* ---- a run that does not end ---- */

static void give_up(void *subject)
{
    struct run *run = subject;
    baton_tell_waits(STDOUT_FILENO);
    baton_trace_last(40);
    check_tell_moving(run->check, STDOUT_FILENO);
    story_violated("a run ends", "it went on for %llu steps and %lld s",
                   (unsigned long long)baton_steps(), (long long)(clock_mono_us() / TIME_SECOND));
}

/* ---- the people ---- */

static void make_cast(struct run *run, struct cast *cast, struct check *check)
{
    char name[24];
    cast->run = run;
    for (int i = 0; i < run->plan.shoppers_count; i++) {
        snprintf(name, sizeof name, "s%d", i);
        client_init(&cast->shoppers[i].client, run->world, run->model, check, name,
                    ROLE_BIT_CUSTOMER);
        cast->shoppers[i].asks = run->plan.asks_each;
    }
    for (int i = 0; i < run->plan.staff_count; i++) {
        snprintf(name, sizeof name, "staff%d", i);
        client_init(&cast->staff[i].client, run->world, run->model, check, name,
                    ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF);
        cast->staff[i].asks = run->plan.staff_asks;
        cast->staff[i].is_first = i == 0;
    }
    client_init(&cast->bank.client, run->world, run->model, check, "bank", 0);
    cast->bank.asks = run->plan.bank_asks;
    client_init(&cast->operator_.client, run->world, run->model, check, "operator", 0);
    cast->operator_.client.is_operator = true;
    cast->operator_.asks = run->plan.refused_one_in > 0 ? OPERATOR_ASKS : 0;
}

static void shuffle(int *numbers, int count)
{
    for (int i = 0; i < count; i++)
        numbers[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = dice(i + 1), other = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = other;
    }
}

/* Stops links one by one, and releases them in another order. */
static void swizzle(struct world *world)
{
    int links[WORLD_LINKS_COUNT];
    for (int releases = 0; releases < 2; releases++) {
        shuffle(links, WORLD_LINKS_COUNT);
        for (int i = 0; i < WORLD_LINKS_COUNT; i++) {
            sleep_until(clock_mono_us() + dice_us(TIME_SECOND));
            world_stop_link(world, (enum world_link)links[i], !releases);
        }
    }
}

/* Fills the disk now and then. */
static void gremlin_run(void *subject)
{
    struct cast *cast = subject;
    const struct plan *plan = &cast->run->plan;
    for (int i = 0; i < plan->disk_faults || i < plan->disk_breaks; i++) {
        sleep_until(clock_mono_us() + dice_us(plan->think_us + 4 * TIME_MS));
        if (i < plan->disk_faults && fault_strikes(FAULT_DISK_FULL, 1))
            world_fill_disk(cast->run->world);
        if (i < plan->disk_breaks && fault_strikes(FAULT_DISK_BREAK, 1))
            world_break_disk(cast->run->world);
    }
    for (int i = 0; i < plan->swizzles; i++)
        if (fault_strikes(FAULT_SWIZZLE, 1))
            swizzle(cast->run->world);
    cast->gremlin_has_gone = true;
}

static void start_all(const struct plan *plan, struct cast *cast)
{
    for (int i = 0; i < plan->shoppers_count; i++)
        shopper_start(&cast->shoppers[i]);
    for (int i = 0; i < plan->staff_count; i++)
        staff_start(&cast->staff[i]);
    bank_start(&cast->bank);
    operator_start(&cast->operator_);
    cast->gremlin = thread_start("gremlin", gremlin_run, cast);
}

static void join_all(const struct plan *plan, struct cast *cast)
{
    for (int i = 0; i < plan->shoppers_count; i++)
        thread_join(cast->shoppers[i].thread);
    for (int i = 0; i < plan->staff_count; i++)
        thread_join(cast->staff[i].thread);
    thread_join(cast->bank.thread);
    thread_join(cast->operator_.thread);
    thread_join(cast->gremlin);
}

/* ---- what happens to the shop ---- */

/* A program that is killed while it opens opens again. */
static void open_program(struct run *run, struct program *program)
{
    while (!world_open(program)) {
        world_bury(program, dice_one_in(2));
        run->outcome.crashes++;
    }
}

/* The books can be read while all are there. */
static void open_books(struct run *run, struct check *check)
{
    if (world_is_whole(run->world))
        check_open(check);
}

static void open_shop(struct run *run, struct check *check)
{
    for (int i = 0; i < run->world->programs_count; i++)
        open_program(run, &run->world->programs[i]);
    open_books(run, check);
}

/* Where ours is not the last connection, the databases keep their logs: as after a crash. False if
 * it was killed meanwhile. */
static bool close_program(struct program *program, struct check *check)
{
    bool keeps_logs = dice_one_in(2);
    if (!world_stop(program))
        return false;
    if (!keeps_logs)
        check_close(check);
    if (!world_close(program))
        return false;
    check_close(check);
    return true;
}

/* One after the other, whatever the others have for it. */
static bool close_shop(struct run *run, struct check *check)
{
    bool is_closed = true;
    for (int i = run->world->programs_count; i-- > 0;)
        is_closed = close_program(&run->world->programs[i], check) && is_closed;
    return is_closed;
}

/* A program was killed: opens it again on what its disk has kept; maybe it is killed once more
 * while it recovers. */
static void recover(struct run *run, struct check *check, struct program *program)
{
    check_close(check);
    run->outcome.crashes++;
    world_bury(program, run->scene ? run->scene->is_power_cut : !dice_one_in(3));
    sleep_until(clock_mono_us() + dice_us(2 * TIME_SECOND));
    if (!run->scene && !run->is_calm && fault_strikes(FAULT_KILL_AGAIN, 3))
        world_crash_at(run->world, CRASH_AT_IO, 1 + fault_number(0, 40));
    open_program(run, program);
    open_books(run, check);
}

/* Waits, and opens the shop again where it is killed meanwhile: a sync may fail at any time. */
static void watch_for(struct run *run, struct check *check, int64_t us)
{
    int64_t until_us = clock_mono_us() + us;
    for (struct program *program; (program = world_await_crash(run->world, until_us));)
        recover(run, check, program);
    world_check_bounds(run->world);
}

static struct program *any_program(struct world *world)
{
    return &world->programs[world->programs_count > 1 ? dice(world->programs_count) : 0];
}

static void restart(struct run *run, struct check *check)
{
    struct program *program = any_program(run->world);
    if (!close_program(program, check)) {
        recover(run, check, program);
        return;
    }
    sleep_until(clock_mono_us() + dice_us(2 * TIME_SECOND));
    open_program(run, program);
    open_books(run, check);
    run->outcome.restarts++;
}

/* Kills one at a point that comes soon, or, where they are several, all at once. */
static void crash(struct run *run, struct check *check)
{
    bool is_apart = run->world->programs_count > 1;
    if (is_apart && dice_one_in(5)) {
        deed(DEED_KILLED_TOGETHER);
        world_crash_all(run->world);
        watch_for(run, check, 5 * TIME_SECOND);
        return;
    }
    run->world->victim = is_apart ? any_program(run->world) : NULL;
    static const int counts[CRASH_POINTS_COUNT] = { 300, 40, 60, 80 };
    enum crash_point point = (enum crash_point)fault_number(0, CRASH_POINTS_COUNT);
    world_crash_at(run->world, point, 1 + fault_number(1, counts[point]));
    watch_for(run, check, 5 * TIME_SECOND);
}

/* Stops and opens again, kills, and moves the wall clock, at times when people are at work. */
static void disturb(struct run *run, struct check *check)
{
    const struct plan *plan = &run->plan;
    int64_t span_us = plan->think_us * plan->asks_each / 2 + 20 * TIME_MS;
    for (int i = 0; i < plan->restarts; i++) {
        watch_for(run, check, dice_us(dice_one_in(2) ? span_us : 6 * TIME_MS));
        if (fault_strikes(FAULT_RESTART, 1))
            restart(run, check);
    }
    for (int i = 0; i < plan->crashes; i++) {
        watch_for(run, check, dice_us(span_us / plan->crashes));
        if (fault_strikes(FAULT_KILL, 1))
            crash(run, check);
    }
    for (int i = 0; i < plan->wall_jumps; i++) {
        watch_for(run, check, dice_us(span_us));
        if (!fault_strikes(FAULT_WALL_JUMP, 1))
            continue;
        int64_t jump_us = fault_number(0, 1200 * TIME_SECOND) - 600 * TIME_SECOND;
        story_tell("the wall clock jumps by %lld s", (long long)(jump_us / TIME_SECOND));
        baton_wall_jump(jump_us);
        model_jumped(run->model, clock_wall_us(), jump_us);
    }
}

static bool have_all_gone(const struct plan *plan, const struct cast *cast)
{
    bool have_gone = cast->bank.has_gone && cast->operator_.has_gone && cast->gremlin_has_gone;
    for (int i = 0; i < plan->shoppers_count; i++)
        have_gone = have_gone && cast->shoppers[i].has_gone;
    for (int i = 0; i < plan->staff_count; i++)
        have_gone = have_gone && cast->staff[i].has_gone;
    return have_gone;
}

static void see_all_off(struct run *run, struct cast *cast, struct check *check)
{
    while (!have_all_gone(&run->plan, cast))
        watch_for(run, check, 200 * TIME_MS);
    run->is_calm = true;
    world_mend(run->world);
    watch_for(run, check, 0);
    join_all(&run->plan, cast);
}

/* Waits until nothing moves any more, with staff doing what only they can do. */
static void come_to_rest(struct run *run, struct cast *cast, struct check *check)
{
    char why[WHY_BYTES];
    run->world->faults_on = false;
    world_mend_reactions(run->world);
    story_tell("all have gone home; the bus is in order again");
    for (int i = 0; i < REST_TRIES_MAX; i++) {
        check_now(check);
        if (!check_is_moving(check, why, sizeof why))
            return;
        if (i % 4 == 3) {
            staff_close_shop(&cast->staff[0]);
            operator_requeue(&cast->operator_.client);
        }
        sleep_until(clock_mono_us() + (i < 40 ? 500 * TIME_MS : 5 * TIME_SECOND));
    }
    check_tell_moving(check, STDOUT_FILENO);
    story_violated("everything comes to rest", "after so long there is still:%s", why);
}

static void plant(struct run *run, struct check *check, enum planted planted)
{
    if (planted == PLANTED_ANSWER_EARLY)
        check_plant_early(check);
    crash_disk_plant_lies(planted == PLANTED_LYING_SYNC || PLANTED(fsync_skipped));
    run->world->loses_for_ever = planted == PLANTED_EVENT_LOST;
    run->model->flips_answers = planted == PLANTED_ANSWER_OTHER;
    run->model->unmarks_answers = planted == PLANTED_REPEAT_UNMARKED;
    int64_t looks = planted == PLANTED_REAL_CLOCK ? clock_machine.mono_us() % 64 : 0;
    while (looks-- > 0)
        sync_yield();
}

static void sum_up(struct run *run)
{
    if (run->plan.has_digest) {
        sqlite3 *db = books_connect(str_z(run->arena, run->folder));
        run->outcome.books = books_digest(run->arena, db);
        sqlite3_close(db);
    }
    run->outcome.trace_hash = baton_trace_hash();
    run->outcome.steps = baton_steps();
    run->outcome.asked = run->model->asked;
    run->outcome.orders = run->model->orders_count;
    run->outcome.events = run->world->announced.events_count;
    const struct fault *struck = faults_struck(&run->outcome.faults);
    for (int i = 0; i < run->outcome.faults; i++)
        run->outcome.struck[struck[i].kind]++;
}

/* Each refused event was counted where operators look, but for one a consumer and kill. */
static void check_letters_counted(struct run *run)
{
    static const char rule[] = "dead letters are counted";
    int64_t counted = 0;
    str rest = metrics_text(run->arena, METRICS_PROMETHEUS);
    while (rest.ptr) {
        str line = str_cut(&rest, '\n');
        int64_t number;
        ptrdiff_t at = str_find(line, STR("} "));
        if (str_starts(line, STR("duka_dead_letters_total{")) && at > 0 &&
            str_to_int64(str_slice(line, (size_t)at + 2, line.len), 0, INT64_MAX, &number))
            counted += number;
    }
    int refused = run->world->events_refused;
    RULE(counted <= refused && counted + 3 * run->outcome.crashes >= refused, rule,
         "%d were refused, %lld counted", refused, (long long)counted);
}

#ifdef __SANITIZE_ADDRESS__
enum { MEMORY_TIMES = 8 }; /* shadows, red zones, and what is freed and kept for a while */
#else
enum { MEMORY_TIMES = 1 };
#endif
enum {
    KIB = 1024,
    MEMORY_KIB = 96 * KIB * MEMORY_TIMES,
    MEMORY_KIB_DEAD = 24 * KIB * MEMORY_TIMES
};

/* The most that the run ever had, its databases and clients with it. What a program held that was
 * killed is never given back. */
static void check_memory(const struct run *run, enum planted planted)
{
    int64_t most_kib = MEMORY_KIB + (int64_t)MEMORY_KIB_DEAD * run->outcome.crashes;
    if (planted == PLANTED_MEMORY_KEPT) {
        size_t bytes = (size_t)most_kib * KIB;
        memset(arena_array(run->arena, char, bytes), 1, bytes);
    }
    struct rusage used;
    ASSERT(getrusage(RUSAGE_SELF, &used) == 0);
    RULE(used.ru_maxrss <= most_kib, "memory keeps its bound", "%lld KiB, at most %lld",
         (long long)used.ru_maxrss, (long long)most_kib);
}

static void perform(struct run *run, enum planted planted)
{
    struct cast *cast = arena_new(run->arena, struct cast);
    struct check *check = run->check = check_make(run->arena, run->model, run->world);
    baton_bound(STEPS_MAX, virtual_us_max, give_up, run);
    int64_t began_us = clock_mono_us();
    model_init(run->model, run->arena, &run->plan);
    world_init(run->world, run->arena, &run->plan, run->folder);
    make_cast(run, cast, check);
    plant(run, check, planted);
    open_shop(run, check);
    staff_open_shop(&cast->staff[0]);
    if (run->plan.has_account)
        shopper_register(&cast->shoppers[0]);
    start_all(&run->plan, cast);
    disturb(run, check);
    see_all_off(run, cast, check);
    come_to_rest(run, cast, check);
    people_read_all(cast->shoppers, run->plan.shoppers_count, &cast->staff[0]);
    bool is_closed = close_shop(run, check);
    ASSERT(is_closed);
    check_letters_counted(run);
    check_memory(run, planted);
    world_done(run->world);
    run->outcome.virtual_us = clock_mono_us() - began_us;
}

void run_seed(struct run *run, struct arena *arena, struct plan plan, str folder,
              enum planted planted)
{
    *run = (struct run){ .arena = arena, .plan = plan, .folder = folder };
    run->world = arena_new(arena, struct world);
    run->model = arena_new(arena, struct model);
    crypto_init();
    baton_start(plan.seed);
    story_clock(true);
    deeds_open();
    faults_open(plan.seed, plan.only_faults);
    perform(run, planted);
    story_clock(false);
    baton_stop();
    sum_up(run);
}

/* ---- one scene ---- */

struct actor {
    struct run *run;
    struct cast *cast;
    bool is_done;
};

static void act(void *subject)
{
    struct actor *actor = subject;
    struct scene *scene = actor->run->scene;
    struct client_of_shop *shopper = &actor->cast->shoppers[0].client;
    struct client_of_shop *staff = &actor->cast->staff[0].client;
    shopper->fails_allocations = staff->fails_allocations = scene->fails_allocations;
    scene->act(shopper, staff);
    shopper->fails_allocations = staff->fails_allocations = false;
    scene->allocations = shopper->allocations_failed + staff->allocations_failed;
    actor->is_done = true;
}

/* Until the client has its answer and nothing moves any more, so that the kill finds all of it. */
static void play(struct run *run, struct cast *cast, struct check *check)
{
    char why[WHY_BYTES];
    struct actor actor = { .run = run, .cast = cast };
    int64_t before = run->world->points[CRASH_AT_IO];
    run->world->at_io = run->scene->at_io;
    run->world->at_io_subject = run->scene->subject;
    world_fail_disk(run->world, run->scene->fault_op, run->scene->fault, run->scene->fault_at);
    struct thread *thread = thread_start("actor", act, &actor);
    do {
        watch_for(run, check, 300 * TIME_MS);
    } while (!actor.is_done || check_is_moving(check, why, sizeof why));
    run->world->at_io = NULL;
    world_mend(run->world);
    watch_for(run, check, 0);
    thread_join(thread);
    run->scene->ios = run->world->points[CRASH_AT_IO] - before;
    run->scene->faults = run->world->faults_of_disk;
}

static void perform_scene(struct run *run)
{
    struct cast *cast = arena_new(run->arena, struct cast);
    struct check *check = run->check = check_make(run->arena, run->model, run->world);
    baton_bound(STEPS_MAX, virtual_us_max, give_up, run);
    model_init(run->model, run->arena, &run->plan);
    world_init(run->world, run->arena, &run->plan, run->folder);
    make_cast(run, cast, check);
    open_shop(run, check);
    staff_open_shop(&cast->staff[0]);
    if (run->scene->before)
        run->scene->before(&cast->shoppers[0].client, &cast->staff[0].client);
    play(run, cast, check);
    come_to_rest(run, cast, check);
    people_read_all(cast->shoppers, run->plan.shoppers_count, &cast->staff[0]);
    bool is_closed = close_shop(run, check);
    ASSERT(is_closed);
    world_done(run->world);
}

void run_scene(struct run *run, struct arena *arena, struct plan plan, str folder,
               struct scene *scene)
{
    *run = (struct run){ .arena = arena, .plan = plan, .folder = folder, .scene = scene };
    run->world = arena_new(arena, struct world);
    run->model = arena_new(arena, struct model);
    crypto_init();
    baton_start(plan.seed);
    story_clock(true);
    faults_open(plan.seed, plan.only_faults);
    perform_scene(run);
    story_clock(false);
    baton_stop();
}
