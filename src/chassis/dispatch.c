/* How a request begins inside a service: routed, counted, authenticated, bound, given to a worker.
 * How it goes on is task.c's. */
#include "base/crypto.h"
#include "chassis/binding.h"
#include "chassis/grpc.h"
#include "chassis/once.h"
#include "chassis/task.h"
#include "os/clock.h"

bool dispatch_enter(struct service *service)
{
    __atomic_fetch_add(&service->calls_under_way, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&service->stopping, __ATOMIC_SEQ_CST))
        return true;
    dispatch_leave(service);
    return false;
}

void dispatch_leave(struct service *service)
{
    __atomic_fetch_sub(&service->calls_under_way, 1, __ATOMIC_SEQ_CST);
}

/* The client's own deadline counts, where it is sooner; and what a list was asked for is its
 * message. */
static err admit_grpc(struct task *task)
{
    struct call *call = &task->call;
    struct request *request = task->request;
    int64_t timeout_us;

    TRY(grpc_timeout(call->arena, request, &timeout_us));
    if (timeout_us >= 0 && request->received_us + timeout_us < call->deadline_us)
        call->deadline_us = request->received_us + timeout_us;
    if (timeout_us >= 0 && call->wait_ms > timeout_us / TIME_MS)
        call->wait_ms = (int32_t)(timeout_us / TIME_MS);
    request->query = grpc_asked(call->arena, call->spec->request, task->in);
    return OK;
}

/* Who can open the operator's socket may do what staff may. */
static void take_operator(struct identity *who, const struct request *request)
{
    who->operator_ = request->operator_socket;
    if (who->operator_)
        who->roles |= ROLE_BIT_STAFF | ROLE_BIT_ADMIN;
}

/* The operator is nobody's customer, but may look at what customers see. */
static err allow(struct auth *auth, struct arena *arena, const struct call_spec *spec,
                 const struct identity *who)
{
    if (who->operator_ && spec->access == ACCESS_CUSTOMER && spec->method == HTTP_GET)
        return OK;
    return auth_allow(auth, arena, spec->access, spec, who);
}

static err admit(struct task *task)
{
    struct call *call = &task->call;
    struct request *request = task->request;
    struct auth *auth = task->service->config.house->auth;
    err stranger = auth_identify(auth, request, str_of_z(service_name(task->service)),
                                 clock_wall_us(), &call->who);
    if (stranger != OK && call->spec->access != ACCESS_ANYONE)
        return stranger; /* a stale token does not keep anyone from browsing or logging in */
    take_operator(&call->who, request);
    auth_take_scope(&call->who, call->spec);
    TRY(allow(auth, call->arena, call->spec, &call->who));
    TRY(binding_read_headers(call, request));
    TRY(binding_read(call, &task->match, request, &task->in));
    return request->grpc ? admit_grpc(task) : OK;
}

static void phase_begin(struct task *task)
{
    trace_tell_wait("wait for a worker", task->request->received_us);
    task->call.spool = spool_of(task->request);
    err error = task->request->failure;
    if (error == OK)
        error = admit(task);
    if (error != OK) {
        task_fail(task, error);
        return;
    }
    if (task->call.idempotency_key.ptr)
        task->once = once_claim_of(&task->call, task->in);
    task_run_handler(task);
}

static void refuse_busy(struct task *task, str why)
{
    struct err_value *error = arena_new(task->call.arena, struct err_value);
    *error = (struct err_value){
        .code = CALL_OVERLOADED, .detail = why, .place = ERR_PLACE, .retry_after_s = 1
    };
    task_fail(task, error);
}

static void submit(struct task *task)
{
    const struct house *house = task->service->config.house;
    const struct call_spec *spec = task->call.spec;
    bool taken = true;
    if (spec->settles && !service_lets_in(task->service)) {
        refuse_busy(task, STR("too many wait to settle"));
        return;
    }
    switch (spec->lane) {
    case LANE_LOOP: task_run(&task->work); break;
    case LANE_PASSWORD:
        taken = workers_submit(house->password_lanes, &task->work, WORK_NORMAL);
        break;
    case LANE_WORKER:
        taken =
            workers_submit(house->workers, &task->work, spec->urgent ? WORK_URGENT : WORK_NORMAL);
        break;
    }
    if (!taken)
        refuse_busy(task, STR("the queue is full"));
}

