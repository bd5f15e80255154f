/* The inside of the direct bus, for its files: bus_direct.c pushes, bus_direct_door.c takes what is
 * pushed, bus_direct_events.c writes and reads events, bus_direct_sign.c signs and verifies. */
#pragma once
#include "base/arena.h"
#include "chassis/bus_queues.h"
#include "chassis/cloudevent.h"
#include "os/sync.h"

#define DIRECT_PATH "/internal/events/"
#define DIRECT_CONTENT_TYPE "application/vnd.duka.events"
#define DIRECT_SIGNATURE "duka-signature"

enum {
    DIRECT_SKEW_S = 300, /* a signature is believed so long before and after its time */
    DIRECT_ALL_TAKEN = 204,
    DIRECT_SOME_TAKEN = 200
};

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

/* What a signature stands for: all that the receiver acts on. */
struct direct_signed {
    str path, body;
};

/* "t=SECONDS,v1=HEX": HMAC-SHA-256 by the first of the keys. Pure. */
str direct_sign(struct arena *arena, str keys, time_us now, const struct direct_signed *what);

/* Whether one of the keys made this signature, not long ago. Pure. */
bool direct_verify(struct arena *arena, str keys, time_us now, str signature,
                   const struct direct_signed *what);

/* ---- bus_direct_events.c ---- */

/* Adds an event to what is pushed together: its CloudEvents attributes and its topic, a line each
 * ("name:value", percent-encoded where a value is not visible ASCII), then "length:BYTES", an empty
 * line, and its payload. Pure. */
void direct_event_write(struct text *out, struct arena *arena, const struct bus_event *event);

/* Takes the next event off what was pushed; an event that lacks something comes for the dead
 * letters (cloudevent_end). Borrowed. False where the bytes are not what is written above. Pure. */
bool direct_event_read(struct arena *arena, str *rest, struct bus_event *out);
