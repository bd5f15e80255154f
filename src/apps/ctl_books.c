/* What opens a shop's files, under its lock: migrate, check, restore. */
#include "apps/backup.h"
#include "apps/books.h"
#include "apps/ctl.h"
#include "apps/shop.h"

#include "os/disk.h"
#include "os/disk_stream.h"

#include <stdio.h>
#include <string.h>

static const char *const FILES[] = { "users.db", "products.db", "orders.db",
                                     "payments-simulator.db" };
enum { FILES_COUNT = 4 };

static str below(const struct tool *tool, str folder, const char *name)
{
    return str_format(tool->arena, "%" STR_F "/%s", STR_A(folder), name);
}

static str data_dir(const struct tool *tool) { return conf_text(tool->conf, CONF_DATA_DIR); }

static err take_lock(const struct tool *tool, struct disk_lock **out)
{
    TRY(disk_make_dirs(tool->arena, data_dir(tool)));
    return disk_lock_take(tool->arena, below(tool, data_dir(tool), "duka.lock"), out);
}

/* ---- check ---- */

static void on_fault(void *self, str what)
{
    (void)self;
    ctl_progress_end();
    printf("%" STR_F "\n", STR_A(what));
}

/* Those of the whole shop, or, of a part, what its files say by themselves. */
static int check_folder(struct tool *tool, str folder, bool is_whole)
{
    struct books books;
    struct books_found found;
    err error = is_whole ? books_open(tool->arena, tool->conf, folder, &books)
                         : books_open_part(tool->arena, folder, &books);
    if (error != OK)
        return ctl_complain_error(tool, error);
    books.fault = on_fault;
    error = books_check(tool->arena, &books, &found);
    books_close(&books);
    ctl_progress_end();
    if (error != OK)
        return ctl_complain_error(tool, error);
    printf("%lld orders, %lld payments held, %lld SKUs, %lld events waiting, %lld dead letters: "
           "%lld faults\n",
           (long long)found.orders, (long long)found.payments, (long long)found.skus,
           (long long)found.pending, (long long)found.dead, (long long)found.faults);
    return found.faults > 0 ? CTL_FAULTS : CTL_OK;
}

int ctl_check(struct tool *tool)
{
    struct disk_lock *lock = NULL;
    if (!disk_exists(tool->arena, data_dir(tool)))
        return ctl_complain(CTL_REFUSED, "there is no %" STR_F, STR_A(data_dir(tool)));
    err error = take_lock(tool, &lock);
    int code =
        error == OK ? check_folder(tool, data_dir(tool), true) : ctl_complain_error(tool, error);
    disk_lock_drop(lock);
    return code;
}

/* On SQLite each database has a lock of its own, which a shop that runs holds. */
int ctl_migrate(struct tool *tool)
{
    const char *name = tool->operands_count > 0 ? tool->operands[0] : NULL;
    bool any = false;
    if (!name && conf_text(tool->conf, CONF_DATABASE_URL).len > 0)
        return ctl_complain(CTL_REFUSED, "DATABASE_URL is the database of one service: name it, as "
                                         "in dukactl migrate users");
    for (int i = 0; i < SHOP_MEMBERS_MAX; i++) {
        const struct shop_member *member = SHOP_ALL[i];
        int applied = 0;
        if (name && strcmp(name, member->name) != 0)
            continue;
        err error = member->migrate(tool->arena, tool->conf, &applied);
        if (error != OK)
            return ctl_complain_error(tool, error);
        printf("%s%s %d", any ? ", " : "", member->name, applied);
        any = true;
    }
    if (!any)
        return ctl_complain(CTL_REFUSED, "\"%s\" is no service: users, products or orders", name);
    printf(" migrations applied\n");
    return CTL_OK;
}

/* ---- restore ---- */

