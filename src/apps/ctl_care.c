/* What runs, and what an operator looks into: ready, config, bus, explain, dead letters, backup. */
#include "apps/ctl.h"
#include "apps/shop.h"
#include "chassis/obs.h"
#include "gen/listeners.h"

#include "os/clock.h"
#include "os/disk.h"
#include "os/disk_stream.h"
#include "os/sync.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ASK_TIMEOUT_MS = 30000,
    READY_TIMEOUT_S = 60,
    READY_PAUSE_MS = 100,
    PATH_BYTES_MAX = 4096,
    PIECE_BYTES = 256 * 1024
};

int ctl_ready(struct tool *tool)
{
    int64_t timeout_s;
    if (!ctl_number(tool, "timeout", 0, 86400, READY_TIMEOUT_S, &timeout_s))
        return CTL_USAGE;
    int64_t deadline_us = clock_mono_us() + timeout_s * TIME_SECOND;
    for (;;) {
        struct arena *arena = arena_open(ARENA_CHUNK_BYTES * 64);
        struct asked asked;
        err error =
            ask_operator(arena, tool->socket, "GET", "/readyz", STR_NONE, ASK_TIMEOUT_MS, &asked);
        bool is_ready = error == OK && asked.status == 200;
        bool is_over = clock_mono_us() >= deadline_us;
        int code = CTL_OK;
        if (is_ready)
            puts("ready");
        else if (is_over)
            code = error != OK ? ctl_complain_error(tool, error)
                               : ctl_complain(CTL_REFUSED, "the shop is not ready (status %d)",
                                              asked.status);
        arena_close(arena);
        if (is_ready || is_over)
            return code;
        sleep_until(clock_mono_us() + READY_PAUSE_MS * TIME_MS);
    }
}

int ctl_config(struct tool *tool)
{
    str shown = conf_show(tool->arena, tool->conf);
    printf("%" STR_F, STR_A(shown));
    return CTL_OK;
}

int ctl_bus_setup(struct tool *tool)
{
    str url = conf_text(tool->conf, CONF_BUS_URL);
    str scheme = str_cut(&url, ':');
    if (str_equal(scheme, STR("local")) || str_equal(scheme, STR("direct"))) {
        printf("%" STR_F ": needs no set-up\n", STR_A(scheme));
        return CTL_OK;
    }
    log_setup(LOG_ERROR, false); /* what the library warns of is told by the error */
    err error = shop_bus_setup(tool->arena, tool->conf);
    if (error != OK)
        return ctl_complain_error(tool, error);
    for (int i = 0; i < bus_listeners_count; i++) {
        printf("%s hears", bus_listeners[i].name);
        for (int j = 0; j < bus_listeners[i].topics_count; j++)
            printf(" %s", bus_listeners[i].topics[j]);
        puts("");
    }
    return CTL_OK;
}

/* ---- explain ---- */

static void tell_money(const char *what, const struct json *money)
{
    if (money && json_kind_of(money) == JSON_OBJECT)
        printf("  %-12s%" STR_F " %" STR_F " (minor units)\n", what,
               STR_A(ctl_text(money, "amount")), STR_A(ctl_text(money, "currency")));
}

static void tell_order(const struct json *order)
{
    const struct json *lines = json_member(order, STR("lines"));
    printf("order %" STR_F "\n  %-12s%" STR_F ", payment %" STR_F ", fulfilment %" STR_F "\n",
           STR_A(ctl_text(order, "id")), "status", STR_A(ctl_text(order, "status")),
           STR_A(ctl_text(order, "payment_status")), STR_A(ctl_text(order, "fulfilment_status")));
    if (json_member(order, STR("reason")))
        printf("  %-12s%" STR_F "\n", "reason", STR_A(ctl_text(order, "reason")));
    printf("  %-12s%" STR_F "\n", "version", STR_A(ctl_text(order, "version")));
    tell_money("total", json_member(order, STR("total")));
    if (!lines || json_kind_of(lines) != JSON_ARRAY)
        return;
    struct json_walk walk = json_walk_of(lines);
    while (json_next(&walk))
        printf("  %-12s%" STR_F " of %" STR_F "\n", "line", STR_A(ctl_text(walk.value, "quantity")),
               STR_A(ctl_text(walk.value, "sku")));
}

