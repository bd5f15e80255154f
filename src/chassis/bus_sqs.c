/* SQS, over its JSON protocol, by libcurl and our SigV4.
 *
 * A consumer has one FIFO queue, duka-NAME.fifo, tagged with the topics that it listens to; whoever
 * publishes finds the queues by their tags. The group of a message is the key of its event, its
 * deduplication id the event's id. The body is the payload in base64; attributes of CloudEvents are
 * message attributes "ce_id" and so on, "topic" beside them. */
#include "base/crypto.h"
#include "base/json.h"
#include "chassis/bus_remote.h"
#include "chassis/cloudevent.h"
#include "chassis/fetch.h"
#include "chassis/sigv4.h"
#include "os/clock.h"
#include "os/sync.h"
#include <stdlib.h>

enum {
    BATCH_MAX = 10,
    BATCH_BYTES_MAX = 200 * 1024, /* of a request; SQS takes 256 KiB */
    QUEUES_MAX = 32,
    ROUTES_US = 60000000, /* how long we believe what queues there are */
    VISIBILITY_S = 30,
    CAUGHT_US_MAX = 20000000,
    LONG_POLL_S = 2,          /* a stop waits for it */
    LONG_POLL_LATE_MS = 1000, /* its answer may be later by so much, before a stop gives it up */
    ROUNDS_MAX = 8,           /* of receiving before a batch is worked on */
    GROUP_LEN_MAX = 128,
    CALL_MS = 10000,
    RELEASE_MS = 2000,
    FORBIDDEN = 403
};

#define PREFIX "ce_"
#define TOPICS_TAG "duka-topics"

struct sqs {
    struct bus *bus;
    struct arena *arena;
    str prefix; /* "staging-", or empty */
    str endpoint, host;
    struct sigv4_key key;
    const char *ca, *cert, *tls_key;
};

struct route {
    str queue_url, topics; /* with a space before and behind each */
};

struct bus_wire {
    struct sqs *driver;
    struct bus_side *side; /* NULL: the publisher's */
    struct fetch *fetch;
    struct arena *arena; /* of what it knows */
    struct route routes[QUEUES_MAX];
    int routes_count;
    int64_t routes_until_us;
    bool releasing;           /* at the end, though the bus stops */
    int64_t listens_until_us; /* a stop waits so long for what is being received */
};

/* ---- calls ---- */

static bool give_up(void *subject)
{
    const struct bus_wire *wire = subject;
    return bus_remote_stopping(wire->driver->bus) && !wire->releasing &&
           clock_mono_us() >= wire->listens_until_us;
}

static err fail_answer(struct arena *arena, const char *action, const struct fetch_answer *answer)
{
    const struct json *json = NULL, *type = NULL, *words = NULL;
    if (json_read(arena, answer->body, &json) == OK) {
        type = json_member(json, STR("__type"));
        words = json_member(json, STR("message"));
        if (!words)
            words = json_member(json, STR("Message"));
    }
    bool told = type && json_kind_of(type) == JSON_STRING;
    bool has_words = words && json_kind_of(words) == JSON_STRING;
    str word = told ? json_string(type) : STR("");
    str reason = str_format(arena, "%s: %d %" STR_F " %" STR_F, action, answer->status, STR_A(word),
                            STR_A(has_words ? json_string(words) : STR("")));
    if (answer->status != FORBIDDEN)
        return fail(arena, BUS_UNAVAILABLE, "%" STR_F, STR_A(reason));
    return fail(arena, BUS_REFUSED, "%" STR_F "; %s", STR_A(reason),
                str_find(word, STR("AccessDenied")) >= 0 ? BUS_SET_UP_WORDS
                                                         : "look at BUS_USER and BUS_PASSWORD");
}

