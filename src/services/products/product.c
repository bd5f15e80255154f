#include "services/products/product.h"
#include "base/crypto.h"
#include "base/text.h"

enum { KEY_BYTES_MAX = 200, SKU_SUFFIX_POINTS = 9 /* "-" and eight digits */ };

/* ---- small things ---- */

static str first_points(str s, size_t points_max)
{
    size_t at = 0;

    for (size_t points = 0; at < s.len; at++)
        if (((uint8_t)s.ptr[at] & 0xC0) != 0x80 && points++ == points_max)
            break;
    return str_slice(s, 0, at);
}

/* A handle neither begins nor ends with '-'. */
static str without_dash(str s)
{
    while (s.len > 0 && s.ptr[s.len - 1] == '-')
        s.len--;
    return s;
}

str product_key(struct arena *arena, str text)
{
    str folded;

    if (!text_fold(arena, text, &folded))
        folded = text;
    return utf8_head(folded, KEY_BYTES_MAX);
}

str product_facet(struct arena *arena, const char *kind, str word)
{
    return str_format(arena, "%s:%" STR_F, kind, STR_A(product_key(arena, word)));
}

static bool has_text(const str *list, size_t count, str text)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(list[i], text))
            return true;
    return false;
}

/* Drops what comes twice, by folded text; the first one stays. */
static size_t drop_repeated(struct arena *arena, str *list, size_t count)
{
    str *keys = arena_array(arena, str, count + 1);
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        str key = product_key(arena, list[i]);
        if (has_text(keys, kept, key))
            continue;
        keys[kept] = key;
        list[kept++] = list[i];
    }
    return kept;
}

/* ---- the handle ---- */

str product_handle_of(struct arena *arena, str title)
{
    return without_dash(first_points(text_slug(arena, title), PRODUCT_HANDLE_POINTS_MAX));
}

/* First segments behind /products/ that are not handles. */
static bool is_reserved(str handle)
{
    static const str RESERVED[] = {
        { "categories", 10 }, { "imports", 7 }, { "export", 6 }, { "stock", 5 }, { "audit", 5 }
    };

    return has_text(RESERVED, sizeof(RESERVED) / sizeof(RESERVED[0]), handle);
}

static err complete_handle(struct arena *arena, struct product *product)
{
    struct uuid id;

    if (product->title.len == 0)
        return fail_field(arena, PRODUCT_INVALID, STR("/title"), "a product needs a title");
    if (product->handle.len == 0)
        product->handle =
            without_dash(first_points(text_slug(arena, product->title), PRODUCT_HANDLE_POINTS_MAX));
    if (product->handle.len == 0)
        return fail_field(arena, PRODUCT_INVALID, STR("/handle"),
                          "give a handle: the title has no letters to make one of");
    if (uuid_parse(product->handle, &id) || is_reserved(product->handle))
        return fail_field(arena, PRODUCT_INVALID, STR("/handle"),
                          "\"%" STR_F "\" cannot be a handle: it means something else in a path; "
                          "give another, \"%" STR_F "-1\" for one",
                          STR_A(product->handle), STR_A(product->handle));
    return OK;
}

/* ---- options ---- */

static err check_option_names(struct arena *arena, const struct product *product)
{
    if (product->options_count > PRODUCT_OPTIONS_MAX)
        return fail_field(arena, PRODUCT_INVALID, STR("/options"), "at most %d options",
                          PRODUCT_OPTIONS_MAX);
    for (size_t i = 0; i < product->options_count; i++)
        for (size_t j = 0; j < i; j++)
            if (str_equal(product_key(arena, product->options[i].name),
                          product_key(arena, product->options[j].name)))
                return fail_field(arena, PRODUCT_INVALID, str_format(arena, "/options/%zu/name", i),
                                  "two options have this name");
    return OK;
}

static err check_variant_options(struct arena *arena, const struct product *product, size_t i)
{
    const struct product_variant *variant = &product->variants[i];

    if (variant->options_count != product->options_count)
        return fail_field(arena, PRODUCT_INVALID, str_format(arena, "/variants/%zu/options", i),
                          "%zu values for %zu options: one value for each option",
                          variant->options_count, product->options_count);
    for (size_t j = 0; j < i; j++) {
        size_t same = 0;
        while (same < product->options_count &&
               str_equal(variant->options[same], product->variants[j].options[same]))
            same++;
        if (same == product->options_count)
            return fail_field(arena, PRODUCT_INVALID, str_format(arena, "/variants/%zu/options", i),
                              "variant %zu has the same values", j);
    }
    return OK;
}

