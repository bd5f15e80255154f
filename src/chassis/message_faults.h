/* What the codec and the validator of message.h refuse: where in a message, and in which words. */
#pragma once
#include "chassis/message.h"

enum { FAULTS_MAX = 20 };

/* A step on the way into a message: a member by its name, or an element by its index. The root has
 * no place (NULL). */
struct message_place {
    const struct message_place *up;
    str name; /* STR_NONE for an element */
    size_t index;
};

/* Refused fields, as far as an answer lists them. */
struct faults {
    struct arena *arena; /* starts as { .arena = … } */
    struct err_field fields[FAULTS_MAX];
    size_t count; /* of all, listed or not */
    bool invalid; /* one at least is more than an unknown member */
};

/* Refuses the field at a place; the words follow its name: "must be …". */
void faults_add(struct faults *faults, const struct message_place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses a member that the message does not have. */
void faults_add_unknown(struct faults *faults, const struct message_place *place);

/* Refuses an enum with the words that it may have. */
void faults_add_words(struct faults *faults, const struct message_place *place,
                      const struct enum_spec *words);

/* Refuses an integer outside its bounds, or its type's. */
void faults_add_range(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, ProtobufCType type);

/* OK, FIELD_UNKNOWN or FIELD_INVALID with all that was refused. */
err faults_end(struct faults *faults);
