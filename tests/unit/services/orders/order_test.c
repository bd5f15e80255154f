#include "gen/orders.h"
#include "services/orders/order.h"
#include "tests/lib/test.h"

static const struct actor PROVIDER = { .kind = ACTOR_PROVIDER };
static const struct actor STAFF = { .kind = ACTOR_STAFF, .id = { { 2 } } };
static const struct actor CUSTOMER = { .kind = ACTOR_CUSTOMER, .id = { { 9 } } };
static const struct currency EUR = { "EUR" }, USD = { "USD" };

enum { HOLD_UNTIL = 1000 };

/* Lines "sku quantity price". */
static struct order_line line(const char *sku, int32_t quantity, int64_t minor)
{
    return (struct order_line){ .sku = str_of_z(sku),
                                .quantity = quantity,
                                .unit_price = { minor, EUR } };
}

/* Two of one SKU on two lines, and another. */
static struct order *placed(struct test *t, const char *provider)
{
    struct order_line *lines = arena_array(t->arena, struct order_line, 3);
    struct order *order = arena_new(t->arena, struct order);
    lines[0] = line("mug", 2, 500);
    lines[1] = line("tea", 1, 250);
    lines[2] = line("mug", 3, 400);
    CHECK_OK(order_place(t->arena, (struct uuid){ { 1 } }, CUSTOMER.id, lines, 3, 77, order));
    order->provider = str_of_z(provider);
    return order;
}

/* As it is read from the database: the moves so far are forgotten. */
static void forget(struct order *order) { order->steps_count = order->events_count = 0; }

static struct order *reserved(struct test *t, const char *provider)
{
    struct order *order = placed(t, provider);
    CHECK_OK(order_reserve(t->arena, order, HOLD_UNTIL));
    forget(order);
    return order;
}

static struct order *paid(struct test *t, enum payment_known known)
{
    struct order *order = reserved(t, "simulator");
    CHECK_OK(order_learn_payment(t->arena, order, known, PROVIDER));
    forget(order);
    return order;
}

static void learn(struct test *t, struct order *order, enum payment_known known)
{
    CHECK_OK(order_learn_payment(t->arena, order, known, PROVIDER));
}

static err ship(struct test *t, struct order *order, const char *sku, int32_t quantity)
{
    struct shipment_line shipment[ORDER_LINES_MAX] = { { str_of_z(sku), quantity } };
    size_t count = sku[0] ? 1 : 0;
    return order_ship(t->arena, order, shipment, &count, STAFF);
}

static void check_states(const char *file, int at, const struct order *order, const char *states)
{
    char found[80];
    str text = STR_NONE;
    struct arena *arena = arena_open(4096);
    text =
        str_format(arena, "%s %s %s", order_status_word(order->status),
                   payment_status_word(order->payment), fulfilment_status_word(order->fulfilment));
    memcpy(found, text.ptr, text.len);
    text.ptr = found;
    arena_close(arena);
    test_check_str(file, at, "states", text, str_of_z(states));
}
#define CHECK_STATES(order, states) check_states(__FILE__, __LINE__, (order), (states))

/* "placed, reserved, …" of the steps since it was read. */
static void check_steps(const char *file, int at, struct test *t, const struct order *order,
                        const char *steps)
{
    struct text out = text_init(t->arena, 128);
    for (int i = 0; i < order->steps_count; i++) {
        text_add(&out, i > 0 ? STR(", ") : STR(""));
        text_add(&out, str_of_z(order->steps[i].what));
    }
    test_check_str(file, at, "steps", text_str(&out), str_of_z(steps));
}
#define CHECK_STEPS(order, steps) check_steps(__FILE__, __LINE__, t, (order), (steps))

static bool announces(const struct order *order, enum order_event event)
{
    for (int i = 0; i < order->events_count; i++)
        if (order->events[i] == event)
            return true;
    return false;
}

/* ---- words and numbers ---- */

