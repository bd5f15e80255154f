/* The catalog of Products, whole and inline: making, reading, listing, changing, archiving. */
#include "tests/api/products_shop.h"

static const char POT[] =
    "{\"title\":\"Clay Plant Pot\",\"description\":\"Of clay, by hand\",\"vendor\":\"Amu Clay\","
    "\"type\":\"Outdoor\",\"status\":\"active\",\"tags\":[\"Pot\",\"Plants\"],"
    "\"options\":[{\"name\":\"Size\"}],\"variants\":["
    "{\"options\":[\"Regular\"],\"price\":{\"amount\":999,\"currency\":\"EUR\"},\"on_hand\":10},"
    "{\"options\":[\"Large\"],\"price\":{\"amount\":1599,\"currency\":\"EUR\"},\"on_hand\":3}],"
    "\"images\":[{\"url\":\"https://example.com/pot.jpg\",\"alt\":\"A pot\"}]}";

/* ---- making and reading ---- */

TEST(a_product_is_made_and_read_by_id_and_by_handle)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen made = products_shop_create(shop, POT);

    CHECK_STR(inline_text(t, &made, "/handle"), "clay-plant-pot");
    CHECK_STR(inline_text(t, &made, "/version"), "1");
    CHECK_STR(inline_header(&made, "etag"), "\"v1\"");
    CHECK_STR(inline_text(t, &made, "/variants/0/sku"), "clay-plant-pot-regular");
    CHECK_STR(inline_text(t, &made, "/variants/0/availability"), "in_stock");
    CHECK_STR(inline_text(t, &made, "/variants/1/availability"), "low");
    CHECK_STR(inline_text(t, &made, "/options/0/values/1"), "Large");
    str location = str_format(t->arena, "/products/%" STR_F, STR_A(inline_text(t, &made, "/id")));
    CHECK_STR(inline_header(&made, "location"), location);

    struct answer_seen by_id = inline_get(&shop->anyone, str_z(t->arena, location));
    struct answer_seen by_handle = inline_get(&shop->anyone, "/products/clay-plant-pot");
    CHECK_STATUS(by_id, 200);
    CHECK_STR(by_id.body, made.body);
    CHECK_STR(by_handle.body, made.body);
    CHECK_STR(inline_header(&by_handle, "etag"), "\"v1\"");
}

TEST(a_product_that_was_read_is_not_sent_again)
{
    const char *headers[] = { "If-None-Match: \"v1\"", NULL };
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, POT);
    CHECK_STATUS(
        inline_request(&shop->anyone, "GET", "/products/clay-plant-pot", headers, STR_NONE), 304);
}

TEST(only_staff_make_products)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    CHECK_PROBLEM(inline_post(&shop->anyone, "/products", POT), 401, "auth.token_missing");
    CHECK_PROBLEM(inline_post(&shop->customer, "/products", POT), 403, "auth.role_missing");
}

TEST(drafts_and_what_is_archived_are_there_for_staff_only)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen draft = products_shop_create(
        shop, "{\"title\":\"Mug\",\"variants\":[{\"price\":{\"amount\":5,\"currency\":\"EUR\"}}]}");

    CHECK_STR(inline_text(t, &draft, "/status"), "draft");
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products/mug"), 404, "not_found");
    CHECK_PROBLEM(inline_get(&shop->customer, "/products/mug"), 404, "not_found");
    CHECK_STATUS(inline_get(&shop->staff, "/products/mug"), 200);
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products/nobody"), 404, "not_found");
}

static struct answer_seen make_named(struct products_shop *shop, const char *member,
                                     const char *value)
{
    struct arena *arena = shop->t->arena;
    str body = str_format(arena,
                          "{%s\"%s\":\"%s\",\"variants\":[{\"price\":{\"amount\":5,"
                          "\"currency\":\"EUR\"}}]}",
                          strcmp(member, "title") == 0 ? "" : "\"title\":\"T\",", member, value);
    return inline_post(&shop->staff, "/products", str_z(arena, body));
}

