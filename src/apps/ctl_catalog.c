/* The catalog in files: import, export, seed. */
#include "apps/ctl.h"

#include "os/clock.h"
#include "os/disk.h"
#include "os/disk_stream.h"
#include "os/sync.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 200, REPORT_LINES_MAX = 1000 };

static void on_upload(void *what, int64_t done, int64_t total) { ctl_progress(what, done, total); }

static int64_t number_of(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    int64_t number;
    return value && json_int64(value, &number) ? number : 0;
}

/* The products that were refused, one a line on standard error. */
static void tell_refused(const struct json *report)
{
    const struct json *lines = json_member(report, STR("lines"));
    if (!lines || json_kind_of(lines) != JSON_ARRAY)
        return;
    struct json_walk walk = json_walk_of(lines);
    while (json_next(&walk))
        if (str_equal(ctl_text(walk.value, "outcome"), STR("refused")))
            fprintf(stderr, "line %" STR_F ": %" STR_F ": %" STR_F "\n",
                    STR_A(ctl_text(walk.value, "line")), STR_A(ctl_text(walk.value, "handle")),
                    STR_A(ctl_text(walk.value, "message")));
}

/* All pages of the report. */
static int tell_report(const struct tool *tool, const char *job)
{
    struct text target = text_init(tool->arena, 600);
    str after = STR("");
    do {
        const struct json *report;
        target.len = 0;
        text_add_format(&target, "/products/imports/%s?limit=%d%s%" STR_F, job, REPORT_LINES_MAX,
                        after.len > 0 ? "&after=" : "", STR_A(after));
        int code = ctl_ask(tool, "GET", str_z(tool->arena, text_str(&target)), STR_NONE, &report);
        if (code != 0)
            return code;
        tell_refused(report);
        after = json_member(report, STR("next")) ? ctl_text(report, "next") : STR("");
    } while (after.len > 0);
    return CTL_OK;
}

/* Follows the job to its end. */
static int follow(const struct tool *tool, const char *job)
{
    const char *path =
        str_z(tool->arena, str_format(tool->arena, "/products/imports/%s?limit=1", job));
    const struct json *report;
    for (;;) {
        int code = ctl_ask(tool, "GET", path, STR_NONE, &report);
        if (code != 0)
            return code;
        str status = ctl_text(report, "status");
        ctl_progress("importing", number_of(report, "bytes_done"), number_of(report, "bytes"));
        if (str_equal(status, STR("done")) || str_equal(status, STR("failed")))
            break;
        sleep_until(clock_mono_us() + LOOK_MS * TIME_MS);
    }
    ctl_progress_end();
    printf("created %lld, changed %lld, unchanged %lld, refused %lld\n",
           (long long)number_of(report, "created"), (long long)number_of(report, "changed"),
           (long long)number_of(report, "unchanged"), (long long)number_of(report, "refused"));
    if (number_of(report, "refused") > 0) {
        int code = tell_report(tool, job);
        return code != 0 ? code : CTL_REFUSED;
    }
    if (str_equal(ctl_text(report, "status"), STR("failed")))
        return ctl_complain(CTL_REFUSED, "the import ended: %" STR_F,
                            STR_A(ctl_text(report, "message")));
    return CTL_OK;
}

static int import_file(struct tool *tool, const char *file, const char *currency, bool waits)
{
    struct asked asked;
    const struct json *answer;
    str path = currency ? str_format(tool->arena, "/products/imports?currency=%s", currency)
                        : STR("/products/imports");
    static char sending[] = "sending";
    err error = ask_upload(tool->arena, tool->socket, str_z(tool->arena, path), "text/csv",
                           str_of_z(file), on_upload, sending, &asked);
    ctl_progress_end();
    int code = ctl_asked(tool, error, &asked, &answer);
    if (code != 0)
        return code;
    const char *job = str_z(tool->arena, ctl_text(answer, "id"));
    if (waits)
        return follow(tool, job);
    printf("import %s is being worked on\n", job);
    return CTL_OK;
}

int ctl_import(struct tool *tool)
{
    return import_file(tool, tool->operands[0], ctl_value(tool, "currency"),
                       !ctl_value(tool, "no-wait"));
}

/* ---- export ---- */

struct target {
    struct disk_stream *file; /* NULL: standard output */
    struct arena *arena;
    int64_t bytes;
};

static err take(void *self, str piece)
{
    struct target *target = self;
    target->bytes += (int64_t)piece.len;
    if (target->file)
        return disk_stream_put(target->file, piece);
    if (fwrite(piece.ptr, 1, piece.len, stdout) != piece.len)
        return fail(target->arena, OS_FAILED, "standard output cannot be written");
    return OK;
}

