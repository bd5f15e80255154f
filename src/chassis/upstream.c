/* An upstream: opening and closing, the queue of what waits for a connection, its clock. */
#include "base/arena.h"
#include "chassis/upstream_inside.h"

enum { UPSTREAM_BYTES_MAX = 1024 * 1024, TICK_MS_MIN = 2 };

/* ---- The queue ---- */

static struct upstream_call *waiting_pop(struct upstream *upstream)
{
    struct upstream_call *call = upstream->waiting;

    upstream->waiting = call->next;
    call->next = NULL;
    call->is_waiting = false;
    upstream->waiting_count--;
    return call;
}

static void send_waiting(struct upstream *upstream)
{
    while (upstream->waiting) {
        struct upstream_link *link = upstream_pick(upstream, upstream->waiting->avoid);
        if (!link)
            return;
        upstream_call_send(waiting_pop(upstream), link);
    }
}

static void fail_waiting(struct upstream *upstream, bool all)
{
    while (upstream->waiting && (all || upstream->waiting->refusals != upstream->refusals))
        upstream_call_fail(waiting_pop(upstream), UPSTREAM_UNAVAILABLE,
                           upstream->why[0] ? upstream->why : "nobody could be asked");
}

/* Nobody is there now. Those that came before that was heard are told so; who comes later waits for
 * the next look, which is not far: a replica may be back by then. */
static void despair(struct upstream *upstream)
{
    if (upstream_ask_paused(upstream, false))
        return;
    fail_waiting(upstream, false);
    if (upstream->waiting && !upstream_ask_paused(upstream, true))
        fail_waiting(upstream, true);
}

/* An answer may bring the next request within it: that looks again when this is done. */
void upstream_look(struct upstream *upstream)
{
    ASSERT(upstream);
    if (upstream->looking) {
        upstream->look_again = true;
        return;
    }
    upstream->looking = true;
    do {
        upstream->look_again = false;
        send_waiting(upstream);
        upstream_connect(upstream);
        send_waiting(upstream);
        if (upstream->waiting && !upstream_is_hopeful(upstream))
            despair(upstream);
    } while (upstream->look_again);
    upstream->looking = false;
}

/* ---- The end of a turn of the loop ---- */

static void on_turn(struct loop_task *task)
{
    struct upstream *upstream = (struct upstream *)((char *)task - offsetof(struct upstream, turn));
    struct upstream_call *call = upstream->calls;

    upstream->turn_posted = false;
    while (call) {
        if (!call->fresh) {
            call = call->older;
            continue;
        }
        call->fresh = false;
        upstream_call_turn(call); /* any of them may be gone now */
        call = upstream->calls;
    }
}

void upstream_turn_soon(struct upstream *upstream)
{
    if (upstream->turn_posted)
        return;
    upstream->turn_posted = true;
    loop_later(upstream->loop, &upstream->turn);
}

/* ---- Time ---- */

void upstream_wake_at(struct upstream *upstream, int64_t at_ms)
{
    ASSERT(upstream);
    if (at_ms >= upstream->timer_at_ms)
        return;
    int64_t delay_ms = at_ms - loop_now_ms(upstream->loop);

    if (delay_ms < TICK_MS_MIN)
        delay_ms = TICK_MS_MIN;
    upstream->timer_at_ms = at_ms;
    loop_timer_start(upstream->timer, (uint32_t)delay_ms, 0);
}

static void on_timer(void *subject)
{
    struct upstream *upstream = subject;
    int64_t now_ms = loop_now_ms(upstream->loop), next_ms = INT64_MAX;
    struct upstream_call *call = upstream->calls;

    upstream->timer_at_ms = INT64_MAX;
    while (call) {
        if (call->deadline_ms <= now_ms) {
            upstream_call_expire(call); /* any of them may be gone now */
            call = upstream->calls;
            next_ms = INT64_MAX;
            continue;
        }
        if (call->deadline_ms < next_ms)
            next_ms = call->deadline_ms;
        call = call->older;
    }
    upstream_wake_at(upstream, next_ms);
    upstream_wake_at(upstream, upstream_peers_look(upstream));
    if (upstream->waiting)
        upstream_look(upstream);
}

/* ---- Opening and closing ---- */

