/* Events as neighbours push them (the direct bus): the request at the own door, signed by our key
 * or not. What is not signed is never an event.
 *
 * Input: '0' as it is, '1' signed by our key; a line with the path; lines "name: value" with the
 * headers up to an empty one; the events. */
#include "base/crypto.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/event.h"
#include "tests/fuzz/fuzz.h"

#include "chassis/bus_direct_door.c"

enum { HEADERS_READ_MAX = 20 };

void fuzz_begin(void) { crypto_init(); }

static void read_headers(struct arena *arena, str *input, struct request *out)
{
    out->headers = arena_array(arena, struct header, HEADERS_READ_MAX + 1);
    for (str line; input->ptr && (line = str_cut(input, '\n')).len > 0;) {
        str name = str_lower(arena, str_cut(&line, ':'));
        if (out->headers_count < HEADERS_READ_MAX && line.ptr)
            out->headers[out->headers_count++] = (struct header){ name, str_trim(line) };
    }
}

static void sign(struct arena *arena, struct request *request, str keys)
{
    const struct direct_signed what = { .path = request->path, .body = request->body };
    str signature = direct_sign(arena, keys, clock_wall_us(), &what);

    for (int i = 0; i < request->headers_count; i++)
        if (str_equal(request->headers[i].name, STR(DIRECT_SIGNATURE)))
            request->headers[i].name = STR("x-other");
    request->headers[request->headers_count++] =
        (struct header){ STR(DIRECT_SIGNATURE), signature };
}

void fuzz_run(struct arena *arena, str input)
{
    struct direct bus = { .keys = STR("ours,second"),
                          .doors_count = 1,
                          .doors = { { .subscription = { .consumer = { .name = "products" },
                                                         .topics = { "orders.v1" },
                                                         .topics_count = 1 } } } };
    bool is_signed = fuzz_number(&input, 2) == 1;
    str path = str_cut(&input, '\n');
    struct request request = { .arena = arena, .method = HTTP_POST, .path = path };
    struct direct_door *door;
    struct direct_push *first = NULL;
    struct together *all;

    fuzz_plant_overread(input, STR("topic:bug"));
    if (!str_starts(path, STR(DIRECT_PATH)))
        return;
    read_headers(arena, &input, &request);
    request.body = input.ptr ? input : STR("");
    if (is_signed)
        sign(arena, &request, STR("second"));
    err error = check(&bus, &request, &door);
    FUZZ_CHECK(is_signed || error != OK);
    if (error == OK)
        error = read_events(&request, door, &all, &first);
    if (error != OK)
        calls_check_error(arena, error);
    for (struct direct_push *push = error == OK ? first : NULL; push; push = push->next) {
        FUZZ_CHECK(push->index < all->count && push->all == all);
        event_check(arena, &push->event, request.body.len);
    }
}
