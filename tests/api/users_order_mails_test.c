/* Mails about orders, as far as Users is concerned: what it makes of each event of Orders. A shop
 * whole, with a real mail server, stands in tests/e2e/test_order_mails.py. */
#include "gen/orders.h"
#include "tests/api/users_shop.h"

static const struct uuid ORDER = { { 7 } };

static const Orders__NewsKind CONFIRMED = ORDERS__NEWS_KIND__NEWS_KIND_CONFIRMED,
                              REJECTED = ORDERS__NEWS_KIND__NEWS_KIND_REJECTED,
                              SHIPPED = ORDERS__NEWS_KIND__NEWS_KIND_SHIPPED,
                              CANCELLED = ORDERS__NEWS_KIND__NEWS_KIND_CANCELLED,
                              REFUNDED = ORDERS__NEWS_KIND__NEWS_KIND_REFUNDED;

struct told {
    struct test *t;
    struct users_shop *shop;
    struct uuid customer;
};

/* A shop with one customer, who is verified, so that no mail but those about orders comes. */
static struct told told_open(struct test *t, const char *setting)
{
    struct users_shop *shop = users_shop_open(t, (const char *const[]){ setting, NULL });
    struct uuid customer = users_shop_create(shop, "amina@example.com", "\"customer\"");
    inline_start(t, shop->house);
    return (struct told){ t, shop, customer };
}

static Duka__Money *euros(struct test *t, int64_t minor)
{
    Duka__Money *money = message_new(t->arena, &duka_money_spec);
    money->amount = minor;
    money->currency = field_of(STR("EUR"));
    return money;
}

/* Tells news of the order, as Orders does; `nth` tells news of one kind apart. */
static void tell(struct told *told, Orders__NewsKind kind, int nth, const char *reason)
{
    struct arena *arena = told->t->arena;
    Orders__OrderNews *news = message_new(arena, &orders_order_news_spec);
    news->news_id = field_of(str_format(arena, "order.%d.%d", (int)kind, nth));
    news->number = 1;
    news->order_id = field_of_uuid(arena, ORDER);
    news->customer_id = field_of_uuid(arena, told->customer);
    news->kind = kind;
    news->reason = field_of(str_of_z(reason));
    if (kind == CONFIRMED || kind == REFUNDED)
        news->amount = euros(told->t, 1299);
    users_shop_send(told->shop, &orders_event_order_news, news);
}

static void check_says(const char *file, int line, str mail, const char *words)
{
    if (str_find(mail, str_of_z(words)) < 0)
        test_fail(file, line, "\"%s\" is not in the mail:\n%.*s", words, (int)mail.len, mail.ptr);
}
#define CHECK_SAYS(mail, words) check_says(__FILE__, __LINE__, (mail), (words))

/* ---- one mail for each event ---- */

TEST(each_step_of_an_order_is_told_to_its_customer_once)
{
    struct told told = told_open(t, NULL);
    tell(&told, CONFIRMED, 1, "");
    str mail = users_shop_mail(told.shop, 1);
    CHECK_SAYS(mail, "To: <amina@example.com>\r\n");
    CHECK_SAYS(mail, "Subject: Duka: your order is confirmed\r\n");
    CHECK_SAYS(mail, "your order of 12.99 EUR is confirmed");
    CHECK_SAYS(mail, "http://127.0.0.1:3000/orders/07000000-0000-0000-0000-000000000000");
    CHECK_SAYS(mail, "text/html");

    tell(&told, CONFIRMED, 1, ""); /* the bus brings it again */
    tell(&told, SHIPPED, 1, "");
    CHECK_SAYS(users_shop_mail(told.shop, 2), "your order is on its way");
    tell(&told, SHIPPED, 2, ""); /* another parcel */
    users_shop_mail(told.shop, 3);
    tell(&told, SHIPPED, 2, "");
    tell(&told, REFUNDED, 1, "");
    mail = users_shop_mail(told.shop, 4);
    CHECK_SAYS(mail, "your money is on its way back");
    CHECK_SAYS(mail, "12.99 EUR for your order");
    tell(&told, REFUNDED, 1, "");
    tell(&told, CONFIRMED, 1, "");
    CHECK(inline_until(users_shop_is_all_sent, told.shop));
    CHECK_INT(users_shop_mails_count(told.shop), 4);
}

