/* RabbitMQ, by librabbitmq (AMQP 0-9-1).
 *
 * A topic ("orders.v1") is a durable topic exchange; the routing key of an event is its shard, two
 * digits. A consumer has sixteen quorum queues, duka.NAME.00 to .15, each with a single active
 * consumer: order per key holds however many replicas there are. Published with confirms, acked by
 * hand. Attributes of CloudEvents are headers "cloudEvents:id" and so on. */
#include "chassis/bus_remote.h"
#include "chassis/cloudevent.h"
#include "os/clock.h"
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    CHANNEL = 1,
    FRAME_BYTES_MAX = 131072,
    HEARTBEAT_S = 10,
    PREFETCH = 128, /* of each queue: caught and not acked */
    PORT = 5672,
    PORT_TLS = 5671
};

#define PREFIX "cloudEvents:"
#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt" /* the library knows of none */

struct rabbitmq {
    struct bus *bus;
    struct arena *arena;
    str prefix; /* "staging.", or empty */
    const char *host, *vhost, *user, *password;
    const char *tls_ca, *tls_cert, *tls_key; /* NULL: none */
    int port;
    bool tls, verify;
};

struct bus_wire {
    struct rabbitmq *driver;
    amqp_connection_state_t connection;
    struct bus_side *side; /* NULL: the publisher's */
    uint64_t published;    /* the last delivery tag: the broker counts as we do */
    /* While a batch is confirmed: its flags, and the tag of its first. */
    bool *confirmed;
    uint64_t first;
    size_t confirmed_of, confirmed_count;
    bool refused;
    struct bus_topics topics; /* whose exchanges were declared on it */
};

static amqp_bytes_t bytes_of(str s)
{
    return (amqp_bytes_t){ .len = s.len, .bytes = (void *)(uintptr_t)s.ptr };
}

static str str_of_bytes(amqp_bytes_t bytes) { return str_of(bytes.bytes, bytes.len); }

/* ---- errors ---- */

static err fail_status(struct arena *arena, const char *what, int status)
{
    return fail(arena, BUS_UNAVAILABLE, "%s: %s", what, amqp_error_string2(status));
}

/* 403 ACCESS_REFUSED; 530 NOT_ALLOWED: there is no such vhost, or it is not ours. */
static err fail_closed(struct arena *arena, const char *what, int code, str words)
{
    if (code == AMQP_ACCESS_REFUSED || code == AMQP_NOT_ALLOWED)
        return fail(arena, BUS_REFUSED, "%s: %d %" STR_F, what, code, STR_A(words));
    return fail(arena, BUS_UNAVAILABLE, "%s: %d %" STR_F, what, code, STR_A(words));
}

static err fail_reply(struct arena *arena, const char *what, amqp_rpc_reply_t reply)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return fail_status(arena, what, reply.library_error);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = reply.reply.decoded;
        return fail_closed(arena, what, close->reply_code, str_of_bytes(close->reply_text));
    }
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close = reply.reply.decoded;
        return fail_closed(arena, what, close->reply_code, str_of_bytes(close->reply_text));
    }
    return fail(arena, BUS_UNAVAILABLE, "%s: the broker ended it", what);
}

static err check_rpc(struct arena *arena, const struct bus_wire *wire, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(wire->connection);
    return reply.reply_type == AMQP_RESPONSE_NORMAL ? OK : fail_reply(arena, what, reply);
}

/* ---- opening ---- */

static void wire_close(struct bus_wire *wire)
{
    if (!wire)
        return;
    (void)amqp_connection_close(wire->connection, AMQP_REPLY_SUCCESS);
    (void)amqp_destroy_connection(wire->connection);
    free(wire);
}

