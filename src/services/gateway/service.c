#include "services/gateway/service.h"

#include "base/crypto.h"
#include "chassis/grpc.h"
#include "chassis/grpc_door.h"
#include "chassis/obs.h"
#include "chassis/proxies.h"
#include "chassis/router.h"
#include "chassis/trace_call.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/random.h"
#include "services/gateway/cors.h"
#include "services/gateway/pages.h"
#include "services/gateway/quotas.h"
#include "services/gateway/routes.h"
#include "services/gateway/traffic.h"
#include "services/gateway/ways.h"

enum {
    GATEWAY_BYTES_MAX = 4 * 1024 * 1024,
    GATEWAY_BODY_BYTES_MAX = 64 * 1024, /* of a body that no call asked for */
    GATEWAY_REQUEST_BYTES_MAX = 8 * 1024 * 1024,
    LIMIT_CLIENTS_MAX = 8192,
    LIMIT_WINDOW_S = 60,
    SETTLE_WAIT_MAX_MS = 10000, /* of Prefer: wait */
    WAY_MS = 1000
};

/* The classes of routes, and one for who comes with tokens that are not valid: what such a client
 * sends must not count against the user that it pretends to be, nor be free. */
enum { LIMIT_BAD_TOKEN = RATE_NONE, LIMITS_COUNT };

/* A service, with the calls that its contract has. */
struct target {
    struct gateway_target to;
    struct router router;
};

struct gateway {
    struct arena *memory;
    const struct house *house;
    struct loop *loop;
    struct target *targets; /* names copied */
    int targets_count;
    struct arena *routes_memory;
    struct routes routes;
    struct ways *ways; /* to what the routes name by URL */
    struct proxies proxies;
    struct pages pages;
    struct cors cors;
    struct quotas *quotas;
    struct limit limit[LIMITS_COUNT];
    str limit_policy[LIMITS_COUNT]; /* the value of RateLimit-Policy */
    struct series *limited[LIMITS_COUNT];
    struct traffic traffic;
    struct flights flights;       /* passed on to other processes */
    struct log_lines *access_log; /* written at the end of the loop's turn */
    struct loop_task log_flush;
    bool log_flush_posted;
    struct http_server *server;
    struct grpc_door *grpc; /* opened with the server */
    void (*stopped)(void *subject);
    void *stopped_subject;
};

static const char *const LIMIT_NAMES[LIMITS_COUNT] = { "default", "sign_in", "bad_token" };

/* What the log and the metrics call what the gateway answers itself. */
static const char ROUTE_NONE[] = "gateway.unknown";
static const char ROUTE_LIMITED[] = "gateway.limited";
static const char ROUTE_DENIED[] = "gateway.denied";
static const char ROUTE_PREFLIGHT[] = "gateway.preflight";
static const char ROUTE_PAGE[] = "gateway.page";
static const char ROUTE_OTHER[] = "gateway.other";
static const char ROUTE_BY_URL[] = "gateway.url";

/* ---- Rate limits ---- */

static err limits_open(struct gateway *self, struct arena *arena)
{
    const struct conf *conf = self->house->conf;
    int64_t quota = conf_int(conf, CONF_RATE_LIMIT);
    int64_t quotas[LIMITS_COUNT] = { [RATE_DEFAULT] = quota,
                                     [RATE_SIGN_IN] = conf_int(conf, CONF_RATE_LIMIT_SIGN_IN),
                                     [LIMIT_BAD_TOKEN] = quota };

    TRY(quotas_open(arena, self->memory, conf, LIMIT_CLIENTS_MAX, random_u64(), &self->quotas));
    for (int i = 0; i < LIMITS_COUNT; i++) {
        self->limit[i] =
            (struct limit){ .quota = quotas[i], .window_us = LIMIT_WINDOW_S * TIME_SECOND };
        self->limit_policy[i] = str_format(self->memory, "\"%s\";q=%lld;w=%d", LIMIT_NAMES[i],
                                           (long long)quotas[i], LIMIT_WINDOW_S);
        self->limited[i] = metric_series(METRIC_RATE_LIMITED, LIMIT_NAMES[i], NULL, NULL);
    }
    return OK;
}