static err call(struct bus_wire *wire, struct arena *arena, const char *action, str body,
                int timeout_ms, const struct json **out)
{
    const struct sqs *driver = wire->driver;
    str date = sigv4_date(arena, clock_wall_us());
    str target = str_format(arena, "AmazonSQS.%s", action);
    str type = STR("application/x-amz-json-1.0");
    const struct sigv4_header headers[] = { { STR("content-type"), type },
                                            { STR("host"), driver->host },
                                            { STR("x-amz-date"), date },
                                            { STR("x-amz-target"), target } };
    struct sigv4_request to_sign = { .method = STR("POST"),
                                     .path = STR("/"),
                                     .headers = headers,
                                     .headers_count = 4,
                                     .body = body };
    struct fetch_request request = {
        .method = "POST",
        .url = str_format(arena, "%" STR_F "/", STR_A(driver->endpoint)),
        .headers = { { "Content-Type", type },
                     { "X-Amz-Date", date },
                     { "X-Amz-Target", target },
                     { "Authorization", sigv4_sign(arena, &driver->key, &to_sign, date) } },
        .headers_count = 4,
        .body = body,
        .timeout_ms = timeout_ms,
    };
    struct fetch_answer answer;
    err error = fetch_one(wire->fetch, arena, &request, &answer);
    if (error != OK)
        return fail_over(arena, BUS_UNAVAILABLE, error, "%" STR_F ": %s: %" STR_F,
                         STR_A(driver->host), action, STR_A(error->detail));
    if (answer.status != 200)
        return fail_answer(arena, action, &answer);
    if (answer.body.len == 0)
        answer.body = STR("{}");
    return json_read(arena, answer.body, out);
}

/* ---- writing JSON ---- */

static void add_text(struct text *out, bool *first, const char *name, str value)
{
    json_add_name(out, first, str_of_z(name));
    json_add_string(out, value);
}

static void add_int(struct text *out, bool *first, const char *name, int64_t value)
{
    json_add_name(out, first, str_of_z(name));
    text_add_int(out, value);
}

static struct text object_of(struct arena *arena, size_t cap, bool *first)
{
    struct text out = text_init(arena, cap);
    text_add_byte(&out, '{');
    *first = true;
    return out;
}

static str queue_call(struct arena *arena, str queue_url, const char *more)
{
    bool first;
    struct text out = object_of(arena, 256, &first);
    add_text(&out, &first, "QueueUrl", queue_url);
    text_add(&out, str_of_z(more));
    text_add_byte(&out, '}');
    return text_str(&out);
}

static str text_member(const struct json *object, str name)
{
    const struct json *value = object ? json_member(object, name) : NULL;
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR_NONE;
}

/* ---- queues ---- */

static str topics_of(struct arena *arena, const struct bus_subscription *subscription)
{
    struct text out = text_init(arena, 128);
    for (int i = 0; i < subscription->topics_count; i++)
        text_add_format(&out, i == 0 ? "%s" : " %s", subscription->topics[i]);
    return text_str(&out);
}

/* One that our key may not make or tag may be there all the same. */
static err find_queue(struct bus_wire *wire, struct arena *arena, str name, err why, str *queue_url)
{
    const struct json *json;
    bool first;
    struct text out = object_of(arena, 256, &first);
    add_text(&out, &first, "QueueName", name);
    text_add_byte(&out, '}');
    if (call(wire, arena, "GetQueueUrl", text_str(&out), CALL_MS, &json) != OK)
        return why;
    *queue_url = text_member(json, STR("QueueUrl"));
    return queue_url->len > 0 ? OK : why;
}

static err make_queue(struct bus_wire *wire, struct arena *arena,
                      const struct bus_subscription *subscription, str *queue_url)
{
    const struct json *json;
    bool first;
    struct text out = object_of(arena, 512, &first);
    str name = str_format(arena, "%" STR_F "duka-%s.fifo", STR_A(wire->driver->prefix),
                          subscription->consumer.name);
    add_text(&out, &first, "QueueName", name);
    text_add_format(&out,
                    ",\"Attributes\":{\"FifoQueue\":\"true\",\"VisibilityTimeout\":\"%d\","
                    "\"MessageRetentionPeriod\":\"1209600\"}}",
                    VISIBILITY_S);
    err error = call(wire, arena, "CreateQueue", text_str(&out), CALL_MS, &json);
    if (err_is(error, BUS_REFUSED))
        return find_queue(wire, arena, name, error, queue_url);
    TRY(error);
    str url = text_member(json, STR("QueueUrl"));
    if (url.len == 0)
        return fail(arena, BUS_UNAVAILABLE, "CreateQueue gave no URL");
    out = object_of(arena, 512, &first);
    add_text(&out, &first, "QueueUrl", url);
    json_add_name(&out, &first, STR("Tags"));
    text_add(&out, STR("{\"" TOPICS_TAG "\":"));
    json_add_string(&out, topics_of(arena, subscription));
    text_add(&out, STR("}}"));
    TRY(call(wire, arena, "TagQueue", text_str(&out), CALL_MS, &json));
    *queue_url = url;
    return OK;
}

