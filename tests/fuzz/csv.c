/* The import of a catalog: CSV in Shopify's format, as the rules take it up to the product that
 * would be saved.
 *
 * A file that is read through small windows, as the job reads it, gives the same products and the
 * same refusals as one that is read whole.
 *
 * Input: a number for the first window; then the file. */
#include "base/money.h"
#include "chassis/message.h"
#include "services/products/import.h"
#include "services/products/view.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

enum { GROUPS_MAX = 4096 };

static struct currency euro;

void fuzz_begin(void) { FUZZ_CHECK(currency_parse(NULL, STR("EUR"), &euro) == OK); }

/* What the file said so far, or how its reading ended. */
static void write_down(struct arena *arena, struct text *out, const struct import_group *group)
{
    err refused = group->refused;

    text_add_format(out, "%d ", group->line);
    text_add(out, group->handle);
    if (refused == OK)
        refused = message_validate(arena, &products_create_product_request_spec, group->input);
    if (refused == OK) {
        struct product *product = arena_new(arena, struct product);
        text_add(out, message_pack(arena, group->input));
        product_of_create(arena, group->input, product);
        refused = product_complete(arena, product);
    }
    if (refused != OK) {
        calls_check_error(arena, refused);
        text_add(out, refused->detail);
    }
    text_add_byte(out, '\n');
}

static struct csv_window window_of(str file, const struct csv_place *place, size_t len)
{
    str bytes = str_slice(file, (size_t)place->byte, len);
    return (struct csv_window){ .bytes = bytes,
                                .from = place->byte,
                                .is_last = (size_t)place->byte + bytes.len == file.len };
}

/* Reads it all through windows that begin with `len` bytes and grow where one is too small. */
static str read_file(struct arena *arena, str file, size_t len)
{
    struct text out = text_init(arena, 1024);
    struct csv_place place = csv_begin();
    struct import_columns columns;
    enum csv_step step = CSV_MORE;
    size_t first = len;
    err error = OK;

    for (; step == CSV_MORE && error == OK; len *= 2) {
        struct csv_window window = window_of(file, &place, len);
        error = import_header(arena, &window, &place, &columns, &step);
        FUZZ_CHECK(error != OK || step != CSV_MORE || !window.is_last);
    }
    for (int groups = 0; error == OK && step != CSV_END && groups < GROUPS_MAX; groups++) {
        struct import_group group;
        struct csv_place before = place;
        step = CSV_MORE;
        for (len = first; step == CSV_MORE && error == OK; len *= 2) {
            struct csv_window window = window_of(file, &place, len);
            error = import_read(arena, &columns, euro, &window, &place, &group, &step);
            FUZZ_CHECK(error != OK || step != CSV_MORE || !window.is_last);
        }
        if (error == OK && step == CSV_ROW) {
            FUZZ_CHECK(place.byte > before.byte && place.byte <= (int64_t)file.len);
            write_down(arena, &out, &group);
        }
    }
    if (error != OK) {
        calls_check_error(arena, error);
        text_add(&out, error->detail);
    }
    return text_str(&out);
}

void fuzz_run(struct arena *arena, str input)
{
    size_t window = 1 + fuzz_number(&input, 256);

    fuzz_plant_overread(input, STR(",bug,"));
    str whole = read_file(arena, input, input.len + 1);
    FUZZ_SAME(read_file(arena, input, window), whole);
}
