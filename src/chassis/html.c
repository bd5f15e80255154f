#include "chassis/html.h"

#include "chassis/request.h"

enum { HTML_BYTES_TYPICAL = 16 * 1024 };

static const char HEAD[] =
    "<style>"
    ":root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#1c1d1f;--dim:#62656b;"
    "--line:#dcdcd8;--good:#1a7f37;--warn:#8f5d00;--bad:#b42318;--bar:#8fb1e8;--link:#0b57d0}"
    "@media(prefers-color-scheme:dark){:root{--bg:#16181b;--card:#1f2226;--ink:#e6e7e9;"
    "--dim:#9da3ac;--line:#33373d;--good:#5cc97a;--warn:#e3b341;--bad:#ff8479;--bar:#3f5f96;"
    "--link:#8ab4f8}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:76rem;padding:1rem 1.25rem 3rem;background:var(--bg);"
    "color:var(--ink);font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:1.35rem;margin:.4rem 0 0;overflow-wrap:anywhere}"
    "h2{font-size:1.05rem;margin:0 0 .5rem}"
    "a{color:var(--link)}nav a{margin-right:1rem}"
    ".about,.note{color:var(--dim);margin:.1rem 0 .7rem}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:.8rem 1rem;margin:1rem 0;overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;margin-top:.4rem;"
    "font-variant-numeric:tabular-nums}.n+th,.n+td{padding-left:1.25rem}"
    "th{text-align:left;font-weight:600;color:var(--dim);font-size:.85rem}"
    "th,td{padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}"
    "tr:last-child td{border-bottom:0}.n{text-align:right}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:0}"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
    ".good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad);font-weight:600}"
    ".quiet{color:var(--dim)}"
    ".bar{display:inline-block;height:.6rem;margin-left:.6rem;background:var(--bar);"
    "border-radius:3px;vertical-align:baseline}"
    ".path{display:flex;flex-wrap:wrap;gap:.4rem;list-style:none;padding:0;margin:0 0 .8rem}"
    ".path li{padding:.1rem .7rem;border:1px solid var(--line);border-radius:1rem;"
    "color:var(--dim)}"
    ".path .was{color:var(--ink);border-color:var(--ink)}"
    ".path .now{background:var(--ink);color:var(--card);border-color:var(--ink)}"
    "form{margin:.3rem 0}input{font:inherit;width:24rem;max-width:100%;padding:.2rem .4rem;"
    "background:var(--card);color:var(--ink);border:1px solid var(--line);border-radius:4px}"
    "button{font:inherit;padding:.2rem .8rem}"
    "</style>";

/* ---- texts ---- */

static void add_escaped(struct text *out, str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        switch (c) {
        case '<': text_add(out, STR("&lt;")); break;
        case '>': text_add(out, STR("&gt;")); break;
        case '&': text_add(out, STR("&amp;")); break;
        case '"': text_add(out, STR("&quot;")); break;
        case '\'': text_add(out, STR("&#39;")); break;
        default: text_add_byte(out, c);
        }
    }
}

static void add_z(struct text *out, const char *words) { text_add(out, str_of_z(words)); }

static void add_element(struct text *out, const char *begin, str value, const char *end)
{
    add_z(out, begin);
    add_escaped(out, value);
    add_z(out, end);
}

static const char *class_of(enum html_tone tone)
{
    static const char *const classes[] = { "", " class=\"good\"", " class=\"warn\"",
                                           " class=\"bad\"", " class=\"quiet\"" };
    return classes[tone];
}

str html_time(struct arena *arena, int64_t us)
{
    ASSERT(arena);
    long long n = us < 0 ? 0 : us;
    if (n < 1000)
        return str_format(arena, "%lld \xc2\xb5s", n);
    if (n < 1000000)
        return str_format(arena, "%lld.%02lld ms", n / 1000, n % 1000 / 10);
    if (n < 60000000)
        return str_format(arena, "%lld.%02lld s", n / 1000000, n % 1000000 / 10000);
    long long minutes = n / 60000000;
    if (minutes < 60)
        return str_format(arena, "%lld min %lld s", minutes, n / 1000000 % 60);
    if (minutes < 48LL * 60)
        return str_format(arena, "%lld h %lld min", minutes / 60, minutes % 60);
    return str_format(arena, "%lld d %lld h", minutes / 1440, minutes / 60 % 24);
}

/* ---- the whole ---- */

