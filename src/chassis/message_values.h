/* Values inside messages, by their types; for the codec and the validator of message.h. */
#pragma once
#include "chassis/message.h"

/* The bounds of a field: its rule's, or its type's. */
void message_bounds(const struct field_spec *rule, ProtobufCType type, int64_t *min, int64_t *max);

/* Bytes of one value of a type inside a message or an array. */
size_t message_value_bytes(ProtobufCType type);

/* How many elements a repeated field has. */
size_t *message_count(const void *message, const ProtobufCFieldDescriptor *field);

/* Stores a whole number in a scalar of its type. */
void message_store_int(void *value, ProtobufCType type, int64_t number);

/* The number of an enum's word, or -1. */
int message_word_number(const struct enum_spec *words, str word);

/* The word of an enum's number; NULL for 0 and for numbers that the contract does not know. */
const char *message_word(const struct enum_spec *words, int number);

/* The time in a Timestamp; false where it lies outside 1970..9999. And back. */
bool timestamp_read(const void *timestamp, const struct message_spec *spec, time_us *out);
void timestamp_write(void *timestamp, const struct message_spec *spec, time_us at);

/* Tells whether the path of a call sets the field. */
bool message_path_binds(const struct call_spec *call, int field);
