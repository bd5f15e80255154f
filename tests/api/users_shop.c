#include "tests/api/users_shop.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/random.h"
#include "services/users/store.h"

static void shop_close(void *subject)
{
    struct users_shop *shop = subject;
    users_stop(shop->users);
    users_close(shop->users);
    shop->users = NULL;
}

static void shop_open_users(struct users_shop *shop)
{
    CHECK_OK(users_open(shop->t->arena, shop->house, &shop->users));
    if (!shop->is_still)
        users_start(shop->users);
    shop->anyone =
        inline_client(shop->t, shop->house, inline_handle_service, users_service(shop->users));
    shop->operator_ = shop->anyone;
    shop->operator_.operator_ = true;
}

static struct users_shop *shop_open(struct test *t, const char *const *settings, bool is_still)
{
    struct users_shop *shop = arena_new(t->arena, struct users_shop);
    shop->t = t;
    shop->is_still = is_still;
    shop->house = inline_house(t, settings);
    arena_defer(t->arena, shop_close, shop);
    shop_open_users(shop);
    return shop;
}

struct users_shop *users_shop_open(struct test *t, const char *const *settings)
{
    return shop_open(t, settings, false);
}

struct users_shop *users_shop_open_still(struct test *t) { return shop_open(t, NULL, true); }

void users_shop_restart(struct users_shop *shop)
{
    shop_close(shop);
    shop_open_users(shop);
}

static struct uuid id_of(struct test *t, const struct answer_seen *answer)
{
    struct uuid id;
    CHECK(uuid_parse(inline_text(t, answer, "/id"), &id));
    return id;
}

struct uuid users_shop_register(struct users_shop *shop, const char *email)
{
    struct test *t = shop->t;
    str body = str_format(t->arena, "{\"email\":\"%s\",\"password\":\"" PASSWORD "\"}", email);
    struct answer_seen answer = inline_post(&shop->anyone, "/users", str_z(t->arena, body));
    CHECK_STATUS(answer, 201);
    return id_of(t, &answer);
}

struct uuid users_shop_create(struct users_shop *shop, const char *email, const char *roles)
{
    struct test *t = shop->t;
    str body = str_format(
        t->arena, "{\"email\":\"%s\",\"password\":\"" PASSWORD "\",\"roles\":[%s]}", email, roles);
    struct answer_seen answer =
        inline_post(&shop->operator_, "/operator/users", str_z(t->arena, body));
    CHECK_STATUS(answer, 201);
    return id_of(t, &answer);
}

struct answer_seen users_shop_try_login(struct users_shop *shop, const char *email,
                                        const char *password)
{
    str body =
        str_format(shop->t->arena, "{\"email\":\"%s\",\"password\":\"%s\"}", email, password);
    return inline_post(&shop->anyone, "/users/login", str_z(shop->t->arena, body));
}

struct answer_seen users_shop_try_refresh(struct users_shop *shop, str refresh)
{
    str body = str_format(shop->t->arena, "{\"refresh_token\":\"%" STR_F "\"}", STR_A(refresh));
    return inline_post(&shop->anyone, "/users/refresh", str_z(shop->t->arena, body));
}

static struct tokens tokens_of(struct test *t, struct answer_seen answer)
{
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/token_type"), "Bearer");
    return (struct tokens){ inline_text(t, &answer, "/access_token"),
                            inline_text(t, &answer, "/refresh_token") };
}

struct tokens users_shop_login(struct users_shop *shop, const char *email)
{
    return tokens_of(shop->t, users_shop_try_login(shop, email, PASSWORD));
}

struct tokens users_shop_refresh(struct users_shop *shop, str refresh)
{
    return tokens_of(shop->t, users_shop_try_refresh(shop, refresh));
}

struct inline_client users_shop_client(struct users_shop *shop, str access)
{
    struct inline_client client = shop->anyone;
    client.token = access;
    return client;
}

struct inline_client users_shop_client_of(struct users_shop *shop, const char *email)
{
    return users_shop_client(shop, users_shop_login(shop, email).access);
}

struct token_seen {
    struct users_shop *shop;
    str access;
};

static bool is_revoked(void *subject)
{
    struct token_seen *seen = subject;
    struct test *t = seen->shop->t;
    struct inline_client client = users_shop_client(seen->shop, seen->access);
    struct answer_seen answer = inline_get(&client, "/users/me");
    if (answer.status == 200)
        return false;
    CHECK_PROBLEM(answer, 401, "auth.token_revoked");
    return true;
}