static void tell_timeline(const struct json *timeline)
{
    const struct json *items = json_member(timeline, STR("items"));
    puts("timeline");
    if (!items || json_kind_of(items) != JSON_ARRAY)
        return;
    struct json_walk walk = json_walk_of(items);
    while (json_next(&walk)) {
        bool has_reason = json_member(walk.value, STR("reason")) != NULL &&
                          ctl_text(walk.value, "reason").len > 0;
        printf("  %-29" STR_F "%-22" STR_F "%" STR_F "%s%" STR_F "\n",
               STR_A(ctl_text(walk.value, "at")), STR_A(ctl_text(walk.value, "what")),
               STR_A(ctl_text(walk.value, "actor")), has_reason ? ": " : "",
               STR_A(has_reason ? ctl_text(walk.value, "reason") : STR("")));
    }
}

static void tell_events(const struct json *life)
{
    const struct json *items = json_member(life, STR("events"));
    puts("events");
    if (!items || json_kind_of(items) != JSON_ARRAY)
        return;
    struct json_walk walk = json_walk_of(items);
    while (json_next(&walk))
        printf("  %-10" STR_F "%-10" STR_F "%-14" STR_F "number %" STR_F " %" STR_F "\n",
               STR_A(ctl_text(walk.value, "service")), STR_A(ctl_text(walk.value, "place")),
               STR_A(ctl_text(walk.value, "topic")), STR_A(ctl_text(walk.value, "number")),
               STR_A(ctl_text(walk.value, "type")));
}

static void tell_payment(const struct json *rest)
{
    const struct json *job = json_member(rest, STR("job"));
    const struct json *payment = json_member(rest, STR("payment"));
    if (payment)
        printf("payment\n  provider says %" STR_F ", %" STR_F " (minor units)\n",
               STR_A(ctl_text(payment, "state")), STR_A(ctl_text(payment, "amount")));
    if (job)
        printf("payment job\n  %-10" STR_F "due %" STR_F ", tried %" STR_F " times since %" STR_F
               "\n",
               STR_A(ctl_text(job, "kind")), STR_A(ctl_text(job, "due_at")),
               STR_A(ctl_text(job, "tries")), STR_A(ctl_text(job, "since")));
    else
        puts("payment job\n  none is due");
}

static void tell_stock(const struct json *rest)
{
    if (!json_member(rest, STR("reservation"))) {
        puts("stock\n  is with Products, in another program");
        return;
    }
    printf("stock\n  %-12s%" STR_F "\n", "reservation", STR_A(ctl_text(rest, "reservation")));
    struct json_walk walk = json_walk_of(json_member(rest, STR("holds")));
    while (json_next(&walk))
        printf("  %-12s%" STR_F " of %" STR_F ": %" STR_F " shipped, %" STR_F " returned, %" STR_F
               " released\n",
               "hold", STR_A(ctl_text(walk.value, "quantity")), STR_A(ctl_text(walk.value, "sku")),
               STR_A(ctl_text(walk.value, "shipped")), STR_A(ctl_text(walk.value, "returned")),
               STR_A(ctl_text(walk.value, "released")));
}

int ctl_explain(struct tool *tool)
{
    const struct json *life;
    for (const char *c = tool->operands[0]; *c; c++)
        if (!strchr("0123456789abcdefABCDEF-", *c))
            return ctl_complain(CTL_USAGE, "%s is no order's id", tool->operands[0]);
    str path = str_format(tool->arena, "/operator/orders?id=%s", tool->operands[0]);
    int code = ctl_ask(tool, "GET", str_z(tool->arena, path), STR_NONE, &life);
    if (code != 0)
        return code;
    if (json_member(life, STR("order"))) {
        tell_order(json_member(life, STR("order")));
        if (ctl_text(life, "trace_id").len > 0)
            printf("  %-12s%" STR_F "\n", "trace", STR_A(ctl_text(life, "trace_id")));
        tell_timeline(json_member(life, STR("timeline")));
        tell_payment(life);
    }
    tell_stock(life);
    tell_events(life);
    return CTL_OK;
}

