/* Events as RabbitMQ brings them: the properties of a message as they go over the wire of AMQP,
 * read by librabbitmq, and then by the driver.
 *
 * Input: '0' the properties as bytes (of a number of bytes, then they), '1' lines "name: value"
 * with headers, up to an empty one; the payload. */
#include "chassis/bus_remote.h"
#include "tests/fuzz/event.h"
#include "tests/fuzz/fuzz.h"

#include "chassis/bus_rabbitmq.c"

enum { ENTRIES_MAX = 32, PROPERTIES_BYTES_MAX = 4096 };

void fuzz_begin(void) {}

static void check(struct arena *arena, const amqp_basic_properties_t *properties, str payload)
{
    struct rabbitmq driver = { .prefix = STR("shop.") };
    struct bus_wire wire = { .driver = &driver };
    const amqp_envelope_t envelope = { .exchange = bytes_of(STR("shop.orders.v1")),
                                       .message = { .properties = *properties,
                                                    .body = bytes_of(payload) } };

    struct bus_event event = event_of(arena, &wire, &envelope);
    FUZZ_SAME(event.topic, STR("orders.v1"));
    event_check(arena, &event, payload.len);
}

static void check_wire(struct arena *arena, str input)
{
    str encoded = fuzz_take(&input, fuzz_number(&input, PROPERTIES_BYTES_MAX));
    amqp_pool_t pool;
    void *decoded;

    init_amqp_pool(&pool, 4096);
    if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool, bytes_of(encoded), &decoded) == 0)
        check(arena, decoded, input);
    empty_amqp_pool(&pool);
}

static void check_headers(struct arena *arena, str input)
{
    amqp_table_entry_t entries[ENTRIES_MAX];
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_HEADERS_FLAG,
                                           .headers = { .entries = entries } };

    for (str line; input.ptr && (line = str_cut(&input, '\n')).len > 0;) {
        if (properties.headers.num_entries == ENTRIES_MAX)
            continue;
        str name = str_cut(&line, '=');
        entries[properties.headers.num_entries++] = (amqp_table_entry_t){
            .key = bytes_of(name),
            .value = { .kind = line.ptr ? AMQP_FIELD_KIND_UTF8 : AMQP_FIELD_KIND_VOID,
                       .value.bytes = bytes_of(line) }
        };
    }
    check(arena, &properties, input.ptr ? input : STR(""));
}

void fuzz_run(struct arena *arena, str input)
{
    unsigned way = fuzz_number(&input, 2);

    fuzz_plant_overread(input, STR("cloudEvents:bug"));
    (way == 0 ? check_wire : check_headers)(arena, input);
}
