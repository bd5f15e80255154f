/* Events from service to service over HTTP, without a broker: for who wants none.
 *
 *     BUS_URL=direct:?users=http://users:3000&products=http://products:3000&orders=…
 *
 * names where each consumer is (who is not named is where USERS_URL and its kin say); the secret of
 * BUS_PASSWORD is the same in all services. An event is a CloudEvent in binary mode, POSTed to
 * /internal/events/CONSUMER/TOPIC (see bus_direct_door.c) and answered when it has its effect. One
 * thread for each consumer; one event of a shard is under way at a time, so order per key holds;
 * what was not taken rests, its shard with it. Nothing is kept here: what was not acked is still in
 * the outbox of its service. */
#include "chassis/bus_direct.h"

#include "chassis/cloudevent.h"
#include "chassis/fetch.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include <stdlib.h>
#include <string.h>

enum {
    PUSH_MS = 30000, /* for an answer: the effect is committed before it comes */
    PUSH_ARENA_BYTES = 64 * 1024 * 1024,
    KEY_LEN_MIN = 16
};

static void direct_publish(struct bus *base, const struct bus_event *events, size_t count,
                           void (*acked)(void *subject, const struct uuid *ids, size_t count),
                           void *subject)
{
    bus_queues_publish(&((struct direct *)base)->queues, events, count, acked, subject);
}

static int64_t direct_backlog(struct bus *base)
{
    return bus_queues_backlog(&((struct direct *)base)->queues);
}

/* ---- pushing ---- */

static void request_of(struct arena *arena, const struct direct_peer *peer,
                       const struct bus_event *event, struct fetch_request *out)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(arena, event, attributes);
    str path = str_format(arena, DIRECT_PATH "%s/%" STR_F, peer->queue->listens.consumer.name,
                          STR_A(event->topic));
    *out = (struct fetch_request){ .method = "POST",
                                   .url = str_format(arena, "%" STR_F "%" STR_F, STR_A(peer->url),
                                                     STR_A(path)),
                                   .body = event->payload.ptr ? event->payload : STR(""),
                                   .timeout_ms = PUSH_MS };
    for (size_t i = 0; i < count; i++) {
        attributes[i].value = direct_escape(arena, attributes[i].value);
        out->headers[out->headers_count++] =
            (struct fetch_header){ str_z(arena,
                                         str_format(arena, DIRECT_PREFIX "%s", attributes[i].name)),
                                   attributes[i].value };
    }
    struct direct_signed what = {
        .path = path, .attributes = attributes, .attributes_count = count, .body = out->body
    };
    out->headers[out->headers_count++] =
        (struct fetch_header){ "Content-Type", STR(CLOUDEVENT_CONTENT_TYPE) };
    out->headers[out->headers_count++] =
        (struct fetch_header){ DIRECT_SIGNATURE,
                               direct_sign(arena, peer->bus->keys, clock_wall_us(), &what) };
}

/* What went wrong with the first that was not taken, once a push. */
static void tell(const struct direct_peer *peer, const struct fetch_answer *answer)
{
    bool unsigned_ = answer->status == 401;
    LOG(LOG_WARN, "bus.push_failed",
        LOG_TEXT("consumer", str_of_z(peer->queue->listens.consumer.name)),
        LOG_TEXT("url", peer->url), LOG_NUMBER("status", answer->status),
        LOG_TEXT("error", answer->error ? answer->error->detail
                          : unsigned_   ? STR("it does not know our BUS_PASSWORD")
                                        : STR("")));
}

/* Pushes events of different shards at once; done[i]: it has its effect there. */
static void push(struct direct_peer *peer, struct bus_item **items, size_t count, bool *done)
{
    struct fetch_request requests[BUS_SHARDS];
    struct fetch_answer answers[BUS_SHARDS];
    bool told = false;
    arena_reset(peer->arena);
    for (size_t i = 0; i < count; i++)
        request_of(peer->arena, peer, items[i]->event, &requests[i]);
    fetch_all(peer->fetch, peer->arena, requests, answers, count);
    for (size_t i = 0; i < count; i++) {
        done[i] = !answers[i].error && answers[i].status >= 200 && answers[i].status < 300;
        if (done[i] || told || bus_queues_stopping(&peer->bus->queues))
            continue;
        tell(peer, &answers[i]);
        told = true;
    }
}

static void peer_run(void *subject)
{
    struct direct_peer *peer = subject;
    struct bus_item *items[BUS_SHARDS];
    bool done[BUS_SHARDS];
    for (size_t count; (count = bus_queue_take(peer->queue, bus_line_take_heads, items)) > 0;) {
        push(peer, items, count, done);
        for (size_t i = count; i-- > 0;)
            bus_queue_settle(peer->queue, &items[i], 1, done[i]);
    }
}

