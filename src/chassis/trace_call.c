#include "chassis/trace_call.h"

#include "os/clock.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 160 };

static int grpc_status_of(err error)
{
    static const int status[ERR_KINDS_COUNT] = {
#define KIND(name, http, grpc) [ERR_##name] = grpc,
#include "errors_kinds.tbl"
#undef KIND
    };
    return status[err_kind_of(error->code)];
}

str trace_begin_call(struct trace_place *place, const struct request *request)
{
    ASSERT(place && request);

    *place = (struct trace_place){ .here = { .sampled = false } };
    str state = request_header(request, STR("tracestate"));
    if (!trace_is_on())
        return trace_carry(request->arena, request_traceparent(request->arena, request), state);
    struct trace_context of_request =
        trace_context_of(request->trace_id, request->span_id, request->sampled);
    place->here = of_request;
    if (!request->teller) {
        struct trace_context parent =
            trace_context_of(request->trace_id, request->parent_id, request->sampled);
        memcpy(place->parent_id, parent.span_id, SPAN_ID_BYTES);
        return trace_carry(request->arena, request_traceparent(request->arena, request), state);
    }
    memcpy(place->parent_id, of_request.span_id, SPAN_ID_BYTES);
    memset(place->here.span_id, 0, SPAN_ID_BYTES); /* got when it is kept */
    if (!request->sampled)
        return trace_carry(request->arena, request_traceparent(request->arena, request), state);
    span_new_id(&place->here);
    return trace_carry(request->arena, trace_context_text(request->arena, &place->here), state);
}

str trace_begin_part(struct trace_place *place, struct arena *arena, str traceparent)
{
    ASSERT(place && arena);

    *place = (struct trace_place){ .here = { .sampled = false } };
    if (!trace_is_on() || !trace_context_read(trace_carried_parent(traceparent), &place->here))
        return traceparent;
    place->since_us = clock_mono_us();
    memcpy(place->parent_id, place->here.span_id, SPAN_ID_BYTES);
    memset(place->here.span_id, 0, SPAN_ID_BYTES); /* got when it is kept */
    if (!place->here.sampled)
        return traceparent;
    span_new_id(&place->here);
    return trace_carry(arena, trace_context_text(arena, &place->here),
                       trace_carried_state(traceparent));
}

void trace_tell_error(struct span *span, err error)
{
    if (!error)
        return;
    if (err_http_status(error) >= 500)
        span_fail(span, err_word(error->code));
    else
        span_text(span, "error.type", err_word(error->code));
}

/* "orders.v1.Orders/CreateOrder" */
static void tell_grpc(struct span *span, const struct call_spec *spec, err error)
{
    str method = str_of_z(spec->name), service = str_cut(&method, '/');
    span_text(span, "rpc.system", STR("grpc"));
    span_text(span, "rpc.service", service);
    span_text(span, "rpc.method", method);
    span_number(span, "rpc.grpc.status_code", error ? grpc_status_of(error) : 0);
}

static void tell_http(struct span *span, const struct request *request, const char *path,
                      int status)
{
    span_text(span, "http.request.method", request->method_text);
    if (path)
        span_text(span, "http.route", str_of_z(path));
    span_number(span, "http.response.status_code", status);
}

static void tell_user(struct span *span, const struct request *request)
{
    span_text(span, "duka.request.id", str_of_z(request->request_id));
    if (request->user_hash[0])
        span_text(span, "enduser.pseudo.id", str_of_z(request->user_hash));
}

static str http_name(char room[NAME_BYTES], const struct request *request, const char *path)
{
    int len = snprintf(room, NAME_BYTES, "%" STR_F " %s", STR_A(request->method_text), path);
    return str_of(room, len < NAME_BYTES ? (size_t)len : (size_t)NAME_BYTES - 1);
}

