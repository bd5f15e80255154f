/* Money that a provider holds and no order shows: as if all of the order had been lost after the
 * provider was called. It is given back, and only it. */
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "services/orders/inside.h"
#include "tests/api/orders_shop.h"

#define MUG "{\"sku\":\"mug\",\"quantity\":1}"
enum { MANY = 1100 }; /* more than the sweeper lists at once */

/* ---- a wall clock that can be put on ---- */

static int64_t ahead_us;

static int64_t machine_mono(void) { return clock_machine.mono_us(); }

static time_us ahead_wall(void)
{
    return clock_machine.wall_us() + __atomic_load_n(&ahead_us, __ATOMIC_SEQ_CST);
}

static void pass_minutes(int minutes)
{
    __atomic_add_fetch(&ahead_us, minutes * 60 * TIME_SECOND, __ATOMIC_SEQ_CST);
}

static void give_clock_back(void *unused)
{
    (void)unused;
    clock_use(&clock_machine);
}

static void take_clock(struct test *t)
{
    static const struct clock_ops ops = { .mono_us = machine_mono, .wall_us = ahead_wall };
    ahead_us = 0;
    arena_defer(t->arena, give_clock_back, NULL); /* after the shop was closed */
    clock_use(&ops);
}

/* ---- the provider itself, with its calls counted ---- */

static struct provider bank;
static int lists, voids, refunds;

static int seen(int *count) { return __atomic_load_n(count, __ATOMIC_SEQ_CST); }
static void note(int *count) { __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST); }

static err counted_list(void *self, struct arena *arena, time_us since, int count_max,
                        struct payment_listed **listed, size_t *count)
{
    note(&lists);
    return bank.list(self, arena, since, count_max, listed, count);
}

static enum payment_known counted_void(void *self, struct arena *arena,
                                       const struct payment *payment, int64_t timeout_us)
{
    note(&voids);
    return bank.void_(self, arena, payment, timeout_us);
}

static enum payment_known counted_refund(void *self, struct arena *arena,
                                         const struct payment *payment, int64_t timeout_us)
{
    note(&refunds);
    return bank.refund(self, arena, payment, timeout_us);
}

static void count_calls(struct orders_shop *shop)
{
    struct provider *provider = &shop->orders->providers[0];
    CHECK_STR(provider->name, "simulator");
    bank = *provider;
    lists = voids = refunds = 0;
    provider->list = counted_list;
    provider->void_ = counted_void;
    provider->refund = counted_refund;
}

/* What the provider was asked for by an order that no longer exists. */
static struct payment lost_payment(struct test *t)
{
    struct payment payment = { .id = id_new(),
                               .amount = { 450, { "EUR" } },
                               .token = STR("approve") };
    CHECK_INT(bank.authorize(bank.self, t->arena, &payment, TIME_SECOND), KNOWN_AUTHORIZED);
    return payment;
}

static enum payment_known known_of(struct test *t, struct uuid id)
{
    return bank.get(bank.self, t->arena, id, TIME_SECOND);
}

static struct uuid id_of(const char *text)
{
    struct uuid id;
    CHECK(uuid_parse(str_of_z(text), &id));
    return id;
}

static bool are_counted(void *wanted) { return seen(&lists) >= *(int *)wanted; }

/* Waits for the end of some sweeps that begin from now on. */
static void await_sweeps(int count)
{
    int wanted = seen(&lists) + count + 1;
    CHECK(inline_until(are_counted, &wanted));
}

struct pair {
    struct test *t;
    struct uuid authorized, captured;
};

static bool went_back(void *subject)
{
    struct pair *pair = subject;
    return known_of(pair->t, pair->authorized) == KNOWN_VOIDED &&
           known_of(pair->t, pair->captured) == KNOWN_REFUNDED;
}

/* ---- the tests ---- */

TEST(money_without_an_order_goes_back_once_and_that_of_an_order_stays)
{
    static const char *const settings[] = { "PAYMENT_SWEEP_INTERVAL=100ms",
                                            "PAYMENT_CAPTURE=fulfil", NULL };
    take_clock(t);
    struct orders_shop *shop = orders_shop_open_with(t, settings, count_calls);
    orders_shop_sell(shop, "mug", 5);
    const char *held = orders_shop_place(shop, orders_shop_body(shop, MUG, "approve"), "k1", 201);
    const char *sent = orders_shop_place(shop, orders_shop_body(shop, MUG, "approve"), "k2", 201);
    const char *target = str_z(t->arena, str_format(t->arena, "/orders/%s/fulfilments", sent));
    CHECK_STATUS(orders_shop_post(&shop->staff, target, STR("{}"), "k3", NULL), 200);
    orders_shop_until(shop, sent, "/payment_status", "captured");
    orders_shop_until(shop, held, "/payment_status", "authorized");

    struct payment one = lost_payment(t), other = lost_payment(t);
    CHECK_INT(bank.capture(bank.self, t->arena, &other, TIME_SECOND), KNOWN_CAPTURED);
    await_sweeps(3); /* young: an order may be on its way */
    CHECK_INT(known_of(t, one.id), KNOWN_AUTHORIZED);
    CHECK_INT(known_of(t, other.id), KNOWN_CAPTURED);

    pass_minutes(2);
    struct pair pair = { t, one.id, other.id };
    CHECK(inline_until(went_back, &pair));
    await_sweeps(3);
    CHECK_INT(seen(&voids), 1);
    CHECK_INT(seen(&refunds), 1);
    CHECK_INT(known_of(t, id_of(held)), KNOWN_AUTHORIZED);
    CHECK_INT(known_of(t, id_of(sent)), KNOWN_CAPTURED);
    orders_shop_until(shop, held, "/payment_status", "authorized");
    orders_shop_until(shop, sent, "/payment_status", "captured");
}

static void lose_many(struct orders_shop *shop)
{
    count_calls(shop);
    for (int i = 0; i < MANY; i++)
        lost_payment(shop->t);
    pass_minutes(2);
}

static bool are_all_back(void *unused)
{
    (void)unused;
    return seen(&voids) == MANY;
}

TEST(one_sweep_goes_through_all_that_is_old_enough)
{
    take_clock(t);
    orders_shop_open_with(t, (const char *const[]){ "PAYMENT_SWEEP_INTERVAL=1h", NULL }, lose_many);
    CHECK(inline_until(are_all_back, NULL));
}
