#include "tests/sim/world.h"
#include "apps/care.h"
#include "chassis/admin.h"
#include "chassis/client.h"
#include "chassis/conf.h"
#include "chassis/db_faults.h"
#include "chassis/service_inside.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"
#include "tests/sim/broker.h"
#include "tests/sim/deeds.h"
#include "tests/sim/dice.h"
#include "tests/sim/door.h"
#include "tests/sim/faults.h"
#include "tests/sim/story.h"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
    environment[count++] = (char *)(uintptr_t) "DATABASE_DURABLE=true";
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

/* ---- the crash ---- */

/* From here on nobody gets in, and nobody of the program goes on. */
static void crash_now(void *subject)
{
    struct program *program = subject;
    struct world *world = program->world;
    if (program->only)
        story_tell("%s IS KILLED", program->only->name);
    else
        story_tell("THE SHOP IS KILLED");
    program->is_open = false;
    program->is_crashed = true;
    program->crashes++;
    world->crashes++;
    world->stops++;
    program->under_way = 0; /* nobody will answer them */
    program->visitors = 0;
    baton_kill(program->process);
    cond_wake_all(&world->changed);
}

/* Where the caller is; NULL outside all of them. */
static struct program *program_here(struct world *world)
{
    int process = baton_process();
    return process == BATON_OUTSIDE ? NULL : &world->programs[process - 1];
}

static bool strikes(struct world *world, enum crash_point point)
{
    if (point == CRASH_AT_IO && world->at_io)
        return world->at_io(world->at_io_subject);
    return world->crash_in[point] > 0 && --world->crash_in[point] == 0;
}

static void pass_point(struct world *world, enum crash_point point)
{
    struct program *program = program_here(world);
    if (!program || (world->victim && world->victim != program))
        return;
    world->points[point]++;
    if (program->is_crashed || !strikes(world, point))
        return;
    deed((enum deed)(DEED_KILLED_AT_IO + (int)point));
    if (program->only)
        deed(DEED_KILLED_ALONE);
    world->victim = NULL;
    baton_outside(crash_now, program);
}

void world_crash_all(struct world *world)
{
    for (int i = 0; i < world->programs_count; i++)
        if (world->programs[i].shop && !world->programs[i].is_crashed)
            crash_now(&world->programs[i]);
}

static enum disk_fault on_disk_op(void *self, enum disk_op op, const char *path)
{
    struct world *world = self;
    size_t len = strlen(path);
    if (op == DISK_SYNCED && len > 4 && strcmp(path + len - 4, "-wal") == 0)
        pass_point(world, CRASH_AT_COMMIT);
    if (op != DISK_READ)
        pass_point(world, CRASH_AT_IO);
    if (world->fault_in[op] == 0 || --world->fault_in[op] > 0)
        return DISK_WORKS;
    static const char *const ops[] = { "read", "write", "sync", "", "truncation", "removal" };
    world->faults_of_disk++;
    deed(op == DISK_READ               ? DEED_READ_FAILED
         : op == DISK_SYNC             ? DEED_SYNC_FAILED
         : world->fault == DISK_ENOSPC ? DEED_NO_ROOM
                                       : DEED_WRITE_FAILED);
    story_tell("the disk fails: a %s of %s", ops[op], strrchr(path, '/'));
    return world->fault;
}

/* A failed sync ends the process, by abort(): only then is it the plan that did it. */
static struct world *world_at_work;
static struct sigaction abort_before;

static void on_abort(int signal_number)
{
    struct program *program = world_at_work ? program_here(world_at_work) : NULL;
    if (crash_disk_has_failed_sync() && program)
        baton_outside(crash_now, program);
    sigaction(signal_number, &abort_before, NULL);
    raise(signal_number);
}

static void watch(struct world *world)
{
    bool cuts = world->plan->cut_one_in > 0 && fault_strikes(FAULT_DISK_CUT, 1);
    bool in_memory = !cuts && !world->plan->on_files;
    crash_disk_install(&(struct disk_watch){ .self = world, .op = on_disk_op },
                       in_memory ? DISK_IN_MEMORY : DISK_OF_MACHINE);
    crash_disk_cuts(cuts ? world->plan->cut_one_in : 0);
    world_at_work = world;
    struct sigaction action = { .sa_handler = on_abort, .sa_flags = SA_NODEFER };
    sigaction(SIGABRT, &action, &abort_before);
}

