#include "services/gateway/routes.h"

#include "base/arena.h"
#include "chassis/setting.h"
#include "chassis/upstream_url.h"

#include <yaml.h>

const str ROUTES_BUILTIN = STR("- path: /users\n"
                               "  exact: true\n"
                               "  methods: [POST]\n"
                               "  upstream: service:users\n"
                               "  rate: sign_in\n"
                               "- path: /users/login\n"
                               "  exact: true\n"
                               "  methods: [POST]\n"
                               "  upstream: service:users\n"
                               "  rate: sign_in\n"
                               "- path: /users/refresh\n"
                               "  exact: true\n"
                               "  methods: [POST]\n"
                               "  upstream: service:users\n"
                               "  rate: sign_in\n"
                               "- path: /users/password\n"
                               "  methods: [POST]\n"
                               "  upstream: service:users\n"
                               "  rate: sign_in\n"
                               "- path: /users/email\n"
                               "  methods: [POST]\n"
                               "  upstream: service:users\n"
                               "  rate: sign_in\n"
                               "- path: /users\n"
                               "  upstream: service:users\n"
                               "- path: /products\n"
                               "  upstream: service:products\n"
                               "- path: /orders\n"
                               "  upstream: service:orders\n");

static const char *const METHODS[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
static const unsigned METHODS_ALL = (1U << HTTP_METHODS_COUNT) - 1;

/* ---- Reading ---- */

/* What is being read, for the errors. */
struct reader {
    struct arena *arena;
    yaml_document_t *document;
    str file;
    const str *upstreams;
    int upstreams_count;
};

#define WRONG(reader, node, ...)                                                             \
    fail((reader)->arena, SETTING_INVALID, "%" STR_F ":%zu: %" STR_F, STR_A((reader)->file), \
         (node)->start_mark.line + 1, STR_A(str_format((reader)->arena, __VA_ARGS__)))

static err scalar_read(const struct reader *reader, const yaml_node_t *node, const char *key,
                       str *out)
{
    if (node->type != YAML_SCALAR_NODE)
        return WRONG(reader, node, "%s is one word", key);
    *out = str_copy(reader->arena, str_of(node->data.scalar.value, node->data.scalar.length));
    return OK;
}

/* Finds a word among those allowed, and names them where it is not there. */
static err word_read(const struct reader *reader, const yaml_node_t *node, const char *key,
                     const char *const *words, int count, int *out)
{
    str word;
    TRY(scalar_read(reader, node, key, &word));
    for (int i = 0; i < count; i++) {
        if (str_equal(word, str_of_z(words[i]))) {
            *out = i;
            return OK;
        }
    }

    struct text allowed = text_init(reader->arena, 64);
    for (int i = 0; i < count; i++)
        text_add_format(&allowed, "%s%s", i > 0 ? ", " : "", words[i]);
    return WRONG(reader, node, "%s is \"%" STR_F "\"; allowed: %" STR_F, key, STR_A(word),
                 STR_A(text_str(&allowed)));
}

static bool is_path(str path)
{
    bool is_root = path.len == 1;
    if (path.len == 0 || path.ptr[0] != '/' || (!is_root && path.ptr[path.len - 1] == '/'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] <= ' ' || path.ptr[i] > '~' || path.ptr[i] == '?' || path.ptr[i] == '#')
            return false;
    return true;
}

static err path_read(const struct reader *reader, const yaml_node_t *node, const char *key,
                     str *out)
{
    TRY(scalar_read(reader, node, key, out));
    if (!is_path(*out))
        return WRONG(reader, node,
                     "%s is \"%" STR_F
                     "\"; it begins with /, does not end with one and has no query",
                     key, STR_A(*out));
    return OK;
}

/* A URL, or the name of a service, whose index is given in `service`. */
static err target_read(const struct reader *reader, const yaml_node_t *node, const char *key,
                       str *url, int *service)
{
    str text;
    TRY(scalar_read(reader, node, key, &text));
    *url = STR_NONE;
    if (str_find(text, STR("://")) >= 0 || str_starts(text, STR("unix:"))) {
        struct upstream_url seen;
        err error = upstream_url_read(reader->arena, text, key, &seen);
        if (error != OK)
            return WRONG(reader, node, "%" STR_F, STR_A(error->detail));
        *url = text;
        return OK;
    }

    struct text allowed = text_init(reader->arena, 64);
    for (int i = 0; i < reader->upstreams_count; i++) {
        str name = str_format(reader->arena, "service:%" STR_F, STR_A(reader->upstreams[i]));
        if (str_equal(text, name)) {
            *service = i;
            return OK;
        }
        text_add_format(&allowed, "%" STR_F ", ", STR_A(name));
    }
    return WRONG(reader, node, "%s is \"%" STR_F "\"; allowed: %" STR_F "a URL as http://HOST:PORT",
                 key, STR_A(text), STR_A(text_str(&allowed)));
}

static err weight_read(const struct reader *reader, const yaml_node_t *node, int *out)
{
    str text;
    int64_t weight;
    TRY(scalar_read(reader, node, "weight", &text));
    if (!str_to_int64(text, 0, ROUTE_WEIGHT_MAX, &weight))
        return WRONG(reader, node, "weight is \"%" STR_F "\"; allowed: 0 to %d", STR_A(text),
                     ROUTE_WEIGHT_MAX);
    *out = (int)weight;
    return OK;
}

/* {to: …, weight: …}; `*service` is left where it leads to a URL. */
static err way_read(const struct reader *reader, const yaml_node_t *node, struct route_way *way,
                    int *service)
{
    static const char *const keys[] = { "to", "weight" };
    unsigned seen = 0;

    if (node->type != YAML_MAPPING_NODE)
        return WRONG(reader, node, "each upstream of a list has to and weight");
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *value = yaml_document_get_node(reader->document, pair->value);
        int which;
        TRY(word_read(reader, yaml_document_get_node(reader->document, pair->key), "the key", keys,
                      2, &which));
        seen |= 1U << which;
        if (which == 0)
            TRY(target_read(reader, value, "to", &way->url, service));
        else
            TRY(weight_read(reader, value, &way->weight));
    }
    if (seen != 3)
        return WRONG(reader, node, "each upstream of a list has to and weight");
    return OK;
}

