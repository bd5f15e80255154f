/* The keys that sign access tokens, as files of a folder: the name of a file is the key's id (kid),
 * its content the seed of an Ed25519 key in base64url. Names are compared by bytes: the greatest is
 * the newest and signs, all verify. Names that begin with '.' are not looked at (what is being
 * written; a mounted Secret's own links). */
#pragma once
#include "chassis/auth.h"
#include "chassis/conf.h"
#include "chassis/token.h"

enum {
    KEYS_GRACE_S = 10, /* from when a new key is told to others until it signs */
    /* From its making until those before it are not needed: it was seen and signs, the longest
     * token has expired, and the clocks of two machines differ. */
    KEYS_RETIRED_S = TOKEN_LIFE_MAX_S + 5 * 60,
};

struct keys;

struct signing_key {
    char kid[JWT_KID_MAX + 1];
    struct ed25519_key pair;
};

/* The folder that the settings name: KEYS_DIR, else DATA_DIR/keys. */
str keys_folder(struct arena *arena, const struct conf *conf);

/* Reads the keys. Where there is none and `makes_first`, makes the folder and one key (mode 0600),
 * named by the time. Fails with SETTING_INVALID, naming the file and what is wrong with it, or
 * OS_FAILED. The caller closes. */
err keys_open(struct arena *arena, str folder, bool makes_first, struct keys **out);
void keys_close(struct keys *keys); /* accepts NULL */

/* Reads the folder again. A key that is new signs after KEYS_GRACE_S, one that is gone is gone at
 * once. After an error the keys are those from before. Thread-safe, like all below. */
err keys_reload(struct keys *keys, struct arena *arena, time_us now);

/* Makes a key whose name is greater than all, and reads the folder again: it is told at once and
 * signs after KEYS_GRACE_S. With `drops_others` (a key was stolen) the others are removed first of
 * all else, and it signs at once: tokens of theirs are refused from then on. Fails with
 * SETTING_INVALID where there are as many keys as can be or one has a name of a later time, with
 * OS_FAILED where the folder cannot be written. */
err keys_rotate(struct keys *keys, struct arena *arena, bool drops_others, time_us now,
                struct signing_key *made);

/* Removes the keys whose last token has expired: a newer one has been there for longer than
 * KEYS_RETIRED_S. Only where both have names that were made here: keys that an operator names are
 * the operator's. Reads the folder again where one went; `*removed` is how many. */
err keys_retire(struct keys *keys, struct arena *arena, time_us now, size_t *removed);

/* The key that signs now. */
struct signing_key keys_newest(struct keys *keys, time_us now);

/* The keys that verify, at most AUTH_KEYS_MAX; gives how many. */
size_t keys_verifying(struct keys *keys, struct auth_key out[AUTH_KEYS_MAX]);
