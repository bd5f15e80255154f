#include "apps/program.h"

#include "apps/confine.h"
#include "apps/doors.h"
#include "apps/watch.h"
#include "base/crypto.h"
#include "chassis/ask.h"
#include "chassis/obs.h"
#include "chassis/observe.h"
#include "chassis/version.h"
#include "os/disk.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/sync.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    START_BYTES_MAX = 64 * 1024 * 1024,
    FILES_BESIDE_CONNECTIONS = 256, /* databases, sockets of our own, files read now and then */
    PATIENCE_MS = 1500, /* for calls that wait for something to settle: longer than most do */
    GRACE_MS = 15000,   /* for an answer, once nothing new is taken */
    OPS_GRACE_MS = 1000,
    HEALTH_TIMEOUT_MS = 2000
};

enum stage { STAGE_SERVING, STAGE_DRAINING, STAGE_CLOSING };

struct running {
    const struct program *program;
    struct arena *arena;
    const struct conf *conf;
    struct disk_lock *lock;
    const struct confine *confine; /* NULL: SANDBOX is off, or the kernel has no Landlock */
    int landlock;                  /* the ABI of the kernel that holds it */
    struct observe *observe;
    int argc;
    char *const *argv;
    struct loop *loop;
    struct shop *shop;
    struct doors *doors;
    struct watch *watch; /* NULL: files are read again on SIGHUP only */
    enum stage stage;
    struct loop_timer *timer; /* the end of draining, then of patience */
    struct thread *stopper;
    struct loop_task stopped;
    bool shop_is_stopped, doors_are_closed;
};

static void tell_manager(const struct running *self, str state)
{
    process_notify_manager(conf_text(self->conf, CONF_NOTIFY_SOCKET), state);
}

/* ---- The end ---- */

static void on_ops_closed(void *subject) { loop_stop(((struct running *)subject)->loop); }

static void close_ops(struct running *self)
{
    if (self->shop_is_stopped && self->doors_are_closed)
        doors_close_ops(self->doors, OPS_GRACE_MS, on_ops_closed, self);
}

static void run_stopper(void *subject)
{
    struct running *self = subject;

    shop_stop(self->shop);
    loop_post(self->loop, &self->stopped);
}

static void on_stopped(struct loop_task *task)
{
    struct running *self = (struct running *)((char *)task - offsetof(struct running, stopped));

    thread_join(self->stopper);
    self->shop_is_stopped = true;
    close_ops(self);
}

/* On a thread of its own, for it waits for relays and lanes, and calls that waited are answered
 * meanwhile by the loop. */
static void stop_shop(struct running *self)
{
    if (!self->stopper)
        self->stopper = thread_start("stopper", run_stopper, self);
}

static void on_doors_closed(void *subject)
{
    struct running *self = subject;

    self->doors_are_closed = true;
    loop_timer_stop(self->timer);
    stop_shop(self);
    close_ops(self);
}

/* What was in flight is answered by itself, or, where it waits for something to settle, by the
 * stopping shop. */
static void begin_closing(void *subject)
{
    struct running *self = subject;

    if (self->stage == STAGE_CLOSING) { /* the patience is at its end */
        stop_shop(self);
        return;
    }
    self->stage = STAGE_CLOSING;
    loop_timer_start(self->timer, PATIENCE_MS, 0);
    doors_close_public(self->doors, GRACE_MS, on_doors_closed, self);
}

/* People at a terminal do not want to wait; the second signal says so too. */
static uint32_t drain_ms(const struct running *self)
{
    if (!conf_is_set(self->conf, CONF_DRAIN_TIME) && process_on_terminal(STDOUT_FILENO))
        return 0;
    return (uint32_t)conf_int(self->conf, CONF_DRAIN_TIME);
}

static void on_terminate(void *subject)
{
    struct running *self = subject;
    uint32_t delay_ms = self->stage == STAGE_SERVING ? drain_ms(self) : 0;

    if (self->stage == STAGE_CLOSING)
        return;
    if (self->stage == STAGE_SERVING) {
        LOG(LOG_INFO, "shop.stopping", LOG_NUMBER("drain_ms", delay_ms));
        tell_manager(self, STR("STOPPING=1"));
        doors_drain(self->doors);
        self->stage = STAGE_DRAINING;
    }
    if (delay_ms > 0)
        loop_timer_start(self->timer, delay_ms, 0);
    else
        begin_closing(self);
}