TEST(the_numbers_of_the_states_are_those_of_the_contract)
{
    for (int i = 0; i < (int)orders_order_status_spec.descriptor->n_values - 1; i++) {
        enum order_status status = (enum order_status)(i + 1);
        CHECK_INT(orders_order_status_spec.descriptor->values[i + 1].value, status);
        CHECK_STR(orders_order_status_spec.words[i + 1], order_status_word(status));
        CHECK_INT(order_status_of(str_of_z(order_status_word(status))), status);
    }
    for (int i = 0; i < (int)orders_payment_status_spec.descriptor->n_values - 1; i++) {
        enum payment_status status = (enum payment_status)(i + 1);
        CHECK_INT(orders_payment_status_spec.descriptor->values[i + 1].value, status);
        CHECK_STR(orders_payment_status_spec.words[i + 1], payment_status_word(status));
        CHECK_INT(payment_status_of(str_of_z(payment_status_word(status))), status);
    }
    for (int i = 0; i < (int)orders_fulfilment_status_spec.descriptor->n_values - 1; i++) {
        enum fulfilment_status status = (enum fulfilment_status)(i + 1);
        CHECK_INT(orders_fulfilment_status_spec.descriptor->values[i + 1].value, status);
        CHECK_STR(orders_fulfilment_status_spec.words[i + 1], fulfilment_status_word(status));
        CHECK_INT(fulfilment_status_of(str_of_z(fulfilment_status_word(status))), status);
    }
    CHECK_INT(orders_order_status_spec.descriptor->n_values, ORDER_CANCELLED + 1);
    CHECK_INT(orders_payment_status_spec.descriptor->n_values, PAYMENT_REFUNDED + 1);
    CHECK_INT(orders_fulfilment_status_spec.descriptor->n_values, FULFILMENT_RETURNED + 1);
    CHECK_INT(order_status_of(STR("nothing")), 0);
    CHECK_INT(payment_status_of(STR("")), 0);
    CHECK_INT(fulfilment_status_of(STR("Partial")), 0);
    CHECK_STR(actor_word(ACTOR_PROVIDER), "provider");
}

/* ---- placing ---- */

TEST(an_order_is_placed_with_the_sum_of_its_lines)
{
    struct order *order = placed(t, "simulator");
    CHECK_MONEY(order->total, ((struct money){ 2 * 500 + 250 + 3 * 400, EUR }));
    CHECK_STATES(order, "placed none none");
    CHECK_STEPS(order, "placed");
    CHECK_INT(order->steps[0].actor.kind, ACTOR_CUSTOMER);
    CHECK(uuid_equal(order->steps[0].actor.id, CUSTOMER.id));
    CHECK_INT(order->events_count, 1);
    CHECK(announces(order, EVENT_PLACED));
    CHECK_INT(order->created_at, 77);
    CHECK_INT(order_wants(order, true), JOB_NONE);
    CHECK(!order_is_settled(order));
}

static err place_one(struct test *t, struct order_line *lines, size_t count)
{
    struct order order;
    return order_place(t->arena, (struct uuid){ { 1 } }, CUSTOMER.id, lines, count, 1, &order);
}

TEST(an_order_that_cannot_be_is_refused)
{
    struct order_line *lines = arena_array(t->arena, struct order_line, 101);
    for (int i = 0; i < 101; i++)
        lines[i] = line("mug", 1, 1);
    CHECK_ERR(place_one(t, lines, 0), ORDER_EMPTY);
    CHECK_ERR(place_one(t, lines, 101), ORDER_TOO_LONG);
    CHECK_OK(place_one(t, lines, 100));
    static const int32_t quantities[] = { 0, -1, 10001, INT32_MIN, INT32_MAX };
    for (int i = 0; i < 5; i++) {
        lines[1].quantity = quantities[i];
        CHECK_ERR(place_one(t, lines, 2), ORDER_QUANTITY_INVALID);
    }
    lines[1].quantity = 10000;
    CHECK_OK(place_one(t, lines, 2));
    lines[1].unit_price.minor = MONEY_MINOR_MAX;
    CHECK_ERR(place_one(t, lines, 2), MONEY_OVERFLOW);
    lines[1] = line("tea", 1, MONEY_MINOR_MAX);
    CHECK_ERR(place_one(t, lines, 2), MONEY_OVERFLOW); /* their sum */
    lines[1].unit_price = (struct money){ 5, USD };
    CHECK_ERR(place_one(t, lines, 2), MONEY_CURRENCY_MIXED);
}

/* ---- stock ---- */

