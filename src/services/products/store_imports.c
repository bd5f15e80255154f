/* Imports in tables: the file in the spool, how far it is, a line of report for each product. */
#include "chassis/spool.h"
#include "gen/products.sql.h"
#include "services/products/store.h"
#include "services/products/view.h"

/* ---- starting ---- */

err store_start_imports(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct import_start *start = writes[i]->subject;
        struct sql_import_insert row = { start->id, start->currency, start->bytes, start->now };
        outcomes[i] = OK;
        TRY(sql_import_insert(tx, &row, NULL));
        TRY(spool_keep(tx, start->id));
    }
    return OK;
}

/* ---- working on them ---- */

err store_find_import(struct db_reader *reader, struct arena *arena, struct import_found *out,
                      bool *found)
{
    struct sql_import_next_row row;

    TRY(sql_import_next(reader, arena, &row, found));
    if (*found)
        *out = (struct import_found){ .id = row.id,
                                      .currency = row.currency,
                                      .bytes = row.bytes,
                                      .place = { .byte = row.position, .line = row.line } };
    return OK;
}

err store_read_file(struct db_reader *reader, struct arena *arena,
                    const struct import_found *import, int64_t from, int64_t bytes,
                    struct csv_window *out)
{
    str file;
    int64_t at;

    TRY(spool_read(reader, arena, import->id, from, bytes, &file, &at));
    *out = (struct csv_window){ .bytes = file, .from = at };
    out->is_last = at + (int64_t)file.len >= import->bytes;
    return OK;
}

err store_find_import_line(struct db_reader *reader, struct arena *arena, struct uuid import,
                           str handle, int32_t *line)
{
    struct sql_import_line_of_row row;
    bool found;

    TRY(sql_import_line_of(reader, arena, &(struct sql_import_line_of){ import, handle }, &row,
                           &found));
    *line = found ? row.line : 0;
    return OK;
}

/* ---- a piece ---- */

static str outcome_word(Products__ImportOutcome outcome)
{
    switch ((int)outcome) {
    case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CREATED: return STR("created");
    case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CHANGED: return STR("changed");
    case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_UNCHANGED: return STR("unchanged");
    default: return STR("refused");
    }
}

/* The refusal in one line: what, and where in the product. */
static str refusal_words(struct arena *arena, err refused)
{
    if (refused == OK)
        return STR_NONE;
    str detail = refused->detail.len > 0 ? refused->detail : err_words(refused->code);
    if (refused->fields_count == 0)
        return detail;
    const struct err_field *first = &refused->fields[0];
    return str_format(arena, "%" STR_F ": %" STR_F, STR_A(first->pointer), STR_A(first->message));
}

/* Saves the products in turn. One that others changed meanwhile ends the piece: *taken tells how
 * many are done. */
static err save_items(struct tx *tx, struct write *write, struct import_piece *piece, size_t *taken)
{
    for (size_t i = 0; i < piece->items_count; i++) {
        struct import_item *item = &piece->items[i];
        err outcome = OK;
        *taken = i;
        if (!item->save)
            continue;
        TRY(store_save_product(tx, write, item->save, &outcome));
        if (err_is(outcome, VERSION_CONFLICT) || err_is(outcome, HANDLE_TAKEN))
            return OK;
        if (outcome != OK) {
            item->outcome = PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_REFUSED;
            item->refused = outcome;
        }
    }
    *taken = piece->items_count;
    return OK;
}

static err write_report(struct tx *tx, const struct import_piece *piece, size_t taken,
                        struct sql_import_advance *advance)
{
    for (size_t i = 0; i < taken; i++) {
        const struct import_item *item = &piece->items[i];
        struct sql_import_line_add row = { piece->id, item->line, item->handle,
                                           outcome_word(item->outcome),
                                           refusal_words(tx->arena, item->refused) };
        TRY(sql_import_line_add(tx, &row, NULL));
        switch ((int)item->outcome) {
        case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CREATED: advance->created++; break;
        case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CHANGED: advance->changed++; break;
        case PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_UNCHANGED: advance->unchanged++; break;
        default: advance->refused++; break;
        }
    }
    return OK;
}

static str status_after(const struct import_piece *piece, bool is_whole)
{
    if (!is_whole)
        return STR("running");
    if (piece->failed != OK)
        return STR("failed");
    return piece->is_last ? STR("done") : STR("running");
}