static err set_log(struct arena *arena, const struct conf *conf)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    static const char *const formats[] = { "json", "text", "auto" };
    int level, format;

    TRY(conf_choice(arena, conf, CONF_LOG_LEVEL, levels, 4, &level));
    TRY(conf_choice(arena, conf, CONF_LOG_FORMAT, formats, 3, &format));
    log_setup((enum log_level)level,
              format == 0 || (format == 2 && !process_on_terminal(STDOUT_FILENO)));
    return OK;
}

/* What may change while it runs: the file of settings is read again. One that is refused leaves
 * what was there. */
static err read_log_again(const struct running *self, struct arena *arena)
{
    const struct conf *conf;

    TRY(conf_load(arena, self->argc, self->argv, environ, &conf, NULL));
    return set_log(arena, conf);
}

static void reload_log(const struct running *self)
{
    struct arena *arena = arena_open(START_BYTES_MAX);
    err error = read_log_again(self, arena);

    if (error)
        LOG(LOG_ERROR, "settings.refused", LOG_TEXT("error", err_describe(arena, error)));
    arena_close(arena);
}

/* A route that was added while it runs may lead where the sandbox lets nobody connect. */
static void check_routes(const struct running *self)
{
    struct arena *arena = arena_open(START_BYTES_MAX);
    int port = self->confine ? confine_port_missing(arena, self->conf, self->confine) : 0;

    if (port != 0)
        LOG(LOG_ERROR, "sandbox.port_shut", LOG_NUMBER("port", port),
            LOG_TEXT("setting", STR("SANDBOX_PORTS")),
            LOG_TEXT("help", STR("restart, or name the port in SANDBOX_PORTS before the start")));
    arena_close(arena);
}

static void on_hangup(void *subject)
{
    struct running *self = subject;

    tell_manager(self, STR("RELOADING=1"));
    reload_log(self);
    doors_reload(self->doors);
    check_routes(self);
    tell_manager(self, STR("READY=1"));
}

/* ---- The beginning ---- */

/* Before anything else, so that a second copy is named as what it is. */
static err take_data_dir(struct running *self)
{
    struct arena *arena = self->arena;
    str dir = conf_text(self->conf, CONF_DATA_DIR);

    err error = disk_make_dirs(arena, dir);
    if (!error)
        error = disk_lock_take(arena, str_format(arena, "%" STR_F "/duka.lock", STR_A(dir)),
                               &self->lock);
    if (err_is(error, DB_LOCKED))
        return fail_over(arena, DB_LOCKED, error,
                         "another program of Duka runs on the data in %" STR_F ": %" STR_F
                         "; stop it, or give this one a DATA_DIR of its own",
                         STR_A(dir), STR_A(error->detail));
    if (error)
        return fail_over(arena, SETTING_INVALID, error,
                         "DATA_DIR is \"%" STR_F "\": %" STR_F
                         "; give a directory that can be made and written",
                         STR_A(dir), STR_A(error->detail));
    return OK;
}

/* A shell gives 1024 where the machine has room for far more. */
static void raise_files(const struct running *self)
{
    int64_t wanted = conf_int(self->conf, CONF_CONNECTIONS_MAX) + FILES_BESIDE_CONNECTIONS;
    int64_t files = process_raise_files(wanted);

    if (files < wanted)
        LOG(LOG_WARN, "limit.files", LOG_NUMBER("files", files), LOG_NUMBER("wanted", wanted),
            LOG_TEXT("setting", STR("CONNECTIONS_MAX")));
}

static unsigned parts_of(const struct program *program)
{
    unsigned parts = program->front ? SHOP_GATEWAY : 0;

    for (int i = 0; i < program->members_count; i++)
        parts |= program->members[i]->part;
    return parts;
}

/* Of a kernel that guards less than this program asks for, the log tells what is left open: the
 * account and systemd still hold. */
