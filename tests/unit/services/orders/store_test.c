#include "gen/orders.sql.h"
#include "os/clock.h"
#include "os/random.h"
#include "services/orders/store.h"
#include "tests/lib/test.h"

static const struct currency EUR = { "EUR" };
static const struct actor PROVIDER = { .kind = ACTOR_PROVIDER };
static const struct actor STAFF = { .kind = ACTOR_STAFF, .id = { { 2 } } };

/* The tables of orders on a disk, with a writer and no service. */
struct shelf {
    struct test *t;
    struct db *db;
    struct writer *writer;
};

static void shelf_close(void *subject)
{
    struct shelf *shelf = subject;
    writer_close(shelf->writer);
    db_close(shelf->db);
}

static struct shelf *shelf_open(struct test *t)
{
    struct shelf *shelf = arena_new(t->arena, struct shelf);
    struct db_config config = { .url = str_format(t->arena, "sqlite:%s/orders.db", test_folder(t)),
                                .readers_max = 2 };
    shelf->t = t;
    CHECK_OK(db_open(t->arena, &config, &orders_schema, &shelf->db));
    shelf->writer = writer_open(shelf->db, "orders", NULL, NULL);
    arena_defer(t->arena, shelf_close, shelf);
    return shelf;
}

static err write_one(struct shelf *shelf, write_batch *batch, void *subject)
{
    err outcome;
    writer_submit_and_wait(shelf->writer, write_new(shelf->t->arena, batch, subject), &outcome);
    return outcome;
}

/* Runs a read on a new snapshot. */
#define READ(shelf, call)                                                 \
    do {                                                                  \
        struct db_reader *reader = NULL;                                  \
        CHECK_OK(db_read_begin((shelf)->db, (shelf)->t->arena, &reader)); \
        err read_error = (call);                                          \
        db_read_end(reader);                                              \
        CHECK_OK(read_error);                                             \
    } while (0)

static struct order *new_order(struct test *t, struct uuid customer, time_us at)
{
    struct order_line *lines = arena_array(t->arena, struct order_line, 2);
    struct order *order = arena_new(t->arena, struct order);
    lines[0] = (struct order_line){ .sku = STR("mug"),
                                    .title = STR("M\xc3\xbcg"),
                                    .variant_title = STR("Blue"),
                                    .quantity = 3,
                                    .unit_price = { 450, EUR } };
    lines[1] = (struct order_line){ .sku = STR("tea"), .quantity = 1, .unit_price = { 250, EUR } };
    CHECK_OK(order_place(t->arena, id_new(), customer, lines, 2, at, order));
    order->provider = STR("simulator");
    order->payment_token = STR("approve");
    order->address = STR("an address");
    order->event_number = 1;
    return order;
}

static struct order_save *save_of(struct test *t, const struct order *order)
{
    struct order_save *save = arena_new(t->arena, struct order_save);
    save->order = *order;
    return save;
}

static struct order *placed(struct shelf *shelf)
{
    struct order *order = new_order(shelf->t, (struct uuid){ { 9 } }, 1000);
    CHECK_OK(write_one(shelf, store_place_orders, save_of(shelf->t, order)));
    return order;
}

/* Reads an order to move it. */
static struct order_save *load(struct shelf *shelf, struct uuid id)
{
    struct order_save *save = arena_new(shelf->t->arena, struct order_save);
    READ(shelf, store_find_order(reader, shelf->t->arena, id, &save->order));
    save->job_was = save->job = order_wants(&save->order, true);
    return save;
}

static err save(struct shelf *shelf, struct order_save *save)
{
    save->job = order_wants(&save->order, true);
    return write_one(shelf, store_save_orders, save);
}

static struct order_save *reserved(struct shelf *shelf)
{
    struct uuid id = placed(shelf)->id;
    struct order_save *moved = load(shelf, id);
    CHECK_OK(order_reserve(shelf->t->arena, &moved->order, 5000));
    CHECK_OK(save(shelf, moved));
    return load(shelf, id);
}

static size_t steps(struct shelf *shelf, struct uuid id, struct past_step **out)
{
    size_t count = 0;
    READ(shelf, store_find_steps(reader, shelf->t->arena, id, out, &count));
    return count;
}

