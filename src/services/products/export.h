/* The catalog as a product CSV in Shopify's format, which import.h reads again to the same
 * products. Pure.
 *
 * What the format has no column for is not there: categories, ids, versions, the currency. What
 * Shopify's other readers want and Duka does not know has its usual word (tracker, policy, …). */
#pragma once
#include "base/str.h"
#include "gen/products.h"

/* The first line. */
void export_header(struct text *out);

/* The lines of a product: one for each variant and image, whichever there are more of.
 * `quantities` has the units that may be sold of each variant. */
void export_product(struct arena *arena, struct text *out, const Products__Product *product,
                    const int64_t *quantities);
