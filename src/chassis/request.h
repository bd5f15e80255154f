/* A request as the rest of the house sees it, whatever carried it: HTTP/1.1, a test, the simulator.
 *
 * The transport makes it in an arena, gives it to a handler, and gets its answer by
 * request_respond(), exactly once, from any thread. All strings live in the arena until the answer
 * has been sent. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/time.h"
#include "base/uuid.h"
#include "chassis/spec.h"
#include "os/workers.h"

enum { HEADERS_MAX = 100, RESPONSE_HEADERS_MAX = 24 };

struct header {
    str name;  /* lower case in requests */
    str value; /* trimmed */
};

/* Where the body of a request goes piece by piece instead of into request->body: set by whoever
 * looks at its head (http_handler.body_bytes_max). */
enum { STREAM_PIECE_BYTES = 256 * 1024 };
struct request;
struct body_stream {
    /* Takes request->body as the next piece, STREAM_PIECE_BYTES long or the last, and tells by
     * request->taken, once, on any thread; until then the bytes stay and no other piece comes. */
    void (*take)(struct request *request);
};

/* An answer that is made in pieces; response.body is the first. */
struct answer_stream {
    /* Puts the next piece into response.body and tells by request->made, once, on any thread. */
    void (*next)(struct request *request);
    /* Told once: no piece will be asked for any more. The last use of the request by the
     * transport but for its own end. */
    void (*end)(struct request *request);
    bool ended;  /* what lies in response.body is the last piece */
    bool failed; /* there is none, and there will be none: the peer must see that it is not whole */
};

/* A request that is heard while it comes and answered meanwhile (a stream of gRPC): set, with the
 * response filled, by whoever looks at its head. Only HTTP/2 carries it; all on the loop's thread.
 */
struct talk {
    struct answer_stream answer; /* response.stream points at it */
    /* More of the body has come; `ended`: that was all. */
    void (*hear)(struct request *request, str bytes, bool ended);
    /* The peer has gone while a piece was asked for: it is to be told as made at once. */
    void (*gone)(struct request *request);
    size_t unread; /* bytes that were heard and not looked at: the peer may not send on */
};

struct response {
    int status;
    str content_type; /* none: no body */
    str body;
    struct answer_stream *stream; /* NULL: the body is whole */
    int64_t streamed_bytes;       /* pieces before the one in `body`; the transport's */
    int64_t head_length;          /* for HEAD: what Content-Length says, where no body lies here */
    int grpc_status;              /* of a request of gRPC, with words and details (base64) */
    bool grpc_told;               /* it came from another process, whole */
    str grpc_message, grpc_details;
    /* Besides those that the transport writes: Content-Type, Content-Length, Date, Connection,
     * X-Request-Id, traceparent. */
    struct header headers[RESPONSE_HEADERS_MAX];
    int headers_count;
};

struct request {
    struct arena *arena;
    enum http_method method;
    str method_text;
    str path;  /* as it came, percent-encoded, begins with '/', no query */
    str query; /* without '?'; STR_NONE where there is none */
    struct header *headers;
    int headers_count;
    str body;
    str peer_address;     /* of the socket: "192.0.2.1", "2001:db8::1"; "unix" for a Unix socket */
    str client_address;   /* who is behind trusted proxies; set by the gateway, else the peer */
    bool operator_socket; /* came by the operator's unix socket */
    bool grpc;            /* a call of gRPC: `status` is what HTTP would say, for the log */
    int64_t received_us;  /* monotonic: when it was complete */
    int64_t deadline_us;  /* monotonic: for who hands it on to another process; 0: none was said */
    bool repeatable;      /* it only reads, whatever its method says: it may be sent twice */
    char trace_id[33], span_id[17], parent_id[17]; /* W3C; hex; by request_identify */
    bool sampled;                                  /* its trace is recorded, wherever it goes */
    const char *teller; /* who tells of its span ("gateway"): who handles it here tells of a part;
                           NULL: who handles it does */
    char asked_span_id[17]; /* of the attempt to ask another process: what that one hears */
    char request_id[65];
    bool ids_known; /* both came with the request */

