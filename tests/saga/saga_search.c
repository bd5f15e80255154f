#include "tests/saga/saga.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_STATES = 4096, CHUNKS_MAX = 16384, STEP_ARENA_BYTES = 4 * 1024 * 1024 };

/* How a state was first reached. */
struct origin {
    uint32_t from;
    uint8_t order;
    const char *what;
};

struct chunk {
    uint8_t *states;
    struct origin *origins;
};

struct search {
    struct arena *arena;
    const struct saga_plan *plan;
    size_t state_bytes;
    struct chunk chunks[CHUNKS_MAX];
    uint32_t count, *slots; /* slots: number of a state + 1; open addressing */
    size_t slots_count;
};

static size_t bytes_of(const struct saga_plan *plan)
{
    return offsetof(struct saga_state, orders) +
           (size_t)plan->orders_count * sizeof(struct saga_order);
}

static const uint8_t *state_at(const struct search *search, uint32_t at)
{
    return search->chunks[at / CHUNK_STATES].states + at % CHUNK_STATES * search->state_bytes;
}

static struct origin *origin_at(const struct search *search, uint32_t at)
{
    return &search->chunks[at / CHUNK_STATES].origins[at % CHUNK_STATES];
}

static uint64_t hash_of(const uint8_t *bytes, size_t len) { return str_hash(str_of(bytes, len)); }

static uint32_t *slot_of(const struct search *search, const uint8_t *state)
{
    size_t i = hash_of(state, search->state_bytes) & (search->slots_count - 1);
    while (search->slots[i] &&
           memcmp(state_at(search, search->slots[i] - 1), state, search->state_bytes) != 0)
        i = (i + 1) & (search->slots_count - 1);
    return &search->slots[i];
}

static void grow_slots(struct search *search)
{
    search->slots_count = search->slots_count ? 2 * search->slots_count : 1 << 16;
    search->slots = arena_array(search->arena, uint32_t, search->slots_count);
    memset(search->slots, 0, search->slots_count * sizeof *search->slots);
    for (uint32_t i = 0; i < search->count; i++)
        *slot_of(search, state_at(search, i)) = i + 1;
}

/* Adds a state that was not seen before; false where it was. */
static bool add(struct search *search, const struct saga_state *state, struct origin origin)
{
    if (2 * ((size_t)search->count + 1) > search->slots_count)
        grow_slots(search);
    uint32_t *slot = slot_of(search, (const uint8_t *)state);
    if (*slot)
        return false;
    struct chunk *chunk = &search->chunks[search->count / CHUNK_STATES];
    ASSERT(chunk < search->chunks + CHUNKS_MAX);
    if (!chunk->states) {
        chunk->states = arena_alloc(search->arena, CHUNK_STATES * search->state_bytes, 1);
        chunk->origins = arena_array(search->arena, struct origin, CHUNK_STATES);
    }
    size_t at = search->count % CHUNK_STATES;
    memcpy(chunk->states + at * search->state_bytes, state, search->state_bytes);
    chunk->origins[at] = origin;
    *slot = ++search->count;
    return true;
}

/* ---- telling ---- */

static void tell_state(const struct saga_plan *plan, const struct saga_state *state)
{
    for (int i = 0; i < plan->orders_count; i++) {
        const struct saga_row *row = &state->orders[i].row;
        if (row->status)
            printf("         order %d: %s, payment %s, fulfilment %s; bank %d, holds %d and %d\n",
                   i, order_status_word(row->status), payment_status_word(row->payment),
                   fulfilment_status_word(row->fulfilment), state->orders[i].bank,
                   state->orders[i].held[0], state->orders[i].held[1]);
    }
}

/* The way from the beginning, a step a line. */
static size_t tell_way(const struct search *search, uint32_t at)
{
    size_t depth = 0;
    uint32_t way[1000];
    for (uint32_t i = at; i != 0 && depth < 1000; i = origin_at(search, i)->from)
        way[depth++] = i;
    for (size_t i = depth; i-- > 0;)
        printf("  %3zu. order %d: %s\n", depth - i, origin_at(search, way[i])->order,
               origin_at(search, way[i])->what);
    struct saga_state state = { 0 };
    memcpy(&state, state_at(search, at), search->state_bytes);
    tell_state(search->plan, &state);
    return depth;
}

/* ---- searching ---- */

/* Visits one state: its steps are added, and those that are new are checked. */
static const char *visit(struct search *search, struct arena *arena, uint32_t at,
                         struct saga_step *steps, struct saga_found *found)
{
    struct saga_state state = { 0 };
    const char *complaint;
    memcpy(&state, state_at(search, at), search->state_bytes);
    int count = saga_steps(arena, search->plan, &state, steps, &complaint);
    found->edges += (size_t)count;
    for (int i = 0; i < count && !complaint; i++) {
        struct origin origin = { at, (uint8_t)steps[i].order, steps[i].what };
        if (!add(search, &steps[i].to, origin))
            continue;
        complaint = saga_check(search->plan, &steps[i].to);
        if (!complaint)
            complaint = saga_rest(arena, search->plan, &steps[i].to);
        if (complaint)
            found->depth = tell_way(search, search->count - 1);
    }
    if (complaint && found->depth == 0)
        found->depth = tell_way(search, at);
    return complaint;
}

struct saga_found saga_search(struct arena *arena, const struct saga_plan *plan)
{
    ASSERT(plan->orders_count >= 1 && plan->orders_count <= SAGA_ORDERS_MAX);
    ASSERT(plan->skus_count >= 1 && plan->skus_count <= SAGA_SKUS_MAX);
    struct search *search = arena_new(arena, struct search);
    struct saga_step *steps = arena_array(arena, struct saga_step, SAGA_STEPS_MAX);
    struct arena *step_arena = arena_open(STEP_ARENA_BYTES);
    struct saga_found found = { 0 };
    *search = (struct search){ .arena = arena, .plan = plan, .state_bytes = bytes_of(plan) };
    struct saga_state begin = saga_begin(plan);
    add(search, &begin, (struct origin){ 0 });

    uint32_t at = 0;
    for (; at < search->count && !found.complaint; at++) {
        if (plan->states_max && search->count >= plan->states_max)
            break;
        found.complaint = visit(search, step_arena, at, steps, &found);
    }
    found.states = search->count;
    found.is_whole = at == search->count;
    if (found.complaint)
        printf("  so that: %s\n", found.complaint);
    arena_close(step_arena);
    return found;
}