static void stop_watching(void)
{
    sigaction(SIGABRT, &abort_before, NULL);
    world_at_work = NULL;
    crash_disk_cuts(0);
}

void world_crash_at(struct world *world, enum crash_point point, int64_t nth)
{
    world->crash_in[point] = nth;
}

bool world_is_whole(const struct world *world)
{
    bool is_whole = true;
    for (int i = 0; i < world->programs_count; i++)
        is_whole = is_whole && !world->programs[i].is_crashed;
    return is_whole;
}

static struct program *crashed(struct world *world)
{
    for (int i = 0; i < world->programs_count; i++)
        if (world->programs[i].is_crashed)
            return &world->programs[i];
    return NULL;
}

struct program *world_await_crash(struct world *world, int64_t until_us)
{
    lock_take(&world->lock);
    while (!crashed(world) && clock_mono_us() < until_us)
        cond_wait_until(&world->changed, &world->lock, until_us);
    struct program *program = crashed(world);
    lock_drop(&world->lock);
    return program;
}

void world_mend(struct world *world)
{
    memset(world->crash_in, 0, sizeof world->crash_in);
    memset(world->fault_in, 0, sizeof world->fault_in);
    world->victim = NULL;
}

/* What of the disk is a program's: its name before ".db". */
static bool owns(const struct program *program, const char *name)
{
    bool is_bank = strcmp(name, "payments-simulator") == 0;
    return !program->only || strcmp(is_bank ? "orders" : name, program->only->name) == 0;
}

void world_bury(struct program *program, bool is_power_cut)
{
    struct world *world = program->world;
    ASSERT(program->is_crashed);
    world_mend(world);
    static const char *const names[] = { "orders", "products", "users", "payments-simulator" };
    const char *owned[4];
    int owned_count = 0;
    for (int i = 0; i < 4; i++) {
        char path[300];
        if (!owns(program, names[i]))
            continue;
        owned[owned_count++] = names[i];
        snprintf(path, sizeof path, "%" STR_F "/%s.db.lock", STR_A(world->folder), names[i]);
        unlink(path);
    }
    int64_t lost = crash_disk_crash(is_power_cut, owned, owned_count);
    if (lost > 0)
        deed(DEED_SECTORS_LOST);
    if (program->bus)
        broker_bury(world->broker, program->bus);
    program->shop = NULL; /* nobody will ever close it */
    program->is_crashed = false;
    story_tell(is_power_cut ? "the power was cut: %lld unsynced sectors are lost"
                            : "the process is gone, the machine goes on",
               (long long)lost);
}

/* ---- the bus ---- */

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
    *repeat = fault_strikes(FAULT_BUS_TWICE, bus->repeat_one_in);
    if (fault_strikes(FAULT_BUS_LOST, bus->lost_one_in))
        return 1 + fault_number(0, bus->lost_us);
    if (fault_strikes(FAULT_BUS_LATE, bus->late_one_in))
        return 1 + fault_number(0, bus->late_us);
    return 0;
}

static bool is_stopped(const struct world *world, const char *consumer)
{
    static const char *const names[] = { "users", "products", "orders" };
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], consumer) == 0)
            return world->stopped[i];
    return false;
}

/* A consumer that is cut off hears everything when that is over. */
static int64_t cut_us(struct world *world, const char *consumer)
{
    const struct plan_bus *bus = &world->plan->bus;
    int at = 0;
    while (world->bus_cut_of[at] && strcmp(world->bus_cut_of[at], consumer) != 0)
        at++;
    ASSERT(at < WORLD_CONSUMERS_MAX - 1);
    if (!world->bus_cut_of[at])
        world->bus_cut_of[at] = str_z(world->arena, str_of_z(consumer));
    int64_t now_us = clock_mono_us(), *until_us = &world->bus_cut_until_us[at];
    if (!world->faults_on)
        *until_us = 0;
    else if (is_stopped(world, consumer))
        *until_us = now_us + TIME_SECOND;
    else if (now_us >= *until_us && fault_strikes(FAULT_BUS_CUT, bus->cut_one_in))
        *until_us = now_us + 1 + fault_number(0, bus->cut_us);
    return *until_us > now_us ? *until_us - now_us : 0;
}

