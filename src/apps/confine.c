#include "apps/confine.h"

#include "base/arena.h"
#include "base/text.h"
#include "os/disk.h"

#include <string.h>

enum { PORT_DNS = 53, ROUTES_BYTES_MAX = 1024 * 1024 };

struct planning {
    struct arena *arena;
    const struct conf *conf;
    unsigned parts;
    char *const *environment;
    struct confine *out;
};

/* ---- Files ---- */

static void add_place(struct planning *self, str path, bool writes)
{
    struct confine *out = self->out;

    if (path.len == 0 || out->rules.places_count == CONFINE_PLACES_MAX)
        return;
    out->places[out->rules.places_count++] = (struct landlock_place){ path, writes };
}

/* What is written is made first: nothing can be allowed that is not there. Where that fails,
 * whoever wants the folder says so, and names its setting. */
static void add_written(struct planning *self, str folder)
{
    if (folder.len == 0)
        return;
    (void)!disk_make_dirs(self->arena, folder);
    add_place(self, folder, true);
}

static str folder_of(str path)
{
    size_t len = path.len;

    while (len > 0 && path.ptr[len - 1] != '/')
        len--;
    return len == 0 ? STR(".") : str_slice(path, 0, len > 1 ? len - 1 : 1);
}

/* At the root that would be everything. */
static void add_folder(struct planning *self, str folder)
{
    if (!str_equal(folder, STR("/")))
        add_place(self, folder, false);
}

static bool is_link(struct arena *arena, str path)
{
    str parent = disk_real(arena, folder_of(path)), name = path;

    for (ptrdiff_t at; (at = str_find_byte(name, '/')) >= 0;)
        name = str_slice(name, (size_t)at + 1, name.len);
    return !str_equal(disk_real(arena, path),
                      str_format(arena, "%" STR_F "/%" STR_F, STR_A(parent), STR_A(name)));
}

/* The folders, not the file: a new certificate or route file takes the place of the old one. A
 * folder that is a link itself, as one that is changed all at once, soon leads beside where it
 * leads now. */
static void add_read(struct planning *self, str path)
{
    str real = disk_real(self->arena, path), folder = folder_of(path);

    if (path.len == 0)
        return;
    add_place(self, real, false);
    add_folder(self, folder);
    add_folder(self, folder_of(real));
    if (!str_equal(folder, STR("/")) && is_link(self->arena, folder))
        add_folder(self, folder_of(disk_real(self->arena, folder)));
}

static void add_system(struct planning *self)
{
    static const char *const read[] = { "/etc",
                                        "/usr",
                                        "/lib",
                                        "/lib64",
                                        "/bin",
                                        "/opt",
                                        "/proc",
                                        "/sys",
                                        "/nix/store",
                                        "/gnu/store",
                                        "/run/systemd/resolve" };
    static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                           "/dev/urandom" };
    static const char *const links[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/localtime",
                                         "/etc/ssl/certs/ca-certificates.crt", "/proc/self/exe" };

    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++)
        add_place(self, str_of_z(read[i]), false);
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        add_place(self, str_of_z(devices[i]), true);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        add_read(self, str_of_z(links[i]));
}

static str variable(const struct planning *self, const char *name)
{
    size_t len = strlen(name);

    for (char *const *at = self->environment; *at; at++)
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=')
            return str_of_z(*at + len + 1);
    return STR_NONE;
}

/* What libpq and OpenSSL look for by themselves. */
static void add_environment(struct planning *self)
{
    static const char *const files[] = { "PGPASSFILE",   "PGSERVICEFILE", "PGSSLROOTCERT",
                                         "PGSSLCERT",    "PGSSLKEY",      "PGSSLCRL",
                                         "OPENSSL_CONF", "SSL_CERT_FILE" };
    static const char *const at_home[] = { ".pgpass", ".postgresql", ".pg_service.conf" };
    str home = variable(self, "HOME");

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        add_read(self, variable(self, files[i]));
    add_place(self, variable(self, "SSL_CERT_DIR"), false);
    for (size_t i = 0; home.len > 0 && i < sizeof at_home / sizeof at_home[0]; i++)
        add_place(self, str_format(self->arena, "%" STR_F "/%s", STR_A(home), at_home[i]), false);
}

