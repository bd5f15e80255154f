/* What the files of the server share: http.c (the server), http_exchange.c (a request and its
 * answer), http_connection.c (a connection's life in HTTP/1.1), http2*.c (in HTTP/2); nobody else
 * includes it. All on the loop's thread, except http_exchange.request between `handle` and its
 * answer. */
#pragma once
#include "chassis/http.h"
#include "chassis/http2_guard.h"
#include "chassis/http_addresses.h"
#include "chassis/http_gate.h"
#include "chassis/http_parse.h"
#include "os/net.h"

enum {
    HTTP_ARENAS_KEPT = 128,     /* for the next requests */
    HTTP_TURNED_AWAY_MAX = 256, /* that may hear their 503 out at once */
    HTTP_LINGER_MS = 2000,      /* for a refused peer to read why */
    HTTP_HALF_MS = 1000, /* an answer may take from a peer that has ended its half: hardly one of
                            them still listens, and what waits for long would be held for nobody */
    HTTP_LINGER_BYTES_MAX = 1024 * 1024,
    HTTP_SHED_IN_A_ROW = 2, /* answers of 503: all but the first are told later */
    HTTP_REST_MS = 100,
    HTTP_RESTING_MAX = 1024,   /* requests there are, or none rests: each takes some KiB */
    HTTP_LIMITED_IN_A_ROW = 2, /* answers of 429, after which a connection rests */
    HTTP_LIMITED_MS = 1000,
    HTTP_TURN_MS = 50, /* a request waits unread, then it is refused so: no slower than served */
    HTTP_TICK_MS = 5   /* turns are given in */
};

/* What a connection waits for; each wait has a list in the order of its deadlines. */
enum http_wait {
    HTTP_WAIT_HANDSHAKE, /* of TLS */
    HTTP_WAIT_IDLE,
    HTTP_WAIT_HEAD,
    HTTP_WAIT_BODY,
    HTTP_WAIT_WORK, /* for the handler; no deadline of ours */
    HTTP_WAIT_HALF, /* the same, from a peer that has ended its half: does it still listen? */
    HTTP_WAIT_WRITE,
    HTTP_WAIT_LINGER,
    HTTP_WAIT_TURN,    /* until it is read: too much is refused; turns look at its deadline */
    HTTP_WAIT_REST,    /* to hear 503 again: it was told to come back later, and came at once */
    HTTP_WAIT_LIMITED, /* until it is read again: it asks more than one may */
    HTTP_WAITS_COUNT
};

struct http_exchange;

/* What the versions of HTTP do each in their own way; all on the loop, and only while the
 * connection is there. */
struct http_version {
    void (*answer)(struct http_exchange *exchange);      /* the response is filled: writes it */
    void (*piece_taken)(struct http_exchange *exchange); /* reads on */
    void (*piece_made)(struct http_exchange *exchange);  /* writes it */
};

/* A request and its answer; lives in the arena of the request. */
struct http_exchange {
    struct request request;
    struct loop_task task; /* brings the answer from another thread */
    struct http_server *server;
    struct http_connection *connection; /* NULL: the peer has gone while the handler was at work */
    struct arena *head_arena;           /* holds the head of an answer that waits */
    int64_t began_us;
    bool handling, answered;
    bool spooling; /* a piece of the body is being taken */
    bool body_ended;
    bool making;    /* a piece of the answer is being made */
    bool last_sent; /* what ends the answer in pieces was written */
    const struct http_version *version;
    struct http2_stream *stream; /* NULL in HTTP/1.1 */
};

/* A connection's part that speaks HTTP/2. */
struct http2 {
    struct nghttp2_session *session; /* NULL: it does not */
    struct http2_stream *streams;    /* those that are open, the oldest last */
    int receiving, sending;          /* of them: requests not complete, answers not sent */
    int working;                     /* handlers at work, those of closed streams too */
    struct arena *unsent;            /* holds what a slow peer has not taken yet; else NULL */
    int64_t unsent_since_ms;
    size_t block_bytes;          /* of the block of headers in hand */
    size_t unpacked_bytes;       /* of what came out of it */
    int32_t newest_id;           /* of a stream */
    int32_t gap_first, gap_last; /* the ids that it skipped last: they are used up too */
    struct http2_guard guard;
    struct loop_task pump; /* at the end of the loop's turn */
    bool pump_posted;
    bool feeding;            /* bytes of the peer's are read: nothing is written meanwhile */
    bool noticed, last_told; /* of draining: that it begins; which stream is the last */
    bool terminated;         /* for what the peer has done */
    bool in_block;           /* of headers, whose end has not come */
};

