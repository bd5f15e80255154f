#include "chassis/message.h"
#include "services/products/view.h"
#include "tests/lib/test.h"

static const char CREATE[] =
    "{\"title\":\"Clay Pot\",\"description\":\"Of clay\",\"vendor\":\"Amu\",\"type\":\"Outdoor\","
    "\"status\":\"active\",\"tags\":[\"pot\"],\"categories\":[\"garden\"],"
    "\"options\":[{\"name\":\"Size\"}],\"variants\":["
    "{\"options\":[\"S\"],\"price\":{\"amount\":999,\"currency\":\"EUR\"},\"on_hand\":4},"
    "{\"sku\":\"POT-L\",\"options\":[\"L\"],\"price\":{\"amount\":1599,\"currency\":\"EUR\"},"
    "\"compare_at_price\":{\"amount\":2000,\"currency\":\"EUR\"},\"weight_grams\":400}],"
    "\"images\":[{\"url\":\"https://example.com/a.jpg\",\"alt\":\"A pot\"}]}";

static struct product created(struct test *t)
{
    Products__CreateProductRequest *in =
        message_new(t->arena, &products_create_product_request_spec);
    struct product product;

    CHECK_OK(
        message_from_json(t->arena, str_of_z(CREATE), &products_create_product_request_spec, in));
    CHECK_OK(message_validate(t->arena, &products_create_product_request_spec, in));
    product_of_create(t->arena, in, &product);
    CHECK_OK(product_complete(t->arena, &product));
    product.id = uuid_of_name(STR("test"), STR("pot"));
    product.version = 3;
    product.created_at = product.updated_at = 1769851800 * TIME_SECOND;
    return product;
}

static struct product patched(struct test *t, const char *json)
{
    Products__UpdateProductRequest *in =
        message_new(t->arena, &products_update_product_request_spec);
    struct product product = created(t);

    CHECK_OK(
        message_from_json(t->arena, str_of_z(json), &products_update_product_request_spec, in));
    product_patch(t->arena, in, &product);
    return product;
}

TEST(a_request_becomes_a_product)
{
    struct product pot = created(t);

    CHECK_STR(pot.handle, "clay-pot");
    CHECK_INT(pot.status, PRODUCT_ACTIVE);
    CHECK_INT(pot.variants_count, 2);
    CHECK_STR(pot.variants[0].sku, "clay-pot-s");
    CHECK_INT(pot.variants[0].on_hand, 4);
    CHECK_INT(pot.variants[0].availability, AVAILABILITY_OUT);
    CHECK_INT(pot.variants[1].compare_at_price.minor, 2000);
    CHECK_INT(pot.variants[1].weight_grams, 400);
    CHECK_STR(pot.images[0].alt, "A pot");
}

TEST(a_request_without_a_status_is_a_draft)
{
    Products__CreateProductRequest *in =
        message_new(t->arena, &products_create_product_request_spec);
    struct product product;

    product_of_create(t->arena, in, &product);
    CHECK_INT(product.status, PRODUCT_DRAFT);
}

TEST(a_document_is_the_product_again)
{
    struct product pot = created(t), again;
    str packed = message_pack(t->arena, product_document(t->arena, &pot));
    void *document;

    CHECK_OK(message_unpack(t->arena, packed, &products_product_spec, &document));
    product_of_document(t->arena, document, &again);
    CHECK(product_is_same(t->arena, &pot, &again));
    CHECK(uuid_equal(again.id, pot.id));
    CHECK_INT(again.version, 3);
    CHECK_INT(again.created_at, pot.created_at);
    CHECK_STR(again.options[0].values[1], "L");
    again.version++;
    CHECK(!product_is_same(t->arena, &pot, &again));
}

TEST(a_patch_changes_what_it_names_and_nothing_else)
{
    struct product pot = patched(t, "{\"title\":\"Pot\",\"vendor\":\"\",\"tags\":[]}");

    CHECK_STR(pot.title, "Pot");
    CHECK_STR(pot.vendor, "");
    CHECK_INT(pot.tags_count, 0);
    CHECK_STR(pot.description, "Of clay");
    CHECK_STR(pot.handle, "clay-pot");
    CHECK_INT(pot.variants_count, 2);
    CHECK_INT(pot.images_count, 1);
    CHECK_INT(pot.categories_count, 1);
}

TEST(an_empty_patch_changes_nothing)
{
    struct product before = created(t), after = patched(t, "{}");

    CHECK(product_is_same(t->arena, &before, &after));
}

