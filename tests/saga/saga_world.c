#include "tests/saga/saga.h"
#include <string.h>

enum { PRICE_MINOR = 100, HOLD_UNTIL = 1000, REST_STEPS_MAX = 400 };

static const str skus[SAGA_SKUS_MAX] = { { "mug", 3 }, { "tea", 3 } };
static const struct actor bank_itself = { .kind = ACTOR_PROVIDER };
static const struct actor person = { .kind = ACTOR_STAFF, .id = { { 2 } } };

/* Where the steps from one state gather. */
struct world {
    struct arena *arena;
    const struct saga_plan *plan;
    const struct saga_state *from;
    struct saga_step *steps;
    int steps_count;
    const char *complaint;
};

const char *saga_bug_name(enum saga_bug bug)
{
    static const char *const names[BUGS_COUNT] = {
        [BUG_NONE] = "none",
        [BUG_INBOX_GONE] = "the inbox does not know what it had",
        [BUG_INBOX_UNORDERED] = "the inbox takes an early event",
        [BUG_COMPENSATION_LOST] = "the compensation is lost",
        [BUG_HOLD_FREED_BY_TIME] = "a hold is freed by two owners",
        [BUG_VERSION_GONE] = "the check of the version is gone",
        [BUG_DOUBLE_CAPTURE] = "a capture has a new id each time",
        [BUG_TIMEOUT_IS_NO] = "a time-out counts as a refusal",
        [BUG_CAPTURE_UNCONFIRMED] = "money is taken before the order is confirmed",
        [BUG_STOCK_READ_THEN_WRITTEN] = "stock is read, then written",
        [BUG_RELAY_CURSOR] = "the relay passes over an event",
        [BUG_VOID_FORGOTTEN] = "an authorization is not given back",
    };
    return names[bug];
}

/* ---- an order, unpacked and packed ---- */

struct open_order {
    struct order order;
    struct order_line lines[SAGA_SKUS_MAX];
    int sku_of_line[SAGA_SKUS_MAX];
};

static void open_row(const struct saga_plan *plan, int number, const struct saga_row *row,
                     struct open_order *out)
{
    static const struct currency eur = { "EUR" };
    *out = (struct open_order){ 0 };
    struct order *order = &out->order;
    for (int i = 0; i < plan->skus_count; i++) {
        if (plan->wanted[number][i] == 0)
            continue;
        out->sku_of_line[order->lines_count] = i;
        out->lines[order->lines_count++] =
            (struct order_line){ .sku = skus[i],
                                 .quantity = plan->wanted[number][i],
                                 .shipped = row->shipped[i],
                                 .unit_price = { PRICE_MINOR, eur } };
        order->total.minor += PRICE_MINOR * plan->wanted[number][i];
    }
    order->id = (struct uuid){ { (uint8_t)(number + 1) } };
    order->total.currency = eur;
    order->status = row->status;
    order->payment = row->payment;
    order->fulfilment = row->fulfilment;
    order->captured_minor = row->captured ? order->total.minor : 0;
    order->refunded_minor = row->refunded ? order->total.minor : 0;
    order->provider = STR("bank");
    order->hold_until = HOLD_UNTIL;
    order->lines = out->lines;
}

static void announce(const struct saga_plan *plan, struct saga_row *row,
                     const struct open_order *open, enum order_event kind,
                     const uint8_t shipped_before[SAGA_SKUS_MAX])
{
    if (plan->bug == BUG_COMPENSATION_LOST && kind == EVENT_CLOSED)
        return;
    ASSERT(row->events_count < SAGA_EVENTS_MAX);
    struct saga_event *event = &row->events[row->events_count++];
    event->kind = kind & 15;
    for (size_t i = 0; i < open->order.lines_count; i++) {
        int sku = open->sku_of_line[i];
        unsigned units = kind == EVENT_SHIPPED    ? row->shipped[sku] - shipped_before[sku]
                         : kind == EVENT_RETURNED ? row->shipped[sku]
                                                  : 0;
        if (sku == 0)
            event->mugs = units & 3;
        else
            event->teas = units & 3;
    }
}

