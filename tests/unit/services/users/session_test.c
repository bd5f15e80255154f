#include "services/users/session.h"
#include "tests/lib/test.h"

static const time_us NOW = 1000 * TIME_SECOND;
static const struct refresh GOOD = { .expires_at = 1001 * TIME_SECOND };

TEST(a_session_lives_as_long_as_its_refresh_token)
{
    struct uuid id = { { 1 } }, user = { { 2 } };
    struct session session = session_begin(id, user, NOW, 30 * TIME_SECOND);
    CHECK(uuid_equal(session.id, id) && uuid_equal(session.user, user));
    CHECK_INT(session.created_at, NOW);
    CHECK_INT(session.used_at, NOW);
    CHECK_INT(session.expires_at, NOW + 30 * TIME_SECOND);
}

TEST(of_a_user_agent_the_beginning_is_kept_and_of_what_is_no_text_nothing)
{
    CHECK_STR(session_agent_of(STR("Firefox/1.0")), "Firefox/1.0");
    CHECK_STR(session_agent_of(STR_NONE), "");
    CHECK_STR(session_agent_of(STR("\xff")), "");
    CHECK_STR(session_agent_of(STR("a\tb")), "");

    char long_one[SESSION_AGENT_BYTES_MAX + 2];
    memset(long_one, 'x', sizeof long_one);
    CHECK_INT(session_agent_of(str_of(long_one, SESSION_AGENT_BYTES_MAX)).len,
              SESSION_AGENT_BYTES_MAX);
    CHECK_INT(session_agent_of(str_of(long_one, SESSION_AGENT_BYTES_MAX + 2)).len,
              SESSION_AGENT_BYTES_MAX);
    memcpy(long_one + SESSION_AGENT_BYTES_MAX - 1, "\xc3\xa9", 2); /* a letter on the border */
    CHECK_INT(session_agent_of(str_of(long_one, SESSION_AGENT_BYTES_MAX + 2)).len,
              SESSION_AGENT_BYTES_MAX - 1);
}

TEST(an_unspent_token_of_a_live_session_is_good_until_it_expires)
{
    CHECK_INT(refresh_judge(&GOOD, NOW), REFRESH_GOOD);
    CHECK_INT(refresh_judge(&GOOD, GOOD.expires_at - 1), REFRESH_GOOD);
    CHECK_INT(refresh_judge(&GOOD, GOOD.expires_at), REFRESH_GONE);
}

TEST(a_spent_token_is_reused_even_after_it_would_have_expired)
{
    struct refresh spent = GOOD;
    spent.spent_at = NOW - 1;
    CHECK_INT(refresh_judge(&spent, NOW), REFRESH_REUSED);
    CHECK_INT(refresh_judge(&spent, GOOD.expires_at + 1), REFRESH_REUSED);
}

TEST(nothing_of_an_ended_session_is_good_and_there_is_nothing_left_to_end)
{
    struct refresh ended = GOOD;
    ended.session_ended_at = NOW - 1;
    CHECK_INT(refresh_judge(&ended, NOW), REFRESH_GONE);
    ended.spent_at = NOW - 2;
    CHECK_INT(refresh_judge(&ended, NOW), REFRESH_GONE);
}

TEST(a_token_s_text_leads_to_the_hash_of_its_bytes_and_no_other_text_does)
{
    crypto_init();
    uint8_t bytes[REFRESH_TOKEN_BYTES] = { 7, 255, 1 };
    str token = refresh_token_of(t->arena, bytes);
    CHECK_INT(token.len, 43);

    struct sha256 hash, expected = sha256_of(str_of(bytes, sizeof bytes));
    CHECK(refresh_token_hash(t->arena, token, &hash));
    CHECK_BYTES(hash.bytes, expected.bytes, SHA256_BYTES);

    CHECK(!refresh_token_hash(t->arena, STR(""), &hash));
    CHECK(!refresh_token_hash(t->arena, STR_NONE, &hash));
    CHECK(!refresh_token_hash(t->arena, str_slice(token, 0, 42), &hash));
    CHECK(!refresh_token_hash(t->arena, str_format(t->arena, "%" STR_F "=", STR_A(token)), &hash));
    CHECK(!refresh_token_hash(t->arena, str_format(t->arena, "%" STR_F "AA", STR_A(token)), &hash));
    CHECK(!refresh_token_hash(t->arena, STR("not a token at all, but as long as one is !"), &hash));
}
