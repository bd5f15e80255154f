#include "apps/members.h"
#include "base/json.h"
#include "services/products/service.h"

static err open_products(struct arena *arena, const struct house *house, struct client *users,
                         struct client *products, void **out)
{
    struct products *self;
    ASSERT(!users && !products);
    TRY(products_open(arena, house, &self));
    *out = self;
    return OK;
}

static void add_count(struct text *out, bool *first, str name, int64_t count)
{
    json_add_name(out, first, name);
    text_add_int(out, count);
}

static void add_hold(struct text *out, const struct products_book_hold *hold)
{
    bool first = true;
    text_add_byte(out, '{');
    json_add_name(out, &first, STR("sku"));
    json_add_string(out, hold->sku);
    add_count(out, &first, STR("quantity"), hold->quantity);
    add_count(out, &first, STR("shipped"), hold->shipped);
    add_count(out, &first, STR("returned"), hold->returned);
    add_count(out, &first, STR("released"), hold->released);
    text_add_byte(out, '}');
}

/* What is held for it. */
static err tell_order(void *self, struct arena *arena, struct uuid order, struct text *out,
                      bool *first)
{
    struct products_book book = { .state = STR("none") };
    struct db_reader *reader;
    bool has_book;
    TRY(db_read_begin(service_db(products_service(self)), arena, &reader));
    err error = products_read_book(reader, arena, order, &book, &has_book);
    db_read_end(reader);
    TRY(error);
    json_add_name(out, first, STR("reservation"));
    json_add_string(out, book.state);
    json_add_name(out, first, STR("holds"));
    text_add_byte(out, '[');
    for (size_t i = 0; i < book.holds_count; i++) {
        if (i > 0)
            text_add_byte(out, ',');
        add_hold(out, &book.holds[i]);
    }
    text_add_byte(out, ']');
    return OK;
}

static struct service *service_of(void *self) { return products_service(self); }
static void start(void *self) { products_start(self); }
static void stop(void *self) { products_stop(self); }
static void close_products(void *self) { products_close(self); }

const struct shop_member products_member = {
    .part = SHOP_PRODUCTS,
    .name = "products",
    .own_door = CONF_PRODUCTS_ADDR,
    .migrate = products_migrate,
    .open = open_products,
    .service = service_of,
    .start = start,
    .stop = stop,
    .close = close_products,
    .tell_order = tell_order,
};
