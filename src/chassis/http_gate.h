/* How much of what comes is read while most of it has to be refused. To refuse costs as well: a
 * request is read, and an answer written, for nothing. What is left unread costs nothing, for it
 * waits with the kernel at its peer's expense. So above so many refusals a second only as many
 * requests are read as are served, and some more: an eighth, or a quarter of that many refusals
 * where none was refused for a while. Then what is refused hardly takes the time of what is served,
 * however little that is, and where more can be served again it shows at once.
 *
 * Whoever asks in turn has the newest go first: the oldest has given up, or will soon (adaptive
 * LIFO: B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015). Pure: the caller tells the time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* All but the bound is zero to begin with. */
struct http_gate {
    int refusals_max; /* a second; 0: it never shuts */
    bool shut;        /* nothing is read but in turn */
    int none_refused; /* windows in turn in which nobody was */
    int calm;         /* and in which few were, and nobody waited */
    int64_t since_ms; /* when what follows was begun to be counted */
    int64_t served, refused;
    double turns_ms; /* a millisecond, while shut */
    double turns;    /* due now */
    int64_t seen_ms;
};

/* A request was answered: served, or refused because there is no time. May shut it. */
void http_gate_answered(struct http_gate *gate, bool refused, int64_t now_ms);

/* While it is shut, every few milliseconds: how many may be read now. Opens it again where nobody
 * waits and few are refused. */
int http_gate_turns(struct http_gate *gate, bool anybody_waits, int64_t now_ms);
