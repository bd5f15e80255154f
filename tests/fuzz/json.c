/* The bodies of all calls in JSON, against the same messages in protobuf: what was read from one is
 * what is read from the other, and the validator says the same of both.
 *
 * Input: a number for the call; then the body. */
#include "chassis/message.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

static const struct call_spec *with_body[CALLS_MAX];
static unsigned with_body_count;

void fuzz_begin(void)
{
    const struct calls *calls = calls_all();

    for (int i = 0; i < calls->count; i++)
        if (calls->items[i]->body != BODY_NONE && !calls->items[i]->stream)
            with_body[with_body_count++] = calls->items[i];
}

static void check_same_verdict(struct arena *arena, err a, err b)
{
    FUZZ_CHECK((a == OK) == (b == OK));
    if (a == OK)
        return;
    calls_check_error(arena, a);
    FUZZ_CHECK(a->code == b->code && a->fields_count == b->fields_count);
    for (size_t i = 0; i < a->fields_count; i++)
        FUZZ_SAME(a->fields[i].message, b->fields[i].message);
}

/* Written as JSON and read again it is the same. What JSON leaves out or fills by itself (bytes,
 * what is internal, masks) is compared by others. */
static void check_json_again(struct arena *arena, const struct message_spec *spec,
                             const void *message, str packed)
{
    struct text out = text_init(arena, 1024);
    void *again = message_new(arena, spec);

    for (unsigned i = 0; i < spec->descriptor->n_fields; i++)
        if (spec->fields[i].internal || spec->mask_field >= 0 ||
            (spec->descriptor->fields[i].type == PROTOBUF_C_TYPE_BYTES && !spec->fields[i].text))
            return;
    message_to_json(&out, spec, message);
    FUZZ_CHECK(message_from_json(arena, text_str(&out), spec, again) == OK);
    FUZZ_SAME(message_pack(arena, again), packed);
}

void fuzz_run(struct arena *arena, str input)
{
    const struct call_spec *call = with_body[fuzz_number(&input, with_body_count)];
    void *message = message_new(arena, call->request), *unpacked;

    fuzz_plant_overread(input, STR("\"bug\""));
    err error = message_from_body(arena, call, input, message);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    str packed = message_pack(arena, message);
    FUZZ_CHECK(message_unpack(arena, packed, call->request, &unpacked) == OK);
    FUZZ_SAME(message_pack(arena, unpacked), packed);
    check_same_verdict(arena, message_validate_request(arena, call, message),
                       message_validate_request(arena, call, unpacked));
    if (call->body == BODY_JSON)
        check_json_again(arena, call->request, message, packed);
}
