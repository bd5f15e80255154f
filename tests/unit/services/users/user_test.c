#include "base/crypto.h"
#include "services/users/user.h"
#include "tests/lib/test.h"

static const time_us NOW = 1000 * TIME_SECOND;
static const struct password_policy POLICY = { .length_min = 8, .length_min_staff = 15 };

static err parse(struct test *t, const char *text, struct email *out)
{
    return email_parse(t->arena, str_of_z(text), out);
}

static err parse_only(struct test *t, const char *text)
{
    struct email email;
    return parse(t, text, &email);
}

static err check(struct test *t, const char *password, unsigned roles)
{
    return password_check(t->arena, str_of_z(password), STR("amina@example.com"), roles, &POLICY);
}

static struct user user_of(unsigned roles)
{
    struct user_new new = { .email = { STR("Amina@example.com"), STR("amina@example.com") },
                            .name = STR("Amina"),
                            .roles = roles,
                            .password_hash = STR("$hash") };
    new.id.bytes[0] = 1;
    return user_make(&new, NOW);
}

/* ---- the e-mail address ---- */

TEST(an_address_keeps_how_it_was_typed_and_is_compared_folded)
{
    struct email email;
    CHECK_OK(parse(t, "Amina.Njoroge+shop@Example.COM", &email));
    CHECK_STR(email.text, "Amina.Njoroge+shop@Example.COM");
    CHECK_STR(email.key, "amina.njoroge+shop@example.com");
}

TEST(two_ways_to_write_a_letter_are_one_address)
{
    struct email composed, decomposed;
    CHECK_OK(parse(t, "Ren\u00e9@example.com", &composed));
    CHECK_OK(parse(t, "Rene\u0301@EXAMPLE.com", &decomposed));
    CHECK_STR(composed.key, decomposed.key);
    CHECK_STR(decomposed.text, "Ren\u00e9@EXAMPLE.com");
    CHECK_OK(parse(t, "stra\u00dfe@example.com", &composed));
    CHECK_OK(parse(t, "STRASSE@example.com", &decomposed));
    CHECK_STR(composed.key, decomposed.key);
}

TEST(addresses_of_many_forms_are_taken)
{
    static const char *const good[] = {
        "a@b",
        "root@localhost",
        "o'brien@example.ie",
        "a.b.c@d.e.f",
        "x_y-z=1!#$%&*/?^`{|}~@example.com",
        "\u7528\u6237@\u4f8b\u5b50.\u4e2d\u56fd",
        "user@xn--fsq.example",
        "123@456.com",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (parse_only(t, good[i]) != OK)
            FAIL("%s is refused", good[i]);
}

TEST(what_is_no_address_is_refused)
{
    static const char *const bad[] = {
        "",
        "@",
        "a@",
        "@b.com",
        "a",
        "a@b@c.com",
        "a b@c.de",
        " a@b.de",
        "a@b.de ",
        "a@b..de",
        "a@.b.de",
        "a@b.de.",
        "a@-b.de",
        "a@b-.de",
        ".a@b.de",
        "a.@b.de",
        "a..b@c.de",
        "a@b_c.de",
        "a@b.de\n",
        "a\t@b.de",
        "a\x7f@b.de",
        "a\xc2\x85@b.de",
        "a\u00a0@b.de",
        "a\u200b@b.de",
        "a@b\u3000.de",
        "a\u202e@b.de",
        "a\ufeff@b.de",
        "\"a b\"@c.de",
        "a,b@c.de",
        "<a@b.de>",
        "a@[127.0.0.1]",
        "a\u2028@b.de",
        "a\U000e0041@b.de",
        "a;b@c.de",
        "a\xff@b.de",
        "a\xc3@b.de",
        "a@b.\xc3",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!err_is(parse_only(t, bad[i]), EMAIL_INVALID))
            FAIL("case %zu (%s) is taken", i, bad[i]);
    struct email email;
    CHECK_ERR(email_parse(t->arena, str_of("a\0b@c.de", 8), &email), EMAIL_INVALID);
    CHECK_ERR(email_parse(t->arena, STR_NONE, &email), EMAIL_INVALID);
}

TEST(an_address_has_its_longest_length)
{
    str local = str_format(t->arena, "%064d", 0);
    str labels = str_format(t->arena, "%063d.%063d.%057d.de", 0, 0, 0);
    struct email email;
    str longest = str_format(t->arena, "%" STR_F "@%" STR_F, STR_A(local), STR_A(labels));
    CHECK_INT(longest.len, 253);
    CHECK_OK(email_parse(t->arena, longest, &email));
    CHECK_OK(email_parse(t->arena, str_format(t->arena, "%" STR_F "v", STR_A(longest)), &email));
    CHECK_ERR(email_parse(t->arena, str_format(t->arena, "%" STR_F "vw", STR_A(longest)), &email),
              EMAIL_INVALID);
    CHECK_ERR(email_parse(t->arena, str_format(t->arena, "%065d@b.de", 0), &email), EMAIL_INVALID);
    CHECK_ERR(email_parse(t->arena, str_format(t->arena, "a@%064d.de", 0), &email), EMAIL_INVALID);
}

TEST(an_error_points_to_the_field)
{
    err error = parse_only(t, "nobody");
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].pointer, "/email");
    error = check(t, "short", ROLE_BIT_CUSTOMER);
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].pointer, "/password");
}