/* The values of option `at`: those that were given must hold every variant's; else they are
 * collected in the variants' order. */
static err complete_values(struct arena *arena, struct product *product, size_t at)
{
    struct product_option *option = &product->options[at];
    bool given = option->values_count > 0;

    if (!given)
        option->values = arena_array(arena, str, product->variants_count);
    for (size_t i = 0; i < product->variants_count; i++) {
        str value = product->variants[i].options[at];
        if (has_text(option->values, option->values_count, value))
            continue;
        if (given)
            return fail_field(arena, PRODUCT_INVALID,
                              str_format(arena, "/variants/%zu/options/%zu", i, at),
                              "\"%" STR_F "\" is not among the values of %" STR_F, STR_A(value),
                              STR_A(option->name));
        option->values[option->values_count++] = value;
    }
    return OK;
}

static err complete_options(struct arena *arena, struct product *product)
{
    if (product->variants_count == 0)
        return fail_field(arena, PRODUCT_INVALID, STR("/variants"),
                          "a product needs at least one variant");
    if (product->variants_count > PRODUCT_VARIANTS_MAX)
        return fail_field(arena, PRODUCT_INVALID, STR("/variants"), "at most %d variants",
                          PRODUCT_VARIANTS_MAX);
    TRY(check_option_names(arena, product));
    for (size_t i = 0; i < product->variants_count; i++)
        TRY(check_variant_options(arena, product, i));
    for (size_t i = 0; i < product->options_count; i++)
        TRY(complete_values(arena, product, i));
    return OK;
}

/* ---- SKUs ---- */

/* Eight digits that follow from the exact values: for what slugs do not tell apart. */
static str with_digits(struct arena *arena, str sku, const str *options, size_t options_count)
{
    struct text values = text_init(arena, 64);

    for (size_t i = 0; i < options_count; i++) {
        text_add(&values, options[i]);
        text_add_byte(&values, '\x1f');
    }
    str head = without_dash(first_points(sku, PRODUCT_SKU_POINTS_MAX - SKU_SUFFIX_POINTS));
    return str_format(arena, "%" STR_F "-%08x", STR_A(head), crc32_of(text_str(&values)));
}

str product_sku_of(struct arena *arena, str handle, const str *options, size_t options_count)
{
    struct text sku = text_init(arena, handle.len + 32);
    bool is_plain = true;

    text_add(&sku, handle);
    for (size_t i = 0; i < options_count; i++) {
        str slug = text_slug(arena, options[i]);
        if (slug.len > 0)
            text_add_format(&sku, "-%" STR_F, STR_A(slug));
        is_plain = is_plain && slug.len > 0;
    }
    if (is_plain && utf8_length(text_str(&sku)) <= PRODUCT_SKU_POINTS_MAX)
        return text_str(&sku);
    if (options_count == 0)
        options = &handle, options_count = 1;
    return with_digits(arena, text_str(&sku), options, options_count);
}

static bool has_sku_before(const struct product *product, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_equal(product->variants[i].sku, product->variants[at].sku))
            return true;
    return false;
}

/* Given SKUs first: a derived one gives way to them. */
static err complete_skus(struct arena *arena, struct product *product)
{
    for (size_t i = 0; i < product->variants_count; i++)
        if (product->variants[i].sku.len > 0 && has_sku_before(product, i))
            return fail_field(arena, PRODUCT_INVALID, str_format(arena, "/variants/%zu/sku", i),
                              "two variants have the SKU %" STR_F, STR_A(product->variants[i].sku));
    for (size_t i = 0; i < product->variants_count; i++) {
        struct product_variant *variant = &product->variants[i];
        if (variant->sku.len > 0)
            continue;
        str sku = product_sku_of(arena, product->handle, variant->options, variant->options_count);
        if (product_find_variant(product, sku))
            sku = with_digits(arena, sku, variant->options, variant->options_count);
        if (product_find_variant(product, sku))
            return fail_field(arena, PRODUCT_INVALID, str_format(arena, "/variants/%zu/sku", i),
                              "give a SKU: %" STR_F " is another variant's", STR_A(sku));
        variant->sku = sku;
    }
    return OK;
}