TEST(a_reserved_order_asks_for_its_payment)
{
    struct order *order = placed(t, "simulator");
    forget(order);
    CHECK_OK(order_reserve(t->arena, order, HOLD_UNTIL));
    CHECK_STATES(order, "reserved pending none");
    CHECK_STEPS(order, "reserved, payment.pending");
    CHECK_INT(order->hold_until, HOLD_UNTIL);
    CHECK_INT(order->events_count, 0);
    CHECK_INT(order_wants(order, true), JOB_AUTHORIZE);
    CHECK(!order_is_settled(order));
}

TEST(a_manual_order_is_settled_when_it_is_reserved_and_asks_no_provider)
{
    struct order *order = reserved(t, "manual");
    CHECK(order_is_manual(order));
    CHECK(order_is_settled(order));
    CHECK_INT(order_wants(order, true), JOB_NONE);
}

TEST(an_order_without_stock_is_rejected)
{
    struct order *order = placed(t, "simulator");
    forget(order);
    CHECK_OK(order_refuse_stock(t->arena, order));
    CHECK_STATES(order, "rejected none none");
    CHECK_STR(order->reason, "stock.insufficient");
    CHECK(announces(order, EVENT_CLOSED));
    CHECK(order_is_settled(order));
}

TEST(news_of_stock_do_nothing_to_an_order_that_is_past_it)
{
    struct order *orders[] = { reserved(t, "simulator"), paid(t, KNOWN_AUTHORIZED),
                               paid(t, KNOWN_DECLINED), placed(t, "simulator") };
    CHECK_OK(order_cancel(t->arena, orders[3], CUSTOMER, STR("")));
    forget(orders[3]);
    for (int i = 0; i < 4; i++) {
        struct order before = *orders[i];
        CHECK_OK(order_reserve(t->arena, orders[i], 5));
        CHECK_OK(order_refuse_stock(t->arena, orders[i]));
        CHECK_BYTES(orders[i], &before, sizeof before);
    }
}

/* ---- money ---- */

TEST(an_authorized_order_is_confirmed_and_its_money_captured_as_the_shop_wants)
{
    struct order *order = reserved(t, "simulator");
    learn(t, order, KNOWN_AUTHORIZED);
    CHECK_STATES(order, "confirmed authorized none");
    CHECK_STEPS(order, "payment.authorized, confirmed");
    CHECK_INT(order->steps[0].actor.kind, ACTOR_PROVIDER);
    CHECK_INT(order->steps[1].actor.kind, ACTOR_SYSTEM);
    CHECK(announces(order, EVENT_CONFIRMED));
    CHECK(order_is_settled(order));
    CHECK_INT(order_wants(order, true), JOB_CAPTURE);
    CHECK_INT(order_wants(order, false), JOB_NONE);
    CHECK_OK(ship(t, order, "tea", 1));
    CHECK_INT(order_wants(order, false), JOB_CAPTURE);
    learn(t, order, KNOWN_CAPTURED);
    CHECK_STATES(order, "confirmed captured partial");
    CHECK_INT(order->captured_minor, order->total.minor);
    CHECK_INT(order_wants(order, true), JOB_NONE);
}

TEST(a_declined_order_is_rejected)
{
    struct order *order = reserved(t, "simulator");
    learn(t, order, KNOWN_DECLINED);
    CHECK_STATES(order, "rejected declined none");
    CHECK_STR(order->reason, "payment.declined");
    CHECK(announces(order, EVENT_CLOSED));
    CHECK_INT(order_wants(order, true), JOB_NONE);
}

TEST(a_payment_that_is_not_known_is_asked_for_again_and_keeps_its_hold)
{
    struct order *order = reserved(t, "simulator");
    learn(t, order, KNOWN_UNKNOWN);
    CHECK_STATES(order, "reserved unknown none");
    CHECK_INT(order_wants(order, true), JOB_AUTHORIZE);
    forget(order);
    learn(t, order, KNOWN_UNKNOWN);
    learn(t, order, KNOWN_PENDING);
    CHECK_INT(order->steps_count, 0);
    CHECK_OK(order_expire(t->arena, order, HOLD_UNTIL + 1));
    CHECK_STATES(order, "reserved unknown none");
    learn(t, order, KNOWN_AUTHORIZED);
    CHECK_STATES(order, "confirmed authorized none");
}

