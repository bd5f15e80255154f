/* The detectors of the simulation: each has to find the fault that is planted for it. A run is made
 * once; then its books, or what its clients know, are changed in a copy, and checked. */
#include "tests/lib/test.h"
#include "tests/sim/memory_disk.h"
#include "tests/sim/run.h"
#include "tests/sim/story.h"
#include <fcntl.h>
#include <stdio.h>

enum { SEED = 7, SECONDS_MAX = 300, TOLD_BYTES = 64 * 1024, PATH_BYTES = 200 };

/* ---- a run whose books stay ---- */

static struct {
    struct arena *arena;
    struct run run;
    bool is_made;
    char folder[PATH_BYTES];
} kept;

/* A fresh folder in memory where there is some. */
static void make_folder(char folder[PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");
    parent = parent ? parent : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, PATH_BYTES, "%s/duka-sim-XXXXXX", parent);
    ASSERT(mkdtemp(folder));
}

static void must_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void must_run(const char *format, ...)
{
    char command[2 * PATH_BYTES + 100];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ASSERT(system(command) == 0);
}

static void remove_kept(void) { must_run("rm -rf '%s'", kept.folder); }

static void make_run(void)
{
    if (kept.is_made)
        return;
    kept.is_made = true;
    kept.arena = arena_open(SIZE_MAX);
    alarm(SECONDS_MAX);
    story_open(SEED, false);
    make_folder(kept.folder);
    atexit(remove_kept);
    must_run("mkdir '%s/books'", kept.folder);
    str books = str_format(kept.arena, "%s/books", kept.folder);
    run_seed(&kept.run, kept.arena, plan_small(SEED), books, PLANTED_NOTHING);
    memory_disk_save();
}

/* ---- in a child, which must end with a broken rule ---- */

static const char *told_by(struct test *t, void (*run)(void *subject), void *subject, int *status)
{
    int ends[2];
    fflush(NULL);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        signal(SIGALRM, SIG_DFL);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(SECONDS_MAX);
        run(subject);
        _exit(0);
    }
    close(ends[1]);
    char *told = arena_array(t->arena, char, TOLD_BYTES + 1), rest[256];
    size_t len = 0;
    for (ssize_t got; (got = read(ends[0], told + len, TOLD_BYTES - len)) > 0;)
        len += (size_t)got;
    while (read(ends[0], rest, sizeof rest) > 0)
        ;
    close(ends[0]);
    CHECK(waitpid(child, status, 0) == child);
    return told;
}

static void check_found(struct test *t, void (*run)(void *subject), void *subject, const char *rule)
{
    int status;
    const char *told = told_by(t, run, subject, &status);
    str wanted = str_format(t->arena, "VIOLATED %s (seed", rule);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != STORY_EXIT)
        FAIL("expected \"%s\" to be broken, got status 0x%x: %.600s", rule, (unsigned)status, told);
    if (str_find(str_of_z(told), wanted) < 0)
        FAIL("expected \"%s\" to be broken, got: %.600s", rule, told);
}

/* ---- changed books ---- */

struct change {
    const char *name, *rule;
    const char *file; /* which book is changed */
    const char *sql;
};

/* The whole of the shop's books must be looked through, so each rule has its fault. A sum that fits
 * is no proof: some of the changes keep every sum. The first break what holds at any moment. */