static err tls_socket(struct arena *arena, const struct rabbitmq *driver,
                      amqp_connection_state_t connection, amqp_socket_t **out)
{
    amqp_socket_t *socket = amqp_ssl_socket_new(connection);
    int status = socket ? AMQP_STATUS_OK : AMQP_STATUS_NO_MEMORY;
    if (status == AMQP_STATUS_OK && driver->tls_ca)
        status = amqp_ssl_socket_set_cacert(socket, driver->tls_ca);
    if (status == AMQP_STATUS_OK && !driver->tls_ca) /* where it is not, nobody is believed */
        (void)amqp_ssl_socket_set_cacert(socket, SYSTEM_CAS);
    if (status == AMQP_STATUS_OK && driver->tls_cert)
        status = amqp_ssl_socket_set_key(socket, driver->tls_cert, driver->tls_key);
    if (status != AMQP_STATUS_OK)
        return fail_status(
            arena, "TLS with BUS_TLS_CA_FILE, BUS_TLS_CERT_FILE and BUS_TLS_KEY_FILE", status);
    amqp_ssl_socket_set_verify_peer(socket, driver->verify);
    amqp_ssl_socket_set_verify_hostname(socket, driver->verify);
    (void)amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    *out = socket;
    return OK;
}

/* A broker that is silently gone is noticed, also by a publisher that has nothing to say. */
static void keep_alive(int fd)
{
    int on = 1, idle_s = 30;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Certificates that do not fit do not come to fit by waiting. */
static err fail_open(struct arena *arena, const struct rabbitmq *driver, int status)
{
    const char *setting = status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED
                              ? "its certificate is of another name than BUS_URL says"
                          : status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED ||
                                  status == AMQP_STATUS_SSL_CONNECTION_FAILED ||
                                  status == AMQP_STATUS_SSL_ERROR
                              ? "its certificate is of no authority of BUS_TLS_CA_FILE, or it does "
                                "not take BUS_TLS_CERT_FILE"
                              : NULL;
    if (setting)
        return fail(arena, BUS_REFUSED, "%s:%d: %s: %s", driver->host, driver->port,
                    amqp_error_string2(status), setting);
    return fail(arena, BUS_UNAVAILABLE, "%s:%d: %s", driver->host, driver->port,
                amqp_error_string2(status));
}

/* A broker that wants a certificate says so by ending what was a connection already (TLS 1.3). */
static err fail_login(struct arena *arena, const struct rabbitmq *driver, amqp_rpc_reply_t reply)
{
    bool ended = reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION;
    return fail_reply(arena,
                      ended && driver->tls && !driver->tls_cert
                          ? "login (the broker may want a certificate: BUS_TLS_CERT_FILE)"
                          : "login (BUS_USER, BUS_PASSWORD, vhost)",
                      reply);
}

static err connect_wire(struct arena *arena, struct bus_wire *wire, int heartbeat_s)
{
    const struct rabbitmq *driver = wire->driver;
    struct timeval patience = { .tv_sec = BUS_CONNECT_MS / 1000 };
    amqp_socket_t *socket = NULL;
    if (driver->tls)
        TRY(tls_socket(arena, driver, wire->connection, &socket));
    else
        socket = amqp_tcp_socket_new(wire->connection);
    ASSERT(socket);
    (void)amqp_set_handshake_timeout(wire->connection, &patience);
    (void)amqp_set_rpc_timeout(wire->connection, &patience);
    int status = amqp_socket_open_noblock(socket, driver->host, driver->port, &patience);
    if (status != AMQP_STATUS_OK)
        return fail_open(arena, driver, status);
    keep_alive(amqp_get_sockfd(wire->connection));
    amqp_rpc_reply_t reply =
        amqp_login(wire->connection, driver->vhost, 0, FRAME_BYTES_MAX, heartbeat_s,
                   AMQP_SASL_METHOD_PLAIN, driver->user, driver->password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return fail_login(arena, driver, reply);
    (void)amqp_channel_open(wire->connection, CHANNEL);
    return check_rpc(arena, wire, "channel.open");
}

static struct bus_wire *wire_new(struct rabbitmq *driver, struct bus_side *side)
{
    struct bus_wire *wire = calloc(1, sizeof(*wire));
    ASSERT(wire);
    *wire = (struct bus_wire){ .driver = driver, .side = side };
    wire->connection = amqp_new_connection();
    ASSERT(wire->connection);
    return wire;
}

/* ---- exchanges and queues ---- */

static str queue_of(struct arena *arena, const struct rabbitmq *driver,
                    const struct bus_subscription *subscription, int shard)
{
    return str_format(arena, "%" STR_F "duka.%s.%02d", STR_A(driver->prefix),
                      subscription->consumer.name, shard);
}

static str exchange_of(struct arena *arena, const struct rabbitmq *driver, str topic)
{
    return str_format(arena, "%" STR_F "%" STR_F, STR_A(driver->prefix), STR_A(topic));
}

static str queue_name(struct arena *arena, const struct bus_wire *wire, int shard)
{
    return queue_of(arena, wire->driver, bus_side_subscription(wire->side), shard);
}

static str routing_key(struct arena *arena, int shard) { return str_format(arena, "%02d", shard); }

static err declare_exchange(struct arena *arena, struct bus_wire *wire, str topic, bool passive)
{
    str exchange = exchange_of(arena, wire->driver, topic);
    (void)amqp_exchange_declare(wire->connection, CHANNEL, bytes_of(exchange),
                                amqp_cstring_bytes("topic"), passive, 1, 0, 0, amqp_empty_table);
    return check_rpc(arena, wire, "exchange.declare");
}

static err declare_queue(struct arena *arena, struct bus_wire *wire,
                         const struct bus_subscription *subscription, int shard)
{
    amqp_table_entry_t entries[] = {
        { .key = amqp_cstring_bytes("x-queue-type"),
          .value = { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum") } },
        { .key = amqp_cstring_bytes("x-single-active-consumer"),
          .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } },
    };
    amqp_table_t arguments = { .num_entries = 2, .entries = entries };
    str name = queue_of(arena, wire->driver, subscription, shard);
    str key = routing_key(arena, shard);
    (void)amqp_queue_declare(wire->connection, CHANNEL, bytes_of(name), 0, 1, 0, 0, arguments);
    TRY(check_rpc(arena, wire, "queue.declare"));
    for (int i = 0; i < subscription->topics_count; i++) {
        str exchange = exchange_of(arena, wire->driver, str_of_z(subscription->topics[i]));
        (void)amqp_queue_bind(wire->connection, CHANNEL, bytes_of(name), bytes_of(exchange),
                              bytes_of(key), amqp_empty_table);
        TRY(check_rpc(arena, wire, "queue.bind"));
    }
    return OK;
}

/* What was refused has closed it. */
static err open_channel_again(struct arena *arena, struct bus_wire *wire)
{
    amqp_channel_close_ok_t heard = { 0 };
    (void)amqp_send_method(wire->connection, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &heard);
    (void)amqp_channel_open(wire->connection, CHANNEL);
    return check_rpc(arena, wire, "channel.open");
}

/* Whether its queues are there: told without the right to make them. */
static err check_queues(struct arena *arena, struct bus_wire *wire,
                        const struct bus_subscription *subscription)
{
    TRY(open_channel_again(arena, wire));
    for (int shard = 0; shard < BUS_SHARDS; shard++) {
        str name = queue_of(arena, wire->driver, subscription, shard);
        (void)amqp_queue_declare(wire->connection, CHANNEL, bytes_of(name), 1, 1, 0, 0,
                                 amqp_empty_table);
        TRY(check_rpc(arena, wire, "queue.declare"));
    }
    return OK;
}

static err make_queues(struct arena *arena, struct bus_wire *wire,
                       const struct bus_subscription *subscription)
{
    for (int i = 0; i < subscription->topics_count; i++)
        TRY(declare_exchange(arena, wire, str_of_z(subscription->topics[i]), false));
    for (int shard = 0; shard < BUS_SHARDS; shard++) {
        if (bus_remote_stopping(wire->driver->bus)) /* half of the queues are none */
            return fail(arena, BUS_UNAVAILABLE, "stopped before all queues were there");
        TRY(declare_queue(arena, wire, subscription, shard));
    }
    return OK;
}

/* An account that may not make them may use those that another has made. */
static err declare_for(struct arena *arena, struct bus_wire *wire,
                       const struct bus_subscription *subscription)
{
    err error = make_queues(arena, wire, subscription);
    if (!err_is(error, BUS_REFUSED))
        return error;
    if (check_queues(arena, wire, subscription) == OK)
        return OK;
    return fail_over(arena, BUS_REFUSED, error, "queues of %s: %" STR_F "; " BUS_SET_UP_WORDS,
                     subscription->consumer.name, STR_A(error->detail));
}

static err ask_confirms(struct arena *arena, struct bus_wire *wire)
{
    wire->published = 0;
    (void)amqp_confirm_select(wire->connection, CHANNEL);
    return check_rpc(arena, wire, "confirm.select");
}

/* The queues of all consumers, ours and others', are there before anything is published: what no
 * queue is bound to, nobody gets. */
static err open_publisher(void *self, struct arena *arena, struct bus_wire **out)
{
    struct rabbitmq *driver = self;
    struct bus_wire *wire = wire_new(driver, NULL);
    struct bus_subscription known[BUS_KNOWN_MAX];
    int known_count = bus_remote_known(driver->bus, known);
    err error = connect_wire(arena, wire, 0);
    for (int i = 0; i < known_count && error == OK; i++)
        error = declare_for(arena, wire, &known[i]);
    if (error == OK)
        error = ask_confirms(arena, wire);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    *out = wire;
    return OK;
}

static err consume_all(struct arena *arena, struct bus_wire *wire)
{
    TRY(declare_for(arena, wire, bus_side_subscription(wire->side)));
    (void)amqp_basic_qos(wire->connection, CHANNEL, 0, PREFETCH, 0);
    TRY(check_rpc(arena, wire, "basic.qos"));
    for (int shard = 0; shard < BUS_SHARDS; shard++) {
        (void)amqp_basic_consume(wire->connection, CHANNEL,
                                 bytes_of(queue_name(arena, wire, shard)),
                                 bytes_of(routing_key(arena, shard)), 0, 0, 0, amqp_empty_table);
        TRY(check_rpc(arena, wire, "basic.consume"));
    }
    return OK;
}

static err open_consumer(void *self, struct arena *arena, struct bus_side *side,
                         struct bus_wire **out)
{
    struct bus_wire *wire = wire_new(self, side);
    err error = connect_wire(arena, wire, HEARTBEAT_S);
    if (error == OK)
        error = consume_all(arena, wire);
    if (error != OK) {
        wire_close(wire);
        return error;
    }
    *out = wire;
    return OK;
}

/* ---- publishing ---- */

/* A broker that takes nothing more (its memory alarm, a stopped process) must not hold the thread
 * for ever. */
static err wait_writable(struct arena *arena, struct bus_wire *wire, int64_t deadline_us)
{
    struct pollfd pollfd = { .fd = amqp_get_sockfd(wire->connection), .events = POLLOUT };
    while (poll(&pollfd, 1, BUS_SLICE_MS) <= 0) {
        if (bus_remote_stopping(wire->driver->bus))
            return fail(arena, BUS_UNAVAILABLE, "stopped while the broker took nothing");
        if (clock_mono_us() > deadline_us)
            return fail(arena, BUS_UNAVAILABLE, "the broker takes nothing");
    }
    return OK;
}

static err publish_one(struct arena *arena, struct bus_wire *wire, const struct bus_event *event)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    amqp_table_entry_t entries[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(arena, event, attributes);
    for (size_t i = 0; i < count; i++)
        entries[i] = (amqp_table_entry_t){
            .key = bytes_of(str_format(arena, PREFIX "%s", attributes[i].name)),
            .value = { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes_of(attributes[i].value) },
        };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .content_type = amqp_cstring_bytes(CLOUDEVENT_CONTENT_TYPE),
        .delivery_mode = 2,
        .message_id = bytes_of(uuid_text(arena, event->id)),
        .type = bytes_of(event->type),
        .headers = { .num_entries = (int)count, .entries = entries },
    };
    str exchange = exchange_of(arena, wire->driver, event->topic);
    int status = amqp_basic_publish(wire->connection, CHANNEL, bytes_of(exchange),
                                    bytes_of(routing_key(arena, bus_shard(event->key))), 0, 0,
                                    &properties, bytes_of(event->payload));
    return status == AMQP_STATUS_OK ? OK : fail_status(arena, "basic.publish", status);
}

static void confirm(struct bus_wire *wire, uint64_t tag, bool multiple, bool well)
{
    if (tag < wire->first)
        return;
    uint64_t last = tag - wire->first;
    for (uint64_t i = multiple ? 0 : last; i <= last && i < wire->confirmed_of; i++) {
        if (wire->confirmed[i])
            continue;
        wire->confirmed[i] = well;
        wire->confirmed_count += well;
    }
    wire->refused = wire->refused || !well;
}

static err take_frame(struct arena *arena, struct bus_wire *wire, const amqp_frame_t *frame)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return OK;
    const amqp_method_t *method = &frame->payload.method;
    if (method->id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *ack = method->decoded;
        confirm(wire, ack->delivery_tag, ack->multiple, true);
        return OK;
    }
    if (method->id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *nack = method->decoded;
        confirm(wire, nack->delivery_tag, nack->multiple, false);
        return OK;
    }
    return fail_reply(
        arena, "publishing",
        (amqp_rpc_reply_t){ .reply_type = AMQP_RESPONSE_SERVER_EXCEPTION, .reply = *method });
}

static err wait_confirms(struct arena *arena, struct bus_wire *wire)
{
    int64_t deadline_us = clock_mono_us() + BUS_CONFIRM_MS * TIME_MS;
    while (wire->confirmed_count < wire->confirmed_of) {
        struct timeval slice = { .tv_usec = BUS_SLICE_MS * 1000 };
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(wire->connection, &frame, &slice);
        if (status == AMQP_STATUS_OK)
            TRY(take_frame(arena, wire, &frame));
        else if (status != AMQP_STATUS_TIMEOUT)
            return fail_status(arena, "waiting for confirms", status);
        if (wire->refused)
            return fail(arena, BUS_UNAVAILABLE, "the broker refused a message");
        if (status != AMQP_STATUS_OK && bus_remote_stopping(wire->driver->bus))
            return fail(arena, BUS_UNAVAILABLE, "stopped before all was confirmed");
        if (clock_mono_us() > deadline_us)
            return fail(arena, BUS_UNAVAILABLE, "the broker confirms nothing");
    }
    return OK;
}

/* One that our account may not make may be there all the same. */
static err find_exchange(struct arena *arena, struct bus_wire *wire, str topic)
{
    err error = declare_exchange(arena, wire, topic, false);
    if (!err_is(error, BUS_REFUSED))
        return error;
    TRY(open_channel_again(arena, wire));
    if (declare_exchange(arena, wire, topic, true) != OK)
        return fail_over(arena, BUS_REFUSED, error,
                         "exchange %" STR_F ": %" STR_F "; " BUS_SET_UP_WORDS, STR_A(topic),
                         STR_A(error->detail));
    return ask_confirms(arena, wire);
}

/* A topic that only others consume has no exchange before this. */
static err declare_new(struct arena *arena, struct bus_wire *wire,
                       const struct bus_event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        str topic = events[i]->topic;
        if (bus_topics_has(&wire->topics, topic))
            continue;
        TRY(find_exchange(arena, wire, topic));
        bus_topics_add(&wire->topics, topic);
    }
    return OK;
}

