#include "counter.h"
#include "chassis/outbox.h"
#include "os/clock.h"
#include "os/random.h"

enum { HUGE_BYTES = 64 << 20, EVENTS_MAX = 1024 };

static bool count_down(struct counter *counter, enum knob knob)
{
    int left = __atomic_load_n(&counter->knobs[knob], __ATOMIC_RELAXED);
    while (left > 0 && !__atomic_compare_exchange_n(&counter->knobs[knob], &left, left - 1, false,
                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return left > 0;
}

void counter_set(struct counter *counter, enum knob knob, int times)
{
    __atomic_store_n(&counter->knobs[knob], times, __ATOMIC_RELAXED);
}

int counter_handled(const struct counter *counter)
{
    return __atomic_load_n(&counter->handled, __ATOMIC_RELAXED);
}

/* ---- handlers ---- */

/* What a note makes a handler do besides. */
static err behave(struct counter *counter, struct call *call, str note)
{
    __atomic_fetch_add(&counter->handled, 1, __ATOMIC_RELAXED);
    bool has_turn = call->turn && call->turn->has_place;
    if (str_equal(note, STR("huge")) || (has_turn && str_equal(note, STR("asks-huge"))))
        arena_alloc(call->arena, HUGE_BYTES, 1);
    if (str_equal(note, STR("gate")))
        counter_pass_gate(counter);
    if (str_starts(note, STR("asks")) && !count_down(counter, KNOB_KNOWN))
        return counter_ask(counter, call);
    if (str_equal(note, STR("fail")))
        return fail(call->arena, STOCK_CONFLICT, "as the note says");
    if (str_equal(note, STR("broken")))
        return fail(call->arena, DB_FAILED, "a secret of ours");
    return OK;
}

static Products__Stock *stock_of(struct arena *arena, str name, int64_t value, int64_t version)
{
    Products__Stock *stock = arena_new(arena, Products__Stock);
    *stock = (Products__Stock)PRODUCTS__STOCK__INIT;
    stock->sku = field_of(name);
    stock->on_hand = value;
    stock->version = version;
    return stock;
}

static err find(struct call *call, str name, struct sql_counter_by_name_row *row, bool *found)
{
    struct db_reader *reader;
    TRY(call_reader(call, &reader));
    return sql_counter_by_name(reader, call->arena, &(struct sql_counter_by_name){ name }, row,
                               found);
}

static err handle_get(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    struct sql_counter_by_name_row row;
    bool found;
    TRY(find(call, text_of(in->sku), &row, &found));
    TRY(behave(self, call, text_of(in->sku)));
    if (!found)
        return fail(call->arena, NOT_FOUND, "no such counter");
    call_etag(call, row.version);
    return call_answer(call, stock_of(call->arena, text_of(in->sku), row.value, row.version));
}

static err handle_memory(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    TRY(behave(self, call, text_of(in->sku)));
    return call_answer(call, stock_of(call->arena, text_of(in->sku), 7, 1));
}

/* A page of one: its cursor is the last name. */
static err handle_list(void *self, struct call *call, const void *message)
{
    const Orders__ListOrdersRequest *in = message;
    str after = STR("");
    TRY(behave(self, call, STR("")));
    if (in->after.len > 0)
        TRY(cursor_read(call, text_of(in->after), &after));
    struct db_reader *reader;
    struct sql_counters_after_row *rows;
    size_t count;
    TRY(call_reader(call, &reader));
    TRY(sql_counters_after(reader, call->arena, &(struct sql_counters_after){ after, 1 }, &rows,
                           &count));
    Orders__OrderList *list = arena_new(call->arena, Orders__OrderList);
    *list = (Orders__OrderList)ORDERS__ORDER_LIST__INIT;
    if (count > 0) {
        list->n_items = 1;
        list->items = arena_array(call->arena, Orders__Order *, 1);
        list->items[0] = arena_new(call->arena, Orders__Order);
        *list->items[0] = (Orders__Order)ORDERS__ORDER__INIT;
        list->items[0]->reason = field_of(rows[0].name);
        list->next = field_of(cursor_write(call, rows[0].name));
    }
    return call_answer(call, list);
}

/* A counter as it will be. */
struct change {
    struct counter *counter;
    str name;
    int64_t version, value, event_number; /* version 0: a new one */
};

static err save_one(struct tx *tx, struct write *write, err *outcome)
{
    struct change *change = write->subject;
    int64_t changed = 0;
    if (!count_down(change->counter, KNOB_CONFLICT)) {
        if (change->version == 0)
            TRY(sql_counter_insert(
                tx,
                &(struct sql_counter_insert){ change->name, change->value, change->event_number },
                &changed));
        else
            TRY(sql_counter_update(tx,
                                   &(struct sql_counter_update){ change->name, change->version,
                                                                 change->value,
                                                                 change->event_number },
                                   &changed));
    }
    *outcome = changed ? OK : fail(write->arena, VERSION_CONFLICT, "somebody else was first");
    return OK;
}

static err save(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++)
        TRY(save_one(tx, writes[i], &outcomes[i]));
    return OK;
}

static err handle_add(void *self, struct call *call, const void *message)
{
    const Products__AdjustStockRequest *in = message;
    struct sql_counter_by_name_row row = { 0 };
    bool found;
    TRY(find(call, text_of(in->sku), &row, &found));
    TRY(behave(self, call, text_of(in->note)));
    if (call->spec->if_match)
        TRY(call_if_match(call, row.version));
    struct change *change = arena_new(call->arena, struct change);
    *change = (struct change){ .counter = self,
                               .name = text_of(in->sku),
                               .version = row.version,
                               .value = row.value + in->delta,
                               .event_number = row.event_number + 1 };
    struct write *write = call_write(call, save, change);
    Orders__OrderConfirmed event = ORDERS__ORDER_CONFIRMED__INIT;
    event.order_id = in->sku;
    event.number = change->event_number;
    write_announce(write, &orders_event_order_confirmed, &event);
    call_etag(call, change->version + 1);
    return call_answer(call,
                       stock_of(call->arena, change->name, change->value, change->version + 1));
}

static err take_one(struct tx *tx, struct write *write, err *outcome)
{
    struct change *change = write->subject;
    struct sql_counter_by_name_row row = { 0 };
    bool found;
    int64_t wanted = change->value;
    TRY(sql_tx_counter_by_name(tx, &(struct sql_counter_by_name){ change->name }, &row, &found));
    if (row.value < wanted) {
        *outcome = fail(write->arena, STOCK_NEGATIVE, "%lld wanted, %lld there", (long long)wanted,
                        (long long)row.value);
        return OK;
    }
    change->value = row.value - wanted;
    change->version = row.version + 1;
    *outcome = OK;
    return sql_counter_update(
        tx,
        &(struct sql_counter_update){ change->name, row.version, change->value, row.event_number },
        NULL);
}

static err take(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++)
        TRY(take_one(tx, writes[i], &outcomes[i]));
    return OK;
}

