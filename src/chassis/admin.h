/* The operators' door: probes, metrics, version, settings and pages, on OPS_ADDR and on the unix
 * socket DATA_DIR/duka.sock (mode 0600), which also takes the services' calls for operators and for
 * staff.
 *
 * The probes need no token. Beyond loopback /metrics needs OPS_TOKEN (unless OPS_METRICS_OPEN), and
 * /version and /debug always; what counts is where it listens, for behind a proxy every peer looks
 * near. The token comes as a bearer's or, from a browser, as the password of HTTP's basic scheme.
 * On loopback and on the socket, whoever can connect is an operator. */
#pragma once
#include "chassis/http.h"
#include "chassis/service.h"

enum { ADMIN_CHECKS_MAX = 16, ADMIN_SERVICES_MAX = 8 };

/* Something that a probe tells of. What has failed makes the program unready; what is degraded does
 * not: it can still serve. */
enum admin_health { ADMIN_WELL, ADMIN_DEGRADED, ADMIN_FAILED };

/* Asked on the loop's thread, so it only looks. Where it is not well, `*words` (of static storage)
 * say what that means. */
struct admin_check {
    const char *name;
    enum admin_health (*look)(void *subject, const char **words);
    void *subject;
};

/* Something that the operator asks for by the socket and that takes its time: run on a worker of
 * its own, it fills the response. */
struct admin_action {
    enum http_method method;
    const char *path; /* "/operator/backup" */
    err (*run)(void *self, struct request *request);
    void *self;
};

/* A page for operators, shown under the rules of /debug. */
struct admin_page {
    const char *path;
    bool is_prefix; /* what follows the path is the page's own */
    bool is_slow;   /* run on the worker of the actions; else on the loop, where it only looks */
    err (*show)(void *self, struct request *request);
    void *self;
};

struct admin_config {
    const struct conf *conf;
    const struct admin_check *checks;
    int checks_count;
    struct service *const *services; /* whose calls under /operator the socket takes */
    int services_count;
    const struct admin_action *actions;
    int actions_count;
    const struct admin_page *pages;
    int pages_count;
    struct workers *workers; /* that run the actions and slow pages; the caller's */
};

struct admin;

/* Makes it, without a socket. The config is copied, but not what the checks and services are. */
struct admin *admin_open(const struct admin_config *config);

/* Opens OPS_ADDR and the socket. Fails with what http_open fails with; what is open by then
 * stays so until admin_close. */
err admin_listen(struct admin *admin, struct arena *arena, struct loop *loop);

/* The port of OPS_ADDR. */
int admin_port(const struct admin *admin);

/* All has been started: /startupz says so, and /readyz goes by the checks. */
void admin_started(struct admin *admin);

/* The checks as /readyz tells them, for a page: walks them in order; false after the last one. */
struct admin_told {
    const char *name, *words; /* no words where it is well */
    enum admin_health health;
};
bool admin_tell(const struct admin *admin, int index, struct admin_told *out);

/* It is going to stop: /readyz is false from now on. */
void admin_drain(struct admin *admin);

/* The handler of both doors, for tests without a socket; request->operator_socket tells them
 * apart. */
void admin_handle(struct admin *admin, struct request *request);

/* Closes what is open and frees it; `closed` is told on the loop, or at once where nothing was
 * open. Accepts NULL, and then tells nobody. */
void admin_close(struct admin *admin, uint32_t grace_ms, void (*closed)(void *subject),
                 void *subject);
