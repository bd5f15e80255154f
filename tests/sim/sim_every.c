/* One placing, cancel, payment, fulfilment, refund, adjustment and import, with one thing that goes
 * wrong at each place where it can: the shop is killed at every single I/O, as a process and with
 * the power cut; for placing, once more at every I/O of what follows; every I/O fails; every
 * allocation of the request finds no room. The client goes on until it has its answer, and all the
 * books are checked as after any run.
 *
 *     sim-every             some places of each, evenly spread: what make test does
 *     EVERY=1 sim-every     every place (make sim-every)
 *     PAIRS=1/2 sim-every   every pair of places of placing, or the first half of them (make
 * sim-pairs); FROM=40: those whose first place is the 40th or a later one
 *
 * A run that may be killed at a place forks there: a copy of it is killed, and goes on with what
 * follows, so that nothing is done twice to come to the next place.
 */
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include "tests/sim/calls.h"
#include "tests/sim/people.h"
#include "tests/sim/run.h"
#include "tests/sim/story.h"
#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    POINTS_STANDARD = 6,
    FIRSTS_STANDARD = 4,
    SECONDS_APART = 40,
    IOS_APART = 23,
    CALLS_APART = 6, /* of calls.h */
    SEED = 11,
    SECONDS_MAX = 300,
    PATH_BYTES = 200
};

/* ---- what is done ---- */

static struct model_order *order; /* the one of the scene */

static void place(struct client_of_shop *shopper, const char *payment, const char *token)
{
    struct ask ask = { .kind = ASK_PLACE, .method = HTTP_POST, .path = "/orders" };
    ask.key = client_new_key(shopper);
    ask.token = token;
    ask.lines_count = 1;
    ask.lines[0] = (struct model_line){ .sku = 0, .quantity = 2 };
    ask.wait_ms = 1000;
    ask.body = str_z(shopper->model->arena,
                     str_format(shopper->model->arena,
                                "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":2}],\"payment\":%s}",
                                payment));
    client_done(client_ask(shopper, &ask));
    order = ask.kept->order;
}

static void move(struct client_of_shop *client, enum ask_kind kind, const char *rest,
                 const char *body)
{
    struct ask ask = { .kind = kind, .method = HTTP_POST, .order = order, .body = body };
    ask.path = str_z(client->model->arena,
                     str_format(client->model->arena, "/orders/%s%s", order->id, rest));
    ask.key = client_new_key(client);
    client_done(client_ask(client, &ask));
    RULE(ask.kept->is_concluded, "answers", "%s was refused", ask.path);
}

static void place_approved(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)staff;
    place(shopper, "{\"provider\":\"simulator\",\"token\":\"approve\"}", "approve");
}

static void place_and_rest(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    place_approved(shopper, staff);
    sleep_until(clock_mono_us() + 3 * TIME_SECOND);
}

static void place_manual(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)staff;
    place(shopper, "{\"provider\":\"manual\"}", "manual");
    sleep_until(clock_mono_us() + TIME_SECOND);
}

static void cancel(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)staff;
    move(shopper, ASK_CANCEL, "/cancel", "{}");
}

static void pay(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    const char *body =
        str_z(staff->model->arena,
              str_format(staff->model->arena, "{\"amount\":{\"amount\":%lld,\"currency\":\"EUR\"}}",
                         (long long)order->total));
    move(staff, ASK_PAY, "/payments", body);
}

static void fulfil(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    move(staff, ASK_FULFIL, "/fulfilments", "{}");
}

static void refund(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    move(staff, ASK_REFUND, "/refunds", "{}");
}

static void place_and_fulfil(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    place_and_rest(shopper, staff);
    fulfil(shopper, staff);
}

static void deliver(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    move(staff, ASK_DELIVER, "/deliveries", "{}");
}

