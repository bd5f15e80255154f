#include "tests/sim/calls.h"
#include "os/clock.h"
#include "os/sync.h"
#include "tests/sim/story.h"
#include <dirent.h>
#include <stdio.h>

#define CREDENTIALS "{\"email\":\"ada@example.com\",\"password\":\"correct horse battery\"}"
#define ADDRESS "{\"name\":\"Ada\",\"line1\":\"Road 17\",\"city\":\"Nairobi\",\"country\":\"KE\"}"
#define PRODUCT                                                                          \
    "{\"title\":\"Lamp\",\"status\":\"active\",\"variants\":[{\"sku\":\"%s\",\"price\":" \
    "{\"amount\":500,\"currency\":\"EUR\"},\"on_hand\":3}]}"
#define CSV                                                                    \
    "Handle,Title,Published,Variant SKU,Variant Inventory Qty,Variant Price\n" \
    "jar,Jar,true,jar,7,9.99\n"

enum who { NOBODY, ACCOUNT, STAFF, ADMIN, OPERATOR, BANK };
enum { ID_BYTES = 64, TOKEN_BYTES = 44, MAIL_BYTES = 16384 };

/* In path and body {user}, {address} … stand for what was made before. */
struct row {
    const char *name;
    enum who who;
    enum http_method method;
    const char *path, *body;
    int status;
    const char *if_match_of; /* the path whose ETag it sends */
};

