/* The server's gate at work: while it is shut, who has something to read waits, and turns are given
 * every few milliseconds: to the newest of them. Those that are left go to whoever comes next. Each
 * that comes in is another that must hear in the end that it is refused, so no more new connections
 * are taken than there are turns beside those who come again by the connection that they have; and
 * a few anyhow, else nobody else would come in. */
#include "chassis/http_server.h"
#include "chassis/obs.h"

#include <math.h>

enum {
    REFUSED_AT_ONCE = 16,
    LEFT_AT_ONCE = 64,
    TICKS_TO_LEARN = 16, /* how many new ones there are turns for: who comes comes in bursts */
    ANYHOW = 12          /* one in so many turns */
};

#define ANYHOW_LEAST 0.25 /* a tick */

static bool is_late(const struct http_connection *connection, int64_t now_ms)
{
    return connection && connection->deadline_ms <= now_ms;
}

/* Who has waited for long hardly waits still. */
static void refuse_late(struct http_server *server, int64_t now_ms)
{
    struct http_list *waiting = &server->lists[HTTP_WAIT_TURN];

    for (int i = 0; i < REFUSED_AT_ONCE && is_late(waiting->oldest, now_ms); i++)
        if (net_is_left(waiting->oldest->net))
            http_connection_close(waiting->oldest);
        else
            http_connection_refuse_unread(waiting->oldest);
}

/* Whoever has gone needs none. A connection may stand that nobody waits at: where the kernel has
 * room for few, it sends cookies, its peer takes itself for connected, gives up and leaves its
 * request to be sent again and again, until one day it is let in. */
static int give_turns(struct http_server *server, int turns, int64_t now_ms)
{
    struct http_list *waiting = &server->lists[HTTP_WAIT_TURN];

    for (int left = 0;
         turns > 0 && left < LEFT_AT_ONCE && waiting->newest && !is_late(waiting->newest, now_ms);)
        if (net_is_left(waiting->newest->net)) {
            http_connection_close(waiting->newest);
            left++;
        } else {
            http_connection_turn(waiting->newest);
            turns--;
        }
    return turns;
}

static void open_gate(struct http_server *server)
{
    loop_timer_stop(server->turns);
    if (server->listener)
        net_listener_limit(server->listener, NET_UNLIMITED);
    LOG(LOG_INFO, "http.gate_open", LOG_NUMBER("port", server->listener ? http_port(server) : 0));
}

/* As many more as turns were left since the last tick, as many fewer as there were too few. Below
 * zero it keeps in mind that too many come again as it is. */
static int newcomers(struct http_server *server, int turns)
{
    double missing = (double)(turns - server->came) / TICKS_TO_LEARN;
    server->newcomers = fmin(fmax(server->newcomers + missing, -turns), turns);
    server->came = 0;
    server->anyhow += fmax((double)turns / ANYHOW, ANYHOW_LEAST);
    int anyhow = (int)server->anyhow;
    server->anyhow -= anyhow;
    return (int)fmax(server->newcomers, 0) + anyhow;
}

void http_turns_give(void *subject)
{
    struct http_server *server = subject;
    struct http_list *waiting = &server->lists[HTTP_WAIT_TURN];
    int64_t now_ms = loop_now_ms(server->loop);
    int turns = http_gate_turns(&server->gate, waiting->oldest != NULL, now_ms);

    refuse_late(server, now_ms);
    server->turns_left = give_turns(server, turns, now_ms);
    if (!server->gate.shut)
        open_gate(server);
    else if (server->listener)
        net_listener_limit(server->listener, newcomers(server, turns));
}

bool http_turns_take(struct http_server *server, const struct http_connection *connection)
{
    server->came++;
    if (server->turns_left == 0 || net_is_left(connection->net))
        return false;
    server->turns_left--;
    return true;
}

void http_turns_answered(struct http_server *server, int status)
{
    bool was_shut = server->gate.shut;

    http_gate_answered(&server->gate, status == 503, loop_now_ms(server->loop));
    if (was_shut || !server->gate.shut || server->ended)
        return;
    server->turns_left = server->came = 0;
    server->newcomers = 0;
    loop_timer_start(server->turns, HTTP_TICK_MS, HTTP_TICK_MS);
    if (server->listener)
        net_listener_limit(server->listener, 0);
    LOG(LOG_WARN, "http.gate_shut", LOG_NUMBER("port", server->listener ? http_port(server) : 0),
        LOG_TEXT("why", STR("more is refused than there is time to refuse; what else comes waits "
                            "for its turn, the newest first")));
}
