#include "services/products/import.h"
#include "base/text.h"
#include "chassis/message.h"

enum { SHOWN_POINTS_MAX = 80 };

/* Names of columns: the older words and the newer ones. */
static const struct {
    const char *name, *newer;
    bool is_required;
} COLUMNS[IMPORT_COLUMNS_COUNT] = {
    [IMPORT_HANDLE] = { "Handle", "URL handle", true },
    [IMPORT_TITLE] = { "Title", "Title", true },
    [IMPORT_BODY] = { "Body (HTML)", "Description", false },
    [IMPORT_VENDOR] = { "Vendor", "Vendor", false },
    [IMPORT_TYPE] = { "Type", "Type", false },
    [IMPORT_TAGS] = { "Tags", "Tags", false },
    [IMPORT_PUBLISHED] = { "Published", "Published on online store", false },
    [IMPORT_STATUS] = { "Status", "Status", false },
    [IMPORT_OPTION1_NAME] = { "Option1 Name", "Option1 name", false },
    [IMPORT_OPTION1_VALUE] = { "Option1 Value", "Option1 value", false },
    [IMPORT_OPTION2_NAME] = { "Option2 Name", "Option2 name", false },
    [IMPORT_OPTION2_VALUE] = { "Option2 Value", "Option2 value", false },
    [IMPORT_OPTION3_NAME] = { "Option3 Name", "Option3 name", false },
    [IMPORT_OPTION3_VALUE] = { "Option3 Value", "Option3 value", false },
    [IMPORT_SKU] = { "Variant SKU", "SKU", false },
    [IMPORT_GRAMS] = { "Variant Grams", "Weight value (grams)", false },
    [IMPORT_QUANTITY] = { "Variant Inventory Qty", "Inventory quantity", false },
    [IMPORT_PRICE] = { "Variant Price", "Price", true },
    [IMPORT_COMPARE_AT] = { "Variant Compare At Price", "Compare-at price", false },
    [IMPORT_BARCODE] = { "Variant Barcode", "Barcode", false },
    [IMPORT_IMAGE] = { "Image Src", "Product image URL", false },
    [IMPORT_IMAGE_POSITION] = { "Image Position", "Image position", false },
    [IMPORT_IMAGE_ALT] = { "Image Alt Text", "Image alt text", false },
    [IMPORT_VARIANT_IMAGE] = { "Variant Image", "Variant image URL", false },
};

/* Rows of one product under way. */
struct rows {
    struct arena *arena;
    const struct import_columns *columns;
    struct currency currency;
    struct csv_row *rows;
    size_t count, room;
};

/* ---- the header ---- */

static int find_column(const struct csv_row *header, enum import_column column)
{
    for (size_t i = 0; i < header->fields_count; i++) {
        str name = str_trim(header->fields[i]);
        if (str_equal_fold(name, str_of_z(COLUMNS[column].name)) ||
            str_equal_fold(name, str_of_z(COLUMNS[column].newer)))
            return (int)i;
    }
    return -1;
}

static err check_columns(struct arena *arena, const struct import_columns *columns)
{
    struct text missing = text_init(arena, 64);

    for (int i = 0; i < IMPORT_COLUMNS_COUNT; i++) {
        if (columns->at[i] >= 0 || !COLUMNS[i].is_required)
            continue;
        text_add_format(&missing, "%s%s", missing.len > 0 ? ", " : "", COLUMNS[i].name);
    }
    if (missing.len == 0)
        return OK;
    return fail(arena, IMPORT_INVALID, "the first line lacks columns: %" STR_F,
                STR_A(text_str(&missing)));
}

err import_header(struct arena *arena, const struct csv_window *window, struct csv_place *place,
                  struct import_columns *out, enum csv_step *step)
{
    struct csv_row header;

    ASSERT(place->byte == 0);
    TRY(csv_read(arena, window, place, &header, step));
    if (*step == CSV_MORE)
        return OK;
    if (*step == CSV_END)
        return fail(arena, IMPORT_INVALID, "the file is empty");
    for (int i = 0; i < IMPORT_COLUMNS_COUNT; i++)
        out->at[i] = find_column(&header, (enum import_column)i);
    return check_columns(arena, out);
}

err import_check(struct arena *arena, const struct csv_window *window, struct import_columns *out)
{
    struct csv_place place = csv_begin();
    enum csv_step step;

    TRY(import_header(arena, window, &place, out, &step));
    return step == CSV_MORE ? fail(arena, IMPORT_INVALID, "the first line is too long") : OK;
}

/* ---- fields of a row ---- */

/* As it stands; empty where the file does not have it. */
static str raw_of(const struct rows *rows, const struct csv_row *row, enum import_column column)
{
    int at = rows->columns->at[column];

    return at >= 0 && (size_t)at < row->fields_count ? row->fields[at] : STR("");
}

