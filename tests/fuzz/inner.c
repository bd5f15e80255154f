/* The inner identity: what one of our programs says of who calls, as it comes in its header, and
 * with what stands in it signed by our key.
 *
 * What is believed was signed, is for us, holds now, and can be made again.
 *
 * Input: '0' the value of the header; '1' the payload, which is signed by the first key, '2' by the
 * second, '3' by none that is known. */
#include "chassis/inner.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

#define OUR_KEY STR("0123456789abcdef0123456789abcdef")
#define SECOND_KEY STR("fedcba9876543210fedcba9876543210")
#define FOREIGN_KEY STR("nobody knows of this one, nobody")

static const time_us NOW = 1700000000 * TIME_SECOND;
static const struct inner_keys KEYS = { { "0123456789abcdef0123456789abcdef", 32 },
                                        { "fedcba9876543210fedcba9876543210", 32 } };

void fuzz_begin(void) { crypto_init(); }

static str sign(struct arena *arena, str payload, str key)
{
    struct text token = text_init(arena, 512);

    text_add(&token, STR("v1."));
    text_add(&token, base64url(arena, payload));
    struct sha256 mac = hmac_sha256(key, text_str(&token));
    text_add_byte(&token, '.');
    text_add(&token, base64url(arena, str_of(mac.bytes, sizeof mac.bytes)));
    return text_str(&token);
}

static err check(struct arena *arena, str token, struct inner_claims *out)
{
    str payload;
    TRY(inner_open(arena, &KEYS, token, &payload));
    return inner_read(arena, payload, STR("orders"), NOW, out);
}

static void check_believed(struct arena *arena, const struct inner_claims *claims)
{
    struct inner_claims again;

    FUZZ_SAME(claims->audience, STR("orders"));
    FUZZ_CHECK(!claims->who.operator_);
    FUZZ_CHECK(claims->expires_at + AUTH_LEEWAY_S * TIME_SECOND >= NOW);
    str token = inner_sign(arena, &KEYS, inner_payload(arena, claims));
    if (token.len > INNER_BYTES_MAX)
        return; /* uuids that were written shorter */
    FUZZ_CHECK(check(arena, token, &again) == OK);
    FUZZ_SAME(again.caller, claims->caller);
    FUZZ_SAME(again.client_address, claims->client_address);
    FUZZ_CHECK(again.who.known == claims->who.known && again.who.roles == claims->who.roles);
    FUZZ_CHECK(again.who.neighbour == claims->who.neighbour);
    FUZZ_CHECK(again.expires_at == claims->expires_at);
}

void fuzz_run(struct arena *arena, str input)
{
    const str keys[] = { STR_NONE, OUR_KEY, SECOND_KEY, FOREIGN_KEY };
    unsigned way = fuzz_number(&input, 4);
    struct inner_claims claims;

    fuzz_plant_overread(input, STR("|bug|"));
    str token = way == 0 ? input : sign(arena, input, keys[way]);
    err error = check(arena, token, &claims);
    if (error != OK)
        calls_check_error(arena, error);
    else
        check_believed(arena, &claims);
    FUZZ_CHECK(error != OK || way == 1 || way == 2);
}