static int64_t fate(void *self, const char *consumer, const struct bus_event *event, bool *repeat)
{
    struct world *world = self;
    if (!world->broker)
        pass_point(world, CRASH_AT_MESSAGE);
    announced_note(&world->announced, event);
    int64_t late_us = decide(world, event, repeat), cut = cut_us(world, consumer);
    late_us = late_us > cut ? late_us : cut;
    story_tell("  bus to %-8s %" STR_F " #%lld of %" STR_F "%s, %lld ms late", consumer,
               STR_A(event->type), (long long)event->number, STR_A(event->key),
               *repeat ? ", twice" : "", (long long)late_us / 1000);
    return late_us;
}

/* Events have come to a program. */
static void events_come(void *self) { pass_point(self, CRASH_AT_MESSAGE); }

int world_backlog(const struct world *world)
{
    return world->broker ? broker_backlog(world->broker) : 0;
}

void world_stop_link(struct world *world, enum world_link link, bool is_stopped)
{
    static const char *const names[] = { "bus to users", "bus to products", "bus to orders",
                                         "calls between services" };
    world->stopped[link] = is_stopped;
    story_tell("%s: %s", names[link], is_stopped ? "stopped" : "released");
}

/* ---- reactions that cannot take an event ---- */

/* The same for ever: a program that has a fault has it each time. */
static bool refuses(void *self, const char *consumer, const struct bus_event *event)
{
    struct world *world = self;
    if (world->is_mended || world->plan->refused_one_in == 0)
        return false;
    str id = str_of(event->id.bytes, sizeof event->id.bytes);
    uint64_t hash = str_hash(id) * 31 + str_hash(str_of_z(consumer));
    uint8_t *decided = &world->refusals[hash % REFUSALS_MAX];
    if (*decided == 0)
        *decided = 1 + fault_strikes(FAULT_REFUSED, world->plan->refused_one_in);
    if (*decided == 1)
        return false;
    world->events_refused++;
    story_tell("  %s cannot take %" STR_F " #%lld of %" STR_F, consumer, STR_A(event->type),
               (long long)event->number, STR_A(event->key));
    return true;
}

void world_mend_reactions(struct world *world)
{
    world->is_mended = true;
    story_tell("the program that refused events is mended");
}

/* ---- calls between services ---- */

static enum client_fate peer_fate(void *self, const struct call_spec *spec)
{
    struct world *world = self;
    const struct plan_peers *peers = &world->plan->peers;
    enum client_fate fate = CLIENT_GOES;
    if (!world->faults_on)
        return fate;
    /* While it is cut nothing cuts it anew: who asks again and again would keep it so for ever. */
    if (clock_mono_us() >= world->peer_cut_until_us &&
        fault_strikes(FAULT_PEER_CUT, peers->cut_one_in))
        world->peer_cut_until_us = clock_mono_us() + 1 + fault_number(0, peers->cut_us);
    if (fault_strikes(FAULT_PEER_LATE, peers->late_one_in))
        sleep_until(clock_mono_us() + fault_number(0, peers->late_us));
    if (clock_mono_us() < world->peer_cut_until_us || world->stopped[LINK_PEERS] ||
        fault_strikes(FAULT_PEER_AWAY, peers->away_one_in))
        fate = CLIENT_AWAY;
    else if (fault_strikes(FAULT_PEER_ANSWER_LOST, peers->lost_one_in))
        fate = CLIENT_ANSWER_LOST;
    static const char *const words[] = { "is answered", "finds nobody", "is not answered" };
    story_tell("  call %s %s", spec->short_name, words[fate]);
    return fate;
}

/* A call from one program to another. */
struct visit {
    struct program *to;
    struct arena *arena; /* of the call there: what the dead hold is never given back */
    const struct call_spec *spec;
    const void *in, *out;
    int64_t deadline_us;
    err error;
};

static void visit_inside(void *subject)
{
    struct visit *visit = subject;
    struct program *to = visit->to;
    struct service *service = shop_service(to->shop, str_of_z(to->only->name));
    struct call caller = { .arena = visit->arena, .deadline_us = visit->deadline_us };
    visit->error = service_call_inline(service, &caller, visit->spec, visit->in, &visit->out);
    if (--to->visitors == 0)
        cond_wake_all(&to->world->changed);
}

