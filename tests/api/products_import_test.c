/* Imports of Products, whole and inline: files of Shopify's format, as jobs. */
#include "services/products/store.h"
#include "tests/api/products_shop.h"
#include <stdio.h>

enum { FILE_BYTES_MAX = 1024 * 1024 };

static struct answer_seen send_file(struct products_shop *shop, const char *target, str file)
{
    const char *headers[] = { "Content-Type: text/csv", NULL };

    return inline_request(&shop->staff, "POST", target, headers, file);
}

struct watched {
    struct products_shop *shop;
    const char *target;
    struct answer_seen answer;
};

static bool is_over(void *subject)
{
    struct watched *watched = subject;
    struct test *t = watched->shop->t;

    watched->answer = inline_get(&watched->shop->staff, watched->target);
    CHECK_STATUS(watched->answer, 200);
    str status = inline_text(t, &watched->answer, "/status");
    return str_equal(status, STR("done")) || str_equal(status, STR("failed"));
}

static struct answer_seen finish(struct products_shop *shop, const struct answer_seen *begun)
{
    struct watched watched = { .shop = shop,
                               .target = str_z(shop->t->arena, inline_header(begun, "location")) };

    CHECK(inline_until(is_over, &watched));
    return watched.answer;
}

static struct answer_seen import_file(struct products_shop *shop, str file)
{
    struct answer_seen begun = send_file(shop, "/products/imports", file);

    CHECK_STATUS(begun, 202);
    CHECK_STR(inline_text(shop->t, &begun, "/status"), "waiting");
    return finish(shop, &begun);
}

static void check_counts(struct test *t, const struct answer_seen *import, const char *created,
                         const char *changed, const char *unchanged, const char *refused)
{
    CHECK_STR(inline_text(t, import, "/status"), "done");
    CHECK_STR(inline_text(t, import, "/bytes_done"), inline_text(t, import, "/bytes"));
    CHECK_STR(inline_text(t, import, "/created"), created);
    CHECK_STR(inline_text(t, import, "/changed"), changed);
    CHECK_STR(inline_text(t, import, "/unchanged"), unchanged);
    CHECK_STR(inline_text(t, import, "/refused"), refused);
}

/* ---- small files ---- */

static const char POTS[] =
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Inventory Qty,Variant Price\n"
    "pot,Clay Pot,\"<p>Of clay, by hand</p>\",Amu,Outdoor,\"Pot, Plants\",true,Size,Regular,,1,"
    "9.99\n"
    "pot,,,,,,,,Large,,3,15.99\n"
    "mug,Mug,,Amu,Kitchen,,false,Title,Default Title,MUG-1,5,4.50\n"
    "bad,Bad,,Amu,Kitchen,,true,Title,Default Title,,5,cheap\n";

TEST(a_file_makes_products_and_reports_each)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import = import_file(shop, str_of_z(POTS));

    check_counts(t, &import, "2", "0", "0", "1");
    CHECK_STR(inline_text(t, &import, "/lines"), "3");
    CHECK_STR(inline_text(t, &import, "/lines/0/line"), "2");
    CHECK_STR(inline_text(t, &import, "/lines/0/handle"), "pot");
    CHECK_STR(inline_text(t, &import, "/lines/0/outcome"), "created");
    CHECK_STR(inline_text(t, &import, "/lines/1/line"), "4");
    CHECK_STR(inline_text(t, &import, "/lines/2/outcome"), "refused");
    CHECK(str_find(inline_text(t, &import, "/lines/2/message"), STR("Variant Price")) >= 0);

    struct answer_seen pot = inline_get(&shop->anyone, "/products/pot");
    CHECK_STATUS(pot, 200);
    CHECK_STR(inline_text(t, &pot, "/variants/1/sku"), "pot-large");
    CHECK_STR(inline_text(t, &pot, "/variants/1/price/amount"), "1599");
    CHECK_STR(inline_text(t, &pot, "/variants/1/price/currency"), "EUR");
    CHECK_STR(inline_text(t, &pot, "/tags/1"), "Plants");
    CHECK_INT(products_shop_units(shop, "pot-large").on_hand, 3);
    products_shop_check_ledger(shop, "pot-large");
    CHECK_STATUS(inline_get(&shop->anyone, "/products/mug"), 404);
    CHECK_INT(products_shop_units(shop, "MUG-1").on_hand, 5);
    products_shop_hears(shop, &products_event_variant_priced, STR("pot-large"), 1);
}

TEST(the_same_file_again_changes_nothing)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import;

    import_file(shop, str_of_z(POTS));
    import = import_file(shop, str_of_z(POTS));
    check_counts(t, &import, "0", "0", "2", "1");
    CHECK_INT(products_shop_units(shop, "pot-large").on_hand, 3);
    struct answer_seen pot = inline_get(&shop->anyone, "/products/pot");
    CHECK_STR(inline_text(t, &pot, "/version"), "1");
    CHECK(!products_shop_heard(shop, &products_event_variant_priced, STR("pot-large"), 2));
}