/* Several ways; of one service only, and each once. */
static err ways_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    ptrdiff_t count = node->data.sequence.items.top - node->data.sequence.items.start;
    int64_t weights = 0;

    if (count == 0 || count > ROUTE_WAYS_MAX)
        return WRONG(reader, node, "%td upstreams; allowed: 1 to %d", count, ROUTE_WAYS_MAX);
    route->ways = arena_array(reader->arena, struct route_way, (size_t)count);
    for (ptrdiff_t i = 0; i < count; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(reader->document, node->data.sequence.items.start[i]);
        struct route_way *way = &route->ways[i];
        int service = ROUTE_FOREIGN;
        *way = (struct route_way){ 0 };
        TRY(way_read(reader, item, way, &service));
        for (ptrdiff_t j = 0; j < i; j++)
            if (str_equal(route->ways[j].url, way->url))
                return WRONG(reader, item, "a second upstream that is %s",
                             way->url.ptr ? "the same" : "a service: the others are its versions");
        if (service != ROUTE_FOREIGN)
            route->upstream = service;
        weights += way->weight;
    }
    route->ways_count = (int)count;
    return weights > 0 ? OK : WRONG(reader, node, "the weights are all 0: nobody could go there");
}

static err upstream_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    str url;

    route->upstream = ROUTE_FOREIGN;
    if (node->type == YAML_SEQUENCE_NODE)
        return ways_read(reader, node, route);
    TRY(target_read(reader, node, "upstream", &url, &route->upstream));
    if (!url.ptr)
        return OK;
    route->ways = arena_new(reader->arena, struct route_way);
    *route->ways = (struct route_way){ .url = url, .weight = 1 };
    route->ways_count = 1;
    return OK;
}

static err timeout_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    const struct setting_spec *spec = setting_spec(CONF_UPSTREAM_TIMEOUT);
    str text;

    TRY(scalar_read(reader, node, "timeout", &text));
    if (!setting_parse(spec, text, &route->timeout_ms))
        return WRONG(reader, node, "timeout is \"%" STR_F "\"; give %" STR_F, STR_A(text),
                     STR_A(setting_allowed(reader->arena, spec)));
    return OK;
}

