/* UUIDs (RFC 9562). Duka's ids are version 7: made in order of time, never backward in a process
 * (os/random makes them). */
#pragma once
#include "base/str.h"

struct uuid {
    uint8_t bytes[16];
};

enum { UUID_TEXT_LEN = 36 };

/* Tells whether it is the id of zeros, which stands for none. */
bool uuid_is_nil(struct uuid id);

/* Equality, and the order of bytes (< 0, 0, > 0), which for version 7 is that of time. */
bool uuid_equal(struct uuid a, struct uuid b);
int uuid_compare(struct uuid a, struct uuid b);

/* Reads the 36-character form, either case. */
bool uuid_parse(str text, struct uuid *out);

/* The 36-character lower-case form. */
str uuid_text(struct arena *arena, struct uuid id);
void uuid_write(struct uuid id, char out[UUID_TEXT_LEN]);

/* A version 7 id of a wall time (Unix milliseconds), a 12-bit sequence within it and the low 62
 * bits of `random`. */
struct uuid uuid_v7(int64_t unix_ms, uint16_t sequence, uint64_t random);

/* The wall time in a version 7 id, Unix milliseconds. */
int64_t uuid_v7_ms(struct uuid id);

/* An id that follows from a name (version 8, SHA-256 over the digests of space and name): the same
 * in every run. */
struct uuid uuid_of_name(str space, str name);