TEST(a_changed_file_changes_products_and_keeps_their_stock)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import;

    import_file(shop, str_of_z(POTS));
    products_shop_patch(shop, "/products/pot", "{\"tags\":[\"mine\"]}");
    import = import_file(shop, STR("Handle,Title,Option1 Name,Option1 Value,Variant Price,"
                                   "Variant Inventory Qty\n"
                                   "pot,Big pot,Size,Large,20,99\npot,,,Huge,30,7\n"));
    check_counts(t, &import, "0", "1", "0", "0");
    struct answer_seen pot = inline_get(&shop->anyone, "/products/pot");
    CHECK_STR(inline_text(t, &pot, "/title"), "Big pot");
    CHECK_STR(inline_text(t, &pot, "/tags/0"), "mine");
    CHECK_STR(inline_text(t, &pot, "/vendor"), "Amu");
    CHECK_STR(inline_text(t, &pot, "/status"), "active");
    CHECK_STR(inline_text(t, &pot, "/variants"), "2");
    CHECK_STR(inline_text(t, &pot, "/variants/0/sku"), "pot-large");
    CHECK_INT(products_shop_units(shop, "pot-large").on_hand, 3);
    CHECK_INT(products_shop_units(shop, "pot-huge").on_hand, 7);
    const Products__VariantPriced *gone =
        products_shop_hears(shop, &products_event_variant_priced, STR("pot-regular"), 2);
    CHECK(!gone->for_sale);
}

TEST(a_currency_can_be_given)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen begun =
        send_file(shop, "/products/imports?currency=JPY",
                  STR("Handle,Title,Variant Price,Published\nmug,Mug,450,true\n"));

    CHECK_STATUS(begun, 202);
    finish(shop, &begun);
    struct answer_seen mug = inline_get(&shop->anyone, "/products/mug");
    CHECK_STR(inline_text(t, &mug, "/variants/0/price/currency"), "JPY");
    CHECK_STR(inline_text(t, &mug, "/variants/0/price/amount"), "450");
    CHECK_PROBLEM(send_file(shop, "/products/imports?currency=XYZ", STR("x")), 422,
                  "field.invalid");
}

TEST(a_sku_of_another_product_refuses_the_second)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import =
        import_file(shop, STR("Handle,Title,Variant SKU,Variant Price\na,A,X-1,1\nb,B,X-1,1\n"));

    check_counts(t, &import, "1", "0", "0", "1");
    CHECK(str_find(inline_text(t, &import, "/lines/1/message"), STR("X-1")) >= 0);
}

TEST(rows_of_a_handle_that_stand_apart_are_refused)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import =
        import_file(shop, STR("Handle,Title,Option1 Name,Option1 Value,Variant Price\n"
                              "a,A,Size,S,1\nb,B,,,1\na,A,Size,M,1\n"));

    check_counts(t, &import, "2", "0", "0", "1");
    CHECK(str_find(inline_text(t, &import, "/lines/2/message"), STR("line 2")) >= 0);
    struct answer_seen a = inline_get(&shop->staff, "/products/a");
    CHECK_STR(inline_text(t, &a, "/variants"), "1");
}

TEST(a_row_whose_handle_means_something_else_in_a_path_is_refused_by_name)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import = import_file(
        shop, STR("Handle,Title,Variant Price\nstock,A,1\npot,B,1\n,Categories,1\nexport,C,1\n"));

    check_counts(t, &import, "1", "0", "0", "3");
    CHECK_STR(inline_text(t, &import, "/lines/0/handle"), "stock");
    CHECK(str_find(inline_text(t, &import, "/lines/0/message"), STR("stock")) >= 0);
    CHECK(str_find(inline_text(t, &import, "/lines/2/message"), STR("categories")) >= 0);
    CHECK_STATUS(inline_get(&shop->staff, "/products/pot"), 200);
}

TEST(an_archived_product_is_not_made_but_archives_one_that_is_there)
{
    str file = STR("Handle,Title,Variant Price,Status\na,A,1,archived\n");
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import = import_file(shop, file);

    check_counts(t, &import, "0", "0", "0", "1");
    products_shop_stock(shop, "a", 3);
    import = import_file(shop, file);
    check_counts(t, &import, "0", "1", "0", "0");
    CHECK_STATUS(inline_get(&shop->anyone, "/products/a"), 404);
    struct answer_seen a = inline_get(&shop->staff, "/products/a");
    CHECK_STR(inline_text(t, &a, "/status"), "archived");
}