    struct response response;
    /* Headers that a filter on the way wants in whatever answer comes (rate limits, CORS). */
    struct header extra[12];
    int extra_count;
    /* Access log: filled on the way. */
    const char *route;      /* short name of the call, or of the gateway's refusal */
    const char *route_path; /* "/orders/{id}", where it is a call's; for spans */
    char user_hash[17];     /* 64 bits of SHA-256 of the user's id, in hex; empty for nobody */
    const char *error_code; /* word of the error that was answered, or NULL */

    /* Told with the answer; the transport sets it. May run on any thread. */
    void (*respond)(struct request *request);
    void *transport;

    struct body_stream *stream; /* NULL: the body comes whole */
    struct talk *talk;          /* NULL: it is answered when it is whole */
    /* Nobody waits for the answer any more: told once, on the transport's loop, to whoever has the
     * request at work and has set this before it left that loop. It answers all the same, and
     * sooner: what was handed to a writer stays. */
    void (*left)(void *subject);
    void *left_subject;
    bool is_left;                           /* atomic: see request_is_left */
    err failure;                            /* why a piece was not taken, at `taken` */
    void (*taken)(struct request *request); /* the transport's: goes on with the next piece */
    void (*made)(struct request *request);  /* the transport's: sends the piece that was made */
    void *call;                             /* the dispatcher's */
    struct flight *flight; /* the gateway's, of what it passes on to another process; or NULL */
};

/* A header's value by lower-case name; STR_NONE where it is absent. The first if it comes twice. */
str request_header(const struct request *request, str name);

/* How often a header came. */
int request_header_count(const struct request *request, str name);

/* Takes it out, however often it came. */
void request_header_drop(struct request *request, str name);

/* Adopts a valid W3C traceparent or makes ids; adopts X-Request-Id (visible ASCII, at most 64) or
 * makes one. The transport tells both in every answer. */
void request_identify(struct request *request);

/* The W3C traceparent by which what follows from the request knows it: "00-<trace>-<span>-01", or
 * "-00" where it is not sampled. */
str request_traceparent(struct arena *arena, const struct request *request);

/* The same as another process hears it: by the span of the attempt to ask it, where there is one.
 */
str request_traceparent_asked(struct arena *arena, const struct request *request);

/* Tells a histogram how long ago the request was complete, with its trace where that is recorded.
 */
struct series;
void request_time(const struct request *request, struct series *series);

/* Who asks, for the log and for spans: no more than a hash is kept. */
void request_note_user(struct request *request, struct uuid user);

/* Adds a header to the response. The strings are borrowed. */
void response_add(struct response *response, str name, str value);

/* Fills the response with problem+json (RFC 9457) of an error: type, title, status, code, detail,
 * errors, subject, trace_id; with Retry-After and WWW-Authenticate where the kind wants them. What
 * the response held is dropped; `extra` stays. The detail of a fault of ours is only logged. */
void response_problem(struct request *request, err error);

/* Answers with something that stands ready (a page, a document) under a strong ETag, quotes
 * included: 200, or 304 where If-None-Match names it. Strings are borrowed. */
void response_page(struct request *request, str content_type, str body, str etag);

/* The HTTP status of an error. */
int err_http_status(err error);

/* Sends the answer. Exactly once. */
void request_respond(struct request *request);

/* The transport's: the client has gone, or does not want the answer any more. Before
 * request_respond has been heard of, on the transport's loop; once more is nothing. */
void request_leave(struct request *request);

/* The client has gone. Any thread. */
bool request_is_left(const struct request *request);

/* ---- the query and the path ---- */

/* Decodes percent-encoding; '+' is a space where `plus`. False for a broken one, for %00 and for
 * what is not UTF-8. */
bool percent_decode(struct arena *arena, str text, bool plus, str *out);