/* Saves a moved order: its row and its events together. */
static void save_row(const struct saga_plan *plan, struct saga_order *in,
                     const struct open_order *open)
{
    const struct order *order = &open->order;
    struct saga_row *row = &in->row;
    uint8_t shipped_before[SAGA_SKUS_MAX];
    memcpy(shipped_before, row->shipped, sizeof shipped_before);
    row->status = (uint8_t)order->status;
    row->payment = (uint8_t)order->payment;
    row->fulfilment = (uint8_t)order->fulfilment;
    row->captured = order->captured_minor > 0;
    row->refunded = order->refunded_minor > 0;
    for (size_t i = 0; i < order->lines_count; i++)
        row->shipped[open->sku_of_line[i]] = (uint8_t)order->lines[i].shipped;
    for (int i = 0; i < order->events_count; i++)
        announce(plan, row, open, order->events[i], shipped_before);
    if (order->steps_count > 0)
        in->lane.stale = in->lane.busy;
}

/* ---- steps ---- */

/* A copy of the state that a step may change. */
static struct saga_order *begin_step(struct world *world, const char *what, int number)
{
    ASSERT(world->steps_count < SAGA_STEPS_MAX);
    struct saga_step *step = &world->steps[world->steps_count++];
    step->what = what;
    step->order = number;
    step->to = *world->from;
    return &step->to.orders[number];
}

static struct saga_state *latest(struct world *world)
{
    return &world->steps[world->steps_count - 1].to;
}

/* A move of the rules on the row as it stands. */
typedef err move_fn(struct world *world, struct order *order);

static void try_move(struct world *world, const char *what, int number, move_fn *move)
{
    struct saga_order *order = begin_step(world, what, number);
    struct open_order open;
    open_row(world->plan, number, &order->row, &open);
    if (move(world, &open.order) == OK)
        save_row(world->plan, order, &open);
}

/* ---- Products ---- */

struct shelf {
    struct stock_levels stock;
    struct stock_level levels[SAGA_SKUS_MAX];
    struct reservation reservation;
    struct hold holds[SAGA_SKUS_MAX];
};

static void open_shelf(struct world *world, const struct saga_state *state, int number,
                       struct shelf *out)
{
    const struct saga_order *order = &state->orders[number];
    *out = (struct shelf){ .stock = { .count = (size_t)world->plan->skus_count } };
    out->stock.levels = out->levels;
    out->reservation = (struct reservation){ .order = { { (uint8_t)(number + 1) } },
                                             .state = order->reservation,
                                             .number = order->answer != 0,
                                             .holds = out->holds };
    for (int i = 0; i < world->plan->skus_count; i++) {
        int64_t quantity = world->plan->wanted[number][i];
        out->levels[i] = stock_level_of(
            skus[i], (struct stock_units){ state->on_hand[i], state->reserved[i], 1 });
        bool was_granted = order->answer == 1;
        if (quantity > 0 && was_granted)
            out->holds[out->reservation.holds_count++] =
                (struct hold){ .sku = skus[i],
                               .quantity = quantity,
                               .shipped = order->sent[i],
                               .returned = order->back[i],
                               .released = quantity - order->sent[i] - order->held[i] };
    }
}

static void save_shelf(struct world *world, struct saga_state *state, int number,
                       const struct shelf *shelf)
{
    struct saga_order *order = &state->orders[number];
    order->reservation = (uint8_t)shelf->reservation.state;
    for (int i = 0; i < world->plan->skus_count; i++) {
        state->on_hand[i] = (uint8_t)shelf->levels[i].now.on_hand;
        state->reserved[i] = (uint8_t)shelf->levels[i].now.reserved;
    }
    for (size_t i = 0; i < shelf->reservation.holds_count; i++) {
        const struct hold *hold = &shelf->reservation.holds[i];
        int sku = str_equal(hold->sku, skus[0]) ? 0 : 1;
        order->sent[sku] = (uint8_t)hold->shipped;
        order->back[sku] = (uint8_t)hold->returned;
        order->held[sku] = (uint8_t)(hold->quantity - hold->shipped - hold->released);
    }
}

