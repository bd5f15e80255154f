#include "tests/sim/world.h"
#include "chassis/conf.h"
#include "chassis/db_faults.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"
#include "tests/sim/dice.h"
#include "tests/sim/story.h"

enum { ANSWERS_LATE_US = 60 * 1000 * 1000 };
static const int64_t never_us = INT64_C(1000000) * 86400 * 300;

const char *const world_kid = "simulation";

static const uint8_t key_seed[ED25519_SEED_BYTES] = "the key of the simulated clients";

/* ---- settings ---- */

static const struct conf *conf_of(struct world *world)
{
    char *environment[PLAN_SETTINGS_MAX + 3];
    int count = 0;
    str folder = str_format(world->arena, "DATA_DIR=%" STR_F, STR_A(world->folder));
    environment[count++] = (char *)(uintptr_t)str_z(world->arena, folder);
    environment[count++] = (char *)(uintptr_t) "DATABASE_DURABLE=false";
    for (int i = 0; i < world->plan->settings_count; i++)
        environment[count++] = (char *)(uintptr_t)world->plan->settings[i];
    environment[count] = NULL;

    const struct conf *conf;
    char *arguments[] = { (char *)(uintptr_t) "sim", NULL };
    err error = conf_load(world->arena, 1, arguments, environment, &conf, NULL);
    RULE(error == OK, "settings", "%" STR_F, STR_A(err_describe(world->arena, error)));
    return conf;
}

static void write_key(struct world *world)
{
    struct arena *arena = world->arena;
    world->key = ed25519_of_seed(key_seed);
    str folder = str_format(arena, "%" STR_F "/keys", STR_A(world->folder));
    str path = str_format(arena, "%" STR_F "/%s", STR_A(folder), world_kid);
    err error = disk_make_dirs(arena, folder);
    if (error == OK)
        error = disk_write(arena, path, base64url(arena, str_of(key_seed, sizeof key_seed)), 0600);
    RULE(error == OK, "keys", "%" STR_F, STR_A(err_describe(arena, error)));
}

/* ---- the bus ---- */

static uint64_t key_hash(str topic, str key) { return str_hash(topic) * 31 + str_hash(key); }

/* An event has one id for ever, however often it is published. */
static void note_event(struct world *world, const struct bus_event *event)
{
    uint64_t hash = key_hash(event->topic, event->key);
    size_t i = (hash + (uint64_t)event->number) % EVENTS_MAX;
    for (; world->events[i].number; i = (i + 1) % EVENTS_MAX) {
        struct announced *known = &world->events[i];
        if (known->key_hash != hash || known->number != event->number)
            continue;
        RULE(uuid_equal(known->id, event->id), "events",
             "two events are number %lld of %" STR_F " %" STR_F, (long long)event->number,
             STR_A(event->topic), STR_A(event->key));
        return;
    }
    ASSERT(world->events_count++ < EVENTS_MAX / 2);
    world->events[i] =
        (struct announced){ .key_hash = hash, .number = event->number, .id = event->id };
}

void world_announced(const struct world *world, str topic, str key, int *count, int64_t *greatest)
{
    uint64_t hash = key_hash(topic, key);
    *count = 0;
    *greatest = 0;
    for (int i = 0; i < EVENTS_MAX; i++) {
        const struct announced *event = &world->events[i];
        if (!event->number || event->key_hash != hash)
            continue;
        ++*count;
        if (event->number > *greatest)
            *greatest = event->number;
    }
}

static int64_t decide(struct world *world, const struct bus_event *event, bool *repeat)
{
    const struct plan_bus *bus = &world->plan->bus;
    if (world->loses_for_ever && world->lost_for_ever == 0 &&
        str_equal(event->type, STR("products.v1.StockReserved"))) {
        world->lost_for_ever++;
        return never_us;
    }
    if (!world->faults_on)
        return 0;
    *repeat = dice_one_in(bus->repeat_one_in);
    if (dice_one_in(bus->lost_one_in))
        return 1 + dice_us(bus->lost_us);
    if (dice_one_in(bus->late_one_in))
        return 1 + dice_us(bus->late_us);
    return 0;
}

