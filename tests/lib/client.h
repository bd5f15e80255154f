/* A client for tests of servers: blocking sockets on loopback, bytes as they are. Each function
 * ends the test where the socket fails, or nothing comes for CLIENT_WAIT_MS. */
#pragma once
#include "tests/lib/test.h"

enum { CLIENT_WAIT_MS = 10000 };

/* Connects to 127.0.0.1, or to a Unix socket. The test closes it. */
int client_connect(int port);
int client_connect_unix(const char *path);

/* The same from another address of 127.0.0.0/8. */
int client_connect_from(const char *address, int port);

/* Sends all of it. */
void client_send(int fd, str bytes);

/* Says that nothing more will be sent. */
void client_finish(int fd);

/* Reads until `count` bytes are there or the peer ends. */
str client_read(struct arena *arena, int fd, size_t count);

/* Reads until the peer ends; a reset counts as an end. */
str client_read_all(struct arena *arena, int fd);

/* Reads one answer of HTTP: head, and as much body as Content-Length says (`has_body`). Leaves what
 * comes behind it in the socket. Empty where the peer has ended. */
str client_read_answer(struct arena *arena, int fd, bool has_body);

/* Tells whether nothing comes for so long: neither bytes nor an end. */
bool client_is_quiet(int fd, int wait_ms);

/* Closes so that the peer sees a reset. */
void client_reset(int fd);

/* The status of an answer; the value of a header of it, by its name as it is written, or none; its
 * body. */
int answer_status(str answer);
str answer_header(str answer, str name);
str answer_body(str answer);
