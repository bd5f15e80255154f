/* The addresses of an upstream: found by DNS, connected to, chosen among, left alone. */
#include "base/arena.h"
#include "chassis/upstream_inside.h"
#include "os/random.h"

#include <stdio.h>

enum { STALE_MS = 1000 /* DNS is asked so often at most, after a failure */, PAUSE_MS_MIN = 100 };

static int64_t setting(const struct upstream *upstream, enum setting setting)
{
    return conf_int(upstream->config.conf, setting);
}

static void note_why(struct upstream *upstream, const struct upstream_peer *peer, const char *why)
{
    const char *where = peer ? peer->address.text : upstream->config.name;

    (void)snprintf(upstream->why, sizeof(upstream->why), "%.60s: %s", where, why);
}

/* Somebody could be asked, or nobody tried yet. */
static void note_ready(struct upstream *upstream)
{
    bool is_tried = false, is_open = false;

    for (int i = 0; i < upstream->peers_end; i++) {
        const struct upstream_peer *peer = &upstream->peers[i];
        is_tried = is_tried || peer->breaker.until_ms > 0;
        for (int j = 0; j < UPSTREAM_LINKS_MAX; j++)
            is_open = is_open || (peer->links[j].client && peer->links[j].is_open);
    }
    bool was_never_found = !upstream->was_resolved && upstream->why[0] != '\0';
    __atomic_store_n(&upstream->is_ready, is_open || !(is_tried || was_never_found),
                     __ATOMIC_RELAXED);
}

/* ---- Addresses ---- */

static int links_count(const struct upstream_peer *peer)
{
    int count = 0;

    for (int i = 0; i < UPSTREAM_LINKS_MAX; i++)
        count += peer->links[i].client != NULL;
    return count;
}

/* Its place is free once nothing is left of it. */
static void peer_let_go(struct upstream_peer *peer)
{
    if (peer->is_used && !peer->is_named && links_count(peer) == 0)
        peer->is_used = false;
}

static void peer_note(struct upstream *upstream, int host, const struct net_address *address)
{
    struct upstream_peer *free = NULL;

    for (int i = UPSTREAM_PEERS_MAX - 1; i >= 0; i--) {
        struct upstream_peer *peer = &upstream->peers[i];
        if (!peer->is_used)
            free = peer;
        else if (peer->host == host && net_address_equal(&peer->address, address)) {
            peer->is_named = true;
            return;
        }
    }
    if (!free)
        return; /* there are as many as we ask */
    if (free - upstream->peers >= upstream->peers_end)
        upstream->peers_end = (int)(free - upstream->peers) + 1;
    *free = (struct upstream_peer){
        .upstream = upstream, .address = *address, .host = host, .is_named = true, .is_used = true
    };
}

static void count_addresses(struct upstream *upstream)
{
    int count = 0, paused = 0;

    for (int i = 0; i < upstream->peers_end; i++) {
        const struct upstream_peer *peer = &upstream->peers[i];
        bool counts = peer->is_used && peer->is_named;
        count += counts;
        paused += counts && peer->breaker.until_ms > 0;
    }
    series_set(upstream->addresses, count);
    series_set(upstream->paused, paused);
}

/* What DNS names no more gets no new calls; its connections end with their last call. */
static void host_answered(struct upstream *upstream, int host, const struct net_address *addresses,
                          size_t count)
{
    for (int i = 0; i < upstream->peers_end; i++)
        if (upstream->peers[i].host == host)
            upstream->peers[i].is_named = false;
    for (size_t i = 0; i < count; i++)
        peer_note(upstream, host, &addresses[i]);
    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *peer = &upstream->peers[i];
        for (int j = 0; peer->is_used && !peer->is_named && j < UPSTREAM_LINKS_MAX; j++)
            if (peer->links[j].client && http2_client_calls(peer->links[j].client) == 0) {
                http2_client_close(peer->links[j].client);
                peer->links[j].client = NULL;
            }
        peer_let_go(peer);
    }
    count_addresses(upstream);
}

