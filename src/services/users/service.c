#include "services/users/service.h"
#include "chassis/obs.h"
#include "gen/mail_sources.h"
#include "gen/users.h"
#include "gen/users.sql.h"
#include "services/users/inside.h"
#include "services/users/jobs.h"
#include "services/users/store.h"

enum { THROTTLE_KEYS_MAX = 16384 };

static str database_url(struct arena *arena, const struct conf *conf)
{
    return service_database_url(arena, conf, CONF_DATABASE_URL_USERS, "users.db");
}

err users_migrate(struct arena *arena, const struct conf *conf, int *applied)
{
    ASSERT(arena && conf && applied);
    return service_migrate(arena, database_url(arena, conf), &users_schema, applied);
}

/* Where others may run on the same database, a key that each made for itself would leave tokens of
 * one unknown to the other. */
static err check_keys_are_shared(struct arena *arena, const struct conf *conf)
{
    bool is_shared = !str_starts(database_url(arena, conf), STR("sqlite:"));
    if (!is_shared || conf_text(conf, CONF_KEYS_DIR).len > 0)
        return OK;
    return fail(
        arena, SETTING_INVALID,
        "KEYS_DIR is not set, and Users' database is PostgreSQL, where replicas may run: give "
        "all of them one folder of keys that sign tokens (a mounted Secret), or the one that "
        "this shop has had, %" STR_F ". Its first key: umask 077; mkdir -p DIR; head -c 32 "
        "/dev/urandom | basenc --base64url | tr -d = >DIR/1",
        STR_A(keys_folder(arena, conf)));
}

static err open_keys(struct arena *arena, struct users *self, const struct conf *conf)
{
    bool makes_first = conf_text(conf, CONF_KEYS_DIR).len == 0;
    TRY(check_keys_are_shared(arena, conf));
    TRY(keys_open(arena, keys_folder(self->arena, conf), makes_first, &self->keys));

    struct auth_key keys[AUTH_KEYS_MAX];
    auth_set_keys(self->house->auth, keys, keys_verifying(self->keys, keys));
    return OK;
}

err users_rotate_keys(struct users *self, struct arena *arena, bool drops_others, time_us now,
                      str *kid)
{
    ASSERT(self && arena && kid);
    struct signing_key made;
    TRY(keys_rotate(self->keys, arena, drops_others, now, &made));
    struct auth_key keys[AUTH_KEYS_MAX];
    auth_set_keys(self->house->auth, keys, keys_verifying(self->keys, keys));
    *kid = str_copy(arena, str_of_z(made.kid));
    LOG(LOG_INFO, "keys.rotated", LOG_TEXT("kid", *kid), LOG_NUMBER("drops_others", drops_others));
    return OK;
}

/* ---- the first admin ---- */

static err fail_bootstrap(struct arena *arena, const char *setting, err error)
{
    return fail_over(arena, SETTING_INVALID, error, "%s: %" STR_F, setting, STR_A(error->detail));
}

/* What is wrong with it stops the start, also where there is an admin already: a mistake is found
 * on the day that it is made. */
static err read_first_admin(struct arena *arena, struct users *self, const struct conf *conf)
{
    struct first_admin *admin = &self->first_admin;
    str email = conf_text(conf, CONF_BOOTSTRAP_ADMIN_EMAIL);
    str password = conf_text(conf, CONF_BOOTSTRAP_ADMIN_PASSWORD);
    if (email.len == 0 && password.len == 0)
        return OK;
    if (email.len == 0 || password.len == 0)
        return fail(arena, SETTING_INVALID,
                    "BOOTSTRAP_ADMIN_EMAIL and BOOTSTRAP_ADMIN_PASSWORD belong together; set both "
                    "(the second as BOOTSTRAP_ADMIN_PASSWORD_FILE), or none");

    err error = email_parse(self->arena, email, &admin->email);
    if (error != OK)
        return fail_bootstrap(arena, "BOOTSTRAP_ADMIN_EMAIL", error);
    admin->password = password_normal(self->arena, password);
    error = password_check(arena, admin->password, admin->email.key, ROLE_BIT_ADMIN, &self->policy);
    return error == OK ? OK : fail_bootstrap(arena, "BOOTSTRAP_ADMIN_PASSWORD", error);
}

/* ---- mails ---- */

static err read_templates(struct arena *arena, struct users *self, const struct conf *conf)
{
    for (size_t i = 0; i < mail_sources_count; i++) {
        const struct mail_source *source = &mail_sources[i];
        enum mail_kind kind;
        str text, html;
        if (!mail_kind_of(str_of_z(source->name), &kind))
            continue;
        TRY(mailer_template(self->arena, conf, source->name, "txt",
                            str_of(source->text, source->text_len), &text));
        TRY(mailer_template(self->arena, conf, source->name, "html",
                            str_of(source->html, source->html_len), &html));
        TRY(mail_template_read(arena, source->name, text, html, &self->templates[kind]));
    }
    for (int kind = 0; kind < MAIL_KINDS_COUNT; kind++)
        ASSERT(self->templates[kind].text.ptr);
    return OK;
}

/* Mails with links are asked for; those about orders the shop may do without. */
static void read_switches(struct users *self, const struct conf *conf)
{
    static const enum setting switches[MAIL_KINDS_COUNT] = {
        [MAIL_ORDER_CONFIRMED] = CONF_MAIL_ORDER_CONFIRMED,
        [MAIL_ORDER_REJECTED] = CONF_MAIL_ORDER_REJECTED,
        [MAIL_ORDER_SHIPPED] = CONF_MAIL_ORDER_SHIPPED,
        [MAIL_ORDER_CANCELLED] = CONF_MAIL_ORDER_CANCELLED,
        [MAIL_ORDER_REFUNDED] = CONF_MAIL_ORDER_REFUNDED,
    };
    for (int kind = 0; kind < MAIL_KINDS_COUNT; kind++) {
        bool is_wanted =
            !mail_is_of_order((enum mail_kind)kind) || conf_int(conf, switches[kind]) != 0;
        self->sends[kind] = is_wanted && mailer_is_on(self->mailer);
    }
}