static void extra_add(struct request *request, str name, str value)
{
    ASSERT(request->extra_count < (int)(sizeof(request->extra) / sizeof(request->extra[0])));
    request->extra[request->extra_count++] = (struct header){ name, value };
}

/* Takes one request out of the client's bucket, and tells in the answer what is left. */
static err limit_take(struct gateway *self, struct request *request, unsigned class,
                      const struct limit_client *client)
{
    const struct limit *limit = &self->limit[class];
    if (limit->quota == 0)
        return OK;

    struct limit_verdict verdict =
        quotas_take(self->quotas, (uint8_t) class, limit, client, clock_mono_us());
    struct text value = text_init(request->arena, 64);
    text_add_byte(&value, '"');
    text_add(&value, str_of_z(LIMIT_NAMES[class]));
    text_add(&value, STR("\";r="));
    text_add_int(&value, verdict.remaining);
    text_add(&value, STR(";t="));
    text_add_int(&value, verdict.reset_s);
    extra_add(request, STR("RateLimit"), text_str(&value));
    extra_add(request, STR("RateLimit-Policy"), self->limit_policy[class]);
    if (verdict.allowed)
        return OK;

    series_add(self->limited[class], 1);
    request->route = ROUTE_LIMITED;
    struct err_value *error = arena_new(request->arena, struct err_value);
    *error = (struct err_value){ .code = RATE_LIMIT_EXCEEDED,
                                 .detail = str_format(request->arena,
                                                      "%lld requests a minute are allowed",
                                                      (long long)limit->quota),
                                 .place = ERR_PLACE,
                                 .retry_after_s = verdict.retry_after_s };
    return error;
}

/* By user where one is signed in, else by address. Signing in is always by address: there is no
 * user yet whom one could trust. */
static err limit_check(struct gateway *self, struct request *request, enum rate_class rate,
                       const struct identity *who, bool is_bad_token)
{
    struct limit_client by_address = limit_client_of_address(request->client_address);

    if (is_bad_token)
        return limit_take(self, request, LIMIT_BAD_TOKEN, &by_address);
    if (rate == RATE_NONE)
        return OK;
    if (!who->known || rate == RATE_SIGN_IN)
        return limit_take(self, request, rate, &by_address);
    struct limit_client by_user = limit_client_of_user(who->user);
    return limit_take(self, request, rate, &by_user);
}

/* ---- Handling ---- */

/* A call of gRPC goes the way of its path in HTTP: the same access, the same limits. One that has
 * no path is not for outside. */
static struct route_found route_of(struct gateway *self, struct request *request)
{
    str host = request_header(request, STR("host"));

    if (!request->grpc)
        return routes_find(&self->routes, host, request->method, request->path);
    for (int i = 0; i < self->targets_count; i++) {
        const struct call_spec *spec = router_match(&self->targets[i].router, request).spec;
        if (!spec || !spec->routed)
            continue;
        struct route_found found =
            routes_find(&self->routes, host, spec->method, str_of_z(spec->path));
        return found.route && found.route->upstream == i ? found : (struct route_found){ 0 };
    }
    return (struct route_found){ 0 };
}

/* The call that the route leads this request to; NULL where its service has none there, or it is
 * no service of ours. */
static const struct call_spec *call_at(struct gateway *self, struct request *request,
                                       const struct route *route)
{
    str path = request->path;
    if (route->upstream == ROUTE_FOREIGN)
        return NULL;
    if (!request->grpc)
        request->path = route_path(request->arena, route, path);
    const struct call_spec *spec =
        router_match(&self->targets[route->upstream].router, request).spec;
    request->path = path;
    return spec;
}

static err route_missing(struct request *request, unsigned allow)
{
    request->route = ROUTE_NONE;
    if (request->grpc)
        return fail(request->arena, RPC_UNKNOWN, "There is no call of this name.");
    if (allow == 0)
        return fail(request->arena, ROUTE_UNKNOWN, "There is nothing at this path.");
    extra_add(request, STR("Allow"), router_allow_text(request->arena, allow));
    return fail(request->arena, METHOD_NOT_ALLOWED, "This path does not take %" STR_F ".",
                STR_A(request->method_text));
}

