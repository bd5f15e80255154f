#include "services/users/store.h"
#include "chassis/audit.h"
#include "chassis/token.h"
#include "gen/users.sql.h"

static const str STATUS_WORDS[USER_STATUSES_COUNT] = {
    [USER_STATUS_ACTIVE] = { "active", 6 },
    [USER_STATUS_SUSPENDED] = { "suspended", 9 },
};

static enum user_status status_of(str word)
{
    return str_equal(word, STATUS_WORDS[USER_STATUS_ACTIVE]) ? USER_STATUS_ACTIVE
                                                             : USER_STATUS_SUSPENDED;
}

/* The rows of three queries have the same columns. */
#define USER_OF_ROW(row)                                   \
    ((struct user){ .id = (row)->id,                       \
                    .email = (row)->email,                 \
                    .email_key = (row)->email_key,         \
                    .name = (row)->name,                   \
                    .phone = (row)->phone,                 \
                    .roles = (unsigned)(row)->roles,       \
                    .status = status_of((row)->status),    \
                    .password_hash = (row)->password_hash, \
                    .version = (row)->version,             \
                    .created_at = (row)->created_at,       \
                    .updated_at = (row)->updated_at,       \
                    .verified_at = (row)->verified_at })

static str hash_bytes(const struct sha256 *hash) { return str_of(hash->bytes, sizeof hash->bytes); }

/* ---- reading ---- */

err store_find_user(struct call *call, struct uuid id, struct user *out)
{
    struct db_reader *reader;
    struct sql_user_by_id_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_user_by_id(reader, call->arena, &(struct sql_user_by_id){ id }, &row));
    *out = USER_OF_ROW(&row);
    return OK;
}

err store_find_user_by_email(struct call *call, str email_key, struct user *out, bool *found)
{
    struct db_reader *reader;
    struct sql_user_by_email_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_user_by_email(reader, call->arena, &(struct sql_user_by_email){ email_key }, &row,
                          found));
    if (*found)
        *out = USER_OF_ROW(&row);
    return OK;
}

err store_has_admin(struct call *call, bool *out)
{
    struct db_reader *reader;
    struct sql_admins_besides_row row;
    struct sql_admins_besides nobody = { { { 0 } } };
    TRY(call_reader(call, &reader));
    TRY(sql_admins_besides(reader, call->arena, &nobody, &row));
    *out = row.admins > 0;
    return OK;
}

err store_list_users(struct call *call, const struct users_page *page, struct user **out,
                     size_t *count)
{
    struct db_reader *reader;
    struct sql_users_page_row *rows;
    struct sql_users_page params = { .created_at = page->created_at,
                                     .id = page->id,
                                     .roles = (int32_t)page->roles,
                                     .status = page->status,
                                     .email_key = page->email_key,
                                     .limit_rows = page->rows_max };
    TRY(call_reader(call, &reader));
    TRY(sql_users_page(reader, call->arena, &params, &rows, count));

    *out = arena_array(call->arena, struct user, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = USER_OF_ROW(&rows[i]);
    return OK;
}

err store_list_account_steps(struct call *call, struct uuid user, struct account_step **out,
                             size_t *count)
{
    struct db_reader *reader;
    struct sql_user_log_of_user_row *rows;
    struct sql_user_log_of_user params = { user, ACCOUNT_STEPS_MAX };
    TRY(call_reader(call, &reader));
    TRY(sql_user_log_of_user(reader, call->arena, &params, &rows, count));
    *out = arena_array(call->arena, struct account_step, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct account_step){ rows[i].at, rows[i].what, rows[i].reason };
    return OK;
}

err store_find_refresh(struct call *call, const struct sha256 *hash, struct refresh *out,
                       bool *found)
{
    struct db_reader *reader;
    struct sql_refresh_by_hash_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_refresh_by_hash(reader, call->arena, &(struct sql_refresh_by_hash){ hash_bytes(hash) },
                            &row, found));
    if (*found)
        *out = (struct refresh){ .session = row.session_id,
                                 .user = row.user_id,
                                 .expires_at = row.expires_at,
                                 .spent_at = row.spent_at,
                                 .session_ended_at = row.ended_at };
    return OK;
}

