#include "base/crypto.h"
#include "base/arena.h"

/* Its digests by name make and free three things each time; the low level makes none, and nothing
 * has to be set up first. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

/* argon2id as OWASP advises: 19 MiB and two passes cost an attacker more than they cost us. */
enum {
    PASSWORD_MEMORY_KIB = 19456,
    PASSWORD_PASSES = 2,
    PASSWORD_SALT_BYTES = 16,
    PASSWORD_HASH_BYTES = 32,
};

_Static_assert((int)SHA256_BYTES == (int)SHA256_DIGEST_LENGTH, "a size of OpenSSL");
_Static_assert((int)SHA256_STREAM_BYTES == (int)sizeof(SHA256_CTX), "a size of OpenSSL");
_Static_assert((int)ED25519_PUBLIC_BYTES == (int)crypto_sign_PUBLICKEYBYTES, "a size of libsodium");
_Static_assert((int)ED25519_SEED_BYTES == (int)crypto_sign_SEEDBYTES, "a size of libsodium");
_Static_assert((int)ED25519_SIGNATURE_BYTES == (int)crypto_sign_BYTES, "a size of libsodium");
_Static_assert(sizeof(((struct ed25519_key *)NULL)->secret) == crypto_sign_SECRETKEYBYTES,
               "a size of libsodium");
_Static_assert((int)PASSWORD_SALT_BYTES == (int)crypto_pwhash_SALTBYTES, "a size of libsodium");

/* libsodium takes bytes as unsigned char, never NULL. */
static const unsigned char *octets(str s) { return (const unsigned char *)(s.ptr ? s.ptr : ""); }

void crypto_init(void)
{
    int status = sodium_init();
    ASSERT(status >= 0);
}

/* ---- SHA-256, by OpenSSL: it uses the processor's instructions for it, which libsodium does not
 * (five times the time) ---- */

static SHA256_CTX *state_of(struct sha256_stream *stream)
{
    return (SHA256_CTX *)(void *)stream->state;
}

struct sha256_stream sha256_begin(void)
{
    struct sha256_stream stream;

    SHA256_Init(state_of(&stream));
    return stream;
}

void sha256_add(struct sha256_stream *stream, str bytes)
{
    ASSERT(stream);
    SHA256_Update(state_of(stream), octets(bytes), bytes.len);
}

struct sha256 sha256_end(struct sha256_stream *stream)
{
    struct sha256 digest;

    ASSERT(stream);
    SHA256_Final(digest.bytes, state_of(stream));
    return digest;
}

struct sha256 sha256_of(str bytes)
{
    struct sha256_stream stream = sha256_begin();

    sha256_add(&stream, bytes);
    return sha256_end(&stream);
}

/* The key as a block of its own, each byte changed by `pad`, and `bytes` behind it. */
static struct sha256 keyed(str key, uint8_t pad, str bytes)
{
    uint8_t block[SHA256_CBLOCK];
    struct sha256_stream stream = sha256_begin();

    memset(block, pad, sizeof block);
    for (size_t i = 0; i < key.len; i++)
        block[i] ^= (uint8_t)key.ptr[i];
    sha256_add(&stream, str_of(block, sizeof block));
    sha256_add(&stream, bytes);
    sodium_memzero(block, sizeof block);
    struct sha256 digest = sha256_end(&stream);
    sodium_memzero(&stream, sizeof stream);
    return digest;
}

/* RFC 2104 */
struct sha256 hmac_sha256(str key, str bytes)
{
    enum { INNER_PAD = 0x36, OUTER_PAD = 0x5c };
    struct sha256 short_key;

    if (key.len > SHA256_CBLOCK) {
        short_key = sha256_of(key);
        key = str_of(short_key.bytes, sizeof short_key.bytes);
    }
    struct sha256 inner = keyed(key, INNER_PAD, bytes);
    return keyed(key, OUTER_PAD, str_of(inner.bytes, sizeof inner.bytes));
}

bool secret_equal(str a, str b)
{
    return a.len == b.len && sodium_memcmp(octets(a), octets(b), a.len) == 0;
}

/* By OpenSSL: a look-up for each six bits. libsodium hides from whoever shares the processor's
 * cache what it encodes, at twenty times the price. */
str base64(struct arena *arena, str bytes)
{
    ASSERT(bytes.len < INT_MAX / 2);
    unsigned char *out = arena_alloc(arena, (bytes.len + 2) / 3 * 4 + 1, 1);
    int len = EVP_EncodeBlock(out, octets(bytes), (int)bytes.len);

    return str_of(out, (size_t)len);
}

static str base64_unpadded(struct arena *arena, str bytes)
{
    return str_slice(base64(arena, bytes), 0, (bytes.len * 4 + 2) / 3);
}

