#include "chassis/admin.h"

#include "base/crypto.h"
#include "base/json.h"
#include "chassis/obs.h"
#include "chassis/router.h"
#include "chassis/version.h"

enum {
    ADMIN_MEMORY_BYTES_MAX = 64 * 1024,
    ADMIN_CONNECTIONS_MAX = 256,
    ADMIN_BODY_BYTES_MAX = 64 * 1024,
    ADMIN_ARENA_BYTES_MAX = 32 * 1024 * 1024, /* all metrics with all their series */
    STATUS_OK = 200,
    STATUS_NOT_READY = 503
};

struct admin {
    struct arena *memory; /* holds this struct */
    struct admin_config config;
    struct admin_check checks[ADMIN_CHECKS_MAX];
    struct service *services[ADMIN_SERVICES_MAX];
    bool is_near; /* OPS_ADDR is loopback */
    bool started, draining;
    struct http_server *servers[2]; /* OPS_ADDR, the socket */
    int servers_open;
    void (*closed)(void *subject);
    void *closed_subject;
};

/* ---- Who may look ---- */

/* Loopback addresses are 127.0.0.0/8, ::1 and sockets of files; ":9000" is every address. */
static bool is_loopback(str address)
{
    if (str_starts(address, STR("unix:")) || str_starts(address, STR("[::1]:")))
        return true;

    size_t end = address.len;
    while (end > 0 && address.ptr[end - 1] != ':')
        end--;
    for (size_t i = 0; i + 1 < end; i++)
        if (address.ptr[i] != '.' && (address.ptr[i] < '0' || address.ptr[i] > '9'))
            return false;
    return str_starts(address, STR("127."));
}

/* Digests have one length, so the time to compare them tells nothing of the token. */
static bool is_token(str given, str token)
{
    struct sha256 a = sha256_of(given), b = sha256_of(token);
    return token.len > 0 &&
           secret_equal(str_of(a.bytes, sizeof a.bytes), str_of(b.bytes, sizeof b.bytes));
}

/* "Bearer TOKEN", or "Basic base64(anybody:TOKEN)", which is what a browser can send. */
static str token_of(struct arena *arena, str given)
{
    static const str bearer = { "Bearer ", 7 }, basic = { "Basic ", 6 };
    str pair;

    if (str_equal_fold(str_slice(given, 0, bearer.len), bearer))
        return str_trim(str_slice(given, bearer.len, given.len));
    if (!str_equal_fold(str_slice(given, 0, basic.len), basic) ||
        !base64_parse(arena, str_trim(str_slice(given, basic.len, given.len)), &pair))
        return STR_NONE;
    (void)str_cut(&pair, ':');
    return pair;
}

static err check_token(const struct admin *admin, const struct request *request)
{
    str given = request_header(request, STR("authorization"));

    if (!given.ptr)
        return fail(request->arena, TOKEN_MISSING,
                    "Send the operators' token (setting OPS_TOKEN): Authorization: Bearer.");
    str token = token_of(request->arena, given);
    if (!token.ptr || !is_token(token, conf_text(admin->config.conf, CONF_OPS_TOKEN)))
        return fail(request->arena, TOKEN_INVALID, "This is not the operators' token.");
    return OK;
}

static void answer_json(struct request *request, int status, str body)
{
    request->response = (struct response){ .status = status,
                                           .content_type = STR("application/json"),
                                           .body = body };
    response_add(&request->response, STR("Cache-Control"), STR("no-store"));
}

static void answer_text(struct request *request, str content_type, str body)
{
    request->response =
        (struct response){ .status = STATUS_OK, .content_type = content_type, .body = body };
    response_add(&request->response, STR("Cache-Control"), STR("no-store"));
}

/* ---- Probes ---- */

bool admin_tell(const struct admin *admin, int index, struct admin_told *out)
{
    ASSERT(admin && index >= 0 && out);
    if (index > admin->config.checks_count)
        return false;
    *out = (struct admin_told){ .name = "program" };
    if (index > 0) {
        const struct admin_check *check = &admin->checks[index - 1];
        out->name = check->name;
        out->health = check->look(check->subject, &out->words);
    } else if (!admin->started || admin->draining) {
        out->name = admin->started ? "draining" : "starting";
        out->words = admin->started ? "it is going to stop" : "it has not begun to serve";
        out->health = ADMIN_FAILED;
    }
    return true;
}

static bool has_failed(const struct admin *admin)
{
    struct admin_told told;
    bool is_failed = false;
    for (int i = 0; admin_tell(admin, i, &told); i++)
        is_failed = is_failed || told.health == ADMIN_FAILED;
    return is_failed;
}

