#include "base/text.h"
#include "gen/products.h"
#include "services/products/product.h"
#include "tests/lib/test.h"

static struct money eur(int64_t minor) { return (struct money){ minor, { "EUR" } }; }

/* A pot in two sizes; its options' values are not collected yet. */
struct pot {
    struct product product;
    struct product_option options[3];
    struct product_variant variants[4];
    str values[4][3];
};

static void make_pot(struct pot *pot)
{
    *pot = (struct pot){ 0 };
    pot->options[0].name = STR("Size");
    pot->values[0][0] = STR("Regular");
    pot->values[1][0] = STR("Large");
    for (int i = 0; i < 4; i++)
        pot->variants[i] = (struct product_variant){ .options = pot->values[i],
                                                     .options_count = 1,
                                                     .price = eur(999 + 600 * i),
                                                     .availability = AVAILABILITY_OUT };
    pot->product = (struct product){ .title = STR("Clay Plant Pot"),
                                     .status = PRODUCT_DRAFT,
                                     .options = pot->options,
                                     .options_count = 1,
                                     .variants = pot->variants,
                                     .variants_count = 2 };
}

static void make_candle(struct pot *pot)
{
    make_pot(pot);
    pot->product.title = STR("Vanilla candle");
    pot->product.options_count = 0;
    pot->product.variants_count = 1;
    pot->variants[0].options_count = 0;
}

/* Fails with PRODUCT_INVALID at that pointer. */
static void check_refused(struct test *t, struct pot *pot, const char *pointer)
{
    err error = product_complete(t->arena, &pot->product);

    CHECK_ERR(error, PRODUCT_INVALID);
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].pointer, pointer);
    CHECK(error->fields[0].message.len > 0);
}

/* ---- handles ---- */

TEST(the_handle_follows_from_the_title)
{
    struct pot pot;

    make_pot(&pot);
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.product.handle, "clay-plant-pot");
}

TEST(a_given_handle_stays)
{
    struct pot pot;

    make_pot(&pot);
    pot.product.handle = STR("pot");
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.product.handle, "pot");
    CHECK_STR(pot.variants[0].sku, "pot-regular");
}

TEST(a_title_without_letters_needs_a_handle)
{
    struct pot pot;

    make_pot(&pot);
    pot.product.title = STR("!!!");
    check_refused(t, &pot, "/handle");
    pot.product.title = STR("");
    pot.product.handle = STR("pot");
    check_refused(t, &pot, "/title");
}

static void check_no_handle(struct test *t, str word)
{
    struct pot pot;

    make_pot(&pot);
    pot.product.handle = word;
    check_refused(t, &pot, "/handle");
    pot.product.handle = str_format(t->arena, "%" STR_F "-1", STR_A(word));
    CHECK_OK(product_complete(t->arena, &pot.product));
}

TEST(words_that_mean_something_else_in_a_path_are_no_handles)
{
    int seen = 0;

    check_no_handle(t, STR("018f2b5e-7c3a-7def-8000-1234567890ab"));
    for (int i = 0; i < products_service_spec.calls_count; i++) {
        const struct call_spec *spec = &products_service_spec.calls[i];
        str rest = str_of_z(spec->routed ? spec->path : "");
        (void)str_cut(&rest, '/');
        (void)str_cut(&rest, '/');
        str word = str_cut(&rest, '/');
        if (word.len == 0 || word.ptr[0] == '{')
            continue;
        check_no_handle(t, word);
        seen++;
    }
    CHECK(seen > 5);
}

/* ---- options ---- */

TEST(values_of_options_are_collected_in_the_order_of_the_variants)
{
    struct pot pot;

    make_pot(&pot);
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_INT(pot.options[0].values_count, 2);
    CHECK_STR(pot.options[0].values[0], "Regular");
    CHECK_STR(pot.options[0].values[1], "Large");
}

TEST(given_values_must_hold_those_of_each_variant)
{
    str values[] = { STR("Small"), STR("Regular"), STR("Large") };
    struct pot pot;

    make_pot(&pot);
    pot.options[0].values = values;
    pot.options[0].values_count = 3;
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_INT(pot.options[0].values_count, 3);
    pot.options[0].values_count = 2;
    check_refused(t, &pot, "/variants/1/options/0");
}

TEST(a_variant_has_one_value_for_each_option)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[1].options_count = 0;
    check_refused(t, &pot, "/variants/1/options");
    make_pot(&pot);
    pot.product.options_count = 0;
    check_refused(t, &pot, "/variants/0/options");
}

TEST(two_variants_differ_in_some_value)
{
    struct pot pot;

    make_pot(&pot);
    pot.values[1][0] = STR("Regular");
    check_refused(t, &pot, "/variants/1/options");
    make_candle(&pot);
    pot.variants[1].options_count = 0;
    pot.product.variants_count = 2;
    check_refused(t, &pot, "/variants/1/options");
}

TEST(two_options_differ_in_name_and_there_are_three_at_most)
{
    struct pot pot;

    make_pot(&pot);
    pot.product.options_count = 2;
    pot.options[1].name = STR("SIZE");
    check_refused(t, &pot, "/options/1/name");
    make_pot(&pot);
    pot.product.options_count = 4;
    check_refused(t, &pot, "/options");
}