static size_t lines_of(const struct saga_plan *plan, const uint8_t units[SAGA_SKUS_MAX],
                       struct stock_line lines[SAGA_SKUS_MAX])
{
    size_t count = 0;
    for (int i = 0; i < plan->skus_count; i++)
        if (units[i] > 0)
            lines[count++] = (struct stock_line){ skus[i], units[i] };
    return count;
}

/* The reaction of Products; false: it is tried again later, nothing was saved. */
static bool react(struct world *world, struct saga_state *state, int number,
                  const struct saga_event *event)
{
    struct saga_order *order = &state->orders[number];
    struct stock_line lines[SAGA_SKUS_MAX];
    struct stock_order wanted;
    struct shelf shelf;
    bool applied;
    err error = OK;
    open_shelf(world, state, number, &shelf);
    const uint8_t units[SAGA_SKUS_MAX] = { event->mugs, event->teas };
    size_t count = lines_of(world->plan, units, lines);
    switch ((enum order_event)event->kind) {
    case EVENT_PLACED:
        count = lines_of(world->plan, world->plan->wanted[number], lines);
        switch (reservation_place(world->arena, &shelf.reservation, &shelf.stock, lines, count,
                                  &wanted)) {
        case RESERVATION_SAYS_NOTHING: break;
        case RESERVATION_SAYS_RESERVED: order->answer = 1; break;
        case RESERVATION_SAYS_REFUSED: order->answer = 2; break;
        }
        break;
    case EVENT_CONFIRMED:
    case EVENT_REFUNDED: break;
    case EVENT_CLOSED: reservation_close(&shelf.reservation, &shelf.stock); break;
    case EVENT_SHIPPED:
        error = reservation_ship(world->arena, &shelf.reservation, &shelf.stock, lines, count,
                                 &applied);
        break;
    case EVENT_RETURNED:
        error = reservation_return(world->arena, &shelf.reservation, &shelf.stock, lines, count,
                                   &applied);
        break;
    }
    if (error != OK && error->code != TRANSITION_NOT_YET)
        world->complaint = "Products cannot apply an event: it would be a dead letter";
    if (error != OK)
        return false;
    save_shelf(world, state, number, &shelf);
    return true;
}

/* Any event that was announced may come, again, early or late. */
static void deliver_to_products(struct world *world, int number)
{
    const struct saga_order *order = &world->from->orders[number];
    enum saga_bug bug = world->plan->bug;
    for (int i = 0; i < order->row.events_count; i++) {
        bool is_next = i == order->heard, is_repeat = i < order->heard;
        if (!is_next && !(is_repeat && bug == BUG_INBOX_GONE) &&
            !(!is_repeat && bug == BUG_INBOX_UNORDERED))
            continue; /* a repeat has no effect; an early one is held until it is the next */
        struct saga_order *to = begin_step(world, "Products hears an event of the order", number);
        bool done = react(world, latest(world), number, &order->row.events[i]);
        if (done && !is_repeat)
            to->heard = (uint8_t)(i + 1);
        else if (!done)
            world->steps_count--;
    }
}

static err hear_reserved(struct world *world, struct order *order)
{
    return order_reserve(world->arena, order, HOLD_UNTIL);
}

static err hear_refused(struct world *world, struct order *order)
{
    return order_refuse_stock(world->arena, order);
}

static void deliver_to_orders(struct world *world, int number)
{
    const struct saga_order *order = &world->from->orders[number];
    bool may_again = world->plan->bug == BUG_INBOX_GONE;
    if (order->answer == 0 || (order->answer_heard && !may_again))
        return;
    try_move(world,
             order->answer == 1 ? "Orders hears that stock is reserved"
                                : "Orders hears that stock is short",
             number, order->answer == 1 ? hear_reserved : hear_refused);
    latest(world)->orders[number].answer_heard = 1;
}

/* ---- the bank and the lanes ---- */

static void tell(struct world *world, struct saga_order *order)
{
    if (world->plan->callbacks)
        order->news |= (uint8_t)(1U << order->bank);
}

