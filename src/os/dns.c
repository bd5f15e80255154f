#include "os/dns.h"

#include "base/arena.h"
#include "os/loop_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES_MAX = 64 };

struct dns_query {
    uv_getaddrinfo_t uv;
    struct loop_task task; /* of a test's answer */
    struct net_address *given;
    size_t given_count;
    struct loop *loop;
    uint16_t port;
    dns_answered *answered; /* NULL: nobody listens */
    void *subject;
};

/* Reads one address; false for a kind that is none of ours. */
static bool address_read(const struct addrinfo *info, uint16_t port, struct net_address *out)
{
    *out = (struct net_address){ .port = port };
    if (info->ai_family == AF_INET)
        return uv_ip4_name((const struct sockaddr_in *)info->ai_addr, out->text,
                           sizeof(out->text)) == 0;
    if (info->ai_family == AF_INET6)
        return uv_ip6_name((const struct sockaddr_in6 *)info->ai_addr, out->text,
                           sizeof(out->text)) == 0;
    return false;
}

static size_t addresses_read(const struct addrinfo *info, uint16_t port, struct net_address *out)
{
    size_t count = 0;

    for (; info && count < ADDRESSES_MAX; info = info->ai_next) {
        bool is_new = address_read(info, port, &out[count]);
        for (size_t i = 0; is_new && i < count; i++)
            is_new = !net_address_equal(&out[i], &out[count]);
        count += is_new;
    }
    return count;
}

static void on_answer(uv_getaddrinfo_t *uv, int status, struct addrinfo *info)
{
    struct dns_query *query = uv->data;
    struct net_address addresses[ADDRESSES_MAX];
    size_t count = status == 0 ? addresses_read(info, query->port, addresses) : 0;

    uv_freeaddrinfo(info);
    query->loop->lookups_count--;
    if (query->answered)
        query->answered(query->subject, addresses, count,
                        status == 0 ? "it has no address" : uv_strerror(status));
    free(query);
}

/* ---- A test's answers ---- */

static dns_answer *answer_given;
static void *answer_self;

void dns_use(dns_answer *answer, void *self)
{
    answer_self = self;
    __atomic_store_n(&answer_given, answer, __ATOMIC_RELEASE);
}

static void on_given(struct loop_task *task)
{
    struct dns_query *query = (struct dns_query *)((char *)task - offsetof(struct dns_query, task));

    if (query->answered)
        query->answered(query->subject, query->given, query->given_count, "as the test says");
    free(query->given);
    free(query);
}

static void give(struct dns_query *query, dns_answer *answer, str host)
{
    query->given = calloc(ADDRESSES_MAX, sizeof(query->given[0]));
    ASSERT(query->given);
    query->given_count = answer(answer_self, host, query->port, query->given, ADDRESSES_MAX);
    query->task.run = &on_given;
    loop_later(query->loop, &query->task);
}

/* ---- Asking ---- */

struct dns_query *dns_ask(struct loop *loop, str host, uint16_t port, dns_answered *answered,
                          void *subject)
{
    ASSERT(loop && answered && port > 0);
    ASSERT(host.len > 0 && host.len <= DNS_NAME_BYTES_MAX);

    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    char name[DNS_NAME_BYTES_MAX + 1];
    (void)snprintf(name, sizeof(name), "%" STR_F, STR_A(host));
    struct dns_query *query = calloc(1, sizeof(*query));
    ASSERT(query);
    query->loop = loop;
    query->port = port;
    query->answered = answered;
    query->subject = subject;
    query->uv.data = query;
    dns_answer *answer = __atomic_load_n(&answer_given, __ATOMIC_ACQUIRE);
    if (answer) {
        give(query, answer, host);
        return query;
    }
    int rc = uv_getaddrinfo(&loop->uv, &query->uv, &on_answer, name, NULL, &hints);
    ASSERT(rc == 0); /* it fails for memory, and for a name that is too long */
    loop->lookups_count++;
    return query;
}

void dns_drop(struct dns_query *query)
{
    if (!query)
        return;
    query->answered = NULL;
    if (query->given)
        return;                              /* it ends by itself */
    (void)uv_cancel((uv_req_t *)&query->uv); /* one that runs goes on until it has an answer */
}
