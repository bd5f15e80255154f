/* Products, variants and categories in tables. */
#include "gen/products.sql.h"
#include "services/products/search.h"
#include "services/products/store.h"
#include "services/products/view.h"

/* ---- finding ---- */

err store_find_product(struct db_reader *reader, struct arena *arena, str id_or_handle,
                       struct product_found *out)
{
    struct sql_product_by_id_row by_id;
    struct sql_product_by_handle_row by_handle;
    struct uuid id;
    bool found;

    if (uuid_parse(id_or_handle, &id)) {
        TRY(sql_product_by_id(reader, arena, &(struct sql_product_by_id){ id }, &by_id, &found));
        *out = (struct product_found){ by_id.id, str_equal(by_id.status, STR("active")),
                                       by_id.version, by_id.document };
    } else {
        TRY(sql_product_by_handle(reader, arena, &(struct sql_product_by_handle){ id_or_handle },
                                  &by_handle, &found));
        *out = (struct product_found){ by_handle.id, str_equal(by_handle.status, STR("active")),
                                       by_handle.version, by_handle.document };
    }
    return found ? OK : fail(arena, NOT_FOUND, "no such product");
}

/* ---- saving a product: everything is looked at first, then written ---- */

/* What the tables say of a variant's SKU. */
struct variant_rows {
    struct sql_variant_by_sku_row old;
    bool is_old;
    struct stock_level level;
};

struct saving {
    struct tx *tx;
    struct write *write;
    struct product_save *save;
    struct product *product;
    int64_t number;            /* of the row; 0: a new one */
    struct variant_rows *rows; /* of product->variants */
    struct uuid *categories;
    size_t categories_count;
    err refused;
};

static struct arena *words_arena(const struct saving *saving) { return saving->write->arena; }

static err look_at_identity(struct saving *saving)
{
    const struct product *product = saving->product;
    struct sql_product_holder_row holder;
    bool found;

    TRY(sql_tx_product_holder(saving->tx, &(struct sql_product_holder){ product->handle }, &holder,
                              &found));
    if (found && !uuid_equal(holder.id, product->id)) {
        saving->refused =
            fail_field(words_arena(saving), HANDLE_TAKEN, STR("/handle"),
                       "another product has the handle %" STR_F, STR_A(product->handle));
        return OK;
    }
    if (!saving->save->before)
        return OK;

    struct sql_product_state_row state;
    TRY(sql_tx_product_state(saving->tx, &(struct sql_product_state){ product->id }, &state,
                             &found));
    if (!found || state.version != saving->save->before->version)
        saving->refused = fail(words_arena(saving), VERSION_CONFLICT, "the product has changed");
    saving->number = found ? state.number : 0;
    return OK;
}

static err look_at_variant(struct saving *saving, size_t i)
{
    struct product_variant *variant = &saving->product->variants[i];
    struct variant_rows *rows = &saving->rows[i];

    TRY(sql_tx_variant_by_sku(saving->tx, &(struct sql_variant_by_sku){ variant->sku }, &rows->old,
                              &rows->is_old));
    TRY(store_read_level(saving->tx, variant->sku, &rows->level));
    if (rows->is_old && rows->old.present && !uuid_equal(rows->old.product, saving->product->id))
        saving->refused = fail_field(words_arena(saving), SKU_TAKEN,
                                     str_format(words_arena(saving), "/variants/%zu/sku", i),
                                     "another product has the SKU %" STR_F, STR_A(variant->sku));
    else if (rows->level.known && variant->on_hand > 0 &&
             saving->save->refuses_quantities_of_stocked)
        saving->refused =
            fail_field(words_arena(saving), PRODUCT_INVALID,
                       str_format(words_arena(saving), "/variants/%zu/on_hand", i),
                       "%" STR_F " has a stock already: adjust it", STR_A(variant->sku));
    int64_t available = rows->level.known ? stock_available(&rows->level) : variant->on_hand;
    variant->availability = stock_availability(available, saving->save->stock_low);
    return OK;
}

/* Handles of categories are names of rows; those that are gone are dropped, or refused. */
static err look_at_categories(struct saving *saving)
{
    struct product *product = saving->product;
    str *kept = arena_array(words_arena(saving), str, product->categories_count + 1);
    size_t count = 0;

    saving->categories = arena_array(saving->tx->arena, struct uuid, product->categories_count + 1);
    for (size_t i = 0; i < product->categories_count; i++) {
        struct sql_category_holder_row row;
        bool found;
        TRY(sql_tx_category_holder(
            saving->tx, &(struct sql_category_holder){ product->categories[i] }, &row, &found));
        if (found) {
            saving->categories[count] = row.id;
            kept[count++] = product->categories[i];
        } else if (saving->save->refuses_unknown_categories) {
            saving->refused =
                fail_field(words_arena(saving), PRODUCT_INVALID,
                           str_format(words_arena(saving), "/categories/%zu", i),
                           "there is no category %" STR_F, STR_A(product->categories[i]));
        }
    }
    product->categories = kept;
    product->categories_count = saving->categories_count = count;
    return OK;
}

