/* How much a peer of HTTP/2 may ask for that is no request: a bucket for each kind, refilled
 * evenly. Pure.
 *
 * What is cheap to send and dear to take is counted in both directions: streams that the peer
 * resets, and streams that we had to reset for its mistakes (rapid reset, and its mirror). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP2_RESETS_BURST = 200, /* at once, and a second */
    HTTP2_RESETS_A_SECOND = 50,
    HTTP2_ASIDES_BURST = 1000,
    HTTP2_ASIDES_A_SECOND = 500
};

struct http2_guard {
    /* In thousandths: how much of each bucket is used up. */
    int64_t resets, asides;
    int64_t seen_ms;
};

/* Notes a reset of a stream, by whichever side; false when there were too many. */
bool http2_guard_reset(struct http2_guard *guard, int64_t now_ms);

/* Notes a frame that asks for an answer, or for nothing (PING, SETTINGS, PRIORITY, an empty DATA,
 * an unknown one); false when there were too many. */
bool http2_guard_aside(struct http2_guard *guard, int64_t now_ms);
