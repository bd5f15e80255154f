#include "chassis/gzip.h"

#include "tests/lib/test.h"

static str zeros(struct test *t, size_t len) { return str_of(arena_alloc(t->arena, len, 1), len); }

static str noise(struct test *t, size_t len)
{
    char *bytes = arena_alloc(t->arena, len, 1);
    uint32_t state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = (char)(state >> 24);
    }
    return str_of(bytes, len);
}

TEST(what_was_packed_unpacks_to_the_same)
{
    str texts[] = { STR(""), STR("a"), zeros(t, 100000), noise(t, 100000), noise(t, 4096) };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        str out;
        CHECK_OK(gzip_unpack(t->arena, gzip_pack(t->arena, texts[i]), texts[i].len, &out));
        CHECK(str_equal(out, texts[i]));
    }
    CHECK(gzip_pack(t->arena, texts[2]).len < 1000);
}

enum { BOMB_BYTES = 4 * 1024 * 1024 };

TEST(a_bomb_is_not_unpacked)
{
    str bomb = gzip_pack(t->arena, zeros(t, BOMB_BYTES)), out;
    CHECK(bomb.len < 64 * 1024);

    size_t before = arena_used(t->arena);
    CHECK_ERR(gzip_unpack(t->arena, bomb, 64 * 1024, &out), HTTP_BODY_TOO_LARGE);
    CHECK(arena_used(t->arena) - before < 512 * 1024);
    CHECK_OK(gzip_unpack(t->arena, bomb, BOMB_BYTES, &out));
    CHECK_ERR(gzip_unpack(t->arena, bomb, BOMB_BYTES - 1, &out), HTTP_BODY_TOO_LARGE);
}

TEST(what_is_not_one_whole_member_is_refused)
{
    str whole = gzip_pack(t->arena, STR("some words to be packed")), out;
    struct text twice = text_init(t->arena, 200);
    text_add(&twice, whole);
    text_add(&twice, whole);

    CHECK_OK(gzip_unpack(t->arena, whole, 1000, &out));
    CHECK_ERR(gzip_unpack(t->arena, text_str(&twice), 1000, &out), PROTOBUF_MALFORMED);
    for (size_t len = 0; len < whole.len; len++)
        CHECK_ERR(gzip_unpack(t->arena, str_slice(whole, 0, len), 1000, &out), PROTOBUF_MALFORMED);
    for (size_t at = whole.len - 8; at < whole.len; at++) { /* the checksum and the length */
        char *changed = arena_copy(t->arena, whole.ptr, whole.len);
        changed[at] ^= 1;
        CHECK_ERR(gzip_unpack(t->arena, str_of(changed, whole.len), 1000, &out),
                  PROTOBUF_MALFORMED);
    }
}