static str field(const struct rows *rows, const struct csv_row *row, enum import_column column)
{
    return str_trim(raw_of(rows, row, column));
}

static str option_name(const struct rows *rows, int i)
{
    return field(rows, &rows->rows[0], (enum import_column)(IMPORT_OPTION1_NAME + 2 * i));
}

static str option_value(const struct rows *rows, const struct csv_row *row, int i)
{
    return field(rows, row, (enum import_column)(IMPORT_OPTION1_VALUE + 2 * i));
}

static bool is_variant(const struct rows *rows, size_t at)
{
    const struct csv_row *row = &rows->rows[at];

    return at == 0 || option_value(rows, row, 0).len > 0 || field(rows, row, IMPORT_SKU).len > 0 ||
           field(rows, row, IMPORT_PRICE).len > 0;
}

/* ---- a product's members ---- */

/* Texts of shops have stray control characters; a space says the same. */
static str without_controls(struct arena *arena, str s)
{
    if (!utf8_valid(s) || !text_has_control(s, true))
        return s;

    struct text out = text_init(arena, s.len);
    for (size_t i = 0; i < s.len;) {
        size_t len = 1;
        while (i + len < s.len && ((uint8_t)s.ptr[i + len] & 0xC0) == 0x80)
            len++;
        str point = str_slice(s, i, len);
        text_add(&out, text_has_control(point, true) ? STR(" ") : point);
        i += len;
    }
    return text_str(&out);
}

static Products__ProductStatus status_of(const struct rows *rows)
{
    const struct csv_row *row = &rows->rows[0];
    str status = field(rows, row, IMPORT_STATUS);

    if (str_equal_fold(status, STR("active")))
        return PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE;
    if (str_equal_fold(status, STR("archived")))
        return PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ARCHIVED;
    if (status.len == 0 && str_equal_fold(field(rows, row, IMPORT_PUBLISHED), STR("true")))
        return PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ACTIVE;
    return PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_DRAFT;
}

static void add_tags(const struct rows *rows, Products__CreateProductRequest *out)
{
    str tags = field(rows, &rows->rows[0], IMPORT_TAGS);
    size_t room = 1;

    for (size_t i = 0; i < tags.len; i++)
        room += tags.ptr[i] == ',';
    out->tags = arena_array(rows->arena, ProtobufCBinaryData, room);
    for (str rest = tags; rest.ptr;) {
        str tag = str_trim(str_cut(&rest, ','));
        if (tag.len > 0)
            out->tags[out->n_tags++] = field_of(tag);
    }
}

/* How many options the first row names. A sole "Title" is Shopify's word for none. */
static int count_options(const struct rows *rows)
{
    int count = 0;

    while (count < PRODUCT_OPTIONS_MAX && option_name(rows, count).len > 0)
        count++;
    bool is_default = count == 1 && str_equal_fold(option_name(rows, 0), STR("Title")) &&
                      str_equal_fold(option_value(rows, &rows->rows[0], 0), STR("Default Title"));
    return is_default ? 0 : count;
}

static void add_options(const struct rows *rows, Products__CreateProductRequest *out)
{
    int count = count_options(rows);

    out->options = arena_array(rows->arena, Products__Option *, PRODUCT_OPTIONS_MAX);
    out->n_options = (size_t)count;
    for (int i = 0; i < count; i++) {
        out->options[i] = message_new(rows->arena, &products_option_spec);
        out->options[i]->name = field_of(option_name(rows, i));
    }
}

static bool has_image(const Products__CreateProductRequest *out, str url)
{
    for (size_t i = 0; i < out->n_images; i++)
        if (str_equal(text_of(out->images[i]->url), url))
            return true;
    return false;
}

/* In the order of their positions; those without one last, as they come. */
static void add_images(const struct rows *rows, Products__CreateProductRequest *out)
{
    int64_t *positions = arena_array(rows->arena, int64_t, rows->count);

    out->images = arena_array(rows->arena, Products__Image *, rows->count);
    for (size_t i = 0; i < rows->count; i++) {
        const struct csv_row *row = &rows->rows[i];
        str url = field(rows, row, IMPORT_IMAGE);
        int64_t position;
        if (url.len == 0 || has_image(out, url))
            continue;
        if (!str_to_int64(field(rows, row, IMPORT_IMAGE_POSITION), 1, INT32_MAX, &position))
            position = INT64_MAX;

        Products__Image *image = message_new(rows->arena, &products_image_spec);
        image->url = field_of(url);
        image->alt = field_of(field(rows, row, IMPORT_IMAGE_ALT));
        size_t at = out->n_images++;
        for (; at > 0 && positions[at - 1] > position; at--) {
            positions[at] = positions[at - 1];
            out->images[at] = out->images[at - 1];
        }
        positions[at] = position;
        out->images[at] = image;
    }
}