static err advance_import(struct tx *tx, struct write *write, err *outcome)
{
    struct import_piece *piece = write->subject;
    struct sql_import_by_id_row row;
    size_t taken = 0;
    bool found;

    *outcome = OK;
    TRY(sql_tx_import_by_id(tx, &(struct sql_import_by_id){ piece->id }, &row, &found));
    if (!found || row.position != piece->position_before) {
        *outcome = fail(write->arena, VERSION_CONFLICT, "the import went on meanwhile");
        return OK;
    }
    TRY(save_items(tx, write, piece, &taken));
    bool is_whole = taken == piece->items_count;
    if (!is_whole && taken == 0) {
        *outcome = fail(write->arena, VERSION_CONFLICT, "a product was changed meanwhile");
        return OK;
    }
    struct csv_place place = is_whole ? piece->place : piece->items[taken].place;
    struct sql_import_advance advance = { .id = piece->id,
                                          .position_before = piece->position_before,
                                          .status = status_after(piece, is_whole),
                                          .position = place.byte,
                                          .line = place.line,
                                          .updated_at = tx->now };
    if (is_whole)
        advance.message = refusal_words(tx->arena, piece->failed);
    TRY(write_report(tx, piece, taken, &advance));
    if (!str_equal(advance.status, STR("running")))
        TRY(spool_release(tx, piece->id));
    return sql_import_advance(tx, &advance, NULL);
}

err store_advance_imports(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++)
        TRY(advance_import(tx, writes[i], &outcomes[i]));
    return OK;
}

/* ---- how far it is ---- */

static Products__ImportStatus status_of(str word)
{
    if (str_equal(word, STR("waiting")))
        return PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_WAITING;
    if (str_equal(word, STR("running")))
        return PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_RUNNING;
    if (str_equal(word, STR("done")))
        return PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_DONE;
    return PRODUCTS__IMPORT_STATUS__IMPORT_STATUS_FAILED;
}

static Products__ImportOutcome outcome_of(str word)
{
    if (str_equal(word, STR("created")))
        return PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CREATED;
    if (str_equal(word, STR("changed")))
        return PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_CHANGED;
    if (str_equal(word, STR("unchanged")))
        return PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_UNCHANGED;
    return PRODUCTS__IMPORT_OUTCOME__IMPORT_OUTCOME_REFUSED;
}

static err read_report(struct db_reader *reader, struct arena *arena,
                       const struct sql_import_lines_page *page, Products__Import *out, str *next)
{
    struct sql_import_lines_page_row *rows;
    size_t count, rows_max = (size_t)page->rows_max - 1;

    TRY(sql_import_lines_page(reader, arena, page, &rows, &count));
    out->n_lines = count > rows_max ? rows_max : count;
    out->lines = arena_array(arena, Products__ImportLine *, out->n_lines + 1);
    for (size_t i = 0; i < out->n_lines; i++) {
        Products__ImportLine *line = message_new(arena, &products_import_line_spec);
        line->line = rows[i].line;
        line->handle = field_of(rows[i].handle);
        line->outcome = outcome_of(rows[i].outcome);
        line->message = field_of(rows[i].message);
        out->lines[i] = line;
    }
    *next = count > rows_max ? str_format(arena, "%d", rows[out->n_lines - 1].line) : STR_NONE;
    return OK;
}

err store_read_import(struct db_reader *reader, struct arena *arena, struct uuid id, str position,
                      int32_t rows_max, Products__Import *out, str *next)
{
    struct sql_import_by_id_row row;
    int64_t line = 0;
    bool found;

    if (position.ptr && !str_to_int64(position, 0, INT32_MAX, &line))
        return fail(arena, CURSOR_INVALID, "it names no line");
    TRY(sql_import_by_id(reader, arena, &(struct sql_import_by_id){ id }, &row, &found));
    if (!found)
        return fail(arena, NOT_FOUND, "no such import");
    out->id = field_of_uuid(arena, id);
    out->status = status_of(row.status);
    out->bytes = row.bytes;
    out->bytes_done = row.position;
    out->created = row.created;
    out->changed = row.changed;
    out->unchanged = row.unchanged;
    out->refused = row.refused;
    out->message = field_of(row.message);
    out->created_at = field_of_time(arena, row.created_at);
    out->updated_at = field_of_time(arena, row.updated_at);
    struct sql_import_lines_page page = { id, (int32_t)line, rows_max + 1 };
    return read_report(reader, arena, &page, out, next);
}
