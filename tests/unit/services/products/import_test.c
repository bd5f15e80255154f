#include "chassis/message.h"
#include "services/products/import.h"
#include "services/products/view.h"
#include "tests/lib/test.h"
#include <stdio.h>

enum { GROUPS_MAX = 64, FILE_BYTES_MAX = 1024 * 1024 };

struct imported {
    struct import_columns columns;
    struct import_group groups[GROUPS_MAX];
    size_t count;
};

static struct currency eur(void) { return (struct currency){ "EUR" }; }

static err read_all(struct arena *arena, str file, struct imported *out)
{
    struct csv_window window = { .bytes = file, .is_last = true };
    struct csv_place place = csv_begin();
    enum csv_step step;

    out->count = 0;
    TRY(import_header(arena, &window, &place, &out->columns, &step));
    for (;;) {
        TRY(import_read(arena, &out->columns, eur(), &window, &place, &out->groups[out->count],
                        &step));
        if (step == CSV_END)
            return OK;
        ASSERT(step == CSV_ROW && out->count < GROUPS_MAX - 1);
        out->count++;
    }
}

static struct imported *read_ok(struct test *t, const char *file)
{
    struct imported *out = arena_new(t->arena, struct imported);

    CHECK_OK(read_all(t->arena, str_of_z(file), out));
    return out;
}

/* The product that the service would save. */
static struct product product_of(struct test *t, const struct import_group *group)
{
    struct product product;

    CHECK_OK(group->refused);
    CHECK_OK(message_validate(t->arena, &products_create_product_request_spec, group->input));
    product_of_create(t->arena, group->input, &product);
    CHECK_OK(product_complete(t->arena, &product));
    return product;
}

/* A refused product whose reason holds the words. */
static void check_refused(const struct import_group *group, const char *words)
{
    CHECK_ERR(group->refused, IMPORT_INVALID);
    CHECK(!group->input);
    if (str_find(group->refused->detail, str_of_z(words)) < 0)
        FAIL("\"%.*s\" does not say \"%s\"", STR_A(group->refused->detail), words);
}

/* ---- the header ---- */

static err check_file(struct test *t, str file, struct import_columns *columns)
{
    struct csv_window window = { .bytes = file, .is_last = true };
    return import_check(t->arena, &window, columns);
}

TEST(columns_that_must_be_there_are_named)
{
    struct import_columns columns;
    err error = check_file(t, STR("Title,Vendor\n"), &columns);

    CHECK_ERR(error, IMPORT_INVALID);
    CHECK(str_find(error->detail, STR("Handle, Variant Price")) >= 0);
    CHECK_ERR(check_file(t, STR(""), &columns), IMPORT_INVALID);
    CHECK_ERR(check_file(t, STR("\xEF\xBB\xBF\r\n"), &columns), IMPORT_INVALID);
    CHECK_ERR(check_file(t, STR("{\"title\": 1}"), &columns), IMPORT_INVALID);
}

TEST(columns_are_found_in_any_order_and_case_and_others_are_ignored)
{
    struct import_columns columns;

    CHECK_OK(check_file(t, STR("Gift Card, variant price ,TITLE,Handle\n"), &columns));
    CHECK_INT(columns.at[IMPORT_PRICE], 1);
    CHECK_INT(columns.at[IMPORT_TITLE], 2);
    CHECK_INT(columns.at[IMPORT_HANDLE], 3);
    CHECK_INT(columns.at[IMPORT_SKU], -1);
}

TEST(the_newer_words_of_columns_are_known)
{
    struct imported *in = read_ok(t, "Title,URL handle,Description,Price,SKU,Inventory quantity,"
                                     "Option1 name,Option1 value,Published on online store\n"
                                     "Mug,mug,<p>Blue</p>,12.50,M-1,7,Color,Blue,TRUE\n");
    struct product mug = product_of(t, &in->groups[0]);

    CHECK_STR(mug.description, "<p>Blue</p>");
    CHECK_STR(mug.variants[0].sku, "M-1");
    CHECK_INT(mug.variants[0].on_hand, 7);
    CHECK_INT(mug.status, PRODUCT_ACTIVE);
}

/* ---- products ---- */

static const char HEAD[] =
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,"
    "Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Grams,"
    "Variant Inventory Qty,Variant Price,Variant Compare At Price,"
    "Variant Barcode,Image Src,Image Position,Image Alt Text,Variant Image\n";

static struct imported *read_rows(struct test *t, const char *rows)
{
    return read_ok(t, str_z(t->arena, str_format(t->arena, "%s%s", HEAD, rows)));
}

