/* A broker for programs that may be killed one by one: it has on disk what was published, and gives
 * each event to each service that listens until that has taken it; what a killed reader had is
 * given to the next. It is outside all programs, and its own part takes no step of the baton: no
 * lock of it can be held by the dead. */
#pragma once
#include "chassis/bus_driver.h"

struct broker;

struct broker_config {
    struct bus_faults faults;  /* what becomes of an event on its way to a consumer */
    void (*comes)(void *self); /* events have come to a reader, on its thread */
    void *self;
};

/* Makes it, and frees it when no program is left. */
struct broker *broker_make(const struct broker_config *config);
void broker_free(struct broker *broker); /* accepts NULL */

/* The bus of a program that has just been started. */
struct bus *broker_bus(struct broker *broker);

/* Its program was killed: nobody reads there any more. Accepts NULL. */
void broker_bury(struct broker *broker, const struct bus *bus);

/* How many events are on their way. */
int broker_backlog(const struct broker *broker);
