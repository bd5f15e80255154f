/* A hundred thousand orders under a clock that moves on: what Products keeps of them levels off,
 * and an event that comes again late is not applied twice. */
#include "chassis/obs.h"
#include "chassis/sweeper.h"
#include "os/clock.h"
#include "os/random.h"
#include "services/products/store.h"
#include "tests/api/products_shop.h"

#ifdef __SANITIZE_THREAD__
enum { ROUND_ORDERS = 200 }; /* races are found with a tenth of them */
#else
enum { ROUND_ORDERS = 2000 };
#endif
enum { ROUNDS = 50, KEPT_ROUNDS = 2, SWEEPS_MAX = 200 };

#define ROUND_US (10 * 86400 * TIME_SECOND)
static const char *const SETTINGS[] = { "RETURN_TIME=20d", "INBOX_RETENTION=5d",
                                        "SWEEP_INTERVAL=1d", NULL };

#define PLACED (&orders_event_order_placed)
#define CLOSED (&orders_event_order_closed)
#define SHIPPED (&orders_event_order_shipped)
#define RETURNED (&orders_event_order_returned)
static const struct line_of_order ONE[] = { { "mug", 1 }, { NULL, 0 } };

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

static void move_on(int64_t us) { __atomic_add_fetch(&wall_offset_us, us, __ATOMIC_RELAXED); }

static struct products_shop *open_with_clock(struct test *t)
{
    static struct clock_ops ops;
    ops = (struct clock_ops){ clock_machine.mono_us, wall_later };
    wall_offset_us = 0;
    arena_defer(t->arena, use_machine_clock, NULL);
    clock_use(&ops);
    return products_shop_open(t, SETTINGS);
}

/* ---- what lies in the tables ---- */

/* In the order of store_products_rows. */
struct rows {
    int64_t imports, reservations, lines, holds, stale;
};

static struct rows rows_of(struct products_shop *shop)
{
    struct rows rows;
    struct db_reader *reader;
    struct arena *arena = arena_open(1024 * 1024);
    CHECK_OK(db_read_begin(service_db(products_service(shop->products)), arena, &reader));
    CHECK_OK(store_products_rows(reader, arena, &rows.imports));
    db_read_end(reader);
    arena_close(arena);
    return rows;
}

static struct stock_units units_of(struct products_shop *shop)
{
    struct stock_units units = { 0 };
    struct db_reader *reader;
    time_us at;
    CHECK_OK(db_read_begin(service_db(products_service(shop->products)), shop->t->arena, &reader));
    CHECK_OK(store_find_stock(reader, shop->t->arena, STR("mug"), &units, &at));
    db_read_end(reader);
    return units;
}

/* What the metric says. */
static int64_t told(struct test *t, const char *table)
{
    str text = metrics_text(t->arena, METRICS_PROMETHEUS);
    const char *line =
        str_z(t->arena,
              str_format(t->arena, "duka_table_rows{service=\"products\",table=\"%s\"} ", table));
    const char *found = strstr(str_z(t->arena, text), line);
    CHECK(found);
    return found ? strtoll(found + strlen(line), NULL, 10) : -1;
}

static void sweep(struct products_shop *shop)
{
    struct call *job = service_job_open(products_service(shop->products), "test");
    int64_t before = -1;
    for (int i = 0; i < SWEEPS_MAX; i++) {
        CHECK_OK(sweeper_run(NULL, job));
        service_job_reset(job);
        struct rows rows = rows_of(shop);
        int64_t now = rows.reservations + told(shop->t, "inbox_heads");
        if (now == before)
            break;
        before = now;
    }
    service_job_close(job);
}

/* ---- orders ---- */

struct sending {
    struct sent_event *events;
    size_t count;
};

static void add(struct sending *sending, const struct event_spec *spec, const void *message)
{
    sending->events[sending->count++] = (struct sent_event){ spec, message };
}