err store_list_sessions(struct call *call, struct uuid user, struct session **out, size_t *count)
{
    struct db_reader *reader;
    struct sql_sessions_of_user_row *rows;
    TRY(call_reader(call, &reader));
    TRY(sql_sessions_of_user(reader, call->arena,
                             &(struct sql_sessions_of_user){ user, call->now, SESSIONS_MAX }, &rows,
                             count));

    *out = arena_array(call->arena, struct session, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct session){ .id = rows[i].id,
                                      .user = user,
                                      .user_agent = rows[i].user_agent,
                                      .created_at = rows[i].created_at,
                                      .used_at = rows[i].used_at,
                                      .expires_at = rows[i].expires_at };
    return OK;
}

err store_check_session(struct call *call, struct uuid user, struct uuid id)
{
    struct db_reader *reader;
    struct sql_session_of_user_row row;
    TRY(call_reader(call, &reader));
    return sql_session_of_user(reader, call->arena,
                               &(struct sql_session_of_user){ id, user, call->now }, &row);
}

err store_list_addresses(struct call *call, struct uuid user, struct address **out, size_t *count)
{
    struct db_reader *reader;
    struct sql_addresses_of_user_row *rows;
    TRY(call_reader(call, &reader));
    TRY(sql_addresses_of_user(reader, call->arena, &(struct sql_addresses_of_user){ user }, &rows,
                              count));

    *out = arena_array(call->arena, struct address, *count);
    for (size_t i = 0; i < *count; i++) {
        const struct sql_addresses_of_user_row *row = &rows[i];
        (*out)[i] = (struct address){ row->id,          user,         row->name,  row->company,
                                      row->line1,       row->line2,   row->city,  row->region,
                                      row->postal_code, row->country, row->phone, row->created_at,
                                      row->updated_at };
    }
    return OK;
}

err store_find_address(struct call *call, struct uuid user, struct uuid id, struct address *out)
{
    struct db_reader *reader;
    struct sql_address_of_user_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_address_of_user(reader, call->arena, &(struct sql_address_of_user){ id, user }, &row));
    *out = (struct address){ row.id,    user,           row.name,      row.company,     row.line1,
                             row.line2, row.city,       row.region,    row.postal_code, row.country,
                             row.phone, row.created_at, row.updated_at };
    return OK;
}

err store_list_revocations(struct call *call, int64_t since, struct revocation **out, size_t *count,
                           int64_t *position)
{
    struct db_reader *reader;
    struct sql_revocations_last_row last;
    struct sql_revocations_since_row *rows;
    TRY(call_reader(call, &reader));
    TRY(sql_revocations_last(reader, call->arena, &last));
    struct sql_revocations_since params = { .position = since <= last.position ? since : 0,
                                            .limit_rows = REVOCATIONS_PAGE_MAX };
    TRY(sql_revocations_since(reader, call->arena, &params, &rows, count));

    *out = arena_array(call->arena, struct revocation, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct revocation){ rows[i].position, rows[i].user_id, rows[i].session_id,
                                         rows[i].version_min, rows[i].at };
    *position = *count > 0 ? rows[*count - 1].position : last.position;
    return OK;
}

/* ---- writing accounts ---- */