/* The names of those that stand so: "not_ready":["starting"]. */
static void add_names(const struct admin *admin, struct text *out, const char *list,
                      enum admin_health health)
{
    struct admin_told told;
    bool first = true;
    text_add_format(out, ",\"%s\":[", list);
    for (int i = 0; admin_tell(admin, i, &told); i++) {
        if (told.health != health)
            continue;
        if (!first)
            text_add_byte(out, ',');
        first = false;
        json_add_string(out, str_of_z(told.name));
    }
    text_add_byte(out, ']');
}

/* Each check with its state, and what that means. */
static void add_checks(const struct admin *admin, struct text *out)
{
    static const char *const states[] = { "ok", "degraded", "failed" };
    struct admin_told told;
    text_add(out, STR(",\"checks\":["));
    for (int i = 0; admin_tell(admin, i, &told); i++) {
        bool first = true;
        text_add(out, i > 0 ? STR(",{") : STR("{"));
        json_add_name(out, &first, STR("name"));
        json_add_string(out, str_of_z(told.name));
        json_add_name(out, &first, STR("state"));
        json_add_string(out, str_of_z(states[told.health]));
        if (told.words) {
            json_add_name(out, &first, STR("detail"));
            json_add_string(out, str_of_z(told.words));
        }
        text_add_byte(out, '}');
    }
    text_add(out, STR("]}"));
}

static void answer_probe(const struct admin *admin, struct request *request, const char *name,
                         bool holds)
{
    struct text out = text_init(request->arena, 512);
    text_add_format(&out, "{\"%s\":%s", name, holds ? "true" : "false");
    add_names(admin, &out, "not_ready", ADMIN_FAILED);
    add_names(admin, &out, "degraded", ADMIN_DEGRADED);
    add_checks(admin, &out);
    answer_json(request, holds ? STATUS_OK : STATUS_NOT_READY, text_str(&out));
}

/* It answers, so the loop is alive: what else may be wrong, a new start would not mend. The checks
 * are told, and decide nothing. */
static void page_live(const struct admin *admin, struct request *request)
{
    answer_probe(admin, request, "live", true);
}

static void page_started(const struct admin *admin, struct request *request)
{
    answer_probe(admin, request, "started", admin->started);
}

static void page_ready(const struct admin *admin, struct request *request)
{
    answer_probe(admin, request, "ready", !has_failed(admin));
}

/* ---- Pages ---- */

static void page_metrics(const struct admin *admin, struct request *request)
{
    (void)admin;
    bool open =
        str_find(request_header(request, STR("accept")), STR("application/openmetrics-text")) >= 0;
    answer_text(request,
                open ? STR("application/openmetrics-text; version=1.0.0; charset=utf-8")
                     : STR("text/plain; version=0.0.4; charset=utf-8"),
                metrics_text(request->arena, open ? METRICS_OPEN : METRICS_PROMETHEUS));
    response_add(&request->response, STR("Vary"), STR("Accept"));
}

static void page_version(const struct admin *admin, struct request *request)
{
    (void)admin;
    answer_json(request, STATUS_OK, version_json(request->arena));
}

static void page_settings(const struct admin *admin, struct request *request)
{
    answer_text(request, STR("text/plain; charset=utf-8"),
                conf_show(request->arena, admin->config.conf));
}

enum page_access { PAGE_OPEN, PAGE_METRICS, PAGE_TOKEN };

static const struct page {
    const char *path;
    enum page_access access;
    void (*answer)(const struct admin *admin, struct request *request);
} pages[] = {
    { "/livez", PAGE_OPEN, page_live },       { "/readyz", PAGE_OPEN, page_ready },
    { "/startupz", PAGE_OPEN, page_started }, { "/metrics", PAGE_METRICS, page_metrics },
    { "/version", PAGE_TOKEN, page_version }, { "/debug/settings", PAGE_TOKEN, page_settings },
};
enum { PAGES_COUNT = sizeof(pages) / sizeof(pages[0]) };

static const struct page *page_of(str path)
{
    for (int i = 0; i < PAGES_COUNT; i++)
        if (str_equal(path, str_of_z(pages[i].path)))
            return &pages[i];
    return NULL;
}

static bool needs_token(const struct admin *admin, const struct page *page,
                        const struct request *request)
{
    if (request->operator_socket || admin->is_near || page->access == PAGE_OPEN)
        return false;
    return page->access == PAGE_TOKEN || !conf_int(admin->config.conf, CONF_OPS_METRICS_OPEN);
}

static err open_page(const struct admin *admin, struct request *request)
{
    const struct page *page = page_of(request->path);

    if (!page)
        return fail(request->arena, ROUTE_UNKNOWN, "There is no such page for operators.");
    if (needs_token(admin, page, request))
        TRY(check_token(admin, request));
    if (request->method != HTTP_GET && request->method != HTTP_HEAD)
        return fail(request->arena, METHOD_NOT_ALLOWED, "This page is only read.");
    page->answer(admin, request);
    return OK;
}