static void adjust(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    struct ask ask = { .kind = ASK_ADJUST,
                       .method = HTTP_POST,
                       .path = "/products/stock/sim-0/adjustments",
                       .body = "{\"delta\":3,\"reason\":\"received\"}",
                       .delta = 3,
                       .expected = -1 };
    ask.key = client_new_key(staff);
    client_done(client_ask(staff, &ask));
    RULE(ask.kept->is_concluded, "answers", "%s was refused", ask.path);
}

static void import(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    (void)shopper;
    staff_import(staff);
}

/* ---- a run in a process of its own ---- */

static struct plan plan_of_scene(void)
{
    struct plan plan = plan_small(SEED);
    plan.shoppers_count = plan.staff_count = plan.skus_count = 1;
    plan.bus = (struct plan_bus){ 0 };
    plan.peers = (struct plan_peers){ 0 };
    plan.stock_max = 60;
    plan.hold_us = 300 * TIME_SECOND;
    plan.crashes = 1; /* clients look whether the shop is still there */
    plan.captures_at_confirm = true;
    for (int i = 0; i < plan.settings_count; i++) {
        if (strncmp(plan.settings[i], "HOLD_TIME=", 10) == 0)
            snprintf(plan.settings[i], PLAN_SETTING_BYTES, "HOLD_TIME=300s");
        if (strncmp(plan.settings[i], "PAYMENT_CAPTURE=", 16) == 0)
            snprintf(plan.settings[i], PLAN_SETTING_BYTES, "PAYMENT_CAPTURE=confirm");
    }
    return plan;
}

/* What a run comes to. */
struct told {
    int64_t ios, faults, crashes, allocations;
};

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

/* ---- copies of a run that are killed ---- */

enum { KILLS_MAX = 2 };

/* Where the run that this process has forks, and where it was killed itself. */
static struct {
    struct scene *scene;
    int kills, kills_max;
    int64_t ios; /* since the beginning, or since it was killed */
    int64_t killed_at[KILLS_MAX];
    int64_t from, apart[KILLS_MAX]; /* of the first kills, those from there on; every nth */
    int part, parts;                /* of the first kills */
} forks;

/* By all copies. */
static struct {
    int64_t ended, failed; /* of those that were killed as often as it is asked for */
} * copies;

static bool is_place(void)
{
    int64_t at = forks.ios - 1;
    if (forks.kills == 0)
        return forks.ios >= forks.from && at / forks.apart[0] % forks.parts == forks.part - 1 &&
               at % forks.apart[0] == 0;
    return at % forks.apart[forks.kills] == 0;
}

static void tell_copy(const char *what)
{
    printf("%s: killed at I/O", what);
    for (int i = 0; i < forks.kills; i++)
        printf(" %lld", (long long)forks.killed_at[i]);
    printf(" (%s)\n", forks.scene->is_power_cut ? "power cut" : "process");
    fflush(stdout);
}

/* True in a copy, which is killed now. */
static bool fork_killed(bool is_power_cut)
{
    fflush(NULL);
    pid_t copy = fork();
    CHECK(copy >= 0);
    if (copy > 0) {
        int status = 0;
        CHECK(waitpid(copy, &status, 0) == copy);
        copies->failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        return false;
    }
    forks.scene->is_power_cut = is_power_cut;
    forks.killed_at[forks.kills++] = forks.ios;
    forks.ios = 0;
    return true;
}

/* A second kill is of the kind of the first. */
static bool fork_at_io(void *subject)
{
    (void)subject;
    forks.ios++;
    if (forks.kills == forks.kills_max || !is_place())
        return false;
    if (forks.kills > 0)
        return fork_killed(forks.scene->is_power_cut);
    bool is_copy = fork_killed(false) || fork_killed(true);
    if (!is_copy && forks.kills_max > 1) {
        printf("first at %lld: %lld pairs so far\n", (long long)forks.ios,
               (long long)copies->ended);
        fflush(stdout);
    }
    return is_copy;
}

