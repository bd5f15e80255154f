#include "chassis/lease.h"

#include "os/clock.h"
#include "shelf.h"

static void close_lease(void *subject) { lease_done(subject); }

static struct lease *lease_of(struct shelf *shelf)
{
    struct lease *lease = arena_new(shelf->t->arena, struct lease);
    lease_init(lease, shelf->db, "relay");
    arena_defer(shelf->t->arena, close_lease, lease);
    return lease;
}

TEST(the_lease_of_a_database_with_one_process_is_always_ours)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    struct lease *lease = lease_of(shelf);
    CHECK(lease_hold(lease, shelf->writer));
    if (!db_is_shared(shelf->db)) {
        CHECK_INT(lease_due_us(lease), INT64_MAX);
        CHECK_INT(writer_stats_of(shelf->writer).writes, 0); /* and costs no write */
    }
    lease_give_up(lease, shelf->writer);
}

TEST(of_two_replicas_one_has_the_lease_until_it_gives_it_up)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    struct lease *one = lease_of(shelf), *other = lease_of(shelf);
    if (!db_is_shared(shelf->db))
        return; /* each has its own database then */
    CHECK(lease_hold(one, shelf->writer));
    CHECK(!lease_hold(other, shelf->writer));
    CHECK(lease_hold(one, shelf->writer));
    lease_give_up(one, shelf->writer);
    CHECK(!lease_hold(other, shelf->writer)); /* it asks again only when it is due */
    sleep_until(lease_due_us(other));
    CHECK(lease_hold(other, shelf->writer));
}

TEST(a_lease_that_was_not_renewed_goes_to_another)
{
    struct shelf *shelf = shelf_open(t);
    shelf_start(shelf);
    struct lease *gone = lease_of(shelf), *other = lease_of(shelf);
    if (!db_is_shared(shelf->db))
        return;
    CHECK(lease_hold(gone, shelf->writer));
    int64_t began_us = clock_mono_us();
    while (!lease_hold(other, shelf->writer)) {
        CHECK(clock_mono_us() - began_us < LEASE_US + 3 * LEASE_RETRY_US);
        sleep_until(lease_due_us(other));
    }
    CHECK(clock_mono_us() - began_us > LEASE_US - LEASE_MARGIN_US);
    gone->ask_at_us = INT64_MAX;
    CHECK(!lease_hold(gone, shelf->writer)); /* by its own clock, without asking */
}
