/* The calls and messages of all contracts, for the fuzzers that read them. */
#pragma once
#include "chassis/router.h"

enum { CALLS_MAX = 128, MESSAGES_MAX = 256 };

struct calls {
    struct arena *memory;
    const struct call_spec *items[CALLS_MAX];
    int count;
    struct router router;
    const struct message_spec *messages[MESSAGES_MAX]; /* each once: requests, answers, events */
    int messages_count;
};

/* All that there are; read once. */
const struct calls *calls_all(void);

/* What is told of an error can be read: problem+json, and gRPC's status with its details. */
void calls_check_error(struct arena *arena, err error);
