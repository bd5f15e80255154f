/* Messages of the contract to the shop's own words and back. Pure; texts are borrowed. */
#pragma once
#include "gen/products.h"
#include "services/products/product.h"

/* The product that a request describes; without ids, version and times. */
void product_of_create(struct arena *arena, const Products__CreateProductRequest *in,
                       struct product *out);

/* Changes a product as a PATCH says: only the members that its mask names. */
void product_patch(struct arena *arena, const Products__UpdateProductRequest *in,
                   struct product *product);

/* The product of a document. */
void product_of_document(struct arena *arena, const Products__Product *in, struct product *out);

/* The document of a product: also what is answered. */
Products__Product *product_document(struct arena *arena, const struct product *product);

/* Whether both have the same document. */
bool product_is_same(struct arena *arena, const struct product *a, const struct product *b);

/* Sets what a variant shows as available; false where it shows that already, or is not there. */
bool document_set_availability(Products__Product *document, str sku,
                               enum availability availability);

/* A bit (1 << availability) for each that some variant of the document has. */
int32_t document_availability_bits(const Products__Product *document);

/* The event that says what a variant costs. */
Products__VariantPriced *variant_priced_of(struct arena *arena, str sku, int64_t number,
                                           struct uuid product, str title, str variant_title,
                                           struct money price, bool for_sale);

/* The event that refuses an order. */
Products__StockRefused *stock_refused_of(struct arena *arena, struct uuid order,
                                         const struct stock_order *short_order);

/* The event that says that all of an order is held. */
Products__StockReserved *stock_reserved_of(struct arena *arena, struct uuid order);

/* Units of a SKU, as staff see them. */
Products__Stock *stock_view(struct arena *arena, str sku, struct stock_units units,
                            time_us updated_at);

/* An import that has just begun. */
Products__Import *import_view(struct arena *arena, struct uuid id, int64_t bytes, time_us now);

/* What a request to adjust asks for. Fails with FIELD_INVALID where it gives both a delta and a
 * number, or neither. */
err adjustment_of(struct arena *arena, const Products__AdjustStockRequest *in,
                  struct stock_adjustment *out);