static err publish(struct bus_wire *wire, struct arena *arena,
                   const struct bus_event *const *events, size_t count, bool *confirmed)
{
    int64_t deadline_us = clock_mono_us() + BUS_CONFIRM_MS * TIME_MS;
    TRY(declare_new(arena, wire, events, count));
    wire->confirmed = confirmed;
    wire->first = wire->published + 1;
    wire->confirmed_of = count;
    wire->confirmed_count = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(wait_writable(arena, wire, deadline_us));
        TRY(publish_one(arena, wire, events[i]));
        wire->published++;
    }
    err error = wait_confirms(arena, wire);
    amqp_maybe_release_buffers(wire->connection);
    return error;
}

/* ---- consuming ---- */

static struct bus_event event_of(struct arena *arena, const struct bus_wire *wire,
                                 const amqp_envelope_t *envelope)
{
    str prefix = wire->driver->prefix, topic = str_of_bytes(envelope->exchange);
    if (str_starts(topic, prefix))
        topic = str_slice(topic, prefix.len, SIZE_MAX);
    struct cloudevent in = { 0 };
    const amqp_basic_properties_t *properties = &envelope->message.properties;
    if (properties->_flags & AMQP_BASIC_HEADERS_FLAG)
        for (int i = 0; i < properties->headers.num_entries; i++) {
            const amqp_table_entry_t *entry = &properties->headers.entries[i];
            str name = str_of_bytes(entry->key);
            if (entry->value.kind == AMQP_FIELD_KIND_UTF8 && str_starts(name, STR(PREFIX)))
                cloudevent_add(&in, str_slice(name, sizeof(PREFIX) - 1, SIZE_MAX),
                               str_of_bytes(entry->value.value.bytes));
        }
    return cloudevent_end(arena, &in, topic, str_of_bytes(envelope->message.body));
}