static const struct row rows[] = {
    { "users.register", NOBODY, HTTP_POST, "/users",
      "{\"email\":\"eve@example.com\",\"password\":\"correct horse battery\"}", 201, NULL },
    { "users.login", NOBODY, HTTP_POST, "/users/login", CREDENTIALS, 200, NULL },
    { "users.refresh", NOBODY, HTTP_POST, "/users/refresh", "{\"refresh_token\":\"{refresh}\"}",
      200, NULL },
    { "users.forgot_password", NOBODY, HTTP_POST, "/users/password/forgot",
      "{\"email\":\"ada@example.com\"}", 204, NULL },
    { "users.reset_password", NOBODY, HTTP_POST, "/users/password/reset",
      "{\"token\":\"{reset}\",\"password\":\"incorrect zebra battery\"}", 204, NULL },
    { "users.verify_email", NOBODY, HTTP_POST, "/users/email/verify", "{\"token\":\"{verify}\"}",
      204, NULL },
    { "users.logout", ACCOUNT, HTTP_POST, "/users/logout", NULL, 204, NULL },
    { "users.keys", NOBODY, HTTP_GET, "/users/.well-known/jwks.json", NULL, 200, NULL },
    { "users.get_me", ACCOUNT, HTTP_GET, "/users/me", NULL, 200, NULL },
    { "users.update_me", ACCOUNT, HTTP_PATCH, "/users/me", "{\"name\":\"Ada L.\"}", 200,
      "/users/me" },
    { "users.erase_me", ACCOUNT, HTTP_DELETE, "/users/me", NULL, 204, NULL },
    { "users.export_me", ACCOUNT, HTTP_POST, "/users/me/export", NULL, 200, NULL },
    { "users.change_password", ACCOUNT, HTTP_PUT, "/users/me/password",
      "{\"old_password\":\"correct horse battery\",\"password\":\"incorrect zebra battery\"}", 204,
      NULL },
    { "users.send_verification", ACCOUNT, HTTP_POST, "/users/me/email/verification", NULL, 204,
      NULL },
    { "users.list_sessions", ACCOUNT, HTTP_GET, "/users/me/sessions", NULL, 200, NULL },
    { "users.end_session", ACCOUNT, HTTP_DELETE, "/users/me/sessions/{session}", NULL, 204, NULL },
    { "users.list_addresses", ACCOUNT, HTTP_GET, "/users/me/addresses", NULL, 200, NULL },
    { "users.create_address", ACCOUNT, HTTP_POST, "/users/me/addresses", ADDRESS, 201, NULL },
    { "users.get_address", ACCOUNT, HTTP_GET, "/users/me/addresses/{address}", NULL, 200, NULL },
    { "users.update_address", ACCOUNT, HTTP_PUT, "/users/me/addresses/{address}", ADDRESS, 200,
      NULL },
    { "users.delete_address", ACCOUNT, HTTP_DELETE, "/users/me/addresses/{address}", NULL, 204,
      NULL },
    { "users.list_users", STAFF, HTTP_GET, "/users", NULL, 200, NULL },
    { "users.get_user", STAFF, HTTP_GET, "/users/{user}", NULL, 200, NULL },
    { "users.suspend_user", STAFF, HTTP_POST, "/users/{user}/suspend", "{\"reason\":\"why\"}", 200,
      NULL },
    { "users.restore_user", STAFF, HTTP_POST, "/users/{suspended}/restore", NULL, 200, NULL },
    { "users.set_roles", ADMIN, HTTP_PUT, "/users/{user}/roles", "{\"roles\":[\"customer\"]}", 200,
      NULL },
    { "users.list_api_keys", ADMIN, HTTP_GET, "/users/api-keys", NULL, 200, NULL },
    { "users.create_api_key", ADMIN, HTTP_POST, "/users/api-keys",
      "{\"name\":\"the warehouse\",\"scopes\":[\"orders_read\"]}", 201, NULL },
    { "users.revoke_api_key", ADMIN, HTTP_DELETE, "/users/api-keys/{api_key}", NULL, 204, NULL },
    { "users.list_audit", ADMIN, HTTP_GET, "/users/audit", NULL, 200, NULL },
    { "users.operator_create_user", OPERATOR, HTTP_POST, "/operator/users",
      "{\"email\":\"new@example.com\",\"roles\":[\"staff\"],"
      "\"password\":\"purple walrus teapot forty\"}",
      201, NULL },
    { "users.operator_set_password", OPERATOR, HTTP_PUT, "/operator/users/password",
      "{\"email\":\"ada@example.com\",\"password\":\"incorrect zebra battery\"}", 200, NULL },
    { "products.list_products", NOBODY, HTTP_GET, "/products", NULL, 200, NULL },
    { "products.create_product", STAFF, HTTP_POST, "/products", PRODUCT, 201, NULL },
    { "products.get_product", NOBODY, HTTP_GET, "/products/{product}", NULL, 200, NULL },
    { "products.update_product", STAFF, HTTP_PATCH, "/products/{product}", "{\"title\":\"Other\"}",
      200, "/products/{product}" },
    { "products.delete_product", STAFF, HTTP_DELETE, "/products/{product}", NULL, 204,
      "/products/{product}" },
    { "products.list_categories", NOBODY, HTTP_GET, "/products/categories", NULL, 200, NULL },
    { "products.create_category", STAFF, HTTP_POST, "/products/categories", "{\"name\":\"Chairs\"}",
      201, NULL },
    { "products.update_category", STAFF, HTTP_PATCH, "/products/categories/{category}",
      "{\"name\":\"Stools\"}", 200, NULL },
    { "products.delete_category", STAFF, HTTP_DELETE, "/products/categories/{category}", NULL, 204,
      NULL },
    { "products.get_import", STAFF, HTTP_GET, "/products/imports/{import}", NULL, 200, NULL },
    { "products.get_stock", STAFF, HTTP_GET, "/products/stock/sim-0", NULL, 200, NULL },
    { "products.list_ledger", STAFF, HTTP_GET, "/products/stock/sim-0/ledger", NULL, 200, NULL },
    { "products.list_audit", ADMIN, HTTP_GET, "/products/audit", NULL, 200, NULL },
    { "orders.list_orders", STAFF, HTTP_GET, "/orders", NULL, 200, NULL },
    { "orders.get_order", STAFF, HTTP_GET, "/orders/{order}", NULL, 200, NULL },
    { "orders.get_timeline", STAFF, HTTP_GET, "/orders/{order}/timeline", NULL, 200, NULL },
    { "orders.list_audit", ADMIN, HTTP_GET, "/orders/audit", NULL, 200, NULL },
    { "orders.receive_payment_event", BANK, HTTP_POST, "/orders/payments/simulator/events",
      "{\"event_id\":\"e1\",\"payment_id\":\"01890000-0000-7000-8000-000000000000\","
      "\"status\":\"authorized\"}",
      204, NULL },
};
enum { ROWS_COUNT = sizeof rows / sizeof rows[0] };

static const struct row *row; /* the chosen one */

/* What was made before, by the names that rows use. */
static struct {
    const char *name;
    char text[ID_BYTES * 2];
} made[] = { { "user", "" },   { "address", "" }, { "session", "" },   { "refresh", "" },
             { "reset", "" },  { "verify", "" },  { "product", "" },   { "category", "" },
             { "import", "" }, { "order", "" },   { "suspended", "" }, { "api_key", "" } };
enum { MADE_COUNT = sizeof made / sizeof made[0] };

static struct client_of_shop account; /* with the token of a log-in */

const char *calls_name(int index) { return index < ROWS_COUNT ? rows[index].name : NULL; }

void calls_choose(int index)
{
    ASSERT(index >= 0 && index < ROWS_COUNT);
    row = &rows[index];
}

/* ---- what stands in braces ---- */

static char *made_of(const char *name)
{
    for (int i = 0; i < MADE_COUNT; i++)
        if (strcmp(made[i].name, name) == 0)
            return made[i].text;
    panic(ERR_PLACE, "nothing is made under that name", name);
}