static void set_bank(struct world *world, struct saga_order *order, enum payment_known known)
{
    if (known == KNOWN_CAPTURED && order->bank != KNOWN_CAPTURED)
        order->captures++;
    order->bank = (uint8_t)known;
    tell(world, order);
}

static enum payment_job wants(const struct world *world, int number, const struct saga_row *row)
{
    struct open_order open;
    open_row(world->plan, number, row, &open);
    enum payment_job job = order_wants(&open.order, world->plan->capture_at_confirm);
    bool early = world->plan->bug == BUG_CAPTURE_UNCONFIRMED && job == JOB_AUTHORIZE &&
                 world->from->orders[number].bank == KNOWN_AUTHORIZED;
    if (world->plan->bug == BUG_VOID_FORGOTTEN && job == JOB_VOID)
        return JOB_NONE;
    return early ? JOB_CAPTURE : job;
}

/* What the bank does with a call: a repeat of a call is the same call. */
static void bank_acts(struct world *world, struct saga_order *order, enum payment_job job,
                      enum payment_known decides)
{
    switch (job) {
    case JOB_AUTHORIZE:
        if (order->bank == KNOWN_UNKNOWN)
            set_bank(world, order, decides);
        break;
    case JOB_CAPTURE:
        if (order->row.status == ORDER_RESERVED)
            world->complaint = "money was taken for an order that is not confirmed on disk";
        if (order->bank == KNOWN_AUTHORIZED)
            set_bank(world, order, decides == KNOWN_DECLINED ? KNOWN_DECLINED : KNOWN_CAPTURED);
        else if (order->bank == KNOWN_CAPTURED && world->plan->bug == BUG_DOUBLE_CAPTURE)
            order->captures++;
        break;
    case JOB_VOID:
        if (order->bank == KNOWN_AUTHORIZED)
            set_bank(world, order, KNOWN_VOIDED);
        break;
    case JOB_REFUND:
        if (order->bank == KNOWN_CAPTURED)
            set_bank(world, order, KNOWN_REFUNDED);
        break;
    case JOB_NONE: break;
    }
}

/* As orders/jobs.c: a capture or a void that is declined, and a payment that is: nothing is held.
 */
static enum payment_known answer_of(const struct saga_order *order, enum payment_job job)
{
    bool is_over = order->bank == KNOWN_DECLINED && (job == JOB_CAPTURE || job == JOB_VOID);
    return is_over ? KNOWN_VOIDED : order->bank;
}

static void call_bank(struct world *world, int number, enum payment_job job,
                      enum payment_known decides, bool acts, bool answers)
{
    static const char *const told[2][2] = { { "a call to the bank is lost", "" },
                                            { "the bank acts, its answer is lost",
                                              "the bank acts and answers" } };
    struct saga_order *order = begin_step(world, told[acts][answers], number);
    if (acts)
        bank_acts(world, order, job, decides);
    enum payment_known known = answers ? answer_of(order, job) : KNOWN_UNKNOWN;
    if (!answers && world->plan->bug == BUG_TIMEOUT_IS_NO)
        known = KNOWN_DECLINED;
    order->lane = (struct saga_lane){ .busy = 1, .known = (uint8_t)known };
    if (world->plan->bug == BUG_VERSION_GONE)
        order->lane.row = order->row;
}

static void run_lane(struct world *world, int number)
{
    const struct saga_plan *plan = world->plan;
    const struct saga_order *order = &world->from->orders[number];
    enum payment_job job = wants(world, number, &order->row);
    if (order->lane.busy || job == JOB_NONE)
        return;
    bool decides = job == JOB_AUTHORIZE && order->bank == KNOWN_UNKNOWN;
    bool may_decline = (decides && plan->declines) || (job == JOB_CAPTURE && plan->lapses);
    enum payment_known yes = KNOWN_AUTHORIZED;
    for (int lost = 0; lost <= plan->loses; lost++) {
        call_bank(world, number, job, yes, true, !lost);
        if (may_decline)
            call_bank(world, number, job, KNOWN_DECLINED, true, !lost);
        if (decides && plan->pends)
            call_bank(world, number, job, KNOWN_PENDING, true, !lost);
    }
    if (plan->loses)
        call_bank(world, number, job, yes, false, false);
}