TEST(a_handle_that_means_something_else_in_a_path_is_refused)
{
    static const char *const words[] = { "categories", "imports", "stock", "export" };
    struct products_shop *shop = products_shop_open(t, NULL);

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct answer_seen answer = make_named(shop, "handle", words[i]);
        CHECK_PROBLEM(answer, 422, "product.invalid");
        CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/handle");
        CHECK(str_find(answer.body, str_of_z(words[i])) > 0);
        CHECK_PROBLEM(make_named(shop, "title", words[i]), 422, "product.invalid");
        str other = str_format(t->arena, "%s-2", words[i]);
        CHECK_STATUS(make_named(shop, "handle", str_z(t->arena, other)), 201);
    }
}

TEST(handles_and_skus_are_of_one_product)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen answer;

    products_shop_create(shop, POT);
    answer = inline_post(&shop->staff, "/products", POT);
    CHECK_PROBLEM(answer, 409, "product.handle_taken");
    answer = inline_post(&shop->staff, "/products",
                         "{\"title\":\"Other\",\"variants\":[{\"sku\":\"clay-plant-pot-large\","
                         "\"price\":{\"amount\":5,\"currency\":\"EUR\"}}]}");
    CHECK_PROBLEM(answer, 409, "sku.taken");
    CHECK_STATUS(inline_get(&shop->staff, "/products/other"), 404);
}

TEST(a_product_that_contradicts_itself_is_refused_with_a_pointer)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen answer =
        inline_post(&shop->staff, "/products",
                    "{\"title\":\"Mug\",\"options\":[{\"name\":\"Size\"}],\"variants\":[{\"price\":"
                    "{\"amount\":5,\"currency\":\"EUR\"}}]}");

    CHECK_PROBLEM(answer, 422, "product.invalid");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/variants/0/options");
    answer = inline_post(&shop->staff, "/products",
                         "{\"title\":\"Mug\",\"status\":\"archived\",\"variants\":[{\"price\":"
                         "{\"amount\":5,\"currency\":\"EUR\"}}]}");
    CHECK_PROBLEM(answer, 422, "product.invalid");
    answer = inline_post(&shop->staff, "/products",
                         "{\"title\":\"Mug\",\"categories\":[\"none\"],\"variants\":[{\"price\":"
                         "{\"amount\":5,\"currency\":\"EUR\"}}]}");
    CHECK_PROBLEM(answer, 422, "product.invalid");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/categories/0");
    answer = inline_post(&shop->staff, "/products", "{\"title\":\"\",\"variants\":[]}");
    CHECK_PROBLEM(answer, 422, "field.invalid");
}

/* ---- changing ---- */

TEST(a_patch_changes_what_it_names_under_a_new_version)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, POT);
    struct answer_seen patched = products_shop_patch(shop, "/products/clay-plant-pot",
                                                     "{\"title\":\"Pot of clay\",\"tags\":[]}");
    CHECK_STATUS(patched, 200);
    CHECK_STR(inline_text(t, &patched, "/title"), "Pot of clay");
    CHECK_STR(inline_text(t, &patched, "/handle"), "clay-plant-pot");
    CHECK_STR(inline_text(t, &patched, "/tags"), "0");
    CHECK_STR(inline_text(t, &patched, "/version"), "2");
    CHECK_STR(inline_header(&patched, "etag"), "\"v2\"");
    CHECK_STR(inline_text(t, &patched, "/variants/1/availability"), "low");
    CHECK_STR(inline_get(&shop->anyone, "/products/clay-plant-pot").body, patched.body);

    struct answer_seen same =
        products_shop_patch(shop, "/products/clay-plant-pot", "{\"title\":\"Pot of clay\"}");
    CHECK_STATUS(same, 200);
    CHECK_STR(inline_text(t, &same, "/version"), "2");
}

