/* How accounts, sessions and addresses lie in tables: reads on a call's snapshot, writes as batch
 * functions. No decisions, but those that only hold under the writer's lock. */
#pragma once
#include "chassis/call.h"
#include "chassis/sweeper.h"
#include "services/users/address.h"
#include "services/users/api_key.h"
#include "services/users/mails.h"
#include "services/users/session.h"
#include "services/users/user.h"

/* ---- reading ---- */

/* An account. Fails with NOT_FOUND. */
err store_find_user(struct call *call, struct uuid id, struct user *out);
err store_find_user_by_email(struct call *call, str email_key, struct user *out, bool *found);

/* Whether there is an admin who can log in. */
err store_has_admin(struct call *call, bool *out);

/* What happened to an account, newest first, at most ACCOUNT_STEPS_MAX. */
enum { ACCOUNT_STEPS_MAX = 1000 };
err store_list_account_steps(struct call *call, struct uuid user, struct account_step **out,
                             size_t *count);

/* A place in the list of accounts, and what it is filtered by. */
struct users_page {
    time_us created_at; /* accounts older than this one, in the order of time and id */
    struct uuid id;
    unsigned roles; /* 0: any */
    str status;     /* "": any */
    str email_key;  /* "": any */
    int32_t rows_max;
};
err store_list_users(struct call *call, const struct users_page *page, struct user **out,
                     size_t *count);

/* What is known of a refresh token. */
err store_find_refresh(struct call *call, const struct sha256 *hash, struct refresh *out,
                       bool *found);

/* The sessions of an account that live, newest first; NOT_FOUND unless such a one is its. */
err store_list_sessions(struct call *call, struct uuid user, struct session **out, size_t *count);
err store_check_session(struct call *call, struct uuid user, struct uuid id);

/* The addresses of an account, oldest first; one of them, or NOT_FOUND. */
err store_list_addresses(struct call *call, struct uuid user, struct address **out, size_t *count);
err store_find_address(struct call *call, struct uuid user, struct uuid id, struct address *out);

enum { REVOCATIONS_PAGE_MAX = 1000 };

/* Revocations after a position, oldest first, at most REVOCATIONS_PAGE_MAX; a position beyond the
 * last one (the database was restored) begins anew. `*position` is where the next page begins. */
err store_list_revocations(struct call *call, int64_t since, struct revocation **out, size_t *count,
                           int64_t *position);

/* ---- writing: batch functions, and what they work on ---- */

/* Erases the account of a user_saving, as it was read, with all that belongs to it; its tokens are
 * refused from now on. VERSION_CONFLICT where it has changed meanwhile. */
err store_erase_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A new account; EMAIL_TAKEN where there is one. */
struct user_adding {
    const struct user *user;
    str what;                    /* "registered" or "created" */
    const struct mail_job *mail; /* to the new account; NULL: none */
};
err store_add_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* The first admin of a shop; USER_STATE where it has one. `audit` is its row's id. */
struct first_admin_adding {
    struct user_adding adding; /* first, for store_add_users */
    struct uuid audit;
};
err store_add_first_admins(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A changed account over the one of the version before; VERSION_CONFLICT where it has changed
 * meanwhile. */
struct user_saving {
    const struct user *user;
    str what; /* for the log; none: a profile */
    str reason;
    struct uuid actor; /* nil: the operator, or the account itself */
    bool takes_admin;  /* USER_STATE where no other active admin is left */
    bool ends_sessions;
    struct uuid session_kept; /* the one that goes on; nil: none, all end */
    bool revokes;             /* tokens of earlier versions */
    bool verifies, resets;    /* links of that kind are spent */
};
err store_save_users(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A session with its first refresh token, for the account of the version whose password was
 * checked. */
struct session_adding {
    struct session session;
    struct sha256 refresh;
    int64_t user_version;
};
err store_add_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A refresh token spent for the next one. */
struct session_refreshing {
    struct uuid session;
    struct sha256 spent, refresh;
    int64_t user_version;
    time_us expires_at;
};
err store_refresh_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A session that ends, its tokens refused from now on. One that has ended already stays so. */
struct session_ending {
    struct uuid session, user;
};
err store_end_sessions(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* Addresses: a `const struct address` each. ADDRESSES_TOO_MANY; NOT_FOUND for others'. */
err store_add_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);
err store_save_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);
err store_drop_addresses(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* Part of such writes: USER_STATE as the outcome where a user_saving takes away the last admin. */
err store_check_admins_left(struct tx *tx, const struct write *write, err *outcome);

/* ---- mails: store_mails.c ---- */

/* A mail that is to be sent, if it still is. */
err store_find_mail(struct call *call, struct uuid id, struct mail_job *out, bool *found);

/* Mails that are due now, the longest first; then those that a clock that went back left far
 * ahead. */
err store_list_due_mails(struct call *call, int32_t rows_max, struct uuid **out, size_t *count);

/* When the first of all is due; INT64_MAX where there is none. */
err store_next_mail(struct call *call, time_us *at);

/* Whose link of that kind this is the token of. */
err store_find_mail_token(struct call *call, const struct sha256 *hash, enum mail_kind kind,
                          struct uuid *user, bool *found);

/* Parts of other writes: a mail that follows from them; links that work no more. */
err store_add_mail(struct tx *tx, const struct mail_job *job);
err store_drop_mail_tokens(struct tx *tx, struct uuid user, enum mail_kind kind);

/* Batches over `const struct mail_job`: to be sent; put off, with its tries and due_at; done with.
 */
err store_add_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);
err store_put_off_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);
err store_drop_mails(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A link that will be sent. */
struct mail_token {
    struct sha256 hash;
    struct uuid user;
    enum mail_kind kind;
    time_us expires_at;
};
err store_add_mail_tokens(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* ---- API keys: store_api_keys.c ---- */

/* A page of them, newest first: those before an id. */
err store_list_api_keys(struct call *call, struct uuid before, int32_t rows_max,
                        struct api_key **out, size_t *count);

/* NOT_FOUND where there is no such key. */
err store_check_api_key(struct call *call, struct uuid id);

/* The mark of their state, nil before the first key; and those that were not revoked, at most
 * API_KEYS_MAX. */
err store_find_api_keys_mark(struct call *call, struct uuid *mark);
err store_list_known_api_keys(struct call *call, struct api_key_known **out, size_t *count);

/* A key that is made: API_KEYS_TOO_MANY; one that is revoked, which may have been before. */
struct api_key_change {
    struct api_key key;
    struct uuid mark; /* of the state that it leads to */
};
err store_add_api_keys(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);
err store_revoke_api_keys(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* When keys were used. */
struct api_key_uses {
    const struct api_key_use *items;
    size_t count;
};
err store_note_api_key_uses(struct tx *tx, struct write *const *writes, size_t count,
                            err *outcomes);

/* What nobody can use any more (see chassis/sweeper.h), in `tables`; API keys for a time longer. */
enum { USERS_SWEPT_COUNT = 6 };
struct swept_room store_users_swept(struct swept tables[USERS_SWEPT_COUNT],
                                    int64_t api_keys_kept_us);
