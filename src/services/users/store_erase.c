/* An account goes, with all that belongs to it. */
#include "chassis/dead_letters.h"
#include "gen/users.sql.h"
#include "services/users/store.h"

/* What leads to the account first: its row goes last. */
static err erase(struct tx *tx, const struct user *user)
{
    TRY(sql_user_log_erase(tx, &(struct sql_user_log_erase){ user->id }, NULL));
    TRY(sql_sessions_erase(tx, &(struct sql_sessions_erase){ user->id }, NULL));
    TRY(sql_addresses_erase(tx, &(struct sql_addresses_erase){ user->id }, NULL));
    TRY(sql_mail_tokens_erase(tx, &(struct sql_mail_tokens_erase){ user->id }, NULL));
    TRY(sql_mails_erase(tx, &(struct sql_mails_erase){ user->id, user->email_key }, NULL));
    TRY(events_forget(tx, uuid_text(tx->arena, user->id))); /* news of orders that waited */
    TRY(sql_user_erase(tx, &(struct sql_user_erase){ user->id }, NULL));
    struct sql_revocation_insert revocation = { .user_id = user->id,
                                                .version_min = user->version + 1,
                                                .at = tx->now };
    return sql_revocation_insert(tx, &revocation, NULL);
}

static err check_version(struct tx *tx, const struct write *write, err *outcome)
{
    const struct user *user = ((const struct user_saving *)write->subject)->user;
    struct sql_user_version_row row;
    bool found;
    TRY(sql_tx_user_version(tx, &(struct sql_user_version){ user->id }, &row, &found));
    if (!found || row.version != user->version)
        *outcome = fail(write->arena, VERSION_CONFLICT, "the account has changed meanwhile");
    return OK;
}

err store_erase_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = OK;
        TRY(store_check_admins_left(tx, writes[i], &outcomes[i]));
        if (outcomes[i] == OK)
            TRY(check_version(tx, writes[i], &outcomes[i]));
        if (outcomes[i] == OK)
            TRY(erase(tx, ((const struct user_saving *)writes[i]->subject)->user));
    }
    return OK;
}