TEST(older_news_than_what_is_known_do_nothing)
{
    static const enum payment_known all[] = { KNOWN_UNKNOWN,  KNOWN_PENDING,  KNOWN_AUTHORIZED,
                                              KNOWN_CAPTURED, KNOWN_DECLINED, KNOWN_VOIDED,
                                              KNOWN_REFUNDED };
    /* What each state of a payment may still learn. */
    static const struct {
        enum payment_known known[2];
        unsigned may;
    } cases[] = {
        { { KNOWN_AUTHORIZED, KNOWN_AUTHORIZED },
          1U << KNOWN_CAPTURED | 1U << KNOWN_VOIDED | 1U << KNOWN_REFUNDED },
        { { KNOWN_AUTHORIZED, KNOWN_CAPTURED }, 1U << KNOWN_REFUNDED },
        { { KNOWN_CAPTURED, KNOWN_CAPTURED }, 1U << KNOWN_REFUNDED },
        { { KNOWN_DECLINED, KNOWN_DECLINED }, 0 },
        { { KNOWN_VOIDED, KNOWN_VOIDED }, 0 },
        { { KNOWN_AUTHORIZED, KNOWN_VOIDED }, 0 },
        { { KNOWN_CAPTURED, KNOWN_REFUNDED }, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int j = 0; j < 7; j++) {
            struct order *order = reserved(t, "simulator");
            learn(t, order, cases[i].known[0]);
            learn(t, order, cases[i].known[1]);
            forget(order);
            learn(t, order, all[j]);
            CHECK_INT(order->steps_count > 0, (cases[i].may & 1U << all[j]) != 0);
        }
}

TEST(news_of_a_payment_do_nothing_to_an_order_that_never_asked_for_it)
{
    struct order *order = placed(t, "simulator");
    forget(order);
    for (int known = KNOWN_UNKNOWN; known <= KNOWN_REFUNDED; known++)
        learn(t, order, (enum payment_known)known);
    CHECK_STATES(order, "placed none none");
    CHECK_INT(order->steps_count, 0);
}

TEST(an_authorization_that_lapses_cancels_an_order_that_was_not_shipped)
{
    struct order *order = paid(t, KNOWN_AUTHORIZED);
    learn(t, order, KNOWN_VOIDED);
    CHECK_STATES(order, "cancelled voided none");
    CHECK_STR(order->reason, "payment.voided");
    CHECK(announces(order, EVENT_CLOSED));

    order = paid(t, KNOWN_AUTHORIZED);
    CHECK_OK(ship(t, order, "tea", 1));
    forget(order);
    learn(t, order, KNOWN_VOIDED); /* the goods are out: people decide */
    CHECK_STATES(order, "confirmed authorized partial");
    CHECK_INT(order->steps_count, 0);
}

TEST(money_that_was_given_back_unasked_closes_the_order)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    learn(t, order, KNOWN_REFUNDED);
    CHECK_STATES(order, "cancelled refunded none");
    CHECK_STR(order->reason, "payment.refunded");
    CHECK(announces(order, EVENT_CLOSED));
    CHECK(announces(order, EVENT_REFUNDED));
    CHECK_INT(order->refunded_minor, order->total.minor);

    order = paid(t, KNOWN_AUTHORIZED); /* that it had been captured was never heard */
    learn(t, order, KNOWN_REFUNDED);
    CHECK_STATES(order, "cancelled refunded none");
    CHECK_STEPS(order, "payment.captured, cancelling, payment.refunded, cancelled");

    order = paid(t, KNOWN_CAPTURED);
    CHECK_OK(ship(t, order, "tea", 1));
    forget(order);
    learn(t, order, KNOWN_REFUNDED);
    CHECK_STATES(order, "completed refunded partial");
    CHECK(announces(order, EVENT_CLOSED)); /* what was not shipped is free again */
}

