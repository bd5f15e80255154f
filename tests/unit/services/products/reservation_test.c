#include "services/products/reservation.h"
#include "tests/lib/test.h"

enum { STEPS = 20000, ORDERS = 12, SKUS = 3 };

struct shop {
    struct stock_level levels[SKUS];
    struct stock_levels stock;
};

static void open_shop(struct shop *shop, int64_t units)
{
    static const char *const NAMES[SKUS] = { "cup", "mug", "tea" };

    for (int i = 0; i < SKUS; i++)
        shop->levels[i] = stock_level_of(str_of_z(NAMES[i]), (struct stock_units){ units, 0, 1 });
    shop->stock = (struct stock_levels){ shop->levels, SKUS };
}

static enum reservation_answer place(struct test *t, struct shop *shop, struct reservation *res,
                                     const struct stock_line *lines, size_t count)
{
    struct stock_order order;

    return reservation_place(t->arena, res, &shop->stock, lines, count, &order);
}

static const struct stock_line TWO_LINES[] = { { { "mug", 3 }, 2 }, { { "tea", 3 }, 3 } };

TEST(placing_holds_all_lines)
{
    struct shop shop;
    struct reservation res = { 0 };

    open_shop(&shop, 5);
    CHECK_INT(place(t, &shop, &res, TWO_LINES, 2), RESERVATION_SAYS_RESERVED);
    CHECK_INT(res.state, RESERVATION_HELD);
    CHECK_INT(res.number, 1);
    CHECK_INT(res.holds_count, 2);
    CHECK(res.is_changed && res.holds[0].is_new);
    CHECK_INT(shop.levels[1].now.reserved, 2);
    CHECK_INT(shop.levels[2].now.reserved, 3);
}

TEST(placing_what_is_short_holds_nothing)
{
    struct shop shop;
    struct reservation res = { 0 };

    open_shop(&shop, 2);
    CHECK_INT(place(t, &shop, &res, TWO_LINES, 2), RESERVATION_SAYS_REFUSED);
    CHECK_INT(res.state, RESERVATION_REFUSED);
    CHECK_INT(res.holds_count, 0);
    CHECK_INT(shop.levels[1].now.reserved, 0);
}

TEST(an_order_is_answered_once)
{
    struct shop shop;
    struct reservation held = { 0 }, refused = { 0 };

    open_shop(&shop, 3);
    place(t, &shop, &held, TWO_LINES, 2);
    CHECK_INT(place(t, &shop, &held, TWO_LINES, 2), RESERVATION_SAYS_NOTHING);
    place(t, &shop, &refused, TWO_LINES, 2);
    CHECK_INT(place(t, &shop, &refused, TWO_LINES, 2), RESERVATION_SAYS_NOTHING);
    CHECK_INT(shop.levels[2].now.reserved, 3);
}

TEST(an_order_closed_before_it_was_placed_is_refused_later)
{
    struct shop shop;
    struct reservation res = { 0 };

    open_shop(&shop, 5);
    reservation_close(&res, &shop.stock);
    CHECK_INT(res.state, RESERVATION_CLOSED);
    CHECK_INT(res.number, 0);
    CHECK(res.is_changed);
    CHECK_INT(place(t, &shop, &res, TWO_LINES, 2), RESERVATION_SAYS_REFUSED);
    CHECK_INT(res.state, RESERVATION_CLOSED);
    CHECK_INT(place(t, &shop, &res, TWO_LINES, 2), RESERVATION_SAYS_NOTHING);
    CHECK_INT(shop.levels[1].now.reserved, 0);
}

TEST(closing_frees_what_was_not_shipped)
{
    struct stock_line shipped = { STR("tea"), 1 };
    struct shop shop;
    struct reservation res = { 0 };
    bool applied;

    open_shop(&shop, 5);
    place(t, &shop, &res, TWO_LINES, 2);
    CHECK_OK(reservation_ship(t->arena, &res, &shop.stock, &shipped, 1, &applied));
    CHECK(applied);
    CHECK_INT(shop.levels[2].now.on_hand, 4);
    CHECK_INT(shop.levels[2].now.reserved, 2);
    reservation_close(&res, &shop.stock);
    reservation_close(&res, &shop.stock);
    CHECK_INT(shop.levels[1].now.reserved, 0);
    CHECK_INT(shop.levels[2].now.reserved, 0);
    CHECK_INT(shop.levels[2].now.on_hand, 4);
    CHECK_INT(res.holds[1].released, 2);
}

