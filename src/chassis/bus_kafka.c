/* Kafka, by librdkafka.
 *
 * A topic is a topic of sixteen partitions, made here where it is not there; the partition of an
 * event is its shard. The producer is idempotent and waits for all replicas. A consumer is a group,
 * duka.NAME, with ranges of partitions (the eager kind: a rebalance takes all away and gives anew,
 * so that what was caught can be forgotten whole); offsets are committed after the effect.
 * Attributes of CloudEvents are headers "ce_id" and so on. */
#include "chassis/bus_remote.h"
#include "chassis/cloudevent.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "os/sync.h"
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERROR_BYTES = 512, OPTIONS_MAX = 24, PURGE_MS = 1000, BUS_COMMIT_MS = 10000 };

#define PREFIX "ce_"

struct option {
    const char *name, *value;
};

struct kafka {
    struct bus *bus;
    struct arena *arena;
    str prefix; /* "staging.", or empty */
    struct option options[OPTIONS_MAX];
    int options_count;
};

struct bus_wire {
    struct kafka *driver;
    rd_kafka_t *client;
    struct bus_side *side; /* NULL: the publisher's */
    bool broken;           /* its group does not answer */
    /* The publisher's: what became of the batch under way. */
    bool confirmed[BUS_BATCH_MAX];
    size_t reported;
    rd_kafka_resp_err_t failed;
    struct bus_topics topics; /* that are there */
    rd_kafka_resp_err_t told; /* by the library, besides: who we are is not believed */
    char told_words[ERROR_BYTES];
};

/* Our account may not. */
static bool is_refusal(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
}

static err fail_code(struct arena *arena, const char *what, rd_kafka_resp_err_t code)
{
    if (is_refusal(code))
        return fail(arena, BUS_REFUSED, "%s: %s", what, rd_kafka_err2str(code));
    return fail(arena, BUS_UNAVAILABLE, "%s: %s", what, rd_kafka_err2str(code));
}

/* A wrong password, a certificate that is not believed: nothing will come of waiting. */
static bool is_hopeless(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__FATAL ||
           code == RD_KAFKA_RESP_ERR__SSL || code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

/* What the library has told explains it better than a time that is up. */
static err explained(struct arena *arena, const struct bus_wire *wire, err error)
{
    if (wire->told == RD_KAFKA_RESP_ERR_NO_ERROR)
        return error;
    bool tls = wire->told == RD_KAFKA_RESP_ERR__SSL;
    if (!is_hopeless(wire->told))
        return fail(arena, BUS_UNAVAILABLE, "%s", wire->told_words);
    return fail(arena, BUS_REFUSED, "%s (%s)", wire->told_words,
                tls ? "BUS_URL, BUS_TLS_CA_FILE, BUS_TLS_CERT_FILE" : "BUS_USER, BUS_PASSWORD");
}

/* ---- opening ---- */

static void on_delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct bus_wire *wire = opaque;
    (void)client;
    wire->reported++;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        wire->failed = message->err;
    else if (message->offset < 0) /* the broker took it for a repeat, and did not say of what */
        wire->failed = RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER;
    else
        wire->confirmed[(uintptr_t)message->_private] = true;
}

/* Brokers that are away come back, and the library goes on by itself; but a wrong password and the
 * like are told to whoever waits. */
static void on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    struct bus_wire *wire = opaque;
    (void)client;
    LOG(LOG_DEBUG, "bus.kafka", LOG_TEXT("error", str_of_z(reason)));
    if (is_hopeless(wire->told) && !is_hopeless((rd_kafka_resp_err_t)code))
        return;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && wire->told)
        return; /* the one before says why */
    wire->told = (rd_kafka_resp_err_t)code;
    (void)snprintf(wire->told_words, sizeof(wire->told_words), "%s", reason);
}

/* What the library says besides belongs to nobody. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    LOG(LOG_DEBUG, "bus.kafka", LOG_NUMBER("severity", level),
        LOG_TEXT("facility", str_of_z(facility)), LOG_TEXT("text", str_of_z(text)));
}

/* All partitions are taken away and given anew: what was caught and not acked comes again. */
static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct bus_wire *wire = opaque;
    bus_side_forget(wire->side);
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        (void)rd_kafka_assign(client, partitions);
    else
        (void)rd_kafka_assign(client, NULL);
}

