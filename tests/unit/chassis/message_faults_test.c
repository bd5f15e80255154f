#include "chassis/message_faults.h"
#include "gen/orders.h"
#include "tests/lib/test.h"

TEST(no_faults_are_ok)
{
    struct faults faults = { .arena = t->arena };

    CHECK_OK(faults_end(&faults));
}

TEST(at_most_twenty_faults_are_listed_and_all_are_counted)
{
    struct faults faults = { .arena = t->arena };
    struct message_place lines = { .name = STR("lines") };

    for (size_t i = 0; i < 25; i++) {
        struct message_place line = { .up = &lines, .index = i };
        faults_add(&faults, &line, "must be %s", "good");
    }
    err error = faults_end(&faults);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_INT(error->fields_count, FAULTS_MAX);
    CHECK_STR(error->fields[19].pointer, "/lines/19");
    CHECK_STR(error->detail, "/lines/0 must be good (and 24 more)");
}

TEST(unknown_members_alone_have_a_code_of_their_own)
{
    struct faults faults = { .arena = t->arena };
    struct message_place place = { .name = STR("colour") };

    faults_add_unknown(&faults, &place);
    CHECK_ERR(faults_end(&faults), FIELD_UNKNOWN);
    faults_add(&faults, &place, "is wrong");
    CHECK_ERR(faults_end(&faults), FIELD_INVALID);
}

TEST(the_root_is_named_in_the_detail)
{
    struct faults faults = { .arena = t->arena };

    faults_add(&faults, NULL, "must be an object");
    err error = faults_end(&faults);
    CHECK_STR(error->fields[0].pointer, "");
    CHECK_STR(error->detail, "the body must be an object");
}

TEST(a_long_name_is_cut_between_characters)
{
    struct faults faults = { .arena = t->arena };
    struct text name = text_init(t->arena, 256);
    struct message_place place;

    text_add(&name, STR("x"));
    while (name.len < 200)
        text_add(&name, STR("ä"));
    place = (struct message_place){ .name = text_str(&name) };
    faults_add_unknown(&faults, &place);

    str pointer = faults_end(&faults)->fields[0].pointer;
    CHECK_INT(pointer.len, 1 + 99 + 3); /* '/', whole characters, "…" */
    CHECK(str_ends(pointer, STR("ä…")));
}

TEST(words_and_ranges_say_what_is_allowed)
{
    struct faults faults = { .arena = t->arena };
    const struct field_spec free_number = { .json_name = "n" };

    faults_add_words(&faults, NULL, &orders_order_scope_spec);
    faults_add_range(&faults, NULL, &free_number, PROTOBUF_C_TYPE_INT32);
    err error = faults_end(&faults);
    CHECK_STR(error->fields[0].message, "must be one of: own, all");
    CHECK_STR(error->fields[1].message, "must be a whole number from -2147483648 to 2147483647");
}