static void add_settings_files(struct planning *self)
{
    static const enum setting files[] = { CONF_TLS_CERT_FILE,
                                          CONF_TLS_KEY_FILE,
                                          CONF_TLS_CLIENT_CA_FILE,
                                          CONF_UPSTREAM_TLS_CA_FILE,
                                          CONF_UPSTREAM_TLS_CERT_FILE,
                                          CONF_UPSTREAM_TLS_KEY_FILE,
                                          CONF_BUS_TLS_CA_FILE,
                                          CONF_BUS_TLS_CERT_FILE,
                                          CONF_BUS_TLS_KEY_FILE,
                                          CONF_MAIL_CA_FILE,
                                          CONF_ROUTES_FILE,
                                          CONF_LIMITS_REDIS_TLS_CA_FILE,
                                          CONF_LIMITS_REDIS_TLS_CERT_FILE,
                                          CONF_LIMITS_REDIS_TLS_KEY_FILE,
                                          CONF_OTEL_EXPORTER_OTLP_CERTIFICATE,
                                          CONF_OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE,
                                          CONF_OTEL_EXPORTER_OTLP_CLIENT_KEY };
    const str *read;
    size_t count = conf_files(self->arena, self->conf, &read);

    for (size_t i = 0; i < count; i++)
        add_read(self, read[i]);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        add_read(self, conf_text(self->conf, files[i]));
    add_place(self, conf_text(self->conf, CONF_MAIL_TEMPLATES_DIR), false);
}

/* Certificates and the like that the URL of a database names: "sslrootcert=/path". */
static void add_files_of_url(struct planning *self, str url)
{
    for (str rest = url, part; rest.ptr && (part = str_cut(&rest, '&'), true);) {
        ptrdiff_t at = str_find(part, STR("=/"));
        if (at >= 0)
            add_read(self, str_slice(part, (size_t)at + 1, part.len));
    }
}

static str database_of(const struct planning *self, enum setting own)
{
    str url = conf_text(self->conf, own);
    return url.len > 0 ? url : conf_text(self->conf, CONF_DATABASE_URL);
}

static void add_own_data(struct planning *self)
{
    static const struct {
        enum shop_part part;
        enum setting url;
    } databases[] = { { SHOP_USERS, CONF_DATABASE_URL_USERS },
                      { SHOP_PRODUCTS, CONF_DATABASE_URL_PRODUCTS },
                      { SHOP_ORDERS, CONF_DATABASE_URL_ORDERS } };
    str data = conf_text(self->conf, CONF_DATA_DIR), keys = conf_text(self->conf, CONF_KEYS_DIR);

    add_written(self, data);
    for (int i = 0; i < 3; i++) {
        str url = database_of(self, databases[i].url);
        if (!(self->parts & databases[i].part) || url.len == 0)
            continue;
        if (str_starts(url, STR("sqlite:")))
            add_written(self, folder_of(str_slice(url, 7, url.len)));
        else
            add_files_of_url(self, url);
    }
    if (!(self->parts & SHOP_USERS))
        return;
    /* Where it may be a link to a folder elsewhere. */
    str made = str_format(self->arena, "%" STR_F "/keys", STR_A(data));
    add_place(self, keys.len > 0 ? keys : disk_real(self->arena, made), true);
    str mail = conf_text(self->conf, CONF_MAIL_URL);
    if (str_starts(mail, STR("file:")))
        add_written(self, str_slice(mail, 5, mail.len));
}

/* ---- Ports ---- */

static void add_connect(struct planning *self, int64_t port)
{
    landlock_add_port(&self->out->rules.connects, (uint16_t)port);
}