/* Where a request was led to, and the call there, which is looked for once. */
struct admitted {
    const struct route *route; /* NULL: a page of our own */
    const struct call_spec *spec;
    bool looked_for;
};

static const struct call_spec *call_of(struct gateway *self, struct request *request,
                                       struct admitted *admitted)
{
    if (!admitted->looked_for)
        *admitted =
            (struct admitted){ admitted->route, call_at(self, request, admitted->route), true };
    return admitted->spec;
}

/* Decides whether the request may go on, and where; `*who` has shown a token that is good. */
static err admit(struct gateway *self, struct request *request, enum page page,
                 struct admitted *admitted, struct identity *who)
{
    struct route_found found = { 0 };
    str token = request_header(request, STR("authorization"));

    if (page == PAGE_NONE)
        found = route_of(self, request);
    err token_error =
        token.ptr ? auth_check(self->house->auth, request->arena, token, clock_wall_us(), who) : OK;
    TRY(limit_check(self, request, found.route ? found.route->rate : RATE_DEFAULT, who,
                    token_error != OK));
    *admitted = (struct admitted){ .route = found.route };
    if (page != PAGE_NONE)
        return OK;
    if (!found.route)
        return route_missing(request, found.allow);
    int64_t timeout_us; /* one that cannot be read would not be passed on */
    if (request->grpc)
        TRY(grpc_timeout(request->arena, request, &timeout_us));
    if (found.route->access == ACCESS_ANYONE)
        return OK; /* the service judges the token, where its call wants one */

    request->route = ROUTE_DENIED;
    TRY(token_error);
    return auth_allow(self->house->auth, request->arena, found.route->access,
                      call_of(self, request, admitted), who);
}

/* Health and reflection count against the address, as pages do. */
static err admit_own_grpc(struct gateway *self, struct request *request)
{
    static const struct identity nobody;
    return limit_check(self, request, RATE_DEFAULT, &nobody, false);
}

static bool is_own_grpc(const struct gateway *self, const struct request *request)
{
    return self->grpc && grpc_door_is_for(self->grpc, request);
}

static void own_grpc_answer(struct gateway *self, struct request *request)
{
    err error = admit_own_grpc(self, request);
    if (!error) {
        grpc_door_handle(self->grpc, request);
        return;
    }
    response_problem(request, error);
    request_respond(request);
}

/* A preflight carries no token: the call that follows is judged by its own. */
static void preflight_answer(struct gateway *self, struct request *request)
{
    static const struct identity nobody;

    err error = limit_check(self, request, RATE_DEFAULT, &nobody, false);
    request->route = error ? ROUTE_LIMITED : ROUTE_PREFLIGHT;
    if (!error)
        error = cors_preflight(&self->cors, request);
    if (error)
        response_problem(request, error);
    request_respond(request);
}

/* What holds of each request before anything is judged. */
static void receive(struct gateway *self, struct request *request)
{
    request_identify(request);
    request->teller = "gateway";
    request->client_address = client_address_of(&self->proxies, request);
    internal_headers_drop(request);
    request_header_drop(request, STR("x-forwarded-prefix")); /* its routes see paths whole */
    request->operator_socket = false; /* also where the public door is a unix socket */
    cors_apply(&self->cors, request);
}

/* Where a request goes. */
struct lead {
    struct target *target;     /* whose contract it has; NULL: nobody's of ours */
    struct upstream *upstream; /* NULL: it stays in this process */
};

/* What goes with a request to another process. */
struct passed {
    struct identity who; /* first: it is what the upstream vouches for */
    struct upstream *upstream;
    struct gateway *gateway;
    struct flight flight;
};

static void forget_flight(void *subject)
{
    struct passed *passed = subject;
    flights_drop(&passed->gateway->flights, &passed->flight, STR("left"));
}

/* Until it is served, or its memory is given back without. */
static void begin_flight(struct passed *passed, struct request *request)
{
    passed->flight = (struct flight){ .call = request->route,
                                      .trace_id = request->trace_id,
                                      .state = "passed on",
                                      .since_us = clock_mono_us() };
    request->flight = &passed->flight;
    flights_add(&passed->gateway->flights, &passed->flight);
    arena_defer(request->arena, forget_flight, passed);
}

