/* Every message of the contracts from the wire of protobuf, bare or in a frame of gRPC (packed or
 * not); and our own reader of single fields.
 *
 * What was read and written again is the same from then on; what is valid can be told as JSON.
 *
 * Input: a number for the message; '0' bare, '1' framed, '2' framed and packed by gzip; the bytes.
 */
#include "chassis/protobuf.h"
#include "base/json.h"
#include "chassis/grpc.h"
#include "chassis/gzip.h"
#include "chassis/message.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

enum { MESSAGE_BYTES_MAX = 256 * 1024 };

void fuzz_begin(void) { (void)calls_all(); }

/* Fields one by one lie in what was given, and end. */
static void check_fields(str bytes)
{
    struct protobuf_field field;
    enum protobuf_read read;
    size_t left = bytes.len;
    str rest = bytes;

    while ((read = protobuf_next(&rest, &field)) == PROTOBUF_FIELD) {
        FUZZ_CHECK(rest.len < left);
        FUZZ_CHECK(field.type == PROTOBUF_NUMBER || field.bytes.len <= bytes.len);
        left = rest.len;
    }
}

static bool unframe(struct arena *arena, str input, bool is_packed, str *out)
{
    struct header headers[] = { { STR("content-type"), STR("application/grpc") },
                                { STR("grpc-encoding"), STR("gzip") } };
    struct request request = { .arena = arena,
                               .method = HTTP_POST,
                               .headers = headers,
                               .headers_count = is_packed ? 2 : 1,
                               .body = input };

    request.grpc = grpc_is(&request);
    FUZZ_CHECK(request.grpc);
    err error = grpc_message(arena, &request, MESSAGE_BYTES_MAX, out);
    if (error != OK) {
        calls_check_error(arena, error);
        return false;
    }
    FUZZ_CHECK(out->len <= MESSAGE_BYTES_MAX);
    struct text framed = text_init(arena, out->len + 16);
    grpc_frame(arena, &framed, *out, is_packed);
    request.body = text_str(&framed);
    str again;
    FUZZ_CHECK(grpc_message(arena, &request, MESSAGE_BYTES_MAX, &again) == OK);
    FUZZ_SAME(again, *out);
    return true;
}

static void check_message(struct arena *arena, const struct message_spec *spec, str bytes)
{
    void *message, *again;
    const struct json *root;

    err error = message_unpack(arena, bytes, spec, &message);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    str packed = message_pack(arena, message);
    FUZZ_CHECK(message_unpack(arena, packed, spec, &again) == OK);
    FUZZ_SAME(message_pack(arena, again), packed);

    error = message_validate(arena, spec, message);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    if (spec->kind != MESSAGE_PLAIN)
        return; /* has no JSON of its own */
    struct text out = text_init(arena, 1024);
    message_to_json(&out, spec, message);
    FUZZ_CHECK(json_read(arena, text_str(&out), &root) == OK);
    FUZZ_CHECK(json_kind_of(root) == JSON_OBJECT);
}

void fuzz_run(struct arena *arena, str input)
{
    const struct calls *calls = calls_all();
    const struct message_spec *spec =
        calls->messages[fuzz_number(&input, (unsigned)calls->messages_count)];
    unsigned way = fuzz_number(&input, 3);

    fuzz_plant_overread(input, STR("\xff\xff\xff\xff"));
    check_fields(input);
    if (way > 0 && !unframe(arena, input, way == 2, &input))
        return;
    check_message(arena, spec, input);
}
