#include "services/products/export.h"
#include "chassis/message.h"
#include "services/products/product.h"

static const char HEADER[] =
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,"
    "Option2 Value,Option3 Name,Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,"
    "Variant Inventory Qty,Variant Inventory Policy,Variant Fulfillment Service,Variant Price,"
    "Variant Compare At Price,Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,"
    "Image Position,Image Alt Text,Gift Card,Variant Image,Variant Weight Unit,Status\n";

/* A line under way. */
struct line {
    struct arena *arena;
    struct text *out;
    bool has_fields;
};

/* ---- fields ---- */

static bool needs_quotes(str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == ',' || value.ptr[i] == '"' || value.ptr[i] == '\n' ||
            value.ptr[i] == '\r')
            return true;
    return false;
}

static void add(struct line *line, str value)
{
    struct text *out = line->out;

    if (line->has_fields)
        text_add_byte(out, ',');
    line->has_fields = true;
    if (!needs_quotes(value)) {
        text_add(out, value);
        return;
    }
    text_add_byte(out, '"');
    for (str rest = value; rest.ptr;) {
        text_add(out, str_cut(&rest, '"'));
        if (rest.ptr)
            text_add(out, STR("\"\""));
    }
    text_add_byte(out, '"');
}

static void add_z(struct line *line, const char *value) { add(line, str_of_z(value)); }

static void add_int(struct line *line, int64_t value)
{
    add(line, str_format(line->arena, "%lld", (long long)value));
}

static void add_none(struct line *line, int count)
{
    for (int i = 0; i < count; i++)
        add(line, STR(""));
}

static void add_money(struct line *line, const Duka__Money *value)
{
    add(line, value ? money_text(line->arena, money_of_field(value)) : STR(""));
}

/* ---- the parts of a line ---- */

static str tags_of(struct arena *arena, const Products__Product *product)
{
    struct text out = text_init(arena, 64);

    for (size_t i = 0; i < product->n_tags; i++) {
        if (i > 0)
            text_add(&out, STR(", "));
        text_add(&out, text_of(product->tags[i]));
    }
    return text_str(&out);
}

/* What the product is stands in its first line only. */
static void add_product(struct line *line, const Products__Product *product)
{
    bool is_active = product->status == PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE;

    add(line, text_of(product->title));
    add(line, text_of(product->description));
    add(line, text_of(product->vendor));
    add(line, text_of(product->type));
    add(line, tags_of(line->arena, product));
    add_z(line, is_active ? "true" : "false");
}

/* A product without options has Shopify's word for none. */
static void add_options(struct line *line, const Products__Product *product,
                        const Products__Variant *variant, bool is_first)
{
    for (size_t i = 0; i < PRODUCT_OPTIONS_MAX; i++) {
        bool has_option = i < product->n_options;
        bool is_sole = product->n_options == 0 && i == 0 && is_first;
        str name = has_option && is_first ? text_of(product->options[i]->name) : STR("");
        str value = has_option && variant ? text_of(variant->options[i]) : STR("");
        add(line, is_sole ? STR("Title") : name);
        add(line, is_sole ? STR("Default Title") : value);
    }
}

static void add_variant(struct line *line, const Products__Variant *variant, int64_t quantity)
{
    add(line, text_of(variant->sku));
    add_int(line, variant->weight_grams);
    add_z(line, "shopify");
    add_int(line, quantity);
    add_z(line, "deny");
    add_z(line, "manual");
    add_money(line, variant->price);
    add_money(line, variant->compare_at_price);
    add_z(line, "true");
    add_z(line, "true");
    add(line, text_of(variant->barcode));
}

static void add_image(struct line *line, const Products__Product *product, size_t i)
{
    if (i >= product->n_images) {
        add_none(line, 3);
        return;
    }
    add(line, text_of(product->images[i]->url));
    add_int(line, (int64_t)i + 1);
    add(line, text_of(product->images[i]->alt));
}

/* ---- lines ---- */

static void add_line(struct line *line, const Products__Product *product, size_t i,
                     const int64_t *quantities)
{
    enum { PRODUCT_FIELDS = 6, VARIANT_FIELDS = 11 };
    const Products__Variant *variant = i < product->n_variants ? product->variants[i] : NULL;
    bool is_draft = product->status == PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_DRAFT;

    add(line, text_of(product->handle));
    if (i == 0)
        add_product(line, product);
    else
        add_none(line, PRODUCT_FIELDS);
    add_options(line, product, variant, i == 0);
    if (variant)
        add_variant(line, variant, quantities[i]);
    else
        add_none(line, VARIANT_FIELDS);
    add_image(line, product, i);
    add_z(line, i == 0 ? "false" : "");
    add(line, variant ? text_of(variant->image_url) : STR(""));
    add_z(line, variant ? "kg" : "");
    add_z(line, i > 0 ? "" : is_draft ? "draft" : "active");
    text_add_byte(line->out, '\n');
}

void export_header(struct text *out)
{
    ASSERT(out);
    text_add(out, str_of_z(HEADER));
}

void export_product(struct arena *arena, struct text *out, const Products__Product *product,
                    const int64_t *quantities)
{
    ASSERT(arena && out && product && (quantities || product->n_variants == 0));

    size_t lines =
        product->n_variants > product->n_images ? product->n_variants : product->n_images;
    for (size_t i = 0; i < lines; i++) {
        struct line line = { .arena = arena, .out = out };
        add_line(&line, product, i, quantities);
    }
}
