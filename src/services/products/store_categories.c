/* Categories in tables. */
#include "gen/products.sql.h"
#include "services/products/store.h"

enum { CATEGORY_DEPTH_MAX = 64 };

static Products__Category *category_view(struct arena *arena,
                                         const struct sql_category_by_id_row *row)
{
    Products__Category *out = message_new(arena, &products_category_spec);

    out->id = field_of_uuid(arena, row->id);
    out->handle = field_of(str_copy(arena, row->handle));
    out->name = field_of(str_copy(arena, row->name));
    out->parent = field_of(str_copy(arena, row->parent));
    out->products_count = row->products_count;
    out->version = row->version;
    return out;
}

/* ---- saving ---- */

/* The parent that a handle names: neither unknown, nor the category itself or one below it. */
static err find_parent(struct tx *tx, struct write *write, const struct category_save *save,
                       struct uuid *out, err *refused)
{
    struct sql_category_holder_row holder;
    struct sql_category_parent_row above;
    bool found;

    *out = (struct uuid){ { 0 } };
    if (save->parent.len == 0)
        return OK;
    TRY(sql_tx_category_holder(tx, &(struct sql_category_holder){ save->parent }, &holder, &found));
    if (!found) {
        *refused = fail_field(write->arena, FIELD_INVALID, STR("/parent"),
                              "there is no category %" STR_F, STR_A(save->parent));
        return OK;
    }
    *out = holder.id;
    struct uuid at = holder.id;
    for (int depth = 0; !uuid_is_nil(at); depth++) {
        if (uuid_equal(at, save->id) || depth == CATEGORY_DEPTH_MAX) {
            *refused =
                fail_field(write->arena, FIELD_INVALID, STR("/parent"),
                           "%" STR_F " is below this category, or too deep", STR_A(save->parent));
            return OK;
        }
        TRY(sql_tx_category_parent(tx, &(struct sql_category_parent){ at }, &above, &found));
        at = found ? above.parent : (struct uuid){ { 0 } };
    }
    return OK;
}

/* The row as it shall be: what was not named stays. */
static err next_row(struct tx *tx, struct write *write, const struct category_save *save,
                    struct sql_category_insert *out, bool *renamed, err *refused)
{
    struct sql_category_by_id_row old;
    struct sql_category_parent_row parent;
    bool found;

    *out = (struct sql_category_insert){ save->id, save->handle, save->name, { { 0 } }, 1 };
    *renamed = false;
    if (!save->is_new) {
        TRY(sql_tx_category_by_id(tx, &(struct sql_category_by_id){ save->id }, &old, &found));
        if (!found) {
            *refused = fail(write->arena, NOT_FOUND, "no such category");
            return OK;
        }
        TRY(sql_tx_category_parent(tx, &(struct sql_category_parent){ save->id }, &parent, &found));
        out->handle = save->handle.ptr ? save->handle : old.handle;
        out->name = save->name.ptr ? save->name : old.name;
        out->parent = parent.parent;
        out->version = old.version + 1;
        *renamed = !str_equal(out->handle, old.handle);
    }
    return save->parent.ptr ? find_parent(tx, write, save, &out->parent, refused) : OK;
}

static err save_category(struct tx *tx, struct write *write, err *outcome)
{
    struct category_save *save = write->subject;
    struct sql_category_insert row;
    struct sql_category_holder_row holder;
    struct sql_category_by_id_row saved;
    bool renamed, found;

    *outcome = OK;
    TRY(next_row(tx, write, save, &row, &renamed, outcome));
    if (*outcome != OK)
        return OK;
    TRY(sql_tx_category_holder(tx, &(struct sql_category_holder){ row.handle }, &holder, &found));
    if (found && !uuid_equal(holder.id, save->id)) {
        *outcome = fail_field(write->arena, CATEGORY_TAKEN, STR("/handle"),
                              "another category has the handle %" STR_F, STR_A(row.handle));
        return OK;
    }
    struct sql_category_update changed = { row.id, row.handle, row.name, row.parent, row.version };
    TRY(save->is_new ? sql_category_insert(tx, &row, NULL)
                     : sql_category_update(tx, &changed, NULL));
    if (renamed)
        TRY(sql_stale_add_category(tx, &(struct sql_stale_add_category){ save->id }, NULL));
    TRY(sql_tx_category_by_id(tx, &(struct sql_category_by_id){ save->id }, &saved, &found));
    ASSERT(found);
    save->saved = category_view(write->arena, &saved);
    return OK;
}

err store_save_categories(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++)
        TRY(save_category(tx, writes[i], &outcomes[i]));
    return OK;
}

/* ---- deleting ---- */

static err delete_category(struct tx *tx, struct write *write, err *outcome)
{
    struct uuid id = *(const struct uuid *)write->subject;
    struct sql_category_parent_row row;
    struct sql_category_uses_row uses;
    bool found;

    *outcome = OK;
    TRY(sql_tx_category_parent(tx, &(struct sql_category_parent){ id }, &row, &found));
    if (!found) {
        *outcome = fail(write->arena, NOT_FOUND, "no such category");
        return OK;
    }
    TRY(sql_tx_category_uses(tx, &(struct sql_category_uses){ id }, &uses));
    if (uses.products > 0 || uses.children > 0) {
        *outcome =
            fail(write->arena, CATEGORY_IN_USE, "%lld products and %lld categories are in it",
                 (long long)uses.products, (long long)uses.children);
        return OK;
    }
    return sql_category_delete(tx, &(struct sql_category_delete){ id }, NULL);
}

err store_delete_categories(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++)
        TRY(delete_category(tx, writes[i], &outcomes[i]));
    return OK;
}

/* ---- reading ---- */

err store_list_categories(struct db_reader *reader, struct arena *arena,
                          Products__CategoryList *out)
{
    struct sql_categories_all_row *rows;

    TRY(sql_categories_all(reader, arena, &rows, &out->n_items));
    out->items = arena_array(arena, Products__Category *, out->n_items + 1);
    for (size_t i = 0; i < out->n_items; i++) {
        struct sql_category_by_id_row row = {
            rows[i].id,     rows[i].handle,         rows[i].name,
            rows[i].parent, rows[i].products_count, rows[i].version
        };
        out->items[i] = category_view(arena, &row);
    }
    return OK;
}
