#include "services/gateway/routes.h"

#include "base/arena.h"

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

static err upstream_read(const struct reader *reader, const yaml_node_t *node, struct route *route)
{
    str text;
    TRY(scalar_read(reader, node, "upstream", &text));
    if (str_find(text, STR("://")) >= 0)
        return WRONG(reader, node,
                     "upstream %" STR_F
                     ": a route leads to a service by its name, as service:NAME; where that "
                     "is, USERS_URL, PRODUCTS_URL and ORDERS_URL say",
                     STR_A(text));

    struct text allowed = text_init(reader->arena, 64);
    for (int i = 0; i < reader->upstreams_count; i++) {
        str name = str_format(reader->arena, "service:%" STR_F, STR_A(reader->upstreams[i]));
        if (str_equal(text, name)) {
            route->upstream = i;
            return OK;
        }
        text_add_format(&allowed, "%s%" STR_F, i > 0 ? ", " : "", STR_A(name));
    }
    return WRONG(reader, node, "upstream is \"%" STR_F "\"; allowed: %" STR_F, STR_A(text),
                 STR_A(text_str(&allowed)));
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
    case KEY_TIMEOUT:
        return WRONG(
            reader, node,
            "timeout is for upstreams by URL; a local service has its contract's deadlines");
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