static void end_flight(struct gateway *self, const struct request *request)
{
    int status = request->response.status;
    if (request->flight)
        flights_drop(&self->flights, request->flight,
                     status >= 500   ? STR("failed")
                     : status >= 400 ? STR("refused")
                                     : STR("ok"));
}

/* Always the same for a caller, at every gateway. */
static uint32_t caller_number(const struct request *request, const struct identity *who)
{
    return crc32_of(who->known ? str_of(who->user.bytes, sizeof(who->user.bytes))
                               : request->client_address);
}

static struct lead lead_of(const struct gateway *self, const struct request *request,
                           const struct route *route, const struct identity *who)
{
    struct lead lead = { 0 };
    const struct route_way *way =
        route->ways_count == 0 ? NULL : route_way_of(route, caller_number(request, who));

    if (route->upstream != ROUTE_FOREIGN)
        lead.target = &self->targets[route->upstream];
    lead.upstream = way && way->upstream ? way->upstream : lead.target->to.upstream;
    return lead;
}

/* How long the service may take: what the contract gives the call, its wait to settle, the way. */
static int64_t patience_us(const struct call_spec *spec)
{
    int64_t wait_ms = spec->settles ? SETTLE_WAIT_MAX_MS : 0;
    return (spec->deadline_ms + wait_ms + WAY_MS) * TIME_MS;
}

/* Makes the request what the route's service shall see, and gives the way there. */
static struct lead direct(struct gateway *self, struct request *request, struct admitted *admitted,
                          const struct identity *who)
{
    const struct route *route = admitted->route;
    struct lead lead = lead_of(self, request, route, who);
    const struct call_spec *spec = lead.upstream ? call_of(self, request, admitted) : NULL;
    if (!request->grpc)
        request->path = route_path(request->arena, route, request->path);
    request->route = lead.target ? lead.target->to.name : ROUTE_BY_URL;
    if (!lead.upstream)
        return lead;

    if (spec) {
        request->route = spec->short_name;
        request->route_path = spec->path;
        request->deadline_us = request->received_us + patience_us(spec);
    } else if (route->timeout_ms > 0) {
        request->deadline_us = request->received_us + route->timeout_ms * TIME_MS;
    }
    struct passed *passed = arena_new(request->arena, struct passed);
    *passed = (struct passed){ .who = *who, .upstream = lead.upstream, .gateway = self };
    request->call = passed;
    begin_flight(passed, request);
    if (lead.target && who->known && auth_vouches(self->house->auth))
        request_header_drop(request, STR("authorization")); /* the service need not read it */
    return lead;
}

static void pass_on(struct lead lead, struct request *request)
{
    if (lead.upstream)
        upstream_forward(lead.upstream, request);
    else
        service_handle(lead.target->to.service, request);
}

void gateway_handle(struct gateway *self, struct request *request)
{
    ASSERT(self && request);

    if (upstream_has_stream(request)) { /* it was admitted when its body began */
        const struct passed *passed = request->call;
        upstream_forward(passed->upstream, request);
        return;
    }
    receive(self, request);
    if (cors_is_preflight(request)) {
        preflight_answer(self, request);
        return;
    }
    if (is_own_grpc(self, request)) {
        own_grpc_answer(self, request);
        return;
    }

    struct admitted admitted;
    struct identity who = { 0 };
    enum page page = page_of(request->path);
    err error = admit(self, request, page, &admitted, &who);
    if (who.known)
        request_note_user(request, who.user);
    if (error) {
        response_problem(request, error);
        request_respond(request);
    } else if (page != PAGE_NONE) {
        request->route = ROUTE_PAGE;
        page_answer(&self->pages, page, request);
        request_respond(request);
    } else {
        pass_on(direct(self, request, &admitted, &who), request);
    }
}

static void on_request(void *self, struct request *request) { gateway_handle(self, request); }

/* Who may not begin a stream hears so at once. */
static void own_grpc_begin(struct gateway *self, struct request *request, bool *refused)
{
    request_identify(request);
    request->teller = "gateway";
    request->client_address = client_address_of(&self->proxies, request);
    err error = admit_own_grpc(self, request);
    if (error) {
        response_problem(request, error);
        *refused = true;
        return;
    }
    grpc_door_begin(self->grpc, request);
}