static err add_route(struct bus_wire *wire, struct arena *arena, str queue_url)
{
    const struct json *json;
    TRY(call(wire, arena, "ListQueueTags", queue_call(arena, queue_url, ""), CALL_MS, &json));
    str topics = text_member(json_member(json, STR("Tags")), STR(TOPICS_TAG));
    if (topics.len > 0 && wire->routes_count < QUEUES_MAX)
        wire->routes[wire->routes_count++] = (struct route){
            .queue_url = str_copy(wire->arena, queue_url),
            .topics = str_format(wire->arena, " %" STR_F " ", STR_A(topics)),
        };
    return OK;
}

/* Which queues there are, ours and those of others. */
static err find_routes(struct bus_wire *wire, struct arena *arena)
{
    const struct json *json;
    bool first;
    if (clock_mono_us() < wire->routes_until_us)
        return OK;
    struct text out = object_of(arena, 128, &first);
    add_text(&out, &first, "QueueNamePrefix",
             str_format(arena, "%" STR_F "duka-", STR_A(wire->driver->prefix)));
    text_add_byte(&out, '}');
    TRY(call(wire, arena, "ListQueues", text_str(&out), CALL_MS, &json));
    wire->routes_count = 0;
    arena_reset(wire->arena);
    const struct json *urls = json_member(json, STR("QueueUrls"));
    struct json_walk walk = json_walk_of(urls ? urls : json);
    while (urls && json_next(&walk))
        if (json_kind_of(walk.value) == JSON_STRING)
            TRY(add_route(wire, arena, json_string(walk.value)));
    wire->routes_until_us = clock_mono_us() + ROUTES_US;
    return OK;
}

/* ---- opening ---- */

static void wire_close(struct bus_wire *wire)
{
    fetch_close(wire->fetch);
    arena_close(wire->arena);
    free(wire);
}

static struct bus_wire *wire_new(struct sqs *driver, struct bus_side *side)
{
    struct bus_wire *wire = calloc(1, sizeof(*wire));
    ASSERT(wire);
    *wire = (struct bus_wire){ .driver = driver, .side = side };
    wire->arena = arena_open(ARENA_CHUNK_BYTES);
    wire->fetch = fetch_open(&(struct fetch_config){ .ca = driver->ca,
                                                     .cert = driver->cert,
                                                     .key = driver->tls_key,
                                                     .give_up = give_up,
                                                     .subject = wire });
    return wire;
}

static err open_publisher(void *self, struct arena *arena, struct bus_wire **out)
{
    struct sqs *driver = self;
    struct bus_wire *wire = wire_new(driver, NULL);
    struct bus_subscription known[BUS_KNOWN_MAX];
    int known_count = bus_remote_known(driver->bus, known);
    err error = OK;
    str queue_url;
    for (int i = 0; i < known_count && error == OK; i++)
        error = make_queue(wire, arena, &known[i], &queue_url);
    if (error == OK)
        error = find_routes(wire, arena);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    *out = wire;
    return OK;
}

static err open_consumer(void *self, struct arena *arena, struct bus_side *side,
                         struct bus_wire **out)
{
    struct bus_wire *wire = wire_new(self, side);
    str queue_url;
    err error = make_queue(wire, arena, bus_side_subscription(side), &queue_url);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    wire->routes[0].queue_url = str_copy(wire->arena, queue_url);
    *out = wire;
    return OK;
}

/* ---- publishing ---- */

static bool takes(const struct route *route, struct arena *arena, str topic)
{
    return str_find(route->topics, str_format(arena, " %" STR_F " ", STR_A(topic))) >= 0;
}

