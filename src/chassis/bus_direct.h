/* The inside of the direct bus, for its files: bus_direct.c pushes, bus_direct_door.c takes what is
 * pushed, bus_direct_sign.c signs and verifies. */
#pragma once
#include "base/arena.h"
#include "chassis/bus_queues.h"
#include "chassis/cloudevent.h"
#include "os/sync.h"

#define DIRECT_PATH "/internal/events/"
#define DIRECT_PREFIX "ce-"
#define DIRECT_SIGNATURE "duka-signature"

enum { DIRECT_SKEW_S = 300 }; /* a signature is believed so long before and after its time */

struct fetch;
struct direct;

/* A consumer, here or elsewhere, and what waits for it. */
struct direct_peer {
    struct direct *bus;
    struct bus_queue *queue;
    str url;             /* "http://products:3000" */
    struct arena *arena; /* of one push */
    struct fetch *fetch;
    struct thread *thread;
};

struct direct_push; /* an event that came, and waits */

/* A consumer of this process: what came for it. */
struct direct_door {
    struct direct *bus;
    struct bus_subscription subscription;
    struct direct_push *first, **last;
    size_t count;
    struct cond wake;
    struct thread *thread;
};

struct direct {
    struct bus base;
    struct arena *arena;
    str keys; /* comma-separated: the first signs, all are believed */
    const char *ca, *cert, *tls_key;
    struct bus_queues queues; /* one for each peer; its lock is the doors' too */
    struct direct_peer peers[BUS_LISTENERS_MAX];
    int peers_count;
    struct direct_door doors[BUS_CONSUMERS_MAX];
    int doors_count;
    bool started;
};

/* ---- bus_direct_door.c ---- */

/* The operations of the driver. */
void direct_subscribe(struct bus *bus, const struct bus_consumer *consumer,
                      const char *const *topics, int topics_count);
bool direct_receive(struct bus *bus, struct request *request);

/* Starts the consumers' threads; stops them, and answers what waits that it was not taken; frees
 * what they hold. */
void direct_doors_start(struct direct *bus);
void direct_doors_stop(struct direct *bus);
void direct_doors_close(struct direct *bus);

/* ---- bus_direct_sign.c ---- */

/* What a signature stands for: all that the receiver acts on. Values as they are in the headers. */
struct direct_signed {
    str path;
    const struct cloudevent_attribute *attributes; /* in the order of cloudevent_write */
    size_t attributes_count;
    str body;
};

/* "t=SECONDS,v1=HEX": HMAC-SHA-256 by the first of the keys. Pure. */
str direct_sign(struct arena *arena, str keys, time_us now, const struct direct_signed *what);

/* Whether one of the keys made this signature, not long ago. Pure. */
bool direct_verify(struct arena *arena, str keys, time_us now, str signature,
                   const struct direct_signed *what);

/* The value of a header: what is not visible ASCII, and '%' and '"', percent-encoded (CloudEvents'
 * HTTP binding). */
str direct_escape(struct arena *arena, str value);
