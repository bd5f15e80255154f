#include "tests/lib/proxy.h"

#include "base/arena.h"
#include "os/sync.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINKS_MAX = 32, PIECE_BYTES = 64 * 1024, TURN_MS = 20, ANSWER_MS = 2000 };

/* One connection through the proxy; -1 where the place is free. */
struct link {
    int client, server;
};

struct proxy {
    int port, listener;
    int server_port;
    struct link links[LINKS_MAX];
    struct thread *thread;
    struct lock lock; /* of what follows */
    bool closing, refuses;
    enum proxy_cut cut;
    const char *word;
    int cuts;
};

static int dial(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void drop(struct link *link)
{
    if (link->client >= 0)
        close(link->client);
    if (link->server >= 0)
        close(link->server);
    link->client = link->server = -1;
}

static void accept_one(struct proxy *self)
{
    int client = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    struct link *link = NULL;
    for (int i = 0; i < LINKS_MAX && !link; i++)
        if (self->links[i].client < 0)
            link = &self->links[i];
    int server = link && client >= 0 && !self->refuses ? dial(self->server_port) : -1;
    if (server < 0) {
        if (client >= 0)
            close(client);
        return;
    }
    *link = (struct link){ .client = client, .server = server };
}

static bool send_all(int fd, const char *bytes, ssize_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, (size_t)len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        len -= sent;
    }
    return true;
}

/* The answer has come to us, so the server has done it; the client will not see it. */
static void wait_answer(int server)
{
    struct pollfd answer = { .fd = server, .events = POLLIN };
    (void)poll(&answer, 1, ANSWER_MS);
}

static void hand_on(struct proxy *self, struct link *link, bool from_client)
{
    static _Thread_local char piece[PIECE_BYTES];
    int from = from_client ? link->client : link->server;
    int to = from_client ? link->server : link->client;
    ssize_t len = recv(from, piece, sizeof piece, 0);
    if (len <= 0) {
        drop(link);
        return;
    }
    bool is_hit = from_client && self->cut != PROXY_CUT_NONE &&
                  memmem(piece, (size_t)len, self->word, strlen(self->word));
    if (is_hit && self->cut == PROXY_CUT_AFTER && send_all(to, piece, len))
        wait_answer(to);
    if (is_hit) {
        self->cut = PROXY_CUT_NONE;
        self->cuts++;
    }
    if (is_hit || !send_all(to, piece, len))
        drop(link);
}

static void turn(struct proxy *self)
{
    struct pollfd waits[1 + 2 * LINKS_MAX] = { { .fd = self->listener, .events = POLLIN } };
    for (int i = 0; i < LINKS_MAX; i++) {
        waits[1 + 2 * i] = (struct pollfd){ .fd = self->links[i].client, .events = POLLIN };
        waits[2 + 2 * i] = (struct pollfd){ .fd = self->links[i].server, .events = POLLIN };
    }
    if (poll(waits, 1 + 2 * LINKS_MAX, TURN_MS) <= 0)
        return;
    lock_take(&self->lock);
    for (int i = 0; i < LINKS_MAX; i++) {
        if (self->links[i].client >= 0 && waits[1 + 2 * i].revents)
            hand_on(self, &self->links[i], true);
        if (self->links[i].client >= 0 && waits[2 + 2 * i].revents)
            hand_on(self, &self->links[i], false);
    }
    if (waits[0].revents)
        accept_one(self);
    lock_drop(&self->lock);
}

static void run(void *subject)
{
    struct proxy *self = subject;
    for (;;) {
        lock_take(&self->lock);
        bool closing = self->closing;
        for (int i = 0; i < LINKS_MAX && (closing || self->refuses); i++)
            drop(&self->links[i]);
        lock_drop(&self->lock);
        if (closing)
            return;
        turn(self);
    }
}

static void close_proxy(void *subject)
{
    struct proxy *self = subject;
    lock_take(&self->lock);
    self->closing = true;
    lock_drop(&self->lock);
    thread_join(self->thread);
    close(self->listener);
    lock_done(&self->lock);
}

struct proxy *proxy_open(struct test *t, int port)
{
    struct proxy *self = arena_new(t->arena, struct proxy);
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(self->listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(self->listener, LINKS_MAX), 0);
    CHECK_INT(getsockname(self->listener, (struct sockaddr *)&address, &len), 0);
    self->port = ntohs(address.sin_port);
    self->server_port = port;
    for (int i = 0; i < LINKS_MAX; i++)
        self->links[i] = (struct link){ .client = -1, .server = -1 };
    lock_init(&self->lock);
    self->thread = thread_start("proxy", run, self);
    arena_defer(t->arena, close_proxy, self);
    return self;
}

int proxy_port(const struct proxy *proxy) { return proxy->port; }

void proxy_cut(struct proxy *proxy, enum proxy_cut cut, const char *word)
{
    lock_take(&proxy->lock);
    proxy->cut = cut;
    proxy->word = word;
    lock_drop(&proxy->lock);
}

void proxy_refuse(struct proxy *proxy, bool refuses)
{
    lock_take(&proxy->lock);
    proxy->refuses = refuses;
    lock_drop(&proxy->lock);
}

int proxy_cuts(struct proxy *proxy)
{
    lock_take(&proxy->lock);
    int cuts = proxy->cuts;
    lock_drop(&proxy->lock);
    return cuts;
}