TEST(a_patch_needs_the_etag_that_is_in_force)
{
    const char *stale[] = { "If-Match: \"v7\"", NULL };
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, POT);
    CHECK_PROBLEM(
        inline_request(&shop->staff, "PATCH", "/products/clay-plant-pot", NULL, STR("{}")), 428,
        "version.required");
    CHECK_PROBLEM(inline_request(&shop->staff, "PATCH", "/products/clay-plant-pot", stale,
                                 STR("{\"title\":\"x\"}")),
                  412, "version.stale");
    CHECK_PROBLEM(
        inline_request(&shop->staff, "DELETE", "/products/clay-plant-pot", stale, STR_NONE), 412,
        "version.stale");
}

TEST(two_patches_at_once_do_not_both_win)
{
    enum { PATCHES = 16 };
    const char *headers[] = { "If-Match: \"v1\"", NULL };
    struct inline_pending *pending[PATCHES];
    struct products_shop *shop = products_shop_open(t, NULL);
    int won = 0;

    products_shop_create(shop, POT);
    for (int i = 0; i < PATCHES; i++)
        pending[i] = inline_send(&shop->staff, "PATCH", "/products/clay-plant-pot", headers,
                                 str_format(t->arena, "{\"title\":\"Pot %d\"}", i));
    for (int i = 0; i < PATCHES; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        won += answer.status == 200;
        if (answer.status != 200)
            CHECK_PROBLEM(answer, 412, "version.stale");
    }
    CHECK_INT(won, 1);
}

TEST(variants_are_matched_by_sku_and_one_that_is_not_sent_goes)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen made = products_shop_create(shop, POT);
    struct answer_seen patched = products_shop_patch(
        shop, "/products/clay-plant-pot",
        "{\"variants\":[{\"sku\":\"clay-plant-pot-large\",\"options\":[\"Huge\"],\"price\":"
        "{\"amount\":2000,\"currency\":\"EUR\"}},{\"options\":[\"Tiny\"],\"price\":{\"amount\":100,"
        "\"currency\":\"EUR\"},\"on_hand\":1}]}");

    CHECK_STATUS(patched, 200);
    CHECK_STR(inline_text(t, &patched, "/variants"), "2");
    CHECK_STR(inline_text(t, &patched, "/variants/0/id"), inline_text(t, &made, "/variants/1/id"));
    CHECK_STR(inline_text(t, &patched, "/variants/0/availability"), "low");
    CHECK_STR(inline_text(t, &patched, "/options/0/values/0"), "Huge");
    CHECK_STR(inline_text(t, &patched, "/variants/1/sku"), "clay-plant-pot-tiny");

    const Products__VariantPriced *gone =
        products_shop_hears(shop, &products_event_variant_priced, STR("clay-plant-pot-regular"), 2);
    CHECK(!gone->for_sale);
    CHECK_INT(products_shop_units(shop, "clay-plant-pot-regular").on_hand, 10);

    struct answer_seen again =
        inline_post(&shop->staff, "/products",
                    "{\"title\":\"New home\",\"status\":\"active\",\"variants\":[{\"sku\":"
                    "\"clay-plant-pot-regular\",\"price\":{\"amount\":5,\"currency\":\"EUR\"}}]}");
    CHECK_STATUS(again, 201);
    CHECK_STR(inline_text(t, &again, "/variants/0/availability"), "in_stock");
    const Products__VariantPriced *back =
        products_shop_hears(shop, &products_event_variant_priced, STR("clay-plant-pot-regular"), 3);
    CHECK(back->for_sale);
    CHECK_INT(back->amount, 5);
}

TEST(a_quantity_is_for_a_new_sku_only)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_stock(shop, "mug", 5);
    struct answer_seen answer = products_shop_patch(
        shop, "/products/mug",
        "{\"variants\":[{\"sku\":\"mug\",\"price\":{\"amount\":450,\"currency\":\"EUR\"},"
        "\"on_hand\":9}]}");
    CHECK_PROBLEM(answer, 422, "product.invalid");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/variants/0/on_hand");
    CHECK_INT(products_shop_units(shop, "mug").on_hand, 5);
}