TEST(a_product_has_a_variant)
{
    struct pot pot;

    make_pot(&pot);
    pot.product.variants_count = 0;
    check_refused(t, &pot, "/variants");
}

/* ---- SKUs ---- */

TEST(skus_follow_from_handle_and_values)
{
    struct pot pot;

    make_pot(&pot);
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[0].sku, "clay-plant-pot-regular");
    CHECK_STR(pot.variants[1].sku, "clay-plant-pot-large");
    make_candle(&pot);
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[0].sku, "vanilla-candle");
}

TEST(given_skus_stay_and_differ)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[0].sku = STR("POT-1");
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[0].sku, "POT-1");
    CHECK_STR(pot.variants[1].sku, "clay-plant-pot-large");
    make_pot(&pot);
    pot.variants[0].sku = pot.variants[1].sku = STR("POT-1");
    check_refused(t, &pot, "/variants/1/sku");
}

TEST(values_that_slug_alike_get_digits_that_are_the_same_again)
{
    struct pot pot;
    str sku;

    make_pot(&pot);
    pot.values[0][0] = STR("A/B");
    pot.values[1][0] = STR("A B");
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[0].sku, "clay-plant-pot-a-b");
    sku = pot.variants[1].sku;
    CHECK(str_starts(sku, STR("clay-plant-pot-a-b-")));
    CHECK_INT(sku.len, sizeof("clay-plant-pot-a-b-") - 1 + 8);

    make_pot(&pot);
    pot.values[0][0] = STR("A/B");
    pot.values[1][0] = STR("A B");
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[1].sku, sku);
}

TEST(a_derived_sku_gives_way_to_a_given_one)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[1].sku = STR("clay-plant-pot-regular");
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK(str_starts(pot.variants[0].sku, STR("clay-plant-pot-regular-")));
}

TEST(a_value_of_signs_gets_digits)
{
    str plus = STR("+"), minus = STR("-");
    str sku = product_sku_of(t->arena, STR("tee"), &plus, 1);

    CHECK(str_starts(sku, STR("tee-")));
    CHECK_INT(sku.len, 4 + 8);
    CHECK(!str_equal(sku, product_sku_of(t->arena, STR("tee"), &minus, 1)));
    CHECK_STR(sku, product_sku_of(t->arena, STR("tee"), &plus, 1));
}

TEST(a_long_sku_is_cut_and_stays_unique)
{
    struct text handle = text_init(t->arena, 300);
    str small = STR("Small"), large = STR("Large");

    for (int i = 0; i < 25; i++)
        text_add(&handle, STR("abcdefghij"));
    str first = product_sku_of(t->arena, text_str(&handle), &small, 1);
    str second = product_sku_of(t->arena, text_str(&handle), &large, 1);
    str none = product_sku_of(t->arena, text_str(&handle), NULL, 0);
    CHECK_INT(utf8_length(first), PRODUCT_SKU_POINTS_MAX);
    CHECK(!str_equal(first, second));
    CHECK(!str_equal(first, none));
    CHECK_INT(utf8_length(none), PRODUCT_SKU_POINTS_MAX);
}

/* ---- prices ---- */

TEST(a_product_has_one_currency)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[1].price = (struct money){ 100, { "KES" } };
    check_refused(t, &pot, "/variants/1/price/currency");
    make_pot(&pot);
    pot.variants[0].compare_at_price = (struct money){ 100, { "KES" } };
    check_refused(t, &pot, "/variants/0/compare_at_price/currency");
}

TEST(the_lowest_price_is_that_of_the_product)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[1].price = eur(5);
    CHECK_MONEY(product_lowest_price(&pot.product), eur(5));
}

/* ---- the rest ---- */

TEST(tags_that_come_twice_stay_once)
{
    str tags[] = { STR("Pot"), STR("Plants"), STR("pot"), STR("POT"), STR("Clay") };
    struct pot pot;

    make_pot(&pot);
    pot.product.tags = tags;
    pot.product.tags_count = 5;
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_INT(pot.product.tags_count, 3);
    CHECK_STR(pot.product.tags[0], "Pot");
    CHECK_STR(pot.product.tags[2], "Clay");
}

TEST(completing_again_changes_nothing)
{
    struct pot pot;

    make_pot(&pot);
    CHECK_OK(product_complete(t->arena, &pot.product));
    str sku = pot.variants[1].sku;
    CHECK_OK(product_complete(t->arena, &pot.product));
    CHECK_STR(pot.variants[1].sku, sku);
    CHECK_INT(pot.options[0].values_count, 2);
}