static err open_mails(struct arena *arena, struct users *self, const struct conf *conf)
{
    self->shop_name = conf_text(conf, CONF_SHOP_NAME);
    self->storefront_url = conf_text(conf, CONF_STOREFRONT_URL);
    self->link_ttl[MAIL_VERIFY] = conf_int(conf, CONF_EMAIL_VERIFY_TTL) * TIME_MS;
    self->link_ttl[MAIL_RESET] = conf_int(conf, CONF_PASSWORD_RESET_TTL) * TIME_MS;
    self->mail_pause = conf_int(conf, CONF_MAIL_RETRY) * TIME_MS;
    self->mail_keep = conf_int(conf, CONF_MAIL_KEEP) * TIME_MS;
    self->mails_rule =
        (struct throttle_rule){ conf_int(conf, CONF_MAILS_AN_ADDRESS), 3600 * TIME_SECOND };
    self->failures_rule =
        (struct throttle_rule){ conf_int(conf, CONF_LOGIN_FAILURES), 15 * 60 * TIME_SECOND };
    self->throttle = throttle_open(THROTTLE_KEYS_MAX);
    TRY(read_templates(arena, self, conf));
    TRY(mailer_open(arena, conf, &self->mailer));
    read_switches(self, conf);
    return OK;
}

static err open_service(struct arena *arena, struct users *self, const struct conf *conf)
{
    struct service_config config = {
        .spec = &users_service_spec,
        .schema = &users_schema,
        .house = self->house,
        .database_url = database_url(self->arena, conf),
        .durable = conf_int(conf, CONF_DATABASE_DURABLE) != 0,
        .self = self,
    };
    TRY(service_open(arena, &config, &self->service));
    service_every(self->service, "users.follow", FOLLOW_TICK_MS, users_follow);
    service_every(self->service, "users.keys", KEYS_TICK_MS, users_reload_keys);
    struct swept_room room =
        store_users_swept(self->swept, conf_int(conf, CONF_API_KEY_RETENTION) * TIME_MS);
    service_sweeps(self->service, &room);
    service_every(self->service, "users.key_uses", KEYS_TICK_MS, users_note_key_uses);
    service_every(self->service, "users.mails", MAILS_TICK_MS, users_give_due_mails);
    if (self->first_admin.email.text.len > 0)
        service_every(self->service, "users.first_admin", FIRST_ADMIN_TICK_MS,
                      users_make_first_admin);
    self->mail_lanes = lanes_open(self->service, "mail", users_run_mail);
    return OK;
}

err users_open(struct arena *arena, const struct house *house, struct users **out)
{
    ASSERT(arena && house && house->auth && house->conf && out);

    const struct conf *conf = house->conf;
    struct arena *own = arena_open(SIZE_MAX);
    struct users *self = arena_new(own, struct users);
    *self = (struct users){
        .arena = own,
        .house = house,
        .policy = { .length_min = conf_int(conf, CONF_PASSWORD_LENGTH_MIN),
                    .length_min_staff = conf_int(conf, CONF_PASSWORD_LENGTH_MIN_STAFF) },
        .issuer = conf_text(conf, CONF_TOKEN_ISSUER),
        .audience = conf_text(conf, CONF_TOKEN_AUDIENCE),
        .access_ttl = conf_int(conf, CONF_ACCESS_TOKEN_TTL) * TIME_MS,
        .refresh_ttl = conf_int(conf, CONF_REFRESH_TOKEN_TTL) * TIME_MS,
    };
    err error = open_keys(arena, self, conf);
    if (error == OK)
        error = read_first_admin(arena, self, conf);
    if (error == OK)
        error = open_mails(arena, self, conf);
    if (error == OK)
        error = open_service(arena, self, conf);
    if (error != OK) {
        users_close(self);
        return error;
    }
    *out = self;
    return OK;
}

struct service *users_service(struct users *self)
{
    ASSERT(self);
    return self->service;
}

/* What a timer does, done once before the first request. Where it fails, the timer tries again. */
static void do_first(struct users *self, const char *name, const char *failed,
                     err (*run)(void *self, struct call *call))
{
    struct call *call = service_job_open(self->service, name);
    err error = run(self, call);
    if (error != OK)
        LOG(LOG_ERROR, failed, LOG_TEXT("error", err_describe(call->arena, error)));
    service_job_close(call);
}

void users_start(struct users *self)
{
    ASSERT(self);
    /* What was revoked before the restart is refused from the first request on. */
    do_first(self, "users.follow", "users.follow_failed", users_follow);
    if (self->first_admin.email.text.len > 0)
        do_first(self, "users.first_admin", "admin.not_made", users_make_first_admin);
    service_start(self->service);
    lanes_start(self->mail_lanes, (int)conf_int(self->house->conf, CONF_MAIL_LANES));
}

void users_stop(struct users *self)
{
    if (!self)
        return;
    service_stop(self->service);
    lanes_stop(self->mail_lanes);
}

void users_close(struct users *self)
{
    if (!self)
        return;
    lanes_close(self->mail_lanes);
    service_close(self->service);
    mailer_close(self->mailer);
    throttle_close(self->throttle);
    keys_close(self->keys);
    arena_close(self->arena);
}
