/* Access tokens (JWT) as the Authorization header brings them, whole and in what our key has
 * signed.
 *
 * What is believed was signed by a key that is known, names an account and a session, and can be
 * made again. What nobody signed is never believed.
 *
 * Input: '0' the value of the header, as it comes; '1' a line with the token's header, the rest is
 * its payload, signed by our key; '2' the same, signed by a key that nobody knows. */
#include "chassis/auth.h"
#include "chassis/obs.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

#define ISSUER STR("duka")
#define AUDIENCE STR("duka-api")

static const time_us NOW = 1700000000 * TIME_SECOND;
static struct auth *auth;
static struct ed25519_key ours, foreign;

void fuzz_begin(void)
{
    struct auth_key key = { .kid = "k1" };

    crypto_init();
    log_setup(LOG_ERROR, false);
    ours = ed25519_of_seed((const uint8_t *)"the key that is known to all, 32");
    foreign = ed25519_of_seed((const uint8_t *)"the key that nobody knows of, 32");
    memcpy(key.public, ours.public, sizeof key.public);
    auth = auth_open(
        &(struct auth_config){ .issuer = ISSUER, .audience = AUDIENCE, .tokens_max = 64 });
    auth_set_keys(auth, &key, 1);
    auth_reached(auth);
}

static str sign(struct arena *arena, str header, str payload, const struct ed25519_key *key)
{
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct text token = text_init(arena, 1024);

    text_add(&token, STR("Bearer "));
    text_add(&token, base64url(arena, header));
    text_add_byte(&token, '.');
    text_add(&token, base64url(arena, payload));
    ed25519_sign(key, str_slice(text_str(&token), 7, SIZE_MAX), signature);
    text_add_byte(&token, '.');
    text_add(&token, base64url(arena, str_of(signature, sizeof signature)));
    return text_str(&token);
}

static void check_believed(struct arena *arena, const struct identity *who)
{
    const struct token_claims claims = { .user = who->user,
                                         .session = who->session,
                                         .version = who->version,
                                         .roles = who->roles,
                                         .email_verified = who->email_verified,
                                         .issued_at = NOW,
                                         .expires_at = NOW + TIME_SECOND };
    struct token_parts parts;
    struct token_claims again;

    FUZZ_CHECK(who->known && !who->neighbour && !who->operator_);
    FUZZ_CHECK(!uuid_is_nil(who->user) && !uuid_is_nil(who->session) && who->version >= 1);
    FUZZ_CHECK(who->expires_at + AUTH_LEEWAY_S * TIME_SECOND >= NOW);
    FUZZ_CHECK(who->expires_at <= NOW + (TOKEN_LIFE_MAX_S + AUTH_LEEWAY_S) * TIME_SECOND);
    str token = token_make(arena, STR("k1"), &ours, ISSUER, AUDIENCE, &claims);
    FUZZ_CHECK(token_split(arena, token, &parts) == OK);
    FUZZ_CHECK(token_verify(arena, &parts, ours.public, ISSUER, AUDIENCE, NOW, &again) == OK);
    FUZZ_CHECK(again.roles == claims.roles && again.version == claims.version);
    FUZZ_CHECK(uuid_equal(again.user, claims.user) && uuid_equal(again.session, claims.session));
}

void fuzz_run(struct arena *arena, str input)
{
    unsigned way = fuzz_number(&input, 3);
    struct identity who = { 0 };
    str authorization = input;

    if (way > 0) {
        str header = str_cut(&input, '\n');
        authorization = sign(arena, header, input, way == 1 ? &ours : &foreign);
        fuzz_plant_overread(header, STR("\"bug\""));
    }
    err error = auth_check(auth, arena, authorization, NOW, &who);
    if (error != OK)
        calls_check_error(arena, error);
    else if (who.known)
        check_believed(arena, &who);
    FUZZ_CHECK(way == 1 || !who.known || error != OK);
}
