/* The server's gate at work: while it is shut, who has something to read waits, and turns are given
 * every few milliseconds: to the newest of them, and a few to new connections. */
#include "chassis/http_server.h"
#include "chassis/obs.h"

enum {
    OF_NEW_CONNECTIONS = 4, /* one turn in so many */
    REFUSED_AT_ONCE = 16
};

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

static void open_gate(struct http_server *server)
{
    loop_timer_stop(server->turns);
    if (server->listener)
        net_listener_limit(server->listener, NET_UNLIMITED);
    LOG(LOG_INFO, "http.gate_open", LOG_NUMBER("port", server->listener ? http_port(server) : 0));
}

void http_turns_give(void *subject)
{
    struct http_server *server = subject;
    struct http_list *waiting = &server->lists[HTTP_WAIT_TURN];
    int64_t now_ms = loop_now_ms(server->loop);
    int turns = http_gate_turns(&server->gate, waiting->oldest != NULL, now_ms);

    refuse_late(server, now_ms);
    for (int i = 0; i < turns && waiting->newest && !is_late(waiting->newest, now_ms); i++)
        http_connection_turn(waiting->newest);
    if (!server->gate.shut)
        open_gate(server);
    else if (server->listener)
        net_listener_limit(server->listener, turns / OF_NEW_CONNECTIONS + 1);
}

void http_turns_answered(struct http_server *server, int status)
{
    bool was_shut = server->gate.shut;

    http_gate_answered(&server->gate, status == 503, loop_now_ms(server->loop));
    if (was_shut || !server->gate.shut || server->ended)
        return;
    loop_timer_start(server->turns, HTTP_TICK_MS, HTTP_TICK_MS);
    if (server->listener)
        net_listener_limit(server->listener, 0);
    LOG(LOG_WARN, "http.gate_shut", LOG_NUMBER("port", server->listener ? http_port(server) : 0),
        LOG_TEXT("why", STR("more is refused than there is time to refuse; what else comes waits "
                            "for its turn, the newest first")));
}