err store_add_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_user_insert *rows = arena_array(tx->arena, struct sql_user_insert, count);
    struct sql_user_log_insert *logs = arena_array(tx->arena, struct sql_user_log_insert, count);
    int64_t *added = arena_array(tx->arena, int64_t, count);

    for (size_t i = 0; i < count; i++) {
        const struct user *user = ((const struct user_adding *)writes[i]->subject)->user;
        rows[i] = (struct sql_user_insert){ .id = user->id,
                                            .email = user->email,
                                            .email_key = user->email_key,
                                            .name = user->name,
                                            .phone = user->phone,
                                            .roles = (int32_t)user->roles,
                                            .status = STATUS_WORDS[user->status],
                                            .password_hash = user->password_hash,
                                            .version = user->version,
                                            .created_at = user->created_at,
                                            .updated_at = user->updated_at,
                                            .verified_at = user->verified_at };
    }
    TRY(sql_user_insert_many(tx, rows, count, added));

    size_t logs_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct user_adding *adding = writes[i]->subject;
        outcomes[i] = OK;
        if (added[i] == 0) {
            outcomes[i] = fail(writes[i]->arena, EMAIL_TAKEN, "another account has this address");
            continue;
        }
        if (adding->mail)
            TRY(store_add_mail(tx, adding->mail));
        logs[logs_count++] = (struct sql_user_log_insert){ .user_id = adding->user->id,
                                                           .version = 1,
                                                           .at = adding->user->created_at,
                                                           .what = adding->what,
                                                           .reason = STR("") };
    }
    return sql_user_log_insert_many(tx, logs, logs_count, NULL);
}

static err add_first_admin(struct tx *tx, struct write *write, err *outcome)
{
    const struct first_admin_adding *first = write->subject;
    struct sql_admins_besides_row row;
    struct uuid nobody = { { 0 } };
    TRY(sql_tx_admins_besides(tx, &(struct sql_admins_besides){ nobody }, &row));
    if (row.admins > 0) {
        *outcome = fail(write->arena, USER_STATE, "the shop has an admin");
        return OK;
    }
    TRY(store_add_users(tx, &write, 1, outcome));
    return *outcome == OK ? audit_put_setting(tx, first->audit, "BOOTSTRAP_ADMIN_EMAIL",
                                              uuid_text(tx->arena, first->adding.user->id))
                          : OK;
}

err store_add_first_admins(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++)
        TRY(add_first_admin(tx, writes[i], &outcomes[i]));
    return OK;
}

/* Under the lock: two admins who suspend each other at the same time cannot both. */
err store_check_admins_left(struct tx *tx, const struct write *write, err *outcome)
{
    const struct user_saving *saving = write->subject;
    struct sql_admins_besides_row row;
    if (!saving->takes_admin)
        return OK;
    TRY(sql_tx_admins_besides(tx, &(struct sql_admins_besides){ saving->user->id }, &row));
    if (row.admins == 0)
        *outcome = fail(write->arena, USER_STATE, "this is the last admin who can log in");
    return OK;
}

static err update_user(struct tx *tx, const struct write *write, err *outcome)
{
    const struct user *user = ((const struct user_saving *)write->subject)->user;
    struct sql_user_update row = { .id = user->id,
                                   .version_before = user->version - 1,
                                   .name = user->name,
                                   .phone = user->phone,
                                   .roles = (int32_t)user->roles,
                                   .status = STATUS_WORDS[user->status],
                                   .password_hash = user->password_hash,
                                   .version = user->version,
                                   .updated_at = user->updated_at,
                                   .verified_at = user->verified_at };
    int64_t changed;
    TRY(sql_user_update(tx, &row, &changed));
    if (changed == 0)
        *outcome = fail(write->arena, VERSION_CONFLICT, "the account has changed meanwhile");
    return OK;
}

/* All sessions but the one that asked end, with all their tokens. */
static err end_other_sessions(struct tx *tx, const struct user_saving *saving)
{
    struct sql_sessions_revoke_others revoke = { saving->user->id, saving->session_kept, tx->now,
                                                 tx->now - TOKEN_LIFE_MAX_S * TIME_SECOND };
    struct sql_sessions_end_others end = { saving->user->id, saving->session_kept, tx->now };
    TRY(sql_sessions_revoke_others(tx, &revoke, NULL));
    return sql_sessions_end_others(tx, &end, NULL);
}

