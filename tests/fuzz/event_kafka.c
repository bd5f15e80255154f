/* Events as Kafka brings them: a topic, headers, a payload. The driver's own reading, with its
 * messages of librdkafka given by the fuzzer.
 *
 * Input: a line with the topic; lines "name: value" with the headers up to an empty one; the
 * payload.
 */
#include "chassis/bus_remote.h"
#include "tests/fuzz/event.h"
#include "tests/fuzz/fuzz.h"

#include <librdkafka/rdkafka.h>

enum { HEADERS_MAX_ = 32 };

static struct {
    const char *topic;
    const char *names[HEADERS_MAX_];
    str values[HEADERS_MAX_];
    size_t count;
} given;

static rd_kafka_resp_err_t given_headers(const rd_kafka_message_t *message,
                                         rd_kafka_headers_t **out)
{
    (void)message, (void)out;
    return given.count > 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR__NOENT;
}

static rd_kafka_resp_err_t given_header(const rd_kafka_headers_t *headers, size_t index,
                                        const char **name, const void **value, size_t *bytes)
{
    (void)headers;
    if (index >= given.count)
        return RD_KAFKA_RESP_ERR__NOENT;
    *name = given.names[index];
    *value = given.values[index].ptr;
    *bytes = given.values[index].len;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static const char *given_topic(const rd_kafka_topic_t *topic)
{
    (void)topic;
    return given.topic;
}

#define rd_kafka_message_headers given_headers
#define rd_kafka_header_get_all given_header
#define rd_kafka_topic_name given_topic
#include "chassis/bus_kafka.c"

void fuzz_begin(void) {}

void fuzz_run(struct arena *arena, str input)
{
    struct kafka driver = { .prefix = STR("shop.") };
    struct bus_wire wire = { .driver = &driver };

    fuzz_plant_overread(input, STR("ce_bug"));
    given.topic = str_z(arena, str_cut(&input, '\n'));
    given.count = 0;
    for (str line; input.ptr && (line = str_cut(&input, '\n')).len > 0;) {
        if (given.count == HEADERS_MAX_)
            continue;
        given.names[given.count] = str_z(arena, str_cut(&line, ':'));
        given.values[given.count++] = str_slice(line, 1, SIZE_MAX); /* a header may have no value */
    }
    const rd_kafka_message_t message = { .payload = (void *)(uintptr_t)input.ptr,
                                         .len = input.len };
    struct bus_event event = event_of(arena, &wire, &message);
    event_check(arena, &event, input.len);
}