/* ---- the password ---- */

TEST(a_customer_needs_eight_characters_and_staff_fifteen)
{
    CHECK_ERR(check(t, "kq7#vbp", ROLE_BIT_CUSTOMER), PASSWORD_WEAK);
    CHECK_OK(check(t, "kq7#vbpx", ROLE_BIT_CUSTOMER));
    CHECK_ERR(check(t, "kq7#vbpxkq7#vb", ROLE_BIT_STAFF), PASSWORD_WEAK);
    CHECK_OK(check(t, "kq7#vbpxkq7#vbp", ROLE_BIT_STAFF));
    CHECK_ERR(check(t, "kq7#vbpxkq7#vb", ROLE_BIT_CUSTOMER | ROLE_BIT_ADMIN), PASSWORD_WEAK);
    CHECK_OK(check(t, "kq7#vbpxkq7#vbp", ROLE_BIT_ADMIN));
}

TEST(characters_are_counted_not_bytes_and_256_are_taken_whole)
{
    CHECK_ERR(check(t, "\u4e2d\u4e2d\u6587\u6587\u5bc6\u7801\u5bc6", ROLE_BIT_CUSTOMER),
              PASSWORD_WEAK);
    CHECK_OK(check(t, "\u4e2d\u4e2d\u6587\u6587\u5bc6\u7801\u5bc6\u7801", ROLE_BIT_CUSTOMER));

    struct text text = text_init(t->arena, 1024);
    for (int i = 0; i < 255; i++)
        text_add(&text, STR("\U0001f511"));
    text_add(&text, STR("x"));
    CHECK_OK(password_check(t->arena, text_str(&text), STR("a@b"), ROLE_BIT_ADMIN, &POLICY));
    text_add(&text, STR("x"));
    CHECK_ERR(password_check(t->arena, text_str(&text), STR("a@b"), ROLE_BIT_ADMIN, &POLICY),
              PASSWORD_WEAK);
}

TEST(any_character_counts)
{
    CHECK_OK(check(t, "        x", ROLE_BIT_CUSTOMER));
    CHECK_OK(check(t, "\t\r\n\x01\x02 ab", ROLE_BIT_CUSTOMER));
}