TEST(rows_of_one_handle_are_one_product)
{
    struct imported *in = read_rows(
        t, "pot,Clay Pot,\"<p>Of clay,\nby hand</p>\",Amu Clay,Outdoor,\"Pot, Plants ,,Pot\",true,"
           "Size,Regular,,,,120,1,9.99,,4006381333931,https://example.com/b.jpg,2,Side,\n"
           "pot,,,,,,,,Large,,,,450,3,15.99,20,,https://example.com/a.jpg,1,Front,"
           "https://example.com/a.jpg\n"
           "pot,,,,,,,,,,,,,,,,,https://example.com/c.jpg,,,\n"
           "mug,Mug,,,,,false,Title,Default Title,,,MUG-1,0,,5,0.00,,,,,\n");

    CHECK_INT(in->count, 2);
    CHECK_INT(in->groups[0].line, 2);
    CHECK_INT(in->groups[1].line, 6);
    CHECK_STR(in->groups[1].handle, "mug");

    struct product pot = product_of(t, &in->groups[0]);
    CHECK_STR(pot.title, "Clay Pot");
    CHECK_STR(pot.description, "<p>Of clay,\nby hand</p>");
    CHECK_INT(pot.status, PRODUCT_ACTIVE);
    CHECK_INT(pot.tags_count, 2);
    CHECK_INT(pot.variants_count, 2);
    CHECK_STR(pot.variants[0].sku, "pot-regular");
    CHECK_STR(pot.variants[1].sku, "pot-large");
    CHECK_MONEY(pot.variants[0].price, ((struct money){ 999, eur() }));
    CHECK_MONEY(pot.variants[1].compare_at_price, ((struct money){ 2000, eur() }));
    CHECK_INT(pot.variants[0].weight_grams, 120);
    CHECK_INT(pot.variants[1].on_hand, 3);
    CHECK_STR(pot.variants[0].barcode, "4006381333931");
    CHECK_INT(pot.images_count, 3);
    CHECK_STR(pot.images[0].alt, "Front");
    CHECK_STR(pot.images[1].alt, "Side");
    CHECK_STR(pot.images[2].url, "https://example.com/c.jpg");

    struct product mug = product_of(t, &in->groups[1]);
    CHECK_INT(mug.status, PRODUCT_DRAFT);
    CHECK_INT(mug.options_count, 0);
    CHECK_STR(mug.variants[0].sku, "MUG-1");
    CHECK(!mug.variants[0].compare_at_price.currency.letters[0]);
}

TEST(a_sole_default_title_has_the_handle_as_sku)
{
    struct imported *in = read_rows(t, "mug,Mug,,,,,true,Title,Default Title,,,,,4,5,,,,,,\n");
    struct product mug = product_of(t, &in->groups[0]);

    CHECK_STR(mug.variants[0].sku, "mug");
    CHECK_INT(mug.options_count, 0);
}

TEST(two_options_make_skus_of_both)
{
    struct imported *in = read_rows(t, "tee,Tee,,,,,true,Size,S,Color,Red,,,1,5,,,,,,\n"
                                       "tee,,,,,,,,S,,Blue,,,1,5,,,,,,\n"
                                       "tee,,,,,,,,M,,Blue,,,1,5,,,,,,\n");
    struct product tee = product_of(t, &in->groups[0]);

    CHECK_INT(tee.options_count, 2);
    CHECK_INT(tee.options[0].values_count, 2);
    CHECK_STR(tee.variants[1].sku, "tee-s-blue");
    CHECK_STR(tee.variants[2].sku, "tee-m-blue");
}

TEST(a_status_column_wins_over_published)
{
    struct imported *in = read_ok(t, "Handle,Title,Variant Price,Published,Status\n"
                                     "a,A,1,true,draft\nb,B,1,false,Active\nc,C,1,true,archived\n"
                                     "d,D,1,true,\n");

    CHECK_INT(product_of(t, &in->groups[0]).status, PRODUCT_DRAFT);
    CHECK_INT(product_of(t, &in->groups[1]).status, PRODUCT_ACTIVE);
    CHECK_INT(product_of(t, &in->groups[2]).status, PRODUCT_ARCHIVED);
    CHECK_INT(product_of(t, &in->groups[3]).status, PRODUCT_ACTIVE);
}

TEST(handles_are_slugged_and_rows_without_one_go_with_the_last)
{
    struct imported *in = read_ok(t, "Handle,Title,Variant Price,Option1 Name,Option1 Value\n"
                                     "Big_Pot,Big Pot,1,Size,L\n,,2,,XL\n,Small Pot,1,,\n");

    CHECK_INT(in->count, 2);
    CHECK_STR(product_of(t, &in->groups[0]).handle, "big-pot");
    CHECK_INT(product_of(t, &in->groups[0]).variants_count, 2);
    CHECK_STR(product_of(t, &in->groups[1]).handle, "small-pot");
}

