/* What the service does by itself: works on imports, makes stale documents anew, forgets. Each run
 * of a job is one piece: it reads, decides, hands over one write, and is poked if there is more. */
#include "services/products/import.h"
#include "services/products/inside.h"
#include "services/products/view.h"

enum {
    IMPORTS_TICK_MS = 500,
    UPKEEP_TICK_MS = 1000,
    PIECE_PRODUCTS_MAX = 50,
    PIECE_VARIANTS_MAX = 500,
    WINDOW_BYTES = 256 * 1024,
    PRODUCT_BYTES_MAX = 1024 * 1024,     /* rows of one product in a file */
    PIECE_ARENA_BYTES = 4 * 1024 * 1024, /* then the piece is full: far below the call's ceiling */
    STALE_AT_ONCE = 50,
    RESERVATIONS_SWEPT = 64, /* each has some holds */
};

/* ---- imports ---- */

/* A piece under way. */
struct reading {
    struct products *self;
    struct call *call;
    struct db_reader *reader;
    const struct import_found *import;
    struct import_columns columns;
    struct import_piece *piece;
    size_t variants_count;
};

static void refuse(struct import_item *item, err refused)
{
    item->outcome = PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_REFUSED;
    item->refused = refused;
    item->save = NULL;
}

/* The line where the file had the handle before, or 0. */
static err find_repeated(const struct reading *reading, str handle, int32_t *line)
{
    const struct import_piece *piece = reading->piece;

    for (size_t i = 0; i < piece->items_count; i++) {
        const struct import_item *item = &piece->items[i];
        *line = item->line;
        if (item->refused == OK && str_equal(item->handle, handle))
            return OK;
    }
    return store_find_import_line(reading->reader, reading->call->arena, reading->import->id,
                                  handle, line);
}

/* The product of that handle as it stands; NULL where there is none. */
static err find_before(const struct reading *reading, str handle, struct product **out)
{
    struct arena *arena = reading->call->arena;
    struct product_found found;
    void *document;

    *out = NULL;
    err error = store_find_product(reading->reader, arena, handle, &found);
    if (err_is(error, NOT_FOUND))
        return OK;
    TRY(error);
    TRY(message_unpack(arena, found.document, &products_product_spec, &document));
    *out = arena_new(arena, struct product);
    product_of_document(arena, document, *out);
    return OK;
}

/* What the rules say of the product; OK where it can be saved. */
static err complete(const struct reading *reading, const struct product *before,
                    struct product *product)
{
    struct arena *arena = reading->call->arena;

    if (before)
        import_keep(&reading->columns, before, product);
    else if (!product_may_become(PRODUCT_NEW, product->status))
        return fail(arena, PRODUCT_INVALID, "it is %" STR_F ", and there is no such product yet",
                    STR_A(product_status_word(product->status)));
    TRY(product_complete(arena, product));
    if (before)
        product_keep_variants(before, product);
    return OK;
}

static void save(const struct reading *reading, const struct product *before,
                 struct product *product, struct import_item *item)
{
    struct call *call = reading->call;

    item->outcome = before ? PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CHANGED
                           : PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CREATED;
    product->version = before ? before->version + 1 : 1;
    product->updated_at = call->now;
    if (!before) {
        product->id = call_new_id(call);
        product->created_at = call->now;
    }
    give_ids(call, product);
    item->save = arena_new(call->arena, struct product_save);
    *item->save = (struct product_save){ .product = product,
                                         .before = before,
                                         .stock_low = reading->self->stock_low };
}

/* Decides what becomes of a product of the file. */
static err decide(struct reading *reading, const struct import_group *group,
                  struct import_item *item)
{
    struct arena *arena = reading->call->arena;
    struct product *before, *product = arena_new(arena, struct product);
    err refused = group->refused;
    int32_t line = 0;

    if (refused == OK)
        refused = message_validate(arena, &products_create_product_request_spec, group->input);
    if (refused == OK)
        TRY(find_repeated(reading, item->handle, &line));
    if (line > 0)
        refused = fail(arena, IMPORT_INVALID,
                       "line %d has this handle too: rows of a product must stand together", line);
    if (refused != OK) {
        refuse(item, refused);
        return OK;
    }
    TRY(find_before(reading, item->handle, &before));
    product_of_create(arena, group->input, product);
    refused = complete(reading, before, product);
    if (refused != OK) {
        refuse(item, refused);
        return OK;
    }
    if (before) {
        product->version = before->version;
        product->updated_at = before->updated_at;
    }
    if (before && product_is_same(arena, before, product))
        item->outcome = PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_UNCHANGED;
    else
        save(reading, before, product, item);
    reading->variants_count += product->variants_count;
    return OK;
}

static bool is_full(const struct reading *reading)
{
    const struct import_piece *piece = reading->piece;

    return piece->items_count == PIECE_PRODUCTS_MAX ||
           reading->variants_count >= PIECE_VARIANTS_MAX ||
           (piece->items_count > 0 && arena_used(reading->call->arena) > PIECE_ARENA_BYTES);
}

/* Reads products from the window until the piece is full, the window ends or the file does. */
static err fill_piece(struct reading *reading, const struct csv_window *window)
{
    struct import_piece *piece = reading->piece;
    struct arena *arena = reading->call->arena;

    while (!is_full(reading)) {
        struct import_item *item = &piece->items[piece->items_count];
        struct import_group group;
        enum csv_step step;
        *item = (struct import_item){ .place = piece->place };
        piece->failed = import_read(arena, &reading->columns, reading->import->currency, window,
                                    &piece->place, &group, &step);
        piece->is_last = piece->failed == OK && step == CSV_END;
        if (piece->failed != OK || step != CSV_ROW)
            return OK;
        item->line = group.line;
        item->handle = group.input ? text_of(group.input->handle) : group.handle;
        TRY(decide(reading, &group, item));
        piece->items_count++;
    }
    return OK;
}

