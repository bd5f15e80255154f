#include "services/products/search.h"
#include "base/text.h"

/* FTS5 splits a quoted text into its words itself: "clay-pot" becomes the phrase clay pot. */
static void add_word(struct text *query, str word)
{
    if (query->len > 0)
        text_add_byte(query, ' ');
    text_add_byte(query, '"');
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '"')
            text_add_byte(query, '"');
        text_add_byte(query, word.ptr[i]);
    }
    text_add(query, STR("\"*"));
}

str search_query(struct arena *arena, str words)
{
    struct text query = text_init(arena, words.len + 32);
    int count = 0;

    for (str rest = words; rest.ptr && count < SEARCH_WORDS_MAX;) {
        str word = str_cut(&rest, ' ');
        if (text_slug(arena, word).len == 0)
            continue; /* signs only: nothing to find */
        add_word(&query, word);
        count++;
    }
    return count > 0 ? text_str(&query) : STR_NONE;
}
