/* Pages of products: one statement for each order, each along its own index. */
#include "gen/products.sql.h"
#include "services/products/store.h"

enum {
    ANY_AVAILABILITY = 1 << AVAILABILITY_IN_STOCK | 1 << AVAILABILITY_LOW | 1 << AVAILABILITY_OUT
};

enum { FACETS_MAX = 4 };

/* What every list has in common, as the statements take it. */
struct filters {
    str facets[FACETS_MAX]; /* the first drives, the others filter; none: no more of them */
    int facets_count;
    str status;
    int64_t price_min, price_max;
    int32_t bits;
    str query;
    int32_t rows_max; /* one more than the page: tells whether there is a next one */
};

/* Where a page begins: the number of a product and what it is sorted by. */
struct place {
    int64_t number;
    str key;      /* by title */
    int64_t rank; /* by price or score */
};

/* Rows of any list: documents, and the place of each. */
struct rows {
    str *documents;
    struct place *places;
    size_t count;
};

static struct rows rows_of(struct arena *arena, size_t count)
{
    return (struct rows){ .documents = arena_array(arena, str, count + 1),
                          .places = arena_array(arena, struct place, count + 1),
                          .count = count };
}

/* ---- positions: "number key" ---- */

static str position_of(struct arena *arena, enum product_sort sort, const struct place *place)
{
    if (sort == PRODUCT_BY_TITLE)
        return str_format(arena, "%lld %" STR_F, (long long)place->number, STR_A(place->key));
    return str_format(arena, "%lld %lld", (long long)place->number, (long long)place->rank);
}

/* Before the first of all, in each order. */
static struct place first_place(enum product_sort sort)
{
    bool descends = sort == PRODUCT_BY_NEWEST || sort == PRODUCT_BY_PRICE_DESCENDING ||
                    sort == PRODUCT_BY_RELEVANCE;

    return (struct place){ .number = descends ? INT64_MAX : -1,
                           .key = STR(""),
                           .rank = descends ? INT64_MAX : -1 };
}

static err place_of(struct arena *arena, const struct product_list *list, struct place *out)
{
    *out = first_place(list->sort);
    if (!list->position.ptr)
        return OK;

    str rest = list->position, number = str_cut(&rest, ' ');
    bool fits = str_to_int64(number, 0, INT64_MAX, &out->number) && rest.ptr;
    if (list->sort == PRODUCT_BY_TITLE)
        out->key = rest;
    else
        fits = fits && str_to_int64(rest, INT64_MIN, INT64_MAX, &out->rank);
    return fits ? OK : fail(arena, CURSOR_INVALID, "it names no place in this list");
}

/* ---- filters ---- */

static void add_facet(struct arena *arena, struct filters *filters, const char *kind, str word)
{
    if (word.len > 0)
        filters->facets[filters->facets_count++] = product_facet(arena, kind, word);
}

/* Categories drive before tags, tags before vendors, vendors before types: mostly the fewest first.
 * *nothing tells that no product can pass: there is no such category. */
static err add_facets(struct db_reader *reader, struct arena *arena,
                      const struct product_list *list, struct filters *out, bool *nothing)
{
    struct sql_category_holder_row category;
    bool found = true;

    if (list->category.len > 0) {
        TRY(sql_category_holder(reader, arena, &(struct sql_category_holder){ list->category },
                                &category, &found));
        add_facet(arena, out, "category", uuid_text(arena, category.id));
    }
    add_facet(arena, out, "tag", list->tag);
    add_facet(arena, out, "vendor", list->vendor);
    add_facet(arena, out, "type", list->type);
    if (out->facets_count == 0)
        out->facets[0] = STR("all");
    *nothing = !found;
    return OK;
}

static struct filters filters_of(const struct product_list *list)
{
    return (struct filters){ .status = product_status_word(list->status),
                             .price_min = list->price_min,
                             .price_max = list->price_max,
                             .bits =
                                 list->availability ? 1 << list->availability : ANY_AVAILABILITY,
                             .query = list->query,
                             .rows_max = list->rows_max + 1 };
}

/* ---- one for each order ---- */

static err read_newest(struct db_reader *reader, struct arena *arena, const struct filters *f,
                       const struct place *from, struct rows *out)
{
    struct sql_list_newest query = { f->facets[0], f->status, from->number, f->price_min,
                                     f->price_max, f->bits,   f->facets[1], f->facets[2],
                                     f->facets[3], f->query,  f->rows_max };
    struct sql_list_newest_row *rows;
    size_t count;

    TRY(sql_list_newest(reader, arena, &query, &rows, &count));
    *out = rows_of(arena, count);
    for (size_t i = 0; i < count; i++) {
        out->documents[i] = rows[i].document;
        out->places[i] = (struct place){ .number = rows[i].number };
    }
    return OK;
}

static err read_by_title(struct db_reader *reader, struct arena *arena, const struct filters *f,
                         const struct place *from, struct rows *out)
{
    struct sql_list_by_title query = { f->facets[0], f->status,    from->key, from->number,
                                       f->price_min, f->price_max, f->bits,   f->facets[1],
                                       f->facets[2], f->facets[3], f->query,  f->rows_max };
    struct sql_list_by_title_row *rows;
    size_t count;

    TRY(sql_list_by_title(reader, arena, &query, &rows, &count));
    *out = rows_of(arena, count);
    for (size_t i = 0; i < count; i++) {
        out->documents[i] = rows[i].document;
        out->places[i] = (struct place){ .number = rows[i].number, .key = rows[i].title_key };
    }
    return OK;
}

