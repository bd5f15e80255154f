#include "chassis/hints.h"

#include <stdio.h>

enum { WORD_BYTES = 64, LOOKED_AT_MAX = 1024 };

static const char settled[] = "settled:", changed[] = "changed:", outbox[] = "outbox";

/* ---- telling ---- */

void hint_outbox(struct service *service)
{
    ASSERT(service);
    db_tell(service->db, str_of_z(outbox));
}

static void tell(struct service *service, const char *what, struct uuid subject)
{
    char word[WORD_BYTES], id[UUID_TEXT_LEN];
    uuid_write(subject, id);
    int len = snprintf(word, sizeof word, "%s%.*s", what, UUID_TEXT_LEN, id);
    db_tell(service->db, str_of(word, (size_t)len));
}

void hint_settled(struct service *service, struct uuid subject)
{
    ASSERT(service);
    tell(service, settled, subject);
}

void hint_changed(struct service *service, struct uuid subject)
{
    ASSERT(service);
    tell(service, changed, subject);
}

/* ---- looking and hearing ---- */

void hints_look(struct service *service)
{
    ASSERT(service);
    struct uuid subjects[LOOKED_AT_MAX];
    if (!db_is_shared(service->db))
        return;
    size_t count = waiters_subjects(&service->waiters, subjects, LOOKED_AT_MAX);
    count = once_keep_answered(service->db, subjects, count);
    for (size_t i = 0; i < count; i++)
        dispatch_settled_elsewhere(service, subjects[i]);
}

/* The id behind `what`, where the word is of that kind. */
static bool is_about(str word, const char *what, struct uuid *subject)
{
    return str_starts(word, str_of_z(what)) &&
           uuid_parse(str_slice(word, strlen(what), word.len), subject);
}

void hints_hear(struct service *service, str word)
{
    ASSERT(service);
    struct uuid about;
    series_add(service->hints_heard, 1);
    if (is_about(word, settled, &about)) {
        dispatch_settled_elsewhere(service, about);
    } else if (is_about(word, changed, &about)) {
        cache_drop(service->cache, about);
    } else if (str_equal(word, str_of_z(outbox))) {
        relay_poke(service->relay);
    } else if (str_equal(word, STR(DB_HINTS_LOST))) {
        relay_poke(service->relay);
        hints_look(service);
    }
}

static void heard(void *subject, str word) { hints_hear(subject, word); }

void hints_start(struct service *service)
{
    ASSERT(service);
    db_listen(service->db, heard, service);
}

void hints_stop(struct service *service)
{
    ASSERT(service);
    db_unlisten(service->db);
}