static err sweep_two(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    int64_t dropped;
    CHECK_INT(count, 1);
    outcomes[0] = store_sweep_imports(tx, *(time_us *)writes[0]->subject, 2, &dropped);
    return OK;
}

static int sweep(struct products_shop *shop, const char *target)
{
    struct call *call = service_job_open(products_service(shop->products), "test");
    time_us before = call->now + TIME_SECOND;

    CHECK_OK(job_write(call, write_new(call->arena, sweep_two, &before)));
    service_job_close(call);
    return inline_get(&shop->staff, target).status;
}

TEST(reports_are_forgotten_a_few_lines_at_a_time)
{
    struct products_shop *shop = products_shop_open_alone(t, NULL);
    struct answer_seen begun = send_file(shop, "/products/imports", str_of_z(POTS));
    const char *target = str_z(t->arena, inline_header(&begun, "location"));

    finish(shop, &begun);
    CHECK_INT(sweep(shop, target), 200);
    CHECK_INT(sweep(shop, target), 200);
    CHECK_INT(sweep(shop, target), 404);
    CHECK_STATUS(inline_get(&shop->staff, "/products/pot"), 200);
}

/* ---- files that are none ---- */

TEST(a_file_without_its_columns_is_refused_at_once)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen answer = send_file(shop, "/products/imports", STR("Title,Vendor\nx,y\n"));

    CHECK_PROBLEM(answer, 422, "import.invalid");
    CHECK(str_find(inline_text(t, &answer, "/detail"), STR("Handle, Variant Price")) >= 0);
    CHECK_PROBLEM(send_file(shop, "/products/imports", STR("")), 422, "import.invalid");
    CHECK_PROBLEM(inline_request(&shop->staff, "POST", "/products/imports", NULL, STR("{}")), 415,
                  "http.media_type");
}

TEST(a_file_that_breaks_off_keeps_what_came_before)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import =
        import_file(shop, STR("Handle,Title,Variant Price\na,A,1\nb,B,1\nc,\"C,1\n"));

    CHECK_STR(inline_text(t, &import, "/status"), "failed");
    CHECK_STR(inline_text(t, &import, "/created"), "1");
    CHECK(str_find(inline_text(t, &import, "/message"), STR("line 4")) >= 0);
    CHECK_STATUS(inline_get(&shop->staff, "/products/a"), 200);
}

TEST(only_staff_import)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    CHECK_PROBLEM(inline_request(&shop->customer, "POST", "/products/imports", NULL, STR("x")), 403,
                  "auth.role_missing");
    CHECK_PROBLEM(
        inline_get(&shop->staff, "/products/imports/018f2b5e-7c3a-7def-8000-1234567890ab"), 404,
        "not_found");
}

/* ---- large files ---- */

/* Products of two variants each, with a description that has line ends and quotes. */
static str large_file(struct test *t, int products, int description_bytes)
{
    struct text file = text_init(t->arena, 1024 * 1024);

    text_add(&file, STR("Handle,Title,Body (HTML),Published,Option1 Name,Option1 Value,"
                        "Variant Inventory Qty,Variant Price\r\n"));
    for (int i = 0; i < products; i++) {
        text_add_format(&file, "p-%d,Product %d,\"<p>\"\"%d\"\",\r\n", i, i, i);
        for (int j = 0; j < description_bytes; j += 8)
            text_add(&file, STR("words, \n"));
        text_add_format(&file, "</p>\",true,Size,S,%d,%d.50\r\np-%d,,,,,M,1,%d\r\n", i % 7, i + 1,
                        i, i + 2);
    }
    return text_str(&file);
}

static str report_of(struct products_shop *shop, const char *target)
{
    struct test *t = shop->t;
    struct text out = text_init(t->arena, 4096);
    str after = STR("");

    for (;;) {
        str page_target = str_format(t->arena, "%s?limit=70%s%" STR_F, target,
                                     after.len > 0 ? "&after=" : "", STR_A(after));
        struct answer_seen page = inline_get(&shop->staff, str_z(t->arena, page_target));
        CHECK_STATUS(page, 200);
        int64_t count;
        CHECK(str_to_int64(inline_text(t, &page, "/lines"), 0, 70, &count));
        for (int64_t i = 0; i < count; i++) {
            str at = str_format(t->arena, "/lines/%lld/handle", (long long)i);
            text_add(&out, inline_text(t, &page, str_z(t->arena, at)));
            text_add_byte(&out, ' ');
        }
        after = inline_text(t, &page, "/next");
        if (!after.ptr)
            return text_str(&out);
    }
}