static err look(struct saving *saving)
{
    TRY(look_at_identity(saving));
    for (size_t i = 0; saving->refused == OK && i < saving->product->variants_count; i++)
        TRY(look_at_variant(saving, i));
    if (saving->refused == OK)
        TRY(look_at_categories(saving));
    return OK;
}

static err write_product(struct saving *saving)
{
    const struct product *product = saving->product;
    Products__Product *document = product_document(words_arena(saving), product);
    struct sql_product_insert row = {
        .id = product->id,
        .handle = product->handle,
        .status = product_status_word(product->status),
        .price_minor = product_lowest_price(product).minor,
        .availability = product_availability_bits(product),
        .version = product->version,
        .document = message_pack(saving->tx->arena, document),
    };
    struct sql_product_update changed = { row.id,          row.handle,       row.status,
                                          row.price_minor, row.availability, row.version,
                                          row.document };
    struct sql_product_state_row state;
    bool found;

    saving->save->document = document;
    tx_note_change(saving->tx, product->id);
    if (saving->number > 0)
        return sql_product_update(saving->tx, &changed, NULL);
    TRY(sql_product_insert(saving->tx, &row, NULL));
    TRY(sql_tx_product_state(saving->tx, &(struct sql_product_state){ product->id }, &state,
                             &found));
    ASSERT(found);
    saving->number = state.number;
    return OK;
}

/* The product under a facet, as lists find it. */
static void add_listing(struct sql_listing_add *rows, size_t *count, str facet)
{
    rows[*count] = rows[0];
    rows[(*count)++].facet = facet;
}

static err write_listings(struct saving *saving)
{
    const struct product *product = saving->product;
    struct arena *arena = saving->tx->arena;
    bool is_archived = product->status == PRODUCT_ARCHIVED;
    struct sql_listing_add *rows = arena_array(arena, struct sql_listing_add,
                                               product->tags_count + saving->categories_count + 3);
    size_t count = 1;

    rows[0] = (struct sql_listing_add){ .facet = STR("all"),
                                        .status = product_status_word(product->status),
                                        .product = saving->number,
                                        .title_key = product_key(arena, product->title),
                                        .price_minor = product_lowest_price(product).minor };
    for (size_t i = 0; !is_archived && i < saving->categories_count; i++)
        add_listing(rows, &count,
                    product_facet(arena, "category", uuid_text(arena, saving->categories[i])));
    for (size_t i = 0; i < product->tags_count; i++)
        add_listing(rows, &count, product_facet(arena, "tag", product->tags[i]));
    if (product->vendor.len > 0)
        add_listing(rows, &count, product_facet(arena, "vendor", product->vendor));
    if (product->type.len > 0)
        add_listing(rows, &count, product_facet(arena, "type", product->type));
    TRY(sql_listings_clear(saving->tx, &(struct sql_listings_clear){ saving->number }, NULL));
    return sql_listing_add_many(saving->tx, rows, count, NULL);
}

static err write_categories(struct saving *saving)
{
    bool is_archived = saving->product->status == PRODUCT_ARCHIVED;

    TRY(sql_product_categories_clear(
        saving->tx, &(struct sql_product_categories_clear){ saving->number }, NULL));
    for (size_t i = 0; !is_archived && i < saving->categories_count; i++)
        TRY(sql_product_category_add(
            saving->tx, &(struct sql_product_category_add){ saving->categories[i], saving->number },
            NULL));
    return OK;
}

/* As they are indexed. */
static str joined(struct arena *arena, const str *texts, size_t count)
{
    struct text out = text_init(arena, 64);

    for (size_t i = 0; i < count; i++) {
        text_add(&out, search_words(arena, texts[i]));
        text_add_byte(&out, ' ');
    }
    return text_str(&out);
}

static err write_words(struct saving *saving)
{
    const struct product *product = saving->product;
    struct arena *arena = saving->tx->arena;
    str *skus = arena_array(arena, str, product->variants_count);

    for (size_t i = 0; i < product->variants_count; i++)
        skus[i] = product->variants[i].sku;
    struct sql_words_add row = { .product = saving->number,
                                 .title = joined(arena, &product->title, 1),
                                 .tags = joined(arena, product->tags, product->tags_count),
                                 .sku = joined(arena, skus, product->variants_count),
                                 .vendor = joined(arena, &product->vendor, 1),
                                 .kind = joined(arena, &product->type, 1),
                                 .description = joined(arena, &product->description, 1) };
    TRY(sql_words_clear(saving->tx, &(struct sql_words_clear){ saving->number }, NULL));
    return sql_words_add(saving->tx, &row, NULL);
}

/* ---- variants, and what is announced of them ---- */

static bool says_the_same(const struct sql_variant_by_sku_row *a, const struct sql_variant_save *b)
{
    return uuid_equal(a->product, b->product) && str_equal(a->title, b->title) &&
           str_equal(a->variant_title, b->variant_title) && a->price_minor == b->price_minor &&
           currency_equal(a->currency, b->currency) && a->for_sale == b->for_sale;
}

