#include "apps/doors.h"

#include "apps/care.h"
#include "apps/checks.h"
#include "apps/debug.h"
#include "apps/neighbours.h"
#include "chassis/admin.h"
#include "chassis/grpc_door.h"
#include "chassis/obs.h"
#include "chassis/proxies.h"
#include "chassis/setting.h"
#include "chassis/tls_files.h"
#include "chassis/version.h"
#include "os/process.h"
#include "os/spare.h"
#include "os/workers.h"

enum {
    DOORS_MEMORY_BYTES_MAX = 256 * 1024,
    DOOR_ARENA_BYTES_MAX = 8 * 1024 * 1024,
    DOOR_BODY_BYTES_MAX = 64 * 1024,
    RELOAD_BYTES_MAX = 16 * 1024 * 1024
};

enum { SERVICES_COUNT = SHOP_MEMBERS_MAX };

/* A service's own address: of a program that has the gateway too, where one is set; of one that has
 * not, LISTEN_ADDR. */
struct door {
    const char *name;
    enum shop_part part;
    enum setting setting;
    struct service *service;    /* NULL: it is elsewhere */
    struct http_server *server; /* NULL: not open */
    struct grpc_door *grpc;     /* NULL: was never open */
    struct doors *all;
};

struct doors {
    struct arena *memory; /* holds this struct */
    const struct conf *conf;
    struct loop *loop;
    struct shop *shop;
    const struct front *front; /* NULL: the gateway is elsewhere */
    struct gateway *gateway;   /* NULL: that, or not open */
    struct proxies proxies;
    struct door doors[SERVICES_COUNT];
    struct admin *admin;
    struct care *care;
    struct debug *debug;
    int open; /* of the public ones, while they close */
    void (*closed)(void *subject);
    void *closed_subject;
};

struct doors *doors_new(const struct conf *conf, struct loop *loop, struct shop *shop,
                        const struct front *front)
{
    ASSERT(conf && loop && shop);

    struct arena *memory = arena_open(DOORS_MEMORY_BYTES_MAX);
    struct doors *doors = arena_new(memory, struct doors);
    *doors = (struct doors){
        .memory = memory,
        .conf = conf,
        .loop = loop,
        .shop = shop,
        .front = front,
        .doors = { { "users", SHOP_USERS, CONF_USERS_ADDR, NULL, NULL, NULL, doors },
                   { "products", SHOP_PRODUCTS, CONF_PRODUCTS_ADDR, NULL, NULL, NULL, doors },
                   { "orders", SHOP_ORDERS, CONF_ORDERS_ADDR, NULL, NULL, NULL, doors } },
    };
    for (int i = 0; i < SERVICES_COUNT; i++) {
        struct door *door = &doors->doors[i];
        door->service = shop_service(shop, str_of_z(door->name));
        if (!(shop->parts & SHOP_GATEWAY))
            door->setting = CONF_LISTEN_ADDR;
    }
    return doors;
}

/* ---- The address of a service ---- */

static void door_handle(void *self, struct request *request)
{
    struct door *door = self;

    request->operator_socket = false; /* who is at a door is no operator, by whatever socket */
    forwarded_prefix_restore(&door->all->proxies, request);
    request_identify(request);
    request->client_address = client_address_of(&door->all->proxies, request);
    struct bus *bus = door->all->shop->house.bus; /* neighbours may push events to it */
    if (bus && bus_receive(bus, request))
        return;
    if (grpc_door_is_for(door->grpc, request))
        grpc_door_handle(door->grpc, request);
    else
        service_handle(door->service, request);
}

