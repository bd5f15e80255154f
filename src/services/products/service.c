/* Composition: the database, what the settings say, the jobs. */
#include "services/products/service.h"
#include "gen/products.sql.h"
#include "services/products/inside.h"

static str database_url(struct arena *arena, const struct conf *conf)
{
    return service_database_url(arena, conf, CONF_DATABASE_URL_PRODUCTS, "products.db");
}

err products_migrate(struct arena *arena, const struct conf *conf, int *applied)
{
    ASSERT(arena && conf && applied);
    return service_migrate(arena, database_url(arena, conf), &products_schema, applied);
}

static void open_metrics(struct products *self)
{
    static const char *const outcomes[] = { "", "reserved", "refused", "closed" };
    for (int i = STOCK_RESERVED; i < STOCK_OUTCOMES; i++)
        self->holds[i] = metric_series(METRIC_HOLDS, outcomes[i], NULL, NULL);
    self->stock_outs = metric_series(METRIC_STOCK_OUTS, NULL, NULL, NULL);
}

/* A product may have some mebibytes of texts and addresses; a change has it before and after. */
enum { CALL_BYTES_MAX = 32 * 1024 * 1024 };

err products_open(struct arena *arena, const struct house *house, struct products **out)
{
    ASSERT(arena && house && out);

    const struct conf *conf = house->conf;
    struct products *self = arena_new(arena, struct products);
    str currency = conf_text(conf, CONF_SHOP_CURRENCY);
    if (currency_parse(arena, currency, &self->currency) != OK)
        return fail(arena, SETTING_INVALID,
                    "SHOP_CURRENCY is %" STR_F ": give an ISO 4217 code, such as EUR",
                    STR_A(currency));
    self->stock_low = conf_int(conf, CONF_STOCK_LOW);

    struct service_config config = {
        .spec = &products_service_spec,
        .schema = &products_schema,
        .house = house,
        .database_url = database_url(arena, conf),
        .durable = conf_int(conf, CONF_DATABASE_DURABLE) != 0,
        .cache_bytes = (size_t)conf_int(conf, CONF_CATALOG_CACHE),
        .arena_bytes_max = CALL_BYTES_MAX,
        .self = self,
    };
    TRY(service_open(arena, &config, &self->service));
    jobs_add(self, conf);
    open_metrics(self);
    *out = self;
    return OK;
}

struct service *products_service(struct products *self) { return self->service; }

void products_start(struct products *self) { service_start(self->service); }

void products_stop(struct products *self) { service_stop(self->service); }

void products_close(struct products *self)
{
    if (self)
        service_close(self->service);
}