static void keep(const char *name, str text)
{
    snprintf(made_of(name), sizeof made[0].text, "%" STR_F, STR_A(text));
}

static bool wants(const char *name)
{
    char braced[ID_BYTES];
    snprintf(braced, sizeof braced, "{%s}", name);
    return strstr(row->path, braced) || (row->body && strstr(row->body, braced));
}

static const char *filled(struct arena *arena, const char *text)
{
    if (!text)
        return NULL;
    str all = str_of_z(text);
    for (int i = 0; i < MADE_COUNT; i++) {
        str braced = str_format(arena, "{%s}", made[i].name);
        ptrdiff_t at = str_find(all, braced);
        if (at < 0)
            continue;
        all = str_format(arena, "%" STR_F "%s%" STR_F, STR_A(str_slice(all, 0, (size_t)at)),
                         made[i].text, STR_A(str_slice(all, (size_t)at + braced.len, all.len)));
    }
    return str_z(arena, all);
}

/* ---- asking ---- */

static struct exchange *asked(struct client_of_shop *client, enum http_method method,
                              const char *path, const char *body, int status)
{
    struct ask *ask = arena_new(client->model->arena, struct ask);
    *ask = (struct ask){ .kind = ASK_OTHER, .method = method, .path = path, .body = body };
    if (strcmp(path, "/products/imports") == 0)
        ask->content_type = "text/csv";
    struct exchange *exchange = client_ask(client, ask);
    RULE(client_reply(exchange)->status == status, "answers", "%s: %d %" STR_F, path,
         client_reply(exchange)->status, STR_A(client_reply(exchange)->body));
    return exchange;
}

static void make(const char *name, struct client_of_shop *client, const char *path,
                 const char *body, int status, const char *member)
{
    struct exchange *exchange = asked(client, HTTP_POST, path, body, status);
    keep(name, peek_text(client_reply(exchange)->json, member));
    client_done(exchange);
}

static struct client_of_shop as_admin(const struct client_of_shop *other)
{
    struct client_of_shop admin;
    client_init(&admin, other->world, other->model, other->check, "admin",
                ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF | ROLE_BIT_ADMIN);
    return admin;
}

/* ---- before ---- */

static void log_in(void)
{
    struct exchange *exchange = asked(&account, HTTP_POST, "/users/login", CREDENTIALS, 200);
    str token = peek_text(client_reply(exchange)->json, "access_token");
    keep("refresh", peek_text(client_reply(exchange)->json, "refresh_token"));
    snprintf(account.token, sizeof account.token, "%" STR_F, STR_A(token));
    client_done(exchange);
}

static void make_account(struct client_of_shop *shopper)
{
    client_init(&account, shopper->world, shopper->model, shopper->check, "account", 0);
    make("user", &account, "/users", CREDENTIALS, 201, "id");
    log_in();
    if (wants("session")) {
        struct exchange *exchange = asked(&account, HTTP_GET, "/users/me/sessions", NULL, 200);
        struct json_walk walk = json_walk_of(peek(client_reply(exchange)->json, "items"));
        if (json_next(&walk))
            keep("session", peek_text(walk.value, "id"));
        client_done(exchange);
    }
    if (wants("address"))
        make("address", &account, "/users/me/addresses", ADDRESS, 201, "id");
}

/* Takes the line breaks out that are none (quoted-printable). */
static void join_lines(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (at[0] == '=' && (at[1] == '\r' || at[1] == '\n'))
            at += at[1] == '\r' ? 2 : 1;
        else
            *to++ = *at;
    }
    *to = '\0';
}

/* The token of the link to a page, out of the mails that lie in files. */
static bool read_link(struct world *world, const char *page, const char *name)
{
    char path[300], mail[MAIL_BYTES], link[ID_BYTES];
    snprintf(path, sizeof path, "%" STR_F "/mail", STR_A(world->folder));
    snprintf(link, sizeof link, "/%s#token=3D", page);
    DIR *folder = opendir(path);
    bool found = false;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%" STR_F "/mail/%s", STR_A(world->folder), entry->d_name);
        FILE *file = fopen(path, "r");
        size_t len = file ? fread(mail, 1, sizeof mail - 1, file) : 0;
        mail[len] = '\0';
        if (file)
            fclose(file);
        join_lines(mail);
        const char *at = strstr(mail, link);
        found = at && strlen(at) > strlen(link) + TOKEN_BYTES;
        if (found)
            keep(name, str_of(at + strlen(link), TOKEN_BYTES - 1));
    }
    if (folder)
        closedir(folder);
    return found;
}