static err copy_answer(const struct visit *visit, struct arena *arena, const void **out)
{
    void *message;
    if (visit->error != OK)
        return err_copy(arena, visit->error);
    str bytes = message_pack(visit->arena, visit->out);
    TRY(message_unpack(arena, bytes, visit->spec->response, &message));
    *out = message;
    return OK;
}

/* Whoever is killed while he asks comes back from there first, and holds nothing of it. */
static err call_program(void *self, struct call *caller, const struct call_spec *spec,
                        const void *in, const void **out)
{
    struct program *to = self;
    enum client_fate fate = peer_fate(to->world, spec);
    if (fate == CLIENT_AWAY || !to->is_open)
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s is away", spec->short_name);
    struct visit visit = { .to = to,
                           .arena = arena_open(SIZE_MAX),
                           .spec = spec,
                           .in = in,
                           .deadline_us = caller->deadline_us };
    to->visitors++;
    if (!baton_inside(to->process, visit_inside, &visit))
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s was killed", spec->short_name);
    err error = copy_answer(&visit, caller->arena, out);
    arena_close(visit.arena);
    return fate == CLIENT_ANSWER_LOST
               ? fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s did not answer", spec->short_name)
               : error;
}

static struct client *way_to(void *self, enum shop_part part)
{
    struct world *world = self;
    struct program *to = world->programs;
    while (to->only->part != part)
        to++;
    return client_open_way(&(struct client_way){ .self = to, .call = call_program });
}

/* ---- opening and closing ---- */

static void make_programs(struct world *world)
{
    world->programs_count = world->plan->is_apart ? SHOP_MEMBERS_MAX : 1;
    for (int i = 0; i < world->programs_count; i++)
        world->programs[i] = (struct program){ .world = world,
                                               .only = world->plan->is_apart ? SHOP_ALL[i] : NULL,
                                               .process = i + 1 };
    if (world->plan->is_apart)
        world->broker = broker_make(&(struct broker_config){
            .faults = { .self = world, .fate = fate }, .comes = events_come, .self = world });
}

void world_init(struct world *world, struct arena *arena, const struct plan *plan, str folder)
{
    *world = (struct world){ .plan = plan, .arena = arena, .folder = folder, .faults_on = true };
    announced_init(&world->announced, arena);
    world->refusals = arena_array(arena, uint8_t, REFUSALS_MAX);
    lock_init(&world->lock);
    cond_init(&world->changed);
    watch(world);
    write_key(world);
    client_use_faults(&(struct client_faults){ .self = world, .fate = peer_fate });
    consumer_use_faults(&(struct consumer_faults){ .self = world, .refuses = refuses });
    if (world->plan->drift_us > 0 && fault_strikes(FAULT_DRIFT, 1))
        baton_wall_drift(world->plan->drift_us);
    world->conf = conf_of(world);
    make_programs(world);
}

void world_done(struct world *world)
{
    for (int i = 0; i < world->programs_count; i++)
        ASSERT(!world->programs[i].shop && world->programs[i].under_way == 0);
    broker_free(world->broker);
    world->broker = NULL;
    stop_watching();
    client_use_faults(NULL);
    consumer_use_faults(NULL);
    cond_done(&world->changed);
    lock_done(&world->lock);
}

static void open_operators_door(struct program *program)
{
    struct admin_config config = { .conf = program->world->conf };
    program->care = care_open(program->shop);
    struct service *services[SHOP_MEMBERS_MAX];
    care_actions(program->care, &config);
    for (int i = 0; i < program->shop->places_count; i++)
        services[i] = program->shop->places[i].service;
    config.services = services;
    config.services_count = program->shop->places_count;
    program->admin = admin_open(&config);
}

static struct shop_config config_of(struct program *program, const struct bus_faults *faults)
{
    struct world *world = program->world;
    struct shop_config config = { .conf = world->conf, .name = STR("duka"), .self = world };
    if (program->only) {
        config.members = &program->only;
        config.members_count = 1;
        config.bus = program->bus = broker_bus(world->broker);
        config.way_to = way_to;
    } else {
        config.members = SHOP_ALL;
        config.members_count = SHOP_MEMBERS_MAX;
        config.has_gateway = true;
        config.faults = faults;
    }
    return config;
}

