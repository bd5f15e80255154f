/* Cursors of lists: as they come, and with any place in them under a right seal, which is no
 * secret.
 *
 * A cursor is taken for the question that it belongs to, until it expires; one of our own always
 * is.
 *
 * Input: '0' a query as it comes, whose `after` is read; '1' the bytes of a place, sealed by us and
 * then read; '2' time and place as bytes under a right seal. */
#include "base/crypto.h"
#include "chassis/binding.h"
#include "chassis/request.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

enum { SEAL_BYTES = 8 };

static const time_us NOW = 1700000000 * TIME_SECOND;

void fuzz_begin(void) { crypto_init(); }

/* As call.c seals them. */
static str seal(struct arena *arena, str asked, str position)
{
    struct text sealed = text_init(arena, 256), out = text_init(arena, 256);

    text_add(&sealed, asked);
    text_add_byte(&sealed, '\n');
    text_add(&sealed, position);
    struct sha256 mac = hmac_sha256(STR("duka cursor 1"), text_str(&sealed));
    text_add(&out, str_of(mac.bytes, SEAL_BYTES));
    text_add(&out, position);
    return base64url(arena, text_str(&out));
}

static str after_of(str query)
{
    for (str rest = query, pair; rest.ptr && (pair = str_cut(&rest, '&'), true);)
        if (str_starts(pair, STR("after=")))
            return str_slice(pair, 6, SIZE_MAX);
    return STR("");
}

void fuzz_run(struct arena *arena, str input)
{
    unsigned way = fuzz_number(&input, 3);
    struct request request = { .arena = arena,
                               .path = STR("/orders"),
                               .query = way == 0 ? input : STR("limit=5") };
    struct call call = {
        .arena = arena, .request = &request, .now = NOW, .cursor_life_us = 3600 * TIME_SECOND
    };
    str position, cursor = after_of(request.query);

    fuzz_plant_overread(input, STR("bug "));
    if (way == 1)
        cursor = cursor_write(&call, input);
    if (way == 2)
        cursor = seal(arena, binding_asked(arena, &request), input);
    err error = cursor_read(&call, cursor, &position);
    if (error != OK) {
        FUZZ_CHECK(error->code == CURSOR_INVALID);
        calls_check_error(arena, error);
    }
    FUZZ_CHECK(way != 1 || error == OK);
    if (way == 1)
        FUZZ_SAME(position, input);
}