/* The columns, from the head of the file; a piece that begins there goes on behind it. */
static err read_columns(struct reading *reading)
{
    struct csv_place place = csv_begin();
    struct csv_window window;
    enum csv_step step;

    TRY(store_read_file(reading->reader, reading->call->arena, reading->import, 0, WINDOW_BYTES,
                        &window));
    err refused = import_header(reading->call->arena, &window, &place, &reading->columns, &step);
    if (refused == OK && step != CSV_ROW)
        refused = fail(reading->call->arena, IMPORT_INVALID, "the first line is too long");
    reading->piece->failed = refused;
    if (reading->piece->place.byte == 0)
        reading->piece->place = place;
    return OK;
}

/* A window of some products; a larger one where not even the first fits. */
static err read_piece(struct reading *reading)
{
    struct import_piece *piece = reading->piece;

    TRY(read_columns(reading));
    for (int64_t bytes = WINDOW_BYTES; piece->failed == OK; bytes *= 4) {
        struct csv_window window;
        TRY(store_read_file(reading->reader, reading->call->arena, reading->import,
                            piece->place.byte, bytes, &window));
        TRY(fill_piece(reading, &window));
        if (piece->items_count > 0 || piece->is_last || piece->failed != OK)
            return OK;
        if (bytes >= PRODUCT_BYTES_MAX)
            piece->failed = fail(reading->call->arena, IMPORT_INVALID,
                                 "line %d: a product's rows are longer than %d bytes",
                                 piece->place.line, PRODUCT_BYTES_MAX);
    }
    return OK;
}

static err run_imports(void *subject, struct call *call)
{
    struct products *self = subject;
    struct import_found import;
    struct import_piece piece = { 0 };
    struct reading reading = { .self = self, .call = call, .import = &import, .piece = &piece };
    bool found;

    TRY(call_reader(call, &reading.reader));
    TRY(store_find_import(reading.reader, call->arena, &import, &found));
    if (!found) {
        job_rest(call, INT64_MAX);
        return OK;
    }
    piece = (struct import_piece){
        .id = import.id,
        .position_before = import.place.byte,
        .place = import.place,
        .items = arena_array(call->arena, struct import_item, PIECE_PRODUCTS_MAX),
    };
    TRY(read_piece(&reading));
    err outcome = job_write(call, write_new(call->arena, &store_advance_imports, &piece));
    if (outcome == OK || err_is(outcome, VERSION_CONFLICT)) {
        timer_poke(self->imports);
        return OK;
    }
    return outcome;
}

/* ---- upkeep: documents that must be made anew ---- */

/* Documents show what is low by the setting that they were made with. */
static err note_stock_low(struct products *self, struct call *call, struct db_reader *reader)
{
    bool is_noted;

    TRY(store_has_stock_low(reader, call->arena, self->stock_low, &is_noted));
    if (!is_noted)
        TRY(job_write(call, write_new(call->arena, &store_note_stock_low, &self->stock_low)));
    self->has_noted = true;
    return OK;
}

static err run_upkeep(void *subject, struct call *call)
{
    struct products *self = subject;
    struct stale_products stale = { .stock_low = self->stock_low };
    struct db_reader *reader;

    TRY(call_reader(call, &reader));
    if (!self->has_noted)
        return note_stock_low(self, call, reader);
    TRY(store_find_stale(reader, call->arena, STALE_AT_ONCE, &stale));
    if (stale.count == 0) {
        job_rest(call, INT64_MAX);
        return OK;
    }
    TRY(job_write(call, write_new(call->arena, &store_redraw_products, &stale)));
    timer_poke(self->upkeep);
    return OK;
}

/* ---- sweeping ---- */

/* Events that were announced before a refund became too late may still be on their way. */
static const int64_t on_the_way_us = 7 * 86400 * INT64_C(1000000);

/* What Products knows of an order is kept for as long as something may follow: until its units
 * cannot come back any more, and until a repeat of its events is known to be too old. */
static int64_t reservations_kept_us(const struct conf *conf)
{
    int64_t returns_ms = conf_int(conf, CONF_RETURN_TIME);
    int64_t repeats_ms = conf_int(conf, CONF_INBOX_RETENTION);
    int64_t longer_ms = returns_ms > repeats_ms ? returns_ms : repeats_ms;
    return longer_ms * TIME_MS + on_the_way_us;
}

static void add_sweeping(struct products *self, const struct conf *conf)
{
    int64_t imports_us = conf_int(conf, CONF_IMPORT_RETENTION) * TIME_MS;
    const struct swept tables[] = {
        { "imports", imports_us, SWEEP_ROWS_MAX, store_sweep_imports },
        { "reservations", reservations_kept_us(conf), RESERVATIONS_SWEPT,
          store_sweep_reservations },
        { .table = "import_lines" },   /* go with their import */
        { .table = "holds" },          /* go with their reservation */
        { .table = "stale_products" }, /* go when they are made anew */
    };
    _Static_assert(sizeof tables == sizeof self->swept, "as many as there are");
    memcpy(self->swept, tables, sizeof tables);
    struct swept_room room = { self->swept, sizeof tables / sizeof tables[0], store_products_rows,
                               store_products_due };
    service_sweeps(self->service, &room);
}

/* Imports last: a timer that pokes itself lets those before it go first. */
void jobs_add(struct products *self, const struct conf *conf)
{
    add_sweeping(self, conf);
    self->upkeep = service_every(self->service, "products.upkeep", UPKEEP_TICK_MS, run_upkeep);
    self->imports = service_every(self->service, "products.imports", IMPORTS_TICK_MS, run_imports);
}
