#include "chassis/binding.h"
#include "chassis/hints.h"
#include "chassis/sweeper.h"
#include "os/clock.h"
#include "os/random.h"

enum { HELD_TICK_MS = 250, READERS_EXTRA = 8 };

static void open_series(struct service *service)
{
    int count = service->spec->calls_count;
    size_t n = (size_t)(count > 0 ? count : 1);
    service->calls_ok = arena_array(service->arena, struct series *, n);
    service->calls_refused = arena_array(service->arena, struct series *, n);
    service->calls_failed = arena_array(service->arena, struct series *, n);
    service->calls_time = arena_array(service->arena, struct series *, n);
    for (int i = 0; i < count; i++) {
        const char *call = service->spec->calls[i].short_name;
        ASSERT(service->spec->calls[i].index == i);
        service->calls_ok[i] = metric_series(METRIC_CALLS, service->spec->name, call, "ok");
        service->calls_refused[i] =
            metric_series(METRIC_CALLS, service->spec->name, call, "refused");
        service->calls_failed[i] = metric_series(METRIC_CALLS, service->spec->name, call, "failed");
        service->calls_time[i] =
            metric_series(METRIC_CALL_SECONDS, service->spec->name, call, NULL);
    }
}

/* ---- what is asked for when metrics are printed ---- */

static struct db_stats stats_of(void *service)
{
    return db_stats_of(((struct service *)service)->db);
}

static struct writer_stats writer_of(void *service)
{
    return writer_stats_of(((struct service *)service)->writer);
}

static int64_t ask_writes(void *service) { return writer_of(service).writes; }
static int64_t ask_commits(void *service) { return writer_of(service).batches; }
static int64_t ask_queue(void *service) { return writer_of(service).queue; }
static int64_t ask_statements(void *service) { return stats_of(service).statements; }
static int64_t ask_round_trips(void *service) { return stats_of(service).round_trips; }
static int64_t ask_reads(void *service) { return stats_of(service).reads; }
static int64_t ask_failures(void *service) { return stats_of(service).failures; }
static int64_t ask_readers(void *service) { return stats_of(service).readers_max; }
static int64_t ask_readers_busy(void *service) { return stats_of(service).readers_busy; }

static int64_t ask_bytes(void *service)
{
    struct db_stats stats = stats_of(service);
    return stats.file_bytes + stats.wal_bytes;
}

static int64_t ask_is_up(void *service) { return db_away_us(((struct service *)service)->db) == 0; }

static int64_t ask_backlog(void *service)
{
    return relay_backlog(((struct service *)service)->relay);
}

static int64_t ask_in_flight(void *service)
{
    return __atomic_load_n(&((struct service *)service)->calls_under_way, __ATOMIC_RELAXED);
}

static int64_t ask_waiting(void *service)
{
    return waiters_count(&((struct service *)service)->waiters);
}

static const struct {
    enum metric metric;
    int64_t (*ask)(void *service);
} asked[] = {
    { METRIC_WRITES, ask_writes },
    { METRIC_COMMITS, ask_commits },
    { METRIC_WRITER_QUEUE, ask_queue },
    { METRIC_DATABASE_STATEMENTS, ask_statements },
    { METRIC_DATABASE_ROUND_TRIPS, ask_round_trips },
    { METRIC_DATABASE_READS, ask_reads },
    { METRIC_DATABASE_FAILURES, ask_failures },
    { METRIC_DATABASE_READERS, ask_readers },
    { METRIC_DATABASE_READERS_BUSY, ask_readers_busy },
    { METRIC_DATABASE_BYTES, ask_bytes },
    { METRIC_DATABASE_UP, ask_is_up },
    { METRIC_OUTBOX_BACKLOG, ask_backlog },
    { METRIC_CALLS_IN_FLIGHT, ask_in_flight },
    { METRIC_CALLS_WAITING, ask_waiting },
};

