/* Every interleaving of a few orders, and the bugs that such a search must see. SAGA=whole (make
 * saga) has no limit to the states of a search. */
#include "os/clock.h"
#include "tests/lib/test.h"
#include "tests/saga/saga.h"
#include <stdio.h>
#include <string.h>

enum { STATES_A_TEST = 150000, CHILD_SECONDS_MAX = 110 };

static bool is_whole_asked(void)
{
    const char *asked = getenv("SAGA");
    return asked && str_equal(str_of_z(asked), STR("whole"));
}

/* One order of two units, with everything that can happen to it. */
static struct saga_plan one_order(void)
{
    return (struct saga_plan){ .orders_count = 1,
                               .skus_count = 1,
                               .wanted = { { 2 } },
                               .on_hand = { 2 },
                               .capture_at_confirm = true,
                               .declines = true,
                               .pends = true,
                               .lapses = true,
                               .loses = true,
                               .callbacks = true,
                               .cancels = true,
                               .expires = true,
                               .ships = true,
                               .parcels = true,
                               .refunds = true };
}

/* Two orders that want the same last unit, one of them two things at once. */
static struct saga_plan two_orders(void)
{
    return (struct saga_plan){ .orders_count = 2,
                               .skus_count = 2,
                               .wanted = { { 1, 1 }, { 1, 0 } },
                               .on_hand = { 1, 1 },
                               .capture_at_confirm = true,
                               .declines = true,
                               .loses = true,
                               .cancels = true,
                               .expires = true };
}

static struct saga_plan three_orders(void)
{
    return (struct saga_plan){ .orders_count = 3,
                               .skus_count = 2,
                               .wanted = { { 1, 1 }, { 1, 0 }, { 0, 1 } },
                               .on_hand = { 1, 1 },
                               .capture_at_confirm = true,
                               .declines = true,
                               .cancels = true };
}

static void search(const char *name, struct saga_plan plan)
{
    if (is_whole_asked())
        alarm(0); /* it may take its time */
    else
        plan.states_max = STATES_A_TEST;
    struct arena *arena = arena_open(SIZE_MAX);
    int64_t began_us = clock_mono_us();
    struct saga_found found = saga_search(arena, &plan);
    printf("  told: saga of %s: %zu states, %zu edges, %s, %.1f s\n", name, found.states,
           found.edges, found.is_whole ? "all there are" : "as many as were asked for",
           (double)(clock_mono_us() - began_us) / 1e6);
    arena_close(arena);
    if (found.complaint)
        FAIL("%s, after %zu steps", found.complaint, found.depth);
}

TEST(one_order_keeps_its_books_whatever_happens_to_it) { search("one order", one_order()); }

TEST(one_order_whose_money_is_taken_at_shipment_keeps_its_books)
{
    struct saga_plan plan = one_order();
    plan.capture_at_confirm = false;
    search("one order, captured at shipment", plan);
}

TEST(two_orders_that_want_the_last_unit_keep_their_books) { search("two orders", two_orders()); }

TEST(two_orders_that_are_shipped_and_refunded_keep_their_books)
{
    struct saga_plan plan = two_orders();
    plan.loses = plan.expires = plan.declines = false;
    plan.ships = plan.refunds = true;
    search("two orders, shipped and refunded", plan);
}

TEST(three_orders_that_want_the_last_units_keep_their_books)
{
    search("three orders", three_orders());
}

TEST(two_orders_with_everything_that_can_happen_keep_their_books)
{
    struct saga_plan plan = one_order();
    struct saga_plan wants = two_orders();
    plan.orders_count = 2;
    plan.skus_count = wants.skus_count;
    memcpy(plan.wanted, wants.wanted, sizeof plan.wanted);
    memcpy(plan.on_hand, wants.on_hand, sizeof plan.on_hand);
    plan.parcels = false;
    search("two orders, everything", plan);
}

TEST(three_orders_whose_answers_are_lost_and_whose_holds_end_keep_their_books)
{
    struct saga_plan plan = three_orders();
    plan.loses = plan.expires = true;
    search("three orders, with losses", plan);
}

/* ---- what it must be able to see ---- */

/* In a child: a bug may also break an invariant, which ends the process. */
static bool is_found(const struct saga_plan *plan)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS_MAX);
        struct saga_found found = saga_search(arena_open(SIZE_MAX), plan);
        printf("  told: %s: %s after %zu states\n", saga_bug_name(plan->bug),
               found.complaint ? found.complaint : "NOT FOUND", found.states);
        fflush(NULL);
        _exit(found.complaint ? 3 : 0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
        printf("  told: %s: an invariant of the rules broke\n", saga_bug_name(plan->bug));
        return true;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 3;
}

static void find(struct saga_plan plan, enum saga_bug bug)
{
    plan.states_max = STATES_A_TEST;
    CHECK(!is_found(&plan)); /* the same search without the bug finds nothing */
    plan.bug = bug;
    CHECK(is_found(&plan));
}

static struct saga_plan small_order(void)
{
    struct saga_plan plan = one_order();
    plan.pends = plan.lapses = plan.parcels = plan.callbacks = false;
    plan.wanted[0][0] = plan.on_hand[0] = 1;
    return plan;
}

TEST(an_inbox_that_forgets_is_found) { find(small_order(), BUG_INBOX_GONE); }
TEST(an_inbox_that_takes_events_out_of_order_is_found) { find(small_order(), BUG_INBOX_UNORDERED); }
TEST(a_lost_compensation_is_found) { find(small_order(), BUG_COMPENSATION_LOST); }
TEST(a_hold_with_two_owners_is_found) { find(small_order(), BUG_HOLD_FREED_BY_TIME); }
TEST(a_save_without_its_version_is_found) { find(small_order(), BUG_VERSION_GONE); }
TEST(a_capture_with_a_new_id_each_time_is_found) { find(small_order(), BUG_DOUBLE_CAPTURE); }
TEST(a_time_out_taken_for_a_refusal_is_found) { find(small_order(), BUG_TIMEOUT_IS_NO); }
TEST(money_taken_before_the_order_is_confirmed_is_found)
{
    find(small_order(), BUG_CAPTURE_UNCONFIRMED);
}
TEST(stock_that_is_read_and_written_later_is_found)
{
    find(three_orders(), BUG_STOCK_READ_THEN_WRITTEN);
}
TEST(a_relay_that_passes_over_an_event_is_found) { find(small_order(), BUG_RELAY_CURSOR); }
TEST(an_authorization_that_is_not_given_back_is_found) { find(small_order(), BUG_VOID_FORGOTTEN); }