static void wire_close(struct bus_wire *wire)
{
    if (!wire)
        return;
    if (wire->client && wire->side && !wire->broken)
        (void)rd_kafka_consumer_close(wire->client);
    if (wire->client && !wire->side) {
        (void)rd_kafka_purge(wire->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        (void)rd_kafka_flush(wire->client, PURGE_MS);
    }
    if (wire->client) /* a group that does not answer is not left politely */
        rd_kafka_destroy_flags(wire->client,
                               wire->broken ? RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE : 0);
    free(wire);
}

static err set_options(struct arena *arena, rd_kafka_conf_t *conf, const struct option *options,
                       int count)
{
    char reason[ERROR_BYTES];
    for (int i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, options[i].name, options[i].value, reason, sizeof(reason)) !=
            RD_KAFKA_CONF_OK)
            return fail(arena, SETTING_INVALID, "%s: %s", options[i].name, reason);
    return OK;
}

static err open_client(struct arena *arena, struct kafka *driver, struct bus_side *side,
                       const struct option *options, int options_count, struct bus_wire **out)
{
    struct bus_wire *wire = calloc(1, sizeof(*wire));
    ASSERT(wire);
    *wire = (struct bus_wire){ .driver = driver, .side = side };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, wire);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (side)
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    else
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    err error = set_options(arena, conf, driver->options, driver->options_count);
    if (error == OK)
        error = set_options(arena, conf, options, options_count);
    if (error != OK) {
        rd_kafka_conf_destroy(conf);
        free(wire);
        return error;
    }
    char reason[ERROR_BYTES];
    wire->client =
        rd_kafka_new(side ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    if (!wire->client) {
        rd_kafka_conf_destroy(conf);
        free(wire);
        return fail(arena, BUS_REFUSED, "%s (BUS_TLS_CA_FILE, BUS_TLS_CERT_FILE, BUS_TLS_KEY_FILE)",
                    reason);
    }
    *out = wire;
    return OK;
}

/* ---- topics ---- */

static const char *topic_of(struct arena *arena, const struct kafka *driver, str topic)
{
    return str_z(arena,
                 str_format(arena, "%" STR_F "%" STR_F, STR_A(driver->prefix), STR_A(topic)));
}

/* The partitions were fixed when the topic was made: another number would break the order. */
static err check_partitions(struct arena *arena, struct bus_wire *wire, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(wire->client, name, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(wire->client, 0, topic, &metadata, BUS_CONNECT_MS);
    rd_kafka_topic_destroy(topic);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail_code(arena, name, code);
    int partitions = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    if (partitions == 0)
        return fail(arena, BUS_UNAVAILABLE, "the topic %s is not there yet", name);
    if (partitions != BUS_SHARDS)
        return fail(arena, BUS_UNAVAILABLE, "the topic %s has %d partitions; it needs %d", name,
                    partitions, BUS_SHARDS);
    return OK;
}

static err check_made(struct arena *arena, rd_kafka_event_t *event)
{
    if (!event)
        return fail(arena, BUS_UNAVAILABLE, "no broker answers");
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(arena, BUS_UNAVAILABLE, "making topics: %s",
                    rd_kafka_event_error_string(event));
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        const char *name = rd_kafka_topic_result_name(results[i]);
        if (is_refusal(code))
            return fail(arena, BUS_REFUSED, "making the topic %s: %s; " BUS_SET_UP_WORDS, name,
                        rd_kafka_err2str(code));
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return fail_code(arena, name, code);
    }
    return OK;
}

/* What was just made is seen a moment later. */
static err wait_partitions(struct arena *arena, struct bus_wire *wire, const char *name)
{
    err error = check_partitions(arena, wire, name);
    for (int i = 0; i < 20 && error != OK && !bus_remote_stopping(wire->driver->bus); i++) {
        sleep_until(clock_mono_us() + 50 * TIME_MS);
        error = check_partitions(arena, wire, name);
    }
    return error;
}