/* Groups have letters, digits and punctuation, 128 at most; another key goes by its digest. */
static str group_of(struct arena *arena, str key)
{
    bool well = key.len > 0 && key.len <= GROUP_LEN_MAX;
    for (size_t i = 0; i < key.len && well; i++)
        well = key.ptr[i] > ' ' && key.ptr[i] < 0x7f;
    struct sha256 digest = sha256_of(key);
    return well ? key : hex(arena, str_of(digest.bytes, sizeof(digest.bytes)));
}

static void add_attribute(struct text *out, bool *first, const char *name, str value)
{
    json_add_name(out, first, str_of_z(name));
    text_add(out, STR("{\"DataType\":\"String\",\"StringValue\":"));
    json_add_string(out, value);
    text_add_byte(out, '}');
}

static str entry_of(struct arena *arena, const struct bus_event *event, size_t index)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(arena, event, attributes);
    bool first, first_attribute = true;
    struct text out = object_of(arena, 1024 + event->payload.len * 4 / 3, &first);
    add_text(&out, &first, "Id", str_format(arena, "%zu", index));
    add_text(&out, &first, "MessageBody", base64(arena, event->payload));
    add_text(&out, &first, "MessageGroupId", group_of(arena, event->key));
    add_text(&out, &first, "MessageDeduplicationId", uuid_text(arena, event->id));
    json_add_name(&out, &first, STR("MessageAttributes"));
    text_add_byte(&out, '{');
    add_attribute(&out, &first_attribute, "content-type", STR(CLOUDEVENT_CONTENT_TYPE));
    add_attribute(&out, &first_attribute, "topic", event->topic);
    for (size_t i = 0; i < count; i++)
        add_attribute(&out, &first_attribute,
                      str_z(arena, str_format(arena, PREFIX "%s", attributes[i].name)),
                      attributes[i].value);
    text_add(&out, STR("}}"));
    return text_str(&out);
}

/* Which of a batch were taken: those that are named as successful. */
static err read_sent(struct arena *arena, const struct json *json, size_t wanted, bool *sent)
{
    const struct json *successful = json_member(json, STR("Successful"));
    struct json_walk walk = json_walk_of(successful ? successful : json);
    size_t count = 0;
    while (successful && json_next(&walk)) {
        int64_t index;
        if (str_to_int64(text_member(walk.value, STR("Id")), 0, BUS_BATCH_MAX - 1, &index)) {
            sent[index] = true;
            count++;
        }
    }
    return count == wanted ? OK
                           : fail(arena, BUS_UNAVAILABLE, "%zu of %zu messages were not taken",
                                  wanted - count, wanted);
}

static err send_to(struct bus_wire *wire, struct arena *arena, const struct route *route,
                   const struct bus_event *const *events, size_t count, bool *sent)
{
    size_t next = 0;
    while (next < count) {
        const struct json *json;
        bool first;
        size_t entries = 0;
        struct text out = object_of(arena, 4096, &first);
        add_text(&out, &first, "QueueUrl", route->queue_url);
        text_add(&out, STR(",\"Entries\":["));
        for (; next < count && entries < BATCH_MAX; next++) {
            if (!takes(route, arena, events[next]->topic)) {
                sent[next] = true;
                continue;
            }
            str entry = entry_of(arena, events[next], next);
            if (entries > 0 && out.len + entry.len > BATCH_BYTES_MAX)
                break;
            if (entries++ > 0)
                text_add_byte(&out, ',');
            text_add(&out, entry);
        }
        if (entries == 0)
            break;
        text_add(&out, STR("]}"));
        TRY(call(wire, arena, "SendMessageBatch", text_str(&out), CALL_MS, &json));
        TRY(read_sent(arena, json, entries, sent));
    }
    return OK;
}

