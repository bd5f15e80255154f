/* Connections that we make: TCP and Unix sockets, TLS on them where it is wanted. */
#include "base/arena.h"
#include "os/net_inside.h"

#include <stdio.h>
#include <string.h>

bool net_address_read(str host, uint16_t port, struct net_address *out)
{
    struct net_address address = { .port = port };
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    ASSERT(out && port > 0);

    if (host.len == 0 || host.len >= sizeof(address.text))
        return false;
    memcpy(address.text, host.ptr, host.len);
    if (uv_ip4_addr(address.text, port, &v4) != 0 && uv_ip6_addr(address.text, port, &v6) != 0)
        return false;
    *out = address;
    return true;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    ASSERT(a && b);
    return a->port == b->port && strcmp(a->text, b->text) == 0;
}

str net_address_text(struct arena *arena, const struct net_address *address)
{
    ASSERT(arena && address);

    if (address->port == 0)
        return str_format(arena, "unix:%s", address->text);
    bool is_v6 = strchr(address->text, ':') != NULL;
    return str_format(arena, is_v6 ? "[%s]:%u" : "%s:%u", address->text, address->port);
}

/* It stands: TLS says its first words, or the owner may. */
static void begin(struct net_connection *connection)
{
    if (connection->is_unix)
        (void)snprintf(connection->peer, sizeof(connection->peer), "unix");
    else
        (void)uv_tcp_nodelay(&connection->uv.tcp, 1);
    net_resume(connection);
    if (connection->tls)
        (void)net_connection_say(connection); /* a break is told by who reads */
    else if (connection->events->opened)
        connection->events->opened(connection->subject);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct net_connection *connection = connect->handle->data;

    if (!connection->events)
        return; /* closed meanwhile */
    if (status == 0) {
        begin(connection);
        return;
    }
    connection->failure = uv_strerror(status);
    connection->ended = true;
    connection->events->ended(connection->subject, true);
}

/* The kernel's first answer to the wish; what comes of it is told later. */
static int ask(struct net_connection *connection, const struct net_address *address)
{
    struct sockaddr_storage to = { 0 };
    uv_connect_t *connect = &connection->connect;

    if (connection->is_unix) {
        uv_pipe_connect(connect, &connection->uv.pipe, address->text, &on_connected);
        return 0;
    }
    int rc = strchr(address->text, ':')
                 ? uv_ip6_addr(address->text, address->port, (struct sockaddr_in6 *)&to)
                 : uv_ip4_addr(address->text, address->port, (struct sockaddr_in *)&to);
    if (rc != 0)
        return rc;
    return uv_tcp_connect(connect, &connection->uv.tcp, (const struct sockaddr *)&to,
                          &on_connected);
}

struct net_connection *net_connect(struct loop *loop, const struct net_address *address,
                                   struct tls_context *tls, str name, size_t room_bytes,
                                   const struct net_events *events, void *subject,
                                   const char **failure)
{
    ASSERT(loop && address && events && failure);
    ASSERT(events->bytes && events->ended && events->written);

    struct net_connection *connection = net_connection_new(loop, address->port == 0, room_bytes);
    (void)snprintf(connection->peer, sizeof(connection->peer), "%.*s", NET_PEER_BYTES - 1,
                   address->text);
    if (tls)
        connection->tls = tls_connect(tls, name);
    connection->events = events;
    connection->subject = subject ? subject : connection->room;
    int rc = ask(connection, address);
    if (rc == 0)
        return connection;
    *failure = uv_strerror(rc);
    net_close(connection);
    return NULL;
}