static const struct change changes[] = {
    { "stock that is promised twice", "stock is never negative", "products",
      "pragma ignore_check_constraints=1; update stock set reserved = on_hand + 1" },
    { "a reservation without a hold", "reserved is the sum of the open holds", "products",
      "update stock set on_hand = on_hand + 1, reserved = reserved + 1" },
    { "a unit that no ledger explains", "on hand is the sum of the ledger", "products",
      "update stock set on_hand = on_hand + 1" },
    { "a hold of a refused order", "only open reservations hold units", "products",
      "insert into holds select r.order_id, s.sku, 1, 0, 0, 1 from reservations r, stock s"
      " where r.order_id not in (select order_id from holds) limit 1;"
      "update reservations set state = 'refused' where order_id in"
      " (select order_id from holds where quantity = released)" },
    { "money without an order", "no money without an order", "payments-simulator",
      "insert into payments values (randomblob(16), 'approve', 100, 'EUR', 2, 1, 0)" },
    { "another amount at the bank", "no money without an order", "payments-simulator",
      "update payments set amount_minor = amount_minor + 1 where id = (select min(id) from"
      " payments)" },
    { "money of a rejected order", "money is captured only after the order was confirmed",
      "payments-simulator", "update payments set known = 3 where known = 4" },
    { "an authorization that stays", "an order that is over keeps no money", "payments-simulator",
      "update payments set known = 2 where known = 4" },
    { "a capture that the bank forgot", "an order claims no more than the bank knows",
      "payments-simulator", "update payments set known = 2 where known = 3" },
    { "a refund that is not in the books", "what an order took and gave back follows its payment",
      "orders", "update orders set refunded_minor = captured_minor where payment = 'captured'" },
    { "a dead letter", "no event is a dead letter but one that was refused", "products",
      "insert into dead_letters (topic, key, number, event_id, type, payload, event_at, error,"
      " tries,"
      " state, at) values ('t', 'k', 1, x'00', 'type', x'', 0, 'why', 1, 'dead', 0)" },
    { "a hold that moved to another order", "holds and ledger equal the order's lines", "products",
      "create temp table pick as select a.order_id as giver, b.order_id as taker, a.sku as sku"
      " from holds a join holds b on a.sku = b.sku and a.order_id <> b.order_id"
      " join reservations r on r.order_id = b.order_id and r.state = 'reserved'"
      " where a.quantity > a.shipped + 1 and a.released = 0 and b.released = 0 limit 1;"
      "update holds set quantity = quantity - 1 where (order_id, sku) = (select giver, sku from"
      " pick);"
      "update holds set quantity = quantity + 1 where (order_id, sku) = (select taker, sku from"
      " pick)" },
    { "a shipment of another order", "holds and ledger equal the order's lines", "products",
      "update ledger set order_id = (select max(order_id) from ledger where kind = 'shipped')"
      " where number = (select min(number) from ledger where kind = 'shipped')" },
    { "a reservation that was never closed", "holds and ledger equal the order's lines", "products",
      "update reservations set state = 'reserved' where order_id = (select order_id from"
      " reservations where state = 'closed' and order_id not in (select order_id from holds)"
      " limit 1)" },
    { "an order that was never settled", "every order settles", "orders",
      "update orders set status = 'placed', payment = 'none' where payment = 'none'" },
    { "an order that is gone", "each answered order exists once", "orders",
      "pragma foreign_keys=off; delete from orders where payment = 'none' and id ="
      " (select min(id) from orders where payment = 'none')" },
    { "a doubled order", "each answered order exists once", "orders",
      "insert into orders select randomblob(16), customer, status, payment, fulfilment,"
      " total_minor,"
      " currency, captured_minor, refunded_minor, provider, payment_token, address, reason,"
      " hold_until, event_number, version, created_at, updated_at, forgotten,"
      " traceparent from orders where"
      " payment ="
      " 'none'"
      " limit 1" },
    { "an order of somebody else", "an order is what was asked for", "orders",
      "update orders set customer = randomblob(16) where id = (select max(id) from orders)" },
    { "a line with more units", "an order is what was asked for", "orders",
      "update order_lines set quantity = quantity + 1 where order_id = (select max(id) from"
      " orders)" },
    { "a step that was not told", "the timeline explains the state", "orders",
      "delete from timeline where what = 'payment.authorized'" },
    { "a step that may not be", "the timeline explains the state", "orders",
      "update timeline set what = 'completed' where what = 'reserved'" },
    { "steps that go back in time", "the timeline explains the state", "orders",
      "update timeline set at = 1 where what in ('reserved', 'cancelling', 'rejected')" },
    { "a price that was forgotten", "prices reach Orders", "orders",
      "update prices set unit_minor = unit_minor + 1" },
    { "an event that was not applied", "each event is announced once and applied once, in order",
      "products", "update inbox_heads set number = number - 1 where number > 1" },
    { "an event that was not announced", "each event is announced once and applied once, in order",
      "orders", "update orders set event_number = event_number + 1" },
    { "an event in the outbox", "nothing is on its way any more", "orders",
      "insert into outbox (position, id, type, topic, key, number, payload, at) values"
      " (1, x'00', 't', 't', 'k', 1, x'', 0)" },
    { "an event that is held", "nothing is on its way any more", "products",
      "insert into inbox_held (topic, key, number, event_id, type, payload, event_at, at) values"
      " ('t', 'k', 2, x'00', 't', x'', 0, 0)" },
    { "a payment job that is left", "nothing is on its way any more", "orders",
      "insert into payment_jobs select id, 'capture', 0, 0, 0 from orders limit 1" },
    { "a key that has no answer", "a key is kept where it has an answer", "orders",
      "update once set answered_at = null where position = (select min(position) from once)" },
    { "a key that was forgotten", "a key is kept where it has an answer", "products",
      "delete from once where position = (select min(position) from once)" },
};
enum { CHANGES_COUNT = sizeof changes / sizeof changes[0], CHANGES_OF_A_MOMENT = 11 };