/* The lane saves on the row as it was read: if that was saved meanwhile, it starts anew. */
static void save_lane(struct world *world, int number)
{
    const struct saga_order *before = &world->from->orders[number];
    if (!before->lane.busy)
        return;
    bool blind = world->plan->bug == BUG_VERSION_GONE;
    struct saga_order *order =
        begin_step(world,
                   before->lane.stale && !blind ? "a lane finds the order moved and starts anew"
                                                : "a lane saves what the bank said",
                   number);
    order->lane = (struct saga_lane){ 0 };
    if (before->lane.stale && !blind)
        return;
    struct open_order open;
    open_row(world->plan, number, blind ? &before->lane.row : &order->row, &open);
    if (order_learn_payment(world->arena, &open.order, before->lane.known, bank_itself) == OK)
        save_row(world->plan, order, &open);
}

static void lose_lane(struct world *world, int number)
{
    if (!world->plan->loses || !world->from->orders[number].lane.busy)
        return;
    begin_step(world, "a crash: a lane dies with what it knew", number)->lane =
        (struct saga_lane){ 0 };
}

static void hear_news(struct world *world, int number)
{
    for (unsigned known = KNOWN_PENDING; known <= KNOWN_REFUNDED; known++) {
        const struct saga_order *before = &world->from->orders[number];
        if (!(before->news & 1U << known))
            continue;
        struct saga_order *order = begin_step(world, "a callback of the bank comes", number);
        struct open_order open;
        open_row(world->plan, number, &order->row, &open);
        if (order_learn_payment(world->arena, &open.order, known, bank_itself) == OK)
            save_row(world->plan, order, &open);
    }
}

static void decide_pending(struct world *world, int number)
{
    if (world->from->orders[number].bank != KNOWN_PENDING)
        return;
    set_bank(world, begin_step(world, "the bank says yes at last", number), KNOWN_AUTHORIZED);
    if (world->plan->declines)
        set_bank(world, begin_step(world, "the bank says no at last", number), KNOWN_DECLINED);
}

/* ---- people and time ---- */

static err expire(struct world *world, struct order *order)
{
    return order_expire(world->arena, order, HOLD_UNTIL + 1);
}

static err cancel(struct world *world, struct order *order)
{
    return order_cancel(world->arena, order, person, STR(""));
}

static err ship_all(struct world *world, struct order *order)
{
    struct shipment_line lines[ORDER_LINES_MAX];
    size_t count = 0;
    return order_ship(world->arena, order, lines, &count, person);
}

static err ship_one(struct world *world, struct order *order)
{
    struct shipment_line line = { .quantity = 1 };
    size_t count = 1;
    for (size_t i = 0; i < order->lines_count && line.sku.len == 0; i++)
        if (order->lines[i].shipped < order->lines[i].quantity)
            line.sku = order->lines[i].sku;
    return line.sku.len ? order_ship(world->arena, order, &line, &count, person)
                        : fail(world->arena, ORDER_STATE, "nothing is left");
}

static err refund_and_restock(struct world *world, struct order *order)
{
    return order_refund(world->arena, order, true, person, STR(""));
}

static err refund(struct world *world, struct order *order)
{
    return order_refund(world->arena, order, false, person, STR(""));
}

static void place(struct world *world, int number)
{
    struct saga_order *order = begin_step(world, "the order is placed", number);
    struct open_order open, placed = { 0 };
    open_row(world->plan, number, &order->row, &open);
    err error = order_place(world->arena, open.order.id, (struct uuid){ { 9 } }, open.lines,
                            open.order.lines_count, 1, &placed.order);
    ASSERT(error == OK);
    memcpy(placed.sku_of_line, open.sku_of_line, sizeof placed.sku_of_line);
    save_row(world->plan, order, &placed);
}