/* Empties a folder of ours: what a restore that was interrupted left. */
static err clear(const struct tool *tool, str folder)
{
    str *names;
    size_t count;
    if (!disk_exists(tool->arena, folder))
        return OK;
    TRY(disk_list(tool->arena, folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        str path = below(tool, folder, str_z(tool->arena, names[i]));
        if (str_equal(names[i], STR("keys")))
            TRY(clear(tool, path));
        else
            TRY(disk_remove(tool->arena, path));
    }
    return OK;
}

static err move(const struct tool *tool, str from, str to, const char *name)
{
    str old = below(tool, from, name);
    return disk_exists(tool->arena, old) ? disk_rename(tool->arena, old, below(tool, to, name))
                                         : OK;
}

/* The databases of a backup: all of them, or those of a service that runs apart. */
struct part {
    bool has[FILES_COUNT];
    bool is_whole;
};

static struct part part_of(const struct tool *tool, str folder)
{
    struct part part = { .is_whole = true };
    for (int i = 0; i < FILES_COUNT; i++) {
        part.has[i] = disk_exists(tool->arena, below(tool, folder, FILES[i]));
        part.is_whole = part.is_whole && (part.has[i] || i >= SHOP_MEMBERS_MAX);
    }
    return part;
}

/* Each database with its log, for the log belongs to it; and the keys with Users. */
static err move_all(const struct tool *tool, const struct part *part, str from, str to)
{
    for (int i = 0; i < FILES_COUNT; i++) {
        if (!part->has[i] && !part->is_whole)
            continue;
        str log = str_format(tool->arena, "%s-wal", FILES[i]);
        str index = str_format(tool->arena, "%s-shm", FILES[i]);
        TRY(move(tool, from, to, str_z(tool->arena, log)));
        TRY(disk_remove(tool->arena, below(tool, from, str_z(tool->arena, index))));
        TRY(move(tool, from, to, FILES[i]));
    }
    str *names, keys = below(tool, from, "keys"), target = below(tool, to, "keys");
    size_t count;
    if (!part->has[0] || !disk_exists(tool->arena, keys))
        return OK;
    TRY(disk_make_dirs(tool->arena, target));
    TRY(disk_list(tool->arena, keys, &names, &count));
    for (size_t i = 0; i < count; i++)
        TRY(move(tool, keys, target, str_z(tool->arena, names[i])));
    return OK;
}

/* Something is there that a backup of this part would replace. */
static bool has_data(const struct tool *tool, const struct part *part)
{
    bool found = false;
    for (int i = 0; i < FILES_COUNT; i++)
        found = found || ((part->has[i] || part->is_whole) &&
                          disk_exists(tool->arena, below(tool, data_dir(tool), FILES[i])));
    return found;
}

static err unpack(struct tool *tool, str scratch)
{
    TRY(clear(tool, scratch));
    return backup_unpack(tool->arena, str_of_z(tool->operands[0]), scratch);
}

static err take_place(struct tool *tool, const struct part *part, str scratch, bool replaces)
{
    str before = below(tool, data_dir(tool), "before-restore");
    if (replaces) {
        TRY(clear(tool, before));
        TRY(disk_make_dirs(tool->arena, before));
        TRY(move_all(tool, part, data_dir(tool), before));
    }
    TRY(move_all(tool, part, scratch, data_dir(tool)));
    return clear(tool, scratch);
}

/* Whether what was unpacked may take the place of what is there; else why not. */
static int judge(struct tool *tool, const struct part *part, str scratch)
{
    if (has_data(tool, part) && !ctl_value(tool, "replace"))
        return ctl_complain(CTL_REFUSED,
                            "%" STR_F " holds a shop's data already; --replace moves it aside",
                            STR_A(data_dir(tool)));
    int code = check_folder(tool, scratch, part->is_whole);
    return code == CTL_OK ? CTL_OK : ctl_complain(code, "nothing was restored");
}

static int restore(struct tool *tool)
{
    str scratch = below(tool, data_dir(tool), "restore.tmp");
    err error = unpack(tool, scratch);
    struct part part = part_of(tool, scratch);
    int code = error == OK ? judge(tool, &part, scratch) : ctl_complain_error(tool, error);
    if (code != CTL_OK) {
        (void)!clear(tool, scratch);
        return code;
    }
    error = take_place(tool, &part, scratch, has_data(tool, &part));
    if (error != OK)
        return ctl_complain_error(tool, error);
    printf("restored into %" STR_F "\n", STR_A(data_dir(tool)));
    if (!part.is_whole)
        printf("It is the backup of a part of the shop: what it holds agrees in itself; with the "
               "others it agrees where all are of one moment.\n");
    return CTL_OK;
}

int ctl_restore(struct tool *tool)
{
    static const enum setting urls[] = { CONF_DATABASE_URL_USERS, CONF_DATABASE_URL_PRODUCTS,
                                         CONF_DATABASE_URL_ORDERS, CONF_DATABASE_URL };
    struct disk_lock *lock = NULL;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        if (conf_text(tool->conf, urls[i]).len > 0)
            return ctl_complain(CTL_USAGE,
                                "restore fills DATA_DIR: DATABASE_URL_… must not be set");
    err error = take_lock(tool, &lock);
    int code = error == OK ? restore(tool) : ctl_complain_error(tool, error);
    disk_lock_drop(lock);
    return code;
}