TEST(a_product_begins_as_draft_or_active_and_comes_back_from_the_archive)
{
    CHECK(product_may_become(PRODUCT_NEW, PRODUCT_DRAFT));
    CHECK(product_may_become(PRODUCT_NEW, PRODUCT_ACTIVE));
    CHECK(!product_may_become(PRODUCT_NEW, PRODUCT_ARCHIVED));
    for (int from = PRODUCT_DRAFT; from <= PRODUCT_ARCHIVED; from++) {
        CHECK(!product_may_become((enum product_status)from, PRODUCT_NEW));
        for (int to = PRODUCT_DRAFT; to <= PRODUCT_ARCHIVED; to++)
            CHECK(product_may_become((enum product_status)from, (enum product_status)to));
    }
}

TEST(only_active_products_are_for_sale)
{
    struct pot pot;

    make_pot(&pot);
    CHECK(!product_is_for_sale(&pot.product));
    pot.product.status = PRODUCT_ACTIVE;
    CHECK(product_is_for_sale(&pot.product));
    pot.product.status = PRODUCT_ARCHIVED;
    CHECK(!product_is_for_sale(&pot.product));
    CHECK_STR(product_status_word(PRODUCT_ARCHIVED), "archived");
}

TEST(variants_keep_their_ids_by_sku)
{
    struct pot before, after;

    make_pot(&before);
    make_pot(&after);
    CHECK_OK(product_complete(t->arena, &before.product));
    before.variants[1].id = uuid_of_name(STR("test"), STR("large"));
    before.variants[1].availability = AVAILABILITY_LOW;
    after.values[0][0] = STR("Small");
    CHECK_OK(product_complete(t->arena, &after.product));
    product_keep_variants(&before.product, &after.product);
    CHECK(uuid_is_nil(after.variants[0].id));
    CHECK(uuid_equal(after.variants[1].id, before.variants[1].id));
    CHECK_INT(after.variants[1].availability, AVAILABILITY_LOW);
    CHECK(product_find_variant(&after.product, STR("clay-plant-pot-small")) == &after.variants[0]);
    CHECK(!product_find_variant(&after.product, STR("clay-plant-pot-regular")));
}

TEST(a_variant_is_called_by_its_values)
{
    str values[] = { STR("Small"), STR("Red") };
    struct product_variant variant = { .options = values, .options_count = 2 };

    CHECK_STR(product_variant_title(t->arena, &variant), "Small / Red");
    variant.options_count = 0;
    CHECK_STR(product_variant_title(t->arena, &variant), "");
}

TEST(long_titles_and_handles_are_cut_to_what_neighbours_take)
{
    struct text text = text_init(t->arena, 300);

    for (int i = 0; i < 200; i++)
        text_add(&text, STR("ß"));
    str values[] = { text_str(&text), text_str(&text) };
    struct product_variant variant = { .options = values, .options_count = 2 };
    CHECK_INT(utf8_length(product_variant_title(t->arena, &variant)), PRODUCT_TITLE_POINTS_MAX);
    CHECK_INT(product_handle_of(t->arena, values[0]).len, PRODUCT_HANDLE_POINTS_MAX);
    CHECK_STR(product_handle_of(t->arena, STR("Big Pot!")), "big-pot");
}

TEST(availability_bits_say_what_some_variant_shows)
{
    struct pot pot;

    make_pot(&pot);
    pot.variants[0].availability = AVAILABILITY_IN_STOCK;
    CHECK_INT(product_availability_bits(&pot.product), 1 << 1 | 1 << 3);
}

TEST(keys_compare_folded_and_are_cut_between_letters)
{
    struct text text = text_init(t->arena, 300);

    CHECK_STR(product_key(t->arena, STR("GRÖSSE")), product_key(t->arena, STR("größe")));
    text_add_byte(&text, 'a');
    for (int i = 0; i < 150; i++)
        text_add(&text, STR("é"));
    str key = product_key(t->arena, text_str(&text));
    CHECK_INT(key.len, 199);
    CHECK(utf8_valid(key));
}

TEST(facets_are_kinds_and_folded_words)
{
    CHECK_STR(product_facet(t->arena, "tag", STR("Größe")), "tag:grösse");
    CHECK_STR(product_facet(t->arena, "vendor", STR("AMU Clay")), "vendor:amu clay");
}

TEST(the_contract_repeats_the_limits)
{
    const struct message_spec *create = &products_create_product_request_spec;
    const struct message_spec *input = &products_variant_input_spec;
    int seen = 0;

    for (unsigned i = 0; i < create->descriptor->n_fields; i++) {
        const char *name = create->fields[i].json_name;
        if (strcmp(name, "options") == 0)
            CHECK_INT(create->fields[i].items_max, PRODUCT_OPTIONS_MAX), seen++;
        if (strcmp(name, "variants") == 0)
            CHECK_INT(create->fields[i].items_max, PRODUCT_VARIANTS_MAX), seen++;
        if (strcmp(name, "handle") == 0)
            CHECK_INT(create->fields[i].length_max, PRODUCT_HANDLE_POINTS_MAX), seen++;
    }
    for (unsigned i = 0; i < input->descriptor->n_fields; i++)
        if (strcmp(input->fields[i].json_name, "sku") == 0)
            CHECK_INT(input->fields[i].length_max, PRODUCT_SKU_POINTS_MAX), seen++;
    CHECK_INT(seen, 4);
}