struct html html_begin(struct arena *arena, str title, str about)
{
    ASSERT(arena);
    struct html page = { .out = text_init(arena, HTML_BYTES_TYPICAL) };
    struct text *out = &page.out;
    add_z(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    add_element(out, "<title>", title, "</title>");
    add_z(out, HEAD);
    add_z(out, "</head><body><nav><a href=\"/debug\">Now</a><a href=\"/debug/settings\">Settings"
               "</a><a href=\"/metrics\">Metrics</a><a href=\"/readyz\">Health</a></nav><main>");
    add_element(out, "<h1>", title, "</h1>");
    add_element(out, "<p class=\"about\">", about, "</p>");
    return page;
}

str html_end(struct html *page)
{
    ASSERT(page);
    if (page->in_section)
        add_z(&page->out, "</section>");
    page->in_section = false;
    add_z(&page->out, "</main></body></html>\n");
    return text_str(&page->out);
}

void html_section(struct html *page, const char *title, const char *note)
{
    ASSERT(page && title && note);
    add_z(&page->out, page->in_section ? "</section><section>" : "<section>");
    page->in_section = true;
    add_element(&page->out, "<h2>", str_of_z(title), "</h2>");
    if (note[0])
        add_element(&page->out, "<p class=\"note\">", str_of_z(note), "</p>");
}

void html_words(struct html *page, str words)
{
    ASSERT(page);
    add_element(&page->out, "<p>", words, "</p>");
}

/* ---- facts ---- */

void html_facts(struct html *page)
{
    ASSERT(page);
    add_z(&page->out, "<dl>");
}

void html_fact(struct html *page, const char *name, str value, enum html_tone tone)
{
    ASSERT(page && name);
    add_element(&page->out, "<dt>", str_of_z(name), "</dt><dd");
    add_z(&page->out, class_of(tone));
    add_element(&page->out, ">", value, "</dd>");
}

static void add_link(struct text *out, str value, str url)
{
    if (url.len == 0) {
        add_escaped(out, value);
        return;
    }
    add_element(out, "<a href=\"", url, "\">");
    add_element(out, "", value, "</a>");
}

void html_fact_link(struct html *page, const char *name, str value, str url)
{
    ASSERT(page && name);
    add_element(&page->out, "<dt>", str_of_z(name), "</dt><dd>");
    add_link(&page->out, value, url);
    add_z(&page->out, "</dd>");
}

void html_facts_end(struct html *page)
{
    ASSERT(page);
    add_z(&page->out, "</dl>");
}

/* ---- tables ---- */

void html_table(struct html *page, const char *columns)
{
    ASSERT(page && columns);
    add_z(&page->out, "<table><thead><tr>");
    for (str rest = str_of_z(columns), name; rest.ptr && (name = str_cut(&rest, '|'), true);) {
        bool is_number = str_starts(name, STR(">"));
        add_element(&page->out, is_number ? "<th class=\"n\">" : "<th>",
                    str_slice(name, is_number, name.len), "</th>");
    }
    add_z(&page->out, "</tr></thead><tbody>");
}

void html_row(struct html *page)
{
    ASSERT(page);
    add_z(&page->out, "<tr>"); /* its end may be left out (HTML, 13.1.2.4) */
}

void html_cell(struct html *page, str value, enum html_tone tone)
{
    ASSERT(page);
    add_z(&page->out, "<td");
    add_z(&page->out, class_of(tone));
    add_element(&page->out, ">", value, "</td>");
}

void html_cell_number(struct html *page, int64_t number)
{
    ASSERT(page);
    add_z(&page->out, "<td class=\"n\">");
    text_add_int(&page->out, number);
    add_z(&page->out, "</td>");
}

void html_cell_right(struct html *page, str value)
{
    ASSERT(page);
    add_element(&page->out, "<td class=\"n\">", value, "</td>");
}

void html_cell_link(struct html *page, str value, str url)
{
    ASSERT(page);
    add_z(&page->out, "<td>");
    add_link(&page->out, value, url);
    add_z(&page->out, "</td>");
}

void html_cell_time(struct html *page, int64_t us, int64_t whole_us)
{
    enum { PERCENT = 100, BAR_EM = 16 };
    ASSERT(page);
    add_element(&page->out, "<td>", html_time(page->out.arena, us), "");
    int64_t share = whole_us > 0 && us > 0 ? us * PERCENT / whole_us : 0;
    if (share > 0)
        text_add_format(&page->out, "<span class=\"bar\" style=\"width:%lld.%02lldrem\"></span>",
                        (long long)(share * BAR_EM / PERCENT),
                        (long long)(share * BAR_EM % PERCENT));
    add_z(&page->out, "</td>");
}

void html_table_end(struct html *page)
{
    ASSERT(page);
    add_z(&page->out, "</tbody></table>");
}

/* ---- the rest ---- */

static bool is_among(str list, str word)
{
    for (str rest = list, one; rest.ptr && (one = str_cut(&rest, '|'), true);)
        if (str_equal(one, word))
            return true;
    return false;
}

void html_path(struct html *page, str states, str reached, str now)
{
    ASSERT(page);
    add_z(&page->out, "<ol class=\"path\">");
    for (str rest = states, state; rest.ptr && (state = str_cut(&rest, '|'), true);) {
        bool is_now = str_equal(state, now);
        add_element(&page->out,
                    is_now                     ? "<li class=\"now\" aria-current=\"step\">"
                    : is_among(reached, state) ? "<li class=\"was\">"
                                               : "<li>",
                    state, "</li>");
    }
    add_z(&page->out, "</ol>");
}

void html_form(struct html *page, const char *path, const char *name, const char *label)
{
    ASSERT(page && path && name && label);
    add_element(&page->out, "<form method=\"get\" action=\"", str_of_z(path), "\"><label>");
    add_element(&page->out, "", str_of_z(label), " <input name=\"");
    add_element(&page->out, "", str_of_z(name),
                "\" required></label> <button>Show</button></form>");
}

void html_answer(struct request *request, int status, str html)
{
    ASSERT(request);
    struct response *response = &request->response;
    *response = (struct response){ .status = status,
                                   .content_type = STR("text/html; charset=utf-8"),
                                   .body = html };
    response_add(response, STR("Cache-Control"), STR("no-store"));
    response_add(response, STR("Content-Security-Policy"),
                 STR("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                     "form-action 'self'; frame-ancestors 'none'"));
    response_add(response, STR("X-Content-Type-Options"), STR("nosniff"));
    response_add(response, STR("Referrer-Policy"), STR("no-referrer"));
}