/* ---- Calls of the services ---- */

/* The service that knows the path: the one that also takes the method, if there is one. Who comes
 * by the socket may call what staff may. */
static struct service *service_at(const struct admin *admin, struct request *request,
                                  const struct call_spec **spec)
{
    struct service *found = NULL;

    *spec = NULL;
    if (!request->operator_socket || page_of(request->path))
        return NULL;
    for (int i = 0; i < admin->config.services_count && !*spec; i++) {
        unsigned allow = 0;
        *spec = service_route(admin->services[i], request, &allow);
        if (*spec || allow)
            found = admin->services[i];
    }
    return found;
}

static uint32_t body_bytes_max(void *self, struct request *request, bool *refused)
{
    const struct call_spec *spec;
    struct service *service = service_at(self, request, &spec);

    if (!service || !spec)
        return ADMIN_BODY_BYTES_MAX;
    err error = service_stream(service, request, spec);
    if (error) {
        request_identify(request);
        response_problem(request, error);
        *refused = true;
    }
    return spec->body_bytes_max;
}

/* ---- Actions, and pages of others ---- */

struct slow_work {
    struct work work;
    err (*run)(void *self, struct request *request);
    void *self;
    struct request *request;
};

static void run_slow(struct work *work)
{
    struct slow_work *own = (struct slow_work *)((char *)work - offsetof(struct slow_work, work));
    err error = own->run(own->self, own->request);
    if (error)
        response_problem(own->request, error);
    request_respond(own->request);
}

static err submit(const struct admin *admin, struct request *request,
                  err (*run)(void *self, struct request *request), void *self)
{
    struct slow_work *own = arena_new(request->arena, struct slow_work);
    *own = (struct slow_work){ .work.run = run_slow, .run = run, .self = self, .request = request };
    if (!workers_submit(admin->config.workers, &own->work, WORK_URGENT))
        return fail(request->arena, CALL_OVERLOADED, "Too many actions wait.");
    return OK;
}

static void refuse(struct request *request, err error)
{
    response_problem(request, error);
    if (error->code == METHOD_NOT_ALLOWED)
        response_add(&request->response, STR("Allow"), STR("GET, HEAD"));
    if (error->code == TOKEN_MISSING || error->code == TOKEN_INVALID) /* a browser asks its user */
        response_add(&request->response, STR("WWW-Authenticate"),
                     STR("Basic realm=\"operators\", charset=\"UTF-8\""));
    request_respond(request);
}

/* True where the path is an action's: it is run, or refused. */
static bool act(const struct admin *admin, struct request *request)
{
    const struct admin_action *found = NULL;

    for (int i = 0; i < admin->config.actions_count && request->operator_socket; i++)
        if (str_equal(request->path, str_of_z(admin->config.actions[i].path)))
            found = &admin->config.actions[i];
    if (!found)
        return false;
    request->route = found->path;
    err error = request->method == found->method
                    ? submit(admin, request, found->run, found->self)
                    : fail(request->arena, METHOD_NOT_ALLOWED, "This action has another method.");
    if (error) {
        response_problem(request, error);
        request_respond(request);
    }
    return true;
}

static const struct admin_page *shown_at(const struct admin *admin, str path)
{
    for (int i = 0; i < admin->config.pages_count; i++) {
        const struct admin_page *page = &admin->config.pages[i];
        str own = str_of_z(page->path);
        if (page->is_prefix ? str_starts(path, own) : str_equal(path, own))
            return page;
    }
    return NULL;
}

static err show_now(const struct admin *admin, const struct admin_page *page,
                    struct request *request)
{
    if (!request->operator_socket && !admin->is_near)
        TRY(check_token(admin, request));
    if (request->method != HTTP_GET && request->method != HTTP_HEAD)
        return fail(request->arena, METHOD_NOT_ALLOWED, "This page is only read.");
    return page->is_slow ? submit(admin, request, page->show, page->self)
                         : page->show(page->self, request);
}

/* True where the path is a page's: it is shown, or refused. */
static bool show(const struct admin *admin, struct request *request)
{
    const struct admin_page *page = shown_at(admin, request->path);
    if (!page)
        return false;
    request->route = page->path;
    err error = show_now(admin, page, request);
    if (error) {
        refuse(request, error);
    } else if (!page->is_slow) {
        request_respond(request);
    }
    return true;
}

void admin_handle(struct admin *admin, struct request *request)
{
    ASSERT(admin && request && request->arena);

    const struct call_spec *spec;
    struct service *service = service_at(admin, request, &spec);
    request_identify(request);
    if (act(admin, request) || show(admin, request))
        return;
    if (service) {
        service_handle(service, request);
        return;
    }

    request->route = "admin";
    err error = open_page(admin, request);
    if (error)
        refuse(request, error);
    else
        request_respond(request);
}

