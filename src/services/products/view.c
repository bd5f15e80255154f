#include "services/products/view.h"
#include "chassis/message.h"

/* Our words have the contract's numbers. */
_Static_assert((int)PRODUCT_DRAFT == PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_DRAFT, "");
_Static_assert((int)PRODUCT_ACTIVE == PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE, "");
_Static_assert((int)PRODUCT_ARCHIVED == PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ARCHIVED, "");
_Static_assert((int)AVAILABILITY_IN_STOCK == PRODUCTS__AVAILABILITY__AVAILABILITY_IN_STOCK, "");
_Static_assert((int)AVAILABILITY_LOW == PRODUCTS__AVAILABILITY__AVAILABILITY_LOW, "");
_Static_assert((int)AVAILABILITY_OUT == PRODUCTS__AVAILABILITY__AVAILABILITY_OUT, "");

/* ---- from the contract ---- */

static str *texts_of(struct arena *arena, const ProtobufCBinaryData *fields, size_t count)
{
    str *texts = arena_array(arena, str, count + 1);

    for (size_t i = 0; i < count; i++)
        texts[i] = text_of(fields[i]);
    return texts;
}

static void take_options(struct arena *arena, Products__Option *const *in, size_t count,
                         struct product *out)
{
    out->options = arena_array(arena, struct product_option, count + 1);
    out->options_count = count;
    for (size_t i = 0; i < count; i++)
        out->options[i] =
            (struct product_option){ .name = text_of(in[i]->name),
                                     .values = texts_of(arena, in[i]->values, in[i]->n_values),
                                     .values_count = in[i]->n_values };
}

static void take_images(struct arena *arena, Products__Image *const *in, size_t count,
                        struct product *out)
{
    out->images = arena_array(arena, struct product_image, count + 1);
    out->images_count = count;
    for (size_t i = 0; i < count; i++)
        out->images[i] =
            (struct product_image){ .url = text_of(in[i]->url), .alt = text_of(in[i]->alt) };
}

/* A SKU that nobody has in stock is out; the batch that saves it looks at the stock. */
static void take_inputs(struct arena *arena, Products__VariantInput *const *in, size_t count,
                        struct product *out)
{
    out->variants = arena_array(arena, struct product_variant, count + 1);
    out->variants_count = count;
    for (size_t i = 0; i < count; i++)
        out->variants[i] =
            (struct product_variant){ .sku = text_of(in[i]->sku),
                                      .options = texts_of(arena, in[i]->options, in[i]->n_options),
                                      .options_count = in[i]->n_options,
                                      .price = money_of_field(in[i]->price),
                                      .compare_at_price = money_of_field(in[i]->compare_at_price),
                                      .barcode = text_of(in[i]->barcode),
                                      .weight_grams = in[i]->weight_grams,
                                      .image_url = text_of(in[i]->image_url),
                                      .availability = AVAILABILITY_OUT,
                                      .on_hand = in[i]->on_hand };
}

void product_of_create(struct arena *arena, const Products__CreateProductRequest *in,
                       struct product *out)
{
    *out = (struct product){ .handle = text_of(in->handle),
                             .title = text_of(in->title),
                             .description = text_of(in->description),
                             .vendor = text_of(in->vendor),
                             .type = text_of(in->type),
                             .status = in->status ? (enum product_status)in->status : PRODUCT_DRAFT,
                             .tags = texts_of(arena, in->tags, in->n_tags),
                             .tags_count = in->n_tags,
                             .categories = texts_of(arena, in->categories, in->n_categories),
                             .categories_count = in->n_categories };
    take_options(arena, in->options, in->n_options, out);
    take_inputs(arena, in->variants, in->n_variants, out);
    take_images(arena, in->images, in->n_images, out);
}

static bool names(const Products__UpdateProductRequest *in, const char *member)
{
    return message_names(in, &products_update_product_request_spec, member);
}

/* Other variants have other values: they are collected anew unless they are sent too. */
static void patch_variants(struct arena *arena, const Products__UpdateProductRequest *in,
                           struct product *product)
{
    if (names(in, "options"))
        take_options(arena, in->options, in->n_options, product);
    if (!names(in, "variants"))
        return;
    take_inputs(arena, in->variants, in->n_variants, product);
    for (size_t i = 0; !names(in, "options") && i < product->options_count; i++)
        product->options[i].values_count = 0;
}