static void add_usual_port(struct planning *self, str scheme)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } usual[] = { { "http", 80 },    { "https", 443 },       { "dns", 80 },
                  { "sqs", 443 },    { "sqs", 80 },          { "amqp", 5672 },
                  { "amqps", 5671 }, { "kafka", 9092 },      { "kafkas", 9092 },
                  { "redis", 6379 }, { "rediss", 6379 },     { "smtp", 25 },
                  { "smtps", 465 },  { "postgresql", 5432 }, { "postgres", 5432 } };

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (str_equal_fold(scheme, str_of_z(usual[i].scheme)))
            add_connect(self, usual[i].port);
}

/* "host", "host:5432" or "[::1]:5432". */
static void add_host(struct planning *self, str scheme, str host)
{
    size_t len = host.len;
    int64_t port;

    while (len > 0 && host.ptr[len - 1] != ':' && host.ptr[len - 1] != ']')
        len--;
    if (len > 0 && host.ptr[len - 1] == ':' &&
        str_to_int64(str_slice(host, len, host.len), 1, UINT16_MAX, &port))
        add_connect(self, port);
    else
        add_usual_port(self, scheme);
}

static bool is_in(char byte, const char *bytes) { return byte && strchr(bytes, byte); }

/* The hosts behind "://", up to what ends them in a URL or in a file that has it. */
static void add_authority(struct planning *self, str scheme, str rest)
{
    size_t len = 0;

    if (str_starts(rest, STR("/"))) /* dns:///host:port */
        rest = str_slice(rest, 1, rest.len);
    while (len < rest.len && !is_in(rest.ptr[len], "/?# \t\r\n\"'}]\\") && !(rest.ptr[len] == '&'))
        if (rest.ptr[len++] == '[') /* an IPv6 address has an end of its own */
            while (len < rest.len && rest.ptr[len++] != ']')
                ;
    str hosts = str_slice(rest, 0, len);
    for (ptrdiff_t at; (at = str_find_byte(hosts, '@')) >= 0;)
        hosts = str_slice(hosts, (size_t)at + 1, hosts.len);
    for (str host; hosts.ptr && (host = str_cut(&hosts, ','), true);)
        add_host(self, scheme, host);
}

/* The ports of all URLs in a text: a setting, or a file of routes. */
static void add_urls(struct planning *self, str text)
{
    for (ptrdiff_t at; (at = str_find(text, STR("://"))) >= 0;) {
        size_t begin = (size_t)at;
        while (begin > 0 && !is_in(text.ptr[begin - 1], " \t\r\n\"'=,&?:"))
            begin--;
        str rest = str_slice(text, (size_t)at + 3, text.len);
        add_authority(self, str_slice(text, begin, (size_t)at - begin), rest);
        text = rest;
    }
}

/* libpq's port may stand behind the '?', and in the environment. */
static void add_database_ports(struct planning *self, str url)
{
    ptrdiff_t at = str_find(url, STR("port="));
    int64_t port;

    if (!str_starts(url, STR("postgres")))
        return;
    add_urls(self, url);
    str named = at >= 0 ? str_slice(url, (size_t)at + 5, url.len) : variable(self, "PGPORT");
    if (named.ptr && str_to_int64(str_cut(&named, '&'), 1, UINT16_MAX, &port))
        add_connect(self, port);
}

static void add_routes(struct planning *self)
{
    str path = conf_text(self->conf, CONF_ROUTES_FILE), yaml;

    if ((self->parts & SHOP_GATEWAY) && path.len > 0 &&
        disk_read(self->arena, path, ROUTES_BYTES_MAX, &yaml) == OK)
        add_urls(self, yaml);
}

/* Where an address is a Unix socket, its folder is written. */
static void add_listener(struct planning *self, enum setting setting)
{
    str address = conf_text(self->conf, setting);
    size_t len = address.len;
    int64_t port;

    if (str_starts(address, STR("unix:"))) {
        add_place(self, folder_of(str_slice(address, 5, address.len)), true);
        return;
    }
    while (len > 0 && address.ptr[len - 1] != ':')
        len--;
    if (str_to_int64(str_slice(address, len, address.len), 0, UINT16_MAX, &port))
        landlock_add_port(&self->out->rules.listens, (uint16_t)port);
}