TEST(what_cannot_be_read_refuses_its_product_and_no_other)
{
    struct imported *in = read_rows(t, "a,A,,,,,true,,,,,,,1,twelve,,,,,,\n"
                                       "b,B,,,,,true,,,,,,,1.5,5,,,,,,\n"
                                       "c,C,,,,,true,,,,,,,1,5,x,,,,,\n"
                                       "d,D,,,,,true,,,,,,light,1,5,,,,,,\n"
                                       "e,E,,,,,true,,,,,,,1,,,,,,,\n"
                                       "f,F,,,,,true,,,,,,,1,5.005,,,,,,\n"
                                       "g,G,,,,,true,,,,,,,1,5,,,,,,\n");

    CHECK_INT(in->count, 7);
    check_refused(&in->groups[0], "line 2: Variant Price");
    check_refused(&in->groups[1], "line 3: Variant Inventory Qty");
    check_refused(&in->groups[2], "Compare At");
    check_refused(&in->groups[3], "Variant Grams cannot be \"");
    check_refused(&in->groups[4], "Variant Price");
    check_refused(&in->groups[5], "Variant Price");
    CHECK_OK(in->groups[6].refused);
}

TEST(less_than_nothing_on_hand_is_nothing_and_grams_are_whole)
{
    struct imported *in = read_rows(t, "a,A,,,,,true,,,,,,453.59,-3,5,,,,,,\n");
    struct product a = product_of(t, &in->groups[0]);

    CHECK_INT(a.variants[0].on_hand, 0);
    CHECK_INT(a.variants[0].weight_grams, 453);
}

TEST(stray_control_characters_in_a_description_become_spaces)
{
    struct imported *in = read_rows(t, "a,A,\"one\x0b"
                                       "two\xE2\x80\xA8three\nfour\",,,,true,,,,,,,1,5,,,,,,\n");

    CHECK_STR(product_of(t, &in->groups[0]).description, "one two three\nfour");
}

TEST(short_rows_have_empty_fields)
{
    struct imported *in = read_rows(t, "a,A\n");

    CHECK_INT(in->count, 1);
    check_refused(&in->groups[0], "Variant Price");
}

TEST(a_product_of_too_many_lines_is_refused_whole)
{
    struct text file = text_init(t->arena, 32 * 1024);

    text_add(&file, STR("Handle,Title,Variant Price,Image Src\na,A,1,\n"));
    for (int i = 0; i < IMPORT_ROWS_MAX; i++)
        text_add_format(&file, "a,,,https://example.com/%d\n", i);
    text_add(&file, STR("b,B,1,\n"));
    struct imported *in = read_ok(t, str_z(t->arena, text_str(&file)));
    CHECK_INT(in->count, 2);
    check_refused(&in->groups[0], "more than 1000 lines");
    CHECK_OK(in->groups[1].refused);
    CHECK_INT(in->groups[1].line, IMPORT_ROWS_MAX + 3);
}

/* ---- what stays ---- */

TEST(what_the_file_does_not_tell_stays)
{
    struct imported *in = read_ok(t, "Handle,Title,Variant Price,Option1 Name,Option1 Value\n"
                                     "pot,Pot,2,Size,L\n");
    str categories[] = { STR("garden") }, tags[] = { STR("clay") }, large[] = { STR("L") };
    struct product_variant old_variant = { .sku = STR("P-L"),
                                           .options = large,
                                           .options_count = 1,
                                           .barcode = STR("123"),
                                           .weight_grams = 5 };
    struct product before = { .id = uuid_of_name(STR("test"), STR("pot")),
                              .description = STR("old"),
                              .vendor = STR("Amu"),
                              .status = PRODUCT_ACTIVE,
                              .categories = categories,
                              .categories_count = 1,
                              .tags = tags,
                              .tags_count = 1,
                              .variants = &old_variant,
                              .variants_count = 1,
                              .created_at = 5 };
    struct product after;

    product_of_create(t->arena, in->groups[0].input, &after);
    import_keep(&in->columns, &before, &after);
    CHECK_OK(product_complete(t->arena, &after));
    CHECK(uuid_equal(after.id, before.id));
    CHECK_STR(after.title, "Pot");
    CHECK_STR(after.description, "old");
    CHECK_STR(after.vendor, "Amu");
    CHECK_INT(after.status, PRODUCT_ACTIVE);
    CHECK_INT(after.tags_count, 1);
    CHECK_INT(after.categories_count, 1);
    CHECK_STR(after.variants[0].sku, "P-L");
    CHECK_STR(after.variants[0].barcode, "123");
    CHECK_INT(after.variants[0].weight_grams, 5);
}

