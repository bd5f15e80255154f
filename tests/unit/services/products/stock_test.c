#include "services/products/stock.h"
#include "tests/lib/test.h"

enum { MODEL_SKUS = 6, MODEL_ORDERS = 24, MODEL_LINES = 5, MODEL_RUNS = 4000 };

static struct stock_level level(const char *sku, int64_t on_hand, int64_t reserved)
{
    return stock_level_of(str_of_z(sku), (struct stock_units){ on_hand, reserved, 1 });
}

static struct stock_line line(const char *sku, int64_t quantity)
{
    return (struct stock_line){ str_of_z(sku), quantity };
}

/* xorshift64: the same numbers in every run. */
static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static int64_t draw_below(uint64_t *seed, int64_t end)
{
    return (int64_t)(draw(seed) % (uint64_t)end);
}

/* ---- levels ---- */

TEST(available_is_what_is_on_hand_and_not_reserved)
{
    struct stock_level mug = level("mug", 7, 3);

    CHECK_INT(stock_available(&mug), 4);
    CHECK(!stock_is_changed(&mug));
}

TEST(availability_has_its_borders_at_none_and_at_low)
{
    CHECK_INT(stock_availability(0, 5), AVAILABILITY_OUT);
    CHECK_INT(stock_availability(1, 5), AVAILABILITY_LOW);
    CHECK_INT(stock_availability(5, 5), AVAILABILITY_LOW);
    CHECK_INT(stock_availability(6, 5), AVAILABILITY_IN_STOCK);
    CHECK_INT(stock_availability(1, 0), AVAILABILITY_IN_STOCK);
}

TEST(a_move_changes_units_and_counts_as_one_change)
{
    struct stock_level mug = level("mug", 7, 3);

    stock_move(&mug, -2, -2);
    CHECK_INT(mug.now.on_hand, 5);
    CHECK_INT(mug.now.reserved, 1);
    CHECK_INT(mug.now.version, 2);
    CHECK_INT(mug.before.on_hand, 7);
    CHECK(stock_is_changed(&mug));
}

TEST(a_level_below_zero_is_a_broken_invariant)
{
    struct stock_level mug = level("mug", 1, 1);

    CHECK_PANICS(stock_move(&mug, -1, 0));
    CHECK_PANICS(stock_move(&mug, 0, -2));
    CHECK_PANICS(stock_move(&mug, 0, 1));
    CHECK_PANICS(stock_level_of(STR("mug"), (struct stock_units){ 1, 2, 1 }));
}

TEST(skus_are_sorted_and_each_stays_once)
{
    str skus[] = { STR("tea"), STR("mug"), STR("tea"), STR("cup"), STR("mug") };
    size_t count = stock_sort_skus(skus, 5);

    CHECK_INT(count, 3);
    CHECK_STR(skus[0], "cup");
    CHECK_STR(skus[1], "mug");
    CHECK_STR(skus[2], "tea");
    CHECK_INT(stock_sort_skus(skus, 0), 0);
}

TEST(a_level_is_found_by_its_sku)
{
    struct stock_level levels[] = { level("cup", 1, 0), level("mug", 2, 0), level("tea", 3, 0) };

    CHECK(stock_find(levels, 3, STR("cup")) == &levels[0]);
    CHECK(stock_find(levels, 3, STR("tea")) == &levels[2]);
    CHECK(!stock_find(levels, 3, STR("pot")));
    CHECK(!stock_find(levels, 0, STR("cup")));
}

/* ---- lines ---- */

TEST(lines_of_one_sku_are_summed_and_sorted)
{
    struct stock_line lines[] = { line("tea", 2), line("mug", 1), line("tea", 3) };
    struct stock_line *sums;
    size_t count;

    CHECK_OK(stock_sum(t->arena, lines, 3, &sums, &count));
    CHECK_INT(count, 2);
    CHECK_STR(sums[0].sku, "mug");
    CHECK_INT(sums[0].quantity, 1);
    CHECK_STR(sums[1].sku, "tea");
    CHECK_INT(sums[1].quantity, 5);
}

TEST(a_line_without_a_quantity_is_refused)
{
    struct stock_line none = line("tea", 0), less = line("tea", -1),
                      many = line("tea", STOCK_UNITS_MAX + 1);
    struct stock_line *sums;
    size_t count;

    CHECK_ERR(stock_sum(t->arena, &none, 1, &sums, &count), EVENT_UNDECODABLE);
    CHECK_ERR(stock_sum(t->arena, &less, 1, &sums, &count), EVENT_UNDECODABLE);
    CHECK_ERR(stock_sum(t->arena, &many, 1, &sums, &count), EVENT_UNDECODABLE);
}