/* ---- prices ---- */

static err check_prices(struct arena *arena, const struct product *product)
{
    struct currency currency = product->variants[0].price.currency;

    for (size_t i = 0; i < product->variants_count; i++) {
        const struct product_variant *variant = &product->variants[i];
        ASSERT(variant->price.currency.letters[0]);
        if (!currency_equal(variant->price.currency, currency))
            return fail_field(arena, PRODUCT_INVALID,
                              str_format(arena, "/variants/%zu/price/currency", i),
                              "a product has one currency: %s here, %s before",
                              variant->price.currency.letters, currency.letters);
        if (variant->compare_at_price.currency.letters[0] &&
            !currency_equal(variant->compare_at_price.currency, currency))
            return fail_field(arena, PRODUCT_INVALID,
                              str_format(arena, "/variants/%zu/compare_at_price/currency", i),
                              "a product has one currency: %s", currency.letters);
    }
    return OK;
}

/* ---- the whole ---- */

err product_complete(struct arena *arena, struct product *product)
{
    ASSERT(arena && product);
    ASSERT(product->status >= PRODUCT_DRAFT && product->status <= PRODUCT_ARCHIVED);

    TRY(complete_handle(arena, product));
    TRY(complete_options(arena, product));
    TRY(complete_skus(arena, product));
    TRY(check_prices(arena, product));
    product->tags_count = drop_repeated(arena, product->tags, product->tags_count);
    product->categories_count =
        drop_repeated(arena, product->categories, product->categories_count);
    return OK;
}

bool product_may_become(enum product_status from, enum product_status to)
{
    switch (from) {
    case PRODUCT_NEW: return to == PRODUCT_DRAFT || to == PRODUCT_ACTIVE;
    case PRODUCT_DRAFT:
    case PRODUCT_ACTIVE:
    case PRODUCT_ARCHIVED: return to != PRODUCT_NEW;
    }
    return false;
}

str product_status_word(enum product_status status)
{
    switch (status) {
    case PRODUCT_NEW: break;
    case PRODUCT_DRAFT: return STR("draft");
    case PRODUCT_ACTIVE: return STR("active");
    case PRODUCT_ARCHIVED: return STR("archived");
    }
    panic(ERR_PLACE, "a status", __func__);
}

bool product_is_for_sale(const struct product *product)
{
    return product->status == PRODUCT_ACTIVE;
}

struct product_variant *product_find_variant(const struct product *product, str sku)
{
    for (size_t i = 0; i < product->variants_count; i++)
        if (str_equal(product->variants[i].sku, sku))
            return &product->variants[i];
    return NULL;
}

void product_keep_variants(const struct product *before, struct product *after)
{
    for (size_t i = 0; i < after->variants_count; i++) {
        struct product_variant *variant = &after->variants[i];
        const struct product_variant *old = product_find_variant(before, variant->sku);
        if (!old)
            continue;
        variant->id = old->id;
        variant->availability = old->availability;
    }
}

str product_variant_title(struct arena *arena, const struct product_variant *variant)
{
    struct text title = text_init(arena, 64);

    for (size_t i = 0; i < variant->options_count; i++) {
        if (i > 0)
            text_add(&title, STR(" / "));
        text_add(&title, variant->options[i]);
    }
    return first_points(text_str(&title), PRODUCT_TITLE_POINTS_MAX);
}

struct money product_lowest_price(const struct product *product)
{
    ASSERT(product->variants_count > 0);

    struct money lowest = product->variants[0].price;
    for (size_t i = 1; i < product->variants_count; i++)
        if (product->variants[i].price.minor < lowest.minor)
            lowest = product->variants[i].price;
    return lowest;
}

int32_t product_availability_bits(const struct product *product)
{
    int32_t bits = 0;

    for (size_t i = 0; i < product->variants_count; i++) {
        ASSERT(product->variants[i].availability >= AVAILABILITY_IN_STOCK &&
               product->variants[i].availability <= AVAILABILITY_OUT);
        bits |= 1 << product->variants[i].availability;
    }
    return bits;
}
