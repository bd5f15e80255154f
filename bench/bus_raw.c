/* What a broker takes by itself, beside bench/events.py: one message at a time from a producer to a
 * consumer, by the library that Duka uses and with the same settings, until it is there.
 *
 *     bus-raw kafka HOST:PORT TOPIC COUNT       librdkafka; the topic is there
 *     bus-raw rabbitmq HOST PORT QUEUE COUNT    librabbitmq, guest; makes the quorum queue
 *     bus-raw sqs URL COUNT                     libcurl, unsigned; URL is that of the queue
 *     bus-raw http URL COUNT                    libcurl: a POST until its answer
 *
 * Prints the microseconds of each on a line of its own. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM = 20, PAUSE_US = 3000, WAIT_S = 20, BODY_BYTES = 400, TAG_BYTES = 16 };

/* What the consumer has seen, for the producer that waits for it. */
struct seen {
    char tag[TAG_BYTES + 1]; /* of this run: a topic keeps what earlier ones have sent */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t count, last_us;
    bool ended;
};

static struct seen seen = { .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER };

static _Noreturn void die(const char *why)
{
    (void)fprintf(stderr, "bus-raw: %s\n", why);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void arrived(const char *body)
{
    if (strncmp(body, seen.tag, TAG_BYTES) != 0)
        return;
    pthread_mutex_lock(&seen.lock);
    seen.count++;
    seen.last_us = now_us();
    pthread_cond_signal(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static bool has_ended(void) { return __atomic_load_n(&seen.ended, __ATOMIC_ACQUIRE); }

/* Sends `count` messages, each after the one before it has arrived; the first are left out. */
static void run(void (*send)(void *self, const char *body), void *self, int count)
{
    char body[BODY_BYTES + 1];
    memset(body, 'x', BODY_BYTES);
    body[BODY_BYTES] = '\0';
    memcpy(body, seen.tag, TAG_BYTES);
    for (int i = 0; i < WARM + count; i++) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_S;
        int64_t begun_us = now_us();
        send(self, body);
        pthread_mutex_lock(&seen.lock);
        while (seen.count <= i)
            if (pthread_cond_timedwait(&seen.changed, &seen.lock, &until) != 0)
                die("a message did not arrive");
        int64_t took_us = seen.last_us - begun_us;
        pthread_mutex_unlock(&seen.lock);
        if (i >= WARM)
            (void)printf("%ld\n", (long)took_us);
        (void)usleep(PAUSE_US);
    }
    __atomic_store_n(&seen.ended, true, __ATOMIC_RELEASE);
}

/* ---- Kafka ---- */

static rd_kafka_t *kafka_client(rd_kafka_type_t type, const char *const (*options)[2])
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (int i = 0; options[i][0]; i++)
        if (rd_kafka_conf_set(conf, options[i][0], options[i][1], why, sizeof(why)) !=
            RD_KAFKA_CONF_OK)
            die(why);
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    if (!client)
        die(why);
    return client;
}

struct kafka {
    rd_kafka_t *producer, *consumer;
    const char *topic;
};

static void kafka_send(void *self, const char *body)
{
    struct kafka *kafka = self;
    if (rd_kafka_producev(kafka->producer, RD_KAFKA_V_TOPIC(kafka->topic), RD_KAFKA_V_KEY("key", 3),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)body, BODY_BYTES),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) != 0)
        die("produce");
    (void)rd_kafka_poll(kafka->producer, 0);
}

static void *kafka_consume(void *self)
{
    struct kafka *kafka = self;
    while (!has_ended()) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka->consumer, 200);
        if (!message)
            continue;
        if (message->err == 0 && message->len == BODY_BYTES)
            arrived(message->payload);
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