static void ask_gauges(struct service *service, bool on)
{
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++)
        metric_ask(asked[i].metric, service->spec->name, on ? asked[i].ask : NULL, service);
}

/* ---- what the chassis does by itself ---- */

static err retry_held(void *subject, struct call *call)
{
    return consumer_retry_held(((struct service *)subject)->consumer, call);
}

/* ---- opening and closing ---- */

static void changed(void *subject, struct uuid what)
{
    struct service *service = subject;
    cache_drop(service->cache, what);
    hint_changed(service, what);
}

static void committed(void *subject, bool announced)
{
    struct service *service = subject;
    if (announced)
        relay_poke(service->relay);
    if (announced && !relay_sends(service->relay))
        hint_outbox(service);
    timers_stir(service->timers);
}

static void subscribe(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const char *topics[BUS_SHARDS];
    int topics_count = 0;
    for (int i = 0; i < spec->reactions_count; i++) {
        bool known = false;
        for (int j = 0; j < topics_count; j++)
            known = known || strcmp(topics[j], spec->reactions[i].event->topic) == 0;
        if (!known)
            topics[topics_count++] = spec->reactions[i].event->topic;
    }
    struct bus_consumer consumer = { .name = spec->name,
                                     .self = service->consumer,
                                     .take = consumer_take };
    if (topics_count > 0 && service->config.house->bus)
        bus_subscribe(service->config.house->bus, &consumer, topics, topics_count);
}

/* The database does not know which setting gave its URL: DATABASE_URL_ORDERS for "orders". */
static err name_setting(struct arena *arena, const char *service, err error)
{
    char name[32] = "";
    for (size_t i = 0; service[i] && i + 1 < sizeof(name); i++)
        name[i] =
            (char)(service[i] >= 'a' && service[i] <= 'z' ? service[i] - 'a' + 'A' : service[i]);
    return fail_over(arena, error->code, error, "DATABASE_URL_%s: %" STR_F, name,
                     STR_A(error->detail));
}

err service_open(struct arena *arena, const struct service_config *config, struct service **out)
{
    ASSERT(arena && config && config->spec && config->schema && config->house && out);
    struct arena *own = arena_open(SIZE_MAX);
    struct service *service = arena_new(own, struct service);
    *service = (struct service){ .config = *config, .spec = config->spec, .arena = own };
    const struct conf *conf = config->house->conf;
    struct db_config db = { .url = config->database_url,
                            .readers_max = config->readers_max
                                               ? config->readers_max
                                               : (int)conf_int(conf, CONF_WORKERS) + READERS_EXTRA,
                            .durable = config->durable,
                            .statement_timeout_ms = conf_int(conf, CONF_DATABASE_STATEMENT_TIMEOUT),
                            .lock_timeout_ms = conf_int(conf, CONF_DATABASE_LOCK_TIMEOUT) };
    err error = db_open(arena, &db, config->schema, &service->db);
    if (error != OK) {
        arena_close(own);
        return name_setting(arena, config->spec->name, error);
    }
    service->router = router_of(own, service->spec);
    waiters_init(&service->waiters);
    lock_init(&service->admission_lock);
    service->admission.target_us = conf_int(conf, CONF_SETTLE_TARGET) * 1000;
    flights_init(&service->flights, conf_int(conf, CONF_TRACE_SLOW) * 1000);
    service->cache = cache_open(config->cache_bytes);
    service->relay = relay_open(service);
    service->consumer = consumer_open(service);
    service->timers = timers_open(service);
    service->hints_heard = metric_series(METRIC_HINTS_HEARD, service->spec->name, NULL, NULL);
    open_series(service);
    service->writer = writer_open(service->db, service->spec->name, committed, service);
    writer_limit(service->writer, (int)conf_int(conf, CONF_WRITE_BATCH_MAX));
    writer_on_changed(service->writer, changed, service);
    ask_gauges(service, true);
    subscribe(service);
    service->sweeper = sweeper_open(service);
    timers_add(service->timers, "held", HELD_TICK_MS, retry_held, service);
    *out = service;
    return OK;
}

