/* The keys that sign access tokens, as files of a folder: the name of a file is the key's id (kid),
 * its content the seed of an Ed25519 key in base64url. Names are compared by bytes: the greatest is
 * the newest and signs, all verify. Names that begin with '.' are not looked at (what is being
 * written; a mounted Secret's own links). */
#pragma once
#include "chassis/auth.h"

enum { KEYS_GRACE_S = 10 }; /* from when a new key is told to others until it signs */

struct keys;

struct signing_key {
    char kid[JWT_KID_MAX + 1];
    struct ed25519_key pair;
};

/* Reads the keys. Where there is none and `makes_first`, makes the folder and one key (mode 0600),
 * named by the time. Fails with SETTING_INVALID, naming the file and what is wrong with it, or
 * OS_FAILED. The caller closes. */
err keys_open(struct arena *arena, str folder, bool makes_first, struct keys **out);
void keys_close(struct keys *keys); /* accepts NULL */

/* Reads the folder again. A key that is new signs after KEYS_GRACE_S, one that is gone is gone at
 * once. After an error the keys are those from before. Thread-safe, like all below. */
err keys_reload(struct keys *keys, struct arena *arena, time_us now);

/* The key that signs now. */
struct signing_key keys_newest(struct keys *keys, time_us now);

/* The keys that verify, at most AUTH_KEYS_MAX; gives how many. */
size_t keys_verifying(struct keys *keys, struct auth_key out[AUTH_KEYS_MAX]);