/* ---- dead letters ---- */

int ctl_letters_list(struct tool *tool)
{
    const struct json *answer;
    int count = 0;
    int code = ctl_ask(tool, "GET", "/operator/dead-letters", STR_NONE, &answer);
    if (code != 0)
        return code;
    struct json_walk walk = json_walk_of(json_member(answer, STR("items")));
    for (; json_next(&walk); count++)
        printf("%" STR_F " %" STR_F " %" STR_F " %" STR_F "  %" STR_F ", %" STR_F ", %" STR_F
               " tries  %" STR_F "\n",
               STR_A(ctl_text(walk.value, "service")), STR_A(ctl_text(walk.value, "topic")),
               STR_A(ctl_text(walk.value, "key")), STR_A(ctl_text(walk.value, "number")),
               STR_A(ctl_text(walk.value, "type")), STR_A(ctl_text(walk.value, "state")),
               STR_A(ctl_text(walk.value, "tries")), STR_A(ctl_text(walk.value, "error")));
    fprintf(stderr, "%d dead letters\n", count);
    return CTL_OK;
}

static int change_letters(struct tool *tool, const char *path, const char *done)
{
    struct text json = text_init(tool->arena, 512);
    const struct json *answer;
    bool first = true;
    text_add_byte(&json, '{');
    ctl_add(&json, &first, "service", str_of_z(tool->operands[0]));
    ctl_add(&json, &first, "topic", str_of_z(tool->operands[1]));
    ctl_add(&json, &first, "key", str_of_z(tool->operands[2]));
    if (tool->operands_count > 3) {
        int64_t number;
        if (!str_to_int64(str_of_z(tool->operands[3]), 0, INT64_MAX, &number))
            return ctl_complain(CTL_USAGE, "NUMBER is a number from 0 on");
        json_add_name(&json, &first, STR("number"));
        text_add_int(&json, number);
    }
    text_add_byte(&json, '}');
    int code = ctl_ask(tool, "POST", path, text_str(&json), &answer);
    if (code == 0)
        puts(done);
    return code;
}

int ctl_letters_requeue(struct tool *tool)
{
    return change_letters(tool, "/operator/dead-letters/requeue",
                          "requeued: they are tried again, in order");
}

int ctl_letters_skip(struct tool *tool)
{
    return change_letters(tool, "/operator/dead-letters/skip",
                          "skipped; those behind it are tried again");
}

/* ---- keys ---- */

int ctl_rotate_keys(struct tool *tool)
{
    bool drops = ctl_value(tool, "drop-old") != NULL;
    const struct json *answer;
    int code = ctl_ask(tool, "POST", "/operator/keys/rotate",
                       drops ? STR("{\"drop_old\":true}") : STR("{}"), &answer);
    if (code != 0)
        return code;
    str kid = ctl_text(answer, "kid");
    if (drops)
        printf("%.*s signs now. The keys before it are gone: every access token of theirs is\n"
               "refused, and clients go on by their refresh tokens.\n",
               STR_A(kid));
    else
        printf("%.*s is in the JWKS now and signs in %.*s s. The keys before it verify until\n"
               "their last token has expired, and are removed in %.*s s.\n",
               STR_A(kid), STR_A(ctl_text(answer, "signs_in_s")),
               STR_A(ctl_text(answer, "retires_in_s")));
    return CTL_OK;
}

/* ---- backup ---- */

struct waiting {
    struct arena *arena;
    str part;
    int64_t total;
};

static void on_waiting(void *self)
{
    struct waiting *waiting = self;
    ctl_progress("backing up", disk_bytes(waiting->arena, waiting->part), waiting->total);
}

/* About how large it will be. */
static int64_t databases_bytes(const struct tool *tool)
{
    static const char *const names[] = { "users", "products", "orders", "payments-simulator" };
    str folder = conf_text(tool->conf, CONF_DATA_DIR);
    int64_t bytes = 0;
    for (int i = 0; i < 4; i++)
        bytes += disk_bytes(tool->arena,
                            str_format(tool->arena, "%" STR_F "/%s.db", STR_A(folder), names[i]));
    return bytes > 0 ? bytes : 1;
}