/* ---- beginning and end ---- */

static bool give_up(void *subject)
{
    return bus_queues_stopping(&((struct direct *)subject)->queues);
}

static void direct_start(struct bus *base)
{
    struct direct *bus = (struct direct *)base;
    ASSERT(!bus->started);
    bus->started = true;
    for (int i = 0; i < bus->peers_count; i++) {
        struct direct_peer *peer = &bus->peers[i];
        peer->arena = arena_open(PUSH_ARENA_BYTES);
        peer->fetch = fetch_open(&(struct fetch_config){ .ca = bus->ca,
                                                         .cert = bus->cert,
                                                         .key = bus->tls_key,
                                                         .give_up = give_up,
                                                         .subject = bus });
        peer->thread = thread_start("bus-push", peer_run, peer);
    }
    direct_doors_start(bus);
}

static void direct_stop(struct bus *base)
{
    struct direct *bus = (struct direct *)base;
    bus_queues_stop(&bus->queues);
    direct_doors_stop(bus); /* first: a push to ourselves is answered */
    for (int i = 0; i < bus->peers_count; i++) {
        struct direct_peer *peer = &bus->peers[i];
        if (!peer->thread)
            continue;
        thread_join(peer->thread);
        peer->thread = NULL;
        fetch_close(peer->fetch);
        arena_close(peer->arena);
    }
}

static void direct_close(struct bus *base)
{
    struct direct *bus = (struct direct *)base;
    direct_doors_close(bus);
    bus_queues_done(&bus->queues);
    arena_close(bus->arena);
    free(bus);
}

static const struct bus_driver direct_driver = {
    .subscribe = direct_subscribe,
    .start = direct_start,
    .stop = direct_stop,
    .close = direct_close,
    .publish = direct_publish,
    .backlog = direct_backlog,
    .receive = direct_receive,
};

static const char *path_of(struct arena *arena, str path)
{
    return path.len > 0 ? str_z(arena, path) : NULL;
}

/* Where a consumer is: as BUS_URL says, else where this program finds the service of its name. */
static err find_url(struct arena *arena, const struct bus_url *url, const char *name, str place,
                    str *out)
{
    static const str dns = STR("dns:///");
    str found = bus_url_option(url, str_of_z(name), place);
    if (str_starts(found, dns))
        found = str_format(arena, "http://%" STR_F, STR_A(str_slice(found, dns.len, found.len)));
    while (str_ends(found, STR("/")))
        found.len--;
    bool is_url = str_starts(found, STR("http://")) || str_starts(found, STR("https://"));
    if (!is_url || str_find_byte(found, ',') >= 0)
        return fail(arena, SETTING_INVALID,
                    "BUS_URL: direct: needs to know where %s is, one address: "
                    "direct:?%s=http://%s:3000",
                    name, name, name);
    *out = found;
    return OK;
}

static void add_peer(struct direct *bus, const struct bus_listener *listener, str url)
{
    struct direct_peer *peer = &bus->peers[bus->peers_count++];
    peer->bus = bus;
    peer->url = str_copy(bus->arena, url);
    peer->queue = bus_queues_add(&bus->queues, &(struct bus_consumer){ .name = listener->name },
                                 listener->topics, listener->topics_count);
}

err bus_open_direct(struct arena *arena, const struct bus_config *config, const struct bus_url *url,
                    struct bus **out)
{
    str urls[BUS_LISTENERS_MAX];
    ASSERT(config->listeners_count <= BUS_LISTENERS_MAX);
    for (int i = 0; i < config->listeners_count; i++)
        TRY(find_url(arena, url, config->listeners[i].name,
                     config->places ? config->places[i] : STR_NONE, &urls[i]));
    str keys = config->password, key = str_cut(&keys, ',');
    if (key.len < KEY_LEN_MIN)
        return fail(arena, SETTING_INVALID,
                    "BUS_PASSWORD: direct: signs with it: give a secret of %d characters or more, "
                    "the same for all services",
                    KEY_LEN_MIN);
    struct direct *bus = calloc(1, sizeof(*bus));
    ASSERT(bus);
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    *bus = (struct direct){ .base = { .driver = &direct_driver },
                            .arena = own,
                            .keys = str_copy(own, config->password),
                            .ca = path_of(own, config->tls_ca),
                            .cert = path_of(own, config->tls_cert),
                            .tls_key = path_of(own, config->tls_key) };
    bus_queues_init(&bus->queues, config->events_max, NULL);
    for (int i = 0; i < config->listeners_count; i++)
        add_peer(bus, &config->listeners[i], urls[i]);
    (void)metric_series(METRIC_BUS_CONNECTS, "direct", NULL, NULL); /* is there, and stays 0 */
    *out = &bus->base;
    return OK;
}