static err methods_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return WRONG(reader, node, "methods is a list such as [GET, POST]");

    route->methods = 0;
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++) {
        int method;
        TRY(word_read(reader, yaml_document_get_node(reader->document, *item), "a method", METHODS,
                      (int)(sizeof(METHODS) / sizeof(METHODS[0])), &method));
        route->methods |= 1U << method;
        if (method == HTTP_GET)
            route->methods |= 1U << HTTP_HEAD;
    }
    if (route->methods == 0)
        return WRONG(reader, node, "methods names none; leave it out for all");
    return OK;
}

static err host_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    str host;
    TRY(scalar_read(reader, node, "host", &host));
    if (host.len == 0 || str_find_byte(host, '/') >= 0 ||
        (str_find_byte(host, ':') >= 0 && host.ptr[0] != '['))
        return WRONG(reader, node, "host is \"%" STR_F "\"; give a name without a port",
                     STR_A(host));
    route->host = str_lower(reader->arena, host);
    return OK;
}

enum key {
    KEY_PATH,
    KEY_EXACT,
    KEY_HOST,
    KEY_METHODS,
    KEY_UPSTREAM,
    KEY_REWRITE,
    KEY_ACCESS,
    KEY_RATE,
    KEY_TIMEOUT,
    KEYS_COUNT
};

static err value_read(const struct reader *reader, enum key key, const yaml_node_t *node,
                      struct route *route)
{
    static const char *const bools[] = { "false", "true" };
    static const char *const access[] = { "anyone", "customer", "staff", "admin" };
    static const char *const rates[RATE_CLASSES_COUNT] = { "default", "sign_in", "none" };
    int word = 0;

    switch (key) {
    case KEY_PATH: return path_read(reader, node, "path", &route->path);
    case KEY_HOST: return host_read(reader, node, route);
    case KEY_METHODS: return methods_read(reader, node, route);
    case KEY_UPSTREAM: return upstream_read(reader, node, route);
    case KEY_EXACT:
        TRY(word_read(reader, node, "exact", bools, 2, &word));
        route->exact = word == 1;
        return OK;
    case KEY_REWRITE:
        route->rewrites = true;
        return path_read(reader, node, "rewrite", &route->rewrite);
    case KEY_ACCESS:
        TRY(word_read(reader, node, "access", access, 4, &word));
        route->access = (enum access)word;
        return OK;
    case KEY_RATE:
        TRY(word_read(reader, node, "rate", rates, RATE_CLASSES_COUNT, &word));
        route->rate = (enum rate_class)word;
        return OK;
    case KEY_TIMEOUT: return timeout_read(reader, node, route);
    case KEYS_COUNT: break;
    }
    return WRONG(reader, node, "this key is not known");
}

static err route_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    static const char *const keys[KEYS_COUNT] = { "path",    "exact",    "host",
                                                  "methods", "upstream", "rewrite",
                                                  "access",  "rate",     "timeout" };
    unsigned seen = 0;

    if (node->type != YAML_MAPPING_NODE)
        return WRONG(reader, node, "a route has keys: path, upstream, …");
    *route = (struct route){ .methods = METHODS_ALL };
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        int which;
        TRY(word_read(reader, key, "the key", keys, KEYS_COUNT, &which));
        if (seen & (1U << which))
            return WRONG(reader, key, "%s comes twice", keys[which]);
        seen |= 1U << which;
        TRY(value_read(reader, (enum key)which,
                       yaml_document_get_node(reader->document, pair->value), route));
    }
    if (!(seen & (1U << KEY_PATH)) || !(seen & (1U << KEY_UPSTREAM)))
        return WRONG(reader, node, "a route needs path and upstream");
    if ((seen & (1U << KEY_TIMEOUT)) && route->upstream != ROUTE_FOREIGN)
        return WRONG(reader, node,
                     "timeout is for upstreams by URL; a service has its contract's deadlines");
    return OK;
}

static err document_read(const struct reader *reader, struct routes *out)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);
    if (!root || root->type != YAML_SEQUENCE_NODE)
        return fail(reader->arena, SETTING_INVALID, "%" STR_F ": the file is a list of routes",
                    STR_A(reader->file));

    ptrdiff_t count = root->data.sequence.items.top - root->data.sequence.items.start;
    if (count == 0 || count > ROUTES_MAX)
        return WRONG(reader, root, "%td routes; allowed: 1 to %d", count, ROUTES_MAX);
    struct route *routes = arena_array(reader->arena, struct route, (size_t)count);
    for (ptrdiff_t i = 0; i < count; i++)
        TRY(route_read(reader,
                       yaml_document_get_node(reader->document, root->data.sequence.items.start[i]),
                       &routes[i]));
    *out = (struct routes){ .items = routes, .count = (int)count };
    return OK;
}