static err read_cheapest(struct db_reader *reader, struct arena *arena, const struct filters *f,
                         const struct place *from, struct rows *out)
{
    struct sql_list_cheapest query = { f->facets[0], f->status,    from->rank, from->number,
                                       f->price_min, f->price_max, f->bits,    f->facets[1],
                                       f->facets[2], f->facets[3], f->query,   f->rows_max };
    struct sql_list_cheapest_row *rows;
    size_t count;

    TRY(sql_list_cheapest(reader, arena, &query, &rows, &count));
    *out = rows_of(arena, count);
    for (size_t i = 0; i < count; i++) {
        out->documents[i] = rows[i].document;
        out->places[i] = (struct place){ .number = rows[i].number, .rank = rows[i].price_minor };
    }
    return OK;
}

static err read_dearest(struct db_reader *reader, struct arena *arena, const struct filters *f,
                        const struct place *from, struct rows *out)
{
    struct sql_list_dearest query = { f->facets[0], f->status,    from->rank, from->number,
                                      f->price_min, f->price_max, f->bits,    f->facets[1],
                                      f->facets[2], f->facets[3], f->query,   f->rows_max };
    struct sql_list_dearest_row *rows;
    size_t count;

    TRY(sql_list_dearest(reader, arena, &query, &rows, &count));
    *out = rows_of(arena, count);
    for (size_t i = 0; i < count; i++) {
        out->documents[i] = rows[i].document;
        out->places[i] = (struct place){ .number = rows[i].number, .rank = rows[i].price_minor };
    }
    return OK;
}

static err read_relevant(struct db_reader *reader, struct arena *arena, const struct filters *f,
                         const struct place *from, struct rows *out)
{
    struct sql_list_relevant query = { f->facets[0], f->status,    from->rank, from->number,
                                       f->price_min, f->price_max, f->bits,    f->facets[1],
                                       f->facets[2], f->facets[3], f->query,   f->rows_max };
    struct sql_list_relevant_row *rows;
    size_t count;

    ASSERT(f->query.ptr);
    TRY(sql_list_relevant(reader, arena, &query, &rows, &count));
    *out = rows_of(arena, count);
    for (size_t i = 0; i < count; i++) {
        out->documents[i] = rows[i].document;
        out->places[i] = (struct place){ .number = rows[i].number, .rank = rows[i].score };
    }
    return OK;
}

static err read_rows(struct db_reader *reader, struct arena *arena, enum product_sort sort,
                     const struct filters *filters, const struct place *from, struct rows *out)
{
    switch (sort) {
    case PRODUCT_BY_NEWEST: return read_newest(reader, arena, filters, from, out);
    case PRODUCT_BY_TITLE: return read_by_title(reader, arena, filters, from, out);
    case PRODUCT_BY_PRICE: return read_cheapest(reader, arena, filters, from, out);
    case PRODUCT_BY_PRICE_DESCENDING: return read_dearest(reader, arena, filters, from, out);
    case PRODUCT_BY_RELEVANCE: return read_relevant(reader, arena, filters, from, out);
    }
    panic(ERR_PLACE, "a sort", __func__);
}

err store_list_products(struct db_reader *reader, struct arena *arena,
                        const struct product_list *list, Products__ProductList *out, str *next)
{
    struct filters filters = filters_of(list);
    struct place from;
    struct rows rows = { 0 };
    bool nothing;

    ASSERT(list->rows_max > 0);
    *next = STR_NONE;
    TRY(place_of(arena, list, &from));
    TRY(add_facets(reader, arena, list, &filters, &nothing));
    if (nothing)
        return OK;
    TRY(read_rows(reader, arena, list->sort, &filters, &from, &rows));

    bool has_more = rows.count > (size_t)list->rows_max;
    out->n_items = has_more ? (size_t)list->rows_max : rows.count;
    out->items = arena_array(arena, Products__Product *, out->n_items + 1);
    for (size_t i = 0; i < out->n_items; i++) {
        void *document;
        TRY(message_unpack(arena, rows.documents[i], &products_product_spec, &document));
        out->items[i] = document;
    }
    if (has_more)
        *next = position_of(arena, list->sort, &rows.places[out->n_items - 1]);
    return OK;
}

/* ---- the export ---- */

static err read_quantities(struct db_reader *reader, struct arena *arena,
                           const Products__Product *product, int64_t **out)
{
    int64_t *quantities = arena_array(arena, int64_t, product->n_variants + 1);
    for (size_t i = 0; i < product->n_variants; i++) {
        struct sql_stock_by_sku_row level = { 0 };
        bool found;
        TRY(sql_stock_by_sku(reader, arena,
                             &(struct sql_stock_by_sku){ text_of(product->variants[i]->sku) },
                             &level, &found));
        quantities[i] = found ? level.on_hand - level.reserved : 0;
    }
    *out = quantities;
    return OK;
}

err store_read_export(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                      struct export_page *page)
{
    struct sql_export_page query = { page->number, rows_max };
    struct sql_export_page_row *rows;

    TRY(sql_export_page(reader, arena, &query, &rows, &page->count));
    page->products = arena_array(arena, Products__Product *, page->count + 1);
    page->quantities = arena_array(arena, int64_t *, page->count + 1);
    for (size_t i = 0; i < page->count; i++) {
        void *document;
        TRY(message_unpack(arena, rows[i].document, &products_product_spec, &document));
        page->products[i] = document;
        TRY(read_quantities(reader, arena, document, &page->quantities[i]));
        page->number = rows[i].number;
    }
    return OK;
}