/* What follows from a change of standing. */
static err note_change(struct tx *tx, const struct user_saving *saving)
{
    const struct user *user = saving->user;
    if (saving->ends_sessions && !uuid_is_nil(saving->session_kept))
        TRY(end_other_sessions(tx, saving));
    else if (saving->ends_sessions)
        TRY(sql_sessions_end_all(tx, &(struct sql_sessions_end_all){ user->id, tx->now }, NULL));
    if (saving->verifies)
        TRY(store_drop_mail_tokens(tx, user->id, MAIL_VERIFY));
    if (saving->resets)
        TRY(store_drop_mail_tokens(tx, user->id, MAIL_RESET));
    if (saving->revokes)
        TRY(sql_revocation_insert(tx,
                                  &(struct sql_revocation_insert){ .user_id = user->id,
                                                                   .version_min = user->version,
                                                                   .at = tx->now },
                                  NULL));
    if (!saving->what.ptr)
        return OK;
    struct sql_user_log_insert log = { .user_id = user->id,
                                       .version = user->version,
                                       .at = user->updated_at,
                                       .what = saving->what,
                                       .actor = saving->actor,
                                       .reason = saving->reason };
    return sql_user_log_insert(tx, &log, NULL);
}

/* One after the other: whether an admin may go depends on who went before. */
err store_save_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = OK;
        TRY(store_check_admins_left(tx, writes[i], &outcomes[i]));
        if (outcomes[i] == OK)
            TRY(update_user(tx, writes[i], &outcomes[i]));
        if (outcomes[i] == OK)
            TRY(note_change(tx, writes[i]->subject));
    }
    return OK;
}

/* ---- writing sessions ---- */

/* Ends sessions and revokes their access tokens; not of those that have ended before. */
static err end_sessions(struct tx *tx, const struct sql_session_end *ends, size_t count)
{
    struct sql_revocation_insert *revocations =
        arena_array(tx->arena, struct sql_revocation_insert, count);
    int64_t *ended = arena_array(tx->arena, int64_t, count);
    size_t revocations_count = 0;

    TRY(sql_session_end_many(tx, ends, count, ended));
    for (size_t i = 0; i < count; i++)
        if (ended[i] > 0)
            revocations[revocations_count++] = (struct sql_revocation_insert){
                .user_id = ends[i].user_id, .session_id = ends[i].id, .at = ends[i].ended_at
            };
    return sql_revocation_insert_many(tx, revocations, revocations_count, NULL);
}

/* Ends the oldest of those accounts that have more than they may. */
static err end_beyond(struct tx *tx, const struct sql_sessions_beyond *accounts, size_t count)
{
    struct sql_sessions_beyond_row *rows;
    size_t *counts = arena_array(tx->arena, size_t, count), total = 0, at = 0;

    TRY(sql_tx_sessions_beyond_each(tx, accounts, count, &rows, counts));
    for (size_t i = 0; i < count; i++)
        total += counts[i];
    struct sql_session_end *ends = arena_array(tx->arena, struct sql_session_end, total);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < counts[i]; j++, at++)
            ends[at] = (struct sql_session_end){ rows[at].id, accounts[i].user_id, tx->now };
    return end_sessions(tx, ends, total);
}

err store_add_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_session_insert *rows = arena_array(tx->arena, struct sql_session_insert, count);
    struct sql_refresh_insert *tokens = arena_array(tx->arena, struct sql_refresh_insert, count);
    struct sql_sessions_beyond *accounts =
        arena_array(tx->arena, struct sql_sessions_beyond, count);
    int64_t *added = arena_array(tx->arena, int64_t, count);
    size_t added_count = 0;

    for (size_t i = 0; i < count; i++) {
        const struct session_adding *adding = writes[i]->subject;
        const struct session *session = &adding->session;
        rows[i] = (struct sql_session_insert){ session->id,         session->user,
                                               session->user_agent, session->created_at,
                                               session->expires_at, adding->user_version };
    }
    TRY(sql_session_insert_many(tx, rows, count, added));
    for (size_t i = 0; i < count; i++) {
        const struct session_adding *adding = writes[i]->subject;
        outcomes[i] = added[i] ? OK
                               : fail(writes[i]->arena, VERSION_CONFLICT,
                                      "the account has changed meanwhile");
        if (!added[i])
            continue;
        tokens[added_count] = (struct sql_refresh_insert){ hash_bytes(&adding->refresh), rows[i].id,
                                                           rows[i].expires_at };
        accounts[added_count++] = (struct sql_sessions_beyond){ rows[i].user_id, SESSIONS_MAX };
    }
    TRY(sql_refresh_insert_many(tx, tokens, added_count, NULL));
    return end_beyond(tx, accounts, added_count);
}