/* ---- variants ---- */

/* What can be shown of a field in a report. */
static str shown(str value)
{
    return utf8_valid(value) && utf8_length(value) <= SHOWN_POINTS_MAX ? value : STR("…");
}

static err refuse(const struct rows *rows, const struct csv_row *row, enum import_column column)
{
    str value = shown(field(rows, row, column));

    return fail(rows->arena, IMPORT_INVALID, "line %d: %s cannot be \"%" STR_F "\"", row->line,
                COLUMNS[column].name, STR_A(value));
}

static err price_of(const struct rows *rows, const struct csv_row *row, Duka__Money **out)
{
    struct money money;

    if (money_parse(rows->arena, field(rows, row, IMPORT_PRICE), rows->currency, &money) != OK)
        return refuse(rows, row, IMPORT_PRICE);
    *out = field_of_money(rows->arena, money);
    return OK;
}

/* Nothing and zero are no price to compare with. */
static err compare_at_of(const struct rows *rows, const struct csv_row *row, Duka__Money **out)
{
    str value = field(rows, row, IMPORT_COMPARE_AT);
    struct money money;

    *out = NULL;
    if (value.len == 0)
        return OK;
    if (money_parse(rows->arena, value, rows->currency, &money) != OK)
        return refuse(rows, row, IMPORT_COMPARE_AT);
    if (money.minor > 0)
        *out = field_of_money(rows->arena, money);
    return OK;
}

/* Whole grams: what stands behind the point is dropped. */
static err grams_of(const struct rows *rows, const struct csv_row *row, int32_t *out)
{
    str rest = field(rows, row, IMPORT_GRAMS), whole = str_cut(&rest, '.');
    int64_t grams = 0, ignored = 0;

    bool fits = whole.len == 0 || str_to_int64(whole, 0, INT32_MAX, &grams);
    if (rest.len > 0)
        fits = fits && str_to_int64(rest, 0, INT64_MAX, &ignored);
    if (!fits)
        return refuse(rows, row, IMPORT_GRAMS);
    *out = (int32_t)grams;
    return OK;
}

/* Less than nothing, which Shopify has where a shop oversold, is nothing. */
static err quantity_of(const struct rows *rows, const struct csv_row *row, int64_t *out)
{
    str value = field(rows, row, IMPORT_QUANTITY);
    int64_t quantity = 0;

    if (value.len > 0 && !str_to_int64(value, INT32_MIN, INT32_MAX, &quantity))
        return refuse(rows, row, IMPORT_QUANTITY);
    *out = quantity > 0 ? quantity : 0;
    return OK;
}

static err variant_of(const struct rows *rows, const struct csv_row *row, size_t options_count,
                      Products__VariantInput *out)
{
    out->sku = field_of(field(rows, row, IMPORT_SKU));
    out->n_options = options_count;
    out->options = arena_array(rows->arena, ProtobufCBinaryData, PRODUCT_OPTIONS_MAX);
    for (size_t i = 0; i < options_count; i++)
        out->options[i] = field_of(option_value(rows, row, (int)i));
    TRY(price_of(rows, row, &out->price));
    TRY(compare_at_of(rows, row, &out->compare_at_price));
    out->barcode = field_of(field(rows, row, IMPORT_BARCODE));
    TRY(grams_of(rows, row, &out->weight_grams));
    out->image_url = field_of(field(rows, row, IMPORT_VARIANT_IMAGE));
    return quantity_of(rows, row, &out->on_hand);
}

static err add_variants(const struct rows *rows, Products__CreateProductRequest *out)
{
    out->variants = arena_array(rows->arena, Products__VariantInput *, rows->count);
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_variant(rows, i))
            continue;
        Products__VariantInput *variant = message_new(rows->arena, &products_variant_input_spec);
        TRY(variant_of(rows, &rows->rows[i], out->n_options, variant));
        out->variants[out->n_variants++] = variant;
    }
    return OK;
}

static err product_of_rows(const struct rows *rows, Products__CreateProductRequest *out)
{
    const struct csv_row *first = &rows->rows[0];
    str handle = product_handle_of(rows->arena, field(rows, first, IMPORT_HANDLE));

    if (handle.len == 0)
        handle = product_handle_of(rows->arena, field(rows, first, IMPORT_TITLE));
    out->handle = field_of(handle);
    out->title = field_of(field(rows, first, IMPORT_TITLE));
    out->description = field_of(without_controls(rows->arena, raw_of(rows, first, IMPORT_BODY)));
    out->vendor = field_of(field(rows, first, IMPORT_VENDOR));
    out->type = field_of(field(rows, first, IMPORT_TYPE));
    out->status = status_of(rows);
    add_tags(rows, out);
    add_options(rows, out);
    add_images(rows, out);
    return add_variants(rows, out);
}

