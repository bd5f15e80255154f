#include "services/products/search.h"
#include "base/text.h"

str search_words(struct arena *arena, str text)
{
    str slug = text_slug(arena, text);
    char *words = arena_copy(arena, slug.ptr, slug.len);

    for (size_t i = 0; i < slug.len; i++)
        if (words[i] == '-')
            words[i] = ' ';
    return str_of(words, slug.len);
}

/* "clay-pot" becomes the phrase clay pot. Nothing in it is a sign by now. */
static void add_phrase(struct text *query, str phrase)
{
    if (query->len > 0)
        text_add_byte(query, ' ');
    text_add_byte(query, '"');
    text_add(query, phrase);
    text_add(query, STR("\"*"));
}

str search_query(struct arena *arena, str words)
{
    struct text query = text_init(arena, words.len + 32);
    int count = 0;

    for (str rest = words; rest.ptr && count < SEARCH_WORDS_MAX;) {
        str phrase = search_words(arena, str_cut(&rest, ' '));
        if (phrase.len == 0)
            continue; /* signs only: nothing to find */
        add_phrase(&query, phrase);
        count++;
    }
    return count > 0 ? text_str(&query) : STR_NONE;
}