static uint32_t door_body_bytes_max(void *self, struct request *request, bool *refused)
{
    struct door *door = self;
    unsigned allow;

    forwarded_prefix_restore(&door->all->proxies, request);
    if (grpc_door_is_for(door->grpc, request)) {
        request_identify(request);
        grpc_door_begin(door->grpc, request);
        return GRPC_TALK_BYTES_MAX;
    }
    if (door->all->shop->house.bus && bus_is_push(request->path))
        return BUS_PUSH_BYTES_MAX;
    const struct call_spec *spec = service_route(door->service, request, &allow);
    err error = spec ? service_stream(door->service, request, spec) : OK;
    if (error) {
        request_identify(request);
        response_problem(request, error);
        *refused = true;
    }
    bool is_file = spec && spec->stream && request->grpc; /* which gRPC does not carry */
    return spec && !is_file ? spec->body_bytes_max : DOOR_BODY_BYTES_MAX;
}

static bool is_service_ready(void *service) { return service_ready(service); }

static err open_door(struct doors *self, struct arena *arena, struct door *door)
{
    const struct conf *conf = self->conf;
    struct http_config config = {
        .address = conf_text(conf, door->setting),
        .setting = setting_spec(door->setting)->name,
        .head_bytes_max = (uint32_t)conf_int(conf, CONF_HEAD_BYTES_MAX),
        .target_bytes_max = (uint32_t)conf_int(conf, CONF_TARGET_BYTES_MAX),
        .body_bytes_max = DOOR_BODY_BYTES_MAX,
        .head_timeout_ms = (uint32_t)conf_int(conf, CONF_HEAD_TIMEOUT),
        .body_timeout_ms = (uint32_t)conf_int(conf, CONF_BODY_TIMEOUT),
        .idle_timeout_ms = (uint32_t)conf_int(conf, CONF_IDLE_TIMEOUT),
        .write_timeout_ms = (uint32_t)conf_int(conf, CONF_WRITE_TIMEOUT),
        .connections_max = (uint32_t)conf_int(conf, CONF_CONNECTIONS_MAX),
        .arena_bytes_max = DOOR_ARENA_BYTES_MAX,
    };
    struct http_handler handler = { .self = door,
                                    .handle = door_handle,
                                    .body_bytes_max = door_body_bytes_max };

    if (!door->service || config.address.len == 0)
        return OK;
    if (config.target_bytes_max >= config.head_bytes_max)
        config.target_bytes_max = config.head_bytes_max - 1;
    struct grpc_served served = { service_contract(self->memory, door->service), is_service_ready,
                                  door->service };
    door->grpc = grpc_door_open(self->loop, &served, 1, conf_int(conf, CONF_GRPC_REFLECTION) != 0);
    return http_open(arena, self->loop, &config, &handler, &door->server);
}

/* ---- TLS ---- */

/* One certificate for all doors but the operators'. */
static err use_tls(struct doors *self, struct arena *arena)
{
    struct tls_context *tls;

    TRY(tls_files_open(arena, self->conf, &tls));
    if (self->gateway)
        http_use_tls(self->front->server(self->gateway), tls_share(tls));
    for (int i = 0; i < SERVICES_COUNT; i++)
        if (self->doors[i].server)
            http_use_tls(self->doors[i].server, tls_share(tls));
    tls_close(tls);
    return OK;
}

static void reload_tls(struct doors *self, struct arena *arena)
{
    err error = use_tls(self, arena);
    if (!error && self->shop->neighbours)
        error = neighbours_reload(self->shop->neighbours, arena);

    if (error)
        LOG(LOG_ERROR, "tls.files_refused", LOG_TEXT("error", err_describe(arena, error)));
    else if (conf_text(self->conf, CONF_TLS_CERT_FILE).len > 0)
        LOG(LOG_INFO, "tls.files_reloaded",
            LOG_TEXT("file", conf_text(self->conf, CONF_TLS_CERT_FILE)));
}

/* ---- The operators' door, and all of them ---- */

