#include "services/products/stock.h"
#include "base/planted.h"
#include <stdlib.h>

static void check(const struct stock_level *level)
{
    ASSERT(level->now.on_hand >= 0 && level->now.on_hand <= STOCK_UNITS_MAX);
    ASSERT(level->now.reserved >= 0 && level->now.reserved <= level->now.on_hand);
    ASSERT(level->known || level->now.on_hand == 0);
}

struct stock_level stock_level_of(str sku, struct stock_units units)
{
    struct stock_level level = { .sku = sku, .known = true, .now = units, .before = units };

    check(&level);
    return level;
}

int64_t stock_available(const struct stock_level *level)
{
    check(level);
    return level->now.on_hand - level->now.reserved;
}

enum availability stock_availability(int64_t available, int64_t low)
{
    ASSERT(available >= 0 && low >= 0);
    if (available == 0)
        return AVAILABILITY_OUT;
    return available <= low ? AVAILABILITY_LOW : AVAILABILITY_IN_STOCK;
}

bool stock_is_changed(const struct stock_level *level)
{
    return level->now.version != level->before.version;
}

void stock_move(struct stock_level *level, int64_t on_hand, int64_t reserved)
{
    level->now.on_hand += on_hand;
    level->now.reserved += reserved;
    level->now.version++;
    check(level);
}

/* ---- by SKU ---- */

static int compare_skus(const void *a, const void *b)
{
    return str_compare(*(const str *)a, *(const str *)b);
}

size_t stock_sort_skus(str *skus, size_t count)
{
    size_t kept = 0;

    if (count > 1)
        qsort(skus, count, sizeof(*skus), compare_skus);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !str_equal(skus[kept - 1], skus[i]))
            skus[kept++] = skus[i];
    return kept;
}

struct stock_level *stock_find(struct stock_level *levels, size_t levels_count, str sku)
{
    size_t from = 0, to = levels_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_compare(sku, levels[middle].sku);
        if (order == 0)
            return &levels[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static int compare_lines(const void *a, const void *b)
{
    return str_compare(((const struct stock_line *)a)->sku, ((const struct stock_line *)b)->sku);
}

err stock_sum(struct arena *arena, const struct stock_line *lines, size_t lines_count,
              struct stock_line **out, size_t *out_count)
{
    struct stock_line *sums = arena_array(arena, struct stock_line, lines_count + 1);
    size_t count = 0;

    for (size_t i = 0; i < lines_count; i++) {
        if (lines[i].quantity < 1 || lines[i].quantity > STOCK_UNITS_MAX)
            return fail(arena, EVENT_UNDECODABLE, "%lld x %" STR_F, (long long)lines[i].quantity,
                        STR_A(lines[i].sku));
        sums[i] = lines[i];
    }
    if (lines_count > 1)
        qsort(sums, lines_count, sizeof(*sums), compare_lines);
    for (size_t i = 0; i < lines_count; i++) {
        if (count > 0 && str_equal(sums[count - 1].sku, sums[i].sku) && PLANTED(sku_twice))
            continue;
        if (count > 0 && str_equal(sums[count - 1].sku, sums[i].sku))
            sums[count - 1].quantity += sums[i].quantity;
        else
            sums[count++] = sums[i];
    }
    *out = sums;
    *out_count = count;
    return OK;
}

/* ---- reserving ---- */

/* The batch has read every level that its orders name. */
static struct stock_level *level_of(struct stock_level *levels, size_t levels_count, str sku)
{
    struct stock_level *level = stock_find(levels, levels_count, sku);

    ASSERT(level);
    return level;
}

/* Every line that is short; none where the whole order can be had. */
static void find_shorts(struct arena *arena, struct stock_level *levels, size_t levels_count,
                        struct stock_order *order)
{
    order->shorts_count = 0;
    for (size_t i = 0; i < order->lines_count; i++) {
        const struct stock_line *line = &order->lines[i];
        const struct stock_level *level = level_of(levels, levels_count, line->sku);
        int64_t available = stock_available(level);
        if (PLANTED(stock_read_then_write))
            available = level->before.on_hand - level->before.reserved;
        if (available >= line->quantity || PLANTED(stock_unchecked))
            continue;
        if (!order->shorts)
            order->shorts = arena_array(arena, struct stock_short, order->lines_count);
        order->shorts[order->shorts_count++] = (struct stock_short){ .sku = line->sku,
                                                                     .wanted = line->quantity,
                                                                     .available = available };
    }
}

void stock_allocate(struct arena *arena, struct stock_level *levels, size_t levels_count,
                    struct stock_order *orders, size_t orders_count)
{
    for (size_t i = 0; i < orders_count; i++) {
        struct stock_order *order = &orders[i];

        find_shorts(arena, levels, levels_count, order);
        order->granted = order->shorts_count == 0;
        for (size_t j = 0; order->granted && j < order->lines_count; j++)
            stock_move(level_of(levels, levels_count, order->lines[j].sku), 0,
                       order->lines[j].quantity);
    }
}

/* ---- adjusting ---- */

err stock_adjust(struct arena *arena, struct stock_level *level,
                 const struct stock_adjustment *adjustment, int64_t *delta)
{
    check(level);

    int64_t on_hand = adjustment->units;
    if (!adjustment->counted)
        on_hand += level->now.on_hand; /* far below 2^62: the contract bounds the delta */
    if (adjustment->expects && adjustment->expected_on_hand != level->now.on_hand)
        return fail(arena, STOCK_CONFLICT, "%lld are on hand, not %lld",
                    (long long)level->now.on_hand, (long long)adjustment->expected_on_hand);
    if (on_hand > STOCK_UNITS_MAX)
        return fail_field(arena, FIELD_INVALID,
                          adjustment->counted ? STR("/on_hand/quantity") : STR("/delta"),
                          "would leave more than %lld on hand", (long long)STOCK_UNITS_MAX);
    if (on_hand < level->now.reserved)
        return fail(arena, STOCK_NEGATIVE, "%lld would be on hand, %lld are reserved",
                    (long long)on_hand, (long long)level->now.reserved);

    *delta = on_hand - level->now.on_hand;
    stock_move(level, *delta, 0);
    return OK;
}
