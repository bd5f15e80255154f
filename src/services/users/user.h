/* An account and the rules it obeys: its e-mail address, password, roles, states. Pure: no clock,
 * no database, no chance. */
#pragma once
#include "base/err.h"
#include "base/time.h"
#include "base/uuid.h"
#include "chassis/call.h"

enum {
    EMAIL_BYTES_MAX = 254, /* RFC 5321 */
    EMAIL_LOCAL_BYTES_MAX = 64,
    PASSWORD_LENGTH_MAX = 256, /* code points */
    PASSWORD_SALT_BYTES = 16,
};

enum user_status { USER_STATUS_ACTIVE, USER_STATUS_SUSPENDED, USER_STATUSES_COUNT };

struct user {
    struct uuid id;
    str email;     /* as it was typed, in normal form C */
    str email_key; /* what makes it unique: folded */
    str name, phone;
    unsigned roles; /* ROLE_BIT_… */
    enum user_status status;
    str password_hash;
    int64_t version; /* grows by one with each change; tokens carry it */
    time_us created_at, updated_at;
    time_us verified_at; /* when mail to the address was answered; 0: not yet */
};

/* Something that happened to its standing, as the log of accounts has it. */
struct account_step {
    time_us at;
    str what, reason;
};

/* ---- the e-mail address ---- */

struct email {
    str text; /* normal form C */
    str key;  /* for comparing: folded */
};

/* Reads an address: one local part and one domain, no white space, nothing invisible. Whether mail
 * arrives there, only mail can tell. Fails with EMAIL_INVALID. */
err email_parse(struct arena *arena, str text, struct email *out);

/* ---- the password ---- */

struct password_policy {
    int64_t length_min, length_min_staff; /* code points; the second for staff and admins */
};

/* A password in the form that is hashed: normal form C, so that two keyboards that write "é" in two
 * ways give one password. */
str password_normal(struct arena *arena, str password);

/* Refuses what is too short for the roles, too long, among the most common, or the e-mail address
 * itself: PASSWORD_WEAK. Any character counts. */
err password_check(struct arena *arena, str password, str email_key, unsigned roles,
                   const struct password_policy *policy);

/* Tells whether a password is among the most common ones, in whatever case. */
bool password_is_common(struct arena *arena, str password);

/* A hash that no password gives: verifying against it costs what verifying costs, so that an answer
 * does not tell whether there is such an account. */
str password_hash_of_nobody(void);

/* ---- roles ---- */

/* Staff or admin: their accounts are for admins to change, their passwords are longer. */
static inline bool roles_are_staff(unsigned roles)
{
    return (roles & (ROLE_BIT_STAFF | ROLE_BIT_ADMIN)) != 0;
}

/* ---- the account ---- */

/* What a new account is made of. */
struct user_new {
    struct uuid id;
    struct email email;
    str name, phone;
    unsigned roles;
    str password_hash;
    bool is_verified; /* the operator vouches for the address */
};

/* A new, active account of version 1. */
struct user user_make(const struct user_new *new, time_us now);

/* Moves an account to another state, if someone with `by_roles` may. Fails with ROLE_MISSING (staff
 * accounts are for admins) or USER_STATE. */
err user_move(struct arena *arena, struct user *user, enum user_status to, unsigned by_roles,
              time_us now);

/* Gives it other roles, at least one. Fails with ROLE_INVALID. */
err user_set_roles(struct arena *arena, struct user *user, unsigned roles, time_us now);

/* Gives it another password, and lets it log in again where it was suspended. */
void user_set_password(struct user *user, str password_hash, time_us now);

/* The same for somebody who answered a mail: the address is verified too, and who is suspended
 * stays so. */
void user_reset_password(struct user *user, str password_hash, time_us now);

/* Mail to the address was answered. */
void user_verify(struct user *user, time_us now);

/* Changes the profile. */
void user_set_profile(struct user *user, str name, str phone, time_us now);

/* Tells whether the change takes away an active admin: then another one must remain. */
bool user_takes_admin(const struct user *before, const struct user *after);