static size_t due_jobs(struct shelf *shelf, time_us now, struct due_job **jobs)
{
    size_t count = 0;
    READ(shelf, store_find_due_jobs(reader, shelf->t->arena, now, 10, jobs, &count));
    return count;
}

static bool find_job(struct shelf *shelf, struct uuid id, struct due_job *job)
{
    struct due_job *jobs;
    size_t count = due_jobs(shelf, INT64_MAX / 2, &jobs);
    for (size_t i = 0; i < count; i++)
        if (uuid_equal(jobs[i].order, id)) {
            *job = jobs[i];
            return true;
        }
    return false;
}

/* ---- orders ---- */

TEST(an_order_is_read_as_it_was_placed)
{
    struct shelf *shelf = shelf_open(t);
    struct order *order = placed(shelf);
    struct order *found = &load(shelf, order->id)->order;
    CHECK(uuid_equal(found->customer, order->customer));
    CHECK_INT(found->status, ORDER_PLACED);
    CHECK_INT(found->payment, PAYMENT_NONE);
    CHECK_INT(found->fulfilment, FULFILMENT_NONE);
    CHECK_MONEY(found->total, order->total);
    CHECK_STR(found->provider, "simulator");
    CHECK_STR(found->payment_token, "approve");
    CHECK_STR(found->address, "an address");
    CHECK_INT(found->created_at, 1000);
    CHECK_INT(found->updated_at, 1000);
    CHECK_INT(found->version, 1);
    CHECK_INT(found->event_number, 1);
    CHECK_INT(found->lines_count, 2);
    CHECK_STR(found->lines[0].title, "M\xc3\xbcg");
    CHECK_STR(found->lines[0].variant_title, "Blue");
    CHECK_INT(found->lines[0].quantity, 3);
    CHECK_MONEY(found->lines[1].unit_price, order->lines[1].unit_price);

    struct past_step *past;
    CHECK_INT(steps(shelf, order->id, &past), 1);
    CHECK_STR(past[0].what, "placed");
    CHECK_STR(past[0].actor, "customer");
    CHECK(uuid_equal(past[0].actor_id, order->customer));
}

TEST(an_order_that_nobody_placed_is_not_found)
{
    struct shelf *shelf = shelf_open(t);
    struct order order;
    struct db_reader *reader = NULL;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    err error = store_find_order(reader, t->arena, id_new(), &order);
    db_read_end(reader);
    CHECK_ERR(error, NOT_FOUND);
}

TEST(whether_there_is_an_order_can_be_asked_without_reading_it)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = placed(shelf)->id;
    bool there = true;
    READ(shelf, store_has_order(reader, t->arena, id_new(), &there));
    CHECK(!there);
    READ(shelf, store_has_order(reader, t->arena, id, &there));
    CHECK(there);
}

TEST(a_move_is_kept_with_its_steps_and_its_job)
{
    struct shelf *shelf = shelf_open(t);
    struct order_save *order = reserved(shelf);
    struct past_step *past;
    struct due_job job;
    CHECK_INT(order->order.status, ORDER_RESERVED);
    CHECK_INT(order->order.hold_until, 5000);
    CHECK_INT(order->order.version, 2);
    CHECK_INT(steps(shelf, order->order.id, &past), 3);
    CHECK_STR(past[1].what, "reserved");
    CHECK_STR(past[2].what, "payment.pending");
    CHECK(uuid_is_nil(past[2].actor_id));
    CHECK(find_job(shelf, order->order.id, &job));
    CHECK_INT(job.kind, JOB_AUTHORIZE);
    CHECK_INT(job.tries, 0);

    CHECK_OK(order_learn_payment(t->arena, &order->order, KNOWN_DECLINED, PROVIDER));
    order->order.updated_at = 4321;
    CHECK_OK(save(shelf, order));
    CHECK(!find_job(shelf, order->order.id, &job));
    struct order *found = &load(shelf, order->order.id)->order;
    CHECK_INT(found->status, ORDER_REJECTED);
    CHECK_STR(found->reason, "payment.declined");
    CHECK_INT(found->updated_at, 4321);
}