static const void *view_taken(struct arena *arena, const void *subject)
{
    const struct change *change = subject;
    if (str_equal(change->name, STR("huge-view")))
        arena_alloc(arena, HUGE_BYTES, 1);
    return stock_of(arena, change->name, change->value, change->version);
}

static err handle_take(void *self, struct call *call, const void *message)
{
    const Products__AdjustStockRequest *in = message;
    TRY(behave(self, call, text_of(in->note)));
    struct change *change = arena_new(call->arena, struct change);
    *change = (struct change){ .counter = self, .name = text_of(in->sku), .value = in->delta };
    call_write(call, take, change);
    return call_answer_with(call, view_taken, change);
}

static err handle_delete(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    TRY(behave(self, call, text_of(in->sku)));
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

static err handle_raw(void *self, struct call *call, const void *message)
{
    const Orders__ReceivePaymentEventRequest *in = message;
    TRY(behave(self, call, text_of(in->payload)));
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

static err keep_spools(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = OK;
        TRY(spool_keep(tx, ((const struct spool *)writes[i]->subject)->id));
    }
    return OK;
}

static err handle_spool(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    str name = text_of(in->sku);
    TRY(behave(self, call, name));
    if (call->spool.bytes > 0 && !str_equal(name, STR("dropped")))
        call_write(call, keep_spools, &call->spool);
    str id = uuid_text(call->arena, call->spool.id);
    return call_answer(call, stock_of(call->arena, id, call->spool.bytes, 1));
}

static err make_piece(void *self, struct call *job, void *state, struct text *out, bool *more)
{
    int64_t *left = state;
    struct db_reader *reader;
    (void)self;
    TRY(call_reader(job, &reader));
    if (*left == 0)
        return fail(job->arena, DB_FAILED, "as the test says");
    text_add_format(out, "piece %lld\n", (long long)*left);
    *more = --*left > 0;
    return OK;
}

static err handle_pieces(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    int64_t *left = arena_new(call->arena, int64_t);
    (void)self;
    if (!str_to_int64(text_of(in->sku), 0, 1000, left))
        return fail(call->arena, NOT_FOUND, "no number of pieces");
    return call_answer_stream(call, "pieces.csv", make_piece, left);
}

static err handle_quote(void *self, struct call *call, const void *message)
{
    const Products__GetStockRequest *in = message;
    struct sql_counter_by_name_row row = { 0 };
    bool found;
    TRY(find(call, text_of(in->sku), &row, &found));
    TRY(behave(self, call, text_of(in->sku)));
    return call_answer(call, stock_of(call->arena, text_of(in->sku), row.value, row.version));
}

/* ---- things: what settles ---- */

static Orders__Order *thing_of(struct arena *arena, struct uuid id, str state)
{
    Orders__Order *thing = arena_new(arena, Orders__Order);
    *thing = (Orders__Order)ORDERS__ORDER__INIT;
    thing->id = field_of_uuid(arena, id);
    thing->reason = field_of(state);
    return thing;
}

static err insert_things(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        TRY(sql_thing_insert(tx, writes[i]->subject, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

static err settle_things(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        TRY(sql_thing_settle(tx, writes[i]->subject, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

static err handle_place(void *self, struct call *call, const void *message)
{
    const Orders__CreateOrderLine *in = message;
    TRY(behave(self, call, text_of(in->sku)));
    struct sql_thing_insert *thing = arena_new(call->arena, struct sql_thing_insert);
    *thing = (struct sql_thing_insert){ .id = call_new_id(call), .state = STR("placed") };
    struct write *write = call_write(call, insert_things, thing);
    if (str_equal(text_of(in->sku), STR("settled"))) { /* by the write that places it */
        thing->state = STR("settled");
        write_answer_subject(write, thing->id, &orders_order_spec,
                             thing_of(call->arena, thing->id, thing->state), 201);
    }
    return call_answer_when_settled(call, thing->id,
                                    thing_of(call->arena, thing->id, thing->state));
}

static err standing(void *self, struct call *call, struct uuid id, const void **message)
{
    struct db_reader *reader;
    struct sql_thing_by_id_row row;
    bool found;
    TRY(call_reader(call, &reader));
    if (count_down(self, KNOB_STANDING))
        return fail(call->arena, DB_UNAVAILABLE, "the database is away");
    TRY(sql_thing_by_id(reader, call->arena, &(struct sql_thing_by_id){ id }, &row, &found));
    if (!found)
        return fail(call->arena, NOT_FOUND, "no such thing");
    *message = thing_of(call->arena, id, row.state);
    return OK;
}

err counter_settle(struct counter *counter, struct uuid id, const char *state, int status)
{
    struct call *call = service_job_open(counter->service, "settle");
    struct sql_thing_settle *subject = arena_new(call->arena, struct sql_thing_settle);
    *subject = (struct sql_thing_settle){ .id = id, .state = str_of_z(state) };
    struct write *write = write_new(call->arena, settle_things, subject);
    if (status)
        write_answer_subject(write, id, &orders_order_spec,
                             thing_of(call->arena, id, subject->state), status);
    else
        write_answer_subject_error(write, id, fail(call->arena, PAYMENT_DECLINED, "%s", state));
    err error = job_write(call, write);
    error = error == OK ? OK : err_copy(counter->t->arena, error);
    service_job_close(call);
    return error;
}

/* ---- reactions ---- */

static err insert_notes(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        TRY(sql_note_insert(tx, writes[i]->subject, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

static err refuse_notes(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx;
    for (size_t i = 0; i < count; i++)
        outcomes[i] = fail(writes[i]->arena, VERSION_CONFLICT, "moved");
    return OK;
}

static err on_reserved(void *self, struct call *call, const void *message)
{
    const Products__StockReserved *in = message;
    struct counter *counter = self;
    str key = text_of(in->order_id);
    __atomic_fetch_add(&counter->handled, 1, __ATOMIC_RELAXED);
    if (str_starts(key, STR("huge")))
        arena_alloc(call->arena, HUGE_BYTES, 1);
    if (str_starts(key, STR("refused")) && count_down(counter, KNOB_REFUSE))
        return fail(call->arena, ORDER_STATE, "it is not the time for this");
    if (str_starts(key, STR("away")) && count_down(counter, KNOB_AWAY))
        return fail(call->arena, DB_UNAVAILABLE, "the database is away");
    if (str_starts(key, STR("nothing")))
        return OK;
    struct sql_note_insert *note = arena_new(call->arena, struct sql_note_insert);
    *note = (struct sql_note_insert){ .key = key, .number = in->number };
    bool moved = str_starts(key, STR("moved")) && count_down(counter, KNOB_MOVED);
    call_write(call, moved ? refuse_notes : insert_notes, note);
    return OK;
}

static err on_priced(void *self, struct call *call, const void *message)
{
    const Products__VariantPriced *in = message;
    __atomic_fetch_add(&((struct counter *)self)->handled, 1, __ATOMIC_RELAXED);
    struct sql_note_insert *note = arena_new(call->arena, struct sql_note_insert);
    *note = (struct sql_note_insert){ .key = text_of(in->sku), .number = in->amount };
    call_write(call, insert_notes, note);
    return OK;
}

/* ---- the tables ---- */

static const struct path_piece counters_pieces[] = { { .literal = "/counters" } };
static const struct path_piece counter_pieces[] = { { .literal = "/counters/" }, { .field = 0 } };
static const struct path_piece taken_pieces[] = { { .literal = "/counters/" },
                                                  { .field = 0 },
                                                  { .literal = "/taken" } };
static const struct path_piece things_pieces[] = { { .literal = "/things" } };
static const struct path_piece raw_pieces[] = { { .literal = "/raw/" }, { .field = 0 } };
static const struct path_piece spool_pieces[] = { { .literal = "/spool/" }, { .field = 0 } };
static const struct path_piece pieces_pieces[] = { { .literal = "/pieces/" }, { .field = 0 } };
static const struct path_piece memory_pieces[] = { { .literal = "/memory/" }, { .field = 0 } };
static const struct path_piece brief_pieces[] = { { .literal = "/brief/" }, { .field = 0 } };
static const struct path_piece password_pieces[] = { { .literal = "/password/" }, { .field = 0 } };

#define CALL(index_, method_, path_, pieces_)                                                 \
    .name = "counter.v1.Counter/" #index_, .short_name = "counter." #index_, .index = index_, \
    .method = method_, .routed = (index_) != COUNTER_QUOTE, .path = path_, .pieces = pieces_, \
    .pieces_count = sizeof(pieces_) / sizeof((pieces_)[0]),                                   \
    .body_field = (index_) == COUNTER_RAW ? 1 : -1,                                           \
    .deadline_ms = (index_) == COUNTER_BRIEF ? 200 : 5000, .body_bytes_max = 65536,           \
    .status = (index_) == COUNTER_PLACE                               ? 201                   \
              : (index_) == COUNTER_RAW || (index_) == COUNTER_DELETE ? 204                   \
                                                                      : 200

static const struct call_spec calls[COUNTER_CALLS] = {
    { CALL(COUNTER_LIST, HTTP_GET, "/counters", counters_pieces),
      .request = &orders_list_orders_request_spec, .response = &orders_order_list_spec,
      .handle = handle_list },
    { CALL(COUNTER_GET, HTTP_GET, "/counters/{sku}", counter_pieces),
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_get },
    { CALL(COUNTER_ADD, HTTP_POST, "/counters/{sku}", counter_pieces), .body = BODY_JSON,
      .request = &products_adjust_stock_request_spec, .response = &products_stock_spec,
      .access = ACCESS_CUSTOMER, .once = true, .handle = handle_add },
    { CALL(COUNTER_PUT, HTTP_PUT, "/counters/{sku}", counter_pieces), .body = BODY_JSON,
      .request = &products_adjust_stock_request_spec, .response = &products_stock_spec,
      .access = ACCESS_CUSTOMER, .if_match = true, .handle = handle_add },
    { CALL(COUNTER_TAKE, HTTP_POST, "/counters/{sku}/taken", taken_pieces), .body = BODY_JSON,
      .request = &products_adjust_stock_request_spec, .response = &products_stock_spec,
      .access = ACCESS_CUSTOMER, .once = true, .urgent = true, .handle = handle_take },
    { CALL(COUNTER_DELETE, HTTP_DELETE, "/counters/{sku}", counter_pieces),
      .request = &products_get_stock_request_spec, .response = &duka_empty_spec,
      .access = ACCESS_STAFF, .handle = handle_delete },
    { CALL(COUNTER_PLACE, HTTP_POST, "/things", things_pieces), .body = BODY_JSON,
      .request = &orders_create_order_line_spec, .response = &orders_order_spec,
      .access = ACCESS_CUSTOMER, .once = true, .urgent = true, .settles = true,
      .location = "/things/{id}", .handle = handle_place },
    { CALL(COUNTER_RAW, HTTP_POST, "/raw/{provider}", raw_pieces), .body = BODY_RAW,
      .body_type = "text/csv", .request = &orders_receive_payment_event_request_spec,
      .response = &duka_empty_spec, .handle = handle_raw },
    { CALL(COUNTER_SPOOL, HTTP_POST, "/spool/{sku}", spool_pieces), .body = BODY_RAW,
      .body_type = "text/csv", .stream = true, .access = ACCESS_STAFF,
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_spool },
    { CALL(COUNTER_PIECES, HTTP_GET, "/pieces/{sku}", pieces_pieces), .answer_type = "text/csv",
      .request = &products_get_stock_request_spec, .response = &duka_empty_spec,
      .handle = handle_pieces },
    { CALL(COUNTER_MEMORY, HTTP_GET, "/memory/{sku}", memory_pieces), .lane = LANE_LOOP,
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_memory },
    { CALL(COUNTER_PASSWORD, HTTP_GET, "/password/{sku}", password_pieces), .lane = LANE_PASSWORD,
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_memory },
    { CALL(COUNTER_BRIEF, HTTP_GET, "/brief/{sku}", brief_pieces),
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_memory },
    { CALL(COUNTER_QUOTE, HTTP_GET, "/quote", counters_pieces), .access = ACCESS_NEIGHBOUR,
      .request = &products_get_stock_request_spec, .response = &products_stock_spec,
      .handle = handle_quote },
};

static const struct reaction_spec reactions[] = {
    { &products_event_stock_reserved, "counter.on_stock_reserved", on_reserved },
    { &products_event_variant_priced, "counter.on_variant_priced", on_priced },
};

static const struct event_spec *const announced[] = { &orders_event_order_confirmed };

const struct service_spec counter_spec = {
    .name = "counter",
    .calls = calls,
    .calls_count = COUNTER_CALLS,
    .events = announced,
    .events_count = 1,
    .reactions = reactions,
    .reactions_count = sizeof reactions / sizeof reactions[0],
};

/* ---- another service, that hears of it ---- */

static size_t hear(void *self, const struct bus_event *events, size_t count)
{
    struct counter *counter = self;
    size_t taken = count;
    lock_take(&counter->lock);
    for (size_t i = 0; i < count; i++) {
        ASSERT(counter->heard_count < COUNTER_HEARD_MAX && events[i].key.len < COUNTER_KEY_MAX);
        struct counter_heard *heard = &counter->heard[counter->heard_count++];
        *heard = (struct counter_heard){ .id = events[i].id, .number = events[i].number };
        memcpy(heard->key, events[i].key.ptr, events[i].key.len);
    }
    if (counter->refuses > 0) {
        counter->refuses--;
        taken = 0;
    }
    cond_wake_all(&counter->changed);
    lock_drop(&counter->lock);
    return taken;
}

int counter_heard_count(struct counter *counter)
{
    lock_take(&counter->lock);
    int count = counter->heard_count;
    lock_drop(&counter->lock);
    return count;
}

/* ---- opening and closing ---- */

static void open_service(struct counter *counter)
{
    struct test *t = counter->t;
    counter->house.bus = bus_open_local(EVENTS_MAX, NULL);
    counter->config.house = &counter->house;
    CHECK_OK(service_open(t->arena, &counter->config, &counter->service));
    static const char *const topics[] = { "orders.v1" };
    bus_subscribe(counter->house.bus,
                  &(struct bus_consumer){ .name = "ear", .self = counter, .take = hear }, topics,
                  1);
}

void counter_start(struct counter *counter)
{
    counter->started = true;
    service_start(counter->service);
    bus_start(counter->house.bus);
}

void counter_close(struct counter *counter)
{
    if (!counter->service)
        return;
    bus_stop(counter->house.bus);
    service_stop(counter->service);
    service_close(counter->service);
    bus_close(counter->house.bus);
    counter->service = NULL;
}

static void close_all(void *subject)
{
    struct counter *counter = subject;
    counter_open_gate(counter);
    counter_close(counter);
    workers_close(counter->own_workers);
    places_done(&counter->places);
    cond_done(&counter->changed);
    lock_done(&counter->lock);
}

void counter_reopen(struct counter *counter)
{
    counter_close(counter);
    open_service(counter);
}

struct counter *counter_open_with(struct test *t, struct workers *workers)
{
    struct counter *counter = arena_new(t->arena, struct counter);
    counter->t = t;
    counter->inlined = inline_house(t, NULL);
    counter->house = *counter->inlined;
    counter->own_workers = workers;
    if (workers)
        counter->house.workers = workers;
    lock_init(&counter->lock);
    cond_init(&counter->changed);
    places_init(&counter->places, 1, COUNTER_LINE_MAX);
    counter->config =
        (struct service_config){ .spec = &counter_spec,
                                 .schema = &counter_schema,
                                 .database_url =
                                     str_format(t->arena, "sqlite:%s/counter.db", test_folder(t)),
                                 .self = counter,
                                 .standing = standing };
    arena_defer(t->arena, close_all, counter);
    open_service(counter);
    return counter;
}

struct counter *counter_open(struct test *t) { return counter_open_with(t, NULL); }

struct counter *counter_started(struct test *t)
{
    struct counter *counter = counter_open(t);
    counter_start(counter);
    return counter;
}

/* ---- asking ---- */

/* The service may be another after a reopening. */
static void handle(void *counter, struct request *request)
{
    service_handle(((struct counter *)counter)->service, request);
}

struct inline_client counter_anyone(struct counter *counter)
{
    return inline_client(counter->t, counter->inlined, handle, counter);
}

struct inline_client counter_user(struct counter *counter, unsigned roles)
{
    struct inline_client client = counter_anyone(counter);
    inline_sign_in(&client, id_new(), roles);
    return client;
}

struct inline_pending *counter_send(struct inline_client *client, const char *target,
                                    const char *key, const char *json)
{
    struct test *t = client->t;
    const char *header = str_z(t->arena, str_format(t->arena, "Idempotency-Key: %s", key));
    return inline_send(client, "POST", target, (const char *const[]){ header, NULL },
                       str_of_z(json));
}

struct answer_seen counter_post(struct inline_client *client, const char *target, const char *key,
                                const char *json)
{
    return inline_wait(counter_send(client, target, key, json));
}

struct answer_seen counter_add(struct counter *counter, struct inline_client *user,
                               const char *name, int delta)
{
    static int keys;
    struct arena *arena = counter->t->arena;
    const char *target = str_z(arena, str_format(arena, "/counters/%s", name));
    const char *key = str_z(arena, str_format(arena, "unique-%d", ++keys));
    return counter_post(user, target, key, counter_body(counter, delta, ""));
}

const char *counter_body(struct counter *counter, int delta, const char *note)
{
    struct arena *arena = counter->t->arena;
    return str_z(arena, str_format(arena, "{\"delta\":%d,\"reason\":\"received\",\"note\":\"%s\"}",
                                   delta, note));
}

/* ---- looking ---- */

static struct db_reader *reader_of(struct counter *counter)
{
    struct db_reader *reader = NULL;
    CHECK_OK(db_read_begin(service_db(counter->service), counter->t->arena, &reader));
    return reader;
}

int64_t counter_value(struct counter *counter, const char *name)
{
    struct db_reader *reader = reader_of(counter);
    struct sql_counter_by_name_row row;
    bool found = false;
    err error = sql_counter_by_name(reader, counter->t->arena,
                                    &(struct sql_counter_by_name){ str_of_z(name) }, &row, &found);
    db_read_end(reader);
    CHECK_OK(error);
    return found ? row.value : -1;
}

int64_t counter_things(struct counter *counter)
{
    struct db_reader *reader = reader_of(counter);
    struct sql_things_count_row row = { 0 };
    err error = sql_things_count(reader, counter->t->arena, &row);
    db_read_end(reader);
    CHECK_OK(error);
    return row.things_count;
}

const char *counter_notes(struct counter *counter)
{
    struct arena *arena = counter->t->arena;
    struct db_reader *reader = reader_of(counter);
    struct sql_notes_all_row *rows = NULL;
    size_t count = 0;
    err error = sql_notes_all(reader, arena, &rows, &count);
    db_read_end(reader);
    CHECK_OK(error);
    struct text out = text_init(arena, 256);
    for (size_t i = 0; i < count; i++)
        text_add(&out, str_format(arena, "%s%" STR_F " %lld", i > 0 ? ", " : "", STR_A(rows[i].key),
                                  (long long)rows[i].number));
    return str_z(arena, text_str(&out));
}

int64_t counter_outbox(struct counter *counter)
{
    struct db_reader *reader = reader_of(counter);
    struct backlog backlog = { 0 };
    err error = outbox_backlog(reader, counter->t->arena, &backlog);
    db_read_end(reader);
    CHECK_OK(error);
    return backlog.rows_count;
}

/* ---- events ---- */

void counter_announce(struct counter *counter, const char *key, int64_t first, int64_t last)
{
    struct call *call = service_job_open(counter->service, "announce");
    struct write *write = write_new(call->arena, NULL, NULL);
    Orders__OrderConfirmed event = ORDERS__ORDER_CONFIRMED__INIT;
    event.order_id = field_of(str_of_z(key));
    for (event.number = first; event.number <= last; event.number++)
        write_announce(write, &orders_event_order_confirmed, &event);
    err error = job_write(call, write);
    service_job_close(call);
    CHECK(error == OK);
}

struct bus_event counter_event(struct counter *counter, const char *key, int64_t number)
{
    struct arena *arena = counter->t->arena;
    Products__StockReserved message = PRODUCTS__STOCK_RESERVED__INIT;
    message.order_id = field_of(str_of_z(key));
    message.number = number;
    return (struct bus_event){ .id = id_new(),
                               .type = STR("products.v1.StockReserved"),
                               .topic = STR("products.v1"),
                               .key = str_of_z(key),
                               .number = number,
                               .payload = message_pack(arena, &message),
                               .at = clock_wall_us() };
}

struct bus_event counter_price(struct counter *counter, const char *sku, int64_t number,
                               int64_t amount)
{
    struct arena *arena = counter->t->arena;
    Products__VariantPriced message = PRODUCTS__VARIANT_PRICED__INIT;
    message.sku = field_of(str_of_z(sku));
    message.number = number;
    message.amount = amount;
    message.currency = field_of(STR("EUR"));
    return (struct bus_event){ .id = id_new(),
                               .type = STR("products.v1.VariantPriced"),
                               .topic = STR("products.v1"),
                               .key = str_of_z(sku),
                               .number = number,
                               .payload = message_pack(arena, &message),
                               .at = clock_wall_us() };
}

size_t counter_deliver(struct counter *counter, const struct bus_event *events, size_t count)
{
    return consumer_take(counter->service->consumer, events, count);
}
