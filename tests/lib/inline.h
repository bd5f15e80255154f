/* Services without a socket: a house over a fresh folder of the test, and clients that hand their
 * requests straight to a service (or to the gateway) and wait for its answer.
 *
 *     struct house *house = inline_house(t, (const char *const[]){ "HOLD_TIME=1s", NULL });
 *     struct products *products = …products_open(t->arena, house, &products)…
 *     inline_start(t, house);
 *     struct inline_client staff = inline_client(t, house, inline_handle_service,
 * products_service(products)); inline_sign_in(&staff, id, ROLE_BIT_STAFF); struct answer_seen
 * answer = inline_post(&staff, "/products", "{…}"); CHECK_INT(answer.status, 201);
 *     CHECK_STR(inline_text(t, &answer, "/handle"), "mug");
 *
 * What the test opened is closed in reverse when it ends, however it ends: the test registers each
 * service with arena_defer. A request that was not answered when the test ended is kept until the
 * house is closed. */
#pragma once
#include "base/json.h"
#include "chassis/service.h"
#include "tests/lib/test.h"

enum { INLINE_WAIT_MS = 30000 };

/* A house: settings (`NAME=value`, ended by NULL; DATA_DIR is a fresh folder, DATABASE_DURABLE is
 * off unless said otherwise), workers, password lanes, auth, bus. Closed when the test ends. */
struct house *inline_house(struct test *t, const char *const *settings);

/* Starts the bus, once all services are open; it stops before they are closed. */
void inline_start(struct test *t, struct house *house);

/* Who asks, and whom. */
struct inline_client {
    struct test *t;
    struct house *house;
    void (*handle)(void *self, struct request *request);
    void *self;
    str token;      /* sent as Authorization: Bearer; none: not sent */
    str address;    /* of the peer; none: 192.0.2.1 */
    bool operator_; /* comes by the operator's socket */
};

/* A client that knows no token yet. */
struct inline_client inline_client(struct test *t, struct house *house,
                                   void (*handle)(void *self, struct request *request), void *self);

/* `handle` of a service: service_handle. */
void inline_handle_service(void *service, struct request *request);

/* Gives the client a token of an account with these roles, signed by a key of the test that the
 * house's auth is told of: for services that are tested without Users. */
void inline_sign_in(struct inline_client *client, struct uuid user, unsigned roles);

/* An answer, copied into the test's arena. */
struct answer_seen {
    int status;
    str content_type, body;
    struct header headers[RESPONSE_HEADERS_MAX + 8];
    int headers_count;
};

/* Sends a request and waits for its answer. `headers` are "name: value", ended by NULL, or NULL; a
 * body that is present and has no Content-Type there is sent as application/json. */
struct answer_seen inline_request(struct inline_client *client, const char *method,
                                  const char *target, const char *const *headers, str body);

/* The same in short. */
struct answer_seen inline_get(struct inline_client *client, const char *target);
struct answer_seen inline_post(struct inline_client *client, const char *target, const char *json);
struct answer_seen inline_put(struct inline_client *client, const char *target, const char *json);
struct answer_seen inline_delete(struct inline_client *client, const char *target);

/* In two steps, to have several under way at once. */
struct inline_pending;
struct inline_pending *inline_send(struct inline_client *client, const char *method,
                                   const char *target, const char *const *headers, str body);
struct answer_seen inline_wait(struct inline_pending *pending);

/* Its client leaves; it is answered all the same. */
void inline_leave(struct inline_pending *pending);

/* True once it has been answered. */
bool inline_is_answered(struct inline_pending *pending);

/* A header of an answer by its lower-case name, or none. */
str inline_header(const struct answer_seen *answer, const char *name);

/* Says that it is what an earlier call with the same key heard. */
bool inline_is_replayed(const struct answer_seen *answer);

/* What stands at a JSON pointer ("/items/0/id") of the body: the text of a string, a number as it
 * was written, "true", "false", "null"; for an object or array how many members it has; none where
 * there is nothing. */
str inline_text(struct test *t, const struct answer_seen *answer, const char *pointer);

/* Checks a refusal: the status, and the word of the error in a problem+json body. */
#define CHECK_PROBLEM(answer, status_, word) \
    inline_check_problem(__FILE__, __LINE__, t, (answer), (status_), (word))
void inline_check_problem(const char *file, int line, struct test *t, struct answer_seen answer,
                          int status, const char *word);

/* Checks the status of an answer and shows its body where it differs. */
#define CHECK_STATUS(answer, status_) inline_check_status(__FILE__, __LINE__, (answer), (status_))
void inline_check_status(const char *file, int line, struct answer_seen answer, int status);

/* Waits until `is_so(subject)`, at most INLINE_WAIT_MS; false if it never was. */
bool inline_until(bool (*is_so)(void *subject), void *subject);