TEST(of_two_that_move_the_same_version_the_second_hears_of_it)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = placed(shelf)->id;
    struct order_save *one = load(shelf, id), *other = load(shelf, id);
    CHECK_OK(order_reserve(t->arena, &one->order, 5000));
    CHECK_OK(order_cancel(t->arena, &other->order, STAFF, STR("")));
    CHECK_OK(save(shelf, one));
    CHECK_ERR(save(shelf, other), VERSION_CONFLICT);
    CHECK_INT(load(shelf, id)->order.status, ORDER_RESERVED);
    struct past_step *past;
    CHECK_INT(steps(shelf, id, &past), 3); /* nothing of the second is there */
}

TEST(orders_of_one_batch_are_kept_each_by_itself)
{
    enum { MANY = 100 };
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    struct write *writes[MANY];
    err outcomes[MANY];
    for (int i = 0; i < MANY; i++)
        writes[i] = write_new(t->arena, store_place_orders,
                              save_of(t, new_order(t, (struct uuid){ { 9 } }, 1000 + i)));
    writer_close(shelf->writer);
    shelf->writer = NULL;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(store_place_orders(&tx, writes, MANY, outcomes));
    CHECK_OK(tx_commit(&tx));
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(outcomes[i]);
        const struct order_save *save = writes[i]->subject;
        CHECK_INT(load(shelf, save->order.id)->order.created_at, 1000 + i);
    }
}

TEST(a_batch_of_moves_tells_each_its_own_outcome)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid one = placed(shelf)->id, two = placed(shelf)->id;
    struct order_save *saves[3] = { load(shelf, one), load(shelf, one), load(shelf, two) };
    struct write *writes[3];
    err outcomes[3];
    struct tx tx;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(order_reserve(t->arena, &saves[i]->order, 5000));
        saves[i]->job = JOB_AUTHORIZE;
        writes[i] = write_new(t->arena, store_save_orders, saves[i]);
    }
    writer_close(shelf->writer);
    shelf->writer = NULL;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(store_save_orders(&tx, writes, 3, outcomes));
    CHECK_OK(tx_commit(&tx));
    CHECK_OK(outcomes[0]);
    CHECK_ERR(outcomes[1], VERSION_CONFLICT);
    CHECK_OK(outcomes[2]);
    CHECK_INT(load(shelf, one)->order.version, 2);
    CHECK_INT(load(shelf, two)->order.version, 2);
}

/* ---- parcels ---- */

TEST(a_parcel_is_kept_with_what_is_in_it)
{
    struct shelf *shelf = shelf_open(t);
    struct order_save *order = reserved(shelf);
    CHECK_OK(order_learn_payment(t->arena, &order->order, KNOWN_CAPTURED, PROVIDER));
    CHECK_OK(save(shelf, order));
    order = load(shelf, order->order.id);
    struct shipment_line shipment[ORDER_LINES_MAX] = { { STR("mug"), 2 } };
    size_t count = 1;
    CHECK_OK(order_ship(t->arena, &order->order, shipment, &count, STAFF));
    struct fulfilment parcel = { .id = id_new(),
                                 .carrier = STR("Post"),
                                 .lines = shipment,
                                 .lines_count = count,
                                 .created_at = 777 };
    order->fulfilment = &parcel;
    CHECK_OK(save(shelf, order));

    const struct fulfilment *found;
    READ(shelf, store_find_fulfilments(reader, t->arena, order->order.id, &found, &count));
    CHECK_INT(count, 1);
    CHECK(uuid_equal(found[0].id, parcel.id));
    CHECK_STR(found[0].carrier, "Post");
    CHECK_STR(found[0].tracking, "");
    CHECK_INT(found[0].created_at, 777);
    CHECK_STR(found[0].lines[0].sku, "mug");
    CHECK_INT(found[0].lines[0].quantity, 2);
    struct order *again = &load(shelf, order->order.id)->order;
    CHECK_INT(again->fulfilment, FULFILMENT_PARTIAL);
    CHECK_INT(again->lines[0].shipped, 2);
    CHECK_INT(again->lines[1].shipped, 0);
}

/* ---- callbacks ---- */

static bool is_taken(struct shelf *shelf, const char *id)
{
    bool taken = false;
    READ(shelf,
         store_is_event_taken(reader, shelf->t->arena, STR("simulator"), str_of_z(id), &taken));
    return taken;
}