void users_shop_wait_revoked(struct users_shop *shop, str access)
{
    int64_t begun_us = clock_mono_us();
    struct token_seen seen = { shop, access };
    CHECK(inline_until(is_revoked, &seen));
    CHECK(clock_mono_us() - begun_us < 5 * TIME_SECOND);
}

const char *users_shop_path(struct users_shop *shop, const char *format, struct uuid id)
{
    const char *at = strstr(format, "%s");
    CHECK(at);
    str text = uuid_text(shop->t->arena, id);
    return str_z(shop->t->arena, str_format(shop->t->arena, "%.*s%" STR_F "%s", (int)(at - format),
                                            format, STR_A(text), at + 2));
}

/* ---- mails ---- */

static str mail_folder(struct users_shop *shop)
{
    return str_format(shop->t->arena, "%" STR_F "/mail",
                      STR_A(conf_text(shop->house->conf, CONF_DATA_DIR)));
}

struct mails_seen {
    struct users_shop *shop;
    size_t wanted, count;
    str *names;
};

static bool are_there(void *subject)
{
    struct mails_seen *seen = subject;
    struct arena *arena = seen->shop->t->arena;
    size_t count;
    if (disk_list(arena, mail_folder(seen->shop), &seen->names, &count) != OK)
        return false;
    while (count > 0 && seen->names[0].ptr[0] == '.') { /* is being written */
        seen->names++;
        count--;
    }
    seen->count = count;
    return count >= seen->wanted;
}

size_t users_shop_mails_count(struct users_shop *shop)
{
    struct mails_seen seen = { .shop = shop };
    CHECK(are_there(&seen));
    return seen.count;
}

str users_shop_mail_at(struct users_shop *shop, size_t nth)
{
    struct test *t = shop->t;
    struct mails_seen seen = { .shop = shop, .wanted = nth };
    str bytes;
    CHECK(are_there(&seen));
    CHECK_OK(disk_read(t->arena,
                       str_format(t->arena, "%" STR_F "/%" STR_F, STR_A(mail_folder(shop)),
                                  STR_A(seen.names[nth - 1])),
                       100000, &bytes));
    struct text text = text_init(t->arena, bytes.len);
    while (bytes.len > 0) {
        ptrdiff_t at = str_find(bytes, STR("=\r\n"));
        text_add(&text, str_slice(bytes, 0, at < 0 ? bytes.len : (size_t)at));
        bytes = at < 0 ? STR("") : str_slice(bytes, (size_t)at + 3, bytes.len);
    }
    return text_str(&text);
}

str users_shop_mail(struct users_shop *shop, size_t nth)
{
    struct mails_seen seen = { .shop = shop, .wanted = nth };
    CHECK(inline_until(are_there, &seen));
    CHECK_INT(seen.count, nth);
    return users_shop_mail_at(shop, nth);
}

bool users_shop_is_all_sent(void *subject)
{
    struct users_shop *shop = subject;
    struct call *job = service_job_open(users_service(shop->users), "test");
    struct uuid *ids;
    size_t count = 1;
    job->now = INT64_MAX / 2;
    err error = store_list_due_mails(job, 1, &ids, &count);
    service_job_close(job);
    return error == OK && count == 0;
}

/* ---- what Orders tells ---- */

static void acked(void *subject, const struct uuid *ids, size_t count)
{
    (void)ids;
    __atomic_fetch_add((size_t *)subject, count, __ATOMIC_SEQ_CST);
}

static bool is_acked(void *subject)
{
    return __atomic_load_n((size_t *)subject, __ATOMIC_SEQ_CST) > 0;
}

void users_shop_send(struct users_shop *shop, const struct event_spec *spec, const void *message)
{
    struct test *t = shop->t;
    const struct message_spec *of = spec->message;
    size_t *taken = arena_new(t->arena, size_t);
    struct bus_event event = {
        .id = id_new(),
        .type = str_of_z(spec->name),
        .topic = str_of_z(spec->topic),
        .key = text_of(*(ProtobufCBinaryData *)message_field(message, of, spec->key_field)),
        .number = *(int64_t *)message_field(message, of, spec->number_field),
        .payload = message_pack(t->arena, message),
        .at = clock_wall_us(),
    };
    bus_publish(shop->house->bus, &event, 1, acked, taken);
    CHECK(inline_until(is_acked, taken));
}