int ctl_export(struct tool *tool)
{
    struct target target = { .arena = tool->arena };
    const char *name = tool->operands_count > 0 ? tool->operands[0] : NULL;
    bool replaces = ctl_value(tool, "replace") != NULL;
    str file = name ? str_of_z(name) : STR("");
    str part = str_format(tool->arena, "%" STR_F ".part", STR_A(file));
    struct asked asked;
    if (name && !replaces && disk_exists(tool->arena, file))
        return ctl_complain(CTL_REFUSED, "%s is there already; --replace takes its place", name);
    err error = name ? disk_stream_write(tool->arena, part, true, &target.file) : OK;
    if (error == OK)
        error = ask_download(tool->arena, tool->socket, "/products/export", take, &target, &asked);
    if (error == OK && target.file)
        error = disk_stream_sync(target.file);
    disk_stream_close(target.file);
    bool is_done = error == OK && asked.status == 200;
    if (is_done && name)
        error = disk_rename(tool->arena, part, file);
    else if (name)
        (void)!disk_remove(tool->arena, part);
    if (error != OK)
        return ctl_complain_error(tool, error);
    if (!is_done)
        return ctl_complain(CTL_REFUSED, "%" STR_F, STR_A(asked_refusal(tool->arena, &asked)));
    if (name)
        fprintf(stderr, "%lld bytes in %s\n", (long long)target.bytes, name);
    return fflush(stdout) == 0 ? CTL_OK : CTL_REFUSED;
}

/* ---- seed ---- */

static const char *const THINGS[] = { "Mug",  "Pot",   "Lamp",   "Scarf",
                                      "Bowl", "Chair", "Basket", "Candle" };
static const char *const LOOKS[] = { "Clay",  "Blue",    "Linen", "Oak",  "Woven",
                                     "Small", "Striped", "Plain", "Tall", "Round" };
enum { THINGS_COUNT = 8, LOOKS_COUNT = 10, SIZES_COUNT = 3 };

/* The same products for the same numbers: a larger seed adds to a smaller one. */
static err put_product(struct arena *arena, struct disk_stream *file, int64_t n)
{
    static const char *const sizes[SIZES_COUNT] = { "Small", "Medium", "Large" };
    const char *thing = THINGS[n % THINGS_COUNT], *look = LOOKS[n / THINGS_COUNT % LOOKS_COUNT];
    for (int i = 0; i < SIZES_COUNT; i++) {
        str line = str_format(
            arena, "demo-%lld,%s,%s,Demo,%s,\"demo, %s\",%s,%s,%s,DEMO-%lld-%c,%lld,%lld.%02lld\n",
            (long long)n,
            i ? "" : str_z(arena, str_format(arena, "%s %s %lld", look, thing, (long long)n)),
            i ? "" : "Made for trying things out.", i ? "" : thing, look, i ? "" : "true",
            i ? "" : "Size", sizes[i], (long long)n, sizes[i][0], (long long)(n * 7 % 50 + 10),
            (long long)(n * 13 % 90 + 5 + i), (long long)(n * 29 % 100));
        TRY(disk_stream_put(file, line));
    }
    return OK;
}

static err write_seed(struct tool *tool, str path, int64_t count)
{
    struct disk_stream *file;
    TRY(disk_stream_write(tool->arena, path, true, &file));
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    err error = disk_stream_put(file, STR("Handle,Title,Body (HTML),Vendor,Type,Tags,Published,"
                                          "Option1 Name,Option1 Value,Variant SKU,Variant "
                                          "Inventory Qty,Variant Price\n"));
    for (int64_t n = 1; n <= count && error == OK; n++) {
        error = put_product(arena, file, n);
        arena_reset(arena);
    }
    arena_close(arena);
    disk_stream_close(file);
    return error;
}

int ctl_seed(struct tool *tool)
{
    const struct json *answer;
    int64_t count;
    if (!ctl_number(tool, "products", 1, 10000000, 100, &count))
        return CTL_USAGE;
    if (ctl_ask(tool, "GET", "/livez", STR_NONE, &answer) != CTL_OK)
        return CTL_NO_SHOP;
    str path = str_format(tool->arena, "%" STR_F "/seed-%lld.csv.tmp",
                          STR_A(conf_text(tool->conf, CONF_DATA_DIR)), (long long)getpid());
    err error = write_seed(tool, path, count);
    int code = error == OK ? import_file(tool, str_z(tool->arena, path), NULL, true)
                           : ctl_complain_error(tool, error);
    (void)!disk_remove(tool->arena, path);
    return code;
}