static struct order_save *told(struct shelf *shelf, struct uuid id, const char *event,
                               enum payment_known known)
{
    struct order_save *save = load(shelf, id);
    CHECK_OK(order_learn_payment(shelf->t->arena, &save->order, known, PROVIDER));
    save->event_provider = STR("simulator");
    save->event_id = str_of_z(event);
    return save;
}

TEST(a_callback_is_taken_with_what_it_moves)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    CHECK(!is_taken(shelf, "e1"));
    CHECK_OK(save(shelf, told(shelf, id, "e1", KNOWN_AUTHORIZED)));
    CHECK(is_taken(shelf, "e1"));
    CHECK_INT(load(shelf, id)->order.status, ORDER_CONFIRMED);

    CHECK_OK(save(shelf, told(shelf, id, "e1", KNOWN_AUTHORIZED))); /* moves nothing */
    CHECK_INT(load(shelf, id)->order.version, 3);
}

TEST(a_callback_that_moved_nothing_never_moves_later)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    CHECK_OK(save(shelf, told(shelf, id, "e1", KNOWN_PENDING)));
    CHECK(is_taken(shelf, "e1"));
    CHECK_ERR(save(shelf, told(shelf, id, "e1", KNOWN_AUTHORIZED)), VERSION_CONFLICT);
    CHECK_INT(load(shelf, id)->order.version, 2);
}

TEST(a_callback_of_a_move_that_failed_is_not_taken)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    struct order_save *late = told(shelf, id, "e2", KNOWN_DECLINED);
    CHECK_OK(save(shelf, told(shelf, id, "e1", KNOWN_AUTHORIZED)));
    CHECK_ERR(save(shelf, late), VERSION_CONFLICT);
    CHECK(!is_taken(shelf, "e2"));
}

struct sweeping {
    time_us before;
    int64_t dropped;
};

static err sweep(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        struct sweeping *sweeping = writes[i]->subject;
        TRY(store_sweep_payment_events(tx, sweeping->before, 10, &sweeping->dropped));
        outcomes[i] = OK;
    }
    return OK;
}

TEST(old_callbacks_are_forgotten)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    CHECK_OK(save(shelf, told(shelf, id, "e1", KNOWN_AUTHORIZED)));
    struct sweeping sweeping = { .before = clock_wall_us() - TIME_SECOND * 60 };
    CHECK_OK(write_one(shelf, sweep, &sweeping));
    CHECK(is_taken(shelf, "e1"));
    CHECK_INT(sweeping.dropped, 0);
    sweeping.before = clock_wall_us() + TIME_SECOND;
    CHECK_OK(write_one(shelf, sweep, &sweeping));
    CHECK(!is_taken(shelf, "e1"));
    CHECK_INT(sweeping.dropped, 1);
}

/* ---- jobs and holds ---- */

TEST(a_job_is_due_after_its_lane_had_time_and_later_when_it_was_postponed)
{
    struct shelf *shelf = shelf_open(t);
    time_us before = clock_wall_us();
    struct uuid id = reserved(shelf)->order.id;
    struct due_job *jobs;
    time_us now = clock_wall_us() + JOB_GRACE_US;
    CHECK_INT(due_jobs(shelf, before + JOB_GRACE_US - 1, &jobs), 0);
    CHECK_INT(due_jobs(shelf, now, &jobs), 1);
    CHECK(uuid_equal(jobs[0].order, id));
    CHECK_INT(jobs[0].kind, JOB_AUTHORIZE);

    struct order_save *later = load(shelf, id);
    later->ask_again = true;
    later->at = now;
    CHECK_OK(write_one(shelf, store_save_orders, later));
    CHECK_INT(due_jobs(shelf, now + JOB_WAIT_US_MIN - 1, &jobs), 0);
    CHECK_INT(due_jobs(shelf, now + JOB_WAIT_US_MIN, &jobs), 1);
    CHECK_INT(jobs[0].tries, 1);
    CHECK_OK(write_one(shelf, store_save_orders, later));
    CHECK_INT(due_jobs(shelf, now + 2 * JOB_WAIT_US_MIN - 1, &jobs), 0);
    CHECK_INT(due_jobs(shelf, now + 2 * JOB_WAIT_US_MIN, &jobs), 1);
    for (int i = 0; i < 20; i++)
        CHECK_OK(write_one(shelf, store_save_orders, later));
    CHECK_INT(due_jobs(shelf, now + JOB_WAIT_US_MAX - 1, &jobs), 0);
    CHECK_INT(due_jobs(shelf, now + JOB_WAIT_US_MAX, &jobs), 1);

    struct order_save *other = load(shelf, id); /* another one meanwhile */
    other->job_was = other->job = JOB_VOID;
    other->ask_again = true;
    CHECK_OK(write_one(shelf, store_save_orders, other));
    CHECK_INT(due_jobs(shelf, now + JOB_WAIT_US_MAX, &jobs), 1);
    CHECK_INT(jobs[0].tries, 22);
}

