/* The books of a closed shop as plain arrays: read from the files of its databases. */
#pragma once
#include "base/arena.h"
#include "base/crypto.h"
#include "base/uuid.h"
#include <sqlite3.h>

struct book_line {
    char sku[24];
    int64_t quantity, shipped, unit;
};

struct book_step {
    int64_t version, at;
    char what[24], actor[12], reason[32];
};

struct book_order {
    char id[UUID_TEXT_LEN + 1];
    struct uuid customer;
    char status[12], payment[12], fulfilment[12], provider[12], token[24], reason[32];
    int64_t total, captured, refunded, event_number, version, hold_until;
    struct book_line *lines;
    struct book_step *steps;
    int lines_count, steps_count, parcels_count, forgotten;
    int64_t inbox_head; /* of what Products told about it */
    /* In Products. */
    char reservation[12]; /* empty: none */
    int64_t reservation_number, products_head;
    struct book_hold *holds;
    int holds_count;
    /* At the bank: -1 where it has no such payment. */
    int64_t bank_known, bank_amount;
};

struct book_hold {
    char sku[24];
    int64_t quantity, shipped, returned, released;
    int64_t ledger_shipped, ledger_returned; /* by the ledger's entries of this order */
};

struct book_sku {
    char sku[24];
    int64_t on_hand, reserved, initial, adjusted, shipped, returned;
    int64_t number, head, copied_number; /* of VariantPriced: announced, taken, kept */
    int64_t price, copied_price;
};

struct books {
    struct book_order *orders;
    struct book_sku *skus;
    int orders_count, skus_count;
    int64_t keys_count, keys_open; /* idempotency keys; those without an answer */
    int64_t payments_count, outbox, held, dead_letters, jobs, callbacks, reservations_count;
};

/* Opens the files of a folder as one connection: orders as main, products, users and bank attached.
 * The caller closes it. */
sqlite3 *books_connect(const char *folder);

/* Reads all of it. */
struct books books_read(struct arena *arena, sqlite3 *db);

/* A digest over every row of every table of every file. */
struct sha256 books_digest(struct arena *arena, sqlite3 *db);

/* Prepares and binds nothing; a mistake ends the process. */
sqlite3_stmt *books_prepare(sqlite3 *db, const char *sql);

/* Column `i` of a row as text, empty for NULL. */
const char *books_text(sqlite3_stmt *row, int i);