static void open_series(struct upstream *upstream)
{
    const char *name = upstream->config.name;

    upstream->ok = metric_series(METRIC_UPSTREAM_REQUESTS, name, "ok", NULL);
    upstream->unavailable = metric_series(METRIC_UPSTREAM_REQUESTS, name, "unavailable", NULL);
    upstream->failed = metric_series(METRIC_UPSTREAM_REQUESTS, name, "failed", NULL);
    upstream->deadline = metric_series(METRIC_UPSTREAM_REQUESTS, name, "deadline", NULL);
    upstream->cancelled = metric_series(METRIC_UPSTREAM_REQUESTS, name, "cancelled", NULL);
    upstream->seconds = metric_series(METRIC_UPSTREAM_SECONDS, name, NULL, NULL);
    upstream->retried_not_begun = metric_series(METRIC_UPSTREAM_RETRIES, name, "not_begun", NULL);
    upstream->retried_repeatable = metric_series(METRIC_UPSTREAM_RETRIES, name, "repeatable", NULL);
    upstream->connected = metric_series(METRIC_UPSTREAM_CONNECTS, name, "ok", NULL);
    upstream->not_connected = metric_series(METRIC_UPSTREAM_CONNECTS, name, "failed", NULL);
    upstream->pauses = metric_series(METRIC_UPSTREAM_PAUSES, name, NULL, NULL);
    upstream->paused = metric_series(METRIC_UPSTREAM_PAUSED, name, NULL, NULL);
    upstream->addresses = metric_series(METRIC_UPSTREAM_ADDRESSES, name, NULL, NULL);
}

err upstream_open(struct arena *arena, struct loop *loop, const struct upstream_config *config,
                  struct upstream **out)
{
    ASSERT(arena && loop && config && out);
    ASSERT(config->name && config->setting && config->conf);

    struct arena *memory = arena_open(UPSTREAM_BYTES_MAX);
    struct upstream *upstream = arena_new(memory, struct upstream);
    str url = str_copy(memory, config->url);
    err error = upstream_url_read(arena, url, config->setting, &upstream->url);
    if (!error && upstream->url.tls && !config->tls)
        error = fail(arena, SETTING_INVALID, "%s: https:// needs TLS", config->setting);
    if (error) {
        arena_close(memory);
        return error;
    }
    upstream->memory = memory;
    upstream->loop = loop;
    upstream->config = *config;
    upstream->config.name = str_z(memory, str_of_z(config->name));
    upstream->config.setting = str_z(memory, str_of_z(config->setting));
    upstream->config.url = url;
    upstream->config.tls = tls_share(config->tls);
    upstream->budget.percents =
        conf_int(config->conf, CONF_UPSTREAM_RETRIES) > 0 ? RETRY_BUDGET_MAX : 0;
    upstream->turn.run = &on_turn;
    upstream->timer = loop_timer_open(loop, &on_timer, upstream);
    upstream->timer_at_ms = INT64_MAX;
    upstream->is_ready = true;
    open_series(upstream);
    *out = upstream;
    return OK;
}

void upstream_close(struct upstream *upstream)
{
    if (!upstream)
        return;

    upstream->looking = upstream->closing = true; /* nobody is asked any more */
    while (upstream->waiting)
        (void)waiting_pop(upstream);
    while (upstream->calls)
        upstream_call_fail(upstream->calls, UPSTREAM_UNAVAILABLE, "this program stops");
    upstream_peers_close(upstream);
    loop_timer_close(upstream->timer);
    tls_close(upstream->config.tls);
    arena_close(upstream->memory);
}

void upstream_use_tls(struct upstream *upstream, struct tls_context *tls)
{
    ASSERT(upstream && (tls || !upstream->url.tls));
    struct tls_context *old = upstream->config.tls;

    upstream->config.tls = tls_share(tls);
    tls_close(old);
}

bool upstream_is_idle(const struct upstream *upstream)
{
    ASSERT(upstream);
    return !upstream->calls;
}

struct loop *upstream_loop(const struct upstream *upstream)
{
    ASSERT(upstream);
    return upstream->loop;
}

bool upstream_ready(const struct upstream *upstream)
{
    ASSERT(upstream);
    return __atomic_load_n(&upstream->is_ready, __ATOMIC_RELAXED);
}

static struct upstream_peer_state peer_state(const struct upstream_peer *peer, int64_t now_ms)
{
    int64_t left_ms = peer->breaker.until_ms - now_ms;
    struct upstream_peer_state state = {
        .address = peer->address.text,
        .failures = peer->breaker.failures,
        .paused_ms = peer->breaker.until_ms == 0 ? 0
                     : left_ms > 0               ? left_ms
                                                 : 1,
    };
    for (int i = 0; i < UPSTREAM_LINKS_MAX; i++)
        state.connections += peer->links[i].client && peer->links[i].is_open;
    return state;
}

int upstream_state_of(const struct upstream *upstream, struct upstream_state *state,
                      struct upstream_peer_state *peers, int max)
{
    ASSERT(upstream && state && peers);
    int count = 0;
    *state = (struct upstream_state){ .name = upstream->config.name,
                                      .waiting = upstream->waiting_count };
    for (const struct upstream_call *call = upstream->calls; call; call = call->older)
        state->requests++;
    for (int i = 0; i < upstream->peers_end && count < max; i++)
        if (upstream->peers[i].is_used && upstream->peers[i].is_named)
            peers[count++] = peer_state(&upstream->peers[i], loop_now_ms(upstream->loop));
    return count;
}