TEST(a_job_that_a_clock_which_went_back_left_far_ahead_is_due)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    struct due_job *jobs;
    time_us now = clock_wall_us();
    struct order_save *later = load(shelf, id);
    later->ask_again = true;
    later->at = now + JOB_WAIT_US_MAX;
    CHECK_OK(write_one(shelf, store_save_orders, later));
    CHECK_INT(due_jobs(shelf, now, &jobs), 0);
    later->at = now + 36000 * TIME_SECOND;
    CHECK_OK(write_one(shelf, store_save_orders, later));
    CHECK_INT(due_jobs(shelf, now, &jobs), 1);
    CHECK(uuid_equal(jobs[0].order, id));
    CHECK_INT(jobs[0].kind, JOB_AUTHORIZE);
    CHECK_INT(jobs[0].tries, 2);
}

TEST(another_job_of_an_order_takes_the_place_of_the_first_and_begins_anew)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    struct due_job job;
    struct order_save *later = load(shelf, id);
    later->ask_again = true;
    CHECK_OK(write_one(shelf, store_save_orders, later));
    struct order_save *order = load(shelf, id);
    CHECK_OK(order_learn_payment(t->arena, &order->order, KNOWN_AUTHORIZED, PROVIDER));
    CHECK_OK(save(shelf, order));
    CHECK(find_job(shelf, id, &job));
    CHECK_INT(job.kind, JOB_CAPTURE);
    CHECK_INT(job.tries, 0);
}

TEST(orders_whose_hold_ran_out_are_found_while_they_wait_for_money)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid waits = reserved(shelf)->order.id, paid = reserved(shelf)->order.id;
    placed(shelf);
    struct order_save *order = load(shelf, paid);
    CHECK_OK(order_learn_payment(t->arena, &order->order, KNOWN_AUTHORIZED, PROVIDER));
    CHECK_OK(save(shelf, order));
    struct uuid *ids;
    size_t count;
    READ(shelf, store_find_expired(reader, t->arena, 4999, 10, &ids, &count));
    CHECK_INT(count, 0);
    READ(shelf, store_find_expired(reader, t->arena, 5000, 10, &ids, &count));
    CHECK_INT(count, 1);
    CHECK(uuid_equal(ids[0], waits));
}

/* ---- prices ---- */

static void save_price(struct shelf *shelf, const char *sku, int64_t number, int64_t minor)
{
    struct price price = { .sku = str_of_z(sku),
                           .title = STR("A title"),
                           .product = { { 5 } },
                           .unit = { minor, EUR },
                           .number = number,
                           .known = true,
                           .for_sale = true };
    CHECK_OK(write_one(shelf, store_save_prices, &price));
}

TEST(of_prices_the_last_number_wins_and_what_is_not_there_is_not_known)
{
    struct shelf *shelf = shelf_open(t);
    str skus[] = { STR("cup"), STR("mug") };
    struct price prices[2];
    save_price(shelf, "mug", 5, 500);
    save_price(shelf, "mug", 3, 300);
    save_price(shelf, "mug", 5, 555);
    READ(shelf, store_find_prices(reader, t->arena, skus, 2, prices));
    CHECK(!prices[0].known);
    CHECK(prices[1].known && prices[1].for_sale);
    CHECK_INT(prices[1].unit.minor, 500);
    CHECK_STR(prices[1].title, "A title");
    save_price(shelf, "mug", 6, 600);
    READ(shelf, store_find_prices(reader, t->arena, skus, 2, prices));
    CHECK_INT(prices[1].unit.minor, 600);
    CHECK_INT(prices[1].number, 6);
}

