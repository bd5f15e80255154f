/* The inside of a service, for the files of the chassis that make it up: service.c, dispatch.c,
 * task.c, consumer.c, relay.c, timers.c, lanes.c, service_state.c. Nobody else includes this. */
#pragma once
#include "chassis/admission.h"
#include "chassis/cache.h"
#include "chassis/flights.h"
#include "chassis/obs.h"
#include "chassis/router.h"
#include "chassis/service.h"
#include "chassis/waiters.h"
#include "chassis/write.h"

enum { RUNS_MAX = 5, ARENA_BYTES_STANDARD = 8 * 1024 * 1024, SERVICE_LANES_MAX = 4 };

struct relay;
struct lanes;
struct consumer;
struct timers;
struct sweeper;

struct service {
    struct service_config config;
    const struct service_spec *spec;
    struct arena *arena; /* of what lives as long as the service */
    struct db *db;
    struct writer *writer;
    struct router router;
    struct waiters waiters;
    struct lock admission_lock;
    struct admission admission; /* of calls that settle later */
    struct cache *cache;
    struct relay *relay;
    struct consumer *consumer;
    struct timers *timers;
    struct sweeper *sweeper;
    struct lanes *lanes[SERVICE_LANES_MAX]; /* that do its work with the outside */
    int lanes_count;
    struct flights flights;
    struct series *hints_heard;
    /* By index of the call. */
    struct series **calls_ok, **calls_refused, **calls_failed, **calls_time;
    bool started;
    int calls_under_way; /* requests that were not answered yet; atomic */
    bool stopping;       /* none is accepted any more; atomic */
};

/* ---- service.c ---- */

/* Answers what is no call: `allow` are the methods that the path takes. */
void service_refuse_route(struct request *request, unsigned allow);

/* Marks the answer as one to a repeat, whatever it is, also where it is an error. */
void service_mark_replayed(struct request *request);

/* Fills the response to a public read with an answer that is ready, and not older than it may be at
 * `now_us`; false: there is none. */
bool service_fill_from_cache(struct service *service, struct request *request,
                             const struct call_spec *spec, int64_t now_us);

/* Whether one more call that settles later can begin now. */
bool service_lets_in(struct service *service);

/* ---- dispatch.c ---- */

/* The call of a request: by method and path, or by the name of gRPC. */
struct route_match dispatch_match(struct service *service, const struct request *request);

/* Counts something that service_stop waits for, until dispatch_leave; false if the service stops.
 */
bool dispatch_enter(struct service *service);
void dispatch_leave(struct service *service);

/* What follows a commit that went well: wakes the calls that wait for this write's subject, if it
 * fixed the answer. On any thread. */
void dispatch_committed(struct service *service, const struct write *write);

/* Another replica says that the subject has settled: calls that wait for it look. */
void dispatch_settled_elsewhere(struct service *service, struct uuid subject);

/* Gives calls whose time is up to a worker, which fixes and sends the answer as it stands. */
void dispatch_due(struct service *service, int64_t now_us);

/* Accepts no more requests and waits until those under way have their answers: who waits hears how
 * things stand. */
void dispatch_stop(struct service *service);

/* ---- relay.c: from the outbox to the bus ---- */

/* Opened with the service; it sends between start and stop. */
struct relay *relay_open(struct service *service);
void relay_start(struct relay *relay);
void relay_poke(struct relay *relay);        /* something was committed */
bool relay_sends(const struct relay *relay); /* it is this replica that sends; any thread */
int64_t relay_backlog(struct relay *relay);  /* events taken from the outbox and not deleted yet */
void relay_stop(struct relay *relay);
void relay_close(struct relay *relay); /* accepts NULL */

/* ---- consumer.c: from the bus to reactions ---- */

/* Opened with the service; the bus calls it between bus_start and bus_stop. */
struct consumer *consumer_open(struct service *service);

/* The bus's side: see struct bus_consumer. */
size_t consumer_take(void *self, const struct bus_event *events, size_t count);

/* Tries events again that were kept early; told by a timer. */
err consumer_retry_held(struct consumer *consumer, struct call *call);
void consumer_close(struct consumer *consumer); /* accepts NULL */

/* What a test does to reactions: one that is refused goes to the dead letters, as where a program
 * with a fault hears an event that it cannot take. Nothing here is for programs. */
struct consumer_faults {
    void *self;
    bool (*refuses)(void *self, const char *consumer, const struct bus_event *event);
};

/* From now on, for all consumers of this process; NULL takes them back. */
void consumer_use_faults(const struct consumer_faults *faults);

/* ---- timers.c ---- */

/* Timers are added between open and start; they run, each from the first moment on, until stop. */
struct timers *timers_open(struct service *service);
struct timer *timers_add(struct timers *timers, const char *name, uint32_t interval_ms,
                         err (*run)(void *self, struct call *call), void *self);
void timers_start(struct timers *timers);
void timers_stop(struct timers *timers);
void timers_close(struct timers *timers); /* accepts NULL */

/* Something was committed: what rests may have work. Cheap where nothing rests. */
void timers_stir(struct timers *timers);

/* A call waits from now on: its time must be watched. */
void timers_watch_waiters(struct timers *timers);