TEST(deleting_archives_and_a_patch_brings_back)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, POT);
    CHECK_STATUS(products_shop_delete(shop, "/products/clay-plant-pot"), 204);
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products/clay-plant-pot"), 404, "not_found");
    struct answer_seen archived = inline_get(&shop->staff, "/products/clay-plant-pot");
    CHECK_STR(inline_text(t, &archived, "/status"), "archived");
    CHECK_STR(inline_text(t, &archived, "/version"), "2");
    CHECK_STATUS(products_shop_delete(shop, "/products/clay-plant-pot"), 204);
    CHECK(!((const Products__VariantPriced *)products_shop_hears(
                shop, &products_event_variant_priced, STR("clay-plant-pot-large"), 2))
               ->for_sale);

    struct answer_seen back =
        products_shop_patch(shop, "/products/clay-plant-pot", "{\"status\":\"active\"}");
    CHECK_STATUS(back, 200);
    CHECK_STATUS(inline_get(&shop->anyone, "/products/clay-plant-pot"), 200);
}

/* ---- what is announced ---- */

TEST(prices_are_announced_when_they_change_and_not_otherwise)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    const struct event_spec *priced = &products_event_variant_priced;

    products_shop_create(shop, POT);
    const Products__VariantPriced *first =
        products_shop_hears(shop, priced, STR("clay-plant-pot-large"), 1);
    CHECK_INT(first->amount, 1599);
    CHECK_STR(text_of(first->title), "Clay Plant Pot");
    CHECK_STR(text_of(first->variant_title), "Large");
    CHECK_STR(text_of(first->currency), "EUR");
    CHECK(first->for_sale);

    products_shop_patch(shop, "/products/clay-plant-pot", "{\"tags\":[\"new\"]}");
    products_shop_patch(shop, "/products/clay-plant-pot", "{\"title\":\"Pot\"}");
    const Products__VariantPriced *second =
        products_shop_hears(shop, priced, STR("clay-plant-pot-large"), 2);
    CHECK_STR(text_of(second->title), "Pot");
    products_shop_hears(shop, priced, STR("clay-plant-pot-regular"), 2);
    CHECK(!products_shop_heard(shop, priced, STR("clay-plant-pot-large"), 3));
}

/* ---- lists ---- */

static void make_shelf(struct products_shop *shop)
{
    static const struct {
        const char *title, *vendor, *tag;
        int price, on_hand;
    } SHELF[] = {
        { "Blue mug", "Amu", "kitchen", 900, 20 },     { "Clay pot", "Lamu", "garden", 1500, 3 },
        { "Almond soap", "Amu", "bath", 400, 0 },      { "Dhow model", "Pate", "decor", 7900, 20 },
        { "Coffee tray", "Lamu", "kitchen", 2500, 2 }, { "Étagère", "Pate", "decor", 9900, 9 },
    };

    for (size_t i = 0; i < sizeof(SHELF) / sizeof(SHELF[0]); i++)
        products_shop_create(
            shop, str_z(shop->t->arena,
                        str_format(shop->t->arena,
                                   "{\"title\":\"%s\",\"vendor\":\"%s\",\"type\":\"Home\","
                                   "\"status\":\"active\",\"tags\":[\"%s\"],\"variants\":[{"
                                   "\"price\":{\"amount\":%d,\"currency\":\"EUR\"},"
                                   "\"on_hand\":%d}]}",
                                   SHELF[i].title, SHELF[i].vendor, SHELF[i].tag, SHELF[i].price,
                                   SHELF[i].on_hand)));
}

/* Handles of a list, page by page, with spaces between. */
static str listed(struct products_shop *shop, const char *query, int limit)
{
    struct test *t = shop->t;
    struct text out = text_init(t->arena, 256);
    str after = STR("");

    for (;;) {
        str target =
            str_format(t->arena, "/products?%s%slimit=%d%s%" STR_F, query, query[0] ? "&" : "",
                       limit, after.len ? "&after=" : "", STR_A(after));
        struct answer_seen page = inline_get(&shop->anyone, str_z(t->arena, target));
        CHECK_STATUS(page, 200);
        int64_t count;
        CHECK(str_to_int64(inline_text(t, &page, "/items"), 0, limit, &count));
        for (int64_t i = 0; i < count; i++) {
            str at = str_format(t->arena, "/items/%lld/handle", (long long)i);
            text_add(&out, out.len > 0 ? STR(" ") : STR(""));
            text_add(&out, inline_text(t, &page, str_z(t->arena, at)));
        }
        after = inline_text(t, &page, "/next");
        if (!after.ptr)
            return text_str(&out);
        CHECK_INT(count, limit);
    }
}