TEST(what_the_file_tells_is_changed_even_to_nothing)
{
    struct imported *in = read_rows(t, "pot,Pot,,,,,false,Title,Default Title,,,,,,2,,,,,,\n");
    str tags[] = { STR("clay") };
    struct product_variant old_variant = { .sku = STR("pot"), .barcode = STR("123") };
    struct product before = { .description = STR("old"),
                              .status = PRODUCT_ACTIVE,
                              .tags = tags,
                              .tags_count = 1,
                              .variants = &old_variant,
                              .variants_count = 1 };
    struct product after;

    product_of_create(t->arena, in->groups[0].input, &after);
    import_keep(&in->columns, &before, &after);
    CHECK_STR(after.description, "");
    CHECK_INT(after.status, PRODUCT_DRAFT);
    CHECK_INT(after.tags_count, 0);
    CHECK_STR(after.variants[0].barcode, "");
}

/* ---- windows ---- */

static const char WINDOWED[] = "Handle,Title,Body (HTML),Variant Price,Option1 Name,Option1 Value\n"
                               "a,A,\"one\n\"\"two\"\"\",1,Size,S\na,,,2,,M\nb,B,,3,,\n"
                               "c,C,x,4,Size,\"L, long\"\nc,,,5,,XL";

TEST(windows_that_end_anywhere_give_the_same_products)
{
    str file = str_of_z(WINDOWED);
    struct imported *whole = read_ok(t, WINDOWED);

    CHECK_INT(whole->count, 3);
    for (size_t first_end = 0; first_end <= file.len; first_end++) {
        struct import_columns columns;
        struct csv_place place = csv_begin();
        enum csv_step step = CSV_MORE;
        size_t end = first_end, count = 0;
        bool has_header = false;
        while (step != CSV_END) {
            struct csv_window window = { .bytes = str_slice(file, (size_t)place.byte,
                                                            end - (size_t)place.byte),
                                         .from = place.byte,
                                         .is_last = end == file.len };
            struct import_group group;
            if (!has_header)
                CHECK_OK(import_header(t->arena, &window, &place, &columns, &step));
            else
                CHECK_OK(import_read(t->arena, &columns, eur(), &window, &place, &group, &step));
            if (step == CSV_ROW && has_header) {
                CHECK(str_equal(message_pack(t->arena, group.input),
                                message_pack(t->arena, whole->groups[count].input)));
                CHECK_INT(group.line, whole->groups[count++].line);
            }
            has_header = has_header || step == CSV_ROW;
            end += step == CSV_MORE;
        }
        CHECK_INT(count, whole->count);
    }
}

/* ---- real files ---- */

static str read_file(struct test *t, str path)
{
    FILE *file = fopen(str_z(t->arena, path), "rb");
    if (!file)
        SKIP("the file is not here: run from the root, or set DUKA_SHARED_DIR");

    char *bytes = arena_alloc(t->arena, FILE_BYTES_MAX, 1);
    size_t len = fread(bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    return str_of(bytes, len);
}

static void check_real(struct test *t, str file, size_t products, size_t variants, int64_t units)
{
    struct imported *in = arena_new(t->arena, struct imported);
    size_t variants_count = 0;
    int64_t on_hand = 0;

    CHECK_OK(read_all(t->arena, file, in));
    CHECK_INT(in->count, products);
    for (size_t i = 0; i < in->count; i++) {
        struct product product = product_of(t, &in->groups[i]);
        CHECK_INT(product.status, PRODUCT_ACTIVE);
        CHECK_INT(product.images_count > 0, true);
        variants_count += product.variants_count;
        for (size_t j = 0; j < product.variants_count; j++)
            on_hand += product.variants[j].on_hand;
    }
    CHECK_INT(variants_count, variants);
    CHECK_INT(on_hand, units);
}

static str real_file(struct test *t, const char *name)
{
    const char *folder = getenv("DUKA_SHARED_DIR");

    return read_file(t, str_format(t->arena, "%s/data/%s", folder ? folder : "../shared", name));
}

TEST(the_real_apparel_file_is_read_whole)
{
    check_real(t, real_file(t, "apparel.csv"), 20, 22, 22);
}

TEST(the_real_home_and_garden_file_is_read_whole)
{
    check_real(t, real_file(t, "home-and-garden.csv"), 20, 21, 65);
}

TEST(the_demo_catalog_is_read_whole)
{
    check_real(t, read_file(t, STR("deploy/demo/catalog.csv")), 24, 52, 1575);
}