static void on_dns(void *subject, const struct net_address *addresses, size_t count,
                   const char *failure)
{
    struct upstream_asking *asking = subject;
    struct upstream *upstream = asking->upstream;

    upstream->queries[asking->host] = NULL;
    upstream->queries_count--;
    if (count > 0) {
        upstream->was_resolved = true;
        host_answered(upstream, asking->host, addresses, count);
    } else { /* the old ones stay: DNS may be away */
        note_why(upstream, NULL, failure);
        LOG(LOG_WARN, "upstream.not_found", LOG_TEXT("upstream", str_of_z(upstream->config.name)),
            LOG_TEXT("host", upstream->url.hosts[asking->host].name),
            LOG_TEXT("reason", str_of_z(failure)));
        note_ready(upstream);
    }
    upstream_look(upstream);
}

static void resolve_host(struct upstream *upstream, int at)
{
    const struct upstream_host *host = &upstream->url.hosts[at];
    struct net_address address = { 0 };

    if (host->port == 0)
        (void)snprintf(address.text, sizeof(address.text), "%" STR_F, STR_A(host->name));
    if (host->port == 0 || net_address_read(host->name, host->port, &address)) {
        upstream->was_resolved = true;
        host_answered(upstream, at, &address, 1);
        return;
    }
    struct upstream_asking *asking = &upstream->askings[at];
    *asking = (struct upstream_asking){ upstream, at };
    upstream->queries[at] = dns_ask(upstream->loop, host->name, host->port, &on_dns, asking);
    upstream->queries_count++;
}

static void resolve(struct upstream *upstream)
{
    int64_t now_ms = loop_now_ms(upstream->loop);
    int64_t age_ms = now_ms - upstream->resolved_ms;
    bool is_time = !upstream->was_asked ||
                   age_ms >= setting(upstream, CONF_UPSTREAM_DNS_INTERVAL) ||
                   (upstream->is_stale && age_ms >= STALE_MS);

    if (upstream->queries_count > 0 || !is_time)
        return;
    upstream->was_asked = true;
    upstream->is_stale = false;
    upstream->resolved_ms = now_ms;
    for (int i = 0; i < upstream->url.hosts_count; i++)
        resolve_host(upstream, i);
}

/* ---- Connections ---- */

static void pause_peer(struct upstream_peer *peer, uint32_t pause_ms)
{
    struct upstream *upstream = peer->upstream;

    breaker_open(&peer->breaker, loop_now_ms(upstream->loop), pause_ms, random_u64());
    count_addresses(upstream);
    upstream->is_stale = true;
}

static void on_opened(void *subject)
{
    struct upstream_link *link = subject;
    struct upstream *upstream = link->peer->upstream;

    link->is_open = true;
    link->peer->took_ms = 0;
    series_add(upstream->connected, 1);
    if (link->peer->breaker.failures == 0 && link->peer->breaker.tried)
        breaker_succeed(&link->peer->breaker); /* it was only that nobody listened */
    count_addresses(upstream);
    note_ready(upstream);
    upstream_look(upstream);
}

static void on_room(void *subject)
{
    struct upstream_link *link = subject;

    if (link->peer->upstream->waiting)
        upstream_look(link->peer->upstream);
}

static void on_drains(void *subject)
{
    struct upstream_link *link = subject;

    link->drains = true;
    link->peer->upstream->is_stale = true; /* it may be leaving */
}

static void on_closed(void *subject, const char *why)
{
    struct upstream_link *link = subject;
    struct upstream_peer *peer = link->peer;
    struct upstream *upstream = peer->upstream;
    bool was_open = link->is_open;

    link->client = NULL;
    if (!was_open) {
        upstream->refusals++;
        series_add(upstream->not_connected, 1);
        note_why(upstream, peer, why);
        LOG(LOG_WARN, "upstream.not_connected",
            LOG_TEXT("upstream", str_of_z(upstream->config.name)),
            LOG_TEXT("address", str_of_z(peer->address.text)), LOG_TEXT("reason", str_of_z(why)));
        peer->took_ms = loop_now_ms(upstream->loop) - peer->asked_ms;
        pause_peer(peer, PAUSE_MS_MIN);
    }
    peer_let_go(peer);
    note_ready(upstream);
    upstream_look(upstream);
}