TEST(the_most_common_passwords_are_refused_in_any_case)
{
    CHECK_ERR(check(t, "password", ROLE_BIT_CUSTOMER), PASSWORD_WEAK);
    CHECK_ERR(check(t, "PassWord1", ROLE_BIT_CUSTOMER), PASSWORD_WEAK);
    CHECK_ERR(check(t, "12345678", ROLE_BIT_CUSTOMER), PASSWORD_WEAK);
    CHECK_ERR(check(t, "passwordpassword", ROLE_BIT_STAFF), PASSWORD_WEAK);
    CHECK_ERR(check(t, "1qaz2wsx3edc4rfv", ROLE_BIT_ADMIN), PASSWORD_WEAK);
    CHECK_OK(check(t, "correct horse battery", ROLE_BIT_STAFF)); /* the example of the contract */
}

TEST(the_table_of_common_passwords_is_sorted_folded_and_long_enough)
{
    static const char *const table[] = {
#define COMMON(password) password,
#include "services/users/passwords.tbl"
#undef COMMON
    };
    size_t count = sizeof table / sizeof table[0];
    CHECK(count >= 1000);
    for (size_t i = 0; i < count; i++) {
        str entry = str_of_z(table[i]);
        if (i > 0 && str_compare(str_of_z(table[i - 1]), entry) >= 0)
            FAIL("\"%s\" is out of order", table[i]);
        if (entry.len < 8 || !str_equal(str_lower(t->arena, entry), entry))
            FAIL("\"%s\" is too short, or not in lower case", table[i]);
        if (!password_is_common(t->arena, entry))
            FAIL("\"%s\" is not found", table[i]);
    }
}

TEST(the_address_itself_is_no_password)
{
    CHECK_ERR(check(t, "Amina@Example.com", ROLE_BIT_CUSTOMER), PASSWORD_WEAK);
    CHECK_OK(check(t, "Amina@Example.com!", ROLE_BIT_CUSTOMER));
}

TEST(two_ways_to_type_a_password_are_one)
{
    CHECK_STR(password_normal(t->arena, STR("pass\u00e9 1234")),
              password_normal(t->arena, STR("passe\u0301 1234")));
    CHECK_STR(password_normal(t->arena, STR("Case Counts")), "Case Counts");
}

TEST(the_hash_of_nobody_costs_what_others_cost_and_fits_no_password)
{
    crypto_init();
    uint8_t salt[16] = { 1 };
    str real;
    CHECK_OK(password_hash(t->arena, STR("correct horse battery"), salt, &real));

    str nobody = password_hash_of_nobody();
    CHECK_INT(nobody.len, real.len);
    size_t head = (size_t)str_find(real, STR("p=1$")) + 4;
    CHECK_STR(str_slice(nobody, 0, head), str_slice(real, 0, head));
    CHECK(!password_verify(nobody, STR("correct horse battery")));
    CHECK(!password_verify(nobody, STR("")));
}

/* ---- the account ---- */

TEST(a_new_account_is_active_and_of_version_one)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    CHECK_INT(user.status, USER_STATUS_ACTIVE);
    CHECK_INT(user.version, 1);
    CHECK_INT(user.created_at, NOW);
    CHECK_INT(user.updated_at, NOW);
    CHECK_STR(user.email, "Amina@example.com");
    CHECK_STR(user.email_key, "amina@example.com");
}

TEST(staff_suspend_and_restore_customers)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    CHECK_OK(user_move(t->arena, &user, USER_STATUS_SUSPENDED, ROLE_BIT_STAFF, NOW + 1));
    CHECK_INT(user.status, USER_STATUS_SUSPENDED);
    CHECK_INT(user.version, 2);
    CHECK_INT(user.updated_at, NOW + 1);
    CHECK_OK(user_move(t->arena, &user, USER_STATUS_ACTIVE, ROLE_BIT_STAFF, NOW + 2));
    CHECK_INT(user.status, USER_STATUS_ACTIVE);
    CHECK_INT(user.version, 3);
}