static void tell_end(void)
{
    if (forks.kills > 0)
        tell_copy("broken");
}

/* The end of a copy, with its books in order. */
static void leave_if_killed(int crashes)
{
    if (forks.kills == 0)
        return;
    if (crashes < forks.kills) {
        tell_copy("it goes on without a kill");
        _exit(1);
    }
    copies->ended += forks.kills == forks.kills_max;
    _exit(0);
}

static void run_in_child(struct scene *scene, const char *folder, int outcome_fd)
{
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    /* By what it has had of the processor, which its copies have not. */
    struct rlimit seconds = { SECONDS_MAX, SECONDS_MAX + 10 };
    int code = setrlimit(RLIMIT_CPU, &seconds);
    ASSERT(code == 0);
    story_open(SEED, false);
    story_on_abort();
    story_leave_with(tell_end);
    forks.scene = scene;
    run_scene(&run, arena, plan_of_scene(), str_of_z(folder), scene);
    check_rest(arena, run.model, run.world, run.folder);
    leave_if_killed(run.outcome.crashes);
    struct told told = { scene->ios, scene->faults, run.outcome.crashes, scene->allocations };
    if (write(outcome_fd, &told, sizeof told) != sizeof told)
        abort();
    _exit(0);
}

static void describe(const struct scene *scene, char *out, size_t room)
{
    static const char *const ops[DISK_OPS_COUNT] = { "read", "write", "sync" };
    snprintf(out, room, "%s %lld failed", scene->fault_at ? ops[scene->fault_op] : "nothing",
             (long long)scene->fault_at);
}

