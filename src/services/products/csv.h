/* CSV as RFC 4180 has it, row by row over a window of a larger file. Pure.
 *
 * Rows end with CRLF, LF or CR; a field in quotes may hold commas, line ends and doubled quotes; a
 * byte-order mark before the first row and empty lines are skipped. What RFC 4180 forbids but files
 * have, a quote inside a field that does not begin with one, is taken as it stands. A reader has no
 * state but its place, so it can stop after any row and go on later, elsewhere, from there. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { CSV_FIELDS_MAX = 512 };

/* Where the next row begins, in the whole file. */
struct csv_place {
    int64_t byte;
    int32_t line; /* from 1 */
};

/* Part of a file: `bytes` begins at byte `from` of it. */
struct csv_window {
    str bytes;
    int64_t from;
    bool is_last; /* the file ends with it */
};

struct csv_row {
    str *fields; /* borrowed from the window, or from the arena where quotes were taken away */
    size_t fields_count;
    int32_t line; /* where it begins */
};

enum csv_step {
    CSV_ROW,  /* a row was read and the place moved behind it */
    CSV_MORE, /* the window ends within a row: ask again from the same place with a larger one */
    CSV_END,
};

/* The beginning of a file. */
struct csv_place csv_begin(void);

/* Reads the row at `place`. Fails with IMPORT_INVALID, naming the line: a quoted field that does
 * not end, text behind a closing quote, more than CSV_FIELDS_MAX fields. */
err csv_read(struct arena *arena, const struct csv_window *window, struct csv_place *place,
             struct csv_row *row, enum csv_step *step);