static void tell_confined(struct running *self, const struct confine *confine, bool holds)
{
    enum { ABI_WITH_PORTS = 4 };
    int abi = landlock_abi();

    if (!holds) {
        LOG(LOG_WARN, "sandbox.files_open", LOG_TEXT("error", str_of_z(strerror(errno))),
            LOG_TEXT("needs", STR("Landlock in the kernel")), LOG_TEXT("setting", STR("SANDBOX")));
        return;
    }
    if (abi < ABI_WITH_PORTS)
        LOG(LOG_WARN, "sandbox.ports_open", LOG_NUMBER("landlock", abi),
            LOG_NUMBER("needs", ABI_WITH_PORTS), LOG_TEXT("setting", STR("SANDBOX")));
    self->confine = confine;
    self->landlock = abi;
}

/* Once all runs: who reads the log of a start that failed finds one line, which says why. */
static void tell_entered(const struct running *self)
{
    if (self->confine)
        LOG(LOG_INFO, "sandbox.entered", LOG_NUMBER("landlock", self->landlock),
            LOG_TEXT("listens", confine_ports_text(self->arena, &self->confine->rules.listens)),
            LOG_TEXT("connects", confine_ports_text(self->arena, &self->confine->rules.connects)));
}

/* Either a fault of ours, or somebody who has come in: the name says what was tried. */
static void on_refused(const char *call, int number, int64_t thread)
{
    LOG(LOG_ERROR, "sandbox.refused", LOG_TEXT("call", str_of_z(call)),
        LOG_NUMBER("number", number), LOG_NUMBER("thread", thread),
        LOG_TEXT("setting", STR("SANDBOX")));
}

/* Before anything foreign is read and before the first thread. What the kernel lacks is told, not
 * refused. Landlock first: the list of calls has none of its. */
static err enter_sandbox(struct running *self)
{
    struct confine *confine;

    TRY(confine_plan(self->arena, self->conf, parts_of(self->program), environ, &confine));
    if (conf_int(self->conf, CONF_SANDBOX) == 0)
        return OK;
    bool holds = landlock_enter(&confine->rules);
    tell_confined(self, confine, holds);
    if (!sandbox_enter(on_refused))
        LOG(LOG_WARN, "sandbox.missing", LOG_TEXT("error", str_of_z(strerror(errno))),
            LOG_TEXT("setting", STR("SANDBOX")));
    return OK;
}

static err prepare(struct running *self, int argc, char *const *argv)
{
    TRY(conf_load(self->arena, argc, argv, environ, &self->conf, NULL));
    TRY(set_log(self->arena, self->conf));
    TRY(take_data_dir(self));
    TRY(enter_sandbox(self));
    thread_be_ours();
    crypto_init();
    raise_files(self);
    return OK;
}

/* Whose log it is: of the one service that the program is, or of the shop. */
static const char *service_of(const struct program *program)
{
    if (program->members_count == 1 && !program->front)
        return program->members[0]->name;
    return program->members_count == 0 ? "gateway" : "shop";
}

static err open_all(struct running *self)
{
    TRY(observe_open(self->arena, self->conf, service_of(self->program), &self->observe));
    struct shop_config config = { .conf = self->conf,
                                  .members = self->program->members,
                                  .members_count = self->program->members_count,
                                  .has_gateway = self->program->front != NULL,
                                  .name = str_of_z(self->program->name),
                                  .loop = self->loop };
    TRY(shop_open(self->arena, &config, &self->shop));
    self->doors = doors_new(self->conf, self->loop, self->shop, self->program->front);
    return doors_open(self->doors, self->arena);
}

/* One line: what is wrong, and with which setting. */
static int complain(const struct running *self, err error)
{
    str words = error->detail.len > 0 ? error->detail : err_words(error->code);

    (void)fprintf(stderr, "%s: %" STR_F "\n", self->program->name, STR_A(words));
    return 1;
}

/* From here on the loop hears no signals, and one more would end it half closed. Other threads take
 * none anyway. */
