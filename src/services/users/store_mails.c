#include "gen/users.sql.h"
#include "services/users/store.h"

static str hash_bytes(const struct sha256 *hash) { return str_of(hash->bytes, sizeof hash->bytes); }

static str word_of(enum mail_kind kind) { return str_of_z(mail_kind_word(kind)); }

/* ---- reading ---- */

err store_find_mail(struct call *call, struct uuid id, struct mail_job *out, bool *found)
{
    struct db_reader *reader;
    struct sql_mail_by_id_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_mail_by_id(reader, call->arena, &(struct sql_mail_by_id){ id }, &row, found));
    if (!*found)
        return OK;
    *out = (struct mail_job){ .id = id,
                              .user = row.user_id,
                              .email_key = row.email_key,
                              .about = row.about,
                              .total = { row.total_minor, row.currency },
                              .reason = row.reason,
                              .tries = row.tries,
                              .created_at = row.created_at,
                              .due_at = row.due_at,
                              .traceparent = row.traceparent };
    if (!mail_kind_of(row.kind, &out->kind))
        return fail(call->arena, DB_NEWER, "mail_jobs has a kind that this version does not know");
    return OK;
}

err store_list_due_mails(struct call *call, int32_t rows_max, struct uuid **out, size_t *count)
{
    struct db_reader *reader;
    struct sql_mails_due_row *rows;
    struct sql_mails_due params = { call->now, mail_due_max(call->now), rows_max };
    TRY(call_reader(call, &reader));
    TRY(sql_mails_due(reader, call->arena, &params, &rows, count));
    *out = arena_array(call->arena, struct uuid, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = rows[i].id;
    return OK;
}

err store_next_mail(struct call *call, time_us *at)
{
    struct db_reader *reader;
    struct sql_mails_next_row row;
    TRY(call_reader(call, &reader));
    TRY(sql_mails_next(reader, call->arena, &row));
    *at = row.due_at ? row.due_at : INT64_MAX;
    return OK;
}

err store_find_mail_token(struct call *call, const struct sha256 *hash, enum mail_kind kind,
                          struct uuid *user, bool *found)
{
    struct db_reader *reader;
    struct sql_mail_token_by_hash_row row;
    struct sql_mail_token_by_hash params = { hash_bytes(hash), word_of(kind), call->now };
    TRY(call_reader(call, &reader));
    TRY(sql_mail_token_by_hash(reader, call->arena, &params, &row, found));
    if (*found)
        *user = row.user_id;
    return OK;
}

/* ---- writing ---- */

err store_add_mail(struct tx *tx, const struct mail_job *job)
{
    struct sql_mail_insert row = { .id = job->id,
                                   .kind = word_of(job->kind),
                                   .user_id = job->user,
                                   .email_key = job->email_key.ptr ? job->email_key : STR(""),
                                   .about = job->about,
                                   .total_minor = job->total.minor,
                                   .currency = job->total.currency,
                                   .reason = job->reason.ptr ? job->reason : STR(""),
                                   .tries = job->tries,
                                   .created_at = job->created_at,
                                   .due_at = job->due_at,
                                   .traceparent = job->traceparent };
    return sql_mail_insert(tx, &row, NULL);
}

err store_drop_mail_tokens(struct tx *tx, struct uuid user, enum mail_kind kind)
{
    return sql_mail_tokens_delete(tx, &(struct sql_mail_tokens_delete){ user, word_of(kind) },
                                  NULL);
}

err store_add_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = OK;
        TRY(store_add_mail(tx, writes[i]->subject));
    }
    return OK;
}

err store_put_off_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct mail_job *job = writes[i]->subject;
        outcomes[i] = OK;
        TRY(sql_mail_put_off(tx, &(struct sql_mail_put_off){ job->id, job->tries, job->due_at },
                             NULL));
    }
    return OK;
}

err store_drop_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct mail_job *job = writes[i]->subject;
        outcomes[i] = OK;
        TRY(sql_mail_delete(tx, &(struct sql_mail_delete){ job->id }, NULL));
    }
    return OK;
}

err store_add_mail_tokens(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct mail_token *token = writes[i]->subject;
        struct sql_mail_token_insert row = { hash_bytes(&token->hash), token->user,
                                             word_of(token->kind), token->expires_at };
        outcomes[i] = OK;
        TRY(sql_mail_token_insert(tx, &row, NULL));
    }
    return OK;
}