static int64_t fate(void *self, const char *consumer, const struct bus_event *event, bool *repeat)
{
    struct world *world = self;
    note_event(world, event);
    int64_t late_us = decide(world, event, repeat);
    story_tell("  bus to %-8s %" STR_F " #%lld of %" STR_F "%s, %lld ms late", consumer,
               STR_A(event->type), (long long)event->number, STR_A(event->key),
               *repeat ? ", twice" : "", (long long)late_us / 1000);
    return late_us;
}

/* ---- opening and closing ---- */

void world_init(struct world *world, struct arena *arena, const struct plan *plan, str folder)
{
    *world = (struct world){ .plan = plan, .arena = arena, .folder = folder, .faults_on = true };
    world->events = arena_array(arena, struct announced, EVENTS_MAX);
    lock_init(&world->lock);
    cond_init(&world->changed);
    write_key(world);
    world->conf = conf_of(world);
}

void world_done(struct world *world)
{
    ASSERT(!world->shop && world->under_way == 0);
    cond_done(&world->changed);
    lock_done(&world->lock);
}

void world_open(struct world *world)
{
    struct bus_faults faults = { .self = world, .fate = fate };
    world->opening = arena_open(SIZE_MAX);
    err error = shop_open(world->opening, world->conf, &faults, &world->shop);
    RULE(error == OK, "opening", "%" STR_F, STR_A(err_describe(world->arena, error)));
    shop_start(world->shop);
    lock_take(&world->lock);
    world->is_open = true;
    lock_drop(&world->lock);
    story_tell("the shop is open");
}

void world_stop(struct world *world)
{
    story_tell("the shop stops");
    lock_take(&world->lock);
    world->is_open = false;
    world->stops++;
    lock_drop(&world->lock);
    shop_stop(world->shop);

    int64_t until_us = clock_mono_us() + ANSWERS_LATE_US;
    lock_take(&world->lock);
    while (world->under_way > 0 && clock_mono_us() < until_us)
        cond_wait_until(&world->changed, &world->lock, until_us);
    int left = world->under_way;
    lock_drop(&world->lock);
    RULE(left == 0, "stop", "%d calls under way were never answered by a shop that stops", left);
}

void world_close(struct world *world)
{
    shop_close(world->shop);
    world->shop = NULL;
    arena_close(world->opening);
    story_tell("the shop is closed");
}

/* ---- the disk ---- */

void world_fill_disk(struct world *world)
{
    static const char *const services[] = { "orders", "products", "orders", "products", "users" };
    static const char *const steps[] = { "begin", "statement", "commit", "read" };
    const char *service = services[dice(sizeof services / sizeof services[0])];
    enum db_step step = (enum db_step)dice(DB_STEPS_COUNT);
    int nth = 1 + dice(step == DB_STEP_STATEMENT ? 40 : 8);
    lock_take(&world->lock);
    if (world->is_open)
        db_fail_at(service_db(shop_service(world->shop, str_of_z(service))), step, nth,
                   DB_FAULT_FULL);
    lock_drop(&world->lock);
    story_tell("the disk of %s will be full at %s %d", service, steps[step], nth);
}

/* ---- the door ---- */

static str first_segment(str path)
{
    str rest = str_slice(path, 1, path.len);
    return str_cut(&rest, '/');
}

bool world_hand(struct world *world, struct request *request)
{
    lock_take(&world->lock);
    bool is_open = world->is_open;
    world->under_way += is_open;
    lock_drop(&world->lock);
    if (!is_open)
        return false;
    struct service *service = shop_service(world->shop, first_segment(request->path));
    ASSERT(service);
    service_handle(service, request);
    return true;
}

void world_answered(struct world *world)
{
    lock_take(&world->lock);
    ASSERT(world->under_way > 0);
    if (--world->under_way == 0)
        cond_wake_all(&world->changed);
    lock_drop(&world->lock);
}