static void open_admin(struct doors *self)
{
    struct admin_check checks[ADMIN_CHECKS_MAX];
    struct service *services[SERVICES_COUNT];
    int count = 0;

    for (int i = 0; i < SERVICES_COUNT; i++)
        if (self->doors[i].service)
            services[count++] = self->doors[i].service;
    struct admin_config config = { .conf = self->conf,
                                   .checks = checks,
                                   .checks_count = checks_of_shop(self->shop, checks),
                                   .services = services,
                                   .services_count = count };
    self->care = care_open(self->shop);
    care_actions(self->care, &config);
    self->debug = debug_new(self->memory, self->shop);
    debug_pages(self->debug, &config);
    self->admin = admin_open(&config);
    debug_look_at(self->debug, self->admin);
}

/* ---- What is asked for when metrics are printed ---- */

static int64_t ask_queue(void *workers) { return workers_queue_length(workers); }
static int64_t ask_oldest(void *workers) { return workers_queue_age_us(workers); }
static int64_t ask_threads(void *workers) { return workers_stats_of(workers).threads; }
static int64_t ask_busy(void *workers) { return workers_stats_of(workers).busy; }
static int64_t ask_refused(void *workers) { return workers_stats_of(workers).refused; }
static int64_t ask_late(void *spare) { return spare_late_count(spare); }
static int64_t ask_loop(void *loop) { return loop_busy_us(loop); }

static void ask_pool(struct workers *workers, const char *pool, bool on)
{
    if (!workers)
        return;
    metric_ask(METRIC_QUEUE_LENGTH, pool, on ? ask_queue : NULL, workers);
    metric_ask(METRIC_QUEUE_AGE, pool, on ? ask_oldest : NULL, workers);
    metric_ask(METRIC_POOL_THREADS, pool, on ? ask_threads : NULL, workers);
    metric_ask(METRIC_POOL_BUSY, pool, on ? ask_busy : NULL, workers);
    metric_ask(METRIC_POOL_REFUSED, pool, on ? ask_refused : NULL, workers);
}

static void ask_gauges(struct doors *self, bool on)
{
    const struct house *house = &self->shop->house;

    ask_pool(house->workers, "requests", on);
    ask_pool(house->password_lanes, "passwords", on);
    if (house->spare)
        metric_ask(METRIC_POOL_LATE, "passwords", on ? ask_late : NULL, house->spare);
    metric_ask(METRIC_LOOP_BUSY, NULL, on ? ask_loop : NULL, self->loop);
}

err doors_open(struct doors *doors, struct arena *arena)
{
    ASSERT(doors && arena && !doors->gateway);
    open_admin(doors);
    str trusted = str_copy(doors->memory, conf_text(doors->conf, CONF_TRUSTED_PROXIES));
    err error = proxies_parse(doors->memory, trusted, &doors->proxies);
    if (error) /* it outlives the doors */
        return err_copy(arena, error);
    if (doors->front) {
        TRY(doors->front->open(arena, doors->shop, doors->loop, &doors->gateway));
        debug_look_at_front(doors->debug, doors->front, doors->gateway);
    }
    for (int i = 0; i < SERVICES_COUNT; i++)
        TRY(open_door(doors, arena, &doors->doors[i]));
    TRY(use_tls(doors, arena));
    TRY(admin_listen(doors->admin, arena, doors->loop));
    ask_gauges(doors, true);
    return OK;
}

/* ---- Running ---- */

/* The address with the port that was given where 0 was asked for. */
static str address_shown(struct arena *arena, str address, int port)
{
    size_t end = address.len;

    if (str_starts(address, STR("unix:")))
        return address;
    while (end > 0 && address.ptr[end - 1] != ':')
        end--;
    return str_format(arena, "%" STR_F "%d", STR_A(str_slice(address, 0, end)), port);
}

