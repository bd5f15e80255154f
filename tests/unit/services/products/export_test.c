#include "chassis/message.h"
#include "services/products/export.h"
#include "services/products/import.h"
#include "tests/lib/test.h"

static Products__Variant *variant_of(struct test *t, const char *sku, const char *option,
                                     int64_t minor)
{
    Products__Variant *variant = message_new(t->arena, &products_variant_spec);
    variant->sku = field_of(str_of_z(sku));
    variant->price = field_of_money(t->arena, (struct money){ minor, { "EUR" } });
    if (option) {
        variant->n_options = 1;
        variant->options = arena_array(t->arena, ProtobufCBinaryData, 1);
        variant->options[0] = field_of(str_of_z(option));
    }
    return variant;
}

static Products__Image *image_of(struct test *t, const char *url, const char *alt)
{
    Products__Image *image = message_new(t->arena, &products_image_spec);
    image->url = field_of(str_of_z(url));
    image->alt = field_of(str_of_z(alt));
    return image;
}

static Products__Product *pot(struct test *t)
{
    Products__Product *pot = message_new(t->arena, &products_product_spec);
    pot->handle = field_of(STR("pot"));
    pot->title = field_of(STR("Pot, \"clay\""));
    pot->description = field_of(STR("<p>Two\nlines</p>"));
    pot->status = PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE;
    pot->n_tags = 2;
    pot->tags = arena_array(t->arena, ProtobufCBinaryData, 2);
    pot->tags[0] = field_of(STR("garden"));
    pot->tags[1] = field_of(STR("clay"));
    pot->n_options = 1;
    pot->options = arena_array(t->arena, Products__Option *, 1);
    pot->options[0] = message_new(t->arena, &products_option_spec);
    pot->options[0]->name = field_of(STR("Size"));
    pot->n_variants = 2;
    pot->variants = arena_array(t->arena, Products__Variant *, 2);
    pot->variants[0] = variant_of(t, "P-S", "Small", 999);
    pot->variants[1] = variant_of(t, "P-L", "Large", 120000);
    pot->variants[1]->compare_at_price =
        field_of_money(t->arena, (struct money){ 130050, { "EUR" } });
    pot->variants[1]->barcode = field_of(STR("4006381333931"));
    pot->variants[1]->weight_grams = 1500;
    pot->variants[1]->image_url = field_of(STR("https://example.com/l.jpg"));
    pot->n_images = 3;
    pot->images = arena_array(t->arena, Products__Image *, 3);
    pot->images[0] = image_of(t, "https://example.com/1.jpg", "one, from above");
    pot->images[1] = image_of(t, "https://example.com/2.jpg", "");
    pot->images[2] = image_of(t, "https://example.com/3.jpg", "three");
    return pot;
}

static Products__CreateProductRequest *read_again(struct test *t, str file,
                                                  struct currency currency)
{
    struct csv_window window = { .bytes = file, .is_last = true };
    struct csv_place place = csv_begin();
    struct import_columns columns;
    struct import_group group;
    enum csv_step step;
    CHECK_OK(import_header(t->arena, &window, &place, &columns, &step));
    for (int i = 0; i < IMPORT_COLUMNS_COUNT; i++)
        if (columns.at[i] < 0)
            FAIL("the file lacks column %d", i);
    CHECK_OK(import_read(t->arena, &columns, currency, &window, &place, &group, &step));
    CHECK_INT(step, CSV_ROW);
    CHECK_OK(group.refused);
    return group.input;
}

TEST(what_is_exported_is_read_again_as_it_was)
{
    struct text file = text_init(t->arena, 1024);
    int64_t quantities[] = { 3, 0 };
    export_header(&file);
    export_product(t->arena, &file, pot(t), quantities);
    Products__CreateProductRequest *in = read_again(t, text_str(&file), (struct currency){ "EUR" });

    CHECK_STR(text_of(in->handle), "pot");
    CHECK_STR(text_of(in->title), "Pot, \"clay\"");
    CHECK_STR(text_of(in->description), "<p>Two\nlines</p>");
    CHECK_INT(in->status, PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE);
    CHECK_INT(in->n_tags, 2);
    CHECK_STR(text_of(in->tags[1]), "clay");
    CHECK_INT(in->n_options, 1);
    CHECK_STR(text_of(in->options[0]->name), "Size");
    CHECK_INT(in->n_variants, 2);
    CHECK_STR(text_of(in->variants[0]->sku), "P-S");
    CHECK_INT(in->variants[0]->on_hand, 3);
    CHECK_INT(in->variants[0]->price->amount, 999);
    CHECK(!in->variants[0]->compare_at_price);
    CHECK_STR(text_of(in->variants[1]->options[0]), "Large");
    CHECK_INT(in->variants[1]->price->amount, 120000);
    CHECK_INT(in->variants[1]->compare_at_price->amount, 130050);
    CHECK_STR(text_of(in->variants[1]->barcode), "4006381333931");
    CHECK_INT(in->variants[1]->weight_grams, 1500);
    CHECK_STR(text_of(in->variants[1]->image_url), "https://example.com/l.jpg");
    CHECK_INT(in->n_images, 3);
    CHECK_STR(text_of(in->images[0]->alt), "one, from above");
    CHECK_STR(text_of(in->images[2]->url), "https://example.com/3.jpg");
}

TEST(a_product_without_options_and_a_draft_stay_so)
{
    struct text file = text_init(t->arena, 1024);
    Products__Product *card = message_new(t->arena, &products_product_spec);
    int64_t quantities[] = { 7 };
    card->handle = field_of(STR("card"));
    card->title = field_of(STR("Card"));
    card->status = PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_DRAFT;
    card->n_variants = 1;
    card->variants = arena_array(t->arena, Products__Variant *, 1);
    card->variants[0] = variant_of(t, "C", NULL, 500);
    export_header(&file);
    export_product(t->arena, &file, card, quantities);
    Products__CreateProductRequest *in = read_again(t, text_str(&file), (struct currency){ "EUR" });

    CHECK_INT(in->status, PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_DRAFT);
    CHECK_INT(in->n_options, 0);
    CHECK_INT(in->n_variants, 1);
    CHECK_INT(in->variants[0]->n_options, 0);
    CHECK_INT(in->n_images, 0);
}