static void add_connects(struct planning *self)
{
    static const enum setting urls[] = { CONF_BUS_URL,
                                         CONF_MAIL_URL,
                                         CONF_LIMITS_REDIS_URL,
                                         CONF_OTEL_EXPORTER_OTLP_ENDPOINT,
                                         CONF_OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
                                         CONF_OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
                                         CONF_OTEL_EXPORTER_ZIPKIN_ENDPOINT };
    static const enum setting neighbours[] = { CONF_USERS_URL, CONF_PRODUCTS_URL, CONF_ORDERS_URL };
    static const enum setting databases[] = { CONF_DATABASE_URL, CONF_DATABASE_URL_USERS,
                                              CONF_DATABASE_URL_PRODUCTS,
                                              CONF_DATABASE_URL_ORDERS };

    add_connect(self, PORT_DNS);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        add_urls(self, conf_text(self->conf, urls[i]));
    for (int i = 0; i < 3; i++)
        if ((self->parts & SHOP_SERVICES) != SHOP_SERVICES ||
            conf_is_set(self->conf, neighbours[i]))
            add_urls(self, conf_text(self->conf, neighbours[i]));
    for (int i = 0; i < 4; i++)
        if (self->parts & SHOP_SERVICES)
            add_database_ports(self, conf_text(self->conf, databases[i]));
    add_routes(self);
}

static err add_ports_of_setting(struct planning *self)
{
    str list = conf_text(self->conf, CONF_SANDBOX_PORTS);
    int64_t port;

    if (list.len == 0 && str_starts(conf_text(self->conf, CONF_BUS_URL), STR("kafka")))
        self->out->rules.connects.any = true;
    for (str rest = list, part; rest.len > 0 && (part = str_trim(str_cut(&rest, ',')), true);) {
        if (str_equal_fold(part, STR("any")))
            self->out->rules.connects.any = true;
        else if (str_to_int64(part, 1, UINT16_MAX, &port))
            add_connect(self, port);
        else
            return fail(self->arena, SETTING_INVALID,
                        "SANDBOX_PORTS has \"%" STR_F
                        "\": give ports from 1 to 65535 with commas between, or any",
                        STR_A(part));
    }
    return OK;
}

err confine_plan(struct arena *arena, const struct conf *conf, unsigned parts,
                 char *const *environment, struct confine **out)
{
    ASSERT(arena && conf && parts && environment && out);

    struct confine *confine = arena_new(arena, struct confine);
    struct planning self = { arena, conf, parts, environment, confine };

    confine->rules.places = confine->places;
    add_own_data(&self);
    add_settings_files(&self);
    add_environment(&self);
    add_system(&self);
    add_listener(&self, CONF_LISTEN_ADDR);
    if (parts & SHOP_USERS)
        add_listener(&self, CONF_USERS_ADDR);
    if (parts & SHOP_PRODUCTS)
        add_listener(&self, CONF_PRODUCTS_ADDR);
    if (parts & SHOP_ORDERS)
        add_listener(&self, CONF_ORDERS_ADDR);
    add_listener(&self, CONF_OPS_ADDR);
    add_connects(&self);
    TRY(add_ports_of_setting(&self));
    confine->rules.speaks_abstract = str_starts(conf_text(conf, CONF_NOTIFY_SOCKET), STR("@"));
    *out = confine;
    return OK;
}

int confine_port_missing(struct arena *arena, const struct conf *conf,
                         const struct confine *confine)
{
    char *nothing[] = { NULL };
    struct confine now = { .rules = confine->rules };
    struct planning self = { arena, conf, SHOP_GATEWAY, nothing, &now };

    add_routes(&self);
    if (now.rules.connects.any || now.rules.connects.count == confine->rules.connects.count)
        return 0;
    return now.rules.connects.ports[confine->rules.connects.count];
}

str confine_ports_text(struct arena *arena, const struct landlock_ports *ports)
{
    struct text out = text_init(arena, 64);

    for (int i = 0; !ports->any && i < ports->count; i++)
        text_add(&out, str_format(arena, "%s%d", i == 0 ? "" : ", ", ports->ports[i]));
    return ports->any ? STR("any") : text_str(&out);
}