void doors_ready(struct doors *doors)
{
    ASSERT(doors && doors->admin);
    admin_started(doors->admin);

    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    const struct conf *conf = doors->conf;
    struct log_field fields[8] = {
        LOG_TEXT("ops_address",
                 address_shown(arena, conf_text(conf, CONF_OPS_ADDR), admin_port(doors->admin))),
        LOG_TEXT("data_dir", conf_text(conf, CONF_DATA_DIR)),
        LOG_TEXT("version", version_line(arena)),
        LOG_NUMBER("pid", process_id()),
    };
    int count = 4;
    if (doors->gateway)
        fields[count++] =
            LOG_TEXT("address", address_shown(arena, conf_text(conf, CONF_LISTEN_ADDR),
                                              http_port(doors->front->server(doors->gateway))));
    for (int i = 0; i < SERVICES_COUNT; i++) {
        const struct door *door = &doors->doors[i];
        if (!door->server)
            continue;
        str key = doors->gateway ? str_format(arena, "%s_address", door->name) : STR("address");
        fields[count++] =
            LOG_TEXT(str_z(arena, key),
                     address_shown(arena, conf_text(conf, door->setting), http_port(door->server)));
    }
    log_event(LOG_INFO, "shop.ready", fields, count);
    arena_close(arena);
}

static void reload_routes(struct doors *doors, struct arena *arena)
{
    err error = doors->front->reload(doors->gateway, arena);
    if (error)
        LOG(LOG_ERROR, "routes.refused", LOG_TEXT("error", err_describe(arena, error)));
    else
        LOG(LOG_INFO, "routes.reloaded",
            LOG_TEXT("file", conf_text(doors->conf, CONF_ROUTES_FILE)));
}

void doors_reload(struct doors *doors)
{
    ASSERT(doors);

    struct arena *arena = arena_open(RELOAD_BYTES_MAX);
    if (doors->gateway)
        reload_routes(doors, arena);
    reload_tls(doors, arena);
    arena_close(arena);
}

void doors_drain(struct doors *doors)
{
    ASSERT(doors && doors->admin);
    admin_drain(doors->admin);
    if (doors->gateway)
        doors->front->drain(doors->gateway);
    for (int i = 0; i < SERVICES_COUNT; i++) {
        if (!doors->doors[i].server)
            continue;
        grpc_door_drain(doors->doors[i].grpc);
        http_drain(doors->doors[i].server);
    }
}

/* ---- Closing ---- */

static void on_closed(void *subject)
{
    struct doors *doors = subject;

    if (--doors->open == 0 && doors->closed)
        doors->closed(doors->closed_subject);
}

void doors_close_public(struct doors *doors, uint32_t grace_ms, void (*closed)(void *subject),
                        void *subject)
{
    ASSERT(doors && closed && doors->open == 0);

    ask_gauges(doors, false);
    doors->closed = closed;
    doors->closed_subject = subject;
    doors->open = 1; /* this function itself, so that the last one tells */
    for (int i = 0; i < SERVICES_COUNT; i++) {
        struct door *door = &doors->doors[i];
        if (!door->server)
            continue;
        doors->open++;
        grpc_door_stop(door->grpc);
        http_close(door->server, grace_ms, on_closed, doors);
        door->server = NULL;
    }
    if (doors->gateway) {
        doors->open++;
        doors->front->stop(doors->gateway, grace_ms, on_closed, doors);
    }
    on_closed(doors);
}

void doors_close_ops(struct doors *doors, uint32_t grace_ms, void (*closed)(void *subject),
                     void *subject)
{
    ASSERT(doors && closed);

    struct admin *admin = doors->admin;
    doors->admin = NULL;
    if (admin)
        admin_close(admin, grace_ms, closed, subject);
    else
        closed(subject);
}

void doors_free(struct doors *doors)
{
    if (!doors)
        return;
    ASSERT(!doors->admin && doors->open == 0);
    care_close(doors->care);
    if (doors->front)
        doors->front->close(doors->gateway);
    for (int i = 0; i < SERVICES_COUNT; i++)
        grpc_door_close(doors->doors[i].grpc);
    arena_close(doors->memory);
}