TEST(a_move_to_where_the_account_is_already_is_refused_and_changes_nothing)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    CHECK_ERR(user_move(t->arena, &user, USER_STATUS_ACTIVE, ROLE_BIT_ADMIN, NOW + 1), USER_STATE);
    CHECK_INT(user.version, 1);
    CHECK_OK(user_move(t->arena, &user, USER_STATUS_SUSPENDED, ROLE_BIT_ADMIN, NOW + 1));
    CHECK_ERR(user_move(t->arena, &user, USER_STATUS_SUSPENDED, ROLE_BIT_ADMIN, NOW + 2),
              USER_STATE);
    CHECK_INT(user.version, 2);
}

TEST(accounts_of_staff_are_for_admins)
{
    struct user staff = user_of(ROLE_BIT_STAFF | ROLE_BIT_CUSTOMER),
                admin = user_of(ROLE_BIT_ADMIN);
    CHECK_ERR(user_move(t->arena, &staff, USER_STATUS_SUSPENDED, ROLE_BIT_STAFF, NOW),
              ROLE_MISSING);
    CHECK_ERR(user_move(t->arena, &admin, USER_STATUS_SUSPENDED, ROLE_BIT_STAFF, NOW),
              ROLE_MISSING);
    CHECK_OK(user_move(t->arena, &staff, USER_STATUS_SUSPENDED, ROLE_BIT_ADMIN, NOW));
    CHECK_ERR(user_move(t->arena, &staff, USER_STATUS_ACTIVE, ROLE_BIT_STAFF, NOW), ROLE_MISSING);
    CHECK_OK(user_move(t->arena, &staff, USER_STATUS_ACTIVE, ROLE_BIT_STAFF | ROLE_BIT_ADMIN, NOW));
}

TEST(an_account_has_at_least_one_role)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    CHECK_ERR(user_set_roles(t->arena, &user, 0, NOW + 1), ROLE_INVALID);
    CHECK_INT(user.version, 1);
    CHECK_OK(user_set_roles(t->arena, &user, ROLE_BIT_STAFF, NOW + 1));
    CHECK_INT(user.roles, ROLE_BIT_STAFF);
    CHECK_INT(user.version, 2);
}

TEST(a_new_password_lets_a_suspended_account_in_again)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    CHECK_OK(user_move(t->arena, &user, USER_STATUS_SUSPENDED, ROLE_BIT_ADMIN, NOW + 1));
    user_set_password(&user, STR("$other"), NOW + 2);
    CHECK_INT(user.status, USER_STATUS_ACTIVE);
    CHECK_STR(user.password_hash, "$other");
    CHECK_INT(user.version, 3);
}

TEST(a_profile_changes_its_name_and_phone)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    user_set_profile(&user, STR("Amina N."), STR("+254 1"), NOW + 1);
    CHECK_STR(user.name, "Amina N.");
    CHECK_STR(user.phone, "+254 1");
    CHECK_INT(user.version, 2);
    CHECK_INT(user.updated_at, NOW + 1);
}

TEST(taking_an_active_admin_away_is_seen)
{
    struct user admin = user_of(ROLE_BIT_ADMIN), after = admin;
    CHECK(!user_takes_admin(&admin, &after));
    CHECK_OK(user_move(t->arena, &after, USER_STATUS_SUSPENDED, ROLE_BIT_ADMIN, NOW));
    CHECK(user_takes_admin(&admin, &after));

    struct user suspended = after;
    CHECK_OK(user_set_roles(t->arena, &after, ROLE_BIT_CUSTOMER, NOW));
    CHECK(!user_takes_admin(&suspended, &after)); /* was none before */

    after = admin;
    CHECK_OK(user_set_roles(t->arena, &after, ROLE_BIT_STAFF, NOW));
    CHECK(user_takes_admin(&admin, &after));
    after = user_of(ROLE_BIT_CUSTOMER);
    CHECK(!user_takes_admin(&after, &admin));
}

TEST(a_broken_account_is_not_made)
{
    struct user_new new = { .roles = ROLE_BIT_CUSTOMER };
    CHECK_PANICS(user_make(&new, NOW));
}
