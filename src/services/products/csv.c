#include "services/products/csv.h"

enum { FIELDS_AT_FIRST = 64 };

/* A row under way. */
struct scan {
    struct arena *arena;
    str bytes;
    bool is_last;
    size_t at;
    int32_t line;
    bool wants_more; /* the window ended before the row did */
    struct csv_row row;
    size_t room;
};

struct csv_place csv_begin(void) { return (struct csv_place){ .byte = 0, .line = 1 }; }

static bool is_at_end(const struct scan *scan) { return scan->at == scan->bytes.len; }

static char byte_at(const struct scan *scan) { return scan->bytes.ptr[scan->at]; }

/* CRLF, LF or CR. What CR at the end of a window is only the next byte tells. */
static void skip_line_end(struct scan *scan)
{
    bool is_cr = byte_at(scan) == '\r';

    scan->at++;
    scan->line++;
    if (!is_cr)
        return;
    if (is_at_end(scan))
        scan->wants_more = !scan->is_last;
    else if (byte_at(scan) == '\n')
        scan->at++;
}

static err add_field(struct scan *scan, str field)
{
    struct csv_row *row = &scan->row;

    if (row->fields_count == CSV_FIELDS_MAX)
        return fail(scan->arena, IMPORT_INVALID, "line %d has more than %d fields", row->line,
                    CSV_FIELDS_MAX);
    if (row->fields_count == scan->room) {
        size_t room = scan->room ? 2 * scan->room : FIELDS_AT_FIRST;
        row->fields =
            arena_grow(scan->arena, row->fields, scan->room * sizeof(str), room * sizeof(str));
        scan->room = room;
    }
    row->fields[row->fields_count++] = field;
    return OK;
}

/* The text between two quotes with doubled ones made single. */
static str unquote(struct arena *arena, str inner, size_t doubled)
{
    if (doubled == 0)
        return inner;

    struct text text = text_init(arena, inner.len - doubled);
    for (size_t i = 0; i < inner.len; i++) {
        text_add_byte(&text, inner.ptr[i]);
        if (inner.ptr[i] == '"')
            i++;
    }
    return text_str(&text);
}

static err read_quoted(struct scan *scan)
{
    size_t begin = ++scan->at, doubled = 0;

    for (;; scan->at++) {
        if (is_at_end(scan)) {
            scan->wants_more = !scan->is_last;
            return scan->is_last
                       ? fail(scan->arena, IMPORT_INVALID,
                              "a quoted field of the row at line %d does not end", scan->row.line)
                       : OK;
        }
        if (byte_at(scan) == '"') {
            if (scan->at + 1 == scan->bytes.len && !scan->is_last) {
                scan->wants_more = true; /* it ends here, or is the first of two */
                return OK;
            }
            if (scan->at + 1 == scan->bytes.len || scan->bytes.ptr[scan->at + 1] != '"')
                break;
            doubled++;
            scan->at++;
        } else if (byte_at(scan) == '\n') {
            scan->line++;
        } else if (byte_at(scan) == '\r') {
            bool is_crlf = scan->at + 1 < scan->bytes.len && scan->bytes.ptr[scan->at + 1] == '\n';
            scan->line += !is_crlf;
        }
    }
    str inner = str_slice(scan->bytes, begin, scan->at - begin);
    scan->at++;
    if (!is_at_end(scan) && byte_at(scan) != ',' && byte_at(scan) != '\r' && byte_at(scan) != '\n')
        return fail(scan->arena, IMPORT_INVALID, "line %d has text behind a closing quote",
                    scan->line);
    return add_field(scan, unquote(scan->arena, inner, doubled));
}

static err read_plain(struct scan *scan)
{
    size_t begin = scan->at;

    while (!is_at_end(scan) && byte_at(scan) != ',' && byte_at(scan) != '\r' &&
           byte_at(scan) != '\n')
        scan->at++;
    return add_field(scan, str_slice(scan->bytes, begin, scan->at - begin));
}

/* One field and what ends it; *ends tells whether that ends the row. */
static err read_field(struct scan *scan, bool *ends)
{
    *ends = false;
    if (!is_at_end(scan) && byte_at(scan) == '"')
        TRY(read_quoted(scan));
    else
        TRY(read_plain(scan));
    if (scan->wants_more)
        return OK;
    if (is_at_end(scan)) {
        scan->wants_more = !scan->is_last;
        *ends = true;
    } else if (byte_at(scan) == ',') {
        scan->at++;
    } else {
        skip_line_end(scan);
        *ends = true;
    }
    return OK;
}

static err read_row(struct scan *scan)
{
    bool ends = false;

    scan->row.line = scan->line;
    while (!ends && !scan->wants_more)
        TRY(read_field(scan, &ends));
    return OK;
}

/* Line ends before the row are empty lines. */
static void skip_empty_lines(struct scan *scan)
{
    while (!is_at_end(scan) && !scan->wants_more &&
           (byte_at(scan) == '\r' || byte_at(scan) == '\n'))
        skip_line_end(scan);
}

static void skip_mark(struct scan *scan)
{
    static const char MARK[3] = { '\xEF', '\xBB', '\xBF' };
    str head = str_slice(scan->bytes, 0, sizeof(MARK));

    if (head.len < sizeof(MARK) && !scan->is_last)
        scan->wants_more = true;
    else if (str_equal(head, str_of(MARK, sizeof(MARK))))
        scan->at = sizeof(MARK);
}

err csv_read(struct arena *arena, const struct csv_window *window, struct csv_place *place,
             struct csv_row *row, enum csv_step *step)
{
    ASSERT(arena && window && place && row && step);
    ASSERT(place->byte >= window->from);
    ASSERT((size_t)(place->byte - window->from) <= window->bytes.len);

    struct scan scan = { .arena = arena,
                         .bytes = window->bytes,
                         .is_last = window->is_last,
                         .at = (size_t)(place->byte - window->from),
                         .line = place->line };
    if (place->byte == 0)
        skip_mark(&scan);
    skip_empty_lines(&scan);
    bool is_over = is_at_end(&scan);
    if (!is_over && !scan.wants_more)
        TRY(read_row(&scan));
    if (scan.wants_more || (is_over && !scan.is_last)) {
        *step = CSV_MORE;
        return OK;
    }
    *place = (struct csv_place){ .byte = window->from + (int64_t)scan.at, .line = scan.line };
    *row = scan.row;
    *step = is_over ? CSV_END : CSV_ROW;
    return OK;
}
