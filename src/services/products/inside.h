/* The inside of Products, for service.c, api.c, reactions.c and jobs.c. */
#pragma once
#include "chassis/obs.h"
#include "chassis/sweeper.h"
#include "gen/products.h"
#include "services/products/service.h"
#include "services/products/store.h"

struct products {
    struct service *service;
    struct currency currency; /* SHOP_CURRENCY */
    int64_t stock_low;        /* STOCK_LOW */
    struct swept swept[5];    /* what the sweeper has of it */
    struct timer *imports;    /* poked when there is work */
    struct timer *upkeep;
    struct series *holds[STOCK_OUTCOMES];
    struct series *stock_outs;
    bool has_noted; /* whether documents are known to be made with stock_low; the upkeep's */
};

/* Ids for what is new of a product: its variants, and the entries that open their ledgers. */
void give_ids(struct call *call, struct product *product);

/* Adds the service's jobs: imports, documents to be made anew, sweeping. */
void jobs_add(struct products *self, const struct conf *conf);