static err make_topic(struct arena *arena, struct bus_wire *wire, str topic)
{
    if (bus_topics_has(&wire->topics, topic))
        return OK;
    bus_topics_add(&wire->topics, topic);
    const char *name = topic_of(arena, wire->driver, topic);
    char reason[ERROR_BYTES];
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(name, BUS_SHARDS, -1, reason, sizeof(reason));
    if (!wanted)
        return fail(arena, BUS_UNAVAILABLE, "%s: %s", name, reason);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(wire->client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(wire->client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, BUS_CONNECT_MS, reason,
                                                    sizeof(reason));
    rd_kafka_CreateTopics(wire->client, &wanted, 1, options, queue);
    rd_kafka_event_t *event = NULL;
    int64_t deadline_us = clock_mono_us() + (BUS_CONNECT_MS + 1000) * TIME_MS;
    while (!event && clock_mono_us() < deadline_us && !is_hopeless(wire->told) &&
           !bus_remote_stopping(wire->driver->bus)) {
        event = rd_kafka_queue_poll(queue, BUS_SLICE_MS);
        (void)rd_kafka_poll(wire->client, 0); /* for on_error */
    }
    err error = check_made(arena, event);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(wanted);
    if (error == OK)
        return wait_partitions(arena, wire, name);
    if (err_is(error, BUS_REFUSED) && check_partitions(arena, wire, name) == OK)
        return OK; /* another has made it */
    return explained(arena, wire, error);
}

static err make_topics(struct arena *arena, struct bus_wire *wire,
                       const struct bus_subscription *subscription)
{
    for (int i = 0; i < subscription->topics_count; i++)
        TRY(make_topic(arena, wire, str_of_z(subscription->topics[i])));
    return OK;
}

static err open_publisher(void *self, struct arena *arena, struct bus_wire **out)
{
    static const struct option options[] = {
        { "enable.idempotence", "true" },
        { "acks", "all" },
        /* One request at a time. With more, the first to a new partition may be refused (its leader
         * does not know of it yet) while the second is taken; a broker takes any number for the
         * first of a producer (KIP-360), so that the repeat of the first counts as a duplicate: it
         * is confirmed, and lost. */
        { "max.in.flight.requests.per.connection", "1" },
        { "linger.ms", "0" },
        { "message.timeout.ms", "15000" },
        { "message.max.bytes", "2000000" },
    };
    struct kafka *driver = self;
    struct bus_wire *wire;
    struct bus_subscription known[BUS_KNOWN_MAX];
    TRY(open_client(arena, driver, NULL, options, sizeof(options) / sizeof(options[0]), &wire));
    int known_count = bus_remote_known(driver->bus, known);
    err error = OK;
    for (int i = 0; i < known_count && error == OK; i++)
        error = make_topics(arena, wire, &known[i]);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    *out = wire;
    return OK;
}

static err subscribe(struct arena *arena, struct bus_wire *wire)
{
    const struct bus_subscription *subscription = bus_side_subscription(wire->side);
    TRY(make_topics(arena, wire, subscription));
    (void)rd_kafka_poll_set_consumer(wire->client);
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new(subscription->topics_count);
    for (int i = 0; i < subscription->topics_count; i++)
        (void)rd_kafka_topic_partition_list_add(
            topics, topic_of(arena, wire->driver, str_of_z(subscription->topics[i])),
            RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(wire->client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OK : fail_code(arena, "subscribe", code);
}

static err open_consumer(void *self, struct arena *arena, struct bus_side *side,
                         struct bus_wire **out)
{
    struct kafka *driver = self;
    str group = str_format(arena, "%" STR_F "duka.%s", STR_A(driver->prefix),
                           bus_side_subscription(side)->consumer.name);
    const struct option options[] = {
        { "group.id", str_z(arena, group) },
        { "enable.auto.commit", "false" },
        { "auto.offset.reset", "earliest" },
        { "partition.assignment.strategy", "range,roundrobin" },
        { "session.timeout.ms", "10000" },
        { "fetch.wait.max.ms", "100" },
        { "queued.max.messages.kbytes", "16384" },
    };
    struct bus_wire *wire;
    TRY(open_client(arena, driver, side, options, sizeof(options) / sizeof(options[0]), &wire));
    err error = subscribe(arena, wire);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    *out = wire;
    return OK;
}

/* ---- publishing ---- */

static err produce(struct arena *arena, struct bus_wire *wire, const struct bus_event *event,
                   size_t index)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(arena, event, attributes);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(count + 1);
    (void)rd_kafka_header_add(headers, "content-type", -1, CLOUDEVENT_CONTENT_TYPE, -1);
    for (size_t i = 0; i < count; i++) {
        str name = str_format(arena, PREFIX "%s", attributes[i].name);
        (void)rd_kafka_header_add(headers, name.ptr, (ssize_t)name.len, attributes[i].value.ptr,
                                  (ssize_t)attributes[i].value.len);
    }
    const char *topic = topic_of(arena, wire->driver, event->topic);
    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_producev(
            wire->client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(bus_shard(event->key)),
            RD_KAFKA_V_KEY(event->key.ptr, event->key.len),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)event->payload.ptr, event->payload.len),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)index), RD_KAFKA_V_END);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return OK; /* the headers are the message's now */
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || bus_remote_stopping(wire->driver->bus)) {
            rd_kafka_headers_destroy(headers);
            return fail_code(arena, "produce", code);
        }
        (void)rd_kafka_poll(wire->client, BUS_SLICE_MS);
    }
}

