/* A product and the rules it obeys: its handle, options and variants, SKUs, status. Pure.
 *
 * What the contract says of single fields (lengths, formats) was checked before; here stands what
 * fields must be to each other. Texts and arrays are borrowed from the arena of the call. */
#pragma once
#include "base/money.h"
#include "base/time.h"
#include "base/uuid.h"
#include "services/products/stock.h"

enum {
    PRODUCT_OPTIONS_MAX = 3,
    PRODUCT_VARIANTS_MAX = 250,
    PRODUCT_HANDLE_POINTS_MAX = 255,
    PRODUCT_TITLE_POINTS_MAX = 255,
    PRODUCT_SKU_POINTS_MAX = 100,
};

enum product_status {
    PRODUCT_NEW = 0, /* not on disk yet */
    PRODUCT_DRAFT = 1,
    PRODUCT_ACTIVE = 2,
    PRODUCT_ARCHIVED = 3,
};

struct product_option {
    str name;
    str *values; /* empty at first: collected from the variants */
    size_t values_count;
};

struct product_image {
    str url, alt;
};

struct product_variant {
    struct uuid id;
    str sku;
    str *options; /* one value for each option of the product */
    size_t options_count;
    struct money price;
    struct money compare_at_price; /* without letters: none */
    str barcode;
    int32_t weight_grams;
    str image_url;
    enum availability availability;
    int64_t on_hand;        /* at first; only for a SKU that is new */
    struct uuid opening_id; /* of the entry that it opens the ledger with */
};

struct product {
    struct uuid id;
    str handle, title, description, vendor, type;
    enum product_status status;
    str *tags;
    size_t tags_count;
    str *categories; /* handles */
    size_t categories_count;
    struct product_option *options;
    size_t options_count;
    struct product_variant *variants;
    size_t variants_count;
    struct product_image *images;
    size_t images_count;
    int64_t version;
    time_us created_at, updated_at;
};

/* Fills what follows from the rest (handle from the title, SKUs from handle and options, values of
 * options from the variants), drops tags and categories that come twice, and checks the whole.
 * Fails with PRODUCT_INVALID and the pointer of what contradicts the rest. */
err product_complete(struct arena *arena, struct product *product);

/* The handle that a title gives: slugged; empty where it has no letters. */
str product_handle_of(struct arena *arena, str title);

/* The SKU of a variant that was given none: handle and option values, slugged; the same again
 * whenever the same product is read. */
str product_sku_of(struct arena *arena, str handle, const str *options, size_t options_count);

/* Whether a product may go from one status to another (from PRODUCT_NEW: begin in it). What was
 * archived may come back; nothing begins archived. */
bool product_may_become(enum product_status from, enum product_status to);

/* "draft", "active", "archived": as it lies in tables. */
str product_status_word(enum product_status status);

/* Whether its variants may be ordered. */
bool product_is_for_sale(const struct product *product);

/* A variant by SKU, or NULL. */
struct product_variant *product_find_variant(const struct product *product, str sku);

/* Variants of `after` that `before` had keep their ids and what they show as available. */
void product_keep_variants(const struct product *before, struct product *after);

/* "Small / Red"; empty where there are no options. Cut where it is longer than titles are. */
str product_variant_title(struct arena *arena, const struct product_variant *variant);

/* The lowest price among the variants. */
struct money product_lowest_price(const struct product *product);

/* A bit (1 << availability) for each that some variant has. */
int32_t product_availability_bits(const struct product *product);

/* The name of a facet that lists are made by: "tag:garden". */
str product_facet(struct arena *arena, const char *kind, str word);

/* The text that titles and filters are compared by: folded, at most 200 bytes. */
str product_key(struct arena *arena, str text);