static err receive_one(struct bus_wire *wire, struct arena *arena, int wait_ms, bool *caught)
{
    struct timeval patience = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
    amqp_envelope_t envelope;
    *caught = false;
    amqp_maybe_release_buffers(wire->connection);
    amqp_rpc_reply_t reply = amqp_consume_message(wire->connection, &envelope, &patience, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
        reply.library_error == AMQP_STATUS_TIMEOUT)
        return OK;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
        reply.library_error == AMQP_STATUS_UNEXPECTED_STATE)
        return fail(arena, BUS_UNAVAILABLE, "the broker ended the channel or a queue");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return fail_reply(arena, "consuming", reply);
    struct bus_event event = event_of(arena, wire, &envelope);
    bus_side_catch(wire->side, &event, envelope.delivery_tag, 0, STR_NONE);
    amqp_destroy_envelope(&envelope);
    *caught = true;
    return OK;
}

static err receive(struct bus_wire *wire, struct arena *arena, int wait_ms)
{
    bool caught;
    TRY(receive_one(wire, arena, wait_ms, &caught));
    for (int i = 1; caught && i < BUS_BATCH_MAX; i++)
        TRY(receive_one(wire, arena, 0, &caught));
    return OK;
}

static err ack(struct bus_wire *wire, struct arena *arena, struct bus_delivery *const *deliveries,
               size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int status = amqp_basic_ack(wire->connection, CHANNEL, deliveries[i]->tag, 0);
        if (status != AMQP_STATUS_OK)
            return fail_status(arena, "basic.ack", status);
    }
    return OK;
}