static void block_signals(void)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* Runs until a signal ends it, or closes at once what a failed start has opened. */
static int run(struct running *self)
{
    self->loop = loop_open();
    if (self->program->members_count == 0)
        loop_let_rest(self->loop);
    self->timer = loop_timer_open(self->loop, begin_closing, self);
    self->stopped.run = on_stopped;

    err error = open_all(self);
    if (!error) {
        shop_start(self->shop);
        loop_on_signal(self->loop, SIGTERM, on_terminate, self);
        loop_on_signal(self->loop, SIGINT, on_terminate, self);
        loop_on_signal(self->loop, SIGHUP, on_hangup, self);
        self->watch = watch_start(self->loop, self->conf, on_hangup, self);
        doors_ready(self->doors);
        tell_entered(self);
        tell_manager(self, STR("READY=1"));
    } else if (self->doors) {
        begin_closing(self);
    }
    if (self->doors)
        loop_run(self->loop);

    block_signals();
    watch_end(self->watch);
    doors_free(self->doors);
    shop_close(self->shop);
    observe_close(self->observe);
    loop_timer_close(self->timer);
    loop_close(self->loop);
    if (error)
        return complain(self, error);
    LOG(LOG_INFO, "shop.stopped", LOG_NUMBER("pid", process_id()));
    return 0;
}

/* ---- The command line ---- */

static bool asks_for(int argc, char *const *argv, const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

static int tell(str text)
{
    return fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0 ? 0 : 1;
}

/* Asks the program that runs on the same data whether it is ready, by the operator's socket: an
 * image without a shell has nothing else to ask with. */
static err check_health(struct running *self, int argc, char *const *argv)
{
    struct arena *arena = self->arena;
    struct asked asked;

    TRY(conf_load(arena, argc, argv, environ, &self->conf, NULL));
    str path =
        str_format(arena, "%" STR_F "/duka.sock", STR_A(conf_text(self->conf, CONF_DATA_DIR)));
    TRY(ask_operator(arena, path, "GET", "/readyz", STR_NONE, HEALTH_TIMEOUT_MS, &asked));
    if (asked.status != 200)
        return fail(arena, UPSTREAM_UNAVAILABLE, "not ready: %" STR_F, STR_A(asked.body));
    return OK;
}

/* The settings follow the word, as they follow the name of a program that starts. */
static int health(struct running *self, int argc, char *const *argv)
{
    err error = check_health(self, argc - 1, argv + 1);
    return error ? complain(self, error) : tell(STR("ready\n"));
}

/* "duka-users migrate": what a Job runs before a new version is rolled out. */
static err migrate_all(struct running *self, int argc, char *const *argv)
{
    const struct program *program = self->program;

    TRY(conf_load(self->arena, argc, argv, environ, &self->conf, NULL));
    for (int i = 0; i < program->members_count; i++) {
        const struct shop_member *member = program->members[i];
        int applied = 0;
        TRY(member->migrate(self->arena, self->conf, &applied));
        tell(str_format(self->arena, "%s %d migrations applied\n", member->name, applied));
    }
    return OK;
}

static int migrate(struct running *self, int argc, char *const *argv)
{
    err error = migrate_all(self, argc - 1, argv + 1);
    return error ? complain(self, error) : 0;
}

static int start(struct running *self, int argc, char *const *argv)
{
    struct arena *arena = self->arena;

    if (asks_for(argc, argv, "--help") || asks_for(argc, argv, "-h"))
        return tell(
            conf_help(arena, str_of_z(self->program->name), str_of_z(self->program->about)));
    if (asks_for(argc, argv, "--version")) {
        str version = version_line(arena);
        return tell(str_format(arena, "%s %" STR_F "\n", self->program->name, STR_A(version)));
    }

    if (argc > 1 && strcmp(argv[1], "health") == 0)
        return health(self, argc, argv);
    if (argc > 1 && strcmp(argv[1], "migrate") == 0 && self->program->members_count > 0)
        return migrate(self, argc, argv);

    self->argc = argc;
    self->argv = argv;
    err error = prepare(self, argc, argv);
    int code = error ? complain(self, error) : run(self);
    disk_lock_drop(self->lock);
    return code;
}

int program_main(const struct program *program, int argc, char *const *argv)
{
    ASSERT(program && (program->members_count > 0 || program->front));
    struct running self = { .program = program, .arena = arena_open(START_BYTES_MAX) };
    int code = start(&self, argc, argv);

    arena_close(self.arena);
    return code;
}