/* Absolute: the program that makes it has a directory of its own. NULL, complained of, where ours
 * has no name. */
static str absolute(struct tool *tool, str path)
{
    char folder[PATH_BYTES_MAX];

    if (str_starts(path, STR("/")))
        return path;
    if (!getcwd(folder, sizeof folder)) {
        (void)!ctl_complain(CTL_REFUSED, "the current directory has no name");
        return STR_NONE;
    }
    return str_format(tool->arena, "%s/%" STR_F, folder, STR_A(path));
}

/* The program writes below DATA_DIR only (os/landlock.h), so it makes the file there. */
static err ask_for_backup(struct tool *tool, str made, struct asked *asked)
{
    struct waiting waiting = { .arena = tool->arena,
                               .part = str_format(tool->arena, "%" STR_F ".part", STR_A(made)),
                               .total = databases_bytes(tool) };
    struct text json = text_init(tool->arena, 512);
    bool first = true;
    text_add_byte(&json, '{');
    ctl_add(&json, &first, "path", made);
    text_add_byte(&json, '}');
    err error = ask_patiently(tool->arena, tool->socket, "POST", "/operator/backup",
                              text_str(&json), on_waiting, &waiting, asked);
    ctl_progress_end();
    return error;
}

static err copy_all(struct arena *arena, struct disk_stream *from, struct disk_stream *to)
{
    char *piece = arena_array(arena, char, PIECE_BYTES);
    size_t len;

    do {
        TRY(disk_stream_take(from, piece, PIECE_BYTES, &len));
        TRY(disk_stream_put(to, str_of(piece, len)));
    } while (len > 0);
    return disk_stream_sync(to);
}

/* Where it is wanted: by its name, or, on another disk, by its bytes. */
static err bring(struct arena *arena, str made, struct disk_stream *part, str part_path, str path)
{
    struct disk_stream *from;

    if (disk_rename(arena, made, path) == OK)
        return disk_remove(arena, part_path);
    TRY(disk_stream_read(arena, made, &from));
    err error = copy_all(arena, from, part);
    disk_stream_close(from);
    TRY(error);
    TRY(disk_rename(arena, part_path, path));
    return disk_remove(arena, made);
}

static int make_and_bring(struct tool *tool, str path, str part_path, struct disk_stream *part)
{
    str data = absolute(tool, conf_text(tool->conf, CONF_DATA_DIR));
    str made = str_format(tool->arena, "%" STR_F "/backup.%d.tar", STR_A(data), (int)getpid());
    const struct json *answer;
    struct asked asked;

    if (!data.ptr)
        return CTL_REFUSED;
    err error = ask_for_backup(tool, made, &asked);
    int code = ctl_asked(tool, error, &asked, &answer);
    if (code != CTL_OK)
        return code;
    error = bring(tool->arena, made, part, part_path, path);
    if (error != OK) {
        (void)!disk_remove(tool->arena, made);
        return ctl_complain_error(tool, error);
    }
    printf("%" STR_F " bytes in %" STR_F "; writers stood still for %" STR_F " us\n",
           STR_A(ctl_text(answer, "bytes")), STR_A(path), STR_A(ctl_text(answer, "paused_us")));
    return CTL_OK;
}

int ctl_backup(struct tool *tool)
{
    struct arena *arena = tool->arena;
    str path = absolute(tool, str_of_z(tool->operands[0]));
    struct disk_stream *part;

    if (!path.ptr)
        return CTL_REFUSED;
    if (disk_exists(arena, path))
        return ctl_complain(CTL_REFUSED, "%" STR_F " is there already: name a new file",
                            STR_A(path));
    /* First, so that a place where nothing can be written is told before the work. */
    str part_path = str_format(arena, "%" STR_F ".part", STR_A(path));
    err error = disk_stream_write(arena, part_path, true, &part);
    if (error != OK)
        return ctl_complain_error(tool, error);
    int code = make_and_bring(tool, path, part_path, part);
    disk_stream_close(part);
    if (code != CTL_OK)
        (void)!disk_remove(arena, part_path);
    return code;
}
