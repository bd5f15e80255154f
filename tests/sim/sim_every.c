/* The shop is killed at every single I/O of one placing, cancel, payment, fulfilment, refund: once
 * as a process, once with the power cut. Then it opens again on what is left, the client goes on,
 * and all the books are checked as after any run.
 *
 *     sim-every             some points of each, evenly spread: what make test does
 *     EVERY=1 sim-every     every point (make sim-every)
 */
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include "tests/sim/run.h"
#include "tests/sim/story.h"
#include <ftw.h>
#include <stdio.h>

enum { POINTS_STANDARD = 4, SEED = 11, SECONDS_MAX = 300, PATH_BYTES = 200 };

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
    int64_t told[2] = { scene->ios, run.outcome.crashes };
    if (write(outcome_fd, told, sizeof told) != sizeof told)
        abort();
    _exit(0);
}

/* Gives the number of I/Os; fails the test where a rule was broken. */
static int64_t play(struct test *t, struct scene scene)
{
    char folder[PATH_BYTES];
    int64_t told[2] = { 0 };
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
    bool has_told = read(ends[0], told, sizeof told) == sizeof told;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (!has_told || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("killed at I/O %lld (%s): status 0x%x", (long long)scene.kill_at,
             scene.is_power_cut ? "power cut" : "process", (unsigned)status);
    CHECK_INT(told[1], scene.kill_at > 0);
    (void)t;
    return told[0];
}

/* Every point where EVERY is set; else some, the first and the last among them. */
static void kill_at_every_io(struct test *t, struct scene scene)
{
    alarm(2 * 3600);
    int64_t ios = play(t, scene);
    int64_t step = getenv("EVERY") ? 1 : (ios + POINTS_STANDARD - 1) / POINTS_STANDARD;
    int killed = 0;
    CHECK(ios > 10);
    for (int64_t at = 1; at <= ios; at += step)
        for (int cut = 0; cut < 2; cut++) {
            scene.kill_at = at;
            scene.is_power_cut = cut;
            (void)play(t, scene);
            killed++;
        }
    printf("%s: %lld I/Os, killed %d times\n", t->name, (long long)ios, killed);
}

TEST(killed_while_an_order_is_placed)
{
    kill_at_every_io(t, (struct scene){ .act = place_approved });
}

TEST(killed_while_an_order_is_cancelled)
{
    kill_at_every_io(t, (struct scene){ .before = place_and_rest, .act = cancel });
}

TEST(killed_while_an_order_is_paid_by_hand)
{
    kill_at_every_io(t, (struct scene){ .before = place_manual, .act = pay });
}

TEST(killed_while_an_order_is_fulfilled)
{
    kill_at_every_io(t, (struct scene){ .before = place_and_rest, .act = fulfil });
}

TEST(killed_while_an_order_is_refunded)
{
    kill_at_every_io(t, (struct scene){ .before = place_and_rest, .act = refund });
}
