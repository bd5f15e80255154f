#include "services/users/user.h"
#include "base/text.h"
#include <stdlib.h>

/* ---- the e-mail address ---- */

/* White space and what cannot be seen, as UTF-8, from `first` to `last`: two such addresses would
 * look the same. What counts as control is refused besides. */
static const struct {
    str first, last;
} INVISIBLE[] = {
    { STR(" "), STR(" ") },
    { STR("\u00A0"), STR("\u00A0") }, /* no-break space */
    { STR("\u00AD"), STR("\u00AD") }, /* soft hyphen */
    { STR("\u034F"), STR("\u034F") }, /* grapheme joiner */
    { STR("\u061C"), STR("\u061C") }, /* Arabic letter mark */
    { STR("\u115F"), STR("\u1160") }, /* Hangul fillers */
    { STR("\u1680"), STR("\u1680") }, /* Ogham space */
    { STR("\u17B4"), STR("\u17B5") }, /* Khmer inherent vowels */
    { STR("\u180B"), STR("\u180F") }, /* Mongolian selectors */
    { STR("\u2000"), STR("\u200F") }, /* spaces, zero width, marks of direction */
    { STR("\u2028"), STR("\u202F") },
    { STR("\u205F"), STR("\u206F") },
    { STR("\u2800"), STR("\u2800") }, /* blank Braille */
    { STR("\u3000"), STR("\u3000") }, /* ideographic space */
    { STR("\u3164"), STR("\u3164") }, /* Hangul filler */
    { STR("\uFE00"), STR("\uFE0F") }, /* variation selectors */
    { STR("\uFEFF"), STR("\uFEFF") }, /* byte-order mark */
    { STR("\uFFA0"), STR("\uFFA0") },
    { STR("\uFFF0"), STR("\uFFFF") },
    { STR("\U000E0000"), STR("\U000E0FFF") }, /* tags and selectors */
};

/* Bytes of UTF-8 sort as code points do. */
static bool is_invisible(str point)
{
    for (size_t i = 0; i < sizeof INVISIBLE / sizeof INVISIBLE[0]; i++)
        if (point.len == INVISIBLE[i].first.len && str_compare(point, INVISIBLE[i].first) >= 0 &&
            str_compare(point, INVISIBLE[i].last) <= 0)
            return true;
    return false;
}

static size_t point_bytes(char first)
{
    uint8_t byte = (uint8_t)first;
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

static bool has_invisible(str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t bytes = point_bytes(text.ptr[i]);
        if (is_invisible(str_slice(text, i, bytes)))
            return true;
        i += bytes;
    }
    return false;
}

static bool is_domain_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || (byte & 0x80);
}

/* Labels between dots: letters, digits, hyphens inside, letters of any script. */
static bool is_domain(str domain)
{
    if (domain.len == 0)
        return false;
    for (str rest = domain; rest.ptr;) {
        str label = str_cut(&rest, '.');
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!is_domain_byte(label.ptr[i]))
                return false;
    }
    return true;
}

/* Dots stand between something (RFC 5322 dot-atom); the quoted form is not taken. */
static bool is_local(str local)
{
    static const char refused[] = "\"(),:;<>@[\\]";
    if (local.len == 0 || local.len > EMAIL_LOCAL_BYTES_MAX)
        return false;
    if (local.ptr[0] == '.' || local.ptr[local.len - 1] == '.' || str_find(local, STR("..")) >= 0)
        return false;
    for (size_t i = 0; i < local.len; i++)
        if (memchr(refused, local.ptr[i], sizeof refused - 1))
            return false;
    return true;
}

err email_parse(struct arena *arena, str text, struct email *out)
{
    ASSERT(arena && out);

    struct email email;
    if (text.len == 0 || text.len > EMAIL_BYTES_MAX || !text_nfc(arena, text, &email.text) ||
        !text_fold(arena, text, &email.key))
        return fail_field(arena, EMAIL_INVALID, STR("/email"),
                          "an e-mail address is UTF-8 of 1 to %d bytes", EMAIL_BYTES_MAX);
    if (text_has_control(text, false) || has_invisible(email.text))
        return fail_field(arena, EMAIL_INVALID, STR("/email"),
                          "an e-mail address has no spaces, and nothing that cannot be seen");

    str domain = email.text;
    str local = str_cut(&domain, '@');
    if (!domain.ptr || !is_local(local) || !is_domain(domain))
        return fail_field(arena, EMAIL_INVALID, STR("/email"),
                          "an e-mail address looks like name@example.com");
    *out = email;
    return OK;
}

/* ---- the password ---- */

static const char *const COMMON_PASSWORDS[] = {
#define COMMON(password) password,
#include "services/users/passwords.tbl"
#undef COMMON
};
enum { COMMON_COUNT = sizeof COMMON_PASSWORDS / sizeof COMMON_PASSWORDS[0] };

static int compare_common(const void *wanted, const void *entry)
{
    return str_compare(*(const str *)wanted, str_of_z(*(const char *const *)entry));
}