TEST(lists_have_every_order_at_every_page_size)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    make_shelf(shop);
    for (int limit = 1; limit <= 7; limit++) {
        CHECK_STR(listed(shop, "", limit),
                  "etagere coffee-tray dhow-model almond-soap clay-pot blue-mug");
        CHECK_STR(listed(shop, "sort=newest", limit),
                  "etagere coffee-tray dhow-model almond-soap clay-pot blue-mug");
        CHECK_STR(listed(shop, "sort=title", limit),
                  "almond-soap blue-mug clay-pot coffee-tray dhow-model etagere");
        CHECK_STR(listed(shop, "sort=price", limit),
                  "almond-soap blue-mug clay-pot coffee-tray dhow-model etagere");
        CHECK_STR(listed(shop, "sort=price_descending", limit),
                  "etagere dhow-model coffee-tray clay-pot blue-mug almond-soap");
    }
}

TEST(filters_narrow_a_list_together)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    make_shelf(shop);
    CHECK_STR(listed(shop, "sort=title&vendor=amu", 1), "almond-soap blue-mug");
    CHECK_STR(listed(shop, "sort=title&tag=KITCHEN", 2), "blue-mug coffee-tray");
    CHECK_STR(listed(shop, "sort=title&tag=kitchen&vendor=Lamu", 2), "coffee-tray");
    CHECK_STR(listed(shop, "sort=title&type=home&price_min=900&price_max=2500", 2),
              "blue-mug clay-pot coffee-tray");
    CHECK_STR(listed(shop, "availability=out", 2), "almond-soap");
    CHECK_STR(listed(shop, "sort=title&availability=low", 2), "clay-pot coffee-tray");
    CHECK_STR(listed(shop, "sort=title&availability=in_stock", 2), "blue-mug dhow-model etagere");
    CHECK_STR(listed(shop, "tag=nothing", 2), "");
    CHECK_STR(listed(shop, "category=nothing", 2), "");
}

TEST(searching_finds_words_and_their_beginnings)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    make_shelf(shop);
    CHECK_STR(listed(shop, "q=pot", 5), "clay-pot");
    CHECK_STR(listed(shop, "q=co", 5), "coffee-tray");
    CHECK_STR(listed(shop, "q=ETAGERE", 5), "etagere");
    CHECK_STR(listed(shop, "q=dhow+model", 5), "dhow-model");
    CHECK_STR(listed(shop, "q=dhow+pot", 5), "");
    CHECK_STR(listed(shop, "q=lamu&sort=price", 1), "clay-pot coffee-tray");
    CHECK_STR(listed(shop, "q=lamu&sort=price_descending", 1), "coffee-tray clay-pot");
    CHECK_STR(listed(shop, "q=home&sort=title&tag=kitchen", 1), "blue-mug coffee-tray");
    CHECK_STR(listed(shop, "q=%22%21%22", 5), "");
    CHECK_STR(listed(shop, "q=title%3Apot+OR+NEAR%28a%29", 5), "");
    CHECK_STR(listed(shop, "q=home&sort=newest", 2),
              "etagere coffee-tray dhow-model almond-soap clay-pot blue-mug");
}

