/* The operator: looks after the events that were put aside, by his own calls. */
#include "os/sync.h"
#include "tests/sim/deeds.h"
#include "tests/sim/dice.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"

/* Another may have requeued it, or it was taken meanwhile. */
static void requeue(struct client_of_shop *operator_, const struct json *letter)
{
    struct arena *arena = operator_->model->arena;
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST };
    ask.path = "/operator/dead-letters/requeue";
    ask.body = str_z(arena, str_format(arena,
                                       "{\"service\":\"%" STR_F "\",\"topic\":\"%" STR_F
                                       "\",\"key\":\"%" STR_F "\"}",
                                       STR_A(peek_text(letter, "service")),
                                       STR_A(peek_text(letter, "topic")),
                                       STR_A(peek_text(letter, "key"))));
    struct exchange *exchange = client_ask(operator_, &ask);
    int status = client_reply(exchange)->status;
    RULE(status == 200 || status == 404, "dead letters can be driven again", "%d %" STR_F, status,
         STR_A(client_reply(exchange)->body));
    if (status == 200)
        deed(DEED_REQUEUED);
    client_done(exchange);
}

void operator_requeue(struct client_of_shop *operator_)
{
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_GET, .path = "/operator/dead-letters" };
    struct exchange *exchange = client_ask(operator_, &ask);
    RULE(client_reply(exchange)->status == 200, "dead letters are shown", "%d",
         client_reply(exchange)->status);
    struct json_walk walk = json_walk_of(peek(client_reply(exchange)->json, "items"));
    while (json_next(&walk))
        if (str_equal(peek_text(walk.value, "state"), STR("dead")))
            requeue(operator_, walk.value);
    client_done(exchange);
}

/* Tries in vain, mends the program, and tries again. */
static void operator_run(void *subject)
{
    struct person *operator_ = subject;
    for (int i = 0; i < operator_->asks; i++) {
        client_think(&operator_->client, 2 * TIME_SECOND);
        if (i == operator_->asks / 2)
            world_mend_reactions(operator_->client.world);
        operator_requeue(&operator_->client);
    }
    operator_->has_gone = true;
}

void operator_start(struct person *operator_)
{
    operator_->thread = thread_start(operator_->client.name, operator_run, operator_);
}
