/* A server of HTTP/2 that does what a test says, frame by frame: the test's own thread is it. For
 * what no honest server does, or does only when it dies. */
#pragma once
#include "tests/unit/chassis/http2_client.h"

struct script {
    struct arena *arena;
    int listener, fd; /* fd: the latest connection, -1: none */
    int port;
    bool heard_preface;
};

struct script_frame {
    int type; /* -1: the peer has closed */
    uint8_t flags;
    int32_t id;
    str payload;
};

/* Listens on a free port. */
struct script *script_open(struct test *t);
void script_close(struct script *script);

/* Takes a connection, and (`greets`) says SETTINGS. */
void script_accept(struct script *script, bool greets);

/* Nobody connects for so long. */
bool script_is_quiet(struct script *script, int wait_ms);

/* The next frame of the peer's. */
struct script_frame script_next(struct script *script);

/* The next frame of that type; others are passed over. */
struct script_frame script_wait(struct script *script, int type);

/* Sends a frame; a head of an answer ("200", END_STREAM where it `ends`); the end. */
void script_send(struct script *script, uint8_t type, uint8_t flags, int32_t id, str payload);
void script_answer(struct script *script, int32_t id, const char *headers, bool ends);
void script_reset(struct script *script, int32_t id, uint32_t code);
void script_goaway(struct script *script, int32_t last, uint32_t code);
void script_hang_up(struct script *script);