/* Saves a variant's row under its next number and announces it, if neighbours should know. */
static err write_variant(struct saving *saving, const struct variant_rows *rows,
                         struct sql_variant_save *row)
{
    bool is_news = !rows->is_old || !says_the_same(&rows->old, row);

    row->number = (rows->is_old ? rows->old.number : 0) + is_news;
    if (is_news)
        write_announce(saving->write, &products_event_variant_priced,
                       variant_priced_of(words_arena(saving), row->sku, row->number, row->product,
                                         row->title, row->variant_title,
                                         (struct money){ row->price_minor, row->currency },
                                         row->for_sale));
    else if (rows->old.present == row->present && uuid_equal(rows->old.id, row->id))
        return OK;
    return sql_variant_save(saving->tx, row, NULL);
}

static err write_variants(struct saving *saving)
{
    const struct product *product = saving->product;

    for (size_t i = 0; i < product->variants_count; i++) {
        const struct product_variant *variant = &product->variants[i];
        struct sql_variant_save row = {
            .sku = variant->sku,
            .id = variant->id,
            .product = product->id,
            .present = true,
            .title = product->title,
            .variant_title = product_variant_title(saving->tx->arena, variant),
            .price_minor = variant->price.minor,
            .currency = variant->price.currency,
            .for_sale = product_is_for_sale(product),
        };
        TRY(write_variant(saving, &saving->rows[i], &row));
        if (!saving->rows[i].level.known)
            TRY(store_open_stock(saving->tx, variant));
    }
    return OK;
}

/* A variant that the product has no more is not for sale; its stock and ledger stay. */
static err write_dropped_variants(struct saving *saving)
{
    const struct product *before = saving->save->before;

    for (size_t i = 0; before && i < before->variants_count; i++) {
        str sku = before->variants[i].sku;
        struct variant_rows rows = { 0 };
        if (product_find_variant(saving->product, sku))
            continue;
        TRY(sql_tx_variant_by_sku(saving->tx, &(struct sql_variant_by_sku){ sku }, &rows.old,
                                  &rows.is_old));
        ASSERT(rows.is_old);
        struct sql_variant_save row = { sku,
                                        rows.old.id,
                                        rows.old.product,
                                        false,
                                        rows.old.title,
                                        rows.old.variant_title,
                                        rows.old.price_minor,
                                        rows.old.currency,
                                        false,
                                        0 };
        TRY(write_variant(saving, &rows, &row));
    }
    return OK;
}

err store_save_product(struct tx *tx, struct write *write, struct product_save *save, err *outcome)
{
    struct saving saving = { .tx = tx, .write = write, .save = save, .product = save->product };

    ASSERT(save->product->version > 0 && !uuid_is_nil(save->product->id));
    saving.rows = arena_array(tx->arena, struct variant_rows, save->product->variants_count + 1);
    TRY(look(&saving));
    *outcome = saving.refused;
    if (saving.refused != OK)
        return OK;
    TRY(write_product(&saving));
    TRY(write_listings(&saving));
    TRY(write_categories(&saving));
    TRY(write_words(&saving));
    TRY(write_variants(&saving));
    return write_dropped_variants(&saving);
}

err store_save_products(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++)
        TRY(store_save_product(tx, writes[i], writes[i]->subject, &outcomes[i]));
    return OK;
}

/* ---- what a product shows ---- */

err store_show_availability(struct tx *tx, str sku, enum availability availability)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    struct sql_variant_by_sku_row variant;
    struct sql_product_by_id_row row;
    bool found;
    void *unpacked;

    TRY(sql_tx_variant_by_sku(tx, &(struct sql_variant_by_sku){ sku }, &variant, &found));
    if (!found || !variant.present)
        return OK;
    TRY(sql_tx_product_by_id(tx, &(struct sql_product_by_id){ variant.product }, &row, &found));
    ASSERT(found);
    TRY(message_unpack(tx->arena, row.document, &products_product_spec, &unpacked));
    Products__Product *document = unpacked;
    if (!document_set_availability(document, sku, availability))
        return OK;
    document->version = row.version + 1;
    tx_note_change(tx, row.id);
    struct sql_product_redraw redraw = { row.id, document_availability_bits(document),
                                         document->version, message_pack(tx->arena, document) };
    return sql_product_redraw(tx, &redraw, NULL);
}

/* ---- prices ---- */

err store_quote(struct db_reader *reader, struct arena *arena, str sku, Products__Quoted **out,
                bool *known)
{
    struct sql_variant_by_sku_row row;

    TRY(sql_variant_by_sku(reader, arena, &(struct sql_variant_by_sku){ sku }, &row, known));
    if (!*known)
        return OK;
    Products__Quoted *quoted = message_new(arena, &products_quoted_spec);
    quoted->sku = field_of(sku);
    quoted->product_id = field_of_uuid(arena, row.product);
    quoted->title = field_of(row.title);
    quoted->variant_title = field_of(row.variant_title);
    quoted->price = field_of_money(arena, (struct money){ row.price_minor, row.currency });
    quoted->for_sale = row.for_sale;
    quoted->number = row.number;
    *out = quoted;
    return OK;
}
