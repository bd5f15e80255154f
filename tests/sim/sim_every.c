/* One placing, cancel, payment, fulfilment, refund, adjustment and import, with one thing that goes
 * wrong at each place where it can: the shop is killed at every single I/O, as a process and with
 * the power cut; for placing, once more at every I/O of what follows; every I/O fails; every
 * allocation of the request finds no room. The client goes on until it has its answer, and all the
 * books are checked as after any run.
 *
 *     sim-every             some places of each, evenly spread: what make test does
 *     EVERY=1 sim-every     every place (make sim-every)
 *     PAIRS=1/2 sim-every   every pair of places of placing, or the first half of them (make
 * sim-pairs)
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

enum {
    POINTS_STANDARD = 4,
    PAIRS_STANDARD = 8,
    PAIRS_SEED = 1,
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
    int64_t ios, ios_again, faults, crashes, allocations;
};

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static void run_in_child(struct scene *scene, const char *folder, int outcome_fd)
{
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    signal(SIGALRM, SIG_DFL);
    alarm(SECONDS_MAX);
    story_open(SEED, false);
    story_on_abort();
    run_scene(&run, arena, plan_of_scene(), str_of_z(folder), scene);
    check_rest(arena, run.model, run.world, run.folder);
    struct told told = { scene->ios, scene->ios_again, scene->faults, run.outcome.crashes,
                         scene->allocations };
    if (write(outcome_fd, &told, sizeof told) != sizeof told)
        abort();
    _exit(0);
}

static void describe(const struct scene *scene, char *out, size_t room)
{
    static const char *const ops[DISK_OPS_COUNT] = { "read", "write", "sync" };
    snprintf(out, room, "killed at I/O %lld and %lld (%s), %s %lld failed",
             (long long)scene->kill_at, (long long)scene->again_at,
             scene->is_power_cut ? "power cut" : "process",
             scene->fault_at ? ops[scene->fault_op] : "", (long long)scene->fault_at);
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

static void kill_at_every_io(struct test *t, struct scene scene)
{
    alarm(2 * 3600);
    int64_t ios = play(t, scene).ios, step = step_of(ios, POINTS_STANDARD);
    int killed = 0;
    CHECK(ios > 10);
    for (int64_t at = 1; at <= ios; at += step)
        for (int cut = 0; cut < 2; cut++) {
            scene.kill_at = at;
            scene.is_power_cut = cut;
            CHECK_INT(play(t, scene).crashes, 1);
            killed++;
        }
    printf("%s: %lld I/Os, killed %d times\n", t->name, (long long)ios, killed);
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

/* splitmix64: which pairs, is the same each time. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
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
static bool kill_at_pair(struct test *t, struct scene scene, int64_t at, int64_t again_at,
                         int which)
{
    scene.kill_at = at;
    scene.again_at = again_at;
    scene.is_power_cut = which % 2;
    return play(t, scene).crashes == 2;
}

/* How many I/Os follow a kill there; none where all was on disk. */
static int64_t ios_behind(struct test *t, struct scene scene, int64_t at)
{
    scene.kill_at = at;
    return play(t, scene).ios_again;
}

/* Of `parts` parts the given one, from 1 on. */
static void kill_at_all_pairs(struct test *t, int part, int parts)
{
    struct scene scene = an_order_is_placed;
    int64_t ios = play(t, scene).ios;
    int killed = 0, tried = 0;
    for (int64_t at = part; at <= ios; at += parts) {
        int64_t again = ios_behind(t, scene, at);
        for (int64_t again_at = 1; again_at <= again; again_at++, tried++)
            killed += kill_at_pair(t, scene, at, again_at, tried);
        printf("first at %lld of %lld: %d pairs so far\n", (long long)at, (long long)ios, killed);
        fflush(stdout);
    }
    printf("%s: %d pairs tried, killed twice at %d\n", t->name, tried, killed);
}

TEST(killed_twice_while_an_order_is_placed)
{
    const char *pairs = getenv("PAIRS");
    int part = 1, parts = 1, killed = 0;
    alarm(24 * 3600);
    if (pairs && sscanf(pairs, "%d/%d", &part, &parts) >= 1 && part >= 1 && part <= parts) {
        kill_at_all_pairs(t, part, parts);
        return;
    }
    struct scene scene = an_order_is_placed;
    int64_t ios = play(t, scene).ios;
    uint64_t state = PAIRS_SEED;
    for (int i = 0; i < PAIRS_STANDARD; i++) {
        int64_t at = 1 + (int64_t)(next_random(&state) % (uint64_t)ios);
        uint64_t again = (uint64_t)ios_behind(t, scene, at);
        uint64_t chance = next_random(&state);
        if (again > 0)
            killed += kill_at_pair(t, scene, at, 1 + (int64_t)(chance % again), i);
    }
    CHECK(killed > PAIRS_STANDARD / 2);
    printf("%s: killed twice at %d pairs of places\n", t->name, killed);
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
