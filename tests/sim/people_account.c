/* The one shopper of a run that has an account: registers, is suspended, is forgotten. */
#include "os/clock.h"
#include "os/sync.h"
#include "tests/sim/deeds.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum { LATER_VERSION = 1000 };
static const int64_t revoked_within_us = 8 * TIME_SECOND; /* 5, and what a fault may add */

static const char credentials[] =
    "{\"email\":\"forgetful@example.com\",\"password\":\"correct horse battery\"}";

static const struct reply *asked(struct client_of_shop *client, struct ask *ask,
                                 struct exchange **exchange)
{
    *exchange = client_ask(client, ask);
    return client_reply(*exchange);
}

static str text_of_answer(struct person *shopper, struct ask *ask, int status, const char *member)
{
    struct exchange *exchange;
    const struct reply *reply = asked(&shopper->client, ask, &exchange);
    RULE(reply->status == status, "accounts", "%s: %d %" STR_F, ask->path, reply->status,
         STR_A(reply->body));
    str text = str_copy(shopper->client.model->arena, peek_text(reply->json, member));
    client_done(exchange);
    return text;
}

static void log_in(struct person *shopper)
{
    struct client_of_shop *client = &shopper->client;
    unsigned roles = client->roles;
    client->roles = 0; /* as nobody */
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST, .path = "/users/login" };
    ask.body = credentials;
    client->token[0] = '\0';
    str token = text_of_answer(shopper, &ask, 200, "access_token");
    snprintf(client->token, sizeof client->token, "%" STR_F, STR_A(token));
    client->roles = roles;
}

void shopper_register(struct person *shopper)
{
    struct client_of_shop *client = &shopper->client;
    unsigned roles = client->roles;
    client->roles = 0;
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST, .path = "/users" };
    ask.body = credentials;
    str id = text_of_answer(shopper, &ask, 201, "id");
    RULE(uuid_parse(id, &client->user), "accounts", "no id");
    log_in(shopper);
    client->roles = 0; /* the first requests come with the token that it was given */
    ask.path = "/users/me/addresses";
    ask.body = "{\"name\":\"Ada Forgetful\",\"line1\":\"Erasure Road 17\",\"city\":\"Nairobi\","
               "\"country\":\"KE\"}";
    shopper->address_id = str_z(client->model->arena, text_of_answer(shopper, &ask, 201, "id"));
    client->roles = roles; /* later tokens are made by the client itself */
}

/* One that is asked again after its answer was lost finds it done. */
static void move_account(struct client_of_shop *warden, const struct person *shopper,
                         const char *what, const char *body)
{
    struct arena *arena = warden->model->arena;
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST, .body = body };
    ask.path = str_z(arena, str_format(arena, "/users/%" STR_F "/%s",
                                       STR_A(uuid_text(arena, shopper->client.user)), what));
    struct exchange *exchange;
    const struct reply *reply = asked(warden, &ask, &exchange);
    RULE(reply->status == 200 || reply->status == 409, "accounts", "%s: %d %" STR_F, ask.path,
         reply->status, STR_A(reply->body));
    client_done(exchange);
}

void shopper_be_suspended(struct person *shopper)
{
    static const char rule[] = "a suspended account is of no use";
    struct client_of_shop warden, *client = &shopper->client;
    struct exchange *exchange;
    client_init(&warden, client->world, client->model, client->check, "warden",
                ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF);
    deed(DEED_SUSPENSION);
    move_account(&warden, shopper, "suspend", "{}");
    sleep_until(clock_mono_us() + revoked_within_us);
    struct ask me = { .kind = ASK_OTHER, .method = HTTP_GET, .path = "/users/me" };
    const struct reply *reply = asked(client, &me, &exchange);
    RULE(reply->status == 401, rule, "%d for its token", reply->status);
    client_done(exchange);
    struct ask login = { .kind = ASK_OTHER, .method = HTTP_POST, .path = "/users/login" };
    login.body = credentials;
    unsigned roles = client->roles;
    client->roles = 0;
    client->token[0] = '\0';
    reply = asked(client, &login, &exchange);
    RULE(reply->status == 403, rule, "%d for its password", reply->status);
    client_done(exchange);
    client->roles = roles;
    move_account(&warden, shopper, "restore", NULL);
    log_in(shopper);
    client->version = LATER_VERSION; /* as later tokens of the account have */
    client->token_until = 0;
}

void shopper_be_erased(struct person *shopper)
{
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_DELETE, .path = "/users/me" };
    struct exchange *exchange;
    deed(DEED_ERASURE);
    shopper->client.model->erasure_asked = true;
    shopper->client.model->account = shopper->client.user;
    const struct reply *reply = asked(&shopper->client, &ask, &exchange);
    RULE(reply->status == 204 || reply->status == 401 || reply->status == 404, "accounts",
         "an erasure: %d %" STR_F, reply->status, STR_A(reply->body));
    client_done(exchange);
    shopper->is_erased = shopper->client.model->is_erased = true;
}
