/* What each call of contracts/products/v1/products.proto does: read, decide, hand over one write.
 */
#include "chassis/answer_stream.h"
#include "chassis/audit.h"
#include "gen/duka.h"
#include "services/products/export.h"
#include "services/products/import.h"
#include "services/products/inside.h"
#include "services/products/search.h"
#include "services/products/view.h"

enum { PAGE_STANDARD = 20, LEDGER_PAGE_STANDARD = 50, IMPORT_LINES_STANDARD = 100 };

/* The place that a cursor names; none where there is no cursor. */
static err read_place(struct call *call, ProtobufCBinaryData after, str *out)
{
    *out = STR_NONE;
    return after.len > 0 ? cursor_read(call, text_of(after), out) : OK;
}

static ProtobufCBinaryData cursor_of(struct call *call, str place)
{
    return field_of(place.ptr ? cursor_write(call, place) : STR(""));
}

/* ---- products: reading ---- */

/* Drafts and what is archived are there for staff only. */
static err find_product(struct call *call, ProtobufCBinaryData id_or_handle,
                        struct product_found *out)
{
    struct db_reader *reader;

    TRY(call_reader(call, &reader));
    TRY(store_find_product(reader, call->arena, text_of(id_or_handle), out));
    if (!out->is_active && !identity_is_staff(&call->who))
        return fail(call->arena, NOT_FOUND, "no such product");
    return OK;
}

err products_get_product(struct products *self, struct call *call,
                         const Products__GetProductRequest *in)
{
    struct product_found found;
    void *document;

    (void)self;
    TRY(find_product(call, in->id, &found));
    TRY(message_unpack(call->arena, found.document, &products_product_spec, &document));
    call_etag(call, found.version);
    if (found.is_active)
        call_cacheable(call, found.id);
    return call_answer(call, document);
}

static err sort_of(struct call *call, const Products__ListProductsRequest *in,
                   enum product_sort *out)
{
    bool searches = in->q.len > 0;

    switch ((int)in->sort) {
    case PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_TITLE: *out = PRODUCT_BY_TITLE; return OK;
    case PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_PRICE: *out = PRODUCT_BY_PRICE; return OK;
    case PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_PRICE_DESCENDING:
        *out = PRODUCT_BY_PRICE_DESCENDING;
        return OK;
    case PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_NEWEST: *out = PRODUCT_BY_NEWEST; return OK;
    case PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_RELEVANCE:
        *out = PRODUCT_BY_RELEVANCE;
        if (!searches)
            return fail_field(call->arena, FIELD_INVALID, STR("/sort"),
                              "relevance is to what is searched for: give q too");
        return OK;
    default: *out = searches ? PRODUCT_BY_RELEVANCE : PRODUCT_BY_NEWEST; return OK;
    }
}

/* Which state's products are listed: only staff may ask for others than active ones. */
static err listed_status(struct call *call, const Products__ListProductsRequest *in,
                         enum product_status *out)
{
    *out = in->status ? (enum product_status)in->status : PRODUCT_ACTIVE;
    if (*out == PRODUCT_ACTIVE || identity_is_staff(&call->who))
        return OK;
    enum err_code code = call->who.is_key  ? SCOPE_MISSING
                         : call->who.known ? ROLE_MISSING
                                           : TOKEN_MISSING;
    return fail(call->arena, code, "only staff may list %" STR_F " products",
                STR_A(product_status_word(*out)));
}

static err list_of(struct call *call, const Products__ListProductsRequest *in,
                   struct product_list *out)
{
    *out = (struct product_list){ .category = text_of(in->category),
                                  .tag = text_of(in->tag),
                                  .vendor = text_of(in->vendor),
                                  .type = text_of(in->type),
                                  .price_min = in->price_min,
                                  .price_max = in->price_max ? in->price_max : INT64_MAX,
                                  .availability = (enum availability)in->availability,
                                  .query = in->q.len > 0 ? search_query(call->arena, text_of(in->q))
                                                         : STR_NONE,
                                  .rows_max = in->limit ? in->limit : PAGE_STANDARD };
    TRY(sort_of(call, in, &out->sort));
    TRY(listed_status(call, in, &out->status));
    return read_place(call, in->after, &out->position);
}

err products_list_products(struct products *self, struct call *call,
                           const Products__ListProductsRequest *in)
{
    Products__ProductList *out = message_new(call->arena, &products_product_list_spec);
    struct product_list list;
    struct db_reader *reader;
    str next;

    (void)self;
    TRY(list_of(call, in, &list));
    if (in->q.len > 0 && !list.query.ptr)
        return call_answer(call, out); /* no word in what is searched for */
    TRY(call_reader(call, &reader));
    TRY(store_list_products(reader, call->arena, &list, out, &next));
    out->next = cursor_of(call, next);
    return call_answer(call, out);
}