static void must(sqlite3 *db, int code)
{
    if (code != SQLITE_OK)
        panic(ERR_PLACE, "the books cannot be changed", sqlite3_errmsg(db));
}

static void change_book(const char *file, const char *sql, const char *name)
{
    sqlite3 *db;
    char path[PATH_BYTES + 100];
    snprintf(path, sizeof path, "%s/copy/%s.db", kept.folder, file);
    must(NULL, sqlite3_open(path, &db));
    must(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
    if (sqlite3_total_changes(db) == 0)
        panic(ERR_PLACE, "the fault found no place to be planted", name);
    must(db, sqlite3_close(db));
}

static str copy_books(void)
{
    must_run("rm -rf '%s/copy' && cp -r '%s/books' '%s/copy'", kept.folder, kept.folder,
             kept.folder);
    return str_format(kept.arena, "%s/copy", kept.folder);
}

/* Changes a copy of the books. */
static void run_changed(void *subject)
{
    const struct change *change = subject;
    str folder = copy_books();
    if (change->file)
        change_book(change->file, change->sql, change->name);
    check_rest(kept.arena, kept.run.model, kept.run.world, folder);
}

/* While the shop is at work only what has moved is looked at: all is found to be in order, then
 * changed, and all orders move. */
static void look_at_changed(void *subject)
{
    const struct change *change = subject;
    kept.run.world->folder = copy_books();
    struct check *check = check_make(kept.arena, kept.run.model, kept.run.world);
    check_open(check);
    check_now(check);
    if (change->file)
        change_book(change->file, change->sql, change->name);
    change_book("orders", "update orders set version = version + 1", "orders");
    change_book("products", "update reservations set updated_at = updated_at + 1", "products");
    check_now(check);
    check_close(check);
}

/* ---- what clients know, changed ---- */

static void forget_adjustment(void *subject)
{
    (void)subject;
    kept.run.model->skus[0].adjusted++;
    run_changed(&(struct change){ .name = "" });
}

static struct model_order *order_that(bool (*is_so)(const struct model_order *))
{
    for (int i = 0; i < kept.run.model->orders_count; i++)
        if (is_so(&kept.run.model->orders[i]))
            return &kept.run.model->orders[i];
    panic(ERR_PLACE, "the fault found no place to be planted", __func__);
}

static bool has_parcels(const struct model_order *order) { return order->parcels_count > 0; }
static bool is_any(const struct model_order *order) { return !order->cancelled; }

static void forget_parcel(void *subject)
{
    (void)subject;
    order_that(has_parcels)->parcels_count--;
    run_changed(&(struct change){ .name = "" });
}

static void remember_cancel(void *subject)
{
    (void)subject;
    for (int i = 0; i < kept.run.model->orders_count; i++)
        if (is_any(&kept.run.model->orders[i]))
            kept.run.model->orders[i].cancelled = true;
    run_changed(&(struct change){ .name = "" });
}

static void remember_key(void *subject)
{
    (void)subject;
    for (int i = 0; i < kept.run.model->keys_count; i++)
        if (!kept.run.model->keys[i].is_concluded) {
            kept.run.model->keys[i].is_concluded = true;
            kept.run.model->keys[i].unmarked = 1;
            break;
        }
    run_changed(&(struct change){ .name = "" });
}

static void mark_all(void *subject)
{
    (void)subject;
    for (int i = 0; i < kept.run.model->keys_count; i++)
        kept.run.model->keys[i].unmarked = 0;
    run_changed(&(struct change){ .name = "" });
}

TEST(books_that_nobody_changed_break_no_rule)
{
    int status;
    make_run();
    const char *told = told_by(t, run_changed, &(struct change){ .name = "" }, &status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("status 0x%x: %s", (unsigned)status, told);
}

TEST(each_fault_of_a_moment_is_found_at_an_answer)
{
    int status;
    make_run();
    alarm(SECONDS_MAX);
    const char *told = told_by(t, look_at_changed, &(struct change){ .name = "" }, &status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("status 0x%x: %s", (unsigned)status, told);
    for (int i = 0; i < CHANGES_OF_A_MOMENT; i++) {
        printf("%s\n", changes[i].name);
        check_found(t, look_at_changed, (void *)(uintptr_t)&changes[i], changes[i].rule);
    }
}

TEST(each_fault_in_the_books_is_found)
{
    make_run();
    alarm(SECONDS_MAX);
    for (int i = 0; i < CHANGES_COUNT; i++) {
        printf("%s\n", changes[i].name);
        check_found(t, run_changed, (void *)(uintptr_t)&changes[i], changes[i].rule);
    }
}

TEST(what_clients_know_is_held_against_the_books)
{
    make_run();
    check_found(t, forget_adjustment, NULL, "on hand = initial + adjusted + returned - shipped");
    check_found(t, forget_parcel, NULL, "each parcel that was answered left once");
    check_found(t, remember_cancel, NULL, "what was answered came true");
    check_found(t, remember_key, NULL, "a key is kept where it has an answer");
    check_found(t, mark_all, NULL, "once");
}

/* ---- what an erasure may take ---- */

TEST(a_write_is_dated_back_only_where_the_clock_was_put_back_before_it)
{
    struct plan plan = plan_small(SEED);
    struct model model = { .plan = &plan };
    model_jumped(&model, 1000 * TIME_SECOND, 60 * TIME_SECOND);
    CHECK(model_put_back_us(&model, 1000 * TIME_SECOND) == 0);
    model_jumped(&model, 900 * TIME_SECOND, -159 * TIME_SECOND);
    CHECK(model_put_back_us(&model, 900 * TIME_SECOND + TIME_MS) == 159 * TIME_SECOND);
    CHECK(model_put_back_us(&model, 900 * TIME_SECOND - TIME_SECOND) == 0);
    CHECK(model_put_back_us(&model, 901 * TIME_SECOND) == 0);
}

/* When a call was made, and when it heard. */
struct moments {
    int64_t sent_us, at_us;
};

/* A repeat of what has its answer since 5 us, refused. */
static void hear_refused_repeat(void *subject)
{
    struct arena *arena = arena_open(SIZE_MAX);
    struct model *model = arena_new(arena, struct model);
    struct plan plan = plan_small(SEED);
    model_init(model, arena, &plan);
    struct ask ask = { .kind = ASK_PLACE, .path = "/orders", .body = "{}", .key = "k" };
    ask.kept = model_key_of(model, &ask);
    ask.kept->body = "{}";
    ask.kept->is_concluded = true;
    ask.kept->first_us = 5;
    const struct moments *moments = subject;
    struct reply reply = { .status = 409,
                           .code = STR("price.changed"),
                           .sent_us = moments->sent_us,
                           .at_us = moments->at_us };
    RULE(model_hear(model, &ask, &reply) == HEARD_REFUSED, "refused", "a 409 counts as an answer");
}

TEST(a_refusal_that_came_before_the_answer_is_allowed_and_one_after_it_is_found)
{
    struct moments allowed[] = { { 1, 4 }, { 1, 5 }, { 4, 60 } };
    struct moments found[] = { { 5, 6 }, { 6, 60 }, { 4, 5 + 100 * TIME_MS } };
    for (int i = 0; i < 3; i++) {
        int status;
        const char *told = told_by(t, hear_refused_repeat, &allowed[i], &status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            FAIL("status 0x%x: %s", (unsigned)status, told);
        check_found(t, hear_refused_repeat, &found[i], "once");
    }
}

struct repeat {
    bool is_of_account, was_late, is_concluded;
};

/* Staff ask again under a key about an order, and hear that there is no such thing. */
static void hear_gone_again(void *subject)
{
    const struct repeat *repeat = subject;
    struct arena *arena = arena_open(SIZE_MAX);
    struct model *model = arena_new(arena, struct model);
    struct plan plan = plan_small(SEED);
    model_init(model, arena, &plan);
    model->erasure_asked = true;
    model->account = (struct uuid){ { 1 } };
    struct model_order *order = &model->orders[model->orders_count++];
    order->customer = (struct uuid){ { repeat->is_of_account ? 1 : 2 } };
    struct ask ask = { .kind = ASK_DELIVER, .path = "/orders/x/deliveries", .body = "{}" };
    ask.key = "k";
    ask.order = order;
    ask.kept = model_key_of(model, &ask);
    ask.kept->body = "{}";
    ask.kept->sent = 1;
    ask.kept->was_late = repeat->was_late;
    ask.kept->is_concluded = repeat->is_concluded;
    struct reply reply = { .status = 404, .code = STR("not_found"), .at_us = 2 };
    RULE(model_hear(model, &ask, &reply) == HEARD_REFUSED, "refused", "a 404 counts as an answer");
    RULE(order->is_uncertain == !repeat->is_concluded, "uncertain", "nobody knows of it");
}

TEST(an_erasure_takes_what_is_kept_under_keys_about_its_orders)
{
    struct repeat allowed[] = { { .is_of_account = true, .is_concluded = true },
                                { .is_of_account = true, .was_late = true } };
    struct repeat of_another = { .is_concluded = true };
    for (int i = 0; i < 2; i++) {
        int status;
        const char *told = told_by(t, hear_gone_again, &allowed[i], &status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            FAIL("status 0x%x: %s", (unsigned)status, told);
    }
    check_found(t, hear_gone_again, &of_another, "once");
    struct repeat first = { .is_of_account = true };
    check_found(t, hear_gone_again, &first, "uncertain");
}

/* ---- faults of a whole run ---- */

static void run_planted(void *subject)
{
    const enum planted *planted = subject;
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    char folder[PATH_BYTES];
    make_folder(folder);
    story_open(SEED, false);
    run_seed(&run, arena, plan_small(SEED), str_of_z(folder), *planted);
    must_run("rm -rf '%s'", folder);
    dprintf(STDOUT_FILENO, "trace %llu\n", (unsigned long long)run.outcome.trace_hash);
}

/* Killed, with the power cut, three times. Whichever rule it breaks first. */
static void run_lying(void *subject)
{
    uint64_t seed = *(const uint64_t *)subject;
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    char folder[PATH_BYTES];
    make_folder(folder);
    story_open(seed, false);
    story_on_abort();
    struct plan plan = plan_small(seed);
    plan.crashes = 3;
    run_seed(&run, arena, plan, str_of_z(folder), PLANTED_LYING_SYNC);
    _exit(0);
}

static void check_planted(struct test *t, enum planted planted, const char *rule)
{
    alarm(SECONDS_MAX);
    check_found(t, run_planted, &planted, rule);
}

TEST(an_event_that_is_lost_for_ever_is_found)
{
    check_planted(t, PLANTED_EVENT_LOST, "everything comes to rest");
}

TEST(memory_that_nobody_gives_back_is_found)
{
    check_planted(t, PLANTED_MEMORY_KEPT, "memory keeps its bound");
}

/* Whether a power cut falls where something was promised is the seed's: some are tried. */
TEST(a_sync_that_does_nothing_is_found)
{
    enum { SEEDS = 6 };
    int status = 0;
    const char *told = "";
    bool found = false;
    alarm(SECONDS_MAX);
    for (uint64_t seed = SEED; seed < SEED + SEEDS && !found; seed++) {
        told = told_by(t, run_lying, &seed, &status);
        found = WIFEXITED(status) && WEXITSTATUS(status) == STORY_EXIT;
    }
    if (!found)
        FAIL("expected a broken rule, got status 0x%x: %.600s", (unsigned)status, told);
}

TEST(a_repeat_that_hears_something_else_is_found)
{
    check_planted(t, PLANTED_ANSWER_OTHER, "once");
}

TEST(a_repeat_that_is_not_marked_is_found) { check_planted(t, PLANTED_REPEAT_UNMARKED, "once"); }

TEST(an_answer_that_is_not_on_disk_is_found)
{
    check_planted(t, PLANTED_ANSWER_EARLY, "what is answered is on disk");
}

TEST(a_run_that_looks_at_the_real_clock_is_found)
{
    enum planted planted = PLANTED_REAL_CLOCK;
    const char *first = NULL;
    bool differ = false;
    for (int i = 0; i < 5 && !differ; i++) {
        int status;
        const char *told = told_by(t, run_planted, &planted, &status);
        CHECK(str_find(str_of_z(told), STR("trace ")) >= 0);
        differ = first && strcmp(first, told) != 0;
        first = told;
    }
    CHECK(differ);
}
