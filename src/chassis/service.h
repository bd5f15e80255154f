/* A service: the dispatcher over a contract, with its database, writer, relay, consumer and timers.
 *
 * services/X/service.c composes one; apps/ starts them. */
#pragma once
#include "chassis/auth.h"
#include "chassis/bus.h"
#include "chassis/call.h"
#include "chassis/client.h"
#include "chassis/conf.h"
#include "chassis/request.h"

/* What the services of one process share; apps/ makes it. Each service's open takes it:
 *     err users_open(struct arena *arena, const struct house *house, struct users **out);
 *     struct service *users_service(struct users *self);
 *     void users_start(struct users *self);
 *     void users_close(struct users *self); */
struct house {
    const struct conf *conf;
    struct workers *workers;        /* requests */
    struct workers *password_lanes; /* password hashes: few, 19 MiB each */
    struct spare *spare; /* where they are computed, while that is fast enough; or NULL */
    struct auth *auth;
    struct bus *bus; /* NULL: none; events wait in the outbox, and none come */
};

struct service_config {
    const struct service_spec *spec;
    const struct db_schema *schema;
    const struct house *house;
    str database_url; /* resolved: sqlite:PATH or postgresql://… */
    bool durable;
    int readers_max;        /* 0: as many as workers */
    size_t cache_bytes;     /* for ready answers of public reads; 0: none */
    size_t arena_bytes_max; /* of a call; 0: 8 MiB */
    void *self;             /* given to handlers */
    /* The message of a subject as it stands now, for calls whose time to wait is up; NULL where no
     * call settles. */
    err (*standing)(void *self, struct call *call, struct uuid subject, const void **message);
};

struct service;

/* The URL of a service's database: what its own setting says (CONF_DATABASE_URL_USERS), else
 * DATABASE_URL, else the file of that name ("users.db") in DATA_DIR. */
str service_database_url(struct arena *arena, const struct conf *conf, enum setting own,
                         const char *file);

/* Brings a service's database up to what this program knows: db_migrate, with the setting's name in
 * its errors. */
err service_migrate(struct arena *arena, str database_url, const struct db_schema *schema,
                    int *applied);

/* Opens the database and starts the writer; nothing is served before service_start. */
err service_open(struct arena *arena, const struct service_config *config, struct service **out);

/* Starts relay, consumer and timers; after all services are open and the bus knows them. */
void service_start(struct service *service);

/* Stops the timers, refuses new requests (CALL_DRAINING), answers those under way (who waits for a
 * subject hears 202 now), stops the relay. The bus was stopped before; the workers are still there.
 * Accepts NULL. */
void service_stop(struct service *service);

/* Ends the writer, which runs what was handed over, and closes the database. Accepts NULL. */
void service_close(struct service *service);

/* Handles a request on any thread (the loop's): routes by method and path, and answers by
 * request_respond. */
void service_handle(struct service *service, struct request *request);

/* The head of a request for the call is there, and a body will come. Where the call takes it as a
 * stream: judges who calls and the media type before a byte of it is read, and sets
 * request->stream. Fails with what the call itself would refuse them with. On any thread. */
err service_stream(struct service *service, struct request *request, const struct call_spec *spec);

/* The call that a method and path route to; NULL with *allow filled (methods, or 0) where there is
 * none. */
const struct call_spec *service_route(struct service *service, struct request *request,
                                      unsigned *allow);

/* Runs a read call inline on this thread: for clients. */
err service_call_inline(struct service *service, struct call *caller, const struct call_spec *spec,
                        const void *in, const void **out);

/* A timer: `run` is called as a job every `interval_ms`, and at once when poked. In it, reads use
 * the call's snapshot, and each write goes through job_write. */
struct timer;
struct timer *service_every(struct service *service, const char *name, uint32_t interval_ms,
                            err (*run)(void *self, struct call *call));
void timer_poke(struct timer *timer);

/* For a timer's job that has found nothing to do: nothing will be due before `until` (wall time;
 * INT64_MAX for never) unless something is committed to the database meanwhile. The timer then
 * rests, TIMER_REST_MS at most, so that a shop without work sleeps; TIMER_REST_SHARED_MS where
 * other replicas may commit, too. */
enum { TIMER_REST_MS = 30000, TIMER_REST_SHARED_MS = 1000 };
void job_rest(struct call *call, time_us until);

/* For jobs (timers, lanes): hands the write over and waits until it is on disk. VERSION_CONFLICT
 * comes back to the caller, who reads again. */
err job_write(struct call *call, struct write *write);

/* A call for a thread of the service's own (a payment lane), reset for each item. */
struct call *service_job_open(struct service *service, const char *name);
void service_job_reset(struct call *call); /* new snapshot, new arena contents, new time */
void service_job_close(struct call *call);

/* Runs a piece of work in such a call; over the ceiling of its arena it fails with CALL_TOO_LARGE.
 * `name` shows in the report of a panic. */
err service_job_run(struct call *call, const char *name,
                    err (*run)(void *subject, struct call *call), void *subject);

/* Its parts, for whoever composes or looks after it; service_contract is the name of its contract,
 * "orders.v1.Orders". */
struct db *service_db(struct service *service);
struct writer *service_writer(struct service *service);
const char *service_name(const struct service *service);
const char *service_contract(struct arena *arena, const struct service *service);
void *service_self(struct service *service);

/* Whether events of that type ("products.v1.VariantPriced") carry state for this service: the last
 * number wins. */
bool service_hears_state(const struct service *service, str type);

/* What a call that settles later has begun was reached for the first time, `age_us` after it began:
 * as much of it is let in as comes through (admission.h). Any thread. */
void service_reached(struct service *service, int64_t age_us);

/* True when it can serve: database open, writer alive. */
bool service_ready(struct service *service);