/* Places an order whose price of a mug came from memory with that number. */
static err place_with(struct shelf *shelf, struct recent *kept, int64_t number, struct uuid *id)
{
    struct price *price = arena_new(shelf->t->arena, struct price);
    struct order *order = new_order(shelf->t, (struct uuid){ { 9 } }, 1000);
    struct order_save *save = save_of(shelf->t, order);
    *price = (struct price){ .sku = STR("mug"), .number = number, .known = true };
    recent_put(kept, recent_id_of_text(price->sku), "a price", 7);
    save->prices = price;
    save->prices_count = 1;
    save->prices_kept = kept;
    *id = order->id;
    return write_one(shelf, store_place_orders, save);
}

TEST(an_order_priced_from_memory_stands_only_where_that_is_the_price_still)
{
    struct shelf *shelf = shelf_open(t);
    struct recent *kept = recent_open((struct recent_limits){ 16, 64, 60 * TIME_SECOND });
    struct uuid good, old, unknown;
    bool found;
    save_price(shelf, "mug", 5, 500);
    CHECK_OK(place_with(shelf, kept, 5, &good));
    CHECK(recent_look(kept, t->arena, recent_id_of_text(STR("mug"))).len > 0);
    save_price(shelf, "mug", 6, 600);
    CHECK_ERR(place_with(shelf, kept, 5, &old), VERSION_CONFLICT);
    CHECK_INT(recent_look(kept, t->arena, recent_id_of_text(STR("mug"))).len, 0);
    READ(shelf, store_has_order(reader, t->arena, good, &found));
    CHECK(found);
    READ(shelf, store_has_order(reader, t->arena, old, &found));
    CHECK(!found);
    CHECK_OK(place_with(shelf, kept, 6, &unknown));
    recent_close(kept);
}

/* ---- pages ---- */

TEST(pages_go_through_all_orders_newest_first_and_none_twice)
{
    enum { ORDERS = 25, PAGE = 4 };
    struct shelf *shelf = shelf_open(t);
    struct uuid customer = { { 9 } }, other = { { 8 } };
    for (int i = 0; i < ORDERS; i++) { /* several in one moment */
        struct order *order = new_order(t, i % 5 == 4 ? other : customer, 1000 + i / 3);
        CHECK_OK(write_one(shelf, store_place_orders, save_of(t, order)));
    }
    for (int all = 0; all < 2; all++) {
        struct order_page page = { .customer = all ? (struct uuid){ { 0 } } : customer,
                                   .status = STR(""),
                                   .before = INT64_MAX,
                                   .count = PAGE };
        struct order *orders;
        size_t count, seen = 0;
        memset(page.before_id.bytes, 0xff, sizeof page.before_id.bytes);
        do {
            READ(shelf, store_list_orders(reader, t->arena, &page, &orders, &count));
            for (size_t i = 0; i < count; i++) {
                struct order *order = &orders[i];
                CHECK(order->created_at < page.before ||
                      (order->created_at == page.before &&
                       memcmp(&order->id, &page.before_id, sizeof order->id) < 0));
                page.before = order->created_at;
                page.before_id = order->id;
                CHECK(all || uuid_equal(order->customer, customer));
                CHECK_INT(order->lines_count, 2);
            }
            seen += count;
        } while (count > 0);
        CHECK_INT(seen, all ? ORDERS : ORDERS - ORDERS / 5);
    }
}

TEST(a_page_of_one_status_has_no_other)
{
    struct shelf *shelf = shelf_open(t);
    struct uuid id = reserved(shelf)->order.id;
    placed(shelf);
    struct order_page page = {
        .customer = { { 9 } }, .status = STR("reserved"), .before = INT64_MAX, .count = 10
    };
    struct order *orders;
    size_t count;
    READ(shelf, store_list_orders(reader, t->arena, &page, &orders, &count));
    CHECK_INT(count, 1);
    CHECK(uuid_equal(orders[0].id, id));
}
