#include "chassis/http2_fields.h"

#include "chassis/grpc.h"
#include "chassis/http_write.h"

struct list {
    struct arena *arena;
    struct header *fields;
    int count;
};

static void add(struct list *list, str name, str value)
{
    ASSERT(list->count < HTTP2_FIELDS_MAX);
    list->fields[list->count++] = (struct header){ name, value };
}

/* A value may repeat what a client said: no control character goes out. */
static str clean(struct arena *arena, str value)
{
    if (!str_has_control(value))
        return value;
    char *copy = arena_copy(arena, value.ptr, value.len);
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)copy[i] < ' ' || copy[i] == 0x7f)
            copy[i] = ' ';
    return str_of(copy, value.len);
}

static void add_given(struct list *list, const struct header *header)
{
    if (str_equal_fold(header->name, STR("connection")))
        return;
    add(list, str_lower(list->arena, header->name), clean(list->arena, header->value));
}

/* A call of gRPC that brought both knows them: they are the longest fields of its answer. */
static void add_ids(struct list *list, const struct request *request)
{
    if (request->grpc && request->ids_known)
        return;
    if (request->request_id[0])
        add(list, STR("x-request-id"), str_of_z(request->request_id));
    if (request->trace_id[0])
        add(list, STR("traceparent"), request_traceparent(list->arena, request));
}

static str number_text(struct arena *arena, int64_t number)
{
    struct text out = text_init(arena, 24);

    text_add_int(&out, number);
    return text_str(&out);
}

int http2_fields(const struct request *request, const char *date,
                 struct header fields[HTTP2_FIELDS_MAX])
{
    ASSERT(request && date && fields);
    const struct response *response = &request->response;
    ASSERT(response->status >= 200 && response->status <= 599);

    struct list list = { .arena = request->arena, .fields = fields };
    add(&list, STR(":status"),
        request->grpc ? STR("200") : number_text(list.arena, response->status));
    add(&list, STR("date"), str_copy(list.arena, str_of_z(date)));
    if (http_status_has_body(response->status)) {
        if (response->content_type.len > 0)
            add(&list, STR("content-type"), clean(list.arena, response->content_type));
        if (!response->stream && !request->grpc)
            add(&list, STR("content-length"),
                number_text(list.arena, http_content_length(response)));
    }
    for (int i = 0; i < response->headers_count; i++)
        add_given(&list, &response->headers[i]);
    for (int i = 0; i < request->extra_count; i++)
        add_given(&list, &request->extra[i]);
    add_ids(&list, request);
    if (request->grpc && response->body.len == 0 &&
        !response->stream) /* then its trailers stand here */
        list.count += grpc_trailers(request, fields + list.count);
    return list.count;
}