static void people_act(struct world *world, int number)
{
    const struct saga_plan *plan = world->plan;
    const struct saga_order *order = &world->from->orders[number];
    if (order->row.status == 0) {
        place(world, number);
        return;
    }
    if (plan->expires)
        try_move(world, "the hold runs out", number, expire);
    if (plan->cancels)
        try_move(world, "it is cancelled", number, cancel);
    if (plan->ships)
        try_move(world, "all of it is shipped", number, ship_all);
    if (plan->parcels)
        try_move(world, "a unit of it is shipped", number, ship_one);
    if (plan->refunds) {
        try_move(world, "it is refunded", number, refund);
        try_move(world, "it is refunded and its units come back", number, refund_and_restock);
    }
}

/* ---- planted in Products ---- */

static void free_by_time(struct world *world, int number)
{
    if (world->plan->bug != BUG_HOLD_FREED_BY_TIME ||
        world->from->orders[number].reservation != RESERVATION_HELD)
        return;
    begin_step(world, "Products frees a hold by its own clock", number);
    react(world, latest(world), number, &(struct saga_event){ .kind = EVENT_CLOSED });
}

/* One order's level is read; later the level is written as if nobody had come between. */
static void read_then_write(struct world *world, int number)
{
    const struct saga_order *order = &world->from->orders[number];
    bool is_next = order->row.events_count > 0 && order->heard == 0;
    if (world->plan->bug != BUG_STOCK_READ_THEN_WRITTEN || !is_next)
        return;
    if (world->from->read_by == 0) {
        begin_step(world, "Products reads the level", number);
        latest(world)->read_by = (uint8_t)(number + 1);
        memcpy(latest(world)->read_reserved, world->from->reserved, SAGA_SKUS_MAX);
    } else if (world->from->read_by == number + 1) {
        struct saga_order *to = begin_step(world, "Products writes the level it has read", number);
        memcpy(latest(world)->reserved, world->from->read_reserved, SAGA_SKUS_MAX);
        latest(world)->read_by = 0;
        memset(latest(world)->read_reserved, 0, SAGA_SKUS_MAX);
        react(world, latest(world), number, &order->row.events[0]);
        to->heard = 1;
    }
}

/* ---- the state as a whole ---- */

struct saga_state saga_begin(const struct saga_plan *plan)
{
    struct saga_state state = { 0 };
    memcpy(state.on_hand, plan->on_hand, sizeof state.on_hand);
    return state;
}

static void pass_over(struct world *world, int number)
{
    const struct saga_order *order = &world->from->orders[number];
    if (world->plan->bug != BUG_RELAY_CURSOR || order->heard >= order->row.events_count)
        return;
    struct saga_order *to = begin_step(world, "the relay passes over an event", number);
    to->heard++;
}

int saga_steps(struct arena *arena, const struct saga_plan *plan, const struct saga_state *state,
               struct saga_step *steps, const char **complaint)
{
    struct world world = { .arena = arena, .plan = plan, .from = state, .steps = steps };
    arena_reset(arena);
    for (int i = 0; i < plan->orders_count; i++) {
        people_act(&world, i);
        deliver_to_products(&world, i);
        deliver_to_orders(&world, i);
        run_lane(&world, i);
        save_lane(&world, i);
        lose_lane(&world, i);
        hear_news(&world, i);
        decide_pending(&world, i);
        free_by_time(&world, i);
        read_then_write(&world, i);
        pass_over(&world, i);
    }
    *complaint = world.complaint;
    return world.steps_count;
}

/* ---- what always holds ---- */

static const char *check_order(const struct saga_plan *plan, const struct saga_state *state,
                               int number)
{
    const struct saga_order *order = &state->orders[number];
    for (int i = 0; i < plan->skus_count; i++) {
        if (order->held[i] + order->sent[i] > plan->wanted[number][i])
            return "an order holds and has more than it asked for";
        if (order->sent[i] > order->row.shipped[i])
            return "more has left the shelf than was shipped";
        if (order->back[i] > order->sent[i])
            return "more came back than had left";
    }
    if (order->captures > 1)
        return "the money was taken twice";
    return NULL;
}

