#include "chassis/upstream_fields.h"

/* ---- Requests ---- */

static bool is_one_of(str name, const str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (name.len == names[i].len && name.ptr[0] == names[i].ptr[0] && str_equal(name, names[i]))
            return true;
    return false;
}

/* For one connection only; or written by ourselves. */
static bool is_dropped(str name)
{
    static const str dropped[] = {
        STR("connection"),
        STR("keep-alive"),
        STR("proxy-connection"),
        STR("transfer-encoding"),
        STR("upgrade"),
        STR("te"),
        STR("trailer"),
        STR("http2-settings"),
        STR("proxy-authorization"),
        STR("expect"),
        STR("host"),
        STR("traceparent"),
        STR("x-request-id"),
        STR("grpc-timeout"),
        STR("content-length"),
    };

    return is_one_of(name, dropped, sizeof(dropped) / sizeof(dropped[0]));
}

/* The Connection header names others that are for this connection. */
static bool is_nominated(const struct request *request, str name)
{
    for (int i = 0; i < request->headers_count; i++) {
        if (!str_equal(request->headers[i].name, STR("connection")))
            continue;
        for (str rest = request->headers[i].value, part;
             rest.ptr && (part = str_trim(str_cut(&rest, ',')), true);)
            if (str_equal_fold(part, name))
                return true;
    }
    return false;
}

static bool has_connection(const struct request *request)
{
    return request_header(request, STR("connection")).ptr != NULL;
}

/* At most eight digits, in the finest unit that holds it. */
static str timeout_text(struct arena *arena, int64_t left_us)
{
    enum { DIGITS8 = 99999999 };

    if (left_us < 1)
        left_us = 1;
    struct text out = text_init(arena, 16);
    text_add_int(&out, left_us <= DIGITS8 ? left_us : left_us / TIME_MS);
    text_add_byte(&out, left_us <= DIGITS8 ? 'u' : 'm');
    return text_str(&out);
}

/* How long the body is: what is there, or what was told of a stream. None where there is none. */
static str length_text(struct arena *arena, const struct request *request)
{
    str told = request_header(request, STR("content-length"));

    if (request->stream)
        return told;
    if (request->body.len == 0 && !told.ptr)
        return STR_NONE;
    return str_format(arena, "%zu", request->body.len);
}

struct list {
    struct header *fields;
    int count;
};

static void add(struct list *list, str name, str value)
{
    ASSERT(list->count < HTTP2_CLIENT_FIELDS_MAX);
    list->fields[list->count++] = (struct header){ name, value };
}

static str target_of(struct arena *arena, const struct request *request)
{
    if (!request->query.ptr)
        return request->path;
    return str_format(arena, "%" STR_F "?%" STR_F, STR_A(request->path), STR_A(request->query));
}

static void add_own(struct list *list, struct arena *arena, const struct request *request,
                    int64_t left_us)
{
    str length = length_text(arena, request);

    if (length.ptr && !request->grpc)
        add(list, STR("content-length"), length);
    if (request->trace_id[0])
        add(list, STR("traceparent"), request_traceparent_asked(arena, request));
    if (request->request_id[0])
        add(list, STR("x-request-id"), str_of_z(request->request_id));
    if (request->grpc) {
        add(list, STR("te"), STR("trailers"));
        add(list, STR("grpc-timeout"), timeout_text(arena, left_us));
    }
}

int upstream_fields(struct arena *arena, const struct request *request, bool tls, str authority,
                    int64_t left_us, const struct header *added, int added_count,
                    struct header fields[HTTP2_CLIENT_FIELDS_MAX])
{
    ASSERT(arena && request && fields && added_count <= UPSTREAM_ADDED_MAX);
    struct list list = { .fields = fields };
    bool nominates = has_connection(request);

    add(&list, STR(":method"), request->method_text);
    add(&list, STR(":scheme"), tls ? STR("https") : STR("http"));
    add(&list, STR(":authority"), authority);
    add(&list, STR(":path"), target_of(arena, request));
    for (int i = 0; i < request->headers_count; i++) {
        const struct header *header = &request->headers[i];
        if (!is_dropped(header->name) && !(nominates && is_nominated(request, header->name)))
            add(&list, header->name, header->value);
    }
    add_own(&list, arena, request, left_us);
    for (int i = 0; i < added_count; i++)
        add(&list, added[i].name, added[i].value);
    return list.count;
}

/* ---- Answers ---- */

static bool is_ours(str name)
{
    static const str ours[] = {
        STR("connection"),
        STR("keep-alive"),
        STR("proxy-connection"),
        STR("transfer-encoding"),
        STR("upgrade"),
        STR("trailer"),
        STR("date"),
        STR("proxy-authenticate"),
        STR("te"),
        STR("traceparent"),
        STR("x-request-id"),
    };

    return is_one_of(name, ours, sizeof(ours) / sizeof(ours[0]));
}

/* What is broken in it stays as it is. */
str upstream_grpc_message(struct arena *arena, str value)
{
    ASSERT(arena);
    str words;

    if (str_find_byte(value, '%') >= 0 && percent_decode(arena, value, false, &words))
        return words;
    return str_copy(arena, value);
}

static bool grpc_field(struct arena *arena, struct response *response, str name, str value)
{
    int64_t status;

    if (str_equal(name, STR("grpc-status"))) {
        response->grpc_status = str_to_int64(value, 0, 16, &status) ? (int)status : 2;
        response->grpc_told = true;
    } else if (str_equal(name, STR("grpc-message"))) {
        response->grpc_message = upstream_grpc_message(arena, value);
    } else if (str_equal(name, STR("grpc-status-details-bin"))) {
        response->grpc_details = str_copy(arena, value);
    } else {
        return false;
    }
    return true;
}

bool upstream_answer_field(struct arena *arena, struct request *request, str name, str value,
                           bool trailer)
{
    ASSERT(arena && request);
    struct response *response = &request->response;
    int64_t number;

    if (request->grpc && grpc_field(arena, response, name, value))
        return true;
    if (trailer || is_ours(name))
        return true;
    if (str_equal(name, STR(":status"))) {
        if (!str_to_int64(value, 200, 599, &number))
            return false;
        response->status = (int)number;
    } else if (str_equal(name, STR("content-type"))) {
        response->content_type = str_copy(arena, value);
    } else if (str_equal(name, STR("content-length"))) {
        if (!str_to_int64(value, 0, INT64_MAX, &number))
            return false;
        response->head_length = number;
    } else {
        if (response->headers_count == RESPONSE_HEADERS_MAX)
            return false;
        response_add(response, str_copy(arena, name), str_copy(arena, value));
    }
    return true;
}