/* Who may not make a call with a large body hears so before it is sent. */
static err admit_stream(struct gateway *self, struct request *request, const struct route *route,
                        const struct call_spec *spec)
{
    struct identity who = { 0 };
    TRY(auth_check(self->house->auth, request->arena, request_header(request, STR("authorization")),
                   clock_wall_us(), &who));
    TRY(auth_allow(self->house->auth, request->arena, spec->access, spec, &who));
    struct lead lead = lead_of(self, request, route, &who);
    if (!lead.upstream)
        return service_stream(lead.target->to.service, request, spec);
    if (!spec->stream)
        return OK;

    receive(self, request);
    TRY(limit_check(self, request, route->rate, &who, false));
    struct admitted admitted = { .route = route, .spec = spec, .looked_for = true };
    upstream_stream(direct(self, request, &admitted, &who).upstream, request);
    request->deadline_us = 0; /* its body takes what it takes */
    return OK;
}

/* The limit of the call's contract. */
static uint32_t on_body_bytes_max(void *subject, struct request *request, bool *refused)
{
    struct gateway *self = subject;
    cors_apply(&self->cors, request); /* what the transport refuses has to be readable too */
    if (is_own_grpc(self, request)) {
        own_grpc_begin(self, request, refused);
        return GRPC_TALK_BYTES_MAX;
    }
    struct route_found found = route_of(self, request);
    if (!found.route)
        return GATEWAY_BODY_BYTES_MAX;

    const struct call_spec *spec = call_at(self, request, found.route);
    if (!spec || (spec->stream && request->grpc)) /* which gRPC does not carry */
        return GATEWAY_BODY_BYTES_MAX;
    if (spec->body_bytes_max <= GATEWAY_BODY_BYTES_MAX)
        return spec->body_bytes_max;

    err error = admit_stream(self, request, found.route, spec);
    if (!error)
        return spec->body_bytes_max;

    request_identify(request);
    request->teller = "gateway";
    request->client_address = client_address_of(&self->proxies, request);
    request->route = ROUTE_DENIED;
    response_problem(request, error);
    *refused = true;
    return 0;
}

/* ---- The access log ---- */

/* Three names, so that a flood of one kind does not hide the others: the log paces each name. */
static const char *event_of(int status)
{
    return status >= 500 ? "http.failed" : status >= 400 ? "http.refused" : "http.request";
}

static void on_log_flush(struct loop_task *task)
{
    struct gateway *self = (struct gateway *)((char *)task - offsetof(struct gateway, log_flush));
    self->log_flush_posted = false;
    log_flush(self->access_log);
}

static void log_flush_soon(struct gateway *self)
{
    if (self->log_flush_posted)
        return;
    self->log_flush_posted = true;
    self->log_flush.run = &on_log_flush;
    loop_later(self->loop, &self->log_flush);
}

static void on_served(void *subject, const struct request *request, int64_t took_us)
{
    struct gateway *self = subject;
    const struct response *response = &request->response;
    const char *route = request->route ? request->route : ROUTE_OTHER;
    struct log_field fields[12] = {
        LOG_TEXT("method", request->method_text),
        LOG_TEXT("path", request->path),
        LOG_TEXT("route", str_of_z(route)),
        LOG_NUMBER("status", response->status),
        LOG_NUMBER("duration_us", took_us),
        LOG_NUMBER("bytes", request->method == HTTP_HEAD
                                ? 0
                                : response->streamed_bytes + (int64_t)response->body.len),
        LOG_TEXT("client", request->client_address),
        LOG_TEXT("request_id", str_of_z(request->request_id)),
        LOG_TEXT("trace_id", str_of_z(request->trace_id)),
        LOG_TEXT("span_id", str_of_z(request->span_id)),
    };
    int count = 10;

    if (request->user_hash[0])
        fields[count++] = LOG_TEXT("user", str_of_z(request->user_hash));
    if (request->error_code)
        fields[count++] = LOG_TEXT("error", str_of_z(request->error_code));
    log_gather(self->access_log, response->status >= 500 ? LOG_WARN : LOG_INFO,
               event_of(response->status), fields, count);
    log_flush_soon(self);
    traffic_note(&self->traffic, route, response->status, took_us,
                 request->sampled ? str_of_z(request->trace_id) : STR_NONE);
    trace_tell_request("gateway", request);
    end_flight(self, request);
}

