/* A whole shop that sells for months, under a clock that moves on: what its machinery writes down
 * for itself levels off in every table of every service (docs/internals/retention.md).
 *
 * `make levels` runs a hundred thousand orders; under the sanitizers it is a part of them. What
 * Products keeps of a hundred thousand is also in products_retention_test.c. */
#include "base/text.h"
#include "chassis/dead_letters.h"
#include "chassis/obs.h"
#include "chassis/sweeper.h"
#include "os/clock.h"
#include "os/random.h"
#include "tests/api/orders_shop.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 7, ROUND_ORDERS = 60 };
#else
enum { ROUNDS = 20, ROUND_ORDERS = 5000 };
#endif
enum { AT_ONCE = 100, TABLES_MAX = 64, LEVEL_FROM = 4 };

#define ROUND_US (10 * 86400 * TIME_SECOND)
#define PASSWORD "correct horse battery"

/* Everything is kept for less than three rounds. */
static const char *const SETTINGS[] = {
    "RETURN_TIME=8d", "INBOX_RETENTION=15d", "ONCE_RETENTION=15d", "REFRESH_TOKEN_TTL=15d",
    "DEAD_LETTER_RETENTION=15d", "AUDIT_RETENTION=15d", "API_KEY_RETENTION=15d",
    "PAYMENT_EVENT_RETENTION=15d", "SWEEP_INTERVAL=1d", "PASSWORD_LANES=2",
    /* A mail of the development mailer takes 8 ms: of rejected orders only. */
    "MAIL_ORDER_CONFIRMED=false", "MAIL_ORDER_SHIPPED=false", "MAIL_ORDER_CANCELLED=false",
    "MAIL_ORDER_REFUNDED=false", NULL
};

static int64_t wall_offset_us;

static int64_t wall_later(void)
{
    return clock_machine.wall_us() + __atomic_load_n(&wall_offset_us, __ATOMIC_RELAXED);
}

static void use_machine_clock(void *subject)
{
    (void)subject;
    clock_use(&clock_machine);
}

struct table {
    str name; /* "orders.once" */
    int64_t rows[ROUNDS];
};

struct levels {
    struct test *t;
    struct orders_shop *shop;
    struct inline_client operator_;
    struct table tables[TABLES_MAX];
    int tables_count;
    int round_orders;
    int keys; /* idempotency keys so far */
};

/* ---- people ---- */

static struct service *users_of(struct levels *self) { return users_service(self->shop->users); }

static struct inline_client anyone_at(struct levels *self, struct service *service)
{
    return inline_client(self->t, self->shop->house, inline_handle_service, service);
}

static void create(struct levels *self, const char *email, const char *role)
{
    str body = str_format(self->t->arena,
                          "{\"email\":\"%s\",\"password\":\"" PASSWORD "\",\"roles\":[\"%s\"]}",
                          email, role);
    CHECK_STATUS(inline_post(&self->operator_, "/operator/users", str_z(self->t->arena, body)),
                 201);
}

/* Logs in; the token is good at every service. */
static str log_in(struct levels *self, const char *email)
{
    struct test *t = self->t;
    struct inline_client anyone = anyone_at(self, users_of(self));
    str body = str_format(t->arena, "{\"email\":\"%s\",\"password\":\"" PASSWORD "\"}", email);
    struct answer_seen answer = inline_post(&anyone, "/users/login", str_z(t->arena, body));
    CHECK_STATUS(answer, 200);
    return inline_text(t, &answer, "/access_token");
}

static struct inline_client with_token(struct levels *self, struct service *service, str token)
{
    struct inline_client client = anyone_at(self, service);
    client.token = token;
    return client;
}

/* ---- the shop ---- */

static void start_users(struct orders_shop *shop) { users_start(shop->users); }

static void stop_users(void *subject) { users_stop(((struct orders_shop *)subject)->users); }

static struct levels *levels_open(struct test *t, const char *const *settings)
{
    static struct clock_ops ops;
    ops = (struct clock_ops){ clock_machine.mono_us, wall_later };
    wall_offset_us = 0;
    arena_defer(t->arena, use_machine_clock, NULL);
    clock_use(&ops);
    struct levels *self = arena_new(t->arena, struct levels);
    self->t = t;
    self->round_orders = ROUND_ORDERS;
    self->shop = orders_shop_open_with(t, settings, start_users);
    arena_defer(t->arena, stop_users, self->shop);
    self->operator_ = anyone_at(self, users_of(self));
    self->operator_.operator_ = true;
    return self;
}