str service_database_url(struct arena *arena, const struct conf *conf, enum setting own,
                         const char *file)
{
    ASSERT(arena && conf && file);
    str url = conf_text(conf, own);
    if (url.len == 0)
        url = conf_text(conf, CONF_DATABASE_URL);
    if (url.len > 0)
        return url;
    return str_format(arena, "sqlite:%" STR_F "/%s", STR_A(conf_text(conf, CONF_DATA_DIR)), file);
}

err service_migrate(struct arena *arena, str database_url, const struct db_schema *schema,
                    int *applied)
{
    ASSERT(arena && schema && applied);
    struct db_config db = { .url = database_url, .readers_max = 1, .durable = true };
    err error = db_migrate(arena, &db, schema, applied);
    return error == OK ? OK : name_setting(arena, schema->service, error);
}

void service_start(struct service *service)
{
    ASSERT(service && !service->started);
    service->started = true;
    if (service->config.house->bus)
        relay_start(service->relay);
    timers_start(service->timers);
    sweeper_start(service->sweeper);
    hints_start(service);
}

void service_stop(struct service *service)
{
    if (!service || !service->started)
        return;
    service->started = false;
    hints_stop(service);
    timers_stop(service->timers);
    sweeper_stop(service->sweeper);
    dispatch_stop(service);
    relay_stop(service->relay);
}

void service_close(struct service *service)
{
    if (!service)
        return;
    ASSERT(!service->started);
    dispatch_stop(service); /* it may have answered without having been started */
    ask_gauges(service, false);
    writer_close(service->writer);
    timers_close(service->timers);
    sweeper_close(service->sweeper);
    consumer_close(service->consumer);
    relay_close(service->relay);
    lock_done(&service->admission_lock);
    waiters_done(&service->waiters);
    cache_close(service->cache);
    db_close(service->db);
    arena_close(service->arena);
}

/* ---- jobs ---- */

struct timer *service_every(struct service *service, const char *name, uint32_t interval_ms,
                            err (*run)(void *self, struct call *call))
{
    return timers_add(service->timers, name, interval_ms, run, service->config.self);
}

static void reset_job(struct call *call, struct arena *arena, struct service *service)
{
    *call = (struct call){
        .arena = arena, .service = service, .now = clock_wall_us(), .deadline_us = INT64_MAX
    };
}

struct call *service_job_open(struct service *service, const char *name)
{
    ASSERT(service && name);
    size_t bytes =
        service->config.arena_bytes_max ? service->config.arena_bytes_max : ARENA_BYTES_STANDARD;
    struct arena *arena = arena_open(bytes);
    struct call *call = arena_new(arena, struct call);
    reset_job(call, arena, service);
    return call;
}

void service_job_reset(struct call *call)
{
    struct arena *arena = call->arena;
    struct service *service = call->service;
    call_read_end(call);
    arena_reset(arena);
    struct call *again = arena_new(arena, struct call);
    ASSERT(again == call); /* the first allocation of an arena lies where it lay */
    reset_job(call, arena, service);
}

void service_job_close(struct call *call)
{
    call_read_end(call);
    arena_close(call->arena);
}

err service_job_run(struct call *call, const char *name,
                    err (*run)(void *subject, struct call *call), void *subject)
{
    ASSERT(call && name && run);
    static const struct err_value too_large = { .code = CALL_TOO_LARGE, .place = ERR_PLACE };
    jmp_buf guard;
    err error;
    panic_context(name);
    if (setjmp(guard) == 0) {
        arena_guard(call->arena, &guard);
        error = run(subject, call);
    } else {
        arena_raise(call->arena, ARENA_CHUNK_BYTES);
        error = &too_large;
    }
    arena_guard(call->arena, NULL);
    panic_context(NULL);
    return error;
}