/* ---- Opening and closing ---- */

static err routes_load(struct gateway *self, struct arena *arena, struct arena *memory,
                       struct routes *out)
{
    str path = conf_text(self->house->conf, CONF_ROUTES_FILE);
    str yaml = ROUTES_BUILTIN, file = STR("the built-in routes");
    str *names = arena_array(arena, str, (size_t)self->targets_count);

    if (path.len > 0) {
        TRY(disk_read(arena, path, ROUTES_BYTES_MAX, &yaml));
        file = path;
    }
    for (int i = 0; i < self->targets_count; i++)
        names[i] = str_of_z(self->targets[i].to.name);

    struct routes routes;
    TRY(routes_parse(memory, yaml, file, names, self->targets_count, &routes));
    TRY(ways_load(self->ways, arena, &routes, names));
    *out = routes;
    return OK;
}

err gateway_reload(struct gateway *self, struct arena *arena)
{
    ASSERT(self && arena);

    struct arena *memory = arena_open(GATEWAY_BYTES_MAX);
    err error = routes_load(self, arena, memory, &self->routes);
    if (error) {
        error = err_copy(arena, error);
        arena_close(memory);
        return error;
    }
    arena_close(self->routes_memory); /* no request at work looks at a route any more */
    self->routes_memory = memory;
    return OK;
}

static int64_t ask_connections(void *subject)
{
    struct gateway *self = subject;
    return self->server ? http_stats_of(self->server).connections : 0;
}

static err cors_of_settings(struct arena *memory, const struct conf *conf, struct cors *out)
{
    return cors_parse(memory, conf_text(conf, CONF_CORS_ORIGINS),
                      conf_int(conf, CONF_CORS_CREDENTIALS) != 0, conf_int(conf, CONF_CORS_MAX_AGE),
                      out);
}

static struct target *targets_copy(struct arena *memory, const struct gateway_target *targets,
                                   int count)
{
    struct target *copies = arena_array(memory, struct target, (size_t)count);
    for (int i = 0; i < count; i++) {
        copies[i].to = targets[i];
        copies[i].to.name = str_z(memory, str_of_z(targets[i].name));
        copies[i].router = router_of_calls(memory, targets[i].calls, targets[i].calls_count);
    }
    return copies;
}

err gateway_open(struct arena *arena, const struct house *house, struct loop *loop,
                 const struct gateway_target *targets, int targets_count, struct gateway **out)
{
    ASSERT(arena && house && house->conf && house->auth && out);
    ASSERT(targets && targets_count > 0);

    struct arena *memory = arena_open(GATEWAY_BYTES_MAX);
    struct gateway *self = arena_new(memory, struct gateway);
    self->memory = memory;
    self->house = house;
    self->loop = loop;
    self->targets = targets_copy(memory, targets, targets_count);
    self->targets_count = targets_count;
    self->ways = ways_open(house, loop);
    self->access_log = arena_new(memory, struct log_lines);
    flights_init(&self->flights, conf_int(house->conf, CONF_TRACE_SLOW) * TIME_MS);

    str trusted = str_copy(memory, conf_text(house->conf, CONF_TRUSTED_PROXIES));
    err error = proxies_parse(memory, trusted, &self->proxies);
    if (!error)
        error = cors_of_settings(memory, house->conf, &self->cors);
    if (error)
        error = err_copy(arena, error);
    else
        error = gateway_reload(self, arena);
    if (!error)
        error = limits_open(self, arena);
    if (error) {
        ways_close(self->ways);
        arena_close(self->routes_memory);
        arena_close(memory);
        return error;
    }
    self->pages = pages_of(memory);
    metric_ask(METRIC_CONNECTIONS, NULL, &ask_connections, self);
    *out = self;
    return OK;
}

static bool is_target_ready(void *subject)
{
    const struct target *target = subject;
    return target->to.service ? service_ready(target->to.service)
                              : upstream_ready(target->to.upstream);
}

/* The name of the contract, as each of its calls begins: "orders.v1.Orders". */
static const char *contract_of(struct arena *arena, const struct gateway_target *target)
{
    str rest = str_of_z(target->calls[0]->name);
    return str_z(arena, str_cut(&rest, '/'));
}

