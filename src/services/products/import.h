/* A product CSV in Shopify's format, as requests to make products. Pure.
 *
 * The rows of one handle stand together and are one product: the first has what the product is,
 * each with option values or a price is a variant, any may bring an image. Columns are found by
 * name, in Shopify's older words or its newer ones; others are ignored. What a request must be
 * (lengths, formats) its validator checks later, what a product must be product.h. */
#pragma once
#include "gen/products.h"
#include "services/products/csv.h"
#include "services/products/product.h"

enum { IMPORT_ROWS_MAX = 1000 /* of one product */ };

enum import_column {
    IMPORT_HANDLE,
    IMPORT_TITLE,
    IMPORT_BODY,
    IMPORT_VENDOR,
    IMPORT_TYPE,
    IMPORT_TAGS,
    IMPORT_PUBLISHED,
    IMPORT_STATUS,
    IMPORT_OPTION1_NAME,
    IMPORT_OPTION1_VALUE,
    IMPORT_OPTION2_NAME,
    IMPORT_OPTION2_VALUE,
    IMPORT_OPTION3_NAME,
    IMPORT_OPTION3_VALUE,
    IMPORT_SKU,
    IMPORT_GRAMS,
    IMPORT_QUANTITY,
    IMPORT_PRICE,
    IMPORT_COMPARE_AT,
    IMPORT_BARCODE,
    IMPORT_IMAGE,
    IMPORT_IMAGE_POSITION,
    IMPORT_IMAGE_ALT,
    IMPORT_VARIANT_IMAGE,
    IMPORT_COLUMNS_COUNT,
};

/* Where each column stands in a row; -1: the file does not have it. */
struct import_columns {
    int at[IMPORT_COLUMNS_COUNT];
};

/* A product of the file. */
struct import_group {
    int32_t line; /* its first, in the file */
    str handle;   /* as the file has it */
    Products__CreateProductRequest *input;
    err refused; /* why it is none; then there is no input */
};

/* Reads the header at the beginning of the file and moves the place behind it; *step is CSV_MORE
 * where the window ends within it. Fails with IMPORT_INVALID: an empty file, or one that lacks
 * columns that must be there, by name. */
err import_header(struct arena *arena, const struct csv_window *window, struct csv_place *place,
                  struct import_columns *out, enum csv_step *step);

/* The same for the beginning of a file: whether it can be imported at all. */
err import_check(struct arena *arena, const struct csv_window *window, struct import_columns *out);

/* Reads the product at the place and moves it behind the product's rows; *step is CSV_MORE where
 * the window ends within them. Fails with IMPORT_INVALID where the file is no CSV from here on. */
err import_read(struct arena *arena, const struct import_columns *columns, struct currency currency,
                const struct csv_window *window, struct csv_place *place, struct import_group *out,
                enum csv_step *step);

/* What the file does not tell stays as it was: members whose column it lacks, categories, and the
 * SKUs of variants that it gives none, found again by their options. */
void import_keep(const struct import_columns *columns, const struct product *before,
                 struct product *after);
