/* The reading half of JSON, for message.c. */
#pragma once
#include "chassis/message_faults.h"

/* Reads a JSON object into a message; members that the path of `call` binds (where it is not NULL)
 * are unknown. */
void message_read_object(struct faults *faults, const struct call_spec *call,
                         const struct json *object, const struct message_spec *spec, void *message);
