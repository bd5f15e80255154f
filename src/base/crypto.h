/* Digests, signatures, password hashes and their texts, by libsodium (its only room), and where it
 * is several times as fast, by OpenSSL. Pure: random bytes are given. */
#pragma once
#include "base/err.h"

#include <stdalign.h>

enum {
    SHA256_BYTES = 32,
    SHA256_STREAM_BYTES = 112,
    ED25519_PUBLIC_BYTES = 32,
    ED25519_SEED_BYTES = 32,
    ED25519_SIGNATURE_BYTES = 64
};

struct sha256 {
    uint8_t bytes[SHA256_BYTES];
};

/* Must be called once before any other, from main or a test's start. */
void crypto_init(void);

/* SHA-256 (FIPS 180-4). */
struct sha256 sha256_of(str bytes);

/* The same over bytes that come one after the other: begin, add, end. */
struct sha256_stream {
    alignas(8) uint8_t state[SHA256_STREAM_BYTES];
};
struct sha256_stream sha256_begin(void);
void sha256_add(struct sha256_stream *stream, str bytes);
struct sha256 sha256_end(struct sha256_stream *stream);

/* HMAC-SHA-256 (RFC 2104) of `bytes` under `key` of any length. */
struct sha256 hmac_sha256(str key, str bytes);

/* Compares in constant time; false if the lengths differ. */
bool secret_equal(str a, str b);

/* Base64url without padding (RFC 4648 section 5), and back; strict: no padding, no white space, no
 * stray bits. */
str base64url(struct arena *arena, str bytes);
bool base64url_parse(struct arena *arena, str text, str *out);

/* Base64 with padding (RFC 4648 section 4), and back; as strict. */
str base64(struct arena *arena, str bytes);
bool base64_parse(struct arena *arena, str text, str *out);

/* Lower-case hexadecimal, and back from either case; strict besides. */
str hex(struct arena *arena, str bytes);
bool hex_parse(struct arena *arena, str text, str *out);

struct ed25519_key {
    uint8_t seed[ED25519_SEED_BYTES];
    uint8_t public[ED25519_PUBLIC_BYTES];
    uint8_t secret[64];
};

/* The key pair of a seed (RFC 8032). */
struct ed25519_key ed25519_of_seed(const uint8_t seed[ED25519_SEED_BYTES]);
void ed25519_sign(const struct ed25519_key *key, str message, uint8_t out[ED25519_SIGNATURE_BYTES]);
bool ed25519_verify(const uint8_t public[ED25519_PUBLIC_BYTES], str message, str signature);

/* argon2id (RFC 9106), 19 MiB, 2 passes, one lane, as a PHC string
 * ("$argon2id$v=19$m=19456,t=2,p=1$…"). Takes 12-40 ms of CPU: only on a password lane. Fails with
 * OUT_OF_MEMORY. `salt` is 16 random bytes. */
err password_hash(struct arena *arena, str password, const uint8_t salt[16], str *phc);

/* Tells whether the password gives that hash; false for a hash that cannot be read, or without the
 * memory for it. Takes as long as password_hash. */
bool password_verify(str phc, str password);

/* CRC-32 (IEEE), for shards and cursors; not for secrets. */
uint32_t crc32_of(str bytes);
