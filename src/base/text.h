/* Unicode text, by utf8proc (its only room): validity, NFC, case folding, search keys, slugs. */
#pragma once
#include "base/str.h"

/* Well-formed UTF-8 (no surrogates, no overlong forms). */
bool utf8_valid(str s);

/* The text itself where it is well-formed; else a copy in which U+FFFD stands for each byte that
 * belongs to no character: for words that repeat what somebody sent. */
str utf8_repair(struct arena *arena, str s);

/* How many code points a valid text has. */
size_t utf8_length(str s);

/* Its beginning of `bytes_max` bytes at most, no character of it cut in two. */
str utf8_head(str s, size_t bytes_max);

/* Normal form C, as a copy. False if `s` is not well-formed. */
bool text_nfc(struct arena *arena, str s, str *out);

/* For comparing e-mail addresses and names: NFC, then full case folding, then NFC. */
bool text_fold(struct arena *arena, str s, str *out);

/* "Größe 10 / Blau" -> "grosse-10-blau": folded, Latin letters without marks and strokes, runs of
 * anything but letters and digits as one '-'. Letters of other scripts are kept, with their marks.
 * Never begins or ends with '-'; empty if nothing is left or `s` is not well-formed. */
str text_slug(struct arena *arena, str s);

/* Tells whether it has control characters (Cc) or line separators. `allow_lines` lets \n, \r and \t
 * pass. */
bool text_has_control(str s, bool allow_lines);