TEST(shipping_more_than_is_held_changes_nothing)
{
    struct stock_line lines[] = { { STR("mug"), 2 }, { STR("tea"), 4 } };
    struct stock_line stranger = { STR("cup"), 1 };
    struct shop shop;
    struct reservation res = { 0 };
    bool applied;

    open_shop(&shop, 5);
    place(t, &shop, &res, TWO_LINES, 2);
    CHECK_ERR(reservation_ship(t->arena, &res, &shop.stock, lines, 2, &applied),
              FULFILMENT_INVALID);
    CHECK_ERR(reservation_ship(t->arena, &res, &shop.stock, &stranger, 1, &applied),
              FULFILMENT_INVALID);
    CHECK(!applied);
    CHECK_INT(shop.levels[1].now.on_hand, 5);
    CHECK_INT(shop.levels[2].now.on_hand, 5);
}

TEST(shipping_before_placing_is_not_yet)
{
    struct shop shop;
    struct reservation res = { 0 };
    bool applied;

    open_shop(&shop, 5);
    CHECK_ERR(reservation_ship(t->arena, &res, &shop.stock, TWO_LINES, 2, &applied),
              TRANSITION_NOT_YET);
    CHECK_ERR(reservation_return(t->arena, &res, &shop.stock, TWO_LINES, 2, &applied),
              TRANSITION_NOT_YET);
}

TEST(shipping_a_closed_order_is_past)
{
    struct shop shop;
    struct reservation res = { 0 };
    bool applied = true;

    open_shop(&shop, 5);
    place(t, &shop, &res, TWO_LINES, 2);
    reservation_close(&res, &shop.stock);
    CHECK_OK(reservation_ship(t->arena, &res, &shop.stock, TWO_LINES, 2, &applied));
    CHECK(!applied);
    CHECK_INT(shop.levels[1].now.on_hand, 5);
}

TEST(shipped_units_come_back_even_after_the_end_but_once)
{
    struct shop shop;
    struct reservation res = { 0 };
    bool applied;

    open_shop(&shop, 5);
    place(t, &shop, &res, TWO_LINES, 2);
    CHECK_OK(reservation_ship(t->arena, &res, &shop.stock, TWO_LINES, 2, &applied));
    reservation_close(&res, &shop.stock);
    CHECK_OK(reservation_return(t->arena, &res, &shop.stock, TWO_LINES, 2, &applied));
    CHECK(applied);
    CHECK_INT(shop.levels[1].now.on_hand, 5);
    CHECK_ERR(reservation_return(t->arena, &res, &shop.stock, TWO_LINES, 1, &applied),
              FULFILMENT_INVALID);
}

/* ---- any order of moves keeps the books ---- */

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void check_books(const struct shop *shop, const struct reservation *orders, int64_t opening)
{
    for (int i = 0; i < SKUS; i++) {
        int64_t held = 0, away = 0;
        for (int j = 0; j < ORDERS; j++)
            for (size_t k = 0; k < orders[j].holds_count; k++) {
                const struct hold *hold = &orders[j].holds[k];
                if (!str_equal(hold->sku, shop->levels[i].sku))
                    continue;
                held += hold->quantity - hold->shipped - hold->released;
                away += hold->shipped - hold->returned;
            }
        CHECK_INT(shop->levels[i].now.reserved, held);
        CHECK_INT(shop->levels[i].now.on_hand, opening - away);
    }
}

TEST(reserved_is_what_orders_hold_whatever_happens_in_any_order)
{
    uint64_t seed = 88172645463325252u;
    struct reservation orders[ORDERS] = { 0 };
    struct shop shop;
    bool applied;

    open_shop(&shop, 40);
    for (int step = 0; step < STEPS; step++) {
        struct reservation *order = &orders[draw(&seed) % ORDERS];
        struct stock_line lines[] = { { shop.levels[draw(&seed) % SKUS].sku,
                                        (int64_t)(draw(&seed) % 6) + 1 } };
        switch (draw(&seed) % 6) {
        case 0:
        case 1: place(t, &shop, order, lines, 1); break;
        case 2: reservation_close(order, &shop.stock); break;
        case 3: (void)!reservation_ship(t->arena, order, &shop.stock, lines, 1, &applied); break;
        case 4: (void)!reservation_return(t->arena, order, &shop.stock, lines, 1, &applied); break;
        default:
            if (order->state == RESERVATION_CLOSED && draw(&seed) % 3 == 0)
                break;
        }
        check_books(&shop, orders, 40);
        bool all_over = true;
        for (int i = 0; i < ORDERS; i++)
            all_over = all_over && orders[i].state == RESERVATION_CLOSED;
        if (all_over) { /* a new shop day */
            memset(orders, 0, sizeof(orders));
            arena_reset(t->arena);
            open_shop(&shop, 40);
        }
    }
}