/* The same with two other digits. */
str base64url(struct arena *arena, str bytes)
{
    str text = base64_unpadded(arena, bytes);
    char *digits = (char *)(uintptr_t)text.ptr;

    for (size_t i = 0; i < text.len; i++)
        digits[i] = digits[i] == '+' ? '-' : digits[i] == '/' ? '_' : digits[i];
    return text;
}

/* libsodium takes a byte above 0x7f for the letter that it differs from in sign only. */
static bool is_ascii(str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] > 0x7f)
            return false;
    return true;
}

static bool base64_read(struct arena *arena, str text, int variant, str *out)
{
    if (!is_ascii(text))
        return false;
    size_t cap = text.len / 4 * 3 + 3, len;
    unsigned char *bytes = arena_alloc(arena, cap, 1);
    if (sodium_base642bin(bytes, cap, (const char *)octets(text), text.len, NULL, &len, NULL,
                          variant) != 0)
        return false;
    *out = str_of(bytes, len);
    return true;
}

bool base64url_parse(struct arena *arena, str text, str *out)
{
    ASSERT(out);
    return base64_read(arena, text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, out);
}

bool base64_parse(struct arena *arena, str text, str *out)
{
    ASSERT(out);
    return base64_read(arena, text, sodium_base64_VARIANT_ORIGINAL, out);
}

str hex(struct arena *arena, str bytes)
{
    char *out = arena_alloc(arena, 2 * bytes.len + 1, 1);

    sodium_bin2hex(out, 2 * bytes.len + 1, octets(bytes), bytes.len);
    return str_of(out, 2 * bytes.len);
}

bool hex_parse(struct arena *arena, str text, str *out)
{
    ASSERT(out);

    size_t len;
    unsigned char *bytes = arena_alloc(arena, text.len / 2 + 1, 1);
    if (sodium_hex2bin(bytes, text.len / 2 + 1, (const char *)octets(text), text.len, NULL, &len,
                       NULL) != 0)
        return false;
    *out = str_of(bytes, len);
    return true;
}

struct ed25519_key ed25519_of_seed(const uint8_t seed[ED25519_SEED_BYTES])
{
    ASSERT(seed);

    struct ed25519_key key;
    memcpy(key.seed, seed, sizeof key.seed);
    crypto_sign_seed_keypair(key.public, key.secret, key.seed);
    return key;
}

void ed25519_sign(const struct ed25519_key *key, str message, uint8_t out[ED25519_SIGNATURE_BYTES])
{
    ASSERT(key && out);

    crypto_sign_detached(out, NULL, octets(message), message.len, key->secret);
}

bool ed25519_verify(const uint8_t public[ED25519_PUBLIC_BYTES], str message, str signature)
{
    ASSERT(public);

    return signature.len == ED25519_SIGNATURE_BYTES &&
           crypto_sign_verify_detached(octets(signature), octets(message), message.len, public) ==
               0;
}

err password_hash(struct arena *arena, str password, const uint8_t salt[16], str *phc)
{
    ASSERT(arena);
    ASSERT(salt && phc);

    uint8_t hash[PASSWORD_HASH_BYTES];
    if (crypto_pwhash(hash, sizeof hash, (const char *)octets(password), password.len, salt,
                      PASSWORD_PASSES, (size_t)PASSWORD_MEMORY_KIB * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return fail(arena, OUT_OF_MEMORY, "no %d KiB to hash a password", PASSWORD_MEMORY_KIB);

    str salt_text = base64_unpadded(arena, str_of(salt, PASSWORD_SALT_BYTES));
    str hash_text = base64_unpadded(arena, str_of(hash, sizeof hash));
    *phc = str_format(arena, "$argon2id$v=19$m=%d,t=%d,p=1$%" STR_F "$%" STR_F, PASSWORD_MEMORY_KIB,
                      PASSWORD_PASSES, STR_A(salt_text), STR_A(hash_text));
    return OK;
}

bool password_verify(str phc, str password)
{
    char z[crypto_pwhash_STRBYTES] = { 0 }; /* libsodium reads it to its NUL */

    if (phc.len >= sizeof z || str_find_byte(phc, '\0') >= 0)
        return false;
    memcpy(z, octets(phc), phc.len);
    return crypto_pwhash_str_verify(z, (const char *)octets(password), password.len) == 0;
}

uint32_t crc32_of(str bytes)
{
    /* The remainders of four bits (polynomial 0xedb88320): small enough to stay in a cache line. */
    static const uint32_t TABLE[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        crc = crc >> 4 ^ TABLE[crc & 15];
        crc = crc >> 4 ^ TABLE[crc & 15];
    }
    return ~crc;
}