/* Fails the test where a rule was broken. */
static struct told play(struct test *t, struct scene scene)
{
    char folder[PATH_BYTES], what[200];
    struct told told = { 0 };
    int ends[2], status = 0;
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/duka-sim-XXXXXX", parent);
    CHECK(mkdtemp(folder) && pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run_in_child(&scene, folder, ends[1]);
    }
    close(ends[1]);
    bool has_told = read(ends[0], &told, sizeof told) == sizeof told;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    describe(&scene, what, sizeof what);
    if (!has_told || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("%s: status 0x%x", what, (unsigned)status);
    (void)t;
    return told;
}

/* Every place where EVERY is set; else some, the first among them. */
static int64_t step_of(int64_t places, int some)
{
    return getenv("EVERY") ? 1 : (places + some - 1) / some;
}

/* Gives how many copies there were that were killed so often. */
static int64_t play_killed(struct test *t, struct scene scene, int kills)
{
    alarm(24 * 3600);
    copies = mmap(NULL, sizeof *copies, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(copies != MAP_FAILED);
    forks.kills_max = kills;
    scene.at_io = fork_at_io;
    CHECK_INT(play(t, scene).crashes, 0);
    CHECK_INT(copies->failed, 0);
    int64_t ended = copies->ended;
    munmap(copies, sizeof *copies);
    return ended;
}

static void kill_at_every_io(struct test *t, struct scene scene)
{
    int64_t ios = play(t, scene).ios, step = step_of(ios, POINTS_STANDARD);
    CHECK(ios > 10);
    forks.from = forks.part = forks.parts = 1;
    forks.apart[0] = step;
    int64_t killed = play_killed(t, scene, 1);
    CHECK_INT(killed, 2 * ((ios + step - 1) / step));
    printf("%s: %lld I/Os, killed %lld times\n", t->name, (long long)ios, (long long)killed);
}

/* Until the nth is not reached any more. A failed sync ends the process. */
static void fail_every_io_of(struct test *t, struct scene scene, bool writes)
{
    static const struct {
        enum disk_op op;
        enum disk_fault fault;
        const char *name;
    } ways[] = { { DISK_READ, DISK_EIO, "reads" },
                 { DISK_WRITE, DISK_EIO, "writes" },
                 { DISK_WRITE, DISK_ENOSPC, "writes without room" },
                 { DISK_SYNC, DISK_EIO, "syncs" } };
    alarm(2 * 3600);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        int failed = 0;
        scene.fault_op = ways[i].op;
        scene.fault = ways[i].fault;
        for (scene.fault_at = 1;; scene.fault_at += getenv("EVERY") ? 1 : IOS_APART) {
            struct told told = play(t, scene);
            CHECK_INT(told.crashes, told.faults > 0 && ways[i].op == DISK_SYNC);
            if (told.faults == 0)
                break;
            failed++;
        }
        CHECK(failed > 0 || !writes);
        printf("%s: %d %s failed\n", t->name, failed, ways[i].name);
    }
}

static void fail_every_io(struct test *t, struct scene scene) { fail_every_io_of(t, scene, true); }

/* In one run: a request that found no room is asked again, with room for one more. */
static void fail_every_allocation(struct test *t, struct scene scene)
{
    alarm(2 * 3600);
    scene.fails_allocations = true;
    struct told told = play(t, scene);
    CHECK(told.allocations > 0);
    CHECK_INT(told.crashes, 0);
    printf("%s: %lld allocations failed\n", t->name, (long long)told.allocations);
}

/* ---- the scenes ---- */

static const struct scene an_order_is_placed = { .act = place_approved };
static const struct scene an_order_is_cancelled = { .before = place_and_rest, .act = cancel };
static const struct scene an_order_is_paid_by_hand = { .before = place_manual, .act = pay };
static const struct scene an_order_is_fulfilled = { .before = place_and_rest, .act = fulfil };
static const struct scene an_order_is_refunded = { .before = place_and_rest, .act = refund };
static const struct scene an_order_is_delivered = { .before = place_and_fulfil, .act = deliver };
static const struct scene stock_is_adjusted = { .act = adjust };
static const struct scene a_file_is_imported = { .act = import };

TEST(killed_while_an_order_is_placed) { kill_at_every_io(t, an_order_is_placed); }

TEST(killed_while_an_order_is_cancelled) { kill_at_every_io(t, an_order_is_cancelled); }

TEST(killed_while_an_order_is_paid_by_hand) { kill_at_every_io(t, an_order_is_paid_by_hand); }

TEST(killed_while_an_order_is_fulfilled) { kill_at_every_io(t, an_order_is_fulfilled); }

TEST(killed_while_an_order_is_refunded) { kill_at_every_io(t, an_order_is_refunded); }

TEST(killed_while_stock_is_adjusted) { kill_at_every_io(t, stock_is_adjusted); }

TEST(killed_while_a_file_is_imported) { kill_at_every_io(t, a_file_is_imported); }

/* Killed at an I/O, and then at one of what the shop does next. */
TEST(killed_twice_while_an_order_is_placed)
{
    const char *pairs = getenv("PAIRS"), *from = getenv("FROM");
    struct scene scene = an_order_is_placed;
    int64_t ios = play(t, scene).ios;
    bool is_whole = pairs && sscanf(pairs, "%d/%d", &forks.part, &forks.parts) == 2;
    CHECK(!is_whole || (forks.part >= 1 && forks.part <= forks.parts));
    if (!is_whole)
        forks.part = forks.parts = 1;
    forks.from = from && *from ? strtol(from, NULL, 10) : 1;
    forks.apart[0] = is_whole ? 1 : step_of(ios, FIRSTS_STANDARD);
    forks.apart[1] = is_whole ? 1 : SECONDS_APART;
    int64_t killed = play_killed(t, scene, 2);
    CHECK(killed >= 2 * FIRSTS_STANDARD);
    printf("%s: %lld I/Os, killed at %lld pairs of places\n", t->name, (long long)ios,
           (long long)killed);
}

TEST(each_io_fails_while_an_order_is_placed) { fail_every_io(t, an_order_is_placed); }

TEST(each_io_fails_while_an_order_is_cancelled) { fail_every_io(t, an_order_is_cancelled); }

TEST(each_io_fails_while_an_order_is_paid_by_hand) { fail_every_io(t, an_order_is_paid_by_hand); }

TEST(each_io_fails_while_an_order_is_fulfilled) { fail_every_io(t, an_order_is_fulfilled); }

TEST(each_io_fails_while_an_order_is_refunded) { fail_every_io(t, an_order_is_refunded); }

TEST(each_io_fails_while_stock_is_adjusted) { fail_every_io(t, stock_is_adjusted); }

TEST(each_io_fails_while_a_file_is_imported) { fail_every_io(t, a_file_is_imported); }

TEST(each_allocation_fails_while_an_order_is_placed)
{
    fail_every_allocation(t, an_order_is_placed);
}

TEST(each_allocation_fails_while_an_order_is_cancelled)
{
    fail_every_allocation(t, an_order_is_cancelled);
}

TEST(each_allocation_fails_while_an_order_is_paid_by_hand)
{
    fail_every_allocation(t, an_order_is_paid_by_hand);
}

TEST(each_allocation_fails_while_an_order_is_fulfilled)
{
    fail_every_allocation(t, an_order_is_fulfilled);
}

TEST(each_allocation_fails_while_an_order_is_refunded)
{
    fail_every_allocation(t, an_order_is_refunded);
}

TEST(each_io_fails_while_an_order_is_delivered) { fail_every_io(t, an_order_is_delivered); }

TEST(each_allocation_fails_while_an_order_is_delivered)
{
    fail_every_allocation(t, an_order_is_delivered);
}

TEST(each_allocation_fails_while_stock_is_adjusted) { fail_every_allocation(t, stock_is_adjusted); }

TEST(each_allocation_fails_while_a_file_is_imported)
{
    fail_every_allocation(t, a_file_is_imported);
}

/* ---- every call of the contract ---- */

static const char *const have_scenes[] = {
    "orders.create_order",      "orders.cancel_order",    "orders.record_payment",
    "orders.create_fulfilment", "orders.create_refund",   "orders.record_delivery",
    "products.adjust_stock",    "products.create_import", NULL,
};

/* Not asked by a client: neighbours do, while an order is placed, or where programs lie apart; or
 * its answer comes in pieces, which takes a socket (tests/e2e). */
static const char *const have_no_client[] = { "products.quote", "products.export_products",
                                              "users.find_address", "users.changes_since", NULL };

static bool is_among(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static bool is_called(const char *name)
{
    for (int i = 0; calls_name(i); i++)
        if (strcmp(calls_name(i), name) == 0)
            return true;
    return is_among(have_scenes, name) || is_among(have_no_client, name);
}

TEST(no_call_of_the_contract_is_left_out)
{
    const struct service_spec *specs[] = { &users_service_spec, &products_service_spec,
                                           &orders_service_spec };
    int count = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < specs[i]->calls_count; j++, count++)
            if (!is_called(specs[i]->calls[j].short_name))
                FAIL("%s has neither a row in calls.c nor a scene", specs[i]->calls[j].short_name);
    printf("%d calls\n", count);
}

static const struct scene a_call_is_made = { .before = calls_before, .act = calls_act };

TEST(each_allocation_of_each_call_fails)
{
    for (int i = 0; calls_name(i); i += getenv("EVERY") ? 1 : CALLS_APART) {
        printf("%s\n", calls_name(i));
        calls_choose(i);
        fail_every_allocation(t, a_call_is_made);
    }
}

TEST(each_io_of_each_call_fails)
{
    for (int i = 0; calls_name(i); i += getenv("EVERY") ? 1 : 2 * CALLS_APART) {
        printf("%s\n", calls_name(i));
        calls_choose(i);
        fail_every_io_of(t, a_call_is_made, false);
    }
}