/* A second document would be overlooked: it is refused. */
static err end_read(struct arena *arena, yaml_parser_t *parser, str file)
{
    yaml_document_t next;
    if (!yaml_parser_load(parser, &next))
        return fail(arena, SETTING_INVALID, "%" STR_F ":%zu: %s", STR_A(file),
                    parser->problem_mark.line + 1, parser->problem ? parser->problem : "no YAML");
    bool is_end = yaml_document_get_root_node(&next) == NULL;
    yaml_document_delete(&next);
    if (!is_end)
        return fail(arena, SETTING_INVALID, "%" STR_F ": more than one document", STR_A(file));
    return OK;
}

err routes_parse(struct arena *arena, str yaml, str file, const str *upstreams, int upstreams_count,
                 struct routes *out)
{
    ASSERT(arena && out);
    ASSERT(upstreams && upstreams_count > 0);

    yaml_parser_t parser;
    yaml_document_t document;
    bool began = yaml_parser_initialize(&parser) != 0;
    ASSERT(began);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.ptr ? yaml.ptr : ""),
                                 yaml.len);
    err error;
    if (yaml_parser_load(&parser, &document)) {
        struct reader reader = { .arena = arena,
                                 .document = &document,
                                 .file = file,
                                 .upstreams = upstreams,
                                 .upstreams_count = upstreams_count };
        error = document_read(&reader, out);
        yaml_document_delete(&document);
        if (!error)
            error = end_read(arena, &parser, file);
    } else {
        error = fail(arena, SETTING_INVALID, "%" STR_F ":%zu: %s", STR_A(file),
                     parser.problem_mark.line + 1, parser.problem ? parser.problem : "no YAML");
    }
    yaml_parser_delete(&parser);
    return error;
}

/* ---- Finding ---- */

/* "Shop.Example.org:3000" is the host "shop.example.org". */
static bool is_host(str wanted, str host)
{
    if (!wanted.ptr)
        return true;
    if (!str_equal_fold(str_slice(host, 0, wanted.len), wanted))
        return false;
    return host.len == wanted.len || host.ptr[wanted.len] == ':';
}

static bool is_below(const struct route *route, str path)
{
    if (route->exact || route->path.len == 1)
        return !route->exact || str_equal(path, route->path);
    return str_starts(path, route->path) &&
           (path.len == route->path.len || path.ptr[route->path.len] == '/');
}

struct route_found routes_find(const struct routes *routes, str host, enum http_method method,
                               str path)
{
    ASSERT(routes);
    ASSERT(method < HTTP_METHODS_COUNT);

    struct route_found found = { 0 };
    for (int i = 0; i < routes->count; i++) {
        const struct route *route = &routes->items[i];
        if (!is_below(route, path) || !is_host(route->host, host))
            continue;
        if (route->methods & (1U << method))
            return (struct route_found){ .route = route };
        found.allow |= route->methods;
    }
    return found;
}

const struct route_way *route_way_of(const struct route *route, uint32_t caller)
{
    ASSERT(route);
    if (route->ways_count == 0)
        return NULL;

    uint32_t weights = 0;
    for (int i = 0; i < route->ways_count; i++)
        weights += (uint32_t)route->ways[i].weight;
    uint32_t at = caller % weights;
    int way = 0;
    while (at >= (uint32_t)route->ways[way].weight)
        at -= (uint32_t)route->ways[way++].weight;
    return &route->ways[way];
}

str route_path(struct arena *arena, const struct route *route, str path)
{
    ASSERT(arena && route);
    if (!route->rewrites)
        return path;

    str rest = str_slice(path, route->path.len == 1 ? 0 : route->path.len, path.len);
    str base = route->rewrite.len == 1 ? STR_NONE : route->rewrite; /* "/" and "/x" give "/x" */
    if (rest.len == 0 && base.len == 0)
        return STR("/");
    return str_format(arena, "%" STR_F "%" STR_F, STR_A(base), STR_A(rest));
}
