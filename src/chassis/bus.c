/* One face over the drivers: which one it is, BUS_URL says. */
#include "base/crypto.h"
#include "chassis/bus_driver.h"
#include <stdlib.h>
#include <string.h>

int bus_shard(str key) { return (int)(crc32_of(key) % BUS_SHARDS); }

static err open_local(struct arena *arena, const struct bus_config *config,
                      const struct bus_url *url, struct bus **out)
{
    if (url->hosts.len > 0 || url->query.len > 0 || url->path.ptr)
        return fail(arena, SETTING_INVALID, "BUS_URL: local: has no host and no options");
    *out = bus_open_local(config->events_max, config->faults);
    return OK;
}

static const struct {
    const char *scheme;
    err (*open)(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                struct bus **out);
} drivers[] = {
    { "local", open_local },       { "amqp", bus_open_rabbitmq }, { "amqps", bus_open_rabbitmq },
    { "kafka", bus_open_kafka },   { "kafkas", bus_open_kafka },  { "sqs", bus_open_sqs },
    { "direct", bus_open_direct },
};

/* Letters, digits, '-' and '_': what every broker takes in a name. */
static err check_prefix(struct arena *arena, str prefix)
{
    for (size_t i = 0; i < prefix.len; i++) {
        char c = prefix.ptr[i];
        bool well = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!well)
            return fail(arena, SETTING_INVALID,
                        "BUS_PREFIX is \"%" STR_F "\"; give letters, digits, '-' and '_'",
                        STR_A(prefix));
    }
    return OK;
}

err bus_open(struct arena *arena, const struct bus_config *config, struct bus **out)
{
    ASSERT(arena && config && out && config->events_max >= BUS_BATCH_MAX);
    struct bus_url url;
    TRY(check_prefix(arena, config->prefix));
    TRY(bus_url_parse(arena, config->url.len > 0 ? config->url : STR("local:"), &url));
    if (config->user.len > 0)
        url.user = config->user;
    if (config->password.len > 0)
        url.password = config->password;
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
        if (str_equal(str_of_z(drivers[i].scheme), url.scheme))
            return drivers[i].open(arena, config, &url, out);
    return fail(arena, SETTING_INVALID,
                "BUS_URL: there is no bus \"%" STR_F
                "\"; give local:, amqp(s)://, kafka(s)://, sqs:// or direct:",
                STR_A(url.scheme));
}

void bus_close(struct bus *bus)
{
    if (bus)
        bus->driver->close(bus);
}

err bus_setup(struct arena *arena, struct bus *bus)
{
    return bus->driver->setup ? bus->driver->setup(arena, bus) : OK;
}

void bus_subscribe(struct bus *bus, const struct bus_consumer *consumer, const char *const *topics,
                   int topics_count)
{
    bus->driver->subscribe(bus, consumer, topics, topics_count);
}

void bus_start(struct bus *bus) { bus->driver->start(bus); }

void bus_stop(struct bus *bus) { bus->driver->stop(bus); }

void bus_publish(struct bus *bus, const struct bus_event *events, size_t count,
                 void (*acked)(void *subject, const struct uuid *ids, size_t count), void *subject)
{
    ASSERT(bus && acked && (events || count == 0));
    bus->driver->publish(bus, events, count, acked, subject);
}

bool bus_is_push(str path) { return str_starts(path, STR("/internal/events/")); }

bool bus_receive(struct bus *bus, struct request *request)
{
    ASSERT(bus && request);
    return bus->driver->receive && bus->driver->receive(bus, request);
}

int64_t bus_backlog(struct bus *bus) { return bus->driver->backlog(bus); }

struct bus_state bus_state_of(struct bus *bus)
{
    ASSERT(bus);
    const struct bus_driver *driver = bus->driver;
    return (struct bus_state){ .name = driver->name ? driver->name : driver->name_of(bus),
                               .is_up = !driver->is_up || driver->is_up(bus),
                               .backlog = driver->backlog(bus) };
}

/* ---- what drivers share ---- */

void bus_subscription_set(struct bus_subscription *subscription,
                          const struct bus_consumer *consumer, const char *const *topics,
                          int topics_count)
{
    ASSERT(topics_count > 0 && topics_count <= BUS_TOPICS_MAX);
    *subscription =
        (struct bus_subscription){ .consumer = *consumer, .topics_count = topics_count };
    for (int i = 0; i < topics_count; i++)
        subscription->topics[i] = topics[i];
}

bool bus_subscription_has(const struct bus_subscription *subscription, str topic)
{
    for (int i = 0; i < subscription->topics_count; i++)
        if (str_equal(str_of_z(subscription->topics[i]), topic))
            return true;
    return false;
}

bool bus_topics_has(const struct bus_topics *topics, str topic)
{
    for (int i = 0; i < topics->count; i++)
        if (str_equal(str_of_z(topics->names[i]), topic))
            return true;
    return false;
}

void bus_topics_add(struct bus_topics *topics, str topic)
{
    if (topics->count == (int)(sizeof(topics->names) / sizeof(topics->names[0])) ||
        topic.len >= sizeof(topics->names[0]))
        return;
    char *name = topics->names[topics->count++];
    memcpy(name, topic.ptr, topic.len);
    name[topic.len] = '\0';
}

str bus_prefix(struct arena *arena, const struct bus_config *config, char separator)
{
    if (config->prefix.len == 0)
        return STR("");
    return str_format(arena, "%" STR_F "%c", STR_A(config->prefix), separator);
}

static str keep(char **at, str s)
{
    memcpy(*at, s.ptr ? s.ptr : "", s.len);
    str kept = str_of(*at, s.len);
    *at += s.len;
    return kept;
}

void *bus_event_keep(size_t head, const struct bus_event *event, struct bus_event *out)
{
    size_t bytes = event->type.len + event->topic.len + event->key.len + event->payload.len +
                   event->traceparent.len;
    char *block = malloc(head + bytes);
    ASSERT(block);
    char *at = block + head;
    struct bus_event kept = *event;
    kept.type = keep(&at, event->type);
    kept.topic = keep(&at, event->topic);
    kept.key = keep(&at, event->key);
    kept.payload = keep(&at, event->payload);
    kept.traceparent = keep(&at, event->traceparent);
    *out = kept;
    return block;
}