static const char *new_key(struct levels *self)
{
    return str_z(self->t->arena, str_format(self->t->arena, "key-%d", ++self->keys));
}

static struct inline_pending *send(struct levels *self, struct inline_client *client,
                                   const char *target, const char *body)
{
    str key = str_format(self->t->arena, "idempotency-key: %s", new_key(self));
    const char *headers[] = { str_z(self->t->arena, key), "prefer: wait=10", NULL };
    return inline_send(client, "POST", target, headers, str_of_z(body));
}

static const char *path_of(struct levels *self, struct uuid order, const char *what)
{
    return str_z(self->t->arena, str_format(self->t->arena, "/orders/%" STR_F "/%s",
                                            STR_A(uuid_text(self->t->arena, order)), what));
}

/* Of ten orders one is cancelled; the rest go. (One that stays open keeps its rows, as it should.)
 */
static void finish(struct levels *self, const struct uuid *orders, int count)
{
    struct orders_shop *shop = self->shop;
    struct inline_pending *pending[AT_ONCE];
    for (int i = 0; i < count; i++)
        pending[i] = i % 10 == 1
                         ? send(self, &shop->shopper, path_of(self, orders[i], "cancel"), "{}")
                         : send(self, &shop->staff, path_of(self, orders[i], "fulfilments"), "{}");
    for (int i = 0; i < count; i++)
        CHECK_STATUS(inline_wait(pending[i]), 200);
}

static void sell(struct levels *self, int count)
{
    struct test *t = self->t;
    struct orders_shop *shop = self->shop;
    str body = orders_shop_body(shop, "{\"sku\":\"mug\",\"quantity\":1}", "approve");
    struct inline_pending *pending[AT_ONCE];
    struct uuid orders[AT_ONCE];
    for (int i = 0; i < count; i++)
        pending[i] = send(self, &shop->shopper, "/orders", str_z(t->arena, body));
    for (int i = 0; i < count; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        CHECK_STATUS(answer, 201);
        CHECK(uuid_parse(inline_text(t, &answer, "/id"), &orders[i]));
    }
    finish(self, orders, count);
}

static struct answer_seen pay(struct levels *self, const char *token)
{
    str body = orders_shop_body(self->shop, "{\"sku\":\"mug\",\"quantity\":1}", token);
    return inline_wait(send(self, &self->shop->shopper, "/orders", str_z(self->t->arena, body)));
}

/* A round's other works: each leaves rows somewhere. */
static void keep_house(struct levels *self, str admin_token, int round)
{
    struct test *t = self->t;
    struct service *users = users_of(self);
    struct inline_client anyone = anyone_at(self, users);
    struct inline_client admin = with_token(self, users, admin_token);
    str email = str_format(t->arena, "leaver-%d@example.com", round);
    create(self, str_z(t->arena, email), "customer");
    str token = log_in(self, str_z(t->arena, email));
    struct inline_client leaver = with_token(self, users, token);
    struct inline_client buyer = with_token(self, orders_service(self->shop->orders), token);
    str body = orders_shop_body(self->shop, "{\"sku\":\"mug\",\"quantity\":1}", "approve");
    struct answer_seen order = inline_wait(send(self, &buyer, "/orders", str_z(t->arena, body)));
    struct uuid id;
    CHECK_STATUS(order, 201);
    CHECK(uuid_parse(inline_text(t, &order, "/id"), &id));
    CHECK_STATUS(inline_wait(send(self, &buyer, path_of(self, id, "cancel"), "{}")), 200);
    str forgot = str_format(t->arena, "{\"email\":\"%" STR_F "\"}", STR_A(email));
    CHECK_STATUS(inline_post(&anyone, "/users/password/forgot", str_z(t->arena, forgot)), 204);
    CHECK_STATUS(inline_delete(&leaver, "/users/me"), 204);
    struct answer_seen made =
        inline_post(&admin, "/users/api-keys", "{\"name\":\"erp\",\"scopes\":[\"orders_read\"]}");
    CHECK_STATUS(made, 201);
    str key = str_format(t->arena, "/users/api-keys/%" STR_F, STR_A(inline_text(t, &made, "/id")));
    CHECK_STATUS(inline_delete(&admin, str_z(t->arena, key)), 204);
    CHECK_STATUS(inline_wait(send(self, &self->shop->catalog, "/products/stock/mug/adjustments",
                                  "{\"delta\":1,\"reason\":\"counted\"}")),
                 200);
    CHECK_STATUS(inline_post(&admin, "/users/logout", NULL), 204);
    CHECK_STATUS(pay(self, "decline"), 402); /* of which a mail tells */
    if (round % 4 == 0)                      /* it takes a second */
        CHECK_STATUS(pay(self, "webhook"), 201);
}

