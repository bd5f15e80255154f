/* Sockets on a loop: listeners (TCP and Unix) and the connections that they accept.
 *
 * All on the loop's thread. Bytes are lent, never copied: what came is valid until the function
 * that was told of it returns, what is to be written must stay until it is. A connection is its
 * owner's from the moment it was accepted until net_close; no protocol is known here but TLS, below
 * all that the owner sees. */
#pragma once
#include "os/loop.h"
#include "os/tls.h"

enum {
    NET_PEER_BYTES = 46, /* the longest text of an IPv6 address, and a NUL */
    NET_BACKLOG = 1024,
    NET_ACCEPTED_A_TURN = 64, /* of the loop: who comes faster must not keep it from all others */
    NET_BACKLOG_LEAST = 4,    /* while a listener is limited */
    NET_BACKLOG_MOST = 128
};

struct net_listener;
struct net_connection;

/* Told of each new connection. It reads nothing until net_own. */
typedef void net_accepted(void *subject, struct net_connection *connection);

/* Listens on "192.0.2.1:3000", "[::]:3000", ":3000" (all of IPv4) or "unix:/path" (mode 0600; a
 * socket that a dead process left there is replaced). Each connection gets `room_bytes` of room.
 * `setting` is named by the errors: SETTING_INVALID for what is no address, ADDRESS_TAKEN,
 * OS_FAILED. */
err net_listen(struct arena *arena, struct loop *loop, str address, const char *setting,
               size_t room_bytes, net_accepted *accepted, void *subject, struct net_listener **out);

/* Connections that are accepted from now on talk TLS, under this context; NULL: they do not. Those
 * that are open stay as they are. The context is the listener's then. */
void net_listener_use_tls(struct net_listener *listener, struct tls_context *context);

/* The port of a TCP listener (the kernel's choice where port 0 was asked for); 0 for a Unix one. */
int net_listener_port(const struct net_listener *listener);

/* Accepts who waits already and so many more, and from then on none: of the others the kernel keeps
 * twice as many, and drops what the rest sends, who try again by themselves.
 * NET_UNLIMITED: all that come, as at first. */
enum { NET_UNLIMITED = -1 };
void net_listener_limit(struct net_listener *listener, int count);

/* Stops listening, removes the Unix socket's name. Accepts NULL. */
void net_listener_close(struct net_listener *listener);

/* The owner's room: zeroed at first; gone some time after net_close, but not before what runs on
 * the loop at that moment has returned. */
void *net_room(struct net_connection *connection);

/* What a connection tells its owner. Each may call net_close. */
struct net_events {
    /* Bytes came; they lie in the loop's buffer until this returns. */
    void (*bytes)(void *subject, const char *bytes, size_t len);
    /* Nothing more will come: the peer has closed its side or, where `broken`, is gone. Once. */
    void (*ended)(void *subject, bool broken);
    /* What net_write left waiting is written, or (`!whole`) will never be. */
    void (*written)(void *subject, bool whole);
    /* Nothing may be written before: the TLS handshake is done (not told without TLS of one that
     * was accepted), or the connection that was asked for stands. May be NULL. */
    void (*opened)(void *subject);
    /* There is something to read: is it to be read now? False: it is paused. May be NULL. */
    bool (*may_read)(void *subject);
};

/* Becomes the owner, and starts to read. */
void net_own(struct net_connection *connection, const struct net_events *events, void *subject);

/* Stops reading and starts again. Costs system calls: only where a peer must wait. */
void net_pause(struct net_connection *connection);
void net_resume(struct net_connection *connection);

enum net_written { NET_WRITTEN, NET_WAITING, NET_BROKEN };

/* Writes `head` and then `body` (which may be empty) by one system call where the socket takes them
 * whole: NET_WRITTEN. NET_WAITING: the rest is written when the peer has read; both stay where they
 * are until `written` is told, and nothing else is written before. NET_BROKEN: the peer is gone. */
enum net_written net_write(struct net_connection *connection, str head, str body);

/* The peer has closed its side, or is gone, whether or not what it sent before was read. */
bool net_is_left(const struct net_connection *connection);

/* Tells the peer that nothing more will be written. No write waits. */
void net_shutdown(struct net_connection *connection);

/* Closes at once, also with a write that waits. The owner hears nothing more, and the connection
 * must not be used again. */
void net_close(struct net_connection *connection);

/* The peer's address as text ("192.0.2.1", "2001:db8::1"; an IPv4 one inside IPv6 shows as IPv4),
 * or "unix"; borrowed from the connection. */
str net_peer(const struct net_connection *connection);

/* Came by a Unix socket. */
bool net_is_unix(const struct net_connection *connection);

/* Talks TLS; the protocol that was chosen by ALPN, or none; why TLS broke or the connection was not
 * made, or "". */
bool net_is_tls(const struct net_connection *connection);
str net_protocol(const struct net_connection *connection);
const char *net_failure(const struct net_connection *connection);

/* ---- Connections that we make (os/net_connect.c) ---- */

enum { NET_ADDRESS_BYTES = 112 /* the longest path of a Unix socket, and a NUL */ };

/* Where somebody listens: an IP address as text with a port, or the path of a Unix socket. */
struct net_address {
    char text[NET_ADDRESS_BYTES];
    uint16_t port; /* 0: a Unix socket */
};

/* An IP address as text; false for what is none: then it is a name, for os/dns. */
bool net_address_read(str host, uint16_t port, struct net_address *out);

/* Tells whether both are the same place. */
bool net_address_equal(const struct net_address *a, const struct net_address *b);

/* "192.0.2.1:80", "[2001:db8::1]:80", "unix:/path". */
str net_address_text(struct arena *arena, const struct net_address *address);

/* Connects: `opened` is told when it stands, with the handshake of TLS where `tls` is given
 * (tls_open_client; shared), `ended` when it comes to nothing. The owner has it from now on, with a
 * room as net_room says, and may close it at any time. `name` is who the other side must be under
 * TLS (see tls_connect). NULL with the reason in *failure where it cannot even be tried. */
struct net_connection *net_connect(struct loop *loop, const struct net_address *address,
                                   struct tls_context *tls, str name, size_t room_bytes,
                                   const struct net_events *events, void *subject,
                                   const char **failure);