TEST(a_manual_payment_is_recorded_with_the_very_amount)
{
    struct order *order = reserved(t, "manual");
    struct money total = order->total;
    CHECK_ERR(order_record_payment(t->arena, order, (struct money){ total.minor - 1, EUR }, STAFF),
              PAYMENT_AMOUNT);
    CHECK_ERR(order_record_payment(t->arena, order, (struct money){ total.minor, USD }, STAFF),
              PAYMENT_AMOUNT);
    CHECK_OK(order_record_payment(t->arena, order, total, STAFF));
    CHECK_STATES(order, "confirmed captured none");
    CHECK_STEPS(order, "payment.captured, confirmed");
    CHECK_INT(order->steps[0].actor.kind, ACTOR_STAFF);
    CHECK_ERR(order_record_payment(t->arena, order, total, STAFF), ORDER_STATE);

    order = reserved(t, "simulator");
    CHECK_ERR(order_record_payment(t->arena, order, total, STAFF), ORDER_STATE);
    order = placed(t, "manual");
    CHECK_ERR(order_record_payment(t->arena, order, total, STAFF), ORDER_STATE);
}

/* ---- cancelling ---- */

TEST(what_people_wrote_is_no_reason_of_the_shop)
{
    struct order *order = placed(t, "simulator");
    CHECK(order_reason_of_shop(order).len == 0);
    CHECK_OK(order_cancel(t->arena, order, CUSTOMER, STR("Amina moved to Moi Avenue")));
    CHECK(order_reason_of_shop(order).len == 0);
    order = placed(t, "simulator");
    CHECK_OK(order_refuse_stock(t->arena, order));
    CHECK_STR(order_reason_of_shop(order), "stock.insufficient");
    order = reserved(t, "simulator");
    CHECK_OK(order_expire(t->arena, order, order->hold_until));
    CHECK_STR(order_reason_of_shop(order), "hold.expired");
}

TEST(an_order_for_which_no_money_moved_is_cancelled_at_once)
{
    struct order *order = placed(t, "simulator");
    forget(order);
    CHECK_OK(order_cancel(t->arena, order, CUSTOMER, STR("changed my mind")));
    CHECK_STATES(order, "cancelled none none");
    CHECK_STEPS(order, "cancelling, cancelled");
    CHECK_STR(order->reason, "changed my mind");
    CHECK_STR(order->steps[0].reason, "changed my mind");
    CHECK(announces(order, EVENT_CLOSED));

    order = reserved(t, "manual");
    CHECK_OK(order_cancel(t->arena, order, STAFF, STR("")));
    CHECK_STATES(order, "cancelled voided none");
    CHECK_STR(order->reason, "cancelled");
}

/* From each state of the payment: what is due, and what it ends as. */
TEST(an_order_whose_money_may_have_moved_is_cancelled_when_it_is_back)
{
    static const struct {
        enum payment_known known;
        const char *then;
        enum payment_job wants;
        enum payment_known end;
        const char *last;
    } cases[] = {
        { KNOWN_PENDING, "cancelling pending none", JOB_AUTHORIZE, KNOWN_DECLINED,
          "cancelled declined none" },
        { KNOWN_UNKNOWN, "cancelling unknown none", JOB_AUTHORIZE, KNOWN_VOIDED,
          "cancelled voided none" },
        { KNOWN_AUTHORIZED, "cancelling voiding none", JOB_VOID, KNOWN_VOIDED,
          "cancelled voided none" },
        { KNOWN_CAPTURED, "cancelling refunding none", JOB_REFUND, KNOWN_REFUNDED,
          "cancelled refunded none" },
    };
    for (int i = 0; i < 4; i++) {
        struct order *order = paid(t, cases[i].known);
        CHECK_OK(order_cancel(t->arena, order, CUSTOMER, STR("")));
        CHECK_STATES(order, cases[i].then);
        CHECK(announces(order, EVENT_CLOSED));
        CHECK(order_is_settled(order));
        CHECK_INT(order_wants(order, true), cases[i].wants);
        CHECK_ERR(order_cancel(t->arena, order, CUSTOMER, STR("")), ORDER_STATE);
        forget(order);
        learn(t, order, cases[i].end);
        CHECK_STATES(order, cases[i].last);
        CHECK(!announces(order, EVENT_CLOSED)); /* once is enough */
        CHECK(announces(order, EVENT_REFUNDED) == (cases[i].end == KNOWN_REFUNDED));
        CHECK_INT(order_wants(order, true), JOB_NONE);
    }
}

