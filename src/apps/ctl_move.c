/* dukactl move: a service's data from SQLite to PostgreSQL. */
#include "apps/ctl.h"
#include "apps/move.h"

#include "gen/orders.sql.h"
#include "gen/orders_move.sql.h"
#include "gen/orders_simulator.sql.h"
#include "gen/orders_simulator_move.sql.h"
#include "gen/products.sql.h"
#include "gen/products_move.sql.h"
#include "gen/users.sql.h"
#include "gen/users_move.sql.h"
#include "os/disk.h"

#include <stdio.h>

/* Files that a service has; the simulated provider's books go with Orders. */
static const struct unit {
    const char *service, *file, *setting;
    const struct db_schema *schema, *queries;
} UNITS[] = {
    { "users", "users.db", "DATABASE_URL_USERS", &users_schema, &users_move_schema },
    { "products", "products.db", "DATABASE_URL_PRODUCTS", &products_schema, &products_move_schema },
    { "orders", "orders.db", "DATABASE_URL_ORDERS", &orders_schema, &orders_move_schema },
    { "orders", "payments-simulator.db", NULL, &orders_simulator_schema,
      &orders_simulator_move_schema },
};
enum { UNITS_COUNT = sizeof UNITS / sizeof UNITS[0] };

static void on_progress(void *self, const char *what, int64_t done, int64_t total)
{
    (void)self;
    ctl_progress(what, done, total);
}

static void on_fault(void *self, str what)
{
    (void)self;
    ctl_progress_end();
    printf("%" STR_F "\n", STR_A(what));
}

static str source_of(const struct tool *tool, const struct unit *unit)
{
    const char *from = ctl_value(tool, "from");
    if (from && unit->setting)
        return str_of_z(from);
    str folder = conf_text(tool->conf, CONF_DATA_DIR);
    return str_format(tool->arena, "sqlite:%" STR_F "/%s", STR_A(folder), unit->file);
}

static int move_unit(struct tool *tool, const struct unit *unit, int64_t *faults)
{
    struct move move = { .from = source_of(tool, unit),
                         .to = str_of_z(ctl_value(tool, "to")),
                         .schema = unit->schema,
                         .queries = unit->queries,
                         .fresh = ctl_value(tool, "fresh") != NULL,
                         .progress = on_progress,
                         .fault = on_fault };
    struct move_done done;
    str path = str_slice(move.from, strlen("sqlite:"), move.from.len);
    if (str_starts(move.from, STR("sqlite:")) && !disk_exists(tool->arena, path)) {
        if (!unit->setting)
            return CTL_OK; /* a shop without the simulated provider */
        return ctl_complain(CTL_REFUSED, "there is no %" STR_F, STR_A(path));
    }
    err error = move_run(tool->arena, &move, &done);
    ctl_progress_end();
    if (error != OK)
        return ctl_complain_error(tool, error);
    printf("%s: %lld rows of %d tables, %lld put now; compared row by row: %lld tables differ\n",
           unit->file, (long long)done.rows, done.tables, (long long)done.put,
           (long long)done.faults);
    *faults += done.faults;
    return CTL_OK;
}

int ctl_move(struct tool *tool)
{
    const char *service = tool->operands[0], *setting = NULL;
    int64_t faults = 0;
    int code = CTL_OK;
    if (!ctl_value(tool, "to"))
        return ctl_complain(CTL_USAGE, "give --to postgresql://…");
    for (int i = 0; i < UNITS_COUNT && code == CTL_OK; i++) {
        if (strcmp(UNITS[i].service, service) != 0)
            continue;
        setting = setting ? setting : UNITS[i].setting;
        code = move_unit(tool, &UNITS[i], &faults);
    }
    if (!setting)
        return ctl_complain(CTL_USAGE, "%s is none of users, products, orders", service);
    if (code == CTL_OK && faults > 0)
        return ctl_complain(CTL_FAULTS, "the target holds other rows than the source: see "
                                        "whose they are; --fresh empties it first");
    if (code == CTL_OK)
        printf("all of it is there: set %s to the target before the next start\n", setting);
    return code;
}