/* ---- allocating ---- */

TEST(an_order_gets_all_of_its_lines_or_none)
{
    struct stock_level levels[] = { level("mug", 5, 0), level("tea", 1, 0) };
    struct stock_line lines[] = { line("mug", 2), line("tea", 2) };
    struct stock_order order = { .lines = lines, .lines_count = 2 };

    stock_allocate(t->arena, levels, 2, &order, 1);
    CHECK(!order.granted);
    CHECK_INT(order.shorts_count, 1);
    CHECK_STR(order.shorts[0].sku, "tea");
    CHECK_INT(order.shorts[0].wanted, 2);
    CHECK_INT(order.shorts[0].available, 1);
    CHECK_INT(levels[0].now.reserved, 0);
    CHECK(!stock_is_changed(&levels[0]));
}

TEST(every_short_line_is_named)
{
    struct stock_level levels[] = { level("cup", 0, 0), level("mug", 5, 5), level("tea", 9, 0) };
    struct stock_line lines[] = { line("cup", 1), line("mug", 1), line("tea", 9) };
    struct stock_order order = { .lines = lines, .lines_count = 3 };

    stock_allocate(t->arena, levels, 3, &order, 1);
    CHECK_INT(order.shorts_count, 2);
    CHECK_STR(order.shorts[0].sku, "cup");
    CHECK_STR(order.shorts[1].sku, "mug");
}

TEST(orders_are_granted_in_turn_until_nothing_is_left)
{
    struct stock_level levels[] = { level("mug", 5, 1) };
    struct stock_line lines[] = { line("mug", 3), line("mug", 2), line("mug", 1) };
    struct stock_order orders[] = { { .lines = &lines[0], .lines_count = 1 },
                                    { .lines = &lines[1], .lines_count = 1 },
                                    { .lines = &lines[2], .lines_count = 1 } };

    stock_allocate(t->arena, levels, 1, orders, 3);
    CHECK(orders[0].granted);
    CHECK(!orders[1].granted);
    CHECK_INT(orders[1].shorts[0].available, 1);
    CHECK(orders[2].granted);
    CHECK_INT(levels[0].now.reserved, 5);
    CHECK_INT(levels[0].now.version, 3);
}

TEST(a_sku_that_nobody_stocked_is_short)
{
    struct stock_level levels[] = { { .sku = STR("ghost") } };
    struct stock_line lines[] = { line("ghost", 1) };
    struct stock_order order = { .lines = lines, .lines_count = 1 };

    stock_allocate(t->arena, levels, 1, &order, 1);
    CHECK(!order.granted);
    CHECK_INT(order.shorts[0].available, 0);
}

TEST(an_order_without_lines_is_granted)
{
    struct stock_order order = { 0 };

    stock_allocate(t->arena, NULL, 0, &order, 1);
    CHECK(order.granted);
}

TEST(a_level_that_the_batch_did_not_read_is_a_broken_invariant)
{
    struct stock_line lines[] = { line("mug", 1) };
    struct stock_order order = { .lines = lines, .lines_count = 1 };

    CHECK_PANICS(stock_allocate(t->arena, NULL, 0, &order, 1));
}

/* ---- a plain model: units in two arrays, one order after the other ---- */

static const char *const MODEL_NAMES[MODEL_SKUS] = { "a", "b", "c", "d", "e", "f" };

struct model {
    int64_t on_hand[MODEL_SKUS], reserved[MODEL_SKUS];
};

static bool model_place(struct model *model, const int64_t wanted[MODEL_SKUS], int *shorts)
{
    *shorts = 0;
    for (int i = 0; i < MODEL_SKUS; i++)
        *shorts += wanted[i] > model->on_hand[i] - model->reserved[i];
    for (int i = 0; i < MODEL_SKUS && *shorts == 0; i++)
        model->reserved[i] += wanted[i];
    return *shorts == 0;
}

/* Lines as an order has them, some SKUs on several, and what they sum up to. */
static struct stock_order draw_order(struct arena *arena, uint64_t *seed,
                                     int64_t wanted[MODEL_SKUS])
{
    size_t count = (size_t)draw_below(seed, MODEL_LINES) + 1;
    struct stock_line lines[MODEL_LINES], *sums;
    struct stock_order order = { 0 };

    memset(wanted, 0, MODEL_SKUS * sizeof(*wanted));
    for (size_t i = 0; i < count; i++) {
        int64_t at = draw_below(seed, MODEL_SKUS);
        lines[i] = line(MODEL_NAMES[at], draw_below(seed, 4) + 1);
        wanted[at] += lines[i].quantity;
    }
    CHECK_OK(stock_sum(arena, lines, count, &sums, &order.lines_count));
    order.lines = sums;
    return order;
}

