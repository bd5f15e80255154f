/* Names of hosts to addresses, by the system's resolver (getaddrinfo on libuv's threads), so that
 * /etc/hosts, search domains and whatever else the machine knows count. On the loop's thread. */
#pragma once
#include "os/net.h"

enum { DNS_NAME_BYTES_MAX = 253 };

struct dns_query;

/* Told once, on the loop, unless dns_drop came before: each address once, `port` in all of them;
 * none where there is none, then `failure` says why. */
typedef void dns_answered(void *subject, const struct net_address *addresses, size_t count,
                          const char *failure);

/* Asks for all addresses of a host (a name, or an IP address as text, at most DNS_NAME_BYTES_MAX
 * long). Forget it once it was answered. */
struct dns_query *dns_ask(struct loop *loop, str host, uint16_t port, dns_answered *answered,
                          void *subject);

/* Nobody wants to hear the answer any more. Accepts NULL. */
void dns_drop(struct dns_query *query);

/* What a test answers in place of the resolver: writes up to `room` addresses and gives how many
 * there are. Asked on the loop's thread. */
typedef size_t dns_answer(void *self, str host, uint16_t port, struct net_address *out,
                          size_t room);

/* From now on, for the whole process; NULL takes it back. Not for programs. */
void dns_use(dns_answer *answer, void *self);