/* ---- products: writing ---- */

void give_ids(struct call *call, struct product *product)
{
    for (size_t i = 0; i < product->variants_count; i++) {
        struct product_variant *variant = &product->variants[i];
        if (uuid_is_nil(variant->id))
            variant->id = call_new_id(call);
        if (variant->on_hand > 0)
            variant->opening_id = call_new_id(call);
    }
}

static const void *saved_product(struct arena *arena, const void *subject)
{
    (void)arena;
    return ((const struct product_save *)subject)->document;
}

static struct product_save *new_save(struct products *self, struct call *call,
                                     struct product *product, const struct product *before)
{
    struct product_save *save = arena_new(call->arena, struct product_save);

    *save = (struct product_save){ .product = product,
                                   .before = before,
                                   .stock_low = self->stock_low,
                                   .refuses_quantities_of_stocked = true };
    call_write(call, &store_save_products, save);
    return save;
}

err products_create_product(struct products *self, struct call *call,
                            const Products__CreateProductRequest *in)
{
    struct product *product = arena_new(call->arena, struct product);

    product_of_create(call->arena, in, product);
    if (!product_may_become(PRODUCT_NEW, product->status))
        return fail_field(call->arena, PRODUCT_INVALID, STR("/status"),
                          "a product begins as draft or active");
    TRY(product_complete(call->arena, product));
    product->id = call_new_id(call);
    product->version = 1;
    product->created_at = product->updated_at = call->now;
    give_ids(call, product);

    struct product_save *save = new_save(self, call, product, NULL);
    save->refuses_unknown_categories = true;
    call_etag(call, product->version);
    return call_answer_with(call, &saved_product, save);
}

/* A product to be changed: as it is, and a copy that will be changed. */
static err open_product(struct call *call, ProtobufCBinaryData id_or_handle,
                        const Products__Product **document, struct product **before,
                        struct product **after)
{
    struct product_found found;
    void *unpacked;

    TRY(find_product(call, id_or_handle, &found));
    TRY(call_if_match(call, found.version));
    TRY(message_unpack(call->arena, found.document, &products_product_spec, &unpacked));
    *document = unpacked;
    *before = arena_new(call->arena, struct product);
    *after = arena_new(call->arena, struct product);
    product_of_document(call->arena, unpacked, *before);
    product_of_document(call->arena, unpacked, *after);
    return OK;
}

static bool has_quantity(const struct product *product)
{
    for (size_t i = 0; i < product->variants_count; i++)
        if (product->variants[i].on_hand > 0)
            return true;
    return false;
}

err products_update_product(struct products *self, struct call *call,
                            const Products__UpdateProductRequest *in)
{
    const Products__Product *document;
    struct product *before, *after;

    TRY(open_product(call, in->id, &document, &before, &after));
    product_patch(call->arena, in, after);
    if (!product_may_become(before->status, after->status))
        return fail_field(call->arena, PRODUCT_INVALID, STR("/status"), "it cannot become %" STR_F,
                          STR_A(product_status_word(after->status)));
    TRY(product_complete(call->arena, after));
    product_keep_variants(before, after);
    if (product_is_same(call->arena, before, after) && !has_quantity(after)) {
        call_etag(call, before->version);
        return call_answer(call, document);
    }
    after->version = before->version + 1;
    after->updated_at = call->now;
    give_ids(call, after);

    struct product_save *save = new_save(self, call, after, before);
    save->refuses_unknown_categories =
        message_names(in, &products_update_product_request_spec, "categories");
    call_etag(call, after->version);
    return call_answer_with(call, &saved_product, save);
}