TEST(a_large_file_is_worked_on_in_pieces)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen begun = send_file(shop, "/products/imports", large_file(t, 205, 3000));
    struct text handles = text_init(t->arena, 4096);

    CHECK_STATUS(begun, 202);
    struct answer_seen import = finish(shop, &begun);
    check_counts(t, &import, "205", "0", "0", "0");
    for (int i = 0; i < 205; i++)
        text_add_format(&handles, "p-%d ", i);
    CHECK_STR(report_of(shop, str_z(t->arena, inline_header(&begun, "location"))),
              text_str(&handles));
    struct answer_seen last = inline_get(&shop->anyone, "/products/p-204");
    CHECK_STR(inline_text(t, &last, "/variants/1/price/amount"), "20600");
    CHECK_INT(products_shop_units(shop, "p-204-s").on_hand, 204 % 7);
}

TEST(a_product_larger_than_a_window_is_read_whole)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import = import_file(shop, large_file(t, 20, 60000));

    check_counts(t, &import, "20", "0", "0", "0");
}

/* A product whose description has that many bytes, and one after it. */
static str long_file(struct test *t, size_t bytes)
{
    struct text file = text_init(t->arena, bytes + 1024);

    text_add(&file, STR("Handle,Title,Variant Price,Body (HTML)\na,A,1,"));
    for (size_t i = 0; i < bytes; i++)
        text_add_byte(&file, 'x');
    text_add(&file, STR("\nb,B,2,short\n"));
    return text_str(&file);
}

TEST(a_description_beyond_its_limit_is_refused_and_one_beyond_all_limits_ends_the_import)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import = import_file(shop, long_file(t, 700 * 1024));

    check_counts(t, &import, "1", "0", "0", "1");
    CHECK(str_find(inline_text(t, &import, "/lines/0/message"), STR("/description")) >= 0);
    import = import_file(shop, long_file(t, 3 * 1024 * 1024));
    CHECK_STR(inline_text(t, &import, "/status"), "failed");
    CHECK(str_find(inline_text(t, &import, "/message"), STR("line 2")) >= 0);
}

TEST(an_import_goes_on_after_a_restart_where_it_was)
{
    struct products_shop *shop = products_shop_open_alone(t, NULL);
    struct answer_seen begun = send_file(shop, "/products/imports", large_file(t, 400, 500));

    CHECK_STATUS(begun, 202);
    for (int i = 0; i < 5; i++)
        products_shop_restart(shop);
    struct answer_seen import = finish(shop, &begun);
    check_counts(t, &import, "400", "0", "0", "0");
    products_shop_check_ledger(shop, "p-6-s");
    CHECK_INT(products_shop_units(shop, "p-6-s").on_hand, 6);
}

TEST(two_imports_are_worked_on_in_turn)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen first = send_file(shop, "/products/imports", large_file(t, 120, 10));
    struct answer_seen second = send_file(shop, "/products/imports", large_file(t, 130, 10));

    struct answer_seen import = finish(shop, &second);
    check_counts(t, &import, "10", "0", "120", "0");
    import = finish(shop, &first);
    check_counts(t, &import, "120", "0", "0", "0");
}

/* ---- real files ---- */

static str read_file(struct test *t, const char *name)
{
    const char *folder = getenv("DUKA_SHARED_DIR");
    str path = str_format(t->arena, "%s/data/%s", folder ? folder : "../shared", name);
    FILE *file = fopen(str_z(t->arena, path), "rb");
    if (!file)
        SKIP("the real files are not here: set DUKA_SHARED_DIR");

    char *bytes = arena_alloc(t->arena, FILE_BYTES_MAX, 1);
    size_t len = fread(bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    return str_of(bytes, len);
}

TEST(the_real_files_are_imported_and_the_second_time_nothing_changes)
{
    str apparel = read_file(t, "apparel.csv"), garden = read_file(t, "home-and-garden.csv");
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen import;

    import = import_file(shop, apparel);
    check_counts(t, &import, "20", "0", "0", "0");
    import = import_file(shop, garden);
    check_counts(t, &import, "20", "0", "0", "0");
    import = import_file(shop, apparel);
    check_counts(t, &import, "0", "0", "20", "0");
    import = import_file(shop, garden);
    check_counts(t, &import, "0", "0", "20", "0");

    struct answer_seen pot = inline_get(&shop->anyone, "/products/clay-plant-pot");
    CHECK_STR(inline_text(t, &pot, "/variants/0/sku"), "clay-plant-pot-regular");
    CHECK_STR(inline_text(t, &pot, "/variants/0/price/amount"), "999");
    CHECK_STR(inline_text(t, &pot, "/images"), "2");
    CHECK_INT(products_shop_units(shop, "clay-plant-pot-large").on_hand, 3);
    struct answer_seen found = inline_get(&shop->anyone, "/products?q=sofa&sort=price");
    CHECK_STR(inline_text(t, &found, "/items"), "3");
    CHECK_STR(inline_text(t, &found, "/items/0/handle"), "grey-sofa");
}