/* Of ten orders one is cancelled, one comes back, one is shipped a round later. */
static void sell(struct products_shop *shop, struct uuid *late, struct uuid *first)
{
    struct test *t = shop->t;
    struct sending sending = { .events = arena_array(t->arena, struct sent_event,
                                                     4 * (size_t)ROUND_ORDERS) };
    for (int i = 0; i < ROUND_ORDERS; i++) {
        struct uuid order = id_new();
        *first = i == 0 ? order : *first;
        add(&sending, PLACED, order_placed(t, order, 1, ONE));
        if (i % 10 == 1) {
            add(&sending, CLOSED, order_closed(t, order, 2));
            continue;
        }
        if (i % 10 == 2) {
            if (!uuid_is_nil(late[i / 10]))
                add(&sending, SHIPPED, order_shipped(t, late[i / 10], 2, ONE));
            late[i / 10] = order;
            continue;
        }
        add(&sending, SHIPPED, order_shipped(t, order, 2, ONE));
        if (i % 10 == 3)
            add(&sending, RETURNED, order_returned(t, order, 3, ONE));
    }
    products_shop_send(shop, sending.events, sending.count);
    lock_take(&shop->lock);
    shop->announced_count = 0;
    lock_drop(&shop->lock);
}

/* With memory of its own, which is given back. */
static void run_round(struct products_shop *shop, struct uuid *late, struct uuid *first)
{
    struct test *t = shop->t;
    struct arena *whole = t->arena;
    t->arena = arena_open(TEST_ARENA_BYTES_MAX);
    sell(shop, late, first);
    move_on(ROUND_US);
    sweep(shop);
    arena_close(t->arena);
    t->arena = whole;
}

TEST(a_hundred_thousand_orders_leave_tables_that_level_off)
{
    struct products_shop *shop = open_with_clock(t);
    struct uuid late[ROUND_ORDERS / 10] = { 0 }, oldest = { { 0 } }, newest = { { 0 } };
    products_shop_stock(shop, "mug", ROUNDS * ROUND_ORDERS);
    for (int round = 0; round < ROUNDS; round++) {
        run_round(shop, late, round == 0 ? &oldest : &newest);
        struct rows rows = rows_of(shop);
        int kept = round + 1 < KEPT_ROUNDS ? round + 1 : KEPT_ROUNDS;
        CHECK(rows.reservations <= kept * ROUND_ORDERS + ROUND_ORDERS / 10);
        CHECK(rows.reservations >= kept * ROUND_ORDERS * 9 / 10); /* nothing went too early */
        CHECK_INT(rows.holds, rows.reservations);                 /* one line each */
        CHECK(told(t, "inbox_heads") <= rows.reservations);
        CHECK_INT(told(t, "reservations"), rows.reservations);
        CHECK_INT(told(t, "inbox_held") + told(t, "dead_letters"), 0);
    }
    struct stock_units units = units_of(shop);
    CHECK_INT(units.reserved, ROUND_ORDERS / 10); /* those that are shipped a round later */
    CHECK_INT(units.on_hand, ROUNDS * ROUND_ORDERS - ROUNDS * ROUND_ORDERS * 7 / 10 -
                                 (ROUNDS - 1) * ROUND_ORDERS / 10);

    /* An event of an order that is forgotten is put aside, as old as it is; one that is known is
     * not applied again; a new one is. */
    struct sent_event again = { PLACED, order_placed(t, newest, 1, ONE) };
    products_shop_send(shop, &again, 1);
    CHECK_INT(units_of(shop).reserved, units.reserved);
    again.message = order_placed(t, oldest, 1, ONE);
    products_shop_send_old(shop, &again, clock_wall_us() - (ROUNDS - 1) * ROUND_US);
    CHECK_INT(units_of(shop).reserved, units.reserved);
    sweep(shop);
    CHECK_INT(told(t, "dead_letters"), 1);
    again.message = order_placed(t, id_new(), 1, ONE);
    products_shop_send(shop, &again, 1);
    CHECK_INT(units_of(shop).reserved, units.reserved + 1);
}
