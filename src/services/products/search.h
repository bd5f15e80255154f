/* A search as people write it, as a query of SQLite's FTS5. Pure. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

enum { SEARCH_WORDS_MAX = 16 };

/* Every word must be there, or something that begins with it; nothing in the words is an operator.
 * STR_NONE where there is no word to search for. */
str search_query(struct arena *arena, str words);