static err publish(struct bus_wire *wire, struct arena *arena,
                   const struct bus_event *const *events, size_t count, bool *confirmed)
{
    int64_t deadline_us = clock_mono_us() + BUS_CONFIRM_MS * TIME_MS;
    size_t produced = 0;
    err error = OK;
    memset(wire->confirmed, 0, sizeof(wire->confirmed));
    wire->reported = 0;
    wire->failed = wire->told = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t i = 0; i < count; i++) /* a topic that only others consume */
        TRY(make_topic(arena, wire, events[i]->topic));
    while (produced < count && error == OK) {
        error = produce(arena, wire, events[produced], produced);
        produced += error == OK;
    }
    while (error == OK && wire->reported < produced) {
        (void)rd_kafka_poll(wire->client, BUS_SLICE_MS);
        if (is_hopeless(wire->told))
            error = explained(arena, wire, OK);
        else if (bus_remote_stopping(wire->driver->bus) && wire->reported < produced)
            error = fail(arena, BUS_UNAVAILABLE, "stopped before all was confirmed");
        else if (clock_mono_us() > deadline_us)
            error = fail(arena, BUS_UNAVAILABLE, "the broker confirms nothing");
    }
    memcpy(confirmed, wire->confirmed, count * sizeof(confirmed[0]));
    if (error == OK && wire->failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        error = fail_code(arena, "producing", wire->failed);
    return error;
}

/* ---- consuming ---- */

static struct bus_event event_of(struct arena *arena, const struct bus_wire *wire,
                                 const rd_kafka_message_t *message)
{
    struct cloudevent in = { 0 };
    rd_kafka_headers_t *headers = NULL;
    const char *name;
    const void *value;
    size_t bytes;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &bytes) ==
                           RD_KAFKA_RESP_ERR_NO_ERROR;
             i++)
            if (str_starts(str_of_z(name), STR(PREFIX)))
                cloudevent_add(&in, str_of_z(name + sizeof(PREFIX) - 1), str_of(value, bytes));
    str prefix = wire->driver->prefix, topic = str_of_z(rd_kafka_topic_name(message->rkt));
    topic = str_copy(arena, str_slice(topic, prefix.len, SIZE_MAX));
    return cloudevent_end(arena, &in, topic, str_of(message->payload, message->len));
}

/* Which of the subscription's topics it is, and its partition, in one number. */
static int lane_of(const struct bus_wire *wire, str topic, int partition)
{
    const struct bus_subscription *subscription = bus_side_subscription(wire->side);
    for (int i = 0; i < subscription->topics_count; i++)
        if (str_equal(str_of_z(subscription->topics[i]), topic))
            return i * BUS_SHARDS + partition % BUS_SHARDS;
    return -1;
}

static err receive_one(struct bus_wire *wire, struct arena *arena, int wait_ms, bool *caught)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(wire->client, wait_ms);
    err error = OK;
    *caught = false;
    if (!message)
        return OK;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        struct bus_event event = event_of(arena, wire, message);
        int lane = lane_of(wire, event.topic, message->partition);
        *caught = lane >= 0;
        if (*caught)
            bus_side_catch(wire->side, &event, (uint64_t)message->offset, lane, STR_NONE);
    } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF &&
               message->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
               message->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        error = fail_code(arena, "consuming", message->err);
    rd_kafka_message_destroy(message);
    return error;
}

static err receive(struct bus_wire *wire, struct arena *arena, int wait_ms)
{
    bool caught;
    TRY(receive_one(wire, arena, wait_ms, &caught));
    for (int i = 1; caught && i < BUS_BATCH_MAX; i++)
        TRY(receive_one(wire, arena, 0, &caught));
    return OK;
}

/* Not by rd_kafka_commit(…, 0), which waits for ever for a coordinator that went away. */
static err commit(struct arena *arena, struct bus_wire *wire,
                  const rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(wire->client);
    rd_kafka_event_t *event = NULL;
    int64_t deadline_us = clock_mono_us() + BUS_COMMIT_MS * TIME_MS;
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(wire->client, offsets, queue, NULL, NULL);
    while (code == RD_KAFKA_RESP_ERR_NO_ERROR && !event && clock_mono_us() < deadline_us)
        event = rd_kafka_queue_poll(queue, BUS_SLICE_MS);
    wire->broken = code == RD_KAFKA_RESP_ERR_NO_ERROR && !event;
    if (event)
        code = rd_kafka_event_error(event);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    if (wire->broken)
        return fail(arena, BUS_UNAVAILABLE, "commit: no answer");
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OK : fail_code(arena, "commit", code);
}