TEST(money_that_comes_for_a_cancelled_order_is_sent_back)
{
    struct order *order = paid(t, KNOWN_UNKNOWN);
    CHECK_OK(order_cancel(t->arena, order, CUSTOMER, STR("")));
    learn(t, order, KNOWN_AUTHORIZED);
    CHECK_STATES(order, "cancelling voiding none");
    learn(t, order, KNOWN_CAPTURED); /* the void came too late */
    CHECK_STATES(order, "cancelling refunding none");
    learn(t, order, KNOWN_VOIDED); /* older news */
    CHECK_STATES(order, "cancelling refunding none");
    learn(t, order, KNOWN_REFUNDED);
    CHECK_STATES(order, "cancelled refunded none");
    CHECK_INT(order->captured_minor - order->refunded_minor, 0);
}

TEST(what_is_over_or_shipped_cannot_be_cancelled)
{
    struct order *orders[6] = { placed(t, "simulator"),    paid(t, KNOWN_DECLINED),
                                paid(t, KNOWN_CAPTURED),   paid(t, KNOWN_CAPTURED),
                                paid(t, KNOWN_AUTHORIZED), paid(t, KNOWN_CAPTURED) };
    CHECK_OK(order_cancel(t->arena, orders[0], CUSTOMER, STR("")));
    CHECK_OK(ship(t, orders[2], "tea", 1));
    CHECK_OK(ship(t, orders[3], "", 0));
    CHECK_OK(ship(t, orders[4], "", 0));
    CHECK_OK(ship(t, orders[5], "mug", 1));
    CHECK_OK(order_refund(t->arena, orders[5], true, STAFF, STR("")));
    for (int i = 0; i < 6; i++) {
        struct order before = *orders[i];
        CHECK_ERR(order_cancel(t->arena, orders[i], CUSTOMER, STR("")), ORDER_STATE);
        CHECK_BYTES(orders[i], &before, sizeof before);
    }
}

TEST(a_hold_runs_out_at_its_time_while_money_is_awaited)
{
    struct order *order = reserved(t, "manual");
    CHECK_OK(order_expire(t->arena, order, HOLD_UNTIL - 1));
    CHECK_STATES(order, "reserved pending none");
    CHECK_OK(order_expire(t->arena, order, HOLD_UNTIL));
    CHECK_STATES(order, "cancelled voided none");
    CHECK_STR(order->reason, "hold.expired");
    CHECK_INT(order->steps[0].actor.kind, ACTOR_SYSTEM);

    order = reserved(t, "simulator");
    CHECK_OK(order_expire(t->arena, order, HOLD_UNTIL));
    CHECK_STATES(order, "cancelling pending none"); /* what the provider does is not known yet */

    struct order *others[] = { placed(t, "simulator"), paid(t, KNOWN_AUTHORIZED),
                               paid(t, KNOWN_DECLINED), paid(t, KNOWN_UNKNOWN) };
    for (int i = 0; i < 4; i++) {
        struct order before = *others[i];
        CHECK_OK(order_expire(t->arena, others[i], HOLD_UNTIL + 1));
        CHECK_BYTES(others[i], &before, sizeof before);
    }
}

/* ---- shipping ---- */

TEST(lines_of_one_sku_are_filled_in_turn)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    CHECK_OK(ship(t, order, "mug", 3));
    CHECK_STATES(order, "confirmed captured partial");
    CHECK_STEPS(order, "shipped");
    CHECK(announces(order, EVENT_SHIPPED));
    CHECK_INT(order->lines[0].shipped, 2);
    CHECK_INT(order->lines[2].shipped, 1);
    CHECK_INT(order->lines[1].shipped, 0);
    CHECK_OK(ship(t, order, "mug", 2));
    CHECK_INT(order->lines[2].shipped, 3);
    CHECK_STATES(order, "confirmed captured partial");
    CHECK_OK(ship(t, order, "tea", 1));
    CHECK_STATES(order, "completed captured fulfilled");
}

TEST(a_sku_may_stand_on_two_lines_of_a_shipment)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    struct shipment_line shipment[] = { { STR("mug"), 4 }, { STR("mug"), 1 } };
    size_t count = 2;
    CHECK_OK(order_ship(t->arena, order, shipment, &count, STAFF));
    CHECK_INT(order->lines[0].shipped + order->lines[2].shipped, 5);

    order = paid(t, KNOWN_CAPTURED);
    shipment[1].quantity = 2;
    err error = order_ship(t->arena, order, shipment, &count, STAFF);
    CHECK_ERR(error, FULFILMENT_INVALID);
    CHECK_STR(error->fields[0].pointer, "/lines/1/quantity");
}