const char *saga_check(const struct saga_plan *plan, const struct saga_state *state)
{
    for (int i = 0; i < plan->orders_count; i++) {
        const char *complaint = check_order(plan, state, i);
        if (complaint)
            return complaint;
    }
    for (int i = 0; i < plan->skus_count; i++) {
        int held = 0, sent = 0, back = 0;
        for (int j = 0; j < plan->orders_count; j++) {
            held += state->orders[j].held[i];
            sent += state->orders[j].sent[i];
            back += state->orders[j].back[i];
        }
        if (state->reserved[i] != held)
            return "what is reserved is not what orders hold";
        if (state->on_hand[i] != plan->on_hand[i] - sent + back)
            return "what is on hand is not what was there, less what left, and what came back";
        if (state->reserved[i] > state->on_hand[i])
            return "more is promised than there is";
    }
    return NULL;
}

/* ---- rest ---- */

/* The first step that the shop takes by itself when all goes well; false: it rests. */
static bool step_on(struct world *world, struct saga_state *state)
{
    for (int i = 0; i < world->plan->orders_count; i++) {
        const struct saga_order *order = &state->orders[i];
        world->from = state;
        world->steps_count = 0;
        enum payment_job job = order->row.status ? wants(world, i, &order->row) : JOB_NONE;
        deliver_to_products(world, i);
        if (world->steps_count == 0)
            deliver_to_orders(world, i);
        if (world->steps_count == 0)
            save_lane(world, i);
        if (world->steps_count == 0)
            decide_pending(world, i);
        bool goods_are_out = order->row.fulfilment != FULFILMENT_NONE; /* people decide */
        bool asks_in_vain = job == JOB_CAPTURE && goods_are_out &&
                            (order->bank == KNOWN_VOIDED || order->bank == KNOWN_DECLINED);
        if (world->steps_count == 0 && job != JOB_NONE && !asks_in_vain)
            call_bank(world, i, job, KNOWN_AUTHORIZED, true, true);
        if (world->steps_count > 0) {
            *state = world->steps[0].to;
            return true;
        }
    }
    return false;
}

static const char *check_rest(const struct saga_plan *plan, const struct saga_state *state,
                              int number)
{
    const struct saga_order *order = &state->orders[number];
    const struct saga_row *row = &order->row;
    bool is_over = row->status == ORDER_REJECTED || row->status == ORDER_CANCELLED;
    bool bank_has = order->bank == KNOWN_CAPTURED;
    int held = order->held[0] + order->held[1];
    if (row->status == 0)
        return NULL;
    if (row->status == ORDER_PLACED || row->status == ORDER_RESERVED)
        return "an order never settles";
    if (row->status == ORDER_CANCELLING)
        return "an order is never cancelled";
    if (is_over && (bank_has || order->bank == KNOWN_AUTHORIZED))
        return "money was taken for an order that is over";
    if ((row->captured && !row->refunded) != bank_has)
        return "the order shows other money than the bank holds";
    if (is_over && held > 0)
        return "units are held for an order that is over";
    int open = 0;
    for (int i = 0; i < plan->skus_count; i++)
        open += plan->wanted[number][i] - row->shipped[i];
    bool is_open = row->status == ORDER_CONFIRMED && row->payment != PAYMENT_REFUNDED;
    if (is_open && held != open)
        return "units are not held for an order that is open";
    for (int i = 0; i < plan->skus_count; i++)
        if (order->sent[i] != row->shipped[i])
            return "the shelf does not know what was shipped";
    return NULL;
}

const char *saga_rest(struct arena *arena, const struct saga_plan *plan,
                      const struct saga_state *state)
{
    struct saga_step steps[SAGA_EVENTS_MAX * 2];
    struct saga_state now = *state;
    struct world world = { .arena = arena, .plan = plan, .steps = steps };
    arena_reset(arena);
    int left = REST_STEPS_MAX;
    while (step_on(&world, &now))
        if (--left == 0)
            return "the shop never comes to rest";
    const char *complaint = world.complaint ? world.complaint : saga_check(plan, &now);
    for (int i = 0; i < plan->orders_count && !complaint; i++)
        complaint = check_rest(plan, &now, i);
    return complaint;
}