/* What was taken of a partition are its first, so the last of them says it all. */
static err ack(struct bus_wire *wire, struct arena *arena, struct bus_delivery *const *deliveries,
               size_t count)
{
    int64_t next[BUS_TOPICS_MAX * BUS_SHARDS] = { 0 };
    const struct bus_subscription *subscription = bus_side_subscription(wire->side);
    for (size_t i = 0; i < count; i++) {
        int64_t offset = (int64_t)deliveries[i]->tag + 1;
        if (offset > next[deliveries[i]->lane])
            next[deliveries[i]->lane] = offset;
    }
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(BUS_SHARDS);
    for (int lane = 0; lane < BUS_TOPICS_MAX * BUS_SHARDS; lane++)
        if (next[lane] > 0)
            rd_kafka_topic_partition_list_add(
                offsets,
                topic_of(arena, wire->driver, str_of_z(subscription->topics[lane / BUS_SHARDS])),
                lane % BUS_SHARDS)
                ->offset = next[lane];
    err error = commit(arena, wire, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
    return error;
}

/* By what the library knows of the ends of its partitions; nothing is asked. */
static err waiting(struct bus_wire *wire, struct arena *arena, int64_t *out)
{
    rd_kafka_topic_partition_list_t *mine;
    int64_t total = 0;
    (void)arena;
    if (rd_kafka_assignment(wire->client, &mine) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return OK;
    (void)rd_kafka_position(wire->client, mine);
    for (int i = 0; i < mine->cnt; i++) {
        int64_t low, high;
        if (rd_kafka_get_watermark_offsets(wire->client, mine->elems[i].topic,
                                           mine->elems[i].partition, &low,
                                           &high) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            mine->elems[i].offset >= 0 && high > mine->elems[i].offset)
            total += high - mine->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(mine);
    *out = total;
    return OK;
}

static void kafka_free(void *self) { arena_close(((struct kafka *)self)->arena); }

static const struct bus_wire_ops kafka_ops = {
    .name = "kafka",
    .open_publisher = open_publisher,
    .publish = publish,
    .open_consumer = open_consumer,
    .receive = receive,
    .ack = ack,
    .waiting = waiting,
    .close = wire_close,
    .free = kafka_free,
};

/* ---- the bus ---- */

static void add_option(struct kafka *driver, const char *name, str value)
{
    ASSERT(driver->options_count < OPTIONS_MAX);
    if (value.len > 0)
        driver->options[driver->options_count++] =
            (struct option){ name, str_z(driver->arena, value) };
}

static void add_security(struct kafka *driver, const struct bus_config *config,
                         const struct bus_url *url)
{
    bool tls = str_equal(url->scheme, STR("kafkas")), known = url->user.len > 0;
    add_option(driver, "security.protocol",
               tls ? (known ? STR("sasl_ssl") : STR("ssl"))
                   : (known ? STR("sasl_plaintext") : STR("plaintext")));
    if (tls) {
        add_option(driver, "ssl.ca.location", config->tls_ca);
        add_option(driver, "ssl.certificate.location", config->tls_cert);
        add_option(driver, "ssl.key.location", config->tls_key);
        add_option(driver, "enable.ssl.certificate.verification",
                   bus_url_option(url, STR("verify"), STR("true")));
    }
    if (known) {
        add_option(driver, "sasl.mechanism", bus_url_option(url, STR("sasl"), STR("PLAIN")));
        add_option(driver, "sasl.username", url->user);
        add_option(driver, "sasl.password", url->password);
    }
}

err bus_open_kafka(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                   struct bus **out)
{
    if (url->hosts.len == 0)
        return fail(arena, SETTING_INVALID,
                    "BUS_URL: give the brokers of Kafka: kafka://host:9092,host:9092");
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct kafka *driver = arena_new(own, struct kafka);
    *driver = (struct kafka){ .arena = own, .prefix = bus_prefix(own, config, '.') };
    add_option(driver, "bootstrap.servers", url->hosts);
    add_option(driver, "client.id", STR("duka"));
    add_option(driver, "socket.timeout.ms", STR("10000"));
    add_option(driver, "reconnect.backoff.max.ms", STR("1000"));
    add_security(driver, config, url);
    rd_kafka_conf_t *conf = rd_kafka_conf_new(); /* what is wrong is told at the start */
    err error = set_options(arena, conf, driver->options, driver->options_count);
    rd_kafka_conf_destroy(conf);
    if (error != OK) {
        arena_close(own);
        return fail_over(arena, SETTING_INVALID, error, "BUS_URL and its settings: %" STR_F,
                         STR_A(error->detail));
    }
    driver->bus = *out = bus_remote_open(&kafka_ops, driver, config);
    return OK;
}