err job_write(struct call *call, struct write *write)
{
    ASSERT(call && write);
    call_read_end(call); /* nobody holds a snapshot while it waits */
    err outcome;
    enum write_end end = writer_submit_and_wait(call->service->writer, write, &outcome);
    if (end == WRITE_DONE && outcome == OK)
        dispatch_committed(call->service, write);
    return outcome;
}

/* ---- what needs no worker ---- */

void service_refuse_route(struct request *request, unsigned allow)
{
    request->route = "none";
    if (request->grpc) {
        response_problem(request,
                         fail(request->arena, RPC_UNKNOWN, "there is no call of this name"));
    } else if (allow == 0) {
        response_problem(request, fail(request->arena, ROUTE_UNKNOWN, "no such path"));
    } else {
        response_problem(request,
                         fail(request->arena, METHOD_NOT_ALLOWED, "this path does not take %" STR_F,
                              STR_A(request->method_text)));
        response_add(&request->response, STR("allow"), router_allow_text(request->arena, allow));
    }
    request_respond(request);
}

bool service_fill_from_cache(struct service *service, struct request *request,
                             const struct call_spec *spec, int64_t now_us)
{
    if (spec->access != ACCESS_ANYONE || spec->method != HTTP_GET || request->query.ptr ||
        request->grpc)
        return false;
    const struct cached *cached = cache_find(service->cache, request->path);
    if (!cached)
        return false;
    arena_defer(request->arena, cache_release, (void *)(uintptr_t)cached);
    if (cached->until_us < now_us)
        return false;
    bool known = binding_is_known(request, cached->etag);
    request->response.status = known ? 304 : 200;
    request->response.body = known ? STR_NONE : cached->body;
    request->response.content_type = known ? STR_NONE : cached->content_type;
    response_add(&request->response, STR("Cache-Control"), STR("no-cache"));
    response_add(&request->response, STR("etag"), cached->etag);
    request->route = spec->short_name;
    return true;
}

void service_mark_replayed(struct request *request)
{
    for (int i = 0; i < request->extra_count; i++)
        if (str_equal(request->extra[i].name, STR("idempotent-replayed")))
            return;
    ASSERT(request->extra_count < (int)(sizeof request->extra / sizeof request->extra[0]));
    request->extra[request->extra_count++] =
        (struct header){ STR("idempotent-replayed"), STR("true") };
}

/* ---- questions ---- */

const struct call_spec *service_route(struct service *service, struct request *request,
                                      unsigned *allow)
{
    struct route_match match = dispatch_match(service, request);
    *allow = match.allow;
    return match.spec;
}

struct db *service_db(struct service *service) { return service->db; }
struct writer *service_writer(struct service *service) { return service->writer; }
const char *service_name(const struct service *service) { return service->spec->name; }
void *service_self(struct service *service) { return service->config.self; }
void service_reached(struct service *service, int64_t age_us)
{
    ASSERT(service);
    lock_take(&service->admission_lock);
    admission_reached(&service->admission, age_us, clock_mono_us());
    lock_drop(&service->admission_lock);
}

bool service_lets_in(struct service *service)
{
    lock_take(&service->admission_lock);
    bool lets_in = admission_take(&service->admission, clock_mono_us());
    lock_drop(&service->admission_lock);
    return lets_in;
}

bool service_ready(struct service *service) { return service && service->started; }

bool service_hears_state(const struct service *service, str type)
{
    const struct service_spec *spec = service->spec;
    for (int i = 0; i < spec->reactions_count; i++)
        if (spec->reactions[i].event->state &&
            str_equal(str_of_z(spec->reactions[i].event->name), type))
            return true;
    return false;
}

const char *service_contract(struct arena *arena, const struct service *service)
{
    ASSERT(arena && service && service->spec->calls_count > 0);
    str name = str_of_z(service->spec->calls[0].name);
    return str_z(arena, str_cut(&name, '/'));
}
