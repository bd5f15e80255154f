#include "base/crypto.h"
#include "tests/lib/test.h"

__attribute__((constructor)) static void start(void) { crypto_init(); }

static str bytes_of(struct arena *arena, const char *hexadecimal)
{
    str bytes;

    CHECK(hex_parse(arena, str_of_z(hexadecimal), &bytes));
    return bytes;
}

static str hex_of(struct arena *arena, struct sha256 digest)
{
    return hex(arena, str_of(digest.bytes, sizeof digest.bytes));
}

TEST(digests_are_those_of_fips_180)
{
    CHECK_STR(hex_of(t->arena, sha256_of(STR(""))),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(hex_of(t->arena, sha256_of(STR_NONE)),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(hex_of(t->arena, sha256_of(STR("abc"))),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_STR(hex_of(t->arena,
                     sha256_of(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(authentication_codes_are_those_of_rfc_4231)
{
    CHECK_STR(
        hex_of(t->arena, hmac_sha256(bytes_of(t->arena, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
                                     STR("Hi There"))),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK_STR(hex_of(t->arena, hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"))),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

    char key[131];
    memset(key, 0xaa, sizeof key);
    CHECK_STR(hex_of(t->arena,
                     hmac_sha256(str_of(key, sizeof key),
                                 STR("Test Using Larger Than Block-Size Key - Hash Key First"))),
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(secrets_are_equal_by_all_their_bytes)
{
    CHECK(secret_equal(STR("token"), STR("token")));
    CHECK(secret_equal(STR(""), STR_NONE));
    CHECK(!secret_equal(STR("token"), STR("tokem")));
    CHECK(!secret_equal(STR("token"), STR("toke")));
    CHECK(!secret_equal(STR("a\0b"), STR("a\0c")));
}

TEST(base64url_is_that_of_rfc_4648_without_padding)
{
    CHECK_STR(base64url(t->arena, STR("")), "");
    CHECK_STR(base64url(t->arena, STR_NONE), "");
    CHECK_STR(base64url(t->arena, STR("f")), "Zg");
    CHECK_STR(base64url(t->arena, STR("fo")), "Zm8");
    CHECK_STR(base64url(t->arena, STR("foo")), "Zm9v");
    CHECK_STR(base64url(t->arena, STR("foob")), "Zm9vYg");
    CHECK_STR(base64url(t->arena, STR("fooba")), "Zm9vYmE");
    CHECK_STR(base64url(t->arena, STR("foobar")), "Zm9vYmFy");
    CHECK_STR(base64url(t->arena, STR("\xfb\xff")), "-_8");
}

TEST(base64url_leads_back_to_its_bytes)
{
    char bytes[70];
    str again;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        CHECK(base64url_parse(t->arena, base64url(t->arena, str_of(bytes, len)), &again));
        CHECK_STR(again, str_of(bytes, len));
    }
    CHECK(base64url_parse(t->arena, STR_NONE, &again));
    CHECK_INT(again.len, 0);
}

TEST(base64url_is_read_strictly)
{
    static const char *const WRONG[] = {
        "Z",   "Zg=", "Zg==", "Zm9vYg==", "Z g",   "Zg\n",     " Zg",     "Zh",
        "Zm9", "+_8", "-/8",  "Zm9v.",    "Zm9vY", "\xc3\xa4", "\xfc_8v",
    };
    str out = STR("untouched");

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        if (base64url_parse(t->arena, str_of_z(WRONG[i]), &out))
            FAIL("\"%s\" was read", WRONG[i]);
    CHECK(!base64url_parse(t->arena, STR("Zm9v\0"), &out));
    CHECK_STR(out, "untouched");
}

TEST(hexadecimal_is_written_small_and_read_in_either_case)
{
    str out;

    CHECK_STR(hex(t->arena, STR("\x00\x7f\xab\xff")), "007fabff");
    CHECK_STR(hex(t->arena, STR_NONE), "");
    CHECK(hex_parse(t->arena, STR("007fABff"), &out));
    CHECK_STR(out, STR("\x00\x7f\xab\xff"));
    CHECK(hex_parse(t->arena, STR(""), &out));
    CHECK_INT(out.len, 0);
}

TEST(hexadecimal_is_read_strictly)
{
    static const char *const WRONG[] = {
        "0", "000", "0g", "0x00", " 00", "00 ", "0:0", "\xc3\xa4"
    };
    str out;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK(!hex_parse(t->arena, str_of_z(WRONG[i]), &out));
    CHECK(!hex_parse(t->arena, STR("00\0\0"), &out));
}

/* One vector of RFC 8032, section 7.1. */
static void check_ed25519(struct arena *arena, const char *seed, const char *public,
                          const char *message, const char *signature)
{
    struct ed25519_key key = ed25519_of_seed((const uint8_t *)bytes_of(arena, seed).ptr);
    uint8_t made[ED25519_SIGNATURE_BYTES];

    CHECK_STR(hex(arena, str_of(key.public, sizeof key.public)), public);
    CHECK_STR(hex(arena, str_of(key.seed, sizeof key.seed)), seed);
    ed25519_sign(&key, bytes_of(arena, message), made);
    CHECK_STR(hex(arena, str_of(made, sizeof made)), signature);
    CHECK(ed25519_verify(key.public, bytes_of(arena, message), str_of(made, sizeof made)));
}

TEST(signatures_are_those_of_rfc_8032)
{
    check_ed25519(t->arena, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
                  "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
    check_ed25519(t->arena, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
                  "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

TEST(a_signature_is_good_for_its_message_its_key_and_its_length_only)
{
    uint8_t seed[ED25519_SEED_BYTES] = { 1 }, other_seed[ED25519_SEED_BYTES] = { 2 };
    struct ed25519_key key = ed25519_of_seed(seed), other = ed25519_of_seed(other_seed);
    uint8_t made[ED25519_SIGNATURE_BYTES];

    ed25519_sign(&key, STR("message"), made);
    str signature = str_of(made, sizeof made);
    CHECK(ed25519_verify(key.public, STR("message"), signature));
    CHECK(!ed25519_verify(key.public, STR("massage"), signature));
    CHECK(!ed25519_verify(other.public, STR("message"), signature));
    CHECK(!ed25519_verify(key.public, STR("message"), str_slice(signature, 0, 63)));
    CHECK(!ed25519_verify(key.public, STR("message"), STR_NONE));
    made[10] ^= 1;
    CHECK(!ed25519_verify(key.public, STR("message"), signature));
}

TEST(a_password_gives_its_hash_and_no_other_does)
{
    const uint8_t salt[16] = { 1, 2, 3 };
    str phc;

    CHECK_OK(password_hash(t->arena, STR("correct horse"), salt, &phc));
    CHECK(str_starts(phc, STR("$argon2id$v=19$m=19456,t=2,p=1$AQIDAAAAAAAAAAAAAAAAAA$")));
    CHECK(password_verify(phc, STR("correct horse")));
    CHECK(!password_verify(phc, STR("correct house")));
    CHECK(!password_verify(phc, STR("")));
}

TEST(the_same_password_and_salt_give_the_same_hash)
{
    const uint8_t salt[16] = { 9 };
    str one, two;

    CHECK_OK(password_hash(t->arena, STR("a\0b"), salt, &one));
    CHECK_OK(password_hash(t->arena, STR("a\0b"), salt, &two));
    CHECK_STR(one, two);
    CHECK_OK(password_hash(t->arena, STR("a\0c"), salt, &two));
    CHECK(!str_equal(one, two));
}

TEST(a_hash_of_the_reference_program_is_verified)
{
    str phc = STR("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
                  "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");

    CHECK(password_verify(phc, STR("password")));
    CHECK(!password_verify(phc, STR("Password")));
}

TEST(a_hash_that_cannot_be_read_verifies_nothing)
{
    char longer[200];

    memset(longer, 'a', sizeof longer);
    CHECK(!password_verify(STR(""), STR("")));
    CHECK(!password_verify(STR_NONE, STR_NONE));
    CHECK(!password_verify(STR("$argon2id$"), STR("x")));
    CHECK(!password_verify(STR("$2b$12$aaaaaaaaaaaaaaaaaaaaaa"), STR("x")));
    CHECK(!password_verify(str_of(longer, sizeof longer), STR("x")));
    CHECK(!password_verify(STR("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
                               "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\0"),
                           STR("password")));
}

TEST(the_checksum_is_crc_32_of_ieee)
{
    CHECK(crc32_of(STR("123456789")) == 0xcbf43926);
    CHECK(crc32_of(STR("")) == 0);
    CHECK(crc32_of(STR_NONE) == 0);
    CHECK(crc32_of(STR("The quick brown fox jumps over the lazy dog")) == 0x414fa339);
    CHECK(crc32_of(STR("\xff\xff\xff\xff")) == 0xffffffff);
}

TEST(a_digest_of_parts_is_that_of_the_whole)
{
    str whole = STR("the quick brown fox jumps over the lazy dog, and over the next one as well");
    struct sha256 wanted = sha256_of(whole);

    for (size_t cut = 0; cut <= whole.len; cut++) {
        struct sha256_stream stream = sha256_begin();
        sha256_add(&stream, str_slice(whole, 0, cut));
        sha256_add(&stream, str_slice(whole, cut, whole.len));
        struct sha256 seen = sha256_end(&stream);
        CHECK(memcmp(&seen, &wanted, sizeof seen) == 0);
    }
}

TEST(base64_has_padding_and_is_strict)
{
    str back;
    CHECK_STR(base64(t->arena, STR("")), "");
    CHECK_STR(base64(t->arena, STR("f")), "Zg==");
    CHECK_STR(base64(t->arena, STR("foobar")), "Zm9vYmFy");
    CHECK_STR(base64(t->arena, STR("\xfb\xff")), "+/8=");
    CHECK(base64_parse(t->arena, STR("+/8="), &back));
    CHECK_STR(back, "\xfb\xff");
    CHECK(!base64_parse(t->arena, STR("+/8"), &back));
    CHECK(!base64_parse(t->arena, STR("-_8="), &back));
    CHECK(!base64_parse(t->arena, STR("Zg==\n"), &back));
}