static void await_link(struct world *world, const char *page, const char *name)
{
    for (int i = 0; i < 60 && !read_link(world, page, name); i++)
        sleep_until(clock_mono_us() + TIME_SECOND);
    RULE(made_of(name)[0], "mails", "no mail leads to %s", page);
}

static void make_order(struct client_of_shop *shopper)
{
    struct ask ask = { .kind = ASK_PLACE, .method = HTTP_POST, .path = "/orders" };
    ask.key = client_new_key(shopper);
    ask.token = "approve";
    ask.lines_count = 1;
    ask.lines[0] = (struct model_line){ .sku = 0, .quantity = 1 };
    ask.wait_ms = 1000;
    ask.body = "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":1}],"
               "\"payment\":{\"provider\":\"simulator\",\"token\":\"approve\"}}";
    client_done(client_ask(shopper, &ask));
    keep("order", str_of_z(ask.kept->order->id));
}

void calls_before(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    struct arena *arena = shopper->model->arena;
    make_account(shopper);
    if (wants("verify"))
        await_link(shopper->world, "verify-email", "verify");
    if (wants("reset")) {
        client_done(asked(&account, HTTP_POST, "/users/password/forgot",
                          "{\"email\":\"ada@example.com\"}", 204));
        await_link(shopper->world, "reset-password", "reset");
    }
    if (wants("suspended")) {
        keep("suspended", str_of_z(made_of("user")));
        const char *path = filled(arena, "/users/{user}/suspend");
        client_done(asked(staff, HTTP_POST, path, "{}", 200));
    }
    if (wants("product"))
        make("product", staff, "/products", str_z(arena, str_format(arena, PRODUCT, "lamp-1")), 201,
             "id");
    if (wants("category"))
        make("category", staff, "/products/categories", "{\"name\":\"Tables\"}", 201, "id");
    if (wants("import"))
        make("import", staff, "/products/imports", CSV, 202, "id");
    if (wants("order"))
        make_order(shopper);
    if (wants("api_key")) {
        struct client_of_shop admin = as_admin(shopper);
        make("api_key", &admin, "/users/api-keys", "{\"name\":\"n\",\"scopes\":[\"orders_read\"]}",
             201, "id");
    }
    sleep_until(clock_mono_us() + 2 * TIME_SECOND);
}

/* ---- the call ---- */

static void sign(struct client_of_shop *client, struct ask *ask)
{
    struct arena *arena = client->model->arena;
    str secret = conf_text(client->world->conf, CONF_PAYMENT_SIMULATOR_SECRET);
    struct sha256 mac = hmac_sha256(secret, str_of_z(ask->body));
    ask->signature = str_z(arena, hex(arena, str_of(mac.bytes, sizeof mac.bytes)));
}

static const char *etag_of(struct client_of_shop *client, const char *path)
{
    struct exchange *exchange = asked(client, HTTP_GET, path, NULL, 200);
    const char *etag = str_z(client->model->arena, client_reply(exchange)->etag);
    client_done(exchange);
    return etag;
}

void calls_act(struct client_of_shop *shopper, struct client_of_shop *staff)
{
    struct arena *arena = shopper->model->arena;
    struct client_of_shop others;
    struct client_of_shop *client = row->who == STAFF     ? staff
                                    : row->who == ACCOUNT ? &account
                                                          : &others;
    others = as_admin(shopper);
    others.roles = row->who == ADMIN ? others.roles : 0;
    others.is_operator = row->who == OPERATOR;
    struct ask ask = { .kind = ASK_OTHER, .method = row->method };
    ask.path = filled(arena, row->path);
    ask.body = row->body && strcmp(row->body, PRODUCT) == 0
                   ? str_z(arena, str_format(arena, PRODUCT, "lamp-2"))
                   : filled(arena, row->body);
    if (row->if_match_of)
        ask.if_match = etag_of(client, filled(arena, row->if_match_of));
    if (row->who == BANK)
        sign(client, &ask);
    if (row->method == HTTP_DELETE && row->who == ACCOUNT && strcmp(row->path, "/users/me") == 0)
        account.model->erasure_asked = true;
    int crashes_before = shopper->world->crashes;
    client->fails_allocations = shopper->fails_allocations;
    int64_t before = client->allocations_failed;
    struct exchange *exchange = client_ask(client, &ask);
    if (client != staff && client != shopper)
        shopper->allocations_failed += client->allocations_failed - before;
    client->fails_allocations = false;
    /* Whoever has no key, and lost the answer with the process, may find it done. */
    int status = client_reply(exchange)->status;
    bool may_be_done = shopper->world->crashes != crashes_before && status / 100 == 4;
    RULE(status == row->status || may_be_done, "answers", "%s: %d %" STR_F, row->name, status,
         STR_A(client_reply(exchange)->body));
    client_done(exchange);
}
