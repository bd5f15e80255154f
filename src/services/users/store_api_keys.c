#include "gen/users.sql.h"
#include "services/users/store.h"

static str digest_bytes(const struct sha256 *digest)
{
    return str_of(digest->bytes, sizeof digest->bytes);
}

/* ---- reading ---- */

err store_list_api_keys(struct call *call, struct uuid before, int32_t rows_max,
                        struct api_key **out, size_t *count)
{
    struct db_reader *reader;
    struct sql_api_keys_page_row *rows;
    TRY(call_reader(call, &reader));
    TRY(sql_api_keys_page(reader, call->arena, &(struct sql_api_keys_page){ before, rows_max },
                          &rows, count));
    *out = arena_array(call->arena, struct api_key, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct api_key){ .id = rows[i].id,
                                      .prefix = rows[i].prefix,
                                      .name = rows[i].name,
                                      .scopes = (unsigned)rows[i].scopes,
                                      .created_by = rows[i].created_by,
                                      .created_at = rows[i].created_at,
                                      .expires_at = rows[i].expires_at,
                                      .used_at = rows[i].used_at,
                                      .revoked_at = rows[i].revoked_at };
    return OK;
}

err store_check_api_key(struct call *call, struct uuid id)
{
    struct db_reader *reader;
    struct sql_api_key_by_id_row row;
    TRY(call_reader(call, &reader));
    return sql_api_key_by_id(reader, call->arena, &(struct sql_api_key_by_id){ id }, &row);
}

err store_find_api_keys_mark(struct call *call, struct uuid *mark)
{
    struct db_reader *reader;
    struct sql_api_keys_mark_row row = { 0 };
    bool found;
    TRY(call_reader(call, &reader));
    TRY(sql_api_keys_mark(reader, call->arena, &row, &found));
    *mark = found ? row.mark : (struct uuid){ { 0 } };
    return OK;
}

err store_list_known_api_keys(struct call *call, struct api_key_known **out, size_t *count)
{
    struct db_reader *reader;
    struct sql_api_keys_known_row *rows;
    TRY(call_reader(call, &reader));
    TRY(sql_api_keys_known(reader, call->arena, &(struct sql_api_keys_known){ API_KEYS_MAX }, &rows,
                           count));
    *out = arena_array(call->arena, struct api_key_known, *count);
    for (size_t i = 0; i < *count; i++) {
        struct api_key_known *known = &(*out)[i];
        ASSERT(rows[i].digest.len == sizeof known->digest.bytes);
        *known = (struct api_key_known){ .id = rows[i].id,
                                         .scopes = (unsigned)rows[i].scopes,
                                         .expires_at = rows[i].expires_at };
        memcpy(known->digest.bytes, rows[i].digest.ptr, sizeof known->digest.bytes);
    }
    return OK;
}

/* ---- writing ---- */

/* First of all, for the lock that it takes: so the count holds between replicas. Where the key is
 * refused then, the mark has changed for nothing, which costs whoever follows one more look. */
static err set_mark(struct tx *tx, const struct api_key_change *change)
{
    return sql_api_keys_set_mark(tx, &(struct sql_api_keys_set_mark){ change->mark }, NULL);
}

err store_add_api_keys(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct api_key_change *change = writes[i]->subject;
        const struct api_key *key = &change->key;
        struct sql_api_key_insert row = { .id = key->id,
                                          .digest = digest_bytes(&key->digest),
                                          .prefix = key->prefix,
                                          .name = key->name,
                                          .scopes = (int32_t)key->scopes,
                                          .created_by = key->created_by,
                                          .created_at = key->created_at,
                                          .expires_at = key->expires_at,
                                          .keep = API_KEYS_MAX };
        int64_t added;
        TRY(set_mark(tx, change));
        TRY(sql_api_key_insert(tx, &row, &added));
        outcomes[i] =
            added ? OK
                  : fail(writes[i]->arena, API_KEYS_TOO_MANY, "the shop has %d keys", API_KEYS_MAX);
    }
    return OK;
}

err store_revoke_api_keys(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct api_key_change *change = writes[i]->subject;
        struct sql_api_key_revoke row = { change->key.id, tx->now };
        outcomes[i] = OK;
        TRY(set_mark(tx, change));
        TRY(sql_api_key_revoke(tx, &row, NULL));
    }
    return OK;
}

err store_note_api_key_uses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct api_key_uses *uses = writes[i]->subject;
        outcomes[i] = OK;
        for (size_t j = 0; j < uses->count; j++) {
            struct sql_api_key_use row = { uses->items[j].id, uses->items[j].at };
            TRY(sql_api_key_use(tx, &row, NULL));
        }
    }
    return OK;
}