err store_refresh_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct session_refreshing *refreshing = writes[i]->subject;
        struct sql_refresh_spend spend = { hash_bytes(&refreshing->spent), tx->now,
                                           refreshing->user_version };
        struct sql_refresh_insert token = { hash_bytes(&refreshing->refresh), refreshing->session,
                                            refreshing->expires_at };
        int64_t spent;
        TRY(sql_refresh_spend(tx, &spend, &spent));
        outcomes[i] = OK;
        if (spent == 0) {
            outcomes[i] = fail(writes[i]->arena, VERSION_CONFLICT,
                               "the token, its session or its account has changed meanwhile");
            continue;
        }
        TRY(sql_refresh_insert(tx, &token, NULL));
        TRY(sql_session_extend(
            tx,
            &(struct sql_session_extend){ refreshing->session, tx->now, refreshing->expires_at },
            NULL));
    }
    return OK;
}

err store_end_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_session_end *ends = arena_array(tx->arena, struct sql_session_end, count);
    for (size_t i = 0; i < count; i++) {
        const struct session_ending *ending = writes[i]->subject;
        ends[i] = (struct sql_session_end){ ending->session, ending->user, tx->now };
        outcomes[i] = OK;
    }
    return end_sessions(tx, ends, count);
}

/* ---- writing addresses ---- */

err store_add_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_address_insert *rows = arena_array(tx->arena, struct sql_address_insert, count);
    int64_t *added = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        const struct address *address = writes[i]->subject;
        rows[i] =
            (struct sql_address_insert){ address->id,         address->user,   address->name,
                                         address->company,    address->line1,  address->line2,
                                         address->city,       address->region, address->postal_code,
                                         address->country,    address->phone,  address->created_at,
                                         address->updated_at, ADDRESSES_MAX };
    }
    TRY(sql_address_insert_many(tx, rows, count, added));
    for (size_t i = 0; i < count; i++)
        outcomes[i] = added[i] ? OK
                               : fail(writes[i]->arena, ADDRESSES_TOO_MANY,
                                      "the account has %d addresses", ADDRESSES_MAX);
    return OK;
}

/* Whoever's row was not touched has none: it was dropped, or is another's. */
static void not_found_where_zero(struct write *const *writes, size_t count, const int64_t *changed,
                                 err *outcomes)
{
    for (size_t i = 0; i < count; i++)
        outcomes[i] =
            changed[i] ? OK : fail(writes[i]->arena, NOT_FOUND, "the account has no such address");
}

err store_save_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_address_update *rows = arena_array(tx->arena, struct sql_address_update, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        const struct address *address = writes[i]->subject;
        rows[i] =
            (struct sql_address_update){ address->id,      address->user,   address->name,
                                         address->company, address->line1,  address->line2,
                                         address->city,    address->region, address->postal_code,
                                         address->country, address->phone,  address->updated_at };
    }
    TRY(sql_address_update_many(tx, rows, count, changed));
    not_found_where_zero(writes, count, changed, outcomes);
    return OK;
}

err store_drop_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_address_delete *rows = arena_array(tx->arena, struct sql_address_delete, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        const struct address *address = writes[i]->subject;
        rows[i] = (struct sql_address_delete){ address->id, address->user };
    }
    TRY(sql_address_delete_many(tx, rows, count, changed));
    not_found_where_zero(writes, count, changed, outcomes);
    return OK;
}
