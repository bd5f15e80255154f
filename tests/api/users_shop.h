/* Users alone, inline, for its api tests: a fresh database, clients for anyone, for the operator,
 * and for those who log in. */
#pragma once
#include "services/users/service.h"
#include "tests/lib/inline.h"

#define PASSWORD "correct horse battery"

struct users_shop {
    struct test *t;
    struct house *house;
    struct users *users;
    bool is_still;
    struct inline_client anyone, operator_;
};

struct tokens {
    str access, refresh;
};

/* Opens Users with settings ("NAME=value", ended by NULL, or NULL). Closed when the test ends. */
struct users_shop *users_shop_open(struct test *t, const char *const *settings);

/* The same without its timers: nothing happens but what is asked. */
struct users_shop *users_shop_open_still(struct test *t);

/* Closes and opens it again on the same data, as a restart does. */
void users_shop_restart(struct users_shop *shop);

/* Registers a customer; the id of the account. */
struct uuid users_shop_register(struct users_shop *shop, const char *email);

/* Makes an account with roles ("\"staff\"", "\"customer\",\"admin\"") as the operator does. */
struct uuid users_shop_create(struct users_shop *shop, const char *email, const char *roles);

/* Logs in, or trades a refresh token; must succeed. */
struct tokens users_shop_login(struct users_shop *shop, const char *email);
struct tokens users_shop_refresh(struct users_shop *shop, str refresh);

/* The same, whatever comes. */
struct answer_seen users_shop_try_login(struct users_shop *shop, const char *email,
                                        const char *password);
struct answer_seen users_shop_try_refresh(struct users_shop *shop, str refresh);

/* A client with a token, or that of someone who logs in. */
struct inline_client users_shop_client(struct users_shop *shop, str access);
struct inline_client users_shop_client_of(struct users_shop *shop, const char *email);

/* Waits until a token is refused as revoked; fails the test after 5 seconds, which is what is
 * promised. */
void users_shop_wait_revoked(struct users_shop *shop, str access);

/* A path with an id in it: "/users/%s/suspend". */
const char *users_shop_path(struct users_shop *shop, const char *format, struct uuid id);

/* ---- mails, as the mailer of development writes them ---- */

/* The text of the nth mail of the shop, without the soft line breaks of its encoding; waits for it,
 * and fails where there are more. */
str users_shop_mail(struct users_shop *shop, size_t nth);

/* The same of those that are there, however many. */
str users_shop_mail_at(struct users_shop *shop, size_t nth);

/* How many there are. */
size_t users_shop_mails_count(struct users_shop *shop);

/* Whether none is waiting to be sent, for inline_until. */
bool users_shop_is_all_sent(void *shop);

/* ---- what Orders tells ---- */

/* Sends an event by the bus, which runs (inline_start), and waits until it was taken. */
void users_shop_send(struct users_shop *shop, const struct event_spec *spec, const void *message);
