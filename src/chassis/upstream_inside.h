/* What the files of an upstream share: upstream.c (opening, the queue, time), upstream_peers.c
 * (addresses and connections), upstream_call.c (one request and its answer); nobody else includes
 * it. All on the loop's thread. */
#pragma once
#include "chassis/http2_client.h"
#include "chassis/obs.h"
#include "chassis/upstream.h"
#include "chassis/upstream_policy.h"
#include "chassis/upstream_url.h"

enum { UPSTREAM_PEERS_MAX = 64, UPSTREAM_LINKS_MAX = 4 /* connections to one address */ };

struct upstream_peer;

/* A connection to an address. */
struct upstream_link {
    struct upstream_peer *peer;
    struct http2_client *client; /* NULL: the place is free */
    bool is_open, drains;
};

/* An address; its place is used again once DNS names it no more and its last connection is gone. */
struct upstream_peer {
    struct upstream *upstream;
    struct net_address address;
    int host;      /* that it is an address of */
    bool is_named; /* by DNS, when it was asked last */
    bool is_used;
    struct breaker breaker;
    int64_t asked_ms; /* when it was connected to last */
    int64_t took_ms;  /* to hear that it could not be, that time; 0: it could */
    struct upstream_link links[UPSTREAM_LINKS_MAX];
};

struct upstream_call;

/* A question to DNS. */
struct upstream_asking {
    struct upstream *upstream;
    int host;
};

struct upstream {
    struct arena *memory; /* holds this struct */
    struct loop *loop;
    struct upstream_config config;
    struct upstream_url url;
    struct upstream_peer peers[UPSTREAM_PEERS_MAX];
    int peers_end; /* places that were ever used: the first of them */
    struct retry_budget budget;

    struct dns_query *queries[UPSTREAM_HOSTS_MAX]; /* under way; NULL: none */
    struct upstream_asking askings[UPSTREAM_HOSTS_MAX];
    int queries_count;
    bool was_asked, was_resolved; /* DNS, at all; and it had an answer */
    bool is_stale;                /* something failed since */
    int64_t resolved_ms;
    char why[128]; /* nobody could be asked, last: for a person */
    int refusals;  /* how often that was so */

    struct upstream_call *calls;                  /* all, the oldest last */
    struct upstream_call *waiting, *waiting_last; /* for a connection, the oldest first */
    int waiting_count;
    bool looking, look_again, closing;
    bool is_ready; /* atomic */

    struct loop_task turn; /* at the end of the turn of the loop */
    bool turn_posted;
    struct loop_timer *timer;
    int64_t timer_at_ms; /* INT64_MAX: it is not set */

    struct series *ok, *unavailable, *failed, *deadline, *cancelled, *seconds;
    struct series *retried_not_begun, *retried_repeatable;
    struct series *connected, *not_connected, *pauses, *paused, *addresses;
};

/* ---- upstream.c ---- */

/* Something has changed (a connection, an address, room, a call): sends what waits, or fails it
 * where nothing can come of it any more. */
void upstream_look(struct upstream *upstream);

/* Looks at the time at `at_ms` (by loop_now_ms), or before. */
void upstream_wake_at(struct upstream *upstream, int64_t at_ms);

/* Looks at calls marked `fresh` at the end of this turn of the loop. */
void upstream_turn_soon(struct upstream *upstream);

/* ---- upstream_peers.c ---- */

/* A connection that takes a call now; NULL where there is none. `avoid` is not taken where there is
 * another. */
struct upstream_link *upstream_pick(struct upstream *upstream, const struct upstream_peer *avoid);

/* Another address than that takes a call now. */
bool upstream_has_other(struct upstream *upstream, const struct upstream_peer *peer);

/* Makes connections that are missing, and asks DNS where its answer is old. */
void upstream_connect(struct upstream *upstream);

/* Somebody may still come: a name is asked for, a connection is being made, or is only full. */
bool upstream_is_hopeful(const struct upstream *upstream);

/* Where something waits and every address is left alone for a while: connects all the same to one
 * that was not tried for a tenth of a second, so that a replica that is back is not left alone for
 * what it was before (a rolling change); `may_wait`: or looks again when that time is over. Not to
 * one where hearing that nobody is there takes its time. Tells whether it does. */
bool upstream_ask_paused(struct upstream *upstream, bool may_wait);

/* A call with that address went well; failed for a reason that lies there. */
void upstream_peer_did_well(struct upstream_peer *peer);
void upstream_peer_failed(struct upstream_peer *peer);

/* Looks at the time; gives when it wants to look again. */
int64_t upstream_peers_look(struct upstream *upstream);

/* Closes them all. */
void upstream_peers_close(struct upstream *upstream);

/* ---- upstream_call.c ---- */

/* A request and its answer; lies in the arena of the request. */
struct upstream_call {
    struct http2_call h2; /* first */
    struct loop_task task;
    struct upstream *upstream; /* NULL: it is over */
    struct request *request;
    struct upstream_call *newer, *older; /* among all */
    struct upstream_call *next;          /* among those that wait */
    bool is_waiting;
    int refusals;                      /* of its upstream, when it began to wait */
    struct upstream_peer *peer;        /* that was asked; NULL: nobody */
    const struct upstream_peer *avoid; /* failed this one before */
    int64_t deadline_ms;               /* by loop_now_ms; INT64_MAX: none now */
    int64_t began_us;
    int64_t attempt_us; /* when the last attempt began, where that is told; monotonic */
    int attempts;

    /* The request's body: whole, or piece by piece. */
    struct body_stream stream;
    size_t given;  /* bytes of request->body */
    bool streams;  /* it comes in pieces */
    bool piece;    /* one lies in request->body and was not given whole */
    bool complete; /* the last has come */
    bool used_up;  /* one was given and is gone: nothing can be sent again */
    err failure;   /* of a stream, to be told when somebody asks */

    /* The answer. */
    struct answer_stream answer;
    struct text body, other; /* what gathers; the piece before it, which the transport has */
    bool head, fresh;        /* its head is there; something came that is to be passed on */
    bool responded;          /* in pieces */
    bool asked;              /* the transport wants a piece */
    bool ended, broken;      /* nothing more comes: all was there; it was not */
};

/* Sends it over a connection that has room. */
void upstream_call_send(struct upstream_call *call, struct upstream_link *link);

/* Answers it with an error: it is over. */
void upstream_call_fail(struct upstream_call *call, enum err_code code, const char *why);

/* Passes on what has come (`fresh`). */
void upstream_call_turn(struct upstream_call *call);

/* Its deadline has come. */
void upstream_call_expire(struct upstream_call *call);
