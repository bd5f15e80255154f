/* os/loop.h and os/net.h without Linux: a loop that is turned by hand under a clock that is set by
 * hand, and connections whose other side is the fuzzer. It is linked in the place of both, so what
 * is built on them runs as it is.
 *
 * One loop at a time; nothing is ever asked of the kernel. */
#pragma once
#include "os/loop.h"
#include "os/net.h"

/* Runs what was posted, then what was put off to the end of the turn, until nothing is left. */
void net_fake_turn(struct loop *loop);

/* Lets time pass: timers that are due run, each in a turn. */
void net_fake_pass(struct loop *loop, int64_t ms);

/* A connection that comes to the one listener. */
struct net_connection *net_fake_accept(struct loop *loop);

/* The connections that were asked for by net_connect, newest last; NULL behind the last. */
struct net_connection *net_fake_connected(int index);

/* What the other side of a connection does. `connection` may be closed already: then nothing
 * happens. Bytes are sent as far as it reads; gives how many. */
size_t net_fake_send(struct net_connection *connection, str bytes);
void net_fake_open(struct net_connection *connection);
bool net_fake_end(struct net_connection *connection, bool broken); /* whether it was told: once */

/* From now on the other side takes so many bytes of each write at once (the rest waits); SIZE_MAX:
 * all. */
void net_fake_takes(struct net_connection *connection, size_t bytes);

/* It reads what waits; or (`!whole`) it never will. */
void net_fake_read(struct net_connection *connection, bool whole);

/* What it has been told so far; and forgets that. */
str net_fake_told(struct net_connection *connection);
void net_fake_forget(struct net_connection *connection);

bool net_fake_is_closed(const struct net_connection *connection);

/* The other side lets go: what is not closed stays the owner's; what is, is freed. */
void net_fake_drop(struct net_connection *connection);