/* ---- groups ---- */

static void add_row(struct rows *rows, const struct csv_row *row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : 8;
        rows->rows =
            arena_grow(rows->arena, rows->rows, rows->room * sizeof(*row), room * sizeof(*row));
        rows->room = room;
    }
    rows->rows[rows->count++] = *row;
}

/* The rows of a product have its handle; some files leave it away after the first. */
static bool belongs(const struct rows *rows, const struct csv_row *row)
{
    str handle = field(rows, row, IMPORT_HANDLE);

    if (handle.len == 0)
        return field(rows, row, IMPORT_TITLE).len == 0;
    return str_equal(handle, field(rows, &rows->rows[0], IMPORT_HANDLE));
}

/* Reads the rows of one product; *dropped counts those beyond IMPORT_ROWS_MAX. */
static err read_rows(struct rows *rows, const struct csv_window *window, struct csv_place *place,
                     size_t *dropped, enum csv_step *step)
{
    for (;;) {
        struct csv_place next = *place;
        struct csv_row row;
        TRY(csv_read(rows->arena, window, &next, &row, step));
        if (*step != CSV_ROW || (rows->count > 0 && !belongs(rows, &row)))
            return OK;
        if (rows->count < IMPORT_ROWS_MAX)
            add_row(rows, &row);
        else
            (*dropped)++;
        *place = next;
    }
}

err import_read(struct arena *arena, const struct import_columns *columns, struct currency currency,
                const struct csv_window *window, struct csv_place *place, struct import_group *out,
                enum csv_step *step)
{
    struct rows rows = { .arena = arena, .columns = columns, .currency = currency };
    struct csv_place next = *place;
    size_t dropped = 0;

    TRY(read_rows(&rows, window, &next, &dropped, step));
    if (*step == CSV_MORE || rows.count == 0)
        return OK;
    *step = CSV_ROW;
    *place = next;
    *out =
        (struct import_group){ .line = rows.rows[0].line,
                               .handle = shown(field(&rows, &rows.rows[0], IMPORT_HANDLE)),
                               .input = message_new(arena, &products_create_product_request_spec) };
    out->refused = product_of_rows(&rows, out->input);
    if (dropped > 0)
        out->refused = fail(arena, IMPORT_INVALID, "it has more than %d lines", IMPORT_ROWS_MAX);
    if (out->refused != OK)
        out->input = NULL;
    return OK;
}

/* ---- what stays ---- */

static bool lacks(const struct import_columns *columns, enum import_column column)
{
    return columns->at[column] < 0;
}

static const struct product_variant *find_by_options(const struct product *product,
                                                     const struct product_variant *like)
{
    for (size_t i = 0; i < product->variants_count; i++) {
        const struct product_variant *variant = &product->variants[i];
        size_t same = 0;
        if (variant->options_count != like->options_count)
            continue;
        while (same < like->options_count && str_equal(variant->options[same], like->options[same]))
            same++;
        if (same == like->options_count)
            return variant;
    }
    return NULL;
}

static void keep_variant(const struct import_columns *columns, const struct product *before,
                         struct product_variant *variant)
{
    const struct product_variant *old = variant->sku.len > 0
                                            ? product_find_variant(before, variant->sku)
                                            : find_by_options(before, variant);

    if (!old)
        return;
    variant->sku = old->sku;
    if (lacks(columns, IMPORT_COMPARE_AT))
        variant->compare_at_price = old->compare_at_price;
    if (lacks(columns, IMPORT_BARCODE))
        variant->barcode = old->barcode;
    if (lacks(columns, IMPORT_GRAMS))
        variant->weight_grams = old->weight_grams;
    if (lacks(columns, IMPORT_VARIANT_IMAGE))
        variant->image_url = old->image_url;
}

void import_keep(const struct import_columns *columns, const struct product *before,
                 struct product *after)
{
    after->id = before->id;
    after->created_at = before->created_at;
    after->categories = before->categories;
    after->categories_count = before->categories_count;
    if (lacks(columns, IMPORT_BODY))
        after->description = before->description;
    if (lacks(columns, IMPORT_VENDOR))
        after->vendor = before->vendor;
    if (lacks(columns, IMPORT_TYPE))
        after->type = before->type;
    if (lacks(columns, IMPORT_STATUS) && lacks(columns, IMPORT_PUBLISHED))
        after->status = before->status;
    if (lacks(columns, IMPORT_TAGS)) {
        after->tags = before->tags;
        after->tags_count = before->tags_count;
    }
    if (lacks(columns, IMPORT_IMAGE)) {
        after->images = before->images;
        after->images_count = before->images_count;
    }
    for (size_t i = 0; i < after->variants_count; i++)
        keep_variant(columns, before, &after->variants[i]);
}