static err publish(struct bus_wire *wire, struct arena *arena,
                   const struct bus_event *const *events, size_t count, bool *confirmed)
{
    bool all[BUS_BATCH_MAX], sent[BUS_BATCH_MAX];
    TRY(find_routes(wire, arena));
    memset(all, true, sizeof(all));
    err error = OK;
    for (int i = 0; i < wire->routes_count && error == OK; i++) {
        memset(sent, false, sizeof(sent));
        error = send_to(wire, arena, &wire->routes[i], events, count, sent);
        for (size_t j = 0; j < count; j++)
            all[j] = all[j] && sent[j];
        if (error != OK && i + 1 < wire->routes_count)
            memset(all, false, sizeof(all)); /* the queues behind it have heard nothing */
    }
    memcpy(confirmed, all, count * sizeof(all[0]));
    return error;
}

/* ---- consuming ---- */

static struct bus_event event_of(struct arena *arena, const struct json *message)
{
    struct cloudevent in = { 0 };
    str topic = STR("unknown"), payload = text_member(message, STR("Body"));
    const struct json *attributes = json_member(message, STR("MessageAttributes"));
    if (attributes && json_kind_of(attributes) == JSON_OBJECT) {
        struct json_walk walk = json_walk_of(attributes);
        while (json_next(&walk)) {
            str value = text_member(walk.value, STR("StringValue"));
            if (str_equal(walk.name, STR("topic")))
                topic = value;
            else if (str_starts(walk.name, STR(PREFIX)))
                cloudevent_add(&in, str_slice(walk.name, sizeof(PREFIX) - 1, SIZE_MAX), value);
        }
    }
    str decoded;
    if (base64_parse(arena, payload, &decoded))
        payload = decoded;
    else
        in.is_broken = true;
    return cloudevent_end(arena, &in, topic, payload);
}

/* A stop hears it to its end: what SQS gives to a connection that has gone is hidden from everybody
 * until its time is up, and all that is behind it in its group. */
static err receive_some(struct bus_wire *wire, struct arena *arena, int wait_s, size_t *count)
{
    const struct json *json;
    bool first;
    struct text out = object_of(arena, 512, &first);
    add_text(&out, &first, "QueueUrl", wire->routes[0].queue_url);
    add_int(&out, &first, "MaxNumberOfMessages", BATCH_MAX);
    add_int(&out, &first, "WaitTimeSeconds", wait_s);
    text_add(&out, STR(",\"MessageAttributeNames\":[\"All\"]}"));
    wire->listens_until_us = clock_mono_us() + (wait_s * 1000 + LONG_POLL_LATE_MS) * TIME_MS;
    err error = call(wire, arena, "ReceiveMessage", text_str(&out), CALL_MS + wait_s * 1000, &json);
    wire->listens_until_us = 0;
    if (error != OK)
        return error;
    const struct json *messages = json_member(json, STR("Messages"));
    struct json_walk walk = json_walk_of(messages ? messages : json);
    *count = 0;
    while (messages && json_kind_of(messages) == JSON_ARRAY && json_next(&walk)) {
        struct bus_event event = event_of(arena, walk.value);
        bus_side_catch(wire->side, &event, 0, 0, text_member(walk.value, STR("ReceiptHandle")));
        (*count)++;
    }
    return OK;
}

static err receive(struct bus_wire *wire, struct arena *arena, int wait_ms)
{
    size_t count = 0;
    bool idle = bus_side_is_idle(wire->side);
    if (!idle && wait_ms > 0)
        sleep_until(clock_mono_us() + wait_ms * TIME_MS);
    TRY(receive_some(wire, arena, idle ? LONG_POLL_S : 0, &count));
    for (int i = 1; count == BATCH_MAX && i < ROUNDS_MAX; i++)
        TRY(receive_some(wire, arena, 0, &count));
    return OK;
}

static str receipts_of(struct arena *arena, const struct bus_wire *wire,
                       struct bus_delivery *const *deliveries, size_t count, const char *more)
{
    bool first;
    struct text out = object_of(arena, 4096, &first);
    add_text(&out, &first, "QueueUrl", wire->routes[0].queue_url);
    text_add(&out, STR(",\"Entries\":["));
    for (size_t i = 0; i < count; i++) {
        text_add_format(&out, "%s{\"Id\":\"%zu\",\"ReceiptHandle\":", i > 0 ? "," : "", i);
        json_add_string(&out, str_of_z(deliveries[i]->receipt));
        text_add(&out, str_of_z(more));
        text_add_byte(&out, '}');
    }
    text_add(&out, STR("]}"));
    return text_str(&out);
}