static err waiting(struct bus_wire *wire, struct arena *arena, int64_t *out)
{
    int64_t total = 0;
    for (int shard = 0; shard < BUS_SHARDS && !bus_side_stopping(wire->side); shard++) {
        const amqp_queue_declare_ok_t *queue =
            amqp_queue_declare(wire->connection, CHANNEL, bytes_of(queue_name(arena, wire, shard)),
                               1, 1, 0, 0, amqp_empty_table);
        TRY(check_rpc(arena, wire, "queue.declare"));
        total += queue->message_count;
    }
    *out = total;
    return OK;
}

static void rabbitmq_free(void *self) { arena_close(((struct rabbitmq *)self)->arena); }

static const struct bus_wire_ops rabbitmq_ops = {
    .name = "rabbitmq",
    .open_publisher = open_publisher,
    .publish = publish,
    .open_consumer = open_consumer,
    .receive = receive,
    .ack = ack,
    .waiting = waiting,
    .close = wire_close,
    .free = rabbitmq_free,
};

static const char *path_of(struct arena *arena, str path)
{
    return path.len > 0 ? str_z(arena, path) : NULL;
}

err bus_open_rabbitmq(struct arena *arena, const struct bus_config *config,
                      const struct bus_url *url, struct bus **out)
{
    str host;
    int port;
    bool tls = str_equal(url->scheme, STR("amqps"));
    if (!bus_url_host(url, tls ? PORT_TLS : PORT, &host, &port))
        return fail(arena, SETTING_INVALID,
                    "BUS_URL: give the host of RabbitMQ: amqp://host:5672/vhost");
    if (config->tls_cert.len > 0 && config->tls_key.len == 0)
        return fail(arena, SETTING_INVALID, "BUS_TLS_CERT_FILE needs BUS_TLS_KEY_FILE beside it");
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct rabbitmq *driver = arena_new(own, struct rabbitmq);
    *driver = (struct rabbitmq){
        .arena = own,
        .prefix = bus_prefix(own, config, '.'),
        .host = str_z(own, host),
        .port = port,
        .vhost = str_z(own, url->path.ptr ? url->path : STR("/")),
        .user = str_z(own, url->user.len > 0 ? url->user : STR("guest")),
        .password = str_z(own, url->password.len > 0 ? url->password : STR("guest")),
        .tls = tls,
        .verify = !str_equal(bus_url_option(url, STR("verify"), STR("true")), STR("false")),
        .tls_ca = path_of(own, config->tls_ca),
        .tls_cert = path_of(own, config->tls_cert),
        .tls_key = path_of(own, config->tls_key),
    };
    driver->bus = *out = bus_remote_open(&rabbitmq_ops, driver, config);
    return OK;
}