TEST(relevance_puts_titles_first_and_pages)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, "{\"title\":\"Mat\",\"description\":\"for a dhow\",\"status\":"
                               "\"active\",\"variants\":[{\"price\":{\"amount\":5,\"currency\":"
                               "\"EUR\"}}]}");
    products_shop_create(shop, "{\"title\":\"Dhow\",\"status\":\"active\",\"variants\":[{\"price\":"
                               "{\"amount\":5,\"currency\":\"EUR\"}}]}");
    products_shop_create(shop, "{\"title\":\"Lamp\",\"tags\":[\"dhow\"],\"status\":\"active\","
                               "\"variants\":[{\"price\":{\"amount\":5,\"currency\":\"EUR\"}}]}");
    CHECK_STR(listed(shop, "q=dhow", 3), "dhow lamp mat");
    CHECK_STR(listed(shop, "q=dhow&sort=relevance", 1), "dhow lamp mat");
}

TEST(a_search_follows_what_a_product_says_now)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_create(shop, POT);
    CHECK_STR(listed(shop, "q=clay", 5), "clay-plant-pot");
    CHECK_STR(listed(shop, "q=clay-plant-pot-large", 5), "clay-plant-pot");
    products_shop_patch(shop, "/products/clay-plant-pot",
                        "{\"title\":\"Bowl\",\"description\":\"wood\",\"vendor\":\"x\"}");
    CHECK_STR(listed(shop, "q=hand", 5), "");
    CHECK_STR(listed(shop, "q=bowl", 5), "clay-plant-pot");
    products_shop_delete(shop, "/products/clay-plant-pot");
    CHECK_STR(listed(shop, "q=bowl", 5), "");
}

TEST(questions_that_make_no_sense_are_refused)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen page;

    make_shelf(shop);
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products?sort=relevance"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products?limit=101"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products?color=red"), 400, "query.malformed");
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products?after=abc"), 400, "cursor.invalid");
    CHECK_PROBLEM(inline_get(&shop->anyone, "/products?status=draft"), 401, "auth.token_missing");
    CHECK_PROBLEM(inline_get(&shop->customer, "/products?status=draft"), 403, "auth.role_missing");
    page = inline_get(&shop->anyone, "/products?limit=2");
    str other = str_format(t->arena, "/products?limit=2&sort=title&after=%" STR_F,
                           STR_A(inline_text(t, &page, "/next")));
    CHECK_PROBLEM(inline_get(&shop->anyone, str_z(t->arena, other)), 400, "cursor.invalid");
}

TEST(staff_list_other_states)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    make_shelf(shop);
    products_shop_delete(shop, "/products/blue-mug");
    struct answer_seen archived = inline_get(&shop->staff, "/products?status=archived");
    CHECK_STR(inline_text(t, &archived, "/items"), "1");
    CHECK_STR(inline_text(t, &archived, "/items/0/handle"), "blue-mug");
    CHECK_STR(inline_text(t, &archived, "/items/0/status"), "archived");
    struct answer_seen active = inline_get(&shop->staff, "/products");
    CHECK_STR(inline_text(t, &active, "/items"), "5");
}

/* ---- categories ---- */

static str make_category(struct products_shop *shop, const char *json)
{
    struct answer_seen made = inline_post(&shop->staff, "/products/categories", json);

    CHECK_STATUS(made, 201);
    return inline_text(shop->t, &made, "/id");
}

static const char *category_path(struct test *t, str id)
{
    return str_z(t->arena, str_format(t->arena, "/products/categories/%" STR_F, STR_A(id)));
}

TEST(categories_are_made_changed_and_listed)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    str home = make_category(shop, "{\"name\":\"Home\"}");
    str bath = make_category(shop, "{\"name\":\"Bath & soap\",\"parent\":\"home\"}");
    struct answer_seen answer;

    answer = inline_post(&shop->staff, "/products/categories", "{\"name\":\"HOME\"}");
    CHECK_PROBLEM(answer, 409, "category.taken");
    answer =
        inline_post(&shop->staff, "/products/categories", "{\"name\":\"x\",\"parent\":\"nobody\"}");
    CHECK_PROBLEM(answer, 422, "field.invalid");
    answer = inline_request(&shop->staff, "PATCH", category_path(t, home), NULL,
                            STR("{\"parent\":\"bath-soap\"}"));
    CHECK_PROBLEM(answer, 422, "field.invalid");
    answer = inline_request(&shop->staff, "PATCH", category_path(t, bath), NULL,
                            STR("{\"name\":\"Bath\",\"handle\":\"bath\"}"));
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/parent"), "home");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");

    answer = inline_get(&shop->anyone, "/products/categories");
    CHECK_STR(inline_text(t, &answer, "/items"), "2");
    CHECK_STR(inline_text(t, &answer, "/items/0/handle"), "bath");
    CHECK_STR(inline_text(t, &answer, "/items/1/name"), "Home");
    CHECK_PROBLEM(inline_post(&shop->customer, "/products/categories", "{\"name\":\"x\"}"), 403,
                  "auth.role_missing");
}

