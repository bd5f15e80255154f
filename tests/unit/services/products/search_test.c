#include "services/products/search.h"
#include "tests/lib/test.h"

TEST(every_word_is_quoted_and_may_go_on)
{
    CHECK_STR(search_query(t->arena, STR("clay pot")), "\"clay\"* \"pot\"*");
    CHECK_STR(search_query(t->arena, STR("  clay   pot  ")), "\"clay\"* \"pot\"*");
}

TEST(operators_are_words)
{
    CHECK_STR(search_query(t->arena, STR("a OR b")), "\"a\"* \"or\"* \"b\"*");
    CHECK_STR(search_query(t->arena, STR("title:x* NEAR(b)")), "\"title x\"* \"near b\"*");
    CHECK_STR(search_query(t->arena, STR("say \"hi\"")), "\"say\"* \"hi\"*");
}

TEST(what_is_indexed_is_folded_as_what_is_asked_for)
{
    CHECK_STR(search_words(t->arena, STR("Größe: Crème-Brûlée, 2.5 l")),
              "grosse creme brulee 2 5 l");
    CHECK_STR(search_words(t->arena, STR("  --  ")), "");
    CHECK_STR(search_words(t->arena, STR("")), "");
    CHECK_STR(search_query(t->arena, STR("CRÈME-brûlée")), "\"creme brulee\"*");
}

TEST(signs_are_no_words)
{
    CHECK(!search_query(t->arena, STR("!!! -- \"\"")).ptr);
    CHECK(!search_query(t->arena, STR("   ")).ptr);
    CHECK(!search_query(t->arena, STR("")).ptr);
    CHECK_STR(search_query(t->arena, STR("& pot")), "\"pot\"*");
}

TEST(letters_of_all_scripts_are_words)
{
    CHECK_STR(search_query(t->arena, STR("größe ваза")), "\"grosse\"* \"ваза\"*");
}

TEST(at_most_sixteen_words_are_looked_for)
{
    str query = search_query(t->arena, STR("a b c d e f g h i j k l m n o p q r s t"));

    CHECK(str_ends(query, STR("\"p\"*")));
}