static void open_inside(void *subject)
{
    struct program *program = subject;
    struct world *world = program->world;
    struct bus_faults faults = { .self = world, .fate = fate };
    err error;
    int failed_before;
    do { /* where its disk failed just now, it is started again */
        struct shop_config config = config_of(program, &faults);
        failed_before = world->faults_of_disk;
        error = shop_open(program->opening, &config, &program->shop);
    } while (error != OK && world->faults_of_disk > failed_before);
    RULE(error == OK, "opening", "%" STR_F, STR_A(err_describe(world->arena, error)));
    shop_start(program->shop);
    open_operators_door(program);
    program->door = program->only ? NULL : door_open(program->opening, program->shop);
}

static const char *name_of(const struct program *program)
{
    return program->only ? program->only->name : "the shop";
}

bool world_open(struct program *program)
{
    program->opening = arena_open(SIZE_MAX);
    if (!baton_inside(program->process, open_inside, program)) {
        story_tell("it was killed while it opened");
        return false;
    }
    program->is_open = !program->is_crashed;
    story_tell("%s is open", name_of(program));
    return true;
}

/* Nobody has a turn between the look and the visit: who visits the dead would wait for ever. */
static bool visit_alive(struct program *program, void (*run)(void *subject))
{
    return !program->is_crashed && baton_inside(program->process, run, program);
}

static void stop_inside(void *subject) { shop_stop(((struct program *)subject)->shop); }

bool world_stop(struct program *program)
{
    struct world *world = program->world;
    story_tell("%s stops", name_of(program));
    lock_take(&world->lock);
    program->is_open = false;
    world->stops++;
    lock_drop(&world->lock);
    if (!visit_alive(program, stop_inside))
        return false;

    int64_t until_us = clock_mono_us() + ANSWERS_LATE_US;
    lock_take(&world->lock);
    while (program->under_way + program->visitors > 0 && clock_mono_us() < until_us &&
           !program->is_crashed)
        cond_wait_until(&world->changed, &world->lock, until_us);
    int left = program->under_way + program->visitors;
    lock_drop(&world->lock);
    if (program->is_crashed)
        return false;
    RULE(left == 0, "stop", "%d calls under way were never answered by a shop that stops", left);
    return true;
}

static void close_inside(void *subject)
{
    struct program *program = subject;
    care_close(program->care);
    admin_close(program->admin, 0, NULL, NULL);
    gateway_close(program->door);
    shop_close(program->shop);
}

bool world_close(struct program *program)
{
    if (!visit_alive(program, close_inside))
        return false;
    program->shop = NULL;
    arena_close(program->opening);
    story_tell("%s is closed", name_of(program));
    return true;
}

/* ---- the disk ---- */

static struct program *program_of(struct world *world, str service)
{
    for (int i = 0; i < world->programs_count; i++)
        if (!world->programs[i].only || str_equal(service, str_of_z(world->programs[i].only->name)))
            return &world->programs[i];
    ASSERT(false);
    return NULL;
}

struct filling {
    struct program *program;
    const char *service;
    enum db_step step;
    int nth;
};

static void fill_inside(void *subject)
{
    const struct filling *filling = subject;
    struct program *program = filling->program;
    if (program->is_open)
        db_fail_at(service_db(shop_service(program->shop, str_of_z(filling->service))),
                   filling->step, filling->nth, DB_FAULT_FULL);
}

void world_fill_disk(struct world *world)
{
    static const char *const services[] = { "orders", "products", "orders", "products", "users" };
    static const char *const steps[] = { "begin", "statement", "commit", "read" };
    struct filling filling = { 0 };
    filling.service = services[dice(sizeof services / sizeof services[0])];
    filling.step = (enum db_step)dice(DB_STEPS_COUNT);
    filling.nth = 1 + dice(filling.step == DB_STEP_STATEMENT ? 40 : 8);
    filling.program = program_of(world, str_of_z(filling.service));
    lock_take(&world->lock); /* so that nobody closes it meanwhile */
    (void)baton_inside(filling.program->process, fill_inside, &filling);
    lock_drop(&world->lock);
    story_tell("the disk of %s will be full at %s %d", filling.service, steps[filling.step],
               filling.nth);
}

void world_break_disk(struct world *world)
{
    static const enum disk_op ops[] = { DISK_READ, DISK_WRITE, DISK_WRITE, DISK_WRITE, DISK_SYNC };
    enum disk_op op = ops[dice(sizeof ops / sizeof ops[0])];
    bool is_open = false;
    for (int i = 0; i < world->programs_count; i++)
        is_open = is_open || world->programs[i].is_open;
    if (!is_open)
        return;
    world->fault = op == DISK_WRITE && dice_one_in(2) ? DISK_ENOSPC : DISK_EIO;
    world->fault_in[op] = 1 + dice(60);
}

