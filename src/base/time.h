/* Wall time as integer microseconds since 1970 UTC, and its RFC 3339 text. Reading a clock is
 * os/clock's. */
#pragma once
#include "base/str.h"

typedef int64_t time_us; /* 0 is "never" */

#define TIME_SECOND INT64_C(1000000)
#define TIME_MS INT64_C(1000)

enum { TIME_TEXT_MAX = 27 };

/* "2026-01-31T09:30:00.123456Z"; three or six digits of a fraction only where there is one. A time
 * outside the years 1970..9999 is a broken invariant. time_write adds no NUL; it gives the length.
 */
str time_text(struct arena *arena, time_us at);
size_t time_write(time_us at, char out[TIME_TEXT_MAX]);

/* Reads RFC 3339 with any offset; false if it is not one or lies outside years 1970..9999.
 * Fractions finer than a microsecond are cut off; a leap second reads as the second after it. */
bool time_parse(str text, time_us *out);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110), for the Date header; `out` has room for 30 bytes. */
void time_http(time_us at, char out[30]);
