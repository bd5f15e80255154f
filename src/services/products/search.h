/* A search as people write it, as a query of the database's full text; and the texts that it finds.
 * Both are folded here, so that every engine finds the same. Pure. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

enum { SEARCH_WORDS_MAX = 16 };

/* The words of a text as they are indexed: folded, Latin letters without marks, with one space
 * between them. */
str search_words(struct arena *arena, str text);

/* Every word must be there, or something that begins with it; nothing in the words is an operator.
 * In the form of SQLite's FTS5, "clay pot"* "mug"*, which PostgreSQL's product_search() reads, too.
 * STR_NONE where there is no word to search for. */
str search_query(struct arena *arena, str words);