/* Lies in the room of its net_connection, so it outlives its closing by a turn of the loop. */
struct http_connection {
    struct http_connection *older, *newer; /* in the list of its wait */
    enum http_wait wait;
    int64_t deadline_ms;
    struct http_server *server;
    struct net_connection *net;     /* NULL: closed */
    struct http_exchange *exchange; /* NULL while idle */
    struct http_parse parse;
    struct arena *pending_arena; /* holds what came behind the request at work; else NULL */
    str pending;
    size_t lingered_bytes;
    bool feeding;
    bool ends;       /* after this answer */
    bool unread;     /* the peer may still be sending what nobody will read */
    bool read_ended; /* the peer will send no more, but may be listening */
    bool turned_away;
    bool has_turn;        /* to be read while the gate is shut */
    int shed_in_a_row;    /* answers of 503 */
    int limited_in_a_row; /* of 429 */
    int place;            /* among the addresses; HTTP_ADDRESS_NONE: not counted */
    bool is_proxy;
    bool is_known;      /* which version of HTTP it speaks */
    size_t preface_len; /* until then: how many bytes came, all like HTTP/2's preface */
    struct http2 http2;
};

struct http_list {
    struct http_connection *oldest, *newest;
};

struct http_server {
    struct arena *memory; /* holds this struct */
    struct loop *loop;
    struct net_listener *listener;
    struct http_handler handler;
    struct http_config config;
    struct http_parse_limits limits;
    struct http_list lists[HTTP_WAITS_COUNT];
    struct loop_timer *timer;
    int64_t timer_at_ms; /* 0: not set */
    struct arena *arenas[HTTP_ARENAS_KEPT];
    int arenas_count;
    struct arena *scratch; /* for the head of the answer in hand */
    int64_t exchanges_count;
    int64_t connections_count, turned_away_count;
    struct http_stats stats; /* atomic */
    char date[30];
    int64_t date_s;
    str full;                         /* the answer to who is turned away */
    str late;                         /* and to who had no turn */
    str crowd;                        /* and to who has too many connections */
    struct http_addresses *addresses; /* NULL: not counted */
    struct http_gate gate;
    struct loop_timer *turns; /* runs while it is shut */
    int turns_left;           /* of this tick: nobody waited for them */
    int came;                 /* who wanted one since the tick before */
    double newcomers;         /* new connections in a tick that there are turns for */
    double anyhow;            /* and that are let in beside them: what is less than one */
    bool draining, closing, ended;
    struct loop_timer *grace;
    struct loop_task end;
    bool end_posted;
    void (*closed)(void *subject);
    void *closed_subject;
};

/* Takes over a connection that was accepted. */
void http_connection_open(struct http_server *server, struct net_connection *net);

/* Closes it now. A request of it that is at work goes on; its answer will be dropped. */
void http_connection_close(struct http_connection *connection);

/* Nothing more will be said: lets the peer read what was, then closes it. */
void http_connection_end(struct http_connection *connection);

/* It is read now, whatever else waits. */
void http_connection_turn(struct http_connection *connection);

/* Refuses what it has not read. */
void http_connection_refuse_unread(struct http_connection *connection);

/* The gate (http_turns.c): an answer was given; gives turns, by the timer, while it is shut. */
void http_turns_answered(struct http_server *server, int status);
void http_turns_give(void *server);

/* Somebody has come while it is shut: a turn that is left. False: there is none, it waits. */
bool http_turns_take(struct http_server *server, const struct http_connection *connection);

/* Its deadline has come. */
void http_connection_expire(struct http_connection *connection);

/* A request that begins to come. */
struct http_exchange *http_exchange_open(struct http_connection *connection,
                                         const struct http_version *version);

/* Its peer has gone while the handler is at work, which is told; ends with the handler's answer. */
void http_exchange_leave(struct http_exchange *exchange);

/* Tells of the answer, if there is one, and frees the request. */
void http_exchange_close(struct http_exchange *exchange);

/* The request is complete: gives it to the handler. `asterisk`: it is "OPTIONS *", answered here.
 */
void http_exchange_run(struct http_exchange *exchange, bool asterisk);

/* Fills the response with a refusal of the transport's own. */
void http_exchange_fail(struct http_exchange *exchange, enum err_code code, const char *reason);

/* The response is filled: writes it, or drops it where the peer has gone. */
void http_exchange_answer(struct http_exchange *exchange);

/* An arena for a request, and back. */
struct arena *http_arena_take(struct http_server *server);
void http_arena_drop(struct http_server *server, struct arena *arena);

/* Puts the connection at the end of the list of what it waits for, with a new deadline. */
void http_wait_set(struct http_connection *connection, enum http_wait wait);

/* Takes it from its list. */
void http_wait_clear(struct http_connection *connection);

/* The text for the Date header. */
const char *http_date(struct http_server *server);

/* To be called where a connection or an exchange has ended: a closing server may be done. */
void http_server_look(struct http_server *server);

/* Counts one more (or less) in a field of server->stats. */
static inline void http_count(int64_t *stat, int64_t n)
{
    __atomic_store_n(stat, __atomic_load_n(stat, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