void dispatch_stop(struct service *service)
{
    enum { LOOK_US = 2000 };
    __atomic_store_n(&service->stopping, true, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&service->calls_under_way, __ATOMIC_SEQ_CST) > 0) {
        dispatch_due(service, INT64_MAX);
        sleep_until(clock_mono_us() + LOOK_US);
    }
}

struct route_match dispatch_match(struct service *service, const struct request *request)
{
    return router_match(&service->router, request);
}

/* A public read whose answer is ready costs no worker and no database. */
static bool answer_from_cache(struct service *service, struct request *request,
                              const struct call_spec *spec)
{
    if (!service_fill_from_cache(service, request, spec, clock_mono_us()))
        return false;
    series_add(service->calls_ok[spec->index], 1);
    if (trace_is_on() && !request->teller) { /* else the gateway of this program tells of it */
        struct trace_place place;
        (void)trace_begin_call(&place, request);
        trace_tell_call(&place, service->spec->name, spec, request, OK);
    }
    request_respond(request);
    return true;
}

err service_stream(struct service *service, struct request *request, const struct call_spec *spec)
{
    ASSERT(service && request && spec);
    struct identity who = { 0 };
    if (!spec->stream || request->grpc)
        return OK;
    struct auth *auth = service->config.house->auth;
    err stranger =
        auth_identify(auth, request, str_of_z(service_name(service)), clock_wall_us(), &who);
    if (stranger != OK && spec->access != ACCESS_ANYONE)
        return stranger;
    take_operator(&who, request);
    TRY(auth_allow(auth, request->arena, spec->access, spec, &who));
    TRY(binding_check_type(request->arena, request, str_of_z(spec->body_type)));
    spool_begin(service, request);
    return OK;
}

static void begin_whole(struct request *request) { submit(request->call); }

/* A transport without streams gave the body whole. */
static void begin(struct task *task)
{
    struct request *request = task->request;
    if (!task->call.spec->stream || request->stream || request->body.len == 0 || request->grpc) {
        submit(task);
        return;
    }
    err error = service_stream(task->service, request, task->call.spec);
    if (error != OK)
        task_fail(task, error);
    else
        spool_whole(request, begin_whole);
}

void service_handle(struct service *service, struct request *request)
{
    ASSERT(service && request && request->arena);
    struct route_match match = dispatch_match(service, request);
    if (!match.spec) {
        service_refuse_route(request, match.allow);
        return;
    }
    if (answer_from_cache(service, request, match.spec))
        return;
    if (!dispatch_enter(service)) {
        request->route = match.spec->short_name;
        response_problem(request, fail(request->arena, CALL_DRAINING, "the service stops"));
        request_respond(request);
        return;
    }
    struct task *task = arena_new(request->arena, struct task);
    request->route = match.spec->short_name;
    request->route_path = match.spec->path;
    request->call = task;
    *task = (struct task){
        .work.run = task_run,
        .service = service,
        .request = request,
        .match = match,
        .phase = phase_begin,
        .turn = { .come = task_turn_came },
        .call = { .arena = request->arena,
                  .service = service,
                  .spec = match.spec,
                  .request = request,
                  .turn = &task->turn,
                  .deadline_us = request->received_us + match.spec->deadline_ms * INT64_C(1000),
                  .cursor_life_us =
                      conf_int(service->config.house->conf, CONF_CURSOR_TTL) * TIME_MS },
    };
    task->call.traceparent = trace_begin_call(&task->place, request);
    task->flight = (struct flight){ .call = match.spec->short_name,
                                    .trace_id = request->trace_id,
                                    .state = "queued",
                                    .since_us = request->received_us };
    flights_add(&service->flights, &task->flight);
    request->left_subject = task;
    request->left = task_left;
    begin(task);
}