TEST(allocating_agrees_with_a_plain_model_in_thousands_of_cases)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;

    for (int run = 0; run < MODEL_RUNS; run++) {
        struct stock_level levels[MODEL_SKUS];
        struct stock_order orders[MODEL_ORDERS];
        int64_t wanted[MODEL_ORDERS][MODEL_SKUS];
        struct model model;
        arena_reset(t->arena);
        for (int i = 0; i < MODEL_SKUS; i++) {
            model.on_hand[i] = draw_below(&seed, 30);
            model.reserved[i] = draw_below(&seed, model.on_hand[i] + 1);
            levels[i] = level(MODEL_NAMES[i], model.on_hand[i], model.reserved[i]);
        }
        for (int i = 0; i < MODEL_ORDERS; i++)
            orders[i] = draw_order(t->arena, &seed, wanted[i]);

        stock_allocate(t->arena, levels, MODEL_SKUS, orders, MODEL_ORDERS);
        for (int i = 0; i < MODEL_ORDERS; i++) {
            int shorts;
            CHECK_INT(orders[i].granted, model_place(&model, wanted[i], &shorts));
            CHECK_INT(orders[i].shorts_count, shorts);
        }
        for (int i = 0; i < MODEL_SKUS; i++) {
            CHECK_INT(levels[i].now.on_hand, model.on_hand[i]);
            CHECK_INT(levels[i].now.reserved, model.reserved[i]);
        }
    }
}

/* ---- adjusting ---- */

static struct stock_adjustment by(int64_t delta)
{
    return (struct stock_adjustment){ .units = delta };
}

static struct stock_adjustment counted(int64_t on_hand)
{
    return (struct stock_adjustment){ .counted = true, .units = on_hand };
}

TEST(an_adjustment_comes_as_a_delta_or_as_a_counted_number)
{
    struct stock_level mug = level("mug", 5, 2);
    struct stock_adjustment more = by(10), less = by(-3), number = counted(2);
    int64_t delta;

    CHECK_OK(stock_adjust(t->arena, &mug, &more, &delta));
    CHECK_INT(mug.now.on_hand, 15);
    CHECK_OK(stock_adjust(t->arena, &mug, &less, &delta));
    CHECK_INT(mug.now.on_hand, 12);
    CHECK_INT(delta, -3);
    CHECK_OK(stock_adjust(t->arena, &mug, &number, &delta));
    CHECK_INT(mug.now.on_hand, 2);
    CHECK_INT(delta, -10);
    CHECK_INT(mug.now.version, 4);
}

TEST(an_adjustment_never_takes_what_is_reserved)
{
    struct stock_level mug = level("mug", 5, 2);
    struct stock_adjustment delta_too_low = by(-4), number_too_low = counted(1);
    int64_t delta;

    CHECK_ERR(stock_adjust(t->arena, &mug, &delta_too_low, &delta), STOCK_NEGATIVE);
    CHECK_ERR(stock_adjust(t->arena, &mug, &number_too_low, &delta), STOCK_NEGATIVE);
    CHECK(!stock_is_changed(&mug));
}

TEST(an_adjustment_that_expects_another_number_is_refused)
{
    struct stock_level mug = level("mug", 5, 2);
    struct stock_adjustment change = by(1);
    int64_t delta;

    change.expects = true;
    change.expected_on_hand = 4;
    CHECK_ERR(stock_adjust(t->arena, &mug, &change, &delta), STOCK_CONFLICT);
    change.expected_on_hand = 5;
    CHECK_OK(stock_adjust(t->arena, &mug, &change, &delta));
    CHECK_ERR(stock_adjust(t->arena, &mug, &change, &delta), STOCK_CONFLICT);
    CHECK_INT(mug.now.on_hand, 6);
}

TEST(an_adjustment_beyond_all_shops_is_refused)
{
    struct stock_level mug = level("mug", STOCK_UNITS_MAX, 0);
    struct stock_adjustment change = by(1);
    int64_t delta;

    CHECK_ERR(stock_adjust(t->arena, &mug, &change, &delta), FIELD_INVALID);
    CHECK_INT(mug.now.on_hand, STOCK_UNITS_MAX);
}