void product_patch(struct arena *arena, const Products__UpdateProductRequest *in,
                   struct product *product)
{
    if (names(in, "handle"))
        product->handle = text_of(in->handle);
    if (names(in, "title"))
        product->title = text_of(in->title);
    if (names(in, "description"))
        product->description = text_of(in->description);
    if (names(in, "vendor"))
        product->vendor = text_of(in->vendor);
    if (names(in, "type"))
        product->type = text_of(in->type);
    if (names(in, "status"))
        product->status = in->status ? (enum product_status)in->status : PRODUCT_DRAFT;
    if (names(in, "tags")) {
        product->tags = texts_of(arena, in->tags, in->n_tags);
        product->tags_count = in->n_tags;
    }
    if (names(in, "categories")) {
        product->categories = texts_of(arena, in->categories, in->n_categories);
        product->categories_count = in->n_categories;
    }
    patch_variants(arena, in, product);
    if (names(in, "images"))
        take_images(arena, in->images, in->n_images, product);
}

/* ---- documents ---- */

static void take_variants(struct arena *arena, const Products__Product *in, struct product *out)
{
    out->variants = arena_array(arena, struct product_variant, in->n_variants + 1);
    out->variants_count = in->n_variants;
    for (size_t i = 0; i < in->n_variants; i++) {
        const Products__Variant *variant = in->variants[i];
        out->variants[i] = (struct product_variant){
            .id = uuid_of_field(variant->id),
            .sku = text_of(variant->sku),
            .options = texts_of(arena, variant->options, variant->n_options),
            .options_count = variant->n_options,
            .price = money_of_field(variant->price),
            .compare_at_price = money_of_field(variant->compare_at_price),
            .barcode = text_of(variant->barcode),
            .weight_grams = variant->weight_grams,
            .image_url = text_of(variant->image_url),
            .availability = (enum availability)variant->availability,
        };
    }
}

void product_of_document(struct arena *arena, const Products__Product *in, struct product *out)
{
    *out = (struct product){ .id = uuid_of_field(in->id),
                             .handle = text_of(in->handle),
                             .title = text_of(in->title),
                             .description = text_of(in->description),
                             .vendor = text_of(in->vendor),
                             .type = text_of(in->type),
                             .status = (enum product_status)in->status,
                             .tags = texts_of(arena, in->tags, in->n_tags),
                             .tags_count = in->n_tags,
                             .categories = texts_of(arena, in->categories, in->n_categories),
                             .categories_count = in->n_categories,
                             .version = in->version,
                             .created_at = time_of_field(in->created_at),
                             .updated_at = time_of_field(in->updated_at) };
    take_options(arena, in->options, in->n_options, out);
    take_variants(arena, in, out);
    take_images(arena, in->images, in->n_images, out);
}

static ProtobufCBinaryData *fields_of(struct arena *arena, const str *texts, size_t count)
{
    ProtobufCBinaryData *fields = arena_array(arena, ProtobufCBinaryData, count + 1);

    for (size_t i = 0; i < count; i++)
        fields[i] = field_of(texts[i]);
    return fields;
}

static Products__Option *option_view(struct arena *arena, const struct product_option *option)
{
    Products__Option *out = message_new(arena, &products_option_spec);

    out->name = field_of(option->name);
    out->n_values = option->values_count;
    out->values = fields_of(arena, option->values, option->values_count);
    return out;
}

static Products__Variant *variant_view(struct arena *arena, const struct product_variant *variant)
{
    Products__Variant *out = message_new(arena, &products_variant_spec);

    out->id = field_of_uuid(arena, variant->id);
    out->sku = field_of(variant->sku);
    out->n_options = variant->options_count;
    out->options = fields_of(arena, variant->options, variant->options_count);
    out->price = field_of_money(arena, variant->price);
    if (variant->compare_at_price.currency.letters[0])
        out->compare_at_price = field_of_money(arena, variant->compare_at_price);
    out->barcode = field_of(variant->barcode);
    out->weight_grams = variant->weight_grams;
    out->image_url = field_of(variant->image_url);
    out->availability = (Products__Availability)variant->availability;
    return out;
}

static void add_parts(struct arena *arena, const struct product *product, Products__Product *out)
{
    out->n_options = product->options_count;
    out->options = arena_array(arena, Products__Option *, product->options_count + 1);
    for (size_t i = 0; i < product->options_count; i++)
        out->options[i] = option_view(arena, &product->options[i]);
    out->n_variants = product->variants_count;
    out->variants = arena_array(arena, Products__Variant *, product->variants_count + 1);
    for (size_t i = 0; i < product->variants_count; i++)
        out->variants[i] = variant_view(arena, &product->variants[i]);
    out->n_images = product->images_count;
    out->images = arena_array(arena, Products__Image *, product->images_count + 1);
    for (size_t i = 0; i < product->images_count; i++) {
        out->images[i] = message_new(arena, &products_image_spec);
        out->images[i]->url = field_of(product->images[i].url);
        out->images[i]->alt = field_of(product->images[i].alt);
    }
}

