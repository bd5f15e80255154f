/* What Users forgets by itself. A row says when it expires, so nothing is kept beyond that; only
 * revocations are kept for as long as a token that they concern may live. */
#include "chassis/token.h"
#include "gen/users.sql.h"
#include "services/users/store.h"

#define REVOCATIONS_KEPT_US ((TOKEN_LIFE_MAX_S + 2 * AUTH_LEEWAY_S) * TIME_SECOND)

static err sweep_tokens(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    return sql_refresh_sweep(tx, &(struct sql_refresh_sweep){ before, rows_max }, dropped);
}

static err sweep_sessions(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    return sql_sessions_sweep(tx, &(struct sql_sessions_sweep){ before, rows_max }, dropped);
}

static err sweep_links(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    return sql_mail_tokens_sweep(tx, &(struct sql_mail_tokens_sweep){ before, rows_max }, dropped);
}

static err sweep_revocations(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    return sql_revocations_sweep(tx, &(struct sql_revocations_sweep){ before, rows_max }, dropped);
}

static err sweep_api_keys(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    return sql_api_keys_sweep(tx, &(struct sql_api_keys_sweep){ before, rows_max }, dropped);
}

static err count_rows(struct db_reader *reader, struct arena *arena, int64_t *rows)
{
    struct sql_users_sweep_counts_row row;
    TRY(sql_users_sweep_counts(reader, arena, &row));
    const int64_t counts[] = { row.tokens_count,      row.sessions_count, row.links_count,
                               row.revocations_count, row.mails_count,    row.keys_count };
    memcpy(rows, counts, sizeof counts);
    return OK;
}

static err look(struct db_reader *reader, struct arena *arena, const time_us *before, bool *due)
{
    struct sql_users_sweep_due params = { before[0], before[3], before[5] };
    struct sql_users_sweep_due_row row;
    TRY(sql_users_sweep_due(reader, arena, &params, &row));
    const bool answers[] = { row.tokens_due, row.sessions_due, row.links_due, row.revocations_due,
                             false,          row.keys_due };
    memcpy(due, answers, sizeof answers);
    return OK;
}

/* Tokens before their sessions, which go once they have none. */
struct swept_room store_users_swept(struct swept tables[USERS_SWEPT_COUNT],
                                    int64_t api_keys_kept_us)
{
    const struct swept all[USERS_SWEPT_COUNT] = {
        { "refresh_tokens", 0, SWEEP_ROWS_MAX, sweep_tokens },
        { "sessions", 0, SWEEP_ROWS_MAX, sweep_sessions },
        { "mail_tokens", 0, SWEEP_ROWS_MAX, sweep_links },
        { "revocations", REVOCATIONS_KEPT_US, SWEEP_ROWS_MAX, sweep_revocations },
        { .table = "mail_jobs" }, /* go when they are sent, or given up after MAIL_KEEP */
        { "api_keys", api_keys_kept_us, SWEEP_ROWS_MAX, sweep_api_keys },
    };
    memcpy(tables, all, sizeof all);
    return (struct swept_room){ tables, USERS_SWEPT_COUNT, count_rows, look };
}
