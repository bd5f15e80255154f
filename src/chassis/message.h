/* Messages of the contracts: two codecs before one handler, and one validator behind both.
 *
 * Messages live in the arena that they were decoded into. Text fields are ProtobufCBinaryData
 * (bytes with a length). */
#pragma once
#include "base/json.h"
#include "base/money.h"
#include "base/time.h"
#include "base/uuid.h"
#include "chassis/spec.h"

/* A text field as a str, and back (borrowed). */
static inline str text_of(ProtobufCBinaryData field)
{
    return (str){ (const char *)field.data, field.len };
}
static inline ProtobufCBinaryData field_of(str s)
{
    return (ProtobufCBinaryData){ .len = s.len,
                                  .data = (uint8_t *)(uintptr_t)(s.ptr ? s.ptr : "") };
}

struct Google__Protobuf__Timestamp;
struct Duka__Money;

/* A wall time as a Timestamp made in the arena, and back: 0 ("never") is NULL. */
struct Google__Protobuf__Timestamp *field_of_time(struct arena *arena, time_us at);
time_us time_of_field(const struct Google__Protobuf__Timestamp *field);

/* An amount as a Money made in the arena, and back (the validator has checked the currency; no
 * money where it is NULL). */
struct Duka__Money *field_of_money(struct arena *arena, struct money money);
struct money money_of_field(const struct Duka__Money *field);

/* An id as a text field, made in the arena, and back (nil where it is empty; the validator has
 * refused other texts). */
ProtobufCBinaryData field_of_uuid(struct arena *arena, struct uuid id);
struct uuid uuid_of_field(ProtobufCBinaryData field);

/* A message of a spec with all fields at their defaults. */
void *message_new(struct arena *arena, const struct message_spec *spec);

/* Tells whether the FieldMask of a PATCH names the field (`json_name`). */
bool message_names(const void *message, const struct message_spec *spec, const char *json_name);

/* Reads a JSON object into `out` (made by message_new, so that path and query can be bound before
 * or after). Unknown members, wrong types, numbers with fractions or outside their type, unknown
 * enum words are collected: FIELD_INVALID or FIELD_UNKNOWN with a pointer for each (at most 20).
 * The members present are put into the FieldMask where the message has one; null counts as present
 * and leaves the default. Malformed JSON fails as json_read does. */
err message_from_json(struct arena *arena, str bytes, const struct message_spec *spec, void *out);

/* Reads the body of a call into its request: the JSON of the whole, or of the field that the body
 * is; raw bytes are borrowed. An empty body is an empty object. Members that the path binds are
 * unknown here. Fails as message_from_json does. */
err message_from_body(struct arena *arena, const struct call_spec *call, str body, void *request);

/* The field of the request that a parameter of the query sets, or -1 (an unknown parameter). */
int message_query_field(const struct call_spec *call, str name);

/* Sets a scalar, enum, or repeated string field from the text of a path or query variable. Fails
 * with FIELD_INVALID. */
err message_set_text(struct arena *arena, const struct message_spec *spec, void *message, int field,
                     str text);

/* Writes the message as JSON: members in the contract's order, fields of value zero included unless
 * omit_empty, Timestamps as RFC 3339, enums as words, empty lists as []. Left out: absent messages,
 * enums of number 0 (unspecified), bytes, and what is internal. */
void message_to_json(struct text *out, const struct message_spec *spec, const void *message);

/* Protobuf, with the arena as its allocator. Fails with PROTOBUF_MALFORMED. */
err message_unpack(struct arena *arena, str bytes, const struct message_spec *spec, void **out);
str message_pack(struct arena *arena, const void *message);

/* The one validator, for both codecs: required, lengths, UTF-8, U+0000 and control characters,
 * ranges, items, formats. Fails with FIELD_INVALID and a pointer for each (at most 20). Trims
 * nothing and changes nothing. */
err message_validate(struct arena *arena, const struct message_spec *spec, const void *message);

/* The same for the request of a call: pointers begin at what the client sent as the body. */
err message_validate_request(struct arena *arena, const struct call_spec *call,
                             const void *request);

/* Copies fields [0, n) of the same spec shallowly; for answering with what was read. */
void *message_copy(struct arena *arena, const struct message_spec *spec, const void *message);