err products_delete_product(struct products *self, struct call *call,
                            const Products__DeleteProductRequest *in)
{
    const Products__Product *document;
    struct product *before, *after;

    TRY(open_product(call, in->id, &document, &before, &after));
    if (before->status != PRODUCT_ARCHIVED) {
        ASSERT(product_may_become(before->status, PRODUCT_ARCHIVED));
        after->status = PRODUCT_ARCHIVED;
        after->version = before->version + 1;
        after->updated_at = call->now;
        new_save(self, call, after, before);
    }
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

/* ---- categories ---- */

static const void *saved_category(struct arena *arena, const void *subject)
{
    (void)arena;
    return ((const struct category_save *)subject)->saved;
}

err products_list_categories(struct products *self, struct call *call,
                             const Products__ListCategoriesRequest *in)
{
    Products__CategoryList *out = message_new(call->arena, &products_category_list_spec);
    struct db_reader *reader;

    (void)self;
    (void)in;
    TRY(call_reader(call, &reader));
    TRY(store_list_categories(reader, call->arena, out));
    return call_answer(call, out);
}

err products_create_category(struct products *self, struct call *call,
                             const Products__CreateCategoryRequest *in)
{
    struct category_save *save = arena_new(call->arena, struct category_save);

    (void)self;
    *save =
        (struct category_save){ .id = call_new_id(call),
                                .is_new = true,
                                .handle = in->handle.len > 0
                                              ? text_of(in->handle)
                                              : product_handle_of(call->arena, text_of(in->name)),
                                .name = text_of(in->name),
                                .parent = text_of(in->parent) };
    if (save->handle.len == 0)
        return fail_field(call->arena, FIELD_INVALID, STR("/handle"),
                          "give a handle: the name has no letters to make one of");
    call_write(call, &store_save_categories, save);
    return call_answer_with(call, &saved_category, save);
}

static str named(const Products__UpdateCategoryRequest *in, const char *member,
                 ProtobufCBinaryData field)
{
    if (!message_names(in, &products_update_category_request_spec, member))
        return STR_NONE;
    return field.len > 0 ? text_of(field) : STR("");
}

err products_update_category(struct products *self, struct call *call,
                             const Products__UpdateCategoryRequest *in)
{
    struct category_save *save = arena_new(call->arena, struct category_save);

    (void)self;
    *save = (struct category_save){ .id = uuid_of_field(in->id),
                                    .handle = named(in, "handle", in->handle),
                                    .name = named(in, "name", in->name),
                                    .parent = named(in, "parent", in->parent) };
    call_write(call, &store_save_categories, save);
    return call_answer_with(call, &saved_category, save);
}

err products_delete_category(struct products *self, struct call *call,
                             const Products__DeleteCategoryRequest *in)
{
    struct uuid *id = arena_new(call->arena, struct uuid);

    (void)self;
    *id = uuid_of_field(in->id);
    call_write(call, &store_delete_categories, id);
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

/* ---- imports ---- */

/* The job finds it only once it is on disk. */
static void start_import(struct write *write)
{
    const struct products *self = write->after_subject;
    timer_poke(self->imports);
}

/* Its first line tells whether there is anything to work on. */
static err check_file(struct call *call, const struct import_start *start)
{
    struct import_found file = { .id = start->id, .bytes = start->bytes };
    struct csv_window window = { .is_last = true };
    struct import_columns columns;
    struct db_reader *reader;

    TRY(call_reader(call, &reader));
    if (start->bytes > 0)
        TRY(store_read_file(reader, call->arena, &file, 0, SPOOL_CHUNK_BYTES, &window));
    return import_check(call->arena, &window, &columns);
}

err products_create_import(struct products *self, struct call *call,
                           const Products__CreateImportRequest *in)
{
    struct import_start *start = arena_new(call->arena, struct import_start);

    *start = (struct import_start){ .id = call->spool.id,
                                    .bytes = call->spool.bytes,
                                    .currency = self->currency,
                                    .now = call->now };
    if (in->currency.len > 0)
        TRY(currency_parse(call->arena, text_of(in->currency), &start->currency));
    TRY(check_file(call, start));
    struct write *write = call_write(call, &store_start_imports, start);
    write->after = start_import;
    write->after_subject = self;
    return call_answer(call, import_view(call->arena, start->id, start->bytes, start->now));
}

err products_get_import(struct products *self, struct call *call,
                        const Products__GetImportRequest *in)
{
    Products__Import *out = message_new(call->arena, &products_import_spec);
    int32_t rows_max = in->limit ? in->limit : IMPORT_LINES_STANDARD;
    struct db_reader *reader;
    str place, next;

    (void)self;
    TRY(read_place(call, in->after, &place));
    TRY(call_reader(call, &reader));
    TRY(store_read_import(reader, call->arena, uuid_of_field(in->id), place, rows_max, out, &next));
    out->next = cursor_of(call, next);
    return call_answer(call, out);
}

/* ---- stock ---- */

err products_get_stock(struct products *self, struct call *call,
                       const Products__GetStockRequest *in)
{
    struct db_reader *reader;
    struct stock_units units;
    time_us updated_at;

    (void)self;
    TRY(call_reader(call, &reader));
    TRY(store_find_stock(reader, call->arena, text_of(in->sku), &units, &updated_at));
    call_etag(call, units.version);
    return call_answer(call, stock_view(call->arena, text_of(in->sku), units, updated_at));
}

static const void *adjusted_stock(struct arena *arena, const void *subject)
{
    const struct stock_change *change = subject;

    return stock_view(arena, change->sku, change->units, change->at);
}

/* The word of a reason, as it stands in the ledger. */
static str reason_word(Products__AdjustmentReason reason)
{
    const struct enum_spec *spec = &products_adjustment_reason_spec;

    for (unsigned i = 0; i < spec->descriptor->n_values; i++)
        if (spec->descriptor->values[i].value == (int)reason)
            return str_of_z(spec->words[i]);
    panic(ERR_PLACE, "the validator lets known words pass", __func__);
}

static void count_stock_outs(struct write *write)
{
    const struct products *self = write->after_subject;
    const struct stock_change *change = write->subject;
    series_add(self->stock_outs, change->stock_outs);
}

err products_adjust_stock(struct products *self, struct call *call,
                          const Products__AdjustStockRequest *in)
{
    struct stock_change *change = arena_new(call->arena, struct stock_change);

    *change = (struct stock_change){ .sku = text_of(in->sku),
                                     .reason = reason_word(in->reason),
                                     .note = in->note.len > 0 ? text_of(in->note) : STR_NONE,
                                     .entry_id = call_new_id(call),
                                     .actor = call->who.user,
                                     .stock_low = self->stock_low };
    TRY(adjustment_of(call->arena, in, &change->adjustment));
    struct write *write = call_write(call, &store_adjust_stock, change);
    write->after = count_stock_outs;
    write->after_subject = self;
    return call_answer_with(call, &adjusted_stock, change);
}

err products_list_ledger(struct products *self, struct call *call,
                         const Products__ListLedgerRequest *in)
{
    Products__LedgerList *out = message_new(call->arena, &products_ledger_list_spec);
    int32_t rows_max = in->limit ? in->limit : LEDGER_PAGE_STANDARD;
    struct db_reader *reader;
    str place, next;

    (void)self;
    TRY(read_place(call, in->after, &place));
    TRY(call_reader(call, &reader));
    TRY(store_list_ledger(reader, call->arena, text_of(in->sku), place, rows_max, out, &next));
    out->next = cursor_of(call, next);
    return call_answer(call, out);
}

/* ---- neighbours ---- */

err products_quote(struct products *self, struct call *call, const Products__QuoteRequest *in)
{
    Products__QuoteResponse *out = message_new(call->arena, &products_quote_response_spec);
    struct db_reader *reader;

    (void)self;
    TRY(call_reader(call, &reader));
    out->items = arena_array(call->arena, Products__Quoted *, in->n_skus + 1);
    for (size_t i = 0; i < in->n_skus; i++) {
        Products__Quoted *quoted;
        bool known;
        TRY(store_quote(reader, call->arena, text_of(in->skus[i]), &quoted, &known));
        if (known)
            out->items[out->n_items++] = quoted;
    }
    return call_answer(call, out);
}

/* ---- the export ---- */

enum { EXPORT_ROWS_MAX = 8, EXPORT_ARENA_BYTES = 8 * 1024 * 1024 };

static err export_piece(void *subject, struct call *job, void *state, struct text *out, bool *more)
{
    int64_t *number = state; /* of the product behind which it goes on; 0: at the beginning */
    struct export_page page = { .number = *number };
    struct db_reader *reader;

    (void)subject;
    if (*number == 0)
        export_header(out);
    TRY(call_reader(job, &reader));
    do {
        TRY(store_read_export(reader, job->arena, EXPORT_ROWS_MAX, &page));
        for (size_t i = 0; i < page.count; i++)
            export_product(job->arena, out, page.products[i], page.quantities[i]);
    } while (page.count == EXPORT_ROWS_MAX && out->len < ANSWER_PIECE_BYTES &&
             arena_used(job->arena) < EXPORT_ARENA_BYTES);
    *number = page.number;
    *more = page.count == EXPORT_ROWS_MAX;
    return OK;
}

err products_export_products(struct products *self, struct call *call,
                             const Products__ExportProductsRequest *in)
{
    (void)self;
    (void)in;
    return call_answer_stream(call, "products.csv", export_piece, arena_new(call->arena, int64_t));
}

/* ---- the audit trail ---- */

err products_list_audit(struct products *self, struct call *call, const Duka__ListAuditRequest *in)
{
    (void)self;
    return audit_answer(call, in);
}
