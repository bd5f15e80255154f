/* Events from service to service over HTTP, without a broker: for who wants none.
 *
 *     BUS_URL=direct:?users=http://users:3000&products=http://products:3000&orders=…
 *
 * names where each consumer is (who is not named is where USERS_URL and its kin say); the secret of
 * BUS_PASSWORD is the same in all services. What waits for a consumer is POSTed together to
 * /internal/events/CONSUMER (see bus_direct_door.c), in its order, and answered when it has its
 * effect: one push is under way at a time, and gathers the next one meanwhile. What was not taken
 * rests, its shard with it. Nothing is kept here: what was not acked is still in the outbox of its
 * service. */
#include "chassis/bus_direct.h"

#include "chassis/fetch.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include <stdlib.h>
#include <string.h>

enum {
    PUSH_MS = 30000, /* for an answer: the effect is committed before it comes */
    PUSH_ARENA_BYTES = 64 * 1024 * 1024,
    PUSH_BYTES = BUS_PUSH_BYTES_MAX / 2, /* no further event is added: one is at most half of all */
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

static struct fetch_request request_of(struct direct_peer *peer, str body)
{
    struct arena *arena = peer->arena;
    struct direct_signed what = { .path = str_format(arena, DIRECT_PATH "%s",
                                                     peer->queue->listens.consumer.name),
                                  .body = body };
    str signature = direct_sign(arena, peer->bus->keys, clock_wall_us(), &what);

    return (struct fetch_request){ .method = "POST",
                                   .url = str_format(arena, "%" STR_F "%" STR_F, STR_A(peer->url),
                                                     STR_A(what.path)),
                                   .body = body,
                                   .timeout_ms = PUSH_MS,
                                   .headers = { { "Content-Type", STR(DIRECT_CONTENT_TYPE) },
                                                { DIRECT_SIGNATURE, signature } },
                                   .headers_count = 2 };
}

static void tell(const struct direct_peer *peer, const struct fetch_answer *answer, err error)
{
    bool unsigned_ = answer->status == 401;
    if (bus_queues_stopping(&peer->bus->queues))
        return;
    LOG(LOG_WARN, "bus.push_failed",
        LOG_TEXT("consumer", str_of_z(peer->queue->listens.consumer.name)),
        LOG_TEXT("url", peer->url), LOG_NUMBER("status", answer->status),
        LOG_TEXT("error", error       ? error->detail
                          : unsigned_ ? STR("it does not know our BUS_PASSWORD")
                                      : STR("")));
}

/* What it says of each event: all were taken (204), these were ('1' in the body of 200), or none.
 */
static size_t read_answer(const struct fetch_answer *answer, size_t count, bool *done)
{
    bool all = answer->status == DIRECT_ALL_TAKEN;
    bool each = answer->status == DIRECT_SOME_TAKEN && answer->body.len == count;
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        done[i] = all || (each && answer->body.ptr[i] == '1');
        taken += done[i];
    }
    return taken;
}

/* Pushes the first of them, as many as go together; gives how many those were. done[i]: it has its
 * effect there; `*well`: all of them have. */
static size_t push(struct direct_peer *peer, struct bus_item **items, size_t count, bool *done,
                   bool *well)
{
    struct fetch_answer answer = { 0 };
    arena_reset(peer->arena);
    struct text body = text_init(peer->arena, BUS_PUSH_BYTES_MAX);
    size_t pushed = 0;
    while (pushed < count && body.len < PUSH_BYTES)
        direct_event_write(&body, peer->arena, items[pushed++]->event);

    struct fetch_request request = request_of(peer, text_str(&body));
    err error = fetch_one(peer->fetch, peer->arena, &request, &answer);
    *well = read_answer(&answer, pushed, done) == pushed;
    if (!*well)
        tell(peer, &answer, error);
    return pushed;
}

/* Acks what is done; of the rest each shard rests by itself. */
static void settle(struct direct_peer *peer, struct bus_item **items, size_t count,
                   const bool *done)
{
    struct bus_item *some[BUS_BATCH_MAX];
    size_t some_count = 0, settled;
    for (size_t i = 0; i < count; i++)
        if (done[i])
            some[some_count++] = items[i];
    bus_queue_settle(peer->queue, some, some_count, some_count);
    settled = some_count;
    for (int shard = 0; settled < count; shard++) {
        some_count = 0;
        for (size_t i = 0; i < count; i++)
            if (!done[i] && items[i]->shard == shard)
                some[some_count++] = items[i];
        if (some_count > 0)
            bus_queue_settle(peer->queue, some, some_count, 0);
        settled += some_count;
    }
}

static void peer_run(void *subject)
{
    struct direct_peer *peer = subject;
    struct bus_item *items[BUS_BATCH_MAX];
    for (size_t count; (count = bus_queue_take(peer->queue, bus_line_take, items)) > 0;) {
        bool done[BUS_BATCH_MAX] = { false }, well = true;
        for (size_t from = 0; from < count && well;)
            from += push(peer, items + from, count - from, done + from, &well);
        settle(peer, items, count, done);
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
    .name = "direct",
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