TEST(without_lines_all_that_is_left_is_shipped)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    struct shipment_line shipment[ORDER_LINES_MAX];
    size_t count = 0;
    CHECK_OK(ship(t, order, "mug", 1));
    CHECK_OK(order_ship(t->arena, order, shipment, &count, STAFF));
    CHECK_INT(count, 3);
    CHECK_STR(shipment[0].sku, "mug");
    CHECK_INT(shipment[0].quantity, 1);
    CHECK_STR(shipment[1].sku, "tea");
    CHECK_INT(shipment[2].quantity, 3);
    CHECK_STATES(order, "completed captured fulfilled");
}

TEST(what_was_not_ordered_or_is_shipped_already_is_refused)
{
    static const struct {
        const char *sku;
        int32_t quantity;
    } wrong[] = { { "mug", 6 }, { "cup", 1 }, { "mug", 0 },        { "mug", -1 },
                  { "tea", 2 }, { "Mug", 1 }, { "mug", INT32_MAX } };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_ERR(ship(t, paid(t, KNOWN_CAPTURED), wrong[i].sku, wrong[i].quantity),
                  FULFILMENT_INVALID);
}

TEST(only_a_confirmed_and_paid_order_is_shipped)
{
    struct order *orders[7] = { placed(t, "simulator"),  reserved(t, "simulator"),
                                paid(t, KNOWN_DECLINED), paid(t, KNOWN_CAPTURED),
                                paid(t, KNOWN_CAPTURED), paid(t, KNOWN_CAPTURED),
                                paid(t, KNOWN_UNKNOWN) };
    CHECK_OK(order_cancel(t->arena, orders[3], CUSTOMER, STR("")));
    CHECK_OK(ship(t, orders[4], "", 0)); /* completed */
    CHECK_OK(ship(t, orders[5], "tea", 1));
    CHECK_OK(order_refund(t->arena, orders[5], false, STAFF, STR("")));
    for (int i = 0; i < 7; i++)
        CHECK_ERR(ship(t, orders[i], "mug", 1), ORDER_STATE);
    CHECK_OK(ship(t, paid(t, KNOWN_AUTHORIZED), "mug", 1)); /* captured with the first parcel */
}

TEST(an_order_that_is_shipped_before_its_money_is_captured_is_completed_then)
{
    struct order *order = paid(t, KNOWN_AUTHORIZED);
    CHECK_OK(ship(t, order, "", 0));
    CHECK_STATES(order, "confirmed authorized fulfilled");
    learn(t, order, KNOWN_CAPTURED);
    CHECK_STATES(order, "completed captured fulfilled");

    order = paid(t, KNOWN_AUTHORIZED);
    CHECK_OK(ship(t, order, "", 0));
    CHECK_OK(order_deliver(t->arena, order, STAFF));
    CHECK_STATES(order, "confirmed authorized delivered");
    learn(t, order, KNOWN_CAPTURED);
    CHECK_STATES(order, "completed captured delivered");
}

TEST(only_what_was_shipped_whole_arrives_and_once)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    CHECK_ERR(order_deliver(t->arena, order, STAFF), ORDER_STATE);
    CHECK_OK(ship(t, order, "mug", 1));
    CHECK_ERR(order_deliver(t->arena, order, STAFF), ORDER_STATE);
    CHECK_OK(ship(t, order, "", 0));
    CHECK_OK(order_deliver(t->arena, order, STAFF));
    CHECK_STATES(order, "completed captured delivered");
    CHECK_ERR(order_deliver(t->arena, order, STAFF), ORDER_STATE);
}

/* ---- giving back ---- */

TEST(a_refund_of_what_was_not_shipped_is_a_cancellation)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    CHECK_OK(order_refund(t->arena, order, false, STAFF, STR("a mistake")));
    CHECK_STATES(order, "cancelling refunding none");
    CHECK_STR(order->reason, "a mistake");
    CHECK_INT(order_wants(order, true), JOB_REFUND);
    CHECK(announces(order, EVENT_CLOSED));
    learn(t, order, KNOWN_REFUNDED);
    CHECK_STATES(order, "cancelled refunded none");
}

