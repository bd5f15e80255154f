/* What a contract says, as tables that tools/contracts generates: calls, fields and their rules,
 * events, reactions.
 *
 * Everything here is constant data; the dispatcher, the codecs and the bus read it. */
#pragma once
#include "base/err.h"
#include <protobuf-c/protobuf-c.h>

struct call;

enum access {
    ACCESS_ANYONE,
    ACCESS_CUSTOMER,
    ACCESS_STAFF,
    ACCESS_ADMIN,
    ACCESS_NEIGHBOUR,
    ACCESS_OPERATOR
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER, /* known, so that it hears 405 and not 501; no call takes it: TRACE, QUERY, … */
    HTTP_METHODS_COUNT
};

enum call_lane { LANE_WORKER, LANE_PASSWORD, LANE_LOOP };

enum field_format {
    FORMAT_NONE,
    FORMAT_UUID,
    FORMAT_EMAIL,
    FORMAT_CURRENCY,
    FORMAT_URL,
    FORMAT_SKU,
    FORMAT_HANDLE,
    FORMAT_COUNTRY,
    FORMAT_TOKEN
};

/* The rule of one field; rules[i] of a message belongs to descriptor->fields[i]. */
struct field_spec {
    const char *json_name; /* snake_case, as in the contract */
    str json_key;          /* the same as it stands in JSON after another member: ,"name": */
    uint32_t length_min, length_max; /* code points */
    int64_t min, max;                /* where bounded */
    uint32_t items_min, items_max;
    enum field_format format;
    bool bounded, required, lines, secret, omit_empty, internal;
    bool text;                          /* a string kept as bytes */
    const struct message_spec *message; /* of a message field; NULL else */
    const struct enum_spec *words;      /* of an enum field; NULL else */
};

/* Words of an enum: lower case, without the common prefix; words[i] belongs to
 * descriptor->values[i]; number 0 has none. */
struct enum_spec {
    const ProtobufCEnumDescriptor *descriptor;
    const char *const *words;
};

enum message_kind { MESSAGE_PLAIN, MESSAGE_TIMESTAMP, MESSAGE_FIELD_MASK };

struct message_spec {
    const ProtobufCMessageDescriptor *descriptor;
    enum message_kind kind;
    const struct field_spec *fields; /* descriptor->n_fields of them */
    int mask_field;                  /* index of the FieldMask that the JSON codec fills, or -1 */
};

/* A piece of a path template: a literal, or a field of the request that it is bound to. */
struct path_piece {
    const char *literal; /* NULL for a variable */
    int field;           /* index into request->fields */
};

enum body_kind { BODY_NONE, BODY_JSON, BODY_RAW };

typedef err call_handler(void *self, struct call *call, const void *in);

struct call_spec {
    const char *name;       /* "orders.v1.Orders/CreateOrder" */
    const char *short_name; /* "orders.create_order": logs, metrics, spans */
    int index;              /* of the call in its service_spec */
    enum http_method method;
    bool routed;      /* has an HTTP path */
    const char *path; /* "/orders/{id}/cancel" */
    const struct path_piece *pieces;
    int pieces_count;
    enum body_kind body;
    int body_field; /* index of the field that the body is: bytes (raw) or a message; -1: the whole
                       request */
    const char *body_type;   /* media type of a raw body */
    const char *answer_type; /* media type of an answer made in pieces; NULL: JSON */
    bool stream;             /* the raw body is spooled: see spool.h */
    const struct message_spec *request, *response;
    enum access access;
    unsigned scope; /* the number of the duka.Scope that an API key needs; 0: no key may call */
    const char *scope_word;
    enum call_lane lane;
    bool once, urgent, if_match, settles;
    uint32_t deadline_ms, body_bytes_max;
    int status;
    const char *location; /* template, or NULL */
    call_handler *handle;
};

struct event_spec {
    const char *name;  /* "orders.v1.OrderPlaced": the CloudEvents type */
    const char *topic; /* "orders.v1" */
    const struct message_spec *message;
    int key_field, number_field;
    bool state; /* last number wins */
    bool last;  /* nothing follows it under its key */
};

/* A reaction of this service to an event of another. */
struct reaction_spec {
    const struct event_spec *event;
    const char *short_name; /* "products.on_order_placed" */
    call_handler *handle;
};

struct service_spec {
    const char *name; /* "orders" */
    const struct call_spec *calls;
    int calls_count;
    const struct event_spec *const *events; /* those it announces */
    int events_count;
    const struct reaction_spec *reactions;
    int reactions_count;
};

/* Field access for the chassis: the address of field `index` inside a message. */
static inline void *message_field(const void *message, const struct message_spec *spec, int index)
{
    return (char *)message + spec->descriptor->fields[index].offset;
}