void trace_tell_call(const struct trace_place *place, const char *service,
                     const struct call_spec *spec, const struct request *request, err error)
{
    ASSERT(place && service && spec && request);

    bool failed = error && err_http_status(error) >= 500;
    if (!span_is_kept(&place->here, request->received_us, failed))
        return;
    char room[NAME_BYTES];
    struct span span;
    bool is_http = !request->grpc && spec->path;
    str name = is_http ? http_name(room, request, spec->path) : str_of_z(spec->name);
    span_begin_late(&span, &place->here, place->parent_id, SPAN_SERVER, service, name,
                    request->received_us, failed);
    span_text(&span, "duka.call", str_of_z(spec->short_name));
    if (is_http)
        tell_http(&span, request, spec->path,
                  error ? err_http_status(error) : request->response.status);
    else
        tell_grpc(&span, spec, error);
    if (!request->teller)
        tell_user(&span, request);
    trace_tell_error(&span, error);
    span_end(&span);
}

void trace_tell_request(const char *service, const struct request *request)
{
    ASSERT(service && request);

    if (!trace_is_on())
        return;
    int status = request->response.status;
    struct trace_context here =
        trace_context_of(request->trace_id, request->span_id, request->sampled);
    if (!span_is_kept(&here, request->received_us, status >= 500))
        return;
    char room[NAME_BYTES];
    struct span span;
    struct trace_context parent =
        trace_context_of(request->trace_id, request->parent_id, request->sampled);
    const char *path = request->route_path ? request->route_path
                       : request->route    ? request->route
                                           : "other";
    str name = request->grpc ? request->path : http_name(room, request, path);
    span_begin_late(&span, &here, parent.span_id, SPAN_SERVER, service, name, request->received_us,
                    status >= 500);
    tell_http(&span, request, request->route_path, status);
    if (request->grpc) {
        span_text(&span, "rpc.system", STR("grpc"));
        span_number(&span, "rpc.grpc.status_code", request->response.grpc_status);
    }
    tell_user(&span, request);
    if (status >= 500)
        span_fail(&span, request->error_code ? str_of_z(request->error_code) : STR("500"));
    else if (request->error_code)
        span_text(&span, "error.type", str_of_z(request->error_code));
    span_end(&span);
}

void trace_begin_attempt(struct request *request)
{
    ASSERT(request);

    request->asked_span_id[0] = '\0';
    if (!trace_is_on() || !request->sampled || !request->teller)
        return;
    struct trace_context attempt =
        trace_context_of(request->trace_id, request->span_id, request->sampled);
    span_new_id(&attempt);
    trace_hex(attempt.span_id, SPAN_ID_BYTES, request->asked_span_id);
}

void trace_tell_attempt(struct request *request, const struct trace_attempt *attempt)
{
    ASSERT(request && attempt);
    if (!request->asked_span_id[0])
        return;

    char room[NAME_BYTES];
    struct span span;
    struct trace_context here = trace_context_of(request->trace_id, request->asked_span_id, true);
    struct trace_context parent = trace_context_of(request->trace_id, request->span_id, true);
    str name = request->grpc ? str_slice(request->path, 1, request->path.len)
                             : http_name(room, request, attempt->to);
    request->asked_span_id[0] = '\0';
    span_begin_late(&span, &here, parent.span_id, SPAN_CLIENT, request->teller, name,
                    attempt->since_us, false);
    if (request->grpc)
        span_text(&span, "rpc.system", STR("grpc"));
    else
        tell_http(&span, request, request->route_path, request->response.status);
    span_text(&span, "peer.service", str_of_z(attempt->to));
    if (attempt->number > 1)
        span_number(&span, "http.request.resend_count", attempt->number - 1);
    if (attempt->why)
        span_text(&span, "duka.reason", str_of_z(attempt->why));
    if (attempt->failed)
        span_fail(&span, attempt->word);
    span_end(&span);
}

void trace_tell_wait(const char *name, int64_t since_us)
{
    ASSERT(name);
    if (!trace_here())
        return;
    struct span span;
    span_begin_here_since(&span, SPAN_INTERNAL, str_of_z(name), since_us);
    span_end(&span);
}
