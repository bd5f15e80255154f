/* Protobuf on the wire, for the few messages that no contract of ours holds (the status of gRPC,
 * its health and reflection): fields are read one by one and written in order. Pure. */
#pragma once
#include "base/str.h"

enum protobuf_type { PROTOBUF_NUMBER = 0, PROTOBUF_BYTES = 2 };

struct protobuf_field {
    uint32_t number;
    enum protobuf_type type;
    uint64_t value; /* of PROTOBUF_NUMBER */
    str bytes;      /* of PROTOBUF_BYTES; borrowed */
};

enum protobuf_read { PROTOBUF_FIELD, PROTOBUF_END, PROTOBUF_BROKEN };

/* Takes the next field off a message. Fields of fixed width are passed over; groups and what is cut
 * short are PROTOBUF_BROKEN. */
enum protobuf_read protobuf_next(str *rest, struct protobuf_field *out);

/* The bytes of a field of a message, the last where it stands twice; empty where it is not there.
 * False where the message is broken. */
bool protobuf_find(str message, uint32_t number, str *out);

/* Adds a field to a message. */
void protobuf_add_number(struct text *out, uint32_t field, uint64_t number);
void protobuf_add_bytes(struct text *out, uint32_t field, str bytes);

/* The same of fixed width. */
void protobuf_add_fixed64(struct text *out, uint32_t field, uint64_t number);
void protobuf_add_fixed32(struct text *out, uint32_t field, uint32_t number);

/* A message inside of another, written in its place: gives a mark for protobuf_end, which says how
 * long it has become. (Its length takes four bytes, be it ever so short.) */
size_t protobuf_begin(struct text *out, uint32_t field);
void protobuf_end(struct text *out, size_t mark);