/* An event that nobody could read, given up by hand. */
static void skip_a_letter(struct levels *self, struct service *service)
{
    struct test *t = self->t;
    struct bus_event event = { .id = id_new(),
                               .type = STR(""),
                               .topic = STR("lost"),
                               .key = uuid_text(t->arena, id_new()),
                               .payload = STR("?"),
                               .at = clock_wall_us() };
    struct dead_letter letter = { .event = event, .error = STR("unreadable"), .tries = 1 };
    struct writer *writer = service_writer(service);
    err outcome = OK;
    writer_submit_and_wait(writer, write_new(t->arena, dead_letter_put, &letter), &outcome);
    CHECK_OK(outcome);
    struct dead_letter_place place = { event.topic, event.key, 0 };
    writer_submit_and_wait(writer, dead_letter_skip(t->arena, place, false), &outcome);
    CHECK_OK(outcome);
}

/* ---- what lies in the tables ---- */

static void sweep(struct service *service)
{
    struct call *job = service_job_open(service, "levels");
    CHECK_OK(sweeper_run(NULL, job));
    service_job_close(job);
}

static void sweep_all(struct levels *self)
{
    sweep(users_of(self));
    sweep(products_service(self->shop->products));
    sweep(orders_service(self->shop->orders));
}

static struct table *table_of(struct levels *self, str name)
{
    for (int i = 0; i < self->tables_count; i++)
        if (str_equal(self->tables[i].name, name))
            return &self->tables[i];
    ASSERT(self->tables_count < TABLES_MAX);
    struct table *table = &self->tables[self->tables_count++];
    table->name = name;
    return table;
}

/* Every duka_table_rows{service="S",table="T"} N into `round`; how many rows in all. */
static int64_t count_rows(struct levels *self, struct arena *names, int round)
{
    int64_t all = 0;
    struct arena *arena = arena_open(4 * 1024 * 1024);
    str rest = metrics_text(arena, METRICS_PROMETHEUS);
    while (rest.len > 0) {
        str line = str_cut(&rest, '\n'), before = str_cut(&line, '"');
        if (!str_equal(before, STR("duka_table_rows{service=")))
            continue;
        str service = str_cut(&line, '"');
        (void)str_cut(&line, '"');
        str table = str_cut(&line, '"');
        (void)str_cut(&line, ' ');
        int64_t rows = strtoll(str_z(arena, line), NULL, 10);
        str name = str_format(names, "%" STR_F ".%" STR_F, STR_A(service), STR_A(table));
        table_of(self, name)->rows[round] = rows;
        all += rows;
    }
    arena_close(arena);
    return all;
}

static int64_t rows_of(struct levels *self, const char *name, int round)
{
    for (int i = 0; i < self->tables_count; i++)
        if (str_equal(self->tables[i].name, str_of_z(name)))
            return self->tables[i].rows[round];
    test_fail(__FILE__, __LINE__, "no table %s is counted", name);
}

struct resting {
    struct levels *self;
    struct arena *names;
    int round;
    int64_t before;
};

/* Nothing waits to be done. */
static bool is_at_rest(void *subject)
{
    static const char *const WAITING[] = { "users.outbox", "products.outbox", "orders.outbox",
                                           "users.mail_jobs", "orders.payment_jobs" };
    struct resting *resting = subject;
    sweep_all(resting->self);
    (void)count_rows(resting->self, resting->names, resting->round);
    for (size_t i = 0; i < sizeof WAITING / sizeof WAITING[0]; i++)
        if (rows_of(resting->self, WAITING[i], resting->round) > 0)
            return false;
    return true;
}

/* A sweep takes some batches of each table: until no more goes. */
static bool is_swept(void *subject)
{
    struct resting *resting = subject;
    sweep_all(resting->self);
    int64_t all = count_rows(resting->self, resting->names, resting->round);
    bool same = all == resting->before;
    resting->before = all;
    return same;
}

