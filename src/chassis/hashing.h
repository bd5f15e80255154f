/* Passwords are hashed in the time that nobody else wants: of all that a shop does they alone hold
 * a core for long (12-40 ms), and in a flood of sign-ins those who only look at products must not
 * wait behind them. A shop that is busy throughout hashes them on the password lane itself, after
 * HASHING_WAIT_US, one at a time: sign-ins become slower by that, and do not starve. So there are
 * never more hashes at once than threads for them, and one, each with its 19 MiB. */
#pragma once
#include "base/crypto.h"

struct spare;

/* Many times what a hash takes, and little beside what a person waits. */
enum { HASHING_WAIT_US = 500 * 1000 };

/* password_hash, in a span. `spare` may be NULL: then here, at once. */
err hashing_hash(struct spare *spare, struct arena *arena, str password, const uint8_t salt[16],
                 str *phc);

/* password_verify, the same way. */
bool hashing_verify(struct spare *spare, str phc, str password);
