#include "chassis/lease.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"
#include "os/random.h"

enum { LEASE_BYTES_MAX = 1024 * 1024 };

void lease_init(struct lease *lease, struct db *db, const char *name)
{
    ASSERT(lease && db && name);
    *lease = (struct lease){
        .db = db, .name = name, .holder = id_new(), .arena = arena_open(LEASE_BYTES_MAX)
    };
}

void lease_done(struct lease *lease)
{
    ASSERT(lease);
    arena_close(lease->arena);
    lease->arena = NULL;
}

struct taking {
    const struct lease *lease;
    bool is_ours;
};

static err take(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        struct taking *taking = writes[i]->subject;
        struct sql_lease_take row = { .name = str_of_z(taking->lease->name),
                                      .holder = taking->lease->holder,
                                      .now = tx->now,
                                      .length_us = LEASE_US };
        int64_t changed;
        TRY(sql_lease_take(tx, &row, &changed));
        taking->is_ours = changed == 1;
        outcomes[i] = OK;
    }
    return OK;
}

static err give_up(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct lease *lease = writes[i]->subject;
        struct sql_lease_drop row = { .name = str_of_z(lease->name), .holder = lease->holder };
        TRY(sql_lease_drop(tx, &row, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

bool lease_hold(struct lease *lease, struct writer *writer)
{
    ASSERT(lease && writer);
    if (!db_is_shared(lease->db))
        return true;
    int64_t now_us = clock_mono_us();
    if (now_us >= lease->ask_at_us) {
        arena_reset(lease->arena);
        struct taking *taking = arena_new(lease->arena, struct taking);
        taking->lease = lease;
        err outcome;
        writer_submit_and_wait(writer, write_new(lease->arena, take, taking), &outcome);
        if (outcome == OK)
            lease->until_us = taking->is_ours ? now_us + LEASE_US - LEASE_MARGIN_US : 0;
        lease->ask_at_us =
            clock_mono_us() + (lease->until_us > 0 ? LEASE_RENEW_US : LEASE_RETRY_US);
    }
    return clock_mono_us() < lease->until_us;
}

int64_t lease_due_us(const struct lease *lease)
{
    ASSERT(lease);
    return db_is_shared(lease->db) ? lease->ask_at_us : INT64_MAX;
}

void lease_give_up(struct lease *lease, struct writer *writer)
{
    ASSERT(lease && writer);
    if (lease->until_us == 0)
        return;
    err outcome;
    arena_reset(lease->arena);
    writer_submit_and_wait(writer, write_new(lease->arena, give_up, lease), &outcome);
    lease->until_us = 0; /* where it could not be written it ends by itself */
}