/* ---- Its life ---- */

struct admin *admin_open(const struct admin_config *config)
{
    ASSERT(config && config->conf);
    ASSERT(config->checks_count >= 0 && config->checks_count <= ADMIN_CHECKS_MAX);
    ASSERT(config->services_count >= 0 && config->services_count <= ADMIN_SERVICES_MAX);

    struct arena *memory = arena_open(ADMIN_MEMORY_BYTES_MAX);
    struct admin *admin = arena_new(memory, struct admin);
    admin->memory = memory;
    admin->config = *config;
    for (int i = 0; i < config->checks_count; i++)
        admin->checks[i] = config->checks[i];
    for (int i = 0; i < config->services_count; i++)
        admin->services[i] = config->services[i];
    admin->is_near = is_loopback(conf_text(config->conf, CONF_OPS_ADDR));
    return admin;
}

/* An address of OPS_ADDR that is a unix socket does not make its peers operators. */
static void handle_ops(void *self, struct request *request)
{
    request->operator_socket = false;
    admin_handle(self, request);
}

static uint32_t body_of_ops(void *self, struct request *request, bool *refused)
{
    request->operator_socket = false;
    return body_bytes_max(self, request, refused);
}

static void handle_socket(void *self, struct request *request) { admin_handle(self, request); }

static err listen_at(struct admin *admin, struct arena *arena, struct loop *loop, str address,
                     const char *setting, const struct http_handler *handler,
                     struct http_server **out)
{
    const struct conf *conf = admin->config.conf;
    struct http_config config = {
        .address = address,
        .setting = setting,
        .head_bytes_max = (uint32_t)conf_int(conf, CONF_HEAD_BYTES_MAX),
        .target_bytes_max = (uint32_t)conf_int(conf, CONF_HEAD_BYTES_MAX) / 2,
        .body_bytes_max = ADMIN_BODY_BYTES_MAX,
        .head_timeout_ms = (uint32_t)conf_int(conf, CONF_HEAD_TIMEOUT),
        .body_timeout_ms = (uint32_t)conf_int(conf, CONF_BODY_TIMEOUT),
        .idle_timeout_ms = (uint32_t)conf_int(conf, CONF_IDLE_TIMEOUT),
        .write_timeout_ms = (uint32_t)conf_int(conf, CONF_WRITE_TIMEOUT),
        .connections_max = ADMIN_CONNECTIONS_MAX,
        .arena_bytes_max = ADMIN_ARENA_BYTES_MAX,
    };

    TRY(http_open(arena, loop, &config, handler, out));
    admin->servers_open++;
    return OK;
}

err admin_listen(struct admin *admin, struct arena *arena, struct loop *loop)
{
    ASSERT(admin && arena && loop && admin->servers_open == 0);

    struct http_handler ops = { .self = admin,
                                .handle = handle_ops,
                                .body_bytes_max = body_of_ops };
    struct http_handler socket = { .self = admin,
                                   .handle = handle_socket,
                                   .body_bytes_max = body_bytes_max };
    str data_dir = conf_text(admin->config.conf, CONF_DATA_DIR);

    TRY(listen_at(admin, arena, loop,
                  str_format(arena, "unix:%" STR_F "/duka.sock", STR_A(data_dir)), "DATA_DIR",
                  &socket, &admin->servers[1]));
    return listen_at(admin, arena, loop, conf_text(admin->config.conf, CONF_OPS_ADDR), "OPS_ADDR",
                     &ops, &admin->servers[0]);
}

int admin_port(const struct admin *admin)
{
    ASSERT(admin && admin->servers[0]);
    return http_port(admin->servers[0]);
}

void admin_started(struct admin *admin)
{
    ASSERT(admin);
    admin->started = true;
}

void admin_drain(struct admin *admin)
{
    ASSERT(admin);
    admin->draining = true;
}

static void end(struct admin *admin)
{
    void (*closed)(void *subject) = admin->closed;
    void *subject = admin->closed_subject;

    arena_close(admin->memory);
    if (closed)
        closed(subject);
}

static void on_server_closed(void *subject)
{
    struct admin *admin = subject;

    if (--admin->servers_open == 0)
        end(admin);
}

void admin_close(struct admin *admin, uint32_t grace_ms, void (*closed)(void *subject),
                 void *subject)
{
    if (!admin)
        return;
    admin->closed = closed;
    admin->closed_subject = subject;
    if (admin->servers_open == 0) {
        end(admin);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (admin->servers[i])
            http_close(admin->servers[i], grace_ms, on_server_closed, admin);
}