TEST(products_are_listed_and_counted_by_category)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    str home = make_category(shop, "{\"name\":\"Home\"}");
    str bath = make_category(shop, "{\"name\":\"Bath\",\"parent\":\"home\"}");
    struct answer_seen answer;

    make_shelf(shop);
    products_shop_patch(shop, "/products/blue-mug", "{\"categories\":[\"home\"]}");
    products_shop_patch(shop, "/products/almond-soap", "{\"categories\":[\"bath\",\"home\"]}");
    CHECK_STR(listed(shop, "category=home&sort=title", 1), "almond-soap blue-mug");
    CHECK_STR(listed(shop, "category=bath", 1), "almond-soap");
    answer = inline_get(&shop->anyone, "/products/categories");
    CHECK_STR(inline_text(t, &answer, "/items/1/products_count"), "2");

    answer = inline_delete(&shop->staff, category_path(t, bath));
    CHECK_PROBLEM(answer, 409, "category.in_use");
    answer = inline_delete(&shop->staff, category_path(t, home));
    CHECK_PROBLEM(answer, 409, "category.in_use");
    products_shop_delete(shop, "/products/almond-soap");
    CHECK_STATUS(inline_delete(&shop->staff, category_path(t, bath)), 204);
    CHECK_PROBLEM(inline_delete(&shop->staff, category_path(t, bath)), 404, "not_found");

    answer = products_shop_patch(shop, "/products/almond-soap", "{\"status\":\"active\"}");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/categories"), "1");
    CHECK_STR(inline_text(t, &answer, "/categories/0"), "home");
}

static bool shows_new_handle(void *subject)
{
    struct products_shop *shop = subject;
    struct answer_seen answer = inline_get(&shop->anyone, "/products/blue-mug");

    return str_equal(inline_text(shop->t, &answer, "/categories/0"), STR("house"));
}

TEST(products_show_the_new_handle_of_a_category_after_a_while)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    str home = make_category(shop, "{\"name\":\"Home\"}");

    make_shelf(shop);
    products_shop_patch(shop, "/products/blue-mug", "{\"categories\":[\"home\"]}");
    inline_request(&shop->staff, "PATCH", category_path(t, home), NULL,
                   STR("{\"handle\":\"house\"}"));
    CHECK_STR(listed(shop, "category=house", 1), "blue-mug");
    CHECK(inline_until(shows_new_handle, shop));
}

/* ---- what is low, by a setting ---- */

static bool shows_low(void *subject)
{
    struct products_shop *shop = subject;
    struct answer_seen answer = inline_get(&shop->anyone, "/products/mug");

    return str_equal(inline_text(shop->t, &answer, "/variants/0/availability"), STR("low"));
}

TEST(documents_follow_the_setting_of_what_is_low)
{
    const char *url = str_z(
        t->arena, str_format(t->arena, "DATABASE_URL_PRODUCTS=sqlite:%s/p.db", test_folder(t)));
    struct products_shop *shop =
        products_shop_open_alone(t, (const char *const[]){ url, "STOCK_LOW=2", NULL });

    products_shop_stock(shop, "mug", 5);
    CHECK(!shows_low(shop));
    products_shop_close(shop);
    shop = products_shop_open_alone(t, (const char *const[]){ url, "STOCK_LOW=7", NULL });
    CHECK(inline_until(shows_low, shop));
}
