/* Staff import a file of Shopify's format, which makes products that shoppers then buy. */
#include "os/clock.h"
#include "os/sync.h"
#include "tests/sim/deeds.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum { IMPORTED_PRICE = 999, IMPORTED_UNITS = 7 };

static const char file[] =
    "Handle,Title,Published,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,"
    "Variant Price\n"
    "pot,Pot,true,Size,Small,pot-small,7,9.99\n"
    "pot,,,,Large,pot-large,7,9.99\n"
    "cup,Cup,true,Title,Default Title,cup,7,9.99\n";

static bool is_done(struct client_of_shop *staff, const char *path)
{
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_GET, .path = path };
    struct exchange *exchange = client_ask(staff, &ask);
    str status = peek_text(client_reply(exchange)->json, "status");
    bool done = str_equal(status, STR("done"));
    RULE(!str_equal(status, STR("failed")), "imports", "it failed: %" STR_F,
         STR_A(client_reply(exchange)->body));
    client_done(exchange);
    return done;
}

static void know_imported(struct model *model, const char *name)
{
    struct model_sku *sku = &model->skus[model->skus_count++];
    *sku = (struct model_sku){ .initial = IMPORTED_UNITS };
    snprintf(sku->sku, sizeof sku->sku, "%s", name);
    model_price(model, model->skus_count - 1, IMPORTED_PRICE);
}

/* One whose answer was lost is sent again: it finds all as it should be. */
void staff_import(struct client_of_shop *staff)
{
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST, .path = "/products/imports" };
    deed(DEED_IMPORT);
    ask.content_type = "text/csv";
    ask.body = file;
    struct exchange *exchange = client_ask(staff, &ask);
    const struct reply *reply = client_reply(exchange);
    RULE(reply->status == 202, "imports", "%d %" STR_F, reply->status, STR_A(reply->body));
    const char *path = str_z(staff->model->arena, reply->location);
    client_done(exchange);
    while (!is_done(staff, path))
        sleep_until(clock_mono_us() + TIME_SECOND);
    know_imported(staff->model, "pot-small");
    know_imported(staff->model, "pot-large");
    know_imported(staff->model, "cup");
}