static void kafka(const char *host, const char *topic, int count)
{
    const char *const producer[][2] = { { "bootstrap.servers", host },
                                        { "enable.idempotence", "true" },
                                        { "acks", "all" },
                                        { "max.in.flight.requests.per.connection", "1" },
                                        { "linger.ms", "0" },
                                        { NULL, NULL } };
    const char *const consumer[][2] = {
        { "bootstrap.servers", host },     { "group.id", topic },
        { "enable.auto.commit", "false" }, { "auto.offset.reset", "earliest" },
        { "fetch.wait.max.ms", "100" },    { NULL, NULL }
    };
    struct kafka self = { kafka_client(RD_KAFKA_PRODUCER, producer),
                          kafka_client(RD_KAFKA_CONSUMER, consumer), topic };
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    (void)rd_kafka_poll_set_consumer(self.consumer);
    if (rd_kafka_subscribe(self.consumer, topics) != 0)
        die("subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    pthread_t thread;
    pthread_create(&thread, NULL, kafka_consume, &self);
    run(kafka_send, &self, count);
    pthread_join(thread, NULL);
    (void)rd_kafka_consumer_close(self.consumer);
    rd_kafka_destroy(self.consumer);
    rd_kafka_destroy(self.producer);
}

/* ---- RabbitMQ ---- */

struct rabbitmq {
    amqp_connection_state_t producer, consumer;
    amqp_bytes_t queue;
};

static void check(amqp_connection_state_t connection, const char *what)
{
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
        die(what);
}

static amqp_connection_state_t rabbitmq_connect(const char *host, int port)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (!socket || amqp_socket_open(socket, host, port) != AMQP_STATUS_OK)
        die("no RabbitMQ there");
    if (amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
            .reply_type != AMQP_RESPONSE_NORMAL)
        die("log-in");
    (void)amqp_channel_open(connection, 1);
    check(connection, "channel");
    return connection;
}

/* The confirm is waited for, as the relay does, which does not hold up the consumer. */
static void rabbitmq_send(void *self, const char *body)
{
    struct rabbitmq *rabbitmq = self;
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                           .delivery_mode = 2 };
    amqp_frame_t frame;
    if (amqp_basic_publish(rabbitmq->producer, 1, amqp_empty_bytes, rabbitmq->queue, 0, 0,
                           &properties, amqp_cstring_bytes(body)) != AMQP_STATUS_OK ||
        amqp_simple_wait_frame(rabbitmq->producer, &frame) != AMQP_STATUS_OK ||
        frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        die("publish");
}

static void *rabbitmq_consume(void *self)
{
    struct rabbitmq *rabbitmq = self;
    while (!has_ended()) {
        amqp_envelope_t envelope;
        struct timeval patience = { 0, 200000 };
        amqp_maybe_release_buffers(rabbitmq->consumer);
        if (amqp_consume_message(rabbitmq->consumer, &envelope, &patience, 0).reply_type !=
            AMQP_RESPONSE_NORMAL)
            continue;
        if (envelope.message.body.len == BODY_BYTES)
            arrived(envelope.message.body.bytes);
        (void)amqp_basic_ack(rabbitmq->consumer, 1, envelope.delivery_tag, 0);
        amqp_destroy_envelope(&envelope);
    }
    return NULL;
}

static void rabbitmq(const char *host, int port, const char *queue, int count)
{
    struct rabbitmq self = { rabbitmq_connect(host, port), rabbitmq_connect(host, port),
                             amqp_cstring_bytes(queue) };
    amqp_table_entry_t entries[] = { { .key = amqp_cstring_bytes("x-queue-type"),
                                       .value = { .kind = AMQP_FIELD_KIND_UTF8,
                                                  .value.bytes = amqp_cstring_bytes("quorum") } } };
    amqp_table_t arguments = { .num_entries = 1, .entries = entries };
    (void)amqp_queue_declare(self.consumer, 1, self.queue, 0, 1, 0, 0, arguments);
    check(self.consumer, "queue");
    (void)amqp_basic_consume(self.consumer, 1, self.queue, amqp_empty_bytes, 0, 0, 0,
                             amqp_empty_table);
    check(self.consumer, "consume");
    (void)amqp_confirm_select(self.producer, 1);
    check(self.producer, "confirms");
    pthread_t thread;
    pthread_create(&thread, NULL, rabbitmq_consume, &self);
    run(rabbitmq_send, &self, count);
    pthread_join(thread, NULL);
    (void)amqp_destroy_connection(self.producer);
    (void)amqp_destroy_connection(self.consumer);
}