static void open_grpc(struct gateway *self)
{
    struct grpc_served *served =
        arena_array(self->memory, struct grpc_served, (size_t)self->targets_count);

    for (int i = 0; i < self->targets_count; i++)
        served[i] = (struct grpc_served){ contract_of(self->memory, &self->targets[i].to),
                                          is_target_ready, &self->targets[i] };
    self->grpc = grpc_door_open(self->loop, served, self->targets_count,
                                conf_int(self->house->conf, CONF_GRPC_REFLECTION) != 0);
}

static bool is_proxy(void *subject, str peer)
{
    return proxies_have_text(&((const struct gateway *)subject)->proxies, peer);
}

err gateway_listen(struct gateway *self, struct arena *arena)
{
    ASSERT(self && arena);
    ASSERT(self->loop && !self->server);

    const struct conf *conf = self->house->conf;
    struct http_config config = {
        .address = conf_text(conf, CONF_LISTEN_ADDR),
        .setting = "LISTEN_ADDR",
        .head_bytes_max = (uint32_t)conf_int(conf, CONF_HEAD_BYTES_MAX),
        .target_bytes_max = (uint32_t)conf_int(conf, CONF_TARGET_BYTES_MAX),
        .body_bytes_max = GATEWAY_BODY_BYTES_MAX,
        .head_timeout_ms = (uint32_t)conf_int(conf, CONF_HEAD_TIMEOUT),
        .body_timeout_ms = (uint32_t)conf_int(conf, CONF_BODY_TIMEOUT),
        .idle_timeout_ms = (uint32_t)conf_int(conf, CONF_IDLE_TIMEOUT),
        .write_timeout_ms = (uint32_t)conf_int(conf, CONF_WRITE_TIMEOUT),
        .connections_max = (uint32_t)conf_int(conf, CONF_CONNECTIONS_MAX),
        .connections_per_address_max = (uint32_t)conf_int(conf, CONF_CONNECTIONS_PER_ADDRESS_MAX),
        .arena_bytes_max = GATEWAY_REQUEST_BYTES_MAX,
    };
    if (config.target_bytes_max >= config.head_bytes_max)
        return fail(arena, SETTING_INVALID, "TARGET_BYTES_MAX must be less than HEAD_BYTES_MAX");

    struct http_handler handler = { .self = self,
                                    .body_bytes_max = &on_body_bytes_max,
                                    .is_proxy = &is_proxy,
                                    .handle = &on_request,
                                    .served = &on_served };
    open_grpc(self);
    return http_open(arena, self->loop, &config, &handler, &self->server);
}

struct http_server *gateway_server(struct gateway *self)
{
    ASSERT(self);
    return self->server;
}

static void on_closed(void *subject)
{
    struct gateway *self = subject;
    self->server = NULL; /* it may be gone from here on */
    if (self->stopped)
        self->stopped(self->stopped_subject);
}

void gateway_drain(struct gateway *self)
{
    ASSERT(self && self->server && self->grpc);
    grpc_door_drain(self->grpc);
    http_drain(self->server);
}

void gateway_stop(struct gateway *self, uint32_t grace_ms, void (*closed)(void *subject),
                  void *subject)
{
    ASSERT(self);

    self->stopped = closed;
    self->stopped_subject = subject;
    if (self->grpc)
        grpc_door_stop(self->grpc);
    if (self->server)
        http_close(self->server, grace_ms, &on_closed, self);
    else
        on_closed(self);
}

struct flights *gateway_flights(struct gateway *self)
{
    ASSERT(self);
    return &self->flights;
}

const struct upstream *gateway_way(const struct gateway *self, int nth)
{
    ASSERT(self);
    return ways_at(self->ways, nth);
}

void gateway_close(struct gateway *self)
{
    if (!self)
        return;

    ASSERT(!self->server && !self->log_flush_posted);
    grpc_door_close(self->grpc);
    quotas_close(self->quotas);
    ways_close(self->ways);
    metric_ask(METRIC_CONNECTIONS, NULL, NULL, NULL);
    arena_close(self->routes_memory);
    arena_close(self->memory);
}