/* With memory of its own, which is given back. */
static void run_round(struct levels *self, int round)
{
    struct test *t = self->t;
    struct orders_shop *shop = self->shop;
    struct arena *whole = t->arena;
    t->arena = arena_open(TEST_ARENA_BYTES_MAX);
    shop->shopper.token = log_in(self, "amina@example.com");
    shop->staff.token = shop->catalog.token = log_in(self, "staff@example.com");
    str admin = log_in(self, "admin@example.com");
    if (round == 0)
        orders_shop_sell(shop, "mug", 1000000);
    for (int left = self->round_orders; left > 0; left -= AT_ONCE)
        sell(self, left < AT_ONCE ? left : AT_ONCE);
    keep_house(self, admin, round);
    skip_a_letter(self, users_of(self));
    skip_a_letter(self, products_service(shop->products));
    skip_a_letter(self, orders_service(shop->orders));

    struct resting resting = { self, whole, round, -1 };
    CHECK(inline_until(is_at_rest, &resting));
    __atomic_add_fetch(&wall_offset_us, ROUND_US, __ATOMIC_RELAXED);
    CHECK(inline_until(is_swept, &resting));
    arena_close(t->arena);
    t->arena = whole;
}

/* ---- the verdict ---- */

static int64_t most(const struct table *table, int from, int to)
{
    int64_t rows = 0;
    for (int i = from; i < to; i++)
        rows = table->rows[i] > rows ? table->rows[i] : rows;
    return rows;
}

/* A table that has no more rows at the end than it had when all was kept for the first time; a
 * twentieth is what one round differs from another. NULL where all level off. */
static const struct table *growing(const struct levels *self)
{
    for (int i = 0; i < self->tables_count; i++) {
        int64_t early = most(&self->tables[i], 0, LEVEL_FROM);
        if (most(&self->tables[i], LEVEL_FROM, ROUNDS) > early + early / 20 + 5)
            return &self->tables[i];
    }
    return NULL;
}

/* Those that a shop fills by selling: were they empty, nothing would be shown. */
static void check_filled(struct levels *self)
{
    static const char *const FILLED[] = {
        "users.inbox_heads",    "users.sessions",        "users.refresh_tokens",
        "users.api_keys",       "users.audit",           "users.dead_letters",
        "products.once",        "products.reservations", "products.holds",
        "products.inbox_heads", "products.audit",        "products.dead_letters",
        "orders.once",          "orders.inbox_heads",    "orders.audit",
        "orders.dead_letters",  "orders.payment_events",
    };
    for (size_t i = 0; i < sizeof FILLED / sizeof FILLED[0]; i++) {
        int64_t rows = 0;
        for (int round = 0; round < ROUNDS; round++)
            rows += rows_of(self, FILLED[i], round);
        if (rows == 0)
            test_fail(__FILE__, __LINE__, "%s was never filled", FILLED[i]);
    }
}

/* A shop, asked for its tables after so many rounds. */
static void sell_for_months(struct levels *self)
{
    create(self, "amina@example.com", "customer");
    create(self, "staff@example.com", "staff");
    create(self, "admin@example.com", "admin");
    for (int round = 0; round < ROUNDS; round++)
        run_round(self, round);
}

TEST(a_hundred_thousand_orders_leave_bookkeeping_that_levels_off_in_every_service)
{
    struct levels *self = levels_open(t, SETTINGS);
    sell_for_months(self);
    check_filled(self);
    const struct table *table = growing(self);
    if (table)
        test_fail(__FILE__, __LINE__, "%.*s grows: %lld rows after %d rounds, %lld after %d",
                  (int)table->name.len, table->name.ptr, (long long)table->rows[LEVEL_FROM - 1],
                  LEVEL_FROM, (long long)table->rows[ROUNDS - 1], ROUNDS);
}

TEST(a_table_that_is_not_forgotten_is_seen_to_grow)
{
    const char *settings[sizeof SETTINGS / sizeof SETTINGS[0]];
    memcpy(settings, SETTINGS, sizeof SETTINGS);
    for (size_t i = 0; settings[i]; i++)
        if (strncmp(settings[i], "AUDIT_RETENTION=", 16) == 0)
            settings[i] = "AUDIT_RETENTION=400d";
    struct levels *self = levels_open(t, settings);
    self->round_orders = 10;
    sell_for_months(self);
    const struct table *table = growing(self);
    CHECK(table && str_find(table->name, STR(".audit")) > 0);
}