static void link_open(struct upstream_peer *peer, struct upstream_link *link)
{
    static const struct http2_client_events events = {
        .opened = on_opened, .room = on_room, .drains = on_drains, .closed = on_closed
    };
    struct upstream *upstream = peer->upstream;
    struct http2_client_config config = {
        .loop = upstream->loop,
        .address = &peer->address,
        .tls = upstream->url.tls ? upstream->config.tls : NULL,
        .name = upstream->url.hosts[peer->host].name,
        .connect_timeout_ms = (uint32_t)setting(upstream, CONF_UPSTREAM_CONNECT_TIMEOUT),
        .ping_interval_ms = (uint32_t)setting(upstream, CONF_UPSTREAM_PING_INTERVAL),
        .ping_timeout_ms = (uint32_t)setting(upstream, CONF_UPSTREAM_PING_TIMEOUT),
    };
    const char *why;

    breaker_ask(&peer->breaker);
    peer->asked_ms = loop_now_ms(upstream->loop);
    *link = (struct upstream_link){ .peer = peer };
    link->client = http2_client_open(&config, &events, link, &why);
    if (!link->client)
        on_closed(link, why);
    else
        upstream_wake_at(upstream, loop_now_ms(upstream->loop) + config.connect_timeout_ms);
}

/* One connection; another where all that stand are full and something waits. */
static bool is_wanted(const struct upstream_peer *peer)
{
    int open = 0;

    for (int i = 0; i < UPSTREAM_LINKS_MAX; i++) {
        const struct upstream_link *link = &peer->links[i];
        if (!link->client || link->drains)
            continue;
        if (!link->is_open || http2_client_has_room(link->client))
            return false;
        open++;
    }
    return open == 0 || peer->upstream->waiting;
}

void upstream_connect(struct upstream *upstream)
{
    ASSERT(upstream);
    int64_t now_ms = loop_now_ms(upstream->loop);

    if (!upstream->calls)
        return; /* nobody asks */
    resolve(upstream);
    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *peer = &upstream->peers[i];
        if (!peer->is_used || !peer->is_named || !breaker_allows(&peer->breaker, now_ms) ||
            !is_wanted(peer))
            continue;
        for (int j = 0; j < UPSTREAM_LINKS_MAX; j++)
            if (!peer->links[j].client) {
                link_open(peer, &peer->links[j]);
                break;
            }
    }
}

bool upstream_is_hopeful(const struct upstream *upstream)
{
    ASSERT(upstream);

    if (upstream->queries_count > 0)
        return true;
    for (int i = 0; i < upstream->peers_end; i++) {
        const struct upstream_peer *peer = &upstream->peers[i];
        for (int j = 0; peer->is_used && peer->is_named && j < UPSTREAM_LINKS_MAX; j++) {
            const struct upstream_link *link = &peer->links[j];
            bool is_coming = link->client && !link->is_open;
            bool is_full =
                link->client && link->is_open && !link->drains && peer->breaker.until_ms == 0;
            if (is_coming || is_full)
                return true;
        }
    }
    return false;
}

/* When it may be connected to again although it is left alone. A refusal is heard at once, or a
 * little later by a machine that is busy; where it took longer, nobody answers there. */
static int64_t may_ask_at(const struct upstream_peer *peer)
{
    enum { ASKED_PART = 10 /* at most this part of the time goes into it */ };
    int64_t slow_ms = peer->took_ms > PAUSE_MS_MIN ? ASKED_PART * peer->took_ms : 0;

    return peer->asked_ms + PAUSE_MS_MIN + slow_ms;
}

bool upstream_ask_paused(struct upstream *upstream, bool may_wait)
{
    ASSERT(upstream);
    struct upstream_peer *first = NULL;
    int64_t now_ms = loop_now_ms(upstream->loop);

    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *peer = &upstream->peers[i];
        if (peer->is_used && peer->is_named && links_count(peer) == 0 &&
            (!first || may_ask_at(peer) < may_ask_at(first)))
            first = peer;
    }
    if (!first || may_ask_at(first) > now_ms + (may_wait ? PAUSE_MS_MIN : 0))
        return false;
    if (may_ask_at(first) > now_ms)
        upstream_wake_at(upstream, may_ask_at(first));
    else
        link_open(first, &first->links[0]);
    return true;
}