TEST(a_refund_after_parcels_frees_what_is_left_and_takes_back_what_comes_back)
{
    for (int restock = 0; restock < 2; restock++) {
        struct order *order = paid(t, KNOWN_CAPTURED);
        CHECK_OK(ship(t, order, "mug", 4));
        forget(order);
        CHECK_OK(order_refund(t->arena, order, restock, STAFF, STR("")));
        CHECK_STATES(order,
                     restock ? "confirmed refunding returned" : "confirmed refunding partial");
        CHECK_INT(announces(order, EVENT_RETURNED), restock);
        CHECK(announces(order, EVENT_CLOSED));
        learn(t, order, KNOWN_REFUNDED);
        CHECK_STATES(order, restock ? "completed refunded returned" : "completed refunded partial");
    }
}

TEST(units_may_come_back_for_a_while_after_the_order_was_placed)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    time_us at = order->created_at;
    CHECK_OK(order_may_return(t->arena, order, at + 10 * TIME_SECOND, 10 * TIME_SECOND));
    CHECK_ERR(order_may_return(t->arena, order, at + 10 * TIME_SECOND + 1, 10 * TIME_SECOND),
              RETURN_TOO_LATE);
}

TEST(a_refund_after_all_was_shipped_frees_nothing)
{
    for (int delivered = 0; delivered < 2; delivered++) {
        struct order *order = paid(t, KNOWN_CAPTURED);
        CHECK_OK(ship(t, order, "", 0));
        if (delivered)
            CHECK_OK(order_deliver(t->arena, order, STAFF));
        forget(order);
        CHECK_OK(order_refund(t->arena, order, true, STAFF, STR("")));
        CHECK_STATES(order, "completed refunding returned");
        CHECK(!announces(order, EVENT_CLOSED) && announces(order, EVENT_RETURNED));
        learn(t, order, KNOWN_REFUNDED);
        CHECK_STATES(order, "completed refunded returned");
        CHECK_ERR(order_refund(t->arena, order, true, STAFF, STR("")), REFUND_INVALID);
    }
}

TEST(only_money_that_is_there_is_given_back)
{
    struct order *orders[4] = { placed(t, "simulator"), reserved(t, "simulator"),
                                paid(t, KNOWN_AUTHORIZED), paid(t, KNOWN_DECLINED) };
    for (int i = 0; i < 4; i++)
        CHECK_ERR(order_refund(t->arena, orders[i], false, STAFF, STR("")), REFUND_INVALID);
}

TEST(manual_money_is_given_back_by_hand)
{
    struct order *order = reserved(t, "manual");
    CHECK_OK(order_record_payment(t->arena, order, order->total, STAFF));
    forget(order);
    CHECK_OK(order_refund(t->arena, order, false, STAFF, STR("")));
    CHECK_STATES(order, "cancelled refunded none");

    order = reserved(t, "manual");
    CHECK_OK(order_record_payment(t->arena, order, order->total, STAFF));
    CHECK_OK(order_cancel(t->arena, order, CUSTOMER, STR("")));
    CHECK_STATES(order, "cancelling refunding none");
    CHECK_INT(order_wants(order, true), JOB_NONE);
    forget(order);
    CHECK_OK(order_refund(t->arena, order, false, STAFF, STR("")));
    CHECK_STATES(order, "cancelled refunded none");

    order = reserved(t, "manual");
    CHECK_OK(order_record_payment(t->arena, order, order->total, STAFF));
    CHECK_OK(ship(t, order, "", 0));
    forget(order);
    CHECK_OK(order_refund(t->arena, order, true, STAFF, STR("")));
    CHECK_STATES(order, "completed refunded returned");
}

/* ---- what never is ---- */

TEST(an_order_that_contradicts_itself_is_a_broken_invariant)
{
    struct order *order = paid(t, KNOWN_CAPTURED);
    order->refunded_minor = 1;
    order->captured_minor = 0;
    CHECK_PANICS(order_assert(order));
    order = paid(t, KNOWN_AUTHORIZED);
    order->status = ORDER_CANCELLED;
    CHECK_PANICS(order_assert(order));
    order = paid(t, KNOWN_AUTHORIZED);
    order->lines[0].shipped = 1;
    CHECK_PANICS(order_assert(order));
}
