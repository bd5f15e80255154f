/* What SQS answers, as the driver reads it: messages, queues and their tags, what was taken of what
 * was sent, how many wait. Its answers are the fuzzer's.
 *
 * Input: '0' messages, '1' queues and what was sent to them, '2' how many wait; then the answers,
 * parted by NUL; each begins with '0' for 200 and '1' for a refusal. */
#include "chassis/bus_remote.h"
#include "chassis/fetch.h"
#include "tests/fuzz/event.h"
#include "tests/fuzz/fuzz.h"

static str answers;

static err given_answer(struct fetch *fetch, struct arena *arena,
                        const struct fetch_request *request, struct fetch_answer *out)
{
    (void)fetch;
    FUZZ_CHECK(request->body.len <= 256 * 1024);
    if (!answers.ptr)
        return fail(arena, UPSTREAM_UNAVAILABLE, "no more answers");
    str answer = str_cut(&answers, '\0');
    unsigned refused = fuzz_number(&answer, 2);
    *out = (struct fetch_answer){ .status = refused ? 400 : 200, .body = answer };
    return OK;
}

static struct arena *here;
static size_t bytes_given;

static void caught(struct bus_side *side, const struct bus_event *event, uint64_t tag, int lane,
                   str receipt)
{
    (void)side, (void)tag, (void)lane, (void)receipt;
    event_check(here, event, bytes_given);
}

static bool is_idle(const struct bus_side *side)
{
    (void)side;
    return true;
}

#define fetch_one given_answer
#define bus_side_catch caught
#define bus_side_is_idle is_idle
#include "chassis/bus_sqs.c"

static struct arena *wire_arena;

void fuzz_begin(void)
{
    crypto_init();
    wire_arena = arena_open(FUZZ_ARENA_BYTES_MAX);
}

static void check_publish(struct bus_wire *wire, struct arena *arena)
{
    const struct bus_event event = { .id = { { 1 } },
                                     .type = STR("orders.v1.OrderPlaced"),
                                     .topic = STR("orders.v1"),
                                     .key = STR("k"),
                                     .number = 1,
                                     .payload = STR("p"),
                                     .at = 1700000000 * TIME_SECOND };
    const struct bus_event *events[] = { &event, &event };
    bool confirmed[2] = { false, false };

    wire->routes_count = 0;
    (void)publish(wire, arena, events, 2, confirmed);
}

void fuzz_run(struct arena *arena, str input)
{
    struct sqs driver = { .endpoint = STR("https://sqs"),
                          .host = STR("sqs"),
                          .key = { .id = STR("i"), .secret = STR("s"), .region = STR("r") } };
    struct bus_wire wire = { .driver = &driver,
                             .arena = wire_arena,
                             .routes = { { .queue_url = STR("https://q"), .topics = STR(" a ") } },
                             .routes_count = 1 };
    unsigned way = fuzz_number(&input, 3);
    int64_t count = 0;

    fuzz_plant_overread(input, STR("\"bug\""));
    here = arena;
    answers = input;
    bytes_given = input.len;
    if (way == 0)
        (void)receive(&wire, arena, 0);
    else if (way == 1)
        check_publish(&wire, arena);
    else
        (void)waiting(&wire, arena, &count);
    FUZZ_CHECK(count >= 0);
    arena_reset(wire_arena);
}