void world_fail_disk(struct world *world, enum disk_op op, enum disk_fault fault, int64_t nth)
{
    world->fault = fault;
    world->fault_in[op] = nth;
}

/* ---- queues and caches ---- */

enum { BUS_EVENTS_MAX = 16384, RELAY_UNDER_WAY_MAX = 8192 }; /* as shop.c and relay.c have them */

static void look_at_service(const struct program *program, struct service *service)
{
    const struct world *world = program->world;
    static const char rule[] = "queues and caches keep their bounds";
    int64_t under_way = relay_backlog(service->relay);
    RULE(under_way <= RELAY_UNDER_WAY_MAX, rule, "the relay of %s has %lld events under way",
         service_name(service), (long long)under_way);
    int64_t bytes = cache_stats_of(service->cache).bytes;
    RULE(bytes <= conf_int(world->conf, CONF_CATALOG_CACHE), rule, "%s has %lld bytes of answers",
         service_name(service), (long long)bytes);
    int waiting = waiters_count(&service->waiters);
    RULE(waiting <= program->under_way + 1, rule, "%d calls of %s wait, of %d", waiting,
         service_name(service), program->under_way);
}

static void look_inside(void *subject)
{
    static const char rule[] = "queues and caches keep their bounds";
    const struct program *program = subject;
    const struct world *world = program->world;
    if (!program->is_open)
        return;
    struct shop *shop = program->shop;
    int64_t backlog = bus_backlog(shop->house.bus);
    RULE(backlog <= BUS_EVENTS_MAX, rule, "the bus has %lld events", (long long)backlog);
    int queue = workers_queue_length(shop->house.workers);
    int64_t queue_max = conf_int(world->conf, CONF_QUEUE_MAX) + program->under_way;
    RULE(queue <= queue_max, rule, "%d calls wait for a worker, of at most %lld", queue,
         (long long)queue_max);
    for (int i = 0; i < shop->places_count; i++)
        look_at_service(program, shop->places[i].service);
}

void world_check_bounds(struct world *world)
{
    for (int i = 0; i < world->programs_count; i++) {
        lock_take(&world->lock); /* so that nobody closes it meanwhile */
        (void)baton_inside(world->programs[i].process, look_inside, &world->programs[i]);
        lock_drop(&world->lock);
    }
}

/* ---- the door ---- */

static str first_segment(str path)
{
    str rest = str_slice(path, 1, path.len);
    return str_cut(&rest, '/');
}

struct program *world_program(struct world *world, str path)
{
    str first = first_segment(path);
    return program_of(world, str_equal(first, STR("operator")) ? STR("orders") : first);
}

struct handing {
    struct program *program;
    struct request *request;
    int crashes_before;
};

static void hand_inside(void *subject)
{
    const struct handing *handing = subject;
    struct program *program = handing->program;
    if (program->crashes != handing->crashes_before)
        return;
    if (handing->request->operator_socket) {
        admin_handle(program->admin, handing->request);
        return;
    }
    if (program->door)
        gateway_handle(program->door, handing->request);
    else
        service_handle(program->shop->places[0].service, handing->request);
}

/* A program that is killed meanwhile leaves the caller standing at the door. */
bool world_hand(struct program *program, struct request *request)
{
    struct world *world = program->world;
    struct handing handing = { .program = program, .request = request };
    lock_take(&world->lock);
    bool is_open = program->is_open;
    program->under_way += is_open;
    handing.crashes_before = program->crashes;
    lock_drop(&world->lock);
    if (is_open && !baton_inside(program->process, hand_inside, &handing))
        panic_context(NULL);
    return is_open;
}

void world_answering(struct world *world) { pass_point(world, CRASH_AT_ANSWER); }

void world_answered(struct program *program, int crashes_before)
{
    struct world *world = program->world;
    lock_take(&world->lock);
    if (program->crashes == crashes_before) {
        ASSERT(program->under_way > 0);
        if (--program->under_way == 0)
            cond_wake_all(&world->changed);
    }
    lock_drop(&world->lock);
}