/* ---- SQS, and HTTP alone ---- */

struct http {
    CURL *curl;
    const char *url;
    bool alone; /* the answer is the arrival */
    int sent;
};

static size_t keep(char *bytes, size_t size, size_t count, void *subject)
{
    char *text = subject; /* of 8192 bytes */
    size_t there = strlen(text), more = size * count;
    if (there + more < 8192) {
        memcpy(text + there, bytes, more);
        text[there + more] = '\0';
    }
    return more;
}

/* POSTs a form; gives what it was answered. */
static const char *post(CURL *curl, const char *url, const char *form, char answer[8192])
{
    answer[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (curl_easy_perform(curl) != CURLE_OK)
        die("no answer");
    return answer;
}

static void http_send(void *self, const char *body)
{
    struct http *http = self;
    char form[BODY_BYTES + 256], answer[8192];
    (void)snprintf(form, sizeof(form),
                   "Action=SendMessage&MessageGroupId=key&MessageDeduplicationId=%d-%ld&"
                   "MessageBody=%s",
                   http->sent++, (long)now_us(), body);
    (void)post(http->curl, http->url, http->alone ? body : form, answer);
    if (http->alone)
        arrived(body);
    else if (!strstr(answer, "<MessageId>"))
        die(answer);
}

static void *sqs_consume(void *self)
{
    const char *url = ((struct http *)self)->url;
    CURL *curl = curl_easy_init();
    char answer[8192], form[4096];
    while (!has_ended()) {
        (void)post(curl, url, "Action=ReceiveMessage&MaxNumberOfMessages=10&WaitTimeSeconds=1",
                   answer);
        char *handle = strstr(answer, "<ReceiptHandle>"), *end = strstr(answer, "</ReceiptHandle>");
        char *body = strstr(answer, "<Body>");
        if (!handle || !end || !body)
            continue;
        arrived(body + strlen("<Body>"));
        *end = '\0';
        char *escaped = curl_easy_escape(curl, handle + strlen("<ReceiptHandle>"), 0);
        (void)snprintf(form, sizeof(form), "Action=DeleteMessage&ReceiptHandle=%s", escaped);
        curl_free(escaped);
        (void)post(curl, url, form, answer);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

static void http(const char *url, bool alone, int count)
{
    (void)curl_global_init(CURL_GLOBAL_ALL);
    struct http self = { .curl = curl_easy_init(), .url = url, .alone = alone };
    pthread_t thread;
    if (!alone)
        pthread_create(&thread, NULL, sqs_consume, &self);
    run(http_send, &self, count);
    if (!alone)
        pthread_join(thread, NULL);
    curl_easy_cleanup(self.curl);
}

int main(int count, char **words)
{
    (void)snprintf(seen.tag, sizeof(seen.tag), "%016lx", (unsigned long)now_us());
    if (count == 5 && strcmp(words[1], "kafka") == 0)
        kafka(words[2], words[3], (int)strtol(words[4], NULL, 10));
    else if (count == 6 && strcmp(words[1], "rabbitmq") == 0)
        rabbitmq(words[2], (int)strtol(words[3], NULL, 10), words[4],
                 (int)strtol(words[5], NULL, 10));
    else if (count == 4 && strcmp(words[1], "sqs") == 0)
        http(words[2], false, (int)strtol(words[3], NULL, 10));
    else if (count == 4 && strcmp(words[1], "http") == 0)
        http(words[2], true, (int)strtol(words[3], NULL, 10));
    else
        die("see the head of bench/bus_raw.c");
    return 0;
}
