#include "services/users/mails.h"
#include "tests/lib/test.h"

#define MINUTE (60 * TIME_SECOND)

static const time_us NOW = 1000000 * TIME_SECOND;

TEST(every_kind_has_its_word_and_a_word_that_is_none_has_no_kind)
{
    enum mail_kind kind;
    for (int i = 0; i < MAIL_KINDS_COUNT; i++) {
        CHECK(mail_kind_of(str_of_z(mail_kind_word((enum mail_kind)i)), &kind));
        CHECK_INT(kind, i);
    }
    CHECK(!mail_kind_of(STR("nonsense"), &kind));
}

TEST(mails_about_orders_are_told_from_those_with_links)
{
    CHECK(!mail_is_of_order(MAIL_VERIFY));
    CHECK(!mail_is_of_order(MAIL_RESET));
    CHECK(mail_is_of_order(MAIL_ORDER_CONFIRMED));
    CHECK(mail_is_of_order(MAIL_ORDER_REFUNDED));
}

TEST(a_reason_of_the_shop_is_a_sentence_and_any_other_is_left_out)
{
    CHECK_STR(mail_reason_text(STR("hold.expired")), "It was not paid in time.");
    CHECK_STR(mail_reason_text(STR("stock.insufficient")), "There was not enough in stock.");
    CHECK_STR(mail_reason_text(STR("changed my mind")), "");
    CHECK_STR(mail_reason_text(STR_NONE), "");
}

TEST(the_pause_doubles_with_each_try_up_to_an_hour)
{
    CHECK_INT(mail_next_try(1, MINUTE, NOW), NOW + MINUTE);
    CHECK_INT(mail_next_try(2, MINUTE, NOW), NOW + 2 * MINUTE);
    CHECK_INT(mail_next_try(6, MINUTE, NOW), NOW + 32 * MINUTE);
    CHECK_INT(mail_next_try(7, MINUTE, NOW), NOW + 60 * MINUTE);
    CHECK_INT(mail_next_try(INT32_MAX, MINUTE, NOW), NOW + 60 * MINUTE);
    CHECK_INT(mail_due_max(NOW), NOW + 120 * MINUTE);
}

TEST(a_mail_is_given_up_after_its_time_or_when_it_was_refused_three_times)
{
    struct mail_job job = { .created_at = NOW, .tries = 100 };
    CHECK(!mail_is_hopeless(&job, false, MINUTE, NOW + MINUTE - 1));
    CHECK(mail_is_hopeless(&job, false, MINUTE, NOW + MINUTE));
    job.tries = 2;
    CHECK(!mail_is_hopeless(&job, true, MINUTE, NOW));
    job.tries = 3;
    CHECK(mail_is_hopeless(&job, true, MINUTE, NOW));
    CHECK(!mail_is_hopeless(&job, false, MINUTE, NOW));
}

/* ---- templates ---- */

static struct mail_template filled(struct test *t, const char *text, const char *html)
{
    struct mail_template template;
    str values[VARS_COUNT] = { [VAR_SHOP] = STR("Mugs & More"),
                               [VAR_NAME] = STR("<b>Amina</b>"),
                               [VAR_URL] = STR("https://shop.example/#token=a\"b'") };
    CHECK_OK(mail_template_read(t->arena, "verify", str_of_z(text), str_of_z(html), &template));
    return mail_template_fill(t->arena, &template, values);
}

TEST(a_template_is_filled_in_and_what_stands_in_html_is_escaped)
{
    struct mail_template mail =
        filled(t, "Subject: {{shop}}: hello\n\nHello {{name}}: {{url}}\n{{reason}}.",
               "<p>{{shop}} {{name}}</p><a href=\"{{url}}\">");
    CHECK_STR(mail.subject, "Mugs & More: hello");
    CHECK_STR(mail.text, "Hello <b>Amina</b>: https://shop.example/#token=a\"b'\n.");
    CHECK_STR(mail.html, "<p>Mugs &amp; More &lt;b&gt;Amina&lt;/b&gt;</p>"
                         "<a href=\"https://shop.example/#token=a&quot;b&#39;\">");
}

TEST(what_is_filled_in_is_not_read_as_a_template)
{
    struct mail_template template;
    str values[VARS_COUNT] = { [VAR_SHOP] = STR("Duka"), [VAR_NAME] = STR("{{shop}}") };
    CHECK_OK(mail_template_read(t->arena, "verify", STR("Subject: x\n\n{{name}}\n"),
                                STR("{{name}}"), &template));
    struct mail_template mail = mail_template_fill(t->arena, &template, values);
    CHECK_STR(mail.text, "{{shop}}\n");
    CHECK_STR(mail.html, "{{shop}}");
}

TEST(an_open_brace_that_is_never_closed_stands_as_it_is)
{
    struct mail_template mail = filled(t, "Subject: x\n\na {{ b\n", "c {{shop");
    CHECK_STR(mail.text, "a {{ b\n");
    CHECK_STR(mail.html, "c {{shop");
}

TEST(a_template_without_a_subject_or_with_an_unknown_word_is_refused)
{
    struct mail_template template;
    CHECK_ERR(mail_template_read(t->arena, "verify", STR("Hello\n"), STR(""), &template),
              SETTING_INVALID);
    CHECK_ERR(mail_template_read(t->arena, "verify", STR("Subject: x"), STR(""), &template),
              SETTING_INVALID);
    err error =
        mail_template_read(t->arena, "verify", STR("Subject: x\n\n{{nmae}}\n"), STR(""), &template);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("nmae")) >= 0 && str_find(error->detail, STR("verify")) >= 0);
    CHECK_ERR(
        mail_template_read(t->arena, "verify", STR("Subject: x\n\n\n"), STR("{{}}"), &template),
        SETTING_INVALID);
    CHECK_OK(mail_template_read(t->arena, "verify", STR("Subject: x\n\n{{name}}\n"), STR(""),
                                &template));
}