/* One that was held too long is refused here, and comes again: the inbox has seen it. */
static err ack(struct bus_wire *wire, struct arena *arena, struct bus_delivery *const *deliveries,
               size_t count)
{
    wire->releasing = true; /* what has its effect is deleted, though the bus stops */
    err error = OK;
    for (size_t from = 0; from < count && error == OK; from += BATCH_MAX) {
        const struct json *json;
        size_t some = count - from < BATCH_MAX ? count - from : BATCH_MAX;
        error = call(wire, arena, "DeleteMessageBatch",
                     receipts_of(arena, wire, deliveries + from, some, ""), CALL_MS, &json);
    }
    wire->releasing = false;
    return error;
}

/* What was caught and not taken is there for others at once. */
static void release(struct bus_wire *wire, struct arena *arena,
                    struct bus_delivery *const *deliveries, size_t count)
{
    wire->releasing = true;
    for (size_t from = 0; from < count; from += BATCH_MAX) {
        const struct json *json;
        size_t some = count - from < BATCH_MAX ? count - from : BATCH_MAX;
        str body = receipts_of(arena, wire, deliveries + from, some, ",\"VisibilityTimeout\":0");
        if (call(wire, arena, "ChangeMessageVisibilityBatch", body, RELEASE_MS, &json) != OK)
            return;
    }
}

static err waiting(struct bus_wire *wire, struct arena *arena, int64_t *out)
{
    const struct json *json;
    str body = queue_call(arena, wire->routes[0].queue_url,
                          ",\"AttributeNames\":[\"ApproximateNumberOfMessages\"]");
    TRY(call(wire, arena, "GetQueueAttributes", body, CALL_MS, &json));
    (void)str_to_int64(
        text_member(json_member(json, STR("Attributes")), STR("ApproximateNumberOfMessages")), 0,
        INT64_MAX, out);
    return OK;
}

static void sqs_free(void *self) { arena_close(((struct sqs *)self)->arena); }

static const struct bus_wire_ops sqs_ops = {
    .name = "sqs",
    .open_publisher = open_publisher,
    .publish = publish,
    .open_consumer = open_consumer,
    .receive = receive,
    .ack = ack,
    .release = release,
    .waiting = waiting,
    .caught_us_max = CAUGHT_US_MAX,
    .close = wire_close,
    .free = sqs_free,
};

/* ---- the bus ---- */

static const char *path_of(struct arena *arena, str path)
{
    return path.len > 0 ? str_z(arena, path) : NULL;
}

err bus_open_sqs(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                 struct bus **out)
{
    str host, region = bus_url_option(url, STR("region"), STR(""));
    int port;
    bool plain = str_equal(bus_url_option(url, STR("plain"), STR("false")), STR("true"));
    if (!bus_url_host(url, plain ? 80 : 443, &host, &port) || region.len == 0)
        return fail(arena, SETTING_INVALID,
                    "BUS_URL: give host and region of SQS: "
                    "sqs://sqs.eu-west-1.amazonaws.com/?region=eu-west-1");
    if (url->user.len == 0 || url->password.len == 0)
        return fail(arena, SETTING_INVALID,
                    "BUS_USER and BUS_PASSWORD: SQS needs an access key's id and its secret");
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct sqs *driver = arena_new(own, struct sqs);
    *driver = (struct sqs){
        .arena = own,
        .prefix = bus_prefix(own, config, '-'),
        .host = str_copy(own, url->hosts),
        .endpoint = str_format(own, "%s://%" STR_F, plain ? "http" : "https", STR_A(url->hosts)),
        .key = { .id = str_copy(own, url->user),
                 .secret = str_copy(own, url->password),
                 .region = str_copy(own, region),
                 .service = STR("sqs") },
        .ca = path_of(own, config->tls_ca),
        .cert = path_of(own, config->tls_cert),
        .tls_key = path_of(own, config->tls_key),
    };
    driver->bus = *out = bus_remote_open(&sqs_ops, driver, config);
    return OK;
}