bool password_is_common(struct arena *arena, str password)
{
    str folded;
    if (!text_fold(arena, password, &folded))
        return false;
    return bsearch(&folded, COMMON_PASSWORDS, COMMON_COUNT, sizeof COMMON_PASSWORDS[0],
                   compare_common) != NULL;
}

str password_normal(struct arena *arena, str password)
{
    str normal;
    return text_nfc(arena, password, &normal) ? normal : password;
}

err password_check(struct arena *arena, str password, str email_key, unsigned roles,
                   const struct password_policy *policy)
{
    ASSERT(arena && policy);

    str folded, pointer = STR("/password");
    int64_t least = roles_are_staff(roles) ? policy->length_min_staff : policy->length_min;
    size_t length = utf8_length(password);
    if ((int64_t)length < least)
        return fail_field(arena, PASSWORD_WEAK, pointer, "it needs at least %lld characters",
                          (long long)least);
    if (length > PASSWORD_LENGTH_MAX)
        return fail_field(arena, PASSWORD_WEAK, pointer, "it may have at most %d characters",
                          PASSWORD_LENGTH_MAX);
    if (password_is_common(arena, password))
        return fail_field(arena, PASSWORD_WEAK, pointer, "it is among the most common passwords");
    if (text_fold(arena, password, &folded) && str_equal(folded, email_key))
        return fail_field(arena, PASSWORD_WEAK, pointer, "it is the e-mail address");
    return OK;
}

str password_hash_of_nobody(void)
{
    return STR("$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ"
               "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
}

/* ---- the account ---- */

static const bool MOVES[USER_STATUSES_COUNT][USER_STATUSES_COUNT] = {
    [USER_STATUS_ACTIVE] = { [USER_STATUS_SUSPENDED] = true },
    [USER_STATUS_SUSPENDED] = { [USER_STATUS_ACTIVE] = true },
};

static void check_invariant(const struct user *user)
{
    ASSERT(!uuid_is_nil(user->id));
    ASSERT(user->email.len > 0 && user->email_key.len > 0 && user->password_hash.len > 0);
    ASSERT(user->roles != 0 &&
           (user->roles & ~(unsigned)(ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF | ROLE_BIT_ADMIN)) == 0);
    ASSERT(user->status < USER_STATUSES_COUNT && user->version >= 1);
}

static void changed(struct user *user, time_us now)
{
    user->version++;
    user->updated_at = now;
    check_invariant(user);
}

struct user user_make(const struct user_new *new, time_us now)
{
    struct user user = { .id = new->id,
                         .email = new->email.text,
                         .email_key = new->email.key,
                         .name = new->name,
                         .phone = new->phone,
                         .roles = new->roles,
                         .status = USER_STATUS_ACTIVE,
                         .password_hash = new->password_hash,
                         .version = 1,
                         .created_at = now,
                         .updated_at = now,
                         .verified_at = new->is_verified ? now : 0 };
    check_invariant(&user);
    return user;
}

err user_move(struct arena *arena, struct user *user, enum user_status to, unsigned by_roles,
              time_us now)
{
    ASSERT(arena && user && to < USER_STATUSES_COUNT);

    if (roles_are_staff(user->roles) && !(by_roles & ROLE_BIT_ADMIN))
        return fail(arena, ROLE_MISSING, "accounts of staff are for admins to change");
    if (!MOVES[user->status][to])
        return fail(arena, USER_STATE, "the account is %s already",
                    to == USER_STATUS_SUSPENDED ? "suspended" : "active");
    user->status = to;
    changed(user, now);
    return OK;
}

err user_set_roles(struct arena *arena, struct user *user, unsigned roles, time_us now)
{
    ASSERT(arena && user);

    if (roles == 0)
        return fail_field(arena, ROLE_INVALID, STR("/roles"), "an account has at least one role");
    user->roles = roles;
    changed(user, now);
    return OK;
}

void user_set_password(struct user *user, str password_hash, time_us now)
{
    ASSERT(user);
    user->password_hash = password_hash;
    user->status = USER_STATUS_ACTIVE;
    changed(user, now);
}

void user_reset_password(struct user *user, str password_hash, time_us now)
{
    ASSERT(user);
    user->password_hash = password_hash;
    user_verify(user, now);
}

void user_verify(struct user *user, time_us now)
{
    ASSERT(user);
    if (user->verified_at == 0)
        user->verified_at = now;
    changed(user, now);
}

void user_set_profile(struct user *user, str name, str phone, time_us now)
{
    ASSERT(user);
    user->name = name;
    user->phone = phone;
    changed(user, now);
}

static bool is_active_admin(const struct user *user)
{
    return user->status == USER_STATUS_ACTIVE && (user->roles & ROLE_BIT_ADMIN);
}

bool user_takes_admin(const struct user *before, const struct user *after)
{
    return is_active_admin(before) && !is_active_admin(after);
}
