/* The bus: CloudEvents from the outbox of one service to the inboxes of others. At least once, in
 * order per key.
 *
 * One face over five drivers, chosen by BUS_URL:
 *
 *     local:                          inside this process (the default)
 *     amqp://host:5672/vhost          RabbitMQ; amqps: by TLS
 *     kafka://host:9092,host:9092     Kafka; kafkas: by TLS
 *     sqs://host/?region=eu-west-1    SQS; ?plain=true without TLS
 *     direct:?NAME=http://host:3000   no broker: pushed by HTTP to each consumer, NAME by NAME
 *
 * A broker that is away delays, and loses nothing: what it has not confirmed stays in the outboxes.
 */
#pragma once
#include "base/err.h"
#include "base/time.h"
#include "base/uuid.h"

enum { BUS_SHARDS = 16, BUS_BATCH_MAX = 512, BUS_TOPICS_MAX = 8, BUS_LISTENERS_MAX = 16 };

/* An event under way; borrowed from whoever delivers it. */
struct bus_event {
    struct uuid id;
    str type;  /* "orders.v1.OrderPlaced" */
    str topic; /* "orders.v1" */
    str key;
    int64_t number;
    str payload;
    str traceparent;
    time_us at;
};

/* Which shard a key belongs to: crc32(key) mod BUS_SHARDS, fixed for ever. */
int bus_shard(str key);

struct bus;

/* A consumer's side: takes a batch, in order per key, and returns how many of them, from the first,
 * have taken effect (or were seen before, or are kept in its own database): those are acked. The
 * rest come again after a while, still in order. Called on a thread of the bus's consumer; may wait
 * for commits. */
struct bus_consumer {
    const char *name; /* the consuming service */
    void *self;
    size_t (*take)(void *self, const struct bus_event *events, size_t count);
};

/* What the simulator and the tests may do to a delivery: asked for each event and consumer. Gives
 * the microseconds that it is late (0: none, so that others overtake it); *repeat: it comes twice.
 */
struct bus_faults {
    void *self;
    int64_t (*fate)(void *self, const char *consumer, const struct bus_event *event, bool *repeat);
};

/* Whoever consumes events, in this process or another, and what it listens to. */
struct bus_listener {
    const char *name; /* the consuming service */
    const char *const *topics;
    int topics_count;
};

/* What a bus is opened with; strings live as long as it. Empty where nothing is set. */
struct bus_config {
    str url;
    str prefix;                           /* "staging": of all names at the broker */
    str user, password;                   /* win over those in the URL */
    str tls_ca, tls_cert, tls_key;        /* paths of PEM files */
    const struct bus_listener *listeners; /* all there are: what they need at the broker is made
                                             before anything is published (gen/listeners.h) */
    int listeners_count;
    const str *places; /* where each of them is by this shop's settings, as upstream_url.h has it:
                          for direct:, where its URL does not say; NULL: not known */
    size_t events_max; /* held at once; publishers wait beyond */
    const struct bus_faults *faults; /* local only, or NULL */
};

/* Opens the driver that the URL names. Reaches for no broker yet: one that is away is no error.
 * Fails with SETTING_INVALID naming the setting and what is allowed. */
err bus_open(struct arena *arena, const struct bus_config *config, struct bus **out);

/* The local driver by itself: no thread of its own but one a consumer. */
struct bus *bus_open_local(size_t events_max, const struct bus_faults *faults);
void bus_close(struct bus *bus); /* accepts NULL */

/* Makes what listeners and subscriptions need at the broker (topics, queues), which a started bus
 * does by itself before it publishes; once more is nothing. Before bus_start. Fails with
 * BUS_UNAVAILABLE (the broker is away) or BUS_REFUSED (by who we are, or what we may). */
err bus_setup(struct arena *arena, struct bus *bus);

/* Subscribes to topics; before bus_start. */
void bus_subscribe(struct bus *bus, const struct bus_consumer *consumer, const char *const *topics,
                   int topics_count);
void bus_start(struct bus *bus);

/* Stops deliveries; what was not acked stays in the outboxes. */
void bus_stop(struct bus *bus);

/* Gives events to the bus, in order. `acked(subject, ids, count)` is told (on any thread) once the
 * bus answers for them: the broker has them on disk, or, without a broker, every consumer of the
 * topic has acked them. Without a consumer that is at once. */
void bus_publish(struct bus *bus, const struct bus_event *events, size_t count,
                 void (*acked)(void *subject, const struct uuid *ids, size_t count), void *subject);

/* Whether a request at a service's own door is such a push, by its path; its body is larger than
 * that of others. */
enum { BUS_PUSH_BYTES_MAX = 256 * 1024 };
bool bus_is_push(str path);

/* A request at a service's own door: answers it where it has events that a neighbour pushes (the
 * direct bus), and tells so. On any thread. */
struct request;
bool bus_receive(struct bus *bus, struct request *request);

/* For metrics: events published here and not yet acked. */
int64_t bus_backlog(struct bus *bus);

/* How it is: for pages, probes and metrics. Any thread. */
struct bus_state {
    const char *name; /* "rabbitmq", "local" */
    bool is_up;       /* no connection to the broker is missing; always so without one */
    int64_t backlog;  /* as bus_backlog */
};
struct bus_state bus_state_of(struct bus *bus);
