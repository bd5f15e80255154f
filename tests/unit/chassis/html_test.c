#include "chassis/html.h"

#include "chassis/request.h"
#include "tests/lib/test.h"

static bool has(str html, const char *part) { return str_find(html, str_of_z(part)) >= 0; }

TEST(html_keeps_what_somebody_wrote_a_text)
{
    static const str nasty = { "<script>alert(\"x\")</script>'&", 30 };
    struct html page = html_begin(t->arena, nasty, nasty);
    html_section(&page, "<b>", "<i>");
    html_words(&page, nasty);
    html_facts(&page);
    html_fact(&page, "<dt>", nasty, HTML_BAD);
    html_fact_link(&page, "link", nasty, STR("http://x/\"><script>"));
    html_facts_end(&page);
    html_table(&page, "<th>|>\"n\"");
    html_row(&page);
    html_cell(&page, nasty, HTML_GOOD);
    html_cell_link(&page, nasty, STR("javascript:\"'"));
    html_cell_right(&page, nasty);
    html_table_end(&page);
    html_path(&page, nasty, nasty, nasty);
    html_form(&page, "/x\"", "n\"", "<l>");
    str html = html_end(&page);
    CHECK(!has(html, "<script") && !has(html, "\"x\")") && !has(html, "<i>"));
    CHECK(has(html, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;"));
    CHECK(has(html, "<a href=\"http://x/&quot;&gt;&lt;script&gt;\">"));
    CHECK(str_ends(html, STR("</section></main></body></html>\n")));
}

TEST(html_needs_nothing_from_elsewhere_and_no_script)
{
    struct html page = html_begin(t->arena, STR("Now"), STR("about"));
    str html = html_end(&page);
    CHECK(str_starts(html, STR("<!doctype html><html lang=\"en\">")));
    CHECK(has(html, "prefers-color-scheme:dark") && has(html, "color-scheme:light dark"));
    CHECK(!has(html, "http:") && !has(html, "https:") && !has(html, "@import") &&
          !has(html, "url("));

    struct request request = { .arena = t->arena };
    html_answer(&request, 200, html);
    CHECK_INT(request.response.status, 200);
    CHECK_STR(request.response.content_type, "text/html; charset=utf-8");
    bool is_tight = false;
    for (int i = 0; i < request.response.headers_count; i++)
        is_tight = is_tight ||
                   (str_equal(request.response.headers[i].name, STR("Content-Security-Policy")) &&
                    has(request.response.headers[i].value, "default-src 'none'"));
    CHECK(is_tight);
}

TEST(html_tells_times_in_the_unit_that_fits)
{
    static const struct {
        int64_t us;
        const char *text;
    } times[] = { { -5, "0 \xc2\xb5s" },
                  { 999, "999 \xc2\xb5s" },
                  { 1250, "1.25 ms" },
                  { 3450000, "3.45 s" },
                  { 61000000, "1 min 1 s" },
                  { INT64_C(7500000000), "2 h 5 min" },
                  { INT64_C(180000000000), "2 d 2 h" } };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        CHECK_STR(html_time(t->arena, times[i].us), times[i].text);
}

TEST(html_marks_the_states_that_were_reached_and_the_one_of_now)
{
    struct html page = html_begin(t->arena, STR("x"), STR(""));
    html_path(&page, STR("placed|reserved|confirmed"), STR("placed|payment.pending|reserved|"),
              STR("reserved"));
    str html = html_end(&page);
    CHECK(has(html, "<li class=\"was\">placed</li><li class=\"now\" aria-current=\"step\">reserved"
                    "</li><li>confirmed</li>"));
}

TEST(html_draws_a_time_as_its_share_of_the_whole)
{
    struct html page = html_begin(t->arena, STR("x"), STR(""));
    html_table(&page, "When|Time");
    html_row(&page);
    html_cell_time(&page, 500, 1000);
    html_cell_time(&page, 500, 0);
    html_table_end(&page);
    str html = html_end(&page);
    CHECK(has(html, "500 \xc2\xb5s<span class=\"bar\" style=\"width:8.00rem\"></span></td>"));
    CHECK(has(html, "<td>500 \xc2\xb5s</td>"));
}