TEST(a_patch_reaches_every_member)
{
    struct product pot =
        patched(t, "{\"handle\":\"pot\",\"description\":\"d\",\"type\":\"t\",\"status\":\"draft\","
                   "\"categories\":[\"x\",\"y\"],\"images\":[],\"options\":[],"
                   "\"variants\":[{\"sku\":\"P\",\"price\":{\"amount\":5,\"currency\":\"EUR\"}}]}");

    CHECK_STR(pot.handle, "pot");
    CHECK_STR(pot.description, "d");
    CHECK_STR(pot.type, "t");
    CHECK_INT(pot.status, PRODUCT_DRAFT);
    CHECK_INT(pot.categories_count, 2);
    CHECK_INT(pot.images_count, 0);
    CHECK_INT(pot.options_count, 0);
    CHECK_INT(pot.variants_count, 1);
    CHECK_OK(product_complete(t->arena, &pot));
}

TEST(values_are_collected_anew_for_other_variants)
{
    struct product pot = patched(t, "{\"variants\":[{\"options\":[\"XL\"],\"price\":"
                                    "{\"amount\":5,\"currency\":\"EUR\"}}]}");

    CHECK_OK(product_complete(t->arena, &pot));
    CHECK_INT(pot.options[0].values_count, 1);
    CHECK_STR(pot.options[0].values[0], "XL");
    CHECK_STR(pot.variants[0].sku, "clay-pot-xl");
}

TEST(a_document_shows_what_a_variant_has)
{
    struct product pot = created(t);
    Products__Product *document = product_document(t->arena, &pot);

    CHECK(document_set_availability(document, STR("POT-L"), AVAILABILITY_LOW));
    CHECK(!document_set_availability(document, STR("POT-L"), AVAILABILITY_LOW));
    CHECK(!document_set_availability(document, STR("nobody"), AVAILABILITY_LOW));
    CHECK_INT(document_availability_bits(document), 1 << AVAILABILITY_LOW | 1 << AVAILABILITY_OUT);
}

TEST(events_say_what_neighbours_need)
{
    struct uuid order = uuid_of_name(STR("test"), STR("order"));
    struct stock_short shorts[] = { { STR("mug"), 5, 2 } };
    struct stock_order short_order = { .shorts = shorts, .shorts_count = 1 };
    Products__StockRefused *refused = stock_refused_of(t->arena, order, &short_order);
    Products__StockReserved *reserved = stock_reserved_of(t->arena, order);
    Products__VariantPriced *priced =
        variant_priced_of(t->arena, STR("mug"), 7, order, STR("Mug"), STR("Blue"),
                          (struct money){ 999, { "KES" } }, true);

    CHECK_INT(refused->number, 1);
    CHECK_INT(refused->n_lines, 1);
    CHECK_INT(refused->lines[0]->wanted, 5);
    CHECK_INT(refused->lines[0]->available, 2);
    CHECK(uuid_equal(uuid_of_field(reserved->order_id), order));
    CHECK_INT(priced->number, 7);
    CHECK_STR(text_of(priced->currency), "KES");
    CHECK(priced->for_sale);
}

TEST(stock_shows_what_is_available)
{
    Products__Stock *stock =
        stock_view(t->arena, STR("mug"), (struct stock_units){ 7, 3, 9 }, TIME_SECOND);

    CHECK_INT(stock->available, 4);
    CHECK_INT(stock->version, 9);
    CHECK_INT(time_of_field(stock->updated_at), TIME_SECOND);
}

TEST(an_adjustment_is_a_delta_or_a_number)
{
    Products__AdjustStockRequest *in = message_new(t->arena, &products_adjust_stock_request_spec);
    struct stock_adjustment out;

    CHECK_ERR(adjustment_of(t->arena, in, &out), FIELD_INVALID);
    in->delta = -4;
    CHECK_OK(adjustment_of(t->arena, in, &out));
    CHECK(!out.counted && !out.expects);
    CHECK_INT(out.units, -4);
    in->on_hand = message_new(t->arena, &products_stock_level_spec);
    CHECK_ERR(adjustment_of(t->arena, in, &out), FIELD_INVALID);
    in->delta = 0;
    in->expected_on_hand = message_new(t->arena, &products_stock_level_spec);
    in->expected_on_hand->quantity = 3;
    CHECK_OK(adjustment_of(t->arena, in, &out));
    CHECK(out.counted && out.expects);
    CHECK_INT(out.units, 0);
    CHECK_INT(out.expected_on_hand, 3);
}

TEST(an_import_begins_as_waiting)
{
    Products__Import *import =
        import_view(t->arena, uuid_of_name(STR("test"), STR("i")), 1000, TIME_SECOND);

    CHECK_INT(import->status, PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_WAITING);
    CHECK_INT(import->bytes, 1000);
    CHECK_INT(import->bytes_done, 0);
}
