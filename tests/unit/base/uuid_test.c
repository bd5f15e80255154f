#include "base/crypto.h"
#include "base/uuid.h"
#include "tests/lib/test.h"

/* Appendix A.6 of RFC 9562. */
#define V7_OF_THE_RFC "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

static struct uuid id_of(str text)
{
    struct uuid id;

    CHECK(uuid_parse(text, &id));
    return id;
}

TEST(an_id_is_read_in_either_case_and_written_in_lower_case)
{
    CHECK_STR(uuid_text(t->arena, id_of(STR("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"))),
              V7_OF_THE_RFC);
    CHECK_STR(uuid_text(t->arena, id_of(STR(V7_OF_THE_RFC))), V7_OF_THE_RFC);
}

TEST(an_id_is_written_without_an_end)
{
    char out[UUID_TEXT_LEN + 1];

    out[UUID_TEXT_LEN] = '!';
    uuid_write(id_of(STR(V7_OF_THE_RFC)), out);
    CHECK_STR(str_of(out, sizeof out), V7_OF_THE_RFC "!");
}

TEST(what_is_no_id_is_refused)
{
    static const char *const WRONG[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c0739}",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2_79b0_7cc3_98c4_dc0c0c07398f",
        "017f22e-279b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4--c0c0c07398f",
        "+17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    };
    struct uuid id = { { 1 } };

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK(!uuid_parse(str_of_z(WRONG[i]), &id));
    CHECK(!uuid_parse(STR_NONE, &id));
    CHECK_INT(id.bytes[0], 1);
}

TEST(only_the_id_of_zeros_is_nil)
{
    CHECK(uuid_is_nil(id_of(STR("00000000-0000-0000-0000-000000000000"))));
    CHECK(!uuid_is_nil(id_of(STR("00000000-0000-0000-0000-000000000001"))));
}

TEST(ids_are_ordered_as_their_texts)
{
    struct uuid low = id_of(STR("01000000-0000-0000-0000-000000000000"));
    struct uuid high = id_of(STR("ff000000-0000-0000-0000-000000000000"));

    CHECK(uuid_compare(low, high) < 0);
    CHECK(uuid_compare(high, low) > 0);
    CHECK_INT(uuid_compare(low, low), 0);
    CHECK(uuid_equal(low, low));
    CHECK(!uuid_equal(low, high));
}

TEST(a_version_7_id_is_that_of_the_rfc)
{
    struct uuid id = uuid_v7(INT64_C(0x017f22e279b0), 0xcc3, UINT64_C(0x18c4dc0c0c07398f));

    CHECK_STR(uuid_text(t->arena, id), V7_OF_THE_RFC);
    CHECK_INT(uuid_v7_ms(id), INT64_C(0x017f22e279b0));
}

TEST(version_7_ids_are_ordered_by_time_then_sequence)
{
    struct uuid early = uuid_v7(1, 4095, UINT64_MAX);
    struct uuid late = uuid_v7(2, 0, 0), later = uuid_v7(2, 1, 0);

    CHECK(uuid_compare(early, late) < 0);
    CHECK(uuid_compare(late, later) < 0);
}

TEST(random_bits_leave_version_and_variant_alone)
{
    CHECK_STR(uuid_text(t->arena, uuid_v7(0, 0, UINT64_MAX)),
              "00000000-0000-7000-bfff-ffffffffffff");
    CHECK_STR(uuid_text(t->arena, uuid_v7((INT64_C(1) << 48) - 1, 4095, 0)),
              "ffffffff-ffff-7fff-8000-000000000000");
}

TEST(a_time_or_sequence_that_does_not_fit_panics)
{
    CHECK_PANICS(uuid_v7(-1, 0, 0));
    CHECK_PANICS(uuid_v7(INT64_C(1) << 48, 0, 0));
    CHECK_PANICS(uuid_v7(0, 4096, 0));
}

TEST(a_name_gives_the_same_id_in_every_run)
{
    crypto_init();
    CHECK_STR(uuid_text(t->arena, uuid_of_name(STR("order"), STR("1"))),
              uuid_text(t->arena, uuid_of_name(STR("order"), STR("1"))));
    CHECK_STR(uuid_text(t->arena, uuid_of_name(STR("duka"), STR("mug"))),
              "d092fe04-d84e-8d86-b125-8258f33a75c6");
}

TEST(an_id_of_a_name_says_version_8)
{
    struct uuid id = uuid_of_name(STR("a"), STR("b"));

    CHECK_INT(id.bytes[6] >> 4, 8);
    CHECK_INT(id.bytes[8] >> 6, 2);
}

TEST(names_in_different_spaces_never_run_together)
{
    CHECK(!uuid_equal(uuid_of_name(STR("ab"), STR("c")), uuid_of_name(STR("a"), STR("bc"))));
    CHECK(!uuid_equal(uuid_of_name(STR("abc"), STR("")), uuid_of_name(STR(""), STR("abc"))));
}