TEST(an_order_that_was_not_taken_and_one_that_was_cancelled_are_told_apart)
{
    struct told told = told_open(t, NULL);
    tell(&told, REJECTED, 1, "stock.insufficient");
    str mail = users_shop_mail(told.shop, 1);
    CHECK_SAYS(mail, "Subject: Duka: your order could not be taken\r\n");
    CHECK_SAYS(mail, "There was not enough in stock.");
    tell(&told, CANCELLED, 1, "hold.expired");
    mail = users_shop_mail(told.shop, 2);
    CHECK_SAYS(mail, "Subject: Duka: your order is cancelled\r\n");
    CHECK_SAYS(mail, "It was not paid in time.");
    tell(&told, CANCELLED, 2, "");
    CHECK_SAYS(users_shop_mail(told.shop, 3), "your order is cancelled.");
}

/* ---- to whom ---- */

TEST(who_was_erased_hears_nothing_and_nothing_is_left_waiting)
{
    struct told told = told_open(t, NULL);
    struct inline_client amina = users_shop_client_of(told.shop, "amina@example.com");
    tell(&told, CONFIRMED, 1, "");
    users_shop_mail(told.shop, 1);
    CHECK_STATUS(inline_delete(&amina, "/users/me"), 204);
    tell(&told, SHIPPED, 1, "");
    CHECK(inline_until(users_shop_is_all_sent, told.shop));
    CHECK_INT(users_shop_mails_count(told.shop), 1);
}

TEST(who_is_suspended_still_hears_of_goods_and_money)
{
    struct told told = told_open(t, NULL);
    users_shop_create(told.shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(told.shop, "staff@example.com");
    const char *path = users_shop_path(told.shop, "/users/%s/suspend", told.customer);
    CHECK_STATUS(inline_post(&staff, path, "{}"), 200);
    tell(&told, REFUNDED, 1, "");
    CHECK_SAYS(users_shop_mail(told.shop, 1), "your money is on its way back");
}

TEST(news_of_a_kind_that_this_version_does_not_know_is_taken_and_tells_nobody)
{
    struct told told = told_open(t, NULL);
    tell(&told, (Orders__NewsKind)(REFUNDED + 1), 1, "");
    CHECK(users_shop_is_all_sent(told.shop));
    tell(&told, SHIPPED, 1, "");
    users_shop_mail(told.shop, 1);
}

/* ---- switches ---- */

TEST(each_kind_has_a_switch)
{
    static const char *const switches[] = { "MAIL_ORDER_CONFIRMED=false",
                                            "MAIL_ORDER_REJECTED=false", "MAIL_ORDER_SHIPPED=false",
                                            "MAIL_ORDER_CANCELLED=false",
                                            "MAIL_ORDER_REFUNDED=false" };
    static const char *const subjects[] = { "order is confirmed", "order could not be taken",
                                            "order is on its way", "order is cancelled",
                                            "money is on its way back" };
    for (int off = 0; off < 5; off++) {
        struct told told = told_open(t, switches[off]);
        for (int kind = (int)CONFIRMED; kind <= (int)REFUNDED; kind++)
            tell(&told, (Orders__NewsKind)kind, 1, "");
        CHECK(inline_until(users_shop_is_all_sent, told.shop));
        CHECK_INT(users_shop_mails_count(told.shop), 4);
        for (size_t i = 1; i <= 4; i++)
            CHECK(str_find(users_shop_mail_at(told.shop, i), str_of_z(subjects[off])) < 0);
    }
}

TEST(without_a_way_for_mail_news_is_taken_and_nothing_piles_up)
{
    struct told told = told_open(t, "MAIL_URL=none");
    tell(&told, CONFIRMED, 1, "");
    tell(&told, SHIPPED, 1, "");
    CHECK(users_shop_is_all_sent(told.shop));
}