Products__Product *product_document(struct arena *arena, const struct product *product)
{
    Products__Product *out = message_new(arena, &products_product_spec);

    out->id = field_of_uuid(arena, product->id);
    out->handle = field_of(product->handle);
    out->title = field_of(product->title);
    out->description = field_of(product->description);
    out->vendor = field_of(product->vendor);
    out->type = field_of(product->type);
    out->status = (Products__ProductStatus)product->status;
    out->n_tags = product->tags_count;
    out->tags = fields_of(arena, product->tags, product->tags_count);
    out->n_categories = product->categories_count;
    out->categories = fields_of(arena, product->categories, product->categories_count);
    out->version = product->version;
    out->created_at = field_of_time(arena, product->created_at);
    out->updated_at = field_of_time(arena, product->updated_at);
    add_parts(arena, product, out);
    return out;
}

bool product_is_same(struct arena *arena, const struct product *a, const struct product *b)
{
    return str_equal(message_pack(arena, product_document(arena, a)),
                     message_pack(arena, product_document(arena, b)));
}

bool document_set_availability(Products__Product *document, str sku, enum availability availability)
{
    Products__Availability shown = (Products__Availability)availability;

    for (size_t i = 0; i < document->n_variants; i++) {
        if (!str_equal(text_of(document->variants[i]->sku), sku))
            continue;
        bool differs = document->variants[i]->availability != shown;
        document->variants[i]->availability = shown;
        return differs;
    }
    return false;
}

int32_t document_availability_bits(const Products__Product *document)
{
    int32_t bits = 0;

    for (size_t i = 0; i < document->n_variants; i++)
        bits |= 1 << document->variants[i]->availability;
    return bits;
}

/* ---- events ---- */

Products__VariantPriced *variant_priced_of(struct arena *arena, str sku, int64_t number,
                                           struct uuid product, str title, str variant_title,
                                           struct money price, bool for_sale)
{
    Products__VariantPriced *out = message_new(arena, &products_variant_priced_spec);

    out->sku = field_of(sku);
    out->number = number;
    out->product_id = field_of_uuid(arena, product);
    out->title = field_of(title);
    out->variant_title = field_of(variant_title);
    out->amount = price.minor;
    out->currency = field_of(str_copy(arena, str_of_z(price.currency.letters)));
    out->for_sale = for_sale;
    return out;
}

Products__StockReserved *stock_reserved_of(struct arena *arena, struct uuid order)
{
    Products__StockReserved *out = message_new(arena, &products_stock_reserved_spec);

    out->order_id = field_of_uuid(arena, order);
    out->number = 1;
    return out;
}

Products__StockRefused *stock_refused_of(struct arena *arena, struct uuid order,
                                         const struct stock_order *short_order)
{
    Products__StockRefused *out = message_new(arena, &products_stock_refused_spec);

    out->order_id = field_of_uuid(arena, order);
    out->number = 1;
    out->n_lines = short_order->shorts_count;
    out->lines = arena_array(arena, Products__ShortLine *, short_order->shorts_count + 1);
    for (size_t i = 0; i < short_order->shorts_count; i++) {
        out->lines[i] = message_new(arena, &products_short_line_spec);
        out->lines[i]->sku = field_of(short_order->shorts[i].sku);
        out->lines[i]->wanted = short_order->shorts[i].wanted;
        out->lines[i]->available = short_order->shorts[i].available;
    }
    return out;
}

/* ---- stock ---- */

Products__Stock *stock_view(struct arena *arena, str sku, struct stock_units units,
                            time_us updated_at)
{
    Products__Stock *out = message_new(arena, &products_stock_spec);

    out->sku = field_of(sku);
    out->on_hand = units.on_hand;
    out->reserved = units.reserved;
    out->available = units.on_hand - units.reserved;
    out->version = units.version;
    out->updated_at = field_of_time(arena, updated_at);
    return out;
}

Products__Import *import_view(struct arena *arena, struct uuid id, int64_t bytes, time_us now)
{
    Products__Import *out = message_new(arena, &products_import_spec);

    out->id = field_of_uuid(arena, id);
    out->status = PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_WAITING;
    out->bytes = bytes;
    out->created_at = field_of_time(arena, now);
    out->updated_at = field_of_time(arena, now);
    return out;
}

err adjustment_of(struct arena *arena, const Products__AdjustStockRequest *in,
                  struct stock_adjustment *out)
{
    if (in->on_hand && in->delta != 0)
        return fail_field(arena, FIELD_INVALID, STR("/on_hand"), "give delta or on_hand, not both");
    if (!in->on_hand && in->delta == 0)
        return fail_field(arena, FIELD_INVALID, STR("/delta"),
                          "give delta, how many come or go, or on_hand, the counted number");
    *out = (struct stock_adjustment){
        .counted = in->on_hand != NULL,
        .units = in->on_hand ? in->on_hand->quantity : in->delta,
        .expects = in->expected_on_hand != NULL,
        .expected_on_hand = in->expected_on_hand ? in->expected_on_hand->quantity : 0,
    };
    return OK;
}