/* ---- Choosing ---- */

/* The connection of an address that takes a call, with the fewest under way. */
static struct upstream_link *link_of(struct upstream_peer *peer, int *load)
{
    struct upstream_link *best = NULL;
    int least = 0;

    *load = 0;
    for (int i = 0; i < UPSTREAM_LINKS_MAX; i++) {
        struct upstream_link *link = &peer->links[i];
        if (!link->client)
            continue;
        int calls = http2_client_calls(link->client);
        *load += calls;
        if (link->is_open && !link->drains && http2_client_has_room(link->client) &&
            (!best || calls < least)) {
            best = link;
            least = calls;
        }
    }
    return best;
}

struct upstream_link *upstream_pick(struct upstream *upstream, const struct upstream_peer *avoid)
{
    ASSERT(upstream);
    struct upstream_link *links[UPSTREAM_PEERS_MAX], *last = NULL;
    int loads[UPSTREAM_PEERS_MAX], count = 0;
    int64_t now_ms = loop_now_ms(upstream->loop);

    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *peer = &upstream->peers[i];
        if (!peer->is_used || !peer->is_named || !breaker_allows(&peer->breaker, now_ms))
            continue;
        struct upstream_link *link = link_of(peer, &loads[count]);
        if (link && peer == avoid)
            last = link;
        else if (link)
            links[count++] = link;
    }
    struct upstream_link *link = count > 0 ? links[pick_of_two(loads, count, random_u64())] : last;
    if (link)
        breaker_ask(&link->peer->breaker);
    return link;
}

bool upstream_has_other(struct upstream *upstream, const struct upstream_peer *peer)
{
    ASSERT(upstream);
    int load;

    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *other = &upstream->peers[i];
        if (other != peer && other->is_used && other->is_named && other->breaker.until_ms == 0 &&
            link_of(other, &load))
            return true;
    }
    return false;
}

void upstream_peer_did_well(struct upstream_peer *peer)
{
    ASSERT(peer);
    bool was_open = peer->breaker.until_ms > 0;
    if (!was_open || peer->breaker.tried)
        breaker_succeed(&peer->breaker);
    if (was_open)
        count_addresses(peer->upstream);
}

void upstream_peer_failed(struct upstream_peer *peer)
{
    ASSERT(peer);
    struct upstream *upstream = peer->upstream;

    upstream->is_stale = true;
    if (!breaker_fail(&peer->breaker, loop_now_ms(upstream->loop),
                      (int)setting(upstream, CONF_UPSTREAM_FAILURES),
                      (uint32_t)setting(upstream, CONF_UPSTREAM_PAUSE), random_u64()))
        return;
    series_add(upstream->pauses, 1);
    count_addresses(upstream);
    note_why(upstream, peer, "it failed too often");
    LOG(LOG_WARN, "upstream.paused", LOG_TEXT("upstream", str_of_z(upstream->config.name)),
        LOG_TEXT("address", str_of_z(peer->address.text)));
}

/* ---- Time and the end ---- */

int64_t upstream_peers_look(struct upstream *upstream)
{
    ASSERT(upstream);
    int64_t next_ms = INT64_MAX;

    for (int i = 0; i < upstream->peers_end; i++) {
        struct upstream_peer *peer = &upstream->peers[i];
        for (int j = 0; peer->is_used && j < UPSTREAM_LINKS_MAX; j++) {
            if (!peer->links[j].client)
                continue;
            int64_t at_ms = http2_client_look(peer->links[j].client);
            if (at_ms < next_ms)
                next_ms = at_ms;
        }
    }
    return next_ms;
}

void upstream_peers_close(struct upstream *upstream)
{
    ASSERT(upstream);

    for (int i = 0; i < UPSTREAM_HOSTS_MAX; i++)
        dns_drop(upstream->queries[i]);
    for (int i = 0; i < upstream->peers_end; i++)
        for (int j = 0; j < UPSTREAM_LINKS_MAX; j++)
            if (upstream->peers[i].links[j].client)
                http2_client_close(upstream->peers[i].links[j].client);
}
