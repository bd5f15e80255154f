/* Pages for people: HTML that needs no script and nothing from outside, in light and dark. Texts
 * are escaped here, so that what somebody wrote stays a text.
 *
 * Used from top to bottom: a section is closed by the next one, a table by its end. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

struct html {
    struct text out;
    bool in_section;
};

/* How something stands, as a colour beside its word. */
enum html_tone { HTML_PLAIN, HTML_GOOD, HTML_WARN, HTML_BAD, HTML_QUIET };

/* Begins one; `about` is a line under its title. */
struct html html_begin(struct arena *arena, str title, str about);

/* Begins a part; `note` (empty: none) says in a sentence what it shows. */
void html_section(struct html *page, const char *title, const char *note);

/* A paragraph. */
void html_words(struct html *page, str words);

/* Names and values, one pair a line, between html_facts and html_facts_end. */
void html_facts(struct html *page);
void html_fact(struct html *page, const char *name, str value, enum html_tone tone);
void html_fact_link(struct html *page, const char *name, str value, str url); /* as a cell's */
void html_facts_end(struct html *page);

/* A table: its columns parted by '|' (a '>' before the name: numbers, to the right), rows of cells.
 */
void html_table(struct html *page, const char *columns);
void html_row(struct html *page);
void html_cell(struct html *page, str value, enum html_tone tone);
void html_cell_number(struct html *page, int64_t number);
void html_cell_right(struct html *page, str value);         /* a number that is a text already */
void html_cell_link(struct html *page, str value, str url); /* an empty URL: no link */
/* A length of time, and a bar as long as its share of `whole_us`; 0: no bar. */
void html_cell_time(struct html *page, int64_t us, int64_t whole_us);
void html_table_end(struct html *page);

/* The way through some states: `states` parted by '|', those in `reached` (parted the same way)
 * filled, `now` marked. */
void html_path(struct html *page, str states, str reached, str now);

/* A field that asks for a text, sent as ?`name`= to `path`. */
void html_form(struct html *page, const char *path, const char *name, const char *label);

/* "812 µs", "1.25 ms", "3.4 s", "2 h 5 min". */
str html_time(struct arena *arena, int64_t us);

/* Ends it, and gives it. */
str html_end(struct html *page);

struct request;

/* Answers with it: no scripts, no frames, nothing from elsewhere, kept by nobody. */
void html_answer(struct request *request, int status, str html);
